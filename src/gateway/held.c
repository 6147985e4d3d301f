/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/held.h"

struct _TcpHeld
{
  char *session_id;
  TcpAccount *principal;
  TcpChannel *channel;  /* NULL once it is closed */
  TcpChannel *replaced; /* the previous one, which may still wait for its peer to close */
  guint64 discarded;    /* bytes */
  TcpLogLimit *warnings;
  TcpHeldFunc ended;
  gpointer user_data;
};

/* The channel still answers pings, and keeps no data. */
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

static void
held_attach (TcpHeld    *self,
             TcpChannel *channel)
{
  static const TcpChannelCallbacks callbacks = {
    .message = on_message,
    .closed = on_closed,
  };

  self->channel = tcp_channel_ref (channel);
  tcp_channel_set_callbacks (channel, &callbacks, self);
  tcp_channel_resume (channel);
}

static void
held_close (TcpHeld *self)
{
  if (self->channel == NULL)
    return;

  tcp_channel_set_callbacks (self->channel, NULL, NULL);
  tcp_channel_close (self->channel, TCP_CLOSE_GOING_AWAY, "the session has ended");
}

/* @warnings must outlive it. */
TcpHeld *
tcp_held_new (const TcpRequest *request,
              TcpChannel       *channel,
              TcpLogLimit      *warnings,
              TcpHeldFunc       ended,
              gpointer          user_data)
{
  TcpHeld *self = g_new0 (TcpHeld, 1);

  self->session_id = g_strdup (request->session_id);
  self->principal = tcp_account_ref (request->principal);
  self->warnings = warnings;
  self->ended = ended;
  self->user_data = user_data;
  held_attach (self, channel);

  return self;
}

/* Holds @channel instead of the previous one, which is closed. */
void
tcp_held_replace (TcpHeld    *self,
                  TcpChannel *channel)
{
  held_close (self);
  /* If a client never answers the close, at most one closing channel of it is kept. */
  if (self->replaced != NULL)
    tcp_channel_abort (self->replaced, NULL);
  g_clear_pointer (&self->replaced, tcp_channel_unref);
  self->replaced = g_steal_pointer (&self->channel);
  held_attach (self, channel);
}

/* Closes the WebSocket, if the client has not done so. */
void
tcp_held_free (TcpHeld *self)
{
  if (self->discarded > 0)
    tcp_log_limit_write (self->warnings,
                         "%" G_GUINT64_FORMAT
                         " bytes that the client %s sent after the end of its connection were discarded",
                         self->discarded, self->principal->name);
  held_close (self);
  g_clear_pointer (&self->channel, tcp_channel_unref);
  g_clear_pointer (&self->replaced, tcp_channel_unref);
  tcp_account_unref (self->principal);
  g_free (self->session_id);
  g_free (self);
}

const char *
tcp_held_get_session_id (TcpHeld *self)
{
  return self->session_id;
}

TcpAccount *
tcp_held_get_principal (TcpHeld *self)
{
  return self->principal;
}
