/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>
#include "gateway/networks.h"

G_BEGIN_DECLS

/* Whom a proxy that is trusted forwards a request for: Forwarded, of RFC 7239, and
 * X-Forwarded-For. A proxy appends the address that it was connected to from, so that an entry
 * is as good as those right of it, and the client is the rightmost that is not trusted. */

gboolean tcp_forwarded_find (SoupMessageHeaders  *headers,
                             const TcpNetworks   *trusted,
                             GInetAddress       **client);

G_END_DECLS
