/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Where connections come from, for shares by address. One owner of IPv6 has a whole /64 of
 * addresses, so that the last 64 bits do not count; IPv4 in IPv6 is IPv4. */
char *tcp_origin_name (GSocketAddress *address);

G_END_DECLS
