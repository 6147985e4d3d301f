/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/server.h"

#include <stdatomic.h>

#include "base/i18n.h"
#include "base/invalid.h"
#include "base/ref-count.h"
#include "base/secret-hash.h"
#include "gateway/certificate.h"
#include "gateway/handshake.h"
#include "gateway/listener.h"
#include "gateway/shard.h"
#include "io/descriptors.h"
#include "io/heritage.h"
#include "io/port.h"
#include "io/reactor.h"

struct _TcpServer
{
  gatomicrefcount refs;
  TcpIoThread *thread;
  TcpShared *shared;
  GPtrArray *principals; /* of TcpPrincipalSpec, until they are in the roster */
  GArray *places;        /* of TcpPortSpec: the further ones */
  GPtrArray *addresses;  /* of GSocketAddress: where it listens; not changed once it has started */
  atomic_uint n_reloads; /* the number of reloads that have begun */
  GMutex reloading;      /* held while a reload takes effect, after it has read its files */

  /* from here on only used on the I/O thread */
  GCancellable *trying; /* the certificate */
  TcpListener *listener;
  GPtrArray *ports; /* of TcpPort */
  TcpChannelGroup *channels; /* for the TLS handshakes */
  TcpShard **shards;         /* NULL until needed; also closed by other threads */
  guint n_shards;
  guint next_shard;
  gboolean started;
  guint reloaded; /* the number of the latest reload that took effect */
  gboolean draining;
  GArray *drains; /* ids of the calls that wait for the drain */
  TcpTimer *drain_deadline;
  gboolean closed;
  gboolean drained; /* to be reported once no connection is left */
  TcpHeritage *heritage;    /* of another process; nullable */
  TcpSnapshot *snapshot;    /* from when it begins to suspend */
  gboolean suspended;       /* nothing happens any more */
  gboolean saved;           /* the snapshot is complete */
  GQueue arrivals;          /* of Arrival: those that wait until it resumes */
};

/* Shards */

static gboolean
server_all_shards (TcpServer *self,
                   gboolean (*predicate) (TcpShard *))
{
  for (guint i = 0; i < self->n_shards; i++)
    if (self->shards[i] != NULL && !predicate (self->shards[i]))
      return FALSE;
  return TRUE;
}

/* Checks whether the drain or the close is complete. A client without a connection, which may stay forever, is not
 * waited for. */
static void
server_do_check (gpointer data)
{
  TcpServer *self = data;

  if (self->drained && server_all_shards (self, tcp_shard_has_closed))
    {
      self->drained = FALSE;
      tcp_event_queue_push_drained (self->shared->events, 0, NULL);
    }
  else if (!self->closed && self->drains->len > 0 && server_all_shards (self, tcp_shard_has_drained) &&
           tcp_status_get (self->shared->status, open_connections) == 0)
    {
      tcp_timer_set (self->drain_deadline, 0);
    }
}

/* Called on the thread of the shard. */
static void
on_shard_changed (gpointer user_data)
{
  TcpServer *self = user_data;

  tcp_io_thread_invoke (self->thread, server_do_check, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

/* Returns the shard of the session: all its WebSockets go to the same one. */
static TcpShard *
server_get_shard (TcpServer  *self,
                  const char *session)
{
  guint i = (session != NULL ? tcp_secret_hash (session) : self->next_shard++) % self->n_shards;

  if (self->shards[i] == NULL)
    self->shards[i] = tcp_shard_new (self->shared, i, self->draining, on_shard_changed, self);
  return self->shards[i];
}

/* The listener */

static TcpRequest *
on_request (TcpUpgrade           *upgrade,
            TcpClientCertificate *certificate,
            const TcpAnswer      *answer,
            TcpRefusal           *refusal,
            gpointer              user_data)
{
  TcpServer *self = user_data;

  return tcp_handshake_examine (self->shared, upgrade, certificate, answer, refusal);
}

static void
on_ask (TcpAuthentication *authentication,
        gpointer           user_data)
{
  TcpServer *self = user_data;

  tcp_event_queue_push_authenticate (self->shared->events, G_OBJECT (authentication));
}

/* Whether the client's credentials are still valid. */
static gboolean
server_accepts_proof (TcpServer        *self,
                      const TcpRequest *request)
{
  TcpRoster *roster = tcp_access_get_roster (self->shared->access);
  const TcpProof *proof = &request->proof;
  const char *name = request->principal->name;

  if (proof->certificate != NULL &&
      (proof->certificate->database != tcp_roster_get_client_ca (roster) || !tcp_roster_has (roster, name)))
    return FALSE;
  return !proof->has_token || tcp_tokens_find_credential (tcp_roster_get_tokens (roster), &proof->token, name) != NULL;
}

typedef struct
{
  TcpServer *server;
  TcpRequest *request;
  char *answer;
  TcpTransport transport;
} Arrival;

static void
arrival_free (gpointer data)
{
  Arrival *self = data;

  tcp_server_unref (self->server);
  g_clear_pointer (&self->request, tcp_request_free);
  g_free (self->answer);
  tcp_transport_clear (&self->transport);
  g_free (self);
}

static void
server_do_admit (gpointer data)
{
  Arrival *arrival = data;
  TcpServer *self = arrival->server;
  const TcpRequest *request = arrival->request;
  TcpShard *shard;

  /* The rest of the connection is closed. */
  if (self->closed)
    return;

  /* A reload may have taken effect meanwhile. */
  if (!server_accepts_proof (self, request))
    return;

  shard = server_get_shard (self, tcp_request_get_session (request));
  tcp_shard_admit (shard, g_steal_pointer (&arrival->request), arrival->answer, &arrival->transport);
}

/* Queued behind a drain that was requested before, so that all shards have processed the drain first: a request may be
 * answered while the listener still accepts, and the drain may be processed before the next one is accepted. */
static void
on_accepted (TcpRequest   *request,
             const char   *answer,
             TcpTransport *transport,
             gpointer      user_data)
{
  TcpServer *self = user_data;
  Arrival *arrival = g_new0 (Arrival, 1);

  arrival->server = tcp_server_ref (self);
  arrival->request = request;
  arrival->answer = g_strdup (answer);
  arrival->transport = *transport;
  *transport = (TcpTransport) { 0 };
  if (self->suspended)
    g_queue_push_tail (&self->arrivals, arrival);
  else
    tcp_io_thread_call (self->thread, server_do_admit, arrival, arrival_free);
}

static const TcpListenerCallbacks listener_callbacks = {
  .examine = on_request,
  .ask = on_ask,
  .accepted = on_accepted,
};

/* Start and end */

static char *
server_make_uri (TcpServer          *self,
                 GInetSocketAddress *address)
{
  g_autofree char *host = g_inet_address_to_string (g_inet_socket_address_get_address (address));
  const TcpGatewaySettings *settings = self->shared->settings;
  const char *path = settings->path != NULL ? settings->path : "/";

  return g_uri_join (G_URI_FLAGS_NONE, settings->tls_certificate != NULL ? "wss" : "ws", NULL, host,
                     g_inet_socket_address_get_port (address), path, NULL, NULL);
}

/* @error: why it has failed, or NULL. */
static void
server_report_started (TcpServer    *self,
                       const GError *error)
{
  GSocketAddress *first = NULL;
  g_autofree char *uri = NULL;

  if (self->started)
    return;

  self->started = TRUE;
  for (guint i = 0; error == NULL && i < self->ports->len; i++)
    g_ptr_array_add (self->addresses, g_object_ref (tcp_port_get_address (self->ports->pdata[i])));
  if (error == NULL)
    first = self->addresses->pdata[0];
  if (G_IS_INET_SOCKET_ADDRESS (first))
    uri = server_make_uri (self, G_INET_SOCKET_ADDRESS (first));
  tcp_event_queue_push_started (self->shared->events, first, uri, error);
}

static void
on_goodbyes_said (gpointer user_data)
{
  TcpServer *self = user_data;

  g_clear_pointer (&self->channels, tcp_channel_group_unref);
  tcp_server_unref (self);
}

/* While it rests, new connections wait in the backlog. */
static void
server_set_resting (TcpServer *self,
                    gboolean   resting)
{
  for (guint i = 0; i < self->ports->len; i++)
    tcp_port_set_resting (self->ports->pdata[i], resting);
}

/* Resumes what it had suspended, or gives up suspending. */
static void
server_go_on (TcpServer *self)
{
  Arrival *arrival;

  if (self->snapshot == NULL)
    return;

  tcp_snapshot_set_leaving (self->snapshot, FALSE);
  g_clear_pointer (&self->snapshot, tcp_snapshot_unref);
  server_set_resting (self, FALSE);
  if (!self->suspended)
    return;

  self->suspended = self->saved = FALSE;
  tcp_reactor_resume ();
  for (guint i = 0; i < self->n_shards; i++)
    if (self->shards[i] != NULL)
      tcp_shard_take_step (self->shards[i], TCP_SHARD_RESUME, NULL, NULL, NULL);
  while ((arrival = g_queue_pop_head (&self->arrivals)) != NULL)
    tcp_io_thread_invoke (self->thread, server_do_admit, arrival, arrival_free);
}

static void
server_shut_down (TcpServer *self)
{
  if (self->closed)
    return;

  server_go_on (self);
  self->closed = TRUE;
  /* It was closed before it started. */
  if (self->channels == NULL)
    return;

  g_cancellable_cancel (self->trying);
  g_array_set_size (self->drains, 0);
  tcp_timer_clear (&self->drain_deadline);
  g_ptr_array_set_size (self->ports, 0);
  g_clear_pointer (&self->listener, tcp_listener_free);
  for (guint i = 0; i < self->n_shards; i++)
    if (self->shards[i] != NULL)
      tcp_shard_close (self->shards[i]);

  tcp_channel_group_wait (self->channels, on_goodbyes_said, tcp_server_ref (self));
}

static void
on_drain_deadline (gpointer user_data)
{
  TcpServer *self = tcp_server_ref (user_data);
  guint open = tcp_status_get (self->shared->status, open_connections);

  if (open > 0)
    tcp_log_warn (self->shared->log, "%u connection%s did not end in time", open, open > 1 ? "s" : "");
  self->drained = TRUE;
  server_shut_down (self);
  server_do_check (self);
  tcp_server_unref (self);
}

/* Whether data to this address can be read on the way, which is logged as a warning. */
static gboolean
server_warn_of_address (TcpServer      *self,
                        GSocketAddress *address)
{
  GInetAddress *host;
  g_autofree char *text = NULL;

  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return FALSE;
  host = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address));
  if (g_inet_address_get_is_loopback (host))
    return FALSE;

  text = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (address));
  tcp_log_warn (self->shared->log, "listening on %s without TLS: tokens and data cross the network in the clear; use a "
                           "certificate, or listen on 127.0.0.1 behind a proxy that speaks TLS", text);
  return TRUE;
}

/* One warning is enough for a port. */
static void
server_warn_of_port (TcpServer *self,
                     TcpPort   *port)
{
  GSocket *socket;

  if (self->shared->settings->tls_certificate != NULL)
    return;
  for (guint i = 0; (socket = tcp_port_get_socket (port, i)) != NULL; i++)
    {
      g_autoptr (GSocketAddress) address = g_socket_get_local_address (socket, NULL);

      if (server_warn_of_address (self, address))
        return;
    }
}

static void
server_fail (TcpServer    *self,
             const GError *error)
{
  server_shut_down (self);
  server_report_started (self, error);
}

static void
server_accept (TcpServer *self)
{
  for (guint i = 0; i < self->ports->len; i++)
    tcp_listener_accept (self->listener, self->ports->pdata[i]);
}

/* All ports are open. They may have used up the descriptors that were left before. */
static void
server_serve (TcpServer *self)
{
  g_autoptr (GError) error = NULL;

  if (!tcp_descriptors_check_start (_("the gateway"), &error))
    {
      server_fail (self, error);
      return;
    }
  for (guint i = 0; i < self->ports->len; i++)
    server_warn_of_port (self, self->ports->pdata[i]);
  server_accept (self);
  server_report_started (self, NULL);
}

static void server_listen (TcpServer *self);

static void
on_listening (const GError *error,
              gpointer      user_data)
{
  TcpServer *self = user_data;

  if (error != NULL)
    server_fail (self, error);
  else
    server_listen (self);
}

/* Listens on the next of its ports. */
static void
server_listen (TcpServer *self)
{
  for (guint i = 0; i < self->ports->len; i++)
    if (!tcp_port_is_listening (self->ports->pdata[i]))
      {
        tcp_port_listen_async (self->ports->pdata[i], on_listening, self);
        return;
      }
  server_serve (self);
}

/* State of another process */

/* Returns a reference to the account of a principal that may still have sessions. One that the application has admitted
 * need not be in the roster. */
static TcpAccount *
server_find_account (TcpServer  *self,
                     const char *name,
                     gboolean    granted)
{
  TcpAccess *access = self->shared->access;

  return granted || tcp_roster_has (tcp_access_get_roster (access), name) ? tcp_access_get_account (access, name) : NULL;
}

/* @state is of TCP_PORT_STATE_TYPE. Returns NULL if one of the sockets does not exist any more. */
static TcpPort *
port_inherit (GVariant *state,
              TcpLog   *log)
{
  g_autoptr (GVariant) descriptors = g_variant_get_child_value (state, 0);
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *path = NULL;
  TcpSocketFile file = { 0 };
  gboolean has_file;

  for (gsize i = 0; i < g_variant_n_children (descriptors); i++)
    {
      GSocket *socket;
      guint64 inode;
      int fd;

      g_variant_get_child (descriptors, i, "(it)", &fd, &inode);
      socket = tcp_socket_inherit (fd, inode);
      if (socket == NULL)
        return NULL;
      g_ptr_array_add (sockets, socket);
    }
  g_variant_get_child (state, 1, "m(stt)", &has_file, &path, &file.device, &file.inode);
  file.path = path;
  return sockets->len > 0 ? tcp_port_new_inherited (sockets, &file, log) : NULL;
}

static gboolean
server_inherit_ports (TcpServer *self)
{
  g_autoptr (GVariant) states = g_variant_get_child_value (self->heritage->gateway, 0);

  for (gsize i = 0; i < g_variant_n_children (states); i++)
    {
      g_autoptr (GVariant) state = g_variant_get_child_value (states, i);
      TcpPort *port = port_inherit (state, self->shared->log);

      if (port == NULL)
        return FALSE;
      g_ptr_array_add (self->ports, port);
    }
  return self->ports->len > 0;
}

static void
server_restore_own (TcpServer *self)
{
  TcpStatus *status = self->shared->status;
  guint64 connections;
  guint64 sent;
  guint64 received;
  guint64 resumes;
  guint64 replayed;

  g_variant_get (self->heritage->gateway, "(@a" TCP_PORT_STATE_TYPE "ttttt)", NULL, &connections, &sent, &received,
                 &resumes, &replayed);
  tcp_status_add (status, total_connections, connections);
  tcp_status_add (status, bytes_sent, sent);
  tcp_status_add (status, bytes_received, received);
  tcp_status_add (status, resumes, resumes);
  tcp_status_add (status, bytes_replayed, replayed);
}

/* Restores the clients that still have a token, before any of them can return. */
static void
server_restore_clients (TcpServer *self)
{
  guint restored = 0;

  for (guint i = 0; i < self->heritage->clients->len; i++)
    {
      GVariant *state = self->heritage->clients->pdata[i];
      g_autofree char *session_id = NULL;
      const char *name;
      guint32 flags;
      g_autoptr (TcpAccount) principal = NULL;

      g_variant_get_child (state, 0, "ms", &session_id);
      g_variant_get_child (state, 2, "&s", &name);
      g_variant_get_child (state, 3, "u", &flags);
      principal = server_find_account (self, name, (flags & TCP_CLIENT_GRANTED) != 0);
      if (principal == NULL)
        {
          tcp_log_warn (self->shared->log, "a session of %s did not survive the restart: that has no token any more", name);
          tcp_heritage_reset_client (state);
          continue;
        }
      tcp_shard_restore (server_get_shard (self, session_id), principal, state);
      restored++;
    }
  tcp_log_info (self->shared->log, "sessions that go on after the restart: %u", restored);
}

static void
server_restore_gone (TcpServer *self)
{
  for (guint i = 0; i < self->heritage->gone->len; i++)
    {
      GVariantIter iter;
      const char *name;
      const char *session_id;

      g_variant_iter_init (&iter, self->heritage->gone->pdata[i]);
      while (g_variant_iter_next (&iter, "(&s&s)", &name, &session_id))
        {
          g_autoptr (TcpAccount) principal = server_find_account (self, name, FALSE);

          if (principal != NULL)
            tcp_shard_restore_gone (server_get_shard (self, session_id), principal, session_id);
        }
    }
}

static void
server_restore (TcpServer *self)
{
  g_autoptr (GError) error = NULL;

  if (!server_inherit_ports (self))
    {
      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN,
                                   _("the sockets of the former gateway process no longer exist"));
      server_fail (self, error);
      return;
    }

  server_restore_own (self);
  server_report_started (self, NULL);
  server_restore_gone (self);
  server_restore_clients (self);
  server_accept (self);
  g_clear_pointer (&self->heritage, tcp_heritage_unref);
}

static void
server_open (TcpServer *self)
{
  if (self->heritage != NULL)
    {
      server_restore (self);
      return;
    }
  g_ptr_array_add (self->ports, tcp_port_new (&self->shared->settings->common.where, self->shared->log));
  for (guint i = 0; i < self->places->len; i++)
    g_ptr_array_add (self->ports, tcp_port_new (&g_array_index (self->places, TcpPortSpec, i), self->shared->log));
  server_listen (self);
}

static void
on_certificate_tried (GObject      *object,
                      GAsyncResult *result,
                      gpointer      user_data)
{
  TcpServer *self = user_data;
  TcpChannelGroup *group = self->channels;
  g_autoptr (GError) error = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  if (tcp_certificate_try_finish (result, &error))
    {
      tcp_certificate_warn (self->shared->settings->tls_certificate, now, self->shared->log);
      server_open (self);
    }
  else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      server_fail (self, error);
    }
  /* The server may end now. */
  tcp_channel_group_leave (group);
}

static void
server_do_start (gpointer data)
{
  TcpServer *self = data;
  const TcpGatewaySettings *settings = self->shared->settings;
  TcpListenerOptions options;

  if (self->closed)
    return;

  self->channels = tcp_channel_group_new ();
  options = (TcpListenerOptions) {
    .certificate = settings->tls_certificate,
    .client_ca = settings->client_ca,
    .timeout = settings->common.connect_timeout,
    .memory = self->shared->pending_memory,
    .proxies = tcp_networks_parse ((const char *const *) settings->trusted_proxies, NULL), /* they were checked */
    .thread = self->thread,
    .group = self->channels,
    .log = self->shared->log,
    .counters = self->shared->counters,
  };
  self->listener = tcp_listener_new (&options, &listener_callbacks, self);
  self->drains = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->drain_deadline = tcp_timer_new (on_drain_deadline, self);

  self->ports = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_port_free);
  self->trying = g_cancellable_new ();
  if (self->shared->settings->tls_certificate != NULL)
    {
      tcp_channel_group_enter (self->channels);
      tcp_certificate_try (self->shared->settings->tls_certificate, self->trying, on_certificate_tried, self);
    }
  else
    {
      server_open (self);
    }
}

static void
server_do_close (gpointer data)
{
  TcpServer *self = data;

  server_shut_down (self);
}

typedef struct
{
  TcpServer *server;
  guint64 id;
  guint timeout;
} DrainCall;

static void
drain_call_free (gpointer data)
{
  DrainCall *call = data;

  tcp_server_unref (call->server);
  g_free (call);
}

static void
server_do_drain (gpointer data)
{
  DrainCall *call = data;
  TcpServer *self = call->server;
  guint open = tcp_status_get (self->shared->status, open_connections);

  if (self->closed)
    return;

  server_go_on (self);
  if (open > 0)
    tcp_log_info (self->shared->log, "no new connections are taken; %u may go on for %u ms", open, call->timeout);
  else
    tcp_log_info (self->shared->log, "no new connections are taken");
  g_array_append_val (self->drains, call->id);
  tcp_timer_set (self->drain_deadline, tcp_now () + call->timeout * G_TIME_SPAN_MILLISECOND);

  for (guint i = 0; i < self->n_shards && !self->draining; i++)
    if (self->shards[i] != NULL)
      tcp_shard_drain (self->shards[i]);
  self->draining = TRUE;
  server_do_check (self);
}

static void
server_do_cancel_drain (gpointer data)
{
  DrainCall *call = data;
  TcpServer *self = call->server;
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("the wait for the gateway was cancelled"));
  for (guint i = 0; i < self->drains->len; i++)
    if (g_array_index (self->drains, guint64, i) == call->id)
      {
        g_array_remove_index (self->drains, i);
        if (self->drains->len == 0)
          tcp_timer_set (self->drain_deadline, -1);
        tcp_event_queue_push_drained (self->shared->events, call->id, error);
        break;
      }
}

static void
server_do_cancel (gpointer data)
{
  TcpServer *self = data;
  g_autoptr (GError) error = NULL;

  if (self->started)
    return;

  error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("the start of the gateway was cancelled"));
  server_fail (self, error);
}

/* Suspending, so that another process can continue */

/* How long accepted connections may take to become a WebSocket, and the interval at which that is checked. */
#define PENDING_TIME (250 * G_TIME_SPAN_MILLISECOND)
#define PENDING_STEP (5 * G_TIME_SPAN_MILLISECOND)

/* A call of the application, and its progress. */
typedef struct
{
  TcpServer *server;
  TcpSnapshot *snapshot; /* the server has another one, or none, if it resumed before this was finished */
  TcpTimer *timer;       /* for pending connections */
  gint64 deadline;       /* how long it waits for them */
  TcpShardStep step;
  atomic_uint pending; /* the number of shards that have not taken the step, plus one */
  TcpServerFunc func;
  gpointer user_data;
} Suspension;

static void suspension_take_step (Suspension *self);

static void
suspension_end (Suspension *self,
                int         fd,
                GError     *error)
{
  TcpServer *server = self->server;

  if (fd < 0 && self->snapshot != NULL && self->snapshot == server->snapshot)
    server_go_on (server);
  self->func (fd, error, self->user_data);
  tcp_timer_clear (&self->timer);
  g_clear_pointer (&self->snapshot, tcp_snapshot_unref);
  tcp_server_unref (server);
  g_free (self);
}

/* FALSE if it has ended because the gateway has resumed. */
static gboolean
suspension_is_wanted (Suspension *self)
{
  if (self->server->snapshot == self->snapshot)
    return TRUE;
  suspension_end (self, -1, g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED,
                                                 _("the gateway was resumed, drained or closed meanwhile")));
  return FALSE;
}

/* Returns a floating reference. */
static GVariant *
port_save (TcpPort     *port,
           TcpSnapshot *snapshot)
{
  const TcpSocketFile *file = tcp_port_get_file (port);
  GVariant *parts = file->path != NULL ? g_variant_new ("(stt)", file->path, file->device, file->inode) : NULL;
  GVariantBuilder descriptors;
  GSocket *socket;

  g_variant_builder_init (&descriptors, G_VARIANT_TYPE ("a(it)"));
  for (guint i = 0; (socket = tcp_port_get_socket (port, i)) != NULL; i++)
    {
      int fd = g_socket_get_fd (socket);

      g_variant_builder_add (&descriptors, "(it)", fd, tcp_socket_get_inode (fd));
      tcp_snapshot_add_socket (snapshot, fd, TRUE, TRUE);
    }
  return g_variant_new ("(a(it)@m(stt))", &descriptors, g_variant_new_maybe (G_VARIANT_TYPE ("(stt)"), parts));
}

static void
server_save (TcpServer *self)
{
  TcpStatus *status = self->shared->status;
  g_autoptr (GVariant) record = NULL;
  GVariantBuilder ports;

  g_variant_builder_init (&ports, G_VARIANT_TYPE ("a" TCP_PORT_STATE_TYPE));
  for (guint i = 0; i < self->ports->len; i++)
    g_variant_builder_add_value (&ports, port_save (self->ports->pdata[i], self->snapshot));
  record = g_variant_ref_sink (g_variant_new ("(a" TCP_PORT_STATE_TYPE "ttttt)", &ports,
                                              (guint64) tcp_status_get (status, total_connections),
                                              (guint64) tcp_status_get (status, bytes_sent),
                                              (guint64) tcp_status_get (status, bytes_received),
                                              (guint64) tcp_status_get (status, resumes),
                                              (guint64) tcp_status_get (status, bytes_replayed)));
  tcp_snapshot_add (self->snapshot, TCP_SNAPSHOT_GATEWAY, record);
}

static void
suspension_do_next (gpointer data)
{
  Suspension *self = data;
  TcpServer *server = self->server;
  GError *error = NULL;
  int fd;

  if (!suspension_is_wanted (self))
    return;
  if (self->step < TCP_SHARD_SAVE)
    {
      self->step++;
      suspension_take_step (self);
      return;
    }

  server_save (server);
  fd = tcp_snapshot_finish (server->snapshot, &error);
  server->saved = fd >= 0;
  suspension_end (self, fd, error);
}

/* Called on any thread. */
static void
on_step_taken (gpointer user_data)
{
  Suspension *self = user_data;

  if (atomic_fetch_sub (&self->pending, 1) == 1)
    tcp_io_thread_invoke (self->server->thread, suspension_do_next, self, NULL);
}

static void
suspension_take_step (Suspension *self)
{
  TcpServer *server = self->server;

  self->pending = 1;
  for (guint i = 0; i < server->n_shards; i++)
    if (server->shards[i] != NULL)
      {
        atomic_fetch_add (&self->pending, 1);
        tcp_shard_take_step (server->shards[i], self->step, self->snapshot, on_step_taken, self);
      }
  on_step_taken (self);
}

/* Connections that are about to become a WebSocket may do so: their clients would not know why they broke. */
static void
suspension_do_stop (gpointer data)
{
  Suspension *self = data;
  TcpServer *server = self->server;
  gint64 now = tcp_now ();

  if (!suspension_is_wanted (self))
    return;
  if (now < self->deadline && tcp_listener_has_pending (server->listener))
    {
      tcp_timer_set (self->timer, now + PENDING_STEP);
      return;
    }

  server->suspended = TRUE;
  tcp_reactor_suspend ();
  self->step = TCP_SHARD_STOP;
  suspension_take_step (self);
}

/* Invoked from outside the reactor, which cannot be suspended from within. */
static void
on_pending_due (gpointer user_data)
{
  Suspension *self = user_data;

  tcp_io_thread_invoke (self->server->thread, suspension_do_stop, self, NULL);
}

static void
server_do_suspend (gpointer data)
{
  Suspension *self = data;
  TcpServer *server = self->server;
  GError *error = NULL;

  if (server->closed || server->draining || server->snapshot != NULL)
    g_set_error_literal (&error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
                         _("the gateway cannot be suspended, since it is already suspended, draining or closed"));
  else
    server->snapshot = tcp_snapshot_new (&error);
  if (error != NULL)
    {
      suspension_end (self, -1, error);
      return;
    }

  self->snapshot = tcp_snapshot_ref (server->snapshot);
  self->timer = tcp_timer_new (on_pending_due, self);
  self->deadline = tcp_now () + PENDING_TIME;
  server_set_resting (server, TRUE);
  suspension_do_stop (self);
}

typedef struct
{
  TcpServer *server;
  gboolean done;
} HandOver;

static void
server_do_hand_over (gpointer data)
{
  HandOver *call = data;
  TcpServer *self = call->server;

  call->done = self->saved;
  if (self->saved)
    tcp_snapshot_set_leaving (self->snapshot, TRUE);
}

static void
server_do_resume (gpointer data)
{
  server_go_on (data);
}

/* For the public object */

/* @principals are TcpPrincipalSpec, and @places are TcpPortSpec: where it listens in addition to the settings. */
TcpServer *
tcp_server_new (const TcpGatewaySettings *settings,
                GPtrArray                *principals,
                GArray                   *places,
                TcpLog                   *log,
                TcpStatus                *status,
                TcpCounters              *counters,
                TcpEventQueue            *events,
                GError                  **error)
{
  TcpIoThread *thread = tcp_io_thread_acquire (error);
  TcpServer *self;

  if (thread == NULL)
    return NULL;

  self = g_new0 (TcpServer, 1);

  g_atomic_ref_count_init (&self->refs);
  self->thread = thread;
  self->shared = tcp_shared_new (settings, thread, log, status, counters, events);
  self->principals = g_ptr_array_ref (principals);
  self->places = g_array_ref (places);
  self->addresses = g_ptr_array_new_with_free_func (g_object_unref);
  g_mutex_init (&self->reloading);
  self->n_shards = tcp_io_thread_count ();
  self->shards = g_new0 (TcpShard *, self->n_shards);

  return self;
}

TcpServer *
tcp_server_ref (TcpServer *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_server_unref (TcpServer *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  for (guint i = 0; i < self->n_shards; i++)
    g_clear_pointer (&self->shards[i], tcp_shard_unref);
  g_free (self->shards);
  g_clear_pointer (&self->drains, g_array_unref);
  g_clear_pointer (&self->principals, g_ptr_array_unref);
  g_array_unref (self->places);
  g_ptr_array_unref (self->addresses);
  g_clear_pointer (&self->ports, g_ptr_array_unref);
  g_clear_object (&self->trying);
  /* It was not started. */
  if (self->heritage != NULL)
    tcp_heritage_reset (self->heritage);
  g_clear_pointer (&self->heritage, tcp_heritage_unref);
  g_clear_pointer (&self->snapshot, tcp_snapshot_unref);
  g_queue_clear_full (&self->arrivals, arrival_free);
  tcp_shared_unref (self->shared);
  tcp_io_thread_release (self->thread);
  g_mutex_clear (&self->reloading);
  g_free (self);
}

/* Reads the tokens. Must be the first call; blocks. */
gboolean
tcp_server_prepare (TcpServer  *self,
                    GError    **error)
{
  g_autoptr (TcpRoster) roster = tcp_roster_load (self->shared->settings, self->principals, self->shared->log, error);

  g_clear_pointer (&self->principals, g_ptr_array_unref);
  if (roster != NULL)
    tcp_access_set_roster (self->shared->access, roster);
  return roster != NULL;
}

typedef struct
{
  TcpServer *server;
  guint number;
  const TcpGatewaySettings *settings;
  TcpRoster *roster;
  TcpReversePorts *reverse_ports;
  GTlsCertificate *certificate; /* nullable */
  TcpRoster *former;            /* kept, since it must not be freed on an I/O thread */
  GPtrArray *shards;            /* to be reviewed */
  gboolean taken;
} Reload;

static void
server_do_reload (gpointer data)
{
  Reload *reload = data;
  TcpServer *self = reload->server;
  TcpTokens *tokens = tcp_roster_get_tokens (reload->roster);

  if (self->closed || self->listener == NULL)
    return;

  reload->taken = TRUE;
  /* A later reload was faster, and its settings remain. */
  if (reload->number < self->reloaded)
    return;

  self->reloaded = reload->number;
  reload->former = tcp_roster_ref (tcp_access_get_roster (self->shared->access));
  tcp_shared_reconfigure (self->shared, reload->settings, reload->reverse_ports, reload->roster);
  if (reload->certificate != NULL)
    tcp_listener_set_certificates (self->listener, reload->certificate, tcp_roster_get_client_ca (reload->roster));
  for (guint i = 0; i < self->n_shards; i++)
    if (self->shards[i] != NULL)
      g_ptr_array_add (reload->shards, tcp_shard_ref (self->shards[i]));
  tcp_log_info (self->shared->log, "the configuration was reloaded (tokens: %u, principals: %u)",
                tcp_tokens_count (tokens), tcp_roster_count (reload->roster));
}

/* Checks the settings: reads the tokens, and tries the certificate. Blocks. */
gboolean
tcp_server_check (const TcpGatewaySettings  *settings,
                  GPtrArray                 *principals,
                  TcpLog                    *log,
                  GCancellable              *cancellable,
                  TcpRoster                **roster,
                  GError                   **error)
{
  g_autoptr (TcpRoster) loaded = NULL;

  if (!tcp_gateway_settings_check (settings, error))
    return FALSE;
  loaded = tcp_roster_load (settings, principals, log, error);
  if (loaded == NULL)
    return FALSE;
  if (settings->tls_certificate != NULL)
    {
      g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

      if (!tcp_certificate_try_sync (settings->tls_certificate, cancellable, error))
        return FALSE;
      tcp_certificate_warn (settings->tls_certificate, now, log);
    }
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  *roster = g_steal_pointer (&loaded);
  return TRUE;
}

/* Returns the number of a reload, which must be taken together with its settings. */
guint
tcp_server_begin_reload (TcpServer *self)
{
  return atomic_fetch_add (&self->n_reloads, 1) + 1;
}

/* Reads the tokens again, and applies @settings and @principals, which are TcpPrincipalSpec, as far as they may change;
 * or changes nothing. If a reload with a higher @number has taken effect already, its settings remain. Blocks. */
gboolean
tcp_server_reload (TcpServer                 *self,
                   guint                      number,
                   const TcpGatewaySettings  *settings,
                   GPtrArray                 *principals,
                   GCancellable              *cancellable,
                   GError                   **error)
{
  g_autoptr (TcpRoster) roster = NULL;
  g_autoptr (TcpRoster) former = NULL;
  g_autoptr (TcpReversePorts) reverse_ports = NULL;
  g_autoptr (GPtrArray) shards = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_shard_unref);
  Reload reload = {
    .server = self,
    .number = number,
    .settings = settings,
    .certificate = settings->tls_certificate,
    .shards = shards,
  };

  if ((settings->tls_certificate != NULL) != (self->shared->settings->tls_certificate != NULL))
    return tcp_invalid (error, _("TLS cannot be enabled or disabled while the gateway runs"));
  if (!tcp_server_check (settings, principals, self->shared->log, cancellable, &roster, error))
    return FALSE;

  /* The patterns were checked. */
  reverse_ports = tcp_reverse_ports_new ((const char *const *) settings->reverse_ports, NULL);
  reload.reverse_ports = reverse_ports;
  reload.roster = roster;
  /* One reload must review all shards before the next one begins, or the former settings could be applied last. */
  g_mutex_lock (&self->reloading);
  tcp_io_thread_invoke_sync (self->thread, server_do_reload, &reload);
  former = reload.former;
  if (!reload.taken)
    g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
                         _("the gateway was closed before the changes took effect"));
  for (guint i = 0; i < shards->len; i++)
    tcp_shard_review (shards->pdata[i], roster, former);
  g_mutex_unlock (&self->reloading);
  return reload.taken;
}

/* Sets the state of another process, before the start. */
void
tcp_server_inherit (TcpServer   *self,
                    TcpHeritage *heritage)
{
  self->heritage = tcp_heritage_ref (heritage);
}

/* From here on nothing is read or written. @func is called on an I/O thread, with a descriptor of the state, which it
 * must close, or with -1 and an error, which it must free. */
void
tcp_server_suspend (TcpServer     *self,
                    TcpServerFunc  func,
                    gpointer       user_data)
{
  Suspension *suspension = g_new0 (Suspension, 1);

  suspension->server = tcp_server_ref (self);
  suspension->func = func;
  suspension->user_data = user_data;
  tcp_io_thread_invoke (self->thread, server_do_suspend, suspension, NULL);
}

/* Resumes the server, if it is suspended. */
void
tcp_server_resume (TcpServer *self)
{
  tcp_io_thread_invoke (self->thread, server_do_resume, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

/* Another program replaces this one next. FALSE if the server is not suspended. Blocks. */
gboolean
tcp_server_hand_over (TcpServer *self)
{
  HandOver call = { .server = self };

  tcp_io_thread_invoke_sync (self->thread, server_do_hand_over, &call);
  for (guint i = 0; i < self->n_shards && call.done; i++)
    if (self->shards[i] != NULL)
      tcp_shard_take_step_sync (self->shards[i], TCP_SHARD_SEND_AWAY);
  return call.done;
}

/* Answered by TCP_EVENT_STARTED. */
void
tcp_server_start (TcpServer *self)
{
  tcp_io_thread_invoke (self->thread, server_do_start, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

void
tcp_server_cancel (TcpServer *self)
{
  tcp_io_thread_invoke (self->thread, server_do_cancel, tcp_server_ref (self), (GDestroyNotify) tcp_server_unref);
}

static void
server_invoke_drain (TcpServer *self,
                     TcpIoFunc  func,
                     guint64    id,
                     guint      timeout)
{
  DrainCall *call = g_new0 (DrainCall, 1);

  call->server = tcp_server_ref (self);
  call->id = id;
  call->timeout = timeout;
  tcp_io_thread_invoke (self->thread, func, call, drain_call_free);
}

/* Accepts no new connections from now on. The server ends when the last connection has ended, or at the timeout, which
 * is reported with TCP_EVENT_DRAINED. */
void
tcp_server_drain (TcpServer *self,
                  guint64    id,
                  guint      timeout)
{
  server_invoke_drain (self, server_do_drain, id, timeout);
}

/* Withdraws a call of tcp_server_drain (); without one the server does not end by itself. Answered by TCP_EVENT_DRAINED
 * with an error, unless the drain had already ended. */
void
tcp_server_cancel_drain (TcpServer *self,
                         guint64    id)
{
  server_invoke_drain (self, server_do_cancel_drain, id, 0);
}

/* Returns when the port is free and no connection is left. Must be the last call. */
void
tcp_server_close (TcpServer *self)
{
  tcp_io_thread_invoke_sync (self->thread, server_do_close, self);
  /* No shards are added from now on. */
  for (guint i = 0; i < self->n_shards; i++)
    if (self->shards[i] != NULL)
      tcp_shard_close_sync (self->shards[i]);
}

/* Called after it has started. The copies belong to the application, which may attach data to them. */
GPtrArray *
tcp_server_copy_addresses (TcpServer *self)
{
  GPtrArray *copies = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < self->addresses->len; i++)
    g_ptr_array_add (copies, tcp_record_copy_address (self->addresses->pdata[i]));
  return copies;
}

/* Sets the current values, also after the server was closed. */
void
tcp_server_measure (TcpServer         *self,
                    TcpGatewayMetrics *metrics)
{
  TcpShared *shared = self->shared;

  tcp_quota_read (&shared->clients, &metrics->open_sessions, &metrics->max_sessions);
  tcp_quota_read (tcp_dial_queue_get_quota (shared->dials), &metrics->open_dials, &metrics->max_dials);
  tcp_quota_read (&shared->connections, NULL, &metrics->max_connections);
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    metrics->memory += tcp_budget_pool_get_used (shared->pools[i]);
  metrics->max_memory = shared->memory;
  metrics->dropped_events = tcp_event_queue_get_n_dropped (shared->events);
}
