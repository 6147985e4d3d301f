/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/byte-queue.h"
#include "doubles.h"

G_BEGIN_DECLS

/* The state that the two ends of a link see of each other. */

typedef enum
{
  OPEN,
  CLOSING,
  CLOSED,
} Phase;

struct _TcpChannel
{
  grefcount refs;
  TcpChannelCallbacks callbacks;
  gpointer user_data;
  Link *link;
  Side side;
  Phase phase;
  gboolean reported;

  GQueue queue; /* of TcpBuffer */
  gsize pending;
  gboolean watched;
  gboolean output_failed;
  guint close_code;
  char *close_reason;
  gboolean close_queued;
  gboolean close_read;
  gsize swallowed; /* bytes that were written to a link that is cut */
  guint64 written;

  gboolean paused;
  TcpByteQueue wire; /* toward this end */
  GByteArray *input;
  gsize start;       /* of the part that was not parsed yet */
};

struct _Link
{
  LinkOptions options;
  GRand *rand;
  TcpChannel *ends[2];
  gboolean cut;
};

TcpChannel *channel_new (Link *link,
                         Side  side);
void channel_finish (TcpChannel *self);
gboolean channel_flush (TcpChannel *self);
void channel_flushed (TcpChannel *self);
TcpBuffer *close_frame (TcpChannel *sender,
                        guint       code,
                        const char *reason);
void channel_deliver (TcpChannel   *self,
                      const guint8 *data,
                      gsize         length,
                      gboolean      first,
                      gboolean      last);
gboolean channel_read (TcpChannel *self,
                       gsize       most);

G_END_DECLS
