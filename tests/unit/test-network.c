/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/network.h"
#include "io/pool.h"

#include "base/log-thread.h"
#include "io/reactor.h"
#include "test-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static gboolean alone; /* in a network namespace of our own */

static void
test_slept (void)
{
  const TcpNetworkClocks before = { .monotonic = 1000 * G_TIME_SPAN_SECOND, .boot = 5000 * G_TIME_SPAN_SECOND };
  const struct
  {
    gint64 monotonic;
    gint64 boot;
    gboolean slept;
  } cases[] = {
    { 0, 0, FALSE },
    { 5 * G_TIME_SPAN_SECOND, 5 * G_TIME_SPAN_SECOND, FALSE },
    { 5 * G_TIME_SPAN_SECOND, 5 * G_TIME_SPAN_SECOND + 500, FALSE },
    { 5 * G_TIME_SPAN_SECOND, 7 * G_TIME_SPAN_SECOND, FALSE },
    { 5 * G_TIME_SPAN_SECOND, 7 * G_TIME_SPAN_SECOND + 1, TRUE },
    { 5 * G_TIME_SPAN_SECOND, 30 * G_TIME_SPAN_DAY, TRUE },
    /* A process that was stopped, or was too busy to check the clocks, has not slept. */
    { G_TIME_SPAN_DAY, G_TIME_SPAN_DAY, FALSE },
    /* The clocks are not read at the same instant. */
    { 5 * G_TIME_SPAN_SECOND + 500, 5 * G_TIME_SPAN_SECOND, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const TcpNetworkClocks now = { .monotonic = before.monotonic + cases[i].monotonic,
                                     .boot = before.boot + cases[i].boot };

      g_assert_cmpint (tcp_network_has_slept (&before, &now), ==, cases[i].slept);
    }
}

static void
append_attribute (GByteArray   *message,
                  guint16       type,
                  gconstpointer data,
                  guint16       length)
{
  const struct rtattr attribute = { .rta_len = RTA_LENGTH (length), .rta_type = type };

  g_byte_array_append (message, (gconstpointer) &attribute, sizeof (attribute));
  g_byte_array_append (message, data, length);
}

static void
append_message (GByteArray *messages,
                guint16     type,
                GByteArray *body)
{
  const struct nlmsghdr header = { .nlmsg_len = NLMSG_LENGTH (body->len), .nlmsg_type = type };

  g_byte_array_append (messages, (gconstpointer) &header, sizeof (header));
  g_byte_array_append (messages, body->data, body->len);
}

static void
append_address (GByteArray *messages,
                guint16     type,
                guint8      scope,
                guint8      flags,
                guint32     age)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();
  const struct ifaddrmsg address = { .ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_scope = scope, .ifa_flags = flags };
  const struct ifa_cacheinfo info = { .cstamp = 4711, .tstamp = 4711 + age };
  const guint32 ip = htonl (0x0a000001);

  g_byte_array_append (body, (gconstpointer) &address, sizeof (address));
  append_attribute (body, IFA_LOCAL, &ip, sizeof (ip));
  append_attribute (body, IFA_CACHEINFO, &info, sizeof (info));
  append_message (messages, type, body);
}

static void
append_route (GByteArray *messages,
              guint16     type,
              guint8      prefix,
              guint8      kind)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();
  const struct rtmsg route = { .rtm_family = AF_INET6, .rtm_dst_len = prefix, .rtm_type = kind };

  g_byte_array_append (body, (gconstpointer) &route, sizeof (route));
  append_message (messages, type, body);
}

/* Copies the messages to a block of exactly @length bytes, so that a sanitizer finds any access beyond them. */
static gboolean
is_change (GByteArray *messages,
           gsize       length)
{
  g_autofree gpointer exact = g_memdup2 (messages->data, length);

  return tcp_network_is_change (exact, length);
}

static void
check_message (GByteArray *messages,
               gboolean    expected)
{
  g_assert_cmpint (is_change (messages, messages->len), ==, expected);
  for (gsize length = 0; length < messages->len; length++)
    g_assert_false (is_change (messages, length));
  g_byte_array_set_size (messages, 0);
}

static void
test_messages (void)
{
  g_autoptr (GByteArray) messages = g_byte_array_new ();
  guint8 garbage[64];

  append_address (messages, RTM_NEWADDR, RT_SCOPE_UNIVERSE, IFA_F_PERMANENT, 0);
  check_message (messages, TRUE);
  append_address (messages, RTM_DELADDR, RT_SCOPE_UNIVERSE, IFA_F_DEPRECATED, 500);
  check_message (messages, TRUE);
  append_route (messages, RTM_NEWROUTE, 0, RTN_UNICAST);
  check_message (messages, TRUE);
  append_route (messages, RTM_DELROUTE, 0, RTN_UNICAST);
  check_message (messages, TRUE);

  /* Not an address or route that leads out of this machine, */
  append_address (messages, RTM_NEWADDR, RT_SCOPE_LINK, 0, 0);
  check_message (messages, FALSE);
  append_address (messages, RTM_DELADDR, RT_SCOPE_HOST, 0, 0);
  check_message (messages, FALSE);
  append_route (messages, RTM_NEWROUTE, 24, RTN_UNICAST);
  check_message (messages, FALSE);
  append_route (messages, RTM_NEWROUTE, 0, RTN_UNREACHABLE);
  check_message (messages, FALSE);
  /* or not a new one. */
  append_address (messages, RTM_NEWADDR, RT_SCOPE_UNIVERSE, 0, 1);
  check_message (messages, FALSE);
  append_address (messages, RTM_NEWADDR, RT_SCOPE_UNIVERSE, IFA_F_TENTATIVE, 0);
  check_message (messages, FALSE);
  append_address (messages, RTM_NEWADDR, RT_SCOPE_UNIVERSE, IFA_F_DEPRECATED, 0);
  check_message (messages, FALSE);

  /* One change among several messages is enough. */
  append_route (messages, RTM_NEWROUTE, 8, RTN_UNICAST);
  append_address (messages, RTM_NEWADDR, RT_SCOPE_LINK, 0, 0);
  append_route (messages, RTM_DELROUTE, 0, RTN_UNICAST);
  check_message (messages, TRUE);

  /* A length of 0 does not cause an endless loop. */
  memset (garbage, 0, sizeof (garbage));
  g_assert_false (tcp_network_is_change (garbage, sizeof (garbage)));
  for (guint i = 0; i < 100000; i++)
    {
      for (guint j = 0; j < sizeof (garbage); j += 4)
        *(guint32 *) (gpointer) (garbage + j) = g_test_rand_int ();
      *(guint32 *) (gpointer) garbage = g_test_rand_int_range (0, 80);
      garbage[4] = g_test_rand_int_range (RTM_NEWADDR, RTM_DELROUTE + 1);
      garbage[5] = 0;
      g_byte_array_append (messages, garbage, sizeof (garbage));
      is_change (messages, g_test_rand_int_range (0, sizeof (garbage) + 1));
      g_byte_array_set_size (messages, 0);
    }
}

typedef struct
{
  TcpNetwork *network;
  guint calls;
} Watch;

static void
on_changed (gpointer user_data)
{
  Watch *watch = user_data;

  watch->calls++;
}

static void
on_changed_free (gpointer user_data)
{
  Watch *watch = user_data;

  watch->calls++;
  g_clear_pointer (&watch->network, tcp_network_free);
}

/* Gives the loopback interface of our namespace an address, which replaces the previous one. */
static void
set_address (guint8 last)
{
  struct ifreq request = { .ifr_name = "lo" };
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl (0x0a090800 | last) } };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  memcpy (&request.ifr_addr, &address, sizeof (address));
  g_assert_no_errno (ioctl (fd, SIOCSIFADDR, &request));
  close (fd);
}

static void
test_addresses (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  g_autoptr (TcpNetwork) network = NULL;
  Watch watch = { 0 };

  if (!alone)
    {
      g_test_skip ("a network namespace is not permitted");
      return;
    }

  set_address (1);
  network = tcp_network_new (log, on_changed, &watch);
  set_address (2);
  WAIT_UNTIL (watch.calls == 1);

  /* Many changes at once cause one call; and the last one is reported, even if it follows too soon after the
   * first. */
  for (guint8 i = 3; i < 50; i++)
    set_address (i);
  WAIT_UNTIL (watch.calls == 2);
  set_address (50);
  WAIT_UNTIL (watch.calls == 3);
}

static void
test_free (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  Watch watch = { 0 };

  if (!alone)
    {
      g_test_skip ("a network namespace is not permitted");
      return;
    }

  watch.network = tcp_network_new (log, on_changed_free, &watch);
  set_address (60);
  WAIT_UNTIL (watch.calls == 1);
  g_assert_null (watch.network);

  /* A call that was due is not made after the free. */
  watch.network = tcp_network_new (log, on_changed_free, &watch);
  set_address (61);
  tcp_network_free (watch.network);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (watch.calls, ==, 1);
}

static GLogWriterOutput
count_message (GLogLevelFlags   level,
               const GLogField *fields,
               gsize            n_fields,
               gpointer         user_data)
{
  guint *count = user_data;

  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, "MESSAGE") && strstr (fields[i].value, "changes of the network") != NULL)
      {
        g_assert_cmpint (level, ==, G_LOG_LEVEL_DEBUG);
        (*count)++;
      }
  return G_LOG_WRITER_HANDLED;
}

static void
do_nothing (gpointer user_data)
{
}

static void
keep_reactor (gpointer data)
{
  *(TcpTimer **) data = tcp_timer_new (do_nothing, NULL);
}

static void
leave_reactor (gpointer data)
{
  tcp_timer_clear (data);
}

/* Where changes cannot be watched, the object works without any. */
static void
test_none (void)
{
  g_autoptr (TcpLog) log = tcp_log_new ("test", TCP_TUNNEL_LOG_LEVEL_DEBUG);
  g_autoptr (TcpNetwork) network = NULL;
  static guint messages;
  struct rlimit before;
  struct rlimit none;
  Watch watch = { 0 };
  TcpIoThread *thread;
  TcpTimer *timers[64];
  guint n_threads = tcp_io_thread_count ();

  g_log_set_writer_func (count_message, &messages, NULL);
  /* These need descriptors of their own, and have to exist before. */
  g_main_context_default ();
  g_assert_cmpuint (n_threads, <=, G_N_ELEMENTS (timers));
  for (guint i = 0; i < n_threads; i++)
    {
      thread = tcp_io_thread_acquire_at (i, NULL);
      tcp_io_thread_invoke_sync (thread, keep_reactor, &timers[i]);
      tcp_io_thread_release (thread);
    }
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &before));
  /* Leaves no descriptor beyond the standard three. A lower limit would also make poll () fail in another thread of
   * the process. */
  none = before;
  none.rlim_cur = STDERR_FILENO + 1;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  network = tcp_network_new (log, on_changed, &watch);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &before));

  g_assert_nonnull (network);
  tcp_log_thread_flush (TEST_DEADLINE_MS);
  g_assert_cmpuint (messages, ==, 1);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (watch.calls, ==, 0);

  for (guint i = 0; i < n_threads; i++)
    {
      thread = tcp_io_thread_acquire_at (i, NULL);
      tcp_io_thread_invoke_sync (thread, leave_reactor, &timers[i]);
      tcp_io_thread_release (thread);
    }
}

int
main (int    argc,
      char **argv)
{
  /* This has to happen before there is another thread. */
  alone = unshare (geteuid () == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) == 0;
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/network/slept", test_slept);
  g_test_add_func ("/network/messages", test_messages);
  g_test_add_func ("/network/addresses", test_addresses);
  g_test_add_func ("/network/free", test_free);
  g_test_add_func ("/network/none", test_none);
  return g_test_run ();
}
