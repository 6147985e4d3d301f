/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/target.h"

/* The targets that a gateway keeps. No name is resolved here. */

#define OWN "own.example:1"
#define REMEMBERED 256

/* Looks up a target and leaves it unused, like one whose connections were made long ago. */
static TcpTarget *
look_at (TcpTargetBook *book,
         const char    *text)
{
  guint16 port;
  TcpTarget *target = tcp_target_book_get (book, text, FALSE, &port);

  tcp_target_unref (target);
  return target;
}

static TcpTarget *
look_at_number (TcpTargetBook *book,
                guint          i)
{
  g_autofree char *text = g_strdup_printf ("n%u.example:1", i);

  return look_at (book, text);
}

/* One name is one target, in whatever spelling and with whatever port it is requested. */
static void
test_one_host (void)
{
  static const struct {
    const char *text;
    guint16 port;
  } cases[] = { { "db.lab:5432", 5432 }, { "DB.lab:5432", 5432 }, { "db.LAB:1", 1 }, { "Db.Lab:65535", 65535 } };
  TcpTargetBook *book = tcp_target_book_new (0);
  guint16 port;
  g_autoptr (TcpTarget) first = tcp_target_book_get (book, cases[0].text, FALSE, &port);
  g_autoptr (TcpTarget) own = tcp_target_book_get (book, OWN, TRUE, &port);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TcpTarget) target = tcp_target_book_get (book, cases[i].text, FALSE, &port);

      g_assert_true (target == first);
      g_assert_cmpuint (port, ==, cases[i].port);
    }
  g_assert_true (look_at (book, "OWN.example:2") == own);
  g_assert_true (own != first);
  tcp_target_book_free (book);
}

/* An address in brackets is one as well, and is not resolved. */
static void
test_address (void)
{
  TcpTargetBook *book = tcp_target_book_new (0);
  guint16 port;
  g_autoptr (TcpTarget) target = tcp_target_book_get (book, "[::1]:80", FALSE, &port);
  g_autoptr (GSocketConnectable) where = tcp_target_get (target, port);

  g_assert_true (G_IS_INET_SOCKET_ADDRESS (where));
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (where)), ==, 80);
  g_assert_true (look_at (book, "[::1]:5432") == target);
  tcp_target_book_free (book);
}

/* The target that was not requested for the longest time makes room for a new one, and no other does. */
static void
test_oldest_goes (void)
{
  TcpTargetBook *book = tcp_target_book_new (0);
  guint16 port;
  g_autoptr (TcpTarget) own = tcp_target_book_get (book, OWN, TRUE, &port);
  TcpTarget *targets[REMEMBERED];

  for (guint i = 0; i < REMEMBERED; i++)
    targets[i] = look_at_number (book, i);
  look_at_number (book, 0);
  look_at (book, "new.example:1");
  for (guint i = 0; i < REMEMBERED; i++)
    if (i != 1)
      g_assert_true (look_at_number (book, i) == targets[i]);
  g_assert_true (look_at (book, OWN) == own);
  tcp_target_book_free (book);
}

/* A target in use is kept, however many others are requested. */
static void
test_used_stay (void)
{
  TcpTargetBook *book = tcp_target_book_new (0);
  g_autoptr (GPtrArray) used = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_target_unref);

  for (guint i = 0; i < 2 * REMEMBERED; i++)
    g_ptr_array_add (used, tcp_target_ref (look_at_number (book, i)));
  for (guint i = 0; i < 2 * REMEMBERED; i++)
    g_assert_true (look_at_number (book, i) == used->pdata[i]);
  g_ptr_array_set_size (used, REMEMBERED / 2);
  for (guint i = 0; i < 2 * REMEMBERED; i++)
    look_at_number (book, 2 * REMEMBERED + i);
  for (guint i = 0; i < used->len; i++)
    g_assert_true (look_at_number (book, i) == used->pdata[i]);
  tcp_target_book_free (book);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/target/one-host", test_one_host);
  g_test_add_func ("/target/address", test_address);
  g_test_add_func ("/target/oldest-goes", test_oldest_goes);
  g_test_add_func ("/target/used-stay", test_used_stay);
  return g_test_run ();
}
