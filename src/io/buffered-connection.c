/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/buffered-connection.h"

#include <errno.h>
#include <string.h>
#include "base/tsan.h"

/* The size of one read. With more, the data would leave the caches of the processor before it is decrypted, and a
 * paused connection would hold more memory. */
#define READ_SIZE (64 * 1024)

/* With this much data to be sent, no more is accepted. */
#define FULL (64 * 1024)

/* There is also room for the record that is accepted before, and for the alerts that TLS sends at the end without
 * waiting. */
#define MAX_RECORD (17 * 1024)
#define MAX_ALERTS 1024
#define WRITE_SIZE (FULL + MAX_RECORD + MAX_ALERTS)

typedef struct
{
  guint8 *data; /* NULL while it is empty */
  gsize start;
  gsize end;
} Buffer;

/* A buffer is needed only for a moment: until TLS has read received data, or the kernel has accepted data to be sent.
 * So each thread keeps one of each kind, and idle connections have none. */
static GPrivate spare_input = G_PRIVATE_INIT (g_free);
static GPrivate spare_output = G_PRIVATE_INIT (g_free);

static void
buffer_acquire (Buffer   *self,
                GPrivate *spare,
                gsize     size)
{
  self->data = g_private_get (spare);
  if (self->data != NULL)
    g_private_set (spare, NULL);
  else
    self->data = g_malloc (size);
  self->start = self->end = 0;
}

static void
buffer_release (Buffer   *self,
                GPrivate *spare)
{
  guint8 *data = g_steal_pointer (&self->data);

  self->start = self->end = 0;
  if (g_private_get (spare) == NULL)
    g_private_set (spare, data);
  else
    g_free (data);
}

/* The streams */

#define TCP_TYPE_BUFFERED_INPUT (tcp_buffered_input_get_type ())
G_DECLARE_FINAL_TYPE (TcpBufferedInput, tcp_buffered_input, TCP, BUFFERED_INPUT, GInputStream)

#define TCP_TYPE_BUFFERED_OUTPUT (tcp_buffered_output_get_type ())
G_DECLARE_FINAL_TYPE (TcpBufferedOutput, tcp_buffered_output, TCP, BUFFERED_OUTPUT, GOutputStream)

struct _TcpBufferedInput
{
  GInputStream parent_instance;
  GInputStream *base;
  TcpBufferedOutput *output;
  Buffer buffer;
};

struct _TcpBufferedOutput
{
  GOutputStream parent_instance;
  GOutputStream *base;
  Buffer buffer;
  gboolean never_waits;
};

struct _TcpBufferedConnection
{
  GSocketConnection parent_instance;
  GSocketConnection *base;
  TcpBufferedInput *input;
  TcpBufferedOutput *output;
};

static void buffered_input_pollable_init (GPollableInputStreamInterface *iface);
static void buffered_output_pollable_init (GPollableOutputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TcpBufferedInput, tcp_buffered_input, G_TYPE_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, buffered_input_pollable_init))
G_DEFINE_FINAL_TYPE_WITH_CODE (TcpBufferedOutput, tcp_buffered_output, G_TYPE_OUTPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_OUTPUT_STREAM, buffered_output_pollable_init))
G_DEFINE_FINAL_TYPE (TcpBufferedConnection, tcp_buffered_connection, G_TYPE_SOCKET_CONNECTION)

/* Output */

static gboolean
buffered_output_send (TcpBufferedOutput  *self,
                      gboolean            wait,
                      GCancellable       *cancellable,
                      GError            **error)
{
  Buffer *buffer = &self->buffer;

  tcp_tsan_acquire (self);
  while (buffer->start < buffer->end)
    {
      gssize n = g_pollable_stream_write (self->base, buffer->data + buffer->start, buffer->end - buffer->start,
                                          wait && !self->never_waits, cancellable, error);

      tcp_tsan_release (self);
      if (n < 0)
        return FALSE;
      buffer->start += n;
    }
  if (buffer->data != NULL)
    buffer_release (buffer, &spare_output);
  tcp_tsan_release (self);
  return TRUE;
}

static gboolean
buffered_output_is_full (TcpBufferedOutput *self)
{
  return self->buffer.end - self->buffer.start >= FULL;
}

static gssize
buffered_output_append (TcpBufferedOutput *self,
                        const void        *data,
                        gsize              size)
{
  Buffer *buffer = &self->buffer;

  if (buffer->data == NULL)
    buffer_acquire (buffer, &spare_output, WRITE_SIZE);
  if (size > WRITE_SIZE - buffer->end && buffer->start > 0)
    {
      memmove (buffer->data, buffer->data + buffer->start, buffer->end - buffer->start);
      buffer->end -= buffer->start;
      buffer->start = 0;
    }
  size = MIN (size, WRITE_SIZE - buffer->end);
  memcpy (buffer->data + buffer->end, data, size);
  buffer->end += size;
  return size;
}

static gssize
buffered_output_write (GOutputStream  *stream,
                       const void     *data,
                       gsize           size,
                       GCancellable   *cancellable,
                       GError        **error)
{
  TcpBufferedOutput *self = TCP_BUFFERED_OUTPUT (stream);
  gssize n;

  tcp_tsan_acquire (self);
  if (!self->never_waits && buffered_output_is_full (self) && !buffered_output_send (self, TRUE, cancellable, error))
    return -1;
  n = buffered_output_append (self, data, size);
  tcp_tsan_release (self);
  if (n > 0)
    return n;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, g_strerror (ENOBUFS));
  return -1;
}

static gssize
buffered_output_write_nonblocking (GPollableOutputStream  *stream,
                                   const void             *data,
                                   gsize                   size,
                                   GError                **error)
{
  TcpBufferedOutput *self = TCP_BUFFERED_OUTPUT (stream);
  gssize n;

  if (buffered_output_is_full (self))
    {
      g_autoptr (GError) local = NULL;

      if (!buffered_output_send (self, FALSE, NULL, &local) &&
          (!g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) || buffered_output_is_full (self)))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return -1;
        }
    }
  n = buffered_output_append (self, data, MIN (size, MAX_RECORD));
  tcp_tsan_release (self);
  return n;
}

static gboolean
buffered_output_flush (GOutputStream  *stream,
                       GCancellable   *cancellable,
                       GError        **error)
{
  return buffered_output_send (TCP_BUFFERED_OUTPUT (stream), TRUE, cancellable, error);
}

static gboolean
buffered_output_is_writable (GPollableOutputStream *stream)
{
  TcpBufferedOutput *self = TCP_BUFFERED_OUTPUT (stream);
  gboolean writable = !buffered_output_is_full (self) ||
                      g_pollable_output_stream_is_writable (G_POLLABLE_OUTPUT_STREAM (self->base));

  tcp_tsan_release (self);
  return writable;
}

static GSource *
buffered_output_create_source (GPollableOutputStream *stream,
                               GCancellable          *cancellable)
{
  TcpBufferedOutput *self = TCP_BUFFERED_OUTPUT (stream);
  g_autoptr (GSource) source = NULL;

  if (!buffered_output_is_full (self))
    source = g_timeout_source_new (0);
  else
    source = g_pollable_output_stream_create_source (G_POLLABLE_OUTPUT_STREAM (self->base), NULL);
  tcp_tsan_release (self);
  return g_pollable_source_new_full (stream, source, cancellable);
}

static void
tcp_buffered_output_finalize (GObject *object)
{
  TcpBufferedOutput *self = TCP_BUFFERED_OUTPUT (object);

  tcp_tsan_acquire (self);
  g_free (self->buffer.data);
  g_clear_object (&self->base);

  G_OBJECT_CLASS (tcp_buffered_output_parent_class)->finalize (object);
}

static void
tcp_buffered_output_class_init (TcpBufferedOutputClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tcp_buffered_output_finalize;
  G_OUTPUT_STREAM_CLASS (klass)->write_fn = buffered_output_write;
  G_OUTPUT_STREAM_CLASS (klass)->flush = buffered_output_flush;
}

static void
buffered_output_pollable_init (GPollableOutputStreamInterface *iface)
{
  iface->is_writable = buffered_output_is_writable;
  iface->create_source = buffered_output_create_source;
  iface->write_nonblocking = buffered_output_write_nonblocking;
}

static void
tcp_buffered_output_init (TcpBufferedOutput *self)
{
}

/* Input */

static gssize
buffered_input_take (TcpBufferedInput *self,
                     void             *data,
                     gsize             size)
{
  Buffer *buffer = &self->buffer;

  size = MIN (size, buffer->end - buffer->start);
  memcpy (data, buffer->data + buffer->start, size);
  buffer->start += size;
  if (buffer->start == buffer->end)
    buffer_release (buffer, &spare_input);
  return size;
}

static gssize
buffered_input_receive (TcpBufferedInput  *self,
                        void              *data,
                        gsize              size,
                        gboolean           wait,
                        GCancellable      *cancellable,
                        GError           **error)
{
  gssize n;

  if (self->buffer.data == NULL)
    {
      /* The peer may wait for this data. If it cannot be sent, reading may find out why. */
      buffered_output_send (self->output, wait, cancellable, NULL);

      buffer_acquire (&self->buffer, &spare_input, READ_SIZE);
      n = g_pollable_stream_read (self->base, self->buffer.data, READ_SIZE, wait, cancellable, error);
      if (n <= 0)
        {
          buffer_release (&self->buffer, &spare_input);
          return n;
        }
      self->buffer.end = n;
    }
  return buffered_input_take (self, data, size);
}

static gssize
buffered_input_read (GInputStream  *stream,
                     void          *data,
                     gsize          size,
                     GCancellable  *cancellable,
                     GError       **error)
{
  TcpBufferedInput *self = TCP_BUFFERED_INPUT (stream);
  gssize n;

  tcp_tsan_acquire (self);
  n = buffered_input_receive (self, data, size, !self->output->never_waits, cancellable, error);
  tcp_tsan_release (self);
  return n;
}

static gssize
buffered_input_read_nonblocking (GPollableInputStream  *stream,
                                 void                  *data,
                                 gsize                  size,
                                 GError               **error)
{
  gssize n = buffered_input_receive (TCP_BUFFERED_INPUT (stream), data, size, FALSE, NULL, error);

  tcp_tsan_release (stream);
  return n;
}

static gboolean
buffered_input_is_readable (GPollableInputStream *stream)
{
  TcpBufferedInput *self = TCP_BUFFERED_INPUT (stream);
  gboolean readable = self->buffer.data != NULL;

  if (!readable)
    {
      buffered_output_send (self->output, FALSE, NULL, NULL);
      readable = g_pollable_input_stream_is_readable (G_POLLABLE_INPUT_STREAM (self->base));
    }
  tcp_tsan_release (self);
  return readable;
}

static GSource *
buffered_input_create_source (GPollableInputStream *stream,
                              GCancellable         *cancellable)
{
  TcpBufferedInput *self = TCP_BUFFERED_INPUT (stream);
  g_autoptr (GSource) source = NULL;

  if (self->buffer.data != NULL)
    {
      source = g_timeout_source_new (0);
    }
  else
    {
      buffered_output_send (self->output, FALSE, NULL, NULL);
      source = g_pollable_input_stream_create_source (G_POLLABLE_INPUT_STREAM (self->base), NULL);
    }
  tcp_tsan_release (self);
  return g_pollable_source_new_full (stream, source, cancellable);
}

static void
tcp_buffered_input_finalize (GObject *object)
{
  TcpBufferedInput *self = TCP_BUFFERED_INPUT (object);

  tcp_tsan_acquire (self);
  g_free (self->buffer.data);
  g_clear_object (&self->base);
  g_clear_object (&self->output);

  G_OBJECT_CLASS (tcp_buffered_input_parent_class)->finalize (object);
}

static void
tcp_buffered_input_class_init (TcpBufferedInputClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tcp_buffered_input_finalize;
  G_INPUT_STREAM_CLASS (klass)->read_fn = buffered_input_read;
}

static void
buffered_input_pollable_init (GPollableInputStreamInterface *iface)
{
  iface->is_readable = buffered_input_is_readable;
  iface->create_source = buffered_input_create_source;
  iface->read_nonblocking = buffered_input_read_nonblocking;
}

static void
tcp_buffered_input_init (TcpBufferedInput *self)
{
}

/* Both directions */

static GInputStream *
buffered_connection_get_input_stream (GIOStream *stream)
{
  return G_INPUT_STREAM (TCP_BUFFERED_CONNECTION (stream)->input);
}

static GOutputStream *
buffered_connection_get_output_stream (GIOStream *stream)
{
  return G_OUTPUT_STREAM (TCP_BUFFERED_CONNECTION (stream)->output);
}

/* Sends what the kernel accepts, without waiting. If the base is a proxy's TLS, that is not ended in order, which might
 * wait; nothing is lost by it. */
static gboolean
buffered_connection_close (GIOStream     *stream,
                           GCancellable  *cancellable,
                           GError       **error)
{
  TcpBufferedConnection *self = TCP_BUFFERED_CONNECTION (stream);
  gboolean closed;

  buffered_output_send (self->output, FALSE, NULL, NULL);
  closed = g_socket_close (g_socket_connection_get_socket (self->base), error);
  tcp_tsan_release (self);
  return closed;
}

static void
tcp_buffered_connection_finalize (GObject *object)
{
  TcpBufferedConnection *self = TCP_BUFFERED_CONNECTION (object);

  /* The thread of a handshake may have held the last reference. */
  tcp_tsan_acquire (self->input);
  tcp_tsan_acquire (self->output);
  tcp_tsan_acquire (self);
  g_clear_object (&self->input);
  g_clear_object (&self->output);
  g_clear_object (&self->base);

  G_OBJECT_CLASS (tcp_buffered_connection_parent_class)->finalize (object);
}

static void
tcp_buffered_connection_class_init (TcpBufferedConnectionClass *klass)
{
  GIOStreamClass *stream_class = G_IO_STREAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tcp_buffered_connection_finalize;
  stream_class->get_input_stream = buffered_connection_get_input_stream;
  stream_class->get_output_stream = buffered_connection_get_output_stream;
  stream_class->close_fn = buffered_connection_close;
}

static void
tcp_buffered_connection_init (TcpBufferedConnection *self)
{
}

TcpBufferedConnection *
tcp_buffered_connection_new (GSocketConnection *base)
{
  TcpBufferedConnection *self =
      g_object_new (TCP_TYPE_BUFFERED_CONNECTION, "socket", g_socket_connection_get_socket (base), NULL);

  self->base = g_object_ref (base);
  self->output = g_object_new (TCP_TYPE_BUFFERED_OUTPUT, NULL);
  self->output->base = g_object_ref (g_io_stream_get_output_stream (G_IO_STREAM (base)));
  self->input = g_object_new (TCP_TYPE_BUFFERED_INPUT, NULL);
  self->input->base = g_object_ref (g_io_stream_get_input_stream (G_IO_STREAM (base)));
  self->input->output = g_object_ref (self->output);
  tcp_tsan_release (self->input);
  tcp_tsan_release (self->output);
  return self;
}

/* From here on the connection belongs to one thread, and no call waits. */
void
tcp_buffered_connection_stop_waiting (TcpBufferedConnection *self)
{
  tcp_tsan_acquire (self->input);
  tcp_tsan_acquire (self->output);
  self->output->never_waits = TRUE;
  tcp_tsan_release (self->input);
  tcp_tsan_release (self->output);
  tcp_tsan_release (self);
}

/* Whether another record would not be accepted. While the connection is not full, TLS never has to repeat a write with
 * the same data. */
gboolean
tcp_buffered_connection_is_full (TcpBufferedConnection *self)
{
  gboolean full = buffered_output_is_full (self->output);

  tcp_tsan_release (self->output);
  tcp_tsan_release (self);
  return full;
}

/* Sends the data that was written. */
GPollableReturn
tcp_buffered_connection_flush (TcpBufferedConnection  *self,
                               GError                **error)
{
  g_autoptr (GError) local = NULL;
  gboolean sent = buffered_output_send (self->output, FALSE, NULL, &local);

  tcp_tsan_release (self);
  if (sent)
    return G_POLLABLE_RETURN_OK;
  if (g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return G_POLLABLE_RETURN_WOULD_BLOCK;
  g_propagate_error (error, g_steal_pointer (&local));
  return G_POLLABLE_RETURN_FAILED;
}

/* The memory that its buffers use now, in bytes. */
gsize
tcp_buffered_connection_get_memory (TcpBufferedConnection *self)
{
  gsize memory = 0;

  if (self->input->buffer.data != NULL)
    memory += READ_SIZE;
  if (self->output->buffer.data != NULL)
    memory += WRITE_SIZE;
  return memory;
}
