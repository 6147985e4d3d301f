/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reverse tunnels between two ends of this library: the TCP clients connect to the gateway, and the service is behind
 * the tunnel. No byte is lost, whatever the network does. */

#include "resume-rig.h"
#include "socket-util.h"
#include "tunnel-rig.h"

#include <string.h>
#include <unistd.h>

#define MANY 12

typedef struct
{
  Fixture *fixture;
  Target *service;
  guint16 port; /* at the gateway */
} Rig;

static void
set_ports (Rig *rig)
{
  g_autofree char *ports = NULL;

  rig->port = socket_find_port ();
  ports = g_strdup_printf ("%u", rig->port);
  g_object_set (rig->fixture->gateway, "reverse-ports", (const char *[]) { ports, NULL }, NULL);
}

/* Takes ownership of @service. */
static Rig
rig_new (Target *service)
{
  Rig rig = { .fixture = resume_new (service, TCP_TUNNEL_MODE_MULTIPLEXED), .service = service };
  g_autofree char *address = target_get_address (service);
  Fixture *fixture = rig.fixture;

  recorder_free (fixture->recorder);
  g_object_unref (fixture->tunnel);
  fixture->tunnel = TCP_TUNNEL (tcp_reverse_tunnel_new (NULL, TEST_TOKEN, address));
  g_object_set (fixture->tunnel, "reconnect-delay", 10, "max-reconnect-delay", 50, "max-reconnect-attempts", 100000,
                "log-level", TCP_TUNNEL_LOG_LEVEL_DEBUG, NULL);
  fixture->recorder = recorder_new (fixture->tunnel);
  set_ports (&rig);
  g_object_set (fixture->tunnel, "remote-port", rig.port, NULL);
  fixture_start_gateway (fixture);
  return rig;
}

static Rig
rig_start (Target *service)
{
  Rig rig = rig_new (service);

  test_tunnel_start (rig.fixture->tunnel);
  return rig;
}

static void
rig_clear (Rig *rig)
{
  fixture_free (rig->fixture);
  target_free (rig->service);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static guint64
get_resumes (Rig *rig)
{
  g_autoptr (TcpStatistics) statistics = tcp_endpoint_get_statistics (TCP_ENDPOINT (rig->fixture->tunnel));

  return statistics->resumes;
}

static void
expect_remote_address (Rig        *rig,
                       const char *host)
{
  g_autofree char *wanted = host != NULL ? g_strdup_printf ("%s:%u", host, rig->port) : NULL;
  g_autofree char *address = tcp_reverse_tunnel_dup_remote_address (TCP_REVERSE_TUNNEL (rig->fixture->tunnel));

  g_assert_cmpstr (address, ==, wanted);
}

/* Requires that the start fails. */
static void
expect_failure (Rig            *rig,
                TcpTunnelError  code,
                const char     *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig->fixture->tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, text));
  g_assert_false (tcp_endpoint_get_active (TCP_ENDPOINT (rig->fixture->tunnel)));
}

static void
on_notify (GObject    *object,
           GParamSpec *pspec,
           gpointer    user_data)
{
  (*(guint *) user_data)++;
}

static void
test_address (void)
{
  guint notified = 0; /* outlives the tunnel */
  g_auto (Rig) rig = rig_new (target_new_echo ());

  g_signal_connect (rig.fixture->tunnel, "notify::remote-address", G_CALLBACK (on_notify), &notified);
  expect_remote_address (&rig, NULL);
  test_tunnel_start (rig.fixture->tunnel);
  expect_remote_address (&rig, "127.0.0.1");
  g_assert_null (tcp_endpoint_get_local_address (TCP_ENDPOINT (rig.fixture->tunnel)));
  g_assert_true (tcp_endpoint_get_active (TCP_ENDPOINT (rig.fixture->tunnel)));
  WAIT_UNTIL (notified > 0);
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->tunnel));
  expect_remote_address (&rig, NULL);

  /* The gateway chooses the port. */
  g_object_set (rig.fixture->tunnel, "remote-port", 0, NULL);
  test_tunnel_start (rig.fixture->tunnel);
  expect_remote_address (&rig, "127.0.0.1");
}

/* The service sends first, and its client ends its direction before the service does. */
static void
test_banner (void)
{
  g_auto (Rig) rig = rig_start (target_new_banner ("220 ready\r\n"));
  int fd = client_connect (rig.port);
  char banner[11];

  client_read (fd, banner, sizeof banner);
  g_assert_cmpmem (banner, sizeof banner, "220 ready\r\n", 11);
  client_send_stream (fd, 100000, 1, 0);
  client_finish (fd);
  client_read_stream (fd, 100000, 1, 0);
  client_expect_eof (fd);
  client_close (fd);
  expect_closed (rig.fixture, 1, -1);
}

/* Many connections, while the WebSocket is cut again and again, in either direction. */
static void
test_lossless (void)
{
  g_auto (Rig) rig = rig_start (target_new_echo ());
  guint cuts = test_count (30, 8);
  gsize size = 40000;
  int fds[MANY];

  for (guint i = 0; i < MANY; i++)
    fds[i] = client_connect (rig.port);
  for (guint round = 0; round < cuts; round++)
    {
      fault_proxy_cut_after (rig.fixture->proxy, round % 2 == 0 ? FAULT_UP : FAULT_DOWN, 1 + round * 7919);
      for (guint i = 0; i < MANY; i++)
        client_send_stream (fds[i], size, i, round * size);
      for (guint i = MANY; i > 0; i--)
        client_read_stream (fds[i - 1], size, i - 1, round * size);
    }
  g_assert_cmpuint (get_resumes (&rig), >=, cuts / 2);
  for (guint i = 0; i < MANY; i++)
    client_finish (fds[i]);
  for (guint i = 0; i < MANY; i++)
    {
      client_expect_eof (fds[i]);
      client_close (fds[i]);
    }
  expect_closed (rig.fixture, MANY, -1);
  g_assert_cmpuint (target_get_counters (rig.service).accepted, ==, MANY);
  g_assert_cmpuint (target_get_counters (rig.service).resets, ==, 0);
}

/* Clients that connect while there is no WebSocket wait for the next one. */
static void
test_away (void)
{
  g_auto (Rig) rig = rig_start (target_new_echo ());
  int fds[MANY];

  resume_go_away (rig.fixture);
  expect_remote_address (&rig, "127.0.0.1");
  for (guint i = 0; i < MANY; i++)
    {
      fds[i] = client_connect (rig.port);
      client_send_stream (fds[i], 5000, i, 0);
    }
  resume_come_back (rig.fixture);
  for (guint i = 0; i < MANY; i++)
    {
      client_read_stream (fds[i], 5000, i, 0);
      client_close (fds[i]);
    }
}

/* A restarted gateway is asked to listen again. */
static void
test_restart (void)
{
  g_auto (Rig) rig = rig_start (target_new_echo ());
  int fd = client_connect (rig.port);

  client_round_trip (fd, "before");
  for (guint i = 1; i <= 3; i++)
    {
      recorder_clear_states (rig.fixture->recorder);
      fault_proxy_refuse (rig.fixture->proxy, TRUE);
      tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));
      client_expect_reset (fd);
      client_close (fd);
      WAIT_UNTIL (rig.fixture->recorder->last_state != TCP_TUNNEL_STATE_CONNECTED);
      fixture_start_gateway (rig.fixture);
      fault_proxy_refuse (rig.fixture->proxy, FALSE);
      WAIT_UNTIL (client_try_connect (rig.port, &fd) == 0);
      client_round_trip (fd, "after");
    }
  client_close (fd);
}

static void
welcome_listener (TunnelRig *rig,
                  guint32    listener)
{
  resumable_server_accept (rig->server);
  resumable_say_hello (rig->server);
  resumable_hear_hello (rig->server);
  /* The former instance has confirmed more. */
  rig->server->confirmed = 0;
  resumable_expect (rig->server, RESUMABLE_LISTEN, listener);
}

/* A gateway that has lost the session and cannot listen at the moment is asked again. The state of the tunnel shows
 * that it is not connected. */
static void
test_broken (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED);
  gboolean started;

  rig.server->hello.flags = RESUMABLE_LISTENERS;
  g_object_set (rig.tunnel, "reverses", (const char *[]) { "7=127.0.0.1:9", NULL }, NULL);
  test_tunnel_begin_start (rig.tunnel, &started);
  welcome_listener (&rig, 1);
  resumable_send_port (rig.server, RESUMABLE_LISTENING, 1, 7, "127.0.0.1");
  WAIT_UNTIL (started);
  resumable_reset (rig.server);
  rig.server->hello.instance++;
  rig.server->taken = rig.server->sent = 0;
  welcome_listener (&rig, 1);
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);

  for (guint32 listener = 1; listener <= 2; listener++)
    {
      resumable_send_code (rig.server, RESUMABLE_UNLISTEN, listener,
                           listener == 1 ? RESUMABLE_RESET_BROKEN : RESUMABLE_RESET_LIMIT, "short of something");
      WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_RECONNECTING);
      resumable_expect (rig.server, RESUMABLE_LISTEN, listener + 1);
    }
  resumable_send_port (rig.server, RESUMABLE_LISTENING, 3, 7, "127.0.0.1");
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
}

static void
test_refused (void)
{
  g_auto (Rig) rig = rig_start (target_new_refusing ());

  for (guint i = 1; i <= 3; i++)
    {
      int fd = client_connect (rig.port);

      client_expect_reset (fd);
      client_close (fd);
      expect_closed (rig.fixture, i, TCP_TUNNEL_ERROR_TARGET);
    }
  g_assert_cmpint (tcp_tunnel_get_state (rig.fixture->tunnel), ==, TCP_TUNNEL_STATE_CONNECTED);
}

/* A service that does not accept the connection within connect-timeout. */
static void
test_silent (void)
{
  g_auto (Rig) rig = rig_new (target_new_silent ());
  int fd;

  g_object_set (rig.fixture->tunnel, "connect-timeout", 300, NULL);
  test_tunnel_start (rig.fixture->tunnel);
  fd = client_connect (rig.port);
  client_expect_reset (fd);
  client_close (fd);
  expect_closed (rig.fixture, 1, TCP_TUNNEL_ERROR_TARGET);
}

static void
test_too_many (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  int fds[3];

  g_object_set (rig.fixture->tunnel, "max-connections", 2, NULL);
  test_tunnel_start (rig.fixture->tunnel);
  for (guint i = 0; i < 2; i++)
    {
      fds[i] = client_connect (rig.port);
      client_round_trip (fds[i], "there is room");
    }
  fds[2] = client_connect (rig.port);
  client_expect_reset (fds[2]);
  client_round_trip (fds[0], "still there");
  for (guint i = 0; i < 3; i++)
    client_close (fds[i]);
}

static void
test_failures (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  guint16 taken;
  int fd = socket_listen (rig.port, &taken);

  expect_failure (&rig, TCP_TUNNEL_ERROR_LISTEN, "already in use");
  close (fd);
  g_object_set (rig.fixture->tunnel, "remote-port", 1, NULL);
  expect_failure (&rig, TCP_TUNNEL_ERROR_FORBIDDEN, "not one of those");
  g_object_set (rig.fixture->tunnel, "target", "nowhere", NULL);
  expect_failure (&rig, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "HOST:PORT");
  g_object_set (rig.fixture->tunnel, "target", NULL, NULL);
  expect_failure (&rig, TCP_TUNNEL_ERROR_INVALID_ARGUMENT, "no service");
  g_object_set (rig.fixture->tunnel, "target", "127.0.0.1:1", "token", "wrong", NULL);
  expect_failure (&rig, TCP_TUNNEL_ERROR_UNAUTHORIZED, "401");
}

static void
test_no_ports (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());

  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));
  g_object_set (rig.fixture->gateway, "reverse-ports", NULL, NULL);
  fixture_start_gateway (rig.fixture);
  expect_failure (&rig, TCP_TUNNEL_ERROR_REJECTED, "does not offer ports for reverse tunnels (400");
}

/* Of two tunnels of one principal for the same port, the first keeps it. */
static void
test_second (void)
{
  g_auto (Rig) rig = rig_start (target_new_echo ());
  g_autoptr (TcpReverseTunnel) second = tcp_reverse_tunnel_new (NULL, TEST_TOKEN, "127.0.0.1:1");
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = test_dup_string (rig.fixture->tunnel, "remote-uri");
  int fd;

  g_object_set (second, "remote-uri", uri, "remote-port", rig.port, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (second), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LISTEN);
  fd = client_connect (rig.port);
  client_round_trip (fd, "still the first");
  client_close (fd);

  /* But a tunnel that has lost its WebSocket loses the port to the other. */
  resume_go_away (rig.fixture);
  g_clear_error (&error);
  g_free (uri);
  uri = g_strdup_printf ("ws://127.0.0.1:%u/", fixture_get_gateway_port (rig.fixture));
  g_object_set (second, "remote-uri", uri, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (second), NULL, &error);
  g_assert_no_error (error);
  resume_come_back (rig.fixture);
  WAIT_UNTIL (rig.fixture->recorder->failures == 1);
  g_assert_nonnull (strstr (rig.fixture->recorder->failure->message, "taken the port over"));
  tcp_endpoint_close (TCP_ENDPOINT (second));
}

/* Reverse tunnels in the session of a tunnel that has connections of its own. */
static void
test_beside_others (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Target) service = target_new_banner ("hello");
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autofree char *address = target_get_address (service);
  g_autofree char *spec = NULL;
  Rig rig = { .fixture = fixture };
  int fds[2 * MANY];

  set_ports (&rig);
  spec = g_strdup_printf ("0=%s", address);
  g_object_set (fixture->tunnel, "reverses", (const char *[]) { spec, NULL }, NULL);
  fixture_start (fixture);
  for (guint i = 0; i < 2 * MANY; i++)
    fds[i] = client_connect (i % 2 == 0 ? fixture_get_port (fixture) : rig.port);
  for (guint i = 1; i < 2 * MANY; i += 2)
    {
      char banner[5];

      client_read (fds[i], banner, sizeof banner);
    }
  for (guint round = 0; round < 6; round++)
    {
      fault_proxy_cut_after (fixture->proxy, round % 2 == 0 ? FAULT_UP : FAULT_DOWN, 1 + round * 7919);
      for (guint i = 0; i < 2 * MANY; i++)
        client_send_stream (fds[i], 20000, i, round * 20000);
      for (guint i = 0; i < 2 * MANY; i++)
        client_read_stream (fds[i], 20000, i, round * 20000);
    }
  for (guint i = 0; i < 2 * MANY; i++)
    client_finish (fds[i]);
  for (guint i = 0; i < 2 * MANY; i++)
    {
      client_expect_eof (fds[i]);
      client_close (fds[i]);
    }
  expect_closed (fixture, 2 * MANY, -1);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, MANY);
  g_assert_cmpuint (target_get_counters (service).accepted, ==, MANY);
}

static void
test_beside_refused (void)
{
  static const char *const bad[] = { "1", "x=127.0.0.1:1", "1=nowhere", "65536=127.0.0.1:1" };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);

  fixture_start_gateway (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_object_set (fixture->tunnel, "reverses", (const char *[]) { bad[i], NULL }, NULL);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
    }
  {
    g_autoptr (GError) error = NULL;

    /* This gateway has no ports for reverse tunnels. */
    g_object_set (fixture->tunnel, "reverses", (const char *[]) { "1=127.0.0.1:1", NULL }, NULL);
    g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
    g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_FORBIDDEN);
  }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reverse/address", test_address);
  g_test_add_func ("/reverse/banner", test_banner);
  g_test_add_func ("/reverse/lossless", test_lossless);
  g_test_add_func ("/reverse/away", test_away);
  g_test_add_func ("/reverse/restart", test_restart);
  g_test_add_func ("/reverse/broken", test_broken);
  g_test_add_func ("/reverse/refused", test_refused);
  g_test_add_func ("/reverse/silent", test_silent);
  g_test_add_func ("/reverse/too-many", test_too_many);
  g_test_add_func ("/reverse/failures", test_failures);
  g_test_add_func ("/reverse/no-ports", test_no_ports);
  g_test_add_func ("/reverse/second", test_second);
  g_test_add_func ("/reverse/beside-others", test_beside_others);
  g_test_add_func ("/reverse/beside-refused", test_beside_refused);
  return g_test_run ();
}
