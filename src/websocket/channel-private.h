/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "io/reactor.h"
#include "websocket/channel.h"
#include "websocket/control.h"
#include "websocket/frame-queue.h"
#include "websocket/frame-reader.h"
#include "websocket/keepalive.h"
#include "websocket/turn.h"

G_BEGIN_DECLS

/* How long the output may make no progress while the channel is being closed, in microseconds. */
#define TCP_CHANNEL_CLOSE_TIMEOUT (5 * G_TIME_SPAN_SECOND)

typedef enum
{
  TCP_CHANNEL_OPEN,
  TCP_CHANNEL_CLOSING, /* tcp_channel_close () was called, or the peer closed */
  TCP_CHANNEL_CLOSED,  /* only references are left */
} TcpChannelPhase;

struct _TcpChannel
{
  grefcount refs;
  TcpChannelCallbacks callbacks;
  gpointer user_data;
  gboolean client;
  gboolean plain;
  TcpLog *log;
  TcpStatus *status;
  TcpStatus *counter; /* counts the channel; nullable */
  TcpChannelGroup *group;

  GIOStream *stream;
  TcpBufferedConnection *buffered; /* below the stream, if that is TLS */
  GSocket *socket;
  TcpWatch *watch; /* of the socket */
  GIOCondition interest;
  TcpControl *control;
  TcpKeepalive keepalive;
  TcpPathGauge path;

  /* input */
  TcpFrameReader reader;
  TcpTimer *wakeup; /* set when there is work that no event will trigger; NULL once nothing is read any more */
  gboolean paused;
  TcpTurn turn;
  gboolean turn_over;   /* frames wait in the reader for the next turn */
  gint64 next_turn;     /* the time of that turn; 0 for as soon as other channels had theirs */
  gboolean starved;     /* there is no memory for the message that was received in part */
  TcpBudgetShare share;
  guint message_timeout;
  TcpTimer *patience;   /* set to check whether there is room for such a message, and whether it, or a large one, should
                         * be complete by now */
  gint64 incomplete_since; /* when that message began; 0 if there is none */
  gboolean is_text;     /* the message that is being received is a text message */
  gboolean ignore_data; /* the peer has closed, or violated the protocol */
  gboolean ended;       /* the connection has ended: nothing follows the data in the reader */
  GError *end_error;    /* NULL if it ended in order */

  /* output */
  TcpFrameQueue queue;
  gboolean watched; /* the user waits until it can send, or until data was sent */
  gboolean output_failed;
  gboolean held;    /* nothing is written */
  gint64 last_progress; /* monotonic, in microseconds */

  /* closing */
  TcpChannelPhase phase;
  gboolean reported;
  guint close_code; /* our code, until the queue is empty; 0 if none */
  char *close_reason;
  gboolean close_stream; /* libsoup requires the stream to be closed */
  TcpTimer *deadline;
  GError *error;
};

G_END_DECLS
