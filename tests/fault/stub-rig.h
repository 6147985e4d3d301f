/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"

G_BEGIN_DECLS

/* A tunnel whose gateway is an HttpStub. */
typedef struct
{
  HttpStub *stub;
  TcpTunnel *tunnel;
  Recorder *recorder;
} StubRig;

StubRig stub_rig_new (TcpTunnelMode mode,
                      const char *path_and_query);
void stub_rig_clear (StubRig *rig);

/* Starts the tunnel and connects to it. */
int stub_rig_connect (StubRig *rig);
void stub_rig_expect_failure (StubRig *rig,
                              TcpTunnelError code);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StubRig, stub_rig_clear)

G_END_DECLS
