/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/tls-queue.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "certificate.h"
#include "channel-end.h"
#include "test-util.h"

/* The number of handshakes that may run at once. */
#define SLOTS 8

/* The interval at which one more client comes. */
#define INTERVAL_MS 5

typedef struct
{
  TcpTlsQueue *queue;
  TcpOrigin origin;
  GPtrArray *clients;
  GQueue ready; /* of Client: those that come next */
  guint late;
} Crowd;

/* A client that sends nothing, so that its handshake lasts. */
typedef struct
{
  Crowd *crowd;
  TcpTlsEntry *entry; /* NULL once the handshake has been given up */
  GSocketConnection *connection;
  GSocket *peer;
} Client;

static void
client_free (gpointer data)
{
  Client *self = data;

  g_clear_pointer (&self->entry, tcp_tls_entry_cancel);
  g_object_unref (self->connection);
  g_object_unref (self->peer);
  g_free (self);
}

static void
on_handshake (GIOStream             *stream,
              TcpBufferedConnection *buffered,
              TcpClientCertificate  *certificate,
              const GError          *error,
              gpointer               user_data)
{
  Client *self = user_data;

  self->entry = NULL;
  g_assert_null (stream);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  if (strcmp (error->message, "there are more than can be served") == 0)
    self->crowd->late++;
}

static Client *
client_new (Crowd *crowd)
{
  Client *client = g_new0 (Client, 1);
  g_autoptr (GSocket) socket = NULL;
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
  socket = g_socket_new_from_fd (fds[0], NULL);
  client->peer = g_socket_new_from_fd (fds[1], NULL);
  client->connection = g_socket_connection_factory_create_connection (socket);
  client->crowd = crowd;
  return client;
}

static gboolean
on_interval (gpointer user_data)
{
  Crowd *crowd = user_data;
  Client *client = g_queue_pop_head (&crowd->ready);

  if (client == NULL)
    client = client_new (crowd);
  client->entry = tcp_tls_queue_add (crowd->queue, client->connection, &crowd->origin, on_handshake, client);
  g_ptr_array_add (crowd->clients, client);
  return G_SOURCE_CONTINUE;
}

/* While more clients keep coming, and no handshake in a slot makes progress, the oldest of those that wait is given
 * up, not the newest. */
static void
test_late (void)
{
  g_autoptr (TcpChannelGroup) group = tcp_channel_group_new ();
  Crowd crowd = { .queue = tcp_tls_queue_new (test_certificate (), NULL, group), .origin = { .name = (char *) "here" } };
  guint source = g_timeout_add (INTERVAL_MS, on_interval, &crowd);
  const Client *newest;

  crowd.clients = g_ptr_array_new_with_free_func (client_free);
  WAIT_UNTIL (crowd.late > 0);
  g_source_remove (source);

  g_assert_cmpuint (crowd.clients->len, >, SLOTS + crowd.late);
  newest = crowd.clients->pdata[crowd.clients->len - 1];
  g_assert_nonnull (newest->entry);

  g_ptr_array_unref (crowd.clients);
  tcp_tls_queue_free (crowd.queue);
  wait_for_group (group);
}

/* Handshakes that wait for their peers need no further descriptor, without which GLib would abort the program. */
static void
test_no_descriptor (void)
{
  g_autoptr (TcpChannelGroup) group = tcp_channel_group_new ();
  Crowd crowd = { .queue = tcp_tls_queue_new (test_certificate (), NULL, group), .origin = { .name = (char *) "here" } };
  g_autoptr (GArray) held = g_array_new (FALSE, FALSE, sizeof (int));
  guint64 limit = test_set_descriptors (1000);
  guint source;
  int fd;

  crowd.clients = g_ptr_array_new_with_free_func (client_free);
  for (guint i = 0; i < 400; i++)
    g_queue_push_tail (&crowd.ready, client_new (&crowd));
  while ((fd = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    g_array_append_val (held, fd);
  source = g_timeout_add (INTERVAL_MS, on_interval, &crowd);
  WAIT_UNTIL (crowd.late > 0);
  g_source_remove (source);

  for (guint i = 0; i < held->len; i++)
    close (g_array_index (held, int, i));
  test_set_descriptors (limit);
  g_queue_clear_full (&crowd.ready, client_free);
  g_ptr_array_unref (crowd.clients);
  tcp_tls_queue_free (crowd.queue);
  wait_for_group (group);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tls-queue/late", test_late);
  g_test_add_func ("/tls-queue/no-descriptor", test_no_descriptor);
  return g_test_run ();
}
