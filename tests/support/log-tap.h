/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* What the library logs, each message as "LEVEL message". It is written by a thread of its own, which may be later
 * than what the message is about: wait for it. */

/* Before anything is logged. The rest of the log goes where it went. */
void log_tap_install (void);
void log_tap_clear (void);
/* How many there are that begin so and contain the text. */
guint log_tap_count (const char *begin,
                     const char *text);
GStrv log_tap_get (const char *begin);

#define LOG_TAP_EXPECT(begin, text, n)                              \
  G_STMT_START                                                      \
  {                                                                 \
    WAIT_UNTIL (log_tap_count ((begin), (text)) >= (n));            \
    g_assert_cmpuint (log_tap_count ((begin), (text)), ==, (n));    \
  }                                                                 \
  G_STMT_END

G_END_DECLS
