/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

#include "gateway/client-state.h"

G_BEGIN_DECLS

/* The state of a gateway, saved in memory that another program inherits: a sealed memfd with a header and records, each
 * of which is a GVariant. It contains no tokens. */

/* The version of the records and their format. */
#define TCP_SNAPSHOT_VERSION 1

/* A listener: its sockets, as descriptor and inode; the file of a Unix socket with its device and inode. */
#define TCP_PORT_STATE_TYPE "(a(it)m(stt))"
/* The listeners; the counters: connections, bytes sent and received, resumes, bytes replayed. */
#define TCP_GATEWAY_STATE_TYPE "(a" TCP_PORT_STATE_TYPE "ttttt)"
/* Ids of ended sessions, with the names of their principals, oldest first. */
#define TCP_GONE_STATE_TYPE "a(ss)"

typedef enum
{
  TCP_SNAPSHOT_GATEWAY = 1, /* exactly one, the first record */
  TCP_SNAPSHOT_CLIENT,
  TCP_SNAPSHOT_GONE,
} TcpSnapshotKind;

/* A snapshot that is being written, by several threads. */
typedef struct _TcpSnapshot TcpSnapshot;

TcpSnapshot *tcp_snapshot_new (GError **error);
TcpSnapshot *tcp_snapshot_ref (TcpSnapshot *self);
void tcp_snapshot_unref (TcpSnapshot *self);
void tcp_snapshot_add (TcpSnapshot     *self,
                       TcpSnapshotKind  kind,
                       GVariant        *record);
void tcp_snapshot_add_socket (TcpSnapshot *self,
                              int          fd,
                              gboolean     listens,
                              gboolean     inherited);
int tcp_snapshot_finish (TcpSnapshot  *self,
                         GError      **error);
void tcp_snapshot_set_leaving (TcpSnapshot *self,
                               gboolean     leaving);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpSnapshot, tcp_snapshot_unref)

/* A snapshot that was read, and is valid. */
typedef struct
{
  gatomicrefcount refs;
  GVariant *gateway;
  GPtrArray *clients; /* of GVariant */
  GPtrArray *gone;    /* likewise */
} TcpHeritage;

TcpHeritage *tcp_heritage_read (int      fd,
                                GError **error);
TcpHeritage *tcp_heritage_ref (TcpHeritage *self);
void tcp_heritage_unref (TcpHeritage *self);
void tcp_heritage_reset_client (GVariant *state);
void tcp_heritage_reset (TcpHeritage *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpHeritage, tcp_heritage_unref)

G_END_DECLS
