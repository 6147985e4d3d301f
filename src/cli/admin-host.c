/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/admin-host.h"

#include <gio/gio.h>
#include <string.h>

struct _AdminHosts
{
  GStrv names;
};

/**
 * admin_hosts_new:
 * @own: the name at which it listens
 * @further: (nullable): further names of the host
 */
AdminHosts *
admin_hosts_new (const char        *own,
                 const char *const *further)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  AdminHosts *self = g_new0 (AdminHosts, 1);

  g_strv_builder_add_many (builder, "localhost", own, NULL);
  if (further != NULL)
    g_strv_builder_addv (builder, (const char **) further);
  self->names = g_strv_builder_end (builder);
  return self;
}

void
admin_hosts_free (AdminHosts *self)
{
  g_strfreev (self->names);
  g_free (self);
}

/* Returns the host without its port, and without the brackets of IPv6. */
static char *
get_host (const char *header)
{
  const char *end;

  if (*header == '[')
    {
      end = strchr (header, ']');
      return end != NULL ? g_strndup (header + 1, end - header - 1) : NULL;
    }
  end = strchr (header, ':');
  return end != NULL ? g_strndup (header, end - header) : g_strdup (header);
}

/**
 * admin_hosts_allow:
 * @header: (nullable): the header `Host` of a request
 *
 * Addresses are always allowed: a page with an address in its URL comes from that address. Requests without the header
 * are allowed too: browsers always send it, but load balancers that check health may not.
 */
gboolean
admin_hosts_allow (const AdminHosts *self,
                   const char       *header)
{
  g_autofree char *host = NULL;

  if (header == NULL)
    return TRUE;
  host = get_host (header);
  if (host == NULL)
    return FALSE;
  if (g_hostname_is_ip_address (host))
    return TRUE;
  for (guint i = 0; self->names[i] != NULL; i++)
    if (g_ascii_strcasecmp (self->names[i], host) == 0)
      return TRUE;
  return FALSE;
}
