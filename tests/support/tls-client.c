/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tls-client.h"

#include "certificate.h"
#include "test-util.h"

GIOStream *
tls_client_new (int fd)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, &error);
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  GIOStream *stream;

  g_assert_no_error (error);
  g_socket_set_timeout (socket, test_scaled_ms (TEST_DEADLINE_MS) / 1000);
  connection = g_socket_connection_factory_create_connection (socket);
  address = g_socket_get_remote_address (socket, &error);
  g_assert_no_error (error);
  stream = g_tls_client_connection_new (G_IO_STREAM (connection), G_SOCKET_CONNECTABLE (address), &error);
  g_assert_no_error (error);
  g_tls_connection_set_database (G_TLS_CONNECTION (stream), test_tls_database ());
  g_tls_connection_handshake (G_TLS_CONNECTION (stream), NULL, &error);
  g_assert_no_error (error);
  return stream;
}
