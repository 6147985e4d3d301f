/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-rig.h"

#include <string.h>

TunnelRig
tunnel_rig_new (TcpTunnelMode mode)
{
  TunnelRig rig = { .server = resumable_server_new () };
  g_autofree char *uri = resumable_server_get_uri (rig.server);

  rig.tunnel = test_tunnel_new (uri, mode);
  rig.recorder = recorder_new (rig.tunnel);
  g_object_set (rig.tunnel, "max-reconnect-attempts", 100000, "keepalive-interval", 0, NULL);
  return rig;
}

/* The server is freed first, so that the tunnel does not wait for a closing handshake. */
void
tunnel_rig_clear (TunnelRig *rig)
{
  g_clear_pointer (&rig->server, resumable_peer_free);
  tcp_endpoint_close (TCP_ENDPOINT (rig->tunnel));
  g_object_unref (rig->tunnel);
  recorder_free (rig->recorder);
}

int
tunnel_rig_begin (TunnelRig *rig)
{
  gboolean started;
  int fd = -1;

  test_tunnel_begin_start (rig->tunnel, &started);
  if (test_get_int (rig->tunnel, "mode") != TCP_TUNNEL_MODE_MULTIPLEXED)
    {
      WAIT_UNTIL (started);
      fd = client_connect (test_tunnel_get_port (rig->tunnel));
    }
  resumable_server_accept (rig->server);
  WAIT_UNTIL (started);

  return fd;
}

int
tunnel_rig_start (TunnelRig *rig)
{
  int fd = tunnel_rig_begin (rig);

  resumable_say_hello (rig->server);
  resumable_hear_hello (rig->server);
  if (fd < 0)
    return tunnel_rig_connect (rig, 1);

  resumable_expect (rig->server, RESUMABLE_OPEN, 1);
  return fd;
}

int
tunnel_rig_connect (TunnelRig *rig,
                    guint32 id)
{
  int fd = client_connect (test_tunnel_get_port (rig->tunnel));

  resumable_expect (rig->server, RESUMABLE_OPEN, id);
  return fd;
}

void
tunnel_rig_round_trip (TunnelRig *rig,
                       int fd,
                       guint32 id,
                       const char *text)
{
  g_autofree char *answer = g_malloc0 (strlen (text) + 1);

  client_write (fd, text, strlen (text));
  resumable_expect_data (rig->server, id, text);
  resumable_send_text (rig->server, RESUMABLE_DATA, id, text);
  client_read (fd, answer, strlen (text));
  g_assert_cmpstr (answer, ==, text);
}

void
tunnel_rig_expect_closed (TunnelRig *rig,
                          guint count,
                          TcpTunnelError code)
{
  WAIT_UNTIL (rig->recorder->closed >= count);
  g_assert_cmpuint (rig->recorder->closed, ==, count);
  g_assert_error (rig->recorder->closed_error, TCP_TUNNEL_ERROR, (int) code);
}
