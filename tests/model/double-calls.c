/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "doubles.h"
#include "io/pool.h"

typedef struct
{
  TcpIoFunc func;
  gpointer data;
  GDestroyNotify destroy;
} Call;

static GQueue calls; /* of Call */

void __wrap_tcp_io_thread_invoke (TcpIoThread    *self,
                                  TcpIoFunc       func,
                                  gpointer        data,
                                  GDestroyNotify  destroy);

void
__wrap_tcp_io_thread_invoke (TcpIoThread    *self,
                             TcpIoFunc       func,
                             gpointer        data,
                             GDestroyNotify  destroy)
{
  Call *call = g_new (Call, 1);

  *call = (Call) { func, data, destroy };
  g_queue_push_tail (&calls, call);
}

gboolean
calls_make (void)
{
  g_autofree Call *call = g_queue_pop_head (&calls);

  if (call == NULL)
    return FALSE;

  call->func (call->data);
  if (call->destroy != NULL)
    call->destroy (call->data);
  return TRUE;
}
