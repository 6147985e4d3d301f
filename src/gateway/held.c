/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/held.h"

struct _TcpHeld
{
  char *session_id;
  char *principal;
  TcpChannel *channel; /* NULL once it is closed */
  guint64 discarded;   /* bytes */
  TcpLog *log;
  TcpHeldFunc ended;
  gpointer user_data;
};

/* The channel goes on to answer pings, and keeps nothing. */
static void
on_message (TcpChannel   *channel,
            const guint8 *data,
            gsize         length,
            gboolean      first,
            gboolean      last,
            gpointer      user_data)
{
  TcpHeld *self = user_data;

  self->discarded += length;
}

static void
on_closed (TcpChannel   *channel,
           guint         code,
           const char   *reason,
           const GError *error,
           gpointer      user_data)
{
  TcpHeld *self = user_data;

  g_clear_pointer (&self->channel, tcp_channel_unref);
  self->ended (self, self->user_data);
}

TcpHeld *
tcp_held_new (const TcpRequest *request,
              TcpChannel       *channel,
              TcpLog           *log,
              TcpHeldFunc       ended,
              gpointer          user_data)
{
  static const TcpChannelCallbacks callbacks = {
    .message = on_message,
    .closed = on_closed,
  };
  TcpHeld *self = g_new0 (TcpHeld, 1);

  self->session_id = g_strdup (request->session_id);
  self->principal = g_strdup (request->principal);
  self->channel = tcp_channel_ref (channel);
  self->log = tcp_log_ref (log);
  self->ended = ended;
  self->user_data = user_data;
  tcp_channel_set_callbacks (channel, &callbacks, self);
  tcp_channel_resume (channel);

  return self;
}

/* Closes the WebSocket, if the client has not done so. */
void
tcp_held_free (TcpHeld *self)
{
  if (self->discarded > 0)
    tcp_log_warn (self->log,
                  "%" G_GUINT64_FORMAT " bytes that the client %s sent after the end of its connection were discarded",
                  self->discarded, self->principal);
  if (self->channel != NULL)
    {
      tcp_channel_set_callbacks (self->channel, NULL, NULL);
      tcp_channel_close (self->channel, TCP_CLOSE_GOING_AWAY, "the session has ended");
    }
  g_clear_pointer (&self->channel, tcp_channel_unref);
  tcp_log_unref (self->log);
  g_free (self->session_id);
  g_free (self->principal);
  g_free (self);
}

const char *
tcp_held_get_session_id (TcpHeld *self)
{
  return self->session_id;
}

const char *
tcp_held_get_principal (TcpHeld *self)
{
  return self->principal;
}
