/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "cli/demo-data.h"
#include "cli/demo-server.h"

/* The service behind the demo's gateway. It reads lines:
 *
 *   take BYTES        takes in so many bytes and answers their SHA-256
 *   give BYTES SEED   sends so many bytes, then their SHA-256
 *   GET /MIB …        the same for web clients, without the sum
 *
 * Any other line comes back with the numbers of the connection and the line,
 * which shows that a connection is still the one it was. */

enum
{
  MAX_MIB = 1024 * 1024,
};

static gboolean
take (GBufferedInputStream *in,
      GOutputStream        *out,
      const char           *arguments,
      DemoCount            *arrived)
{
  guint64 bytes = g_ascii_strtoull (arguments, NULL, 10);
  g_autofree char *sum = demo_data_receive (G_INPUT_STREAM (in), bytes, arrived, NULL);

  return sum != NULL && demo_data_write_line (out, NULL, "%s", sum);
}

static gboolean
give (GOutputStream *out,
      const char    *arguments)
{
  char *rest;
  guint64 bytes = g_ascii_strtoull (arguments, &rest, 10);
  guint64 seed = g_ascii_strtoull (rest, NULL, 10);
  g_autofree char *sum = demo_data_send (out, bytes, MAX (seed, 1), NULL);

  return sum != NULL && demo_data_write_line (out, NULL, "%s", sum);
}

static void
give_http (GBufferedInputStream *in,
           GOutputStream        *out,
           const char           *path)
{
  guint64 mib = MIN (g_ascii_strtoull (path, NULL, 10), MAX_MIB);
  gboolean end = FALSE;

  while (!end)
    {
      g_autofree char *header = demo_data_read_line (in, NULL);

      if (header == NULL)
        return;
      end = *header == '\0';
    }

  if (demo_data_write_line (out, NULL,
                            "HTTP/1.1 200 OK\r\n"
                            "Content-Type: application/octet-stream\r\n"
                            "Content-Length: %" G_GUINT64_FORMAT "\r\n"
                            "Connection: close\r\n"
                            "\r",
                            mib << 20))
    g_free (demo_data_send (out, mib << 20, 1, NULL));
}

static void
serve (GSocketConnection *connection,
       guint              id,
       gpointer           data)
{
  g_autoptr (GBufferedInputStream) in = demo_data_reader (connection);
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  gboolean alive = TRUE;
  guint n_lines = 0;

  while (alive)
    {
      g_autofree char *line = demo_data_read_line (in, NULL);

      if (line == NULL)
        return;
      if (g_str_has_prefix (line, "take "))
        {
          alive = take (in, out, line + strlen ("take "), data);
        }
      else if (g_str_has_prefix (line, "give "))
        {
          alive = give (out, line + strlen ("give "));
        }
      else if (g_str_has_prefix (line, "GET /"))
        {
          give_http (in, out, line + strlen ("GET /"));
          return;
        }
      else
        {
          alive = demo_data_write_line (out, NULL, "connection %u, line %u: %s", id, ++n_lines,
                                        line);
        }
    }
}

/**
 * demo_service_new:
 * @arrived: the bulk data that it receives is added here
 */
DemoServer *
demo_service_new (DemoCount  *arrived,
                  GError    **error)
{
  return demo_server_new (serve, arrived, error);
}
