/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE (64 * 1024)

/* One direction: data that was read and is not written yet, and what it waits for. */
typedef struct
{
  GSource *source; /* NULL if it waits for nothing */
  char buffer[BUFFER_SIZE];
  gsize start;
  gsize length;
  gboolean done;
} Direction;

struct _Stdio
{
  TcpTunnel *tunnel;
  StdioFunc func;
  gpointer user_data;
  GCancellable *cancellable; /* for the opening */
  GIOStream *stream;         /* NULL before it is open */
  int out;                   /* stdout, or -1 once it is closed */
  Direction up;
  Direction down;
  gboolean cut_off;    /* the other end did not accept all of stdin */
  gboolean closed;     /* the connection is closed, and it is known whether all data has arrived */
  GError *closed_error;
  guint reader_watch;  /* 0 once stdout is closed, or its reader is gone */
  gboolean unread;
  gboolean away;       /* the gateway cannot be reached, and is waited for */
};

static void up_go_on (Stdio *self);
static void down_go_on (Stdio *self);

static void
direction_stop (Direction *self)
{
  if (self->source != NULL)
    g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
}

/* Takes ownership of @source, whose function has a type of its own. */
static void
direction_wait (Direction   *self,
                GSource     *source,
                GSourceFunc  func,
                Stdio       *stdio)
{
  direction_stop (self);
  self->source = source;
  g_source_set_callback (source, func, stdio, NULL);
  g_source_attach (source, NULL);
}

static GPollableInputStream *
stdio_get_input (Stdio *self)
{
  return G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->stream));
}

static GPollableOutputStream *
stdio_get_output (Stdio *self)
{
  return G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->stream));
}

/* The result */

static void
stdio_end (Stdio        *self,
           const GError *error)
{
  StdioFunc func = g_steal_pointer (&self->func);

  direction_stop (&self->up);
  direction_stop (&self->down);
  if (func != NULL)
    func (error, self->user_data);
}

static void
stdio_end_with (Stdio      *self,
                const char *what,
                const char *why)
{
  g_autoptr (GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "%s%s%s", what, why != NULL ? ": " : "",
                                          why != NULL ? why : "");

  stdio_end (self, error);
}

/* The end of both directions does not mean that all data has arrived. */
static void
stdio_check_done (Stdio *self)
{
  if (!self->up.done || !self->down.done)
    return;
  if (self->cut_off)
    stdio_end_with (self, _("the connection ended before all of stdin was sent"), NULL);
  else if (self->closed)
    stdio_end (self, self->closed_error);
}

static void
on_closed (TcpTunnel     *tunnel,
           TcpConnection *connection,
           Stdio         *self)
{
  self->closed = TRUE;
  self->closed_error = tcp_connection_dup_error (connection);
  stdio_check_done (self);
}

/* From stdin */

static void
up_finish (Stdio *self)
{
  direction_stop (&self->up);
  self->up.done = TRUE;
  g_output_stream_close (g_io_stream_get_output_stream (self->stream), NULL, NULL);
  stdio_check_done (self);
}

/* FALSE if the rest has to wait. The error of a broken connection is available when its input has been read. */
static gboolean
up_write (Stdio *self)
{
  Direction *up = &self->up;
  g_autoptr (GError) error = NULL;
  gssize n = g_pollable_output_stream_write_nonblocking (stdio_get_output (self), up->buffer + up->start, up->length,
                                                         NULL, &error);

  if (n >= 0)
    {
      up->start += n;
      up->length -= n;
      return TRUE;
    }
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return FALSE;

  self->cut_off = TRUE;
  up_finish (self);
  return FALSE;
}

/* After the end of the other direction, only available input is sent, and no further input is waited for. */
static gboolean
stdin_is_over (Stdio *self)
{
  struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };

  return self->down.done && poll (&fd, 1, 0) <= 0;
}

static gboolean
on_stdin (int          fd,
          GIOCondition condition,
          gpointer     data)
{
  Stdio *self = data;
  gssize n = read (STDIN_FILENO, self->up.buffer, BUFFER_SIZE);

  if (n < 0 && errno != EINTR && errno != EAGAIN)
    {
      stdio_end_with (self, _("cannot read stdin"), g_strerror (errno));
      return G_SOURCE_REMOVE;
    }
  self->up.start = 0;
  self->up.length = MAX (n, 0);
  if (n == 0)
    up_finish (self);
  else
    up_go_on (self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_writable (GObject  *stream,
             gpointer  data)
{
  up_go_on (data);
  return G_SOURCE_REMOVE;
}

static void
up_go_on (Stdio *self)
{
  Direction *up = &self->up;

  while (up->length > 0 && up_write (self))
    ;
  if (up->done)
    return;
  if (up->length > 0)
    direction_wait (up, g_pollable_output_stream_create_source (stdio_get_output (self), NULL),
                    (GSourceFunc) (void (*) (void)) on_writable, self);
  else if (stdin_is_over (self))
    up_finish (self);
  else
    direction_wait (up, g_unix_fd_source_new (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR),
                    (GSourceFunc) (void (*) (void)) on_stdin, self);
}

/* To stdout */

/* Writes as much as possible without waiting: stdout is not made non-blocking, since that would affect other processes
 * that use it. A pipe that is writable accepts PIPE_BUF bytes. */
static gssize
stdout_write (Stdio *self)
{
  Direction *down = &self->down;
  struct pollfd fd = { .fd = self->out, .events = POLLOUT };
  gssize n = send (self->out, down->buffer + down->start, down->length, MSG_DONTWAIT | MSG_NOSIGNAL);

  if (n >= 0 || errno != ENOTSOCK)
    return n;
  if (poll (&fd, 1, 0) == 1)
    return write (self->out, down->buffer + down->start, MIN (down->length, PIPE_BUF));
  errno = EAGAIN;
  return -1;
}

/* After a break, stdout stays open until the reason is printed: ssh ends its ProxyCommand as soon as it reads the
 * end. */
static gboolean
stdout_close (Stdio *self)
{
  int fd = self->out;

  g_clear_handle_id (&self->reader_watch, g_source_remove);
  self->out = -1;
  /* The same socket may be stdin as well, and would stay open. */
  shutdown (fd, SHUT_WR);
  return close (fd) == 0;
}

static void
stdout_fail (Stdio *self)
{
  stdio_end_with (self, _("cannot write to stdout"), g_strerror (errno));
}

static void
down_finish (Stdio *self)
{
  direction_stop (&self->down);
  self->down.done = TRUE;
  if (!stdout_close (self))
    stdout_fail (self);
  else if (!self->up.done)
    up_go_on (self);
  else
    stdio_check_done (self);
}

static gboolean
on_readable (GObject  *stream,
             gpointer  data)
{
  Stdio *self = data;
  Direction *down = &self->down;
  g_autoptr (GError) error = NULL;
  gssize n =
      g_pollable_input_stream_read_nonblocking (stdio_get_input (self), down->buffer, BUFFER_SIZE, NULL, &error);

  if (n < 0 && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    {
      stdio_end (self, error);
      return G_SOURCE_REMOVE;
    }
  down->start = 0;
  down->length = MAX (n, 0);
  if (n == 0)
    down_finish (self);
  else
    down_go_on (self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_stdout (int          fd,
           GIOCondition condition,
           gpointer     data)
{
  down_go_on (data);
  return G_SOURCE_REMOVE;
}

static void
down_go_on (Stdio *self)
{
  Direction *down = &self->down;

  while (down->length > 0)
    {
      gssize n = stdout_write (self);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno != EAGAIN)
        {
          stdout_fail (self);
          return;
        }
      if (n < 0)
        break;
      down->start += n;
      down->length -= n;
    }

  if (down->length > 0)
    direction_wait (down, g_unix_fd_source_new (self->out, G_IO_OUT | G_IO_HUP | G_IO_ERR),
                    (GSourceFunc) (void (*) (void)) on_stdout, self);
  else
    direction_wait (down, g_pollable_input_stream_create_source (stdio_get_input (self), NULL),
                    (GSourceFunc) (void (*) (void)) on_readable, self);
}

/* The reader of stdout is gone */

/* While the gateway can be reached, stdin is carried to the other end, which then ends the connection. But the command
 * does not wait for a gateway if its answer cannot be read: the program that has started this one has ended, like ssh
 * when it is killed. */
static void
stdio_check_reader (Stdio *self)
{
  if (self->unread && self->away)
    stdio_end_with (self, _("cannot write to stdout"), g_strerror (EPIPE));
}

static gboolean
on_reader_gone (int          fd,
                GIOCondition condition,
                gpointer     data)
{
  Stdio *self = data;

  self->reader_watch = 0;
  self->unread = TRUE;
  stdio_check_reader (self);
  return G_SOURCE_REMOVE;
}

static void
on_retry_scheduled (TcpTunnel *tunnel,
                    GError    *error,
                    guint      attempt,
                    guint      delay,
                    Stdio     *self)
{
  self->away = TRUE;
  stdio_check_reader (self);
}

static void
on_state_changed (TcpTunnel      *tunnel,
                  TcpTunnelState  state,
                  Stdio          *self)
{
  if (state == TCP_TUNNEL_STATE_CONNECTED)
    self->away = FALSE;
}

/* Creation and destruction */

/* Other output to stdout must not be mixed with the data. */
static gboolean
take_stdout (Stdio   *self,
             GError **error)
{
  int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);
  gboolean taken = null >= 0 && (self->out = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) >= 0 &&
                   dup2 (null, STDOUT_FILENO) >= 0;

  if (!taken)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), _("cannot write to stdout: %s"), g_strerror (errno));
  if (null >= 0)
    close (null);
  return taken;
}

/* Called before the tunnel is started, which does not listen then. */
Stdio *
stdio_new (TcpTunnel  *tunnel,
           StdioFunc   func,
           gpointer    user_data,
           GError    **error)
{
  g_autoptr (Stdio) self = g_rc_box_new0 (Stdio);

  self->tunnel = g_object_ref (tunnel);
  self->func = func;
  self->user_data = user_data;
  self->cancellable = g_cancellable_new ();
  self->out = -1;
  if (!take_stdout (self, error))
    return NULL;
  g_object_set (tunnel, "listen", FALSE, NULL);
  g_signal_connect (tunnel, "connection-closed", G_CALLBACK (on_closed), self);
  g_signal_connect (tunnel, "retry-scheduled", G_CALLBACK (on_retry_scheduled), self);
  g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), self);
  /* A pipe or a socket without a reader is detected even while nothing is written to it. */
  self->reader_watch = g_unix_fd_add (self->out, G_IO_ERR | G_IO_HUP, on_reader_gone, self);
  signal (SIGPIPE, SIG_IGN);
  return g_steal_pointer (&self);
}

static void
on_opened (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GIOStream) stream = tcp_tunnel_open_finish (TCP_TUNNEL (object), result, &error);
  Stdio *self = data;

  if (self->func != NULL && stream != NULL)
    {
      self->stream = g_steal_pointer (&stream);
      down_go_on (self);
      up_go_on (self);
    }
  else
    {
      stdio_end (self, error);
    }
  g_rc_box_release (self);
}

/* Called when the tunnel has started. */
void
stdio_begin (Stdio *self)
{
  tcp_tunnel_open_async (self->tunnel, NULL, self->cancellable, on_opened, g_rc_box_acquire (self));
}

void
stdio_free (Stdio *self)
{
  self->func = NULL;
  g_cancellable_cancel (self->cancellable);
  direction_stop (&self->up);
  direction_stop (&self->down);
  g_clear_error (&self->closed_error);
  g_clear_handle_id (&self->reader_watch, g_source_remove);
  g_signal_handlers_disconnect_by_data (self->tunnel, self);
  g_clear_object (&self->stream);
  g_clear_object (&self->tunnel);
  g_clear_object (&self->cancellable);
  if (self->out >= 0)
    close (self->out);
  self->out = -1;
  g_rc_box_release (self);
}
