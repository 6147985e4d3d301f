/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attempts to reach a target that is not allowed. Each is refused and logged once. */

#include "log-tap.h"
#include "resume-rig.h"
#include "resumable-peer.h"

#include <string.h>

/* A resolver under the control of others: the owner of a name can make it point to any address. */

#define TYPE_HOSTILE_RESOLVER (hostile_resolver_get_type ())
G_DECLARE_FINAL_TYPE (HostileResolver, hostile_resolver, HOSTILE, RESOLVER, GResolver)

struct _HostileResolver
{
  GResolver parent_instance;
};

G_DEFINE_FINAL_TYPE (HostileResolver, hostile_resolver, G_TYPE_RESOLVER)

static const struct
{
  const char *name;
  const char *addresses[3];
} names[] = {
  { "loopback.lab", { "127.0.0.1" } },
  { "mapped.lab", { "::ffff:127.0.0.1" } },
  { "both.lab", { "127.0.0.1", "::1" } },
  { "any.lab", { "0.0.0.0" } },
  { "any6.lab", { "::" } },
  { "metadata.lab", { "169.254.169.254" } },
  { "link.lab", { "fe80::1" } },
};

static void
free_addresses (gpointer data)
{
  g_resolver_free_addresses (data);
}

static void
hostile_resolver_lookup (GResolver *resolver,
                         const char *hostname,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, callback, user_data);
  GList *addresses = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    for (guint k = 0; strcmp (hostname, names[i].name) == 0 && names[i].addresses[k] != NULL; k++)
      addresses = g_list_append (addresses, g_inet_address_new_from_string (names[i].addresses[k]));
  /* All other names have an address too, so that no attempt fails only because a name is unknown. */
  if (addresses == NULL)
    addresses = g_list_append (NULL, g_inet_address_new_from_string ("127.0.0.1"));
  g_task_return_pointer (task, addresses, free_addresses);
}

static GList *
hostile_resolver_lookup_finish (GResolver *resolver,
                                GAsyncResult *result,
                                GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
hostile_resolver_class_init (HostileResolverClass *klass)
{
  GResolverClass *resolver_class = G_RESOLVER_CLASS (klass);

  resolver_class->lookup_by_name_async = hostile_resolver_lookup;
  resolver_class->lookup_by_name_finish = hostile_resolver_lookup_finish;
}

static void
hostile_resolver_init (HostileResolver *self)
{
}

typedef struct
{
  Target *own;
  Target *secret;
  Fixture *fixture;
} Rig;

/* The gateway's own target and the one named "secret" are for other principals than alice. She may use any host by a
 * pattern, except for this machine, and one target by its name. */
static Rig
rig_new (void)
{
  static const char *const patterns[] = { "*:*", "*.lab:*", "localhost:*", "db", NULL };
  Rig rig = { .own = target_new_echo (), .secret = target_new_echo () };
  g_autofree char *address = target_get_address (rig.secret);
  g_autofree char *secret = g_strconcat ("secret=", address, NULL);
  const char *const targets[] = { secret, "db=127.0.0.1:1", NULL };
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);

  rig.fixture = fixture_new (rig.own, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_object_set (test_add_principal (principals, "alice", "alices"), "allow", patterns, NULL);
  /* All other principals may use them. */
  g_object_set (rig.fixture->gateway, "principals", principals, "targets", targets,
                "allow", (const char *const[]) { "secret", "127.0.0.0/8:*", NULL }, NULL);
  fixture_start_gateway (rig.fixture);
  log_tap_clear ();
  return rig;
}

static void
rig_clear (Rig *rig)
{
  g_assert_cmpuint (target_get_counters (rig->own).accepted, ==, 0);
  g_assert_cmpuint (target_get_counters (rig->secret).accepted, ==, 0);
  fixture_free (rig->fixture);
  target_free (rig->own);
  target_free (rig->secret);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

/* After the close, no further line can follow. */
static void
expect_logged_once (Rig *rig,
                    const char *what)
{
  WAIT_UNTIL (log_tap_count ("", what) >= 1);
  tcp_endpoint_close (TCP_ENDPOINT (rig->fixture->gateway));
  g_assert_cmpuint (log_tap_count ("", what), ==, 1);
  g_assert_cmpuint (log_tap_count ("warn", "") + log_tap_count ("error", ""), <=, 1);
}

/* The target in an OPEN; %u stands for the port of the target. */
static void
test_opens (void)
{
  static const char *const targets[] = {
    "127.0.0.1:%u", "127.0.0.2:%u", "localhost:%u", "LOCALHOST:%u", "localhost.:%u", "[::1]:%u", "[::ffff:127.0.0.1]:%u",
    "[::ffff:7f00:1]:%u", "[0:0:0:0:0:0:0:1]:%u", "0177.0.0.1:%u", "0x7f.0.0.1:%u", "0x7f000001:%u", "2130706433:%u", "127.1:%u",
    "127.0.0.1.:%u", "0.0.0.0:%u", "0:%u", "[::]:%u", "[::1%25lo]:%u", "127.0.0.1:0%u", "127.0.0.1:+%u", "127.0.0.1:http",
    "localhost:http", "localhost:0x50", "loopback.lab:%u", "mapped.lab:%u", "both.lab:%u", "any.lab:%u", "any6.lab:%u",
    "metadata.lab:80", "169.254.169.254:80", "link.lab:%u", "secret", "SECRET", "secret.", "secret:%u", "/secret", "../secret", "db/../secret",
    "db\tsecret", "%%73ecret", "secret%%00", "", "db:%u",
  };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_auto (Rig) rig = rig_new ();
      g_autoptr (ResumablePeer) peer = NULL;
      g_auto (GStrv) parts = g_strsplit (targets[i], "%u", 2);
      g_autofree char *port = g_strdup_printf ("%u", target_get_port (rig.secret));
      g_autofree char *target = g_strjoinv (port, parts);

      g_test_message ("“%s”", target);
      peer = resumable_client_start (fixture_get_gateway_port (rig.fixture), "alices", TRUE);
      resumable_send_text (peer, RESUMABLE_OPEN, 1, target);
      resumable_expect_reset (peer, 1, RESUMABLE_RESET_FORBIDDEN);
      expect_logged_once (&rig, "connection 1 of alice broke: ");
    }
}

/* The path of the request, in each protocol. */
static void
test_paths (void)
{
  static const struct
  {
    const char *path;
    guint status;
  } paths[] = {
    { "/secret", 403 }, { "/secret?port=1", 403 }, { "http://127.0.0.1/secret", 403 }, { "https://127.0.0.1/secret", 403 },
    { "/%73ecret", 403 }, { "/SECRET", 404 }, { "//secret", 404 }, { "/secret/", 404 }, { "/./secret", 403 },
    { "/db/../secret", 403 }, { "/db/secret", 404 }, { "/db%2f..%2fsecret", 404 }, { "/..%2fsecret", 404 }, { "/db%2Fsecret", 404 },
    { "/db;secret", 404 }, { "/secret;db", 404 }, { "/secret%20", 404 }, { "/secret%00", 404 }, { "/secret%23", 404 },
    { "/secret%3f", 404 }, { "/..;/secret", 404 }, { "/secret.", 404 }, { "/127.0.0.1:22", 404 }, { "/localhost", 404 },
    { "/secret#db", 400 }, { "/db\\..\\secret", 400 }, { "\\secret", 400 }, { "secret", 400 },
  };
  static const char *const protocols[] = { "", "mode=multiplexed", "sessionId=one", "mode=multiplexed&sessionId=one" };

  for (guint i = 0; i < G_N_ELEMENTS (paths) * G_N_ELEMENTS (protocols); i++)
    {
      g_auto (Rig) rig = rig_new ();
      guint protocol = i % G_N_ELEMENTS (protocols);
      const char *path = paths[i / G_N_ELEMENTS (protocols)].path;
      g_autofree char *target = g_strconcat (path, strchr (path, '?') != NULL ? "&" : "?", protocols[protocol], NULL);
      g_autofree char *headers = g_strconcat (WS_UPGRADE "Authorization: Bearer alices\r\n",
                                              protocol >= 2 ? RESUMABLE_HEADER ": " RESUMABLE_NAME "\r\n" : "", NULL);

      g_test_message ("%s", target);
      g_assert_cmpuint (http_get (fixture_get_gateway_port (rig.fixture), target, headers, NULL, NULL), ==,
                        paths[i / G_N_ELEMENTS (protocols)].status);
      expect_logged_once (&rig, "a request from 127.0.0.1 was answered ");
    }
}

/* Without a name of a target, the gateway's own target is not allowed either. */
static void
test_own (void)
{
  static const char *const queries[] = { "/", "/?mode=multiplexed", "/?port=22", "/?sessionId=one", "/?" };

  for (guint i = 0; i < G_N_ELEMENTS (queries); i++)
    {
      g_auto (Rig) rig = rig_new ();

      g_assert_cmpuint (http_get (fixture_get_gateway_port (rig.fixture), queries[i],
                                  WS_UPGRADE "Authorization: Bearer alices\r\n", NULL, NULL), ==, 403);
      expect_logged_once (&rig, "a request from 127.0.0.1 was answered 403: ");
    }
}

int
main (int argc,
      char **argv)
{
  g_autoptr (GResolver) resolver = NULL;

  g_test_init (&argc, &argv, NULL);
  log_tap_install ();
  resolver = g_object_new (TYPE_HOSTILE_RESOLVER, NULL);
  g_resolver_set_default (resolver);
  g_test_add_func ("/forbidden/opens", test_opens);
  g_test_add_func ("/forbidden/paths", test_paths);
  g_test_add_func ("/forbidden/own", test_own);
  return g_test_run ();
}
