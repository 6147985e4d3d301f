/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include <tcptunnel/tcptunnel.h>
#include "base/buffer.h"
#include "protocol/protocol.h"
#include "io/rate.h"
#include "io/record.h"

G_BEGIN_DECLS

/* One TCP connection of a session. The stream has the socket and the data that waits for it; the session decides when
 * to read, and where the data goes.
 *
 *     attach ──▶ readable/read ... write ... ──▶ finish or reset ──▶ closed */
typedef struct _TcpStream TcpStream;

/* The number of buffers for one read. */
#define TCP_STREAM_MAX_BUFFERS 8

typedef struct
{
  /* There is something to read, or the end. Called once: again after tcp_stream_watch (). */
  void (*readable) (TcpStream *stream,
                    gpointer   user_data);
  /* Bytes that waited were sent to the socket. */
  void (*flushed) (TcpStream *stream,
                   gpointer   user_data);
  /* The last callback: nothing waits any more, or it can never be sent. */
  void (*closed) (TcpStream    *stream,
                  const GError *error,
                  gpointer      user_data);
} TcpStreamCallbacks;

/* How a connection ends after the data that waits for it. */
typedef enum
{
  TCP_FINISH_IN_ORDER,
  TCP_FINISH_RESET,      /* the peer might miss some data */
  TCP_FINISH_UNANSWERED, /* likewise, and that data would be an answer: an error, if the peer still reads */
} TcpFinish;

TcpStream *tcp_stream_new (gsize                    *total,
                           const TcpStreamCallbacks *callbacks,
                           gpointer                  user_data);
TcpStream *tcp_stream_ref (TcpStream *self);
void tcp_stream_unref (TcpStream *self);
void tcp_stream_set_rates (TcpStream   *self,
                           TcpRateLane *input,
                           TcpRateLane *output);
void tcp_stream_set_protocol (TcpStream         *self,
                              TcpProtocolStream *protocol);
TcpProtocolStream *tcp_stream_get_protocol (TcpStream *self);
void tcp_stream_set_serial (TcpStream *self,
                            guint64    serial);
guint64 tcp_stream_get_serial (TcpStream *self);
void tcp_stream_set_record (TcpStream *self,
                            TcpRecord *record);
TcpRecord *tcp_stream_get_record (TcpStream *self);
void tcp_stream_set_target (TcpStream  *self,
                            const char *target);
const char *tcp_stream_get_target (TcpStream *self);
void tcp_stream_set_opener (TcpStream *self,
                            gpointer   opener);
gpointer tcp_stream_get_opener (TcpStream *self);
void tcp_stream_set_connected (TcpStream *self);
gboolean tcp_stream_is_connected (TcpStream *self);
void tcp_stream_set_peer_code (TcpStream *self,
                               guint      code);
guint tcp_stream_get_peer_code (TcpStream *self);
void tcp_stream_set_accepted (TcpStream *self);
gboolean tcp_stream_is_accepted (TcpStream *self);
void tcp_stream_set_total (TcpStream *self,
                           gsize     *total);
void tcp_stream_set_counted (TcpStream *self);
gboolean tcp_stream_is_counted (TcpStream *self);
gsize tcp_stream_get_queued (TcpStream *self);
gboolean tcp_stream_is_attached (TcpStream *self);
GSocketConnection *tcp_stream_get_connection (TcpStream *self);
int tcp_stream_get_descriptor (TcpStream *self);
void tcp_stream_attach (TcpStream         *self,
                        GSocketConnection *connection);
gboolean tcp_stream_peer_has_left (TcpStream *self);
void tcp_stream_watch (TcpStream *self);
gboolean tcp_stream_has_plenty (TcpStream *self);
gssize tcp_stream_read (TcpStream  *self,
                        TcpBuffer **buffers,
                        guint       n_buffers,
                        GError    **error);
gboolean tcp_stream_gather (TcpStream    *self,
                            const guint8 *data,
                            gsize         length);
void tcp_stream_write_gathered (TcpStream *self);
void tcp_stream_write (TcpStream    *self,
                       const guint8 *data,
                       gsize         length);
void tcp_stream_end (TcpStream *self);
void tcp_stream_finish (TcpStream *self,
                        TcpFinish  how);
void tcp_stream_reset (TcpStream    *self,
                       const GError *error);
void tcp_stream_mark_left (TcpStream *self);
gboolean tcp_stream_has_ended (TcpStream *self);
gboolean tcp_stream_output_has_ended (TcpStream *self);

/* Saving, for another process, which inherits the socket. */
#define TCP_STREAM_STATE_TYPE "(tumsxxtttituay)"

GVariant *tcp_stream_save (TcpStream *self);
const char *tcp_stream_check_state (GVariant *state);
guint32 tcp_stream_state_get_id (GVariant *state,
                                 gsize    *queued);
int tcp_stream_state_get_socket (GVariant *state,
                                 guint64  *inode);
void tcp_stream_restore (TcpStream *self,
                         GVariant  *state);
void tcp_stream_restore_record (TcpStream *self,
                                TcpRecord *record);

TcpTunnelLogLevel tcp_stream_get_severity (TcpStream    *self,
                                           const GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpStream, tcp_stream_unref)

G_END_DECLS
