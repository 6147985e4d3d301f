/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test-util.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A condition that another thread changes does not wake the main context: it is checked again this often. */
#define TICK_MS 5

#define SLOW_FACTOR 4

/* Under sanitizers and valgrind, everything is slow, and the memory of the process is not meaningful. */
static gboolean
is_instrumented (void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return TRUE;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return TRUE;
#endif
#endif
  return strstr (g_getenv ("LD_PRELOAD") != NULL ? g_getenv ("LD_PRELOAD") : "", "vgpreload") != NULL;
}

guint
test_scaled_ms (guint milliseconds)
{
  const char *multiplier = g_getenv ("TEST_TIMEOUT_MULTIPLIER");
  guint factor = multiplier != NULL ? atoi (multiplier) : is_instrumented () ? SLOW_FACTOR : 1;

  return milliseconds * MAX (factor, 1);
}

gint64
test_deadline (void)
{
  return g_get_monotonic_time () + (gint64) test_scaled_ms (TEST_DEADLINE_MS) * 1000;
}

int
test_remaining_ms (gint64 deadline)
{
  return (int) CLAMP ((deadline - g_get_monotonic_time ()) / 1000, 0, G_MAXINT);
}

gboolean
test_is_quick (void)
{
  return g_strcmp0 (g_getenv ("TCP_TUNNEL_TEST_QUICK"), "1") == 0;
}

guint
test_count (guint full,
            guint quick)
{
  return test_is_quick () ? quick : full;
}

void
test_fail (const char *where,
           const char *format,
           ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  g_error ("%s: %s", where, message);
}

static gboolean
on_tick (gpointer user_data)
{
  return G_SOURCE_REMOVE;
}

void
test_iterate (gint64 deadline,
              const char *condition,
              const char *where)
{
  g_autoptr (GSource) tick = NULL;

  if (g_get_monotonic_time () > deadline)
    test_fail (where, "waited in vain for: %s", condition);

  tick = g_timeout_source_new (TICK_MS);
  g_source_set_callback (tick, on_tick, NULL, NULL);
  g_source_attach (tick, NULL);
  g_main_context_iteration (NULL, TRUE);
  g_source_destroy (tick);
}

static guint64
scramble (guint64 value)
{
  value += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  value = (value ^ (value >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  value = (value ^ (value >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return value ^ (value >> 31);
}

void
test_fill (guint8 *data,
           gsize length,
           guint32 seed,
           guint64 offset)
{
  while (length > 0)
    {
      guint64 word = scramble (((guint64) seed << 32) ^ (offset / sizeof (guint64)));
      gsize skip = offset % sizeof word;
      gsize count = MIN (sizeof word - skip, length);

      memcpy (data, (guint8 *) &word + skip, count);
      data += count;
      offset += count;
      length -= count;
    }
}

char *
test_digest (guint64 size,
             guint32 seed)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *chunk = g_malloc (65536);

  for (guint64 offset = 0; offset < size;)
    {
      gsize count = MIN (65536, size - offset);

      test_fill (chunk, count, seed, offset);
      g_checksum_update (checksum, chunk, count);
      offset += count;
    }

  return g_strdup (g_checksum_get_string (checksum));
}

char *
test_own_address (void)
{
  guint id = getpid ();

  return g_strdup_printf ("127.%u.%u.%u", 64 + id / 64516 % 64, 1 + id / 254 % 254, 1 + id % 254);
}

void
test_need_descriptors (guint count)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  if (limit.rlim_cur >= count)
    return;
  if (limit.rlim_max < count)
    test_fail (G_STRLOC, "%u file descriptors are needed, and the hard limit is %" G_GUINT64_FORMAT, count,
               (guint64) limit.rlim_max);
  test_set_descriptors (count);
}

guint64
test_set_descriptors (guint64 count)
{
  struct rlimit limit;
  guint64 before;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  before = limit.rlim_cur;
  limit.rlim_cur = MIN (limit.rlim_max, count);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  return before;
}

guint64
test_memory (const char *field)
{
  g_autofree char *status = NULL;
  g_autofree char *key = g_strconcat ("\n", field, ":", NULL);
  const char *line;

  g_assert_true (g_file_get_contents ("/proc/self/status", &status, NULL, NULL));
  line = strstr (status, key);
  g_assert_nonnull (line);

  return g_ascii_strtoull (line + strlen (key), NULL, 10) * 1024;
}

/* Sanitizers and valgrind keep freed memory, and need shadow memory. */
gboolean
test_memory_is_meaningful (void)
{
  return !is_instrumented ();
}
