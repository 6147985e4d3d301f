/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/demo-server.h"

enum
{
  MAX_CONNECTIONS = 64,
  TIMEOUT = 30, /* s, for a client of the demo */
  RELAY_BUFFER = 256 * 1024,
};

struct _DemoServer
{
  DemoServerFunc func;
  gpointer data;
  GSocketListener *listener;
  GCancellable *stop;
  GThread *thread;
  guint16 port;

  GMutex mutex;
  GCond ended;
  GList *connections;
  guint n_accepted;
};

typedef struct
{
  DemoServer *server;
  GSocketConnection *connection;
  guint id;
} Job;

static void
cut (GSocketConnection *connection)
{
  g_socket_shutdown (g_socket_connection_get_socket (connection), TRUE, TRUE, NULL);
}

static gpointer
serve (gpointer data)
{
  g_autofree Job *job = data;
  g_autoptr (GSocketConnection) connection = job->connection;
  DemoServer *self = job->server;

  self->func (connection, job->id, self->data);

  g_mutex_lock (&self->mutex);
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  self->connections = g_list_remove (self->connections, connection);
  g_cond_broadcast (&self->ended);
  g_mutex_unlock (&self->mutex);
  return NULL;
}

static gpointer
accept_all (gpointer data)
{
  DemoServer *self = data;

  for (;;)
    {
      g_autoptr (GSocketConnection) connection =
          g_socket_listener_accept (self->listener, NULL, self->stop, NULL);

      if (connection == NULL)
        return NULL;

      g_mutex_lock (&self->mutex);
      if (g_list_length (self->connections) < MAX_CONNECTIONS)
        {
          Job job = { self, g_object_ref (connection), ++self->n_accepted };

          self->connections = g_list_prepend (self->connections, connection);
          g_thread_unref (g_thread_new ("demo-serve", serve, g_memdup2 (&job, sizeof job)));
        }
      g_mutex_unlock (&self->mutex);
    }
}

DemoServer *
demo_server_new (DemoServerFunc   func,
                 gpointer         data,
                 GError         **error)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new (loopback, 0);
  g_autoptr (GSocketAddress) address = NULL;
  DemoServer *self;

  if (!g_socket_listener_add_address (listener, any, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP,
                                      NULL, &address, error))
    return NULL;

  self = g_new0 (DemoServer, 1);
  self->func = func;
  self->data = data;
  self->listener = g_steal_pointer (&listener);
  self->stop = g_cancellable_new ();
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
  self->thread = g_thread_new ("demo-accept", accept_all, self);
  return self;
}

void
demo_server_free (DemoServer *self)
{
  g_cancellable_cancel (self->stop);
  g_thread_join (self->thread);
  g_socket_listener_close (self->listener);
  demo_server_cut (self);

  g_mutex_lock (&self->mutex);
  while (self->connections != NULL)
    g_cond_wait (&self->ended, &self->mutex);
  g_mutex_unlock (&self->mutex);

  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->ended);
  g_object_unref (self->listener);
  g_object_unref (self->stop);
  g_free (self);
}

guint16
demo_server_get_port (DemoServer *self)
{
  return self->port;
}

/**
 * demo_server_cut:
 *
 * Breaks all existing connections; new ones are accepted.
 *
 * Returns: whether there were any connections
 */
gboolean
demo_server_cut (DemoServer *self)
{
  gboolean any;

  g_mutex_lock (&self->mutex);
  any = self->connections != NULL;
  for (GList *l = self->connections; l != NULL; l = l->next)
    cut (l->data);
  g_mutex_unlock (&self->mutex);
  return any;
}

guint16
demo_get_port (TcpEndpoint *endpoint)
{
  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (tcp_endpoint_get_local_address (endpoint)));
}

/**
 * demo_connect:
 *
 * Connects to a port of this machine. All operations of the demo are short, so reading and writing have a deadline.
 */
GSocketConnection *
demo_connect (guint16   port,
              GError  **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();

  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_set_timeout (client, TIMEOUT);
  return g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, error);
}

typedef struct
{
  GSocketConnection *from;
  GSocketConnection *to;
} Way;

static gpointer
relay_way (gpointer data)
{
  Way *way = data;
  GInputStream *in = g_io_stream_get_input_stream (G_IO_STREAM (way->from));
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (way->to));
  g_autofree char *buffer = g_malloc (RELAY_BUFFER);
  gssize n;

  do
    n = g_input_stream_read (in, buffer, RELAY_BUFFER, NULL, NULL);
  while (n > 0 && g_output_stream_write_all (out, buffer, n, NULL, NULL, NULL));

  cut (way->from);
  cut (way->to);
  return NULL;
}

static void
relay (GSocketConnection *connection,
       guint              id,
       gpointer           data)
{
  g_autoptr (GSocketConnection) target = demo_connect (GPOINTER_TO_UINT (data), NULL);
  Way up = { connection, target };
  Way down = { target, connection };
  GThread *thread;

  if (target == NULL)
    return;

  /* A network has no timeout. */
  g_socket_set_timeout (g_socket_connection_get_socket (target), 0);
  thread = g_thread_new ("demo-relay", relay_way, &up);
  relay_way (&down);
  g_thread_join (thread);
}

DemoServer *
demo_relay_new (guint16   port,
                GError  **error)
{
  return demo_server_new (relay, GUINT_TO_POINTER (port), error);
}
