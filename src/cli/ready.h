/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* Checks whether the target of a gateway can be reached. It is tried at most every few seconds, however often this is
 * requested, and never without a request. */
typedef struct _Ready Ready;

typedef void (*ReadyFunc) (const GError *error,
                           gpointer      data);

Ready *ready_new (TcpGateway *gateway);
void ready_free (Ready *self);
void ready_ask (Ready     *self,
                ReadyFunc  func,
                gpointer   data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Ready, ready_free)

G_END_DECLS
