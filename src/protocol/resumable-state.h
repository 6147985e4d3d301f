/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/resumable.h"

G_BEGIN_DECLS

/* A gateway's end of resumable/1, saved so that another process can continue it: as it is without a transport. Frames
 * in the state that were passed to a transport count as carried. The state contains only active streams.
 *
 * A change of the type, or of its meaning, is a new version of the state of a gateway. */
#define TCP_RESUMABLE_STATE_TYPE "(ttttuuuuuuuuuaaya(uuuuutu)a(uqs))"

/* The caller frees the result in this thread, and before frames are changed or dropped. */
GVariant *tcp_resumable_save (TcpProtocol *base);

/* @base is new, with no stream and no transport. Its streams have no user data yet. Returns what is invalid in @state,
 * or NULL; if it is not NULL, nothing has changed. */
const char *tcp_resumable_load (TcpProtocol *base,
                                GVariant    *state);

G_END_DECLS
