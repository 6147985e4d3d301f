/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a gateway keeps the place of a client that has gone, and how that depends on the number of free places. */

#include "doubles.h"
#include "gateway/client.h"
#include "test-util.h"

#define PLACES 4
#define SESSION_TIMEOUT 300

static gboolean client_ended;

static void
on_ended (TcpClient *client,
          gpointer   user_data)
{
  client_ended = TRUE;
}

static void
say_hello (Link *link)
{
  TcpResumableHello hello = {
    .window = 65536, .max_payload = TCP_RESUMABLE_MAX_PAYLOAD, .max_streams = 10,
  };
  g_autoptr (TcpBuffer) frame = tcp_resumable_encode_hello (&hello);

  g_assert_true (link_feed (link, GATEWAY, frame->payload - frame->header, frame->header + frame->length, TRUE, TRUE));
}

static void
fire_all (void)
{
  while (clock_fire ())
    ;
}

/* Returns the number of seconds for which a session without a WebSocket is kept if @taken places are taken, @own of
 * them by its principal, which may have all. */
static guint
measure (gboolean greeted,
         guint    taken,
         guint    own)
{
  TcpGatewaySettings settings = {
    .target = (char *) "127.0.0.1:9", .session_timeout = SESSION_TIMEOUT * 1000,
    .common = { .connect_timeout = 10000, .max_unacknowledged_bytes = 1 << 20, .max_window_bytes = 1 << 20,
                .max_connections = PLACES },
  };
  TcpShared shared = { .settings = &settings, .memory = 1 << 20, .clients = { .used = taken, .max = 2 * PLACES } };
  g_autoptr (TcpReversePorts) reverse_ports = tcp_reverse_ports_new (NULL, NULL);
  g_autoptr (TcpPolicy) policy = tcp_policy_new (&settings, NULL);
  g_autoptr (TcpAccount) principal = tcp_account_new ("somebody", policy);
  TcpAccountPart part = {
    .upload = tcp_rate_lane_new (principal->upload, NULL), .download = tcp_rate_lane_new (principal->download, NULL),
  };
  TcpRequest request = {
    .multiplexed = TRUE, .resumable = TRUE, .session_id = (char *) "session", .principal = principal,
    .proof = { .expires = G_MAXINT64 }, .address = (char *) "127.0.0.1",
  };
  TcpClientCallbacks callbacks = { .ended = on_ended };
  LinkOptions options = { .capacity = 65536 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  TcpClient *client;
  Link *link;
  guint seconds = 0;

  principal->clients.used = own;
  principal->clients.max = PLACES;
  clock_reset ();
  shared.reverse_ports = reverse_ports;
  client_ended = FALSE;
  shared.log = tcp_log_new ("model", TCP_TUNNEL_LOG_LEVEL_NONE);
  shared.status = tcp_status_new ();
  shared.counters = tcp_counters_new ();
  client = tcp_client_new (&shared, NULL, &request, &part, NULL, NULL, &callbacks, NULL);
  link = link_new (&options, rand);
  tcp_client_attach (client, link_get_channel (link, GATEWAY), &request);
  if (greeted)
    say_hello (link);
  fire_all ();
  link_cut (link);
  link_break (link, GATEWAY);
  link_break (link, CLIENT);
  fire_all ();
  while (!client_ended)
    {
      g_assert_cmpuint (seconds, <=, SESSION_TIMEOUT);
      clock_advance (G_TIME_SPAN_SECOND);
      seconds++;
      fire_all ();
    }

  tcp_client_free (client);
  tcp_rate_lane_unref (part.upload);
  tcp_rate_lane_unref (part.download);
  link_free (link);
  g_assert_cmpuint (clock_get_timers (), ==, 0);
  tcp_status_unref (shared.status);
  tcp_counters_unref (shared.counters);
  tcp_log_unref (shared.log);
  return seconds;
}

/* A client that requests a WebSocket, and then another one with another session id, does not take a place for
 * long. */
static void
test_scarce (void)
{
  for (guint taken = PLACES + 1; taken <= 2 * PLACES; taken++)
    {
      g_assert_cmpuint (measure (FALSE, taken, 1), ==, 10);
      g_assert_cmpuint (measure (TRUE, taken, 1), ==, 10);
    }
  /* The same holds if the principal has used much of its own places. */
  g_assert_cmpuint (measure (TRUE, PLACES, PLACES / 2 + 1), ==, 10);
}

/* A session is kept if there are places left, so that lost data can be sent again. */
static void
test_plenty (void)
{
  g_assert_cmpuint (measure (FALSE, PLACES, PLACES / 2), ==, SESSION_TIMEOUT);
  g_assert_cmpuint (measure (TRUE, 1, 1), ==, SESSION_TIMEOUT);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/client/scarce", test_scarce);
  g_test_add_func ("/client/plenty", test_plenty);
  return g_test_run ();
}
