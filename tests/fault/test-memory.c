/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* With max-memory, the memory that clients make a gateway use stays below the limit, whatever it is used for, and
 * other clients are still served. The clients are plain sockets, so that only the gateway's heap grows. */

#include <malloc.h>
#include <string.h>
#include <sys/socket.h>

#include "limits-rig.h"
#include "socket-util.h"

#define KIB 1024
#define MIB (1024 * 1024)

/* The memory that a client needs in any case, including its address and the log. */
#define FIXED (24 * KIB)

typedef struct
{
  LimitsRig limits;
  char *token_file;
  GPtrArray *fds; /* of the clients that misbehave */
  gsize max;
  gsize before;
} Rig;

static gsize
get_heap (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

static guint16
get_port (Rig *rig)
{
  return fixture_get_gateway_port (rig->limits.fixture);
}

static Rig
rig_new (Target *target,
         gsize   max_memory)
{
  Rig rig = { .limits = limits_rig_new (target), .max = max_memory, .fds = g_ptr_array_new () };

  g_object_set (rig.limits.fixture->gateway, "max-memory", (guint64) max_memory, "max-connections", 400,
                "max-unacknowledged-bytes", 64 * MIB, NULL);
  limits_rig_start (&rig.limits);
  rig.before = get_heap ();
  return rig;
}

static void
rig_clear (Rig *rig)
{
  for (guint i = 0; i < rig->fds->len; i++)
    client_close (GPOINTER_TO_INT (rig->fds->pdata[i]));
  g_ptr_array_unref (rig->fds);
  limits_rig_clear (&rig->limits);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static int
rig_add (Rig        *rig,
         const char *query)
{
  int fd = ws_connect (get_port (rig), query, TEST_TOKEN);

  g_ptr_array_add (rig->fds, GINT_TO_POINTER (fd));
  return fd;
}

/* Checks the growth of the heap, less what the clients need in any case. */
static void
rig_check (Rig        *rig,
           const char *what,
           gsize       sent)
{
  gsize fixed = rig->fds->len * FIXED;
  gsize heap = get_heap ();
  gsize grown = heap > rig->before ? heap - rig->before : 0;

  g_test_message ("%s: %zu KiB were sent by %u clients, and the heap has grown by %zu KiB", what, sent / KIB,
                  rig->fds->len, grown / KIB);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (grown, <=, rig->max + rig->max / 10 + fixed);
}

/* Sends the header of a message with a mask of zeros. */
static void
begin_message (int   fd,
               gsize length)
{
  guint8 header[14] = { 0x82, 0x80 | 127 };
  guint64 size = GUINT64_TO_BE ((guint64) length);

  memcpy (header + 2, &size, sizeof size);
  client_write (fd, header, sizeof header);
}

/* Writes as many of the @length bytes as the socket accepts. */
static gsize
write_some (int           fd,
            const guint8 *data,
            gsize         length)
{
  gsize written = 0;

  while (written < length)
    {
      gssize n = send (fd, data + written, length - written, MSG_DONTWAIT | MSG_NOSIGNAL);

      if (n <= 0)
        break;
      written += n;
    }
  return written;
}

static void
test_incomplete (void)
{
  const guint n = 390;
  const gsize size = 255 * KIB;
  g_auto (Rig) rig = rig_new (target_new_echo (), 48 * MIB);
  g_autofree guint8 *data = g_malloc0 (size);
  g_autofree gsize *written = g_new0 (gsize, n);
  gsize sent = 0;

  for (guint i = 0; i < n; i++)
    {
      int fd = rig_add (&rig, "/?mode=multiplexed");

      begin_message (fd, size);
      /* The first four bytes are the id, which must not be 0. */
      data[3] = 1;
      written[i] = write_some (fd, data, size - 1);
      sent += written[i];
      if (i % 50 == 0)
        resumable_round_trip (rig.limits.innocent, 1, "meanwhile");
    }
  for (guint i = 0; i < 20; i++)
    resumable_round_trip (rig.limits.innocent, 1, "not held up");
  rig_check (&rig, "incomplete messages", sent);

  /* Clients that leave free memory for the others: the last one can send its whole message. */
  for (guint i = 0; i < n - 1; i++)
    {
      client_reset (GPOINTER_TO_INT (rig.fds->pdata[0]));
      g_ptr_array_remove_index (rig.fds, 0);
    }
  client_write (GPOINTER_TO_INT (rig.fds->pdata[0]), data + written[n - 1], size - written[n - 1]);
  g_assert_true (target_wait_bytes_in (rig.limits.target, size - 4));
}

/* Request heads that are too large use no memory after they were refused, although the clients do not close, and
 * still have time to read the answer. This needs no token. */
static void
test_refused_heads (void)
{
  const guint n = 100;
  const gsize size = 64 * KIB;
  g_auto (Rig) rig = rig_new (target_new_echo (), 48 * MIB);
  g_autofree char *head = g_malloc (size);
  gsize heap, grown;

  memset (head, 'x', size);
  memcpy (head, "GET / HTTP/1.1\r\nX: ", 19);
  for (guint i = 0; i < n; i++)
    {
      int fd = client_connect (get_port (&rig));
      g_autofree char *answer = NULL;

      g_ptr_array_add (rig.fds, GINT_TO_POINTER (fd));
      client_write (fd, head, size);
      answer = http_read_head (fd);
      g_assert_true (g_str_has_prefix (answer, "HTTP/1.1 431 "));
    }
  heap = get_heap ();
  grown = heap > rig.before ? heap - rig.before : 0;
  g_test_message ("%u heads of %zu KiB were refused, and the heap has grown by %zu KiB", n, size / KIB, grown / KIB);
  if (test_memory_is_meaningful ())
    g_assert_cmpuint (grown, <, n * FIXED);
}

/* Opens as many connections as the socket accepts, each of which is refused. A tagged session keeps their ids for a
 * while. */
static gsize
flood_ids (int     fd,
           guint32 count)
{
  enum { MESSAGE = 2 + 4 + 4 + 1 };
  g_autofree guint8 *messages = g_malloc (count * MESSAGE);

  for (guint32 i = 0; i < count; i++)
    {
      guint32 id = GUINT32_TO_BE (i + 1);
      guint8 *message = messages + i * MESSAGE;

      memset (message, 0, MESSAGE);
      message[0] = 0x82;
      message[1] = 0x80 | 5;
      memcpy (message + 6, &id, sizeof id);
    }
  return write_some (fd, messages, count * MESSAGE);
}

static void
test_ids (void)
{
  const guint n = 40;
  const guint32 ids = test_count (66000, 20000);
  g_auto (Rig) rig = rig_new (target_new_mute (), 8 * MIB);
  gsize sent = 0;

  for (guint i = 0; i < n; i++)
    {
      sent += flood_ids (rig_add (&rig, "/?mode=multiplexed"), ids);
      resumable_send_window (rig.limits.innocent, 1, 1);
      resumable_expect_confirmed (rig.limits.innocent);
    }
  for (guint i = 0; i < 20; i++)
    {
      resumable_send_window (rig.limits.innocent, 1, 1);
      resumable_expect_confirmed (rig.limits.innocent);
    }
  rig_check (&rig, "ids", sent);
}

/* The clients do not read the data of the target. */
static void
test_unread (void)
{
  const guint n = 390;
  g_auto (Rig) rig = rig_new (target_new_source (64 * MIB, 1), 48 * MIB);
  guint64 before;

  /* The client that behaves has a connection too, but grants no more credit. */
  for (guint i = 0; i < n; i++)
    {
      int fd = rig_add (&rig, "/?mode=multiplexed");
      const guint8 open[] = { 0x82, 0x80 | 5, 0, 0, 0, 0, 0, 0, 0, 1, 'x' };

      client_write (fd, open, sizeof open);
    }
  WAIT_UNTIL (test_figure (rig.limits.fixture->gateway, open_connections) == n + 1);
  do
    {
      before = test_figure (rig.limits.fixture->gateway, bytes_sent);
      for (guint i = 0; i < 50; i++)
        {
          resumable_send (rig.limits.innocent, RESUMABLE_WINDOW, 99, "\0\0\0\1", 4);
          resumable_expect_confirmed (rig.limits.innocent);
        }
    }
  while (test_figure (rig.limits.fixture->gateway, bytes_sent) > before);
  rig_check (&rig, "what is not read", before);
}

/* With the smallest possible memory, a message that has to be buffered as a whole still passes. */
static void
test_smallest (void)
{
  const gsize size = 255 * KIB;
  g_auto (Rig) rig = { .limits = limits_rig_new (target_new_echo ()), .fds = g_ptr_array_new () };
  g_autofree guint8 *data = g_malloc0 (size);
  int fd;

  g_object_set (rig.limits.fixture->gateway, "max-memory", (guint64) 8 * MIB, "max-principal-memory",
                (guint64) 4 * MIB, NULL);
  limits_rig_start (&rig.limits);
  data[3] = 1;
  fd = rig_add (&rig, "/?mode=multiplexed");
  begin_message (fd, size);
  client_write (fd, data, size);
  g_assert_true (target_wait_bytes_in (rig.limits.target, size - 4));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/memory/incomplete", test_incomplete);
  g_test_add_func ("/memory/refused-heads", test_refused_heads);
  g_test_add_func ("/memory/ids", test_ids);
  g_test_add_func ("/memory/unread", test_unread);
  g_test_add_func ("/memory/smallest", test_smallest);
  return g_test_run ();
}
