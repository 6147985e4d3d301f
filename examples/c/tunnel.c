/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A local TCP port that leads through a gateway.
 *
 *   gcc tunnel.c -o tunnel $(pkg-config --cflags --libs libtcptunnel-1)
 *   TCP_TUNNEL_TOKEN=… ./tunnel wss://example.org/
 */

#include <glib-unix.h>
#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>

static int status = EXIT_SUCCESS;

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  gpointer        user_data)
{
  g_autofree char *name = g_enum_to_string (TCP_TYPE_TUNNEL_STATE, state);

  g_print ("%s\n", name);
}

static void
on_failed (TcpTunnel *tunnel,
           GError    *error,
           GMainLoop *loop)
{
  g_printerr ("%s\n", error->message);
  status = EXIT_FAILURE;
  g_main_loop_quit (loop);
}

static gboolean
on_interrupt (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (argv[1], g_getenv ("TCP_TUNNEL_TOKEN"));
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  g_autofree char *address = NULL;

  g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), NULL);
  g_signal_connect (tunnel, "failed", G_CALLBACK (on_failed), loop);
  if (!tcp_tunnel_start (tunnel, NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }

  address = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (tcp_tunnel_get_local_address (tunnel)));
  g_print ("listening on %s\n", address);

  g_unix_signal_add (SIGINT, on_interrupt, loop);
  g_main_loop_run (loop);
  tcp_tunnel_close (tunnel);
  return status;
}
