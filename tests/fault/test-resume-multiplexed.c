/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many TCP connections over one session, and breaks of its WebSocket. */

#include "resume-rig.h"

#define MAX_CLIENTS 300

static Fixture *
start (Target *target)
{
  return resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
}

static void
expect_all_gone (Fixture *fixture,
                 Target *target,
                 guint clients)
{
  expect_closed (fixture, clients, -1);
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).accepted, ==, clients);
  g_assert_cmpuint (target_get_counters (target).resets, ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, open_connections), ==, 0);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  WAIT_UNTIL (test_figure (fixture->tunnel, unacknowledged_bytes) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, unacknowledged_bytes) == 0);
}

static void
finish_all (int *fds,
            guint clients)
{
  for (guint i = 0; i < clients; i++)
    client_finish (fds[i]);
  for (guint i = 0; i < clients; i++)
    {
      client_expect_eof (fds[i]);
      client_close (fds[i]);
    }
}

/* Each of them has data in transit in both directions when the WebSocket breaks. */
static void
test_hundreds (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  guint clients = test_count (MAX_CLIENTS, 60);
  guint breaks = test_count (12, 4);
  gsize size = 20000;
  int fds[MAX_CLIENTS];

  for (guint i = 0; i < clients; i++)
    fds[i] = client_connect (fixture_get_port (fixture));
  for (guint round = 0; round < breaks; round++)
    {
      fault_proxy_cut_after (fixture->proxy, round % 2 == 0 ? FAULT_UP : FAULT_DOWN, 1 + round * size * clients / breaks);
      for (guint i = 0; i < clients; i++)
        client_send_stream (fds[i], size, i, round * size);
      for (guint i = clients; i > 0; i--)
        client_read_stream (fds[i - 1], size, i - 1, round * size);
    }
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), >=, 1);
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_accepted, >=, breaks);
  g_assert_cmpuint (target_get_counters (target).open, ==, clients);
  finish_all (fds, clients);
  expect_all_gone (fixture, target, clients);
}

/* Clients that connect while there is no WebSocket wait for it, whatever they do meanwhile. */
static void
test_clients_while_away (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  int fds[40];

  resume_go_away (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_send_stream (fds[i], 5000, i, 0);
      if (i % 4 == 0)
        client_finish (fds[i]);
    }
  WAIT_UNTIL (fixture->recorder->opened == G_N_ELEMENTS (fds));
  resume_come_back (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_read_stream (fds[i], 5000, i, 0);
  finish_all (fds, G_N_ELEMENTS (fds));
  expect_all_gone (fixture, target, G_N_ELEMENTS (fds));
}

static void
test_banners_while_away (void)
{
  g_autoptr (Target) target = target_new_banner ("220 ready\r\n");
  g_autoptr (Fixture) fixture = start (target);
  int fds[20];

  resume_go_away (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = client_connect (fixture_get_port (fixture));
  resume_come_back (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      char banner[11];

      client_read (fds[i], banner, sizeof banner);
      g_assert_cmpmem (banner, sizeof banner, "220 ready\r\n", 11);
    }
  finish_all (fds, G_N_ELEMENTS (fds));
  expect_all_gone (fixture, target, G_N_ELEMENTS (fds));
}

/* Clients connect and leave while there is not a WebSocket server: their connections end, and the others are unaffected. */
static void
test_brief_clients_while_away (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  int kept = client_connect (fixture_get_port (fixture));
  guint clients = 20;

  client_round_trip (kept, "before");
  resume_go_away (fixture);
  for (guint i = 0; i < clients; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_write (fd, "bye", 3);
      /* One that breaks before it was accepted is not counted. */
      WAIT_UNTIL (fixture->recorder->opened == 2 + i);
      if (i % 2 == 0)
        client_reset (fd);
      else
        client_close (fd);
    }
  resume_come_back (fixture);
  client_round_trip (kept, "after");
  WAIT_UNTIL (fixture->recorder->closed == clients);
  g_assert_true (target_wait_open (target, 1));
  client_close (kept);
  g_assert_true (target_wait_open (target, 0));
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

/* The limit of connections includes those that wait. */
static void
test_limit_while_away (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  int fds[5], extra;

  g_object_set (fixture->tunnel, "max-connections", G_N_ELEMENTS (fds), NULL);
  fixture_start (fixture);
  resume_go_away (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->opened == G_N_ELEMENTS (fds));
  extra = client_connect (fixture_get_port (fixture));
  client_expect_end (extra);
  client_close (extra);
  resume_come_back (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_round_trip (fds[i], "hello");
  finish_all (fds, G_N_ELEMENTS (fds));
  expect_all_gone (fixture, target, G_N_ELEMENTS (fds));
}

/* Many connections end in every possible way while there is no WebSocket. */
static void
test_mixed_ends (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  Pair pairs[50];

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      pairs[i] = pair_open (fixture, target);
      pair_round_trip (&pairs[i]);
    }
  resume_go_away_unheard (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      client_send_stream (pairs[i].client, 10000, i, 0);
      client_send_stream (pairs[i].target, 10000, i, 0);
      switch (i % 5)
        {
        case 0: client_reset (pairs[i].client); pairs[i].client = -1; break;
        case 1: client_reset (pairs[i].target); pairs[i].target = -1; break;
        case 2: client_finish (pairs[i].client); break;
        case 3: client_finish (pairs[i].target); break;
        default: break;
        }
    }
  resume_come_back (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      if (i % 5 == 0)
        client_expect_reset (pairs[i].target);
      else if (i % 5 == 1)
        client_expect_reset (pairs[i].client);
      else
        {
          client_read_stream (pairs[i].client, 10000, i, 0);
          client_read_stream (pairs[i].target, 10000, i, 0);
          if (i % 5 == 2)
            client_expect_eof (pairs[i].target);
          else if (i % 5 == 3)
            client_expect_eof (pairs[i].client);
          else
            pair_round_trip (&pairs[i]);
        }
      pair_clear (&pairs[i]);
    }
  WAIT_UNTIL (fixture->recorder->closed == G_N_ELEMENTS (pairs));
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
}

/* Short connections, with many breaks of the WebSocket. */
static void
test_short_connections (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  guint count = test_count (1000, 60);

  for (guint i = 0; i < count; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      if (i % 10 == 3)
        fault_proxy_cut_after (fixture->proxy, i % 20 == 3 ? FAULT_UP : FAULT_DOWN, 1 + i % 61);
      client_round_trip (fd, "ping");
      client_finish (fd);
      client_expect_eof (fd);
      client_close (fd);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
  expect_all_gone (fixture, target, count);
  g_assert_cmpuint (test_figure (fixture->tunnel, total_connections), ==, count);
  g_assert_cmpuint (test_figure (fixture->tunnel, resumes), >, 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  test_need_descriptors (4096);

  g_test_add_func ("/resume-multiplexed/hundreds", test_hundreds);
  g_test_add_func ("/resume-multiplexed/clients-while-away", test_clients_while_away);
  g_test_add_func ("/resume-multiplexed/banners-while-away", test_banners_while_away);
  g_test_add_func ("/resume-multiplexed/brief-clients-while-away", test_brief_clients_while_away);
  g_test_add_func ("/resume-multiplexed/limit-while-away", test_limit_while_away);
  g_test_add_func ("/resume-multiplexed/mixed-ends", test_mixed_ends);
  g_test_add_func ("/resume-multiplexed/short-connections", test_short_connections);

  return g_test_run ();
}
