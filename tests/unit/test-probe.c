/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "test-util.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Far in the future: no deadline passes unless the test causes it. */
#define LONG 60000

/* A probe sends a ping where there are none otherwise, and ends with the pong. */
static void
test_answered (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  tcp_channel_probe (end->channel, LONG);
  raw_end_wait_ping (raw, &ping);
  g_assert_cmpint (end->channel->keepalive.deadline, !=, 0);
  raw_end_answer_ping (raw, TRUE, ping);
  WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
  g_assert_cmpint (tcp_timer_get (end->channel->keepalive.timer), ==, -1);
  g_assert_cmpuint (end->closed, ==, 0);
}

static void
check_dead (guint interval,
                  guint timeout,
                  guint probe)
{
  ChannelEndOptions options = { .interval = interval, .timeout = timeout };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  if (interval > 0)
    raw_end_wait_ping (raw, &ping);

  tcp_channel_probe (end->channel, probe);
  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), end->closed == 1));
  g_assert_error (end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT);
}

/* On a path with a long round trip, a probe has more time than on one with a short or an unknown one. */
static void
test_timeout (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  g_assert_cmpuint (tcp_channel_get_probe_timeout (end->channel), ==, 2000);
  end->channel->keepalive.round_trip = 100 * G_TIME_SPAN_MILLISECOND;
  g_assert_cmpuint (tcp_channel_get_probe_timeout (end->channel), ==, 2000);
  end->channel->keepalive.round_trip = 1500 * G_TIME_SPAN_MILLISECOND;
  g_assert_cmpuint (tcp_channel_get_probe_timeout (end->channel), ==, 6000);
}

/* A peer that does not answer a probe is considered dead, whether or not a ping was under way, and whatever its
 * timeout. */
static void
test_dead (void)
{
  check_dead (0, LONG, 50);
  check_dead (0, 0, 50);
  check_dead (0, 50, 0);
  check_dead (LONG, LONG, 50);
  check_dead (LONG, 0, 50);
  check_dead (LONG, 50, LONG);
}

/* Without any timeout a probe is only a ping. */
static void
test_for_ever (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = 0 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  tcp_channel_probe (end->channel, 0);
  raw_end_wait_ping (raw, &ping);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
  g_assert_cmpint (tcp_timer_get (end->channel->keepalive.timer), ==, -1);
}

/* A later probe does not postpone the deadline of an earlier one, but may bring it forward. */
static void
test_again (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;
  gint64 verdict;
  gint64 asked;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  tcp_channel_probe (end->channel, LONG);
  verdict = end->channel->keepalive.deadline;
  asked = end->channel->keepalive.asked;
  raw_end_wait_ping (raw, &ping);
  tcp_channel_probe (end->channel, 2 * LONG);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, verdict);
  raw_end_wait_ping (raw, &ping);
  tcp_channel_probe (end->channel, LONG / 2);
  g_assert_cmpint (end->channel->keepalive.deadline, <, verdict);
  g_assert_cmpint (end->channel->keepalive.asked, ==, asked);
  raw_end_wait_ping (raw, &ping);

  /* The answer to the last ping is enough. */
  raw_end_answer_ping (raw, TRUE, ping);
  WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
}

/* A paused channel would not see the answer: it probes when it is resumed. */
static void
check_paused (gboolean before)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  if (before)
    tcp_channel_pause (end->channel);
  tcp_channel_probe (end->channel, 1);
  tcp_channel_pause (end->channel);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
  channel_end_keep_alive (end);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
  if (!before)
    raw_end_wait_ping (raw, &ping);

  tcp_channel_resume (end->channel);
  channel_end_keep_alive (end);
  raw_end_wait_ping (raw, &ping);
  g_assert_cmpint (end->channel->keepalive.deadline, !=, 0);
  raw_end_answer_ping (raw, TRUE, ping);
  WAIT_UNTIL (end->channel->keepalive.deadline == 0);
  g_assert_cmpuint (end->closed, ==, 0);
}

static void
test_paused (void)
{
  check_paused (TRUE);
  check_paused (FALSE);
}

/* From now on nothing arrives at @fd: its kernel drops all packets, and acknowledges none. A hardened kernel permits
 * that only to root. */
static gboolean
go_deaf (int fd)
{
  struct sock_filter drop = BPF_STMT (BPF_RET | BPF_K, 0);
  struct sock_fprog program = { .len = 1, .filter = &drop };
  int result = setsockopt (fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof (program));

  if (result < 0 && errno == EPERM)
    return FALSE;
  g_assert_no_errno (result);
  return TRUE;
}

/* Waits so long that the times of the last data and of the last acknowledgement cannot count as newer than a
 * probe. */
static void
wait_for_quiet (ChannelEnd *end)
{
  gint64 deadline = test_deadline ();
  struct tcp_info info = { 0 };
  socklen_t length = sizeof (info);

  while (info.tcpi_last_data_recv < 50 || info.tcpi_last_ack_recv < 50)
    {
      g_assert_no_errno (getsockopt (g_socket_get_fd (end->channel->socket), IPPROTO_TCP, TCP_INFO, &info, &length));
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_thread_yield ();
    }
}

/* Data that was acknowledged before, or that had arrived and is only read now, does not show that the peer is
 * alive. */
static void
check_cut (gboolean unread)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  guint opcode;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  channel_end_send (end, 0, 1000);
  g_bytes_unref (raw_end_wait_frame (raw, &opcode, TRUE));
  raw_end_send (raw, 0x82, TRUE, "x", 1);
  if (!unread)
    WAIT_UNTIL (end->messages->len == 1);

  if (!go_deaf (fds[1]))
    {
      g_test_skip ("a filter of a socket is not permitted");
      return;
    }
  wait_for_quiet (end);
  channel_end_send (end, 1, 1000);
  tcp_channel_probe (end->channel, 200);
  WAIT_UNTIL (end->closed == 1);
  g_assert_cmpuint (end->messages->len, ==, 1);
  g_assert_error (end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT);
}

static void
test_cut (void)
{
  check_cut (FALSE);
  check_cut (TRUE);
}

/* While data of the peer waits at this end, in the socket or for its turn, the answer may be behind it. */
static void
check_behind (gboolean in_socket)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  gint64 asked;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  if (in_socket)
    raw_end_send (raw, 0x82, TRUE, "x", 1);
  end->channel->turn_over = !in_socket;
  wait_for_quiet (end);

  tcp_channel_probe (end->channel, LONG);
  asked = end->channel->keepalive.asked;
  wait_for_quiet (end);
  tcp_channel_probe (end->channel, LONG);
  g_assert_cmpint (end->channel->keepalive.asked, >, asked);

  /* The end catches up. */
  asked = end->channel->keepalive.asked;
  end->channel->turn_over = FALSE;
  WAIT_UNTIL (!in_socket || end->messages->len == 1);
  wait_for_quiet (end);
  tcp_channel_probe (end->channel, LONG);
  g_assert_cmpint (end->channel->keepalive.asked, ==, asked);
}

/* So it may in a Unix socket, although that has no other information. */
static void
check_behind_unix (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  gint64 asked;

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  tcp_channel_probe (end->channel, LONG);
  asked = end->channel->keepalive.asked;
  while (g_get_monotonic_time () == asked)
    g_thread_yield ();
  tcp_channel_probe (end->channel, LONG);
  g_assert_cmpint (end->channel->keepalive.asked, ==, asked);

  raw_end_send (raw, 0x82, TRUE, "x", 1);
  tcp_channel_probe (end->channel, LONG);
  g_assert_cmpint (end->channel->keepalive.asked, >, asked);
}

static void
test_behind (void)
{
  check_behind (TRUE);
  check_behind (FALSE);
  check_behind_unix ();
}

/* Data shows that the peer is alive, but is not an answer: without one, the channel probes again. */
static void
test_cut_later (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;
  gint64 asked;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);

  tcp_channel_probe (end->channel, 200);
  asked = end->channel->keepalive.asked;
  raw_end_wait_ping (raw, &ping);
  while (end->channel->keepalive.asked == asked)
    {
      raw_end_send (raw, 0x82, TRUE, "x", 1);
      g_main_context_iteration (NULL, TRUE);
    }
  g_assert_cmpuint (end->closed, ==, 0);

  WAIT_UNTIL (end->closed == 1);
  g_assert_error (end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT);
}

/* A peer that is merely slow, or does not read for some time, is not considered dead. */
static void
check_slow (gsize step)
{
  ChannelEndOptions options = { .interval = 0, .timeout = LONG };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  gsize limit = 0;
  gint64 asked;

  loopback_pair (fds, 20000);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  for (guint i = 0; i < 16; i++)
    channel_end_send (end, i, 1 << 20);

  tcp_channel_probe (end->channel, 200);
  asked = end->channel->keepalive.asked;
  g_assert_cmpint (asked, !=, 0);
  WAIT_UNTIL ((raw_end_read (raw, limit += step), end->channel->keepalive.asked > asked));
  g_assert_cmpuint (end->closed, ==, 0);
}

static void
test_slow (void)
{
  check_slow (0);
  check_slow (5000);
}

/* A channel that is being closed is not probed. */
static void
test_closing (void)
{
  ChannelEndOptions options = { .interval = 0, .timeout = 1 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, &options);
  raw = raw_end_new (fds[1]);
  tcp_channel_close (end->channel, TCP_CLOSE_NORMAL, NULL);
  tcp_channel_probe (end->channel, 1);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
  tcp_channel_abort (end->channel, NULL);
  tcp_channel_probe (end->channel, 1);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/probe/answered", test_answered);
  g_test_add_func ("/probe/timeout", test_timeout);
  g_test_add_func ("/probe/dead", test_dead);
  g_test_add_func ("/probe/for-ever", test_for_ever);
  g_test_add_func ("/probe/again", test_again);
  g_test_add_func ("/probe/paused", test_paused);
  g_test_add_func ("/probe/cut", test_cut);
  g_test_add_func ("/probe/behind", test_behind);
  g_test_add_func ("/probe/cut-later", test_cut_later);
  g_test_add_func ("/probe/slow", test_slow);
  g_test_add_func ("/probe/closing", test_closing);
  return g_test_run ();
}
