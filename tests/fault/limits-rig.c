/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "limits-rig.h"

LimitsRig
limits_rig_new (Target *target)
{
  LimitsRig rig = { .target = target };

  rig.fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_object_set (rig.fixture->gateway, "session-timeout", 600000, "keepalive-interval", 0, NULL);
  return rig;
}

void
limits_rig_start (LimitsRig *rig)
{
  fixture_start_gateway (rig->fixture);
  rig->innocent = limits_rig_join (rig);
  resumable_open (rig->innocent, 1);
}

LimitsRig
limits_rig_new_started (void)
{
  LimitsRig rig = limits_rig_new (target_new_echo ());

  limits_rig_start (&rig);
  return rig;
}

void
limits_rig_clear (LimitsRig *rig)
{
  g_clear_pointer (&rig->innocent, resumable_peer_free);
  fixture_free (rig->fixture);
  target_free (rig->target);
}

ResumablePeer *
limits_rig_join (LimitsRig *rig)
{
  return resumable_client_start (fixture_get_gateway_port (rig->fixture), TEST_TOKEN, TRUE);
}

void
limits_rig_expect_error_at (const char *where,
                            LimitsRig *rig,
                            ResumablePeer *peer)
{
  resumable_expect_goaway_at (where, peer, RESUMABLE_GOAWAY_PROTOCOL, 1002);
  client_close (peer->fd);
  peer->fd = -1;
  g_assert_cmpuint (resumable_client_try (peer, NULL), ==, 410);
  g_assert_true (target_wait_open (rig->target, 1));
  resumable_round_trip_at (where, rig->innocent, 1, "unharmed");
}
