/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include <sys/stat.h>
#include "base/runner.h"
#include "gateway/drain.h"
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
 * As with [class@TcpTunnel.Tunnel], the work is done on I/O threads, and
 * signals are emitted in the thread-default main context of the thread that started
 * it. Properties take effect when the gateway is next started, except for
 * [property@TcpTunnel.Gateway:log-level], which does at once.
 *
 * ```c
 * g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:5432");
 * g_autoptr (GError) error = NULL;
 *
 * tcp_gateway_set_token (gateway, token);
 * if (!tcp_gateway_start (gateway, NULL, &error))
 *   g_error ("%s", error->message);
 * g_print ("%s\n", tcp_gateway_get_uri (gateway));
 * ```
 *
 * Since: 1.0
 */

/* In bytes; some 100,000 tokens have a tenth of that. */
#define MAX_TOKEN_FILE (64u * 1024 * 1024)

struct _TcpGateway
{
  GObject parent_instance;
  TcpGatewaySettings *settings;
  TcpLog *log;
  TcpStatus *status;
  GInetSocketAddress *address;
  char *uri;
  TcpRunner runner;
  TcpDrains drains;
};

enum
{
  CONNECTION_OPENED,
  CONNECTION_CLOSED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TcpGateway, tcp_gateway, G_TYPE_OBJECT)

TcpGatewaySettings *
tcp_gateway_peek_settings (TcpGateway *self)
{
  return self->settings;
}

TcpStatus *
tcp_gateway_peek_status (TcpGateway *self)
{
  return self->status;
}

TcpLog *
tcp_gateway_peek_log (TcpGateway *self)
{
  return self->log;
}

TcpRunner *
tcp_gateway_peek_runner (TcpGateway *self)
{
  return &self->runner;
}

TcpDrains *
tcp_gateway_peek_drains (TcpGateway *self)
{
  return &self->drains;
}

/**
 * tcp_gateway_get_local_address:
 * @self: a gateway
 *
 * Gets where the gateway listens: see [property@TcpTunnel.Gateway:local-address].
 *
 * Returns: (transfer none) (nullable): the address with the port that was opened, or
 *   %NULL if the gateway does not run
 *
 * Since: 1.0
 */
GInetSocketAddress *
tcp_gateway_get_local_address (TcpGateway *self)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), NULL);

  return self->address;
}

/**
 * tcp_gateway_get_uri:
 * @self: a gateway
 *
 * Gets the URL for tunnels on this machine, such as `ws://127.0.0.1:8080/`.
 *
 * Returns: (transfer none) (nullable): the URL, or %NULL if the gateway does not run
 *
 * Since: 1.0
 */
const char *
tcp_gateway_get_uri (TcpGateway *self)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), NULL);

  return self->uri;
}

/* What the runner wants */

/* With a zero byte behind it. */
static char *
read_token_file (const char  *file,
                 gsize       *length,
                 gboolean    *is_public,
                 GError     **error)
{
  g_autoptr (GFile) where = g_file_new_for_path (file);
  g_autoptr (GFileInputStream) stream = g_file_read (where, NULL, error);
  g_autoptr (GFileInfo) info = NULL;
  g_autoptr (GByteArray) text = g_byte_array_new ();
  gsize n;

  if (stream == NULL)
    return NULL;

  info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_UNIX_MODE, NULL, error);
  if (info == NULL)
    return NULL;
  *is_public = (g_file_info_get_attribute_uint32 (info, G_FILE_ATTRIBUTE_UNIX_MODE) & S_IROTH) != 0;

  do
    {
      guint8 block[64 * 1024];

      if (!g_input_stream_read_all (G_INPUT_STREAM (stream), block, sizeof block, &n, NULL, error))
        return NULL;
      g_byte_array_append (text, block, n);
      /* It may be a device, which never ends. */
      if (text->len > MAX_TOKEN_FILE)
        {
          g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "%s has more than %u bytes", file,
                       MAX_TOKEN_FILE);
          return NULL;
        }
    }
  while (n > 0);

  *length = text->len;
  g_byte_array_append (text, (const guint8 *) "", 1);
  return (char *) g_byte_array_free (g_steal_pointer (&text), FALSE);
}

static TcpAccess *
gateway_load_tokens (TcpGateway  *self,
                     GError     **error)
{
  g_autoptr (TcpAccess) access = tcp_access_new ();
  const char *file = self->settings->token_file;

  if (self->settings->token != NULL && !tcp_access_add (access, "default", self->settings->token, error))
    return NULL;

  if (file != NULL)
    {
      g_autoptr (GError) local = NULL;
      gsize length;
      gboolean is_public;
      g_autofree char *text = read_token_file (file, &length, &is_public, &local);

      if (text == NULL)
        {
          g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
                       "the token file cannot be read: %s", local->message);
          return NULL;
        }
      if (!tcp_access_add_lines (access, text, length, file, error))
        return NULL;
      if (is_public)
        tcp_log_warn (self->log, "every user of this machine may read the tokens in %s; 'chmod o-r %s' prevents that", file,
                      file);
    }

  if (tcp_access_get_size (access) == 0)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
                           "no token was given that clients could show");
      return NULL;
    }
  return g_steal_pointer (&access);
}

static gpointer
gateway_make_server (gpointer        owner,
                     TcpEventQueue  *events,
                     GError        **error)
{
  TcpGateway *self = owner;
  g_autoptr (TcpGatewaySettings) settings = tcp_gateway_settings_copy (self->settings);
  TcpAccess *access;
  TcpServer *server;

  if (!tcp_gateway_settings_check (settings, error))
    return NULL;
  access = gateway_load_tokens (self, error);
  if (access == NULL)
    return NULL;

  server = tcp_server_new (settings, access, self->log, self->status, events);
  tcp_server_start (server);
  return server;
}

static void
gateway_on_event (gpointer  owner,
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

    case TCP_EVENT_DRAINED:
      tcp_gateway_handle_drained (self, event);
      break;

    default:
      g_assert_not_reached ();
    }
}

static char *
gateway_make_uri (TcpGateway         *self,
                  GInetSocketAddress *address)
{
  g_autofree char *host = g_inet_address_to_string (g_inet_socket_address_get_address (address));
  const char *path = self->settings->path != NULL ? self->settings->path : "/";

  return g_uri_join (G_URI_FLAGS_NONE, self->settings->tls_certificate != NULL ? "wss" : "ws", NULL, host,
                     g_inet_socket_address_get_port (address), path, NULL, NULL);
}

static void
gateway_set_address (gpointer        owner,
                     GSocketAddress *address)
{
  TcpGateway *self = owner;

  if (!g_set_object (&self->address, (GInetSocketAddress *) address))
    return;

  g_free (self->uri);
  self->uri = address != NULL ? gateway_make_uri (self, self->address) : NULL;
  g_object_notify (G_OBJECT (self), "local-address");
  g_object_notify (G_OBJECT (self), "uri");
}

static const TcpRunnerClass runner_class = {
  .noun = "the gateway",
  .make = gateway_make_server,
  .ref = (gpointer (*) (gpointer)) tcp_server_ref,
  .unref = (void (*) (gpointer)) tcp_server_unref,
  .cancel = (void (*) (gpointer)) tcp_server_cancel,
  .close = (void (*) (gpointer)) tcp_server_close,
  .event = gateway_on_event,
  .address = gateway_set_address,
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
 * runs already, %TCP_TUNNEL_ERROR_LISTEN if the port cannot be opened,
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
 * tcp_gateway_close:
 * @self: a gateway
 *
 * Closes the gateway: its port, every WebSocket and every connection to the target,
 * which end in a reset.
 *
 * When this returns the port is free, and no signal follows. A start or a drain that is
 * under way fails with %TCP_TUNNEL_ERROR_CLOSED. Closing a gateway that does not run
 * does nothing. See [method@TcpTunnel.Gateway.drain] for a gentler way.
 *
 * Since: 1.0
 */
void
tcp_gateway_close (TcpGateway *self)
{
  g_autoptr (TcpGateway) kept = NULL;

  g_return_if_fail (TCP_IS_GATEWAY (self));

  kept = g_object_ref (self);
  tcp_gateway_close_drained (self, FALSE);
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
  /* Drains too: one that was made in steps need not have been waited for. */
  tcp_gateway_close_drained (TCP_GATEWAY (object), FALSE);

  G_OBJECT_CLASS (tcp_gateway_parent_class)->dispose (object);
}

static void
tcp_gateway_finalize (GObject *object)
{
  TcpGateway *self = TCP_GATEWAY (object);

  g_clear_object (&self->address);
  g_free (self->uri);
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
