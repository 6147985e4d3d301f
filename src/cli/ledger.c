/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/ledger.h"

#include "cli/describe.h"
#include "cli/json.h"

enum
{
  MAX_PRINCIPALS = 256, /* further ones share a row */
  MAX_FAILURES = 20,
};

/* The row of principals without one of their own; no principal has this name. */
#define OTHERS "(others)"

typedef struct
{
  guint64 open;
  guint64 total;
  guint64 failed;
} Principal;

typedef struct
{
  char *time;
  char *principal;
  char *target;
  GError *error;
} Failure;

struct _Ledger
{
  TcpGateway *gateway;
  GHashTable *principals; /* name → Principal */
  GQueue failures;        /* of Failure, latest first */
};

static void
failure_free (gpointer data)
{
  Failure *failure = data;

  g_free (failure->time);
  g_free (failure->principal);
  g_free (failure->target);
  g_error_free (failure->error);
  g_free (failure);
}

static Principal *
ledger_get_principal (Ledger     *self,
                      const char *name)
{
  Principal *principal = g_hash_table_lookup (self->principals, name);

  if (principal == NULL && g_hash_table_size (self->principals) >= MAX_PRINCIPALS)
    {
      name = OTHERS;
      principal = g_hash_table_lookup (self->principals, name);
    }
  if (principal == NULL)
    {
      principal = g_new0 (Principal, 1);
      g_hash_table_insert (self->principals, g_strdup (name), principal);
    }
  return principal;
}

static void
on_opened (TcpEndpoint   *endpoint,
           TcpConnection *connection,
           Ledger        *self)
{
  g_autofree char *name = NULL;
  Principal *principal;

  g_object_get (connection, "principal", &name, NULL);
  principal = ledger_get_principal (self, name);
  principal->open++;
  principal->total++;
}

static void
ledger_add_failure (Ledger        *self,
                    TcpConnection *connection,
                    const char    *principal,
                    GError        *error)
{
  Failure *failure = g_new0 (Failure, 1);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  failure->time = g_date_time_format_iso8601 (now);
  failure->principal = g_strdup (principal);
  failure->error = error;
  g_object_get (connection, "target", &failure->target, NULL);
  g_queue_push_head (&self->failures, failure);
  if (self->failures.length > MAX_FAILURES)
    failure_free (g_queue_pop_tail (&self->failures));
}

static void
on_closed (TcpEndpoint   *endpoint,
           TcpConnection *connection,
           Ledger        *self)
{
  g_autofree char *name = NULL;
  GError *error = tcp_connection_dup_error (connection);
  Principal *principal;

  g_object_get (connection, "principal", &name, NULL);
  principal = ledger_get_principal (self, name);
  principal->open -= MIN (principal->open, 1);
  if (error == NULL)
    return;

  principal->failed++;
  ledger_add_failure (self, connection, name, error);
}

Ledger *
ledger_new (TcpGateway *gateway)
{
  Ledger *self = g_new0 (Ledger, 1);

  self->gateway = g_object_ref (gateway);
  self->principals = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_signal_connect (gateway, "connection-opened", G_CALLBACK (on_opened), self);
  g_signal_connect (gateway, "connection-closed", G_CALLBACK (on_closed), self);
  return self;
}

void
ledger_free (Ledger *self)
{
  g_signal_handlers_disconnect_by_data (self->gateway, self);
  g_object_unref (self->gateway);
  g_hash_table_unref (self->principals);
  g_queue_clear_full (&self->failures, failure_free);
  g_free (self);
}

static void
add_connections (Ledger      *self,
                 guint        max,
                 JsonBuilder *builder)
{
  GListModel *list = tcp_endpoint_get_connections (TCP_ENDPOINT (self->gateway));
  guint n = g_list_model_get_n_items (list);

  json_builder_set_member_name (builder, "connections");
  json_builder_begin_array (builder);
  for (guint i = 0; i < MIN (n, max); i++)
    {
      g_autoptr (TcpConnection) connection = g_list_model_get_item (list, n - 1 - i);

      json_builder_begin_object (builder);
      describe_connection (builder, connection);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static void
add_principals (Ledger      *self,
                JsonBuilder *builder)
{
  GHashTableIter iter;
  gpointer name, value;

  json_builder_set_member_name (builder, "principals");
  json_builder_begin_array (builder);
  g_hash_table_iter_init (&iter, self->principals);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      const Principal *principal = value;

      json_builder_begin_object (builder);
      event_add_string (builder, "name", name);
      event_add_int (builder, "open_connections", principal->open);
      event_add_int (builder, "total_connections", principal->total);
      event_add_int (builder, "failed_connections", principal->failed);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static void
add_failures (Ledger      *self,
              JsonBuilder *builder)
{
  json_builder_set_member_name (builder, "failures");
  json_builder_begin_array (builder);
  for (GList *link = self->failures.head; link != NULL; link = link->next)
    {
      const Failure *failure = link->data;

      json_builder_begin_object (builder);
      event_add_string (builder, "time", failure->time);
      event_add_string (builder, "principal", failure->principal);
      event_add_string (builder, "target", failure->target);
      event_add_error (builder, failure->error);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

/**
 * ledger_describe:
 * @max_connections: the number of open connections to add, the latest ones
 * @builder: a builder with an open object
 */
void
ledger_describe (Ledger      *self,
                 guint        max_connections,
                 JsonBuilder *builder)
{
  add_principals (self, builder);
  add_connections (self, max_connections, builder);
  add_failures (self, builder);
}
