/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/target-rules.h"

#include <string.h>

#include "base/i18n.h"
#include "base/invalid.h"
#include "base/host-port.h"
#include "base/ref-count.h"
#include "gateway/networks.h"

typedef struct
{
  char *name;       /* that of a target of the gateway; the other fields are then unset */
  char *host;       /* NULL for any */
  gboolean below;   /* names below it, but not the host itself */
  gboolean address; /* the host is an address, which no name matches */
  GInetAddressMask *network; /* instead of the host; nullable */
  guint16 first;    /* the range of ports */
  guint16 last;
} Rule;

struct _TcpTargetRules
{
  gatomicrefcount refs;
  char **patterns; /* from which the rules were made; nullable */
  GArray *rules;
};

static void
rule_clear (gpointer data)
{
  Rule *rule = data;

  g_free (rule->name);
  g_free (rule->host);
  g_clear_object (&rule->network);
}

static gboolean
rule_parse_ports (Rule       *self,
                  const char *text)
{
  if (strcmp (text, "*") == 0)
    {
      self->first = 1;
      self->last = G_MAXUINT16;
      return TRUE;
    }
  return tcp_port_range_parse (text, &self->first, &self->last) && self->first <= self->last;
}

/* Parses a network such as 10.0.0.0/8 or [fd00::/8]. */
static gboolean
rule_parse_network (Rule        *self,
                    const char  *text,
                    gsize        length,
                    GError     **error)
{
  gboolean brackets = length > 1 && text[0] == '[' && text[length - 1] == ']';
  g_autofree char *whole = brackets ? g_strndup (text + 1, length - 2) : g_strndup (text, length);

  if (brackets == (strchr (whole, ':') != NULL))
    self->network = tcp_network_parse (whole);
  return self->network != NULL ||
         tcp_invalid (error, _("“%.*s” is not a network such as 10.0.0.0/8 or [fd00::/8], whose bits after the prefix are 0"),
                      (int) length, text);
}

static gboolean
rule_parse (Rule        *self,
            const char  *pattern,
            GError     **error)
{
  const char *colon = strrchr (pattern, ':');

  if (tcp_target_name_is_valid (pattern))
    {
      self->name = g_strdup (pattern);
      return TRUE;
    }
  if (colon == NULL || !rule_parse_ports (self, colon + 1))
    return tcp_invalid (error, _("“%s” is not of the form HOST:PORT, where PORT is a number from 1 to 65535, "
                                 "a range such as 8000-8099, or *"), pattern);
  if (colon - pattern == 1 && *pattern == '*')
    return TRUE;

  if (memchr (pattern, '/', colon - pattern) != NULL)
    return rule_parse_network (self, pattern, colon - pattern, error);

  self->below = g_str_has_prefix (pattern, "*.");
  if (self->below)
    pattern += 2;
  self->host = tcp_host_parse (pattern, colon - pattern, &self->address, error);
  if (self->host != NULL && self->below && self->address)
    return tcp_invalid (error, _("“*.%s” is invalid, since an address has no subdomains"), self->host);
  return self->host != NULL;
}

/* @patterns may be NULL, which allows nothing. */
TcpTargetRules *
tcp_target_rules_new (const char *const  *patterns,
                      GError            **error)
{
  g_autoptr (TcpTargetRules) self = g_new0 (TcpTargetRules, 1);

  g_atomic_ref_count_init (&self->refs);
  self->patterns = g_strdupv ((char **) patterns);
  self->rules = g_array_new (FALSE, TRUE, sizeof (Rule));
  g_array_set_clear_func (self->rules, rule_clear);
  for (; patterns != NULL && *patterns != NULL; patterns++)
    {
      Rule rule = { 0 };

      if (!rule_parse (&rule, *patterns, error))
        {
          rule_clear (&rule);
          return NULL;
        }
      g_array_append_val (self->rules, rule);
    }
  return g_steal_pointer (&self);
}

/* Whether both were made from the same patterns. */
gboolean
tcp_target_rules_equal (TcpTargetRules *self,
                        TcpTargetRules *other)
{
  if (self->patterns == NULL || other->patterns == NULL)
    return self->patterns == other->patterns;
  return g_strv_equal ((const char *const *) self->patterns, (const char *const *) other->patterns);
}

TcpTargetRules *
tcp_target_rules_ref (TcpTargetRules *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_target_rules_unref (TcpTargetRules *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_array_unref (self->rules);
  g_strfreev (self->patterns);
  g_free (self);
}

/* Addresses of cloud services that only the machines of the cloud should reach: mostly metadata with secrets. Most
 * clouds use link-local addresses instead. */
static const char *const metadata[] = { "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", NULL };

/* Whether it is an address of this machine or on its link, where clouds provide data for this machine only. */
static gboolean
is_inner (GInetAddress *address)
{
  g_autofree char *text = g_inet_address_to_string (address);

  return g_inet_address_get_is_any (address) || g_inet_address_get_is_loopback (address) ||
         g_inet_address_get_is_link_local (address) || g_inet_address_get_is_multicast (address) ||
         g_strv_contains (metadata, text);
}

/* Whether all addresses in the network are inner ones. That is false for 0.0.0.0/0 and other networks that begin there,
 * which include others. */
static gboolean
is_inner_network (GInetAddressMask *network)
{
  GInetAddress *first = g_inet_address_mask_get_address (network);

  return is_inner (first) && (!g_inet_address_get_is_any (first) ||
                              g_inet_address_mask_get_length (network) == 8 * g_inet_address_get_native_size (first));
}

/* Whether the rule has the address itself, which is an inner one, or an inner network that contains it. */
static gboolean
rule_names (const Rule   *self,
            GInetAddress *address,
            guint16       port)
{
  g_autoptr (GInetAddress) own = NULL;

  if (self->name != NULL || port < self->first || port > self->last)
    return FALSE;
  if (self->network != NULL)
    return is_inner_network (self->network) && g_inet_address_mask_matches (self->network, address);
  if (!self->address)
    return FALSE;
  own = g_inet_address_new_from_string (self->host);
  return g_inet_address_equal (own, address);
}

static gboolean
rule_allows (const Rule      *self,
             const TcpHostPort *target)
{
  gsize rest;

  if (self->name != NULL || target->port < self->first || target->port > self->last)
    return FALSE;
  if (self->network != NULL)
    {
      g_autoptr (GInetAddress) address = target->address ? g_inet_address_new_from_string (target->host) : NULL;

      return address != NULL && g_inet_address_mask_matches (self->network, address);
    }
  if (self->host == NULL)
    return TRUE;
  if (self->address != target->address)
    return FALSE;
  if (!self->below)
    return strcmp (self->host, target->host) == 0;

  if (strlen (target->host) <= strlen (self->host) + 1)
    return FALSE;
  rest = strlen (target->host) - strlen (self->host);
  return target->host[rest - 1] == '.' && strcmp (target->host + rest, self->host) == 0;
}

static gboolean
rules_allow_name (TcpTargetRules *self,
                  const char     *name)
{
  for (guint i = 0; i < self->rules->len; i++)
    if (g_strcmp0 (g_array_index (self->rules, Rule, i).name, name) == 0)
      return TRUE;
  return FALSE;
}

/* @target is HOST:PORT or a name. FALSE as well if it is malformed. */
gboolean
tcp_target_rules_allow (TcpTargetRules *self,
                        const char     *target)
{
  g_auto (TcpHostPort) parsed = { 0 };

  if (tcp_target_name_is_valid (target))
    return rules_allow_name (self, target);
  if (!tcp_host_port_parse (target, &parsed, NULL))
    return FALSE;
  for (guint i = 0; i < self->rules->len; i++)
    if (rule_allows (&g_array_index (self->rules, Rule, i), &parsed))
      return TRUE;

  return FALSE;
}

/* Whether a target that is allowed may have this address: the owner of a name can let it resolve to any address. */
gboolean
tcp_target_rules_allow_address (TcpTargetRules *self,
                                GInetAddress   *address,
                                guint16         port)
{
  g_autoptr (GInetAddress) normal = tcp_address_normalize (address);

  if (!is_inner (normal))
    return TRUE;
  for (guint i = 0; i < self->rules->len; i++)
    if (rule_names (&g_array_index (self->rules, Rule, i), normal, port))
      return TRUE;
  return FALSE;
}

/* The same for an existing connection. */
gboolean
tcp_target_rules_allow_connection (TcpTargetRules    *self,
                                   GSocketConnection *connection)
{
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (connection, NULL);
  GInetSocketAddress *address;

  /* The connection has broken already. */
  if (!G_IS_INET_SOCKET_ADDRESS (remote))
    return TRUE;
  address = G_INET_SOCKET_ADDRESS (remote);
  return tcp_target_rules_allow_address (self, g_inet_socket_address_get_address (address),
                                         g_inet_socket_address_get_port (address));
}
