/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"

G_BEGIN_DECLS

/* Checks whether a gateway can use a certificate, before clients connect. */
void tcp_certificate_try (GTlsCertificate     *certificate,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data);
gboolean tcp_certificate_try_sync (GTlsCertificate  *certificate,
                                   GCancellable     *cancellable,
                                   GError          **error);
gboolean tcp_certificate_try_finish (GAsyncResult  *result,
                                     GError       **error);
void tcp_certificate_warn (GTlsCertificate *certificate,
                           GDateTime       *now,
                           TcpLog          *log);

G_END_DECLS
