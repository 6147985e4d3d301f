/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/refusal.h"

#include <libsoup/soup.h>
#include <string.h>
#include <tcptunnel/tcptunnel.h>

void
tcp_refusal_clear (TcpRefusal *self)
{
  g_clear_pointer (&self->limit, g_free);
  g_clear_pointer (&self->text, g_free);
  g_clear_pointer (&self->detail, g_free);
}

/* Always returns FALSE. */
gboolean
tcp_refuse (TcpRefusal *self,
            guint       status,
            const char *format,
            ...)
{
  va_list args;

  va_start (args, format);
  tcp_refusal_clear (self);
  *self = (TcpRefusal) { .status = status, .text = g_strdup_vprintf (format, args) };
  va_end (args);

  return FALSE;
}

static const char *
get_phrase (const TcpRefusal *self)
{
  if (self->phrase != NULL)
    return self->phrase;
  switch (self->status)
    {
    case TCP_STATUS_UPGRADE_REQUIRED:
      return "Upgrade Required";
    case TCP_STATUS_HEAD_TOO_LARGE:
      return "Request Header Fields Too Large";
    default:
      return soup_status_get_phrase (self->status);
    }
}

/* The header that an answer with this status must have. */
static const char *
get_header (guint status)
{
  switch (status)
    {
    case SOUP_STATUS_UNAUTHORIZED:
      return "WWW-Authenticate: Bearer";
    case SOUP_STATUS_METHOD_NOT_ALLOWED:
      return "Allow: GET";
    case TCP_STATUS_UPGRADE_REQUIRED:
      return "Upgrade: websocket";
    case SOUP_STATUS_SERVICE_UNAVAILABLE:
      return "Retry-After: 5";
    default:
      return NULL;
    }
}

static void
add_header (GString    *answer,
            const char *header)
{
  if (header != NULL)
    g_string_append_printf (answer, "%s\r\n", header);
}

/* Formats the whole answer. The connection ends after it, since data that the client sent behind its request was not
 * examined. */
char *
tcp_refusal_format (const TcpRefusal *self)
{
  GString *answer = g_string_new (NULL);

  g_string_printf (answer, "HTTP/1.1 %u %s", self->status, get_phrase (self));
  if (self->limit != NULL)
    g_string_append_printf (answer, " (%s)", self->limit);
  g_string_append (answer, "\r\nServer: libtcptunnel/" TCP_TUNNEL_VERSION "\r\n");
  add_header (answer, get_header (self->status));
  add_header (answer, self->header);
  g_string_append_printf (answer,
                          "Content-Type: text/plain; charset=utf-8\r\n"
                          "Content-Length: %" G_GSIZE_FORMAT "\r\n"
                          "Connection: close\r\n"
                          "\r\n"
                          "%s\n",
                          strlen (self->text) + 1, self->text);
  return g_string_free (answer, FALSE);
}
