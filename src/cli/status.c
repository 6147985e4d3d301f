/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shows the state of all running commands of this user: each is queried over its socket. */

#include <gio/gunixsocketaddress.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/status-server.h"
#include "cli/view.h"

enum
{
  ANSWER_TIMEOUT = 2000,            /* ms, for the whole answer: a process may be stopped */
  MAX_ANSWER = 1024 * 1024,         /* bytes */
  MAX_DEPTH = 16,                   /* of nested arrays and objects */
  MAX_PROCESSES = 256,              /* that are queried, in all directories together */
  MAX_SOCKETS = 65536,              /* in a directory, most of which may be left behind */
  MAX_NAME = 24,                    /* columns */
  WATCH_INTERVAL = 1000,            /* ms */
};

static struct
{
  gboolean watch;
  gboolean json;
} options;

static const GOptionEntry entries[] = {
  { "watch", 0, 0, G_OPTION_ARG_NONE, &options.watch,
    N_("Show it again every second, until interrupted"), NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json,
    N_("Print one object in JSON"), NULL },
  G_OPTION_ENTRY_NULL,
};

static const char description[] =
    N_("Shows each 'connect', 'up', 'reverse' and 'gateway' of this user: where it\n"
    "listens, its state, its connections and the data that they carried, and why a\n"
    "tunnel is not connected. They are found by their sockets in\n"
    "$XDG_RUNTIME_DIR/tcp-tunnel, and in /run/tcp-tunnel for services.\n"
    "\n"
    "With --json and --watch one object is printed a line.\n"
    "\n"
    "Exit status:\n"
    "  0  something runs; with --watch: ended by a signal\n"
    "  1  nothing runs, or stdout cannot be written to\n"
    "  2  wrong usage\n");

/* Queries */

static char *
receive_answer (GSocket  *socket,
                GError  **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gint64 deadline = g_get_monotonic_time () + ANSWER_TIMEOUT * G_TIME_SPAN_MILLISECOND;

  for (;;)
    {
      char buffer[16 * 1024];
      gint64 left = MAX (deadline - g_get_monotonic_time (), 0);
      gssize n;

      if (!g_socket_condition_timed_wait (socket, G_IO_IN, left, NULL, error))
        return NULL;
      n = g_socket_receive (socket, buffer, sizeof buffer, NULL, error);
      if (n < 0)
        return NULL;
      if (n == 0)
        return g_string_free (g_steal_pointer (&text), FALSE);
      if (text->len + n > MAX_ANSWER)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                       _("its answer is longer than %d bytes"), MAX_ANSWER);
          return NULL;
        }
      g_string_append_len (text, buffer, n);
    }
}

/* The parser recurses as deep as the text, which may be anything. */
static gboolean
is_shallow (const char *text)
{
  guint depth = 0;
  gboolean quoted = FALSE;

  for (const char *c = text; *c != '\0'; c++)
    {
      if (quoted && *c == '\\' && c[1] != '\0')
        c++;
      else if (*c == '"')
        quoted = !quoted;
      else if (!quoted && (*c == '[' || *c == '{') && ++depth > MAX_DEPTH)
        return FALSE;
      else if (!quoted && (*c == ']' || *c == '}') && depth > 0)
        depth--;
    }
  return TRUE;
}

static JsonNode *
ask (const char  *path,
     GError     **error)
{
  g_autoptr (GSocket) socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autofree char *answer = NULL;
  JsonNode *root = NULL;

  if (socket == NULL)
    return NULL;
  if (!g_socket_connect (socket, address, NULL, error))
    return NULL;
  answer = receive_answer (socket, error);
  if (answer == NULL)
    return NULL;
  if (is_shallow (answer))
    root = json_from_string (answer, error);
  if (root != NULL && !JSON_NODE_HOLDS_OBJECT (root))
    g_clear_pointer (&root, json_node_unref);
  if (root == NULL && error != NULL && *error == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, _("it did not answer with an object"));
  return root;
}

/* Replaces the answer of a running process that gave none. */
static JsonNode *
make_silent (int         pid,
             const char *problem)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  event_add_int (builder, "pid", pid);
  event_add_string (builder, "problem", problem);
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}

/* A killed process leaves its socket behind, which the next status removes. It is recognized by the fact that no
 * program listens on it, and not by the process id, which may belong to another process now, or to another
 * namespace. */
static void
add_process (JsonArray  *processes,
             const char *path,
             int         pid)
{
  g_autoptr (GError) error = NULL;
  JsonNode *answer = ask (path, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    g_unlink (path);
  else if (answer == NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    json_array_add_element (processes, make_silent (pid, error->message));
  else if (answer != NULL)
    json_array_add_element (processes, answer);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  int pid_a = 0, pid_b = 0;

  status_server_parse_name (*(char **) a, &pid_a);
  status_server_parse_name (*(char **) b, &pid_b);
  return pid_a - pid_b;
}

static void
add_directory (JsonArray  *processes,
               const char *path)
{
  g_autoptr (GDir) directory = g_dir_open (path, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  int pid;

  if (directory == NULL)
    return;
  while ((name = g_dir_read_name (directory)) != NULL)
    if (names->len < MAX_SOCKETS && status_server_parse_name (name, &pid))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len && json_array_get_length (processes) < MAX_PROCESSES; i++)
    {
      g_autofree char *full = g_build_filename (path, names->pdata[i], NULL);

      status_server_parse_name (names->pdata[i], &pid);
      add_process (processes, full, pid);
    }
}

static JsonArray *
ask_all (void)
{
  JsonArray *processes = json_array_new ();
  g_auto (GStrv) directories = status_server_list_directories ();

  for (char **path = directories; *path != NULL; path++)
    add_directory (processes, *path);
  return processes;
}

/* Output */

typedef struct
{
  char *name;
  char *address;
  char *state; /* NULL for a line that has only `name` */
  ViewStyle style;
  char *figures;
} Line;

static void
line_free (Line *self)
{
  g_free (self->name);
  g_free (self->address);
  g_free (self->state);
  g_free (self->figures);
  g_free (self);
}

static void
add_text_line (GPtrArray *lines,
               ViewStyle  style,
               char      *text)
{
  Line *line = g_new0 (Line, 1);

  line->name = text;
  line->style = style;
  g_ptr_array_add (lines, line);
}

static const char *
get_text (JsonNode *node)
{
  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node) : NULL;
}

/* Reads a member of another process's answer, which may be of another version. */
static const char *
get_string (JsonObject *object,
            const char *key)
{
  JsonNode *node = json_object_get_member (object, key);

  return node != NULL ? get_text (node) : NULL;
}

static double
get_number (JsonObject *object,
            const char *key,
            double      otherwise)
{
  JsonNode *node = json_object_get_member (object, key);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_double (node) : otherwise;
}

static ViewStyle
get_style (const char *state)
{
  if (g_str_equal (state, "connected") || g_str_equal (state, "listening"))
    return VIEW_GREEN;
  return g_str_equal (state, "ended") ? VIEW_RED : VIEW_YELLOW;
}

static char *
format_figures (JsonObject *object)
{
  GString *text = g_string_new (NULL);
  g_autofree char *sent = format_size (get_number (object, "bytes_sent", 0));
  g_autofree char *received = format_size (get_number (object, "bytes_received", 0));
  double round_trip = get_number (object, "round_trip_ms", -1);

  g_string_printf (text, _("  %.0f open  up %s  down %s"), get_number (object, "open_connections", 0), sent, received);
  if (round_trip >= 0)
    {
      g_autofree char *time = format_time (round_trip * 1000);

      g_string_append_printf (text, _("  rtt %s"), time);
    }
  return g_string_free (text, FALSE);
}

static void
add_reason (GPtrArray  *lines,
            JsonObject *object)
{
  JsonNode *node = json_object_get_member (object, "error");
  const char *message = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? get_string (json_node_get_object (node), "message") : NULL;
  double delay = get_number (object, "retry_in_ms", -1);
  g_autofree char *clean = NULL;

  if (message == NULL)
    return;
  clean = format_foreign (message);
  if (delay >= 0)
    add_text_line (lines, VIEW_DIM, g_strdup_printf (_("    next attempt in %.0f s: %s"), delay / 1000, clean));
  else
    add_text_line (lines, VIEW_DIM, g_strdup_printf ("    %s", clean));
}

/* A tunnel without a name is shown by its URL, without the scheme. */
static const char *
shorten_uri (const char *name)
{
  const char *host = name != NULL ? strstr (name, "://") : NULL;

  return host != NULL ? host + 3 : name != NULL ? name : "";
}

/* A gateway may have several addresses, of which the row shows the first. */
static void
add_further_addresses (GPtrArray  *lines,
                       JsonObject *object)
{
  JsonNode *node = json_object_get_member (object, "addresses");
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 1; array != NULL && i < json_array_get_length (array); i++)
    {
      const char *address = get_text (json_array_get_element (array, i));
      g_autofree char *clean = format_foreign (address != NULL ? address : "-");

      add_text_line (lines, VIEW_DIM, g_strdup_printf (_("    also on %s"), clean));
    }
}

static void
add_object (GPtrArray  *lines,
            JsonObject *object)
{
  const char *name = shorten_uri (get_string (object, "name"));
  const char *address = get_string (object, "address");
  const char *state = get_string (object, "state");
  g_autofree char *clean = format_foreign (name);
  Line *line = g_new0 (Line, 1);

  line->name = view_shorten (clean, MAX_NAME);
  line->address = format_foreign (address != NULL ? address : "-");
  line->state = format_foreign (state != NULL ? format_state_name (state) : "-");
  line->style = get_style (state != NULL ? state : "-");
  line->figures = format_figures (object);
  g_ptr_array_add (lines, line);
  add_further_addresses (lines, object);
  add_reason (lines, object);
}

static char *
format_age (const char *started)
{
  g_autoptr (GDateTime) then = started != NULL ? g_date_time_new_from_iso8601 (started, NULL) : NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  gint64 seconds;

  if (then == NULL)
    return g_strdup ("");
  seconds = MAX (g_date_time_difference (now, then), 0) / G_TIME_SPAN_SECOND;
  if (seconds < 60)
    return g_strdup_printf (_(", for %d s"), (int) seconds);
  if (seconds < 60 * 60)
    return g_strdup_printf (_(", for %d min"), (int) seconds / 60);
  if (seconds < 48 * 60 * 60)
    return g_strdup_printf (_(", for %d h %d min"), (int) seconds / 3600, (int) seconds / 60 % 60);
  return g_strdup_printf (ngettext (", for %d day", ", for %d days", seconds / 86400), (int) (seconds / 86400));
}

static void
add_process_lines (GPtrArray  *lines,
                   JsonObject *process)
{
  static const char *const kinds[] = { "tunnels", "gateways", NULL };
  const char *command = get_string (process, "command");
  const char *problem = get_string (process, "problem");
  g_autofree char *age = format_age (get_string (process, "started"));
  g_autofree char *clean = format_foreign (command != NULL ? command : _("process"));

  add_text_line (lines, VIEW_BOLD, g_strdup_printf (_("%s, process %.0f%s"),
                                                    clean, get_number (process, "pid", 0), age));
  if (problem != NULL)
    {
      g_autofree char *text = format_foreign (problem);

      add_text_line (lines, VIEW_YELLOW, g_strdup_printf (_("    it does not answer: %s"), text));
    }
  for (const char *const *kind = kinds; *kind != NULL; kind++)
    {
      JsonNode *node = json_object_get_member (process, *kind);
      JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

      for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
        {
          JsonNode *element = json_array_get_element (array, i);

          if (JSON_NODE_HOLDS_OBJECT (element))
            add_object (lines, json_node_get_object (element));
        }
    }
}

static GPtrArray *
make_lines (JsonArray *processes)
{
  GPtrArray *lines = g_ptr_array_new_with_free_func ((GDestroyNotify) line_free);

  for (guint i = 0; i < json_array_get_length (processes); i++)
    add_process_lines (lines, json_array_get_object_element (processes, i));
  if (lines->len == 0)
    add_text_line (lines, VIEW_PLAIN, g_strdup (_("No tunnel or gateway of this user is running.")));
  return lines;
}

/* Formats the parts of a line for the view, with the columns of all lines aligned. */
static char *
format_before (const Line *line,
               gsize       name_width,
               gsize       address_width)
{
  if (line->state == NULL)
    return g_strdup ("");
  return g_strdup_printf ("  %s%*s  %s%*s  ", line->name, (int) (name_width - view_width (line->name)), "", line->address,
                          (int) (address_width - view_width (line->address)), "");
}

static void
measure (GPtrArray *lines,
         gsize     *name_width,
         gsize     *address_width,
         gsize     *state_width)
{
  *name_width = *address_width = *state_width = 0;
  for (guint i = 0; i < lines->len; i++)
    {
      const Line *line = lines->pdata[i];

      if (line->state == NULL)
        continue;
      *name_width = MAX (*name_width, view_width (line->name));
      *address_width = MAX (*address_width, view_width (line->address));
      *state_width = MAX (*state_width, view_width (line->state));
    }
}

typedef void (*ShowFunc) (guint       n,
                          const char *before,
                          ViewStyle   style,
                          const char *lead,
                          const char *rest,
                          gpointer    data);

static void
show_lines (GPtrArray *lines,
            ShowFunc   show,
            gpointer   data)
{
  gsize name_width, address_width, state_width;

  measure (lines, &name_width, &address_width, &state_width);
  for (guint i = 0; i < lines->len; i++)
    {
      const Line *line = lines->pdata[i];
      g_autofree char *before = format_before (line, name_width, address_width);
      g_autofree char *lead = line->state == NULL
                                ? g_strdup (line->name)
                                : g_strdup_printf ("%s%*s", line->state, (int) (state_width - view_width (line->state)), "");

      show (i, before, line->style, lead, line->figures != NULL ? line->figures : "", data);
    }
}

typedef struct
{
  GPtrArray *rows; /* of the terminal, NULL without one */
  int code;        /* the errno of a failure to write to stdout */
  gboolean over;
  gboolean found;  /* a running command was found */
} Show;

static void
print_line (guint       n,
            const char *before,
            ViewStyle   style,
            const char *lead,
            const char *rest,
            gpointer    data)
{
  Show *self = data;
  const char *on = style != VIEW_PLAIN ? view_style (stdout, style) : "";
  const char *off = style != VIEW_PLAIN ? view_style (stdout, VIEW_PLAIN) : "";
  int code = view_print (stdout, "%s%s%s%s%s\n", before, on, lead, off, rest);

  if (self->code == 0)
    self->code = code;
}

static void
set_row (guint       n,
         const char *before,
         ViewStyle   style,
         const char *lead,
         const char *rest,
         gpointer    data)
{
  Show *self = data;

  if (n == self->rows->len)
    g_ptr_array_add (self->rows, view_row_new ());
  view_row_set (self->rows->pdata[n], before, style, lead, rest);
}

static void
print_json (Show      *self,
            JsonArray *processes)
{
  JsonBuilder *event = event_begin ("status");
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  json_node_set_array (node, processes);
  json_builder_set_member_name (event, "processes");
  json_builder_add_value (event, node);
  self->code = event_end (event);
}

static void
show (Show *self)
{
  g_autoptr (JsonArray) processes = ask_all ();
  g_autoptr (GPtrArray) lines = make_lines (processes);

  self->found = json_array_get_length (processes) > 0;
  if (options.json)
    {
      print_json (self, processes);
    }
  else if (self->rows != NULL)
    {
      show_lines (lines, set_row, self);
      if (lines->len < self->rows->len)
        g_ptr_array_set_size (self->rows, lines->len);
    }
  else
    {
      show_lines (lines, print_line, self);
    }
}

static gboolean
on_tick (gpointer data)
{
  Show *self = data;

  if (self->rows == NULL && !options.json)
    view_print (stdout, "\n");
  show (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_quit (gpointer data)
{
  Show *self = data;

  self->over = TRUE;
  return G_SOURCE_REMOVE;
}

static void
watch (Show *self)
{
  guint timeout = g_timeout_add (WATCH_INTERVAL, on_tick, self);

  options_on_signal (on_quit, NULL, self);
  while (!self->over && self->code == 0)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timeout);
}

int
status_main (char ***args)
{
  Show self = { 0 };
  g_autoptr (GError) error = NULL;

  if (!options_parse ("status", NULL, N_("Show what the running tunnels and gateways of this user do."), description, entries,
                      args, &error))
    return options_usage ("status", error);

  view_init (options.watch && !options.json);
  if (view_is_live ())
    self.rows = g_ptr_array_new_with_free_func ((GDestroyNotify) view_row_free);
  show (&self);
  if (options.watch)
    watch (&self);
  g_clear_pointer (&self.rows, g_ptr_array_unref);
  view_end ();
  if (self.code != 0)
    {
      error = options_stdout_error (self.code);
      return options_failure ("status", error);
    }
  return options.watch || self.found ? EXIT_SUCCESS : EXIT_FAILED;
}
