/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One end does not read while the other writes as fast as it can: the writer has to be blocked, and the buffered data
 * must stay below its limit. */

#include "fixture.h"

#define MIB (1 << 20)

/* Each of several sockets in a row holds up to some megabytes in the kernel. */
#define ENOUGH (256ull * MIB)
#define MAX_GROWTH (8ull * MIB)
#define QUIET_MS 300

static void
check_growth (guint64 before)
{
  guint64 after = test_memory ("VmRSS");

  g_test_message ("%" G_GUINT64_FORMAT " KiB before, %" G_GUINT64_FORMAT " KiB after", before / 1024, after / 1024);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (after, <, before + MAX_GROWTH);
}

static gboolean
stop (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Waits until the target has been unable to write for a while. Returns the number of bytes written. */
static guint64
wait_for_halt (Target *target)
{
  guint64 first = target_get_counters (target).bytes_out;
  guint64 last = G_MAXUINT64;
  guint64 now;

  while ((now = target_get_counters (target).bytes_out) != last)
    {
      gboolean passed = FALSE;

      g_assert_cmpuint (now - first, <, ENOUGH);
      last = now;
      g_timeout_add (test_scaled_ms (QUIET_MS), stop, &passed);
      WAIT_UNTIL (passed);
    }

  return now;
}

static Fixture *
start_fixture (Target *target,
               TcpTunnelMode mode,
               FixtureFlags flags)
{
  Fixture *fixture = fixture_new (target, mode, flags);

  fixture_start (fixture);
  return fixture;
}

/* Memory that the first connection allocates permanently is not counted as growth. */
static void
warm_up (Fixture *fixture,
         Target *target)
{
  int fd = client_connect (fixture_get_port (fixture));

  client_write (fd, "warm", 4);
  g_assert_true (target_wait_accepted (target, 1));
  client_reset (fd);
  /* In tagged, the target's side receives only a close, which a source ignores. */
  target_reset_all (target);
  WAIT_UNTIL (fixture->recorder->closed == 1);
}

static void
check_client_never_reads (TcpTunnelMode mode,
                          FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_source (G_MAXUINT64, 0);
  g_autoptr (Fixture) fixture = start_fixture (target, mode, flags);
  guint64 before, written;
  int fd;

  warm_up (fixture, target);
  g_assert_true (target_wait_open (target, 0));
  before = test_memory ("VmRSS");
  written = target_get_counters (target).bytes_out;

  fd = client_connect (fixture_get_port (fixture));
  client_set_receive_buffer (fd, 65536);
  client_write (fd, "go", 2);
  g_assert_true (target_wait_accepted (target, 2));
  g_assert_cmpuint (wait_for_halt (target), >, written);
  check_growth (before);

  /* The connection is only blocked, and continues when the client reads. */
  client_read_stream (fd, 32 * MIB, 0, 0);
  client_reset (fd);
}

static void
test_client_never_reads (void)
{
  check_client_never_reads (TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  check_client_never_reads (TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
}

static void
test_client_never_reads_tls (void)
{
  check_client_never_reads (TCP_TUNNEL_MODE_SINGLETON, FIXTURE_TLS);
}

static void
check_target_never_reads (TcpTunnelMode mode,
                          FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_mute ();
  g_autoptr (Fixture) fixture = start_fixture (target, mode, flags);
  guint64 before;
  int fd;

  warm_up (fixture, target);
  before = test_memory ("VmRSS");
  fd = client_connect (fixture_get_port (fixture));
  g_assert_cmpuint (client_blast (fd, ENOUGH, QUIET_MS), <, ENOUGH);
  check_growth (before);
  client_reset (fd);
}

static void
test_target_never_reads (void)
{
  check_target_never_reads (TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  check_target_never_reads (TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
}

static void
test_target_never_reads_tls (void)
{
  check_target_never_reads (TCP_TUNNEL_MODE_SINGLETON, FIXTURE_TLS);
}

/* The link between tunnel and gateway stalls, so that nothing leaves the tunnel. */
static void
check_remote_never_reads (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = start_fixture (target, mode, FIXTURE_PROXY);
  g_autofree char *expected = NULL;
  g_autofree char *digest = NULL;
  guint64 before, sent;
  int fd;

  warm_up (fixture, target);
  before = test_memory ("VmRSS");
  fd = client_connect (fixture_get_port (fixture));
  if (mode == TCP_TUNNEL_MODE_SINGLETON)
    WAIT_UNTIL (fixture->recorder->last_state == TCP_TUNNEL_STATE_CONNECTED);
  fault_proxy_stall (fixture->proxy, FAULT_UP, TRUE);
  sent = client_blast (fd, ENOUGH, QUIET_MS);
  g_assert_cmpuint (sent, <, ENOUGH);
  check_growth (before);

  fault_proxy_stall (fixture->proxy, FAULT_UP, FALSE);
  client_close (fd);
  g_assert_true (target_wait_bytes_in (target, sent));
  g_assert_true (target_wait_open (target, 0));
  expected = test_digest (sent, 0);
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, expected);
}

static void
test_remote_never_reads (void)
{
  check_remote_never_reads (TCP_TUNNEL_MODE_SINGLETON);
  check_remote_never_reads (TCP_TUNNEL_MODE_MULTIPLEXED);
}

static void
test_tunnel_never_reads (void)
{
  g_autoptr (Target) target = target_new_source (G_MAXUINT64, 0);
  g_autoptr (Fixture) fixture = start_fixture (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  guint64 before;
  int fd = fixture_connect (fixture);

  client_read_stream (fd, MIB, 0, 0);
  before = test_memory ("VmRSS");
  fault_proxy_stall (fixture->proxy, FAULT_DOWN, TRUE);
  wait_for_halt (target);
  check_growth (before);
  fault_proxy_stall (fixture->proxy, FAULT_DOWN, FALSE);
  client_read_stream (fd, 32 * MIB, 0, MIB);
  client_reset (fd);
}

/* Without a WebSocket, the gateway buffers the data of the target up to a limit. */
static void
test_no_websocket (void)
{
  g_autoptr (Target) target = target_new_source (G_MAXUINT64, 0);
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PROXY);
  guint64 before;
  int fd;

  g_object_set (fixture->tunnel, "max-reconnect-attempts", 100000, NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_read_stream (fd, MIB, 0, 0);
  before = test_memory ("VmRSS");
  fault_proxy_refuse (fixture->proxy, TRUE);
  fault_proxy_cut (fixture->proxy);
  wait_for_halt (target);
  check_growth (before);
  g_assert_cmpuint (target_get_counters (target).open, ==, 1);
  client_reset (fd);
}

/* Data passes small limits as well, and each side keeps to its own. */
static void
test_small_caps (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  int fd;

  g_object_set (fixture->tunnel, "max-buffered-bytes", 512 * 1024, NULL);
  g_object_set (fixture->gateway, "max-memory", (guint64) 8 * MIB, NULL);
  fixture_start (fixture);
  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, 8 * MIB, 2);
  client_close (fd);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/bounds/client-never-reads", test_client_never_reads);
  g_test_add_func ("/bounds/client-never-reads-tls", test_client_never_reads_tls);
  g_test_add_func ("/bounds/target-never-reads", test_target_never_reads);
  g_test_add_func ("/bounds/target-never-reads-tls", test_target_never_reads_tls);
  g_test_add_func ("/bounds/remote-never-reads", test_remote_never_reads);
  g_test_add_func ("/bounds/tunnel-never-reads", test_tunnel_never_reads);
  g_test_add_func ("/bounds/no-websocket", test_no_websocket);
  g_test_add_func ("/bounds/small-caps", test_small_caps);

  return g_test_run ();
}
