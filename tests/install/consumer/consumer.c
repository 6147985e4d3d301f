/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>

int
main (void)
{
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new ("ws://127.0.0.1/", "token");
  g_autoptr (GError) error = NULL;
  GSocketAddress *address;

  if (!tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }
  address = tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel));
  g_print ("%s: port %u\n", TCP_TUNNEL_VERSION_S, g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  return EXIT_SUCCESS;
}
