/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/session.h"

G_BEGIN_DECLS

/* A gateway's end of a session, saved so that another process, which inherits the sockets of its streams, can continue
 * it.
 *
 * The state is that of the session without a channel. A protocol that does not outlive its channel loses its streams
 * then; of these the state contains only those that the peer has finished, and that have to empty their queue. */
#define TCP_SESSION_STATE_TYPE "(va" TCP_STREAM_STATE_TYPE ")"

/* While it is suspended, nothing is sent on its channel. The reactor of its thread is suspended as well. */
void tcp_session_set_suspended (TcpSession *self,
                                gboolean    suspended);
gboolean tcp_session_can_be_saved (TcpSession *self);

/* The caller frees the result in this thread, and before the session continues. */
GVariant *tcp_session_save (TcpSession *self);
void tcp_session_list_lost (TcpSession *self,
                            GArray     *descriptors);

/* @state has the right type; @class is the protocol of the session that it belongs to. */
gboolean tcp_session_check_state (GVariant                *state,
                                  const TcpProtocolClass  *class,
                                  GError                 **error);

/* The session is new, and the state was checked. Returns its streams, of TcpStream, which have no socket yet. */
GPtrArray *tcp_session_restore (TcpSession *self,
                                GVariant   *state);
/* Called when the streams have their sockets. */
void tcp_session_begin_restored (TcpSession *self,
                                 GVariant   *state);

G_END_DECLS
