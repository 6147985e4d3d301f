/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "world.h"

gboolean
world_chance (World *self,
              guint  n)
{
  return g_rand_int_range (self->rand, 0, n) == 0;
}

guint64
world_size (World  *self,
            guint64 most)
{
  guint64 limit = most;

  while (limit > 0 && g_rand_boolean (self->rand))
    limit /= 8;
  return g_rand_int_range (self->rand, 0, limit + 1);
}

World *
world_new (const Profile *profile,
           guint32        seed)
{
  World *self = g_new0 (World, 1);
  guint n = 1;

  clock_reset ();
  /* The instances of sessions come from this generator. */
  g_random_set_seed (seed);
  self->profile = profile;
  self->rand = g_rand_new_with_seed (seed);
  self->log = tcp_log_new ("model", g_getenv ("TCP_TUNNEL_MODEL_LOG") != NULL ? TCP_TUNNEL_LOG_LEVEL_DEBUG
                                                                              : TCP_TUNNEL_LOG_LEVEL_NONE);
  for (Side side = CLIENT; side <= GATEWAY; side++)
    {
      self->status[side] = tcp_status_new ();
      self->max_retained[side] = 80000 + world_size (self, 1 << 20);
      self->max_streams[side] = 1 + g_rand_int_range (self->rand, 0, world_chance (self, 2) ? 200 : 10);
      /* With less, streams that are stuck could block others. */
      self->max_window[side] = MAX (1 << 20, self->max_streams[side] * 2 * 16384) + world_size (self, 1 << 19);
    }
  self->most_pairs = g_rand_int_range (self->rand, 1, 13);
  self->hello_timeout = world_chance (self, 2) ? 200 : 0;
  self->clients = g_ptr_array_new ();
  self->guests = g_ptr_array_new ();
  self->links = g_ptr_array_new ();
  if (profile->budget)
    {
      gsize budget = (256 << 10) + world_size (self, 1 << 20);
      g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (budget, 1);

      self->max_retained[GATEWAY] += 1 << 20;
      self->max_budget = budget;
      self->budget = tcp_budget_new (pool, NULL);
      n += g_rand_int_range (self->rand, 0, 4);
    }
  while (n-- > 0)
    g_ptr_array_add (self->clients, client_new (self, world_chance (self, 3)));
  return self;
}

static void
world_close (World *self)
{
  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = self->clients->pdata[i];
      g_autoptr (GError) error = NULL;

      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED, "the model ends");
      client_excuse (client, client->generation);
      client->closed = TRUE;
      if (client->dialling != NULL)
        client_dial_fails (client);
      tcp_session_close (client->session, TCP_CLOSE_NORMAL, "the model ends", error);
    }
}

/* Closes everything, and checks that nothing is left. */
void
world_free (World *self)
{
  self->healing = TRUE;
  world_close (self);
  world_settle (self);
  world_check (self);

  while (self->guests->len > 0)
    guest_free (g_ptr_array_remove_index (self->guests, 0));
  while (self->clients->len > 0)
    client_free (g_ptr_array_remove_index (self->clients, 0));
  g_assert_cmpuint (self->links->len, ==, 0);
  for (Side side = CLIENT; side <= GATEWAY; side++)
    {
      TcpStatus *status = self->status[side];

      g_assert_cmpuint (tcp_status_get (status, open_connections), ==, 0);
      g_assert_cmpuint (tcp_status_get (status, unacknowledged_bytes), ==, 0);
      g_assert_cmpuint (tcp_status_get (status, receive_window), ==, 0);
      g_assert_cmpuint (tcp_status_get (status, send_window), ==, 0);
      tcp_status_unref (status);
    }
  g_assert_cmpuint (channel_get_alive (), ==, 0);
  g_assert_cmpuint (stream_get_alive (), ==, 0);
  g_assert_cmpuint (clock_get_timers (), ==, 0);
  /* This asserts that nothing of it is in use. */
  g_clear_pointer (&self->budget, tcp_budget_unref);

  g_ptr_array_unref (self->clients);
  g_ptr_array_unref (self->guests);
  g_ptr_array_unref (self->links);
  g_rand_free (self->rand);
  tcp_log_unref (self->log);
  g_free (self);
}
