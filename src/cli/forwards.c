/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/forwards.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli/format.h"
#include "cli/options.h"

static gboolean
add (TcpTunnel   *tunnel,
     TcpForward  *forward,
     const char  *source,
     const char  *listen,
     GError     **error)
{
  if (!options_read_listen (source, listen, G_OBJECT (forward), error))
    return FALSE;
  if (tcp_tunnel_add_forward (tunnel, forward, error))
    return TRUE;
  g_prefix_error (error, "%s: ", source);
  return FALSE;
}

/* LISTEN=HOST:PORT. The path of a socket may contain a =, a target does not. */
static gboolean
add_target (TcpTunnel   *tunnel,
            const char  *source,
            const char  *text,
            GError     **error)
{
  const char *equals = strrchr (text, '=');
  g_autofree char *listen = NULL;
  g_autoptr (TcpForward) forward = NULL;

  if (equals == NULL || equals == text || equals[1] == '\0')
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("%s must be LISTEN=HOST:PORT, such as 5432=db.lab:5432, not '%s'"), source, text);
      return FALSE;
    }
  listen = g_strndup (text, equals - text);
  forward = tcp_forward_new (0, equals + 1);
  return add (tunnel, forward, source, listen, error);
}

static gboolean
add_proxy (TcpTunnel       *tunnel,
           TcpForwardKind   kind,
           const Settings  *settings,
           Setting          setting,
           GError         **error)
{
  g_autoptr (TcpForward) forward = NULL;

  if (settings->values[setting] == NULL)
    return TRUE;
  forward = tcp_forward_new_proxy (kind, 0);
  return add (tunnel, forward, settings_source (settings, setting), settings->values[setting], error);
}

gboolean
forwards_wanted (const Settings *settings)
{
  return settings_has (settings, SETTING_FORWARDS) || settings_has (settings, SETTING_SOCKS) ||
         settings_has (settings, SETTING_HTTP_PROXY);
}

/**
 * forwards_add:
 *
 * A tunnel with forwards does not listen on a port of its own, unless an address for it is given.
 */
gboolean
forwards_add (const Settings  *settings,
              TcpTunnel       *tunnel,
              GError         **error)
{
  const char *source = settings_source (settings, SETTING_FORWARDS);

  for (char **forward = settings->forwards; forward != NULL && *forward != NULL; forward++)
    if (!add_target (tunnel, source, *forward, error))
      return FALSE;
  if (!add_proxy (tunnel, TCP_FORWARD_KIND_SOCKS, settings, SETTING_SOCKS, error) ||
      !add_proxy (tunnel, TCP_FORWARD_KIND_HTTP_PROXY, settings, SETTING_HTTP_PROXY, error))
    return FALSE;

  if (forwards_wanted (settings) && !settings_has (settings, SETTING_LISTEN))
    g_object_set (tunnel, "listen", FALSE, NULL);
  return TRUE;
}

/* Returns the text after the address. */
char *
forward_describe (TcpForward *forward)
{
  g_autofree char *target = NULL;
  TcpForwardKind kind;

  g_object_get (forward, "kind", &kind, "target", &target, NULL);
  if (kind == TCP_FORWARD_KIND_SOCKS)
    return g_strdup (_("as a SOCKS5 proxy"));
  if (kind == TCP_FORWARD_KIND_HTTP_PROXY)
    return g_strdup (_("as an HTTP proxy"));
  return g_strdup_printf (_("for %s"), target);
}

/* For programs: ADDRESS=TARGET, ADDRESS=socks and ADDRESS=http-proxy, separated by spaces. */
char *
forwards_list (TcpTunnel *tunnel)
{
  g_autoptr (GPtrArray) forwards = tcp_tunnel_get_forwards (tunnel);
  g_autoptr (GString) list = g_string_new (NULL);
  g_autoptr (GEnumClass) kinds = g_type_class_ref (TCP_TYPE_FORWARD_KIND);

  for (guint i = 0; i < forwards->len; i++)
    {
      g_autoptr (GSocketAddress) address = tcp_forward_dup_local_address (forwards->pdata[i]);
      g_autofree char *text = address != NULL ? format_address (address) : NULL;
      g_autofree char *target = NULL;
      TcpForwardKind kind;

      if (text == NULL)
        continue;
      g_object_get (forwards->pdata[i], "kind", &kind, "target", &target, NULL);
      g_string_append_printf (list, "%s%s=%s", list->len > 0 ? " " : "", text,
                              target != NULL ? target : g_enum_get_value (kinds, kind)->value_nick);
    }
  return g_string_free (g_steal_pointer (&list), FALSE);
}
