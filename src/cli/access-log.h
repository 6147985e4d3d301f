/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* Writes a line for each connection of a gateway that has ended: a JSON object, in a file or on stdout, or an entry of
 * the journal. A thread writes them, so that a slow disk does not delay connections. */
typedef struct _AccessLog AccessLog;

typedef struct
{
  guint64 written;
  guint64 dropped; /* because the writer was too slow */
  guint64 failed;  /* the writer could not write them */
} AccessLogCounts;

AccessLog *access_log_open (const char  *where,
                            TcpGateway  *gateway,
                            GError     **error);
void access_log_reopen (AccessLog *self);
void access_log_get_counts (const AccessLog *self,
                            AccessLogCounts *counts);
void access_log_close (AccessLog *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AccessLog, access_log_close)

G_END_DECLS
