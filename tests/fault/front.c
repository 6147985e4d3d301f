/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "front.h"

#include "client.h"
#include "monitor.h"
#include "ws-client.h"

#include <string.h>

struct _Front
{
  FrontOptions options;
  guint16 onward_port;

  GSocketListener *listener;
  guint16 port;
  GCancellable *end;
  GThread *thread;
  GPtrArray *visits; /* of GThread, one for each connection accepted */

  Monitor monitor;
  guint led;
  char *asked;
};

typedef struct
{
  Front *front;
  GSocketConnection *connection;
} Visit;

static gboolean
read_all (GIOStream *stream,
          void *data,
          gsize length)
{
  gsize got;

  return g_input_stream_read_all (g_io_stream_get_input_stream (stream), data, length, &got, NULL, NULL) && got == length;
}

static gboolean
write_all (GIOStream *stream,
           const void *data,
           gsize length)
{
  return g_output_stream_write_all (g_io_stream_get_output_stream (stream), data, length, NULL, NULL, NULL);
}

/* Takes ownership of @asked. */
static void
note (Front *front,
      char *asked)
{
  monitor_enter (&front->monitor);
  g_free (front->asked);
  front->asked = asked;
  monitor_leave (&front->monitor);
}

/* TLS */

static gboolean
is_the_certificate (GTlsConnection *connection,
                    GTlsCertificate *certificate,
                    GTlsCertificateFlags errors,
                    gpointer user_data)
{
  return g_tls_certificate_is_same (certificate, user_data);
}

/* Returns the stream to communicate on, or NULL if the TLS handshake fails. */
static GIOStream *
receive (Front *front,
         GSocketConnection *connection)
{
  g_autoptr (GIOStream) stream = NULL;
  g_autoptr (GError) error = NULL;

  if (front->options.certificate == NULL)
    return G_IO_STREAM (g_object_ref (connection));

  stream = g_tls_server_connection_new (G_IO_STREAM (connection), front->options.certificate, &error);
  g_assert_no_error (error);
  if (front->options.client_certificate != NULL)
    {
      g_object_set (stream, "authentication-mode", G_TLS_AUTHENTICATION_REQUIRED, NULL);
      g_signal_connect (stream, "accept-certificate", G_CALLBACK (is_the_certificate),
                        front->options.client_certificate);
    }
  g_tls_connection_set_require_close_notify (G_TLS_CONNECTION (stream), FALSE);
  if (!g_tls_connection_handshake (G_TLS_CONNECTION (stream), NULL, NULL))
    return NULL;

  return g_steal_pointer (&stream);
}

/* Requests to proxies */

static char *
read_head (GIOStream *stream)
{
  g_autoptr (GString) head = g_string_new (NULL);
  char byte;

  while (!g_str_has_suffix (head->str, "\r\n\r\n"))
    {
      if (!read_all (stream, &byte, 1))
        return NULL;
      g_string_append_c (head, byte);
    }

  return g_string_free (g_steal_pointer (&head), FALSE);
}

static guint
get_refusal (Front *front)
{
  guint refusal;

  monitor_enter (&front->monitor);
  refusal = front->options.refusal;
  monitor_leave (&front->monitor);

  return refusal;
}

static gboolean
is_authorized (Front *front,
               const char *head)
{
  const char *credentials = front->options.credentials;
  g_autofree char *encoded = NULL;
  g_autofree char *wanted = NULL;
  g_autofree char *given = http_head_get (head, "Proxy-Authorization");

  if (credentials == NULL)
    return TRUE;
  encoded = g_base64_encode ((const guchar *) credentials, strlen (credentials));
  wanted = g_strconcat ("Basic ", encoded, NULL);
  return g_strcmp0 (given, wanted) == 0;
}

static gboolean
agree_http (Front *front,
            GIOStream *stream)
{
  static const char connected[] = "HTTP/1.1 200 Connection established\r\n\r\n";
  g_autofree char *head = read_head (stream);
  guint refusal;

  if (head == NULL)
    return FALSE;
  note (front, g_strndup (head, strstr (head, " HTTP/") - head));
  refusal = is_authorized (front, head) ? get_refusal (front) : 407;
  if (refusal == 0 && !g_str_has_prefix (head, "CONNECT "))
    refusal = 405;
  if (refusal != 0)
    {
      g_autofree char *answer = g_strdup_printf ("HTTP/1.1 %u Refused by the proxy\r\nContent-Length: 0\r\n"
                                                 "Proxy-Authenticate: Basic realm=\"test\"\r\n"
                                                 "Connection: close\r\n\r\n", refusal);

      write_all (stream, answer, strlen (answer));
      return FALSE;
    }
  return write_all (stream, connected, strlen (connected));
}

#define SOCKS5_IPV4 1
#define SOCKS5_NAME 3

static gboolean
agree_socks5 (Front *front,
              GIOStream *stream)
{
  guint8 reply[10] = { 5, get_refusal (front), 0, SOCKS5_IPV4 };
  guint8 methods[255];
  guint8 head[4];
  guint8 length = 4;
  guint8 port[2];
  g_autofree char *host = NULL;

  if (!read_all (stream, head, 2) || !read_all (stream, methods, head[1]) ||
      !write_all (stream, "\5\0", 2))
    return FALSE;
  if (!read_all (stream, head, 4) || (head[3] == SOCKS5_NAME && !read_all (stream, &length, 1)))
    return FALSE;
  host = g_malloc0 (length + 1);
  if (!read_all (stream, host, length) || !read_all (stream, port, 2))
    return FALSE;

  if (head[3] == SOCKS5_IPV4)
    {
      g_autoptr (GInetAddress) address = g_inet_address_new_from_bytes ((guint8 *) host, G_SOCKET_FAMILY_IPV4);

      g_free (host);
      host = g_inet_address_to_string (address);
    }
  note (front, g_strdup_printf ("%s:%u", host, port[0] << 8 | port[1]));
  return write_all (stream, reply, sizeof reply) && reply[1] == 0;
}

static gboolean
agree (Front *front,
       GIOStream *stream)
{
  switch (front->options.kind)
    {
    case FRONT_DIRECT:
      return TRUE;
    case FRONT_HTTP:
      return agree_http (front, stream);
    case FRONT_SOCKS5:
      return agree_socks5 (front, stream);
    default:
      g_assert_not_reached ();
    }
}

/* Both directions at the same time, each in its own thread */

typedef struct
{
  GIOStream *from;
  GIOStream *to;
  GSocketConnection *to_socket; /* below @to */
} Way;

static gpointer
run_way (gpointer user_data)
{
  Way *way = user_data;

  g_output_stream_splice (g_io_stream_get_output_stream (way->to), g_io_stream_get_input_stream (way->from),
                          G_OUTPUT_STREAM_SPLICE_NONE, NULL, NULL);
  /* This ends the other direction as well: WebSocket has close frames for ending one. */
  g_socket_shutdown (g_socket_connection_get_socket (way->to_socket), TRUE, FALSE, NULL);
  return NULL;
}

static void
lead_on (Front *front,
         GSocketConnection *connection,
         GIOStream *stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_new_from_fd (client_connect (front->onward_port), &error);
  g_autoptr (GSocketConnection) far = NULL;
  Way up, down;
  GThread *thread;

  g_assert_no_error (error);
  far = g_socket_connection_factory_create_connection (socket);
  monitor_enter (&front->monitor);
  front->led++;
  monitor_leave (&front->monitor);

  up = (Way) { .from = stream, .to = G_IO_STREAM (far), .to_socket = far };
  down = (Way) { .from = G_IO_STREAM (far), .to = stream, .to_socket = connection };
  thread = g_thread_new ("front-down", run_way, &down);
  run_way (&up);
  g_thread_join (thread);
}

/* Threads, creation and destruction */

static gpointer
run_visit (gpointer user_data)
{
  g_autofree Visit *visit = user_data;
  g_autoptr (GSocketConnection) connection = visit->connection;
  g_autoptr (GIOStream) stream = receive (visit->front, connection);

  if (stream != NULL && agree (visit->front, stream))
    lead_on (visit->front, connection, stream);
  /* This sends the closing alert of TLS. */
  if (stream != NULL)
    g_io_stream_close (stream, NULL, NULL);
  return NULL;
}

static gpointer
run (gpointer user_data)
{
  Front *front = user_data;
  GSocketConnection *connection;

  while ((connection = g_socket_listener_accept (front->listener, NULL, front->end, NULL)) != NULL)
    {
      Visit *visit = g_new (Visit, 1);

      *visit = (Visit) { .front = front, .connection = connection };
      g_ptr_array_add (front->visits, g_thread_new ("front-visit", run_visit, visit));
    }
  return NULL;
}

static void
join (gpointer thread)
{
  g_thread_join (thread);
}

Front *
front_new (const FrontOptions *options,
           guint16 onward_port)
{
  Front *front = g_new0 (Front, 1);
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GError) error = NULL;

  front->options = *options;
  front->onward_port = onward_port;
  front->listener = g_socket_listener_new ();
  g_socket_listener_add_address (front->listener, any, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &address,
                                 &error);
  g_assert_no_error (error);
  front->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
  front->end = g_cancellable_new ();
  front->visits = g_ptr_array_new_with_free_func (join);
  monitor_init (&front->monitor);
  front->thread = g_thread_new ("front", run, front);

  return front;
}

void
front_free (Front *front)
{
  g_cancellable_cancel (front->end);
  g_thread_join (front->thread);
  g_ptr_array_unref (front->visits);
  g_object_unref (front->listener);
  g_object_unref (front->end);
  g_free (front->asked);
  monitor_clear (&front->monitor);
  g_free (front);
}

guint16
front_get_port (Front *front)
{
  return front->port;
}

void
front_set_refusal (Front *front,
                   guint refusal)
{
  monitor_enter (&front->monitor);
  front->options.refusal = refusal;
  monitor_leave (&front->monitor);
}

guint
front_get_led (Front *front)
{
  guint led;

  monitor_enter (&front->monitor);
  led = front->led;
  monitor_leave (&front->monitor);

  return led;
}

char *
front_get_asked (Front *front)
{
  char *asked;

  monitor_enter (&front->monitor);
  asked = g_strdup (front->asked);
  monitor_leave (&front->monitor);

  return asked;
}
