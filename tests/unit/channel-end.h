/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "websocket/channel-private.h"

G_BEGIN_DECLS

/* Calls g_test_init (), and drops the debug messages of libsoup: they need not be UTF-8, which TAP has to be. */
void unit_test_init (int    *argc,
                     char ***argv);

/* Makes two connected sockets on loopback. If @buffer is not 0, the kernel buffers have about @buffer bytes. */
void loopback_pair (int fds[2],
                    int buffer);
void unix_pair (int fds[2],
                int buffer);
GSocketConnection *loopback_connection (int fd);
/* Waits until the other side's FIN has arrived, and so all data before it. */
void wait_for_hang_up (int fd);

typedef struct
{
  guint interval;
  guint timeout;
  TcpStatus *status;
  gboolean brief;
  gboolean as_tls; /* read as a TLS stream is: repeatedly, until nothing is left */
  TcpBudget *budget;
  guint message_timeout;
} ChannelEndOptions;

/* Takes ownership of @fd. @options may be NULL. */
TcpChannel *loopback_channel (int                      fd,
                              gboolean                 client,
                              const ChannelEndOptions *options,
                              TcpChannelGroup         *group);
/* Waits until the group has no channel left. */
void wait_for_group (TcpChannelGroup *group);

/* A channel on its end of a connection, without the opening handshake, and what its callbacks have reported. */
typedef struct
{
  TcpChannel *channel;
  TcpChannelGroup *group;
  GPtrArray *messages; /* of GByteArray */
  GArray *pieces;      /* of gsize: the length of each piece */
  gboolean in_message;
  gboolean pauses; /* the channel is paused after each piece */
  guint drained;
  guint closed;
  guint code;
  char *reason;
  GError *error;
} ChannelEnd;

/* Takes ownership of @fd. The channel is resumed. */
ChannelEnd *channel_end_new (int                      fd,
                             gboolean                 client,
                             const ChannelEndOptions *options);
/* Waits until nothing is left of the channel. */
void channel_end_free (ChannelEnd *end);
/* Sends a message with the bytes of test_fill (). */
void channel_end_send (ChannelEnd *end,
                       guint32     seed,
                       gsize       length);
TcpBuffer *channel_end_make_message (guint32 seed,
                                     gsize   length);
/* Makes the keep-alive timer expire, and waits until its callback has run. The callback has to set the timer to a
 * time in the future: otherwise it would run again and again. */
void channel_end_keep_alive (ChannelEnd *end);

/* The other end, whose frames the test writes and reads itself. */
typedef struct
{
  int fd;
  GByteArray *in;
  gboolean eof;   /* the connection has ended */
  gboolean reset; /* it ended with an error, not with a FIN */
} RawEnd;

RawEnd *raw_end_new (int fd);
void raw_end_free (RawEnd *raw);
/* Writes all of @data, and runs the main context meanwhile if necessary. */
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
/* Reads the available bytes, until at most @limit have been read in all. */
void raw_end_read (RawEnd *raw,
                   gsize   limit);
/* Returns the first frame of what was read, unmasked, or NULL if it is not complete yet. */
GBytes *raw_end_take_frame (RawEnd *raw,
                            guint  *opcode);
/* Waits for a frame, and skips pongs unless @pongs is set. Returns NULL at the end of the connection. */
GBytes *raw_end_wait_frame (RawEnd   *raw,
                            guint    *opcode,
                            gboolean  pongs);
/* Replaces @ping by the next ping, and skips the frames before it. */
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
