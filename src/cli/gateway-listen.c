/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/gateway-listen.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gi18n.h>
#include <netinet/in.h>
#include <string.h>

#include "cli/activation.h"

/* They are valid, so that the library checks only where a gateway listens. */
#define PLACEHOLDER_TARGET "127.0.0.1:1"
#define PLACEHOLDER_TOKEN "placeholder"

/* The property listeners can have 64 items, and another place is set in other properties. */
#define MAX_LISTENERS 65

/* A place that one item of the option names. */
typedef struct
{
  const char *text;
  char *host;
  guint port;
  char *path; /* of a Unix socket; NULL for host and port */
} Listen;

static void
listen_free (gpointer data)
{
  Listen *self = data;

  g_free (self->host);
  g_free (self->path);
  g_free (self);
}

/* Returns NULL with @error set if the item is invalid. */
static Listen *
read_item (const char  *label,
           const char  *text,
           GError     **error)
{
  g_autoptr (TcpGateway) scratch = tcp_gateway_new (PLACEHOLDER_TARGET);
  g_auto (GStrv) warnings = NULL;
  Listen *self;

  tcp_gateway_set_token (scratch, PLACEHOLDER_TOKEN);
  g_object_set (scratch, "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  if (!options_read_listen (label, text, G_OBJECT (scratch), error))
    return NULL;
  warnings = tcp_gateway_check (scratch, NULL, error);
  if (warnings == NULL)
    {
      g_prefix_error (error, "%s: ", label);
      return NULL;
    }

  self = g_new0 (Listen, 1);
  self->text = text;
  g_object_get (scratch, "hostname", &self->host, "port", &self->port, "socket-path", &self->path, NULL);
  return self;
}

static gboolean
paths_are_same (const char *a,
                const char *b)
{
  g_autofree char *one = g_canonicalize_filename (a, NULL);
  g_autofree char *other = g_canonicalize_filename (b, NULL);

  return strcmp (one, other) == 0;
}

/* Whether [::] includes all IPv4 addresses: see bindv6only in ip(7). */
static gboolean
ipv6_includes_ipv4 (void)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_IPV6, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
  int only = 0;

  return socket != NULL && g_socket_get_option (socket, IPPROTO_IPV6, IPV6_V6ONLY, &only, NULL) && !only;
}

static gboolean
address_includes (GInetAddress *a,
                  GInetAddress *b)
{
  if (g_inet_address_equal (a, b))
    return TRUE;
  if (!g_inet_address_get_is_any (a))
    return FALSE;
  return g_inet_address_get_family (a) == g_inet_address_get_family (b) ||
         (g_inet_address_get_family (a) == G_SOCKET_FAMILY_IPV6 && ipv6_includes_ipv4 ());
}

/* The addresses of a name are not known here. */
static gboolean
hosts_overlap (const char *a,
               const char *b)
{
  g_autoptr (GInetAddress) one = g_inet_address_new_from_string (a);
  g_autoptr (GInetAddress) other = g_inet_address_new_from_string (b);

  if (one != NULL && other != NULL)
    return address_includes (one, other) || address_includes (other, one);
  return g_ascii_strcasecmp (a, b) == 0;
}

/* Whether only one of them can be opened. Port 0 is another one each time. */
static gboolean
listens_overlap (const Listen *a,
                 const Listen *b)
{
  if (a->path != NULL || b->path != NULL)
    return a->path != NULL && b->path != NULL && paths_are_same (a->path, b->path);
  return a->port == b->port && a->port != 0 && hosts_overlap (a->host, b->host);
}

/* Whether no former item names the same place, or includes it. */
static gboolean
check_is_new (const OptionValue *value,
              GPtrArray         *places,
              const Listen      *place,
              Problems          *problems)
{
  for (guint i = 0; i < places->len; i++)
    {
      const Listen *former = places->pdata[i];

      if (!listens_overlap (former, place))
        continue;
      if (strcmp (former->text, place->text) == 0)
        problems_add (problems, value->place, _("%s: '%s' occurs twice"), value->label, place->text);
      else
        problems_add (problems, value->place, _("%s: '%s' and '%s' are the same place, or one includes the other"), value->label,
                      former->text, place->text);
      return FALSE;
    }
  return TRUE;
}

/* Returns the valid items, except those that stand for sockets of the service manager. */
static GPtrArray *
read_items (const OptionValue *value,
            Problems          *problems)
{
  GPtrArray *places = g_ptr_array_new_with_free_func (listen_free);

  for (char **item = value->list; item != NULL && *item != NULL; item++)
    {
      GError *error = NULL;
      Listen *place = NULL;

      if (options_is_activated (*item))
        continue;
      place = read_item (value->label, *item, &error);
      if (place == NULL)
        problems_take (problems, value->place, error);
      else if (check_is_new (value, places, place, problems))
        g_ptr_array_add (places, place);
      else
        listen_free (place);
    }
  return places;
}

static void
check_sockets (const OptionValue *value,
               Problems          *problems)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (char **item = value->list; item != NULL && *item != NULL; item++)
    if (options_is_activated (*item) && !g_hash_table_add (seen, *item))
      problems_add (problems, value->place, _("%s: '%s' occurs twice"), value->label, *item);
}

/* As an item of the property listeners. */
static GObject *
make_listener (const Listen *place)
{
  if (place->path != NULL)
    return G_OBJECT (g_unix_socket_address_new (place->path));
  return G_OBJECT (g_network_address_new (place->host, place->port));
}

/* Sets the properties of the gateway. @listeners are items of the property listeners, of which the first one is set in
 * others. */
static void
set_listeners (GObject   *gateway,
               GPtrArray *listeners)
{
  GObject *first = listeners->len > 0 ? listeners->pdata[0] : NULL;
  g_autoptr (GListStore) further = NULL;

  option_set_reset (gateway, "hostname");
  option_set_reset (gateway, "port");
  option_set_reset (gateway, "socket-path");
  option_set_reset (gateway, "socket");
  if (G_IS_SOCKET (first))
    g_object_set (gateway, "socket", first, NULL);
  else if (G_IS_UNIX_SOCKET_ADDRESS (first))
    g_object_set (gateway, "socket-path", g_unix_socket_address_get_path (G_UNIX_SOCKET_ADDRESS (first)), NULL);
  else if (first != NULL)
    g_object_set (gateway, "hostname", g_network_address_get_hostname (G_NETWORK_ADDRESS (first)), "port",
                  (guint) g_network_address_get_port (G_NETWORK_ADDRESS (first)), NULL);

  if (listeners->len > 1)
    {
      further = g_list_store_new (G_TYPE_OBJECT);
      g_list_store_splice (further, 0, 0, listeners->pdata + 1, listeners->len - 1);
    }
  g_object_set (gateway, "listeners", further, NULL);
}

/**
 * gateway_listen_apply:
 * @value: the option
 * @problems: all invalid items are added here
 *
 * Sets the properties of the gateway, except for sockets of the service manager.
 */
void
gateway_listen_apply (const OptionValue *value,
                      GObject           *gateway,
                      Problems          *problems)
{
  g_autoptr (GPtrArray) listeners = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) places = read_items (value, problems);

  if (value->list != NULL && *value->list == NULL)
    problems_add (problems, value->place, _("%s has no value"), value->label);
  check_sockets (value, problems);
  if (places->len > MAX_LISTENERS)
    {
      problems_add (problems, value->place, _("%s has %u places, and %d are possible"), value->label, places->len, MAX_LISTENERS);
      /* The library does not need to report it, too. */
      g_ptr_array_set_size (places, MAX_LISTENERS);
    }
  for (guint i = 0; i < places->len; i++)
    g_ptr_array_add (listeners, make_listener (places->pdata[i]));
  set_listeners (gateway, listeners);
}

/* The sockets of one item, which stands for all that nothing uses yet, or for all of a name. */
static void
take_sockets (const OptionValue  *value,
              const char         *item,
              GPtrArray         **sockets,
              Problems           *problems)
{
  GError *error = NULL;

  *sockets = activation_take_all (options_get_activated (item), &error);
  if (*sockets != NULL)
    return;
  g_prefix_error (&error, "%s: ", value->label);
  problems_take (problems, value->place, error);
}

/**
 * gateway_listen_take_sockets:
 * @value: the option, which is valid
 *
 * Sets the properties again with the sockets of the service manager that the option names, or if it has no value with
 * all of them.
 */
void
gateway_listen_take_sockets (const OptionValue *value,
                             TcpGateway        *gateway,
                             Problems          *problems)
{
  static char *const all[] = { (char *) OPTIONS_ACTIVATED, NULL };
  g_autoptr (GPtrArray) listeners = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) places = read_items (value, problems);
  char *const *items = value->list;
  g_autofree GPtrArray **sockets = NULL;
  guint n, next = 0;

  if (items == NULL && activation_has_sockets ())
    items = all;
  n = items != NULL ? g_strv_length ((char **) items) : 0;
  sockets = g_new0 (GPtrArray *, n);
  /* Those without a name are for the item without one. */
  for (guint i = 0; i < n; i++)
    if (options_is_activated (items[i]) && options_get_activated (items[i]) != NULL)
      take_sockets (value, items[i], &sockets[i], problems);
  for (guint i = 0; i < n; i++)
    if (options_is_activated (items[i]) && options_get_activated (items[i]) == NULL)
      take_sockets (value, items[i], &sockets[i], problems);

  for (guint i = 0; i < n; i++)
    if (sockets[i] != NULL)
      g_ptr_array_extend_and_steal (listeners, sockets[i]);
    else if (!options_is_activated (items[i]))
      g_ptr_array_add (listeners, make_listener (places->pdata[next++]));
  set_listeners (G_OBJECT (gateway), listeners);
}
