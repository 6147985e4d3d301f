/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "cli/options.h"
#include "cli/problems.h"

G_BEGIN_DECLS

/* What the command is told of its gateway. See the table in gateway-options.c for how to add an option. */
typedef struct _GatewayOptions GatewayOptions;

GatewayOptions *gateway_options_new (void);
void gateway_options_free (GatewayOptions *self);
GOptionEntry *gateway_options_make_entries (GatewayOptions *self);
const OptionsSection *gateway_options_get_sections (void);

const char *gateway_options_get (const GatewayOptions *self,
                                 const char           *name);
const char *const *gateway_options_get_list (const GatewayOptions *self,
                                             const char           *name);
gboolean gateway_options_get_flag (const GatewayOptions *self,
                                   const char           *name);
void gateway_options_read_duration (const GatewayOptions *self,
                                    const char           *name,
                                    guint                *value);
void gateway_options_read_boolean (const GatewayOptions *self,
                                   const char           *name,
                                   gboolean             *value);
gboolean gateway_options_take_socket (const GatewayOptions  *self,
                                      TcpGateway            *gateway,
                                      GError               **error);
void gateway_options_apply (const GatewayOptions *self,
                            TcpGateway           *gateway,
                            Problems             *problems);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GatewayOptions, gateway_options_free)

G_END_DECLS
