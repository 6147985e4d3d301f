/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* GLib is not built with ThreadSanitizer, which therefore does not see that its sources and queues synchronize threads.
 * These annotate the places where data is passed from one thread to another. */
#if defined(__SANITIZE_THREAD__)
#define TCP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TCP_TSAN 1
#endif
#endif

#ifdef TCP_TSAN
void __tsan_acquire (void *address);
void __tsan_release (void *address);
#define tcp_tsan_acquire(address) __tsan_acquire (address)
#define tcp_tsan_release(address) __tsan_release (address)

/* ThreadSanitizer does not see GLib's locks either. */
#include <glib.h>
#define g_mutex_lock(mutex) (g_mutex_lock (mutex), __tsan_acquire (mutex))
#define g_mutex_unlock(mutex) (__tsan_release (mutex), g_mutex_unlock (mutex))
#define g_cond_wait(cond, mutex) (__tsan_release (mutex), g_cond_wait (cond, mutex), __tsan_acquire (mutex))
#define g_cond_wait_until(cond, mutex, deadline) \
  (__tsan_release (mutex), tcp_tsan_waited (g_cond_wait_until (cond, mutex, deadline), mutex))

static inline gboolean
tcp_tsan_waited (gboolean signalled,
                 GMutex  *mutex)
{
  __tsan_acquire (mutex);
  return signalled;
}
#else
#define tcp_tsan_acquire(address) ((void) (address))
#define tcp_tsan_release(address) ((void) (address))
#endif
