/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/bucket.h"
#include "gateway/quota.h"
#include "io/pool.h"

G_BEGIN_DECLS

/* So many connections to the target may be under way at once, of all clients together. Those beyond
 * that wait, and have their turn principal by principal, and client by client of each principal, so that
 * nobody is delayed by how many others ask. A principal may have as many as its quota allows, and a client
 * half of that; and it may begin so many in a second. How many wait is bounded by the connections that clients may
 * have.
 *
 * Safe on all threads. */
typedef struct _TcpDialQueue TcpDialQueue;

/* What a principal has of it. */
typedef struct
{
  TcpQuotaShare quota;
  TcpBucket rate; /* under the mutex of the queue: how many may begin, */
  const char *rate_property; /* likewise: and which property says so, for messages */
  GQueue callers; /* likewise: of TcpDialCaller, those that wait */
  GList link;     /* among the principals that wait, if there are any */
} TcpDialShare;

/* A client. */
typedef struct
{
  TcpDialShare *share;
  guint used;     /* under the mutex of the queue */
  GQueue tickets; /* of TcpDialTicket, those that wait */
  GList link;     /* among the callers that wait, if there are any */
} TcpDialCaller;

/* The right to have one connection under way, or to wait for it. */
typedef struct _TcpDialTicket TcpDialTicket;

/* It may begin now. On the thread of whoever asked. */
typedef void (*TcpDialTicketFunc) (gpointer user_data);

/* Which limit keeps one from its turn. */
typedef enum
{
  TCP_DIAL_MAX_DIALS,
  TCP_DIAL_MAX_PRINCIPAL_DIALS,
  TCP_DIAL_MAX_PRINCIPAL_DIAL_RATE,
} TcpDialObstacle;

TcpDialQueue *tcp_dial_queue_new (guint        max,
                                  TcpIoThread *thread);
void tcp_dial_queue_unref (TcpDialQueue *self);
TcpQuota *tcp_dial_queue_get_quota (TcpDialQueue *self);
void tcp_dial_queue_review (TcpDialQueue *self);

void tcp_dial_queue_set_rate (TcpDialQueue *self,
                              TcpDialShare *share,
                              guint         per_second,
                              const char   *property);

void tcp_dial_caller_init (TcpDialCaller *self,
                           TcpDialShare  *share);

TcpDialTicket *tcp_dial_queue_ask (TcpDialQueue      *self,
                                   TcpDialCaller     *caller,
                                   TcpIoThread       *thread,
                                   TcpDialTicketFunc  func,
                                   gpointer           user_data,
                                   gboolean          *granted);
char *tcp_dial_ticket_dup_obstacle (TcpDialTicket   *self,
                                    TcpDialObstacle *which);
void tcp_dial_ticket_return (TcpDialTicket *self);

G_END_DECLS
