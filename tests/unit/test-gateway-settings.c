/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/settings.h"

#include "gateway/gateway-private.h"

static TcpGatewaySettings *
make (const char *target,
      const char *hostname,
      const char *path)
{
  TcpGatewaySettings *settings = tcp_settings_new (&tcp_gateway_settings);

  g_free (settings->common.where.hostname);
  g_free (settings->path);
  settings->target = g_strdup (target);
  settings->common.where.hostname = g_strdup (hostname);
  settings->path = g_strdup (path);
  return settings;
}

static gboolean
check (const TcpGatewaySettings *settings,
       GError **error)
{
  return tcp_port_spec_check (&settings->common.where, error) && tcp_gateway_settings_check (settings, error);
}

static void
check_good (const char *target,
            const char *hostname,
            const char *path)
{
  g_autoptr (TcpGatewaySettings) settings = make (target, hostname, path);
  g_autoptr (GError) error = NULL;

  check (settings, &error);
  g_assert_no_error (error);
}

static void
check_bad (const char *target,
           const char *hostname,
           const char *path)
{
  g_autoptr (TcpGatewaySettings) settings = make (target, hostname, path);
  g_autoptr (GError) error = NULL;

  g_assert_false (check (settings, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
}

static void
test_target (void)
{
  check_good ("127.0.0.1:5555", "127.0.0.1", "/");
  check_good ("localhost:1", "127.0.0.1", "/");
  check_good ("example.com:65535", "127.0.0.1", "/");
  check_good ("[::1]:5555", "127.0.0.1", "/");

  check_bad (NULL, "127.0.0.1", "/");
  check_bad ("", "127.0.0.1", "/");
  check_bad ("localhost", "127.0.0.1", "/");
  check_bad ("localhost:", "127.0.0.1", "/");
  check_bad ("localhost:0", "127.0.0.1", "/");
  check_bad ("localhost:65536", "127.0.0.1", "/");
  check_bad ("localhost:no-such-service", "127.0.0.1", "/");
  check_bad (":5555", "127.0.0.1", "/");
  check_bad ("[::1", "127.0.0.1", "/");
  check_bad ("::1", "127.0.0.1", "/");
}

static void
test_listen (void)
{
  check_good ("localhost:1", "::", "/");
  check_bad ("localhost:1", NULL, "/");
  check_bad ("localhost:1", "", "/");
}

static void
test_path (void)
{
  check_good ("localhost:1", "127.0.0.1", NULL);
  check_good ("localhost:1", "127.0.0.1", "/a/b");
  check_bad ("localhost:1", "127.0.0.1", "");
  check_bad ("localhost:1", "127.0.0.1", "a");
}

static void
test_copy (void)
{
  g_autoptr (TcpGatewaySettings) settings = make ("localhost:1", "127.0.0.1", "/a");
  g_autoptr (TcpGatewaySettings) copy = NULL;

  settings->token = g_strdup ("token");
  settings->token_file = g_strdup ("/file");
  settings->trusted_proxies = g_strdupv ((char *[]) { (char *) "127.0.0.1", NULL });
  settings->common.where.port = 80;
  settings->common.max_connections = 5;
  settings->common.reset_on_loss = TRUE;
  copy = tcp_gateway_settings_copy (settings);

  g_assert_true (copy->target != settings->target);
  g_assert_cmpstr (copy->target, ==, "localhost:1");
  g_assert_cmpstr (copy->common.where.hostname, ==, "127.0.0.1");
  g_assert_cmpstr (copy->path, ==, "/a");
  g_assert_cmpstr (copy->token, ==, "token");
  g_assert_cmpstr (copy->token_file, ==, "/file");
  g_assert_true (copy->trusted_proxies != settings->trusted_proxies);
  g_assert_true (g_strv_equal ((const char *const *) copy->trusted_proxies, (const char *const *) settings->trusted_proxies));
  g_assert_cmpuint (copy->common.where.port, ==, 80);
  g_assert_cmpuint (copy->common.max_connections, ==, 5);
  g_assert_true (copy->common.reset_on_loss);
}

static void
count_notify (guint *count)
{
  (*count)++;
}

/* 0 means the default, and a value that is too small is raised. */
static void
test_memory (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  guint changes = 0;
  guint64 all, own;

  g_signal_connect_swapped (gateway, "notify", G_CALLBACK (count_notify), &changes);
  g_object_set (gateway, "max-memory", (guint64) 1000, "max-principal-memory", (guint64) 1, NULL);
  g_object_get (gateway, "max-memory", &all, "max-principal-memory", &own, NULL);
  g_assert_cmpuint (all, ==, 8 << 20);
  g_assert_cmpuint (own, ==, 4 << 20);
  g_object_set (gateway, "max-memory", (guint64) 1001, NULL);
  g_assert_cmpuint (changes, ==, 2);
  g_object_set (gateway, "max-memory", (guint64) 0, NULL);
  g_object_get (gateway, "max-memory", &all, NULL);
  g_assert_cmpuint (all, ==, 0);
  g_assert_cmpuint (changes, ==, 3);
}

/* There is no limit by default, and one that is too low is raised. */
static void
test_rates (void)
{
  static const char *const names[] = { "max-principal-upload-rate", "max-principal-download-rate" };
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (NULL);
  guint dials;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      guint64 value;

      g_object_get (gateway, names[i], &value, NULL);
      g_assert_cmpuint (value, ==, 0);
      g_object_set (gateway, names[i], (guint64) 1, NULL);
      g_object_get (gateway, names[i], &value, NULL);
      g_assert_cmpuint (value, ==, 1024);
    }
  g_object_get (gateway, "max-principal-dial-rate", &dials, NULL);
  g_assert_cmpuint (dials, ==, 0);
}

/* A class may have another default than its parent. */
static void
test_defaults (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  g_autoptr (TcpTunnel) tunnel = tcp_tunnel_new (NULL, NULL);
  g_autoptr (TcpGatewaySettings) settings = tcp_settings_new (&tcp_gateway_settings);
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (gateway), "connect-timeout");
  g_autofree char *path = NULL;
  guint timeout;

  g_object_get (gateway, "connect-timeout", &timeout, "path", &path, NULL);
  g_assert_cmpuint (timeout, ==, 10000);
  g_assert_cmpuint (G_PARAM_SPEC_UINT (pspec)->default_value, ==, 10000);
  g_assert_cmpuint (settings->common.connect_timeout, ==, 10000);
  g_assert_cmpstr (path, ==, "/");
  g_object_get (tunnel, "connect-timeout", &timeout, NULL);
  g_assert_cmpuint (timeout, ==, 15000);
  g_object_set (gateway, "connect-timeout", 7, NULL);
  g_object_get (gateway, "connect-timeout", &timeout, NULL);
  g_assert_cmpuint (timeout, ==, 7);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gateway-settings/target", test_target);
  g_test_add_func ("/gateway-settings/listen", test_listen);
  g_test_add_func ("/gateway-settings/path", test_path);
  g_test_add_func ("/gateway-settings/copy", test_copy);
  g_test_add_func ("/gateway-settings/memory", test_memory);
  g_test_add_func ("/gateway-settings/rates", test_rates);
  g_test_add_func ("/gateway-settings/defaults", test_defaults);
  return g_test_run ();
}
