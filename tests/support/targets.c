/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "targets.h"

#include "monitor.h"
#include "socket-util.h"
#include "test-util.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 65536

/* Small, so that back-pressure of a peer that does not read begins early. */
#define SOCKET_BUFFER 65536

typedef struct _Peer Peer;
typedef void (*Behaviour) (Peer *peer);

struct _Target
{
  Behaviour behaviour;
  guint64 size;
  guint32 seed;
  char *banner;

  guint16 port;
  int listen_fd;
  int quit_fd;
  int waiting[8]; /* connections that fill the queue of a target that does not answer */
  GThread *thread;

  Monitor monitor;
  TargetCounters counters;
  char *digest;
  GPtrArray *peers;
};

struct _Peer
{
  Target *target;
  GThread *thread;
  int fd;
  gboolean reset; /* close the connection with a reset */
  gboolean done;
};

static void
count (Target *target,
       guint64 in,
       guint64 out)
{
  monitor_enter (&target->monitor);
  target->counters.bytes_in += in;
  target->counters.bytes_out += out;
  monitor_changed (&target->monitor);
  monitor_leave (&target->monitor);
}

static gssize
peer_read (Peer *peer,
           guint8 *data,
           gsize length)
{
  gssize got = recv (peer->fd, data, length, 0);

  if (got > 0)
    count (peer->target, got, 0);
  else if (got < 0)
    {
      monitor_enter (&peer->target->monitor);
      peer->target->counters.resets++;
      monitor_leave (&peer->target->monitor);
    }

  return got;
}

static gboolean
is_to_reset (Peer *peer)
{
  gboolean reset;

  monitor_enter (&peer->target->monitor);
  reset = peer->reset;
  monitor_leave (&peer->target->monitor);

  return reset;
}

static gboolean
peer_write (Peer *peer,
            const guint8 *data,
            gsize length)
{
  while (length > 0)
    {
      gssize sent = send (peer->fd, data, length, MSG_NOSIGNAL);

      if (sent < 0 || is_to_reset (peer))
        return FALSE;
      count (peer->target, 0, sent);
      data += sent;
      length -= sent;
    }

  return TRUE;
}

static void
behave_as_echo (Peer *peer)
{
  g_autofree guint8 *data = g_malloc (CHUNK);
  gssize got;

  if (peer->target->banner != NULL)
    peer_write (peer, (const guint8 *) peer->target->banner, strlen (peer->target->banner));
  while ((got = peer_read (peer, data, CHUNK)) > 0)
    if (!peer_write (peer, data, got))
      return;
}

static void
read_to_end (Peer *peer)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *data = g_malloc (CHUNK);
  gssize got;

  while ((got = peer_read (peer, data, CHUNK)) > 0)
    g_checksum_update (checksum, data, got);

  monitor_enter (&peer->target->monitor);
  g_free (peer->target->digest);
  peer->target->digest = g_strdup (g_checksum_get_string (checksum));
  monitor_leave (&peer->target->monitor);
}

static void
behave_as_sink (Peer *peer)
{
  read_to_end (peer);
}

static gboolean
write_stream (Peer *peer)
{
  g_autofree guint8 *data = g_malloc (CHUNK);

  for (guint64 offset = 0; offset < peer->target->size;)
    {
      gsize length = MIN (CHUNK, peer->target->size - offset);

      test_fill (data, length, peer->target->seed, offset);
      if (!peer_write (peer, data, length))
        return FALSE;
      offset += length;
    }

  return TRUE;
}

static void
behave_as_source (Peer *peer)
{
  if (!write_stream (peer))
    return;

  /* Closing the socket with unread bytes would reset the connection and lose bytes in transit. */
  shutdown (peer->fd, SHUT_WR);
  read_to_end (peer);
}

static void
behave_as_answer (Peer *peer)
{
  read_to_end (peer);
  write_stream (peer);
}

static void
behave_as_mute (Peer *peer)
{
  struct pollfd poll_fd = { .fd = peer->fd, .events = 0 };

  /* Only a reset or a shutdown by target_free () ends this. */
  while (poll (&poll_fd, 1, -1) < 0 && errno == EINTR)
    ;
}

static void
behave_as_reset_after (Peer *peer)
{
  g_autofree guint8 *data = g_malloc (CHUNK);
  guint64 left = peer->target->size;
  gssize got;

  while (left > 0 && (got = peer_read (peer, data, MIN (CHUNK, left))) > 0)
    left -= got;

  monitor_enter (&peer->target->monitor);
  peer->reset = TRUE;
  monitor_leave (&peer->target->monitor);
}

static gpointer
run_peer (gpointer user_data)
{
  Peer *peer = user_data;
  Target *target = peer->target;

  target->behaviour (peer);

  monitor_enter (&target->monitor);
  if (peer->reset)
    socket_reset (peer->fd);
  else
    close (peer->fd);
  peer->fd = -1;
  peer->done = TRUE;
  target->counters.open--;
  monitor_changed (&target->monitor);
  monitor_leave (&target->monitor);

  return NULL;
}

static void
peer_free (gpointer data)
{
  Peer *peer = data;

  g_thread_join (peer->thread);
  g_free (peer);
}

/* Called with the lock held. */
static void
reap_peers (Target *target)
{
  for (guint i = target->peers->len; i > 0; i--)
    if (((Peer *) target->peers->pdata[i - 1])->done)
      g_ptr_array_remove_index_fast (target->peers, i - 1);
}

static void
add_peer (Target *target,
          int fd)
{
  Peer *peer = g_new0 (Peer, 1);

  peer->target = target;
  peer->fd = fd;

  monitor_enter (&target->monitor);
  reap_peers (target);
  target->counters.accepted++;
  target->counters.open++;
  g_ptr_array_add (target->peers, peer);
  peer->thread = g_thread_new ("target-peer", run_peer, peer);
  monitor_changed (&target->monitor);
  monitor_leave (&target->monitor);
}

static gpointer
run_target (gpointer user_data)
{
  Target *target = user_data;
  struct pollfd polls[] = {
    { .fd = target->quit_fd, .events = POLLIN },
    { .fd = target->listen_fd, .events = POLLIN },
  };

  for (;;)
    {
      int fd;

      poll (polls, G_N_ELEMENTS (polls), -1);
      if (polls[0].revents != 0)
        return NULL;
      fd = accept4 (target->listen_fd, NULL, NULL, SOCK_CLOEXEC);
      if (fd >= 0)
        add_peer (target, fd);
    }
}

static Target *
target_new (Behaviour behaviour)
{
  Target *target = g_new0 (Target, 1);
  int size = SOCKET_BUFFER;

  monitor_init (&target->monitor);
  target->behaviour = behaviour;
  target->peers = g_ptr_array_new_with_free_func (peer_free);
  target->quit_fd = eventfd (0, EFD_CLOEXEC);
  target->listen_fd = socket_bind (0, &target->port);
  g_assert_no_errno (setsockopt (target->listen_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  g_assert_no_errno (setsockopt (target->listen_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  if (behaviour == NULL)
    return target;

  g_assert_no_errno (listen (target->listen_fd, SOMAXCONN));
  return target;
}

/* The thread reads the fields that distinguish the targets, so that it is started last. */
static Target *
target_run (Target *target)
{
  target->thread = g_thread_new ("target", run_target, target);
  return target;
}

Target *
target_new_echo (void)
{
  return target_run (target_new (behave_as_echo));
}

Target *
target_new_sink (void)
{
  return target_run (target_new (behave_as_sink));
}

Target *
target_new_source (guint64 size,
                   guint32 seed)
{
  Target *target = target_new (behave_as_source);

  target->size = size;
  target->seed = seed;
  return target_run (target);
}

Target *
target_new_answer (guint64 size,
                   guint32 seed)
{
  Target *target = target_new (behave_as_answer);

  target->size = size;
  target->seed = seed;
  return target_run (target);
}

Target *
target_new_mute (void)
{
  return target_run (target_new (behave_as_mute));
}

Target *
target_new_banner (const char *banner)
{
  Target *target = target_new (behave_as_echo);

  target->banner = g_strdup (banner);
  return target_run (target);
}

Target *
target_new_reset_after (guint64 bytes)
{
  Target *target = target_new (behave_as_reset_after);

  target->size = bytes;
  return target_run (target);
}

Target *
target_new_refusing (void)
{
  return target_new (NULL);
}

Target *
target_new_silent (void)
{
  Target *target = target_new (NULL);

  g_assert_no_errno (listen (target->listen_fd, 0));
  for (guint i = 0; i < G_N_ELEMENTS (target->waiting); i++)
    target->waiting[i] = socket_start_connect (target->port);
  return target;
}

Target *
target_new_manual (void)
{
  Target *target = target_new (NULL);

  g_assert_no_errno (listen (target->listen_fd, SOMAXCONN));
  return target;
}

int
target_accept_at (const char *where,
                  Target *target)
{
  struct pollfd poll_fd = { .fd = target->listen_fd, .events = POLLIN };
  int fd;

  if (poll (&poll_fd, 1, test_remaining_ms (test_deadline ())) != 1)
    test_fail (where, "the deadline passed: nobody connected to the target");
  fd = accept4 (target->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  g_assert_cmpint (fd, >=, 0);

  return fd;
}

void
target_free (Target *target)
{
  eventfd_write (target->quit_fd, 1);
  g_clear_pointer (&target->thread, g_thread_join);

  monitor_enter (&target->monitor);
  for (guint i = 0; i < target->peers->len; i++)
    {
      Peer *peer = target->peers->pdata[i];

      if (!peer->done)
        shutdown (peer->fd, SHUT_RDWR);
    }
  monitor_leave (&target->monitor);

  g_ptr_array_unref (target->peers);
  for (guint i = 0; i < G_N_ELEMENTS (target->waiting); i++)
    if (target->waiting[i] > 0)
      close (target->waiting[i]);
  close (target->listen_fd);
  close (target->quit_fd);
  g_free (target->digest);
  g_free (target->banner);
  monitor_clear (&target->monitor);
  g_free (target);
}

guint16
target_get_port (Target *target)
{
  return target->port;
}

char *
target_get_address (Target *target)
{
  return g_strdup_printf ("127.0.0.1:%u", target->port);
}

TargetCounters
target_get_counters (Target *target)
{
  TargetCounters counters;

  monitor_enter (&target->monitor);
  counters = target->counters;
  monitor_leave (&target->monitor);

  return counters;
}

char *
target_get_digest (Target *target)
{
  char *digest;

  monitor_enter (&target->monitor);
  digest = g_strdup (target->digest);
  monitor_leave (&target->monitor);

  return digest;
}

void
target_reset_all (Target *target)
{
  monitor_enter (&target->monitor);
  for (guint i = 0; i < target->peers->len; i++)
    {
      Peer *peer = target->peers->pdata[i];
      struct linger linger = { .l_onoff = 1, .l_linger = 0 };

      if (peer->done)
        continue;
      /* The thread of the peer wakes up, and its close () sends the reset. Shutting down only the reading side sends
       * nothing before that. */
      setsockopt (peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
      peer->reset = TRUE;
      shutdown (peer->fd, SHUT_RD);
    }
  monitor_leave (&target->monitor);
}

gboolean
target_wait_accepted (Target *target,
                      guint64 accepted)
{
  return MONITOR_WAIT_FOR (&target->monitor, test_deadline (), target->counters.accepted >= accepted);
}

gboolean
target_wait_open (Target *target,
                  guint open)
{
  return MONITOR_WAIT_FOR (&target->monitor, test_deadline (), target->counters.open == open);
}

gboolean
target_wait_bytes_in (Target *target,
                      guint64 bytes)
{
  return MONITOR_WAIT_FOR (&target->monitor, test_deadline (), target->counters.bytes_in >= bytes);
}
