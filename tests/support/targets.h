/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* TCP services for the far end of a tunnel, on 127.0.0.1 and threads of their own. Everything
 * here may be called from any thread. */
typedef struct _Target Target;

typedef struct
{
  guint64 accepted;
  guint open;
  guint64 bytes_in;
  guint64 bytes_out;
  guint64 resets; /* connections that the peer broke */
} TargetCounters;

/* Sends back what comes; passes on the end. */
Target *target_new_echo (void);
/* Reads until the end and digests it; then closes. */
Target *target_new_sink (void);
/* Sends @size bytes of test_fill (@seed), then its end, and reads on as a sink. */
Target *target_new_source (guint64 size,
                           guint32 seed);
/* Reads until the end as a sink; only then sends @size bytes of test_fill (@seed), and closes. */
Target *target_new_answer (guint64 size,
                           guint32 seed);
/* Accepts and never reads. */
Target *target_new_mute (void);
/* Speaks first, then is an echo. */
Target *target_new_banner (const char *banner);
/* Reads @bytes, then resets. */
Target *target_new_reset_after (guint64 bytes);
/* A port on which nobody listens. */
Target *target_new_refusing (void);
/* A port that does not answer, because its queue is full. */
Target *target_new_silent (void);
/* Does nothing by itself: target_accept () gives its connections to the test. */
Target *target_new_manual (void);

void target_free (Target *target);
guint16 target_get_port (Target *target);
char *target_get_address (Target *target);

TargetCounters target_get_counters (Target *target);
/* SHA-256 of what was read on the connection whose end was read last. */
char *target_get_digest (Target *target);

/* The next connection of a manual target. It is the caller's, for the functions of client.h. */
#define target_accept(target) target_accept_at (G_STRLOC, target)
int target_accept_at (const char *where,
                      Target *target);

/* Ends all current connections with a reset. */
void target_reset_all (Target *target);

/* All wait until their deadline at the most and tell whether it came true. */
gboolean target_wait_accepted (Target *target,
                               guint64 accepted);
gboolean target_wait_open (Target *target,
                           guint open);
gboolean target_wait_bytes_in (Target *target,
                               guint64 bytes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Target, target_free)

G_END_DECLS
