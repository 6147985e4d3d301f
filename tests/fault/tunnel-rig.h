/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"
#include "resumable-peer.h"

G_BEGIN_DECLS

/* A tunnel whose gateway is made by hand. */
typedef struct
{
  ResumablePeer *server;
  TcpTunnel *tunnel;
  Recorder *recorder;
} TunnelRig;

/* Properties may be set before it starts. Then the WebSocket is open and the HELLOs are said, and
 * one TCP client is connected, with the stream 1; its descriptor is returned. */
TunnelRig tunnel_rig_new (TcpTunnelMode mode);
int tunnel_rig_start (TunnelRig *rig);
void tunnel_rig_clear (TunnelRig *rig);

/* The same up to the answer of the server, whose HELLO is due; no client yet in multiplexed mode. */
int tunnel_rig_begin (TunnelRig *rig);

/* A further client, whose OPEN is read. */
int tunnel_rig_connect (TunnelRig *rig,
                        guint32 id);
/* An echo by hand: from the client to the server and back. */
void tunnel_rig_round_trip (TunnelRig *rig,
                            int fd,
                            guint32 id,
                            const char *text);
void tunnel_rig_expect_closed (TunnelRig *rig,
                               guint count,
                               TcpTunnelError code);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TunnelRig, tunnel_rig_clear)

G_END_DECLS
