/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <stdatomic.h>

#include "io/pool.h"

G_BEGIN_DECLS

/* A question of an I/O thread to the application, which answers from any thread, once, later or never. Neither side
 * waits for the other, and each may drop its reference at any time. */
typedef struct _TcpQuestion TcpQuestion;

typedef struct
{
  char *principal; /* NULL if the client was rejected */
  char *reason;    /* the reason for that; nullable */
  gint64 expires;  /* microseconds since 1970, G_MAXINT64 for never */
} TcpAnswer;

/* Called on the I/O thread, once, when the application has answered. @answer is NULL if the question was withdrawn
 * before. */
typedef void (*TcpQuestionFunc) (TcpQuestion     *question,
                                 const TcpAnswer *answer,
                                 gpointer         user_data);

TcpQuestion *tcp_question_new (TcpIoThread     *thread,
                               TcpQuestionFunc  func,
                               gpointer         user_data);
TcpQuestion *tcp_question_ref (TcpQuestion *self);
void tcp_question_unref (TcpQuestion *self);

/* on the I/O thread */
void tcp_question_withdraw (TcpQuestion *self);
gboolean tcp_question_was_put (TcpQuestion *self);
void tcp_question_forget (TcpQuestion *self);

/* on any thread */
gboolean tcp_question_put (TcpQuestion *self);
gboolean tcp_question_accept (TcpQuestion *self,
                              const char  *principal,
                              gint64       expires);
gboolean tcp_question_reject (TcpQuestion *self,
                              const char  *reason);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpQuestion, tcp_question_unref)

G_END_DECLS
