/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "http-stub.h"

#include "client.h"
#include "monitor.h"
#include "socket-util.h"
#include "test-util.h"
#include "ws-client.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum
{
  KIND_ANSWER,
  KIND_UPGRADE,
  KIND_WRONG_ACCEPT,
  KIND_SILENCE,
} Kind;

typedef struct
{
  Kind kind;
  GString *bytes; /* the answer, or what follows the 101 */
  char *headers;
  gboolean hold;
} Entry;

typedef struct
{
  char *head;
  gint64 time;
} Request;

struct _HttpStub
{
  GThread *thread;
  guint16 port;
  int listen_fd;
  int wake_fd;

  Monitor monitor;
  gboolean quit;
  gboolean drop;
  guint held;
  GQueue entries;
  GArray *requests;
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_string_free (entry->bytes, TRUE);
  g_free (entry->headers);
  g_free (entry);
}

static void
request_clear (gpointer data)
{
  g_free (((Request *) data)->head);
}

static void
push (HttpStub *stub,
      Kind kind,
      const char *headers,
      GString *bytes,
      gboolean hold)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->kind = kind;
  entry->bytes = bytes;
  entry->headers = g_strdup (headers != NULL ? headers : "");
  entry->hold = hold;

  monitor_enter (&stub->monitor);
  g_queue_push_tail (&stub->entries, entry);
  monitor_leave (&stub->monitor);
}

static void
answer_upgrade (int fd,
                Entry *entry,
                const char *head)
{
  g_autofree char *key = http_head_get (head, "Sec-WebSocket-Key");
  g_autofree char *accept = ws_accept_of (key != NULL ? key : "");
  g_autofree char *answer = NULL;

  answer = g_strdup_printf ("HTTP/1.1 101 Switching Protocols\r\n"
                            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n%s\r\n",
                            entry->kind == KIND_UPGRADE ? accept : "bm90IHRoaXMgb25lIGF0IGFsbA==",
                            entry->headers);
  send (fd, answer, strlen (answer), MSG_NOSIGNAL);
  send (fd, entry->bytes->str, entry->bytes->len, MSG_NOSIGNAL);
}

/* Called with the lock held. The last entry stays in the list and is used again. */
static Entry *
next_entry (HttpStub *stub,
            gboolean *owned)
{
  *owned = stub->entries.length > 1;
  return *owned ? g_queue_pop_head (&stub->entries) : g_queue_peek_head (&stub->entries);
}

/* Returns TRUE if the connection has to stay open. */
static gboolean
serve (HttpStub *stub,
       int fd)
{
  char *head = http_read_head (fd);
  gboolean owned, hold;
  Request request;
  Entry *entry;

  if (head == NULL)
    return FALSE;

  request = (Request) { head, g_get_monotonic_time () };
  monitor_enter (&stub->monitor);
  entry = next_entry (stub, &owned);
  g_assert_nonnull (entry);
  hold = entry->hold;
  if (entry->kind == KIND_ANSWER)
    send (fd, entry->bytes->str, entry->bytes->len, MSG_NOSIGNAL);
  else if (entry->kind != KIND_SILENCE)
    answer_upgrade (fd, entry, head);
  if (owned)
    entry_free (entry);
  g_array_append_val (stub->requests, request);
  stub->held += hold;
  monitor_changed (&stub->monitor);
  monitor_leave (&stub->monitor);

  return hold;
}

static void
finish (int fd)
{
  shutdown (fd, SHUT_WR);
  close (fd);
}

static void
accept_one (HttpStub *stub,
            GArray *polls)
{
  struct pollfd poll_fd = { .events = POLLIN };

  poll_fd.fd = accept4 (stub->listen_fd, NULL, NULL, SOCK_CLOEXEC);
  if (poll_fd.fd < 0)
    return;
  if (serve (stub, poll_fd.fd))
    g_array_append_val (polls, poll_fd);
  else
    finish (poll_fd.fd);
}

static void
read_held (HttpStub *stub,
           GArray *polls,
           gboolean drop)
{
  char scrap[65536];

  for (guint i = polls->len - 1; i >= 2; i--)
    {
      struct pollfd *poll_fd = &g_array_index (polls, struct pollfd, i);
      gboolean ended = poll_fd->revents != 0 && recv (poll_fd->fd, scrap, sizeof scrap, 0) <= 0;

      if (!drop && !ended)
        continue;
      finish (poll_fd->fd);
      g_array_remove_index_fast (polls, i);
      monitor_enter (&stub->monitor);
      stub->held--;
      monitor_changed (&stub->monitor);
      monitor_leave (&stub->monitor);
    }
}

static gpointer
run (gpointer user_data)
{
  HttpStub *stub = user_data;
  g_autoptr (GArray) polls = g_array_new (FALSE, TRUE, sizeof (struct pollfd));
  struct pollfd poll_fd = { .fd = stub->wake_fd, .events = POLLIN };
  gboolean quit = FALSE;

  g_array_append_val (polls, poll_fd);
  poll_fd.fd = stub->listen_fd;
  g_array_append_val (polls, poll_fd);

  while (!quit)
    {
      gboolean drop, acceptable;
      eventfd_t value;

      poll ((struct pollfd *) (void *) polls->data, polls->len, -1);
      eventfd_read (stub->wake_fd, &value);
      acceptable = g_array_index (polls, struct pollfd, 1).revents != 0;

      monitor_enter (&stub->monitor);
      quit = stub->quit;
      drop = stub->drop || quit;
      stub->drop = FALSE;
      monitor_leave (&stub->monitor);

      read_held (stub, polls, drop);
      if (acceptable && !quit)
        accept_one (stub, polls);
    }

  return NULL;
}

HttpStub *
http_stub_new (void)
{
  HttpStub *stub = g_new0 (HttpStub, 1);

  monitor_init (&stub->monitor);
  g_queue_init (&stub->entries);
  stub->requests = g_array_new (FALSE, FALSE, sizeof (Request));
  g_array_set_clear_func (stub->requests, request_clear);
  stub->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  stub->listen_fd = socket_listen (0, &stub->port);
  stub->thread = g_thread_new ("http-stub", run, stub);

  return stub;
}

void
http_stub_free (HttpStub *stub)
{
  monitor_enter (&stub->monitor);
  stub->quit = TRUE;
  monitor_leave (&stub->monitor);
  eventfd_write (stub->wake_fd, 1);
  g_thread_join (stub->thread);

  close (stub->listen_fd);
  close (stub->wake_fd);
  g_queue_clear_full (&stub->entries, entry_free);
  g_array_unref (stub->requests);
  monitor_clear (&stub->monitor);
  g_free (stub);
}

char *
http_stub_get_uri (HttpStub *stub,
                   const char *path_and_query)
{
  return g_strdup_printf ("ws://127.0.0.1:%u%s", stub->port, path_and_query);
}

void
http_stub_push_answer (HttpStub *stub,
                       guint status,
                       const char *headers,
                       const char *body)
{
  GString *bytes = g_string_new (NULL);

  g_string_printf (bytes, "HTTP/1.1 %u Stub\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                   body != NULL ? strlen (body) : 0, headers != NULL ? headers : "", body != NULL ? body : "");
  push (stub, KIND_ANSWER, NULL, bytes, FALSE);
}

void
http_stub_push_upgrade (HttpStub *stub,
                        const char *headers,
                        const void *frames,
                        gsize length,
                        gboolean hold)
{
  push (stub, KIND_UPGRADE, headers, g_string_new_len (frames, length), hold);
}

void
http_stub_push_raw (HttpStub *stub,
                    const char *bytes)
{
  push (stub, KIND_ANSWER, NULL, g_string_new (bytes), FALSE);
}

void
http_stub_push_open_end (HttpStub *stub,
                         const void *bytes,
                         gsize length)
{
  push (stub, KIND_ANSWER, NULL, g_string_new_len (bytes, length), TRUE);
}

void
http_stub_push_silence (HttpStub *stub)
{
  push (stub, KIND_SILENCE, NULL, g_string_new (NULL), TRUE);
}

void
http_stub_push_wrong_accept (HttpStub *stub)
{
  push (stub, KIND_WRONG_ACCEPT, NULL, g_string_new (NULL), FALSE);
}

void
http_stub_drop_held (HttpStub *stub)
{
  monitor_enter (&stub->monitor);
  stub->drop = TRUE;
  monitor_leave (&stub->monitor);
  eventfd_write (stub->wake_fd, 1);
}

gboolean
http_stub_wait_requests (HttpStub *stub,
                         guint count)
{
  return MONITOR_WAIT_FOR (&stub->monitor, test_deadline (), stub->requests->len >= count);
}

gboolean
http_stub_wait_held (HttpStub *stub,
                     guint count)
{
  return MONITOR_WAIT_FOR (&stub->monitor, test_deadline (), stub->held == count);
}

guint
http_stub_get_requests (HttpStub *stub)
{
  guint count;

  monitor_enter (&stub->monitor);
  count = stub->requests->len;
  monitor_leave (&stub->monitor);

  return count;
}

static Request
get_request (HttpStub *stub,
             guint index)
{
  Request request;

  monitor_enter (&stub->monitor);
  g_assert_cmpuint (index, <, stub->requests->len);
  request = g_array_index (stub->requests, Request, index);
  monitor_leave (&stub->monitor);

  return request;
}

char *
http_stub_get_target (HttpStub *stub,
                      guint index)
{
  g_auto (GStrv) words = g_strsplit (get_request (stub, index).head, " ", 3);

  return g_strdup (words[1]);
}

char *
http_stub_get_header (HttpStub *stub,
                      guint index,
                      const char *name)
{
  return http_head_get (get_request (stub, index).head, name);
}

char *
http_stub_get_parameter (HttpStub *stub,
                         guint index,
                         const char *name)
{
  g_autofree char *target = http_stub_get_target (stub, index);
  g_autoptr (GHashTable) parameters = NULL;
  const char *query = strchr (target, '?');

  if (query == NULL)
    return NULL;

  parameters = g_uri_parse_params (query + 1, -1, "&", G_URI_PARAMS_NONE, NULL);
  g_assert_nonnull (parameters);
  return g_strdup (g_hash_table_lookup (parameters, name));
}

gint64
http_stub_get_time (HttpStub *stub,
                    guint index)
{
  return get_request (stub, index).time;
}
