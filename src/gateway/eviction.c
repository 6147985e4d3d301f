/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/eviction.h"

/* Before this time a connection is not evicted for its silence: its first byte may be on its way. */
#define SILENCE (500 * G_TIME_SPAN_MILLISECOND)

/* A TLS handshake that has a slot, and is the only one of its address, may wait for its peer for some round trips and
 * the time that the peer may need, but not longer than this. */
#define ROUND_TRIPS 3
#define TIME_OF_PEER (30 * G_TIME_SPAN_MILLISECOND)
#define MAX_ROUND_TRIPS (250 * G_TIME_SPAN_MILLISECOND)

/* A handshake that has had its slot for this long loses it to others that wait. */
#define MAX_HANDSHAKE G_TIME_SPAN_SECOND

/* A TLS handshake that has waited this long for a slot is unlikely to get one, unless no other connection came during
 * the lull, or the handshakes in the slots make progress. */
#define MAX_WAIT (150 * G_TIME_SPAN_MILLISECOND)
#define LULL (50 * G_TIME_SPAN_MILLISECOND)
#define SHORT_GRACE (2 * TCP_MIN_GRACE)

typedef enum
{
  RANK_REFUSED,
  RANK_SILENT,
  RANK_UNKNOWN,
  RANK_KNOWN, /* its address has sent a valid token before */
  RANK_ANSWERS,
} Rank;

static Rank
get_rank (const TcpPendingState *pending)
{
  if (pending->refused)
    return RANK_REFUSED;
  if (pending->answers)
    return RANK_ANSWERS;
  if (pending->silent && pending->age >= SILENCE)
    return RANK_SILENT;
  return pending->origin->known ? RANK_KNOWN : RANK_UNKNOWN;
}

/* How many of @n connections of an address count: a trusted proxy has those of many clients. */
static guint
get_share (const TcpOrigin *origin,
           guint            n)
{
  return origin->trusted ? MIN (n, 1) : n;
}

/* Whether @self is evicted before @other, which is older. Connections that answer go last: otherwise a flood from many
 * addresses, which costs its sender nothing, would end clients in the middle of their TLS handshake. Then the number of
 * connections of the address counts, and after that the rank. */
static gboolean
goes_before (const TcpPendingState *self,
             const TcpPendingState *other)
{
  Rank rank = get_rank (self);
  Rank other_rank = get_rank (other);
  guint share = get_share (self->origin, self->origin->pending);
  guint other_share = get_share (other->origin, other->origin->pending);

  if ((rank == RANK_ANSWERS) != (other_rank == RANK_ANSWERS))
    return other_rank == RANK_ANSWERS;
  if (share != other_share)
    return share > other_share;
  return rank < other_rank;
}

/* There is at least one; the oldest is first. */
guint
tcp_eviction_choose_pending (const TcpPendingState *pending,
                             guint                  n)
{
  guint victim = 0;

  for (guint i = 1; i < n; i++)
    if (goes_before (&pending[i], &pending[victim]))
      victim = i;
  return victim;
}

/* Positive if the TLS handshakes of @a go before those of @b: it has fewer of them in progress, or as many, and has
 * sent a valid token before. */
int
tcp_eviction_compare_origins (const TcpOrigin *a,
                              const TcpOrigin *b)
{
  guint share = get_share (a, a->handshakes);
  guint other_share = get_share (b, b->handshakes);

  if (share != other_share)
    return share < other_share ? 1 : -1;
  return (int) a->known - (int) b->known;
}

/* A handshake of that age counts as waiting for its peer whatever the peer sends. Otherwise a peer could keep its slot
 * by sending a byte now and then. */
static gint64
get_wait (const TcpHandshakeState *handshake)
{
  return handshake->age >= MAX_HANDSHAKE ? handshake->age : handshake->wait;
}

/* How long a handshake may wait for its peer before another one gets its slot: until it is old, unless its address
 * comes last. */
static gint64
get_grace (const TcpHandshakeState *handshake,
           const TcpOrigin         *last,
           gint64                   grace)
{
  if (tcp_eviction_compare_origins (handshake->origin, last) > 0)
    return MAX_HANDSHAKE;
  if (get_share (handshake->origin, handshake->origin->handshakes) > 1)
    return grace;
  return MAX (grace, MIN (ROUND_TRIPS * handshake->round_trip + TIME_OF_PEER, MAX_ROUND_TRIPS));
}

/* Chooses, among the handshakes of the address that comes last, the one that has waited longest for its peer; -1 if
 * none has waited as long as @grace. A handshake of another address is chosen only if it is old. */
int
tcp_eviction_choose_handshake (const TcpHandshakeState *handshakes,
                               guint                    n,
                               gint64                   grace)
{
  const TcpOrigin *last = n > 0 ? handshakes[0].origin : NULL;
  int victim = -1;

  for (guint i = 1; i < n; i++)
    if (tcp_eviction_compare_origins (handshakes[i].origin, last) < 0)
      last = handshakes[i].origin;

  for (guint i = 0; i < n; i++)
    {
      gint64 wait = get_wait (&handshakes[i]);
      int order;

      if (wait < get_grace (&handshakes[i], last, grace))
        continue;
      order = victim >= 0 ? tcp_eviction_compare_origins (handshakes[i].origin, handshakes[victim].origin) : -1;
      if (order < 0 || (order == 0 && wait > get_wait (&handshakes[victim])))
        victim = i;
    }
  return victim;
}

/* Whether to give up a handshake that has waited for a slot for @wait, while the newest one has waited for @lull. The
 * newest is served first, so that in a flood the others wait until their deadline. A client whose handshake is ended at
 * once can try again, and is then the newest. Clients that come at the same time finish their handshakes, which keeps
 * the grace long, and may wait. */
gboolean
tcp_eviction_is_late (gint64 wait,
                      gint64 lull,
                      gint64 grace)
{
  return wait >= MAX_WAIT && lull < LULL && grace <= SHORT_GRACE;
}

/* Adapts the grace, by how many handshakes wait and how many were added since. It becomes shorter only while more are
 * added. The newest is served first, so that peers that never answer do not take time from a client that does. */
gint64
tcp_eviction_adapt_grace (gint64 grace,
                          guint  waiting,
                          guint  added)
{
  if (waiting == 0)
    grace = grace * 5 / 4;
  else if (added > 0)
    grace = grace * 3 / 4;
  return CLAMP (grace, TCP_MIN_GRACE, TCP_MAX_GRACE);
}
