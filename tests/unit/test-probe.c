/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "test-util.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Far off: no deadline passes on its own in a test that does not want it to. */
#define LONG 60000

/* Asks where nothing else does, and is content with an answer. */
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

/* Where it takes long, more time is given than where it does not, or is not known. */
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

/* Nobody answers: whether or not a ping was under way, and however long that had. */
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

/* Without any timeout it is but a ping. */
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

/* Who asks again does not put the verdict off; who asks for an earlier one gets it. */
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

  /* The last one's answer will do. */
  raw_end_answer_ping (raw, TRUE, ping);
  WAIT_UNTIL (end->channel->keepalive.round_trip >= 0);
  g_assert_cmpint (end->channel->keepalive.deadline, ==, 0);
}

/* An end that does not read would see no answer: it asks when it reads again. */
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

/* From here on nothing arrives at this end: its kernel drops it, and acknowledges nothing. */
static void
go_deaf (int fd)
{
  struct sock_filter drop = BPF_STMT (BPF_RET | BPF_K, 0);
  struct sock_fprog program = { .len = 1, .filter = &drop };

  g_assert_no_errno (setsockopt (fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof (program)));
}

/* Until the kernel would not take what came last for anything newer. */
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

/* What was acknowledged before, or had arrived and is only read now, is no sign of life. */
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

  go_deaf (fds[1]);
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

/* A sign of life is not yet an answer, without which it goes on to be asked as often. */
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

/* One that is merely slow, or does not read for now, lives. */
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

/* An orderly end is not hurried. */
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
  g_test_add_func ("/probe/cut-later", test_cut_later);
  g_test_add_func ("/probe/slow", test_slow);
  g_test_add_func ("/probe/closing", test_closing);
  return g_test_run ();
}
