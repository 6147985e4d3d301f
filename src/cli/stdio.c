/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum
{
  PUMP_SIZE = 64 * 1024,   /* bytes */
  REPORT_TIMEOUT_MS = 100, /* the tunnel reports a break at once, as a rule */
};

/* One direction, on a thread of its own, since stdin and stdout may be anything and
 * block: making them non-blocking would change them for other processes too. */
typedef struct
{
  int from;
  int to;
  int stop; /* readable when what is there now is to be the last; or -1 */
  gboolean done;
  int broken; /* the descriptor that failed */
  GError *error;
} Pump;

struct _Stdio
{
  TcpTunnel *tunnel;
  StdioFunc func;
  gpointer user_data;
  char *directory;
  char *path;
  GSocket *socket;
  GCancellable *remote_ended;
  Pump up;
  Pump down;
  guint report_timer; /* runs after the end of the data, until the tunnel reports how it ended */
  guint reader_watch; /* 0 once stdout is closed, or nobody reads it any more */
  gboolean unread;
  gboolean away; /* the gateway, which is waited for */
  gboolean opened;
  gboolean closed;
  GError *closed_error;
};

/* The threads keep it, as one that waits for stdin is not waited for. */
static void
stdio_clear (gpointer data)
{
  Stdio *self = data;

  if (self->down.to >= 0)
    close (self->down.to);
  g_clear_object (&self->socket);
  g_clear_object (&self->remote_ended);
  g_clear_error (&self->up.error);
  g_clear_error (&self->down.error);
  g_clear_error (&self->closed_error);
  g_free (self->directory);
  g_free (self->path);
}

static void
stdio_unref (gpointer self)
{
  g_atomic_rc_box_release_full (self, stdio_clear);
}

/* The threads */

/* Bytes, 0 at the end or when it was stopped, -1 if it failed. */
static gssize
read_some (Pump *pump,
           char *buffer)
{
  struct pollfd fds[] = { { .fd = pump->from, .events = POLLIN },
                          { .fd = pump->stop, .events = POLLIN } };
  gssize n;

  do
    {
      n = poll (fds, G_N_ELEMENTS (fds), -1);
      if (n > 0 && fds[0].revents == 0)
        return 0;
      if (n > 0)
        n = read (pump->from, buffer, PUMP_SIZE);
    }
  while (n < 0 && (errno == EINTR || errno == EAGAIN));

  return n;
}

static gboolean
write_all (int         fd,
           const char *data,
           gsize       length)
{
  struct pollfd wanted = { .fd = fd, .events = POLLOUT };

  while (length > 0)
    {
      gssize n = write (fd, data, length);

      if (n < 0 && errno == EAGAIN)
        poll (&wanted, 1, -1);
      else if (n < 0 && errno != EINTR)
        return FALSE;
      data += MAX (n, 0);
      length -= MAX (n, 0);
    }
  return TRUE;
}

static gboolean
pump_fail (Pump *self,
           int   descriptor)
{
  int code = errno;

  self->broken = descriptor;
  g_set_error_literal (&self->error, G_IO_ERROR, g_io_error_from_errno (code), g_strerror (code));
  return FALSE;
}

static gboolean
pump_run (Pump *self)
{
  g_autofree char *buffer = g_malloc (PUMP_SIZE);
  gssize n;

  while ((n = read_some (self, buffer)) > 0)
    if (!write_all (self->to, buffer, n))
      return pump_fail (self, self->to);

  return n == 0 || pump_fail (self, self->from);
}

static gboolean on_up_done (gpointer data);
static gboolean on_down_done (gpointer data);

/* The signals of the tunnel that came before are to be seen before. */
static void
tell (Stdio       *self,
      GSourceFunc  func)
{
  g_idle_add_full (G_PRIORITY_LOW, func, self, stdio_unref);
}

static gpointer
run_up (gpointer data)
{
  Stdio *self = data;

  if (pump_run (&self->up))
    shutdown (self->up.to, SHUT_WR);
  tell (self, on_up_done);
  return NULL;
}

static gpointer
run_down (gpointer data)
{
  Stdio *self = data;

  pump_run (&self->down);
  /* What waits in stdin is sent, what may come later is not waited for. */
  g_cancellable_cancel (self->remote_ended);
  tell (self, on_down_done);
  return NULL;
}

/* The result */

static void
stdio_end (Stdio        *self,
           const GError *error)
{
  StdioFunc func = g_steal_pointer (&self->func);

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

/* What the socket says is not enough: a connection that broke may look like one that
 * has ended. */
static void
stdio_judge (Stdio *self)
{
  if (!self->down.done)
    return;

  if (!self->opened)
    stdio_end_with (self, "the tunnel did not take the connection", NULL);
  else if (self->closed_error != NULL)
    stdio_end (self, self->closed_error);
  else if (!self->closed || !self->up.done)
    return;
  else if (self->up.error != NULL)
    stdio_end_with (self, "the connection ended before all of stdin was sent", NULL);
  else if (self->down.error != NULL)
    stdio_end_with (self, "the connection broke", self->down.error->message);
  else
    stdio_end (self, NULL);
}

static gboolean
on_up_done (gpointer data)
{
  Stdio *self = data;

  self->up.done = TRUE;
  if (self->up.error != NULL && self->up.broken == self->up.from)
    stdio_end_with (self, "cannot read stdin", self->up.error->message);
  else
    stdio_judge (self);
  return G_SOURCE_REMOVE;
}

static void
close_stdout (Stdio *self)
{
  g_clear_handle_id (&self->reader_watch, g_source_remove);
  /* A socket may be stdin as well, and would stay open. */
  shutdown (self->down.to, SHUT_WR);
  if (close (self->down.to) < 0)
    pump_fail (&self->down, self->down.to);
  self->down.to = -1;
}

/* After a break stdout stays open until the reason is printed: ssh hangs up on its ProxyCommand
 * as soon as it reads the end. */
static void
finish_down (Stdio *self)
{
  if (self->down.error == NULL && self->closed_error == NULL)
    close_stdout (self);
  if (self->down.error != NULL && self->down.broken != self->down.from)
    stdio_end_with (self, "cannot write to stdout", self->down.error->message);
  else
    stdio_judge (self);
}

static gboolean
on_report_timeout (gpointer data)
{
  Stdio *self = data;

  self->report_timer = 0;
  finish_down (self);
  return G_SOURCE_REMOVE;
}

/* A connection that ends in order may not be closed soon: stdin may still have to be sent. */
static gboolean
on_down_done (gpointer data)
{
  Stdio *self = data;

  self->down.done = TRUE;
  if (self->func != NULL && self->down.error == NULL && !self->closed)
    self->report_timer = g_timeout_add (REPORT_TIMEOUT_MS, on_report_timeout, self);
  else
    finish_down (self);
  return G_SOURCE_REMOVE;
}

static void
on_opened (TcpTunnel     *tunnel,
           TcpConnection *connection,
           Stdio         *self)
{
  self->opened = TRUE;
}

static void
on_closed (TcpTunnel     *tunnel,
           TcpConnection *connection,
           Stdio         *self)
{
  self->closed = TRUE;
  self->closed_error = tcp_connection_dup_error (connection);
  if (self->report_timer == 0)
    {
      stdio_judge (self);
      return;
    }
  g_clear_handle_id (&self->report_timer, g_source_remove);
  finish_down (self);
}

/* While the gateway is there, what stdin holds is carried to the other end, and that ends the
 * connection. But nobody waits for a gateway whose answer nobody reads: the program that
 * started this one has ended, as ssh when it is killed. */
static void
stdio_check_reader (Stdio *self)
{
  if (self->unread && self->away)
    stdio_end_with (self, "cannot write to stdout", g_strerror (EPIPE));
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

static void
remove_directory (Stdio *self)
{
  if (self->directory == NULL)
    return;
  g_unlink (self->path);
  g_rmdir (self->directory);
  g_clear_pointer (&self->directory, g_free);
}

/* The path of a socket has to be short. */
static gboolean
make_directory (Stdio   *self,
                GError **error)
{
  const char *name = "tcp-tunnel-XXXXXX/socket";
  gsize most = sizeof ((struct sockaddr_un *) NULL)->sun_path - strlen (name) - 2;
  const char *parent = strlen (g_get_tmp_dir ()) <= most ? g_get_tmp_dir () : "/tmp";
  g_autofree char *directory = g_build_filename (parent, "tcp-tunnel-XXXXXX", NULL);

  if (g_mkdtemp (directory) == NULL)
    {
      int code = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "cannot create the directory %s: %s", directory,
                   g_strerror (code));
      return FALSE;
    }
  self->path = g_build_filename (directory, "socket", NULL);
  self->directory = g_steal_pointer (&directory);
  return TRUE;
}

/* What else might be written to stdout is not to get between the data. */
static gboolean
take_stdout (Stdio   *self,
             GError **error)
{
  int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);
  gboolean taken = null >= 0 && (self->down.to = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) >= 0 &&
                   dup2 (null, STDOUT_FILENO) >= 0;

  if (!taken)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "cannot write to stdout: %s", g_strerror (errno));
  if (null >= 0)
    close (null);
  return taken;
}

/* Before the tunnel is started, whose socket-path this sets. */
Stdio *
stdio_new (TcpTunnel  *tunnel,
           StdioFunc   func,
           gpointer    user_data,
           GError    **error)
{
  g_autoptr (Stdio) self = g_atomic_rc_box_new0 (Stdio);

  self->tunnel = g_object_ref (tunnel);
  self->func = func;
  self->user_data = user_data;
  self->remote_ended = g_cancellable_new ();
  self->down.to = -1;
  if (!take_stdout (self, error))
    return NULL;
  if (!make_directory (self, error))
    return NULL;
  g_object_set (tunnel, "socket-path", self->path, NULL);
  g_signal_connect (tunnel, "connection-opened", G_CALLBACK (on_opened), self);
  g_signal_connect (tunnel, "connection-closed", G_CALLBACK (on_closed), self);
  g_signal_connect (tunnel, "retry-scheduled", G_CALLBACK (on_retry_scheduled), self);
  g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), self);
  /* A pipe or a socket without a reader says so also while nothing is written to it. */
  self->reader_watch = g_unix_fd_add (self->down.to, G_IO_ERR | G_IO_HUP, on_reader_gone, self);
  signal (SIGPIPE, SIG_IGN);
  return g_steal_pointer (&self);
}

static void
stdio_spawn (Stdio       *self,
             const char  *name,
             GThreadFunc  func)
{
  g_thread_unref (g_thread_new (name, func, g_atomic_rc_box_acquire (self)));
}

/* When the tunnel has started. */
void
stdio_begin (Stdio *self)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (self->path);
  g_autoptr (GError) error = NULL;

  self->socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, &error);
  if (self->socket == NULL || !g_socket_connect (self->socket, address, NULL, &error))
    {
      stdio_end (self, error);
      return;
    }
  remove_directory (self);

  self->up.from = STDIN_FILENO;
  self->up.to = g_socket_get_fd (self->socket);
  self->up.stop = g_cancellable_get_fd (self->remote_ended);
  self->down.from = g_socket_get_fd (self->socket);
  self->down.stop = -1;
  stdio_spawn (self, "stdin", run_up);
  stdio_spawn (self, "stdout", run_down);
}

void
stdio_free (Stdio *self)
{
  self->func = NULL;
  g_clear_handle_id (&self->report_timer, g_source_remove);
  g_clear_handle_id (&self->reader_watch, g_source_remove);
  g_signal_handlers_disconnect_by_data (self->tunnel, self);
  g_clear_object (&self->tunnel);
  remove_directory (self);
  stdio_unref (self);
}
