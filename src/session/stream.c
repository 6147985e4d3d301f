/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/stream.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <tcptunnel/tcptunnel.h>
#include "base/byte-queue.h"
#include "base/i18n.h"
#include "io/heritage.h"
#include "io/linger.h"
#include "io/reactor.h"
#include "io/socket-diag.h"

struct _TcpStream
{
  grefcount refs;
  TcpProtocolStream *protocol; /* the stream in the session's protocol */
  guint64 serial;
  TcpRecord *record;  /* NULL if the application does not know the stream */
  char *target;
  gpointer opener;    /* set by the user of the session: what the stream was opened for */
  guint peer_code;    /* the code with which the peer has reset it */
  gboolean connected; /* the peer has connected the stream that this end opened */
  TcpStreamCallbacks callbacks;
  gpointer user_data;

  GSocketConnection *connection;
  GSocket *socket; /* that of the connection */
  TcpWatch *watch; /* of the socket */
  GIOCondition interest;
  gboolean is_unix;
  TcpRateShare input_rate;  /* for reading from the socket */
  TcpRateShare output_rate; /* for writing to it */

  TcpByteQueue queue;
  GArray *gathered;       /* of struct iovec: data to be written first; or NULL */
  gsize gathered_bytes;
  gsize *total;           /* the number of bytes that wait in all streams of the session */
  gboolean has_plenty;    /* the last read filled all buffers */
  gboolean input_ended;   /* the peer has closed its side, and everything was read */
  gboolean output_ending; /* our side is closed when the queue is empty */
  gboolean output_ended;  /* our side is closed */
  gboolean finishing;     /* the connection is closed when the queue is empty */
  TcpFinish finish;       /* how it is closed then */
  gboolean left;          /* a program at one of the ends broke it, which is common */
  gboolean closed;
  gboolean counted;       /* in a quota of the user of the session */
  gboolean accepted;      /* from a TCP client, not opened to a target */
  GVariant *past;         /* the state saved by another process; nullable */
};

static void stream_flush (TcpStream *self);

static void
stream_set_interest (TcpStream    *self,
                     GIOCondition  interest)
{
  if (self->watch == NULL || self->interest == interest)
    return;

  self->interest = interest;
  tcp_watch_set (self->watch, interest);
}

/* Returns the error of the socket, if it has one. */
static GError *
stream_take_socket_error (TcpStream *self)
{
  GError *error = NULL;

  if (g_socket_check_connect_result (self->socket, &error))
    return NULL;
  return error;
}

/* The socket reports a hang-up while it is not being read; no other code would detect it. */
static void
stream_hung_up (TcpStream *self)
{
  g_autoptr (GError) error = stream_take_socket_error (self);

  /* A hang-up only means that both directions are closed. On a Unix socket the peer closes both at once, although there
   * may be bytes to read. */
  if (error == NULL && !self->output_ended && !self->is_unix)
    g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, _("the TCP connection was closed"));

  if (error != NULL)
    tcp_stream_reset (self, error);
  else if (self->queue.length > 0)
    {
      /* The write will fail, so it need not wait for its rate. */
      tcp_rate_share_clear (&self->output_rate);
      stream_flush (self);
    }
  else
    tcp_watch_rest (self->watch); /* the condition persists; unread data waits for tcp_stream_watch () */
}

static void
on_ready (GIOCondition condition,
          gpointer     user_data)
{
  TcpStream *self = tcp_stream_ref (user_data);

  if (condition & (G_IO_ERR | G_IO_HUP) && !(self->interest & G_IO_IN))
    {
      stream_hung_up (self);
    }
  else
    {
      if (condition & G_IO_OUT)
        stream_flush (self);
      if (!self->closed && condition & (G_IO_IN | G_IO_ERR | G_IO_HUP))
        {
          stream_set_interest (self, self->interest & ~G_IO_IN);
          self->callbacks.readable (self, self->user_data);
        }
    }

  tcp_stream_unref (self);
}

static void
stream_lift_rates (TcpStream *self)
{
  tcp_rate_share_clear (&self->input_rate);
  tcp_rate_share_clear (&self->output_rate);
}

TcpStream *
tcp_stream_new (gsize                    *total,
                const TcpStreamCallbacks *callbacks,
                gpointer                  user_data)
{
  TcpStream *self = g_new0 (TcpStream, 1);

  g_ref_count_init (&self->refs);
  self->total = total;
  self->callbacks = *callbacks;
  self->user_data = user_data;
  return self;
}

TcpStream *
tcp_stream_ref (TcpStream *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
tcp_stream_unref (TcpStream *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  stream_lift_rates (self);
  tcp_watch_clear (&self->watch);
  tcp_byte_queue_clear (&self->queue);
  g_clear_pointer (&self->gathered, g_array_unref);
  g_clear_object (&self->connection);
  g_clear_pointer (&self->past, g_variant_unref);
  tcp_stream_set_record (self, NULL);
  g_free (self->target);
  g_free (self);
}

static void
on_input_turn (gpointer user_data)
{
  g_autoptr (TcpStream) self = tcp_stream_ref (user_data);

  self->callbacks.readable (self, self->user_data);
}

static void
on_output_turn (gpointer user_data)
{
  g_autoptr (TcpStream) self = tcp_stream_ref (user_data);

  stream_flush (self);
}

/* Sets the rates for reading and writing, which are shared with other streams. Called before it is attached. */
void
tcp_stream_set_rates (TcpStream   *self,
                      TcpRateLane *input,
                      TcpRateLane *output)
{
  tcp_rate_share_init (&self->input_rate, input, on_input_turn, self);
  tcp_rate_share_init (&self->output_rate, output, on_output_turn, self);
}

void
tcp_stream_set_protocol (TcpStream         *self,
                         TcpProtocolStream *protocol)
{
  self->protocol = protocol;
}

/* NULL before there is a protocol, and when the protocol does not use the stream any more. */
TcpProtocolStream *
tcp_stream_get_protocol (TcpStream *self)
{
  return self->protocol;
}

/* The id of the connection for the application. */
void
tcp_stream_set_serial (TcpStream *self,
                       guint64    serial)
{
  self->serial = serial;
}

guint64
tcp_stream_get_serial (TcpStream *self)
{
  return self->serial;
}

/* The record of the connection for the application, set before the first byte. */
void
tcp_stream_set_record (TcpStream *self,
                       TcpRecord *record)
{
  if (self->record != NULL)
    {
      self->record->stream = NULL;
      tcp_record_unref (self->record);
    }
  self->record = record != NULL ? tcp_record_ref (record) : NULL;
  if (record == NULL)
    return;

  record->stream = self;
  record->reset = (void (*) (gpointer, const GError *)) tcp_stream_reset;
}

TcpRecord *
tcp_stream_get_record (TcpStream *self)
{
  return self->record;
}

/* The target that the end that opened the stream requested; NULL for the default target. */
void
tcp_stream_set_target (TcpStream  *self,
                       const char *target)
{
  g_free (self->target);
  self->target = g_strdup (target);
}

const char *
tcp_stream_get_target (TcpStream *self)
{
  return self->target;
}

/* Set by the user of the session: what the stream was opened for; NULL if that does not matter. */
void
tcp_stream_set_opener (TcpStream *self,
                       gpointer   opener)
{
  self->opener = opener;
}

gpointer
tcp_stream_get_opener (TcpStream *self)
{
  return self->opener;
}

/* The peer has connected the stream that this end opened. */
void
tcp_stream_set_connected (TcpStream *self)
{
  self->connected = TRUE;
}

gboolean
tcp_stream_is_connected (TcpStream *self)
{
  return self->connected;
}

/* The code, a TcpResetCode, with which the peer has reset it; 0 if it did not. */
void
tcp_stream_set_peer_code (TcpStream *self,
                          guint      code)
{
  self->peer_code = code;
}

guint
tcp_stream_get_peer_code (TcpStream *self)
{
  return self->peer_code;
}

/* Its TCP connection comes from a client. */
void
tcp_stream_set_accepted (TcpStream *self)
{
  self->accepted = TRUE;
}

gboolean
tcp_stream_is_accepted (TcpStream *self)
{
  return self->accepted;
}

/* Sets the counter of the bytes that wait in this stream. */
void
tcp_stream_set_total (TcpStream *self,
                      gsize     *total)
{
  *self->total -= self->queue.length;
  self->total = total;
  *self->total += self->queue.length;
}

/* The user of the session counts it in a quota. */
void
tcp_stream_set_counted (TcpStream *self)
{
  self->counted = TRUE;
}

gboolean
tcp_stream_is_counted (TcpStream *self)
{
  return self->counted;
}

/* The number of bytes that wait for the socket. */
gsize
tcp_stream_get_queued (TcpStream *self)
{
  return self->queue.length + self->gathered_bytes;
}

gboolean
tcp_stream_is_attached (TcpStream *self)
{
  return self->socket != NULL;
}

/* NULL if there is none yet, or not any more. */
GSocketConnection *
tcp_stream_get_connection (TcpStream *self)
{
  return self->connection;
}

/* The descriptor of its socket; the stream must be attached. */
int
tcp_stream_get_descriptor (TcpStream *self)
{
  return g_socket_get_fd (self->socket);
}

/* Attaches the TCP connection, to which all data written so far is sent. */
void
tcp_stream_attach (TcpStream         *self,
                   GSocketConnection *connection)
{
  GSocket *socket = g_socket_connection_get_socket (connection);

  g_assert (self->socket == NULL && !self->closed);

  self->connection = g_object_ref (connection);
  self->socket = socket;
  g_socket_set_blocking (socket, FALSE);
  self->is_unix = g_socket_get_family (socket) == G_SOCKET_FAMILY_UNIX;
  if (!self->is_unix)
    g_socket_set_option (socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);

  self->interest = self->input_ended ? 0 : G_IO_IN;
  self->watch = tcp_watch_new (g_socket_get_fd (socket), self->interest, on_ready, self);

  if (self->queue.length > 0 || self->output_ending || self->finishing)
    stream_flush (self);
}

/* Whether the peer has closed its side, although there may be unread bytes before the end. */
gboolean
tcp_stream_peer_has_left (TcpStream *self)
{
  struct pollfd pollfd = { .events = POLLRDHUP };

  if (self->closed || self->socket == NULL)
    return self->closed;

  pollfd.fd = g_socket_get_fd (self->socket);
  return poll (&pollfd, 1, 0) == 1 && pollfd.revents != 0;
}

/* Whether the last read filled all buffers. */
gboolean
tcp_stream_has_plenty (TcpStream *self)
{
  return self->has_plenty;
}

/* Reads available data into the buffers, one after the other, at most what fits: returns 0 at the end, -1 without an
 * error if there is nothing now, or the rate does not allow it. */
gssize
tcp_stream_read (TcpStream  *self,
                 TcpBuffer **buffers,
                 guint       n_buffers,
                 GError    **error)
{
  struct iovec vectors[TCP_STREAM_MAX_BUFFERS];
  struct msghdr message = { .msg_iov = vectors };
  gsize room = 0, allowed, left;
  gssize n;
  int code;

  for (guint i = 0; i < n_buffers; i++)
    room += buffers[i]->capacity;
  allowed = left = tcp_rate_share_take (&self->input_rate, room);
  if (allowed == 0)
    return -1;

  for (guint i = 0; left > 0; i++)
    {
      vectors[i] = (struct iovec) { .iov_base = buffers[i]->payload, .iov_len = MIN (left, buffers[i]->capacity) };
      left -= vectors[i].iov_len;
      message.msg_iovlen++;
    }
  /* g_socket_receive_message () would return an error if there is no data. */
  do
    n = recvmsg (g_socket_get_fd (self->socket), &message, 0);
  while (n < 0 && errno == EINTR);
  code = errno;
  tcp_rate_share_give_back (&self->input_rate, allowed - MAX (n, 0));

  left = MAX (n, 0);
  for (guint i = 0; i < n_buffers; i++)
    {
      buffers[i]->length = MIN (left, buffers[i]->capacity);
      left -= buffers[i]->length;
    }
  self->has_plenty = n == (gssize) room;
  if (n == 0)
    self->input_ended = TRUE;
  else if (n < 0 && code != EAGAIN && code != EWOULDBLOCK)
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));

  return n;
}

/* Reports when there is something to read, from now on. */
void
tcp_stream_watch (TcpStream *self)
{
  if (!self->input_rate.waiting)
    stream_set_interest (self, self->interest | G_IO_IN);
}

/* Sends what the socket accepts. */
static gssize
stream_send_vectors (TcpStream    *self,
                     struct iovec *vectors,
                     guint         n_vectors)
{
  struct msghdr message = { .msg_iov = vectors, .msg_iovlen = n_vectors };
  gssize n;

  do
    n = sendmsg (g_socket_get_fd (self->socket), &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);

  if (n >= 0)
    return n;
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    return 0;
  return -1;
}

/* The same, for at most @allowed bytes, which must not be 0. */
static gssize
stream_send_part (TcpStream    *self,
                  struct iovec *vectors,
                  guint         n_vectors,
                  gsize         allowed)
{
  gsize whole;
  gssize n;
  guint i = 0;

  while (i + 1 < n_vectors && vectors[i].iov_len < allowed)
    allowed -= vectors[i++].iov_len;
  whole = vectors[i].iov_len;
  vectors[i].iov_len = MIN (whole, allowed);
  n = stream_send_vectors (self, vectors, i + 1);
  vectors[i].iov_len = whole;
  return n;
}

static gssize
stream_send (TcpStream    *self,
             const guint8 *data,
             gsize         length)
{
  struct iovec vector = { .iov_base = (guint8 *) data, .iov_len = length };

  return stream_send_vectors (self, &vector, 1);
}

/* @reset: the peer must see a reset. The callback comes first, so that the reason is available to an application that
 * is the peer itself. */
static void
stream_close (TcpStream    *self,
              const GError *error,
              gboolean      reset)
{
  g_autoptr (GSocketConnection) connection = g_steal_pointer (&self->connection);

  self->closed = TRUE;
  stream_lift_rates (self);
  tcp_watch_clear (&self->watch);
  *self->total -= self->queue.length;
  tcp_byte_queue_clear (&self->queue);
  g_clear_pointer (&self->gathered, g_array_unref);
  self->gathered_bytes = 0;
  self->socket = NULL;
  self->callbacks.closed (self, error, self->user_data);
  if (reset && connection != NULL)
    tcp_socket_close_with_reset (g_socket_connection_get_socket (connection));
}

/* Breaks the connection so that its peer sees a reset: it must not mistake the data that has arrived for all data. */
void
tcp_stream_reset (TcpStream    *self,
                  const GError *error)
{
  g_autoptr (GError) copy = error != NULL ? g_error_copy (error) : NULL;

  if (self->closed)
    return;

  /* The error is ECONNRESET or EPIPE. A broken path causes other errors. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
    self->left = TRUE;
  stream_close (self, copy, TRUE);
}

static TcpPeerState
stream_diagnose_peer (TcpStream *self)
{
  struct pollfd pollfd = { .fd = g_socket_get_fd (self->socket) };

  if (!self->is_unix)
    return tcp_socket_diagnose_peer (self->socket);
  return poll (&pollfd, 1, 0) == 1 && pollfd.revents & POLLHUP ? TCP_PEER_GONE : TCP_PEER_READS;
}

/* A client that has only closed its side may still wait for an answer, which the reset cuts off. On a Unix socket a
 * reset even looks like an orderly end. */
static GError *
stream_missed_answer (TcpStream *self)
{
  TcpPeerState peer = stream_diagnose_peer (self);

  if (peer == TCP_PEER_GONE)
    return NULL;
  /* A client on another machine, which has most likely exited. */
  if (peer == TCP_PEER_UNKNOWN)
    self->left = TRUE;
  return g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST,
                              _("the connection ended when the client closed its side, since the protocol has no "
                                "half-close: the other end may have had more to send"));
}

/* The last byte was sent. */
static void
stream_complete (TcpStream *self)
{
  if (self->finish != TCP_FINISH_IN_ORDER)
    {
      g_autoptr (GError) error = self->finish == TCP_FINISH_UNANSWERED ? stream_missed_answer (self) : NULL;

      tcp_stream_reset (self, error);
      return;
    }

  tcp_watch_clear (&self->watch);
  if (!self->output_ended)
    g_socket_shutdown (self->socket, FALSE, TRUE, NULL);
  if (!self->input_ended)
    tcp_linger (self->connection);
  stream_close (self, NULL, FALSE);
}

static void
stream_flush (TcpStream *self)
{
  const guint8 *data;
  gsize length;
  gsize before = self->queue.length;

  while ((data = tcp_byte_queue_peek (&self->queue, &length)) != NULL)
    {
      gsize allowed = tcp_rate_share_take (&self->output_rate, length);
      gssize n = allowed > 0 ? stream_send (self, data, allowed) : 0;
      int code = errno;

      tcp_rate_share_give_back (&self->output_rate, allowed - MAX (n, 0));
      if (n < 0)
        {
          g_autoptr (GError) error = NULL;

          error = g_error_new_literal (G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));
          tcp_stream_reset (self, error);
          return;
        }
      if (n > 0)
        tcp_byte_queue_drop (&self->queue, n);
      *self->total -= n;
      if ((gsize) n < allowed || allowed == 0)
        break;
    }

  if (self->queue.length > 0 && !self->output_rate.waiting)
    stream_set_interest (self, self->interest | G_IO_OUT);
  else
    stream_set_interest (self, self->interest & ~G_IO_OUT);

  if (self->queue.length == 0 && self->finishing)
    {
      stream_complete (self);
      return;
    }
  if (self->queue.length == 0 && self->output_ending && !self->output_ended)
    {
      self->output_ended = TRUE;
      g_socket_shutdown (self->socket, FALSE, TRUE, NULL);
    }

  if (self->queue.length < before)
    self->callbacks.flushed (self, self->user_data);
}

/* Adds data for tcp_stream_write_gathered (); @data must stay valid until then. Returns whether it is the first. */
gboolean
tcp_stream_gather (TcpStream    *self,
                   const guint8 *data,
                   gsize         length)
{
  struct iovec vector = { .iov_base = (guint8 *) data, .iov_len = length };

  if (self->closed || self->finishing || self->output_ending)
    return FALSE;

  if (self->gathered == NULL)
    self->gathered = g_array_new (FALSE, FALSE, sizeof (struct iovec));
  g_array_append_val (self->gathered, vector);
  self->gathered_bytes += length;
  return self->gathered->len == 1;
}

/* Writes the gathered data to the socket, in one system call; what the socket does not accept is queued, or all if
 * there is no socket yet. The caller limits the total. */
void
tcp_stream_write_gathered (TcpStream *self)
{
  g_autoptr (GArray) gathered = g_steal_pointer (&self->gathered);
  gsize allowed = 0;
  gssize sent = 0;

  if (gathered == NULL)
    return;

  if (self->socket != NULL && self->queue.length == 0)
    allowed = tcp_rate_share_take (&self->output_rate, self->gathered_bytes);
  self->gathered_bytes = 0;
  if (allowed > 0)
    sent = stream_send_part (self, (struct iovec *) gathered->data, MIN (gathered->len, IOV_MAX), allowed);
  /* An error occurs again, and is reported, when the rest is sent. */
  sent = MAX (sent, 0);
  tcp_rate_share_give_back (&self->output_rate, allowed - sent);

  for (guint i = 0; i < gathered->len; i++)
    {
      struct iovec *vector = &g_array_index (gathered, struct iovec, i);
      gsize skipped = MIN ((gsize) sent, vector->iov_len);

      sent -= skipped;
      if (skipped == vector->iov_len)
        continue;
      tcp_byte_queue_append (&self->queue, (guint8 *) vector->iov_base + skipped, vector->iov_len - skipped);
      *self->total += vector->iov_len - skipped;
    }
  if (self->queue.length > 0 && !self->output_rate.waiting)
    stream_set_interest (self, self->interest | G_IO_OUT);
}

void
tcp_stream_write (TcpStream    *self,
                  const guint8 *data,
                  gsize         length)
{
  tcp_stream_gather (self, data, length);
  tcp_stream_write_gathered (self);
}

/* Closes our side after the queued data; the other direction may continue. */
void
tcp_stream_end (TcpStream *self)
{
  if (self->closed || self->finishing || self->output_ending)
    return;

  tcp_stream_write_gathered (self);
  self->output_ending = TRUE;
  if (self->socket != NULL && self->queue.length == 0)
    stream_flush (self);
}

/* Ends the connection after the queued data. Nothing is read any more. */
void
tcp_stream_finish (TcpStream *self,
                   TcpFinish  how)
{
  if (self->closed || self->finishing)
    return;

  tcp_stream_write_gathered (self);
  self->finishing = TRUE;
  self->finish = how;
  tcp_rate_share_clear (&self->input_rate);
  stream_set_interest (self, self->interest & ~G_IO_IN);
  if (self->socket != NULL && self->queue.length == 0)
    stream_flush (self);
}

/* The connection is about to break because a program at one of its ends requested that, or has exited. */
void
tcp_stream_mark_left (TcpStream *self)
{
  self->left = TRUE;
}

/* Whether one of the directions has ended. */
gboolean
tcp_stream_has_ended (TcpStream *self)
{
  return self->input_ended || self->output_ending || self->finishing;
}

/* Whether the end was sent to the peer, after all data for it. */
gboolean
tcp_stream_output_has_ended (TcpStream *self)
{
  return self->output_ended;
}

/* Saving */

typedef enum
{
  INPUT_ENDED = 1 << 0,
  OUTPUT_ENDING = 1 << 1,
  OUTPUT_ENDED = 1 << 2,
  FINISHING = 1 << 3,
  LEFT = 1 << 4,
  ACCEPTED = 1 << 5,
  ALL_FLAGS = (1 << 6) - 1,
  FINISH_SHIFT = 8, /* the bits from here on are a TcpFinish */
} StateFlags;

static GVariant *
stream_save_queue (TcpStream *self)
{
  GByteArray *copy = g_byte_array_sized_new (self->queue.length);
  g_autoptr (GBytes) bytes = NULL;

  tcp_byte_queue_copy (&self->queue, copy);
  bytes = g_byte_array_free_to_bytes (copy);
  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
}

/* Called between two turns. The descriptor still belongs to the stream. */
GVariant *
tcp_stream_save (TcpStream *self)
{
  int fd = self->socket != NULL ? g_socket_get_fd (self->socket) : -1;
  guint32 flags = (self->input_ended ? INPUT_ENDED : 0) | (self->output_ending ? OUTPUT_ENDING : 0) |
                  (self->output_ended ? OUTPUT_ENDED : 0) | (self->finishing ? FINISHING : 0) | (self->left ? LEFT : 0) |
                  (self->accepted ? ACCEPTED : 0) | self->finish << FINISH_SHIFT;
  TcpRecord *record = self->record;

  g_assert (self->gathered == NULL);

  return g_variant_new ("(tumsxxtttitu@ay)", self->serial,
                        self->protocol != NULL && self->protocol->active ? self->protocol->id : 0, self->target,
                        record != NULL ? record->opened : 0, record != NULL ? record->began : 0,
                        record != NULL ? tcp_record_get (record, bytes_sent) : 0,
                        record != NULL ? tcp_record_get (record, bytes_received) : 0,
                        record != NULL ? tcp_record_get (record, resumes) : 0, fd,
                        fd >= 0 ? tcp_socket_get_inode (fd) : 0, flags, stream_save_queue (self));
}

/* Returns what is invalid, or NULL. */
const char *
tcp_stream_check_state (GVariant *state)
{
  guint32 id;
  guint32 flags;
  guint64 inode;
  int fd;

  g_variant_get (state, "(tu@msxxtttitu@ay)", NULL, &id, NULL, NULL, NULL, NULL, NULL, NULL, &fd, &inode, &flags, NULL);
  if ((flags & ((1 << FINISH_SHIFT) - 1) & ~ALL_FLAGS) != 0 || flags >> FINISH_SHIFT > TCP_FINISH_UNANSWERED)
    return "a connection has flags that are unknown";
  if (fd < -1 || (fd < 0 && (inode != 0 || (flags & (INPUT_ENDED | OUTPUT_ENDED | ACCEPTED)) != 0)))
    return "a connection has no socket";
  if ((flags & OUTPUT_ENDED) != 0 && (flags & OUTPUT_ENDING) == 0)
    return "the end of a connection makes no sense";
  if ((id == 0) != ((flags & FINISHING) != 0))
    return "a connection that is not known does not end";
  return NULL;
}

/* Returns the id of the stream in the protocol, or 0, and sets the number of bytes that wait for its socket. @queued is
 * nullable. */
guint32
tcp_stream_state_get_id (GVariant *state,
                         gsize    *queued)
{
  g_autoptr (GVariant) queue = NULL;
  guint32 id;

  g_variant_get (state, "(tu@msxxtttitu@ay)", NULL, &id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &queue);
  if (queued != NULL)
    *queued = g_variant_get_size (queue);
  return id;
}

/* Returns its descriptor, or -1. */
int
tcp_stream_state_get_socket (GVariant *state,
                             guint64  *inode)
{
  int fd;

  g_variant_get (state, "(tu@msxxtttitu@ay)", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, &fd, inode, NULL, NULL);
  return fd;
}

/* The stream is new, and gets its connection next, if there is one. */
void
tcp_stream_restore (TcpStream *self,
                    GVariant  *state)
{
  g_autoptr (GVariant) queue = NULL;
  guint32 flags;

  g_variant_get (state, "(tumsxxtttitu@ay)", &self->serial, NULL, &self->target, NULL, NULL, NULL, NULL,
                 NULL, NULL, NULL, &flags, &queue);
  self->past = g_variant_ref (state);
  self->input_ended = (flags & INPUT_ENDED) != 0;
  self->output_ending = (flags & OUTPUT_ENDING) != 0;
  self->output_ended = (flags & OUTPUT_ENDED) != 0;
  self->finishing = (flags & FINISHING) != 0;
  self->left = (flags & LEFT) != 0;
  self->accepted = (flags & ACCEPTED) != 0;
  self->finish = flags >> FINISH_SHIFT;
  tcp_byte_queue_append (&self->queue, g_variant_get_data (queue), g_variant_get_size (queue));
  *self->total += self->queue.length;
}

/* Adds the values of the former process. */
void
tcp_stream_restore_record (TcpStream *self,
                           TcpRecord *record)
{
  guint64 sent;
  guint64 received;
  guint64 resumes;

  if (self->past == NULL)
    return;
  g_variant_get (self->past, "(tu@msxxtttitu@ay)", NULL, NULL, NULL, &record->opened, &record->began, &sent,
                 &received, &resumes, NULL, NULL, NULL, NULL);
  tcp_record_add (record, bytes_sent, sent);
  tcp_record_add (record, bytes_received, received);
  tcp_record_add (record, resumes, resumes);
  g_clear_pointer (&self->past, g_variant_unref);
}

/* Returns the level at which to log that it was closed, with the error for the application. Programs often close
 * connections without reading everything, which is rarely of interest. */
TcpTunnelLogLevel
tcp_stream_get_severity (TcpStream    *self,
                         const GError *error)
{
  if (error == NULL)
    return TCP_TUNNEL_LOG_LEVEL_DEBUG;
  /* One end of the tunnel was closed. */
  if (error->code == TCP_TUNNEL_ERROR_CLOSED)
    return TCP_TUNNEL_LOG_LEVEL_INFO;
  if (!self->left)
    return TCP_TUNNEL_LOG_LEVEL_WARN;
  /* The client broke it, or had closed its side before. */
  if (error->code == TCP_TUNNEL_ERROR_RESET || (error->code == TCP_TUNNEL_ERROR_TARGET && tcp_stream_has_ended (self)))
    return TCP_TUNNEL_LOG_LEVEL_DEBUG;
  return TCP_TUNNEL_LOG_LEVEL_INFO;
}
