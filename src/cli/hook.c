/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/hook.h"

#include <gio/gunixsocketaddress.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/forwards.h"
#include "cli/process.h"
#include "cli/view.h"

enum
{
  PATIENCE = 5,   /* s between SIGTERM and SIGKILL */
  MAX_READS = 32, /* in one call; in total more than a pipe holds */
};

struct _Hook
{
  GSubprocess *process;
  pid_t group;
  GCancellable *cancellable; /* for calls that wait for its end */
  GInputStream *output;
  GSource *source;
  HookFunc ended;
  gpointer data;
  guint timeout;
  gboolean stopped;
  gboolean exited;
  gboolean silent; /* no process is left that could print, or that is waited for */
  gboolean over;
  gsize used;
  char line[4096]; /* the incomplete line */
};

static void
print_line (Hook  *self,
            gsize  length)
{
  view_print (stderr, "%.*s\n", (int) length, self->line);
}

/* Prints whole lines, or as much of one as there is room for. */
static void
print_lines (Hook *self)
{
  char *end;

  while ((end = memchr (self->line, '\n', self->used)) != NULL)
    {
      gsize length = end - self->line;

      print_line (self, length);
      self->used -= length + 1;
      memmove (self->line, end + 1, self->used);
    }
  if (self->used == sizeof self->line)
    {
      print_line (self, self->used);
      self->used = 0;
    }
}

static void
print_rest (Hook *self)
{
  if (self->used > 0)
    print_line (self, self->used);
  self->used = 0;
}

/* When the shell is ended by a signal, processes that it has started may still run. */
static void
check_end (Hook *self)
{
  g_autofree char *problem = NULL;

  if (self->over || !self->exited || (self->stopped && !self->silent))
    return;
  self->over = TRUE;
  g_clear_handle_id (&self->timeout, g_source_remove);
  print_rest (self);
  /* The effect of our own signal is not a fault of the command. */
  if (!self->stopped)
    problem = process_describe_end (self->process);
  self->ended (problem, self->data);
}

/* Reads the available output. It is printed to stderr, above the live lines. */
static gboolean
on_output (GObject  *stream,
           gpointer  data)
{
  Hook *self = data;

  for (guint i = 0; i < MAX_READS; i++)
    {
      g_autoptr (GError) error = NULL;
      gssize n = g_pollable_input_stream_read_nonblocking (
          G_POLLABLE_INPUT_STREAM (stream), self->line + self->used,
          sizeof self->line - self->used, NULL, &error);

      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
      if (n <= 0)
        {
          print_rest (self);
          self->silent = TRUE;
          check_end (self);
          return G_SOURCE_REMOVE;
        }
      self->used += n;
      print_lines (self);
    }
  return G_SOURCE_CONTINUE;
}

static void
on_end (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  GSubprocess *process = G_SUBPROCESS (object);
  Hook *self = data;
  g_autoptr (GError) error = NULL;

  /* Otherwise the hook is gone. */
  if (!g_subprocess_wait_finish (process, result, &error))
    return;
  self->exited = TRUE;
  on_output (G_OBJECT (self->output), self);
  check_end (self);
}

static void
set_environment (GSubprocessLauncher *launcher,
                 const char          *name,
                 TcpTunnel           *tunnel)
{
  GSocketAddress *local = tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel));
  g_autofree char *path = NULL;
  g_autofree char *host = NULL;
  g_autofree char *port = NULL;
  guint number;
  g_autofree char *place G_GNUC_UNUSED = format_place (tunnel, &host, &number);
  g_autofree char *forwards = forwards_list (tunnel);

  if (G_IS_UNIX_SOCKET_ADDRESS (local))
    path = g_strdup (g_unix_socket_address_get_path (G_UNIX_SOCKET_ADDRESS (local)));
  if (host != NULL)
    port = g_strdup_printf ("%u", number);
  g_subprocess_launcher_setenv (launcher, "TCP_TUNNEL_NAME", name != NULL ? name : "", TRUE);
  g_subprocess_launcher_setenv (launcher, "TCP_TUNNEL_HOST", host != NULL ? host : "", TRUE);
  g_subprocess_launcher_setenv (launcher, "TCP_TUNNEL_PORT", port != NULL ? port : "", TRUE);
  g_subprocess_launcher_setenv (launcher, "TCP_TUNNEL_SOCKET", path != NULL ? path : "", TRUE);
  g_subprocess_launcher_setenv (launcher, "TCP_TUNNEL_FORWARDS", forwards, TRUE);
}

/**
 * hook_new:
 * @command: the command for the shell
 * @name: (nullable): the name of the tunnel
 * @ended: called once when the command has ended, but not before this returns
 */
Hook *
hook_new (const char  *command,
          const char  *name,
          TcpTunnel   *tunnel,
          HookFunc     ended,
          gpointer     data,
          GError     **error)
{
  g_autoptr (GSubprocessLauncher) launcher =
      process_launcher (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, TRUE);
  g_autoptr (GSubprocess) process = NULL;
  const char *pid; /* NULL if it has exited by now */
  Hook *self;

  set_environment (launcher, name, tunnel);
  process = process_spawn (launcher, command, error);
  if (process == NULL)
    return NULL;

  self = g_new0 (Hook, 1);
  pid = g_subprocess_get_identifier (process);
  self->group = pid != NULL ? atoi (pid) : 0;
  self->ended = ended;
  self->data = data;
  self->cancellable = g_cancellable_new ();
  self->output = g_object_ref (g_subprocess_get_stdout_pipe (process));
  self->source =
      g_pollable_input_stream_create_source (G_POLLABLE_INPUT_STREAM (self->output), NULL);
  g_source_set_callback (self->source, G_SOURCE_FUNC (on_output), self, NULL);
  g_source_attach (self->source, NULL);
  g_subprocess_wait_async (process, self->cancellable, on_end, self);
  self->process = g_steal_pointer (&process);
  return self;
}

void
hook_free (Hook *self)
{
  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->timeout, g_source_remove);
  g_source_destroy (self->source);
  g_source_unref (self->source);
  g_object_unref (self->output);
  g_object_unref (self->process);
  g_object_unref (self->cancellable);
  g_free (self);
}

static void
send_signal (Hook *self,
             int   number)
{
  if (self->group > 0)
    kill (-self->group, number);
}

static gboolean
on_patience_lost (gpointer data)
{
  Hook *self = data;

  self->timeout = 0;
  hook_kill (self);
  return G_SOURCE_REMOVE;
}

gboolean
hook_is_running (Hook *self)
{
  return !self->over;
}

/**
 * hook_stop:
 *
 * Ends a running command, and all processes that it has started. Its function is called when that is done.
 */
void
hook_stop (Hook *self)
{
  if (self->stopped)
    return;
  self->stopped = TRUE;
  /* It has exited, and left no process to signal. */
  if (self->group == 0)
    {
      hook_kill (self);
      return;
    }
  send_signal (self, SIGTERM);
  /* A command that tried to read from the terminal was stopped. */
  send_signal (self, SIGCONT);
  self->timeout = g_timeout_add_seconds (PATIENCE, on_patience_lost, self);
}

/* Ends, at once, a command that was asked to end and may not do so. */
void
hook_kill (Hook *self)
{
  send_signal (self, SIGKILL);
  self->silent = TRUE;
  check_end (self);
}
