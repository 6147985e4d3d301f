/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A blocking TCP client on 127.0.0.1. Every function has a deadline. A failure ends the test and names the line of
 * the caller. */

#define client_connect(port) client_connect_at (G_STRLOC, port)
#define client_write(fd, data, length) client_write_at (G_STRLOC, fd, data, length)
#define client_read(fd, data, length) client_read_at (G_STRLOC, fd, data, length)
#define client_expect_eof(fd) client_expect_eof_at (G_STRLOC, fd)
#define client_expect_reset(fd) client_expect_reset_at (G_STRLOC, fd)
#define client_expect_end(fd) client_expect_end_at (G_STRLOC, fd)
#define client_round_trip(fd, text) client_round_trip_at (G_STRLOC, fd, text)
#define client_send_stream(fd, size, seed, offset) client_send_stream_at (G_STRLOC, fd, size, seed, offset)
#define client_read_stream(fd, size, seed, offset) client_read_stream_at (G_STRLOC, fd, size, seed, offset)
#define client_pass_stream(from, to, size, seed, offset) client_pass_stream_at (G_STRLOC, from, to, size, seed, offset)
#define client_echo_stream(fd, size, seed) client_echo_stream_at (G_STRLOC, fd, size, seed)

int client_connect_at (const char *where,
                       guint16 port);
/* Returns 0, or the errno; @fd is then -1. */
int client_try_connect (guint16 port,
                        int *fd);

void client_write_at (const char *where,
                      int fd,
                      const void *data,
                      gsize length);
void client_read_at (const char *where,
                     int fd,
                     void *data,
                     gsize length);
void client_round_trip_at (const char *where,
                           int fd,
                           const char *text);

/* Discard what still arrives, and require an orderly end, a reset, or either of them. */
void client_expect_eof_at (const char *where,
                           int fd);
void client_expect_reset_at (const char *where,
                             int fd);
void client_expect_end_at (const char *where,
                           int fd);
/* Returns TRUE if the other end has sent a FIN or a reset. Does not wait, and reads nothing. */
gboolean client_has_ended (int fd);

/* Write or read the bytes of test_fill (@seed) from @offset on. */
void client_send_stream_at (const char *where,
                            int fd,
                            guint64 size,
                            guint32 seed,
                            guint64 offset);
void client_read_stream_at (const char *where,
                            int fd,
                            guint64 size,
                            guint32 seed,
                            guint64 offset);
/* Writes to @from and reads from @to at the same time. */
void client_pass_stream_at (const char *where,
                            int from,
                            int to,
                            guint64 size,
                            guint32 seed,
                            guint64 offset);
/* The same with an echo at the other end. */
void client_echo_stream_at (const char *where,
                            int fd,
                            guint64 size,
                            guint32 seed);

/* Writes until the socket accepts nothing for @quiet_ms, or @limit bytes are written. Returns the number of bytes
 * written. */
guint64 client_blast (int fd,
                      guint64 limit,
                      guint quiet_ms);

/* The same with the bytes of @data. */
gsize client_push (int fd,
                   const void *data,
                   gsize length,
                   guint quiet_ms);

void client_set_receive_buffer (int fd,
                                int size);
void client_finish (int fd);
void client_close (int fd);
void client_reset (int fd);

G_END_DECLS
