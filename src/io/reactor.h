/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* File descriptors and points in time for which an I/O thread waits. All of them are one GSource of the main context
 * that is the thread's default when it is made, with an epoll set and a heap. With a GSource for each, every iteration
 * of the context would check every one of them, and poll () every descriptor, so that idle ones would slow down active
 * ones.
 *
 * Everything here belongs to the thread that made it. A callback may do anything, including freeing the timer or the
 * watch that called it. */

typedef struct _TcpReactor TcpReactor;
typedef struct _TcpTimer TcpTimer;
typedef struct _TcpWatch TcpWatch;

typedef void (*TcpTimerFunc) (gpointer user_data);
typedef void (*TcpWatchFunc) (GIOCondition condition,
                              gpointer     user_data);

/* Makes the reactor of a thread that is about to start. The thread must enter it, and keeps it until it ends. A thread
 * without one gets its own with the first timer or watch; if that cannot be made, the program is aborted. */
TcpReactor *tcp_reactor_new (GMainContext  *context,
                             GError       **error);
void tcp_reactor_enter (TcpReactor *self);
void tcp_reactor_free (TcpReactor *self);

void tcp_reactor_suspend (void);
void tcp_reactor_resume (void);

/* monotonic, in microseconds */
gint64 tcp_now (void);

/* the poll function of the context of an I/O thread */
int tcp_reactor_poll (GPollFD *fds,
                      guint    n_fds,
                      int      timeout);

/* A timer rests until it is set, and again once it has called @func. */
TcpTimer *tcp_timer_new (TcpTimerFunc func,
                         gpointer     user_data);
void tcp_timer_set (TcpTimer *self,
                    gint64    when);
gint64 tcp_timer_get (TcpTimer *self);
void tcp_timer_clear (TcpTimer **self);

/* A watch calls @func as long as one of the conditions holds, and also, unless it rests, when the descriptor has an
 * error or has hung up. It must be cleared before the descriptor is closed. */
TcpWatch *tcp_watch_new (int           fd,
                         GIOCondition  condition,
                         TcpWatchFunc  func,
                         gpointer      user_data);
void tcp_watch_set (TcpWatch     *self,
                    GIOCondition  condition);
void tcp_watch_rest (TcpWatch *self);
void tcp_watch_clear (TcpWatch **self);

void tcp_reactor_claim (int      fd,
                        gboolean claimed);

G_END_DECLS
