/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/endpoint-private.h"

#include "base/i18n.h"
#include "base/tsan.h"
#include "endpoint/connection.h"
#include "endpoint/connections.h"
#include "io/pool.h"

/**
 * TcpEndpoint:
 *
 * The common part of both ends of a tunnel: where they listen, their limits, and how they are started and closed.
 *
 * An endpoint is a [class@TcpTunnel.Tunnel] or a [class@TcpTunnel.Gateway]. Applications cannot derive other classes
 * from it.
 *
 * All work is done on I/O threads, which the endpoints of a process share, so that an endpoint continues while the
 * program blocks or is busy. No I/O thread waits for the program: neither for its signal handlers nor for its log
 * writer, which is called in a thread of its own.
 *
 * Signals are only emitted in the main context that was the default of the thread that started the endpoint. A program
 * that never iterates it receives none, but the properties are still up to date. Methods may be called from any thread;
 * a property that was set is notified in the thread that sets it. A method that blocks also emits pending signals if it
 * is called in the thread to which that context belongs: the one that owned it at the start, or the main thread for the
 * default context. In any other thread it emits nothing, and the last signals may follow after
 * [method@TcpTunnel.Endpoint.close].
 *
 * Properties may be set at any time. They take effect when the endpoint is next started, except those whose description
 * says otherwise. An endpoint that was closed, or ended by itself, can be started again.
 *
 * A forked child does not have the I/O threads. An endpoint that ran in the parent can be closed and dropped in the
 * child. Until it is closed, a start, a drain, a reload and the opening of a stream fail with
 * %TCP_TUNNEL_ERROR_WRONG_STATE. A child may start endpoints of its own, if the parent has not used the thread pools of
 * GLib.
 *
 * Since: 1.0
 */

enum
{
  CONNECTION_OPENED,
  CONNECTION_CLOSED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_ABSTRACT_TYPE (TcpEndpoint, tcp_endpoint, G_TYPE_OBJECT)

#define ENDPOINT_GET_CLASS(self) G_TYPE_INSTANCE_GET_CLASS (self, TCP_TYPE_ENDPOINT, TcpEndpointClass)

static GError *
endpoint_closed_error (TcpEndpoint *self)
{
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, _("%s was closed"), _(self->runner.klass->noun));
}

/* Ends the open connections of this run and of former ones. A handler may start the endpoint again, and open others. */
static void
endpoint_end_connections (TcpEndpoint *self,
                          guint        run)
{
  g_autoptr (GError) error = endpoint_closed_error (self);
  TcpConnection *connection;

  while ((connection = tcp_connections_end_first (self->connections, run, error)) != NULL)
    {
      g_signal_emit (self, signals[CONNECTION_CLOSED], 0, connection);
      g_object_unref (connection);
    }
}

/* Ends connections of a former run whose end was dropped. Returns whether the run has not ended. */
static gboolean
endpoint_enter_run (TcpEndpoint *self,
                    guint        run)
{
  if (self->run < run)
    {
      self->run = run;
      endpoint_end_connections (self, run - 1);
    }
  return self->run == run && self->over != run;
}

/* Called before anything else about the end is emitted, since a handler may start the endpoint again. */
static void
endpoint_end_run (TcpEndpoint    *self,
                  const TcpEvent *event)
{
  g_autoptr (GError) closed = endpoint_closed_error (self);

  self->over = event->run;
  for (GList *l = event->ends->head; l != NULL; l = l->next)
    {
      const TcpEvent *end = l->data;

      tcp_connections_settle (self->connections, end->record->id, end->error);
    }
  tcp_connections_settle_run (self->connections, event->run, event->error != NULL ? event->error : closed);
}

/* Called by the runner. */
void
tcp_endpoint_emit (gpointer  owner,
                   gpointer  engine,
                   TcpEvent *event)
{
  TcpEndpoint *self = owner;
  TcpEndpointClass *klass = ENDPOINT_GET_CLASS (self);
  g_autoptr (TcpConnection) connection = NULL;

  tcp_tsan_acquire (self);
  switch (event->type)
    {
    case TCP_EVENT_ADDRESS:
      endpoint_enter_run (self, event->run);
      g_object_notify (G_OBJECT (self), "local-address");
      g_object_notify (G_OBJECT (self), "active");
      klass->emit (self, engine, event);
      break;

    case TCP_EVENT_CONNECTION_OPENED:
      if (!endpoint_enter_run (self, event->run))
        break;
      connection = tcp_connections_add (self->connections, event->record, (GSocketAddress *) event->object, event->run);
      g_signal_emit (self, signals[CONNECTION_OPENED], 0, connection);
      break;

    case TCP_EVENT_CONNECTION_CLOSED:
      connection = tcp_connections_end (self->connections, event->record->id, event->error);
      if (connection != NULL)
        g_signal_emit (self, signals[CONNECTION_CLOSED], 0, connection);
      break;

    case TCP_EVENT_OVER:
      endpoint_end_run (self, event);
      break;

    case TCP_EVENT_FAILED:
      endpoint_end_connections (self, event->run);
      klass->emit (self, engine, event);
      break;

    case TCP_EVENT_CLOSED:
      endpoint_end_connections (self, event->run);
      /* If a handler has started the endpoint again, this is not the latest state. */
      if (self->run <= event->run)
        klass->emit (self, engine, event);
      break;

    default:
      if (endpoint_enter_run (self, event->run))
        klass->emit (self, engine, event);
    }
  tcp_tsan_release (self);
}

/**
 * tcp_endpoint_get_active:
 * @self: an endpoint
 *
 * Gets whether the endpoint runs: see [property@TcpTunnel.Endpoint:active].
 *
 * Returns: whether it runs
 *
 * Since: 1.0
 */
gboolean
tcp_endpoint_get_active (TcpEndpoint *self)
{
  gboolean active;

  g_return_val_if_fail (TCP_IS_ENDPOINT (self), FALSE);

  tcp_runner_lock (&self->runner);
  active = tcp_runner_is_active (&self->runner);
  tcp_runner_unlock (&self->runner);
  return active;
}

/**
 * tcp_endpoint_get_local_address:
 * @self: an endpoint
 *
 * Gets the address on which the endpoint listens: see [property@TcpTunnel.Endpoint:local-address].
 *
 * The address stays valid until the endpoint is started again.
 *
 * Returns: (transfer none) (nullable): the address, or %NULL if the endpoint does not run
 *
 * Since: 1.0
 */
GSocketAddress *
tcp_endpoint_get_local_address (TcpEndpoint *self)
{
  GSocketAddress *address;

  g_return_val_if_fail (TCP_IS_ENDPOINT (self), NULL);

  tcp_runner_lock (&self->runner);
  address = self->runner.address;
  tcp_runner_unlock (&self->runner);
  return address;
}

/**
 * tcp_endpoint_get_connections:
 * @self: an endpoint
 *
 * Gets the open TCP connections, as a list that is kept up to date.
 *
 * Its items are [class@TcpTunnel.Connection], in the order of their ids. It is the same list as long as the endpoint
 * exists, and is empty while the endpoint does not run. It changes only in the main context in which the signals are
 * emitted, and may only be used there: it contains those connections for which
 * [signal@TcpTunnel.Endpoint::connection-opened] was emitted and [signal@TcpTunnel.Endpoint::connection-closed] was
 * not. However late a program iterates the context, the list then contains the connections that are open.
 *
 * Returns: (transfer none): a list of connections
 *
 * Since: 1.0
 */
GListModel *
tcp_endpoint_get_connections (TcpEndpoint *self)
{
  g_return_val_if_fail (TCP_IS_ENDPOINT (self), NULL);

  return G_LIST_MODEL (self->connections);
}

/**
 * tcp_endpoint_start_async:
 * @self: an endpoint
 * @cancellable: (nullable): to give up the start
 * @callback: (scope async): called when the endpoint has started, or has failed to start
 * @user_data: data for @callback
 *
 * Starts the endpoint.
 *
 * An endpoint has started once it listens. A multiplexed tunnel also waits for its WebSocket, which it tries to open
 * once, or repeatedly if [property@TcpTunnel.Tunnel:wait-for-gateway] is set. So does a
 * [class@TcpTunnel.ReverseTunnel], which has started once its gateway listens.
 *
 * @callback is called in the main context that is the thread's default, in which the signals are emitted from then on.
 * A gateway reads its [property@TcpTunnel.Gateway:token-file] in a thread of GLib's.
 *
 * Since: 1.0
 */
void
tcp_endpoint_start_async (TcpEndpoint         *self,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_return_if_fail (TCP_IS_ENDPOINT (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  tcp_runner_start_async (&self->runner, cancellable, callback, user_data, tcp_endpoint_start_async);
}

/**
 * tcp_endpoint_start_finish:
 * @self: an endpoint
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the result of [method@TcpTunnel.Endpoint.start_async].
 *
 * The errors are those of [method@TcpTunnel.Endpoint.start].
 *
 * Returns: whether the endpoint has started
 *
 * Since: 1.0
 */
gboolean
tcp_endpoint_start_finish (TcpEndpoint   *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (TCP_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_endpoint_start_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * tcp_endpoint_start:
 * @self: an endpoint
 * @cancellable: (nullable): to give up the start, from another thread
 * @error: return location for an error
 *
 * Starts the endpoint, and blocks until it has started.
 *
 * Signals of the start are emitted from within the call, if it is made in the thread to which the context belongs: see
 * [class@TcpTunnel.Endpoint]. The endpoint needs no main loop to work afterwards.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a property has an invalid value or there is no token,
 * %TCP_TUNNEL_ERROR_WRONG_STATE if the endpoint runs already, is being started or drained, or was started before a fork
 * and this process is the child, %TCP_TUNNEL_ERROR_LIMIT if the process has too few file descriptors left,
 * %TCP_TUNNEL_ERROR_LISTEN if it cannot listen, %TCP_TUNNEL_ERROR_CLOSED if it was closed meanwhile, or
 * %G_IO_ERROR_CANCELLED.
 *
 * A gateway fails with %TCP_TUNNEL_ERROR_TLS if its certificate cannot be used, for example because the private key
 * belongs to another. A multiplexed or reverse tunnel fails with any error of a connection to the gateway:
 * %TCP_TUNNEL_ERROR_UNREACHABLE, %TCP_TUNNEL_ERROR_TLS, %TCP_TUNNEL_ERROR_TIMED_OUT, %TCP_TUNNEL_ERROR_UNAUTHORIZED,
 * %TCP_TUNNEL_ERROR_REJECTED and %TCP_TUNNEL_ERROR_PROTOCOL.
 *
 * Returns: whether the endpoint has started
 *
 * Since: 1.0
 */
gboolean
tcp_endpoint_start (TcpEndpoint   *self,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_return_val_if_fail (TCP_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_start (&self->runner, cancellable, error);
}

/**
 * tcp_endpoint_start_step:
 * @self: an endpoint
 * @wait: how long this call may block, in milliseconds
 * @cancellable: (not nullable): one that is used for this start only
 * @error: return location for an error
 *
 * Starts the endpoint, as [method@TcpTunnel.Endpoint.start] does, in several calls that each block for a short time.
 *
 * This is for language bindings whose programs handle signals between two calls, such as Python's: a single call that
 * blocks for long would delay Ctrl-C. The first call with a @cancellable begins the start. Call it again with the same
 * @cancellable until it returns %TRUE or fails. To give up, close the endpoint, or cancel @cancellable and continue
 * calling.
 *
 * The errors are those of [method@TcpTunnel.Endpoint.start].
 *
 * Returns: %TRUE if the endpoint has started, %FALSE with @error set if it has failed to start, and %FALSE without an
 * error
 *   if the start is still in progress
 *
 * Since: 1.0
 */
gboolean
tcp_endpoint_start_step (TcpEndpoint   *self,
                         guint          wait,
                         GCancellable  *cancellable,
                         GError       **error)
{
  g_return_val_if_fail (TCP_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_start_step (&self->runner, wait, cancellable, error);
}

/**
 * tcp_endpoint_close:
 * @self: an endpoint
 *
 * Closes the endpoint: its listener, every WebSocket, and every TCP connection, which is reset.
 *
 * When this returns the port is free, and no signal follows: the last ones are emitted from within the call. In a
 * thread to which the context of the signals does not belong, it leaves them to that context, or to a close there,
 * whichever comes first. A start or a drain in progress fails with %TCP_TUNNEL_ERROR_CLOSED. Closing an endpoint that
 * does not run does nothing, unless another thread has closed it and left its last signals to this one.
 *
 * See [method@TcpTunnel.Gateway.drain] for a gentler way to close a gateway.
 *
 * Since: 1.0
 */
void
tcp_endpoint_close (TcpEndpoint *self)
{
  g_return_if_fail (TCP_IS_ENDPOINT (self));

  tcp_runner_close (&self->runner);
}

static void
close_in_thread (GTask        *task,
                 gpointer      source,
                 gpointer      data,
                 GCancellable *cancellable)
{
  TcpEndpoint *self = source;

  tcp_tsan_acquire (task);
  tcp_runner_close_run (&self->runner, GPOINTER_TO_UINT (data));
  tcp_tsan_release (task);
  g_task_return_boolean (task, TRUE);
}

static void
on_closed (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  TcpEndpoint *self = TCP_ENDPOINT (object);
  g_autoptr (GTask) task = user_data;
  g_autoptr (GError) error = NULL;

  tcp_tsan_acquire (result);
  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }
  /* The signals that the thread could not emit. */
  tcp_runner_close_run (&self->runner, GPOINTER_TO_UINT (g_task_get_task_data (G_TASK (result))));
  g_task_return_boolean (task, TRUE);
}

/**
 * tcp_endpoint_close_async:
 * @self: an endpoint
 * @cancellable: (nullable): a cancellable to stop waiting; the endpoint is closed nevertheless
 * @callback: (nullable) (scope async): called when the endpoint is closed
 * @user_data: data for @callback
 *
 * Closes the endpoint, as [method@TcpTunnel.Endpoint.close] does, without blocking.
 *
 * A close takes as long as the I/O threads need to end all connections. It does not affect the endpoint if that is
 * started again meanwhile, for example by a handler of one of the last signals. @callback is called in the main context
 * that is the thread's default. If the signals belong to that context, the last ones are emitted before.
 *
 * Since: 1.0
 */
void
tcp_endpoint_close_async (TcpEndpoint         *self,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (GTask) work = NULL;
  gboolean at_once;
  guint run;

  g_return_if_fail (TCP_IS_ENDPOINT (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, NULL, callback, user_data);
  g_task_set_source_tag (task, tcp_endpoint_close_async);
  tcp_runner_lock (&self->runner);
  at_once = tcp_runner_can_close_at_once (&self->runner);
  run = self->runner.run;
  tcp_runner_unlock (&self->runner);
  if (at_once)
    {
      tcp_endpoint_close (self);
      g_task_return_boolean (task, TRUE);
      return;
    }
  work = g_task_new (self, cancellable, on_closed, g_steal_pointer (&task));
  g_task_set_task_data (work, GUINT_TO_POINTER (run), NULL);
  g_task_set_return_on_cancel (work, TRUE);
  tcp_tsan_release (work);
  g_task_run_in_thread (work, close_in_thread);
}

/**
 * tcp_endpoint_close_finish:
 * @self: an endpoint
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the result of [method@TcpTunnel.Endpoint.close_async].
 *
 * The only error is %G_IO_ERROR_CANCELLED.
 *
 * Returns: whether the endpoint is closed
 *
 * Since: 1.0
 */
gboolean
tcp_endpoint_close_finish (TcpEndpoint   *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (TCP_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_endpoint_close_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* Called in the context of the call, as is on_probe_cancelled (). */
static void
on_probed (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  GSource *cancelled = g_task_get_task_data (task);

  tcp_tsan_acquire (result);
  if (g_task_get_completed (task))
    return;
  if (cancelled != NULL)
    g_source_destroy (cancelled);
  if (!g_task_had_error (task))
    g_task_return_boolean (task, TRUE);
}

static gboolean
on_probe_cancelled (GCancellable *cancellable,
                    gpointer      user_data)
{
  g_task_return_error_if_cancelled (user_data);
  return G_SOURCE_REMOVE;
}

/**
 * tcp_endpoint_probe_async:
 * @self: an endpoint
 * @cancellable: (nullable): a cancellable to stop waiting
 * @callback: (scope async): called when the I/O threads have responded
 * @user_data: data for @callback
 *
 * Checks whether the I/O threads of the process respond.
 *
 * @callback is called once each running I/O thread has responded, which takes well below a second unless one hangs. A
 * service with a watchdog, such as systemd's `WatchdogSec=`, notifies the watchdog then: so neither its main context
 * nor an I/O thread can hang unnoticed. The endpoint need not run.
 *
 * May be called from any thread; @callback is called in the main context that is the thread's default.
 *
 * Since: 1.0
 */
void
tcp_endpoint_probe_async (TcpEndpoint         *self,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;

  g_return_if_fail (TCP_IS_ENDPOINT (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, tcp_endpoint_probe_async);
  /* A thread that hangs never responds. */
  if (cancellable != NULL)
    {
      GSource *source = g_cancellable_source_new (cancellable);

      g_task_set_task_data (task, source, (GDestroyNotify) g_source_unref);
      g_task_attach_source (task, source, G_SOURCE_FUNC (on_probe_cancelled));
    }
  tcp_io_threads_probe (g_task_new (self, NULL, on_probed, g_steal_pointer (&task)));
}

/**
 * tcp_endpoint_probe_finish:
 * @self: an endpoint
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the result of [method@TcpTunnel.Endpoint.probe_async].
 *
 * The only error is %G_IO_ERROR_CANCELLED.
 *
 * Returns: whether the I/O threads have responded
 *
 * Since: 1.0
 */
gboolean
tcp_endpoint_probe_finish (TcpEndpoint   *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (TCP_IS_ENDPOINT (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_endpoint_probe_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
tcp_endpoint_get_property (GObject    *object,
                           guint       property_id,
                           GValue     *value,
                           GParamSpec *pspec)
{
  TcpEndpoint *self = TCP_ENDPOINT (object);
  const TcpSetting *setting = tcp_setting_of (pspec);

  tcp_runner_lock (&self->runner);
  if (setting->get != NULL)
    setting->get (self, value);
  else
    tcp_setting_get (setting, self->settings, value);
  tcp_runner_unlock (&self->runner);
}

static void
tcp_endpoint_set_property (GObject      *object,
                           guint         property_id,
                           const GValue *value,
                           GParamSpec   *pspec)
{
  TcpEndpoint *self = TCP_ENDPOINT (object);
  const TcpSetting *setting = tcp_setting_of (pspec);
  gpointer pointer = tcp_setting_prepare (setting, value);
  gboolean is_new;

  tcp_runner_lock (&self->runner);
  is_new = tcp_setting_set (setting, self->settings, value, &pointer);
  if (setting->changed != NULL)
    setting->changed (self);
  tcp_runner_unlock (&self->runner);

  tcp_setting_discard (setting, pointer);
  if (is_new)
    g_object_notify_by_pspec (object, pspec);
}

/* GObject does not inherit these functions. */
void
tcp_endpoint_class_install (TcpEndpointClass  *klass,
                            const TcpSettings *settings)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  klass->settings = settings;
  object_class->get_property = tcp_endpoint_get_property;
  object_class->set_property = tcp_endpoint_set_property;
  tcp_settings_install (settings, object_class);
}

/* The class is not known in tcp_endpoint_init (). */
static void
tcp_endpoint_constructed (GObject *object)
{
  TcpEndpoint *self = TCP_ENDPOINT (object);
  TcpEndpointClass *klass = ENDPOINT_GET_CLASS (self);

  self->log = tcp_log_new (klass->kind, TCP_TUNNEL_LOG_LEVEL_INFO);
  self->settings = tcp_settings_new (klass->settings);
  tcp_runner_init (&self->runner, klass->runner_class, object, self->status);

  G_OBJECT_CLASS (tcp_endpoint_parent_class)->constructed (object);
}

static void
tcp_endpoint_dispose (GObject *object)
{
  TcpEndpoint *self = TCP_ENDPOINT (object);

  tcp_runner_dispose (&self->runner);
  /* No signals are emitted for this. */
  tcp_tsan_acquire (self);
  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (self->connections)); i++)
    {
      g_autoptr (TcpConnection) connection = g_list_model_get_item (G_LIST_MODEL (self->connections), i);
      g_autoptr (GError) error = endpoint_closed_error (self);

      tcp_connection_end (connection, error);
    }

  G_OBJECT_CLASS (tcp_endpoint_parent_class)->dispose (object);
}

static void
tcp_endpoint_finalize (GObject *object)
{
  TcpEndpoint *self = TCP_ENDPOINT (object);
  TcpEndpointClass *klass = ENDPOINT_GET_CLASS (self);

  tcp_runner_clear (&self->runner);
  g_object_unref (self->connections);
  tcp_settings_free (klass->settings, self->settings);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);

  G_OBJECT_CLASS (tcp_endpoint_parent_class)->finalize (object);
}

static void
tcp_endpoint_class_init (TcpEndpointClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = tcp_endpoint_constructed;
  object_class->dispose = tcp_endpoint_dispose;
  object_class->finalize = tcp_endpoint_finalize;
  tcp_endpoint_class_install (klass, &tcp_endpoint_settings);
  /* Registered before there are other threads. */
  (void) tcp_tunnel_error_quark ();

  /**
   * TcpEndpoint::connection-opened:
   * @self: the endpoint
   * @connection: the connection
   *
   * Emitted when a tunnel has accepted a TCP client, or a client has requested a connection to a target from a gateway.
   *
   * [method@TcpTunnel.Endpoint.get_connections] contains the connection already. If a program does not handle its
   * events for some time, it receives at most the last 512 of those connections that were opened and closed meanwhile,
   * and all that are open.
   *
   * Since: 1.0
   */
  signals[CONNECTION_OPENED] = g_signal_new ("connection-opened", TCP_TYPE_ENDPOINT, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 1, TCP_TYPE_CONNECTION);

  /**
   * TcpEndpoint::connection-closed:
   * @self: the endpoint
   * @connection: the connection
   *
   * Emitted when a TCP connection has ended, or could not be opened: [property@TcpTunnel.Connection:error] is the
   * reason.
   *
   * It is emitted once for each [signal@TcpTunnel.Endpoint::connection-opened], also when the endpoint is closed.
   * [method@TcpTunnel.Endpoint.get_connections] does not contain the connection any more.
   *
   * Since: 1.0
   */
  signals[CONNECTION_CLOSED] = g_signal_new ("connection-closed", TCP_TYPE_ENDPOINT, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 1, TCP_TYPE_CONNECTION);
}

static void
tcp_endpoint_init (TcpEndpoint *self)
{
  self->status = tcp_status_new ();
  self->connections = tcp_connections_new ();
}
