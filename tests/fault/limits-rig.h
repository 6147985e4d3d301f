/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"
#include "resumable-peer.h"

G_BEGIN_DECLS

/* A gateway and clients that the test operates. Besides the client that misbehaves there is always one that does not,
 * with a stream 1 to the target. */
typedef struct
{
  Target *target;
  Fixture *fixture;
  ResumablePeer *innocent;
} LimitsRig;

/* Takes ownership of the target. Properties of the gateway may be set before it starts. limits_rig_new_started ()
 * uses an echo. */
LimitsRig limits_rig_new (Target *target);
void limits_rig_start (LimitsRig *rig);
LimitsRig limits_rig_new_started (void);
void limits_rig_clear (LimitsRig *rig);

ResumablePeer *limits_rig_join (LimitsRig *rig);

/* Requires that the session of @peer has ended with a protocol error, that the gateway keeps nothing of it, and that
 * the other client is unaffected. */
#define limits_rig_expect_error(rig, peer) limits_rig_expect_error_at (G_STRLOC, rig, peer)
void limits_rig_expect_error_at (const char *where,
                                 LimitsRig *rig,
                                 ResumablePeer *peer);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LimitsRig, limits_rig_clear)

G_END_DECLS
