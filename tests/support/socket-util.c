/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "socket-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in
loopback (guint16 port)
{
  return (struct sockaddr_in) {
    .sin_family = AF_INET,
    .sin_port = htons (port),
    .sin_addr.s_addr = htonl (INADDR_LOOPBACK),
  };
}

static int
new_socket (int flags)
{
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  int on = 1;

  g_assert_cmpint (fd, >=, 0);
  g_assert_no_errno (setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  g_assert_no_errno (setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  return fd;
}

int
socket_bind (guint16 port,
             guint16 *bound_port)
{
  struct sockaddr_in address = loopback (port);
  socklen_t length = sizeof address;
  int fd = new_socket (0);

  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, length));
  g_assert_no_errno (getsockname (fd, (struct sockaddr *) &address, &length));
  if (bound_port != NULL)
    *bound_port = ntohs (address.sin_port);

  return fd;
}

int
socket_listen (guint16 port,
               guint16 *bound_port)
{
  int fd = socket_bind (port, bound_port);

  g_assert_no_errno (listen (fd, SOMAXCONN));
  return fd;
}

static gboolean
is_free (guint16 port)
{
  struct sockaddr_in address = loopback (port);
  int fd = new_socket (0);
  int result = bind (fd, (struct sockaddr *) &address, sizeof address);

  close (fd);
  return result == 0;
}

/* Returns the first of @n free ports in a row, outside the range from which the system assigns ports. */
guint16
socket_find_ports (guint n)
{
  for (;;)
    {
      guint16 first = g_random_int_range (10000, 30000 - n);
      guint i = 0;

      while (i < n && is_free (first + i))
        i++;
      if (i == n)
        return first;
    }
}

guint16
socket_find_port (void)
{
  return socket_find_ports (1);
}

int
socket_start_connect (guint16 port)
{
  struct sockaddr_in address = loopback (port);
  int fd = new_socket (SOCK_NONBLOCK);

  /* A refusal is reported when the socket is used. */
  connect (fd, (struct sockaddr *) &address, sizeof address);
  return fd;
}

void
socket_set_blocking (int fd,
                     gboolean blocking)
{
  int flags = fcntl (fd, F_GETFL);

  g_assert_no_errno (fcntl (fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK));
}

void
socket_reset (int fd)
{
  struct linger linger = { .l_onoff = 1, .l_linger = 0 };

  setsockopt (fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close (fd);
}
