/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Opens a local TCP port whose connections go through a gateway.
 *
 *   gcc tunnel.c -o tunnel $(pkg-config --cflags --libs libtcptunnel-1)
 *   TCP_TUNNEL_TOKEN=… ./tunnel wss://example.org/
 */

#include <glib-unix.h>
#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>

typedef struct
{
  GMainLoop *loop;
  int status;
} Program;

static void
give_up (Program      *program,
         const GError *error)
{
  g_printerr ("%s\n", error->message);
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED))
    g_printerr ("Is TCP_TUNNEL_TOKEN right?\n");
  program->status = EXIT_FAILURE;
  g_main_loop_quit (program->loop);
}

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
           gpointer   user_data)
{
  give_up (user_data, error);
}

static void
on_started (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  TcpEndpoint *tunnel = TCP_ENDPOINT (source);
  g_autoptr (GError) error = NULL;
  g_autofree char *address = NULL;

  if (!tcp_endpoint_start_finish (tunnel, result, &error))
    {
      give_up (user_data, error);
      return;
    }

  address = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (tcp_endpoint_get_local_address (tunnel)));
  g_print ("listening on %s\n", address);
}

static gboolean
on_interrupt (gpointer user_data)
{
  Program *program = user_data;

  g_main_loop_quit (program->loop);
  return G_SOURCE_CONTINUE;
}

int
main (int    argc,
      char **argv)
{
  const char *token = g_getenv ("TCP_TUNNEL_TOKEN");
  g_autoptr (TcpTunnel) tunnel = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Program program = { loop, EXIT_SUCCESS };

  if (argc != 2 || argv[1][0] == '-' || token == NULL)
    {
      g_printerr ("usage: TCP_TUNNEL_TOKEN=TOKEN tunnel URL\n");
      return EXIT_FAILURE;
    }

  tunnel = tcp_tunnel_new (argv[1], token);
  g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), NULL);
  g_signal_connect (tunnel, "failed", G_CALLBACK (on_failed), &program);
  g_unix_signal_add (SIGINT, on_interrupt, &program);
  tcp_endpoint_start_async (TCP_ENDPOINT (tunnel), NULL, on_started, &program);
  g_main_loop_run (loop);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  return program.status;
}
