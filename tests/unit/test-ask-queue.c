/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/ask-queue.h"

#include "io/reactor.h"
#include "test-util.h"

#define TIMEOUT (10 * G_TIME_SPAN_SECOND)

/* The queue's clock is ahead of the real one by this much. */
static gint64 ahead;

gint64 __real_tcp_now (void);
gint64 __wrap_tcp_now (void);

gint64
__wrap_tcp_now (void)
{
  return __real_tcp_now () + ahead;
}

/* All calls are made on the single thread of this program: they are kept until settle (). */
void __wrap_tcp_io_thread_invoke (TcpIoThread    *self,
                                  TcpIoFunc       func,
                                  gpointer        data,
                                  GDestroyNotify  destroy);

static GQueue calls = G_QUEUE_INIT;

typedef struct
{
  TcpIoFunc func;
  gpointer data;
  GDestroyNotify destroy;
} Call;

void
__wrap_tcp_io_thread_invoke (TcpIoThread    *self,
                             TcpIoFunc       func,
                             gpointer        data,
                             GDestroyNotify  destroy)
{
  Call call = { func, data, destroy };

  g_queue_push_tail (&calls, g_memdup2 (&call, sizeof call));
}

static void
settle (void)
{
  Call *call;

  while (g_main_context_iteration (NULL, FALSE))
    ;
  while ((call = g_queue_pop_head (&calls)) != NULL)
    {
      call->func (call->data);
      call->destroy (call->data);
      g_free (call);
    }
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

typedef struct
{
  TcpAsk *ask;
  TcpQuestion *question; /* the application's reference */
  guint turn;            /* counted from 1; 0 before its turn */
  gboolean answered;
  gboolean in_time;
  char *principal;
  char *reason;
  gint64 expires;
} Client;

static guint turns;

static void
on_ask (TcpQuestion *question,
        gpointer     user_data)
{
  Client *client = user_data;

  client->question = tcp_question_ref (question);
  client->turn = ++turns;
}

static void
on_answered (const TcpAnswer *answer,
             gpointer         user_data)
{
  Client *client = user_data;

  g_assert_false (client->answered);
  client->answered = TRUE;
  client->ask = NULL;
  client->in_time = answer != NULL;
  if (answer == NULL)
    return;
  client->principal = g_strdup (answer->principal);
  client->reason = g_strdup (answer->reason);
  client->expires = answer->expires;
}

static void
client_clear (Client *client)
{
  g_clear_pointer (&client->ask, tcp_ask_cancel);
  g_clear_pointer (&client->question, tcp_question_unref);
  g_free (client->principal);
  g_free (client->reason);
  *client = (Client) { 0 };
}

typedef struct
{
  TcpOrigins *origins;
  TcpAskQueue *queue;
} Rig;

static void
rig_init (Rig *rig)
{
  static const TcpAskCallbacks callbacks = { .ask = on_ask, .answered = on_answered };

  turns = 0;
  ahead = 0;
  rig->origins = tcp_origins_new ();
  rig->queue = tcp_ask_queue_new (NULL, rig->origins, TIMEOUT, &callbacks);
}

static void
rig_clear (Rig *rig)
{
  tcp_ask_queue_free (rig->queue);
  g_assert_cmpuint (tcp_origins_get_size (rig->origins), ==, 0);
  tcp_origins_free (rig->origins);
  settle ();
}

static TcpOrigin *
rig_get_origin (Rig        *rig,
                const char *text)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);

  return tcp_origins_get (rig->origins, address, FALSE);
}

static void
rig_add (Rig       *rig,
         Client    *client,
         TcpOrigin *origin)
{
  client->ask = tcp_ask_queue_add (rig->queue, origin, client);
}

/* The connection of the client has ended. */
static void
rig_release (Rig       *rig,
             TcpOrigin *origin)
{
  tcp_origins_release (rig->origins, origin, tcp_now ());
}

/* Makes all questions time out. */
static void
rig_time_out (Rig *rig)
{
  Client client = { 0 };
  TcpOrigin *origin = rig_get_origin (rig, "203.0.113.1");

  ahead += TIMEOUT + G_TIME_SPAN_SECOND;
  /* The queue checks the timeouts whenever a client is added. */
  rig_add (rig, &client, origin);
  client_clear (&client);
  settle ();
  rig_release (rig, origin);
}

static void
test_answers (void)
{
  Rig rig;
  Client accepted = { 0 };
  Client rejected = { 0 };
  TcpOrigin *origin;

  rig_init (&rig);
  origin = rig_get_origin (&rig, "192.0.2.1");
  rig_add (&rig, &accepted, origin);
  rig_add (&rig, &rejected, origin);
  g_assert_cmpuint (turns, ==, 0);
  settle ();
  g_assert_cmpuint (turns, ==, 2);

  g_assert_true (tcp_question_put (accepted.question));
  g_assert_true (tcp_question_accept (accepted.question, "alice", 42));
  /* Only the first answer counts. */
  g_assert_false (tcp_question_accept (accepted.question, "bob", 43));
  g_assert_false (tcp_question_reject (accepted.question, "no"));
  g_assert_true (tcp_question_reject (rejected.question, "not you"));
  g_assert_false (tcp_question_accept (rejected.question, "alice", 42));
  g_assert_false (accepted.answered);
  settle ();
  g_assert_true (accepted.in_time);
  g_assert_cmpstr (accepted.principal, ==, "alice");
  g_assert_cmpint (accepted.expires, ==, 42);
  g_assert_true (rejected.in_time);
  g_assert_null (rejected.principal);
  g_assert_cmpstr (rejected.reason, ==, "not you");
  g_assert_cmpuint (origin->asked, ==, 0);

  client_clear (&accepted);
  client_clear (&rejected);
  rig_release (&rig, origin);
  rig_clear (&rig);
}

/* A client that leaves while the application looks at its question still counts as asked; a client that leaves before
 * its turn is never asked about. */
static void
test_leaving (void)
{
  Rig rig;
  Client left = { 0 };
  Client before = { 0 };
  TcpOrigin *origin, *other;

  rig_init (&rig);
  origin = rig_get_origin (&rig, "192.0.2.1");
  rig_add (&rig, &before, origin);
  client_clear (&before);
  rig_add (&rig, &left, origin);
  settle ();
  g_assert_cmpuint (turns, ==, 1);

  g_assert_true (tcp_question_put (left.question));
  g_clear_pointer (&left.ask, tcp_ask_cancel);
  rig_release (&rig, origin);
  other = rig_get_origin (&rig, "192.0.2.1");
  g_assert_true (other == origin);
  g_assert_cmpuint (origin->asked, ==, 1);

  g_assert_false (tcp_question_accept (left.question, "alice", 42));
  settle ();
  g_assert_false (left.answered);
  g_assert_cmpuint (origin->asked, ==, 0);

  client_clear (&left);
  rig_release (&rig, origin);
  rig_clear (&rig);
}

static void
test_late (void)
{
  Rig rig;
  Client client = { 0 };
  TcpOrigin *origin;

  rig_init (&rig);
  origin = rig_get_origin (&rig, "192.0.2.1");
  rig_add (&rig, &client, origin);
  settle ();
  g_assert_true (tcp_question_put (client.question));
  rig_time_out (&rig);
  g_assert_true (client.answered);
  g_assert_false (client.in_time);
  g_assert_cmpuint (origin->asked, ==, 0);
  g_assert_false (tcp_question_put (client.question));
  g_assert_false (tcp_question_accept (client.question, "alice", 42));
  settle ();

  client_clear (&client);
  rig_release (&rig, origin);
  rig_clear (&rig);
}

/* While the application looks at none of the questions, no other client has a turn, however many come and go. */
static void
test_stuck (void)
{
  Rig rig;
  Client clients[TCP_ASK_MAX] = { 0 };
  Client more = { 0 };
  TcpOrigin *last;

  rig_init (&rig);
  for (guint i = 0; i < TCP_ASK_MAX; i++)
    {
      g_autofree char *text = g_strdup_printf ("192.0.2.%u", i);
      TcpOrigin *origin = rig_get_origin (&rig, text);

      rig_add (&rig, &clients[i], origin);
      settle ();
      if (i % 2 == 0)
        g_clear_pointer (&clients[i].ask, tcp_ask_cancel);
      else
        clients[i].ask = NULL;
      if (i % 2 == 0)
        rig_release (&rig, origin);
    }
  g_assert_cmpuint (turns, ==, TCP_ASK_MAX);
  last = rig_get_origin (&rig, "198.51.100.1");
  rig_add (&rig, &more, last);

  for (guint round = 0; round < 3; round++)
    {
      rig_time_out (&rig);
      g_assert_cmpuint (turns, ==, TCP_ASK_MAX);
      for (guint i = 0; i < TCP_ASK_MAX; i++)
        g_assert_cmpint (clients[i].answered, ==, i % 2 == 1);
    }

  /* At last the application looks at the questions, finds that their clients are gone, and drops them. */
  for (guint i = 0; i < TCP_ASK_MAX; i++)
    {
      g_autofree char *text = g_strdup_printf ("192.0.2.%u", i);

      g_assert_false (tcp_question_put (clients[i].question));
      g_assert_false (tcp_question_reject (clients[i].question, NULL));
      client_clear (&clients[i]);
      if (i % 2 == 1)
        {
          TcpOrigin *origin = rig_get_origin (&rig, text);

          rig_release (&rig, origin);
          rig_release (&rig, origin);
        }
    }
  settle ();
  g_assert_cmpuint (turns, ==, TCP_ASK_MAX + 1);

  client_clear (&more);
  rig_release (&rig, last);
  rig_clear (&rig);
}

/* One address uses all places that one address may have, and hundreds more of its clients wait. A client of another
 * address has its turn at once, or if all places are taken, when the next one becomes free. */
static void
test_flood (void)
{
  enum { N_FLOOD = 300 };
  Rig rig;
  g_autofree Client *flood = g_new0 (Client, N_FLOOD);
  Client others[TCP_ASK_MAX] = { 0 };
  Client one = { 0 };
  TcpOrigin *attacker, *other;

  rig_init (&rig);
  attacker = rig_get_origin (&rig, "192.0.2.1");
  for (guint i = 0; i < N_FLOOD; i++)
    rig_add (&rig, &flood[i], attacker);
  settle ();
  g_assert_cmpuint (turns, ==, TCP_ASK_MAX_OF_ORIGIN);

  other = rig_get_origin (&rig, "192.0.2.2");
  for (guint i = 0; i < TCP_ASK_MAX - TCP_ASK_MAX_OF_ORIGIN; i++)
    rig_add (&rig, &others[i], other);
  settle ();
  g_assert_cmpuint (turns, ==, TCP_ASK_MAX);

  rig_add (&rig, &one, rig_get_origin (&rig, "192.0.2.3"));
  settle ();
  g_assert_cmpuint (one.turn, ==, 0);
  for (guint i = 0; i < N_FLOOD; i++)
    if (flood[i].turn == 1)
      tcp_question_reject (flood[i].question, NULL);
  settle ();
  g_assert_cmpuint (one.turn, ==, TCP_ASK_MAX + 1);

  for (guint i = 0; i < N_FLOOD; i++)
    client_clear (&flood[i]);
  for (guint i = 0; i < TCP_ASK_MAX; i++)
    client_clear (&others[i]);
  client_clear (&one);
  rig_release (&rig, attacker);
  rig_release (&rig, other);
  other = rig_get_origin (&rig, "192.0.2.3");
  rig_release (&rig, other);
  rig_release (&rig, other);
  rig_clear (&rig);
}

/* Among those that wait, the address that has sent a valid token before comes first, and among the clients of one
 * address the newest. */
static void
test_order (void)
{
  Rig rig;
  g_autofree Client *busy = g_new0 (Client, TCP_ASK_MAX);
  Client first = { 0 };
  Client second = { 0 };
  Client known = { 0 };
  TcpOrigin *origins[2], *unknown, *good;

  rig_init (&rig);
  for (guint i = 0; i < 2; i++)
    origins[i] = rig_get_origin (&rig, i == 0 ? "192.0.2.1" : "192.0.2.2");
  for (guint i = 0; i < TCP_ASK_MAX; i++)
    rig_add (&rig, &busy[i], origins[i % 2]);
  settle ();
  unknown = rig_get_origin (&rig, "192.0.2.3");
  good = rig_get_origin (&rig, "192.0.2.4");
  good->known = TRUE;
  rig_add (&rig, &known, good);
  rig_add (&rig, &first, unknown);
  rig_add (&rig, &second, unknown);
  for (guint i = 0; i < 3; i++)
    tcp_question_reject (busy[i].question, NULL);
  settle ();
  g_assert_cmpuint (known.turn, ==, TCP_ASK_MAX + 1);
  g_assert_cmpuint (second.turn, ==, TCP_ASK_MAX + 2);
  g_assert_cmpuint (first.turn, ==, TCP_ASK_MAX + 3);

  for (guint i = 0; i < TCP_ASK_MAX; i++)
    client_clear (&busy[i]);
  client_clear (&first);
  client_clear (&second);
  client_clear (&known);
  for (guint i = 0; i < 2; i++)
    rig_release (&rig, origins[i]);
  rig_release (&rig, unknown);
  good->known = FALSE;
  rig_release (&rig, good);
  rig_clear (&rig);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/ask-queue/answers", test_answers);
  g_test_add_func ("/ask-queue/leaving", test_leaving);
  g_test_add_func ("/ask-queue/late", test_late);
  g_test_add_func ("/ask-queue/stuck", test_stuck);
  g_test_add_func ("/ask-queue/flood", test_flood);
  g_test_add_func ("/ask-queue/order", test_order);

  return g_test_run ();
}
