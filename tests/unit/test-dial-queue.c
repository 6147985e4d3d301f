/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/dial-queue.h"

typedef struct
{
  char name;
  TcpDialTicket *ticket;
  gboolean granted; /* at once, or by a call */
} Dial;

/* All calls are made on one I/O thread, for which the test waits. */
static TcpIoThread *thread;
static GString *called; /* the names of the dials that were called, in order */

static void
on_granted (gpointer user_data)
{
  Dial *dial = user_data;

  dial->granted = TRUE;
  g_string_append_c (called, dial->name);
}

static void
ask (TcpDialQueue  *queue,
     TcpDialCaller *caller,
     Dial          *dial,
     char           name)
{
  *dial = (Dial) { .name = name };
  dial->ticket = tcp_dial_queue_ask (queue, caller, thread, on_granted, dial, &dial->granted);
}

static void
give_back (Dial *dial)
{
  g_clear_pointer (&dial->ticket, tcp_dial_ticket_return);
}

/* Runs what the previous call has invoked. */
static void
settle (void)
{
  GMainContext *context = g_main_context_get_thread_default ();

  while (g_main_context_iteration (context, FALSE))
    ;
}

static void
expect_called (const char *names)
{
  settle ();
  g_assert_cmpstr (called->str, ==, names);
  g_string_truncate (called, 0);
}

/* Principals take turns, and so do the clients of each, whatever number of dials one asks for. */
static void
do_in_turn (gpointer data)
{
  TcpDialQueue *queue = tcp_dial_queue_new (2, thread);
  TcpDialShare shares[2] = { 0 };
  TcpDialCaller callers[3];
  Dial first[2], many[6], other[2], last[2];

  for (guint i = 0; i < 2; i++)
    shares[i].quota.max = 2;
  tcp_dial_caller_init (&callers[0], &shares[0]);
  tcp_dial_caller_init (&callers[1], &shares[0]);
  tcp_dial_caller_init (&callers[2], &shares[1]);

  ask (queue, &callers[0], &first[0], '1');
  ask (queue, &callers[1], &first[1], '2');
  g_assert_true (first[0].granted && first[1].granted);
  for (guint i = 0; i < G_N_ELEMENTS (many); i++)
    ask (queue, &callers[0], &many[i], 'a' + i);
  for (guint i = 0; i < 2; i++)
    ask (queue, &callers[1], &other[i], 'p' + i);
  for (guint i = 0; i < 2; i++)
    ask (queue, &callers[2], &last[i], 'y' + i);
  expect_called ("");

  give_back (&first[0]);
  expect_called ("a");
  give_back (&many[0]);
  expect_called ("y");
  give_back (&first[1]);
  /* The client that asked for many has had its turn. */
  expect_called ("p");
  give_back (&other[0]);
  expect_called ("b");
  give_back (&last[0]);
  expect_called ("z");
  give_back (&last[1]);
  expect_called ("q");
  give_back (&other[1]);
  /* This is half of what the principal may have. */
  expect_called ("");
  for (guint i = 1; i < G_N_ELEMENTS (many); i++)
    {
      give_back (&many[i]);
      if (i + 1 < G_N_ELEMENTS (many))
        g_assert_false (many[i + 1].granted);
      settle ();
      if (i + 1 < G_N_ELEMENTS (many))
        g_assert_true (many[i + 1].granted);
    }
  expect_called ("cdef");
  tcp_dial_queue_unref (queue);
}

/* A dial may be given up while it waits, and also when it is its turn but its thread does not know yet. */
static void
do_given_up (gpointer data)
{
  TcpDialQueue *queue = tcp_dial_queue_new (1, thread);
  TcpDialShare share = { .quota.max = 1 };
  TcpDialCaller caller;
  Dial dials[4];

  tcp_dial_caller_init (&caller, &share);
  for (guint i = 0; i < 4; i++)
    ask (queue, &caller, &dials[i], 'a' + i);
  g_assert_true (dials[0].granted);
  give_back (&dials[1]);
  give_back (&dials[0]);
  give_back (&dials[2]);
  expect_called ("d");
  give_back (&dials[3]);
  expect_called ("");
  tcp_dial_queue_unref (queue);
}

/* However many dials of one principal hang, the others still get some. */
static void
do_quotas (gpointer data)
{
  TcpDialQueue *queue = tcp_dial_queue_new (8, thread);
  TcpDialShare shares[2] = { 0 };
  TcpDialCaller callers[3];
  Dial hanging[2][8], others[8];
  guint granted = 0;

  for (guint i = 0; i < 2; i++)
    shares[i].quota.max = tcp_quota_get_share (8, 2, 0);
  tcp_quota_set_aside (tcp_dial_queue_get_quota (queue), 2, NULL, 0, 0);
  for (guint i = 0; i < 3; i++)
    tcp_dial_caller_init (&callers[i], &shares[i / 2]);

  for (guint i = 0; i < 2; i++)
    for (guint j = 0; j < 8; j++)
      {
        ask (queue, &callers[i], &hanging[i][j], 'a');
        granted += hanging[i][j].granted;
        g_assert_cmpuint (granted, ==, 3 * i + MIN (j + 1, 3));
      }
  for (guint j = 0; j < 8; j++)
    {
      ask (queue, &callers[2], &others[j], 'b');
      g_assert_cmpint (others[j].granted, ==, j < 2);
    }
  give_back (&others[0]);
  expect_called ("b");

  for (guint i = 2; i-- > 0;)
    for (guint j = 8; j-- > 0;)
      give_back (&hanging[i][j]);
  for (guint j = 8; j-- > 1;)
    give_back (&others[j]);
  settle ();
  tcp_dial_queue_unref (queue);
}

/* The quota, which counts how often it is asked: see meson.build. */
TcpQuotaResult __real_tcp_quota_enter (TcpQuota      *quota,
                                       TcpQuotaShare *share);
TcpQuotaResult __wrap_tcp_quota_enter (TcpQuota      *quota,
                                       TcpQuotaShare *share);

static guint asked;

TcpQuotaResult
__wrap_tcp_quota_enter (TcpQuota      *quota,
                        TcpQuotaShare *share)
{
  asked++;
  return __real_tcp_quota_enter (quota, share);
}

/* The end of one dial does not cause work for each one that waits. */
static void
do_many (gpointer data)
{
  enum { CALLERS = 1000 };
  TcpDialQueue *queue = tcp_dial_queue_new (4, thread);
  TcpDialShare share = { .quota.max = 4 };
  g_autofree TcpDialCaller *callers = g_new (TcpDialCaller, CALLERS);
  g_autofree Dial *dials = g_new (Dial, CALLERS);

  for (guint i = 0; i < CALLERS; i++)
    {
      tcp_dial_caller_init (&callers[i], &share);
      ask (queue, &callers[i], &dials[i], 'a' + i % 26);
      g_assert_cmpint (dials[i].granted, ==, i < 4);
    }
  for (guint i = 0; i < CALLERS; i++)
    {
      asked = 0;
      give_back (&dials[i]);
      settle ();
      /* One call for the dial that is next, and one that finds no place for another. */
      g_assert_cmpuint (asked, <=, 2);
      if (i + 4 < CALLERS)
        g_assert_true (dials[i + 4].granted);
      if (i + 5 < CALLERS)
        g_assert_false (dials[i + 5].granted);
    }
  tcp_dial_queue_unref (queue);
}

#define TEST(name)                                        \
  static void                                             \
  test_##name (void)                                      \
  {                                                       \
    tcp_io_thread_invoke_sync (thread, do_##name, NULL);  \
    g_string_truncate (called, 0);                        \
  }

TEST (in_turn)
TEST (given_up)
TEST (quotas)
TEST (many)

int
main (int    argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  thread = tcp_io_thread_acquire (NULL);
  called = g_string_new (NULL);
  g_test_add_func ("/dial-queue/in-turn", test_in_turn);
  g_test_add_func ("/dial-queue/given-up", test_given_up);
  g_test_add_func ("/dial-queue/quotas", test_quotas);
  g_test_add_func ("/dial-queue/many", test_many);
  status = g_test_run ();
  g_string_free (called, TRUE);
  tcp_io_thread_release (thread);
  return status;
}
