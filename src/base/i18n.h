/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Messages of errors, which the library reports to the application and its user, are translated. Messages for the log
 * and for the peer are not. */
const char *tcp_gettext (const char *text) G_GNUC_FORMAT (1);

const char *tcp_ngettext (const char   *singular,
                          const char   *plural,
                          unsigned long n) G_GNUC_FORMAT (1) G_GNUC_FORMAT (2);

#define _ tcp_gettext
#define N_(text) (text)

G_END_DECLS
