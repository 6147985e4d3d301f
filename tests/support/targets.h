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
/* Sends @size bytes of test_fill (@seed), then closes. */
Target *target_new_source (guint64 size,
                           guint32 seed);
/* Accepts and never reads. */
Target *target_new_mute (void);
/* Speaks first, then is an echo. */
Target *target_new_banner (const char *banner);
/* Reads @bytes, then resets. */
Target *target_new_reset_after (guint64 bytes);
/* A port on which nobody listens. */
Target *target_new_refusing (void);

void target_free (Target *target);
guint16 target_get_port (Target *target);
char *target_get_address (Target *target);

TargetCounters target_get_counters (Target *target);
/* SHA-256 of what the sink read on the connection that ended last. */
char *target_get_digest (Target *target);

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
