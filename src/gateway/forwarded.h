/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>
#include "gateway/networks.h"

G_BEGIN_DECLS

/* Finds the client for which a trusted proxy forwards a request: from Forwarded, of RFC 7239, or X-Forwarded-For. A
 * proxy appends the address of its peer, so that an entry can be trusted as far as those right of it, and the client is
 * the rightmost address that is not trusted. */

gboolean tcp_forwarded_find (SoupMessageHeaders  *headers,
                             const TcpNetworks   *trusted,
                             GInetAddress       **client);

G_END_DECLS
