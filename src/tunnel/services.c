/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/services.h"

#include "base/host-port.h"
#include "io/connect.h"
#include "io/descriptors.h"
#include "io/reactor.h"

/* How long a gateway may keep the port, because a former connection of this tunnel seems to use it or resources are
 * short, and the interval at which the request is repeated. */
#define HELD_TIME (120 * G_TIME_SPAN_SECOND)
#define HELD_INTERVAL G_TIME_SPAN_SECOND

struct _TcpServices
{
  TcpSession *session; /* that of the link */
  TcpLog *log;
  guint connect_timeout; /* in ms */
  TcpServicesCallbacks callbacks;
  gpointer user_data;
  GPtrArray *all;    /* of Service, in the order of their listeners */
  guint32 last_listener;
  GHashTable *dials; /* TcpStream → Dial, those in progress */
};

typedef struct
{
  TcpServices *services;
  guint16 port;    /* at the gateway; 0 for any */
  char *target;    /* at this end */
  guint32 listener; /* 0 for none */
  gboolean listening;
  gboolean had_port;
  gint64 held_until; /* the request is repeated until then, as a former connection may have the port; 0 if not yet */
  TcpTimer *retry;
} Service;

/* A connection to a service that is being opened. */
typedef struct
{
  TcpServices *services;
  TcpStream *stream;
  TcpConnect *connect;
  TcpTimer *deadline;
} Dial;

/* Connections */

static void
dial_free (gpointer data)
{
  Dial *self = data;

  g_clear_pointer (&self->connect, tcp_connect_free);
  tcp_timer_clear (&self->deadline);
  tcp_stream_unref (self->stream);
  g_free (self);
}

/* Frees @self. */
static void
dial_end (Dial              *self,
          GSocketConnection *connection,
          TcpResetCode       code,
          const char        *why)
{
  TcpServices *services = self->services;
  g_autoptr (TcpStream) stream = tcp_stream_ref (self->stream);
  g_autoptr (GError) error = NULL;

  if (connection == NULL)
    error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET, "the service %s cannot be reached: %s",
                         tcp_stream_get_target (stream), why);
  g_hash_table_remove (services->dials, stream);
  if (connection != NULL)
    tcp_session_connected (services->session, stream, connection);
  else
    tcp_session_refuse (services->session, stream, code, error);
}

static void
on_connected (GSocketConnection *connection,
              const GError      *error,
              gpointer           user_data)
{
  gboolean refused = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);

  dial_end (user_data, connection, refused ? TCP_RESET_REFUSED : TCP_RESET_UNREACHABLE,
            error != NULL ? error->message : NULL);
}

static void
on_deadline (gpointer user_data)
{
  Dial *self = user_data;
  g_autofree char *why = g_strdup_printf ("no answer within %u ms", self->services->connect_timeout);

  dial_end (self, NULL, TCP_RESET_TIMED_OUT, why);
}

/* @target was checked. */
static GSocketConnectable *
make_connectable (const char *target)
{
  g_auto (TcpHostPort) parsed = { 0 };
  GSocketAddress *address;

  tcp_host_port_parse (target, &parsed, NULL);
  address = tcp_connect_get_literal (parsed.host, parsed.port);
  return address != NULL ? G_SOCKET_CONNECTABLE (address) : g_network_address_new (parsed.host, parsed.port);
}

static void
services_dial (TcpServices *self,
               TcpStream   *stream,
               const char  *target)
{
  Dial *dial = g_new0 (Dial, 1);
  g_autoptr (GSocketConnectable) where = make_connectable (target);

  dial->services = self;
  dial->stream = tcp_stream_ref (stream);
  dial->deadline = tcp_timer_new (on_deadline, dial);
  g_hash_table_insert (self->dials, stream, dial);
  if (self->connect_timeout > 0)
    tcp_timer_set (dial->deadline, tcp_now () + self->connect_timeout * G_TIME_SPAN_MILLISECOND);
  dial->connect = tcp_connect_new (where, on_connected, dial);
}

/* Listeners */

/* NULL if there is none. */
static Service *
services_find (TcpServices *self,
               guint32      listener)
{
  if (listener == 0)
    return NULL;
  for (guint i = 0; i < self->all->len; i++)
    if (((Service *) self->all->pdata[i])->listener == listener)
      return self->all->pdata[i];
  return NULL;
}

static int
compare_listeners (gconstpointer a,
                   gconstpointer b)
{
  guint32 first = (*(Service **) a)->listener - 1; /* those without a listener are the last */
  guint32 second = (*(Service **) b)->listener - 1;

  return (first > second) - (first < second);
}

/* FALSE if it failed. */
static gboolean
service_ask (Service *self)
{
  TcpServices *services = self->services;
  g_autoptr (GError) error = NULL;

  if (self->listener == 0)
    self->listener = ++services->last_listener;
  if (tcp_session_listen (services->session, self->listener, self->port, self->target))
    return TRUE;

  error = tcp_session_listen_error (services->session);
  services->callbacks.failed (services, error, services->user_data);
  return FALSE;
}

static void
on_retry (gpointer user_data)
{
  Service *self = user_data;

  if (tcp_session_get_protocol (self->services->session) == NULL)
    return;

  service_ask (self);
  /* The ids ascend. */
  g_ptr_array_sort (self->services->all, compare_listeners);
}

/* The port is taken, perhaps by the former session of this tunnel, which the gateway considers alive. Or the gateway
 * cannot listen at the moment, although it could before. FALSE if that has lasted for too long. */
static gboolean
service_wait_for_port (Service      *self,
                       TcpResetCode  code,
                       const GError *error)
{
  const TcpProtocolClass *protocol = tcp_session_get_protocol (self->services->session);
  gint64 now = tcp_now ();

  if (!self->had_port)
    return FALSE;
  if (self->held_until == 0)
    self->held_until = now + HELD_TIME;
  if (now >= self->held_until)
    return FALSE;

  tcp_log_info (self->services->log,
                code == TCP_RESET_IN_USE
                  ? "%s; it may still be held by the connection before, so that it is asked for again"
                  : "%s; it did listen before, so that it is asked again",
                error->message);
  /* Otherwise the next WebSocket requests it. */
  if (protocol != NULL && protocol->resumable)
    tcp_timer_set (self->retry, now + HELD_INTERVAL);
  return TRUE;
}

/* The session has a protocol, and a WebSocket is about to be attached. */
void
tcp_services_begin (TcpServices *self)
{
  for (guint i = 0; i < self->all->len; i++)
    if (tcp_timer_get (((Service *) self->all->pdata[i])->retry) < 0 && !service_ask (self->all->pdata[i]))
      return;
}

/* Whether the gateway listens for all services. */
gboolean
tcp_services_are_listening (TcpServices *self)
{
  for (guint i = 0; i < self->all->len; i++)
    if (!((Service *) self->all->pdata[i])->listening)
      return FALSE;
  return TRUE;
}

/* The session was lost, or at least its WebSocket, without which the listeners end. */
void
tcp_services_lost (TcpServices *self)
{
  for (guint i = 0; i < self->all->len; i++)
    ((Service *) self->all->pdata[i])->listening = FALSE;
}

/* Callbacks of the session */

static GSocketAddress *
parse_address (const char *text)
{
  g_autoptr (GSocketConnectable) parsed = text != NULL ? g_network_address_parse (text, 0, NULL) : NULL;

  if (parsed == NULL)
    return NULL;
  return g_inet_socket_address_new_from_string (g_network_address_get_hostname (G_NETWORK_ADDRESS (parsed)),
                                                g_network_address_get_port (G_NETWORK_ADDRESS (parsed)));
}

void
tcp_services_arrived (TcpServices *self,
                      TcpStream   *stream,
                      guint32      listener,
                      const char  *from)
{
  Service *service = services_find (self, listener);
  g_autoptr (GSocketAddress) address = parse_address (from);
  g_autoptr (GError) error = NULL;

  tcp_stream_set_target (stream, service != NULL ? service->target : NULL);
  self->callbacks.stream_opened (self, stream, address, self->user_data);
  if (service == NULL)
    error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "there is no such listener any more");
  else if (!tcp_descriptors_are_left ())
    error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, tcp_descriptors_get_advice ());

  if (error != NULL)
    tcp_session_refuse (self->session, stream, service != NULL ? TCP_RESET_LIMIT : TCP_RESET_CLOSED, error);
  else
    services_dial (self, stream, service->target);
}

void
tcp_services_stream_closed (TcpServices *self,
                            TcpStream   *stream)
{
  g_hash_table_remove (self->dials, stream);
}

void
tcp_services_listening (TcpServices *self,
                        guint32      listener,
                        const char  *host,
                        guint16      port)
{
  Service *service = services_find (self, listener);
  gboolean again;

  if (service == NULL)
    return;

  again = service->listening;
  service->listening = service->had_port = TRUE;
  service->held_until = 0;
  tcp_log (self->log, again ? TCP_TUNNEL_LOG_LEVEL_DEBUG : TCP_TUNNEL_LOG_LEVEL_INFO,
           "the gateway listens on %s, port %u, for %s", host, port, service->target);
  self->callbacks.listening (self, host, port, self->user_data);
}

void
tcp_services_unlistened (TcpServices  *self,
                         guint32       listener,
                         TcpResetCode  code,
                         const GError *error)
{
  const TcpProtocolClass *protocol = tcp_session_get_protocol (self->session);
  Service *service = services_find (self, listener);

  if (service == NULL)
    return;

  service->listening = FALSE;
  service->listener = 0;
  g_ptr_array_sort (self->all, compare_listeners);
  /* The session accepts no more connections, and another link requests the listener. */
  if (code == TCP_RESET_DRAINING)
    return;
  /* If the listener ends with its WebSocket, the next one will request it. */
  if (code == TCP_RESET_BROKEN && service->had_port && (protocol == NULL || !protocol->resumable))
    return;
  if ((code == TCP_RESET_IN_USE || code == TCP_RESET_BROKEN || code == TCP_RESET_LIMIT) &&
      service_wait_for_port (service, code, error))
    return;
  self->callbacks.failed (self, error, self->user_data);
}

/* Creation and destruction */

static void
service_free (gpointer data)
{
  Service *self = data;

  tcp_timer_clear (&self->retry);
  g_free (self->target);
  g_free (self);
}

/* @settings were checked. The session must outlive the object. */
TcpServices *
tcp_services_new (const TcpTunnelSettings    *settings,
                  TcpSession                 *session,
                  TcpLog                     *log,
                  const TcpServicesCallbacks *callbacks,
                  gpointer                    user_data)
{
  TcpServices *self = g_new0 (TcpServices, 1);

  self->session = session;
  self->log = tcp_log_ref (log);
  self->connect_timeout = settings->common.connect_timeout;
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->dials = g_hash_table_new_full (NULL, NULL, NULL, dial_free);
  self->all = g_ptr_array_new_with_free_func (service_free);
  for (char **spec = settings->reverses; spec != NULL && *spec != NULL; spec++)
    {
      Service *service = g_new0 (Service, 1);

      service->services = self;
      service->retry = tcp_timer_new (on_retry, service);
      tcp_service_parse (*spec, &service->port, &service->target, NULL);
      g_ptr_array_add (self->all, service);
    }
  return self;
}

void
tcp_services_free (TcpServices *self)
{
  g_hash_table_unref (self->dials);
  g_ptr_array_unref (self->all);
  tcp_log_unref (self->log);
  g_free (self);
}
