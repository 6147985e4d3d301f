/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/protocol.h"

G_BEGIN_DECLS

/* limrun's protocols: raw, in which the messages are the byte stream of the only connection; tagged; and reverse, which
 * is tagged with the TCP clients at the gateway: each transport is one listener. Data that is on its way when a
 * transport breaks is lost. */
extern const TcpProtocolClass tcp_protocol_raw;
extern const TcpProtocolClass tcp_protocol_tagged;
extern const TcpProtocolClass tcp_protocol_reverse;

/* The state of raw, which another process can continue. */
#define TCP_RAW_STATE_TYPE "(butaay)"

GVariant *tcp_raw_save (TcpProtocol *base,
                        GQueue      *unsent,
                        guint64      unconfirmed);
const char *tcp_raw_load (TcpProtocol *base,
                          GVariant    *state,
                          guint64     *unconfirmed);

G_END_DECLS
