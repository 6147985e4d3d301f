/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/control-stream.h"

#include <string.h>

#define TCP_TYPE_CONTROL_INPUT (tcp_control_input_get_type ())
G_DECLARE_FINAL_TYPE (TcpControlInput, tcp_control_input, TCP, CONTROL_INPUT, GInputStream)

#define TCP_TYPE_CONTROL_OUTPUT (tcp_control_output_get_type ())
G_DECLARE_FINAL_TYPE (TcpControlOutput, tcp_control_output, TCP, CONTROL_OUTPUT, GOutputStream)

struct _TcpControlInput
{
  GInputStream parent_instance;
  GByteArray *inbox;
  gboolean eof;
  GError *error;
  GSource *source; /* with which libsoup waits, if any; it has a reference to this stream */
  gboolean detached;
};

struct _TcpControlOutput
{
  GOutputStream parent_instance;
  TcpControlStream *stream; /* not owned; NULL once detached */
};

struct _TcpControlStream
{
  GIOStream parent_instance;
  TcpControlInput *input;
  TcpControlOutput *output;
  TcpControlStreamCallbacks callbacks;
  gpointer user_data;
  gboolean attached;
  GTask *closing;
};

static void control_input_pollable_init (GPollableInputStreamInterface *iface);
static void control_output_pollable_init (GPollableOutputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TcpControlInput, tcp_control_input, G_TYPE_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, control_input_pollable_init))
G_DEFINE_FINAL_TYPE_WITH_CODE (TcpControlOutput, tcp_control_output, G_TYPE_OUTPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_OUTPUT_STREAM, control_output_pollable_init))
G_DEFINE_FINAL_TYPE (TcpControlStream, tcp_control_stream, G_TYPE_IO_STREAM)

/* Input */

static gboolean
control_input_is_readable (GPollableInputStream *stream)
{
  TcpControlInput *self = TCP_CONTROL_INPUT (stream);

  return self->inbox->len > 0 || self->eof || self->error != NULL;
}

static void
control_input_wake (TcpControlInput *self)
{
  if (self->source != NULL)
    g_source_set_ready_time (self->source, control_input_is_readable (G_POLLABLE_INPUT_STREAM (self)) ? 0 : -1);
}

static gssize
control_input_read_nonblocking (GPollableInputStream *stream,
                                void                 *buffer,
                                gsize                 count,
                                GError              **error)
{
  TcpControlInput *self = TCP_CONTROL_INPUT (stream);

  if (self->inbox->len > 0)
    {
      count = MIN (count, self->inbox->len);
      memcpy (buffer, self->inbox->data, count);
      g_byte_array_remove_range (self->inbox, 0, count);
      return count;
    }
  if (self->error != NULL)
    {
      g_propagate_error (error, g_error_copy (self->error));
      return -1;
    }
  if (self->eof)
    return 0;

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "no control frame is there");
  return -1;
}

static GSource *
control_input_create_source (GPollableInputStream *stream,
                             GCancellable         *cancellable)
{
  TcpControlInput *self = TCP_CONTROL_INPUT (stream);

  GSource *source = g_pollable_source_new (G_OBJECT (self));

  /* libsoup has at most one at a time. */
  g_clear_pointer (&self->source, g_source_unref);
  if (!self->detached)
    self->source = g_source_ref (source);
  control_input_wake (self);

  return source;
}

static gboolean
control_input_close (GInputStream  *stream,
                     GCancellable  *cancellable,
                     GError       **error)
{
  return TRUE;
}

static void
control_input_finalize (GObject *object)
{
  TcpControlInput *self = TCP_CONTROL_INPUT (object);

  g_clear_pointer (&self->source, g_source_unref);
  g_clear_error (&self->error);
  g_byte_array_unref (self->inbox);

  G_OBJECT_CLASS (tcp_control_input_parent_class)->finalize (object);
}

static void
tcp_control_input_class_init (TcpControlInputClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = control_input_finalize;
  G_INPUT_STREAM_CLASS (klass)->close_fn = control_input_close;
}

static void
control_input_pollable_init (GPollableInputStreamInterface *iface)
{
  iface->is_readable = control_input_is_readable;
  iface->create_source = control_input_create_source;
  iface->read_nonblocking = control_input_read_nonblocking;
}

static void
tcp_control_input_init (TcpControlInput *self)
{
  self->inbox = g_byte_array_new ();
}

/* Output */

static gboolean
control_output_is_writable (GPollableOutputStream *stream)
{
  return TRUE;
}

static gssize
control_output_write_nonblocking (GPollableOutputStream *stream,
                                  const void            *buffer,
                                  gsize                  count,
                                  GError               **error)
{
  TcpControlStream *self = TCP_CONTROL_OUTPUT (stream)->stream;

  if (self == NULL || !self->attached)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "the WebSocket is closed");
      return -1;
    }

  /* libsoup writes a whole frame at a time, and all of it is accepted: its queue stays empty, and the channel limits
   * the number of frames. */
  self->callbacks.write (buffer, count, self->user_data);
  return count;
}

static GSource *
control_output_create_source (GPollableOutputStream *stream,
                              GCancellable          *cancellable)
{
  GSource *source = g_pollable_source_new (G_OBJECT (stream));

  g_source_set_ready_time (source, 0);
  return source;
}

static gboolean
control_output_close (GOutputStream  *stream,
                      GCancellable   *cancellable,
                      GError        **error)
{
  return TRUE;
}

static void
tcp_control_output_class_init (TcpControlOutputClass *klass)
{
  G_OUTPUT_STREAM_CLASS (klass)->close_fn = control_output_close;
}

static void
control_output_pollable_init (GPollableOutputStreamInterface *iface)
{
  iface->is_writable = control_output_is_writable;
  iface->create_source = control_output_create_source;
  iface->write_nonblocking = control_output_write_nonblocking;
}

static void
tcp_control_output_init (TcpControlOutput *self)
{
}

/* Both directions */

static GInputStream *
control_stream_get_input_stream (GIOStream *stream)
{
  return G_INPUT_STREAM (TCP_CONTROL_STREAM (stream)->input);
}

static GOutputStream *
control_stream_get_output_stream (GIOStream *stream)
{
  return G_OUTPUT_STREAM (TCP_CONTROL_STREAM (stream)->output);
}

static gboolean
control_stream_close (GIOStream     *stream,
                      GCancellable  *cancellable,
                      GError       **error)
{
  return TRUE;
}

static void
control_stream_close_async (GIOStream           *stream,
                            int                  io_priority,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  TcpControlStream *self = TCP_CONTROL_STREAM (stream);

  g_assert (self->closing == NULL);
  self->closing = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (self->closing, control_stream_close_async);
  g_task_set_priority (self->closing, io_priority);

  if (self->attached)
    self->callbacks.close (self->user_data);
  else
    tcp_control_stream_close_done (self);
}

static gboolean
control_stream_close_finish (GIOStream     *stream,
                             GAsyncResult  *result,
                             GError       **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
control_stream_dispose (GObject *object)
{
  TcpControlStream *self = TCP_CONTROL_STREAM (object);

  self->attached = FALSE;
  G_OBJECT_CLASS (tcp_control_stream_parent_class)->dispose (object);
}

static void
control_stream_finalize (GObject *object)
{
  TcpControlStream *self = TCP_CONTROL_STREAM (object);

  self->output->stream = NULL;
  g_clear_object (&self->input);
  g_clear_object (&self->output);

  G_OBJECT_CLASS (tcp_control_stream_parent_class)->finalize (object);
}

static void
tcp_control_stream_class_init (TcpControlStreamClass *klass)
{
  GIOStreamClass *stream_class = G_IO_STREAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = control_stream_dispose;
  G_OBJECT_CLASS (klass)->finalize = control_stream_finalize;
  stream_class->get_input_stream = control_stream_get_input_stream;
  stream_class->get_output_stream = control_stream_get_output_stream;
  stream_class->close_fn = control_stream_close;
  stream_class->close_async = control_stream_close_async;
  stream_class->close_finish = control_stream_close_finish;
}

static void
tcp_control_stream_init (TcpControlStream *self)
{
  self->input = g_object_new (TCP_TYPE_CONTROL_INPUT, NULL);
  self->output = g_object_new (TCP_TYPE_CONTROL_OUTPUT, NULL);
  self->output->stream = self;
}

TcpControlStream *
tcp_control_stream_new (const TcpControlStreamCallbacks *callbacks,
                        gpointer                         user_data)
{
  TcpControlStream *self = g_object_new (TCP_TYPE_CONTROL_STREAM, NULL);

  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->attached = TRUE;
  return self;
}

/* No callback is called any more; a pending close is completed. */
void
tcp_control_stream_detach (TcpControlStream *self)
{
  self->attached = FALSE;
  self->input->detached = TRUE;
  g_clear_pointer (&self->input->source, g_source_unref);
  if (self->closing != NULL)
    tcp_control_stream_close_done (self);
}

/* Passes a complete control frame to libsoup. */
void
tcp_control_stream_feed (TcpControlStream *self,
                         const guint8     *data,
                         gsize             length)
{
  g_byte_array_append (self->input->inbox, data, length);
  control_input_wake (self->input);
}

/* Reports to libsoup that the connection ended, or broke with @error. */
void
tcp_control_stream_end (TcpControlStream *self,
                        const GError     *error)
{
  self->input->eof = TRUE;
  if (error != NULL && self->input->error == NULL)
    self->input->error = g_error_copy (error);
  control_input_wake (self->input);
}

/* Completes the close: the connection is closed. */
void
tcp_control_stream_close_done (TcpControlStream *self)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->closing);

  if (task != NULL)
    g_task_return_boolean (task, TRUE);
}
