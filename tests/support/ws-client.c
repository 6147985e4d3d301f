/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ws-client.h"

#include "client.h"
#include "test-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* Returns FALSE at the end of the connection; fails if nothing arrives in time. */
static gboolean
read_exactly (int fd,
              void *data,
              gsize length)
{
  gint64 deadline = test_deadline ();
  guint8 *next = data;

  while (length > 0)
    {
      struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
      gssize got;

      if (poll (&poll_fd, 1, test_remaining_ms (deadline)) == 0)
        test_fail (G_STRLOC, "the deadline passed: read");
      got = recv (fd, next, length, 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR))
        continue;
      if (got <= 0)
        return FALSE;
      next += got;
      length -= got;
    }

  return TRUE;
}

char *
http_read_head (int fd)
{
  g_autoptr (GString) head = g_string_new (NULL);
  char byte;

  /* Byte by byte, so that no byte after the head is consumed. */
  while (!g_str_has_suffix (head->str, "\r\n\r\n"))
    {
      if (!read_exactly (fd, &byte, 1))
        return NULL;
      g_string_append_c (head, byte);
    }

  return g_string_free (g_steal_pointer (&head), FALSE);
}

char *
http_head_get (const char *head,
               const char *name)
{
  g_auto (GStrv) lines = g_strsplit (head, "\r\n", -1);
  g_autofree char *prefix = g_strconcat (name, ":", NULL);

  for (char **line = lines; *line != NULL; line++)
    if (g_ascii_strncasecmp (*line, prefix, strlen (prefix)) == 0)
      return g_strdup (g_strstrip (*line + strlen (prefix)));

  return NULL;
}

guint
http_head_get_status (const char *head)
{
  return g_ascii_strtoull (head + strlen ("HTTP/1.1 "), NULL, 10);
}

guint
http_get (guint16 port,
          const char *target,
          const char *headers,
          char **body,
          int *fd)
{
  int socket_fd = client_connect (port);
  g_autofree char *request = NULL;
  g_autofree char *head = NULL;
  g_autofree char *length = NULL;
  guint status;

  request = g_strdup_printf ("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", target, port, headers);
  client_write (socket_fd, request, strlen (request));
  head = http_read_head (socket_fd);
  if (head == NULL)
    test_fail (G_STRLOC, "no answer to GET %s", target);
  status = http_head_get_status (head);

  if (body != NULL)
    {
      gsize size = 0;

      length = http_head_get (head, "Content-Length");
      if (length != NULL)
        size = g_ascii_strtoull (length, NULL, 10);
      *body = g_malloc0 (size + 1);
      client_read (socket_fd, *body, size);
    }
  if (fd != NULL)
    *fd = socket_fd;
  else
    client_close (socket_fd);

  return status;
}

char *
ws_accept_of (const char *key)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA1);
  guint8 digest[20];
  gsize length = sizeof digest;

  g_checksum_update (checksum, (const guchar *) key, strlen (key));
  g_checksum_update (checksum, (const guchar *) WS_GUID, strlen (WS_GUID));
  g_checksum_get_digest (checksum, digest, &length);

  return g_base64_encode (digest, length);
}

static int
connect_with (const char *where,
              guint16 port,
              const char *target,
              const char *headers)
{
  int fd;
  guint status = http_get (port, target, headers, NULL, &fd);

  if (status != 101)
    test_fail (where, "wanted 101, got %u", status);

  return fd;
}

int
ws_connect_at (const char *where,
               guint16 port,
               const char *target,
               const char *token)
{
  g_autofree char *headers = NULL;

  headers = token != NULL ? g_strdup_printf (WS_UPGRADE "Authorization: Bearer %s\r\n", token) : g_strdup (WS_UPGRADE);
  return connect_with (where, port, target, headers);
}

int
ws_connect_ours_at (const char *where,
                    guint16 port,
                    const char *target,
                    const char *token)
{
  g_autofree char *headers = g_strdup_printf (WS_UPGRADE WS_OURS "Authorization: Bearer %s\r\n", token);

  return connect_with (where, port, target, headers);
}

static GByteArray *
frame_head (guint opcode,
            gsize length,
            guint8 mask)
{
  GByteArray *frame = g_byte_array_new ();
  guint8 first = 0x80 | opcode;
  guint8 small = mask | (length < 126 ? length : length < 65536 ? 126 : 127);

  g_byte_array_append (frame, &first, 1);
  g_byte_array_append (frame, &small, 1);
  if (length >= 65536)
    {
      guint64 large = GUINT64_TO_BE (length);

      g_byte_array_append (frame, (guint8 *) &large, sizeof large);
    }
  else if (length >= 126)
    {
      guint16 medium = GUINT16_TO_BE (length);

      g_byte_array_append (frame, (guint8 *) &medium, sizeof medium);
    }

  return frame;
}

void
ws_send (int fd,
         guint opcode,
         const void *data,
         gsize length)
{
  static const guint8 mask[4] = { 0 }; /* a valid key, which leaves the bytes unchanged */
  g_autoptr (GByteArray) frame = frame_head (opcode, length, 0x80);

  g_byte_array_append (frame, mask, sizeof mask);
  g_byte_array_append (frame, data, length);
  client_write (fd, frame->data, frame->len);
}

void
ws_send_close (int fd,
               guint16 code)
{
  guint16 payload = GUINT16_TO_BE (code);

  ws_send (fd, WS_CLOSE, &payload, sizeof payload);
}

static GBytes *
receive_frame (int fd,
               gboolean masked,
               guint *opcode)
{
  g_autofree guint8 *payload = NULL;
  guint8 mask[4] = { 0 };
  guint8 head[2];
  guint8 extended[8];
  guint64 length;

  if (!read_exactly (fd, head, sizeof head))
    return NULL;

  *opcode = head[0] & 0x0f;
  g_assert_cmphex (head[1] & 0x80, ==, masked ? 0x80 : 0);
  length = head[1] & 0x7f;
  if (length >= 126)
    {
      gsize size = length == 126 ? 2 : 8;

      length = 0;
      if (!read_exactly (fd, extended, size))
        return NULL;
      for (gsize i = 0; i < size; i++)
        length = length << 8 | extended[i];
    }

  payload = g_malloc (length + 1);
  if ((masked && !read_exactly (fd, mask, sizeof mask)) || !read_exactly (fd, payload, length))
    return NULL;
  if (masked)
    for (guint64 i = 0; i < length; i++)
      payload[i] ^= mask[i % sizeof mask];
  return g_bytes_new_take (g_steal_pointer (&payload), length);
}

static GBytes *
receive_data (int fd,
              gboolean is_server,
              guint *opcode)
{
  for (;;)
    {
      g_autoptr (GBytes) frame = receive_frame (fd, is_server, opcode);
      gsize length;
      gconstpointer data;

      if (frame == NULL || (*opcode != WS_PING && *opcode != WS_PONG))
        return g_steal_pointer (&frame);
      if (*opcode == WS_PONG)
        continue;

      data = g_bytes_get_data (frame, &length);
      if (is_server)
        ws_server_send (fd, WS_PONG, data, length);
      else
        ws_send (fd, WS_PONG, data, length);
    }
}

GBytes *
ws_receive (int fd,
            guint *opcode)
{
  return receive_data (fd, FALSE, opcode);
}

GBytes *
ws_receive_any (int fd,
                guint *opcode)
{
  return receive_frame (fd, FALSE, opcode);
}

GBytes *
ws_server_receive (int fd,
                   guint *opcode)
{
  return receive_data (fd, TRUE, opcode);
}

void
ws_server_send (int fd,
                guint opcode,
                const void *data,
                gsize length)
{
  g_autoptr (GBytes) frame = ws_server_frame (opcode, data, length);

  client_write (fd, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame));
}

void
ws_expect_at (const char *where,
              int fd,
              const char *text)
{
  g_autoptr (GString) received = g_string_new (NULL);

  while (received->len < strlen (text))
    {
      guint opcode = 0;
      g_autoptr (GBytes) frame = ws_receive (fd, &opcode);

      if (frame == NULL || opcode != WS_BINARY)
        test_fail (where, "wanted “%s”, got “%s”, then %s", text, received->str, frame == NULL ? "the end" : "another frame");
      g_string_append_len (received, g_bytes_get_data (frame, NULL), g_bytes_get_size (frame));
    }
  if (strcmp (received->str, text) != 0)
    test_fail (where, "wanted “%s”, got “%s”", text, received->str);
}

void
ws_expect_close_at (const char *where,
                    int fd,
                    guint code)
{
  for (;;)
    {
      guint opcode = 0;
      gsize length;
      const guint8 *data;
      guint got;
      g_autoptr (GBytes) frame = ws_receive (fd, &opcode);

      if (frame == NULL)
        test_fail (where, "wanted a close with %u, but the connection just ended", code);
      if (opcode != WS_CLOSE)
        continue;

      data = g_bytes_get_data (frame, &length);
      got = length >= 2 ? data[0] << 8 | data[1] : 1005;
      if (got != code)
        test_fail (where, "wanted a close with %u, got %u", code, got);
      return;
    }
}

GBytes *
ws_server_frame (guint opcode,
                 const void *data,
                 gsize length)
{
  GByteArray *frame = frame_head (opcode, length, 0);

  g_byte_array_append (frame, data, length);
  return g_byte_array_free_to_bytes (frame);
}

GBytes *
ws_server_close (guint16 code)
{
  guint16 payload = GUINT16_TO_BE (code);

  return ws_server_frame (WS_CLOSE, &payload, sizeof payload);
}
