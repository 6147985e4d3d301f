/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which connections are ended when there are too many. The tests identify a connection by its index. */

#include "gateway/eviction.h"

#define MS G_TIME_SPAN_MILLISECOND

static TcpOrigin few = { .name = (char *) "few", .pending = 1 };
static TcpOrigin many = { .name = (char *) "many", .pending = 10 };
static TcpOrigin known = { .name = (char *) "known", .pending = 1, .known = TRUE };
static TcpOrigin known_many = { .name = (char *) "known, many", .pending = 10, .known = TRUE };

#define ASSERT_GOES(expected, ...)                                                                    \
  G_STMT_START                                                                                        \
  {                                                                                                   \
    const TcpPendingState pending_[] = { __VA_ARGS__ };                                               \
    g_assert_cmpuint (tcp_eviction_choose_pending (pending_, G_N_ELEMENTS (pending_)), ==, expected); \
  }                                                                                                   \
  G_STMT_END

#define SILENT(origin_, age_) { .origin = &(origin_), .age = (age_), .silent = TRUE }
#define BEGUN(origin_) { .origin = &(origin_), .age = 1000 * MS }
#define ANSWERS(origin_) { .origin = &(origin_), .age = 1000 * MS, .answers = TRUE }
#define REFUSED(origin_) { .origin = &(origin_), .age = 1000 * MS, .refused = TRUE }

/* Among equal connections the oldest is chosen. */
static void
test_oldest (void)
{
  ASSERT_GOES (0, BEGUN (few));
  ASSERT_GOES (0, BEGUN (few), BEGUN (few), BEGUN (few));
  ASSERT_GOES (0, SILENT (few, 3000 * MS), SILENT (few, 2000 * MS), SILENT (few, 1000 * MS));
  ASSERT_GOES (1, ANSWERS (few), BEGUN (few), BEGUN (few));
}

/* The first byte may take 500 ms to arrive. */
static void
test_silence (void)
{
  ASSERT_GOES (1, BEGUN (few), SILENT (few, 500 * MS));
  ASSERT_GOES (0, BEGUN (few), SILENT (few, 500 * MS - 1));
  ASSERT_GOES (0, SILENT (few, 500 * MS - 1), BEGUN (few));
  /* This holds even for an address that is known. */
  ASSERT_GOES (1, BEGUN (few), SILENT (known, 500 * MS));
  ASSERT_GOES (1, SILENT (known, 500 * MS - 1), BEGUN (few));
}

/* Connections of addresses with the same number are chosen by their ranks. */
static void
test_ranks (void)
{
  ASSERT_GOES (4, ANSWERS (few), BEGUN (known), BEGUN (few), SILENT (few, 1000 * MS), REFUSED (few));
  ASSERT_GOES (3, ANSWERS (few), BEGUN (known), BEGUN (few), SILENT (few, 1000 * MS));
  ASSERT_GOES (2, ANSWERS (few), BEGUN (known), BEGUN (few));
  ASSERT_GOES (1, ANSWERS (few), BEGUN (known));
  ASSERT_GOES (0, REFUSED (known), BEGUN (few));
}

/* A connection of the address that has most is chosen before any rank but those that are being answered. */
static void
test_addresses (void)
{
  ASSERT_GOES (2, REFUSED (few), SILENT (few, 1000 * MS), BEGUN (many));
  ASSERT_GOES (1, REFUSED (few), BEGUN (known_many));
  ASSERT_GOES (1, BEGUN (known_many), BEGUN (many));
  ASSERT_GOES (1, ANSWERS (many), BEGUN (known));
  ASSERT_GOES (1, ANSWERS (few), ANSWERS (many));
  ASSERT_GOES (1, ANSWERS (few), ANSWERS (known_many), ANSWERS (many));
}

/* A trusted proxy counts like an address with a single connection, however many come through it. */
static void
test_trusted (void)
{
  TcpOrigin proxy = { .pending = 50, .handshakes = 8, .trusted = TRUE };
  TcpOrigin idle = { .pending = 1 };
  TcpOrigin busy = { .pending = 2, .handshakes = 2 };
  TcpOrigin alone = { .pending = 1, .handshakes = 1 };

  ASSERT_GOES (1, BEGUN (proxy), BEGUN (busy));
  ASSERT_GOES (0, BEGUN (proxy), BEGUN (idle));
  ASSERT_GOES (0, BEGUN (idle), BEGUN (proxy));
  g_assert_cmpint (tcp_eviction_compare_origins (&proxy, &busy), >, 0);
  g_assert_cmpint (tcp_eviction_compare_origins (&proxy, &alone), ==, 0);
  g_assert_cmpint (tcp_eviction_compare_origins (&proxy, &idle), <, 0);
}

static TcpOrigin one = { .handshakes = 1 };
static TcpOrigin another = { .handshakes = 1 };
static TcpOrigin three = { .handshakes = 3 };
static TcpOrigin six = { .handshakes = 6 };
static TcpOrigin known_one = { .handshakes = 1, .known = TRUE };

#define ASSERT_PREEMPTED(expected, grace, ...)                                                                  \
  G_STMT_START                                                                                                  \
  {                                                                                                             \
    const TcpHandshakeState running_[] = { __VA_ARGS__ };                                                       \
    g_assert_cmpint (tcp_eviction_choose_handshake (running_, G_N_ELEMENTS (running_), grace), ==, (expected)); \
  }                                                                                                             \
  G_STMT_END

/* The peer is far away unless stated otherwise. */
#define FROM(origin_, round_trip_, age_, wait_) \
  { .origin = &(origin_), .round_trip = (round_trip_), .age = (age_), .wait = (wait_) }
#define WAITS(origin_, wait_) FROM (origin_, 100 * MS, MAX (wait_, 0), wait_)
#define NEAR(origin_, wait_) FROM (origin_, 2 * MS, MAX (wait_, 0), wait_)
#define OLD(origin_, age_, wait_) FROM (origin_, 100 * MS, age_, wait_)

/* The handshake that has waited longest for its peer is chosen, if it has waited for at least the grace. */
static void
test_waits (void)
{
  g_assert_cmpint (tcp_eviction_choose_handshake (NULL, 0, 5 * MS), ==, -1);
  ASSERT_PREEMPTED (-1, 5 * MS, WAITS (three, 5 * MS - 1), WAITS (three, 0), WAITS (three, 0));
  ASSERT_PREEMPTED (0, 5 * MS, WAITS (three, 5 * MS), WAITS (three, 0), WAITS (three, 0));
  ASSERT_PREEMPTED (1, 5 * MS, WAITS (three, 6 * MS), WAITS (three, 8 * MS), WAITS (three, 7 * MS));
  ASSERT_PREEMPTED (0, 5 * MS, WAITS (three, 6 * MS), WAITS (three, 6 * MS), WAITS (three, 6 * MS));
  /* These do not wait for their peers. */
  ASSERT_PREEMPTED (-1, 5 * MS, WAITS (three, -1), WAITS (three, -1), WAITS (three, -1));
  ASSERT_PREEMPTED (1, 5 * MS, WAITS (three, -1), WAITS (three, 5 * MS), WAITS (three, -1));
}

/* The only handshake of its address has time for some round trips of its path, within bounds, however short the grace
 * is. */
static void
test_round_trip (void)
{
  ASSERT_PREEMPTED (-1, 5 * MS, WAITS (one, 250 * MS - 1), WAITS (another, 5 * MS));
  ASSERT_PREEMPTED (1, 5 * MS, WAITS (one, 250 * MS - 1), WAITS (another, 250 * MS));
  ASSERT_PREEMPTED (-1, 300 * MS, WAITS (one, 250 * MS), WAITS (another, 299 * MS));
  ASSERT_PREEMPTED (0, 300 * MS, WAITS (one, 300 * MS), WAITS (another, 299 * MS));
  ASSERT_PREEMPTED (-1, 5 * MS, NEAR (one, 36 * MS - 1), WAITS (another, 249 * MS));
  ASSERT_PREEMPTED (0, 5 * MS, NEAR (one, 36 * MS), WAITS (another, 249 * MS));
  ASSERT_PREEMPTED (1, 5 * MS, NEAR (one, 35 * MS), NEAR (another, 36 * MS));
  /* This does not hold for one of many. */
  ASSERT_PREEMPTED (0, 5 * MS, WAITS (three, 5 * MS), WAITS (three, 0), WAITS (three, -1));
}

/* Only the address with the lowest rank loses a handshake by the grace, though possibly none of its handshakes
 * waits. */
static void
test_handshakes_of_addresses (void)
{
  ASSERT_PREEMPTED (1, 5 * MS, WAITS (one, 9 * MS), WAITS (three, 6 * MS), WAITS (three, 5 * MS));
  ASSERT_PREEMPTED (1, 5 * MS, WAITS (known_one, 900 * MS), WAITS (one, 260 * MS));
  ASSERT_PREEMPTED (0, 5 * MS, WAITS (one, 260 * MS), WAITS (known_one, 900 * MS));
  ASSERT_PREEMPTED (-1, 5 * MS, WAITS (known_one, 900 * MS), WAITS (three, 4 * MS));
  ASSERT_PREEMPTED (-1, 5 * MS, WAITS (one, 900 * MS), WAITS (six, 4 * MS), WAITS (six, 0), WAITS (six, -1));
  ASSERT_PREEMPTED (-1, 5 * MS, WAITS (three, 900 * MS), WAITS (six, 4 * MS), WAITS (six, 0), WAITS (six, -1));
}

/* An old handshake counts as waiting, whatever its peer sends. Those of the address with the lowest rank are still
 * chosen first. */
static void
test_old (void)
{
  ASSERT_PREEMPTED (-1, 5 * MS, OLD (six, 1000 * MS - 1, 4 * MS), OLD (six, 1000 * MS - 1, -1));
  ASSERT_PREEMPTED (0, 5 * MS, OLD (six, 1000 * MS, 0), OLD (six, 900 * MS, 800 * MS));
  ASSERT_PREEMPTED (1, 5 * MS, OLD (six, 1000 * MS, 900 * MS), OLD (six, 1001 * MS, -1));
  ASSERT_PREEMPTED (1, 5 * MS, OLD (one, 2000 * MS, 0), OLD (six, 1000 * MS, -1));
  ASSERT_PREEMPTED (1, 5 * MS, OLD (one, 2000 * MS, 0), OLD (six, 6 * MS, 5 * MS));
  ASSERT_PREEMPTED (0, 5 * MS, OLD (one, 1000 * MS, 0), OLD (six, 4 * MS, 4 * MS));
  ASSERT_PREEMPTED (-1, 5 * MS, OLD (one, 1000 * MS - 1, 0), OLD (six, 4 * MS, 4 * MS));
}

/* The address that gets a free slot. */
static void
test_next (void)
{
  g_assert_cmpint (tcp_eviction_compare_origins (&one, &three), >, 0);
  g_assert_cmpint (tcp_eviction_compare_origins (&three, &one), <, 0);
  g_assert_cmpint (tcp_eviction_compare_origins (&known_one, &one), >, 0);
  g_assert_cmpint (tcp_eviction_compare_origins (&one, &known_one), <, 0);
  g_assert_cmpint (tcp_eviction_compare_origins (&one, &one), ==, 0);
}

/* A connection that waits for a slot is told to try again while more keep coming, but not when many came at once. */
static void
test_late (void)
{
  g_assert_false (tcp_eviction_is_late (149 * MS, 0, 5 * MS));
  g_assert_true (tcp_eviction_is_late (150 * MS, 0, 5 * MS));
  g_assert_true (tcp_eviction_is_late (5000 * MS, 49 * MS, 10 * MS));
  g_assert_false (tcp_eviction_is_late (5000 * MS, 50 * MS, 5 * MS));
  /* The handshakes in the slots finish. */
  g_assert_false (tcp_eviction_is_late (5000 * MS, 0, 11 * MS));
}

/* A crowd that only waits does not shorten the time of those that come after it. */
static void
test_grace (void)
{
  const gint64 second = G_TIME_SPAN_SECOND;
  gint64 grace = second;

  g_assert_cmpint (tcp_eviction_adapt_grace (second, 1000, 0), ==, second);
  g_assert_cmpint (tcp_eviction_adapt_grace (second, 1000, 1), <, second);
  for (guint i = 0; i < 100; i++)
    grace = tcp_eviction_adapt_grace (grace, 1, 1);
  g_assert_cmpint (grace, >, 0);
  g_assert_cmpint (grace, <, second / 100);
  g_assert_cmpint (tcp_eviction_adapt_grace (grace, 1, 1), ==, grace);
  for (guint i = 0; i < 100; i++)
    grace = tcp_eviction_adapt_grace (grace, 0, 0);
  g_assert_cmpint (grace, ==, second);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/eviction/oldest", test_oldest);
  g_test_add_func ("/eviction/silence", test_silence);
  g_test_add_func ("/eviction/ranks", test_ranks);
  g_test_add_func ("/eviction/addresses", test_addresses);
  g_test_add_func ("/eviction/trusted", test_trusted);
  g_test_add_func ("/eviction/waits", test_waits);
  g_test_add_func ("/eviction/round-trip", test_round_trip);
  g_test_add_func ("/eviction/handshakes-of-addresses", test_handshakes_of_addresses);
  g_test_add_func ("/eviction/old", test_old);
  g_test_add_func ("/eviction/late", test_late);
  g_test_add_func ("/eviction/grace", test_grace);
  g_test_add_func ("/eviction/next", test_next);

  return g_test_run ();
}
