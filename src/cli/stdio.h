/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* stdin and stdout as the only connection of a tunnel without a port. */
typedef struct _Stdio Stdio;

/* @error is %NULL if the connection ended in order, and all data has arrived. */
typedef void (*StdioFunc) (const GError *error,
                           gpointer      user_data);

Stdio *stdio_new (TcpTunnel  *tunnel,
                  StdioFunc   func,
                  gpointer    user_data,
                  GError    **error);
void stdio_begin (Stdio *self);
void stdio_free (Stdio *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Stdio, stdio_free)

G_END_DECLS
