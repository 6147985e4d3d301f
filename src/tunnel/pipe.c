/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/pipe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/i18n.h"
#include "base/lock.h"
#include "base/ref-count.h"

struct _TcpPipeFate
{
  gatomicrefcount refs;
  TcpLock lock;
  GError *error;        /* the error with which the stream broke */
  gboolean input_ended; /* in order, before that */
};

TcpPipeFate *
tcp_pipe_fate_new (void)
{
  TcpPipeFate *self = g_new0 (TcpPipeFate, 1);

  g_atomic_ref_count_init (&self->refs);
  tcp_lock_init (&self->lock);
  return self;
}

TcpPipeFate *
tcp_pipe_fate_ref (TcpPipeFate *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_pipe_fate_unref (TcpPipeFate *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  tcp_lock_clear (&self->lock);
  g_clear_error (&self->error);
  g_free (self);
}

/* Called before the socket is closed. @input_ended: the application could read all data, and the end. */
void
tcp_pipe_fate_decide (TcpPipeFate  *self,
                      const GError *error,
                      gboolean      input_ended)
{
  tcp_lock (&self->lock);
  if (self->error == NULL)
    self->error = g_error_copy (error);
  self->input_ended = input_ended;
  tcp_unlock (&self->lock);
}

static GError *
fate_dup_error (TcpPipeFate *self,
                gboolean     of_input)
{
  GError *error = NULL;

  tcp_lock (&self->lock);
  if (self->error != NULL && !(of_input && self->input_ended))
    error = g_error_copy (self->error);
  tcp_unlock (&self->lock);
  return error;
}

/* Determines the result from that of a system call: a negative number is an error, and for input 0 is the end. */
static gssize
fate_judge (TcpPipeFate  *self,
            gssize        n,
            gboolean      of_input,
            GError       *local,
            GError      **error)
{
  GError *broken = NULL;

  if (n > 0 || (n == 0 && !of_input))
    return n;
  if (local == NULL || (!g_error_matches (local, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) &&
                        !g_error_matches (local, G_IO_ERROR, G_IO_ERROR_CANCELLED)))
    broken = fate_dup_error (self, of_input);
  if (broken != NULL)
    {
      g_clear_error (&local);
      local = broken;
    }
  if (local == NULL)
    return n;
  g_propagate_error (error, local);
  return -1;
}

/* Input */

#define TCP_TYPE_PIPE_INPUT (tcp_pipe_input_get_type ())
G_DECLARE_FINAL_TYPE (TcpPipeInput, tcp_pipe_input, TCP, PIPE_INPUT, GInputStream)

struct _TcpPipeInput
{
  GInputStream parent_instance;
  GInputStream *base; /* of the socket */
  TcpPipeFate *fate;
};

static void tcp_pipe_input_pollable_init (GPollableInputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TcpPipeInput, tcp_pipe_input, G_TYPE_INPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_INPUT_STREAM, tcp_pipe_input_pollable_init))

static gssize
pipe_input_read (GInputStream  *stream,
                 void          *buffer,
                 gsize          count,
                 GCancellable  *cancellable,
                 GError       **error)
{
  TcpPipeInput *self = TCP_PIPE_INPUT (stream);
  GError *local = NULL;
  gssize n = g_input_stream_read (self->base, buffer, count, cancellable, &local);

  return fate_judge (self->fate, n, TRUE, local, error);
}

static gssize
pipe_input_read_nonblocking (GPollableInputStream  *stream,
                             void                  *buffer,
                             gsize                  count,
                             GError               **error)
{
  TcpPipeInput *self = TCP_PIPE_INPUT (stream);
  GError *local = NULL;
  gssize n = g_pollable_input_stream_read_nonblocking (G_POLLABLE_INPUT_STREAM (self->base), buffer, count, NULL, &local);

  return fate_judge (self->fate, n, TRUE, local, error);
}

static gboolean
pipe_input_is_readable (GPollableInputStream *stream)
{
  return g_pollable_input_stream_is_readable (G_POLLABLE_INPUT_STREAM (TCP_PIPE_INPUT (stream)->base));
}

static GSource *
pipe_input_create_source (GPollableInputStream *stream,
                          GCancellable         *cancellable)
{
  g_autoptr (GSource) base =
      g_pollable_input_stream_create_source (G_POLLABLE_INPUT_STREAM (TCP_PIPE_INPUT (stream)->base), NULL);

  return g_pollable_source_new_full (stream, base, cancellable);
}

static void
tcp_pipe_input_finalize (GObject *object)
{
  TcpPipeInput *self = TCP_PIPE_INPUT (object);

  g_clear_object (&self->base);
  tcp_pipe_fate_unref (self->fate);

  G_OBJECT_CLASS (tcp_pipe_input_parent_class)->finalize (object);
}

static void
tcp_pipe_input_class_init (TcpPipeInputClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tcp_pipe_input_finalize;
  G_INPUT_STREAM_CLASS (klass)->read_fn = pipe_input_read;
}

static void
tcp_pipe_input_pollable_init (GPollableInputStreamInterface *iface)
{
  iface->is_readable = pipe_input_is_readable;
  iface->create_source = pipe_input_create_source;
  iface->read_nonblocking = pipe_input_read_nonblocking;
}

static void
tcp_pipe_input_init (TcpPipeInput *self)
{
}

/* Output */

#define TCP_TYPE_PIPE_OUTPUT (tcp_pipe_output_get_type ())
G_DECLARE_FINAL_TYPE (TcpPipeOutput, tcp_pipe_output, TCP, PIPE_OUTPUT, GOutputStream)

struct _TcpPipeOutput
{
  GOutputStream parent_instance;
  GOutputStream *base; /* of the socket */
  GSocket *socket;
  TcpPipeFate *fate;
};

static void tcp_pipe_output_pollable_init (GPollableOutputStreamInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TcpPipeOutput, tcp_pipe_output, G_TYPE_OUTPUT_STREAM,
                               G_IMPLEMENT_INTERFACE (G_TYPE_POLLABLE_OUTPUT_STREAM, tcp_pipe_output_pollable_init))

static gssize
pipe_output_write (GOutputStream  *stream,
                   const void     *buffer,
                   gsize           count,
                   GCancellable   *cancellable,
                   GError        **error)
{
  TcpPipeOutput *self = TCP_PIPE_OUTPUT (stream);
  GError *local = NULL;
  gssize n = g_output_stream_write (self->base, buffer, count, cancellable, &local);

  return fate_judge (self->fate, n, FALSE, local, error);
}

static gssize
pipe_output_write_nonblocking (GPollableOutputStream  *stream,
                               const void             *buffer,
                               gsize                   count,
                               GError                **error)
{
  TcpPipeOutput *self = TCP_PIPE_OUTPUT (stream);
  GError *local = NULL;
  gssize n =
      g_pollable_output_stream_write_nonblocking (G_POLLABLE_OUTPUT_STREAM (self->base), buffer, count, NULL, &local);

  return fate_judge (self->fate, n, FALSE, local, error);
}

static gboolean
pipe_output_is_writable (GPollableOutputStream *stream)
{
  return g_pollable_output_stream_is_writable (G_POLLABLE_OUTPUT_STREAM (TCP_PIPE_OUTPUT (stream)->base));
}

static GSource *
pipe_output_create_source (GPollableOutputStream *stream,
                           GCancellable          *cancellable)
{
  g_autoptr (GSource) base =
      g_pollable_output_stream_create_source (G_POLLABLE_OUTPUT_STREAM (TCP_PIPE_OUTPUT (stream)->base), NULL);

  return g_pollable_source_new_full (stream, base, cancellable);
}

/* The other direction continues. */
static gboolean
pipe_output_close (GOutputStream  *stream,
                   GCancellable   *cancellable,
                   GError        **error)
{
  TcpPipeOutput *self = TCP_PIPE_OUTPUT (stream);

  if (!g_socket_is_closed (self->socket))
    shutdown (g_socket_get_fd (self->socket), SHUT_WR);
  return TRUE;
}

/* Does not block, and so needs no thread. */
static void
pipe_output_close_async (GOutputStream       *stream,
                         int                  io_priority,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (stream, cancellable, callback, user_data);

  g_task_set_priority (task, io_priority);
  pipe_output_close (stream, cancellable, NULL);
  g_task_return_boolean (task, TRUE);
}

static gboolean
pipe_output_close_finish (GOutputStream  *stream,
                          GAsyncResult   *result,
                          GError        **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
tcp_pipe_output_finalize (GObject *object)
{
  TcpPipeOutput *self = TCP_PIPE_OUTPUT (object);

  g_clear_object (&self->base);
  g_clear_object (&self->socket);
  tcp_pipe_fate_unref (self->fate);

  G_OBJECT_CLASS (tcp_pipe_output_parent_class)->finalize (object);
}

static void
tcp_pipe_output_class_init (TcpPipeOutputClass *klass)
{
  GOutputStreamClass *stream_class = G_OUTPUT_STREAM_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tcp_pipe_output_finalize;
  stream_class->write_fn = pipe_output_write;
  stream_class->close_fn = pipe_output_close;
  stream_class->close_async = pipe_output_close_async;
  stream_class->close_finish = pipe_output_close_finish;
}

static void
tcp_pipe_output_pollable_init (GPollableOutputStreamInterface *iface)
{
  iface->is_writable = pipe_output_is_writable;
  iface->create_source = pipe_output_create_source;
  iface->write_nonblocking = pipe_output_write_nonblocking;
}

static void
tcp_pipe_output_init (TcpPipeOutput *self)
{
}

/* Both directions */

struct _TcpPipe
{
  GSocketConnection parent_instance;
  TcpPipeFate *fate;
  TcpPipeInput *input;
  TcpPipeOutput *output;
};

enum
{
  PROP_ERROR = 1,
};

G_DEFINE_FINAL_TYPE (TcpPipe, tcp_pipe, G_TYPE_SOCKET_CONNECTION)

static GInputStream *
pipe_get_input_stream (GIOStream *stream)
{
  return G_INPUT_STREAM (TCP_PIPE (stream)->input);
}

static GOutputStream *
pipe_get_output_stream (GIOStream *stream)
{
  return G_OUTPUT_STREAM (TCP_PIPE (stream)->output);
}

/* Both directions are closed at once: otherwise the tunnel could see a half-close in between, which not every protocol
 * has. */
static gboolean
pipe_close (GIOStream     *stream,
            GCancellable  *cancellable,
            GError       **error)
{
  g_socket_close (g_socket_connection_get_socket (G_SOCKET_CONNECTION (stream)), NULL);
  return G_IO_STREAM_CLASS (tcp_pipe_parent_class)->close_fn (stream, cancellable, error);
}

static void
tcp_pipe_get_property (GObject    *object,
                       guint       id,
                       GValue     *value,
                       GParamSpec *pspec)
{
  TcpPipe *self = TCP_PIPE (object);

  switch (id)
    {
    case PROP_ERROR:
      g_value_take_boxed (value, fate_dup_error (self->fate, FALSE));
      break;

    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
tcp_pipe_finalize (GObject *object)
{
  TcpPipe *self = TCP_PIPE (object);

  g_clear_object (&self->input);
  g_clear_object (&self->output);
  tcp_pipe_fate_unref (self->fate);

  G_OBJECT_CLASS (tcp_pipe_parent_class)->finalize (object);
}

static void
tcp_pipe_class_init (TcpPipeClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = tcp_pipe_get_property;
  object_class->finalize = tcp_pipe_finalize;
  G_IO_STREAM_CLASS (klass)->get_input_stream = pipe_get_input_stream;
  G_IO_STREAM_CLASS (klass)->get_output_stream = pipe_get_output_stream;
  G_IO_STREAM_CLASS (klass)->close_fn = pipe_close;

  /* For bindings that use the socket itself: see tcp_tunnel_open_async (). */
  g_object_class_install_property (object_class, PROP_ERROR,
                                   g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR,
                                                       G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void
tcp_pipe_init (TcpPipe *self)
{
}

/* Closes @fd if it fails. */
static GSocket *
make_socket (int       fd,
             GError  **error)
{
  GSocket *socket = g_socket_new_from_fd (fd, error);

  if (socket == NULL)
    close (fd);
  return socket;
}

/* @other is the end for the tunnel. */
TcpPipe *
tcp_pipe_new (TcpPipeFate        *fate,
              GSocketConnection **other,
              GError            **error)
{
  int fds[2];
  g_autoptr (GSocket) near = NULL;
  g_autoptr (GSocket) far = NULL;
  GIOStreamClass *base;
  TcpPipe *self;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    {
      int code = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                   _("cannot create a pair of sockets: %s"), g_strerror (code));
      return NULL;
    }
  near = make_socket (fds[0], error);
  far = make_socket (fds[1], near != NULL ? error : NULL);
  if (near == NULL || far == NULL)
    return NULL;

  self = g_object_new (TCP_TYPE_PIPE, "socket", near, NULL);
  base = G_IO_STREAM_CLASS (tcp_pipe_parent_class);
  self->fate = tcp_pipe_fate_ref (fate);
  self->input = g_object_new (TCP_TYPE_PIPE_INPUT, NULL);
  self->input->base = g_object_ref (base->get_input_stream (G_IO_STREAM (self)));
  self->input->fate = tcp_pipe_fate_ref (fate);
  self->output = g_object_new (TCP_TYPE_PIPE_OUTPUT, NULL);
  self->output->base = g_object_ref (base->get_output_stream (G_IO_STREAM (self)));
  self->output->socket = g_object_ref (near);
  self->output->fate = tcp_pipe_fate_ref (fate);
  *other = g_socket_connection_factory_create_connection (far);
  return self;
}
