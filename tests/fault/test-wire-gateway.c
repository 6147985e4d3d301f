/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The frames of a gateway in resumable/1. The test operates the client. */

#include "fixture.h"
#include "resumable-peer.h"

static Fixture *
start (Target *target)
{
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);

  g_object_set (fixture->gateway, "session-timeout", 600000, NULL);
  fixture_start_gateway (fixture);
  return fixture;
}

static ResumablePeer *
join (Fixture *fixture)
{
  return resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
}

static void
rejoin (ResumablePeer *peer)
{
  resumable_client_connect (peer);
  resumable_say_hello (peer);
}

static void
test_hello (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) first = join (fixture);
  g_autoptr (ResumablePeer) second = join (fixture);

  g_assert_cmpuint (first->heard.version, ==, 1);
  g_assert_cmpuint (first->heard.flags, ==, 0);
  g_assert_cmpuint (first->heard.reserved, ==, 0);
  g_assert_cmpuint (first->heard.received, ==, 0);
  g_assert_cmpuint (first->heard.window, >, 0);
  g_assert_cmpuint (first->heard.max_payload, >=, 1024);
  g_assert_cmpuint (first->heard.max_streams, >, 0);
  g_assert_cmpuint (first->heard.session_timeout, ==, 600);
  g_assert_cmpuint (first->heard.instance, !=, 0);
  g_assert_cmpuint (second->heard.instance, !=, 0);
  g_assert_cmpuint (first->heard.instance, !=, second->heard.instance);
}

/* The gateway sends nothing else before it has read the client's HELLO; then the session continues. */
static void
test_instance_stays (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  guint64 instance = peer->heard.instance;

  resumable_open (peer, 1);
  for (guint i = 1; i <= 10; i++)
    {
      resumable_round_trip (peer, 1, "on and on");
      resumable_reset (peer);
      rejoin (peer);
      g_assert_cmpuint (peer->heard.instance, ==, instance);
      g_assert_cmpuint (peer->heard.received, ==, 1 + i);
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
}

/* Exactly the unacknowledged frames are sent again, in order. */
static void
test_replay (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  int fd;

  resumable_open (peer, 1);
  fd = target_accept (target);
  for (char digit = '1'; digit <= '5'; digit++)
    {
      char text[] = { digit, '\0' };

      client_write (fd, text, 1);
      resumable_expect_data (peer, 1, text);
    }

  /* OPENED, 1 and 2 have been acknowledged; the others count as lost. */
  peer->taken = 3;
  resumable_reset (peer);
  client_write (fd, "6", 1);
  rejoin (peer);
  for (const char *digit = "3456"; *digit != '\0'; digit++)
    {
      char text[] = { *digit, '\0' };

      resumable_expect_data (peer, 1, text);
    }

  /* Some of these are acknowledged meanwhile. */
  resumable_send_ack (peer, 5);
  peer->taken = 5;
  resumable_reset (peer);
  rejoin (peer);
  resumable_expect_data (peer, 1, "5");
  resumable_expect_data (peer, 1, "6");
  client_close (fd);
  resumable_expect (peer, RESUMABLE_FIN, 1);
}

/* A client of a later version: unknown frames are counted and ignored. */
static void
test_later (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = resumable_client_new (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);

  peer->hello.flags = 0xffff;
  peer->hello.reserved = G_MAXUINT32;
  peer->hello.n_later = 512 - 40;
  rejoin (peer);
  resumable_open (peer, 1);
  resumable_send_later (peer);
  resumable_expect_confirmed (peer);
  g_assert_cmpuint (peer->confirmed, ==, 1 + 29);

  resumable_send_later (peer);
  resumable_reset (peer);
  rejoin (peer);
  for (guint64 i = peer->heard.received; i < 1 + 2 * 29; i++)
    resumable_send (peer, 0x43 + (i - 1) % 29, i, "again", 5);
  resumable_round_trip (peer, 1, "on");
  resumable_expect_confirmed (peer);
  g_assert_cmpuint (peer->confirmed, ==, 1 + 2 * 29 + 1);
}

/* Without a mode in the query, a session may have many streams if both ends announce that, and otherwise one. */
static void
check_many (guint16 flags,
            gboolean many)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = resumable_client_new (fixture_get_gateway_port (fixture), TEST_TOKEN, FALSE);

  peer->hello.flags = flags;
  rejoin (peer);
  g_assert_cmpuint (peer->heard.flags, ==, 1);
  resumable_open (peer, 1);
  resumable_send (peer, RESUMABLE_OPEN, 3, NULL, 0);
  if (!many)
    {
      resumable_expect_reset (peer, 3, RESUMABLE_RESET_LIMIT);
      resumable_round_trip (peer, 1, "one");
      return;
    }
  resumable_expect (peer, RESUMABLE_OPENED, 3);
  for (guint i = 0; i < 2; i++)
    {
      resumable_round_trip (peer, 1, "one");
      resumable_round_trip (peer, 3, "other");
      resumable_reset (peer);
      rejoin (peer);
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 2);
}

static void
test_many (void)
{
  check_many (0, FALSE);
  check_many (0x8000, FALSE);
  check_many (1, TRUE);
  check_many (0xffff, TRUE);
}

/* Each frame counts once: a duplicate would duplicate its bytes. A frame that was cut is sent again. */
static void
test_received_is_exact (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  char data[8];
  int fd;

  resumable_open (peer, 1);
  fd = target_accept (target);
  resumable_send_text (peer, RESUMABLE_DATA, 1, "whole");
  client_read (fd, data, 5);
  g_assert_cmpmem (data, 5, "whole", 5);
  /* The head of a masked WebSocket frame of 11 bytes, and some of these. */
  client_write (peer->fd, "\x82\x8b\0\0\0\0\3\0\0\0\0\0\0\1ha", 16);
  resumable_drop (peer);
  rejoin (peer);
  g_assert_cmpuint (peer->heard.received, ==, 2);
  resumable_send_text (peer, RESUMABLE_DATA, 1, "half");
  client_read (fd, data, 4);
  g_assert_cmpmem (data, 4, "half", 4);
  client_close (fd);
}

static void
test_superseded (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  int old;

  resumable_open (peer, 1);
  resumable_round_trip (peer, 1, "one");
  old = peer->fd;
  peer->fd = -1;
  rejoin (peer);
  ws_expect_close (old, 4001);
  resumable_round_trip (peer, 1, "two");
  client_close (old);
  resumable_round_trip (peer, 1, "three");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
}

/* A few frames are acknowledged after a while, many at once, and all of them before a FIN. */
static void
test_acknowledgements (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  char data[10];
  int fd;

  resumable_open (peer, 1);
  resumable_expect_confirmed (peer);
  fd = target_accept (target);
  for (guint i = 0; i < 100; i++)
    resumable_send_text (peer, RESUMABLE_DATA, 1, "x");
  resumable_expect_confirmed (peer);

  for (guint i = 0; i < 100; i++)
    client_read (fd, data, 1);
  resumable_send_text (peer, RESUMABLE_DATA, 1, "the last");
  client_read (fd, data, 8);
  client_close (fd);
  resumable_expect (peer, RESUMABLE_FIN, 1);
  g_assert_cmpuint (peer->confirmed, ==, peer->sent);
}

/* Each WebSocket begins with an ACK, even if everything was acknowledged before. */
static void
test_acknowledged_on_every_websocket (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  ResumableFrame frame;

  resumable_open (peer, 1);
  resumable_round_trip (peer, 1, "hello");
  resumable_expect_confirmed (peer);
  for (guint i = 0; i < 3; i++)
    {
      resumable_reset (peer);
      rejoin (peer);
      g_assert_true (resumable_receive (peer, &frame));
      g_assert_cmpuint (frame.type, ==, RESUMABLE_ACK);
      g_assert_cmpuint (peer->confirmed, ==, 2);
    }
}

/* The client's FIN is passed on only when the client has acknowledged that of the target. */
static void
test_fin_is_kept_back (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  char data[4];
  int fd;

  resumable_open (peer, 1);
  fd = target_accept (target);
  client_finish (fd);
  resumable_expect (peer, RESUMABLE_FIN, 1);
  resumable_send_text (peer, RESUMABLE_DATA, 1, "last");
  resumable_send (peer, RESUMABLE_FIN, 1, NULL, 0);
  client_read (fd, data, sizeof data);
  resumable_expect_confirmed (peer);
  g_assert_false (client_has_ended (fd));
  resumable_send_ack (peer, peer->taken);
  client_expect_eof (fd);
  client_close (fd);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);

  /* The id may be used again. */
  resumable_send (peer, RESUMABLE_OPEN, 1, NULL, 0);
  resumable_expect (peer, RESUMABLE_OPENED, 1);
}

/* When both ends have sent their FIN, the id may be used again at once. */
static void
test_id_is_free_at_once (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  int first, second;

  resumable_open (peer, 1);
  first = target_accept (target);
  client_finish (first);
  resumable_expect (peer, RESUMABLE_FIN, 1);
  resumable_send (peer, RESUMABLE_FIN, 1, NULL, 0);
  resumable_open (peer, 1);
  second = target_accept (target);
  client_expect_end (first);
  client_write (second, "new", 3);
  resumable_expect_data (peer, 1, "new");
  client_close (first);
  client_close (second);
}

/* An intermediary may fragment messages. */
static void
test_fragments (void)
{
  static const char pieces[] =
    "\x02\x83\0\0\0\0\3\0\0"
    "\x89\x80\0\0\0\0"
    "\x00\x80\0\0\0\0"
    "\x00\x86\0\0\0\0\0\0\0\0\1h"
    "\x80\x84\0\0\0\0ello";
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);

  resumable_open (peer, 1);
  for (guint i = 0; i < 3; i++)
    {
      client_write (peer->fd, pieces, sizeof pieces - 1);
      peer->sent++;
      resumable_expect_data (peer, 1, "hello");
    }
}

/* A message that is cut between two fragments leaves nothing behind. */
static void
test_fragments_and_break (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);

  resumable_open (peer, 1);
  client_write (peer->fd, "\x02\x89\0\0\0\0\3\0\0\0\0\0\0\1x", 15);
  resumable_drop (peer);
  rejoin (peer);
  resumable_round_trip (peer, 1, "whole");
}

static void
test_resets (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  int fd;

  resumable_open (peer, 1);
  fd = target_accept (target);
  resumable_send_code (peer, RESUMABLE_RESET, 1, RESUMABLE_RESET_BROKEN, "it broke");
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);

  resumable_open (peer, 3);
  fd = target_accept (target);
  client_reset (fd);
  resumable_expect_reset (peer, 3, RESUMABLE_RESET_BROKEN);

  /* An unknown code is treated as a reset. */
  resumable_open (peer, 5);
  fd = target_accept (target);
  resumable_send_code (peer, RESUMABLE_RESET, 5, 4711, "");
  client_expect_reset (fd);
  client_close (fd);
}

/* Frames of unknown streams, as may be in transit after a reset, are counted and ignored. */
static void
test_frames_of_unknown_streams (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);

  resumable_open (peer, 1);
  for (guint32 id = 2; id < 6; id++)
    {
      resumable_send_text (peer, RESUMABLE_DATA, id, "nobody's");
      resumable_send_window (peer, id, 1);
      resumable_send (peer, RESUMABLE_FIN, id, NULL, 0);
      resumable_send_code (peer, RESUMABLE_RESET, id, 1, "");
      resumable_send (peer, RESUMABLE_OPENED, id, NULL, 0);
    }
  resumable_round_trip (peer, 1, "unharmed");
  resumable_expect_confirmed (peer);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
}

static void
test_text_messages (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);

  resumable_open (peer, 1);
  ws_send (peer->fd, WS_TEXT, "\3\0\0\0\0\0\0\1text", 12);
  peer->sent++;
  resumable_expect_data (peer, 1, "text");
}

/* GOAWAY ends the session at once, whatever the session timeout is. */
static void
test_goaway (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  ResumableFrame frame;
  int fds[3];

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      resumable_open (peer, 1 + 2 * i);
      fds[i] = target_accept (target);
    }
  resumable_send_code (peer, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DONE, "");
  ws_send_close (peer->fd, 1000);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_expect_reset (fds[i]);
      client_close (fds[i]);
    }
  while (resumable_receive (peer, &frame))
    ;
  client_close (peer->fd);
  peer->fd = -1;
  g_assert_cmpuint (resumable_client_try (peer, NULL), ==, 410);
}

/* A close frame without GOAWAY may come from an intermediary: the session continues. */
static void
test_close_is_no_goaway (void)
{
  const guint16 codes[] = { 1000, 1001, 1002, 1011, 4000, 4002 };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start (target);
  g_autoptr (ResumablePeer) peer = join (fixture);
  ResumableFrame frame;

  resumable_open (peer, 1);
  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_test_message ("code %u", codes[i]);
      ws_send_close (peer->fd, codes[i]);
      while (resumable_receive (peer, &frame))
        ;
      client_close (peer->fd);
      peer->fd = -1;
      rejoin (peer);
      resumable_round_trip (peer, 1, "still here");
    }
  g_assert_cmpuint (target_get_counters (target).accepted, ==, 1);
}

/* The connections of a client that was killed end after the session timeout. */
static void
test_killed_client (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (ResumablePeer) killed = NULL;
  g_autoptr (ResumablePeer) other = NULL;

  g_object_set (fixture->gateway, "session-timeout", test_scaled_ms (200), NULL);
  fixture_start_gateway (fixture);
  killed = join (fixture);
  other = join (fixture);
  resumable_open (other, 1);
  for (guint32 id = 1; id < 40; id += 2)
    {
      resumable_open (killed, id);
      resumable_round_trip (killed, id, "hello");
    }
  g_assert_cmpuint (target_get_counters (target).open, ==, 21);
  resumable_reset (killed);
  g_assert_true (target_wait_open (target, 1));
  g_assert_cmpuint (target_get_counters (target).resets, ==, 20);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 1);
  g_assert_cmpuint (resumable_client_try (killed, NULL), ==, 410);
  resumable_round_trip (other, 1, "still here");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/wire-gateway/hello", test_hello);
  g_test_add_func ("/wire-gateway/instance-stays", test_instance_stays);
  g_test_add_func ("/wire-gateway/replay", test_replay);
  g_test_add_func ("/wire-gateway/later", test_later);
  g_test_add_func ("/wire-gateway/many", test_many);
  g_test_add_func ("/wire-gateway/received-is-exact", test_received_is_exact);
  g_test_add_func ("/wire-gateway/superseded", test_superseded);
  g_test_add_func ("/wire-gateway/acknowledgements", test_acknowledgements);
  g_test_add_func ("/wire-gateway/acknowledged-on-every-websocket", test_acknowledged_on_every_websocket);
  g_test_add_func ("/wire-gateway/fin-is-kept-back", test_fin_is_kept_back);
  g_test_add_func ("/wire-gateway/id-is-free-at-once", test_id_is_free_at_once);
  g_test_add_func ("/wire-gateway/fragments", test_fragments);
  g_test_add_func ("/wire-gateway/fragments-and-break", test_fragments_and_break);
  g_test_add_func ("/wire-gateway/resets", test_resets);
  g_test_add_func ("/wire-gateway/frames-of-unknown-streams", test_frames_of_unknown_streams);
  g_test_add_func ("/wire-gateway/text-messages", test_text_messages);
  g_test_add_func ("/wire-gateway/goaway", test_goaway);
  g_test_add_func ("/wire-gateway/close-is-no-goaway", test_close_is_no_goaway);
  g_test_add_func ("/wire-gateway/killed-client", test_killed_client);

  return g_test_run ();
}
