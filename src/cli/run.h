/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <json-glib/json-glib.h>

#include "cli/settings.h"

G_BEGIN_DECLS

/* A tunnel from its start to its end. */
typedef struct _Run Run;

typedef enum
{
  RUN_STARTING,
  RUN_READY,
  RUN_ENDING,
  RUN_ENDED,
} RunPhase;

typedef struct
{
  const char *command;
  gboolean several; /* messages begin with a name */
  gboolean json;
  gboolean quiet;
  gboolean stdio; /* carries stdin and stdout instead of listening */
  gboolean adb;   /* adb is kept connected */
} RunOptions;

/* Data that all tunnels of a command share. */
typedef struct
{
  RunOptions options;
  guint name_width; /* of the longest name, in columns */
  void (*changed) (Run     *run,
                   gpointer data); /* the phase has changed, or the state of the tunnel */
  gpointer data;
} RunShared;

Run *run_new (const Settings   *settings,
              const RunShared  *shared,
              GError          **error);
void run_free (Run *self);
void run_start (Run *self);
gboolean run_stop (Run *self);

RunPhase run_get_phase (Run *self);
gboolean run_is_waiting (Run *self);
int run_get_exit_status (Run *self);
TcpTunnel *run_get_tunnel (Run *self);
void run_describe (Run         *self,
                   JsonBuilder *builder);

G_END_DECLS
