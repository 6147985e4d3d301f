/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/network.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/ref-count.h"
#include "base/tsan.h"
#include "io/pool.h"
#include "io/reactor.h"

/* A change from one network to another consists of a dozen changes: the first is reported at once, and those that
 * follow together. */
#define TELL_EVERY G_TIME_SPAN_SECOND

/* The difference of the clocks above which the machine has slept. */
#define SLEPT_FOR (2 * G_TIME_SPAN_SECOND)

/* One for the process, on an I/O thread, while there is a subscriber.
 *
 * GNetworkMonitor is not suitable. The default one emits its signals in the main context in which it was first
 * requested, and an application need not iterate that. One of our own would, in GLib 2.74, emit two signals for any
 * route that is added or removed, and read the whole routing table in between; in 2.89 it only detects whether there is
 * a default route, and so misses a machine that changes from one to another. */
typedef struct
{
  TcpIoThread *thread;
  int netlink; /* -1 if not available, as is the next */
  int clock;   /* a timer that never expires, but is cancelled when the clock jumps */

  /* used on the I/O thread */
  TcpWatch *messages;
  TcpWatch *jumps;
  TcpTimer *tell; /* set if there is something to report */
  gint64 next_tell;
  TcpNetworkClocks clocks;
} Monitor;

struct _TcpNetwork
{
  gatomicrefcount refs; /* held by the owner, and by calls that are about to be made */
  GMainContext *context;
  TcpNetworkFunc changed; /* NULL once freed */
  gpointer user_data;
};

static GMutex lock; /* of the two below */
static GSList *subscribers; /* of TcpNetwork */
static Monitor *monitor;    /* NULL while there is no subscriber, or nothing to watch */

/* Both belong to the parent. */
static void
in_child (void)
{
  g_mutex_init (&lock);
  subscribers = NULL;
  monitor = NULL;
}

gboolean
tcp_network_has_slept (const TcpNetworkClocks *before,
                       const TcpNetworkClocks *now)
{
  return (now->boot - before->boot) - (now->monotonic - before->monotonic) > SLEPT_FOR;
}

/* The lifetime of an address does not count, which every router advertisement and every DHCP lease renews, and neither
 * does an address that cannot be used (yet). */
static gboolean
is_change_of_address (const struct nlmsghdr *message)
{
  const struct ifaddrmsg *address = NLMSG_DATA (message);
  gint length = IFA_PAYLOAD (message);

  if (message->nlmsg_len < NLMSG_LENGTH (sizeof (*address)) || address->ifa_scope >= RT_SCOPE_LINK)
    return FALSE;
  if (message->nlmsg_type == RTM_DELADDR)
    return TRUE;
  if (address->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED))
    return FALSE;

  for (const struct rtattr *attribute = IFA_RTA (address); RTA_OK (attribute, length);
       attribute = RTA_NEXT (attribute, length))
    if (attribute->rta_type == IFA_CACHEINFO && RTA_PAYLOAD (attribute) >= sizeof (struct ifa_cacheinfo))
      {
        const struct ifa_cacheinfo *info = RTA_DATA (attribute);

        return info->cstamp == info->tstamp;
      }

  return TRUE;
}

static gboolean
is_change_of_route (const struct nlmsghdr *message)
{
  const struct rtmsg *route = NLMSG_DATA (message);

  return message->nlmsg_len >= NLMSG_LENGTH (sizeof (*route)) && route->rtm_dst_len == 0 &&
         route->rtm_type == RTN_UNICAST;
}

static gboolean
is_change (const struct nlmsghdr *message)
{
  switch (message->nlmsg_type)
    {
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return is_change_of_address (message);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return is_change_of_route (message);
    default:
      return FALSE;
    }
}

/* Whether one of the kernel's rtnetlink messages reports a change of the connectivity of this machine. */
gboolean
tcp_network_is_change (gconstpointer messages,
                       gsize         length)
{
  const struct nlmsghdr *message;

  for (gsize at = 0; at + sizeof (*message) <= length; at += NLMSG_ALIGN (message->nlmsg_len))
    {
      message = (gconstpointer) ((const guint8 *) messages + at);
      if (message->nlmsg_len < sizeof (*message) || message->nlmsg_len > length - at)
        break;
      if (is_change (message))
        return TRUE;
    }

  return FALSE;
}

static void
network_unref (gpointer data)
{
  TcpNetwork *self = data;

  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_main_context_unref (self->context);
  g_free (self);
}

static gboolean
network_tell (gpointer data)
{
  TcpNetwork *self = data;

  tcp_tsan_acquire (self);
  if (self->changed != NULL)
    self->changed (self->user_data);
  return G_SOURCE_REMOVE;
}

static void
on_tell (gpointer user_data)
{
  Monitor *self = user_data;

  self->next_tell = tcp_now () + TELL_EVERY;
  g_mutex_lock (&lock);
  for (GSList *l = subscribers; l != NULL; l = l->next)
    {
      TcpNetwork *network = l->data;
      g_autoptr (GSource) source = g_idle_source_new ();

      g_atomic_ref_count_inc (&network->refs);
      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      g_source_set_static_name (source, "[tcptunnel] network changed");
      tcp_tsan_release (network);
      g_source_set_callback (source, network_tell, network, network_unref);
      g_source_attach (source, network->context);
    }
  g_mutex_unlock (&lock);
}

static void
monitor_note (Monitor *self)
{
  if (tcp_timer_get (self->tell) < 0)
    tcp_timer_set (self->tell, self->next_tell);
}

static void
on_messages (GIOCondition condition,
             gpointer     user_data)
{
  Monitor *self = user_data;
  union
  {
    struct nlmsghdr header;
    guint8 data[8192];
  } messages;
  gssize n;

  while ((n = recv (self->netlink, &messages, sizeof (messages), MSG_DONTWAIT)) > 0)
    if (tcp_network_is_change (&messages, n))
      monitor_note (self);

  /* Some messages did not fit into the socket's buffer, and may have been of any kind. */
  if (n < 0 && errno == ENOBUFS)
    monitor_note (self);
}

static gint64
read_clock (clockid_t clock)
{
  struct timespec now = { 0 };

  clock_gettime (clock, &now);
  return now.tv_sec * G_TIME_SPAN_SECOND + now.tv_nsec / 1000;
}

static TcpNetworkClocks
read_clocks (void)
{
  return (TcpNetworkClocks) { .monotonic = read_clock (CLOCK_MONOTONIC), .boot = read_clock (CLOCK_BOOTTIME) };
}

/* The kernel cancels this timer when the clock is set, and when the machine wakes. So no timer has to check for that,
 * which would keep an idle machine awake. */
static gboolean
arm_clock (int fd)
{
  const struct itimerspec never = { .it_value.tv_sec = G_MAXINT32 };

  return timerfd_settime (fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

static void
on_jump (GIOCondition condition,
         gpointer     user_data)
{
  Monitor *self = user_data;
  TcpNetworkClocks now = read_clocks ();
  guint64 expirations;

  if (read (self->clock, &expirations, sizeof (expirations)) < 0 && errno == EAGAIN)
    return;
  if (!arm_clock (self->clock))
    tcp_watch_clear (&self->jumps);
  if (tcp_network_has_slept (&self->clocks, &now))
    monitor_note (self);
  self->clocks = now;
}

static void
monitor_start (gpointer data)
{
  Monitor *self = data;

  self->clocks = read_clocks ();
  self->tell = tcp_timer_new (on_tell, self);
  if (self->netlink >= 0)
    self->messages = tcp_watch_new (self->netlink, G_IO_IN, on_messages, self);
  if (self->clock >= 0)
    self->jumps = tcp_watch_new (self->clock, G_IO_IN, on_jump, self);
}

static void
monitor_stop (gpointer data)
{
  Monitor *self = data;

  tcp_watch_clear (&self->messages);
  tcp_watch_clear (&self->jumps);
  tcp_timer_clear (&self->tell);
  if (self->netlink >= 0)
    close (self->netlink);
  if (self->clock >= 0)
    close (self->clock);
  tcp_io_thread_release (self->thread);
  g_free (self);
}

static int
open_netlink (void)
{
  struct sockaddr_nl address = {
    .nl_family = AF_NETLINK,
    .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
  };
  int fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

  if (fd >= 0 && bind (fd, (struct sockaddr *) &address, sizeof (address)) < 0)
    {
      int code = errno;

      close (fd);
      errno = code;
      return -1;
    }
  return fd;
}

static int
open_clock (void)
{
  int fd = timerfd_create (CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

  if (fd >= 0 && !arm_clock (fd))
    {
      close (fd);
      return -1;
    }
  return fd;
}

/* NULL if there is nothing to watch. */
static Monitor *
monitor_new (TcpLog *log)
{
  Monitor *self = g_new0 (Monitor, 1);

  self->netlink = open_netlink ();
  if (self->netlink < 0)
    tcp_log_debug (log, "changes of the network will not be noticed: %s", g_strerror (errno));
  self->clock = open_clock ();
  if (self->netlink < 0 && self->clock < 0)
    {
      g_free (self);
      return NULL;
    }

  self->thread = tcp_io_thread_acquire (NULL); /* cannot fail, since the thread of the caller runs */
  tcp_io_thread_invoke (self->thread, monitor_start, self, NULL);
  return self;
}

/* Calls @changed in the thread-default main context after a change, at most about once a second. */
TcpNetwork *
tcp_network_new (TcpLog         *log,
                 TcpNetworkFunc  changed,
                 gpointer        user_data)
{
  TcpNetwork *self = g_new0 (TcpNetwork, 1);

  g_atomic_ref_count_init (&self->refs);
  self->context = g_main_context_ref_thread_default ();
  self->changed = changed;
  self->user_data = user_data;

  g_mutex_lock (&lock);
  tcp_fork_watch (in_child);
  if (monitor == NULL)
    monitor = monitor_new (log);
  subscribers = g_slist_prepend (subscribers, self);
  g_mutex_unlock (&lock);

  return self;
}

/* Called in the thread that made it; the callback is not called any more. */
void
tcp_network_free (TcpNetwork *self)
{
  g_mutex_lock (&lock);
  subscribers = g_slist_remove (subscribers, self);
  if (subscribers == NULL && monitor != NULL)
    {
      Monitor *last = g_steal_pointer (&monitor);

      tcp_io_thread_invoke (last->thread, monitor_stop, last, NULL);
    }
  g_mutex_unlock (&lock);

  self->changed = NULL;
  network_unref (self);
}
