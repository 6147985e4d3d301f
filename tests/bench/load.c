/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs loads through a subject, one after the other, and prints the results of each as one line of JSON. */

#include "bench-util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 15
#define MAX_SAMPLES (4 * 1024 * 1024)

typedef struct
{
  gint64 time_us;
  guint64 up;
  guint64 down;
  double load_cpu;
  double cpu[8];
} Reading;

static char **ports; /* used in turn by the connections */
static int seconds_ms = 1000;
static int warm_up_ms = 200;
static char *idle_text;
static int n_streams = 1;
static char *stats_path;
static char *pids_text;

static BenchStats *stats;
static char **pids;
static guint8 block[BENCH_BLOCK];
static guint n_idle;
static guint64 bytes_down;
static guint turned_away;

static const GOptionEntry options[] = {
  { "port", 0, 0, G_OPTION_ARG_STRING_ARRAY, &ports, "Where the subject listens; repeatable", "PORT" },
  { "stats", 0, 0, G_OPTION_ARG_FILENAME, &stats_path, "The peer's counters", "FILE" },
  { "pids", 0, 0, G_OPTION_ARG_STRING, &pids_text, "Whose CPU time to take", "PID,…" },
  { "milliseconds", 0, 0, G_OPTION_ARG_INT, &seconds_ms, "How long to measure", "MS" },
  { "warm-up", 0, 0, G_OPTION_ARG_INT, &warm_up_ms, "How long to run before", "MS" },
  { "idle", 0, 0, G_OPTION_ARG_STRING, &idle_text,
    "How many connections are open meanwhile and say nothing; the loads are run with the first number, then the next",
    "N,…" },
  { "streams", 0, 0, G_OPTION_ARG_INT, &n_streams, "How many connections share a bulk transfer", "N" },
  G_OPTION_ENTRY_NULL,
};

static void
set_timeout (int fd)
{
  struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };

  setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

/* A singleton tunnel may still be busy with the previous connection and refuse this one. */
static int
open_flow (guint8 command)
{
  static guint n_opened;
  guint16 port = bench_parse_port (ports[__atomic_fetch_add (&n_opened, 1, __ATOMIC_RELAXED) % g_strv_length (ports)]);
  gint64 deadline = g_get_monotonic_time () + ANSWER_TIMEOUT_S * G_USEC_PER_SEC;

  do
    {
      int fd = bench_connect (port);
      guint8 answer;

      if (fd >= 0)
        {
          set_timeout (fd);
          bench_send_from_own_time (fd);
          if (bench_send_all (fd, &command, 1) && bench_recv_all (fd, &answer, 1) && answer == BENCH_READY)
            return fd;
          close (fd);
        }
      __atomic_fetch_add (&turned_away, 1, __ATOMIC_RELAXED);
      g_usleep (100);
    }
  while (g_get_monotonic_time () < deadline);

  g_printerr ("load: no answer through port %d\n", port);
  exit (EXIT_FAILURE);
}

/* The idle connections stay open until the process ends. Several threads open them, since each waits for an
 * answer. */
static gpointer
open_idle_flows (gpointer data)
{
  for (guint i = 0; i < GPOINTER_TO_UINT (data); i++)
    open_flow (BENCH_ECHO);

  return NULL;
}

static void
raise_idle_flows (guint wanted)
{
  GThread *threads[16];
  guint left = wanted - MIN (n_idle, wanted);

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      guint share = left / (G_N_ELEMENTS (threads) - i);

      threads[i] = g_thread_new ("idle", open_idle_flows, GUINT_TO_POINTER (share));
      left -= share;
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  n_idle = MAX (n_idle, wanted);
}

static gpointer
upload (gpointer data)
{
  while (bench_send_all (GPOINTER_TO_INT (data), block, sizeof block))
    ;

  return NULL;
}

static gpointer
download (gpointer data)
{
  gssize received;

  while ((received = bench_drop (GPOINTER_TO_INT (data), 16 * BENCH_BLOCK)) > 0)
    __atomic_fetch_add (&bytes_down, received, __ATOMIC_RELAXED);

  return NULL;
}

static double
read_cpu (clockid_t clock)
{
  struct timespec time = { 0 };

  clock_gettime (clock, &time);

  return time.tv_sec + time.tv_nsec / 1e9;
}

static void
take_reading (Reading *reading)
{
  reading->time_us = g_get_monotonic_time ();
  reading->up = bench_stats_read (stats);
  reading->down = __atomic_load_n (&bytes_down, __ATOMIC_RELAXED);
  reading->load_cpu = read_cpu (CLOCK_PROCESS_CPUTIME_ID);
  for (guint i = 0; pids[i] != NULL && i < G_N_ELEMENTS (reading->cpu); i++)
    {
      clockid_t clock;

      /* The CPU time of all threads of that process, including those that have ended, in nanoseconds. */
      reading->cpu[i] = clock_getcpuclockid (atoi (pids[i]), &clock) == 0 ? read_cpu (clock) : 0;
    }
}

static void
print_readings (const Reading *from,
                const Reading *to)
{
  printf ("\"seconds\": %.6f, \"up_bytes\": %" G_GUINT64_FORMAT ", \"down_bytes\": %" G_GUINT64_FORMAT
          ", \"turned_away\": %u, \"load_cpu\": %.6f, \"cpu\": [",
          (to->time_us - from->time_us) / 1e6, to->up - from->up, to->down - from->down,
          turned_away, to->load_cpu - from->load_cpu);
  for (guint i = 0; pids[i] != NULL && i < G_N_ELEMENTS (to->cpu); i++)
    printf ("%s%.6f", i > 0 ? ", " : "", to->cpu[i] - from->cpu[i]);
  printf ("]");
}

static void
measure_bulk (gboolean up,
              gboolean down)
{
  g_autoptr (GPtrArray) threads = g_ptr_array_new ();
  g_autofree int *fds = g_new (int, n_streams);
  Reading from, to;

  for (int i = 0; i < n_streams; i++)
    {
      fds[i] = open_flow (down ? BENCH_BLAST : BENCH_DISCARD);
      if (up)
        g_ptr_array_add (threads, g_thread_new ("upload", upload, GINT_TO_POINTER (fds[i])));
      if (down)
        g_ptr_array_add (threads, g_thread_new ("download", download, GINT_TO_POINTER (fds[i])));
    }

  g_usleep (warm_up_ms * 1000);
  take_reading (&from);
  g_usleep (seconds_ms * 1000);
  take_reading (&to);
  print_readings (&from, &to);

  for (int i = 0; i < n_streams; i++)
    shutdown (fds[i], SHUT_RDWR);
  for (guint i = 0; i < threads->len; i++)
    g_thread_join (threads->pdata[i]);
  for (int i = 0; i < n_streams; i++)
    close (fds[i]);
}

static int
compare_samples (const void *a,
                 const void *b)
{
  gint64 difference = *(const gint64 *) a - *(const gint64 *) b;

  return (difference > 0) - (difference < 0);
}

/* A ping that gets no answer counts with the time that was spent waiting, and is the last one. */
static guint
collect_pings (int fd,
               gint64 *samples)
{
  gint64 end = g_get_monotonic_time () + seconds_ms * 1000;
  guint8 pong[BENCH_PING];
  gboolean answered = TRUE;
  guint count = 0;

  while (answered && count < MAX_SAMPLES && g_get_monotonic_time () < end)
    {
      gint64 start = g_get_monotonic_time ();

      answered = bench_send_all (fd, block, sizeof pong) && bench_recv_all (fd, pong, sizeof pong);
      samples[count++] = g_get_monotonic_time () - start;
      if (answered && memcmp (pong, block, sizeof pong) != 0)
        {
          g_printerr ("load: the echo differs from what was sent\n");
          exit (EXIT_FAILURE);
        }
    }

  return count;
}

static void
measure_pings (guint8 bulk_command)
{
  g_autofree gint64 *samples = g_new (gint64, MAX_SAMPLES);
  int bulk = bulk_command != 0 ? open_flow (bulk_command) : -1;
  GThread *thread = NULL;
  Reading from, to;
  guint count;
  int fd;

  /* Started before the second connection is opened: otherwise a subject that waits for a reader of the bulk data
   * would delay it. */
  if (bulk >= 0)
    thread = g_thread_new ("bulk", bulk_command == BENCH_BLAST ? download : upload, GINT_TO_POINTER (bulk));
  fd = open_flow (BENCH_ECHO);

  g_usleep (warm_up_ms * 1000);
  take_reading (&from);
  count = collect_pings (fd, samples);
  take_reading (&to);
  if (count == 0)
    exit (EXIT_FAILURE);
  qsort (samples, count, sizeof *samples, compare_samples);
  print_readings (&from, &to);
  printf (", \"pings\": %u, \"p50_us\": %" G_GINT64_FORMAT ", \"p99_us\": %" G_GINT64_FORMAT
          ", \"max_us\": %" G_GINT64_FORMAT,
          count, samples[count / 2], samples[(guint64) count * 99 / 100], samples[count - 1]);

  if (bulk >= 0)
    {
      shutdown (bulk, SHUT_RDWR);
      g_thread_join (thread);
      close (bulk);
    }
  close (fd);
}

/* A connection counts when a byte has come back from the far end. */
static void
measure_connections (void)
{
  gint64 end = g_get_monotonic_time () + seconds_ms * 1000;
  guint count = 0;
  Reading from, to;

  take_reading (&from);
  do
    {
      close (open_flow (BENCH_ECHO));
      count++;
    }
  while (g_get_monotonic_time () < end);
  take_reading (&to);
  print_readings (&from, &to);
  printf (", \"connections\": %u", count);
}

/* Reads nothing for the whole time, and then for a second: the connection must still work. */
static void
measure_stall (void)
{
  int fd = open_flow (BENCH_BLAST);
  Reading from, to;
  gssize received = 0;
  gint64 end;

  g_usleep (seconds_ms * 1000);
  take_reading (&from);
  end = from.time_us + G_USEC_PER_SEC;
  while (received >= 0 && g_get_monotonic_time () < end)
    {
      received = bench_drop (fd, 16 * BENCH_BLOCK);
      bytes_down += MAX (received, 0);
    }
  take_reading (&to);
  print_readings (&from, &to);
  close (fd);
}

static gboolean
run_load (const char *load)
{
  printf ("{\"load\": \"%s\", \"idle\": %u, ", load, n_idle);
  if (g_str_equal (load, "up") || g_str_equal (load, "down") || g_str_equal (load, "both"))
    measure_bulk (!g_str_equal (load, "down"), !g_str_equal (load, "up"));
  else if (g_str_equal (load, "ping"))
    measure_pings (0);
  else if (g_str_equal (load, "ping-up"))
    measure_pings (BENCH_DISCARD);
  else if (g_str_equal (load, "ping-down"))
    measure_pings (BENCH_BLAST);
  else if (g_str_equal (load, "connect"))
    measure_connections ();
  else if (g_str_equal (load, "stall"))
    measure_stall ();
  else
    return FALSE;
  printf ("}\n");
  fflush (stdout);

  return TRUE;
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("up|down|both|ping|ping-up|ping-down|connect|stall…");
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) populations = NULL;

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc < 2 || stats_path == NULL || ports == NULL)
    {
      g_printerr ("load: %s\n", error != NULL ? error->message : "a load, --port and --stats are needed");
      return 2;
    }
  for (guint i = 0; i < sizeof block; i++)
    block[i] = i;
  stats = bench_stats_open (stats_path);
  pids = g_strsplit (pids_text != NULL ? pids_text : "", ",", 0);
  populations = g_strsplit (idle_text != NULL ? idle_text : "0", ",", 0);

  for (char **population = populations; *population != NULL; population++)
    {
      raise_idle_flows (atoi (*population));
      for (int i = 1; i < argc; i++)
        if (!run_load (argv[i]))
          return 2;
    }

  return 0;
}
