/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* One end of resumable/1 that is operated by the test, for behaviour that a proper end would not show: the client of
 * a gateway, or the server of a tunnel. It neither resends nor acknowledges anything; it only counts frames. */

#define RESUMABLE_HEADER "Tcp-Tunnel-Protocol"
#define RESUMABLE_NAME "resumable/1"

typedef enum
{
  RESUMABLE_OPEN = 0x01,
  RESUMABLE_OPENED = 0x02,
  RESUMABLE_DATA = 0x03,
  RESUMABLE_FIN = 0x04,
  RESUMABLE_RESET = 0x05,
  RESUMABLE_WINDOW = 0x06,
  RESUMABLE_HELLO = 0x10,
  RESUMABLE_ACK = 0x11,
  RESUMABLE_GOAWAY = 0x14,
  RESUMABLE_LISTEN = 0x40,
  RESUMABLE_LISTENING = 0x41,
  RESUMABLE_UNLISTEN = 0x42,
} ResumableType;

typedef enum
{
  RESUMABLE_RESET_BROKEN = 1,
  RESUMABLE_RESET_REFUSED = 2,
  RESUMABLE_RESET_UNREACHABLE = 3,
  RESUMABLE_RESET_TIMED_OUT = 4,
  RESUMABLE_RESET_FORBIDDEN = 5,
  RESUMABLE_RESET_LIMIT = 6,
  RESUMABLE_RESET_FLOW_CONTROL = 7,
  RESUMABLE_RESET_CLOSED = 8,
  RESUMABLE_RESET_DRAINING = 9,
  RESUMABLE_RESET_IN_USE = 10,
} ResumableReset;

typedef enum
{
  RESUMABLE_GOAWAY_DONE = 0,
  RESUMABLE_GOAWAY_DRAINING = 1,
  RESUMABLE_GOAWAY_UNAUTHORISED = 2,
  RESUMABLE_GOAWAY_PROTOCOL = 3,
  RESUMABLE_GOAWAY_RENEW = 4,
  RESUMABLE_GOAWAY_RESTARTING = 5,
} ResumableGoaway;

/* Flags of HELLO. */
#define RESUMABLE_MANY 1
#define RESUMABLE_LISTENERS 2

typedef struct
{
  guint16 version;
  guint16 flags;
  guint64 instance;
  guint64 received;
  guint32 window;
  guint32 max_payload;
  guint32 max_streams;
  guint32 session_timeout;
  guint32 reserved;
  guint n_later; /* the number of bytes to append, as a later version of the protocol may; only used for sending */
} ResumableHello;

typedef struct
{
  guint8 type;
  guint32 id;
  const guint8 *payload; /* valid until the next frame is received */
  gsize length;
} ResumableFrame;

typedef struct
{
  gboolean server; /* which end this is */
  guint16 port;    /* the gateway's, or its own */
  int listen_fd;
  int fd;          /* of the WebSocket; -1 for none */
  char *query;     /* of the client's request */
  char *token;     /* and its token */
  const char *headers; /* further lines of a server's answer; nullable */
  gboolean deaf;   /* a client that answers no pings */
  GBytes *message; /* the last one received */

  ResumableHello hello; /* the HELLO to send; its field received is filled in */
  ResumableHello heard; /* the last HELLO of the other end */
  guint64 taken;        /* the number of sequenced frames received */
  guint64 sent;         /* the number of sequenced frames sent */
  guint64 confirmed;    /* the number of these that the other end has acknowledged */
  guint16 close_code;   /* of the close frame received; 0 for none */
} ResumablePeer;

/* A client with a new session and no WebSocket; and one that has sent its HELLO. */
ResumablePeer *resumable_client_new (guint16 port,
                                     const char *token,
                                     gboolean multiplexed);
ResumablePeer *resumable_client_start (guint16 port,
                                       const char *token,
                                       gboolean multiplexed);
/* Opens a WebSocket and reads the gateway's HELLO. The caller has to send its own next. */
#define resumable_client_connect(peer) resumable_client_connect_at (G_STRLOC, peer)
void resumable_client_connect_at (const char *where,
                                  ResumablePeer *peer);
/* The same without requiring success; returns the status of the answer. */
guint resumable_client_try (ResumablePeer *peer,
                            char **body);

/* A server that listens. The instance in its HELLO is 1. */
ResumablePeer *resumable_server_new (void);
char *resumable_server_get_uri (ResumablePeer *peer);
/* Answers the next request with 101. The HELLOs have to follow. */
#define resumable_server_accept(peer) resumable_server_accept_at (G_STRLOC, peer)
void resumable_server_accept_at (const char *where,
                                 ResumablePeer *peer);
/* The same, and exchanges the HELLOs. */
void resumable_server_welcome (ResumablePeer *peer);

void resumable_peer_free (ResumablePeer *peer);
/* End the WebSocket without a closing handshake: with a reset, or in order. */
void resumable_reset (ResumablePeer *peer);
void resumable_drop (ResumablePeer *peer);

/* Sends the peer's own HELLO, with the count of received frames filled in; below, any other HELLO. */
void resumable_say_hello (ResumablePeer *peer);
void resumable_send_later (ResumablePeer *peer);
void resumable_send_hello (ResumablePeer *peer,
                           const ResumableHello *hello);
#define resumable_hear_hello(peer) resumable_hear_hello_at (G_STRLOC, peer)
void resumable_hear_hello_at (const char *where,
                              ResumablePeer *peer);

/* Send any message; any frame; and frames with a simple payload. */
void resumable_send_message (ResumablePeer *peer,
                             const void *message,
                             gsize length);
void resumable_send (ResumablePeer *peer,
                     guint8 type,
                     guint32 id,
                     const void *payload,
                     gsize length);
void resumable_send_text (ResumablePeer *peer,
                          guint8 type,
                          guint32 id,
                          const char *payload);
void resumable_send_window (ResumablePeer *peer,
                            guint32 id,
                            guint32 bytes);
void resumable_send_code (ResumablePeer *peer,
                          guint8 type,
                          guint32 id,
                          guint32 code,
                          const char *reason);
void resumable_send_port (ResumablePeer *peer,
                          guint8 type,
                          guint32 id,
                          guint16 port,
                          const char *text);
void resumable_send_ack (ResumablePeer *peer,
                         guint64 received);
/* Sends @size bytes of test_fill (@seed) from @offset on in one frame. */
void resumable_send_stream (ResumablePeer *peer,
                            guint32 id,
                            gsize size,
                            guint32 seed,
                            guint64 offset);

/* Receives the next frame of any type. Returns FALSE at the end of the WebSocket. */
gboolean resumable_receive (ResumablePeer *peer,
                            ResumableFrame *frame);
/* Receives the next frame that is neither ACK nor WINDOW, and requires it to be of this type and stream. */
#define resumable_expect(peer, type, id) resumable_expect_at (G_STRLOC, peer, type, id)
ResumableFrame resumable_expect_at (const char *where,
                                    ResumablePeer *peer,
                                    guint8 type,
                                    guint32 id);
#define resumable_expect_data(peer, id, text) resumable_expect_data_at (G_STRLOC, peer, id, text)
void resumable_expect_data_at (const char *where,
                               ResumablePeer *peer,
                               guint32 id,
                               const char *text);
#define resumable_expect_reset(peer, id, code) resumable_expect_reset_at (G_STRLOC, peer, id, code)
void resumable_expect_reset_at (const char *where,
                                ResumablePeer *peer,
                                guint32 id,
                                guint32 code);
/* Discards frames until a GOAWAY, requires this code, then requires the WebSocket to be closed. */
#define resumable_expect_goaway(peer, code, close_code) resumable_expect_goaway_at (G_STRLOC, peer, code, close_code)
void resumable_expect_goaway_at (const char *where,
                                 ResumablePeer *peer,
                                 guint32 code,
                                 guint16 close_code);
/* Waits until all that was sent is acknowledged. */
#define resumable_expect_confirmed(peer) resumable_expect_confirmed_at (G_STRLOC, peer)
void resumable_expect_confirmed_at (const char *where,
                                    ResumablePeer *peer);
/* Opens a stream to the gateway's target; and sends a text that an echo returns on it. */
#define resumable_open(peer, id) resumable_open_at (G_STRLOC, peer, id)
void resumable_open_at (const char *where,
                        ResumablePeer *peer,
                        guint32 id);
#define resumable_round_trip(peer, id, text) resumable_round_trip_at (G_STRLOC, peer, id, text)
void resumable_round_trip_at (const char *where,
                              ResumablePeer *peer,
                              guint32 id,
                              const char *text);
guint32 resumable_get_u32 (const ResumableFrame *frame);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ResumablePeer, resumable_peer_free)

G_END_DECLS
