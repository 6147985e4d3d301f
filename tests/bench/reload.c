/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Measures how long a gateway takes to load and to reload many principals, and for how long connections stand still
 * meanwhile: bench-reload [PRINCIPALS [CERTIFICATE KEY]]. The connections send pings through a tunnel to an echo, each
 * the next one after the answer to the previous one; the result is the longest time that any of them waited for an
 * answer. */

#include "bench-util.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tcptunnel/tcptunnel.h>
#include <time.h>
#include <unistd.h>

#define N_CONNECTIONS 64
#define PING 4096
#define ROUNDS 10

static TcpGateway *gateway;
static TcpTunnel *tunnel;
static GListStore *principals;
static char *token_file;
static guint n_principals = 100000;

/* The load */

static atomic_bool finished;
static atomic_uint longest; /* in microseconds, since it was reset */
static atomic_uint pings;

static void
check (gboolean      condition,
       const GError *error)
{
  if (!condition)
    g_error ("%s", error != NULL ? error->message : g_strerror (errno));
}

static gpointer
run_echo (gpointer data)
{
  struct pollfd fds[1 + N_CONNECTIONS] = { { GPOINTER_TO_INT (data), POLLIN, 0 } };
  guint n = 1;
  char buffer[65536];

  while (!finished)
    {
      poll (fds, n, 100);
      if ((fds[0].revents & POLLIN) && n <= N_CONNECTIONS)
        fds[n++] = (struct pollfd) { bench_accept (fds[0].fd), POLLIN, 0 };
      for (guint i = 1; i < n; i++)
        if (fds[i].revents != 0)
          {
            gssize size = recv (fds[i].fd, buffer, sizeof buffer, MSG_DONTWAIT);

            if (size > 0)
              send (fds[i].fd, buffer, size, MSG_NOSIGNAL);
          }
    }
  return NULL;
}

static gpointer
run_load (gpointer data)
{
  struct pollfd fds[N_CONNECTIONS];
  gint64 since[N_CONNECTIONS];
  guint got[N_CONNECTIONS] = { 0 };
  char ping[PING] = { 0 };

  for (guint i = 0; i < N_CONNECTIONS; i++)
    {
      fds[i] = (struct pollfd) { bench_connect (GPOINTER_TO_UINT (data)), POLLIN, 0 };
      check (fds[i].fd >= 0, NULL);
      since[i] = g_get_monotonic_time ();
      check (send (fds[i].fd, ping, PING, MSG_NOSIGNAL) == PING, NULL);
    }
  while (!finished)
    {
      gint64 now;

      poll (fds, N_CONNECTIONS, 100);
      now = g_get_monotonic_time ();
      for (guint i = 0; i < N_CONNECTIONS; i++)
        {
          guint gap = now - since[i];

          /* A ping that still waits counts, too. */
          if (gap > longest)
            longest = gap;
          if (fds[i].revents == 0)
            continue;
          got[i] += MAX (recv (fds[i].fd, ping, PING, MSG_DONTWAIT), 0);
          if (got[i] < PING)
            continue;
          got[i] = 0;
          pings++;
          since[i] = now;
          check (send (fds[i].fd, ping, PING, MSG_NOSIGNAL) == PING, NULL);
        }
    }
  return NULL;
}

/* The gateway */

static void
write_tokens (guint n)
{
  g_autoptr (GString) text = g_string_new ("load:the-load\n");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "file-%u:0123456789abcdef-%u\n", i, i);
  check (g_file_set_contents_full (token_file, text->str, text->len, 0, 0600, &error), error);
}

static void
make_principals (guint n)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("object-%u", i);
      g_autofree char *token = g_strdup_printf ("fedcba9876543210-%u", i);
      const char *const tokens[] = { token, NULL };
      const char *const patterns[] = { "*.lab:5432", "10.0.0.0/8:8000-8099", NULL };
      TcpPrincipal *principal = tcp_principal_new (name);

      g_object_set (principal, "tokens", tokens, "allow", patterns, "max-connections", 10, NULL);
      g_ptr_array_add (all, principal);
    }
  g_list_store_splice (principals, 0, g_list_model_get_n_items (G_LIST_MODEL (principals)), all->pdata, all->len);
}

/* Returns the CPU time of all threads of the process. */
static double
get_cpu_ms (void)
{
  struct timespec time;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double
get_ms (gint64 since)
{
  return (g_get_monotonic_time () - since) / 1000.0;
}

static void
start (gpointer endpoint)
{
  g_autoptr (GError) error = NULL;

  check (tcp_endpoint_start (endpoint, NULL, &error), error);
}

static void
reload (void)
{
  g_autoptr (GError) error = NULL;

  check (tcp_gateway_reload (gateway, NULL, &error), error);
}

/* Makes the change before a reload. */
typedef void (*ChangeFunc) (guint round);

static void
measure (const char *what,
         ChangeFunc  change)
{
  double took = 0;
  guint stall = 0;

  for (guint round = 0; round < ROUNDS; round++)
    {
      gint64 since;

      if (change != NULL)
        change (round);
      /* The cost of the change itself is not part of the reload. */
      g_usleep (100000);
      longest = 0;
      since = g_get_monotonic_time ();
      if (change != NULL)
        reload ();
      took = MAX (took, get_ms (since));
      g_usleep (200000);
      stall = MAX (stall, longest);
    }
  g_print ("%-34s %9.1f ms %9.1f ms\n", what, took, stall / 1000.0);
}

static void
change_tokens (guint round)
{
  write_tokens (round);
}

static void
change_principals (guint round)
{
  make_principals (round);
}

static void
change_rules (guint round)
{
  const char *const patterns[] = { "127.0.0.0/8:*", round % 2 == 0 ? "*.lab:22" : "*.lab:23", NULL };

  g_object_set (gateway, "allow", patterns, NULL);
}

static void
change_targets (guint round)
{
  g_autofree char *db = g_strdup_printf ("db=127.0.0.1:%u", round + 1);
  const char *const targets[] = { db, NULL };

  g_object_set (gateway, "targets", targets, NULL);
}

static void
change_quotas (guint round)
{
  g_object_set (gateway, "max-principal-connections", 1000 + round, "max-connections", 20000 + round, NULL);
}

static void
change_ports (guint round)
{
  g_autofree char *range = g_strdup_printf ("%u-%u", 20000 + round, 30000 + round);
  const char *const ports[] = { range, NULL };

  g_object_set (gateway, "reverse-ports", ports, NULL);
}

static void
change_nothing (guint round)
{
}

static void
change_many (guint round)
{
  const char *const patterns[] = { round % 2 == 0 ? "*.lab:22" : "*.lab:23", NULL };
  g_autoptr (TcpPrincipal) last = g_list_model_get_item (G_LIST_MODEL (principals), n_principals - 1);

  g_object_set (last, "allow", patterns, NULL);
}

static void
measure_loading (const char *what)
{
  gint64 since = g_get_monotonic_time ();
  double cpu = get_cpu_ms ();

  start (gateway);
  g_print ("%-34s %9.1f ms %9.1f ms\n", what, get_ms (since), get_cpu_ms () - cpu);
  since = g_get_monotonic_time ();
  cpu = get_cpu_ms ();
  reload ();
  g_print ("%-34s %9.1f ms %9.1f ms\n", "  and again", get_ms (since), get_cpu_ms () - cpu);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

int
main (int    argc,
      char **argv)
{
  g_autofree char *target = NULL;
  g_autofree char *uri = NULL;
  GSocketAddress *address;
  g_autoptr (GError) error = NULL;
  guint16 port;
  int fd = bench_listen (&port);
  GThread *echo, *load;
  gint64 since;

  if (argc > 1)
    n_principals = atoi (argv[1]);
  target = g_strdup_printf ("127.0.0.1:%u", port);
  gateway = tcp_gateway_new (target);
  principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  close (g_file_open_tmp ("bench-reload-XXXXXX", &token_file, &error));
  check (token_file != NULL, error);
  g_object_set (gateway, "principals", principals, "token-file", token_file, "log-level", TCP_TUNNEL_LOG_LEVEL_ERROR, NULL);
  if (argc > 3)
    {
      g_autoptr (GTlsCertificate) certificate = g_tls_certificate_new_from_files (argv[2], argv[3], &error);

      check (certificate != NULL, error);
      g_object_set (gateway, "tls-certificate", certificate, NULL);
    }

  g_print ("%-34s %12s %12s\n", "Loading many principals", "time", "CPU time");
  write_tokens (n_principals);
  measure_loading ("as lines of a token file");
  since = g_get_monotonic_time ();
  write_tokens (0);
  make_principals (n_principals);
  g_print ("%-34s %9.1f ms\n", "(to make the objects)", get_ms (since));
  measure_loading ("as objects");
  write_tokens (n_principals);
  measure_loading ("as both");

  make_principals (0);
  write_tokens (0);
  start (gateway);
  uri = tcp_gateway_dup_uri (gateway);
  tunnel = tcp_tunnel_new (uri, "the-load");
  g_object_set (tunnel, "mode", TCP_TUNNEL_MODE_MULTIPLEXED, "log-level", TCP_TUNNEL_LOG_LEVEL_ERROR, NULL);
  if (argc > 3)
    g_object_set (tunnel, "tls-database", g_tls_file_database_new (argv[2], &error), NULL);
  start (tunnel);
  address = tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel));
  port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
  echo = g_thread_new ("echo", run_echo, GINT_TO_POINTER (fd));
  load = g_thread_new ("load", run_load, GUINT_TO_POINTER (port));
  g_usleep (G_USEC_PER_SEC);

  g_print ("\n%-34s %12s %12s\n", "Reloads with busy connections", "longest", "stall");
  measure ("(none)", NULL);
  measure ("nothing has changed", change_nothing);
  measure ("tokens", change_tokens);
  measure ("principals", change_principals);
  measure ("rules", change_rules);
  measure ("targets", change_targets);
  measure ("quotas", change_quotas);
  measure ("reverse ports", change_ports);
  make_principals (n_principals);
  write_tokens (n_principals);
  measure ("one of many principals and tokens", change_many);
  measure ("(none)", NULL);
  g_print ("%u pings\n", pings);

  finished = TRUE;
  g_thread_join (echo);
  g_thread_join (load);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  g_unlink (token_file);
  return 0;
}
