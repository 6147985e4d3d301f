/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/client.h"

#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "gateway/dial.h"
#include "gateway/proxy-header.h"
#include "gateway/reverse.h"
#include "io/descriptors.h"
#include "io/heritage.h"
#include "io/linger.h"
#include "io/reactor.h"
#include "protocol/windows.h"

/* The limit and the lower bound of the data of one client that may wait for its targets in raw and tagged. */
#define MAX_QUEUED (1024 * 1024)
#define MIN_QUEUED (64 * 1024)

/* The time that a requested connection is charged for, in microseconds, in addition to the time to begin it. */
#define CONNECTION_COST 50

/* For how long a client with an empty session is kept if places are scarce. */
#define SPARE_TIMEOUT (10 * G_TIME_SPAN_SECOND)

/* The time that a listener, and each port tried for it, is charged for, in microseconds. */
#define LISTENER_COST 100

/* How long a client that was asked for another credential keeps its listeners, which accept nothing meanwhile. */
#define RENEWAL_TIME (10 * G_TIME_SPAN_SECOND)

/* After this time, or a tenth of session-timeout if that is shorter, a client without a WebSocket gives up those of its
 * ports that other clients need. It is checked again at this interval. */
#define AWAY_TIMEOUT (30 * G_TIME_SPAN_SECOND)
#define AWAY_PART 10

/* How many connections are accepted for a client without a WebSocket. */
#define MAX_ARRIVALS_AWAY 64

/* The id of the only listener, if the protocol has no ids. */
#define ONLY_LISTENER 1

struct _TcpClient
{
  TcpShared *shared; /* with its settings and log; the shard keeps it alive */
  const TcpGatewaySettings *settings;
  gboolean raw;
  char *session_id;
  char *target;    /* the name of the target that the path of its WebSockets selects; nullable */
  TcpAccount *principal;
  TcpPolicy *reviewed; /* the policy that its connections were last checked against */
  GSocketAddress *address; /* of the client of the last WebSocket; NULL if it is not known */
  GSocketAddress *local;   /* the local address of the last WebSocket; likewise */
  GSocketAddress *proxy;   /* the proxy that has named the address; NULL if none has */
  TcpLog *log;
  TcpLogLimit *warnings;
  TcpClientCallbacks callbacks;
  gpointer user_data;

  TcpSession *session;
  TcpIoThread *thread;
  GHashTable *dials; /* TcpStream → Dial, those in progress */
  TcpDialLane *lane; /* of the thread; the shard keeps it alive */
  TcpRateLane *upload;   /* of the principal, on the thread */
  TcpRateLane *download; /* likewise */
  TcpDialClient in_turns;
  TcpReverse *reverse;  /* NULL if it has no listeners */
  guint flags;          /* of TcpClientFlags: what it requested */
  gboolean is_listener; /* limrun's protocol: its WebSocket is a listener */
  guint16 remote_port;  /* the port of that listener */
  gboolean begun;    /* raw: the target connection was requested */
  gboolean draining;
  gboolean closed;
  TcpProof proof;     /* the latest */
  gboolean lapsed;    /* the proof is no longer valid */
  gboolean unproven;  /* the proof was shown to another process */
  TcpTimer *renewal;  /* when the proof expires, or another one should have been shown */
  GCancellable *verification; /* while its certificate is verified again */
  gboolean sent_away; /* was asked to connect again, to another process */
  TcpTimer *expiry;   /* while it has no WebSocket */
  gint64 expires_at;  /* when its session ends unless it has a WebSocket by then */
  TcpTimer *away;     /* while it has listeners and no WebSocket */
  gint64 away_since;  /* since when it has no WebSocket */
  guint n_arrivals;   /* how many connections were accepted since then */
  TcpTimer *end;      /* calls the callback ended from the main loop */
};

typedef struct
{
  TcpClient *client;
  TcpStream *stream;
  char *target;
  char *address;
  gboolean is_configured;
  TcpTargetRules *rules; /* nullable */
  TcpDial *dial;         /* NULL while the client is suspended */
  gint64 began;
} Dial;

static void
client_end (TcpClient *self)
{
  tcp_timer_set (self->end, 0);
}

static void
on_end (gpointer user_data)
{
  TcpClient *self = user_data;

  self->callbacks.ended (self, self->user_data);
}

/* A client with an empty session gives its place to another if more than half of the places are taken. Otherwise it is
 * kept: it may have been sent something that the network lost, and that will be sent again. */
static gboolean
client_is_dispensable (TcpClient *self)
{
  return tcp_session_is_empty (self->session) && (self->reverse == NULL || tcp_reverse_is_empty (self->reverse)) &&
         tcp_quota_is_half_full (&self->shared->clients, &self->principal->clients);
}

static void
client_await_return (TcpClient *self)
{
  self->expires_at = tcp_now () + self->settings->session_timeout * G_TIME_SPAN_MILLISECOND;
  tcp_timer_set (self->expiry, MIN (self->expires_at, tcp_now () + SPARE_TIMEOUT));
}

static void
client_log_expiry (TcpClient *self)
{
  if (tcp_session_is_empty (self->session))
    tcp_log_debug (self->log, "the client %s did not come back to its empty session", self->principal->name);
  else if (tcp_session_is_finishing (self->session))
    tcp_log_limit_write (self->warnings,
                         "the target did not take within %u ms what the client %s had sent before it left",
                         self->settings->session_timeout, self->principal->name);
  else
    tcp_log_limit_write (self->warnings, "the client %s did not come back within %u ms", self->principal->name,
                         self->settings->session_timeout);
}

static void
on_expired (gpointer user_data)
{
  TcpClient *self = user_data;
  gint64 now = tcp_now ();

  if (now < self->expires_at && !client_is_dispensable (self))
    {
      tcp_timer_set (self->expiry, MIN (self->expires_at, now + SPARE_TIMEOUT));
      return;
    }

  client_log_expiry (self);
  tcp_client_close (self);
  client_end (self);
}

/* The target */

static void
dial_free (gpointer data)
{
  Dial *dial = data;

  g_clear_pointer (&dial->dial, tcp_dial_free);
  g_clear_pointer (&dial->rules, tcp_target_rules_unref);
  g_free (dial->address);
  tcp_stream_unref (dial->stream);
  g_free (dial->target);
  g_free (dial);
}

/* The header goes before all other data. It is so small that a new socket has room for all of it. */
static gboolean
client_write_header (TcpClient         *self,
                     GSocketConnection *connection)
{
  int fd = g_socket_get_fd (g_socket_connection_get_socket (connection));
  guint8 header[TCP_PROXY_HEADER_SIZE];
  gsize size;

  if (self->settings->proxy_protocol == TCP_PROXY_PROTOCOL_NONE)
    return TRUE;

  size = tcp_proxy_header_write (header, self->address, self->local);
  return send (fd, header, size, MSG_NOSIGNAL) == (gssize) size;
}

static void
client_refuse (TcpClient    *self,
               TcpStream    *stream,
               TcpResetCode  code,
               gboolean      unresolved,
               const GError *error)
{
  TcpCounters *counters = self->shared->counters;

  if (unresolved)
    tcp_counters_add (counters, dials_unresolved);
  else if (code == TCP_RESET_REFUSED)
    tcp_counters_add (counters, dials_refused);
  else if (code == TCP_RESET_UNREACHABLE)
    tcp_counters_add (counters, dials_unreachable);
  else if (code == TCP_RESET_TIMED_OUT)
    tcp_counters_add (counters, dials_timed_out);
  else if (code == TCP_RESET_FORBIDDEN)
    tcp_counters_add (counters, dials_forbidden);
  else if (code == TCP_RESET_LIMIT)
    tcp_counters_add (counters, dials_limited);
  tcp_session_refuse (self->session, stream, code, error);
}

static void
client_count_obstacle (TcpClient       *self,
                       TcpDialObstacle  obstacle)
{
  TcpCounters *counters = self->shared->counters;

  if (obstacle == TCP_DIAL_MAX_PRINCIPAL_DIAL_RATE)
    tcp_counters_add (counters, hits_max_principal_dial_rate);
  else if (obstacle == TCP_DIAL_MAX_PRINCIPAL_DIALS)
    tcp_counters_add (counters, hits_max_principal_dials);
  else
    tcp_counters_add (counters, hits_max_dials);
}

static void
on_dialed (GSocketConnection *connection,
           TcpResetCode       code,
           const char        *why,
           gpointer           user_data)
{
  Dial *dial = user_data;
  TcpClient *self = dial->client;
  g_autoptr (TcpStream) stream = tcp_stream_ref (dial->stream);
  g_autoptr (GError) error = NULL;
  gboolean unresolved;

  if (connection != NULL && !client_write_header (self, connection))
    {
      connection = NULL;
      code = TCP_RESET_UNREACHABLE;
      why = "it closed the connection at once";
    }
  if (connection == NULL)
    error = g_error_new (TCP_TUNNEL_ERROR,
                         code == TCP_RESET_FORBIDDEN ? TCP_TUNNEL_ERROR_FORBIDDEN : TCP_TUNNEL_ERROR_TARGET,
                         "the target %s cannot be reached: %s", dial->target, why);
  if (connection != NULL)
    tcp_histogram_add (&self->shared->counters->dials, tcp_now () - dial->began);
  else if (code == TCP_RESET_LIMIT)
    client_count_obstacle (self, tcp_dial_get_obstacle (dial->dial));
  unresolved = tcp_dial_is_unresolved (dial->dial);
  g_hash_table_remove (self->dials, stream);
  if (connection != NULL)
    tcp_session_connected (self->session, stream, connection);
  else
    client_refuse (self, stream, code, unresolved, error);
}

static void
dial_begin (Dial *self)
{
  TcpClient *client = self->client;
  guint16 port;
  g_autoptr (TcpTarget) where = tcp_target_book_get (client->shared->target_book, self->address, self->is_configured, &port);

  self->dial = tcp_dial_new (client->shared->dials, client->lane, &client->in_turns, where, port, self->rules,
                             client->thread, client->settings->common.connect_timeout, on_dialed, self);
}

/* @target is the name that the client uses. An address that is not @is_configured must comply with the rules. */
static void
client_dial (TcpClient       *self,
             TcpStream       *stream,
             const char      *target,
             const char      *address,
             gboolean         is_configured,
             const TcpPolicy *policy)
{
  TcpChannel *channel = tcp_session_get_channel (self->session);
  Dial *dial = g_new0 (Dial, 1);

  dial->client = self;
  dial->stream = tcp_stream_ref (stream);
  dial->target = g_strdup (target);
  dial->began = tcp_now ();
  dial->address = g_strdup (address);
  dial->is_configured = is_configured;
  dial->rules = is_configured ? NULL : tcp_target_rules_ref (policy->rules);
  dial_begin (dial);
  g_hash_table_insert (self->dials, stream, dial);
  if (channel != NULL)
    tcp_channel_charge (channel, CONNECTION_COST);
}

/* The session */

static gboolean
client_enter_connection (TcpClient  *self,
                         GError    **error)
{
  TcpQuotaShare *own = &self->principal->connections;

  switch (tcp_quota_enter (&self->shared->connections, own))
    {
    case TCP_QUOTA_ENTERED:
      return TRUE;
    case TCP_QUOTA_OWN_FULL:
      tcp_counters_add (self->shared->counters, hits_max_principal_connections);
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   "%s has as many connections as it may: %u (%s)", self->principal->name, own->max, own->property);
      return FALSE;
    default:
      tcp_counters_add (self->shared->counters, hits_max_connections);
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   "the gateway has no place for another connection (max-connections: %u)", self->shared->connections.max);
      return FALSE;
    }
}

/* The stream has a place among the connections, and a share of the rates of the principal. */
static void
client_count_stream (TcpClient *self,
                     TcpStream *stream)
{
  tcp_stream_set_counted (stream);
  tcp_stream_set_rates (stream, self->download, self->upload);
}

/* The name for messages, valid UTF-8 in any case; NULL if the gateway has no such target. */
static char *
client_show_target (const TcpPolicy *policy,
                    const char      *asked)
{
  const char *target = asked != NULL ? asked : tcp_targets_get_own (policy->targets);

  return target != NULL ? tcp_text_from_peer (target, strlen (target)) : NULL;
}

static GError *
client_forbidden_error (const char *target,
                        const char *since)
{
  if (target == NULL)
    return g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_FORBIDDEN,
                                "the gateway has no target for those that ask for none");
  return g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_FORBIDDEN, "the gateway does not allow the target %s%s", target, since);
}

static void
on_stream_opened (TcpSession *session,
                  TcpStream  *stream,
                  const char *target,
                  gpointer    user_data)
{
  TcpClient *self = user_data;
  g_autoptr (TcpPolicy) policy = tcp_account_ref_policy (self->principal);
  const char *asked = target != NULL ? target : self->target;
  g_autofree char *name = client_show_target (policy, asked);
  g_autoptr (GError) error = NULL;
  gboolean is_configured;
  const char *address;

  self->callbacks.stream_opened (self, stream, self->address, name, self->user_data);
  if (!client_enter_connection (self, &error))
    {
      client_refuse (self, stream, TCP_RESET_LIMIT, FALSE, error);
      return;
    }
  client_count_stream (self, stream);
  if (!tcp_descriptors_are_left ())
    {
      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, tcp_descriptors_get_advice ());
      tcp_counters_add (self->shared->counters, hits_descriptors);
      client_refuse (self, stream, TCP_RESET_LIMIT, FALSE, error);
      return;
    }
  /* Only the protocol tagged opens streams during a drain, since it cannot announce one. */
  if (self->draining)
    {
      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "the gateway takes no new connections");
      client_refuse (self, stream, TCP_RESET_DRAINING, FALSE, error);
      return;
    }
  tcp_stream_set_target (stream, asked);
  address = tcp_policy_find_target (policy, asked, &is_configured);
  if (address == NULL)
    {
      error = client_forbidden_error (name, "");
      client_refuse (self, stream, TCP_RESET_FORBIDDEN, FALSE, error);
      return;
    }
  client_dial (self, stream, name, address, is_configured, policy);
}

/* Whether the target of the stream, connected or not, is allowed. */
static gboolean
client_review_stream (TcpClient       *self,
                      TcpStream       *stream,
                      const TcpPolicy *policy)
{
  Dial *dial = g_hash_table_lookup (self->dials, stream);
  GSocketConnection *connection = tcp_stream_get_connection (stream);
  gboolean is_configured;

  if (tcp_policy_find_target (policy, tcp_stream_get_target (stream), &is_configured) == NULL)
    return FALSE;
  if (dial != NULL)
    {
      g_clear_pointer (&dial->rules, tcp_target_rules_unref);
      dial->rules = is_configured ? NULL : tcp_target_rules_ref (policy->rules);
    }
  if (dial != NULL && dial->dial != NULL)
    tcp_dial_set_rules (dial->dial, dial->rules);
  return is_configured || connection == NULL || tcp_target_rules_allow_connection (policy->rules, connection);
}

/* Ends the stream if its target is not allowed any more. */
static void
client_check_stream (TcpClient       *self,
                     TcpStream       *stream,
                     const TcpPolicy *policy)
{
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;

  if (tcp_stream_is_accepted (stream) || client_review_stream (self, stream, policy))
    return;
  name = client_show_target (policy, tcp_stream_get_target (stream));
  error = client_forbidden_error (name, " any more");
  client_refuse (self, stream, TCP_RESET_FORBIDDEN, FALSE, error);
}

/* The policy has changed: connections that it does not allow end. */
static void
client_review_streams (TcpClient *self)
{
  g_autoptr (TcpPolicy) policy = tcp_account_ref_policy (self->principal);
  g_autoptr (GPtrArray) streams = NULL;

  if (!tcp_policy_has_same_targets (self->reviewed, policy))
    streams = tcp_session_list_streams (self->session);
  for (guint i = 0; streams != NULL && i < streams->len; i++)
    client_check_stream (self, streams->pdata[i], policy);
  tcp_policy_unref (self->reviewed);
  self->reviewed = g_steal_pointer (&policy);
}

/* Listeners */

static void
on_listen (TcpSession *session,
           guint32     listener,
           guint16     port,
           const char *name,
           gpointer    user_data)
{
  TcpClient *self = user_data;

  tcp_log_debug (self->log, "the client %s asks for a listener on port %u%s%s", self->principal->name, port,
                 *name != '\0' ? ": " : "", name);
  tcp_reverse_listen (self->reverse, listener, port);
}

static void
on_unlistened (TcpSession   *session,
               guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  TcpClient *self = user_data;

  tcp_reverse_unlisten (self->reverse, listener);
}

static void
on_reverse_listening (guint32     listener,
                      const char *host,
                      guint16     port,
                      gpointer    user_data)
{
  TcpClient *self = user_data;

  tcp_log_debug (self->log, "listening on %s, port %u, for the client %s", host, port, self->principal->name);
  tcp_session_listening (self->session, listener, host, port);
}

static void
on_reverse_unlistened (guint32       listener,
                       TcpResetCode  code,
                       const char   *why,
                       gpointer      user_data)
{
  TcpClient *self = user_data;

  tcp_log_debug (self->log, "not listening for the client %s: %s", self->principal->name, why);
  /* A message about it would end the connections that continue. */
  if (self->is_listener && code == TCP_RESET_DRAINING)
    return;
  tcp_session_unlisten (self->session, listener, code, why);
}

/* TCP clients of a listener need no token. They get at most half of the connections that the principal may have. */
static gboolean
client_enter_arrival (TcpClient  *self,
                      GError    **error)
{
  TcpAccount *principal = self->principal;
  guint max = MAX (1, principal->connections.max / 2);

  if (atomic_fetch_add (&principal->arrivals, 1) >= max)
    {
      tcp_counters_add (self->shared->counters, hits_max_principal_connections);
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   "%s has as many connections to its listeners as it may: %u, half of its limit (%s)",
                   principal->name, max, principal->connections.property);
    }
  else if (client_enter_connection (self, error))
    return TRUE;
  atomic_fetch_sub (&principal->arrivals, 1);
  return FALSE;
}

static void
client_leave_connection (TcpClient *self,
                         gboolean   arrival)
{
  if (arrival)
    atomic_fetch_sub (&self->principal->arrivals, 1);
  tcp_quota_leave (&self->shared->connections, &self->principal->connections);
}

static TcpStream *
client_open_from (TcpClient          *self,
                  guint32             listener,
                  GSocketAddress     *peer,
                  GSocketConnection  *connection,
                  GError            **error)
{
  g_autofree char *from = g_socket_connectable_to_string (G_SOCKET_CONNECTABLE (peer));
  TcpStream *stream;

  if (!tcp_descriptors_suffice (g_socket_get_fd (g_socket_connection_get_socket (connection))))
    {
      tcp_counters_add (self->shared->counters, hits_descriptors);
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, tcp_descriptors_get_advice ());
      return NULL;
    }
  if (!client_enter_arrival (self, error))
    return NULL;
  stream = tcp_session_open_from (self->session, listener, from, connection);
  if (stream == NULL)
    {
      client_leave_connection (self, TRUE);
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   "the client takes no more connections in this session (max-connections: %u at most)",
                   self->settings->common.max_connections);
      return NULL;
    }
  client_count_stream (self, stream);
  return stream;
}

/* A TCP client has connected to a listener of this client. */
static void
on_reverse_accepted (guint32            listener,
                     GSocketConnection *connection,
                     GSocketAddress    *peer,
                     gpointer           user_data)
{
  TcpClient *self = user_data;
  g_autoptr (GError) error = NULL;
  TcpStream *stream = client_open_from (self, listener, peer, connection, &error);

  /* TCP clients that leave before the client has a WebSocket again must not cost much. */
  if (tcp_session_get_channel (self->session) == NULL && ++self->n_arrivals >= MAX_ARRIVALS_AWAY && self->reverse != NULL)
    tcp_reverse_set_resting (self->reverse, TRUE);
  if (stream == NULL)
    {
      tcp_log_limit_write (self->warnings, "a TCP connection for the client %s was refused: %s", self->principal->name,
                           error->message);
      tcp_socket_close_with_reset (g_socket_connection_get_socket (connection));
      return;
    }
  self->callbacks.stream_opened (self, stream, peer, NULL, self->user_data);
}

static void
on_reverse_opening (gpointer user_data)
{
  TcpClient *self = user_data;
  TcpChannel *channel = tcp_session_get_channel (self->session);

  if (channel != NULL)
    tcp_channel_charge (channel, LISTENER_COST);
}

/* Another session of the same principal waits for one of its ports. */
static void
on_reverse_wanted (gpointer user_data)
{
  TcpClient *self = user_data;
  TcpChannel *channel = tcp_session_get_channel (self->session);

  if (channel != NULL)
    tcp_channel_probe (channel, tcp_channel_get_probe_timeout (channel));
  else
    tcp_reverse_yield (self->reverse);
}

static const TcpReverseCallbacks reverse_callbacks = {
  .listening = on_reverse_listening,
  .unlistened = on_reverse_unlistened,
  .accepted = on_reverse_accepted,
  .opening = on_reverse_opening,
  .wanted = on_reverse_wanted,
};

static void
on_stream_closed (TcpSession   *session,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  TcpClient *self = user_data;

  g_hash_table_remove (self->dials, stream);
  if (tcp_stream_is_counted (stream))
    client_leave_connection (self, tcp_stream_is_accepted (stream));
  self->callbacks.stream_closed (self, stream, error, self->user_data);

  if (!self->closed && tcp_session_get_channel (session) == NULL && tcp_session_is_idle (session))
    client_end (self);
}

/* Called when the client has lost its WebSocket. */
static void
client_await_need (TcpClient *self)
{
  gint64 timeout = self->settings->session_timeout * G_TIME_SPAN_MILLISECOND / AWAY_PART;

  if (!tcp_reverse_is_empty (self->reverse))
    tcp_timer_set (self->away, tcp_now () + CLAMP (timeout, G_TIME_SPAN_MILLISECOND, AWAY_TIMEOUT));
}

static void
on_away_due (gpointer user_data)
{
  TcpClient *self = user_data;

  tcp_reverse_give_way (self->reverse, self->away_since);
  client_await_need (self);
}

/* A client without a WebSocket may have listeners that accept connections. */
static gboolean
client_needs_proof (TcpClient *self)
{
  return tcp_session_get_channel (self->session) != NULL ||
         (self->reverse != NULL && !tcp_reverse_is_empty (self->reverse));
}

/* The system clock may be set meanwhile, so it is checked again at least once a minute. */
static void
client_await_renewal (TcpClient *self)
{
  gint64 left = self->proof.expires - g_get_real_time ();

  if (self->lapsed || self->proof.expires == G_MAXINT64 || !client_needs_proof (self))
    tcp_timer_set (self->renewal, -1);
  else
    tcp_timer_set (self->renewal, tcp_now () + CLAMP (left, 0, G_TIME_SPAN_MINUTE));
}

static void
client_go_on (TcpClient *self)
{
  /* A listener of limrun's protocol ends with its WebSocket. A port that another session waits for is given up. */
  if (self->is_listener)
    g_clear_pointer (&self->reverse, tcp_reverse_free);
  else if (self->reverse != NULL)
    {
      self->away_since = tcp_now ();
      self->n_arrivals = 0;
      tcp_reverse_yield (self->reverse);
      client_await_need (self);
    }
  client_await_renewal (self);
  if (tcp_session_is_idle (self->session))
    client_end (self);
  else
    /* The client may come back. Or the data that is left is for a target that may never read it. */
    client_await_return (self);
}

static void
on_channel_closed (TcpSession   *session,
                   const GError *error,
                   gpointer      user_data)
{
  TcpClient *self = user_data;

  tcp_log_debug (self->log, "the WebSocket of the client %s ended: %s", self->principal->name, error->message);
  if (!self->closed)
    client_go_on (self);
}

static const TcpSessionCallbacks session_callbacks = {
  .opened = on_stream_opened,
  .stream_closed = on_stream_closed,
  .channel_closed = on_channel_closed,
  .listen = on_listen,
  .unlistened = on_unlistened,
};

/* The proof */

/* A client whose proof is not valid any more must not accept connections. One that has a WebSocket was asked for
 * another credential, and may return at once: until then its new connections wait. */
static void
client_lapse_listeners (TcpClient *self,
                        gboolean   asked)
{
  self->lapsed = TRUE;
  tcp_timer_set (self->renewal, -1);
  if (self->reverse == NULL || tcp_reverse_is_empty (self->reverse))
    return;

  if (asked)
    {
      tcp_reverse_set_resting (self->reverse, TRUE);
      tcp_timer_set (self->renewal, tcp_now () + RENEWAL_TIME);
      return;
    }
  tcp_log_debug (self->log, "the listeners of the client %s end: it has shown nothing that is still valid",
                 self->principal->name);
  tcp_reverse_give_up (self->reverse, TCP_RESET_BROKEN, "what the client had shown was not valid any more while it was away");
}

/* The session continues if the client returns with another credential. */
static void
client_renew (TcpClient  *self,
              const char *reason)
{
  gboolean is_here = tcp_session_get_channel (self->session) != NULL;

  if (self->closed)
    return;

  if (is_here)
    {
      tcp_log_info (self->log, "the client %s was asked for another credential: %s", self->principal->name, reason);
      tcp_session_send_away (self->session, TRUE, reason);
      if (self->closed)
        return;
      client_go_on (self);
    }
  client_lapse_listeners (self, is_here);
}

static const char *
client_describe_expiry (TcpClient *self)
{
  if (tcp_proof_is_granted (&self->proof))
    return "the time until which the application accepted it has passed";
  if (self->proof.has_token && tcp_credential_has_expired (&self->proof.token))
    return "the token has expired";
  return "the client certificate has expired";
}

static void
on_renewal_due (gpointer user_data)
{
  TcpClient *self = user_data;

  if (self->lapsed)
    client_lapse_listeners (self, FALSE);
  else if (tcp_proof_has_expired (&self->proof))
    client_renew (self, client_describe_expiry (self));
  else
    client_await_renewal (self);
}

static void
on_verified_again (GObject      *object,
                   GAsyncResult *result,
                   gpointer      user_data)
{
  TcpClient *self;
  g_autoptr (GError) error = NULL;
  g_autoptr (TcpClientCertificate) certificate = tcp_client_certificate_verify_finish (result, &error);
  g_autofree char *reason = NULL;

  /* The client may have been freed. */
  if (certificate == NULL)
    return;

  self = user_data;
  g_clear_object (&self->verification);
  tcp_proof_set_certificate (&self->proof, certificate);
  if (certificate->problem == NULL)
    {
      client_await_renewal (self);
      return;
    }
  reason = g_strdup_printf ("the client certificate is not accepted any more: %s", certificate->problem);
  client_renew (self, reason);
}

static void
client_stop_verification (TcpClient *self)
{
  if (self->verification != NULL)
    g_cancellable_cancel (self->verification);
  g_clear_object (&self->verification);
}

/* Verifies the certificate again, with the current authorities. */
static void
client_verify_again (TcpClient    *self,
                     GTlsDatabase *client_ca)
{
  client_stop_verification (self);
  self->verification = g_cancellable_new ();
  tcp_client_certificate_verify (self->proof.certificate->certificate, client_ca, self->verification, on_verified_again, self);
}

/* Creation and destruction */

/* The usual number of connections may use the whole window at once; but there may be more clients, each of which can
 * use it for at least one. Clients of other principals do not reduce it below what is set aside for this principal. */
static gsize
client_get_first_window (TcpShared *shared,
                         TcpBudget *queue_budget)
{
  return tcp_budget_get_portion (queue_budget,
                                 MIN (shared->settings->common.max_connections, TCP_WINDOWS_USUAL_STREAMS));
}

/* If the upload of a principal is limited, its targets' queues hold what it may send in a second: a shorter queue is
 * sent sooner after the client has left. */
static gsize
client_get_max_queued (TcpShared  *shared,
                       TcpAccount *principal)
{
  guint64 rate = tcp_rate_get (principal->upload);
  gsize max = MIN (shared->memory, MAX_QUEUED);

  return rate > 0 ? MIN (max, MAX (rate, MIN_QUEUED)) : max;
}

/* Called on @thread. @shared, @lane and @warnings must outlive the client; @part is that of its principal. */
TcpClient *
tcp_client_new (TcpShared                *shared,
                TcpIoThread              *thread,
                const TcpRequest         *request,
                const TcpAccountPart     *part,
                TcpDialLane              *lane,
                TcpLogLimit              *warnings,
                const TcpClientCallbacks *callbacks,
                gpointer                  user_data)
{
  const TcpGatewaySettings *settings = shared->settings;
  TcpClient *self = g_new0 (TcpClient, 1);
  g_autofree char *peer = g_strdup_printf ("the client %s", request->principal->name);
  g_autoptr (TcpPolicy) policy = tcp_account_ref_policy (request->principal);
  gboolean many = request->multiplexed || request->resumable;
  TcpSessionOptions options = {
    .protocol = tcp_request_get_protocol (request),
    .single = !request->multiplexed,
    .lifts_single = !request->multiplexed && request->resumable,
    .listens = request->resumable && (request->restored || !tcp_reverse_ports_is_empty (shared->reverse_ports)),
    .foreign = request->foreign,
    .nameless = request->session_id == NULL,
    .max_buffered_bytes = client_get_max_queued (shared, request->principal),
    .max_unacknowledged_bytes = settings->common.max_unacknowledged_bytes,
    .max_window_bytes = settings->common.max_window_bytes,
    .max_first_window = client_get_first_window (shared, part->memory[TCP_MEMORY_QUEUES]),
    .max_streams = many ? settings->common.max_connections : 1,
    .session_timeout = settings->session_timeout / 1000 + (settings->session_timeout % 1000 > 0),
    .hello_timeout = settings->common.connect_timeout,
    .budget = part->memory[TCP_MEMORY_DATA],
    .queue_budget = part->memory[TCP_MEMORY_QUEUES],
    .reset_on_loss = settings->common.reset_on_loss,
    .peer = peer,
    .target = request->target != NULL ? request->target : tcp_targets_get_own (policy->targets),
    .log = shared->log,
    .warnings = warnings,
    .status = shared->status,
  };

  self->shared = shared;
  self->settings = settings;
  self->raw = options.protocol == &tcp_protocol_raw;
  self->session_id = g_strdup (tcp_request_get_session (request));
  self->target = g_strdup (request->target);
  self->flags = (request->multiplexed ? TCP_CLIENT_MULTIPLEXED : 0) | (request->foreign ? TCP_CLIENT_FOREIGN : 0);
  self->principal = tcp_account_ref (request->principal);
  self->reviewed = tcp_policy_ref (policy);
  self->log = shared->log;
  self->warnings = warnings;
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->thread = thread;
  self->lane = lane;
  self->upload = tcp_rate_lane_ref (part->upload);
  self->download = tcp_rate_lane_ref (part->download);
  tcp_dial_caller_init (&self->in_turns.in_queue, &request->principal->dials);
  self->dials = g_hash_table_new_full (NULL, NULL, NULL, dial_free);
  self->session = tcp_session_new (&options, &session_callbacks, self);
  self->is_listener = options.protocol == &tcp_protocol_reverse;
  self->remote_port = request->remote_port;
  if (self->is_listener || options.listens)
    self->reverse = tcp_reverse_new (shared->reverse_ports, &shared->listeners, self->principal, thread, self->log,
                                     &reverse_callbacks, self);
  self->renewal = tcp_timer_new (on_renewal_due, self);
  self->expiry = tcp_timer_new (on_expired, self);
  self->away = tcp_timer_new (on_away_due, self);
  self->end = tcp_timer_new (on_end, self);

  return self;
}

void
tcp_client_free (TcpClient *self)
{
  tcp_client_close (self);
  client_stop_verification (self);
  tcp_proof_clear (&self->proof);
  tcp_timer_clear (&self->renewal);
  tcp_timer_clear (&self->expiry);
  tcp_timer_clear (&self->away);
  tcp_timer_clear (&self->end);
  tcp_session_unref (self->session);
  g_clear_pointer (&self->reverse, tcp_reverse_free);
  g_hash_table_unref (self->dials);
  tcp_rate_lane_unref (self->upload);
  tcp_rate_lane_unref (self->download);
  tcp_account_unref (self->principal);
  g_clear_object (&self->address);
  g_clear_object (&self->local);
  g_clear_object (&self->proxy);
  g_free (self->session_id);
  g_free (self->target);
  tcp_policy_unref (self->reviewed);
  g_free (self);
}

const char *
tcp_client_get_session_id (TcpClient *self)
{
  return self->session_id;
}

TcpAccount *
tcp_client_get_principal (TcpClient *self)
{
  return self->principal;
}

/* The proxy that has named the address of its last WebSocket; NULL if none has. */
GSocketAddress *
tcp_client_get_proxy (TcpClient *self)
{
  return self->proxy;
}

/* The name of the target that the path of its WebSockets selects, or NULL. */
const char *
tcp_client_get_target (TcpClient *self)
{
  return self->target;
}

/* Whether it must get no further WebSocket: its end is due, or all that is left is data on its way to the target. */
gboolean
tcp_client_has_ended (TcpClient *self)
{
  return tcp_timer_get (self->end) >= 0 || tcp_session_is_over (self->session) ||
         (self->begun && !tcp_session_is_idle (self->session) && tcp_session_get_n_streams (self->session) == 0);
}

/* Attaches its first WebSocket, or the next one, which was requested with @request. */
void
tcp_client_attach (TcpClient        *self,
                   TcpChannel       *channel,
                   const TcpRequest *request)
{
  g_clear_object (&self->address);
  self->address = g_inet_socket_address_new_from_string (request->address, request->port);
  g_set_object (&self->local, request->local);
  g_set_object (&self->proxy, request->proxy);
  tcp_timer_set (self->expiry, -1);
  tcp_timer_set (self->away, -1);
  client_stop_verification (self);
  tcp_proof_set (&self->proof, &request->proof);
  self->lapsed = self->unproven = FALSE;
  tcp_session_attach (self->session, channel);
  if (self->reverse != NULL)
    tcp_reverse_set_resting (self->reverse, FALSE);
  client_await_renewal (self);

  if (self->is_listener)
    tcp_reverse_listen (self->reverse, ONLY_LISTENER, self->remote_port);
  if (self->raw && !self->begun)
    {
      self->begun = TRUE;
      on_stream_opened (self->session, tcp_session_open (self->session, NULL, NULL), NULL, self);
    }
}

/* Whether its session continues over another WebSocket without loss. */
gboolean
tcp_client_is_resumable (TcpClient *self)
{
  return tcp_session_get_protocol (self->session)->resumable;
}

/* Whether the application has admitted it. */
gboolean
tcp_client_is_granted (TcpClient *self)
{
  return !self->unproven && tcp_proof_is_granted (&self->proof);
}

/* Refuses new streams from now on. */
void
tcp_client_drain (TcpClient *self)
{
  self->draining = TRUE;
  tcp_session_drain (self->session);
  if (self->reverse != NULL)
    tcp_reverse_give_up (self->reverse, TCP_RESET_DRAINING, "the gateway takes no new connections");
}

/* The roster has changed, and still contains the principal of the client. */
void
tcp_client_review (TcpClient *self,
                   TcpRoster *roster)
{
  TcpProof *proof = &self->proof;
  const char *name = self->principal->name;
  GTlsDatabase *client_ca = tcp_roster_get_client_ca (roster);
  const TcpToken *token = NULL;

  client_review_streams (self);
  while (self->reverse != NULL && tcp_reverse_end_revoked (self->reverse))
    ;
  if (proof->has_token)
    token = tcp_tokens_find_credential (tcp_roster_get_tokens (roster), &proof->token, name);
  if (proof->has_token && token == NULL)
    client_renew (self, "the token was revoked");
  else if (proof->certificate != NULL && client_ca == NULL)
    client_renew (self, "client certificates are not accepted any more");
  if (self->lapsed)
    return;

  if (token != NULL)
    tcp_proof_set_token (proof, &token->credential);
  if (proof->certificate != NULL && proof->certificate->database != client_ca)
    client_verify_again (self, client_ca);
  client_await_renewal (self);
}

static void
client_shut (TcpClient *self,
             guint      code,
             int        error_code,
             const char *reason)
{
  g_autoptr (GError) error = NULL;

  if (self->closed)
    return;

  self->closed = TRUE;
  tcp_timer_set (self->away, -1);
  g_clear_pointer (&self->reverse, tcp_reverse_free);
  error = g_error_new_literal (TCP_TUNNEL_ERROR, error_code, reason);
  tcp_session_close (self->session, code, reason, error);
}

/* Its principal is no longer in the roster. */
void
tcp_client_expel (TcpClient *self)
{
  client_shut (self, TCP_CLOSE_POLICY_VIOLATION, TCP_TUNNEL_ERROR_UNAUTHORIZED, "the gateway does not know the client any more");
  client_end (self);
}

/* Ends the client; the callback ended is not called. */
void
tcp_client_close (TcpClient *self)
{
  client_shut (self, TCP_CLOSE_GOING_AWAY, TCP_TUNNEL_ERROR_CLOSED, "the gateway ended the session");
}

/* Restart: another process continues the sessions */

/* Nothing changes, or is sent, until the client is resumed. The reactor of its thread is suspended. */
void
tcp_client_suspend (TcpClient *self)
{
  GHashTableIter iter;
  Dial *dial;

  g_hash_table_iter_init (&iter, self->dials);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &dial))
    g_clear_pointer (&dial->dial, tcp_dial_free);
  tcp_session_set_suspended (self->session, TRUE);
}

/* Connections that were being opened are opened anew. */
void
tcp_client_resume (TcpClient *self)
{
  GHashTableIter iter;
  Dial *dial;

  tcp_session_set_suspended (self->session, FALSE);
  g_hash_table_iter_init (&iter, self->dials);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &dial))
    dial_begin (dial);
  /* The client comes back to this process after all. */
  if (self->sent_away)
    client_go_on (self);
  self->sent_away = FALSE;
}

/* Asks the client to connect again, if its protocol has a message for that. The client is suspended, and another
 * process has its state. */
void
tcp_client_send_away (TcpClient *self)
{
  if (self->closed || !tcp_client_is_resumable (self) || tcp_session_get_channel (self->session) == NULL)
    return;

  tcp_session_set_suspended (self->session, FALSE);
  tcp_session_send_away (self->session, FALSE, "another program goes on with it");
  self->sent_away = TRUE;
}

static guint
client_get_timeout (TcpClient *self)
{
  gint64 left = self->expires_at - tcp_now ();

  if (tcp_session_get_channel (self->session) != NULL)
    return self->settings->session_timeout;
  return CLAMP (left / G_TIME_SPAN_MILLISECOND, 0, G_MAXUINT);
}

/* NULL if there is nothing to save. The client is suspended. The caller frees the result before the client is resumed,
 * in this thread. */
GVariant *
tcp_client_save (TcpClient *self)
{
  gboolean listens = self->reverse != NULL && !self->is_listener;
  g_autoptr (GVariant) session = NULL;
  TcpClientState state = {
    .session_id = self->session_id,
    .principal = self->principal->name,
    .target = self->target,
    .flags = self->flags | (self->begun ? TCP_CLIENT_BEGUN : 0) |
             (tcp_client_is_granted (self) ? TCP_CLIENT_GRANTED : 0) | (self->lapsed ? TCP_CLIENT_LAPSED : 0),
    .expires = self->proof.expires,
    .timeout = client_get_timeout (self),
    .protocol = tcp_session_get_protocol (self->session),
    .address = self->address,
    .proxy = self->proxy,
    .local = self->local,
  };

  if (self->closed || tcp_timer_get (self->end) >= 0 || !tcp_session_can_be_saved (self->session))
    return NULL;

  state.listeners = listens ? tcp_reverse_save (self->reverse)
                            : g_variant_new_array (G_VARIANT_TYPE (TCP_LISTENER_STATE_TYPE), NULL, 0);
  state.session = session = tcp_session_save (self->session);
  return tcp_client_state_write (&state);
}

/* Lists the sockets, of int, of those connections that another process cannot continue. */
void
tcp_client_list_lost (TcpClient *self,
                      GArray    *descriptors)
{
  tcp_session_list_lost (self->session, descriptors);
}

/* Restores a stream whose TCP connection another process had. */
static void
client_restore_connected (TcpClient *self,
                          TcpStream *stream,
                          GVariant  *state)
{
  gboolean accepted = tcp_stream_is_accepted (stream);
  g_autoptr (TcpPolicy) policy = tcp_account_ref_policy (self->principal);
  guint64 inode;
  int fd = tcp_stream_state_get_socket (state, &inode);
  g_autoptr (GSocket) socket = tcp_socket_inherit (fd, inode);
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GSocketAddress) peer = NULL;
  g_autofree char *name = accepted ? NULL : client_show_target (policy, tcp_stream_get_target (stream));
  g_autoptr (GError) error = NULL;

  if (socket != NULL)
    connection = g_socket_connection_factory_create_connection (socket);
  if (connection != NULL && accepted)
    peer = g_socket_connection_get_remote_address (connection, NULL);
  self->callbacks.stream_opened (self, stream, accepted ? peer : self->address, name, self->user_data);
  if (connection == NULL)
    {
      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "its socket was lost in the restart of the gateway");
      tcp_stream_reset (stream, error);
      return;
    }
  if (!(accepted ? client_enter_arrival (self, &error) : client_enter_connection (self, &error)))
    {
      tcp_socket_close_with_reset (socket);
      tcp_session_refuse (self->session, stream, TCP_RESET_LIMIT, error);
      return;
    }
  client_count_stream (self, stream);
  tcp_stream_attach (stream, connection);
  client_check_stream (self, stream, policy);
}

/* The client is new, and continues the state that another process has saved. */
void
tcp_client_restore (TcpClient            *self,
                    const TcpClientState *state)
{
  g_autoptr (GVariant) states = g_variant_get_child_value (state->session, 1);
  g_autoptr (GPtrArray) streams = tcp_session_restore (self->session, state->session);

  self->begun = (state->flags & TCP_CLIENT_BEGUN) != 0;
  g_set_object (&self->address, state->address);
  g_set_object (&self->proxy, state->proxy);
  g_set_object (&self->local, state->local);
  /* The proof is not part of the state: the client shows it again. */
  self->proof.expires = state->expires;
  self->unproven = (state->flags & TCP_CLIENT_GRANTED) == 0;
  self->expires_at = tcp_now () + state->timeout * G_TIME_SPAN_MILLISECOND;
  tcp_timer_set (self->expiry, MIN (self->expires_at, tcp_now () + SPARE_TIMEOUT));
  for (guint i = 0; i < streams->len; i++)
    {
      g_autoptr (GVariant) one = g_variant_get_child_value (states, i);
      TcpStream *stream = streams->pdata[i];
      g_autofree char *target = g_strdup (tcp_stream_get_target (stream));

      if (tcp_stream_state_get_socket (one, NULL) >= 0)
        client_restore_connected (self, stream, one);
      else
        on_stream_opened (self->session, stream, target, self);
    }
  if (self->reverse != NULL)
    {
      tcp_reverse_restore (self->reverse, state->listeners);
      self->away_since = tcp_now ();
      client_await_need (self);
    }
  if ((state->flags & TCP_CLIENT_LAPSED) != 0)
    client_lapse_listeners (self, TRUE);
  else
    client_await_renewal (self);
  tcp_session_begin_restored (self->session, state->session);
  if (tcp_session_is_idle (self->session))
    client_end (self);
}
