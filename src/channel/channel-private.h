/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel/channel.h"
#include "channel/control.h"
#include "channel/frame.h"
#include "io/reactor.h"

G_BEGIN_DECLS

#define TCP_CHANNEL_INPUT_SIZE (TCP_CHANNEL_MAX_WHOLE + TCP_FRAME_MAX_HEADER)

typedef enum
{
  TCP_CHANNEL_OPEN,
  TCP_CHANNEL_CLOSING, /* tcp_channel_close() was called, or the peer closed */
  TCP_CHANNEL_CLOSED,  /* nothing is left but the reference of somebody */
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
  TcpChannelGroup *group;

  GIOStream *stream;
  GPollableInputStream *input;
  GPollableOutputStream *output;
  GSocket *socket;
  TcpWatch *watch; /* of the socket */
  GIOCondition interest;
  GObject *owner;
  TcpControl *control;

  /* Input */
  guint8 *buffer;
  gsize start;
  gsize end;
  TcpTimer *wakeup; /* ready when buffered input or a failure is to be seen to */
  gboolean paused;
  gboolean turn_over;   /* frames wait in the buffer for the next turn */
  gboolean ignore_data; /* the peer has closed, or broke the rules */
  gboolean in_message;  /* the last data frame was not final */
  guint64 frame_left;   /* of a frame too large to wait for */
  gboolean frame_final;
  guint32 frame_mask;
  gint64 last_received; /* monotonic, microseconds */

  /* Output */
  GQueue queue; /* of TcpBuffer */
  gsize pending;
  guint controls; /* how many in the queue are control frames */
  gboolean full; /* tcp_channel_can_send() was false: somebody waits */
  gboolean output_failed;
  gint64 last_progress;
  guint64 sent; /* payload bytes that the kernel took */

  /* Closing */
  TcpChannelPhase phase;
  gboolean reported;
  guint close_code; /* ours, waiting for the queue to empty; 0 if none */
  char *close_reason;
  gboolean close_queued;
  gboolean close_stream; /* libsoup wants the stream closed */
  TcpTimer *deadline;
  GError *error;

  /* Keep-alive; times are monotonic microseconds */
  TcpTimer *keepalive;
  gint64 interval;
  gint64 timeout;
  gint64 next_ping;
  gint64 next_due; /* when the source fires */
  gint64 ping_time; /* of the ping under way, 0 if none */
  guint64 ping_sent;
  gint64 asked;   /* signs of life count from here on, */
  gint64 verdict; /* until then; 0 if none is to be given */
  gint64 unconfirmed_since; /* the first data after the last ping, 0 if none */
  guint64 confirmed;

  /* The path; times as above */
  gint64 round_trip;     /* as pongs tell, */
  gint64 tcp_round_trip; /* and as the kernel does, 0 if it does not */
  gint64 next_look;
  guint32 reordered; /* packets that came out of order, as others were lost */
  gint64 losing_until;
};

void tcp_channel_set_interest (TcpChannel   *self,
                               GIOCondition  condition,
                               gboolean      wanted);
void tcp_channel_input_init (TcpChannel *self);
void tcp_channel_input_ready (TcpChannel *self);
void tcp_channel_input_stop (TcpChannel *self);
void tcp_channel_output_ready (TcpChannel *self);
void tcp_channel_output_stop (TcpChannel *self);
void tcp_channel_send_control (TcpChannel    *self,
                               TcpFrameOpcode opcode,
                               gconstpointer  data,
                               gsize          length);
void tcp_channel_queue_control (TcpChannel   *self,
                                gconstpointer frame,
                                gsize         length);
void tcp_channel_flushed (TcpChannel *self);
void tcp_channel_start_deadline (TcpChannel *self);
void tcp_channel_peer_closed (TcpChannel *self,
                              guint       code,
                              const char *reason);
void tcp_channel_protocol_error (TcpChannel   *self,
                                 const GError *error);
void tcp_channel_keepalive_start (TcpChannel *self,
                                  guint       interval,
                                  guint       timeout);
void tcp_channel_keepalive_pong (TcpChannel   *self,
                                 const guint8 *payload,
                                 gsize         length);
void tcp_channel_keepalive_sent (TcpChannel *self);
void tcp_channel_keepalive_paused (TcpChannel *self);

G_END_DECLS
