/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/access-log.h"

G_BEGIN_DECLS

/* What a gateway says of itself over HTTP, at an address of its own: whether it lives, whether it is ready, its
 * figures, and a page for people. It changes nothing. */
typedef struct _Admin Admin;

typedef enum
{
  ADMIN_STARTING,
  ADMIN_SERVING,
  ADMIN_DRAINING,
} AdminState;

typedef struct
{
  const char *listen;        /* as options_read_listen() takes it */
  const char *const *hosts;  /* by which it is asked for, beside addresses and localhost; nullable */
  gboolean check_target;     /* it is not ready while its target cannot be reached */
  const AccessLog *log;      /* nullable */
} AdminOptions;

Admin *admin_new (TcpGateway          *gateway,
                  const AdminOptions  *options,
                  GError             **error);
void admin_free (Admin *self);
void admin_set_state (Admin      *self,
                      AdminState  state);
gboolean admin_check_listen (const char  *option,
                             const char  *text,
                             GError     **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Admin, admin_free)

G_END_DECLS
