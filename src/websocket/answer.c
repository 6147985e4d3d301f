/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/answer.h"

#include <string.h>

#define PROTOCOL "HTTP/"

/* RFC 6455, section 1.3 */
#define ACCEPT_SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void
tcp_answer_init (TcpAnswer *self)
{
  *self = (TcpAnswer) { .data = g_byte_array_new () };
}

void
tcp_answer_clear (TcpAnswer *self)
{
  g_clear_pointer (&self->data, g_byte_array_unref);
  g_clear_pointer (&self->phrase, g_free);
  g_clear_pointer (&self->headers, soup_message_headers_unref);
}

static gboolean
malformed (GError     **error,
           const char  *reason)
{
  g_set_error_literal (error, SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING, reason);
  return FALSE;
}

/* The length of the head with its blank line, 0 if it is not complete. A line may end with LF alone, which RFC 9112
 * allows a client to accept. */
static gsize
answer_find_end (TcpAnswer *self)
{
  const guint8 *data = self->data->data;
  const guint8 *end = data + self->data->len;
  const guint8 *line;

  while ((line = memchr (data + self->searched, '\n', self->data->len - self->searched)) != NULL)
    {
      const guint8 *next = line + 1;

      /* The line behind it is checked when it has arrived. */
      self->searched = line - data;
      if (next < end && *next == '\r')
        next++;
      if (next == end)
        return 0;
      if (*next == '\n')
        return next + 1 - data;
      self->searched++;
    }
  self->searched = self->data->len;
  return 0;
}

static gboolean
answer_parse (TcpAnswer  *self,
              gsize       length,
              GError    **error)
{
  g_autofree char *head = NULL;
  SoupHTTPVersion version;

  /* libsoup's parser treats the head as a string in some places. */
  if (memchr (self->data->data, '\0', length) != NULL)
    return malformed (error, "its head contains a NUL");

  head = g_strndup ((const char *) self->data->data, length);
  g_clear_pointer (&self->phrase, g_free);
  g_clear_pointer (&self->headers, soup_message_headers_unref);
  self->headers = soup_message_headers_new (SOUP_MESSAGE_HEADERS_RESPONSE);
  /* without the blank line */
  length -= head[length - 2] == '\r' ? 2 : 1;
  if (!soup_headers_parse_response (head, length, self->headers, &version, &self->status, &self->phrase))
    {
      self->status = 0;
      return malformed (error, "its head is malformed");
    }
  return TRUE;
}

/* Adds received data. TRUE once the head of the final answer is complete: self->data then contains the data behind it.
 * FALSE without an error: more data is needed. */
gboolean
tcp_answer_add (TcpAnswer     *self,
                const guint8  *data,
                gsize          length,
                GError       **error)
{
  g_byte_array_append (self->data, data, length);

  while (self->status == 0)
    {
      gsize end;

      if (memcmp (self->data->data, PROTOCOL, MIN (self->data->len, strlen (PROTOCOL))) != 0)
        return malformed (error, "it does not begin with " PROTOCOL);
      end = answer_find_end (self);
      if (self->size + (end > 0 ? end : self->data->len) > TCP_ANSWER_MAX_SIZE)
        return malformed (error, "its head is too large");
      if (end == 0)
        return FALSE;
      if (!answer_parse (self, end, error))
        return FALSE;

      g_byte_array_remove_range (self->data, 0, end);
      self->searched = 0;
      self->size += end;
      if (self->status == SOUP_STATUS_SWITCHING_PROTOCOLS || !SOUP_STATUS_IS_INFORMATIONAL (self->status))
        return TRUE;

      self->status = 0;
      self->n_informational++;
      if (self->n_informational > TCP_ANSWER_MAX_INFORMATIONAL)
        return malformed (error, "too many informational answers come before it");
    }
  return TRUE;
}

/* Sets the error for a connection that ends before the head is complete. */
void
tcp_answer_end (TcpAnswer  *self,
                GError    **error)
{
  static const char closed[] = "the connection was closed";

  if (self->data->len > 0 || self->size > 0)
    malformed (error, "its head is incomplete");
  else
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, closed);
}

static gboolean
no_websocket (GError     **error,
              const char  *reason)
{
  g_set_error_literal (error, SOUP_WEBSOCKET_ERROR, SOUP_WEBSOCKET_ERROR_BAD_HANDSHAKE, reason);
  return FALSE;
}

/* The value with which a server answers a request with this key; RFC 6455, section 4.2.2. */
char *
tcp_answer_make_accept (const char *key)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA1);
  guint8 digest[20];
  gsize length = sizeof digest;

  g_checksum_update (checksum, (const guchar *) key, -1);
  g_checksum_update (checksum, (const guchar *) ACCEPT_SUFFIX, -1);
  g_checksum_get_digest (checksum, digest, &length);
  return g_base64_encode (digest, length);
}

static gboolean
has_field (TcpAnswer  *self,
           const char *name)
{
  const char *value = soup_message_headers_get_list (self->headers, name);

  return value != NULL && *value != '\0';
}

/* Whether the answer, whose status is 101, makes the connection a WebSocket: RFC 6455, section 4.1. @subprotocols,
 * which may be NULL, were offered, and the server may choose one; no extension was offered. */
gboolean
tcp_answer_check (TcpAnswer          *self,
                  const char         *key,
                  const char *const  *subprotocols,
                  GError            **error)
{
  const char *chosen = soup_message_headers_get_list (self->headers, "Sec-WebSocket-Protocol");
  g_autofree char *accept = tcp_answer_make_accept (key);

  if (!soup_message_headers_header_contains (self->headers, "Upgrade", "websocket") ||
      !soup_message_headers_header_contains (self->headers, "Connection", "Upgrade"))
    return no_websocket (error, "it switches to another protocol");
  if (g_strcmp0 (soup_message_headers_get_list (self->headers, "Sec-WebSocket-Accept"), accept) != 0)
    return no_websocket (error, "its Sec-WebSocket-Accept does not belong to the request");
  if (subprotocols == NULL && has_field (self, "Sec-WebSocket-Protocol"))
    return no_websocket (error, "it chooses a subprotocol, and none was offered");
  if (chosen != NULL && subprotocols != NULL && !g_strv_contains (subprotocols, chosen))
    return no_websocket (error, "it chooses a subprotocol that was not offered");
  if (has_field (self, "Sec-WebSocket-Extensions"))
    return no_websocket (error, "it uses an extension, and none was offered");
  return TRUE;
}
