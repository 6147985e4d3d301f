/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/links.h"

#include "base/i18n.h"
#include "io/reactor.h"
#include "tunnel/farewell.h"

/* The limit on links that are left although their gateway accepts no new connections on them. Each may use as much
 * memory as max-unacknowledged-bytes, and the gateway determines how many there are. */
#define MAX_DRAINING 16

#define TOO_MANY _("there are too many connections (see the property max-connections)")

struct _TcpLinks
{
  const TcpTunnelSettings *settings; /* those of the engine */
  TcpDialer *dialer;
  TcpFarewells *farewells;
  TcpLog *log;
  TcpLogLimit *warnings; /* that the gateway, or its clients, can cause */
  TcpStatus *status;
  TcpLinksCallbacks callbacks;
  gpointer user_data;

  GPtrArray *all;      /* of TcpLink, oldest first */
  TcpLink *link;       /* the link for all clients, or for the current one if they are served one at a time */
  TcpStream *stream;   /* in that case, the stream of that client */
  GQueue waiting;      /* of TcpOpener, until it is known which link serves them */
  TcpTimer *placing;   /* assigns the waiting openers */
  gboolean warned;     /* about serving no more than one at a time */
  guint asked_serial;  /* of the token for which the application was asked for another */
  gboolean awaited;    /* the application will set it */
  gboolean closed;
};

static TcpLink *links_add (TcpLinks *self);

/* The state of the most advanced link. */
static TcpTunnelState
links_get_state (TcpLinks *self)
{
  static const TcpTunnelState order[] = { TCP_TUNNEL_STATE_CONNECTED, TCP_TUNNEL_STATE_CONNECTING,
                                          TCP_TUNNEL_STATE_RECONNECTING };

  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    for (guint j = 0; j < self->all->len; j++)
      if (tcp_link_get_state (self->all->pdata[j]) == order[i])
        return order[i];

  return TCP_TUNNEL_STATE_DISCONNECTED;
}

static void
links_report_state (TcpLinks *self)
{
  self->callbacks.state_changed (links_get_state (self), self->user_data);
}

/* Whether several links may have clients at the same time. */
static gboolean
links_are_many (TcpLinks *self)
{
  return self->settings->mode == TCP_TUNNEL_MODE_PARALLEL || self->settings->mode == TCP_TUNNEL_MODE_AUTO;
}

/* Whether the state and the attempts of this link are those of the tunnel. */
static gboolean
links_shows (TcpLinks *self,
             TcpLink  *link)
{
  return !self->closed && (link == self->link || links_are_many (self));
}

/* Callbacks of the links */

static void
on_state_changed (TcpLink        *link,
                  TcpTunnelState  state,
                  gpointer        user_data)
{
  TcpLinks *self = user_data;

  if (!links_shows (self, link))
    return;
  if (links_are_many (self))
    links_report_state (self);
  else
    self->callbacks.state_changed (state, self->user_data);
}

static void
on_retry_scheduled (TcpLink      *link,
                    const GError *error,
                    guint         attempt,
                    guint         delay,
                    gpointer      user_data)
{
  TcpLinks *self = user_data;

  if (links_shows (self, link))
    self->callbacks.retry_scheduled (error, attempt, delay, self->user_data);
}

static void
links_tell_connected (TcpStream *stream)
{
  TcpOpener *opener = tcp_stream_get_opener (stream);

  if (opener != NULL && opener->class->connected != NULL)
    opener->class->connected (opener, stream);
}

static void
on_stream_connected (TcpLink   *link,
                     TcpStream *stream,
                     gpointer   user_data)
{
  links_tell_connected (stream);
}

static void
on_stream_arrived (TcpLink        *link,
                   TcpStream      *stream,
                   GSocketAddress *from,
                   gpointer        user_data)
{
  TcpLinks *self = user_data;

  self->callbacks.stream_arrived (stream, from, self->user_data);
}

static void
on_listening (TcpLink    *link,
              const char *host,
              guint16     port,
              gpointer    user_data)
{
  TcpLinks *self = user_data;

  if (!self->closed && link == self->link)
    self->callbacks.listening (host, port, self->user_data);
}

/* Openers wait for a link whose own client has left. It may have to report that to the gateway, however long that
 * takes, so another link serves them. */
static void
links_leave_behind (TcpLinks *self,
                    TcpLink  *link)
{
  if (link != self->link || tcp_link_get_capacity (link) != TCP_LINK_UNDECIDED || !tcp_link_is_leftover (link) ||
      (!tcp_link_has_use (link) && !tcp_link_is_parting (link)))
    return;

  tcp_link_stay_single (link);
  self->link = NULL;
  tcp_timer_set (self->placing, 0);
}

static void
on_stream_closed (TcpLink      *link,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  TcpLinks *self = user_data;
  TcpOpener *opener = tcp_stream_get_opener (stream);

  self->callbacks.stream_closed (stream, error, self->user_data);
  tcp_stream_set_opener (stream, NULL);
  if (opener != NULL)
    opener->class->closed (opener, stream, error);
  if (stream == self->stream)
    g_clear_pointer (&self->stream, tcp_stream_unref);
  if (!self->closed)
    links_leave_behind (self, link);
}

static void
on_token_required (TcpLink  *link,
                   guint     serial,
                   gpointer  user_data)
{
  TcpLinks *self = user_data;
  gboolean others = FALSE;

  for (guint i = 0; i < self->all->len && !others; i++)
    others = self->all->pdata[i] != link && tcp_link_waits_for_token (self->all->pdata[i]);

  /* One question is enough for all links. */
  if (others && serial == self->asked_serial)
    {
      if (self->awaited)
        tcp_link_await_token (link);
      return;
    }

  self->asked_serial = serial;
  self->awaited = FALSE;
  self->callbacks.token_required (serial, self->user_data);
}

static void
on_decided (TcpLink  *link,
            gpointer  user_data)
{
  TcpLinks *self = user_data;
  const TcpProtocolClass *protocol = tcp_session_get_protocol (tcp_link_get_session (link));

  tcp_timer_set (self->placing, 0);
  if (tcp_link_get_capacity (link) == TCP_LINK_MANY)
    g_clear_pointer (&self->stream, tcp_stream_unref);
  if (tcp_link_get_capacity (link) == TCP_LINK_MANY || self->warned)
    return;

  self->warned = TRUE;
  tcp_log_warn (self->log,
                "the gateway %s does not carry many TCP connections in one session: the tunnel serves one TCP client at a "
                "time%s; with --mode parallel (the property mode) it serves many, if the gateway does",
                self->settings->display, protocol->resumable ? "" : ", and may lose bytes when the WebSocket breaks");
}

/* Whether a link has work left, even if that is only to finish its session. */
static gboolean
links_have_use (TcpLinks *self)
{
  for (guint i = 0; i < self->all->len; i++)
    if (tcp_link_has_use (self->all->pdata[i]))
      return TRUE;
  return FALSE;
}

/* The error of one link ends the tunnel as well, unless other links would be lost. A multiplexed tunnel has no other
 * link to continue with. */
static void
on_ended (TcpLink      *link,
          const GError *error,
          gpointer      user_data)
{
  TcpLinks *self = user_data;
  g_autoptr (GError) why = error != NULL ? g_error_copy (error) : NULL;

  if (self->link == link)
    self->link = NULL;
  g_ptr_array_remove (self->all, link);
  tcp_timer_set (self->placing, 0);
  if (links_are_many (self))
    links_report_state (self);
  if (why == NULL)
    return;

  if (self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED || !links_have_use (self))
    self->callbacks.failed (why, self->user_data);
  else
    tcp_status_set_error (self->status, why);
}

/* Returns a link other than @last that only waits for acknowledgements, otherwise the oldest; NULL if there are not too
 * many. */
static TcpLink *
links_choose_draining (TcpLinks *self,
                       TcpLink  *last)
{
  TcpLink *oldest = NULL;
  TcpLink *done = NULL;
  guint count = 1;

  for (guint i = 0; i < self->all->len; i++)
    {
      TcpLink *link = self->all->pdata[i];

      if (link == last || !tcp_link_is_draining (link))
        continue;
      count++;
      if (oldest == NULL)
        oldest = link;
      if (done == NULL && tcp_session_get_n_streams (tcp_link_get_session (link)) == 0)
        done = link;
    }
  if (count <= MAX_DRAINING)
    return NULL;
  return done != NULL ? done : oldest;
}

static void
links_limit_draining (TcpLinks *self,
                      TcpLink  *last)
{
  TcpLink *link = links_choose_draining (self, last);
  g_autoptr (GError) error = NULL;

  if (link == NULL)
    return;

  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                       _("the gateway %s takes no new connections in %u sessions that are not over yet, one more than "
                         "there may be: one of them was given up"),
                       self->settings->display, MAX_DRAINING + 1);
  tcp_log_warn (self->log, "%s", error->message);
  tcp_link_close (link, error);
  g_ptr_array_remove (self->all, link);
}

/* Existing connections continue, while another link serves new ones: at once, or with the next client. A link for a
 * single connection has no new ones. */
static void
on_draining (TcpLink  *link,
             gpointer  user_data)
{
  TcpLinks *self = user_data;

  if (self->closed || link != self->link || tcp_link_get_capacity (link) != TCP_LINK_MANY)
    return;

  links_limit_draining (self, link);
  if (self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    tcp_link_succeed (links_add (self), link);
  else
    self->link = NULL;
}

static const TcpLinkCallbacks link_callbacks = {
  .state_changed = on_state_changed,
  .retry_scheduled = on_retry_scheduled,
  .decided = on_decided,
  .stream_connected = on_stream_connected,
  .stream_arrived = on_stream_arrived,
  .listening = on_listening,
  .stream_closed = on_stream_closed,
  .draining = on_draining,
  .token_required = on_token_required,
  .ended = on_ended,
};

static TcpLink *
links_add (TcpLinks *self)
{
  TcpLink *link = tcp_link_new (self->settings, self->dialer, self->farewells, self->log, self->warnings, self->status, &link_callbacks,
                                self);

  g_ptr_array_add (self->all, link);
  self->link = link;
  return link;
}

/* TCP clients */

static TcpStream *
links_serve_alone (TcpLinks   *self,
                   TcpOpener  *opener,
                   GError    **error)
{
  /* A client that has closed its side is about to leave: its data is still delivered, while the next client is
   * served. */
  if (self->stream != NULL && !tcp_stream_peer_has_left (self->stream))
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                           self->settings->mode == TCP_TUNNEL_MODE_SINGLETON
                             ? _("another is connected, and a tunnel in singleton mode serves one at a time; with "
                                 "--mode auto (the property mode) it serves many, if the gateway does")
                             : _("another is connected, and the gateway carries one in a session; with --mode parallel "
                                 "(the property mode) the tunnel serves many, if the gateway does"));
      return NULL;
    }
  if (self->all->len >= self->settings->common.max_connections)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                           _("the data of too many former connections is still being delivered"));
      return NULL;
    }

  g_clear_pointer (&self->stream, tcp_stream_unref);
  self->stream = tcp_stream_ref (tcp_link_start_for (links_add (self), opener));
  return self->stream;
}

static TcpStream *
links_serve_together (TcpLinks   *self,
                      TcpOpener  *opener,
                      GError    **error)
{
  if (self->link != NULL)
    return tcp_link_open (self->link, opener, error);

  g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE,
                       _("the tunnel is not connected to the gateway"));
  return NULL;
}

static TcpStream *
links_serve_in_parallel (TcpLinks   *self,
                         TcpOpener  *opener,
                         GError    **error)
{
  guint max = self->settings->common.max_connections;
  guint n = 0;

  for (guint i = 0; i < self->all->len; i++)
    n += tcp_session_get_n_streams (tcp_link_get_session (self->all->pdata[i]));
  /* The same number of links again may have data left to deliver. */
  if (n < max && self->all->len / 2 < max)
    return tcp_link_start_for (links_add (self), opener);

  g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, TOO_MANY);
  return NULL;
}

/* The client waits until more is known. Its data is not read. */
static gboolean
links_has_to_wait (TcpLinks *self)
{
  return self->link != NULL && tcp_link_get_capacity (self->link) == TCP_LINK_UNDECIDED;
}

static TcpStream *
links_open (TcpLinks   *self,
            TcpOpener  *opener,
            GError    **error)
{
  if (self->settings->mode == TCP_TUNNEL_MODE_PARALLEL)
    return links_serve_in_parallel (self, opener, error);
  if (self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED ||
      (self->link != NULL && tcp_link_get_capacity (self->link) == TCP_LINK_MANY))
    return links_serve_together (self, opener, error);
  if (!links_has_to_wait (self))
    return links_serve_alone (self, opener, error);

  g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, TOO_MANY);
  return NULL;
}

static void
links_tell_opened (TcpLinks  *self,
                   TcpOpener *opener,
                   TcpStream *stream)
{
  g_autoptr (TcpStream) kept G_GNUC_UNUSED = tcp_stream_ref (stream);

  tcp_stream_set_opener (stream, opener);
  self->callbacks.stream_opened (stream, self->user_data);
  if (opener->class->opened != NULL)
    opener->class->opened (opener, stream);
  if (tcp_stream_is_connected (stream))
    links_tell_connected (stream);
}

/* Passes it to the right link. */
void
tcp_links_serve (TcpLinks  *self,
                 TcpOpener *opener)
{
  g_autoptr (GError) error = NULL;
  TcpStream *stream;

  if (links_has_to_wait (self) && self->waiting.length + 1 < self->settings->common.max_connections)
    {
      g_queue_push_tail (&self->waiting, opener);
      return;
    }

  stream = links_open (self, opener, &error);
  if (stream != NULL)
    links_tell_opened (self, opener, stream);
  else
    opener->class->closed (opener, NULL, error);
}

static void
on_placing (gpointer user_data)
{
  TcpLinks *self = user_data;
  GQueue waiting = self->waiting;
  TcpOpener *opener;

  g_queue_init (&self->waiting);
  while ((opener = g_queue_pop_head (&waiting)) != NULL)
    tcp_links_serve (self, opener);
}

/* Creation and destruction */

/* Called on the I/O thread. @settings must outlive the object. */
TcpLinks *
tcp_links_new (const TcpTunnelSettings *settings,
               TcpChannelGroup         *channels,
               TcpLog                  *log,
               TcpStatus               *status,
               const TcpLinksCallbacks *callbacks,
               gpointer                 user_data)
{
  TcpLinks *self = g_new0 (TcpLinks, 1);

  self->settings = settings;
  self->dialer = tcp_dialer_new (settings, log, status, channels);
  self->farewells = tcp_farewells_new (self->dialer, channels, log);
  self->log = tcp_log_ref (log);
  self->warnings = tcp_log_limit_new (log, TCP_TUNNEL_LOG_LEVEL_WARN);
  self->status = tcp_status_ref (status);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->all = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_link_free);
  self->placing = tcp_timer_new (on_placing, self);

  return self;
}

/* For log messages about their connections. */
TcpLogLimit *
tcp_links_get_warnings (TcpLinks *self)
{
  return self->warnings;
}

/* Called after tcp_links_close (), when the channel group is empty: until then goodbyes are sent. */
void
tcp_links_free (TcpLinks *self)
{
  g_assert (self->closed);

  tcp_timer_clear (&self->placing);
  g_ptr_array_unref (self->all);
  tcp_farewells_free (self->farewells);
  tcp_dialer_free (self->dialer);
  tcp_status_unref (self->status);
  tcp_log_limit_free (self->warnings);
  tcp_log_unref (self->log);
  g_free (self);
}

/* Connects, unless that waits for a TCP client. */
void
tcp_links_start (TcpLinks *self)
{
  if (self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    tcp_link_start (links_add (self));
}

void
tcp_links_await_token (TcpLinks *self)
{
  self->awaited = TRUE;
  for (guint i = 0; i < self->all->len; i++)
    tcp_link_await_token (self->all->pdata[i]);
}

/* @token may be NULL for none. */
void
tcp_links_set_token (TcpLinks   *self,
                     const char *token,
                     guint       serial)
{
  if (token != NULL)
    tcp_dialer_set_token (self->dialer, token, serial);
  for (guint i = 0; i < self->all->len; i++)
    tcp_link_set_token (self->all->pdata[i], token);
}

/* NULL for none. */
void
tcp_links_set_certificate (TcpLinks        *self,
                           GTlsCertificate *certificate)
{
  tcp_dialer_set_certificate (self->dialer, certificate);
}

void
tcp_links_network_changed (TcpLinks *self)
{
  for (guint i = 0; i < self->all->len; i++)
    tcp_link_network_changed (self->all->pdata[i]);
}

static void
links_close_waiting (TcpLinks     *self,
                     const GError *error)
{
  g_autoptr (GError) closed = NULL;
  TcpOpener *opener;

  closed = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, _("the tunnel was closed"));
  while ((opener = g_queue_pop_head (&self->waiting)) != NULL)
    opener->class->closed (opener, NULL, error != NULL ? error : closed);
}

/* Ends every connection. */
void
tcp_links_close (TcpLinks     *self,
                 const GError *error)
{
  self->closed = TRUE;
  for (guint i = 0; i < self->all->len; i++)
    tcp_link_close (self->all->pdata[i], error);
  g_ptr_array_set_size (self->all, 0);
  self->link = NULL;
  g_clear_pointer (&self->stream, tcp_stream_unref);
  links_close_waiting (self, error);
  tcp_timer_set (self->placing, -1);
}
