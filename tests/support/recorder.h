/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

G_BEGIN_DECLS

/* Records the signals of a tunnel. It is used in the thread of the main context, and does not keep the tunnel
 * alive. */
typedef struct
{
  TcpTunnel *tunnel; /* weak */
  GString *states; /* "connecting connected …" */
  GArray *delays; /* guint, in ms: the delays of retry-scheduled, */
  guint last_attempt;
  GError *retry_error; /* and its last error */
  guint opened;
  guint closed;
  guint64 last_id;
  GError *closed_error; /* of the last connection that closed */
  guint failures;
  GError *failure;
  TcpTunnelState last_state;
  GHashTable *open_ids;
} Recorder;

Recorder *recorder_new (TcpTunnel *tunnel);
void recorder_free (Recorder *recorder);
void recorder_clear_states (Recorder *recorder);

/* Waits until that many states have been signalled, then compares them. */
void recorder_expect_states (Recorder *recorder,
                             const char *states);

const char *test_state_nick (TcpTunnelState state);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Recorder, recorder_free)

G_END_DECLS
