/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/describe.h"

#include "cli/format.h"
#include "cli/json.h"

/* Without its query, which may hold a secret. */
static char *
strip_uri (const char *text)
{
  g_autoptr (GUri) uri = text != NULL ? g_uri_parse (text, G_URI_FLAGS_ENCODED, NULL) : NULL;

  return uri != NULL ? g_uri_to_string_partial (uri, G_URI_HIDE_USERINFO | G_URI_HIDE_QUERY | G_URI_HIDE_FRAGMENT) : NULL;
}

static void
add_statistics (JsonBuilder *builder,
                TcpEndpoint *endpoint)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (endpoint);

  event_add_statistics (builder, statistics);
  event_add_int (builder, "unacknowledged_bytes", statistics->unacknowledged_bytes);
  event_add_int (builder, "receive_window", statistics->receive_window);
  event_add_int (builder, "send_window", statistics->send_window);
  if (statistics->round_trip >= 0)
    event_add_double (builder, "round_trip_ms", statistics->round_trip);
  if (statistics->protocol != NULL)
    event_add_string (builder, "protocol", statistics->protocol);
}

/**
 * describe_tunnel:
 * @name: (nullable): of the tunnel in the config file
 * @ended: whether the tunnel runs no more, while others of the command do
 * @error: (nullable): why it is not connected
 * @retry: when it tries to connect again, on the monotonic clock, or 0
 */
void
describe_tunnel (JsonBuilder  *builder,
                 const char   *name,
                 TcpTunnel    *tunnel,
                 gboolean      ended,
                 const GError *error,
                 gint64        retry)
{
  g_autofree char *given = NULL;
  g_autofree char *uri = NULL;
  g_autofree char *host = NULL;
  guint port;
  g_autofree char *address = format_place (tunnel, &host, &port);

  g_object_get (tunnel, "remote-uri", &given, NULL);
  uri = strip_uri (given);
  json_builder_begin_object (builder);
  event_add_string (builder, "name", name != NULL ? name : uri);
  event_add_string (builder, "remote_uri", uri);
  if (address != NULL)
    event_add_string (builder, "address", address);
  event_add_string (builder, "state", ended ? "ended" : format_state (tcp_tunnel_get_state (tunnel)));
  add_statistics (builder, TCP_ENDPOINT (tunnel));
  if (error != NULL)
    event_add_error (builder, error);
  if (retry > 0)
    event_add_int (builder, "retry_in_ms", MAX (retry - g_get_monotonic_time (), 0) / G_TIME_SPAN_MILLISECOND);
  json_builder_end_object (builder);
}

/**
 * describe_gateway:
 * @draining: whether it ends once its connections have ended
 */
void
describe_gateway (JsonBuilder *builder,
                  TcpGateway  *gateway,
                  gboolean     draining)
{
  GSocketAddress *local = tcp_endpoint_get_local_address (TCP_ENDPOINT (gateway));
  g_autofree char *address = tcp_gateway_dup_uri (gateway);
  g_autofree char *target = NULL;

  g_object_get (gateway, "target", &target, NULL);
  /* On a Unix socket it has no URL. */
  if (address == NULL && local != NULL)
    address = format_address (local);
  json_builder_begin_object (builder);
  event_add_string (builder, "name", target);
  event_add_string (builder, "target", target);
  if (address != NULL)
    event_add_string (builder, "address", address);
  event_add_string (builder, "state", draining ? "draining" : "listening");
  add_statistics (builder, TCP_ENDPOINT (gateway));
  json_builder_end_object (builder);
}
