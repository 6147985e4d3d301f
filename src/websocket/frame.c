/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/frame.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"

typedef guint64 Block __attribute__ ((vector_size (32)));

static gssize
frame_error (GError    **error,
             const char *what)
{
  g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL,
               _("the peer sent an invalid WebSocket frame: %s"), what);
  return -1;
}

/* Returns the length of the header, 0 if more bytes are needed, -1 if the frame is invalid. */
gssize
tcp_frame_header_parse (TcpFrameHeader *self,
                        const guint8   *data,
                        gsize           length,
                        GError        **error)
{
  guint at = 2;

  if (length < 2)
    return 0;

  self->fin = (data[0] & 0x80) != 0;
  self->opcode = data[0] & 0x0f;
  self->masked = (data[1] & 0x80) != 0;
  self->payload = data[1] & 0x7f;

  if ((data[0] & 0x70) != 0)
    return frame_error (error, _("reserved bits are set"));
  if ((self->opcode > TCP_FRAME_BINARY && self->opcode < TCP_FRAME_CLOSE) ||
      self->opcode > TCP_FRAME_PONG)
    return frame_error (error, _("unknown opcode"));
  if (tcp_frame_is_control (self->opcode) &&
      (!self->fin || self->payload > TCP_FRAME_MAX_CONTROL))
    return frame_error (error, _("fragmented or oversized control frame"));

  if (self->payload == 126)
    {
      guint16 payload;

      if (length < at + 2)
        return 0;
      memcpy (&payload, data + at, 2);
      self->payload = GUINT16_FROM_BE (payload);
      if (self->payload < 126)
        return frame_error (error, _("length not in its shortest form"));
      at += 2;
    }
  else if (self->payload == 127)
    {
      guint64 payload;

      if (length < at + 8)
        return 0;
      memcpy (&payload, data + at, 8);
      self->payload = GUINT64_FROM_BE (payload);
      if (self->payload <= G_MAXUINT16)
        return frame_error (error, _("length not in its shortest form"));
      if (self->payload > G_MAXINT64)
        return frame_error (error, _("length out of range"));
      at += 8;
    }

  self->mask = 0;
  if (self->masked)
    {
      if (length < at + 4)
        return 0;
      memcpy (&self->mask, data + at, 4);
      at += 4;
    }

  self->header = at;
  return at;
}

/* Uses the widest registers, whatever the compiler does with loops. */
static inline __attribute__ ((always_inline)) gsize
mask_blocks (guint8  *data,
             gsize    length,
             guint64  wide)
{
  Block block = { wide, wide, wide, wide };
  gsize at = 0;

  for (; at + sizeof (Block) <= length; at += sizeof (Block))
    {
      Block words;

      memcpy (&words, data + at, sizeof (Block));
      words ^= block;
      memcpy (data + at, &words, sizeof (Block));
    }
  return at;
}

#ifdef __x86_64__
/* For processors of the last ten years; the compiler targets older ones as well. */
__attribute__ ((target ("avx2"))) static gsize
mask_blocks_avx2 (guint8  *data,
                  gsize    length,
                  guint64  wide)
{
  return mask_blocks (data, length, wide);
}
#endif

/* XORs @data with the mask, whose first byte in memory belongs to the first byte of @data. */
void
tcp_frame_mask (guint8  *data,
                gsize    length,
                guint32  mask)
{
  guint64 wide = (guint64) mask << 32 | mask;
  gsize at;

#ifdef __x86_64__
  if (__builtin_cpu_supports ("avx2"))
    at = mask_blocks_avx2 (data, length, wide);
  else
#endif
    at = mask_blocks (data, length, wide);

  for (; at + 8 <= length; at += 8)
    {
      guint64 word;

      memcpy (&word, data + at, 8);
      word ^= wide;
      memcpy (data + at, &word, 8);
    }
  for (; at < length; at++)
    data[at] ^= ((const guint8 *) &mask)[at & 3];
}

/* Reverts tcp_frame_wrap (). */
void
tcp_frame_unwrap (TcpBuffer *buffer)
{
  if (buffer->masked)
    tcp_frame_mask (buffer->payload, buffer->length, buffer->mask);
  buffer->header = 0;
  buffer->masked = FALSE;
  buffer->sent = 0;
  buffer->started = FALSE;
}

/* Writes the header of an unfragmented frame before the payload, in the head-room, and masks the payload in place. A
 * frame from another WebSocket is removed before. */
void
tcp_frame_wrap (TcpBuffer      *buffer,
                TcpFrameOpcode  opcode,
                gboolean        masked,
                guint32         mask)
{
  guint8 header[TCP_FRAME_MAX_HEADER];
  guint at = 2;

  if (buffer->header > 0)
    tcp_frame_unwrap (buffer);
  header[0] = 0x80 | opcode;
  header[1] = masked ? 0x80 : 0;
  if (buffer->length < 126)
    {
      header[1] |= buffer->length;
    }
  else if (buffer->length <= G_MAXUINT16)
    {
      guint16 length = GUINT16_TO_BE ((guint16) buffer->length);

      header[1] |= 126;
      memcpy (header + at, &length, 2);
      at += 2;
    }
  else
    {
      guint64 length = GUINT64_TO_BE ((guint64) buffer->length);

      header[1] |= 127;
      memcpy (header + at, &length, 8);
      at += 8;
    }
  if (masked)
    {
      memcpy (header + at, &mask, 4);
      at += 4;
      tcp_frame_mask (buffer->payload, buffer->length, mask);
    }

  g_assert (buffer->payload - buffer->data >= (gssize) at);
  memcpy (buffer->payload - at, header, at);
  buffer->header = at;
  buffer->masked = masked;
  buffer->mask = mask;
}
