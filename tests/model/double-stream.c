/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/byte-queue.h"
#include "doubles.h"
#include "test-util.h"

/* Data is compared in pieces of this size. */
#define PIECE 1024

struct _TcpStream
{
  grefcount refs;
  TcpProtocolStream *protocol;
  guint64 serial;
  char *target;
  gboolean counted;
  gboolean connected;
  guint peer_code;
  gboolean of_client;
  TcpStreamCallbacks callbacks;
  gpointer user_data;

  Peer *peer;
  GIOCondition interest;
  gboolean resting; /* see stream_rest () of the real one */

  TcpByteQueue queue;
  gsize *total;
  guint64 accepted; /* by tcp_stream_write () */
  gboolean has_plenty;
  gboolean input_ended;
  gboolean output_ending;
  gboolean output_ended;
  gboolean finishing;
  TcpFinish finish;
  gboolean closed;
};

static guint alive;

static void stream_flush (TcpStream *self);

/* Life */

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
  alive++;
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

  g_assert_true (self->closed);
  tcp_byte_queue_clear (&self->queue);
  g_free (self->target);
  g_free (self);
  alive--;
}

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

void
tcp_stream_set_peer_code (TcpStream *self,
                          guint      code)
{
  self->peer_code = code;
}

guint
stream_get_alive (void)
{
  return alive;
}

void
tcp_stream_set_rates (TcpStream   *self,
                      TcpRateLane *input,
                      TcpRateLane *output)
{
  g_assert_not_reached ();
}

void
tcp_stream_set_protocol (TcpStream         *self,
                         TcpProtocolStream *protocol)
{
  self->protocol = protocol;
}

TcpProtocolStream *
tcp_stream_get_protocol (TcpStream *self)
{
  return self->protocol;
}

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

TcpRecord *
tcp_stream_get_record (TcpStream *self)
{
  return NULL;
}

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

void
tcp_stream_set_accepted (TcpStream *self)
{
  self->of_client = TRUE;
}

gboolean
tcp_stream_is_accepted (TcpStream *self)
{
  return self->of_client;
}

void
tcp_stream_set_total (TcpStream *self,
                      gsize     *total)
{
  *self->total -= self->queue.length;
  self->total = total;
  *self->total += self->queue.length;
}

gboolean
tcp_stream_is_attached (TcpStream *self)
{
  return self->peer != NULL;
}

/* The streams here have no sockets. */
GSocketConnection *
tcp_stream_get_connection (TcpStream *self)
{
  return NULL;
}

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

gsize
tcp_stream_get_queued (TcpStream *self)
{
  return self->queue.length;
}

gboolean
stream_is_closed (TcpStream *self)
{
  return self->closed;
}

void
tcp_stream_attach (TcpStream         *self,
                   GSocketConnection *connection)
{
  g_assert_true (self->peer == NULL && !self->closed);

  self->peer = (Peer *) connection;
  self->peer->stream = self;
  self->peer->accepted = self->accepted;
  self->interest = G_IO_IN;
  if (self->queue.length > 0 || self->output_ending || self->finishing)
    stream_flush (self);
}

static void
stream_close (TcpStream    *self,
              const GError *error)
{
  TcpStreamCallbacks callbacks = self->callbacks;

  if (self->closed)
    return;

  self->closed = TRUE;
  *self->total -= self->queue.length;
  tcp_byte_queue_clear (&self->queue);
  if (self->peer != NULL)
    self->peer->stream = NULL;
  self->peer = NULL;
  callbacks.closed (self, error, self->user_data);
}

void
tcp_stream_reset (TcpStream    *self,
                  const GError *error)
{
  g_autoptr (GError) copy = error != NULL ? g_error_copy (error) : NULL;

  if (self->closed)
    return;

  if (self->peer != NULL)
    self->peer->reset = TRUE;
  stream_close (self, copy);
}

/* Reading */

void
tcp_stream_watch (TcpStream *self)
{
  if (self->peer == NULL)
    return;

  self->interest |= G_IO_IN;
  self->resting = FALSE;
}

gboolean
tcp_stream_has_plenty (TcpStream *self)
{
  return self->has_plenty;
}

gssize
tcp_stream_read (TcpStream  *self,
                 TcpBuffer **buffers,
                 guint       n_buffers,
                 GError    **error)
{
  Peer *peer = self->peer;
  gsize all = 0, room = 0;

  g_assert_cmpuint (n_buffers, >=, 1);
  for (guint i = 0; i < n_buffers; i++)
    {
      gsize n = MIN (peer->sent - peer->taken, buffers[i]->capacity);

      g_assert_cmpuint (buffers[i]->capacity, >, 0);
      test_fill (buffers[i]->payload, n, peer->pattern, peer->taken);
      buffers[i]->length = n;
      peer->taken += n;
      room += buffers[i]->capacity;
      all += n;
    }
  self->has_plenty = all == room;
  if (all > 0)
    return all;
  if (peer->broken)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "reset by the model");
      return -1;
    }
  if (!peer->ended)
    return -1;

  g_assert_false (self->input_ended);
  self->input_ended = peer->ending_taken = TRUE;
  return 0;
}

/* Writing */

/* Checks that each byte is the next one of the pattern. */
static gssize
stream_send (TcpStream    *self,
             const guint8 *data,
             gsize         length)
{
  Peer *peer = self->peer;
  guint8 wanted[PIECE];
  gsize left;

  g_assert_false (peer->write_ended);
  if (peer->broken)
    return -1;

  length = MIN (length, peer->receive_buffer - (peer->written - peer->consumed));
  for (left = length; left > 0;)
    {
      gsize n = MIN (left, PIECE);

      test_fill (wanted, n, peer->wanted, peer->written);
      if (!peer->careless)
        g_assert_cmpmem (data, n, wanted, n);
      peer->written += n;
      data += n;
      left -= n;
    }
  return length;
}

static void
stream_complete (TcpStream *self)
{
  Peer *peer = self->peer;

  if (self->finish != TCP_FINISH_IN_ORDER)
    {
      tcp_stream_reset (self, NULL);
      return;
    }

  peer->write_ended = peer->closed = TRUE;
  stream_close (self, NULL);
}

static void
stream_flush (TcpStream *self)
{
  const guint8 *data;
  gsize length;
  gsize before = self->queue.length;

  while ((data = tcp_byte_queue_peek (&self->queue, &length)) != NULL)
    {
      gssize n = stream_send (self, data, length);

      if (n < 0)
        {
          g_autoptr (GError) error = NULL;

          error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, "reset by the model");
          tcp_stream_reset (self, error);
          return;
        }
      if (n > 0)
        tcp_byte_queue_drop (&self->queue, n);
      *self->total -= n;
      if ((gsize) n < length)
        break;
    }

  if (self->queue.length > 0)
    self->interest |= G_IO_OUT;
  else
    self->interest &= ~G_IO_OUT;

  if (self->queue.length == 0 && self->finishing)
    {
      stream_complete (self);
      return;
    }
  if (self->queue.length == 0 && self->output_ending && !self->output_ended)
    self->output_ended = self->peer->write_ended = TRUE;

  if (self->queue.length < before)
    self->callbacks.flushed (self, self->user_data);
}

void
tcp_stream_write (TcpStream    *self,
                  const guint8 *data,
                  gsize         length)
{
  g_assert_cmpuint (length, >, 0);
  if (self->closed || self->finishing || self->output_ending)
    return;

  self->accepted += length;
  if (self->peer != NULL)
    self->peer->accepted = self->accepted;
  if (self->peer != NULL && self->queue.length == 0)
    {
      gssize n = stream_send (self, data, length);

      if (n > 0)
        {
          data += n;
          length -= n;
        }
      if (length == 0)
        return;
    }

  tcp_byte_queue_append (&self->queue, data, length);
  *self->total += length;
  self->interest |= G_IO_OUT;
}

gboolean
tcp_stream_gather (TcpStream    *self,
                   const guint8 *data,
                   gsize         length)
{
  tcp_stream_write (self, data, length);
  return TRUE;
}

void
tcp_stream_write_gathered (TcpStream *self)
{
}

void
tcp_stream_end (TcpStream *self)
{
  if (self->closed || self->finishing || self->output_ending)
    return;

  self->output_ending = TRUE;
  if (self->peer != NULL && self->queue.length == 0)
    stream_flush (self);
}

void
tcp_stream_finish (TcpStream *self,
                   TcpFinish  how)
{
  if (self->closed || self->finishing)
    return;

  self->finishing = TRUE;
  self->finish = how;
  self->interest &= ~G_IO_IN;
  if (self->peer != NULL && self->queue.length == 0)
    stream_flush (self);
}

/* The real one needs this for the log, which does not exist here. */

void
tcp_stream_mark_left (TcpStream *self)
{
}

gboolean
tcp_stream_has_ended (TcpStream *self)
{
  return self->input_ended || self->output_ending || self->finishing;
}

/* The far end */

static GIOCondition
peer_condition (Peer *self)
{
  GIOCondition condition = 0;

  if (self->broken)
    return G_IO_IN | G_IO_OUT | G_IO_ERR | G_IO_HUP;
  if (self->sent > self->taken || self->ended)
    condition |= G_IO_IN;
  if (self->written - self->consumed < self->receive_buffer)
    condition |= G_IO_OUT;
  if (self->ended && self->write_ended)
    condition |= G_IO_HUP;
  return condition;
}

/* Dispatches events as the source of a stream does. */
static void
stream_dispatch (TcpStream    *self,
                 GIOCondition  condition)
{
  if (condition & (G_IO_ERR | G_IO_HUP) && !(self->interest & G_IO_IN))
    {
      g_autoptr (GError) error = NULL;

      if (!(condition & G_IO_ERR))
        {
          g_assert_true (self->output_ended);
          self->resting = TRUE;
          return;
        }
      error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "reset by the model");
      tcp_stream_reset (self, error);
      return;
    }

  if (condition & G_IO_OUT)
    stream_flush (self);
  if (!self->closed && condition & (G_IO_IN | G_IO_ERR | G_IO_HUP))
    {
      self->interest &= ~G_IO_IN;
      self->callbacks.readable (self, self->user_data);
    }
}

gboolean
peer_poll (Peer *self)
{
  g_autoptr (TcpStream) stream = NULL;
  GIOCondition condition;

  if (self->stream == NULL || self->stream->resting)
    return FALSE;
  stream = tcp_stream_ref (self->stream);
  condition = peer_condition (self) & (stream->interest | G_IO_ERR | G_IO_HUP);
  if (condition == 0)
    return FALSE;

  stream_dispatch (stream, condition);
  return TRUE;
}

gboolean
peer_send (Peer    *self,
           guint64  n)
{
  n = MIN (MIN (n, self->to_send - self->sent), self->send_buffer - (self->sent - self->taken));
  if (self->stream == NULL || self->broken || n == 0)
    return FALSE;

  self->sent += n;
  return TRUE;
}

gboolean
peer_end (Peer *self)
{
  if (self->stream == NULL || self->broken || self->ended || self->sent < self->to_send)
    return FALSE;

  self->ended = TRUE;
  return TRUE;
}

/* Data that the peer has sent may get lost. */
void
peer_break (Peer     *self,
            gboolean  with_loss)
{
  if (self->stream == NULL)
    return;

  self->broken = TRUE;
  if (with_loss)
    self->sent = self->taken;
}

gboolean
peer_consume (Peer    *self,
              guint64  n)
{
  n = MIN (n, self->written - self->consumed);
  self->consumed += n;
  return n > 0;
}
