/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/proxy-request.h"

#include <arpa/inet.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/host-port.h"

void
tcp_proxy_request_init (TcpProxyRequest     *self,
                        const TcpProxyClass *class)
{
  *self = (TcpProxyRequest) { .class = class, .input = g_byte_array_new (), .output = g_byte_array_new () };
}

void
tcp_proxy_request_clear (TcpProxyRequest *self)
{
  g_clear_pointer (&self->input, g_byte_array_unref);
  g_clear_pointer (&self->output, g_byte_array_unref);
  g_clear_pointer (&self->target, g_free);
  g_clear_pointer (&self->problem, g_free);
}

/* Takes as many of the bytes as belong to the request, which are all of them until it is complete: those behind it are
 * for the target. Must not be called again once it has returned anything but TCP_PROXY_MORE. */
TcpProxyStep
tcp_proxy_request_receive (TcpProxyRequest *self,
                           const guint8    *data,
                           gsize            length,
                           gsize           *used)
{
  *used = 0;
  return self->class->receive (self, data, length, used);
}

/* For the classes */

/* Takes bytes until the input has @wanted bytes. Returns whether it has. */
gboolean
tcp_proxy_request_take (TcpProxyRequest *self,
                        gsize            wanted,
                        const guint8    *data,
                        gsize            length,
                        gsize           *used)
{
  gsize n = wanted > self->input->len ? MIN (wanted - self->input->len, length - *used) : 0;

  g_byte_array_append (self->input, data + *used, n);
  *used += n;
  return self->input->len >= wanted;
}

void
tcp_proxy_request_complain (TcpProxyRequest *self,
                            const char      *format,
                            ...)
{
  va_list args;

  g_free (self->problem);
  va_start (args, format);
  self->problem = g_strdup_vprintf (format, args);
  va_end (args);
}

static gboolean
set_target (TcpProxyRequest *self,
            const char      *host,
            guint            port)
{
  g_auto (TcpHostPort) parsed = { 0 };

  g_free (self->target);
  self->target = g_strdup_printf (strchr (host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
  if (tcp_host_port_parse (self->target, &parsed, NULL))
    return TRUE;
  g_clear_pointer (&self->target, g_free);
  return FALSE;
}

/* FALSE if there can be no such target. An IPv4 address within IPv6 becomes an IPv4 address. */
gboolean
tcp_proxy_request_set_address (TcpProxyRequest *self,
                               int              family,
                               gconstpointer    address,
                               guint            port)
{
  char host[INET6_ADDRSTRLEN];

  if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED ((const struct in6_addr *) address))
    {
      family = AF_INET;
      address = (const guint8 *) address + 12;
    }
  return inet_ntop (family, address, host, sizeof host) != NULL && set_target (self, host, port);
}

/* The same for a name, in ASCII or UTF-8, or an address in a form that clients use. */
gboolean
tcp_proxy_request_set_name (TcpProxyRequest *self,
                            const char      *name,
                            gsize            length,
                            guint            port)
{
  g_autofree char *host = g_strndup (name, length);
  g_autofree char *ascii = NULL;
  guint8 address[sizeof (struct in6_addr)];

  if (strlen (host) != length || !g_utf8_validate (host, -1, NULL))
    return FALSE;
  if (inet_pton (AF_INET6, host, address) == 1)
    return tcp_proxy_request_set_address (self, AF_INET6, address, port);
  if (length > 1 && host[length - 1] == '.')
    host[length - 1] = '\0';
  ascii = g_hostname_to_ascii (host);
  return ascii != NULL && set_target (self, ascii, port);
}
