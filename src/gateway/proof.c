/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/proof.h"

void
tcp_proof_clear (TcpProof *self)
{
  g_clear_pointer (&self->certificate, tcp_client_certificate_unref);
  *self = (TcpProof) { .expires = G_MAXINT64 };
}

/* Replaces the proof with a copy of @proof. */
void
tcp_proof_set (TcpProof       *self,
               const TcpProof *proof)
{
  TcpClientCertificate *certificate = proof->certificate != NULL ? tcp_client_certificate_ref (proof->certificate) : NULL;

  tcp_proof_clear (self);
  *self = *proof;
  self->certificate = certificate;
}

static void
proof_set_expiry (TcpProof *self)
{
  self->expires = MIN (self->has_token ? self->token.expires : G_MAXINT64,
                       self->certificate != NULL ? self->certificate->expires : G_MAXINT64);
}

void
tcp_proof_set_token (TcpProof            *self,
                     const TcpCredential *token)
{
  self->has_token = TRUE;
  self->token = *token;
  proof_set_expiry (self);
}

void
tcp_proof_set_certificate (TcpProof             *self,
                           TcpClientCertificate *certificate)
{
  TcpClientCertificate *former = self->certificate;

  self->certificate = tcp_client_certificate_ref (certificate);
  g_clear_pointer (&former, tcp_client_certificate_unref);
  proof_set_expiry (self);
}

/* Whether the client was admitted by the application. */
gboolean
tcp_proof_is_granted (const TcpProof *self)
{
  return !self->has_token && self->certificate == NULL;
}

gboolean
tcp_proof_has_expired (const TcpProof *self)
{
  return self->expires <= g_get_real_time ();
}
