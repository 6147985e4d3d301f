/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/forwarded.h"

#include <string.h>

/* Entries beyond this number are ignored. */
#define MAX_HOPS 32

/* The path through the proxies, from the gateway outward. */
typedef struct
{
  const TcpNetworks *trusted;
  GInetAddress *client; /* the farthest address known so far; nullable */
  guint hops;
  gboolean over; /* the entries left of this one cannot be trusted */
} Walk;

static char *
copy_stripped (const char *text,
               gsize       length)
{
  return g_strstrip (g_strndup (text, length));
}

static gboolean
is_port (const char *text)
{
  gsize length = strspn (text, G_CSET_DIGITS G_CSET_A_2_Z G_CSET_a_2_z "._-");

  return length > 0 && text[length] == '\0';
}

/* Parses an address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, and IPv6 without brackets as
 * well, which X-Forwarded-For may contain. NULL for `unknown`, for a name that hides the address, and for anything
 * else. */
static GInetAddress *
parse_node (const char *text)
{
  const char *end = *text == '[' ? strchr (text, ']') : NULL;
  const char *port = end != NULL ? end + 1 : strchr (text, ':');
  g_autofree char *host = NULL;
  g_autoptr (GInetAddress) address = NULL;

  if (*text == '[' && end == NULL)
    return NULL;
  if (end == NULL && port != NULL && strchr (port + 1, ':') != NULL)
    port = NULL; /* IPv6 */
  if (port != NULL && *port != '\0' && (*port != ':' || !is_port (port + 1)))
    return NULL;

  if (end != NULL)
    host = g_strndup (text + 1, end - text - 1);
  else
    host = port != NULL ? g_strndup (text, port - text) : g_strdup (text);
  address = g_inet_address_new_from_string (host);
  if (address == NULL || (end != NULL && g_inet_address_get_family (address) != G_SOCKET_FAMILY_IPV6))
    return NULL;
  return tcp_address_normalize (address);
}

/* Adds one entry; @node is NULL if it has no address. */
static void
walk_on (Walk       *self,
         const char *node)
{
  g_autoptr (GInetAddress) address = node != NULL ? parse_node (node) : NULL;

  self->over = address == NULL || ++self->hops >= MAX_HOPS || !tcp_networks_contain (self->trusted, address);
  if (address != NULL)
    g_set_object (&self->client, address);
}

/* X-Forwarded-For */

static void
walk_addresses (Walk       *self,
                const char *line)
{
  const char *end = line + strlen (line);

  while (!self->over)
    {
      const char *comma = memrchr (line, ',', end - line);
      const char *begin = comma != NULL ? comma + 1 : line;
      g_autofree char *node = copy_stripped (begin, end - begin);

      /* Empty elements of a list do not count. */
      if (*node != '\0')
        walk_on (self, node);
      if (comma == NULL)
        return;
      end = comma;
    }
}

/* Forwarded */

static const char *
skip_spaces (const char *text)
{
  return text + strspn (text, " \t");
}

/* Reads the value behind a `=`. Returns its end, NULL if it is malformed. */
static const char *
read_value (const char *text,
            GString    *value)
{
  if (*text != '"')
    {
      gsize length = strcspn (text, " \t\",;");

      g_string_append_len (value, text, length);
      return length > 0 ? text + length : NULL;
    }

  for (text++; *text != '"'; text++)
    {
      if (*text == '\\')
        text++;
      if (*text == '\0')
        return NULL;
      g_string_append_c (value, *text);
    }
  return text + 1;
}

/* Reads one element, such as `for=192.0.2.1;proto=https`. Returns its end, at a comma or at the end of the line, NULL
 * if it is malformed. @node is NULL if the element has no `for`. */
static const char *
read_element (const char  *text,
              char       **node)
{
  g_clear_pointer (node, g_free);
  while (TRUE)
    {
      gsize length;
      gboolean is_for;
      g_autoptr (GString) value = g_string_new (NULL);

      text = skip_spaces (text);
      length = strcspn (text, " \t\",;=");
      if (length > 0)
        {
          is_for = length == 3 && g_ascii_strncasecmp (text, "for", 3) == 0;
          if (text[length] != '=' || (is_for && *node != NULL))
            return NULL;
          text = read_value (text + length + 1, value);
          if (text == NULL)
            return NULL;
          if (is_for)
            *node = g_strdup (value->str);
          text = skip_spaces (text);
        }
      if (*text == '\0' || *text == ',')
        return text;
      if (*text != ';')
        return NULL;
      text++;
    }
}

/* Returns the nodes of @line, "" for an element without one; NULL if any element is malformed. */
static GPtrArray *
read_elements (const char *line)
{
  g_autoptr (GPtrArray) nodes = g_ptr_array_new_with_free_func (g_free);

  while (TRUE)
    {
      g_autofree char *node = NULL;
      const char *begin = skip_spaces (line);
      const char *end = read_element (begin, &node);

      if (end == NULL)
        return NULL;
      if (end > begin)
        g_ptr_array_add (nodes, node != NULL ? g_steal_pointer (&node) : g_strdup (""));
      if (*end == '\0')
        return g_steal_pointer (&nodes);
      line = end + 1;
    }
}

static void
walk_elements (Walk       *self,
               const char *line)
{
  g_autoptr (GPtrArray) nodes = read_elements (line);
  const char *comma;

  if (nodes == NULL)
    {
      /* A client has sent a quote without its end, so that the element that the proxy has appended seems to be part of
       * the quoted text. The last element follows the last comma in any case. */
      comma = strrchr (line, ',');
      nodes = comma != NULL ? read_elements (comma + 1) : NULL;
      if (nodes != NULL && nodes->len > 0)
        walk_on (self, nodes->pdata[0]);
      self->over = TRUE;
      return;
    }
  for (guint i = nodes->len; i > 0 && !self->over; i--)
    walk_on (self, nodes->pdata[i - 1]);
}

/* Both headers */

static GInetAddress *
find_in (SoupMessageHeaders *headers,
         const char         *name,
         const TcpNetworks  *trusted,
         void (*walk_line) (Walk *, const char *))
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new ();
  Walk walk = { .trusted = trusted };
  SoupMessageHeadersIter iter;
  const char *field, *value;

  soup_message_headers_iter_init (&iter, headers);
  while (soup_message_headers_iter_next (&iter, &field, &value))
    if (g_ascii_strcasecmp (field, name) == 0)
      g_ptr_array_add (lines, (gpointer) value);
  for (guint i = lines->len; i > 0 && !walk.over; i--)
    walk_line (&walk, lines->pdata[i - 1]);
  return walk.client;
}

/* Finds the client for which a trusted proxy sends a request with @headers: NULL if they name none. FALSE if the two
 * headers name different clients. A proxy writes one of them, and may pass on the other as its client has sent it; it
 * is not possible to find out which is which. */
gboolean
tcp_forwarded_find (SoupMessageHeaders  *headers,
                    const TcpNetworks   *trusted,
                    GInetAddress       **client)
{
  g_autoptr (GInetAddress) first = find_in (headers, "Forwarded", trusted, walk_elements);
  g_autoptr (GInetAddress) second = find_in (headers, "X-Forwarded-For", trusted, walk_addresses);

  *client = NULL;
  if (first != NULL && second != NULL && !g_inet_address_equal (first, second))
    return FALSE;
  if (first != NULL)
    *client = g_steal_pointer (&first);
  else
    *client = g_steal_pointer (&second);
  return TRUE;
}
