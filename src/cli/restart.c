/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/restart.h"

#include <unistd.h>

#include "cli/log.h"
#include "cli/replace.h"

struct _Restart
{
  TcpGateway *gateway;
  RestartCallbacks callbacks;
  gpointer data;
  GCancellable *cancellable; /* during a restart */
  int state;                 /* the descriptor, or -1 */
};

Restart *
restart_new (TcpGateway             *gateway,
             const RestartCallbacks *callbacks,
             gpointer                data)
{
  Restart *self = g_new0 (Restart, 1);

  self->gateway = g_object_ref (gateway);
  self->callbacks = *callbacks;
  self->data = data;
  self->state = -1;
  return self;
}

void
restart_free (Restart *self)
{
  g_clear_object (&self->cancellable);
  g_object_unref (self->gateway);
  g_free (self);
}

static void
restart_end (Restart      *self,
             const GError *error)
{
  if (error != NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    log_warn ("the gateway was not restarted: %s", error->message);
  tcp_gateway_resume (self->gateway);
  if (self->state >= 0)
    close (self->state);
  self->state = -1;
  g_clear_object (&self->cancellable);
  self->callbacks.stayed (self->data);
}

/* Signals from here on are for the next program, but earlier ones are not. */
static void
restart_execute (Restart *self)
{
  g_autoptr (GError) error = NULL;

  replace_hold_signals ();
  if (self->callbacks.leave (self->data) && tcp_gateway_hand_over (self->gateway, &error))
    replace_execute (self->state, &error);
  replace_release_signals ();
  restart_end (self, error);
}

static void
on_tried (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Restart *self = data;
  g_autoptr (GError) error = NULL;
  gboolean changed;

  if (!replace_try_finish (result, &changed, &error))
    restart_end (self, error);
  else if (changed)
    replace_try_async (self->state, self->cancellable, on_tried, self);
  else
    restart_execute (self);
}

static void
on_suspended (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  Restart *self = data;
  g_autoptr (GError) error = NULL;

  self->state = tcp_gateway_suspend_finish (self->gateway, result, &error);
  if (self->state < 0)
    restart_end (self, error);
  else
    replace_try_async (self->state, self->cancellable, on_tried, self);
}

/* The gateway must be running. */
void
restart_begin (Restart *self)
{
  g_assert (self->cancellable == NULL);

  self->cancellable = g_cancellable_new ();
  tcp_gateway_suspend_async (self->gateway, self->cancellable, on_suspended, self);
}

gboolean
restart_is_under_way (Restart *self)
{
  return self->cancellable != NULL;
}

/* Gives up the restart, if that is still possible. */
void
restart_cancel (Restart *self)
{
  g_cancellable_cancel (self->cancellable);
}
