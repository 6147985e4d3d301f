/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Each function takes the arguments, beginning with its own name, and returns the exit status. */
int connect_main (char ***args);
int up_main (char ***args);
int reverse_main (char ***args);
int check_main (char ***args);
int status_main (char ***args);
int gateway_main (char ***args);
int demo_main (char ***args);

G_END_DECLS
