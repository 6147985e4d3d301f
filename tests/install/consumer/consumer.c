/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>

int
main (void)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new ("ws://127.0.0.1/", "token");
  g_autoptr (GError) error = NULL;

  if (!tcp_tunnel_start (tunnel, NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }
  g_print ("%s: port %u\n", TCP_TUNNEL_VERSION_S,
           g_inet_socket_address_get_port (tcp_tunnel_get_local_address (tunnel)));
  tcp_tunnel_close (tunnel);
  return EXIT_SUCCESS;
}
