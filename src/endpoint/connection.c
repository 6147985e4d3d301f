/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint/connection.h"

#include <stdatomic.h>

#include "base/tsan.h"

/**
 * TcpConnection:
 *
 * A TCP connection that goes through a tunnel or a gateway.
 *
 * An endpoint passes it to its signals [signal@TcpTunnel.Endpoint::connection-opened] and
 * [signal@TcpTunnel.Endpoint::connection-closed]; those that are open are in
 * [method@TcpTunnel.Endpoint.get_connections]. The object may be kept after the connection has ended.
 *
 * Its methods may be called, and its properties read, from any thread. The properties do not change, except
 * [property@TcpTunnel.Connection:bytes-sent], [property@TcpTunnel.Connection:bytes-received],
 * [property@TcpTunnel.Connection:resumes], [property@TcpTunnel.Connection:duration],
 * [property@TcpTunnel.Connection:closed] and [property@TcpTunnel.Connection:error].
 *
 * Since: 1.0
 */

struct _TcpConnection
{
  GObject parent_instance;
  TcpRecord *record;
  GSocketAddress *client_address;
  GSocketAddress *proxy_address;
  guint run;          /* of the endpoint */
  gboolean settled;   /* the error with which it ends is known, or that it ends without one */
  GError *error;      /* does not change once settled */
  atomic_bool closed;
};

struct _TcpConnectionClass
{
  GObjectClass parent_class;
};

enum
{
  PROP_0,
  PROP_ID,
  PROP_CLIENT_ADDRESS,
  PROP_PROXY_ADDRESS,
  PROP_TARGET,
  PROP_PRINCIPAL,
  PROP_OPENED,
  PROP_BYTES_SENT,
  PROP_BYTES_RECEIVED,
  PROP_RESUMES,
  PROP_DURATION,
  PROP_CLOSED,
  PROP_ERROR,
  N_PROPERTIES
};

static GParamSpec *properties[N_PROPERTIES];

G_DEFINE_FINAL_TYPE (TcpConnection, tcp_connection, G_TYPE_OBJECT)

/**
 * tcp_connection_get_id:
 * @self: a connection
 *
 * Gets the number of the connection: see [property@TcpTunnel.Connection:id].
 *
 * Returns: the number
 *
 * Since: 1.0
 */
guint64
tcp_connection_get_id (TcpConnection *self)
{
  guint64 id;

  g_return_val_if_fail (TCP_IS_CONNECTION (self), 0);

  tcp_tsan_acquire (self);
  id = self->record->id;
  tcp_tsan_release (self);
  return id;
}

/**
 * tcp_connection_get_client_address:
 * @self: a connection
 *
 * Gets the address of the client: see [property@TcpTunnel.Connection:client-address].
 *
 * Returns: (transfer none) (nullable): the address, or %NULL if it is not known
 *
 * Since: 1.0
 */
GSocketAddress *
tcp_connection_get_client_address (TcpConnection *self)
{
  GSocketAddress *address;

  g_return_val_if_fail (TCP_IS_CONNECTION (self), NULL);

  tcp_tsan_acquire (self);
  address = self->client_address;
  tcp_tsan_release (self);
  return address;
}

/**
 * tcp_connection_get_closed:
 * @self: a connection
 *
 * Gets whether the connection has ended: see [property@TcpTunnel.Connection:closed].
 *
 * Returns: whether the connection has ended
 *
 * Since: 1.0
 */
gboolean
tcp_connection_get_closed (TcpConnection *self)
{
  gboolean closed;

  g_return_val_if_fail (TCP_IS_CONNECTION (self), TRUE);

  closed = atomic_load_explicit (&self->closed, memory_order_acquire);
  tcp_tsan_release (self);
  return closed;
}

/**
 * tcp_connection_dup_error:
 * @self: a connection
 *
 * Gets the reason for which the connection broke: see [property@TcpTunnel.Connection:error].
 *
 * Returns: (transfer full) (nullable): the error, or %NULL if there is none
 *
 * Since: 1.0
 */
GError *
tcp_connection_dup_error (TcpConnection *self)
{
  GError *error = NULL;

  g_return_val_if_fail (TCP_IS_CONNECTION (self), NULL);

  if (tcp_connection_get_closed (self) && self->error != NULL)
    error = g_error_copy (self->error);
  tcp_tsan_release (self);
  return error;
}

/**
 * tcp_connection_close:
 * @self: a connection
 *
 * Closes the connection: it is reset at both ends, and its error is %TCP_TUNNEL_ERROR_CLOSED at this one. Data on its
 * way is lost.
 *
 * This returns at once; [property@TcpTunnel.Connection:closed] is notified when the connection has ended. It does
 * nothing if the connection has ended already, and in a forked child.
 *
 * Since: 1.0
 */
void
tcp_connection_close (TcpConnection *self)
{
  g_return_if_fail (TCP_IS_CONNECTION (self));

  tcp_tsan_acquire (self);
  tcp_record_close (self->record);
  tcp_tsan_release (self);
}

/* Called in the context of the endpoint. Takes no reference to objects of the I/O thread except the record, since a
 * language binding may free the data attached to an object while it holds a lock, and no I/O thread may wait for that
 * lock. */
TcpConnection *
tcp_connection_new (TcpRecord      *record,
                    GSocketAddress *client_address,
                    guint           run)
{
  TcpConnection *self = g_object_new (TCP_TYPE_CONNECTION, NULL);

  self->run = run;
  self->record = tcp_record_ref (record);
  g_set_object (&self->client_address, client_address);
  self->proxy_address = tcp_record_copy_address (record->proxy);
  tcp_tsan_release (self);
  return self;
}

guint
tcp_connection_get_run (TcpConnection *self)
{
  return self->run;
}

/* The connection will end with @error, which may be NULL, whatever is reported later. */
void
tcp_connection_settle (TcpConnection *self,
                       const GError  *error)
{
  if (self->settled)
    return;

  self->settled = TRUE;
  self->error = error != NULL ? g_error_copy (error) : NULL;
}

/* The connection has ended; @error may be NULL. The caller emits the notification. */
void
tcp_connection_end (TcpConnection *self,
                    const GError  *error)
{
  tcp_connection_settle (self, error);
  atomic_store_explicit (&self->closed, TRUE, memory_order_release);
  tcp_tsan_release (self);
}

static void
tcp_connection_get_property (GObject    *object,
                             guint       property_id,
                             GValue     *value,
                             GParamSpec *pspec)
{
  TcpConnection *self = TCP_CONNECTION (object);
  TcpRecord *record;

  tcp_tsan_acquire (self);
  record = self->record;
  switch (property_id)
    {
    case PROP_ID:
      g_value_set_uint64 (value, record->id);
      break;
    case PROP_CLIENT_ADDRESS:
      g_value_set_object (value, self->client_address);
      break;
    case PROP_PROXY_ADDRESS:
      g_value_set_object (value, self->proxy_address);
      break;
    case PROP_TARGET:
      g_value_set_string (value, record->target);
      break;
    case PROP_PRINCIPAL:
      g_value_set_string (value, record->principal);
      break;
    case PROP_OPENED:
      {
        g_autoptr (GDateTime) second = g_date_time_new_from_unix_utc (record->opened / G_USEC_PER_SEC);

        g_value_take_boxed (value, g_date_time_add (second, record->opened % G_USEC_PER_SEC));
        break;
      }
    case PROP_BYTES_SENT:
      g_value_set_uint64 (value, tcp_record_get (record, bytes_sent));
      break;
    case PROP_BYTES_RECEIVED:
      g_value_set_uint64 (value, tcp_record_get (record, bytes_received));
      break;
    case PROP_RESUMES:
      g_value_set_uint64 (value, tcp_record_get (record, resumes));
      break;
    case PROP_DURATION:
      g_value_set_uint64 (value, tcp_record_get_duration (record) / G_TIME_SPAN_MILLISECOND);
      break;
    case PROP_CLOSED:
      g_value_set_boolean (value, tcp_connection_get_closed (self));
      break;
    case PROP_ERROR:
      g_value_take_boxed (value, tcp_connection_dup_error (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
  tcp_tsan_release (self);
}

static void
tcp_connection_finalize (GObject *object)
{
  TcpConnection *self = TCP_CONNECTION (object);

  /* For writes of other threads that have dropped their references. */
  tcp_tsan_acquire (self);
  g_clear_pointer (&self->record, tcp_record_unref);
  g_clear_object (&self->client_address);
  g_clear_object (&self->proxy_address);
  g_clear_error (&self->error);

  G_OBJECT_CLASS (tcp_connection_parent_class)->finalize (object);
}

static void
tcp_connection_class_init (TcpConnectionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = tcp_connection_get_property;
  object_class->finalize = tcp_connection_finalize;

  /**
   * TcpConnection:id:
   *
   * The number of the connection, from 1. It is unique among the connections of the endpoint, also after another start.
   *
   * Since: 1.0
   */
  properties[PROP_ID] = g_param_spec_uint64 ("id", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * TcpConnection:client-address:
   *
   * At a tunnel, the address of the TCP client. At a gateway, the address of the tunnel from which the connection
   * comes, with port 0 if only its address is known. The address of a client of a Unix socket usually has no name.
   * %NULL if it is not known, or if the connection is a stream that the program has opened without a port.
   *
   * Since: 1.0
   */
  properties[PROP_CLIENT_ADDRESS] =
      g_param_spec_object ("client-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, flags);

  /**
   * TcpConnection:proxy-address:
   *
   * At a gateway, the address of the proxy that has named [property@TcpTunnel.Connection:client-address], in an HTTP
   * header or with the PROXY protocol: the one of [property@TcpTunnel.Gateway:trusted-proxies] from which the WebSocket
   * came. %NULL if no proxy has named the client, and at a tunnel.
   *
   * Since: 1.0
   */
  properties[PROP_PROXY_ADDRESS] =
      g_param_spec_object ("proxy-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, flags);

  /**
   * TcpConnection:target:
   *
   * The TCP service at the other end, as `host:port`. At a tunnel it is %NULL for the gateway's own target.
   *
   * Since: 1.0
   */
  properties[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, NULL, flags);

  /**
   * TcpConnection:principal:
   *
   * At a gateway, the principal of the client, according to its token, its certificate, or the application; %NULL at a
   * tunnel.
   *
   * Since: 1.0
   */
  properties[PROP_PRINCIPAL] = g_param_spec_string ("principal", NULL, NULL, NULL, flags);

  /**
   * TcpConnection:opened:
   *
   * When the connection was opened, in UTC.
   *
   * Since: 1.0
   */
  properties[PROP_OPENED] = g_param_spec_boxed ("opened", NULL, NULL, G_TYPE_DATE_TIME, flags);

  /**
   * TcpConnection:bytes-sent:
   *
   * The number of bytes that were read from TCP and sent over the WebSocket so far.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_SENT] = g_param_spec_uint64 ("bytes-sent", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * TcpConnection:bytes-received:
   *
   * The number of bytes that were received over the WebSocket for TCP so far.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_BYTES_RECEIVED] = g_param_spec_uint64 ("bytes-received", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * TcpConnection:resumes:
   *
   * How often the connection has continued over another WebSocket so far, without loss.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_RESUMES] = g_param_spec_uint64 ("resumes", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * TcpConnection:duration:
   *
   * How long the connection was open, in milliseconds; until now, while it is open. Setting the system clock does not
   * change it.
   *
   * No notification is emitted when it changes.
   *
   * Since: 1.0
   */
  properties[PROP_DURATION] = g_param_spec_uint64 ("duration", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * TcpConnection:closed:
   *
   * Whether the connection has ended. It is notified in the main context in which the endpoint emits its signals,
   * before [signal@TcpTunnel.Endpoint::connection-closed].
   *
   * Since: 1.0
   */
  properties[PROP_CLOSED] = g_param_spec_boolean ("closed", NULL, NULL, FALSE, flags);

  /**
   * TcpConnection:error:
   *
   * The reason for which the connection broke; %NULL if it ended in order, and while it is open.
   *
   * It is %NULL if each end of the connection has received all data that the other had sent before it ended. Programs
   * often close a connection without reading to its end, which is an error here but not a fault: the code is
   * %TCP_TUNNEL_ERROR_RESET if the TCP client did so, and %TCP_TUNNEL_ERROR_TARGET if the target did.
   * %TCP_TUNNEL_ERROR_CLOSED means that the application has closed the endpoint or the connection.
   * %TCP_TUNNEL_ERROR_TARGET also means that the target could not be reached. Other codes mean a loss or a limit; only
   * these, and targets that could not be reached, are logged as warnings.
   *
   * Without resumption, a connection of a tunnel ends as soon as the client has closed its side. If the client may
   * still wait for an answer, it is reset, and the code is %TCP_TUNNEL_ERROR_LOST. The tunnel cannot find out whether a
   * client on another machine or in another network namespace waits, and then assumes that it does.
   *
   * It is set together with [property@TcpTunnel.Connection:closed], whose notification applies to both.
   *
   * Since: 1.0
   */
  properties[PROP_ERROR] = g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR, flags);

  g_object_class_install_properties (object_class, N_PROPERTIES, properties);
}

static void
tcp_connection_init (TcpConnection *self)
{
}
