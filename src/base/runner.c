/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/runner.h"

#include <tcptunnel/tcptunnel.h>

void
tcp_runner_init (TcpRunner            *self,
                 const TcpRunnerClass *klass,
                 GObject              *owner,
                 TcpStatus            *status)
{
  self->klass = klass;
  self->owner = owner;
  self->status = status;
}

/* Not g_cancellable_disconnect(), which waits for handlers that run: one of them may be
 * the application's that has called us. */
static void
runner_forget_cancellable (TcpRunner *self)
{
  g_autoptr (GCancellable) cancellable = g_steal_pointer (&self->cancellable);

  if (cancellable != NULL && self->cancelled_id != 0)
    g_signal_handler_disconnect (cancellable, self->cancelled_id);
  self->cancelled_id = 0;
}

/* Lets go of the engine; afterwards no event comes. */
static void
runner_drop_engine (TcpRunner *self)
{
  gpointer engine = g_steal_pointer (&self->engine);
  g_autoptr (TcpEventQueue) events = g_steal_pointer (&self->events);

  if (engine == NULL)
    return;

  /* A call that was put to it after the last would never be answered. */
  runner_forget_cancellable (self);
  tcp_event_queue_close (events);
  self->klass->close (engine);
  self->klass->unref (engine);
}

static void
runner_end_start (TcpRunner *self,
                  GError    *error)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->task);
  g_autoptr (TcpBlockingCall) call = g_steal_pointer (&self->blocking_start);

  /* It may have been closed while its start was being told. */
  if (!self->starting)
    {
      g_clear_error (&error);
      return;
    }

  self->starting = FALSE;
  runner_forget_cancellable (self);
  if (task == NULL)
    tcp_blocking_call_end (call, error);
  else if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_event (TcpEvent *event,
          gpointer  user_data)
{
  TcpRunner *self = user_data;
  g_autoptr (GObject) owner = g_object_ref (self->owner);

  if (event->type == TCP_EVENT_STARTED)
    {
      if (event->error != NULL)
        runner_drop_engine (self);
      else
        self->klass->address (owner, G_SOCKET_ADDRESS (event->object));
      runner_end_start (self, g_steal_pointer (&event->error));
      return;
    }

  if (event->type == TCP_EVENT_FAILED)
    {
      runner_drop_engine (self);
      self->klass->address (owner, NULL);
    }
  self->klass->event (owner, event);
}

typedef struct
{
  const TcpRunnerClass *klass;
  gpointer engine;
} CancelData;

static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  CancelData *data = user_data;

  data->klass->cancel (data->engine);
}

static void
cancel_data_free (gpointer user_data)
{
  CancelData *data = user_data;

  data->klass->unref (data->engine);
  g_free (data);
}

static gboolean
runner_begin_start (TcpRunner        *self,
                    TcpBlockingCall  *call,
                    GCancellable     *cancellable,
                    GError          **error)
{
  g_autoptr (GMainContext) context = g_main_context_ref_thread_default ();
  g_autoptr (TcpEventQueue) events = NULL;

  /* One that failed behind the back of a program that runs no main loop. */
  if (self->engine != NULL && tcp_status_get (self->status, ended))
    {
      runner_drop_engine (self);
      self->klass->address (self->owner, NULL);
    }
  if (self->engine != NULL || self->starting)
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE, "%s %s", self->klass->noun,
                   self->starting ? "is being started already" : "runs already");
      return FALSE;
    }
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  tcp_status_set (self->status, ended, FALSE);
  tcp_status_set_error (self->status, NULL);
  events = tcp_event_queue_new (context, on_event, self);
  if (call != NULL)
    tcp_event_queue_claim (events, TCP_EVENT_MASK (TCP_EVENT_STARTED));
  self->engine = self->klass->make (self->owner, events, error);
  if (self->engine == NULL)
    {
      tcp_event_queue_close (events);
      return FALSE;
    }

  self->starting = TRUE;
  self->blocking_start = call != NULL ? tcp_blocking_call_ref (call) : NULL;
  self->events = g_steal_pointer (&events);
  if (cancellable != NULL)
    {
      CancelData *data = g_new0 (CancelData, 1);

      data->klass = self->klass;
      data->engine = self->klass->ref (self->engine);
      self->cancellable = g_object_ref (cancellable);
      self->cancelled_id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), data, cancel_data_free);
    }

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
  GError *error = NULL;

  g_task_set_source_tag (task, source_tag);
  /* The engine answers a cancellation, once it has cleaned up. */
  g_task_set_check_cancellable (task, FALSE);
  if (runner_begin_start (self, NULL, cancellable, &error))
    self->task = g_steal_pointer (&task);
  else
    g_task_return_error (task, error);
}

/* Blocks until an event of this type has ended the call, or until the deadline. */
static void
runner_wait_until (TcpRunner       *self,
                   TcpEventType     type,
                   TcpBlockingCall *call,
                   gint64           deadline)
{
  g_autoptr (TcpEventQueue) events = NULL;
  g_autoptr (GMainContext) context = NULL;
  gboolean own;

  /* It may have been closed since the last step. */
  if (!call->pending)
    return;

  events = tcp_event_queue_ref (self->events);
  context = g_main_context_ref_thread_default ();
  own = g_main_context_acquire (context);

  /* Nobody iterates the context while this thread is here, if it is its own; the
   * events are handled as they come. If another thread does, they are its. */
  tcp_event_queue_claim (events, TCP_EVENT_MASK (type));
  while (call->pending)
    {
      g_autoptr (TcpEvent) event = tcp_event_queue_wait (events, own ? TCP_EVENT_ANY : TCP_EVENT_MASK (type), deadline);

      if (event == NULL)
        break;
      on_event (event, self);
      /* However many there are. */
      if (g_get_monotonic_time () >= deadline)
        break;
    }
  /* Between two steps they still belong to the call. */
  if (!call->pending)
    tcp_event_queue_claim (events, 0);
  if (own)
    g_main_context_release (context);
}

/* Blocks until an event of this type has ended the call, and returns its result. */
gboolean
tcp_runner_wait (TcpRunner        *self,
                 TcpEventType      type,
                 TcpBlockingCall  *call,
                 GError          **error)
{
  runner_wait_until (self, type, call, G_MAXINT64);
  return tcp_blocking_call_report (call, error);
}

/* Blocks for @wait milliseconds at most. FALSE without an error if there is more to do. An
 * error is left to the next step, which does not block: PyGObject cannot make an exception
 * of it while a signal waits for its handler. */
gboolean
tcp_runner_wait_step (TcpRunner        *self,
                      TcpEventType      type,
                      TcpBlockingCall  *call,
                      guint             wait,
                      GCancellable     *cancellable,
                      GError          **error)
{
  if (call->pending)
    {
      runner_wait_until (self, type, call, g_get_monotonic_time () + wait * G_TIME_SPAN_MILLISECOND);
      if (call->pending || call->error != NULL)
        return FALSE;
    }

  tcp_blocking_call_detach (cancellable);
  return tcp_blocking_call_report (call, error);
}

gboolean
tcp_runner_start (TcpRunner     *self,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr (TcpBlockingCall) call = tcp_blocking_call_new ();

  if (!runner_begin_start (self, call, cancellable, error))
    return FALSE;

  return tcp_runner_wait (self, TCP_EVENT_STARTED, call, error);
}

/* The same in steps that block for @wait milliseconds at most. */
gboolean
tcp_runner_start_step (TcpRunner     *self,
                       guint          wait,
                       GCancellable  *cancellable,
                       GError       **error)
{
  g_autoptr (GObject) owner G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr (TcpBlockingCall) call = tcp_blocking_call_find (cancellable);

  if (call == NULL)
    {
      call = tcp_blocking_call_new ();
      if (!runner_begin_start (self, call, cancellable, error))
        return FALSE;
      tcp_blocking_call_attach (call, cancellable);
    }

  return tcp_runner_wait_step (self, TCP_EVENT_STARTED, call, wait, cancellable, error);
}

/* Whether there was something to close. */
gboolean
tcp_runner_close (TcpRunner *self)
{
  if (self->engine == NULL)
    return FALSE;

  /* First: a thread that waits for the start wakes when the queue is closed. */
  if (self->starting)
    runner_end_start (self, g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED,
                                         "%s was closed while it was being started", self->klass->noun));
  runner_drop_engine (self);
  self->klass->address (self->owner, NULL);
  return TRUE;
}
