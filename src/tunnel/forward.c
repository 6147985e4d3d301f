/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/forward.h"

#include "base/lock.h"

/**
 * TcpForward:
 *
 * A further port on which a tunnel listens, and the target of its TCP clients.
 *
 * A tunnel has one port of its own, and any number of forwards, which are added with
 * [method@TcpTunnel.Tunnel.add_forward]. All of them share its session with the gateway, its limits and its signals. A
 * forward has one target, or is a proxy whose clients name their targets: see [enum@TcpTunnel.ForwardKind].
 *
 * The gateway decides which targets it allows: see [property@TcpTunnel.Gateway:allow]. A connection to a target that it
 * does not allow is reset with %TCP_TUNNEL_ERROR_FORBIDDEN. If the gateway uses one of limrun's protocols, which cannot
 * name a target, a connection to any target is reset with %TCP_TUNNEL_ERROR_PROTOCOL.
 *
 * Properties may be set at any time, and from any thread. They take effect when the tunnel is next started, or the
 * forward is added to it.
 *
 * ```c
 * g_autoptr (TcpForward) forward = tcp_forward_new (5432, "db.lab:5432");
 *
 * if (!tcp_tunnel_add_forward (tunnel, forward, &error))
 *   g_error ("%s", error->message);
 * ```
 *
 * Since: 1.0
 */

struct _TcpForward
{
  GObject parent_instance;
  TcpLock lock;
  TcpForwardSpec spec; /* under the lock, except the address */
  gboolean claimed;    /* likewise: it belongs to a tunnel */
};

enum
{
  PROP_KIND = 1,
  PROP_HOSTNAME,
  PROP_PORT,
  PROP_SOCKET_PATH,
  PROP_SOCKET,
  PROP_TARGET,
  PROP_LOCAL_ADDRESS,
  N_PROPERTIES
};

static GParamSpec *properties[N_PROPERTIES];

G_DEFINE_FINAL_TYPE (TcpForward, tcp_forward, G_TYPE_OBJECT)

static void
tcp_forward_get_property (GObject    *object,
                          guint       id,
                          GValue     *value,
                          GParamSpec *pspec)
{
  TcpForward *self = TCP_FORWARD (object);

  tcp_lock (&self->lock);
  switch (id)
    {
    case PROP_KIND:
      g_value_set_enum (value, self->spec.kind);
      break;

    case PROP_HOSTNAME:
      g_value_set_string (value, self->spec.where.hostname);
      break;

    case PROP_PORT:
      g_value_set_uint (value, self->spec.where.port);
      break;

    case PROP_SOCKET_PATH:
      g_value_set_string (value, self->spec.where.socket_path);
      break;

    case PROP_SOCKET:
      g_value_set_object (value, self->spec.where.socket);
      break;

    case PROP_TARGET:
      g_value_set_string (value, self->spec.target);
      break;

    case PROP_LOCAL_ADDRESS:
      g_value_take_object (value, tcp_forward_address_dup (self->spec.address));
      break;

    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  tcp_unlock (&self->lock);
}

static gboolean
replace_string (char         **field,
                const GValue  *value)
{
  if (g_strcmp0 (*field, g_value_get_string (value)) == 0)
    return FALSE;

  g_free (*field);
  *field = g_value_dup_string (value);
  return TRUE;
}

static gboolean
replace_number (guint *field,
                guint  value)
{
  if (*field == value)
    return FALSE;

  *field = value;
  return TRUE;
}

static void
tcp_forward_set_property (GObject      *object,
                          guint         id,
                          const GValue *value,
                          GParamSpec   *pspec)
{
  TcpForward *self = TCP_FORWARD (object);
  g_autoptr (GSocket) former = NULL; /* the last reference is dropped without the lock */
  gboolean changed = FALSE;

  tcp_lock (&self->lock);
  switch (id)
    {
    case PROP_KIND:
      self->spec.kind = g_value_get_enum (value);
      break;

    case PROP_HOSTNAME:
      changed = replace_string (&self->spec.where.hostname, value);
      break;

    case PROP_PORT:
      changed = replace_number (&self->spec.where.port, g_value_get_uint (value));
      break;

    case PROP_SOCKET_PATH:
      changed = replace_string (&self->spec.where.socket_path, value);
      break;

    case PROP_SOCKET:
      former = self->spec.where.socket;
      self->spec.where.socket = g_value_dup_object (value);
      changed = former != self->spec.where.socket;
      break;

    case PROP_TARGET:
      changed = replace_string (&self->spec.target, value);
      break;

    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  tcp_unlock (&self->lock);
  if (changed)
    g_object_notify_by_pspec (object, pspec);
}

/* For the tunnel */

/* Returns a copy of the current settings. */
TcpForwardSpec *
tcp_forward_dup_spec (TcpForward *self)
{
  TcpForwardSpec *spec;

  tcp_lock (&self->lock);
  spec = tcp_forward_spec_copy (&self->spec);
  tcp_unlock (&self->lock);
  return spec;
}

/* Whether it belongs to no tunnel yet; it then belongs to the caller until it is released. */
gboolean
tcp_forward_claim (TcpForward *self)
{
  gboolean was_claimed;

  tcp_lock (&self->lock);
  was_claimed = self->claimed;
  self->claimed = TRUE;
  tcp_unlock (&self->lock);
  return !was_claimed;
}

void
tcp_forward_release (TcpForward *self)
{
  tcp_lock (&self->lock);
  self->claimed = FALSE;
  tcp_unlock (&self->lock);
}

/* Called in the context of the tunnel, or the thread of the call that has changed it. */
void
tcp_forward_notify_address (TcpForward *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_LOCAL_ADDRESS]);
}

/* Public functions */

/**
 * tcp_forward_new:
 * @port: the TCP port to listen on, or 0 for any free port
 * @target: (nullable): the target to request from the gateway, as `host:port`, or %NULL for the target of the tunnel
 *
 * Creates a forward from a port of 127.0.0.1 to a target.
 *
 * Returns: (transfer full): a new forward
 *
 * Since: 1.0
 */
TcpForward *
tcp_forward_new (guint       port,
                 const char *target)
{
  return g_object_new (TCP_TYPE_FORWARD, "port", port, "target", target, NULL);
}

/**
 * tcp_forward_new_proxy:
 * @kind: the protocol of its clients
 * @port: the TCP port to listen on, or 0 for any free port
 *
 * Creates a proxy on a port of 127.0.0.1, whose clients name their targets.
 *
 * Returns: (transfer full): a new forward
 *
 * Since: 1.0
 */
TcpForward *
tcp_forward_new_proxy (TcpForwardKind kind,
                       guint          port)
{
  return g_object_new (TCP_TYPE_FORWARD, "kind", kind, "port", port, NULL);
}

/**
 * tcp_forward_dup_local_address:
 * @self: a forward
 *
 * Gets the address on which it listens: see [property@TcpTunnel.Forward:local-address].
 *
 * May be called from any thread.
 *
 * Returns: (transfer full) (nullable): the address, or %NULL if it does not listen
 *
 * Since: 1.0
 */
GSocketAddress *
tcp_forward_dup_local_address (TcpForward *self)
{
  g_return_val_if_fail (TCP_IS_FORWARD (self), NULL);

  return tcp_forward_address_dup (self->spec.address);
}

static void
tcp_forward_finalize (GObject *object)
{
  TcpForward *self = TCP_FORWARD (object);

  tcp_port_spec_clear (&self->spec.where);
  g_free (self->spec.target);
  tcp_forward_address_unref (self->spec.address);
  tcp_lock_clear (&self->lock);

  G_OBJECT_CLASS (tcp_forward_parent_class)->finalize (object);
}

#define READ_WRITE (G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS)

static void
tcp_forward_class_init (TcpForwardClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = tcp_forward_get_property;
  object_class->set_property = tcp_forward_set_property;
  object_class->finalize = tcp_forward_finalize;

  /**
   * TcpForward:kind:
   *
   * How the target of its TCP clients is determined. The default is %TCP_FORWARD_KIND_TARGET.
   *
   * Since: 1.0
   */
  properties[PROP_KIND] = g_param_spec_enum ("kind", NULL, NULL, TCP_TYPE_FORWARD_KIND, TCP_FORWARD_KIND_TARGET,
                                             READ_WRITE | G_PARAM_CONSTRUCT_ONLY);

  /**
   * TcpForward:hostname:
   *
   * The address to listen on, as [property@TcpTunnel.Endpoint:hostname]: with an address other than that of the
   * loopback, other machines can connect, and use a proxy for all targets that the gateway allows. The default is
   * 127.0.0.1.
   *
   * Since: 1.0
   */
  properties[PROP_HOSTNAME] = g_param_spec_string ("hostname", NULL, NULL, "127.0.0.1", READ_WRITE | G_PARAM_CONSTRUCT);

  /**
   * TcpForward:port:
   *
   * The TCP port to listen on, from 0 to 65535. With 0, the default, a free port is chosen;
   * [property@TcpTunnel.Forward:local-address] contains it.
   *
   * Since: 1.0
   */
  properties[PROP_PORT] = g_param_spec_uint ("port", NULL, NULL, 0, G_MAXUINT16, 0, READ_WRITE);

  /**
   * TcpForward:socket-path:
   *
   * The path of a Unix socket to listen on, instead of hostname and port: see
   * [property@TcpTunnel.Endpoint:socket-path]. The default is %NULL, for none.
   *
   * Since: 1.0
   */
  properties[PROP_SOCKET_PATH] = g_param_spec_string ("socket-path", NULL, NULL, NULL, READ_WRITE);

  /**
   * TcpForward:socket:
   *
   * A socket that listens already, instead of hostname, port and the path of a Unix socket: see
   * [property@TcpTunnel.Endpoint:socket]. The default is %NULL, for none.
   *
   * Since: 1.0
   */
  properties[PROP_SOCKET] = g_param_spec_object ("socket", NULL, NULL, G_TYPE_SOCKET, READ_WRITE);

  /**
   * TcpForward:target:
   *
   * The target to request from the gateway for each TCP client, as `host:port` or a name. With %NULL, the default,
   * [property@TcpTunnel.Tunnel:target] applies, which describes the form as well. A proxy ignores this property.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, NULL, READ_WRITE);

  /**
   * TcpForward:local-address:
   *
   * The address on which it listens, or %NULL while it does not, as in a forked child. It is notified when the tunnel
   * has started and when it ends, in the context of the tunnel's signals, and in the thread that adds it to a running
   * tunnel or removes it.
   *
   * Since: 1.0
   */
  properties[PROP_LOCAL_ADDRESS] = g_param_spec_object ("local-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS,
                                                        G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPERTIES, properties);
}

static void
tcp_forward_init (TcpForward *self)
{
  tcp_lock_init (&self->lock);
  self->spec.id = self;
  self->spec.address = tcp_forward_address_new ();
}
