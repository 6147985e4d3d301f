/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/text.h"

#include <string.h>

static void
check (const char *said,
       gssize length,
       const char *shown)
{
  g_autofree char *text = tcp_text_from_peer (said, length < 0 ? strlen (said) : (gsize) length);

  g_assert_cmpstr (text, ==, shown);
}

static void
test_harmless (void)
{
  check ("", -1, "");
  check ("Not Found", -1, "Not Found");
  check ("nicht möglich, 不可能, 🙂", -1, "nicht möglich, 不可能, 🙂");
}

/* Line breaks, colours, the title of a terminal. */
static void
test_controls (void)
{
  check ("a\nerror: b\r\t", -1, "a\\x0aerror: b\\x0d\\x09");
  check ("\033[31mred\033]0;title\a", -1, "\\x1b[31mred\\x1b]0;title\\x07");
  check ("a\0b", 3, "a\\x00b");
  check ("\x7f", -1, "\\x7f");
  check ("\xc2\x80\xc2\x9b" "31m\xc2\x85", -1, "\\u0080\\u009b31m\\u0085");
}

static void
test_lines_and_directions (void)
{
  const gunichar harmful[] = { 0x2028, 0x2029, 0x200e, 0x200f, 0x061c, 0x202a, 0x202b, 0x202c, 0x202d,
                               0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0x200b, 0xfeff };

  for (guint i = 0; i < G_N_ELEMENTS (harmful); i++)
    {
      char said[16] = "a";
      g_autofree char *shown = g_strdup_printf ("a\\u%04xb", harmful[i]);
      int n = g_unichar_to_utf8 (harmful[i], said + 1);

      said[1 + n] = 'b';
      check (said, n + 2, shown);
    }
}

static void
test_not_utf8 (void)
{
  check ("\xff\xfe!", -1, "\\xff\\xfe!");
  check ("\xc3", -1, "\\xc3");
  check ("\xed\xa0\x80", -1, "\\xed\\xa0\\x80");
  check ("\xf0\x9f\x99", -1, "\\xf0\\x9f\\x99");
}

static void
test_length (void)
{
  g_autofree char *fits = g_strnfill (256, 'x');
  g_autofree char *wide = NULL;
  g_autofree char *text = NULL;
  g_autofree char *huge = g_strnfill (1 << 20, '\n');
  g_autofree char *short_of = NULL;
  GString *many = g_string_new ("x");

  check (fits, -1, fits);
  /* The text is cut between characters. */
  for (guint i = 0; i < 100; i++)
    g_string_append (many, "不");
  wide = g_string_free (many, FALSE);
  text = tcp_text_from_peer (wide, strlen (wide));
  g_assert_true (g_utf8_validate (text, -1, NULL));
  g_assert_true (g_str_has_suffix (text, "不…"));
  g_assert_cmpuint (strlen (text), ==, 1 + 85 * 3 + 3);

  short_of = tcp_text_from_peer (huge, 1 << 20);
  g_assert_true (g_str_has_suffix (short_of, "\\x0a…"));
  g_assert_cmpuint (strlen (short_of), <=, 256 + 3);
}

static void
test_tokens (void)
{
  tcp_text_add_secret ("s3cret+token/of=them");
  check ("Bearer s3cret+token/of=them is wrong", -1, "Bearer [token] is wrong");
  check ("s3cret+token/of=thems3cret+token/of=them", -1, "[token]");
  check ("S3CRET+TOKEN/OF=THEM", -1, "[token]");
  check ("s3cret%2Btoken%2Fof%3Dthem", -1, "[token]");
  check ("s3cret%2btoken%2fof%3dthem", -1, "[token]");
  check ("czNjcmV0K3Rva2VuL29mPXRoZW0=", -1, "[token]=");
  /* The token with all characters escaped, and the base64 of "Bearer s3cret+token/of=them" and of
   * ":s3cret+token/of=them:!". */
  check ("%73%33%63%72%65%74%2B%74%6F%6B%65%6E%2F%6F%66%3D%74%68%65%6D", -1, "[token]");
  check ("QmVhcmVyIHMzY3JldCt0b2tlbi9vZj10aGVt", -1, "QmVhcmVyIH[token]");
  check ("eHk6czNjcmV0K3Rva2VuL29mPXRoZW0=", -1, "eHk6[token]=");
  check ("dTpzM2NyZXQrdG9rZW4vb2Y9dGhlbQ==", -1, "dTp[token]==");
  /* The beginning, the end and the middle of the token; but not every few characters. */
  check ("s3cret+to…", -1, "[token]…");
  check ("ken/of=them", -1, "[token]");
  check ("token", -1, "token");
  /* A token where the text is cut. */
  {
    g_autofree char *filler = g_strnfill (250, '.');
    g_autofree char *said = g_strconcat (filler, "s3cret+token/of=them", NULL);
    g_autofree char *text = tcp_text_from_peer (said, strlen (said));

    g_assert_null (strstr (text, "s3"));
  }

  /* Two tunnels have the token, then one, then none. */
  tcp_text_add_secret ("s3cret+token/of=them");
  tcp_text_remove_secret ("s3cret+token/of=them");
  check ("s3cret+token/of=them", -1, "[token]");
  tcp_text_remove_secret ("s3cret+token/of=them");
  check ("s3cret+token/of=them", -1, "s3cret+token/of=them");
  tcp_text_remove_secret ("s3cret+token/of=them");

  /* A token this short is not hidden, as that would make every text unreadable. */
  tcp_text_add_secret ("a");
  check ("a path", -1, "a path");
  tcp_text_remove_secret ("a");
}

/* A secret of many kilobytes, and one that consists of the same character throughout. */
static void
test_long_secrets (void)
{
  g_autofree char *same = g_strnfill (64 * 1024, 'a');
  g_autofree char *many = g_strnfill (1024, 'A');
  GString *digits = g_string_new (NULL);

  for (guint i = 0; i < 16 * 1024; i++)
    g_string_append_printf (digits, "%u.", i);
  tcp_text_add_secret (digits->str);
  tcp_text_add_secret (same);

  check ("(12345.12346.12347.)", -1, "([token])");
  check ("(0.1.2.3.|16382.16383.)", -1, "([token]|[token])");
  check ("12346.x12346.", -1, "12346.x12346.");
  check (many, -1, "[token]");
  check ("bAAAAAAAb aaaaaaaab", -1, "bAAAAAAAb [token]b");

  tcp_text_remove_secret (same);
  tcp_text_remove_secret (digits->str);
  check (many + 1000, -1, many + 1000);
  g_string_free (digits, TRUE);
}

/* A secret that is shorter than the parts that are searched for is hidden only as a whole. */
static void
test_short_secrets (void)
{
  tcp_text_add_secret ("pa+s5");
  check ("it is pa+s5.", -1, "it is [token].");
  check ("PA+S5PA%2Bs5", -1, "[token]");
  check ("pa+s, a+s5", -1, "pa+s, a+s5");
  check ("pa+", -1, "pa+");
  tcp_text_remove_secret ("pa+s5");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/text/harmless", test_harmless);
  g_test_add_func ("/text/controls", test_controls);
  g_test_add_func ("/text/lines-and-directions", test_lines_and_directions);
  g_test_add_func ("/text/not-utf8", test_not_utf8);
  g_test_add_func ("/text/length", test_length);
  g_test_add_func ("/text/tokens", test_tokens);
  g_test_add_func ("/text/long-secrets", test_long_secrets);
  g_test_add_func ("/text/short-secrets", test_short_secrets);

  return g_test_run ();
}
