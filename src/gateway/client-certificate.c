/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/client-certificate.h"

#include "base/ref-count.h"
#include "gateway/certificate-facts.h"

TcpClientCertificate *
tcp_client_certificate_ref (TcpClientCertificate *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_client_certificate_unref (TcpClientCertificate *self)
{
  if (!tcp_ref_count_dec (&self->refs))
    return;

  g_object_unref (self->certificate);
  g_object_unref (self->database);
  g_strfreev (self->names);
  g_free (self->problem);
  g_free (self);
}

static const char *
describe_flags (GTlsCertificateFlags flags)
{
  if (flags & G_TLS_CERTIFICATE_EXPIRED)
    return "it has expired";
  if (flags & G_TLS_CERTIFICATE_NOT_ACTIVATED)
    return "it is not valid yet";
  if (flags & G_TLS_CERTIFICATE_REVOKED)
    return "it was revoked";
  if (flags & G_TLS_CERTIFICATE_UNKNOWN_CA)
    return "its issuer is none of those of client-ca";
  if (flags & G_TLS_CERTIFICATE_INSECURE)
    return "its algorithm is insecure";
  return "it is not valid";
}

static void
certificate_read_names (TcpClientCertificate *self)
{
  g_autoptr (GByteArray) der = NULL;
  TcpCertificateFacts facts;

  g_object_get (self->certificate, "certificate", &der, NULL);
  if (der == NULL || !tcp_certificate_read_facts (der->data, der->len, &facts))
    {
      self->problem = g_strdup ("it is malformed");
      return;
    }
  self->names = facts.names;
  if (!facts.is_for_clients)
    self->problem = g_strdup ("its key is not for clients (extended key usage)");
}

/* When the first certificate of the chain expires, as far as the client has sent it. G_MAXINT64 if none does. */
static gint64
get_expiry (GTlsCertificate *certificate)
{
  gint64 expires = G_MAXINT64;

  for (; certificate != NULL; certificate = g_tls_certificate_get_issuer (certificate))
    {
      g_autoptr (GDateTime) end = g_tls_certificate_get_not_valid_after (certificate);

      if (end != NULL)
        expires = MIN (expires, (g_date_time_to_unix (end) + 1) * G_TIME_SPAN_SECOND);
    }
  return expires;
}

static void
certificate_check (TcpClientCertificate *self,
                   GCancellable         *cancellable)
{
  g_autoptr (GError) error = NULL;
  GTlsCertificateFlags flags = g_tls_database_verify_chain (self->database, self->certificate,
                                                            G_TLS_DATABASE_PURPOSE_AUTHENTICATE_CLIENT, NULL, NULL,
                                                            G_TLS_DATABASE_VERIFY_NONE, cancellable, &error);

  self->expires = get_expiry (self->certificate);
  if (error != NULL)
    self->problem = g_strdup_printf ("it cannot be verified: %s", error->message);
  else if (flags != 0)
    self->problem = g_strdup (describe_flags (flags));
  else
    certificate_read_names (self);
}

static void
run (GTask        *task,
     gpointer      source,
     gpointer      data,
     GCancellable *cancellable)
{
  TcpClientCertificate *self = data;

  tcp_tsan_acquire (self);
  certificate_check (self, cancellable);
  tcp_tsan_release (self);
  g_task_return_pointer (task, tcp_client_certificate_ref (self), (GDestroyNotify) tcp_client_certificate_unref);
}

/* Runs in a thread of GTask's pool, since the database may block: it may read a file, or ask a server. */
void
tcp_client_certificate_verify (GTlsCertificate     *certificate,
                               GTlsDatabase        *database,
                               GCancellable        *cancellable,
                               GAsyncReadyCallback  callback,
                               gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  TcpClientCertificate *self = g_new0 (TcpClientCertificate, 1);

  g_atomic_ref_count_init (&self->refs);
  self->certificate = g_object_ref (certificate);
  self->database = g_object_ref (database);
  g_task_set_source_tag (task, tcp_client_certificate_verify);
  g_task_set_priority (task, G_PRIORITY_LOW);
  g_task_set_task_data (task, self, (GDestroyNotify) tcp_client_certificate_unref);
  tcp_tsan_release (self);
  g_task_run_in_thread (task, run);
}

/* Fails only if it was cancelled. */
TcpClientCertificate *
tcp_client_certificate_verify_finish (GAsyncResult  *result,
                                      GError       **error)
{
  TcpClientCertificate *self = g_task_propagate_pointer (G_TASK (result), error);

  if (self != NULL)
    tcp_tsan_acquire (self);
  return self;
}
