/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* TCP servers for the far end of a tunnel, on 127.0.0.1, with threads of their own. All functions may be called from
 * any thread. */
typedef struct _Target Target;

typedef struct
{
  guint64 accepted;
  guint open;
  guint64 bytes_in;
  guint64 bytes_out;
  guint64 resets; /* connections that the peer reset */
} TargetCounters;

/* Sends back what it receives, and ends when the peer does. */
Target *target_new_echo (void);
/* Reads until the end and computes the digest; then closes. */
Target *target_new_sink (void);
/* Sends @size bytes of test_fill (@seed), then a FIN, and reads on as a sink. */
Target *target_new_source (guint64 size,
                           guint32 seed);
/* Reads until the end as a sink; only then sends @size bytes of test_fill (@seed), and closes. */
Target *target_new_answer (guint64 size,
                           guint32 seed);
/* Accepts connections and never reads. */
Target *target_new_mute (void);
/* Sends @banner first, then is an echo. */
Target *target_new_banner (const char *banner);
/* Reads @bytes, then resets the connection. */
Target *target_new_reset_after (guint64 bytes);
/* A port on which no server listens. */
Target *target_new_refusing (void);
/* A port that does not answer, since its queue is full. */
Target *target_new_silent (void);
/* Accepts nothing by itself: target_accept () returns its connections to the test. */
Target *target_new_manual (void);

void target_free (Target *target);
guint16 target_get_port (Target *target);
char *target_get_address (Target *target);

TargetCounters target_get_counters (Target *target);
/* SHA-256 of the bytes read on the connection whose end was read last. */
char *target_get_digest (Target *target);

/* Returns the next connection of a manual target. The caller owns it, for the functions of client.h. */
#define target_accept(target) target_accept_at (G_STRLOC, target)
int target_accept_at (const char *where,
                      Target *target);

/* Resets all current connections. */
void target_reset_all (Target *target);

/* These wait until the condition holds, and return FALSE if it does not until the deadline. */
gboolean target_wait_accepted (Target *target,
                               guint64 accepted);
gboolean target_wait_open (Target *target,
                           guint open);
gboolean target_wait_bytes_in (Target *target,
                               guint64 bytes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Target, target_free)

G_END_DECLS
