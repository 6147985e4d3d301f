/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client of resumable/1 that sends invalid frames loses its session, and other sessions are not affected. */

#include "bad-frames.h"
#include "limits-rig.h"

#define MIB (1 << 20)

/* Frames */

static void
test_bad_frames (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();

  for (guint i = 0; i < n_bad_frames; i++)
    {
      g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

      g_test_message ("%s", bad_frames[i].what);
      /* OPENED is the only frame that the gateway has sent. */
      resumable_open (peer, 1);
      resumable_send_message (peer, bad_frames[i].bytes, bad_frames[i].length);
      limits_rig_expect_error (&rig, peer);
    }
}

/* Even ids belong to the gateway. */
static void
test_parity (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();

  for (guint32 id = 2; id <= 4; id += 2)
    {
      g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

      resumable_open (peer, 1);
      resumable_send (peer, RESUMABLE_OPEN, id, NULL, 0);
      limits_rig_expect_error (&rig, peer);
    }
}

/* No frame may follow the FIN of a stream. */
static void
test_after_fin (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_mute ());

  limits_rig_start (&rig);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);

      resumable_open (peer, 1);
      resumable_send_text (peer, RESUMABLE_DATA, 1, "last");
      resumable_send (peer, RESUMABLE_FIN, 1, NULL, 0);
      if (i == 0)
        resumable_send_text (peer, RESUMABLE_DATA, 1, "and more");
      else
        resumable_send (peer, RESUMABLE_FIN, 1, NULL, 0);
      resumable_expect_goaway (peer, RESUMABLE_GOAWAY_PROTOCOL, 1002);
    }
}

static void
check_oversized (LimitsRig *rig,
                 ResumableType type,
                 guint32 id,
                 gsize length)
{
  g_autoptr (ResumablePeer) peer = limits_rig_join (rig);
  g_autofree char *payload = g_strnfill (length, 'x');

  g_test_message ("type %02x with %zu bytes", type, length);
  resumable_open (peer, 1);
  resumable_send (peer, type, id, payload, length);
  limits_rig_expect_error (rig, peer);
}

static void
test_oversized (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  guint32 largest = rig.innocent->heard.max_payload;

  check_oversized (&rig, RESUMABLE_OPEN, 3, 513);
  check_oversized (&rig, RESUMABLE_OPEN, 3, 1000000);
  check_oversized (&rig, RESUMABLE_RESET, 1, 4 + 513);
  check_oversized (&rig, RESUMABLE_RESET, 1, 1000000);
  check_oversized (&rig, RESUMABLE_GOAWAY, 0, 4 + 513);
  check_oversized (&rig, RESUMABLE_DATA, 1, (gsize) largest + 1);
  check_oversized (&rig, RESUMABLE_DATA, 1, 4 * MIB);
}

/* A frame of the maximum size is valid. */
static void
test_largest (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = limits_rig_join (&rig);
  g_autofree char *reason = g_strnfill (512, 'x');
  guint32 largest = MIN (peer->heard.max_payload, peer->heard.window);
  gsize echoed = 0;

  resumable_open (peer, 1);
  resumable_send_stream (peer, 1, largest, 0, 0);
  while (echoed < largest)
    echoed += resumable_expect (peer, RESUMABLE_DATA, 1).length;
  resumable_send_window (peer, 1, G_MAXINT32 - peer->hello.window);
  resumable_send_ack (peer, peer->taken);
  resumable_send_code (peer, RESUMABLE_RESET, 1, 1, reason);
  g_assert_true (target_wait_open (rig.target, 1));
  resumable_open (peer, 3);
  resumable_round_trip (peer, 3, "fine");
}

/* A connection that is refused neither counts against max-connections nor frees a place. */
static void
test_places (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) other = NULL;

  /* The client that behaves has one connection. */
  g_object_set (rig.fixture->gateway, "max-connections", 3, NULL);
  limits_rig_start (&rig);
  other = limits_rig_join (&rig);
  resumable_open (other, 1);
  resumable_open (other, 3);
  for (guint32 id = 3; id <= 7; id += 2)
    {
      resumable_send (rig.innocent, RESUMABLE_OPEN, id, NULL, 0);
      resumable_expect_reset (rig.innocent, id, RESUMABLE_RESET_LIMIT);
    }

  resumable_send_code (other, RESUMABLE_RESET, 3, RESUMABLE_RESET_BROKEN, "enough");
  resumable_expect_confirmed (other);
  resumable_open (rig.innocent, 9);
  resumable_send (other, RESUMABLE_OPEN, 5, NULL, 0);
  resumable_expect_reset (other, 5, RESUMABLE_RESET_LIMIT);
}

/* HELLO */

static void
check_bad_hello (LimitsRig *rig,
                 const char *what,
                 ResumableHello hello)
{
  g_autoptr (ResumablePeer) peer = resumable_client_new (rig->innocent->port, TEST_TOKEN, TRUE);

  g_test_message ("%s", what);
  resumable_client_connect (peer);
  resumable_send_hello (peer, &hello);
  resumable_expect_goaway (peer, RESUMABLE_GOAWAY_PROTOCOL, 1002);
  resumable_round_trip (rig->innocent, 1, "unharmed");
}

static void
test_bad_hello (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  ResumableHello good = rig.innocent->hello;
  ResumableHello bad;

  good.instance = good.received = 0;
#define CHECK(field, value) \
  G_STMT_START \
  { \
    bad = good; \
    bad.field = (value); \
    check_bad_hello (&rig, #field " " #value, bad); \
  } \
  G_STMT_END

  CHECK (version, 0);
  CHECK (version, 2);
  CHECK (received, 1);
  CHECK (received, G_MAXUINT64);
  CHECK (max_payload, 0);
  CHECK (max_payload, 1023);
  CHECK (n_later, 512 - 40 + 1);
  CHECK (window, (guint32) G_MAXINT32 + 1);
#undef CHECK
}

/* The first frame has to be a HELLO of the right size. */
static void
check_first_frame (LimitsRig *rig,
                   const char *what,
                   guint8 type,
                   guint32 id,
                   gsize length)
{
  static const guint8 payload[520] = { [1] = 1, [21] = 4, [25] = 4, [30] = 16 };
  g_autoptr (ResumablePeer) peer = resumable_client_new (rig->innocent->port, TEST_TOKEN, TRUE);

  g_test_message ("%s", what);
  resumable_client_connect (peer);
  resumable_send (peer, type, id, payload, length);
  resumable_expect_goaway (peer, RESUMABLE_GOAWAY_PROTOCOL, 1002);
}

static void
test_hello_order (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) twice = NULL;

  check_first_frame (&rig, "a short HELLO", RESUMABLE_HELLO, 0, 39);
  check_first_frame (&rig, "a long HELLO", RESUMABLE_HELLO, 0, 513);
  check_first_frame (&rig, "HELLO of a stream", RESUMABLE_HELLO, 1, 40);
  check_first_frame (&rig, "OPEN before HELLO", RESUMABLE_OPEN, 1, 0);
  check_first_frame (&rig, "DATA before HELLO", RESUMABLE_DATA, 1, 1);
  check_first_frame (&rig, "ACK before HELLO", RESUMABLE_ACK, 0, 8);
  check_first_frame (&rig, "a frame of a later version before HELLO", 0x43, 0, 8);
  check_first_frame (&rig, "one that is not counted before HELLO", 0x60, 0, 8);

  twice = limits_rig_join (&rig);
  resumable_open (twice, 1);
  twice->hello.instance = twice->heard.instance;
  resumable_say_hello (twice);
  limits_rig_expect_error (&rig, twice);
  g_assert_true (target_wait_accepted (rig.target, 2));
  g_assert_cmpuint (target_get_counters (rig.target).accepted, ==, 2);
}

/* A client that opens a WebSocket and sends no HELLO is disconnected after a while. */
static void
test_silent_client (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) silent = NULL;

  g_object_set (rig.fixture->gateway, "connect-timeout", test_scaled_ms (200), NULL);
  limits_rig_start (&rig);
  silent = resumable_client_new (rig.innocent->port, TEST_TOKEN, TRUE);
  resumable_client_connect (silent);
  client_expect_end (silent->fd);
  resumable_round_trip (rig.innocent, 1, "unharmed");
}

/* Returns a client of a session with three frames in each direction, of which the client has acknowledged two. It has
 * to send its HELLO. */
static ResumablePeer *
make_history (LimitsRig *rig)
{
  ResumablePeer *peer = limits_rig_join (rig);

  resumable_open (peer, 1);
  resumable_round_trip (peer, 1, "one");
  resumable_round_trip (peer, 1, "two");
  g_assert_cmpuint (peer->taken, ==, 3);
  resumable_send_ack (peer, 2);
  /* The answer to a frame after the ACK shows that the ACK was read. */
  resumable_round_trip (peer, 1, "three");
  resumable_reset (peer);
  resumable_client_connect (peer);
  g_assert_cmpuint (peer->heard.received, ==, 4);

  return peer;
}

static void
check_false_hello (LimitsRig *rig,
                   const char *what,
                   gboolean other_instance,
                   gboolean no_instance,
                   guint64 received)
{
  g_autoptr (ResumablePeer) peer = make_history (rig);
  ResumableHello hello = peer->hello;

  g_test_message ("%s", what);
  if (other_instance)
    hello.instance ^= 1;
  if (no_instance)
    hello.instance = 0;
  hello.received = received;
  resumable_send_hello (peer, &hello);
  limits_rig_expect_error (rig, peer);
}

static void
test_false_hello (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();

  check_false_hello (&rig, "more than was sent", FALSE, FALSE, 5);
  check_false_hello (&rig, "much more than was sent", FALSE, FALSE, G_MAXUINT64);
  check_false_hello (&rig, "less than was acknowledged", FALSE, FALSE, 1);
  check_false_hello (&rig, "nothing at all", FALSE, FALSE, 0);
  check_false_hello (&rig, "of another session", TRUE, FALSE, 4);
  check_false_hello (&rig, "of none", FALSE, TRUE, 4);
  check_false_hello (&rig, "of none, and nothing", FALSE, TRUE, 0);
}

/* Valid values in place of the invalid ones above. */
static void
test_valid_hello (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();

  for (guint64 received = 2; received <= 4; received++)
    {
      g_autoptr (ResumablePeer) peer = make_history (&rig);

      peer->taken = received;
      resumable_say_hello (peer);
      if (received == 2)
        resumable_expect_data (peer, 1, "two");
      if (received <= 3)
        resumable_expect_data (peer, 1, "three");
      resumable_round_trip (peer, 1, "four");
    }
}

/* A client that knows another instance of the session gets a new session, as the gateway's instance shows. */
static void
test_other_instance_at_first (void)
{
  g_auto (LimitsRig) rig = limits_rig_new_started ();
  g_autoptr (ResumablePeer) peer = resumable_client_new (rig.innocent->port, TEST_TOKEN, TRUE);

  resumable_client_connect (peer);
  peer->hello.instance = peer->heard.instance + 1;
  peer->taken = 1000;
  resumable_say_hello (peer);
  peer->taken = 0;
  resumable_open (peer, 1);
  resumable_round_trip (peer, 1, "a new life");
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/limits-gateway/bad-frames", test_bad_frames);
  g_test_add_func ("/limits-gateway/parity", test_parity);
  g_test_add_func ("/limits-gateway/after-fin", test_after_fin);
  g_test_add_func ("/limits-gateway/oversized", test_oversized);
  g_test_add_func ("/limits-gateway/largest", test_largest);
  g_test_add_func ("/limits-gateway/places", test_places);
  g_test_add_func ("/limits-gateway/bad-hello", test_bad_hello);
  g_test_add_func ("/limits-gateway/hello-order", test_hello_order);
  g_test_add_func ("/limits-gateway/silent-client", test_silent_client);
  g_test_add_func ("/limits-gateway/false-hello", test_false_hello);
  g_test_add_func ("/limits-gateway/valid-hello", test_valid_hello);
  g_test_add_func ("/limits-gateway/other-instance-at-first", test_other_instance_at_first);

  return g_test_run ();
}
