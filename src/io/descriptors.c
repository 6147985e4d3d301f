/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/descriptors.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* What is left when new connections are refused: an eighth, within these. */
#define MIN_RESERVE 8
#define MAX_RESERVE 1024

/* How many the process may have. It may change. */
guint
tcp_descriptors_get_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > G_MAXINT)
    return G_MAXINT;
  return limit.rlim_cur;
}

/* Whether @fd, which was just opened, may be a connection's. */
gboolean
tcp_descriptors_suffice (int fd)
{
  guint limit = tcp_descriptors_get_limit ();

  return (guint) fd + CLAMP (limit / 8, MIN_RESERVE, MAX_RESERVE) < limit;
}

/* Whether another may be opened for a connection. */
gboolean
tcp_descriptors_are_left (void)
{
  int fd = eventfd (0, EFD_CLOEXEC);

  if (fd < 0)
    return FALSE;
  close (fd);
  return tcp_descriptors_suffice (fd);
}
