/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/proxy-request.h"

#include <string.h>

/* The result of one request. */
typedef struct
{
  TcpProxyStep step;
  gsize used;
  GByteArray *output;
  char *target;
  char *problem;
} Outcome;

static void
outcome_clear (Outcome *self)
{
  g_clear_pointer (&self->output, g_byte_array_unref);
  g_free (self->target);
  g_free (self->problem);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Outcome, outcome_clear)

/* Feeds the request in pieces of @piece bytes. */
static Outcome
ask (const TcpProxyClass *class,
     const guint8        *data,
     gsize                length,
     gsize                piece)
{
  g_auto (TcpProxyRequest) request = { 0 };
  Outcome outcome = { 0 };

  tcp_proxy_request_init (&request, class);
  while (outcome.step == TCP_PROXY_MORE && outcome.used < length)
    {
      gsize n = MIN (piece, length - outcome.used);
      gsize used;

      outcome.step = tcp_proxy_request_receive (&request, data + outcome.used, n, &used);
      g_assert_cmpuint (used, <=, n);
      if (outcome.step == TCP_PROXY_MORE)
        g_assert_cmpuint (used, ==, n);
      outcome.used += used;
    }
  g_assert_true ((outcome.step == TCP_PROXY_ASKED) == (request.target != NULL));
  g_assert_true ((outcome.step == TCP_PROXY_BAD) == (request.problem != NULL));
  outcome.output = g_byte_array_ref (request.output);
  outcome.target = g_strdup (request.target);
  outcome.problem = g_strdup (request.problem);
  return outcome;
}

/* Checks a request however it is cut into pieces, with data behind it. */
static void
check (const TcpProxyClass *class,
       const void          *data,
       gsize                length,
       TcpProxyStep         step,
       const char          *target,
       const void          *output,
       gsize                output_length)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, data, length);
  g_byte_array_append (bytes, (const guint8 *) "early data", 10);
  for (gsize piece = 1; piece <= bytes->len; piece++)
    {
      g_auto (Outcome) outcome = ask (class, bytes->data, step == TCP_PROXY_MORE ? length : bytes->len, piece);

      g_assert_cmpint (outcome.step, ==, step);
      g_assert_cmpstr (outcome.target, ==, target);
      if (step == TCP_PROXY_ASKED)
        g_assert_cmpuint (outcome.used, ==, length);
      if (output != NULL)
        g_assert_cmpmem (outcome.output->data, MIN (outcome.output->len, output_length), output, output_length);
    }
}

/* SOCKS5 */

#define BYTES(...) (const guint8[]) { __VA_ARGS__ }, sizeof ((const guint8[]) { __VA_ARGS__ })
#define check_socks(step, target, output, ...) \
  check_socks_bytes (BYTES (__VA_ARGS__), step, target, output, sizeof output - 1)
#define WELCOME "\x05\x00"
#define REPLY(code) "\x05" code "\x00\x01\x00\x00\x00\x00\x00\x00"

static void
check_socks_bytes (const guint8 *data,
                   gsize         length,
                   TcpProxyStep  step,
                   const char   *target,
                   const char   *output,
                   gsize         output_length)
{
  check (&tcp_proxy_socks, data, length, step, target, output, output_length);
}

static void
test_socks (void)
{
  check_socks (TCP_PROXY_ASKED, "10.0.0.1:80", WELCOME, 5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80);
  check_socks (TCP_PROXY_ASKED, "10.0.0.1:80", WELCOME, 5, 3, 2, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80);
  check_socks (TCP_PROXY_ASKED, "db:5432", WELCOME, 5, 1, 0, 5, 1, 0, 3, 2, 'd', 'b', 0x15, 0x38);
  check_socks (TCP_PROXY_ASKED, "db:5432", WELCOME, 5, 1, 0, 5, 1, 0, 3, 3, 'd', 'b', '.', 0x15, 0x38);
  check_socks (TCP_PROXY_ASKED, "10.0.0.1:1", WELCOME, 5, 1, 0, 5, 1, 0, 3, 8, '1', '0', '.', '0', '.', '0', '.', '1', 0, 1);
  check_socks (TCP_PROXY_ASKED, "[fd00::1]:65535", WELCOME,
               5, 1, 0, 5, 1, 0, 4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff);
  /* An IPv4 address within IPv6. */
  check_socks (TCP_PROXY_ASKED, "10.0.0.1:80", WELCOME,
               5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1, 0, 80);
  /* A name that is not ASCII. */
  check_socks (TCP_PROXY_ASKED, "xn--bcher-kva:80", WELCOME, 5, 1, 0, 5, 1, 0, 3, 7, 'b', 0xc3, 0xbc, 'c', 'h', 'e', 'r', 0, 80);
  check_socks (TCP_PROXY_MORE, NULL, WELCOME, 5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0);
  check_socks (TCP_PROXY_MORE, NULL, "", 5, 2, 0);
}

static void
test_socks_refusals (void)
{
  /* Wrong methods and versions. */
  check_socks (TCP_PROXY_BAD, NULL, "\x05\xff", 5, 1, 2);
  check_socks (TCP_PROXY_BAD, NULL, "\x05\xff", 5, 0);
  check_socks (TCP_PROXY_BAD, NULL, "\x00\x5b\x00\x00\x00\x00\x00\x00", 4, 1, 0, 80, 10, 0, 0, 1, 0);
  check_socks (TCP_PROXY_BAD, NULL, "", 'G', 'E', 'T', ' ');
  check_socks (TCP_PROXY_BAD, NULL, "", 0x16, 3, 1);
  /* Wrong requests. */
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x01"), 5, 1, 0, 4, 1, 0, 1, 10, 0, 0, 1, 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x01"), 5, 1, 0, 5, 1, 1, 1, 10, 0, 0, 1, 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x07"), 5, 1, 0, 5, 2, 0, 1, 10, 0, 0, 1, 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x07"), 5, 1, 0, 5, 3, 0, 1, 10, 0, 0, 1, 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x08"), 5, 1, 0, 5, 1, 0, 2);
  /* Impossible targets. */
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x04"), 5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 0);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x04"), 5, 1, 0, 5, 1, 0, 3, 0, 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x04"), 5, 1, 0, 5, 1, 0, 3, 3, 'd', 0, 'b', 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x04"), 5, 1, 0, 5, 1, 0, 3, 3, 'd', ':', '1', 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x04"), 5, 1, 0, 5, 1, 0, 3, 4, '0', 'x', '7', 'f', 0, 80);
  check_socks (TCP_PROXY_BAD, NULL, WELCOME REPLY ("\x04"), 5, 1, 0, 5, 1, 0, 3, 2, 0xff, 0xfe, 0, 80);
}

static void
check_socks_answer (TcpProxyOutcome outcome,
                    guint8          reply)
{
  g_auto (TcpProxyRequest) request = { 0 };
  const guint8 expected[] = { 5, reply, 0, 1, 0, 0, 0, 0, 0, 0 };

  tcp_proxy_request_init (&request, &tcp_proxy_socks);
  request.class->answer (&request, outcome, "for people");
  g_assert_cmpmem (request.output->data, request.output->len, expected, sizeof expected);
}

static void
test_socks_answers (void)
{
  check_socks_answer (TCP_PROXY_CONNECTED, 0);
  check_socks_answer (TCP_PROXY_UNAVAILABLE, 1);
  check_socks_answer (TCP_PROXY_FORBIDDEN, 2);
  check_socks_answer (TCP_PROXY_UNREACHABLE, 4);
  check_socks_answer (TCP_PROXY_REFUSED, 5);
  check_socks_answer (TCP_PROXY_TIMED_OUT, 6);
}

/* HTTP CONNECT */

#define check_http(text, step, target, output) \
  check (&tcp_proxy_http, text, sizeof text - 1, step, target, output, sizeof output - 1)
#define check_bad(text, status) check_http (text, TCP_PROXY_BAD, NULL, "HTTP/1.1 " status "\r\n")

static void
test_http (void)
{
  check_http ("CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n", TCP_PROXY_ASKED, "web:443", "");
  check_http ("CONNECT web:443 HTTP/1.0\r\n\r\n", TCP_PROXY_ASKED, "web:443", "");
  check_http ("CONNECT WEB.example.:443 HTTP/1.1\r\nHost:\r\nX-Y: \tz\r\n\r\n", TCP_PROXY_ASKED, "web.example:443", "");
  check_http ("CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n", TCP_PROXY_ASKED, "10.0.0.1:80", "");
  check_http ("CONNECT [fd00:0::1]:80 HTTP/1.1\r\n\r\n", TCP_PROXY_ASKED, "[fd00::1]:80", "");
  check_http ("CONNECT [::ffff:10.0.0.1]:80 HTTP/1.1\r\n\r\n", TCP_PROXY_ASKED, "10.0.0.1:80", "");
  check_http ("CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r", TCP_PROXY_MORE, NULL, "");
}

static void
test_http_refusals (void)
{
  check_bad ("\x16\x03\x01", "400 Bad Request");
  check_bad ("\x05\x01", "400 Bad Request");
  check_bad ("\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443 HTTP/1.1\n\n", "400 Bad Request");
  check_bad ("CONNECT web:443 HTTP/1.1\r\nA: \0\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443 HTTP/1.1\r\n folded: 1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443 HTTP/1.1\r\nA : b\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443 HTTP/1.1\r\nA: b\rc\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT  web:443 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443 HTTP/1.1 \r\n\r\n", "400 Bad Request");
  check_bad ("CON(ECT web:443 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web: HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:0 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT web:443/ HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT me@web:443 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT http://web:443 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT fd00::1:80 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT [web]:80 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT []:80 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("CONNECT 0x7f.1:80 HTTP/1.1\r\n\r\n", "400 Bad Request");
  check_bad ("PRI * HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported");
  check_bad ("GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n", "405 Method Not Allowed\r\nAllow: CONNECT");
  check_bad ("GET / HTTP/1.1\r\nHost: web\r\n\r\n", "405 Method Not Allowed\r\nAllow: CONNECT");
  check_bad ("connect web:443 HTTP/1.1\r\n\r\n", "405 Method Not Allowed");
}

/* A head that never ends is not kept. */
static void
test_http_endless (void)
{
  g_auto (TcpProxyRequest) request = { 0 };
  g_autofree char *piece = g_strnfill (1000, 'x');
  TcpProxyStep step = TCP_PROXY_MORE;
  gsize total = 0, used;

  tcp_proxy_request_init (&request, &tcp_proxy_http);
  for (; step == TCP_PROXY_MORE && total < 100000; total += used)
    step = tcp_proxy_request_receive (&request, (const guint8 *) piece, 1000, &used);
  g_assert_cmpint (step, ==, TCP_PROXY_BAD);
  g_assert_cmpuint (total, <=, 16384);
  g_byte_array_append (request.output, (const guint8 *) "", 1);
  g_assert_true (g_str_has_prefix ((char *) request.output->data, "HTTP/1.1 431 "));
}

static void
check_http_answer (TcpProxyOutcome outcome,
                   const char     *status,
                   gboolean        words)
{
  g_auto (TcpProxyRequest) request = { 0 };
  const char *text;

  tcp_proxy_request_init (&request, &tcp_proxy_http);
  request.class->answer (&request, outcome, "for people");
  g_byte_array_append (request.output, (const guint8 *) "", 1);
  text = (const char *) request.output->data;
  g_assert_true (g_str_has_prefix (text, status));
  g_assert_nonnull (strstr (text, "\r\n\r\n"));
  g_assert_true (g_str_has_suffix (text, words ? "\r\nContent-Length: 11\r\nConnection: close\r\n\r\nfor people\n"
                                               : "\r\n\r\n"));
}

static void
test_http_answers (void)
{
  check_http_answer (TCP_PROXY_CONNECTED, "HTTP/1.1 200 ", FALSE);
  check_http_answer (TCP_PROXY_FORBIDDEN, "HTTP/1.1 403 ", TRUE);
  check_http_answer (TCP_PROXY_REFUSED, "HTTP/1.1 502 ", TRUE);
  check_http_answer (TCP_PROXY_UNREACHABLE, "HTTP/1.1 502 ", TRUE);
  check_http_answer (TCP_PROXY_UNAVAILABLE, "HTTP/1.1 503 ", TRUE);
  check_http_answer (TCP_PROXY_TIMED_OUT, "HTTP/1.1 504 ", TRUE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/proxy-request/socks", test_socks);
  g_test_add_func ("/proxy-request/socks/refusals", test_socks_refusals);
  g_test_add_func ("/proxy-request/socks/answers", test_socks_answers);
  g_test_add_func ("/proxy-request/http", test_http);
  g_test_add_func ("/proxy-request/http/refusals", test_http_refusals);
  g_test_add_func ("/proxy-request/http/endless", test_http_endless);
  g_test_add_func ("/proxy-request/http/answers", test_http_answers);

  return g_test_run ();
}
