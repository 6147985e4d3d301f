/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The minimal relay of TCP connections, as the baseline for the overhead of a tunnel: recv () and send () through a
 * buffer of 64 KiB, with one thread for each direction of a connection. */

#include "bench-util.h"

#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  int from;
  int to;
} Direction;

static guint16 target_port;

static gpointer
relay_direction (gpointer data)
{
  Direction *direction = data;
  g_autofree guint8 *buffer = g_malloc (BENCH_BLOCK);
  gssize received;

  while ((received = bench_recv (direction->from, buffer, BENCH_BLOCK)) > 0)
    {
      if (!bench_send_all (direction->to, buffer, received))
        break;
    }
  shutdown (direction->from, SHUT_RD);
  shutdown (direction->to, SHUT_WR);

  return NULL;
}

static gpointer
relay_connection (gpointer data)
{
  int client = GPOINTER_TO_INT (data);
  int target = bench_connect (target_port);

  if (target >= 0)
    {
      Direction up = { client, target };
      Direction down = { target, client };
      GThread *thread = g_thread_new ("down", relay_direction, &down);

      relay_direction (&up);
      g_thread_join (thread);
      close (target);
    }
  close (client);

  return NULL;
}

int
main (int argc,
      char **argv)
{
  guint16 port;
  int listener;

  g_set_prgname ("bare-relay");
  if (argc != 2)
    {
      g_printerr ("usage: bare-relay TARGET-PORT\n");
      return 2;
    }
  target_port = bench_parse_port (argv[1]);
  listener = bench_listen (&port);
  g_print ("listening %u\n", port);

  for (;;)
    {
      int client = bench_accept (listener);

      if (client >= 0)
        g_thread_unref (g_thread_new ("up", relay_connection, GINT_TO_POINTER (client)));
    }
}
