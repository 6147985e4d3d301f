/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bench-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNSENT_LIMIT (2 * BENCH_BLOCK)

static void
die (const char *what)
{
  g_printerr ("%s: %s: %s\n", g_get_prgname (), what, g_strerror (errno));
  exit (EXIT_FAILURE);
}

BenchStats *
bench_stats_open (const char *path)
{
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void *stats;

  if (fd < 0 || ftruncate (fd, sizeof (BenchStats)) < 0)
    die (path);
  stats = mmap (NULL, sizeof (BenchStats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (stats == MAP_FAILED)
    die (path);
  close (fd);

  return stats;
}

void
bench_stats_add (BenchStats *stats,
                 gsize bytes)
{
  __atomic_fetch_add (&stats->discarded, bytes, __ATOMIC_RELAXED);
}

guint64
bench_stats_read (BenchStats *stats)
{
  return __atomic_load_n (&stats->discarded, __ATOMIC_RELAXED);
}

int
bench_listen (guint16 *port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || bind (fd, (struct sockaddr *) &address, length) < 0 || listen (fd, SOMAXCONN) < 0 ||
      getsockname (fd, (struct sockaddr *) &address, &length) < 0)
    die ("listen");
  *port = ntohs (address.sin_port);

  return fd;
}

guint16
bench_parse_port (const char *text)
{
  guint64 port;
  g_autoptr (GError) error = NULL;

  if (!g_ascii_string_to_unsigned (text, 10, 1, G_MAXUINT16, &port, &error))
    {
      g_printerr ("%s: %s\n", g_get_prgname (), error->message);
      exit (EXIT_FAILURE);
    }

  return port;
}

static void
set_no_delay (int fd)
{
  int yes = 1;

  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void
bench_send_from_own_time (int fd)
{
  int limit = UNSENT_LIMIT;

  setsockopt (fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof limit);
}

int
bench_connect (guint16 port)
{
  struct sockaddr_in address = {
    .sin_family = AF_INET,
    .sin_port = htons (port),
    .sin_addr.s_addr = htonl (INADDR_LOOPBACK),
  };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0)
    die ("socket");
  if (connect (fd, (struct sockaddr *) &address, sizeof address) < 0)
    {
      close (fd);
      return -1;
    }
  set_no_delay (fd);

  return fd;
}

int
bench_accept (int listener)
{
  int fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);

  if (fd >= 0)
    set_no_delay (fd);
  else if (errno != ECONNABORTED && errno != EINTR)
    die ("accept");

  return fd;
}

gboolean
bench_send_all (int fd,
                const void *data,
                gsize length)
{
  const guint8 *bytes = data;

  while (length > 0)
    {
      gssize sent = send (fd, bytes, length, MSG_NOSIGNAL);

      if (sent < 0 && errno == EINTR)
        continue;
      if (sent < 0)
        return FALSE;
      bytes += sent;
      length -= sent;
    }

  return TRUE;
}

gboolean
bench_recv_all (int fd,
                void *data,
                gsize length)
{
  guint8 *bytes = data;

  while (length > 0)
    {
      gssize received = bench_recv (fd, bytes, length);

      if (received < 0)
        return FALSE;
      bytes += received;
      length -= received;
    }

  return TRUE;
}

gssize
bench_recv (int fd,
            void *data,
            gsize length)
{
  gssize received;

  do
    received = recv (fd, data, length, 0);
  while (received < 0 && errno == EINTR);

  return received > 0 ? received : -1;
}

/* Removes bytes from the socket without copying them: this is the cheapest way to read. */
gssize
bench_drop (int fd,
            gsize length)
{
  gssize received;

  do
    received = recv (fd, NULL, length, MSG_TRUNC);
  while (received < 0 && errno == EINTR);

  return received > 0 ? received : -1;
}
