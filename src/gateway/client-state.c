/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/client-state.h"

#include <string.h>

#include "base/i18n.h"
#include "base/invalid.h"
#include "gateway/networks.h"

/* The indices of these children in a state. */
enum
{
  LISTENERS = 10,
  SESSION = 11,
};

void
tcp_client_state_clear (TcpClientState *self)
{
  g_clear_pointer (&self->session_id, g_free);
  g_clear_pointer (&self->target, g_free);
  g_clear_pointer (&self->principal, g_free);
  g_clear_object (&self->address);
  g_clear_object (&self->proxy);
  g_clear_object (&self->local);
  g_clear_pointer (&self->listeners, g_variant_unref);
  g_clear_pointer (&self->session, g_variant_unref);
}

static GVariant *
write_address (GSocketAddress *address)
{
  g_autoptr (GInetAddress) inet = address != NULL ? tcp_address_get (address) : NULL;
  g_autofree char *text = inet != NULL ? g_inet_address_to_string (inet) : NULL;
  GVariant *value = text != NULL ? g_variant_new ("(sq)", text, tcp_address_get_port (address)) : NULL;

  return g_variant_new_maybe (G_VARIANT_TYPE ("(sq)"), value);
}

GVariant *
tcp_client_state_write (const TcpClientState *self)
{
  return g_variant_ref_sink (g_variant_new ("(msmssuusx@m(sq)@m(sq)@m(sq)@a" TCP_LISTENER_STATE_TYPE "@" TCP_SESSION_STATE_TYPE ")",
                                            self->session_id, self->target, self->principal, self->flags, self->timeout,
                                            self->protocol->name, self->expires, write_address (self->address),
                                            write_address (self->proxy), write_address (self->local), self->listeners, self->session));
}

static const TcpProtocolClass *
find_protocol (const char *name)
{
  static const TcpProtocolClass *const all[] = {
    &tcp_protocol_raw, &tcp_protocol_tagged, &tcp_protocol_reverse, &tcp_protocol_resumable,
  };

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    if (strcmp (all[i]->name, name) == 0)
      return all[i];
  return NULL;
}

static GSocketAddress *
read_address (GVariant *value)
{
  g_autoptr (GVariant) pair = g_variant_get_maybe (value);
  const char *text;
  guint16 port;

  if (pair == NULL)
    return NULL;
  g_variant_get (pair, "(&sq)", &text, &port);
  return g_inet_socket_address_new_from_string (text, port);
}

static gboolean
listeners_make_sense (GVariant *listeners)
{
  for (gsize i = 0; i < g_variant_n_children (listeners); i++)
    {
      guint32 id;
      guint16 port;
      guint64 inode;
      int fd;

      g_variant_get_child (listeners, i, TCP_LISTENER_STATE_TYPE, &id, &port, &fd, &inode);
      if (id == 0 || fd < -1 || (fd >= 0 && port == 0))
        return FALSE;
    }
  return TRUE;
}

/* Reads @state, which has the right type. */
void
tcp_client_state_get (TcpClientState *self,
                      GVariant       *state)
{
  g_autoptr (GVariant) address = NULL;
  g_autoptr (GVariant) proxy = NULL;
  g_autoptr (GVariant) local = NULL;
  const char *protocol;

  g_variant_get (state, "(msmssuu&sx@m(sq)@m(sq)@m(sq)@a" TCP_LISTENER_STATE_TYPE "@" TCP_SESSION_STATE_TYPE ")",
                 &self->session_id, &self->target, &self->principal, &self->flags, &self->timeout, &protocol,
                 &self->expires, &address, &proxy, &local, &self->listeners, &self->session);
  self->protocol = find_protocol (protocol);
  self->address = read_address (address);
  self->proxy = read_address (proxy);
  self->local = read_address (local);
}

/* As tcp_client_state_get (), but for a state that may contain anything: all of it is checked. If it fails, there is
 * nothing to clear. */
gboolean
tcp_client_state_read (TcpClientState  *self,
                       GVariant        *state,
                       GError         **error)
{
  g_auto (TcpClientState) read = { 0 };

  if (!g_variant_is_of_type (state, G_VARIANT_TYPE (TCP_CLIENT_STATE_TYPE)) || !g_variant_is_normal_form (state))
    return tcp_invalid (error, _("the state of a client is malformed"));

  tcp_client_state_get (&read, state);
  if (read.protocol == NULL || (read.flags & ~TCP_CLIENT_ALL_FLAGS) != 0 || !listeners_make_sense (read.listeners) ||
      (read.protocol->resumable && read.session_id == NULL))
    return tcp_invalid (error, _("the state of a client is malformed"));
  if (!tcp_session_check_state (read.session, read.protocol, error))
    return FALSE;

  *self = read;
  read = (TcpClientState) { 0 };
  return TRUE;
}

/* @state has the right type. */
void
tcp_client_state_foreach_socket (GVariant           *state,
                                 TcpStateSocketFunc  func,
                                 gpointer            user_data)
{
  g_autoptr (GVariant) listeners = g_variant_get_child_value (state, LISTENERS);
  g_autoptr (GVariant) session = g_variant_get_child_value (state, SESSION);
  g_autoptr (GVariant) streams = g_variant_get_child_value (session, 1);
  guint64 inode;
  int fd;

  for (gsize i = 0; i < g_variant_n_children (listeners); i++)
    {
      g_variant_get_child (listeners, i, TCP_LISTENER_STATE_TYPE, NULL, NULL, &fd, &inode);
      if (fd >= 0)
        func (fd, inode, TRUE, user_data);
    }
  for (gsize i = 0; i < g_variant_n_children (streams); i++)
    {
      g_autoptr (GVariant) stream = g_variant_get_child_value (streams, i);

      fd = tcp_stream_state_get_socket (stream, &inode);
      if (fd >= 0)
        func (fd, inode, FALSE, user_data);
    }
}
