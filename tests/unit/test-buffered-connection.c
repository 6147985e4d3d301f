/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/buffered-connection.h"

#include "certificate.h"
#include "channel-end.h"
#include "client.h"
#include "socket-util.h"
#include "test-util.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD 1000
#define MAX_RECORD 16384
#define RESUMPTION "--resumption"

static GTlsDatabase *database; /* replaces that of the tests */

/* A connection whose output breaks when the test wants it to. */

#define TEST_TYPE_OUTPUT (test_output_get_type ())
G_DECLARE_FINAL_TYPE (TestOutput, test_output, TEST, OUTPUT, GFilterOutputStream)

#define TEST_TYPE_CONNECTION (test_connection_get_type ())
G_DECLARE_FINAL_TYPE (TestConnection, test_connection, TEST, CONNECTION, GSocketConnection)

struct _TestOutput
{
  GFilterOutputStream parent_instance;
};

struct _TestConnection
{
  GSocketConnection parent_instance;
  GOutputStream *output;
};

static gboolean output_blocks; /* the output takes nothing */
static gssize output_left = -1; /* the output takes this many bytes and then breaks for good; -1: it takes all */

static void test_output_pollable_init (GPollableOutputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestOutput, test_output, G_TYPE_FILTER_OUTPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_OUTPUT_STREAM, test_output_pollable_init))
G_DEFINE_FINAL_TYPE (TestConnection, test_connection, G_TYPE_SOCKET_CONNECTION)

static gssize
test_output_write_nonblocking (GPollableOutputStream  *stream,
                               const void             *data,
                               gsize                   size,
                               GError                **error)
{
  GPollableOutputStream *base = G_POLLABLE_OUTPUT_STREAM (G_FILTER_OUTPUT_STREAM (stream)->base_stream);

  if (output_blocks || output_left == 0)
    {
      g_set_error_literal (error, G_IO_ERROR, output_blocks ? G_IO_ERROR_WOULD_BLOCK : G_IO_ERROR_BROKEN_PIPE, "test");
      return -1;
    }
  if (output_left > 0)
    {
      size = MIN (size, (gsize) output_left);
      output_left -= size;
    }
  return g_pollable_output_stream_write_nonblocking (base, data, size, NULL, error);
}

static void
test_output_pollable_init (GPollableOutputStreamInterface *iface)
{
  iface->write_nonblocking = test_output_write_nonblocking;
}

static void
test_output_class_init (TestOutputClass *klass)
{
}

static void
test_output_init (TestOutput *self)
{
}

static GOutputStream *
test_connection_get_output_stream (GIOStream *stream)
{
  TestConnection *self = TEST_CONNECTION (stream);

  if (self->output == NULL)
    self->output = g_object_new (TEST_TYPE_OUTPUT, "base-stream",
                                 G_IO_STREAM_CLASS (test_connection_parent_class)->get_output_stream (stream), NULL);
  return self->output;
}

static void
test_connection_finalize (GObject *object)
{
  g_clear_object (&TEST_CONNECTION (object)->output);
  G_OBJECT_CLASS (test_connection_parent_class)->finalize (object);
}

static void
test_connection_class_init (TestConnectionClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_connection_finalize;
  G_IO_STREAM_CLASS (klass)->get_output_stream = test_connection_get_output_stream;
}

static void
test_connection_init (TestConnection *self)
{
}

/* One end of a connection with TLS. */
typedef struct
{
  GSocket *socket;
  TcpBufferedConnection *buffered;
  GIOStream *tls;
  GPollableInputStream *input;
  GPollableOutputStream *output;
  GError *error;
  gboolean is_ready;
} TlsEnd;

static void
on_handshake (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  TlsEnd *self = user_data;

  g_tls_connection_handshake_finish (G_TLS_CONNECTION (object), result, &self->error);
  tcp_buffered_connection_stop_waiting (self->buffered);
  tcp_buffered_connection_flush (self->buffered, NULL);
  self->is_ready = TRUE;
}

/* Takes ownership of @fd, and begins the handshake. */
static void
tls_end_begin (TlsEnd   *self,
               int       fd,
               gboolean  client)
{
  g_autoptr (GSocketConnection) connection = loopback_connection (fd);
  g_autoptr (GSocketConnectable) identity = G_SOCKET_CONNECTABLE (g_inet_socket_address_new_from_string ("127.0.0.1", 1));
  GTlsBackend *backend = g_tls_backend_get_default ();
  g_autoptr (GSocketConnection) breakable = NULL;
  g_autoptr (GError) error = NULL;

  self->socket = g_object_ref (g_socket_connection_get_socket (connection));
  breakable = g_object_new (TEST_TYPE_CONNECTION, "socket", self->socket, NULL);
  self->buffered = tcp_buffered_connection_new (breakable);
  if (client)
    self->tls = g_initable_new (g_tls_backend_get_client_connection_type (backend), NULL, &error, "base-io-stream",
                                self->buffered, "server-identity", identity, "database",
                                database != NULL ? database : test_tls_database (), NULL);
  else
    self->tls = g_initable_new (g_tls_backend_get_server_connection_type (backend), NULL, &error, "base-io-stream",
                                self->buffered, "certificate", test_certificate (), "database", NULL, NULL);
  g_assert_no_error (error);
  self->input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->tls));
  self->output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->tls));
  g_tls_connection_handshake_async (G_TLS_CONNECTION (self->tls), G_PRIORITY_DEFAULT, NULL, on_handshake, self);
}

static void
tls_end_clear (TlsEnd *self)
{
  g_clear_object (&self->tls);
  g_clear_object (&self->buffered);
  g_clear_object (&self->socket);
  g_clear_error (&self->error);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TlsEnd, tls_end_clear)

/* Makes both ends of one connection. */
static void
tls_pair_init (TlsEnd *client,
               TlsEnd *server,
               int     buffer)
{
  int fds[2];

  loopback_pair (fds, buffer);
  tls_end_begin (client, fds[0], TRUE);
  tls_end_begin (server, fds[1], FALSE);
  WAIT_UNTIL (client->is_ready && server->is_ready);
  g_assert_no_error (client->error);
  g_assert_no_error (server->error);
}

static gssize
tls_end_write (TlsEnd *self,
               guint8  byte,
               gsize   length)
{
  g_autofree guint8 *data = g_malloc (length);
  g_autoptr (GError) error = NULL;
  gssize n;

  memset (data, byte, length);
  n = g_pollable_output_stream_write_nonblocking (self->output, data, length, NULL, &error);
  if (n < 0)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return n;
}

/* Returns -1 if nothing is there. */
static gssize
tls_end_read (TlsEnd  *self,
              guint8  *data,
              gsize    length)
{
  g_autoptr (GError) error = NULL;
  gssize n = g_pollable_input_stream_read_nonblocking (self->input, data, length, NULL, &error);

  if (n < 0)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
  return n;
}

static int
count_received (GSocket *socket)
{
  int n;

  g_assert_no_errno (ioctl (g_socket_get_fd (socket), FIONREAD, &n));
  return n;
}

/* Reads what the server sends after the handshake, such as tickets. */
static void
drain (TlsEnd *self)
{
  guint8 data[100];

  while (tls_end_read (self, data, sizeof data) >= 0 || count_received (self->socket) > 0)
    ;
}

/* Records are collected, and are written and read with one system call. */
static void
test_gather (void)
{
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };
  guint8 data[MAX_RECORD];

  tls_pair_init (&client, &server, 0);
  drain (&client);
  for (guint i = 0; i < 10; i++)
    {
      g_assert_cmpint (tls_end_write (&client, i, RECORD), ==, RECORD);
      g_assert_cmpint (count_received (server.socket), ==, 0);
    }
  g_assert_cmpint (tcp_buffered_connection_flush (client.buffered, NULL), ==, G_POLLABLE_RETURN_OK);
  WAIT_UNTIL (count_received (server.socket) > 10 * RECORD);

  for (guint i = 0; i < 10; i++)
    {
      g_assert_true (g_pollable_input_stream_is_readable (server.input));
      g_assert_cmpint (tls_end_read (&server, data, sizeof data), ==, RECORD);
      g_assert_cmpint (data[0], ==, i);
      g_assert_cmpint (count_received (server.socket), ==, 0);
    }
  g_assert_cmpint (tls_end_read (&server, data, sizeof data), ==, -1);
}

/* Collected output is written before the answer to it is waited for. */
static void
test_flush_before_read (void)
{
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };
  guint8 data[RECORD];

  tls_pair_init (&client, &server, 0);
  drain (&client);
  tls_end_write (&client, 1, RECORD);
  g_assert_cmpint (tls_end_read (&client, data, sizeof data), ==, -1);
  WAIT_UNTIL (count_received (server.socket) > RECORD);

  g_assert_cmpint (tls_end_read (&server, data, sizeof data), ==, RECORD);
  tls_end_write (&server, 2, RECORD);
  g_assert_false (g_pollable_input_stream_is_readable (server.input));
  WAIT_UNTIL (count_received (client.socket) > RECORD);

  tls_end_write (&server, 3, RECORD);
  g_source_unref (g_pollable_input_stream_create_source (server.input, NULL));
  WAIT_UNTIL (count_received (client.socket) > 2 * RECORD);
}

/* The connection takes no more than it announces, and a record that it has taken need not be written again. */
static void
test_full (void)
{
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };
  g_autofree guint8 *data = g_malloc (MAX_RECORD);
  gsize written = 0, received = 0;

  tls_pair_init (&client, &server, 4096);
  /* The socket takes some of it. */
  while (!tcp_buffered_connection_is_full (client.buffered) ||
         tcp_buffered_connection_flush (client.buffered, NULL) == G_POLLABLE_RETURN_OK ||
         !tcp_buffered_connection_is_full (client.buffered))
    {
      gssize n = tls_end_write (&client, 0, MAX_RECORD);

      g_assert_cmpint (n, ==, MAX_RECORD);
      written += n;
    }
  g_assert_cmpint (tls_end_write (&client, 0, MAX_RECORD), ==, -1);

  while (received < written)
    {
      gssize n = tls_end_read (&server, data, MAX_RECORD);

      if (n > 0)
        received += n;
      else
        g_assert_cmpint (tcp_buffered_connection_flush (client.buffered, NULL), !=, G_POLLABLE_RETURN_FAILED);
    }
  g_assert_cmpint (received, ==, written);
}

static void
check_end (gboolean close_in_order)
{
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };
  g_autoptr (GError) error = NULL;
  guint8 data[RECORD];
  gssize n;

  tls_pair_init (&client, &server, 0);
  drain (&client);
  tls_end_write (&client, 1, RECORD);
  if (close_in_order)
    {
      g_assert_true (g_io_stream_close (client.tls, NULL, NULL));
    }
  else
    {
      g_assert_cmpint (tcp_buffered_connection_flush (client.buffered, NULL), ==, G_POLLABLE_RETURN_OK);
      g_socket_close (client.socket, NULL);
    }

  WAIT_UNTIL (count_received (server.socket) > RECORD);
  g_assert_cmpint (tls_end_read (&server, data, sizeof data), ==, RECORD);
  do
    {
      g_clear_error (&error);
      n = g_pollable_input_stream_read_nonblocking (server.input, data, sizeof data, NULL, &error);
    }
  while (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK));
  if (close_in_order)
    g_assert_cmpint (n, ==, 0);
  else
    g_assert_error (error, G_TLS_ERROR, G_TLS_ERROR_EOF);
}

/* An end of the connection that TLS did not announce is distinguished from one that it announced. */
static void
test_end (void)
{
  check_end (TRUE);
  check_end (FALSE);
}

/* A peer that reads nothing does not keep the connection from being closed. */
static void
test_close_full (void)
{
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };

  tls_pair_init (&client, &server, 4096);
  while (tls_end_write (&client, 0, MAX_RECORD) > 0)
    ;
  g_io_stream_close (client.tls, NULL, NULL);
  g_assert_true (g_socket_is_closed (client.socket));
}

/* Frames that TLS or the buffer below it holds are delivered although the socket has no more data. */

#define LONG 300 /* so long that a turn has one frame */

typedef struct
{
  TcpChannel *channel;
  gint64 cost; /* of one message, in microseconds */
  guint messages;
  gsize bytes;
} Receiver;

static void
on_message (TcpChannel   *channel,
            const guint8 *data,
            gsize         length,
            gboolean      first,
            gboolean      last,
            gpointer      user_data)
{
  Receiver *self = user_data;
  gint64 end = g_get_monotonic_time () + self->cost;

  while (g_get_monotonic_time () < end)
    ;
  self->messages += last;
  self->bytes += length;
  if (self->cost > 0 && self->messages % 7 == 0)
    {
      tcp_channel_pause (channel);
      tcp_channel_resume (channel);
    }
}

static TcpChannel *
make_channel (TlsEnd          *end,
              gboolean         client,
              TcpChannelGroup *group)
{
  g_autoptr (GUri) uri = g_uri_parse ("wss://127.0.0.1/", SOUP_HTTP_URI_FLAGS, NULL);
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  TcpChannelOptions options = {
    .client = client, .uri = uri, .socket = end->socket, .buffered = end->buffered, .log = log, .group = group,
  };

  return tcp_channel_new (end->tls, &options);
}

static void
check_turns (const gsize *lengths,
             guint        count,
             gint64       cost)
{
  static const TcpChannelCallbacks callbacks = { .message = on_message };
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };
  g_autoptr (TcpChannelGroup) group = tcp_channel_group_new ();
  Receiver receiver = { .cost = cost };
  gsize sent = 0;
  g_autoptr (TcpChannel) sender = NULL;

  tls_pair_init (&client, &server, 1 << 20);
  sender = make_channel (&client, TRUE, group);
  receiver.channel = make_channel (&server, FALSE, group);
  tcp_channel_set_callbacks (receiver.channel, &callbacks, &receiver);
  for (guint i = 0; i < count; i++)
    {
      tcp_channel_send (sender, channel_end_make_message (1, lengths[i % 3]));
      tcp_channel_flush (sender);
      sent += lengths[i % 3];
    }
  /* All data is there before anything is read. */
  WAIT_UNTIL (tcp_channel_get_pending (sender) == 0 && !(sender->interest & G_IO_OUT));
  tcp_channel_resume (receiver.channel);

  WAIT_UNTIL (receiver.messages == count);
  g_assert_cmpint (receiver.bytes, ==, sent);
  tcp_channel_abort (sender, NULL);
  tcp_channel_abort (receiver.channel, NULL);
  tcp_channel_unref (receiver.channel);
  wait_for_group (group);
}

static void
test_turns (void)
{
  static const gsize small[] = { 1, 1, 1 };
  static const gsize records[] = { MAX_RECORD - 1, MAX_RECORD, MAX_RECORD + 1 };
  /* The last system call reads more than there is room for. */
  static const gsize large[] = { 200000, 200000, 110000 };

  for (gint64 cost = 0; cost <= LONG; cost += LONG)
    {
      check_turns (small, 1000, cost);
      check_turns (records, 9, cost);
      check_turns (large, 3, cost);
    }
}

/* An output that breaks just after a part of the buffer has been written ends with exactly one error. */
static void
test_break (void)
{
  g_auto (TlsEnd) client = { 0 };
  g_auto (TlsEnd) server = { 0 };
  g_autoptr (TcpChannelGroup) group = tcp_channel_group_new ();
  g_autoptr (TcpChannel) sender = NULL;

  tls_pair_init (&client, &server, 0);
  sender = make_channel (&client, TRUE, group);
  output_blocks = TRUE;
  for (guint i = 0; i < 20; i++)
    tcp_channel_send (sender, channel_end_make_message (1, MAX_RECORD));
  tcp_channel_flush (sender);
  g_assert_true (tcp_buffered_connection_is_full (client.buffered));
  g_assert_cmpuint (tcp_channel_get_pending (sender), >, 0);

  output_blocks = FALSE;
  output_left = 3 * MAX_RECORD;
  WAIT_UNTIL (sender->output_failed);
  g_assert_cmpint (output_left, ==, 0);
  g_assert_error (sender->error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
  output_left = -1;
  tcp_channel_abort (sender, NULL);
  wait_for_group (group);
}

/* GLib's own server does not allow the resumption of sessions, and its client does not resume any within g_test_init
 * (). So the server is that of OpenSSL, which reports whether a session was resumed, and the client is another
 * process. */

static gboolean
read_answer (TlsEnd  *client,
             GString *answer)
{
  guint8 data[RECORD];
  gssize n;

  while ((n = tls_end_read (client, data, sizeof data)) > 0)
    g_string_append_len (answer, (char *) data, n);
  return n == 0;
}

static char *
ask_server (guint16 port)
{
  static const char request[] = "GET / HTTP/1.0\r\n\r\n";
  g_auto (TlsEnd) client = { 0 };
  GString *answer = g_string_new (NULL);

  tls_end_begin (&client, client_connect (port), TRUE);
  WAIT_UNTIL (client.is_ready);
  g_assert_no_error (client.error);
  g_pollable_output_stream_write_nonblocking (client.output, request, strlen (request), NULL, NULL);
  WAIT_UNTIL (read_answer (&client, answer));
  return g_string_free (answer, FALSE);
}

static int
resume (guint16 port)
{
  g_autofree char *first = ask_server (port);
  g_autofree char *second = ask_server (port);

  g_assert_nonnull (strstr (first, "\nNew, "));
  g_assert_nonnull (strstr (second, "\nReused, "));
  return EXIT_SUCCESS;
}

static void
write_pem (const char *path,
           const char *property)
{
  g_autofree char *pem = NULL;
  g_autoptr (GError) error = NULL;

  g_object_get (test_certificate (), property, &pem, NULL);
  g_file_set_contents (path, pem, -1, &error);
  g_assert_no_error (error);
}

static void
test_resumption (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *directory = g_dir_make_tmp ("tcptunnel-test-XXXXXX", &error);
  g_autofree char *certificate = g_build_filename (directory, "certificate.pem", NULL);
  g_autofree char *key = g_build_filename (directory, "key.pem", NULL);
  g_autofree char *port_text = NULL;
  g_autofree char *address = NULL;
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr (GSubprocess) server = NULL;
  g_autoptr (GSubprocess) client = NULL;
  g_autoptr (GDataInputStream) output = NULL;
  g_autofree char *line = NULL;
  guint16 port;

  close (socket_bind (0, &port));
  port_text = g_strdup_printf ("%u", port);
  address = g_strdup_printf ("127.0.0.1:%u", port);
  write_pem (certificate, "certificate-pem");
  write_pem (key, "private-key-pem");
  server = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "openssl", "s_server", "-www", "-accept", address,
                             "-cert", certificate, "-key", key, NULL);
  g_assert_no_error (error);
  output = g_data_input_stream_new (g_subprocess_get_stdout_pipe (server));
  do
    {
      g_free (line);
      line = g_data_input_stream_read_line (output, NULL, NULL, NULL);
    }
  while (line != NULL && !g_str_has_prefix (line, "ACCEPT"));
  g_assert_nonnull (line);

  client = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, self, RESUMPTION, port_text, certificate, NULL);
  g_assert_no_error (error);
  g_subprocess_wait_check (client, NULL, &error);
  g_assert_no_error (error);

  g_subprocess_force_exit (server);
  g_subprocess_wait (server, NULL, NULL);
  g_unlink (certificate);
  g_unlink (key);
  g_rmdir (directory);
}

int
main (int    argc,
      char **argv)
{
  if (argc == 4 && strcmp (argv[1], RESUMPTION) == 0)
    {
      database = g_tls_file_database_new (argv[3], NULL);
      return resume (atoi (argv[2]));
    }

  unit_test_init (&argc, &argv);
  g_test_add_func ("/buffered-connection/gather", test_gather);
  g_test_add_func ("/buffered-connection/flush-before-read", test_flush_before_read);
  g_test_add_func ("/buffered-connection/full", test_full);
  g_test_add_func ("/buffered-connection/end", test_end);
  g_test_add_func ("/buffered-connection/close-full", test_close_full);
  g_test_add_func ("/buffered-connection/turns", test_turns);
  g_test_add_func ("/buffered-connection/break", test_break);
  g_test_add_func ("/buffered-connection/resumption", test_resumption);
  return g_test_run ();
}
