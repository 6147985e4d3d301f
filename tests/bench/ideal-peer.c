/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The other end of every measurement, meant to be cheaper than any subject: it discards, blasts or echoes, depending
 * on the first byte of a connection. A connection that begins with an HTTP request becomes a WebSocket, raw or tagged
 * depending on its URL; any other is plain TCP. */

#include "bench-util.h"
#include "peer-link.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

typedef struct
{
  Link *link;
  GHashTable *commands; /* id → command; only used by the reading thread */

  /* The blaster sends a block to each of these ids in turn. Both members belong to the thread that has the turn. */
  GArray *blasting;
  gboolean running;
  GThread *blaster;
} Conversation;

static BenchStats *stats;

static gboolean
blast_next (Conversation *self,
            guint position)
{
  gboolean written = FALSE;

  link_begin_turn (self->link);
  if (self->blasting->len > 0)
    {
      guint32 id = g_array_index (self->blasting, guint32, position % self->blasting->len);

      written = link_write_zeros (self->link, id, BENCH_BLOCK);
    }
  self->running = written;
  link_end_turn (self->link);

  return written;
}

static gpointer
blast (gpointer data)
{
  guint position = 0;

  while (blast_next (data, position))
    position++;

  return NULL;
}

static void
start_blasting (Conversation *self,
                guint32 id)
{
  self->link->shared = TRUE;
  link_begin_turn (self->link);
  g_array_append_val (self->blasting, id);
  if (!self->running)
    {
      g_clear_pointer (&self->blaster, g_thread_join);
      self->running = TRUE;
      self->blaster = g_thread_new ("blast", blast, self);
    }
  link_end_turn (self->link);
}

static void
forget (Conversation *self,
        guint32 id)
{
  g_hash_table_remove (self->commands, GUINT_TO_POINTER (id));
  link_begin_turn (self->link);
  for (guint i = 0; i < self->blasting->len; i++)
    {
      if (g_array_index (self->blasting, guint32, i) == id)
        {
          g_array_remove_index_fast (self->blasting, i);
          break;
        }
    }
  link_end_turn (self->link);
}

static gboolean
obey (Conversation *self,
      guint32 id,
      guint8 command)
{
  const guint8 ready = BENCH_READY;

  g_hash_table_insert (self->commands, GUINT_TO_POINTER (id), GUINT_TO_POINTER (command));
  if (!link_write_in_turn (self->link, OPCODE_BINARY, id, &ready, 1))
    return FALSE;
  if (command == BENCH_BLAST)
    start_blasting (self, id);

  return command == BENCH_BLAST || command == BENCH_DISCARD || command == BENCH_ECHO;
}

static gboolean
discard (Conversation *self,
         guint64 length)
{
  while (length > 0)
    {
      gssize dropped = link_drop (self->link, MIN (length, G_MAXINT32));

      if (dropped < 0)
        return FALSE;
      bench_stats_add (stats, dropped);
      length -= dropped;
    }

  return TRUE;
}

static gboolean
echo_frame (Conversation *self,
            guint32 id,
            Frame *frame)
{
  guint8 payload[4096];

  while (frame->length > 0)
    {
      gsize length = MIN (frame->length, sizeof payload);

      if (!link_take (self->link, frame, payload, length) ||
          !link_write_in_turn (self->link, OPCODE_BINARY, id, payload, length))
        return FALSE;
    }

  return TRUE;
}

static gboolean
handle_data (Conversation *self,
             Frame *frame)
{
  guint32 id = 0;
  guint8 command;

  if (self->link->tagged)
    {
      if (!link_take (self->link, frame, &id, 4))
        return FALSE;
      id = GUINT32_FROM_BE (id);
      if (frame->length == 0)
        {
          forget (self, id);
          return TRUE;
        }
    }
  if (frame->length == 0)
    return TRUE;

  command = GPOINTER_TO_UINT (g_hash_table_lookup (self->commands, GUINT_TO_POINTER (id)));
  if (command == 0 && (!link_take (self->link, frame, &command, 1) || !obey (self, id, command)))
    return FALSE;

  return command == BENCH_ECHO ? echo_frame (self, id, frame) : discard (self, frame->length);
}

static gboolean
handle_control (Conversation *self,
                Frame *frame)
{
  guint8 payload[125];
  gsize length = frame->length;

  if (length > sizeof payload || !link_take (self->link, frame, payload, length))
    return FALSE;
  if (frame->opcode == OPCODE_PING)
    return link_write_in_turn (self->link, OPCODE_PONG, 0, payload, length);
  if (frame->opcode != OPCODE_CLOSE)
    return TRUE;
  link_write_in_turn (self->link, OPCODE_CLOSE, 0, payload, length);

  return FALSE;
}

static void
serve_websocket (Conversation *self)
{
  Frame frame;

  while (link_read_frame (self->link, &frame))
    {
      gboolean control = frame.opcode & 0x8;

      if (!(control ? handle_control (self, &frame) : handle_data (self, &frame)))
        break;
    }
}

static void
serve_tcp (Conversation *self)
{
  guint8 payload[4096];
  guint8 command = self->link->input[self->link->start++];
  gssize received;

  if (!obey (self, 0, command))
    return;
  if (command != BENCH_ECHO)
    {
      discard (self, G_MAXUINT64);
      return;
    }
  while ((received = bench_recv (self->link->fd, payload, sizeof payload)) > 0)
    {
      if (!link_write_in_turn (self->link, OPCODE_BINARY, 0, payload, received))
        return;
    }
}

static gpointer
converse (gpointer data)
{
  Link *link = link_new (GPOINTER_TO_INT (data));
  Conversation self = {
    .link = link,
    .commands = g_hash_table_new (NULL, NULL),
    .blasting = g_array_new (FALSE, FALSE, sizeof (guint32)),
  };

  if (link_fill (link, 1))
    {
      if (link->input[0] != 'G')
        serve_tcp (&self);
      else if (link_upgrade (link))
        serve_websocket (&self);
    }

  shutdown (link->fd, SHUT_RDWR);
  g_clear_pointer (&self.blaster, g_thread_join);
  g_array_unref (self.blasting);
  g_hash_table_unref (self.commands);
  link_free (link);

  return NULL;
}

int
main (int argc,
      char **argv)
{
  guint16 port;
  int listener;

  g_set_prgname ("ideal-peer");
  /* sendfile () has no MSG_NOSIGNAL. */
  signal (SIGPIPE, SIG_IGN);
  if (argc != 2)
    {
      g_printerr ("usage: ideal-peer STATS-FILE\n");
      return 2;
    }
  stats = bench_stats_open (argv[1]);
  listener = bench_listen (&port);
  g_print ("listening %u\n", port);

  for (;;)
    {
      int client = bench_accept (listener);

      if (client >= 0)
        g_thread_unref (g_thread_new ("connection", converse, GINT_TO_POINTER (client)));
    }
}
