/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Suspending a gateway, its state, and resuming it in the same process. The tests of the command test that another
 * process adopts the state. */

#include "resume-rig.h"
#include "resumable-peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* See gateway/snapshot.c. */
#define HEADER_SIZE 32
#define SIZE_AT 16
#define RECORDS_AT 24
#define RECORD_HEADER_SIZE 16
#define CLIENT_KIND 2

static void
on_result (GObject *object,
           GAsyncResult *result,
           gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static int
try_suspend_in (GMainContext *context,
                TcpGateway *gateway,
                GCancellable *cancellable,
                GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  tcp_gateway_suspend_async (gateway, cancellable, on_result, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  return tcp_gateway_suspend_finish (gateway, result, error);
}

static int
try_suspend (TcpGateway *gateway,
             GCancellable *cancellable,
             GError **error)
{
  return try_suspend_in (NULL, gateway, cancellable, error);
}

static int
suspend (TcpGateway *gateway)
{
  g_autoptr (GError) error = NULL;
  int fd = try_suspend (gateway, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (fd, >, STDERR_FILENO);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, FD_CLOEXEC);
  g_assert_cmpint (fcntl (fd, F_GET_SEALS), ==, SEALS);
  return fd;
}

static GByteArray *
read_state (int fd)
{
  GByteArray *state = g_byte_array_new ();
  struct stat info;

  g_assert_cmpint (fstat (fd, &info), ==, 0);
  g_byte_array_set_size (state, info.st_size);
  g_assert_cmpint (pread (fd, state->data, state->len, 0), ==, (gssize) state->len);
  return state;
}

static int
write_state (const guint8 *data,
             gsize length,
             int seals)
{
  int fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, data, length), ==, (gssize) length);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, seals), ==, 0);
  return fd;
}

/* Checks the state as another program does before it takes over. */
static gboolean
try_adopt (int fd,
           GError **error)
{
  g_autoptr (TcpGateway) gateway = tcp_gateway_new ("127.0.0.1:1");

  tcp_gateway_set_token (gateway, "any");
  return tcp_gateway_adopt (gateway, fd, error);
}

static void
assert_refused (const guint8 *data,
                gsize length,
                int seals,
                const char *message)
{
  g_autoptr (GError) error = NULL;
  int fd = write_state (data, length, seals);

  g_assert_false (try_adopt (fd, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, message));
  client_close (fd);
}

/* Returns whether the descriptor of the connection to the target, which is in this process, is inherited by a new
 * program. @reset becomes TRUE if it is closed with a reset. */
static gboolean
is_left (guint16 port,
         gboolean *reset)
{
  for (int fd = STDERR_FILENO + 1; fd < 200; fd++)
    {
      struct sockaddr_in address = { 0 };
      socklen_t size = sizeof address;
      struct linger linger = { 0 };
      socklen_t linger_size = sizeof linger;

      if (getpeername (fd, (struct sockaddr *) &address, &size) < 0 || address.sin_port != htons (port))
        continue;
      g_assert_cmpint (getsockopt (fd, SOL_SOCKET, SO_LINGER, &linger, &linger_size), ==, 0);
      *reset = linger.l_onoff && linger.l_linger == 0;
      return (fcntl (fd, F_GETFD) & FD_CLOEXEC) == 0;
    }
  g_assert_not_reached ();
}

/* Reads what was sent while the gateway was suspended. */
static void
pair_expect (Pair *pair)
{
  char up[2];
  char down[4];

  client_read (pair->target, up, sizeof up);
  g_assert_cmpmem (up, sizeof up, "up", 2);
  client_read (pair->client, down, sizeof down);
  g_assert_cmpmem (down, sizeof down, "down", 4);
}

/* A gateway that is suspended and resumed loses no byte, and no WebSocket breaks. */
static void
test_resume (TcpTunnelMode mode)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, mode);
  g_autoptr (GError) error = NULL;
  g_auto (Pair) pair = { -1, -1 };

  fixture_start (fixture);
  pair = pair_open (fixture, target);
  pair_round_trip (&pair);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GByteArray) state = NULL;
      int fd = suspend (fixture->gateway);

      client_write (pair.client, "up", 2);
      client_write (pair.target, "down", 4);
      g_assert_cmpint (try_suspend (fixture->gateway, NULL, &error), ==, -1);
      g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
      g_clear_error (&error);

      state = read_state (fd);
      g_assert_cmpuint (state->len, <, 64 * 1024);
      g_assert_null (memmem (state->data, state->len, TEST_TOKEN, strlen (TEST_TOKEN)));
      g_assert_true (try_adopt (fd, &error));
      g_assert_no_error (error);
      client_close (fd);

      tcp_gateway_resume (fixture->gateway);
      tcp_gateway_resume (fixture->gateway);
      pair_expect (&pair);
      pair_round_trip (&pair);
    }
  g_assert_cmpuint (test_figure (fixture->tunnel, reconnects), ==, 0);
}

/* Sends in both directions. Returns how many times in a row nothing could be sent. */
static guint
pair_fill (Pair *pair,
           guint *stuck)
{
  static const guint8 block[64 * 1024];
  gssize up = send (pair->client, block, sizeof block, MSG_DONTWAIT);
  gssize down = send (pair->target, block, sizeof block, MSG_DONTWAIT);

  *stuck = up > 0 || down > 0 ? 0 : *stuck + 1;
  return *stuck;
}

/* Buffered data is part of the state, which does not exceed max-memory. */
static void
test_bound (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  guint64 max_memory = 16 * 1024 * 1024;
  g_auto (Pair) pair = { -1, -1 };
  struct stat info;
  guint stuck = 0;
  int fd;

  g_object_set (fixture->gateway, "max-memory", max_memory, NULL);
  fixture_start (fixture);
  pair = pair_open (fixture, target);
  /* Neither end reads. */
  WAIT_UNTIL (pair_fill (&pair, &stuck) > 50);
  fd = suspend (fixture->gateway);
  g_assert_cmpint (fstat (fd, &info), ==, 0);
  g_test_message ("the state has %" G_GINT64_FORMAT " bytes", (gint64) info.st_size);
  g_assert_cmpuint (info.st_size, >, 16 * 1024);
  g_assert_cmpuint (info.st_size, <, max_memory);
  client_close (fd);
  tcp_gateway_resume (fixture->gateway);
}

/* Each session adds only little to the state. */
static void
test_many (void)
{
  enum { N = 40 };
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_PARALLEL);
  Pair pairs[N];
  struct stat info;
  int fd;

  fixture_start (fixture);
  for (guint i = 0; i < N; i++)
    {
      pairs[i] = pair_open (fixture, target);
      /* A suspended gateway gives up a dial that has not ended, and connects again. */
      pair_round_trip (&pairs[i]);
    }
  fd = suspend (fixture->gateway);
  g_assert_cmpint (fstat (fd, &info), ==, 0);
  g_test_message ("the state of %d sessions has %" G_GINT64_FORMAT " bytes", N, (gint64) info.st_size);
  g_assert_cmpuint (info.st_size, >, N * 100);
  g_assert_cmpuint (info.st_size, <, 1024 + N * 1024);
  client_close (fd);
  tcp_gateway_resume (fixture->gateway);
  for (guint i = 0; i < N; i++)
    {
      pair_round_trip (&pairs[i]);
      pair_clear (&pairs[i]);
    }
}

/* A gateway that was handed over may be resumed. */
static void
test_hand_over (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (GError) error = NULL;
  g_auto (Pair) pair = { -1, -1 };
  guint16 port = target_get_port (target);
  gboolean reset;

  g_assert_false (tcp_gateway_hand_over (fixture->gateway, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_clear_error (&error);
  fixture_start (fixture);
  g_assert_false (tcp_gateway_hand_over (fixture->gateway, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_clear_error (&error);

  pair = pair_open (fixture, target);
  pair_round_trip (&pair);
  client_close (suspend (fixture->gateway));
  g_assert_false (is_left (port, &reset));
  g_assert_false (reset);
  g_assert_true (tcp_gateway_hand_over (fixture->gateway, &error));
  g_assert_no_error (error);
  g_assert_true (is_left (port, &reset));
  g_assert_true (reset);

  tcp_gateway_resume (fixture->gateway);
  resume_expect (fixture, 1);
  pair_round_trip (&pair);
  g_assert_false (is_left (port, &reset));
  g_assert_false (reset);
}

static void
test_states (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_auto (Pair) pair = { -1, -1 };

  tcp_gateway_resume (fixture->gateway);
  g_assert_cmpint (try_suspend (fixture->gateway, NULL, &error), ==, -1);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_clear_error (&error);

  fixture_start (fixture);
  pair = pair_open (fixture, target);
  pair_round_trip (&pair);
  g_cancellable_cancel (cancellable);
  g_assert_cmpint (try_suspend (fixture->gateway, cancellable, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  pair_round_trip (&pair);

  /* A suspended gateway can be closed without being resumed. */
  client_close (suspend (fixture->gateway));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  client_expect_reset (pair.target);
  client_expect_reset (pair.client);
}

static void
on_drained (GObject *object,
            GAsyncResult *result,
            gpointer user_data)
{
  tcp_gateway_drain_finish (TCP_GATEWAY (object), result, NULL);
  *(gboolean *) user_data = TRUE;
}

/* A drain resumes a suspended gateway. */
static void
test_drain (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_SINGLETON);
  g_autoptr (GError) error = NULL;
  g_auto (Pair) pair = { -1, -1 };
  gboolean drained = FALSE;

  fixture_start (fixture);
  pair = pair_open (fixture, target);
  pair_round_trip (&pair);
  client_close (suspend (fixture->gateway));
  tcp_gateway_drain_async (fixture->gateway, 60000, NULL, on_drained, &drained);
  pair_round_trip (&pair);
  g_assert_false (tcp_gateway_hand_over (fixture->gateway, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  g_clear_error (&error);
  g_assert_cmpint (try_suspend (fixture->gateway, NULL, &error), ==, -1);
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
  client_close (pair.client);
  client_close (pair.target);
  pair = (Pair) { -1, -1 };
  WAIT_UNTIL (drained);
}

/* Repeats the last client of the state at its end. Returns the position of the copy. */
static guint8 *
state_repeat_client (GByteArray *state)
{
  guint64 at = HEADER_SIZE;
  guint64 end = state->len;
  guint64 from = 0, size = 0;

  while (at < end)
    {
      guint64 length = *(guint64 *) (state->data + at);
      guint64 whole = RECORD_HEADER_SIZE + (length + 7) / 8 * 8;

      if (*(guint32 *) (state->data + at + sizeof length) == CLIENT_KIND)
        {
          from = at;
          size = whole;
        }
      at += whole;
    }
  g_assert_cmpuint (at, ==, end);
  g_assert_cmpuint (from, >, 0);

  g_byte_array_set_size (state, end + size);
  memcpy (state->data + end, state->data + from, size);
  *(guint64 *) (state->data + SIZE_AT) += size;
  *(guint64 *) (state->data + RECORDS_AT) += 1;
  return state->data + end + RECORD_HEADER_SIZE;
}

/* A state in which two connections have the same socket is refused, since their bytes would mix. */
static void
test_twice (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GByteArray) state = NULL;
  g_auto (Pair) pair = { -1, -1 };
  g_autoptr (GError) error = NULL;
  guint8 *session_id;
  int fd;

  fixture_start (fixture);
  pair = pair_open (fixture, target);
  /* The gateway has a socket of the target only when the dial has ended. */
  pair_round_trip (&pair);
  fd = suspend (fixture->gateway);
  state = read_state (fd);
  try_adopt (fd, &error);
  g_assert_no_error (error);
  client_close (fd);
  tcp_gateway_resume (fixture->gateway);

  session_id = state_repeat_client (state);
  assert_refused (state->data, state->len, SEALS, "malformed");
  /* Now the sessions differ, but not their sockets. */
  session_id[0] ^= 1;
  assert_refused (state->data, state->len, SEALS, "malformed");
}

/* A state that is invalid or was changed is refused, and causes no other harm. */
static void
test_malformed (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autoptr (GByteArray) state = NULL;
  g_auto (Pair) pair = { -1, -1 };
  g_autoptr (GError) error = NULL;
  int fd;

  fixture_start (fixture);
  pair = pair_open (fixture, target);
  pair_round_trip (&pair);
  client_write (pair.client, "waits", 5);
  fd = suspend (fixture->gateway);
  state = read_state (fd);
  client_close (fd);
  tcp_gateway_resume (fixture->gateway);

  g_assert_false (try_adopt (-1, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  assert_refused (state->data, state->len, 0, "does not hold the state of a gateway");
  assert_refused (state->data, state->len, SEALS & ~F_SEAL_WRITE, "does not hold the state of a gateway");
  assert_refused (state->data, 20, SEALS, "malformed");
  assert_refused (state->data, state->len - 8, SEALS, "malformed");
  state->data[12]++;
  assert_refused (state->data, state->len, SEALS, "has version 2, but this program reads version 1");
  state->data[12]--;
  for (guint i = 0; i < 2000; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (state->data, state->len);

      for (guint n = g_rand_int_range (rand, 1, 4); n > 0; n--)
        copy[g_rand_int_range (rand, 0, state->len)] ^= 1 << g_rand_int_range (rand, 0, 8);
      fd = write_state (copy, state->len, SEALS);
      try_adopt (fd, NULL);
      client_close (fd);
    }
}

static void
assert_adopts (TcpGateway *gateway,
               int fd)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) warnings = tcp_gateway_check (gateway, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (warnings);
  tcp_gateway_adopt (gateway, fd, &error);
  g_assert_no_error (error);
}

static void
on_authenticate (TcpGateway *gateway,
                 TcpAuthentication *authentication,
                 gpointer user_data)
{
}

/* A gateway may adopt a state if it has only the token of a principal, or only a handler of authenticate. */
static void
test_kinds_of_authentication (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  g_autoptr (TcpGateway) knows = tcp_gateway_new ("127.0.0.1:1");
  g_autoptr (TcpGateway) asks = tcp_gateway_new ("127.0.0.1:1");
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  g_autoptr (TcpPrincipal) alice = tcp_principal_new ("alice");
  const char *tokens[] = { TEST_TOKEN, NULL };
  const char *wrong[] = { "nowhere", NULL };
  g_autoptr (GError) error = NULL;
  int fd;

  g_object_set (alice, "tokens", tokens, NULL);
  g_list_store_append (principals, alice);
  g_object_set (knows, "principals", principals, NULL);
  g_signal_connect (asks, "authenticate", G_CALLBACK (on_authenticate), NULL);
  fixture_start (fixture);
  fd = suspend (fixture->gateway);
  assert_adopts (knows, fd);
  assert_adopts (asks, fd);

  g_object_set (alice, "allow", wrong, NULL);
  g_assert_false (tcp_gateway_adopt (knows, fd, &error));
  g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_INVALID_ARGUMENT);
  client_close (fd);
}

/* Several threads suspend the gateway, with contexts of their own. One at a time succeeds, and any of them may resume
 * it. */

#define N_THREADS 4

static gpointer
run_suspends (gpointer gateway)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  guint rounds = test_count (200, 50);

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (GError) error = NULL;
      int fd = try_suspend_in (context, gateway, NULL, &error);

      if (fd >= 0)
        client_close (fd);
      else if (!g_error_matches (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_CLOSED))
        g_assert_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_WRONG_STATE);
      tcp_gateway_resume (gateway);
    }
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = resume_new (target, TCP_TUNNEL_MODE_MULTIPLEXED);
  GThread *threads[N_THREADS];
  g_auto (Pair) pair = { -1, -1 };

  fixture_start (fixture);
  pair = pair_open (fixture, target);
  pair_round_trip (&pair);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("suspends", run_suspends, fixture->gateway);
  for (guint i = 0; i < 50; i++)
    pair_round_trip (&pair);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  pair_round_trip (&pair);
  g_assert_cmpuint (test_figure (fixture->tunnel, reconnects), ==, 0);
}

/* With many idle connections, each is part of the state, is counted in the metrics, and continues. */
static void
test_idle (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (TcpGatewayMetrics) metrics = NULL;
  g_autoptr (GError) error = NULL;
  guint n = test_count (4000, 2000);
  gint64 began;
  int fd;

  test_need_descriptors (3 * n);
  g_object_set (fixture->gateway, "max-connections", n, "max-memory", (guint64) 1024 * 1024 * 1024, NULL);
  fixture_start_gateway (fixture);
  peer = resumable_client_start (fixture_get_gateway_port (fixture), TEST_TOKEN, TRUE);
  for (guint i = 0; i < n; i++)
    resumable_open (peer, 1 + 2 * i);

  began = g_get_monotonic_time ();
  fd = suspend (fixture->gateway);
  g_test_message ("%u connections were written down in %" G_GINT64_FORMAT " us", n, g_get_monotonic_time () - began);
  g_assert_true (try_adopt (fd, &error));
  g_assert_no_error (error);
  metrics = tcp_gateway_get_metrics (fixture->gateway);
  g_assert_cmpuint (metrics->dials_connected, ==, n);
  g_assert_cmpuint (test_figure (fixture->gateway, open_connections), ==, n);
  client_close (fd);
  tcp_gateway_resume (fixture->gateway);
  for (guint i = 0; i < n; i++)
    resumable_round_trip (peer, 1 + 2 * i, "on");
  g_assert_cmpuint (target_get_counters (target).accepted, ==, n);
}

static void
test_resume_singleton (void)
{
  test_resume (TCP_TUNNEL_MODE_SINGLETON);
}

static void
test_resume_multiplexed (void)
{
  test_resume (TCP_TUNNEL_MODE_MULTIPLEXED);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/restart/resume/singleton", test_resume_singleton);
  g_test_add_func ("/restart/resume/multiplexed", test_resume_multiplexed);
  g_test_add_func ("/restart/bound", test_bound);
  g_test_add_func ("/restart/many", test_many);
  g_test_add_func ("/restart/hand-over", test_hand_over);
  g_test_add_func ("/restart/states", test_states);
  g_test_add_func ("/restart/drain", test_drain);
  g_test_add_func ("/restart/twice", test_twice);
  g_test_add_func ("/restart/malformed", test_malformed);
  g_test_add_func ("/restart/kinds-of-authentication", test_kinds_of_authentication);
  g_test_add_func ("/restart/threads", test_threads);
  g_test_add_func ("/restart/idle", test_idle);

  return g_test_run ();
}
