/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CONNECT of HTTP/1.1: RFC 9110, section 9.3.6, and RFC 9112. */

#include "tunnel/proxy-request.h"

#include <string.h>
#include "base/host-port.h"

/* of the request line and the fields */
#define MAX_HEAD (16 * 1024)

#define CRLF "\r\n"

#define CONNECT_ONLY "this proxy serves CONNECT only: it carries connections, and fetches no pages. " \
  "Have the client use it as a tunnel (curl: --proxytunnel), or use SOCKS5"

static gboolean
is_token (char c)
{
  return g_ascii_isalnum (c) || (c != '\0' && strchr ("!#$%&'*+-.^_`|~", c) != NULL);
}

static void
http_append (TcpProxyRequest *self,
             const char      *status,
             const char      *fields,
             const char      *message)
{
  g_autofree char *text = g_strdup_printf ("HTTP/1.1 %s" CRLF "%sContent-Type: text/plain; charset=utf-8" CRLF
                                           "Content-Length: %zu" CRLF "Connection: close" CRLF CRLF "%s\n",
                                           status, fields, strlen (message) + 1, message);

  g_byte_array_append (self->output, (const guint8 *) text, strlen (text));
}

static TcpProxyStep
http_refuse (TcpProxyRequest *self,
             const char      *status,
             const char      *problem)
{
  tcp_proxy_request_complain (self, "%s", problem);
  http_append (self, status, "", problem);
  return TCP_PROXY_BAD;
}

static TcpProxyStep
http_refuse_malformed (TcpProxyRequest *self)
{
  return http_refuse (self, "400 Bad Request", "its HTTP request is malformed");
}

static TcpProxyStep
http_refuse_method (TcpProxyRequest *self)
{
  tcp_proxy_request_complain (self, "its HTTP request is not CONNECT, and only that is served");
  http_append (self, "405 Method Not Allowed", "Allow: CONNECT" CRLF, CONNECT_ONLY);
  return TCP_PROXY_BAD;
}

/* Returns how many of the bytes belong to the head, if it ends in them; 0 if it does not end there, -1 if it never
 * will. */
static gssize
http_find_end (TcpProxyRequest *self,
               const guint8    *data,
               gsize            length)
{
  gsize before = self->input->len;

  /* The end may have begun in the bytes that were read before. */
  for (gsize i = 0; i < length; i++)
    {
      char last[4] = { 0 };

      if (data[i] == '\0')
        return -1;
      if (data[i] != '\n')
        continue;
      for (gsize j = 0; j < sizeof last && j <= before + i; j++)
        last[3 - j] = j <= i ? data[i - j] : self->input->data[before + i - j];
      if (last[2] != '\r')
        return -1;
      if (memcmp (last, CRLF CRLF, sizeof last) == 0)
        return i + 1;
    }
  return 0;
}

/* A name, a colon, and any characters except control characters. */
static gboolean
is_field (const char *line)
{
  const char *c = line;

  while (is_token (*c))
    c++;
  if (c == line || *c != ':')
    return FALSE;
  for (; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c) && *c != '\t')
      return FALSE;
  return TRUE;
}

static gboolean
http_set_target (TcpProxyRequest *self,
                 const char      *authority)
{
  const char *colon = strrchr (authority, ':');
  gsize length = colon != NULL ? colon - authority : 0;
  guint16 port;

  if (colon == NULL || !tcp_port_parse (colon + 1, strlen (colon + 1), &port))
    return FALSE;
  if (length >= 2 && authority[0] == '[' && colon[-1] == ']')
    return memchr (authority, ':', length) != NULL &&
           tcp_proxy_request_set_name (self, authority + 1, length - 2, port);
  return memchr (authority, ':', length) == NULL && tcp_proxy_request_set_name (self, authority, length, port);
}

static gboolean
is_version (const char *text)
{
  return g_str_has_prefix (text, "HTTP/") && g_ascii_isdigit (text[5]) && text[6] == '.' && g_ascii_isdigit (text[7]) &&
         text[8] == '\0';
}

static TcpProxyStep
http_handle_line (TcpProxyRequest *self,
                  const char      *line)
{
  g_auto (GStrv) parts = g_strsplit (line, " ", -1);

  if (g_strv_length (parts) != 3 || *parts[0] == '\0' || *parts[1] == '\0' || !is_version (parts[2]))
    return http_refuse_malformed (self);
  for (const char *c = parts[0]; *c != '\0'; c++)
    if (!is_token (*c))
      return http_refuse_malformed (self);
  for (const char *c = parts[1]; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      return http_refuse_malformed (self);
  if (parts[2][5] != '1')
    return http_refuse (self, "505 HTTP Version Not Supported", "its HTTP request is not of version 1.1");
  if (strcmp (parts[0], "CONNECT") != 0)
    return http_refuse_method (self);
  if (!http_set_target (self, parts[1]))
    return http_refuse (self, "400 Bad Request", "its HTTP request is for something that is not of the form host:port");
  return TCP_PROXY_ASKED;
}

static TcpProxyStep
http_handle_head (TcpProxyRequest *self)
{
  g_autofree char *head = g_strndup ((const char *) self->input->data, self->input->len - strlen (CRLF CRLF));
  g_auto (GStrv) lines = g_strsplit (head, CRLF, -1);

  for (guint i = 1; lines[0] != NULL && lines[i] != NULL; i++)
    if (!is_field (lines[i]))
      return http_refuse_malformed (self);
  return http_handle_line (self, lines[0] != NULL ? lines[0] : "");
}

static TcpProxyStep
http_receive (TcpProxyRequest *self,
              const guint8    *data,
              gsize            length,
              gsize           *used)
{
  gssize end;

  if (length == 0)
    return TCP_PROXY_MORE;
  if (self->input->len == 0 && !is_token (data[0]))
    return http_refuse (self, "400 Bad Request", "it does not speak HTTP");

  end = http_find_end (self, data, length);
  if (end < 0)
    return http_refuse_malformed (self);
  if (self->input->len + (end > 0 ? (gsize) end : length) > MAX_HEAD)
    return http_refuse (self, "431 Request Header Fields Too Large", "the head of its HTTP request is too long");

  *used = end > 0 ? (gsize) end : length;
  g_byte_array_append (self->input, data, *used);
  return end > 0 ? http_handle_head (self) : TCP_PROXY_MORE;
}

static void
http_answer (TcpProxyRequest *self,
             TcpProxyOutcome  outcome,
             const char      *message)
{
  static const char connected[] = "HTTP/1.1 200 Connection established" CRLF CRLF;
  static const char *const statuses[] = {
    [TCP_PROXY_FORBIDDEN] = "403 Forbidden",
    [TCP_PROXY_REFUSED] = "502 Bad Gateway",
    [TCP_PROXY_UNREACHABLE] = "502 Bad Gateway",
    [TCP_PROXY_TIMED_OUT] = "504 Gateway Timeout",
    [TCP_PROXY_UNAVAILABLE] = "503 Service Unavailable",
  };

  if (outcome == TCP_PROXY_CONNECTED)
    g_byte_array_append (self->output, (const guint8 *) connected, strlen (connected));
  else
    http_append (self, statuses[outcome], "", message);
}

static void
http_time_out (TcpProxyRequest *self)
{
  http_append (self, "408 Request Timeout", "", "the client sent no request in time");
}

const TcpProxyClass tcp_proxy_http = {
  .name = "HTTP CONNECT",
  .receive = http_receive,
  .answer = http_answer,
  .time_out = http_time_out,
};
