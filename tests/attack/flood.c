/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "flood.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HALF_A_REQUEST "GET / HTTP/1.1\r\nHost: gateway\r\n"

/* The interval at which connections are opened and bytes are sent. */
#define TICK_MS 10
#define TICKS_A_SECOND (1000 / TICK_MS)

/* The smallest beginning of a TLS handshake: the server answers it, and waits. */
static const guint8 client_hello[] = {
  0x16, 3, 1, 0, 77,               /* a handshake record, its length */
  1, 0, 0, 73, 3, 3,               /* a ClientHello, its length; TLS 1.2 */
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
  0,                               /* no session */
  0, 4, 0xc0, 0x2f, 0xc0, 0x2b,    /* ECDHE with RSA or ECDSA, AES-128-GCM */
  1, 0,                            /* no compression */
  0, 28,                           /* the extensions */
  0, 10, 0, 4, 0, 2, 0, 23,        /* groups: secp256r1 */
  0, 11, 0, 2, 1, 0,               /* point formats: uncompressed */
  0, 13, 0, 10, 0, 8, 4, 1, 8, 4, 4, 3, 5, 1, /* signature algorithms */
};

G_STATIC_ASSERT (sizeof client_hello == 5 + 77);

typedef struct
{
  const FloodOptions *options;
  int epoll;
  int *fds; /* -1 for none */
  guint opened;
  guint next_address;
  guint tick;
} Flood;

static gint64
now_ms (void)
{
  return g_get_monotonic_time () / 1000;
}

static void
flood_close (Flood *self,
             guint i)
{
  struct linger at_once = { .l_onoff = 1 };

  /* Otherwise the ports would be used up. */
  setsockopt (self->fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close (self->fds[i]);
  self->fds[i] = -1;
}

static void
flood_open (Flood *self,
            guint i)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT, .data.u32 = i };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    return;
  if (self->options->many)
    {
      int on = 1;

      setsockopt (fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      address.sin_addr.s_addr = htonl (0x7f010000 + self->next_address++ % 0xff0000);
      bind (fd, (struct sockaddr *) &address, sizeof address);
    }
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  address.sin_port = htons (self->options->port);
  if (connect (fd, (struct sockaddr *) &address, sizeof address) < 0 && errno != EINPROGRESS)
    {
      close (fd);
      return;
    }
  self->fds[i] = fd;
  self->opened++;
  epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
flood_send (Flood *self,
            guint i,
            const void *data,
            gsize length)
{
  if (send (self->fds[i], data, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
    flood_close (self, i);
}

/* Called when the connection is established. */
static void
flood_begin (Flood *self,
             guint i)
{
  struct epoll_event event = { .events = EPOLLRDHUP, .data.u32 = i };

  epoll_ctl (self->epoll, EPOLL_CTL_MOD, self->fds[i], &event);
  if (self->options->kind == FLOOD_HELLO)
    flood_send (self, i, client_hello, sizeof client_hello);
  if (self->options->kind == FLOOD_HALF)
    flood_send (self, i, HALF_A_REQUEST, strlen (HALF_A_REQUEST));
}

static void
flood_tick (Flood *self)
{
  const FloodOptions *options = self->options;
  guint budget = options->rate / TICKS_A_SECOND;

  self->tick++;
  for (guint i = 0; i < options->sockets && budget > 0; i++)
    if (self->fds[i] < 0)
      {
        flood_open (self, i);
        budget--;
      }
  if (options->kind == FLOOD_TRICKLE)
    for (guint i = self->tick % TICKS_A_SECOND; i < options->sockets; i += TICKS_A_SECOND)
      if (self->fds[i] >= 0)
        flood_send (self, i, "G", 1);
}

void
flood_run (const FloodOptions *options)
{
  Flood self = { .options = options, .epoll = epoll_create1 (EPOLL_CLOEXEC) };
  gint64 next = now_ms ();
  gboolean ready = FALSE;

  self.fds = g_new (int, options->sockets);
  for (guint i = 0; i < options->sockets; i++)
    self.fds[i] = -1;

  while (TRUE)
    {
      struct epoll_event events[256];
      int n = epoll_wait (self.epoll, events, G_N_ELEMENTS (events), CLAMP (next - now_ms (), 0, TICK_MS));

      for (int i = 0; i < n; i++)
        if (self.fds[events[i].data.u32] < 0)
          continue;
        else if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
          flood_close (&self, events[i].data.u32);
        else
          flood_begin (&self, events[i].data.u32);
      if (now_ms () >= next)
        {
          flood_tick (&self);
          next += TICK_MS;
        }
      if (!ready && self.opened >= options->sockets)
        {
          ready = TRUE;
          puts ("ready");
          fflush (stdout);
        }
    }
}
