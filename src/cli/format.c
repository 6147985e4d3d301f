/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/format.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gi18n.h>
#include <string.h>

/* Three digits, so that columns of numbers keep their width. */
static char *
format_digits (double      value,
               const char *unit)
{
  int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

  return g_strdup_printf ("%.*f %s", decimals, value, unit);
}

char *
format_size (double bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
  guint i = 0;

  if (bytes < 999.5)
    return g_strdup_printf ("%.0f B", bytes);
  while (bytes >= 999.5 && i + 1 < G_N_ELEMENTS (units))
    {
      bytes /= 1024;
      i++;
    }
  return format_digits (bytes, units[i]);
}

char *
format_time (gint64 microseconds)
{
  double value = microseconds < 999500 ? microseconds / 1e3 : microseconds / 1e6;

  return g_strdup_printf ("%.*f %s", value < 9.95 ? 1 : 0, value,
                          microseconds < 999500 ? "ms" : "s");
}

/* With fractions of milliseconds. */
char *
format_short_time (gint64 microseconds)
{
  return microseconds < 9950 ? g_strdup_printf ("%.2f ms", microseconds / 1e3) : format_time (microseconds);
}

/* As HOST:PORT, with brackets around IPv6, or unix:PATH. */
char *
format_address (GSocketAddress *address)
{
  g_autofree char *text = NULL;
  GInetAddress *host;
  gboolean ipv6;

  if (G_IS_UNIX_SOCKET_ADDRESS (address))
    {
      text = g_filename_display_name (g_unix_socket_address_get_path (G_UNIX_SOCKET_ADDRESS (address)));
      return g_strconcat ("unix:", text, NULL);
    }

  host = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address));
  text = g_inet_address_to_string (host);
  ipv6 = g_inet_address_get_family (host) == G_SOCKET_FAMILY_IPV6;
  return g_strdup_printf (ipv6 ? "[%s]:%u" : "%s:%u", text,
                          g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
}

/* The address in a property, without the port if that is not known. NULL if there is no address. */
char *
format_peer (TcpConnection *connection,
             const char    *property)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autofree char *host = NULL;

  g_object_get (connection, property, &address, NULL);
  if (address == NULL)
    return NULL;
  if (G_IS_UNIX_SOCKET_ADDRESS (address) && g_unix_socket_address_get_path_len (G_UNIX_SOCKET_ADDRESS (address)) == 0)
    return g_strdup ("unix:");
  return split_address (address, &host) == 0 && host != NULL ? g_steal_pointer (&host) : format_address (address);
}

/* The URL of a running gateway at an address, or the path of a Unix socket, which has no URL. @first is that of its
 * first listener, NULL if that is a Unix socket: properties that have changed since the start are not used. */
static char *
format_listener (TcpGateway     *gateway,
                 GUri           *first,
                 GSocketAddress *address)
{
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autofree char *path = NULL;
  g_autofree char *host = NULL;
  guint port = split_address (address, &host);

  if (host == NULL)
    return format_address (address);
  if (first != NULL)
    return g_uri_join (G_URI_FLAGS_ENCODED, g_uri_get_scheme (first), NULL, host, port, g_uri_get_path (first), NULL, NULL);
  g_object_get (gateway, "tls-certificate", &certificate, "path", &path, NULL);
  return g_uri_join (G_URI_FLAGS_NONE, certificate != NULL ? "wss" : "ws", NULL, host, port, path != NULL ? path : "/",
                     NULL, NULL);
}

/* The addresses of all listeners for clients. There is none if the gateway does not run. */
char **
format_listeners (TcpGateway *gateway)
{
  g_autoptr (GPtrArray) addresses = tcp_gateway_get_local_addresses (gateway);
  g_autofree char *uri = tcp_gateway_dup_uri (gateway);
  g_autoptr (GUri) first = uri != NULL ? g_uri_parse (uri, G_URI_FLAGS_ENCODED, NULL) : NULL;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < addresses->len; i++)
    {
      g_autofree char *text = format_listener (gateway, first, addresses->pdata[i]);

      g_strv_builder_add (builder, text);
    }
  return g_strv_builder_end (builder);
}

/* Without parts that may be secret. */
char *
format_uri (GUri *uri)
{
  return g_uri_to_string_partial (uri, G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT);
}

/* For an error of the library. */
const char *
format_error_code (const GError *error)
{
  g_autoptr (GEnumClass) codes = g_type_class_ref (TCP_TYPE_TUNNEL_ERROR);
  const GEnumValue *code = g_enum_get_value (codes, error->code);

  return code != NULL ? code->value_nick : "failed";
}

const char *
format_state (TcpTunnelState state)
{
  g_autoptr (GEnumClass) states = g_type_class_ref (TCP_TYPE_TUNNEL_STATE);

  return g_enum_get_value (states, state)->value_nick;
}

/* For people; a state of another version is returned unchanged. */
const char *
format_state_name (const char *state)
{
  static const char *const names[] = {
    N_("disconnected"), N_("connecting"), N_("connected"), N_("reconnecting"), N_("ended"), N_("listening"), N_("draining"),
  };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (state, names[i]) == 0)
      return _(names[i]);
  return state;
}

/* Returns the port; for a Unix socket 0, and @host is NULL. */
guint
split_address (GSocketAddress  *address,
               char           **host)
{
  *host = NULL;
  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return 0;
  *host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

/* The address on which a tunnel listens, or its gateway for it; for a Unix socket @host is NULL. NULL if it does not
 * listen. */
char *
format_place (TcpTunnel  *tunnel,
              char      **host,
              guint      *port)
{
  GSocketAddress *local = tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel));
  char *text = TCP_IS_REVERSE_TUNNEL (tunnel) ? tcp_reverse_tunnel_dup_remote_address (TCP_REVERSE_TUNNEL (tunnel)) : NULL;

  *host = NULL;
  *port = 0;
  if (text != NULL)
    {
      g_autoptr (GSocketConnectable) parsed = g_network_address_parse (text, 0, NULL);

      if (parsed == NULL)
        return text;
      *host = g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (parsed)));
      *port = g_network_address_get_port (G_NETWORK_ADDRESS (parsed));
      return text;
    }
  if (local != NULL)
    *port = split_address (local, host);
  return local != NULL ? format_address (local) : NULL;
}

/* GLib considers line and paragraph separators printable. */
static gboolean
is_plain (gunichar character)
{
  GUnicodeType type = g_unichar_type (character);

  return g_unichar_isprint (character) && type != G_UNICODE_LINE_SEPARATOR && type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* Formats text from another party so that on the terminal it stays on its line, and runs from left to right. */
char *
format_foreign (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *clean = g_string_new (NULL);

  for (const char *c = valid; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);

      g_string_append_unichar (clean, is_plain (character) ? character : 0xfffd);
    }
  return g_string_free (clean, FALSE);
}

double
meter_update (Meter   *meter,
              guint64  bytes)
{
  const gint64 now = g_get_monotonic_time ();
  const guint size = G_N_ELEMENTS (meter->bytes);
  guint newest = meter->n % size;
  guint oldest = meter->n < size ? 0 : (meter->n + 1) % size;

  meter->bytes[newest] = bytes;
  meter->times[newest] = now;
  meter->n++;

  if (now <= meter->times[oldest])
    return 0;
  return (bytes - meter->bytes[oldest]) * 1e6 / (now - meter->times[oldest]);
}
