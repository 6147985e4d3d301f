/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/connect.h"
#include "test-util.h"

#include <sys/socket.h>

typedef struct
{
  TcpConnect *connect;
  GSocketConnection *connection;
  GError *error;
  guint calls;
} Fixture;

static void
on_connected (GSocketConnection *connection,
              const GError      *error,
              gpointer           user_data)
{
  Fixture *self = user_data;

  self->calls++;
  g_assert_true ((connection == NULL) == (error != NULL));
  if (connection != NULL)
    self->connection = g_object_ref (connection);
  else
    self->error = g_error_copy (error);
  /* The callback is the usual place to free it. */
  g_clear_pointer (&self->connect, tcp_connect_free);
}

static void
clear (Fixture *self)
{
  g_clear_pointer (&self->connect, tcp_connect_free);
  g_clear_object (&self->connection);
  g_clear_error (&self->error);
  self->calls = 0;
}

/* Binds a socket of @host to a free port, and returns its address. */
static GSocket *
bind_socket (const char      *host,
             GSocketAddress **address)
{
  g_autoptr (GSocketAddress) any = tcp_connect_get_literal (host, 0);
  g_autoptr (GError) error = NULL;
  GSocket *socket = g_socket_new (g_socket_address_get_family (any), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT,
                                  &error);

  g_assert_no_error (error);
  if (!g_socket_bind (socket, any, FALSE, &error))
    {
      g_object_unref (socket);
      return NULL;
    }
  *address = g_socket_get_local_address (socket, &error);
  g_assert_no_error (error);
  return socket;
}

static void
test_literal (void)
{
  static const char *const names[] = { "localhost", "example.org", "127.0.0.1.example", "", "[::1]", "127.0.0.1:80", "1.2.3" };
  g_autoptr (GSocketAddress) four = tcp_connect_get_literal ("127.0.0.1", 80);
  g_autoptr (GSocketAddress) six = tcp_connect_get_literal ("::1", 443);

  g_assert_cmpint (g_socket_address_get_family (four), ==, G_SOCKET_FAMILY_IPV4);
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (four)), ==, 80);
  g_assert_cmpint (g_socket_address_get_family (six), ==, G_SOCKET_FAMILY_IPV6);
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (six)), ==, 443);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_null (tcp_connect_get_literal (names[i], 80));
}

static void
test_connects (gconstpointer host)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocket) listener = bind_socket (host, &address);
  g_autoptr (GSocket) accepted = NULL;
  g_autoptr (GSocketAddress) remote = NULL;
  g_autoptr (GError) error = NULL;
  Fixture fixture = { 0 };
  char byte = 0;

  if (listener == NULL)
    {
      g_test_skip ("this machine has no such address");
      return;
    }
  g_assert_true (g_socket_listen (listener, &error));
  fixture.connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_connected, &fixture);
  /* The callback is never called before tcp_connect_new () has returned. */
  g_assert_cmpuint (fixture.calls, ==, 0);
  WAIT_UNTIL (fixture.calls > 0);
  g_assert_no_error (fixture.error);
  /* TLS asks for this, and refuses a connection that is not marked as connected. */
  g_assert_true (g_socket_connection_is_connected (fixture.connection));
  remote = g_socket_connection_get_remote_address (fixture.connection, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (remote)), ==,
                    g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));

  accepted = g_socket_accept (listener, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_socket_send (g_socket_connection_get_socket (fixture.connection), "a", 1, NULL, &error), ==, 1);
  g_assert_cmpint (g_socket_receive (accepted, &byte, 1, NULL, &error), ==, 1);
  g_assert_cmpint (byte, ==, 'a');
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (fixture.calls, ==, 1);
  clear (&fixture);
}

/* The error has the message that GSocketClient would give, which is part of the messages of tunnel and gateway. */
static void
test_refused (void)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocket) taken G_GNUC_UNUSED = bind_socket ("127.0.0.1", &address); /* does not listen */
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GError) expected = NULL;
  Fixture fixture = { 0 };

  fixture.connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_connected, &fixture);
  g_assert_cmpuint (fixture.calls, ==, 0);
  WAIT_UNTIL (fixture.calls > 0);
  g_assert_error (fixture.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);

  g_socket_client_set_enable_proxy (client, FALSE);
  g_assert_null (g_socket_client_connect (client, G_SOCKET_CONNECTABLE (address), NULL, &expected));
  g_assert_cmpstr (fixture.error->message, ==, expected->message);
  clear (&fixture);
}

/* A connection by name uses a GSocketClient. This name is looked up without a resolver. */
static void
test_name (void)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocket) listener = bind_socket ("127.0.0.1", &address);
  g_autoptr (GSocketConnectable) name = NULL;
  g_autoptr (GSocketAddress) remote = NULL;
  g_autoptr (GError) error = NULL;
  Fixture fixture = { 0 };

  name = g_network_address_new ("127.0.0.1", g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  fixture.connect = tcp_connect_new (name, on_connected, &fixture);
  g_assert_cmpuint (fixture.calls, ==, 0);
  WAIT_UNTIL (fixture.calls > 0);
  g_assert_error (fixture.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  g_assert_cmpstr (fixture.error->message, ==, "Could not connect to 127.0.0.1: Connection refused");
  clear (&fixture);

  g_assert_true (g_socket_listen (listener, &error));
  fixture.connect = tcp_connect_new (name, on_connected, &fixture);
  g_assert_cmpuint (fixture.calls, ==, 0);
  WAIT_UNTIL (fixture.calls > 0);
  g_assert_no_error (fixture.error);
  remote = g_socket_connection_get_remote_address (fixture.connection, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (remote)), ==,
                    g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  clear (&fixture);
}

static void
count_end (gpointer  data,
           GObject  *object)
{
  guint *ends = data;

  (*ends)++;
}

/* Freeing a connect that uses a GSocketClient cancels it without a callback. */
static void
test_free_name (void)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocket) listener = bind_socket ("127.0.0.1", &address);
  GSocketConnectable *name;
  g_autoptr (GError) error = NULL;
  Fixture fixture = { 0 };
  guint ends = 0;

  g_assert_true (g_socket_listen (listener, &error));
  name = g_network_address_new ("127.0.0.1", g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
  g_object_weak_ref (G_OBJECT (name), count_end, &ends);
  fixture.connect = tcp_connect_new (name, on_connected, &fixture);
  g_object_unref (name);
  clear (&fixture);
  WAIT_UNTIL (ends > 0);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (fixture.calls, ==, 0);
}

/* A connect that is freed is cancelled without a callback. */
static void
test_free (void)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocket) listener = bind_socket ("127.0.0.1", &address);
  g_autoptr (GError) error = NULL;
  Fixture fixture = { 0 };

  g_assert_true (g_socket_listen (listener, &error));
  fixture.connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_connected, &fixture);
  clear (&fixture);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (fixture.calls, ==, 0);
}

/* A connection that takes its time: the kernel accepts no more connections for this listener until one is
 * accepted. */
static void
test_waits (void)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocket) listener = bind_socket ("127.0.0.1", &address);
  g_autoptr (GError) error = NULL;
  Fixture before[2] = { 0 };
  Fixture late = { 0 };

  g_socket_set_listen_backlog (listener, 0);
  g_assert_true (g_socket_listen (listener, &error));
  before[0].connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_connected, &before[0]);
  WAIT_UNTIL (before[0].calls > 0);
  late.connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_connected, &late);
  before[1].connect = tcp_connect_new (G_SOCKET_CONNECTABLE (address), on_connected, &before[1]);
  for (guint i = 0; i < 10; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (late.calls, ==, 0);
  clear (&before[1]);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GSocket) accepted G_GNUC_UNUSED = g_socket_accept (listener, NULL, &error);

      g_assert_no_error (error);
      WAIT_UNTIL (late.calls > 0);
    }
  g_assert_no_error (late.error);
  clear (&before[0]);
  clear (&late);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/connect/literal", test_literal);
  g_test_add_data_func ("/connect/ipv4", "127.0.0.1", test_connects);
  g_test_add_data_func ("/connect/ipv6", "::1", test_connects);
  g_test_add_func ("/connect/refused", test_refused);
  g_test_add_func ("/connect/name", test_name);
  g_test_add_func ("/connect/free", test_free);
  g_test_add_func ("/connect/free-name", test_free_name);
  g_test_add_func ("/connect/waits", test_waits);
  return g_test_run ();
}
