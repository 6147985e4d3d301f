/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"
#include "gateway/quota.h"
#include "gateway/reverse-ports.h"
#include "protocol/protocol.h"

G_BEGIN_DECLS

/* The ports on which a gateway listens for one client. The object belongs to one thread. */
typedef struct _TcpReverse TcpReverse;

typedef struct
{
  void (*listening) (guint32     listener,
                     const char *host,
                     guint16     port,
                     gpointer    user_data);
  /* The listener has ended, or could not be opened. May free the whole object. */
  void (*unlistened) (guint32       listener,
                      TcpResetCode  code,
                      const char   *why,
                      gpointer      user_data);
  void (*accepted) (guint32            listener,
                    GSocketConnection *connection,
                    GSocketAddress    *peer,
                    gpointer           user_data);
  /* It is about to open a socket, or to try. */
  void (*opening) (gpointer user_data);
  /* Another session of the same owner waits for a port: call tcp_reverse_yield () if this session is not in use. */
  void (*wanted) (gpointer user_data);
} TcpReverseCallbacks;

/* How long a session waits for a port of another session of the same owner, whose WebSocket may be dead. */
#define TCP_REVERSE_PATIENCE (3 * G_TIME_SPAN_SECOND)

TcpReverse *tcp_reverse_new (TcpReversePorts           *ports,
                             TcpQuota                  *quota,
                             TcpAccount                *owner,
                             TcpIoThread               *thread,
                             TcpLog                    *log,
                             const TcpReverseCallbacks *callbacks,
                             gpointer                   user_data);
void tcp_reverse_free (TcpReverse *self);
gboolean tcp_reverse_is_empty (TcpReverse *self);
void tcp_reverse_listen (TcpReverse *self,
                         guint32     listener,
                         guint16     port);
void tcp_reverse_unlisten (TcpReverse *self,
                           guint32     listener);
void tcp_reverse_yield (TcpReverse *self);
void tcp_reverse_give_way (TcpReverse *self,
                           gint64      since);
void tcp_reverse_set_resting (TcpReverse *self,
                              gboolean    resting);
gboolean tcp_reverse_end_revoked (TcpReverse *self);
void tcp_reverse_give_up (TcpReverse   *self,
                          TcpResetCode  code,
                          const char   *why);
GVariant *tcp_reverse_save (TcpReverse *self);
void tcp_reverse_restore (TcpReverse *self,
                          GVariant   *listeners);

G_END_DECLS
