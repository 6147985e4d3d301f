/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/protocol.h"

G_BEGIN_DECLS

/* limrun's protocols: raw, where the messages are the byte stream of the only connection; tagged; and
 * reverse, which is tagged where the gateway has the TCP clients: the transport is one listener of it. What
 * a transport had on its way when it broke is gone. */
extern const TcpProtocolClass tcp_protocol_raw;
extern const TcpProtocolClass tcp_protocol_tagged;
extern const TcpProtocolClass tcp_protocol_reverse;

/* Raw, for another process to go on with. */
#define TCP_RAW_STATE_TYPE "(butaay)"

GVariant *tcp_raw_save (TcpProtocol *base,
                        GQueue      *unsent,
                        guint64      unconfirmed);
const char *tcp_raw_load (TcpProtocol *base,
                          GVariant    *state,
                          guint64     *unconfirmed);

G_END_DECLS
