/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include "endpoint/runner.h"
#include "gateway/server.h"

/**
 * TcpGateway:
 *
 * The far end of tunnels: accepts authenticated WebSockets, and connects what comes
 * through them to a TCP service, the target.
 *
 * A gateway serves many clients at once, in singleton and in multiplexed mode, as the
 * URL of the client asks. When the WebSocket of a client breaks, its target connections
 * are kept for [property@TcpTunnel.Gateway:session-timeout], in both modes if the
 * session can be resumed, else in singleton mode only, and there only if the client gave
 * a `sessionId` by which it can come back. What the targets send meanwhile
 * waits in their sockets; up to [property@TcpTunnel.Gateway:max-retained-bytes] that
 * were sent before are kept to be sent again.
 *
 * Clients show a bearer token: that of [property@TcpTunnel.Gateway:token], or one of
 * [property@TcpTunnel.Gateway:token-file].
 *
 * As with [class@TcpTunnel.Tunnel], the work is done on I/O threads. Signals are emitted in the
 * main context that was the default of the thread that started the gateway, methods may be called
 * from any thread, and a child that is forked can only close and drop a gateway that ran in its
 * parent. Properties take effect when the gateway is next started, except for
 * [property@TcpTunnel.Gateway:log-level], which does at once. A gateway that was closed can be
 * started again.
 *
 * ```c
 * g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:5432");
 * g_autofree char *uri = NULL;
 * g_autoptr (GError) error = NULL;
 *
 * tcp_gateway_set_token (gateway, token);
 * if (!tcp_gateway_start (gateway, NULL, &error))
 *   g_error ("%s", error->message);
 * uri = tcp_gateway_dup_uri (gateway);
 * g_print ("%s\n", uri);
 * ```
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

G_DEFINE_FINAL_TYPE (TcpGateway, tcp_gateway, G_TYPE_OBJECT)

/* For the runner */

static gpointer
gateway_make_server (gpointer        owner,
                     TcpEventQueue  *events,
                     GError        **error)
{
  TcpGateway *self = owner;

  if (!tcp_gateway_settings_check (self->settings, error))
    return NULL;
  return tcp_server_new (self->settings, self->log, self->status, events, error);
}

static void
gateway_emit (gpointer  owner,
              gpointer  engine,
              TcpEvent *event)
{
  TcpGateway *self = owner;

  switch (event->type)
    {
    case TCP_EVENT_CONNECTION_OPENED:
      g_signal_emit (self, signals[CONNECTION_OPENED], 0, event->id, event->text);
      break;

    case TCP_EVENT_CONNECTION_CLOSED:
      g_signal_emit (self, signals[CONNECTION_CLOSED], 0, event->id, event->error);
      break;

    case TCP_EVENT_ADDRESS:
      g_object_notify (G_OBJECT (self), "local-address");
      g_object_notify (G_OBJECT (self), "uri");
      break;

    case TCP_EVENT_CLOSED:
      break;

    default:
      g_assert_not_reached ();
    }
}

static void
gateway_cancel (gpointer engine,
                guint64  wait)
{
  if (wait == 0)
    tcp_server_cancel (engine);
  else
    tcp_server_cancel_drain (engine, wait);
}

static const TcpRunnerClass runner_class = {
  .noun = "the gateway",
  .make = gateway_make_server,
  .ref = (gpointer (*) (gpointer)) tcp_server_ref,
  .unref = (void (*) (gpointer)) tcp_server_unref,
  .prepare = (gboolean (*) (gpointer, GError **)) tcp_server_prepare,
  .start = (void (*) (gpointer)) tcp_server_start,
  .drain = (void (*) (gpointer, guint64, guint)) tcp_server_drain,
  .cancel = gateway_cancel,
  .close = (void (*) (gpointer)) tcp_server_close,
  .emit = gateway_emit,
};

/**
 * tcp_gateway_start_async:
 * @self: a gateway
 * @cancellable: (nullable): to give up the start
 * @callback: (scope async): called when the gateway has started, or failed to
 * @user_data: for @callback
 *
 * Starts the gateway. It has started once it listens.
 *
 * The file of [property@TcpTunnel.Gateway:token-file] is read in a thread of GLib's. @callback is
 * called in the main context that is the thread's default, to which the signals belong from then
 * on.
 *
 * Since: 1.0
 */
void
tcp_gateway_start_async (TcpGateway          *self,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_return_if_fail (TCP_IS_GATEWAY (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  tcp_runner_start_async (&self->runner, cancellable, callback, user_data, tcp_gateway_start_async);
}

/**
 * tcp_gateway_start_finish:
 * @self: a gateway
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Tells how [method@TcpTunnel.Gateway.start_async] went.
 *
 * The errors are those of [method@TcpTunnel.Gateway.start].
 *
 * Returns: whether the gateway has started
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_start_finish (TcpGateway    *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_gateway_start_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * tcp_gateway_start:
 * @self: a gateway
 * @cancellable: (nullable): to give up the start, from another thread
 * @error: return location for an error
 *
 * Starts the gateway, and blocks until it listens.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a property has a value that cannot
 * work or there is no token, %TCP_TUNNEL_ERROR_TLS if the certificate cannot be used, such
 * as one whose private key belongs to another, %TCP_TUNNEL_ERROR_WRONG_STATE if the gateway
 * runs already, is being started or drained, or was started before a fork of which this process
 * is the child, %TCP_TUNNEL_ERROR_LIMIT if the process has too few file descriptors left,
 * %TCP_TUNNEL_ERROR_LISTEN if the port cannot be opened,
 * %TCP_TUNNEL_ERROR_CLOSED if it was closed meanwhile, or %G_IO_ERROR_CANCELLED.
 *
 * Returns: whether the gateway has started
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_start (TcpGateway    *self,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_start (&self->runner, cancellable, error);
}

/**
 * tcp_gateway_start_step:
 * @self: a gateway
 * @wait: how long this call blocks at most, in milliseconds
 * @cancellable: (not nullable): one that is used for this start only
 * @error: return location for an error
 *
 * Starts the gateway, as [method@TcpTunnel.Gateway.start] does, in several calls that each
 * block for a short time.
 *
 * This is for language bindings whose programs handle signals between two calls, as
 * Python's do: a single call that blocks for long would keep Ctrl-C waiting. The first
 * call with a @cancellable begins the start. Call it again with the same @cancellable
 * until it returns %TRUE or fails. To give up, close the gateway, or cancel @cancellable and
 * go on calling.
 *
 * The errors are those of [method@TcpTunnel.Gateway.start].
 *
 * Returns: %TRUE if the gateway has started, %FALSE with @error set if it failed to, and
 *   %FALSE without an error if the start is still under way
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_start_step (TcpGateway    *self,
                        guint          wait,
                        GCancellable  *cancellable,
                        GError       **error)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_start_step (&self->runner, wait, cancellable, error);
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
  g_return_if_fail (TCP_IS_GATEWAY (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  tcp_runner_drain_async (&self->runner, timeout, cancellable, callback, user_data, tcp_gateway_drain_async);
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
 * with %TCP_TUNNEL_ERROR_WRONG_STATE if it was started before a fork of which this process is the
 * child, or with %G_IO_ERROR_CANCELLED, which leaves the gateway as it is: running, without
 * taking new connections. A gateway that does not run has nothing to wait for, and one that is
 * being started is closed.
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
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_drain (&self->runner, timeout, cancellable, error);
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
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_drain_step (&self->runner, timeout, wait, cancellable, error);
}

/**
 * tcp_gateway_close:
 * @self: a gateway
 *
 * Closes the gateway: its port, every WebSocket and every connection to the target,
 * which end in a reset.
 *
 * When this returns the port is free, and no signal follows. A start or a drain that is
 * under way fails with %TCP_TUNNEL_ERROR_CLOSED. Closing a gateway that does not run
 * does nothing, unless another thread has closed it and left its last signals to this one.
 * See [method@TcpTunnel.Gateway.drain] for a gentler way.
 *
 * Since: 1.0
 */
void
tcp_gateway_close (TcpGateway *self)
{
  g_return_if_fail (TCP_IS_GATEWAY (self));

  tcp_runner_close (&self->runner);
}

/**
 * tcp_gateway_new:
 * @target: (nullable): the TCP service, as `host:port`
 *
 * Creates a gateway to a TCP service. It does nothing before it is started; the target
 * can be set later, and is checked then.
 *
 * Returns: (transfer full): a new gateway
 *
 * Since: 1.0
 */
TcpGateway *
tcp_gateway_new (const char *target)
{
  return g_object_new (TCP_TYPE_GATEWAY, "target", target, NULL);
}

static void
tcp_gateway_dispose (GObject *object)
{
  tcp_runner_dispose (&TCP_GATEWAY (object)->runner);

  G_OBJECT_CLASS (tcp_gateway_parent_class)->dispose (object);
}

static void
tcp_gateway_finalize (GObject *object)
{
  TcpGateway *self = TCP_GATEWAY (object);

  tcp_runner_clear (&self->runner);
  tcp_gateway_settings_free (self->settings);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);

  G_OBJECT_CLASS (tcp_gateway_parent_class)->finalize (object);
}

static void
tcp_gateway_class_init (TcpGatewayClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = tcp_gateway_dispose;
  object_class->finalize = tcp_gateway_finalize;
  tcp_gateway_install_properties (object_class);
  /* Before there is another thread. */
  (void) tcp_tunnel_error_quark ();

  /**
   * TcpGateway::connection-opened:
   * @self: the gateway
   * @id: the number of the connection, from 1
   * @principal: to whom the token of the client belongs
   *
   * Emitted when a client asked for a connection to the target.
   *
   * A program that does not handle its events gets at most the last 1024.
   *
   * Since: 1.0
   */
  signals[CONNECTION_OPENED] = g_signal_new ("connection-opened", TCP_TYPE_GATEWAY, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_STRING);

  /**
   * TcpGateway::connection-closed:
   * @self: the gateway
   * @id: the number of the connection
   * @error: (nullable): why it broke, or %NULL if it ended in order
   *
   * Emitted when a connection to the target has ended, or could not be made.
   *
   * @error is %NULL if each end of the connection has received all that the other had sent
   * before it ended. Programs often close a connection without reading to its end, which is
   * an error here too and no fault: the code is %TCP_TUNNEL_ERROR_RESET if the TCP client did
   * so. %TCP_TUNNEL_ERROR_TARGET stands for a target that did so, and for one that could not
   * be reached, and %TCP_TUNNEL_ERROR_CLOSED for a client that closed its tunnel. Only losses,
   * limits and targets that were not reached are logged as warnings.
   *
   * Since: 1.0
   */
  signals[CONNECTION_CLOSED] = g_signal_new ("connection-closed", TCP_TYPE_GATEWAY, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_ERROR);
}

static void
tcp_gateway_init (TcpGateway *self)
{
  self->settings = tcp_gateway_settings_new ();
  self->status = tcp_status_new ();
  self->log = tcp_log_new ("gateway", TCP_TUNNEL_LOG_LEVEL_INFO);
  tcp_runner_init (&self->runner, &runner_class, G_OBJECT (self), self->status);
}
