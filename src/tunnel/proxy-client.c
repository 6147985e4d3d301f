/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/proxy-client.h"

#include <errno.h>
#include <sys/socket.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"
#include "io/linger.h"
#include "io/reactor.h"

/* The number of bytes that are checked at a time. */
#define PEEK_SIZE 4096

struct _TcpProxyClient
{
  TcpOpener base;
  TcpProxyRequest request;
  GSocketConnection *connection; /* NULL once the stream has it, or it is closed */
  TcpProxyClientCallbacks callbacks;
  gpointer user_data;
  TcpWatch *watch;
  TcpTimer *deadline;
  TcpStream *stream; /* the stream that was opened for it, until it is connected; not counted */
};

static int
client_get_fd (TcpProxyClient *self)
{
  return g_socket_get_fd (g_socket_connection_get_socket (self->connection));
}

static void
client_end (TcpProxyClient *self)
{
  self->callbacks.ended (self, self->user_data);
}

/* Sends the answer. FALSE if it did not fit into the socket's buffer, which was empty, or if the client has left. */
static gboolean
client_send (TcpProxyClient *self)
{
  GByteArray *output = self->request.output;
  gssize n = 0;

  if (output->len > 0)
    {
      do
        n = send (client_get_fd (self), output->data, output->len, MSG_NOSIGNAL | MSG_DONTWAIT);
      while (n < 0 && errno == EINTR);
    }
  if (n != (gssize) output->len)
    return FALSE;

  g_byte_array_set_size (output, 0);
  return TRUE;
}

/* Closes the connection after the answer, which the client should receive. */
static void
client_close (TcpProxyClient *self)
{
  g_autoptr (GSocketConnection) connection = self->connection;
  gboolean sent = client_send (self);

  tcp_watch_clear (&self->watch);
  tcp_timer_set (self->deadline, -1);
  self->connection = NULL;
  if (sent && shutdown (g_socket_get_fd (g_socket_connection_get_socket (connection)), SHUT_WR) == 0)
    tcp_linger (connection);
}

static void
client_turn_away (TcpProxyClient *self,
                  const char     *why)
{
  self->callbacks.refused (self, why, self->user_data);
  client_close (self);
}

/* The request */

static void
client_ask (TcpProxyClient *self)
{
  tcp_timer_set (self->deadline, -1);
  /* Until it is connected, only breaks of the connection matter. */
  tcp_watch_set (self->watch, 0);
  self->base.target = self->request.target;
  self->callbacks.asked (self, self->user_data);
}

/* FALSE if nothing more may be read now, or the client is gone. */
static gboolean
client_read (TcpProxyClient *self)
{
  int fd = client_get_fd (self);
  guint8 data[PEEK_SIZE];
  TcpProxyStep step;
  gsize used;
  gssize n;

  do
    n = recv (fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return FALSE;
  if (n <= 0)
    {
      client_close (self);
      client_end (self);
      return FALSE;
    }

  /* Data behind the request stays in the socket, for the stream. */
  step = tcp_proxy_request_receive (&self->request, data, n, &used);
  if (used > 0 && recv (fd, data, used, MSG_DONTWAIT) != (gssize) used)
    client_close (self);
  else if (step == TCP_PROXY_BAD)
    client_turn_away (self, self->request.problem);
  else if (!client_send (self))
    client_close (self);
  else if (step == TCP_PROXY_MORE)
    return TRUE;

  if (self->connection != NULL)
    client_ask (self);
  else
    client_end (self);
  return FALSE;
}

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  TcpProxyClient *self = user_data;

  if (self->base.target == NULL)
    {
      while (client_read (self))
        ;
      return;
    }

  /* The client has left before it was connected. It may have no stream yet. */
  tcp_watch_rest (self->watch);
  if (self->stream != NULL)
    {
      g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET,
                                                      _("the client of the proxy left before it was connected"));

      tcp_stream_mark_left (self->stream);
      tcp_stream_reset (self->stream, error);
    }
}

static void
on_deadline (gpointer user_data)
{
  TcpProxyClient *self = user_data;

  self->request.class->time_out (&self->request);
  client_turn_away (self, "it sent no request in time");
  client_end (self);
}

/* The answer */

static TcpProxyOutcome
outcome_of (TcpStream    *stream,
            const GError *error)
{
  switch (stream != NULL ? tcp_stream_get_peer_code (stream) : 0)
    {
    case TCP_RESET_FORBIDDEN: return TCP_PROXY_FORBIDDEN;
    case TCP_RESET_REFUSED: return TCP_PROXY_REFUSED;
    case TCP_RESET_UNREACHABLE: return TCP_PROXY_UNREACHABLE;
    case TCP_RESET_TIMED_OUT: return TCP_PROXY_TIMED_OUT;
    default: return TCP_PROXY_UNAVAILABLE;
    }
}

static void
client_connected (TcpOpener *opener,
                  TcpStream *stream)
{
  TcpProxyClient *self = (TcpProxyClient *) opener;
  g_autoptr (GSocketConnection) connection = NULL;

  self->request.class->answer (&self->request, TCP_PROXY_CONNECTED, NULL);
  tcp_watch_clear (&self->watch);
  if (!client_send (self))
    {
      g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET,
                                                      _("the client of the proxy left before it was connected"));

      g_clear_object (&self->connection);
      tcp_stream_mark_left (stream);
      tcp_stream_reset (stream, error);
      return;
    }

  self->stream = NULL;
  connection = g_steal_pointer (&self->connection);
  tcp_stream_attach (stream, connection);
}

static void
client_closed (TcpOpener    *opener,
               TcpStream    *stream,
               const GError *error)
{
  TcpProxyClient *self = (TcpProxyClient *) opener;

  self->stream = NULL;
  if (self->connection != NULL)
    {
      const char *why = error != NULL ? error->message : "the connection ended before it was connected";

      self->request.class->answer (&self->request, outcome_of (stream, error), why);
      /* The end of a stream was reported already. */
      if (stream == NULL)
        client_turn_away (self, why);
      else
        client_close (self);
    }
  client_end (self);
}

static void
client_opened (TcpOpener *opener,
               TcpStream *stream)
{
  ((TcpProxyClient *) opener)->stream = stream;
  tcp_stream_set_accepted (stream);
}

static const TcpOpenerClass opener_class = {
  .opened = client_opened,
  .connected = client_connected,
  .closed = client_closed,
};

/* Creation and destruction */

TcpProxyClient *
tcp_proxy_client_new (const TcpProxyClass           *class,
                      GSocketConnection             *connection,
                      GSocketAddress                *peer,
                      const TcpProxyClientCallbacks *callbacks,
                      gpointer                       user_data)
{
  TcpProxyClient *self = g_new0 (TcpProxyClient, 1);

  self->base.class = &opener_class;
  self->base.peer = g_object_ref (peer);
  self->connection = g_object_ref (connection);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  tcp_proxy_request_init (&self->request, class);
  return self;
}

/* @timeout is the time for its request in ms. */
void
tcp_proxy_client_start (TcpProxyClient *self,
                        guint           timeout)
{
  g_socket_set_blocking (g_socket_connection_get_socket (self->connection), FALSE);
  self->deadline = tcp_timer_new (on_deadline, self);
  tcp_timer_set (self->deadline, tcp_now () + timeout * G_TIME_SPAN_MILLISECOND);
  self->watch = tcp_watch_new (client_get_fd (self), G_IO_IN, on_ready, self);
}

/* Must not be called while it has a stream, or waits for one. */
void
tcp_proxy_client_free (TcpProxyClient *self)
{
  tcp_watch_clear (&self->watch);
  tcp_timer_clear (&self->deadline);
  tcp_proxy_request_clear (&self->request);
  g_clear_object (&self->connection);
  g_object_unref (self->base.peer);
  g_free (self);
}
