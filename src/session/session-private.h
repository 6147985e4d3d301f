/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/closed-ids.h"
#include "session/session.h"

G_BEGIN_DECLS

struct _TcpSession
{
  grefcount refs;
  const TcpDialect *dialect;
  TcpSessionCallbacks callbacks;
  gpointer user_data;
  gsize max_buffered;
  guint max_streams;
  gboolean reset_on_loss;
  char *peer;
  char *local;
  TcpTunnelError local_code;
  TcpLog *log;
  TcpStatus *status;

  TcpChannel *channel;
  gboolean channel_paused;
  TcpDialectDecoder decoder;

  GHashTable *streams;     /* id → TcpStream, those that the peer knows */
  GHashTable *finishing;   /* set of those that only have to empty their queue */
  gsize queued;            /* bytes that wait for TCP, in all streams */
  GQueue ready;            /* of TcpStream (owned), to be read in turn */
  GSource *pump;
  GQueue unsent;           /* of TcpBuffer, for the next channel */
  gboolean ending;         /* the closing of the channel will say what happened, */
  guint end_code;          /* and if it broke before, that of the next */
  guint32 next_id;
  TcpClosedIds *closed_ids;
};

void tcp_session_pump (TcpSession *self);
void tcp_session_update_pause (TcpSession *self);
void tcp_session_finish_stream (TcpSession *self,
                                TcpStream  *stream,
                                gboolean    complete);
void tcp_session_handle_message (TcpSession   *self,
                                 const guint8 *data,
                                 gsize         length,
                                 gboolean      first,
                                 gboolean      last);

G_END_DECLS
