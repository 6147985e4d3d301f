/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An acceptor accepts all connections at its addresses; an accept () that fails causes neither a busy loop nor a
 * flood of messages. */

#include "io/acceptor.h"

#include "base/log-thread.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "io/listen.h"
#include "socket-util.h"
#include "test-util.h"

/* Replaces accept4 () of libc for the statically linked library. */
static int failure; /* an errno, or 0 */
static guint calls;

int accept4 (int fd,
             struct sockaddr *address,
             socklen_t *length,
             int flags);

int
accept4 (int fd,
         struct sockaddr *address,
         socklen_t *length,
         int flags)
{
  calls++;
  if (failure == 0)
    return syscall (SYS_accept4, fd, address, length, flags);
  errno = failure;
  return -1;
}

/* The log */

static guint warnings, infos;

static GLogWriterOutput
count_messages (GLogLevelFlags level,
                const GLogField *fields,
                gsize n_fields,
                gpointer user_data)
{
  if ((level & G_LOG_LEVEL_MESSAGE) != 0)
    warnings++;
  else if ((level & G_LOG_LEVEL_INFO) != 0)
    infos++;
  else
    return g_log_writer_default (level, fields, n_fields, user_data);
  return G_LOG_WRITER_HANDLED;
}

static guint
logged (const guint *messages)
{
  tcp_log_thread_flush (TEST_DEADLINE_MS);
  return *messages;
}

/* An acceptor at two addresses */

typedef struct
{
  TcpAcceptor *acceptor;
  guint16 ports[2];
  guint accepted;
  guint free_after; /* the callback frees the acceptor at this connection; 0 for never */
} Rig;

static void
on_accepted (GSocketConnection *connection,
             GSocketAddress *peer,
             gpointer user_data)
{
  Rig *rig = user_data;

  g_assert_true (g_inet_address_get_is_loopback (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (peer))));
  rig->accepted++;
  if (rig->accepted == rig->free_after)
    g_clear_pointer (&rig->acceptor, tcp_acceptor_free);
}

static void
rig_start (Rig *rig)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_INFO);
  g_autoptr (GPtrArray) sockets = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < G_N_ELEMENTS (rig->ports); i++)
    g_ptr_array_add (sockets, g_socket_new_from_fd (socket_listen (0, &rig->ports[i]), NULL));
  rig->acceptor = tcp_acceptor_new (sockets, log, on_accepted, rig);
  calls = warnings = infos = 0;
}

static void
rig_connect (Rig *rig,
             guint port,
             int *fds,
             guint n)
{
  for (guint i = 0; i < n; i++)
    fds[i] = socket_start_connect (rig->ports[port]);
}

static void
close_all (int *fds,
           guint n)
{
  for (guint i = 0; i < n; i++)
    close (fds[i]);
}

static void
test_accepts (void)
{
  Rig rig = { 0 };
  int fds[80];

  rig_start (&rig);
  rig_connect (&rig, 0, fds, 40);
  rig_connect (&rig, 1, fds + 40, 40);
  WAIT_UNTIL (rig.accepted == 80);
  tcp_log_thread_flush (TEST_DEADLINE_MS);
  g_assert_cmpuint (warnings + infos, ==, 0);

  close_all (fds, G_N_ELEMENTS (fds));
  tcp_acceptor_free (rig.acceptor);
}

/* The callback may free the acceptor, however many connections wait. */
static void
test_freed_within (void)
{
  Rig rig = { .free_after = 3 };
  guint16 port;
  int fds[40];

  rig_start (&rig);
  rig_connect (&rig, 0, fds, 20);
  rig_connect (&rig, 1, fds + 20, 20);
  WAIT_UNTIL (rig.acceptor == NULL);
  g_assert_cmpuint (rig.accepted, ==, 3);
  /* The ports are free again. */
  for (guint i = 0; i < G_N_ELEMENTS (rig.ports); i++)
    close (socket_listen (rig.ports[i], &port));

  close_all (fds, G_N_ELEMENTS (fds));
}

static void
test_failure (gconstpointer data)
{
  Rig rig = { 0 };
  gint64 began = g_get_monotonic_time ();
  gint64 pauses;
  int fds[2];

  rig_start (&rig);
  failure = GPOINTER_TO_INT (data);
  rig_connect (&rig, 0, fds, 1);
  rig_connect (&rig, 1, fds + 1, 1);
  WAIT_UNTIL (calls >= 4);
  pauses = (g_get_monotonic_time () - began) / TCP_ACCEPTOR_PAUSE;
  /* Each of the two sockets may have had a turn before the first pause, and one more after each pause. */
  g_assert_cmpint (calls, <=, 2 * (pauses + 1));
  g_assert_cmpint (pauses, >=, 1);
  tcp_log_thread_flush (TEST_DEADLINE_MS);
  g_assert_cmpuint (warnings, ==, 1);
  g_assert_cmpuint (infos + rig.accepted, ==, 0);

  failure = 0;
  WAIT_UNTIL (rig.accepted == 2);
  WAIT_UNTIL (logged (&infos) == 1);
  g_assert_cmpuint (warnings, ==, 1);

  close_all (fds, G_N_ELEMENTS (fds));
  tcp_acceptor_free (rig.acceptor);
}

/* An acceptor may be freed while it pauses. */
static void
test_freed_in_pause (void)
{
  Rig rig = { 0 };
  int fd;

  rig_start (&rig);
  failure = EMFILE;
  rig_connect (&rig, 0, &fd, 1);
  WAIT_UNTIL (logged (&warnings) == 1);
  tcp_acceptor_free (rig.acceptor);
  failure = 0;
  close (fd);
}

int
main (int argc,
      char **argv)
{
  static const int failures[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPERM };

  g_test_init (&argc, &argv, NULL);
  g_log_set_writer_func (count_messages, NULL, NULL);

  g_test_add_func ("/acceptor/accepts", test_accepts);
  g_test_add_func ("/acceptor/freed-within", test_freed_within);
  for (guint i = 0; i < G_N_ELEMENTS (failures); i++)
    {
      g_autofree char *path = g_strdup_printf ("/acceptor/failure/%s", g_strerror (failures[i]));

      g_test_add_data_func (path, GINT_TO_POINTER (failures[i]), test_failure);
    }
  g_test_add_func ("/acceptor/freed-in-pause", test_freed_in_pause);

  return g_test_run ();
}
