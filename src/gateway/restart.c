/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/i18n.h"
#include "gateway/server.h"

/* Called on an I/O thread. */
static void
on_suspended (int      fd,
              GError  *error,
              gpointer user_data)
{
  g_autoptr (GTask) task = user_data;

  if (fd >= 0 && g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      close (fd);
      tcp_server_resume (g_task_get_task_data (task));
      g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error);
    }
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_int (task, fd);
}

/**
 * tcp_gateway_suspend_async:
 * @self: a running gateway
 * @cancellable: (nullable): a cancellable to give up, while that is possible
 * @callback: (scope async): called when the state is saved, or the gateway has resumed
 * @user_data: data for @callback
 *
 * Stops the gateway at once, and saves its state, so that another program in this process can continue it.
 *
 * This is the first of three calls by which a program replaces itself, for example with a newer version, without ending
 * any connection:
 *
 * 1. After this call nothing is read, written or accepted, no timer runs, and the WebSockets stay open. The result
 *    is the descriptor of a sealed memfd: the listeners, the sessions, their connections with the data that waits in
 *    them, and the counters. It contains no tokens. The data that waits takes no more than
 *    [property@TcpTunnel.Gateway:max-memory]; each session, each connection, and each id of an ended session adds some
 *    hundred bytes. The state can be read by the same version of this library, and by later ones that know its format.
 * 2. The program makes sure that the new program can read it: it runs that program with the descriptor, has it call
 *    [method@TcpTunnel.Gateway.adopt], and waits for its exit status. If it fails, [method@TcpTunnel.Gateway.resume]
 *    continues as if nothing had happened.
 * 3. [method@TcpTunnel.Gateway.hand_over] asks the clients to return, and marks the sockets to be inherited. `execve
 * ()`
 *    follows, and [method@TcpTunnel.Gateway.adopt] in the new program, with the descriptor, before it starts its
 * gateway.
 *
 * The connections of clients that use resumable/1 lose nothing. A client that uses the protocol of limrun's singleton
 * mode keeps its target connection; data on its way may be lost, as whenever its WebSocket breaks. Connections of the
 * multiplexed mode and of reverse tunnels of limrun's protocol are reset. Connections to targets that are being opened
 * are opened anew.
 *
 * If the gateway is drained or closed meanwhile, it resumes. All gateways and tunnels of the process that use the same
 * I/O threads stop as well, and end with the program. If another program continues the state, changes that the
 * application makes meanwhile, such as closing a connection, are lost.
 *
 * Fails with %TCP_TUNNEL_ERROR_WRONG_STATE if the gateway does not run, is suspended already, drains, or was started
 * before a fork and this process is the child; with %TCP_TUNNEL_ERROR_CLOSED if it is resumed, drained or closed
 * meanwhile; with %G_IO_ERROR_CANCELLED; or with another error of `GIOErrorEnum` if there is no memory for the state.
 * The gateway has then resumed.
 *
 * Since: 1.0
 */
void
tcp_gateway_suspend_async (TcpGateway          *self,
                           GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;
  TcpServer *server;

  g_return_if_fail (TCP_IS_GATEWAY (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, tcp_gateway_suspend_async);
  g_task_set_check_cancellable (task, FALSE);
  server = tcp_runner_ref_engine (&TCP_ENDPOINT (self)->runner, &error);
  if (server == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_set_task_data (task, server, (GDestroyNotify) tcp_server_unref);
  tcp_server_suspend (server, on_suspended, g_object_ref (task));
}

/**
 * tcp_gateway_suspend_finish:
 * @self: a gateway
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the result of [method@TcpTunnel.Gateway.suspend_async], where its errors are described.
 *
 * Returns: a descriptor of the state, for the caller to close, or -1
 *
 * Since: 1.0
 */
int
tcp_gateway_suspend_finish (TcpGateway    *self,
                            GAsyncResult  *result,
                            GError       **error)
{
  g_return_val_if_fail (TCP_IS_GATEWAY (self), -1);
  g_return_val_if_fail (g_task_is_valid (result, self), -1);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_gateway_suspend_async), -1);

  return g_task_propagate_int (G_TASK (result), error);
}

/**
 * tcp_gateway_resume:
 * @self: a gateway
 *
 * Resumes the gateway after [method@TcpTunnel.Gateway.suspend_async], if no other program has continued its state.
 *
 * Nothing was lost, unless [method@TcpTunnel.Gateway.hand_over] was called: then the clients that were asked to return
 * do so. The descriptor of the state is no longer of use. Does nothing if the gateway is not suspended. Closing the
 * gateway resumes it as well, and then ends it in order.
 *
 * Since: 1.0
 */
void
tcp_gateway_resume (TcpGateway *self)
{
  g_autoptr (GError) error = NULL;
  TcpServer *server;

  g_return_if_fail (TCP_IS_GATEWAY (self));

  server = tcp_runner_ref_engine (&TCP_ENDPOINT (self)->runner, &error);
  if (server == NULL)
    return;
  tcp_server_resume (server);
  tcp_server_unref (server);
}

/**
 * tcp_gateway_hand_over:
 * @self: a suspended gateway
 * @error: return location for an error
 *
 * Prepares the process for another program that continues the state of the gateway.
 *
 * Clients that can return are asked to do so. The close-on-exec flag of the sockets in the state is cleared, and of no
 * others. From here on each of these sockets is closed with a reset, even by the end of the process, so that its peer
 * does not mistake that for an orderly end. The caller must clear the flag of the descriptor of the state itself.
 * `execve ()` follows; if it fails, call [method@TcpTunnel.Gateway.resume].
 *
 * Fails with %TCP_TUNNEL_ERROR_WRONG_STATE if the gateway is not suspended.
 *
 * Returns: whether the process is prepared
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_hand_over (TcpGateway  *self,
                       GError     **error)
{
  TcpServer *server;
  gboolean done;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  server = tcp_runner_ref_engine (&TCP_ENDPOINT (self)->runner, error);
  if (server == NULL)
    return FALSE;
  done = tcp_server_hand_over (server);
  tcp_server_unref (server);
  if (!done)
    g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE, _("the gateway is not suspended"));
  return done;
}

/* The previous program has read the pipe, whose data comes only once. */
static gboolean
can_read_again (const char  *path,
                GError     **error)
{
  struct stat info;

  if (path == NULL || stat (path, &info) < 0 || !(S_ISFIFO (info.st_mode) || S_ISSOCK (info.st_mode)))
    return TRUE;
  g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
               _("the tokens are in the pipe %s, which cannot be read again"), path);
  return FALSE;
}

/* Checked in advance, since a start that fails would end all connections. */
static gboolean
gateway_can_start (TcpGateway  *self,
                   GError     **error)
{
  TcpEndpoint *endpoint = TCP_ENDPOINT (self);
  /* The start itself logs the warnings. */
  g_autoptr (TcpLog) log = tcp_log_new ("gateway", TCP_TUNNEL_LOG_LEVEL_NONE);
  g_autofree char *token_file = NULL;

  tcp_runner_lock (&endpoint->runner);
  token_file = g_strdup (((TcpGatewaySettings *) endpoint->settings)->token_file);
  tcp_runner_unlock (&endpoint->runner);
  return can_read_again (token_file, error) && tcp_gateway_try (self, log, NULL, error);
}

/**
 * tcp_gateway_adopt:
 * @self: a gateway that does not run
 * @fd: the descriptor of the state of another gateway, which stays open
 * @error: return location for an error
 *
 * Makes the next start of the gateway continue the state of another one, which the program that was replaced by this
 * one has saved with [method@TcpTunnel.Gateway.suspend_async].
 *
 * The whole state is checked, except the sockets in it, which only the start uses. The properties are checked as well,
 * with the tokens and the certificate, as a start would do. A program can therefore call this to find out whether it
 * could continue a state, and exit.
 *
 * The gateway continues the listeners in the state, whatever its properties specify. Sessions of principals that have
 * no token any more are reset, and so are connections beyond the limits of the properties. Each connection is reported
 * as opened again. If the start fails, every connection in the state is reset.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if the descriptor is not that of a state, if the state is malformed or
 * has a version that this library does not know, or if the token file is a pipe, which cannot be read again; or with
 * the error with which a start would fail. The program should exit then, which resets the connections.
 *
 * Returns: whether the state can be continued
 *
 * Since: 1.0
 */
gboolean
tcp_gateway_adopt (TcpGateway  *self,
                   int          fd,
                   GError     **error)
{
  TcpEndpoint *endpoint;
  TcpHeritage *heritage;

  g_return_val_if_fail (TCP_IS_GATEWAY (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  endpoint = TCP_ENDPOINT (self);
  heritage = gateway_can_start (self, error) ? tcp_heritage_read (fd, error) : NULL;
  if (heritage == NULL)
    return FALSE;

  tcp_runner_lock (&endpoint->runner);
  g_clear_pointer (&self->heritage, tcp_heritage_unref);
  self->heritage = heritage;
  tcp_runner_unlock (&endpoint->runner);
  return TRUE;
}
