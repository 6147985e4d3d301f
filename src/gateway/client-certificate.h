/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A certificate that a client has shown, and the result of its verification. It does not change, and may be used on all
 * threads. */
typedef struct
{
  gatomicrefcount refs;
  GTlsCertificate *certificate;
  GTlsDatabase *database; /* with which it was verified */
  char *problem; /* why it is not valid, for a message; NULL if it is valid */
  char **names;  /* the names in it; only if it is valid */
  gint64 expires; /* microseconds since 1970, G_MAXINT64 for never; only if it is valid */
} TcpClientCertificate;

TcpClientCertificate *tcp_client_certificate_ref (TcpClientCertificate *self);
void tcp_client_certificate_unref (TcpClientCertificate *self);
void tcp_client_certificate_verify (GTlsCertificate     *certificate,
                                    GTlsDatabase        *database,
                                    GCancellable        *cancellable,
                                    GAsyncReadyCallback  callback,
                                    gpointer             user_data);
TcpClientCertificate *tcp_client_certificate_verify_finish (GAsyncResult  *result,
                                                            GError       **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpClientCertificate, tcp_client_certificate_unref)

G_END_DECLS
