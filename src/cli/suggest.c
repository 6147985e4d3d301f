/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/suggest.h"

#include <glib/gi18n.h>
#include <string.h>

enum
{
  MAX_LENGTH = 64, /* of compared words; names of options are shorter */
  MIN_PREFIX = 3,
};

/* Returns how many letters must be inserted, removed, replaced or swapped with the next to turn one word into the
 * other. */
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
 * @word: the word that was given
 * @words: (array zero-terminated=1): the existing words
 * @prefix: the prefix of each of @words, such as `--`
 *
 * Returns: the end of an error about @word: a question with the most similar of
 *   @words, or an empty string if none is similar
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
      /* The beginning of a word is clear, even if many letters are missing. */
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
