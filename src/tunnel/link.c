/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/link.h"

#include "base/backoff.h"
#include "base/i18n.h"
#include "io/reactor.h"
#include "tunnel/dial-error.h"
#include "tunnel/services.h"

/* If a WebSocket broke sooner, and no data came over it, the delay continues to grow: a gateway that accepts and closes
 * at once must not be connected to in a busy loop. */
#define STEADY_AFTER G_TIME_SPAN_SECOND

/* How long the application may take to set another token; and, if it had no handler at the start, to announce one. */
#define TOKEN_TIMEOUT (60 * G_TIME_SPAN_SECOND)
#define TOKEN_ANSWER_TIMEOUT (2 * G_TIME_SPAN_SECOND)

/* How much longer a failure is attributed to a change of the network. */
#define HASTE G_TIME_SPAN_SECOND

/* How long a dial may go on after its TCP client has left, however long it may take otherwise. */
#define PARTING_TIMEOUT (10 * G_TIME_SPAN_SECOND)

/* How many tokens in succession may be refused, if attempts to reconnect are unlimited. */
#define MAX_TOKENS 6

struct _TcpLink
{
  const TcpTunnelSettings *settings; /* those of the engine */
  TcpLinkCapacity capacity;
  gboolean asks_for_token;
  char *display;
  GUri *uri;
  char *route; /* with which the gateway that has the session is found; nullable */
  TcpDialer *dialer; /* that of the engine */
  TcpFarewells *farewells; /* likewise */
  TcpLog *log;
  TcpLogLimit *warnings; /* that the gateway can cause */
  TcpStatus *status;
  TcpLinkCallbacks callbacks;
  gpointer user_data;

  TcpSession *session;
  TcpServices *services; /* for TCP clients of the gateway; NULL if there are none */
  TcpTunnelState state;
  TcpBackoff backoff;
  GCancellable *dialling; /* NULL if it is not dialling */
  gboolean sent;          /* the request of this dial */
  TcpTimer *parting;      /* set while the dial only goes on so that its WebSocket can be closed */
  guint token_serial;     /* of the token that was used for it */
  TcpTimer *retry;
  GError *failure;    /* the reason for the current wait */
  gboolean hello_read; /* the current WebSocket has shown that the session is resumable */
  guint patience;     /* how long the gateway keeps the session without a WebSocket, in s */
  TcpTimer *expiry;    /* the timer for that */
  gint64 expires_at;  /* counted from the loss of the last WebSocket with a HELLO; 0 if there was none */
  gint64 not_before;  /* the gateway has requested no earlier attempt */
  gint64 hasty_until; /* breaks and failures until then are attributed to a change of the network */
  TcpTimer *token_timeout;
  gboolean waiting_for_token;
  gboolean asked;     /* the application was asked for a token meanwhile */
  guint tokens_asked; /* since the last one that was accepted */
  gboolean was_connected;
  gboolean draining;
  gboolean resumable; /* whether the last WebSocket was resumable */
  gint64 connected_at;
  GError *refusal; /* of the token, while the application is asked */
  GError *sent_away;    /* the reason for which the gateway requires another WebSocket */
  gint64 restarted_at;  /* when it last did because of a restart */
  guint renewals;       /* how often it required another token of WebSockets that were new */

  gboolean closed;
  TcpTimer *end; /* reports that it ended, from the main loop */
  GError *end_error;
};

static void link_dial (TcpLink *self);
static void link_name_session (TcpLink *self);

static void
link_set_state (TcpLink        *self,
                TcpTunnelState  state)
{
  /* The remaining exchange about a connection that has ended does not count. */
  if (self->capacity != TCP_LINK_MANY && tcp_session_get_n_streams (self->session) == 0)
    state = TCP_TUNNEL_STATE_DISCONNECTED;
  if (self->state == state)
    return;

  self->state = state;
  self->callbacks.state_changed (self, state, self->user_data);
}

/* There is a WebSocket. If the gateway must listen, it must do so as well. */
static void
link_check_connected (TcpLink *self)
{
  if (self->services == NULL || tcp_services_are_listening (self->services))
    link_set_state (self, TCP_TUNNEL_STATE_CONNECTED);
}

static void
link_stop_trying (TcpLink *self)
{
  if (self->dialling != NULL)
    g_cancellable_cancel (self->dialling);
  g_clear_object (&self->dialling);
  tcp_timer_set (self->parting, -1);
  tcp_timer_set (self->retry, -1);
  tcp_timer_set (self->token_timeout, -1);
  self->waiting_for_token = FALSE;
  self->hasty_until = 0;
}

static void
on_end (gpointer user_data)
{
  TcpLink *self = user_data;

  self->callbacks.ended (self, self->end_error, self->user_data);
}

/* Whether it is only needed to report how its connections ended. */
gboolean
tcp_link_is_leftover (TcpLink *self)
{
  return self->draining || (self->capacity != TCP_LINK_MANY && tcp_session_get_n_streams (self->session) == 0);
}

/* @error (taken) ends the tunnel, if there is no other link; NULL if the link has merely finished its work. */
static void
link_end (TcpLink *self,
          GError  *error)
{
  gboolean leftover = tcp_link_is_leftover (self);

  if (self->closed)
    {
      g_clear_error (&error);
      return;
    }

  tcp_link_close (self, error);
  if (leftover && error != NULL)
    {
      tcp_log_warn (self->log, "%s", error->message);
      g_clear_error (&error);
    }
  self->end_error = error;
  tcp_timer_set (self->end, 0);
}

/* Outages */

/* From here on the gateway keeps the session, and TCP clients may wait, for @patience. */
static void
link_begin_outage (TcpLink *self,
                   guint    patience)
{
  self->hello_read = FALSE;
  self->patience = patience;
  if (patience == 0)
    return;

  self->expires_at = g_get_monotonic_time () + patience * G_TIME_SPAN_SECOND;
  tcp_timer_set (self->expiry, self->expires_at);
}

static void
link_end_outage (TcpLink *self)
{
  self->expires_at = 0;
  tcp_timer_set (self->expiry, -1);
}

/* Whether there is a session that is worth waiting for, however many attempts that takes. */
static gboolean
link_is_kept (TcpLink *self)
{
  return self->backoff.max_attempts != 0 && self->expires_at != 0 &&
         tcp_session_get_peer_timeout (self->session) > 0;
}

static GError *
link_exhausted_error (TcpLink      *self,
                      const GError *error)
{
  guint attempts = self->backoff.attempt;

  if (self->backoff.max_attempts == 0)
    return g_error_copy (error);
  return g_error_new (error->domain, error->code,
                      tcp_ngettext ("gave up after %u attempt: %s", "gave up after %u attempts: %s", attempts), attempts,
                      error->message);
}

/* The session cannot be resumed, since the gateway has kept it for long enough. Its connections end, and so does the
 * tunnel if it has no attempts left. */
static void
link_expire (TcpLink *self)
{
  gboolean dialling = self->dialling != NULL;
  g_autoptr (GError) error = NULL;

  link_end_outage (self);
  if (!tcp_link_has_use (self))
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                       _("the session with the gateway %s is lost, since the gateway was away for longer than the %u s "
                         "for which it keeps a session: %s"),
                       self->display, self->patience,
                       self->failure != NULL ? self->failure->message : _("no attempt finished"));
  if (tcp_backoff_is_exhausted (&self->backoff) && !self->waiting_for_token)
    {
      /* The tunnel ends because it does not reach the gateway. */
      if (self->failure != NULL)
        error->code = self->failure->code;
      link_end (self, link_exhausted_error (self, error));
      return;
    }

  /* The connections end now: no other session can continue them. */
  self->resumable = FALSE;
  tcp_session_abandon (self->session, error);
  if (self->closed)
    return;
  link_name_session (self);
  if (tcp_link_has_use (self))
    {
      if (dialling)
        link_dial (self);
    }
  else if (tcp_session_is_idle (self->session))
    {
      link_end (self, NULL);
    }
}

static void
on_expired (gpointer user_data)
{
  TcpLink *self = user_data;
  TcpChannel *channel = tcp_session_get_channel (self->session);
  g_autoptr (GError) error = NULL;

  if (channel == NULL)
    {
      link_expire (self);
      return;
    }

  /* The gateway has not answered on this WebSocket yet whether it has the session. */
  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT,
                       _("the gateway %s sent nothing on the WebSocket before the session timed out"), self->display);
  tcp_channel_abort (channel, error);
}

/* Failed attempts */

/* If there are many failures in succession, not each of them is a warning. Those of former links count, since a client
 * that gives up and connects again causes another link. */
static void
link_log_retry (TcpLink      *self,
                const GError *error,
                guint         delay)
{
  guint attempt = self->backoff.attempt;
  guint failures = tcp_dialer_count_failure (self->dialer);
  TcpTunnelLogLevel level =
      (failures & (failures - 1)) == 0 || failures <= 6 ? TCP_TUNNEL_LOG_LEVEL_WARN : TCP_TUNNEL_LOG_LEVEL_DEBUG;
  g_autofree char *of = NULL;

  if (!link_is_kept (self) && self->backoff.max_attempts >= 0)
    of = g_strdup_printf (" of %d", self->backoff.max_attempts);
  tcp_log (self->log, level, "%s; attempt %u%s follows in %u ms", error->message, attempt, of != NULL ? of : "", delay);
}

static void
link_retry (TcpLink      *self,
            const GError *error,
            gint64        at_least)
{
  gboolean kept;
  guint delay;

  g_clear_error (&self->failure);
  self->failure = g_error_copy (error);
  if (self->capacity != TCP_LINK_MANY)
    link_set_state (self, TCP_TUNNEL_STATE_DISCONNECTED);
  if (self->expires_at != 0 && self->expires_at <= g_get_monotonic_time ())
    {
      link_expire (self);
      if (!tcp_link_has_use (self))
        return;
    }

  kept = link_is_kept (self);
  if (!kept && tcp_backoff_is_exhausted (&self->backoff))
    {
      link_end (self, link_exhausted_error (self, error));
      return;
    }

  delay = kept ? tcp_backoff_next_resume (&self->backoff, g_random_double ())
               : tcp_backoff_next (&self->backoff, g_random_double ());
  if (g_get_monotonic_time () < self->hasty_until)
    delay = 0;
  self->hasty_until = 0;
  if (at_least > (gint64) delay)
    delay = at_least;
  self->not_before = at_least > 0 ? g_get_monotonic_time () + at_least * G_TIME_SPAN_MILLISECOND : 0;
  link_log_retry (self, error, delay);
  link_set_state (self, TCP_TUNNEL_STATE_RECONNECTING);
  if (!tcp_link_is_leftover (self))
    self->callbacks.retry_scheduled (self, error, self->backoff.attempt, delay, self->user_data);
  tcp_timer_set (self->retry, g_get_monotonic_time () + delay * G_TIME_SPAN_MILLISECOND);
}

static void
on_retry (gpointer user_data)
{
  link_dial (user_data);
}

static void
on_token_timeout (gpointer user_data)
{
  TcpLink *self = user_data;

  link_end (self, g_steal_pointer (&self->refusal));
}

/* The same limit as for attempts to reconnect, so that this ends. */
static guint
link_get_max_tokens (TcpLink *self)
{
  return self->backoff.max_attempts < 0 ? MAX_TOKENS : (guint) MAX (1, self->backoff.max_attempts);
}

static gboolean
link_ask_for_token (TcpLink      *self,
                    const GError *error)
{
  if (self->settings->token == NULL || self->tokens_asked >= link_get_max_tokens (self) || tcp_link_is_leftover (self))
    return FALSE;

  tcp_log_debug (self->log, "%s: is there another?", error->message);
  g_clear_error (&self->refusal);
  self->refusal = g_error_copy (error);
  self->waiting_for_token = TRUE;
  self->asked = FALSE;
  tcp_timer_set (self->token_timeout, g_get_monotonic_time () +
                                          (self->asks_for_token ? TOKEN_TIMEOUT : TOKEN_ANSWER_TIMEOUT));
  self->callbacks.token_required (self, self->token_serial, self->user_data);
  return TRUE;
}

/* Whether it only waits for the answer of the gateway, to close the WebSocket. */
gboolean
tcp_link_is_parting (TcpLink *self)
{
  return tcp_timer_get (self->parting) >= 0;
}

/* Whether a WebSocket is needed. */
gboolean
tcp_link_has_use (TcpLink *self)
{
  return !self->closed && ((self->capacity == TCP_LINK_MANY && !self->draining) || tcp_session_wants_channel (self->session));
}

/* The session is lost, with the TCP connections that the gateway knew. A link for no further connections ends. */
static void
link_restart_session (TcpLink      *self,
                      const GError *error)
{
  if (self->services != NULL)
    tcp_services_lost (self->services);
  tcp_session_restart (self->session, error);
  if (!self->closed && !tcp_link_has_use (self) && tcp_session_is_idle (self->session))
    link_end (self, NULL);
}

/* Whether another attempt would end like this one. A multiplexed tunnel that was never connected has no session to
 * return to, and ends with its first attempt unless it must wait for its gateway. Later, a certificate may be refused
 * temporarily, on a network that requires a login. */
static gboolean
link_failure_is_final (TcpLink             *self,
                       const TcpDialResult *result)
{
  gboolean tls = g_error_matches (result->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  gboolean answered = (result->status >= 200 && result->status < 400) ||
                      g_error_matches (result->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);

  if (result->unsuitable || tcp_dial_status_is_final (result->status))
    return TRUE;
  if (self->was_connected)
    return FALSE;
  if (!self->settings->wait_for_gateway)
    return self->capacity == TCP_LINK_MANY || tls;
  /* The server that answers is not a gateway. */
  return result->untrusted || (self->capacity == TCP_LINK_MANY && answered);
}

static void
link_dial_failed (TcpLink       *self,
                  TcpDialResult *result)
{
  const TcpProtocolClass *protocol = tcp_session_get_protocol (self->session);

  /* The token may have been replaced meanwhile. */
  if (result->status == 401 && self->token_serial != tcp_dialer_get_token_serial (self->dialer))
    {
      link_dial (self);
      return;
    }
  if (result->status == 401 && link_ask_for_token (self, result->error))
    return;

  if (result->status == 410 && protocol != NULL && protocol->outlives_transport)
    {
      /* Only this session is gone. */
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           _("the session is lost: %s"), result->error->message);
      link_restart_session (self, error);
      link_name_session (self);
      if (tcp_link_has_use (self))
        link_dial (self);
      return;
    }

  if (link_failure_is_final (self, result))
    {
      link_end (self, g_steal_pointer (&result->error));
      return;
    }

  link_retry (self, result->error, result->retry_after);
}

/* The number of connections of a link */

static void
link_dismiss (TcpChannel *channel)
{
  tcp_channel_close (channel, TCP_CLOSE_NORMAL, NULL);
  tcp_channel_resume (channel);
}

/* The gateway supported many connections in the session, and does not any more. Existing ones are lost; the next client
 * begins with another link, about which nothing is known. */
static void
link_give_up_many (TcpLink *self)
{
  g_autoptr (GError) error = NULL;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                       _("the session with the gateway %s is lost: the gateway no longer carries many connections "
                         "in one session"),
                       self->display);
  if (tcp_session_get_channel (self->session) == NULL)
    tcp_session_abandon (self->session, error);
  self->capacity = TCP_LINK_ONE;
  link_set_state (self, TCP_TUNNEL_STATE_DISCONNECTED);
  tcp_link_close (self, error);
  tcp_timer_set (self->end, 0);
}

static void
link_decide (TcpLink  *self,
             gboolean  many)
{
  if (self->capacity == TCP_LINK_MANY && !many)
    {
      link_give_up_many (self);
      return;
    }
  if (self->capacity != TCP_LINK_UNDECIDED)
    return;

  self->capacity = many ? TCP_LINK_MANY : TCP_LINK_ONE;
  if (many)
    link_set_state (self, TCP_TUNNEL_STATE_CONNECTED);
  else
    tcp_session_stay_single (self->session);
  self->callbacks.decided (self, self->user_data);
}

/* Sets the protocol of the session. FALSE if the session cannot continue with it. */
static gboolean
link_agree (TcpLink       *self,
            TcpDialResult *result)
{
  gboolean tagged = self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED;
  const TcpProtocolClass *protocol = tagged ? &tcp_protocol_tagged : &tcp_protocol_raw;
  const TcpProtocolClass *before = tcp_session_get_protocol (self->session);

  if (self->settings->reverse)
    protocol = &tcp_protocol_reverse;
  if (result->resumable)
    protocol = &tcp_protocol_resumable;
  else if (!tagged && self->capacity == TCP_LINK_MANY)
    {
      link_dismiss (result->channel);
      link_give_up_many (self);
      return FALSE;
    }
  if (before != NULL && (before != protocol || tcp_session_is_over (self->session)))
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                           _("the session with the gateway %s is lost: it spoke %s, and is to go on in %s"),
                           self->display, before->name, protocol->name);
      link_restart_session (self, error);
      before = NULL;
    }
  if (!tcp_link_has_use (self))
    {
      link_dismiss (result->channel);
      return FALSE;
    }

  self->resumable = protocol->resumable;
  if (before == NULL)
    tcp_session_set_protocol (self->session, protocol);
  if (protocol == &tcp_protocol_raw)
    link_decide (self, FALSE);
  return TRUE;
}

/* The URL at which the session can be reached. */
static GUri *
link_make_uri (TcpLink *self)
{
  return self->route != NULL ? tcp_uri_add_query (self->uri, "route", self->route) : g_uri_ref (self->uri);
}

/* The TCP client has left before the answer of the gateway. */
static void
link_part (TcpLink       *self,
           TcpDialResult *result)
{
  if (result->channel != NULL && result->resumable)
    {
      link_dismiss (result->channel);
    }
  else if (result->channel != NULL)
    {
      tcp_session_set_foreign (self->session, result->foreign);
      tcp_channel_close (result->channel, tcp_session_get_reset_code (self->session), "the TCP client broke the connection");
      tcp_channel_resume (result->channel);
    }
  link_end (self, NULL);
}

static void
on_parting_timeout (gpointer user_data)
{
  link_end (user_data, NULL);
}

static void
on_sent (gpointer user_data)
{
  TcpLink *self = user_data;

  self->sent = TRUE;
}

static void
on_dialled (TcpDialResult *result,
            gpointer       user_data)
{
  TcpLink *self = user_data;

  g_clear_object (&self->dialling);
  if (tcp_link_is_parting (self))
    {
      link_part (self, result);
      return;
    }
  if (result->channel == NULL)
    {
      link_dial_failed (self, result);
      return;
    }

  if (self->was_connected)
    tcp_status_add (self->status, reconnects, 1);
  self->was_connected = TRUE;
  self->tokens_asked = 0;
  self->hasty_until = 0;
  self->connected_at = g_get_monotonic_time ();
  /* With other protocols the state of the peer's session is not known. */
  if (!result->resumable)
    {
      tcp_backoff_restart_count (&self->backoff);
      link_end_outage (self);
    }
  if (!link_agree (self, result))
    return;

  g_free (self->route);
  self->route = g_strdup (result->route);
  tcp_log_info (self->log, "connected to %s (%s)", self->display, tcp_session_get_protocol (self->session)->name);
  tcp_status_set (self->status, protocol, tcp_session_get_protocol (self->session)->name);
  link_check_connected (self);
  tcp_session_set_foreign (self->session, result->foreign);
  if (self->services != NULL)
    tcp_services_begin (self->services);
  /* The services may have ended the link. */
  if (self->closed)
    link_dismiss (result->channel);
  else
    tcp_session_attach (self->session, result->channel);
}

static void
link_dial (TcpLink *self)
{
  g_autoptr (GUri) uri = link_make_uri (self);

  link_stop_trying (self);
  link_set_state (self, TCP_TUNNEL_STATE_CONNECTING);
  self->dialling = g_cancellable_new ();
  self->sent = FALSE;
  self->token_serial = tcp_dialer_get_token_serial (self->dialer);
  tcp_dialer_dial (self->dialer, uri, self->dialling, on_sent, on_dialled, self);
}

/* Callbacks of the session */

/* If the gateway may not know that the session is over. It may still receive that on @channel, which is being
 * closed. */
static void
link_repeat_goodbye (TcpLink    *self,
                     TcpChannel *channel)
{
  g_autoptr (GUri) uri = link_make_uri (self);
  GQueue frames;

  tcp_session_take_goodbye (self->session, &frames);
  if (!g_queue_is_empty (&frames))
    tcp_farewells_add (self->farewells, uri, &frames, channel, self->patience);
}

static gboolean
link_is_steady (TcpLink *self)
{
  return g_get_monotonic_time () - self->connected_at >= STEADY_AFTER;
}

/* A link that accepts no more connections ends with its last one. */
static void
link_end_drained (TcpLink *self)
{
  if (tcp_session_get_channel (self->session) == NULL && !tcp_session_wants_channel (self->session))
    link_end (self, NULL);
}

static void
on_stream_connected (TcpSession *session,
                     TcpStream  *stream,
                     gpointer    user_data)
{
  TcpLink *self = user_data;

  self->callbacks.stream_connected (self, stream, self->user_data);
}

/* The gateway may have connected to its target already. In the protocol raw it would keep that connection for a client
 * that comes back, so the WebSocket is not given up, but closed once it is open. Other protocols connect to no target
 * before the client has sent a message. */
static gboolean
link_has_to_part (TcpLink *self)
{
  return self->capacity != TCP_LINK_MANY && !self->closed && self->dialling != NULL && self->sent &&
         tcp_session_get_protocol (self->session) == NULL &&
         self->settings->common.resumption != TCP_TUNNEL_RESUMPTION_REQUIRED;
}

static void
on_stream_closed (TcpSession   *session,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  TcpLink *self = user_data;

  if (session == self->session && link_has_to_part (self))
    tcp_timer_set (self->parting, g_get_monotonic_time () + PARTING_TIMEOUT);
  if (self->services != NULL)
    tcp_services_stream_closed (self->services, stream);
  self->callbacks.stream_closed (self, stream, error, self->user_data);
  if (session != self->session)
    return;
  if (self->draining)
    link_end_drained (self);
  if (self->capacity == TCP_LINK_MANY || self->closed)
    return;

  /* The end may not have been reported to the gateway yet. */
  if (!tcp_session_wants_channel (session) && !tcp_link_is_parting (self))
    link_stop_trying (self);
  link_set_state (self, TCP_TUNNEL_STATE_DISCONNECTED);
  if (tcp_session_get_channel (session) == NULL && !tcp_session_wants_channel (session) &&
      !tcp_link_is_parting (self))
    link_end (self, NULL);
}

/* The gateway does not accept a credential any more that it accepted before. The certificate may have been replaced; if
 * not, the answer to the next request has the reason. */
static void
link_renew (TcpLink      *self,
            const GError *error)
{
  if (link_is_steady (self))
    self->renewals = 0;
  self->renewals++;
  link_set_state (self, TCP_TUNNEL_STATE_RECONNECTING);
  if (self->renewals > link_get_max_tokens (self))
    link_end (self, g_error_copy (error));
  else if (self->settings->token == NULL || self->token_serial != tcp_dialer_get_token_serial (self->dialer))
    link_dial (self);
  else if (!link_ask_for_token (self, error))
    link_end (self, g_error_copy (error));
}

/* If a gateway is restarted now and then, the link reconnects at once. A gateway that reports a restart on every
 * WebSocket must not be connected to in a busy loop. */
static void
link_follow_restart (TcpLink      *self,
                     const GError *error)
{
  gint64 now = g_get_monotonic_time ();

  if (self->restarted_at == 0 || now - self->restarted_at >= STEADY_AFTER)
    {
      tcp_backoff_restart_count (&self->backoff);
      tcp_backoff_restart_delay (&self->backoff);
    }
  self->restarted_at = now;
  link_retry (self, error, -1);
}

static void
link_come_back (TcpLink      *self,
                const GError *error)
{
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED))
    link_renew (self, error);
  else
    link_follow_restart (self, error);
}

/* Whether the server connects each WebSocket to a TCP connection of its own: another WebSocket would not continue the
 * same connection. */
static gboolean
link_is_a_bridge (TcpLink *self)
{
  return self->settings->mode == TCP_TUNNEL_MODE_PARALLEL &&
         tcp_session_get_protocol (self->session) == &tcp_protocol_raw;
}

static void
on_channel_closed (TcpSession   *session,
                   const GError *error,
                   gpointer      user_data)
{
  TcpLink *self = user_data;
  const TcpProtocolClass *protocol = tcp_session_get_protocol (session);
  g_autoptr (GError) sent_away = g_steal_pointer (&self->sent_away);
  gboolean progress;

  if (self->closed)
    return;

  if (self->services != NULL && protocol != NULL && !protocol->resumable)
    tcp_services_lost (self->services);

  /* If the gateway requires another WebSocket, data that it sent before does not count as progress. */
  progress = tcp_session_take_progress (session) && sent_away == NULL;
  if (progress || link_is_steady (self))
    {
      tcp_backoff_restart_delay (&self->backoff);
      tcp_dialer_restart_failures (self->dialer);
    }
  if (self->draining && !tcp_session_wants_channel (session))
    {
      link_end (self, NULL);
      return;
    }
  if (link_is_a_bridge (self) && tcp_session_wants_channel (session))
    {
      tcp_session_abandon (session, error);
      if (!self->closed && tcp_session_is_idle (session))
        link_end (self, NULL);
      return;
    }
  if (self->capacity == TCP_LINK_MANY || tcp_session_wants_channel (session))
    {
      if (self->hello_read)
        link_begin_outage (self, self->patience);
      if (tcp_session_is_over (session))
        {
          link_repeat_goodbye (self, NULL);
          link_restart_session (self, error);
          link_name_session (self);
        }
      if (!tcp_link_has_use (self))
        return;
      if (sent_away != NULL)
        link_come_back (self, sent_away);
      else
        link_retry (self, error, -1);
      return;
    }

  tcp_log_debug (self->log, "a connection to %s was closed: %s", self->display, error->message);
  link_set_state (self, TCP_TUNNEL_STATE_DISCONNECTED);
  if (tcp_session_is_idle (session))
    link_end (self, NULL);
}

static void
on_hello (TcpSession *session,
          gpointer    user_data)
{
  TcpLink *self = user_data;

  tcp_backoff_restart_count (&self->backoff);
  link_end_outage (self);
  self->hello_read = TRUE;
  self->patience = tcp_session_get_peer_timeout (session);
  link_decide (self, tcp_session_takes_many (session));
}

static void
on_draining (TcpSession *session,
             gpointer    user_data)
{
  TcpLink *self = user_data;

  if (self->draining || self->closed || session != self->session)
    return;

  self->draining = TRUE;
  self->callbacks.draining (self, self->user_data);
}

static void
on_sent_away (TcpSession   *session,
              const GError *error,
              gpointer      user_data)
{
  TcpLink *self = user_data;

  g_clear_error (&self->sent_away);
  self->sent_away = g_error_copy (error);
}

/* Services */

static void
on_arrived (TcpSession *session,
            TcpStream  *stream,
            guint32     listener,
            const char *from,
            gpointer    user_data)
{
  TcpLink *self = user_data;

  tcp_services_arrived (self->services, stream, listener, from);
}

static void
on_listening (TcpSession *session,
              guint32     listener,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  TcpLink *self = user_data;

  tcp_services_listening (self->services, listener, host, port);
}

static void
on_unlistened (TcpSession   *session,
               guint32       listener,
               TcpResetCode  code,
               const GError *error,
               gpointer      user_data)
{
  TcpLink *self = user_data;

  if (self->closed)
    return;

  tcp_services_unlistened (self->services, listener, code, error);
  /* If the session continues, the gateway must listen again. */
  if (!self->closed && !self->draining && self->state == TCP_TUNNEL_STATE_CONNECTED &&
      !tcp_services_are_listening (self->services))
    link_set_state (self, TCP_TUNNEL_STATE_RECONNECTING);
}

static void
on_service_listening (TcpServices *services,
                      const char  *host,
                      guint16      port,
                      gpointer     user_data)
{
  TcpLink *self = user_data;

  self->callbacks.listening (self, host, port, self->user_data);
  if (tcp_session_get_channel (self->session) != NULL)
    link_check_connected (self);
}

static void
on_service_failed (TcpServices  *services,
                   const GError *error,
                   gpointer      user_data)
{
  TcpLink *self = user_data;

  if (!self->draining)
    link_end (self, g_error_copy (error));
}

static void
on_service_stream_opened (TcpServices    *services,
                          TcpStream      *stream,
                          GSocketAddress *from,
                          gpointer        user_data)
{
  TcpLink *self = user_data;

  self->callbacks.stream_arrived (self, stream, from, self->user_data);
}

static const TcpServicesCallbacks services_callbacks = {
  .listening = on_service_listening,
  .failed = on_service_failed,
  .stream_opened = on_service_stream_opened,
};

static const TcpSessionCallbacks session_callbacks = {
  .connected = on_stream_connected,
  .arrived = on_arrived,
  .listening = on_listening,
  .unlistened = on_unlistened,
  .stream_closed = on_stream_closed,
  .channel_closed = on_channel_closed,
  .hello = on_hello,
  .draining = on_draining,
  .sent_away = on_sent_away,
};

/* Generates the id of the session at the gateway, for all its WebSockets. */
static void
link_name_session (TcpLink *self)
{
  g_autofree char *session_id = g_uuid_string_random ();

  g_clear_pointer (&self->route, g_free);
  g_clear_pointer (&self->uri, g_uri_unref);
  if (self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED && self->settings->common.resumption == TCP_TUNNEL_RESUMPTION_OFF)
    self->uri = g_uri_ref (self->settings->uri);
  else
    self->uri = tcp_uri_add_query (self->settings->uri, "sessionId", session_id);
}

/* The first WebSocket negotiates the protocol. */
static void
link_make_session (TcpLink *self)
{
  const TcpTunnelSettings *settings = self->settings;
  g_autofree char *peer = g_strdup_printf ("the gateway %s", settings->display);
  TcpSessionOptions options = {
    .client = TRUE,
    .single = settings->mode != TCP_TUNNEL_MODE_MULTIPLEXED,
    .lifts_single = settings->mode == TCP_TUNNEL_MODE_AUTO,
    .max_buffered_bytes = settings->max_buffered_bytes,
    .max_unacknowledged_bytes = settings->common.max_unacknowledged_bytes,
    .max_window_bytes = settings->common.max_window_bytes,
    .max_streams = self->capacity != TCP_LINK_ONE ? settings->common.max_connections : 1,
    .listens = settings->reverses != NULL && *settings->reverses != NULL,
    .max_pending_bytes = settings->max_pending_bytes,
    .hello_timeout = settings->common.connect_timeout,
    .reset_on_loss = settings->common.reset_on_loss || settings->mode == TCP_TUNNEL_MODE_PARALLEL,
    .peer = peer,
    .log = self->log,
    .warnings = self->warnings,
    .status = self->status,
  };

  self->session = tcp_session_new (&options, &session_callbacks, self);
  if (options.listens)
    self->services = tcp_services_new (settings, self->session, self->log, &services_callbacks, self);
}

/* Creation and destruction */

TcpLink *
tcp_link_new (const TcpTunnelSettings *settings,
              TcpDialer               *dialer,
              TcpFarewells            *farewells,
              TcpLog                  *log,
              TcpLogLimit             *warnings,
              TcpStatus               *status,
              const TcpLinkCallbacks  *callbacks,
              gpointer                 user_data)
{
  TcpLink *self = g_new0 (TcpLink, 1);

  self->settings = settings;
  if (settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    self->capacity = TCP_LINK_MANY;
  else if (settings->mode == TCP_TUNNEL_MODE_AUTO)
    self->capacity = TCP_LINK_UNDECIDED;
  else
    self->capacity = TCP_LINK_ONE;
  self->asks_for_token = settings->asks_for_token;
  self->display = g_strdup (settings->display);
  self->dialer = dialer;
  self->farewells = farewells;
  self->log = tcp_log_ref (log);
  self->warnings = warnings;
  self->status = tcp_status_ref (status);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->state = TCP_TUNNEL_STATE_DISCONNECTED;
  tcp_backoff_init (&self->backoff, settings->reconnect_delay, settings->max_reconnect_delay,
                    settings->max_reconnect_attempts);
  self->parting = tcp_timer_new (on_parting_timeout, self);
  self->retry = tcp_timer_new (on_retry, self);
  self->expiry = tcp_timer_new (on_expired, self);
  self->token_timeout = tcp_timer_new (on_token_timeout, self);
  self->end = tcp_timer_new (on_end, self);
  link_make_session (self);
  link_name_session (self);

  return self;
}

/* Called after tcp_link_close (), or when the link has ended. */
void
tcp_link_free (TcpLink *self)
{
  g_assert (self->closed);

  tcp_timer_clear (&self->parting);
  tcp_timer_clear (&self->retry);
  tcp_timer_clear (&self->expiry);
  tcp_timer_clear (&self->token_timeout);
  tcp_timer_clear (&self->end);
  g_clear_pointer (&self->services, tcp_services_free);
  tcp_session_unref (self->session);
  g_uri_unref (self->uri);
  g_free (self->route);
  g_free (self->display);
  g_clear_error (&self->failure);
  g_clear_error (&self->refusal);
  g_clear_error (&self->sent_away);
  g_clear_error (&self->end_error);
  tcp_log_unref (self->log);
  tcp_status_unref (self->status);
  g_free (self);
}

/* Begins to connect. */
void
tcp_link_start (TcpLink *self)
{
  link_dial (self);
}

/* The same for a link that is not multiplexed, for its first stream. */
TcpStream *
tcp_link_start_for (TcpLink   *self,
                    TcpOpener *opener)
{
  TcpStream *stream = tcp_session_open (self->session, opener->target, opener->connection);

  link_dial (self);
  return stream;
}

/* Begins to connect in place of a link that drains. If the first attempt fails, it is not the last one; and being sent
 * on repeatedly must not cause a busy loop. */
void
tcp_link_succeed (TcpLink *self,
                  TcpLink *former)
{
  g_autoptr (GError) error = NULL;

  self->was_connected = TRUE;
  self->resumable = TRUE;
  link_begin_outage (self, former->patience);
  if (link_is_steady (former))
    {
      link_dial (self);
      return;
    }

  self->backoff = former->backoff;
  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE, _("the gateway %s takes no new connections"),
                       self->display);
  link_retry (self, error, -1);
}

TcpSession *
tcp_link_get_session (TcpLink *self)
{
  return self->session;
}

TcpLinkCapacity
tcp_link_get_capacity (TcpLink *self)
{
  return self->capacity;
}

/* Whether the gateway accepts no new connections on it. */
gboolean
tcp_link_is_draining (TcpLink *self)
{
  return self->draining;
}

/* The link only serves its first connection, even if the gateway supports many. */
void
tcp_link_stay_single (TcpLink *self)
{
  g_assert (self->capacity == TCP_LINK_UNDECIDED);

  self->capacity = TCP_LINK_ONE;
  tcp_session_stay_single (self->session);
}

TcpTunnelState
tcp_link_get_state (TcpLink *self)
{
  return self->state;
}

gboolean
tcp_link_waits_for_token (TcpLink *self)
{
  return self->waiting_for_token;
}

/* Opens a stream for a TCP client that can be served now, or may wait; NULL if neither is possible. */
TcpStream *
tcp_link_open (TcpLink    *self,
               TcpOpener  *opener,
               GError    **error)
{
  TcpChannel *channel = tcp_session_get_channel (self->session);
  TcpStream *stream;

  /* The next session is not made before the WebSocket of the former one has ended. */
  if (channel != NULL && tcp_session_is_over (self->session))
    {
      g_autoptr (GError) ended = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                                              _("the gateway %s has ended the session"), self->display);

      tcp_channel_abort (channel, ended);
    }
  if (self->state != TCP_TUNNEL_STATE_CONNECTED && !self->resumable)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                           _("the tunnel is not connected to the gateway"));
      return NULL;
    }
  if (opener->target != NULL && !self->resumable)
    {
      g_propagate_error (error, tcp_session_target_error (self->session, opener->target));
      return NULL;
    }
  stream = tcp_session_open (self->session, opener->target, opener->connection);
  if (stream == NULL)
    g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                         self->state == TCP_TUNNEL_STATE_CONNECTED
                           ? _("there are too many connections (see the property max-connections)")
                           : _("the tunnel is not connected to the gateway"));
  return stream;
}

/* Counted here, since a token that was set meanwhile is tried without asking. The application is asked for each link
 * that waits, but each link waits for one token. */
void
tcp_link_await_token (TcpLink *self)
{
  if (!self->waiting_for_token)
    return;

  if (!self->asked)
    self->tokens_asked++;
  self->asked = TRUE;
  tcp_timer_set (self->token_timeout, g_get_monotonic_time () + TOKEN_TIMEOUT);
}

void
tcp_link_set_token (TcpLink    *self,
                    const char *token)
{
  if (!self->waiting_for_token)
    return;

  if (token == NULL)
    link_end (self, g_steal_pointer (&self->refusal));
  else
    link_dial (self);
}

static guint
link_get_probe_timeout (TcpLink    *self,
                        TcpChannel *channel)
{
  guint timeout = tcp_channel_get_probe_timeout (channel);

  if (!self->resumable)
    return self->settings->common.keepalive_timeout;
  if (self->settings->common.keepalive_timeout > 0)
    timeout = MIN (timeout, self->settings->common.keepalive_timeout);
  return timeout;
}

/* A connected WebSocket may be dead; and failures on another network are irrelevant for this one. */
void
tcp_link_network_changed (TcpLink *self)
{
  TcpChannel *channel = tcp_session_get_channel (self->session);

  tcp_backoff_restart_count (&self->backoff);
  tcp_backoff_restart_delay (&self->backoff);
  tcp_dialer_restart_failures (self->dialer);
  if (channel != NULL)
    {
      guint timeout = link_get_probe_timeout (self, channel);

      /* The kernel may need as long again to detect the loss. */
      self->hasty_until = g_get_monotonic_time () + 2 * timeout * G_TIME_SPAN_MILLISECOND + HASTE;
      tcp_channel_probe (channel, timeout);
      return;
    }

  if (self->dialling != NULL)
    self->hasty_until = G_MAXINT64;
  if (tcp_timer_get (self->retry) >= 0)
    tcp_timer_set (self->retry, self->not_before);
}

/* Whether the gateway, or a proxy in front of it, refuses this tunnel, so that a goodbye would be refused as well. */
static gboolean
is_refused (const GError *error)
{
  return g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED) ||
         g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_REJECTED);
}

/* Ends the link; the callback ended is not called any more. */
void
tcp_link_close (TcpLink      *self,
                const GError *error)
{
  g_autoptr (GError) closed = NULL;
  g_autoptr (TcpChannel) channel = NULL;
  gboolean busy = tcp_session_get_protocol (self->session) == &tcp_protocol_raw &&
                  tcp_session_get_n_streams (self->session) > 0;

  if (self->closed)
    return;

  closed = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, _("the tunnel was closed"));
  self->closed = TRUE;
  link_stop_trying (self);
  link_end_outage (self);
  channel = tcp_session_get_channel (self->session);
  if (channel != NULL)
    tcp_channel_ref (channel);
  /* A raw connection that is cut off must not look complete at the other end. */
  tcp_session_close (self->session, busy ? tcp_session_get_reset_code (self->session) : TCP_CLOSE_NORMAL,
                     "the tunnel was closed", error != NULL ? error : closed);
  if (!is_refused (error))
    link_repeat_goodbye (self, channel);
}
