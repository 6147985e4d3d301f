/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/pipe-opener.h"

#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"
#include "base/lock.h"
#include "base/ref-count.h"
#include "base/tsan.h"
#include "io/descriptors.h"
#include "tunnel/pipe.h"

struct _TcpPipeOpener
{
  TcpOpener base;
  gatomicrefcount refs;
  char *target;
  GTask *task;   /* NULL once it has ended */
  TcpPipe *pipe; /* for the application; likewise */
  TcpPipeFate *fate;

  TcpLock lock; /* for the next three: a cancellation may arrive while the handler is being connected */
  gboolean over;
  GCancellable *cancellable; /* NULL if it is not watched */
  gulong cancelled_id;

  /* on the I/O thread */
  TcpStream *stream; /* not counted */
  gboolean cancelled;
};

/* The result of the task, while it is passed to the thread of the task, where all objects that the application may see
 * are freed. */
typedef struct
{
  GTask *task;
  TcpPipe *pipe;
  GError *error; /* nullable */
  GCancellable *cancellable;
  gulong cancelled_id;
} Result;

static void
result_free (gpointer data)
{
  Result *self = data;

  g_clear_object (&self->task);
  g_clear_object (&self->pipe);
  g_clear_object (&self->cancellable);
  g_clear_error (&self->error);
  g_free (self);
}

static gboolean
result_return (gpointer data)
{
  Result *self = data;

  tcp_tsan_acquire (self);
  /* g_cancellable_disconnect () would wait for running handlers: one of them may have led here. */
  if (self->cancellable != NULL)
    g_signal_handler_disconnect (self->cancellable, self->cancelled_id);
  if (self->error != NULL)
    g_task_return_error (self->task, g_steal_pointer (&self->error));
  else
    g_task_return_pointer (self->task, g_steal_pointer (&self->pipe), g_object_unref);
  return G_SOURCE_REMOVE;
}

/* Takes ownership of @error. */
static void
opener_end (TcpPipeOpener *self,
            GError        *error)
{
  g_autoptr (GSource) source = NULL;
  GMainContext *context;
  Result *result;

  if (self->task == NULL)
    {
      g_clear_error (&error);
      return;
    }

  result = g_new0 (Result, 1);
  result->task = g_steal_pointer (&self->task);
  result->pipe = g_steal_pointer (&self->pipe);
  result->error = error;
  tcp_lock (&self->lock);
  self->over = TRUE;
  result->cancellable = g_steal_pointer (&self->cancellable);
  result->cancelled_id = self->cancelled_id;
  tcp_unlock (&self->lock);
  source = g_idle_source_new ();
  /* Earlier signals are emitted first, if they are emitted in the same context. */
  g_source_set_priority (source, g_task_get_priority (result->task) + 1);
  g_source_set_static_name (source, "[tcptunnel] open");
  g_source_set_callback (source, result_return, result, result_free);
  context = g_task_get_context (result->task);
  tcp_tsan_release (result);
  g_source_attach (source, context);
}

/* Resets the stream, which is not needed any more. */
static void
opener_give_up (TcpPipeOpener *self)
{
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_RESET,
                                                  _("the application gave up the opening of the stream"));

  tcp_stream_mark_left (self->stream);
  tcp_stream_reset (self->stream, error);
}

static void
pipe_opened (TcpOpener *opener,
             TcpStream *stream)
{
  TcpPipeOpener *self = (TcpPipeOpener *) opener;

  self->stream = stream;
  /* The stream has it now. */
  g_clear_object (&self->base.connection);
  if (self->cancelled)
    opener_give_up (self);
}

static void
pipe_connected (TcpOpener *opener,
                TcpStream *stream)
{
  opener_end ((TcpPipeOpener *) opener, NULL);
}

static void
pipe_closed (TcpOpener    *opener,
             TcpStream    *stream,
             const GError *error)
{
  TcpPipeOpener *self = (TcpPipeOpener *) opener;

  self->stream = NULL;
  if (error != NULL)
    tcp_pipe_fate_decide (self->fate, error, stream != NULL && tcp_stream_output_has_ended (stream));
  opener_end (self, error != NULL ? g_error_copy (error) : NULL);
  tcp_pipe_opener_unref (self);
}

static const TcpOpenerClass opener_class = {
  .opened = pipe_opened,
  .connected = pipe_connected,
  .closed = pipe_closed,
};

/* The reference belongs to the code that serves it, and is dropped with the last call of the opener. */
TcpPipeOpener *
tcp_pipe_opener_new (GTask       *task,
                     const char  *target,
                     GError     **error)
{
  g_autoptr (TcpPipeOpener) self = g_new0 (TcpPipeOpener, 1);
  g_autoptr (GError) local = NULL;

  g_atomic_ref_count_init (&self->refs);
  tcp_lock_init (&self->lock);
  self->base.class = &opener_class;
  self->base.target = self->target = g_strdup (target);
  self->fate = tcp_pipe_fate_new ();
  self->pipe = tcp_pipe_new (self->fate, &self->base.connection, &local);
  if (self->pipe == NULL)
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, local->message);
      return NULL;
    }
  if (!tcp_descriptors_suffice (g_socket_get_fd (g_socket_connection_get_socket (self->base.connection))))
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, tcp_descriptors_get_advice ());
      return NULL;
    }

  self->task = g_object_ref (task);
  return g_steal_pointer (&self);
}

/* Called before it is served. @on_cancelled is called in any thread, perhaps from within this function; @data is kept
 * for it. */
void
tcp_pipe_opener_watch (TcpPipeOpener  *self,
                       GCallback       on_cancelled,
                       gpointer        data,
                       GDestroyNotify  destroy)
{
  GCancellable *cancellable = g_task_get_cancellable (self->task);

  gulong id = g_cancellable_connect (cancellable, on_cancelled, data, destroy);
  gboolean over;

  if (id == 0)
    return;

  tcp_lock (&self->lock);
  over = self->over;
  if (!over)
    self->cancellable = g_object_ref (cancellable);
  self->cancelled_id = id;
  tcp_unlock (&self->lock);
  if (over)
    g_signal_handler_disconnect (cancellable, id);
}

TcpPipeOpener *
tcp_pipe_opener_ref (TcpPipeOpener *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_pipe_opener_unref (TcpPipeOpener *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  /* A request to the I/O thread has no effect in a forked child. */
  if (self->task != NULL)
    opener_end (self, g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE,
                                           _("the tunnel does not run")));
  g_clear_object (&self->pipe);
  g_clear_object (&self->base.connection);
  tcp_pipe_fate_unref (self->fate);
  tcp_lock_clear (&self->lock);
  g_free (self->target);
  g_free (self);
}

/* Cancels it if the gateway has not connected yet. */
void
tcp_pipe_opener_cancel (TcpPipeOpener *self)
{
  if (self->task == NULL)
    return;

  opener_end (self, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                         _("the opening of the stream was cancelled")));
  self->cancelled = TRUE;
  if (self->stream != NULL)
    opener_give_up (self);
}

gboolean
tcp_pipe_opener_is_cancelled (TcpPipeOpener *self)
{
  return self->cancelled;
}
