/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "frame-flood.h"

#include "bench-util.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS 512       /* of frames in one write */
#define MAX_FRAME 32
#define MAX_UNACKNOWLEDGED 16384 /* frames; a gateway ends a session whose acknowledgements are late */
#define FIRST_UNSEQUENCED 0x10
#define BINARY 0x82
#define PING 0x89
#define PONG 0x8a
#define MAX_CONTROL 125 /* bytes in a ping or pong */

struct _FrameFlood
{
  FrameFloodKind kind;
  int fd;
  guint64 written; /* frames */
  /* Protects the following members. GLib's own locks are invisible to ThreadSanitizer. */
  pthread_mutex_t lock;
  pthread_cond_t acknowledged;
  guint64 handled;  /* of the written frames, according to the pongs */
  guint64 received; /* frames that have to be acknowledged */
  guint64 arrived;  /* our frames that were acknowledged */
  gboolean asked;   /* the gateway waits for a pong with this payload: */
  guint8 ping[MAX_CONTROL];
  gsize ping_length;
};

/* Masks with zeros, which is allowed and costs nothing. */
static gsize
put_frame (guint8 *to,
           guint8 first,
           gconstpointer header,
           gsize header_length,
           gconstpointer payload,
           gsize length)
{
  to[0] = first;
  to[1] = 0x80 | (header_length + length);
  memset (to + 2, 0, 4);
  memcpy (to + 6, header, header_length);
  if (length > 0)
    memcpy (to + 6 + header_length, payload, length);

  return 6 + header_length + length;
}

static gsize
put_resumable (guint8 *to,
               guint8 type,
               guint32 id,
               gconstpointer payload,
               gsize length)
{
  guint8 header[8] = { type, 0, 0, 0, id >> 24, id >> 16, id >> 8, id };

  return put_frame (to, BINARY, header, sizeof header, payload, length);
}

static gsize
put_tagged (guint8 *to,
            guint32 id,
            const char *payload,
            gsize length)
{
  guint8 header[4] = { id >> 24, id >> 16, id >> 8, id };

  return put_frame (to, BINARY, header, sizeof header, payload, length);
}

static void
flood_write (FrameFlood *self,
             gconstpointer data,
             gsize length)
{
  if (!bench_send_all (self->fd, data, length))
    {
      g_printerr ("flood: the gateway has had enough\n");
      exit (EXIT_FAILURE);
    }
}

/* A gateway ends the WebSocket of a client that does not answer its pings. */
static void
flood_answer_ping (FrameFlood *self)
{
  guint8 pong[6 + MAX_CONTROL];
  gsize length = 0;

  pthread_mutex_lock (&self->lock);
  if (self->asked)
    length = put_frame (pong, PONG, self->ping, self->ping_length, NULL, 0);
  self->asked = FALSE;
  pthread_mutex_unlock (&self->lock);
  flood_write (self, pong, length);
}

/* A ping follows the frames, whose pong shows that they were handled: sockets hold a lot. */
static void
flood_write_frames (FrameFlood *self,
                    gconstpointer data,
                    gsize length,
                    guint n_frames)
{
  guint8 ping[6 + sizeof (guint64)];
  guint64 count;

  flood_write (self, data, length);
  self->written += n_frames;
  count = GUINT64_TO_BE (self->written);
  flood_write (self, ping, put_frame (ping, PING, &count, sizeof count, NULL, 0));
  flood_answer_ping (self);
}

static void
upgrade (FrameFlood *self,
         const char *token,
         gboolean resumable)
{
  g_autofree char *session = g_uuid_string_random ();
  g_autofree char *request = NULL;
  char last[4] = "";
  char byte;

  request = g_strdup_printf ("GET /?mode=multiplexed&sessionId=%s HTTP/1.1\r\nHost: gateway\r\n"
                             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer %s\r\n%s\r\n",
                             session, token, resumable ? "Tcp-Tunnel-Protocol: resumable/1\r\n" : "");
  flood_write (self, request, strlen (request));
  while (memcmp (last, "\r\n\r\n", 4) != 0)
    {
      if (!bench_recv_all (self->fd, &byte, 1))
        exit (EXIT_FAILURE);
      memmove (last, last + 1, 3);
      last[3] = byte;
    }
}

static void
say_hello (FrameFlood *self)
{
  /* Version 1; credit, the largest payload and the number of streams. */
  guint8 hello[40] = { [1] = 1, [21] = 4, [25] = 1, [30] = 4 };
  guint8 frame[6 + 8 + sizeof hello];

  flood_write (self, frame, put_resumable (frame, 0x10, 0, hello, sizeof hello));
}

/* Waits until not too much of the @sent frames is under way. The acknowledgement is put among the other frames, so
 * that it is not late. */
static gsize
put_acknowledgement (FrameFlood *self,
                     guint64 sent,
                     guint8 *to)
{
  guint64 received;

  pthread_mutex_lock (&self->lock);
  while (sent - self->arrived > MAX_UNACKNOWLEDGED)
    pthread_cond_wait (&self->acknowledged, &self->lock);
  received = GUINT64_TO_BE (self->received);
  pthread_mutex_unlock (&self->lock);

  return put_resumable (to, 0x11, 0, &received, sizeof received);
}

static void
take_answer (FrameFlood *self,
             const guint8 *frame,
             gsize length)
{
  pthread_mutex_lock (&self->lock);
  if (frame[0] < FIRST_UNSEQUENCED)
    self->received++;
  if (frame[0] == 0x11 && length == 16)
    {
      memcpy (&self->arrived, frame + 8, 8);
      self->arrived = GUINT64_FROM_BE (self->arrived);
      pthread_cond_signal (&self->acknowledged);
    }
  pthread_mutex_unlock (&self->lock);
}

static void
take_pong (FrameFlood *self,
           const guint8 *payload)
{
  pthread_mutex_lock (&self->lock);
  memcpy (&self->handled, payload, sizeof self->handled);
  self->handled = GUINT64_FROM_BE (self->handled);
  pthread_mutex_unlock (&self->lock);
}

static void
take_ping (FrameFlood *self,
           const guint8 *payload,
           gsize length)
{
  pthread_mutex_lock (&self->lock);
  self->asked = TRUE;
  self->ping_length = length;
  memcpy (self->ping, payload, length);
  pthread_mutex_unlock (&self->lock);
}

static gpointer
read_answers (gpointer data)
{
  FrameFlood *self = data;
  guint8 header[4];

  while (bench_recv_all (self->fd, header, 2))
    {
      gsize length = header[1];
      guint8 payload[G_MAXUINT16];

      if (length == 126)
        {
          if (!bench_recv_all (self->fd, header + 2, 2))
            break;
          length = header[2] << 8 | header[3];
        }
      if (length > 126 + sizeof payload || !bench_recv_all (self->fd, payload, length))
        break;
      if (header[0] == BINARY && length >= 8)
        take_answer (self, payload, length);
      if (header[0] == PONG && length == sizeof (guint64))
        take_pong (self, payload);
      if (header[0] == PING && length <= MAX_CONTROL)
        take_ping (self, payload, length);
    }
  g_printerr ("flood: the gateway closed the connection\n");
  exit (EXIT_FAILURE);
}

/* Each stream is reset as soon as it is open. */
G_GNUC_NORETURN static void
open_and_reset (FrameFlood *self)
{
  const guint8 code[4] = { 0, 0, 0, 1 };

  for (guint32 id = 1;;)
    {
      guint8 block[(2 * PAIRS + 1) * MAX_FRAME];
      gsize length = put_acknowledgement (self, id - 1, block);

      for (guint i = 0; i < PAIRS; i++, id += 2)
        {
          length += put_resumable (block + length, 0x01, id, NULL, 0);
          length += put_resumable (block + length, 0x05, id, code, sizeof code);
        }
      flood_write_frames (self, block, length, 2 * PAIRS);
    }
}

G_GNUC_NORETURN static void
open_and_close (FrameFlood *self)
{
  for (guint32 id = 1;;)
    {
      guint8 block[2 * PAIRS * MAX_FRAME];
      gsize length = 0;

      for (guint i = 0; i < PAIRS; i++, id++)
        {
          length += put_tagged (block + length, id, "D", 1);
          length += put_tagged (block + length, id, NULL, 0);
        }
      flood_write_frames (self, block, length, 2 * PAIRS);
    }
}

G_GNUC_NORETURN static void
send_single_bytes (FrameFlood *self)
{
  guint8 block[PAIRS * MAX_FRAME];
  gsize length = 0;

  for (guint i = 0; i < PAIRS; i++)
    length += put_tagged (block + length, 1, "D", 1);
  for (;;)
    flood_write_frames (self, block, length, PAIRS);
}

FrameFlood *
frame_flood_new (guint16 port,
                 const char *token,
                 FrameFloodKind kind)
{
  FrameFlood *self = g_new0 (FrameFlood, 1);

  self->kind = kind;
  pthread_mutex_init (&self->lock, NULL);
  pthread_cond_init (&self->acknowledged, NULL);
  self->fd = bench_connect (port);
  if (self->fd < 0)
    exit (EXIT_FAILURE);
  upgrade (self, token, kind == FRAME_FLOOD_OPEN_RESET);
  if (kind == FRAME_FLOOD_OPEN_RESET)
    say_hello (self);
  g_thread_unref (g_thread_new ("answers", read_answers, self));
  return self;
}

void
frame_flood_run (FrameFlood *self)
{
  switch (self->kind)
    {
    case FRAME_FLOOD_OPEN_RESET:
      open_and_reset (self);
    case FRAME_FLOOD_OPEN_CLOSE:
      open_and_close (self);
    case FRAME_FLOOD_SINGLE_BYTES:
    default:
      send_single_bytes (self);
    }
}

guint64
frame_flood_get_handled (FrameFlood *self)
{
  guint64 handled;

  pthread_mutex_lock (&self->lock);
  handled = self->handled;
  pthread_mutex_unlock (&self->lock);
  return handled;
}
