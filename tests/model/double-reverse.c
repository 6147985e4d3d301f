/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For a gateway without reverse listeners. */

#include "gateway/reverse.h"
#include "io/linger.h"

TcpReverse *
tcp_reverse_new (TcpReversePorts           *ports,
                 TcpQuota                  *quota,
                 TcpAccount              *owner,
                 TcpIoThread               *thread,
                 TcpLog                    *log,
                 const TcpReverseCallbacks *callbacks,
                 gpointer                   user_data)
{
  g_assert_not_reached ();
}

void
tcp_reverse_free (TcpReverse *self)
{
  g_assert_not_reached ();
}

gboolean
tcp_reverse_is_empty (TcpReverse *self)
{
  g_assert_not_reached ();
}

void
tcp_reverse_listen (TcpReverse *self,
                    guint32     listener,
                    guint16     port)
{
  g_assert_not_reached ();
}

void
tcp_reverse_unlisten (TcpReverse *self,
                      guint32     listener)
{
  g_assert_not_reached ();
}

void
tcp_reverse_yield (TcpReverse *self)
{
  g_assert_not_reached ();
}

void
tcp_reverse_give_way (TcpReverse *self,
                      gint64      since)
{
  g_assert_not_reached ();
}

void
tcp_reverse_set_resting (TcpReverse *self,
                         gboolean    resting)
{
  g_assert_not_reached ();
}

gboolean
tcp_reverse_end_revoked (TcpReverse *self)
{
  return FALSE;
}

void
tcp_reverse_give_up (TcpReverse   *self,
                     TcpResetCode  code,
                     const char   *why)
{
  g_assert_not_reached ();
}

void
tcp_socket_close_with_reset (GSocket *socket)
{
  g_assert_not_reached ();
}
