/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client of resumable/1 that exceeds its limits: of streams, of credit, of unacknowledged bytes, of targets. */

#include "limits-rig.h"

#define KIB 1024
#define MIB (1 << 20)

/* A client may use all of its credit, but not a byte more. The target does not accept the connection, so that the
 * gateway grants no more credit. */
static void
test_credit_overrun (void)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (ResumablePeer) peer = NULL;

  g_object_set (fixture->gateway, "connect-timeout", 600000, NULL);
  fixture_start_gateway (fixture);
  peer = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  for (guint32 id = 1; id <= 3; id += 2)
    {
      guint32 left = peer->heard.window;

      resumable_send (peer, RESUMABLE_OPEN, id, NULL, 0);
      while (left > 0)
        {
          guint32 length = MIN (left, peer->heard.max_payload);

          resumable_send_stream (peer, id, length, 0, 0);
          left -= length;
        }
      resumable_expect_confirmed (peer);
    }
  g_assert_cmpuint (test_figure (fixture->gateway, open_connections), ==, 2);

  resumable_send_text (peer, RESUMABLE_DATA, 1, "x");
  resumable_expect_reset (peer, 1, RESUMABLE_RESET_FLOW_CONTROL);
  /* Data that was in transit is discarded; the other stream still waits. */
  resumable_send_text (peer, RESUMABLE_DATA, 1, "x");
  resumable_expect_confirmed (peer);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 1);
}

static void
test_forbidden_target (void)
{
  const char *targets[] = { "example.com:80", "127.0.0.1:1", "[::1]:22", "nonsense", ":" };
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      resumable_send_text (peer, RESUMABLE_OPEN, 1 + 2 * i, targets[i]);
      resumable_expect_reset (peer, 1 + 2 * i, RESUMABLE_RESET_FORBIDDEN);
    }
  resumable_open (peer, 101);
  resumable_round_trip (peer, 101, "allowed");
  resumable_round_trip (rig.innocent, 1, "unharmed");
  g_assert_cmpuint (target_get_counters (rig.target).accepted, ==, 2);
}

/* Ids may be used again in any order as soon as they are free. */
static void
test_ids (void)
{
  const guint32 ids[] = { 1, 0xffffffff, 3, 0x7fffffff, 0x80000001, 5 };
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
        resumable_open (peer, ids[i]);
      for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
        resumable_round_trip (peer, ids[i], "hello");
      for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
        resumable_send_code (peer, RESUMABLE_RESET, ids[i], 1, "");
      g_assert_true (target_wait_open (rig.target, 1));
    }
}

static void
test_too_many_streams (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) peer = NULL;

  g_object_set (rig.fixture->gateway, "max-connections", 4, NULL);
  limits_rig_start (&rig);
  peer = limits_rig_join (&rig);
  for (guint32 id = 1; id <= 5; id += 2)
    resumable_open (peer, id);
  resumable_send (peer, RESUMABLE_OPEN, 7, NULL, 0);
  resumable_expect_reset (peer, 7, RESUMABLE_RESET_LIMIT);
  resumable_send_code (peer, RESUMABLE_RESET, 1, 1, "");
  g_assert_true (target_wait_open (rig.target, 3));
  WAIT_UNTIL (test_figure (rig.fixture->gateway, open_connections) == 3);
  resumable_open (peer, 9);
  resumable_round_trip (peer, 9, "room again");
  resumable_round_trip (rig.innocent, 1, "unharmed");
}

/* A client frame with a mask of zeros. */
#define OPEN_SIZE 14

static GByteArray *
make_opens (guint count)
{
  GByteArray *opens = g_byte_array_sized_new (count * OPEN_SIZE);

  for (guint i = 0; i < count; i++)
    {
      guint32 id = GUINT32_TO_BE (1 + 2 * i);

      g_byte_array_append (opens, (const guint8 *) "\x82\x88\0\0\0\0\1\0\0\0", 10);
      g_byte_array_append (opens, (const guint8 *) &id, sizeof id);
    }

  return opens;
}

static void
check_growth (guint64 before,
              guint64 allowed)
{
  guint64 after = test_memory ("VmRSS");

  g_test_message ("%" G_GUINT64_FORMAT " KiB before, %" G_GUINT64_FORMAT " KiB after", before / KIB, after / KIB);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (after, <, before + allowed);
}

#define SLOTS 10

/* Each OPEN is answered: the first ones are accepted, the others are refused, and memory does not grow with them. */
static void
test_many_opens (void)
{
  guint count = test_count (100000, 5000);
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (GByteArray) opens = make_opens (count);
  guint opened = 0, refused = 0;
  gsize pushed = 0;
  guint64 before;

  g_object_set (rig.fixture->gateway, "max-connections", SLOTS, NULL);
  limits_rig_start (&rig);
  peer = limits_rig_join (&rig);
  before = test_memory ("VmRSS");
  while (opened + refused < count)
    {
      gsize piece = MIN (opens->len - pushed, 1000 * OPEN_SIZE);
      ResumableFrame frame;

      if (piece > 0)
        client_write (peer->fd, opens->data + pushed, piece);
      pushed += piece;
      peer->sent = pushed / OPEN_SIZE;
      while (opened + refused < peer->sent)
        {
          g_assert_true (resumable_receive (peer, &frame));
          opened += frame.type == RESUMABLE_OPENED;
          refused += frame.type == RESUMABLE_RESET;
          if (frame.type == RESUMABLE_RESET)
            g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_RESET_LIMIT);
        }
      resumable_send_ack (peer, peer->taken);
    }
  g_assert_cmpuint (opened, ==, SLOTS - 1);
  check_growth (before, 8 * MIB);
  resumable_round_trip (rig.innocent, 1, "unharmed");
}

/* The client neither reads nor acknowledges the refusals: the memory for them is bounded. */
static void
test_many_opens_unread (void)
{
  guint count = test_count (100000, 5000);
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (GByteArray) opens = make_opens (count);
  guint64 before;

  g_object_set (rig.fixture->gateway, "max-connections", SLOTS, "max-unacknowledged-bytes", MIB, NULL);
  limits_rig_start (&rig);
  peer = limits_rig_join (&rig);
  before = test_memory ("VmRSS");
  client_push (peer->fd, opens->data, opens->len, 300);
  resumable_round_trip (rig.innocent, 1, "unharmed");
  g_assert_cmpuint (test_figure (rig.fixture->gateway, unacknowledged_bytes), <=, 2 * MIB);
  check_growth (before, 24 * MIB);
}

/* Reads all answers and acknowledges none. Returns FALSE if the gateway ended the session. */
static gboolean
push_unacknowledged (ResumablePeer *peer,
                     GByteArray    *opens)
{
  ResumableFrame frame = { 0 };
  guint answers = 0;

  for (gsize pushed = 0; pushed < opens->len && frame.type != RESUMABLE_GOAWAY; pushed += 100 * OPEN_SIZE)
    {
      client_push (peer->fd, opens->data + pushed, 100 * OPEN_SIZE, 300);
      peer->sent += 100;
      while (answers < peer->sent && frame.type != RESUMABLE_GOAWAY)
        {
          g_assert_true (resumable_receive (peer, &frame));
          answers += frame.type == RESUMABLE_OPENED || frame.type == RESUMABLE_RESET;
        }
    }
  g_test_message ("%u answers", answers);
  return frame.type != RESUMABLE_GOAWAY;
}

/* A client that reads the refusals but never acknowledges them loses its session, even if much more data may be
 * buffered. */
static void
test_many_opens_unacknowledged (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (GByteArray) opens = make_opens (40000);

  g_object_set (rig.fixture->gateway, "max-connections", SLOTS, NULL);
  limits_rig_start (&rig);
  peer = limits_rig_join (&rig);
  g_assert_false (push_unacknowledged (peer, opens));
  resumable_round_trip (rig.innocent, 1, "unharmed");
}

/* Nor can several clients, each below its own limit, exceed the limit for all of them. */
static void
test_many_opens_in_many_sessions (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func ((GDestroyNotify) resumable_peer_free);
  g_autoptr (GByteArray) opens = make_opens (5000);
  const gsize cap = 8 * MIB;
  const gsize shared = cap / 2;
  /* A quarter is for clients without a token, and of the rest each client has a part of its own. */
  const guint64 memory = (cap + SLOTS * 40 * KIB) / 3 * 4;
  guint64 kept = 0;
  guint ended = 0;

  g_object_set (rig.fixture->gateway, "max-connections", SLOTS, "max-memory", memory, NULL);
  limits_rig_start (&rig);
  for (guint i = 1; i < SLOTS; i++)
    {
      g_ptr_array_add (peers, limits_rig_join (&rig));
      ended += !push_unacknowledged (peers->pdata[i - 1], opens);
      kept = MAX (kept, test_figure (rig.fixture->gateway, unacknowledged_bytes));
    }
  g_test_message ("%" G_GUINT64_FORMAT " bytes at most, %u sessions ended", kept, ended);
  g_assert_cmpuint (kept, >, shared / 2);
  g_assert_cmpuint (kept, <=, shared + SLOTS * 32 * KIB);
  g_assert_cmpuint (ended, >, 0);
  resumable_round_trip (rig.innocent, 1, "unharmed");
}

/* The target sends without end, and the client acknowledges only when the limit is almost reached: the limit is never
 * exceeded, and each acknowledgement makes the stream continue. */
static void
test_never_acknowledges (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_source (G_MAXUINT64, 0));
  g_autoptr (ResumablePeer) peer = NULL;
  guint64 received = 0;
  guint32 cap = MIB;

  g_object_set (rig.fixture->gateway, "max-unacknowledged-bytes", cap, NULL);
  fixture_start_gateway (rig.fixture);
  peer = resumable_client_new (fixture_get_gateway_port (rig.fixture), TEST_TOKEN, TRUE);
  resumable_client_connect (peer);
  peer->hello.window = 64 * MIB;
  resumable_say_hello (peer);
  resumable_send (peer, RESUMABLE_OPEN, 1, NULL, 0);
  resumable_expect (peer, RESUMABLE_OPENED, 1);

  for (guint round = 1; round <= 10; round++)
    {
      /* The number of bytes that fit depends on the size of the frames: half of the limit always does. */
      guint64 due = (guint64) round * (cap / 2);

      while (received < due || test_figure (rig.fixture->gateway, unacknowledged_bytes) <= cap - 128 * KIB)
        {
          ResumableFrame frame = resumable_expect (peer, RESUMABLE_DATA, 1);
          g_autofree guint8 *expected = g_malloc (frame.length);

          test_fill (expected, frame.length, 0, received);
          g_assert_cmpmem (frame.payload, frame.length, expected, frame.length);
          received += frame.length;
          g_assert_cmpuint (test_figure (rig.fixture->gateway, unacknowledged_bytes), <=, cap);
        }
      resumable_send_ack (peer, peer->taken);
    }
}

/* A singleton session has only one stream. */
static void
test_second_stream_of_singleton (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = resumable_client_start (rig.innocent->port, TEST_TOKEN, FALSE);
  ResumableFrame frame;

  resumable_open (peer, 1);
  resumable_send (peer, RESUMABLE_OPEN, 3, NULL, 0);
  /* The second stream is refused, or the session ends; there is no second connection in either case. */
  while (resumable_receive (peer, &frame) && frame.type == RESUMABLE_ACK)
    ;
  if (peer->close_code == 0)
    g_assert_true (frame.type == RESUMABLE_GOAWAY || (frame.type == RESUMABLE_RESET && frame.id == 3));
  resumable_round_trip (rig.innocent, 1, "unharmed");
  /* The kernel may complete a connection before the target accepts it. */
  g_assert_true (target_wait_accepted (rig.target, 2));
  g_assert_cmpuint (target_get_counters (rig.target).accepted, ==, 2);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/limits-streams/credit-overrun", test_credit_overrun);
  g_test_add_func ("/limits-streams/forbidden-target", test_forbidden_target);
  g_test_add_func ("/limits-streams/ids", test_ids);
  g_test_add_func ("/limits-streams/too-many-streams", test_too_many_streams);
  g_test_add_func ("/limits-streams/many-opens", test_many_opens);
  g_test_add_func ("/limits-streams/many-opens-unread", test_many_opens_unread);
  g_test_add_func ("/limits-streams/many-opens-unacknowledged", test_many_opens_unacknowledged);
  g_test_add_func ("/limits-streams/many-opens-in-many-sessions", test_many_opens_in_many_sessions);
  g_test_add_func ("/limits-streams/never-acknowledges", test_never_acknowledges);
  g_test_add_func ("/limits-streams/second-stream-of-singleton", test_second_stream_of_singleton);

  return g_test_run ();
}
