/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A name to listen on may have several addresses, some of which the machine does not have. */

#include "io/listen.h"

#include <string.h>
#include <unistd.h>
#include <tcptunnel/tcptunnel.h>
#include "socket-util.h"
#include "test-util.h"

/* Addresses for documentation, which no machine has. */
#define ABSENT "192.0.2.1"
#define ABSENT_IPV6 "2001:db8::1"

/* A resolver with one name. */

typedef struct
{
  GResolver parent;
  const char *const *addresses;
} Names;

typedef GResolverClass NamesClass;

GType names_get_type (void);
G_DEFINE_TYPE (Names, names, G_TYPE_RESOLVER)

static void
names_lookup_by_name_async (GResolver           *resolver,
                            const char          *hostname,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, callback, user_data);
  const char *const *addresses = ((Names *) resolver)->addresses;
  GList *list = NULL;

  g_assert_cmpstr (hostname, ==, "name.test");
  for (guint i = 0; addresses[i] != NULL; i++)
    list = g_list_append (list, g_inet_address_new_from_string (addresses[i]));
  g_task_return_pointer (task, list, (GDestroyNotify) g_resolver_free_addresses);
}

static GList *
names_lookup_by_name_finish (GResolver     *resolver,
                             GAsyncResult  *result,
                             GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
names_class_init (NamesClass *klass)
{
  klass->lookup_by_name_async = names_lookup_by_name_async;
  klass->lookup_by_name_finish = names_lookup_by_name_finish;
}

static void
names_init (Names *self)
{
}

/* Listening */

static void
on_resolved (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GError) error = NULL;
  GPtrArray **addresses = user_data;

  *addresses = tcp_resolve_finish (result, &error);
  g_assert_no_error (error);
}

static GPtrArray *
resolve (const char *const *names,
         guint port)
{
  g_autoptr (GResolver) before = g_resolver_get_default ();
  g_autoptr (GResolver) resolver = g_object_new (names_get_type (), NULL);
  GPtrArray *addresses = NULL;

  ((Names *) resolver)->addresses = names;
  g_resolver_set_default (resolver);
  tcp_resolve ("name.test", port, NULL, on_resolved, &addresses);
  WAIT_UNTIL (addresses != NULL);
  g_resolver_set_default (before);
  return addresses;
}

static GInetSocketAddress *
get_address (GPtrArray *sockets)
{
  return G_INET_SOCKET_ADDRESS (g_socket_get_local_address (sockets->pdata[0], NULL));
}

static GPtrArray *
listen_on (const char *const *names,
           guint port,
           guint *opened,
           GError **error)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_NONE);
  g_autoptr (GPtrArray) addresses = resolve (names, port);
  GPtrArray *sockets = tcp_listen (addresses, log, error);
  g_autoptr (GInetSocketAddress) address = sockets != NULL ? get_address (sockets) : NULL;

  *opened = address != NULL ? g_inet_socket_address_get_port (address) : 0;
  return sockets;
}

static gboolean
accepts (const char *address,
         guint port)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketAddress) to = g_inet_socket_address_new_from_string (address, port);
  g_autoptr (GSocketConnection) connection = NULL;

  g_socket_client_set_enable_proxy (client, FALSE);
  connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (to), NULL, NULL);
  return connection != NULL;
}

static void
test_all_on_one_port (void)
{
  const char *const names[] = { "127.0.0.3", "127.0.0.1", "127.0.0.2", NULL };
  g_autoptr (GError) error = NULL;
  guint port;
  g_autoptr (GPtrArray) sockets G_GNUC_UNUSED = listen_on (names, 0, &port, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (port, !=, 0);
  for (guint i = 0; names[i] != NULL; i++)
    g_assert_true (accepts (names[i], port));
  g_assert_false (accepts ("127.0.0.4", port));
}

static void
test_first_is_reported (void)
{
  const char *const names[] = { ABSENT, "127.0.0.3", "127.0.0.1", NULL };
  g_autoptr (GError) error = NULL;
  guint port;
  g_autoptr (GPtrArray) sockets = listen_on (names, 0, &port, &error);
  g_autoptr (GInetSocketAddress) address = NULL;
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  address = get_address (sockets);
  text = g_inet_address_to_string (g_inet_socket_address_get_address (address));
  g_assert_cmpstr (text, ==, "127.0.0.3");
}

static void
test_absent_is_left_out (void)
{
  const char *const names[] = { ABSENT, ABSENT_IPV6, "127.0.0.1", ABSENT, NULL };
  g_autoptr (GError) error = NULL;
  guint port;
  g_autoptr (GPtrArray) sockets G_GNUC_UNUSED = listen_on (names, 0, &port, &error);

  g_assert_no_error (error);
  g_assert_true (accepts ("127.0.0.1", port));
}

static void
test_all_absent (void)
{
  const char *const names[] = { ABSENT, ABSENT_IPV6, NULL };
  g_autoptr (GError) error = NULL;
  guint port;
  g_autoptr (GPtrArray) sockets G_GNUC_UNUSED = listen_on (names, 0, &port, &error);

  g_assert_nonnull (error);
  g_assert_cmpuint (port, ==, 0);
}

/* If a port is taken at one of the addresses, listening fails: a client that connects to the name might reach the
 * program that has the port. */
static void
test_one_is_taken (void)
{
  const char *const names[] = { "127.0.0.2", "127.0.0.1", NULL };
  g_autoptr (GError) error = NULL;
  guint16 taken;
  int fd = socket_listen (0, &taken);
  guint port;
  g_autoptr (GPtrArray) sockets G_GNUC_UNUSED = listen_on (names, taken, &port, &error);

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
  g_assert_nonnull (strstr (error->message, "127.0.0.1"));
  g_assert_cmpuint (port, ==, 0);
  /* The other address was closed again. */
  g_assert_false (accepts ("127.0.0.2", taken));
  close (fd);
}

static void
test_is_bounded (void)
{
  const char *names[41] = { NULL };
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) addresses = NULL;

  for (guint i = 0; i < 40; i++)
    {
      g_ptr_array_add (texts, g_strdup_printf ("127.0.1.%u", i));
      names[i] = texts->pdata[i];
    }
  addresses = resolve (names, 0);
  g_assert_cmpuint (addresses->len, ==, 16);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/listen/all-on-one-port", test_all_on_one_port);
  g_test_add_func ("/listen/first-is-reported", test_first_is_reported);
  g_test_add_func ("/listen/absent-is-left-out", test_absent_is_left_out);
  g_test_add_func ("/listen/all-absent", test_all_absent);
  g_test_add_func ("/listen/one-is-taken", test_one_is_taken);
  g_test_add_func ("/listen/is-bounded", test_is_bounded);

  return g_test_run ();
}
