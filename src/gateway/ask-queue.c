/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/ask-queue.h"

#include "io/reactor.h"

struct _TcpAskQueue
{
  TcpIoThread *thread;
  TcpOrigins *origins;
  gint64 timeout;
  const TcpAskCallbacks *callbacks;
  GQueue waiting; /* of TcpAsk, oldest first */
  GQueue asked;   /* of TcpAsk, in the order in which they are due */
  TcpTimer *timer; /* gives the next turn, and ends requests that are due */
};

struct _TcpAsk
{
  TcpAskQueue *queue;
  GList link; /* in one of the lists of the queue */
  TcpOrigin *origin;
  gboolean cancelled;    /* the client has left */
  gpointer user_data;    /* invalid once cancelled */
  TcpQuestion *question; /* NULL while it waits */
  gint64 due;            /* when the time to answer is over */
};

static void
queue_reschedule (TcpAskQueue *self)
{
  tcp_timer_set (self->timer, 0);
}

/* The origin may be freed with its last request. */
static void
ask_free (TcpAsk *self)
{
  TcpAskQueue *queue = self->queue;

  if (self->question != NULL)
    {
      g_queue_unlink (&queue->asked, &self->link);
      self->origin->asked--;
      tcp_question_forget (self->question);
      tcp_question_unref (self->question);
      queue_reschedule (queue);
    }
  else
    {
      g_queue_unlink (&queue->waiting, &self->link);
    }
  if (self->cancelled)
    tcp_origins_release (queue->origins, self->origin, tcp_now ());
  g_free (self);
}

static void
ask_finish (TcpAsk          *self,
            const TcpAnswer *answer)
{
  TcpAskQueue *queue = self->queue;
  gpointer user_data = self->user_data;
  gboolean cancelled = self->cancelled;

  ask_free (self);
  if (!cancelled)
    queue->callbacks->answered (answer, user_data);
}

static void
on_answered (TcpQuestion     *question,
             const TcpAnswer *answer,
             gpointer         user_data)
{
  ask_finish (user_data, answer);
}

/* Behind a trusted proxy that does not name its clients, all of them have the same address. */
static gboolean
origin_may_ask (const TcpOrigin *origin)
{
  return origin->trusted || origin->asked < TCP_ASK_MAX_OF_ORIGIN;
}

static gboolean
origin_goes_before (const TcpOrigin *self,
                    const TcpOrigin *other)
{
  if (self->asked != other->asked)
    return self->asked < other->asked;
  return self->known && !other->known;
}

/* The newest request of its address: its client is the most likely to stay until the answer. */
static TcpAsk *
queue_find_next (TcpAskQueue *self)
{
  TcpAsk *next = NULL;

  if (self->asked.length >= TCP_ASK_MAX)
    return NULL;
  for (GList *link = self->waiting.tail; link != NULL; link = link->prev)
    {
      TcpAsk *ask = link->data;

      if (origin_may_ask (ask->origin) && (next == NULL || origin_goes_before (ask->origin, next->origin)))
        next = ask;
    }
  return next;
}

static void
queue_give_turn (TcpAskQueue *self,
                 TcpAsk      *ask)
{
  g_autoptr (TcpQuestion) question = tcp_question_new (self->thread, on_answered, ask);

  g_queue_unlink (&self->waiting, &ask->link);
  g_queue_push_tail_link (&self->asked, &ask->link);
  ask->question = tcp_question_ref (question);
  ask->due = tcp_now () + self->timeout;
  ask->origin->asked++;
  self->callbacks->ask (question, ask->user_data);
}

/* A question that is still in the event queue of the application keeps its place. Otherwise that queue could grow
 * without bound. */
static void
queue_end_due (TcpAskQueue *self)
{
  gint64 now = tcp_now ();
  TcpAsk *ask;

  while ((ask = g_queue_peek_head (&self->asked)) != NULL && ask->due <= now)
    {
      tcp_question_withdraw (ask->question);
      if (tcp_question_was_put (ask->question))
        {
          ask_finish (ask, NULL);
          continue;
        }
      g_queue_unlink (&self->asked, &ask->link);
      g_queue_push_tail_link (&self->asked, &ask->link);
      ask->due = now + self->timeout;
      if (!ask->cancelled)
        {
          gpointer user_data = ask->user_data;

          tcp_ask_cancel (ask);
          self->callbacks->answered (NULL, user_data);
        }
    }
}

static void
on_timer (gpointer user_data)
{
  TcpAskQueue *self = user_data;
  TcpAsk *ask;

  queue_end_due (self);
  while ((ask = queue_find_next (self)) != NULL)
    queue_give_turn (self, ask);
  if (self->asked.length > 0)
    tcp_timer_set (self->timer, ((TcpAsk *) self->asked.head->data)->due);
}

/* @thread is the current one; @timeout, in µs, is the time that the application has for an answer. The other arguments
 * must outlive the queue. */
TcpAskQueue *
tcp_ask_queue_new (TcpIoThread           *thread,
                   TcpOrigins            *origins,
                   gint64                 timeout,
                   const TcpAskCallbacks *callbacks)
{
  TcpAskQueue *self = g_new0 (TcpAskQueue, 1);

  self->thread = thread;
  self->origins = origins;
  self->timeout = timeout;
  self->callbacks = callbacks;
  self->timer = tcp_timer_new (on_timer, self);
  return self;
}

/* All requests must be cancelled before. */
void
tcp_ask_queue_free (TcpAskQueue *self)
{
  while (self->asked.length > 0)
    ask_free (self->asked.head->data);
  tcp_timer_clear (&self->timer);
  g_free (self);
}

/* The callbacks are called from the main loop, with @user_data. */
TcpAsk *
tcp_ask_queue_add (TcpAskQueue *self,
                   TcpOrigin   *origin,
                   gpointer     user_data)
{
  TcpAsk *ask = g_new0 (TcpAsk, 1);

  ask->queue = self;
  ask->link.data = ask;
  ask->origin = origin;
  ask->user_data = user_data;
  g_queue_push_tail_link (&self->waiting, &ask->link);
  queue_reschedule (self);
  return ask;
}

/* The client has left: the callbacks are not called any more. A question keeps its place and its origin until the
 * application has finished with it: otherwise a client could make the application do any amount of work by asking and
 * leaving. */
void
tcp_ask_cancel (TcpAsk *self)
{
  if (self->question == NULL)
    {
      ask_free (self);
      return;
    }

  self->cancelled = TRUE;
  self->origin->pending++;
  tcp_question_withdraw (self->question);
}
