/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel/farewell.h"

#include <string.h>

#include "base/backoff.h"
#include "io/reactor.h"
#include "tunnel/dial-error.h"

/* How often a goodbye is sent again. */
#define MAX_ATTEMPTS 4

/* The first and the longest delay before another attempt, in ms. */
#define DELAY 500
#define MAX_DELAY 8000

struct _TcpFarewells
{
  TcpDialer *dialer; /* that of the engine */
  TcpChannelGroup *group;
  TcpLog *log;
  GQueue all; /* of Farewell */
};

typedef struct
{
  TcpFarewells *owner;
  GList link; /* in the queue of the owner */
  GUri *uri;
  GQueue frames;       /* of TcpBuffer */
  TcpChannel *channel; /* the channel on which they were sent, which is being closed; or NULL */
  GCancellable *dialling;
  TcpBackoff backoff;
  TcpTimer *retry;
  gint64 until; /* from then on the gateway has dropped the session by itself */
} Farewell;

static void
farewell_free (Farewell *self)
{
  TcpChannelGroup *group = self->owner->group;

  g_queue_unlink (&self->owner->all, &self->link);
  if (self->dialling != NULL)
    g_cancellable_cancel (self->dialling);
  g_clear_object (&self->dialling);
  if (self->channel != NULL)
    tcp_channel_set_callbacks (self->channel, NULL, NULL);
  g_clear_pointer (&self->channel, tcp_channel_unref);
  tcp_timer_clear (&self->retry);
  g_queue_clear_full (&self->frames, (GDestroyNotify) tcp_buffer_unref);
  g_uri_unref (self->uri);
  g_free (self);
  tcp_channel_group_leave (group);
}

static void
farewell_give_up (Farewell   *self,
                  const char *why)
{
  tcp_log_debug (self->owner->log, "the gateway may not know that a session is over: %s", why);
  farewell_free (self);
}

static void
farewell_retry (Farewell   *self,
                const char *why)
{
  gint64 at = g_get_monotonic_time ();

  if (tcp_backoff_is_exhausted (&self->backoff) || at >= self->until)
    {
      farewell_give_up (self, why);
      return;
    }

  at += tcp_backoff_next_resume (&self->backoff, g_random_double ()) * G_TIME_SPAN_MILLISECOND;
  tcp_log_debug (self->owner->log, "the goodbye of a session is sent again: %s", why);
  tcp_timer_set (self->retry, at);
}

/* The gateway answers a close frame after it has read all frames before it. */
static void
on_channel_closed (TcpChannel   *channel,
                   guint         code,
                   const char   *reason,
                   const GError *error,
                   gpointer      user_data)
{
  Farewell *self = user_data;

  g_clear_pointer (&self->channel, tcp_channel_unref);
  if (code == TCP_CLOSE_NORMAL || code == TCP_CLOSE_PROTOCOL_ERROR)
    farewell_free (self);
  else
    farewell_retry (self, error != NULL ? error->message : "the WebSocket was closed");
}

static const TcpChannelCallbacks channel_callbacks = {
  .closed = on_channel_closed,
};

static void
farewell_watch (Farewell   *self,
                TcpChannel *channel)
{
  self->channel = tcp_channel_ref (channel);
  tcp_channel_set_callbacks (channel, &channel_callbacks, self);
}

/* A former WebSocket may still use the frames themselves. */
static void
send_copy (TcpChannel *channel,
           TcpBuffer  *frame)
{
  TcpBuffer *copy = tcp_buffer_new (frame->length);

  memcpy (copy->payload, frame->payload, frame->length);
  copy->length = frame->length;
  tcp_channel_send (channel, copy);
}

static void
on_dialled (TcpDialResult *result,
            gpointer       user_data)
{
  Farewell *self = user_data;
  TcpChannel *channel = result->channel;

  g_clear_object (&self->dialling);
  if (channel == NULL && !result->unsuitable && !tcp_dial_status_is_final (result->status))
    {
      farewell_retry (self, result->error->message);
      return;
    }
  /* A gateway that uses another protocol, or does not have the session, does not keep it. */
  if (channel == NULL || !result->resumable)
    {
      if (channel != NULL)
        {
          tcp_channel_close (channel, TCP_CLOSE_NORMAL, NULL);
          tcp_channel_resume (channel);
        }
      farewell_free (self);
      return;
    }

  farewell_watch (self, channel);
  for (GList *l = self->frames.head; l != NULL; l = l->next)
    send_copy (channel, l->data);
  tcp_channel_close (channel, TCP_CLOSE_NORMAL, "done");
  tcp_channel_resume (channel);
}

static void
on_retry (gpointer user_data)
{
  Farewell *self = user_data;

  self->dialling = g_cancellable_new ();
  tcp_dialer_dial (self->owner->dialer, self->uri, self->dialling, NULL, on_dialled, self);
}

/* @dialer must outlive the object. */
TcpFarewells *
tcp_farewells_new (TcpDialer       *dialer,
                   TcpChannelGroup *group,
                   TcpLog          *log)
{
  TcpFarewells *self = g_new0 (TcpFarewells, 1);

  self->dialer = dialer;
  self->group = tcp_channel_group_ref (group);
  self->log = tcp_log_ref (log);
  return self;
}

/* Goodbyes that were not sent yet are dropped. */
void
tcp_farewells_free (TcpFarewells *self)
{
  while (!g_queue_is_empty (&self->all))
    farewell_free (g_queue_peek_head (&self->all));
  tcp_channel_group_unref (self->group);
  tcp_log_unref (self->log);
  g_free (self);
}

/* Takes ownership of @frames, of TcpBuffer. @channel is being closed after them, and they may arrive on it; or it is
 * NULL. @patience is the time in seconds for which the gateway keeps the session. */
void
tcp_farewells_add (TcpFarewells *self,
                   GUri         *uri,
                   GQueue       *frames,
                   TcpChannel   *channel,
                   guint         patience)
{
  Farewell *farewell = g_new0 (Farewell, 1);

  if (self->all.length >= TCP_FAREWELLS_MAX)
    farewell_give_up (g_queue_peek_head (&self->all), "too many others were over after it");
  farewell->owner = self;
  farewell->uri = g_uri_ref (uri);
  farewell->frames = *frames;
  g_queue_init (frames);
  tcp_backoff_init (&farewell->backoff, DELAY, MAX_DELAY, MAX_ATTEMPTS);
  farewell->retry = tcp_timer_new (on_retry, farewell);
  farewell->until = g_get_monotonic_time () + patience * G_TIME_SPAN_SECOND;
  farewell->link.data = farewell;
  g_queue_push_tail_link (&self->all, &farewell->link);
  tcp_channel_group_enter (self->group);

  if (channel != NULL && !tcp_channel_has_ended (channel))
    farewell_watch (farewell, channel);
  else
    farewell_retry (farewell, "the WebSocket broke before it was");
}
