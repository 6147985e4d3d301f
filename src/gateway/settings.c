/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/settings.h"

#include "base/i18n.h"
#include "base/invalid.h"
#include "gateway/networks.h"
#include "gateway/policy.h"
#include "gateway/reverse-ports.h"
#include "protocol/resumable-frame.h"

/* in bytes, in addition to the memory of each client */
#define DEFAULT_MEMORY (304 * 1024 * 1024)

TcpGatewaySettings *
tcp_gateway_settings_copy (const TcpGatewaySettings *self)
{
  TcpGatewaySettings *copy = tcp_settings_copy (&tcp_gateway_settings, self);

  g_clear_object (&copy->principals);
  g_clear_object (&copy->listeners);
  return copy;
}

void
tcp_gateway_settings_free (TcpGatewaySettings *self)
{
  tcp_settings_free (&tcp_gateway_settings, self);
}

/* In bytes. The default includes some memory for each client. */
guint64
tcp_gateway_settings_get_max_memory (const TcpGatewaySettings *self)
{
  if (self->max_memory > 0)
    return self->max_memory;
  return DEFAULT_MEMORY + (guint64) self->common.max_connections * TCP_GATEWAY_MEMORY_OF_CLIENT;
}

/* Checks all but where the gateway listens, which a reload does not change. */
gboolean
tcp_gateway_settings_check (const TcpGatewaySettings  *self,
                            GError                   **error)
{
  g_autoptr (TcpPolicy) policy = tcp_policy_new (self, error);
  g_autoptr (TcpNetworks) proxies = NULL;
  g_autoptr (TcpReversePorts) reverse_ports = NULL;

  if (policy == NULL)
    return FALSE;
  if (self->path != NULL && *self->path != '/')
    return tcp_invalid (error, _("the path “%s” does not begin with a slash"), self->path);

  if (self->route != NULL && !tcp_resumable_route_is_valid (self->route))
    return tcp_invalid (error, _("the route “%s” must be 1 to %d letters, digits, dashes, dots, underscores and tildes"),
                        self->route, TCP_RESUMABLE_MAX_ROUTE);

  proxies = tcp_networks_parse ((const char *const *) self->trusted_proxies, error);
  if (proxies == NULL)
    return FALSE;

  reverse_ports = tcp_reverse_ports_new ((const char *const *) self->reverse_ports, error);
  if (reverse_ports == NULL)
    g_prefix_error (error, _("the ports for reverse tunnels: "));
  return reverse_ports != NULL;
}
