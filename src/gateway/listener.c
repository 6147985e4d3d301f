/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "gateway/ask-queue.h"
#include "gateway/eviction.h"
#include "gateway/forwarded.h"
#include "gateway/head.h"
#include "gateway/origin.h"
#include "gateway/proxy-header.h"
#include "gateway/tls-queue.h"
#include "gateway/tokens.h"
#include "io/descriptors.h"
#include "io/reactor.h"

/* The time for a connection to become a WebSocket, by default, and the time until its first byte, in ms. */
#define DEFAULT_TIMEOUT 10000
#define FIRST_BYTE_TIMEOUT 5000

/* How long the answer to a refused request may take to arrive. If the socket were closed at once, with unread data, the
 * kernel would send a reset, which may overtake the answer. */
#define REFUSAL_TIME G_TIME_SPAN_SECOND

/* Above the limit on pending connections, one of this many oldest ones is closed. */
#define CANDIDATES 512

/* The number of pending connections that may have TLS, which needs memory. */
#define MAX_SECURED 256

/* The size of all incomplete heads together. */
#define MAX_HEAD_BYTES (8 * 1024 * 1024)

/* Heads may take one part in HEADS_PART of the memory; a pending connection with TLS needs SECURED_MEMORY. */
#define HEADS_PART 6
#define SECURED_MEMORY (160 * 1024)

/* The number of pending connections, if the process may open eight times as many descriptors. */
#define MAX_PENDING 4096

/* The beginning of TLS, which differs from that of any HTTP request: the type of a record, its version, its length. */
#define TLS_HANDSHAKE 0x16
#define RECORD_HEADER 5
#define RECORD_MAX_SIZE (16384 + 256)

struct _TcpListener
{
  const TcpListenerCallbacks *callbacks;
  gpointer user_data;
  TcpTlsQueue *tls; /* NULL without TLS */
  TcpAskQueue *asks;
  guint timeout;    /* in ms */
  TcpNetworks *proxies; /* the trusted proxies */
  TcpLog *log;
  TcpLogLimit *refusals;
  TcpCounters *counters;

  GQueue pending; /* of Pending, oldest first */
  guint max_pending;
  guint max_secured;
  gsize max_head_bytes;
  guint secured;    /* the number of pending connections that have TLS */
  gsize head_bytes; /* the size of the heads of pending connections */
  TcpOrigins *origins;
};

typedef enum
{
  STAGE_SILENT,  /* no byte was received */
  STAGE_BEGUN,   /* the ClientHello or the head is incomplete, or there is no slot for the TLS handshake */
  STAGE_ASKED,   /* the application is asked to identify the client */
  STAGE_REFUSED, /* the answer is being sent, or delayed */
} Stage;

/* A connection that is not a WebSocket yet. */
typedef struct
{
  TcpListener *listener;
  GList link;
  TcpOrigin *origin;
  TcpOrigin *client; /* for which a proxy sends the request; nullable */
  GInetAddress *address; /* of the client, or else of the origin */
  guint16 port; /* likewise; 0 if it is not known */
  gboolean proxied; /* a proxy has reported the address */
  gboolean is_local; /* it came through a Unix socket, to which only programs of this user connect, such as a proxy */
  Stage stage;
  GSocket *socket;
  TcpTransport transport; /* has TLS after the handshake */
  TcpTlsEntry *handshake; /* from the ClientHello to the end of the handshake */
  TcpClientCertificate *certificate; /* nullable */
  TcpAsk *ask; /* while the application is asked */
  GByteArray *head;
  char *answer; /* the answer, while it is delayed */
  gint64 accepted; /* the time at which it was accepted */
  TcpTimer *deadline;
  TcpWatch *watch; /* for the current stage */
} Pending;

/* Lifetime of a pending connection */

static void
pending_set_head_size (Pending *self,
                       guint    size)
{
  self->listener->head_bytes -= self->head->len;
  g_byte_array_set_size (self->head, size);
  self->listener->head_bytes += size;
}

static void
pending_free (Pending *self)
{
  TcpListener *listener = self->listener;

  tcp_timer_clear (&self->deadline);
  tcp_watch_clear (&self->watch);
  g_queue_unlink (&listener->pending, &self->link);
  tcp_counters_sub (listener->counters, pending_connections);
  listener->head_bytes -= self->head->len;
  g_byte_array_unref (self->head);
  g_free (self->answer);
  g_clear_pointer (&self->handshake, tcp_tls_entry_cancel);
  g_clear_pointer (&self->ask, tcp_ask_cancel);
  g_clear_pointer (&self->certificate, tcp_client_certificate_unref);
  tcp_origins_release (listener->origins, self->origin, tcp_now ());
  if (self->client != NULL)
    tcp_origins_release (listener->origins, self->client, tcp_now ());
  g_clear_object (&self->address);
  if (self->transport.buffered != NULL)
    listener->secured--;
  tcp_transport_clear (&self->transport);
  g_free (self);
}

static void
pending_end (Pending *self)
{
  /* The socket may be closed later, if another thread still uses it. */
  g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  pending_free (self);
}

static void G_GNUC_PRINTF (2, 3)
pending_drop (Pending    *self,
              const char *format,
              ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  tcp_log_limit_write (self->listener->refusals, "the connection from %s was closed: %s", self->origin->name, reason);
  tcp_counters_add (self->listener->counters, dropped_connections);
  pending_end (self);
}

/* Eviction */

static TcpPendingState
pending_get_state (Pending *self,
                   gint64   now)
{
  return (TcpPendingState) {
    .origin = self->origin,
    .age = now - self->accepted,
    .silent = self->stage == STAGE_SILENT,
    .answers = self->transport.buffered != NULL ||
               (self->handshake != NULL && tcp_tls_entry_is_running (self->handshake)),
    .refused = self->stage == STAGE_REFUSED,
  };
}

/* Chooses among all, or among those that have TLS; there must be one besides @spared. */
static Pending *
listener_find_victim (TcpListener *self,
                      gboolean     secured,
                      Pending     *spared)
{
  gint64 now = tcp_now ();
  Pending *candidates[CANDIDATES];
  TcpPendingState states[CANDIDATES];
  guint n = 0;

  for (GList *link = self->pending.head; link != NULL && n < CANDIDATES; link = link->next)
    {
      Pending *pending = link->data;

      if (pending == spared || (secured && pending->transport.buffered == NULL))
        continue;
      candidates[n] = pending;
      states[n++] = pending_get_state (pending, now);
    }
  return candidates[tcp_eviction_choose_pending (states, n)];
}

/* There are more than @max. @limits are the properties from which that limit follows. */
static void
pending_evict (Pending    *self,
               guint       max,
               const char *limits)
{
  tcp_counters_add (self->listener->counters, hits_pending);
  pending_drop (self, "more than %u connections are no WebSocket yet, and it was the oldest (%s)", max, limits);
}

static Pending *
listener_find_largest (TcpListener *self)
{
  Pending *largest = self->pending.head->data;

  for (GList *link = self->pending.head; link != NULL; link = link->next)
    if (((Pending *) link->data)->head->len > largest->head->len)
      largest = link->data;
  return largest;
}

/* The answer to a request that is refused */

static void
on_refusal_over (GIOCondition condition,
                 gpointer     user_data)
{
  pending_end (user_data);
}

static void
pending_send_answer (Pending *self)
{
  tcp_transport_write (&self->transport, self->answer);
  g_clear_pointer (&self->answer, g_free);
  g_socket_shutdown (self->socket, FALSE, TRUE, NULL);
  /* The watch is set only now: a client that has shut down its sending side may still wait for the answer. */
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), POLLRDHUP, on_refusal_over, self);
  tcp_timer_set (self->deadline, tcp_now () + REFUSAL_TIME);
}

/* The first byte has arrived. */
static void
pending_begin (Pending *self)
{
  self->stage = STAGE_BEGUN;
  tcp_timer_set (self->deadline, self->accepted + self->listener->timeout * G_TIME_SPAN_MILLISECOND);
}

/* The request */

/* @address is NULL if it is not known, for example that of a Unix socket. */
static TcpOrigin *
pending_get_origin (Pending      *self,
                    GInetAddress *address)
{
  gboolean trusted = address != NULL ? tcp_networks_contain (self->listener->proxies, address) : self->is_local;

  return tcp_origins_get (self->listener->origins, address, trusted);
}

/* The header of a trusted proxy identifies the client. */
static gboolean
pending_find_client (Pending          *self,
                     const TcpUpgrade *upgrade,
                     TcpRefusal       *refusal)
{
  GInetAddress *address;

  if (!self->origin->trusted)
    return TRUE;
  if (!tcp_forwarded_find (upgrade->headers, self->listener->proxies, &address))
    return tcp_refuse (refusal, SOUP_STATUS_BAD_REQUEST,
                       "Forwarded and X-Forwarded-For name different clients; the proxy has to remove the one that it "
                       "does not write.");
  if (address != NULL)
    {
      self->client = pending_get_origin (self, address);
      g_clear_object (&self->address);
      self->address = address;
      self->port = 0;
      self->proxied = TRUE;
    }
  return TRUE;
}

/* The origin of the client that sends the request. */
static TcpOrigin *
pending_get_client (Pending *self)
{
  return self->client != NULL ? self->client : self->origin;
}

/* Data that the client sends meanwhile stays in the kernel, whose buffers are soon full. Answers to wrong tokens are
 * delayed; the answer to a valid token from the same address, which may be that of a proxy, is not. */
static void
pending_refuse (Pending          *self,
                const TcpRefusal *refusal)
{
  gint64 now = tcp_now ();
  TcpOrigin *origin = pending_get_client (self);
  gint64 delay = refusal->guessed && !origin->trusted ? tcp_origin_fail (origin, now) : 0;

  tcp_log_limit_write (self->listener->refusals, "a request from %s was answered %u: %s%s%s%s", origin->name,
                       refusal->status, refusal->text, refusal->detail != NULL ? " (" : "",
                       refusal->detail != NULL ? refusal->detail : "", refusal->detail != NULL ? ")" : "");
  tcp_counters_add (self->listener->counters, refused_requests);
  if (refusal->status == SOUP_STATUS_UNAUTHORIZED)
    tcp_counters_add (self->listener->counters, authentication_failures);
  self->stage = STAGE_REFUSED;
  self->answer = tcp_refusal_format (refusal);
  pending_set_head_size (self, 0);
  /* A new array, since the old one would keep its memory, which is no longer counted, until the answer is sent. */
  g_byte_array_unref (self->head);
  self->head = g_byte_array_new ();
  tcp_watch_clear (&self->watch);
  if (delay > 0)
    tcp_timer_set (self->deadline, now + delay);
  else
    pending_send_answer (self);
}

/* The client is unknown here, and the application does not answer. */
static void
pending_refuse_undecided (Pending    *self,
                          const char *text)
{
  g_auto (TcpRefusal) refusal = { 0 };

  g_clear_pointer (&self->ask, tcp_ask_cancel);
  tcp_refuse (&refusal, SOUP_STATUS_SERVICE_UNAVAILABLE, "%s", text);
  refusal.phrase = "Authentication Timed Out";
  pending_refuse (self, &refusal);
}

static void
pending_accept (Pending          *self,
                const TcpUpgrade *upgrade,
                TcpRequest       *request)
{
  TcpListener *listener = self->listener;
  TcpTransport transport = self->transport;
  g_autofree char *answer =
      tcp_upgrade_accept (upgrade, request->foreign ? NULL : tcp_request_get_protocol (request)->name, request->route);

  if (transport.buffered != NULL)
    listener->secured--;
  pending_get_client (self)->known = TRUE;
  request->accepted = self->accepted;
  request->port = self->port;
  request->local = g_socket_get_local_address (self->socket, NULL);
  request->proxy = self->proxied ? g_socket_get_remote_address (self->socket, NULL) : NULL;
  request->address = self->address != NULL ? g_inet_address_to_string (self->address) : g_strdup ("");
  self->transport = (TcpTransport) { 0 };
  pending_free (self);
  listener->callbacks->accepted (request, answer, &transport, listener->user_data);
}

static void
on_asked_left (GIOCondition condition,
               gpointer     user_data)
{
  pending_end (user_data);
}

/* Data that the client sends meanwhile stays in the kernel. The head is kept, and counts for the limit on heads. */
static void
pending_ask (Pending *self)
{
  self->stage = STAGE_ASKED;
  tcp_watch_clear (&self->watch);
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), POLLRDHUP, on_asked_left, self);
  self->ask = tcp_ask_queue_add (self->listener->asks, pending_get_client (self), self);
}

/* @answer is NULL if the application was not asked. */
static void
pending_answer (Pending         *self,
                const TcpAnswer *answer)
{
  TcpListener *listener = self->listener;
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpUpgrade) upgrade = tcp_upgrade_parse ((const char *) self->head->data, self->head->len, &refusal);
  TcpRequest *request = NULL;

  if (upgrade != NULL && (answer != NULL || pending_find_client (self, upgrade, &refusal)))
    request = listener->callbacks->examine (upgrade, self->certificate, answer, &refusal, listener->user_data);
  if (request != NULL)
    pending_accept (self, upgrade, request);
  else if (refusal.undecided && answer == NULL)
    pending_ask (self);
  else
    pending_refuse (self, &refusal);
}

/* The application */

/* From now on the application determines how long it takes. */
static void
on_ask (TcpQuestion *question,
        gpointer     user_data)
{
  Pending *self = user_data;
  TcpListener *listener = self->listener;
  g_auto (TcpRefusal) refusal = { 0 };
  g_autoptr (TcpUpgrade) upgrade = tcp_upgrade_parse ((const char *) self->head->data, self->head->len, &refusal);
  g_autofree char *address = self->address != NULL ? g_inet_address_to_string (self->address) : NULL;
  g_autoptr (GSocketAddress) remote = g_socket_get_remote_address (self->socket, NULL);
  TcpAuthenticationFacts facts = {
    .token = tcp_tokens_parse_header (soup_message_headers_get_one (upgrade->headers, "Authorization")),
    .path = g_uri_get_path (upgrade->uri),
    .address = address,
    .port = self->port,
    .proxy = self->proxied ? remote : NULL,
    .certificate = self->certificate != NULL && self->certificate->problem == NULL ? self->certificate->certificate : NULL,
  };

  tcp_timer_set (self->deadline, -1);
  listener->callbacks->ask (tcp_authentication_new (question, &facts), listener->user_data);
}

static void
on_ask_answered (const TcpAnswer *answer,
                 gpointer         user_data)
{
  Pending *self = user_data;

  self->ask = NULL;
  if (answer != NULL)
    pending_answer (self, answer);
  else
    pending_refuse_undecided (self, "The application did not decide in time about this client; try again later.");
}

static const TcpAskCallbacks ask_callbacks = {
  .ask = on_ask,
  .answered = on_ask_answered,
};

/* Deadlines */

static void
on_deadline (gpointer user_data)
{
  Pending *self = user_data;

  if (self->answer != NULL)
    pending_send_answer (self);
  else if (self->stage == STAGE_REFUSED)
    pending_end (self);
  else if (self->stage == STAGE_SILENT)
    pending_drop (self, "it sent nothing");
  else if (self->stage == STAGE_ASKED)
    pending_refuse_undecided (self, "The application is asked about too many clients; try again later.");
  else
    pending_drop (self, "it did not ask for a WebSocket within %u ms", self->listener->timeout);
}

static void
pending_wait_for (Pending *self,
                  int      size)
{
  setsockopt (g_socket_get_fd (self->socket), SOL_SOCKET, SO_RCVLOWAT, &size, sizeof size);
}

/* A part of @size bytes has arrived. Ends the connection if no more can come. */
static void
pending_wait_for_more (Pending     *self,
                       GIOCondition condition,
                       int          size)
{
  if (condition & (G_IO_HUP | G_IO_ERR | POLLRDHUP))
    pending_end (self);
  else
    pending_wait_for (self, size);
}

/* Reads data without removing it. Returns 0 if there is none yet, or if the connection has ended. */
static gsize
pending_peek (Pending *self,
              guint8  *data,
              gsize    size)
{
  gssize n = recv (g_socket_get_fd (self->socket), data, size, MSG_PEEK | MSG_DONTWAIT);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  if (n <= 0)
    {
      pending_end (self);
      return 0;
    }

  if (self->stage == STAGE_SILENT)
    pending_begin (self);
  return n;
}

/* Reads until the stream has no more data: the socket does not become readable for data that TLS has decrypted
 * already. */
static void
pending_read_head (Pending *self)
{
  TcpListener *listener = self->listener;
  GPollableInputStream *input = G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->transport.stream));
  guint8 data[4096];

  while (TRUE)
    {
      g_autoptr (GError) error = NULL;
      gssize n = g_pollable_input_stream_read_nonblocking (input, data, sizeof data, NULL, &error);
      const char *head = (const char *) self->head->data;
      guint before = self->head->len;
      gboolean complete;
      gsize part;

      if (n < 0 && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        break;
      if (n <= 0)
        {
          if (before > 0)
            pending_drop (self, "it ended within the head of its request");
          else
            pending_end (self);
          return;
        }

      if (self->stage == STAGE_SILENT)
        pending_begin (self);
      part = tcp_head_get_part (head, before, (const char *) data, n);
      pending_set_head_size (self, before + part);
      memcpy (self->head->data + before, data, part);
      if (self->head->data[0] == TLS_HANDSHAKE)
        {
          pending_drop (self, "it began with TLS, but this gateway has no certificate, and its URL begins with ws://");
          return;
        }
      complete = tcp_head_is_complete ((const char *) self->head->data, self->head->len);
      if (complete && self->head->len <= TCP_HEAD_MAX_SIZE)
        {
          if ((gsize) n > part)
            self->transport.early = g_byte_array_append (g_byte_array_new (), data + part, n - part);
          pending_answer (self, NULL);
          return;
        }
      if (complete || self->head->len >= TCP_HEAD_MAX_SIZE)
        {
          g_auto (TcpRefusal) refusal = { 0 };

          tcp_refuse (&refusal, TCP_STATUS_HEAD_TOO_LARGE, "The head of the request is too large.");
          pending_refuse (self, &refusal);
          return;
        }
    }

  if (listener->head_bytes > listener->max_head_bytes)
    pending_drop (listener_find_largest (listener),
                  "the requests that are incomplete have more than %" G_GSIZE_FORMAT " bytes together, and its had most (max-memory)",
                  listener->max_head_bytes);
}

static void
on_head_readable (GIOCondition condition,
                  gpointer     user_data)
{
  pending_read_head (user_data);
}

static void
pending_begin_head (Pending   *self,
                    GIOStream *stream)
{
  self->transport.stream = g_object_ref (stream);
  self->watch = tcp_watch_new (g_socket_get_fd (self->socket), G_IO_IN, on_head_readable, self);
  pending_read_head (self);
}

/* TLS */

static void
on_handshake (GIOStream             *stream,
              TcpBufferedConnection *buffered,
              TcpClientCertificate  *certificate,
              const GError          *error,
              gpointer               user_data)
{
  Pending *self = user_data;
  TcpListener *listener = self->listener;
  guint max = MAX (1, MIN (listener->max_pending / 2, listener->max_secured));

  self->handshake = NULL;
  if (stream == NULL)
    {
      tcp_counters_add (listener->counters, tls_failures);
      pending_drop (self, "its TLS handshake failed: %s", error->message);
      return;
    }

  tcp_counters_add (listener->counters, tls_handshakes);
  self->transport.buffered = g_object_ref (buffered);
  if (certificate != NULL)
    self->certificate = tcp_client_certificate_ref (certificate);
  listener->secured++;
  if (listener->secured > max)
    pending_evict (listener_find_victim (listener, TRUE, self), max, "with TLS: max-memory, ulimit -n");
  pending_begin_head (self, stream);
}

/* A handshake begins only when the ClientHello has arrived, so that a silent client takes neither a thread nor
 * memory. */
static void
on_hello_readable (GIOCondition condition,
                   gpointer     user_data)
{
  Pending *self = user_data;
  guint8 record[RECORD_HEADER];
  gsize n = pending_peek (self, record, sizeof record);
  int wanted = RECORD_HEADER;
  int unread = 0;

  if (n == 0)
    return;
  if (ioctl (g_socket_get_fd (self->socket), FIONREAD, &unread) < 0)
    {
      pending_end (self);
      return;
    }

  if (n == RECORD_HEADER)
    wanted += record[3] << 8 | record[4];
  if (record[0] != TLS_HANDSHAKE || wanted > RECORD_HEADER + RECORD_MAX_SIZE)
    {
      pending_drop (self, "it did not begin with TLS, but this gateway has a certificate, and its URL begins with wss://");
      return;
    }
  if (unread < wanted)
    {
      pending_wait_for_more (self, condition, wanted);
      return;
    }

  pending_wait_for (self, 1);
  tcp_watch_clear (&self->watch);
  self->handshake = tcp_tls_queue_add (self->listener->tls, self->transport.connection, self->origin, on_handshake, self);
}

static void
pending_begin_stream (Pending *self)
{
  if (self->listener->tls == NULL)
    pending_begin_head (self, G_IO_STREAM (self->transport.connection));
  else
    self->watch = tcp_watch_new (g_socket_get_fd (self->socket), G_IO_IN | POLLRDHUP, on_hello_readable, self);
}

/* The header of the PROXY protocol */

/* The client that the header names counts as if it had connected itself. */
static void
pending_set_source (Pending        *self,
                    GSocketAddress *source)
{
  TcpOrigin *proxy = self->origin;

  g_clear_object (&self->address);
  self->address = tcp_address_get (source);
  self->port = tcp_address_get_port (source);
  self->proxied = TRUE;
  self->origin = pending_get_origin (self, self->address);
  tcp_origins_release (self->listener->origins, proxy, tcp_now ());
}

/* The header is only peeked at until it is complete, so that no data behind it is removed. */
static void
on_proxy_readable (GIOCondition condition,
                   gpointer     user_data)
{
  Pending *self = user_data;
  guint8 data[TCP_PROXY_HEADER_MAX_SIZE];
  gsize n = pending_peek (self, data, sizeof data);
  g_autoptr (GSocketAddress) source = NULL;
  TcpProxyHeaderResult result;
  gsize size;

  if (n == 0)
    return;
  result = tcp_proxy_header_parse (data, n, &size, &source);
  if (result == TCP_PROXY_HEADER_BAD)
    {
      pending_drop (self, "the header of the PROXY protocol is malformed");
      return;
    }
  if (result == TCP_PROXY_HEADER_INCOMPLETE)
    {
      pending_wait_for_more (self, condition, size);
      return;
    }

  pending_wait_for (self, 1);
  tcp_watch_clear (&self->watch);
  if (result == TCP_PROXY_HEADER_COMPLETE &&
      recv (g_socket_get_fd (self->socket), data, size, MSG_DONTWAIT) != (gssize) size)
    {
      pending_end (self);
      return;
    }
  if (source != NULL)
    pending_set_source (self, source);
  pending_begin_stream (self);
}

/* The ports */

static void
on_accepted (GSocketConnection *connection,
             GSocketAddress    *remote,
             gpointer           user_data)
{
  TcpListener *self = user_data;
  Pending *pending = g_new0 (Pending, 1);
  gint64 now = tcp_now ();

  pending->listener = self;
  pending->stage = STAGE_SILENT;
  pending->socket = g_socket_connection_get_socket (connection);
  pending->transport.connection = g_object_ref (connection);
  pending->head = g_byte_array_new ();
  pending->accepted = now;
  pending->deadline = tcp_timer_new (on_deadline, pending);
  tcp_timer_set (pending->deadline, now + MIN (self->timeout, FIRST_BYTE_TIMEOUT) * G_TIME_SPAN_MILLISECOND);
  pending->address = tcp_address_get (remote);
  pending->port = tcp_address_get_port (remote);
  pending->is_local = g_socket_get_family (pending->socket) == G_SOCKET_FAMILY_UNIX;
  pending->origin = pending_get_origin (pending, pending->address);
  pending->link.data = pending;
  g_queue_push_tail_link (&self->pending, &pending->link);
  tcp_counters_add (self->counters, accepted_connections);
  tcp_counters_add (self->counters, pending_connections);
  /* Otherwise an answer may wait for the client's delayed ACK of TLS messages that were sent before. */
  g_socket_set_option (pending->socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
  if (self->pending.length > self->max_pending)
    {
      pending_evict (listener_find_victim (self, FALSE, pending), self->max_pending, "ulimit -n");
    }
  else if (!tcp_descriptors_suffice (g_socket_get_fd (pending->socket)) && self->pending.length > 1)
    {
      tcp_counters_add (self->counters, hits_descriptors);
      pending_drop (listener_find_victim (self, FALSE, pending), "%s", tcp_descriptors_get_advice ());
    }

  /* The header is accepted only from trusted proxies, since a client could name any address. */
  if (pending->origin->trusted)
    pending->watch = tcp_watch_new (g_socket_get_fd (pending->socket), G_IO_IN | POLLRDHUP, on_proxy_readable, pending);
  else
    pending_begin_stream (pending);
}

TcpListener *
tcp_listener_new (const TcpListenerOptions   *options,
                  const TcpListenerCallbacks *callbacks,
                  gpointer                    user_data)
{
  TcpListener *self = g_new0 (TcpListener, 1);
  gsize heads = MIN (options->memory / HEADS_PART, MAX_HEAD_BYTES);

  self->max_head_bytes = heads;
  self->max_secured = MIN ((options->memory - heads) / SECURED_MEMORY, MAX_SECURED);
  self->callbacks = callbacks;
  self->user_data = user_data;
  if (options->certificate != NULL)
    self->tls = tcp_tls_queue_new (options->certificate, options->client_ca, options->group);
  self->timeout = options->timeout > 0 ? options->timeout : DEFAULT_TIMEOUT;
  self->proxies = options->proxies;
  self->max_pending = CLAMP (tcp_descriptors_get_limit () / 8, 1, MAX_PENDING);
  self->log = tcp_log_ref (options->log);
  self->refusals = tcp_log_limit_new (options->log, TCP_TUNNEL_LOG_LEVEL_INFO);
  self->counters = tcp_counters_ref (options->counters);
  self->origins = tcp_origins_new ();
  self->asks = tcp_ask_queue_new (options->thread, self->origins, self->timeout * G_TIME_SPAN_MILLISECOND, &ask_callbacks);

  return self;
}

/* Accepts the connections of a port that listens, which must be freed before the listener. */
void
tcp_listener_accept (TcpListener *self,
                     TcpPort     *port)
{
  tcp_port_accept (port, on_accepted, self);
}

/* Whether there is a connection that may still become a WebSocket. */
gboolean
tcp_listener_has_pending (TcpListener *self)
{
  for (GList *l = self->pending.head; l != NULL; l = l->next)
    if (((Pending *) l->data)->stage != STAGE_REFUSED)
      return TRUE;
  return FALSE;
}

/* Replaces the certificates of a listener with TLS. */
void
tcp_listener_set_certificates (TcpListener     *self,
                               GTlsCertificate *certificate,
                               GTlsDatabase    *client_ca)
{
  tcp_tls_queue_set_certificates (self->tls, certificate, client_ca);
}

void
tcp_listener_free (TcpListener *self)
{
  while (self->pending.length > 0)
    pending_end (self->pending.head->data);
  g_clear_pointer (&self->tls, tcp_tls_queue_free);
  tcp_ask_queue_free (self->asks);
  tcp_origins_free (self->origins);
  tcp_networks_free (self->proxies);
  tcp_log_limit_free (self->refusals);
  tcp_log_unref (self->log);
  tcp_counters_unref (self->counters);
  g_free (self);
}
