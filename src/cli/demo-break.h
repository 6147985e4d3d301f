/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/demo-server.h"

G_BEGIN_DECLS

gboolean demo_break_wait_rest (TcpTunnel  *tunnel,
                               GError    **error);
gboolean demo_break_run (TcpTunnel   *tunnel,
                         DemoServer  *relay,
                         gint64      *away,
                         GError     **error);

G_END_DECLS
