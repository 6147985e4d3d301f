/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The file of a listening Unix socket. */
typedef struct
{
  char *path;
  guint64 device;
  guint64 inode;
} TcpSocketFile;

/* the longest possible path, without its final zero byte */
#define TCP_SOCKET_PATH_MAX 107

GPtrArray *tcp_listen_unix (const char     *path,
                            TcpSocketFile  *file,
                            GError        **error);
void tcp_socket_file_remove (TcpSocketFile *file);

G_END_DECLS
