/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "websocket/control.h"

#include "io/reactor.h"
#include "websocket/control-stream.h"

/* The number of connections that share a context, which takes a file descriptor. */
#define MAX_MEMBERS 64

typedef struct
{
  GMainContext *context;
  guint members;
} Shared;

struct _TcpControl
{
  grefcount refs; /* a callback may free it */
  TcpControlCallbacks callbacks;
  gpointer user_data;
  Shared *shared;
  TcpControlStream *stream;
  SoupWebsocketConnection *soup; /* NULL once freed */

  /* what libsoup has done in its context, to be reported in that of the thread */
  TcpTimer *report;
  GQueue frames; /* of GBytes, to be written */
  gboolean wants_close;
  gboolean is_closed;
  GError *error;
};

static void
shared_free (gpointer data)
{
  Shared *self = data;

  g_main_context_unref (self->context);
  g_free (self);
}

static void
shared_free_list (gpointer data)
{
  g_slist_free_full (data, shared_free);
}

/* The contexts of this thread. One is kept, so that successive connections need not create it each time. */
static GPrivate all_shared = G_PRIVATE_INIT (shared_free_list);

/* The sources of libsoup have no descriptors. */
static int
poll_nothing (GPollFD *fds,
              guint    n_fds,
              int      timeout)
{
  return 0;
}

static Shared *
shared_acquire (void)
{
  GSList *list = g_private_get (&all_shared);
  GSList *link = list;
  Shared *self;

  while (link != NULL && ((Shared *) link->data)->members == MAX_MEMBERS)
    link = link->next;
  if (link != NULL)
    {
      self = link->data;
    }
  else
    {
      self = g_new0 (Shared, 1);
      self->context = g_main_context_new ();
      g_main_context_set_poll_func (self->context, poll_nothing);
      g_private_set (&all_shared, g_slist_prepend (list, self));
    }
  self->members++;
  return self;
}

static void
shared_release (Shared *self)
{
  GSList *list = g_private_get (&all_shared);

  self->members--;
  if (self->members > 0 || list->next == NULL)
    return;

  g_private_set (&all_shared, g_slist_remove (list, self));
  shared_free (self);
}

/* Every call of libsoup is between these two. */

static void
control_enter (TcpControl *self)
{
  g_main_context_push_thread_default (self->shared->context);
}

static void
control_unref (TcpControl *self)
{
  if (g_ref_count_dec (&self->refs))
    g_free (self);
}

/* FALSE if the object was freed meanwhile. */
static gboolean
control_write_frames (TcpControl *self)
{
  GBytes *frame;
  gboolean lives;

  g_ref_count_inc (&self->refs);
  while ((frame = g_queue_pop_head (&self->frames)) != NULL)
    {
      self->callbacks.write (g_bytes_get_data (frame, NULL), g_bytes_get_size (frame), self->user_data);
      g_bytes_unref (frame);
    }
  lives = self->soup != NULL;
  control_unref (self);
  return lives;
}

/* libsoup gives the peer 5 s to close the connection. The channel has a better deadline, since it knows what still
 * arrives; and after this timeout libsoup would not free the source. */
static void
control_disarm (TcpControl *self)
{
  GSource *timeout;

  if (soup_websocket_connection_get_state (self->soup) == SOUP_WEBSOCKET_STATE_OPEN)
    return;
  timeout = g_main_context_find_source_by_funcs_user_data (self->shared->context, &g_timeout_funcs, self->soup);
  if (timeout != NULL)
    g_source_set_ready_time (timeout, -1);
}

static void
control_leave (TcpControl *self)
{
  /* libsoup continues in sources, which this loop runs. */
  while (g_main_context_iteration (self->shared->context, FALSE))
    ;
  control_disarm (self);
  g_main_context_pop_thread_default (self->shared->context);
  (void) control_write_frames (self);
}

static void
on_report (gpointer user_data)
{
  TcpControl *self = user_data;
  gboolean wants_close = self->wants_close;

  self->wants_close = FALSE;
  if (!control_write_frames (self))
    return;
  if (self->is_closed)
    self->callbacks.closed (self->error, self->user_data);
  else if (wants_close)
    self->callbacks.close_stream (self->user_data);
}

/* Callbacks from libsoup */

static void
on_write (gconstpointer data,
          gsize         length,
          gpointer      user_data)
{
  TcpControl *self = user_data;

  g_queue_push_tail (&self->frames, g_bytes_new (data, length));
  tcp_timer_set (self->report, 0);
}

static void
on_close_stream (gpointer user_data)
{
  TcpControl *self = user_data;

  self->wants_close = TRUE;
  tcp_timer_set (self->report, 0);
}

static void
on_soup_error (SoupWebsocketConnection *soup,
               GError                  *error,
               gpointer                 user_data)
{
  TcpControl *self = user_data;

  if (self->error == NULL)
    self->error = g_error_copy (error);
}

static void
on_soup_closed (SoupWebsocketConnection *soup,
                gpointer                 user_data)
{
  TcpControl *self = user_data;

  self->is_closed = TRUE;
  tcp_timer_set (self->report, 0);
}

/* Creation and destruction */

TcpControl *
tcp_control_new (GUri                      *uri,
                 gboolean                   client,
                 const TcpControlCallbacks *callbacks,
                 gpointer                   user_data)
{
  static const TcpControlStreamCallbacks stream_callbacks = {
    .write = on_write,
    .close = on_close_stream,
  };
  TcpControl *self = g_new0 (TcpControl, 1);

  g_ref_count_init (&self->refs);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->shared = shared_acquire ();
  self->report = tcp_timer_new (on_report, self);
  self->stream = tcp_control_stream_new (&stream_callbacks, self);

  control_enter (self);
  self->soup = soup_websocket_connection_new (G_IO_STREAM (self->stream), uri,
                                              client ? SOUP_WEBSOCKET_CONNECTION_CLIENT
                                                     : SOUP_WEBSOCKET_CONNECTION_SERVER,
                                              NULL, NULL, NULL);
  g_signal_connect (self->soup, "error", G_CALLBACK (on_soup_error), self);
  g_signal_connect (self->soup, "closed", G_CALLBACK (on_soup_closed), self);
  control_leave (self);

  return self;
}

/* No callback is called any more. */
void
tcp_control_free (TcpControl *self)
{
  g_signal_handlers_disconnect_by_data (self->soup, self);
  control_enter (self);
  tcp_control_stream_detach (self->stream);
  g_clear_object (&self->soup);
  g_clear_object (&self->stream);
  while (g_main_context_iteration (self->shared->context, FALSE))
    ;
  g_main_context_pop_thread_default (self->shared->context);

  g_queue_clear_full (&self->frames, (GDestroyNotify) g_bytes_unref);
  tcp_timer_clear (&self->report);
  shared_release (self->shared);
  g_clear_error (&self->error);
  control_unref (self);
}

/* Passes a control frame of the peer to libsoup. Its answer is written before this returns. */
void
tcp_control_feed (TcpControl   *self,
                  const guint8 *frame,
                  gsize         length)
{
  control_enter (self);
  tcp_control_stream_feed (self->stream, frame, length);
  control_leave (self);
}

/* Reports to libsoup that the connection ended, or broke with @error. */
void
tcp_control_end (TcpControl   *self,
                 const GError *error)
{
  control_enter (self);
  tcp_control_stream_end (self->stream, error);
  control_leave (self);
}

/* Begins the closing handshake, if that has not begun. */
void
tcp_control_close (TcpControl *self,
                   guint       code,
                   const char *reason)
{
  if (soup_websocket_connection_get_state (self->soup) != SOUP_WEBSOCKET_STATE_OPEN)
    return;

  control_enter (self);
  soup_websocket_connection_close (self->soup, code, reason);
  control_leave (self);
}

void
tcp_control_stream_closed (TcpControl *self)
{
  control_enter (self);
  tcp_control_stream_close_done (self->stream);
  control_leave (self);
}
