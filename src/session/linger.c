/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/linger.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include "base/source.h"

/* How long a peer may take to close its side after the end was sent to it, and how
 * much it may still say before it is told, by a reset, that nobody listens. */
#define LINGER_SECONDS 10
#define LINGER_BYTES (64 * 1024)

/* Connections that linger hold a file descriptor each; beyond so many in the process,
 * they are closed without. */
#define MAX_LINGERING 64
static atomic_uint lingering;

/* Like recv(), but for interruptions. */
gssize
tcp_socket_receive (GSocket  *socket,
                    gpointer  data,
                    gsize     length)
{
  gssize n;

  do
    n = recv (g_socket_get_fd (socket), data, length, 0);
  while (n < 0 && errno == EINTR);

  return n;
}

/* So that the peer sees a reset; on a Unix socket it does if something that it sent was
 * not read. */
void
tcp_socket_close_with_reset (GSocket *socket)
{
  struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

  setsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof (at_once));
  g_socket_close (socket, NULL);
}

/* Lingering: the end was sent; closing before the peer has closed its side too
 * would make a reset of it if bytes of the peer are still on their way. */

typedef struct
{
  GSource source;
  GSocketConnection *connection; /* closes with its last reference */
  gsize skipped;
} LingerSource;

static gboolean
linger_source_dispatch (GSource     *source,
                        GSourceFunc  callback,
                        gpointer     user_data)
{
  LingerSource *self = (LingerSource *) source;
  char scrap[4096];
  gssize n;

  if (g_source_get_time (source) >= g_source_get_ready_time (source))
    return G_SOURCE_REMOVE;

  n = tcp_socket_receive (g_socket_connection_get_socket (self->connection), scrap, sizeof (scrap));
  if (n < 0)
    return errno == EAGAIN ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;

  self->skipped += n;
  if (self->skipped > LINGER_BYTES)
    tcp_socket_close_with_reset (g_socket_connection_get_socket (self->connection));
  return n > 0 && self->skipped <= LINGER_BYTES;
}

static void
linger_source_finalize (GSource *source)
{
  g_object_unref (((LingerSource *) source)->connection);
  atomic_fetch_sub_explicit (&lingering, 1, memory_order_relaxed);
}

static GSourceFuncs linger_source_funcs = {
  .dispatch = linger_source_dispatch,
  .finalize = linger_source_finalize,
};

/* Keeps the connection, whose sending side is closed, until the peer has closed its own. */
void
tcp_linger (GSocketConnection *connection)
{
  g_autoptr (GSource) source = g_source_new (&linger_source_funcs, sizeof (LingerSource));
  guint others = atomic_fetch_add_explicit (&lingering, 1, memory_order_relaxed);

  ((LingerSource *) source)->connection = g_object_ref (connection);
  if (others >= MAX_LINGERING)
    return;

  g_source_set_static_name (source, "[tcptunnel] linger");
  g_source_add_unix_fd (source, g_socket_get_fd (g_socket_connection_get_socket (connection)), G_IO_IN);
  g_source_set_ready_time (source, g_get_monotonic_time () + LINGER_SECONDS * G_TIME_SPAN_SECOND);
  g_source_attach (source, g_main_context_get_thread_default ());
}
