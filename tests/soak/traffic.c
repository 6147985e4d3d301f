/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "traffic.h"

#include "client.h"
#include "monitor.h"
#include "socket-util.h"
#include "test-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536

/* A seed, and the sizes of the streams up and down. */
#define WISH_SIZE 20

/* If nothing moves for this long, the transfer hangs. */
#define IDLE_MS 60000

typedef struct
{
  gboolean server;
  int fd;
  guint8 wish[WISH_SIZE];
  gsize wished; /* the number of its bytes that were sent or received */
  guint32 seed; /* of the data that is sent; the received data has the next one */
  guint64 to_send;
  guint64 sent;
  guint64 to_receive;
  guint64 received;
  gboolean finished; /* has sent its end */
  gboolean ended;    /* has received the end of the other */
} Flow;

static void
put (guint8 *data,
     guint64 value,
     guint bytes)
{
  for (guint i = 0; i < bytes; i++)
    data[i] = value >> (8 * (bytes - 1 - i));
}

static guint64
get (const guint8 *data,
     guint bytes)
{
  guint64 value = 0;

  for (guint i = 0; i < bytes; i++)
    value = value << 8 | data[i];

  return value;
}

static Flow *
flow_new_client (guint16 port,
                 guint64 up,
                 guint64 down,
                 guint32 seed)
{
  Flow *flow = g_new0 (Flow, 1);

  flow->fd = client_connect (port);
  put (flow->wish, seed, 4);
  put (flow->wish + 4, up, 8);
  put (flow->wish + 12, down, 8);
  flow->seed = seed;
  flow->to_send = up;
  flow->to_receive = down;

  return flow;
}

static Flow *
flow_new_server (int fd)
{
  Flow *flow = g_new0 (Flow, 1);

  flow->server = TRUE;
  flow->fd = fd;

  return flow;
}

static void
flow_free (gpointer data)
{
  Flow *flow = data;

  close (flow->fd);
  g_free (flow);
}

static void
fail (Flow *flow,
      const char *what)
{
  test_fail (flow->server ? "target" : "client",
             "the stream with the seed %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " sent, "
             "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " received: %s",
             get (flow->wish, 4), flow->sent, flow->to_send, flow->received, flow->to_receive, what);
}

static gboolean
flow_wants_out (Flow *flow)
{
  return (!flow->server && flow->wished < WISH_SIZE) || flow->sent < flow->to_send;
}

static gboolean
flow_is_over (Flow *flow)
{
  return flow->finished && flow->ended;
}

/* Reads the head of the stream from the client, and no more. */
static void
flow_take_wish (Flow *flow)
{
  gssize count = recv (flow->fd, flow->wish + flow->wished, WISH_SIZE - flow->wished, 0);

  if (count == 0)
    fail (flow, "the end, before it said what it wants");
  if (count < 0 && errno != EAGAIN)
    fail (flow, g_strerror (errno));
  flow->wished += MAX (count, 0);
  if (flow->wished < WISH_SIZE)
    return;

  flow->seed = (guint32) get (flow->wish, 4) ^ 1;
  flow->to_receive = get (flow->wish + 4, 8);
  flow->to_send = get (flow->wish + 12, 8);
}

static void
flow_take (Flow *flow)
{
  guint8 data[CHUNK];
  guint8 expected[CHUNK];
  gssize count;

  if (flow->server && flow->wished < WISH_SIZE)
    {
      flow_take_wish (flow);
      return;
    }

  count = recv (flow->fd, data, sizeof data, 0);
  if (count < 0 && errno != EAGAIN)
    fail (flow, g_strerror (errno));
  if (count == 0 && flow->received < flow->to_receive)
    fail (flow, "the end came too early");
  if (count == 0)
    flow->ended = TRUE;
  if (count <= 0)
    return;

  if (flow->received + count > flow->to_receive)
    fail (flow, "there is more than was sent");
  test_fill (expected, count, flow->seed ^ 1, flow->received);
  if (memcmp (data, expected, count) != 0)
    fail (flow, "wrong bytes");
  flow->received += count;
}

static void
flow_give (Flow *flow)
{
  guint8 data[CHUNK];
  gsize length = MIN (sizeof data, flow->to_send - flow->sent);
  gboolean wishing = !flow->server && flow->wished < WISH_SIZE;
  gssize count;

  if (wishing)
    count = send (flow->fd, flow->wish + flow->wished, WISH_SIZE - flow->wished, MSG_NOSIGNAL);
  else
    {
      test_fill (data, length, flow->seed, flow->sent);
      count = send (flow->fd, data, length, MSG_NOSIGNAL);
    }
  if (count < 0 && errno != EAGAIN)
    fail (flow, g_strerror (errno));

  if (wishing)
    flow->wished += MAX (count, 0);
  else
    flow->sent += MAX (count, 0);
}

static void
flow_serve (Flow *flow,
            short ready)
{
  if (ready & (POLLIN | POLLHUP | POLLERR))
    flow_take (flow);
  if (ready & POLLOUT)
    flow_give (flow);
  if (!flow->finished && flow->wished == WISH_SIZE && flow->sent == flow->to_send)
    {
      shutdown (flow->fd, SHUT_WR);
      flow->finished = TRUE;
    }
}

/* Handles each flow once, and removes those that have ended. */
static void
serve_flows (GPtrArray *flows,
             GArray *polls,
             guint others)
{
  for (guint i = flows->len; i > 0; i--)
    {
      Flow *flow = flows->pdata[i - 1];
      short ready = g_array_index (polls, struct pollfd, others + i - 1).revents;

      if (ready != 0)
        flow_serve (flow, ready);
      if (flow_is_over (flow))
        g_ptr_array_remove_index (flows, i - 1);
    }
}

static void
watch_flows (GPtrArray *flows,
             GArray *polls)
{
  for (guint i = 0; i < flows->len; i++)
    {
      Flow *flow = flows->pdata[i];
      struct pollfd poll_fd = { .fd = flow->fd };

      if (!flow->ended)
        poll_fd.events |= POLLIN;
      if (flow_wants_out (flow))
        poll_fd.events |= POLLOUT;
      /* A hang-up would be reported again and again. */
      if (poll_fd.events == 0)
        poll_fd.fd = -1;
      g_array_append_val (polls, poll_fd);
    }
}

/* The far end */

struct _TrafficServer
{
  GThread *thread;
  guint16 port;
  int listen_fd;
  int quit_fd;
};

static gpointer
run_server (gpointer user_data)
{
  TrafficServer *server = user_data;
  g_autoptr (GPtrArray) flows = g_ptr_array_new_with_free_func (flow_free);
  g_autoptr (GArray) polls = g_array_new (FALSE, TRUE, sizeof (struct pollfd));
  const struct pollfd own[] = { { .fd = server->quit_fd, .events = POLLIN }, { .fd = server->listen_fd, .events = POLLIN } };

  for (;;)
    {
      struct pollfd *ready;

      g_array_set_size (polls, 0);
      g_array_append_vals (polls, own, G_N_ELEMENTS (own));
      watch_flows (flows, polls);
      ready = (struct pollfd *) (void *) polls->data;
      poll (ready, polls->len, -1);
      if (ready[0].revents != 0)
        return NULL;

      serve_flows (flows, polls, G_N_ELEMENTS (own));
      if (ready[1].revents != 0)
        g_ptr_array_add (flows, flow_new_server (accept4 (server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)));
    }
}

TrafficServer *
traffic_server_new (void)
{
  TrafficServer *server = g_new0 (TrafficServer, 1);

  server->listen_fd = socket_listen (0, &server->port);
  server->quit_fd = eventfd (0, EFD_CLOEXEC);
  server->thread = g_thread_new ("traffic-server", run_server, server);

  return server;
}

void
traffic_server_free (TrafficServer *server)
{
  eventfd_write (server->quit_fd, 1);
  g_thread_join (server->thread);
  close (server->listen_fd);
  close (server->quit_fd);
  g_free (server);
}

char *
traffic_server_get_address (TrafficServer *server)
{
  return g_strdup_printf ("127.0.0.1:%u", server->port);
}

/* The near end */

struct _TrafficRun
{
  GThread *thread;
  GPtrArray *flows;
  Monitor monitor;
  gboolean done;
};

static gpointer
run_client (gpointer user_data)
{
  TrafficRun *run = user_data;
  g_autoptr (GArray) polls = g_array_new (FALSE, TRUE, sizeof (struct pollfd));

  while (run->flows->len > 0)
    {
      g_array_set_size (polls, 0);
      watch_flows (run->flows, polls);
      if (poll ((struct pollfd *) (void *) polls->data, polls->len, test_scaled_ms (IDLE_MS)) == 0)
        fail (run->flows->pdata[0], "nothing has moved for a minute");
      serve_flows (run->flows, polls, 0);
    }

  monitor_enter (&run->monitor);
  run->done = TRUE;
  monitor_leave (&run->monitor);

  return NULL;
}

TrafficRun *
traffic_run_new (guint16 port,
                 guint streams,
                 guint64 up,
                 guint64 down,
                 guint32 seed)
{
  TrafficRun *run = g_new0 (TrafficRun, 1);

  monitor_init (&run->monitor);
  run->flows = g_ptr_array_new_with_free_func (flow_free);
  for (guint i = 0; i < streams; i++)
    g_ptr_array_add (run->flows, flow_new_client (port, up, down, seed + 2 * i));
  run->thread = g_thread_new ("traffic-client", run_client, run);

  return run;
}

gboolean
traffic_run_is_done (TrafficRun *run)
{
  gboolean done;

  monitor_enter (&run->monitor);
  done = run->done;
  monitor_leave (&run->monitor);

  return done;
}

void
traffic_run_free (TrafficRun *run)
{
  g_thread_join (run->thread);
  g_ptr_array_unref (run->flows);
  monitor_clear (&run->monitor);
  g_free (run);
}
