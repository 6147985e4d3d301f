/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

GUri *tcp_remote_uri_parse (const char  *text,
                            GError     **error);

G_END_DECLS
