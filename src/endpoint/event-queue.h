/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>

#include <gio/gio.h>

#include "io/record.h"

G_BEGIN_DECLS

/* The events that an engine reports to the public object. They are handled in the main context of the application, or
 * by a blocking call that waits for them. */
typedef enum
{
  TCP_EVENT_STARTED,           /* error if it failed; object: the address, text: the URI */
  TCP_EVENT_STATE,             /* value */
  TCP_EVENT_RETRY,             /* error, value: the attempt, id: ms until then */
  TCP_EVENT_CONNECTION_OPENED, /* record, object: the address of the client or NULL */
  TCP_EVENT_CONNECTION_CLOSED, /* record, error or NULL */
  TCP_EVENT_TOKEN_REQUIRED,    /* id: the number of the token that was refused */
  TCP_EVENT_AUTHENTICATE,      /* object: the TcpAuthentication */
  TCP_EVENT_DRAINED,           /* or not: error, id of the wait that was cancelled */
  TCP_EVENT_FAILED,            /* error; the last event of an engine */

  /* made by the runner itself */
  TCP_EVENT_OVER,    /* error, or NULL for a close, ends: not emitted; only the end of the run follows */
  TCP_EVENT_ADDRESS, /* the address has changed, or there is none any more */
  TCP_EVENT_CLOSED,  /* value: the last state before; the last event of a queue */
} TcpEventType;

/* Masks for several types. */
#define TCP_EVENT_MASK(type) (1u << (type))
#define TCP_EVENT_ANY (~0u)

typedef struct
{
  TcpEventType type;
  int value;
  guint run; /* of the runner; set when the event is emitted */
  guint64 id;
  GObject *object;
  char *text;
  GError *error;
  TcpRecord *record;
  GQueue *ends; /* closings of connections: of TcpEvent; not owned */
  GList *link; /* in the queue */
  GList *closed; /* of an opening: the closing of that connection, if both are queued */
  GList *complete; /* then the link of this opening in the queue of complete ones */
} TcpEvent;

void tcp_event_free (TcpEvent *event);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpEvent, tcp_event_free)

/* An application that never iterates its main context must not make the queue grow without bound. Of connections whose
 * opening and closing are both queued, the last ones are kept, with at most this many events; the same number of states
 * and attempts is kept, and the last refusal of a token. The number of authentications is limited by the code that
 * pushes them. All other events of connections are kept, so that the application's list contains each open one: there
 * are no more of them than connections that are open, or were when the application last handled events. */
#define TCP_EVENT_QUEUE_CAP 1024

typedef struct _TcpEventQueue TcpEventQueue;

typedef void (*TcpEventFunc) (TcpEventQueue *queue,
                              TcpEvent      *event,
                              gpointer       user_data);

TcpEventQueue *tcp_event_queue_new (GMainContext *context,
                                    GObject      *owner,
                                    TcpEventFunc  func,
                                    gpointer      user_data);
TcpEventQueue *tcp_event_queue_ref (TcpEventQueue *self);
void tcp_event_queue_unref (TcpEventQueue *self);
void tcp_event_queue_push_started (TcpEventQueue  *self,
                                   GSocketAddress *address,
                                   const char     *uri,
                                   const GError   *error);
void tcp_event_queue_push_state (TcpEventQueue *self,
                                 int            state);
void tcp_event_queue_push_retry (TcpEventQueue *self,
                                 const GError  *error,
                                 guint          attempt,
                                 guint          delay);
void tcp_event_queue_push_opened (TcpEventQueue  *self,
                                  TcpRecord      *record,
                                  GSocketAddress *client);
void tcp_event_queue_push_closed (TcpEventQueue *self,
                                  TcpRecord     *record,
                                  const GError  *error);
void tcp_event_queue_push_token_required (TcpEventQueue *self,
                                          guint          serial);
void tcp_event_queue_push_authenticate (TcpEventQueue *self,
                                        GObject       *authentication);
void tcp_event_queue_push_drained (TcpEventQueue *self,
                                   guint64        id,
                                   const GError  *error);
void tcp_event_queue_push_failed (TcpEventQueue *self,
                                  const GError  *error);
gboolean tcp_event_queue_is_inherited (TcpEventQueue *self);
void tcp_event_queue_claim (TcpEventQueue *self,
                            guint          types);
gboolean tcp_event_queue_enter (TcpEventQueue *self);
void tcp_event_queue_leave (TcpEventQueue *self);
TcpEvent *tcp_event_queue_wait (TcpEventQueue *self,
                                guint          types,
                                atomic_bool   *over,
                                gint64         deadline);
void tcp_event_queue_wake (TcpEventQueue *self);
void tcp_event_queue_stop (TcpEventQueue *self,
                           gboolean       drop);
void tcp_event_queue_finish (TcpEventQueue *self,
                             gboolean       had_address,
                             int            state);
void tcp_event_queue_push_address (TcpEventQueue *self);
void tcp_event_queue_adopt (TcpEventQueue *self,
                            TcpEventQueue *former);
void tcp_event_queue_close (TcpEventQueue *self,
                            GQueue        *ends);
gboolean tcp_event_queue_close_at_end (TcpEventQueue *self,
                                       GQueue        *ends,
                                       gboolean      *had_address,
                                       int           *state);
guint tcp_event_queue_get_length (TcpEventQueue *self);
guint64 tcp_event_queue_get_n_dropped (TcpEventQueue *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpEventQueue, tcp_event_queue_unref)

G_END_DECLS
