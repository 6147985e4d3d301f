/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* With few file descriptors there is no busy loop and no flood of messages, and everything works again when there are
 * more. The descriptors of this process are limited; the other ends of its connections are in another process. */

#include "fixture.h"
#include "socket-util.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_CLIENTS 160
#define AUTHORIZED "Authorization: Bearer " TEST_TOKEN "\r\n"

/* Counts what the library does in this process */

static atomic_uint accepts, failures, lines;

int
accept4 (int fd,
         struct sockaddr *address,
         socklen_t *length,
         int flags)
{
  int (*real) (int, struct sockaddr *, socklen_t *, int) = dlsym (RTLD_NEXT, "accept4");
  int result = real (fd, address, length, flags);

  accepts++;
  if (result < 0 && errno != EAGAIN)
    failures++;
  return result;
}

static GLogWriterOutput
count_lines (GLogLevelFlags level,
             const GLogField *fields,
             gsize n_fields,
             gpointer user_data)
{
  if ((level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO)) != 0)
    lines++;
  return (level & G_LOG_LEVEL_DEBUG) != 0 ? G_LOG_WRITER_HANDLED
                                          : g_log_writer_default (level, fields, n_fields, user_data);
}

static void
count_from_zero (void)
{
  accepts = failures = lines = 0;
}

/* The other process: a gateway with its target, and clients */

typedef enum
{
  CONNECT,    /* n clients to this port */
  COUNT_ENDS, /* how many of them were closed */
  ADMIT,      /* n WebSockets; the answer is how many were accepted */
  DROP,       /* close all of them */
  ROUND_TRIP, /* a round trip of one client, which then closes */
} Order;

typedef struct
{
  Order order;
  guint16 port;
  guint n;
} Command;

static int orders = -1;
static int answers = -1;

static guint
carry_out (const Command *command,
           GArray *fds)
{
  guint result = 0;
  int fd;

  switch (command->order)
    {
    case CONNECT:
      for (guint i = 0; i < command->n; i++)
        {
          fd = client_connect (command->port);
          g_array_append_val (fds, fd);
        }
      break;
    case COUNT_ENDS:
      for (guint i = 0; i < fds->len; i++)
        result += client_has_ended (g_array_index (fds, int, i));
      break;
    case ADMIT:
      for (guint i = 0; i < command->n; i++)
        {
          g_autofree char *path = g_strdup_printf ("/?sessionId=%u", i);

          result += http_get (command->port, path, WS_UPGRADE AUTHORIZED, NULL, &fd) == 101;
          g_array_append_val (fds, fd);
        }
      break;
    case DROP:
      for (guint i = 0; i < fds->len; i++)
        client_close (g_array_index (fds, int, i));
      g_array_set_size (fds, 0);
      break;
    case ROUND_TRIP:
      fd = client_connect (command->port);
      client_round_trip (fd, "hello");
      client_close (fd);
      break;
    }
  return result;
}

static void
run_other (int input,
           int output)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autofree char *address = target_get_address (target);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (address);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GError) error = NULL;
  Command command;
  guint ports[2];

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  ports[0] = test_port_of (gateway);
  ports[1] = target_get_port (target);
  g_assert_cmpint (write (output, ports, sizeof ports), ==, sizeof ports);
  while (read (input, &command, sizeof command) == sizeof command)
    {
      guint result = carry_out (&command, fds);

      g_assert_cmpint (write (output, &result, sizeof result), ==, sizeof result);
    }
}

static guint
tell (Order order,
      guint16 port,
      guint n)
{
  Command command = { .order = order, .port = port, .n = n };
  guint result;

  g_assert_cmpint (write (orders, &command, sizeof command), ==, sizeof command);
  g_assert_cmpint (read (answers, &result, sizeof result), ==, sizeof result);
  return result;
}

/* This process */

static guint gateway_port, target_port;

/* Starts an endpoint with @n_free descriptors, in a child. To be called before there are threads, since it forks. */

#define LEFT_AFTER_START 5
#define STARTED 100 /* in place of an error code */

/* @n_listeners: how many further ones the gateway has. */
static int
try_start (gboolean is_gateway,
           guint n_free,
           guint n_listeners)
{
  int held[128], status;
  guint n = 0;
  pid_t child = fork ();

  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
      g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://127.0.0.1:9/", TCP_TUNNEL_MODE_SINGLETON);
      g_autoptr (GListStore) listeners = g_list_store_new (G_TYPE_OBJECT);
      gboolean started;

      for (guint i = 0; i < n_listeners; i++)
        {
          g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);

          g_list_store_append (listeners, address);
        }
      g_object_set (gateway, "listeners", listeners, "tls-certificate", n_listeners > 0 ? test_certificate () : NULL, NULL);
      tcp_gateway_set_token (gateway, TEST_TOKEN);
      test_set_descriptors (G_N_ELEMENTS (held));
      while ((held[n] = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
      while (n_free-- > 0)
        close (held[--n]);
      started = tcp_endpoint_start (is_gateway ? TCP_ENDPOINT (gateway) : TCP_ENDPOINT (tunnel), NULL, &error);
      if (started && n_listeners > 0)
        {
          for (guint i = 0; i < LEFT_AFTER_START; i++)
            g_assert_no_errno (open ("/dev/null", O_RDONLY | O_CLOEXEC));
          while (open ("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
            ;
          g_assert_false (tcp_gateway_reload (gateway, NULL, &error));
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
        }
      if (started)
        _exit (STARTED);
      g_assert_cmpuint (error->domain, ==, TCP_TUNNEL_ERROR);
      /* It can be started again. */
      while (n > 0)
        close (held[--n]);
      started = tcp_endpoint_start (is_gateway ? TCP_ENDPOINT (gateway) : TCP_ENDPOINT (tunnel), NULL, NULL);
      _exit (started ? error->code : 127);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

/* A start succeeds or fails, but it never ends the program. */
static void
test_start (void)
{
  for (guint is_gateway = 0; is_gateway < 2; is_gateway++)
    {
      g_assert_cmpint (try_start (is_gateway, 0, 0), ==, TCP_TUNNEL_ERROR_LIMIT);
      g_assert_cmpint (try_start (is_gateway, 1, 0), ==, TCP_TUNNEL_ERROR_LIMIT);
      /* A fork takes a second under ThreadSanitizer. */
      for (guint n_free = 2; n_free < 24; n_free += test_count (1, 5))
        {
          int result = try_start (is_gateway, n_free, 0);

          g_test_message ("with %u: %d", n_free, result);
          g_assert_true (result == TCP_TUNNEL_ERROR_LIMIT || result == TCP_TUNNEL_ERROR_LISTEN || result == STARTED);
        }
      g_assert_cmpint (try_start (is_gateway, 24, 0), ==, STARTED);
    }
}

/* Listeners do not use up the descriptors that the gateway needs once it runs. */
static void
test_listeners (void)
{
  /* The first call runs a program. */
  test_certificate ();
  for (guint n_free = 20; n_free < 48; n_free += test_count (1, 5))
    {
      int result = try_start (TRUE, n_free, 20);

      g_test_message ("with %u: %d", n_free, result);
      g_assert_true (result == TCP_TUNNEL_ERROR_LIMIT || result == TCP_TUNNEL_ERROR_LISTEN || result == STARTED);
    }
  g_assert_cmpint (try_start (TRUE, 48, 20), ==, STARTED);
}

#define N_TUNNELS 4

typedef struct
{
  TcpTunnel *tunnels[N_TUNNELS];
  guint n;
} Tunnels;

static void
tunnels_start (Tunnels *self,
               guint n)
{
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", gateway_port);

  self->n = n;
  for (guint i = 0; i < n; i++)
    {
      self->tunnels[i] = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
      g_object_set (self->tunnels[i], "log-level", TCP_TUNNEL_LOG_LEVEL_INFO,
                    "resumption", TCP_TUNNEL_RESUMPTION_AUTO, NULL);
      test_tunnel_start (self->tunnels[i]);
    }
}

static guint
tunnels_count_open (Tunnels *self)
{
  guint n = 0;

  for (guint i = 0; i < self->n; i++)
    n += test_figure (self->tunnels[i], open_connections);
  return n;
}

static void
tunnels_connect (Tunnels *self)
{
  for (guint i = 0; i < self->n; i++)
    tell (CONNECT, test_tunnel_get_port (self->tunnels[i]), N_CLIENTS / self->n);
}

/* Requires that each of them works. */
static void
tunnels_check (Tunnels *self)
{
  WAIT_UNTIL (tunnels_count_open (self) == 0);
  for (guint i = 0; i < self->n; i++)
    tell (ROUND_TRIP, test_tunnel_get_port (self->tunnels[i]), 1);
}

static void
tunnels_close (Tunnels *self)
{
  for (guint i = 0; i < self->n; i++)
    {
      tcp_endpoint_close (TCP_ENDPOINT (self->tunnels[i]));
      g_object_unref (self->tunnels[i]);
    }
}

/* Clients are served as far as there are descriptors, and the others are closed. Neither costs much. */
static void
check_crowd (Tunnels *tunnels)
{
  guint open;

  count_from_zero ();
  tunnels_connect (tunnels);
  WAIT_UNTIL (tell (COUNT_ENDS, 0, 0) + tunnels_count_open (tunnels) == N_CLIENTS);
  open = tunnels_count_open (tunnels);
  g_test_message ("%u of %u are open; %u accepts, %u lines", open, N_CLIENTS, accepts, lines);
  g_assert_cmpuint (open, >, 0);
  g_assert_cmpuint (open, <, N_CLIENTS);
  g_assert_cmpuint (failures, ==, 0);
  /* Each accept may be followed by one that finds no connection. */
  g_assert_cmpuint (accepts, <=, 2 * N_CLIENTS);
  g_assert_cmpuint (lines, <=, tunnels->n);

  tell (DROP, 0, 0);
}

static void
test_tunnels (void)
{
  Tunnels tunnels;

  tunnels_start (&tunnels, N_TUNNELS);
  test_set_descriptors (64);
  check_crowd (&tunnels);
  tunnels_check (&tunnels);
  test_set_descriptors (1024);
  tunnels_close (&tunnels);
}

/* Descriptors that the program itself uses count as well. */
static void
test_program (void)
{
  Tunnels tunnels;
  int held[150];

  tunnels_start (&tunnels, 1);
  test_set_descriptors (200);
  for (guint i = 0; i < G_N_ELEMENTS (held); i++)
    held[i] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  check_crowd (&tunnels);
  for (guint i = 0; i < G_N_ELEMENTS (held); i++)
    close (held[i]);
  tunnels_check (&tunnels);
  test_set_descriptors (1024);
  tunnels_close (&tunnels);
}

/* TLS handshakes that wait for the gateway need no further descriptors. */
static void
test_tls (void)
{
  GTlsBackend *backend = g_tls_backend_get_default ();
  guint16 port;
  int silent = socket_listen (0, &port);
  g_autofree char *uri = g_strdup_printf ("wss://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_PARALLEL);

  /* Loads it. */
  g_type_ensure (g_tls_backend_get_client_connection_type (backend));
  g_object_set (tunnel, "tls-database", test_tls_database (), "connect-timeout", 1000, "max-reconnect-attempts", 0, NULL);
  test_tunnel_start (tunnel);
  test_set_descriptors (64);
  tell (CONNECT, test_tunnel_get_port (tunnel), 40);
  WAIT_UNTIL (tell (COUNT_ENDS, 0, 0) == 40);
  tell (DROP, 0, 0);
  test_set_descriptors (1024);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  client_close (silent);
}

/* If no descriptor is left, connections wait until there are some. */
static void
test_none (void)
{
  Tunnels tunnels;
  GArray *held = g_array_new (FALSE, FALSE, sizeof (int));
  gint64 began;
  guint counted, pauses;
  int fd;

  tunnels_start (&tunnels, N_TUNNELS);
  tunnels_check (&tunnels);
  test_set_descriptors (100);
  while ((fd = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    g_array_append_val (held, fd);
  count_from_zero ();
  began = g_get_monotonic_time ();
  for (guint i = 0; i < N_TUNNELS; i++)
    tell (CONNECT, test_tunnel_get_port (tunnels.tunnels[i]), 1);
  WAIT_UNTIL (failures >= 3 * N_TUNNELS);
  counted = accepts;
  pauses = (g_get_monotonic_time () - began) / (100 * G_TIME_SPAN_MILLISECOND);
  g_assert_cmpuint (counted, <=, N_TUNNELS * (pauses + 1));
  WAIT_UNTIL (lines >= N_TUNNELS);
  g_assert_cmpuint (lines, ==, N_TUNNELS);

  for (guint i = 0; i < held->len; i++)
    close (g_array_index (held, int, i));
  g_array_unref (held);
  WAIT_UNTIL (tunnels_count_open (&tunnels) == N_TUNNELS);
  WAIT_UNTIL (lines == 2 * N_TUNNELS);
  tell (DROP, 0, 0);
  tunnels_check (&tunnels);
  test_set_descriptors (1024);
  tunnels_close (&tunnels);
}

/* A gateway refuses clients, and further connections of those that it has. */
static void
test_gateway (void)
{
  g_autofree char *target = g_strdup_printf ("127.0.0.1:%u", target_port);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (target);
  g_autoptr (GError) error = NULL;
  g_autofree char *body = NULL;
  guint16 port;
  guint admitted;

  g_object_set (gateway, "token", TEST_TOKEN, "log-level", TCP_TUNNEL_LOG_LEVEL_WARN, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  port = test_port_of (gateway);
  test_set_descriptors (64);

  for (guint i = 0; i < 2; i++)
    {
      count_from_zero ();
      admitted = tell (ADMIT, port, N_CLIENTS);
      g_test_message ("%u of %u were admitted; %u accepts", admitted, N_CLIENTS, accepts);
      g_assert_cmpuint (admitted, >, 0);
      g_assert_cmpuint (admitted, <, 64);
      g_assert_cmpuint (failures, ==, 0);
      g_assert_cmpuint (accepts, <=, 2 * N_CLIENTS);
      g_assert_cmpuint (http_get (port, "/", WS_UPGRADE AUTHORIZED, &body, NULL), ==, 503);
      g_assert_nonnull (strstr (body, "The process has too few file descriptors left for another session "));
      g_clear_pointer (&body, g_free);

      tell (DROP, 0, 0);
      WAIT_UNTIL (tell (ADMIT, port, 1) == 1);
      tell (DROP, 0, 0);
      /* The sessions of the clients that left still wait for them. */
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
      tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
      g_assert_no_error (error);
      port = test_port_of (gateway);
    }
  test_set_descriptors (1024);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

int
main (int argc,
      char **argv)
{
  int to_other[2], from_other[2];
  guint ports[2];
  pid_t other;
  int status;

  g_assert_no_errno (pipe2 (to_other, O_CLOEXEC));
  g_assert_no_errno (pipe2 (from_other, O_CLOEXEC));
  /* Before there are threads. */
  other = fork ();
  g_assert_cmpint (other, >=, 0);
  if (other == 0)
    {
      close (to_other[1]);
      close (from_other[0]);
      test_set_descriptors (G_MAXUINT);
      run_other (to_other[0], from_other[1]);
      _exit (0);
    }
  close (to_other[0]);
  close (from_other[1]);
  orders = to_other[1];
  answers = from_other[0];
  g_assert_cmpint (read (answers, ports, sizeof ports), ==, sizeof ports);
  gateway_port = ports[0];
  target_port = ports[1];

  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_lines, NULL, NULL);

  g_test_add_func ("/descriptors/start", test_start);
  g_test_add_func ("/descriptors/listeners", test_listeners);
  g_test_add_func ("/descriptors/tunnels", test_tunnels);
  g_test_add_func ("/descriptors/program", test_program);
  g_test_add_func ("/descriptors/tls", test_tls);
  g_test_add_func ("/descriptors/none", test_none);
  g_test_add_func ("/descriptors/gateway", test_gateway);

  status = g_test_run ();
  close (orders);
  waitpid (other, NULL, 0);
  return status;
}
