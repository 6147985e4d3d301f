/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target without a fuzzer: on every file of the given directory, on these files with a part cut off or a
 * byte changed, and on noise. The inputs are the same every time. */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define N_VARIATIONS 200
#define N_NOISE 2000
#define MAX_NOISE 600

static void
run (const guint8 *data,
     gsize         length)
{
  /* A sanitizer detects any access beyond the end of this copy. */
  g_autofree guint8 *copy = g_memdup2 (data, length);

  LLVMFuzzerTestOneInput (copy, length);
}

static void
vary (GRand        *rand,
      const guint8 *data,
      gsize         length)
{
  for (guint i = 0; i < N_VARIATIONS && length > 0; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (data, length);
      guint changes = g_rand_int_range (rand, 0, 4);

      for (guint k = 0; k < changes; k++)
        copy[g_rand_int_range (rand, 0, length)] = g_rand_int (rand);
      run (copy, g_rand_int_range (rand, 0, length + 1));
    }
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static guint
run_files (GRand      *rand,
           const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_build_filename (path, name, NULL));
  g_ptr_array_sort (names, compare_names);

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *data = NULL;
      gsize length;

      g_assert_true (g_file_get_contents (names->pdata[i], &data, &length, NULL));
      run ((guint8 *) data, length);
      vary (rand, (guint8 *) data, length);
    }
  return names->len;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (4711);
  guint8 noise[MAX_NOISE];
  guint files = 0;

  g_assert_cmpint (argc, ==, 2);
  files = run_files (rand, argv[1]);
  g_assert_cmpuint (files, >, 0);
  for (guint i = 0; i < N_NOISE; i++)
    {
      gsize length = g_rand_int_range (rand, 0, MAX_NOISE);

      for (gsize at = 0; at < length; at++)
        noise[at] = g_rand_int (rand);
      run (noise, length);
    }

  g_print ("1..1\nok 1 %u files, %u inputs of noise\n", files, N_NOISE);
  return EXIT_SUCCESS;
}
