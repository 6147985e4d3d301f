/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/dialer.h"

#include <libsoup/soup.h>
#include <string.h>
#include "base/i18n.h"
#include "base/text.h"
#include "io/reactor.h"
#include "protocol/plain.h"
#include "protocol/resumable.h"
#include "tunnel/dial-error.h"
#include "websocket/opening.h"

/* The limit on the delay that a gateway may request, in ms. */
#define MAX_RETRY_AFTER (10 * 60 * 1000)

/* How long it is considered known that no proxy is needed, so that not every connection asks the resolver, which takes
 * a thread. Changes of the settings take effect soon enough. */
#define DIRECT_TIME (5 * G_TIME_SPAN_SECOND)

/* A shorter part of the credentials occurs in many words. */
#define MIN_SECRET_PART 8

/* This many bytes of a token in an answer mean that the answer repeats it. */
#define MIN_TOKEN_ECHO 4

/* A shorter value in a header of the application is not a secret. */
#define MIN_SECRET 8

struct _TcpDialer
{
  char *token;        /* nullable */
  char *authorization; /* nullable; used instead of a token */
  char *former_token; /* a gateway may still repeat it; nullable */
  guint token_serial;
  guint failures; /* in succession */
  gboolean bad_route; /* a route was ignored, which was logged */
  char **headers;
  char **subprotocols;
  char *origin;
  GPtrArray *secrets; /* of char; parts of the headers that messages must not contain */
  char *connect_host; /* nullable */
  guint16 connect_port;
  GProxyResolver *proxy_resolver;
  GTlsDatabase *tls_database;
  GTlsCertificate *certificate;
  gint64 direct_until; /* until then it is known that no proxy is needed */
  TcpTunnelResumption resumption;
  const char *protocol; /* the protocol to request */
  char *target;         /* the target to request; nullable */
  char *display;
  guint timeout;
  guint keepalive_interval;
  guint keepalive_timeout;
  gboolean single;
  gboolean parallel;
  TcpLog *log;
  TcpStatus *status;
  TcpChannelGroup *group;
};

typedef struct
{
  TcpDialer *dialer; /* not valid once cancelled */
  GUri *uri;
  TcpDialSentFunc sent; /* nullable */
  TcpDialFunc func;
  gpointer user_data;
} Attempt;

static void
free_secret (gpointer secret)
{
  tcp_text_remove_secret (secret);
  g_free (secret);
}

static void
dialer_add_secret (TcpDialer  *self,
                   const char *secret)
{
  if (strlen (secret) < MIN_SECRET)
    return;

  tcp_text_add_secret (secret);
  g_ptr_array_add (self->secrets, g_strdup (secret));
}

/* Adds each part of the value, without the scheme, its names and quotes, and the decoded credentials of Basic. */
static void
dialer_add_authorization (TcpDialer  *self,
                          const char *authorization)
{
  const char *space = strchr (authorization, ' ');
  const char *credentials = space != NULL ? space + 1 : authorization;
  g_auto (GStrv) parts = g_strsplit_set (credentials, " ,\"", -1);

  dialer_add_secret (self, credentials);
  for (char **part = parts; *part != NULL; part++)
    if (strlen (*part) >= MIN_SECRET_PART && !g_str_has_suffix (*part, "="))
      dialer_add_secret (self, *part);
  if (g_ascii_strncasecmp (authorization, "Basic ", strlen ("Basic ")) == 0)
    {
      gsize length;
      g_autofree char *decoded = (char *) g_base64_decode (credentials, &length);
      g_autofree char *text = g_strndup (decoded, length);
      const char *colon = strchr (text, ':');

      if (colon != NULL)
        dialer_add_secret (self, colon + 1);
    }
}

/* Collects what a server may repeat: the credentials without their scheme, and every header of the application, whose
 * meaning is unknown. */
static void
dialer_collect_secrets (TcpDialer *self)
{
  if (self->authorization != NULL)
    dialer_add_authorization (self, self->authorization);
  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    {
      g_autofree char *name = NULL;
      g_autofree char *value = NULL;

      if (tcp_header_split (*header, &name, &value) && g_ascii_strcasecmp (name, "User-Agent") != 0)
        dialer_add_secret (self, value);
    }
}

TcpDialer *
tcp_dialer_new (const TcpTunnelSettings *settings,
                TcpLog                  *log,
                TcpStatus               *status,
                TcpChannelGroup         *group)
{
  TcpDialer *self = g_new0 (TcpDialer, 1);

  g_set_object (&self->proxy_resolver, settings->proxy_resolver);
  g_set_object (&self->tls_database, settings->tls_database);
  g_set_object (&self->certificate, settings->client_certificate);
  self->token = g_strdup (settings->token);
  if (self->token != NULL)
    tcp_text_add_secret (self->token);
  self->authorization = g_strdup (settings->authorization);
  self->headers = g_strdupv (settings->request_headers);
  self->subprotocols = settings->subprotocols != NULL && *settings->subprotocols != NULL ? g_strdupv (settings->subprotocols)
                                                                                       : NULL;
  self->origin = g_strdup (settings->origin);
  self->connect_host = g_strdup (settings->connect_host);
  self->connect_port = settings->connect_port;
  self->secrets = g_ptr_array_new_with_free_func (free_secret);
  dialer_collect_secrets (self);
  self->resumption = settings->common.resumption;
  if (settings->common.resumption != TCP_TUNNEL_RESUMPTION_OFF)
    self->protocol = TCP_RESUMABLE_NAME;
  else if (settings->reverse)
    self->protocol = tcp_protocol_reverse.name;
  else if (settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    self->protocol = tcp_protocol_tagged.name;
  else
    self->protocol = tcp_protocol_raw.name;
  self->target = g_strdup (settings->target);
  self->display = g_strdup (settings->display);
  self->timeout = settings->common.connect_timeout;
  self->keepalive_interval = settings->common.keepalive_interval;
  self->keepalive_timeout = settings->common.keepalive_timeout;
  self->parallel = settings->mode == TCP_TUNNEL_MODE_PARALLEL;
  self->single = settings->mode != TCP_TUNNEL_MODE_MULTIPLEXED;
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->group = tcp_channel_group_ref (group);

  return self;
}

void
tcp_dialer_free (TcpDialer *self)
{
  g_clear_object (&self->proxy_resolver);
  g_clear_object (&self->tls_database);
  g_clear_object (&self->certificate);
  g_strfreev (self->headers);
  g_strfreev (self->subprotocols);
  g_ptr_array_unref (self->secrets);
  g_free (self->authorization);
  g_free (self->origin);
  g_free (self->connect_host);
  if (self->token != NULL)
    tcp_text_remove_secret (self->token);
  if (self->former_token != NULL)
    tcp_text_remove_secret (self->former_token);
  g_free (self->token);
  g_free (self->former_token);
  g_free (self->target);
  g_free (self->display);
  tcp_log_unref (self->log);
  tcp_status_unref (self->status);
  tcp_channel_group_unref (self->group);
  g_free (self);
}

/* @serial: the number of tokens so far, of which some may never have been passed to the dialer. */
void
tcp_dialer_set_token (TcpDialer  *self,
                      const char *token,
                      guint       serial)
{
  /* A token takes effect at the next start if there was none at this one. */
  if (self->token == NULL)
    return;

  if (self->former_token != NULL)
    tcp_text_remove_secret (self->former_token);
  g_free (self->former_token);
  self->former_token = g_steal_pointer (&self->token);
  self->token = g_strdup (token);
  tcp_text_add_secret (token);
  self->token_serial = serial;
}

/* Applies to attempts that begin from now on; NULL for none. */
void
tcp_dialer_set_certificate (TcpDialer       *self,
                            GTlsCertificate *certificate)
{
  g_set_object (&self->certificate, certificate);
}

/* The number of the current token, which distinguishes it from former ones. */
guint
tcp_dialer_get_token_serial (TcpDialer *self)
{
  return self->token_serial;
}

/* Counts a failed attempt, or a WebSocket that broke before it was of use; returns the number in succession. */
guint
tcp_dialer_count_failure (TcpDialer *self)
{
  return ++self->failures;
}

void
tcp_dialer_restart_failures (TcpDialer *self)
{
  self->failures = 0;
}

/* In ms, -1 if the header is absent or invalid. */
gint64
tcp_dial_parse_retry_after (const char *text,
                            GDateTime  *now)
{
  g_autoptr (GDateTime) date = NULL;
  guint64 seconds;
  gint64 wait;

  if (text == NULL)
    return -1;
  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32, &seconds, NULL))
    return MIN (seconds * 1000, MAX_RETRY_AFTER);

  date = soup_date_time_new_from_http_string (text);
  if (date == NULL)
    return -1;
  wait = g_date_time_difference (date, now) / G_TIME_SPAN_MILLISECOND;
  return CLAMP (wait, 0, MAX_RETRY_AFTER);
}

static gboolean
shows_secret (const TcpOpeningResult *opening,
              const char             *secret)
{
  g_autofree char *beginning = g_strndup (secret, MIN_TOKEN_ECHO);

  return g_strstr_len (opening->received, opening->n_received, beginning) != NULL;
}

/* Returns how many of the received bytes may be shown: none if they contain the token, another secret, or the beginning
 * of one. */
static gsize
count_shown (TcpDialer              *self,
             const TcpOpeningResult *opening)
{
  if (self->token != NULL && shows_secret (opening, self->token))
    return 0;
  for (guint i = 0; i < self->secrets->len; i++)
    if (shows_secret (opening, self->secrets->pdata[i]))
      return 0;
  return opening->n_received;
}

static void
describe_failure (TcpDialer              *self,
                  GUri                   *uri,
                  const TcpOpeningResult *opening,
                  TcpDialResult          *result)
{
  SoupMessageHeaders *headers = opening->answer->headers;
  TcpDialFailure failure = {
    .uri = uri,
    .display = self->display,
    .proxy = opening->proxy,
    .stage = opening->stage,
    .timed_out = opening->timed_out,
    .timeout = self->timeout,
    .authorized = self->authorization != NULL,
    .anonymous = self->authorization == NULL && self->token == NULL,
    .retry_after = -1,
    .cause = opening->error,
    .certificate = opening->refused,
    .certificate_errors = opening->refused_for,
    .received = opening->received,
    .n_received = count_shown (self, opening),
  };

  if (opening->error == NULL)
    {
      g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

      failure.status = opening->answer->status;
      failure.phrase = opening->answer->phrase;
      failure.server = soup_message_headers_get_one (headers, "Server");
      failure.location = soup_message_headers_get_one (headers, "Location");
      failure.challenge = soup_message_headers_get_list (headers, "WWW-Authenticate");
      failure.retry_after = tcp_dial_parse_retry_after (soup_message_headers_get_one (headers, "Retry-After"), now);
      result->status = failure.status;
      result->retry_after = failure.retry_after;
    }
  /* A handshake that was only broken off, for example by a proxy without its gateway, may succeed later. */
  result->untrusted = opening->error != NULL && opening->error->domain == G_TLS_ERROR &&
                      opening->error->code != G_TLS_ERROR_NOT_TLS && opening->error->code != G_TLS_ERROR_EOF;
  result->error = tcp_dial_error_new (&failure);
}

static TcpChannel *
dialer_make_channel (TcpDialer              *self,
                     gboolean                resumable,
                     GUri                   *uri,
                     const TcpOpeningResult *opening)
{
  TcpChannelOptions options = {
    .client = TRUE,
    .uri = uri,
    .socket = opening->socket,
    .plain = opening->plain,
    .buffered = opening->buffered,
    .early = opening->early,
    .keepalive_interval = self->keepalive_interval,
    .keepalive_timeout = self->keepalive_timeout,
    .brief = self->single,
    .late_ping = self->parallel && !resumable,
    .log = self->log,
    .status = self->status,
    .group = self->group,
  };

  return tcp_channel_new (opening->stream, &options);
}

/* Whether the protocol of the gateway is suitable. */
static gboolean
dialer_negotiate (TcpDialer          *self,
                  SoupMessageHeaders *headers,
                  TcpDialResult      *result)
{
  const char *spoken = soup_message_headers_get_list (headers, TCP_RESUMABLE_HEADER);

  result->foreign = spoken == NULL;
  if (self->resumption == TCP_TUNNEL_RESUMPTION_OFF)
    return TRUE;

  result->resumable = tcp_resumable_is_offered (spoken);
  if (result->resumable || (self->resumption == TCP_TUNNEL_RESUMPTION_AUTO && self->target == NULL))
    return TRUE;

  result->unsuitable = TRUE;
  if (self->target != NULL)
    {
      result->error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                                   _("the gateway %s cannot be asked for the target %s (it does not speak %s)"),
                                   self->display, self->target, TCP_RESUMABLE_NAME);
      return FALSE;
    }
  result->error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                               _("the gateway %s cannot resume sessions (it does not speak %s), which is required"),
                               self->display, TCP_RESUMABLE_NAME);
  return FALSE;
}

static const char *
dialer_get_route (TcpDialer          *self,
                  SoupMessageHeaders *headers)
{
  const char *route = soup_message_headers_get_list (headers, TCP_RESUMABLE_ROUTE_HEADER);
  g_autofree char *shown = NULL;

  if (route == NULL || tcp_resumable_route_is_valid (route))
    return route;

  if (!self->bad_route)
    {
      shown = tcp_text_from_peer (route, strlen (route));
      tcp_log_warn (self->log,
                    "the gateway %s sent a Tcp-Tunnel-Route that is ignored, as it is not 1 to %d letters, digits, dashes, "
                    "dots, underscores and tildes: %s",
                    self->display, TCP_RESUMABLE_MAX_ROUTE, shown);
    }
  self->bad_route = TRUE;
  return NULL;
}

static void
on_sent (gpointer user_data)
{
  Attempt *attempt = user_data;

  if (attempt->sent != NULL)
    attempt->sent (attempt->user_data);
}

static void
on_opened (const TcpOpeningResult *opening,
           gpointer                user_data)
{
  Attempt *attempt = user_data;
  TcpDialer *self = attempt->dialer;
  TcpDialResult result = { .retry_after = -1 };

  if (opening->direct)
    self->direct_until = tcp_now () + DIRECT_TIME;
  else if (opening->error != NULL)
    self->direct_until = 0;
  if (opening->stream == NULL)
    describe_failure (self, attempt->uri, opening, &result);
  else if (dialer_negotiate (self, opening->answer->headers, &result))
    result.channel = dialer_make_channel (self, result.resumable, attempt->uri, opening);
  if (result.channel != NULL && result.resumable)
    result.route = dialer_get_route (self, opening->answer->headers);

  attempt->func (&result, attempt->user_data);
  g_clear_error (&result.error);
  g_clear_pointer (&result.channel, tcp_channel_unref);
}

static void
attempt_free (gpointer data)
{
  Attempt *attempt = data;

  g_uri_unref (attempt->uri);
  g_free (attempt);
}

/* Returns the application's headers and ours, which it cannot replace, except User-Agent. */
static char *
dialer_make_headers (TcpDialer *self)
{
  GString *lines = g_string_new (NULL);
  gboolean has_agent = FALSE;

  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    {
      g_autofree char *name = NULL;
      g_autofree char *value = NULL;

      if (!tcp_header_split (*header, &name, &value) || g_ascii_strcasecmp (name, TCP_RESUMABLE_HEADER) == 0)
        continue;
      g_string_append_printf (lines, "%s: %s\r\n", name, value);
      has_agent |= g_ascii_strcasecmp (name, "User-Agent") == 0;
    }
  if (!has_agent)
    g_string_append (lines, "User-Agent: libtcptunnel/" TCP_TUNNEL_VERSION "\r\n");
  if (self->token != NULL)
    g_string_append_printf (lines, "Authorization: Bearer %s\r\n", self->token);
  else if (self->authorization != NULL)
    g_string_append_printf (lines, "Authorization: %s\r\n", self->authorization);
  if (self->origin != NULL)
    g_string_append_printf (lines, "Origin: %s\r\n", self->origin);
  if (self->subprotocols != NULL)
    {
      g_autofree char *offered = g_strjoinv (", ", self->subprotocols);

      g_string_append_printf (lines, "Sec-WebSocket-Protocol: %s\r\n", offered);
    }
  g_string_append_printf (lines, TCP_RESUMABLE_HEADER ": %s\r\n", self->protocol);
  return g_string_free (lines, FALSE);
}

/* @sent may be NULL. */
void
tcp_dialer_dial (TcpDialer       *self,
                 GUri            *uri,
                 GCancellable    *cancellable,
                 TcpDialSentFunc  sent,
                 TcpDialFunc      func,
                 gpointer         user_data)
{
  Attempt *attempt = g_new0 (Attempt, 1);
  g_autofree char *headers = dialer_make_headers (self);
  TcpOpeningOptions options = {
    .uri = uri,
    .connect_host = self->connect_host,
    .connect_port = self->connect_port,
    .headers = headers,
    .subprotocols = (const char *const *) self->subprotocols,
    .proxy_resolver = self->proxy_resolver,
    .tls_database = self->tls_database,
    .certificate = self->certificate,
    .timeout = self->timeout,
    .direct = tcp_now () < self->direct_until,
    .group = self->group,
  };

  attempt->dialer = self;
  attempt->uri = g_uri_ref (uri);
  attempt->sent = sent;
  attempt->func = func;
  attempt->user_data = user_data;
  tcp_open_websocket (&options, cancellable, on_sent, on_opened, attempt, attempt_free);
}
