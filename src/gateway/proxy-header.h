/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The header of the PROXY protocol, version 2: it precedes the first byte of a connection, and names the client for
 * which a proxy has made the connection. Without I/O. */

/* The maximum that tcp_proxy_header_write () writes, and that is accepted from others, which may add more, in bytes. */
#define TCP_PROXY_HEADER_SIZE 52
#define TCP_PROXY_HEADER_MAX_SIZE 2048

typedef enum
{
  TCP_PROXY_HEADER_NONE,       /* the data is something else */
  TCP_PROXY_HEADER_INCOMPLETE, /* @size bytes are needed to continue */
  TCP_PROXY_HEADER_BAD,
  TCP_PROXY_HEADER_COMPLETE,   /* the first @size bytes are the header */
} TcpProxyHeaderResult;

gsize tcp_proxy_header_write (guint8          data[static TCP_PROXY_HEADER_SIZE],
                              GSocketAddress *source,
                              GSocketAddress *destination);
TcpProxyHeaderResult tcp_proxy_header_parse (const guint8    *data,
                                             gsize            length,
                                             gsize           *size,
                                             GSocketAddress **source);

G_END_DECLS
