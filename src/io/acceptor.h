/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "base/log.h"

G_BEGIN_DECLS

/* Accepts connections on listening sockets, on the reactor of the thread that made it.
 *
 * A socket that cannot accept remains readable, for example while the process has no file descriptor left. After every
 * error the acceptor therefore pauses for a moment. It logs a warning at the first error, and a line when there was
 * none for a while. */
typedef struct _TcpAcceptor TcpAcceptor;

/* May free the acceptor. */
typedef void (*TcpAcceptFunc) (GSocketConnection *connection,
                               GSocketAddress    *peer,
                               gpointer           user_data);

/* The length of a pause, and the time without an error after which the failure is over. */
#define TCP_ACCEPTOR_PAUSE (100 * G_TIME_SPAN_MILLISECOND)
#define TCP_ACCEPTOR_RECOVERY (G_TIME_SPAN_SECOND)

TcpAcceptor *tcp_acceptor_new (GPtrArray     *sockets,
                               TcpLog        *log,
                               TcpAcceptFunc  func,
                               gpointer       user_data);
void tcp_acceptor_set_resting (TcpAcceptor *self,
                               gboolean     resting);
int tcp_acceptor_get_descriptor (TcpAcceptor *self,
                                 guint        index);
void tcp_acceptor_free (TcpAcceptor *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpAcceptor, tcp_acceptor_free)

G_END_DECLS
