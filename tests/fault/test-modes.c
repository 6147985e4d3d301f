/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many TCP connections without mode=multiplexed: each with its own session, or all in one session if the gateway
 * supports that. The tests of other subjects run in every mode. */

#include "log-tap.h"
#include "resume-rig.h"
#include "socket-util.h"
#include "stub-rig.h"
#include "tunnel-rig.h"

#include <string.h>
#include <unistd.h>

/* Each client has its own seed, so that bytes of another client are detected. */
typedef struct
{
  int fd;
  guint32 seed;
} Talk;

static gpointer
run_talk (gpointer data)
{
  Talk *talk = data;

  client_echo_stream (talk->fd, MIB / 2, talk->seed);
  client_finish (talk->fd);
  /* raw has no half-close. */
  client_expect_end (talk->fd);
  client_close (talk->fd);
  return NULL;
}

/* Each connection transfers its own bytes, and ends in order. */
static void
check_many (TcpTunnelMode mode,
            FixtureFlags flags,
            guint count,
            guint websockets)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PROXY | flags);
  g_autofree Talk *talks = g_new0 (Talk, count);
  g_autofree GThread **threads = g_new0 (GThread *, count);

  fixture_start (fixture);
  for (guint i = 0; i < count; i++)
    talks[i] = (Talk) { client_connect (fixture_get_port (fixture)), i };
  for (guint i = 0; i < count; i++)
    threads[i] = g_thread_new ("talk", run_talk, &talks[i]);
  for (guint i = 0; i < count; i++)
    g_thread_join (threads[i]);

  WAIT_UNTIL (fixture->recorder->closed == count);
  if (flags & FIXTURE_RESUMABLE)
    g_assert_no_error (fixture->recorder->closed_error);
  g_assert_cmpuint (fixture->recorder->opened, ==, count);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
  g_assert_cmpuint (test_figure (fixture->tunnel, bytes_sent), ==, (guint64) count * MIB / 2);
  g_assert_cmpuint (target_get_counters (target).accepted, ==, count);
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_accepted, ==, websockets);
}

static void
test_parallel_many (void)
{
  check_many (TCP_TUNNEL_MODE_PARALLEL, FIXTURE_PLAIN, 40, 40);
  check_many (TCP_TUNNEL_MODE_PARALLEL, FIXTURE_RESUMABLE, 40, 40);
}

static void
test_auto_many (void)
{
  check_many (TCP_TUNNEL_MODE_AUTO, FIXTURE_RESUMABLE, 40, 1);
}

/* The session that the first connection has begun stays for the others. */
static void
test_auto_first_leaves (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_AUTO);
  g_auto (Pair) first = pair_open (fixture, target);
  g_auto (Pair) second = pair_open (fixture, target);

  pair_round_trip (&first);
  pair_clear (&first);
  first = (Pair) { -1, -1 };
  WAIT_UNTIL (fixture->recorder->closed == 1);
  pair_round_trip (&second);
  client_reset (second.client);
  client_expect_reset (second.target);
  second.client = -1;
  WAIT_UNTIL (fixture->recorder->closed == 2);

  first = pair_open (fixture, target);
  pair_round_trip (&first);
  recorder_expect_states (fixture->recorder, "connecting connected");
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_accepted, ==, 1);
}

/* Until it is known whether the gateway accepts many connections in a session, clients wait, up to the limit. */
static void
test_auto_waiting (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int fds[4];

  log_tap_clear ();
  rig.server->hello.flags = RESUMABLE_MANY;
  g_object_set (rig.tunnel, "max-connections", 3, NULL);
  fds[0] = tunnel_rig_begin (&rig);
  for (guint i = 1; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (test_tunnel_get_port (rig.tunnel));
      client_write (fds[i], "kept", 4);
    }
  client_expect_end (fds[3]);
  LOG_TAP_EXPECT ("warn", "max-connections", 1);
  WAIT_UNTIL (rig.recorder->opened > 0);
  g_assert_cmpuint (rig.recorder->opened, ==, 1);
  g_assert_null (strstr (rig.server->query, "mode="));
  g_assert_nonnull (strstr (rig.server->query, "sessionId="));

  resumable_say_hello (rig.server);
  resumable_hear_hello (rig.server);
  g_assert_cmpuint (rig.server->heard.flags, ==, RESUMABLE_MANY);
  g_assert_cmpuint (rig.server->heard.max_streams, ==, 3);
  for (guint32 id = 1; id <= 5; id += 2)
    resumable_expect (rig.server, RESUMABLE_OPEN, id);
  for (guint32 id = 3; id <= 5; id += 2)
    resumable_expect_data (rig.server, id, "kept");
  WAIT_UNTIL (rig.recorder->opened == 3);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

/* If the first client leaves before that, the next client takes its place. */
static void
test_auto_first_gives_up (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_AUTO);
  int first, second;

  fixture_start_gateway (fixture);
  fault_proxy_black_hole (fixture->proxy, TRUE);
  fixture_start (fixture);
  first = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->opened == 1);
  second = client_connect (fixture_get_port (fixture));
  client_reset (first);
  WAIT_UNTIL (fixture->recorder->opened == 2);
  fault_proxy_black_hole (fixture->proxy, FALSE);
  client_round_trip (second, "the second");
  client_close (second);
}

/* Nor does the next client wait until the gateway knows that the first has left. */
static void
test_auto_first_left (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int first = tunnel_rig_begin (&rig);
  int second;
  int websocket = rig.server->fd;
  int later;

  second = client_connect (test_tunnel_get_port (rig.tunnel));
  client_write (second, "kept", 4);
  client_reset (first);
  WAIT_UNTIL (rig.recorder->closed == 1);
  rig.server->fd = -1;
  rig.server->hello.flags = RESUMABLE_MANY;
  resumable_server_welcome (rig.server);
  resumable_expect (rig.server, RESUMABLE_OPEN, 1);
  resumable_expect_data (rig.server, 1, "kept");
  first = tunnel_rig_connect (&rig, 3);

  /* The session before has one connection, even if this gateway accepts many. */
  later = rig.server->fd;
  rig.server->fd = websocket;
  rig.server->taken = rig.server->sent = rig.server->confirmed = 0;
  resumable_say_hello (rig.server);
  resumable_hear_hello (rig.server);
  resumable_expect (rig.server, RESUMABLE_OPEN, 1);
  resumable_expect (rig.server, RESUMABLE_RESET, 1);
  resumable_send_ack (rig.server, rig.server->taken);
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
  client_close (later);
  client_close (first);
  client_close (second);
}

/* If the gateway does not accept many connections, there is one at a time, and this is logged. */
static void
test_auto_foreign (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_AUTO, "/");
  g_autofree char *offered = NULL;
  int first, second;

  log_tap_clear ();
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  first = stub_rig_connect (&rig);
  second = client_connect (test_tunnel_get_port (rig.tunnel));
  client_expect_end (second);
  client_close (second);
  offered = http_stub_get_header (rig.stub, 0, RESUMABLE_HEADER);
  g_assert_cmpstr (offered, ==, RESUMABLE_NAME);
  LOG_TAP_EXPECT ("warn", "one TCP client at a time, and may lose bytes", 1);
  LOG_TAP_EXPECT ("warn", "--mode parallel (the property mode) the tunnel serves many", 1);
  g_assert_false (client_has_ended (first));
  client_close (first);

  /* The next client causes another request, which has to wait until the first client has finished. */
  WAIT_UNTIL (rig.recorder->closed == 1);
  first = client_connect (test_tunnel_get_port (rig.tunnel));
  g_assert_true (http_stub_wait_requests (rig.stub, 2));
  client_close (first);
  LOG_TAP_EXPECT ("warn", "one TCP client at a time", 1);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
}

/* The gateway supports resumable/1, but only one connection for each session. */
static void
test_auto_one (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int fd, second;

  log_tap_clear ();
  fd = tunnel_rig_start (&rig);
  second = client_connect (test_tunnel_get_port (rig.tunnel));
  client_expect_end (second);
  client_close (second);
  LOG_TAP_EXPECT ("warn", "one TCP client at a time; with", 1);
  tunnel_rig_round_trip (&rig, fd, 1, "the one");
  client_close (fd);
}

/* A gateway that accepts many connections replaces one that did not: the session still has one. */
static void
test_auto_one_stays_one (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int fd = tunnel_rig_begin (&rig);

  resumable_hear_hello (rig.server);
  resumable_say_hello (rig.server);
  resumable_expect (rig.server, RESUMABLE_OPEN, 1);
  resumable_reset (rig.server);
  rig.server->hello.flags = RESUMABLE_MANY;
  rig.server->taken = 0;
  rig.server->hello.instance++;
  resumable_server_accept (rig.server);
  resumable_say_hello (rig.server);
  client_expect_reset (fd);
  client_close (fd);
  resumable_hear_hello (rig.server);
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
}

static void
expect_both_lost (TunnelRig *rig,
                  int first,
                  int second)
{
  client_expect_reset (first);
  client_expect_reset (second);
  client_close (first);
  client_close (second);
  tunnel_rig_expect_closed (rig, 2, TCP_TUNNEL_ERROR_LOST);
  WAIT_UNTIL (rig->recorder->last_state == TCP_TUNNEL_STATE_DISCONNECTED);
  g_assert_cmpuint (rig->recorder->failures, ==, 0);
}

/* The gateway was replaced by one that accepts only one connection for each session. */
static void
test_auto_no_more_many (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int first, second;

  rig.server->hello.flags = RESUMABLE_MANY;
  first = tunnel_rig_start (&rig);
  second = tunnel_rig_connect (&rig, 3);
  resumable_reset (rig.server);
  rig.server->hello.flags = 0;
  rig.server->hello.instance++;
  rig.server->taken = 0;
  resumable_server_accept (rig.server);
  resumable_say_hello (rig.server);
  resumable_hear_hello (rig.server);
  expect_both_lost (&rig, first, second);
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);

  client_close (rig.server->fd);
  rig.server->fd = -1;
  rig.server->hello.instance++;
  rig.server->taken = rig.server->sent = 0;
  first = client_connect (test_tunnel_get_port (rig.tunnel));
  resumable_server_accept (rig.server);
  resumable_say_hello (rig.server);
  resumable_hear_hello (rig.server);
  resumable_expect (rig.server, RESUMABLE_OPEN, 1);
  client_close (first);
}

/* The gateway was replaced by one that does not support resumable/1. */
static void
test_auto_becomes_foreign (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_AUTO);
  Pair first, second;
  int fd;

  g_object_set (fixture->tunnel, "resumption", TCP_TUNNEL_RESUMPTION_AUTO, NULL);
  fixture_start (fixture);
  first = pair_open (fixture, target);
  second = pair_open (fixture, target);
  pair_round_trip (&first);
  pair_round_trip (&second);

  http_stub_push_upgrade (stub, NULL, NULL, 0, TRUE);
  fault_proxy_set_gateway (fixture->proxy, g_uri_get_port (parsed));
  fault_proxy_reset (fixture->proxy);
  client_expect_reset (first.client);
  client_expect_reset (second.client);
  expect_closed (fixture, 2, TCP_TUNNEL_ERROR_LOST);
  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_DISCONNECTED);
  fd = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  client_close (fd);
  pair_clear (&first);
  pair_clear (&second);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* Without resumption, the tunnel does not ask for resumable/1, and no client waits for it. */
static void
test_auto_off (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_AUTO, FIXTURE_PLAIN);
  int first, second;

  log_tap_clear ();
  fixture_start (fixture);
  first = fixture_connect (fixture);
  second = client_connect (fixture_get_port (fixture));
  client_expect_end (second);
  client_close (second);
  client_round_trip (first, "still here");
  client_close (first);
  g_assert_cmpuint (log_tap_count ("warn", "one TCP client at a time"), ==, 0);
}

/* The gateway has ended the session: clients that come before there is a new one wait for it. */
static void
test_auto_waiting_again (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_AUTO);
  int fds[4];

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect (fixture_get_port (fixture));
      client_round_trip (fds[i], "before");
    }
  fault_proxy_refuse (fixture->proxy, TRUE);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_expect_reset (fds[i]);
      client_close (fds[i]);
    }
  WAIT_UNTIL (fixture->recorder->last_state != TCP_TUNNEL_STATE_CONNECTED);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = client_connect (fixture_get_port (fixture));
  WAIT_UNTIL (fixture->recorder->opened == 2 * G_N_ELEMENTS (fds));
  fixture_start_gateway (fixture);
  fault_proxy_refuse (fixture->proxy, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      client_round_trip (fds[i], "after");
      client_close (fds[i]);
    }
}

/* Connects a client that does not reach the gateway. */
static void
expect_one_to_fail (Fixture *fixture)
{
  /* Clients are refused as long as the one before counts as open. */
  while (test_figure (fixture->tunnel, total_connections) < 2)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_expect_end (fd);
      client_close (fd);
    }
}

static void
expect_to_live (Fixture *fixture,
                Pair *other)
{
  g_autoptr (GError) error = NULL;

  pair_round_trip (other);
  error = tcp_tunnel_dup_last_error (fixture->tunnel);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* During an outage, a new client is given up after a few attempts, and a session that can be resumed is not. */
static void
test_parallel_outage (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_PARALLEL);
  g_auto (Pair) first = { -1, -1 };

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1, NULL);
  fixture_start (fixture);
  first = pair_open (fixture, target);
  pair_round_trip (&first);
  resume_go_away (fixture);
  expect_one_to_fail (fixture);
  resume_come_back (fixture);
  expect_to_live (fixture, &first);
}

/* Nor is a session given up whose client has left while its data is not yet delivered. */
static void
test_singleton_outage (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_SINGLETON);
  Pair first;
  char text[7];

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 1, NULL);
  fixture_start (fixture);
  first = pair_open (fixture, target);
  pair_round_trip (&first);
  resume_go_away (fixture);
  client_write (first.client, "parting", 7);
  client_close (first.client);
  expect_one_to_fail (fixture);
  resume_come_back (fixture);
  client_read (first.target, text, sizeof text);
  g_assert_cmpmem (text, sizeof text, "parting", 7);
  client_expect_eof (first.target);
  client_close (first.target);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* Nor are the sessions of a gateway that is draining. */
static void
test_auto_draining (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int fd;
  int second;

  rig.server->hello.flags = RESUMABLE_MANY;
  g_object_set (rig.tunnel, "max-reconnect-attempts", 0, NULL);
  fd = tunnel_rig_start (&rig);
  resumable_send_code (rig.server, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DRAINING, "draining");
  tunnel_rig_round_trip (&rig, fd, 1, "behind that");
  close (rig.server->listen_fd);
  rig.server->listen_fd = -1;
  second = client_connect (test_tunnel_get_port (rig.tunnel));
  client_expect_reset (second);
  client_close (second);
  tunnel_rig_expect_closed (&rig, 1, TCP_TUNNEL_ERROR_UNREACHABLE);
  tunnel_rig_round_trip (&rig, fd, 1, "still there");
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
  client_close (fd);
}

/* The number of draining sessions is limited, whatever other sessions there are. */
static void
test_auto_too_many_draining (void)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (TCP_TUNNEL_MODE_AUTO);
  int clients[17];
  int websockets[18];

  log_tap_clear ();
  /* The session of a client that has left, which the gateway has not acknowledged completely. */
  client_close (tunnel_rig_start (&rig));
  resumable_expect (rig.server, RESUMABLE_FIN, 1);
  rig.server->hello.flags = RESUMABLE_MANY;
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    {
      websockets[i] = rig.server->fd;
      rig.server->fd = -1;
      rig.server->taken = rig.server->sent = rig.server->confirmed = 0;
      clients[i] = client_connect (test_tunnel_get_port (rig.tunnel));
      resumable_server_welcome (rig.server);
      resumable_expect (rig.server, RESUMABLE_OPEN, 1);
      g_assert_cmpuint (log_tap_count ("warn", "one more than there may be"), ==, 0);
      resumable_send_code (rig.server, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DRAINING, "draining");
      tunnel_rig_round_trip (&rig, clients[i], 1, "behind that");
    }
  /* One warning for the session, and one for its connection. */
  LOG_TAP_EXPECT ("warn", "one more than there may be", 2);
  tunnel_rig_expect_closed (&rig, 1, TCP_TUNNEL_ERROR_LOST);
  client_expect_reset (clients[0]);

  /* The session that does not drain was not one of them. */
  websockets[17] = rig.server->fd;
  rig.server->fd = websockets[0];
  rig.server->taken = 2;
  rig.server->sent = rig.server->confirmed = 0;
  resumable_send (rig.server, RESUMABLE_FIN, 1, NULL, 0);
  resumable_send_ack (rig.server, 2);
  WAIT_UNTIL (rig.recorder->closed == 2);
  resumable_expect_goaway (rig.server, RESUMABLE_GOAWAY_DONE, 1000);
  for (guint i = 0; i < G_N_ELEMENTS (clients); i++)
    {
      client_close (clients[i]);
      client_close (websockets[i + 1]);
    }
}

static void
test_parallel_states (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_start (target, TCP_TUNNEL_MODE_PARALLEL);
  g_auto (Pair) first = pair_open (fixture, target);
  g_auto (Pair) second = pair_open (fixture, target);

  pair_round_trip (&first);
  pair_round_trip (&second);
  recorder_expect_states (fixture->recorder, "connecting connected");
  recorder_clear_states (fixture->recorder);
  pair_clear (&second);
  second = (Pair) { -1, -1 };
  WAIT_UNTIL (fixture->recorder->closed == 1);
  second = pair_open (fixture, target);
  pair_round_trip (&second);
  pair_round_trip (&first);
  pair_clear (&first);
  first = (Pair) { -1, -1 };
  WAIT_UNTIL (fixture->recorder->closed == 2);
  client_reset (second.client);
  second.client = -1;
  client_expect_reset (second.target);
  recorder_expect_states (fixture->recorder, "disconnected");
  g_assert_cmpuint (fault_proxy_get_counters (fixture->proxy).links_accepted, ==, 3);
}

static void
test_parallel_max (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_PARALLEL, FIXTURE_PLAIN);
  Pair pairs[2];
  int fd;

  log_tap_clear ();
  g_object_set (fixture->tunnel, "max-connections", 2, NULL);
  fixture_start (fixture);
  pairs[0] = pair_open (fixture, target);
  pairs[1] = pair_open (fixture, target);
  fd = client_connect (fixture_get_port (fixture));
  client_expect_end (fd);
  client_close (fd);
  LOG_TAP_EXPECT ("warn", "max-connections", 1);

  pair_clear (&pairs[0]);
  WAIT_UNTIL (fixture->recorder->closed == 1);
  pairs[0] = pair_open (fixture, target);
  pair_round_trip (&pairs[0]);
  pair_round_trip (&pairs[1]);
  pair_clear (&pairs[0]);
  pair_clear (&pairs[1]);
}

/* A refusal of one connection does not affect another; but if there is no other, it ends the tunnel. */
static void
test_parallel_refused (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_PARALLEL, "/");
  int first, second;

  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  http_stub_push_answer (rig.stub, 404, NULL, NULL);
  first = stub_rig_connect (&rig);
  g_assert_true (http_stub_wait_held (rig.stub, 1));
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  second = client_connect (test_tunnel_get_port (rig.tunnel));
  client_expect_reset (second);
  client_close (second);
  WAIT_UNTIL (rig.recorder->closed == 1);
  g_assert_error (rig.recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_REJECTED);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
  g_assert_cmpint (test_get_int (rig.tunnel, "state"), ==, TCP_TUNNEL_STATE_CONNECTED);
  g_assert_false (client_has_ended (first));

  client_close (first);
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_DISCONNECTED);
  first = client_connect (test_tunnel_get_port (rig.tunnel));
  client_expect_reset (first);
  client_close (first);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_REJECTED);
}

/* Another WebSocket would lead to another connection of the target: no byte of one may follow the bytes of the
 * other. */
static void
test_parallel_breaks (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_PARALLEL, "/");
  static const guint8 closed[] = { 0x88, 2, 1011 >> 8, 1011 & 0xff };
  int fd;

  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  http_stub_push_upgrade (rig.stub, NULL, closed, sizeof closed, FALSE);
  fd = stub_rig_connect (&rig);
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  http_stub_drop_held (rig.stub);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->closed == 1);
  g_assert_error (rig.recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);

  fd = client_connect (test_tunnel_get_port (rig.tunnel));
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->closed == 2);
  g_assert_error (rig.recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 2);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_DISCONNECTED);
}

static guint asked;

static void
on_token_required (TcpTunnel *tunnel,
                   gpointer user_data)
{
  asked++;
}

/* If the token of several connections is refused at the same time, token-required is emitted once, and the new token
 * is used for all. */
static void
test_parallel_token (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_PARALLEL, "/");
  int fds[3];

  asked = 0;
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    http_stub_push_answer (rig.stub, 401, NULL, NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  g_signal_connect (rig.tunnel, "token-required", G_CALLBACK (on_token_required), NULL);
  test_tunnel_start (rig.tunnel);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = client_connect (test_tunnel_get_port (rig.tunnel));
  WAIT_UNTIL (asked > 0);
  g_assert_true (http_stub_wait_requests (rig.stub, G_N_ELEMENTS (fds)));
  tcp_tunnel_set_token (rig.tunnel, "another");
  g_assert_true (http_stub_wait_held (rig.stub, G_N_ELEMENTS (fds)));
  WAIT_UNTIL (rig.recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  g_assert_cmpuint (asked, ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_autofree char *shown = http_stub_get_header (rig.stub, G_N_ELEMENTS (fds) + i, "Authorization");

      g_assert_cmpstr (shown, ==, "Bearer another");
      client_close (fds[i]);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  g_test_add_func ("/modes/parallel/many", test_parallel_many);
  g_test_add_func ("/modes/parallel/states", test_parallel_states);
  g_test_add_func ("/modes/parallel/max-connections", test_parallel_max);
  g_test_add_func ("/modes/parallel/refused", test_parallel_refused);
  g_test_add_func ("/modes/parallel/breaks", test_parallel_breaks);
  g_test_add_func ("/modes/parallel/token", test_parallel_token);
  g_test_add_func ("/modes/parallel/outage", test_parallel_outage);
  g_test_add_func ("/modes/singleton/outage", test_singleton_outage);
  g_test_add_func ("/modes/auto/many", test_auto_many);
  g_test_add_func ("/modes/auto/first-leaves", test_auto_first_leaves);
  g_test_add_func ("/modes/auto/waiting", test_auto_waiting);
  g_test_add_func ("/modes/auto/first-gives-up", test_auto_first_gives_up);
  g_test_add_func ("/modes/auto/first-left", test_auto_first_left);
  g_test_add_func ("/modes/auto/foreign", test_auto_foreign);
  g_test_add_func ("/modes/auto/one", test_auto_one);
  g_test_add_func ("/modes/auto/one-stays-one", test_auto_one_stays_one);
  g_test_add_func ("/modes/auto/no-more-many", test_auto_no_more_many);
  g_test_add_func ("/modes/auto/becomes-foreign", test_auto_becomes_foreign);
  g_test_add_func ("/modes/auto/off", test_auto_off);
  g_test_add_func ("/modes/auto/waiting-again", test_auto_waiting_again);
  g_test_add_func ("/modes/auto/draining", test_auto_draining);
  g_test_add_func ("/modes/auto/too-many-draining", test_auto_too_many_draining);

  return g_test_run ();
}
