/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/wait.h"

#include "base/ref-count.h"

/* G_DEFINE_QUARK would keep the quark in a variable without synchronization. */
static GQuark
wait_quark (void)
{
  return g_quark_from_static_string ("tcp-wait");
}

/* @task is NULL if a thread blocks. */
TcpWait *
tcp_wait_new (GTask *task)
{
  TcpWait *self = g_new0 (TcpWait, 1);

  g_atomic_ref_count_init (&self->refs);
  g_set_object (&self->task, task);
  return self;
}

TcpWait *
tcp_wait_ref (TcpWait *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_wait_unref (TcpWait *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_clear_object (&self->task);
  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->events, tcp_event_queue_unref);
  g_clear_error (&self->error);
  g_free (self);
}

/* Returns the wait whose earlier steps had this cancellable, or NULL. */
TcpWait *
tcp_wait_find (GCancellable *cancellable)
{
  TcpWait *self = g_object_get_qdata (G_OBJECT (cancellable), wait_quark ());

  return self != NULL ? tcp_wait_ref (self) : NULL;
}

/* The next steps find the wait, until its result was reported. */
void
tcp_wait_attach (TcpWait      *self,
                 GCancellable *cancellable)
{
  g_object_set_qdata_full (G_OBJECT (cancellable), wait_quark (), tcp_wait_ref (self), (GDestroyNotify) tcp_wait_unref);
}

/* Further steps do not find the wait any more. */
void
tcp_wait_detach (GCancellable *cancellable)
{
  g_object_set_qdata (G_OBJECT (cancellable), wait_quark (), NULL);
}

/* Takes ownership of @error. Called once, from any thread. */
void
tcp_wait_end (TcpWait *self,
              GError  *error)
{
  if (self->task == NULL)
    {
      self->error = error;
      atomic_store (&self->over, TRUE);
      tcp_event_queue_wake (self->events);
    }
  else if (error != NULL)
    {
      g_task_return_error (self->task, error);
    }
  else
    {
      g_task_return_boolean (self->task, TRUE);
    }
}

gboolean
tcp_wait_is_over (TcpWait *self)
{
  return atomic_load (&self->over);
}

/* Returns the result of the call, once it is over. */
gboolean
tcp_wait_report (TcpWait  *self,
                 GError  **error)
{
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}
