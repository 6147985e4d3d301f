/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADOPT "--adopt"
#define DRY_RUN "--dry-run"

enum
{
  TRY_TIMEOUT = 10, /* s, for the other program to check the state; meanwhile the gateway is suspended */
  TRY_FD = 3,       /* the descriptor of the state there */
  MAX_SAID = 16384, /* bytes of its output that are kept */
};

/* the signals that the command handles */
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

static char *path; /* absolute; symbolic links in it may have other targets by the time it is used */
static char **arguments;
static char **environment;
static pthread_t main_thread;
static struct sigaction handlers[G_N_ELEMENTS (signals)]; /* while the signals are held */
static gboolean held;

static char *
find_program (const char *name)
{
  g_autofree char *found = strchr (name, '/') == NULL ? g_find_program_in_path (name) : g_strdup (name);
  g_autofree char *absolute = found != NULL ? g_canonicalize_filename (found, NULL) : NULL;

  /* The name of the process may be arbitrary. */
  if (absolute != NULL && access (absolute, X_OK) == 0)
    return g_steal_pointer (&absolute);
  return g_file_read_link ("/proc/self/exe", NULL);
}

/**
 * replace_init:
 * @args: the arguments of the process, with its name
 *
 * Must be called by the main thread, before the arguments and the environment are changed.
 */
void
replace_init (char **args)
{
  main_thread = pthread_self ();
  path = find_program (args[0] != NULL ? args[0] : "");
  arguments = g_strdupv (args);
  environment = g_get_environ ();
  /* Inherited sockets have other numbers, and are in the state. */
  environment = g_environ_unsetenv (environment, "LISTEN_FDS");
  environment = g_environ_unsetenv (environment, "LISTEN_FDNAMES");
  environment = g_environ_unsetenv (environment, "LISTEN_PID");
  environment = g_environ_unsetenv (environment, "LISTEN_PIDFDID");
}

/**
 * replace_take_arguments:
 * @fd: (out): the descriptor of the state that the former program has left, or -1
 * @dry_run: (out): whether the state must only be checked
 *
 * Removes the options from @args that replace_try_async() and replace_execute() have inserted, right behind the name of
 * the command.
 */
gboolean
replace_take_arguments (char    ***args,
                        int       *fd,
                        gboolean  *dry_run,
                        GError   **error)
{
  char **at = *args + 1;
  guint64 number;
  guint taken = 2;

  *fd = -1;
  *dry_run = FALSE;
  if (at[-1] == NULL || at[0] == NULL || strcmp (at[0], ADOPT) != 0)
    return TRUE;
  if (at[1] == NULL || !g_ascii_string_to_unsigned (at[1], 10, STDERR_FILENO + 1, G_MAXINT, &number, NULL) ||
      fcntl (number, F_SETFD, FD_CLOEXEC) < 0)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                   _("%s is for the command itself, when it is restarted by SIGUSR2"), ADOPT);
      return FALSE;
    }

  *fd = number;
  *dry_run = at[2] != NULL && strcmp (at[2], DRY_RUN) == 0;
  taken += *dry_run;
  for (guint i = 0; i < taken; i++)
    g_free (at[i]);
  memmove (at, at + taken, (g_strv_length (at + taken) + 1) * sizeof *at);
  return TRUE;
}

/* Returns the original arguments, with these options. */
static GStrv
make_arguments (int      fd,
                gboolean dry_run)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *number = g_strdup_printf ("%d", fd);
  char **rest = arguments + 2;

  if (rest[0] != NULL && strcmp (rest[0], ADOPT) == 0)
    rest += 2;
  g_strv_builder_add_many (builder, arguments[0], arguments[1], ADOPT, number, NULL);
  if (dry_run)
    g_strv_builder_add (builder, DRY_RUN);
  g_strv_builder_addv (builder, (const char **) rest);
  return g_strv_builder_end (builder);
}

/* The trial */

typedef struct
{
  GSubprocess *process;
  int said; /* a descriptor of its output */
  guint deadline;
  gboolean late;
  struct stat file; /* as it was before */
} Trial;

static void
trial_free (gpointer data)
{
  Trial *self = data;

  if (self->deadline != 0)
    g_source_remove (self->deadline);
  if (self->said >= 0)
    close (self->said);
  g_clear_object (&self->process);
  g_free (self);
}

static gboolean
on_deadline (gpointer data)
{
  Trial *self = data;

  self->deadline = 0;
  self->late = TRUE;
  g_subprocess_force_exit (self->process);
  return G_SOURCE_REMOVE;
}

/* The output is written to this file, which does not grow: the program may be a wrong one, with any amount of
 * output. */
static int
open_said (GError **error)
{
  int fd = memfd_create ("tcp-tunnel-says", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  int code;

  if (fd >= 0 && ftruncate (fd, MAX_SAID) == 0 && fcntl (fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == 0)
    return fd;
  code = errno;
  if (fd >= 0)
    close (fd);
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), _("there is no room for what %s may print: %s"), path,
               g_strerror (code));
  return -1;
}

/* Returns the reason of a failure: the last line, which may follow warnings and precede a hint at the help. The hint is in
 * the words of the other program, and maybe in another language. */
static char *
find_reason (int fd)
{
  char said[MAX_SAID + 1] = { 0 };
  g_autofree char *text = pread (fd, said, MAX_SAID, 0) > 0 ? g_utf8_make_valid (said, -1) : g_strdup ("");
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = g_strv_length (lines); i-- > 0;)
    if (*g_strstrip (lines[i]) != '\0' && strstr (lines[i], "tcp-tunnel gateway --help") == NULL)
      return g_strdup (lines[i]);
  return NULL;
}

static void
on_tried (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autoptr (GTask) task = data;
  Trial *self = g_task_get_task_data (task);
  GSubprocess *process = G_SUBPROCESS (object);
  g_autofree char *reason = NULL;
  GError *error = NULL;

  if (!g_subprocess_wait_finish (process, result, &error))
    {
      g_subprocess_force_exit (process);
      g_task_return_error (task, error);
    }
  else if (g_subprocess_get_successful (process))
    g_task_return_boolean (task, TRUE);
  else if (self->late)
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _("%s did not report within %d s whether it can take over"),
                             path, TRY_TIMEOUT);
  else if ((reason = find_reason (self->said)) != NULL)
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_FAILED, _("%s cannot take over: %s"), path, reason);
  else if (g_subprocess_get_if_signaled (process))
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_FAILED, _("%s cannot take over: it was ended by signal %d"), path,
                             g_subprocess_get_term_sig (process));
  else
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_FAILED, _("%s cannot take over: it ended with exit status %d"), path,
                             g_subprocess_get_exit_status (process));
}

/**
 * replace_try_async:
 * @fd: a descriptor of the state
 *
 * Lets the program in the file check whether it can continue the state, in another process.
 */
void
replace_try_async (int                  fd,
                   GCancellable        *cancellable,
                   GAsyncReadyCallback  callback,
                   gpointer             data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, data);
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  g_auto (GStrv) args = make_arguments (TRY_FD, TRUE);
  g_auto (GStrv) environ_of_trial = g_environ_unsetenv (g_strdupv (environment), "NOTIFY_SOCKET");
  Trial *self = g_new0 (Trial, 1);
  GError *error = NULL;

  g_task_set_task_data (task, self, trial_free);
  self->said = open_said (&error);
  if (self->said < 0)
    {
      g_task_return_error (task, error);
      return;
    }
  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_subprocess_launcher_take_stderr_fd (launcher, fcntl (self->said, F_DUPFD_CLOEXEC, TRY_FD + 1));
  g_subprocess_launcher_set_environ (launcher, environ_of_trial);
  g_subprocess_launcher_take_fd (launcher, fcntl (fd, F_DUPFD_CLOEXEC, TRY_FD + 1), TRY_FD);
  g_free (args[0]);
  args[0] = g_strdup (path);
  stat (path, &self->file);
  self->process = g_subprocess_launcher_spawnv (launcher, (const char *const *) args, &error);
  if (self->process == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  self->deadline = g_timeout_add_seconds (TRY_TIMEOUT, on_deadline, self);
  g_subprocess_wait_async (self->process, cancellable, on_tried, g_steal_pointer (&task));
}

/**
 * replace_try_finish:
 * @changed: (out): whether the file has changed meanwhile, and must be tried again
 */
gboolean
replace_try_finish (GAsyncResult  *result,
                    gboolean      *changed,
                    GError       **error)
{
  Trial *self = g_task_get_task_data (G_TASK (result));
  struct stat now = { 0 };

  stat (path, &now);
  *changed = now.st_dev != self->file.st_dev || now.st_ino != self->file.st_ino || now.st_size != self->file.st_size ||
             now.st_mtim.tv_sec != self->file.st_mtim.tv_sec || now.st_mtim.tv_nsec != self->file.st_mtim.tv_nsec;
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* The replacement */

/* From here on, signals of any thread are passed to the main thread, where they are blocked, and so wait for the next
 * program. */
static void
pass_on (int number)
{
  pthread_kill (main_thread, number);
}

static void
get_signals (sigset_t *set)
{
  sigemptyset (set);
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    sigaddset (set, signals[i]);
}

static gboolean
on_probe (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

/**
 * replace_hold_signals:
 *
 * Keeps signals from here on for the next program, or until replace_release_signals(). Earlier ones are handled in the
 * main loop before this returns.
 */
void
replace_hold_signals (void)
{
  struct sigaction action = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
  gboolean seen = FALSE;
  sigset_t set;

  held = TRUE;
  get_signals (&set);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      sigaction (signals[i], NULL, &handlers[i]);
      if (handlers[i].sa_handler != SIG_IGN)
        sigaction (signals[i], &action, NULL);
    }

  /* A thread of GLib's may still have to pass some on. When it has passed on this one, it has passed on all. */
  g_unix_signal_add (SIGWINCH, on_probe, &seen);
  kill (getpid (), SIGWINCH);
  while (!seen)
    g_main_context_iteration (NULL, TRUE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/**
 * replace_release_signals:
 *
 * Lets the held signals be handled.
 */
void
replace_release_signals (void)
{
  sigset_t set;

  for (guint i = 0; held && i < G_N_ELEMENTS (signals); i++)
    sigaction (signals[i], &handlers[i], NULL);
  held = FALSE;
  get_signals (&set);
  pthread_sigmask (SIG_UNBLOCK, &set, NULL);
}

/**
 * replace_on_signal:
 *
 * Calls @func in the main loop at each SIGUSR2, unless that signal was ignored when the command was started. The other
 * signals are handled already; those that the former program has held for this one are delivered now.
 */
void
replace_on_signal (GSourceFunc func,
                   gpointer    data)
{
  struct sigaction action;

  if (sigaction (SIGUSR2, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
    g_unix_signal_add (SIGUSR2, func, data);
  replace_release_signals ();
}

/**
 * replace_execute:
 * @fd: a descriptor of the state, which the next program gets
 *
 * Returns only if it fails.
 */
void
replace_execute (int      fd,
                 GError **error)
{
  g_auto (GStrv) args = make_arguments (fd, FALSE);
  int code;

  fflush (stdout);
  fcntl (fd, F_SETFD, 0);
  execve (path, args, environment);
  code = errno;
  fcntl (fd, F_SETFD, FD_CLOEXEC);
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), _("%s cannot be run: %s"), path, g_strerror (code));
}
