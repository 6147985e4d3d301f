/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/notify.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>

static char *socket_path;

/**
 * notify_init:
 *
 * Takes the variable out of the environment: commands that are run on behalf of
 * a tunnel have nothing to tell the service manager. To be called before there
 * are threads.
 */
void
notify_init (void)
{
  socket_path = g_strdup (g_getenv ("NOTIFY_SOCKET"));
  g_unsetenv ("NOTIFY_SOCKET");
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
 * @format: assignments such as `READY=1`, one a line
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
  g_message ("the service manager at %s cannot be told: %s", socket_path, error->message);
  g_clear_pointer (&socket_path, g_free);
}
