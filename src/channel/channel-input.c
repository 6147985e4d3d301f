/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "channel/channel-private.h"

#include <string.h>
#include "base/text.h"

/* With this many control frames waiting to be sent pings are skipped: RFC 6455 lets an end
 * answer only the most recent, and a flood must not make anything grow. */
#define MAX_QUEUED_CONTROLS 32

/* How many frames, and for how many microseconds, before others have their turn. The second
 * is for frames that cost more than they weigh, such as those that open connections. */
#define TURN_FRAMES 64
#define TURN_TIME 200

static void input_process (TcpChannel *self);

/* Whether more may be there, of which the socket says nothing. */
static gboolean
input_fill (TcpChannel *self)
{
  g_autoptr (GError) error = NULL;
  gssize n;

  if (self->start > 0)
    {
      memmove (self->buffer, self->buffer + self->start, self->end - self->start);
      self->end -= self->start;
      self->start = 0;
    }

  /* TLS gives a record at a time, and keeps others in a buffer of its own. */
  do
    {
      if (self->end == TCP_CHANNEL_INPUT_SIZE)
        return !self->plain;
      n = g_pollable_input_stream_read_nonblocking (self->input, self->buffer + self->end,
                                                    TCP_CHANNEL_INPUT_SIZE - self->end, NULL, &error);
      if (n > 0)
        {
          self->end += n;
          self->last_received = g_get_monotonic_time ();
        }
    }
  while (n > 0 && !self->plain);

  if (n == 0 || (n < 0 && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)))
    {
      tcp_channel_input_stop (self);
      /* A peer that ends without a closing frame does not read any more either. */
      if (self->phase == TCP_CHANNEL_OPEN)
        tcp_channel_output_stop (self);
      /* libsoup knows whether this end was due. */
      tcp_control_end (self->control, error);
      /* What cannot be written is not waited for. */
      tcp_channel_start_deadline (self);
    }
  return FALSE;
}

/* The socket has something. */
void
tcp_channel_input_ready (TcpChannel *self)
{
  gboolean more;

  if (self->turn_over)
    return;

  more = input_fill (self);
  input_process (self);
  if (more && !self->paused && self->wakeup != NULL)
    tcp_timer_set (self->wakeup, 0);
}

static void
on_wakeup (gpointer user_data)
{
  TcpChannel *self = tcp_channel_ref (user_data);

  input_process (self);
  if (!self->paused && !self->turn_over && self->wakeup != NULL)
    {
      /* What libsoup's HTTP layer had read too far is in its stream and in no
       * socket, so look before waiting. */
      tcp_channel_set_interest (self, G_IO_IN, TRUE);
      tcp_channel_input_ready (self);
    }
  tcp_channel_unref (self);
}

void
tcp_channel_input_init (TcpChannel *self)
{
  self->buffer = g_malloc (TCP_CHANNEL_INPUT_SIZE);
  self->last_received = g_get_monotonic_time ();
  self->paused = TRUE; /* until there is somebody to take the messages */
  self->wakeup = tcp_timer_new (on_wakeup, self);
}

/* Nothing more is read. */
void
tcp_channel_input_stop (TcpChannel *self)
{
  tcp_channel_set_interest (self, G_IO_IN, FALSE);
  tcp_timer_clear (&self->wakeup);
}

static void
deliver (TcpChannel   *self,
         const guint8 *data,
         gsize         length,
         gboolean      first,
         gboolean      last)
{
  if (!self->ignore_data && self->callbacks.message != NULL)
    self->callbacks.message (self, data, length, first, last, self->user_data);
}

/* The rest of a frame that is larger than the buffer, as it comes. */
static void
process_large_frame (TcpChannel *self)
{
  guint8 *data = self->buffer + self->start;
  gsize n = MIN (self->end - self->start, self->frame_left);

  if (self->frame_mask != 0)
    {
      tcp_frame_mask (data, n, self->frame_mask);
      /* The next piece begins where the mask is then. */
      if (n % 4 != 0)
        {
          guint8 mask[8];

          memcpy (mask, &self->frame_mask, 4);
          memcpy (mask + 4, &self->frame_mask, 4);
          memcpy (&self->frame_mask, mask + n % 4, 4);
        }
    }
  self->start += n;
  self->frame_left -= n;
  deliver (self, data, n, FALSE, self->frame_final && self->frame_left == 0);
}

static void
process_control (TcpChannel           *self,
                 const TcpFrameHeader *header,
                 guint8               *frame)
{
  guint8 payload[TCP_FRAME_MAX_CONTROL + 1] = { 0 };
  gsize length = header->payload;

  memcpy (payload, frame + header->header, length);
  if (header->masked)
    tcp_frame_mask (payload, length, header->mask);

  if (header->opcode == TCP_FRAME_PONG)
    {
      tcp_channel_keepalive_pong (self, payload, length);
      return;
    }
  if (header->opcode == TCP_FRAME_PING && self->controls >= MAX_QUEUED_CONTROLS)
    return;

  if (!self->ignore_data)
    tcp_control_feed (self->control, frame, header->header + length);

  if (header->opcode == TCP_FRAME_CLOSE)
    {
      gboolean first = !self->ignore_data;
      guint code = length == 0 ? TCP_CLOSE_NO_CODE : SOUP_WEBSOCKET_CLOSE_PROTOCOL_ERROR;
      g_autofree char *reason = NULL;

      self->ignore_data = TRUE;
      if (length >= 2)
        {
          guint sent = payload[0] << 8 | payload[1];

          /* There are none below 1000 (0 is ours for "no closing handshake"), and 1005
           * stands for a frame without a code, so that none may contain it. */
          if (sent >= SOUP_WEBSOCKET_CLOSE_NORMAL && sent != TCP_CLOSE_NO_CODE)
            code = sent;
          reason = tcp_text_from_peer ((const char *) payload + 2, length - 2);
        }
      if (first)
        tcp_channel_peer_closed (self, code, reason);
    }
}

/* Handles one frame, or what is there of it. FALSE: more has to be read first. */
static gboolean
process_frame (TcpChannel *self,
               GError    **error)
{
  guint8 *frame = self->buffer + self->start;
  gsize available = self->end - self->start;
  TcpFrameHeader header;
  gssize length;
  gsize n;

  length = tcp_frame_header_parse (&header, frame, available, error);
  if (length <= 0)
    return FALSE;

  if (header.masked == self->client)
    {
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                   "the peer sent a WebSocket frame that is not valid: a %s must %smask its frames",
                   self->client ? "server" : "client", self->client ? "not " : "");
      return FALSE;
    }

  if (tcp_frame_is_control (header.opcode))
    {
      if (available < length + header.payload)
        return FALSE;
      self->start += length + header.payload;
      process_control (self, &header, frame);
      return TRUE;
    }

  if ((header.opcode == TCP_FRAME_CONTINUATION) != self->in_message)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
                           "the peer sent the pieces of a WebSocket message out of order");
      return FALSE;
    }

  /* Whole if it can be: a peer that lost the connection in the middle of a
   * message sends all of it again. */
  if (header.payload <= TCP_CHANNEL_MAX_WHOLE && available < length + header.payload)
    return FALSE;

  n = MIN (available - length, header.payload);
  /* A dialect finds its header in the first piece. */
  if (header.payload > TCP_CHANNEL_MAX_WHOLE && n < TCP_BUFFER_HEADROOM)
    return FALSE;

  self->in_message = !header.fin;
  self->start += length;
  if (header.payload > TCP_CHANNEL_MAX_WHOLE)
    {
      gboolean first = header.opcode != TCP_FRAME_CONTINUATION;

      self->frame_left = header.payload;
      self->frame_final = header.fin;
      self->frame_mask = header.mask;
      n -= n % 4; /* keeps the mask in step */
      if (header.masked)
        tcp_frame_mask (frame + length, n, header.mask);
      self->start += n;
      self->frame_left -= n;
      deliver (self, frame + length, n, first, FALSE);
      return TRUE;
    }

  if (header.masked)
    tcp_frame_mask (frame + length, n, header.mask);
  self->start += n;
  deliver (self, frame + length, n, header.opcode != TCP_FRAME_CONTINUATION, header.fin);
  return TRUE;
}

static void
input_process (TcpChannel *self)
{
  g_autoptr (GError) error = NULL;
  gint64 end = tcp_now () + TURN_TIME;

  self->turn_over = FALSE;
  for (guint n = 0; !self->paused && self->phase != TCP_CHANNEL_CLOSED && self->start < self->end; n++)
    {
      if (self->wakeup != NULL && (n == TURN_FRAMES || (n > 0 && tcp_now () >= end)))
        {
          self->turn_over = TRUE;
          tcp_timer_set (self->wakeup, 0);
          break;
        }
      if (self->frame_left > 0)
        process_large_frame (self);
      else if (!process_frame (self, &error))
        break;
    }

  if (error != NULL)
    tcp_channel_protocol_error (self, error);
}

/* No message is delivered until tcp_channel_resume(). */
void
tcp_channel_pause (TcpChannel *self)
{
  if (self->paused)
    return;

  self->paused = TRUE;
  tcp_channel_set_interest (self, G_IO_IN, FALSE);
  tcp_channel_keepalive_paused (self);
}

void
tcp_channel_resume (TcpChannel *self)
{
  if (!self->paused)
    return;

  self->paused = FALSE;
  /* In the next iteration: who resumes need not be ready for messages yet. */
  if (self->wakeup != NULL)
    tcp_timer_set (self->wakeup, 0);
}
