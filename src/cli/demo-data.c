/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-data.h"

#include <string.h>

enum
{
  CHUNK_WORDS = 8 * 1024, /* of 8 bytes */
  CHUNK = CHUNK_WORDS * sizeof (guint64),
  MAX_LINE = 4096,
};

/* A xorshift generator: quick enough to keep ahead of the tunnel, and its
 * output neither repeats nor compresses. */
static void
fill (guint64 *words,
      guint64 *state)
{
  guint64 x = *state;

  for (guint i = 0; i < CHUNK_WORDS; i++)
    {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      words[i] = x;
    }
  *state = x;
}

/**
 * demo_data_send:
 * @seed: not 0
 *
 * Returns: the SHA-256 of what was sent
 */
char *
demo_data_send (GOutputStream  *out,
                guint64         bytes,
                guint64         seed,
                GError        **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint64 *words = g_new (guint64, CHUNK_WORDS);

  while (bytes > 0)
    {
      gsize n = MIN (bytes, CHUNK);

      fill (words, &seed);
      g_checksum_update (sum, (const guchar *) words, n);
      if (!g_output_stream_write_all (out, words, n, NULL, NULL, error))
        return NULL;
      bytes -= n;
    }
  return g_strdup (g_checksum_get_string (sum));
}

static void
count_add (DemoCount *self,
           guint64    n)
{
  guint64 part = self->part;
  guint64 after = atomic_fetch_add (&self->bytes, n) + n;

  if (part > 0 && after / part > (after - n) / part)
    self->func (after, self->data);
}

/**
 * demo_data_receive:
 * @count: what is received is added here
 *
 * Returns: the SHA-256 of what was received
 */
char *
demo_data_receive (GInputStream  *in,
                   guint64        bytes,
                   DemoCount     *count,
                   GError       **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guchar *chunk = g_malloc (CHUNK);

  while (bytes > 0)
    {
      gssize n = g_input_stream_read (in, chunk, MIN (bytes, CHUNK), NULL, error);

      if (n < 0)
        return NULL;
      if (n == 0)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                       "the data ended %" G_GUINT64_FORMAT " bytes too early", bytes);
          return NULL;
        }
      g_checksum_update (sum, chunk, n);
      bytes -= n;
      count_add (count, n);
    }
  return g_strdup (g_checksum_get_string (sum));
}

GBufferedInputStream *
demo_data_reader (GSocketConnection *connection)
{
  GInputStream *base = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GInputStream *in = g_buffered_input_stream_new_sized (base, MAX_LINE);

  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (in), FALSE);
  return G_BUFFERED_INPUT_STREAM (in);
}

/**
 * demo_data_read_line:
 *
 * Never takes more than the line from the reader, so that bulk data may follow
 * it. What is longer than the reader's buffer comes in pieces.
 *
 * Returns: (nullable): the line without its end; %NULL at the end of the
 *   stream, and then @error is only set if that is no clean one
 */
char *
demo_data_read_line (GBufferedInputStream  *in,
                     GError               **error)
{
  const char *data, *end;
  gsize available, length;
  char *line;

  for (;;)
    {
      data = g_buffered_input_stream_peek_buffer (in, &available);
      end = memchr (data, '\n', available);
      if (end != NULL || available == MAX_LINE)
        break;
      if (g_buffered_input_stream_fill (in, -1, NULL, error) <= 0)
        return NULL;
    }

  length = end != NULL ? (gsize) (end - data) : available;
  line = g_strndup (data, length);
  if (g_str_has_suffix (line, "\r"))
    line[strlen (line) - 1] = '\0';
  g_input_stream_skip (G_INPUT_STREAM (in), end != NULL ? length + 1 : length, NULL, NULL);
  return line;
}

gboolean
demo_data_write_line (GOutputStream  *out,
                      GError        **error,
                      const char     *format,
                      ...)
{
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  return g_output_stream_write_all (out, line, strlen (line), NULL, NULL, error) &&
         g_output_stream_write_all (out, "\n", 1, NULL, NULL, error);
}
