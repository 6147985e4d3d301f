/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* HTTP and WebSocket by hand on a blocking socket, for what no proper client would do. */

#define WS_UPGRADE \
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* By which a client shows that it knows the close codes of this library. */
#define WS_OURS "Tcp-Tunnel-Protocol: raw\r\n"

#define WS_TEXT 1
#define WS_BINARY 2
#define WS_CLOSE 8
#define WS_PING 9
#define WS_PONG 10

/* The lines up to the empty one; NULL if the connection ended before. */
char *http_read_head (int fd);
char *http_head_get (const char *head,
                     const char *name);
guint http_head_get_status (const char *head);
/* A GET with these headers (complete lines); returns the status and keeps the connection open
 * in @fd if that is asked for. */
guint http_get (guint16 port,
                const char *target,
                const char *headers,
                char **body,
                int *fd);

char *ws_accept_of (const char *key);

/* Upgrades and wants a 101; @token NULL = none. */
#define ws_connect(port, target, token) ws_connect_at (G_STRLOC, port, target, token)
int ws_connect_at (const char *where,
                   guint16 port,
                   const char *target,
                   const char *token);
/* The same as a client of this library in raw. */
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

/* The next frame that is neither ping nor pong; NULL when the connection ended. */
GBytes *ws_receive (int fd,
                    guint *opcode);
/* The next frame whatever it is; a ping is not answered. */
GBytes *ws_receive_any (int fd,
                        guint *opcode);

/* Binary messages until their payloads give @text. */
#define ws_expect(fd, text) ws_expect_at (G_STRLOC, fd, text)
void ws_expect_at (const char *where,
                   int fd,
                   const char *text);
/* Drops messages until the close and wants this code in it. */
#define ws_expect_close(fd, code) ws_expect_close_at (G_STRLOC, fd, code)
void ws_expect_close_at (const char *where,
                         int fd,
                         guint code);

/* The other side: what a server sends and receives. */
void ws_server_send (int fd,
                     guint opcode,
                     const void *data,
                     gsize length);
GBytes *ws_server_receive (int fd,
                           guint *opcode);

/* One unmasked frame, as a server sends it. */
GBytes *ws_server_frame (guint opcode,
                         const void *data,
                         gsize length);
GBytes *ws_server_close (guint16 code);

G_END_DECLS
