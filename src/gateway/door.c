/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <tcptunnel/tcptunnel.h>
#include "gateway/head.h"
#include "gateway/origin.h"
#include "gateway/primed-stream.h"
#include "io/acceptor.h"
#include "io/listen.h"
#include "io/reactor.h"

/* How long a connection may take to become a WebSocket, if nothing else was said. */
#define DEFAULT_TIMEOUT 10000

/* Each TLS handshake takes a thread of GTask's pool, which the resolver uses as well. */
#define MAX_HANDSHAKES 32

/* How long a handshake may take at least, when others wait for its thread. */
#define HANDSHAKE_GRACE (2 * G_TIME_SPAN_SECOND)

/* How long the answer to a request that is refused may take to arrive. Closing at once, with
 * a body unread, would make the kernel send a reset, which may overtake the answer. */
#define REFUSAL_TIME G_TIME_SPAN_SECOND

/* HTTP's status, which libsoup does not know. */
#define HEAD_TOO_LARGE 431

/* What TLS begins with, and HTTP never does. */
#define TLS_HANDSHAKE 0x16

#define PENDING_KEY "tcp-pending"

struct _TcpDoor
{
  SoupServer *soup;
  GTlsCertificate *certificate; /* NULL for none */
  guint timeout;                /* ms */
  TcpChannelGroup *group;
  TcpLog *log;
  TcpLogLimit *refusals; /* of the server */
  TcpAcceptor *acceptor;
  GCancellable *closing;

  GQueue pending;      /* of Pending, the oldest first */
  guint max_pending;
  guint counted;       /* of them those that have not ended */
  GHashTable *origins; /* name → Origin */
  guint queued;        /* of them those that wait for a handshake */
  guint handshakes;    /* under way */
  guint ending;        /* of these those that have ended, but not returned yet */
  TcpTimer *patience;
};

/* The pending connections of one address. */
typedef struct
{
  char *name;
  guint refs;
  guint counted;
  guint handshakes;
} Origin;

typedef enum
{
  STAGE_SILENT,    /* no byte of a TLS handshake was received */
  STAGE_QUEUED,    /* for the TLS handshake */
  STAGE_HANDSHAKE, /* a thread has it */
  STAGE_HEAD,      /* of the request, incomplete */
  STAGE_REFUSED,   /* the answer may be on its way */
  STAGE_HTTP,      /* libsoup has it */
} Stage;

/* A connection that is no WebSocket yet. Belongs to the door until libsoup has it, and then
 * to the stream that libsoup was given. */
typedef struct
{
  TcpDoor *door; /* NULL once the door is gone */
  GList link;
  Origin *origin;
  Stage stage;
  gboolean ended;
  GSocket *socket;
  GSocketConnection *connection;
  TcpBufferedConnection *buffered; /* on it, beneath TLS; NULL without */
  GIOStream *stream; /* the connection, or TLS on it; NULL while it belongs to others */
  GIOStream *primed; /* that which libsoup has; not owned */
  GByteArray *head;
  gint64 handshake_began;
  TcpTimer *deadline;
  TcpWatch *watch; /* of the stage */
} Pending;

static void door_run_handshakes (TcpDoor *self);

/* Origins */

static Origin *
door_get_origin (TcpDoor        *self,
                 GSocketAddress *address)
{
  g_autofree char *name = tcp_origin_name (address);
  Origin *origin = g_hash_table_lookup (self->origins, name);

  if (origin == NULL)
    {
      origin = g_new0 (Origin, 1);
      origin->name = g_steal_pointer (&name);
      g_hash_table_insert (self->origins, origin->name, origin);
    }
  origin->refs++;
  return origin;
}

static void
door_release_origin (TcpDoor *self,
                     Origin  *origin)
{
  if (--origin->refs == 0)
    g_hash_table_remove (self->origins, origin->name);
}

static void
origin_free (gpointer data)
{
  Origin *origin = data;

  g_free (origin->name);
  g_free (origin);
}

/* The life of a pending connection */

/* It counts no more, and nothing is waited for. */
static void
pending_settle (Pending *self)
{
  if (self->ended)
    return;

  self->ended = TRUE;
  self->door->counted--;
  self->origin->counted--;
  if (self->stage == STAGE_QUEUED)
    self->door->queued--;
  if (self->stage == STAGE_HANDSHAKE)
    self->door->ending++;
  tcp_timer_clear (&self->deadline);
  tcp_watch_clear (&self->watch);
}

static void
pending_free (gpointer data)
{
  Pending *self = data;

  if (self->door != NULL)
    {
      pending_settle (self);
      g_queue_unlink (&self->door->pending, &self->link);
      door_release_origin (self->door, self->origin);
    }
  g_clear_pointer (&self->head, g_byte_array_unref);
  g_clear_object (&self->stream);
  g_clear_object (&self->buffered);
  g_clear_object (&self->connection);
  g_free (self);
}

/* Frees it, unless a thread or libsoup has the connection: these see the end, and that is
 * the end of it. */
static void
pending_end (Pending *self)
{
  if (self->door != NULL)
    pending_settle (self);
  g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  if (self->stage != STAGE_HANDSHAKE && self->stage != STAGE_HTTP)
    pending_free (self);
}

static void G_GNUC_PRINTF (2, 3)
pending_refuse (Pending    *self,
                const char *format,
                ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  tcp_log_limit_write (self->door->refusals, "the connection from %s was closed: %s", self->origin->name, reason);
  pending_end (self);
}

static void
on_deadline (gpointer user_data)
{
  Pending *self = user_data;

  if (self->stage == STAGE_REFUSED)
    pending_end (self);
  else
    pending_refuse (self, "it did not ask for a WebSocket within %u ms", self->door->timeout);
}

/* The oldest of the address that has most. */
static void
door_evict (TcpDoor *self)
{
  Pending *victim = NULL;

  for (GList *link = self->pending.head; link != NULL; link = link->next)
    {
      Pending *pending = link->data;

      if (!pending->ended && (victim == NULL || pending->origin->counted > victim->origin->counted))
        victim = pending;
    }
  if (victim != NULL)
    pending_refuse (victim, "there are too many connections that are no WebSocket yet, and it was the oldest");
}

/* The request */

static void
on_refusal_over (GIOCondition condition,
                 gpointer     user_data)
{
  pending_end (user_data);
}

/* What the client sends meanwhile stays in the kernel, which soon accepts no more of it. */
static void
pending_answer (Pending    *self,
                guint       status,
                const char *text)
{
  const char *phrase = status == HEAD_TOO_LARGE ? "Request Header Fields Too Large" : soup_status_get_phrase (status);
  const char *allow = status == SOUP_STATUS_METHOD_NOT_ALLOWED ? "Allow: GET\r\n" : "";
  g_autofree char *answer = NULL;
  GPollableOutputStream *output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->stream));

  tcp_log_limit_write (self->door->refusals, "a request from %s was answered %u: %s", self->origin->name, status, text);
  answer = g_strdup_printf ("HTTP/1.1 %u %s\r\n"
                            "Server: libtcptunnel/" TCP_TUNNEL_VERSION "\r\n"
                            "%s"
                            "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Length: %" G_GSIZE_FORMAT "\r\n"
                            "Connection: close\r\n"
                            "\r\n"
                            "%s\n",
                            status, phrase, allow, strlen (text) + 1, text);
  g_pollable_output_stream_write_nonblocking (output, answer, strlen (answer), NULL, NULL);
  if (self->buffered != NULL)
    tcp_buffered_connection_flush (self->buffered, NULL);
  g_socket_shutdown (self->socket, FALSE, TRUE, NULL);

  self->stage = STAGE_REFUSED;
  g_clear_pointer (&self->head, g_byte_array_unref);
  tcp_watch_clear (&self->watch);
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), POLLRDHUP, on_refusal_over, self);
  tcp_timer_set (self->deadline, tcp_now () + REFUSAL_TIME);
}

static void
pending_hand_over (Pending *self)
{
  g_autoptr (GSocketAddress) local = g_socket_connection_get_local_address (self->connection, NULL);
  g_autoptr (GSocketAddress) remote = g_socket_connection_get_remote_address (self->connection, NULL);
  g_autoptr (GBytes) head = g_byte_array_free_to_bytes (g_steal_pointer (&self->head));
  g_autoptr (GIOStream) stream = tcp_primed_stream_new (self->stream, head);

  /* It has broken already. */
  if (local == NULL || remote == NULL)
    {
      pending_end (self);
      return;
    }

  self->stage = STAGE_HTTP;
  tcp_watch_clear (&self->watch);
  g_clear_object (&self->stream);
  self->primed = stream;
  g_object_set_data_full (G_OBJECT (stream), PENDING_KEY, self, pending_free);
  /* By the address it is found again from a message. */
  g_object_set_data (G_OBJECT (remote), PENDING_KEY, self);
  soup_server_accept_iostream (self->door->soup, stream, local, remote, NULL);
}

/* Never reads past the head: what follows is libsoup's, or the channel's. A TLS connection
 * cannot be peeked at, and keeps what it has decrypted: short reads cost little there. */
static gssize
pending_read (Pending  *self,
              guint8   *data,
              gsize     size,
              GError  **error)
{
  const char *head = (const char *) self->head->data;
  int fd = g_socket_get_fd (self->socket);
  gssize n;

  if (self->door->certificate != NULL)
    return g_pollable_input_stream_read_nonblocking (
        G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->stream)), data,
        tcp_head_get_missing (head, self->head->len), NULL, error);

  n = recv (fd, data, size, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0)
    n = recv (fd, data, tcp_head_get_part (head, self->head->len, (const char *) data, n), MSG_DONTWAIT);
  if (n < 0)
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  return n;
}

static void
pending_check_head (Pending *self)
{
  const char *reason;
  guint status = tcp_head_check ((const char *) self->head->data, self->head->len, &reason);

  if (status != 0)
    pending_answer (self, status, reason);
  else
    pending_hand_over (self);
}

/* Until the stream has no more: TLS reports nothing of what it has decrypted already. */
static gboolean
pending_read_head (Pending *self)
{
  guint8 data[4096];

  while (TRUE)
    {
      g_autoptr (GError) error = NULL;
      gssize n = pending_read (self, data, sizeof data, &error);

      if (n < 0 && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return TRUE;
      if (n <= 0)
        {
          if (self->head->len > 0)
            pending_refuse (self, "it ended within the head of its request");
          else
            pending_end (self);
          return FALSE;
        }

      g_byte_array_append (self->head, data, n);
      if (self->head->data[0] == TLS_HANDSHAKE)
        {
          pending_refuse (self, "it began with TLS, but this gateway has no certificate, and its URL begins with ws://");
          return FALSE;
        }
      if (tcp_head_get_missing ((const char *) self->head->data, self->head->len) == 0)
        {
          pending_check_head (self);
          return FALSE;
        }
      if (self->head->len >= TCP_HEAD_MAX_SIZE)
        {
          pending_answer (self, HEAD_TOO_LARGE, "The head of the request is too large.");
          return FALSE;
        }
    }
}

static void
on_head_readable (GIOCondition condition,
                  gpointer     user_data)
{
  pending_read_head (user_data);
}

static void
pending_begin_head (Pending *self)
{
  self->stage = STAGE_HEAD;
  self->head = g_byte_array_new ();
  tcp_watch_clear (&self->watch);
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), G_IO_IN, on_head_readable, self);
  pending_read_head (self);
}

/* TLS */

static void
on_handshake (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  Pending *self = user_data;
  TcpDoor *door = self->door;
  g_autoptr (GError) error = NULL;
  g_autoptr (TcpChannelGroup) group = g_object_steal_data (object, "tcp-group");
  gboolean done = g_tls_connection_handshake_finish (G_TLS_CONNECTION (object), result, &error);

  tcp_buffered_connection_stop_waiting (self->buffered);
  tcp_buffered_connection_flush (self->buffered, NULL);
  if (door != NULL)
    {
      door->handshakes--;
      self->origin->handshakes--;
      if (self->ended)
        door->ending--;
    }
  if (door == NULL || self->ended)
    {
      pending_free (self);
    }
  else
    {
      self->stage = STAGE_HEAD;
      self->stream = G_IO_STREAM (g_object_ref (object));
      if (done)
        pending_begin_head (self);
      else
        pending_refuse (self, "its TLS handshake failed: %s", error->message);
    }
  if (door != NULL)
    door_run_handshakes (door);
  tcp_channel_group_leave (group);
}

static void
pending_begin_handshake (Pending *self)
{
  TcpDoor *door = self->door;
  g_autoptr (GError) error = NULL;
  g_autoptr (GIOStream) tls = NULL;

  self->buffered = tcp_buffered_connection_new (self->connection);
  /* No client certificate is asked for, and so no database needed to check one. By default a
   * connection loads that of the system: milliseconds, and megabytes. A peer that closes
   * without a goodbye of TLS has said one of WebSocket, or is lost. */
  tls = g_initable_new (g_tls_backend_get_server_connection_type (g_tls_backend_get_default ()), NULL, &error,
                        "base-io-stream", self->buffered,
                        "certificate", door->certificate,
                        "database", NULL,
                        "require-close-notify", FALSE,
                        NULL);
  if (tls == NULL)
    {
      pending_refuse (self, "TLS is not available: %s", error->message);
      return;
    }

  self->stage = STAGE_HANDSHAKE;
  self->handshake_began = g_get_monotonic_time ();
  door->queued--;
  door->handshakes++;
  self->origin->handshakes++;
  tcp_channel_group_enter (door->group);
  g_object_set_data (G_OBJECT (tls), "tcp-group", tcp_channel_group_ref (door->group));
  /* Of low priority, so that they do not keep the resolver from the threads. */
  g_tls_connection_handshake_async (G_TLS_CONNECTION (tls), G_PRIORITY_LOW, door->closing, on_handshake, self);
  g_clear_object (&self->stream);
}

/* The newest of the address that has the fewest handshakes under way: its client has waited
 * least, and will most likely wait until it is done. */
static Pending *
door_find_queued (TcpDoor *self)
{
  Pending *next = NULL;

  for (GList *link = self->pending.tail; link != NULL; link = link->prev)
    {
      Pending *pending = link->data;

      if (!pending->ended && pending->stage == STAGE_QUEUED &&
          (next == NULL || pending->origin->handshakes < next->origin->handshakes))
        next = pending;
    }
  return next;
}

static Pending *
door_find_longest_handshake (TcpDoor *self)
{
  Pending *longest = NULL;

  for (GList *link = self->pending.head; link != NULL; link = link->next)
    {
      Pending *pending = link->data;

      if (!pending->ended && pending->stage == STAGE_HANDSHAKE &&
          (longest == NULL || pending->handshake_began < longest->handshake_began))
        longest = pending;
    }
  return longest;
}

static void
door_run_handshakes (TcpDoor *self)
{
  gint64 when = -1;

  while (self->queued > 0 && self->handshakes < MAX_HANDSHAKES)
    pending_begin_handshake (door_find_queued (self));

  if (self->queued > self->ending)
    {
      Pending *longest = door_find_longest_handshake (self);

      if (longest != NULL)
        when = longest->handshake_began + HANDSHAKE_GRACE;
    }
  tcp_timer_set (self->patience, when);
}

/* One that waits for its peer must not keep a thread from those that wait for a thread. */
static void
on_patience_over (gpointer user_data)
{
  TcpDoor *self = user_data;
  Pending *longest = door_find_longest_handshake (self);

  if (self->queued > self->ending && longest != NULL &&
      longest->handshake_began + HANDSHAKE_GRACE <= g_get_monotonic_time ())
    pending_refuse (longest, "others wait, and its TLS handshake did not end");
  door_run_handshakes (self);
}

/* A handshake that begins when there is something to read does not hold a thread, and
 * memory, for a client that is silent. */
static void
on_first_byte (GIOCondition condition,
               gpointer     user_data)
{
  Pending *self = user_data;

  tcp_watch_clear (&self->watch);
  self->stage = STAGE_QUEUED;
  self->door->queued++;
  door_run_handshakes (self->door);
}

/* The port */

static void
on_accepted (GSocketConnection *connection,
             GSocketAddress    *remote,
             gpointer           user_data)
{
  TcpDoor *self = user_data;
  Pending *pending = g_new0 (Pending, 1);

  pending->door = self;
  pending->socket = g_socket_connection_get_socket (connection);
  /* Else an answer may wait for the client's delayed ACK of what TLS has sent before. */
  g_socket_set_option (pending->socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
  pending->connection = g_object_ref (connection);
  pending->stream = G_IO_STREAM (g_object_ref (connection));
  pending->deadline = tcp_timer_new (on_deadline, pending);
  tcp_timer_set (pending->deadline, tcp_now () + self->timeout * G_TIME_SPAN_MILLISECOND);
  pending->origin = door_get_origin (self, remote);
  pending->origin->counted++;
  self->counted++;
  pending->link.data = pending;
  g_queue_push_tail_link (&self->pending, &pending->link);
  if (self->counted > self->max_pending)
    door_evict (self);

  if (self->certificate == NULL)
    pending_begin_head (pending);
  else
    pending->watch = tcp_watch_new (g_socket_get_fd (pending->socket), G_IO_IN, on_first_byte, pending);
}

/* @refusals has to outlive it. */
TcpDoor *
tcp_door_new (SoupServer      *soup,
              GTlsCertificate *certificate,
              guint            timeout,
              TcpChannelGroup *group,
              TcpLog          *log,
              TcpLogLimit     *refusals)
{
  TcpDoor *self = g_new0 (TcpDoor, 1);

  self->soup = g_object_ref (soup);
  self->certificate = certificate != NULL ? g_object_ref (certificate) : NULL;
  self->timeout = timeout > 0 ? timeout : DEFAULT_TIMEOUT;
  self->max_pending = tcp_limit_visitors ();
  self->group = tcp_channel_group_ref (group);
  self->log = tcp_log_ref (log);
  self->refusals = refusals;
  self->closing = g_cancellable_new ();
  self->origins = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, origin_free);
  self->patience = tcp_timer_new (on_patience_over, self);

  return self;
}

/* Gives the first address that it listens on, with the port. */
GSocketAddress *
tcp_door_open (TcpDoor    *self,
               GPtrArray  *addresses,
               GError    **error)
{
  g_autoptr (GPtrArray) sockets = tcp_listen (addresses, self->log, error);
  GSocketAddress *local = sockets != NULL ? g_socket_get_local_address (sockets->pdata[0], error) : NULL;

  if (local != NULL)
    self->acceptor = tcp_acceptor_new (sockets, self->log, on_accepted, self);
  return local;
}

/* The connection of @message has become a WebSocket. Gives its socket, and what is beneath TLS, or
 * NULL. */
GSocket *
tcp_door_admit (TcpDoor                *self,
                SoupServerMessage      *message,
                TcpBufferedConnection **buffered)
{
  GSocketAddress *remote = soup_server_message_get_remote_address (message);
  Pending *pending = g_object_steal_data (G_OBJECT (remote), PENDING_KEY);
  GSocket *socket;

  g_return_val_if_fail (pending != NULL, NULL);

  socket = g_object_ref (pending->socket);
  *buffered = g_steal_pointer (&pending->buffered);
  g_object_steal_data (G_OBJECT (pending->primed), PENDING_KEY);
  pending_free (pending);
  return socket;
}

void
tcp_door_free (TcpDoor *self)
{
  GList *link;

  g_clear_pointer (&self->acceptor, tcp_acceptor_free);

  /* Threads and libsoup let go of theirs one after the other, some later. */
  while ((link = g_queue_pop_head_link (&self->pending)) != NULL)
    {
      Pending *pending = link->data;

      tcp_timer_clear (&pending->deadline);
      tcp_watch_clear (&pending->watch);
      pending->door = NULL;
      pending->origin = NULL;
      pending_end (pending);
    }
  g_hash_table_unref (self->origins);
  tcp_timer_clear (&self->patience);

  g_cancellable_cancel (self->closing);
  g_object_unref (self->closing);
  soup_server_disconnect (self->soup);
  g_object_unref (self->soup);

  g_clear_object (&self->certificate);
  tcp_channel_group_unref (self->group);
  tcp_log_unref (self->log);
  g_free (self);
}
