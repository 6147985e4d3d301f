/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  TCP_PEER_UNKNOWN, /* it is on another machine, or in another network namespace */
  TCP_PEER_READS,
  TCP_PEER_GONE,    /* it has closed both directions, so that it reads nothing more */
} TcpPeerState;

TcpPeerState tcp_socket_diagnose_peer (GSocket *peer_of);

G_END_DECLS
