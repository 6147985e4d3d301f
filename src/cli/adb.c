/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/adb.h"

#include <glib/gi18n.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/process.h"

#define PROGRAM "adb"

enum
{
  FIRST_DELAY = 1,  /* s before adb is asked to connect again */
  MAX_DELAY = 30,   /* s, up to which the delay doubles */
  STEADY_AFTER = 10, /* s of a connection after which the delay restarts */
  PATIENCE = 5,     /* s for adb to disconnect */
};

struct _Adb
{
  TcpTunnel *tunnel;
  const AdbCallbacks *callbacks;
  gpointer data;
  char *device; /* the name of the device in adb */
  GCancellable *cancellable; /* for calls that wait for the end of the process */
  GSubprocess *process;      /* one at a time */
  guint timer;               /* until adb connects again, or must have disconnected */
  guint delay;               /* s, the next one */
  gint64 connected_at;       /* 0 if it is not connected */
  gboolean lost;             /* a connection ended while adb was running */
  gboolean stopping;
  gboolean over;
};

static void adb_connect (Adb *self);

/**
 * adb_check:
 *
 * Returns: whether the program exists
 */
gboolean
adb_check (GError **error)
{
  g_autofree char *path = g_find_program_in_path (PROGRAM);

  if (path == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 _("--adb: there is no program adb in PATH; it is part of the Android platform tools"));
  return path != NULL;
}

/* The address for other programs: the unspecified address cannot be connected to. */
static char *
find_device (TcpTunnel *tunnel)
{
  GInetSocketAddress *local = G_INET_SOCKET_ADDRESS (tcp_endpoint_get_local_address (TCP_ENDPOINT (tunnel)));
  GInetAddress *host = g_inet_socket_address_get_address (local);
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (g_inet_address_get_family (host));
  g_autoptr (GSocketAddress) address =
      g_inet_socket_address_new (g_inet_address_get_is_any (host) ? loopback : host,
                                 g_inet_socket_address_get_port (local));

  return format_address (address);
}

static gboolean
on_delay_over (gpointer data)
{
  Adb *self = data;

  self->timer = 0;
  adb_connect (self);
  return G_SOURCE_REMOVE;
}

/* Returns the delay, in s. */
static guint
adb_connect_later (Adb *self)
{
  guint delay = self->delay;

  self->lost = FALSE;
  self->timer = g_timeout_add_seconds (delay, on_delay_over, self);
  self->delay = MIN (2 * delay, MAX_DELAY);
  return delay;
}

static void
on_connection_closed (TcpTunnel     *tunnel,
                      TcpConnection *connection,
                      Adb           *self)
{
  if (self->stopping)
    return;
  if (self->connected_at > 0 && g_get_monotonic_time () - self->connected_at >= STEADY_AFTER * G_TIME_SPAN_SECOND)
    self->delay = FIRST_DELAY;
  self->connected_at = 0;
  self->lost = TRUE;
  if (self->process == NULL && self->timer == 0)
    adb_connect_later (self);
}

/* Returns what it has printed. Does not wait for the end of the pipe, since the server that it may have started keeps
 * running. */
static char *
read_output (GSubprocess *process)
{
  GPollableInputStream *output = G_POLLABLE_INPUT_STREAM (g_subprocess_get_stdout_pipe (process));
  char text[4096];
  gsize used = 0;
  gssize n;

  do
    {
      n = g_pollable_input_stream_read_nonblocking (output, text + used, sizeof text - used, NULL, NULL);
      used += MAX (n, 0);
    }
  while (n > 0 && used < sizeof text);
  return g_strndup (text, used);
}

/* Returns the line that reports the connection, or NULL. Old versions always exit with status 0. */
static char *
find_success (const char *output)
{
  g_auto (GStrv) lines = g_strsplit (output, "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, "connected to ") || g_str_has_prefix (*line, "already connected to "))
      return format_foreign (g_strchomp (*line));
  return NULL;
}

/* Returns the last non-empty line. */
static char *
find_reason (const char  *output,
             GSubprocess *process)
{
  g_auto (GStrv) lines = g_strsplit (output, "\n", -1);
  g_autofree char *problem = process_describe_end (process);

  for (guint i = g_strv_length (lines); i > 0; i--)
    if (*g_strstrip (lines[i - 1]) != '\0')
      return format_foreign (lines[i - 1]);
  return problem != NULL ? g_steal_pointer (&problem) : g_strdup (_("no reason given"));
}

static void
adb_end (Adb *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  self->over = TRUE;
  self->callbacks->ended (self->data);
}

static void
adb_disconnect (Adb *self);

static void
on_connect_ended (GObject      *object,
                  GAsyncResult *result,
                  gpointer      data)
{
  Adb *self = data;
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *output = NULL;
  g_autofree char *success = NULL;

  /* Otherwise the object is gone. */
  if (!g_subprocess_wait_finish (G_SUBPROCESS (object), result, &error))
    return;
  process = g_steal_pointer (&self->process);
  if (self->over)
    return;
  if (self->stopping)
    {
      adb_disconnect (self);
      return;
    }
  output = read_output (process);
  success = find_success (output);
  if (success != NULL)
    {
      self->connected_at = g_get_monotonic_time ();
      self->callbacks->said (success, self->data);
      if (self->lost)
        adb_connect_later (self);
    }
  else
    {
      g_autofree char *reason = find_reason (output, process);
      guint delay = adb_connect_later (self);
      g_autofree char *problem = g_strdup_printf (_("--adb: adb could not connect to %s: %s; next attempt in %u s"),
                                                  self->device, reason, delay);

      self->callbacks->failed (problem, self->data);
    }
}

static gboolean
adb_run (Adb                 *self,
         const char          *command,
         GAsyncReadyCallback  func,
         GError             **error)
{
  g_autoptr (GSubprocessLauncher) launcher =
      process_launcher (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, TRUE);

  self->process = g_subprocess_launcher_spawn (launcher, error, PROGRAM, command, self->device, NULL);
  if (self->process == NULL)
    return FALSE;
  g_subprocess_wait_async (self->process, self->cancellable, func, self);
  return TRUE;
}

static void
adb_connect (Adb *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *problem = NULL;

  self->lost = FALSE;
  if (adb_run (self, "connect", on_connect_ended, &error))
    return;
  problem = g_strdup_printf (_("--adb: adb cannot be run: %s; next attempt in %u s"), error->message,
                             adb_connect_later (self));
  self->callbacks->failed (problem, self->data);
}

static void
on_disconnect_ended (GObject      *object,
                     GAsyncResult *result,
                     gpointer      data)
{
  Adb *self = data;
  g_autoptr (GError) error = NULL;

  if (!g_subprocess_wait_finish (G_SUBPROCESS (object), result, &error))
    return;
  g_clear_object (&self->process);
  if (!self->over)
    adb_end (self);
}

static gboolean
on_patience_lost (gpointer data)
{
  Adb *self = data;

  self->timer = 0;
  adb_kill (self);
  return G_SOURCE_REMOVE;
}

static void
adb_disconnect (Adb *self)
{
  g_autoptr (GError) error = NULL;

  if (!adb_run (self, "disconnect", on_disconnect_ended, &error))
    adb_end (self);
}

/**
 * adb_new:
 * @tunnel: a tunnel that listens on a TCP port
 *
 * Runs `adb connect`, and again, with a delay, after each connection of the tunnel that has ended.
 */
Adb *
adb_new (TcpTunnel          *tunnel,
         const AdbCallbacks *callbacks,
         gpointer            data)
{
  Adb *self = g_new0 (Adb, 1);

  self->tunnel = g_object_ref (tunnel);
  self->callbacks = callbacks;
  self->data = data;
  self->device = find_device (tunnel);
  self->cancellable = g_cancellable_new ();
  self->delay = FIRST_DELAY;
  g_signal_connect (tunnel, "connection-closed", G_CALLBACK (on_connection_closed), self);
  adb_connect (self);
  return self;
}

void
adb_free (Adb *self)
{
  g_signal_handlers_disconnect_by_data (self->tunnel, self);
  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->timer, g_source_remove);
  g_clear_object (&self->process);
  g_object_unref (self->cancellable);
  g_object_unref (self->tunnel);
  g_free (self->device);
  g_free (self);
}

gboolean
adb_is_running (Adb *self)
{
  return !self->over;
}

/* Signals the current process, but not the server that it may have started. */
static void
send_signal (Adb *self,
             int  number)
{
  if (self->process != NULL)
    g_subprocess_send_signal (self->process, number);
}

/**
 * adb_stop:
 *
 * Runs `adb disconnect`, without which adb would keep trying to connect. Its end is reported.
 */
void
adb_stop (Adb *self)
{
  if (self->stopping)
    return;
  self->stopping = TRUE;
  g_clear_handle_id (&self->timer, g_source_remove);
  self->timer = g_timeout_add_seconds (PATIENCE, on_patience_lost, self);
  if (self->process != NULL)
    send_signal (self, SIGTERM);
  else
    adb_disconnect (self);
}

/* Ends it at once. */
void
adb_kill (Adb *self)
{
  if (self->over)
    return;
  send_signal (self, SIGKILL);
  adb_end (self);
}
