/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/ready.h"

#include <string.h>

enum
{
  FRESH = 10,  /* s, for which a result is used */
  TIMEOUT = 3, /* s */
};

typedef struct
{
  ReadyFunc func;
  gpointer data;
} Question;

struct _Ready
{
  TcpGateway *gateway;
  GSocketClient *client;
  GCancellable *trying; /* NULL if it is not being tried */
  gint64 tried;         /* when, 0 for never */
  char *target;         /* which target */
  GError *error;        /* the result; NULL if it was reached */
  GQueue questions;     /* of Question, those that wait for it */
};

static void
ready_answer (Ready        *self,
              const GError *error)
{
  Question *question;

  while ((question = g_queue_pop_head (&self->questions)) != NULL)
    {
      question->func (error, question->data);
      g_free (question);
    }
}

static void
on_connected (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection G_GNUC_UNUSED =
      g_socket_client_connect_to_host_finish (G_SOCKET_CLIENT (object), result, &error);
  Ready *self = data;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;

  g_clear_object (&self->trying);
  g_clear_error (&self->error);
  self->error = g_steal_pointer (&error);
  self->tried = g_get_monotonic_time ();
  ready_answer (self, self->error);
}

Ready *
ready_new (TcpGateway *gateway)
{
  Ready *self = g_new0 (Ready, 1);

  self->gateway = g_object_ref (gateway);
  self->client = g_socket_client_new ();
  g_socket_client_set_enable_proxy (self->client, FALSE);
  g_socket_client_set_timeout (self->client, TIMEOUT);
  return self;
}

/* Pending questions are answered. */
void
ready_free (Ready *self)
{
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "the gateway ends");

  g_cancellable_cancel (self->trying);
  g_clear_object (&self->trying);
  ready_answer (self, error);
  g_clear_error (&self->error);
  g_object_unref (self->client);
  g_object_unref (self->gateway);
  g_free (self->target);
  g_free (self);
}

/* Returns the address of the target, also if it is a named one. NULL if there is none. */
static char *
ready_find_target (Ready *self)
{
  g_autofree char *target = NULL;
  g_auto (GStrv) named = NULL;

  g_object_get (self->gateway, "target", &target, "targets", &named, NULL);
  for (char **one = named; target != NULL && one != NULL && *one != NULL; one++)
    {
      const char *equals = strchr (*one, '=');

      if (equals != NULL && strncmp (*one, target, equals - *one) == 0 && target[equals - *one] == '\0')
        return g_strdup (equals + 1);
    }
  return g_steal_pointer (&target);
}

/**
 * ready_ask:
 * @func: called once, perhaps at once, with the reason for which the target cannot be reached, or %NULL
 */
void
ready_ask (Ready     *self,
           ReadyFunc  func,
           gpointer   data)
{
  g_autofree char *target = ready_find_target (self);
  gboolean is_fresh;
  Question *question;

  is_fresh = self->tried > 0 && g_get_monotonic_time () - self->tried < FRESH * G_TIME_SPAN_SECOND &&
             g_strcmp0 (target, self->target) == 0;
  if (target == NULL || (is_fresh && self->trying == NULL))
    {
      func (target != NULL ? self->error : NULL, data);
      return;
    }

  question = g_new0 (Question, 1);
  question->func = func;
  question->data = data;
  g_queue_push_tail (&self->questions, question);
  if (self->trying != NULL)
    return;

  g_free (self->target);
  self->target = g_steal_pointer (&target);
  self->trying = g_cancellable_new ();
  g_socket_client_connect_to_host_async (self->client, self->target, 0, self->trying, on_connected, self);
}
