/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The targets that a tunnel asks for, and those that the gateway allows. */

#include "resume-rig.h"
#include "resumable-peer.h"
#include "stub-rig.h"
#include "tunnel-rig.h"

#include <string.h>

static void
allow (Fixture *fixture,
       const char *pattern)
{
  const char *patterns[] = { "unused.example:1", pattern, NULL };

  g_object_set (fixture->gateway, "allow", patterns, NULL);
}

static char *
get_pattern (Target *target)
{
  return g_strdup_printf ("127.0.0.1:%u", target_get_port (target));
}

/* The connection leads to the target that was asked for. Without one, it leads to the gateway's own. */
static void
test_allowed (TcpTunnelMode mode)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, mode);
  g_autoptr (ResumablePeer) plain = NULL;
  g_autofree char *pattern = get_pattern (other);
  int fd;

  allow (fixture, pattern);
  g_object_set (fixture->tunnel, "target", pattern, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "there");
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 1);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
  client_close (fd);

  plain = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  resumable_open (plain, 1);
  resumable_round_trip (plain, 1, "here");
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 1);
}

/* The gateway's own target needs no rule. */
static void
test_own (TcpTunnelMode mode)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, mode);
  g_autofree char *address = target_get_address (own);
  int fd;

  g_object_set (fixture->tunnel, "target", address, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "here");
  client_close (fd);
}

/* Each connection to a forbidden target is refused, and the tunnel continues. */
static void
test_forbidden (TcpTunnelMode mode)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, mode);
  g_autofree char *wanted = get_pattern (other);

  allow (fixture, "*.lab:*");
  g_object_set (fixture->tunnel, "target", wanted, NULL);
  fixture_start (fixture);
  for (guint i = 1; i <= 3; i++)
    {
      int fd = fixture_connect (fixture);

      client_expect_reset (fd);
      client_close (fd);
      expect_closed (fixture, i, TCP_TUNNEL_ERROR_FORBIDDEN);
      g_assert_nonnull (strstr (fixture->recorder->closed_error->message, "does not allow the target"));
      g_assert_nonnull (strstr (fixture->recorder->closed_error->message, wanted));
    }
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 0);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
}

/* Other spellings of an allowed address, and of one that is not allowed. */
static void
test_hostile (void)
{
  static const char *const targets[] = {
    "127.0.0.2:%u", "127.1:%u", "0177.0.0.1:%u", "0x7f.0.0.1:%u", "0x7f000001:%u", "2130706433:%u", "017700000001:%u",
    "127.0.0.01:%u", "127.0.0.1.:%u", "[::ffff:127.0.0.1]:%u", "[::ffff:7f00:1]:%u", "[::127.0.0.1]:%u", "[127.0.0.1]:%u",
    "localhost:%u", "127.0.0.1:0%u", "127.0.0.1:+%u", "127.0.0.1: %u", "127.0.0.1:%u ", "127.0.0.1:%u\n", "127.0.0.1:tcp%u",
    "user@127.0.0.1:%u", "http://127.0.0.1:%u", "127.0.0.1:%u/", "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:%u", "%u", ":%u",
  };
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (own, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (ResumablePeer) peer = NULL;
  g_autofree char *pattern = get_pattern (other);
  guint32 id = 1;

  allow (fixture, pattern);
  fixture_start_gateway (fixture);
  peer = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (targets); i++, id += 2)
    {
      g_auto (GStrv) parts = g_strsplit (targets[i], "%u", 2);
      g_autofree char *target = g_strdup_printf ("%s%u%s", parts[0], target_get_port (other), parts[1]);

      g_test_message ("%s", target);
      resumable_send_text (peer, RESUMABLE_OPEN, id, target);
      resumable_expect_reset (peer, id, RESUMABLE_RESET_FORBIDDEN);
    }
  resumable_send_text (peer, RESUMABLE_OPEN, id, pattern);
  resumable_expect (peer, RESUMABLE_OPENED, id);
  resumable_round_trip (peer, id, "there");
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 1);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
}

/* If every host is allowed, this machine and its link are not, under any name. */
static void
test_inner (void)
{
  static const char *const targets[] = {
    "localhost:%u", "LOCALHOST:%u", "127.0.0.1:%u", "127.0.0.2:%u", "[::1]:%u", "0.0.0.0:%u", "[::]:%u", "169.254.169.254:%u",
    "[fe80::1]:%u", "[fd00:ec2::254]:%u", "224.0.0.1:%u", "[ff02::1]:%u", "[::ffff:127.0.0.1]:%u", "127.1:%u", "0177.0.0.1:%u",
    "0x7f000001:%u", "2130706433:%u", "localhost.:%u", "127.0.0.1:0%u", "127.0.0.1:tcp%u", "[::127.0.0.1]:%u",
  };
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (own, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (ResumablePeer) peer = NULL;
  g_autofree char *target = NULL;
  guint32 id = 1;

  allow (fixture, "*:*");
  fixture_start_gateway (fixture);
  peer = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (targets); i++, id += 2)
    {
      g_auto (GStrv) parts = g_strsplit (targets[i], "%u", 2);

      g_free (target);
      target = g_strdup_printf ("%s%u%s", parts[0], target_get_port (other), parts[1]);
      g_test_message ("%s", target);
      resumable_send_text (peer, RESUMABLE_OPEN, id, target);
      resumable_expect_reset (peer, id, RESUMABLE_RESET_FORBIDDEN);
    }
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 0);
}

/* A pattern that names the network allows them. */
static void
test_inner_allowed (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (own, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (ResumablePeer) peer = NULL;
  g_autofree char *target = g_strdup_printf ("localhost:%u", target_get_port (other));
  const char *const patterns[] = { "localhost:*", "127.0.0.0/8:*", NULL };

  g_object_set (fixture->gateway, "allow", patterns, NULL);
  fixture_start_gateway (fixture);
  peer = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  resumable_send_text (peer, RESUMABLE_OPEN, 1, target);
  resumable_expect (peer, RESUMABLE_OPENED, 1);
  resumable_round_trip (peer, 1, "there");
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 1);
}

/* The OPEN names the target, also after the session was lost before the OPEN was sent. */
static void
test_open_names_it (TcpTunnelMode mode)
{
  g_auto (TunnelRig) rig = tunnel_rig_new (mode);
  ResumableFrame frame;
  int fd;

  g_object_set (rig.tunnel, "target", "DB.lab:5432", NULL);
  fd = tunnel_rig_begin (&rig);
  resumable_hear_hello (rig.server);
  if (fd < 0)
    fd = client_connect (test_tunnel_get_port (rig.tunnel));
  resumable_reset (rig.server);
  rig.server->hello.instance++;
  resumable_server_welcome (rig.server);
  frame = resumable_expect (rig.server, RESUMABLE_OPEN, 1);
  g_assert_cmpmem (frame.payload, frame.length, "DB.lab:5432", 11);
  tunnel_rig_round_trip (&rig, fd, 1, "there");
  client_close (fd);
}

/* A server of limrun's protocols would connect to another target. */
static void
test_foreign (TcpTunnelMode mode)
{
  g_auto (StubRig) rig = stub_rig_new (mode, "/");
  g_autoptr (GError) error = NULL;
  GError *failure;
  int fd;

  g_object_set (rig.tunnel, "target", "db.lab:5432", NULL);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, FALSE);
  if (mode == TCP_TUNNEL_MODE_MULTIPLEXED)
    {
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
      failure = error;
    }
  else
    {
      fd = stub_rig_connect (&rig);
      client_expect_reset (fd);
      client_close (fd);
      WAIT_UNTIL (rig.recorder->failures == 1);
      failure = rig.recorder->failure;
    }
  g_assert_error (failure, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (failure->message, "cannot be asked for the target db.lab:5432"));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
}

static void
check_invalid (TcpTunnel *tunnel)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
}

static void
test_invalid (void)
{
  static const char *const targets[] = { "", "db lab", "-db", "db.lab:0", "db.lab:65536", "0x7f.1:22", "[::ffff:10.0.0.1]:22", "b\303\274cher:22" };
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (GError) error = NULL;
  g_autofree char *host = g_strnfill (520, 'a');
  g_autofree char *too_long = g_strconcat (host, ":1", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_object_set (fixture->tunnel, "target", targets[i], NULL);
      check_invalid (fixture->tunnel);
    }
  g_object_set (fixture->tunnel, "target", too_long, NULL);
  check_invalid (fixture->tunnel);
  g_object_set (fixture->tunnel, "target", "db.lab:22", "resumption", TCP_TUNNEL_RESUMPTION_OFF, NULL);
  check_invalid (fixture->tunnel);

  allow (fixture, "10.0.0.1/8:22");
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "“10.0.0.1/8”"));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_mode_test ("/targets/allowed", test_allowed);
  g_test_add_func ("/targets/inner", test_inner);
  g_test_add_func ("/targets/inner-allowed", test_inner_allowed);
  add_mode_test ("/targets/own", test_own);
  add_mode_test ("/targets/forbidden", test_forbidden);
  g_test_add_func ("/targets/hostile", test_hostile);
  add_mode_test ("/targets/open-names-it", test_open_names_it);
  add_mode_test ("/targets/foreign", test_foreign);
  g_test_add_func ("/targets/invalid", test_invalid);

  return g_test_run ();
}
