/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/status-server.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#include "cli/json.h"

enum
{
  MAX_ANSWERS = 16,   /* at a time; further clients are closed without an answer */
  ANSWER_TIMEOUT = 5, /* s, for a client that does not read */
};

/* The directory of the files of services, whose unit has RuntimeDirectory=tcp-tunnel. */
#define SERVICE_DIRECTORY "/run/tcp-tunnel"

struct _StatusServer
{
  char *command;
  GDateTime *started;
  StatusFunc describe;
  gpointer data;
  char *path;
  GSocketService *service;
  guint answers;
};

typedef struct
{
  StatusServer *server;
  GSocketConnection *connection;
  char *text;
} Answer;

/**
 * status_server_list_directories:
 *
 * Returns: (transfer full): the directories in which sockets of running commands may be, those of this user first
 */
GStrv
status_server_list_directories (void)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *own = g_build_filename (g_get_user_runtime_dir (), "tcp-tunnel", NULL);

  g_strv_builder_add (builder, own);
  if (strcmp (own, SERVICE_DIRECTORY) != 0)
    g_strv_builder_add (builder, SERVICE_DIRECTORY);
  return g_strv_builder_end (builder);
}

/* A random part distinguishes processes of several PID namespaces. */
static char *
make_name (void)
{
  return g_strdup_printf ("%d-%08x.sock", (int) getpid (), g_random_int ());
}

/**
 * status_server_parse_name:
 * @pid: (out): the process that the socket belongs to
 *
 * Returns: whether @name is that of a socket of this program
 */
gboolean
status_server_parse_name (const char *name,
                          int        *pid)
{
  char *end;
  gint64 number = g_ascii_strtoll (name, &end, 10);

  if (number <= 0 || number > G_MAXINT || *end != '-' || !g_str_has_suffix (end, ".sock"))
    return FALSE;
  *pid = number;
  return TRUE;
}

/* A directory in which another user could replace the socket is not used. */
static gboolean
prepare_directory (const char *path)
{
  struct stat info;

  return g_mkdir_with_parents (path, 0700) == 0 && lstat (path, &info) == 0 && S_ISDIR (info.st_mode) &&
         info.st_uid == geteuid () && (info.st_mode & 022) == 0;
}

static char *
choose_directory (void)
{
  const char *service = g_getenv ("RUNTIME_DIRECTORY");

  /* If a unit has several directories, this is a list separated by colons. */
  if (service != NULL && *service != '\0')
    return g_strndup (service, strcspn (service, ":"));
  return g_build_filename (g_get_user_runtime_dir (), "tcp-tunnel", NULL);
}

static char *
make_document (StatusServer *self)
{
  JsonBuilder *builder = json_builder_new ();
  g_autofree char *started = g_date_time_format_iso8601 (self->started);

  json_builder_begin_object (builder);
  event_add_string (builder, "command", self->command);
  event_add_int (builder, "pid", getpid ());
  event_add_string (builder, "version", TCP_TUNNEL_VERSION_S);
  event_add_string (builder, "started", started);
  self->describe (builder, self->data);
  return event_end_text (builder);
}

/* Answers in progress hold a reference. */
static void
server_clear (gpointer data)
{
  StatusServer *self = data;

  g_object_unref (self->service);
  g_date_time_unref (self->started);
  g_free (self->path);
  g_free (self->command);
}

static void
on_answered (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  Answer *answer = data;

  g_output_stream_write_all_finish (G_OUTPUT_STREAM (object), result, NULL, NULL);
  g_io_stream_close (G_IO_STREAM (answer->connection), NULL, NULL);
  answer->server->answers--;
  g_rc_box_release_full (answer->server, server_clear);
  g_object_unref (answer->connection);
  g_free (answer->text);
  g_free (answer);
}

static gboolean
on_incoming (GSocketService    *service,
             GSocketConnection *connection,
             GObject           *source,
             StatusServer      *self)
{
  Answer *answer;

  if (self->answers == MAX_ANSWERS)
    return FALSE;

  self->answers++;
  g_socket_set_timeout (g_socket_connection_get_socket (connection), ANSWER_TIMEOUT);
  answer = g_new0 (Answer, 1);
  answer->server = g_rc_box_acquire (self);
  answer->connection = g_object_ref (connection);
  answer->text = make_document (self);
  g_output_stream_write_all_async (g_io_stream_get_output_stream (G_IO_STREAM (connection)), answer->text,
                                   strlen (answer->text), G_PRIORITY_DEFAULT, NULL, on_answered, answer);
  return FALSE;
}

/* The file gets the mode of the descriptor when it is created; and it gets its final path only when the socket listens,
 * or other programs would consider it left behind. */
static GSocket *
make_socket (const char *path)
{
  g_autofree char *early = g_strconcat (path, ".new", NULL);
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
  g_autoptr (GSocketAddress) address = NULL;

  if (socket == NULL || fchmod (g_socket_get_fd (socket), 0600) != 0 || strlen (early) > 107)
    return NULL;
  address = g_unix_socket_address_new (early);
  if (!g_socket_bind (socket, address, FALSE, NULL))
    return NULL;
  if (!g_socket_listen (socket, NULL) || g_rename (early, path) != 0)
    {
      g_unlink (early);
      return NULL;
    }
  return g_steal_pointer (&socket);
}

/**
 * status_server_new:
 * @command: the running command
 * @describe: adds the description for a client
 *
 * Returns: (nullable): the server, or %NULL if there is no place for its socket. The command
 *   runs nevertheless: it is only missing in the output of `tcp-tunnel status`.
 */
StatusServer *
status_server_new (const char *command,
                   StatusFunc  describe,
                   gpointer    data)
{
  g_autofree char *directory = choose_directory ();
  g_autofree char *name = make_name ();
  g_autofree char *path = g_build_filename (directory, name, NULL);
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketService) service = g_socket_service_new ();
  StatusServer *self;

  if (!prepare_directory (directory) || (socket = make_socket (path)) == NULL)
    return NULL;
  if (!g_socket_listener_add_socket (G_SOCKET_LISTENER (service), socket, NULL, NULL))
    {
      g_unlink (path);
      return NULL;
    }

  self = g_rc_box_new0 (StatusServer);
  self->command = g_strdup (command);
  self->started = g_date_time_new_now_utc ();
  self->describe = describe;
  self->data = data;
  self->path = g_steal_pointer (&path);
  self->service = g_steal_pointer (&service);
  g_signal_connect (self->service, "incoming", G_CALLBACK (on_incoming), self);
  return self;
}

void
status_server_free (StatusServer *self)
{
  g_signal_handlers_disconnect_by_data (self->service, self);
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_unlink (self->path);
  g_rc_box_release_full (self, server_clear);
}
