/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "fixture.h"
#include "resumable-peer.h"

G_BEGIN_DECLS

/* A gateway and its hand-made clients. Beside the one that misbehaves there is always one that does
 * not, with a stream 1 to the target. */
typedef struct
{
  Target *target;
  Fixture *fixture;
  ResumablePeer *innocent;
} LimitsRig;

/* Takes the target. Properties of the gateway may be set before it starts; an echo is the rig's own
 * choice. */
LimitsRig limits_rig_new (Target *target);
void limits_rig_start (LimitsRig *rig);
LimitsRig limits_rig_new_started (void);
void limits_rig_clear (LimitsRig *rig);

ResumablePeer *limits_rig_join (LimitsRig *rig);

/* The session is over: the client is told so, nothing of it is kept, and the innocent goes on. */
#define limits_rig_expect_error(rig, peer) limits_rig_expect_error_at (G_STRLOC, rig, peer)
void limits_rig_expect_error_at (const char *where,
                                 LimitsRig *rig,
                                 ResumablePeer *peer);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LimitsRig, limits_rig_clear)

G_END_DECLS
