/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/origin.h"
#include "gateway/question.h"

G_BEGIN_DECLS

/* The requests about which the application is asked. The number of questions at a time is limited; each counts until it
 * is answered, dropped, or its time is over, even if the client has left. The other requests wait for their turn, which
 * goes to the address with the fewest questions. So neither a flood of requests nor a slow application makes anything
 * grow without bound, and no address keeps others from their turn. */
typedef struct _TcpAskQueue TcpAskQueue;
typedef struct _TcpAsk TcpAsk;

/* The limits on pending questions: of all, and of one address. */
#define TCP_ASK_MAX 64
#define TCP_ASK_MAX_OF_ORIGIN 32

typedef struct
{
  /* The request has its turn: the callback passes the question to the application. */
  void (*ask) (TcpQuestion *question,
               gpointer     user_data);
  /* The request is finished, and freed. @answer is NULL if none came in time. */
  void (*answered) (const TcpAnswer *answer,
                    gpointer         user_data);
} TcpAskCallbacks;

TcpAskQueue *tcp_ask_queue_new (TcpIoThread           *thread,
                                TcpOrigins            *origins,
                                gint64                 timeout,
                                const TcpAskCallbacks *callbacks);
void tcp_ask_queue_free (TcpAskQueue *self);
TcpAsk *tcp_ask_queue_add (TcpAskQueue *self,
                           TcpOrigin   *origin,
                           gpointer     user_data);
void tcp_ask_cancel (TcpAsk *self);

G_END_DECLS
