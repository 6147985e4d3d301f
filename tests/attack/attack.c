/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What clients without a token can do to a gateway and to the program that it is in:
 * attack [--seconds N] [--sockets N] [--clients N] [--limit MS]. The gateway is in this process;
 * those who attack it and those who use it are processes of their own. The figures are printed. */

#include "fixture.h"

#include "flood.h"
#include "valid.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* New connections of a flood, a second. Each ClientHello costs the gateway a signature. */
#define RATE 2000
#define HELLO_RATE 500

#define MAX_GROWTH (64u << 20)

/* An eighth is for pending connections, which the clients are first. */
#define DESCRIPTORS 20000

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

static int seconds = 10;
static int sockets = 5000;
static int clients = 2000;
static int limit = 1000;
static int return_limit = 5000;
static const char *program;

/* The gateway, and what the program around it notices */

typedef struct
{
  Target *target;
  TcpGateway *gateway;
  guint16 port;
  gboolean tls;
  guint64 memory;
} Rig;

static void
rig_init (Rig *self,
          gboolean tls)
{
  g_autofree char *address = NULL;
  g_autoptr (GError) error = NULL;

  self->target = target_new_echo ();
  address = target_get_address (self->target);
  self->gateway = tcp_gateway_new (address);
  self->tls = tls;
  g_object_set (self->gateway, "token", TEST_TOKEN, "max-connections", DESCRIPTORS,
                "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  if (tls)
    tcp_gateway_set_tls_certificate (self->gateway, test_certificate ());
  tcp_gateway_start (self->gateway, NULL, &error);
  g_assert_no_error (error);
  self->port = g_inet_socket_address_get_port (tcp_gateway_get_local_address (self->gateway));
}

static void
rig_clear (Rig *self)
{
  tcp_gateway_close (self->gateway);
  g_object_unref (self->gateway);
  target_free (self->target);
}

/* A task of the application, begun whenever the one before has ended. */
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

/* How long the slowest of the clients took, in ms. */
static double
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
  double longest = -1;

  g_subprocess_communicate_utf8_async (process, NULL, NULL, on_output, &output);
  while (output == NULL || (probe != NULL && probe->under_way))
    g_main_context_iteration (NULL, TRUE);
  if (source != 0)
    g_source_remove (source);
  g_assert_cmpint (sscanf (output, "%u %u %lf", &count, &attempts, &longest), ==, 3);
  if (probe != NULL)
    g_test_message ("%u clients, %u attempts: the slowest took %.1f ms; tasks took up to %.1f ms; %.1f MiB more",
                    count, attempts, longest, probe->longest / 1000.0,
                    ((gint64) probe->memory - (gint64) rig->memory) / 1048576.0);
  return longest;
}

static void
wait_for_flood (GSubprocess *process)
{
  char line[6];
  gsize got;

  g_assert_true (g_input_stream_read_all (g_subprocess_get_stdout_pipe (process), line, sizeof line, &got, NULL, NULL));
  g_assert_cmpmem (line, got, "ready\n", 6);
}

static void
check_probe (Rig *rig,
             Probe *probe)
{
  g_assert_cmpint (probe->longest / 1000, <=, test_scaled_ms (limit));
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (probe->memory, <, rig->memory + MAX_GROWTH);
}

static void
test_flood (gconstpointer data)
{
  const Case *test = data;
  /* Who shares an address with more ClientHellos than the processor can answer gets in by chance; others do get in. */
  const char *from = test->kind == FLOOD_HELLO && !test->many ? "elsewhere" : "here";
  g_autoptr (GSubprocess) flood = NULL;
  Rig rig = { 0 };
  Probe probe = { 0 };
  double longest;

  rig_init (&rig, test->tls);
  use (&rig, "one", 1, from, NULL);
  rig.memory = test_memory ("VmRSS");
  flood = spawn (&rig, "flood", test->kind, test->many ? "many" : "one");
  wait_for_flood (flood);
  longest = use (&rig, "one", seconds, from, &probe);
  g_assert_cmpfloat (longest, <=, test_scaled_ms (limit));
  check_probe (&rig, &probe);
  g_subprocess_force_exit (flood);
  g_subprocess_wait (flood, NULL, NULL);
  rig_clear (&rig);
}

/* As after a restart. */
static void
test_return (gconstpointer data)
{
  Rig rig = { 0 };
  Probe probe = { 0 };
  double longest;

  rig_init (&rig, GPOINTER_TO_INT (data));
  use (&rig, "one", 1, "here", NULL);
  rig.memory = test_memory ("VmRSS");
  longest = use (&rig, "all", clients, "here", &probe);
  g_assert_cmpfloat (longest, <=, test_scaled_ms (return_limit));
  rig_clear (&rig);
}

/* A role */

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

  if (strcmp (argv[2], "flood") == 0)
    flood_run (&flood);
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
  g_test_add_data_func ("/attack/return/plain", GINT_TO_POINTER (FALSE), test_return);
  g_test_add_data_func ("/attack/return/tls", GINT_TO_POINTER (TRUE), test_return);

  return g_test_run ();
}
