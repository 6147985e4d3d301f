/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "cli/settings.h"

G_BEGIN_DECLS

/* The ports of a tunnel in addition to its own. */
gboolean forwards_wanted (const Settings *settings);
gboolean forwards_add (const Settings  *settings,
                       TcpTunnel       *tunnel,
                       GError         **error);
char *forward_describe (TcpForward *forward);
char *forwards_list (TcpTunnel *tunnel);

G_END_DECLS
