/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client of a gateway that has a token and no manners: it sends frames that cost the gateway more than they
 * weigh, as fast as it can, until it is stopped. What comes back it reads, and acknowledges where it must. */

#include "bench-util.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS 512       /* of frames in one write */
#define MAX_FRAME 32
#define MAX_UNACKNOWLEDGED 16384 /* frames; a gateway ends a session whose acknowledgements are late */
#define FIRST_UNSEQUENCED 0x10

typedef struct
{
  int fd;
  GMutex lock; /* of the following */
  GCond acknowledged;
  guint64 received; /* frames that are to be acknowledged, */
  guint64 arrived;  /* and those of ours that were */
} Flood;

/* Masked with zeros, which is allowed and costs nothing. */
static gsize
put_frame (guint8 *to,
           gconstpointer header,
           gsize header_length,
           gconstpointer payload,
           gsize length)
{
  to[0] = 0x82;
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

  return put_frame (to, header, sizeof header, payload, length);
}

static gsize
put_tagged (guint8 *to,
            guint32 id,
            const char *payload,
            gsize length)
{
  guint8 header[4] = { id >> 24, id >> 16, id >> 8, id };

  return put_frame (to, header, sizeof header, payload, length);
}

static void
flood_write (Flood *self,
             gconstpointer data,
             gsize length)
{
  if (!bench_send_all (self->fd, data, length))
    {
      g_printerr ("flood: the gateway has had enough\n");
      exit (EXIT_FAILURE);
    }
}

static void
upgrade (Flood *self,
         gboolean resumable)
{
  g_autofree char *request = NULL;
  char last[4] = "";
  char byte;

  request = g_strdup_printf ("GET /?mode=multiplexed&sessionId=5f0c1de2-6d3f-4f5b-9d57-%012x HTTP/1.1\r\nHost: bench\r\n"
                             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer bench\r\n%s\r\n",
                             (guint) getpid (), resumable ? "Tcp-Tunnel-Protocol: resumable/1\r\n" : "");
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
say_hello (Flood *self)
{
  /* Version 1; credit, the largest payload and the number of streams. */
  guint8 hello[40] = { [1] = 1, [21] = 4, [25] = 1, [30] = 4 };
  guint8 frame[6 + 8 + sizeof hello];

  flood_write (self, frame, put_resumable (frame, 0x10, 0, hello, sizeof hello));
}

/* When not too much is under way; there are @sent frames in all. Among the others, so that it is not late. */
static gsize
put_acknowledgement (Flood *self,
                     guint64 sent,
                     guint8 *to)
{
  guint64 received;

  g_mutex_lock (&self->lock);
  while (sent - self->arrived > MAX_UNACKNOWLEDGED)
    g_cond_wait (&self->acknowledged, &self->lock);
  received = GUINT64_TO_BE (self->received);
  g_mutex_unlock (&self->lock);

  return put_resumable (to, 0x11, 0, &received, sizeof received);
}

static void
take_answer (Flood *self,
             const guint8 *frame,
             gsize length)
{
  g_mutex_lock (&self->lock);
  if (frame[0] < FIRST_UNSEQUENCED)
    self->received++;
  if (frame[0] == 0x11 && length == 16)
    {
      memcpy (&self->arrived, frame + 8, 8);
      self->arrived = GUINT64_FROM_BE (self->arrived);
      g_cond_signal (&self->acknowledged);
    }
  g_mutex_unlock (&self->lock);
}

static gpointer
read_answers (gpointer data)
{
  Flood *self = data;
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
      if (header[0] == 0x82 && length >= 8)
        take_answer (self, payload, length);
    }
  g_printerr ("flood: the gateway closed the connection\n");
  exit (EXIT_FAILURE);
}

/* A stream is gone as soon as it is there. */
static void
open_and_reset (Flood *self)
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
      flood_write (self, block, length);
    }
}

static void
open_and_close (Flood *self)
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
      flood_write (self, block, length);
    }
}

static void
send_single_bytes (Flood *self)
{
  guint8 block[PAIRS * MAX_FRAME];
  gsize length = 0;

  for (guint i = 0; i < PAIRS; i++)
    length += put_tagged (block + length, 1, "D", 1);
  for (;;)
    flood_write (self, block, length);
}

int
main (int argc,
      char **argv)
{
  static const struct
  {
    const char *name;
    gboolean resumable;
    void (*run) (Flood *);
  } kinds[] = {
    { "open-reset", TRUE, open_and_reset },
    { "open-close", FALSE, open_and_close },
    { "single-bytes", FALSE, send_single_bytes },
  };
  Flood flood = { 0 };

  g_set_prgname ("flood");
  g_mutex_init (&flood.lock);
  g_cond_init (&flood.acknowledged);
  for (guint i = 0; argc == 3 && i < G_N_ELEMENTS (kinds); i++)
    if (g_str_equal (argv[2], kinds[i].name))
      {
        flood.fd = bench_connect (bench_parse_port (argv[1]));
        if (flood.fd < 0)
          return 1;
        upgrade (&flood, kinds[i].resumable);
        if (kinds[i].resumable)
          say_hello (&flood);
        g_thread_unref (g_thread_new ("answers", read_answers, &flood));
        g_print ("listening 0\n");
        kinds[i].run (&flood);
      }

  g_printerr ("usage: flood PORT open-reset|open-close|single-bytes\n");
  return 2;
}
