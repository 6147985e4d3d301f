/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "double-channel.h"

#include "websocket/frame.h"

#include <string.h>

#define MESSAGE_OVERHEAD sizeof (TcpBuffer)

static guint alive;

/* Life */

TcpChannel *
channel_new (Link *link,
             Side  side)
{
  TcpChannel *self = g_new0 (TcpChannel, 1);

  g_ref_count_init (&self->refs);
  self->link = link;
  self->side = side;
  self->paused = TRUE;
  self->input = g_byte_array_new ();
  alive++;
  return self;
}

TcpChannel *
tcp_channel_ref (TcpChannel *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
tcp_channel_unref (TcpChannel *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  g_queue_clear_full (&self->queue, (GDestroyNotify) tcp_buffer_unref);
  tcp_byte_queue_clear (&self->wire);
  g_byte_array_unref (self->input);
  g_free (self->close_reason);
  g_free (self);
  alive--;
}

guint
channel_get_alive (void)
{
  return alive;
}

void
tcp_channel_set_callbacks (TcpChannel                *self,
                           const TcpChannelCallbacks *callbacks,
                           gpointer                   user_data)
{
  self->callbacks = callbacks != NULL ? *callbacks : (TcpChannelCallbacks) { 0 };
  self->user_data = user_data;
}

static void
channel_report (TcpChannel   *self,
                guint         code,
                const char   *reason,
                const GError *error)
{
  TcpChannelCallbacks callbacks = self->callbacks;
  gpointer user_data = self->user_data;

  if (self->reported)
    return;

  self->reported = TRUE;
  tcp_channel_set_callbacks (self, NULL, NULL);
  if (callbacks.closed != NULL)
    callbacks.closed (self, code, reason, error, user_data);
}

/* The link holds the reference that a real channel holds to itself. */
void
channel_finish (TcpChannel *self)
{
  g_autoptr (GError) error = NULL;

  error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "the model broke it");
  tcp_channel_abort (self, error);
}

/* Output */

static TcpChannel *
channel_far (TcpChannel *self)
{
  return self->link->ends[OTHER (self->side)];
}

static void
channel_sent (TcpChannel *self)
{
  TcpBuffer *head = g_queue_pop_head (&self->queue);

  if (!head->control)
    self->pending -= head->length + MESSAGE_OVERHEAD;
  tcp_buffer_unref (head);
}

/* Writes as much as the wire takes. */
static gsize
channel_write (TcpChannel   *self,
               const guint8 *data,
               gsize         length)
{
  TcpChannel *far = channel_far (self);

  if (self->link->cut)
    {
      length = MIN (length, self->link->options.capacity - self->swallowed);
      self->swallowed += length;
      return length;
    }

  length = MIN (length, self->link->options.capacity - far->wire.length);
  tcp_byte_queue_append (&far->wire, data, length);
  return length;
}

/* Returns FALSE if nothing was written. */
gboolean
channel_flush (TcpChannel *self)
{
  gboolean progress = FALSE;

  if (channel_far (self)->phase == CLOSED && !self->link->cut)
    self->output_failed = TRUE;

  while (!g_queue_is_empty (&self->queue) && !self->output_failed)
    {
      TcpBuffer *head = g_queue_peek_head (&self->queue);
      gsize size = head->header + head->length;
      gsize n;

      head->started = self->link->options.tls;
      n = channel_write (self, head->payload - head->header + head->sent, size - head->sent);
      head->sent += n;
      self->written += n;
      progress |= n > 0;
      if (head->sent < size)
        break;
      channel_sent (self);
    }
  return progress;
}

TcpBuffer *
close_frame (TcpChannel *sender,
             guint       code,
             const char *reason)
{
  gsize length = reason != NULL ? MIN (strlen (reason), 120) : 0;
  TcpBuffer *buffer = tcp_buffer_new (2 + length);

  buffer->payload[0] = code >> 8;
  buffer->payload[1] = code;
  if (length > 0)
    memcpy (buffer->payload + 2, reason, length);
  buffer->length = 2 + length;
  buffer->control = TRUE;
  tcp_frame_wrap (buffer, TCP_FRAME_CLOSE, sender->side == CLIENT, g_rand_int (sender->link->rand));
  return buffer;
}

static void
channel_queue_close (TcpChannel *self,
                     guint       code,
                     const char *reason)
{
  if (self->close_queued)
    return;

  self->close_queued = TRUE;
  g_queue_push_tail (&self->queue, close_frame (self, code, reason));
  channel_flush (self);
}

void
channel_flushed (TcpChannel *self)
{
  if (self->watched && tcp_channel_can_send (self) && self->callbacks.drained != NULL)
    self->callbacks.drained (self, self->user_data);

  if (self->close_code != 0 && self->pending == 0)
    channel_queue_close (self, self->close_code, self->close_reason);
  if (self->close_read && self->close_queued && g_queue_is_empty (&self->queue))
    channel_finish (self);
}

gboolean
tcp_channel_can_send (TcpChannel *self)
{
  if (self->phase != OPEN || self->output_failed)
    return FALSE;

  self->watched = self->pending >= TCP_CHANNEL_MAX_PENDING;
  return !self->watched;
}

void
tcp_channel_watch (TcpChannel *self)
{
  self->watched = TRUE;
}

void
tcp_channel_send (TcpChannel *self,
                  TcpBuffer  *buffer)
{
  g_assert_cmpuint (buffer->length, >, 0);
  if (self->phase != OPEN)
    {
      tcp_buffer_unref (buffer);
      return;
    }

  buffer = tcp_buffer_shrink (buffer);
  tcp_frame_wrap (buffer, TCP_FRAME_BINARY, self->side == CLIENT, g_rand_int (self->link->rand));
  self->pending += buffer->length + MESSAGE_OVERHEAD;
  g_queue_push_tail (&self->queue, buffer);
}

void
tcp_channel_flush (TcpChannel *self)
{
  if (self->phase != CLOSED)
    channel_flush (self);
}

gsize
tcp_channel_get_pending (TcpChannel *self)
{
  return self->pending;
}

gboolean
tcp_channel_is_text (TcpChannel *self)
{
  return FALSE;
}

void
tcp_channel_probe (TcpChannel *self,
                   guint       timeout)
{
}

void
tcp_channel_drop_unsent (TcpChannel *self)
{
  GList *next;

  for (GList *l = self->queue.head; l != NULL; l = next)
    {
      TcpBuffer *buffer = l->data;

      next = l->next;
      if (buffer->control || buffer->started || buffer->sent > 0 || buffer->unsequenced)
        continue;
      g_queue_delete_link (&self->queue, l);
      self->pending -= buffer->length + MESSAGE_OVERHEAD;
      tcp_buffer_unref (buffer);
    }
}

void
tcp_channel_steal_unsent (TcpChannel *self,
                          GQueue     *unsent)
{
  GQueue kept = G_QUEUE_INIT;
  TcpBuffer *buffer;

  while ((buffer = g_queue_pop_head (&self->queue)) != NULL)
    {
      if (buffer->control)
        {
          g_queue_push_tail (&kept, buffer);
          continue;
        }
      if (buffer->sent > 0 || buffer->started)
        self->output_failed = TRUE;
      tcp_frame_unwrap (buffer);
      g_queue_push_tail (unsent, buffer);
    }
  self->queue = kept;
  self->pending = 0;
}

guint64
tcp_channel_get_unconfirmed (TcpChannel *self)
{
  return self->written;
}

guint
tcp_channel_get_probe_timeout (TcpChannel *self)
{
  g_assert_not_reached ();
}

void
tcp_channel_measure_path (TcpChannel *self,
                          gint64      now,
                          TcpPath    *path)
{
  path->round_trip = g_rand_int_range (self->link->rand, 1, 40 * G_TIME_SPAN_MILLISECOND);
  path->response_time = path->round_trip * g_rand_int_range (self->link->rand, 1, 4);
}

void
tcp_channel_close (TcpChannel *self,
                   guint       code,
                   const char *reason)
{
  if (self->phase != OPEN)
    return;

  self->phase = CLOSING;
  self->close_code = code;
  self->close_reason = g_strdup (reason);
  channel_flush (self);
  channel_flushed (self);
}

void
tcp_channel_abort (TcpChannel   *self,
                   const GError *error)
{
  if (self->phase == CLOSED)
    return;

  self->phase = CLOSED;
  self->output_failed = TRUE;
  channel_report (self, 0, NULL, error);
}

/* Input */

void
tcp_channel_charge (TcpChannel *self,
                    gint64      time)
{
}

gboolean
tcp_channel_thread_is_shared (void)
{
  return FALSE;
}

void
tcp_channel_pause (TcpChannel *self)
{
  self->paused = TRUE;
}

void
tcp_channel_resume (TcpChannel *self)
{
  self->paused = FALSE;
}

void
channel_deliver (TcpChannel   *self,
                 const guint8 *data,
                 gsize         length,
                 gboolean      first,
                 gboolean      last)
{
  if (self->callbacks.message != NULL)
    self->callbacks.message (self, data, length, first, last, self->user_data);
  if (self->callbacks.turn_over != NULL)
    self->callbacks.turn_over (self, self->user_data);
}

static void
channel_deliver_message (TcpChannel   *self,
                         const guint8 *data,
                         gsize         length)
{
  gboolean first = TRUE;

  while (self->link->options.fragments && g_rand_boolean (self->link->rand))
    {
      gsize n = g_rand_int_range (self->link->rand, 0, length + 1);

      channel_deliver (self, data, n, first, FALSE);
      data += n;
      length -= n;
      first = FALSE;
    }
  channel_deliver (self, data, length, first, TRUE);
}

static void
channel_read_close (TcpChannel   *self,
                    const guint8 *data,
                    gsize         length)
{
  guint code = data[0] << 8 | data[1];
  g_autofree char *reason = g_strndup ((const char *) data + 2, length - 2);

  if (self->phase == OPEN)
    self->phase = CLOSING;
  self->close_read = TRUE;
  channel_report (self, code, reason, NULL);
  channel_queue_close (self, code, NULL);
  channel_flushed (self);
}

/* Returns FALSE if there is no complete frame. */
static gboolean
channel_process_frame (TcpChannel *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *payload = NULL;
  TcpFrameHeader header;
  gsize available = self->input->len - self->start;
  const guint8 *frame;
  gssize length;

  if (available == 0)
    return FALSE;
  frame = self->input->data + self->start;
  length = tcp_frame_header_parse (&header, frame, available, &error);
  g_assert_no_error (error);
  if (length == 0 || available < length + header.payload)
    return FALSE;

  g_assert_cmpint (header.masked, ==, self->side == GATEWAY);
  g_assert_true (header.fin);
  self->start += length + header.payload;
  payload = g_memdup2 (frame + length, header.payload);
  tcp_frame_mask (payload, header.payload, header.mask);
  if (header.opcode == TCP_FRAME_CLOSE)
    channel_read_close (self, payload, header.payload);
  else
    channel_deliver_message (self, payload, header.payload);
  return TRUE;
}

gboolean
channel_read (TcpChannel *self,
              gsize       most)
{
  gboolean progress = FALSE;
  const guint8 *data;
  gsize length;

  g_byte_array_remove_range (self->input, 0, self->start);
  self->start = 0;
  while (most > 0 && (data = tcp_byte_queue_peek (&self->wire, &length)) != NULL)
    {
      length = MIN (length, most);
      g_byte_array_append (self->input, data, length);
      tcp_byte_queue_drop (&self->wire, length);
      most -= length;
      progress = TRUE;
    }
  while (!self->paused && self->phase != CLOSED && !self->close_read && channel_process_frame (self))
    progress = TRUE;

  return progress;
}
