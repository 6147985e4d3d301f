/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/option-set.h"

G_BEGIN_DECLS

/* The settings of a gateway, from the command line and its file. */
typedef struct _GatewayConfig GatewayConfig;

GatewayConfig *gateway_config_load (const OptionSet *given,
                                    Problems        *problems);
void gateway_config_free (GatewayConfig *self);

const OptionSet *gateway_config_get_options (GatewayConfig *self);
char **gateway_config_list_files (GatewayConfig *self);
void gateway_config_apply (GatewayConfig *self,
                           TcpGateway    *gateway,
                           Problems      *problems);
void gateway_config_explain (GatewayConfig *self,
                             GError        *error,
                             Problems      *problems);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GatewayConfig, gateway_config_free)

G_END_DECLS
