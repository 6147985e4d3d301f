/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include <string.h>
#include <tcptunnel/tcptunnel.h>
#include "certificate.h"
#include "test-util.h"
#include "websocket/frame-reader.h"

typedef struct
{
  TcpGatewaySettings settings;
  TcpQuota quotas[5];
  TcpDialQueue *dials;
  TcpAccessLimits limits;
  TcpAccess *access;
} Rig;

static Rig *
rig_new (void)
{
  Rig *rig = g_new0 (Rig, 1);

  rig->settings = (TcpGatewaySettings) { .common.max_connections = 100, .max_dials = 10, .max_memory = 1 << 30,
                                          .target = (char *) "127.0.0.1:9" };
  tcp_quota_init (&rig->quotas[0], 64);
  tcp_quota_init (&rig->quotas[1], 100);
  tcp_quota_init (&rig->quotas[2], 100);
  tcp_quota_init (&rig->quotas[3], 8);
  tcp_quota_init (&rig->quotas[4], 40);
  rig->dials = tcp_dial_queue_new (10, NULL);
  rig->limits = (TcpAccessLimits) {
    .settings = &rig->settings,
    .held = &rig->quotas[0],
    .clients = &rig->quotas[1],
    .connections = &rig->quotas[2],
    .dials = rig->dials,
    .reverse_ports = &rig->quotas[3],
    .listeners = &rig->quotas[4],
  };
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    rig->limits.memory[i] = tcp_budget_pool_new (rig->settings.max_memory / 24, 1);
  rig->access = tcp_access_new (&rig->limits);
  return rig;
}

static void
rig_free (Rig *rig)
{
  tcp_access_free (rig->access);
  for (guint i = 0; i < TCP_N_MEMORY_KINDS; i++)
    tcp_budget_pool_unref (rig->limits.memory[i]);
  for (guint i = 0; i < G_N_ELEMENTS (rig->quotas); i++)
    tcp_quota_clear (&rig->quotas[i]);
  tcp_dial_queue_unref (rig->dials);
  g_free (rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Rig, rig_free)

/* The principal has a token. */
static TcpPrincipalSpec *
spec_new (const char *name)
{
  TcpPrincipalSpec *spec = tcp_principal_spec_new ();

  spec->name = g_strdup (name);
  spec->tokens = g_new0 (char *, 2);
  spec->tokens[0] = g_strconcat ("token-of-", name, NULL);
  return spec;
}

static void
set_principals (Rig       *rig,
                GPtrArray *principals)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TcpRoster) roster = tcp_roster_load (&rig->settings, principals, NULL, &error);

  g_assert_no_error (error);
  tcp_access_set_roster (rig->access, roster);
}

/* Sets the principals of these names, up to a NULL; each has a token. */
static void
set_names (Rig        *rig,
           const char *name,
           ...)
{
  g_autoptr (GPtrArray) principals = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_principal_spec_unref);
  va_list names;

  va_start (names, name);
  for (; name != NULL; name = va_arg (names, const char *))
    g_ptr_array_add (principals, spec_new (name));
  va_end (names);
  set_principals (rig, principals);
}

/* However small the part of a principal is, it can receive a whole message. */
static void
test_small_part (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (TcpAccount) alice = NULL;
  g_autoptr (TcpBudget) budget = NULL;
  TcpBudgetShare share;

  rig->settings.max_principal_memory = 1 << 22;
  set_names (rig, "alice", "bob", NULL);
  alice = tcp_access_get_account (rig->access, "alice");
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), <=, rig->settings.max_principal_memory / 24);

  budget = tcp_budget_new (alice->memory[TCP_MEMORY_INPUT], NULL);
  tcp_budget_share_init (&share, budget, NULL, NULL);
  g_assert_true (tcp_budget_share_has_room (&share, TCP_FRAME_READER_SIZE));
  tcp_budget_share_clear (&share);
}

/* A principal keeps what it has when others come, but may have no more than each of the others from then on. */
static void
test_part_shrinks (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (TcpAccount) alice = NULL;
  g_autoptr (TcpAccount) again = NULL;
  g_autoptr (TcpAccount) bob = NULL;
  gsize all = tcp_budget_pool_get_cap (rig->limits.memory[TCP_MEMORY_DATA]);

  set_names (rig, "alice", NULL);
  alice = tcp_access_get_account (rig->access, "alice");
  g_assert_cmpuint (alice->connections.max, ==, 100);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all);
  for (guint i = 0; i < 90; i++)
    g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &alice->connections), ==, TCP_QUOTA_ENTERED);

  set_names (rig, "alice", "bob", NULL);
  again = tcp_access_get_account (rig->access, "alice");
  g_assert_true (again == alice);
  g_assert_cmpuint (alice->connections.used, ==, 90);
  g_assert_cmpuint (alice->connections.max, ==, 75);
  g_assert_cmpuint (alice->reverse_ports.max, ==, 6);
  g_assert_cmpuint (alice->listeners.max, ==, 30);
  g_assert_cmpuint (rig->quotas[3].part, ==, 1);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all * 3 / 4);
  g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &alice->connections), ==, TCP_QUOTA_OWN_FULL);
  bob = tcp_access_get_account (rig->access, "bob");
  g_assert_cmpuint (bob->connections.max, ==, 75);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &bob->connections), ==, TCP_QUOTA_ENTERED);
  g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &bob->connections), ==, TCP_QUOTA_FULL);

  set_names (rig, "alice", NULL);
  g_assert_cmpuint (alice->connections.max, ==, 100);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all);
}

/* The account of a principal that was removed is dropped when nothing refers to it any more. */
static void
test_removed (void)
{
  g_autoptr (Rig) rig = rig_new ();
  TcpAccount *alice;
  TcpAccount *again;

  set_names (rig, "alice", "bob", NULL);
  alice = tcp_access_get_account (rig->access, "alice");
  set_names (rig, "bob", NULL);
  set_names (rig, "alice", "bob", NULL);
  again = tcp_access_get_account (rig->access, "alice");
  g_assert_true (again == alice);
  tcp_account_unref (again);

  set_names (rig, "bob", NULL);
  tcp_account_ref (alice);
  tcp_account_unref (alice);
  tcp_account_unref (alice);
  set_names (rig, "bob", "carol", NULL);
  again = tcp_access_get_account (rig->access, "bob");
  g_assert_cmpuint (again->clients.used, ==, 0);
  tcp_account_unref (again);
}

/* A principal may have limits of its own, which may also change while it is connected. */
static void
test_own_limits (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (GPtrArray) principals = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_principal_spec_unref);
  g_autoptr (TcpAccount) alice = NULL;
  g_autoptr (TcpAccount) bob = NULL;
  g_autoptr (TcpPolicy) before = NULL;
  g_autoptr (TcpPolicy) after = NULL;
  gsize all = tcp_budget_pool_get_cap (rig->limits.memory[TCP_MEMORY_DATA]);
  TcpPrincipalSpec *spec = spec_new ("alice");

  rig->settings.max_principal_connections = 30;
  rig->settings.max_principal_dial_rate = 5;
  rig->settings.max_principal_upload_rate = 100000;
  spec->max_sessions = 3;
  spec->max_connections = 200;
  spec->max_dials = 2;
  spec->max_memory = rig->settings.max_memory / 2;
  spec->dial_rate = 7;
  spec->download_rate = 200000;
  g_ptr_array_add (principals, spec);
  g_ptr_array_add (principals, spec_new ("bob"));
  set_principals (rig, principals);
  alice = tcp_access_get_account (rig->access, "alice");
  bob = tcp_access_get_account (rig->access, "bob");
  g_assert_cmpuint (alice->clients.max, ==, 3);
  g_assert_cmpuint (alice->connections.max, ==, 100);
  g_assert_cmpuint (alice->dials.quota.max, ==, 2);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all / 2);
  g_assert_cmpuint (bob->clients.max, ==, 75);
  g_assert_cmpuint (bob->connections.max, ==, 30);
  g_assert_cmpuint (bob->dials.quota.max, ==, 8);
  g_assert_cmpuint (alice->dials.rate.rate, ==, 7);
  g_assert_cmpuint (bob->dials.rate.rate, ==, 5);
  g_assert_cmpuint (tcp_rate_get (alice->upload), ==, 100000);
  g_assert_cmpuint (tcp_rate_get (alice->download), ==, 200000);
  g_assert_cmpuint (tcp_rate_get (bob->upload), ==, 100000);
  g_assert_cmpuint (tcp_rate_get (bob->download), ==, 0);
  before = tcp_account_ref_policy (alice);

  set_names (rig, "alice", "bob", NULL);
  g_assert_cmpuint (alice->clients.max, ==, 75);
  g_assert_cmpuint (alice->connections.max, ==, 30);
  g_assert_cmpuint (alice->dials.quota.max, ==, 8);
  g_assert_cmpuint (alice->dials.rate.rate, ==, 5);
  g_assert_cmpuint (tcp_rate_get (alice->download), ==, 0);
  after = tcp_account_ref_policy (alice);
  g_assert_cmpuint (before->max_sessions, ==, 3);
  g_assert_cmpuint (after->max_sessions, ==, 0);
}

/* Guests share the part that is not reserved for principals, and their accounts are dropped when they have left. */
static void
test_guests (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (TcpAccount) first = NULL;
  g_autoptr (TcpAccount) second = NULL;
  g_autoptr (TcpAccount) alice = NULL;
  guint n = 0;

  rig->settings.asks = TRUE;
  set_names (rig, NULL);
  first = tcp_access_get_account (rig->access, "guest");
  g_assert_true (first->is_unlisted);
  g_assert_true (first->clients.common);
  g_assert_cmpuint (first->clients.max, ==, 75);
  while (tcp_quota_enter (rig->limits.clients, &first->clients) == TCP_QUOTA_ENTERED)
    n++;
  g_assert_cmpuint (n, ==, 75);

  /* A principal that is added finds its reserved part free. */
  set_names (rig, "alice", NULL);
  alice = tcp_access_get_account (rig->access, "alice");
  g_assert_false (alice->clients.common);
  second = tcp_access_get_account (rig->access, "another guest");
  g_assert_cmpint (tcp_quota_enter (rig->limits.clients, &second->clients), ==, TCP_QUOTA_ENTERED);
  g_assert_cmpint (tcp_quota_enter (rig->limits.clients, &second->clients), ==, TCP_QUOTA_FULL);
  g_assert_cmpint (tcp_quota_enter (rig->limits.clients, &alice->clients), ==, TCP_QUOTA_ENTERED);
  tcp_quota_leave (rig->limits.clients, &alice->clients);

  /* A guest becomes a principal, and gets the policy of one. */
  set_names (rig, "alice", "guest", NULL);
  g_assert_false (first->is_unlisted);
  g_assert_false (first->clients.common);
  while (n-- > 0)
    tcp_quota_leave (rig->limits.clients, &first->clients);
  tcp_quota_leave (rig->limits.clients, &second->clients);
  g_assert_cmpuint (rig->limits.clients->shared_used, ==, 0);

  second->clients.max = 7;
  g_clear_pointer (&second, tcp_account_unref);
  second = tcp_access_get_account (rig->access, "another guest");
  g_assert_cmpuint (second->clients.max, ==, 7);
  g_clear_pointer (&second, tcp_account_unref);
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *name = g_strdup_printf ("guest %u", i);

      tcp_account_unref (tcp_access_get_account (rig->access, name));
    }
  second = tcp_access_get_account (rig->access, "another guest");
  g_assert_cmpuint (second->clients.max, ==, 75);
}

/* A roster that would let nobody in is refused. */
static void
test_nobody_admitted (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (GPtrArray) none = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;

  g_assert_null (tcp_roster_load (&rig->settings, none, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "the gateway needs a token, a client-ca or a handler"));
  g_clear_error (&error);

  rig->settings.client_ca = test_tls_database ();
  g_assert_null (tcp_roster_load (&rig->settings, none, NULL, &error));
  g_assert_nonnull (strstr (error->message, "client-ca needs tls-certificate"));
  g_clear_error (&error);
  rig->settings.tls_certificate = test_certificate ();
  g_assert_null (tcp_roster_load (&rig->settings, none, NULL, &error));
  g_assert_nonnull (strstr (error->message, "no principal is known that a certificate could name"));
  g_clear_error (&error);

  rig->settings.asks = TRUE;
  set_principals (rig, none);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/access/small-part", test_small_part);
  g_test_add_func ("/access/part-shrinks", test_part_shrinks);
  g_test_add_func ("/access/removed", test_removed);
  g_test_add_func ("/access/own-limits", test_own_limits);
  g_test_add_func ("/access/guests", test_guests);
  g_test_add_func ("/access/nobody-admitted", test_nobody_admitted);

  return g_test_run ();
}
