/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The number of further places to listen that a gateway may have. */
#define TCP_GATEWAY_MAX_LISTENERS 64

GArray *tcp_places_read (GListModel  *list,
                         GError     **error);

G_END_DECLS
