/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/access.h"

#include <tcptunnel/tcptunnel.h>
#include "test-util.h"
#include "websocket/frame-reader.h"

typedef struct
{
  TcpGatewaySettings settings;
  TcpQuota quotas[6];
  TcpAccessLimits limits;
  TcpAccess *access;
} Rig;

static Rig *
rig_new (void)
{
  Rig *rig = g_new0 (Rig, 1);

  rig->settings = (TcpGatewaySettings) { .common.max_connections = 100, .max_dials = 10, .max_memory = 1 << 30 };
  tcp_quota_init (&rig->quotas[0], 64);
  tcp_quota_init (&rig->quotas[1], 100);
  tcp_quota_init (&rig->quotas[2], 100);
  tcp_quota_init (&rig->quotas[3], 10);
  tcp_quota_init (&rig->quotas[4], 8);
  tcp_quota_init (&rig->quotas[5], 40);
  rig->limits = (TcpAccessLimits) {
    .settings = &rig->settings,
    .held = &rig->quotas[0],
    .clients = &rig->quotas[1],
    .connections = &rig->quotas[2],
    .dials = &rig->quotas[3],
    .reverse_ports = &rig->quotas[4],
    .listeners = &rig->quotas[5],
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
  g_free (rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Rig, rig_free)

/* Each has a token; NULL ends them. */
static void
set_names (Rig        *rig,
           const char *name,
           ...)
{
  g_autoptr (TcpTokens) tokens = tcp_tokens_new ();
  va_list names;

  va_start (names, name);
  for (; name != NULL; name = va_arg (names, const char *))
    {
      g_autofree char *token = g_strconcat ("token-of-", name, NULL);

      g_assert_true (tcp_tokens_add (tokens, name, token, NULL));
    }
  va_end (names);
  tcp_access_set_tokens (rig->access, tokens);
}

/* However small the part of one is, it can receive a whole message. */
static void
test_small_part (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (TcpPrincipal) alice = NULL;
  g_autoptr (TcpBudget) budget = NULL;
  TcpBudgetShare share;

  rig->settings.max_principal_memory = 1 << 22;
  set_names (rig, "alice", "bob", NULL);
  alice = tcp_access_get_principal (rig->access, "alice");
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), <=, rig->settings.max_principal_memory / 24);

  budget = tcp_budget_new (alice->memory[TCP_MEMORY_INPUT], NULL);
  tcp_budget_share_init (&share, budget, NULL, NULL);
  g_assert_true (tcp_budget_share_has_room (&share, TCP_FRAME_READER_SIZE));
  tcp_budget_share_clear (&share);
}

/* Who is there keeps what it has when others come, and has as much as they from then on. */
static void
test_others_come (void)
{
  g_autoptr (Rig) rig = rig_new ();
  g_autoptr (TcpPrincipal) alice = NULL;
  g_autoptr (TcpPrincipal) again = NULL;
  g_autoptr (TcpPrincipal) bob = NULL;
  gsize all = tcp_budget_pool_get_cap (rig->limits.memory[TCP_MEMORY_DATA]);

  set_names (rig, "alice", NULL);
  alice = tcp_access_get_principal (rig->access, "alice");
  g_assert_cmpuint (alice->connections.max, ==, 100);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all);
  for (guint i = 0; i < 90; i++)
    g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &alice->connections), ==, TCP_QUOTA_ENTERED);

  set_names (rig, "alice", "bob", NULL);
  again = tcp_access_get_principal (rig->access, "alice");
  g_assert_true (again == alice);
  g_assert_cmpuint (alice->connections.used, ==, 90);
  g_assert_cmpuint (alice->connections.max, ==, 75);
  g_assert_cmpuint (alice->reverse_ports.max, ==, 6);
  g_assert_cmpuint (alice->listeners.max, ==, 30);
  g_assert_cmpuint (rig->quotas[4].part, ==, 1);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all * 3 / 4);
  g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &alice->connections), ==, TCP_QUOTA_OWN_FULL);
  bob = tcp_access_get_principal (rig->access, "bob");
  g_assert_cmpuint (bob->connections.max, ==, 75);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &bob->connections), ==, TCP_QUOTA_ENTERED);
  g_assert_cmpint (tcp_quota_enter (rig->limits.connections, &bob->connections), ==, TCP_QUOTA_FULL);

  set_names (rig, "alice", NULL);
  g_assert_cmpuint (alice->connections.max, ==, 100);
  g_assert_cmpuint (tcp_budget_pool_get_cap (alice->memory[TCP_MEMORY_DATA]), ==, all);
}

/* One that is removed is forgotten when nothing of it is left. */
static void
test_removed (void)
{
  g_autoptr (Rig) rig = rig_new ();
  TcpPrincipal *alice;
  TcpPrincipal *again;

  set_names (rig, "alice", "bob", NULL);
  alice = tcp_access_get_principal (rig->access, "alice");
  set_names (rig, "bob", NULL);
  set_names (rig, "alice", "bob", NULL);
  again = tcp_access_get_principal (rig->access, "alice");
  g_assert_true (again == alice);
  tcp_principal_unref (again);

  set_names (rig, "bob", NULL);
  tcp_principal_ref (alice);
  tcp_principal_unref (alice);
  tcp_principal_unref (alice);
  set_names (rig, "bob", "carol", NULL);
  again = tcp_access_get_principal (rig->access, "bob");
  g_assert_cmpuint (again->clients.used, ==, 0);
  tcp_principal_unref (again);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/access/small-part", test_small_part);
  g_test_add_func ("/access/others-come", test_others_come);
  g_test_add_func ("/access/removed", test_removed);
  return g_test_run ();
}
