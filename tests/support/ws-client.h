/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* HTTP and WebSocket on a blocking socket, for behaviour that a proper client would not show. */

#define WS_UPGRADE \
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* The header by which a client shows that it knows the close codes of this library. */
#define WS_OURS "Tcp-Tunnel-Protocol: raw\r\n"

#define WS_TEXT 1
#define WS_BINARY 2
#define WS_CLOSE 8
#define WS_PING 9
#define WS_PONG 10

/* Reads the lines up to the empty one. Returns NULL if the connection ends before it. */
char *http_read_head (int fd);
char *http_head_get (const char *head,
                     const char *name);
guint http_head_get_status (const char *head);
/* Sends a GET with these headers (complete lines) and returns the status. The connection stays open and is returned
 * in @fd, unless that is NULL. */
guint http_get (guint16 port,
                const char *target,
                const char *headers,
                char **body,
                int *fd);

char *ws_accept_of (const char *key);

/* Sends an upgrade request, with @token unless that is NULL, and requires 101. */
#define ws_connect(port, target, token) ws_connect_at (G_STRLOC, port, target, token)
int ws_connect_at (const char *where,
                   guint16 port,
                   const char *target,
                   const char *token);
/* The same as a client of this library with the protocol raw. */
#define ws_connect_ours(port, target, token) ws_connect_ours_at (G_STRLOC, port, target, token)
int ws_connect_ours_at (const char *where,
                        guint16 port,
                        const char *target,
                        const char *token);
void ws_send (int fd,
              guint opcode,
              const void *data,
              gsize length);
void ws_send_close (int fd,
                    guint16 code);

/* Receives the next frame that is neither ping nor pong. Returns NULL at the end of the connection. */
GBytes *ws_receive (int fd,
                    guint *opcode);
/* Receives the next frame of any kind, and does not answer a ping. */
GBytes *ws_receive_any (int fd,
                        guint *opcode);

/* Receives binary messages until their payloads together are @text. */
#define ws_expect(fd, text) ws_expect_at (G_STRLOC, fd, text)
void ws_expect_at (const char *where,
                   int fd,
                   const char *text);
/* Discards messages until the close frame and requires this code in it. */
#define ws_expect_close(fd, code) ws_expect_close_at (G_STRLOC, fd, code)
void ws_expect_close_at (const char *where,
                         int fd,
                         guint code);

/* The other end: what a server sends and receives. */
void ws_server_send (int fd,
                     guint opcode,
                     const void *data,
                     gsize length);
GBytes *ws_server_receive (int fd,
                           guint *opcode);

/* Returns one unmasked frame, as a server sends it. */
GBytes *ws_server_frame (guint opcode,
                         const void *data,
                         gsize length);
GBytes *ws_server_close (guint16 code);

G_END_DECLS
