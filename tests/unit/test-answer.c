/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/answer.h"

#include "channel-end.h"

#include <string.h>

/* From RFC 6455, section 1.3 */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define LINE "HTTP/1.1 101 Switching Protocols\r\n"
#define OPENED LINE UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n"

/* Adds all of @text in pieces of @step bytes. */
static gboolean
add (TcpAnswer   *answer,
     const char  *text,
     gsize        length,
     gsize        step,
     GError     **error)
{
  g_autoptr (GError) local = NULL;

  tcp_answer_init (answer);
  for (gsize at = 0; at < length; at += step)
    {
      if (tcp_answer_add (answer, (const guint8 *) text + at, MIN (step, length - at), &local))
        {
          at += step;
          if (at < length)
            g_byte_array_append (answer->data, (const guint8 *) text + at, length - at);
          return TRUE;
        }
      if (local != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
    }
  return FALSE;
}

/* The answer has @status, and is followed by @rest, however it is cut into pieces. */
static void
expect_status (const char *text,
               guint       status,
               const char *rest)
{
  for (gsize step = 1; step <= strlen (text); step += step < 8 ? 1 : 1000)
    {
      g_auto (TcpAnswer) answer = { 0 };
      g_autoptr (GError) error = NULL;

      g_assert_true (add (&answer, text, strlen (text), step, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (answer.status, ==, status);
      g_assert_cmpmem (answer.data->data, answer.data->len, rest, strlen (rest));
    }
}

static void
expect_malformed (const char *text,
                  gsize       length,
                  const char *reason)
{
  for (gsize step = 1; step <= length; step += step < 8 ? 1 : 1000)
    {
      g_auto (TcpAnswer) answer = { 0 };
      g_autoptr (GError) error = NULL;

      g_assert_false (add (&answer, text, length, step, &error));
      g_assert_error (error, SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING);
      g_assert_cmpstr (error->message, ==, reason);
      g_assert_cmpuint (answer.status, ==, 0);
    }
}

static void
test_heads (void)
{
  expect_status (OPENED, 101, "");
  expect_status (OPENED "\x82\1x", 101, "\x82\1x");
  expect_status (OPENED "\n\n\r\n", 101, "\n\n\r\n");
  expect_status ("HTTP/1.1 401 No\r\n\r\nbody", 401, "body");
  expect_status ("HTTP/1.0 200\r\nContent-Length: 99999999999\r\n\r\n", 200, "");
  /* Some or all lines end with LF alone. */
  expect_status ("HTTP/1.1 503 Later\nRetry-After: 7\n\nbody", 503, "body");
  expect_status ("HTTP/1.1 503 Later\r\nRetry-After: 7\n\r\nbody", 503, "body");
  expect_status ("HTTP/1.1 503 Later\nRetry-After: 7\r\n\nbody", 503, "body");
  /* Informational answers come before the final one. */
  expect_status ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OPENED "rest", 101, "rest");
}

static void
test_fields (void)
{
  g_auto (TcpAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;
  static const char head[] = "HTTP/1.1 302 Go there\r\nLocation: /a\r\nretry-after:  9 \r\nX-Folded: a\r\n  b\r\n\tc\r\n\r\n";

  g_assert_true (add (&answer, head, strlen (head), 1, &error));
  g_assert_cmpstr (answer.phrase, ==, "Go there");
  g_assert_cmpstr (soup_message_headers_get_one (answer.headers, "Location"), ==, "/a");
  g_assert_cmpstr (soup_message_headers_get_one (answer.headers, "Retry-After"), ==, "9");
  g_assert_cmpstr (soup_message_headers_get_one (answer.headers, "X-Folded"), ==, "a b c");
}

static void
test_malformed (void)
{
  static const char nul[] = "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n";

  expect_malformed ("SSH-2.0-OpenSSH\r\n", 17, "it does not begin with HTTP/");
  expect_malformed ("HTTX", 4, "it does not begin with HTTP/");
  expect_malformed ("\r\nHTTP/1.1 200 OK\r\n\r\n", 21, "it does not begin with HTTP/");
  expect_malformed ("HTTP/1.1 100 Continue\r\n\r\nx", 26, "it does not begin with HTTP/");
  expect_malformed ("HTTP/1.1 zz\r\n\r\n", 15, "its head is malformed");
  expect_malformed ("HTTP/\n\n", 7, "its head is malformed");
  expect_malformed ("HTTP/1.1 99 Low\r\n\r\n", 19, "its head is malformed");
  expect_malformed (nul, sizeof nul - 1, "its head contains a NUL");
}

/* Makes a head of @size bytes. */
static char *
make_head (gsize size)
{
  g_autofree char *filling = g_strnfill (size - strlen ("HTTP/1.1 200 OK\r\nX: \r\n\r\n"), 'x');

  return g_strdup_printf ("HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", filling);
}

static void
test_bounds (void)
{
  g_autofree char *largest = make_head (TCP_ANSWER_MAX_SIZE);
  g_autofree char *too_large = make_head (TCP_ANSWER_MAX_SIZE + 1);
  g_autoptr (GString) many = g_string_new (NULL);
  g_autofree char *last = NULL;

  g_assert_cmpuint (strlen (largest), ==, TCP_ANSWER_MAX_SIZE);
  expect_status (largest, 200, "");
  expect_malformed (too_large, strlen (too_large), "its head is too large");
  /* A head without an end */
  expect_malformed (too_large, TCP_ANSWER_MAX_SIZE + 1, "its head is too large");

  for (guint i = 0; i < TCP_ANSWER_MAX_INFORMATIONAL; i++)
    g_string_append (many, "HTTP/1.1 103 Early Hints\r\n\r\n");
  last = g_strconcat (many->str, OPENED, NULL);
  expect_status (last, 101, "");
  g_string_append (many, "HTTP/1.1 103 Early Hints\r\n\r\n");
  expect_malformed (many->str, many->len, "too many informational answers come before it");
}

static void
test_end (void)
{
  for (gsize length = 0; length < strlen (OPENED); length++)
    {
      g_auto (TcpAnswer) answer = { 0 };
      g_autoptr (GError) error = NULL;

      g_assert_false (add (&answer, OPENED, length, 1, &error));
      g_assert_no_error (error);
      tcp_answer_end (&answer, &error);
      if (length == 0)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
      else
        g_assert_error (error, SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING);
    }
}

static void
test_check (void)
{
  static const struct
  {
    const char *fields;
    const char *reason; /* NULL if it is a WebSocket */
  } cases[] = {
    { UPGRADE "Sec-WebSocket-Accept: " ACCEPT, NULL },
    { "uPGRADE: WebSocket\r\nconnection: keep-alive, UPGRADE\r\nsec-websocket-accept:" ACCEPT "  ", NULL },
    { UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Extensions:", NULL },
    { "Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT, "it switches to another protocol" },
    { "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT, "it switches to another protocol" },
    { "Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: " ACCEPT, "it switches to another protocol" },
    { UPGRADE "X: y", "its Sec-WebSocket-Accept does not belong to the request" },
    { UPGRADE "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "its Sec-WebSocket-Accept does not belong to the request" },
    { UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Accept: " ACCEPT,
      "its Sec-WebSocket-Accept does not belong to the request" },
    { UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: x", "it chooses a subprotocol, and none was offered" },
    { UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Extensions: permessage-deflate",
      "it uses an extension, and none was offered" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (TcpAnswer) answer = { 0 };
      g_autoptr (GError) error = NULL;
      g_autofree char *text = g_strconcat (LINE, cases[i].fields, "\r\n\r\n", NULL);

      g_assert_true (add (&answer, text, strlen (text), strlen (text), &error));
      g_assert_cmpint (tcp_answer_check (&answer, KEY, NULL, &error), ==, cases[i].reason == NULL);
      if (cases[i].reason != NULL)
        {
          g_assert_error (error, SOUP_WEBSOCKET_ERROR, SOUP_WEBSOCKET_ERROR_BAD_HANDSHAKE);
          g_assert_cmpstr (error->message, ==, cases[i].reason);
        }
    }
}

/* RFC 6455, section 4.1: the server chooses one of the subprotocols that were offered, spelled in the same way, or
 * none. */
static void
test_subprotocols (void)
{
  static const char *const offered[] = { "binary", "base64", NULL };
  static const struct
  {
    const char *field;
    gboolean right;
  } cases[] = {
    { "X: y", TRUE },
    { "Sec-WebSocket-Protocol: binary", TRUE },
    { "sec-websocket-protocol:  base64 ", TRUE },
    { "Sec-WebSocket-Protocol: Binary", FALSE },
    { "Sec-WebSocket-Protocol: binary, base64", FALSE },
    { "Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Protocol: binary", FALSE },
    { "Sec-WebSocket-Protocol: chat", FALSE },
    { "Sec-WebSocket-Protocol:", FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (TcpAnswer) answer = { 0 };
      g_autoptr (GError) error = NULL;
      g_autofree char *text = g_strconcat (LINE, UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\n", cases[i].field,
                                           "\r\n\r\n", NULL);

      g_assert_true (add (&answer, text, strlen (text), strlen (text), &error));
      g_assert_cmpint (tcp_answer_check (&answer, KEY, offered, &error), ==, cases[i].right);
      if (!cases[i].right)
        g_assert_cmpstr (error->message, ==, "it chooses a subprotocol that was not offered");
    }
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/answer/heads", test_heads);
  g_test_add_func ("/answer/fields", test_fields);
  g_test_add_func ("/answer/malformed", test_malformed);
  g_test_add_func ("/answer/bounds", test_bounds);
  g_test_add_func ("/answer/end", test_end);
  g_test_add_func ("/answer/check", test_check);
  g_test_add_func ("/answer/subprotocols", test_subprotocols);

  return g_test_run ();
}
