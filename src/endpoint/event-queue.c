/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/event-queue.h"

#include <stdatomic.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/log-thread.h"
#include "base/ref-count.h"
#include "base/tsan.h"

struct _TcpEventQueue
{
  gatomicrefcount refs;
  guint fork_count; /* of the process that has made the queue */
  TcpLock lock;
  GCond cond;
  GQueue events;   /* under the lock */
  gboolean closed; /* likewise */
  gboolean stopped; /* likewise: no more events are added, except the end */
  gboolean finished; /* likewise: the end was added */
  guint claimed; /* likewise: the types that a thread waits for */
  GHashTable *opened; /* likewise: records of connections → events of their opening that are queued */
  GQueue complete; /* likewise: those events whose closing is queued too, in the order of the closings */
  atomic_ullong n_dropped; /* connections */
  guint n_states; /* likewise: the number of queued states and attempts */
  GList *token_required; /* likewise: the last refusal of a token, if it is queued */
  GMainContext *context; /* may have no other reference */
  GThread *home; /* counts as the owner while no thread owns the context; nullable */
  GSource *source;
  atomic_bool ready; /* written under the lock: the source must be dispatched */
  GWeakRef owner;
  TcpEventFunc func;
  gpointer user_data;
};

typedef struct
{
  GSource source;
  TcpEventQueue *queue;
} QueueSource;

void
tcp_event_free (TcpEvent *event)
{
  g_clear_object (&event->object);
  g_clear_error (&event->error);
  g_clear_pointer (&event->record, tcp_record_unref);
  g_free (event->text);
  g_free (event);
}

/* Whether the engine belongs to the parent process: then no events follow, and the queue may be in an inconsistent
 * state. */
gboolean
tcp_event_queue_is_inherited (TcpEventQueue *self)
{
  return self->fork_count != tcp_fork_count ();
}

static gboolean
event_is_state (const TcpEvent *event)
{
  return event->type == TCP_EVENT_STATE || event->type == TCP_EVENT_RETRY;
}

/* Removes and returns the event. Called with the lock held. */
static TcpEvent *
queue_remove (TcpEventQueue *self,
              GList         *link)
{
  TcpEvent *event = link->data;

  if (link == self->token_required)
    self->token_required = NULL;
  g_queue_delete_link (&self->events, link);
  if (event_is_state (event))
    self->n_states--;
  if (event->type == TCP_EVENT_CONNECTION_OPENED)
    g_hash_table_remove (self->opened, event->record);
  if (event->complete != NULL)
    g_queue_delete_link (&self->complete, g_steal_pointer (&event->complete));
  tcp_tsan_acquire (event);
  return event;
}

/* Removes and returns all events. Called with the lock held. */
static GQueue
queue_remove_all (TcpEventQueue *self)
{
  GQueue events = self->events;

  g_queue_init (&self->events);
  g_queue_clear (&self->complete);
  g_hash_table_remove_all (self->opened);
  self->n_states = 0;
  self->token_required = NULL;
  return events;
}

/* Removes the closings of connections whose opening was handled: without them these connections would seem to have
 * broken. Called with the lock held. */
static void
queue_take_ends (TcpEventQueue *self,
                 GQueue        *ends)
{
  for (GList *l = self->events.head, *next; l != NULL; l = next)
    {
      TcpEvent *event = l->data;

      next = l->next;
      if (event->type == TCP_EVENT_CONNECTION_CLOSED && !g_hash_table_contains (self->opened, event->record))
        g_queue_push_tail (ends, queue_remove (self, l));
    }
}

/* Returns the first event of these types. Called with the lock held. */
static TcpEvent *
queue_pop_locked (TcpEventQueue *self,
                  guint          types)
{
  for (GList *l = self->events.head; l != NULL; l = l->next)
    {
      TcpEvent *event = l->data;

      if ((types & TCP_EVENT_MASK (event->type)) != 0)
        return queue_remove (self, l);
    }

  return NULL;
}

/* Uses no ready time: each change of that would wake the context, even in its own thread. */
static gboolean
queue_source_prepare (GSource *source,
                      int     *timeout)
{
  tcp_tsan_acquire (source);
  *timeout = -1;
  return atomic_load (&((QueueSource *) source)->queue->ready);
}

static gboolean
queue_source_check (GSource *source)
{
  tcp_tsan_acquire (source);
  return atomic_load (&((QueueSource *) source)->queue->ready);
}

static gboolean
queue_has_locked (TcpEventQueue *self,
                  guint          types)
{
  for (GList *l = self->events.head; l != NULL; l = l->next)
    if ((types & TCP_EVENT_MASK (((TcpEvent *) l->data)->type)) != 0)
      return TRUE;
  return FALSE;
}

static gboolean
queue_source_dispatch (GSource     *source,
                       GSourceFunc  callback,
                       gpointer     user_data)
{
  TcpEventQueue *self;
  TcpEvent *event = NULL;
  g_autoptr (GObject) owner = NULL;

  tcp_tsan_acquire (source);
  self = ((QueueSource *) source)->queue;
  if (tcp_event_queue_is_inherited (self))
    return G_SOURCE_REMOVE;

  owner = g_weak_ref_get (&self->owner);

  /* Another thread has dropped the last reference, and closes the queue next. */
  if (owner == NULL)
    {
      atomic_store (&self->ready, FALSE);
      return G_SOURCE_CONTINUE;
    }

  /* One event at a time: a handler may iterate the loop, or close or drop the tunnel, and the application's other
   * sources must get their turn. */
  tcp_lock (&self->lock);
  if (!self->closed)
    {
      event = queue_pop_locked (self, ~self->claimed);
      if (!queue_has_locked (self, ~self->claimed))
        atomic_store (&self->ready, FALSE);
    }
  tcp_unlock (&self->lock);

  if (event != NULL)
    {
      tcp_event_queue_ref (self);
      tcp_log_thread_settle ();
      self->func (self, event, self->user_data);
      tcp_event_free (event);
      g_clear_object (&owner);
      tcp_event_queue_unref (self);
    }

  return G_SOURCE_CONTINUE;
}

static void
queue_source_finalize (GSource *source)
{
  tcp_event_queue_unref (((QueueSource *) source)->queue);
}

static GSourceFuncs queue_source_funcs = {
  .prepare = queue_source_prepare,
  .check = queue_source_check,
  .dispatch = queue_source_dispatch,
  .finalize = queue_source_finalize,
};

/* @func is called in @context, until the queue is closed; @owner, of which @user_data may be a part, is referenced
 * during the call. The queue itself does not keep the owner alive. */
TcpEventQueue *
tcp_event_queue_new (GMainContext *context,
                     GObject      *owner,
                     TcpEventFunc  func,
                     gpointer      user_data)
{
  TcpEventQueue *self = g_new0 (TcpEventQueue, 1);

  g_atomic_ref_count_init (&self->refs);
  self->fork_count = tcp_fork_count ();
  tcp_lock_init (&self->lock);
  g_cond_init (&self->cond);
  self->opened = g_hash_table_new (NULL, NULL);
  g_weak_ref_init (&self->owner, owner);
  self->func = func;
  self->user_data = user_data;
  self->context = g_main_context_ref (context != NULL ? context : g_main_context_default ());
  if (g_main_context_is_owner (self->context))
    self->home = g_thread_ref (g_thread_self ());
  self->source = g_source_new (&queue_source_funcs, sizeof (QueueSource));
  ((QueueSource *) self->source)->queue = tcp_event_queue_ref (self);
  g_source_set_static_name (self->source, "[tcptunnel] events");
  /* A handler may iterate the context, for example for a dialog. */
  g_source_set_can_recurse (self->source, TRUE);
  tcp_tsan_release (self->source);
  g_source_attach (self->source, self->context);

  return self;
}

TcpEventQueue *
tcp_event_queue_ref (TcpEventQueue *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_event_queue_unref (TcpEventQueue *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_queue_clear_full (&self->events, (GDestroyNotify) tcp_event_free);
  g_queue_clear (&self->complete);
  g_hash_table_unref (self->opened);
  g_weak_ref_clear (&self->owner);
  g_main_context_unref (self->context);
  g_clear_pointer (&self->home, g_thread_unref);
  tcp_lock_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

/* Removes events that exceed the limits. Called with the lock held. */
static void
queue_make_room (TcpEventQueue *self,
                 GQueue        *dropped)
{
  if (self->complete.length > TCP_EVENT_QUEUE_CAP / 2)
    {
      TcpEvent *opened = g_queue_peek_head (&self->complete);

      g_queue_push_tail (dropped, queue_remove (self, opened->closed));
      g_queue_push_tail (dropped, queue_remove (self, opened->link));
      atomic_fetch_add_explicit (&self->n_dropped, 1, memory_order_relaxed);
    }
  for (GList *l = self->events.head; l != NULL && self->n_states > TCP_EVENT_QUEUE_CAP; l = l->next)
    if (event_is_state (l->data))
      {
        g_queue_push_tail (dropped, queue_remove (self, l));
        break;
      }
}

/* Called with the lock held, when the event is queued. */
static void
queue_enlist (TcpEventQueue *self,
              TcpEvent      *event)
{
  TcpEvent *opened;

  event->link = self->events.tail;
  if (event_is_state (event))
    self->n_states++;
  if (event->type == TCP_EVENT_TOKEN_REQUIRED)
    self->token_required = event->link;
  if (event->type == TCP_EVENT_CONNECTION_OPENED)
    g_hash_table_insert (self->opened, event->record, event);
  if (event->type != TCP_EVENT_CONNECTION_CLOSED)
    return;

  opened = g_hash_table_lookup (self->opened, event->record);
  if (opened == NULL)
    return;
  opened->closed = event->link;
  g_queue_push_tail (&self->complete, opened);
  opened->complete = self->complete.tail;
}

static TcpEvent *
event_new (TcpEventType  type,
           const GError *error)
{
  TcpEvent *event = g_new0 (TcpEvent, 1);

  event->type = type;
  if (error != NULL)
    event->error = g_error_copy (error);
  return event;
}

/* Takes ownership of the event. Called with the lock held. Returns whether to wake the context, which the caller does
 * without the lock, since the thread that wakes up would have to wait for it. */
static gboolean
queue_append_locked (TcpEventQueue *self,
                     TcpEvent      *event)
{
  tcp_tsan_release (event);
  g_queue_push_tail (&self->events, event);
  queue_enlist (self, event);
  g_cond_broadcast (&self->cond);
  return !atomic_exchange (&self->ready, TRUE);
}

/* Takes ownership of the event. */
static void
queue_push (TcpEventQueue *self,
            TcpEvent      *event)
{
  GQueue dropped = G_QUEUE_INIT;
  gboolean wake = FALSE;

  tcp_lock (&self->lock);
  if (self->closed || self->stopped)
    {
      g_queue_push_tail (&dropped, event);
    }
  else
    {
      if (event->type == TCP_EVENT_TOKEN_REQUIRED && self->token_required != NULL)
        g_queue_push_tail (&dropped, queue_remove (self, self->token_required));
      wake = queue_append_locked (self, event);
      queue_make_room (self, &dropped);
    }
  tcp_unlock (&self->lock);
  if (wake)
    g_main_context_wakeup (self->context);

  g_queue_clear_full (&dropped, (GDestroyNotify) tcp_event_free);
}

void
tcp_event_queue_push_started (TcpEventQueue  *self,
                              GSocketAddress *address,
                              const char     *uri,
                              const GError   *error)
{
  TcpEvent *event = event_new (TCP_EVENT_STARTED, error);

  event->object = G_OBJECT (tcp_record_copy_address (address));
  event->text = g_strdup (uri);
  queue_push (self, event);
}

void
tcp_event_queue_push_state (TcpEventQueue *self,
                            int            state)
{
  TcpEvent *event = event_new (TCP_EVENT_STATE, NULL);

  event->value = state;
  queue_push (self, event);
}

void
tcp_event_queue_push_retry (TcpEventQueue *self,
                            const GError  *error,
                            guint          attempt,
                            guint          delay)
{
  TcpEvent *event = event_new (TCP_EVENT_RETRY, error);

  event->value = MIN (attempt, G_MAXINT);
  event->id = delay;
  queue_push (self, event);
}

void
tcp_event_queue_push_opened (TcpEventQueue  *self,
                             TcpRecord      *record,
                             GSocketAddress *client)
{
  TcpEvent *event = event_new (TCP_EVENT_CONNECTION_OPENED, NULL);

  event->record = tcp_record_ref (record);
  event->object = G_OBJECT (tcp_record_copy_address (client));
  queue_push (self, event);
}

void
tcp_event_queue_push_closed (TcpEventQueue *self,
                             TcpRecord     *record,
                             const GError  *error)
{
  TcpEvent *event = event_new (TCP_EVENT_CONNECTION_CLOSED, error);

  tcp_record_end (record);
  event->record = tcp_record_ref (record);
  queue_push (self, event);
}

void
tcp_event_queue_push_token_required (TcpEventQueue *self,
                                     guint          serial)
{
  TcpEvent *event = event_new (TCP_EVENT_TOKEN_REQUIRED, NULL);

  event->id = serial;
  queue_push (self, event);
}

/* Takes ownership of the object. */
void
tcp_event_queue_push_authenticate (TcpEventQueue *self,
                                   GObject       *authentication)
{
  TcpEvent *event = event_new (TCP_EVENT_AUTHENTICATE, NULL);

  event->object = authentication;
  queue_push (self, event);
}

void
tcp_event_queue_push_drained (TcpEventQueue *self,
                              guint64        id,
                              const GError  *error)
{
  TcpEvent *event = event_new (TCP_EVENT_DRAINED, error);

  event->id = id;
  queue_push (self, event);
}

void
tcp_event_queue_push_failed (TcpEventQueue *self,
                             const GError  *error)
{
  queue_push (self, event_new (TCP_EVENT_FAILED, error));
}

void
tcp_event_queue_push_address (TcpEventQueue *self)
{
  queue_push (self, event_new (TCP_EVENT_ADDRESS, NULL));
}

/* Leaves events of these types to tcp_event_queue_wait (). */
void
tcp_event_queue_claim (TcpEventQueue *self,
                       guint          types)
{
  tcp_lock (&self->lock);
  self->claimed = types;
  tcp_unlock (&self->lock);
}

/* Whether the calling thread handles the events, and may do so until tcp_event_queue_leave (): it owns the context.
 * While no thread does, the context belongs to the thread that owned it when the queue was made; the default context
 * also belongs to the main thread. */
gboolean
tcp_event_queue_enter (TcpEventQueue *self)
{
  gboolean is_home = self->home == g_thread_self () ||
                     (self->context == g_main_context_default () && getpid () == gettid ());

  return (is_home || g_main_context_is_owner (self->context)) && g_main_context_acquire (self->context);
}

void
tcp_event_queue_leave (TcpEventQueue *self)
{
  g_main_context_release (self->context);
}

/* Blocks until there is an event of these types, which then overtakes others. NULL if @over has become TRUE, see
 * tcp_event_queue_wake (), or @deadline, in monotonic time, has passed, or a signal handler has forked meanwhile and
 * this is the child. */
TcpEvent *
tcp_event_queue_wait (TcpEventQueue *self,
                      guint          types,
                      atomic_bool   *over,
                      gint64         deadline)
{
  TcpEvent *event = NULL;

  if (tcp_event_queue_is_inherited (self))
    return NULL;

  tcp_lock (&self->lock);
  while (!atomic_load (over) && !tcp_event_queue_is_inherited (self) &&
         (event = queue_pop_locked (self, types)) == NULL)
    if (!tcp_lock_wait_until (&self->lock, &self->cond, deadline))
      break;
  tcp_unlock (&self->lock);

  return event;
}

/* Makes all threads that wait check whether their wait is over. */
void
tcp_event_queue_wake (TcpEventQueue *self)
{
  if (tcp_event_queue_is_inherited (self))
    return;

  tcp_lock (&self->lock);
  g_cond_broadcast (&self->cond);
  tcp_unlock (&self->lock);
}

/* Accepts no more events. If queued events are dropped (@drop), closings are left. */
void
tcp_event_queue_stop (TcpEventQueue *self,
                      gboolean       drop)
{
  GQueue dropped = G_QUEUE_INIT;
  gboolean wake = FALSE;

  if (tcp_event_queue_is_inherited (self))
    return;

  tcp_lock (&self->lock);
  if (!self->closed && !self->stopped)
    {
      self->stopped = TRUE;
      self->claimed = 0;
      if (drop)
        {
          GQueue ends = G_QUEUE_INIT;
          TcpEvent *event;

          queue_take_ends (self, &ends);
          dropped = queue_remove_all (self);
          while ((event = g_queue_pop_head (&ends)) != NULL)
            wake |= queue_append_locked (self, event);
        }
    }
  tcp_unlock (&self->lock);
  if (wake)
    g_main_context_wakeup (self->context);

  g_queue_clear_full (&dropped, (GDestroyNotify) tcp_event_free);
}

/* Queued events of a queue that was stopped are still handled in the main context, followed by the end. */
void
tcp_event_queue_finish (TcpEventQueue *self,
                        gboolean       had_address,
                        int            state)
{
  gboolean wake = FALSE;
  TcpEvent *end;

  if (tcp_event_queue_is_inherited (self))
    return;

  end = event_new (TCP_EVENT_CLOSED, NULL);
  end->value = state;
  tcp_lock (&self->lock);
  if (!self->closed && !self->finished)
    {
      self->finished = TRUE;
      if (had_address)
        wake |= queue_append_locked (self, event_new (TCP_EVENT_ADDRESS, NULL));
      wake |= queue_append_locked (self, g_steal_pointer (&end));
    }
  tcp_unlock (&self->lock);
  if (wake)
    g_main_context_wakeup (self->context);

  g_clear_pointer (&end, tcp_event_free);
}

/* Closings that @former has left are handled in this queue, if it is not closed yet. */
void
tcp_event_queue_adopt (TcpEventQueue *self,
                       TcpEventQueue *former)
{
  GQueue ends = G_QUEUE_INIT;
  gboolean wake = FALSE;
  TcpEvent *event;

  if (tcp_event_queue_is_inherited (former))
    return;

  tcp_lock (&former->lock);
  queue_take_ends (former, &ends);
  tcp_unlock (&former->lock);

  tcp_lock (&self->lock);
  while ((event = g_queue_pop_head (&ends)) != NULL)
    wake |= queue_append_locked (self, event);
  tcp_unlock (&self->lock);
  if (wake)
    g_main_context_wakeup (self->context);
}

/* After this no event is handled any more. Queued events are moved to @events, except closings of connections whose
 * opening was handled: these are moved to @ends, unless that is NULL. */
static void
queue_close (TcpEventQueue *self,
             GQueue        *ends,
             GQueue        *events)
{
  gboolean was_closed;

  g_queue_init (events);
  if (tcp_event_queue_is_inherited (self))
    {
      if (self->source != NULL)
        g_source_destroy (self->source);
      return;
    }

  tcp_lock (&self->lock);
  was_closed = self->closed;
  self->closed = TRUE;
  if (ends != NULL)
    queue_take_ends (self, ends);
  *events = queue_remove_all (self);
  g_cond_broadcast (&self->cond);
  tcp_unlock (&self->lock);

  if (!was_closed)
    {
      g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
    }
}

/* Drops queued events, except those that are moved to @ends, unless that is NULL: see queue_close (). */
void
tcp_event_queue_close (TcpEventQueue *self,
                       GQueue        *ends)
{
  GQueue events;

  queue_close (self, ends, &events);
  g_queue_clear_full (&events, (GDestroyNotify) tcp_event_free);
}

/* The same, but returns the values of the end, see tcp_event_queue_finish (). FALSE if the end was handled or there is
 * none. */
gboolean
tcp_event_queue_close_at_end (TcpEventQueue *self,
                              GQueue        *ends,
                              gboolean      *had_address,
                              int           *state)
{
  GQueue events;
  gboolean has_end = FALSE;

  *had_address = FALSE;
  queue_close (self, ends, &events);
  for (GList *l = events.head; l != NULL; l = l->next)
    {
      TcpEvent *event = l->data;

      tcp_tsan_acquire (event);
      if (event->type == TCP_EVENT_ADDRESS)
        *had_address = TRUE;
      if (event->type == TCP_EVENT_CLOSED)
        {
          has_end = TRUE;
          *state = event->value;
        }
    }
  g_queue_clear_full (&events, (GDestroyNotify) tcp_event_free);

  return has_end;
}

guint
tcp_event_queue_get_length (TcpEventQueue *self)
{
  guint length;

  tcp_lock (&self->lock);
  length = g_queue_get_length (&self->events);
  tcp_unlock (&self->lock);

  return length;
}

/* The number of connections that are not delivered, since the application was too slow. */
guint64
tcp_event_queue_get_n_dropped (TcpEventQueue *self)
{
  return atomic_load_explicit (&self->n_dropped, memory_order_relaxed);
}
