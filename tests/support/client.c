/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "client.h"

#include "socket-util.h"
#include "test-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536

static short
wait_for (int fd,
          short events,
          int timeout_ms)
{
  struct pollfd poll_fd = { .fd = fd, .events = events };
  int ready;

  do
    ready = poll (&poll_fd, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);

  return ready > 0 ? poll_fd.revents : 0;
}

static void
require (const char *where,
         int fd,
         short events,
         gint64 deadline,
         const char *what)
{
  if (wait_for (fd, events, test_remaining_ms (deadline)) == 0)
    test_fail (where, "the deadline passed: %s", what);
}

int
client_try_connect (guint16 port,
                    int *fd)
{
  int code = 0;
  socklen_t length = sizeof code;

  *fd = socket_start_connect (port);
  wait_for (*fd, POLLOUT, test_remaining_ms (test_deadline ()));
  g_assert_no_errno (getsockopt (*fd, SOL_SOCKET, SO_ERROR, &code, &length));
  if (code != 0)
    {
      close (*fd);
      *fd = -1;
    }

  return code;
}

/* A socket that was reset after it was connected. */
static int
connect_and_reset (void)
{
  guint16 port;
  int listener = socket_listen (0, &port);
  int fd = socket_start_connect (port);

  socket_reset (accept4 (listener, NULL, NULL, SOCK_CLOEXEC));
  close (listener);
  return fd;
}

int
client_connect_at (const char *where,
                   guint16 port)
{
  int fd;
  int code = client_try_connect (port, &fd);

  /* The connection succeeded, and was reset before SO_ERROR was read. A socket reports the reset only once, and the
   * caller has to see it as well. */
  if (code == ECONNRESET)
    return connect_and_reset ();
  if (code != 0)
    test_fail (where, "connect to port %u: %s", port, g_strerror (code));
  return fd;
}

void
client_write_at (const char *where,
                 int fd,
                 const void *data,
                 gsize length)
{
  gint64 deadline = test_deadline ();
  const guint8 *next = data;

  while (length > 0)
    {
      gssize sent;

      require (where, fd, POLLOUT, deadline, "write");
      sent = send (fd, next, length, MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN)
        test_fail (where, "write: %s", g_strerror (errno));
      next += MAX (sent, 0);
      length -= MAX (sent, 0);
    }
}

static gssize
read_some (const char *where,
           int fd,
           void *data,
           gsize length,
           gint64 deadline)
{
  gssize got;

  do
    {
      require (where, fd, POLLIN, deadline, "read");
      got = recv (fd, data, length, 0);
    }
  while (got < 0 && errno == EAGAIN);

  return got;
}

void
client_read_at (const char *where,
                int fd,
                void *data,
                gsize length)
{
  gint64 deadline = test_deadline ();
  guint8 *next = data;
  gsize left = length;

  while (left > 0)
    {
      gssize got = read_some (where, fd, next, left, deadline);

      if (got < 0)
        test_fail (where, "read %zu of %zu bytes, then: %s", length - left, length, g_strerror (errno));
      if (got == 0)
        test_fail (where, "read %zu of %zu bytes, then the end", length - left, length);
      next += got;
      left -= got;
    }
}

void
client_round_trip_at (const char *where,
                      int fd,
                      const char *text)
{
  gsize length = strlen (text);
  g_autofree char *answer = g_malloc0 (length + 1);

  client_write_at (where, fd, text, length);
  client_read_at (where, fd, answer, length);
  if (strcmp (text, answer) != 0)
    test_fail (where, "sent “%s”, got “%s”", text, answer);
}

/* Returns 0 after an orderly end, otherwise the errno. */
static int
drain (const char *where,
       int fd)
{
  g_autofree guint8 *data = g_malloc (CHUNK);
  gint64 deadline = test_deadline ();
  gssize got;

  while ((got = read_some (where, fd, data, CHUNK, deadline)) > 0)
    ;
  return got == 0 ? 0 : errno;
}

void
client_expect_eof_at (const char *where,
                      int fd)
{
  int code = drain (where, fd);

  if (code != 0)
    test_fail (where, "an orderly end was due, but: %s", g_strerror (code));
}

void
client_expect_reset_at (const char *where,
                        int fd)
{
  int code = drain (where, fd);

  if (code == 0)
    test_fail (where, "a reset was due, but the end was orderly");
  if (code != ECONNRESET)
    test_fail (where, "a reset was due, but: %s", g_strerror (code));
}

void
client_expect_end_at (const char *where,
                      int fd)
{
  int code = drain (where, fd);

  if (code != 0 && code != ECONNRESET)
    test_fail (where, "an end or a reset was due, but: %s", g_strerror (code));
}

gboolean
client_has_ended (int fd)
{
  return (wait_for (fd, POLLRDHUP, 0) & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static gssize
send_piece (int fd,
            guint64 size,
            guint32 seed,
            guint64 offset)
{
  guint8 data[CHUNK];
  gsize length = MIN (sizeof data, size);

  test_fill (data, length, seed, offset);
  return send (fd, data, length, MSG_NOSIGNAL);
}

void
client_send_stream_at (const char *where,
                       int fd,
                       guint64 size,
                       guint32 seed,
                       guint64 offset)
{
  gint64 deadline = test_deadline ();

  while (size > 0)
    {
      gssize sent;

      require (where, fd, POLLOUT, deadline, "write");
      sent = send_piece (fd, size, seed, offset);
      if (sent < 0 && errno != EAGAIN)
        test_fail (where, "write at offset %" G_GUINT64_FORMAT ": %s", offset, g_strerror (errno));
      offset += MAX (sent, 0);
      size -= MAX (sent, 0);
    }
}

static gsize
read_piece (const char *where,
            int fd,
            guint64 size,
            guint32 seed,
            guint64 offset,
            gint64 deadline)
{
  guint8 data[CHUNK];
  guint8 expected[CHUNK];
  gssize got = read_some (where, fd, data, MIN (sizeof data, size), deadline);

  if (got <= 0)
    test_fail (where, "read at offset %" G_GUINT64_FORMAT " with %" G_GUINT64_FORMAT " to go: %s", offset, size,
               got == 0 ? "the end" : g_strerror (errno));
  test_fill (expected, got, seed, offset);
  if (memcmp (data, expected, got) != 0)
    test_fail (where, "wrong bytes after offset %" G_GUINT64_FORMAT, offset);

  return got;
}

void
client_read_stream_at (const char *where,
                       int fd,
                       guint64 size,
                       guint32 seed,
                       guint64 offset)
{
  gint64 deadline = test_deadline ();

  while (size > 0)
    {
      gsize got = read_piece (where, fd, size, seed, offset, deadline);

      offset += got;
      size -= got;
    }
}

void
client_pass_stream_at (const char *where,
                       int from,
                       int to,
                       guint64 size,
                       guint32 seed,
                       guint64 offset)
{
  gint64 deadline = test_deadline ();
  guint64 sent = 0;
  guint64 received = 0;

  while (received < size)
    {
      struct pollfd polls[] = {
        { .fd = from, .events = sent < size ? POLLOUT : 0 },
        { .fd = to, .events = POLLIN },
      };

      if (poll (polls, G_N_ELEMENTS (polls), test_remaining_ms (deadline)) == 0)
        test_fail (where, "the deadline passed with %" G_GUINT64_FORMAT " sent and %" G_GUINT64_FORMAT " received", sent, received);
      if (polls[1].revents & POLLIN)
        received += read_piece (where, to, size - received, seed, offset + received, deadline);
      else if (polls[0].revents & POLLOUT)
        {
          gssize count = send_piece (from, size - sent, seed, offset + sent);

          sent += MAX (count, 0);
        }
      else if (polls[0].revents != 0 || polls[1].revents != 0)
        test_fail (where, "the connection broke with %" G_GUINT64_FORMAT " sent and %" G_GUINT64_FORMAT " received", sent, received);
    }
}

void
client_echo_stream_at (const char *where,
                       int fd,
                       guint64 size,
                       guint32 seed)
{
  client_pass_stream_at (where, fd, fd, size, seed, 0);
}

guint64
client_blast (int fd,
              guint64 limit,
              guint quiet_ms)
{
  guint64 sent = 0;

  while (sent < limit && wait_for (fd, POLLOUT, test_scaled_ms (quiet_ms)) != 0)
    {
      gssize count = send_piece (fd, limit - sent, 0, sent);

      if (count < 0 && errno != EAGAIN)
        break;
      sent += MAX (count, 0);
    }

  return sent;
}

gsize
client_push (int fd,
             const void *data,
             gsize length,
             guint quiet_ms)
{
  const guint8 *next = data;
  gsize pushed = 0;

  while (pushed < length && wait_for (fd, POLLOUT, test_scaled_ms (quiet_ms)) != 0)
    {
      gssize count = send (fd, next + pushed, length - pushed, MSG_NOSIGNAL | MSG_DONTWAIT);

      if (count < 0 && errno != EAGAIN)
        break;
      pushed += MAX (count, 0);
    }

  return pushed;
}

void
client_set_receive_buffer (int fd,
                           int size)
{
  g_assert_no_errno (setsockopt (fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
}

void
client_finish (int fd)
{
  shutdown (fd, SHUT_WR);
}

void
client_close (int fd)
{
  close (fd);
}

void
client_reset (int fd)
{
  socket_reset (fd);
}
