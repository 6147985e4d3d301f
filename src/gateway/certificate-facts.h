/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The contents of a certificate, which are not verified. */
typedef struct
{
  char **names; /* hosts and e-mail addresses of its alternative names, in their order; or the one common name of its
                 * subject */
  gboolean is_for_clients; /* its key may be used by clients */
} TcpCertificateFacts;

gboolean tcp_certificate_read_facts (const guint8        *der,
                                     gsize                length,
                                     TcpCertificateFacts *facts);

G_END_DECLS
