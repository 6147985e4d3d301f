/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* Restarts the command of a gateway, of which no connection ends. */
typedef struct _Restart Restart;

typedef struct
{
  /* Another program takes the place of this one now, and makes anew what it finds to be missing; FALSE: it does not,
   * since this one is to end. */
  gboolean (*leave) (gpointer data);
  /* It did not, and why was logged. */
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
