/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/option-set.h"

G_BEGIN_DECLS

/* Where a gateway listens: the option listen. */
void gateway_listen_apply (const OptionValue *value,
                           GObject           *gateway,
                           Problems          *problems);
void gateway_listen_take_sockets (const OptionValue *value,
                                  TcpGateway        *gateway,
                                  Problems          *problems);

G_END_DECLS
