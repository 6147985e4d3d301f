/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Warnings and errors about the settings of a gateway at its start. */

#include "fixture.h"
#include "log-tap.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Starts and closes the gateway, and requires this warning, or none if it is NULL. */
static void
expect_warning (TcpGateway *gateway,
                const char *warning)
{
  g_autoptr (GError) error = NULL;

  log_tap_clear ();
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
  if (warning != NULL)
    LOG_TAP_EXPECT ("warn", warning, 1);
  g_assert_cmpuint (log_tap_count ("warn", ""), ==, warning != NULL);
}

static void
test_public_address (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  expect_warning (gateway, NULL);
  g_object_set (gateway, "hostname", "0.0.0.0", NULL);
  expect_warning (gateway, "listening on 0.0.0.0:");
  g_object_set (gateway, "tls-certificate", test_certificate (), NULL);
  expect_warning (gateway, NULL);
}

static void
test_public_tokens (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &path, &error);

  g_assert_no_error (error);
  close (fd);
  g_file_set_contents (path, "\xef\xbb\xbf" "alice:" TEST_TOKEN "\n", -1, &error);
  g_assert_no_error (error);
  g_object_set (gateway, "token-file", path, NULL);
  g_assert_no_errno (g_chmod (path, 0640));
  expect_warning (gateway, NULL);
  g_assert_no_errno (g_chmod (path, 0644));
  expect_warning (gateway, path);
  g_unlink (path);
}

/* The file may be of any kind if its name was a mistake. */
static void
test_endless_tokens (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autoptr (GError) error = NULL;

  g_object_set (gateway, "token-file", "/dev/zero", NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "/dev/zero has more than"));
}

static void
test_dates (void)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autoptr (GTlsCertificate) expired = test_certificate_issue ("IP:127.0.0.1", "20200101000000Z", "20200102000000Z");
  g_autoptr (GTlsCertificate) early = test_certificate_issue ("IP:127.0.0.1", "20900101000000Z", "20910101000000Z");
  g_autoptr (GTlsCertificate) good = test_certificate_issue ("IP:127.0.0.1", "20200101000000Z", "20910101000000Z");

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  g_object_set (gateway, "tls-certificate", expired, NULL);
  expect_warning (gateway, "the certificate expired on 2020-01-02 00:00 UTC");
  g_object_set (gateway, "tls-certificate", early, NULL);
  expect_warning (gateway, "the certificate is not valid before 2090-01-01 00:00 UTC");
  g_object_set (gateway, "tls-certificate", good, NULL);
  expect_warning (gateway, NULL);
}

/* Returns a certificate with the key of another one, or with none if @key is NULL. */
static GTlsCertificate *
mix (GTlsCertificate *certificate,
     GTlsCertificate *key)
{
  g_autofree char *certificate_pem = NULL;
  g_autofree char *key_pem = NULL;
  g_autofree char *pem = NULL;
  g_autoptr (GError) error = NULL;
  GTlsCertificate *mixed;

  g_object_get (certificate, "certificate-pem", &certificate_pem, NULL);
  if (key != NULL)
    g_object_get (key, "private-key-pem", &key_pem, NULL);
  pem = g_strconcat (certificate_pem, key_pem, NULL);
  mixed = g_tls_certificate_new_from_pem (pem, -1, &error);
  g_assert_no_error (error);
  return mixed;
}

static void
check_mix (GTlsCertificate *certificate,
           GTlsCertificate *key)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");
  g_autoptr (GTlsCertificate) mixed = mix (certificate, key);
  g_autoptr (GError) error = NULL;

  tcp_gateway_set_token (gateway, TEST_TOKEN);
  g_object_set (gateway, "tls-certificate", mixed, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  g_assert_nonnull (strstr (error->message, "private key"));

  /* The gateway can be started with a valid certificate. */
  g_object_set (gateway, "tls-certificate", test_certificate (), NULL);
  expect_warning (gateway, NULL);
}

static void
test_wrong_key (void)
{
  g_autoptr (GTlsCertificate) rsa = mix (test_certificate (), test_certificate ());
  g_autoptr (GTlsCertificate) ec = test_certificate_issue (NULL, "20200101000000Z", "20910101000000Z");
  g_autoptr (GTlsCertificate) other = test_certificate_issue (NULL, "20200101000000Z", "20910101000000Z");

  check_mix (ec, other);
  check_mix (ec, rsa);
  check_mix (rsa, ec);
  check_mix (rsa, NULL);
}

static void
on_closed_start (GObject *object,
                 GAsyncResult *result,
                 gpointer user_data)
{
  guint *closed = user_data;
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start_finish (TCP_ENDPOINT (object), result, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  ++*closed;
}

/* The certificate is checked in other threads, which a close does not wait for. */
static void
test_close_at_once (void)
{
  guint closed = 0;

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:9");

      tcp_gateway_set_token (gateway, TEST_TOKEN);
      g_object_set (gateway, "tls-certificate", test_certificate (), NULL);
      tcp_endpoint_start_async (TCP_ENDPOINT (gateway), NULL, on_closed_start, &closed);
      tcp_endpoint_close (TCP_ENDPOINT (gateway));
    }
  WAIT_UNTIL (closed == 20);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  g_test_add_func ("/warnings/public-address", test_public_address);
  g_test_add_func ("/warnings/public-tokens", test_public_tokens);
  g_test_add_func ("/warnings/endless-tokens", test_endless_tokens);
  g_test_add_func ("/warnings/dates", test_dates);
  g_test_add_func ("/warnings/wrong-key", test_wrong_key);
  g_test_add_func ("/warnings/close-at-once", test_close_at_once);

  return g_test_run ();
}
