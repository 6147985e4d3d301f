/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/drain.h"

#include "gateway/server.h"

/* One who waits. */
typedef struct
{
  guint64 id;
  GTask *task; /* NULL if the call blocks: then the rest is for it */
  gboolean pending;
  GError *error;
  GCancellable *cancellable;
  gulong cancelled_id;
} Drain;

typedef struct
{
  TcpEventQueue *events;
  guint64 id;
} CancelData;

static void
cancel_data_free (gpointer user_data)
{
  CancelData *data = user_data;

  tcp_event_queue_unref (data->events);
  g_free (data);
}

/* In any thread: what follows is done where the events are handled. */
static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  CancelData *data = user_data;
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the wait for the gateway was cancelled");
  tcp_event_queue_push_drained (data->events, data->id, error);
}

/* Takes @error. */
static void
drain_end (Drain  *drain,
           GError *error)
{
  g_autoptr (GTask) task = g_steal_pointer (&drain->task);

  /* Not g_cancellable_disconnect(), which waits for handlers that run: this may be one. */
  if (drain->cancelled_id != 0)
    g_signal_handler_disconnect (drain->cancellable, drain->cancelled_id);
  g_clear_object (&drain->cancellable);

  if (task == NULL)
    {
      drain->pending = FALSE;
      drain->error = error;
      return;
    }

  g_free (drain);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/* The gateway was closed, in the course of things or by the application. */
void
tcp_gateway_end_drains (TcpGateway *self,
                        gboolean    closed)
{
  TcpDrains *drains = tcp_gateway_peek_drains (self);
  GQueue calls = drains->calls;
  Drain *drain;

  /* A callback may start the gateway again, and drain it. */
  g_queue_init (&drains->calls);
  while ((drain = g_queue_pop_head (&calls)) != NULL)
    drain_end (drain, !closed ? NULL
                              : g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED,
                                                     "the gateway was closed while it was being drained"));
}

void
tcp_gateway_handle_drained (TcpGateway *self,
                            TcpEvent   *event)
{
  TcpDrains *drains = tcp_gateway_peek_drains (self);

  if (event->error != NULL)
    {
      for (GList *l = drains->calls.head; l != NULL; l = l->next)
        {
          Drain *drain = l->data;

          if (drain->id != event->id)
            continue;
          g_queue_delete_link (&drains->calls, l);
          drain_end (drain, g_steal_pointer (&event->error));
          return;
        }
      return;
    }

  /* One of before may speak of another deadline. If nobody waits any more, the gateway
   * is not to be closed. */
  if (event->id != drains->last || g_queue_is_empty (&drains->calls))
    return;
  tcp_runner_close (tcp_gateway_peek_runner (self));
  tcp_gateway_end_drains (self, FALSE);
}

/* Whether there is something to wait for. */
static gboolean
drain_begin (TcpGateway   *self,
             Drain        *drain,
             guint         timeout,
             GCancellable *cancellable)
{
  TcpRunner *runner = tcp_gateway_peek_runner (self);
  TcpDrains *drains = tcp_gateway_peek_drains (self);

  if (runner->engine == NULL || runner->starting)
    {
      tcp_gateway_close (self);
      return FALSE;
    }

  drain->id = ++drains->last;
  drain->pending = TRUE;
  g_queue_push_tail (&drains->calls, drain);
  tcp_server_drain (runner->engine, drain->id, timeout);
  if (cancellable != NULL)
    {
      CancelData *data = g_new0 (CancelData, 1);

      data->events = tcp_event_queue_ref (runner->events);
      data->id = drain->id;
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
  Drain *drain;

  g_return_if_fail (TCP_IS_GATEWAY (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, tcp_gateway_drain_async);
  if (g_task_return_error_if_cancelled (task))
    return;
  /* From here on a cancellation is an event like others. */
  g_task_set_check_cancellable (task, FALSE);

  drain = g_new0 (Drain, 1);
  if (!drain_begin (self, drain, timeout, cancellable))
    {
      g_free (drain);
      g_task_return_boolean (task, TRUE);
      return;
    }
  drain->task = g_steal_pointer (&task);
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
  Drain drain = { 0 };
  TcpRunner *runner;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;

  kept = g_object_ref (self);
  runner = tcp_gateway_peek_runner (self);
  /* Before it can come: another thread may run the main loop. */
  if (runner->events != NULL)
    tcp_event_queue_claim (runner->events, TCP_EVENT_MASK (TCP_EVENT_DRAINED));
  if (drain_begin (self, &drain, timeout, cancellable))
    tcp_runner_wait (runner, TCP_EVENT_DRAINED, &drain.pending);
  if (drain.error == NULL)
    return TRUE;
  g_propagate_error (error, drain.error);
  return FALSE;
}
