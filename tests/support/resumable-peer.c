/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resumable-peer.h"

#include "client.h"
#include "socket-util.h"
#include "test-util.h"
#include "ws-client.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static ResumablePeer *
peer_new (gboolean server)
{
  ResumablePeer *peer = g_new0 (ResumablePeer, 1);

  peer->server = server;
  peer->fd = peer->listen_fd = -1;
  peer->hello = (ResumableHello) {
    .version = 1,
    .window = 256 * 1024,
    .max_payload = 64 * 1024,
    .max_streams = 1000,
  };

  return peer;
}

void
resumable_peer_free (ResumablePeer *peer)
{
  if (peer->fd >= 0)
    close (peer->fd);
  if (peer->listen_fd >= 0)
    close (peer->listen_fd);
  g_clear_pointer (&peer->message, g_bytes_unref);
  g_free (peer->query);
  g_free (peer->token);
  g_free (peer);
}

void
resumable_reset (ResumablePeer *peer)
{
  socket_reset (peer->fd);
  peer->fd = -1;
}

/* Closing the socket with unread bytes would send a reset. */
void
resumable_drop (ResumablePeer *peer)
{
  shutdown (peer->fd, SHUT_WR);
  client_expect_end (peer->fd);
  close (peer->fd);
  peer->fd = -1;
}

/* Opening a WebSocket */

ResumablePeer *
resumable_client_new (guint16 port,
                      const char *token,
                      gboolean multiplexed)
{
  ResumablePeer *peer = peer_new (FALSE);
  g_autofree char *id = g_uuid_string_random ();

  peer->port = port;
  peer->token = g_strdup (token);
  peer->query = g_strdup_printf ("/?sessionId=%s%s", id, multiplexed ? "&mode=multiplexed" : "");

  return peer;
}

guint
resumable_client_try (ResumablePeer *peer,
                      char **body)
{
  g_autofree char *headers = NULL;
  guint status;

  g_assert_cmpint (peer->fd, ==, -1);
  headers = g_strdup_printf (WS_UPGRADE RESUMABLE_HEADER ": " RESUMABLE_NAME "\r\n"
                             "Authorization: Bearer %s\r\n", peer->token);
  status = http_get (peer->port, peer->query, headers, body, &peer->fd);
  peer->close_code = 0;
  if (status != 101)
    {
      client_close (peer->fd);
      peer->fd = -1;
    }

  return status;
}

void
resumable_client_connect_at (const char *where,
                             ResumablePeer *peer)
{
  guint status = resumable_client_try (peer, NULL);

  if (status != 101)
    test_fail (where, "wanted 101, got %u", status);
  /* The HELLO of the peer contains the instance that was known before the gateway's HELLO was read. */
  peer->hello.instance = peer->heard.instance;
  resumable_hear_hello_at (where, peer);
}

ResumablePeer *
resumable_client_start (guint16 port,
                        const char *token,
                        gboolean multiplexed)
{
  ResumablePeer *peer = resumable_client_new (port, token, multiplexed);

  resumable_client_connect (peer);
  resumable_say_hello (peer);
  return peer;
}

/* The port stays bound until the process ends: a tunnel repeats its goodbye for seconds after a test, and must not
 * reach the server of the next test. */
ResumablePeer *
resumable_server_new (void)
{
  ResumablePeer *peer = peer_new (TRUE);

  socket_bind (0, &peer->port);
  peer->listen_fd = socket_listen (peer->port, NULL);
  peer->hello.instance = 1;
  peer->hello.session_timeout = 60;

  return peer;
}

char *
resumable_server_get_uri (ResumablePeer *peer)
{
  return g_strdup_printf ("ws://127.0.0.1:%u/", peer->port);
}

void
resumable_server_accept_at (const char *where,
                            ResumablePeer *peer)
{
  struct pollfd poll_fd = { .fd = peer->listen_fd, .events = POLLIN };
  g_autofree char *head = NULL;
  g_autofree char *key = NULL;
  g_autofree char *offer = NULL;
  g_autofree char *accept = NULL;
  g_autofree char *answer = NULL;
  g_autofree char *authorization = NULL;
  g_auto (GStrv) words = NULL;

  g_assert_cmpint (peer->fd, ==, -1);
  if (poll (&poll_fd, 1, test_remaining_ms (test_deadline ())) != 1)
    test_fail (where, "the deadline passed: no tunnel came");
  peer->fd = accept4 (peer->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  head = http_read_head (peer->fd);
  if (head == NULL)
    test_fail (where, "the tunnel left before its request was there");
  offer = http_head_get (head, RESUMABLE_HEADER);
  if (g_strcmp0 (offer, RESUMABLE_NAME) != 0)
    test_fail (where, "the tunnel offers %s", offer);

  words = g_strsplit (head, " ", 3);
  g_free (peer->query);
  peer->query = g_strdup (words[1]);
  authorization = http_head_get (head, "Authorization");
  g_assert_true (authorization != NULL && g_str_has_prefix (authorization, "Bearer "));
  g_free (peer->token);
  peer->token = g_strdup (authorization + strlen ("Bearer "));
  key = http_head_get (head, "Sec-WebSocket-Key");
  accept = ws_accept_of (key);
  answer = g_strdup_printf ("HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n" RESUMABLE_HEADER ": " RESUMABLE_NAME "\r\n%s\r\n",
                            accept, peer->headers != NULL ? peer->headers : "");
  client_write (peer->fd, answer, strlen (answer));
  peer->close_code = 0;
}

void
resumable_server_welcome (ResumablePeer *peer)
{
  resumable_server_accept (peer);
  resumable_say_hello (peer);
  resumable_hear_hello (peer);
}
