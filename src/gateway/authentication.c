/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/authentication.h"

#include "base/tsan.h"
#include "gateway/tokens.h"
#include "io/record.h"

/**
 * TcpAuthentication:
 *
 * A client of a gateway of which the application is asked who it is.
 *
 * A gateway gives it with its signal [signal@TcpTunnel.Gateway::authenticate]. The application answers with
 * [method@TcpTunnel.Authentication.accept] or [method@TcpTunnel.Authentication.reject], in the handler or later, when it
 * has asked a database for example, and from any thread. Only the first answer counts. If the last reference is dropped
 * without an answer, the client is rejected.
 *
 * The client waits meanwhile, for as long as [property@TcpTunnel.Gateway:connect-timeout] says, or 10 seconds if that is
 * 0. It may also leave, and the gateway may be closed. The methods that answer then return %FALSE, and nothing else
 * happens.
 *
 * Its methods may be called, and its properties read, from any thread. They all stay what they are.
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
 * Gets the bearer token that the client has shown, which the gateway does not know.
 *
 * It is a secret, or may be one with a typing error: do not log it. No property has it, so that it does not show where
 * properties are listed.
 *
 * Returns: (transfer full) (nullable): the token, or %NULL if the client has shown none
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
 * Gets where the client is: see [property@TcpTunnel.Authentication:client-address].
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
 * Gets where the proxy is by which the client comes: see [property@TcpTunnel.Authentication:proxy-address].
 *
 * Returns: (transfer none) (nullable): the address, or %NULL if the client comes by none that is trusted
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
 * Gets the path that the client asks for: see [property@TcpTunnel.Authentication:path].
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
 * @principal: the name of the principal that the client is
 * @expires: (nullable): until when that is so, or %NULL for as long as the session lasts
 *
 * Lets the client in.
 *
 * It is then a client of the principal @principal, as if it had shown a token of that name. The gateway need not know the
 * name from elsewhere. The name is not empty, has neither a colon nor control characters in it, and no space at its
 * beginning or end: with another one the client is rejected, and the log says so.
 *
 * At @expires the session is asked for a fresh credential, as when a token expires. The application is then asked again.
 * With %NULL it is asked again whenever the client opens another WebSocket. If @expires is over already, the client is
 * rejected.
 *
 * Returns: whether the answer counts: the client still waits, nobody has answered before, and the name may be one
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
 * @reason: (nullable): why, for the log of the gateway
 *
 * Does not let the client in: it is answered 401. The client does not see @reason.
 *
 * If the client has shown a token, this counts as a wrong one: the answers to an address from which many of them come are
 * delayed.
 *
 * Returns: whether the answer counts: the client still waits, and nobody has answered before
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

/* The application gets one of its own. What a language binding attaches to an object it frees with its interpreter's lock
 * held, for which no I/O thread may wait. */
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

/* On an I/O thread, which then hands it over and keeps no reference. */
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

/* Before the application sees it: FALSE if it is not to, since nobody waits any more. */
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

  /* Of other threads that have dropped it. */
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
   * The certificate of the client, if [property@TcpTunnel.Gateway:client-ca] has verified it; else %NULL. The gateway knows
   * none of the names in it.
   *
   * Since: 1.0
   */
  properties[PROP_CERTIFICATE] = g_param_spec_object ("certificate", NULL, NULL, G_TYPE_TLS_CERTIFICATE, flags);

  /**
   * TcpAuthentication:client-address:
   *
   * Where the client is. If it comes by a proxy of [property@TcpTunnel.Gateway:trusted-proxies], that is what the proxy says,
   * with port 0 if that names only an address. %NULL if it is not known, as behind a Unix socket.
   *
   * Since: 1.0
   */
  properties[PROP_CLIENT_ADDRESS] = g_param_spec_object ("client-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, flags);

  /**
   * TcpAuthentication:proxy-address:
   *
   * Where the proxy of [property@TcpTunnel.Gateway:trusted-proxies] is that has named the client; %NULL if none has.
   *
   * Since: 1.0
   */
  properties[PROP_PROXY_ADDRESS] = g_param_spec_object ("proxy-address", NULL, NULL, G_TYPE_SOCKET_ADDRESS, flags);

  /**
   * TcpAuthentication:path:
   *
   * The path of the URL that the client asks for, as it has sent it: with percent escapes. The gateway may not serve it:
   * that shows only to a client that was let in.
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
