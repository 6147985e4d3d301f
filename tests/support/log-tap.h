/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* The log lines of the library, as "LEVEL message". They are written by a thread of their own, possibly later than
 * the event that they report: wait for them. */

/* To be called before anything is logged. Other log messages are written as before. */
void log_tap_install (void);
void log_tap_clear (void);
/* Returns the number of lines that begin with @begin and contain @text. */
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
