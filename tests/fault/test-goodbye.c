/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* If the WebSocket breaks on which a tunnel has sent the end of its session, it sends the goodbye again on another
 * WebSocket. */

#include "monitor.h"
#include "resume-rig.h"
#include "tunnel-rig.h"

#include <string.h>
#include <unistd.h>

#define MAX_ATTEMPTS 4

/* The number of goodbyes that were given up, from the log. */

static Monitor monitor;
static guint given_up;

static GLogWriterOutput
write_log (GLogLevelFlags flags,
           const GLogField *fields,
           gsize n_fields,
           gpointer user_data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0 && strstr (fields[i].value, "may not know that a session is over") != NULL)
      {
        monitor_enter (&monitor);
        given_up++;
        monitor_changed (&monitor);
        monitor_leave (&monitor);
      }
  return g_log_writer_default (flags, fields, n_fields, user_data);
}

static guint
get_given_up (void)
{
  guint n;

  monitor_enter (&monitor);
  n = given_up;
  monitor_leave (&monitor);
  return n;
}

/* The tunnel has sent its goodbye, and the server leaves without an answer. */
static void
lose_goodbye (TunnelRig *rig)
{
  resumable_expect_goaway (rig->server, RESUMABLE_GOAWAY_DONE, 1000);
  resumable_reset (rig->server);
}

/* The goodbye is repeated for the same session, on a WebSocket that is opened only for it. */
static void
expect_goodbye_again (TunnelRig *rig,
                      const char *query)
{
  resumable_server_accept (rig->server);
  g_assert_cmpstr (rig->server->query, ==, query);
  resumable_say_hello (rig->server);
  resumable_hear_hello (rig->server);
  g_assert_cmpuint (rig->server->heard.instance, ==, rig->server->hello.instance);
  resumable_expect_goaway (rig->server, RESUMABLE_GOAWAY_DONE, 1000);
}

static void
answer_close (TunnelRig *rig)
{
  g_autoptr (GBytes) close_frame = ws_server_close (1000);

  client_write (rig->server->fd, g_bytes_get_data (close_frame, NULL), g_bytes_get_size (close_frame));
  client_expect_end (rig->server->fd);
  close (rig->server->fd);
  rig->server->fd = -1;
}

/* All of the session is finished when its last WebSocket breaks. */
static void
test_done (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_SINGLETON);
  g_autofree char *query = NULL;
  guint64 received;
  int fd = tunnel_rig_start (&rig);

  query = g_strdup (rig.server->query);
  client_finish (fd);
  resumable_expect (rig.server, RESUMABLE_FIN, 1);
  resumable_send_ack (rig.server, rig.server->taken);
  resumable_send (rig.server, RESUMABLE_FIN, 1, NULL, 0);
  client_expect_eof (fd);
  client_close (fd);
  received = rig.server->sent;
  for (guint i = 0; i < 2; i++)
    {
      lose_goodbye (&rig);
      resumable_server_accept (rig.server);
      g_assert_cmpstr (rig.server->query, ==, query);
      resumable_say_hello (rig.server);
      resumable_hear_hello (rig.server);
      g_assert_cmpuint (rig.server->heard.received, ==, received);
    }
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
  answer_close (&rig);

  /* The goodbye is not repeated any more: the next client gets another session. */
  fd = client_connect (test_tunnel_get_port (rig.tunnel));
  resumable_server_accept (rig.server);
  g_assert_cmpstr (rig.server->query, !=, query);
  client_close (fd);
}

/* The application closes the tunnel; the call does not wait for the goodbye. */
static void
test_closed (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  g_autofree char *query = NULL;
  int fd = tunnel_rig_start (&rig);

  query = g_strdup (rig.server->query);
  tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
  client_expect_reset (fd);
  client_close (fd);
  lose_goodbye (&rig);
  expect_goodbye_again (&rig, query);
  answer_close (&rig);
}

/* If no server answers, the goodbye is given up after some attempts. */
static void
test_bounded (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autofree char *query = NULL;
  guint before = get_given_up ();
  int fd;

  fd = tunnel_rig_start (&rig);
  query = g_strdup (rig.server->query);
  tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
  client_close (fd);
  lose_goodbye (&rig);
  for (guint i = 0; i < MAX_ATTEMPTS; i++)
    {
      expect_goodbye_again (&rig, query);
      resumable_reset (rig.server);
    }
  WAIT_UNTIL (get_given_up () > before);
}

/* The gateway ends the connections of a tunnel that was closed without a WebSocket as soon as the goodbye arrives,
 * and not only after the session timeout. */
static void
test_gateway (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  int fd;

  g_object_set (fixture->gateway, "session-timeout", 600000, NULL);
  fd = resume_begin (fixture);
  resume_go_away (fixture);
  g_assert_cmpuint (test_figure (fixture->gateway, open_connections), ==, 1);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
  resume_come_back (fixture);
  WAIT_UNTIL (test_figure (fixture->gateway, open_connections) == 0);
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  g_log_set_writer_func (write_log, NULL, NULL);

  g_test_add_func ("/goodbye/done", test_done);
  add_long_mode_test ("/goodbye/closed", test_closed);
  g_test_add_func ("/goodbye/bounded", test_bounded);
  add_long_mode_test ("/goodbye/gateway", test_gateway);

  return g_test_run ();
}
