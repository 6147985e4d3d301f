/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fault-proxy.h"

#include "fault-link.h"
#include "monitor.h"
#include "socket-util.h"
#include "test-util.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define THROTTLE_TICK_MS 5

struct _FaultProxy
{
  GThread *thread;
  Monitor monitor;
  int wake_fd;
  int holder_fd; /* keeps the port while the proxy does not listen */
  int listen_fd;
  guint16 port;
  guint16 gateway_port;

  /* Protected by the lock. A request has taken effect when @served has reached its number. */
  guint64 ordered;
  guint64 served;
  gboolean quit;
  gboolean cut;
  gboolean reset;
  gboolean half_open[2];
  gboolean refuse;
  gboolean accept_then_close;
  gint64 refilled;
  FaultRules rules;
  FaultCounters counters; /* the counts of bytes are in @rules */
  GPtrArray *links;
};

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

static void
accept_link (FaultProxy *proxy)
{
  int fd = accept4 (proxy->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  FaultLink *link;

  if (fd < 0)
    return;

  proxy->counters.links_accepted++;
  if (proxy->accept_then_close)
    {
      close (fd);
      return;
    }

  link = fault_link_new (fd, proxy->rules.black_hole ? -1 : socket_start_connect (proxy->gateway_port));
  link->swallow = link->lost_bytes = proxy->rules.black_hole;
  g_ptr_array_add (proxy->links, link);
}

static void
carry_out_orders (FaultProxy *proxy)
{
  for (guint i = 0; i < proxy->links->len; i++)
    {
      FaultLink *link = proxy->links->pdata[i];

      if (proxy->reset || (link->lost_bytes && !proxy->rules.black_hole && !link->closing))
        fault_link_reset (link);
      else if (proxy->cut)
        fault_link_cut (link);
      for (int side = 0; side < 2; side++)
        if (proxy->half_open[side])
          fault_link_half_open (link, side);
    }

  proxy->reset = proxy->cut = FALSE;
  proxy->half_open[0] = proxy->half_open[1] = FALSE;

  if (proxy->refuse)
    close_fd (&proxy->listen_fd);
  else if (proxy->listen_fd < 0)
    {
      proxy->listen_fd = socket_listen (proxy->port, NULL);
      socket_set_blocking (proxy->listen_fd, FALSE);
    }
}

static void
refill_allowances (FaultProxy *proxy,
                   gint64 now)
{
  double elapsed = (now - proxy->refilled) / 1e6;

  for (int i = 0; i < 2; i++)
    proxy->rules.allowance[i] = MIN (proxy->rules.allowance[i] + elapsed * proxy->rules.rate[i], MAX (proxy->rules.rate[i] / 10.0, 1));
  proxy->refilled = now;
}

static void
count_links (FaultProxy *proxy)
{
  guint open = 0;

  for (guint i = proxy->links->len; i > 0; i--)
    {
      FaultLink *link = proxy->links->pdata[i - 1];

      if (fault_link_is_dead (link))
        g_ptr_array_remove_index_fast (proxy->links, i - 1);
      else if (!link->closing)
        open++;
    }
  proxy->counters.links_open = open;
}

static struct pollfd
watch (int fd,
       short events)
{
  /* poll () reports a hang-up even if no events are requested, and would return at once forever. */
  return (struct pollfd) { .fd = events != 0 ? fd : -1, .events = events };
}

static int
prepare_poll (FaultProxy *proxy,
              GArray *polls,
              gint64 now)
{
  gint64 next = G_MAXINT64;
  struct pollfd poll_fd;

  g_array_set_size (polls, 0);
  poll_fd = watch (proxy->wake_fd, POLLIN);
  g_array_append_val (polls, poll_fd);
  poll_fd = watch (proxy->listen_fd, POLLIN);
  g_array_append_val (polls, poll_fd);

  for (guint i = 0; i < proxy->links->len; i++)
    {
      FaultLink *link = proxy->links->pdata[i];

      for (int side = 0; side < 2; side++)
        {
          poll_fd = watch (link->fds[side], fault_link_wishes (link, &proxy->rules, side, now, &next));
          g_array_append_val (polls, poll_fd);
        }
    }
  for (int i = 0; i < 2; i++)
    if (proxy->rules.rate[i] > 0 && proxy->rules.allowance[i] < 1 && proxy->links->len > 0)
      next = MIN (next, now + THROTTLE_TICK_MS * 1000);

  return next == G_MAXINT64 ? -1 : (int) (MAX (next - now, 0) + 999) / 1000;
}

static gpointer
run (gpointer user_data)
{
  FaultProxy *proxy = user_data;
  g_autoptr (GArray) polls = g_array_new (FALSE, FALSE, sizeof (struct pollfd));

  monitor_enter (&proxy->monitor);
  while (!proxy->quit)
    {
      gint64 now = g_get_monotonic_time ();
      int timeout;
      eventfd_t value;

      refill_allowances (proxy, now);
      carry_out_orders (proxy);
      if (proxy->listen_fd >= 0)
        accept_link (proxy);
      for (guint i = 0; i < proxy->links->len; i++)
        fault_link_serve (proxy->links->pdata[i], &proxy->rules, now);
      count_links (proxy);
      proxy->served = proxy->ordered;
      monitor_changed (&proxy->monitor);

      timeout = prepare_poll (proxy, polls, now);
      monitor_leave (&proxy->monitor);
      poll ((struct pollfd *) (void *) polls->data, polls->len, timeout);
      monitor_enter (&proxy->monitor);
      eventfd_read (proxy->wake_fd, &value);
    }
  monitor_leave (&proxy->monitor);

  return NULL;
}

FaultProxy *
fault_proxy_new (void)
{
  FaultProxy *proxy = g_new0 (FaultProxy, 1);

  monitor_init (&proxy->monitor);
  proxy->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  proxy->holder_fd = socket_bind (0, &proxy->port);
  proxy->listen_fd = socket_listen (proxy->port, NULL);
  socket_set_blocking (proxy->listen_fd, FALSE);
  proxy->links = g_ptr_array_new_with_free_func ((GDestroyNotify) fault_link_free);
  proxy->refilled = g_get_monotonic_time ();
  proxy->thread = g_thread_new ("fault-proxy", run, proxy);

  return proxy;
}

/* Waits, with the lock held, until the thread has applied the change of the caller. */
static void
order (FaultProxy *proxy)
{
  guint64 ticket = ++proxy->ordered;

  eventfd_write (proxy->wake_fd, 1);
  while (proxy->served < ticket)
    monitor_wait (&proxy->monitor, test_deadline ());
}

#define ORDER(proxy, statement) \
  G_STMT_START \
  { \
    monitor_enter (&(proxy)->monitor); \
    statement; \
    order (proxy); \
    monitor_leave (&(proxy)->monitor); \
  } \
  G_STMT_END

void
fault_proxy_free (FaultProxy *proxy)
{
  monitor_enter (&proxy->monitor);
  proxy->quit = TRUE;
  eventfd_write (proxy->wake_fd, 1);
  monitor_leave (&proxy->monitor);
  g_thread_join (proxy->thread);

  g_ptr_array_unref (proxy->links);
  close_fd (&proxy->listen_fd);
  close_fd (&proxy->holder_fd);
  close_fd (&proxy->wake_fd);
  monitor_clear (&proxy->monitor);
  g_free (proxy);
}

guint16
fault_proxy_get_port (FaultProxy *proxy)
{
  return proxy->port;
}

void
fault_proxy_set_gateway (FaultProxy *proxy,
                         guint16 port)
{
  ORDER (proxy, proxy->gateway_port = port);
}

void
fault_proxy_cut (FaultProxy *proxy)
{
  ORDER (proxy, proxy->cut = TRUE);
}

void
fault_proxy_reset (FaultProxy *proxy)
{
  ORDER (proxy, proxy->reset = TRUE);
}

void
fault_proxy_stall (FaultProxy *proxy,
                   FaultDirection direction,
                   gboolean stall)
{
  ORDER (proxy, proxy->rules.stalled[direction] = stall);
}

void
fault_proxy_throttle (FaultProxy *proxy,
                      FaultDirection direction,
                      guint bytes_per_second)
{
  ORDER (proxy, proxy->rules.rate[direction] = bytes_per_second);
}

void
fault_proxy_delay (FaultProxy *proxy,
                   FaultDirection direction,
                   guint milliseconds)
{
  ORDER (proxy, proxy->rules.delay_ms[direction] = milliseconds);
}

void
fault_proxy_black_hole (FaultProxy *proxy,
                        gboolean black_hole)
{
  ORDER (proxy, proxy->rules.black_hole = black_hole);
}

void
fault_proxy_refuse (FaultProxy *proxy,
                    gboolean refuse)
{
  ORDER (proxy, proxy->refuse = refuse);
}

void
fault_proxy_accept_then_close (FaultProxy *proxy,
                               gboolean close_at_once)
{
  ORDER (proxy, proxy->accept_then_close = close_at_once);
}

void
fault_proxy_half_open (FaultProxy *proxy,
                       FaultSide closed_side)
{
  ORDER (proxy, proxy->half_open[closed_side] = TRUE);
}

void
fault_proxy_cut_after (FaultProxy *proxy,
                       FaultDirection direction,
                       guint64 bytes)
{
  ORDER (proxy, proxy->rules.cut_after[direction] = bytes);
}

FaultCounters
fault_proxy_get_counters (FaultProxy *proxy)
{
  FaultCounters counters;

  monitor_enter (&proxy->monitor);
  counters = proxy->counters;
  counters.bytes[0] = proxy->rules.bytes[0];
  counters.bytes[1] = proxy->rules.bytes[1];
  monitor_leave (&proxy->monitor);

  return counters;
}

static gint64
deadline_in (guint timeout_ms)
{
  return g_get_monotonic_time () + (gint64) test_scaled_ms (timeout_ms) * 1000;
}

gboolean
fault_proxy_wait_links (FaultProxy *proxy,
                        guint links_open,
                        guint timeout_ms)
{
  return MONITOR_WAIT_FOR (&proxy->monitor, deadline_in (timeout_ms), proxy->counters.links_open == links_open);
}

gboolean
fault_proxy_wait_accepted (FaultProxy *proxy,
                           guint64 links_accepted,
                           guint timeout_ms)
{
  return MONITOR_WAIT_FOR (&proxy->monitor, deadline_in (timeout_ms), proxy->counters.links_accepted >= links_accepted);
}

gboolean
fault_proxy_wait_bytes (FaultProxy *proxy,
                        FaultDirection direction,
                        guint64 bytes,
                        guint timeout_ms)
{
  return MONITOR_WAIT_FOR (&proxy->monitor, deadline_in (timeout_ms), proxy->rules.bytes[direction] >= bytes);
}
