/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/resumable-frame.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>

/* The form of a type of frame. */
typedef struct
{
  const char *name;
  gboolean of_stream; /* has an id */
  guint min;          /* of the payload, in bytes */
  guint max;
} Shape;

static const Shape *
shape_of (guint type)
{
  static const Shape shapes[] = {
    [TCP_RESUMABLE_OPEN] = { "OPEN", TRUE, 0, TCP_RESUMABLE_MAX_TEXT },
    [TCP_RESUMABLE_OPENED] = { "OPENED", TRUE, 0, 0 },
    [TCP_RESUMABLE_DATA] = { "DATA", TRUE, 1, TCP_RESUMABLE_MAX_PAYLOAD },
    [TCP_RESUMABLE_FIN] = { "FIN", TRUE, 0, 0 },
    [TCP_RESUMABLE_RESET] = { "RESET", TRUE, 4, 4 + TCP_RESUMABLE_MAX_TEXT },
    [TCP_RESUMABLE_WINDOW] = { "WINDOW", TRUE, 4, 4 },
    [TCP_RESUMABLE_HELLO] = { "HELLO", FALSE, TCP_RESUMABLE_HELLO_SIZE, TCP_RESUMABLE_MAX_HELLO_SIZE },
    [TCP_RESUMABLE_ACK] = { "ACK", FALSE, 8, 8 },
    [TCP_RESUMABLE_GOAWAY] = { "GOAWAY", FALSE, 4, 4 + TCP_RESUMABLE_MAX_TEXT },
    [TCP_RESUMABLE_LISTEN] = { "LISTEN", TRUE, 2, 2 + TCP_RESUMABLE_MAX_TEXT },
    [TCP_RESUMABLE_LISTENING] = { "LISTENING", TRUE, 2, 2 + TCP_RESUMABLE_MAX_TEXT },
    [TCP_RESUMABLE_UNLISTEN] = { "UNLISTEN", TRUE, 4, 4 + TCP_RESUMABLE_MAX_TEXT },
  };

  return type < G_N_ELEMENTS (shapes) && shapes[type].name != NULL ? &shapes[type] : NULL;
}

/* Whether the type is not known to this end, but must be ignored. */
static gboolean
is_later (guint type)
{
  return type >= TCP_RESUMABLE_LATER_SEQUENCED && type < TCP_RESUMABLE_LATER_END;
}

/* Numbers in a payload */

static guint16
get_u16 (const guint8 *data)
{
  return data[0] << 8 | data[1];
}

static guint32
get_u32 (const guint8 *data)
{
  guint32 value;

  memcpy (&value, data, sizeof (value));
  return GUINT32_FROM_BE (value);
}

static guint64
get_u64 (const guint8 *data)
{
  guint64 value;

  memcpy (&value, data, sizeof (value));
  return GUINT64_FROM_BE (value);
}

static void
put_u32 (guint8  *data,
         guint32  value)
{
  value = GUINT32_TO_BE (value);
  memcpy (data, &value, sizeof (value));
}

static void
put_u64 (guint8  *data,
         guint64  value)
{
  value = GUINT64_TO_BE (value);
  memcpy (data, &value, sizeof (value));
}

/* Always returns FALSE. */
gboolean
tcp_resumable_refuse_frame (GError     **error,
                            const char  *format,
                            ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL, format, args);
  va_end (args);

  return FALSE;
}

/* @frame points into @data. */
gboolean
tcp_resumable_decode (const guint8       *data,
                      gsize               length,
                      TcpResumableFrame  *frame,
                      GError            **error)
{
  const Shape *shape;

  if (length < TCP_RESUMABLE_HEADER_SIZE)
    return tcp_resumable_refuse_frame (error, "a frame of %" G_GSIZE_FORMAT " bytes", length);

  *frame = (TcpResumableFrame) {
    .type = data[0],
    .id = get_u32 (data + 4),
    .payload = data + TCP_RESUMABLE_HEADER_SIZE,
    .length = length - TCP_RESUMABLE_HEADER_SIZE,
  };
  /* Only the later version defines the rest of the header. */
  shape = shape_of (data[0]);
  if (shape == NULL && is_later (data[0]))
    return frame->length <= TCP_RESUMABLE_MAX_PAYLOAD ||
           tcp_resumable_refuse_frame (error, "a frame of the type 0x%02x and %" G_GSIZE_FORMAT " bytes", data[0],
                                       frame->length);
  if (shape == NULL)
    return tcp_resumable_refuse_frame (error, "a frame of the unknown type 0x%02x", data[0]);
  if (data[1] != 0 || data[2] != 0 || data[3] != 0)
    return tcp_resumable_refuse_frame (error, "a %s with reserved bits", shape->name);

  if ((frame->id != 0) != shape->of_stream)
    return tcp_resumable_refuse_frame (error, "a %s %s an id", shape->name, shape->of_stream ? "without" : "with");
  if (frame->length < shape->min || frame->length > shape->max)
    return tcp_resumable_refuse_frame (error, "a %s of %" G_GSIZE_FORMAT " bytes", shape->name, frame->length);

  switch (frame->type)
    {
    case TCP_RESUMABLE_LISTEN:
    case TCP_RESUMABLE_LISTENING:
      frame->number = get_u16 (frame->payload);
      frame->payload += 2;
      frame->length -= 2;
      break;
    case TCP_RESUMABLE_RESET:
    case TCP_RESUMABLE_GOAWAY:
    case TCP_RESUMABLE_UNLISTEN:
      frame->number = get_u32 (frame->payload);
      frame->payload += 4;
      frame->length -= 4;
      break;
    case TCP_RESUMABLE_WINDOW:
      frame->number = get_u32 (frame->payload);
      if (frame->number == 0)
        return tcp_resumable_refuse_frame (error, "a WINDOW of nothing");
      break;
    case TCP_RESUMABLE_ACK:
      frame->number = get_u64 (frame->payload);
      break;
    default:
      break;
    }

  return TRUE;
}

gboolean
tcp_resumable_decode_hello (const TcpResumableFrame  *frame,
                            TcpResumableHello        *hello,
                            GError                  **error)
{
  const guint8 *data = frame->payload;

  if (get_u32 (data) >> 16 != TCP_RESUMABLE_VERSION)
    return tcp_resumable_refuse_frame (error, "a HELLO of version %u", get_u32 (data) >> 16);

  /* The rest, and unknown flags, belong to later versions. */
  *hello = (TcpResumableHello) {
    .flags = get_u32 (data) & 0xffff,
    .instance = get_u64 (data + 4),
    .received = get_u64 (data + 12),
    .window = get_u32 (data + 20),
    .max_payload = get_u32 (data + 24),
    .max_streams = get_u32 (data + 28),
    .session_timeout = MIN (get_u32 (data + 32), TCP_RESUMABLE_MAX_TIMEOUT),
  };
  if (hello->window > TCP_RESUMABLE_MAX_CREDIT || hello->max_payload < TCP_RESUMABLE_MIN_PAYLOAD)
    return tcp_resumable_refuse_frame (error, "a HELLO that makes no sense");

  return TRUE;
}

/* Puts the header before a payload that is in place. */
void
tcp_resumable_push_header (TcpBuffer        *buffer,
                           TcpResumableType  type,
                           guint32           id)
{
  guint8 header[TCP_RESUMABLE_HEADER_SIZE] = { type };

  put_u32 (header + 4, id);
  tcp_buffer_push (buffer, header, sizeof (header));
}

TcpBuffer *
tcp_resumable_encode (TcpResumableType  type,
                      guint32           id,
                      gconstpointer     payload,
                      gsize             length)
{
  TcpBuffer *buffer = tcp_buffer_new (length);

  if (length > 0)
    memcpy (buffer->payload, payload, length);
  buffer->length = length;
  tcp_resumable_push_header (buffer, type, id);

  return buffer;
}

/* Encodes a number, and after it as much of the text as there is room for. */
static TcpBuffer *
encode_numbered (TcpResumableType  type,
                 guint32           id,
                 gconstpointer     number,
                 gsize             size,
                 const char       *text,
                 gsize             max)
{
  guint8 payload[4 + TCP_RESUMABLE_MAX_TEXT];
  gsize length = MIN (strlen (text), max);

  /* The text is not cut within a character. */
  while (length > 0 && (text[length] & 0xc0) == 0x80)
    length--;
  memcpy (payload, number, size);
  memcpy (payload + size, text, length);

  return tcp_resumable_encode (type, id, payload, size + length);
}

TcpBuffer *
tcp_resumable_encode_text (TcpResumableType  type,
                           guint32           id,
                           guint32           code,
                           const char       *text)
{
  guint8 number[4];

  put_u32 (number, code);
  return encode_numbered (type, id, number, sizeof (number), text, TCP_RESUMABLE_MAX_TEXT);
}

/* For LISTEN and LISTENING. */
TcpBuffer *
tcp_resumable_encode_port (TcpResumableType  type,
                           guint32           id,
                           guint16           port,
                           const char       *text)
{
  guint8 number[2] = { port >> 8, port & 0xff };

  return encode_numbered (type, id, number, sizeof (number), text, TCP_RESUMABLE_MAX_TEXT);
}

/* The OPEN of a gateway. */
TcpBuffer *
tcp_resumable_encode_arrival (guint32     id,
                              guint32     listener,
                              const char *client)
{
  guint8 number[4];

  put_u32 (number, listener);
  return encode_numbered (TCP_RESUMABLE_OPEN, id, number, sizeof (number), client, TCP_RESUMABLE_MAX_TEXT - 4);
}

/* @client is NULL if the frame does not contain it. */
gboolean
tcp_resumable_decode_arrival (const TcpResumableFrame  *frame,
                              guint32                  *listener,
                              char                    **client,
                              GError                  **error)
{
  const char *text = (const char *) frame->payload + 4;

  if (frame->length < 4)
    return tcp_resumable_refuse_frame (error, "an OPEN that names no listener");
  if (!g_utf8_validate_len (text, frame->length - 4, NULL))
    return tcp_resumable_refuse_frame (error, "an OPEN for a TCP client that is no UTF-8");

  *listener = get_u32 (frame->payload);
  *client = frame->length > 4 ? g_strndup (text, frame->length - 4) : NULL;
  return TRUE;
}

TcpBuffer *
tcp_resumable_encode_window (guint32 id,
                             guint32 credit)
{
  guint8 payload[4];

  put_u32 (payload, credit);
  return tcp_resumable_encode (TCP_RESUMABLE_WINDOW, id, payload, sizeof (payload));
}

TcpBuffer *
tcp_resumable_encode_ack (guint64 received)
{
  guint8 payload[8];

  put_u64 (payload, received);
  return tcp_resumable_encode (TCP_RESUMABLE_ACK, 0, payload, sizeof (payload));
}

TcpBuffer *
tcp_resumable_encode_hello (const TcpResumableHello *hello)
{
  guint8 payload[TCP_RESUMABLE_HELLO_SIZE] = { 0 };

  put_u32 (payload, TCP_RESUMABLE_VERSION << 16 | hello->flags);
  put_u64 (payload + 4, hello->instance);
  put_u64 (payload + 12, hello->received);
  put_u32 (payload + 20, hello->window);
  put_u32 (payload + 24, hello->max_payload);
  put_u32 (payload + 28, hello->max_streams);
  put_u32 (payload + 32, hello->session_timeout);

  return tcp_resumable_encode (TCP_RESUMABLE_HELLO, 0, payload, sizeof (payload));
}

/* Whether the header, a list or NULL, contains this version. */
gboolean
tcp_resumable_is_offered (const char *header)
{
  g_auto (GStrv) items = g_strsplit (header != NULL ? header : "", ",", -1);

  for (guint i = 0; items[i] != NULL; i++)
    if (strcmp (g_strstrip (items[i]), TCP_RESUMABLE_NAME) == 0)
      return TRUE;

  return FALSE;
}

/* Whether it can be the value of a query parameter without escapes: RFC 3986, section 2.3. */
gboolean
tcp_resumable_route_is_valid (const char *route)
{
  gsize length = strlen (route);

  if (length == 0 || length > TCP_RESUMABLE_MAX_ROUTE)
    return FALSE;
  for (const char *c = route; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && strchr ("-._~", *c) == NULL)
      return FALSE;

  return TRUE;
}
