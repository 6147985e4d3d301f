/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the other end of the WebSocket may send, and how it may close it. */

#include "stub-rig.h"

#include <string.h>

static void
push_frames (StubRig *rig,
             const char *data,
             guint16 close_code)
{
  g_autoptr (GBytes) message = ws_server_frame (WS_BINARY, data, strlen (data));
  g_autoptr (GBytes) close = ws_server_close (close_code);
  g_autoptr (GByteArray) frames = g_byte_array_new ();

  if (*data != '\0')
    g_byte_array_append (frames, g_bytes_get_data (message, NULL), g_bytes_get_size (message));
  g_byte_array_append (frames, g_bytes_get_data (close, NULL), g_bytes_get_size (close));
  http_stub_push_upgrade (rig->stub, NULL, frames->data, frames->len, TRUE);
}

/* All data before the end is delivered, and then the end. */
static void
check_end (const char *close,
           gsize length)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  g_autoptr (GByteArray) frames = g_byte_array_new ();
  char data[4];
  int fd;

  g_byte_array_append (frames, (const guint8 *) "\x82\4last", 6);
  g_byte_array_append (frames, (const guint8 *) close, length);
  http_stub_push_upgrade (rig.stub, NULL, frames->data, frames->len, TRUE);
  for (guint i = 1; i <= 3; i++)
    {
      fd = i == 1 ? stub_rig_connect (&rig) : client_connect (test_tunnel_get_port (rig.tunnel));
      client_read (fd, data, sizeof data);
      g_assert_cmpmem (data, sizeof data, "last", 4);
      client_expect_eof (fd);
      client_close (fd);
      WAIT_UNTIL (rig.recorder->closed == i);
      g_assert_no_error (rig.recorder->closed_error);
    }
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 3);
  g_assert_cmpuint (rig.recorder->failures, ==, 0);
}

static void
test_normal_close (void)
{
  check_end ("\x88\2\x03\xe8", 4);
}

/* Browsers, ws and websocat close like this when they are finished. */
static void
test_close_without_code (void)
{
  check_end ("\x88\0", 2);
}

static void
test_target_broken (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  int fd;

  push_frames (&rig, "", 4002);
  fd = stub_rig_connect (&rig);
  client_expect_reset (fd);
  client_close (fd);
  WAIT_UNTIL (rig.recorder->closed == 1);
  g_assert_error (rig.recorder->closed_error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TARGET);
  g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 1);
}

/* Any other close code counts as a break. So does 1005, which a server must not send. */
static void
test_other_closes (void)
{
  const guint16 codes[] = { 1001, 1005, 1006, 1011, 1012, 1014, 3000, 4000, 4999 };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
      char data[4];
      int fd;

      g_test_message ("code %u", codes[i]);
      push_frames (&rig, "one ", codes[i]);
      push_frames (&rig, "two.", 1000);
      fd = stub_rig_connect (&rig);
      client_read (fd, data, sizeof data);
      g_assert_cmpmem (data, sizeof data, "one ", 4);
      client_read (fd, data, sizeof data);
      g_assert_cmpmem (data, sizeof data, "two.", 4);
      client_expect_eof (fd);
      client_close (fd);
      g_assert_cmpuint (test_figure (rig.tunnel, reconnects), ==, 1);
    }
}

/* Invalid frames: none of their data reaches the TCP client. */
static void
test_bad_frames (void)
{
  const struct
  {
    const char *what;
    const char *bytes;
    gsize length;
  } cases[] = {
    { "masked", "\x82\x83\1\2\3\4abc", 9 },
    { "reserved bits", "\xc2\3abc", 5 },
    { "an unknown opcode", "\x83\3abc", 5 },
    { "a continuation of nothing", "\x80\3abc", 5 },
    { "a message within a message", "\2\0\x82\3abc", 7 },
    { "a long ping", "\x89\x7e\0\x80", 4 },
    { "a ping in pieces", "\x09\0", 2 },
    { "an absurd length", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10 },
    { "a close of one byte", "\x88\1x", 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
      char data[2];
      int fd;

      g_test_message ("%s", cases[i].what);
      http_stub_push_upgrade (rig.stub, NULL, cases[i].bytes, cases[i].length, TRUE);
      push_frames (&rig, "ok", 1000);
      fd = stub_rig_connect (&rig);
      client_read (fd, data, sizeof data);
      g_assert_cmpmem (data, sizeof data, "ok", 2);
      client_expect_eof (fd);
      client_close (fd);
      g_assert_cmpuint (http_stub_get_requests (rig.stub), ==, 2);
    }
}

/* If a connection breaks within a frame, the part of the message is not passed on, since a peer that keeps unsent
 * messages sends this one again. */
static void
test_cut_in_frame (void)
{
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  char data[8];
  int fd;

  http_stub_push_upgrade (rig.stub, NULL, "\x82\3abc\x82\5de", 9, FALSE);
  push_frames (&rig, "defgh", 1000);
  fd = stub_rig_connect (&rig);
  client_read (fd, data, sizeof data);
  g_assert_cmpmem (data, sizeof data, "abcdefgh", 8);
  client_expect_eof (fd);
  client_close (fd);
}

/* Fragments, empty messages and control frames between them. */
static void
test_unusual_but_valid (void)
{
  static const char frames[] = "\x02\1a\x00\1b\x89\2hi\x80\1c\x82\0\x8a\0\x82\1d\x88\2\x03\xe8";
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_SINGLETON, "/");
  char data[4];
  int fd;

  http_stub_push_upgrade (rig.stub, NULL, frames, sizeof frames - 1, TRUE);
  fd = stub_rig_connect (&rig);
  client_read (fd, data, sizeof data);
  g_assert_cmpmem (data, sizeof data, "abcd", 4);
  client_expect_eof (fd);
  client_close (fd);
  g_assert_cmpuint (test_figure (rig.tunnel, reconnects), ==, 0);
}

/* Messages with ids that were never assigned. */
static void
test_tagged_unknown_ids (void)
{
  static const char frames[] = "\x82\3\0\0\1\x82\4\0\0\0\1\x82\7\0\0\0\2abc\x82\7\0\0\0\0abc\x88\2\x03\xf3";
  g_auto (StubRig) rig = stub_rig_new (TCP_TUNNEL_MODE_MULTIPLEXED, "/");

  http_stub_push_upgrade (rig.stub, NULL, frames, sizeof frames - 1, TRUE);
  http_stub_push_upgrade (rig.stub, NULL, NULL, 0, TRUE);
  test_tunnel_start (rig.tunnel);
  /* The close after them was received, so that all of them were read. */
  WAIT_UNTIL (test_figure (rig.tunnel, reconnects) == 1);
  g_assert_cmpuint (test_figure (rig.tunnel, total_connections), ==, 0);
  g_assert_cmpuint (test_figure (rig.tunnel, bytes_received), ==, 0);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/frames/normal-close", test_normal_close);
  g_test_add_func ("/frames/close-without-code", test_close_without_code);
  g_test_add_func ("/frames/target-broken", test_target_broken);
  g_test_add_func ("/frames/other-closes", test_other_closes);
  g_test_add_func ("/frames/bad-frames", test_bad_frames);
  g_test_add_func ("/frames/cut-in-frame", test_cut_in_frame);
  g_test_add_func ("/frames/unusual-but-valid", test_unusual_but_valid);
  g_test_add_func ("/frames/tagged-unknown-ids", test_tagged_unknown_ids);

  return g_test_run ();
}
