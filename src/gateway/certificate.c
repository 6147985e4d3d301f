/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/certificate.h"

#include <errno.h>
#include <sys/socket.h>
#include <tcptunnel/tcptunnel.h>
#include "base/i18n.h"
#include "base/text.h"
#include "io/descriptors.h"

/* The number of descriptors that it uses: of two sockets, a context and, for each end, a cancellable. */
#define TRIAL_DESCRIPTORS 5

/* A TLS handshake within the process. GLib does not compare a private key with its certificate; a client does. */
typedef struct
{
  GSocket *sockets[2];
  GIOStream *tls[2];
  guint running;
  GError *error; /* the first one */
} Trial;

static void
trial_free (gpointer data)
{
  Trial *self = data;

  for (guint i = 0; i < 2; i++)
    {
      g_clear_object (&self->tls[i]);
      g_clear_object (&self->sockets[i]);
    }
  g_clear_error (&self->error);
  g_free (self);
}

static gboolean
on_accept_certificate (GTlsConnection       *connection,
                       GTlsCertificate      *certificate,
                       GTlsCertificateFlags  errors,
                       gpointer              user_data)
{
  return TRUE;
}

static void
on_handshake (GObject      *object,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Trial *self = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;

  if (!g_tls_connection_handshake_finish (G_TLS_CONNECTION (object), result, &error))
    {
      if (self->error == NULL)
        self->error = g_steal_pointer (&error);
      /* The other end may still wait for this one. */
      for (guint i = 0; i < 2; i++)
        g_socket_shutdown (self->sockets[i], TRUE, TRUE, NULL);
    }

  if (--self->running > 0)
    return;
  if (self->error == NULL)
    g_task_return_boolean (task, TRUE);
  else if (g_error_matches (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_task_return_error (task, g_steal_pointer (&self->error));
  else
    g_task_return_new_error (task, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS,
                             _("the certificate cannot be used, probably because the private key does not match it: %s"),
                             self->error->message);
}

/* GnuTLS would crash without a private key. */
static gboolean
has_private_key (GTlsCertificate *certificate)
{
  g_autoptr (GByteArray) key = NULL;
  g_autofree char *uri = NULL;

  g_object_get (certificate, "private-key", &key, "private-key-pkcs11-uri", &uri, NULL);
  return key != NULL || uri != NULL;
}

static gboolean
trial_prepare (Trial            *self,
               GTlsCertificate  *certificate,
               GError          **error)
{
  GTlsBackend *backend = g_tls_backend_get_default ();
  GType types[2] = { g_tls_backend_get_server_connection_type (backend), g_tls_backend_get_client_connection_type (backend) };
  int fds[2];

  if (!has_private_key (certificate))
    {
      g_set_error_literal (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_TLS, _("the certificate has no private key"));
      return FALSE;
    }
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    {
      int code = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), _("cannot create a pair of sockets: %s"), g_strerror (code));
      return FALSE;
    }

  for (guint i = 0; i < 2; i++)
    {
      self->sockets[i] = g_socket_new_from_fd (fds[i], NULL);
      g_assert (self->sockets[i] != NULL);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GSocketConnection) connection = g_socket_connection_factory_create_connection (self->sockets[i]);

      self->tls[i] = g_initable_new (types[i], NULL, error, "base-io-stream", connection, "database", NULL, NULL);
      if (self->tls[i] == NULL)
        return FALSE;
    }
  g_tls_connection_set_certificate (G_TLS_CONNECTION (self->tls[0]), certificate);
  g_signal_connect (self->tls[1], "accept-certificate", G_CALLBACK (on_accept_certificate), NULL);
  return TRUE;
}

/* Fails with TCP_TUNNEL_ERROR_TLS if the private key does not belong to the certificate, or if no client could connect
 * for another reason. */
void
tcp_certificate_try (GTlsCertificate     *certificate,
                     GCancellable        *cancellable,
                     GAsyncReadyCallback  callback,
                     gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Trial *self = g_new0 (Trial, 1);
  GError *error = NULL;

  g_task_set_source_tag (task, tcp_certificate_try);
  g_task_set_task_data (task, self, trial_free);
  if (!trial_prepare (self, certificate, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  self->running = 2;
  for (guint i = 0; i < 2; i++)
    g_tls_connection_handshake_async (G_TLS_CONNECTION (self->tls[i]), G_PRIORITY_DEFAULT, cancellable, on_handshake,
                                      g_object_ref (task));
}

gboolean
tcp_certificate_try_finish (GAsyncResult  *result,
                            GError       **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
on_tried (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* Blocks until the handshake is over. */
gboolean
tcp_certificate_try_sync (GTlsCertificate  *certificate,
                          GCancellable     *cancellable,
                          GError          **error)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (GAsyncResult) result = NULL;

  /* GLib aborts the program if the context cannot have a descriptor. */
  if (!tcp_descriptors_try (TRIAL_DESCRIPTORS, error))
    return FALSE;
  context = g_main_context_new ();
  g_main_context_push_thread_default (context);
  tcp_certificate_try (certificate, cancellable, on_tried, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  return tcp_certificate_try_finish (result, error);
}

/* Warns about those problems, among all that make clients reject a certificate, that can be found here. */
void
tcp_certificate_warn (GTlsCertificate *certificate,
                      GDateTime       *now,
                      TcpLog          *log)
{
  g_autoptr (GDateTime) begin = g_tls_certificate_get_not_valid_before (certificate);
  g_autoptr (GDateTime) end = g_tls_certificate_get_not_valid_after (certificate);

  if (end != NULL && g_date_time_compare (end, now) < 0)
    {
      g_autofree char *text = tcp_text_from_date (end);

      tcp_log_warn (log, "the certificate expired on %s; clients refuse it", text);
    }
  if (begin != NULL && g_date_time_compare (begin, now) > 0)
    {
      g_autofree char *text = tcp_text_from_date (begin);

      tcp_log_warn (log, "the certificate is not valid before %s; clients refuse it until then", text);
    }
}
