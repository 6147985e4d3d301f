/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"

G_BEGIN_DECLS

/* GLib's default of 10 makes the kernel drop connections that come in a burst. */
#define TCP_LISTEN_BACKLOG 512

void tcp_resolve (const char          *hostname,
                  guint                port,
                  GCancellable        *cancellable,
                  GAsyncReadyCallback  callback,
                  gpointer             user_data);
GPtrArray *tcp_resolve_finish (GAsyncResult  *result,
                               GError       **error);
GPtrArray *tcp_resolve_sync (const char  *hostname,
                             guint        port,
                             GError     **error);
GPtrArray *tcp_listen (GPtrArray  *addresses,
                       TcpLog     *log,
                       GError    **error);
GError *tcp_listen_error (const char   *hostname,
                          guint         port,
                          const GError *cause);

G_END_DECLS
