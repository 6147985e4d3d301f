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

static TcpAccount *alice, *bob;
static TcpIoThread *thread;

static void
on_nothing (TcpReverseClaim *claim,
            gpointer         user_data)
{
}

/* A claimant whose callbacks do nothing. */
static TcpReverseClaimant
claimant (TcpAccount *owner)
{
  static const TcpReverseClaimCallbacks callbacks = { .granted = on_nothing, .wanted = on_nothing };

  return (TcpReverseClaimant) { .owner = owner, .thread = thread, .callbacks = &callbacks };
}

/* Claims any port, and checks which one it is. */
static void
assert_next (TcpReversePorts *ports,
             TcpAccount    *owner,
             guint16          wanted,
             GPtrArray       *claims)
{
  TcpReverseClaimant who = claimant (owner);
  TcpReverseResult result;
  TcpReverseClaim *claim = tcp_reverse_ports_claim_any (ports, &who, &result);

  g_assert_cmpuint (claim != NULL ? tcp_reverse_claim_get_port (claim) : 0, ==, wanted);
  if (claim != NULL)
    g_ptr_array_add (claims, claim);
}

static GPtrArray *
claims_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_reverse_claim_free);
}

static void
assert_listens_at (TcpReverseClaim *claim,
                   const char      *wanted)
{
  g_autoptr (GSocketAddress) address = tcp_reverse_claim_get_address (claim);
  g_autofree char *text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (address));

  g_assert_cmpstr (text, ==, wanted);
}

static void
test_parse (void)
{
  g_autoptr (TcpReversePorts) none = tcp_reverse_ports_new (NULL, NULL);
  g_autoptr (TcpReversePorts) ports = parse ("[::]:8000-8001", "0.0.0.0:22");
  g_autoptr (TcpReversePorts) last = parse ("65535", "alice@example.org@[::1]:7");
  g_autoptr (GPtrArray) claims = claims_new ();

  g_assert_true (tcp_reverse_ports_is_empty (none));
  assert_next (none, alice, 0, claims);
  g_assert_false (tcp_reverse_ports_is_empty (ports));
  assert_next (ports, alice, 22, claims);
  assert_next (ports, alice, 8000, claims);
  assert_next (ports, bob, 8001, claims);
  assert_next (ports, alice, 0, claims);
  /* Of the ports that were returned, the one that has been free for longest is the first. */
  g_ptr_array_remove_index (claims, 1);
  g_ptr_array_remove_index (claims, 0);
  assert_next (ports, bob, 8000, claims);
  assert_next (ports, bob, 22, claims);
  assert_listens_at (claims->pdata[0], "[::]:8001");
  assert_listens_at (claims->pdata[2], "0.0.0.0:22");
  assert_next (last, bob, 65535, claims);
  assert_listens_at (claims->pdata[3], "127.0.0.1:65535");
}

/* Some ports are reserved for one name, which gets these first. */
static void
test_names (void)
{
  g_autoptr (TcpReversePorts) ports = parse ("alice@20-21", "10");
  g_autoptr (GPtrArray) claims = claims_new ();
  TcpReverseClaimant first = claimant (alice);
  TcpReverseClaimant second = claimant (bob);
  TcpReverseResult result;

  g_assert_null (tcp_reverse_ports_claim (ports, 20, &second, &result));
  g_assert_cmpint (result, ==, TCP_REVERSE_FORBIDDEN);
  g_ptr_array_add (claims, tcp_reverse_ports_claim (ports, 20, &first, &result));
  g_assert_cmpint (result, ==, TCP_REVERSE_GRANTED);
  assert_next (ports, alice, 21, claims);
  assert_next (ports, bob, 10, claims);
  assert_next (ports, bob, 0, claims);
  assert_next (ports, alice, 0, claims);
}

/* A claim that was refused is recorded, with the ports that it wanted. */
static void
test_missed (void)
{
  g_autoptr (TcpReversePorts) ports = parse ("alice@20", "10-11");
  g_autoptr (GPtrArray) claims = claims_new ();
  TcpReverseClaimant second = claimant (bob);
  gint64 before = g_get_monotonic_time ();
  TcpReverseResult result;

  assert_next (ports, alice, 20, claims);
  assert_next (ports, alice, 10, claims);
  assert_next (ports, alice, 11, claims);
  g_assert_null (tcp_reverse_ports_claim (ports, 10, &second, &result));
  g_assert_cmpint (result, ==, TCP_REVERSE_IN_USE);
  g_assert_false (tcp_reverse_claim_is_missed (claims->pdata[0], before));
  g_assert_true (tcp_reverse_claim_is_missed (claims->pdata[1], before));
  g_assert_false (tcp_reverse_claim_is_missed (claims->pdata[2], before));
  g_assert_false (tcp_reverse_claim_is_missed (claims->pdata[1], g_get_monotonic_time () + 1));
  assert_next (ports, bob, 0, claims);
  g_assert_false (tcp_reverse_claim_is_missed (claims->pdata[0], before));
  g_assert_true (tcp_reverse_claim_is_missed (claims->pdata[2], before));
}

static void
test_refused (void)
{
  static const char *const bad[][2] = {
    { "", NULL }, { "0", NULL }, { "65536", NULL }, { "2-1", NULL }, { "1-", NULL }, { "-1", NULL }, { "1-2-3", NULL },
    { "localhost:1", NULL }, { ":1", NULL }, { "127.1:1", NULL }, { "::1:1", NULL }, { "1,2", NULL },
    { "@1", NULL }, { "a@", NULL }, { "a@b:1", NULL }, { "a@1", "b@1" },
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

/* Claims of two owners, all on one thread. */

typedef struct
{
  TcpReversePorts *ports;
  TcpReverseClaim *claims[20];
  guint granted[20];
  guint wanted[20];
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
claim (guint         n,
       guint16       port,
       TcpAccount *owner)
{
  static const TcpReverseClaimCallbacks callbacks = { .granted = on_granted, .wanted = on_wanted };
  TcpReverseClaimant who = {
    .owner = owner,
    .session = &book.claims[n],
    .thread = thread,
    .callbacks = &callbacks,
    .user_data = GUINT_TO_POINTER (n),
  };
  TcpReverseResult result;

  book.claims[n] = tcp_reverse_ports_claim (book.ports, port, &who, &result);
  g_assert_true ((book.claims[n] != NULL) == (result == TCP_REVERSE_GRANTED || result == TCP_REVERSE_WAITING));
  return result;
}

static void
give_up (guint n)
{
  g_clear_pointer (&book.claims[n], tcp_reverse_claim_free);
}

static void
begin_claims (gpointer data)
{
  g_assert_cmpint (claim (0, 5, alice), ==, TCP_REVERSE_FORBIDDEN);
  g_assert_cmpint (claim (0, 10, alice), ==, TCP_REVERSE_GRANTED);
  g_assert_false (tcp_reverse_claim_is_wanted (book.claims[0]));
  g_assert_cmpint (claim (1, 10, bob), ==, TCP_REVERSE_IN_USE);
  g_assert_cmpint (claim (1, 10, alice), ==, TCP_REVERSE_WAITING);
  g_assert_cmpint (claim (2, 10, alice), ==, TCP_REVERSE_WAITING);
  g_assert_true (tcp_reverse_claim_is_wanted (book.claims[0]));
  g_assert_cmpint (claim (3, 11, bob), ==, TCP_REVERSE_GRANTED);
}

/* A claim that waited gives up, and the next one gets the port. */
static void
hand_over (gpointer data)
{
  /* Once, although there were two. */
  g_assert_cmpuint (book.wanted[0], ==, 1);
  g_assert_cmpuint (book.granted[1], ==, 0);
  give_up (1);
  give_up (0);
}

static void
hand_over_in_vain (gpointer data)
{
  g_assert_cmpuint (book.granted[1], ==, 0);
  g_assert_cmpuint (book.granted[2], ==, 1);
  g_assert_cmpint (claim (1, 10, alice), ==, TCP_REVERSE_WAITING);
  give_up (2);
  /* Before it could be called. */
  give_up (1);
  give_up (3);
}

static void
check_nothing_left (gpointer data)
{
  g_assert_cmpuint (book.granted[1], ==, 0);
  g_assert_cmpint (claim (0, 10, bob), ==, TCP_REVERSE_GRANTED);
  give_up (0);
}

/* At most 8 claims wait. */
static void
check_crowd (gpointer data)
{
  g_assert_cmpint (claim (0, 10, alice), ==, TCP_REVERSE_GRANTED);
  for (guint i = 1; i <= 8; i++)
    g_assert_cmpint (claim (i, 10, alice), ==, TCP_REVERSE_WAITING);
  g_assert_cmpint (claim (9, 10, alice), ==, TCP_REVERSE_IN_USE);
  for (guint i = 0; i <= 8; i++)
    give_up (i);
}

static void
test_claims (void)
{
  book.ports = parse ("10-11", NULL);
  /* Each call runs after the callbacks that the previous one has caused. */
  tcp_io_thread_invoke_sync (thread, begin_claims, NULL);
  tcp_io_thread_invoke_sync (thread, hand_over, NULL);
  tcp_io_thread_invoke_sync (thread, hand_over_in_vain, NULL);
  tcp_io_thread_invoke_sync (thread, check_nothing_left, NULL);
  tcp_io_thread_invoke_sync (thread, check_crowd, NULL);
  tcp_reverse_ports_free (book.ports);
}

/* Neither of two owners gets all ports. A claim that waits takes no place, and one that has waited takes the place of
 * its predecessor. */
static void
fill (gpointer data)
{
  alice->reverse_ports.max = bob->reverse_ports.max = 3;
  g_assert_cmpint (claim (0, 10, alice), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (1, 11, alice), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (2, 12, alice), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (3, 13, alice), ==, TCP_REVERSE_OWN_FULL);
  g_assert_cmpint (claim (3, 10, alice), ==, TCP_REVERSE_WAITING);
  give_up (0);
  g_assert_cmpuint (alice->reverse_ports.used, ==, 3);
  g_assert_cmpint (claim (0, 13, alice), ==, TCP_REVERSE_OWN_FULL);
  give_up (1);
  g_assert_cmpint (claim (0, 11, bob), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (1, 13, bob), ==, TCP_REVERSE_GRANTED);
  give_up (2);
  g_assert_cmpint (claim (2, 12, bob), ==, TCP_REVERSE_GRANTED);
  give_up (3);
  g_assert_cmpint (claim (3, 10, bob), ==, TCP_REVERSE_OWN_FULL);
  give_up (2);
  give_up (1);
  /* One of the free ports is reserved for the other. */
  tcp_quota_set_aside (tcp_reverse_ports_get_quota (book.ports), 2,
                       (TcpQuotaShare *[]) { &alice->reverse_ports, &bob->reverse_ports }, 2, 0);
  g_assert_cmpint (claim (1, 10, bob), ==, TCP_REVERSE_GRANTED);
  bob->reverse_ports.max = 4;
  g_assert_cmpint (claim (2, 12, bob), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (3, 13, bob), ==, TCP_REVERSE_SET_ASIDE);
  /* Ports of its own are not counted. */
  g_assert_cmpint (claim (4, 20, bob), ==, TCP_REVERSE_GRANTED);
  g_assert_cmpint (claim (3, 13, alice), ==, TCP_REVERSE_GRANTED);
  for (guint i = 0; i < G_N_ELEMENTS (book.claims); i++)
    give_up (i);
  g_assert_cmpuint (alice->reverse_ports.used + bob->reverse_ports.used, ==, 0);
}

static void
test_shares (void)
{
  book = (Book) { .ports = parse ("10-13", "bob@20") };
  tcp_io_thread_invoke_sync (thread, fill, NULL);
  tcp_reverse_ports_free (book.ports);
}

/* When the ports are replaced, the owner of a claim keeps it if it is still allowed, and may claim new ports. */
static void
test_replaced (void)
{
  g_autoptr (TcpReversePorts) ports = parse ("10-13", "alice@20");
  g_autoptr (TcpReversePorts) same = parse ("10-13", "alice@20");
  g_autoptr (TcpReversePorts) next = parse ("11-12", "0.0.0.0:20");
  g_autoptr (TcpReversePorts) named = parse ("alice@11", "bob@12");
  g_autoptr (GPtrArray) claims = claims_new ();
  g_autoptr (GPtrArray) others = claims_new ();
  TcpReverseClaim *first, *second, *third;

  assert_next (ports, alice, 20, claims);
  assert_next (ports, alice, 10, claims);
  assert_next (ports, alice, 11, claims);
  first = claims->pdata[0];
  second = claims->pdata[1];
  third = claims->pdata[2];
  g_assert_cmpuint (alice->reverse_ports.used, ==, 2);
  tcp_reverse_ports_replace (ports, same);
  g_assert_false (tcp_reverse_claim_is_revoked (first));

  /* One port is gone, and one is at another address. */
  tcp_reverse_ports_replace (ports, next);
  g_assert_true (tcp_reverse_claim_is_revoked (first));
  g_assert_true (tcp_reverse_claim_is_revoked (second));
  g_assert_false (tcp_reverse_claim_is_revoked (third));
  g_assert_cmpuint (alice->reverse_ports.used, ==, 1);
  assert_next (ports, bob, 12, others);
  assert_next (ports, bob, 0, others);
  g_ptr_array_remove (claims, first);
  g_ptr_array_remove (claims, second);
  assert_next (ports, bob, 20, others);
  assert_listens_at (others->pdata[1], "0.0.0.0:20");

  /* A port that is reserved for the owner is not counted any more. */
  tcp_reverse_ports_replace (ports, named);
  g_assert_false (tcp_reverse_claim_is_revoked (third));
  g_assert_false (tcp_reverse_claim_is_revoked (others->pdata[0]));
  g_assert_true (tcp_reverse_claim_is_revoked (others->pdata[1]));
  g_assert_cmpuint (alice->reverse_ports.used + bob->reverse_ports.used, ==, 0);
  g_ptr_array_set_size (others, 0);
  g_ptr_array_set_size (claims, 0);
  assert_next (ports, alice, 11, claims);
  assert_next (ports, alice, 0, claims);
}

int
main (int    argc,
      char **argv)
{
  TcpGatewaySettings settings = { .target = (char *) "127.0.0.1:9" };
  g_autoptr (TcpPolicy) policy = tcp_policy_new (&settings, NULL);
  int result;

  g_test_init (&argc, &argv, NULL);
  alice = tcp_account_new ("alice", policy);
  bob = tcp_account_new ("bob", policy);
  alice->reverse_ports.max = bob->reverse_ports.max = G_MAXUINT16;
  thread = tcp_io_thread_acquire (NULL);
  g_test_add_func ("/reverse-ports/parse", test_parse);
  g_test_add_func ("/reverse-ports/refused", test_refused);
  g_test_add_func ("/reverse-ports/names", test_names);
  g_test_add_func ("/reverse-ports/missed", test_missed);
  g_test_add_func ("/reverse-ports/replaced", test_replaced);
  g_test_add_func ("/reverse-ports/claims", test_claims);
  g_test_add_func ("/reverse-ports/shares", test_shares);
  result = g_test_run ();
  tcp_io_thread_release (thread);
  tcp_account_unref (alice);
  tcp_account_unref (bob);
  return result;
}
