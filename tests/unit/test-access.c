/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "test-util.h"
#include "websocket/frame-reader.h"

static void
check_lines (const char *text,
             guint       size)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;

  tcp_access_add_lines (access, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tcp_access_get_size (access), ==, size);
}

static void
test_lines (void)
{
  static const char text[] = "# who may come in\n"
                             "alice:first\n"
                             "\n"
                             "  bob  :  second  \r\n"
                             "   # carol:third\n"
                             "dave:with:colons:in:it\n"
                             "alice:another";
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;

  tcp_access_add_lines (access, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tcp_access_get_size (access), ==, 4);
  g_assert_cmpstr (tcp_access_find (access, "first")->name, ==, "alice");
  g_assert_cmpstr (tcp_access_find (access, "another")->name, ==, "alice");
  g_assert_cmpstr (tcp_access_find (access, "second")->name, ==, "bob");
  g_assert_cmpstr (tcp_access_find (access, "with:colons:in:it")->name, ==, "dave");
  g_assert_null (tcp_access_find (access, "third"));
  g_assert_null (tcp_access_find (access, "alice"));

  check_lines ("", 0);
  check_lines ("\n\n\n", 0);
  check_lines ("#", 0);
  check_lines ("a:b", 1);
}

/* The message names the line, not what is in it. */
static void
check_bad_line (const char *text,
                const char *where)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_access_add_lines (access, text, strlen (text), "/the/file", &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "/the/file"));
  g_assert_nonnull (strstr (error->message, where));
  g_assert_null (strstr (error->message, "s3cret"));
}

static void
test_bad_lines (void)
{
  check_bad_line ("s3cret", "line 1:");
  check_bad_line ("alice:fine\n\n:s3cret\n", "line 3:");
  check_bad_line ("alice:fine\n  :s3cret\n", "line 2:");
  check_bad_line ("alice:\n", "line 1:");
  check_bad_line ("alice:s3cret s3cret\n", "line 1:");
  check_bad_line ("alice:s3cret\ts3cret\n", "line 1:");
  check_bad_line ("alice:s3cret\xc3\xa9\n", "line 1:");
  check_bad_line ("alice:s3cret\x01\n", "line 1:");
  check_bad_line ("alice:fine\nbob:s3cret\xff\n", "line 2:");
  check_bad_line ("alice:s3cret\nbob:s3cret\n", "line 2:");
}

/* Some editors begin a file with a byte order mark, which is not of the first name. */
static void
test_byte_order_mark (void)
{
  static const char text[] = "\xef\xbb\xbf" "alice:first\n";
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;

  tcp_access_add_lines (access, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tcp_access_find (access, "first")->name, ==, "alice");
  check_lines ("\xef\xbb\xbf", 0);
  check_lines ("\xef\xbb\xbf#\n", 0);
  /* Elsewhere it is a character. */
  check_bad_line ("alice:first\nbob:\xef\xbb\xbfs3cret\n", "line 2:");
}

/* The lines behind it would else be ignored without a word. */
static void
test_zero_byte (void)
{
  static const char text[] = "alice:first\nbob:s3cret\0\ncarol:third\n";
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_access_add_lines (access, text, sizeof text - 1, "/the/file", &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "/the/file, line 2:"));
  g_assert_null (strstr (error->message, "s3cret"));
}

/* With a search through all for each it would take minutes, which is more than the suite's
 * timeout. */
static void
test_many (void)
{
  const guint count = test_is_quick () ? 20000 : 300000;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;
  gint64 start;

  for (guint i = 0; i < count; i++)
    g_string_append_printf (text, "name-%u:token-%u-of-many\n", i, i);
  start = g_get_monotonic_time ();
  tcp_access_add_lines (access, text->str, text->len, "tokens", &error);
  g_assert_no_error (error);
  g_test_message ("%u ms", (guint) ((g_get_monotonic_time () - start) / 1000));
  g_assert_cmpuint (tcp_access_get_size (access), ==, count);
  for (guint i = 0; i < count; i += 1000)
    {
      g_autofree char *token = g_strdup_printf ("token-%u-of-many", i);
      g_autofree char *name = g_strdup_printf ("name-%u", i);

      g_assert_cmpstr (tcp_access_find (access, token)->name, ==, name);
    }
  g_assert_null (tcp_access_find (access, "token-x-of-many"));
}

static void
test_same_token (void)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (tcp_access_add (access, "alice", "s3cret", &error));
  /* Rotating tokens may leave one twice. */
  g_assert_true (tcp_access_add (access, "alice", "s3cret", &error));
  g_assert_no_error (error);
  g_assert_false (tcp_access_add (access, "bob", "s3cret", &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "alice"));
  g_assert_nonnull (strstr (error->message, "bob"));
  g_assert_null (strstr (error->message, "s3cret"));
  g_assert_cmpstr (tcp_access_find (access, "s3cret")->name, ==, "alice");
}

static void
test_find (void)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();
  g_autofree char *long_token = g_strnfill (100000, 'x');
  g_autofree char *longer = g_strconcat (long_token, "x", NULL);

  g_assert_null (tcp_access_find (access, "a"));
  g_assert_true (tcp_access_add (access, "alice", "token", NULL));
  g_assert_true (tcp_access_add (access, "bob", long_token, NULL));

  g_assert_cmpstr (tcp_access_find (access, "token")->name, ==, "alice");
  g_assert_cmpstr (tcp_access_find (access, long_token)->name, ==, "bob");
  g_assert_null (tcp_access_find (access, longer));
  g_assert_null (tcp_access_find (access, long_token + 1));
  g_assert_null (tcp_access_find (access, ""));
  g_assert_null (tcp_access_find (access, "toke"));
  g_assert_null (tcp_access_find (access, "tokens"));
  g_assert_null (tcp_access_find (access, "Token"));
  g_assert_null (tcp_access_find (access, "uoken"));
  g_assert_null (tcp_access_find (access, "tokeo"));
}

static void
test_header (void)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();

  g_assert_true (tcp_access_add (access, "alice", "token", NULL));
  g_assert_cmpstr (tcp_access_find_header (access, "Bearer token")->name, ==, "alice");
  g_assert_cmpstr (tcp_access_find_header (access, "bearer token")->name, ==, "alice");
  g_assert_cmpstr (tcp_access_find_header (access, "BEARER token")->name, ==, "alice");
  g_assert_cmpstr (tcp_access_find_header (access, "Bearer    token")->name, ==, "alice");
  g_assert_null (tcp_access_find_header (access, NULL));
  g_assert_null (tcp_access_find_header (access, ""));
  g_assert_null (tcp_access_find_header (access, "Bearer"));
  g_assert_null (tcp_access_find_header (access, "Bearer "));
  g_assert_null (tcp_access_find_header (access, "token"));
  g_assert_null (tcp_access_find_header (access, "Basic token"));
  g_assert_null (tcp_access_find_header (access, "Bearertoken"));
  g_assert_null (tcp_access_find_header (access, "Bearer TOKEN"));
  g_assert_null (tcp_access_find_header (access, "Bearer token, token"));
}

/* However small the part of one is, it can receive a whole message. */
static void
test_small_part (void)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();
  TcpGatewaySettings settings = { .common.max_connections = 10, .max_dials = 10, .max_memory = 1 << 30,
                                  .max_principal_memory = 1 << 22 };
  TcpBudgetPool *pools[TCP_N_MEMORY_KINDS];
  g_autoptr (TcpBudget) budget = NULL;
  TcpPrincipal *alice;
  TcpBudgetShare share;

  tcp_access_add (access, "alice", "first", NULL);
  tcp_access_add (access, "bob", "second", NULL);
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    pools[i] = tcp_budget_pool_new (settings.max_memory / 24, 1);
  tcp_access_share_out (access, &settings, 10, pools);
  alice = tcp_access_find (access, "first");
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), <=, settings.max_principal_memory / 24);

  budget = tcp_budget_new (alice->memory[TCP_MEMORY_INPUT], NULL);
  tcp_budget_share_init (&share, budget, NULL, NULL);
  g_assert_true (tcp_budget_share_has_room (&share, TCP_FRAME_READER_SIZE));
  tcp_budget_share_clear (&share);
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_unref (pools[i]);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/access/lines", test_lines);
  g_test_add_func ("/access/bad-lines", test_bad_lines);
  g_test_add_func ("/access/byte-order-mark", test_byte_order_mark);
  g_test_add_func ("/access/zero-byte", test_zero_byte);
  g_test_add_func ("/access/many", test_many);
  g_test_add_func ("/access/small-part", test_small_part);
  g_test_add_func ("/access/same-token", test_same_token);
  g_test_add_func ("/access/find", test_find);
  g_test_add_func ("/access/header", test_header);
  return g_test_run ();
}
