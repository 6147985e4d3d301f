/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A tunnel that listens on a Unix socket: its file, and how connections differ from TCP. */

#include "resume-rig.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FLAGS (FIXTURE_PROXY | FIXTURE_RESUMABLE)

typedef struct
{
  char *directory;
  char *path;
  Fixture *fixture;
} Unix;

static Unix
unix_new (Target *target,
          TcpTunnelMode mode,
          FixtureFlags flags)
{
  Unix self = { .fixture = fixture_new (target, mode, flags) };

  self.directory = g_dir_make_tmp ("tcp-tunnel-test-XXXXXX", NULL);
  g_assert_nonnull (self.directory);
  self.path = g_build_filename (self.directory, "socket", NULL);
  g_object_set (self.fixture->tunnel, "socket-path", self.path, NULL);
  return self;
}

static void
unix_clear (Unix *self)
{
  fixture_free (self->fixture);
  g_assert_false (g_file_test (self->path, G_FILE_TEST_EXISTS));
  g_assert_no_errno (g_rmdir (self->directory));
  g_free (self->path);
  g_free (self->directory);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Unix, unix_clear)

static int
socket_at (const char *path,
           int (*function) (int, const struct sockaddr *, socklen_t),
           int *code)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpuint (g_strlcpy (address.sun_path, path, sizeof address.sun_path), <, sizeof address.sun_path);
  *code = function (fd, (struct sockaddr *) &address, sizeof address) == 0 ? 0 : errno;
  return fd;
}

/* The socket is non-blocking, as the functions of client.h require. */
static int
unix_dial (const char *path)
{
  int code;
  int fd = socket_at (path, connect, &code);

  g_assert_cmpint (code, ==, 0);
  g_assert_no_errno (fcntl (fd, F_SETFL, O_NONBLOCK));
  return fd;
}

static int
unix_connect (Unix *self)
{
  int fd = unix_dial (self->path);

  WAIT_UNTIL (self->fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  return fd;
}

static void
make_stale (const char *path)
{
  int code;

  close (socket_at (path, bind, &code));
  g_assert_cmpint (code, ==, 0);
}

static void
check_refused (TcpTunnel *tunnel,
               int code,
               const char *hint)
{
  g_autofree char *path = test_dup_string (tunnel, "socket-path");
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, code);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, hint));
  g_assert_null (strstr (error->message, "GUnix"));
}

static void
check_address (gpointer endpoint)
{
  GSocketAddress *address = tcp_endpoint_get_local_address (endpoint);
  g_autofree char *path = test_dup_string (endpoint, "socket-path");

  g_assert_true (G_IS_UNIX_SOCKET_ADDRESS (address));
  g_assert_cmpstr (g_unix_socket_address_get_path (G_UNIX_SOCKET_ADDRESS (address)), ==, path);
}

/* Connections */

static void
test_round_trip (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  int fd;

  fixture_start (self.fixture);
  check_address (self.fixture->tunnel);
  fd = unix_connect (&self);
  client_round_trip (fd, "through a Unix socket");
  client_echo_stream (fd, 8 * MIB, 5);
  client_finish (fd);
  client_expect_eof (fd);
  expect_closed (self.fixture, 1, -1);
  client_close (fd);
}

/* raw and tagged */
static void
test_plain (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_source (4 * MIB, 3);
  g_auto (Unix) self = unix_new (target, mode, FIXTURE_PLAIN);
  int fd;

  fixture_start (self.fixture);
  fd = unix_connect (&self);
  client_write (fd, "go", 2);
  client_read_stream (fd, 4 * MIB, 3, 0);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (self.fixture, 1, -1);
}

static void
test_cut (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  int fd;

  fixture_start (self.fixture);
  fd = unix_connect (&self);
  fault_proxy_cut_after (self.fixture->proxy, FAULT_UP, MIB + 123);
  client_echo_stream (fd, 4 * MIB, 5);
  g_assert_cmpuint (test_figure (self.fixture->tunnel, resumes), ==, 1);
  client_close (fd);
}

/* A client writes much more than the tunnel can accept at the time, and closes before that is read. */
static void
test_says_and_goes (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_sink ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  g_autofree char *digest = NULL;
  g_autofree char *expected = NULL;
  guint64 size;
  int fd;

  g_object_set (self.fixture->tunnel, "max-unacknowledged-bytes", MIB, NULL);
  fixture_start (self.fixture);
  fd = unix_connect (&self);
  g_assert_true (target_wait_accepted (target, 1));
  resume_go_away (self.fixture);
  /* Until the buffers of the tunnel and of the socket are full. */
  size = client_blast (fd, 64 * MIB, 500);
  g_assert_cmpuint (size, <, 64 * MIB);
  client_close (fd);
  resume_come_back (self.fixture);

  expect_closed (self.fixture, 1, -1);
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  expected = test_digest (size, 0);
  g_assert_cmpstr (digest, ==, expected);
}

/* The client has left, so that data for it cannot be delivered: the far end gets a reset. */
static void
test_goes_without_reading (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  struct pollfd poll_fd = { 0 };
  int fd, far, code;
  socklen_t length = sizeof code;

  fixture_start (self.fixture);
  fd = unix_connect (&self);
  far = target_accept (target);
  client_close (fd);
  client_expect_eof (far);
  client_write (far, "anybody there?", 14);
  expect_closed (self.fixture, 1, TCP_TUNNEL_ERROR_RESET);
  /* After the FIN that came before, the reset is reported as EPIPE. */
  poll_fd.fd = far;
  g_assert_cmpint (poll (&poll_fd, 1, test_remaining_ms (test_deadline ())), ==, 1);
  g_assert_no_errno (getsockopt (far, SOL_SOCKET, SO_ERROR, &code, &length));
  g_assert_cmpint (code, ==, EPIPE);
  client_close (far);
}

/* The far end resets the connection: the client gets a reset if the socket has unread data. */
static void
test_reset (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  int fd, far;

  fixture_start (self.fixture);
  fd = unix_connect (&self);
  far = target_accept (target);
  client_write (far, "half", 4);
  client_reset (far);
  client_expect_end (fd);
  client_close (fd);
  expect_closed (self.fixture, 1, TCP_TUNNEL_ERROR_TARGET);
}

static void
test_reset_with_unread (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  int fd, far;

  g_object_set (self.fixture->tunnel, "max-unacknowledged-bytes", MIB, NULL);
  fixture_start (self.fixture);
  fd = unix_connect (&self);
  far = target_accept (target);
  g_assert_cmpuint (client_blast (fd, 512 * MIB, 500), <, 512 * MIB);
  client_reset (far);
  client_expect_reset (fd);
  client_close (fd);
  expect_closed (self.fixture, 1, TCP_TUNNEL_ERROR_TARGET);
}

/* Without a half-close, the answer is lost. A TCP client would get a reset; here only the signal shows it. */
static void
test_no_half_close (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_auto (Unix) self = unix_new (target, mode, FIXTURE_PLAIN);
  int fd, far;

  fixture_start (self.fixture);
  fd = unix_connect (&self);
  client_write (fd, "question", 8);
  far = target_accept (target);
  client_finish (fd);
  client_expect_end (fd);
  expect_closed (self.fixture, 1, TCP_TUNNEL_ERROR_LOST);
  client_close (fd);
  client_close (far);

  /* A client that has closed both directions expects no answer. */
  fd = unix_connect (&self);
  client_write (fd, "message", 7);
  far = target_accept (target);
  client_close (fd);
  expect_closed (self.fixture, 2, -1);
  client_close (far);
}

/* The file */

static void
test_file (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FLAGS);
  mode_t mask = umask (0);
  GStatBuf info;

  fixture_start (self.fixture);
  umask (mask);
  g_assert_no_errno (g_lstat (self.path, &info));
  g_assert_true (S_ISSOCK (info.st_mode));
  g_assert_cmpuint (info.st_mode & 07777, ==, 0600);

  tcp_endpoint_close (TCP_ENDPOINT (self.fixture->tunnel));
  g_assert_false (g_file_test (self.path, G_FILE_TEST_EXISTS));
  test_tunnel_start (self.fixture->tunnel);
  client_close (unix_connect (&self));
}

static void
test_stale (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, mode, FLAGS);
  int fd;

  make_stale (self.path);
  fixture_start (self.fixture);
  fd = unix_connect (&self);
  client_round_trip (fd, "in its place");
  client_close (fd);
}

/* A socket in use is not replaced, and its owner is not affected. */
static void
test_in_use (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FLAGS);
  g_autoptr (TcpTunnel) other = NULL;
  g_autofree char *uri = NULL;
  int fd;

  fixture_start (self.fixture);
  uri = test_dup_string (self.fixture->tunnel, "remote-uri");
  other = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  g_object_set (other, "socket-path", self.path, NULL);
  check_refused (other, TCP_TUNNEL_ERROR_LISTEN, "a running program listens there");

  fd = unix_connect (&self);
  client_round_trip (fd, "not disturbed");
  client_close (fd);
  expect_closed (self.fixture, 1, -1);
  g_assert_cmpuint (test_figure (self.fixture->tunnel, total_connections), ==, 1);
}

static void
test_other_files (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FLAGS);
  g_autofree char *nowhere = g_build_filename (self.directory, "missing", "socket", NULL);
  TcpTunnel *tunnel = self.fixture->tunnel;

  fixture_start_gateway (self.fixture);
  g_assert_true (g_file_set_contents (self.path, "mine", -1, NULL));
  check_refused (tunnel, TCP_TUNNEL_ERROR_LISTEN, "not a socket");
  g_assert_true (g_file_test (self.path, G_FILE_TEST_IS_REGULAR));
  g_assert_no_errno (g_unlink (self.path));

  g_assert_no_errno (symlink (nowhere, self.path));
  check_refused (tunnel, TCP_TUNNEL_ERROR_LISTEN, "not a socket");
  g_assert_true (g_file_test (self.path, G_FILE_TEST_IS_SYMLINK));
  g_assert_no_errno (g_unlink (self.path));

  g_object_set (tunnel, "socket-path", nowhere, NULL);
  check_refused (tunnel, TCP_TUNNEL_ERROR_LISTEN, g_strerror (ENOENT));
}

static void
test_length (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FLAGS);
  g_autofree char *path = g_malloc0 (109);
  TcpTunnel *tunnel = self.fixture->tunnel;

  fixture_start_gateway (self.fixture);
  memset (path, 'x', 108);
  memcpy (path, self.directory, strlen (self.directory));
  path[strlen (self.directory)] = '/';
  g_object_set (tunnel, "socket-path", path, NULL);
  check_refused (tunnel, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "too long");
  g_object_set (tunnel, "socket-path", "", NULL);
  check_refused (tunnel, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "empty");

  path[107] = '\0';
  g_object_set (tunnel, "socket-path", path, NULL);
  test_tunnel_start (tunnel);
  client_close (unix_dial (path));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

/* A file that has replaced the socket is not removed. */
static void
test_replaced (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FLAGS);

  fixture_start (self.fixture);
  g_assert_no_errno (g_unlink (self.path));
  make_stale (self.path);
  tcp_endpoint_close (TCP_ENDPOINT (self.fixture->tunnel));
  g_assert_true (g_file_test (self.path, G_FILE_TEST_EXISTS));
  g_assert_no_errno (g_unlink (self.path));
}

static void
test_relative (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FLAGS);
  g_autofree char *before = g_get_current_dir ();

  g_object_set (self.fixture->tunnel, "socket-path", "socket", NULL);
  g_assert_no_errno (g_chdir (self.directory));
  fixture_start (self.fixture);
  g_assert_no_errno (g_chdir (before));
  client_close (unix_connect (&self));
  tcp_endpoint_close (TCP_ENDPOINT (self.fixture->tunnel));
  g_assert_false (g_file_test (self.path, G_FILE_TEST_EXISTS));
}

/* A start that fails later removes the file. */
static void
test_failed_start (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FLAGS);
  g_autoptr (GError) error = NULL;

  fixture_start_gateway (self.fixture);
  tcp_tunnel_set_token (self.fixture->tunnel, "another");
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (self.fixture->tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED);
  g_assert_false (g_file_test (self.path, G_FILE_TEST_EXISTS));
}

/* A gateway on a Unix socket trusts its clients as proxies. */
static void
test_gateway (void)
{
  const char *request = "GET / HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "Authorization: Bearer " TEST_TOKEN "\r\n"
                        "X-Forwarded-For: 192.0.2.7\r\n\r\n";
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Unix) self = unix_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  TcpEndpoint *gateway = TCP_ENDPOINT (self.fixture->gateway);
  g_autoptr (GError) error = NULL;
  g_autofree char *head = NULL;
  int code, fd;

  make_stale (self.path);
  g_object_set (gateway, "socket-path", self.path, NULL);
  tcp_endpoint_start (gateway, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (tcp_endpoint_get_active (gateway));
  check_address (gateway);
  g_assert_null (tcp_gateway_dup_uri (self.fixture->gateway));

  fd = socket_at (self.path, connect, &code);
  g_assert_cmpint (code, ==, 0);
  g_assert_cmpint (write (fd, request, strlen (request)), ==, (gssize) strlen (request));
  head = http_read_head (fd);
  g_assert_nonnull (head);
  g_assert_true (g_str_has_prefix (head, "HTTP/1.1 101 "));
  ws_send (fd, WS_BINARY, "through", 7);
  ws_expect (fd, "through");
  ws_send_close (fd, 1000);
  ws_expect_close (fd, 1000);
  close (fd);

  tcp_endpoint_close (gateway);
  g_assert_false (g_file_test (self.path, G_FILE_TEST_EXISTS));
  g_assert_false (tcp_endpoint_get_active (gateway));
  g_assert_true (g_file_set_contents (self.path, "mine", -1, NULL));
  g_assert_false (tcp_endpoint_start (gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN);
  g_assert_no_errno (g_unlink (self.path));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/unix/round-trip", test_round_trip);
  add_mode_test ("/unix/plain", test_plain);
  add_mode_test ("/unix/cut", test_cut);
  add_mode_test ("/unix/says-and-goes", test_says_and_goes);
  add_mode_test ("/unix/goes-without-reading", test_goes_without_reading);
  add_mode_test ("/unix/reset", test_reset);
  add_mode_test ("/unix/reset-with-unread", test_reset_with_unread);
  add_mode_test ("/unix/no-half-close", test_no_half_close);
  g_test_add_func ("/unix/file", test_file);
  add_mode_test ("/unix/stale", test_stale);
  g_test_add_func ("/unix/in-use", test_in_use);
  g_test_add_func ("/unix/other-files", test_other_files);
  g_test_add_func ("/unix/length", test_length);
  g_test_add_func ("/unix/replaced", test_replaced);
  g_test_add_func ("/unix/relative", test_relative);
  g_test_add_func ("/unix/failed-start", test_failed_start);
  g_test_add_func ("/unix/gateway", test_gateway);

  return g_test_run ();
}
