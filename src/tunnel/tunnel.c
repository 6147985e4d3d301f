/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

#include "base/token.h"
#include "endpoint/runner.h"
#include "tunnel/engine.h"

/**
 * TcpTunnel:
 *
 * A local TCP port whose connections travel through an authenticated WebSocket.
 *
 * A tunnel listens on [property@TcpTunnel.Tunnel:hostname] and
 * [property@TcpTunnel.Tunnel:port] and carries what connects there to the gateway
 * at [property@TcpTunnel.Tunnel:remote-uri]. In singleton mode it serves one TCP
 * connection at a time, each with a WebSocket of its own that is opened when the
 * client connects. In multiplexed mode it carries many over one WebSocket, which is
 * opened at the start.
 *
 * TCP connections outlive breaks of their WebSocket, in both modes and with nothing
 * lost, if the gateway is of this library too. With others they do so in singleton mode
 * only, and bytes that were on their way may be lost. See
 * [property@TcpTunnel.Tunnel:resumption].
 *
 * All the work is done on I/O threads, which the tunnels and gateways of a process share, so
 * that a program may block, or be busy, and its tunnel goes on. No I/O thread waits for the
 * program: not for its signal handlers, and not for its log writer, which is called in a
 * thread of its own.
 *
 * Signals are emitted in the main context that was the default of the thread that started the
 * tunnel, and nowhere else; a program that never iterates it gets none, and the properties
 * still tell what is. Methods may be called from any thread; a property is notified in the
 * thread that sets it. A method that blocks also emits what there is to emit if it is called
 * in the thread to which that context belongs: the one that owned it at the start, or the
 * main thread for the default context. In any other thread it emits nothing, and the last
 * signals may follow after [method@TcpTunnel.Tunnel.close].
 *
 * A child that is forked does not have the I/O threads. A tunnel that ran in the parent can be
 * closed and dropped there, and its start fails with %TCP_TUNNEL_ERROR_WRONG_STATE. A child
 * may start tunnels of its own, if the parent has not used the thread pools of GLib.
 *
 * Properties that describe the tunnel may be changed at any time, but take effect
 * when it is next started, except for [property@TcpTunnel.Tunnel:token],
 * [property@TcpTunnel.Tunnel:name] and [property@TcpTunnel.Tunnel:log-level], which do
 * at once. A tunnel that was closed,
 * or ended by itself, can be started again.
 *
 * ```c
 * g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new ("wss://example.com/instance", token);
 * g_autoptr (GError) error = NULL;
 *
 * if (!tcp_tunnel_start (tunnel, NULL, &error))
 *   g_error ("%s", error->message);
 * g_print ("127.0.0.1:%u\n",
 *          g_inet_socket_address_get_port (tcp_tunnel_get_local_address (tunnel)));
 * ```
 *
 * Since: 1.0
 */

enum
{
  STATE_CHANGED,
  RETRY_SCHEDULED,
  CONNECTION_OPENED,
  CONNECTION_CLOSED,
  TOKEN_REQUIRED,
  FAILED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TcpTunnel, tcp_tunnel, G_TYPE_OBJECT)

static void
tunnel_emit_state (TcpTunnel      *self,
                   TcpTunnelState  state)
{
  gboolean is_new;

  tcp_runner_lock (&self->runner);
  is_new = self->emitted != state;
  self->emitted = state;
  tcp_runner_unlock (&self->runner);
  if (!is_new)
    return;

  g_object_notify (G_OBJECT (self), "state");
  /* A handler may have closed the tunnel, and then the last state was emitted already. */
  tcp_runner_lock (&self->runner);
  is_new = self->emitted == state;
  tcp_runner_unlock (&self->runner);
  if (is_new)
    g_signal_emit (self, signals[STATE_CHANGED], 0, state);
}

/* States on their way were dropped. If the last of them was not the final one, that is emitted
 * nevertheless. */
static void
tunnel_emit_closed (TcpTunnel      *self,
                    TcpTunnelState  before)
{
  tcp_runner_lock (&self->runner);
  if (self->emitted == TCP_TUNNEL_STATE_DISCONNECTED)
    self->emitted = before;
  tcp_runner_unlock (&self->runner);
  tunnel_emit_state (self, TCP_TUNNEL_STATE_DISCONNECTED);
}

/* For the runner */

static gboolean
tunnel_is_asked (TcpTunnel *self)
{
  return g_signal_has_handler_pending (self, signals[TOKEN_REQUIRED], 0, FALSE);
}

static gpointer
tunnel_make_engine (gpointer        owner,
                    TcpEventQueue  *events,
                    GError        **error)
{
  TcpTunnel *self = owner;
  g_autoptr (TcpTunnelSettings) settings = tcp_tunnel_settings_copy (self->settings);

  if (!tcp_tunnel_settings_check (settings, error))
    return NULL;

  settings->asks_for_token = tunnel_is_asked (self);
  return tcp_engine_new (settings, self->log, self->status, events, error);
}

static void
tunnel_ask_for_token (TcpTunnel *self,
                      TcpEngine *engine,
                      guint64    refused)
{
  /* The engine tries the token that was set after the refused one without asking. */
  if (refused != tcp_engine_get_token_serial (engine))
    return;

  if (tunnel_is_asked (self))
    {
      tcp_log_warn (self->log, "the gateway requires another token; the application is asked for one");
      tcp_engine_await_token (engine);
      g_signal_emit (self, signals[TOKEN_REQUIRED], 0);
    }
  else
    {
      tcp_engine_set_token (engine, NULL);
    }
}

static void
tunnel_emit (gpointer  owner,
             gpointer  engine,
             TcpEvent *event)
{
  TcpTunnel *self = owner;

  switch (event->type)
    {
    case TCP_EVENT_STATE:
      tunnel_emit_state (self, event->value);
      break;

    case TCP_EVENT_RETRY:
      g_signal_emit (self, signals[RETRY_SCHEDULED], 0, event->error, (guint) event->value, (guint) event->id);
      break;

    case TCP_EVENT_CONNECTION_OPENED:
      g_signal_emit (self, signals[CONNECTION_OPENED], 0, event->id, event->object);
      break;

    case TCP_EVENT_CONNECTION_CLOSED:
      g_signal_emit (self, signals[CONNECTION_CLOSED], 0, event->id, event->error);
      break;

    case TCP_EVENT_TOKEN_REQUIRED:
      /* Unless it was closed while the event was on its way. */
      if (engine != NULL)
        tunnel_ask_for_token (self, engine, event->id);
      break;

    case TCP_EVENT_FAILED:
      g_signal_emit (self, signals[FAILED], 0, event->error);
      break;

    case TCP_EVENT_ADDRESS:
      g_object_notify (G_OBJECT (self), "local-address");
      break;

    case TCP_EVENT_CLOSED:
      tunnel_emit_closed (self, event->value);
      break;

    default:
      g_assert_not_reached ();
    }
}

static void
tunnel_cancel (gpointer engine,
               guint64  wait)
{
  tcp_engine_cancel (engine);
}

static const TcpRunnerClass runner_class = {
  .noun = "the tunnel",
  .make = tunnel_make_engine,
  .ref = (gpointer (*) (gpointer)) tcp_engine_ref,
  .unref = (void (*) (gpointer)) tcp_engine_unref,
  .start = (void (*) (gpointer)) tcp_engine_start,
  .cancel = tunnel_cancel,
  .close = (void (*) (gpointer)) tcp_engine_close,
  .emit = tunnel_emit,
};

/**
 * tcp_tunnel_start_async:
 * @self: a tunnel
 * @cancellable: (nullable): to give up the start
 * @callback: (scope async): called when the tunnel has started, or failed to
 * @user_data: for @callback
 *
 * Starts the tunnel.
 *
 * A singleton tunnel has started once it listens. A multiplexed one also waits for
 * its WebSocket, which is tried once, or again and again if
 * [property@TcpTunnel.Tunnel:wait-for-gateway] is set.
 *
 * @callback is called in the main context that is the thread's default, to which the signals
 * belong from then on.
 *
 * Since: 1.0
 */
void
tcp_tunnel_start_async (TcpTunnel           *self,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data)
{
  g_return_if_fail (TCP_IS_TUNNEL (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  tcp_runner_start_async (&self->runner, cancellable, callback, user_data, tcp_tunnel_start_async);
}

/**
 * tcp_tunnel_start_finish:
 * @self: a tunnel
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Tells how [method@TcpTunnel.Tunnel.start_async] went.
 *
 * The errors are those of [method@TcpTunnel.Tunnel.start].
 *
 * Returns: whether the tunnel has started
 *
 * Since: 1.0
 */
gboolean
tcp_tunnel_start_finish (TcpTunnel     *self,
                         GAsyncResult  *result,
                         GError       **error)
{
  g_return_val_if_fail (TCP_IS_TUNNEL (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_tunnel_start_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * tcp_tunnel_start:
 * @self: a tunnel
 * @cancellable: (nullable): to give up the start, from another thread
 * @error: return location for an error
 *
 * Starts the tunnel, and blocks until it has started.
 *
 * Signals of the start are emitted from within the call, if it is made in the thread to which
 * they belong: see [class@TcpTunnel.Tunnel]. No main loop is needed for the tunnel to work
 * afterwards.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a property has a value that
 * cannot work, %TCP_TUNNEL_ERROR_WRONG_STATE if the tunnel runs already, is being
 * started, or was started before a fork of which this process is the child,
 * %TCP_TUNNEL_ERROR_LIMIT if the process has too few file descriptors left,
 * %TCP_TUNNEL_ERROR_LISTEN if the port cannot be opened, %TCP_TUNNEL_ERROR_CLOSED
 * if the tunnel was closed meanwhile, %G_IO_ERROR_CANCELLED, and in multiplexed mode
 * with all that can go wrong on the way to the gateway:
 * %TCP_TUNNEL_ERROR_UNREACHABLE, %TCP_TUNNEL_ERROR_TLS, %TCP_TUNNEL_ERROR_TIMED_OUT,
 * %TCP_TUNNEL_ERROR_UNAUTHORIZED, %TCP_TUNNEL_ERROR_REJECTED and
 * %TCP_TUNNEL_ERROR_PROTOCOL.
 *
 * Returns: whether the tunnel has started
 *
 * Since: 1.0
 */
gboolean
tcp_tunnel_start (TcpTunnel     *self,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_return_val_if_fail (TCP_IS_TUNNEL (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_start (&self->runner, cancellable, error);
}

/**
 * tcp_tunnel_start_step:
 * @self: a tunnel
 * @wait: how long this call blocks at most, in milliseconds
 * @cancellable: (not nullable): one that is used for this start only
 * @error: return location for an error
 *
 * Starts the tunnel, as [method@TcpTunnel.Tunnel.start] does, in several calls that each
 * block for a short time.
 *
 * This is for language bindings whose programs handle signals between two calls, as
 * Python's do: a single call that blocks for long would keep Ctrl-C waiting. The first
 * call with a @cancellable begins the start. Call it again with the same @cancellable
 * until it returns %TRUE or fails. To give up, close the tunnel, or cancel @cancellable and
 * go on calling.
 *
 * The errors are those of [method@TcpTunnel.Tunnel.start].
 *
 * Returns: %TRUE if the tunnel has started, %FALSE with @error set if it failed to, and
 *   %FALSE without an error if the start is still under way
 *
 * Since: 1.0
 */
gboolean
tcp_tunnel_start_step (TcpTunnel     *self,
                       guint          wait,
                       GCancellable  *cancellable,
                       GError       **error)
{
  g_return_val_if_fail (TCP_IS_TUNNEL (self), FALSE);
  g_return_val_if_fail (G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return tcp_runner_start_step (&self->runner, wait, cancellable, error);
}

/**
 * tcp_tunnel_close:
 * @self: a tunnel
 *
 * Closes the tunnel: its port, every connection and the WebSocket.
 *
 * When this returns the port is free, and no signal follows; the last is a
 * [signal@TcpTunnel.Tunnel::state-changed] from within the call, if the tunnel was
 * not disconnected already. Called in a thread to which the signals do not belong, it
 * leaves that one to their context, or to a close there, whichever comes first. TCP
 * connections that are open end in a reset. A start that is under way fails with
 * %TCP_TUNNEL_ERROR_CLOSED. Closing a tunnel that does not run does nothing, unless another
 * thread has closed it and left its last signals to this one.
 *
 * Since: 1.0
 */
void
tcp_tunnel_close (TcpTunnel *self)
{
  g_return_if_fail (TCP_IS_TUNNEL (self));

  tcp_runner_close (&self->runner);
}

/**
 * tcp_tunnel_new:
 * @remote_uri: (nullable): the URL of the gateway, `ws://` or `wss://`
 * @token: (nullable): the bearer token
 *
 * Creates a tunnel to a gateway, in singleton mode. It does nothing before it is
 * started; both arguments can be set later, and are checked then.
 *
 * Returns: (transfer full): a new tunnel
 *
 * Since: 1.0
 */
TcpTunnel *
tcp_tunnel_new (const char *remote_uri,
                const char *token)
{
  return g_object_new (TCP_TYPE_TUNNEL, "remote-uri", remote_uri, "token", token, NULL);
}

static void
tcp_tunnel_dispose (GObject *object)
{
  TcpTunnel *self = TCP_TUNNEL (object);

  tcp_runner_dispose (&self->runner);

  G_OBJECT_CLASS (tcp_tunnel_parent_class)->dispose (object);
}

static void
tcp_tunnel_finalize (GObject *object)
{
  TcpTunnel *self = TCP_TUNNEL (object);

  tcp_runner_clear (&self->runner);
  tcp_tunnel_settings_free (self->settings);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);

  G_OBJECT_CLASS (tcp_tunnel_parent_class)->finalize (object);
}

static void
tcp_tunnel_class_init (TcpTunnelClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = tcp_tunnel_dispose;
  object_class->finalize = tcp_tunnel_finalize;
  tcp_tunnel_install_properties (object_class);
  /* Before there is another thread. */
  (void) tcp_tunnel_error_quark ();

  /**
   * TcpTunnel::state-changed:
   * @self: the tunnel
   * @state: the new state
   *
   * Emitted for every change of the state, in order.
   *
   * [property@TcpTunnel.Tunnel:state] tells the state of this moment, which may be a
   * later one.
   *
   * Since: 1.0
   */
  signals[STATE_CHANGED] = g_signal_new ("state-changed", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                         G_TYPE_NONE, 1, TCP_TYPE_TUNNEL_STATE);

  /**
   * TcpTunnel::retry-scheduled:
   * @self: the tunnel
   * @error: why the WebSocket broke, or why an attempt to open one failed
   * @attempt: the number of the attempt that follows, from 1, in a row of attempts
   * @delay: how long the tunnel waits before that attempt, in milliseconds
   *
   * Emitted when the tunnel has no WebSocket and is going to try again.
   *
   * It follows the [signal@TcpTunnel.Tunnel::state-changed] to
   * %TCP_TUNNEL_STATE_RECONNECTING. The tunnel may try sooner than it says, for one when
   * the network has changed; the state is %TCP_TUNNEL_STATE_CONNECTING then. A start that
   * blocks emits it too. A program that does not handle its events gets at most the last
   * 1024.
   *
   * Since: 1.0
   */
  signals[RETRY_SCHEDULED] = g_signal_new ("retry-scheduled", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                           G_TYPE_NONE, 3, G_TYPE_ERROR, G_TYPE_UINT, G_TYPE_UINT);

  /**
   * TcpTunnel::connection-opened:
   * @self: the tunnel
   * @id: the number of the connection, from 1
   * @peer: where the TCP client comes from; that of a Unix socket has an address without
   *   a name, as a rule
   *
   * Emitted when a TCP client was accepted.
   *
   * A program that does not handle its events gets at most the last 1024.
   *
   * Since: 1.0
   */
  signals[CONNECTION_OPENED] = g_signal_new ("connection-opened", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_SOCKET_ADDRESS);

  /**
   * TcpTunnel::connection-closed:
   * @self: the tunnel
   * @id: the number of the connection
   * @error: (nullable): why it broke, or %NULL if it ended in order
   *
   * Emitted when a TCP connection has ended.
   *
   * @error is %NULL if each end of the connection has received all that the other had sent
   * before it ended. Programs often close a connection without reading to its end, which is
   * an error here too and no fault: the code is %TCP_TUNNEL_ERROR_RESET if the TCP client did
   * so, and %TCP_TUNNEL_ERROR_TARGET if the target did. Other codes stand for a loss, a limit
   * or a target that was not reached, and only those are logged as warnings.
   *
   * Without resumption a connection ends as soon as the client has closed its side. If the
   * client may still wait for an answer, it sees a reset, and the code is
   * %TCP_TUNNEL_ERROR_LOST. The tunnel cannot tell that of a client on another machine or in
   * another network namespace, and then reports what it would report if the client waited.
   *
   * Since: 1.0
   */
  signals[CONNECTION_CLOSED] = g_signal_new ("connection-closed", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                             NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_ERROR);

  /**
   * TcpTunnel::token-required:
   * @self: the tunnel
   *
   * Emitted when the gateway refused the token (401), or takes it no longer in a session that goes
   * on with another.
   *
   * The tunnel then waits up to a minute for [method@TcpTunnel.Tunnel.set_token], which
   * may be called from the handler or later. It asks as often in a row as it tries to
   * reconnect, but at least once. If nobody listens to this signal, the tunnel ends.
   *
   * A token that was set after the refused one was sent is tried first, without this
   * signal.
   *
   * Since: 1.0
   */
  signals[TOKEN_REQUIRED] = g_signal_new ("token-required", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 0);

  /**
   * TcpTunnel::failed:
   * @self: the tunnel
   * @error: why
   *
   * Emitted when a tunnel that had started ended by itself: the gateway refused it for
   * good, or could not be reached in as many attempts as are allowed.
   *
   * Its port is closed then, and it may be started again.
   *
   * Since: 1.0
   */
  signals[FAILED] = g_signal_new ("failed", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                                  G_TYPE_ERROR);
}

static void
tcp_tunnel_init (TcpTunnel *self)
{
  self->settings = tcp_tunnel_settings_new ();
  self->status = tcp_status_new ();
  self->log = tcp_log_new ("tunnel", TCP_TUNNEL_LOG_LEVEL_INFO);
  tcp_runner_init (&self->runner, &runner_class, G_OBJECT (self), self->status);
}
