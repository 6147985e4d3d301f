/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits of what is kept of clients that have left or that do not leave. */

#include "fixture.h"
#include "monitor.h"
#include "socket-util.h"
#include "tls-client.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"

/* The limits of the library. The first one is that of an I/O thread, of which there is one here. */
#define MAX_GONE 4096
#define MAX_LINGERING 64

static guint
count_fds (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) directory = g_dir_open ("/proc/self/fd", 0, &error);
  guint count = 0;

  g_assert_no_error (error);
  while (g_dir_read_name (directory) != NULL)
    count++;
  return count;
}

static guint16
start_gateway (TcpGateway *gateway)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  return test_port_of (gateway);
}

static TcpGateway *
new_gateway (guint16 target_port)
{
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", target_port);
  TcpGateway *gateway = tcp_gateway_new (address);

  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  return gateway;
}

/* A session whose target refuses the connection ends as soon as it has begun. */
static void
end_session (guint16 port,
             guint number)
{
  g_autofree char *path = g_strdup_printf ("/?sessionId=session-%u", number);
  int fd = ws_connect_ours (port, path, TEST_TOKEN);

  ws_expect_close (fd, 4002);
  client_close (fd);
}

/* Returns whether the id is that of an ended session. If it is not, a new session begins, and ends at once. */
static gboolean
is_gone (guint16 port,
         guint number)
{
  g_autofree char *path = g_strdup_printf ("/?sessionId=session-%u", number);
  guint status = http_get (port, path, WS_UPGRADE WS_OURS AUTHORIZED, NULL, NULL);

  if (status != 101)
    g_assert_cmpuint (status, ==, 410);
  return status == 410;
}

/* The ids of the sessions that ended last are kept, those of earlier ones are dropped. */
static void
test_ended_sessions (void)
{
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (TcpGateway) gateway = new_gateway (target_get_port (target));
  guint16 port = start_gateway (gateway);
  const guint extra = 20;

  for (guint i = 0; i < extra; i++)
    {
      end_session (port, i);
      WAIT_UNTIL (is_gone (port, i));
    }
  for (guint i = extra; i < extra + MAX_GONE; i++)
    end_session (port, i);

  for (guint i = 0; i < extra; i++)
    {
      g_assert_true (is_gone (port, extra + i));
      g_assert_true (is_gone (port, MAX_GONE + i));
    }
  for (guint i = 0; i < extra; i++)
    g_assert_false (is_gone (port, i));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* The number of connections is limited that wait for a client to close its side after the end of the stream. */
static void
test_lingering (void)
{
  g_autoptr (Target) target = target_new_source (1000, 1);
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  int fds[3 * MAX_LINGERING + 1];
  guint before = 0, after;

  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_write (fds[i], "go", 2);
      client_read_stream (fds[i], 1000, 1, 0);
      client_expect_eof (fds[i]);
      if (i > 0)
        continue;

      /* The first connection allocates descriptors that stay open. */
      client_close (fds[i]);
      WAIT_UNTIL (fixture->recorder->closed == 1);
      WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
      g_assert_true (target_wait_open (target, 0));
      before = count_fds ();
    }

  WAIT_UNTIL (fixture->recorder->closed == G_N_ELEMENTS (fds));
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  g_assert_true (target_wait_open (target, 0));
  after = count_fds ();
  g_test_message ("%u before, %u after", before, after);
  /* The last few may be about to close. */
  g_assert_cmpuint (after, <=, before + G_N_ELEMENTS (fds) - 1 + MAX_LINGERING + 8);

  for (guint i = 1; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
  WAIT_UNTIL (count_fds () <= before);
}

static guint16
get_port (int fd,
          int (*get_name) (int fd, struct sockaddr *restrict address, socklen_t *restrict length))
{
  struct sockaddr_in address = { 0 };
  socklen_t length = sizeof address;

  if (get_name (fd, (struct sockaddr *) &address, &length) < 0 || address.sin_family != AF_INET)
    return 0;
  return ntohs (address.sin_port);
}

/* Returns the other end of a connection, which is in this process as well. */
static int
find_other_end (int fd)
{
  guint16 port = get_port (fd, getpeername);

  for (int other = 0; other < 1000; other++)
    if (get_port (other, getsockname) == port && get_port (other, getpeername) == get_port (fd, getsockname))
      return other;
  g_assert_not_reached ();
}

/* Accepts a connection of which the kernel buffers little, and which is not read. */
static int
accept_at_target (int listener)
{
  int size = 4096;
  int fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_no_errno (setsockopt (find_other_end (fd), SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  return fd;
}

static void
check_finishing_expires (gboolean multiplexed)
{
  const char *path = multiplexed ? "/?mode=multiplexed" : "/?sessionId=0a2f2b5e-5d0f-4a57-9c3e-7f1f0a7c9d11";
  g_autofree guint8 *message = g_malloc0 (65536);
  guint header = multiplexed ? 4 : 0;
  int size = 4096;
  guint16 target_port;
  int listener = socket_listen (0, &target_port);
  g_autoptr (TcpGateway) gateway = new_gateway (target_port);
  int fd, target;

  g_assert_no_errno (setsockopt (listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  g_object_set (gateway, "session-timeout", 100, NULL);
  fd = ws_connect (start_gateway (gateway), path, TEST_TOKEN);
  message[3] = 1; /* the id of the connection */
  ws_send (fd, WS_BINARY, message, header + 1);
  target = accept_at_target (listener);

  /* More than the kernel buffers, and less than makes the gateway stop reading. */
  for (guint i = 0; i < 8; i++)
    ws_send (fd, WS_BINARY, message, 65536);
  if (multiplexed)
    ws_send (fd, WS_BINARY, message, header);
  ws_send_close (fd, 1000);
  ws_expect_close (fd, 1000);
  client_close (fd);

  WAIT_UNTIL (test_figure (gateway, open_connections) == 0);
  client_expect_reset (target);
  client_close (target);
  close (listener);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* A client has ended with data left for a target that never reads it. The gateway tries to deliver it for the session
 * timeout only. */
static void
test_finishing_expires (void)
{
  check_finishing_expires (FALSE);
  check_finishing_expires (TRUE);
}

/* Connections that are not yet WebSockets */

#define HALF_A_REQUEST "GET / HTTP/1.1\r\nHost: gateway\r\n"
#define N_PENDING 8

/* Connects and goes @step steps towards a WebSocket. */
static int
connect_pending (guint16 port,
                 guint step,
                 GPtrArray *streams)
{
  int fd = client_connect (port);

  if (step == 1)
    client_write (fd, HALF_A_REQUEST, strlen (HALF_A_REQUEST));
  if (step >= 2)
    g_ptr_array_add (streams, tls_client_new (dup (fd)));
  if (step == 3)
    g_output_stream_write_all (g_io_stream_get_output_stream (streams->pdata[streams->len - 1]), HALF_A_REQUEST,
                               strlen (HALF_A_REQUEST), NULL, NULL, NULL);
  return fd;
}

/* The gateway is closed while such connections are pending. */
static void
check_pending (TcpGateway *gateway,
               guint steps)
{
  g_autoptr (GPtrArray) streams = g_ptr_array_new_with_free_func (g_object_unref);
  guint16 port = start_gateway (gateway);
  int fds[N_PENDING];

  for (guint i = 0; i < N_PENDING; i++)
    fds[i] = connect_pending (port, i % steps, streams);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  for (guint i = 0; i < N_PENDING; i++)
    {
      client_expect_end (fds[i]);
      client_close (fds[i]);
    }
}

static void
test_pending_at_close (void)
{
  g_autoptr (TcpGateway) plain = new_gateway (9);
  g_autoptr (TcpGateway) tls = new_gateway (9);
  guint before;

  g_object_set (tls, "tls-certificate", test_certificate (), NULL);
  check_pending (tls, 4);
  before = count_fds ();
  for (guint i = 0; i < test_count (5, 2); i++)
    {
      check_pending (plain, 2);
      check_pending (tls, 4);
    }
  WAIT_UNTIL (count_fds () <= before);
}

/* Other code, such as a thread of TLS, may still hold a reference to a connection. */
static atomic_bool witnessing;
static Monitor monitor; /* protects the next one */
static GPtrArray *witnessed;

/* Replaces the function of GIO. */
GSocketConnection *
g_socket_connection_factory_create_connection (GSocket *socket)
{
  GSocketConnection *(*create) (GSocket *) = dlsym (RTLD_NEXT, "g_socket_connection_factory_create_connection");
  GSocketConnection *connection = create (socket);

  if (atomic_load (&witnessing))
    {
      monitor_enter (&monitor);
      g_ptr_array_add (witnessed, g_object_ref (connection));
      monitor_leave (&monitor);
    }
  return connection;
}

/* After a failed handshake, a connection is not counted as pending any more, even if a reference to it is left.
 * Otherwise the oldest pending connection would be evicted. */
static void
test_failed_handshakes (void)
{
  g_autoptr (TcpGateway) gateway = new_gateway (9);
  guint64 before;
  guint16 port;
  int first;

  monitor_init (&monitor);
  witnessed = g_ptr_array_new_with_free_func (g_object_unref);
  atomic_store (&witnessing, TRUE);
  g_object_set (gateway, "tls-certificate", test_certificate (), "connect-timeout", 600000, NULL);
  before = test_set_descriptors (8 * N_PENDING);
  port = start_gateway (gateway);
  test_set_descriptors (before);

  first = client_connect (port);
  for (guint i = 0; i < 3 * N_PENDING; i++)
    {
      int fd = client_connect (port);

      client_write (fd, HALF_A_REQUEST, strlen (HALF_A_REQUEST));
      client_expect_end (fd);
      client_close (fd);
    }
  g_assert_false (client_has_ended (first));
  atomic_store (&witnessing, FALSE);
  g_object_unref (tls_client_new (first));

  g_assert_cmpuint (witnessed->len, >=, 3 * N_PENDING + 1);
  g_ptr_array_unref (witnessed);
  monitor_clear (&monitor);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

int
main (int argc,
      char **argv)
{
  g_setenv ("TCP_TUNNEL_IO_THREADS", "1", TRUE);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/caps/ended-sessions", test_ended_sessions);
  g_test_add_func ("/caps/lingering", test_lingering);
  g_test_add_func ("/caps/finishing-expires", test_finishing_expires);
  g_test_add_func ("/caps/pending-at-close", test_pending_at_close);
  g_test_add_func ("/caps/failed-handshakes", test_failed_handshakes);

  return g_test_run ();
}
