/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/settings.h"

#include "gateway/gateway-private.h"

static TcpGatewaySettings *
make (const char *target,
      const char *hostname,
      const char *path)
{
  TcpGatewaySettings *settings = tcp_gateway_settings_new ();

  settings->target = g_strdup (target);
  settings->hostname = g_strdup (hostname);
  settings->path = g_strdup (path);
  return settings;
}

static void
check_good (const char *target,
            const char *hostname,
            const char *path)
{
  g_autoptr (TcpGatewaySettings) settings = make (target, hostname, path);
  g_autoptr (GError) error = NULL;

  tcp_gateway_settings_check (settings, &error);
  g_assert_no_error (error);
}

static void
check_bad (const char *target,
           const char *hostname,
           const char *path)
{
  g_autoptr (TcpGatewaySettings) settings = make (target, hostname, path);
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_gateway_settings_check (settings, &error));
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
  settings->port = 80;
  settings->max_connections = 5;
  settings->reset_on_loss = TRUE;
  copy = tcp_gateway_settings_copy (settings);

  g_assert_true (copy->target != settings->target);
  g_assert_cmpstr (copy->target, ==, "localhost:1");
  g_assert_cmpstr (copy->hostname, ==, "127.0.0.1");
  g_assert_cmpstr (copy->path, ==, "/a");
  g_assert_cmpstr (copy->token, ==, "token");
  g_assert_cmpstr (copy->token_file, ==, "/file");
  g_assert_true (copy->trusted_proxies != settings->trusted_proxies);
  g_assert_true (g_strv_equal ((const char *const *) copy->trusted_proxies, (const char *const *) settings->trusted_proxies));
  g_assert_cmpuint (copy->port, ==, 80);
  g_assert_cmpuint (copy->max_connections, ==, 5);
  g_assert_true (copy->reset_on_loss);
}

static void
count_notify (guint *count)
{
  (*count)++;
}

/* A setter keeps to the range of its property, as g_object_set() does. */
static void
test_range (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  guint changes = 0;

  g_signal_connect_swapped (gateway, "notify", G_CALLBACK (count_notify), &changes);
  tcp_gateway_set_max_memory (gateway, 1000);
  g_assert_cmpuint (tcp_gateway_get_max_memory (gateway), ==, 8 << 20);
  tcp_gateway_set_max_memory (gateway, 1001);
  g_assert_cmpuint (changes, ==, 1);
  g_object_set (gateway, "max-memory", (guint64) 0, NULL);
  g_assert_cmpuint (tcp_gateway_get_max_memory (gateway), ==, 0);
  tcp_gateway_set_max_principal_memory (gateway, 1);
  g_assert_cmpuint (tcp_gateway_get_max_principal_memory (gateway), ==, 4 << 20);
  tcp_gateway_set_max_dials (gateway, 0);
  g_assert_cmpuint (tcp_gateway_get_max_dials (gateway), ==, 1);
  g_assert_cmpuint (changes, ==, 4);
  changes = 1;
  tcp_gateway_set_port (gateway, 70000);
  g_assert_cmpuint (tcp_gateway_get_port (gateway), ==, 65535);
  g_assert_cmpuint (changes, ==, 2);
  tcp_gateway_set_port (gateway, 65536);
  g_assert_cmpuint (tcp_gateway_get_port (gateway), ==, 65535);
  g_assert_cmpuint (changes, ==, 2);
}

static void
test_resumption (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  TcpTunnelResumption resumption;
  guint changes = 0;
  guint retained, window;

  g_assert_cmpint (tcp_gateway_get_resumption (gateway), ==, TCP_TUNNEL_RESUMPTION_AUTO);
  g_assert_cmpuint (tcp_gateway_get_max_memory (gateway), ==, 0);
  g_assert_cmpuint (tcp_gateway_get_max_retained_bytes (gateway), ==, 64 << 20);
  g_assert_cmpuint (tcp_gateway_get_max_window_bytes (gateway), ==, 128 << 20);

  g_signal_connect_swapped (gateway, "notify", G_CALLBACK (count_notify), &changes);
  tcp_gateway_set_resumption (gateway, TCP_TUNNEL_RESUMPTION_REQUIRED);
  tcp_gateway_set_resumption (gateway, TCP_TUNNEL_RESUMPTION_REQUIRED);
  tcp_gateway_set_max_retained_bytes (gateway, 0);
  tcp_gateway_set_max_window_bytes (gateway, 2 << 20);
  g_assert_cmpuint (changes, ==, 3);
  g_object_get (gateway, "resumption", &resumption, "max-retained-bytes", &retained, "max-window-bytes", &window, NULL);
  g_assert_cmpint (resumption, ==, TCP_TUNNEL_RESUMPTION_REQUIRED);
  g_assert_cmpuint (retained, ==, 1 << 20);
  g_assert_cmpuint (window, ==, 2 << 20);
}

/* Each is of its own counter. */
static void
test_statistics (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");
  TcpStatus *status = gateway->status;
  guint64 retained, receive, send, resumes, replayed;

  tcp_status_set (status, retained_bytes, 1);
  tcp_status_set (status, receive_window, 2);
  tcp_status_set (status, send_window, 3);
  tcp_status_set (status, resumes, 4);
  tcp_status_set (status, bytes_replayed, 5);

  g_object_get (gateway, "retained-bytes", &retained, "receive-window", &receive, "send-window", &send,
                "resumes", &resumes, "bytes-replayed", &replayed, NULL);
  g_assert_cmpuint (retained, ==, 1);
  g_assert_cmpuint (receive, ==, 2);
  g_assert_cmpuint (send, ==, 3);
  g_assert_cmpuint (resumes, ==, 4);
  g_assert_cmpuint (replayed, ==, 5);
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
  g_test_add_func ("/gateway-settings/range", test_range);
  g_test_add_func ("/gateway-settings/resumption", test_resumption);
  g_test_add_func ("/gateway-settings/statistics", test_statistics);
  return g_test_run ();
}
