/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Sets TCP_TUNNEL_ERROR_INVALID_ARGUMENT; returns FALSE, for the caller to return. */
gboolean tcp_invalid (GError    **error,
                      const char *format,
                      ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
