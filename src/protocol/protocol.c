/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "protocol/protocol.h"

/* The table of streams, which all protocols use */

TcpProtocol *
tcp_protocol_new (const TcpProtocolClass     *class,
                  const TcpProtocolOptions   *options,
                  const TcpProtocolCallbacks *callbacks,
                  gpointer                    user_data)
{
  TcpProtocol *self = g_malloc0 (class->size);

  self->class = class;
  self->options = *options;
  self->options.peer = g_strdup (options->peer);
  self->options.log = tcp_log_ref (options->log);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->streams = g_hash_table_new (NULL, NULL);
  self->next_id = 1;
  class->init (self);
  return self;
}

/* All streams must have been released. */
void
tcp_protocol_free (TcpProtocol *self)
{
  g_assert (self->n_streams == 0);

  self->class->clear (self);
  g_hash_table_unref (self->streams);
  tcp_log_unref (self->options.log);
  g_free ((char *) self->options.peer);
  g_free (self);
}

guint32
tcp_protocol_next_id (TcpProtocol *self,
                      guint        step)
{
  guint32 id;

  do
    {
      id = self->next_id;
      self->next_id += step;
    }
  while (id == 0 || tcp_protocol_lookup (self, id) != NULL);

  return id;
}

TcpProtocolStream *
tcp_protocol_lookup (TcpProtocol *self,
                     guint32      id)
{
  return g_hash_table_lookup (self->streams, GUINT_TO_POINTER (id));
}

TcpProtocolStream *
tcp_protocol_add (TcpProtocol *self,
                  guint32      id,
                  gpointer     user_data)
{
  TcpProtocolStream *stream = g_malloc0 (self->class->stream_size);

  stream->id = id;
  stream->active = TRUE;
  stream->user_data = user_data;
  g_hash_table_insert (self->streams, GUINT_TO_POINTER (id), stream);
  self->n_streams++;
  return stream;
}

/* The user does not need the stream any more, which is inactive, or will never be known to the peer. */
void
tcp_protocol_release (TcpProtocol       *self,
                      TcpProtocolStream *stream)
{
  if (stream->active)
    tcp_protocol_forget (self, stream);
  self->class->released (self, stream);
  self->n_streams--;
  g_free (stream);
}

void
tcp_protocol_forget (TcpProtocol       *self,
                     TcpProtocolStream *stream)
{
  stream->active = FALSE;
  g_hash_table_remove (self->streams, GUINT_TO_POINTER (stream->id));
  self->class->forgotten (self, stream);
}

void
tcp_protocol_finish (TcpProtocol       *self,
                     TcpProtocolStream *stream,
                     gboolean           complete)
{
  tcp_protocol_forget (self, stream);
  self->callbacks.finished (stream, complete, self->user_data);
}

void
tcp_protocol_reset (TcpProtocol       *self,
                    TcpProtocolStream *stream,
                    const GError      *error,
                    gboolean           left)
{
  tcp_protocol_forget (self, stream);
  self->callbacks.was_reset (stream, error, left, self->user_data);
}

void
tcp_protocol_reset_all (TcpProtocol  *self,
                        const GError *error,
                        gboolean      left)
{
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (guint32));
  GHashTableIter iter;
  TcpProtocolStream *stream;

  /* The callbacks change the table. */
  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &stream))
    g_array_append_val (ids, stream->id);

  for (guint i = 0; i < ids->len; i++)
    if ((stream = tcp_protocol_lookup (self, g_array_index (ids, guint32, i))) != NULL)
      tcp_protocol_reset (self, stream, error, left);
}
