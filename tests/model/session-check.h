/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/session-private.h"

G_BEGIN_DECLS

/* The sums over the sessions of one end, which are what the application is told. */
typedef struct
{
  gsize connections;
  gsize retained;
  gsize receive_window;
  gsize send_window;
} Sums;

/* Streams of which both ends are through, where this one waits to hear that the peer knows it. */
guint count_ending (TcpResumable *protocol);
/* NULL if it speaks another protocol, or none. */
TcpResumable *session_get_resumable (TcpSession *session);
/* Fails if one of its bounds does not hold, or its books are wrong. Adds to @sums. */
void check_session (TcpSession *session,
                    Sums       *sums);

G_END_DECLS
