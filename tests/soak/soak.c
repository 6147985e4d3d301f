/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Transfers much data while connections fail: soak [--seed N] [--bytes N[K|M|G]]. The same seed causes the same
 * failures and the same data. */

#include "fixture.h"

#include "fault-source.h"
#include "traffic.h"

#include <malloc.h>
#include <string.h>

#define STREAMS 64

/* One connection after the other, as there can be only one at a time. */
#define SINGLETON_TURNS 4

/* The transfer is slowed down so that it lasts for this long, however little data there is. */
#define SECONDS 15
#define MIN_RATE (2u << 20)

/* The memory that the allocator may keep beyond that after the first test. */
#define MAX_GROWTH (16u << 20)

typedef struct
{
  const char *path;
  TcpTunnelMode mode;
  FixtureFlags flags;
  gboolean up;
  gboolean down;
} Case;

static const Case cases[] = {
  { "/soak/singleton/up", TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN, TRUE, FALSE },
  { "/soak/singleton/down", TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN, FALSE, TRUE },
  { "/soak/singleton/both-ways", TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN, TRUE, TRUE },
  { "/soak/multiplexed/up", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN, TRUE, FALSE },
  { "/soak/multiplexed/down", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN, FALSE, TRUE },
  { "/soak/multiplexed/both-ways", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN, TRUE, TRUE },
  { "/soak/multiplexed/tls", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_TLS, TRUE, TRUE },
};

static guint32 base_seed;
static guint64 bytes = 1 << 30;
static gboolean settled;
static guint settled_sockets;
static guint64 settled_memory;

static guint
count_sockets (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *fd;
  guint count = 0;

  g_assert_nonnull (dir);
  while ((fd = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", fd, NULL);
      g_autofree char *file = g_file_read_link (path, NULL);

      count += file != NULL && g_str_has_prefix (file, "socket:");
    }

  return count;
}

/* Counts the threads of tunnels and gateways; GLib keeps some of its own for a while. */
static guint
count_threads (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, NULL);
  const char *id;
  guint count = 0;

  g_assert_nonnull (dir);
  while ((id = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", id, "comm", NULL);
      g_autofree char *name = NULL;

      /* A thread that ends meanwhile has none. */
      if (g_file_get_contents (path, &name, NULL, NULL))
        count += g_str_has_prefix (name, "tcp-");
    }

  return count;
}

static Fixture *
start (const Case *test,
       TrafficServer *server)
{
  g_autoptr (Target) unused = target_new_refusing ();
  g_autofree char *address = traffic_server_get_address (server);
  Fixture *fixture = fixture_new (unused, test->mode, test->flags | FIXTURE_PROXY | FIXTURE_RESUMABLE);

  /* A silent peer is detected soon, and what breaks is tried again at once. */
  g_object_set (fixture->gateway,
                "target", address,
                "keepalive-interval", 100, "keepalive-timeout", test_scaled_ms (500),
                /* The goodbye of a session can be lost too, and then only the timeout ends it. */
                "session-timeout", test_scaled_ms (10000),
                "log-level", TCP_TUNNEL_LOG_LEVEL_ERROR, NULL);
  g_object_set (fixture->tunnel,
                "keepalive-interval", 100, "keepalive-timeout", test_scaled_ms (300),
                /* A handshake that was hit must not take as long as the session is kept. */
                "connect-timeout", test_scaled_ms (1000), "reconnect-delay", 5, "max-reconnect-delay", 50,
                "log-level", TCP_TUNNEL_LOG_LEVEL_ERROR, NULL);
  fixture_start (fixture);
  return fixture;
}

static void
throttle (Fixture *fixture)
{
  guint rate = (guint) MIN (MAX (bytes / SECONDS, MIN_RATE), G_MAXUINT);

  fault_proxy_throttle (fixture->proxy, FAULT_UP, rate);
  fault_proxy_throttle (fixture->proxy, FAULT_DOWN, rate);
}

static void
carry (Fixture *fixture,
       guint streams,
       guint64 up,
       guint64 down,
       guint32 seed)
{
  guint expected = fixture->recorder->closed + streams;
  g_autoptr (TrafficRun) run = traffic_run_new (fixture_get_port (fixture), streams, up, down, seed);

  /* There is no deadline for the whole transfer: it continues as long as anything moves. */
  while (!traffic_run_is_done (run))
    test_iterate (G_MAXINT64, "the traffic", G_STRLOC);
  WAIT_UNTIL (fixture->recorder->closed == expected);
  g_assert_no_error (fixture->recorder->closed_error);
  /* The target may receive an end a moment later. */
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

/* Makes the libraries allocate what they keep for good. */
static void
settle (void)
{
  TrafficServer *server = traffic_server_new ();
  Fixture *fixture = start (&cases[G_N_ELEMENTS (cases) - 1], server);

  carry (fixture, STREAMS, 1, 1, 0);
  fixture_free (fixture);
  traffic_server_free (server);
  WAIT_UNTIL (count_threads () == 0);
  settled_sockets = count_sockets ();
  settled = TRUE;
}

static void
soak (const Case *test)
{
  gboolean multiplexed = test->mode == TCP_TUNNEL_MODE_MULTIPLEXED;
  guint turns = multiplexed ? 1 : SINGLETON_TURNS;
  guint streams = multiplexed ? STREAMS : 1;
  guint64 share = bytes / (turns * streams);
  guint32 seed = base_seed + 100 * (guint32) (test - cases);
  g_autoptr (TrafficServer) server = traffic_server_new ();
  g_autoptr (Fixture) fixture = start (test, server);
  g_autofree char *report = NULL;
  gint64 begin = g_get_monotonic_time ();
  FaultSource *source;
  double seconds;

  throttle (fixture);
  source = fault_source_new (fixture->proxy, fixture->tunnel, seed);
  for (guint i = 0; i < turns; i++)
    carry (fixture, streams, test->up ? share : 0, test->down ? share : 0, seed + 1000 * i);
  seconds = (g_get_monotonic_time () - begin) / 1e6;
  report = fault_source_stop (source);

  g_test_message ("%.0f MB/s; %s; %" G_GUINT64_FORMAT " resumes, %.1f MB replayed up, %.1f MB down",
                  (test->up + test->down) * bytes / 1e6 / seconds, report, test_figure (fixture->tunnel, resumes),
                  test_figure (fixture->tunnel, bytes_replayed) / 1e6,
                  test_figure (fixture->gateway, bytes_replayed) / 1e6);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
  WAIT_UNTIL (test_figure (fixture->tunnel, unacknowledged_bytes) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, receive_window), ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, send_window), ==, 0);
}

/* No socket, no thread and no noticeable amount of memory is left. */
static void
check_no_leak (void)
{
  guint64 memory;

  WAIT_UNTIL (count_sockets () <= settled_sockets);
  WAIT_UNTIL (count_threads () == 0);
  malloc_trim (0);
  memory = test_memory ("VmRSS");
  g_test_message ("%" G_GUINT64_FORMAT " KiB of memory, at most %" G_GUINT64_FORMAT " KiB",
                  memory / 1024, test_memory ("VmHWM") / 1024);
  if (settled_memory == 0)
    settled_memory = memory;
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (memory, <, settled_memory + MAX_GROWTH);
}

static void
run_case (gconstpointer user_data)
{
  if (!settled)
    settle ();
  soak (user_data);
  check_no_leak ();
}

/* Drops the messages of GIO and libsoup, which log each of thousands of connections. */
static void
drop_chatter (const char *domain,
              GLogLevelFlags level,
              const char *message,
              gpointer user_data)
{
  if ((level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)) == 0)
    g_log_default_handler (domain, level, message, user_data);
}

static gboolean
parse_bytes (const char *name,
             const char *value,
             gpointer data,
             GError **error)
{
  static const char units[] = "KMG";
  char *end;
  const char *unit;

  bytes = g_ascii_strtoull (value, &end, 10);
  unit = *end != '\0' ? strchr (units, g_ascii_toupper (*end)) : NULL;
  if (unit != NULL)
    bytes <<= 10 * (unit - units + 1);
  if (end != value && (*end == '\0' || unit != NULL) && bytes >= STREAMS)
    return TRUE;

  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s is no number of bytes, such as 64M", value);
  return FALSE;
}

int
main (int argc,
      char **argv)
{
  gint64 seed = g_random_int ();
  const GOptionEntry options[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, "Seed of the faults and the data (default: a random one)", "N" },
    { "bytes", 0, 0, G_OPTION_ARG_CALLBACK, parse_bytes, "How much each test carries in each direction (1G)", "N[K|M|G]" },
    { NULL }
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  /* Before g_test_init (), which has a --seed of its own; the other options are left to that. */
  g_option_context_add_main_entries (context, options, NULL);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  base_seed = (guint32) seed;
  g_test_init (&argc, &argv, NULL);
  g_log_set_default_handler (drop_chatter, NULL);
  g_test_message ("this is --seed %u", base_seed);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_test_add_data_func (cases[i].path, &cases[i], run_case);

  return g_test_run ();
}
