/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/rate.h"

#include <stdatomic.h>
#include "base/bucket.h"
#include "base/ref-count.h"
#include "base/tsan.h"
#include "io/reactor.h"

/* The amount for one share at a time if others wait: that of a hundredth of a second, but small enough that each has
 * many turns per second, since the shares are equal only up to this amount. */
#define TURNS_A_SECOND 100
#define TURNS_OF_EACH 32
#define LEAST_QUANTUM 512
#define MOST_QUANTUM (64 * 1024)

/* By how many turns a share that comes back may precede others. */
#define TURNS_AHEAD 2

/* The maximum amount that the timer waits for. */
#define MOST_BATCH (256 * 1024)

struct _TcpRate
{
  gatomicrefcount refs;
  _Atomic guint64 per_second;
  GMutex mutex;

  /* under the mutex */
  TcpBucket bucket;
  GPtrArray *heap; /* of TcpRateShare, those that wait; the one that has used least first */
  gint64 reached;  /* the maximum of what a share had used when it was served */
};

struct _TcpRateLane
{
  gatomicrefcount refs;
  TcpRate *rate;
  TcpIoThread *thread;

  /* only used on its thread */
  TcpTimer *timer;       /* NULL before any share has waited */
  TcpRateShare *current; /* the one that is being called */

  /* under the mutex of the rate */
  guint waiting;    /* shares in the heap */
  GQueue turns;     /* of TcpRateShare, by their links: those to be called */
  gboolean called;  /* by another thread */
};

/* Waiting shares. The following functions are called with the mutex held. */

static void
rate_add (TcpRate      *self,
          TcpRateShare *share)
{
  tcp_heap_place (self->heap, &share->used);
  share->lane->waiting++;
}

static void
rate_remove (TcpRate      *self,
             TcpRateShare *share)
{
  tcp_heap_remove (self->heap, &share->used);
  share->lane->waiting--;
}

/* Turns */

/* @n is the number of shares that want something. */
static gsize
rate_get_quantum (TcpRate *self,
                  guint    n)
{
  return CLAMP (self->bucket.rate / MAX (TURNS_A_SECOND, (guint64) TURNS_OF_EACH * n), LEAST_QUANTUM, MOST_QUANTUM);
}

/* The minimum with which the next share is served; @n is the number of shares that wait. */
static gsize
rate_get_need (TcpRate *self,
               guint    n)
{
  TcpRateShare *next = self->heap->pdata[0];

  return MIN (MIN (next->wanted, rate_get_quantum (self, n)), MAX (self->bucket.rate, 1));
}

/* @n is available, and the share may move it. */
static void
rate_spend (TcpRate      *self,
            TcpRateShare *share,
            gsize         n)
{
  tcp_bucket_take (&self->bucket, n);
  self->reached = MAX (self->reached, share->used.key);
  share->used.key += n;
}

static void
rate_return (TcpRate      *self,
             TcpRateShare *share,
             gsize         n)
{
  tcp_bucket_give_back (&self->bucket, n);
  share->used.key -= n;
}

static void
lane_invoked (gpointer data);

static void
lane_call (TcpRateLane *self)
{
  if (self->called)
    return;

  self->called = TRUE;
  tcp_io_thread_invoke (self->thread, lane_invoked, tcp_rate_lane_ref (self), (GDestroyNotify) tcp_rate_lane_unref);
}

/* Serves waiting shares with what is available. @lane calls its own. */
static void
rate_serve (TcpRate     *self,
            TcpRateLane *lane)
{
  gint64 now = tcp_now ();
  guint n = self->heap->len;

  while (self->heap->len > 0 && tcp_bucket_fill (&self->bucket, now) >= rate_get_need (self, n))
    {
      TcpRateShare *share = self->heap->pdata[0];

      share->granted = self->bucket.rate > 0 ? rate_get_need (self, n) : share->wanted;
      rate_spend (self, share, share->granted);
      rate_remove (self, share);
      g_queue_push_tail_link (&share->lane->turns, &share->link);
      if (share->lane != lane)
        lane_call (share->lane);
    }
}

/* Arranges that the shares of the lane are served: at once if another lane has granted them something, otherwise when
 * enough is available, not for each byte. */
static void
lane_arm (TcpRateLane *self)
{
  TcpBucket *bucket = &self->rate->bucket;
  gsize need;

  /* shares that another lane has served */
  if (!g_queue_is_empty (&self->turns))
    {
      tcp_timer_set (self->timer, 0);
      return;
    }
  if (self->waiting == 0)
    {
      if (self->timer != NULL)
        tcp_timer_set (self->timer, -1);
      return;
    }

  need = rate_get_need (self->rate, self->rate->heap->len);
  if (tcp_bucket_get_due (bucket, need) > bucket->filled)
    need = MAX (need, MIN (bucket->rate / TURNS_A_SECOND, MOST_BATCH));
  tcp_timer_set (self->timer, tcp_bucket_get_due (bucket, need));
}

/* The share does not wait any more, in the heap or for its turn. */
static void
share_leave (TcpRateShare *self)
{
  TcpRate *rate = self->lane->rate;

  if (!self->waiting)
    return;

  self->waiting = FALSE;
  if (self->used.index > 0)
    {
      rate_remove (rate, self);
      return;
    }
  g_queue_unlink (&self->lane->turns, &self->link);
  rate_return (rate, self, self->granted);
}

/* Called on its thread, without the mutex. */
static void
lane_run (TcpRateLane *self)
{
  TcpRate *rate = self->rate;
  GList *link;

  tcp_rate_lane_ref (self);
  g_mutex_lock (&rate->mutex);
  rate_serve (rate, self);
  while ((link = g_queue_pop_head_link (&self->turns)) != NULL)
    {
      TcpRateShare *share = link->data;

      share->waiting = FALSE;
      share->lease = share->granted;
      self->current = share;
      g_mutex_unlock (&rate->mutex);
      share->func (share->user_data);
      g_mutex_lock (&rate->mutex);
      /* It may have been cleared. */
      share = g_steal_pointer (&self->current);
      if (share == NULL || share->lease == 0)
        continue;
      rate_return (rate, share, share->lease);
      share->lease = 0;
    }
  lane_arm (self);
  g_mutex_unlock (&rate->mutex);
  tcp_rate_lane_unref (self);
}

/* Uses the timer, since the functions called move data: that must not happen while the reactor is suspended. */
static void
lane_invoked (gpointer data)
{
  TcpRateLane *self = data;

  g_mutex_lock (&self->rate->mutex);
  self->called = FALSE;
  g_mutex_unlock (&self->rate->mutex);
  if (self->timer != NULL)
    tcp_timer_set (self->timer, 0);
}

static void
on_timer (gpointer user_data)
{
  lane_run (user_data);
}

/* Rates */

/* The rate has no limit yet. */
TcpRate *
tcp_rate_new (void)
{
  TcpRate *self = g_new0 (TcpRate, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->heap = g_ptr_array_new ();
  return self;
}

TcpRate *
tcp_rate_ref (TcpRate *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_rate_unref (TcpRate *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_assert (self->heap->len == 0);
  g_ptr_array_unref (self->heap);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* Up to TCP_BUCKET_MAX_RATE; 0 for no limit. Waiting shares continue at the new rate. May be called on any thread. */
void
tcp_rate_set (TcpRate *self,
              guint64  per_second)
{
  if (self->per_second == per_second)
    return;

  g_mutex_lock (&self->mutex);
  tcp_bucket_set_rate (&self->bucket, per_second, tcp_now ());
  self->per_second = per_second;
  for (guint i = 0; i < self->heap->len; i++)
    {
      TcpRateShare *share = self->heap->pdata[i];

      /* A lead that was short at the former rate may be long now. */
      share->used.key = self->reached;
      lane_call (share->lane);
    }
  g_mutex_unlock (&self->mutex);
}

guint64
tcp_rate_get (TcpRate *self)
{
  return self->per_second;
}

/* Lanes */

/* @thread is the current one. */
TcpRateLane *
tcp_rate_lane_new (TcpRate     *rate,
                   TcpIoThread *thread)
{
  TcpRateLane *self = g_new0 (TcpRateLane, 1);

  g_atomic_ref_count_init (&self->refs);
  self->rate = tcp_rate_ref (rate);
  self->thread = thread;
  return self;
}

TcpRateLane *
tcp_rate_lane_ref (TcpRateLane *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

/* Called on its thread. */
void
tcp_rate_lane_unref (TcpRateLane *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_assert (self->waiting == 0 && g_queue_is_empty (&self->turns));
  tcp_timer_clear (&self->timer);
  tcp_rate_unref (self->rate);
  g_free (self);
}

/* Shares */

/* @func is called on the thread of the lane, after less was taken than wanted, when more is available. */
void
tcp_rate_share_init (TcpRateShare *self,
                     TcpRateLane  *lane,
                     TcpRateFunc   func,
                     gpointer      user_data)
{
  *self = (TcpRateShare) { .lane = tcp_rate_lane_ref (lane), .func = func, .user_data = user_data };
  self->link.data = self;
}

/* The share has no limit from now on, and does not wait. */
void
tcp_rate_share_clear (TcpRateShare *self)
{
  TcpRateLane *lane = self->lane;

  if (lane == NULL)
    return;

  g_mutex_lock (&lane->rate->mutex);
  share_leave (self);
  rate_return (lane->rate, self, self->lease);
  if (lane->current == self)
    lane->current = NULL;
  if (lane->timer != NULL)
    lane_arm (lane);
  g_mutex_unlock (&lane->rate->mutex);
  self->lease = 0;
  self->lane = NULL;
  tcp_rate_lane_unref (lane);
}

/* If no share waits, much may be taken at once as long as plenty is available. Otherwise shares that have used less go
 * first. A share that was idle does not wait for them, since it has used less than all that are served now. What shares
 * have used counts only as far as it can be made up for within a moment. */
static gsize
share_take_now (TcpRateShare *self,
                gsize         wanted)
{
  TcpRate *rate = self->lane->rate;
  guint64 level = tcp_bucket_fill (&rate->bucket, tcp_now ());
  gsize quantum = rate_get_quantum (rate, rate->heap->len + 1);
  gsize n = MIN (wanted, quantum);

  self->used.key = CLAMP (self->used.key, rate->reached - TURNS_AHEAD * (gint64) quantum, rate->reached + (gint64) quantum);
  if (rate->heap->len == 0 && level > rate->bucket.rate / 4)
    n = MIN (wanted, MAX (quantum, level / 4));
  else if (self->used.key > rate->reached - (gint64) quantum ||
           (rate->heap->len > 0 && ((TcpRateShare *) rate->heap->pdata[0])->used.key <= self->used.key))
    return 0;
  if (level < n)
    return 0;

  rate_spend (rate, self, n);
  return n;
}

/* Returns how many of the wanted bytes may be moved now. If there are none, the share waits, and its function is
 * called. The caller must return what it does not move. */
gsize
tcp_rate_share_take (TcpRateShare *self,
                     gsize         wanted)
{
  TcpRate *rate = self->lane != NULL ? self->lane->rate : NULL;
  gsize n = MIN (wanted, self->lease);

  if (rate == NULL || wanted == 0 || (rate->per_second == 0 && n == 0 && !self->waiting))
    return wanted;
  if (n > 0 || self->waiting)
    {
      self->lease -= n;
      return n;
    }

  g_mutex_lock (&rate->mutex);
  n = share_take_now (self, wanted);
  if (n == 0)
    {
      if (self->lane->timer == NULL)
        self->lane->timer = tcp_timer_new (on_timer, self->lane);
      self->waiting = TRUE;
      self->wanted = wanted;
      rate_add (rate, self);
      lane_arm (self->lane);
    }
  g_mutex_unlock (&rate->mutex);
  return n;
}

/* Returns a part of what was taken. */
void
tcp_rate_share_give_back (TcpRateShare *self,
                          gsize         n)
{
  TcpRateLane *lane = self->lane;

  if (lane == NULL || n == 0)
    return;
  if (lane->current == self)
    {
      self->lease += n;
      return;
    }
  if (lane->rate->per_second == 0)
    return;

  g_mutex_lock (&lane->rate->mutex);
  rate_return (lane->rate, self, n);
  g_mutex_unlock (&lane->rate->mutex);
}
