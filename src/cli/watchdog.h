/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

void watchdog_start (TcpEndpoint *endpoint);

G_END_DECLS
