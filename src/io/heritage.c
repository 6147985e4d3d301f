/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/heritage.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns the inode with which a descriptor can be recognized as the same socket later; 0 if it is not a socket. */
guint64
tcp_socket_get_inode (int fd)
{
  struct stat info;

  return fstat (fd, &info) == 0 && S_ISSOCK (info.st_mode) ? info.st_ino : 0;
}

static gboolean
is_same (int     fd,
         guint64 inode)
{
  return fd > STDERR_FILENO && inode != 0 && tcp_socket_get_inode (fd) == inode;
}

/* Sets whether the socket stays open when another program replaces this one. */
void
tcp_socket_set_inherited (int      fd,
                          guint64  inode,
                          gboolean inherited)
{
  if (is_same (fd, inode))
    fcntl (fd, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

/* Sets whether its peer sees a reset when it is closed, even by the end of the process. */
void
tcp_socket_set_doomed (int      fd,
                       guint64  inode,
                       gboolean doomed)
{
  struct linger at_once = { .l_onoff = doomed, .l_linger = 0 };

  if (is_same (fd, inode))
    setsockopt (fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* Returns the socket of the previous program. NULL if it does not exist any more. */
GSocket *
tcp_socket_inherit (int     fd,
                    guint64 inode)
{
  GSocket *socket;

  if (!is_same (fd, inode))
    return NULL;
  tcp_socket_set_inherited (fd, inode, FALSE);
  socket = g_socket_new_from_fd (fd, NULL);
  if (socket == NULL)
    {
      close (fd);
      return NULL;
    }
  tcp_socket_set_doomed (fd, inode, FALSE);
  g_socket_set_blocking (socket, FALSE);
  return socket;
}
