/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/links.h"

#include "tunnel/farewell.h"

/* How many links may be left whose gateway takes no new connections on them. Each may hold as much as
 * max-unacknowledged-bytes, and it is the gateway that decides how many there are. */
#define MAX_DRAINING 16

struct _TcpLinks
{
  const TcpTunnelSettings *settings; /* the engine's */
  TcpDialer *dialer;
  TcpFarewells *farewells;
  TcpLog *log;
  TcpStatus *status;
  TcpLinksCallbacks callbacks;
  gpointer user_data;

  GPtrArray *all;    /* of TcpLink, the oldest first */
  TcpLink *link;     /* multiplexed: the one; singleton: that of the present client */
  TcpStream *stream; /* singleton: the present client */
  gboolean closed;
};

static TcpLink *links_add (TcpLinks *self);

/* What the links say */

static void
on_state_changed (TcpLink        *link,
                  TcpTunnelState  state,
                  gpointer        user_data)
{
  TcpLinks *self = user_data;

  if (!self->closed && link == self->link)
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

  if (!self->closed && link == self->link)
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
}

static void
on_token_required (TcpLink  *link,
                   guint     serial,
                   gpointer  user_data)
{
  TcpLinks *self = user_data;

  self->callbacks.token_required (serial, self->user_data);
}

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
  if (why != NULL)
    self->callbacks.failed (why, self->user_data);
}

/* One that has only to hear that all arrived, else the oldest. */
static TcpLink *
links_choose_draining (TcpLinks *self)
{
  for (guint i = 0; i < MAX_DRAINING; i++)
    if (tcp_session_get_n_streams (tcp_link_get_session (self->all->pdata[i])) == 0)
      return self->all->pdata[i];
  return self->all->pdata[0];
}

static void
links_limit_draining (TcpLinks *self)
{
  TcpLink *link;
  g_autoptr (GError) error = NULL;

  if (self->all->len <= MAX_DRAINING)
    return;

  link = links_choose_draining (self);
  error = g_error_new (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                       "the gateway %s takes no new connections in %u sessions that are not over yet, one more than "
                       "there may be: one of them was given up",
                       self->settings->display, MAX_DRAINING + 1);
  tcp_log_warn (self->log, "%s", error->message);
  tcp_link_close (link, error);
  g_ptr_array_remove (self->all, link);
}

/* Its connections go on, while another link is there for those to come. A singleton
 * link has none to come. */
static void
on_draining (TcpLink  *link,
             gpointer  user_data)
{
  TcpLinks *self = user_data;

  if (self->closed || link != self->link || self->settings->mode == TCP_TUNNEL_MODE_SINGLETON)
    return;

  links_limit_draining (self);
  tcp_link_succeed (links_add (self), link);
}

static const TcpLinkCallbacks link_callbacks = {
  .state_changed = on_state_changed,
  .retry_scheduled = on_retry_scheduled,
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
  TcpLink *link = tcp_link_new (self->settings, self->dialer, self->farewells, self->log, self->status, &link_callbacks,
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
  /* One that has closed its side is on its way out: what it sent is still delivered,
   * while the next is served. */
  if (self->stream != NULL && !tcp_stream_peer_has_left (self->stream))
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                           "another is connected, and a tunnel in singleton mode serves one at a time; "
                           "with --mode multiplexed (the property mode) it serves many");
      return NULL;
    }
  if (self->all->len >= self->settings->common.max_connections)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                           "too many former ones are still being delivered");
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
                       "the tunnel is not connected to the gateway");
  return NULL;
}

/* Hands it to the right link. */
void
tcp_links_serve (TcpLinks  *self,
                 TcpOpener *opener)
{
  g_autoptr (GError) error = NULL;
  TcpStream *stream;

  if (self->settings->mode == TCP_TUNNEL_MODE_SINGLETON)
    stream = links_serve_alone (self, opener, &error);
  else
    stream = links_serve_together (self, opener, &error);
  if (stream == NULL)
    {
      opener->class->closed (opener, NULL, error);
      return;
    }

  tcp_stream_set_opener (stream, opener);
  self->callbacks.stream_opened (stream, self->user_data);
  if (tcp_stream_is_connected (stream))
    links_tell_connected (stream);
}

/* Life */

/* On the I/O thread. @settings have to outlive it. */
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
  self->status = tcp_status_ref (status);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->all = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_link_free);

  return self;
}

/* After tcp_links_close(), when the channel group is empty: until then goodbyes are said. */
void
tcp_links_free (TcpLinks *self)
{
  g_assert (self->closed);

  g_ptr_array_unref (self->all);
  tcp_farewells_free (self->farewells);
  tcp_dialer_free (self->dialer);
  tcp_status_unref (self->status);
  tcp_log_unref (self->log);
  g_free (self);
}

/* Dials, where that does not wait for a TCP client. */
void
tcp_links_start (TcpLinks *self)
{
  if (self->settings->mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    tcp_link_start (links_add (self));
}

void
tcp_links_await_token (TcpLinks *self)
{
  for (guint i = 0; i < self->all->len; i++)
    tcp_link_await_token (self->all->pdata[i]);
}

/* @token may be NULL: there is none. */
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

void
tcp_links_network_changed (TcpLinks *self)
{
  for (guint i = 0; i < self->all->len; i++)
    tcp_link_network_changed (self->all->pdata[i]);
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
}
