/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "cli/settings.h"

G_BEGIN_DECLS

gboolean target_check (char   **args,
                       GError **error);
gboolean target_read (const char  *text,
                      const char  *config,
                      Settings    *settings,
                      GError     **error);

G_END_DECLS
