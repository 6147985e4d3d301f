/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/connect.h"

/* Every target is a name here, and no connection is made while the model runs. */

GSocketAddress *
tcp_connect_get_literal (const char *host,
                         guint16     port)
{
  return NULL;
}

TcpConnect *
tcp_connect_new (GSocketConnectable *where,
                 TcpConnectFunc      func,
                 gpointer            user_data)
{
  g_assert_not_reached ();
}

void
tcp_connect_free (TcpConnect *self)
{
  g_assert_not_reached ();
}
