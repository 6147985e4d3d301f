/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Starts TLS on a connected descriptor, which the stream owns from then on, and completes the handshake. Only
 * test_certificate () is trusted. Reads and writes have a deadline. */
GIOStream *tls_client_new (int fd);

G_END_DECLS
