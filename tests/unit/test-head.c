/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/head.h"

#include <string.h>

/* The end of a head */

/* The end is found however the text is cut. */
static void
check_part (const char *text,
            gsize       end)
{
  gsize size = strlen (text);

  for (gsize first = 0; first < end; first++)
    for (gsize length = 1; length <= size - first; length++)
      {
        g_autofree char *head = g_memdup2 (text, first);
        g_autofree char *data = g_memdup2 (text + first, length);

        g_assert_cmpuint (tcp_head_get_part (head, first, data, length), ==, MIN (length, end - first));
        g_assert_false (tcp_head_is_complete (head, first));
      }
}

static void
test_part (void)
{
  check_part ("\r\n\r\n", 4);
  check_part ("\r\n\r\n\r\n\r\n", 4);
  check_part ("\r\r\n\r\n....", 5);
  check_part ("\r\n\r\r\n\r\n....", 7);
  check_part ("\r\n.\r\n\r\n....", 7);
  check_part ("GET / HTTP/1.1\r\nHost: x\r\n\r\nthe body", 27);
  for (guint i = 0; i < 12; i++)
    {
      g_autofree char *text = g_strdup_printf ("%.*s\r\n\r\nthe body", i, "GET / HTTP/1.1");

      check_part (text, i + 4);
    }
}

/* Each part of a head is examined once. Were it examined in steps of at least the number of missing bytes, a head
 * that consists only of incomplete blank lines would keep the gateway busy for long. */
static void
test_part_of_beginnings (void)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < 1000; i++)
    g_string_append (text, "\r\n\r");
  g_assert_cmpuint (tcp_head_get_part (text->str, 100, text->str + 100, text->len - 100), ==, text->len - 100);
}

/* Heads that are accepted */

#define check_head(text, status) check_bytes (text, sizeof (text) - 1, status)

static void
check_bytes (const char *text,
             gsize       length,
             guint       wanted)
{
  const char *reason = NULL;
  guint status;

  g_test_message ("%s → %u", text, wanted);
  /* The check does not read beyond the end. */
  g_autofree char *exact = g_memdup2 (text, length);

  status = tcp_head_check (exact, length, &reason);
  g_assert_cmpuint (status, ==, wanted);
  if (wanted == 0)
    g_assert_null (reason);
  else
    g_assert_nonnull (reason);
}

#define LINE "GET / HTTP/1.1\r\n"

static void
test_good (void)
{
  check_head (LINE "\r\n", 0);
  check_head (LINE "Host: h\r\n\r\n", 0);
  check_head ("GET /a?b=c HTTP/1.1\r\n\r\n", 0);
  check_head (LINE "Host:h\r\nX: \t y \xc3\xa9 \t\r\nEmpty:\r\n\r\n", 0);
  check_head (LINE "Content-Length: 0\r\n\r\n", 0);
  check_head (LINE "content-length:0 \r\n\r\n", 0);
  check_head (LINE "Cookie: a\r\nCookie: b\r\n\r\n", 0);
}

static void
test_bodies (void)
{
  check_head ("POST / HTTP/1.1\r\n\r\n", 405);
  check_head ("GETS / HTTP/1.1\r\n\r\n", 405);
  check_head ("get / HTTP/1.1\r\n\r\n", 405);
  check_head (LINE "Content-Length: 1\r\n\r\n", 413);
  check_head (LINE "CONTENT-LENGTH: 99999999999999999999\r\n\r\n", 413);
  check_head (LINE "Content-Length: 00\r\n\r\n", 413);
  check_head (LINE "Content-Length: zz\r\n\r\n", 413);
  check_head (LINE "Content-Length:\r\n\r\n", 413);
  check_head (LINE "Content-Length: \t\r\n\r\n", 413);
  check_head (LINE "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400);
  check_head (LINE "Transfer-Encoding: zz\r\n\r\n", 501);
  check_head (LINE "transfer-encoding:chunked\r\n\r\n", 501);
  check_head (LINE "Transfer-Encoding:\r\n\r\n", 501);
  check_head (LINE "Expect: 100-continue\r\n\r\n", 417);
}

/* Heads that different programs would interpret in different ways. */
static void
test_malformed (void)
{
  check_head ("\r\n\r\n", 400);
  check_head ("GET\r\n\r\n", 400);
  check_head ("GET /\r\n\r\n", 400);
  check_head ("GET  HTTP/1.1\r\n\r\n", 400);
  check_head ("GET / x HTTP/1.1\r\n\r\n", 400);
  check_head ("GET / HTTP/1.1 \r\n\r\n", 400);
  check_head (" GET / HTTP/1.1\r\n\r\n", 400);
  check_head ("GET /\0 HTTP/1.1\r\n\r\n", 400);
  check_head ("GET / FTP/1.1\r\n\r\n", 400);
  check_head ("GET / HTTP/1.0\r\n\r\n", 505);
  check_head ("GET / HTTP/1.2\r\n\r\n", 505);
  check_head ("GET / HTTP/2.0\r\n\r\n", 505);
  check_head ("PRI * HTTP/2.0\r\n\r\n", 505);
  check_head (LINE "Host\r\n\r\n", 400);
  check_head (LINE ": h\r\n\r\n", 400);
  check_head (LINE "Host : h\r\n\r\n", 400);
  check_head (LINE " Host: h\r\n\r\n", 400);
  check_head (LINE "X: y\r\n folded\r\n\r\n", 400);
  check_head (LINE "X: y\r\n\tfolded\r\n\r\n", 400);
  check_head (LINE "X: y\nTransfer-Encoding: zz\r\n\r\n", 400);
  check_head (LINE "X: y\rTransfer-Encoding: zz\r\n\r\n", 400);
  check_head (LINE "Transfer-\0Encoding: zz\r\n\r\n", 400);
  check_head (LINE "X: a\0b\r\n\r\n", 400);
  check_head (LINE "X: \033[31m\r\n\r\n", 400);
  check_head (LINE "Host: a\r\nHost: a\r\n\r\n", 400);
  check_head (LINE "Authorization: a\r\nauthorization: b\r\n\r\n", 400);
  check_head (LINE "Upgrade: a\r\nUpgrade: websocket\r\n\r\n", 400);
  check_head (LINE "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n\r\n", 400);
  check_head (LINE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n\r\n", 400);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/head/part", test_part);
  g_test_add_func ("/head/part-of-beginnings", test_part_of_beginnings);
  g_test_add_func ("/head/good", test_good);
  g_test_add_func ("/head/bodies", test_bodies);
  g_test_add_func ("/head/malformed", test_malformed);
  return g_test_run ();
}
