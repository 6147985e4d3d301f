/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs the session layers of both ends against each other under thousands of random schedules. A run depends on its
 * seed alone: a failure names the seed, and "model PROFILE SEED" repeats that run. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "test-util.h"
#include "world.h"

#define MIN_STEPS 100
#define MAX_STEPS 2000

static const Profile profiles[] = {
  { .name = "calm" },
  { .name = "breaks", .breaks = TRUE },
  { .name = "resets", .breaks = TRUE, .resets = TRUE },
  { .name = "losses", .breaks = TRUE, .resets = TRUE, .losses = TRUE },
  { .name = "ends", .breaks = TRUE, .ends = TRUE },
  { .name = "stuck", .breaks = TRUE, .stuck = TRUE },
  { .name = "budget", .breaks = TRUE, .budget = TRUE },
  { .name = "switches", .breaks = TRUE, .losses = TRUE, .switches = TRUE },
  { .name = "all", .breaks = TRUE, .resets = TRUE, .losses = TRUE, .ends = TRUE, .reentrant = TRUE, .budget = TRUE,
    .switches = TRUE },
};

/* The message that is printed after a crash. */
static char crash_message[100];

static void
on_crash (int number)
{
  G_GNUC_UNUSED gssize n = write (STDERR_FILENO, crash_message, strlen (crash_message));

  signal (number, SIG_DFL);
  raise (number);
}

/* Make a sanitizer that finds an error abort, so that the signal handler runs. */
const char *__asan_default_options (void);
const char *__ubsan_default_options (void);

const char *
__asan_default_options (void)
{
  return "abort_on_error=1";
}

const char *
__ubsan_default_options (void)
{
  return "abort_on_error=1:halt_on_error=1";
}

static void
run (const Profile *profile,
     guint32        seed)
{
  World *world;
  guint steps;

  g_snprintf (crash_message, sizeof (crash_message), "# repeat it with: model %s %u\n", profile->name, seed);
  world = world_new (profile, seed);
  steps = g_rand_int_range (world->rand, MIN_STEPS, MAX_STEPS);
  while (steps-- > 0)
    {
      world_step (world);
      world_check (world);
    }
  world_settle (world);
  world_check_end (world, FALSE);
  world_unstick (world);
  world_settle (world);
  world_check_end (world, TRUE);
  world_free (world);
}

static void
run_profile (guint number,
             guint first,
             guint n)
{
  for (guint i = 0; i < n; i++)
    run (&profiles[number], first + i);
  g_print ("ok %u %s: %u runs\n", number + 1, profiles[number].name, n);
}

/* model [PROFILE [SEED [COUNT]]] */
int
main (int    argc,
      char **argv)
{
  guint first = argc > 2 ? strtoul (argv[2], NULL, 10) : 0;
  guint n = test_count (150, 8);

  if (argc > 2)
    n = argc > 3 ? strtoul (argv[3], NULL, 10) : 1;
  signal (SIGABRT, on_crash);
  signal (SIGSEGV, on_crash);
  g_print ("1..%u\n", (guint) G_N_ELEMENTS (profiles));
  for (guint i = 0; i < G_N_ELEMENTS (profiles); i++)
    if (argc == 1 || strcmp (argv[1], profiles[i].name) == 0)
      run_profile (i, first, n);
  return EXIT_SUCCESS;
}
