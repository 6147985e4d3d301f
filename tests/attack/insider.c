/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "insider.h"

#include "client.h"
#include "frame-flood.h"
#include "resumable-peer.h"
#include "test-util.h"
#include "ws-client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The number of frames that the gateway has handled on each WebSocket when the flood counts as started. A connection
 * takes two. */
#define STREAM_FRAMES 20000
#define ID_FRAMES (2 * test_count (66000, 10000))
#define MANY 16
#define FRAMES_OF_MANY (2 * 2048)

#define REFUSALS 100
/* Together these are more than the memory of the gateway. */
#define INCOMPLETE 200
#define MESSAGE (256 * 1024)
#define QUIET_MS 20

static void
report (guint64 got,
        guint held,
        guint refused)
{
  printf ("%" G_GUINT64_FORMAT " %u %u\n", got, held, refused);
  fflush (stdout);
}

/* Frames, as fast as the gateway takes them */

static gpointer
run_flood (gpointer data)
{
  frame_flood_run (data);
}

G_GNUC_NORETURN static void
send_frames (const InsiderOptions *options,
             FrameFloodKind kind,
             guint n_floods,
             guint n_frames)
{
  g_autofree FrameFlood **floods = g_new (FrameFlood *, n_floods);
  guint64 handled = 0;

  for (guint i = 0; i < n_floods; i++)
    {
      floods[i] = frame_flood_new (options->port, options->token, kind);
      g_thread_unref (g_thread_new ("flood", run_flood, floods[i]));
    }
  for (guint i = 0; i < n_floods; i++)
    {
      while (frame_flood_get_handled (floods[i]) < n_frames)
        g_usleep (1000);
      handled += frame_flood_get_handled (floods[i]);
    }
  report (handled, n_floods, 0);
  for (;;)
    pause ();
}

/* Sessions, connections and messages that are held */

static void
drop_ended (GArray *fds)
{
  for (guint i = fds->len; i-- > 0;)
    if (client_has_ended (g_array_index (fds, int, i)))
      {
        client_close (g_array_index (fds, int, i));
        g_array_remove_index_fast (fds, i);
      }
}

G_GNUC_NORETURN static void
hold_sessions (const InsiderOptions *options)
{
  GArray *fds = g_array_new (FALSE, FALSE, sizeof (int));
  guint got = 0, refused = 0;

  for (;;)
    {
      g_autoptr (ResumablePeer) peer = resumable_client_new (options->port, options->token, TRUE);
      guint status = resumable_client_try (peer, NULL);

      if (status == 101)
        {
          g_array_append_val (fds, peer->fd);
          peer->fd = -1;
          got++;
          continue;
        }
      if (status != 503)
        test_fail (G_STRLOC, "wanted 503, got %u", status);
      drop_ended (fds);
      if (++refused == REFUSALS)
        report (got, fds->len, refused);
    }
}

static void
send_tagged (int fd,
             guint32 id,
             const char *text)
{
  guint8 message[8] = { id >> 24, id >> 16, id >> 8, id };
  gsize length = strlen (text);

  memcpy (message + 4, text, length);
  ws_send (fd, WS_BINARY, message, 4 + length);
}

/* Returns whether the gateway connected this id to the target, which is an echo. */
static gboolean
open_tagged (int fd,
             guint32 id)
{
  guint opcode = 0;
  g_autoptr (GBytes) frame = NULL;

  send_tagged (fd, id, "x");
  frame = ws_receive (fd, &opcode);
  if (frame == NULL || opcode != WS_BINARY)
    test_fail (G_STRLOC, "the gateway ended the session");
  return g_bytes_get_size (frame) > 4;
}

G_GNUC_NORETURN static void
hold_connections (const InsiderOptions *options)
{
  int fd = ws_connect (options->port, "/?mode=multiplexed", options->token);
  guint got = 0, refused = 0;

  for (guint32 id = 1;; id++)
    if (open_tagged (fd, id))
      got++;
    else if (++refused == REFUSALS)
      report (got, got, refused);
}

G_GNUC_NORETURN static void
hold_messages (const InsiderOptions *options)
{
  const guint8 head[14] = { 0x80 | WS_BINARY, 0x80 | 127, [7] = MESSAGE >> 16 };
  g_autofree guint8 *data = g_malloc0 (MESSAGE);
  GArray *fds = g_array_new (FALSE, FALSE, sizeof (int));
  guint64 got = 0;
  gboolean is_reported = FALSE;

  G_STATIC_ASSERT (MESSAGE >> 16 < 256 && (MESSAGE & 0xffff) == 0);
  for (;;)
    {
      while (fds->len < INCOMPLETE)
        {
          int fd = ws_connect (options->port, "/?mode=multiplexed", options->token);

          g_array_append_val (fds, fd);
          client_write (fd, head, sizeof head);
          got += client_push (fd, data, MESSAGE - 1, QUIET_MS);
        }
      if (!is_reported)
        report (got, fds->len, 0);
      is_reported = TRUE;
      g_usleep (QUIET_MS * 1000);
      drop_ended (fds);
    }
}

void
insider_run (const InsiderOptions *options)
{
  switch (options->kind)
    {
    case INSIDER_OPEN_RESET:
      send_frames (options, FRAME_FLOOD_OPEN_RESET, 1, STREAM_FRAMES);
    case INSIDER_IDS:
      send_frames (options, FRAME_FLOOD_OPEN_CLOSE, 1, ID_FRAMES);
    case INSIDER_MANY_IDS:
      send_frames (options, FRAME_FLOOD_OPEN_CLOSE, MANY, FRAMES_OF_MANY);
    case INSIDER_SILENT:
      hold_sessions (options);
    case INSIDER_CONNECTIONS:
      hold_connections (options);
    case INSIDER_INCOMPLETE:
    default:
      hold_messages (options);
    }
}
