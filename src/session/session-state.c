/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session/session-state.h"

#include "base/i18n.h"
#include "base/invalid.h"
#include "protocol/plain-frame.h"
#include "protocol/resumable-state.h"
#include "session/session-private.h"

/* A session that is over has no protocol to continue. */
#define OVER_STATE_TYPE "()"

/* Suspending */

void
tcp_session_set_suspended (TcpSession *self,
                           gboolean    suspended)
{
  if (self->channel == NULL)
    return;

  tcp_channel_set_held (self->channel, suspended);
  if (!suspended)
    tcp_channel_flush (self->channel);
}

/* Saving */

/* Whether its streams continue without this channel, and on another. */
static gboolean
session_goes_on (TcpSession *self)
{
  return self->protocol->class->outlives_transport && !self->options.nameless && !tcp_session_is_over (self);
}

/* Whether the saved state would contain anything. */
gboolean
tcp_session_can_be_saved (TcpSession *self)
{
  return !self->closing && (session_goes_on (self) || g_hash_table_size (self->finishing) > 0);
}

static void
session_save_streams (GHashTable      *set,
                      GVariantBuilder *builder)
{
  GHashTableIter iter;
  gpointer stream;

  g_hash_table_iter_init (&iter, set);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    g_variant_builder_add_value (builder, tcp_stream_save (stream));
}

static GVariant *
session_save_protocol (TcpSession *self)
{
  GQueue unsent = G_QUEUE_INIT;
  GVariant *state;
  guint64 unconfirmed = 0;

  if (!session_goes_on (self))
    return g_variant_ref_sink (g_variant_new (OVER_STATE_TYPE));
  if (self->protocol->class == &tcp_protocol_resumable)
    return tcp_resumable_save (self->protocol);

  if (self->channel != NULL)
    {
      tcp_channel_list_unsent (self->channel, &unsent);
      unconfirmed = tcp_channel_get_unconfirmed (self->channel);
    }
  state = tcp_raw_save (self->protocol, &unsent, unconfirmed);
  g_queue_clear (&unsent);
  return state;
}

GVariant *
tcp_session_save (TcpSession *self)
{
  g_autoptr (GVariant) protocol = session_save_protocol (self);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a" TCP_STREAM_STATE_TYPE));
  if (session_goes_on (self))
    session_save_streams (self->streams, &builder);
  session_save_streams (self->finishing, &builder);
  return g_variant_ref_sink (g_variant_new ("(v@a" TCP_STREAM_STATE_TYPE ")", protocol, g_variant_builder_end (&builder)));
}

/* Lists the sockets, of int, of the streams that cannot continue. */
void
tcp_session_list_lost (TcpSession *self,
                       GArray     *descriptors)
{
  GHashTableIter iter;
  gpointer stream;

  if (session_goes_on (self))
    return;

  g_hash_table_iter_init (&iter, self->streams);
  while (g_hash_table_iter_next (&iter, &stream, NULL))
    if (tcp_stream_is_attached (stream))
      {
        int fd = tcp_stream_get_descriptor (stream);

        g_array_append_val (descriptors, fd);
      }
}

/* Checking */

static void
on_wakeup (gpointer user_data)
{
}

/* Makes a protocol that is only used to find out whether it can load the state. */
static TcpProtocol *
make_trial (const TcpProtocolClass *class)
{
  static const TcpProtocolCallbacks callbacks = { .wakeup = on_wakeup };
  g_autoptr (TcpLog) log = tcp_log_new ("trial", TCP_TUNNEL_LOG_LEVEL_NONE);
  TcpProtocolOptions options = {
    .single = !class->multiplexed,
    .max_streams = 1,
    .max_window = TCP_RESUMABLE_MAX_CREDIT,
    .max_first_window = G_MAXSIZE,
    .peer = "",
    .log = log,
  };

  return tcp_protocol_new (class, &options, &callbacks, NULL);
}

static void
free_trial (TcpProtocol *self)
{
  GHashTableIter iter;
  gpointer stream;

  while (g_hash_table_iter_init (&iter, self->streams), g_hash_table_iter_next (&iter, NULL, &stream))
    tcp_protocol_release (self, stream);
  tcp_protocol_free (self);
}

/* Checks that each stream of the protocol occurs once, with the right number of bytes that wait, and that no other
 * stream has an id. */
static const char *
check_streams (GVariant    *streams,
               TcpProtocol *protocol)
{
  gsize n = g_variant_n_children (streams);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) stream = g_variant_get_child_value (streams, i);
      const char *problem = tcp_stream_check_state (stream);
      gsize queued;
      guint32 id = tcp_stream_state_get_id (stream, &queued);
      TcpProtocolStream *known = id != 0 ? tcp_protocol_lookup (protocol, id) : NULL;

      if (problem != NULL)
        return problem;
      if (id == 0)
        continue;
      if (known == NULL || (protocol->class->resumable && known->queued != queued))
        return "a connection is not one of it";
      tcp_protocol_release (protocol, known);
    }
  return protocol->class->resumable && protocol->n_streams > 0 ? "a connection of it is missing" : NULL;
}

static const char *
check_state (GVariant    *state,
             TcpProtocol *trial)
{
  g_autoptr (GVariant) protocol = NULL;
  g_autoptr (GVariant) streams = NULL;
  const char *problem = NULL;
  guint64 unconfirmed;

  g_variant_get (state, "(v@a" TCP_STREAM_STATE_TYPE ")", &protocol, &streams);
  if (g_variant_is_of_type (protocol, G_VARIANT_TYPE (TCP_RESUMABLE_STATE_TYPE)) &&
      trial->class == &tcp_protocol_resumable)
    problem = tcp_resumable_load (trial, protocol);
  else if (g_variant_is_of_type (protocol, G_VARIANT_TYPE (TCP_RAW_STATE_TYPE)) && trial->class == &tcp_protocol_raw)
    {
      tcp_protocol_add (trial, TCP_RAW_ID, NULL);
      problem = tcp_raw_load (trial, protocol, &unconfirmed);
    }
  else if (!g_variant_is_of_type (protocol, G_VARIANT_TYPE (OVER_STATE_TYPE)))
    problem = "its protocol cannot go on";

  return problem != NULL ? problem : check_streams (streams, trial);
}

gboolean
tcp_session_check_state (GVariant                *state,
                         const TcpProtocolClass  *class,
                         GError                 **error)
{
  TcpProtocol *trial = make_trial (class);
  const char *problem = check_state (state, trial);

  free_trial (trial);
  return problem == NULL || tcp_invalid (error, _("the state of a session is inconsistent: %s"), problem);
}

/* Restoring */

static TcpStream *
session_restore_stream (TcpSession *self,
                        GVariant   *state)
{
  TcpStream *stream = tcp_session_new_stream (self);
  guint32 id = tcp_stream_state_get_id (state, NULL);
  TcpProtocolStream *known = NULL;

  tcp_stream_restore (stream, state);
  tcp_status_add (self->status, open_connections, 1);
  if (id != 0 && self->protocol->class == &tcp_protocol_raw)
    known = self->protocol->class->open (self->protocol, NULL, stream);
  else if (id != 0)
    known = tcp_protocol_lookup (self->protocol, id);
  if (known != NULL)
    known->user_data = stream;
  tcp_stream_set_protocol (stream, known);
  g_hash_table_add (known != NULL ? self->streams : self->finishing, stream);
  return tcp_stream_ref (stream);
}

GPtrArray *
tcp_session_restore (TcpSession *self,
                     GVariant   *state)
{
  GPtrArray *restored = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_stream_unref);
  g_autoptr (GVariant) protocol = NULL;
  g_autoptr (GVariant) streams = NULL;
  const char *problem = NULL;

  g_variant_get (state, "(v@a" TCP_STREAM_STATE_TYPE ")", &protocol, &streams);
  if (g_variant_is_of_type (protocol, G_VARIANT_TYPE (TCP_RESUMABLE_STATE_TYPE)))
    problem = tcp_resumable_load (self->protocol, protocol);
  else if (g_variant_is_of_type (protocol, G_VARIANT_TYPE (OVER_STATE_TYPE)))
    self->protocol->over = TRUE;
  /* The state was checked. */
  g_assert (problem == NULL);

  for (gsize i = 0; i < g_variant_n_children (streams); i++)
    {
      g_autoptr (GVariant) stream = g_variant_get_child_value (streams, i);

      g_ptr_array_add (restored, session_restore_stream (self, stream));
    }
  return restored;
}

void
tcp_session_begin_restored (TcpSession *self,
                            GVariant   *state)
{
  g_autoptr (TcpSession) kept G_GNUC_UNUSED = tcp_session_ref (self);
  g_autoptr (GVariant) protocol = g_variant_get_child_value (state, 0);
  g_autoptr (GVariant) inner = g_variant_get_variant (protocol);
  g_autoptr (GError) error = NULL;
  TcpProtocolLoss loss = { .now = tcp_now () };
  const char *problem G_GNUC_UNUSED;

  if (g_variant_is_of_type (inner, G_VARIANT_TYPE (TCP_RAW_STATE_TYPE)))
    {
      problem = tcp_raw_load (self->protocol, inner, &loss.unconfirmed);
      g_assert (problem == NULL);
      error = g_error_new_literal (TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LOST, "the gateway was restarted");
      loss.error = error;
      self->protocol->class->detached (self->protocol, &loss);
    }
  tcp_timer_set (self->pump, 0);
}
