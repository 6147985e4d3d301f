/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/resumable.h"

G_BEGIN_DECLS

/* A gateway's end of resumable/1, written down so that another process can go on with it: as it is when its transport is
 * gone. What the state contains that a transport has taken in counts as carried. Of the streams those are in it that are
 * active.
 *
 * A change of the type, or of what it means, is a new version of the state of a gateway. */
#define TCP_RESUMABLE_STATE_TYPE "(ttttuuuuuuuuuaaya(uuuuutu)a(uqs))"

/* Whoever frees what is returned does so in this thread, and before frames are changed or dropped. */
GVariant *tcp_resumable_save (TcpProtocol *base);

/* @base is new, with no stream and no transport. Its streams have no user data yet. Returns what makes no sense in
 * @state, or NULL; if anything does not nothing has changed. */
const char *tcp_resumable_load (TcpProtocol *base,
                                GVariant    *state);

G_END_DECLS
