/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sessions of one gateway on several I/O threads: each stays on one thread, and together they observe the limits
 * of the gateway. */

#include "fixture.h"
#include "monitor.h"
#include "socket-util.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_THREADS 4
#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"
#define LONG_MS (10 * TEST_DEADLINE_MS)

/* The threads that have connected to the target. */
static Monitor monitor;
static atomic_uint watched_port;
static GHashTable *threads; /* protected by the monitor */

int
connect (int fd,
         const struct sockaddr *address,
         socklen_t length)
{
  int (*real) (int, const struct sockaddr *, socklen_t) = dlsym (RTLD_NEXT, "connect");

  if (address->sa_family == AF_INET && ntohs (((const struct sockaddr_in *) address)->sin_port) == watched_port)
    {
      monitor_enter (&monitor);
      g_hash_table_add (threads, GINT_TO_POINTER (gettid ()));
      monitor_leave (&monitor);
    }
  return real (fd, address, length);
}

/* The thread that accepts at the gateway's port. It may be that of a session as well. */
static atomic_uint accepting_port;
static atomic_int accepting_thread;

int
accept4 (int fd,
         struct sockaddr *address,
         socklen_t *length,
         int flags)
{
  int (*real) (int, struct sockaddr *, socklen_t *, int) = dlsym (RTLD_NEXT, "accept4");
  struct sockaddr_in own = { 0 };
  socklen_t own_length = sizeof own;

  if (getsockname (fd, (struct sockaddr *) &own, &own_length) == 0 && ntohs (own.sin_port) == accepting_port)
    accepting_thread = gettid ();
  return real (fd, address, length, flags);
}

/* Blocks the thread of a session just before its WebSocket is opened, unless that thread accepts as well. */
static gboolean held;   /* the next one has to wait; all three are protected by the monitor */
static gboolean waits;  /* one is waiting */
static gboolean passed; /* one was not blocked, because its thread accepts */

ssize_t
send (int fd,
      const void *data,
      size_t length,
      int flags)
{
  static const char upgraded[] = "HTTP/1.1 101 ";
  ssize_t (*real) (int, const void *, size_t, int) = dlsym (RTLD_NEXT, "send");

  if (length >= strlen (upgraded) && memcmp (data, upgraded, strlen (upgraded)) == 0)
    {
      monitor_enter (&monitor);
      passed = held && gettid () == accepting_thread;
      waits = held && !passed;
      monitor_changed (&monitor);
      while (waits && held)
        g_assert_true (monitor_wait (&monitor, test_deadline ()));
      waits = FALSE;
      monitor_leave (&monitor);
    }
  return real (fd, data, length, flags);
}

static void
hold_next (void)
{
  monitor_enter (&monitor);
  held = TRUE;
  monitor_leave (&monitor);
}

static void
let_go (void)
{
  monitor_enter (&monitor);
  held = FALSE;
  monitor_changed (&monitor);
  monitor_leave (&monitor);
}

static void
watch_threads (Target *target)
{
  monitor_enter (&monitor);
  g_clear_pointer (&threads, g_hash_table_unref);
  threads = g_hash_table_new (NULL, NULL);
  monitor_leave (&monitor);
  watched_port = target_get_port (target);
}

static guint
count_threads (void)
{
  guint n;

  monitor_enter (&monitor);
  n = g_hash_table_size (threads);
  monitor_leave (&monitor);
  return n;
}

static TcpGateway *
start_gateway (Target *target,
               GTlsCertificate *certificate,
               guint max_connections,
               guint16 *port)
{
  g_autofree char *address = target_get_address (target);
  TcpGateway *gateway = tcp_gateway_new (address);
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, "tls-certificate", certificate,
                "max-connections", max_connections, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  *port = test_port_of (gateway);
  return gateway;
}

static char *
name_session (guint number)
{
  return g_strdup_printf ("/?sessionId=session-%u", number);
}

static int
connect_session (guint16 port,
                 guint number)
{
  g_autofree char *path = name_session (number);

  return ws_connect (port, path, TEST_TOKEN);
}

static void
round_trip (int fd,
            const char *text)
{
  ws_send (fd, WS_BINARY, text, strlen (text));
  ws_expect (fd, text);
}

/* However often a client reconnects, its session is found: there is no second connection to the target. */
static void
test_sessions (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 256, &port);
  int fds[32];

  watch_threads (target);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = connect_session (port, i);
      round_trip (fds[i], "hello");
    }
  g_assert_cmpuint (count_threads (), ==, N_THREADS);

  /* In a different order in each round. */
  for (guint round = 0; round < 4; round++)
    for (guint k = 0; k < G_N_ELEMENTS (fds); k++)
      {
        guint i = (k + round + 1) % G_N_ELEMENTS (fds);
        int former = fds[i];

        /* The former WebSocket is still open, was just reset, or has been closed by the gateway. */
        if (round == 1)
          client_reset (former);
        if (round == 2)
          {
            ws_send (former, 3, "broken", 6);
            client_expect_end (former);
          }
        fds[i] = connect_session (port, i);
        round_trip (fds[i], "hello again");
        if (round != 1)
          client_close (former);
      }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, G_N_ELEMENTS (fds));

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Sessions without an id are distributed over all threads. */
static void
test_nameless (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 256, &port);
  int fds[N_THREADS];

  watch_threads (target);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = ws_connect (port, "/", TEST_TOKEN);
      round_trip (fds[i], "hello");
    }
  g_assert_cmpuint (count_threads (), ==, N_THREADS);

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* No data is lost when a connection is passed to another thread, with TLS neither: the client's first data is passed
 * along. */
static void
check_streams (FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_echo ();
  guint n = test_count (40, 12);

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, flags);
      int fd;

      fixture_start (fixture);
      fd = client_connect (fixture_get_port (fixture));
      client_echo_stream (fd, 300000, i);
      client_close (fd);
    }
}

static void
test_streams (void)
{
  check_streams (FIXTURE_RESUMABLE);
  check_streams (FIXTURE_PLAIN);
}

static void
test_streams_tls (void)
{
  check_streams (FIXTURE_RESUMABLE | FIXTURE_TLS);
  check_streams (FIXTURE_TLS);
}

/* Limits */

#define MAX_CONNECTIONS 25
#define N_FLOODERS 4

typedef struct
{
  guint16 port;
  guint first; /* the number of its first session */
  int fds[16];
  guint admitted;
  guint refused;
} Flooder;

static gpointer
flood_sessions (gpointer data)
{
  Flooder *self = data;

  for (guint i = 0; i < G_N_ELEMENTS (self->fds); i++)
    {
      g_autofree char *path = name_session (self->first + i);
      guint status = http_get (self->port, path, WS_UPGRADE AUTHORIZED, NULL, &self->fds[i]);

      if (status == 101)
        self->admitted++;
      else if (status == 503)
        self->refused++;
    }
  return NULL;
}

/* Sends the first byte of many connections, and counts those that are closed. */
static gpointer
flood_streams (gpointer data)
{
  Flooder *self = data;
  int fd = ws_connect (self->port, "/?mode=multiplexed", TEST_TOKEN);

  for (guint id = 1; id <= G_N_ELEMENTS (self->fds); id++)
    {
      const guint8 message[] = { 0, 0, 0, id, 'x' };

      ws_send (fd, WS_BINARY, message, sizeof message);
    }
  /* Accepted connections return an echo, the others are closed. */
  for (guint i = 0; i < G_N_ELEMENTS (self->fds); i++)
    {
      guint opcode;
      g_autoptr (GBytes) message = ws_receive (fd, &opcode);

      g_assert_nonnull (message);
      if (g_bytes_get_size (message) == 5)
        self->admitted++;
      else if (g_bytes_get_size (message) == 4)
        self->refused++;
    }
  self->fds[0] = fd;
  return NULL;
}

static void
flood (GThreadFunc func,
       guint16 port,
       Flooder *flooders,
       guint *admitted,
       guint *refused)
{
  GThread *floods[N_FLOODERS];

  *admitted = *refused = 0;
  for (guint i = 0; i < N_FLOODERS; i++)
    {
      flooders[i] = (Flooder) { .port = port, .first = i * G_N_ELEMENTS (flooders[i].fds) };
      floods[i] = g_thread_new ("flood", func, &flooders[i]);
    }
  for (guint i = 0; i < N_FLOODERS; i++)
    {
      g_thread_join (floods[i]);
      *admitted += flooders[i].admitted;
      *refused += flooders[i].refused;
    }
}

static void
test_clients_are_limited (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, MAX_CONNECTIONS, &port);
  Flooder flooders[N_FLOODERS];
  guint admitted, refused;

  flood (flood_sessions, port, flooders, &admitted, &refused);
  g_assert_cmpuint (admitted, ==, MAX_CONNECTIONS);
  g_assert_cmpuint (refused, ==, N_FLOODERS * G_N_ELEMENTS (flooders[0].fds) - MAX_CONNECTIONS);

  for (guint i = 0; i < N_FLOODERS; i++)
    for (guint j = 0; j < G_N_ELEMENTS (flooders[i].fds); j++)
      client_close (flooders[i].fds[j]);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

static void
test_connections_are_limited (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, MAX_CONNECTIONS, &port);

  /* Connections that have ended do not count any more. */
  for (guint i = 0; i < 3; i++)
    {
      Flooder flooders[N_FLOODERS];
      guint admitted, refused;

      flood (flood_streams, port, flooders, &admitted, &refused);
      g_assert_cmpuint (admitted, ==, MAX_CONNECTIONS);
      g_assert_cmpuint (refused, ==, N_FLOODERS * G_N_ELEMENTS (flooders[0].fds) - MAX_CONNECTIONS);
      /* The last one that was refused is counted until its thread has finished. */
      WAIT_UNTIL (test_figure (gateway, open_connections) == MAX_CONNECTIONS);
      g_assert_true (target_wait_accepted (target, (i + 1) * MAX_CONNECTIONS));

      for (guint j = 0; j < N_FLOODERS; j++)
        client_close (flooders[j].fds[0]);
      WAIT_UNTIL (test_figure (gateway, open_connections) == 0);
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 3 * MAX_CONNECTIONS);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

/* Drain, close and restart */

static void
count (guint *counter)
{
  (*counter)++;
}

typedef struct
{
  gboolean done;
  gboolean closed;
} Drained;

static void
on_drained (GObject *object,
            GAsyncResult *result,
            gpointer user_data)
{
  Drained *drained = user_data;

  drained->closed = tcp_gateway_drain_finish (TCP_GATEWAY (object), result, NULL);
  drained->done = TRUE;
}

static void
deliver_events (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
test_drain (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 256, &port);
  Drained drained = { 0 };
  guint closed = 0;
  int fds[12];
  int idle;

  g_signal_connect_swapped (gateway, "connection-closed", G_CALLBACK (count), &closed);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = connect_session (port, i);
      round_trip (fds[i], "hello");
    }
  idle = ws_connect (port, "/?mode=multiplexed", TEST_TOKEN);
  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);

  /* No thread accepts other clients, */
  for (guint i = 0; i < 2 * N_THREADS; i++)
    g_assert_cmpuint (http_get (port, "/", WS_UPGRADE AUTHORIZED, NULL, NULL), ==, 503);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_autofree char *path = name_session (i + G_N_ELEMENTS (fds));

      g_assert_cmpuint (http_get (port, path, WS_UPGRADE AUTHORIZED, NULL, NULL), ==, 503);
    }
  /* and the sessions of each thread continue until the last one has ended. */
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_reset (fds[i]);
      fds[i] = connect_session (port, i);
      round_trip (fds[i], "still here");
      deliver_events ();
      g_assert_false (drained.done);
      ws_send_close (fds[i], 1000);
      ws_expect_close (fds[i], 1000);
      client_close (fds[i]);
    }
  WAIT_UNTIL (drained.done);
  g_assert_true (drained.closed);
  ws_expect_close (idle, 1001);
  client_close (idle);
  g_assert_cmpuint (closed, ==, G_N_ELEMENTS (fds));
}

/* Requests a WebSocket, and returns when a thread that does not accept is blocked before the answer. Sessions without an
 * id are assigned to the threads in turn. */
static int
connect_held (guint16 port)
{
  static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n" WS_UPGRADE AUTHORIZED "\r\n";
  gboolean done;

  accepting_port = port;
  hold_next ();
  for (guint i = 0; i < 2; i++)
    {
      int fd = client_connect (port);

      client_write (fd, request, strlen (request));
      g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), waits || passed));
      monitor_enter (&monitor);
      done = waits;
      passed = FALSE;
      monitor_leave (&monitor);
      if (done)
        return fd;
      g_free (http_read_head (fd));
      client_close (fd);
    }
  g_assert_not_reached ();
}

/* The drain waits for a session that has no connection yet, and whose thread does not know of the drain. */
static void
test_drain_waits_for_threads (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 256, &port);
  Drained drained = { 0 };
  g_autofree char *head = NULL;
  int first, second;

  first = ws_connect (port, "/", TEST_TOKEN);
  round_trip (first, "hello");
  second = connect_held (port);
  tcp_gateway_drain_async (gateway, LONG_MS, NULL, on_drained, &drained);
  /* The other threads have no sessions any more, and have reported that. */
  ws_send_close (first, 1000);
  ws_expect_close (first, 1000);
  client_close (first);
  WAIT_UNTIL (test_figure (gateway, open_connections) == 0);
  for (guint i = 0; i < N_THREADS - 1; i++)
    g_assert_cmpuint (http_get (port, "/", WS_UPGRADE AUTHORIZED, NULL, NULL), ==, 503);
  deliver_events ();
  g_assert_false (drained.done);

  let_go ();
  head = http_read_head (second);
  g_assert_true (g_str_has_prefix (head, "HTTP/1.1 101 "));
  round_trip (second, "still here");
  deliver_events ();
  g_assert_false (drained.done);
  ws_send_close (second, 1000);
  ws_expect_close (second, 1000);
  client_close (second);
  WAIT_UNTIL (drained.done);
  g_assert_true (drained.closed);
}

/* When the drain has ended, no thread has anything left of the gateway. */
static void
test_drain_ends_on_all_threads (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 256, &port);
  Drained drained = { 0 };
  int first, second;

  first = ws_connect (port, "/", TEST_TOKEN);
  round_trip (first, "hello");
  second = connect_held (port);
  tcp_gateway_drain_async (gateway, 0, NULL, on_drained, &drained);
  /* All threads but the held one are through. */
  ws_expect_close (first, 1001);
  client_close (first);
  deliver_events ();
  g_assert_false (drained.done);

  let_go ();
  WAIT_UNTIL (drained.done);
  g_assert_true (drained.closed);
  client_close (second);
}

/* Connects until @stop is set. */
typedef struct
{
  atomic_bool stop;
  guint16 port;
  GThread *thread;
  atomic_uint answers;
} Client;

static gpointer
keep_connecting (gpointer data)
{
  Client *self = data;
  static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n" WS_UPGRADE AUTHORIZED "\r\n";

  while (!self->stop)
    {
      char answer[1024];
      int fd;

      if (client_try_connect (self->port, &fd) != 0)
        continue;
      socket_set_blocking (fd, TRUE);
      if (send (fd, request, strlen (request), MSG_NOSIGNAL) > 0 && recv (fd, answer, sizeof answer, 0) > 0)
        self->answers++;
      close (fd);
    }
  return NULL;
}

/* A close returns only when nothing is left of the gateway, even of connections that are being passed to another
 * thread. The gateway can be started again. */
static void
test_close_during_accept (void)
{
  g_autoptr (Target) target = target_new_echo ();
  Client clients[3] = { 0 };
  guint16 port;

  for (guint i = 0; i < test_count (60, 15); i++)
    {
      g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 1000, &port);

      for (guint j = 0; j < G_N_ELEMENTS (clients); j++)
        {
          clients[j] = (Client) { .port = port };
          clients[j].thread = g_thread_new ("client", keep_connecting, &clients[j]);
        }
      WAIT_UNTIL (clients[i % G_N_ELEMENTS (clients)].answers >= i % 7);
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
      for (guint j = 0; j < G_N_ELEMENTS (clients); j++)
        clients[j].stop = TRUE;
      for (guint j = 0; j < G_N_ELEMENTS (clients); j++)
        g_thread_join (clients[j].thread);
      close (socket_listen (port, NULL));
      g_assert_cmpuint (test_figure (gateway, open_connections), ==, 0);
    }
}

/* The same gateway is started again. */
static void
test_restart (void)
{
  g_autoptr (Target) target = target_new_echo ();
  guint16 port;
  g_autoptr (TcpGateway) gateway = start_gateway (target, NULL, 256, &port);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 5; i++)
    {
      int fds[8];

      for (guint j = 0; j < G_N_ELEMENTS (fds); j++)
        {
          fds[j] = connect_session (port, j);
          round_trip (fds[j], "hello");
        }
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
      for (guint j = 0; j < G_N_ELEMENTS (fds); j++)
        {
          ws_expect_close (fds[j], 1001);
          client_close (fds[j]);
        }
      g_assert_cmpuint (test_figure (gateway, open_connections), ==, 0);
      tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
      g_assert_no_error (error);
      port = test_port_of (gateway);
    }
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

int
main (int argc,
      char **argv)
{
  g_setenv ("TCP_TUNNEL_IO_THREADS", G_STRINGIFY (N_THREADS), TRUE);
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);

  g_test_add_func ("/threads/sessions", test_sessions);
  g_test_add_func ("/threads/nameless", test_nameless);
  g_test_add_func ("/threads/streams", test_streams);
  g_test_add_func ("/threads/streams-tls", test_streams_tls);
  g_test_add_func ("/threads/clients-are-limited", test_clients_are_limited);
  g_test_add_func ("/threads/connections-are-limited", test_connections_are_limited);
  g_test_add_func ("/threads/drain", test_drain);
  g_test_add_func ("/threads/drain-waits-for-threads", test_drain_waits_for_threads);
  g_test_add_func ("/threads/drain-ends-on-all-threads", test_drain_ends_on_all_threads);
  g_test_add_func ("/threads/close-during-accept", test_close_during_accept);
  g_test_add_func ("/threads/restart", test_restart);

  return g_test_run ();
}
