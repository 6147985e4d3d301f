/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/client-certificate.h"
#include "gateway/tokens.h"

G_BEGIN_DECLS

/* The credentials with which a client was admitted. All of them must remain valid. */
typedef struct
{
  gboolean has_token;
  TcpCredential token;
  TcpClientCertificate *certificate; /* nullable */
  gint64 expires; /* when the first of them expires, or as the application set it: microseconds since 1970, G_MAXINT64
                   * for never */
} TcpProof;

void tcp_proof_clear (TcpProof *self);
void tcp_proof_set (TcpProof       *self,
                    const TcpProof *proof);
void tcp_proof_set_token (TcpProof            *self,
                          const TcpCredential *token);
void tcp_proof_set_certificate (TcpProof             *self,
                                TcpClientCertificate *certificate);
gboolean tcp_proof_is_granted (const TcpProof *self);
gboolean tcp_proof_has_expired (const TcpProof *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpProof, tcp_proof_clear)

G_END_DECLS
