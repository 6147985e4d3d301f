/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/origin.h"
#include "gateway/question.h"

G_BEGIN_DECLS

/* The requests about which the application is asked whose they are. Only so many questions are with it at a time, each
 * until it was answered, dropped, or its time is over, also if the client has left: the others wait for their turn. That
 * comes to the address that has fewest of them. So neither a flood of requests nor an application that is slow makes
 * anything grow, and no address keeps others from their turn. */
typedef struct _TcpAskQueue TcpAskQueue;
typedef struct _TcpAsk TcpAsk;

/* How many questions the application has at most, and how many for clients of one address. */
#define TCP_ASK_MAX 64
#define TCP_ASK_MAX_OF_ORIGIN 32

typedef struct
{
  /* It has its turn: the question is to be handed over. */
  void (*ask) (TcpQuestion *question,
               gpointer     user_data);
  /* The ask is gone. @answer is NULL if none came in time. */
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
