/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "proxy-request.h"

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  proxy_request_fuzz (&tcp_proxy_socks, data, size);
  return 0;
}
