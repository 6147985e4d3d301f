/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/tls-queue.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "gateway/eviction.h"
#include "io/reactor.h"

/* GTask's pool begins with ten threads, and soon shrinks to that number again: the remaining ones are for other
 * tasks. */
#define SLOTS 8

/* The grace is at least this multiple of the time that answering peers take. */
#define GRACE_OF_ANSWERS 3

/* The interval at which the grace of each handshake is checked, while connections wait. */
#define CHECK_INTERVAL (5 * G_TIME_SPAN_MILLISECOND)

/* The shortest interval at which the grace is adapted. */
#define PERIOD (10 * G_TIME_SPAN_MILLISECOND)

struct _TcpTlsQueue
{
  grefcount refs; /* of the owner, and of each entry that a thread uses */
  GTlsCertificate *certificate;
  GTlsDatabase *client_ca; /* verifies the certificates of clients; NULL if none are requested */
  TcpChannelGroup *group; /* entered by each running handshake */
  GCancellable *closing;
  GQueue waiting; /* of TcpTlsEntry, oldest first */
  GQueue running;
  guint ending;   /* the number of running ones that are cancelled, but still used by a thread */
  gint64 grace;
  gint64 adapted; /* when the grace was last adapted */
  guint added;    /* the number of connections added since then */
  TcpTimer *timer;
};

struct _TcpTlsEntry
{
  TcpTlsQueue *queue;
  GList link; /* in one of the lists of the queue */
  gboolean running;
  TcpOrigin *origin; /* NULL once cancelled */
  GSocket *socket;
  TcpBufferedConnection *buffered;
  GTlsDatabase *client_ca; /* for its handshake; nullable */
  GIOStream *verified; /* TLS, after the handshake, while the certificate of the client is verified */
  TcpTlsFunc func;
  gpointer user_data;
  gint64 began; /* when it began to wait for a slot, then when it got one */
};

static void
tls_queue_unref (TcpTlsQueue *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;

  g_object_unref (self->certificate);
  g_clear_object (&self->client_ca);
  g_cancellable_release_fd (self->closing);
  g_object_unref (self->closing);
  g_free (self);
}

static void
entry_free (TcpTlsEntry *self)
{
  g_clear_object (&self->verified);
  g_clear_object (&self->client_ca);
  g_object_unref (self->buffered);
  g_object_unref (self->socket);
  g_free (self);
}

static TcpHandshakeState
entry_get_state (TcpTlsEntry *self,
                 gint64       now)
{
  TcpHandshakeState state = { .origin = self->origin, .age = now - self->began, .wait = -1 };
  struct tcp_info info = { 0 };
  socklen_t size = sizeof info;
  int fd = g_socket_get_fd (self->socket);
  int unread = 0;

  if (ioctl (fd, FIONREAD, &unread) < 0 || unread > 0 ||
      getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
    return state;
  state.wait = MIN (info.tcpi_last_data_recv * G_TIME_SPAN_MILLISECOND, state.age);
  state.round_trip = info.tcpi_rtt;
  return state;
}

static TcpTlsEntry *
tls_queue_find_victim (TcpTlsQueue *self)
{
  TcpTlsEntry *entries[SLOTS];
  TcpHandshakeState states[SLOTS];
  gint64 now = tcp_now ();
  guint n = 0;
  int victim;

  for (GList *link = self->running.head; link != NULL; link = link->next)
    {
      TcpTlsEntry *entry = link->data;

      /* It was cancelled, or its peer has done its part. */
      if (entry->origin == NULL || entry->verified != NULL)
        continue;
      entries[n] = entry;
      states[n++] = entry_get_state (entry, now);
    }
  victim = tcp_eviction_choose_handshake (states, n, self->grace);
  return victim >= 0 ? entries[victim] : NULL;
}

/* Returns the newest entry of the address that comes first: its client has waited least, and is the most likely to wait
 * until the end. */
static TcpTlsEntry *
tls_queue_find_next (TcpTlsQueue *self)
{
  TcpTlsEntry *next = NULL;

  for (GList *link = self->waiting.tail; link != NULL; link = link->prev)
    {
      TcpTlsEntry *entry = link->data;

      if (next == NULL || tcp_eviction_compare_origins (entry->origin, next->origin) > 0)
        next = entry;
    }
  return next;
}

static void
tls_queue_adapt_grace (TcpTlsQueue *self,
                       guint        waiting)
{
  gint64 now = tcp_now ();

  if (now - self->adapted < PERIOD)
    return;

  self->grace = tcp_eviction_adapt_grace (self->grace, waiting, self->added);
  self->adapted = now;
  self->added = 0;
}

/* The entry no longer counts, and its function is not called. */
static void
entry_detach (TcpTlsEntry *self)
{
  if (self->running)
    {
      self->origin->handshakes--;
      self->queue->ending++;
    }
  self->origin = NULL;
}

/* Frees the slot of the entry. */
static void
entry_finish (TcpTlsEntry          *self,
              GIOStream            *stream,
              TcpClientCertificate *certificate,
              const GError         *error)
{
  TcpTlsQueue *queue = self->queue;
  TcpTlsFunc func = self->origin != NULL ? self->func : NULL;
  TcpChannelGroup *group = queue->group;

  g_queue_unlink (&queue->running, &self->link);
  if (func != NULL)
    self->origin->handshakes--;
  else
    queue->ending--;
  if (func != NULL)
    func (stream, stream != NULL ? self->buffered : NULL, certificate, error, self->user_data);
  entry_free (self);

  if (queue->timer != NULL)
    tcp_timer_set (queue->timer, 0);
  tls_queue_unref (queue);
  tcp_channel_group_leave (group);
}

static void
on_verified (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  TcpTlsEntry *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (TcpClientCertificate) certificate = tcp_client_certificate_verify_finish (result, &error);

  entry_finish (self, certificate != NULL ? self->verified : NULL, certificate, error);
}

static void
on_handshake (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  TcpTlsEntry *self = user_data;
  TcpTlsQueue *queue = self->queue;
  GTlsConnection *connection = G_TLS_CONNECTION (object);
  g_autoptr (GError) error = NULL;
  gboolean done = g_tls_connection_handshake_finish (connection, result, &error);
  GTlsCertificate *certificate = done ? g_tls_connection_get_peer_certificate (connection) : NULL;

  tcp_buffered_connection_stop_waiting (self->buffered);
  tcp_buffered_connection_flush (self->buffered, NULL);
  if (done)
    queue->grace = CLAMP ((tcp_now () - self->began) * GRACE_OF_ANSWERS, queue->grace, TCP_MAX_GRACE);
  if (certificate == NULL || self->origin == NULL)
    {
      entry_finish (self, done ? G_IO_STREAM (connection) : NULL, NULL, error);
      return;
    }

  self->verified = G_IO_STREAM (g_object_ref (connection));
  tcp_client_certificate_verify (certificate, self->client_ca, queue->closing, on_verified, self);
}

/* Client certificates are verified later, even if TLS resumes a session without verifying one: a client with an invalid
 * certificate gets an answer that says so, or may have a token. */
static gboolean
on_accept_certificate (GTlsConnection       *connection,
                       GTlsCertificate      *certificate,
                       GTlsCertificateFlags  errors,
                       gpointer              user_data)
{
  return TRUE;
}

/* By default a connection would load the database of the system, which takes milliseconds and megabytes. It needs none,
 * since client certificates are verified later. A peer that ends TLS without close_notify has closed the WebSocket
 * before, or is lost. */
static GIOStream *
tls_queue_create_stream (TcpTlsQueue            *self,
                         TcpBufferedConnection  *buffered,
                         GError                **error)
{
  GIOStream *stream = g_initable_new (g_tls_backend_get_server_connection_type (g_tls_backend_get_default ()), NULL, error,
                                      "base-io-stream", buffered,
                                      "certificate", self->certificate,
                                      "database", NULL,
                                      "authentication-mode", self->client_ca != NULL ? G_TLS_AUTHENTICATION_REQUESTED
                                                                                     : G_TLS_AUTHENTICATION_NONE,
                                      "require-close-notify", FALSE,
                                      NULL);

  if (stream != NULL)
    g_signal_connect (stream, "accept-certificate", G_CALLBACK (on_accept_certificate), NULL);
  return stream;
}

static void
entry_run (TcpTlsEntry *self)
{
  TcpTlsQueue *queue = self->queue;
  g_autoptr (GError) error = NULL;
  g_autoptr (GIOStream) stream = tls_queue_create_stream (queue, self->buffered, &error);

  g_queue_unlink (&queue->waiting, &self->link);
  if (stream == NULL)
    {
      self->func (NULL, NULL, NULL, error, self->user_data);
      entry_free (self);
      return;
    }

  self->running = TRUE;
  g_set_object (&self->client_ca, queue->client_ca);
  self->began = tcp_now ();
  self->origin->handshakes++;
  g_queue_push_tail_link (&queue->running, &self->link);
  /* The gateway must not end before the thread has finished. */
  tcp_channel_group_enter (queue->group);
  g_ref_count_inc (&queue->refs);
  /* The low priority keeps threads available for the resolver. */
  g_tls_connection_handshake_async (G_TLS_CONNECTION (stream), G_PRIORITY_LOW, queue->closing, on_handshake, self);
}

static void
tls_queue_preempt (TcpTlsQueue *self,
                   TcpTlsEntry *victim)
{
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                                  "others wait, and its peer did not answer");

  g_socket_shutdown (victim->socket, TRUE, TRUE, NULL);
  entry_detach (victim);
  victim->func (NULL, NULL, NULL, error, victim->user_data);
}

/* Ends those handshakes that have waited too long for a slot, and would come after the newest one. */
static void
tls_queue_drop_late (TcpTlsQueue *self)
{
  gint64 now = tcp_now ();
  GList *next;

  for (GList *link = self->waiting.head; link != self->waiting.tail; link = next)
    {
      TcpTlsEntry *entry = link->data;
      TcpTlsEntry *newest = self->waiting.tail->data;
      g_autoptr (GError) error = NULL;

      next = link->next;
      if (!tcp_eviction_is_late (now - entry->began, now - newest->began, self->grace))
        break;
      if (tcp_eviction_compare_origins (entry->origin, newest->origin) > 0)
        continue;
      error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "there are more than can be served");
      g_queue_unlink (&self->waiting, &entry->link);
      entry->func (NULL, NULL, NULL, error, entry->user_data);
      entry_free (entry);
    }
}

/* Called when a connection was added or a handshake has ended, and regularly while connections wait. */
static void
on_timer (gpointer user_data)
{
  TcpTlsQueue *self = user_data;
  TcpTlsEntry *victim;
  guint waiting;

  while (self->waiting.length > 0 && self->running.length < SLOTS)
    entry_run (tls_queue_find_next (self));
  while (self->waiting.length > self->ending && (victim = tls_queue_find_victim (self)) != NULL)
    tls_queue_preempt (self, victim);
  tls_queue_drop_late (self);

  waiting = self->waiting.length > self->ending ? self->waiting.length - self->ending : 0;
  tls_queue_adapt_grace (self, waiting);
  if (waiting > 0)
    tcp_timer_set (self->timer, tcp_now () + CHECK_INTERVAL);
}

/* @client_ca is NULL to request no certificates from clients. @group must outlive the queue. */
TcpTlsQueue *
tcp_tls_queue_new (GTlsCertificate *certificate,
                   GTlsDatabase    *client_ca,
                   TcpChannelGroup *group)
{
  TcpTlsQueue *self = g_new0 (TcpTlsQueue, 1);

  g_ref_count_init (&self->refs);
  self->certificate = g_object_ref (certificate);
  g_set_object (&self->client_ca, client_ca);
  self->group = group;
  self->closing = g_cancellable_new ();
  /* All handshakes wait for this descriptor as well. If it were only opened by the first of them, GLib would abort the
   * program if none was left. */
  g_cancellable_get_fd (self->closing);
  self->grace = TCP_MAX_GRACE;
  self->timer = tcp_timer_new (on_timer, self);
  return self;
}

/* Applies to handshakes that have not begun yet. */
void
tcp_tls_queue_set_certificates (TcpTlsQueue     *self,
                                GTlsCertificate *certificate,
                                GTlsDatabase    *client_ca)
{
  g_set_object (&self->certificate, certificate);
  g_set_object (&self->client_ca, client_ca);
}

/* All entries must be cancelled before. */
void
tcp_tls_queue_free (TcpTlsQueue *self)
{
  tcp_timer_clear (&self->timer);
  g_cancellable_cancel (self->closing);
  tls_queue_unref (self);
}

/* @func is called from the main loop. */
TcpTlsEntry *
tcp_tls_queue_add (TcpTlsQueue       *self,
                   GSocketConnection *connection,
                   TcpOrigin         *origin,
                   TcpTlsFunc         func,
                   gpointer           user_data)
{
  TcpTlsEntry *entry = g_new0 (TcpTlsEntry, 1);

  entry->queue = self;
  entry->link.data = entry;
  entry->origin = origin;
  entry->buffered = tcp_buffered_connection_new (connection);
  entry->socket = g_object_ref (g_socket_connection_get_socket (connection));
  entry->func = func;
  entry->user_data = user_data;
  entry->began = tcp_now ();
  g_queue_push_tail_link (&self->waiting, &entry->link);
  self->added++;
  tcp_timer_set (self->timer, 0);
  return entry;
}

/* Whether a thread uses it. */
gboolean
tcp_tls_entry_is_running (TcpTlsEntry *self)
{
  return self->running;
}

/* The function is not called any more. Other users of the socket see its end. */
void
tcp_tls_entry_cancel (TcpTlsEntry *self)
{
  g_socket_shutdown (self->socket, TRUE, TRUE, NULL);
  entry_detach (self);
  if (self->running)
    return;

  g_queue_unlink (&self->queue->waiting, &self->link);
  entry_free (self);
}
