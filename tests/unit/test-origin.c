/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/networks.h"
#include "gateway/origin.h"

#define SECOND G_TIME_SPAN_SECOND

/* This many failures at once have no consequence. */
#define FREE 20

/* This many addresses are kept for their failures. */
#define REMEMBERED 1024

static TcpOrigin *
get (TcpOrigins *origins,
     guint       number)
{
  g_autofree char *text = g_strdup_printf ("127.0.%u.%u", number / 256, number % 256);
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);

  return tcp_origins_get (origins, address, FALSE);
}

static void
test_same (void)
{
  TcpOrigins *origins = tcp_origins_new ();
  TcpOrigin *first = get (origins, 1);

  g_assert_cmpstr (first->name, ==, "127.0.0.1");
  g_assert_true (get (origins, 1) == first);
  g_assert_true (get (origins, 2) != first);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 2);
  tcp_origins_release (origins, first, 0);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 2);
  tcp_origins_release (origins, first, 0);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 1);
  tcp_origins_free (origins);
}

static void
test_failures (void)
{
  TcpOrigins *origins = tcp_origins_new ();
  TcpOrigin *origin = get (origins, 1);
  gint64 before = 0;

  for (guint i = 0; i < FREE; i++)
    g_assert_cmpint (tcp_origin_fail (origin, SECOND), ==, 0);
  for (guint i = 0; i < 5; i++)
    {
      gint64 delay = tcp_origin_fail (origin, SECOND);

      g_assert_cmpint (delay, >, before);
      before = delay;
    }
  for (guint i = 0; i < 1000; i++)
    g_assert_cmpint (tcp_origin_fail (origin, SECOND), <=, SECOND);
  g_assert_cmpint (tcp_origin_fail (origin, SECOND), ==, SECOND);

  /* One failure per second is forgiven, however many there were. */
  g_assert_cmpint (tcp_origin_fail (origin, 11 * SECOND), <, SECOND);
  g_assert_cmpint (tcp_origin_fail (origin, 100 * SECOND), ==, 0);
  tcp_origins_free (origins);
}

/* A new connection does not reset the failures. */
static void
test_memory (void)
{
  TcpOrigins *origins = tcp_origins_new ();
  TcpOrigin *origin = get (origins, 1);

  for (guint i = 0; i <= FREE; i++)
    tcp_origin_fail (origin, 0);
  tcp_origins_release (origins, origin, 0);
  origin = get (origins, 1);
  g_assert_cmpint (tcp_origin_fail (origin, 0), >, 0);
  tcp_origins_release (origins, origin, 0);

  /* An address is dropped once its failures are forgiven. */
  tcp_origins_release (origins, get (origins, 2), 100 * SECOND);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 0);
  tcp_origins_free (origins);
}

static void
fill (TcpOrigins *origins,
      guint       first,
      gboolean    known)
{
  for (guint i = first; i < first + 3 * REMEMBERED; i++)
    {
      TcpOrigin *origin = get (origins, i);

      tcp_origin_fail (origin, 0);
      origin->known = known;
      tcp_origins_release (origins, origin, 0);
    }
}

/* Addresses with wrong tokens do not displace those with valid ones. */
static void
test_bound (void)
{
  TcpOrigins *origins = tcp_origins_new ();

  fill (origins, 0, FALSE);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, REMEMBERED);
  fill (origins, 10000, TRUE);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 2 * REMEMBERED);
  fill (origins, 20000, FALSE);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 2 * REMEMBERED);
  g_assert_true (get (origins, 10000 + 3 * REMEMBERED - 1)->known);
  g_assert_false (get (origins, 10000)->known);
  tcp_origins_free (origins);
}

/* An address that has sent a valid token is kept without a time limit. */
static void
test_known (void)
{
  TcpOrigins *origins = tcp_origins_new ();
  TcpOrigin *origin = get (origins, 1);

  origin->known = TRUE;
  tcp_origins_release (origins, origin, 0);
  tcp_origins_release (origins, get (origins, 2), 10000 * SECOND);
  g_assert_true (get (origins, 1)->known);
  g_assert_false (get (origins, 2)->known);
  tcp_origins_free (origins);
}

static void
check_name (const char *text,
            gboolean    trusted,
            const char *name)
{
  TcpOrigins *origins = tcp_origins_new ();
  g_autoptr (GSocketAddress) remote = g_inet_socket_address_new_from_string (text, 1234);
  g_autoptr (GInetAddress) address = tcp_address_get (remote);

  g_assert_cmpstr (tcp_origins_get (origins, address, trusted)->name, ==, name);
  tcp_origins_free (origins);
}

static void
test_names (void)
{
  check_name ("192.0.2.1", FALSE, "192.0.2.1");
  check_name ("::ffff:192.0.2.1", FALSE, "192.0.2.1");
  check_name ("2001:db8:1:2:3:4:5:6", FALSE, "2001:db8:1:2::/64");
  check_name ("2001:db8:1:2:ffff::1", FALSE, "2001:db8:1:2::/64");
  check_name ("2001:db8:1:3::1", FALSE, "2001:db8:1:3::/64");
  check_name ("192.0.2.1", TRUE, "192.0.2.1");
  check_name ("2001:db8:1:3::1", TRUE, "2001:db8:1:3::1");
}

static TcpOrigin *
get_by_text (TcpOrigins *origins,
             const char *text,
             gboolean    trusted)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);

  return tcp_origins_get (origins, address, trusted);
}

/* A trusted proxy does not make its neighbours in the network trusted, whichever of them came first. */
static void
test_trusted (void)
{
  TcpOrigins *origins = tcp_origins_new ();
  TcpOrigin *early = get_by_text (origins, "2001:db8::2", FALSE);
  TcpOrigin *proxy = get_by_text (origins, "2001:db8::1", TRUE);
  TcpOrigin *late = get_by_text (origins, "2001:db8::3", FALSE);

  g_assert_true (proxy->trusted);
  g_assert_false (early->trusted);
  g_assert_true (late == early);
  g_assert_true (get_by_text (origins, "2001:db8::1", TRUE) == proxy);
  g_assert_cmpuint (proxy->pending, ==, 2);

  /* It is trusted again when it returns. */
  tcp_origins_release (origins, proxy, 0);
  tcp_origins_release (origins, proxy, 0);
  g_assert_cmpuint (tcp_origins_get_size (origins), ==, 1);
  g_assert_true (get_by_text (origins, "2001:db8::1", TRUE)->trusted);
  tcp_origins_free (origins);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/origin/names", test_names);
  g_test_add_func ("/origin/trusted", test_trusted);
  g_test_add_func ("/origin/same", test_same);
  g_test_add_func ("/origin/failures", test_failures);
  g_test_add_func ("/origin/memory", test_memory);
  g_test_add_func ("/origin/known", test_known);
  g_test_add_func ("/origin/bound", test_bound);
  return g_test_run ();
}
