/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* flood PORT open-reset|open-close|single-bytes: runs until it is stopped. */

#include "bench-util.h"
#include "frame-flood.h"

int
main (int argc,
      char **argv)
{
  static const char *const kinds[] = {
    [FRAME_FLOOD_OPEN_RESET] = "open-reset",
    [FRAME_FLOOD_OPEN_CLOSE] = "open-close",
    [FRAME_FLOOD_SINGLE_BYTES] = "single-bytes",
  };

  g_set_prgname ("flood");
  for (guint i = 0; argc == 3 && i < G_N_ELEMENTS (kinds); i++)
    if (g_str_equal (argv[2], kinds[i]))
      {
        FrameFlood *flood = frame_flood_new (bench_parse_port (argv[1]), "bench", i);

        g_print ("listening 0\n");
        frame_flood_run (flood);
      }

  g_printerr ("usage: flood PORT open-reset|open-close|single-bytes\n");
  return 2;
}
