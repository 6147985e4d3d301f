/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/reverse.h"
#include "gateway/client-state.h"
#include "io/heritage.h"

/* Replaces the functions for a restart, which the model does not use. */

void
tcp_session_set_suspended (TcpSession *self,
                           gboolean    suspended)
{
  g_assert_not_reached ();
}

gboolean
tcp_session_can_be_saved (TcpSession *self)
{
  g_assert_not_reached ();
}

GVariant *
tcp_session_save (TcpSession *self)
{
  g_assert_not_reached ();
}

void
tcp_session_list_lost (TcpSession *self,
                       GArray     *descriptors)
{
  g_assert_not_reached ();
}

GPtrArray *
tcp_session_restore (TcpSession *self,
                     GVariant   *state)
{
  g_assert_not_reached ();
}

void
tcp_session_begin_restored (TcpSession *self,
                            GVariant   *state)
{
  g_assert_not_reached ();
}

int
tcp_stream_state_get_socket (GVariant *state,
                             guint64  *inode)
{
  g_assert_not_reached ();
}

GVariant *
tcp_client_state_write (const TcpClientState *self)
{
  g_assert_not_reached ();
}

GSocket *
tcp_socket_inherit (int     fd,
                    guint64 inode)
{
  g_assert_not_reached ();
}

GVariant *
tcp_reverse_save (TcpReverse *self)
{
  g_assert_not_reached ();
}

void
tcp_reverse_restore (TcpReverse *self,
                     GVariant   *listeners)
{
  g_assert_not_reached ();
}
