/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TOKEN_VARIABLE "TCP_TUNNEL_TOKEN"

char **token_take_argv (int    argc,
                        char **argv);
char *token_read_file (const char  *source,
                       const char  *file,
                       GError     **error);
char *token_check (const char  *text,
                   const char  *source,
                   GError     **error);
const char *token_hint (const char *token);

G_END_DECLS
