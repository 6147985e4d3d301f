/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/dialer.h"

#include <errno.h>
#include <glib-unix.h>
#include <libsoup/soup.h>
#include <string.h>
#include <sys/socket.h>
#include "base/text.h"
#include "io/reactor.h"
#include "protocol/plain.h"
#include "protocol/resumable.h"
#include "tunnel/dial-error.h"

/* A gateway may ask to wait, but not for ever. */
#define MAX_RETRY_AFTER (10 * 60 * 1000)

/* How much of a token shows that an answer repeats it, in bytes. */
#define MIN_TOKEN_ECHO 4

struct _TcpDialer
{
  SoupSession *session;
  char *token;
  char *former_token; /* which a gateway may still say back; nullable */
  guint token_serial;
  guint failures; /* in a row */
  char **headers;
  GTlsCertificate *certificate;
  TcpTunnelResumption resumption;
  const char *protocol; /* what is asked for */
  char *display;
  guint timeout;
  guint keepalive_interval;
  guint keepalive_timeout;
  TcpLog *log;
  TcpStatus *status;
  TcpChannelGroup *group;
};

typedef struct
{
  TcpDialer *dialer; /* not valid once cancelled */
  TcpChannelGroup *group;
  GUri *uri;
  SoupMessage *message;
  GSocket *socket;
  gboolean wrapped; /* in TLS, to the gateway or to a proxy */
  GCancellable *cancellable; /* ours: the caller's, or the time is up */
  GCancellable *caller;
  gulong caller_id;
  TcpTimer *timeout;
  gboolean timed_out;
  TcpDialStage stage;
  char *proxy; /* its URL, or NULL */
  GTlsCertificate *refused;
  GTlsCertificateFlags refused_for;
  GSource *arrival; /* NULL once it has come */
  char received[64]; /* the first bytes of an answer without TLS */
  gsize n_received;
  gboolean not_http;
  TcpDialFunc func;
  gpointer user_data;
} Attempt;

TcpDialer *
tcp_dialer_new (const TcpTunnelSettings *settings,
                TcpLog                  *log,
                TcpStatus               *status,
                TcpChannelGroup         *group)
{
  TcpDialer *self = g_new0 (TcpDialer, 1);

  self->session = soup_session_new_with_options ("user-agent", "libtcptunnel/" TCP_TUNNEL_VERSION,
                                                 "max-conns", 64, "max-conns-per-host", 64,
                                                 "timeout", 0, "idle-timeout", 0, NULL);
  /* Neither a session nor a proxy makes use of a compressed tunnel. */
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_WEBSOCKET_EXTENSION_MANAGER);
  if (settings->proxy_resolver != NULL)
    soup_session_set_proxy_resolver (self->session, settings->proxy_resolver);
  if (settings->tls_database != NULL)
    soup_session_set_tls_database (self->session, settings->tls_database);
  if (settings->client_certificate != NULL)
    self->certificate = g_object_ref (settings->client_certificate);
  self->token = g_strdup (settings->token);
  if (self->token != NULL)
    tcp_text_add_secret (self->token);
  self->headers = g_strdupv (settings->request_headers);
  self->resumption = settings->resumption;
  if (settings->resumption != TCP_TUNNEL_RESUMPTION_OFF)
    self->protocol = TCP_RESUMABLE_NAME;
  else if (settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    self->protocol = tcp_protocol_tagged.name;
  else
    self->protocol = tcp_protocol_raw.name;
  self->display = g_strdup (settings->display);
  self->timeout = settings->connect_timeout;
  self->keepalive_interval = settings->keepalive_interval;
  self->keepalive_timeout = settings->keepalive_timeout;
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->group = tcp_channel_group_ref (group);

  return self;
}

void
tcp_dialer_free (TcpDialer *self)
{
  soup_session_abort (self->session);
  g_object_unref (self->session);
  g_clear_object (&self->certificate);
  g_strfreev (self->headers);
  if (self->token != NULL)
    tcp_text_remove_secret (self->token);
  if (self->former_token != NULL)
    tcp_text_remove_secret (self->former_token);
  g_free (self->token);
  g_free (self->former_token);
  g_free (self->display);
  tcp_log_unref (self->log);
  tcp_status_unref (self->status);
  tcp_channel_group_unref (self->group);
  g_free (self);
}

void
tcp_dialer_set_token (TcpDialer  *self,
                      const char *token)
{
  if (self->former_token != NULL)
    tcp_text_remove_secret (self->former_token);
  g_free (self->former_token);
  self->former_token = g_steal_pointer (&self->token);
  self->token = g_strdup (token);
  tcp_text_add_secret (token);
  self->token_serial++;
}

/* The number of the token, by which it is known from those before. */
guint
tcp_dialer_get_token_serial (TcpDialer *self)
{
  return self->token_serial;
}

/* Of an attempt, or of a WebSocket that broke before it was of any use; how many in a row. */
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

/* In ms, -1 if there is nothing that can be understood. */
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

static void
attempt_forget_arrival (Attempt *attempt)
{
  if (attempt->arrival != NULL)
    g_source_destroy (attempt->arrival);
  g_clear_pointer (&attempt->arrival, g_source_unref);
}

static void
attempt_free (Attempt *attempt)
{
  if (attempt->caller != NULL)
    g_cancellable_disconnect (attempt->caller, attempt->caller_id);
  g_clear_object (&attempt->caller);
  tcp_timer_clear (&attempt->timeout);
  attempt_forget_arrival (attempt);
  g_clear_object (&attempt->refused);
  g_free (attempt->proxy);
  g_clear_object (&attempt->cancellable);
  g_signal_handlers_disconnect_by_data (attempt->message, attempt);
  g_clear_object (&attempt->message);
  g_clear_object (&attempt->socket);
  g_uri_unref (attempt->uri);
  tcp_channel_group_leave (attempt->group);
  tcp_channel_group_unref (attempt->group);
  g_free (attempt);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Attempt, attempt_free)

/* Whether what came holds the token, or the beginning of it. */
static gboolean
echoes_token (TcpDialer *self,
              Attempt   *attempt)
{
  g_autofree char *beginning = g_strndup (self->token, MIN_TOKEN_ECHO);

  return g_strstr_len (attempt->received, attempt->n_received, beginning) != NULL;
}

static void
describe_failure (TcpDialer     *self,
                  Attempt       *attempt,
                  GError        *cause,
                  TcpDialResult *result)
{
  SoupMessageHeaders *headers = soup_message_get_response_headers (attempt->message);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  TcpDialFailure failure = {
    .uri = attempt->uri,
    .display = self->display,
    .proxy = attempt->proxy,
    .stage = attempt->stage,
    .timed_out = attempt->timed_out,
    .timeout = self->timeout,
    .status = soup_message_get_status (attempt->message),
    .phrase = soup_message_get_reason_phrase (attempt->message),
    .location = soup_message_headers_get_one (headers, "Location"),
    .challenge = soup_message_headers_get_list (headers, "WWW-Authenticate"),
    .retry_after = tcp_dial_parse_retry_after (soup_message_headers_get_one (headers, "Retry-After"), now),
    .not_http = attempt->not_http,
    .cause = cause,
    .certificate = attempt->refused,
    .certificate_errors = attempt->refused_for,
    .received = attempt->received,
    .n_received = echoes_token (self, attempt) ? 0 : attempt->n_received,
  };

  if (!failure.timed_out && failure.status >= 200)
    {
      result->status = failure.status;
      result->retry_after = failure.retry_after;
    }
  /* A handshake that was only broken off, as a proxy without its gateway does, may succeed later. */
  result->untrusted = cause->domain == G_TLS_ERROR && cause->code != G_TLS_ERROR_NOT_TLS &&
                      cause->code != G_TLS_ERROR_EOF;
  result->error = tcp_dial_error_new (&failure);
}

/* libsoup has made a connection of its own around the stream, whose reading has to
 * stop before ours begins. It stays as the stream's owner. */
static void
silence (SoupWebsocketConnection *connection)
{
  GMainContext *context = g_main_context_get_thread_default ();
  GSource *source = g_main_context_find_source_by_user_data (context, connection);

  /* There is a test that says so loudly if a libsoup does it another way. */
  g_return_if_fail (source != NULL);
  g_source_destroy (source);
}

static TcpChannel *
attempt_make_channel (TcpDialer               *self,
                      Attempt                 *attempt,
                      SoupWebsocketConnection *connection)
{
  TcpChannelOptions options = {
    .client = TRUE,
    .uri = attempt->uri,
    .socket = attempt->socket,
    .plain = !attempt->wrapped && strcmp (g_uri_get_scheme (attempt->uri), "ws") == 0,
    .owner = G_OBJECT (connection),
    .keepalive_interval = self->keepalive_interval,
    .keepalive_timeout = self->keepalive_timeout,
    .log = self->log,
    .status = self->status,
    .group = self->group,
  };

  silence (connection);
  return tcp_channel_new (soup_websocket_connection_get_io_stream (connection), &options);
}

/* Whether what the gateway speaks will do. */
static gboolean
attempt_negotiate (TcpDialer     *self,
                   Attempt       *attempt,
                   TcpDialResult *result)
{
  SoupMessageHeaders *headers = soup_message_get_response_headers (attempt->message);
  const char *spoken = soup_message_headers_get_list (headers, TCP_RESUMABLE_HEADER);

  result->foreign = spoken == NULL;
  if (self->resumption == TCP_TUNNEL_RESUMPTION_OFF)
    return TRUE;

  result->resumable = tcp_resumable_is_offered (spoken);
  if (result->resumable || self->resumption == TCP_TUNNEL_RESUMPTION_AUTO)
    return TRUE;

  result->unsuitable = TRUE;
  result->error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                               "the gateway %s cannot resume sessions (it does not speak %s), which is required",
                               self->display, TCP_RESUMABLE_NAME);
  return FALSE;
}

static void
on_dialled (GObject      *object,
            GAsyncResult *async_result,
            gpointer      user_data)
{
  g_autoptr (Attempt) attempt = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (SoupWebsocketConnection) connection = NULL;
  TcpDialResult result = { .retry_after = -1 };

  connection = soup_session_websocket_connect_finish (SOUP_SESSION (object), async_result, &error);
  if (g_cancellable_is_cancelled (attempt->caller))
    return;

  if (connection != NULL && attempt_negotiate (attempt->dialer, attempt, &result))
    result.channel = attempt_make_channel (attempt->dialer, attempt, connection);
  else if (connection == NULL)
    describe_failure (attempt->dialer, attempt, error, &result);

  attempt->func (&result, attempt->user_data);
  g_clear_error (&result.error);
  g_clear_pointer (&result.channel, tcp_channel_unref);
}

/* Looks at the first bytes that come, which libsoup does not show: they tell what it is that
 * answers, if it does not speak HTTP. */
static void
attempt_peek (Attempt *attempt)
{
  gssize n;

  if (attempt->arrival == NULL)
    return;
  n = recv (g_socket_get_fd (attempt->socket), attempt->received, sizeof attempt->received, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  attempt->n_received = MAX (n, 0);
  attempt_forget_arrival (attempt);
  /* libsoup would wait for the end of a head, which may not come. */
  attempt->not_http = n > 0 && memcmp (attempt->received, "HTTP/", MIN (n, (gssize) strlen ("HTTP/"))) != 0;
  if (attempt->not_http)
    tcp_timer_set (attempt->timeout, 0);
}

static void
on_wrote (SoupMessage *message,
          gpointer     user_data)
{
  attempt_peek (user_data);
}

static gboolean
on_arrival (int          fd,
            GIOCondition condition,
            gpointer     user_data)
{
  attempt_peek (user_data);
  return G_SOURCE_CONTINUE;
}

/* Before libsoup reads them. */
static void
attempt_await_arrival (Attempt *attempt)
{
  attempt_forget_arrival (attempt);
  if (attempt->proxy != NULL || strcmp (g_uri_get_scheme (attempt->uri), "ws") != 0)
    return;
  attempt->arrival = g_unix_fd_source_new (g_socket_get_fd (attempt->socket), G_IO_IN);
  g_source_set_static_name (attempt->arrival, "[tcptunnel] first bytes of an answer");
  g_source_set_priority (attempt->arrival, G_PRIORITY_HIGH);
  g_source_set_callback (attempt->arrival, G_SOURCE_FUNC (on_arrival), attempt, NULL);
  g_source_attach (attempt->arrival, g_main_context_get_thread_default ());
}

static void
attempt_note_proxy (Attempt   *attempt,
                    GIOStream *stream)
{
  g_autoptr (GSocketAddress) address = g_socket_connection_get_remote_address (G_SOCKET_CONNECTION (stream), NULL);
  g_autofree char *host = NULL;

  g_clear_pointer (&attempt->proxy, g_free);
  if (!G_IS_PROXY_ADDRESS (address))
    return;
  host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
  attempt->proxy = g_uri_join (G_URI_FLAGS_NONE, g_proxy_address_get_protocol (G_PROXY_ADDRESS (address)), NULL, host,
                               g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)), "", NULL, NULL);
}

static void
on_network_event (SoupMessage        *message,
                  GSocketClientEvent  event,
                  GIOStream          *stream,
                  gpointer            user_data)
{
  Attempt *attempt = user_data;

  switch (event)
    {
    case G_SOCKET_CLIENT_RESOLVING:
      attempt->stage = TCP_DIAL_STAGE_RESOLVE;
      break;
    case G_SOCKET_CLIENT_CONNECTING:
      attempt->stage = TCP_DIAL_STAGE_CONNECT;
      attempt_note_proxy (attempt, stream);
      break;
    case G_SOCKET_CLIENT_CONNECTED:
      /* The first of the streams is the bare one; TLS and proxies wrap it later. */
      if (!G_IS_SOCKET_CONNECTION (stream))
        break;
      g_set_object (&attempt->socket, g_socket_connection_get_socket (G_SOCKET_CONNECTION (stream)));
      attempt_await_arrival (attempt);
      break;
    case G_SOCKET_CLIENT_PROXY_NEGOTIATING:
      attempt->stage = TCP_DIAL_STAGE_PROXY;
      attempt->wrapped = TRUE;
      break;
    case G_SOCKET_CLIENT_TLS_HANDSHAKING:
      attempt->stage = TCP_DIAL_STAGE_TLS;
      attempt->wrapped = TRUE;
      break;
    case G_SOCKET_CLIENT_COMPLETE:
      attempt->stage = TCP_DIAL_STAGE_HTTP;
      break;
    default:
      break;
    }
}

/* Nothing is accepted here; the error that follows does not say what was wrong. */
static gboolean
on_accept_certificate (SoupMessage          *message,
                       GTlsCertificate      *certificate,
                       GTlsCertificateFlags  errors,
                       gpointer              user_data)
{
  Attempt *attempt = user_data;

  g_set_object (&attempt->refused, certificate);
  attempt->refused_for = errors;
  return FALSE;
}

static gboolean
on_request_certificate (SoupMessage          *message,
                        GTlsClientConnection *connection,
                        gpointer              user_data)
{
  soup_message_set_tls_client_certificate (message, user_data);
  return TRUE;
}

static void
on_caller_cancelled (GCancellable *caller,
                     gpointer      user_data)
{
  g_cancellable_cancel (user_data);
}

static void
on_timeout (gpointer user_data)
{
  Attempt *attempt = user_data;

  attempt->timed_out = !attempt->not_http;
  g_cancellable_cancel (attempt->cancellable);
}

static SoupMessage *
dialer_make_message (TcpDialer *self,
                     GUri      *uri)
{
  SoupMessage *message = soup_message_new_from_uri (SOUP_METHOD_GET, uri);
  SoupMessageHeaders *headers = soup_message_get_request_headers (message);
  g_autofree char *authorization = g_strconcat ("Bearer ", self->token, NULL);

  for (char **header = self->headers; header != NULL && *header != NULL; header++)
    {
      g_autofree char *name = NULL;
      g_autofree char *value = NULL;

      if (tcp_header_split (*header, &name, &value))
        soup_message_headers_append (headers, name, value);
    }
  soup_message_headers_replace (headers, "Authorization", authorization);
  soup_message_headers_replace (headers, TCP_RESUMABLE_HEADER, self->protocol);
  /* A redirection would take the token elsewhere, and 401 is ours to handle. */
  soup_message_add_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  soup_message_disable_feature (message, SOUP_TYPE_AUTH_MANAGER);
  if (self->certificate != NULL)
    g_signal_connect_object (message, "request-certificate", G_CALLBACK (on_request_certificate),
                             self->certificate, 0);

  return message;
}

void
tcp_dialer_dial (TcpDialer    *self,
                 GUri         *uri,
                 GCancellable *cancellable,
                 TcpDialFunc   func,
                 gpointer      user_data)
{
  Attempt *attempt = g_new0 (Attempt, 1);

  attempt->dialer = self;
  /* libsoup tidies up on the I/O thread, also after a cancellation. */
  attempt->group = tcp_channel_group_ref (self->group);
  tcp_channel_group_enter (attempt->group);
  attempt->uri = g_uri_ref (uri);
  attempt->func = func;
  attempt->user_data = user_data;
  attempt->message = dialer_make_message (self, uri);
  attempt->cancellable = g_cancellable_new ();
  attempt->caller = g_object_ref (cancellable);
  attempt->caller_id = g_cancellable_connect (cancellable, G_CALLBACK (on_caller_cancelled),
                                              attempt->cancellable, NULL);
  attempt->timeout = tcp_timer_new (on_timeout, attempt);
  if (self->timeout > 0)
    tcp_timer_set (attempt->timeout,
                   g_get_monotonic_time () + self->timeout * G_TIME_SPAN_MILLISECOND);
  g_signal_connect (attempt->message, "network-event", G_CALLBACK (on_network_event), attempt);
  g_signal_connect (attempt->message, "accept-certificate", G_CALLBACK (on_accept_certificate), attempt);
  g_signal_connect (attempt->message, "wrote-headers", G_CALLBACK (on_wrote), attempt);
  g_signal_connect (attempt->message, "wrote-body", G_CALLBACK (on_wrote), attempt);

  soup_session_websocket_connect_async (self->session, attempt->message, NULL, NULL, G_PRIORITY_DEFAULT,
                                        attempt->cancellable, on_dialled, attempt);
}
