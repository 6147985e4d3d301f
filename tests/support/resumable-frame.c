/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resumable-peer.h"

#include "client.h"
#include "test-util.h"
#include "ws-client.h"

#include <string.h>

#define HEAD_SIZE 8
#define HELLO_SIZE 40
#define FIRST_SEQUENCED RESUMABLE_OPEN
#define LAST_SEQUENCED RESUMABLE_WINDOW
#define FIRST_LISTEN 0x40
#define FIRST_LATER 0x43
#define FIRST_LATER_UNSEQUENCED 0x60
#define LATER_END 0x80

static void
put (guint8 *data,
     guint64 value,
     guint bytes)
{
  for (guint i = 0; i < bytes; i++)
    data[i] = value >> (8 * (bytes - 1 - i));
}

static guint64
get (const guint8 *data,
     guint bytes)
{
  guint64 value = 0;

  for (guint i = 0; i < bytes; i++)
    value = value << 8 | data[i];

  return value;
}

static gboolean
is_sequenced (guint8 type)
{
  return (type >= FIRST_SEQUENCED && type <= LAST_SEQUENCED) ||
         (type >= FIRST_LISTEN && type < FIRST_LATER_UNSEQUENCED);
}

/* Sending */

void
resumable_send_message (ResumablePeer *peer,
                        const void *message,
                        gsize length)
{
  const guint8 *type = message;

  if (peer->server)
    ws_server_send (peer->fd, WS_BINARY, message, length);
  else
    ws_send (peer->fd, WS_BINARY, message, length);
  if (length >= HEAD_SIZE && is_sequenced (*type))
    peer->sent++;
}

void
resumable_send (ResumablePeer *peer,
                guint8 type,
                guint32 id,
                const void *payload,
                gsize length)
{
  g_autofree guint8 *message = g_malloc0 (HEAD_SIZE + length);

  message[0] = type;
  put (message + 4, id, 4);
  if (length > 0)
    memcpy (message + HEAD_SIZE, payload, length);
  resumable_send_message (peer, message, HEAD_SIZE + length);
}

void
resumable_send_text (ResumablePeer *peer,
                     guint8 type,
                     guint32 id,
                     const char *payload)
{
  resumable_send (peer, type, id, payload, strlen (payload));
}

void
resumable_send_window (ResumablePeer *peer,
                       guint32 id,
                       guint32 bytes)
{
  guint8 payload[4];

  put (payload, bytes, 4);
  resumable_send (peer, RESUMABLE_WINDOW, id, payload, sizeof payload);
}

void
resumable_send_code (ResumablePeer *peer,
                     guint8 type,
                     guint32 id,
                     guint32 code,
                     const char *reason)
{
  gsize length = strlen (reason);
  g_autofree guint8 *payload = g_malloc (4 + length);

  put (payload, code, 4);
  memcpy (payload + 4, reason, length);
  resumable_send (peer, type, id, payload, 4 + length);
}

void
resumable_send_port (ResumablePeer *peer,
                     guint8 type,
                     guint32 id,
                     guint16 port,
                     const char *text)
{
  gsize length = strlen (text);
  g_autofree guint8 *payload = g_malloc (2 + length);

  put (payload, port, 2);
  memcpy (payload + 2, text, length);
  resumable_send (peer, type, id, payload, 2 + length);
}

void
resumable_send_ack (ResumablePeer *peer,
                    guint64 received)
{
  guint8 payload[8];

  put (payload, received, 8);
  resumable_send (peer, RESUMABLE_ACK, 0, payload, sizeof payload);
}

void
resumable_send_stream (ResumablePeer *peer,
                       guint32 id,
                       gsize size,
                       guint32 seed,
                       guint64 offset)
{
  g_autofree guint8 *payload = g_malloc (size);

  test_fill (payload, size, seed, offset);
  resumable_send (peer, RESUMABLE_DATA, id, payload, size);
}

/* Sends one frame of each type that the other end does not know but has to ignore. */
void
resumable_send_later (ResumablePeer *peer)
{
  guint8 message[HEAD_SIZE + 3];

  memset (message, 0xff, sizeof message);
  for (guint type = FIRST_LATER; type < LATER_END; type++)
    {
      message[0] = type;
      resumable_send_message (peer, message, type % 2 == 0 ? HEAD_SIZE : sizeof message);
    }
}

void
resumable_send_hello (ResumablePeer *peer,
                      const ResumableHello *hello)
{
  g_autofree guint8 *payload = g_malloc (HELLO_SIZE + hello->n_later);

  put (payload, hello->version, 2);
  put (payload + 2, hello->flags, 2);
  put (payload + 4, hello->instance, 8);
  put (payload + 12, hello->received, 8);
  put (payload + 20, hello->window, 4);
  put (payload + 24, hello->max_payload, 4);
  put (payload + 28, hello->max_streams, 4);
  put (payload + 32, hello->session_timeout, 4);
  put (payload + 36, hello->reserved, 4);
  memset (payload + HELLO_SIZE, 0xff, hello->n_later);
  resumable_send (peer, RESUMABLE_HELLO, 0, payload, HELLO_SIZE + hello->n_later);
}

void
resumable_say_hello (ResumablePeer *peer)
{
  peer->hello.received = peer->taken;
  resumable_send_hello (peer, &peer->hello);
}

/* Receiving */

static void
note_end (ResumablePeer *peer,
          GBytes *message)
{
  gsize length = 0;
  const guint8 *data = message != NULL ? g_bytes_get_data (message, &length) : NULL;

  peer->close_code = length >= 2 ? get (data, 2) : message != NULL ? 1005 : 0;
}

static GBytes *
receive_message (ResumablePeer *peer,
                 guint *opcode)
{
  GBytes *message;

  if (peer->server)
    return ws_server_receive (peer->fd, opcode);
  if (!peer->deaf)
    return ws_receive (peer->fd, opcode);

  while ((message = ws_receive_any (peer->fd, opcode)) != NULL && (*opcode == WS_PING || *opcode == WS_PONG))
    g_bytes_unref (message);
  return message;
}

gboolean
resumable_receive (ResumablePeer *peer,
                   ResumableFrame *frame)
{
  guint opcode = 0;
  gsize length;
  const guint8 *data;

  g_clear_pointer (&peer->message, g_bytes_unref);
  peer->message = receive_message (peer, &opcode);
  if (peer->message == NULL || opcode == WS_CLOSE)
    {
      note_end (peer, peer->message);
      return FALSE;
    }

  g_assert_cmpuint (opcode, ==, WS_BINARY);
  data = g_bytes_get_data (peer->message, &length);
  g_assert_cmpuint (length, >=, HEAD_SIZE);
  g_assert_cmpuint (get (data + 1, 3), ==, 0);
  *frame = (ResumableFrame) { data[0], get (data + 4, 4), data + HEAD_SIZE, length - HEAD_SIZE };

  if (is_sequenced (frame->type))
    peer->taken++;
  if (frame->type == RESUMABLE_ACK)
    {
      g_assert_cmpuint (frame->length, ==, 8);
      g_assert_cmpuint (get (frame->payload, 8), >=, peer->confirmed);
      g_assert_cmpuint (get (frame->payload, 8), <=, peer->sent);
      peer->confirmed = get (frame->payload, 8);
    }

  return TRUE;
}

guint32
resumable_get_u32 (const ResumableFrame *frame)
{
  g_assert_cmpuint (frame->length, >=, 4);
  return get (frame->payload, 4);
}

static void
receive_or_fail (const char *where,
                 ResumablePeer *peer,
                 ResumableFrame *frame)
{
  if (!resumable_receive (peer, frame))
    test_fail (where, "wanted a frame, but the WebSocket ended (close code %u)", peer->close_code);
}

void
resumable_hear_hello_at (const char *where,
                         ResumablePeer *peer)
{
  ResumableFrame frame;
  const guint8 *payload;

  receive_or_fail (where, peer, &frame);
  if (frame.type != RESUMABLE_HELLO || frame.id != 0 || frame.length != HELLO_SIZE)
    test_fail (where, "wanted a HELLO, got type %02x of stream %u with %zu bytes", frame.type, frame.id, frame.length);
  payload = frame.payload;
  peer->heard = (ResumableHello) {
    .version = get (payload, 2),
    .flags = get (payload + 2, 2),
    .instance = get (payload + 4, 8),
    .received = get (payload + 12, 8),
    .window = get (payload + 20, 4),
    .max_payload = get (payload + 24, 4),
    .max_streams = get (payload + 28, 4),
    .session_timeout = get (payload + 32, 4),
    .reserved = get (payload + 36, 4),
  };
  /* This peer keeps no unacknowledged frames: those that the other end has not received count as never sent. */
  peer->sent = peer->confirmed = peer->heard.received;
}

ResumableFrame
resumable_expect_at (const char *where,
                     ResumablePeer *peer,
                     guint8 type,
                     guint32 id)
{
  ResumableFrame frame;

  do
    receive_or_fail (where, peer, &frame);
  while (frame.type == RESUMABLE_ACK || (frame.type == RESUMABLE_WINDOW && type != RESUMABLE_WINDOW));

  if (frame.type != type || frame.id != id)
    test_fail (where, "wanted type %02x of stream %u, got type %02x of stream %u", type, id, frame.type, frame.id);
  return frame;
}

void
resumable_expect_data_at (const char *where,
                          ResumablePeer *peer,
                          guint32 id,
                          const char *text)
{
  g_autoptr (GString) received = g_string_new (NULL);

  while (received->len < strlen (text))
    {
      ResumableFrame frame = resumable_expect_at (where, peer, RESUMABLE_DATA, id);

      g_string_append_len (received, (const char *) frame.payload, frame.length);
    }
  if (strcmp (received->str, text) != 0)
    test_fail (where, "wanted “%s”, got “%s”", text, received->str);
}

void
resumable_expect_reset_at (const char *where,
                           ResumablePeer *peer,
                           guint32 id,
                           guint32 code)
{
  ResumableFrame frame = resumable_expect_at (where, peer, RESUMABLE_RESET, id);

  if (resumable_get_u32 (&frame) != code)
    test_fail (where, "wanted a reset with code %u, got %u", code, resumable_get_u32 (&frame));
  g_assert_cmpuint (frame.length, <=, 4 + 512);
  g_assert_true (g_utf8_validate_len ((const char *) frame.payload + 4, frame.length - 4, NULL));
}

void
resumable_expect_goaway_at (const char *where,
                            ResumablePeer *peer,
                            guint32 code,
                            guint16 close_code)
{
  ResumableFrame frame;

  do
    receive_or_fail (where, peer, &frame);
  while (frame.type != RESUMABLE_GOAWAY);
  if (frame.id != 0 || resumable_get_u32 (&frame) != code)
    test_fail (where, "wanted a GOAWAY with code %u, got %u", code, resumable_get_u32 (&frame));

  if (resumable_receive (peer, &frame))
    test_fail (where, "wanted a close behind the GOAWAY, got type %02x", frame.type);
  if (peer->close_code != close_code)
    test_fail (where, "wanted a close with %u, got %u", close_code, peer->close_code);
}

void
resumable_expect_confirmed_at (const char *where,
                               ResumablePeer *peer)
{
  ResumableFrame frame;

  while (peer->confirmed < peer->sent)
    receive_or_fail (where, peer, &frame);
}

void
resumable_open_at (const char *where,
                   ResumablePeer *peer,
                   guint32 id)
{
  resumable_send (peer, RESUMABLE_OPEN, id, NULL, 0);
  resumable_expect_at (where, peer, RESUMABLE_OPENED, id);
}

void
resumable_round_trip_at (const char *where,
                         ResumablePeer *peer,
                         guint32 id,
                         const char *text)
{
  resumable_send_text (peer, RESUMABLE_DATA, id, text);
  resumable_expect_data_at (where, peer, id, text);
}
