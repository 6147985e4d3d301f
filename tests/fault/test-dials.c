/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Targets whose name is resolved slowly or never: which connections wait for it, and which do not. */

#include "limits-rig.h"

#include <pthread.h>

#define STREAMS 300

/* A resolver that answers when the test asks it to, or never. */

#define SLOW_DOMAIN ".example"
#define SLOW_NAME "slow" SLOW_DOMAIN

#define TYPE_SLOW_RESOLVER (slow_resolver_get_type ())
G_DECLARE_FINAL_TYPE (SlowResolver, slow_resolver, SLOW, RESOLVER, GResolver)

struct _SlowResolver
{
  GResolver parent_instance;
  pthread_mutex_t mutex; /* ThreadSanitizer detects this one */
  GPtrArray *tasks; /* protected by the mutex: the pending ones */
  guint lookups;
};

G_DEFINE_FINAL_TYPE (SlowResolver, slow_resolver, G_TYPE_RESOLVER)

static void
slow_resolver_lookup_async (GResolver                *resolver,
                            const char               *hostname,
                            GResolverNameLookupFlags  flags,
                            GCancellable             *cancellable,
                            GAsyncReadyCallback       callback,
                            gpointer                  user_data)
{
  SlowResolver *self = SLOW_RESOLVER (resolver);
  GTask *task = g_task_new (resolver, cancellable, callback, user_data);

  g_assert_true (g_str_has_suffix (hostname, SLOW_DOMAIN));
  pthread_mutex_lock (&self->mutex);
  self->lookups++;
  g_ptr_array_add (self->tasks, task);
  pthread_mutex_unlock (&self->mutex);
}

static void
slow_resolver_lookup_plain_async (GResolver           *resolver,
                                  const char          *hostname,
                                  GCancellable        *cancellable,
                                  GAsyncReadyCallback  callback,
                                  gpointer             user_data)
{
  slow_resolver_lookup_async (resolver, hostname, G_RESOLVER_NAME_LOOKUP_FLAGS_DEFAULT, cancellable, callback,
                              user_data);
}

static GList *
slow_resolver_lookup_finish (GResolver     *resolver,
                             GAsyncResult  *result,
                             GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
slow_resolver_finalize (GObject *object)
{
  SlowResolver *self = SLOW_RESOLVER (object);

  g_ptr_array_unref (self->tasks);
  pthread_mutex_destroy (&self->mutex);

  G_OBJECT_CLASS (slow_resolver_parent_class)->finalize (object);
}

static void
slow_resolver_class_init (SlowResolverClass *klass)
{
  GResolverClass *resolver_class = G_RESOLVER_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = slow_resolver_finalize;
  resolver_class->lookup_by_name_async = slow_resolver_lookup_plain_async;
  resolver_class->lookup_by_name_finish = slow_resolver_lookup_finish;
  resolver_class->lookup_by_name_with_flags_async = slow_resolver_lookup_async;
  resolver_class->lookup_by_name_with_flags_finish = slow_resolver_lookup_finish;
}

static void
slow_resolver_init (SlowResolver *self)
{
  pthread_mutex_init (&self->mutex, NULL);
  self->tasks = g_ptr_array_new_with_free_func (g_object_unref);
}

static guint
slow_resolver_get_lookups (SlowResolver *self)
{
  guint lookups;

  pthread_mutex_lock (&self->mutex);
  lookups = self->lookups;
  pthread_mutex_unlock (&self->mutex);
  return lookups;
}

static void
free_addresses (gpointer data)
{
  g_resolver_free_addresses (data);
}

/* Answers all pending lookups: with addresses, or with an error. */
static void
slow_resolver_answer (SlowResolver *self,
                      gboolean      known)
{
  g_autoptr (GPtrArray) tasks = NULL;

  pthread_mutex_lock (&self->mutex);
  tasks = g_steal_pointer (&self->tasks);
  self->tasks = g_ptr_array_new_with_free_func (g_object_unref);
  pthread_mutex_unlock (&self->mutex);
  for (guint i = 0; i < tasks->len; i++)
    if (known)
      /* No server listens at the first one. */
      g_task_return_pointer (tasks->pdata[i],
                             g_list_append (g_list_append (NULL, g_inet_address_new_from_string ("127.99.99.99")),
                                            g_inet_address_new_from_string ("127.0.0.1")),
                             free_addresses);
    else
      g_task_return_new_error (tasks->pdata[i], G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, "no such name");
}

/* A gateway with a name as its target, and another one with an address. */

typedef struct
{
  SlowResolver *resolver;
  GResolver *former;
  Target *target;
  TcpGateway *slow;
  LimitsRig quick;
} Rig;

static Rig
rig_new (guint connect_timeout)
{
  Rig rig = { .target = target_new_echo (), .quick = limits_rig_new_started () };
  g_autofree char *name = g_strdup_printf (SLOW_NAME ":%u", target_get_port (rig.target));
  const char *patterns[] = { "*" SLOW_DOMAIN ":*", "127.0.0.0/8:*", NULL };
  g_autoptr (GError) error = NULL;

  rig.former = g_resolver_get_default ();
  rig.resolver = g_object_new (TYPE_SLOW_RESOLVER, NULL);
  g_resolver_set_default (G_RESOLVER (rig.resolver));
  rig.slow = tcp_gateway_new (name);
  g_object_set (rig.slow, "allow", patterns, NULL);
  g_object_set (rig.slow, "token", TEST_TOKEN, "connect-timeout", connect_timeout, "keepalive-interval", 0,
                "log-level", TCP_TUNNEL_LOG_LEVEL_NONE, NULL);
  tcp_endpoint_start (TCP_ENDPOINT (rig.slow), NULL, &error);
  g_assert_no_error (error);
  return rig;
}

static void
rig_clear (Rig *rig)
{
  g_resolver_set_default (rig->former);
  slow_resolver_answer (rig->resolver, FALSE);
  tcp_endpoint_close (TCP_ENDPOINT (rig->slow));
  g_object_unref (rig->slow);
  g_object_unref (rig->former);
  target_free (rig->target);
  limits_rig_clear (&rig->quick);
  g_object_unref (rig->resolver);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static ResumablePeer *
rig_join_slow (Rig *rig)
{
  GInetSocketAddress *address = G_INET_SOCKET_ADDRESS (tcp_endpoint_get_local_address (TCP_ENDPOINT (rig->slow)));

  return resumable_client_start (g_inet_socket_address_get_port (address), TEST_TOKEN, TRUE);
}

static void
open_many (ResumablePeer *peer,
           guint32        first,
           guint          count)
{
  for (guint i = 0; i < count; i++)
    resumable_send (peer, RESUMABLE_OPEN, first + 2 * i, NULL, 0);
  resumable_expect_confirmed (peer);
}

static void
expect_opened (ResumablePeer *peer,
               guint          count)
{
  ResumableFrame frame;

  while (count > 0)
    {
      g_assert_true (resumable_receive (peer, &frame));
      if (frame.type == RESUMABLE_OPENED)
        count--;
      else
        g_assert_cmpuint (frame.type, ==, RESUMABLE_ACK);
    }
}

/* Any number of connections wait for one lookup. A connection to another target does not wait, nor do later
 * connections, once the name is resolved. */
static void
test_one_lookup (void)
{
  g_auto (Rig) rig = rig_new (600000);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);
  g_autoptr (ResumablePeer) other = rig_join_slow (&rig);

  open_many (peer, 1, STREAMS);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 1);
  resumable_open (rig.quick.innocent, 3);
  resumable_round_trip (rig.quick.innocent, 3, "not held up");
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 1);

  slow_resolver_answer (rig.resolver, TRUE);
  expect_opened (peer, STREAMS);
  resumable_open (other, 1);
  resumable_round_trip (other, 1, "known");
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 1);
}

static void
test_unknown_name (void)
{
  g_auto (Rig) rig = rig_new (600000);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);

  open_many (peer, 1, 1);
  WAIT_UNTIL (slow_resolver_get_lookups (rig.resolver) == 1);
  slow_resolver_answer (rig.resolver, FALSE);
  resumable_expect_reset (peer, 1, RESUMABLE_RESET_UNREACHABLE);
  /* The next connection starts another lookup. */
  open_many (peer, 3, 1);
  WAIT_UNTIL (slow_resolver_get_lookups (rig.resolver) == 2);
  slow_resolver_answer (rig.resolver, TRUE);
  expect_opened (peer, 1);
}

/* A connection that waits for too long is refused. A name that is never resolved causes at most two lookups, and
 * connections that begin after the answer are served. */
static void
test_never_answers (void)
{
  g_auto (Rig) rig = rig_new (200);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);

  for (guint32 i = 0; i < 4; i++)
    {
      open_many (peer, 1 + 2 * i, 1);
      resumable_expect_reset (peer, 1 + 2 * i, RESUMABLE_RESET_TIMED_OUT);
    }
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 2);
  slow_resolver_answer (rig.resolver, TRUE);
  resumable_open (peer, 11);
  resumable_round_trip (peer, 11, "at last");
}

/* A client whose streams are reset leaves nothing behind, and its lookup serves the next client. */
static void
test_gone (void)
{
  g_auto (Rig) rig = rig_new (600000);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);
  g_autoptr (ResumablePeer) other = rig_join_slow (&rig);

  open_many (peer, 1, STREAMS);
  for (guint32 i = 0; i < STREAMS; i++)
    resumable_send_code (peer, RESUMABLE_RESET, 1 + 2 * i, RESUMABLE_RESET_BROKEN, "gone");
  resumable_expect_confirmed (peer);
  open_many (other, 1, 1);
  g_assert_cmpuint (test_figure (rig.slow, open_connections), ==, 1);
  slow_resolver_answer (rig.resolver, TRUE);
  expect_opened (other, 1);
  resumable_round_trip (other, 1, "the only one");
  g_assert_cmpuint (target_get_counters (rig.target).accepted, ==, 1);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 1);
}

/* The names that a client chooses are looked up 16 at a time. The gateway's own target is looked up at once. A name
 * for which no stream waits any more is not looked up. */
static void
test_many_names (void)
{
  enum { NAMES = 20, AT_ONCE = 16 };
  g_auto (Rig) rig = rig_new (600000);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);
  g_autoptr (ResumablePeer) other = rig_join_slow (&rig);

  for (guint32 i = 0; i < NAMES; i++)
    {
      g_autofree char *name = g_strdup_printf ("n%u" SLOW_DOMAIN ":%u", i, target_get_port (rig.target));

      resumable_send_text (peer, RESUMABLE_OPEN, 1 + 2 * i, name);
    }
  resumable_expect_confirmed (peer);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, AT_ONCE);
  open_many (other, 1, 1);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, AT_ONCE + 1);
  resumable_send_code (peer, RESUMABLE_RESET, 1 + 2 * AT_ONCE, RESUMABLE_RESET_BROKEN, "gone");
  resumable_expect_confirmed (peer);

  slow_resolver_answer (rig.resolver, TRUE);
  expect_opened (other, 1);
  WAIT_UNTIL (slow_resolver_get_lookups (rig.resolver) == NAMES);
  slow_resolver_answer (rig.resolver, TRUE);
  expect_opened (peer, NAMES - 1);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, NAMES);
}

/* Neither another spelling of a name nor another port causes another lookup. */
static void
test_spellings (void)
{
  static const char *const names[] = { "other", "OTHER", "Other" };
  g_auto (Rig) rig = rig_new (600000);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);
  Target *targets[] = { rig.target, rig.quick.target };

  for (guint32 i = 0; i < 6; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s" SLOW_DOMAIN ":%u", names[i / 2], target_get_port (targets[i % 2]));

      resumable_send_text (peer, RESUMABLE_OPEN, 1 + 2 * i, name);
    }
  resumable_expect_confirmed (peer);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 1);
  slow_resolver_answer (rig.resolver, TRUE);
  expect_opened (peer, 6);
  g_assert_cmpuint (slow_resolver_get_lookups (rig.resolver), ==, 1);
  g_assert_true (target_wait_accepted (rig.target, 3));
  /* The other target has a connection of the other client as well. */
  g_assert_true (target_wait_accepted (rig.quick.target, 3 + 1));
}

/* The gateway is closed while many streams wait. */
static void
test_close (void)
{
  g_auto (Rig) rig = rig_new (600000);
  g_autoptr (ResumablePeer) peer = rig_join_slow (&rig);

  open_many (peer, 1, STREAMS);
  tcp_endpoint_close (TCP_ENDPOINT (rig.slow));
  g_assert_cmpuint (test_figure (rig.slow, open_connections), ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dials/one-lookup", test_one_lookup);
  g_test_add_func ("/dials/unknown-name", test_unknown_name);
  g_test_add_func ("/dials/never-answers", test_never_answers);
  g_test_add_func ("/dials/gone", test_gone);
  g_test_add_func ("/dials/many-names", test_many_names);
  g_test_add_func ("/dials/spellings", test_spellings);
  g_test_add_func ("/dials/close", test_close);
  return g_test_run ();
}
