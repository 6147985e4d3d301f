/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/gateway-private.h"

#include <sys/stat.h>
#include <unistd.h>

#include "gateway/server.h"

/* On an I/O thread. */
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
 * @self: a gateway that runs
 * @cancellable: (nullable): to give up, if it is not too late
 * @callback: (scope async): called when the state is written down, or the gateway goes on
 * @user_data: for @callback
 *
 * Stops the gateway at once, and writes its state down, so that another program in this process can go on with it.
 *
 * This is the first of three calls by which a program replaces itself, for instance by a newer version, and no
 * connection ends:
 *
 * 1. After this call nothing is read, written, accepted or timed any more, and the WebSockets stay open. The result
 *    is the descriptor of a sealed memfd: the listeners, the sessions, their connections with what waits in them, and what
 *    was counted. Tokens are not in it. What waits in it is no more than [property@TcpTunnel.Gateway:max-memory]; each session,
 *    each connection, and each id of a session that has ended adds some hundred bytes. It is read by the same version of
 *    this library, and by later ones that know its format.
 * 2. The program makes sure that the new one can read it: it runs that with the descriptor, has it call
 *    [method@TcpTunnel.Gateway.adopt], and waits for its exit status. If it cannot, [method@TcpTunnel.Gateway.resume] goes on
 *    as if nothing had happened.
 * 3. [method@TcpTunnel.Gateway.hand_over] asks the clients to come back, and marks the sockets as inherited. `execve ()` follows,
 *    and [method@TcpTunnel.Gateway.adopt] in the new program, with the descriptor, before it starts its gateway.
 *
 * The connections of clients that speak resumable/1 lose nothing. A client that speaks the protocol of limrun's singleton mode keeps its
 * target connection; what was on its way may be lost, as whenever its WebSocket breaks. Connections of the multiplexed mode and of
 * reverse tunnels of limrun's protocol are reset. Connections to targets that are being made are made anew.
 *
 * Draining or closing the gateway meanwhile has it go on. Everything that uses the same I/O threads stands still as well: all gateways and tunnels of the process, which end
 * with the program. What the application does to the gateway meanwhile, such as closing a connection, is lost if another
 * program goes on.
 *
 * Fails with %TCP_TUNNEL_ERROR_WRONG_STATE if the gateway does not run, is suspended already, drains, or was
 * started before a fork of which this process is the child; with %TCP_TUNNEL_ERROR_CLOSED if it is resumed, drained or closed meanwhile; with
 * %G_IO_ERROR_CANCELLED; or with another error of `GIOErrorEnum` if there is no memory for the state. It goes on then.
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
 * @result: what the callback was given
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
 * Goes on after [method@TcpTunnel.Gateway.suspend_async], where no other program did.
 *
 * Nothing was lost, unless [method@TcpTunnel.Gateway.hand_over] was called: then the clients that were asked to come back do so.
 * The descriptor of the state is of no use any more. Does nothing if the gateway is not suspended. Closing the gateway has it go on
 * as well, and end in order.
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
 * @self: a gateway that is suspended
 * @error: return location for an error
 *
 * Prepares the process for another program that goes on with the state of the gateway.
 *
 * The clients that can come back are asked to. The sockets in the state lose their close-on-exec flag, and no others; what
 * closes one of them from here on, be it the end of the process, has its peer see a reset, so that nobody takes for an
 * end in order what is none. The flag of the descriptor of the state itself is the caller's to clear. `execve ()` is to
 * follow; if it fails, call [method@TcpTunnel.Gateway.resume].
 *
 * Fails with %TCP_TUNNEL_ERROR_WRONG_STATE if the gateway is not suspended.
 *
 * Returns: whether all is prepared
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
    g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE, "the gateway is not suspended");
  return done;
}

/* The program before has read it, and what came out of a pipe comes only once. */
static gboolean
can_read_again (const char  *path,
                GError     **error)
{
  struct stat info;

  if (path == NULL || stat (path, &info) < 0 || !(S_ISFIFO (info.st_mode) || S_ISSOCK (info.st_mode)))
    return TRUE;
  g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT,
               "the tokens are in the pipe %s, which cannot be read again", path);
  return FALSE;
}

/* A start that fails would cost all connections. */
static gboolean
gateway_can_start (TcpGateway  *self,
                   GError     **error)
{
  TcpEndpoint *endpoint = TCP_ENDPOINT (self);
  /* The start warns of what is to be warned of. */
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
 * @fd: the descriptor of the state of another, which stays open
 * @error: return location for an error
 *
 * Has the next start of the gateway go on with the state of another, which a program that was replaced by this one has written
 * down with [method@TcpTunnel.Gateway.suspend_async].
 *
 * The whole state is checked, but the sockets in it are only looked at by the start; and the properties are, the tokens and
 * the certificate too, as the start would do. A program can therefore call this to see whether it could go on with a
 * state, and exit.
 *
 * The gateway goes on with the listeners in the state, whatever its properties say. Sessions of principals that have no
 * token any more are reset, and so are connections beyond what the properties allow. Each connection is reported as opened again. If the
 * start fails every connection in the state is reset.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if the descriptor is none of a state, or that is of a version that this library does not
 * know, or makes no sense, or if the token file is a pipe, which could not be read again; or with the error of a start that
 * would fail. The program should exit then, which resets the connections.
 *
 * Returns: whether the state is one to go on with
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
