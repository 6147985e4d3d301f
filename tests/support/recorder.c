/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "recorder.h"

#include "endpoint.h"
#include "test-util.h"

#include <string.h>

const char *
test_state_nick (TcpTunnelState state)
{
  switch (state)
    {
    case TCP_TUNNEL_STATE_DISCONNECTED:
      return "disconnected";
    case TCP_TUNNEL_STATE_CONNECTING:
      return "connecting";
    case TCP_TUNNEL_STATE_CONNECTED:
      return "connected";
    case TCP_TUNNEL_STATE_RECONNECTING:
      return "reconnecting";
    default:
      g_assert_not_reached ();
    }
}

static void
on_state_changed (TcpTunnel *tunnel,
                  TcpTunnelState state,
                  Recorder *recorder)
{
  if (recorder->states->len > 0)
    g_string_append_c (recorder->states, ' ');
  g_string_append (recorder->states, test_state_nick (state));
  recorder->last_state = state;
}

static void
on_retry_scheduled (TcpTunnel *tunnel,
                    GError *error,
                    guint attempt,
                    guint delay,
                    Recorder *recorder)
{
  g_assert_nonnull (error);
  g_assert_cmpuint (attempt, >, 0);
  g_assert_cmpint (recorder->last_state, ==, TCP_TUNNEL_STATE_RECONNECTING);
  g_array_append_val (recorder->delays, delay);
  recorder->last_attempt = attempt;
  g_clear_error (&recorder->retry_error);
  recorder->retry_error = g_error_copy (error);
}

static void
on_opened (TcpTunnel *tunnel,
           TcpConnection *connection,
           Recorder *recorder)
{
  g_autofree char *path = test_dup_string (tunnel, "socket-path");
  guint64 id = tcp_connection_get_id (connection);

  /* A tunnel with a socket path has no clients with an address. */
  g_assert_true (path == NULL || !G_IS_INET_SOCKET_ADDRESS (tcp_connection_get_client_address (connection)));
  g_assert_false (tcp_connection_get_closed (connection));
  /* Each id is signalled once, and before its end. */
  g_assert_true (g_hash_table_add (recorder->open_ids, g_memdup2 (&id, sizeof id)));
  recorder->opened++;
  recorder->last_id = id;
}

static void
on_closed (TcpTunnel *tunnel,
           TcpConnection *connection,
           Recorder *recorder)
{
  guint64 id = tcp_connection_get_id (connection);

  g_assert_true (tcp_connection_get_closed (connection));
  g_assert_true (g_hash_table_remove (recorder->open_ids, &id));
  g_clear_error (&recorder->closed_error);
  recorder->closed_error = tcp_connection_dup_error (connection);
  recorder->closed++;
}

static void
on_failed (TcpTunnel *tunnel,
           GError *error,
           Recorder *recorder)
{
  g_assert_nonnull (error);
  g_assert_cmpint (recorder->last_state, ==, TCP_TUNNEL_STATE_DISCONNECTED);
  g_clear_error (&recorder->failure);
  recorder->failure = g_error_copy (error);
  recorder->failures++;
}

Recorder *
recorder_new (TcpTunnel *tunnel)
{
  Recorder *recorder = g_new0 (Recorder, 1);

  recorder->tunnel = tunnel;
  g_object_add_weak_pointer (G_OBJECT (tunnel), (gpointer *) &recorder->tunnel);
  recorder->states = g_string_new (NULL);
  recorder->delays = g_array_new (FALSE, FALSE, sizeof (guint));
  recorder->open_ids = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_signal_connect (tunnel, "state-changed", G_CALLBACK (on_state_changed), recorder);
  g_signal_connect (tunnel, "retry-scheduled", G_CALLBACK (on_retry_scheduled), recorder);
  g_signal_connect (tunnel, "connection-opened", G_CALLBACK (on_opened), recorder);
  g_signal_connect (tunnel, "connection-closed", G_CALLBACK (on_closed), recorder);
  g_signal_connect (tunnel, "failed", G_CALLBACK (on_failed), recorder);

  return recorder;
}

void
recorder_free (Recorder *recorder)
{
  if (recorder->tunnel != NULL)
    {
      g_signal_handlers_disconnect_by_data (recorder->tunnel, recorder);
      g_object_remove_weak_pointer (G_OBJECT (recorder->tunnel), (gpointer *) &recorder->tunnel);
    }
  g_string_free (recorder->states, TRUE);
  g_array_unref (recorder->delays);
  g_clear_error (&recorder->retry_error);
  g_hash_table_unref (recorder->open_ids);
  g_clear_error (&recorder->closed_error);
  g_clear_error (&recorder->failure);
  g_free (recorder);
}

void
recorder_clear_states (Recorder *recorder)
{
  g_string_truncate (recorder->states, 0);
}

void
recorder_expect_states (Recorder *recorder,
                        const char *states)
{
  WAIT_UNTIL (recorder->states->len >= strlen (states));
  g_assert_cmpstr (recorder->states->str, ==, states);
}
