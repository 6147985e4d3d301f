/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fault-link.h"

#include "socket-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
pipe_drop (FaultPipe *pipe)
{
  g_queue_clear_full (&pipe->chunks, g_free);
  pipe->length = 0;
}

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

FaultLink *
fault_link_new (int tunnel_fd,
                int gateway_fd)
{
  FaultLink *link = g_new0 (FaultLink, 1);

  link->fds[FAULT_TUNNEL_SIDE] = tunnel_fd;
  link->fds[FAULT_GATEWAY_SIDE] = gateway_fd;
  for (int i = 0; i < 2; i++)
    {
      link->pipes[i].data = g_malloc (FAULT_BUFFER_SIZE);
      g_queue_init (&link->pipes[i].chunks);
    }

  return link;
}

void
fault_link_free (FaultLink *link)
{
  for (int i = 0; i < 2; i++)
    {
      close_fd (&link->fds[i]);
      pipe_drop (&link->pipes[i]);
      g_free (link->pipes[i].data);
    }
  g_free (link);
}

gboolean
fault_link_is_dead (FaultLink *link)
{
  return link->fds[0] < 0 && link->fds[1] < 0;
}

void
fault_link_reset (FaultLink *link)
{
  for (int i = 0; i < 2; i++)
    {
      if (link->fds[i] >= 0)
        socket_reset (link->fds[i]);
      link->fds[i] = -1;
    }
}

/* Closing a socket with unread bytes would send a reset. Therefore the end is sent first, and input is discarded
 * until the peer closes too. */
void
fault_link_cut (FaultLink *link)
{
  for (int i = 0; i < 2; i++)
    {
      if (link->fds[i] >= 0)
        shutdown (link->fds[i], SHUT_WR);
      pipe_drop (&link->pipes[i]);
    }
  link->swallow = TRUE;
  link->closing = TRUE;
}

void
fault_link_half_open (FaultLink *link,
                      FaultSide closed_side)
{
  close_fd (&link->fds[closed_side]);
  for (int i = 0; i < 2; i++)
    pipe_drop (&link->pipes[i]);
  link->swallow = TRUE;
}

static gboolean
drops (FaultRules *rules,
       FaultLink *link)
{
  return rules->black_hole || link->swallow;
}

static gsize
readable_space (FaultRules *rules,
                FaultLink *link,
                FaultDirection direction)
{
  FaultPipe *pipe = &link->pipes[direction];
  gsize space = FAULT_BUFFER_SIZE - pipe->length;

  if (link->fds[direction] < 0 || pipe->ended)
    return 0;
  if (drops (rules, link))
    return FAULT_BUFFER_SIZE;
  if (rules->stalled[direction] || link->cut_behind)
    return 0;
  if (rules->rate[direction] > 0)
    space = MIN (space, (gsize) rules->allowance[direction]);
  if (rules->cut_after[direction] > 0)
    space = MIN (space, rules->cut_after[direction]);

  return space;
}

static gsize
due_bytes (FaultPipe *pipe,
           gint64 now)
{
  gsize length = 0;

  for (GList *l = pipe->chunks.head; l != NULL && ((FaultChunk *) l->data)->due <= now; l = l->next)
    length += ((FaultChunk *) l->data)->length;

  return length;
}

static void
take_in (FaultRules *rules,
         FaultLink *link,
         FaultDirection direction,
         gsize length,
         gint64 now)
{
  FaultPipe *pipe = &link->pipes[direction];
  FaultChunk *chunk;

  rules->bytes[direction] += length;
  if (drops (rules, link))
    {
      link->lost_bytes |= rules->black_hole;
      return;
    }

  if (rules->rate[direction] > 0)
    rules->allowance[direction] -= length;
  if (rules->cut_after[direction] > 0)
    {
      rules->cut_after[direction] -= length;
      link->cut_behind = rules->cut_after[direction] == 0;
    }

  chunk = g_new (FaultChunk, 1);
  chunk->due = now + (gint64) rules->delay_ms[direction] * 1000;
  chunk->length = length;
  g_queue_push_tail (&pipe->chunks, chunk);
  pipe->length += length;
}

/* One side has sent its end or a reset. During a black hole, this is not passed on to the other side. */
static void
source_gone (FaultRules *rules,
             FaultLink *link,
             FaultDirection direction,
             gboolean reset)
{
  link->pipes[direction].ended = TRUE;
  if (!drops (rules, link))
    {
      if (reset)
        fault_link_reset (link);
      return;
    }

  link->lost_bytes |= rules->black_hole;
  close_fd (&link->fds[direction]);
}

static void
read_side (FaultRules *rules,
           FaultLink *link,
           FaultDirection direction,
           gint64 now)
{
  gsize space = readable_space (rules, link, direction);
  FaultPipe *pipe = &link->pipes[direction];
  guint8 scrap[FAULT_BUFFER_SIZE];
  gssize count;

  if (space == 0)
    return;

  count = recv (link->fds[direction], drops (rules, link) ? scrap : pipe->data + pipe->length, space, 0);
  if (count > 0)
    take_in (rules, link, direction, count, now);
  else if (count == 0)
    source_gone (rules, link, direction, FALSE);
  else if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
    source_gone (rules, link, direction, TRUE);
}

static void
forget_written (FaultPipe *pipe,
                gsize count)
{
  pipe->length -= count;
  memmove (pipe->data, pipe->data + count, pipe->length);
  while (count > 0)
    {
      FaultChunk *chunk = g_queue_peek_head (&pipe->chunks);
      gsize part = MIN (count, chunk->length);

      chunk->length -= part;
      count -= part;
      if (chunk->length == 0)
        g_free (g_queue_pop_head (&pipe->chunks));
    }
}

static void
write_side (FaultRules *rules,
            FaultLink *link,
            FaultDirection direction,
            gint64 now)
{
  FaultPipe *pipe = &link->pipes[direction];
  gsize due = due_bytes (pipe, now);
  int fd = link->fds[!direction];
  gssize count;

  if (drops (rules, link) || fd < 0)
    return;

  if (due > 0)
    {
      count = send (fd, pipe->data, due, MSG_NOSIGNAL);
      if (count > 0)
        forget_written (pipe, count);
      else if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
        fault_link_reset (link);
    }

  if (pipe->ended && !pipe->passed && pipe->length == 0)
    {
      shutdown (fd, SHUT_WR);
      pipe->passed = TRUE;
    }
}

void
fault_link_serve (FaultLink *link,
                  FaultRules *rules,
                  gint64 now)
{
  for (int i = 0; i < 2; i++)
    {
      read_side (rules, link, i, now);
      write_side (rules, link, i, now);
    }

  if (link->cut_behind && !link->closing && link->pipes[0].length == 0 && link->pipes[1].length == 0)
    fault_link_cut (link);
  if (link->pipes[0].passed && link->pipes[1].passed)
    {
      close_fd (&link->fds[0]);
      close_fd (&link->fds[1]);
    }
}

short
fault_link_wishes (FaultLink *link,
                   FaultRules *rules,
                   FaultSide side,
                   gint64 now,
                   gint64 *next)
{
  FaultChunk *chunk = g_queue_peek_head (&link->pipes[!side].chunks);
  short events = readable_space (rules, link, (FaultDirection) side) > 0 ? POLLIN : 0;

  if (chunk == NULL || drops (rules, link))
    return events;
  if (chunk->due <= now)
    return events | POLLOUT;

  *next = MIN (*next, chunk->due);
  return events;
}
