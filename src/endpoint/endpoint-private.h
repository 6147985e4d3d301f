/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "base/log.h"
#include "base/status.h"
#include "endpoint/runner.h"
#include "endpoint/settings.h"

G_BEGIN_DECLS

struct _TcpEndpoint
{
  GObject parent_instance;
  TcpLog *log;
  TcpStatus *status;
  TcpRunner runner;
  gpointer settings; /* those of the class; under the lock of the runner */

  /* only used in the context of the events */
  GListStore *connections;
  guint run;  /* the last run of the runner of which an event was emitted, other than its end */
  guint over; /* the last run that has ended */
};

struct _TcpEndpointClass
{
  GObjectClass parent_class;
  const char *kind; /* the name in the log of an endpoint without one */
  const TcpSettings *settings;
  const TcpRunnerClass *runner_class; /* the owner is the endpoint, and its `emit` is tcp_endpoint_emit () */
  void (*emit) (TcpEndpoint *self, /* handles the other events; the engine is NULL if it is gone */
                gpointer     engine,
                TcpEvent    *event);
};

void tcp_endpoint_class_install (TcpEndpointClass  *klass,
                                 const TcpSettings *settings);
void tcp_endpoint_emit (gpointer  owner,
                        gpointer  engine,
                        TcpEvent *event);

G_END_DECLS
