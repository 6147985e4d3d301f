/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

char *suggest (const char        *word,
               const char *const *words,
               const char        *prefix);

G_END_DECLS
