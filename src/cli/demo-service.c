/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "cli/demo-data.h"
#include "cli/demo-server.h"

/* The service behind the demo's gateway. It reads lines:
 *
 *   take BYTES SEED   receives and compares so many bytes; then answers "whole", or what is wrong
 *   give BYTES SEED   sends so many bytes, and then "whole"
 *   GET /MIB …        sends so many MiB to a web client
 *
 * To any other line it answers with the line, its number, and the number of the connection. They show whether a
 * connection is still the same. */

enum
{
  MAX_MIB = 1024 * 1024,
};

static void
read_arguments (const char *arguments,
                guint64    *bytes,
                guint64    *seed)
{
  char *rest;

  *bytes = g_ascii_strtoull (arguments, &rest, 10);
  *seed = g_ascii_strtoull (rest, NULL, 10);
}

static gboolean
take (GBufferedInputStream *in,
      GOutputStream        *out,
      const char           *arguments,
      DemoCount            *arrived)
{
  g_autoptr (GError) error = NULL;
  guint64 bytes, seed;

  read_arguments (arguments, &bytes, &seed);
  if (demo_data_receive (G_INPUT_STREAM (in), bytes, seed, arrived, &error))
    return demo_data_write_line (out, NULL, DEMO_DATA_WHOLE);
  demo_data_write_line (out, NULL, "%s", error->message);
  return FALSE;
}

static gboolean
give (GOutputStream *out,
      const char    *arguments)
{
  guint64 bytes, seed;

  read_arguments (arguments, &bytes, &seed);
  return demo_data_send (out, bytes, seed, NULL) && demo_data_write_line (out, NULL, DEMO_DATA_WHOLE);
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
    demo_data_send (out, mib << 20, 1, NULL);
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
 * @arrived: received bulk data is counted here
 */
DemoServer *
demo_service_new (DemoCount  *arrived,
                  GError    **error)
{
  return demo_server_new (serve, arrived, error);
}
