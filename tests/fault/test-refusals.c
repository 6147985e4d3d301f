/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whatever is refused because of a limit names the limit and its value: the answer to a request, the reset of a
 * connection, the error of a tunnel, and the log. */

#include "log-tap.h"
#include "resume-rig.h"
#include "resumable-peer.h"
#include "socket-util.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALICE "alices-token"

typedef struct
{
  Target *target;
  Fixture *fixture;
  GListStore *principals;
  TcpPrincipal *alice; /* owned by the list */
} Rig;

/* The gateway is not started. Besides alice there is the principal of the only token. */
static Rig
rig_new (Target *target)
{
  Rig rig = { .target = target };

  log_tap_clear ();
  rig.fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  rig.principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  rig.alice = test_add_principal (rig.principals, "alice", ALICE);
  g_object_set (rig.fixture->gateway, "principals", rig.principals, "keepalive-interval", 0, NULL);
  return rig;
}

static void
rig_clear (Rig *rig)
{
  fixture_free (rig->fixture);
  g_object_unref (rig->principals);
  target_free (rig->target);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static ResumablePeer *
join (Rig *rig,
      const char *token)
{
  return resumable_client_start (fixture_get_gateway_port (rig->fixture), token, TRUE);
}

static void
expect_said (const char *text,
             const char *limit)
{
  if (strstr (text, limit) == NULL)
    test_fail (G_STRLOC, "“%s” does not name “%s”", text, limit);
}

static void
expect_logged (const char *limit)
{
  WAIT_UNTIL (log_tap_count ("", limit) > 0);
}

/* Requires that another session is refused with 503. */
static void
expect_no_session (Rig *rig,
                   const char *token,
                   const char *limit)
{
  g_autoptr (ResumablePeer) peer = resumable_client_new (fixture_get_gateway_port (rig->fixture), token, TRUE);
  g_autofree char *body = NULL;

  g_assert_cmpuint (resumable_client_try (peer, &body), ==, 503);
  expect_said (body, limit);
  expect_logged (limit);
}

/* Requires that another connection is refused with a reset. */
static void
expect_no_connection (ResumablePeer *peer,
                      guint32 id,
                      const char *limit)
{
  ResumableFrame frame;
  g_autofree char *reason = NULL;

  resumable_send (peer, RESUMABLE_OPEN, id, NULL, 0);
  frame = resumable_expect (peer, RESUMABLE_RESET, id);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_RESET_LIMIT);
  reason = g_strndup ((const char *) frame.payload + 4, frame.length - 4);
  expect_said (reason, limit);
  expect_logged (limit);
}

static void
test_sessions (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) again = NULL;
  g_autoptr (ResumablePeer) last G_GNUC_UNUSED = NULL;
  g_autoptr (ResumablePeer) other = NULL;

  g_object_set (rig.fixture->gateway, "max-connections", 4, "max-principal-sessions", 1, NULL);
  g_object_set (rig.alice, "max-sessions", 2, NULL);
  fixture_start_gateway (rig.fixture);
  other = join (&rig, TEST_TOKEN);
  expect_no_session (&rig, TEST_TOKEN, "(max-principal-sessions: 1)");
  alice = join (&rig, ALICE);
  again = join (&rig, ALICE);
  expect_no_session (&rig, ALICE, "(max-sessions of the principal: 2)");

  g_object_set (rig.alice, "max-sessions", 5, NULL);
  g_object_set (rig.fixture->gateway, "max-principal-sessions", 5, NULL);
  test_reload_gateway (rig.fixture->gateway);
  last = join (&rig, ALICE);
  expect_no_session (&rig, ALICE, "(max-connections: 4)");
}

/* The error of a tunnel names the limit, although the tunnel reads only the first line of the answer. */
static void
test_tunnel (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) other = NULL;
  g_autoptr (GError) error = NULL;

  g_object_set (rig.fixture->gateway, "max-principal-sessions", 1, NULL);
  fixture_start_gateway (rig.fixture);
  other = join (&rig, TEST_TOKEN);
  g_object_set (rig.fixture->tunnel, "wait-for-gateway", FALSE, "max-reconnect-attempts", 0, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.fixture->tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
  expect_said (error->message, "(503 Too Many Sessions (max-principal-sessions: 1) from libtcptunnel/");
}

static void
test_sessions_by_memory (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) other = NULL;
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func ((GDestroyNotify) resumable_peer_free);
  ResumablePeer *peer = NULL;

  /* A part of the memory is reserved for the sessions. */
  g_object_set (rig.fixture->gateway, "max-memory", (guint64) 8 * MIB, "max-connections", 1000, NULL);
  g_object_set (rig.alice, "max-memory", (guint64) 4 * MIB, NULL);
  fixture_start_gateway (rig.fixture);
  other = join (&rig, TEST_TOKEN);
  for (;;)
    {
      peer = resumable_client_new (fixture_get_gateway_port (rig.fixture), ALICE, TRUE);
      g_ptr_array_add (peers, peer);
      if (resumable_client_try (peer, NULL) != 101)
        break;
    }
  expect_no_session (&rig, ALICE, "(max-memory of the principal: ");
}

static void
test_connections (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) other = NULL;

  g_object_set (rig.fixture->gateway, "max-connections", 4, "max-principal-connections", 1, NULL);
  g_object_set (rig.alice, "max-connections", 2, NULL);
  fixture_start_gateway (rig.fixture);
  alice = join (&rig, ALICE);
  other = join (&rig, TEST_TOKEN);
  resumable_open (other, 1);
  expect_no_connection (other, 3, "default has as many connections as it may: 1 (max-principal-connections)");
  resumable_open (alice, 1);
  resumable_open (alice, 3);
  expect_no_connection (alice, 5, "alice has as many connections as it may: 2 (max-connections of the principal)");

  g_object_set (rig.fixture->gateway, "max-principal-connections", 4, NULL);
  g_object_set (rig.alice, "max-connections", 3, NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_open (alice, 7);
  expect_no_connection (other, 5, "the gateway has no place for another connection (max-connections: 4)");
}

/* Connections to a target that does not answer. */
static void
test_dials (void)
{
  g_auto (Rig) rig = rig_new (target_new_silent ());
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) other = NULL;

  g_object_set (rig.fixture->gateway, "max-dials", 64, "max-principal-dials", 2, "connect-timeout", 300, NULL);
  g_object_set (rig.alice, "max-dials", 64, "dial-rate", 1, NULL);
  fixture_start_gateway (rig.fixture);
  other = join (&rig, TEST_TOKEN);
  /* One begins. When its time is over, so is that of the others, some of which have not had their turn. */
  for (guint i = 0; i < 8; i++)
    resumable_send (other, RESUMABLE_OPEN, 1 + 2 * i, NULL, 0);
  expect_logged ("the principal may have 2 under way, and each client half of that (max-principal-dials)");
  alice = join (&rig, ALICE);
  for (guint i = 0; i < 8; i++)
    resumable_send (alice, RESUMABLE_OPEN, 1 + 2 * i, NULL, 0);
  expect_logged ("the principal may begin 1 connections a second (dial-rate of the principal)");
}

static void
test_descriptors (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  guint64 before;

  fixture_start_gateway (rig.fixture);
  alice = join (&rig, ALICE);
  before = test_set_descriptors (256);
  while (fds->len == 0 || g_array_index (fds, int, fds->len - 1) < 236)
    {
      int fd = dup (STDERR_FILENO);

      g_assert_cmpint (fd, >=, 0);
      g_array_append_val (fds, fd);
    }
  expect_no_connection (alice, 1, "few file descriptors left for another (ulimit -n: 256)");
  expect_no_session (&rig, ALICE, "few file descriptors left for another session (ulimit -n: 256)");
  for (guint i = 0; i < fds->len; i++)
    close (g_array_index (fds, int, i));
  test_set_descriptors (before);
}

static void
test_listeners (void)
{
  const char *const ports[] = { "21000-21999", NULL };
  guint16 first = socket_find_ports (4);
  g_autofree char *range = g_strdup_printf ("%u-%u", first, first + 3);
  const char *const few[] = { range, NULL };
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (ResumablePeer) alice = NULL;
  ResumableFrame frame;
  guint64 before;
  guint n;

  /* All listeners together may use a sixteenth of the file descriptors, and one client three quarters of that. */
  before = test_set_descriptors (512);
  g_object_set (rig.fixture->gateway, "reverse-ports", ports, NULL);
  fixture_start_gateway (rig.fixture);
  alice = resumable_client_new (fixture_get_gateway_port (rig.fixture), ALICE, TRUE);
  alice->hello.flags |= RESUMABLE_LISTENERS;
  resumable_client_connect (alice);
  resumable_say_hello (alice);
  for (n = 1; n <= 25; n++)
    resumable_send_port (alice, RESUMABLE_LISTEN, n, 0, "service");
  for (frame = (ResumableFrame) { 0 }; frame.type != RESUMABLE_UNLISTEN;)
    g_assert_true (resumable_receive (alice, &frame));
  expect_logged ("alice has as many listeners as it may: 24 (ulimit -n: 512)");
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));
  test_set_descriptors (before);

  g_object_set (rig.fixture->gateway, "reverse-ports", few, NULL);
  fixture_start_gateway (rig.fixture);
  resumable_peer_free (alice);
  alice = resumable_client_new (fixture_get_gateway_port (rig.fixture), ALICE, TRUE);
  alice->hello.flags |= RESUMABLE_LISTENERS;
  resumable_client_connect (alice);
  resumable_say_hello (alice);
  for (n = 1; n <= 4; n++)
    resumable_send_port (alice, RESUMABLE_LISTEN, n, 0, "service");
  expect_logged ("the client has as many ports for reverse tunnels as it may: 3 (reverse-ports)");
}

/* Connections without a token. Their limit depends on the descriptors, of which there are few here. */
static void
test_strangers (void)
{
  g_auto (Rig) rig = rig_new (target_new_echo ());
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  guint64 before = test_set_descriptors (256);

  fixture_start_gateway (rig.fixture);
  test_set_descriptors (before);
  for (guint i = 0; i < 34; i++)
    {
      int fd = client_connect_at (G_STRLOC, fixture_get_gateway_port (rig.fixture));

      g_array_append_val (fds, fd);
    }
  expect_logged ("more than 32 connections are no WebSocket yet, and it was the oldest (ulimit -n)");
  for (guint i = 0; i < fds->len; i++)
    client_close (g_array_index (fds, int, i));
}

/* A client makes the gateway keep refusals that it never acknowledges, and exceeds the memory of its principal. */
static void
test_kept (void)
{
  g_auto (Rig) rig = rig_new (target_new_refusing ());
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func ((GDestroyNotify) resumable_peer_free);
  const char *limit = "it acknowledges too little, for which there is no memory (max-memory of the principal: 4194304)";

  g_object_set (rig.fixture->gateway, "max-memory", (guint64) 64 * MIB, "max-connections", 200, NULL);
  g_object_set (rig.alice, "max-memory", (guint64) 4 * MIB, NULL);
  fixture_start_gateway (rig.fixture);
  for (guint i = 0; i < 10 && log_tap_count ("", limit) == 0; i++)
    {
      ResumablePeer *peer = join (&rig, ALICE);

      g_ptr_array_add (peers, peer);
      /* Each connection is refused, with a text that waits for its acknowledgement. */
      for (guint j = 0; j < 2000; j++)
        resumable_send (peer, RESUMABLE_OPEN, 1 + 2 * j, NULL, 0);
    }
  expect_logged (limit);
}

int
main (int argc,
      char **argv)
{
  log_tap_install ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/refusals/sessions", test_sessions);
  g_test_add_func ("/refusals/tunnel", test_tunnel);
  g_test_add_func ("/refusals/sessions-by-memory", test_sessions_by_memory);
  g_test_add_func ("/refusals/connections", test_connections);
  g_test_add_func ("/refusals/dials", test_dials);
  g_test_add_func ("/refusals/descriptors", test_descriptors);
  g_test_add_func ("/refusals/listeners", test_listeners);
  g_test_add_func ("/refusals/strangers", test_strangers);
  g_test_add_func ("/refusals/memory", test_kept);
  return g_test_run ();
}
