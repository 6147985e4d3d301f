/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/tokens.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "test-util.h"

static void
check_lines (const char *text,
             guint       size)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tcp_tokens_count (tokens), ==, size);
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
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tcp_tokens_count (tokens), ==, 4);
  g_assert_cmpstr (tcp_tokens_find (tokens, "first")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find (tokens, "another")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find (tokens, "second")->name, ==, "bob");
  g_assert_cmpstr (tcp_tokens_find (tokens, "with:colons:in:it")->name, ==, "dave");
  g_assert_null (tcp_tokens_find (tokens, "third"));
  g_assert_null (tcp_tokens_find (tokens, "alice"));

  check_lines ("", 0);
  check_lines ("\n\n\n", 0);
  check_lines ("#", 0);
  check_lines ("a:b", 1);
}

/* The message names the line, not its content. */
static void
check_bad_line (const char *text,
                const char *where)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_tokens_add_lines (tokens, text, strlen (text), "/the/file", &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "/the/file"));
  g_assert_nonnull (strstr (error->message, where));
  g_assert_null (strstr (error->message, "s3cret"));
}

static void
test_bad_lines (void)
{
  check_bad_line ("s3cret", "/the/file:1: ");
  check_bad_line ("alice:fine\n\n:s3cret\n", "/the/file:3: ");
  check_bad_line ("alice:fine\n  :s3cret\n", "/the/file:2: ");
  check_bad_line ("alice:\n", "/the/file:1: ");
  check_bad_line ("alice:s3cret s3cret\n", "/the/file:1: ");
  check_bad_line ("alice:s3cret\ts3cret\n", "/the/file:1: ");
  check_bad_line ("alice:s3cret\xc3\xa9\n", "/the/file:1: ");
  check_bad_line ("alice:s3cret\x01\n", "/the/file:1: ");
  check_bad_line ("alice:fine\nbob:s3cret\xff\n", "/the/file:2: ");
  check_bad_line ("alice:s3cret\nbob:s3cret\n", "/the/file:2: ");
}

/* All errors are reported, as long as they are few. */
static void
test_many_bad_lines (void)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GString) text = g_string_new ("alice:fine\n");
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) lines = NULL;

  for (guint i = 0; i < 25; i++)
    g_string_append_printf (text, "s3cret%u\nalice:fine%u\n", i, i);
  g_assert_false (tcp_tokens_add_lines (tokens, text->str, text->len, "/the/file", &error));
  lines = g_strsplit (error->message, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 21);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *place = g_strdup_printf ("/the/file:%u: ", 2 * i + 2);

      g_assert_true (g_str_has_prefix (lines[i], place));
    }
  g_assert_cmpstr (lines[20], ==, "/the/file: 5 more lines are wrong");
  g_assert_null (strstr (error->message, "s3cret"));
}

/* Some editors begin a file with a byte order mark, which is not part of the first name. */
static void
test_byte_order_mark (void)
{
  static const char text[] = "\xef\xbb\xbf" "alice:first\n";
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tcp_tokens_find (tokens, "first")->name, ==, "alice");
  check_lines ("\xef\xbb\xbf", 0);
  check_lines ("\xef\xbb\xbf#\n", 0);
  /* Elsewhere it is a character. */
  check_bad_line ("alice:first\nbob:\xef\xbb\xbfs3cret\n", "/the/file:2: ");
}

/* A NUL is an error: otherwise the lines behind it would be ignored silently. */
static void
test_zero_byte (void)
{
  static const char text[] = "alice:first\nbob:s3cret\0\ncarol:third\n";
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_tokens_add_lines (tokens, text, sizeof text - 1, "/the/file", &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "/the/file:2:"));
  g_assert_null (strstr (error->message, "s3cret"));
}

/* If each token needed a search through all, this would take minutes, which is more than the timeout of the suite. */
static void
test_many (void)
{
  const guint count = test_is_quick () ? 20000 : 300000;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;
  gint64 start;

  for (guint i = 0; i < count; i++)
    g_string_append_printf (text, "name-%u:token-%u-of-many\n", i, i);
  start = g_get_monotonic_time ();
  tcp_tokens_add_lines (tokens, text->str, text->len, "tokens", &error);
  g_assert_no_error (error);
  g_test_message ("%u ms", (guint) ((g_get_monotonic_time () - start) / 1000));
  g_assert_cmpuint (tcp_tokens_count (tokens), ==, count);
  for (guint i = 0; i < count; i += 1000)
    {
      g_autofree char *token = g_strdup_printf ("token-%u-of-many", i);
      g_autofree char *name = g_strdup_printf ("name-%u", i);

      g_assert_cmpstr (tcp_tokens_find (tokens, token)->name, ==, name);
    }
  g_assert_null (tcp_tokens_find (tokens, "token-x-of-many"));
}

/* A token of which the file has only the hash is accepted. */
static void
test_hashed (void)
{
  static const char text[] =
      "alice:sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90\n"
      "bob : sha256:81B637D8FCD2C6DA6359E6963113A1170DE795E4B725B84D1E0B4CFD9EC58CE9\n"
      "alice:plain\n";
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tcp_tokens_count (tokens), ==, 3);
  g_assert_cmpuint (tcp_tokens_count_names (tokens), ==, 2);
  g_assert_cmpstr (tcp_tokens_find (tokens, "alice")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find (tokens, "bob")->name, ==, "bob");
  g_assert_cmpstr (tcp_tokens_find (tokens, "plain")->name, ==, "alice");
  /* The hash itself is not a valid token. */
  g_assert_null (tcp_tokens_find (tokens, "sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"));
  g_assert_null (tcp_tokens_find (tokens, "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"));

  check_bad_line ("alice:sha256:s3cret\n", "/the/file:1: ");
  check_bad_line ("alice:sha256:\n", "/the/file:1: ");
  check_bad_line ("alice:sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e9\n", "/the/file:1: ");
  check_bad_line ("alice:sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e900\n", "/the/file:1: ");
  check_bad_line ("alice:sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e9g\n", "/the/file:1: ");
  /* The same token, once plain and once hashed. */
  check_bad_line ("alice:bob\nbob:sha256:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\n", "/the/file:2: ");
}

static gint64
get_expiry (TcpTokens *tokens,
            const char *token)
{
  return tcp_tokens_find (tokens, token)->credential.expires;
}

static void
test_expiry (void)
{
  static const char text[] =
      "alice:first expires=2027-01-31T00:00:00Z\n"
      "alice:second\t expires=2027-01-31T02:00:00+02:00 \r\n"
      "alice:third expires=2027-01-31T00:00:00\n"
      "alice:past expires=1999-12-31T23:59:59Z\n"
      "alice:expires=never\n"
      "alice:past expires=1999-12-31T23:59:59Z\n"
      "alice:endless\n";
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_cmpint (get_expiry (tokens, "first"), ==, G_GINT64_CONSTANT (1801353600000000));
  g_assert_cmpint (get_expiry (tokens, "second"), ==, G_GINT64_CONSTANT (1801353600000000));
  g_assert_cmpint (get_expiry (tokens, "third"), ==, G_GINT64_CONSTANT (1801353600000000));
  g_assert_cmpint (get_expiry (tokens, "expires=never"), ==, G_MAXINT64);
  g_assert_true (tcp_credential_has_expired (&tcp_tokens_find (tokens, "past")->credential));
  g_assert_false (tcp_credential_has_expired (&tcp_tokens_find (tokens, "endless")->credential));

  check_bad_line ("alice:first expires=s3cret\n", "/the/file:1: ");
  check_bad_line ("alice:first expires=\n", "/the/file:1: ");
  check_bad_line ("alice:first expires=2027-13-31T00:00:00Z\n", "/the/file:1: ");
  check_bad_line ("alice:first expires=2027-01-31\n", "/the/file:1: ");
  check_bad_line ("alice:first expires=2027-01-31T00:00:00Z expires=2028-01-31T00:00:00Z\n", "/the/file:1: ");
  check_bad_line ("alice:first expired=2027-01-31T00:00:00Z\n", "/the/file:1: ");
  check_bad_line ("alice:first\nalice:first expires=2027-01-31T00:00:00Z\n", "/the/file:2: ");
}

static void
test_names (void)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;
  static const char text[] = "J\xc3\xb6rg M.:first\nalice:second\n";

  tcp_tokens_add_lines (tokens, text, strlen (text), "tokens", &error);
  g_assert_no_error (error);
  g_assert_true (tcp_tokens_have_name (tokens, "J\xc3\xb6rg M."));
  g_assert_true (tcp_tokens_have_name (tokens, "alice"));
  g_assert_false (tcp_tokens_have_name (tokens, "first"));

  /* Names are shown in messages. */
  check_bad_line ("\xff:first\n", "/the/file:1: ");
  check_bad_line ("a\x1b[31m:first\n", "/the/file:1: ");
}

static void
test_same_token (void)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (tcp_tokens_add (tokens, "alice", "s3cret", &error));
  /* When tokens are rotated, one may appear twice. */
  g_assert_true (tcp_tokens_add (tokens, "alice", "s3cret", &error));
  g_assert_no_error (error);
  g_assert_false (tcp_tokens_add (tokens, "bob", "s3cret", &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "alice"));
  g_assert_nonnull (strstr (error->message, "bob"));
  g_assert_null (strstr (error->message, "s3cret"));
  g_assert_cmpstr (tcp_tokens_find (tokens, "s3cret")->name, ==, "alice");
}

static void
test_find (void)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  g_autofree char *long_token = g_strnfill (100000, 'x');
  g_autofree char *longer = g_strconcat (long_token, "x", NULL);

  g_assert_null (tcp_tokens_find (tokens, "a"));
  g_assert_true (tcp_tokens_add (tokens, "alice", "token", NULL));
  g_assert_true (tcp_tokens_add (tokens, "bob", long_token, NULL));

  g_assert_cmpstr (tcp_tokens_find (tokens, "token")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find (tokens, long_token)->name, ==, "bob");
  g_assert_null (tcp_tokens_find (tokens, longer));
  g_assert_null (tcp_tokens_find (tokens, long_token + 1));
  g_assert_null (tcp_tokens_find (tokens, ""));
  g_assert_null (tcp_tokens_find (tokens, "toke"));
  g_assert_null (tcp_tokens_find (tokens, "tokens"));
  g_assert_null (tcp_tokens_find (tokens, "Token"));
  g_assert_null (tcp_tokens_find (tokens, "uoken"));
  g_assert_null (tcp_tokens_find (tokens, "tokeo"));
}

/* A credential that was found among former tokens is still valid only if the new tokens have it with the same
 * name. */
static void
test_find_credential (void)
{
  g_autoptr (TcpTokens) former = tcp_tokens_new ();
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  const TcpCredential *kept, *moved, *gone;

  g_assert_true (tcp_tokens_add (former, "alice", "kept", NULL));
  g_assert_true (tcp_tokens_add (former, "alice", "moved", NULL));
  g_assert_true (tcp_tokens_add (former, "alice", "gone", NULL));
  kept = &tcp_tokens_find (former, "kept")->credential;
  moved = &tcp_tokens_find (former, "moved")->credential;
  gone = &tcp_tokens_find (former, "gone")->credential;

  g_assert_true (tcp_tokens_add (tokens, "alice", "kept", NULL));
  g_assert_true (tcp_tokens_add (tokens, "bob", "moved", NULL));
  g_assert_true (tcp_tokens_find_credential (tokens, kept, "alice") == tcp_tokens_find (tokens, "kept"));
  g_assert_null (tcp_tokens_find_credential (tokens, kept, "bob"));
  g_assert_null (tcp_tokens_find_credential (tokens, moved, "alice"));
  g_assert_null (tcp_tokens_find_credential (tokens, gone, "alice"));
}

static void
test_header (void)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();

  g_assert_true (tcp_tokens_add (tokens, "alice", "token", NULL));
  g_assert_cmpstr (tcp_tokens_find_header (tokens, "Bearer token")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find_header (tokens, "bearer token")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find_header (tokens, "BEARER token")->name, ==, "alice");
  g_assert_cmpstr (tcp_tokens_find_header (tokens, "Bearer    token")->name, ==, "alice");
  g_assert_null (tcp_tokens_find_header (tokens, NULL));
  g_assert_null (tcp_tokens_find_header (tokens, ""));
  g_assert_null (tcp_tokens_find_header (tokens, "Bearer"));
  g_assert_null (tcp_tokens_find_header (tokens, "Bearer "));
  g_assert_null (tcp_tokens_find_header (tokens, "token"));
  g_assert_null (tcp_tokens_find_header (tokens, "Basic token"));
  g_assert_null (tcp_tokens_find_header (tokens, "Bearertoken"));
  g_assert_null (tcp_tokens_find_header (tokens, "Bearer TOKEN"));
  g_assert_null (tcp_tokens_find_header (tokens, "Bearer token, token"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tokens/lines", test_lines);
  g_test_add_func ("/tokens/bad-lines", test_bad_lines);
  g_test_add_func ("/tokens/many-bad-lines", test_many_bad_lines);
  g_test_add_func ("/tokens/byte-order-mark", test_byte_order_mark);
  g_test_add_func ("/tokens/zero-byte", test_zero_byte);
  g_test_add_func ("/tokens/many", test_many);
  g_test_add_func ("/tokens/hashed", test_hashed);
  g_test_add_func ("/tokens/expiry", test_expiry);
  g_test_add_func ("/tokens/names", test_names);
  g_test_add_func ("/tokens/same-token", test_same_token);
  g_test_add_func ("/tokens/find", test_find);
  g_test_add_func ("/tokens/find-credential", test_find_credential);
  g_test_add_func ("/tokens/header", test_header);
  return g_test_run ();
}
