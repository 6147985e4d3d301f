/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One of our two ends in a process of its own, so that its cost can be told from the rest. */

#include "bench-util.h"

#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>

#define TOKEN "bench"

static void
tunnel_failed (TcpTunnel *tunnel,
               GError *error,
               gpointer data)
{
  g_printerr ("endpoint: the tunnel ended: %s\n", error->message);
  g_main_loop_quit (data);
}

static GObject *
start_tunnel (const char *uri,
              const char *mode,
              const char *resumption,
              GMainLoop *loop,
              GError **error)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, TOKEN);
  GInetSocketAddress *address;

  tcp_tunnel_set_log_level (tunnel, TCP_TUNNEL_LOG_LEVEL_ERROR);
  if (g_str_equal (mode, "multiplexed"))
    tcp_tunnel_set_mode (tunnel, TCP_TUNNEL_MODE_MULTIPLEXED);
  tcp_tunnel_set_resumption (tunnel, g_str_equal (resumption, "required") ? TCP_TUNNEL_RESUMPTION_REQUIRED
                                                                         : TCP_TUNNEL_RESUMPTION_OFF);
  g_signal_connect (tunnel, "failed", G_CALLBACK (tunnel_failed), loop);
  if (!tcp_tunnel_start (tunnel, NULL, error))
    return NULL;
  address = tcp_tunnel_get_local_address (tunnel);
  g_print ("listening %u\n", g_inet_socket_address_get_port (address));

  return G_OBJECT (g_steal_pointer (&tunnel));
}

/* Tunnels that are connected and have nothing to do, each with a session of its own. */
static GObject *
start_idle_tunnels (const char *uri,
                    const char *count,
                    GError **error)
{
  GListStore *tunnels = g_list_store_new (TCP_TYPE_TUNNEL);

  for (int i = 0; i < atoi (count); i++)
    {
      g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (uri, TOKEN);

      tcp_tunnel_set_log_level (tunnel, TCP_TUNNEL_LOG_LEVEL_ERROR);
      tcp_tunnel_set_mode (tunnel, TCP_TUNNEL_MODE_MULTIPLEXED);
      if (!tcp_tunnel_start (tunnel, NULL, error))
        return NULL;
      g_list_store_append (tunnels, tunnel);
    }
  g_print ("listening 0\n");

  return G_OBJECT (tunnels);
}

static GObject *
start_gateway (const char *target,
               GError **error)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (target);
  GInetSocketAddress *address;

  tcp_gateway_set_token (gateway, TOKEN);
  tcp_gateway_set_log_level (gateway, TCP_TUNNEL_LOG_LEVEL_ERROR);
  if (!tcp_gateway_start (gateway, NULL, error))
    return NULL;
  address = tcp_gateway_get_local_address (gateway);
  g_print ("listening %u\n", g_inet_socket_address_get_port (address));

  return G_OBJECT (g_steal_pointer (&gateway));
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GObject) end = NULL;
  g_autoptr (GError) error = NULL;

  if (argc == 5 && g_str_equal (argv[1], "tunnel"))
    end = start_tunnel (argv[2], argv[3], argv[4], loop, &error);
  else if (argc == 4 && g_str_equal (argv[1], "idle-tunnels"))
    end = start_idle_tunnels (argv[2], argv[3], &error);
  else if (argc == 3 && g_str_equal (argv[1], "gateway"))
    end = start_gateway (argv[2], &error);
  else
    {
      g_printerr ("usage: endpoint tunnel URL MODE off|required | endpoint idle-tunnels URL N | "
                  "endpoint gateway HOST:PORT\n");
      return 2;
    }
  if (end == NULL)
    {
      g_printerr ("endpoint: %s\n", error->message);
      return 1;
    }
  g_main_loop_run (loop);

  return 1;
}
