/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/bucket.h"
#include "gateway/quota.h"
#include "io/pool.h"

G_BEGIN_DECLS

/* Limits the number of connections to targets that are being opened at once, for all clients together. Those beyond the
 * limit wait, and take turns by principal, and by client of each principal, so that the number of requests of one does
 * not delay another. A principal may have as many as its quota allows, and a client half of that; the number that a
 * principal may begin per second is limited as well. The number that wait is bounded by the connections that clients
 * may have.
 *
 * Safe on all threads. */
typedef struct _TcpDialQueue TcpDialQueue;

/* The share of a principal. */
typedef struct
{
  TcpQuotaShare quota;
  TcpBucket rate; /* under the mutex of the queue: how many may begin */
  const char *rate_property; /* likewise: the property that sets the rate, for messages */
  GQueue callers; /* likewise: of TcpDialCaller, those that wait */
  GList link;     /* among the principals that wait, if it has any callers */
} TcpDialShare;

/* A client. */
typedef struct
{
  TcpDialShare *share;
  guint used;     /* under the mutex of the queue */
  GQueue tickets; /* of TcpDialTicket, those that wait */
  GList link;     /* among the callers that wait, if it has any tickets */
} TcpDialCaller;

/* The right to open one connection, or to wait for that right. */
typedef struct _TcpDialTicket TcpDialTicket;

/* The connection may begin now. Called on the thread of the caller. */
typedef void (*TcpDialTicketFunc) (gpointer user_data);

/* The limit that makes a ticket wait. */
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
