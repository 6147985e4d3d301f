/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The ids of recently closed streams. Data that was on its way for them must not open them again. */
#define TCP_CLOSED_IDS_SPAN (30 * G_TIME_SPAN_SECOND)
#define TCP_CLOSED_IDS_CAP 4096

typedef struct _TcpClosedIds TcpClosedIds;

TcpClosedIds *tcp_closed_ids_new (void);
void tcp_closed_ids_free (TcpClosedIds *self);
void tcp_closed_ids_add (TcpClosedIds *self,
                         guint32       id,
                         gint64        now);
gboolean tcp_closed_ids_contains (TcpClosedIds *self,
                                  guint32       id,
                                  gint64        now);

void tcp_closed_ids_prune (TcpClosedIds *self,
                           gint64        now);
gint64 tcp_closed_ids_next_timeout (TcpClosedIds *self);
gsize tcp_closed_ids_get_size (TcpClosedIds *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpClosedIds, tcp_closed_ids_free)

G_END_DECLS
