/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "io/pool.h"

G_BEGIN_DECLS

/* Where targets of a gateway are, on one host. Its name is looked up once for all that wait for it, however many these
 * are, and whichever port they want: a lookup takes a thread of the pool that GIO also uses for other things, and a name server may be slow.
 * Whoever asks while a lookup is under way has its result, which also serves those that come a few seconds
 * later. An address is not looked up. However many names clients choose, only so many of them are looked up at
 * once, and others have their turn; those that the gateway was configured with do not wait for them.
 *
 * Safe on all threads. */
typedef struct _TcpTarget TcpTarget;

/* Somebody who waits for the addresses. */
typedef struct _TcpTargetWait TcpTargetWait;

/* On the thread of whoever waits, who has to free the wait. Either @where or @error is NULL. */
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

/* The targets that the gateway was configured with, and those that clients asked for of late. */
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
