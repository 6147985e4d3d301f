/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Deadlines are generous and only ever reached by a test that fails. The environment's
 * TEST_TIMEOUT_MULTIPLIER stretches them, for sanitizers and valgrind. */
#define TEST_DEADLINE_MS 30000

guint test_scaled_ms (guint milliseconds);
gint64 test_deadline (void);
int test_remaining_ms (gint64 deadline);
gboolean test_is_quick (void);
guint test_count (guint full,
                  guint quick);

void test_fail (const char *where,
                const char *format,
                ...) G_GNUC_PRINTF (2, 3) G_GNUC_NORETURN;

/* Iterates the main context until @cond holds. It may be changed by another thread. */
#define WAIT_UNTIL(cond) \
  G_STMT_START \
  { \
    gint64 wait_deadline_ = test_deadline (); \
    while (!(cond)) \
      test_iterate (wait_deadline_, #cond, G_STRLOC); \
  } \
  G_STMT_END

void test_iterate (gint64 deadline,
                   const char *condition,
                   const char *where);

/* A pseudo-random byte stream that depends on nothing but the seed and the offset. */
void test_fill (guint8 *data,
                gsize length,
                guint32 seed,
                guint64 offset);
char *test_digest (guint64 size,
                   guint32 seed);

/* An address of 127.0.0.0/8 that no other process has, for those that use up so many ports that one of them was
 * another's before: its clients may still come to it at 127.0.0.1. Free it. */
char *test_own_address (void);

/* Has the process have so many file descriptors at least: by default it often may have 1024. */
void test_need_descriptors (guint count);
/* Has it have so many, or as many as it may; returns how many it had, to give them back. */
guint64 test_set_descriptors (guint64 count);

/* Memory of this process in bytes; @field is VmRSS or VmHWM. */
guint64 test_memory (const char *field);
gboolean test_memory_is_meaningful (void);

G_END_DECLS
