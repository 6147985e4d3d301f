/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A target that a client may request from a gateway, as `host:port`. Only one spelling of an address is accepted, so
 * that no rule can be bypassed with another. Without I/O. */

#define TCP_HOST_PORT_MAX_LENGTH 512
#define TCP_TARGET_NAME_MAX_LENGTH 63

typedef struct
{
  char *host;       /* in lower case; an IPv6 address without its brackets */
  guint16 port;
  gboolean address; /* the host is an address */
} TcpHostPort;

gboolean tcp_host_port_parse (const char  *text,
                              TcpHostPort *target,
                              GError     **error);
char *tcp_host_parse (const char *text,
                      gsize       length,
                      gboolean   *address,
                      GError    **error);
gboolean tcp_target_name_is_valid (const char *text);
gboolean tcp_target_check (const char  *text,
                           GError     **error);
gboolean tcp_host_is_harmless (const char *text);
gboolean tcp_port_parse (const char *text,
                         gsize       length,
                         guint16    *port);
gboolean tcp_port_range_parse (const char *text,
                               guint16    *first,
                               guint16    *last);
void tcp_host_port_clear (TcpHostPort *target);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpHostPort, tcp_host_port_clear)

G_END_DECLS
