/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "valid.h"

#include "resumable-peer.h"
#include "ws-client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* A longer wait would be as bad as none at all. */
#define PATIENCE_S 60

/* More TLS handshakes than this would wait for each other in this process. */
#define TLS_AT_ONCE 32

#define ROUND_TRIPS 50

typedef struct _Client Client;

typedef struct
{
  const ValidOptions *options;
  char *request;
  Client *clients;
  guint count;
  guint begun;
  guint waiting;
} Run;

struct _Client
{
  Run *run;
  GIOStream *stream; /* NULL between two attempts */
  char answer[4096];
};

static gboolean
accept_any (GTlsConnection *connection,
            GTlsCertificate *certificate,
            GTlsCertificateFlags errors,
            gpointer user_data)
{
  return TRUE;
}

static GIOStream *
wrap (const ValidOptions *options,
      GSocketConnection *connection)
{
  GIOStream *tls;

  g_socket_set_option (g_socket_connection_get_socket (connection), IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
  if (!options->tls)
    return G_IO_STREAM (g_object_ref (connection));

  /* Otherwise the system's database would be loaded for each connection. */
  tls = g_initable_new (g_tls_backend_get_client_connection_type (g_tls_backend_get_default ()), NULL, NULL,
                        "base-io-stream", connection, "database", NULL, NULL);
  g_signal_connect (tls, "accept-certificate", G_CALLBACK (accept_any), NULL);
  return tls;
}

static char *
make_request (const ValidOptions *options)
{
  return g_strdup_printf ("GET /?mode=multiplexed HTTP/1.1\r\nHost: gateway\r\n" WS_UPGRADE "Authorization: Bearer %s\r\n\r\n",
                          options->token);
}

static gboolean
is_accepted (const char *answer)
{
  return g_str_has_prefix (answer, "HTTP/1.1 101 ");
}

/* One client after the other */

static gboolean
try_once (const ValidOptions *options,
          const char *request)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GIOStream) stream = NULL;
  char answer[4096] = { 0 };
  gboolean accepted;

  if (options->elsewhere)
    {
      g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.2", 0);

      g_socket_client_set_local_address (client, address);
    }
  g_socket_client_set_timeout (client, PATIENCE_S);
  connection = g_socket_client_connect_to_host (client, "127.0.0.1", options->port, NULL, NULL);
  if (connection == NULL)
    return FALSE;
  stream = wrap (options, connection);
  accepted = g_output_stream_write_all (g_io_stream_get_output_stream (stream), request, strlen (request), NULL, NULL,
                                        NULL) &&
             g_input_stream_read (g_io_stream_get_input_stream (stream), answer, sizeof answer - 1, NULL, NULL) > 0 &&
             is_accepted (answer);
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  return accepted;
}

void
valid_run_one (const ValidOptions *options,
               guint seconds)
{
  g_autofree char *request = make_request (options);
  gint64 end = g_get_monotonic_time () + seconds * G_TIME_SPAN_SECOND;
  gint64 longest = 0;
  guint count = 0, attempts = 0;

  do
    {
      gint64 began = g_get_monotonic_time ();

      do
        attempts++;
      while (!try_once (options, request) && g_get_monotonic_time () - began < PATIENCE_S * G_TIME_SPAN_SECOND);
      longest = MAX (longest, g_get_monotonic_time () - began);
      count++;
      g_usleep (20000);
    }
  while (g_get_monotonic_time () < end);
  g_print ("%u %u %.1f\n", count, attempts, longest / 1000.0);
}

/* One client after the other, each with a connection */

static int
compare_times (gconstpointer a,
               gconstpointer b)
{
  gint64 first = *(const gint64 *) a, second = *(const gint64 *) b;

  return (first > second) - (first < second);
}

/* Adds the round trips of one client to @times. Returns the longest of these, or the time for its session and
 * connection together if that is longer. */
static gint64
talk (const ValidOptions *options,
      GArray *times,
      guint *attempts)
{
  g_autoptr (ResumablePeer) peer = resumable_client_new (options->port, options->token, TRUE);
  gint64 began = g_get_monotonic_time ();
  gint64 longest;
  guint status;

  do
    {
      ++*attempts;
      status = resumable_client_try (peer, NULL);
    }
  while (status != 101 && g_get_monotonic_time () - began < PATIENCE_S * G_TIME_SPAN_SECOND);
  g_assert_cmpuint (status, ==, 101);
  resumable_hear_hello (peer);
  resumable_say_hello (peer);
  resumable_open (peer, 1);
  longest = g_get_monotonic_time () - began;

  for (guint i = 0; i < ROUND_TRIPS; i++)
    {
      gint64 trip = g_get_monotonic_time ();

      resumable_round_trip (peer, 1, "a round trip");
      trip = g_get_monotonic_time () - trip;
      g_array_append_val (times, trip);
      longest = MAX (longest, trip);
    }
  resumable_send_code (peer, RESUMABLE_GOAWAY, 0, RESUMABLE_GOAWAY_DONE, "");
  resumable_drop (peer);
  return longest;
}

void
valid_run_talks (const ValidOptions *options,
                 guint seconds)
{
  g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
  gint64 end = g_get_monotonic_time () + seconds * G_TIME_SPAN_SECOND;
  gint64 longest = 0;
  guint count = 0, attempts = 0;

  do
    {
      gint64 waited = talk (options, times, &attempts);

      longest = MAX (longest, waited);
      count++;
    }
  while (g_get_monotonic_time () < end);
  g_array_sort (times, compare_times);
  g_print ("%u %u %.1f %.3f\n", count, attempts, longest / 1000.0,
           g_array_index (times, gint64, times->len * 99 / 100) / 1000.0);
}

/* All at once */

static void client_try (Client *self);

static void
run_begin_next (Run *self)
{
  Client *client = &self->clients[self->begun++];

  client->run = self;
  client_try (client);
}

static void
on_read (GObject *object,
         GAsyncResult *result,
         gpointer user_data)
{
  Client *self = user_data;

  if (g_input_stream_read_finish (G_INPUT_STREAM (object), result, NULL) > 0 && is_accepted (self->answer))
    {
      self->run->waiting--;
      if (self->run->begun < self->run->count)
        run_begin_next (self->run);
      return;
    }
  client_try (self);
}

static void
on_written (GObject *object,
            GAsyncResult *result,
            gpointer user_data)
{
  Client *self = user_data;

  if (g_output_stream_write_all_finish (G_OUTPUT_STREAM (object), result, NULL, NULL))
    g_input_stream_read_async (g_io_stream_get_input_stream (self->stream), self->answer, sizeof self->answer - 1,
                               G_PRIORITY_DEFAULT, NULL, on_read, self);
  else
    client_try (self);
}

static void
on_connected (GObject *object,
              GAsyncResult *result,
              gpointer user_data)
{
  Client *self = user_data;
  g_autoptr (GSocketConnection) connection =
      g_socket_client_connect_to_host_finish (G_SOCKET_CLIENT (object), result, NULL);

  if (connection == NULL)
    {
      client_try (self);
      return;
    }
  self->stream = wrap (self->run->options, connection);
  g_output_stream_write_all_async (g_io_stream_get_output_stream (self->stream), self->run->request,
                                   strlen (self->run->request), G_PRIORITY_DEFAULT, NULL, on_written, self);
}

static void
client_try (Client *self)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();

  g_clear_object (&self->stream);
  g_socket_client_connect_to_host_async (client, "127.0.0.1", self->run->options->port, NULL, on_connected, self);
}

void
valid_run_all (const ValidOptions *options,
               guint count)
{
  g_autofree Client *clients = g_new0 (Client, count);
  g_autofree char *request = make_request (options);
  Run run = { .options = options, .request = request, .clients = clients, .count = count, .waiting = count };
  guint at_once = options->tls ? MIN (count, TLS_AT_ONCE) : count;
  gint64 began = g_get_monotonic_time ();

  while (run.begun < at_once)
    run_begin_next (&run);
  while (run.waiting > 0)
    g_main_context_iteration (NULL, TRUE);
  g_print ("%u 0 %.1f\n", count, (g_get_monotonic_time () - began) / 1000.0);
  for (guint i = 0; i < count; i++)
    g_object_unref (clients[i].stream);
}
