/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/suggest.h"

#include <glib/gi18n.h>
#include <string.h>

enum
{
  MAX_LENGTH = 64, /* of words that are compared; names of options are shorter */
  MIN_PREFIX = 3,
};

/* How many letters have to be put in, left out, replaced or swapped with the
 * next to make one word of the other. */
static guint
distance (const char *a,
          const char *b)
{
  guint rows[3][MAX_LENGTH + 1];
  guint *before = rows[0], *last = rows[1], *row = rows[2];
  gsize n = strlen (b);

  for (gsize j = 0; j <= n; j++)
    last[j] = j;
  for (gsize i = 1; a[i - 1] != '\0'; i++)
    {
      guint *free_row = before;

      row[0] = i;
      for (gsize j = 1; j <= n; j++)
        {
          guint cost = last[j - 1] + (a[i - 1] != b[j - 1]);

          if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
            cost = MIN (cost, before[j - 2] + 1);
          row[j] = MIN (cost, MIN (last[j], row[j - 1]) + 1);
        }
      before = last;
      last = row;
      row = free_row;
    }
  return last[n];
}

/**
 * suggest:
 * @word: what was given
 * @words: (array zero-terminated=1): what there is
 * @prefix: what belongs before each of @words, such as `--`
 *
 * Returns: what follows an error about @word: a question with the nearest of
 *   @words in it, or an empty string if none is near
 */
char *
suggest (const char        *word,
         const char *const *words,
         const char        *prefix)
{
  const char *nearest = NULL;
  guint least = G_MAXUINT;

  if (strlen (word) > MAX_LENGTH)
    return g_strdup ("");

  for (; *words != NULL; words++)
    {
      gsize length = strlen (*words);
      guint steps;

      if (length > MAX_LENGTH)
        continue;
      steps = distance (word, *words);
      /* Half a word may be far away, and is still clear. */
      if (strlen (word) >= MIN_PREFIX && g_str_has_prefix (*words, word))
        steps = MIN (steps, 1);
      if (steps < least && steps <= MAX (1, MAX (length, strlen (word)) / 3))
        {
          nearest = *words;
          least = steps;
        }
    }
  if (nearest == NULL)
    return g_strdup ("");
  return g_strdup_printf (_("; did you mean '%s%s'?"), prefix, nearest);
}
