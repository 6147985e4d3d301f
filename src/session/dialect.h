/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>
#include "base/buffer.h"

G_BEGIN_DECLS

/* How connections are written into WebSocket messages. A dialect is pure: bytes
 * in, frames out, neither I/O nor clock. */

typedef enum
{
  TCP_DIALECT_NOTHING, /* to be ignored; the reason says why */
  TCP_DIALECT_DATA,
  TCP_DIALECT_END,
} TcpDialectKind;

typedef struct
{
  TcpDialectKind kind;
  guint32 id;
  const guint8 *data;
  gsize length;
  const char *reason; /* static */
} TcpDialectFrame;

/* What a decoder has to remember between the pieces of one message. */
typedef struct
{
  guint8 tag[4];
  guint have;       /* bytes of the tag */
  gboolean payload; /* something followed it */
} TcpDialectDecoder;

typedef struct
{
  const char *name;
  gboolean multiplexed;    /* several connections, told apart by ids */
  gboolean outlives_channel; /* connections survive the loss of a WebSocket, */
  gboolean resumable;        /* and no byte is lost */

  void (*decode) (TcpDialectDecoder *decoder,
                  const guint8      *data,
                  gsize              length,
                  gboolean           first,
                  gboolean           last,
                  TcpDialectFrame   *frame);
  void (*encode_data) (TcpBuffer *buffer,
                       guint32    id);
  /* NULL if it is said by closing the WebSocket. */
  TcpBuffer *(*encode_end) (guint32 id);
} TcpDialect;

extern const TcpDialect tcp_dialect_raw;
extern const TcpDialect tcp_dialect_tagged;
/* More than frames, so that it has none of these functions: see resumable.h. */
extern const TcpDialect tcp_dialect_resumable;

/* The id of the only connection of the raw dialect. */
#define TCP_RAW_ID 1

G_END_DECLS
