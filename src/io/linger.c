/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/linger.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include "io/reactor.h"

/* How long a peer may take to close its side after the end was sent to it, and how much it may still send before the
 * connection is reset. */
#define LINGER_SECONDS 10
#define LINGER_BYTES (64 * 1024)

/* Each connection that lingers holds a file descriptor; beyond this number in the process, connections are closed
 * without lingering. */
#define MAX_LINGERING 64
static atomic_uint lingering;

/* Like recv (), but restarts after interruptions. */
static gssize
socket_receive (GSocket  *socket,
                gpointer  data,
                gsize     length)
{
  gssize n;

  do
    n = recv (g_socket_get_fd (socket), data, length, 0);
  while (n < 0 && errno == EINTR);

  return n;
}

/* Closes the socket so that the peer sees a reset; on a Unix socket it does if some of its data was not read. */
void
tcp_socket_close_with_reset (GSocket *socket)
{
  struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

  setsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof (at_once));
  g_socket_close (socket, NULL);
}

/* Lingering: the end was sent; if the socket were closed before the peer has closed its side too, data of the peer that
 * is still on its way would cause a reset. */

typedef struct
{
  GSocketConnection *connection; /* closed with its last reference */
  TcpWatch *watch;
  TcpTimer *deadline;
  gsize skipped;
} Linger;

static void
linger_end (Linger *self)
{
  tcp_watch_clear (&self->watch);
  tcp_timer_clear (&self->deadline);
  g_object_unref (self->connection);
  g_free (self);
  atomic_fetch_sub_explicit (&lingering, 1, memory_order_relaxed);
}

static void
on_linger_input (GIOCondition condition,
                 gpointer     user_data)
{
  Linger *self = user_data;
  GSocket *socket = g_socket_connection_get_socket (self->connection);
  char scrap[4096];
  gssize n = socket_receive (socket, scrap, sizeof (scrap));

  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return;
  if (n > 0)
    {
      self->skipped += n;
      if (self->skipped <= LINGER_BYTES)
        return;
      tcp_watch_clear (&self->watch);
      tcp_socket_close_with_reset (socket);
    }
  linger_end (self);
}

static void
on_linger_deadline (gpointer user_data)
{
  linger_end (user_data);
}

/* Keeps the connection, whose sending side is closed, until the peer has closed its own. */
void
tcp_linger (GSocketConnection *connection)
{
  Linger *self;

  if (atomic_fetch_add_explicit (&lingering, 1, memory_order_relaxed) >= MAX_LINGERING)
    {
      atomic_fetch_sub_explicit (&lingering, 1, memory_order_relaxed);
      return;
    }

  self = g_new0 (Linger, 1);
  self->connection = g_object_ref (connection);
  self->watch = tcp_watch_new (g_socket_get_fd (g_socket_connection_get_socket (connection)), G_IO_IN,
                               on_linger_input, self);
  self->deadline = tcp_timer_new (on_linger_deadline, self);
  tcp_timer_set (self->deadline, tcp_now () + LINGER_SECONDS * G_TIME_SPAN_SECOND);
}
