/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client that does not read blocks its own connection only, and the buffered data is bounded, for one connection
 * and for all of them. */

#include "resume-rig.h"

#include "resumable-peer.h"

#include <poll.h>

#define KIB 1024

/* A window may have grown to 16 MiB, and the kernel buffers some MiB for each socket. */
#define ENOUGH (64ull * MIB)
#define QUIET_MS 200

static void
check_growth (guint64 before,
              guint64 allowed)
{
  guint64 after = test_memory ("VmRSS");

  g_test_message ("%" G_GUINT64_FORMAT " KiB before, %" G_GUINT64_FORMAT " KiB after", before / KIB, after / KIB);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (after, <, before + allowed);
}

static void
pass_both_ways (Pair *pair,
                guint64 size)
{
  client_pass_stream (pair->client, pair->target, size, 1, 0);
  client_pass_stream (pair->target, pair->client, size, 2, 0);
}

/* Several stalled connections, in both directions, besides one that transfers data. */
static void
test_stalled_streams (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  Pair stalled[8];
  guint64 up[G_N_ELEMENTS (stalled)], down[G_N_ELEMENTS (stalled)];
  Pair busy = pair_open (fixture, target);

  for (guint i = 0; i < G_N_ELEMENTS (stalled); i++)
    {
      stalled[i] = pair_open (fixture, target);
      up[i] = i % 2 == 0 ? client_blast (stalled[i].client, ENOUGH, QUIET_MS) : 0;
      down[i] = i % 2 == 1 ? client_blast (stalled[i].target, ENOUGH, QUIET_MS) : 0;
      g_assert_cmpuint (up[i], <, ENOUGH);
      g_assert_cmpuint (down[i], <, ENOUGH);
    }

  /* More than any window: credit is granted all the time. */
  pass_both_ways (&busy, test_count (64, 20) * MIB);
  fault_proxy_reset (fixture->proxy);
  pass_both_ways (&busy, 4 * MIB);
  resume_expect (fixture, 1);

  /* The data of the stalled connections is not lost. */
  for (guint i = 0; i < G_N_ELEMENTS (stalled); i++)
    {
      client_read_stream (stalled[i].target, up[i], 0, 0);
      client_read_stream (stalled[i].client, down[i], 0, 0);
      pair_round_trip (&stalled[i]);
      pair_clear (&stalled[i]);
    }
  pair_clear (&busy);
}

/* A client that reads very little at a time. */
static void
test_slow_reader (TcpTunnelMode mode)
{
  guint64 size = 4 * MIB, read = 0;
  g_autoptr (Target) target = target_new_source (size, 6);
  g_autoptr (Fixture) fixture = resume_start (target, mode);
  int fd = fixture_connect (fixture);

  client_set_receive_buffer (fd, 16384);
  while (read < size)
    {
      gsize piece = MIN (10000, size - read);

      client_read_stream (fd, piece, 6, read);
      read += piece;
    }
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (fixture, 1, -1);
}

static Fixture *
start_small (Target *target,
             TcpTunnelMode mode)
{
  Fixture *fixture = resume_new (target, mode);

  g_object_set (fixture->tunnel, "max-unacknowledged-bytes", MIB, "max-window-bytes", MIB, NULL);
  g_object_set (fixture->gateway, "max-unacknowledged-bytes", MIB, "max-window-bytes", MIB, NULL);
  fixture_start (fixture);
  return fixture;
}

/* The smallest limits are kept, and all data arrives. */
static void
test_small_caps (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = start_small (target, mode);
  int fd = fixture_connect (fixture);

  client_echo_stream (fd, test_count (64, 16) * MIB, 1);
  fault_proxy_cut_after (fixture->proxy, FAULT_DOWN, MIB);
  client_echo_stream (fd, 4 * MIB, 2);
  resume_expect (fixture, 1);
  client_close (fd);
}

/* Both ends write as much as they can while there is no WebSocket. */
static void
test_bounded_while_away (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start_small (target, mode);
  g_auto (Pair) pair = pair_open (fixture, target);
  guint64 up, down, before;

  pair_round_trip (&pair);
  before = test_memory ("VmRSS");
  resume_go_away (fixture);
  up = client_blast (pair.client, ENOUGH, QUIET_MS);
  down = client_blast (pair.target, ENOUGH, QUIET_MS);
  g_assert_cmpuint (up, <, ENOUGH);
  g_assert_cmpuint (down, <, ENOUGH);
  g_assert_cmpuint (test_figure (fixture->tunnel, unacknowledged_bytes), <=, MIB + 64 * KIB);
  g_assert_cmpuint (test_figure (fixture->gateway, unacknowledged_bytes), <=, MIB + 64 * KIB);
  check_growth (before, 8 * MIB);
  resume_come_back (fixture);
  client_read_stream (pair.target, up, 0, 0);
  client_read_stream (pair.client, down, 0, 0);
  pair_round_trip (&pair);
}

/* Windows are counted while their connections are open, and credit that is never used does not accumulate. */
static void
test_windows_are_counted (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  int fds[20];

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_echo_stream (fds[i], MIB, i);
    }
  g_assert_cmpuint (test_figure (fixture->tunnel, receive_window), >, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, send_window), >, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, receive_window), <=, 64 * MIB);
  g_assert_cmpuint (test_figure (fixture->gateway, receive_window), <=, 64 * MIB);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
  WAIT_UNTIL (fixture->recorder->closed == G_N_ELEMENTS (fds));
  WAIT_UNTIL (test_figure (fixture->tunnel, receive_window) == 0);
  WAIT_UNTIL (test_figure (fixture->tunnel, send_window) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, receive_window) == 0);
  WAIT_UNTIL (test_figure (fixture->gateway, send_window) == 0);
}

/* The memory limit of the gateway. Each session may buffer 16 MiB, but not all of them together. */
#define SESSIONS 40
#define BUDGET (8 * MIB)
/* A quarter of it is for clients without a token, half of the rest for what each client has of its own. Of the
 * remaining part, half is for unacknowledged data: two thirds of the budget. */
#define MEMORY (BUDGET / 9 * 32)

static Fixture *
start_budget (Target *target)
{
  Fixture *fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);

  g_object_set (fixture->gateway, "max-memory", (guint64) MEMORY, "keepalive-interval", 0,
                /* so that no target that times out frees memory */
                "connect-timeout", 600000, NULL);
  fixture_start_gateway (fixture);
  return fixture;
}

static TcpTunnel *
start_tunnel (Fixture *fixture)
{
  g_autofree char *uri = test_dup_string (fixture->tunnel, "remote-uri");
  TcpTunnel *tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);

  g_object_set (tunnel, "resumption", TCP_TUNNEL_RESUMPTION_REQUIRED, NULL);
  test_tunnel_start (tunnel);
  return tunnel;
}

/* Acknowledges what arrives after the first frame: with something unacknowledged, a session has to wait for
 * memory. */
static void
expect_stream (ResumablePeer *peer,
               guint64 *received,
               guint64 size)
{
  guint64 begin = *received;

  while (*received < begin + size)
    {
      ResumableFrame frame = resumable_expect (peer, RESUMABLE_DATA, 1);
      g_autofree guint8 *expected = g_malloc (frame.length);

      test_fill (expected, frame.length, 0, *received);
      g_assert_cmpmem (frame.payload, frame.length, expected, frame.length);
      *received += frame.length;
      if (*received < begin + size)
        resumable_send_ack (peer, peer->taken);
    }
}

/* Targets that send without end to clients that acknowledge nothing. */
static void
test_budget_down (void)
{
  g_autoptr (Target) target = target_new_source (G_MAXUINT64, 0);
  g_autoptr (Fixture) fixture = start_budget (target);
  ResumablePeer *peers[SESSIONS];
  guint64 received[SESSIONS] = { 0 };
  guint64 before = test_memory ("VmRSS");

  for (guint i = 0; i < SESSIONS; i++)
    {
      peers[i] = resumable_client_new (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
      resumable_client_connect (peers[i]);
      peers[i]->hello.window = 64 * MIB;
      resumable_say_hello (peers[i]);
      resumable_open (peers[i], 1);
      resumable_send_ack (peers[i], peers[i]->taken);
    }
  /* A session without unacknowledged data may always send what its target has sent. */
  for (guint i = 0; i < SESSIONS; i++)
    {
      expect_stream (peers[i], &received[i], 1);
      g_assert_cmpuint (test_figure (fixture->gateway, unacknowledged_bytes), <=, BUDGET);
    }
  check_growth (before, 3 * BUDGET);

  /* All of them continue in turn as soon as they acknowledge. */
  for (guint round = 0; round < 10; round++)
    for (guint i = 0; i < SESSIONS; i++)
      {
        for (guint64 end = received[i] + 8 * KIB; received[i] < end;)
          {
            resumable_send_ack (peers[i], peers[i]->taken);
            expect_stream (peers[i], &received[i], 1);
          }
        g_assert_cmpuint (test_figure (fixture->gateway, unacknowledged_bytes), <=, BUDGET);
      }
  check_growth (before, 3 * BUDGET);
  for (guint i = 0; i < SESSIONS; i++)
    resumable_peer_free (peers[i]);
}

/* Clients use all of their credit while their targets do not read; then the targets read. */
static void
test_budget_up (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start_budget (target);
  ResumablePeer *peers[SESSIONS];
  int fds[SESSIONS];
  guint64 sent[SESSIONS] = { 0 };
  char data[4];
  guint64 before = test_memory ("VmRSS");

  for (guint i = 0; i < SESSIONS; i++)
    {
      peers[i] = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
      resumable_open (peers[i], 1);
      fds[i] = target_accept (target);
    }
  for (guint i = 0; i < SESSIONS; i++)
    {
      guint64 credit = peers[i]->heard.window;

      while (sent[i] < credit)
        {
          gsize length = MIN (16 * KIB, credit - sent[i]);

          resumable_send_stream (peers[i], 1, length, i, sent[i]);
          sent[i] += length;
        }
    }
  check_growth (before, 4 * BUDGET);
  for (guint i = 0; i < SESSIONS; i++)
    {
      client_read_stream (fds[i], sent[i], i, 0);
      resumable_expect (peers[i], RESUMABLE_WINDOW, 1);
      resumable_send_text (peers[i], RESUMABLE_DATA, 1, "more");
      client_read (fds[i], data, sizeof data);
      g_assert_cmpmem (data, sizeof data, "more", 4);
    }
  for (guint i = 0; i < SESSIONS; i++)
    {
      client_close (fds[i]);
      resumable_peer_free (peers[i]);
    }
}

/* A client that answers no pings, so that its path seems to be long: its window grows as it uses it. */
static ResumablePeer *
join_and_grow (Fixture *fixture,
               Target *target,
               guint64 window,
               guint64 *sent,
               guint64 *credit,
               int *fd)
{
  ResumablePeer *peer = resumable_client_new (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);

  peer->deaf = TRUE;
  resumable_client_connect (peer);
  resumable_say_hello (peer);
  resumable_open (peer, 1);
  *fd = target_accept (target);
  *sent = 0;
  *credit = peer->heard.window;
  for (guint pieces = 0; *credit - *sent < window && pieces < 4096; pieces++)
    {
      struct pollfd poll_fd = { .fd = peer->fd, .events = POLLIN };
      ResumableFrame frame;

      resumable_send_stream (peer, 1, 16 * KIB, 0, *sent);
      client_read_stream (*fd, 16 * KIB, 0, *sent);
      *sent += 16 * KIB;
      while (*credit - *sent < 16 * KIB || poll (&poll_fd, 1, 0) == 1)
        {
          g_assert_true (resumable_receive (peer, &frame));
          if (frame.type == RESUMABLE_WINDOW)
            *credit += resumable_get_u32 (&frame);
        }
    }

  return peer;
}

/* WebSocket frames with data for all of the credit. */
static GByteArray *
make_data (guint64 offset,
           guint64 end)
{
  static const guint8 head[16] = { 0x82, 0x80 | 126, 0x40, 8, [8] = RESUMABLE_DATA, [15] = 1 };
  GByteArray *frames = g_byte_array_new ();

  for (; offset + 16 * KIB <= end; offset += 16 * KIB)
    {
      g_byte_array_append (frames, head, sizeof head);
      g_byte_array_set_size (frames, frames->len + 16 * KIB);
      test_fill (frames->data + frames->len - 16 * KIB, 16 * KIB, 0, offset);
    }

  return frames;
}

/* Windows have grown while the targets read; then the targets stop reading, and all of the credit is used. What the
 * gateway does not buffer stays at the client, and is not lost. */
static void
test_budget_after_growth (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = start_budget (target);
  ResumablePeer *peers[12];
  GByteArray *frames[G_N_ELEMENTS (peers)];
  gsize pushed[G_N_ELEMENTS (peers)];
  guint64 sent[G_N_ELEMENTS (peers)], credit[G_N_ELEMENTS (peers)], before;
  int fds[G_N_ELEMENTS (peers)];

  for (guint i = 0; i < G_N_ELEMENTS (peers); i++)
    {
      peers[i] = join_and_grow (fixture, target, 12 * MIB, &sent[i], &credit[i], &fds[i]);
      frames[i] = make_data (sent[i], credit[i]);
    }
  g_test_message ("%" G_GUINT64_FORMAT " KiB of credit", test_figure (fixture->gateway, receive_window) / KIB);

  before = test_memory ("VmRSS");
  for (guint i = 0; i < G_N_ELEMENTS (peers); i++)
    pushed[i] = client_push (peers[i]->fd, frames[i]->data, frames[i]->len, QUIET_MS);
  check_growth (before, 3 * BUDGET);

  for (guint i = 0; i < G_N_ELEMENTS (peers); i++)
    {
      while (sent[i] + 16 * KIB <= credit[i])
        {
          pushed[i] += client_push (peers[i]->fd, frames[i]->data + pushed[i], frames[i]->len - pushed[i], 0);
          client_read_stream (fds[i], 16 * KIB, 0, sent[i]);
          sent[i] += 16 * KIB;
        }
      client_close (fds[i]);
      g_byte_array_unref (frames[i]);
      resumable_peer_free (peers[i]);
    }
}

/* Tunnels that stall do not block another one. */
static void
test_budget_is_shared (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  TcpTunnel *tunnels[10];
  Pair stalled[G_N_ELEMENTS (tunnels)];
  guint64 down[G_N_ELEMENTS (tunnels)];
  Pair busy;

  g_object_set (fixture->gateway, "max-memory", (guint64) MEMORY, NULL);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (tunnels); i++)
    {
      tunnels[i] = start_tunnel (fixture);
      stalled[i].client = client_connect (test_tunnel_get_port (tunnels[i]));
      stalled[i].target = target_accept (target);
      down[i] = client_blast (stalled[i].target, ENOUGH, QUIET_MS);
      g_assert_cmpuint (down[i], <, ENOUGH);
      g_assert_cmpuint (test_figure (fixture->gateway, unacknowledged_bytes), <=, BUDGET);
    }
  busy = pair_open (fixture, target);
  pass_both_ways (&busy, test_count (16, 4) * MIB);
  for (guint i = 0; i < G_N_ELEMENTS (tunnels); i++)
    {
      client_read_stream (stalled[i].client, down[i], 0, 0);
      pair_round_trip (&stalled[i]);
      pair_clear (&stalled[i]);
      tcp_endpoint_close (TCP_ENDPOINT (tunnels[i]));
      g_object_unref (tunnels[i]);
    }
  pair_clear (&busy);
}

/* The first windows of connections. */
#define STUCK_SESSIONS 4
#define STUCK_STREAMS 200

/* Appends a DATA frame in a message with a mask of zeros. */
static void
add_data (GByteArray *out,
          guint32 id,
          gsize length)
{
  guint16 size = GUINT16_TO_BE (8 + length);
  guint32 number = GUINT32_TO_BE (id);
  g_autofree guint8 *payload = g_malloc0 (length);

  g_byte_array_append (out, (const guint8 *) "\x82\xfe", 2);
  g_byte_array_append (out, (const guint8 *) &size, 2);
  g_byte_array_append (out, (const guint8 *) "\0\0\0\0\3\0\0\0", 8);
  g_byte_array_append (out, (const guint8 *) &number, 4);
  g_byte_array_append (out, payload, length);
}

static gboolean
stop (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Returns the remaining credit, once no more of it is used. */
static guint64
wait_for_credit (Fixture *fixture)
{
  guint64 last = G_MAXUINT64;
  guint64 now;

  while ((now = test_figure (fixture->gateway, receive_window)) != last)
    {
      gboolean passed = FALSE;

      last = now;
      g_timeout_add (test_scaled_ms (QUIET_MS), stop, &passed);
      WAIT_UNTIL (passed);
    }
  return now;
}

/* With many connections, their first windows together exceed the memory of the gateway, and all of them are used.
 * These connections have to wait; others do not. */
static void
test_many_windows (void)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = start_budget (target);
  ResumablePeer *peers[STUCK_SESSIONS];
  g_autoptr (ResumablePeer) other = NULL;
  guint64 potential = 0, taken = 0, waiting, before;

  for (guint i = 0; i < STUCK_SESSIONS; i++)
    {
      peers[i] = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
      for (guint k = 0; k < STUCK_STREAMS; k++)
        resumable_send (peers[i], RESUMABLE_OPEN, 2 * k + 1, NULL, 0);
      potential += (guint64) STUCK_STREAMS * peers[i]->heard.window;
    }
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == STUCK_SESSIONS * STUCK_STREAMS);
  g_assert_cmpuint (potential, >, BUDGET + BUDGET / 2);

  before = test_memory ("VmRSS");
  for (guint i = 0; i < STUCK_SESSIONS; i++)
    {
      g_autoptr (GByteArray) frames = g_byte_array_new ();

      for (guint k = 0; k < STUCK_STREAMS; k++)
        add_data (frames, 2 * k + 1, peers[i]->heard.window);
      taken += client_push (peers[i]->fd, frames->data, frames->len, QUIET_MS);
    }
  g_assert_cmpuint (taken, >, BUDGET);
  /* The targets accept nothing, so that all of the data is buffered. */
  waiting = potential - wait_for_credit (fixture);
  g_test_message ("%" G_GUINT64_FORMAT " KiB of %" G_GUINT64_FORMAT " wait", waiting / KIB, potential / KIB);
  g_assert_cmpuint (waiting, >, BUDGET / 8);
  g_assert_cmpuint (waiting, <, BUDGET);
  check_growth (before, BUDGET + BUDGET / 10);

  other = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  resumable_send (other, RESUMABLE_OPEN, 1, NULL, 0);
  resumable_send_stream (other, 1, 16 * KIB, 0, 0);
  resumable_expect_confirmed (other);
  check_growth (before, BUDGET + BUDGET / 10);

  for (guint i = 0; i < STUCK_SESSIONS; i++)
    {
      resumable_reset (peers[i]);
      resumable_peer_free (peers[i]);
    }
}

/* With many sessions, the share of each is smaller than the window of one connection, which each has in any case.
 * Together they keep to the limit, plus these windows and what is read before the excess is noticed. */
#define STUCK_MANY 200
#define STUCK_FEW_STREAMS 6

static void
test_many_sessions (void)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = start_budget (target);
  ResumablePeer *peers[STUCK_MANY];
  g_autoptr (ResumablePeer) other = NULL;
  guint64 window = 0, potential, waiting, allowed;
  for (guint i = 0; i < STUCK_MANY; i++)
    {
      peers[i] = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
      for (guint k = 0; k < STUCK_FEW_STREAMS; k++)
        resumable_send (peers[i], RESUMABLE_OPEN, 2 * k + 1, NULL, 0);
      window = peers[i]->heard.window;
    }
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == STUCK_MANY * STUCK_FEW_STREAMS);
  potential = STUCK_MANY * STUCK_FEW_STREAMS * window;
  allowed = BUDGET / 3 + BUDGET / 30 + STUCK_MANY * 2 * window;
  g_assert_cmpuint (potential, >, allowed + allowed / 2);

  for (guint i = 0; i < STUCK_MANY; i++)
    {
      g_autoptr (GByteArray) frames = g_byte_array_new ();

      for (guint k = 0; k < STUCK_FEW_STREAMS; k++)
        add_data (frames, 2 * k + 1, window);
      client_push (peers[i]->fd, frames->data, frames->len, 0);
    }
  waiting = potential - wait_for_credit (fixture);
  g_test_message ("%" G_GUINT64_FORMAT " KiB of %" G_GUINT64_FORMAT " wait", waiting / KIB, potential / KIB);
  g_assert_cmpuint (waiting, <, allowed);
  g_assert_cmpuint (waiting, >, BUDGET / 8);

  /* A single stalled connection does not block others. */
  other = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  resumable_send (other, RESUMABLE_OPEN, 1, NULL, 0);
  resumable_send_stream (other, 1, window, 0, 0);
  resumable_expect_confirmed (other);
  resumable_send (other, RESUMABLE_OPEN, 3, NULL, 0);
  resumable_expect_confirmed (other);

  for (guint i = 0; i < STUCK_MANY; i++)
    {
      resumable_reset (peers[i]);
      resumable_peer_free (peers[i]);
    }
}

/* A connection begins with a smaller window if there are more clients than usual. */
static void
test_first_windows (void)
{
  g_autoptr (Target) target = target_new_silent ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  ResumablePeer *peers[1200];

  fixture_start_gateway (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (peers); i++)
    {
      peers[i] = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
      g_assert_cmpuint (peers[i]->heard.window, ==, 256 * MIB / 4 / MAX (1000, i));
    }
  for (guint i = 0; i < G_N_ELEMENTS (peers); i++)
    {
      resumable_reset (peers[i]);
      resumable_peer_free (peers[i]);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  test_need_descriptors (4096);

  g_test_add_func ("/resume-flow/stalled-streams", test_stalled_streams);
  add_long_mode_test ("/resume-flow/slow-reader", test_slow_reader);
  add_long_mode_test ("/resume-flow/small-caps", test_small_caps);
  add_long_mode_test ("/resume-flow/bounded-while-away", test_bounded_while_away);
  g_test_add_func ("/resume-flow/windows-are-counted", test_windows_are_counted);
  g_test_add_func ("/resume-flow/budget-down", test_budget_down);
  g_test_add_func ("/resume-flow/budget-up", test_budget_up);
  g_test_add_func ("/resume-flow/budget-after-growth", test_budget_after_growth);
  g_test_add_func ("/resume-flow/budget-is-shared", test_budget_is_shared);
  g_test_add_func ("/resume-flow/many-windows", test_many_windows);
  g_test_add_func ("/resume-flow/many-sessions", test_many_sessions);
  g_test_add_func ("/resume-flow/first-windows", test_first_windows);

  return g_test_run ();
}
