/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library takes liberties with libsoup that its API does not promise: it stops the
 * reading of a client's SoupWebsocketConnection. When this fails, libsoup has changed. */

#include "channel-end.h"
#include "client.h"
#include "gateway/listener.h"
#include "socket-util.h"
#include "test-util.h"
#include "ws-client.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIBSOUP_HAS_CHANGED "libsoup has changed: "

typedef struct
{
  TcpListener *listener;
  guint port;
  TcpChannelGroup *group;
  TcpChannel *channel; /* the server's end */
  GByteArray *received;
} Server;

static void
on_server_message (TcpChannel   *channel,
                   const guint8 *data,
                   gsize         length,
                   gboolean      first,
                   gboolean      last,
                   gpointer      user_data)
{
  Server *self = user_data;

  g_byte_array_append (self->received, data, length);
}

static TcpRequest *
on_examine (TcpUpgrade *upgrade,
            TcpRefusal *refusal,
            gpointer    user_data)
{
  TcpRequest *request = g_new0 (TcpRequest, 1);

  g_assert_true (tcp_upgrade_check (upgrade, refusal));
  request->foreign = TRUE;
  request->uri = g_uri_ref (upgrade->uri);
  return request;
}

/* As the gateway does it. */
static void
on_accepted (TcpRequest   *request,
             const char   *answer,
             TcpTransport *transport,
             gpointer      user_data)
{
  static const TcpChannelCallbacks callbacks = { .message = on_server_message };
  Server *self = user_data;
  g_autoptr (TcpRequest) taken G_GNUC_UNUSED = request;
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_NONE);
  TcpChannelOptions options = {
    .uri = request->uri,
    .socket = tcp_transport_get_socket (transport),
    .plain = TRUE,
    .log = log,
    .group = self->group,
  };

  g_assert_true (tcp_transport_write (transport, answer));
  self->channel = tcp_channel_new (transport->stream, &options);
  tcp_transport_clear (transport);
  tcp_channel_set_callbacks (self->channel, &callbacks, self);
  tcp_channel_resume (self->channel);
}

static const TcpListenerCallbacks listener_callbacks = {
  .examine = on_examine,
  .accepted = on_accepted,
};

static void
server_init (Server *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) any = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_NONE);
  g_autoptr (GSocketAddress) address = NULL;

  self->group = tcp_channel_group_new ();
  self->received = g_byte_array_new ();
  self->listener = tcp_listener_new (NULL, 0, self->group, log, &listener_callbacks, self);
  g_ptr_array_add (any, g_inet_socket_address_new_from_string ("127.0.0.1", 0));
  address = tcp_listener_open (self->listener, any, &error);
  g_assert_no_error (error);
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
}

static void
server_clear (Server *self)
{
  tcp_channel_abort (self->channel, NULL);
  tcp_channel_unref (self->channel);
  tcp_listener_free (self->listener);
  wait_for_group (self->group);
  tcp_channel_group_unref (self->group);
  g_byte_array_unref (self->received);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Server, server_clear)

static void
server_send (Server     *self,
             const char *text)
{
  TcpBuffer *buffer = tcp_buffer_new (strlen (text));

  memcpy (buffer->payload, text, strlen (text));
  buffer->length = strlen (text);
  tcp_channel_send (self->channel, buffer);
}

/* The client: one source, which can be found */

static void
on_connected (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  SoupWebsocketConnection **connection = user_data;
  g_autoptr (GError) error = NULL;
  GMainContext *context = g_main_context_default ();
  GSource *source;
  guint sources = 0;

  *connection = soup_session_websocket_connect_finish (SOUP_SESSION (object), result, &error);
  g_assert_no_error (error);

  /* At once, as later it would have read. */
  while ((source = g_main_context_find_source_by_user_data (context, *connection)) != NULL)
    {
      g_source_destroy (source);
      sources++;
    }
  if (sources != 1)
    test_fail (G_STRLOC, LIBSOUP_HAS_CHANGED "a new SoupWebsocketConnection has %u sources with itself as their data, "
                                             "not 1; silence () in src/tunnel/dialer.c depends on it", sources);
}

static void
on_message (SoupWebsocketConnection *connection,
            int                      type,
            GBytes                  *message,
            gpointer                 user_data)
{
  test_fail (G_STRLOC, LIBSOUP_HAS_CHANGED "a SoupWebsocketConnection without its source still reads; "
                                           "silence () in src/tunnel/dialer.c depends on it");
}

static gboolean
read_some (GPollableInputStream *stream,
           GByteArray           *bytes)
{
  guint8 data[100];
  g_autoptr (GError) error = NULL;
  gssize n = g_pollable_input_stream_read_nonblocking (stream, data, sizeof (data), NULL, &error);

  if (n < 0)
    {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      return FALSE;
    }
  g_assert_cmpint (n, >, 0);
  g_byte_array_append (bytes, data, n);
  return TRUE;
}

static void
test_silence (void)
{
  g_auto (Server) server = { 0 };
  g_autoptr (SoupSession) session = soup_session_new ();
  g_autoptr (SoupMessage) message = NULL;
  g_autoptr (SoupWebsocketConnection) connection = NULL;
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autofree char *uri = NULL;
  GInputStream *input;

  server_init (&server);
  uri = g_strdup_printf ("ws://127.0.0.1:%u/", server.port);
  message = soup_message_new (SOUP_METHOD_GET, uri);
  soup_session_websocket_connect_async (session, message, NULL, NULL, G_PRIORITY_DEFAULT, NULL, on_connected,
                                        &connection);
  WAIT_UNTIL (connection != NULL && server.channel != NULL);
  g_signal_connect (connection, "message", G_CALLBACK (on_message), NULL);

  /* All that comes is ours to read. */
  server_send (&server, "hello");
  input = g_io_stream_get_input_stream (soup_websocket_connection_get_io_stream (connection));
  g_assert_true (G_IS_POLLABLE_INPUT_STREAM (input));
  while (bytes->len < 7)
    {
      for (guint i = 0; i < 5; i++)
        test_iterate (test_deadline (), "bytes", G_STRLOC);
      read_some (G_POLLABLE_INPUT_STREAM (input), bytes);
    }
  g_assert_cmpmem (bytes->data, bytes->len, "\x82\5hello", 7);
  g_assert_cmpint (soup_websocket_connection_get_state (connection), ==, SOUP_WEBSOCKET_STATE_OPEN);
}

/* What comes in one segment with the 101 */

typedef struct
{
  int listener;
  gsize length;
} EagerServer;

static gpointer
serve_eagerly (gpointer data)
{
  EagerServer *self = data;
  int fd = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC);
  g_autofree char *head = http_read_head (fd);
  g_autofree char *key = http_head_get (head, "Sec-WebSocket-Key");
  g_autofree char *accept = ws_accept_of (key);
  g_autofree guint8 *stream = g_malloc (self->length);
  g_autoptr (GBytes) frame = NULL;
  g_autoptr (GBytes) close_frame = ws_server_close (1000);
  g_autoptr (GString) answer = g_string_new (NULL);
  char scrap[1000];

  test_fill (stream, self->length, 1, 0);
  frame = ws_server_frame (WS_BINARY, stream, self->length);
  g_string_printf (answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
  g_string_append_len (answer, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame));
  g_string_append_len (answer, g_bytes_get_data (close_frame, NULL), g_bytes_get_size (close_frame));
  client_write (fd, answer->str, answer->len);
  client_finish (fd);

  while (recv (fd, scrap, sizeof (scrap), 0) > 0)
    ;
  close (fd);
  return NULL;
}

static void
check_early (gsize length)
{
  guint16 port;
  EagerServer server = { socket_listen (0, &port), length };
  GThread *thread = g_thread_new ("eager-server", serve_eagerly, &server);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, "token");
  g_autoptr (GError) error = NULL;
  int fd;

  g_assert_true (tcp_tunnel_start (tunnel, NULL, &error));
  g_assert_no_error (error);
  fd = client_connect (g_inet_socket_address_get_port (tcp_tunnel_get_local_address (tunnel)));
  client_read_stream (fd, length, 1, 0);
  client_expect_eof (fd);
  client_close (fd);
  tcp_tunnel_close (tunnel);
  g_thread_join (thread);
  close (server.listener);
}

static void
test_early (void)
{
  check_early (1);
  check_early (1000);
  check_early (5000);
  check_early (60000);
  check_early (1 << 20);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/libsoup/silence", test_silence);
  g_test_add_func ("/libsoup/early", test_early);
  return g_test_run ();
}
