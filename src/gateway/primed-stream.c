/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/primed-stream.h"

#include <string.h>

/* The input */

#define TCP_TYPE_PRIMED_INPUT (tcp_primed_input_get_type ())
G_DECLARE_FINAL_TYPE (TcpPrimedInput, tcp_primed_input, TCP, PRIMED_INPUT, GInputStream)

struct _TcpPrimedInput
{
  GInputStream parent_instance;
  GInputStream *base; /* pollable */
  GBytes *first;      /* NULL once it was read */
  gsize offset;       /* of what was not read yet in it */
};

static void tcp_primed_input_pollable_init (GPollableInputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TcpPrimedInput, tcp_primed_input, G_TYPE_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, tcp_primed_input_pollable_init))

static gssize
primed_input_take (TcpPrimedInput *self,
                   void           *buffer,
                   gsize           size)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (self->first, &length);
  gsize n = MIN (size, length - self->offset);

  memcpy (buffer, data + self->offset, n);
  self->offset += n;
  if (self->offset == length)
    g_clear_pointer (&self->first, g_bytes_unref);
  return n;
}

static gssize
primed_input_read (GInputStream  *stream,
                   void          *buffer,
                   gsize          size,
                   GCancellable  *cancellable,
                   GError       **error)
{
  TcpPrimedInput *self = TCP_PRIMED_INPUT (stream);

  if (self->first != NULL)
    return primed_input_take (self, buffer, size);
  return g_input_stream_read (self->base, buffer, size, cancellable, error);
}

static gboolean
primed_input_close (GInputStream  *stream,
                    GCancellable  *cancellable,
                    GError       **error)
{
  return g_input_stream_close (TCP_PRIMED_INPUT (stream)->base, cancellable, error);
}

static gboolean
primed_input_is_readable (GPollableInputStream *stream)
{
  TcpPrimedInput *self = TCP_PRIMED_INPUT (stream);

  return self->first != NULL || g_pollable_input_stream_is_readable (G_POLLABLE_INPUT_STREAM (self->base));
}

static GSource *
primed_input_create_source (GPollableInputStream *stream,
                            GCancellable         *cancellable)
{
  TcpPrimedInput *self = TCP_PRIMED_INPUT (stream);
  g_autoptr (GSource) source = NULL;

  if (self->first != NULL)
    source = g_timeout_source_new (0);
  else
    source = g_pollable_input_stream_create_source (G_POLLABLE_INPUT_STREAM (self->base), NULL);
  return g_pollable_source_new_full (stream, source, cancellable);
}

static gssize
primed_input_read_nonblocking (GPollableInputStream  *stream,
                               void                  *buffer,
                               gsize                  size,
                               GError               **error)
{
  TcpPrimedInput *self = TCP_PRIMED_INPUT (stream);

  if (self->first != NULL)
    return primed_input_take (self, buffer, size);
  return g_pollable_input_stream_read_nonblocking (G_POLLABLE_INPUT_STREAM (self->base), buffer, size, NULL, error);
}

static void
tcp_primed_input_finalize (GObject *object)
{
  TcpPrimedInput *self = TCP_PRIMED_INPUT (object);

  g_clear_object (&self->base);
  g_clear_pointer (&self->first, g_bytes_unref);

  G_OBJECT_CLASS (tcp_primed_input_parent_class)->finalize (object);
}

static void
tcp_primed_input_class_init (TcpPrimedInputClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tcp_primed_input_finalize;
  G_INPUT_STREAM_CLASS (klass)->read_fn = primed_input_read;
  G_INPUT_STREAM_CLASS (klass)->close_fn = primed_input_close;
}

static void
tcp_primed_input_pollable_init (GPollableInputStreamInterface *iface)
{
  iface->is_readable = primed_input_is_readable;
  iface->create_source = primed_input_create_source;
  iface->read_nonblocking = primed_input_read_nonblocking;
}

static void
tcp_primed_input_init (TcpPrimedInput *self)
{
}

/* The stream */

#define TCP_TYPE_PRIMED_STREAM (tcp_primed_stream_get_type ())
G_DECLARE_FINAL_TYPE (TcpPrimedStream, tcp_primed_stream, TCP, PRIMED_STREAM, GIOStream)

struct _TcpPrimedStream
{
  GIOStream parent_instance;
  GIOStream *base;
  TcpPrimedInput *input;
};

G_DEFINE_FINAL_TYPE (TcpPrimedStream, tcp_primed_stream, G_TYPE_IO_STREAM)

static GInputStream *
primed_stream_get_input_stream (GIOStream *stream)
{
  return G_INPUT_STREAM (TCP_PRIMED_STREAM (stream)->input);
}

static GOutputStream *
primed_stream_get_output_stream (GIOStream *stream)
{
  return g_io_stream_get_output_stream (TCP_PRIMED_STREAM (stream)->base);
}

static gboolean
primed_stream_close (GIOStream     *stream,
                     GCancellable  *cancellable,
                     GError       **error)
{
  return g_io_stream_close (TCP_PRIMED_STREAM (stream)->base, cancellable, error);
}

static void
on_base_closed (GObject      *base,
                GAsyncResult *result,
                gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (g_io_stream_close_finish (G_IO_STREAM (base), result, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* The base class would close in a thread also what need not wait. */
static void
primed_stream_close_async (GIOStream           *stream,
                           int                  io_priority,
                           GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  GTask *task = g_task_new (stream, cancellable, callback, user_data);

  g_task_set_source_tag (task, primed_stream_close_async);
  g_io_stream_close_async (TCP_PRIMED_STREAM (stream)->base, io_priority, cancellable, on_base_closed, task);
}

static gboolean
primed_stream_close_finish (GIOStream     *stream,
                            GAsyncResult  *result,
                            GError       **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
tcp_primed_stream_finalize (GObject *object)
{
  TcpPrimedStream *self = TCP_PRIMED_STREAM (object);

  g_clear_object (&self->input);
  g_clear_object (&self->base);

  G_OBJECT_CLASS (tcp_primed_stream_parent_class)->finalize (object);
}

static void
tcp_primed_stream_class_init (TcpPrimedStreamClass *klass)
{
  GIOStreamClass *stream_class = G_IO_STREAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tcp_primed_stream_finalize;
  stream_class->get_input_stream = primed_stream_get_input_stream;
  stream_class->get_output_stream = primed_stream_get_output_stream;
  stream_class->close_fn = primed_stream_close;
  stream_class->close_async = primed_stream_close_async;
  stream_class->close_finish = primed_stream_close_finish;
}

static void
tcp_primed_stream_init (TcpPrimedStream *self)
{
}

GIOStream *
tcp_primed_stream_new (GIOStream *base,
                       GBytes    *first)
{
  TcpPrimedStream *self = g_object_new (TCP_TYPE_PRIMED_STREAM, NULL);

  self->base = g_object_ref (base);
  self->input = g_object_new (TCP_TYPE_PRIMED_INPUT, NULL);
  self->input->base = g_object_ref (g_io_stream_get_input_stream (base));
  self->input->first = g_bytes_ref (first);
  return G_IO_STREAM (self);
}
