/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-link.h"

#include "bench-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define WEBSOCKET_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define MAX_HEADER 14

Link *
link_new (int fd)
{
  Link *link = g_new0 (Link, 1);

  link->fd = fd;
  bench_send_from_own_time (fd);
  g_mutex_init (&link->lock);
  g_cond_init (&link->turn);

  return link;
}

void
link_free (Link *link)
{
  close (link->fd);
  g_cond_clear (&link->turn);
  g_mutex_clear (&link->lock);
  g_free (link);
}

void
link_begin_turn (Link *link)
{
  guint64 mine;

  g_mutex_lock (&link->lock);
  mine = link->next_turn++;
  while (mine != link->current_turn)
    g_cond_wait (&link->turn, &link->lock);
  g_mutex_unlock (&link->lock);
}

void
link_end_turn (Link *link)
{
  g_mutex_lock (&link->lock);
  /* GLib makes a system call for each broadcast, even if nobody waits. */
  if (++link->current_turn != link->next_turn)
    g_cond_broadcast (&link->turn);
  g_mutex_unlock (&link->lock);
}

/* A thread within recv () is also woken whenever the socket can send more; one within poll () is not. */
static void
wait_for_input (Link *link)
{
  struct pollfd pollfd = { .fd = link->fd, .events = POLLIN };

  if (link->shared)
    poll (&pollfd, 1, -1);
}

static gsize
fill_header (Link *link,
             Opcode opcode,
             guint32 id,
             gsize length,
             guint8 *header)
{
  gboolean with_id = link->tagged && opcode == OPCODE_BINARY;
  guint64 message = length + (with_id ? 4 : 0);
  gsize size = 2;

  header[0] = 0x80 | opcode;
  if (message < 126)
    {
      header[1] = message;
    }
  else if (message <= G_MAXUINT16)
    {
      guint16 extended = GUINT16_TO_BE (message);

      header[1] = 126;
      memcpy (header + 2, &extended, 2);
      size = 4;
    }
  else
    {
      guint64 extended = GUINT64_TO_BE (message);

      header[1] = 127;
      memcpy (header + 2, &extended, 8);
      size = 10;
    }
  if (with_id)
    {
      guint32 tag = GUINT32_TO_BE (id);

      memcpy (header + size, &tag, 4);
      size += 4;
    }

  return size;
}

gboolean
link_write (Link *link,
            Opcode opcode,
            guint32 id,
            const void *payload,
            gsize length)
{
  guint8 header[MAX_HEADER];
  struct iovec parts[2] = { { header, 0 }, { (void *) payload, length } };
  struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
  gssize sent;

  if (link->websocket)
    parts[0].iov_len = fill_header (link, opcode, id, length, header);

  do
    sent = sendmsg (link->fd, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0)
    return FALSE;

  /* A blocking socket takes everything unless a signal interrupts it. */
  for (guint i = 0; i < 2; i++)
    {
      gsize done = MIN ((gsize) sent, parts[i].iov_len);

      if (!bench_send_all (link->fd, (guint8 *) parts[i].iov_base + done, parts[i].iov_len - done))
        return FALSE;
      sent -= done;
    }

  return TRUE;
}

/* Like link_write (), with a payload of zeros from a file in memory, whose pages the kernel sends without copying
 * them: the sender has to cost less than the subject. */
gboolean
link_write_zeros (Link *link,
                  guint32 id,
                  gsize length)
{
  static int zeros = -1;
  guint8 header[MAX_HEADER];
  off_t offset = 0;

  if (zeros < 0)
    {
      zeros = memfd_create ("zeros", MFD_CLOEXEC);
      if (zeros < 0 || ftruncate (zeros, length) < 0)
        return FALSE;
    }
  if (link->websocket &&
      send (link->fd, header, fill_header (link, OPCODE_BINARY, id, length, header), MSG_NOSIGNAL | MSG_MORE) < 0)
    return FALSE;
  while ((gsize) offset < length)
    if (sendfile (link->fd, zeros, &offset, length - offset) < 0 && errno != EINTR)
      return FALSE;

  return TRUE;
}

gboolean
link_write_in_turn (Link *link,
                    Opcode opcode,
                    guint32 id,
                    const void *payload,
                    gsize length)
{
  gboolean written;

  link_begin_turn (link);
  written = link_write (link, opcode, id, payload, length);
  link_end_turn (link);

  return written;
}

/* Makes sure that at least @length bytes are in the input buffer. */
gboolean
link_fill (Link *link,
           gsize length)
{
  if (link->end - link->start >= length)
    return TRUE;

  memmove (link->input, link->input + link->start, link->end - link->start);
  link->end -= link->start;
  link->start = 0;
  while (link->end < length)
    {
      /* At most a few small frames: data that follows a header is better dropped than copied. */
      gssize received;

      wait_for_input (link);
      received = bench_recv (link->fd, link->input + link->end, MIN (1024, LINK_INPUT_SIZE - link->end));

      if (received < 0)
        return FALSE;
      link->end += received;
    }

  return TRUE;
}

static char *
read_request (Link *link)
{
  const guint8 *end;

  while ((end = memmem (link->input, link->end, "\r\n\r\n", 4)) == NULL)
    {
      if (link->end == LINK_INPUT_SIZE || !link_fill (link, link->end + 1))
        return NULL;
    }
  link->start = end + 4 - link->input;

  return g_strndup ((const char *) link->input, link->start);
}

static char *
accept_key (const char *request)
{
  g_autoptr (GRegex) regex = g_regex_new ("^Sec-WebSocket-Key: *([^ \r]+)",
                                          G_REGEX_CASELESS | G_REGEX_MULTILINE, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA1);
  g_autofree char *key = NULL;
  guint8 digest[20];
  gsize length = sizeof digest;

  if (!g_regex_match (regex, request, 0, &match))
    return NULL;
  key = g_match_info_fetch (match, 1);
  g_checksum_update (checksum, (const guint8 *) key, -1);
  g_checksum_update (checksum, (const guint8 *) WEBSOCKET_GUID, -1);
  g_checksum_get_digest (checksum, digest, &length);

  return g_base64_encode (digest, length);
}

gboolean
link_upgrade (Link *link)
{
  g_autofree char *request = read_request (link);
  g_autofree char *accept = request != NULL ? accept_key (request) : NULL;
  g_autofree char *response = NULL;
  char *line_end;

  if (accept == NULL)
    return FALSE;
  response = g_strdup_printf ("HTTP/1.1 101 Switching Protocols\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: %s\r\n\r\n",
                              accept);
  if (!bench_send_all (link->fd, response, strlen (response)))
    return FALSE;

  line_end = strchr (request, '\r');
  link->websocket = TRUE;
  link->tagged = g_strstr_len (request, line_end - request, "mode=multiplexed") != NULL;

  return TRUE;
}

gboolean
link_read_frame (Link *link,
                 Frame *frame)
{
  const guint8 *header;
  gsize size = 2;

  if (!link_fill (link, 2))
    return FALSE;
  header = link->input + link->start;
  frame->opcode = header[0] & 0x0f;
  frame->length = header[1] & 0x7f;
  size += (header[1] & 0x80) ? 4 : 0;
  size += frame->length == 127 ? 8 : frame->length == 126 ? 2 : 0;
  if (!link_fill (link, size))
    return FALSE;

  header = link->input + link->start;
  if (frame->length == 126)
    frame->length = (guint64) header[2] << 8 | header[3];
  else if (frame->length == 127)
    {
      memcpy (&frame->length, header + 2, 8);
      frame->length = GUINT64_FROM_BE (frame->length);
    }
  memset (frame->mask, 0, 4);
  if (header[1] & 0x80)
    memcpy (frame->mask, header + size - 4, 4);
  frame->mask_offset = 0;
  link->start += size;

  return TRUE;
}

gboolean
link_take (Link *link,
           Frame *frame,
           void *data,
           gsize length)
{
  gsize buffered = MIN (link->end - link->start, length);
  guint8 *bytes = data;

  if (length > frame->length)
    return FALSE;
  memcpy (bytes, link->input + link->start, buffered);
  link->start += buffered;
  if (!bench_recv_all (link->fd, bytes + buffered, length - buffered))
    return FALSE;

  for (gsize i = 0; i < length; i++)
    bytes[i] ^= frame->mask[frame->mask_offset++ & 3];
  frame->length -= length;

  return TRUE;
}

gssize
link_drop (Link *link,
           gsize length)
{
  gsize buffered = MIN (link->end - link->start, length);

  if (buffered == 0)
    {
      wait_for_input (link);
      return bench_drop (link->fd, length);
    }
  link->start += buffered;

  return buffered;
}
