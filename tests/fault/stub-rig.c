/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stub-rig.h"

#include <string.h>

StubRig
stub_rig_new (TcpTunnelMode mode,
              const char *path_and_query)
{
  StubRig rig = { .stub = http_stub_new () };
  g_autofree char *uri = http_stub_get_uri (rig.stub, path_and_query);

  rig.tunnel = test_tunnel_new (uri, mode);
  rig.recorder = recorder_new (rig.tunnel);
  return rig;
}

void
stub_rig_clear (StubRig *rig)
{
  tcp_endpoint_close (TCP_ENDPOINT (rig->tunnel));
  g_object_unref (rig->tunnel);
  recorder_free (rig->recorder);
  http_stub_free (rig->stub);
}

int
stub_rig_connect (StubRig *rig)
{
  test_tunnel_start (rig->tunnel);
  return client_connect (test_tunnel_get_port (rig->tunnel));
}

void
stub_rig_expect_failure (StubRig *rig,
                         TcpTunnelError code)
{
  g_autoptr (GError) last = NULL;

  WAIT_UNTIL (rig->recorder->failures > 0);
  g_assert_error (rig->recorder->failure, TCP_TUNNEL_ERROR, (int) code);
  g_assert_null (strstr (rig->recorder->failure->message, TEST_TOKEN));
  g_assert_cmpint (tcp_tunnel_get_state (rig->tunnel), ==, TCP_TUNNEL_STATE_DISCONNECTED);
  last = tcp_tunnel_dup_last_error (rig->tunnel);
  g_assert_error (last, TCP_TUNNEL_ERROR, (int) code);
}
