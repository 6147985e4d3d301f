/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-check.h"
#include "world.h"

/* The invariants that hold after each step. */

/* For raw and tagged: their answers are small, and are not delayed. */
#define SPARE_ANSWERS 4096

/* The memory beyond the budget that a session's client can cause, whatever others do. */
static gsize
session_get_spare (TcpSession *session)
{
  TcpResumable *protocol = session_get_resumable (session);
  gsize control = 0;

  if (protocol == NULL)
    return TCP_CHANNEL_MAX_WHOLE + TCP_BUFFER_HEADROOM + TCP_BUFFER_SIZE + SPARE_ANSWERS;
  for (GList *l = protocol->sent.frames.head; l != NULL; l = l->next)
    {
      TcpBuffer *frame = l->data;

      if (frame->payload[0] != TCP_RESUMABLE_DATA)
        control += sizeof (TcpBuffer) + TCP_BUFFER_HEADROOM + frame->capacity;
    }
  return control + TCP_BUFFER_MEMORY;
}

/* All that the gateway holds is within the budget, except for one message per session and the frames without data. */
static void
check_budget (World *self)
{
  gsize most = self->max_budget;
  gsize held = 0;

  for (guint i = 0; i < self->guests->len; i++)
    {
      TcpSession *session = ((Guest *) self->guests->pdata[i])->session;

      most += session_get_spare (session);
      most += session->protocol != NULL ? session->protocol->figures.remembered : 0;
      held += session_get_resumable (session) != NULL
                ? session->protocol->figures.unacknowledged + session->protocol->figures.grown
                : session->queued + (session->protocol != NULL ? session->protocol->figures.remembered : 0) +
                    (session->channel != NULL ? tcp_channel_get_pending (session->channel) : 0);
    }
  g_assert_cmpuint (held, <=, most);
  g_assert_cmpuint (tcp_budget_get_used (self->budget), <=, most);
}

/* Streams that are ending at the gateway take places, which the client does not know. */
static void
check_crowd (Guest *guest)
{
  TcpSession *session = guest->session;
  TcpResumable *protocol = session_get_resumable (session);

  if (g_hash_table_size (session->finishing) + (protocol != NULL ? count_ending (protocol) : 0) > 0 &&
      guest->generation == guest->client->generation)
    guest->client->crowded = TRUE;
}

/* The credit of one end is what the other has granted, if nothing is under way. */
static void
check_credit (TcpResumable *sender,
              TcpResumable *receiver)
{
  GHashTableIter iter;
  TcpResumableStream *stream;

  g_hash_table_iter_init (&iter, sender->base.streams);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &stream))
    {
      TcpFlow *flow = &stream->flow;
      TcpResumableStream *other = (TcpResumableStream *) tcp_protocol_lookup (&receiver->base, stream->base.id);

      if (other != NULL && flow->begun)
        g_assert_cmpuint (flow->credit, ==, other->flow.granted);
      /* Only a stream that waits for the other end's acknowledgement may exist at one end alone. */
      if (other == NULL)
        g_assert_true (flow->fin_sent && flow->fin_received);
    }
}

/* Whether both ends continue the same session. */
static gboolean
have_one_history (Client *client)
{
  TcpResumable *ours = session_get_resumable (client->session);
  TcpResumable *theirs = client->guest != NULL ? session_get_resumable (client->guest->session) : NULL;

  return ours != NULL && theirs != NULL && !client->session->lost && !tcp_session_is_over (client->session) &&
         !tcp_session_is_over (client->guest->session) && ours->instance == theirs->instance;
}

static void
check_both (Client *client)
{
  TcpResumable *ours = session_get_resumable (client->session);
  TcpResumable *theirs;

  if (!have_one_history (client))
    return;
  theirs = session_get_resumable (client->guest->session);

  /* All that was acknowledged has arrived, and all that has arrived was sent. */
  g_assert_cmpuint (ours->sent.first, <=, theirs->receipts.received);
  g_assert_cmpuint (theirs->receipts.received, <=, ours->sent.carried);
  g_assert_cmpuint (theirs->sent.first, <=, ours->receipts.received);
  g_assert_cmpuint (ours->receipts.received, <=, theirs->sent.carried);
  if (ours->sent.next != theirs->receipts.received || theirs->sent.next != ours->receipts.received)
    return;

  check_credit (ours, theirs);
  check_credit (theirs, ours);
}

static void
check_sums (TcpStatus  *status,
            const Sums *sums)
{
  g_assert_cmpuint (tcp_status_get (status, open_connections), ==, sums->connections);
  g_assert_cmpuint (tcp_status_get (status, unacknowledged_bytes), ==, sums->retained);
  g_assert_cmpuint (tcp_status_get (status, receive_window), ==, sums->receive_window);
  g_assert_cmpuint (tcp_status_get (status, send_window), ==, sums->send_window);
}

static void
check_left (Client *client,
            Pair   *pair)
{
  TcpResumableStream *stream = (TcpResumableStream *) pair_get_stream (pair);
  TcpResumable *protocol = session_get_resumable (client->session);

  if (stream != NULL && protocol != NULL)
    pair->left = stream->open_number < protocol->sent.carried;
}

/* The end is delivered behind all data, and only then. */
static void
check_pair (Pair *pair)
{
  if (pair->plain)
    return;

  for (Side side = CLIENT; side <= GATEWAY; side++)
    {
      Peer *peer = &pair->peers[side];
      Peer *other = &pair->peers[OTHER (side)];

      g_assert_cmpuint (peer->accepted, <=, other->taken);
      if (peer->write_ended)
        {
          g_assert_true (other->ending_taken);
          g_assert_cmpuint (peer->written, ==, other->to_send);
        }
      /* An end that is reported as orderly is reliable, whatever the other TCP end did. */
      if (pair->clean[side])
        {
          g_assert_cmpuint (other->accepted, ==, peer->to_send);
          g_assert_true (peer->ending_taken && peer->closed);
        }
    }
}

void
world_check (World *self)
{
  Sums sums[2] = { 0 };

  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = self->clients->pdata[i];

      check_session (client->session, &sums[CLIENT]);
      check_both (client);
      for (guint k = 0; k < client->pairs->len; k++)
        {
          check_left (client, client->pairs->pdata[k]);
          check_pair (client->pairs->pdata[k]);
        }
    }
  for (guint i = 0; i < self->guests->len; i++)
    {
      check_session (((Guest *) self->guests->pdata[i])->session, &sums[GATEWAY]);
      check_crowd (self->guests->pdata[i]);
    }
  for (Side side = CLIENT; side <= GATEWAY; side++)
    check_sums (self->status[side], &sums[side]);
  if (self->budget != NULL)
    check_budget (self);
}

/* All has arrived, and both ends have had an ACK for it. */
static void
check_quiet (Client *client)
{
  TcpResumable *ours = session_get_resumable (client->session);
  TcpResumable *theirs;

  if (!have_one_history (client) || tcp_session_get_channel (client->session) == NULL || !ours->ready)
    return;
  theirs = session_get_resumable (client->guest->session);

  g_assert_cmpuint (ours->confirmed, ==, theirs->receipts.received);
  g_assert_cmpuint (theirs->confirmed, ==, ours->receipts.received);
}

/* Called when nothing is under way any more. @with_stuck means that the TCP peers that did not read do so now. */
void
world_check_end (World    *self,
                 gboolean  with_stuck)
{
  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = self->clients->pdata[i];

      check_quiet (client);
      for (guint k = 0; k < client->pairs->len; k++)
        {
          Pair *pair = client->pairs->pdata[k];

          if (!with_stuck && (pair->stuck[CLIENT] || pair->stuck[GATEWAY]))
            continue;
          g_assert_true (pair_is_over (pair));
          g_assert_true (pair->clean[CLIENT] || pair->excused);
          g_assert_true ((pair->opened && pair->clean[GATEWAY]) || pair->excused);
          if (pair->lost)
            g_assert_false (pair->clean[CLIENT] || pair->clean[GATEWAY]);
        }
    }
}
