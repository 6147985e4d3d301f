/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-check.h"

#include "doubles.h"

/* The invariants of a session, which hold at any time, whatever its peer does. */

/* Answers that the session sends without waiting, although the channel is full. */
#define SPARE_PENDING 4096

TcpResumable *
session_get_resumable (TcpSession *session)
{
  return session->protocol != NULL && session->protocol->class->resumable ? (TcpResumable *) session->protocol : NULL;
}

guint
count_ending (TcpResumable *protocol)
{
  guint n = 0;

  for (GList *l = protocol->fins.head; l != NULL; l = l->next)
    n += ((TcpResumableStream *) l->data)->flow.fin_received;
  return n;
}

static void
check_unacknowledged (TcpResumable *protocol)
{
  TcpUnacknowledged *sent = &protocol->sent;
  guint64 number = sent->first;
  gsize bytes = 0;

  g_assert_cmpuint (sent->first, <=, sent->sent);
  g_assert_cmpuint (sent->sent, <=, sent->next);
  g_assert_cmpuint (sent->carried, <=, sent->next);
  g_assert_cmpuint (sent->frames.length, ==, sent->next - sent->first);
  for (GList *l = sent->frames.head; l != NULL; l = l->next, number++)
    {
      TcpBuffer *frame = l->data;

      g_assert_true ((l == sent->unsent) == (number == sent->sent));
      g_assert_cmpuint (frame->refs, >=, 1);
      g_assert_cmpuint (frame->refs, <=, 2);
      bytes += sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + frame->capacity;
    }
  g_assert_true ((sent->unsent == NULL) == (sent->sent == sent->next));
  g_assert_cmpuint (bytes, ==, sent->bytes);
  g_assert_cmpuint (bytes, <=, protocol->base.options.max_unacknowledged + TCP_RESUMABLE_SPARE_ROOM +
                               (protocol->peak_streams + 1) * TCP_RESUMABLE_SPARE_ROOM_PER_STREAM);
}

/* Returns NULL if the protocol does not know the stream, or no longer. */
static TcpFlow *
get_flow (gpointer stream)
{
  TcpResumableStream *known = (TcpResumableStream *) tcp_stream_get_protocol (stream);

  return known != NULL ? &known->flow : NULL;
}

/* The growth of the windows is accounted for, no window takes everything, and what waits beyond the windows is
 * bounded. */
static void
check_windows (TcpSession   *session,
               TcpResumable *protocol,
               Sums         *sums)
{
  guint32 first = protocol->windows.first;
  gsize given = 0;
  gsize grown = 0;
  guint through = 0;
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, session->streams);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      TcpFlow *flow = get_flow (stream);

      g_assert_nonnull (flow);
      g_assert_true (tcp_stream_get_protocol (stream)->active);
      g_assert_cmpuint (tcp_stream_get_protocol (stream)->queued, ==, tcp_stream_get_queued (stream));
      g_assert_cmpuint (flow->window, >, 0);
      g_assert_cmpuint (flow->window, <=, first + protocol->windows.max / 2);
      g_assert_cmpuint (tcp_stream_get_queued (stream) + flow->granted, <=, flow->window);
      given += flow->window;
      grown += flow->window - MIN (flow->window, first);
      through += flow->fin_sent && flow->fin_received && tcp_stream_get_queued (stream) == 0;
      sums->receive_window += flow->granted;
      sums->send_window += flow->credit;
    }
  g_hash_table_iter_init (&iter, session->finishing);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      TcpFlow *flow = get_flow (stream);

      /* A stream of another protocol that was used before. */
      if (flow == NULL)
        continue;
      given += flow->window;
      grown += flow->window - MIN (flow->window, first);
    }
  g_assert_cmpuint (protocol->n_through, ==, through);
  g_assert_cmpuint (protocol->peak_streams, <=, protocol->base.options.max_streams);
  g_assert_cmpuint (protocol->windows.given, ==, given);
  g_assert_cmpuint (protocol->windows.grown, ==, grown);
  g_assert_cmpuint (grown, <=, protocol->windows.max);
  g_assert_cmpuint (session->queued, <=, grown + session->options.max_window / 2 + TCP_CHANNEL_MAX_WHOLE);
  g_assert_cmpuint (g_hash_table_size (session->streams), ==, g_hash_table_size (protocol->base.streams));
}

/* There may be @n_ending more streams, for whose acknowledged end this side waits. */
static void
check_streams (TcpSession *session,
               guint       n_ending,
               Sums       *sums)
{
  GHashTableIter iter;
  gpointer stream;
  gsize queued = 0;

  g_hash_table_iter_init (&iter, session->streams);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      g_assert_false (stream_is_closed (stream));
      queued += tcp_stream_get_queued (stream);
      sums->connections++;
    }
  g_hash_table_iter_init (&iter, session->finishing);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    {
      g_assert_false (stream_is_closed (stream));
      queued += tcp_stream_get_queued (stream);
      sums->connections++;
    }
  g_assert_cmpuint (queued, ==, session->queued);
  g_assert_cmpuint (g_hash_table_size (session->streams) + g_hash_table_size (session->finishing), <=,
                    session->options.max_streams + n_ending);
}

void
check_session (TcpSession *session,
               Sums       *sums)
{
  TcpResumable *protocol = session_get_resumable (session);

  check_streams (session, protocol != NULL ? count_ending (protocol) : 0, sums);
  if (protocol != NULL)
    {
      check_unacknowledged (protocol);
      check_windows (session, protocol, sums);
    }
  sums->retained += protocol != NULL ? protocol->sent.bytes : 0;
  if (session->channel != NULL)
    g_assert_cmpuint (tcp_channel_get_pending (session->channel), <=,
                      TCP_CHANNEL_MAX_PENDING + TCP_RESUMABLE_HEADER_SIZE + TCP_RESUMABLE_MAX_PAYLOAD + SPARE_PENDING);
}
