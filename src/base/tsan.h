/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* GLib is not built with ThreadSanitizer, which therefore does not see that its
 * sources and queues order what two threads do. These say so at the two places
 * where the threads hand something over. */
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
#else
#define tcp_tsan_acquire(address) ((void) (address))
#define tcp_tsan_release(address) ((void) (address))
#endif
