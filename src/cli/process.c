/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/process.h"

#include <fcntl.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/token.h"

static struct rlimit usual_limit;

/**
 * process_open_standard_files:
 *
 * A closed standard file would be replaced by the next file that is opened, and a socket be used as stdin, for example.
 * With this, stdin is empty, and writing to stdout or stderr fails as before.
 */
void
process_open_standard_files (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) < 0 && open ("/dev/null", O_RDONLY) < 0)
      return;
}

/**
 * process_raise_file_limit:
 *
 * Each connection of a tunnel takes a file descriptor, and the usual soft limit exists for programs that use select().
 */
void
process_raise_file_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return;
  usual_limit = limit;
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
}

/* These run between fork () and exec (). */
static void
set_up (gpointer data)
{
  if (usual_limit.rlim_max > 0)
    setrlimit (RLIMIT_NOFILE, &usual_limit);
}

static void
set_up_group (gpointer data)
{
  setpgid (0, 0);
  set_up (data);
}

/**
 * process_launcher:
 * @own_group: whether the command gets a process group of its own, so that it can
 *   be ended with all processes that it has started, and does not receive Ctrl-C
 *
 * Returns: (transfer full): a launcher for a command of the user, which does not
 *   get the token
 */
GSubprocessLauncher *
process_launcher (GSubprocessFlags flags,
                  gboolean         own_group)
{
  GSubprocessLauncher *launcher = g_subprocess_launcher_new (flags);

  g_subprocess_launcher_unsetenv (launcher, TOKEN_VARIABLE);
  g_subprocess_launcher_set_child_setup (launcher, own_group ? set_up_group : set_up, NULL, NULL);
  return launcher;
}

/* Whether this process has a controlling terminal, which was not closed. */
gboolean
process_has_terminal (void)
{
  int fd = open ("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

  if (fd < 0)
    return FALSE;
  close (fd);
  return TRUE;
}

/* Runs @command with the shell. It has no standard input. */
GSubprocess *
process_spawn (GSubprocessLauncher  *launcher,
               const char           *command,
               GError              **error)
{
  return g_subprocess_launcher_spawn (launcher, error, "/bin/sh", "-c", command, NULL);
}

/**
 * process_describe_end:
 * @process: a process that has ended
 *
 * Returns: (nullable): a description of the failure, %NULL for none
 */
char *
process_describe_end (GSubprocess *process)
{
  if (g_subprocess_get_if_signaled (process))
    return g_strdup_printf (_("the command was ended by signal %d (%s)"), g_subprocess_get_term_sig (process),
                            strsignal (g_subprocess_get_term_sig (process)));
  if (g_subprocess_get_exit_status (process) != 0)
    return g_strdup_printf (_("the command ended with exit status %d"), g_subprocess_get_exit_status (process));
  return NULL;
}
