/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include "base/buffer.h"

G_BEGIN_DECLS

/* The frames of resumable/1, as described in docs/resumable.md. Without I/O. */

#define TCP_RESUMABLE_NAME "resumable/1"
#define TCP_RESUMABLE_HEADER "Tcp-Tunnel-Protocol"
#define TCP_RESUMABLE_VERSION 1

/* With this header a load balancer finds the gateway that has the session. */
#define TCP_RESUMABLE_ROUTE_HEADER "Tcp-Tunnel-Route"
#define TCP_RESUMABLE_MAX_ROUTE 128

#define TCP_RESUMABLE_HEADER_SIZE 8
#define TCP_RESUMABLE_HELLO_SIZE 40
#define TCP_RESUMABLE_MAX_HELLO_SIZE 512
#define TCP_RESUMABLE_MAX_TEXT 512
#define TCP_RESUMABLE_MAX_PAYLOAD (64 * 1024)

/* The limits on what a peer may request: the size of frames, in bytes, and a timeout, in seconds. */
#define TCP_RESUMABLE_MIN_PAYLOAD 1024
#define TCP_RESUMABLE_MAX_TIMEOUT (24 * 60 * 60)

#define TCP_RESUMABLE_MAX_CREDIT G_MAXINT32

typedef enum
{
  TCP_RESUMABLE_OPEN = 0x01,
  TCP_RESUMABLE_OPENED = 0x02,
  TCP_RESUMABLE_DATA = 0x03,
  TCP_RESUMABLE_FIN = 0x04,
  TCP_RESUMABLE_RESET = 0x05,
  TCP_RESUMABLE_WINDOW = 0x06,
  TCP_RESUMABLE_HELLO = 0x10,
  TCP_RESUMABLE_ACK = 0x11,
  TCP_RESUMABLE_GOAWAY = 0x14,
  TCP_RESUMABLE_LISTEN = 0x40,
  TCP_RESUMABLE_LISTENING = 0x41,
  TCP_RESUMABLE_UNLISTEN = 0x42,
  /* The range of types that later versions may send to an end that does not know them. */
  TCP_RESUMABLE_LATER_SEQUENCED = 0x43,
  TCP_RESUMABLE_LATER_UNSEQUENCED = 0x60,
  TCP_RESUMABLE_LATER_END = 0x80,
} TcpResumableType;

typedef enum
{
  TCP_GOAWAY_DONE,
  TCP_GOAWAY_DRAINING,
  TCP_GOAWAY_UNAUTHORIZED,
  TCP_GOAWAY_PROTOCOL_ERROR,
  TCP_GOAWAY_RENEW,
  TCP_GOAWAY_RESTARTING,
} TcpGoawayCode;

typedef struct
{
  TcpResumableType type;
  guint32 id;
  const guint8 *payload; /* of DATA the bytes; otherwise text: of OPEN the target, of LISTEN the name, of LISTENING the
                          * host, or a reason */
  gsize length;
  guint64 number; /* WINDOW: credit; ACK: received; LISTEN, LISTENING: port; otherwise a code */
} TcpResumableFrame;

/* Capabilities, as flags of HELLO. */
typedef enum
{
  TCP_RESUMABLE_MANY = 1 << 0, /* many streams in a session that was requested for one */
  TCP_RESUMABLE_LISTENERS = 1 << 1, /* the gateway listens for the client */
} TcpResumableFlags;

typedef struct
{
  guint flags; /* of TcpResumableFlags, and those of later versions */
  guint64 instance;
  guint64 received;
  guint32 window;
  guint32 max_payload;
  guint32 max_streams;
  guint32 session_timeout; /* in s */
} TcpResumableHello;

gboolean tcp_resumable_decode (const guint8       *data,
                               gsize               length,
                               TcpResumableFrame  *frame,
                               GError            **error);
gboolean tcp_resumable_decode_hello (const TcpResumableFrame  *frame,
                                     TcpResumableHello        *hello,
                                     GError                  **error);
void tcp_resumable_push_header (TcpBuffer        *buffer,
                                TcpResumableType  type,
                                guint32           id);
TcpBuffer *tcp_resumable_encode (TcpResumableType  type,
                                 guint32           id,
                                 gconstpointer     payload,
                                 gsize             length);
TcpBuffer *tcp_resumable_encode_text (TcpResumableType  type,
                                      guint32           id,
                                      guint32           code,
                                      const char       *text);
TcpBuffer *tcp_resumable_encode_port (TcpResumableType  type,
                                      guint32           id,
                                      guint16           port,
                                      const char       *text);
TcpBuffer *tcp_resumable_encode_arrival (guint32     id,
                                         guint32     listener,
                                         const char *client);
gboolean tcp_resumable_decode_arrival (const TcpResumableFrame  *frame,
                                       guint32                  *listener,
                                       char                    **client,
                                       GError                  **error);
TcpBuffer *tcp_resumable_encode_window (guint32 id,
                                        guint32 credit);
TcpBuffer *tcp_resumable_encode_ack (guint64 received);
TcpBuffer *tcp_resumable_encode_hello (const TcpResumableHello *hello);
gboolean tcp_resumable_refuse_frame (GError     **error,
                                     const char  *format,
                                     ...) G_GNUC_PRINTF (2, 3);
gboolean tcp_resumable_is_offered (const char *header);
gboolean tcp_resumable_route_is_valid (const char *route);

G_END_DECLS
