/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Only a test that fails reaches its deadline. The environment variable TEST_TIMEOUT_MULTIPLIER extends the deadlines
 * for sanitizers and valgrind. */
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

/* Iterates the main context until @cond holds. Another thread may change it. */
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

/* A pseudo-random byte stream that depends only on the seed and the offset. */
void test_fill (guint8 *data,
                gsize length,
                guint32 seed,
                guint64 offset);
char *test_digest (guint64 size,
                   guint32 seed);

/* An address of 127.0.0.0/8 that no other process uses, for tests that use so many ports that one of them was that of
 * another test before: clients of that test may still connect to it at 127.0.0.1. Free the result. */
char *test_own_address (void);

/* Raises the limit of file descriptors to at least @count: the default is often 1024. */
void test_need_descriptors (guint count);
/* Sets the limit of file descriptors to @count, or to the hard limit if that is lower. Returns the previous limit, to
 * restore it. */
guint64 test_set_descriptors (guint64 count);

/* The memory of this process in bytes. @field is VmRSS or VmHWM. */
guint64 test_memory (const char *field);
gboolean test_memory_is_meaningful (void);

G_END_DECLS
