/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/fork.h"
#include "endpoint/event-queue.h"
#include "monitor.h"
#include "test-util.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <tcptunnel/tcptunnel.h>
#include <unistd.h>

#define CHILD_SECONDS 60 /* the most that a child runs, should it hang */

/* The events that were handled, as text: "state 2", "opened 7", "closed 7", … */
typedef struct
{
  GPtrArray *delivered;
  GObject *owner;
  TcpEventQueue *queue;
  void (*handler) (TcpEvent *event);
} Fixture;

static Fixture fixture;

static char *
describe (TcpEvent *event)
{
  switch (event->type)
    {
    case TCP_EVENT_STARTED:
      return g_strdup (event->error != NULL ? "not started" : "started");
    case TCP_EVENT_STATE:
      return g_strdup_printf ("state %d", event->value);
    case TCP_EVENT_RETRY:
      return g_strdup_printf ("retry %d in %" G_GUINT64_FORMAT, event->value, event->id);
    case TCP_EVENT_CONNECTION_OPENED:
      return g_strdup_printf ("opened %" G_GUINT64_FORMAT, event->record->id);
    case TCP_EVENT_CONNECTION_CLOSED:
      return g_strdup_printf ("closed %" G_GUINT64_FORMAT, event->record->id);
    case TCP_EVENT_TOKEN_REQUIRED:
      return g_strdup_printf ("token required after %" G_GUINT64_FORMAT, event->id);
    case TCP_EVENT_AUTHENTICATE:
      return g_strdup ("authenticate");
    case TCP_EVENT_DRAINED:
      return g_strdup_printf (event->error != NULL ? "not drained %" G_GUINT64_FORMAT : "drained %" G_GUINT64_FORMAT,
                              event->id);
    case TCP_EVENT_FAILED:
      return g_strdup ("failed");
    case TCP_EVENT_ADDRESS:
      return g_strdup ("address");
    case TCP_EVENT_OVER:
      break;
    case TCP_EVENT_CLOSED:
      return g_strdup_printf ("closed in state %d", event->value);
    }
  g_assert_not_reached ();
}

/* The records of open connections; without a lock, as only one thread at a time opens and closes them. */
static GHashTable *records;

static void
push_opened (TcpEventQueue *queue,
             guint64        id)
{
  TcpRecord *record = tcp_record_new (id, NULL, "somebody", NULL, NULL);

  if (records == NULL)
    records = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) tcp_record_unref);
  g_hash_table_replace (records, &record->id, record);
  tcp_event_queue_push_opened (queue, record, NULL);
}

static void
push_closed (TcpEventQueue *queue,
             guint64        id,
             const GError  *error)
{
  tcp_event_queue_push_closed (queue, g_hash_table_lookup (records, &id), error);
  g_hash_table_remove (records, &id);
}

static void
on_event (TcpEventQueue *queue,
          TcpEvent      *event,
          gpointer       user_data)
{
  g_ptr_array_add (fixture.delivered, describe (event));
  if (fixture.handler != NULL)
    fixture.handler (event);
}

static TcpEventQueue *
set_up (void (*handler) (TcpEvent *event))
{
  fixture.delivered = g_ptr_array_new_with_free_func (g_free);
  fixture.handler = handler;
  fixture.owner = g_object_new (G_TYPE_OBJECT, NULL);
  fixture.queue = tcp_event_queue_new (NULL, fixture.owner, on_event, NULL);
  return fixture.queue;
}

static void
tear_down (void)
{
  tcp_event_queue_close (fixture.queue, NULL);
  tcp_event_queue_unref (fixture.queue);
  g_object_unref (fixture.owner);
  g_ptr_array_unref (fixture.delivered);
  fixture = (Fixture) { 0 };
}

static void
handle_all (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static char *
delivered (void)
{
  g_ptr_array_add (fixture.delivered, NULL);
  g_ptr_array_set_size (fixture.delivered, fixture.delivered->len - 1);
  return fixture.delivered->len > 0 ? g_strjoinv (", ", (char **) fixture.delivered->pdata) : g_strdup ("");
}

static void
assert_delivered (const char *wanted)
{
  g_autofree char *got = delivered ();

  g_assert_cmpstr (got, ==, wanted);
}

static guint
count_delivered (const char *prefix)
{
  guint count = 0;

  for (guint i = 0; i < fixture.delivered->len; i++)
    count += g_str_has_prefix (fixture.delivered->pdata[i], prefix);
  return count;
}

static void
test_order (void)
{
  TcpEventQueue *queue = set_up (NULL);
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "lost");

  tcp_event_queue_push_started (queue, NULL, NULL, NULL);
  tcp_event_queue_push_state (queue, 1);
  push_opened (queue, 1);
  tcp_event_queue_push_state (queue, 2);
  tcp_event_queue_push_token_required (queue, 0);
  push_closed (queue, 1, error);
  tcp_event_queue_push_failed (queue, error);
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, 7);
  assert_delivered ("");
  handle_all ();
  assert_delivered ("started, state 1, opened 1, state 2, token required after 0, closed 1, failed");
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, 0);

  /* The queue wakes the main context again. */
  tcp_event_queue_push_state (queue, 3);
  handle_all ();
  g_assert_cmpuint (count_delivered ("state 3"), ==, 1);
  tear_down ();
}

/* Of a connection that opens and closes while nobody handles events, either both events are delivered or neither. */
static void
test_pairs_stay_together (void)
{
  TcpEventQueue *queue = set_up (NULL);
  guint64 n = 3 * TCP_EVENT_QUEUE_CAP;

  for (guint64 id = 1; id <= n; id++)
    {
      push_opened (queue, id);
      push_closed (queue, id, NULL);
      g_assert_cmpuint (tcp_event_queue_get_length (queue), <=, TCP_EVENT_QUEUE_CAP);
    }
  handle_all ();

  g_assert_cmpuint (fixture.delivered->len, ==, TCP_EVENT_QUEUE_CAP);
  g_assert_cmpuint (count_delivered ("opened"), ==, count_delivered ("closed"));
  for (guint i = 0; i < fixture.delivered->len; i += 2)
    {
      g_autofree char *closed = g_strconcat ("closed", (char *) fixture.delivered->pdata[i] + strlen ("opened"), NULL);

      g_assert_true (g_str_has_prefix (fixture.delivered->pdata[i], "opened"));
      g_assert_cmpstr (fixture.delivered->pdata[i + 1], ==, closed);
    }
  g_assert_cmpstr (fixture.delivered->pdata[fixture.delivered->len - 1], ==, "closed 3072");
  tear_down ();
}

/* All open connections are delivered, however many there are; of those that have closed, only the last are. */
static void
test_pending_ends (void)
{
  TcpEventQueue *queue = set_up (NULL);
  guint64 n = 2 * TCP_EVENT_QUEUE_CAP;

  for (guint64 id = 1; id <= n; id++)
    push_opened (queue, id);
  for (guint64 id = 1; id <= n; id++)
    {
      g_assert_cmpuint (tcp_event_queue_get_length (queue), <=, n + TCP_EVENT_QUEUE_CAP);
      push_closed (queue, id, NULL);
    }
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, TCP_EVENT_QUEUE_CAP);
  handle_all ();
  g_assert_cmpuint (count_delivered ("opened"), ==, TCP_EVENT_QUEUE_CAP / 2);
  g_assert_cmpuint (count_delivered ("opened"), ==, count_delivered ("closed"));
  g_assert_cmpuint (tcp_event_queue_get_n_dropped (queue), ==, n - TCP_EVENT_QUEUE_CAP / 2);
  tear_down ();
}

/* If the opening of a connection was delivered, so is its end, whatever comes after it. */
static void
test_delivered_connections_end (void)
{
  TcpEventQueue *queue = set_up (NULL);

  for (guint64 id = 1; id <= 100; id++)
    push_opened (queue, id);
  handle_all ();
  for (guint64 id = 1; id <= 100; id++)
    push_closed (queue, id, NULL);
  for (guint64 id = 101; id <= 5000; id++)
    {
      push_opened (queue, id);
      push_closed (queue, id, NULL);
    }
  handle_all ();
  for (guint64 id = 1; id <= 100; id++)
    {
      g_autofree char *closed = g_strdup_printf ("closed %" G_GUINT64_FORMAT, id);

      g_assert_true (g_ptr_array_find_with_equal_func (fixture.delivered, closed, g_str_equal, NULL));
    }
  g_assert_cmpuint (count_delivered ("opened"), ==, count_delivered ("closed"));
  tear_down ();
}

static void
test_what_is_never_dropped (void)
{
  TcpEventQueue *queue = set_up (NULL);
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "lost");

  tcp_event_queue_push_started (queue, NULL, NULL, NULL);
  tcp_event_queue_push_token_required (queue, 0);
  for (int i = 0; i < 2 * TCP_EVENT_QUEUE_CAP; i++)
    tcp_event_queue_push_state (queue, i);
  tcp_event_queue_push_failed (queue, error);
  for (guint64 id = 1; id <= 2 * TCP_EVENT_QUEUE_CAP; id++)
    push_opened (queue, id);

  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, 3 * TCP_EVENT_QUEUE_CAP + 3);
  handle_all ();
  g_assert_cmpuint (count_delivered ("opened"), ==, 2 * TCP_EVENT_QUEUE_CAP);
  g_assert_cmpuint (count_delivered ("state"), ==, TCP_EVENT_QUEUE_CAP);
  g_assert_cmpuint (count_delivered ("started"), ==, 1);
  g_assert_cmpuint (count_delivered ("failed"), ==, 1);
  g_assert_cmpuint (count_delivered ("token required"), ==, 1);
  tear_down ();
}

static void
finish (TcpEventQueue *queue,
        gboolean       drop,
        gboolean       had_address,
        int            state)
{
  tcp_event_queue_stop (queue, drop);
  tcp_event_queue_finish (queue, had_address, state);
}

/* Of several refusals of a token only the last is delivered. */
static void
test_token_required (void)
{
  TcpEventQueue *queue = set_up (NULL);

  for (guint serial = 1; serial <= 3; serial++)
    {
      tcp_event_queue_push_state (queue, (int) serial);
      tcp_event_queue_push_token_required (queue, serial);
    }
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, 4);
  handle_all ();
  tcp_event_queue_push_token_required (queue, 4);
  handle_all ();
  tcp_event_queue_push_token_required (queue, 5);
  finish (queue, TRUE, FALSE, 6);
  handle_all ();
  assert_delivered ("state 1, state 2, state 3, token required after 3, token required after 4, closed in state 6");
  tear_down ();
}

/* Of too many states the oldest are dropped: the last is the current one. */
static void
test_states (void)
{
  TcpEventQueue *queue = set_up (NULL);

  for (int i = 1; i <= TCP_EVENT_QUEUE_CAP + 10; i++)
    tcp_event_queue_push_state (queue, i);
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, TCP_EVENT_QUEUE_CAP);
  handle_all ();
  g_assert_cmpstr (fixture.delivered->pdata[0], ==, "state 11");
  g_assert_cmpstr (fixture.delivered->pdata[fixture.delivered->len - 1], ==, "state 1034");
  tear_down ();
}

/* So are the oldest retries, which come together with states, and endlessly if the number of attempts is not
 * limited. */
static void
test_retries (void)
{
  TcpEventQueue *queue = set_up (NULL);
  g_autoptr (GError) error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_UNREACHABLE, "not there");

  tcp_event_queue_push_started (queue, NULL, NULL, NULL);
  for (guint i = 1; i <= TCP_EVENT_QUEUE_CAP; i++)
    {
      tcp_event_queue_push_state (queue, TCP_TUNNEL_STATE_CONNECTING);
      tcp_event_queue_push_state (queue, TCP_TUNNEL_STATE_RECONNECTING);
      tcp_event_queue_push_retry (queue, error, i, 5000);
    }
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, TCP_EVENT_QUEUE_CAP + 1);
  handle_all ();
  g_assert_cmpstr (fixture.delivered->pdata[0], ==, "started");
  g_assert_cmpuint (count_delivered ("retry"), ==, TCP_EVENT_QUEUE_CAP / 3 + 1);
  g_assert_cmpstr (fixture.delivered->pdata[fixture.delivered->len - 2], ==, "state 3");
  g_assert_cmpstr (fixture.delivered->pdata[fixture.delivered->len - 1], ==, "retry 1024 in 5000");
  tear_down ();
}

static void
close_it (TcpEvent *event)
{
  tcp_event_queue_close (fixture.queue, NULL);
}

static void
test_close_from_a_handler (void)
{
  TcpEventQueue *queue = set_up (close_it);

  tcp_event_queue_push_state (queue, 1);
  tcp_event_queue_push_state (queue, 2);
  handle_all ();
  tcp_event_queue_push_state (queue, 3);
  handle_all ();
  assert_delivered ("state 1");
  g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, 0);
  tear_down ();
}

static void
drop_it (TcpEvent *event)
{
  tcp_event_queue_close (fixture.queue, NULL);
  g_clear_pointer (&fixture.queue, tcp_event_queue_unref);
}

static void
test_drop_from_a_handler (void)
{
  TcpEventQueue *queue = set_up (drop_it);

  tcp_event_queue_push_state (queue, 1);
  tcp_event_queue_push_state (queue, 2);
  handle_all ();
  assert_delivered ("state 1");
  fixture.queue = tcp_event_queue_new (NULL, fixture.owner, on_event, NULL);
  tear_down ();
}

static void
iterate_inside (TcpEvent *event)
{
  if (event->type == TCP_EVENT_STATE && event->value == 1)
    {
      handle_all ();
      assert_delivered ("state 1, state 2, state 3");
    }
}

static void
test_nested_loop (void)
{
  TcpEventQueue *queue = set_up (iterate_inside);

  tcp_event_queue_push_state (queue, 1);
  tcp_event_queue_push_state (queue, 2);
  tcp_event_queue_push_state (queue, 3);
  handle_all ();
  assert_delivered ("state 1, state 2, state 3");
  tear_down ();
}

#define N_PUSHED 20000

static gpointer
push_many (gpointer data)
{
  TcpEventQueue *queue = data;

  for (guint64 id = 1; id <= N_PUSHED; id++)
    {
      push_opened (queue, id);
      push_closed (queue, id, NULL);
    }
  tcp_event_queue_push_failed (queue, NULL);
  return NULL;
}

static void
test_thread (void)
{
  TcpEventQueue *queue = set_up (NULL);
  GThread *thread = g_thread_new ("pusher", push_many, queue);

  WAIT_UNTIL (count_delivered ("failed") == 1);
  g_thread_join (thread);
  g_assert_cmpuint (count_delivered ("opened"), ==, count_delivered ("closed"));
  g_assert_cmpstr (fixture.delivered->pdata[fixture.delivered->len - 1], ==, "failed");
  tear_down ();
}

static gpointer
push_until_closed (gpointer data)
{
  g_autoptr (TcpEventQueue) queue = data;

  for (guint i = 0; i < 2000; i++)
    tcp_event_queue_push_state (queue, i);
  return NULL;
}

static void
test_close_while_pushing (void)
{
  for (guint i = 0; i < 50; i++)
    {
      TcpEventQueue *queue = set_up (i % 2 != 0 ? close_it : NULL);
      GThread *thread = g_thread_new ("pusher", push_until_closed, tcp_event_queue_ref (queue));
      guint length;

      g_main_context_iteration (NULL, FALSE);
      tcp_event_queue_close (queue, NULL);
      length = fixture.delivered->len;
      g_thread_join (thread);
      handle_all ();
      g_assert_cmpuint (fixture.delivered->len, ==, length);
      g_assert_cmpuint (tcp_event_queue_get_length (queue), ==, 0);
      tear_down ();
    }
}

static atomic_bool never; /* stays FALSE */

static gpointer
push_start (gpointer data)
{
  TcpEventQueue *queue = data;

  tcp_event_queue_push_state (queue, 1);
  tcp_event_queue_push_started (queue, NULL, NULL, NULL);
  tcp_event_queue_push_state (queue, 2);
  return NULL;
}

static void
test_wait (void)
{
  TcpEventQueue *queue = set_up (NULL);
  GThread *thread = g_thread_new ("pusher", push_start, queue);
  TcpEvent *event;

  event = tcp_event_queue_wait (queue, TCP_EVENT_ANY, &never, G_MAXINT64);
  g_assert_cmpint (event->type, ==, TCP_EVENT_STATE);
  tcp_event_free (event);
  event = tcp_event_queue_wait (queue, TCP_EVENT_ANY, &never, G_MAXINT64);
  g_assert_cmpint (event->type, ==, TCP_EVENT_STARTED);
  tcp_event_free (event);
  g_thread_join (thread);
  handle_all ();
  assert_delivered ("state 2");
  tear_down ();
}

/* The event of the start is returned before earlier ones, which stay for the main context. */
static void
test_wait_for_the_start (void)
{
  TcpEventQueue *queue = set_up (NULL);
  GThread *thread = g_thread_new ("pusher", push_start, queue);
  TcpEvent *event = tcp_event_queue_wait (queue, TCP_EVENT_MASK (TCP_EVENT_STARTED), &never, G_MAXINT64);

  g_assert_cmpint (event->type, ==, TCP_EVENT_STARTED);
  tcp_event_free (event);
  g_thread_join (thread);
  handle_all ();
  assert_delivered ("state 1, state 2");
  tear_down ();
}

static void
test_wait_in_vain (void)
{
  TcpEventQueue *queue = set_up (NULL);
  TcpEvent *event;

  tcp_event_queue_push_state (queue, 1);
  g_assert_null (tcp_event_queue_wait (queue, TCP_EVENT_MASK (TCP_EVENT_STARTED), &never, 0));
  g_assert_null (tcp_event_queue_wait (queue, TCP_EVENT_MASK (TCP_EVENT_STARTED), &never, g_get_monotonic_time () + 1000));

  /* An event that is already there is returned at once. */
  event = tcp_event_queue_wait (queue, TCP_EVENT_ANY, &never, 0);
  g_assert_cmpint (event->type, ==, TCP_EVENT_STATE);
  tcp_event_free (event);
  tear_down ();
}

/* An event of a claimed type is not handled by the main context. */
static void
test_claim (void)
{
  TcpEventQueue *queue = set_up (NULL);
  TcpEvent *event;

  tcp_event_queue_claim (queue, TCP_EVENT_MASK (TCP_EVENT_STARTED));
  tcp_event_queue_push_started (queue, NULL, "ws://here/", NULL);
  tcp_event_queue_push_state (queue, 2);
  handle_all ();
  assert_delivered ("state 2");

  event = tcp_event_queue_wait (queue, TCP_EVENT_MASK (TCP_EVENT_STARTED), &never, G_MAXINT64);
  g_assert_cmpstr (event->text, ==, "ws://here/");
  tcp_event_free (event);
  tear_down ();
}

static gpointer
wait_until_over (gpointer data)
{
  atomic_bool *over = data;

  return tcp_event_queue_wait (fixture.queue, TCP_EVENT_MASK (TCP_EVENT_DRAINED), over, G_MAXINT64);
}

/* A wake-up reaches all threads that wait. */
static void
test_wake (void)
{
  TcpEventQueue *queue = set_up (NULL);
  atomic_bool over = FALSE;
  GThread *threads[3];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("waiter", wait_until_over, &over);
  tcp_event_queue_push_state (queue, 1);
  handle_all ();
  atomic_store (&over, TRUE);
  tcp_event_queue_wake (queue);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_null (g_thread_join (threads[i]));
  tear_down ();
}

static void
test_finish (void)
{
  for (gboolean drop = FALSE; drop <= TRUE; drop++)
    {
      TcpEventQueue *queue = set_up (NULL);

      tcp_event_queue_push_state (queue, 1);
      finish (queue, drop, TRUE, 2);
      tcp_event_queue_push_state (queue, 3);
      finish (queue, drop, TRUE, 4);
      handle_all ();
      assert_delivered (drop ? "address, closed in state 2" : "state 1, address, closed in state 2");
      tear_down ();
    }
}

/* The end comes when the engine is closed, and not when it begins to close. */
static void
test_stop (void)
{
  TcpEventQueue *queue = set_up (NULL);

  tcp_event_queue_push_state (queue, 1);
  tcp_event_queue_stop (queue, FALSE);
  tcp_event_queue_push_state (queue, 2);
  handle_all ();
  assert_delivered ("state 1");
  tcp_event_queue_finish (queue, TRUE, 3);
  handle_all ();
  assert_delivered ("state 1, address, closed in state 3");
  tear_down ();
}

/* Leaves the queue with one connection whose opening was handled and which has closed since, one that has both opened
 * and closed since, and one that has only opened. */
static TcpEventQueue *
set_up_ends (void)
{
  TcpEventQueue *queue = set_up (NULL);

  push_opened (queue, 1);
  handle_all ();
  push_opened (queue, 2);
  push_closed (queue, 2, NULL);
  push_closed (queue, 1, NULL);
  push_opened (queue, 3);
  return queue;
}

/* A finish that drops the pending events keeps the ends of those connections whose opening was delivered. */
static void
test_ends_are_kept (void)
{
  TcpEventQueue *queue = set_up_ends ();
  GQueue ends = G_QUEUE_INIT;
  g_autoptr (TcpEvent) end = NULL;

  finish (queue, TRUE, TRUE, 2);
  handle_all ();
  assert_delivered ("opened 1, closed 1, address, closed in state 2");
  tear_down ();

  queue = set_up_ends ();
  tcp_event_queue_close (queue, &ends);
  g_assert_cmpuint (ends.length, ==, 1);
  end = g_queue_pop_head (&ends);
  g_assert_cmpint (end->type, ==, TCP_EVENT_CONNECTION_CLOSED);
  g_assert_cmpuint (end->record->id, ==, 1);
  handle_all ();
  assert_delivered ("opened 1");
  tear_down ();
}

static void
test_adopt (void)
{
  g_autoptr (TcpEventQueue) former = set_up_ends ();
  TcpEventQueue *queue;

  fixture.queue = queue = tcp_event_queue_new (NULL, fixture.owner, on_event, NULL);
  finish (former, TRUE, TRUE, 2);
  tcp_event_queue_adopt (queue, former);
  tcp_event_queue_close (former, NULL);
  tcp_event_queue_push_state (queue, 3);
  handle_all ();
  assert_delivered ("opened 1, closed 1, state 3");
  tear_down ();
}

/* A close returns the end if it was not handled yet. */
static void
test_close_at_end (void)
{
  for (guint handled = 0; handled <= 3; handled++)
    {
      TcpEventQueue *queue = set_up (NULL);
      gboolean has_end, had_address;
      int state = 0;

      tcp_event_queue_push_state (queue, 1);
      if (handled < 3)
        finish (queue, TRUE, TRUE, 2);
      for (guint i = 0; i < handled; i++)
        g_main_context_iteration (NULL, FALSE);
      has_end = tcp_event_queue_close_at_end (queue, NULL, &had_address, &state);
      g_assert_cmpint (has_end, ==, handled < 2);
      g_assert_cmpint (had_address, ==, handled < 1);
      g_assert_cmpint (state, ==, has_end ? 2 : 0);
      handle_all ();
      assert_delivered ((const char *[]) { "", "address", "address, closed in state 2", "state 1" }[handled]);
      tear_down ();
    }
}

/* A thread of the parent holds the lock of the queue when the parent forks. */
static Monitor monitor;
static GThread *holder; /* under the monitor: this thread stops where it wakes the waiting threads */
static gboolean is_held;

void
g_cond_broadcast (GCond *cond)
{
  void (*real) (GCond *) = dlsym (RTLD_NEXT, "g_cond_broadcast");

  monitor_enter (&monitor);
  if (holder == g_thread_self ())
    {
      is_held = TRUE;
      monitor_changed (&monitor);
      while (holder != NULL)
        monitor_wait (&monitor, G_MAXINT64);
    }
  monitor_leave (&monitor);
  real (cond);
}

static void
do_nothing (void)
{
}

static gpointer
push_and_stay (gpointer data)
{
  monitor_enter (&monitor);
  holder = g_thread_self ();
  monitor_leave (&monitor);
  tcp_event_queue_push_state (data, 1);
  return NULL;
}

static void
test_fork (void)
{
  TcpEventQueue *queue = set_up (NULL);
  GThread *thread;
  pid_t child;
  int status;

  tcp_fork_watch (do_nothing); /* from here on forks are counted */
  thread = g_thread_new ("holder", push_and_stay, queue);
  g_assert_true (MONITOR_WAIT_FOR (&monitor, test_deadline (), is_held));
  child = fork ();
  if (child == 0)
    {
      gboolean had_address;
      int state;

      alarm (CHILD_SECONDS);
      tcp_event_queue_wake (queue);
      finish (queue, TRUE, TRUE, 2);
      if (tcp_event_queue_close_at_end (queue, NULL, &had_address, &state) || had_address)
        _exit (1);
      tcp_event_queue_close (queue, NULL);
      /* After an exit () valgrind would look for leaks, although threads are missing. */
      execl ("/bin/true", "true", NULL);
      _exit (1);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);

  monitor_enter (&monitor);
  holder = NULL;
  monitor_changed (&monitor);
  monitor_leave (&monitor);
  g_thread_join (thread);
  handle_all ();
  assert_delivered ("state 1");
  tear_down ();
}

/* A main context that has handled all events goes back to sleep, and is not woken because it has handled them. */
static void
test_sleep (void)
{
  TcpEventQueue *queue = set_up (NULL);

  handle_all ();
  tcp_event_queue_push_state (queue, 1);
  tcp_event_queue_push_state (queue, 2);
  g_assert_true (g_main_context_iteration (NULL, FALSE));
  g_assert_true (g_main_context_iteration (NULL, FALSE));
  assert_delivered ("state 1, state 2");
  g_assert_false (g_main_context_pending (NULL));

  /* Nor is it woken by an event that another thread waits for. */
  tcp_event_queue_claim (queue, TCP_EVENT_MASK (TCP_EVENT_STARTED));
  tcp_event_queue_push_started (queue, NULL, NULL, NULL);
  g_main_context_iteration (NULL, FALSE);
  assert_delivered ("state 1, state 2");
  g_assert_false (g_main_context_pending (NULL));
  tcp_event_queue_push_state (queue, 3);
  handle_all ();
  assert_delivered ("state 1, state 2, state 3");
  tear_down ();
}

/* Events are delivered only while the owner lives, and the queue does not keep the owner alive. */
static void
test_owner (void)
{
  TcpEventQueue *queue = set_up (NULL);

  tcp_event_queue_push_state (queue, 1);
  handle_all ();
  tcp_event_queue_push_state (queue, 2);
  g_assert_finalize_object (g_steal_pointer (&fixture.owner));
  handle_all ();
  assert_delivered ("state 1");
  fixture.owner = g_object_new (G_TYPE_OBJECT, NULL);
  tear_down ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  monitor_init (&monitor);
  g_test_add_func ("/event-queue/order", test_order);
  g_test_add_func ("/event-queue/pairs-stay-together", test_pairs_stay_together);
  g_test_add_func ("/event-queue/pending-ends", test_pending_ends);
  g_test_add_func ("/event-queue/delivered-connections-end", test_delivered_connections_end);
  g_test_add_func ("/event-queue/what-is-never-dropped", test_what_is_never_dropped);
  g_test_add_func ("/event-queue/token-required", test_token_required);
  g_test_add_func ("/event-queue/states", test_states);
  g_test_add_func ("/event-queue/retries", test_retries);
  g_test_add_func ("/event-queue/close-from-a-handler", test_close_from_a_handler);
  g_test_add_func ("/event-queue/drop-from-a-handler", test_drop_from_a_handler);
  g_test_add_func ("/event-queue/nested-loop", test_nested_loop);
  g_test_add_func ("/event-queue/thread", test_thread);
  g_test_add_func ("/event-queue/close-while-pushing", test_close_while_pushing);
  g_test_add_func ("/event-queue/wait", test_wait);
  g_test_add_func ("/event-queue/wait-for-the-start", test_wait_for_the_start);
  g_test_add_func ("/event-queue/wait-in-vain", test_wait_in_vain);
  g_test_add_func ("/event-queue/claim", test_claim);
  g_test_add_func ("/event-queue/wake", test_wake);
  g_test_add_func ("/event-queue/finish", test_finish);
  g_test_add_func ("/event-queue/stop", test_stop);
  g_test_add_func ("/event-queue/ends-are-kept", test_ends_are_kept);
  g_test_add_func ("/event-queue/adopt", test_adopt);
  g_test_add_func ("/event-queue/close-at-end", test_close_at_end);
  g_test_add_func ("/event-queue/fork", test_fork);
  g_test_add_func ("/event-queue/sleep", test_sleep);
  g_test_add_func ("/event-queue/owner", test_owner);
  return g_test_run ();
}
