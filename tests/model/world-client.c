/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "world.h"

/* The tunnel's end. */

Pair *
client_find (Client *self,
             guint   generation,
             guint32 id)
{
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      if (pair->generation == generation && pair->id == id)
        return pair;
    }
  g_error ("there is no connection %u", id);
}

Pair *
client_find_stream (Client    *self,
                    guint      generation,
                    Side       side,
                    TcpStream *stream)
{
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      if (pair->generation == generation && pair->streams[side] == stream)
        return pair;
    }
  g_error ("there is no such stream");
}

TcpProtocolStream *
pair_get_stream (Pair *self)
{
  TcpProtocolStream *stream;

  if (self->generation != self->client->generation || self->closed[CLIENT])
    return NULL;

  stream = tcp_stream_get_protocol (self->streams[CLIENT]);
  return stream != NULL && stream->active ? stream : NULL;
}

gboolean
pair_is_over (Pair *self)
{
  return self->closed[CLIENT] && (self->closed[GATEWAY] || !self->opened);
}

void
client_excuse (Client *self,
               guint   generation)
{
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      if (pair->generation == generation && !(pair->closed[CLIENT] && pair->closed[GATEWAY]))
        pair->excused = TRUE;
    }
}

/* New sessions in place of lost ones */

static void
client_forget_guest (Client *self)
{
  self->guest = NULL;
  self->gone = FALSE;
}

/* The streams that are left become part of the new session. */
static void
client_begin_anew (Client       *self,
                   const GError *error)
{
  guint generation = self->generation;

  g_assert_null (tcp_session_get_channel (self->session));
  tcp_session_restart (self->session, error);
  if (generation != self->generation)
    return;

  g_assert_false (tcp_session_is_over (self->session) && !self->closed);
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      pair->early |= pair->generation == generation && !pair->closed[CLIENT];
    }
}

static void
client_begin_plain (Client *self)
{
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      if (pair->generation == self->generation && !pair->closed[CLIENT])
        pair->plain = pair->excused = TRUE;
    }
}

/* The owner of the callbacks of a session. A session that client_renew () closes has another owner than the next
 * one. */

typedef struct
{
  Client *client;
  guint generation;
} Owner;

static void
on_stream_closed (TcpSession   *session,
                  TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data)
{
  Owner *owner = user_data;
  Client *self = owner->client;
  Pair *pair = client_find_stream (self, owner->generation, CLIENT, stream);

  tcp_log_debug (self->world->log, "stream %u.%u ended at the client: %s", owner->generation, pair->id,
                 error != NULL ? error->message : "in order");
  g_assert_false (pair->closed[CLIENT]);
  pair->closed[CLIENT] = TRUE;
  pair->streams[CLIENT] = NULL;
  pair->clean[CLIENT] = error == NULL;
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST))
    {
      /* A connection whose OPEN was never sent is not lost. */
      g_assert_true (pair->left || pair->plain);
      pair->excused = TRUE;
    }
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT) && (pair->early || self->crowded))
    pair->excused = TRUE;
  /* The gateway's application has ended the session, or drains it. */
  if (g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED) && self->world->profile->ends)
    pair->excused = TRUE;
  g_assert_true (stream_is_closed (stream));
  world_interfere (self->world, self, NULL);
}

static void
on_channel_closed (TcpSession   *session,
                   const GError *error,
                   gpointer      user_data)
{
  Owner *owner = user_data;
  Client *self = owner->client;

  if (session != self->session)
    return;
  if (tcp_session_is_over (session))
    {
      client_begin_anew (self, error);
      client_forget_guest (self);
    }
  world_interfere (self->world, self, NULL);
}

static void
on_draining (TcpSession *session,
             gpointer    user_data)
{
  Owner *owner = user_data;

  world_interfere (owner->client->world, owner->client, NULL);
}

static void
client_make_session (Client *self)
{
  static const TcpSessionCallbacks callbacks = {
    .stream_closed = on_stream_closed,
    .channel_closed = on_channel_closed,
    .draining = on_draining,
  };
  World *world = self->world;
  TcpSessionOptions options = {
    .client = TRUE,
    .single = self->single,
    .max_buffered_bytes = 1 << 20,
    .hello_timeout = world->hello_timeout,
    .max_unacknowledged_bytes = world->max_retained[CLIENT],
    .max_window_bytes = world->max_window[CLIENT],
    .max_streams = self->single ? 1 : world->max_streams[CLIENT],
    .peer = "the gateway",
    .reset_on_loss = TRUE,
    .log = world->log,
    .status = world->status[CLIENT],
  };
  Owner *owner = g_new (Owner, 1);

  owner->client = self;
  owner->generation = ++self->generation;
  client_forget_guest (self);
  self->crowded = FALSE;
  self->session = tcp_session_new (&options, &callbacks, owner);
  g_ptr_array_add (self->owners, owner);
}

void
client_renew (Client *self)
{
  g_autoptr (TcpSession) old = self->session;
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "another session takes its place");
  client_excuse (self, self->generation);
  if (self->dialling != NULL)
    client_dial_fails (self);
  client_make_session (self);
  tcp_session_close (old, TCP_CLOSE_NORMAL, error->message, error);
}

/* Connections */

static void
pair_make_peer (World *world,
                Pair  *pair,
                Side   side)
{
  Peer *peer = &pair->peers[side];

  peer->pattern = g_rand_int (world->rand);
  /* Short ones are more often at their end when something breaks. */
  peer->to_send = MAX (peer->to_send, world_size (world, world->profile->resets ? 4000 : 400000));
  peer->send_buffer = 1 + world_size (world, 200000);
  peer->receive_buffer = 1 + world_size (world, 200000);
  pair->peers[OTHER (side)].wanted = peer->pattern;
  if (!world->profile->stuck || !world_chance (world, 3))
    return;

  /* It sends enough to fill all buffers. */
  pair->stuck[side] = TRUE;
  pair->appetite[side] = world_size (world, 300000);
  pair->peers[OTHER (side)].to_send = 1000000;
}

gboolean
pair_consume (Pair    *self,
              Side     side,
              guint64  n)
{
  Peer *peer = &self->peers[side];

  if (self->stuck[side])
    n = MIN (n, self->appetite[side] - MIN (self->appetite[side], peer->consumed));
  return peer_consume (peer, n);
}

/* Whether the session is only for the connections that it already has. */
static gboolean
client_is_last (Client *self)
{
  return self->single || (session_get_resumable (self->session) != NULL && session_get_resumable (self->session)->last);
}

/* Whether the session can have another connection, or was replaced by one that can. */
static gboolean
client_is_fresh (Client *self)
{
  Pair *last = self->pairs->len > 0 ? self->pairs->pdata[self->pairs->len - 1] : NULL;

  if (last != NULL && last->generation == self->generation && last->closed[CLIENT] &&
      tcp_session_get_channel (self->session) == NULL && self->dialling == NULL &&
      !tcp_session_wants_channel (self->session))
    client_renew (self);
  return last == NULL || last->generation < self->generation;
}

void
client_open (Client *self)
{
  const TcpProtocolClass *protocol;
  Pair *pair;
  TcpStream *stream;

  if (self->pairs->len >= self->world->most_pairs || (client_is_last (self) && !client_is_fresh (self)))
    return;

  stream = tcp_session_open (self->session, NULL, NULL);
  if (stream == NULL)
    return;

  protocol = tcp_session_get_protocol (self->session);
  pair = g_new0 (Pair, 1);
  pair->client = self;
  pair->generation = self->generation;
  pair->streams[CLIENT] = stream;
  if (tcp_stream_get_protocol (stream) != NULL)
    pair->id = tcp_stream_get_protocol (stream)->id;
  else if (self->single)
    pair->id = TCP_RAW_ID;
  pair->early = session_get_resumable (self->session) == NULL || !session_get_resumable (self->session)->ready;
  pair->plain = pair->excused = protocol != NULL && !protocol->resumable;
  pair_make_peer (self->world, pair, CLIENT);
  pair_make_peer (self->world, pair, GATEWAY);
  g_ptr_array_add (self->pairs, pair);
  tcp_stream_attach (stream, PEER_CONNECTION (&pair->peers[CLIENT]));
}

/* WebSockets */

void
client_dial_fails (Client *self)
{
  Link *link = g_steal_pointer (&self->dialling);

  link_cut (link);
  link_break (link, CLIENT);
  /* Otherwise the gateway has not noticed it yet. */
  if (!self->accepted)
    link_break (link, GATEWAY);
}

static void
client_negotiate (Client *self)
{
  gboolean first = self->session->protocol == NULL;

  tcp_session_set_protocol (self->session, self->protocol);
  for (guint i = 0; i < self->pairs->len; i++)
    {
      Pair *pair = self->pairs->pdata[i];

      if (pair_get_stream (pair) != NULL)
        pair->id = pair_get_stream (pair)->id;
    }
  /* No id may be used twice in a session, as the pairs could not be distinguished. */
  if (first && self->session->protocol->next_id == 1 && world_chance (self->world, 4))
    self->session->protocol->next_id = G_MAXUINT32 - 2 * world_size (self->world, 4);
}

static void
client_accepted (Client *self)
{
  Link *link = g_steal_pointer (&self->dialling);
  TcpChannel *channel = link_get_channel (link, CLIENT);
  g_autoptr (TcpSession) session = tcp_session_ref (self->session);
  const TcpProtocolClass *before = tcp_session_get_protocol (session);

  if (before != NULL && (before != self->protocol || tcp_session_is_over (session)))
    {
      g_autoptr (GError) error = NULL;

      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "another protocol");
      client_begin_anew (self, error);
    }
  /* A callback may have closed it. */
  if (session != self->session)
    {
      tcp_channel_close (channel, TCP_CLOSE_NORMAL, NULL);
      tcp_channel_resume (channel);
      return;
    }

  if (tcp_session_get_protocol (session) == NULL)
    client_negotiate (self);
  if (!self->protocol->resumable)
    client_begin_plain (self);
  tcp_session_attach (session, channel);
}

/* The gateway answered 410. */
static void
client_is_refused (Client *self)
{
  g_autoptr (GError) error = NULL;

  client_dial_fails (self);
  if (tcp_session_get_protocol (self->session) == NULL)
    return;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "the session is gone");
  client_begin_anew (self, error);
}

/* The request arrives at the gateway. */
static void
client_knock (Client *self)
{
  if (self->guest != NULL ? guest_has_ended (self->guest) : self->gone)
    {
      client_is_refused (self);
      client_forget_guest (self);
      return;
    }

  if (self->guest == NULL)
    self->guest = guest_new (self);
  self->accepted = TRUE;
  self->protocol = tcp_session_get_protocol (self->guest->session);
  guest_attach (self->guest, link_get_channel (self->dialling, GATEWAY));
  /* A session of tagged cannot be resumed. */
  if (self->protocol == &tcp_protocol_tagged)
    client_forget_guest (self);
}

static gboolean
client_wants_link (Client *self)
{
  if (self->closed || tcp_session_get_channel (self->session) != NULL)
    return FALSE;
  return !client_is_last (self) || tcp_session_wants_channel (self->session);
}

gboolean
client_dial (Client *self)
{
  World *world = self->world;
  LinkOptions options = {
    .capacity = 1 + world_size (world, 300000),
    .tls = world_chance (world, 3),
    .fragments = world_chance (world, 4),
  };

  if (self->dialling != NULL)
    {
      if (link_is_closed (self->dialling, self->accepted ? CLIENT : GATEWAY))
        client_dial_fails (self);
      else if (self->accepted)
        client_accepted (self);
      else
        client_knock (self);
      return TRUE;
    }
  if (!client_wants_link (self))
    return FALSE;

  self->dialling = link_new (&options, world->rand);
  self->accepted = FALSE;
  g_ptr_array_add (world->links, self->dialling);
  return TRUE;
}

/* Life */

Client *
client_new (World    *world,
            gboolean  single)
{
  Client *self = g_new0 (Client, 1);

  self->world = world;
  self->single = single;
  self->pairs = g_ptr_array_new_with_free_func (g_free);
  self->owners = g_ptr_array_new_with_free_func (g_free);
  client_make_session (self);
  return self;
}

void
client_free (Client *self)
{
  tcp_session_unref (self->session);
  g_ptr_array_unref (self->pairs);
  g_ptr_array_unref (self->owners);
  g_free (self);
}
