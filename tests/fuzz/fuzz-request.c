/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "base/token.h"
#include "gateway/head.h"
#include "gateway/request.h"
#include "gateway/tokens.h"
#include "gateway/upgrade.h"
#include "tunnel/settings.h"

#include <libsoup/soup.h>
#include <string.h>

/* Text from strangers: the query of a request, a URL, a header, a token file, the head of a request. */

static void
fuzz_query (const char *text)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpRequest) request = tcp_request_parse (text, &refusal);

  if (request == NULL)
    {
      g_assert_cmpuint (refusal.status, ==, 400);
      g_assert_nonnull (refusal.text);
      return;
    }
  if (request->session_id != NULL)
    g_assert_true (tcp_token_is_valid (request->session_id) && strlen (request->session_id) <= 128);
}

static void
fuzz_settings (const char *text)
{
  g_autoptr (TcpTunnelSettings) settings = tcp_settings_new (&tcp_tunnel_settings);
  g_autoptr (GError) error = NULL;
  const char *host;

  settings->remote_uri = g_strdup (text);
  settings->token = g_strdup ("token");
  settings->mode = TCP_TUNNEL_MODE_MULTIPLEXED;
  if (!tcp_tunnel_settings_check (settings, &error))
    {
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
      return;
    }
  g_assert_nonnull (strstr (g_uri_get_query (settings->uri), "mode=multiplexed"));
  g_assert_null (g_uri_get_userinfo (settings->uri));
  g_assert_null (strchr (settings->display, '?'));
  g_assert_true (g_str_has_prefix (settings->display, "ws://") || g_str_has_prefix (settings->display, "wss://"));
  /* The host does not contain a user name. */
  host = strstr (settings->display, "//") + 2;
  g_assert_null (memchr (host, '@', strcspn (host, "/")));
}

static void
fuzz_header (const char *text)
{
  g_autofree char *name = NULL;
  g_autofree char *value = NULL;

  if (!tcp_header_split (text, &name, &value))
    {
      g_assert_null (name);
      g_assert_null (value);
      return;
    }
  g_assert_true (tcp_token_is_valid (name));
  g_assert_cmpuint (strcspn (name, ": ()<>@,;\\\"/[]?={}\t"), ==, strlen (name));
  g_assert_cmpuint (strcspn (value, "\r\n"), ==, strlen (value));
}

static void
fuzz_tokens (const char *text)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  if (tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error))
    g_assert_no_error (error);
  else
    g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_null (tcp_tokens_find (tokens, ""));
  g_assert_null (tcp_tokens_find_header (tokens, "Bearer "));
  tcp_tokens_find_header (tokens, text);
}

/* The answer is a valid HTTP answer, and the last one of its connection. */
static void
check_refusal (const TcpRefusal *refusal)
{
  g_autofree char *answer = tcp_refusal_format (refusal);
  g_autofree char *length = NULL;
  const char *body = strstr (answer, "\r\n\r\n") + 4;

  g_assert_cmpuint (refusal->status, >=, 400);
  g_assert_cmpuint (refusal->status, <, 600);
  g_assert_true (g_utf8_validate (answer, -1, NULL));
  g_assert_null (strpbrk (body, "\r"));
  g_assert_nonnull (strstr (answer, "\r\nConnection: close\r\n"));
  length = g_strdup_printf ("\r\nContent-Length: %" G_GSIZE_FORMAT "\r\n", strlen (body));
  g_assert_nonnull (strstr (answer, length));
}

static void
check_accept (const TcpUpgrade *upgrade,
              const TcpRequest *request)
{
  g_autofree char *answer = tcp_upgrade_accept (upgrade, tcp_request_get_protocol (request)->name, NULL);

  g_assert_true (g_str_has_prefix (answer, "HTTP/1.1 101 "));
  g_assert_cmpuint (strlen (strstr (answer, "\r\n\r\n")), ==, 4);
  g_assert_true (g_utf8_validate (answer, -1, NULL));
}

/* A head that is accepted is a GET without a body for libsoup's parser as well, and contains each of the headers that
 * matter at most once. */
static void
check_headers (const TcpUpgrade *upgrade)
{
  static const char *const singles[] = {
    "Host", "Authorization", "Content-Length", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
  };
  guint seen[G_N_ELEMENTS (singles)] = { 0 };
  SoupMessageHeadersIter iter;
  const char *name, *value;

  soup_message_headers_iter_init (&iter, upgrade->headers);
  while (soup_message_headers_iter_next (&iter, &name, &value))
    for (guint i = 0; i < G_N_ELEMENTS (singles); i++)
      seen[i] += g_ascii_strcasecmp (name, singles[i]) == 0;
  for (guint i = 0; i < G_N_ELEMENTS (singles); i++)
    g_assert_cmpuint (seen[i], <=, 1);

  g_assert_cmpuint (seen[0], ==, 1);
  g_assert_cmpint (soup_message_headers_get_content_length (upgrade->headers), ==, 0);
  g_assert_null (soup_message_headers_get_list (upgrade->headers, "Transfer-Encoding"));
  g_assert_true (g_str_has_prefix (g_uri_get_path (upgrade->uri), "/"));
}

/* Reads, checks and answers a head as the gateway does. */
static void
fuzz_head (const char *data,
           gsize       size)
{
  gsize length;
  g_autofree char *head = NULL;
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpUpgrade) upgrade = NULL;
  g_autoptr (TcpRequest) request = NULL;

  length = tcp_head_get_part (NULL, 0, data, size);
  if (!tcp_head_is_complete (data, length))
    return;

  /* A sanitizer detects any access beyond the end of this copy. */
  head = g_memdup2 (data, length);
  upgrade = tcp_upgrade_parse (head, length, &refusal);
  if (upgrade != NULL)
    {
      check_headers (upgrade);
      if (tcp_upgrade_check (upgrade, &refusal))
        request = tcp_request_parse (g_uri_get_query (upgrade->uri), &refusal);
    }
  if (request != NULL)
    check_accept (upgrade, request);
  else
    check_refusal (&refusal);
}

/* The first byte selects the kind of text. */
int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  g_autofree char *text = NULL;

  if (size == 0)
    return 0;
  text = g_strndup ((const char *) data + 1, size - 1);

  if (data[0] >= 0x80)
    {
      fuzz_head ((const char *) data + 1, size - 1);
      return 0;
    }
  switch (data[0] % 4)
    {
    case 0:
      fuzz_query (text);
      break;
    case 1:
      fuzz_settings (text);
      break;
    case 2:
      fuzz_header (text);
      break;
    default:
      fuzz_tokens (text);
      break;
    }

  return 0;
}
