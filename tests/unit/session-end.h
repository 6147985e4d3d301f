/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "channel-end.h"
#include "session/session-private.h"

G_BEGIN_DECLS

/* A session, and what its callbacks have reported. */
typedef struct
{
  TcpSession *session;
  TcpStatus *status;
  TcpChannelGroup *group;
  gboolean client;
  int buffer;
  gboolean is_unix;
  GPtrArray *opened; /* of TcpStream: the streams that the peer opened */
  GPtrArray *peers;  /* of RawEnd: the far ends of their connections */
  guint streams_closed;
  GError *stream_error; /* of the stream that closed last */
  guint channels_closed;
  GError *channel_error;
} SessionEnd;

typedef struct
{
  const TcpProtocolClass *protocol;
  gboolean client;
  gboolean accepts; /* the peer may open connections */
  guint max_buffered_bytes;
  guint max_streams;
  gboolean reset_on_loss;
  int buffer;       /* of the TCP connections, see loopback_pair () */
  gboolean is_unix; /* the WebSocket is on Unix sockets: no segment of many tiny messages is dropped and sent again */
  TcpBudget *budget;
} SessionEndOptions;

SessionEnd *session_end_new (const SessionEndOptions *options);
void session_end_free (SessionEnd *end);
/* Attaches a channel to the session, and returns the channel's other end. */
RawEnd *session_end_connect (SessionEnd *end);
void session_end_attach (SessionEnd *end,
                         int         fd);
/* Opens a connection from this end, and returns the connection's far end. */
RawEnd *session_end_open (SessionEnd *end,
                          TcpStream **stream);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SessionEnd, session_end_free)

G_END_DECLS
