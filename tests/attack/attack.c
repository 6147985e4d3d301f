/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Measures what clients without a token, and one with a token, can do to a gateway and to the program that contains
 * it: attack [--seconds N] [--sockets N] [--clients N] [--limit MS]. The gateway is in this process; attackers and users
 * are processes of their own. The results are printed. */

#include "fixture.h"

#include "flood.h"
#include "insider.h"
#include "valid.h"

#include <glib/gstdio.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* New connections of a flood, per second. Each ClientHello costs the gateway a signature. */
#define RATE 2000
#define HELLO_RATE 500

#define MAX_GROWTH (64u << 20)

/* An eighth is for pending connections, which all clients are at first. */
#define DESCRIPTORS 20000

/* For a gateway with two principals: places for sessions and for connections, how many of these one principal may
 * have, and the memory. Beside it each session may cost some 20 KiB and each connection some 2 KiB. */
#define PLACES 300
#define PLACES_OF_ONE (PLACES - PLACES / 4)
#define MEMORY (32u << 20)
#define BESIDE (PLACES * (22u << 10))

#define MALLORYS_TOKEN "wherefore-art-thou-refused"

typedef struct
{
  const char *path;
  FloodKind kind;
  gboolean many;
  gboolean tls;
} Case;

static const Case cases[] = {
  { "/attack/silent/one-address", FLOOD_SILENT, FALSE, FALSE },
  { "/attack/silent/many-addresses", FLOOD_SILENT, TRUE, FALSE },
  { "/attack/trickle/one-address", FLOOD_TRICKLE, FALSE, FALSE },
  { "/attack/trickle/many-addresses", FLOOD_TRICKLE, TRUE, FALSE },
  { "/attack/half-a-request/one-address", FLOOD_HALF, FALSE, FALSE },
  { "/attack/half-a-request/many-addresses", FLOOD_HALF, TRUE, FALSE },
  { "/attack/tls-silent/one-address", FLOOD_SILENT, FALSE, TRUE },
  { "/attack/tls-silent/many-addresses", FLOOD_SILENT, TRUE, TRUE },
  { "/attack/client-hello/one-address", FLOOD_HELLO, FALSE, TRUE },
  { "/attack/client-hello/many-addresses", FLOOD_HELLO, TRUE, TRUE },
};

typedef struct
{
  const char *path;
  InsiderKind kind;
} InsiderCase;

static const InsiderCase insider_cases[] = {
  { "/attack/token/open-reset", INSIDER_OPEN_RESET },
  { "/attack/token/ids", INSIDER_IDS },
  { "/attack/token/many-ids", INSIDER_MANY_IDS },
  { "/attack/token/silent-sessions", INSIDER_SILENT },
  { "/attack/token/connections", INSIDER_CONNECTIONS },
  { "/attack/token/incomplete", INSIDER_INCOMPLETE },
};

static int seconds = 10;
static int sockets = 5000;
static int clients = 2000;
static int limit = 1000;
static int return_limit = 5000;
static const char *program;

/* The gateway, and the effect on the program around it */

typedef struct
{
  Target *target;
  TcpGateway *gateway;
  guint16 port;
  gboolean tls;
  guint64 memory;
  guint64 max_growth;
} Rig;

static void
rig_start (Rig *self)
{
  g_autoptr (GError) error = NULL;

  tcp_endpoint_start (TCP_ENDPOINT (self->gateway), NULL, &error);
  g_assert_no_error (error);
  self->port = test_port_of (self->gateway);
}

static void
rig_init (Rig *self,
          gboolean tls)
{
  g_autofree char *address = NULL;

  self->target = target_new_echo ();
  address = target_get_address (self->target);
  self->gateway = tcp_gateway_new (address);
  self->tls = tls;
  self->max_growth = MAX_GROWTH;
  g_object_set (self->gateway, "token", TEST_TOKEN, "max-connections", DESCRIPTORS,
                "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  if (tls)
    g_object_set (self->gateway, "tls-certificate", test_certificate (), NULL);
  rig_start (self);
}

static void
rig_clear (Rig *self)
{
  tcp_endpoint_close (TCP_ENDPOINT (self->gateway));
  g_object_unref (self->gateway);
  g_clear_pointer (&self->target, target_free);
}

/* A task of the application, which starts again whenever the previous one has ended. */
typedef struct
{
  gint64 began;
  gint64 longest;
  guint64 memory;
  gboolean under_way;
} Probe;

static void
run_task (GTask *task,
          gpointer object,
          gpointer data,
          GCancellable *cancellable)
{
  g_task_return_boolean (task, TRUE);
}

static void
on_task (GObject *object,
         GAsyncResult *result,
         gpointer user_data)
{
  Probe *probe = user_data;

  probe->under_way = FALSE;
  probe->longest = MAX (probe->longest, g_get_monotonic_time () - probe->began);
}

static gboolean
on_probe (gpointer user_data)
{
  Probe *probe = user_data;
  g_autoptr (GTask) task = NULL;

  probe->memory = MAX (probe->memory, test_memory ("VmRSS"));
  if (probe->under_way)
    return G_SOURCE_CONTINUE;

  probe->under_way = TRUE;
  probe->began = g_get_monotonic_time ();
  task = g_task_new (NULL, NULL, on_task, probe);
  g_task_run_in_thread (task, run_task);
  return G_SOURCE_CONTINUE;
}

/* The other processes */

static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static GSubprocess *
spawn (Rig *rig,
       const char *role,
       guint number,
       const char *from)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autofree char *port = g_strdup_printf ("%u", rig->port);
  g_autofree char *text = g_strdup_printf ("%u", number);
  g_autofree char *total = g_strdup_printf ("%d", sockets);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
  process = g_subprocess_launcher_spawn (launcher, &error, program, "--role", role, port, text, total,
                                         from, rig->tls ? "tls" : "plain", NULL);
  g_assert_no_error (error);
  return process;
}

static void
on_output (GObject *object,
           GAsyncResult *result,
           gpointer user_data)
{
  char **output = user_data;
  g_autoptr (GError) error = NULL;

  g_subprocess_communicate_utf8_finish (G_SUBPROCESS (object), result, output, NULL, &error);
  g_assert_no_error (error);
}

/* In milliseconds: the time of the slowest client, and the 99th percentile of round trips, if the clients make
 * any. */
typedef struct
{
  double longest;
  double p99;
} Times;

static Times
use (Rig *rig,
     const char *role,
     guint number,
     const char *from,
     Probe *probe)
{
  g_autoptr (GSubprocess) process = spawn (rig, role, number, from);
  g_autofree char *output = NULL;
  guint source = probe != NULL ? g_timeout_add (10, on_probe, probe) : 0;
  guint count = 0, attempts = 0;
  Times times = { .longest = -1 };

  g_subprocess_communicate_utf8_async (process, NULL, NULL, on_output, &output);
  while (output == NULL || (probe != NULL && probe->under_way))
    g_main_context_iteration (NULL, TRUE);
  if (source != 0)
    g_source_remove (source);
  g_assert_cmpint (sscanf (output, "%u %u %lf %lf", &count, &attempts, &times.longest, &times.p99), >=, 3);
  if (probe != NULL)
    g_test_message ("%u clients, %u attempts: the slowest took %.1f ms; tasks took up to %.1f ms; %.1f MiB more",
                    count, attempts, times.longest, probe->longest / 1000.0,
                    ((gint64) probe->memory - (gint64) rig->memory) / 1048576.0);
  return times;
}

static char *
wait_for_line (GSubprocess *process)
{
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  char *line;

  /* If the pipe were closed, a process that writes more later would be ended by that. */
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (lines), FALSE);
  line = g_data_input_stream_read_line (lines, NULL, NULL, NULL);
  g_assert_nonnull (line);
  return line;
}

/* Stops a process, and checks that it has not ended by itself. */
static void
stop (GSubprocess *process)
{
  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);
  g_assert_true (g_subprocess_get_if_signaled (process));
  g_assert_cmpint (g_subprocess_get_term_sig (process), ==, SIGKILL);
}

static void
check_probe (Rig *rig,
             Probe *probe)
{
  g_assert_cmpint (probe->longest / 1000, <=, test_scaled_ms (limit));
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (probe->memory, <, rig->memory + rig->max_growth);
}

static void
test_flood (gconstpointer data)
{
  const Case *test = data;
  /* With more ClientHellos from one address than the processor can answer, clients of the same address get in by
   * chance; those of others do get in. */
  const char *from = test->kind == FLOOD_HELLO && !test->many ? "elsewhere" : "here";
  g_autoptr (GSubprocess) flood = NULL;
  g_autofree char *ready = NULL;
  Rig rig = { 0 };
  Probe probe = { 0 };
  Times times;

  rig_init (&rig, test->tls);
  use (&rig, "one", 1, from, NULL);
  rig.memory = test_memory ("VmRSS");
  flood = spawn (&rig, "flood", test->kind, test->many ? "many" : "one");
  ready = wait_for_line (flood);
  g_assert_cmpstr (ready, ==, "ready");
  times = use (&rig, "one", seconds, from, &probe);
  g_assert_cmpfloat (times.longest, <=, test_scaled_ms (limit));
  check_probe (&rig, &probe);
  stop (flood);
  rig_clear (&rig);
}

/* Makes a gateway with two principals: Mallory, and one with TEST_TOKEN. The target is another process, so that
 * memory and processor time of this one are those of the gateway. */
static GSubprocess *
rig_init_principals (Rig *self)
{
  g_autoptr (GSubprocess) target = spawn (self, "echo", 0, "here");
  g_autofree char *port = wait_for_line (target);
  g_autofree char *address = g_strconcat ("127.0.0.1:", port, NULL);
  g_autofree char *token_file = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("attack-XXXXXX", &token_file, &error);

  g_assert_no_error (error);
  close (fd);
  g_file_set_contents (token_file, "mallory:" MALLORYS_TOKEN "\nother:" TEST_TOKEN "\n", -1, &error);
  g_assert_no_error (error);
  self->max_growth = MEMORY + BESIDE;
  self->gateway = tcp_gateway_new (address);
  g_object_set (self->gateway, "token-file", token_file, "max-connections", PLACES, "max-memory", (guint64) MEMORY,
                "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  rig_start (self);
  g_unlink (token_file);
  return g_steal_pointer (&target);
}

/* Checks what the flood reports once it is under way. */
static void
check_bite (InsiderKind kind,
            const char *line)
{
  guint64 got = 0;
  guint held = 0, refused = 0;

  g_assert_cmpint (sscanf (line, "%" G_GUINT64_FORMAT " %u %u", &got, &held, &refused), ==, 3);
  g_test_message ("Mallory got %" G_GUINT64_FORMAT ", held %u, and was refused %u times", got, held, refused);
  switch (kind)
    {
    case INSIDER_SILENT:
    case INSIDER_CONNECTIONS:
      /* It got as many as one principal may have, and was refused more. */
      g_assert_cmpuint (got, >=, PLACES_OF_ONE);
      g_assert_cmpuint (held, <=, PLACES_OF_ONE);
      g_assert_cmpuint (refused, >, 0);
      break;
    case INSIDER_INCOMPLETE:
      /* This is more than the memory, so the gateway has to delay it. */
      g_assert_cmpuint (got, >, MEMORY + BESIDE);
      break;
    case INSIDER_OPEN_RESET:
    case INSIDER_IDS:
    case INSIDER_MANY_IDS:
    default:
      g_assert_cmpuint (got, >, 0);
      break;
    }
}

/* The time of round trips is printed, but not asserted: other processes share the processors. */
static void
test_insider (gconstpointer data)
{
  const InsiderCase *test = data;
  g_autoptr (GSubprocess) flood = NULL;
  g_autoptr (GSubprocess) target = NULL;
  g_autofree char *bite = NULL;
  Rig rig = { 0 };
  Probe probe = { 0 };
  Times idle, times;

  target = rig_init_principals (&rig);
  idle = use (&rig, "talks", 1, "here", NULL);
  /* Memory that earlier cases have freed would not be counted. */
  malloc_trim (0);
  rig.memory = test_memory ("VmRSS");
  flood = spawn (&rig, "insider", test->kind, "here");
  bite = wait_for_line (flood);
  check_bite (test->kind, bite);
  times = use (&rig, "talks", seconds, "here", &probe);
  g_test_message ("99 of 100 round trips took up to %.3f ms, and %.3f ms when idle: %.1f times that", times.p99, idle.p99,
                  times.p99 / idle.p99);
  g_assert_cmpfloat (times.longest, <=, test_scaled_ms (limit));
  check_probe (&rig, &probe);
  stop (flood);
  rig_clear (&rig);
  stop (target);
}

/* All clients return at once, as after a restart. */
static void
test_return (gconstpointer data)
{
  Rig rig = { 0 };
  Probe probe = { 0 };
  Times times;

  rig_init (&rig, GPOINTER_TO_INT (data));
  use (&rig, "one", 1, "here", NULL);
  rig.memory = test_memory ("VmRSS");
  times = use (&rig, "all", clients, "here", &probe);
  g_assert_cmpfloat (times.longest, <=, test_scaled_ms (return_limit));
  rig_clear (&rig);
}

/* A role */

static gboolean
on_connection (GThreadedSocketService *service,
               GSocketConnection *connection,
               GObject *source,
               gpointer user_data)
{
  GInputStream *input = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GOutputStream *output = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  char data[4096];
  gssize length;

  while ((length = g_input_stream_read (input, data, sizeof data, NULL, NULL)) > 0 &&
         g_output_stream_write_all (output, data, length, NULL, NULL, NULL))
    ;
  return TRUE;
}

G_GNUC_NORETURN static void
echo_run (void)
{
  g_autoptr (GSocketService) service = g_threaded_socket_service_new (2 * PLACES);

  /* The kernel would try a connection that does not fit into the backlog again only after a second. */
  g_socket_listener_set_backlog (G_SOCKET_LISTENER (service), SOMAXCONN);
  g_signal_connect (service, "run", G_CALLBACK (on_connection), NULL);
  g_print ("%u\n", g_socket_listener_add_any_inet_port (G_SOCKET_LISTENER (service), NULL, NULL));
  for (;;)
    g_main_context_iteration (NULL, TRUE);
}

static int
play (int argc,
      char **argv)
{
  guint16 port = strtoul (argv[3], NULL, 10);
  guint number = strtoul (argv[4], NULL, 10);
  FloodOptions flood = {
    .port = port,
    .kind = number,
    .many = strcmp (argv[6], "many") == 0,
    .sockets = strtoul (argv[5], NULL, 10),
    .rate = number == FLOOD_HELLO ? HELLO_RATE : RATE,
  };
  ValidOptions valid = { .port = port, .tls = strcmp (argv[7], "tls") == 0, .token = TEST_TOKEN,
                         .elsewhere = strcmp (argv[6], "elsewhere") == 0 };
  InsiderOptions insider = { .port = port, .kind = number, .token = MALLORYS_TOKEN };

  if (strcmp (argv[2], "flood") == 0)
    flood_run (&flood);
  else if (strcmp (argv[2], "echo") == 0)
    echo_run ();
  else if (strcmp (argv[2], "insider") == 0)
    insider_run (&insider);
  else if (strcmp (argv[2], "talks") == 0)
    valid_run_talks (&valid, number);
  else if (strcmp (argv[2], "one") == 0)
    valid_run_one (&valid, number);
  else
    valid_run_all (&valid, number);
  return EXIT_SUCCESS;
}

static void
raise_descriptors (void)
{
  struct rlimit descriptors;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &descriptors));
  descriptors.rlim_cur = MIN (DESCRIPTORS, descriptors.rlim_max);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &descriptors));
  clients = MIN (clients, (int) descriptors.rlim_cur / 10);
  sockets = MIN (sockets, (int) descriptors.rlim_cur - 100);
}

int
main (int argc,
      char **argv)
{
  const GOptionEntry entries[] = {
    { "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, NULL, NULL },
    { "sockets", 0, 0, G_OPTION_ARG_INT, &sockets, NULL, NULL },
    { "clients", 0, 0, G_OPTION_ARG_INT, &clients, NULL, NULL },
    { "limit", 0, 0, G_OPTION_ARG_INT, &limit, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) options = NULL;
  g_autoptr (GError) error = NULL;

  if (argc == 8 && strcmp (argv[1], "--role") == 0)
    return play (argc, argv);

  program = argv[0];
  g_test_init (&argc, &argv, NULL);
  options = g_option_context_new (NULL);
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_parse (options, &argc, &argv, &error);
  g_assert_no_error (error);
  return_limit = MAX (return_limit, limit);
  raise_descriptors ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (cases[i].many || !test_is_quick ())
      g_test_add_data_func (cases[i].path, &cases[i], test_flood);
  for (guint i = 0; i < G_N_ELEMENTS (insider_cases); i++)
    g_test_add_data_func (insider_cases[i].path, &insider_cases[i], test_insider);
  g_test_add_data_func ("/attack/return/plain", GINT_TO_POINTER (FALSE), test_return);
  g_test_add_data_func ("/attack/return/tls", GINT_TO_POINTER (TRUE), test_return);

  return g_test_run ();
}
