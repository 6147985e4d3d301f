/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/engine.h"

#include <stdatomic.h>

#include "base/i18n.h"
#include "base/ref-count.h"
#include "base/tsan.h"
#include "io/descriptors.h"
#include "io/network.h"
#include "io/pool.h"
#include "io/port.h"
#include "tunnel/links.h"
#include "tunnel/pipe-opener.h"
#include "tunnel/proxy-client.h"
#include "websocket/group.h"

/* The time for the request of a proxy's client, if it is not limited otherwise, in ms. */
#define REQUEST_TIMEOUT 15000

/* After a refused TCP client was logged, further ones are not logged for this long. */
#define TURNED_AWAY_INTERVAL (10 * G_TIME_SPAN_SECOND)

typedef struct
{
  char *token; /* NULL to give up */
  guint serial;
} TokenChange;

/* A port on which the tunnel listens, and what its clients are connected to. */
typedef struct
{
  TcpEngine *engine; /* not counted: it frees all of them */
  TcpForwardSpec *spec;
  TcpPort *port;
} Listener;

struct _TcpEngine
{
  gatomicrefcount refs;
  TcpIoThread *thread;
  TcpTunnelSettings *settings;
  TcpLog *log;
  TcpStatus *status;
  TcpEventQueue *events;
  atomic_uint token_serial; /* the number of tokens that were set */
  TokenChange *_Atomic token_change; /* being passed to the I/O thread, or NULL */

  /* from here on only used on the I/O thread */
  GPtrArray *listeners; /* of Listener */
  GHashTable *proxy_clients; /* of TcpProxyClient, until they end */
  TcpChannelGroup *channels;
  TcpNetwork *network;
  TcpLinks *links;
  guint turned_away; /* TCP clients refused since the last warning about it */
  gint64 quiet_until; /* when the next warning may follow */
  gboolean serving;  /* all ports are open */
  gboolean started;  /* the start was reported */
  gboolean closed;
};

static void engine_shut_down (TcpEngine    *self,
                              const GError *error);

/* Events for the public object */

static void
engine_set_state (TcpEngine      *self,
                  TcpTunnelState  state)
{
  if (tcp_status_get (self->status, state) == (guint) state)
    return;

  tcp_status_set (self->status, state, state);
  tcp_event_queue_push_state (self->events, state);
}

/* The address of the tunnel's own port. */
static GSocketAddress *
engine_get_address (TcpEngine *self)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (listener->spec->id == NULL)
        return tcp_port_get_address (listener->port);
    }
  return NULL;
}

static void
engine_report_started (TcpEngine    *self,
                       const GError *error)
{
  if (self->started)
    return;

  self->started = TRUE;
  tcp_event_queue_push_started (self->events, error == NULL ? engine_get_address (self) : NULL, NULL, error);
}

/* The tunnel cannot continue. */
static void
engine_fail (TcpEngine    *self,
             const GError *error)
{
  gboolean was_started = self->started;

  if (self->closed)
    return;

  tcp_status_set_error (self->status, error);
  engine_shut_down (self, error);
  tcp_status_set (self->status, ended, TRUE);
  if (was_started)
    {
      tcp_log_error (self->log, "the tunnel ended: %s", error->message);
      tcp_event_queue_push_failed (self->events, error);
    }
  else
    {
      engine_report_started (self, error);
    }
}

static void on_accepted (GSocketConnection *connection,
                         GSocketAddress    *peer,
                         gpointer           user_data);

/* Accepts on those ports where it does not yet. A socket from the application may have a client already, for which the
 * program was started; it waits until a multiplexed tunnel, which would refuse it, is connected. */
static void
engine_accept (TcpEngine *self)
{
  gboolean connects_first = self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED && !self->started;

  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (!tcp_port_is_accepting (listener->port) && !(connects_first && listener->spec->where.socket != NULL))
        tcp_port_accept (listener->port, on_accepted, listener);
    }
}

/* Callbacks of the links */

static void
on_state_changed (TcpTunnelState state,
                  gpointer       user_data)
{
  TcpEngine *self = user_data;

  engine_set_state (self, state);
  if (state != TCP_TUNNEL_STATE_CONNECTED)
    return;
  engine_report_started (self, NULL);
  engine_accept (self);
}

static void
on_retry_scheduled (const GError *error,
                    guint         attempt,
                    guint         delay,
                    gpointer      user_data)
{
  TcpEngine *self = user_data;

  tcp_status_set_error (self->status, error);
  tcp_event_queue_push_retry (self->events, error, attempt, delay);
}

static void
engine_report_opened (TcpEngine      *self,
                      TcpStream      *stream,
                      GSocketAddress *client,
                      const char     *target)
{
  g_autoptr (TcpRecord) record = tcp_record_new (tcp_stream_get_serial (stream), target, NULL, NULL, self->thread);

  tcp_stream_set_record (stream, record);
  tcp_event_queue_push_opened (self->events, record, client);
}

static void
on_stream_opened (TcpStream *stream,
                  gpointer   user_data)
{
  TcpEngine *self = user_data;
  TcpOpener *opener = tcp_stream_get_opener (stream);

  tcp_log_debug (self->log, "connection %" G_GUINT64_FORMAT " was opened", tcp_stream_get_serial (stream));
  engine_report_opened (self, stream, opener->peer, opener->target);
}

static void
on_stream_arrived (TcpStream      *stream,
                   GSocketAddress *from,
                   gpointer        user_data)
{
  TcpEngine *self = user_data;

  tcp_log_debug (self->log, "connection %" G_GUINT64_FORMAT " came to the gateway", tcp_stream_get_serial (stream));
  engine_report_opened (self, stream, from, tcp_stream_get_target (stream));
}

static void
on_gateway_listening (const char *host,
                      guint16     port,
                      gpointer    user_data)
{
  TcpEngine *self = user_data;

  if (self->settings->reverse)
    tcp_status_set_remote (self->status, host, port);
}

/* The client only sees a closed connection, so the reason is logged. */
static void
engine_log_turned_away (TcpEngine  *self,
                        const char *why)
{
  gint64 now = g_get_monotonic_time ();
  gboolean quiet = now < self->quiet_until;

  if (quiet)
    tcp_log_debug (self->log, "a TCP client was refused: %s", why);
  else if (self->turned_away > 0)
    tcp_log_warn (self->log, "a TCP client was refused, and %u before it: %s", self->turned_away, why);
  else
    tcp_log_warn (self->log, "a TCP client was refused: %s", why);

  self->turned_away = quiet ? self->turned_away + 1 : 0;
  if (!quiet)
    self->quiet_until = now + TURNED_AWAY_INTERVAL;
}

static void
engine_turn_away (TcpEngine         *self,
                  GSocketConnection *connection,
                  const char        *why)
{
  engine_log_turned_away (self, why);
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
}

static void
on_stream_closed (TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  TcpEngine *self = user_data;
  guint64 id = tcp_stream_get_serial (stream);
  TcpTunnelLogLevel level = tcp_stream_get_severity (stream, error);

  /* The caller that closes the tunnel expects this. */
  if (self->closed)
    level = MAX (level, TCP_TUNNEL_LOG_LEVEL_DEBUG);
  /* Any client may connect to services of this end, and a gateway may end any connection, so these warnings are
   * limited. */
  if (error != NULL && level == TCP_TUNNEL_LOG_LEVEL_WARN)
    tcp_log_limit_write (tcp_links_get_warnings (self->links), "connection %" G_GUINT64_FORMAT " broke: %s", id,
                         error->message);
  else if (error != NULL)
    tcp_log (self->log, level, "connection %" G_GUINT64_FORMAT " broke: %s", id, error->message);
  else
    tcp_log (self->log, level, "connection %" G_GUINT64_FORMAT " was closed", id);
  if (error != NULL && level <= TCP_TUNNEL_LOG_LEVEL_WARN)
    tcp_status_set_error (self->status, error);
  if (tcp_stream_get_record (stream) != NULL)
    tcp_event_queue_push_closed (self->events, tcp_stream_get_record (stream), error);
}

static void
on_token_required (guint    serial,
                   gpointer user_data)
{
  TcpEngine *self = user_data;

  tcp_event_queue_push_token_required (self->events, serial);
}

static void
on_failed (const GError *error,
           gpointer      user_data)
{
  engine_fail (user_data, error);
}

static const TcpLinksCallbacks links_callbacks = {
  .state_changed = on_state_changed,
  .retry_scheduled = on_retry_scheduled,
  .stream_opened = on_stream_opened,
  .stream_arrived = on_stream_arrived,
  .listening = on_gateway_listening,
  .stream_closed = on_stream_closed,
  .token_required = on_token_required,
  .failed = on_failed,
};

/* TCP clients */

typedef struct
{
  TcpOpener base;
  TcpEngine *engine; /* not counted: it closes all of them */
  char *target;
} Client;

static void
client_closed (TcpOpener    *opener,
               TcpStream    *stream,
               const GError *error)
{
  Client *self = (Client *) opener;

  if (stream == NULL)
    engine_turn_away (self->engine, opener->connection, error->message);
  g_object_unref (opener->connection);
  g_object_unref (opener->peer);
  g_free (self->target);
  g_free (self);
}

static const TcpOpenerClass client_class = {
  .closed = client_closed,
};

static void
engine_serve_client (TcpEngine         *self,
                     const char        *target,
                     GSocketConnection *connection,
                     GSocketAddress    *peer)
{
  Client *client = g_new0 (Client, 1);

  client->target = g_strdup (target);
  client->base = (TcpOpener) {
    .class = &client_class,
    .target = client->target,
    .connection = g_object_ref (connection),
    .peer = g_object_ref (peer),
  };
  client->engine = self;
  tcp_links_serve (self->links, &client->base);
}

static void
on_proxy_client_asked (TcpProxyClient *client,
                       gpointer        user_data)
{
  TcpEngine *self = user_data;

  tcp_links_serve (self->links, (TcpOpener *) client);
}

static void
on_proxy_client_refused (TcpProxyClient *client,
                         const char     *why,
                         gpointer        user_data)
{
  engine_log_turned_away (user_data, why);
}

static void
on_proxy_client_ended (TcpProxyClient *client,
                       gpointer        user_data)
{
  TcpEngine *self = user_data;

  g_hash_table_remove (self->proxy_clients, client);
}

static const TcpProxyClientCallbacks proxy_client_callbacks = {
  .asked = on_proxy_client_asked,
  .refused = on_proxy_client_refused,
  .ended = on_proxy_client_ended,
};

static void
engine_serve_proxy_client (TcpEngine           *self,
                           const TcpProxyClass *class,
                           GSocketConnection   *connection,
                           GSocketAddress      *peer)
{
  TcpProxyClient *client;
  guint timeout = self->settings->common.connect_timeout;

  if (g_hash_table_size (self->proxy_clients) >= self->settings->common.max_connections)
    {
      engine_turn_away (self, connection, "there are too many connections (see the property max-connections)");
      return;
    }

  client = tcp_proxy_client_new (class, connection, peer, &proxy_client_callbacks, self);
  g_hash_table_add (self->proxy_clients, client);
  tcp_proxy_client_start (client, timeout > 0 ? timeout : REQUEST_TIMEOUT);
}

static void
on_accepted (GSocketConnection *connection,
             GSocketAddress    *peer,
             gpointer           user_data)
{
  Listener *listener = user_data;
  TcpEngine *self = listener->engine;
  const TcpForwardSpec *spec = listener->spec;
  const char *target = spec->target != NULL ? spec->target : self->settings->target;

  if (!tcp_descriptors_suffice (g_socket_get_fd (g_socket_connection_get_socket (connection))))
    engine_turn_away (self, connection, tcp_descriptors_get_advice ());
  else if (spec->kind == TCP_FORWARD_KIND_SOCKS)
    engine_serve_proxy_client (self, &tcp_proxy_socks, connection, peer);
  else if (spec->kind == TCP_FORWARD_KIND_HTTP_PROXY)
    engine_serve_proxy_client (self, &tcp_proxy_http, connection, peer);
  else
    engine_serve_client (self, target, connection, peer);
}

/* Start and end */

static Listener *
listener_new (TcpEngine            *engine,
              const TcpForwardSpec *spec)
{
  Listener *self = g_new0 (Listener, 1);

  self->engine = engine;
  self->spec = tcp_forward_spec_copy (spec);
  self->port = tcp_port_new (&spec->where, engine->log);
  return self;
}

static void
listener_set_address (Listener       *self,
                      GSocketAddress *address)
{
  if (self->spec->address != NULL)
    tcp_forward_address_set (self->spec->address, address);
}

static void
listener_free (Listener *self)
{
  listener_set_address (self, NULL);
  tcp_port_free (self->port);
  tcp_forward_spec_free (self->spec);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Listener, listener_free)

/* All ports are open. They may have used up the descriptors that were left before. */
static void
engine_serve (TcpEngine *self)
{
  g_autoptr (GError) error = NULL;

  if (!tcp_descriptors_check_start (_("the tunnel"), &error))
    {
      engine_fail (self, error);
      return;
    }
  self->serving = TRUE;
  engine_accept (self);
  tcp_links_start (self->links);
  /* A multiplexed tunnel has started when it is connected. */
  if (self->settings->mode != TCP_TUNNEL_MODE_MULTIPLEXED)
    engine_report_started (self, NULL);
}

static void engine_listen (TcpEngine *self);

static void
on_listening (const GError *error,
              gpointer      user_data)
{
  Listener *listener = user_data;
  TcpEngine *self = listener->engine;

  if (error != NULL)
    {
      engine_fail (self, error);
      return;
    }
  listener_set_address (listener, tcp_port_get_address (listener->port));
  engine_listen (self);
}

/* Listens on the next of its ports. */
static void
engine_listen (TcpEngine *self)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (!tcp_port_is_listening (listener->port))
        {
          tcp_port_listen_async (listener->port, on_listening, listener);
          return;
        }
    }
  engine_serve (self);
}

static void
on_network_changed (gpointer user_data)
{
  TcpEngine *self = user_data;

  tcp_log_debug (self->log, "the network changed");
  tcp_links_network_changed (self->links);
}

static void
engine_do_start (gpointer data)
{
  TcpEngine *self = data;

  self->channels = tcp_channel_group_new ();
  self->links = tcp_links_new (self->settings, self->channels, self->log, self->status, &links_callbacks, self);
  self->network = tcp_network_new (self->log, on_network_changed, self);
  engine_listen (self);
}

static void
on_goodbyes_said (gpointer user_data)
{
  TcpEngine *self = user_data;

  g_clear_pointer (&self->links, tcp_links_free);
  g_clear_pointer (&self->channels, tcp_channel_group_unref);
  tcp_engine_unref (self);
}

/* Closes the port and ends every connection. After that only the closing handshakes are left; the I/O thread is
 * released when they have ended. */
static void
engine_shut_down (TcpEngine    *self,
                  const GError *error)
{
  if (self->closed)
    return;

  self->closed = TRUE;
  tcp_status_set_remote (self->status, NULL, 0);
  g_clear_pointer (&self->network, tcp_network_free);
  g_ptr_array_set_size (self->listeners, 0);
  tcp_links_close (self->links, error);
  /* Clients that had no stream yet. */
  g_hash_table_remove_all (self->proxy_clients);
  engine_set_state (self, TCP_TUNNEL_STATE_DISCONNECTED);

  tcp_channel_group_wait (self->channels, on_goodbyes_said, tcp_engine_ref (self));
}

static void
engine_do_close (gpointer data)
{
  TcpEngine *self = data;

  engine_shut_down (self, NULL);
}

static void
engine_do_cancel (gpointer data)
{
  TcpEngine *self = data;
  g_autoptr (GError) error = NULL;

  if (self->started)
    return;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("the start of the tunnel was cancelled"));
  engine_fail (self, error);
}

static void
engine_do_await_token (gpointer data)
{
  TcpEngine *self = data;

  if (!self->closed)
    tcp_links_await_token (self->links);
}

static void
token_change_free (TokenChange *change)
{
  g_free (change->token);
  g_free (change);
}

static void
engine_do_set_token (gpointer data)
{
  TcpEngine *self = data;
  TokenChange *change = atomic_exchange (&self->token_change, NULL);

  if (!self->closed)
    tcp_links_set_token (self->links, change->token, change->serial);
  token_change_free (change);
}

/* For the public object */

/* @forwards are of TcpForwardSpec, or NULL. */
TcpEngine *
tcp_engine_new (const TcpTunnelSettings *settings,
                GPtrArray               *forwards,
                TcpLog                  *log,
                TcpStatus               *status,
                TcpEventQueue           *events,
                GError                 **error)
{
  TcpIoThread *thread = tcp_io_thread_acquire (error);
  TcpEngine *self;

  if (thread == NULL)
    return NULL;

  self = g_new0 (TcpEngine, 1);

  g_atomic_ref_count_init (&self->refs);
  self->thread = thread;
  self->settings = tcp_tunnel_settings_copy (settings);
  self->log = tcp_log_ref (log);
  self->status = tcp_status_ref (status);
  self->events = tcp_event_queue_ref (events);
  self->listeners = g_ptr_array_new_with_free_func ((GDestroyNotify) listener_free);
  self->proxy_clients = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_proxy_client_free, NULL);
  if (settings->listens && !settings->reverse)
    g_ptr_array_add (self->listeners, listener_new (self, &(TcpForwardSpec) { .where = settings->common.where }));
  for (guint i = 0; forwards != NULL && i < forwards->len; i++)
    g_ptr_array_add (self->listeners, listener_new (self, forwards->pdata[i]));

  return self;
}

TcpEngine *
tcp_engine_ref (TcpEngine *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_engine_unref (TcpEngine *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  if (self->token_change != NULL)
    token_change_free (self->token_change);
  g_ptr_array_unref (self->listeners);
  g_hash_table_unref (self->proxy_clients);
  tcp_tunnel_settings_free (self->settings);
  tcp_event_queue_unref (self->events);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);
  tcp_io_thread_release (self->thread);
  g_free (self);
}

static void
engine_invoke (TcpEngine     *self,
               TcpIoFunc  func)
{
  tcp_io_thread_invoke (self->thread, func, tcp_engine_ref (self), (GDestroyNotify) tcp_engine_unref);
}

/* Answered by TCP_EVENT_STARTED. */
void
tcp_engine_start (TcpEngine *self)
{
  engine_invoke (self, engine_do_start);
}

/* With NULL the engine gives up, if it waits for a token.
 *
 * However fast the calls follow each other, at most one is being passed to the I/O thread, which then uses the latest
 * token. NULL does not replace a pending token: with that token the engine does not wait for one any more. */
void
tcp_engine_set_token (TcpEngine  *self,
                      const char *token)
{
  TokenChange *change = g_new0 (TokenChange, 1);
  TokenChange *former = NULL;

  change->token = g_strdup (token);
  if (token != NULL)
    {
      change->serial = atomic_fetch_add (&self->token_serial, 1) + 1;
      former = atomic_exchange (&self->token_change, change);
    }
  else if (!atomic_compare_exchange_strong (&self->token_change, &former, change))
    {
      former = change;
    }

  if (former != NULL)
    token_change_free (former);
  else
    engine_invoke (self, engine_do_set_token);
}

typedef struct
{
  TcpEngine *engine;
  GTlsCertificate *certificate; /* nullable */
} CertificateChange;

static void
certificate_change_free (gpointer data)
{
  CertificateChange *change = data;

  tcp_engine_unref (change->engine);
  g_clear_object (&change->certificate);
  g_free (change);
}

static void
engine_do_set_certificate (gpointer data)
{
  CertificateChange *change = data;

  if (!change->engine->closed)
    tcp_links_set_certificate (change->engine->links, change->certificate);
}

/* Applies to WebSockets that are opened from now on. May be called with a lock held. */
void
tcp_engine_set_certificate (TcpEngine       *self,
                            GTlsCertificate *certificate)
{
  CertificateChange *change = g_new0 (CertificateChange, 1);

  change->engine = tcp_engine_ref (self);
  g_set_object (&change->certificate, certificate);
  tcp_io_thread_invoke (self->thread, engine_do_set_certificate, change, certificate_change_free);
}

/* The number of tokens that were set: see TCP_EVENT_TOKEN_REQUIRED. */
guint
tcp_engine_get_token_serial (TcpEngine *self)
{
  return atomic_load (&self->token_serial);
}

/* Announces that a token will be set later. */
void
tcp_engine_await_token (TcpEngine *self)
{
  engine_invoke (self, engine_do_await_token);
}

/* Makes a start fail that was not reported yet. */
void
tcp_engine_cancel (TcpEngine *self)
{
  engine_invoke (self, engine_do_cancel);
}

/* Ports of a running tunnel */

typedef struct
{
  TcpEngine *engine;
  const TcpForwardSpec *spec;
  GPtrArray *addresses;
  GError *error;
} PortChange;

static void
engine_do_add_port (gpointer data)
{
  PortChange *change = data;
  TcpEngine *self = change->engine;
  g_autoptr (Listener) listener = NULL;

  /* The port is opened at the next start. */
  if (self->closed)
    return;

  listener = listener_new (self, change->spec);
  if (!tcp_port_listen (listener->port, change->addresses, &change->error))
    return;
  listener_set_address (listener, tcp_port_get_address (listener->port));
  g_ptr_array_add (self->listeners, g_steal_pointer (&listener));
  if (self->serving)
    engine_accept (self);
}

/* Listens on the port when this returns. @addresses are those of the hostname, or NULL for a Unix socket. */
gboolean
tcp_engine_add_port (TcpEngine             *self,
                     const TcpForwardSpec  *spec,
                     GPtrArray             *addresses,
                     GError               **error)
{
  PortChange change = { .engine = self, .spec = spec, .addresses = addresses };

  tcp_io_thread_invoke_sync (self->thread, engine_do_add_port, &change);
  if (change.error == NULL)
    return TRUE;
  g_propagate_error (error, change.error);
  return FALSE;
}

static void
engine_do_remove_port (gpointer data)
{
  PortChange *change = data;
  GPtrArray *listeners = change->engine->listeners;

  for (guint i = 0; i < listeners->len; i++)
    if (((Listener *) listeners->pdata[i])->spec->id == change->spec->id)
      {
        g_ptr_array_remove_index (listeners, i);
        return;
      }
}

/* The port is free when this returns. */
void
tcp_engine_remove_port (TcpEngine     *self,
                        gconstpointer  id)
{
  PortChange change = { .engine = self, .spec = &(TcpForwardSpec) { .id = id } };

  tcp_io_thread_invoke_sync (self->thread, engine_do_remove_port, &change);
}

/* Streams without a port */

typedef struct
{
  TcpEngine *engine;
  TcpPipeOpener *opener;
} Opening;

static Opening *
opening_new (TcpEngine     *engine,
             TcpPipeOpener *opener)
{
  Opening *self = g_new0 (Opening, 1);

  self->engine = tcp_engine_ref (engine);
  self->opener = tcp_pipe_opener_ref (opener);
  tcp_tsan_release (self);
  return self;
}

static void
opening_free (gpointer data)
{
  Opening *self = data;

  tcp_engine_unref (self->engine);
  tcp_pipe_opener_unref (self->opener);
  g_free (self);
}

static void
engine_do_open (gpointer data)
{
  Opening *opening = data;
  TcpEngine *self = opening->engine;
  TcpOpener *opener = (TcpOpener *) tcp_pipe_opener_ref (opening->opener);
  g_autoptr (GError) error = NULL;

  if (!self->closed && !tcp_pipe_opener_is_cancelled (opening->opener))
    {
      tcp_links_serve (self->links, opener);
      return;
    }
  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, _("the tunnel was closed"));
  opener->class->closed (opener, NULL, error);
}

static void
engine_do_cancel_opening (gpointer data)
{
  tcp_pipe_opener_cancel (((Opening *) data)->opener);
}

/* Called in any thread. */
static void
on_opening_cancelled (GCancellable *cancellable,
                      Opening      *opening)
{
  tcp_tsan_acquire (opening);
  tcp_io_thread_invoke (opening->engine->thread, engine_do_cancel_opening,
                        opening_new (opening->engine, opening->opener), opening_free);
}

/* Ends @task with a GIOStream, or an error. @target is NULL for that of the tunnel. */
void
tcp_engine_open (TcpEngine  *self,
                 const char *target,
                 GTask      *task)
{
  GError *error = NULL;
  g_autoptr (TcpPipeOpener) opener = NULL;

  opener = tcp_pipe_opener_new (task, target != NULL ? target : self->settings->target, &error);
  if (opener == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  /* A cancellation follows the opening, or ends it before. */
  if (g_task_get_cancellable (task) != NULL)
    tcp_pipe_opener_watch (opener, G_CALLBACK (on_opening_cancelled), opening_new (self, opener), opening_free);
  tcp_io_thread_invoke (self->thread, engine_do_open, opening_new (self, opener), opening_free);
}

/* Returns when the port is free and no connection is left. Must be called once, as the last call, even if the engine
 * failed. */
void
tcp_engine_close (TcpEngine *self)
{
  tcp_io_thread_invoke_sync (self->thread, engine_do_close, self);
}
