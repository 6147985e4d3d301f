/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/describe.h"

#include "cli/format.h"
#include "cli/json.h"

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
 * @name: (nullable): the name of the tunnel in the config file
 * @ended: whether the tunnel has ended, while others of the command run
 * @error: (nullable): the reason for which it is not connected
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
  g_autoptr (GUri) parsed = NULL;
  g_autofree char *uri = NULL;
  g_autofree char *host = NULL;
  guint port;
  g_autofree char *address = format_place (tunnel, &host, &port);

  g_object_get (tunnel, "remote-uri", &given, NULL);
  parsed = given != NULL ? g_uri_parse (given, G_URI_FLAGS_ENCODED, NULL) : NULL;
  uri = parsed != NULL ? format_uri (parsed) : NULL;
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
  g_auto (GStrv) addresses = format_listeners (gateway);
  g_autofree char *target = NULL;

  g_object_get (gateway, "target", &target, NULL);
  json_builder_begin_object (builder);
  event_add_string (builder, "name", target);
  event_add_string (builder, "target", target);
  if (*addresses != NULL)
    event_add_string (builder, "address", *addresses);
  json_builder_set_member_name (builder, "addresses");
  json_builder_begin_array (builder);
  for (char **address = addresses; *address != NULL; address++)
    json_builder_add_string_value (builder, *address);
  json_builder_end_array (builder);
  event_add_string (builder, "state", draining ? "draining" : "listening");
  add_statistics (builder, TCP_ENDPOINT (gateway));
  json_builder_end_object (builder);
}

static void
add_peer (JsonBuilder   *builder,
          const char    *key,
          TcpConnection *connection,
          const char    *property)
{
  g_autofree char *text = format_peer (connection, property);

  event_add_string (builder, key, text);
}

/**
 * describe_connection:
 * @builder: a builder with an open object
 *
 * Adds the properties of one connection of a gateway.
 */
void
describe_connection (JsonBuilder   *builder,
                     TcpConnection *connection)
{
  g_autofree char *principal = NULL;
  g_autofree char *target = NULL;
  guint64 id, sent, received, duration, resumes;

  g_object_get (connection, "id", &id, "principal", &principal, "target", &target, "bytes-sent", &sent,
                "bytes-received", &received, "duration", &duration, "resumes", &resumes, NULL);
  event_add_int (builder, "id", id);
  event_add_string (builder, "principal", principal);
  add_peer (builder, "client", connection, "client-address");
  add_peer (builder, "proxy", connection, "proxy-address");
  event_add_string (builder, "target", target);
  event_add_int (builder, "bytes_to_target", received);
  event_add_int (builder, "bytes_to_client", sent);
  event_add_int (builder, "duration_ms", duration);
  event_add_int (builder, "resumes", resumes);
}
