/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tunnels or gateways in a process of their own, so that their cost can be distinguished from the rest. Prints the
 * ports that they listen on. */

#include "bench-util.h"

#include <stdlib.h>
#include <tcptunnel/tcptunnel.h>

#define TOKEN "bench"

static gboolean singleton;
static gboolean parallel;
static gboolean resumable;
static int connections;
static int copies = 1;
static char *certificate_path;
static char **addresses;

static const GOptionEntry options[] = {
  { "singleton", 0, 0, G_OPTION_ARG_NONE, &singleton, "One connection at a time, each with its own WebSocket", NULL },
  { "parallel", 0, 0, G_OPTION_ARG_NONE, &parallel, "A WebSocket for each connection", NULL },
  { "resumable", 0, 0, G_OPTION_ARG_NONE, &resumable, "With resumption, instead of without", NULL },
  { "connections", 0, 0, G_OPTION_ARG_INT, &connections, "How many there may be, if not the default", "N" },
  { "copies", 0, 0, G_OPTION_ARG_INT, &copies, "How many ends for each address", "N" },
  { "certificate", 0, 0, G_OPTION_ARG_FILENAME, &certificate_path,
    "Of a gateway, with its key; or what a tunnel trusts", "FILE" },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &addresses, NULL, "tunnel|gateway URL|HOST:PORT…" },
  G_OPTION_ENTRY_NULL,
};

static void
tunnel_failed (TcpTunnel *tunnel,
               GError *error,
               gpointer data)
{
  g_printerr ("endpoint: the tunnel ended: %s\n", error->message);
  exit (EXIT_FAILURE);
}

static GInetSocketAddress *
start (TcpEndpoint *endpoint,
       GError **error)
{
  if (!tcp_endpoint_start (endpoint, NULL, error))
    return NULL;
  return G_INET_SOCKET_ADDRESS (tcp_endpoint_get_local_address (endpoint));
}

static GInetSocketAddress *
start_tunnel (const char *uri,
              GError **error)
{
  TcpTunnel *tunnel = tcp_tunnel_new (uri, TOKEN);

  if (certificate_path != NULL)
    {
      g_autoptr (GTlsDatabase) database = g_tls_file_database_new (certificate_path, error);

      if (database == NULL)
        return NULL;
      g_object_set (tunnel, "tls-database", database, NULL);
    }
  g_object_set (tunnel, "log-level", TCP_TUNNEL_LOG_LEVEL_ERROR, NULL);
  g_object_set (tunnel, "mode",
                parallel    ? TCP_TUNNEL_MODE_PARALLEL
                : singleton ? TCP_TUNNEL_MODE_SINGLETON
                            : TCP_TUNNEL_MODE_MULTIPLEXED,
                NULL);
  g_object_set (tunnel, "resumption", resumable ? TCP_TUNNEL_RESUMPTION_REQUIRED : TCP_TUNNEL_RESUMPTION_OFF, NULL);
  if (connections > 0)
    g_object_set (tunnel, "max-connections", connections, NULL);
  g_signal_connect (tunnel, "failed", G_CALLBACK (tunnel_failed), NULL);

  return start (TCP_ENDPOINT (tunnel), error);
}

static GInetSocketAddress *
start_gateway (const char *target,
               GError **error)
{
  TcpGateway *gateway = tcp_gateway_new (target);

  if (certificate_path != NULL)
    {
      g_autoptr (GTlsCertificate) certificate = g_tls_certificate_new_from_file (certificate_path, error);

      if (certificate == NULL)
        return NULL;
      g_object_set (gateway, "tls-certificate", certificate, NULL);
    }
  tcp_gateway_set_token (gateway, TOKEN);
  g_object_set (gateway, "log-level", TCP_TUNNEL_LOG_LEVEL_ERROR, NULL);
  if (connections > 0)
    g_object_set (gateway, "max-connections", connections, NULL);

  return start (TCP_ENDPOINT (gateway), error);
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GString) ports = g_string_new ("listening");
  g_autoptr (GError) error = NULL;
  gboolean tunnel;

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || addresses == NULL ||
      addresses[1] == NULL)
    {
      g_printerr ("endpoint: %s\n", error != NULL ? error->message : "a kind and an address are needed");
      return 2;
    }
  tunnel = g_str_equal (addresses[0], "tunnel");

  for (char **address = addresses + 1; *address != NULL; address++)
    for (int i = 0; i < copies; i++)
      {
        GInetSocketAddress *local = tunnel ? start_tunnel (*address, &error) : start_gateway (*address, &error);

        if (local == NULL)
          {
            g_printerr ("endpoint: %s\n", error->message);
            return 1;
          }
        g_string_append_printf (ports, " %u", g_inet_socket_address_get_port (local));
      }
  g_print ("%s\n", ports->str);
  g_main_loop_run (loop);

  return 1;
}
