/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/upgrade.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "gateway/head.h"
#include "protocol/resumable-frame.h"
#include "websocket/answer.h"

/* The size of the nonce, in base64 and in bytes. */
#define KEY_LENGTH 24
#define KEY_BYTES 16

void
tcp_upgrade_free (TcpUpgrade *self)
{
  g_clear_pointer (&self->uri, g_uri_unref);
  soup_message_headers_unref (self->headers);
  g_free (self);
}

/* A target without a host is completed with the Host header, which must not contain parts of a path. */
static GUri *
parse_target (const char *target,
              const char *host)
{
  g_autofree char *whole = NULL;

  if (strpbrk (target, "#\\") != NULL || strpbrk (host, "/?#@\\ \t") != NULL)
    return NULL;
  if (*target == '/')
    whole = g_strconcat ("http://", *host != '\0' ? host : "localhost", target, NULL);
  else if (g_ascii_strncasecmp (target, "http://", 7) == 0 || g_ascii_strncasecmp (target, "https://", 8) == 0)
    whole = g_strdup (target);
  return whole != NULL ? g_uri_parse (whole, SOUP_HTTP_URI_FLAGS, NULL) : NULL;
}

/* @head includes its blank line. Returns NULL, and sets @refusal, if it is not a valid request. */
TcpUpgrade *
tcp_upgrade_parse (const char *head,
                   gsize       length,
                   TcpRefusal *refusal)
{
  const char *reason;
  const char *host;
  guint status = tcp_head_check (head, length, &reason);
  g_autofree char *text = NULL;
  g_autofree char *target = NULL;
  g_autoptr (TcpUpgrade) self = NULL;

  if (status != 0)
    {
      tcp_refuse (refusal, status, "%s", reason);
      return NULL;
    }

  self = g_new0 (TcpUpgrade, 1);
  self->headers = soup_message_headers_new (SOUP_MESSAGE_HEADERS_REQUEST);
  /* The parser needs the zero byte, and does not accept the blank line. */
  text = g_strndup (head, length - 2);
  status = soup_headers_parse_request (text, length - 2, self->headers, NULL, &target, NULL);
  host = soup_message_headers_get_one (self->headers, "Host");
  if (status == SOUP_STATUS_OK && host == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "The Host header is missing.");
      return NULL;
    }
  if (status == SOUP_STATUS_OK)
    self->uri = parse_target (target, host);
  if (self->uri == NULL)
    {
      tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "The request line or the Host header is malformed.");
      return NULL;
    }
  return g_steal_pointer (&self);
}

static gboolean
is_key (const char *key)
{
  guchar nonce[KEY_LENGTH];
  int state = 0;
  guint save = 0;

  return key != NULL && strlen (key) == KEY_LENGTH && g_str_has_suffix (key, "==") &&
         strspn (key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == KEY_LENGTH - 2 &&
         g_base64_decode_step (key, KEY_LENGTH, nonce, &state, &save) == KEY_BYTES;
}

gboolean
tcp_upgrade_is_wanted (const TcpUpgrade *self)
{
  return soup_message_headers_header_contains (self->headers, "Upgrade", "websocket");
}

/* Whether the request can be accepted. */
gboolean
tcp_upgrade_check (const TcpUpgrade *self,
                   TcpRefusal       *refusal)
{
  const char *version = soup_message_headers_get_one (self->headers, "Sec-WebSocket-Version");

  if (!soup_message_headers_header_contains (self->headers, "Connection", "Upgrade"))
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "The Connection header does not contain “Upgrade”.");
  if (version == NULL || strcmp (version, "13") != 0)
    {
      tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "Only version 13 of WebSocket is spoken here.");
      refusal->header = "Sec-WebSocket-Version: 13";
      return FALSE;
    }
  if (!is_key (soup_message_headers_get_one (self->headers, "Sec-WebSocket-Key")))
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST, "The Sec-WebSocket-Key header is missing or malformed.");

  return TRUE;
}

/* Formats the answer to a request that was checked. It contains no subprotocol and no extension; @protocol is that of
 * the tunnel, for a client that has listed its protocols, or NULL, and @route the name with which the client must
 * return, or NULL. */
char *
tcp_upgrade_accept (const TcpUpgrade *self,
                    const char       *protocol,
                    const char       *route)
{
  const char *key = soup_message_headers_get_one (self->headers, "Sec-WebSocket-Key");
  g_autofree char *accept = tcp_answer_make_accept (key);
  GString *answer = g_string_new (NULL);

  g_string_printf (answer,
                   "HTTP/1.1 101 Switching Protocols\r\n"
                   "Server: libtcptunnel/" TCP_TUNNEL_VERSION "\r\n"
                   "Upgrade: websocket\r\n"
                   "Connection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: %s\r\n",
                   accept);
  if (protocol != NULL)
    g_string_append_printf (answer, TCP_RESUMABLE_HEADER ": %s\r\n", protocol);
  if (route != NULL)
    g_string_append_printf (answer, TCP_RESUMABLE_ROUTE_HEADER ": %s\r\n", route);
  g_string_append (answer, "\r\n");
  return g_string_free (answer, FALSE);
}
