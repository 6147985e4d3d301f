/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/access-log.h"

G_BEGIN_DECLS

/* The state of a gateway over HTTP, at an address of its own: its health, its readiness, its metrics, and a status
 * page. It changes nothing. */
typedef struct _Admin Admin;

typedef enum
{
  ADMIN_STARTING,
  ADMIN_SERVING,
  ADMIN_DRAINING,
} AdminState;

typedef struct
{
  const char *listen;        /* in the form of options_read_listen () */
  const char *const *hosts;  /* host names with which it may be accessed, in addition to addresses and localhost;
                              * nullable */
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
