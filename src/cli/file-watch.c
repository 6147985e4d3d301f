/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/file-watch.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#include "cli/log.h"

enum
{
  QUIET = 200,    /* ms without a change, before it is reported: several files may change together */
  MAX_LINKS = 40, /* the limit of the kernel */
};

/* A name is watched in its directory, since a watch on a file ends when the file is replaced. */
struct _FileWatch
{
  void (*changed) (gpointer user_data);
  gpointer user_data;
  GStrv files;
  GHashTable *monitors; /* directory → GFileMonitor */
  GHashTable *names;    /* set of the paths of the files, and of the links on these paths */
  guint quiet;          /* timer */
};

FileWatch *
file_watch_new (void   (*changed) (gpointer user_data),
                gpointer user_data)
{
  FileWatch *self = g_new0 (FileWatch, 1);

  self->changed = changed;
  self->user_data = user_data;
  self->monitors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
file_watch_free (FileWatch *self)
{
  g_clear_handle_id (&self->quiet, g_source_remove);
  g_hash_table_unref (self->monitors);
  g_hash_table_unref (self->names);
  g_strfreev (self->files);
  g_free (self);
}

/* Returns the target of the name, if it is a link. */
static char *
read_link (const char *path)
{
  g_autofree char *target = g_file_read_link (path, NULL);
  g_autofree char *directory = NULL;

  if (target == NULL)
    return NULL;
  directory = g_path_get_dirname (path);
  return g_build_filename (g_path_is_absolute (target) ? "/" : directory, target, NULL);
}

/* Finds the first link on the path, and returns the path with it resolved. */
static char *
find_link (const char  *path,
           char       **rest)
{
  for (const char *slash = strchr (path + 1, '/');; slash = strchr (slash + 1, '/'))
    {
      g_autofree char *part = slash != NULL ? g_strndup (path, slash - path) : g_strdup (path);
      g_autofree char *target = read_link (part);

      if (target != NULL)
        {
          g_autofree char *whole = g_strconcat (target, slash, NULL);

          *rest = g_canonicalize_filename (whole, "/");
          return g_steal_pointer (&part);
        }
      if (slash == NULL)
        return NULL;
    }
}

/* Adds the names of a file: its own, and those of the links on its path. */
static void
add_names (GHashTable *names,
           const char *file)
{
  g_autofree char *path = g_canonicalize_filename (file, NULL);

  for (guint i = 0; i < MAX_LINKS; i++)
    {
      char *rest = NULL;
      char *link = find_link (path, &rest);

      if (link == NULL)
        break;
      g_hash_table_add (names, link);
      g_free (path);
      path = rest;
    }
  g_hash_table_add (names, g_steal_pointer (&path));
}

static void file_watch_update (FileWatch *self);

static gboolean
on_quiet (gpointer user_data)
{
  FileWatch *self = user_data;

  self->quiet = 0;
  file_watch_update (self);
  self->changed (self->user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
is_watched (FileWatch *self,
            GFile     *file)
{
  return file != NULL && g_hash_table_contains (self->names, g_file_peek_path (file));
}

static void
on_changed (GFileMonitor      *monitor,
            GFile             *file,
            GFile             *other,
            GFileMonitorEvent  event,
            gpointer           user_data)
{
  FileWatch *self = user_data;

  if (!is_watched (self, file) && !is_watched (self, other))
    return;
  g_clear_handle_id (&self->quiet, g_source_remove);
  self->quiet = g_timeout_add (QUIET, on_quiet, self);
}

static GFileMonitor *
create_monitor (FileWatch  *self,
                const char *directory)
{
  g_autoptr (GFile) file = g_file_new_for_path (directory);
  g_autoptr (GError) error = NULL;
  GFileMonitor *monitor = g_file_monitor_directory (file, G_FILE_MONITOR_WATCH_MOVES, NULL, &error);

  if (monitor == NULL)
    {
      log_warn ("changes in %s go unnoticed: %s", directory, error->message);
      return NULL;
    }
  g_signal_connect (monitor, "changed", G_CALLBACK (on_changed), self);
  return monitor;
}

/* The links may have other targets now. */
static void
file_watch_update (FileWatch *self)
{
  g_autoptr (GHashTable) former = g_steal_pointer (&self->monitors);
  GHashTableIter iter;
  gpointer name;

  self->monitors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  g_hash_table_remove_all (self->names);
  for (char **file = self->files; *file != NULL; file++)
    add_names (self->names, *file);

  g_hash_table_iter_init (&iter, self->names);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    {
      g_autofree char *directory = g_path_get_dirname (name);
      GFileMonitor *monitor = g_hash_table_lookup (self->monitors, directory);

      if (monitor != NULL)
        continue;
      monitor = g_hash_table_lookup (former, directory);
      monitor = monitor != NULL ? g_object_ref (monitor) : create_monitor (self, directory);
      if (monitor != NULL)
        g_hash_table_insert (self->monitors, g_steal_pointer (&directory), monitor);
    }
}

/**
 * file_watch_set_files:
 * @files: (array zero-terminated=1): the files to watch, which need not exist
 */
void
file_watch_set_files (FileWatch         *self,
                      const char *const *files)
{
  g_strfreev (self->files);
  self->files = g_strdupv ((char **) files);
  file_watch_update (self);
}
