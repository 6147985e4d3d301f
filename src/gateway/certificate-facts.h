/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a certificate says, true or not. */
typedef struct
{
  char **names; /* hosts and e-mail addresses of its alternative names, in their order; or the one common name of its subject */
  gboolean is_for_clients; /* its key may be used for them */
} TcpCertificateFacts;

gboolean tcp_certificate_read_facts (const guint8        *der,
                                     gsize                length,
                                     TcpCertificateFacts *facts);

G_END_DECLS
