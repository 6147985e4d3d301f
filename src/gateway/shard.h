/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/request.h"
#include "gateway/shared.h"
#include "gateway/snapshot.h"
#include "gateway/transport.h"

G_BEGIN_DECLS

/* The clients of a gateway on one I/O thread, with their sessions, the ids of ended ones, and the held WebSockets. All
 * of this is only used on this thread; the functions here are for other threads. */
typedef struct _TcpShard TcpShard;

/* The shard has drained or closed, or the drained gateway has no connection on it any more. Called on its thread; never
 * after tcp_shard_close_sync () has returned. */
typedef void (*TcpShardFunc) (gpointer user_data);

TcpShard *tcp_shard_new (TcpShared    *shared,
                         guint         index,
                         gboolean      draining,
                         TcpShardFunc  func,
                         gpointer      user_data);
TcpShard *tcp_shard_ref (TcpShard *self);
void tcp_shard_unref (TcpShard *self);
void tcp_shard_admit (TcpShard     *self,
                      TcpRequest   *request,
                      const char   *answer,
                      TcpTransport *transport);
void tcp_shard_review (TcpShard  *self,
                       TcpRoster *roster,
                       TcpRoster *former);
void tcp_shard_drain (TcpShard *self);
void tcp_shard_close (TcpShard *self);
void tcp_shard_close_sync (TcpShard *self);

/* The steps of a restart. Each of the first three begins when all shards have completed the one before. */
typedef enum
{
  TCP_SHARD_STOP,      /* nothing is read, written or called any more */
  TCP_SHARD_SETTLE,    /* calls from one thread to another have arrived */
  TCP_SHARD_SAVE,      /* the snapshot is complete */
  TCP_SHARD_SEND_AWAY, /* clients that can return were asked to */
  TCP_SHARD_RESUME,    /* everything continues in this process */
} TcpShardStep;

void tcp_shard_take_step (TcpShard     *self,
                          TcpShardStep  step,
                          TcpSnapshot  *snapshot,
                          TcpShardFunc  func,
                          gpointer      user_data);
void tcp_shard_take_step_sync (TcpShard     *self,
                               TcpShardStep  step);
void tcp_shard_restore (TcpShard   *self,
                        TcpAccount *principal,
                        GVariant   *client);
void tcp_shard_restore_gone (TcpShard   *self,
                             TcpAccount *principal,
                             const char *session_id);
gboolean tcp_shard_has_drained (TcpShard *self);
gboolean tcp_shard_has_closed (TcpShard *self);

G_END_DECLS
