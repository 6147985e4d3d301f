/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/acceptor.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io/reactor.h"

/* The number of connections that a socket accepts before other descriptors get their turn. */
#define MAX_ACCEPTED 16

struct _TcpAcceptor
{
  TcpLog *log;
  TcpAcceptFunc func; /* NULL once freed */
  gpointer user_data;
  GArray *listeners;  /* of Listener */
  gboolean accepting; /* in a call of on_readable () */
  gboolean failing;   /* the failure was logged */
  gboolean paused;
  gboolean resting;   /* requested by the user */
  TcpTimer *timer;    /* for the end of a pause, then for the end of the failure */
};

typedef struct
{
  TcpAcceptor *acceptor;
  GSocket *socket;
  TcpWatch *watch;
} Listener;

/* Starts or stops accepting. */
static void
acceptor_update (TcpAcceptor *self)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      TcpWatch *watch = g_array_index (self->listeners, Listener, i).watch;

      if (self->paused || self->resting)
        tcp_watch_rest (watch);
      else
        tcp_watch_set (watch, G_IO_IN);
    }
}

static void
acceptor_pause (TcpAcceptor *self,
                int          code)
{
  if (!self->failing)
    tcp_log_warn (self->log, "cannot accept connections: %s; trying again until it works", g_strerror (code));
  self->failing = TRUE;
  self->paused = TRUE;
  acceptor_update (self);
  tcp_timer_set (self->timer, tcp_now () + TCP_ACCEPTOR_PAUSE);
}

static void
on_timer (gpointer user_data)
{
  TcpAcceptor *self = user_data;

  if (!self->paused)
    {
      self->failing = FALSE;
      tcp_log_info (self->log, "connections are accepted again");
      return;
    }

  self->paused = FALSE;
  acceptor_update (self);
  tcp_timer_set (self->timer, tcp_now () + TCP_ACCEPTOR_RECOVERY);
}

/* Takes ownership of @fd. */
static void
acceptor_hand_over (TcpAcceptor *self,
                    int          fd)
{
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, NULL);
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GSocketAddress) peer = NULL;

  if (socket == NULL)
    {
      close (fd);
      return;
    }

  connection = g_socket_connection_factory_create_connection (socket);
  peer = g_socket_connection_get_remote_address (connection, NULL);
  /* Without an address, the connection has broken already. */
  if (peer != NULL)
    self->func (connection, peer, self->user_data);
}

static void
on_readable (GIOCondition condition,
             gpointer     user_data)
{
  Listener *listener = user_data;
  TcpAcceptor *self = listener->acceptor;
  int listening = g_socket_get_fd (listener->socket);

  self->accepting = TRUE;
  for (guint i = 0; i < MAX_ACCEPTED && self->func != NULL && !self->resting; i++)
    {
      int fd = accept4 (listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

      if (fd >= 0)
        {
          acceptor_hand_over (self, fd);
          continue;
        }
      if (errno != EAGAIN && errno != EINTR)
        acceptor_pause (self, errno);
      break;
    }
  self->accepting = FALSE;
  if (self->func == NULL)
    g_free (self);
}

/* @sockets are listening GSocket, which are closed with the acceptor. */
TcpAcceptor *
tcp_acceptor_new (GPtrArray     *sockets,
                  TcpLog        *log,
                  TcpAcceptFunc  func,
                  gpointer       user_data)
{
  TcpAcceptor *self = g_new0 (TcpAcceptor, 1);

  self->log = tcp_log_ref (log);
  self->func = func;
  self->user_data = user_data;
  self->timer = tcp_timer_new (on_timer, self);
  self->listeners = g_array_sized_new (FALSE, TRUE, sizeof (Listener), sockets->len);
  g_array_set_size (self->listeners, sockets->len);
  for (guint i = 0; i < sockets->len; i++)
    {
      Listener *listener = &g_array_index (self->listeners, Listener, i);

      listener->acceptor = self;
      listener->socket = g_object_ref (sockets->pdata[i]);
      listener->watch = tcp_watch_new (g_socket_get_fd (listener->socket), G_IO_IN, on_readable, listener);
    }

  return self;
}

/* While it rests, new connections wait in the backlog. */
void
tcp_acceptor_set_resting (TcpAcceptor *self,
                          gboolean     resting)
{
  if (self->resting == resting)
    return;

  self->resting = resting;
  acceptor_update (self);
}

/* Returns the descriptor of a socket, by its index from 0; -1 beyond the last. */
int
tcp_acceptor_get_descriptor (TcpAcceptor *self,
                             guint        index)
{
  return index < self->listeners->len ? g_socket_get_fd (g_array_index (self->listeners, Listener, index).socket) : -1;
}

/* The ports are free when this returns. */
void
tcp_acceptor_free (TcpAcceptor *self)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = &g_array_index (self->listeners, Listener, i);

      tcp_watch_clear (&listener->watch);
      g_socket_close (listener->socket, NULL);
      g_object_unref (listener->socket);
    }
  g_array_unref (self->listeners);
  tcp_timer_clear (&self->timer);
  tcp_log_unref (self->log);

  self->func = NULL;
  if (!self->accepting)
    g_free (self);
}
