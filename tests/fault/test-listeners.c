/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A gateway that listens in several places. */

#include "fixture.h"
#include "log-tap.h"
#include "socket-util.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROXIED "X-Forwarded-For: 192.0.2.7\r\n"
#define MIB (1024 * 1024)

typedef struct
{
  Target *target;
  TcpGateway *gateway;
  GListStore *list;
  char *directory;
  char *path;
} Rig;

static Rig
rig_new (void)
{
  Rig self = { .target = target_new_echo (), .list = g_list_store_new (G_TYPE_OBJECT) };
  g_autofree char *address = target_get_address (self.target);

  self.gateway = tcp_gateway_new (address);
  tcp_gateway_set_token (self.gateway, TEST_TOKEN);
  g_object_set (self.gateway, "listeners", self.list, NULL);
  self.directory = g_dir_make_tmp ("tcp-tunnel-test-XXXXXX", NULL);
  self.path = g_build_filename (self.directory, "socket", NULL);
  return self;
}

static void
rig_clear (Rig *self)
{
  tcp_endpoint_close (TCP_ENDPOINT (self->gateway));
  g_object_unref (self->gateway);
  g_object_unref (self->list);
  target_free (self->target);
  /* No file is left there. */
  g_assert_no_errno (g_rmdir (self->directory));
  g_free (self->directory);
  g_free (self->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

/* Takes ownership of @item. */
static void
rig_add (Rig *self,
         gpointer item)
{
  g_list_store_append (self->list, item);
  g_object_unref (item);
}

static void
rig_start (Rig *self)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (self->gateway), NULL, &error);
  g_assert_no_error (error);
}

static void
expect_failure (Rig *self,
                int code,
                const char *hint)
{
  g_autoptr (GPtrArray) addresses = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (self->gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, hint));
  addresses = tcp_gateway_get_local_addresses (self->gateway);
  g_assert_cmpuint (addresses->len, ==, 0);
}

static gpointer
new_address (const char *host,
             guint port)
{
  return g_inet_socket_address_new_from_string (host, port);
}

static gpointer
new_socket (guint16 *port)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new_from_fd (socket_listen (0, port), &error);

  g_assert_no_error (error);
  return socket;
}

static guint16
get_port (GPtrArray *addresses,
          guint i)
{
  g_assert_true (G_IS_INET_SOCKET_ADDRESS (addresses->pdata[i]));
  return g_inet_socket_address_get_port (addresses->pdata[i]);
}

static int
unix_connect (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_no_errno (fd);
  g_assert_cmpuint (g_strlcpy (address.sun_path, path, sizeof address.sun_path), <, sizeof address.sun_path);
  g_assert_no_errno (connect (fd, (struct sockaddr *) &address, sizeof address));
  return fd;
}

/* Takes ownership of @fd. Requires that the gateway believes @client to be the client of the connection. */
static void
check_clients (Rig *self,
               int fd,
               const char *client)
{
  static const char request[] = "GET / HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE PROXIED
                                "Authorization: Bearer " TEST_TOKEN "\r\n\r\n";
  GListModel *connections = tcp_endpoint_get_connections (TCP_ENDPOINT (self->gateway));
  g_autofree char *head = NULL;
  g_autofree char *host = NULL;

  client_write (fd, request, strlen (request));
  head = http_read_head (fd);
  g_assert_cmpuint (http_head_get_status (head), ==, 101);
  ws_send (fd, WS_BINARY, "through", 7);
  ws_expect (fd, "through");

  WAIT_UNTIL (g_list_model_get_n_items (connections) == 1);
  {
    g_autoptr (TcpConnection) connection = g_list_model_get_item (connections, 0);
    GSocketAddress *address = tcp_connection_get_client_address (connection);

    host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
    g_assert_cmpstr (host, ==, client);
  }
  ws_send_close (fd, 1000);
  ws_expect_close (fd, 1000);
  client_close (fd);
  WAIT_UNTIL (g_list_model_get_n_items (connections) == 0);
}

/* All bytes pass in both directions. Takes ownership of @uri. */
static void
check_bytes (char *uri,
             guint32 seed)
{
  g_autofree char *owned G_GNUC_UNUSED = uri;
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  int fd;

  test_tunnel_start (tunnel);
  fd = client_connect (test_tunnel_get_port (tunnel));
  client_echo_stream (fd, 4 * MIB, seed);
  client_finish (fd);
  client_expect_eof (fd);
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
}

/* The same as far as a client of one connection can tell. */
static void
check_bytes_unix (const char *path)
{
  static const char request[] = "GET / HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "Authorization: Bearer " TEST_TOKEN "\r\n\r\n";
  g_autofree guint8 *sent = g_malloc (MIB);
  g_autoptr (GByteArray) received = g_byte_array_new ();
  g_autofree char *head = NULL;
  int fd = unix_connect (path);

  test_fill (sent, MIB, 5, 0);
  client_write (fd, request, strlen (request));
  head = http_read_head (fd);
  g_assert_cmpuint (http_head_get_status (head), ==, 101);
  for (gsize at = 0; at < MIB; at += 16384)
    {
      ws_send (fd, WS_BINARY, sent + at, 16384);
      while (received->len < at + 16384)
        {
          guint opcode;
          g_autoptr (GBytes) message = ws_receive (fd, &opcode);

          g_assert_nonnull (message);
          g_byte_array_append (received, g_bytes_get_data (message, NULL), g_bytes_get_size (message));
        }
    }
  g_assert_cmpmem (received->data, received->len, sent, MIB);
  ws_send_close (fd, 1000);
  ws_expect_close (fd, 1000);
  client_close (fd);
}

static void
test_all (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (GPtrArray) addresses = NULL;
  g_autoptr (GPtrArray) later = NULL;
  g_autofree char *uri = NULL;
  g_autofree char *end = NULL;
  GSocketAddress *local;
  guint16 ports[3], given;
  int fd;

  log_tap_install ();
  rig_add (&rig, new_address ("127.0.0.1", 0));
  rig_add (&rig, g_unix_socket_address_new (rig.path));
  rig_add (&rig, new_socket (&given));
  rig_add (&rig, g_network_address_new ("localhost", 0));
  rig_start (&rig);

  addresses = tcp_gateway_get_local_addresses (rig.gateway);
  g_assert_cmpuint (addresses->len, ==, 5);
  local = tcp_endpoint_get_local_address (TCP_ENDPOINT (rig.gateway));
  g_assert_cmpuint (get_port (addresses, 0), ==, g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local)));
  g_assert_true (G_IS_UNIX_SOCKET_ADDRESS (addresses->pdata[2]));
  g_assert_cmpstr (g_unix_socket_address_get_path (addresses->pdata[2]), ==, rig.path);
  g_assert_cmpuint (get_port (addresses, 3), ==, given);
  ports[0] = get_port (addresses, 0);
  ports[1] = get_port (addresses, 1);
  ports[2] = get_port (addresses, 4);
  uri = tcp_gateway_dup_uri (rig.gateway);
  end = g_strdup_printf (":%u/", ports[0]);
  g_assert_true (g_str_has_suffix (uri, end));

  for (guint i = 0; i < 3; i++)
    check_bytes (g_strdup_printf ("ws://127.0.0.1:%u/", ports[i]), i);
  check_bytes (g_strdup_printf ("ws://127.0.0.1:%u/", given), 3);
  check_bytes_unix (rig.path);

  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (client_try_connect (ports[i], &fd), ==, ECONNREFUSED);
  g_assert_false (g_file_test (rig.path, G_FILE_TEST_EXISTS));
  /* This one is the application's. */
  client_close (client_connect (given));
  later = tcp_gateway_get_local_addresses (rig.gateway);
  g_assert_cmpuint (later->len, ==, 0);

  /* It can be started again, also with the same ports. */
  rig_start (&rig);
  check_bytes_unix (rig.path);
  g_assert_cmpuint (log_tap_count ("warn", ""), ==, 0);
}

/* Only clients of a Unix socket are trusted, whichever listener is the first. */
static void
test_trust (gconstpointer data)
{
  gboolean unix_first = GPOINTER_TO_INT (data);
  g_auto (Rig) rig = rig_new ();
  g_autoptr (GPtrArray) addresses = NULL;
  g_autofree char *uri = NULL;

  if (unix_first)
    g_object_set (rig.gateway, "socket-path", rig.path, NULL);
  rig_add (&rig, unix_first ? new_address ("127.0.0.1", 0) : g_unix_socket_address_new (rig.path));
  rig_start (&rig);
  addresses = tcp_gateway_get_local_addresses (rig.gateway);
  uri = tcp_gateway_dup_uri (rig.gateway);
  g_assert_cmpint (uri == NULL, ==, unix_first);
  for (guint i = 0; i < 3; i++)
    {
      check_clients (&rig, client_connect (get_port (addresses, unix_first ? 1 : 0)), "127.0.0.1");
      check_clients (&rig, unix_connect (rig.path), "192.0.2.7");
    }
}

/* If one of them cannot be opened, none stays open. */
static void
test_last_fails (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autofree char *name = NULL;
  guint16 first = socket_find_ports (2);
  guint16 taken = first + 1;
  int other = socket_listen (taken, &taken);
  int fd;

  name = g_strdup_printf ("127.0.0.1 port %u", taken);
  g_object_set (rig.gateway, "port", (guint) first, NULL);
  rig_add (&rig, g_unix_socket_address_new (rig.path));
  rig_add (&rig, new_address ("127.0.0.1", taken));
  expect_failure (&rig, TCP_TUNNEL_ERROR_LISTEN, name);
  g_assert_cmpint (client_try_connect (first, &fd), ==, ECONNREFUSED);
  g_assert_false (g_file_test (rig.path, G_FILE_TEST_EXISTS));

  client_close (other);
  rig_start (&rig);
  client_close (client_connect (first));
  client_close (client_connect (taken));
  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));

  /* The same place twice, and a name that does not exist. */
  rig_add (&rig, g_unix_socket_address_new (rig.path));
  expect_failure (&rig, TCP_TUNNEL_ERROR_LISTEN, rig.path);
  g_assert_false (g_file_test (rig.path, G_FILE_TEST_EXISTS));
  g_list_store_remove (rig.list, 2);
  rig_add (&rig, g_network_address_new ("nowhere.invalid", 80));
  expect_failure (&rig, TCP_TUNNEL_ERROR_LISTEN, "nowhere.invalid port 80");
  g_assert_cmpint (client_try_connect (first, &fd), ==, ECONNREFUSED);
}

static void
expect_invalid (gpointer item,
                const char *hint)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (GError) error = NULL;

  rig_add (&rig, new_address ("127.0.0.1", 0));
  rig_add (&rig, item);
  expect_failure (&rig, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, hint);
  g_assert_null (tcp_gateway_check (rig.gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, hint));
}

static void
test_invalid (void)
{
  g_auto (Rig) rig = rig_new ();
  GSocket *closed;
  guint16 port;

  expect_invalid (g_cancellable_new (), "item 1 of the listeners: GCancellable");
  expect_invalid (g_unix_socket_address_new (""), "item 1 of the listeners: ");
  expect_invalid (g_unix_socket_address_new_with_type ("abstract", -1, G_UNIX_SOCKET_ADDRESS_ABSTRACT), "without a path");
  expect_invalid (g_network_address_new ("", 80), "no address to listen on");
  closed = new_socket (&port);
  g_assert_true (g_socket_close (closed, NULL));
  expect_invalid (closed, "it is closed");

  for (guint i = 0; i < 64; i++)
    rig_add (&rig, new_address ("127.0.0.1", 0));
  rig_start (&rig);
  tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
  rig_add (&rig, new_address ("127.0.0.1", 0));
  expect_failure (&rig, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "65 further listeners");
}

/* The list is read at the start only, and sockets in it may be closed afterwards. */
static void
test_later_changes (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (GSocket) first = NULL;
  g_autoptr (GSocket) further = NULL;
  g_autoptr (GPtrArray) addresses = NULL;
  guint16 ports[2];

  first = new_socket (&ports[0]);
  further = new_socket (&ports[1]);
  g_object_set (rig.gateway, "socket", first, NULL);
  g_list_store_append (rig.list, further);
  rig_start (&rig);
  g_assert_true (g_socket_close (first, NULL));
  g_assert_true (g_socket_close (further, NULL));
  rig_add (&rig, g_cancellable_new ());
  test_reload_gateway (rig.gateway);
  g_object_set (rig.gateway, "listeners", NULL, NULL);
  test_reload_gateway (rig.gateway);

  addresses = tcp_gateway_get_local_addresses (rig.gateway);
  g_assert_cmpuint (addresses->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    check_clients (&rig, client_connect (ports[i]), "127.0.0.1");
}

/* The clients of all listeners wait while the gateway is suspended; its state, which contains all of them, is valid. */
static void
test_suspended (void)
{
  g_auto (Rig) rig = rig_new ();
  g_autoptr (GPtrArray) addresses = NULL;
  g_autoptr (TcpGateway) other = tcp_gateway_new ("127.0.0.1:1");
  g_autoptr (GError) error = NULL;
  int state;
  int first, last;

  rig_add (&rig, g_unix_socket_address_new (rig.path));
  rig_add (&rig, new_address ("127.0.0.1", 0));
  rig_start (&rig);
  addresses = tcp_gateway_get_local_addresses (rig.gateway);
  state = test_suspend_gateway (rig.gateway);

  first = unix_connect (rig.path);
  last = client_connect (get_port (addresses, 2));
  tcp_gateway_set_token (other, TEST_TOKEN);
  g_assert_true (tcp_gateway_adopt (other, state, &error));
  g_assert_no_error (error);
  client_close (state);
  tcp_gateway_resume (rig.gateway);
  check_clients (&rig, first, "192.0.2.7");
  check_clients (&rig, last, "127.0.0.1");
}

/* A close while a name is resolved, after other listeners were opened. */
static void
test_cancelled (void)
{
  g_auto (Rig) rig = rig_new ();

  rig_add (&rig, g_unix_socket_address_new (rig.path));
  rig_add (&rig, g_network_address_new ("localhost", 0));
  for (guint i = 0; i < 20; i++)
    {
      tcp_endpoint_start_async (TCP_ENDPOINT (rig.gateway), NULL, NULL, NULL);
      if (i % 2 > 0)
        g_usleep (i * 20);
      tcp_endpoint_close (TCP_ENDPOINT (rig.gateway));
      g_assert_false (g_file_test (rig.path, G_FILE_TEST_EXISTS));
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/listeners/all", test_all);
  g_test_add_data_func ("/listeners/trust/unix-first", GINT_TO_POINTER (TRUE), test_trust);
  g_test_add_data_func ("/listeners/trust/unix-last", GINT_TO_POINTER (FALSE), test_trust);
  g_test_add_func ("/listeners/last-fails", test_last_fails);
  g_test_add_func ("/listeners/invalid", test_invalid);
  g_test_add_func ("/listeners/later-changes", test_later_changes);
  g_test_add_func ("/listeners/suspended", test_suspended);
  g_test_add_func ("/listeners/cancelled", test_cancelled);
  return g_test_run ();
}
