/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/dial-queue.h"

#include "base/ref-count.h"
#include "base/tsan.h"

struct _TcpDialQueue
{
  GMutex mutex;
  TcpQuota quota;
  GQueue shares; /* under the mutex: of TcpDialShare, those of which a caller waits; the next first */
};

struct _TcpDialTicket
{
  gatomicrefcount refs; /* one is that of a call that is on its way to its thread */
  TcpDialQueue *queue;
  TcpDialCaller *caller;
  TcpIoThread *thread;
  TcpDialTicketFunc func; /* only touched on the thread of whoever asked */
  gpointer user_data;

  /* Under the mutex of the queue */
  gboolean granted;
  GList link; /* among those of its caller that wait */
};

TcpDialQueue *
tcp_dial_queue_new (guint max)
{
  TcpDialQueue *self = g_new0 (TcpDialQueue, 1);

  g_mutex_init (&self->mutex);
  tcp_quota_init (&self->quota, max);
  return self;
}

/* All tickets were returned. */
void
tcp_dial_queue_free (TcpDialQueue *self)
{
  g_assert (g_queue_is_empty (&self->shares));

  tcp_quota_clear (&self->quota);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* How many may be under way. */
TcpQuota *
tcp_dial_queue_get_quota (TcpDialQueue *self)
{
  return &self->quota;
}

/* It has to stay until all its tickets were returned. */
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

/* All of the following hold the mutex. */

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

/* Whether it has as many as one caller may have, which is half of those of its principal. */
static gboolean
caller_is_full (TcpDialCaller *self)
{
  return self->used >= (self->share->quota.max + 1) / 2;
}

static gboolean
caller_enter (TcpDialQueue  *self,
              TcpDialCaller *caller)
{
  if (tcp_quota_enter (&self->quota, &caller->share->quota) != TCP_QUOTA_ENTERED)
    return FALSE;

  caller->used++;
  return TRUE;
}

/* Those up to @link have had their turn. */
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

/* The first of the caller whose turn it is, of those that may have one more. At most three are looked at, however
 * many wait: no more than two can have half of what there is, and what the quota refuses to one it refuses to all. */
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
  /* It may have been returned meanwhile. */
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

/* For those who ask */

/* The ticket may be granted at once, which @granted says; if not, @func is called on @thread, the current one,
 * when it is. */
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
  /* Not before those that wait already. */
  ticket->granted = g_queue_is_empty (&caller->tickets) && !caller_is_full (caller) && caller_enter (self, caller);
  *granted = ticket->granted;
  if (!ticket->granted)
    caller_add (self, ticket);
  g_mutex_unlock (&self->mutex);
  return ticket;
}

/* Frees it, on the thread of whoever asked; another may have its place. */
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
  g_mutex_unlock (&queue->mutex);
  ticket_unref (self);
}
