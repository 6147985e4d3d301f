/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>
#include <tcptunnel/tcptunnel.h>

#include "cli/access-log.h"

G_BEGIN_DECLS

/* The metrics of a gateway, in the text format of Prometheus, version 0.0.4. */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

char *metrics_format (TcpGateway      *gateway,
                      gboolean         draining,
                      const AccessLog *log);

void metrics_describe (TcpGateway  *gateway,
                       JsonBuilder *builder);

G_END_DECLS
