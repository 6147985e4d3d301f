/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Endpoints that are given a listening socket, as by a service manager. */

#include "fixture.h"
#include "log-tap.h"
#include "socket-util.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static GSocket *
wrap (int fd)
{
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new_from_fd (fd, &error);

  g_assert_no_error (error);
  return socket;
}

static TcpGateway *
new_gateway (Target *target)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  return gateway;
}

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (endpoint), NULL, &error);
  g_assert_no_error (error);
}

/* A gateway, a tunnel and a forward use their sockets, which outlive them. */
static void
test_round_trip (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autoptr (TcpTunnel) tunnel = NULL;
  g_autoptr (TcpForward) forward = tcp_forward_new (0, NULL);
  g_autoptr (GSocketAddress) local = NULL;
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *uri = NULL;
  g_autoptr (GError) error = NULL;
  guint16 ports[3];
  int waiting;

  for (guint i = 0; i < 3; i++)
    g_ptr_array_add (sockets, wrap (socket_listen (0, &ports[i])));
  g_object_set (gateway, "socket", sockets->pdata[0], "port", 1, NULL);
  start (gateway);
  g_assert_cmpuint (test_port_of (gateway), ==, ports[0]);
  uri = tcp_gateway_dup_uri (gateway);

  tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_object_set (tunnel, "socket", sockets->pdata[1], NULL);
  g_object_set (forward, "socket", sockets->pdata[2], "socket-path", "/nonexistent/socket", NULL);
  g_assert_true (tcp_tunnel_add_forward (tunnel, forward, &error));
  g_assert_no_error (error);
  /* The connection waits until the tunnel is started. */
  waiting = client_connect (ports[1]);
  start (tunnel);
  client_round_trip (waiting, "before the start");
  client_close (waiting);
  local = tcp_forward_dup_local_address (forward);
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (local)), ==, ports[2]);
  waiting = client_connect (ports[2]);
  client_round_trip (waiting, "a forward");
  client_close (waiting);

  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_assert_false (g_socket_is_closed (sockets->pdata[1]));
  waiting = client_connect (ports[1]);
  start (tunnel);
  client_round_trip (waiting, "between two starts");
  client_close (waiting);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* The socket may be closed after the start: the endpoint keeps the port until it is closed, also after a reload. */
static void
test_closed_after_the_start (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autoptr (GSocket) socket = NULL;
  guint16 port;
  int fd;

  socket = wrap (socket_listen (0, &port));
  /* The socket makes the other properties irrelevant. */
  g_object_set (gateway, "hostname", NULL, "socket", socket, NULL);
  start (gateway);
  g_assert_true (g_socket_close (socket, NULL));
  test_reload_gateway (gateway);
  /* Nor does a reload use the other properties of this kind. */
  g_object_set (gateway, "socket", NULL, "socket-path", "", NULL);
  test_reload_gateway (gateway);
  client_close (client_connect (port));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_cmpint (client_try_connect (port, &fd), ==, ECONNREFUSED);
}

static int
listen_unix (const char *path,
             mode_t      mode)
{
  gboolean is_file = *path == '/';
  g_autoptr (GSocketAddress) address =
      g_unix_socket_address_new_with_type (path, -1, is_file ? G_UNIX_SOCKET_ADDRESS_PATH : G_UNIX_SOCKET_ADDRESS_ABSTRACT);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, &error);
  int fd;

  g_assert_no_error (error);
  g_socket_bind (socket, address, FALSE, &error);
  g_assert_no_error (error);
  g_socket_listen (socket, &error);
  g_assert_no_error (error);
  if (is_file)
    g_assert_no_errno (g_chmod (path, mode));
  fd = fcntl (g_socket_get_fd (socket), F_DUPFD_CLOEXEC, 0);
  g_assert_no_errno (fd);
  return fd;
}

static void
test_unix (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autofree char *directory = g_dir_make_tmp ("tcp-tunnel-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "socket", NULL);
  g_autofree char *name = g_strdup_printf ("tcp-tunnel-test-%d", getpid ());
  g_autoptr (GSocket) socket = wrap (listen_unix (path, 0660));
  g_autoptr (GSocket) abstract = wrap (listen_unix (name, 0));
  GSocketAddress *address;

  log_tap_install ();
  g_object_set (gateway, "socket", socket, NULL);
  start (gateway);
  address = tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway));
  g_assert_true (G_IS_UNIX_SOCKET_ADDRESS (address));
  g_assert_cmpstr (g_unix_socket_address_get_path (G_UNIX_SOCKET_ADDRESS (address)), ==, path);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_assert_cmpuint (log_tap_count ("warn", "every user of this machine"), ==, 0);

  /* The file of the socket belongs to the application. */
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_no_errno (g_chmod (path, 0666));
  start (gateway);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  LOG_TAP_EXPECT ("warn", "every user of this machine", 1);

  g_object_set (gateway, "socket", abstract, NULL);
  start (gateway);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  LOG_TAP_EXPECT ("warn", "every user of this machine", 2);
  log_tap_clear ();

  g_assert_no_errno (g_unlink (path));
  g_assert_no_errno (g_rmdir (directory));
}

static void
check_refused (int         fd,
               const char *hint)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:1/", TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (TcpForward) forward = tcp_forward_new (0, NULL);
  g_autoptr (GSocket) socket = wrap (fd);
  gpointer endpoints[] = { gateway, tunnel };
  g_autoptr (GError) error = NULL;

  g_test_message ("%s", hint);
  for (guint i = 0; i < 2; i++)
    {
      g_object_set (endpoints[i], "socket", socket, NULL);
      g_assert_false (tcp_endpoint_start (endpoints[i], NULL, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, hint));
      g_clear_error (&error);
    }
  g_object_set (forward, "socket", socket, NULL);
  g_assert_false (tcp_tunnel_add_forward (tunnel, forward, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, hint));
}

static int
make (int family,
      int type)
{
  int fd = socket (family, type | SOCK_CLOEXEC, 0);

  g_assert_no_errno (fd);
  return fd;
}

static void
test_other_kinds (void)
{
  guint16 port, listening;
  int listener = socket_listen (0, &listening);
  int pair[2];

  check_refused (make (AF_INET, SOCK_DGRAM), "it is a datagram socket");
  check_refused (make (AF_UNIX, SOCK_DGRAM), "it is a datagram socket");
  check_refused (make (AF_UNIX, SOCK_SEQPACKET), "it is not a stream socket");
  check_refused (make (AF_INET, SOCK_STREAM), "it does not listen");
  check_refused (socket_bind (0, &port), "it does not listen");
  check_refused (client_connect (listening), "it is a connection");
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  check_refused (pair[0], "it is a connection");
  g_assert_no_errno (close (pair[1]));
  g_assert_no_errno (close (listener));
}

static void
test_closed (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (TcpGateway) gateway = new_gateway (target);
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GError) error = NULL;
  guint16 port;

  socket = wrap (socket_listen (0, &port));
  g_assert_true (g_socket_close (socket, NULL));
  g_object_set (gateway, "socket", socket, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "it is closed"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/sockets/round-trip", test_round_trip);
  g_test_add_func ("/sockets/closed-after-the-start", test_closed_after_the_start);
  g_test_add_func ("/sockets/unix", test_unix);
  g_test_add_func ("/sockets/other-kinds", test_other_kinds);
  g_test_add_func ("/sockets/closed", test_closed);
  return g_test_run ();
}
