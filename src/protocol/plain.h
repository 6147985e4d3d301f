/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "protocol/protocol.h"

G_BEGIN_DECLS

/* limrun's protocols: raw, where the messages are the byte stream of the only connection, and
 * tagged. What a transport had on its way when it broke is gone. */
extern const TcpProtocolClass tcp_protocol_raw;
extern const TcpProtocolClass tcp_protocol_tagged;

G_END_DECLS
