/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* Keeps adb connected to a tunnel. */
typedef struct _Adb Adb;

typedef struct
{
  void (*said) (const char *line,
                gpointer    data);
  void (*failed) (const char *problem,
                  gpointer    data);
  void (*ended) (gpointer data); /* adb has disconnected, after adb_stop () */
} AdbCallbacks;

gboolean adb_check (GError **error);
Adb *adb_new (TcpTunnel          *tunnel,
              const AdbCallbacks *callbacks,
              gpointer            data);
void adb_free (Adb *self);
gboolean adb_is_running (Adb *self);
void adb_stop (Adb *self);
void adb_kill (Adb *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Adb, adb_free)

G_END_DECLS
