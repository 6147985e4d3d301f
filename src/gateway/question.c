/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/question.h"

#include "base/fork.h"
#include "base/ref-count.h"

typedef enum
{
  STATE_OPEN,
  STATE_WITHDRAWN, /* the answer is no longer needed */
  STATE_ANSWERED,  /* the application has answered */
} State;

struct _TcpQuestion
{
  gatomicrefcount refs;
  guint fork_count; /* that of the process whose I/O thread has asked */
  atomic_int state;
  atomic_bool put;  /* the question was passed to the application */
  TcpIoThread *thread;
  TcpAnswer answer; /* written by the thread that answers, then read on the I/O thread */
  gboolean withdrawn; /* it was withdrawn before the answer; likewise */

  /* only used on the I/O thread */
  TcpQuestionFunc func; /* NULL once it must not be called any more */
  gpointer user_data;
};

/* Called on the I/O thread @thread. */
TcpQuestion *
tcp_question_new (TcpIoThread     *thread,
                  TcpQuestionFunc  func,
                  gpointer         user_data)
{
  TcpQuestion *self = g_new0 (TcpQuestion, 1);

  g_atomic_ref_count_init (&self->refs);
  self->fork_count = tcp_fork_count ();
  self->thread = thread;
  self->func = func;
  self->user_data = user_data;
  return self;
}

TcpQuestion *
tcp_question_ref (TcpQuestion *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_question_unref (TcpQuestion *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_free (self->answer.principal);
  g_free (self->answer.reason);
  g_free (self);
}

/* An answer that comes later has no effect. */
void
tcp_question_withdraw (TcpQuestion *self)
{
  int expected = STATE_OPEN;

  atomic_compare_exchange_strong (&self->state, &expected, STATE_WITHDRAWN);
}

/* Withdraws the question; its function is not called any more. */
void
tcp_question_forget (TcpQuestion *self)
{
  tcp_question_withdraw (self);
  self->func = NULL;
}

/* Whether the question was passed to the application, or is about to be. */
gboolean
tcp_question_was_put (TcpQuestion *self)
{
  return atomic_load (&self->put);
}

/* Called before the question is passed to the application: FALSE if it was withdrawn or answered. */
gboolean
tcp_question_put (TcpQuestion *self)
{
  atomic_store (&self->put, TRUE);
  return atomic_load (&self->state) == STATE_OPEN;
}

static void
question_do_finish (gpointer data)
{
  TcpQuestion *self = data;

  if (self->func != NULL)
    self->func (self, self->withdrawn ? NULL : &self->answer, self->user_data);
}

/* FALSE if it was answered or withdrawn before. In a forked child there is no I/O thread to receive the answer. */
static gboolean
question_finish (TcpQuestion *self,
                 const char  *principal,
                 gint64       expires,
                 const char  *reason)
{
  int expected = STATE_OPEN;
  gboolean in_time;

  if (self->fork_count != tcp_fork_count ())
    return FALSE;

  in_time = atomic_compare_exchange_strong (&self->state, &expected, STATE_ANSWERED);
  if (!in_time)
    {
      expected = STATE_WITHDRAWN;
      if (!atomic_compare_exchange_strong (&self->state, &expected, STATE_ANSWERED))
        return FALSE;
    }
  self->withdrawn = !in_time;
  self->answer = (TcpAnswer) { g_strdup (principal), g_strdup (reason), expires };
  tcp_io_thread_invoke (self->thread, question_do_finish, tcp_question_ref (self), (GDestroyNotify) tcp_question_unref);
  return in_time;
}

gboolean
tcp_question_accept (TcpQuestion *self,
                     const char  *principal,
                     gint64       expires)
{
  return question_finish (self, principal, expires, NULL);
}

gboolean
tcp_question_reject (TcpQuestion *self,
                     const char  *reason)
{
  return question_finish (self, NULL, 0, reason);
}
