/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The request for a WebSocket, and the answers that a server may give to it. */

#include "fixture.h"
#include "socket-util.h"
#include "stub-rig.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG 600000 /* ms: longer than any test */

/* Returns the error message of the start of a multiplexed tunnel. */
static char *
get_refusal (HttpStub *stub,
             TcpTunnelError code)
{
  g_autofree char *uri = http_stub_get_uri (stub, "/t");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GError) error = NULL;

  g_object_set (tunnel, "connect-timeout", LONG, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, (int) code);
  g_assert_nonnull (strstr (error->message, uri));
  return g_strdup (error->message);
}

/* Errors that the head of an answer shows do not wait for its body. */
static void
test_endless_bodies (void)
{
  static const struct
  {
    const char *answer;
    TcpTunnelError code;
    const char *says;
  } cases[] = {
    { "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\r\n", TCP_TUNNEL_ERROR_UNAUTHORIZED, "refused the token (401" },
    { "HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000000000000\r\n\r\nx", TCP_TUNNEL_ERROR_UNAUTHORIZED, "(401" },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", TCP_TUNNEL_ERROR_PROTOCOL, "(200 OK)" },
    { "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\nwait", TCP_TUNNEL_ERROR_UNREACHABLE, "it asks to wait for 7 s" },
    { "HTTP/1.1 503 Busy\nRetry-After:\n 7\n\n", TCP_TUNNEL_ERROR_UNREACHABLE, "it asks to wait for 7 s" },
    { "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", TCP_TUNNEL_ERROR_UNREACHABLE, "/login (302 Found)" },
    { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", TCP_TUNNEL_ERROR_PROTOCOL,
      "is not a WebSocket server: it switches to another protocol" },
    { "SSH-2.0-OpenSSH\r\n", TCP_TUNNEL_ERROR_PROTOCOL, "the SSH server behind it" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (HttpStub) stub = http_stub_new ();
      g_autofree char *message = NULL;

      http_stub_push_open_end (stub, cases[i].answer, strlen (cases[i].answer));
      message = get_refusal (stub, cases[i].code);
      g_test_message ("%s", message);
      g_assert_nonnull (strstr (message, cases[i].says));
      /* The connection is closed as well. */
      g_assert_true (http_stub_wait_held (stub, 0));
    }
}

static void
test_http2 (void)
{
  static const char settings[] = "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\144";
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *message = NULL;

  http_stub_push_open_end (stub, settings, sizeof settings - 1);
  message = get_refusal (stub, TCP_TUNNEL_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (message, "speaks only HTTP/2"));
}

static char *
repeat (const char *text,
        guint count)
{
  g_autoptr (GString) all = g_string_new (NULL);

  for (guint i = 0; i < count; i++)
    g_string_append (all, text);
  return g_string_free (g_steal_pointer (&all), FALSE);
}

static void
test_endless_heads (void)
{
  g_autofree char *hints = repeat ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 11);
  g_autofree char *lines = repeat ("X-Line: x\r\n", 7000);
  g_autofree char *large = g_strconcat ("HTTP/1.1 200 OK\r\n", lines, NULL);
  const char *const answers[] = { hints, large };

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autoptr (HttpStub) stub = http_stub_new ();
      g_autofree char *message = NULL;

      http_stub_push_open_end (stub, answers[i], strlen (answers[i]));
      message = get_refusal (stub, TCP_TUNNEL_ERROR_UNREACHABLE);
      g_assert_nonnull (strstr (message, i == 0 ? "too many informational answers" : "its head is too large"));
    }
}

/* Only informational answers arrive until the timeout. */
static void
test_timeout (void)
{
  static const char hint[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
  g_autoptr (GError) error = NULL;

  http_stub_push_open_end (rig.stub, hint, strlen (hint));
  g_object_set (rig.tunnel, "connect-timeout", 100, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (rig.tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TIMED_OUT);
  g_assert_true (http_stub_wait_held (rig.stub, 0));
}

static void
on_started (GObject *source,
            GAsyncResult *result,
            gpointer user_data)
{
  GError **error = user_data;

  tcp_endpoint_start_finish (TCP_ENDPOINT (source), result, error);
}

/* A close waits for neither. */
static void
test_close (void)
{
  static const char hint[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");
  g_autoptr (GError) error = NULL;

  http_stub_push_open_end (rig.stub, hint, strlen (hint));
  g_object_set (rig.tunnel, "connect-timeout", LONG, NULL);
  tcp_endpoint_start_async (TCP_ENDPOINT (rig.tunnel), NULL, on_started, &error);
  g_assert_true (http_stub_wait_held (rig.stub, 1));
  tcp_endpoint_close (TCP_ENDPOINT (rig.tunnel));
  WAIT_UNTIL (error != NULL);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED);
  g_assert_true (http_stub_wait_held (rig.stub, 0));
}

/* The client of limrun does the same. */
static void
test_redirect_in_singleton (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  http_stub_push_answer (rig.stub, 302, "Location: wss://elsewhere.test/x\r\n", NULL);
  g_object_set (rig.tunnel, "max-reconnect-attempts", 2, NULL);
  fd = stub_rig_connect (&rig);
  stub_rig_expect_failure (&rig, TCP_TUNNEL_ERROR_UNREACHABLE);
  g_assert_nonnull (strstr (rig.recorder->failure->message, "redirects to wss://elsewhere.test/x (302 Stub)"));
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 3);
  client_close (fd);
}

/* The path and the query are not normalized, since a URL may be signed. */
static void
test_target (void)
{
  static const struct
  {
    const char *given;
    const char *sent;
  } cases[] = {
    { "", "/?mode=multiplexed" },
    { "?", "/?mode=multiplexed" },
    { "/a%2fb/%7Euser/./c/../d//", "/a%2fb/%7Euser/./c/../d//?mode=multiplexed" },
    { "/x?sig=%7e%2F%2f+a/b?c:@!$'()*,;=&&k&=v&", "/x?sig=%7e%2F%2f+a/b?c:@!$'()*,;=&&k&=v&&mode=multiplexed" },
    { "/x?mode=other&sig=%41&mode=last", "/x?mode=multiplexed&sig=%41" },
    { "/{a}|^?[b]", "/{a}|^?[b]&mode=multiplexed" },
    { "/\xc3\xa9?\xe2\x82\xac=%E2%82%AC", "/%C3%A9?%E2%82%AC=%E2%82%AC&mode=multiplexed" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (HttpStub) stub = http_stub_new ();
      g_autofree char *uri = http_stub_get_uri (stub, cases[i].given);
      g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
      g_autofree char *target = NULL;
      g_autofree char *host = NULL;
      g_autofree char *wanted_host = g_strndup (uri + strlen ("ws://"), strcspn (uri + strlen ("ws://"), "/?"));
      g_autofree char *version = NULL;
      g_autofree char *key = NULL;
      g_autofree guchar *nonce = NULL;
      gsize length;

      g_object_set (tunnel, "resumption", TCP_TUNNEL_RESUMPTION_OFF, NULL);
      http_stub_push_answer (stub, 404, NULL, NULL);
      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, NULL));
      target = http_stub_get_target (stub, 0);
      g_assert_cmpstr (target, ==, cases[i].sent);
      host = http_stub_get_header (stub, 0, "Host");
      g_assert_cmpstr (host, ==, wanted_host);
      version = http_stub_get_header (stub, 0, "Sec-WebSocket-Version");
      g_assert_cmpstr (version, ==, "13");
      key = http_stub_get_header (stub, 0, "Sec-WebSocket-Key");
      nonce = g_base64_decode (key, &length);
      g_assert_cmpuint (length, ==, 16);
    }
}

/* The headers of the application are sent, and do not replace those of the library. */
static void
test_headers (void)
{
  static const char *const headers[] = { "X-One: 1", "Tcp-Tunnel-Protocol: none", "user-agent: mine", NULL };
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *uri = http_stub_get_uri (stub, "/");
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autofree char *one = NULL;
  g_autofree char *agent = NULL;
  g_autofree char *authorization = NULL;

  g_object_set (tunnel, "request-headers", headers, NULL);
  http_stub_push_answer (stub, 404, NULL, NULL);
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, NULL));
  one = http_stub_get_header (stub, 0, "X-One");
  g_assert_cmpstr (one, ==, "1");
  agent = http_stub_get_header (stub, 0, "User-Agent");
  g_assert_cmpstr (agent, ==, "mine");
  authorization = http_stub_get_header (stub, 0, "Authorization");
  g_assert_cmpstr (authorization, ==, "Bearer " TEST_TOKEN);
}

/* A name with two addresses, of which the first does not answer. */

#define TEST_TYPE_RESOLVER (test_resolver_get_type ())
G_DECLARE_FINAL_TYPE (TestResolver, test_resolver, TEST, RESOLVER, GResolver)

struct _TestResolver
{
  GResolver parent_instance;
};

G_DEFINE_TYPE (TestResolver, test_resolver, G_TYPE_RESOLVER)

static void
test_resolver_lookup (GResolver *resolver,
                      const char *name,
                      GResolverNameLookupFlags flags,
                      GCancellable *cancellable,
                      GAsyncReadyCallback callback,
                      gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, callback, user_data);
  GList *addresses = NULL;

  if (flags & G_RESOLVER_NAME_LOOKUP_FLAGS_IPV6_ONLY)
    {
      g_task_return_new_error (task, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, "no such address");
      return;
    }
  addresses = g_list_append (addresses, g_inet_address_new_from_string ("127.0.0.2"));
  addresses = g_list_append (addresses, g_inet_address_new_from_string ("127.0.0.1"));
  g_task_return_pointer (task, addresses, (GDestroyNotify) g_resolver_free_addresses);
}

static GList *
test_resolver_lookup_finish (GResolver *resolver,
                             GAsyncResult *result,
                             GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
test_resolver_class_init (TestResolverClass *class)
{
  G_RESOLVER_CLASS (class)->lookup_by_name_with_flags_async = test_resolver_lookup;
  G_RESOLVER_CLASS (class)->lookup_by_name_with_flags_finish = test_resolver_lookup_finish;
}

static void
test_resolver_init (TestResolver *self)
{
}

static guint16
get_port (const char *uri)
{
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);

  return g_uri_get_port (parsed);
}

/* Returns a listener at 127.0.0.2 that does not answer, since its queue is full. Fills @fds. */
static int
listen_deaf (guint16 port,
             int fds[4])
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons (port) };
  int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  inet_pton (AF_INET, "127.0.0.2", &address.sin_addr);
  g_assert_no_errno (bind (listener, (struct sockaddr *) &address, sizeof address));
  g_assert_no_errno (listen (listener, 0));
  for (guint i = 0; i < 4; i++)
    {
      fds[i] = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      connect (fds[i], (struct sockaddr *) &address, sizeof address);
    }
  return listener;
}

static void
test_dead_address (void)
{
  g_autoptr (GResolver) resolver = g_object_new (TEST_TYPE_RESOLVER, NULL);
  g_autoptr (GResolver) before = g_resolver_get_default ();
  g_autoptr (HttpStub) stub = http_stub_new ();
  g_autofree char *stub_uri = http_stub_get_uri (stub, "/");
  g_autofree char *uri = g_strdup_printf ("ws://two.test:%u/", get_port (stub_uri));
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GError) error = NULL;
  gint64 before_ms;
  int fds[4];
  int listener = listen_deaf (get_port (stub_uri), fds);

  g_resolver_set_default (resolver);
  http_stub_push_answer (stub, 404, NULL, NULL);
  /* The kernel gives up the first address after two minutes. */
  g_object_set (tunnel, "connect-timeout", LONG, NULL);
  before_ms = g_get_monotonic_time () / 1000;
  g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_REJECTED);
  g_assert_cmpint (g_get_monotonic_time () / 1000 - before_ms, <, test_scaled_ms (TEST_DEADLINE_MS));
  g_assert_cmpuint (http_stub_get_requests (stub), ==, 1);

  g_resolver_set_default (before);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
  close (listener);
}

/* SNI contains the name of a host, never an address. */

static gpointer
read_client_hello (gpointer data)
{
  int fd = accept4 (GPOINTER_TO_INT (data), NULL, NULL, SOCK_CLOEXEC);
  GByteArray *hello = g_byte_array_new ();
  guint8 bytes[1000];
  gssize n = 0;

  do
    g_byte_array_append (hello, bytes, n);
  while ((hello->len < 5 || hello->len < 5u + (hello->data[3] << 8 | hello->data[4])) &&
         (n = recv (fd, bytes, sizeof bytes, 0)) > 0);
  close (fd);
  return hello;
}

/* Returns the extension @type, or NULL if there is none. */
static const guint8 *
find_extension (GByteArray *hello,
                guint type)
{
  const guint8 *end = hello->data + hello->len;
  const guint8 *p = hello->data + 5 + 4 + 2 + 32;

  p += 1 + p[0];                /* session id */
  p += 2 + (p[0] << 8 | p[1]);  /* cipher suites */
  p += 1 + p[0];                /* compression */
  for (p += 2; p + 4 <= end; p += 4 + (p[2] << 8 | p[3]))
    if ((guint) (p[0] << 8 | p[1]) == type)
      return p;
  return NULL;
}

static void
test_sni (void)
{
  static const char *const hosts[] = { "127.0.0.1", "localhost" };

  for (guint i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      guint16 port;
      int listener = socket_listen (0, &port);
      GThread *thread = g_thread_new ("tls", read_client_hello, GINT_TO_POINTER (listener));
      g_autofree char *uri = g_strdup_printf ("wss://%s:%u/", hosts[i], port);
      g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_MULTIPLEXED);
      g_autoptr (GByteArray) hello = NULL;
      const guint8 *sni;

      g_assert_false (tcp_endpoint_start (TCP_ENDPOINT (tunnel), NULL, NULL));
      hello = g_thread_join (thread);
      sni = find_extension (hello, 0);
      g_assert_cmpint (sni != NULL, ==, i == 1);
      if (sni != NULL)
        g_assert_cmpmem (sni + 9, strlen (hosts[i]), hosts[i], strlen (hosts[i]));
      g_assert_nonnull (find_extension (hello, 16)); /* ALPN: HTTP/1.1 */
      close (listener);
    }
}

/* The 101 arrives in single bytes, or after informational answers. Bytes after it in the same segment belong to the
 * WebSocket. */

typedef struct
{
  int listener;
  gboolean bytewise;
  const char *before;
  gsize length;
} SlowServer;

static gpointer
serve_slowly (gpointer data)
{
  SlowServer *self = data;
  int fd = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC);
  int on = 1;
  g_autofree char *head = http_read_head (fd);
  g_autofree char *key = http_head_get (head, "Sec-WebSocket-Key");
  g_autofree char *accept = ws_accept_of (key);
  g_autofree guint8 *stream = g_malloc (self->length);
  g_autoptr (GBytes) frame = NULL;
  g_autoptr (GBytes) close_frame = ws_server_close (1000);
  g_autoptr (GString) answer = g_string_new (NULL);
  g_autoptr (GBytes) reply = NULL;
  guint opcode;

  test_fill (stream, self->length, 1, 0);
  frame = ws_server_frame (WS_BINARY, stream, self->length);
  g_string_printf (answer, "%sHTTP/1.1 101 Switching Protocols\nUpgrade:\n websocket\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: %s\r\n\n", self->before, accept);
  g_string_append_len (answer, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame));
  g_string_append_len (answer, g_bytes_get_data (close_frame, NULL), g_bytes_get_size (close_frame));
  setsockopt (fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
  if (self->bytewise)
    for (gsize i = 0; i < answer->len; i++)
      client_write (fd, answer->str + i, 1);
  else
    client_write (fd, answer->str, answer->len);
  /* The tunnel would wait if the server did not close first. */
  reply = ws_server_receive (fd, &opcode);
  g_assert_nonnull (reply);
  g_assert_cmpuint (opcode, ==, WS_CLOSE);
  close (fd);
  return NULL;
}

static void
check_slow_server (gboolean bytewise,
                   const char *before,
                   gsize length)
{
  guint16 port;
  SlowServer server = { socket_listen (0, &port), bytewise, before, length };
  GThread *thread = g_thread_new ("slow-server", serve_slowly, &server);
  g_autofree char *uri = g_strdup_printf ("ws://127.0.0.1:%u/", port);
  g_autoptr (TcpTunnel) tunnel = test_tunnel_new (uri, TCP_TUNNEL_MODE_SINGLETON);
  int fd;

  test_tunnel_start (tunnel);
  fd = client_connect (test_tunnel_get_port (tunnel));
  client_read_stream (fd, length, 1, 0);
  client_expect_eof (fd);
  client_close (fd);
  tcp_endpoint_close (TCP_ENDPOINT (tunnel));
  g_thread_join (thread);
  close (server.listener);
}

static void
test_pieces (void)
{
  g_autofree char *hints = repeat ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10);

  check_slow_server (TRUE, "", 5);
  check_slow_server (FALSE, "HTTP/1.1 100 Continue\r\n\r\n", 5);
  check_slow_server (FALSE, hints, 5);
  for (gsize length = 1; length <= 1 << 20; length *= 8)
    check_slow_server (FALSE, "", length);
}

int
main (int argc,
      char **argv)
{
  g_setenv ("GIO_USE_PROXY_RESOLVER", "dummy", TRUE);
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/opening/endless-bodies", test_endless_bodies);
  g_test_add_func ("/opening/http2", test_http2);
  g_test_add_func ("/opening/endless-heads", test_endless_heads);
  g_test_add_func ("/opening/timeout", test_timeout);
  g_test_add_func ("/opening/close", test_close);
  g_test_add_func ("/opening/redirect-in-singleton", test_redirect_in_singleton);
  g_test_add_func ("/opening/target", test_target);
  g_test_add_func ("/opening/headers", test_headers);
  g_test_add_func ("/opening/dead-address", test_dead_address);
  g_test_add_func ("/opening/sni", test_sni);
  g_test_add_func ("/opening/pieces", test_pieces);

  return g_test_run ();
}
