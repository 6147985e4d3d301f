/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/dialect.h"

/* limrun's singleton mode: the messages are the byte stream. */

static void
raw_decode (TcpDialectDecoder *decoder,
            const guint8      *data,
            gsize              length,
            gboolean           first,
            gboolean           last,
            TcpDialectFrame   *frame)
{
  frame->kind = length > 0 ? TCP_DIALECT_DATA : TCP_DIALECT_NOTHING;
  frame->id = TCP_RAW_ID;
  frame->data = data;
  frame->length = length;
  frame->reason = "an empty message";
}

static void
raw_encode_data (TcpBuffer *buffer,
                 guint32    id)
{
}

const TcpDialect tcp_dialect_raw = {
  .name = "raw",
  .outlives_channel = TRUE,
  .decode = raw_decode,
  .encode_data = raw_encode_data,
};
