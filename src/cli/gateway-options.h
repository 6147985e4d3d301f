/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/option-set.h"

G_BEGIN_DECLS

OptionSet *gateway_options_new (void);
void gateway_options_take_sockets (const OptionSet *self,
                                   TcpGateway      *gateway,
                                   Problems        *problems);
OptionSet *gateway_principal_options_new (void);

G_END_DECLS
