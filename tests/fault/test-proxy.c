/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Proxies between a tunnel and its gateway. */

#include "fixture.h"
#include "front.h"
#include "socket-util.h"

#include <string.h>
#include <sys/socket.h>

#define MIB (1 << 20)

typedef struct
{
  const char *scheme;
  FrontKind kind;
  gboolean tls; /* to the proxy */
} Proxy;

static const Proxy proxies[] = {
  { "http", FRONT_HTTP, FALSE },
  { "https", FRONT_HTTP, TRUE },
  { "socks5", FRONT_SOCKS5, FALSE },
};

static void
use_proxy (TcpTunnel *tunnel,
           const Proxy *proxy,
           guint16 port)
{
  g_autofree char *uri = g_strdup_printf ("%s://127.0.0.1:%u", proxy->scheme, port);
  g_autoptr (GProxyResolver) resolver = g_simple_proxy_resolver_new (uri, NULL);

  g_object_set (tunnel, "proxy-resolver", resolver, NULL);
}

/* The proxy connects to the gateway of @fixture, which cannot be reached at the address that the tunnel is given. */
static Front *
start_proxy (Fixture *fixture,
             const Proxy *proxy,
             guint refusal)
{
  FrontOptions options = {
    .kind = proxy->kind,
    .certificate = proxy->tls ? test_certificate () : NULL,
    .refusal = refusal,
  };
  g_autoptr (GTlsCertificate) certificate = NULL;
  Front *front;

  fixture_start_gateway (fixture);
  front = front_new (&options, fixture_get_gateway_port (fixture));
  use_proxy (fixture->tunnel, proxy, front_get_port (front));
  g_object_get (fixture->gateway, "tls-certificate", &certificate, NULL);
  if (certificate != NULL)
    g_object_set (fixture->tunnel, "remote-uri", "wss://127.0.0.1:9/", NULL);
  else
    g_object_set (fixture->tunnel, "remote-uri", "ws://gateway.test/", NULL);
  return front;
}

static void
check_proxy (const Proxy *proxy,
             TcpTunnelMode mode,
             FixtureFlags flags)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, flags);
  g_autoptr (Front) front = start_proxy (fixture, proxy, 0);
  g_autofree char *asked = NULL;

  test_tunnel_start (fixture->tunnel);
  /* In singleton mode, each connection has its own WebSocket. */
  for (guint i = 1; i <= 2; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_echo_stream (fd, test_count (4, 1) * MIB, i);
      client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
    }

  asked = front_get_asked (front);
  g_assert_nonnull (strstr (asked, flags & FIXTURE_TLS ? "127.0.0.1:9" : "gateway.test"));
  g_assert_cmpuint (front_get_led (front), ==, mode == TCP_TUNNEL_MODE_SINGLETON ? 2 : 1);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
}

static void
test_way (gconstpointer proxy)
{
  check_proxy (proxy, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  check_proxy (proxy, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_TLS);
  check_proxy (proxy, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  check_proxy (proxy, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_TLS);
}

static void
expect_failure (TcpTunnel *tunnel,
                TcpTunnelError code,
                const char *why)
{
  g_autofree char *uri = test_dup_string (tunnel, "remote-uri");
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, uri));
  g_assert_nonnull (strstr (error->message, why));
  g_assert_null (strstr (error->message, TEST_TOKEN));
}

static void
check_refusal (const Proxy *proxy,
               FixtureFlags flags,
               guint refusal,
               TcpTunnelError code,
               const char *why)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, flags);
  g_autoptr (Front) front = start_proxy (fixture, proxy, refusal);

  expect_failure (fixture->tunnel, code, why);
  g_assert_cmpuint (front_get_led (front), ==, 0);
}

/* The answer of a proxy is not mistaken for one of the gateway. */
static void
test_refused (void)
{
  static const FixtureFlags all_flags[] = { FIXTURE_PLAIN, FIXTURE_TLS };

  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    for (guint j = 0; j < 2; j++)
      {
        g_autofree char *name = g_strdup_printf ("the proxy %s://127.0.0.1:", proxies[j].scheme);

        check_refusal (&proxies[j], all_flags[i], 403, TCP_TUNNEL_ERROR_UNREACHABLE, name);
        check_refusal (&proxies[j], all_flags[i], 403, TCP_TUNNEL_ERROR_UNREACHABLE, "it forbids this host or port");
        check_refusal (&proxies[j], all_flags[i], 404, TCP_TUNNEL_ERROR_UNREACHABLE, "HTTP proxy connection failed: 404");
        check_refusal (&proxies[j], all_flags[i], 407, TCP_TUNNEL_ERROR_UNREACHABLE, "it asks for a password");
        check_refusal (&proxies[j], all_flags[i], 502, TCP_TUNNEL_ERROR_UNREACHABLE, "HTTP proxy connection failed: 502");
      }
  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      check_refusal (&proxies[2], all_flags[i], 2, TCP_TUNNEL_ERROR_UNREACHABLE, "SOCKSv5");
      check_refusal (&proxies[2], all_flags[i], 5, TCP_TUNNEL_ERROR_UNREACHABLE, "SOCKSv5");
    }
}

/* If the proxy refuses a reconnect, the session continues later. */
static void
test_refused_later (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN);
  g_autoptr (FaultProxy) path = fault_proxy_new ();
  FrontOptions options = { .kind = FRONT_HTTP };
  g_autoptr (Front) front = NULL;
  int fd;

  fixture_start_gateway (fixture);
  fault_proxy_set_gateway (path, fixture_get_gateway_port (fixture));
  front = front_new (&options, fault_proxy_get_port (path));
  use_proxy (fixture->tunnel, &proxies[0], front_get_port (front));
  g_object_set (fixture->tunnel, "remote-uri", "ws://gateway.test/",
                "max-reconnect-attempts", TCP_TUNNEL_UNLIMITED_ATTEMPTS, NULL);
  test_tunnel_start (fixture->tunnel);

  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, 1000, 1);
  for (guint status = 403; status <= 407; status += 4)
    {
      guint retries = fixture->recorder->delays->len;

      front_set_refusal (front, status);
      fault_proxy_cut (path);
      WAIT_UNTIL (fixture->recorder->delays->len >= retries + 3);
      front_set_refusal (front, 0);
      client_echo_stream (fd, 1000, status);
    }
  g_assert_cmpuint (fixture->recorder->failures, ==, 0);
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
}

static void
check_credentials (const char *given,
                   const char *wanted,
                   gboolean works)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  FrontOptions options = { .kind = FRONT_HTTP, .credentials = wanted };
  g_autoptr (Front) front = NULL;
  g_autofree char *uri = NULL;
  g_autoptr (GProxyResolver) resolver = NULL;
  g_autoptr (GError) error = NULL;

  fixture_start_gateway (fixture);
  front = front_new (&options, fixture_get_gateway_port (fixture));
  uri = g_strdup_printf ("http://%s@127.0.0.1:%u", given, front_get_port (front));
  resolver = g_simple_proxy_resolver_new (uri, NULL);
  g_object_set (fixture->tunnel, "proxy-resolver", resolver, "remote-uri", "ws://gateway.test/", NULL);

  g_assert_cmpint (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error), ==, works);
  if (!works)
    {
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE);
      g_assert_nonnull (strstr (error->message, "check user name and password"));
      g_assert_null (strstr (error->message, "wr0ng"));
    }
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
}

static void
test_credentials (void)
{
  check_credentials ("me:secret", "me:secret", TRUE);
  check_credentials ("m%40e:p%40s%25s%3Aw%2Fd", "m@e:p@s%s:w/d", TRUE);
  check_credentials ("me:wr0ng", "me:secret", FALSE);
}

/* CONNECT is used for a gateway without TLS as well, as RFC 6455 requires. */
static void
test_connect (void)
{
  g_autoptr (Target) target = target_new_echo ();

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, i == 0 ? FIXTURE_PLAIN : FIXTURE_TLS);
      g_autoptr (Front) front = start_proxy (fixture, &proxies[0], 0);
      g_autofree char *asked = NULL;

      test_tunnel_start (fixture->tunnel);
      asked = front_get_asked (front);
      g_assert_cmpstr (asked, ==, i == 0 ? "CONNECT gateway.test:80" : "CONNECT 127.0.0.1:9");
      tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
    }
}

/* No proxy listens there. */
static void
test_absent (void)
{
  g_autoptr (Target) absent = target_new_refusing ();
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://gateway.test/", TCP_TUNNEL_MODE_MULTIPLEXED);

  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      use_proxy (tunnel, &proxies[i], target_get_port (absent));
      expect_failure (tunnel, TCP_TUNNEL_ERROR_UNREACHABLE, "proxy server 127.0.0.1");
    }
}

/* A proxy that does not answer is not waited for. */
static void
test_silent (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://gateway.test/", TCP_TUNNEL_MODE_MULTIPLEXED);
  guint16 port;
  int listener = socket_listen (0, &port);

  g_object_set (tunnel, "connect-timeout", 100, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      int fd;

      use_proxy (tunnel, &proxies[i], port);
      expect_failure (tunnel, TCP_TUNNEL_ERROR_TIMED_OUT, "within 100 ms");
      fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
      client_expect_end (fd);
      client_close (fd);
    }
  client_close (listener);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* GLib has no other way to trust the certificate of a proxy. */
  g_tls_backend_set_default_database (g_tls_backend_get_default (), test_tls_database ());

  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      g_autofree char *path = g_strdup_printf ("/proxy/%s", proxies[i].scheme);

      g_test_add_data_func (path, &proxies[i], test_way);
    }
  g_test_add_func ("/proxy/refused", test_refused);
  g_test_add_func ("/proxy/refused-later", test_refused_later);
  g_test_add_func ("/proxy/credentials", test_credentials);
  g_test_add_func ("/proxy/connect", test_connect);
  g_test_add_func ("/proxy/absent", test_absent);
  g_test_add_func ("/proxy/silent", test_silent);

  return g_test_run ();
}
