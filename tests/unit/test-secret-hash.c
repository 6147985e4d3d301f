/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/secret-hash.h"

/* From the paper by Aumasson and Bernstein, and from their program. */
static void
test_vectors (void)
{
  guint8 bytes[TCP_SIPHASH_KEY_SIZE];

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = i;
  g_assert_cmphex (tcp_siphash (bytes, bytes, 0), ==, G_GUINT64_CONSTANT (0x726fdb47dd0e0e31));
  g_assert_cmphex (tcp_siphash (bytes, bytes, 8), ==, G_GUINT64_CONSTANT (0x93f5f5799a932462));
  g_assert_cmphex (tcp_siphash (bytes, bytes, 15), ==, G_GUINT64_CONSTANT (0xa129ca6149be45e5));
}

/* The hashes of strings that all have the same g_str_hash () differ. */
static void
test_chosen (void)
{
  g_autoptr (GHashTable) hashes = g_hash_table_new (NULL, NULL);
  guint common = 0;

  for (guint i = 0; i < 1024; i++)
    {
      g_autoptr (GString) text = g_string_new (NULL);

      for (guint bit = 0; bit < 10; bit++)
        g_string_append (text, i >> bit & 1 ? "ab" : "bA");
      if (i == 0)
        common = g_str_hash (text->str);
      g_assert_cmpuint (g_str_hash (text->str), ==, common);
      g_assert_cmpuint (tcp_secret_hash (text->str), ==, tcp_secret_hash (text->str));
      g_hash_table_add (hashes, GUINT_TO_POINTER (tcp_secret_hash (text->str)));
    }
  g_assert_cmpuint (g_hash_table_size (hashes), >, 1000);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/secret-hash/vectors", test_vectors);
  g_test_add_func ("/secret-hash/chosen", test_chosen);
  return g_test_run ();
}
