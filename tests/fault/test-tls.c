/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TLS to the gateway, and the certificates of both ends. */

#include "fixture.h"
#include "front.h"
#include "socket-util.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* Starts a gateway behind a TLS terminator that requires a client certificate. */
static Front *
start_demanding_front (Fixture *fixture)
{
  FrontOptions options = { .certificate = test_certificate (), .client_certificate = test_certificate () };
  g_autofree char *uri = NULL;
  Front *front;

  fixture_start_gateway (fixture);
  front = front_new (&options, fixture_get_gateway_port (fixture));
  uri = g_strdup_printf ("wss://127.0.0.1:%u/", front_get_port (front));
  g_object_set (fixture->tunnel, "remote-uri", uri, "tls-database", test_tls_database (), NULL);
  return front;
}

static void
check_client_certificate (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, mode, FIXTURE_PLAIN);
  g_autoptr (Front) front = start_demanding_front (fixture);

  g_object_set (fixture->tunnel, "client-certificate", test_certificate (), NULL);
  test_tunnel_start (fixture->tunnel);
  /* In singleton mode, each connection has its own WebSocket. */
  for (guint i = 1; i <= 3; i++)
    {
      int fd = client_connect (fixture_get_port (fixture));

      client_echo_stream (fd, 1 << 20, i);
      client_close (fd);
      WAIT_UNTIL (fixture->recorder->closed == i);
    }
  g_assert_cmpuint (front_get_led (front), ==, mode == TCP_TUNNEL_MODE_SINGLETON ? 3 : 1);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
}

static void
test_client_certificate (void)
{
  check_client_certificate (TCP_TUNNEL_MODE_SINGLETON);
  check_client_certificate (TCP_TUNNEL_MODE_MULTIPLEXED);
}

/* In TLS 1.3, the handshake of the client ends before the server has seen its certificate. The client therefore
 * cannot distinguish a failure of TLS from a later one. */
static void
test_no_client_certificate (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autoptr (Front) front = start_demanding_front (fixture);
  g_autofree char *uri = test_dup_string (fixture->tunnel, "remote-uri");
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
  if (!g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE))
    g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  g_assert_nonnull (strstr (error->message, uri));
  g_assert_cmpuint (front_get_led (front), ==, 0);
}

/* The gateway refuses the TLS handshake at once, without a timeout. */
static void
test_gateway_without_tls (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN);
  g_autofree char *right = NULL;
  g_autofree char *wrong = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  g_object_set (fixture->gateway, "connect-timeout", 600000, NULL);
  g_object_set (fixture->tunnel, "connect-timeout", 600000, NULL);
  fixture_start_gateway (fixture);
  right = g_strdup_printf ("ws://127.0.0.1:%u/", fixture_get_gateway_port (fixture));
  wrong = g_strdup_printf ("wss://127.0.0.1:%u/", fixture_get_gateway_port (fixture));

  g_object_set (fixture->tunnel, "remote-uri", wrong, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  g_assert_nonnull (strstr (error->message, wrong));
  g_assert_nonnull (strstr (error->message, "try ws://"));

  g_object_set (fixture->tunnel, "remote-uri", right, NULL);
  test_tunnel_start (fixture->tunnel);
  fd = client_connect (fixture_get_port (fixture));
  client_echo_stream (fd, 1 << 16, 1);
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (fixture->tunnel));
}

/* Trusts every certificate, except for the given faults. */
#define TEST_TYPE_STRICT_DATABASE (test_strict_database_get_type ())
G_DECLARE_FINAL_TYPE (TestStrictDatabase, test_strict_database, TEST, STRICT_DATABASE, GTlsDatabase)

struct _TestStrictDatabase
{
  GTlsDatabase parent_instance;
  GTlsCertificateFlags faults;
};

G_DEFINE_TYPE (TestStrictDatabase, test_strict_database, G_TYPE_TLS_DATABASE)

static GTlsCertificateFlags
test_strict_database_verify_chain (GTlsDatabase *database,
                                   GTlsCertificate *chain,
                                   const char *purpose,
                                   GSocketConnectable *identity,
                                   GTlsInteraction *interaction,
                                   GTlsDatabaseVerifyFlags flags,
                                   GCancellable *cancellable,
                                   GError **error)
{
  return TEST_STRICT_DATABASE (database)->faults;
}

static void
test_strict_database_class_init (TestStrictDatabaseClass *class)
{
  G_TLS_DATABASE_CLASS (class)->verify_chain = test_strict_database_verify_chain;
}

static void
test_strict_database_init (TestStrictDatabase *self)
{
}

static GTlsDatabase *
strict_database_new (GTlsCertificateFlags faults)
{
  TestStrictDatabase *self = g_object_new (TEST_TYPE_STRICT_DATABASE, NULL);

  self->faults = faults;
  return G_TLS_DATABASE (self);
}

/* Returns the part after “the certificate ” of the error for a gateway that presents @certificate. */
static char *
get_refusal (GTlsCertificate *certificate,
             GTlsDatabase *database,
             const char *host)
{
  FrontOptions options = { .certificate = certificate };
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Front) front = front_new (&options, target_get_port (target));
  g_autofree char *uri = g_strdup_printf ("wss://%s:%u/", host, front_get_port (front));
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autofree char *beginning = g_strdup_printf ("no trusted TLS connection to the gateway %s: the certificate ", uri);
  g_autoptr (GError) error = NULL;

  g_object_set (tunnel, "tls-database", database, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
  g_assert_true (g_str_has_prefix (error->message, beginning));
  g_assert_cmpuint (front_get_led (front), ==, 0);
  return g_strdup (error->message + strlen (beginning));
}

#define ALWAYS "20000101000000Z", "20990101000000Z"
#define EXPIRED "20000101000000Z", "20010203040500Z"
#define EARLY "20980706050400Z", "20990101000000Z"

#define EXPIRED_TEXT "expired on 2001-02-03 04:05 UTC (the clock here says 20"
#define EARLY_TEXT "is not valid before 2098-07-06 05:04 UTC (the clock here says 20"
#define AUTHORITY_TEXT \
  "was issued by “CN=libtcptunnel test”, an authority that is not trusted here; to trust it, give its certificate with --ca FILE"

static void
test_refused_certificate (void)
{
  static const struct
  {
    const char *names, *from, *to;
    gboolean trusted;
    const char *reasons[4];
  } cases[] = {
    { "IP:127.0.0.1", EXPIRED, TRUE, { EXPIRED_TEXT } },
    { "IP:127.0.0.1", EARLY, TRUE, { EARLY_TEXT } },
    { "DNS:example.org,DNS:*.example.net", ALWAYS, TRUE, { "is for example.org, *.example.net, not for the address 127.0.0.1" } },
    { "DNS:a,DNS:b,DNS:c,DNS:d,DNS:e,DNS:f,IP:10.0.0.1", ALWAYS, TRUE, { "is for a, b, c, d, e, 2 more, not for" } },
    { "DNS:127.0.0.1", ALWAYS, TRUE, { "is for the name 127.0.0.1, not for the address 127.0.0.1" } },
    { "IP:10.0.0.1", ALWAYS, TRUE, { "is for 10.0.0.1, not for the address 127.0.0.1" } },
    { NULL, ALWAYS, TRUE, { "of “CN=gateway” has no subjectAltName that names a host, such as 127.0.0.1" } },
    { "IP:127.0.0.1", ALWAYS, FALSE, { AUTHORITY_TEXT } },
    { "DNS:example.org", EXPIRED, FALSE, { EXPIRED_TEXT, "is for example.org", AUTHORITY_TEXT } },
    { "DNS:example.org", EARLY, FALSE, { EARLY_TEXT, "is for example.org", AUTHORITY_TEXT } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GTlsCertificate) certificate = test_certificate_issue (cases[i].names, cases[i].from, cases[i].to);
      g_autofree char *refusal = get_refusal (certificate, cases[i].trusted ? test_tls_database () : NULL, "127.0.0.1");
      g_auto (GStrv) reasons = g_strsplit (refusal, "; the certificate ", -1);

      g_test_message ("%s", refusal);
      g_assert_cmpuint (g_strv_length (reasons), ==, g_strv_length ((char **) cases[i].reasons));
      for (guint j = 0; reasons[j] != NULL; j++)
        g_assert_true (g_str_has_prefix (reasons[j], cases[i].reasons[j]));
    }
}

/* A self-signed certificate, for a gateway that is given by its name. */
static void
test_self_signed (void)
{
  g_autofree char *refusal = get_refusal (test_certificate (), NULL, "localhost");

  g_assert_cmpstr (refusal, ==, "is for 127.0.0.1, not for localhost; the certificate is self-signed, and not trusted here"
                                "; to trust it, give it with --ca FILE, or set the property tls-database");
}

/* Faults that GLib's own database does not check. */
static void
test_other_faults (void)
{
  static const struct
  {
    GTlsCertificateFlags faults;
    const char *refusal;
  } cases[] = {
    { G_TLS_CERTIFICATE_REVOKED, "was revoked by its authority" },
    { G_TLS_CERTIFICATE_INSECURE, "has a signature or a key that is no longer secure" },
    { G_TLS_CERTIFICATE_GENERIC_ERROR, "cannot be verified" },
    { G_TLS_CERTIFICATE_REVOKED | G_TLS_CERTIFICATE_INSECURE,
      "was revoked by its authority; the certificate has a signature or a key that is no longer secure" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GTlsDatabase) database = strict_database_new (cases[i].faults);
      g_autofree char *refusal = get_refusal (test_certificate (), database, "127.0.0.1");

      g_assert_cmpstr (refusal, ==, cases[i].refusal);
    }
}

/* A URL without TLS for a port with TLS. */
static void
test_url_without_tls (void)
{
  FrontOptions options = { .certificate = test_certificate () };
  g_autoptr (Target) target = target_new_refusing ();
  g_autoptr (Front) front = front_new (&options, target_get_port (target));
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", front_get_port (front));
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GError) error = NULL;

  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_nonnull (strstr (error->message, uri));
  g_assert_nonnull (strstr (error->message, "try wss://"));
}

/* A server that waits for more than a TLS client sends first. */
static void
test_no_handshake (void)
{
  guint16 port;
  int listener = socket_listen (0, &port);
  g_autofree char *uri = g_strdup_printf ("wss://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autofree char *message = g_strdup_printf ("the gateway %s did not answer within 100 ms: TCP is connected, but no TLS "
                                              "handshake came (if the port has no TLS, try ws://)",
                                              uri);
  g_autoptr (GError) error = NULL;

  g_object_set (tunnel, "connect-timeout", 100, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT);
  g_assert_cmpstr (error->message, ==, message);
  client_close (listener);
}

/* A wrong certificate is final, but a gateway behind a proxy may become available later. */
static void
test_wait_for_gateway (void)
{
  g_autoptr (Target) closing = target_new_reset_after (1);
  g_autofree char *address = target_get_address (closing);
  g_autofree char *closing_uri = g_strdup_printf ("wss://%s/", address);
  g_autoptr (Target) other = target_new_banner ("HTTP/1.1 400 Bad Request\r\n\r\n");
  g_autofree char *other_address = target_get_address (other);
  g_autofree char *other_uri = g_strdup_printf ("wss://%s/", other_address);
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_TLS);
  g_autofree char *uri = NULL;
  const struct
  {
    const char *uri;
    guint retries;
  } cases[] = { { closing_uri, 2 }, { other_uri, 0 }, { NULL, 0 } };

  fixture_start_gateway (fixture);
  uri = test_dup_string (fixture->tunnel, "remote-uri");
  g_object_set (fixture->tunnel, "tls-database", NULL, "wait-for-gateway", TRUE, "max-reconnect-attempts", 2,
                NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_test_message ("case %u", i);
      g_array_set_size (fixture->recorder->delays, 0);
      g_object_set (fixture->tunnel, "remote-uri", cases[i].uri != NULL ? cases[i].uri : uri, NULL);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (fixture->tunnel), NULL, &error));
      if (cases[i].retries == 0)
        g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS);
      g_assert_cmpuint (fixture->recorder->delays->len, ==, cases[i].retries);
    }
}

/* A client sends all its data and a close frame, and leaves, while the target reads slowly: nothing is lost, and the
 * end is orderly. The data is one message, since a session may pause after each fragment of it. */

#define PIECE 16000

typedef struct
{
  GSocket *socket;
  GIOStream *tls;
} Hasty;

static void
hasty_connect (Hasty *self,
               guint16 port)
{
  static const char request[] = "GET / HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE WS_OURS
                                "Authorization: Bearer " TEST_TOKEN "\r\n\r\n";
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GString) head = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  char byte;

  g_socket_client_set_timeout (client, test_scaled_ms (TEST_DEADLINE_MS) / 1000);
  connection = g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, &error);
  g_assert_no_error (error);
  address = g_socket_connection_get_remote_address (connection, NULL);
  self->socket = g_object_ref (g_socket_connection_get_socket (connection));
  self->tls = g_tls_client_connection_new (G_IO_STREAM (connection), G_SOCKET_CONNECTABLE (address), &error);
  g_assert_no_error (error);
  g_tls_connection_set_database (G_TLS_CONNECTION (self->tls), test_tls_database ());
  g_output_stream_write_all (g_io_stream_get_output_stream (self->tls), request, strlen (request), NULL, NULL, &error);
  g_assert_no_error (error);
  while (!g_str_has_suffix (head->str, "\r\n\r\n"))
    {
      g_assert_cmpint (g_input_stream_read (g_io_stream_get_input_stream (self->tls), &byte, 1, NULL, &error), ==, 1);
      g_string_append_c (head, byte);
    }
  g_assert_true (g_str_has_prefix (head->str, "HTTP/1.1 101 "));
}

static void
hasty_send (Hasty *self,
            guint pieces)
{
  guint8 head[] = { 0, 0xfe, PIECE >> 8, PIECE & 0xff, 0, 0, 0, 0 };
  static const guint8 end[] = { 0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff };
  g_autoptr (GByteArray) wire = g_byte_array_new ();
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < pieces; i++)
    {
      head[0] = (i == 0 ? 0x02 : 0) | (i == pieces - 1 ? 0x80 : 0);
      g_byte_array_append (wire, head, sizeof head);
      g_byte_array_set_size (wire, wire->len + PIECE);
      test_fill (wire->data + wire->len - PIECE, PIECE, pieces, (guint64) i * PIECE);
    }
  g_byte_array_append (wire, end, sizeof end);
  g_output_stream_write_all (g_io_stream_get_output_stream (self->tls), wire->data, wire->len, NULL, NULL, &error);
  g_assert_no_error (error);
  /* Only this direction is closed: unread data in the other one would turn the end into a reset. */
  g_output_stream_close (g_io_stream_get_output_stream (self->tls), NULL, &error);
  g_assert_no_error (error);
  g_socket_shutdown (self->socket, FALSE, TRUE, &error);
  g_assert_no_error (error);
}

static void
test_slow_target (void)
{
  guint16 target_port;
  int listener = socket_listen (0, &target_port);
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", target_port);
  g_autoptr (TcpGateway) gateway = tcp_gateway_new (address);
  g_autoptr (GError) error = NULL;
  guint16 port;
  int small = 1460;

  /* The kernel buffers little: the gateway keeps the rest, and pauses the WebSocket. */
  g_assert_no_errno (setsockopt (listener, IPPROTO_TCP, TCP_MAXSEG, &small, sizeof small));
  client_set_receive_buffer (listener, 8192);
  tcp_gateway_set_token (gateway, TEST_TOKEN);
  g_object_set (gateway, "tls-certificate", test_certificate (), NULL);
  tcp_endpoint_start (TCP_ENDPOINT (gateway), NULL, &error);
  g_assert_no_error (error);
  port = test_port_of (gateway);

  /* The length determines where in the last data the gateway pauses. */
  for (guint pieces = 84; pieces < 140; pieces += 4)
    {
      Hasty hasty;
      int target;

      hasty_connect (&hasty, port);
      hasty_send (&hasty, pieces);
      target = accept (listener, NULL, NULL);
      g_assert_cmpint (target, >=, 0);
      client_read_stream (target, (guint64) pieces * PIECE, pieces, 0);
      client_expect_eof (target);
      client_close (target);
      g_object_unref (hasty.tls);
      g_object_unref (hasty.socket);
    }
  client_close (listener);
  tcp_endpoint_close (TCP_ENDPOINT (gateway));
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/tls/wait-for-gateway", test_wait_for_gateway);
  g_test_add_func ("/tls/client-certificate", test_client_certificate);
  g_test_add_func ("/tls/no-client-certificate", test_no_client_certificate);
  g_test_add_func ("/tls/gateway-without-tls", test_gateway_without_tls);
  g_test_add_func ("/tls/url-without-tls", test_url_without_tls);
  g_test_add_func ("/tls/no-handshake", test_no_handshake);
  g_test_add_func ("/tls/refused-certificate", test_refused_certificate);
  g_test_add_func ("/tls/self-signed", test_self_signed);
  g_test_add_func ("/tls/other-faults", test_other_faults);
  g_test_add_func ("/tls/slow-target", test_slow_target);

  return g_test_run ();
}
