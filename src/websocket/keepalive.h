/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "io/reactor.h"
#include "websocket/frame.h"

G_BEGIN_DECLS

/* Sends pings, and derives from the answers whether the peer is alive, how long the round trip is, and how much of the
 * data sent has arrived. */

typedef struct
{
  void (*send) (TcpFrameOpcode opcode,
                gconstpointer  payload,
                gsize          length,
                gpointer       user_data);
  /* Whether data that was read from the socket is not handled yet. */
  gboolean (*is_behind) (gpointer user_data);
  void (*dead) (const GError *error,
                gpointer      user_data);
} TcpKeepaliveCallbacks;

/* Times are in monotonic microseconds. */
typedef struct
{
  const TcpKeepaliveCallbacks *callbacks;
  gpointer user_data;
  GSocket *socket; /* not owned */
  TcpTimer *timer; /* NULL once stopped */
  gboolean paused; /* frames of the peer are not read */
  gint64 interval;
  gint64 timeout;
  gint64 next_ping;
  gint64 next_due;  /* when the timer expires */
  gint64 ping_time; /* of the current ping, 0 if none */
  guint64 ping_sent;
  gint64 asked;    /* signs of life count from here on */
  gint64 deadline; /* until then; 0 if there is none */
  gint64 probe;    /* how long to wait for an answer at a time, 0 if any sign of life suffices */
  gint64 last_received;
  guint64 sent;             /* payload bytes of messages */
  guint64 confirmed;        /* the number of them that are known to have arrived */
  gint64 unconfirmed_since; /* the first message after the last ping, 0 if none */
  gint64 round_trip;        /* the shortest, -1 if none is known */
  gint64 last_round_trip;   /* of the last ping that was answered */
} TcpKeepalive;

void tcp_keepalive_start (TcpKeepalive                *self,
                          GSocket                     *socket,
                          guint                        interval,
                          guint                        timeout,
                          gboolean                     brief,
                          const TcpKeepaliveCallbacks *callbacks,
                          gpointer                     user_data);
void tcp_keepalive_defer (TcpKeepalive *self);
void tcp_keepalive_stop (TcpKeepalive *self);
void tcp_keepalive_received (TcpKeepalive *self);
void tcp_keepalive_sent (TcpKeepalive *self,
                         guint64       sent);
void tcp_keepalive_pause (TcpKeepalive *self);
void tcp_keepalive_resume (TcpKeepalive *self);
gboolean tcp_keepalive_pong (TcpKeepalive *self,
                             const guint8 *payload,
                             gsize         length);
void tcp_keepalive_probe (TcpKeepalive *self,
                          guint         timeout);

G_END_DECLS
