/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/authentication.h"

#include "base/tsan.h"
#include "gateway/tokens.h"
#include "io/record.h"

/**
 * TcpAuthentication:
 *
 * A client of a gateway that the application identifies and admits, or rejects.
 *
 * A gateway passes it to its signal [signal@TcpTunnel.Gateway::authenticate]. The application answers with
 * [method@TcpTunnel.Authentication.accept] or [method@TcpTunnel.Authentication.reject], from any thread, in the handler
 * or later, for example after a query to a database. Only the first answer counts. If the last reference is dropped
 * without an answer, the client is rejected.
 *
 * The client waits for an answer for the time that [property@TcpTunnel.Gateway:connect-timeout] sets, or 10 seconds if
 * that is 0. Meanwhile it may leave, and the gateway may be closed. The methods that answer then return %FALSE and have
 * no effect.
 *
 * Its methods may be called, and its properties read, from any thread. The properties do not change.
 *
 * ```c
 * // Asks a database, which blocks, in a thread of a GThreadPool.
 * static void
 * decide (gpointer data, gpointer user_data)
 * {
 *   g_autoptr (TcpAuthentication) authentication = data;
 *   g_autofree char *token = tcp_authentication_dup_token (authentication);
 *   g_autofree char *user = token != NULL ? find_user (user_data, token) : NULL;
 *
 *   if (user != NULL)
 *     tcp_authentication_accept (authentication, user, NULL);
 * }
 *
 * static void
 * on_authenticate (TcpGateway *gateway, TcpAuthentication *authentication, GThreadPool *pool)
 * {
 *   g_thread_pool_push (pool, g_object_ref (authentication), NULL);
 * }
 * ```
 *
 * Since: 1.0
 */

struct _TcpAuthentication
{
  GObject parent_instance;
  TcpQuestion *question;
  char *token;
  char *path;
  GSocketAddress *client_address;
  GSocketAddress *proxy_address;
  GTlsCertificate *certificate;
};

struct _TcpAuthenticationClass
{
  GObjectClass parent_class;
};

enum
{
  PROP_0,
  PROP_CERTIFICATE,
  PROP_CLIENT_ADDRESS,
  PROP_PROXY_ADDRESS,
  PROP_PATH,
  N_PROPERTIES
};

static GParamSpec *properties[N_PROPERTIES];

G_DEFINE_FINAL_TYPE (TcpAuthentication, tcp_authentication, G_TYPE_OBJECT)

/**
 * tcp_authentication_dup_token:
 * @self: an authentication
 *
 * Gets the bearer token that the client has sent, which is not one of the tokens of the gateway.
 *
 * The token is a secret, or may be one with a typing error: do not log it. It is not a property, so that it does not
 * appear where properties are listed.
 *
 * Returns: (transfer full) (nullable): the token, or %NULL if the client has sent none
 *
 * Since: 1.0
 */
char *
tcp_authentication_dup_token (TcpAuthentication *self)
{
  char *token;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), NULL);

  tcp_tsan_acquire (self);
  token = g_strdup (self->token);
  tcp_tsan_release (self);
  return token;
}

/**
 * tcp_authentication_get_certificate:
 * @self: an authentication
 *
 * Gets the certificate of the client: see [property@TcpTunnel.Authentication:certificate].
 *
 * Returns: (transfer none) (nullable): the certificate, or %NULL if there is none
 *
 * Since: 1.0
 */
GTlsCertificate *
tcp_authentication_get_certificate (TcpAuthentication *self)
{
  GTlsCertificate *certificate;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), NULL);

  tcp_tsan_acquire (self);
  certificate = self->certificate;
  tcp_tsan_release (self);
  return certificate;
}

/**
 * tcp_authentication_get_client_address:
 * @self: an authentication
 *
 * Gets the address of the client: see [property@TcpTunnel.Authentication:client-address].
 *
 * Returns: (transfer none) (nullable): the address, or %NULL if it is not known
 *
 * Since: 1.0
 */
GSocketAddress *
tcp_authentication_get_client_address (TcpAuthentication *self)
{
  GSocketAddress *address;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), NULL);

  tcp_tsan_acquire (self);
  address = self->client_address;
  tcp_tsan_release (self);
  return address;
}

/**
 * tcp_authentication_get_proxy_address:
 * @self: an authentication
 *
 * Gets the address of the proxy through which the client connects: see
 * [property@TcpTunnel.Authentication:proxy-address].
 *
 * Returns: (transfer none) (nullable): the address, or %NULL if no trusted proxy has named the client
 *
 * Since: 1.0
 */
GSocketAddress *
tcp_authentication_get_proxy_address (TcpAuthentication *self)
{
  GSocketAddress *address;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), NULL);

  tcp_tsan_acquire (self);
  address = self->proxy_address;
  tcp_tsan_release (self);
  return address;
}

/**
 * tcp_authentication_dup_path:
 * @self: an authentication
 *
 * Gets the path that the client requests: see [property@TcpTunnel.Authentication:path].
 *
 * Returns: (transfer full): the path
 *
 * Since: 1.0
 */
char *
tcp_authentication_dup_path (TcpAuthentication *self)
{
  char *path;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), NULL);

  tcp_tsan_acquire (self);
  path = g_strdup (self->path);
  tcp_tsan_release (self);
  return path;
}

/**
 * tcp_authentication_accept:
 * @self: an authentication
 * @principal: the name of the principal to which the client belongs
 * @expires: (nullable): when this ends, or %NULL for the end of the session
 *
 * Admits the client.
 *
 * It is then a client of the principal @principal, as if it had sent a token with that name. The gateway need not have
 * the name in its settings. The name must not be empty, must not contain a colon or control characters, and must not
 * begin or end with a space: with any other name the client is rejected, and the reason is logged.
 *
 * At @expires the gateway requires a new credential from the client, as when a token expires. The application is then
 * asked again. With %NULL it is asked again whenever the client opens another WebSocket. If @expires is in the past,
 * the client is rejected.
 *
 * Returns: whether the answer counts: the client still waits, there was no answer before, and the name is valid
 *
 * Since: 1.0
 */
gboolean
tcp_authentication_accept (TcpAuthentication *self,
                           const char        *principal,
                           GDateTime         *expires)
{
  gboolean counts;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), FALSE);
  g_return_val_if_fail (principal != NULL, FALSE);

  tcp_tsan_acquire (self);
  if (tcp_tokens_is_name (principal))
    {
      gint64 until = expires == NULL ? G_MAXINT64 : g_date_time_to_unix (expires) * G_TIME_SPAN_SECOND +
                                                      g_date_time_get_microsecond (expires);

      counts = tcp_question_accept (self->question, principal, until);
    }
  else
    {
      tcp_question_reject (self->question, "the name of the principal that the application gave is not valid");
      counts = FALSE;
    }
  tcp_tsan_release (self);
  return counts;
}

/**
 * tcp_authentication_reject:
 * @self: an authentication
 * @reason: (nullable): the reason, for the log of the gateway
 *
 * Rejects the client: the answer is 401. The client does not receive @reason.
 *
 * If the client has sent a token, this counts as a wrong token: the gateway delays its answers to an address from which
 * many wrong tokens come.
 *
 * Returns: whether the answer counts: the client still waits, and there was no answer before
 *
 * Since: 1.0
 */
gboolean
tcp_authentication_reject (TcpAuthentication *self,
                           const char        *reason)
{
  gboolean counts;

  g_return_val_if_fail (TCP_IS_AUTHENTICATION (self), FALSE);

  tcp_tsan_acquire (self);
  counts = tcp_question_reject (self->question, reason);
  tcp_tsan_release (self);
  return counts;
}

/* The application gets a copy. A language binding frees the data that it attaches to an object while it holds the lock
 * of its interpreter, and no I/O thread may wait for that lock. */
static GTlsCertificate *
copy_certificate (GTlsCertificate *original)
{
  GTlsCertificate *issuer = g_tls_certificate_get_issuer (original);
  g_autoptr (GTlsCertificate) issuer_copy = issuer != NULL ? copy_certificate (issuer) : NULL;
  g_autoptr (GByteArray) der = NULL;

  g_object_get (original, "certificate", &der, NULL);
  return g_initable_new (g_tls_backend_get_certificate_type (g_tls_backend_get_default ()), NULL, NULL,
                         "certificate", der, "issuer", issuer_copy, NULL);
}

/* Called on an I/O thread, which passes the object on and keeps no reference. */
TcpAuthentication *
tcp_authentication_new (TcpQuestion                  *question,
                        const TcpAuthenticationFacts *facts)
{
  TcpAuthentication *self = g_object_new (TCP_TYPE_AUTHENTICATION, NULL);

  self->question = tcp_question_ref (question);
  self->token = g_strdup (facts->token);
  self->path = g_strdup (facts->path);
  if (facts->address != NULL)
    self->client_address = g_inet_socket_address_new_from_string (facts->address, facts->port);
  self->proxy_address = tcp_record_copy_address (facts->proxy);
  if (facts->certificate != NULL)
    self->certificate = copy_certificate (facts->certificate);
  tcp_tsan_release (self);
  return self;
}

/* Called before the object is passed to the application. FALSE if it must not be, since the client does not wait any
 * more. */
gboolean
tcp_authentication_put (TcpAuthentication *self)
{
  gboolean is_open;

  tcp_tsan_acquire (self);
  is_open = tcp_question_put (self->question);
  tcp_tsan_release (self);
  return is_open;
}

static void
tcp_authentication_get_property (GObject    *object,
                                 guint       property_id,
                                 GValue     *value,
                                 GParamSpec *pspec)
{
  TcpAuthentication *self = TCP_AUTHENTICATION (object);

  tcp_tsan_acquire (self);
  switch (property_id)
    {
    case PROP_CERTIFICATE:
      g_value_set_object (value, self->certificate);
      break;
    case PROP_CLIENT_ADDRESS:
      g_value_set_object (value, self->client_address);
      break;
    case PROP_PROXY_ADDRESS:
      g_value_set_object (value, self->proxy_address);
      break;
    case PROP_PATH:
      g_value_set_string (value, self->path);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, property_id, pspec);
    }
  tcp_tsan_release (self);
}

static void
tcp_authentication_finalize (GObject *object)
{
  TcpAuthentication *self = TCP_AUTHENTICATION (object);

  /* For writes of other threads that have dropped their references. */
  tcp_tsan_acquire (self);
  tcp_question_reject (self->question, "the application did not decide");
  tcp_question_unref (self->question);
  g_free (self->token);
  g_free (self->path);
  g_clear_object (&self->client_address);
  g_clear_object (&self->proxy_address);
  g_clear_object (&self->certificate);

  G_OBJECT_CLASS (tcp_authentication_parent_class)->finalize (object);
}

static void
tcp_authentication_class_init (TcpAuthenticationClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = tcp_authentication_get_property;
  object_class->finalize = tcp_authentication_finalize;

  /**
   * TcpAuthentication:certificate:
   *
   * The certificate of the client, if [property@TcpTunnel.Gateway:client-ca] has verified it; otherwise %NULL. None of
   * the names in it is a principal of the gateway.
   *
   * Since: 1.0
   */
  properties[PROP_CERTIFICATE] = g_param_spec_object ("certificate", NULL, NULL, G_TYPE_TLS_CERTIFICATE, flags);

  /**
   * TcpAuthentication:client-address:
   *
   * The address of the client. If the client connects through a proxy of [property@TcpTunnel.Gateway:trusted-proxies],
   * this is the address that the proxy reports, with port 0 if the proxy reports no port. %NULL if it is not known, for
   * example behind a Unix socket.
   *
   * Since: 1.0
   */
  properties[PROP_CLIENT_ADDRESS] = g_param_spec_object ("client-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, flags);

  /**
   * TcpAuthentication:proxy-address:
   *
   * The address of the proxy of [property@TcpTunnel.Gateway:trusted-proxies] that has named the client; %NULL if none
   * has.
   *
   * Since: 1.0
   */
  properties[PROP_PROXY_ADDRESS] = g_param_spec_object ("proxy-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, flags);

  /**
   * TcpAuthentication:path:
   *
   * The path of the URL that the client requests, as it was sent, with percent escapes. The gateway may not serve this
   * path: only a client that is admitted receives that answer.
   *
   * Since: 1.0
   */
  properties[PROP_PATH] = g_param_spec_string ("path", NULL, NULL, NULL, flags);

  g_object_class_install_properties (object_class, N_PROPERTIES, properties);
}

static void
tcp_authentication_init (TcpAuthentication *self)
{
}
