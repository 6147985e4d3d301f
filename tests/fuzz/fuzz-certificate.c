/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "gateway/certificate-facts.h"

/* The certificate of a client. */

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  /* A sanitizer detects any access beyond the end of this copy. */
  g_autofree guint8 *copy = g_memdup2 (data, size);
  TcpCertificateFacts facts;

  if (!tcp_certificate_read_facts (copy, size, &facts))
    return 0;

  for (char **name = facts.names; *name != NULL; name++)
    {
      g_assert_cmpstr (*name, !=, "");
      g_assert_true (g_utf8_validate (*name, -1, NULL));
    }
  g_strfreev (facts.names);
  return 0;
}
