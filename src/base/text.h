/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

char *tcp_text_from_peer (const char *text,
                          gsize       length);
char *tcp_text_from_date (GDateTime *date);
void tcp_text_add_secret (const char *secret);
void tcp_text_remove_secret (const char *secret);

G_END_DECLS
