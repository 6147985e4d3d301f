/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include "base/i18n.h"
#include "base/tsan.h"
#include "gateway/authentication.h"
#include "gateway/places.h"
#include "gateway/principal.h"
#include "gateway/server.h"

/**
 * TcpGateway:
 *
 * Accepts the WebSockets of tunnels, authenticates them, and connects each of their connections to a TCP service, the
 * target.
 *
 * A gateway serves many clients at once, each with one connection or with many, as the URL that the client requests
 * specifies. When the WebSocket of a client breaks, its target connections are kept for
 * [property@TcpTunnel.Gateway:session-timeout] if the session can be resumed. If it cannot, the target connection is
 * kept only if the client has one connection, and sent a `sessionId` with which it can come back. Data that the targets
 * send meanwhile waits in their sockets; up to [property@TcpTunnel.Endpoint:max-unacknowledged-bytes] of data sent
 * before are kept to be sent again.
 *
 * Clients show a bearer token: that of [property@TcpTunnel.Gateway:token], one of
 * [property@TcpTunnel.Gateway:token-file], or one of [property@TcpTunnel.Gateway:principals]. Or they show a
 * certificate that [property@TcpTunnel.Gateway:client-ca] verifies. About other clients the gateway asks the
 * application, if that has connected to [signal@TcpTunnel.Gateway::authenticate]. Each of these leads to a name, the
 * *principal*, which decides what the client may do.
 *
 * A gateway listens where the properties of [class@TcpTunnel.Endpoint] specify, and in further places with
 * [property@TcpTunnel.Gateway:listeners].
 *
 * [class@TcpTunnel.Endpoint] describes what a gateway has in common with a tunnel: threads, main contexts, and when
 * properties take effect.
 *
 * ```c
 * g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:5432");
 * g_autofree char *uri = NULL;
 * g_autoptr (GError) error = NULL;
 *
 * tcp_gateway_set_token (gateway, token);
 * if (!tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error))
 *   g_error ("%s", error->message);
 * uri = tcp_gateway_dup_uri (gateway);
 * g_print ("%s\n", uri);
 * ```
 *
 * Since: 1.0
 */

enum
{
  AUTHENTICATE,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TcpGateway, tcp_gateway, TCP_TYPE_ENDPOINT)

/* Whether a handler for the signal authenticate is connected. */
static gboolean
gateway_asks (TcpGateway *self)
{
  return g_signal_has_handler_pending (self, signals[AUTHENTICATE], 0, TRUE);
}

/* Lists belong to the application, and are read without the lock. @setting is one of the settings. */
static GListModel *
gateway_dup_list (TcpGateway  *self,
                  GListModel **setting)
{
  GListModel *list = NULL;

  tcp_runner_lock (&TCP_ENDPOINT (self)->runner);
  g_set_object (&list, *setting);
  tcp_runner_unlock (&TCP_ENDPOINT (self)->runner);
  return list;
}

/* Reads the settings of all principals now. */
static GPtrArray *
gateway_collect_principals (TcpGateway  *self,
                            GError     **error)
{
  TcpGatewaySettings *settings = TCP_ENDPOINT (self)->settings;
  g_autoptr (GListModel) list = gateway_dup_list (self, &settings->principals);

  return tcp_principals_get_specs (list, error);
}

static GArray *
gateway_collect_places (TcpGateway  *self,
                        GError     **error)
{
  TcpGatewaySettings *settings = TCP_ENDPOINT (self)->settings;
  g_autoptr (GListModel) list = gateway_dup_list (self, &settings->listeners);

  return tcp_places_read (list, error);
}

/* Copies the settings that a start would use now, except the principals. Called with the lock held. */
static TcpGatewaySettings *
gateway_copy_settings (TcpGateway *self)
{
  TcpGatewaySettings *settings = tcp_gateway_settings_copy (TCP_ENDPOINT (self)->settings);

  settings->asks = gateway_asks (self);
  return settings;
}

/* Whether the gateway could be started now, as far as that can be found out without listening. Warnings of a start are
 * written to @log. Blocks. */
gboolean
tcp_gateway_try (TcpGateway    *self,
                 TcpLog        *log,
                 GCancellable  *cancellable,
                 GError       **error)
{
  TcpEndpoint *endpoint = TCP_ENDPOINT (self);
  g_autoptr (GPtrArray) principals = gateway_collect_principals (self, error);
  g_autoptr (GArray) places = principals != NULL ? gateway_collect_places (self, error) : NULL;
  g_autoptr (TcpGatewaySettings) settings = NULL;
  g_autoptr (TcpRoster) roster = NULL;

  if (places == NULL)
    return FALSE;
  tcp_runner_lock (&endpoint->runner);
  settings = gateway_copy_settings (self);
  tcp_runner_unlock (&endpoint->runner);
  return tcp_port_spec_check (&settings->common.where, error) &&
         tcp_server_check (settings, principals, log, cancellable, &roster, error);
}

/* For the runner */

static gboolean
gateway_collect (gpointer   owner,
                 GError   **error)
{
  TcpEndpoint *endpoint = owner;
  TcpGateway *self = owner;
  g_autoptr (GPtrArray) principals = gateway_collect_principals (self, error);
  g_autoptr (GArray) places = principals != NULL ? gateway_collect_places (self, error) : NULL;
  GPtrArray *former_principals;
  GArray *former_places;

  if (places == NULL)
    return FALSE;

  tcp_runner_lock (&endpoint->runner);
  former_principals = self->principals;
  self->principals = g_steal_pointer (&principals);
  former_places = self->places;
  self->places = g_steal_pointer (&places);
  tcp_runner_unlock (&endpoint->runner);
  g_clear_pointer (&former_principals, g_ptr_array_unref);
  g_clear_pointer (&former_places, g_array_unref);
  return TRUE;
}

static gpointer
gateway_make_server (gpointer        owner,
                     TcpEventQueue  *events,
                     GError        **error)
{
  TcpEndpoint *self = owner;
  g_autoptr (TcpHeritage) heritage = NULL;
  TcpServer *server;

  ((TcpGatewaySettings *) self->settings)->asks = gateway_asks (owner);
  if (!tcp_port_spec_check (&((TcpGatewaySettings *) self->settings)->common.where, error) ||
      !tcp_gateway_settings_check (self->settings, error))
    return NULL;
  server = tcp_server_new (self->settings, TCP_GATEWAY (self)->principals, TCP_GATEWAY (self)->places, self->log,
                           self->status, TCP_GATEWAY (self)->counters, events, error);
  heritage = server != NULL ? g_steal_pointer (&TCP_GATEWAY (self)->heritage) : NULL;
  if (heritage != NULL)
    tcp_server_inherit (server, heritage);
  return server;
}

static void
gateway_emit (TcpEndpoint *self,
              gpointer     engine,
              TcpEvent    *event)
{
  switch (event->type)
    {
    case TCP_EVENT_ADDRESS:
      g_object_notify (G_OBJECT (self), "uri");
      break;
    case TCP_EVENT_AUTHENTICATE:
      if (tcp_authentication_put (TCP_AUTHENTICATION (event->object)))
        g_signal_emit (self, signals[AUTHENTICATE], 0, event->object);
      break;
    default:
      break;
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
  .noun = N_("the gateway"),
  .collect = gateway_collect,
  .make = gateway_make_server,
  .ref = (gpointer (*) (gpointer)) tcp_server_ref,
  .unref = (void (*) (gpointer)) tcp_server_unref,
  .prepare = (gboolean (*) (gpointer, GError **)) tcp_server_prepare,
  .start = (void (*) (gpointer)) tcp_server_start,
  .drain = (void (*) (gpointer, guint64, guint)) tcp_server_drain,
  .cancel = gateway_cancel,
  .close = (void (*) (gpointer)) tcp_server_close,
  .emit = tcp_endpoint_emit,
};

/**
 * tcp_gateway_dup_uri:
 * @self: a gateway
 *
 * Gets the URL for tunnels on this machine: see [property@TcpTunnel.Gateway:uri].
 *
 * Returns: (transfer full) (nullable): the URL, or %NULL if there is none
 *
 * Since: 1.0
 */
char *
tcp_gateway_dup_uri (TcpGateway *self)
{
  char *uri = NULL;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), NULL);

  g_object_get (self, "uri", &uri, NULL);
  return uri;
}

/**
 * tcp_gateway_get_local_addresses:
 * @self: a gateway
 *
 * Gets the addresses on which the gateway listens, with the actual ports.
 *
 * The first is [property@TcpTunnel.Endpoint:local-address]; the others are those of
 * [property@TcpTunnel.Gateway:listeners], in their order. A name counts once: the first of its addresses is in the
 * array, and the port is the same at all of them.
 *
 * May be called from any thread.
 *
 * Returns: (transfer container) (element-type Gio.SocketAddress): the addresses; none while the gateway does not run
 *
 * Since: 1.0
 */
GPtrArray *
tcp_gateway_get_local_addresses (TcpGateway *self)
{
  TcpRunner *runner;
  TcpServer *server = NULL;
  GPtrArray *addresses;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), NULL);

  runner = &TCP_ENDPOINT (self)->runner;
  tcp_runner_lock (runner);
  if (tcp_runner_is_active (runner))
    server = tcp_server_ref (runner->engine);
  tcp_runner_unlock (runner);
  if (server == NULL)
    return g_ptr_array_new_with_free_func (g_object_unref);

  addresses = tcp_server_copy_addresses (server);
  tcp_server_unref (server);
  return addresses;
}

/**
 * tcp_gateway_get_metrics:
 * @self: a gateway
 *
 * Gets the counters and the current state of the gateway, in addition to those of
 * [method@TcpTunnel.Endpoint.get_statistics].
 *
 * May be called from any thread, also while the gateway does not run: the counters continue from one start to the next.
 * It does not delay any connection; the figures are of one moment, except for changes during the call.
 *
 * Returns: (transfer full): the metrics
 *
 * Since: 1.0
 */
TcpGatewayMetrics *
tcp_gateway_get_metrics (TcpGateway *self)
{
  TcpEndpoint *endpoint;
  TcpGatewayMetrics *metrics;
  TcpServer *server;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), NULL);

  endpoint = TCP_ENDPOINT (self);
  metrics = &tcp_counters_read (self->counters)->figures;
  metrics->open_websockets = tcp_status_get (endpoint->status, open_websockets);
  server = tcp_runner_ref_engine (&endpoint->runner, NULL);
  if (server != NULL)
    {
      tcp_server_measure (server, metrics);
      tcp_server_unref (server);
    }
  else
    {
      metrics->pending_connections = 0;
    }
  /* The sessions and WebSockets are counted slightly later than the totals. */
  metrics->total_sessions = MAX (metrics->total_sessions, metrics->open_sessions);
  metrics->total_websockets = MAX (metrics->total_websockets, metrics->open_websockets);
  return metrics;
}

/**
 * tcp_gateway_set_token:
 * @self: a gateway
 * @token: (nullable): a bearer token that clients may use
 *
 * Sets a token: see [property@TcpTunnel.Gateway:token]. Takes effect when the gateway is next started.
 *
 * Since: 1.0
 */
void
tcp_gateway_set_token (TcpGateway *self,
                       const char *token)
{
  g_return_if_fail (TCP_IS_GATEWAY (self));

  g_object_set (self, "token", token, NULL);
}

/**
 * tcp_gateway_drain_async:
 * @self: a gateway
 * @timeout: how long to wait, in milliseconds
 * @cancellable: (nullable): a cancellable to stop waiting
 * @callback: (scope async): called when the gateway is closed
 * @user_data: data for @callback
 *
 * Closes the gateway once its connections have ended.
 *
 * See [method@TcpTunnel.Gateway.drain].
 *
 * The end is handled, as all events are, in the main context that was the thread's default when the gateway was
 * started; @callback is then called in the context of this call. As long as no thread iterates the first context,
 * @callback is not called, even if @cancellable is cancelled.
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

  tcp_runner_drain_async (&TCP_ENDPOINT (self)->runner, timeout, cancellable, callback, user_data,
                          tcp_gateway_drain_async);
}

/**
 * tcp_gateway_drain_finish:
 * @self: a gateway
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the result of [method@TcpTunnel.Gateway.drain_async].
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
 * @cancellable: (nullable): a cancellable to stop waiting, from another thread
 * @error: return location for an error
 *
 * Closes the gateway once its connections have ended, and blocks until then.
 *
 * The gateway accepts no new connections from now on: clients that request a session are answered 503, and clients that
 * have one are asked to use another gateway. Existing connections continue, also over further WebSockets, until they
 * have ended or @timeout has passed. Then the gateway is closed, as by [method@TcpTunnel.Endpoint.close].
 *
 * If this is called again meanwhile, the last @timeout applies to all calls.
 *
 * Fails with %TCP_TUNNEL_ERROR_CLOSED if the application closes the gateway meanwhile, with
 * %TCP_TUNNEL_ERROR_WRONG_STATE if the gateway was started before a fork and this process is the child, or with
 * %G_IO_ERROR_CANCELLED, after which the gateway still runs, but accepts no new connections. If the gateway does not
 * run, this returns at once; a gateway that is being started is closed.
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

  return tcp_runner_drain (&TCP_ENDPOINT (self)->runner, timeout, cancellable, error);
}

/**
 * tcp_gateway_drain_step:
 * @self: a gateway
 * @timeout: how long the connections may continue, in milliseconds
 * @wait: how long this call may block, in milliseconds
 * @cancellable: (not nullable): one that is used for this drain only
 * @error: return location for an error
 *
 * Closes the gateway once its connections have ended, as
 * [method@TcpTunnel.Gateway.drain] does, in several calls that each block for a short time.
 *
 * This is for language bindings, like [method@TcpTunnel.Endpoint.start_step], and is used in
 * the same way. @timeout counts from the first call, and later calls ignore it. To give up,
 * cancel @cancellable and continue calling.
 *
 * The errors are those of [method@TcpTunnel.Gateway.drain].
 *
 * Returns: %TRUE if the gateway is closed, %FALSE with @error set if it will not be, and
 *   %FALSE without an error if the drain is still in progress
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

  return tcp_runner_drain_step (&TCP_ENDPOINT (self)->runner, timeout, wait, cancellable, error);
}

/**
 * tcp_gateway_check:
 * @self: a gateway
 * @cancellable: (nullable): a cancellable to give up, from another thread
 * @error: return location for an error
 *
 * Checks whether the gateway could be started with its current properties, as far as that can be found out without
 * listening. Reads the [property@TcpTunnel.Gateway:token-file], and blocks meanwhile. Nothing is logged, and nothing
 * changes; a running gateway keeps its settings.
 *
 * The errors are those of a start: %TCP_TUNNEL_ERROR_INVALID_ARGUMENT for an invalid property, token file or principal,
 * with one line in the message for each invalid line of the token file; %TCP_TUNNEL_ERROR_TLS for a certificate that
 * cannot be used; or %G_IO_ERROR_CANCELLED.
 *
 * Returns: (transfer full) (array zero-terminated=1): the warnings that a start would log, for example that the
 *   certificate has expired; %NULL with @error set if the gateway could not be started
 *
 * Since: 1.0
 */
char **
tcp_gateway_check (TcpGateway    *self,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr (TcpLog) log = tcp_log_new_collector ();

  g_return_val_if_fail (TCP_IS_GATEWAY (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return tcp_gateway_try (self, log, cancellable, error) ? tcp_log_end_collection (log) : NULL;
}

/* The data of a reload, which may run in another thread. */
typedef struct
{
  TcpServer *server;
  guint number;
  TcpGatewaySettings *settings;
  GPtrArray *principals; /* of TcpPrincipalSpec */
} Reload;

static void
reload_free (Reload *self)
{
  tcp_tsan_acquire (self);
  tcp_server_unref (self->server);
  tcp_gateway_settings_free (self->settings);
  g_ptr_array_unref (self->principals);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reload, reload_free)

static Reload *
gateway_begin_reload (TcpGateway  *self,
                      GError     **error)
{
  TcpEndpoint *endpoint = TCP_ENDPOINT (self);
  g_autoptr (GPtrArray) principals = gateway_collect_principals (self, error);
  TcpServer *server = principals != NULL ? tcp_runner_ref_engine (&endpoint->runner, error) : NULL;
  Reload *reload;

  if (server == NULL)
    return NULL;

  reload = g_new0 (Reload, 1);
  reload->server = server;
  reload->principals = g_steal_pointer (&principals);
  tcp_runner_lock (&endpoint->runner);
  reload->settings = gateway_copy_settings (self);
  reload->number = tcp_server_begin_reload (server);
  tcp_runner_unlock (&endpoint->runner);
  return reload;
}

static void
reload_run (GTask        *task,
            gpointer      source,
            gpointer      data,
            GCancellable *cancellable)
{
  Reload *reload = data;
  GError *error = NULL;

  tcp_tsan_acquire (reload);
  tcp_server_reload (reload->server, reload->number, reload->settings, reload->principals, cancellable, &error);
  tcp_tsan_release (reload);
  if (error == NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * tcp_gateway_reload_async:
 * @self: a running gateway
 * @cancellable: (nullable): a cancellable to give up, until the changes take effect
 * @callback: (scope async): called when the changes have taken effect, or nothing has changed
 * @user_data: data for @callback
 *
 * Applies changes of the properties, and of the files that they name, while the gateway runs.
 *
 * See [method@TcpTunnel.Gateway.reload].
 *
 * Since: 1.0
 */
void
tcp_gateway_reload_async (TcpGateway          *self,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  Reload *reload;
  GError *error = NULL;

  g_return_if_fail (TCP_IS_GATEWAY (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, tcp_gateway_reload_async);
  reload = gateway_begin_reload (self, &error);
  if (reload == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_set_task_data (task, reload, (GDestroyNotify) reload_free);
  tcp_tsan_release (reload);
  g_task_run_in_thread (task, reload_run);
}

/**
 * tcp_gateway_reload_finish:
 * @self: a gateway
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the result of [method@TcpTunnel.Gateway.reload_async].
 *
 * The errors are those of [method@TcpTunnel.Gateway.reload].
 *
 * Returns: whether the changes have taken effect
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_reload_finish (TcpGateway    *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_gateway_reload_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * tcp_gateway_reload:
 * @self: a running gateway
 * @cancellable: (nullable): a cancellable to give up, from another thread, until the changes take effect
 * @error: return location for an error
 *
 * Applies changes of the properties, and of the files that they name, while the gateway runs. Blocks until that is
 * done.
 *
 * These settings take effect:
 *
 * - authentication: [property@TcpTunnel.Gateway:token], the content of [property@TcpTunnel.Gateway:token-file],
 *   [property@TcpTunnel.Gateway:principals] with their settings, [property@TcpTunnel.Gateway:client-ca], and whether
 *   [signal@TcpTunnel.Gateway::authenticate] has a handler;
 * - targets: [property@TcpTunnel.Gateway:target], [property@TcpTunnel.Gateway:targets],
 *   [property@TcpTunnel.Gateway:allow] and [property@TcpTunnel.Gateway:reverse-ports];
 * - limits: [property@TcpTunnel.Gateway:max-dials], [property@TcpTunnel.Endpoint:max-connections], except
 *   that there are no more sessions, nor connections in one session, than at the start, and the limits of each principal
 *   such as [property@TcpTunnel.Gateway:max-principal-connections]. A principal above a new limit keeps what it has;
 * - [property@TcpTunnel.Gateway:tls-certificate].
 *
 * A change of any other property takes effect at the next start. If the reload fails, nothing has changed.
 *
 * Sessions and their connections continue, except that
 *
 * - the sessions of a principal that is no longer known end, and their connections are reset;
 * - connections to targets that are no longer allowed are reset with %TCP_TUNNEL_ERROR_FORBIDDEN, and their sessions
 *   continue; a connection to a named target continues if the name has another address now;
 * - the gateway stops listening on ports for reverse tunnels that are no longer allowed, and their connections
 * continue;
 * - a client whose token was removed while its principal has another is asked for a new one: its WebSocket
 *   is closed, and its session waits for [property@TcpTunnel.Gateway:session-timeout], as after
 *   any break. The same happens when a token expires;
 * - so is a client whose certificate the new [property@TcpTunnel.Gateway:client-ca] does not verify, which may happen
 *   shortly after this function has returned;
 * - a client that the application has admitted continues, unless its principal was known before and no longer is.
 *
 * New TLS handshakes use the new certificate.
 *
 * Several reloads may be in progress at a time; the settings of the last call take effect.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if the tokens cannot be read, if a property of the gateway or of a
 * principal is invalid, or if a certificate is set but there was none at the start, or the other way round; with
 * %TCP_TUNNEL_ERROR_TLS if the private key belongs to another certificate; with %TCP_TUNNEL_ERROR_WRONG_STATE if the
 * gateway does not run, is closed meanwhile, or was started before a fork and this process is the child; or with
 * %G_IO_ERROR_CANCELLED.
 *
 * Returns: whether the changes have taken effect
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_reload (TcpGateway    *self,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr (Reload) reload = NULL;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  reload = gateway_begin_reload (self, error);
  return reload != NULL && tcp_server_reload (reload->server, reload->number, reload->settings, reload->principals,
                                              cancellable, error);
}

/**
 * tcp_gateway_new:
 * @target: (nullable): the TCP service, as `host:port`
 *
 * Creates a gateway to a TCP service. It does nothing until it is started; the target can be set later, and is checked
 * at the start.
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
tcp_gateway_finalize (GObject *object)
{
  TcpCounters *counters = TCP_GATEWAY (object)->counters;

  g_clear_pointer (&TCP_GATEWAY (object)->principals, g_ptr_array_unref);
  g_clear_pointer (&TCP_GATEWAY (object)->places, g_array_unref);
  g_clear_pointer (&TCP_GATEWAY (object)->heritage, tcp_heritage_unref);
  G_OBJECT_CLASS (tcp_gateway_parent_class)->finalize (object);
  tcp_counters_unref (counters);
}

static void
tcp_gateway_class_init (TcpGatewayClass *klass)
{
  TcpEndpointClass *endpoint_class = &klass->parent_class;

  G_OBJECT_CLASS (klass)->finalize = tcp_gateway_finalize;
  endpoint_class->kind = "gateway";
  endpoint_class->runner_class = &runner_class;
  endpoint_class->emit = gateway_emit;
  tcp_endpoint_class_install (endpoint_class, &tcp_gateway_settings);

  /**
   * TcpGateway::authenticate:
   * @self: the gateway
   * @authentication: the client's credentials, and the methods to answer
   *
   * Emitted when a client requests a WebSocket and the gateway cannot identify it: it sent no token, or one that is not
   * a token of the gateway, and no certificate that names a principal. The application identifies the client, in the
   * handler or later: see [class@TcpTunnel.Authentication]. If no handler keeps @authentication, or accepts the client,
   * the client is rejected.
   *
   * The signal is not emitted for a client whose token has expired, whose token and certificate belong to two
   * principals, or whose request is not one for a WebSocket.
   *
   * A handler must be connected when the gateway is started, or when [method@TcpTunnel.Gateway.reload] is called;
   * otherwise such clients are rejected without a signal. With a handler the gateway needs no token.
   *
   * The application may have at most 64 clients to decide on at a time, at most 32 of them from one address; further
   * clients wait for their turn, and are answered 503 after [property@TcpTunnel.Gateway:connect-timeout]. A client
   * counts until the application has answered or dropped its object, or the time to answer is over, even if the client
   * has left.
   *
   * Like all signals it is emitted in the main context that was the thread's default when the gateway was started, and
   * clients wait as long as no thread iterates that context.
   *
   * Since: 1.0
   */
  signals[AUTHENTICATE] = g_signal_new ("authenticate", TCP_TYPE_GATEWAY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                        G_TYPE_NONE, 1, TCP_TYPE_AUTHENTICATION);
}

static void
tcp_gateway_init (TcpGateway *self)
{
  self->counters = tcp_counters_new ();
}
