/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/session-private.h"

G_BEGIN_DECLS

/* The sums over the sessions of one end, which the application sees as statistics. */
typedef struct
{
  gsize connections;
  gsize retained;
  gsize receive_window;
  gsize send_window;
} Sums;

/* The number of streams that have ended in both directions, and for whose acknowledgement this end waits. */
guint count_ending (TcpResumable *protocol);
/* Returns NULL if the session uses another protocol, or none yet. */
TcpResumable *session_get_resumable (TcpSession *session);
/* Fails if an invariant does not hold. Adds the session's numbers to @sums. */
void check_session (TcpSession *session,
                    Sums       *sums);

G_END_DECLS
