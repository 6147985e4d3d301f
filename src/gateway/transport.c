/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/transport.h"

#include <string.h>

GSocket *
tcp_transport_get_socket (const TcpTransport *self)
{
  return g_socket_connection_get_socket (self->connection);
}

/* Only for answers, which are short: a socket that has sent next to nothing yet has room for all of it. */
gboolean
tcp_transport_write (const TcpTransport *self,
                     const char         *text)
{
  GPollableOutputStream *output = G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->stream));
  gssize length = strlen (text);

  return g_pollable_output_stream_write_nonblocking (output, text, length, NULL, NULL) == length &&
         (self->buffered == NULL || tcp_buffered_connection_flush (self->buffered, NULL) == G_POLLABLE_RETURN_OK);
}

void
tcp_transport_clear (TcpTransport *self)
{
  g_clear_object (&self->stream);
  g_clear_object (&self->buffered);
  g_clear_object (&self->connection);
  g_clear_pointer (&self->early, g_byte_array_unref);
}
