/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-data.h"

#include <glib/gi18n.h>
#include <stdint.h>
#include <string.h>

enum
{
  /* A prime number: lost, doubled or inserted data shifts the pattern, and no size of a buffer or a frame is a divisor
   * of it. */
  PERIOD = 1048573,
  CHUNK = 256 * 1024,
  MAX_LINE = 4096,
};

/* Random bytes that repeat after PERIOD, and one chunk more, so that a chunk may begin at any of them. They are made
 * once: the demo measures the tunnel, not a generator. */
static const guchar *
get_pattern (void)
{
  static gsize pattern;

  if (g_once_init_enter (&pattern))
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (1);
      guchar *bytes = g_malloc (PERIOD + CHUNK);

      for (guint i = 0; i < PERIOD; i++)
        bytes[i] = g_rand_int (rand);
      memcpy (bytes + PERIOD, bytes, CHUNK);
      g_once_init_leave (&pattern, (gsize) bytes);
    }
  return (const guchar *) pattern;
}

/* The offset at which data with this seed begins. */
static guint
first_offset (guint64 seed)
{
  return seed % PERIOD * 7919 % PERIOD;
}

/**
 * demo_data_send:
 * @seed: the number that determines the data
 */
gboolean
demo_data_send (GOutputStream  *out,
                guint64         bytes,
                guint64         seed,
                GError        **error)
{
  const guchar *pattern = get_pattern ();
  guint offset = first_offset (seed);

  while (bytes > 0)
    {
      gsize n = MIN (bytes, CHUNK);

      if (!g_output_stream_write_all (out, pattern + offset, n, NULL, NULL, error))
        return FALSE;
      bytes -= n;
      offset = (offset + n) % PERIOD;
    }
  return TRUE;
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
 * @seed: the number that determines the expected data
 * @count: received bytes are added here
 *
 * Returns: whether all data arrived unchanged
 */
gboolean
demo_data_receive (GInputStream  *in,
                   guint64        bytes,
                   guint64        seed,
                   DemoCount     *count,
                   GError       **error)
{
  const guchar *pattern = get_pattern ();
  guint offset = first_offset (seed);
  g_autofree guchar *chunk = g_malloc (CHUNK);

  while (bytes > 0)
    {
      gssize n = g_input_stream_read (in, chunk, MIN (bytes, CHUNK), NULL, error);

      if (n < 0)
        return FALSE;
      if (n == 0)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                       ngettext ("the data ended %ju byte too early", "the data ended %ju bytes too early", bytes), (uintmax_t) bytes);
          return FALSE;
        }
      if (memcmp (chunk, pattern + offset, n) != 0)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       ngettext ("the data differs from what was sent, in the last byte (%ju)",
                                 "the data differs from what was sent, within the last %ju bytes", bytes),
                       (uintmax_t) bytes);
          return FALSE;
        }
      bytes -= n;
      offset = (offset + n) % PERIOD;
      count_add (count, n);
    }
  return TRUE;
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
 * Never takes more than the line from the reader, so that bulk data may follow it. A line that is longer than the
 * reader's buffer is returned in pieces.
 *
 * Returns: (nullable): the line without its end; %NULL at the end of the
 *   stream, with @error set only if that is not an orderly end
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
