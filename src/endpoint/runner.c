/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/runner.h"

#include "base/fork.h"
#include "base/i18n.h"
#include "base/log-thread.h"
#include "base/tsan.h"
#include "io/descriptors.h"

#include <tcptunnel/tcptunnel.h>

/* The parts that an end takes from the runner, under the lock; the rest of the end is done without it. */
typedef struct
{
  gpointer engine;
  gboolean is_inherited; /* from the parent of this process */
  guint run;
  TcpEventQueue *events;
  GQueue ends; /* closings of connections that are queued: of TcpEvent */
  GQueue waits;
  gboolean was_active;
  int state; /* the last one before the end */
  GSocketAddress *former_address; /* of the former engine; freeing it may run code that the application has attached */
} Remains;

void
tcp_runner_init (TcpRunner            *self,
                 const TcpRunnerClass *klass,
                 GObject              *owner,
                 TcpStatus            *status)
{
  self->klass = klass;
  self->owner = owner;
  self->status = status;
  tcp_lock_init (&self->lock);
  g_cond_init (&self->cond);
}

void
tcp_runner_clear (TcpRunner *self)
{
  g_clear_object (&self->last_address);
  g_cond_clear (&self->cond);
  tcp_lock_clear (&self->lock);
}

void
tcp_runner_lock (TcpRunner *self)
{
  tcp_lock (&self->lock);
}

void
tcp_runner_unlock (TcpRunner *self)
{
  tcp_unlock (&self->lock);
}

/* Ends */

/* Whether the engine runs in the process that has forked this one. */
static gboolean
runner_is_inherited (TcpRunner *self)
{
  return self->fork_count != tcp_fork_count ();
}

/* Whether there is an engine of this process that has not ended. Called with the lock held. */
gboolean
tcp_runner_has_engine (TcpRunner *self)
{
  return self->engine != NULL && !runner_is_inherited (self) && !tcp_status_get (self->status, ended);
}

/* TRUE from a successful start until the end. Called with the lock held. */
gboolean
tcp_runner_is_active (TcpRunner *self)
{
  return self->active && tcp_runner_has_engine (self);
}

/* Whether a close has no other thread to wait for. Called with the lock held. */
gboolean
tcp_runner_can_close_at_once (TcpRunner *self)
{
  return !self->closing && (self->engine == NULL || runner_is_inherited (self));
}

/* Called with the lock held, while the engine runs or is being started. Until the end, see runner_end (), starts and
 * other closes wait. */
static Remains
runner_take (TcpRunner *self)
{
  Remains remains = {
    .engine = g_steal_pointer (&self->engine),
    .is_inherited = runner_is_inherited (self),
    .run = self->run,
    .events = tcp_event_queue_ref (self->events),
    .ends = G_QUEUE_INIT,
    .waits = self->waits,
    .was_active = self->active,
    .state = tcp_status_get (self->status, state),
    .former_address = self->last_address,
  };

  g_queue_init (&self->waits);
  self->last_address = g_steal_pointer (&self->address);
  self->active = FALSE;
  g_clear_pointer (&self->uri, g_free);
  self->starting = FALSE;
  self->draining = FALSE;
  self->closing = TRUE;
  self->close_fork_count = tcp_fork_count ();
  return remains;
}

/* g_cancellable_disconnect () would wait for running handlers: one of them may be the application's that has called us.
 * Called when the wait is not in the list any more. */
static void
wait_forget_cancellable (TcpWait *wait)
{
  g_autoptr (GCancellable) cancellable = g_steal_pointer (&wait->cancellable);

  if (cancellable != NULL)
    g_signal_handler_disconnect (cancellable, wait->cancelled_id);
}

static void
runner_end_wait (TcpRunner    *self,
                 TcpWait      *wait,
                 const GError *error,
                 gboolean      in_order)
{
  GError *why = error != NULL ? g_error_copy (error) : NULL;

  if (!in_order)
    why = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED,
                       wait->id == 0 ? _("%s was closed while it was being started")
                                     : _("%s was closed while it was being drained"),
                       _(self->klass->noun));
  tcp_wait_end (wait, why);
  tcp_wait_unref (wait);
}

static void
runner_end_waits (TcpRunner    *self,
                  GQueue       *waits,
                  gboolean      blocking,
                  const GError *error,
                  gboolean      in_order)
{
  for (GList *l = waits->head, *next; l != NULL; l = next)
    {
      TcpWait *wait = l->data;

      next = l->next;
      if ((wait->task == NULL) != blocking)
        continue;
      g_queue_delete_link (waits, l);
      runner_end_wait (self, wait, error, in_order);
    }
}

/* Whether this thread may emit signals: see tcp_event_queue_enter (). */
static gboolean
events_are_here (TcpEventQueue *events)
{
  if (!tcp_event_queue_enter (events))
    return FALSE;
  tcp_event_queue_leave (events);
  return TRUE;
}

static void
runner_emit_here (TcpRunner *self,
                  gpointer   engine,
                  guint      run,
                  TcpEvent  *event)
{
  event->run = run;
  self->klass->emit (self->owner, engine, event);
}

/* @quiet: updates the state only, without signals. */
static void
runner_emit_end (TcpRunner *self,
                 Remains   *remains,
                 TcpEvent  *event,
                 gboolean   quiet)
{
  TcpEvent closed = { .type = TCP_EVENT_CLOSED, .value = remains->state };
  TcpEvent over = { .type = TCP_EVENT_OVER, .ends = &remains->ends };

  if (event == NULL)
    event = &closed;
  over.error = event->error;
  runner_emit_here (self, NULL, remains->run, &over);
  if (remains->was_active && !quiet)
    runner_emit_here (self, NULL, remains->run, &(TcpEvent) { .type = TCP_EVENT_ADDRESS });
  if (!quiet)
    runner_emit_here (self, NULL, remains->run, event);
}

static void
runner_set_fork_error (TcpRunner  *self,
                       GError    **error)
{
  g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
               _("%s was started before a fork, and runs in the parent process; close it, or use another"),
               _(self->klass->noun));
}

/* Called with the lock held. A close in another thread of the parent does not end in a forked child: the state that it
 * left is cleared. */
static void
runner_wait_for_close (TcpRunner *self)
{
  while (self->closing && self->close_fork_count == tcp_fork_count ())
    tcp_lock_wait_until (&self->lock, &self->cond, G_MAXINT64);
  if (!self->closing)
    return;

  self->closing = FALSE;
  tcp_status_end (self->status);
}

/* The threads of an inherited engine do not exist here, and its state may be inconsistent. It is left as it is; its
 * descriptors were closed at the fork. */
static void
runner_abandon (TcpRunner *self,
                gpointer   engine)
{
  static GSList *abandoned = NULL; /* lets leak checkers find them; without a lock, which could be held at a fork */
  GSList *link = g_slist_prepend (NULL, engine);

  do
    link->next = g_atomic_pointer_get (&abandoned);
  while (!g_atomic_pointer_compare_and_exchange (&abandoned, link->next, link));
  tcp_status_end (self->status);
}

/* Closes the engine, ends all waits and emits the end. @in_order: the waits end with @error or without one; otherwise
 * they end with %TCP_TUNNEL_ERROR_CLOSED, and pending events are dropped. @event is the last to be emitted, NULL for
 * that of a close; if nothing may be emitted any more, @quiet is set. */
static void
runner_end (TcpRunner    *self,
            Remains      *remains,
            gboolean      in_order,
            const GError *error,
            TcpEvent     *event,
            gboolean      quiet)
{
  gboolean here = quiet || events_are_here (remains->events);

  for (GList *l = remains->waits.head; l != NULL; l = l->next)
    wait_forget_cancellable (l->data);

  if (here)
    tcp_event_queue_close (remains->events, &remains->ends);
  else
    tcp_event_queue_stop (remains->events, !in_order);
  if (remains->is_inherited)
    {
      runner_abandon (self, remains->engine);
    }
  else
    {
      self->klass->close (remains->engine);
      self->klass->unref (remains->engine);
    }
  /* Not before, or the context could emit the end while the state is still that of an engine that runs. */
  if (!here)
    tcp_event_queue_finish (remains->events, remains->was_active, remains->state);

  tcp_runner_lock (self);
  self->closing = FALSE;
  if (here && self->events == remains->events)
    g_clear_pointer (&self->events, tcp_event_queue_unref);
  g_cond_broadcast (&self->cond);
  tcp_runner_unlock (self);

  tcp_log_thread_settle ();
  runner_end_waits (self, &remains->waits, TRUE, error, in_order);
  if (here)
    runner_emit_end (self, remains, event, quiet);
  runner_end_waits (self, &remains->waits, FALSE, error, in_order);
  g_queue_clear_full (&remains->ends, (GDestroyNotify) tcp_event_free);
  tcp_event_queue_unref (remains->events);
  g_clear_object (&remains->former_address);
}

/* Called with the lock held, while there is no engine; releases the lock. A close in another thread has left its end to
 * this one, in which nothing is emitted any more once its own close has returned. */
static void
runner_close_rest (TcpRunner *self,
                   gboolean   quiet)
{
  g_autoptr (TcpEventQueue) events = NULL;
  Remains remains = { .run = self->run, .ends = G_QUEUE_INIT };
  gboolean here = FALSE, pending;

  if (self->events != NULL && (quiet || (here = tcp_event_queue_enter (self->events))))
    events = g_steal_pointer (&self->events);
  tcp_runner_unlock (self);
  if (events == NULL)
    return;

  pending = tcp_event_queue_close_at_end (events, &remains.ends, &remains.was_active, &remains.state);
  if (here)
    tcp_event_queue_leave (events);
  if (pending)
    runner_emit_end (self, &remains, NULL, quiet);
  g_queue_clear_full (&remains.ends, (GDestroyNotify) tcp_event_free);
}

/* @run: the one to close, or 0 for any. */
static void
runner_close (TcpRunner *self,
              guint      run,
              gboolean   quiet)
{
  Remains remains;

  tcp_runner_lock (self);
  runner_wait_for_close (self);
  if (run != 0 && run != self->run)
    {
      tcp_runner_unlock (self);
      return;
    }
  if (self->engine == NULL)
    {
      runner_close_rest (self, quiet);
      return;
    }
  remains = runner_take (self);
  tcp_runner_unlock (self);

  runner_end (self, &remains, FALSE, NULL, NULL, quiet);
}

void
tcp_runner_close (TcpRunner *self)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);

  runner_close (self, 0, FALSE);
}

/* Does nothing if the owner was started again since. */
void
tcp_runner_close_run (TcpRunner *self,
                      guint      run)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);

  runner_close (self, run, FALSE);
}

/* Like a close, but emits nothing. */
void
tcp_runner_dispose (TcpRunner *self)
{
  runner_close (self, 0, TRUE);
}

/* Events */

/* The caller owns the result, which may be NULL. Called with the lock held. */
static TcpWait *
runner_take_wait (TcpRunner *self,
                  guint64    id)
{
  for (GList *l = self->waits.head; l != NULL; l = l->next)
    {
      TcpWait *wait = l->data;

      if (wait->id != id)
        continue;
      g_queue_delete_link (&self->waits, l);
      return wait;
    }

  return NULL;
}

/* @here: the address is emitted before the wait for the start ends, so that a handler can still make it fail. */
static void
runner_handle_started (TcpRunner     *self,
                       TcpEventQueue *events,
                       TcpEvent      *event,
                       gboolean       here)
{
  g_autoptr (TcpWait) wait = NULL;
  guint run;

  tcp_runner_lock (self);
  run = self->run;
  if (self->events != events || !self->starting)
    {
      tcp_runner_unlock (self);
      return;
    }
  if (event->error != NULL)
    {
      Remains remains = runner_take (self);

      tcp_runner_unlock (self);
      runner_end (self, &remains, TRUE, event->error, NULL, FALSE);
      return;
    }
  self->address = G_SOCKET_ADDRESS (g_steal_pointer (&event->object));
  self->uri = g_steal_pointer (&event->text);
  self->active = TRUE;
  tcp_runner_unlock (self);

  if (here)
    runner_emit_here (self, NULL, run, &(TcpEvent) { .type = TCP_EVENT_ADDRESS });
  else
    tcp_event_queue_push_address (events);

  /* The owner may have been closed, and even started again. */
  tcp_runner_lock (self);
  if (self->events == events && self->starting)
    {
      self->starting = FALSE;
      wait = runner_take_wait (self, 0);
    }
  tcp_runner_unlock (self);
  if (wait == NULL)
    return;

  wait_forget_cancellable (wait);
  tcp_wait_end (wait, NULL);
}

/* The engine has ended itself, or one of the waits was cancelled. */
static void
runner_handle_drained (TcpRunner     *self,
                       TcpEventQueue *events,
                       TcpEvent      *event)
{
  g_autoptr (TcpWait) wait = NULL;
  Remains remains;

  tcp_runner_lock (self);
  if (self->events != events || self->engine == NULL)
    {
      tcp_runner_unlock (self);
      return;
    }
  if (event->error == NULL)
    {
      remains = runner_take (self);
      tcp_runner_unlock (self);
      runner_end (self, &remains, TRUE, NULL, NULL, FALSE);
      return;
    }
  wait = runner_take_wait (self, event->id);
  tcp_runner_unlock (self);
  if (wait == NULL)
    return;

  wait_forget_cancellable (wait);
  tcp_wait_end (wait, g_steal_pointer (&event->error));
}

static void
runner_handle_failed (TcpRunner     *self,
                      TcpEventQueue *events,
                      TcpEvent      *event)
{
  Remains remains;

  tcp_runner_lock (self);
  if (self->events != events || self->engine == NULL)
    {
      tcp_runner_unlock (self);
      return;
    }
  remains = runner_take (self);
  tcp_runner_unlock (self);
  runner_end (self, &remains, TRUE, event->error, event, FALSE);
}

/* Called in the context of the events. An event of a former engine is dropped. */
static void
runner_emit (TcpRunner     *self,
             TcpEventQueue *events,
             TcpEvent      *event)
{
  gpointer engine = NULL;
  gboolean last = event->type == TCP_EVENT_CLOSED;
  guint run;

  tcp_runner_lock (self);
  if (self->events != events)
    {
      tcp_runner_unlock (self);
      return;
    }
  run = self->run;
  if (self->engine != NULL)
    engine = self->klass->ref (self->engine);
  if (last)
    g_clear_pointer (&self->events, tcp_event_queue_unref);
  tcp_runner_unlock (self);

  if (last)
    tcp_event_queue_close (events, NULL);
  runner_emit_here (self, engine, run, event);
  if (engine != NULL)
    self->klass->unref (engine);
}

/* @here: this thread may emit signals. */
static void
runner_handle (TcpRunner     *self,
               TcpEventQueue *events,
               TcpEvent      *event,
               gboolean       here)
{
  if (event->type == TCP_EVENT_STARTED)
    runner_handle_started (self, events, event, here);
  else if (event->type == TCP_EVENT_DRAINED)
    runner_handle_drained (self, events, event);
  else if (event->type == TCP_EVENT_FAILED)
    runner_handle_failed (self, events, event);
  else
    runner_emit (self, events, event);
}

static void
on_event (TcpEventQueue *queue,
          TcpEvent      *event,
          gpointer       user_data)
{
  runner_handle (user_data, queue, event, TRUE);
}

/* Waits */

typedef struct
{
  const TcpRunnerClass *klass;
  gpointer engine;
  guint64 wait;
} CancelData;

static void
cancel_data_free (gpointer user_data)
{
  CancelData *data = user_data;

  data->klass->unref (data->engine);
  g_free (data);
}

/* Called in any thread. */
static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  CancelData *data = user_data;

  tcp_tsan_acquire (data);
  data->klass->cancel (data->engine, data->wait);
}

/* Called with the lock held. */
static void
runner_add_wait (TcpRunner *self,
                 TcpWait   *wait,
                 guint64    id)
{
  wait->id = id;
  wait->events = tcp_event_queue_ref (self->events);
  g_queue_push_tail (&self->waits, tcp_wait_ref (wait));
}

/* Called when the engine can answer a cancellation. The wait may be over already. */
static void
runner_watch_cancellable (TcpRunner    *self,
                          gpointer      engine,
                          TcpWait      *wait,
                          GCancellable *cancellable)
{
  CancelData *data;
  gulong id;

  if (cancellable == NULL)
    return;

  data = g_new0 (CancelData, 1);
  data->klass = self->klass;
  data->engine = self->klass->ref (engine);
  data->wait = wait->id;
  tcp_tsan_release (data);
  id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), data, cancel_data_free);
  if (id == 0)
    return;

  tcp_runner_lock (self);
  if (g_queue_find (&self->waits, wait) != NULL)
    {
      wait->cancellable = g_object_ref (cancellable);
      wait->cancelled_id = id;
      id = 0;
    }
  tcp_runner_unlock (self);
  if (id != 0)
    g_signal_handler_disconnect (cancellable, id);
}

/* Blocks until the wait is over, or until @deadline. If the events belong to this thread, it handles all of them, since
 * no other thread does meanwhile. Otherwise it only takes the event that ends the wait, unless the thread to which the
 * events belong was faster. */
static void
runner_wait_until (TcpRunner *self,
                   TcpWait   *wait,
                   gint64     deadline)
{
  gboolean here = tcp_event_queue_enter (wait->events);
  guint types = here ? TCP_EVENT_ANY : TCP_EVENT_MASK (wait->id == 0 ? TCP_EVENT_STARTED : TCP_EVENT_DRAINED);

  while (!tcp_wait_is_over (wait) && !tcp_event_queue_is_inherited (wait->events))
    {
      g_autoptr (TcpEvent) event = tcp_event_queue_wait (wait->events, types, &wait->over, deadline);

      if (event != NULL)
        {
          tcp_log_thread_settle ();
          runner_handle (self, wait->events, event, here);
        }
      /* Checked after each event, however many there are. */
      if (g_get_monotonic_time () >= deadline)
        break;
    }
  if (here)
    tcp_event_queue_leave (wait->events);
}

static gboolean
runner_wait (TcpRunner  *self,
             TcpWait    *wait,
             GError    **error)
{
  runner_wait_until (self, wait, G_MAXINT64);
  if (tcp_event_queue_is_inherited (wait->events))
    {
      runner_set_fork_error (self, error);
      return FALSE;
    }
  return tcp_wait_report (wait, error);
}

/* Blocks for at most @timeout milliseconds. FALSE without an error if the wait is not over. An error is left to the
 * next step, which does not block: PyGObject cannot raise it as an exception while a signal waits for its handler. */
static gboolean
runner_wait_step (TcpRunner     *self,
                  TcpWait       *wait,
                  guint          timeout,
                  GCancellable  *cancellable,
                  GError       **error)
{
  if (tcp_event_queue_is_inherited (wait->events))
    {
      tcp_wait_detach (cancellable);
      runner_set_fork_error (self, error);
      return FALSE;
    }
  if (!tcp_wait_is_over (wait))
    {
      runner_wait_until (self, wait, g_get_monotonic_time () + timeout * G_TIME_SPAN_MILLISECOND);
      if (!tcp_wait_is_over (wait) || wait->error != NULL)
        return FALSE;
    }

  tcp_wait_detach (cancellable);
  return tcp_wait_report (wait, error);
}

/* Start */

/* Called with the lock held, which it releases for a while if it has to close an engine that has ended by itself, which
 * a program without a main loop was not notified of. */
static gboolean
runner_may_start (TcpRunner     *self,
                  GCancellable  *cancellable,
                  GError       **error)
{
  runner_wait_for_close (self);
  while (self->engine != NULL && !self->starting && tcp_status_get (self->status, ended) && !runner_is_inherited (self))
    {
      Remains remains = runner_take (self);

      tcp_runner_unlock (self);
      runner_end (self, &remains, FALSE, NULL, NULL, FALSE);
      tcp_runner_lock (self);
      runner_wait_for_close (self);
    }

  if (self->engine != NULL && runner_is_inherited (self))
    {
      runner_set_fork_error (self, error);
      return FALSE;
    }
  if (self->engine != NULL)
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
                   self->starting   ? _("%s is being started already")
                   : self->draining ? _("%s is being drained")
                                    : _("%s runs already"),
                   _(self->klass->noun));
      return FALSE;
    }
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

static void
launch (const TcpRunnerClass *klass,
        gpointer              engine,
        TcpEventQueue        *events)
{
  g_autoptr (GError) error = NULL;

  if (klass->prepare (engine, &error))
    klass->start (engine);
  else
    tcp_event_queue_push_started (events, NULL, NULL, error);
}

typedef struct
{
  const TcpRunnerClass *klass;
  gpointer engine;
  TcpEventQueue *events;
} Launch;

static void
launch_free (gpointer data)
{
  Launch *self = data;

  tcp_tsan_acquire (self);
  self->klass->unref (self->engine);
  tcp_event_queue_unref (self->events);
  g_free (self);
}

static void
launch_run (GTask        *task,
            gpointer      source,
            gpointer      data,
            GCancellable *cancellable)
{
  Launch *self = data;

  tcp_tsan_acquire (self);
  launch (self->klass, self->engine, self->events);
  tcp_tsan_release (self);
}

/* Runs in a thread of GLib's, since the caller must not block. */
static void
launch_in_thread (const TcpRunnerClass *klass,
                  gpointer              engine,
                  TcpEventQueue        *events)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, NULL, NULL);
  Launch *self = g_new0 (Launch, 1);

  self->klass = klass;
  self->engine = klass->ref (engine);
  self->events = tcp_event_queue_ref (events);
  tcp_tsan_release (self);
  g_task_set_task_data (task, self, launch_free);
  g_task_run_in_thread (task, launch_run);
}

/* Makes an engine and starts it, which @wait reports, unless this function fails. */
static gboolean
runner_begin_start (TcpRunner     *self,
                    TcpWait       *wait,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (TcpEventQueue) events = NULL;
  g_autoptr (TcpEventQueue) former = NULL;
  gpointer engine = NULL;

  if (!tcp_descriptors_check_start (_(self->klass->noun), error))
    return FALSE;
  if (self->klass->collect != NULL && !self->klass->collect (self->owner, error))
    return FALSE;
  context = g_main_context_ref_thread_default ();
  events = tcp_event_queue_new (context, self->owner, on_event, self);
  if (wait->task == NULL)
    tcp_event_queue_claim (events, TCP_EVENT_MASK (TCP_EVENT_STARTED));

  tcp_runner_lock (self);
  if (runner_may_start (self, cancellable, error))
    engine = self->klass->make (self->owner, events, error);
  if (engine != NULL)
    {
      tcp_status_set (self->status, ended, FALSE);
      tcp_status_set_error (self->status, NULL);
      former = g_steal_pointer (&self->events);
      if (former != NULL)
        tcp_event_queue_adopt (events, former);
      self->engine = self->klass->ref (engine);
      self->run++;
      self->fork_count = tcp_fork_count ();
      self->events = tcp_event_queue_ref (events);
      self->starting = TRUE;
      runner_add_wait (self, wait, 0);
      if (self->klass->prepare == NULL)
        self->klass->start (engine);
    }
  tcp_runner_unlock (self);

  if (engine == NULL)
    {
      tcp_event_queue_close (events, NULL);
      return FALSE;
    }
  if (former != NULL)
    tcp_event_queue_close (former, NULL);

  if (self->klass->prepare != NULL && wait->task == NULL)
    launch (self->klass, engine, events);
  else if (self->klass->prepare != NULL)
    launch_in_thread (self->klass, engine, events);
  runner_watch_cancellable (self, engine, wait, cancellable);
  self->klass->unref (engine);
  return TRUE;
}

void
tcp_runner_start_async (TcpRunner           *self,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data,
                        gpointer             source_tag)
{
  g_autoptr (GTask) task = g_task_new (self->owner, cancellable, callback, user_data);
  g_autoptr (TcpWait) wait = tcp_wait_new (task);
  GError *error = NULL;

  g_task_set_source_tag (task, source_tag);
  /* The engine answers a cancellation, after it has cleaned up. */
  g_task_set_check_cancellable (task, FALSE);
  if (!runner_begin_start (self, wait, cancellable, &error))
    g_task_return_error (task, error);
}

gboolean
tcp_runner_start (TcpRunner     *self,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr (TcpWait) wait = tcp_wait_new (NULL);

  return runner_begin_start (self, wait, cancellable, error) && runner_wait (self, wait, error);
}

/* The same in steps that block for at most @timeout milliseconds. */
gboolean
tcp_runner_start_step (TcpRunner     *self,
                       guint          timeout,
                       GCancellable  *cancellable,
                       GError       **error)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr (TcpWait) wait = tcp_wait_find (cancellable);

  if (wait == NULL)
    {
      wait = tcp_wait_new (NULL);
      if (!runner_begin_start (self, wait, cancellable, error))
        return FALSE;
      tcp_wait_attach (wait, cancellable);
    }

  return runner_wait_step (self, wait, timeout, cancellable, error);
}

/* Returns a reference to the engine, if it runs. It may be closed by the time that it is used. */
gpointer
tcp_runner_ref_engine (TcpRunner  *self,
                       GError    **error)
{
  gpointer engine = NULL;

  tcp_runner_lock (self);
  if (self->engine != NULL && runner_is_inherited (self))
    runner_set_fork_error (self, error);
  else if (self->engine == NULL || self->starting || self->closing)
    g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE, _("%s does not run"), _(self->klass->noun));
  else
    engine = self->klass->ref (self->engine);
  tcp_runner_unlock (self);
  return engine;
}

/* Drain */

/* FALSE without an error if there is nothing to wait for, and the owner is closed. */
static gboolean
runner_begin_drain (TcpRunner     *self,
                    TcpWait       *wait,
                    guint          timeout,
                    GCancellable  *cancellable,
                    GError       **error)
{
  GError *failure = NULL;
  gpointer engine = NULL;

  tcp_runner_lock (self);
  if (self->engine != NULL && runner_is_inherited (self))
    runner_set_fork_error (self, &failure);
  else if (!g_cancellable_set_error_if_cancelled (cancellable, &failure) && self->engine != NULL && !self->starting)
    {
      engine = self->klass->ref (self->engine);
      self->draining = TRUE;
      runner_add_wait (self, wait, ++self->last_wait);
    }
  tcp_runner_unlock (self);

  if (failure != NULL)
    {
      g_propagate_error (error, failure);
      return FALSE;
    }
  if (engine == NULL)
    {
      tcp_runner_close (self);
      return FALSE;
    }
  self->klass->drain (engine, wait->id, timeout);
  runner_watch_cancellable (self, engine, wait, cancellable);
  self->klass->unref (engine);
  return TRUE;
}

void
tcp_runner_drain_async (TcpRunner           *self,
                        guint                timeout,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data,
                        gpointer             source_tag)
{
  g_autoptr (GTask) task = g_task_new (self->owner, cancellable, callback, user_data);
  g_autoptr (TcpWait) wait = tcp_wait_new (task);
  GError *error = NULL;

  g_task_set_source_tag (task, source_tag);
  /* A cancellation is an event like others. */
  g_task_set_check_cancellable (task, FALSE);
  if (runner_begin_drain (self, wait, timeout, cancellable, &error))
    return;
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

gboolean
tcp_runner_drain (TcpRunner     *self,
                  guint          timeout,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr (TcpWait) wait = tcp_wait_new (NULL);
  GError *failure = NULL;

  if (runner_begin_drain (self, wait, timeout, cancellable, &failure))
    return runner_wait (self, wait, error);
  if (failure == NULL)
    return TRUE;
  g_propagate_error (error, failure);
  return FALSE;
}

gboolean
tcp_runner_drain_step (TcpRunner     *self,
                       guint          timeout,
                       guint          step,
                       GCancellable  *cancellable,
                       GError       **error)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr (TcpWait) wait = tcp_wait_find (cancellable);
  GError *failure = NULL;

  if (wait == NULL)
    {
      wait = tcp_wait_new (NULL);
      if (!runner_begin_drain (self, wait, timeout, cancellable, &failure))
        {
          if (failure == NULL)
            return TRUE;
          g_propagate_error (error, failure);
          return FALSE;
        }
      tcp_wait_attach (wait, cancellable);
    }

  return runner_wait_step (self, wait, step, cancellable, error);
}
