/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gone.h"

#include <string.h>

static const char alice[] = "alice", bob[] = "bob", carol[] = "carol";

static void
add (TcpGone    *gone,
     const char *owner,
     char        prefix,
     guint       n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *id = g_strdup_printf ("%c%u", prefix, i);

      tcp_gone_add (gone, owner, id);
    }
}

static void
test_order (void)
{
  g_autoptr (TcpGone) gone = tcp_gone_new (3);

  g_assert_false (tcp_gone_contains (gone, "a0"));
  add (gone, alice, 'a', 3);
  /* The id is the newest from now on. */
  tcp_gone_add (gone, alice, "a0");
  tcp_gone_add (gone, alice, "a3");
  g_assert_true (tcp_gone_contains (gone, "a0"));
  g_assert_false (tcp_gone_contains (gone, "a1"));
  g_assert_true (tcp_gone_contains (gone, "a2"));
  g_assert_true (tcp_gone_contains (gone, "a3"));
}

/* However many ids one owner has, those of the others are kept. */
static void
test_owners (void)
{
  g_autoptr (TcpGone) gone = tcp_gone_new (10);

  add (gone, bob, 'b', 2);
  add (gone, carol, 'c', 1);
  add (gone, alice, 'a', 1000);
  g_assert_true (tcp_gone_contains (gone, "b0"));
  g_assert_true (tcp_gone_contains (gone, "b1"));
  g_assert_true (tcp_gone_contains (gone, "c0"));
  g_assert_false (tcp_gone_contains (gone, "a992"));
  for (guint i = 993; i < 1000; i++)
    {
      g_autofree char *id = g_strdup_printf ("a%u", i);

      g_assert_true (tcp_gone_contains (gone, id));
    }

  /* An owner that used all places has to give some to the others. */
  add (gone, carol, 'd', 2);
  g_assert_true (tcp_gone_contains (gone, "c0"));
  g_assert_true (tcp_gone_contains (gone, "b0"));
  g_assert_false (tcp_gone_contains (gone, "a994"));
  g_assert_true (tcp_gone_contains (gone, "a995"));
}

/* An id that was added by two owners belongs to the last one. */
static void
test_same_id (void)
{
  g_autoptr (TcpGone) gone = tcp_gone_new (3);

  tcp_gone_add (gone, bob, "x");
  tcp_gone_add (gone, alice, "x");
  add (gone, bob, 'b', 2);
  add (gone, carol, 'c', 1);
  g_assert_true (tcp_gone_contains (gone, "x"));
  g_assert_false (tcp_gone_contains (gone, "b0"));
  g_assert_true (tcp_gone_contains (gone, "b1"));
  g_assert_true (tcp_gone_contains (gone, "c0"));
}

static void
on_id (const char *owner,
       const char *id,
       gpointer    user_data)
{
  g_string_append_printf (user_data, "%s:%s ", owner, id);
}

/* The list keeps the name of an owner that has been freed. */
static void
test_list (void)
{
  g_autoptr (TcpGone) gone = tcp_gone_new (3);
  g_autoptr (GString) list = g_string_new (NULL);
  char *owner = g_strdup ("dave");

  add (gone, owner, 'd', 2);
  memset (owner, 'x', strlen (owner));
  g_free (owner);
  tcp_gone_foreach (gone, on_id, list);
  g_assert_cmpstr (list->str, ==, "dave:d0 dave:d1 ");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gone/order", test_order);
  g_test_add_func ("/gone/owners", test_owners);
  g_test_add_func ("/gone/same-id", test_same_id);
  g_test_add_func ("/gone/list", test_list);
  return g_test_run ();
}
