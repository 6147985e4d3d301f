/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/dial-queue.h"

#include "base/ref-count.h"
#include "base/tsan.h"
#include "io/reactor.h"

struct _TcpDialQueue
{
  gatomicrefcount refs;
  TcpIoThread *thread;
  GMutex mutex;
  TcpQuota quota;

  /* under the mutex */
  GQueue shares; /* of TcpDialShare, those with waiting callers; the next one first */
  gint64 due;    /* when the thread must serve them, 0 for never */
  gint64 known;  /* the value of due that was last passed to the thread */

  TcpTimer *timer; /* only used on the thread; NULL if no call waits for a point in time */
};

struct _TcpDialTicket
{
  gatomicrefcount refs; /* a call that is being passed to its thread holds one */
  TcpDialQueue *queue;
  TcpDialCaller *caller;
  TcpIoThread *thread;
  TcpDialTicketFunc func; /* only used on the thread of the caller */
  gpointer user_data;

  /* under the mutex of the queue */
  gboolean granted;
  GList link; /* among the waiting tickets of its caller */
};

/* The timer of @thread serves the callers that wait for a point in time. */
TcpDialQueue *
tcp_dial_queue_new (guint        max,
                    TcpIoThread *thread)
{
  TcpDialQueue *self = g_new0 (TcpDialQueue, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->mutex);
  self->thread = thread;
  tcp_quota_init (&self->quota, max);
  return self;
}

static TcpDialQueue *
queue_ref (TcpDialQueue *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

/* All tickets must have been returned. */
void
tcp_dial_queue_unref (TcpDialQueue *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_assert (g_queue_is_empty (&self->shares));

  tcp_quota_clear (&self->quota);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* The limit on connections that are being opened. */
TcpQuota *
tcp_dial_queue_get_quota (TcpDialQueue *self)
{
  return &self->quota;
}

/* The caller must stay valid until all its tickets were returned. */
void
tcp_dial_caller_init (TcpDialCaller *self,
                      TcpDialShare  *share)
{
  *self = (TcpDialCaller) { .share = share };
  self->link.data = self;
}

static void
ticket_unref (gpointer data)
{
  TcpDialTicket *self = data;

  if (tcp_ref_count_dec (&self->refs))
    g_free (self);
}

/* All of the following functions are called with the mutex held. */

static void
share_add (TcpDialQueue  *self,
           TcpDialCaller *caller)
{
  TcpDialShare *share = caller->share;

  if (g_queue_is_empty (&share->callers))
    {
      share->link.data = share;
      g_queue_push_tail_link (&self->shares, &share->link);
    }
  g_queue_push_tail_link (&share->callers, &caller->link);
}

static void
share_remove (TcpDialQueue  *self,
              TcpDialCaller *caller)
{
  TcpDialShare *share = caller->share;

  g_queue_unlink (&share->callers, &caller->link);
  if (g_queue_is_empty (&share->callers))
    g_queue_unlink (&self->shares, &share->link);
}

static void
caller_add (TcpDialQueue  *self,
            TcpDialTicket *ticket)
{
  TcpDialCaller *caller = ticket->caller;

  if (g_queue_is_empty (&caller->tickets))
    share_add (self, caller);
  g_queue_push_tail_link (&caller->tickets, &ticket->link);
}

static void
caller_remove (TcpDialQueue  *self,
               TcpDialTicket *ticket)
{
  TcpDialCaller *caller = ticket->caller;

  g_queue_unlink (&caller->tickets, &ticket->link);
  if (g_queue_is_empty (&caller->tickets))
    share_remove (self, caller);
}

/* Whether it has as many as one caller may have, which is half of the limit of its principal. */
static gboolean
caller_is_full (TcpDialCaller *self)
{
  return self->used >= (self->share->quota.max + 1) / 2;
}

/* Whether the rate allows one more now. */
static gboolean
share_has_time (TcpDialQueue *self,
                TcpDialShare *share)
{
  gint64 due;

  if (share->rate.rate == 0 || tcp_bucket_fill (&share->rate, tcp_now ()) > 0)
    return TRUE;

  due = tcp_bucket_get_due (&share->rate, 1);
  self->due = self->due > 0 ? MIN (self->due, due) : due;
  return FALSE;
}

static gboolean
caller_enter (TcpDialQueue  *self,
              TcpDialCaller *caller)
{
  TcpDialShare *share = caller->share;

  if (!share_has_time (self, share) || tcp_quota_enter (&self->quota, &share->quota) != TCP_QUOTA_ENTERED)
    return FALSE;

  tcp_bucket_take (&share->rate, 1);
  caller->used++;
  return TRUE;
}

/* Moves the callers up to @link, which have had their turn, to the end. */
static void
share_rotate (TcpDialShare *self,
              GList        *link)
{
  GList *head;

  do
    {
      head = g_queue_pop_head_link (&self->callers);
      g_queue_push_tail_link (&self->callers, head);
    }
  while (head != link);
}

/* Returns the first ticket of the next caller that may have one more. It checks at most three callers, however many
 * wait: no more than two can have half of the limit, and what the quota or the rate refuses to one caller it refuses to
 * all. */
static TcpDialTicket *
share_next (TcpDialQueue *self,
            TcpDialShare *share)
{
  GList *link = share->callers.head;

  while (link != NULL && caller_is_full (link->data))
    link = link->next;
  if (link == NULL || !caller_enter (self, link->data))
    return NULL;

  share_rotate (share, link);
  return ((TcpDialCaller *) link->data)->tickets.head->data;
}

static TcpDialTicket *
queue_next (TcpDialQueue *self)
{
  for (guint n = self->shares.length; n > 0; n--)
    {
      TcpDialShare *share = self->shares.head->data;
      TcpDialTicket *ticket;

      g_queue_unlink (&self->shares, &share->link);
      g_queue_push_tail_link (&self->shares, &share->link);
      ticket = share_next (self, share);
      if (ticket != NULL)
        return ticket;
    }
  return NULL;
}

static void
ticket_call (gpointer data)
{
  TcpDialTicket *self = data;

  tcp_tsan_acquire (self);
  /* The ticket may have been returned meanwhile. */
  if (self->func != NULL)
    self->func (self->user_data);
}

static void
queue_serve (TcpDialQueue *self)
{
  TcpDialTicket *ticket;

  while ((ticket = queue_next (self)) != NULL)
    {
      caller_remove (self, ticket);
      ticket->granted = TRUE;
      g_atomic_ref_count_inc (&ticket->refs);
      tcp_tsan_release (ticket);
      tcp_io_thread_invoke (ticket->thread, ticket_call, ticket, ticket_unref);
    }
}

/* The timer. All of this but the last function runs on the thread, without the mutex. */

static void
on_due (gpointer user_data);

/* Sets or drops the timer, and the reference that it holds. */
static void
queue_update_timer (gpointer data)
{
  TcpDialQueue *self = data;
  gint64 due;

  g_mutex_lock (&self->mutex);
  due = self->known = self->due;
  g_mutex_unlock (&self->mutex);

  if (due == 0 && self->timer == NULL)
    return;
  if (due == 0)
    {
      tcp_timer_clear (&self->timer);
      tcp_dial_queue_unref (self);
      return;
    }
  if (self->timer == NULL)
    self->timer = tcp_timer_new (on_due, queue_ref (self));
  tcp_timer_set (self->timer, due);
}

static void
on_due (gpointer user_data)
{
  TcpDialQueue *self = user_data;

  g_mutex_lock (&self->mutex);
  self->due = 0;
  queue_serve (self);
  g_mutex_unlock (&self->mutex);
  queue_update_timer (self);
}

/* Unlocks the queue, and has the timer set if the time at which it is due has changed. */
static void
queue_unlock (TcpDialQueue *self)
{
  if (self->due != self->known)
    tcp_io_thread_invoke (self->thread, queue_update_timer, queue_ref (self), (GDestroyNotify) tcp_dial_queue_unref);
  self->known = self->due;
  g_mutex_unlock (&self->mutex);
}

/* The quota has changed, so that there may be room for more. */
void
tcp_dial_queue_review (TcpDialQueue *self)
{
  g_mutex_lock (&self->mutex);
  queue_serve (self);
  queue_unlock (self);
}

/* For callers */

/* Sets how many connections of a principal may begin per second; 0 is unlimited. @property is static. */
void
tcp_dial_queue_set_rate (TcpDialQueue *self,
                         TcpDialShare *share,
                         guint         per_second,
                         const char   *property)
{
  g_mutex_lock (&self->mutex);
  share->rate_property = property;
  if (share->rate.rate != per_second)
    {
      tcp_bucket_set_rate (&share->rate, per_second, tcp_now ());
      queue_serve (self);
    }
  queue_unlock (self);
}

/* The ticket may be granted at once, which sets @granted; otherwise @func is called on @thread, the current one, when
 * it is granted. */
TcpDialTicket *
tcp_dial_queue_ask (TcpDialQueue      *self,
                    TcpDialCaller     *caller,
                    TcpIoThread       *thread,
                    TcpDialTicketFunc  func,
                    gpointer           user_data,
                    gboolean          *granted)
{
  TcpDialTicket *ticket = g_new0 (TcpDialTicket, 1);

  g_atomic_ref_count_init (&ticket->refs);
  ticket->queue = self;
  ticket->caller = caller;
  ticket->thread = thread;
  ticket->func = func;
  ticket->user_data = user_data;
  ticket->link.data = ticket;

  g_mutex_lock (&self->mutex);
  /* Tickets of the caller that wait already go first. */
  ticket->granted = g_queue_is_empty (&caller->tickets) && !caller_is_full (caller) && caller_enter (self, caller);
  *granted = ticket->granted;
  if (!ticket->granted)
    caller_add (self, ticket);
  queue_unlock (self);
  return ticket;
}

/* The reason for which the ticket waits: the limit, and its value. */
char *
tcp_dial_ticket_dup_obstacle (TcpDialTicket   *self,
                              TcpDialObstacle *which)
{
  TcpDialQueue *queue = self->queue;
  TcpDialShare *share = self->caller->share;
  guint max = share->quota.max;
  const char *property = share->quota.property;
  guint rate;
  gboolean own;

  g_mutex_lock (&queue->mutex);
  rate = share->rate.rate > 0 && tcp_bucket_fill (&share->rate, tcp_now ()) == 0 ? share->rate.rate : 0;
  own = caller_is_full (self->caller) || share->quota.used >= max;
  if (rate > 0)
    property = share->rate_property;
  queue_unlock (queue);

  *which = rate > 0 ? TCP_DIAL_MAX_PRINCIPAL_DIAL_RATE : own ? TCP_DIAL_MAX_PRINCIPAL_DIALS : TCP_DIAL_MAX_DIALS;
  if (rate > 0)
    return g_strdup_printf ("the principal may begin %u connections a second (%s)", rate, property);
  if (own)
    return g_strdup_printf ("the principal may have %u under way, and each client half of that (%s)", max, property);
  return g_strdup_printf ("the gateway may have %u under way (max-dials)", queue->quota.max);
}

/* Frees the ticket, on the thread of its caller; another one may take its place. */
void
tcp_dial_ticket_return (TcpDialTicket *self)
{
  TcpDialQueue *queue = self->queue;

  self->func = NULL;
  g_mutex_lock (&queue->mutex);
  if (self->granted)
    {
      self->caller->used--;
      tcp_quota_leave (&queue->quota, &self->caller->share->quota);
      queue_serve (queue);
    }
  else
    {
      caller_remove (queue, self);
    }
  queue_unlock (queue);
  ticket_unref (self);
}
