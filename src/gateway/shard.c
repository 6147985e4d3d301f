/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/shard.h"

#include <libsoup/soup.h>
#include "base/ref-count.h"
#include "base/secret-hash.h"
#include "gateway/client.h"
#include "gateway/gone.h"
#include "gateway/held.h"
#include "io/descriptors.h"
#include "io/log-limit.h"
#include "io/reactor.h"
#include "websocket/group.h"

/* The number of ended sessions whose ids are kept, so that a client that returns gets the right error. */
#define MAX_GONE 4096

/* How long a message may be incomplete when memory is short, in milliseconds. */
#define MESSAGE_TIMEOUT 30000

#define BROKE "connection %" G_GUINT64_FORMAT " of %s broke: %s"

struct _TcpShard
{
  gatomicrefcount refs; /* the shard holds one reference to itself until all closing handshakes have ended */
  TcpShared *shared;
  TcpIoThread *thread;
  TcpShardFunc func;
  gpointer user_data;
  atomic_bool drained; /* takes no new connections */
  atomic_bool closed;  /* has no clients left, and calls no callbacks any more */

  /* from here on only used on its thread */
  TcpChannelGroup *channels;
  TcpDialLane *lane;
  GHashTable *parts;   /* TcpAccount → TcpAccountPart, of those that have a client or a held WebSocket */
  TcpLogLimit *refusals;
  /* Limited, since a client can open and break any number of WebSockets and connections. */
  TcpLogLimit *arrivals;
  TcpLogLimit *broken;   /* of connections, as warnings */
  TcpLogLimit *ended;    /* of connections, as information */
  TcpLogLimit *warnings; /* of sessions */
  GHashTable *clients;  /* set of TcpClient */
  GHashTable *sessions; /* id → TcpClient, of those that have an id */
  TcpGone *gone;        /* ids with the names of their principals */
  GHashTable *held;     /* id → TcpHeld */
  gboolean closing;
  gboolean suspended;
};

TcpShard *
tcp_shard_ref (TcpShard *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_shard_unref (TcpShard *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  tcp_shared_unref (self->shared);
  tcp_io_thread_release (self->thread);
  g_free (self);
}

/* Accounts */

static TcpAccountPart *
shard_get_part (TcpShard   *self,
                TcpAccount *account)
{
  TcpAccountPart *part = g_hash_table_lookup (self->parts, account);

  if (part == NULL)
    {
      part = tcp_account_part_new (account, self->thread);
      g_hash_table_insert (self->parts, tcp_account_ref (account), part);
    }
  return part;
}

/* The number of principals is not bounded, so a principal without clients must not leave anything. A client that is
 * being closed keeps its own reference to the part. */
static void
shard_leave_part (TcpShard   *self,
                  TcpAccount *account)
{
  TcpAccountPart *part = g_hash_table_lookup (self->parts, account);

  if (--part->n_clients == 0)
    g_hash_table_remove (self->parts, account);
}

/* Clients */

static void
on_client_stream_opened (TcpClient      *client,
                         TcpStream      *stream,
                         GSocketAddress *address,
                         const char     *target,
                         gpointer        user_data)
{
  TcpShard *self = user_data;
  TcpShared *shared = self->shared;
  const char *principal = tcp_client_get_principal (client)->name;
  guint64 id = tcp_stream_get_serial (stream);
  GSocketAddress *proxy = tcp_stream_is_accepted (stream) ? NULL : tcp_client_get_proxy (client);
  g_autoptr (TcpRecord) record = tcp_record_new (id, target, principal, proxy, self->thread);

  tcp_stream_restore_record (stream, record);
  tcp_log_debug (shared->log, "connection %" G_GUINT64_FORMAT " was opened by %s", id, principal);
  tcp_stream_set_record (stream, record);
  tcp_event_queue_push_opened (shared->events, record, address);
}

static void
on_client_stream_closed (TcpClient    *client,
                         TcpStream    *stream,
                         const GError *error,
                         gpointer      user_data)
{
  TcpShard *self = user_data;
  TcpShared *shared = self->shared;
  guint64 id = tcp_stream_get_serial (stream);
  TcpTunnelLogLevel level = tcp_stream_get_severity (stream, error);

  /* The application expects the end of connections when it closes the gateway. */
  if (self->closing)
    level = MAX (level, TCP_TUNNEL_LOG_LEVEL_DEBUG);
  if (error != NULL && level == TCP_TUNNEL_LOG_LEVEL_WARN)
    tcp_log_limit_write (self->broken, BROKE, id, tcp_client_get_principal (client)->name, error->message);
  else if (error != NULL && level == TCP_TUNNEL_LOG_LEVEL_INFO)
    tcp_log_limit_write (self->ended, BROKE, id, tcp_client_get_principal (client)->name, error->message);
  else if (error != NULL)
    tcp_log (shared->log, level, BROKE, id, tcp_client_get_principal (client)->name, error->message);
  else
    tcp_log (shared->log, level, "connection %" G_GUINT64_FORMAT " was closed", id);
  if (tcp_stream_get_record (stream) != NULL)
    tcp_event_queue_push_closed (shared->events, tcp_stream_get_record (stream), error);
  if (self->drained && !self->closing && tcp_status_get (shared->status, open_connections) == 0)
    self->func (self->user_data);
}

static void
on_client_ended (TcpClient *client,
                 gpointer   user_data)
{
  TcpShard *self = user_data;
  const char *id = tcp_client_get_session_id (client);
  g_autoptr (TcpAccount) principal = tcp_account_ref (tcp_client_get_principal (client));

  if (id != NULL)
    {
      tcp_gone_add (self->gone, principal->name, id);
      g_hash_table_remove (self->sessions, id);
    }
  g_hash_table_remove (self->clients, client);
  shard_leave_part (self, principal);
  tcp_quota_leave (&self->shared->clients, &principal->clients);
}

static const TcpClientCallbacks client_callbacks = {
  .stream_opened = on_client_stream_opened,
  .stream_closed = on_client_stream_closed,
  .ended = on_client_ended,
};

static TcpClient *
shard_find_client (TcpShard   *self,
                   const char *id)
{
  return id != NULL ? g_hash_table_lookup (self->sessions, id) : NULL;
}

static TcpClient *
shard_add_client (TcpShard         *self,
                  const TcpRequest *request)
{
  TcpAccountPart *part = shard_get_part (self, request->principal);
  TcpClient *client = tcp_client_new (self->shared, self->thread, request, part, self->lane, self->warnings,
                                      &client_callbacks, self);
  const char *id = tcp_client_get_session_id (client);

  part->n_clients++;
  tcp_counters_add (self->shared->counters, total_sessions);
  g_hash_table_add (self->clients, client);
  if (id != NULL)
    g_hash_table_insert (self->sessions, (char *) id, client);
  return client;
}

/* Held WebSockets */

static void
shard_leave_held (TcpShard   *self,
                  TcpAccount *principal)
{
  tcp_quota_leave (&self->shared->held, &principal->held);
  shard_leave_part (self, principal);
}

static void
on_held_ended (TcpHeld  *held,
               gpointer  user_data)
{
  TcpShard *self = user_data;

  /* It may have broken: the client may return. */
  tcp_gone_add (self->gone, tcp_held_get_principal (held)->name, tcp_held_get_session_id (held));
  shard_leave_held (self, tcp_held_get_principal (held));
  g_hash_table_remove (self->held, tcp_held_get_session_id (held));
}

static void
shard_hold (TcpShard         *self,
            const TcpRequest *request,
            TcpChannel       *channel)
{
  TcpHeld *held = g_hash_table_lookup (self->held, request->session_id);

  tcp_log_limit_write (self->arrivals,
                       "the client %s came back for a session that has ended; its WebSocket is held until it closes it",
                       request->principal->name);
  if (held != NULL)
    {
      tcp_held_replace (held, channel);
      return;
    }

  shard_get_part (self, request->principal)->n_clients++;
  held = tcp_held_new (request, channel, self->warnings, on_held_ended, self);
  g_hash_table_insert (self->held, (char *) tcp_held_get_session_id (held), held);
}

static void
shard_drop_all_held (TcpShard *self)
{
  GHashTableIter iter;
  gpointer held;

  g_hash_table_iter_init (&iter, self->held);
  while (g_hash_table_iter_next (&iter, NULL, &held))
    {
      shard_leave_held (self, tcp_held_get_principal (held));
      g_hash_table_iter_remove (&iter);
    }
}

/* Admission */

static gboolean
refuse_while_draining (TcpRefusal *refusal)
{
  tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "The gateway is shutting down; try again later.");
  refusal->phrase = "Shutting Down";
  return FALSE;
}

/* Refuses a request for lack of a quota. @property and @value are that limit. */
static gboolean
refuse_for_now (TcpRefusal *refusal,
                const char *phrase,
                const char *text,
                const char *property,
                guint64     value)
{
  g_autofree char *limit = g_strdup_printf ("%s: %" G_GUINT64_FORMAT, property, value);

  tcp_refuse (refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "%s (%s); try again later.", text, limit);
  refusal->phrase = phrase;
  refusal->limit = g_steal_pointer (&limit);
  return FALSE;
}

/* Determines the answer to a client that returns for an ended session. The status 410 ends a whole tunnel of limrun's
 * client, although only one connection has ended; therefore a raw client that does not show that it supports this
 * status is held. */
static gboolean
shard_check_ended (TcpShard   *self,
                   TcpRequest *request,
                   TcpRefusal *refusal)
{
  TcpQuota *all = &self->shared->held;
  TcpQuotaShare *own = &request->principal->held;
  TcpHeld *held;

  if (!request->foreign || tcp_request_get_protocol (request) != &tcp_protocol_raw)
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session has ended.");
  held = g_hash_table_lookup (self->held, request->session_id);
  if (held != NULL && tcp_held_get_principal (held) != request->principal)
    return tcp_refuse (refusal, SOUP_STATUS_FORBIDDEN, "The session belongs to somebody else.");
  if (self->drained)
    return refuse_while_draining (refusal);
  /* A held WebSocket of the same session is replaced. */
  if (held == NULL)
    switch (tcp_quota_enter (all, own))
      {
      case TCP_QUOTA_ENTERED:
        break;
      case TCP_QUOTA_OWN_FULL:
        return refuse_for_now (refusal, "Too Many Ended Sessions",
                               "The session has ended, and too many of the same principal wait here after the end of theirs",
                               "WebSockets of ended sessions", own->max);
      default:
        return refuse_for_now (refusal, "Too Many Ended Sessions",
                               "The session has ended, and too many clients wait here after the end of theirs",
                               "half of max-connections", all->max);
      }

  request->held = TRUE;
  return TRUE;
}

/* Another WebSocket of an existing session. */
static gboolean
check_return (TcpClient        *client,
              const TcpRequest *request,
              TcpRefusal       *refusal)
{
  if (tcp_client_get_principal (client) != request->principal)
    return tcp_refuse (refusal, SOUP_STATUS_FORBIDDEN, "The session belongs to somebody else.");
  if (g_strcmp0 (tcp_client_get_target (client), request->target) != 0)
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session cannot go on at the path of another target.");
  if (tcp_client_is_resumable (client) != request->resumable)
    return tcp_refuse (refusal, SOUP_STATUS_GONE, "The session cannot go on in another protocol.");
  return TRUE;
}

/* Counts the session if it may begin. @fd is the descriptor of the connection. */
static gboolean
shard_check_new (TcpShard         *self,
                 const TcpRequest *request,
                 int               fd,
                 TcpRefusal       *refusal)
{
  TcpQuota *all = &self->shared->clients;
  TcpQuotaShare *own = &request->principal->clients;
  TcpCounters *counters = self->shared->counters;
  gboolean by_memory = all->max < self->shared->connections.max;
  const TcpGatewaySettings *settings = self->shared->settings;
  g_autofree char *text = NULL;

  if (self->drained)
    return refuse_while_draining (refusal);
  if (!tcp_descriptors_suffice (fd))
    {
      tcp_counters_add (counters, hits_descriptors);
      return refuse_for_now (refusal, "Too Few File Descriptors",
                             "The process has too few file descriptors left for another session",
                             "ulimit -n", tcp_descriptors_get_limit ());
    }

  switch (tcp_quota_enter (all, own))
    {
    case TCP_QUOTA_ENTERED:
      return TRUE;
    case TCP_QUOTA_OWN_FULL:
      tcp_counters_add (counters, hits_max_principal_sessions);
      text = g_strdup_printf ("The client %s has as many sessions as it may have", request->principal->name);
      return refuse_for_now (refusal, "Too Many Sessions", text, own->property, own->max);
    default:
      break;
    }

  /* Some places may be left, which are set aside for others. */
  if (!by_memory)
    {
      tcp_counters_add (counters, hits_max_connections);
      return refuse_for_now (refusal, "Too Many Sessions", "The gateway has no place for another session",
                             "max-connections", all->max);
    }
  tcp_counters_add (counters, hits_max_memory);
  return refuse_for_now (refusal, "Too Many Sessions", "The gateway has no memory for another session", "max-memory",
                         tcp_gateway_settings_get_max_memory (settings));
}

static gboolean
shard_check (TcpShard   *self,
             TcpRequest *request,
             int         fd,
             TcpRefusal *refusal)
{
  const char *id = tcp_request_get_session (request);
  TcpClient *client = shard_find_client (self, id);

  if (client != NULL && !tcp_client_has_ended (client))
    return check_return (client, request, refusal);
  if (id != NULL && (client != NULL || tcp_gone_contains (self->gone, id) || g_hash_table_contains (self->held, id)))
    return shard_check_ended (self, request, refusal);
  return shard_check_new (self, request, fd, refusal);
}

typedef struct
{
  TcpShard *shard;
  TcpRequest *request;
  char *answer;
  TcpTransport transport;
} Admission;

static void
admission_free (gpointer data)
{
  Admission *self = data;

  tcp_shard_unref (self->shard);
  tcp_request_free (self->request);
  g_free (self->answer);
  tcp_transport_clear (&self->transport);
  g_free (self);
}

/* Data that the client sends behind its request would turn the end into a reset, which may overtake the answer; but a
 * client has nothing to send before it gets an answer. */
static void
admission_refuse (Admission        *self,
                  const TcpRefusal *refusal)
{
  g_autofree char *answer = tcp_refusal_format (refusal);

  tcp_log_limit_write (self->shard->refusals, "a request from %s was answered %u: %s", self->request->address,
                       refusal->status, refusal->text);
  tcp_counters_add (self->shard->shared->counters, refused_requests);
  tcp_transport_write (&self->transport, answer);
  g_socket_shutdown (tcp_transport_get_socket (&self->transport), FALSE, TRUE, NULL);
}

static TcpChannel *
admission_open (Admission *self)
{
  TcpShard *shard = self->shard;
  const TcpGatewaySettings *settings = shard->shared->settings;
  TcpChannelOptions options = {
    .uri = self->request->uri,
    .socket = tcp_transport_get_socket (&self->transport),
    .plain = settings->tls_certificate == NULL,
    .buffered = self->transport.buffered,
    .early = self->transport.early,
    .keepalive_interval = settings->common.keepalive_interval,
    .keepalive_timeout = settings->common.keepalive_timeout,
    .brief = !self->request->multiplexed,
    .log = shard->shared->log,
    .counter = shard->shared->status,
    .group = shard->channels,
    .budget = shard_get_part (shard, self->request->principal)->memory[TCP_MEMORY_INPUT],
    .message_timeout = MESSAGE_TIMEOUT,
  };

  /* If the connection has broken already, the channel detects that. */
  if (!tcp_transport_write (&self->transport, self->answer))
    g_socket_shutdown (options.socket, TRUE, TRUE, NULL);
  return tcp_channel_new (self->transport.stream, &options);
}

static void
shard_do_admit (gpointer data)
{
  Admission *admission = data;
  TcpShard *self = admission->shard;
  TcpRequest *request = admission->request;
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpChannel) channel = NULL;
  TcpClient *client;

  if (!shard_check (self, request, g_socket_get_fd (tcp_transport_get_socket (&admission->transport)), &refusal))
    {
      admission_refuse (admission, &refusal);
      return;
    }

  channel = admission_open (admission);
  tcp_histogram_add (&self->shared->counters->websockets, tcp_now () - request->accepted);
  if (request->held)
    {
      shard_hold (self, request, channel);
      return;
    }

  tcp_log_limit_write (self->arrivals, "the client %s is connected from %s (%s%s)", request->principal->name,
                       request->address, request->multiplexed ? "multiplexed" : "singleton",
                       request->resumable ? ", resumable" : "");
  client = shard_find_client (self, tcp_request_get_session (request));
  if (client == NULL)
    client = shard_add_client (self, request);
  tcp_client_attach (client, channel, request);
}

/* Start and end */

static void
shard_do_start (gpointer data)
{
  TcpShard *self = data;

  self->channels = tcp_channel_group_new ();
  self->lane = tcp_dial_lane_new ();
  self->parts = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_account_unref,
                                       (GDestroyNotify) tcp_account_part_free);
  self->refusals = tcp_log_limit_new (self->shared->log, TCP_TUNNEL_LOG_LEVEL_INFO);
  self->arrivals = tcp_log_limit_new (self->shared->log, TCP_TUNNEL_LOG_LEVEL_INFO);
  self->broken = tcp_log_limit_new (self->shared->log, TCP_TUNNEL_LOG_LEVEL_WARN);
  self->ended = tcp_log_limit_new (self->shared->log, TCP_TUNNEL_LOG_LEVEL_INFO);
  self->warnings = tcp_log_limit_new (self->shared->log, TCP_TUNNEL_LOG_LEVEL_WARN);
  self->clients = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) tcp_client_free, NULL);
  self->sessions = g_hash_table_new (tcp_secret_hash, g_str_equal);
  self->gone = tcp_gone_new (MAX_GONE);
  self->held = g_hash_table_new_full (tcp_secret_hash, g_str_equal, NULL, (GDestroyNotify) tcp_held_free);
}

static void
shard_do_drain (gpointer data)
{
  TcpShard *self = data;
  GHashTableIter iter;
  gpointer client;

  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    tcp_client_drain (client);
  shard_drop_all_held (self);
  self->drained = TRUE;
  self->func (self->user_data);
}

typedef struct
{
  TcpShard *shard;
  TcpRoster *roster;
  TcpRoster *former; /* the previous one */
} Review;

/* A principal that only the application has admitted continues until the decision of the application expires. */
static gboolean
review_has_lost (const Review *self,
                 TcpAccount   *principal,
                 gboolean      is_granted)
{
  return !tcp_roster_has (self->roster, principal->name) && (!is_granted || tcp_roster_has (self->former, principal->name));
}

static void
review_clients (const Review *self)
{
  TcpShard *shard = self->shard;
  GHashTableIter iter;
  gpointer client;
  guint n_expelled = 0;

  g_hash_table_iter_init (&iter, shard->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    if (!review_has_lost (self, tcp_client_get_principal (client), tcp_client_is_granted (client)))
      tcp_client_review (client, self->roster);
    else if (!tcp_client_has_ended (client))
      {
        n_expelled++;
        tcp_client_expel (client);
      }
  if (n_expelled > 0)
    tcp_log_info (shard->shared->log, "sessions that ended, since their principals are no longer known: %u", n_expelled);
}

static void
review_held (const Review *self)
{
  TcpShard *shard = self->shard;
  GHashTableIter iter;
  gpointer held;

  g_hash_table_iter_init (&iter, shard->held);
  while (g_hash_table_iter_next (&iter, NULL, &held))
    if (review_has_lost (self, tcp_held_get_principal (held), TRUE))
      {
        shard_leave_held (shard, tcp_held_get_principal (held));
        g_hash_table_iter_remove (&iter);
      }
}

static void
shard_do_review (gpointer data)
{
  Review *review = data;
  TcpShard *self = review->shard;

  if (self->closing)
    return;

  review_clients (review);
  review_held (review);
}

/* Restart: another process continues the sessions */

/* Repeated for clients that were being passed to this shard, and for a shard that was created for them. */
static void
shard_stop (TcpShard *self)
{
  GHashTableIter iter;
  gpointer client;

  if (!self->suspended)
    tcp_reactor_suspend ();
  self->suspended = TRUE;
  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    tcp_client_suspend (client);
}

static void
shard_go_on (TcpShard *self)
{
  GHashTableIter iter;
  gpointer client;

  if (!self->suspended)
    return;

  self->suspended = FALSE;
  tcp_reactor_resume ();
  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    tcp_client_resume (client);
}

static void
shard_send_away (TcpShard *self)
{
  GHashTableIter iter;
  gpointer client;

  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    tcp_client_send_away (client);
}

static void
add_gone (const char *owner,
          const char *id,
          gpointer    user_data)
{
  g_variant_builder_add (user_data, "(ss)", owner, id);
}

static void
add_socket (int      fd,
            guint64  inode,
            gboolean listens,
            gpointer user_data)
{
  tcp_snapshot_add_socket (user_data, fd, listens, TRUE);
}

/* FALSE if there is nothing to save. */
static gboolean
save_client (TcpClient   *client,
             TcpSnapshot *snapshot)
{
  g_autoptr (GVariant) record = tcp_client_save (client);
  g_autoptr (GArray) lost = g_array_new (FALSE, FALSE, sizeof (int));

  tcp_client_list_lost (client, lost);
  for (guint i = 0; i < lost->len; i++)
    tcp_snapshot_add_socket (snapshot, g_array_index (lost, int, i), FALSE, FALSE);
  if (record == NULL)
    return FALSE;

  tcp_snapshot_add (snapshot, TCP_SNAPSHOT_CLIENT, record);
  tcp_client_state_foreach_socket (record, add_socket, snapshot);
  return TRUE;
}

/* The clients are saved one after the other, since each may have much data. */
static void
shard_save (TcpShard    *self,
            TcpSnapshot *snapshot)
{
  g_autoptr (GVariant) gone = NULL;
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer client;
  gpointer held;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (TCP_GONE_STATE_TYPE));
  tcp_gone_foreach (self->gone, add_gone, &builder);
  /* The client of a held WebSocket connects again. */
  g_hash_table_iter_init (&iter, self->held);
  while (g_hash_table_iter_next (&iter, NULL, &held))
    add_gone (tcp_held_get_principal (held)->name, tcp_held_get_session_id (held), &builder);
  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    if (!save_client (client, snapshot) && tcp_client_get_session_id (client) != NULL)
      add_gone (tcp_client_get_principal (client)->name, tcp_client_get_session_id (client), &builder);

  gone = g_variant_ref_sink (g_variant_builder_end (&builder));
  tcp_snapshot_add (snapshot, TCP_SNAPSHOT_GONE, gone);
}

typedef struct
{
  TcpShard *shard;
  TcpShardStep step;
  TcpSnapshot *snapshot; /* nullable */
  TcpShardFunc func;     /* nullable */
  gpointer user_data;
} Step;

static void
step_free (gpointer data)
{
  Step *step = data;

  tcp_shard_unref (step->shard);
  g_clear_pointer (&step->snapshot, tcp_snapshot_unref);
  g_free (step);
}

static void
shard_do_step (gpointer data)
{
  Step *step = data;
  TcpShard *self = step->shard;

  if (!self->closing)
    switch (step->step)
      {
      case TCP_SHARD_STOP:
      case TCP_SHARD_SETTLE:
        shard_stop (self);
        break;
      case TCP_SHARD_SAVE:
        shard_save (self, step->snapshot);
        break;
      case TCP_SHARD_SEND_AWAY:
        shard_send_away (self);
        break;
      case TCP_SHARD_RESUME:
        shard_go_on (self);
        break;
      }
  if (step->func != NULL)
    step->func (step->user_data);
}

typedef struct
{
  TcpShard *shard;
  TcpAccount *principal;
  GVariant *state;  /* nullable */
  char *session_id; /* likewise */
} Restoration;

static void
restoration_free (gpointer data)
{
  Restoration *self = data;

  tcp_shard_unref (self->shard);
  tcp_account_unref (self->principal);
  g_clear_pointer (&self->state, g_variant_unref);
  g_free (self->session_id);
  g_free (self);
}

static void
shard_do_restore (gpointer data)
{
  Restoration *restoration = data;
  TcpShard *self = restoration->shard;
  g_auto (TcpClientState) state = { 0 };
  TcpRequest request = { .restored = TRUE, .principal = restoration->principal };
  TcpClient *client;

  if (self->closing)
    return;
  if (tcp_quota_enter (&self->shared->clients, &restoration->principal->clients) != TCP_QUOTA_ENTERED)
    {
      tcp_log_limit_write (self->warnings, "a session of %s did not survive the restart: there are too many",
                           restoration->principal->name);
      tcp_heritage_reset_client (restoration->state);
      return;
    }

  /* The state was checked. */
  tcp_client_state_get (&state, restoration->state);
  request.multiplexed = (state.flags & TCP_CLIENT_MULTIPLEXED) != 0;
  request.foreign = (state.flags & TCP_CLIENT_FOREIGN) != 0;
  request.resumable = state.protocol->resumable;
  request.reverse = state.protocol == &tcp_protocol_reverse;
  request.session_id = state.session_id;
  request.target = state.target;
  client = shard_add_client (self, &request);
  tcp_client_restore (client, &state);
}

static void
shard_do_restore_gone (gpointer data)
{
  Restoration *restoration = data;

  if (!restoration->shard->closing)
    tcp_gone_add (restoration->shard->gone, restoration->principal->name, restoration->session_id);
}

static void
on_goodbyes_said (gpointer user_data)
{
  TcpShard *self = user_data;

  g_clear_pointer (&self->channels, tcp_channel_group_unref);
  tcp_shard_unref (self);
}

static void
shard_do_close (gpointer data)
{
  TcpShard *self = data;
  GHashTableIter iter;
  gpointer client;

  if (self->closing)
    return;

  shard_go_on (self);
  self->closing = TRUE;
  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    tcp_client_close (client);
  shard_drop_all_held (self);
  g_clear_pointer (&self->sessions, g_hash_table_unref);
  g_clear_pointer (&self->clients, g_hash_table_unref);
  g_clear_pointer (&self->held, g_hash_table_unref);
  g_clear_pointer (&self->gone, tcp_gone_free);
  g_clear_pointer (&self->refusals, tcp_log_limit_free);
  g_clear_pointer (&self->arrivals, tcp_log_limit_free);
  g_clear_pointer (&self->broken, tcp_log_limit_free);
  g_clear_pointer (&self->ended, tcp_log_limit_free);
  g_clear_pointer (&self->warnings, tcp_log_limit_free);
  g_clear_pointer (&self->parts, g_hash_table_unref);
  g_clear_pointer (&self->lane, tcp_dial_lane_free);
  tcp_channel_group_wait (self->channels, on_goodbyes_said, self);

  self->closed = TRUE;
  self->func (self->user_data);
}

/* For other threads */

static void
shard_invoke (TcpShard  *self,
              TcpIoFunc  func)
{
  tcp_io_thread_invoke (self->thread, func, tcp_shard_ref (self), (GDestroyNotify) tcp_shard_unref);
}

/* The shard runs on the I/O thread with that index. It must be closed. */
TcpShard *
tcp_shard_new (TcpShared    *shared,
               guint         index,
               gboolean      draining,
               TcpShardFunc  func,
               gpointer      user_data)
{
  TcpShard *self = g_new0 (TcpShard, 1);

  g_atomic_ref_count_init (&self->refs);
  self->shared = tcp_shared_ref (shared);
  self->thread = tcp_io_thread_acquire_at (index, NULL); /* cannot fail, since the thread of the server runs */
  self->func = func;
  self->user_data = user_data;
  self->drained = draining;
  tcp_shard_ref (self);
  shard_invoke (self, shard_do_start);
  return self;
}

/* Takes ownership of @request and of the contents of @transport, which no source watches. The session determines
 * whether @answer, which makes the connection a WebSocket, is sent, or a refusal. */
void
tcp_shard_admit (TcpShard     *self,
                 TcpRequest   *request,
                 const char   *answer,
                 TcpTransport *transport)
{
  Admission *admission = g_new0 (Admission, 1);

  admission->shard = tcp_shard_ref (self);
  admission->request = request;
  admission->answer = g_strdup (answer);
  admission->transport = *transport;
  *transport = (TcpTransport) { 0 };
  tcp_io_thread_call (self->thread, shard_do_admit, admission, admission_free);
}

/* @func is called on the thread of the shard. @snapshot is for TCP_SHARD_SAVE, otherwise NULL. */
void
tcp_shard_take_step (TcpShard     *self,
                     TcpShardStep  step,
                     TcpSnapshot  *snapshot,
                     TcpShardFunc  func,
                     gpointer      user_data)
{
  Step *call = g_new0 (Step, 1);

  call->shard = tcp_shard_ref (self);
  call->step = step;
  call->snapshot = snapshot != NULL ? tcp_snapshot_ref (snapshot) : NULL;
  call->func = func;
  call->user_data = user_data;
  tcp_io_thread_invoke (self->thread, shard_do_step, call, step_free);
}

/* The same, but waits for the end of the step. */
void
tcp_shard_take_step_sync (TcpShard     *self,
                          TcpShardStep  step)
{
  Step call = { .shard = self, .step = step };

  tcp_io_thread_invoke_sync (self->thread, shard_do_step, &call);
}

/* Restores a client of another process, before it can return. @client was checked. */
void
tcp_shard_restore (TcpShard   *self,
                   TcpAccount *principal,
                   GVariant   *client)
{
  Restoration *restoration = g_new0 (Restoration, 1);

  restoration->shard = tcp_shard_ref (self);
  restoration->principal = tcp_account_ref (principal);
  restoration->state = g_variant_ref (client);
  tcp_io_thread_invoke (self->thread, shard_do_restore, restoration, restoration_free);
}

/* The session of another process has ended there. */
void
tcp_shard_restore_gone (TcpShard   *self,
                        TcpAccount *principal,
                        const char *session_id)
{
  Restoration *restoration = g_new0 (Restoration, 1);

  restoration->shard = tcp_shard_ref (self);
  restoration->principal = tcp_account_ref (principal);
  restoration->session_id = g_strdup (session_id);
  tcp_io_thread_invoke (self->thread, shard_do_restore_gone, restoration, restoration_free);
}

/* @roster replaces @former. Blocks until that is done; may be called after the close. */
void
tcp_shard_review (TcpShard  *self,
                  TcpRoster *roster,
                  TcpRoster *former)
{
  Review review = { .shard = self, .roster = roster, .former = former };

  tcp_io_thread_invoke_sync (self->thread, shard_do_review, &review);
}

/* Accepts no new connections from now on. */
void
tcp_shard_drain (TcpShard *self)
{
  shard_invoke (self, shard_do_drain);
}

/* After this, only a review may be called of the functions above. */
void
tcp_shard_close (TcpShard *self)
{
  shard_invoke (self, shard_do_close);
}

/* The same, but waits until no connection is left. */
void
tcp_shard_close_sync (TcpShard *self)
{
  tcp_io_thread_invoke_sync (self->thread, shard_do_close, self);
}

gboolean
tcp_shard_has_drained (TcpShard *self)
{
  return self->drained;
}

gboolean
tcp_shard_has_closed (TcpShard *self)
{
  return self->closed;
}
