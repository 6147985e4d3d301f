/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/reactor.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <gio/gio.h>

#include "base/fork.h"
#include "base/heap.h"
#include "base/i18n.h"

/* The maximum number of descriptors of one epoll_wait (). Others that are ready are returned by the next one. */
#define MAX_EVENTS 128

struct _TcpReactor
{
  GSource source;
  GMainContext *context; /* not owned: its source is attached there */
  int epoll;
  gpointer tag; /* of the epoll set in the source */
  int wakeup;   /* the descriptor with which the context is woken, once it is in the epoll set; or -1 */
  struct epoll_event events[MAX_EVENTS]; /* what tcp_reactor_poll () has found */
  int n_events;                          /* their number, if it has waited; or -1 */
  guint handles; /* timers and watches; the reactor is freed with the last */

  GPtrArray *heap;     /* of TcpTimer, the earliest first */
  GQueue due;          /* of TcpTimer, by their links: to be called as soon as possible */
  guint64 round;       /* timers that became due before this round are called in it */
  GQueue changed;      /* of TcpWatch, by their links: changes to pass to the epoll set */
  guint dispatching;   /* the depth */
  guint suspended;     /* the count: nothing is called */
  GQueue cleared;      /* of TcpWatch, by their links: freed when no event refers to them */
};

typedef struct _TcpReactor Reactor;

struct _TcpTimer
{
  TcpHeapNode when; /* in the heap of its reactor */
  Reactor *reactor;
  TcpTimerFunc func;
  gpointer user_data;
  guint64 round;
  gboolean is_due;
  GList link;
};

struct _TcpWatch
{
  Reactor *reactor;
  TcpWatchFunc func; /* NULL once cleared */
  gpointer user_data;
  int fd;
  gboolean rests;         /* the state that was set */
  GIOCondition condition;
  gboolean registered;    /* the state in the epoll set */
  GIOCondition known;
  gboolean is_changed;
  GList link;
};

/* The reactors of this thread: one, except in programs that run several contexts in a thread. */
static GPrivate reactors = G_PRIVATE_INIT ((GDestroyNotify) g_slist_free);

/* the descriptors of this process that are watched, as bits */
#define MAX_DESCRIPTORS (1024 * 1024)

static atomic_uint watched[MAX_DESCRIPTORS / 32];
static atomic_uint n_words; /* up to the last that was used */

/* A forked child has none of the threads to which these descriptors belong, but would keep their ports in use. It
 * closes them before it can reuse their numbers. */
static void
in_child (void)
{
  for (guint i = 0; i < atomic_load (&n_words) * 32; i++)
    if ((atomic_load (&watched[i / 32]) & (1u << i % 32)) != 0)
      close (i);
  memset (watched, 0, atomic_load (&n_words) * sizeof watched[0]);
}

static void
note_watched (int      fd,
              gboolean is_watched)
{
  guint word = (guint) fd / 32;
  guint bit = 1u << fd % 32;
  guint n = atomic_load (&n_words);

  if (fd < 0 || fd >= MAX_DESCRIPTORS)
    return;

  tcp_fork_watch (in_child);
  while (n <= word && !atomic_compare_exchange_weak (&n_words, &n, word + 1))
    ;
  if (is_watched)
    atomic_fetch_or (&watched[word], bit);
  else
    atomic_fetch_and (&watched[word], ~bit);
}

/* A forked child closes descriptors that are claimed, as it does those with a watch, which also ends a claim. */
void
tcp_reactor_claim (int      fd,
                   gboolean claimed)
{
  note_watched (fd, claimed);
}

gint64
tcp_now (void)
{
  return g_get_monotonic_time ();
}

/* The source */

/* An interest that is withdrawn before the thread waits is never passed on. */
static void
reactor_apply_changes (Reactor *self)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&self->changed)) != NULL)
    {
      TcpWatch *watch = link->data;
      struct epoll_event event = { .events = watch->condition, .data.ptr = watch };

      watch->is_changed = FALSE;
      if (watch->rests)
        {
          if (watch->registered)
            epoll_ctl (self->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
          watch->registered = FALSE;
        }
      else if (!watch->registered || watch->known != watch->condition)
        {
          if (epoll_ctl (self->epoll, watch->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0)
            g_critical ("cannot watch the file descriptor %d: %s", watch->fd, g_strerror (errno));
          watch->registered = TRUE;
          watch->known = watch->condition;
        }
    }
}

static gboolean
reactor_prepare (GSource *source,
                 int     *timeout)
{
  Reactor *self = (Reactor *) source;
  gint64 left;

  *timeout = -1;
  if (self->suspended > 0)
    return FALSE;
  reactor_apply_changes (self);
  if (!g_queue_is_empty (&self->due))
    {
      *timeout = 0;
      return TRUE;
    }
  if (self->heap->len == 0)
    return FALSE;

  left = ((TcpTimer *) self->heap->pdata[0])->when.key - tcp_now ();
  *timeout = left > 0 ? MIN ((left + 999) / 1000, G_MAXINT) : 0;
  return left <= 0;
}

static gboolean
reactor_check (GSource *source)
{
  Reactor *self = (Reactor *) source;

  if (self->suspended > 0)
    return FALSE;
  return g_source_query_unix_fd (source, self->tag) != 0 || !g_queue_is_empty (&self->due) ||
         (self->heap->len > 0 && ((TcpTimer *) self->heap->pdata[0])->when.key <= tcp_now ());
}

/* Returns the ready descriptors: those found while waiting, or those of a new call. */
static int
reactor_take_events (Reactor            *self,
                     struct epoll_event *events)
{
  int n = self->n_events;

  self->n_events = -1;
  if (n < 0)
    return epoll_wait (self->epoll, events, MAX_EVENTS, 0);
  memcpy (events, self->events, n * sizeof *events);
  return n;
}

static void
reactor_dispatch_watches (Reactor *self)
{
  struct epoll_event events[MAX_EVENTS];
  int n = reactor_take_events (self, events);

  for (int i = 0; i < n; i++)
    {
      TcpWatch *watch = events[i].data.ptr;
      GIOCondition condition;

      /* the descriptor with which the context is woken */
      if (watch == NULL)
        continue;
      /* The watch may have lost interest, or rest, meanwhile. */
      condition = events[i].events & (watch->condition | G_IO_ERR | G_IO_HUP);
      if (watch->func != NULL && !watch->rests && condition != 0)
        watch->func (condition, watch->user_data);
    }
}

static void
reactor_dispatch_timers (Reactor *self)
{
  gint64 now = self->heap->len > 0 ? tcp_now () : 0;
  TcpTimer *timer;

  while (self->heap->len > 0 && (timer = self->heap->pdata[0])->when.key <= now)
    tcp_timer_set (timer, 0);

  /* Timers that are set to 0 by these calls wait until the descriptors had their turn. */
  self->round++;
  while ((timer = g_queue_peek_head (&self->due)) != NULL && timer->round < self->round)
    {
      g_queue_unlink (&self->due, &timer->link);
      timer->is_due = FALSE;
      timer->func (timer->user_data);
    }
}

static void
reactor_free_cleared (Reactor *self)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&self->cleared)) != NULL)
    g_free (link->data);
}

static gboolean
reactor_dispatch (GSource     *source,
                  GSourceFunc  callback,
                  gpointer     user_data)
{
  Reactor *self = (Reactor *) source;

  self->dispatching++;
  reactor_dispatch_watches (self);
  reactor_dispatch_timers (self);
  self->dispatching--;
  if (self->dispatching == 0 && self->n_events < 0)
    reactor_free_cleared (self);

  return G_SOURCE_CONTINUE;
}

static void
reactor_finalize (GSource *source)
{
  Reactor *self = (Reactor *) source;

  reactor_free_cleared (self);
  g_ptr_array_unref (self->heap);
  note_watched (self->epoll, FALSE);
  close (self->epoll);
}

static GSourceFuncs reactor_funcs = {
  .prepare = reactor_prepare,
  .check = reactor_check,
  .dispatch = reactor_dispatch,
  .finalize = reactor_finalize,
};

TcpReactor *
tcp_reactor_new (GMainContext  *context,
                 GError       **error)
{
  int epoll = epoll_create1 (EPOLL_CLOEXEC);
  int code = errno;
  Reactor *self;

  if (epoll < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
                   _("no epoll set can be created: %s"), g_strerror (code));
      return NULL;
    }

  self = (Reactor *) g_source_new (&reactor_funcs, sizeof (Reactor));
  self->context = context;
  self->handles = 1;
  self->heap = g_ptr_array_new ();
  self->epoll = epoll;
  self->wakeup = -1;
  self->n_events = -1;
  note_watched (self->epoll, TRUE);
  g_source_set_static_name (&self->source, "[tcptunnel] reactor");
  /* Otherwise GLib would remove the descriptor from the poll, and add it again with a wake-up, around every
   * dispatch. */
  g_source_set_can_recurse (&self->source, TRUE);
  self->tag = g_source_add_unix_fd (&self->source, self->epoll, G_IO_IN);
  g_source_attach (&self->source, context);

  return self;
}

void
tcp_reactor_enter (TcpReactor *self)
{
  g_private_set (&reactors, g_slist_prepend (g_private_get (&reactors), self));
}

/* Frees a reactor that no thread has entered. */
void
tcp_reactor_free (TcpReactor *self)
{
  g_source_destroy (&self->source);
  g_source_unref (&self->source);
}

/* Returns the reactor of the thread-default context. */
static Reactor *
reactor_acquire (void)
{
  g_autoptr (GError) error = NULL;
  GMainContext *context = g_main_context_get_thread_default ();
  Reactor *self;

  if (context == NULL)
    context = g_main_context_default ();
  for (GSList *l = g_private_get (&reactors); l != NULL; l = l->next)
    if (((Reactor *) l->data)->context == context)
      {
        self = l->data;
        self->handles++;
        return self;
      }

  self = tcp_reactor_new (context, &error);
  if (self == NULL)
    g_error ("%s", error->message);
  tcp_reactor_enter (self);
  return self;
}

static void
reactor_release (Reactor *self)
{
  self->handles--;
  if (self->handles > 0)
    return;

  g_private_set (&reactors, g_slist_remove (g_private_get (&reactors), self));
  tcp_reactor_free (self);
}

/* Nothing that is registered with the reactor of this thread is called until it is resumed as often as it was
 * suspended; all events are kept until then. Called by a source of its context, which must be that of an I/O thread. */
void
tcp_reactor_suspend (void)
{
  Reactor *self = reactor_acquire ();

  g_assert (self->dispatching == 0);

  self->suspended++;
  /* These events are found again. */
  self->n_events = -1;
  reactor_free_cleared (self);
  reactor_release (self);
}

void
tcp_reactor_resume (void)
{
  Reactor *self = reactor_acquire ();

  g_assert (self->suspended > 0);

  self->suspended--;
  reactor_release (self);
}

/* Polls without the epoll set, whose ready descriptors must not be handled. */
static int
poll_suspended (GPollFD *fds,
                guint    n_fds,
                guint    index,
                int      timeout)
{
  int epoll = fds[index].fd;
  int n;

  fds[index].fd = -1;
  n = g_poll (fds, n_fds, timeout);
  fds[index].fd = epoll;
  fds[index].revents = 0;
  return n;
}

/* Finds the reactor whose epoll set is one of two descriptors, and the index of that. */
static Reactor *
find_only_reactor (GPollFD *fds,
                   guint    n,
                   guint   *index)
{
  for (GSList *l = n == 2 ? g_private_get (&reactors) : NULL; l != NULL; l = l->next)
    for (*index = 0; *index < n; (*index)++)
      if (fds[*index].fd == ((Reactor *) l->data)->epoll)
        return l->data;
  return NULL;
}

/* The descriptor with which GLib wakes the context does not change during its lifetime. */
static gboolean
reactor_include (Reactor *self,
                 int      wakeup)
{
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

  if (self->wakeup < 0 && epoll_ctl (self->epoll, EPOLL_CTL_ADD, wakeup, &event) == 0)
    self->wakeup = wakeup;
  return self->wakeup == wakeup;
}

/* Replaces poll () for the context of an I/O thread. That waits for the epoll set and for the wake-up descriptor of the
 * context, and for nothing else unless a connection is being opened: both are in the epoll set then, so that one system
 * call waits and returns what is ready. */
int
tcp_reactor_poll (GPollFD *fds,
                  guint    n_fds,
                  int      timeout)
{
  guint index;
  Reactor *self = find_only_reactor (fds, n_fds, &index);
  GPollFD *wakeup;
  int n;

  for (GSList *l = g_private_get (&reactors); l != NULL; l = l->next)
    for (guint i = 0; ((Reactor *) l->data)->suspended > 0 && i < n_fds; i++)
      if (fds[i].fd == ((Reactor *) l->data)->epoll)
        return poll_suspended (fds, n_fds, i, timeout);
  if (self == NULL || self->dispatching > 0 || fds[!index].events != G_IO_IN || !reactor_include (self, fds[!index].fd))
    return g_poll (fds, n_fds, timeout);

  wakeup = &fds[!index];
  wakeup->revents = fds[index].revents = 0;
  n = epoll_wait (self->epoll, self->events, MAX_EVENTS, timeout);
  self->n_events = n;
  for (int i = 0; i < n; i++)
    if (self->events[i].data.ptr == NULL)
      wakeup->revents = G_IO_IN;
    else
      fds[index].revents = G_IO_IN;
  /* Watches of an event that was not dispatched are no longer among these. */
  reactor_free_cleared (self);
  if (fds[index].revents == 0)
    self->n_events = -1;
  return n < 0 ? n : (wakeup->revents != 0) + (fds[index].revents != 0);
}

/* Timers */

TcpTimer *
tcp_timer_new (TcpTimerFunc func,
               gpointer     user_data)
{
  TcpTimer *self = g_new0 (TcpTimer, 1);

  self->reactor = reactor_acquire ();
  self->func = func;
  self->user_data = user_data;
  self->link.data = self;
  return self;
}

/* @when is a time of tcp_now (), 0 for as soon as possible, though not before this callback has returned, -1 for
 * never. */
void
tcp_timer_set (TcpTimer *self,
               gint64    when)
{
  Reactor *reactor = self->reactor;

  if (self->is_due)
    {
      if (when == 0)
        return;
      g_queue_unlink (&reactor->due, &self->link);
      self->is_due = FALSE;
    }

  if (when <= 0)
    {
      tcp_heap_remove (reactor->heap, &self->when);
      if (when < 0)
        return;
      self->round = reactor->round;
      self->is_due = TRUE;
      g_queue_push_tail_link (&reactor->due, &self->link);
      return;
    }

  self->when.key = when;
  tcp_heap_place (reactor->heap, &self->when);
}

/* The time that was set; -1 while it rests. */
gint64
tcp_timer_get (TcpTimer *self)
{
  if (self->is_due)
    return 0;
  return self->when.index > 0 ? self->when.key : -1;
}

void
tcp_timer_clear (TcpTimer **timer)
{
  TcpTimer *self = g_steal_pointer (timer);

  if (self == NULL)
    return;

  tcp_timer_set (self, -1);
  reactor_release (self->reactor);
  g_free (self);
}

/* Watches */

static void
watch_change (TcpWatch *self)
{
  if (self->is_changed)
    return;

  self->is_changed = TRUE;
  g_queue_push_tail_link (&self->reactor->changed, &self->link);
}

TcpWatch *
tcp_watch_new (int           fd,
               GIOCondition  condition,
               TcpWatchFunc  func,
               gpointer      user_data)
{
  TcpWatch *self = g_new0 (TcpWatch, 1);

  self->reactor = reactor_acquire ();
  self->func = func;
  self->user_data = user_data;
  self->fd = fd;
  self->condition = condition;
  self->link.data = self;
  note_watched (fd, TRUE);
  watch_change (self);
  return self;
}

/* Also ends its rest. */
void
tcp_watch_set (TcpWatch     *self,
               GIOCondition  condition)
{
  if (!self->rests && self->condition == condition)
    return;

  self->rests = FALSE;
  self->condition = condition;
  watch_change (self);
}

/* The watch does not call its function, not even for a hang-up, until it is set again. */
void
tcp_watch_rest (TcpWatch *self)
{
  if (self->rests)
    return;

  self->rests = TRUE;
  watch_change (self);
}

void
tcp_watch_clear (TcpWatch **watch)
{
  TcpWatch *self = g_steal_pointer (watch);
  Reactor *reactor;

  if (self == NULL)
    return;

  reactor = self->reactor;
  if (self->is_changed)
    g_queue_unlink (&reactor->changed, &self->link);
  if (self->registered)
    epoll_ctl (reactor->epoll, EPOLL_CTL_DEL, self->fd, NULL);
  note_watched (self->fd, FALSE);
  self->func = NULL;
  if (reactor->dispatching > 0 || reactor->n_events >= 0)
    g_queue_push_tail_link (&reactor->cleared, &self->link);
  else
    g_free (self);
  reactor_release (reactor);
}
