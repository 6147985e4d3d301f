/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel-end.h"
#include "test-util.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BINARY 0x82
#define PIECE 0x02
#define MORE 0x00
#define LAST 0x80
#define PING 0x89

static GByteArray *
message (ChannelEnd *end,
         guint       index)
{
  g_assert_cmpuint (index, <, end->messages->len);
  return end->messages->pdata[index];
}

static gboolean
has_messages (ChannelEnd *end,
              guint       count)
{
  return end->messages->len > count || (end->messages->len == count && !end->in_message);
}

/* Messages */

static void
check_messages (ChannelEnd *from,
                ChannelEnd *to)
{
  static const gsize sizes[] = {
    1, 2, 3, 4, 5, 125, 126, 127, 65535, 65536, 65537, TCP_CHANNEL_MAX_WHOLE - 1, TCP_CHANNEL_MAX_WHOLE,
    TCP_CHANNEL_MAX_WHOLE + 1, 1000003, 1 << 20,
  };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    channel_end_send (from, i, sizes[i]);
  WAIT_UNTIL (has_messages (to, G_N_ELEMENTS (sizes)));
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_assert_cmpuint (message (to, i)->len, ==, sizes[i]);
      assert_stream (message (to, i)->data, sizes[i], i);
      /* Up to a limit they come in one piece. */
      if (sizes[i] <= TCP_CHANNEL_MAX_WHOLE)
        g_assert_cmpuint (g_array_index (to->pieces, gsize, i), ==, sizes[i]);
    }
}

static void
test_messages (void)
{
  int fds[2];
  g_autoptr (ChannelEnd) client = NULL;
  g_autoptr (ChannelEnd) server = NULL;

  loopback_pair (fds, 0);
  client = channel_end_new (fds[0], TRUE, NULL);
  server = channel_end_new (fds[1], FALSE, NULL);
  check_messages (client, server);
  check_messages (server, client);
  g_assert_cmpuint (client->closed + server->closed, ==, 0);
}

/* Writes @step bytes at a time, each of which is handled before the next is written. */
static void
write_in_steps (RawEnd     *raw,
                GByteArray *wire,
                gsize       step)
{
  for (gsize at = 0; at < wire->len; at += step)
    {
      raw_end_write (raw, wire->data + at, MIN (step, wire->len - at));
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
}

/* Fragments, with control frames between them. */
static void
check_fragments (gboolean client,
                 gsize    step)
{
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  gboolean masked = !client;

  append_frame (wire, PIECE, masked, "ab", 2);
  append_frame (wire, PING, masked, "one", 3);
  append_frame (wire, MORE, masked, "", 0);
  append_frame (wire, MORE, masked, "cde", 3);
  append_frame (wire, PING, masked, "", 0);
  append_frame (wire, 0x8a, masked, "unasked", 7);
  append_frame (wire, LAST, masked, "f", 1);
  append_frame (wire, BINARY, masked, "whole", 5);
  append_frame (wire, PIECE, masked, "", 0);
  append_frame (wire, LAST, masked, "", 0);
  append_frame (wire, 0x81, masked, "text", 4);

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], client, NULL);
  raw = raw_end_new (fds[1]);
  write_in_steps (raw, wire, step);

  WAIT_UNTIL (has_messages (end, 4));
  g_assert_cmpmem (message (end, 0)->data, message (end, 0)->len, "abcdef", 6);
  g_assert_cmpmem (message (end, 1)->data, message (end, 1)->len, "whole", 5);
  g_assert_cmpuint (message (end, 2)->len, ==, 0);
  g_assert_cmpmem (message (end, 3)->data, message (end, 3)->len, "text", 4);

  for (guint i = 0; i < 2; i++)
    {
      guint opcode;
      g_autoptr (GBytes) pong = raw_end_wait_frame (raw, &opcode, TRUE);

      g_assert_cmpuint (opcode, ==, TCP_FRAME_PONG);
      g_assert_cmpmem (g_bytes_get_data (pong, NULL), g_bytes_get_size (pong), "one", i == 0 ? 3 : 0);
    }
}

static void
test_fragments (void)
{
  check_fragments (FALSE, 1);
  check_fragments (FALSE, 7);
  check_fragments (FALSE, 4096);
  check_fragments (TRUE, 1);
  check_fragments (TRUE, 4096);
}

/* Fragments that are larger than what the channel collects, cut at offsets that are no multiple of the mask. */
static void
test_large_fragments (void)
{
  static const gsize sizes[] = { TCP_CHANNEL_MAX_WHOLE + 1, 3, 700001, TCP_CHANNEL_MAX_WHOLE, 5, 300007 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  g_autofree guint8 *data = NULL;
  gsize total = 0;
  gsize at = 0;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    total += sizes[i];
  data = g_malloc (total);
  test_fill (data, total, 9, 0);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      gboolean last = i == G_N_ELEMENTS (sizes) - 1;

      append_frame (wire, (i == 0 ? PIECE : MORE) | (last ? LAST : 0), TRUE, data + at, sizes[i]);
      at += sizes[i];
    }

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], FALSE, NULL);
  raw = raw_end_new (fds[1]);
  write_in_steps (raw, wire, 10001);
  WAIT_UNTIL (has_messages (end, 1));
  g_assert_cmpuint (message (end, 0)->len, ==, total);
  assert_stream (message (end, 0)->data, total, 9);
}

/* Back-pressure */

#define ENOUGH (64u << 20)
#define MESSAGE 5000

/* The most that one further message may take. */
#define SLACK (MESSAGE + sizeof (TcpBuffer))

/* Sends while the channel takes more, until nothing has moved for a while. */
static guint
send_until_full (ChannelEnd *end,
                 guint       first)
{
  guint sent = 0;

  for (guint idle = 0; idle < 20; idle++)
    {
      while (tcp_channel_can_send (end->channel))
        {
          channel_end_send (end, first + sent++, MESSAGE);
          g_assert_cmpuint (tcp_channel_get_pending (end->channel), <, TCP_CHANNEL_MAX_PENDING + SLACK);
          g_assert_cmpuint (sent, <, ENOUGH / MESSAGE);
          idle = 0;
        }
      test_iterate (test_deadline (), "a while", G_STRLOC);
    }
  /* The kernel took no more. */
  g_assert_cmpuint (tcp_channel_get_pending (end->channel), >=, TCP_CHANNEL_MAX_PENDING / 2);
  g_assert_cmpuint (tcp_channel_get_pending (end->channel), <, TCP_CHANNEL_MAX_PENDING / 2 + SLACK);

  return sent;
}

static void
check_pause (gboolean client)
{
  int fds[2];
  g_autoptr (ChannelEnd) from = NULL;
  g_autoptr (ChannelEnd) to = NULL;
  guint sent;
  guint drained;

  loopback_pair (fds, 20000);
  from = channel_end_new (fds[0], client, NULL);
  to = channel_end_new (fds[1], !client, NULL);
  tcp_channel_pause (to->channel);
  sent = send_until_full (from, 0);
  g_assert_cmpuint (to->messages->len, ==, 0);
  g_assert_false (tcp_channel_can_send (from->channel));
  drained = from->drained;

  tcp_channel_resume (to->channel);
  /* Nothing is delivered from within the call. */
  g_assert_cmpuint (to->messages->len, ==, 0);
  WAIT_UNTIL (has_messages (to, sent));
  WAIT_UNTIL (from->drained > drained);
  g_assert_cmpuint (tcp_channel_get_pending (from->channel), ==, 0);
  for (guint i = 0; i < sent; i++)
    {
      g_assert_cmpuint (message (to, i)->len, ==, MESSAGE);
      assert_stream (message (to, i)->data, MESSAGE, i);
    }
}

static void
test_pause (void)
{
  check_pause (TRUE);
  check_pause (FALSE);
}

/* After a pause, not even messages that were read already are delivered. */
static void
test_pause_from_a_handler (void)
{
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], TRUE, NULL);
  raw = raw_end_new (fds[1]);
  end->pauses = TRUE;

  raw_end_write (raw, "\x82\1a\x82\1b\x82\1c", 9);
  for (guint i = 1; i <= 3; i++)
    {
      WAIT_UNTIL (has_messages (end, i));
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpuint (end->messages->len, ==, i);
      tcp_channel_resume (end->channel);
    }
}

/* Takes the messages of @raw, which have to be those from @first on, and returns their number. */
static guint
take_messages (RawEnd *raw,
               guint   first)
{
  guint count = 0;
  guint opcode;
  GBytes *frame;

  while ((frame = raw_end_take_frame (raw, &opcode)) != NULL)
    {
      g_assert_cmpuint (opcode, ==, TCP_FRAME_BINARY);
      g_assert_cmpuint (g_bytes_get_size (frame), ==, MESSAGE);
      assert_stream (g_bytes_get_data (frame, NULL), MESSAGE, first + count);
      g_bytes_unref (frame);
      count++;
    }

  return count;
}

/* The messages that were sent completely and those that are taken back are all messages, each of them once. */
static void
check_steal (gboolean client)
{
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  GQueue unsent = G_QUEUE_INIT;
  TcpBuffer *buffer;
  guint sent;
  guint arrived;

  loopback_pair (fds, 20000);
  end = channel_end_new (fds[0], client, NULL);
  raw = raw_end_new (fds[1]);
  sent = send_until_full (end, 0);
  g_assert_cmpuint (tcp_channel_get_unconfirmed (end->channel), >, 0);

  tcp_channel_steal_unsent (end->channel, &unsent);
  g_assert_cmpuint (tcp_channel_get_pending (end->channel), ==, 0);
  g_assert_cmpuint (g_queue_get_length (&unsent), >, 0);
  tcp_channel_abort (end->channel, NULL);

  WAIT_UNTIL ((raw_end_read (raw, G_MAXUINT), raw->eof));
  arrived = take_messages (raw, 0);
  g_assert_cmpuint (arrived, >, 0);
  g_assert_cmpuint (arrived + g_queue_get_length (&unsent), ==, sent);
  while ((buffer = g_queue_pop_head (&unsent)) != NULL)
    {
      g_assert_cmpuint (buffer->length, ==, MESSAGE);
      assert_stream (buffer->payload, MESSAGE, arrived);
      g_assert_cmpuint (buffer->header, ==, 0);
      tcp_buffer_unref (buffer);
      arrived++;
    }
}

static void
test_steal (void)
{
  check_steal (TRUE);
  check_steal (FALSE);
}

/* A pong does not wait behind the data. */
static void
test_control_overtakes (void)
{
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  guint after = 0;
  guint before = 0;
  guint opcode;
  guint sent;

  loopback_pair (fds, 20000);
  end = channel_end_new (fds[0], FALSE, NULL);
  raw = raw_end_new (fds[1]);
  sent = send_until_full (end, 0);
  raw_end_send (raw, PING, TRUE, "hello", 5);
  WAIT_UNTIL (end->channel->queue.controls == 1);

  for (gboolean pong = FALSE; before + after < sent;)
    {
      g_autoptr (GBytes) frame = raw_end_wait_frame (raw, &opcode, TRUE);

      g_assert_nonnull (frame);
      if (opcode == TCP_FRAME_PONG)
        pong = TRUE;
      else if (pong)
        after++;
      else
        before++;
    }
  /* At least the messages that waited in the channel, of which none was begun. */
  g_assert_cmpuint (after, >, TCP_CHANNEL_MAX_PENDING / 4 / MESSAGE);
}

/* A client draws a random mask for data and pings; a server, which masks nothing, draws none. */
static void
check_random (gboolean client)
{
  const ChannelEndOptions options = { .interval = 60000, .timeout = 60000 };
  int fds[2];
  g_autoptr (ChannelEnd) end = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GBytes) ping = NULL;
  guint32 first;

  loopback_pair (fds, 0);
  end = channel_end_new (fds[0], client, &options);
  raw = raw_end_new (fds[1]);
  g_random_set_seed (7);
  first = g_random_int ();

  g_random_set_seed (7);
  channel_end_send (end, 0, 100);
  tcp_channel_probe (end->channel, 60000);
  raw_end_wait_ping (raw, &ping);
  if (client)
    g_assert_cmpuint (g_random_int (), !=, first);
  else
    g_assert_cmpuint (g_random_int (), ==, first);
}

static void
test_random (void)
{
  check_random (TRUE);
  check_random (FALSE);
}

/* A peer that sends thousands of tiny messages at once delays the others by one turn, or two if it comes first, but
 * not until all its messages have been delivered. */
static void
check_turns (gboolean as_tls,
             gboolean ended)
{
  const ChannelEndOptions options = { .as_tls = as_tls };
  int fds[2];
  g_autoptr (ChannelEnd) flooded = NULL;
  g_autoptr (ChannelEnd) other = NULL;
  g_autoptr (RawEnd) flood = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  int flooded_fd;

  loopback_pair (fds, 0);
  flooded = channel_end_new (fds[0], FALSE, &options);
  flood = raw_end_new (fds[1]);
  flooded_fd = fds[0];
  loopback_pair (fds, 0);
  other = channel_end_new (fds[0], FALSE, NULL);
  raw = raw_end_new (fds[1]);

  for (guint i = 0; i < 4096; i++)
    append_frame (wire, BINARY, TRUE, "x", 1);
  raw_end_write (flood, wire->data, wire->len);
  if (ended)
    {
      g_assert_no_errno (shutdown (flood->fd, SHUT_WR));
      wait_for_hang_up (flooded_fd);
    }
  raw_end_send (raw, BINARY, TRUE, "y", 1);
  WAIT_UNTIL (has_messages (other, 1));
  g_assert_cmpuint (flooded->messages->len, <=, 2 * TCP_TURN_FRAMES);
  WAIT_UNTIL (has_messages (flooded, 4096));
}

/* The end of the connection does not change that. */
static void
test_turns (void)
{
  for (guint i = 0; i < 4; i++)
    check_turns (i % 2, i >= 2);
}

/* Pretends that its frames had cost much, while another channel uses the thread. */
static gboolean
rests (ChannelEnd *flooded,
       RawEnd     *raw)
{
  if (flooded->channel->next_turn > 0)
    return TRUE;

  raw_end_send (raw, BINARY, TRUE, "y", 1);
  flooded->channel->turn.spent = TCP_TURN_ALLOWANCE;
  return FALSE;
}

/* A channel whose frames cost much rests until its time has come, even if more data arrives or the channel is
 * resumed. Then it continues, and all messages arrive. */
static void
check_rest (gboolean as_tls)
{
  const ChannelEndOptions options = { .as_tls = as_tls };
  int fds[2];
  g_autoptr (ChannelEnd) flooded = NULL;
  g_autoptr (ChannelEnd) other = NULL;
  g_autoptr (RawEnd) flood = NULL;
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  TcpChannel *channel;

  loopback_pair (fds, 0);
  flooded = channel_end_new (fds[0], FALSE, &options);
  flood = raw_end_new (fds[1]);
  loopback_pair (fds, 0);
  other = channel_end_new (fds[0], FALSE, NULL);
  raw = raw_end_new (fds[1]);
  channel = flooded->channel;

  for (guint i = 0; i < 4096; i++)
    append_frame (wire, BINARY, TRUE, "x", 1);
  raw_end_write (flood, wire->data, wire->len);
  for (guint n = 0; n < 3; n++)
    {
      guint seen = flooded->messages->len;

      WAIT_UNTIL (flooded->messages->len > seen);
      WAIT_UNTIL (rests (flooded, raw));
      g_assert_true (channel->turn_over);
      g_assert_cmpint (tcp_timer_get (channel->wakeup), ==, channel->next_turn);
      g_assert_false (channel->interest & G_IO_IN);

      raw_end_send (flood, BINARY, TRUE, "x", 1);
      tcp_channel_pause (channel);
      tcp_channel_resume (channel);
      g_assert_cmpint (tcp_timer_get (channel->wakeup), ==, channel->next_turn);
    }
  WAIT_UNTIL (has_messages (flooded, 4096 + 3));
  WAIT_UNTIL (!channel->turn_over && channel->interest & G_IO_IN);
  g_assert_cmpint (channel->next_turn, ==, 0);
  raw_end_send (flood, BINARY, TRUE, "x", 1);
  WAIT_UNTIL (has_messages (flooded, 4096 + 4));
}

static void
test_rest (void)
{
  check_rest (FALSE);
  check_rest (TRUE);
}

static int
get_input_buffer (int fd)
{
  int size = 0;
  socklen_t length = sizeof size;

  g_assert_no_errno (getsockopt (fd, SOL_SOCKET, SO_RCVBUF, &size, &length));
  return size;
}

/* On a short path the channel bounds the receive buffer of the kernel; it changes neither a buffer that was set
 * before nor that of a single connection. */
static void
test_input_bound (void)
{
  int fds[2];
  int before;
  struct tcp_info info = { 0 };
  socklen_t length = sizeof info;
  g_autoptr (ChannelEnd) end = NULL;
  ChannelEndOptions brief = { .brief = TRUE };
  g_autoptr (ChannelEnd) chosen = NULL;
  g_autoptr (ChannelEnd) single = NULL;

  loopback_pair (fds, 0);
  before = get_input_buffer (fds[0]);
  g_assert_no_errno (getsockopt (fds[0], IPPROTO_TCP, TCP_INFO, &info, &length));
  end = channel_end_new (fds[0], TRUE, NULL);
  /* Where the machine is so busy that the path looked long, the kernel's own size stays. */
  if (info.tcpi_rtt > 1000)
    g_assert_cmpint (get_input_buffer (fds[0]), ==, before);
  else
    g_assert_cmpint (get_input_buffer (fds[0]), >=, 256 * 1024);
  if (info.tcpi_rtt <= 1000)
    g_assert_cmpint (get_input_buffer (fds[0]), <=, 512 * 1024);
  close (fds[1]);

  loopback_pair (fds, 8192);
  before = get_input_buffer (fds[0]);
  chosen = channel_end_new (fds[0], TRUE, NULL);
  g_assert_cmpint (get_input_buffer (fds[0]), ==, before);
  close (fds[1]);

  loopback_pair (fds, 0);
  before = get_input_buffer (fds[0]);
  single = channel_end_new (fds[0], TRUE, &brief);
  g_assert_cmpint (get_input_buffer (fds[0]), ==, before);
  close (fds[1]);
}

/* Memory */

#define MEMORY (600 * 1024)

static void
on_other_relieved (gpointer user_data)
{
}

/* Makes a server's end whose budget another share uses by @used. */
static ChannelEnd *
make_end_with_budget (RawEnd         **raw,
                      TcpBudgetShare  *other,
                      gsize            memory,
                      gsize            used,
                      guint            message_timeout,
                      gboolean         as_tls)
{
  g_autoptr (TcpBudgetPool) pool = tcp_budget_pool_new (memory, 1);
  g_autoptr (TcpBudget) budget = tcp_budget_new (pool, NULL);
  ChannelEndOptions options = { .budget = budget, .message_timeout = message_timeout, .as_tls = as_tls };
  int fds[2];

  tcp_budget_pool_set_limit (pool, "max-memory: 5");
  tcp_budget_share_init (other, budget, on_other_relieved, NULL);
  tcp_budget_share_set (other, used);
  loopback_pair (fds, 0);
  *raw = raw_end_new (fds[1]);
  return channel_end_new (fds[0], FALSE, &options);
}

/* When memory is short, small messages still arrive, and larger ones when there is room again. */
static void
test_starved (void)
{
  const gsize length = 100 * 1024;
  g_autofree guint8 *data = g_malloc (length);
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (ChannelEnd) end = NULL;
  TcpBudgetShare other;

  end = make_end_with_budget (&raw, &other, MEMORY, MEMORY / 2, 600000, FALSE);
  test_fill (data, length, 5, 0);
  for (guint i = 0; i < 20; i++)
    raw_end_send (raw, PIECE | LAST, TRUE, data, TCP_FRAME_SMALL);
  WAIT_UNTIL (has_messages (end, 20));
  raw_end_send (raw, PIECE | LAST, TRUE, data, length);
  WAIT_UNTIL (end->channel->starved);
  g_assert_cmpuint (end->channel->share.held, ==, 0);
  g_assert_cmpuint (end->channel->reader.capacity, <, 2 * TCP_FRAME_SMALL);

  tcp_budget_share_set (&other, 0);
  WAIT_UNTIL (has_messages (end, 21));
  assert_stream (message (end, 20)->data, length, 5);
  g_assert_cmpuint (end->channel->share.held, ==, 0);
  g_assert_cmpuint (end->closed, ==, 0);
  tcp_budget_share_clear (&other);
}

/* The memory of an incomplete message is counted. When memory is short, the message must not stay incomplete for
 * ever. */
static void
test_incomplete (void)
{
  const gsize length = 100 * 1024;
  g_autofree guint8 *data = g_malloc0 (length);
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (ChannelEnd) end = NULL;
  TcpBudgetShare other;

  end = make_end_with_budget (&raw, &other, MEMORY, 0, 1, FALSE);
  append_frame (wire, PIECE | LAST, TRUE, data, length);
  raw_end_write (raw, wire->data, wire->len - 1);
  WAIT_UNTIL (end->channel->incomplete_since != 0 && end->channel->reader.end >= length);
  g_assert_cmpuint (end->channel->share.held, ==, TCP_FRAME_READER_SIZE);
  g_assert_cmpuint (end->closed, ==, 0);

  tcp_budget_share_set (&other, MEMORY - TCP_FRAME_READER_SIZE);
  WAIT_UNTIL (end->closed == 1);
  g_assert_error (end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT);
  g_assert_nonnull (strstr (end->error->message, "(max-memory: 5)"));
  tcp_budget_share_clear (&other);
}

/* A channel that has waited in vain for room ends as well: others may wait for the part of the message that TLS
 * holds. */
static void
test_starved_for_good (void)
{
  const gsize length = 100 * 1024;
  g_autofree guint8 *data = g_malloc0 (length);
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (ChannelEnd) end = NULL;
  TcpBudgetShare other;

  end = make_end_with_budget (&raw, &other, MEMORY, MEMORY / 2, 1, TRUE);
  raw_end_send (raw, PIECE | LAST, TRUE, data, length);
  WAIT_UNTIL (end->closed == 1);
  g_assert_error (end->error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT);
  g_assert_nonnull (strstr (end->error->message, "(max-memory: 5)"));
  tcp_budget_share_clear (&other);
}

/* There may be room for the message, but not so much that the budget would call the channel. */
static void
test_starved_at_the_mark (void)
{
  const gsize memory = 16 * 1024 * 1024;
  const gsize mark = memory / 4 * 3;
  const gsize length = 100 * 1024;
  g_autofree guint8 *data = g_malloc (length);
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (ChannelEnd) end = NULL;
  TcpBudgetShare other, more;

  end = make_end_with_budget (&raw, &other, memory, mark - 1000, 600000, FALSE);
  /* Makes the channel's part of the last quarter too small. */
  tcp_budget_share_init (&more, other.budget, on_other_relieved, NULL);
  tcp_budget_share_set (&more, memory - mark);
  test_fill (data, length, 5, 0);
  raw_end_send (raw, PIECE | LAST, TRUE, data, length);
  WAIT_UNTIL (end->channel->starved && end->channel->incomplete_since != 0);
  g_assert_cmpint (tcp_timer_get (end->channel->patience), <=, g_get_monotonic_time () + G_TIME_SPAN_SECOND);

  tcp_budget_share_set (&more, 0);
  tcp_budget_share_set (&other, mark - TCP_FRAME_READER_SIZE);
  g_assert_true (end->channel->starved);
  tcp_timer_set (end->channel->patience, 0);
  WAIT_UNTIL (has_messages (end, 1));
  assert_stream (message (end, 0)->data, length, 5);
  tcp_budget_share_clear (&more);
  tcp_budget_share_clear (&other);
}

/* With TLS the buffer is filled before any message in it is looked at; that is not a message that lacks room. */
static void
test_full_of_messages (void)
{
  const gsize length = 4096;
  g_autofree guint8 *data = g_malloc (length);
  g_autoptr (RawEnd) raw = NULL;
  g_autoptr (ChannelEnd) end = NULL;
  TcpBudgetShare other;

  end = make_end_with_budget (&raw, &other, MEMORY, MEMORY / 2, 600000, TRUE);
  test_fill (data, length, 5, 0);
  tcp_channel_pause (end->channel);
  for (guint i = 0; i < 20; i++)
    raw_end_send (raw, PIECE | LAST, TRUE, data, length);
  tcp_channel_resume (end->channel);
  WAIT_UNTIL (has_messages (end, 20));
  g_assert_cmpuint (end->channel->share.held, ==, 0);
  tcp_budget_share_clear (&other);
}

int
main (int    argc,
      char **argv)
{
  unit_test_init (&argc, &argv);
  g_test_add_func ("/channel/messages", test_messages);
  g_test_add_func ("/channel/fragments", test_fragments);
  g_test_add_func ("/channel/large-fragments", test_large_fragments);
  g_test_add_func ("/channel/starved", test_starved);
  g_test_add_func ("/channel/incomplete", test_incomplete);
  g_test_add_func ("/channel/starved-for-good", test_starved_for_good);
  g_test_add_func ("/channel/starved-at-the-mark", test_starved_at_the_mark);
  g_test_add_func ("/channel/full-of-messages", test_full_of_messages);
  g_test_add_func ("/channel/pause", test_pause);
  g_test_add_func ("/channel/pause-from-a-handler", test_pause_from_a_handler);
  g_test_add_func ("/channel/steal", test_steal);
  g_test_add_func ("/channel/control-overtakes", test_control_overtakes);
  g_test_add_func ("/channel/random", test_random);
  g_test_add_func ("/channel/turns", test_turns);
  g_test_add_func ("/channel/rest", test_rest);
  g_test_add_func ("/channel/input-bound", test_input_bound);
  return g_test_run ();
}
