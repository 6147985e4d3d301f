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

  tcp_tunnel_set_proxy_resolver (tunnel, resolver);
}

/* The proxy leads to the gateway of @fixture, which nobody else would find at its address. */
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
  Front *front;

  fixture_start_gateway (fixture);
  front = front_new (&options, fixture_get_gateway_port (fixture));
  use_proxy (fixture->tunnel, proxy, front_get_port (front));
  if (tcp_gateway_get_tls_certificate (fixture->gateway) != NULL)
    tcp_tunnel_set_remote_uri (fixture->tunnel, "wss://127.0.0.1:9/");
  else
    tcp_tunnel_set_remote_uri (fixture->tunnel, "ws://gateway.test/");
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
  /* In singleton mode on a WebSocket each. */
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
  tcp_tunnel_close (fixture->tunnel);
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
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_tunnel_start (tunnel, NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, tcp_tunnel_get_remote_uri (tunnel)));
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

static void
test_refused (void)
{
  static const FixtureFlags all_flags[] = { FIXTURE_PLAIN, FIXTURE_TLS };

  for (guint i = 0; i < G_N_ELEMENTS (all_flags); i++)
    {
      check_refusal (&proxies[0], all_flags[i], 403, TCP_TUNNEL_ERROR_REJECTED, "403");
      check_refusal (&proxies[0], all_flags[i], 502, TCP_TUNNEL_ERROR_UNREACHABLE, "502");
      check_refusal (&proxies[1], all_flags[i], 403, TCP_TUNNEL_ERROR_UNREACHABLE, "HTTP proxy");
      check_refusal (&proxies[1], all_flags[i], 407, TCP_TUNNEL_ERROR_UNREACHABLE, "HTTP proxy");
      check_refusal (&proxies[2], all_flags[i], 2, TCP_TUNNEL_ERROR_UNREACHABLE, "SOCKSv5");
      check_refusal (&proxies[2], all_flags[i], 5, TCP_TUNNEL_ERROR_UNREACHABLE, "SOCKSv5");
    }
}

/* Nobody listens there. */
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

/* One that says nothing is not waited for. */
static void
test_silent (void)
{
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new ("ws://gateway.test/", TCP_TUNNEL_MODE_MULTIPLEXED);
  guint16 port;
  int listener = socket_listen (0, &port);

  tcp_tunnel_set_connect_timeout (tunnel, 100);
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
  /* GLib asks no other about a proxy. */
  g_tls_backend_set_default_database (g_tls_backend_get_default (), test_tls_database ());

  for (guint i = 0; i < G_N_ELEMENTS (proxies); i++)
    {
      g_autofree char *path = g_strdup_printf ("/proxy/%s", proxies[i].scheme);

      g_test_add_data_func (path, &proxies[i], test_way);
    }
  g_test_add_func ("/proxy/refused", test_refused);
  g_test_add_func ("/proxy/absent", test_absent);
  g_test_add_func ("/proxy/silent", test_silent);

  return g_test_run ();
}
