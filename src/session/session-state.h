/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/session.h"

G_BEGIN_DECLS

/* A gateway's end of a session, written down so that another process can go on with it, which inherits the sockets of its
 * streams.
 *
 * What is written is the session as it is when its channel is gone. A protocol that does not outlive its channel loses
 * its streams then, of which only those are written that the peer is through with, and that have to empty their queue. */
#define TCP_SESSION_STATE_TYPE "(va" TCP_STREAM_STATE_TYPE ")"

/* From here until it is not suspended any more nothing goes out on its channel. Its thread's reactor is suspended. */
void tcp_session_set_suspended (TcpSession *self,
                                gboolean    suspended);
gboolean tcp_session_can_be_saved (TcpSession *self);

/* Whoever frees what is returned does so in this thread, and before the session goes on. */
GVariant *tcp_session_save (TcpSession *self);
void tcp_session_list_lost (TcpSession *self,
                            GArray     *descriptors);

/* Of @state, which is of the type. The session for which it is has this protocol. */
gboolean tcp_session_check_state (GVariant                *state,
                                  const TcpProtocolClass  *class,
                                  GError                 **error);

/* It is new, and the state was checked. Returns its streams, of TcpStream, which have no socket yet. */
GPtrArray *tcp_session_restore (TcpSession *self,
                                GVariant   *state);
/* When these have theirs. */
void tcp_session_begin_restored (TcpSession *self,
                                 GVariant   *state);

G_END_DECLS
