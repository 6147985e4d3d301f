/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "io/pool.h"

G_BEGIN_DECLS

/* The addresses of a target of a gateway, on one host. A name is looked up once for all connections that wait for it,
 * whatever their number and their ports: a lookup takes a thread of the pool that GIO also uses for other things, and a
 * name server may be slow. Requests during a lookup get its result, and so do those within a few seconds after it. An
 * address is not looked up. The number of names chosen by clients that are looked up at once is limited, and others
 * take turns; names of the configuration do not wait for them.
 *
 * Safe on all threads. */
typedef struct _TcpTarget TcpTarget;

/* A call that waits for the addresses. */
typedef struct _TcpTargetWait TcpTargetWait;

/* Called on the thread of the caller, which must free the wait. Either @where or @error is NULL. */
typedef void (*TcpTargetFunc) (GSocketConnectable *where,
                               const GError       *error,
                               gpointer            user_data);

TcpTarget *tcp_target_ref (TcpTarget *self);
void tcp_target_unref (TcpTarget *self);
GSocketConnectable *tcp_target_get (TcpTarget *self,
                                    guint16    port);
TcpTargetWait *tcp_target_wait (TcpTarget     *self,
                                guint16        port,
                                TcpIoThread   *thread,
                                TcpTargetFunc  func,
                                gpointer       user_data);
void tcp_target_wait_free (TcpTargetWait *self);

/* The targets of the configuration, and those that clients have recently requested. */
typedef struct _TcpTargetBook TcpTargetBook;

TcpTargetBook *tcp_target_book_new (guint timeout);
void tcp_target_book_free (TcpTargetBook *self);
TcpTarget *tcp_target_book_get (TcpTargetBook *self,
                                const char    *host_and_port,
                                gboolean       is_configured,
                                guint16       *port);
void tcp_target_book_forget (TcpTargetBook *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTarget, tcp_target_unref)

G_END_DECLS
