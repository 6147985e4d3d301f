/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/activation.h"

#include <fcntl.h>
#include <glib/gi18n.h>
#include <string.h>
#include <unistd.h>

#include "cli/log.h"

enum
{
  FIRST_FD = 3,
  MAX_SOCKETS = 1024,
};

/* The name of a socket without one, see sd_listen_fds_with_names(3). */
#define UNKNOWN "unknown"

typedef struct
{
  char *name;
  int fd; /* -1 once taken */
} Passed;

static GArray *passed; /* of Passed; NULL if there are none */

static char *
take_variable (const char *name)
{
  char *value = g_strdup (g_getenv (name));

  g_unsetenv (name);
  return value;
}

/**
 * activation_init:
 *
 * Removes the variables from the environment, and makes the descriptors inaccessible to commands that are run for a
 * tunnel. Variables for another process, such as the parent of this one, are ignored. Must be called before there are
 * threads.
 */
void
activation_init (void)
{
  g_autofree char *pid = take_variable ("LISTEN_PID");
  g_autofree char *count = take_variable ("LISTEN_FDS");
  g_autofree char *names = take_variable ("LISTEN_FDNAMES");
  g_autofree char *pidfd G_GNUC_UNUSED = take_variable ("LISTEN_PIDFDID");
  g_auto (GStrv) list = g_strsplit (names != NULL ? names : "", ":", -1);
  guint n_names = g_strv_length (list);
  guint64 process, n;

  if (pid == NULL || count == NULL || !g_ascii_string_to_unsigned (pid, 10, 1, G_MAXINT, &process, NULL) ||
      process != (guint64) getpid () || !g_ascii_string_to_unsigned (count, 10, 1, MAX_SOCKETS, &n, NULL))
    return;

  passed = g_array_sized_new (FALSE, FALSE, sizeof (Passed), n);
  for (guint i = 0; i < n; i++)
    {
      Passed one = { .fd = FIRST_FD + i };

      if (fcntl (one.fd, F_SETFD, FD_CLOEXEC) < 0)
        break;
      one.name = g_strdup (i < n_names && *list[i] != '\0' ? list[i] : UNKNOWN);
      g_array_append_val (passed, one);
    }
}

gboolean
activation_has_sockets (void)
{
  return passed != NULL && passed->len > 0;
}

/* Whether it is left, and has this name, unless that is NULL. */
static gboolean
passed_matches (const Passed *self,
                const char   *name)
{
  return self->fd >= 0 && (name == NULL || strcmp (self->name, name) == 0);
}

/* The number of sockets that are left, only those named @named unless that is NULL. */
static guint
count_left (const char  *named,
            Passed     **last)
{
  guint n = 0;

  for (guint i = 0; passed != NULL && i < passed->len; i++)
    {
      Passed *one = &g_array_index (passed, Passed, i);

      if (!passed_matches (one, named))
        continue;
      *last = one;
      n++;
    }
  return n;
}

/* The names of the sockets that are left; NULL if there are none. */
static char *
describe_rest (void)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; passed != NULL && i < passed->len; i++)
    {
      const Passed *one = &g_array_index (passed, Passed, i);

      if (one->fd >= 0)
        g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", one->name);
    }
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

/* Clients that connect to one of these sockets would wait forever. */
void
activation_warn_of_rest (void)
{
  g_autofree char *rest = describe_rest ();

  if (rest != NULL)
    log_warn ("the service manager has passed sockets that nothing uses: %s", rest);
}

static GSocket *
passed_take (Passed  *self,
             GError **error)
{
  GSocket *socket = g_socket_new_from_fd (self->fd, error);

  if (socket == NULL)
    g_prefix_error (error, _("the socket “%s” that the service manager has passed: "), self->name);
  else
    self->fd = -1;
  return socket;
}

/* No socket of this name is left, or none at all if @name is NULL. */
static void
set_none_left (const char  *name,
               GError     **error)
{
  g_autofree char *rest = describe_rest ();

  if (!activation_has_sockets ())
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         _("the service manager has passed no socket (LISTEN_FDS); a .socket unit does that"));
  else if (rest == NULL)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         _("each socket that the service manager has passed is used elsewhere"));
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("the service manager has passed no socket of the name “%s” that is not used elsewhere, but: %s"), name, rest);
}

/**
 * activation_take:
 * @name: (nullable): its FileDescriptorName=, or %NULL for the only one
 *
 * Each socket is returned once.
 */
GSocket *
activation_take (const char  *name,
                 GError     **error)
{
  g_autofree char *rest = describe_rest ();
  Passed *one = NULL;
  guint n = count_left (name, &one);

  if (n == 1)
    return passed_take (one, error);
  if (n == 0)
    set_none_left (name, error);
  else if (name == NULL)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("the service manager has passed several sockets; name one of them, as in systemd:%s: %s"), one->name, rest);
  else
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 _("the service manager has passed several sockets of the name “%s”, and one is needed; ListenStream=PORT "
                   "alone is one for IPv4 and IPv6"), name);
  return NULL;
}

/**
 * activation_take_all:
 * @name: (nullable): the FileDescriptorName= of the sockets, or %NULL for all that are left
 *
 * Returns: (transfer full) (element-type GSocket): at least one, in the order in which they were passed
 */
GPtrArray *
activation_take_all (const char  *name,
                     GError     **error)
{
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; passed != NULL && i < passed->len; i++)
    {
      Passed *one = &g_array_index (passed, Passed, i);
      GSocket *socket;

      if (!passed_matches (one, name))
        continue;
      socket = passed_take (one, error);
      if (socket == NULL)
        return NULL;
      g_ptr_array_add (sockets, socket);
    }
  if (sockets->len > 0)
    return g_steal_pointer (&sockets);
  set_none_left (name, error);
  return NULL;
}
