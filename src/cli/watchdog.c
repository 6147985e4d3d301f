/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/watchdog.h"

#include "cli/notify.h"

/* The number of notifications within the time in which the service manager expects one. */
#define SIGNS 3

static gboolean probing;

static void
on_probed (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  probing = FALSE;
  if (tcp_endpoint_probe_finish (TCP_ENDPOINT (object), result, NULL))
    notify_send ("WATCHDOG=1");
}

static gboolean
on_interval (gpointer data)
{
  if (!probing)
    tcp_endpoint_probe_async (data, NULL, on_probed, NULL);
  probing = TRUE;
  return G_SOURCE_CONTINUE;
}

/**
 * watchdog_start:
 * @endpoint: an endpoint that exists until the end of the command
 *
 * Notifies the service manager regularly, if it expects that (`WatchdogSec=`), as long as the main context and all I/O
 * threads respond.
 */
void
watchdog_start (TcpEndpoint *endpoint)
{
  guint64 time = notify_get_watchdog () / SIGNS;

  if (time > 0)
    g_timeout_add (CLAMP (time / 1000, 1, G_MAXUINT), on_interval, endpoint);
}
