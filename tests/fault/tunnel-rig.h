/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"
#include "resumable-peer.h"

G_BEGIN_DECLS

/* A tunnel whose gateway is operated by the test. */
typedef struct
{
  ResumablePeer *server;
  TcpTunnel *tunnel;
  Recorder *recorder;
} TunnelRig;

/* Properties may be set before the start. tunnel_rig_start () opens the WebSocket, exchanges the HELLOs, and connects
 * one TCP client with stream 1, whose descriptor it returns. */
TunnelRig tunnel_rig_new (TcpTunnelMode mode);
int tunnel_rig_start (TunnelRig *rig);
void tunnel_rig_clear (TunnelRig *rig);

/* The same up to the 101 of the server, which has to send its HELLO next. In multiplexed mode, there is no client
 * yet. */
int tunnel_rig_begin (TunnelRig *rig);

/* Connects another client, and reads its OPEN. */
int tunnel_rig_connect (TunnelRig *rig,
                        guint32 id);
/* Transfers a text from the client to the server and back. */
void tunnel_rig_round_trip (TunnelRig *rig,
                            int fd,
                            guint32 id,
                            const char *text);
void tunnel_rig_expect_closed (TunnelRig *rig,
                               guint count,
                               TcpTunnelError code);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TunnelRig, tunnel_rig_clear)

G_END_DECLS
