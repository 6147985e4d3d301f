/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Streams of a tunnel without a port. */

#include "tunnel/tunnel-private.h"

#include "base/host-port.h"
#include "tunnel/engine.h"

/**
 * tcp_tunnel_open_async:
 * @self: a tunnel
 * @target: (nullable): the target to request from the gateway, as `host:port`, or %NULL for
 *   [property@TcpTunnel.Tunnel:target]
 * @cancellable: (nullable): a cancellable to give up the opening
 * @callback: (scope async): called when the stream is open, or could not be opened
 * @user_data: data for @callback
 *
 * Opens a stream through the tunnel, without a port.
 *
 * The stream is a connection like those of the tunnel's TCP clients: it counts among them, is subject to the same
 * limits, and survives breaks of its WebSocket if they do. A tunnel refuses it if it is not connected and the stream
 * could not wait, and in singleton mode while it has another connection.
 *
 * With a gateway of this library it is open when the gateway has connected to the target, and a failure to connect is
 * the error. With other servers, which do not report that, it is open when the WebSocket is.
 *
 * The gateway decides whether it allows @target, as for [property@TcpTunnel.Tunnel:target]; with a gateway that does
 * not use this library, @target must be %NULL.
 *
 * May be called from any thread, once the tunnel has started. @callback is called in the main context that is the
 * thread's default, which must be iterated.
 *
 * Since: 1.0
 */
void
tcp_tunnel_open_async (TcpTunnel           *self,
                       const char          *target,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  g_autoptr (TcpEngine) engine = NULL;
  GError *error = NULL;

  g_return_if_fail (TCP_IS_TUNNEL (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, tcp_tunnel_open_async);
  /* The engine answers a cancellation. */
  g_task_set_check_cancellable (task, FALSE);
  if (tcp_tunnel_check_direction (self, &error) && (target == NULL || tcp_target_check (target, &error)))
    engine = tcp_runner_ref_engine (&self->parent_instance.runner, &error);
  if (engine != NULL)
    tcp_engine_open (engine, target, task);
  else
    g_task_return_error (task, error);
}

/**
 * tcp_tunnel_open_finish:
 * @self: a tunnel
 * @result: the result that the callback received
 * @error: return location for an error
 *
 * Gets the stream that [method@TcpTunnel.Tunnel.open_async] has opened.
 *
 * It is a [class@Gio.SocketConnection] on a socket of its own, for one thread at a time like all streams of GIO, and
 * needs no reference to the tunnel. Closing only its output stream ends that direction in order, and the other
 * continues. When the connection breaks, reading and writing fail with the error of the [class@TcpTunnel.Connection];
 * the end of the stream means that all data has arrived. A program that uses the socket itself finds that error in the
 * property `error` of the stream, after it has read the end.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if the target is malformed, %TCP_TUNNEL_ERROR_WRONG_STATE if the tunnel
 * does not run, or is a reverse tunnel, %TCP_TUNNEL_ERROR_LIMIT if there are too many connections, or too few file
 * descriptors, %TCP_TUNNEL_ERROR_UNREACHABLE if the tunnel is not connected, %TCP_TUNNEL_ERROR_FORBIDDEN if the gateway
 * does not allow the target, %TCP_TUNNEL_ERROR_TARGET if it cannot connect to it, %TCP_TUNNEL_ERROR_PROTOCOL if no
 * target can be requested from it, %TCP_TUNNEL_ERROR_LOST if the session was lost, %TCP_TUNNEL_ERROR_CLOSED if the
 * tunnel was closed, and %G_IO_ERROR_CANCELLED.
 *
 * Returns: (transfer full): a stream
 *
 * Since: 1.0
 */
GIOStream *
tcp_tunnel_open_finish (TcpTunnel     *self,
                        GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (TCP_IS_TUNNEL (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, tcp_tunnel_open_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
