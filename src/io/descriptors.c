/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/descriptors.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gio/gio.h>

#include <tcptunnel/tcptunnel.h>

#include "base/i18n.h"

/* The number of descriptors that a start uses, some of them only for a moment. */
#define START_DESCRIPTORS 10

/* The number left at which new connections are refused: an eighth, within these bounds. */
#define MIN_RESERVE 8
#define MAX_RESERVE 1024

/* The limit of the process, which may change. */
guint
tcp_descriptors_get_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > G_MAXINT)
    return G_MAXINT;
  return limit.rlim_cur;
}

/* The message for a descriptor that must not be opened. */
const char *
tcp_descriptors_get_advice (void)
{
  g_autofree char *text = g_strdup_printf ("the process has too few file descriptors left for another (ulimit -n: %u)",
                                           tcp_descriptors_get_limit ());

  /* The limit changes rarely in the life of a process. */
  return g_intern_string (text);
}

/* Whether @fd, which was just opened, may be that of a connection. */
gboolean
tcp_descriptors_suffice (int fd)
{
  guint limit = tcp_descriptors_get_limit ();

  return (guint) fd + CLAMP (limit / 8, MIN_RESERVE, MAX_RESERVE) < limit;
}

/* Whether @n descriptors can be opened at this moment. For code of GLib that aborts without them. */
gboolean
tcp_descriptors_try (guint    n,
                     GError **error)
{
  g_autofree int *fds = g_new (int, n);
  guint i = 0;
  int code;

  while (i < n && (fds[i] = eventfd (0, EFD_CLOEXEC)) >= 0)
    i++;
  code = i < n ? errno : 0;
  if (i < n)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), _("more file descriptors cannot be opened (%u are needed): %s"),
                 n, g_strerror (code));
  while (i-- > 0)
    close (fds[i]);
  return code == 0;
}

/* Whether an endpoint can be started. GLib aborts a program that has no descriptor left for a context, and a start makes
 * several contexts, some of them on threads that could not report an error. */
gboolean
tcp_descriptors_check_start (const char  *noun,
                             GError     **error)
{
  g_autoptr (GError) why = NULL;

  if (tcp_descriptors_try (START_DESCRIPTORS, &why))
    return TRUE;
  g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT, _("%s cannot be started: %s"), noun, why->message);
  return FALSE;
}

/* Whether another descriptor may be opened for a connection. */
gboolean
tcp_descriptors_are_left (void)
{
  int fd = eventfd (0, EFD_CLOEXEC);

  if (fd < 0)
    return FALSE;
  close (fd);
  return tcp_descriptors_suffice (fd);
}
