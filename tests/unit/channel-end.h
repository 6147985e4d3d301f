/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "websocket/channel-private.h"

G_BEGIN_DECLS

/* For g_test_init (): without what libsoup says for debugging, which need not even be
 * UTF-8, as TAP has to be. */
void unit_test_init (int    *argc,
                     char ***argv);

/* Two connected sockets on loopback, with kernel buffers of about @buffer bytes if that
 * is not 0. */
void loopback_pair (int fds[2],
                    int buffer);
void unix_pair (int fds[2],
                int buffer);
GSocketConnection *loopback_connection (int fd);
/* Until the end that the other side has sent is there, and so all that came before. */
void wait_for_hang_up (int fd);

typedef struct
{
  guint interval;
  guint timeout;
  TcpStatus *status;
  gboolean brief;
  gboolean as_tls; /* read as TLS is, again and again until nothing is there */
  TcpBudget *budget;
  guint message_timeout;
} ChannelEndOptions;

/* Takes @fd. @options may be NULL. */
TcpChannel *loopback_channel (int                      fd,
                              gboolean                 client,
                              const ChannelEndOptions *options,
                              TcpChannelGroup         *group);
/* Waits until no channel is left. */
void wait_for_group (TcpChannelGroup *group);

/* A channel on its end of a connection, without the handshake, and what it has said. */
typedef struct
{
  TcpChannel *channel;
  TcpChannelGroup *group;
  GPtrArray *messages; /* of GByteArray */
  GArray *pieces;      /* of gsize: how long each piece was */
  gboolean in_message;
  gboolean pauses; /* after each piece */
  guint drained;
  guint closed;
  guint code;
  char *reason;
  GError *error;
} ChannelEnd;

/* Takes @fd. The channel is resumed. */
ChannelEnd *channel_end_new (int                      fd,
                             gboolean                 client,
                             const ChannelEndOptions *options);
/* Waits until nothing is left of the channel. */
void channel_end_free (ChannelEnd *end);
/* The bytes of test_fill (). */
void channel_end_send (ChannelEnd *end,
                       guint32     seed,
                       gsize       length);
TcpBuffer *channel_end_make_message (guint32 seed,
                                     gsize   length);
/* Makes the keep-alive's time come, and waits until it was there. Where it goes next
 * lies ahead, or it would be back at once, again and again. */
void channel_end_keep_alive (ChannelEnd *end);

/* The other end, by hand. */
typedef struct
{
  int fd;
  GByteArray *in;
  gboolean eof;   /* it ended, */
  gboolean reset; /* and not in order */
} RawEnd;

RawEnd *raw_end_new (int fd);
void raw_end_free (RawEnd *raw);
/* Writes all of it, and lets the main context run meanwhile if need be. */
void raw_end_write (RawEnd       *raw,
                    gconstpointer data,
                    gsize         length);
/* @first is the first byte of the header, with FIN and the opcode. */
void append_frame (GByteArray   *wire,
                   guint8        first,
                   gboolean      masked,
                   gconstpointer data,
                   gsize         length);
void raw_end_send (RawEnd       *raw,
                   guint8        first,
                   gboolean      masked,
                   gconstpointer data,
                   gsize         length);
/* Reads what is there, at most up to @limit bytes in all. */
void raw_end_read (RawEnd *raw,
                   gsize   limit);
/* The first frame of what was read, unmasked, or NULL if it is not whole. */
GBytes *raw_end_take_frame (RawEnd *raw,
                            guint  *opcode);
/* Waits for one that is not a pong, unless @pongs. NULL at the end of the connection. */
GBytes *raw_end_wait_frame (RawEnd   *raw,
                            guint    *opcode,
                            gboolean  pongs);
/* Replaces @ping by the next one, and skips what is before it. */
void raw_end_wait_ping (RawEnd  *raw,
                        GBytes **ping);
void raw_end_answer_ping (RawEnd   *raw,
                          gboolean  masked,
                          GBytes   *ping);

#define assert_stream(data, length, seed)                      \
  G_STMT_START                                                 \
  {                                                            \
    gsize length_ = (length);                                  \
    g_autofree guint8 *wanted_ = g_malloc (length_ + 1);       \
    test_fill (wanted_, length_, seed, 0);                     \
    g_assert_cmpmem (data, length_, wanted_, length_);         \
  }                                                            \
  G_STMT_END

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ChannelEnd, channel_end_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RawEnd, raw_end_free)

G_END_DECLS
