/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/upgrade.h"
#include "ws-client.h"

#include <string.h>

#define GET(target, headers) "GET " target " HTTP/1.1\r\nHost: gateway\r\n" headers "\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"

/* Checks a request completely; returns 101 if it is accepted. */
static guint
run (const char *head,
     TcpRefusal *refusal)
{
  g_autoptr (TcpUpgrade) upgrade = tcp_upgrade_parse (head, strlen (head), refusal);

  g_test_message ("%s", head);
  if (upgrade == NULL || !tcp_upgrade_check (upgrade, refusal))
    {
      g_assert_nonnull (refusal->text);
      return refusal->status;
    }
  g_assert_null (refusal->text);
  return 101;
}

static void
check (const char *head,
       guint       status)
{
  g_auto (TcpRefusal) refusal = { 0 };

  g_assert_cmpuint (run (head, &refusal), ==, status);
}

static void
check_uri (const char *head,
           const char *path,
           const char *query)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpUpgrade) upgrade = tcp_upgrade_parse (head, strlen (head), &refusal);

  g_assert_nonnull (upgrade);
  g_assert_cmpstr (g_uri_get_path (upgrade->uri), ==, path);
  g_assert_cmpstr (g_uri_get_query (upgrade->uri), ==, query);
}

static void
test_target (void)
{
  check_uri (GET ("/", ""), "/", NULL);
  check_uri (GET ("/a%2Fb?d=%20&e", ""), "/a%2Fb", "d=%20&e");
  check_uri (GET ("//a/b", ""), "//a/b", NULL);
  check_uri (GET ("http://other/a?b", ""), "/a", "b");
  check_uri (GET ("https://other", ""), "/", NULL);
  check_uri ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "/", NULL);
  check_uri ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "/", NULL);

  check (GET ("*", WS_UPGRADE), 400);
  check (GET ("a", WS_UPGRADE), 400);
  check (GET ("ftp://h/", WS_UPGRADE), 400);
  check (GET ("/#a", WS_UPGRADE), 400);
  check (GET ("\\", WS_UPGRADE), 400);
  check (GET ("/a b", WS_UPGRADE), 400);
}

static void
test_host (void)
{
  check ("GET / HTTP/1.1\r\n" WS_UPGRADE "\r\n", 400);
  check ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n" WS_UPGRADE "\r\n", 400);
  check ("GET / HTTP/1.1\r\nHost: a/tunnel?\r\n" WS_UPGRADE "\r\n", 400);
  check ("GET / HTTP/1.1\r\nHost: a@b\r\n" WS_UPGRADE "\r\n", 400);
  check ("GET / HTTP/1.1\r\nHost: a b\r\n" WS_UPGRADE "\r\n", 400);
  check ("GET / HTTP/1.1\r\nHost: [\r\n" WS_UPGRADE "\r\n", 400);
  check ("GET / HTTP/1.1\r\nHost: a:b\r\n" WS_UPGRADE "\r\n", 400);
}

static void
test_handshake (void)
{
  check (GET ("/", WS_UPGRADE), 101);
  check (GET ("/", "upgrade: WEBSOCKET\r\nconnection: keep-alive, upgrade\r\n" VERSION KEY), 101);
  check (GET ("/", UPGRADE VERSION), 400);
  check (GET ("/", UPGRADE KEY), 400);
  check (GET ("/", "Upgrade: websocket\r\n" VERSION KEY), 400);
  check (GET ("/", "Upgrade: websocket\r\nConnection: close\r\n" VERSION KEY), 400);
  check (GET ("/", UPGRADE VERSION "Sec-WebSocket-Key: \r\n"), 400);
  check (GET ("/", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), 400);
  check (GET ("/", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"), 400);
  check (GET ("/", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n"), 400);
  check (GET ("/", UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n"), 400);
  check (GET ("/", UPGRADE VERSION KEY KEY), 400);
  check (GET ("/", UPGRADE VERSION VERSION KEY), 400);
  check (GET ("/", UPGRADE UPGRADE VERSION KEY), 400);
  check (GET ("/", WS_UPGRADE "Content-Length: 1\r\n"), 413);
  check (GET ("/", WS_UPGRADE "Transfer-Encoding: zz\r\n"), 501);
}

/* The version is checked before the headers, from which the parser removes those that Connection names. */
static void
test_old (void)
{
  static const char head[] = "GET / HTTP/1.0\r\nHost: h\r\nConnection: X-Forwarded-For\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
  g_auto (TcpRefusal) refusal = { 0 };

  g_assert_null (tcp_upgrade_parse (head, strlen (head), &refusal));
  g_assert_cmpuint (refusal.status, ==, 505);
  g_assert_false (refusal.guessed);
}

static void
test_wanted (void)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpUpgrade) with = tcp_upgrade_parse (GET ("/", WS_UPGRADE), strlen (GET ("/", WS_UPGRADE)), &refusal);
  g_autoptr (TcpUpgrade) without = tcp_upgrade_parse (GET ("/", ""), strlen (GET ("/", "")), &refusal);

  g_assert_true (tcp_upgrade_is_wanted (with));
  g_assert_false (tcp_upgrade_is_wanted (without));
}

/* The answer names the supported version, but only if the version is the reason. */
static void
test_version (void)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autofree char *answer = NULL;

  g_assert_cmpuint (run (GET ("/", UPGRADE KEY "Sec-WebSocket-Version: 8\r\n"), &refusal), ==, 400);
  answer = tcp_refusal_format (&refusal);
  g_assert_nonnull (strstr (answer, "\r\nSec-WebSocket-Version: 13\r\n"));

  g_assert_cmpuint (run (GET ("/", UPGRADE VERSION), &refusal), ==, 400);
  g_free (answer);
  answer = tcp_refusal_format (&refusal);
  g_assert_null (strstr (answer, "Sec-WebSocket-Version"));
}

static void
check_answer (guint       status,
              const char *line)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autofree char *answer = NULL;

  g_assert_false (tcp_refuse (&refusal, status, "No."));
  answer = tcp_refusal_format (&refusal);
  g_assert_true (g_str_has_prefix (answer, "HTTP/1.1 "));
  g_assert_nonnull (strstr (answer, line));
  g_assert_nonnull (strstr (answer, "\r\nConnection: close\r\n"));
  g_assert_nonnull (strstr (answer, "\r\nContent-Length: 4\r\n"));
  g_assert_true (g_str_has_suffix (answer, "\r\n\r\nNo.\n"));
}

static void
test_refusals (void)
{
  check_answer (400, " 400 Bad Request\r\n");
  check_answer (401, "\r\nWWW-Authenticate: Bearer\r\n");
  check_answer (405, "\r\nAllow: GET\r\n");
  check_answer (410, " 410 Gone\r\n");
  check_answer (426, " 426 Upgrade Required\r\n");
  check_answer (426, "\r\nUpgrade: websocket\r\n");
  check_answer (431, " 431 Request Header Fields Too Large\r\n");
  check_answer (503, "\r\nRetry-After: 5\r\n");
}

/* The example of RFC 6455. */
static void
test_accept (void)
{
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpUpgrade) upgrade = tcp_upgrade_parse (GET ("/", WS_UPGRADE), strlen (GET ("/", WS_UPGRADE)), &refusal);
  g_autofree char *plain = tcp_upgrade_accept (upgrade, NULL, NULL);
  g_autofree char *ours = tcp_upgrade_accept (upgrade, "raw", NULL);
  g_autofree char *routed = tcp_upgrade_accept (upgrade, "resumable/1", "gateway-1");

  g_assert_true (g_str_has_prefix (plain, "HTTP/1.1 101 Switching Protocols\r\n"));
  g_assert_nonnull (strstr (plain, "\r\nUpgrade: websocket\r\n"));
  g_assert_nonnull (strstr (plain, "\r\nConnection: Upgrade\r\n"));
  g_assert_nonnull (strstr (plain, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  g_assert_null (strstr (plain, "Tcp-Tunnel-Protocol"));
  g_assert_true (g_str_has_suffix (plain, "\r\n\r\n"));
  g_assert_nonnull (strstr (ours, "\r\nTcp-Tunnel-Protocol: raw\r\n"));
  g_assert_null (strstr (ours, "Tcp-Tunnel-Route"));
  g_assert_nonnull (strstr (routed, "\r\nTcp-Tunnel-Route: gateway-1\r\n"));
  g_assert_true (g_str_has_suffix (routed, "\r\n\r\n"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/upgrade/target", test_target);
  g_test_add_func ("/upgrade/host", test_host);
  g_test_add_func ("/upgrade/handshake", test_handshake);
  g_test_add_func ("/upgrade/old", test_old);
  g_test_add_func ("/upgrade/wanted", test_wanted);
  g_test_add_func ("/upgrade/version", test_version);
  g_test_add_func ("/upgrade/refusals", test_refusals);
  g_test_add_func ("/upgrade/accept", test_accept);
  return g_test_run ();
}
