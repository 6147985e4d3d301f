/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/reverse-ports.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

static TcpReversePorts *
parse (const char *first,
       const char *second)
{
  const char *patterns[] = { first, second, NULL };
  g_autoptr (GError) error = NULL;
  TcpReversePorts *ports = tcp_reverse_ports_new (patterns, &error);

  g_assert_no_error (error);
  return ports;
}

static void
assert_listens_at (TcpReversePorts *ports,
                   guint16          port,
                   const char      *wanted)
{
  g_autoptr (GSocketAddress) address = tcp_reverse_ports_get_address (ports, port);
  g_autofree char *text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (address));

  g_assert_cmpstr (text, ==, wanted);
}

static void
test_parse (void)
{
  g_autoptr (TcpReversePorts) none = tcp_reverse_ports_new (NULL, NULL);
  g_autoptr (TcpReversePorts) ports = parse ("[::]:8000-8001", "0.0.0.0:22");
  g_autoptr (TcpReversePorts) last = parse ("65535", NULL);

  g_assert_true (tcp_reverse_ports_is_empty (none));
  g_assert_cmpuint (tcp_reverse_ports_get_next (none, 0), ==, 0);
  g_assert_false (tcp_reverse_ports_is_empty (ports));
  g_assert_cmpuint (tcp_reverse_ports_get_next (ports, 0), ==, 22);
  g_assert_cmpuint (tcp_reverse_ports_get_next (ports, 22), ==, 8000);
  g_assert_cmpuint (tcp_reverse_ports_get_next (ports, 8000), ==, 8001);
  g_assert_cmpuint (tcp_reverse_ports_get_next (ports, 8001), ==, 0);
  assert_listens_at (ports, 22, "0.0.0.0:22");
  assert_listens_at (ports, 8001, "[::]:8001");
  assert_listens_at (last, 65535, "127.0.0.1:65535");
  g_assert_cmpuint (tcp_reverse_ports_get_next (last, 65535), ==, 0);
}

static void
test_refused (void)
{
  static const char *const bad[][2] = {
    { "", NULL }, { "0", NULL }, { "65536", NULL }, { "2-1", NULL }, { "1-", NULL }, { "-1", NULL }, { "1-2-3", NULL },
    { "localhost:1", NULL }, { ":1", NULL }, { "127.1:1", NULL }, { "::1:1", NULL }, { "1,2", NULL },
    { "1-5", "5" }, { "7", "0.0.0.0:1-9" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const char *patterns[] = { bad[i][0], bad[i][1], NULL };
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", bad[i][0]);
      g_assert_null (tcp_reverse_ports_new (patterns, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
    }
}

/* Claims: of two owners, all on one thread, which is that of the test's own for what follows. */

typedef struct
{
  TcpReversePorts *ports;
  TcpReverseClaim *claims[4];
  guint granted[4];
  guint wanted[4];
} Book;

static Book book;

static void
on_granted (TcpReverseClaim *claim,
            gpointer         user_data)
{
  book.granted[GPOINTER_TO_UINT (user_data)]++;
}

static void
on_wanted (TcpReverseClaim *claim,
           gpointer         user_data)
{
  book.wanted[GPOINTER_TO_UINT (user_data)]++;
}

static TcpReverseResult
claim (guint          n,
       guint16        port,
       TcpQuotaShare *owner,
       gboolean       waits,
       TcpIoThread   *thread)
{
  static const TcpReverseClaimCallbacks callbacks = { .granted = on_granted, .wanted = on_wanted };
  TcpReverseResult result;

  book.claims[n] = tcp_reverse_ports_claim (book.ports, port, owner, waits, thread, &callbacks, GUINT_TO_POINTER (n),
                                            &result);
  g_assert_true ((book.claims[n] != NULL) == (result == TCP_REVERSE_GRANTED || result == TCP_REVERSE_WAITING));
  return result;
}

static void
give_up (guint n)
{
  g_clear_pointer (&book.claims[n], tcp_reverse_claim_free);
}

static TcpQuotaShare shares[2] = { { .max = 3 }, { .max = 3 } };
static TcpQuotaShare *const alice = &shares[0], *const bob = &shares[1];
static TcpIoThread *thread;

static void
begin_claims (gpointer data)
{
  g_assert_cmpint (claim (0, 5, alice, TRUE, thread), ==, TCP_REVERSE_FORBIDDEN);
  g_assert_cmpint (claim (0, 10, alice, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  g_assert_false (tcp_reverse_claim_is_wanted (book.claims[0]));
  g_assert_cmpint (claim (1, 10, bob, TRUE, thread), ==, TCP_REVERSE_IN_USE);
  g_assert_cmpint (claim (1, 10, alice, FALSE, thread), ==, TCP_REVERSE_IN_USE);
  g_assert_cmpint (claim (1, 10, alice, TRUE, thread), ==, TCP_REVERSE_WAITING);
  g_assert_cmpint (claim (2, 10, alice, TRUE, thread), ==, TCP_REVERSE_WAITING);
  g_assert_true (tcp_reverse_claim_is_wanted (book.claims[0]));
  g_assert_cmpint (claim (3, 11, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
}

/* One that waited gives up, and the next has it. */
static void
hand_over (gpointer data)
{
  g_assert_cmpuint (book.wanted[0], ==, 2);
  g_assert_cmpuint (book.granted[1], ==, 0);
  give_up (1);
  give_up (0);
}

static void
hand_over_in_vain (gpointer data)
{
  g_assert_cmpuint (book.granted[1], ==, 0);
  g_assert_cmpuint (book.granted[2], ==, 1);
  g_assert_cmpint (claim (1, 10, alice, TRUE, thread), ==, TCP_REVERSE_WAITING);
  give_up (2);
  /* Before it could be told. */
  give_up (1);
  give_up (3);
}

static void
check_nothing_left (gpointer data)
{
  g_assert_cmpuint (book.granted[1], ==, 0);
  g_assert_cmpint (claim (0, 10, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  give_up (0);
}

static void
test_claims (void)
{
  thread = tcp_io_thread_acquire (NULL);
  book.ports = parse ("10-11", NULL);
  /* Each behind what the one before has caused. */
  tcp_io_thread_invoke_sync (thread, begin_claims, NULL);
  tcp_io_thread_invoke_sync (thread, hand_over, NULL);
  tcp_io_thread_invoke_sync (thread, hand_over_in_vain, NULL);
  tcp_io_thread_invoke_sync (thread, check_nothing_left, NULL);
  tcp_reverse_ports_free (book.ports);
  tcp_io_thread_release (thread);
}

/* None of two owners has all. One that waits takes no place, and whoever has waited has that of the one before. */
static void
fill (gpointer data)
{
  g_assert_cmpint (claim (0, 10, alice, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (1, 11, alice, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (2, 12, alice, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (3, 13, alice, TRUE, thread), ==, TCP_REVERSE_OWN_FULL);
  g_assert_cmpint (claim (3, 10, alice, TRUE, thread), ==, TCP_REVERSE_WAITING);
  give_up (0);
  g_assert_cmpuint (alice->used, ==, 3);
  g_assert_cmpint (claim (0, 13, alice, TRUE, thread), ==, TCP_REVERSE_OWN_FULL);
  give_up (1);
  g_assert_cmpint (claim (0, 11, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (1, 13, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  give_up (2);
  g_assert_cmpint (claim (2, 12, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  give_up (3);
  g_assert_cmpint (claim (3, 10, bob, TRUE, thread), ==, TCP_REVERSE_OWN_FULL);
  give_up (2);
  give_up (1);
  /* Of what is free one is for the other. */
  tcp_quota_set_aside (tcp_reverse_ports_get_quota (book.ports), 2, (TcpQuotaShare *[]) { alice, bob }, 2);
  g_assert_cmpint (claim (1, 10, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  bob->max = 4;
  g_assert_cmpint (claim (2, 12, bob, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (3, 13, bob, TRUE, thread), ==, TCP_REVERSE_SET_ASIDE);
  g_assert_cmpint (claim (3, 13, alice, TRUE, thread), ==, TCP_REVERSE_GRANTED);
  for (guint i = 0; i < G_N_ELEMENTS (book.claims); i++)
    give_up (i);
  g_assert_cmpuint (alice->used + bob->used, ==, 0);
}

static void
test_shares (void)
{
  thread = tcp_io_thread_acquire (NULL);
  book = (Book) { .ports = parse ("10-13", NULL) };
  tcp_io_thread_invoke_sync (thread, fill, NULL);
  tcp_reverse_ports_free (book.ports);
  tcp_io_thread_release (thread);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reverse-ports/parse", test_parse);
  g_test_add_func ("/reverse-ports/refused", test_refused);
  g_test_add_func ("/reverse-ports/claims", test_claims);
  g_test_add_func ("/reverse-ports/shares", test_shares);
  return g_test_run ();
}
