/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "tunnel/proxy-request.h"

G_BEGIN_DECLS

/* The bytes of a client of a proxy, in pieces whose size depends on the first byte: the size makes no difference, and
 * data behind a request is left. */

static inline TcpProxyStep
proxy_request_add_all (TcpProxyRequest *request,
                       const guint8    *data,
                       gsize            size,
                       gsize            piece,
                       gsize           *total)
{
  TcpProxyStep step = TCP_PROXY_MORE;
  gsize used;

  for (*total = 0; step == TCP_PROXY_MORE && *total < size; *total += used)
    {
      step = tcp_proxy_request_receive (request, data + *total, MIN (piece, size - *total), &used);
      g_assert_cmpuint (used, <=, MIN (piece, size - *total));
      g_assert_true (step != TCP_PROXY_MORE || used == MIN (piece, size - *total));
      g_assert_cmpuint (request->input->len, <=, 16 * 1024);
    }
  return step;
}

static inline void
proxy_request_fuzz (const TcpProxyClass *class,
                    const guint8        *data,
                    gsize                size)
{
  g_auto (TcpProxyRequest) whole = { 0 };
  g_auto (TcpProxyRequest) cut = { 0 };
  gsize used, cut_used;
  TcpProxyStep step;

  if (size < 2)
    return;
  tcp_proxy_request_init (&whole, class);
  tcp_proxy_request_init (&cut, class);
  step = proxy_request_add_all (&whole, data + 1, size - 1, size, &used);
  g_assert_cmpint (proxy_request_add_all (&cut, data + 1, size - 1, data[0] + 1, &cut_used), ==, step);
  g_assert_true ((step == TCP_PROXY_ASKED) == (whole.target != NULL));
  g_assert_true ((step == TCP_PROXY_BAD) == (whole.problem != NULL));
  g_assert_cmpstr (whole.target, ==, cut.target);
  if (step == TCP_PROXY_ASKED)
    {
      g_assert_cmpuint (used, ==, cut_used);
      for (guint i = TCP_PROXY_CONNECTED; i <= TCP_PROXY_UNAVAILABLE; i++)
        class->answer (&whole, i, "why");
    }
  class->time_out (&cut);
}

G_END_DECLS
