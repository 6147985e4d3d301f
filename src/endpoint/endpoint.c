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
 * What both ends of a tunnel have in common: where they listen, their limits, and how they are started and closed.
 *
 * An endpoint is a [class@TcpTunnel.Tunnel] or a [class@TcpTunnel.Gateway]. Applications cannot derive other classes
 * from it.
 *
 * All the work is done on I/O threads, which the endpoints of a process share, so that a program may block, or be
 * busy, and its endpoint goes on. No I/O thread waits for the program: neither for its signal handlers nor for its log
 * writer, which is called in a thread of its own.
 *
 * Signals are emitted in the main context that was the default of the thread that started the endpoint, and nowhere
 * else; a program that never iterates it receives none, and the properties are still up to date. Methods may be called from
 * any thread; a property that was set is notified in the thread that sets it. A method that blocks also emits what
 * there is to emit if it is called in the thread to which that context belongs: the one that owned it at the start, or
 * the main thread for the default context. In any other thread it emits nothing, and the last signals may follow after
 * [method@TcpTunnel.Endpoint.close].
 *
 * Properties may be set at any time. They take effect when the endpoint is next started, except for those whose
 * description says that they do so at once. An endpoint that was closed, or ended by itself, can be started again.
 *
 * A child that is forked does not have the I/O threads. An endpoint that ran in the parent can be closed and dropped
 * there. Until it is closed, a start, a drain, a reload and the opening of a stream fail with
 * %TCP_TUNNEL_ERROR_WRONG_STATE. A child may start endpoints of its own, if the parent
 * has not used the thread pools of GLib.
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

/* Those that are open of this run and of those before. A handler may start the endpoint again, and open others. */
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

/* Of a run before there may be connections whose end was dropped. Whether the run goes on. */
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

/* Before there is anything else to be heard of the end, as a handler may start the endpoint again. */
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

/* For the runner. */
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
      /* It is not the last state if a handler has started it again. */
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
 * Gets where the endpoint listens: see [property@TcpTunnel.Endpoint:local-address].
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
 * Gets the TCP connections that are open, as a list that follows them.
 *
 * Its items are [class@TcpTunnel.Connection], in the order of their ids. It is the same list for as long as the
 * endpoint exists, and is empty while that does not run. It changes only in the main context in which the signals are
 * emitted, and is to be used only there: it has those connections for which
 * [signal@TcpTunnel.Endpoint::connection-opened] was emitted and [signal@TcpTunnel.Endpoint::connection-closed] was not.
 * However late a program iterates the context, it finds there what is open then.
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
 * @callback: (scope async): called when the endpoint has started, or failed to
 * @user_data: for @callback
 *
 * Starts the endpoint.
 *
 * An endpoint has started once it listens. A multiplexed tunnel also waits for its WebSocket, which it tries to open
 * once, or again and again if [property@TcpTunnel.Tunnel:wait-for-gateway] is set. So does a
 * [class@TcpTunnel.ReverseTunnel], which has started once its gateway listens.
 *
 * @callback is called in the main context that is the thread's default, to which the signals belong from then on. A
 * gateway reads its [property@TcpTunnel.Gateway:token-file] in a thread of GLib's.
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
 * @result: what the callback was given
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
 * Signals of the start are emitted from within the call, if it is made in the thread to which they belong: see
 * [class@TcpTunnel.Endpoint]. No main loop is needed for the endpoint to work afterwards.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a property has a value that cannot work or there is no token,
 * %TCP_TUNNEL_ERROR_WRONG_STATE if the endpoint runs already, is being started or drained, or was started before a
 * fork of which this process is the child, %TCP_TUNNEL_ERROR_LIMIT if the process has too few file descriptors left,
 * %TCP_TUNNEL_ERROR_LISTEN if it cannot listen, %TCP_TUNNEL_ERROR_CLOSED if it was closed meanwhile, or
 * %G_IO_ERROR_CANCELLED.
 *
 * A gateway fails with %TCP_TUNNEL_ERROR_TLS if its certificate cannot be used, such as one whose private key belongs
 * to another. A multiplexed or reverse tunnel fails with all that can go wrong on the way to the gateway:
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
 * @wait: how long this call blocks at most, in milliseconds
 * @cancellable: (not nullable): one that is used for this start only
 * @error: return location for an error
 *
 * Starts the endpoint, as [method@TcpTunnel.Endpoint.start] does, in several calls that each block for a short time.
 *
 * This is for language bindings whose programs handle signals between two calls, as Python's do: a single call that
 * blocks for long would keep Ctrl-C waiting. The first call with a @cancellable begins the start. Call it again with
 * the same @cancellable until it returns %TRUE or fails. To give up, close the endpoint, or cancel @cancellable and go
 * on calling.
 *
 * The errors are those of [method@TcpTunnel.Endpoint.start].
 *
 * Returns: %TRUE if the endpoint has started, %FALSE with @error set if it failed to, and %FALSE without an error if
 *   the start is still under way
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
 * Closes the endpoint: its listener, every WebSocket, and every TCP connection, which ends in a reset.
 *
 * When this returns the port is free, and no signal follows: the last are emitted from within the call. Called in a
 * thread to which the signals do not belong, it leaves those to their context, or to a close there, whichever comes
 * first. A start or a drain that is under way fails with %TCP_TUNNEL_ERROR_CLOSED. Closing an endpoint that does not
 * run does nothing, unless another thread has closed it and left its last signals to this one.
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
  /* What the thread could not emit. */
  tcp_runner_close_run (&self->runner, GPOINTER_TO_UINT (g_task_get_task_data (G_TASK (result))));
  g_task_return_boolean (task, TRUE);
}

/**
 * tcp_endpoint_close_async:
 * @self: an endpoint
 * @cancellable: (nullable): to wait no longer; the endpoint is closed all the same
 * @callback: (nullable) (scope async): called when the endpoint is closed
 * @user_data: for @callback
 *
 * Closes the endpoint, as [method@TcpTunnel.Endpoint.close] does, without blocking.
 *
 * A close takes as long as the I/O threads need to end what is open. It does not concern the endpoint if that is started
 * again meanwhile, such as by a handler of one of the last signals. @callback is called in the main context that is
 * the thread's default. If the signals belong to that context, the last of them are emitted before.
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
 * @result: what the callback was given
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

/* In the context of the call, like on_probe_cancelled (). */
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
 * @cancellable: (nullable): to wait no longer
 * @callback: (scope async): called when the I/O threads have responded
 * @user_data: for @callback
 *
 * Asks the I/O threads of the process for a sign of life.
 *
 * @callback is called once each I/O thread that has started has come round, which takes well below a second unless one
 * hangs. A service that is watched, as systemd does with `WatchdogSec=`, sends its own sign of life then: so neither its
 * main context nor an I/O thread can hang unnoticed. Whether the endpoint runs makes no difference.
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
  /* A thread that hangs never comes round. */
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
 * @result: what the callback was given
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

/* GObject does not inherit what sets and gets. */
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

/* Its class is not known before. */
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
  /* Of this nothing is emitted. */
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
  /* Before there is another thread. */
  (void) tcp_tunnel_error_quark ();

  /**
   * TcpEndpoint::connection-opened:
   * @self: the endpoint
   * @connection: the connection
   *
   * Emitted when a tunnel has accepted a TCP client, or a client has asked a gateway for a connection to a target.
   *
   * [method@TcpTunnel.Endpoint.get_connections] has the connection already. A program that does not handle its events
   * gets, of connections that were opened and closed meanwhile, at most the last 512, and all that are open.
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
   * Emitted when a TCP connection has ended, or could not be made: [property@TcpTunnel.Connection:error] is the reason.
   *
   * It is emitted once for each [signal@TcpTunnel.Endpoint::connection-opened], also when the endpoint is closed.
   * [method@TcpTunnel.Endpoint.get_connections] does not have the connection any more.
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
