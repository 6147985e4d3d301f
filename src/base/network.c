/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/network.h"

#include "io/reactor.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* To go from one network to another is a dozen changes: the first is told at once, and
 * those that follow together. */
#define TELL_EVERY G_TIME_SPAN_SECOND

/* How often is looked whether the machine has slept, and how much the clocks may differ
 * for other reasons. */
#define LOOK_EVERY (5 * G_TIME_SPAN_SECOND)
#define SLEPT_FOR (2 * G_TIME_SPAN_SECOND)

/* GNetworkMonitor would not do. The default one speaks in the main context where it was
 * first asked for, and an application need not run that. One of our own would, in GLib
 * 2.74, speak twice of any route that comes or goes, and read the whole routing table in
 * between; in 2.89 it knows only whether there is a default route, and so misses a machine
 * that goes from one to another. */
struct _TcpNetwork
{
  TcpLog *log;
  TcpNetworkFunc changed;
  gpointer user_data;

  int fd; /* -1 if there is none to be had */
  TcpWatch *messages;
  TcpTimer *tell; /* set if there is something to tell */
  gint64 next_tell;
  TcpTimer *look;
  TcpNetworkClocks clocks;
};

gboolean
tcp_network_has_slept (const TcpNetworkClocks *before,
                       const TcpNetworkClocks *now)
{
  return (now->boot - before->boot) - (now->monotonic - before->monotonic) > SLEPT_FOR;
}

/* Not the life time of an address, which every router advertisement and every
 * DHCP lease sets anew, nor one that leads nowhere (yet). */
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

/* Whether one of the kernel's rtnetlink messages says that this machine is connected
 * in another way than before. */
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
network_note (TcpNetwork *self)
{
  if (tcp_timer_get (self->tell) < 0)
    tcp_timer_set (self->tell, self->next_tell);
}

static void
on_tell (gpointer user_data)
{
  TcpNetwork *self = user_data;

  self->next_tell = tcp_now () + TELL_EVERY;
  self->changed (self->user_data);
}

static void
on_messages (GIOCondition condition,
             gpointer     user_data)
{
  TcpNetwork *self = user_data;
  union
  {
    struct nlmsghdr header;
    guint8 data[8192];
  } messages;
  gssize n;

  while ((n = recv (self->fd, &messages, sizeof (messages), MSG_DONTWAIT)) > 0)
    if (tcp_network_is_change (&messages, n))
      network_note (self);

  /* Some did not fit into the socket's buffer: who knows what they were. */
  if (n < 0 && errno == ENOBUFS)
    network_note (self);
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

static void
on_look (gpointer user_data)
{
  TcpNetwork *self = user_data;
  TcpNetworkClocks now = read_clocks ();

  tcp_timer_set (self->look, tcp_now () + LOOK_EVERY);
  if (tcp_network_has_slept (&self->clocks, &now))
    network_note (self);
  self->clocks = now;
}

static void
network_listen (TcpNetwork *self)
{
  struct sockaddr_nl address = {
    .nl_family = AF_NETLINK,
    .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
  };

  self->fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (self->fd >= 0 && bind (self->fd, (struct sockaddr *) &address, sizeof (address)) == 0)
    {
      self->messages = tcp_watch_new (self->fd, G_IO_IN, on_messages, self);
      return;
    }

  tcp_log_debug (self->log, "changes of the network will not be noticed: %s", g_strerror (errno));
}

/* Calls @changed from the main loop, when something has changed, and at most once a
 * second. */
TcpNetwork *
tcp_network_new (TcpLog         *log,
                 TcpNetworkFunc  changed,
                 gpointer        user_data)
{
  TcpNetwork *self = g_new0 (TcpNetwork, 1);

  self->log = tcp_log_ref (log);
  self->changed = changed;
  self->user_data = user_data;
  self->tell = tcp_timer_new (on_tell, self);
  self->look = tcp_timer_new (on_look, self);
  self->clocks = read_clocks ();
  tcp_timer_set (self->look, tcp_now () + LOOK_EVERY);
  network_listen (self);

  return self;
}

void
tcp_network_free (TcpNetwork *self)
{
  tcp_watch_clear (&self->messages);
  tcp_timer_clear (&self->tell);
  tcp_timer_clear (&self->look);
  if (self->fd >= 0)
    close (self->fd);
  tcp_log_unref (self->log);
  g_free (self);
}
