/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The channels of one engine that are being opened or closed. An engine that ends waits for their closing handshakes,
 * which continue without other references. Each member of the group holds a reference to it. */
typedef struct _TcpChannelGroup TcpChannelGroup;

typedef void (*TcpChannelGroupFunc) (gpointer user_data);

TcpChannelGroup *tcp_channel_group_new (void);
TcpChannelGroup *tcp_channel_group_ref (TcpChannelGroup *self);
void tcp_channel_group_unref (TcpChannelGroup *self);
TcpChannelGroup *tcp_channel_group_enter (TcpChannelGroup *self);
void tcp_channel_group_leave (TcpChannelGroup *self);
void tcp_channel_group_wait (TcpChannelGroup     *self,
                             TcpChannelGroupFunc  func,
                             gpointer             user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpChannelGroup, tcp_channel_group_unref)

G_END_DECLS
