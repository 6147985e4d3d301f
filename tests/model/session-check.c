/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-check.h"

/* What has to hold in a session at any time, whatever its peer does. */

/* Answers that the session does not wait with, beyond what the channel likes. */
#define SPARE_PENDING 4096

static void
check_retained (TcpSession *session)
{
  TcpRetained *retained = &session->resumable.retained;
  guint64 number = retained->first;
  gsize bytes = 0;

  g_assert_cmpuint (retained->first, <=, retained->sent);
  g_assert_cmpuint (retained->sent, <=, retained->next);
  g_assert_cmpuint (retained->most, <=, retained->next);
  g_assert_cmpuint (retained->frames.length, ==, retained->next - retained->first);
  for (GList *l = retained->frames.head; l != NULL; l = l->next, number++)
    {
      TcpBuffer *frame = l->data;

      g_assert_true ((l == retained->unsent) == (number == retained->sent));
      g_assert_cmpuint (frame->refs, >=, 1);
      g_assert_cmpuint (frame->refs, <=, 2);
      bytes += sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + frame->capacity;
    }
  g_assert_true ((retained->unsent == NULL) == (retained->sent == retained->next));
  g_assert_cmpuint (bytes, ==, retained->bytes);
  g_assert_cmpuint (bytes, <=, session->max_retained + TCP_RESUMABLE_SPARE_ROOM +
                               (session->max_streams + 1) * TCP_RESUMABLE_SPARE_ROOM_PER_STREAM);
}

/* What the peer may make this end hold in queues, whether it is there already or not:
 * never more than was promised. */
static void
check_windows (TcpSession *session)
{
  guint32 first = tcp_resumable_first_window (session);
  gsize windows = 0;
  gsize grown = 0;
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, session->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    {
      TcpFlow *flow = tcp_stream_get_flow (stream);

      g_assert_cmpuint (flow->window, >=, first);
      g_assert_cmpuint (tcp_stream_get_queued (stream) + flow->granted, <=, flow->window);
      grown += flow->window - first;
      windows += flow->fin_received ? tcp_stream_get_queued (stream) : flow->window;
    }
  g_hash_table_iter_init (&iter, session->finishing);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      guint32 window = tcp_stream_get_flow (stream)->window;

      grown += window - MIN (window, first);
      windows += tcp_stream_get_queued (stream);
    }
  g_assert_cmpuint (session->resumable.grown, ==, grown);
  g_assert_cmpuint (windows, <=, session->max_window);
  g_assert_false (session->channel_paused);
}

static void
check_streams (TcpSession *session,
               Sums       *sums)
{
  GHashTableIter iter;
  gpointer stream;
  gsize queued = 0;

  g_hash_table_iter_init (&iter, session->streams);
  while (g_hash_table_iter_next (&iter, NULL, &stream))
    {
      TcpFlow *flow = tcp_stream_get_flow (stream);

      g_assert_false (tcp_stream_is_closed (stream));
      queued += tcp_stream_get_queued (stream);
      sums->receive_window += flow->granted;
      sums->send_window += flow->credit;
      sums->connections++;
    }
  g_hash_table_iter_init (&iter, session->finishing);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      g_assert_false (tcp_stream_is_closed (stream));
      queued += tcp_stream_get_queued (stream);
      sums->connections++;
    }
  g_assert_cmpuint (queued, ==, session->queued);
}

void
check_session (TcpSession *session,
               Sums       *sums)
{
  check_retained (session);
  check_streams (session, sums);
  if (session->dialect == &tcp_dialect_resumable)
    check_windows (session);
  else
    g_assert_cmpuint (session->resumable.retained.bytes, ==, 0);
  sums->retained += session->resumable.reported;
  if (session->channel != NULL)
    g_assert_cmpuint (tcp_channel_get_pending (session->channel), <=,
                      TCP_CHANNEL_MAX_PENDING + TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD + SPARE_PENDING);
}
