/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/tunnel-private.h"

#include "base/i18n.h"
#include "base/token.h"
#include "tunnel/engine.h"
#include "tunnel/forward.h"

/**
 * TcpTunnel:
 *
 * A local TCP port whose connections are carried over an authenticated WebSocket.
 *
 * A tunnel listens on [property@TcpTunnel.Endpoint:hostname] and [property@TcpTunnel.Endpoint:port], and carries the
 * connections to the gateway at [property@TcpTunnel.Tunnel:remote-uri]. In singleton mode it serves one TCP connection
 * at a time, each with a WebSocket of its own that is opened when the client connects. In multiplexed mode it carries
 * many over one WebSocket, which is opened at the start. [enum@TcpTunnel.TunnelMode] describes the other modes.
 *
 * If the gateway uses this library too, TCP connections survive breaks of their WebSocket, in every mode and without
 * loss. With other gateways they do so only in singleton mode, and in auto mode, which is then the same; bytes on their
 * way may be lost. See [property@TcpTunnel.Endpoint:resumption].
 *
 * [class@TcpTunnel.Endpoint] describes what a tunnel has in common with a gateway: threads, main contexts, and when
 * properties take effect.
 *
 * ```c
 * g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new ("wss://example.com/instance", token);
 * g_autofree char *address = NULL;
 * g_autoptr (GError) error = NULL;
 *
 * if (!tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error))
 *   g_error ("%s", error->message);
 * address = g_socket_connectable_to_string (
 *     G_SOCKET_CONNECTABLE (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel))));
 * g_print ("%s\n", address);
 * ```
 *
 * Since: 1.0
 */

enum
{
  STATE_CHANGED,
  RETRY_SCHEDULED,
  TOKEN_REQUIRED,
  FAILED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_TYPE (TcpTunnel, tcp_tunnel, TCP_TYPE_ENDPOINT)

static gboolean
tunnel_is_reverse (TcpTunnel *self)
{
  return ((TcpTunnelClass *) G_OBJECT_GET_CLASS (self))->is_reverse;
}

static void
tunnel_emit_state (TcpTunnel      *self,
                   TcpTunnelState  state)
{
  TcpRunner *runner = &self->parent_instance.runner;
  gboolean is_new;

  tcp_runner_lock (runner);
  is_new = self->emitted != state;
  self->emitted = state;
  tcp_runner_unlock (runner);
  if (!is_new)
    return;

  /* The remote address is known at this time. */
  if (tunnel_is_reverse (self))
    g_object_notify (G_OBJECT (self), "remote-address");
  g_object_notify (G_OBJECT (self), "state");
  /* A handler may have closed the tunnel; the last state was then emitted already. */
  tcp_runner_lock (runner);
  is_new = self->emitted == state;
  tcp_runner_unlock (runner);
  if (is_new)
    g_signal_emit (self, signals[STATE_CHANGED], 0, state);
}

/* Queued states were dropped. If the last one was not the final state, that is emitted nevertheless. */
static void
tunnel_emit_closed (TcpTunnel      *self,
                    TcpTunnelState  before)
{
  TcpRunner *runner = &self->parent_instance.runner;

  tcp_runner_lock (runner);
  if (self->emitted == TCP_TUNNEL_STATE_DISCONNECTED)
    self->emitted = before;
  tcp_runner_unlock (runner);
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
  TcpEndpoint *self = owner;
  TcpTunnel *tunnel = owner;
  g_autoptr (TcpTunnelSettings) settings = tcp_tunnel_settings_copy (self->settings);
  g_autoptr (GPtrArray) forwards = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_forward_spec_free);

  settings->reverse = tunnel_is_reverse (owner);
  if (settings->reverse)
    settings->mode = TCP_TUNNEL_MODE_MULTIPLEXED;
  if (!tcp_tunnel_settings_check (settings, error))
    return NULL;
  for (guint i = 0; i < tunnel->forwards->len; i++)
    {
      g_ptr_array_add (forwards, tcp_forward_dup_spec (tunnel->forwards->pdata[i]));
      if (!tcp_forward_spec_check (forwards->pdata[i], error))
        return NULL;
    }

  settings->asks_for_token = tunnel_is_asked (owner);
  return tcp_engine_new (settings, forwards, self->log, self->status, events, error);
}

static void
tunnel_ask_for_token (TcpTunnel *self,
                      TcpEngine *engine,
                      guint64    refused)
{
  /* The engine tries a token that was set after the refused one without asking. */
  if (refused != tcp_engine_get_token_serial (engine))
    return;

  if (tunnel_is_asked (self))
    {
      tcp_log_warn (self->parent_instance.log, "the gateway requires another token; the application is asked for one");
      tcp_engine_await_token (engine);
      g_signal_emit (self, signals[TOKEN_REQUIRED], 0);
    }
  else
    {
      tcp_engine_set_token (engine, NULL);
    }
}

static void
tunnel_notify_forwards (TcpTunnel *self)
{
  g_autoptr (GPtrArray) forwards = tcp_tunnel_get_forwards (self);

  for (guint i = 0; i < forwards->len; i++)
    tcp_forward_notify_address (forwards->pdata[i]);
}

static void
tunnel_emit (TcpEndpoint *endpoint,
             gpointer     engine,
             TcpEvent    *event)
{
  TcpTunnel *self = TCP_TUNNEL (endpoint);

  switch (event->type)
    {
    case TCP_EVENT_STATE:
      tunnel_emit_state (self, event->value);
      break;

    case TCP_EVENT_RETRY:
      g_signal_emit (self, signals[RETRY_SCHEDULED], 0, event->error, (guint) event->value, (guint) event->id);
      break;

    case TCP_EVENT_TOKEN_REQUIRED:
      /* The tunnel may have been closed while the event was queued. */
      if (engine != NULL)
        tunnel_ask_for_token (self, engine, event->id);
      break;

    case TCP_EVENT_FAILED:
      g_signal_emit (self, signals[FAILED], 0, event->error);
      break;

    case TCP_EVENT_CLOSED:
      tunnel_emit_closed (self, event->value);
      break;

    case TCP_EVENT_ADDRESS:
      tunnel_notify_forwards (self);
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
  .noun = N_("the tunnel"),
  .make = tunnel_make_engine,
  .ref = (gpointer (*) (gpointer)) tcp_engine_ref,
  .unref = (void (*) (gpointer)) tcp_engine_unref,
  .start = (void (*) (gpointer)) tcp_engine_start,
  .cancel = tunnel_cancel,
  .close = (void (*) (gpointer)) tcp_engine_close,
  .emit = tcp_endpoint_emit,
};

/**
 * tcp_tunnel_get_state:
 * @self: a tunnel
 *
 * Gets the current state of the WebSocket.
 *
 * Returns: the state
 *
 * Since: 1.0
 */
TcpTunnelState
tcp_tunnel_get_state (TcpTunnel *self)
{
  g_return_val_if_fail (TCP_IS_TUNNEL (self), TCP_TUNNEL_STATE_DISCONNECTED);

  return tcp_status_get (TCP_ENDPOINT (self)->status, state);
}

/**
 * tcp_tunnel_dup_last_error:
 * @self: a tunnel
 *
 * Gets the last error since the tunnel was started: see [property@TcpTunnel.Tunnel:last-error].
 *
 * Returns: (nullable) (transfer full): an error, or %NULL if there was none
 *
 * Since: 1.0
 */
GError *
tcp_tunnel_dup_last_error (TcpTunnel *self)
{
  g_return_val_if_fail (TCP_IS_TUNNEL (self), NULL);

  return tcp_status_dup_error (TCP_ENDPOINT (self)->status);
}

static void
tunnel_token_changed (TcpEndpoint *self)
{
  const char *token = ((TcpTunnelSettings *) self->settings)->token;
  gboolean is_usable = token != NULL && tcp_token_is_valid (token);

  if (self->runner.engine == NULL)
    return;

  tcp_engine_set_token (self->runner.engine, is_usable ? token : NULL);
  if (token != NULL && !is_usable)
    tcp_log_warn (self->log, "the new token is not used: it is empty, or has a space or a character that is not ASCII "
                             "in it");
}

static void
tunnel_certificate_changed (TcpEndpoint *self)
{
  if (self->runner.engine != NULL)
    tcp_engine_set_certificate (self->runner.engine, ((TcpTunnelSettings *) self->settings)->client_certificate);
}

/**
 * tcp_tunnel_set_token:
 * @self: a tunnel
 * @token: (nullable): the bearer token
 *
 * Sets the bearer token that authorises the tunnel at the gateway.
 *
 * A running tunnel uses it from the next WebSocket on; if several are set one after another, it may use only the last
 * one. After [signal@TcpTunnel.Tunnel::token-required], this makes the tunnel try again at once, or give up if it is
 * %NULL. Otherwise a running tunnel keeps its token if this is %NULL. A token that is empty, or contains a space or a
 * character that is not ASCII, counts as %NULL for a running tunnel, which logs a warning; a start fails with it.
 *
 * Since: 1.0
 */
void
tcp_tunnel_set_token (TcpTunnel  *self,
                      const char *token)
{
  g_return_if_fail (TCP_IS_TUNNEL (self));

  g_object_set (self, "token", token, NULL);
}

/**
 * tcp_tunnel_new:
 * @remote_uri: (nullable): the URL of the gateway, `ws://` or `wss://`
 * @token: (nullable): the bearer token
 *
 * Creates a tunnel to a gateway, in singleton mode. It does nothing until it is started; both arguments can be set
 * later, and are checked at the start.
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
tunnel_free_forward (gpointer forward)
{
  tcp_forward_release (forward);
  g_object_unref (forward);
}

static void
tcp_tunnel_finalize (GObject *object)
{
  g_ptr_array_unref (TCP_TUNNEL (object)->forwards);

  G_OBJECT_CLASS (tcp_tunnel_parent_class)->finalize (object);
}

static void
tcp_tunnel_class_init (TcpTunnelClass *klass)
{
  TcpEndpointClass *endpoint_class = &klass->parent_class;

  G_OBJECT_CLASS (klass)->finalize = tcp_tunnel_finalize;
  endpoint_class->kind = "tunnel";
  endpoint_class->runner_class = &runner_class;
  endpoint_class->emit = tunnel_emit;
  klass->token_changed = tunnel_token_changed;
  klass->certificate_changed = tunnel_certificate_changed;
  tcp_endpoint_class_install (endpoint_class, &tcp_tunnel_settings);

  /**
   * TcpTunnel::state-changed:
   * @self: the tunnel
   * @state: the new state
   *
   * Emitted for every change of the state, in order.
   *
   * [property@TcpTunnel.Tunnel:state] is the current state, which may be a later one.
   *
   * Since: 1.0
   */
  signals[STATE_CHANGED] = g_signal_new ("state-changed", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                         G_TYPE_NONE, 1, TCP_TYPE_TUNNEL_STATE);

  /**
   * TcpTunnel::retry-scheduled:
   * @self: the tunnel
   * @error: the reason for which the WebSocket broke, or an attempt to open one failed
   * @attempt: the number of the next attempt, from 1, in a series of attempts
   * @delay: the delay before that attempt, in milliseconds
   *
   * Emitted when the tunnel has no WebSocket and is going to try again.
   *
   * It follows the [signal@TcpTunnel.Tunnel::state-changed] to %TCP_TUNNEL_STATE_RECONNECTING. The tunnel may try
   * sooner, for example when the network has changed; the state is %TCP_TUNNEL_STATE_CONNECTING then. A blocking start
   * emits it too. A program that does not handle its events receives at most the last 1024.
   *
   * Since: 1.0
   */
  signals[RETRY_SCHEDULED] = g_signal_new ("retry-scheduled", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                           G_TYPE_NONE, 3, G_TYPE_ERROR, G_TYPE_UINT, G_TYPE_UINT);

  /**
   * TcpTunnel::token-required:
   * @self: the tunnel
   *
   * Emitted when the gateway refused the token (401), or requires another one to continue the session.
   *
   * The tunnel then waits up to a minute for [method@TcpTunnel.Tunnel.set_token], which may be called from the handler
   * or later. The signal is emitted up to [property@TcpTunnel.Tunnel:max-reconnect-attempts] times in a row, or 6 times
   * if their number is unlimited, but at least once. If it has no handler, the tunnel ends.
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
   * @error: the reason
   *
   * Emitted when a tunnel that had started ended by itself: the gateway refused it permanently, or could not be reached
   * in the allowed number of attempts.
   *
   * Its port is closed by then, and it may be started again.
   *
   * Since: 1.0
   */
  signals[FAILED] = g_signal_new ("failed", TCP_TYPE_TUNNEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                                  G_TYPE_ERROR);
}

static void
tcp_tunnel_init (TcpTunnel *self)
{
  self->forwards = g_ptr_array_new_with_free_func (tunnel_free_forward);
}
