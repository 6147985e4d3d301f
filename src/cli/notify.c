/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/notify.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <unistd.h>

static char *socket_path;
static guint64 watchdog; /* in µs; 0 for none */

static void
read_watchdog (void)
{
  const char *time = g_getenv ("WATCHDOG_USEC");
  const char *pid = g_getenv ("WATCHDOG_PID");
  guint64 process = getpid ();

  /* Another process is watched. */
  if (time == NULL || (pid != NULL && (!g_ascii_string_to_unsigned (pid, 10, 1, G_MAXINT, &process, NULL) ||
                                       process != (guint64) getpid ())))
    return;
  g_ascii_string_to_unsigned (time, 10, 1, G_MAXUINT64, &watchdog, NULL);
}

/**
 * notify_init:
 *
 * Removes the variables from the environment, since commands that are run for a tunnel must not notify the service
 * manager. Must be called before there are threads.
 */
void
notify_init (void)
{
  socket_path = g_strdup (g_getenv ("NOTIFY_SOCKET"));
  g_unsetenv ("NOTIFY_SOCKET");
  read_watchdog ();
  g_unsetenv ("WATCHDOG_USEC");
  g_unsetenv ("WATCHDOG_PID");
}

/**
 * notify_get_watchdog:
 *
 * Returns: the interval in microseconds within which the service manager expects a notification, or 0 if it expects
 * none
 */
guint64
notify_get_watchdog (void)
{
  return socket_path != NULL ? watchdog : 0;
}

static gboolean
send_text (const char  *text,
           GError     **error)
{
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketAddress) address = NULL;

  if (*socket_path == '@')
    address = g_unix_socket_address_new_with_type (socket_path + 1, -1,
                                                   G_UNIX_SOCKET_ADDRESS_ABSTRACT);
  else
    address = g_unix_socket_address_new (socket_path);
  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_DEFAULT,
                         error);
  return socket != NULL &&
         g_socket_send_to (socket, address, text, strlen (text), NULL, error) >= 0;
}

/**
 * notify_send:
 * @format: assignments such as `READY=1`, one per line
 */
void
notify_send (const char *format,
             ...)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  va_list args;

  if (socket_path == NULL)
    return;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  if (send_text (text, &error))
    return;
  g_message ("the service manager at %s cannot be notified: %s", socket_path, error->message);
  g_clear_pointer (&socket_path, g_free);
}
