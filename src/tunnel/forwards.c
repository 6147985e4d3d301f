/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The forwards of a tunnel. */

#include "tunnel/tunnel-private.h"

#include "base/i18n.h"
#include "io/listen.h"
#include "tunnel/engine.h"
#include "tunnel/forward.h"

static TcpRunner *
runner_of (TcpTunnel *self)
{
  return &self->parent_instance.runner;
}

/* Called with the lock held. */
static TcpEngine *
tunnel_ref_running_engine (TcpTunnel *self)
{
  TcpRunner *runner = runner_of (self);

  return tcp_runner_has_engine (runner) ? tcp_engine_ref (runner->engine) : NULL;
}

/* All connections of a reverse tunnel are opened from the other end. */
gboolean
tcp_tunnel_check_direction (TcpTunnel  *self,
                            GError    **error)
{
  if (!TCP_IS_REVERSE_TUNNEL (self))
    return TRUE;

  g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
                       _("a reverse tunnel opens no connections from this end"));
  return FALSE;
}

/* FALSE if it did not belong to the tunnel. */
static gboolean
tunnel_drop_forward (TcpTunnel   *self,
                     TcpForward  *forward,
                     TcpEngine  **engine)
{
  guint i;
  gboolean found;

  tcp_runner_lock (runner_of (self));
  found = g_ptr_array_find (self->forwards, forward, &i);
  if (found)
    g_ptr_array_steal_index (self->forwards, i);
  if (found && engine != NULL)
    *engine = tunnel_ref_running_engine (self);
  tcp_runner_unlock (runner_of (self));
  if (found)
    tcp_forward_release (forward);
  return found;
}

static gboolean
engine_add (TcpEngine             *engine,
            const TcpForwardSpec  *spec,
            GError               **error)
{
  g_autoptr (GPtrArray) addresses = NULL;
  g_autoptr (GError) local = NULL;

  if (tcp_port_spec_is_hostname (&spec->where))
    {
      addresses = tcp_resolve_sync (spec->where.hostname, spec->where.port, &local);
      if (addresses == NULL)
        {
          g_propagate_error (error, tcp_listen_error (spec->where.hostname, spec->where.port, local));
          return FALSE;
        }
    }
  return tcp_engine_add_port (engine, spec, addresses, error);
}

/**
 * tcp_tunnel_add_forward:
 * @self: a tunnel
 * @forward: a forward that belongs to no tunnel
 * @error: return location for an error
 *
 * Adds a further port on which the tunnel listens.
 *
 * A running tunnel listens there when this returns. It blocks only as long as it takes to resolve the hostname, if that
 * is not an address. A tunnel that does not run listens when it starts, and its start fails if it cannot. In a forked
 * child, a tunnel that runs in the parent counts as one that does not run.
 *
 * Fails with %TCP_TUNNEL_ERROR_INVALID_ARGUMENT if a property of the forward has an invalid value,
 * %TCP_TUNNEL_ERROR_WRONG_STATE if the forward belongs to a tunnel already or this is a reverse tunnel, and
 * %TCP_TUNNEL_ERROR_LISTEN if the tunnel runs and cannot listen there. The forward is not added then.
 *
 * May be called from any thread.
 *
 * Returns: whether the forward was added
 *
 * Since: 1.0
 */
gboolean
tcp_tunnel_add_forward (TcpTunnel   *self,
                        TcpForward  *forward,
                        GError     **error)
{
  g_autoptr (TcpForwardSpec) spec = NULL;
  g_autoptr (TcpEngine) engine = NULL;

  g_return_val_if_fail (TCP_IS_TUNNEL (self), FALSE);
  g_return_val_if_fail (TCP_IS_FORWARD (forward), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!tcp_tunnel_check_direction (self, error))
    return FALSE;
  spec = tcp_forward_dup_spec (forward);
  if (!tcp_forward_spec_check (spec, error))
    return FALSE;
  if (!tcp_forward_claim (forward))
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
                           _("the forward has a tunnel already"));
      return FALSE;
    }

  tcp_runner_lock (runner_of (self));
  g_ptr_array_add (self->forwards, g_object_ref (forward));
  engine = tunnel_ref_running_engine (self);
  tcp_runner_unlock (runner_of (self));
  if (engine == NULL)
    return TRUE;

  if (!engine_add (engine, spec, error))
    {
      if (tunnel_drop_forward (self, forward, NULL))
        g_object_unref (forward);
      return FALSE;
    }
  tcp_forward_notify_address (forward);
  return TRUE;
}

/**
 * tcp_tunnel_remove_forward:
 * @self: a tunnel
 * @forward: one of its forwards
 *
 * Removes a forward. When this returns, the tunnel does not listen there any more; existing connections continue.
 *
 * A forward of another tunnel, or of none, is ignored. May be called from any thread.
 *
 * Since: 1.0
 */
void
tcp_tunnel_remove_forward (TcpTunnel  *self,
                           TcpForward *forward)
{
  g_autoptr (TcpEngine) engine = NULL;
  g_autoptr (TcpForward) former = NULL;

  g_return_if_fail (TCP_IS_TUNNEL (self));
  g_return_if_fail (TCP_IS_FORWARD (forward));

  if (!tunnel_drop_forward (self, forward, &engine))
    return;

  former = forward;
  if (engine == NULL)
    return;
  tcp_engine_remove_port (engine, forward);
  tcp_forward_notify_address (forward);
}

/**
 * tcp_tunnel_get_forwards:
 * @self: a tunnel
 *
 * Gets the forwards of the tunnel, in the order in which they were added.
 *
 * May be called from any thread.
 *
 * Returns: (transfer container) (element-type TcpForward): the forwards at this moment
 *
 * Since: 1.0
 */
GPtrArray *
tcp_tunnel_get_forwards (TcpTunnel *self)
{
  GPtrArray *forwards;

  g_return_val_if_fail (TCP_IS_TUNNEL (self), NULL);

  tcp_runner_lock (runner_of (self));
  forwards = g_ptr_array_new_full (self->forwards->len, g_object_unref);
  for (guint i = 0; i < self->forwards->len; i++)
    g_ptr_array_add (forwards, g_object_ref (self->forwards->pdata[i]));
  tcp_runner_unlock (runner_of (self));
  return forwards;
}
