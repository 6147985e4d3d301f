/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "world.h"

/* The maximum number of rounds until nothing is under way. */
#define MAX_ROUNDS 100000

static void
world_forget_link (World *self,
                   Link  *link)
{
  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = self->clients->pdata[i];

      if (client->dialling == link)
        client->dialling = NULL;
    }
}

/* Does the work of a turn of the main loop: the gateway frees what has ended, and links that are closed are freed.
 * Returns FALSE if there was nothing to free. */
static gboolean
world_sweep (World *self)
{
  gboolean progress = FALSE;

  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = self->guests->pdata[i];

      if (!guest->ended)
        continue;
      g_ptr_array_remove_index (self->guests, i--);
      guest_free (guest);
      progress = TRUE;
    }
  for (guint i = 0; i < self->links->len; i++)
    {
      Link *link = self->links->pdata[i];

      if (!link_is_closed (link, CLIENT) || !link_is_closed (link, GATEWAY))
        continue;
      g_ptr_array_remove_index (self->links, i--);
      world_forget_link (self, link);
      link_free (link);
      progress = TRUE;
    }
  return progress;
}

/* Random steps */

static void
step_link (World *self)
{
  Link *link;
  Side side = g_rand_int_range (self->rand, CLIENT, GATEWAY + 1);

  if (self->links->len == 0)
    return;

  link = self->links->pdata[g_rand_int_range (self->rand, 0, self->links->len)];
  link_push (link, OTHER (side));
  link_pull (link, side, 1 + world_size (self, 400000));
}

static void
step_break (World *self)
{
  Link *link;
  Side side = g_rand_int_range (self->rand, CLIENT, GATEWAY + 1);

  if (self->links->len == 0)
    return;

  link = self->links->pdata[g_rand_int_range (self->rand, 0, self->links->len)];
  if (link_is_cut (link))
    {
      link_break (link, side);
      return;
    }
  switch (g_rand_int_range (self->rand, 0, 6))
    {
    case 0: /* one end closes, which the other will notice */
      link_break (link, side);
      break;
    case 1:
      link_cut_with_close (link, side, world_chance (self, 2) ? TCP_CLOSE_NORMAL : TCP_CLOSE_GOING_AWAY);
      break;
    case 2: /* both ends notice */
      link_cut (link);
      link_break (link, side);
      link_break (link, OTHER (side));
      break;
    default: /* one end notices, or none for now */
      link_cut (link);
      if (world_chance (self, 2))
        link_break (link, side);
      break;
    }
}

static void
step_peer (World *self,
           Pair  *pair)
{
  Side side = g_rand_int_range (self->rand, CLIENT, GATEWAY + 1);
  Peer *peer = &pair->peers[side];

  switch (g_rand_int_range (self->rand, 0, 5))
    {
    case 0:
      peer_send (peer, 1 + world_size (self, 200000));
      break;
    case 1:
      pair_consume (pair, side, 1 + world_size (self, 200000));
      break;
    case 2:
      peer_end (peer);
      break;
    default:
      peer_poll (peer);
      break;
    }
}

static void
step_reset (World *self,
            Pair  *pair)
{
  Side side = g_rand_int_range (self->rand, CLIENT, GATEWAY + 1);

  if (pair->peers[side].stream == NULL)
    return;

  peer_break (&pair->peers[side], world_chance (self, 2));
  pair->disturbed[side] = pair->excused = TRUE;
}

static void
step_pair (World  *self,
           Client *client)
{
  Pair *pair;

  if (client->pairs->len == 0)
    return;

  pair = client->pairs->pdata[g_rand_int_range (self->rand, 0, client->pairs->len)];
  /* A reset is more interesting after the end. */
  if (self->profile->resets && world_chance (self, pair->peers[CLIENT].ending_taken ? 15 : 100))
    step_reset (self, pair);
  else if (pair->dial != NULL && self->profile->resets && world_chance (self, 8))
    pair_refuse (pair);
  else if (pair->dial != NULL && world_chance (self, 2))
    pair_connect (pair);
  else
    step_peer (self, pair);
}

static void
step_clock (World *self)
{
  if (!clock_fire ())
    clock_advance (world_size (self, 100 * G_TIME_SPAN_MILLISECOND));
}

static void
step_client (World  *self,
             Client *client)
{
  if (self->profile->breaks && client->dialling != NULL && world_chance (self, 4))
    client_dial_fails (client);
  else if (world_chance (self, 3))
    client_open (client);
  else
    client_dial (client);
}

/* The gateway is started again with another choice of protocols. */
static void
step_switch (World *self)
{
  self->plain = !self->plain;
  for (guint i = 0; i < self->guests->len; i++)
    guest_lose (self->guests->pdata[i]);
}

static void
step_session (World  *self,
              Client *client)
{
  Guest *guest = client->guest;

  if (self->profile->switches && world_chance (self, 2))
    step_switch (self);
  else if (self->profile->ends && world_chance (self, 4))
    client_renew (client);
  else if (self->profile->ends && guest != NULL && world_chance (self, 3))
    guest_close (guest);
  else if (self->profile->ends && guest != NULL && world_chance (self, 2))
    guest_drain (guest);
  else if (self->profile->losses && guest != NULL)
    guest_lose (guest);
}

void
world_interfere (World  *self,
                 Client *client,
                 Guest  *guest)
{
  if (self->healing || !self->profile->reentrant || !world_chance (self, 8))
    return;

  if (client != NULL && world_chance (self, 2))
    client_open (client);
  else if (client != NULL)
    client_renew (client);
  else if (world_chance (self, 2))
    guest_close (guest);
  else
    guest_drain (guest);
}

void
world_step (World *self)
{
  Client *client = self->clients->pdata[g_rand_int_range (self->rand, 0, self->clients->len)];
  guint dice = g_rand_int_range (self->rand, 0, 1000);

  if (dice < 350)
    step_link (self);
  else if (dice < 700)
    step_pair (self, client);
  else if (dice < 800)
    step_clock (self);
  else if (dice < 950)
    step_client (self, client);
  else if (dice < 980 && self->profile->breaks)
    step_break (self);
  else if (dice < 990 && (self->profile->losses || self->profile->ends))
    step_session (self, client);
  else
    world_sweep (self);
}

/* Running until nothing is under way */

static gboolean
settle_pair (World *self,
             Pair  *pair)
{
  gboolean progress = FALSE;

  if (pair->dial != NULL)
    {
      pair_connect (pair);
      progress = TRUE;
    }
  for (Side side = CLIENT; side <= GATEWAY; side++)
    {
      Peer *peer = &pair->peers[side];

      /* The buffers of its socket may be small. */
      while (peer_send (peer, G_MAXUINT64) | peer_end (peer) |
             pair_consume (pair, side, G_MAXUINT64) | peer_poll (peer))
        progress = TRUE;
    }
  return progress;
}

static gboolean
settle_client (World  *self,
               Client *client)
{
  gboolean progress = client_dial (client);

  for (guint i = 0; i < client->pairs->len; i++)
    progress |= settle_pair (self, client->pairs->pdata[i]);
  return progress;
}

static gboolean
settle_links (World *self)
{
  gboolean progress = FALSE;

  for (guint i = 0; i < self->links->len; i++)
    for (Side side = CLIENT; side <= GATEWAY; side++)
      {
        Link *link = self->links->pdata[i];

        /* The capacity of the wire may be small. */
        while (link_push (link, OTHER (side)) | link_pull (link, side, G_MAXSIZE))
          progress = TRUE;
      }
  return progress;
}

static gboolean
link_is_current (World *self,
                 Link  *link)
{
  gboolean used[2] = { FALSE, FALSE };

  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = self->clients->pdata[i];

      used[CLIENT] |= tcp_session_get_channel (client->session) == link_get_channel (link, CLIENT);
    }
  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = self->guests->pdata[i];

      used[GATEWAY] |= tcp_session_get_channel (guest->session) == link_get_channel (link, GATEWAY);
    }
  return used[CLIENT] && used[GATEWAY] && !link_is_cut (link);
}

/* Simulates keep-alive, deadlines and the session timeout. */
static gboolean
settle_by_time (World *self)
{
  gboolean progress = FALSE;
  gint64 next = clock_next ();

  if (next >= 0)
    {
      clock_advance (next);
      return TRUE;
    }
  for (guint i = 0; i < self->links->len; i++)
    {
      Link *link = self->links->pdata[i];

      if (link_is_current (self, link))
        continue;
      link_break (link, CLIENT);
      link_break (link, GATEWAY);
      progress = TRUE;
    }
  for (guint i = 0; i < self->guests->len && !progress; i++)
    {
      Guest *guest = self->guests->pdata[i];

      if (tcp_session_get_channel (guest->session) != NULL)
        continue;
      guest_close (guest);
      progress = TRUE;
    }
  return progress;
}

void
world_settle (World *self)
{
  gboolean progress;
  guint rounds = 0;

  self->healing = TRUE;
  do
    {
      progress = FALSE;
      for (guint i = 0; i < self->clients->len; i++)
        progress |= settle_client (self, self->clients->pdata[i]);
      progress |= settle_links (self);
      while (clock_fire ())
        progress = TRUE;
      progress |= world_sweep (self);
      world_check (self);
      if (!progress)
        progress = settle_by_time (self);
      g_assert_cmpuint (++rounds, <, MAX_ROUNDS);
    }
  while (progress);
}

void
world_unstick (World *self)
{
  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = self->clients->pdata[i];

      for (guint k = 0; k < client->pairs->len; k++)
        {
          Pair *pair = client->pairs->pdata[k];

          pair->stuck[CLIENT] = pair->stuck[GATEWAY] = FALSE;
        }
    }
}
