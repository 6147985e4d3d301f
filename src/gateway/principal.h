/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "gateway/principal-spec.h"

G_BEGIN_DECLS

struct _TcpPrincipalClass
{
  GObjectClass parent_class;
};

/* For the gateway. May be called on any thread, as far as the list allows it, which belongs to the application. */
GPtrArray *tcp_principals_get_specs (GListModel  *list,
                                     GError     **error);

G_END_DECLS
