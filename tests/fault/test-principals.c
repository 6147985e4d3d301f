/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a gateway permits the clients of a principal. */

#include "resume-rig.h"
#include "resumable-peer.h"

#include <string.h>

typedef struct
{
  Fixture *fixture;
  GListStore *principals;
} Rig;

static void
rig_init (Rig *rig,
          Target *target)
{
  rig->fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  rig->principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  g_object_set (rig->fixture->gateway, "principals", rig->principals, NULL);
}

static void
rig_clear (Rig *rig)
{
  fixture_free (rig->fixture);
  g_object_unref (rig->principals);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

/* Adds a principal with this token; the list owns it. */
static TcpPrincipal *
add (Rig *rig,
     const char *name,
     const char *token)
{
  return test_add_principal (rig->principals, name, token);
}

static void
allow (gpointer object,
       const char *pattern)
{
  const char *const patterns[] = { pattern, NULL };

  g_object_set (object, "allow", patterns, NULL);
}

static ResumablePeer *
connect_as (Rig *rig,
            const char *token)
{
  return resumable_client_start (fixture_get_gateway_port (rig->fixture), token, TRUE);
}

static void
expect_opened (ResumablePeer *peer,
               guint32 id,
               const char *target)
{
  resumable_send_text (peer, RESUMABLE_OPEN, id, target);
  resumable_expect (peer, RESUMABLE_OPENED, id);
  resumable_round_trip (peer, id, "there");
}

static void
expect_forbidden (ResumablePeer *peer,
                  guint32 id,
                  const char *target)
{
  resumable_send_text (peer, RESUMABLE_OPEN, id, target);
  resumable_expect_reset (peer, id, RESUMABLE_RESET_FORBIDDEN);
}

static void
expect_limit (ResumablePeer *peer,
              guint32 id)
{
  resumable_send_text (peer, RESUMABLE_OPEN, id, "");
  resumable_expect_reset (peer, id, RESUMABLE_RESET_LIMIT);
}

/* A principal may use the targets of its own list, and those of the gateway only if it has no list. */
static void
test_allow (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autofree char *own_address = target_get_address (own);
  g_autofree char *other_address = target_get_address (other);
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) everybody = NULL;
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) bob = NULL;
  g_autoptr (ResumablePeer) carol = NULL;
  g_autoptr (ResumablePeer) dave = NULL;
  const char *const none[] = { NULL };

  rig_init (&rig, own);
  allow (rig.fixture->gateway, other_address);
  add (&rig, "alice", "alices");
  allow (add (&rig, "bob", "bobs"), other_address);
  allow (add (&rig, "carol", "carols"), own_address);
  g_object_set (add (&rig, "dave", "daves"), "allow", none, NULL);
  fixture_start_gateway (rig.fixture);

  everybody = connect_as (&rig, TEST_TOKEN);
  expect_opened (everybody, 1, "");
  expect_opened (everybody, 3, other_address);
  alice = connect_as (&rig, "alices");
  expect_opened (alice, 1, "");
  expect_opened (alice, 3, other_address);
  bob = connect_as (&rig, "bobs");
  expect_forbidden (bob, 1, "");
  expect_forbidden (bob, 3, own_address);
  expect_opened (bob, 5, other_address);
  carol = connect_as (&rig, "carols");
  expect_opened (carol, 1, "");
  expect_opened (carol, 3, own_address);
  expect_forbidden (carol, 5, other_address);
  dave = connect_as (&rig, "daves");
  expect_forbidden (dave, 1, "");
  expect_forbidden (dave, 3, own_address);
  expect_forbidden (dave, 5, other_address);
}

static void
set_strv (gpointer object,
          const char *property,
          const char *first,
          ...)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) strv = NULL;
  va_list rest;

  va_start (rest, first);
  for (; first != NULL; first = va_arg (rest, const char *))
    g_strv_builder_add (builder, first);
  va_end (rest);
  strv = g_strv_builder_end (builder);
  g_object_set (object, property, strv, NULL);
}

/* The names of the gateway: "db" is another target, and at "ci" no server listens. */
static void
name_targets (Rig *rig,
              Target *other)
{
  g_autofree char *address = target_get_address (other);
  g_autofree char *db = g_strconcat ("db=", address, NULL);

  set_strv (rig->fixture->gateway, "targets", db, "ci=127.0.0.1:1", NULL);
}

/* A named target may be used by those that are allowed the name. It is selected by the name, or by the path. */
static void
test_names (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autofree char *other_address = target_get_address (other);
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) bob = NULL;
  g_autoptr (ResumablePeer) at_path = NULL;

  rig_init (&rig, own);
  name_targets (&rig, other);
  allow (add (&rig, "alice", "alices"), "db");
  allow (add (&rig, "bob", "bobs"), other_address);
  fixture_start_gateway (rig.fixture);

  alice = connect_as (&rig, "alices");
  expect_opened (alice, 1, "db");
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 1);
  expect_forbidden (alice, 3, "ci");
  expect_forbidden (alice, 5, other_address);
  expect_forbidden (alice, 7, "DB");
  expect_forbidden (alice, 9, "");
  bob = connect_as (&rig, "bobs");
  expect_opened (bob, 1, other_address);
  expect_forbidden (bob, 3, "db");

  at_path = resumable_client_new (fixture_get_gateway_port (rig.fixture), "alices", TRUE);
  g_free (at_path->query);
  at_path->query = g_strdup ("/db?mode=multiplexed&sessionId=one");
  resumable_client_connect (at_path);
  resumable_say_hello (at_path);
  expect_opened (at_path, 1, "");
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 3);
  expect_forbidden (at_path, 3, "ci");
  /* The session belongs to that path. */
  resumable_reset (at_path);
  g_free (at_path->query);
  at_path->query = g_strdup ("/?mode=multiplexed&sessionId=one");
  g_assert_cmpuint (resumable_client_try (at_path, NULL), ==, 410);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
}

static void
expect_message (int fd)
{
  guint opcode;
  g_autoptr (GBytes) message = ws_receive (fd, &opcode);

  g_assert_nonnull (message);
  g_assert_cmpuint (opcode, ==, WS_BINARY);
}

/* Requests this path in singleton mode. */
static void
expect_path (Rig *rig,
             const char *path)
{
  int fd = ws_connect (fixture_get_gateway_port (rig->fixture), path, TEST_TOKEN);

  ws_send (fd, WS_BINARY, "raw", 3);
  ws_expect (fd, "raw");
  client_close (fd);
}

static guint
try_path (Rig *rig,
          const char *path,
          const char *token)
{
  g_autofree char *headers = g_strdup_printf (WS_UPGRADE "Authorization: Bearer %s\r\n", token);

  return http_get (fixture_get_gateway_port (rig->fixture), path, headers, NULL, NULL);
}

/* In protocols without a name of the target, the path selects it. */
static void
test_paths (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  int fd;

  rig_init (&rig, own);
  name_targets (&rig, other);
  allow (rig.fixture->gateway, "db");
  g_object_set (rig.fixture->gateway, "path", "/instance", NULL);
  allow (add (&rig, "bob", "bobs"), "ci");
  fixture_start_gateway (rig.fixture);

  expect_path (&rig, "/instance/db");
  fd = ws_connect (fixture_get_gateway_port (rig.fixture), "/instance/db?mode=multiplexed", TEST_TOKEN);
  ws_send (fd, WS_BINARY, "\0\0\0\1tag", 7);
  expect_message (fd);
  client_close (fd);
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 2);
  expect_path (&rig, "/instance");
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 1);

  g_assert_cmpuint (try_path (&rig, "/instance/ci", TEST_TOKEN), ==, 403);
  g_assert_cmpuint (try_path (&rig, "/instance/db", "bobs"), ==, 403);
  g_assert_cmpuint (try_path (&rig, "/instance", "bobs"), ==, 403);
  g_assert_cmpuint (try_path (&rig, "/db", TEST_TOKEN), ==, 404);
  g_assert_cmpuint (try_path (&rig, "/instance/db?remotePort=0", TEST_TOKEN), ==, 400);
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));

  /* At any path, and without a target for requests that name none. */
  g_object_set (rig.fixture->gateway, "path", NULL, "target", NULL, NULL);
  fixture_start_gateway (rig.fixture);
  expect_path (&rig, "/db");
  g_assert_cmpuint (try_path (&rig, "/elsewhere", TEST_TOKEN), ==, 404);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 1);
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));

  /* A named target may be the default. */
  g_object_set (rig.fixture->gateway, "target", "db", NULL);
  fixture_start_gateway (rig.fixture);
  expect_path (&rig, "/");
}

/* A tunnel of this library names the target. */
static void
test_tunnel_names (TcpTunnelMode mode)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autoptr (Fixture) fixture = resume_new (own, mode);
  g_autofree char *address = target_get_address (other);
  g_autofree char *db = g_strconcat ("db=", address, NULL);
  int fd;

  set_strv (fixture->gateway, "targets", db, NULL);
  set_strv (fixture->gateway, "allow", "db", NULL);
  g_object_set (fixture->tunnel, "target", "db", NULL);
  fixture_start (fixture);
  fd = fixture_connect (fixture);
  client_round_trip (fd, "there");
  client_close (fd);
  g_assert_cmpuint (target_get_counters (own).accepted, ==, 0);
  g_assert_cmpuint (target_get_counters (other).accepted, ==, 1);
}

/* After a reload, streams to targets that are not allowed any more are reset. Other streams and the session
 * continue. */
static void
test_forbidden_later (void)
{
  g_autoptr (Target) own = target_new_echo ();
  g_autoptr (Target) other = target_new_echo ();
  g_autofree char *own_address = target_get_address (own);
  g_autofree char *other_address = target_get_address (other);
  g_autofree char *by_name = g_strdup_printf ("localhost:%u", target_get_port (other));
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) alice = NULL;
  TcpPrincipal *principal;
  int raw, tagged;

  rig_init (&rig, own);
  name_targets (&rig, other);
  principal = add (&rig, "alice", "alices");
  set_strv (principal, "allow", own_address, other_address, "db", by_name, "127.0.0.0/8:*", NULL);
  fixture_start_gateway (rig.fixture);
  alice = connect_as (&rig, "alices");
  expect_opened (alice, 1, "");
  expect_opened (alice, 3, own_address);
  expect_opened (alice, 5, other_address);
  expect_opened (alice, 7, "db");
  expect_opened (alice, 9, by_name);
  raw = ws_connect (fixture_get_gateway_port (rig.fixture), "/db", "alices");
  ws_send (raw, WS_BINARY, "raw", 3);
  ws_expect (raw, "raw");
  tagged = ws_connect (fixture_get_gateway_port (rig.fixture), "/?mode=multiplexed", "alices");
  ws_send (tagged, WS_BINARY, "\0\0\0\1tag", 7);
  expect_message (tagged);

  /* The name is still allowed, but not the address that it leads to; another target was only allowed by its
   * network. */
  set_strv (principal, "allow", own_address, "db", by_name, NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_expect_reset (alice, 5, RESUMABLE_RESET_FORBIDDEN);
  resumable_expect_reset (alice, 9, RESUMABLE_RESET_FORBIDDEN);
  resumable_round_trip (alice, 1, "on");
  resumable_round_trip (alice, 3, "on");
  resumable_round_trip (alice, 7, "on");
  expect_forbidden (alice, 11, other_address);

  set_strv (principal, "allow", own_address, NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_expect_reset (alice, 7, RESUMABLE_RESET_FORBIDDEN);
  resumable_round_trip (alice, 1, "on");
  ws_expect_close (raw, 1011);
  client_close (raw);
  g_assert_true (target_wait_open (other, 0));

  set_strv (principal, "allow", "db", NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_expect_reset (alice, 1, RESUMABLE_RESET_FORBIDDEN);
  resumable_expect_reset (alice, 3, RESUMABLE_RESET_FORBIDDEN);
  ws_send (tagged, WS_BINARY, "\0\0\0\2tag", 7);
  expect_message (tagged);
  client_close (tagged);
  expect_opened (alice, 13, "db");
  g_assert_true (target_wait_open (own, 0));

  /* A name that now leads elsewhere does so for new connections. */
  set_strv (rig.fixture->gateway, "targets", "db=127.0.0.1:1", NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_round_trip (alice, 13, "on");
  resumable_send_text (alice, RESUMABLE_OPEN, 15, "db");
  resumable_expect_reset (alice, 15, RESUMABLE_RESET_REFUSED);
  set_strv (principal, "allow", own_address, NULL);
  set_strv (rig.fixture->gateway, "targets", NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_expect_reset (alice, 13, RESUMABLE_RESET_FORBIDDEN);
  expect_opened (alice, 17, "");
}

/* A principal has limits of its own. */
static void
test_limits (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) again = NULL;
  g_autoptr (ResumablePeer) bob = NULL;
  g_autofree char *body = NULL;

  rig_init (&rig, target);
  g_object_set (rig.fixture->gateway, "max-principal-connections", 1, NULL);
  g_object_set (add (&rig, "alice", "alices"), "max-connections", 2, "max-sessions", 1, NULL);
  add (&rig, "bob", "bobs");
  fixture_start_gateway (rig.fixture);

  alice = connect_as (&rig, "alices");
  expect_opened (alice, 1, "");
  expect_opened (alice, 3, "");
  expect_limit (alice, 5);
  again = resumable_client_new (fixture_get_gateway_port (rig.fixture), "alices", TRUE);
  g_assert_cmpuint (resumable_client_try (again, &body), ==, 503);
  g_assert_nonnull (strstr (body, "(max-sessions of the principal: 1)"));

  bob = connect_as (&rig, "bobs");
  expect_opened (bob, 1, "");
  expect_limit (bob, 3);
}

/* Changes of a principal take effect with a reload. */
static void
test_reload (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) alice = NULL;
  g_autoptr (ResumablePeer) bob = NULL;
  g_autoptr (ResumablePeer) carol = NULL;
  TcpPrincipal *principal;
  ResumableFrame frame;

  rig_init (&rig, target);
  principal = add (&rig, "alice", "alices");
  add (&rig, "bob", "bobs");
  g_object_set (principal, "max-connections", 1, NULL);
  fixture_start_gateway (rig.fixture);
  g_object_set (principal, "max-connections", 2, NULL);
  alice = connect_as (&rig, "alices");
  bob = connect_as (&rig, "bobs");
  expect_opened (alice, 1, "");
  expect_opened (bob, 1, "");
  expect_limit (alice, 3);

  g_list_store_remove (rig.principals, 1);
  add (&rig, "carol", "carols");
  test_reload_gateway (rig.fixture->gateway);
  expect_opened (alice, 5, "");
  resumable_round_trip (alice, 1, "still");
  carol = connect_as (&rig, "carols");
  expect_opened (carol, 1, "");
  frame = resumable_expect (bob, RESUMABLE_GOAWAY, 0);
  g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_GOAWAY_UNAUTHORISED);
}

/* The limits of the gateway and the default limits of principals change with a reload. Those that have more keep
 * it. */
static void
test_reload_limits (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (ResumablePeer) next = NULL;
  g_autofree char *body = NULL;

  rig_init (&rig, target);
  g_object_set (rig.fixture->gateway, "max-connections", 3, NULL);
  fixture_start_gateway (rig.fixture);
  peer = connect_as (&rig, TEST_TOKEN);
  expect_opened (peer, 1, "");
  expect_opened (peer, 3, "");
  expect_opened (peer, 5, "");
  next = connect_as (&rig, TEST_TOKEN);
  expect_limit (next, 1);

  g_object_set (rig.fixture->gateway, "max-connections", 4, NULL);
  test_reload_gateway (rig.fixture->gateway);
  expect_opened (next, 3, "");
  expect_limit (next, 5);

  g_object_set (rig.fixture->gateway, "max-principal-connections", 1, "max-principal-sessions", 1, NULL);
  test_reload_gateway (rig.fixture->gateway);
  resumable_round_trip (peer, 1, "still");
  resumable_round_trip (next, 3, "still");
  expect_limit (next, 7);
  resumable_peer_free (g_steal_pointer (&next));
  next = resumable_client_new (fixture_get_gateway_port (rig.fixture), TEST_TOKEN, TRUE);
  g_assert_cmpuint (resumable_client_try (next, &body), ==, 503);
  g_assert_nonnull (strstr (body, "(max-principal-sessions: 1)"));
}

/* An invalid list changes nothing, and the error has the reason. */
static void
check_bad (Rig *rig,
           const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig->fixture->gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, text));
  g_list_store_remove_all (rig->principals);
}

static void
test_bad (void)
{
  static const char *const names[] = { "", " ", "a:b", " a", "a ", "a\nb", "a\xff", "\x7f" };
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (GListStore) others = g_list_store_new (G_TYPE_OBJECT);
  g_autoptr (GObject) other = g_object_new (G_TYPE_OBJECT, NULL);
  g_autoptr (GObject) nobody = g_object_new (TCP_TYPE_PRINCIPAL, NULL);
  g_auto (Rig) rig = { 0 };
  g_autoptr (GError) error = NULL;

  rig_init (&rig, target);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      add (&rig, names[i], "s3cret");
      check_bad (&rig, "cannot be the name of a principal: ");
    }
  g_list_store_append (rig.principals, nobody);
  check_bad (&rig, "“” cannot be the name of a principal");
  add (&rig, "alice", "first");
  add (&rig, "alice", "second");
  check_bad (&rig, "two principals have the name “alice”");
  add (&rig, "alice", "with space");
  check_bad (&rig, "the tokens of “alice”");
  add (&rig, "alice", "sha256:abc");
  check_bad (&rig, "the tokens of “alice”");
  add (&rig, "alice", "same");
  add (&rig, "bob", "same");
  check_bad (&rig, "“alice” and “bob” have the same token");
  allow (add (&rig, "alice", "alices"), "10.0.0.1/8:22");
  check_bad (&rig, "the targets to be allowed to “alice”: “10.0.0.1/8”");
  allow (add (&rig, "alice", "alices"), "db");
  check_bad (&rig, "the targets to be allowed to “alice”: “db” is neither of the form HOST:PORT nor the name of a target");
  g_list_store_append (others, other);
  g_object_set (rig.fixture->gateway, "principals", others, NULL);
  check_bad (&rig, "an object that is not a principal");

  g_object_set (rig.fixture->gateway, "principals", rig.principals, NULL);
  add (&rig, "alice", "alices");
  fixture_start_gateway (rig.fixture);
  add (&rig, "alice", "again");
  add (&rig, "bob", "bobs");
  g_assert_false (tcp_gateway_reload (rig.fixture->gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  resumable_peer_free (connect_as (&rig, "alices"));
  g_assert_cmpuint (try_path (&rig, "/", "bobs"), ==, 401);
}

static void
test_bad_names (void)
{
  static const struct
  {
    const char *target;
    const char *text;
  } bad[] = {
    { "db", "not of the form NAME=HOST:PORT" }, { "db=", "not of the form" }, { "db=10.0.0.5", "not of the form" },
    { "db=:5432", "not of the form" }, { "db=10.0.0.5:0", "not of the form" }, { "=10.0.0.5:1", "cannot be the name" },
    { "..=10.0.0.5:1", "cannot be the name" }, { ".=10.0.0.5:1", "cannot be the name" }, { "a/b=10.0.0.5:1", "cannot be the name" },
    { "a:1=10.0.0.5:1", "cannot be the name" }, { "-a=10.0.0.5:1", "cannot be the name" }, { "a b=10.0.0.5:1", "cannot be the name" },
    { "%64b=10.0.0.5:1", "cannot be the name" }, { "reverse-tunnel=10.0.0.5:1", "cannot be the name" },
    { "\xc3\xbc=10.0.0.5:1", "cannot be the name" },
    { "0123456789012345678901234567890123456789012345678901234567890123=10.0.0.5:1", "cannot be the name" },
    { "ok=10.0.0.5:1", "two targets have the name “ok”" },
  };
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GError) error = NULL;

  rig_init (&rig, target);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      set_strv (rig.fixture->gateway, "targets", "ok=127.0.0.1:1", bad[i].target, NULL);
      check_bad (&rig, bad[i].text);
    }
  set_strv (rig.fixture->gateway, "targets", "ok=127.0.0.1:1", NULL);
  g_object_set (rig.fixture->gateway, "target", "ok.not", NULL);
  check_bad (&rig, "the target “ok.not” is not of the form HOST:PORT");
  g_object_set (rig.fixture->gateway, "target", "ok", NULL);
  fixture_start_gateway (rig.fixture);

  /* The same is true of a reload, which then changes nothing. */
  set_strv (rig.fixture->gateway, "allow", "db", NULL);
  g_assert_false (tcp_gateway_reload (rig.fixture->gateway, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "“db”"));
}

/* Tokens in each of their forms; one that has expired is not accepted. */
static void
test_tokens (void)
{
  static const char *const tokens[] = {
    "first", "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "old expires=2020-01-01T00:00:00Z",
    " new  expires=2999-01-01T00:00:00Z ", NULL,
  };
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };

  rig_init (&rig, target);
  g_object_set (rig.fixture->gateway, "token", NULL, NULL);
  g_object_set (add (&rig, "alice", NULL), "tokens", tokens, NULL);
  fixture_start_gateway (rig.fixture);
  resumable_peer_free (connect_as (&rig, "first"));
  resumable_peer_free (connect_as (&rig, "x"));
  resumable_peer_free (connect_as (&rig, "new"));
  g_assert_cmpuint (try_path (&rig, "/", "old"), ==, 401);
}

/* Several threads change a principal while the gateway reads it. */

#define N_THREADS 4

static gpointer
run_changes (gpointer data)
{
  TcpPrincipal *principal = data;
  guint rounds = test_count (2000, 300);

  for (guint i = 0; i < rounds; i++)
    {
      const char *const tokens[] = { "alices", NULL };
      const char *const patterns[] = { i % 2 == 0 ? "db.lab:5432" : "*:22", NULL };
      g_auto (GStrv) read = NULL;
      guint max;

      g_object_set (principal, "allow", patterns, "tokens", tokens, "max-connections", i % 7, NULL);
      g_object_get (principal, "allow", &read, "max-connections", &max, NULL);
      g_assert_cmpuint (g_strv_length (read), ==, 1);
      g_assert_cmpuint (max, <, 7);
    }
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  GThread *threads[N_THREADS];
  TcpPrincipal *principal;

  rig_init (&rig, target);
  principal = add (&rig, "alice", "alices");
  fixture_start_gateway (rig.fixture);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("changes", run_changes, principal);
  for (guint i = 0; i < 50; i++)
    test_reload_gateway (rig.fixture->gateway);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  test_reload_gateway (rig.fixture->gateway);
  resumable_peer_free (connect_as (&rig, "alices"));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/principals/allow", test_allow);
  g_test_add_func ("/principals/names", test_names);
  g_test_add_func ("/principals/paths", test_paths);
  add_mode_test ("/principals/tunnel-names", test_tunnel_names);
  g_test_add_func ("/principals/forbidden-later", test_forbidden_later);
  g_test_add_func ("/principals/bad-names", test_bad_names);
  g_test_add_func ("/principals/limits", test_limits);
  g_test_add_func ("/principals/reload", test_reload);
  g_test_add_func ("/principals/reload-limits", test_reload_limits);
  g_test_add_func ("/principals/bad", test_bad);
  g_test_add_func ("/principals/tokens", test_tokens);
  g_test_add_func ("/principals/threads", test_threads);
  return g_test_run ();
}
