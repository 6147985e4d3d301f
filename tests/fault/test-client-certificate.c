/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that authenticate with certificates. */

#include "resume-rig.h"

#include "endpoint.h"
#include "log-tap.h"

#include <glib/gstdio.h>
#include <string.h>

/* The time in seconds until a certificate expires in the tests of its expiry. */
#define SOON MIN (test_scaled_ms (4000) / 1000, 15)

typedef struct
{
  Fixture *fixture;
  char *token_file;
  char *ca_file; /* of an authority that has issued no certificates */
  GTlsDatabase *other_ca;
} Rig;

/* The principals are alice, bob, laptop.example.com and alice@example.com, each with a token as well. The tunnel has
 * no token. */
static void
rig_init (Rig           *rig,
          Target        *target,
          TcpTunnelMode  mode)
{
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &rig->token_file, &error);

  log_tap_clear ();
  g_assert_no_error (error);
  client_close (fd);
  g_file_set_contents (rig->token_file, "alice:alices\nbob:bobs\nlaptop.example.com:laptops\nalice@example.com:mails\n", -1,
                       &error);
  g_assert_no_error (error);
  g_chmod (rig->token_file, 0600);
  rig->fixture = fixture_new (target, mode, FIXTURE_TLS | FIXTURE_RESUMABLE);
  g_object_set (rig->fixture->gateway, "token", NULL, "token-file", rig->token_file, "client-ca", test_tls_database (), NULL);
  g_object_set (rig->fixture->tunnel, "token", NULL, "anonymous", TRUE, NULL);
}

static void
rig_clear (Rig *rig)
{
  fixture_free (rig->fixture);
  g_unlink (rig->token_file);
  g_free (rig->token_file);
  g_clear_object (&rig->other_ca);
  if (rig->ca_file != NULL)
    g_unlink (rig->ca_file);
  g_free (rig->ca_file);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static GTlsCertificate *
issue (const char *subject,
       const char *extensions)
{
  return test_certificate_issue_client (subject, extensions, TEST_CERTIFICATE_FROM, TEST_CERTIFICATE_TO);
}

static GTlsDatabase *
rig_get_other_ca (Rig *rig)
{
  g_autofree char *pem = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  if (rig->other_ca != NULL)
    return rig->other_ca;

  pem = test_certificate_issue_pem ("/CN=another", "basicConstraints = critical, CA:TRUE", TEST_CERTIFICATE_FROM,
                                    TEST_CERTIFICATE_TO);
  fd = g_file_open_tmp ("tcptunnel-test-XXXXXX", &rig->ca_file, &error);
  client_close (fd);
  g_file_set_contents (rig->ca_file, pem, -1, &error);
  g_assert_no_error (error);
  rig->other_ca = g_tls_file_database_new (rig->ca_file, &error);
  g_assert_no_error (error);
  return rig->other_ca;
}

/* Returns the principal of the tunnel with this certificate and @token, or NULL if it is refused. */
static char *
try_certificate (Rig             *rig,
                 GTlsCertificate *certificate,
                 const char      *token)
{
  TcpTunnel *tunnel = rig->fixture->tunnel;
  GListModel *connections = tcp_endpoint_get_connections (TCP_ENDPOINT (rig->fixture->gateway));
  g_autoptr (TcpConnection) connection = NULL;
  g_autoptr (GError) error = NULL;
  char *principal;
  int fd;

  if (!tcp_endpoint_get_active (TCP_ENDPOINT (rig->fixture->gateway)))
    fixture_start_gateway (rig->fixture);
  g_object_set (tunnel, "client-certificate", certificate, "anonymous", token == NULL, NULL);
  tcp_tunnel_set_token (tunnel, token);
  tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error);
  if (error != NULL)
    {
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNAUTHORIZED);
      return NULL;
    }

  fd = client_connect (fixture_get_port (rig->fixture));
  client_echo_stream (fd, 10000, 1);
  WAIT_UNTIL (g_list_model_get_n_items (connections) == 1);
  connection = g_list_model_get_item (connections, 0);
  principal = test_dup_string (connection, "principal");
  client_close (fd);
  WAIT_UNTIL (g_list_model_get_n_items (connections) == 0);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  return principal;
}

static void
check (Rig        *rig,
       const char *subject,
       const char *extensions,
       const char *token,
       const char *principal)
{
  g_autoptr (GTlsCertificate) certificate = subject != NULL ? issue (subject, extensions) : NULL;
  g_autofree char *found = try_certificate (rig, certificate, token);

  g_assert_cmpstr (found, ==, principal);
}

/* The names in a certificate select the principal; unknown names are refused. */
static void
test_names (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  check (&rig, "/CN=alice", NULL, NULL, "alice");
  check (&rig, "/CN=root", "subjectAltName = DNS:laptop.example.com", NULL, "laptop.example.com");
  check (&rig, "/CN=root", "subjectAltName = email:alice@example.com", NULL, "alice@example.com");
  check (&rig, "/CN=root", "subjectAltName = DNS:unknown, DNS:bob, DNS:alice", NULL, "bob");
  check (&rig, "/CN=alice", "extendedKeyUsage = clientAuth", NULL, "alice");

  check (&rig, NULL, NULL, NULL, NULL);
  LOG_TAP_EXPECT ("info", "A valid bearer token is needed.", 1);
  check (&rig, "/CN=mallory", NULL, NULL, NULL);
  check (&rig, "/CN=Alice", NULL, NULL, NULL);
  check (&rig, "/CN=alice", "subjectAltName = DNS:unknown", NULL, NULL);
  check (&rig, "/CN=alice/CN=bob", NULL, NULL, NULL);
  LOG_TAP_EXPECT ("info", "The client certificate names no known principal.", 4);
  check (&rig, "/CN=alice", "extendedKeyUsage = serverAuth", NULL, NULL);
  LOG_TAP_EXPECT ("info", "its key is not for clients", 1);
}

/* A token and a certificate have to belong to the same principal. A certificate that is not accepted is ignored. */
static void
test_tokens (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  check (&rig, "/CN=alice", NULL, "alices", "alice");
  check (&rig, NULL, NULL, "bobs", "bob");
  check (&rig, "/CN=bob", "extendedKeyUsage = serverAuth", "alices", "alice");
  check (&rig, "/CN=alice", NULL, "bobs", NULL);
  check (&rig, "/CN=mallory", NULL, "alices", NULL);
  LOG_TAP_EXPECT ("info", "The token and the client certificate are not of the same principal.", 2);
  check (&rig, "/CN=alice", NULL, "wrong", NULL);
}

static void
test_not_valid (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GTlsCertificate) old = test_certificate_issue_client ("/CN=alice", NULL, "20200101000000Z", "20210101000000Z");
  g_autoptr (GTlsCertificate) future = test_certificate_issue_client ("/CN=alice", NULL, "20980101000000Z", "20990101000000Z");
  g_autoptr (GTlsCertificate) good = issue ("/CN=alice", NULL);

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_assert_null (try_certificate (&rig, old, NULL));
  LOG_TAP_EXPECT ("info", "The client certificate is not accepted: it has expired.", 1);
  g_assert_null (try_certificate (&rig, future, NULL));
  LOG_TAP_EXPECT ("info", "The client certificate is not accepted: it is not valid yet.", 1);

  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));
  g_object_set (rig.fixture->gateway, "client-ca", rig_get_other_ca (&rig), NULL);
  g_assert_null (try_certificate (&rig, good, NULL));
  LOG_TAP_EXPECT ("info", "The client certificate is not accepted: its issuer is none of those of client-ca.", 1);

  /* Without client-ca, the gateway does not ask for certificates. */
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->gateway));
  g_object_set (rig.fixture->gateway, "client-ca", NULL, NULL);
  g_assert_null (try_certificate (&rig, good, NULL));
}

static void
test_settings (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GError) error = NULL;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_object_set (rig.fixture->gateway, "tls-certificate", NULL, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.fixture->gateway), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "client-ca needs tls-certificate"));
}

/* Connects with a certificate, and returns a client whose connection works. */
static int
rig_connect (Rig             *rig,
             GTlsCertificate *certificate)
{
  int fd;

  g_object_set (rig->fixture->tunnel, "client-certificate", certificate, NULL);
  fixture_start (rig->fixture);
  fd = client_connect (fixture_get_port (rig->fixture));
  client_echo_stream (fd, 10000, 1);
  return fd;
}

static void
rig_reload (Rig          *rig,
            GTlsDatabase *client_ca)
{
  g_object_set (rig->fixture->gateway, "client-ca", client_ca, NULL);
  test_reload_gateway (rig->fixture->gateway);
}

/* Verifies like the database of the tests, and counts the calls. */
#define TEST_TYPE_DATABASE (test_database_get_type ())
G_DECLARE_FINAL_TYPE (TestDatabase, test_database, TEST, DATABASE, GTlsDatabase)

struct _TestDatabase
{
  GTlsDatabase parent_instance;
  gint calls;
};

G_DEFINE_TYPE (TestDatabase, test_database, G_TYPE_TLS_DATABASE)

static GTlsCertificateFlags
test_database_verify_chain (GTlsDatabase             *database,
                            GTlsCertificate          *chain,
                            const char               *purpose,
                            GSocketConnectable       *identity,
                            GTlsInteraction          *interaction,
                            GTlsDatabaseVerifyFlags   flags,
                            GCancellable             *cancellable,
                            GError                  **error)
{
  GTlsCertificateFlags result = g_tls_database_verify_chain (test_tls_database (), chain, purpose, identity, interaction,
                                                             flags, cancellable, error);

  g_atomic_int_inc (&TEST_DATABASE (database)->calls);
  return result;
}

static void
test_database_class_init (TestDatabaseClass *klass)
{
  G_TLS_DATABASE_CLASS (klass)->verify_chain = test_database_verify_chain;
}

static void
test_database_init (TestDatabase *self)
{
}

/* A reload with the same authority does not disturb its clients. After a reload without it, they are asked for
 * another credential, and this tunnel has none. */
static void
test_reload (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GTlsCertificate) certificate = issue ("/CN=alice", NULL);
  g_autoptr (TestDatabase) counting = g_object_new (TEST_TYPE_DATABASE, NULL);
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  fd = rig_connect (&rig, certificate);
  rig_reload (&rig, test_tls_database ());
  rig_reload (&rig, G_TLS_DATABASE (counting));
  WAIT_UNTIL (g_atomic_int_get (&counting->calls) == 1);
  client_echo_stream (fd, 10000, 2);
  g_assert_cmpuint (test_figure (rig.fixture->tunnel, reconnects), ==, 0);

  rig_reload (&rig, rig_get_other_ca (&rig));
  LOG_TAP_EXPECT ("info", "not accepted any more: its issuer is none of those of client-ca", 1);
  LOG_TAP_EXPECT ("info", "The client certificate is not accepted: its issuer is none of those of client-ca.", 1);
  WAIT_UNTIL (rig.fixture->recorder->failures == 1);
  client_expect_reset (fd);
  client_close (fd);
}

/* After a reload without client-ca, a client with a certificate is refused. */
static void
test_reload_none (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GTlsCertificate) certificate = issue ("/CN=alice", NULL);
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  fd = rig_connect (&rig, certificate);
  rig_reload (&rig, NULL);
  LOG_TAP_EXPECT ("info", "client certificates are not accepted any more", 1);
  WAIT_UNTIL (rig.fixture->recorder->failures == 1);
  client_close (fd);
}

/* When its principal is removed, the session of a certificate ends. */
static void
test_removed (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GTlsCertificate) certificate = issue ("/CN=alice", NULL);
  g_autoptr (GError) error = NULL;
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  fd = rig_connect (&rig, certificate);
  /* The token of the principal does not matter for a client that has not used it. */
  g_file_set_contents (rig.token_file, "alice:another\nbob:bobs\n", -1, &error);
  rig_reload (&rig, test_tls_database ());
  client_echo_stream (fd, 10000, 2);
  g_file_set_contents (rig.token_file, "bob:bobs\n", -1, &error);
  g_assert_no_error (error);
  rig_reload (&rig, test_tls_database ());
  client_expect_reset (fd);
  client_close (fd);
}

/* A certificate expires during its session: the client is asked for another credential, and this tunnel has none. */
static void
test_expires (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) end = g_date_time_add_seconds (now, SOON);
  g_autofree char *to = g_date_time_format (end, "%Y%m%d%H%M%SZ");
  g_autoptr (GTlsCertificate) certificate = test_certificate_issue_client ("/CN=alice", NULL, TEST_CERTIFICATE_FROM, to);
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  fd = rig_connect (&rig, certificate);
  LOG_TAP_EXPECT ("info", "was asked for another credential: the client certificate has expired", 1);
  WAIT_UNTIL (rig.fixture->recorder->failures == 1);
  client_close (fd);
}

/* A certificate that expires was replaced before: the session continues. */
static void
test_replaced (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) end = g_date_time_add_seconds (now, SOON);
  g_autofree char *to = g_date_time_format (end, "%Y%m%d%H%M%SZ");
  g_autoptr (GTlsCertificate) first = test_certificate_issue_client ("/CN=alice", NULL, TEST_CERTIFICATE_FROM, to);
  g_autoptr (GTlsCertificate) second = issue ("/CN=alice", NULL);
  int fd;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  fd = rig_connect (&rig, first);
  g_object_set (rig.fixture->tunnel, "client-certificate", second, NULL);
  LOG_TAP_EXPECT ("info", "was asked for another credential: the client certificate has expired", 1);
  WAIT_UNTIL (test_figure (rig.fixture->tunnel, reconnects) == 1);
  client_echo_stream (fd, 10000, 2);
  g_assert_cmpuint (rig.fixture->recorder->failures, ==, 0);
  client_close (fd);
}

static void
on_authenticate (TcpGateway         *gateway,
                 TcpAuthentication  *authentication,
                 TcpAuthentication **kept)
{
  g_set_object (kept, authentication);
}

/* The application is asked about an unknown certificate, and receives only a verified one. */
static void
test_asked (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_auto (Rig) rig = { 0 };
  g_autoptr (GTlsCertificate) certificate = issue ("/CN=mallory", NULL);
  g_autoptr (GTlsCertificate) other = issue ("/CN=alice", "extendedKeyUsage = serverAuth");
  g_autoptr (TcpAuthentication) asked = NULL;
  GTlsCertificate *shown;
  gboolean started;

  rig_init (&rig, target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_object_set (rig.fixture->gateway, "token-file", NULL, NULL);
  g_signal_connect (rig.fixture->gateway, "authenticate", G_CALLBACK (on_authenticate), &asked);
  fixture_start_gateway (rig.fixture);
  g_object_set (rig.fixture->tunnel, "client-certificate", certificate, NULL);
  test_tunnel_begin_start (rig.fixture->tunnel, &started);
  WAIT_UNTIL (asked != NULL);
  shown = tcp_authentication_get_certificate (asked);
  g_assert_true (g_tls_certificate_is_same (shown, certificate));
  g_assert_null (tcp_authentication_dup_token (asked));
  g_assert_true (tcp_authentication_accept (asked, "mallory", NULL));
  WAIT_UNTIL (started);
  tcp_endpoint_close (TCP_ENDPOINT (rig.fixture->tunnel));
  g_clear_object (&asked);

  g_object_set (rig.fixture->tunnel, "client-certificate", other, NULL);
  test_tunnel_begin_start (rig.fixture->tunnel, &started);
  WAIT_UNTIL (asked != NULL);
  g_assert_null (tcp_authentication_get_certificate (asked));
  g_assert_true (tcp_authentication_accept (asked, "mallory", NULL));
  WAIT_UNTIL (started);
}

static void
add (const char *name,
     void (*func) (void))
{
  g_autofree char *path = g_strconcat ("/client-certificate/", name, NULL);

  g_test_add_func (path, func);
}

int
main (int argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  log_tap_install ();

  add ("names", test_names);
  add ("tokens", test_tokens);
  add ("not-valid", test_not_valid);
  add ("settings", test_settings);
  add ("reload", test_reload);
  add ("reload-none", test_reload_none);
  add ("removed", test_removed);
  add ("expires", test_expires);
  add ("replaced", test_replaced);
  add ("asked", test_asked);

  status = g_test_run ();
  log_tap_clear ();
  return status;
}
