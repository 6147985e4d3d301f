/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Explains why a WebSocket could not be opened, and what to do about it. */

#include "tunnel/dial-error.h"

#include <libsoup/soup.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>

#include "base/i18n.h"
#include "base/text.h"
#include "protocol/reverse-message.h"
#include "tunnel/certificate.h"

#define MAX_LOCATION 200 /* bytes of the URL of a redirect in a message */
#define MAX_SERVER 40    /* likewise, of the name of a server */
#define MAX_SCHEME 20    /* likewise, of the name of an authentication scheme */
#define MAX_TEXT 60      /* likewise, of an answer that is not HTTP */
#define MAX_BINARY 8     /* likewise, of one that is not text */

#define TLS_ALERT 0x15
#define TLS_HANDSHAKE 0x16
#define TLS_MAJOR 0x03

/* The statuses 400 to 499 are final, except those that mean "later". 401 is final once the application has no other
 * token. */
gboolean
tcp_dial_status_is_final (guint status)
{
  return status >= 400 && status <= 499 && status != 408 && status != 425 && status != 429;
}

static gboolean
is_secure (const TcpDialFailure *failure)
{
  return strcmp (g_uri_get_scheme (failure->uri), "wss") == 0;
}

static char *
name_gateway (const TcpDialFailure *failure)
{
  if (failure->proxy == NULL)
    return g_strdup (failure->display);
  return g_strdup_printf (_("%s (through the proxy %s)"), failure->display, failure->proxy);
}

/* Timeouts */

static const char *
explain_timeout (const TcpDialFailure *failure)
{
  switch (failure->stage)
    {
    case TCP_OPENING_RESOLVE:
      return _("no name server has resolved its name");
    case TCP_OPENING_CONNECT:
      return _("the host or a firewall does not answer at this address and port");
    case TCP_OPENING_PROXY:
      return _("the proxy has not connected to it");
    case TCP_OPENING_TLS:
      return _("TCP is connected, but no TLS handshake came (if the port has no TLS, try ws://)");
    case TCP_OPENING_HTTP:
    default:
      return is_secure (failure) ? _("it is connected, but did not answer the request")
                                 : _("it is connected, but did not answer the request (if the port expects TLS, try "
                                     "wss://)");
    }
}

static GError *
timeout_error (const TcpDialFailure *failure)
{
  g_autofree char *gateway = name_gateway (failure);

  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT, _("the gateway %s did not answer within %u ms: %s"),
                      gateway, failure->timeout, explain_timeout (failure));
}

/* Answers with a status other than 101 */

/* Other servers that require a password do not use tokens. */
static char *
advise_on_challenge (const TcpDialFailure *failure)
{
  const char *challenge = failure->challenge != NULL ? failure->challenge : "Bearer";
  gsize length = strspn (challenge, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-");

  if (length > 0 && length <= MAX_SCHEME && strcasestr (challenge, "Bearer") == NULL)
    {
      g_autofree char *scheme = tcp_text_from_peer (challenge, length);

      return g_strdup_printf (_("; it asks for a password in its place (%s), as a web server or a proxy does, not a "
                                "gateway"),
                              scheme);
    }
  if (failure->anonymous || failure->authorized)
    return g_strdup ("");
  return g_strdup (_("; of a line NAME:TOKEN in the token file of 'tcp-tunnel gateway', the tunnel needs the TOKEN "
                     "alone, and the gateway reads that file again when it changes, or at SIGHUP"));
}

static gboolean
has_no_reverse_ports (const TcpDialFailure *failure)
{
  return failure->status == 400 && g_strcmp0 (failure->phrase, TCP_REVERSE_NO_PORTS) == 0;
}

/* Returns what to do, or an empty string. */
static char *
advise_on_status (const TcpDialFailure *failure)
{
  switch (failure->status)
    {
    case 400:
      if (has_no_reverse_ports (failure))
        return g_strdup (_("; the option --reverse-ports of 'tcp-tunnel gateway', or the property reverse-ports, sets them"));
      return g_strdup (is_secure (failure) ? _("; check the query of the URL")
                                           : _("; if this port expects TLS, try wss://, else check the query of the URL"));
    case 401:
      return advise_on_challenge (failure);
    case 403:
      return g_strdup (_("; a rule there, or of a proxy in front of it, does not allow this token, address or path"));
    case 404:
      return g_strdup_printf (_("; the path tried is %s, and 'tcp-tunnel gateway' serves that of --path, or else /"),
                              g_uri_get_path (failure->uri));
    case 405:
    case 501:
      return g_strdup (_("; this may be a web server: check host, port and path of the URL"));
    case 426:
      return g_strdup (_("; either a proxy in front of it does not pass on Upgrade and Connection, or it requires "
                         "resumption"));
    case 500:
      return g_strdup (_("; its log, or that of a proxy in front of it, may say why"));
    case 502:
    case 504:
      return g_strdup (_("; a proxy in front of it answers, which does not reach it: check whether the gateway runs, "
                         "and the log of the proxy"));
    default:
      break;
    }
  if (failure->status < 300)
    return g_strdup (_("; this may be a web server, or the login page of a network: check host, port and path of the "
                       "URL"));
  if (failure->retry_after > 0)
    return g_strdup_printf (_("; it asks to wait for %u s"), (guint) ((failure->retry_after + 999) / 1000));
  return g_strdup ("");
}

/* The location without parts that may contain a secret, as a URL for a tunnel if possible. */
static char *
read_location (const TcpDialFailure *failure)
{
  g_autoptr (GUri) target = NULL;
  g_autofree char *text = NULL;
  const char *scheme;

  if (failure->location == NULL || strlen (failure->location) > MAX_LOCATION)
    return NULL;
  target = g_uri_parse_relative (failure->uri, failure->location, G_URI_FLAGS_ENCODED | G_URI_FLAGS_HAS_PASSWORD, NULL);
  if (target == NULL || g_uri_get_host (target) == NULL)
    return NULL;
  scheme = g_uri_get_scheme (target);
  if (strcmp (scheme, "https") == 0)
    scheme = "wss";
  else if (strcmp (scheme, "http") == 0)
    scheme = "ws";
  text = g_uri_join (G_URI_FLAGS_ENCODED, scheme, NULL, g_uri_get_host (target), g_uri_get_port (target),
                     g_uri_get_path (target), NULL, NULL);
  return tcp_text_from_peer (text, strlen (text));
}

static GError *
redirect_error (const TcpDialFailure *failure,
                const char           *gateway,
                const char           *reason)
{
  g_autofree char *location = read_location (failure);

  if (location == NULL)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                        _("the gateway %s redirects elsewhere (%s); redirects are not followed: check the URL"),
                        gateway,
                        reason);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                      _("the gateway %s redirects to %s (%s); redirects are not followed: use that as the URL if the "
                        "gateway is there"),
                      gateway, location, reason);
}

/* Failures of a proxy */

static gboolean
is_from_proxy (const GError *cause)
{
  return g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_FAILED) ||
         g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_NOT_ALLOWED) ||
         g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_NEED_AUTH) ||
         g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_PROXY_AUTH_FAILED);
}

static const char *
advise_on_proxy (const GError *cause)
{
  switch (cause->code)
    {
    case G_IO_ERROR_PROXY_NEED_AUTH:
      /* xgettext: no-c-format */
      return _("; it asks for a password: write its URL as http://USER:PASSWORD@HOST:PORT, with %40 for @, %3A for : "
               "and %25 for % in it; or no_proxy names hosts to reach without one");
    case G_IO_ERROR_PROXY_AUTH_FAILED:
      /* xgettext: no-c-format */
      return _("; check user name and password in its URL, where %40 stands for @, %3A for : and %25 for %");
    case G_IO_ERROR_PROXY_NOT_ALLOWED:
      return _("; it forbids this host or port; no_proxy names hosts to reach without one");
    default:
      return _("; no_proxy names hosts to reach without one");
    }
}

/* The answer is not the gateway's, and therefore not final. */
static GError *
proxy_error (const TcpDialFailure *failure)
{
  if (failure->proxy == NULL)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                        _("the proxy in between did not connect to the gateway %s: %s%s"), failure->display,
                        failure->cause->message, advise_on_proxy (failure->cause));
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                      _("the proxy %s did not connect to the gateway %s: %s%s"), failure->proxy, failure->display,
                      failure->cause->message, advise_on_proxy (failure->cause));
}

/* Describes the status, its phrase, and the program that answered, which may be a proxy, or a server that is not a
 * gateway. Only the first product of the server's name is used: those behind it are its modules. */
static char *
describe_answer (const TcpDialFailure *failure)
{
  const char *phrase = failure->phrase != NULL ? failure->phrase : "";
  const char *server = failure->server != NULL ? failure->server : "";
  g_autofree char *said = tcp_text_from_peer (phrase, strlen (phrase));
  g_autofree char *name = tcp_text_from_peer (server, MIN (strcspn (server, " \t("), MAX_SERVER));
  g_autofree char *status = g_strdup_printf ("%u%s%s", failure->status, *said != '\0' ? " " : "", said);

  /* Translators: the status of an HTTP answer, and the program that sent it, such as "404 Not Found from nginx". */
  return *name != '\0' ? g_strdup_printf (_("%s from %s"), status, name) : g_steal_pointer (&status);
}

/* @reason: the status, with the server's phrase; @advice: what to do, or an empty string. */
static GError *
describe_status (const TcpDialFailure *failure,
                 const char           *gateway,
                 const char           *reason,
                 const char           *advice)
{
  const GQuark domain = TCP_TUNNEL_ERROR;
  guint status = failure->status;

  switch (status)
    {
    case 400:
      if (has_no_reverse_ports (failure))
        return g_error_new (domain, TCP_TUNNEL_ERROR_REJECTED,
                            _("the gateway %s does not offer ports for reverse tunnels (%s)%s"), gateway, reason, advice);
      return g_error_new (domain, TCP_TUNNEL_ERROR_REJECTED, _("the gateway %s does not understand the request (%s)%s"),
                          gateway, reason, advice);
    case 401:
      if (failure->anonymous)
        return g_error_new (domain, TCP_TUNNEL_ERROR_UNAUTHORIZED, _("the gateway %s requires credentials (%s)%s"), gateway,
                            reason, advice);
      if (failure->authorized)
        return g_error_new (domain, TCP_TUNNEL_ERROR_UNAUTHORIZED, _("the gateway %s refused the credentials (%s)%s"),
                            gateway, reason, advice);
      return g_error_new (domain, TCP_TUNNEL_ERROR_UNAUTHORIZED, _("the gateway %s refused the token (%s)%s"), gateway,
                          reason, advice);
    case 403:
      return g_error_new (domain, TCP_TUNNEL_ERROR_REJECTED, _("the gateway %s refused access (%s)%s"), gateway, reason,
                          advice);
    case 404:
      return g_error_new (domain, TCP_TUNNEL_ERROR_REJECTED, _("the gateway %s has nothing at this path (%s)%s"), gateway,
                          reason, advice);
    case 410:
      return g_error_new (domain, TCP_TUNNEL_ERROR_REJECTED, _("the gateway %s reports that the session is gone (%s)%s"),
                          gateway, reason, advice);
    case 429:
      return g_error_new (domain, TCP_TUNNEL_ERROR_UNREACHABLE, _("the gateway %s has too many requests (%s)%s"), gateway,
                          reason, advice);
    case 503:
      return g_error_new (domain, TCP_TUNNEL_ERROR_UNREACHABLE, _("the gateway %s is not available now (%s)%s"), gateway,
                          reason, advice);
    default:
      break;
    }
  if (status >= 500)
    return g_error_new (domain, TCP_TUNNEL_ERROR_UNREACHABLE, _("the gateway %s failed (%s)%s"), gateway, reason, advice);
  if (status >= 400)
    return g_error_new (domain,
                        tcp_dial_status_is_final (status) ? TCP_TUNNEL_ERROR_REJECTED : TCP_TUNNEL_ERROR_UNREACHABLE,
                        _("the gateway %s refused the request (%s)%s"), gateway, reason, advice);
  return g_error_new (domain, status < 300 ? TCP_TUNNEL_ERROR_PROTOCOL : TCP_TUNNEL_ERROR_UNREACHABLE,
                      _("the gateway %s answered, but not with a WebSocket (%s)%s"), gateway, reason, advice);
}

static GError *
status_error (const TcpDialFailure *failure)
{
  g_autofree char *gateway = name_gateway (failure);
  g_autofree char *reason = describe_answer (failure);
  g_autofree char *advice = NULL;

  if (failure->status >= 300 && failure->status < 400)
    return redirect_error (failure, gateway, reason);

  advice = advise_on_status (failure);
  return describe_status (failure, gateway, reason, advice);
}

/* Failures of TLS */

static const char *
advise_on_tls (const GError *cause)
{
  switch (cause->code)
    {
    case G_TLS_ERROR_UNAVAILABLE:
      return _("; install glib-networking");
    case G_TLS_ERROR_CERTIFICATE_REQUIRED:
      return _("; the property client-certificate has to be set");
    case G_TLS_ERROR_NOT_TLS:
    case G_TLS_ERROR_MISC:
    case G_TLS_ERROR_EOF:
      return _("; if the port does not speak TLS, try ws://");
    default:
      return "";
    }
}

static GError *
tls_error (const TcpDialFailure *failure)
{
  g_autofree char *gateway = name_gateway (failure);
  g_autofree char *reason = NULL;

  if (failure->certificate != NULL && failure->cause->code == G_TLS_ERROR_BAD_CERTIFICATE)
    reason = tcp_certificate_explain (failure->certificate, failure->certificate_errors, g_uri_get_host (failure->uri));
  else
    reason = g_strconcat (failure->cause->message, advise_on_tls (failure->cause), NULL);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS, _("no trusted TLS connection to the gateway %s: %s"),
                      gateway, reason);
}

/* Answers that are not HTTP */

static gboolean
is_text (const char *data,
         gsize       length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isprint (data[i]) && data[i] != '\t')
      return FALSE;
  return length > 0;
}

/* Describes the first line, or the first bytes in hexadecimal. */
static char *
describe_received (const TcpDialFailure *failure)
{
  g_autofree char *bytes = NULL;
  gsize length = 0;
  GString *text;

  /* A repeated part of the request may have a secret in its query. */
  while (length < MIN (failure->n_received, MAX_TEXT) && strchr ("\r\n?", failure->received[length]) == NULL)
    length++;
  if (is_text (failure->received, length))
    {
      g_autofree char *line = tcp_text_from_peer (failure->received, length);

      return g_strdup_printf ("“%s”", line);
    }

  text = g_string_new (NULL);
  for (gsize i = 0; i < MIN (failure->n_received, MAX_BINARY); i++)
    g_string_append_printf (text, "%s%02x", i > 0 ? " " : "", (guchar) failure->received[i]);
  bytes = g_string_free (text, FALSE);
  return g_strdup_printf (_("the bytes %s"), bytes);
}

static gboolean
begins_with (const TcpDialFailure *failure,
             const char           *prefix)
{
  return failure->n_received >= strlen (prefix) && memcmp (failure->received, prefix, strlen (prefix)) == 0;
}

static gboolean
is_tls (const TcpDialFailure *failure)
{
  return failure->n_received >= 2 && failure->received[1] == TLS_MAJOR &&
         (failure->received[0] == TLS_ALERT || failure->received[0] == TLS_HANDSHAKE);
}

/* The first frame of HTTP/2 is SETTINGS, of stream 0 and without flags; a client that does not use HTTP/2 gets no
 * other. */
static gboolean
is_http2 (const TcpDialFailure *failure)
{
  static const char settings[] = { 4, 0, 0, 0, 0, 0 };

  return failure->n_received >= 3 + sizeof settings && memcmp (failure->received + 3, settings, sizeof settings) == 0;
}

static GError *
parse_error (const TcpDialFailure *failure)
{
  g_autofree char *gateway = name_gateway (failure);
  g_autofree char *received = NULL;

  if (is_tls (failure))
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                        _("the server at %s speaks TLS: try wss:// in place of ws://"), gateway);
  if (failure->n_received == 0)
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                        _("the server at %s does not speak HTTP; check host and port of the URL, and if the port "
                          "expects TLS, try wss://"),
                        gateway);
  if (is_http2 (failure))
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                        _("the server at %s speaks only HTTP/2, and this WebSocket needs HTTP/1.1: check host and "
                          "port of the URL, and a proxy in front of it"),
                        gateway);
  if (begins_with (failure, "HTTP/"))
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                        _("the server at %s sent an incomplete or invalid HTTP answer: %s (look at a proxy in front "
                          "of it)"),
                        gateway, failure->cause->message);
  if (begins_with (failure, "GET "))
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                        _("the server at %s sends back what it receives: the URL must be that of a gateway, not of "
                          "an echo service"),
                        gateway);
  received = describe_received (failure);
  if (begins_with (failure, "SSH-"))
    return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                        _("the server at %s does not speak HTTP: its answer begins with %s; the URL must be that of a "
                          "gateway, not of the SSH server behind it"),
                        gateway, received);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                      _("the server at %s does not speak HTTP: its answer begins with %s; the URL must be that of a "
                        "gateway, not of the service behind it"),
                      gateway, received);
}

/* Gateways that cannot be reached */

static const char *
advise_on_cause (const TcpDialFailure *failure)
{
  const GError *cause = failure->cause;

  if (failure->proxy != NULL && failure->stage <= TCP_OPENING_PROXY)
    return _("; the proxy is that of the environment or the desktop; no_proxy names hosts to reach without one");
  if (cause->domain == G_RESOLVER_ERROR)
    return strstr (cause->message, g_uri_get_host (failure->uri)) != NULL
               ? _("; check the host in the URL, and the network")
               : _("; this is the name of a proxy, from the environment or the desktop");
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    return _("; nothing listens there: check whether the gateway runs, and host and port of the URL");
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_HOST_UNREACHABLE) ||
      g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NETWORK_UNREACHABLE))
    return _("; there is no way to this address: check the host in the URL, the network, and a VPN if it needs one");
  if (failure->stage == TCP_OPENING_TLS)
    return _("; it ended the connection in place of a TLS handshake; if the port has no TLS, try ws://");
  if (failure->stage == TCP_OPENING_HTTP)
    return is_secure (failure) ? _("; it ended the connection without an answer")
                               : _("; it ended the connection without an answer; if the port expects TLS, try wss://");
  return "";
}

static GError *
unreachable_error (const TcpDialFailure *failure)
{
  g_autofree char *gateway = name_gateway (failure);

  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                      _("the gateway %s cannot be reached: %s%s"), gateway,
                      failure->cause->message, advise_on_cause (failure));
}

GError *
tcp_dial_error_new (const TcpDialFailure *failure)
{
  g_autofree char *gateway = NULL;

  if (failure->timed_out)
    return timeout_error (failure);
  if (failure->status >= 200)
    return status_error (failure);
  if (failure->cause->domain == G_TLS_ERROR)
    return tls_error (failure);
  if (is_from_proxy (failure->cause))
    return proxy_error (failure);
  if (g_error_matches (failure->cause, SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING))
    return parse_error (failure);
  if (failure->cause->domain != SOUP_WEBSOCKET_ERROR)
    return unreachable_error (failure);

  gateway = name_gateway (failure);
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                      _("the server at %s is not a WebSocket server: %s (check host, port and path of the URL, and a proxy in "
                        "front of it)"),
                      gateway, failure->cause->message);
}
