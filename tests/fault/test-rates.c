/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The limits of bytes and of new connections per second of a principal: what exceeds them waits or is refused, and no
 * byte is lost. */

#include "limits-rig.h"

#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "log-tap.h"
#include "socket-util.h"

#define KIB 1024
#define MIB (1024 * 1024)

/* in bytes per second */
#define RATE 1000000

typedef struct
{
  const char *name;
  TcpTunnelMode mode;
  FixtureFlags flags;
} Protocol;

static const Protocol protocols[] = {
  { "raw", TCP_TUNNEL_MODE_SINGLETON, FIXTURE_PLAIN },
  { "tagged", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_PLAIN },
  { "tagged-tls", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_TLS },
  { "resumable", TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE },
};

static void
set_rate (gpointer object,
          const char *property,
          guint64 rate)
{
  g_object_set (object, property, rate, NULL);
}

/* Requires that @bytes took as long as they have to, where the bytes of one second are free. */
static void
expect_slow (gint64 began,
             guint64 bytes,
             guint64 rate)
{
  gint64 elapsed = g_get_monotonic_time () - began;

  g_test_message ("%" G_GUINT64_FORMAT " bytes took %" G_GINT64_FORMAT " ms", bytes, elapsed / 1000);
  g_assert_cmpint (elapsed, >=, (gint64) ((bytes - rate) * G_TIME_SPAN_SECOND / rate));
}

/* The data takes the time that the limit requires, and all of it arrives. */

static void
test_upload (gconstpointer data)
{
  const Protocol *protocol = data;
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = fixture_new (target, protocol->mode, protocol->flags);
  g_autofree char *wanted = test_digest (RATE * 3 / 2, 1);
  g_autofree char *digest = NULL;
  gint64 began;
  int fd;

  set_rate (fixture->gateway, "max-principal-upload-rate", RATE);
  /* The limit is for one direction only. */
  set_rate (fixture->gateway, "max-principal-download-rate", 0);
  fixture_start (fixture);
  began = g_get_monotonic_time ();
  fd = client_connect_at (G_STRLOC, fixture_get_port (fixture));
  client_send_stream (fd, RATE * 3 / 2, 1, 0);
  client_finish (fd);
  g_assert_true (target_wait_bytes_in (target, RATE * 3 / 2));
  expect_slow (began, RATE * 3 / 2, RATE);
  g_assert_true (target_wait_open (target, 0));
  digest = target_get_digest (target);
  g_assert_cmpstr (digest, ==, wanted);
  client_close (fd);
}

static void
test_download (gconstpointer data)
{
  const Protocol *protocol = data;
  g_autoptr (Target) target = target_new_source (RATE * 3 / 2, 2);
  g_autoptr (Fixture) fixture = fixture_new (target, protocol->mode, protocol->flags);
  gint64 began;
  int fd;

  set_rate (fixture->gateway, "max-principal-download-rate", RATE);
  fixture_start (fixture);
  began = g_get_monotonic_time ();
  fd = client_connect_at (G_STRLOC, fixture_get_port (fixture));
  /* In tagged, the connection begins with data of the client. */
  client_write_at (G_STRLOC, fd, "x", 1);
  client_read_stream (fd, RATE * 3 / 2, 2, 0);
  expect_slow (began, RATE * 3 / 2, RATE);
  client_close (fd);
}

/* Several sessions with one connection each, and one session with several, possibly on different threads: each
 * connection has the same share. */

enum
{
  N_RAW = 3,
  N_TAGGED = 3,
  N_ALL = N_RAW + N_TAGGED,
};

static void
count_message (int fd,
               guint64 *counts,
               guint index)
{
  guint opcode;
  g_autoptr (GBytes) message = ws_receive_any (fd, &opcode);
  const guint8 *bytes;
  gsize length;

  g_assert_nonnull (message);
  if (opcode != WS_BINARY)
    return;
  bytes = g_bytes_get_data (message, &length);
  if (index < N_RAW)
    counts[index] += length;
  else
    counts[N_RAW + bytes[3] - 1] += length - 4;
}

static void
count_until (int *fds,
             guint64 *counts,
             guint64 wanted)
{
  guint64 sum = 0;

  memset (counts, 0, N_ALL * sizeof *counts);
  while (sum < wanted)
    {
      struct pollfd pollfds[N_RAW + 1];

      for (guint i = 0; i <= N_RAW; i++)
        pollfds[i] = (struct pollfd) { .fd = fds[i], .events = POLLIN };
      g_assert_cmpint (poll (pollfds, N_RAW + 1, test_scaled_ms (TEST_DEADLINE_MS)), >, 0);
      for (guint i = 0; i <= N_RAW; i++)
        if (pollfds[i].revents != 0)
          count_message (fds[i], counts, i);
      sum = 0;
      for (guint i = 0; i < N_ALL; i++)
        sum += counts[i];
    }
}

static void
test_fair (void)
{
  g_autoptr (Target) target = target_new_source (G_MAXINT64, 3);
  g_auto (LimitsRig) rig = limits_rig_new (g_steal_pointer (&target));
  guint64 counts[N_ALL];
  int fds[N_RAW + 1];
  guint16 port;

  set_rate (rig.fixture->gateway, "max-principal-download-rate", 2 * RATE);
  fixture_start_gateway (rig.fixture);
  port = fixture_get_gateway_port (rig.fixture);
  for (guint i = 0; i < N_RAW; i++)
    {
      g_autofree char *query = g_strdup_printf ("/?sessionId=fair-%u", i);

      fds[i] = ws_connect (port, query, TEST_TOKEN);
    }
  fds[N_RAW] = ws_connect (port, "/?mode=multiplexed&sessionId=fair", TEST_TOKEN);
  for (guint i = 0; i < N_TAGGED; i++)
    ws_send (fds[N_RAW], WS_BINARY, (guint8[]) { 0, 0, 0, i + 1, 'x' }, 5);

  /* The accumulated bytes go to those that come first. */
  count_until (fds, counts, 5 * RATE / 2);
  count_until (fds, counts, 2 * RATE);
  for (guint i = 0; i < N_ALL; i++)
    {
      g_test_message ("connection %u: %" G_GUINT64_FORMAT, i, counts[i]);
      g_assert_cmpuint (counts[i], >=, 2 * RATE / N_ALL * 8 / 10);
      g_assert_cmpuint (counts[i], <=, 2 * RATE / N_ALL * 12 / 10);
    }
  for (guint i = 0; i <= N_RAW; i++)
    client_close (fds[i]);
}

/* A connection that transfers little is not delayed by one that transfers as much as it may. */

typedef struct
{
  int from;
  int to;
  gint done; /* atomic */
} Pipe;

#define BULK (6 * RATE)

static gpointer
pass_bulk (gpointer data)
{
  Pipe *bulk = data;

  client_pass_stream (bulk->from, bulk->to, BULK, 4, 0);
  g_atomic_int_set (&bulk->done, TRUE);
  return NULL;
}

static void
test_interactive (gconstpointer data)
{
  const char *property = data;
  gboolean upload = strstr (property, "upload") != NULL;
  g_autoptr (Target) target = target_new_manual ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  gint64 began, longest = 0;
  int client, server, bulk_client, bulk_server;
  GThread *thread;
  Pipe bulk;

  set_rate (fixture->gateway, property, RATE);
  fixture_start (fixture);
  bulk_client = client_connect_at (G_STRLOC, fixture_get_port (fixture));
  bulk_server = target_accept (target);
  client = client_connect_at (G_STRLOC, fixture_get_port (fixture));
  server = target_accept (target);
  bulk = upload ? (Pipe) { bulk_client, bulk_server, FALSE } : (Pipe) { bulk_server, bulk_client, FALSE };
  began = g_get_monotonic_time ();
  thread = g_thread_new ("bulk", pass_bulk, &bulk);

  /* By now, the accumulated bytes are used up. */
  WAIT_UNTIL (g_get_monotonic_time () > began + G_TIME_SPAN_SECOND / 4);
  for (guint i = 0; i < 40; i++)
    {
      gint64 now = g_get_monotonic_time ();
      char text[100];

      client_write_at (G_STRLOC, client, "typed", 5);
      client_read_at (G_STRLOC, server, text, 5);
      memset (text, 'a', sizeof text);
      client_write_at (G_STRLOC, server, text, sizeof text);
      client_read_at (G_STRLOC, client, text, sizeof text);
      longest = MAX (longest, g_get_monotonic_time () - now);
    }
  g_test_message ("a round trip took %" G_GINT64_FORMAT " ms at most", longest / 1000);
  /* The bulk takes five seconds. */
  g_assert_false (g_atomic_int_get (&bulk.done));
  set_rate (fixture->gateway, property, 0);
  test_reload_gateway (fixture->gateway);
  g_thread_join (thread);
  client_close (client);
  client_close (server);
  client_close (bulk_client);
  client_close (bulk_server);
}

/* A change of the limit takes effect at once for open connections, and does not affect the session otherwise. */
static void
test_reload (gconstpointer data)
{
  const Protocol *protocol = data;
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, protocol->mode, protocol->flags);
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  TcpPrincipal *principal;
  gint64 began = g_get_monotonic_time ();
  int fd;

  set_rate (fixture->gateway, "max-principal-upload-rate", 2048);
  set_rate (fixture->gateway, "max-principal-download-rate", 1024);
  fixture_start (fixture);
  fd = client_connect_at (G_STRLOC, fixture_get_port (fixture));
  client_send_stream (fd, 50000, 5, 0);
  client_read_stream (fd, 1500, 5, 0);
  expect_slow (began, 1500, 1024);

  /* The limit of a principal overrides the default, */
  principal = test_add_principal (principals, "default", NULL);
  set_rate (principal, "upload-rate", 100 * RATE);
  set_rate (principal, "download-rate", 100 * RATE);
  g_object_set (fixture->gateway, "principals", principals, NULL);
  test_reload_gateway (fixture->gateway);
  client_read_stream (fd, 50000 - 1500, 5, 1500);

  /* unless it is 0. */
  began = g_get_monotonic_time ();
  set_rate (principal, "upload-rate", 0);
  set_rate (principal, "download-rate", 0);
  test_reload_gateway (fixture->gateway);
  client_send_stream (fd, 20000, 6, 0);
  client_read_stream (fd, 1500, 6, 0);
  expect_slow (began, 1500, 1024);
  set_rate (fixture->gateway, "max-principal-upload-rate", 0);
  set_rate (fixture->gateway, "max-principal-download-rate", 0);
  test_reload_gateway (fixture->gateway);
  client_read_stream (fd, 20000 - 1500, 6, 1500);
  g_assert_cmpuint (test_figure (fixture->gateway, total_connections), ==, 1);
  g_assert_cmpuint (test_figure (fixture->gateway, resumes), ==, 0);
  client_close (fd);
}

/* Connections end while their data waits: in order after that data, or at once with a reset. */
static void
test_ends (void)
{
  g_autoptr (Target) target = target_new_sink ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  int fds[20];

  set_rate (fixture->gateway, "max-principal-upload-rate", 20000);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect_at (G_STRLOC, fixture_get_port (fixture));
      client_send_stream (fds[i], 30000, i, 0);
    }
  g_assert_true (target_wait_accepted (target, G_N_ELEMENTS (fds)));
  for (guint i = 0; i < G_N_ELEMENTS (fds); i += 2)
    client_reset (fds[i]);
  g_assert_true (target_wait_open (target, G_N_ELEMENTS (fds) / 2));
  for (guint i = 1; i < G_N_ELEMENTS (fds); i += 2)
    client_finish (fds[i]);
  set_rate (fixture->gateway, "max-principal-upload-rate", 0);
  test_reload_gateway (fixture->gateway);
  for (guint i = 1; i < G_N_ELEMENTS (fds); i += 2)
    {
      client_expect_eof_at (G_STRLOC, fds[i]);
      client_close (fds[i]);
    }
  g_assert_true (target_wait_open (target, 0));
  g_assert_cmpuint (target_get_counters (target).bytes_in, >=, G_N_ELEMENTS (fds) / 2 * 30000);
  g_assert_cmpuint (target_get_counters (target).resets, ==, G_N_ELEMENTS (fds) / 2);
}

/* The gateway is closed while many connections wait. */
static void
test_close (void)
{
  g_autoptr (Target) target = target_new_echo ();
  g_autoptr (Fixture) fixture = fixture_new (target, TCP_TUNNEL_MODE_MULTIPLEXED, FIXTURE_RESUMABLE);
  int fds[20];

  set_rate (fixture->gateway, "max-principal-upload-rate", 10000);
  set_rate (fixture->gateway, "max-principal-download-rate", 5000);
  g_object_set (fixture->gateway, "max-principal-dial-rate", 12, NULL);
  fixture_start (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = client_connect_at (G_STRLOC, fixture_get_port (fixture));
      client_send_stream (fds[i], 30000, i, 0);
    }
  g_assert_true (target_wait_accepted (target, 12));
  tcp_endpoint_close (TCP_ENDPOINT (fixture->gateway));
  g_assert_cmpuint (test_figure (fixture->gateway, open_connections), ==, 0);
  g_assert_true (target_wait_open (target, 0));
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    client_close (fds[i]);
}

/* If many clients exceed the limit, their data stays with them, except for a little of each. */

static gsize
get_heap (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

#define CROWD 64

static void
test_memory_raw (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_sink ());
  int fds[CROWD];
  guint16 port;
  gsize before, grown;
  guint64 sent = 0;
  g_autofree guint8 *message = g_malloc0 (64 * KIB);

  set_rate (rig.fixture->gateway, "max-principal-upload-rate", 50000);
  fixture_start_gateway (rig.fixture);
  port = fixture_get_gateway_port (rig.fixture);
  for (guint i = 0; i < CROWD; i++)
    {
      g_autofree char *query = g_strdup_printf ("/?sessionId=crowd-%u", i);

      fds[i] = ws_connect (port, query, TEST_TOKEN);
    }
  g_assert_true (target_wait_accepted (rig.target, CROWD));
  before = get_heap ();
  /* Each client fills its buffers in the kernel. */
  for (guint round = 0; round < 4; round++)
    for (guint i = 0; i < CROWD; i++)
      {
        guint8 header[14] = { 0x82, 0x80 | 127 };
        guint64 size = GUINT64_TO_BE ((guint64) 64 * MIB);

        memcpy (header + 2, &size, sizeof size);
        if (round == 0)
          sent += client_push (fds[i], header, sizeof header, 1);
        for (gsize n = 1; n > 0;)
          sent += n = client_push (fds[i], message, 64 * KIB, 1);
      }
  grown = get_heap () - MIN (before, get_heap ());
  g_test_message ("%" G_GUINT64_FORMAT " KiB were sent, and the heap has grown by %zu KiB", sent / KIB, grown / KIB);
  g_assert_cmpuint (sent, >, CROWD * 300 * KIB);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (grown, <=, CROWD * 200 * KIB);
  for (guint i = 0; i < CROWD; i++)
    client_close (fds[i]);
}

/* In resumable/1, the credit ends: the gateway grants more only for data that it has passed on. */
static void
test_memory_resumable (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_sink ());
  g_autoptr (ResumablePeer) peer = NULL;
  ResumableFrame frame;
  guint64 sent = 0, given = 0;
  gint64 began, elapsed;
  gsize before, grown;

  set_rate (rig.fixture->gateway, "max-principal-upload-rate", 50000);
  fixture_start_gateway (rig.fixture);
  peer = limits_rig_join (&rig);
  for (guint i = 0; i < CROWD; i++)
    resumable_open (peer, 1 + 2 * i);
  before = get_heap ();
  began = g_get_monotonic_time ();
  for (guint i = 0; i < CROWD; i++)
    {
      guint64 offset = 0;

      while (offset < peer->heard.window)
        {
          gsize n = MIN (peer->heard.window - offset, 16 * KIB);

          resumable_send_stream (peer, 1 + 2 * i, n, i, offset);
          offset += n;
        }
      sent += offset;
    }
  resumable_expect_confirmed (peer);
  grown = get_heap () - MIN (before, get_heap ());
  g_test_message ("%" G_GUINT64_FORMAT " KiB were sent, and the heap has grown by %zu KiB", sent / KIB, grown / KIB);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (grown, <=, sent + CROWD * 16 * KIB);

  /* Some credit is granted in time. */
  while (given == 0)
    {
      g_assert_true (resumable_receive (peer, &frame));
      if (frame.type == RESUMABLE_WINDOW)
        given += resumable_get_u32 (&frame);
    }
  elapsed = g_get_monotonic_time () - began;
  g_assert_cmpuint (given, <=, 50000 + 50000 * (guint64) elapsed / G_TIME_SPAN_SECOND);
  g_assert_cmpuint (target_get_counters (rig.target).bytes_in, <=,
                    50000 + 50000 * (guint64) (g_get_monotonic_time () - began) / G_TIME_SPAN_SECOND);
}

/* Connections above the rate wait, and those of others do not. A connection that has waited too long is refused, with
 * the reason. */
static void
test_dials (void)
{
  g_auto (LimitsRig) rig = limits_rig_new (target_new_echo ());
  g_autoptr (GListStore) principals = g_list_store_new (TCP_TYPE_PRINCIPAL);
  g_autoptr (ResumablePeer) peer = NULL;
  g_autoptr (ResumablePeer) second = NULL;
  guint opened = 0, refused = 0;

  g_object_set (test_add_principal (principals, "other", "others"), "dial-rate", 1000, NULL);
  g_object_set (rig.fixture->gateway, "principals", principals, "max-principal-dial-rate", 3, "connect-timeout", 700,
                NULL);
  fixture_start_gateway (rig.fixture);
  peer = limits_rig_join (&rig);
  for (guint i = 0; i < 10; i++)
    resumable_send (peer, RESUMABLE_OPEN, 1 + 2 * i, NULL, 0);

  second = resumable_client_start (fixture_get_gateway_port (rig.fixture), "others", TRUE);
  for (guint i = 0; i < 10; i++)
    resumable_open (second, 1 + 2 * i);

  while (opened + refused < 10)
    {
      ResumableFrame frame;

      g_assert_true (resumable_receive (peer, &frame));
      opened += frame.type == RESUMABLE_OPENED;
      if (frame.type != RESUMABLE_RESET)
        continue;
      refused++;
      g_assert_cmpuint (resumable_get_u32 (&frame), ==, RESUMABLE_RESET_LIMIT);
      g_assert_nonnull (g_strstr_len ((const char *) frame.payload + 4, frame.length - 4,
                                      "3 connections a second (max-principal-dial-rate)"));
    }
  /* Three at once, and two or three in time. */
  g_assert_cmpuint (opened, >=, 4);
  g_assert_cmpuint (opened, <=, 6);
  WAIT_UNTIL (log_tap_count ("warn gateway", "may begin 3 connections a second (max-principal-dial-rate)") > 0);
  g_assert_true (target_wait_accepted (rig.target, 10 + opened));
}

int
main (int argc,
      char **argv)
{
  log_tap_install ();
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (protocols); i++)
    {
      g_autofree char *upload = g_strconcat ("/rates/upload/", protocols[i].name, NULL);
      g_autofree char *download = g_strconcat ("/rates/download/", protocols[i].name, NULL);
      g_autofree char *reloaded = g_strconcat ("/rates/reload/", protocols[i].name, NULL);

      g_test_add_data_func (upload, &protocols[i], test_upload);
      g_test_add_data_func (download, &protocols[i], test_download);
      g_test_add_data_func (reloaded, &protocols[i], test_reload);
    }
  g_test_add_func ("/rates/fair", test_fair);
  g_test_add_data_func ("/rates/interactive/upload", "max-principal-upload-rate", test_interactive);
  g_test_add_data_func ("/rates/interactive/download", "max-principal-download-rate", test_interactive);
  g_test_add_func ("/rates/ends", test_ends);
  g_test_add_func ("/rates/close", test_close);
  g_test_add_func ("/rates/memory/raw", test_memory_raw);
  g_test_add_func ("/rates/memory/resumable", test_memory_resumable);
  g_test_add_func ("/rates/dials", test_dials);
  return g_test_run ();
}
