/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/drain.h"

#include "base/tsan.h"
#include "gateway/server.h"

/* One who waits. */
typedef struct
{
  guint64 id;
  GTask *task;           /* one of the two */
  TcpBlockingCall *call;
  GCancellable *cancellable;
  gulong cancelled_id;
} Drain;

typedef struct
{
  TcpServer *server;
  guint64 id;
} CancelData;

static void
cancel_data_free (gpointer user_data)
{
  CancelData *data = user_data;

  tcp_server_unref (data->server);
  g_free (data);
}

/* In any thread. */
static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  CancelData *data = user_data;

  tcp_tsan_acquire (data);
  tcp_server_cancel_drain (data->server, data->id);
}

static void
drain_end (Drain        *drain,
           const GError *error)
{
  g_autoptr (GTask) task = g_steal_pointer (&drain->task);
  g_autoptr (TcpBlockingCall) call = g_steal_pointer (&drain->call);

  /* Not g_cancellable_disconnect(), which waits for handlers that run: this may be one. */
  if (drain->cancelled_id != 0)
    g_signal_handler_disconnect (drain->cancellable, drain->cancelled_id);
  g_clear_object (&drain->cancellable);
  g_free (drain);

  if (call != NULL)
    tcp_blocking_call_end (call, error != NULL ? g_error_copy (error) : NULL);
  else if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else
    g_task_return_boolean (task, TRUE);
}

/* Closes the gateway, in the course of things or because the application wants to. */
void
tcp_gateway_close_drained (TcpGateway *self,
                           gboolean    in_order)
{
  TcpDrains *drains = tcp_gateway_peek_drains (self);
  GQueue calls = drains->calls;
  g_autoptr (GError) error = NULL;
  Drain *drain;

  if (!in_order)
    error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED,
                                 "the gateway was closed while it was being drained");

  g_queue_init (&drains->calls);
  /* First those that block: a thread that waits wakes when the queue of events is closed. */
  for (GList *l = calls.head, *next; l != NULL; l = next)
    {
      next = l->next;
      drain = l->data;
      if (drain->task != NULL)
        continue;
      g_queue_delete_link (&calls, l);
      drain_end (drain, error);
    }
  tcp_runner_close (tcp_gateway_peek_runner (self));
  while ((drain = g_queue_pop_head (&calls)) != NULL)
    drain_end (drain, error);
}

/* The server has ended itself, or one of those who wait wants to do so no longer. */
void
tcp_gateway_handle_drained (TcpGateway *self,
                            TcpEvent   *event)
{
  GQueue *calls = &tcp_gateway_peek_drains (self)->calls;

  if (event->error == NULL)
    {
      tcp_gateway_close_drained (self, TRUE);
      return;
    }

  for (GList *l = calls->head; l != NULL; l = l->next)
    {
      Drain *drain = l->data;

      if (drain->id != event->id)
        continue;
      g_queue_delete_link (calls, l);
      drain_end (drain, event->error);
      return;
    }
}

/* Whether there is something to wait for. The end is then for @task or for @call. */
static gboolean
drain_begin (TcpGateway      *self,
             GTask           *task,
             TcpBlockingCall *call,
             guint            timeout,
             GCancellable    *cancellable)
{
  TcpRunner *runner = tcp_gateway_peek_runner (self);
  TcpDrains *drains = tcp_gateway_peek_drains (self);
  Drain *drain;

  if (runner->engine == NULL || runner->starting)
    {
      tcp_gateway_close (self);
      return FALSE;
    }

  drain = g_new0 (Drain, 1);
  drain->id = ++drains->last;
  drain->task = task != NULL ? g_object_ref (task) : NULL;
  drain->call = call != NULL ? tcp_blocking_call_ref (call) : NULL;
  g_queue_push_tail (&drains->calls, drain);
  tcp_server_drain (runner->engine, drain->id, timeout);
  if (cancellable != NULL)
    {
      CancelData *data = g_new0 (CancelData, 1);

      data->server = tcp_server_ref (runner->engine);
      data->id = drain->id;
      tcp_tsan_release (data);
      drain->cancellable = g_object_ref (cancellable);
      drain->cancelled_id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), data, cancel_data_free);
    }
  return TRUE;
}

/**
 * tcp_gateway_drain_async:
 * @self: a gateway
 * @timeout: how long to wait, in milliseconds
 * @cancellable: (nullable): to wait no longer
 * @callback: (scope async): called when the gateway is closed
 * @user_data: for @callback
 *
 * Closes the gateway once its connections have ended.
 *
 * See [method@TcpTunnel.Gateway.drain].
 *
 * The end is told, as all events are, in the main context that was the thread's default
 * when the gateway was started; @callback is then called in that of this call. As long as
 * nobody iterates the first, @callback is not called, even if @cancellable is cancelled.
 *
 * Since: 1.0
 */
void
tcp_gateway_drain_async (TcpGateway          *self,
                         guint                timeout,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (TCP_IS_GATEWAY (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, tcp_gateway_drain_async);
  if (g_task_return_error_if_cancelled (task))
    return;
  /* From here on a cancellation is an event like others. */
  g_task_set_check_cancellable (task, FALSE);

  if (!drain_begin (self, task, NULL, timeout, cancellable))
    g_task_return_boolean (task, TRUE);
}

/**
 * tcp_gateway_drain_finish:
 * @self: a gateway
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Tells how [method@TcpTunnel.Gateway.drain_async] went.
 *
 * The errors are those of [method@TcpTunnel.Gateway.drain].
 *
 * Returns: whether the gateway is closed
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_drain_finish (TcpGateway    *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_gateway_drain_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static gboolean
drain_begin_blocking (TcpGateway      *self,
                      TcpBlockingCall *call,
                      guint            timeout,
                      GCancellable    *cancellable)
{
  TcpRunner *runner = tcp_gateway_peek_runner (self);

  /* Before it can come: another thread may run the main loop. */
  if (runner->events != NULL)
    tcp_event_queue_claim (runner->events, TCP_EVENT_MASK (TCP_EVENT_DRAINED));
  return drain_begin (self, NULL, call, timeout, cancellable);
}

/**
 * tcp_gateway_drain:
 * @self: a gateway
 * @timeout: how long to wait, in milliseconds
 * @cancellable: (nullable): to wait no longer, from another thread
 * @error: return location for an error
 *
 * Closes the gateway once its connections have ended, and blocks until then.
 *
 * From now on no new connections are taken: clients that ask for a session are answered
 * 503, those that have one are told to use another. Connections that are there go on,
 * also over further WebSockets, until they have ended or @timeout has passed. Then the
 * gateway is closed, as by [method@TcpTunnel.Gateway.close].
 *
 * When this is called again meanwhile, the last @timeout counts for all who wait.
 *
 * Fails with %TCP_TUNNEL_ERROR_CLOSED if the application closes the gateway meanwhile,
 * or with %G_IO_ERROR_CANCELLED, which leaves the gateway as it is: running, without
 * taking new connections. A gateway that does not run has nothing to wait for.
 *
 * Returns: whether the gateway is closed
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_drain (TcpGateway    *self,
                   guint          timeout,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr (TcpGateway) kept G_GNUC_UNUSED = NULL;
  g_autoptr (TcpBlockingCall) call = NULL;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  kept = g_object_ref (self);
  call = tcp_blocking_call_new ();
  if (!drain_begin_blocking (self, call, timeout, cancellable))
    return TRUE;

  return tcp_runner_wait (tcp_gateway_peek_runner (self), TCP_EVENT_DRAINED, call, error);
}

/**
 * tcp_gateway_drain_step:
 * @self: a gateway
 * @timeout: how long the connections may go on, in milliseconds
 * @wait: how long this call blocks at most, in milliseconds
 * @cancellable: (not nullable): one that is used for this drain only
 * @error: return location for an error
 *
 * Closes the gateway once its connections have ended, as
 * [method@TcpTunnel.Gateway.drain] does, in several calls that each block for a short time.
 *
 * This is for language bindings, like [method@TcpTunnel.Gateway.start_step], and is used in
 * the same way. @timeout counts from the first call, and later calls ignore it. To give up,
 * cancel @cancellable and go on calling.
 *
 * The errors are those of [method@TcpTunnel.Gateway.drain].
 *
 * Returns: %TRUE if the gateway is closed, %FALSE with @error set if it will not be, and
 *   %FALSE without an error if the drain is still under way
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_drain_step (TcpGateway    *self,
                        guint          timeout,
                        guint          wait,
                        GCancellable  *cancellable,
                        GError       **error)
{
  g_autoptr (TcpGateway) kept G_GNUC_UNUSED = NULL;
  g_autoptr (TcpBlockingCall) call = NULL;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  kept = g_object_ref (self);
  call = tcp_blocking_call_find (cancellable);
  if (call == NULL)
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      call = tcp_blocking_call_new ();
      if (!drain_begin_blocking (self, call, timeout, cancellable))
        return TRUE;
      tcp_blocking_call_attach (call, cancellable);
    }

  return tcp_runner_wait_step (tcp_gateway_peek_runner (self), TCP_EVENT_DRAINED, call, wait, cancellable, error);
}
