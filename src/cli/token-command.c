/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/token-command.h"

#include <glib/gi18n.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/process.h"
#include "cli/token.h"

enum
{
  MAX_LENGTH = 16 * 1024, /* of its output */
};

typedef struct
{
  GSubprocess *process;
  char *source;
  gsize length;
  char text[MAX_LENGTH + 1];
} Call;

static void
call_free (gpointer data)
{
  Call *call = data;

  g_clear_object (&call->process);
  g_free (call->source);
  g_free (call);
}

/* Done at once: GLib would leave it to another thread, and this process may be about to end. */
static void
terminate (GSubprocess *process)
{
  const char *pid = g_subprocess_get_identifier (process);

  if (pid != NULL)
    kill (atoi (pid), SIGTERM);
}

static void
on_end (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  g_autoptr (GTask) task = data;
  Call *call = g_task_get_task_data (task);
  g_autofree char *problem = NULL;
  char *token;
  GError *error = NULL;

  if (!g_subprocess_wait_finish (call->process, result, &error))
    {
      terminate (call->process);
      g_task_return_error (task, error);
      return;
    }
  /* A NUL in the output would hide what follows. */
  problem = strlen (call->text) < call->length ? g_strdup (_("the command printed no text"))
                                               : process_describe_end (call->process);
  if (problem != NULL)
    {
      g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s",
                               call->source, problem);
      return;
    }
  token = token_check (call->text, call->source, &error);
  if (token == NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, token, g_free);
}

static void
on_read (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr (GTask) task = data;
  Call *call = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_input_stream_read_all_finish (G_INPUT_STREAM (object), result, &call->length, &error) ||
      call->length > MAX_LENGTH)
    {
      terminate (call->process);
      if (error == NULL)
        error = g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                             _("%s: the command printed more than a token"), call->source);
      g_task_return_error (task, error);
      return;
    }
  call->text[call->length] = '\0';
  g_subprocess_wait_async (call->process, g_task_get_cancellable (task), on_end,
                           g_object_ref (task));
}

/**
 * token_command_async:
 * @command: the command for the shell; it prints the token
 * @source: the name of the command in messages
 *
 * The command may ask for a password at the terminal, and take long.
 */
void
token_command_async (const char          *command,
                     const char          *source,
                     GCancellable        *cancellable,
                     GAsyncReadyCallback  callback,
                     gpointer             data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, data);
  g_autoptr (GSubprocessLauncher) launcher =
      process_launcher (G_SUBPROCESS_FLAGS_STDOUT_PIPE, FALSE);
  Call *call = g_new0 (Call, 1);
  GError *error = NULL;

  call->source = g_strdup (source);
  g_task_set_task_data (task, call, call_free);
  call->process = process_spawn (launcher, command, &error);
  if (call->process == NULL)
    {
      g_prefix_error (&error, "%s: ", source);
      g_task_return_error (task, error);
      return;
    }
  g_input_stream_read_all_async (g_subprocess_get_stdout_pipe (call->process), call->text,
                                 sizeof call->text, G_PRIORITY_DEFAULT, cancellable, on_read,
                                 g_object_ref (task));
}

char *
token_command_finish (GAsyncResult  *result,
                      GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
