/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "world.h"

/* The gateway's end. */

static Pair *
guest_find (Guest     *self,
            TcpStream *stream)
{
  return client_find_stream (self->client, self->generation, GATEWAY, stream);
}

void
pair_connect (Pair *self)
{
  g_autoptr (TcpStream) stream = g_steal_pointer (&self->dial);

  tcp_session_connected (self->guest->session, stream, PEER_CONNECTION (&self->peers[GATEWAY]));
}

void
pair_refuse (Pair *self)
{
  g_autoptr (TcpStream) stream = g_steal_pointer (&self->dial);
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET, "the model refuses it");
  self->disturbed[GATEWAY] = self->excused = TRUE;
  tcp_session_refuse (self->guest->session, stream, TCP_RESET_REFUSED, error);
}

static gboolean
pair_is_untouched (Pair *self)
{
  return self->plain && self->closed[GATEWAY] && self->peers[CLIENT].accepted == 0;
}

/* A raw gateway connects before its client knows that the protocol is raw, and its connection may have ended again by
 * then. */
static void
pair_reopen (Pair *self)
{
  Peer *peer = &self->peers[GATEWAY];

  g_assert_true (pair_is_untouched (self));
  self->closed[GATEWAY] = self->clean[GATEWAY] = FALSE;
  *peer = (Peer) {
    .pattern = peer->pattern,
    .to_send = peer->to_send,
    .wanted = peer->wanted,
    .send_buffer = peer->send_buffer,
    .receive_buffer = peer->receive_buffer,
  };
}

static void
on_opened (TcpSession *session,
           TcpStream  *stream,
           const char *target,
           gpointer    user_data)
{
  Guest *self = user_data;
  Pair *pair = client_find (self->client, self->generation, tcp_stream_get_protocol (stream)->id);

  g_assert_null (target);
  if (pair->opened)
    pair_reopen (pair);
  if (!tcp_session_get_protocol (session)->resumable)
    pair->plain = pair->excused = TRUE;
  pair->opened = TRUE;
  pair->streams[GATEWAY] = stream;
  pair->dial = tcp_stream_ref (stream);
  pair->guest = self;
  if (self->world->profile->resets && world_chance (self->world, 30))
    pair_refuse (pair);
  else if (world_chance (self->world, 2))
    pair_connect (pair);
  world_interfere (self->world, NULL, self);
}

static void
on_stream_closed (TcpSession   *session,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  Guest *self = user_data;
  Pair *pair = guest_find (self, stream);

  tcp_log_debug (self->world->log, "stream %u.%u ended at the gateway: %s", self->generation, pair->id,
                 error != NULL ? error->message : "in order");
  g_assert_true (pair->opened);
  g_assert_false (pair->closed[GATEWAY]);
  g_assert_true (stream_is_closed (stream));
  g_clear_pointer (&pair->dial, tcp_stream_unref);
  pair->closed[GATEWAY] = TRUE;
  pair->streams[GATEWAY] = NULL;
  pair->clean[GATEWAY] = error == NULL;
  if (!self->closed && tcp_session_get_channel (session) == NULL && tcp_session_is_idle (session))
    self->ended = TRUE;
  world_interfere (self->world, NULL, self);
}

static void
on_channel_closed (TcpSession   *session,
                   const GError *error,
                   gpointer      user_data)
{
  Guest *self = user_data;

  if (!self->closed && tcp_session_is_idle (session))
    self->ended = TRUE;
  world_interfere (self->world, NULL, self);
}

Guest *
guest_new (Client *client)
{
  static const TcpSessionCallbacks callbacks = {
    .opened = on_opened,
    .stream_closed = on_stream_closed,
    .channel_closed = on_channel_closed,
  };
  World *world = client->world;
  TcpSessionOptions options = {
    .protocol = &tcp_protocol_resumable,
    .reset_on_loss = TRUE,
    .single = client->single,
    .max_buffered_bytes = 1 << 20,
    .hello_timeout = world->hello_timeout,
    .max_unacknowledged_bytes = world->max_retained[GATEWAY],
    .max_window_bytes = world->max_window[GATEWAY],
    .max_streams = client->single ? 1 : world->max_streams[GATEWAY],
    .session_timeout = 30,
    .budget = world->budget,
    .peer = "the client",
    .target = "of the model",
    .log = world->log,
    .status = world->status[GATEWAY],
  };
  Guest *self = g_new0 (Guest, 1);

  if (world->plain)
    options.protocol = client->single ? &tcp_protocol_raw : &tcp_protocol_tagged;
  self->world = world;
  self->client = client;
  self->generation = client->generation;
  self->session = tcp_session_new (&options, &callbacks, self);
  g_ptr_array_add (world->guests, self);
  return self;
}

/* The guest is freed in the next turn, as its session may be in the middle of a callback. */
static void
guest_end (Guest *self)
{
  g_autoptr (GError) error = NULL;

  self->closed = self->ended = TRUE;
  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "the gateway ended the session");
  tcp_session_close (self->session, TCP_CLOSE_GOING_AWAY, error->message, error);
}

void
guest_attach (Guest      *self,
              TcpChannel *channel)
{
  TcpStream *stream;
  Pair *pair;

  tcp_session_attach (self->session, channel);
  if (tcp_session_get_protocol (self->session) != &tcp_protocol_raw || self->begun)
    return;

  self->begun = TRUE;
  pair = client_find (self->client, self->generation, TCP_RAW_ID);
  /* The client has not learnt yet that the gateway is another one. */
  if (pair->opened && (!pair_is_untouched (pair) || pair->peers[CLIENT].taken > 0))
    {
      guest_end (self);
      return;
    }
  stream = tcp_session_open (self->session, NULL, NULL);
  if (stream != NULL)
    on_opened (self->session, stream, NULL, self);
}

gboolean
guest_has_ended (Guest *self)
{
  return self->ended || tcp_session_is_over (self->session) ||
         (self->begun && !tcp_session_is_idle (self->session) && tcp_session_get_n_streams (self->session) == 0);
}

void
guest_close (Guest *self)
{
  if (self->closed)
    return;

  for (guint i = 0; i < self->client->pairs->len; i++)
    {
      Pair *pair = self->client->pairs->pdata[i];

      pair->excused |= pair->guest == self && !pair_is_over (pair);
    }
  guest_end (self);
}

/* The WebSocket breaks first, so that the client gets no message about it. */
void
guest_lose (Guest *self)
{
  Client *client = self->client;

  if (self->closed)
    return;

  for (guint i = 0; i < self->world->links->len; i++)
    {
      Link *link = self->world->links->pdata[i];

      if (tcp_session_get_channel (self->session) == link_get_channel (link, GATEWAY))
        link_cut (link);
    }
  for (guint i = 0; i < client->pairs->len; i++)
    {
      Pair *pair = client->pairs->pdata[i];

      if (pair->guest != self || (pair->closed[CLIENT] && pair->closed[GATEWAY]))
        continue;
      pair->excused = TRUE;
      if (pair->plain)
        continue;
      pair->lost = !pair->closed[GATEWAY] && pair_get_stream (pair) != NULL;
    }
  guest_end (self);
  if (client->guest == self)
    client->guest = NULL;
}

void
guest_drain (Guest *self)
{
  tcp_session_drain (self->session);
}

void
guest_free (Guest *self)
{
  guest_close (self);
  for (guint i = 0; i < self->client->pairs->len; i++)
    {
      Pair *pair = self->client->pairs->pdata[i];

      if (pair->guest == self)
        pair->guest = NULL;
    }
  tcp_session_unref (self->session);
  if (self->client->guest == self)
    {
      self->client->guest = NULL;
      self->client->gone = world_chance (self->world, 2);
    }
  g_free (self);
}
