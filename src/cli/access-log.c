/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/access-log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "cli/describe.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/log.h"

#define JOURNAL "/run/systemd/journal/socket"

enum
{
  MAX_QUEUED = 4096,    /* lines that wait for the writer, of some hundred bytes each */
  CLOSE_TIMEOUT = 5000, /* ms, to write what is left at the end */
};

/* An item of the queue. */
typedef struct
{
  enum
  {
    ENTRY,
    REOPEN,
    END,
  } what;
  GPtrArray *fields; /* of an entry: names and values in turn, all of them strings */
  char *text;        /* the entry as a line, or for the journal its message */
} Item;

struct _AccessLog
{
  gatomicrefcount refs; /* the writer holds one */
  TcpGateway *gateway;
  char *path; /* NULL for stdout and for the journal */
  gboolean is_journal;
  GAsyncQueue *queue;
  atomic_bool reopens; /* a REOPEN is queued */
  atomic_ullong written;
  atomic_ullong dropped;
  atomic_ullong failed;

  /* only used by the writer, once it runs */
  int fd;
  gboolean is_broken; /* the last line was not written, which was logged */
  gboolean is_torn;   /* or only a part of it was written */

  GMutex mutex;
  GCond cond;
  gboolean has_ended; /* under the mutex: the writer has ended */
};

static void
item_free (gpointer data)
{
  Item *item = data;

  g_clear_pointer (&item->fields, g_ptr_array_unref);
  g_free (item->text);
  g_free (item);
}

static void
log_unref (AccessLog *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  if (self->path != NULL && self->fd >= 0)
    close (self->fd);
  g_async_queue_unref (self->queue);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->cond);
  g_free (self->path);
  g_free (self);
}

/* The writer */

/* A file that is a pipe or a terminal may be non-blocking, as set by another process. */
static gboolean
write_all (AccessLog  *self,
           const char *data,
           gsize       length)
{
  while (length > 0)
    {
      gssize n = write (self->fd, data, length);

      if (n < 0 && errno == EAGAIN)
        {
          struct pollfd room = { .fd = self->fd, .events = POLLOUT };

          poll (&room, 1, -1);
        }
      else if (n < 0 && errno != EINTR)
        {
          return FALSE;
        }
      else if (n > 0)
        {
          data += n;
          length -= n;
          self->is_torn = length > 0;
        }
    }
  return TRUE;
}

/* A line begins after the rest of an incomplete one. */
static gboolean
write_line (AccessLog  *self,
            const char *line)
{
  g_autofree char *text = g_strconcat (self->is_torn ? "\n" : "", line, "\n", NULL);

  return write_all (self, text, strlen (text));
}

static gboolean
write_entry (const Item *item)
{
  g_autofree GLogField *fields = g_new0 (GLogField, item->fields->len / 2 + 2);
  gsize n = 0;

  fields[n++] = (GLogField) { "MESSAGE", item->text, -1 };
  fields[n++] = (GLogField) { "PRIORITY", "6", -1 };
  for (guint i = 0; i < item->fields->len; i += 2)
    fields[n++] = (GLogField) { item->fields->pdata[i], item->fields->pdata[i + 1], -1 };
  errno = ENOENT;
  return g_log_writer_journald (G_LOG_LEVEL_INFO, fields, n, NULL) == G_LOG_WRITER_HANDLED;
}

static void
write_item (AccessLog  *self,
            const Item *item)
{
  if (self->is_journal ? write_entry (item) : write_line (self, item->text))
    {
      atomic_fetch_add (&self->written, 1);
      if (self->is_broken)
        log_warn ("the access log is written again");
      self->is_broken = FALSE;
      return;
    }

  atomic_fetch_add (&self->failed, 1);
  if (!self->is_broken)
    log_warn ("the access log %s cannot be written, and lines are lost until it can: %s",
              self->is_journal ? JOURNAL : self->path != NULL ? self->path : "on stdout", g_strerror (errno));
  self->is_broken = TRUE;
}

/* A pipe without a reader is an error. */
static int
open_file (const char *path)
{
  return open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

/* The file may have been replaced by another of that name. */
static void
reopen (AccessLog *self)
{
  int fd;

  if (self->path == NULL)
    return;

  fd = open_file (self->path);
  if (fd < 0)
    {
      log_warn ("the access log %s cannot be opened again, and is written where it was: %s", self->path, g_strerror (errno));
      return;
    }
  close (self->fd);
  self->fd = fd;
  self->is_torn = FALSE;
}

static gpointer
writer_run (gpointer data)
{
  AccessLog *self = data;
  gboolean over = FALSE;

  while (!over)
    {
      Item *item = g_async_queue_pop (self->queue);

      if (item->what == ENTRY)
        write_item (self, item);
      else if (item->what == REOPEN)
        {
          atomic_store (&self->reopens, FALSE);
          reopen (self);
        }
      else
        over = TRUE;
      item_free (item);
    }

  g_mutex_lock (&self->mutex);
  self->has_ended = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->mutex);
  log_unref (self);
  return NULL;
}

/* Entries */

/* How the connection ended: `closed`, or the code of the error. */
static const char *
get_end (const GError *error)
{
  return error != NULL ? format_error_code (error) : "closed";
}

static char *
format_line (TcpConnection *connection)
{
  JsonBuilder *builder = json_builder_new ();
  g_autoptr (GDateTime) opened = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *time = NULL;

  g_object_get (connection, "opened", &opened, "error", &error, NULL);
  time = g_date_time_format_iso8601 (opened);
  json_builder_begin_object (builder);
  event_add_string (builder, "time", time);
  describe_connection (builder, connection);
  event_add_string (builder, "end", get_end (error));
  event_add_string (builder, "error", error != NULL ? error->message : NULL);
  return event_end_text (builder);
}

static void
add_field (GPtrArray  *fields,
           const char *name,
           const char *value)
{
  if (value == NULL)
    return;

  g_ptr_array_add (fields, g_strconcat ("TCP_TUNNEL_", name, NULL));
  g_ptr_array_add (fields, g_strdup (value));
}

static void
add_number (GPtrArray  *fields,
            const char *name,
            guint64     value)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, value);

  add_field (fields, name, text);
}

static void
add_fields (TcpConnection *connection,
            Item          *item)
{
  g_autofree char *client = format_peer (connection, "client-address");
  g_autofree char *proxy = format_peer (connection, "proxy-address");
  g_autofree char *principal = NULL;
  g_autofree char *target = NULL;
  g_autofree char *time = NULL;
  g_autoptr (GDateTime) opened = NULL;
  g_autoptr (GError) error = NULL;
  guint64 id, to_client, to_target, duration, resumes;
  GPtrArray *fields = g_ptr_array_new_with_free_func (g_free);

  g_object_get (connection, "id", &id, "opened", &opened, "target", &target, "principal", &principal, "bytes-sent", &to_client,
                "bytes-received", &to_target, "duration", &duration, "resumes", &resumes, "error", &error, NULL);
  time = g_date_time_format_iso8601 (opened);
  add_number (fields, "CONNECTION", id);
  add_field (fields, "PRINCIPAL", principal);
  add_field (fields, "CLIENT", client);
  add_field (fields, "PROXY", proxy);
  add_field (fields, "TARGET", target);
  add_field (fields, "OPENED", time);
  add_number (fields, "BYTES_TO_TARGET", to_target);
  add_number (fields, "BYTES_TO_CLIENT", to_client);
  add_number (fields, "DURATION_MS", duration);
  add_number (fields, "RESUMES", resumes);
  add_field (fields, "END", get_end (error));
  add_field (fields, "ERROR", error != NULL ? error->message : NULL);
  item->fields = fields;
  item->text = g_strdup_printf ("connection %" G_GUINT64_FORMAT " of %s from %s to %s: %s, %" G_GUINT64_FORMAT
                                " bytes to the target, %" G_GUINT64_FORMAT " to the client",
                                id, principal, client != NULL ? client : "somewhere", target != NULL ? target : "the client",
                                get_end (error), to_target, to_client);
}

static void
on_connection_closed (TcpEndpoint   *endpoint,
                      TcpConnection *connection,
                      AccessLog     *self)
{
  Item *item;

  /* Checked before the item is made, which takes longer. */
  if (g_async_queue_length (self->queue) >= MAX_QUEUED)
    {
      if (atomic_fetch_add (&self->dropped, 1) == 0)
        log_warn ("the access log is written too slowly, and lines are lost");
      return;
    }

  item = g_new0 (Item, 1);
  if (self->is_journal)
    add_fields (connection, item);
  else
    item->text = format_line (connection);
  g_async_queue_push (self->queue, item);
}

/* Creation and destruction */

static void
push (AccessLog *self,
      int        what)
{
  Item *item = g_new0 (Item, 1);

  item->what = what;
  g_async_queue_push (self->queue, item);
}

/**
 * access_log_open:
 * @where: a file, `journal`, or `-` for stdout
 */
AccessLog *
access_log_open (const char  *where,
                 TcpGateway  *gateway,
                 GError     **error)
{
  gboolean is_journal = strcmp (where, "journal") == 0;
  gboolean is_stdout = strcmp (where, "-") == 0;
  int fd = is_stdout ? STDOUT_FILENO : -1;
  AccessLog *self;

  if (is_journal && access (JOURNAL, W_OK) != 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), _("the access log cannot be written to the journal, at %s: %s"),
                   JOURNAL, g_strerror (errno));
      return NULL;
    }
  if (!is_journal && !is_stdout && (fd = open_file (where)) < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), _("the access log %s cannot be opened: %s"), where,
                   g_strerror (errno));
      return NULL;
    }

  self = g_new0 (AccessLog, 1);
  g_atomic_ref_count_init (&self->refs);
  self->gateway = g_object_ref (gateway);
  self->path = is_journal || is_stdout ? NULL : g_strdup (where);
  self->is_journal = is_journal;
  self->queue = g_async_queue_new_full (item_free);
  self->fd = fd;
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  g_atomic_ref_count_inc (&self->refs);
  g_thread_unref (g_thread_new ("access-log", writer_run, self));
  g_signal_connect (gateway, "connection-closed", G_CALLBACK (on_connection_closed), self);
  return self;
}

/**
 * access_log_reopen:
 *
 * Opens the file again, after the queued lines were written: it may have been moved. If this is called again before
 * that happens, the file is opened once, so that the queue does not grow.
 */
void
access_log_reopen (AccessLog *self)
{
  if (!atomic_exchange (&self->reopens, TRUE))
    push (self, REOPEN);
}

void
access_log_get_counts (const AccessLog *self,
                       AccessLogCounts *counts)
{
  counts->written = atomic_load (&self->written);
  counts->dropped = atomic_load (&self->dropped);
  counts->failed = atomic_load (&self->failed);
}

/**
 * access_log_close:
 *
 * Waits until all lines are written, but not longer than some seconds.
 */
void
access_log_close (AccessLog *self)
{
  gint64 deadline = g_get_monotonic_time () + CLOSE_TIMEOUT * G_TIME_SPAN_MILLISECOND;

  g_signal_handlers_disconnect_by_data (self->gateway, self);
  g_clear_object (&self->gateway);
  push (self, END);
  g_mutex_lock (&self->mutex);
  while (!self->has_ended && g_cond_wait_until (&self->cond, &self->mutex, deadline))
    ;
  if (!self->has_ended)
    log_warn ("the access log was not written in time, and lines are lost: %d", MAX (g_async_queue_length (self->queue) - 1, 0));
  g_mutex_unlock (&self->mutex);
  log_unref (self);
}
