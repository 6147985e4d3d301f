/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* Restarts the command of a gateway without ending any connection. */
typedef struct _Restart Restart;

typedef struct
{
  /* Another program replaces this one now, and creates anew whatever is missing. FALSE to give that up, since this
   * program must end. */
  gboolean (*leave) (gpointer data);
  /* The restart has failed, and the reason was logged. */
  void (*stayed) (gpointer data);
} RestartCallbacks;

Restart *restart_new (TcpGateway             *gateway,
                      const RestartCallbacks *callbacks,
                      gpointer                data);
void restart_free (Restart *self);
void restart_begin (Restart *self);
gboolean restart_is_under_way (Restart *self);
void restart_cancel (Restart *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Restart, restart_free)

G_END_DECLS
