/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/opening.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include "io/connect.h"
#include "io/reactor.h"

#define CHUNK (8 * 1024)

typedef struct
{
  TcpOpeningSentFunc sent_func;
  TcpOpeningFunc func;
  gpointer user_data;
  GDestroyNotify free_func;
  TcpChannelGroup *group;
  GUri *uri;
  char *host; /* in ASCII */
  char **subprotocols;
  gboolean secure;
  GTlsDatabase *tls_database;
  GTlsCertificate *certificate;
  GCancellable *cancellable; /* our own: cancelled with the caller's, or at the timeout */
  GCancellable *caller;
  gulong caller_id;
  TcpTimer *timeout;

  GSocketClient *client;
  TcpConnect *connect; /* used instead, to connect to an address */
  GSocket *socket;
  GIOStream *stream; /* NULL while a thread uses it */
  TcpBufferedConnection *buffered;
  gboolean plain;
  TcpWatch *watch; /* from the request on */
  GString *request;
  gsize written;
  gboolean sent; /* the whole request */
  char key[32];
  TcpAnswer answer;

  gboolean timed_out;
  TcpOpeningStage stage;
  char *proxy;
  gboolean proxied; /* a proxy was tried */
  GTlsCertificate *refused;
  GTlsCertificateFlags refused_for;
  char received[TCP_OPENING_MAX_SHOWN];
  gsize n_received;
} Opening;

/* The end */

static void
opening_free (Opening *self)
{
  self->free_func (self->user_data);
  g_cancellable_disconnect (self->caller, self->caller_id);
  g_clear_object (&self->caller);
  g_clear_object (&self->cancellable);
  tcp_timer_clear (&self->timeout);
  tcp_watch_clear (&self->watch);
  if (self->client != NULL)
    g_signal_handlers_disconnect_by_data (self->client, self);
  g_clear_object (&self->client);
  g_clear_pointer (&self->connect, tcp_connect_free);
  g_clear_object (&self->stream);
  g_clear_object (&self->buffered);
  g_clear_object (&self->socket);
  g_clear_object (&self->tls_database);
  g_clear_object (&self->certificate);
  g_clear_object (&self->refused);
  if (self->request != NULL)
    g_string_free (self->request, TRUE);
  tcp_answer_clear (&self->answer);
  g_free (self->proxy);
  g_free (self->host);
  g_strfreev (self->subprotocols);
  g_uri_unref (self->uri);
  tcp_channel_group_leave (self->group);
  g_free (self);
}

/* Does not wait: TLS without our buffer finds that its socket was shut down. */
static void
opening_close (Opening *self)
{
  tcp_watch_clear (&self->watch);
  if (self->stream == NULL)
    return;
  if (self->buffered == NULL)
    g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  g_io_stream_close (self->stream, NULL, NULL);
}

/* Takes ownership of @error. If that is NULL, the result is a WebSocket, or a refusal by the status. */
static void
opening_finish (Opening *self,
                GError  *error)
{
  gboolean opened = error == NULL && self->answer.status == SOUP_STATUS_SWITCHING_PROTOCOLS;
  g_autoptr (GError) owned G_GNUC_UNUSED = error;
  TcpOpeningResult result = {
    .stream = opened ? self->stream : NULL,
    .socket = self->socket,
    .buffered = self->buffered,
    .plain = self->plain,
    .early = self->answer.data,
    .error = error,
    .timed_out = self->timed_out,
    .stage = self->stage,
    .direct = opened && self->client != NULL && !self->proxied,
    .proxy = self->proxy,
    .refused = self->refused,
    .refused_for = self->refused_for,
    .n_received = self->n_received,
    .answer = &self->answer,
  };

  memcpy (result.received, self->received, sizeof result.received);
  tcp_watch_clear (&self->watch);
  if (!opened || g_cancellable_is_cancelled (self->caller))
    opening_close (self);
  if (!g_cancellable_is_cancelled (self->caller))
    self->func (&result, self->user_data);
  opening_free (self);
}

/* Operations in threads, or with sources of their own, end by themselves once they are cancelled. */
static void
on_timeout (gpointer user_data)
{
  Opening *self = user_data;

  self->timed_out = TRUE;
  g_cancellable_cancel (self->cancellable);
  if (self->stage == TCP_OPENING_TLS)
    g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  if (self->watch != NULL || self->connect != NULL)
    opening_finish (self, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, g_strerror (ETIMEDOUT)));
}

static void
on_caller_cancelled (GCancellable *caller,
                     gpointer      user_data)
{
  Opening *self = user_data;

  tcp_timer_set (self->timeout, 0);
}

/* The request */

/* The URL is sent unchanged, except for characters that HTTP forbids. */
static void
append_escaped (GString    *request,
                const char *text)
{
  for (const char *c = text; *c != '\0'; c++)
    if ((guchar) *c < 0x80)
      g_string_append_c (request, *c);
    else
      g_string_append_printf (request, "%%%02X", (guchar) *c);
}

static void
append_host (Opening *self,
             GString *request)
{
  int port = g_uri_get_port (self->uri);

  if (strchr (self->host, ':') == NULL)
    g_string_append (request, self->host);
  else
    /* The scope of an address has no meaning for the peer. */
    g_string_append_printf (request, "[%.*s]", (int) strcspn (self->host, "%"), self->host);
  if (port > 0 && port != (self->secure ? 443 : 80))
    g_string_append_printf (request, ":%d", port);
}

static void
opening_make_request (Opening    *self,
                      const char *headers)
{
  const char *query = g_uri_get_query (self->uri);
  guint32 nonce[4];
  g_autofree char *key = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (nonce); i++)
    nonce[i] = g_random_int ();
  key = g_base64_encode ((const guchar *) nonce, sizeof nonce);
  g_strlcpy (self->key, key, sizeof self->key);

  self->request = g_string_new ("GET ");
  append_escaped (self->request, *g_uri_get_path (self->uri) != '\0' ? g_uri_get_path (self->uri) : "/");
  if (query != NULL)
    {
      g_string_append_c (self->request, '?');
      append_escaped (self->request, query);
    }
  g_string_append (self->request, " HTTP/1.1\r\nHost: ");
  append_host (self, self->request);
  g_string_append_printf (self->request,
                          "\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Key: %s\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "%s\r\n",
                          key, headers);
}

/* FALSE with an error, or because it would block. */
static gboolean
opening_write (Opening  *self,
               GError  **error)
{
  GPollableOutputStream *output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->stream));

  while (self->written < self->request->len)
    {
      gssize n = g_pollable_output_stream_write_nonblocking (output, self->request->str + self->written,
                                                             self->request->len - self->written, NULL, error);

      if (n < 0)
        return FALSE;
      self->written += n;
    }
  if (self->buffered == NULL)
    return TRUE;
  switch (tcp_buffered_connection_flush (self->buffered, error))
    {
    case G_POLLABLE_RETURN_OK:
      return TRUE;
    case G_POLLABLE_RETURN_WOULD_BLOCK:
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, g_strerror (EAGAIN));
      return FALSE;
    case G_POLLABLE_RETURN_FAILED:
    default:
      return FALSE;
    }
}

/* The answer */

/* Reads until the stream has no more data: the socket does not become readable for data that TLS has decrypted already.
 * FALSE with an error, or because more data is needed. */
static gboolean
opening_read (Opening  *self,
              GError  **error)
{
  GPollableInputStream *input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->stream));
  guint8 data[CHUNK];

  while (TRUE)
    {
      gssize n = g_pollable_input_stream_read_nonblocking (input, data, sizeof data, NULL, error);
      gsize shown;

      if (n < 0)
        return FALSE;
      if (n == 0)
        {
          tcp_answer_end (&self->answer, error);
          return FALSE;
        }

      shown = MIN ((gsize) n, sizeof self->received - self->n_received);
      memcpy (self->received + self->n_received, data, shown);
      self->n_received += shown;
      if (tcp_answer_add (&self->answer, data, n, error))
        return TRUE;
      if (*error != NULL)
        return FALSE;
    }
}

static void
opening_report_sent (Opening *self)
{
  if (self->sent || g_cancellable_is_cancelled (self->caller))
    return;

  self->sent = TRUE;
  self->sent_func (self->user_data);
}

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  Opening *self = user_data;
  g_autoptr (GError) write_error = NULL;
  g_autoptr (GError) error = NULL;
  gboolean blocked = FALSE;

  if (!opening_write (self, &write_error))
    blocked = g_error_matches (write_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  else
    opening_report_sent (self);

  if (opening_read (self, &error))
    {
      if (self->answer.status == SOUP_STATUS_SWITCHING_PROTOCOLS)
        tcp_answer_check (&self->answer, self->key, (const char *const *) self->subprotocols, &error);
      opening_finish (self, g_steal_pointer (&error));
    }
  else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    {
      opening_finish (self, g_steal_pointer (&error));
    }
  else if (write_error != NULL && !blocked)
    {
      opening_finish (self, g_steal_pointer (&write_error));
    }
  else
    {
      tcp_watch_set (self->watch, blocked ? G_IO_IN | G_IO_OUT : G_IO_IN);
    }
}

static void
opening_ask (Opening *self)
{
  self->stage = TCP_OPENING_HTTP;
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), G_IO_IN, on_ready, self);
  on_ready (G_IO_OUT, self);
}

/* TLS */

/* No certificate is accepted here; the error that follows does not contain the reason. */
static gboolean
on_accept_certificate (GTlsConnection       *tls,
                       GTlsCertificate      *certificate,
                       GTlsCertificateFlags  errors,
                       gpointer              user_data)
{
  Opening *self = user_data;

  g_set_object (&self->refused, certificate);
  self->refused_for = errors;
  return FALSE;
}

static void
on_handshake (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  Opening *self = user_data;
  g_autoptr (GError) error = NULL;

  g_signal_handlers_disconnect_by_data (object, self);
  self->stream = G_IO_STREAM (g_object_ref (object));
  tcp_buffered_connection_stop_waiting (self->buffered);
  g_tls_connection_handshake_finish (G_TLS_CONNECTION (object), result, &error);
  if (g_cancellable_is_cancelled (self->cancellable))
    {
      g_clear_error (&error);
      g_cancellable_set_error_if_cancelled (self->cancellable, &error);
    }
  if (error == NULL)
    opening_ask (self);
  else
    opening_finish (self, g_steal_pointer (&error));
}

/* An address is verified, but not sent: SNI is for names only. */
static GSocketConnectable *
opening_make_identity (Opening *self)
{
  int port = g_uri_get_port (self->uri) > 0 ? g_uri_get_port (self->uri) : 443;
  g_autofree char *address = g_strndup (self->host, strcspn (self->host, "%"));
  GSocketAddress *literal = g_inet_socket_address_new_from_string (address, port);

  return literal != NULL ? G_SOCKET_CONNECTABLE (literal) : g_network_address_new (self->host, port);
}

static void
opening_begin_tls (Opening           *self,
                   GSocketConnection *connection)
{
  static const char *const protocols[] = { "http/1.1", NULL };
  GTlsBackend *backend = g_tls_backend_get_default ();
  g_autoptr (GTlsDatabase) database = NULL;
  g_autoptr (GSocketConnectable) identity = opening_make_identity (self);
  g_autoptr (GTlsConnection) tls = NULL;
  GError *error = NULL;

  self->stage = TCP_OPENING_TLS;
  self->buffered = tcp_buffered_connection_new (connection);
  database = self->tls_database != NULL ? g_object_ref (self->tls_database) : g_tls_backend_get_default_database (backend);
  /* A peer that closes without close_notify has sent a WebSocket close frame, or is lost. */
  tls = g_initable_new (g_tls_backend_get_client_connection_type (backend), self->cancellable, &error,
                        "base-io-stream", self->buffered,
                        "server-identity", identity,
                        "database", database,
                        "require-close-notify", FALSE,
                        NULL);
  if (tls == NULL)
    {
      opening_finish (self, error);
      return;
    }
  g_tls_connection_set_advertised_protocols (tls, protocols);
  if (self->certificate != NULL)
    g_tls_connection_set_certificate (tls, self->certificate);
  g_signal_connect (tls, "accept-certificate", G_CALLBACK (on_accept_certificate), self);
  g_clear_object (&self->stream);
  /* With a cancellable, the wait for the peer would need a descriptor, without which GLib aborts the program. */
  g_tls_connection_handshake_async (tls, G_PRIORITY_DEFAULT, NULL, on_handshake, self);
}

/* TCP */

static void
opening_note_proxy (Opening   *self,
                    GIOStream *stream)
{
  g_autoptr (GSocketAddress) address = g_socket_connection_get_remote_address (G_SOCKET_CONNECTION (stream), NULL);
  g_autofree char *host = NULL;

  g_clear_pointer (&self->proxy, g_free);
  if (!G_IS_PROXY_ADDRESS (address))
    return;
  self->proxied = TRUE;
  host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
  self->proxy = g_uri_join (G_URI_FLAGS_NONE, g_proxy_address_get_protocol (G_PROXY_ADDRESS (address)), NULL, host,
                            g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)), "", NULL, NULL);
}

static void
on_event (GSocketClient      *client,
          GSocketClientEvent  event,
          GSocketConnectable *connectable,
          GIOStream          *stream,
          gpointer            user_data)
{
  Opening *self = user_data;

  switch (event)
    {
    case G_SOCKET_CLIENT_RESOLVING:
      self->stage = TCP_OPENING_RESOLVE;
      break;
    case G_SOCKET_CLIENT_CONNECTING:
      self->stage = TCP_OPENING_CONNECT;
      opening_note_proxy (self, stream);
      break;
    case G_SOCKET_CLIENT_PROXY_NEGOTIATING:
      self->stage = TCP_OPENING_PROXY;
      break;
    default:
      break;
    }
}

static void
opening_begin (Opening           *self,
               GSocketConnection *connection)
{
  /* Otherwise the request may wait for the server's delayed ACK of TLS messages that were sent before. */
  g_socket_set_option (self->socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
  if (self->secure)
    {
      opening_begin_tls (self, connection);
      return;
    }
  /* A connection to a proxy over TLS is wrapped. */
  self->plain = !G_IS_TCP_WRAPPER_CONNECTION (connection);
  opening_ask (self);
}

/* Takes ownership of the arguments. */
static void
opening_connected (Opening           *self,
                   GSocketConnection *connection,
                   GError            *error)
{
  if (connection != NULL)
    {
      self->socket = g_object_ref (g_socket_connection_get_socket (connection));
      self->stream = G_IO_STREAM (connection);
    }
  if (error == NULL)
    g_cancellable_set_error_if_cancelled (self->cancellable, &error);
  if (error != NULL)
    opening_finish (self, error);
  else
    opening_begin (self, connection);
}

static void
on_connected (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  GError *error = NULL;
  GSocketConnection *connection = g_socket_client_connect_finish (G_SOCKET_CLIENT (object), result, &error);

  opening_connected (user_data, connection, error);
}

static void
on_address_connected (GSocketConnection *connection,
                      const GError      *error,
                      gpointer           user_data)
{
  Opening *self = user_data;

  g_clear_pointer (&self->connect, tcp_connect_free);
  opening_connected (self, connection != NULL ? g_object_ref (connection) : NULL,
                     error != NULL ? g_error_copy (error) : NULL);
}

/* Tries all addresses, through a proxy if one is configured. Proxies are configured for http and https. As nothing here
 * speaks HTTP to a proxy, the method CONNECT is used for both. */
static void
opening_connect_to_name (Opening        *self,
                         const char     *host,
                         guint16         port,
                         GProxyResolver *proxy_resolver)
{
  g_autoptr (GSocketConnectable) address = g_object_new (G_TYPE_NETWORK_ADDRESS,
                                                         "scheme", self->secure ? "https" : "http",
                                                         "hostname", host,
                                                         "port", port,
                                                         NULL);

  self->client = g_socket_client_new ();
  if (proxy_resolver != NULL)
    g_socket_client_set_proxy_resolver (self->client, proxy_resolver);
  g_signal_connect (self->client, "event", G_CALLBACK (on_event), self);
  g_socket_client_connect_async (self->client, address, self->cancellable, on_connected, self);
}

void
tcp_open_websocket (const TcpOpeningOptions *options,
                    GCancellable            *cancellable,
                    TcpOpeningSentFunc       sent,
                    TcpOpeningFunc           func,
                    gpointer                 user_data,
                    GDestroyNotify           free_func)
{
  Opening *self = g_new0 (Opening, 1);
  g_autoptr (GSocketAddress) address = NULL;
  int port = g_uri_get_port (options->uri);
  const char *host;

  self->sent_func = sent;
  self->func = func;
  self->user_data = user_data;
  self->free_func = free_func;
  self->group = tcp_channel_group_enter (options->group);
  self->uri = g_uri_ref (options->uri);
  self->secure = strcmp (g_uri_get_scheme (self->uri), "wss") == 0;
  self->host = g_hostname_to_ascii (g_uri_get_host (self->uri));
  if (self->host == NULL)
    self->host = g_strdup (g_uri_get_host (self->uri));
  self->subprotocols = g_strdupv ((char **) options->subprotocols);
  self->tls_database = options->tls_database != NULL ? g_object_ref (options->tls_database) : NULL;
  self->certificate = options->certificate != NULL ? g_object_ref (options->certificate) : NULL;
  tcp_answer_init (&self->answer);
  opening_make_request (self, options->headers);

  self->cancellable = g_cancellable_new ();
  self->timeout = tcp_timer_new (on_timeout, self);
  if (options->timeout > 0)
    tcp_timer_set (self->timeout, tcp_now () + options->timeout * G_TIME_SPAN_MILLISECOND);
  self->caller = g_object_ref (cancellable);
  self->caller_id = g_cancellable_connect (cancellable, G_CALLBACK (on_caller_cancelled), self, NULL);

  if (port <= 0)
    port = self->secure ? 443 : 80;
  if (options->connect_host != NULL)
    port = options->connect_port;
  host = options->connect_host != NULL ? options->connect_host : self->host;
  if (options->direct)
    address = tcp_connect_get_literal (host, port);
  if (address == NULL)
    {
      opening_connect_to_name (self, host, port, options->proxy_resolver);
      return;
    }
  self->stage = TCP_OPENING_CONNECT;
  self->connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_address_connected, self);
}
