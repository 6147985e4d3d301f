/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cli/check-probe.h"

#include <glib/gi18n.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"

#define MAX_NAMES 5 /* of a certificate, in one line */

struct _Probe
{
  GUri *uri;
  gboolean secure;
  char *host;
  char *identity; /* for TLS: the host of the URL, even if another one is connected to */
  guint port;
  GTlsDatabase *database; /* NULL for that of the system */
  guint timeout;          /* for a step, in ms */

  GCancellable *cancellable; /* for the current step */
  gboolean timed_out;
  gboolean stopped;
  guint pending; /* the number of calls in progress */
  GAsyncResult *result; /* of the last call, in steps with a single one */

  char *proxy; /* the URL of the first proxy, NULL if there is none */
  char *proxy_display;
  GError *proxy_error; /* why the proxy is not known */
  GPtrArray *addresses; /* of GSocketAddress */
  GIOStream *stream;    /* of the first connected address */
  gint64 connecting_took;
  GTlsCertificateFlags refused_for;
};

/* The tunnel has checked that it has the form HOST:PORT. */
static void
probe_divert (Probe      *self,
              const char *connect_to)
{
  const char *colon = strrchr (connect_to, ':');
  gboolean brackets = *connect_to == '[';

  if (colon == NULL)
    return;
  g_free (self->host);
  self->host = g_strndup (connect_to + brackets, colon - connect_to - 2 * brackets);
  self->port = atoi (colon + 1);
}

Probe *
probe_new (GUri         *uri,
           const char   *connect_to,
           GTlsDatabase *database,
           guint         timeout)
{
  Probe *self = g_new0 (Probe, 1);

  self->uri = g_uri_ref (uri);
  self->secure = strcmp (g_uri_get_scheme (uri), "wss") == 0;
  self->host = g_hostname_to_ascii (g_uri_get_host (uri));
  if (self->host == NULL)
    self->host = g_strdup (g_uri_get_host (uri));
  self->port = g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : self->secure ? 443 : 80;
  self->identity = g_strndup (self->host, strcspn (self->host, "%"));
  if (connect_to != NULL)
    probe_divert (self, connect_to);
  g_set_object (&self->database, database);
  self->timeout = timeout;
  self->addresses = g_ptr_array_new_with_free_func (g_object_unref);
  return self;
}

void
probe_free (Probe *self)
{
  if (self->stream != NULL)
    g_io_stream_close (self->stream, NULL, NULL);
  g_clear_object (&self->stream);
  g_ptr_array_unref (self->addresses);
  g_clear_error (&self->proxy_error);
  g_free (self->proxy);
  g_free (self->proxy_display);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->result);
  g_clear_object (&self->database);
  g_free (self->host);
  g_free (self->identity);
  g_uri_unref (self->uri);
  g_free (self);
}

/* Ends the current step, and the following ones. */
void
probe_stop (Probe *self)
{
  self->stopped = TRUE;
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
}

static gboolean
on_timeout (gpointer data)
{
  Probe *self = data;

  self->timed_out = TRUE;
  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_CONTINUE;
}

static void
probe_begin (Probe *self)
{
  g_clear_object (&self->cancellable);
  self->cancellable = g_cancellable_new ();
  self->timed_out = FALSE;
  if (self->stopped)
    g_cancellable_cancel (self->cancellable);
}

/* Waits until all calls of the step have ended. */
static void
probe_wait (Probe *self)
{
  guint timer = self->timeout > 0 ? g_timeout_add (self->timeout, on_timeout, self) : 0;

  while (self->pending > 0)
    g_main_context_iteration (NULL, TRUE);
  g_clear_handle_id (&timer, g_source_remove);
}

static void
on_done (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  Probe *self = data;

  g_set_object (&self->result, result);
  self->pending--;
}

/* Waits for a step that is a single call, which ends with on_done (). */
static GAsyncResult *
probe_await (Probe *self)
{
  self->pending = 1;
  probe_wait (self);
  return self->result;
}

static char *
probe_describe_error (Probe        *self,
                      const GError *error)
{
  g_autofree char *time = format_time (self->timeout * G_TIME_SPAN_MILLISECOND);

  if (self->timed_out && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return g_strdup_printf (_("no answer within %s"), time);
  return format_foreign (error->message);
}

static void
set_time (Finding *finding,
          gint64   took)
{
  json_object_set_int_member (finding->values, "time_us", took);
}

/* Proxy */

static char *
join_proxy (GUri *uri)
{
  return g_uri_join (G_URI_FLAGS_NONE, g_uri_get_scheme (uri), NULL, g_uri_get_host (uri), g_uri_get_port (uri), "", NULL,
                     NULL);
}

/**
 * probe_find_proxy:
 *
 * Must be called first, since the result determines whether the name is resolved here. Proxies are configured for http
 * and https.
 */
void
probe_find_proxy (Probe *self)
{
  g_autofree char *host = strchr (self->host, ':') != NULL ? g_strdup_printf ("[%s]", self->host) : g_strdup (self->host);
  g_autofree char *uri = g_strdup_printf ("%s://%s:%u", self->secure ? "https" : "http", host, self->port);
  GProxyResolver *resolver = g_proxy_resolver_get_default ();
  g_auto (GStrv) proxies = NULL;
  g_autoptr (GUri) parsed = NULL;

  probe_begin (self);
  g_proxy_resolver_lookup_async (resolver, uri, self->cancellable, on_done, self);
  proxies = g_proxy_resolver_lookup_finish (resolver, probe_await (self), &self->proxy_error);
  if (proxies != NULL && proxies[0] != NULL && !g_str_has_prefix (proxies[0], "direct"))
    self->proxy = g_strdup (proxies[0]);
  if (self->proxy == NULL)
    return;
  parsed = g_uri_parse (self->proxy, G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED, NULL);
  /* A URL that cannot be parsed may contain a password. */
  self->proxy_display = parsed != NULL ? join_proxy (parsed) : g_strdup (_("a proxy whose URL is not valid"));
}

/* The environment variable with the proxy for this URL, of which the lower-case one has precedence; NULL if none is
 * set. */
static const char *
probe_get_variable (Probe *self)
{
  const char *const secure[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL };
  const char *const plain[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL };

  for (const char *const *name = self->secure ? secure : plain; *name != NULL; name++)
    if (g_getenv (*name) != NULL && *g_getenv (*name) != '\0')
      return *name;
  return NULL;
}

/* Where the proxy is configured: in the variable, if that has the same host and port. */
static char *
probe_find_source (Probe *self)
{
  const char *variable = probe_get_variable (self);
  const char *host = strstr (self->proxy_display, "://");

  if (variable != NULL && host != NULL && strstr (g_getenv (variable), host + strlen ("://")) != NULL)
    return g_strdup_printf (_("the environment variable %s"), variable);
  return g_strdup (_("the settings of the desktop"));
}

static void
probe_connect_by_proxy (Probe   *self,
                        Finding *finding)
{
  g_autofree char *source = probe_find_source (self);
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnectable) address = NULL;
  g_autoptr (GError) error = NULL;
  GSocketConnection *connection;
  gint64 begin = g_get_monotonic_time ();

  json_object_set_string_member (finding->values, "proxy", self->proxy_display);
  json_object_set_string_member (finding->values, "source", source);
  address = g_object_new (G_TYPE_NETWORK_ADDRESS, "scheme", self->secure ? "https" : "http", "hostname", self->host,
                          "port", self->port, NULL);
  probe_begin (self);
  g_socket_client_connect_async (client, address, self->cancellable, on_done, self);
  connection = g_socket_client_connect_finish (client, probe_await (self), &error);
  self->connecting_took = g_get_monotonic_time () - begin;

  if (connection != NULL)
    {
      self->stream = G_IO_STREAM (connection);
      finding_set (finding, FINDING_OK, _("%s, from %s"), self->proxy_display, source);
    }
  else
    {
      g_autofree char *reason = probe_describe_error (self, error);

      finding_set (finding, FINDING_FAILED, _("%s, from %s: %s"), self->proxy_display, source, reason);
    }
}

/**
 * probe_proxy:
 *
 * Lets the proxy connect, if there is one.
 */
Finding *
probe_proxy (Probe *self)
{
  Finding *finding = finding_new (STEP_PROXY);
  const char *variable = probe_get_variable (self);

  if (self->proxy != NULL)
    {
      probe_connect_by_proxy (self, finding);
      return finding;
    }
  json_object_set_null_member (finding->values, "proxy");
  json_object_set_null_member (finding->values, "source");
  if (self->proxy_error != NULL)
    {
      g_autofree char *reason = probe_describe_error (self, self->proxy_error);

      finding_set (finding, FINDING_FAILED, _("cannot find out which one to use: %s"), reason);
    }
  else if (variable != NULL)
    {
      finding_set (finding, FINDING_OK, _("none for this host, although %s is set"), variable);
    }
  else
    {
      finding_set (finding, FINDING_OK, _("none"));
    }
  return finding;
}

/* Name */

/* Returns the addresses as a list in one line. */
static char *
probe_take_addresses (Probe   *self,
                      Finding *finding,
                      GList   *found)
{
  GString *line = g_string_new (NULL);
  JsonArray *array = json_array_new ();

  for (GList *l = found; l != NULL; l = l->next)
    {
      g_autofree char *text = g_inet_address_to_string (l->data);

      g_ptr_array_add (self->addresses, g_inet_socket_address_new (l->data, self->port));
      json_array_add_string_element (array, text);
      g_string_append_printf (line, "%s%s", line->len > 0 ? ", " : "", text);
    }
  json_object_set_array_member (finding->values, "addresses", array);
  return g_string_free (line, FALSE);
}

static void
probe_resolve (Probe   *self,
               Finding *finding)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();
  GList *found;
  gint64 took;
  g_autofree char *time = NULL;
  g_autofree char *list = NULL;

  probe_begin (self);
  g_resolver_lookup_by_name_async (resolver, self->host, self->cancellable, on_done, self);
  found = g_resolver_lookup_by_name_finish (resolver, probe_await (self), &error);
  took = g_get_monotonic_time () - begin;
  list = probe_take_addresses (self, finding, found);
  set_time (finding, took);
  if (found == NULL)
    {
      g_autofree char *reason = probe_describe_error (self, error);

      finding_set (finding, FINDING_FAILED, "%s", reason);
      return;
    }
  time = format_short_time (took);
  finding_set (finding, FINDING_OK, "%s (%s)", list, time);
  g_resolver_free_addresses (found);
}

Finding *
probe_name (Probe *self)
{
  Finding *finding = finding_new (STEP_NAME);
  GSocketAddress *literal = NULL;

  json_object_set_string_member (finding->values, "host", self->host);
  if (self->proxy != NULL)
    {
      finding_set (finding, FINDING_SKIPPED, _("left to the proxy"));
      return finding;
    }
  literal = g_inet_socket_address_new_from_string (self->host, self->port);
  if (literal == NULL)
    {
      probe_resolve (self, finding);
      return finding;
    }
  g_ptr_array_add (self->addresses, literal);
  finding_set (finding, FINDING_OK, _("%s is an address"), self->host);
  return finding;
}

/* TCP */

typedef struct
{
  Probe *probe;
  GSocketAddress *address;
  GSocketConnection *connection;
  gint64 begin;
  gint64 took;
  GError *error;
} Attempt;

static void
attempt_free (gpointer data)
{
  Attempt *attempt = data;

  if (attempt->connection != NULL)
    g_io_stream_close (G_IO_STREAM (attempt->connection), NULL, NULL);
  g_clear_object (&attempt->connection);
  g_clear_error (&attempt->error);
  g_free (attempt);
}

static void
on_connected (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  Attempt *attempt = data;

  g_socket_connection_connect_finish (G_SOCKET_CONNECTION (object), result, &attempt->error);
  attempt->took = g_get_monotonic_time () - attempt->begin;
  attempt->probe->pending--;
}

static Attempt *
probe_attempt (Probe          *self,
               GSocketAddress *address)
{
  Attempt *attempt = g_new0 (Attempt, 1);
  g_autoptr (GSocket) socket = NULL;

  attempt->probe = self;
  attempt->address = address;
  attempt->begin = g_get_monotonic_time ();
  socket = g_socket_new (g_socket_address_get_family (address), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &attempt->error);
  if (socket == NULL)
    return attempt;
  attempt->connection = g_socket_connection_factory_create_connection (socket);
  self->pending++;
  g_socket_connection_connect_async (attempt->connection, address, self->cancellable, on_connected, attempt);
  return attempt;
}

static char *
attempt_describe (Attempt   *attempt,
                  JsonArray *values)
{
  g_autofree char *address = format_address (attempt->address);
  g_autofree char *time = format_short_time (attempt->took);
  g_autofree char *reason = NULL;
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "address", address);
  json_object_set_boolean_member (object, "connected", attempt->error == NULL);
  json_object_set_int_member (object, "time_us", attempt->took);
  json_array_add_object_element (values, object);
  if (attempt->error == NULL)
    {
      json_object_set_null_member (object, "error");
      return g_strdup_printf (_("%s connected in %s"), address, time);
    }
  reason = probe_describe_error (attempt->probe, attempt->error);
  json_object_set_string_member (object, "error", reason);
  return g_strdup_printf ("%s: %s", address, reason);
}

static void
probe_connect (Probe   *self,
               Finding *finding)
{
  g_autoptr (GPtrArray) attempts = g_ptr_array_new_with_free_func (attempt_free);
  JsonArray *values = json_array_new ();
  guint connected = 0;

  probe_begin (self);
  for (guint i = 0; i < self->addresses->len; i++)
    g_ptr_array_add (attempts, probe_attempt (self, self->addresses->pdata[i]));
  probe_wait (self);

  for (guint i = 0; i < attempts->len; i++)
    {
      Attempt *attempt = attempts->pdata[i];
      g_autofree char *text = attempt_describe (attempt, values);

      finding_add_note (finding, "%s", text);
      if (attempt->error != NULL)
        continue;
      connected++;
      if (self->stream == NULL)
        self->stream = G_IO_STREAM (g_steal_pointer (&attempt->connection));
    }
  json_object_set_array_member (finding->values, "attempts", values);
  if (attempts->len == 1)
    {
      finding_set (finding, connected > 0 ? FINDING_OK : FINDING_FAILED, "%s", (char *) finding->notes->pdata[0]);
      g_ptr_array_set_size (finding->notes, 0);
      return;
    }
  finding_set (finding, connected > 0 ? FINDING_OK : FINDING_FAILED,
               ngettext ("%u of %u address connected", "%u of %u addresses connected", attempts->len), connected,
               attempts->len);
}

/**
 * probe_tcp:
 *
 * Tries all addresses at once.
 */
Finding *
probe_tcp (Probe *self)
{
  Finding *finding = finding_new (STEP_TCP);
  g_autofree char *time = NULL;

  if (self->proxy == NULL)
    {
      probe_connect (self, finding);
    }
  else
    {
      time = format_short_time (self->connecting_took);
      set_time (finding, self->connecting_took);
      finding_set (finding, FINDING_OK, _("%s:%u connected through the proxy in %s"), self->host, self->port, time);
    }
  /* The tunnel sends the rest. */
  if (self->stream != NULL && !self->secure)
    {
      g_io_stream_close (self->stream, NULL, NULL);
      g_clear_object (&self->stream);
    }
  return finding;
}

/* TLS */

/* No data is sent over the connection, so the handshake may continue to find out more. */
static gboolean
on_accept_certificate (GTlsConnection       *tls,
                       GTlsCertificate      *certificate,
                       GTlsCertificateFlags  errors,
                       gpointer              data)
{
  Probe *self = data;

  self->refused_for = errors;
  return TRUE;
}

/* An address is verified as an address. */
static GSocketConnectable *
probe_make_identity (Probe *self)
{
  GSocketAddress *literal = g_inet_socket_address_new_from_string (self->identity, self->port);

  return literal != NULL ? G_SOCKET_CONNECTABLE (literal) : g_network_address_new (self->identity, self->port);
}

static const char *
name_version (GTlsProtocolVersion version)
{
  switch (version)
    {
    case G_TLS_PROTOCOL_VERSION_TLS_1_0: return "TLS 1.0";
    case G_TLS_PROTOCOL_VERSION_TLS_1_1: return "TLS 1.1";
    case G_TLS_PROTOCOL_VERSION_TLS_1_2: return "TLS 1.2";
    case G_TLS_PROTOCOL_VERSION_TLS_1_3: return "TLS 1.3";
    default: return "TLS";
    }
}

/* Lists the hosts that a certificate is for. */
static GPtrArray *
list_hosts (GTlsCertificate *certificate)
{
  GPtrArray *hosts = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) names = g_tls_certificate_get_dns_names (certificate);
  g_autoptr (GPtrArray) addresses = g_tls_certificate_get_ip_addresses (certificate);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      gsize length;
      const char *data = g_bytes_get_data (names->pdata[i], &length);
      g_autofree char *name = g_strndup (data, length);

      g_ptr_array_add (hosts, format_foreign (name));
    }
  for (guint i = 0; addresses != NULL && i < addresses->len; i++)
    g_ptr_array_add (hosts, g_inet_address_to_string (addresses->pdata[i]));
  return hosts;
}

static void
add_hosts (Finding    *finding,
           JsonObject *object,
           GPtrArray  *hosts)
{
  JsonArray *array = json_array_new ();
  g_autoptr (GString) line = g_string_new (NULL);

  for (guint i = 0; i < hosts->len; i++)
    {
      json_array_add_string_element (array, hosts->pdata[i]);
      if (i < MAX_NAMES)
        g_string_append_printf (line, "%s%s", i > 0 ? ", " : "", (char *) hosts->pdata[i]);
    }
  if (hosts->len > MAX_NAMES)
    g_string_append_printf (line, _(", %u more"), hosts->len - MAX_NAMES);
  json_object_set_array_member (object, "hosts", array);
  if (hosts->len > 0)
    finding_add_note (finding, _("  for %s"), line->str);
}

static void
set_date (JsonObject *object,
          const char *name,
          GDateTime  *date)
{
  g_autofree char *text = date != NULL ? g_date_time_format_iso8601 (date) : NULL;

  if (text != NULL)
    json_object_set_string_member (object, name, text);
  else
    json_object_set_null_member (object, name);
}

static char *
format_date (GDateTime *date)
{
  return date != NULL ? g_date_time_format (date, "%Y-%m-%d") : g_strdup ("?");
}

static char *
describe_remaining (GDateTime *begin,
                    GDateTime *end)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  guint days;

  if (begin != NULL && g_date_time_compare (now, begin) < 0)
    return g_strdup (_("not valid yet"));
  if (end == NULL)
    return g_strdup (_("valid"));
  if (g_date_time_compare (now, end) > 0)
    return g_strdup (_("expired"));
  days = g_date_time_difference (end, now) / G_TIME_SPAN_DAY;
  return g_strdup_printf (ngettext ("%u day left", "%u days left", days), days);
}

static char *
describe_name (char *name)
{
  g_autofree char *taken = name;

  return format_foreign (taken != NULL && *taken != '\0' ? taken : "nobody");
}

static void
add_certificate (Finding         *finding,
                 JsonArray       *chain,
                 GTlsCertificate *certificate)
{
  g_autofree char *subject = describe_name (g_tls_certificate_get_subject_name (certificate));
  g_autofree char *issuer = describe_name (g_tls_certificate_get_issuer_name (certificate));
  g_autoptr (GDateTime) begin = g_tls_certificate_get_not_valid_before (certificate);
  g_autoptr (GDateTime) end = g_tls_certificate_get_not_valid_after (certificate);
  g_autofree char *from = format_date (begin);
  g_autofree char *to = format_date (end);
  g_autofree char *remaining = describe_remaining (begin, end);
  g_autoptr (GPtrArray) hosts = list_hosts (certificate);
  JsonObject *object = json_object_new ();

  json_array_add_object_element (chain, object);
  json_object_set_string_member (object, "subject", subject);
  json_object_set_string_member (object, "issuer", issuer);
  set_date (object, "not_before", begin);
  set_date (object, "not_after", end);
  finding_add_note (finding, "%s", subject);
  finding_add_note (finding, _("  issued by %s"), issuer);
  finding_add_note (finding, _("  from %s to %s, %s"), from, to, remaining);
  add_hosts (finding, object, hosts);
}

static void
add_errors (Finding              *finding,
            GTlsCertificateFlags  errors)
{
  g_autoptr (GFlagsClass) flags = g_type_class_ref (G_TYPE_TLS_CERTIFICATE_FLAGS);
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < flags->n_values; i++)
    if (flags->values[i].value != (guint) G_TLS_CERTIFICATE_VALIDATE_ALL && (errors & flags->values[i].value) != 0)
      json_array_add_string_element (array, flags->values[i].value_nick);
  json_object_set_array_member (finding->values, "certificate_errors", array);
}

static void
probe_describe_tls (Probe          *self,
                    GTlsConnection *tls,
                    Finding        *finding)
{
  const char *version = name_version (g_tls_connection_get_protocol_version (tls));
  g_autofree char *cipher = g_tls_connection_get_ciphersuite_name (tls);
  JsonArray *chain = json_array_new ();

  json_object_set_string_member (finding->values, "version", version);
  json_object_set_string_member (finding->values, "cipher", cipher != NULL ? cipher : "");
  json_object_set_boolean_member (finding->values, "trusted", self->refused_for == 0);
  add_errors (finding, self->refused_for);
  for (GTlsCertificate *next = g_tls_connection_get_peer_certificate (tls); next != NULL;
       next = g_tls_certificate_get_issuer (next))
    add_certificate (finding, chain, next);
  json_object_set_array_member (finding->values, "chain", chain);
  finding_set (finding, self->refused_for == 0 ? FINDING_OK : FINDING_FAILED, "%s%s%s, %s", version,
               cipher != NULL ? ", " : "", cipher != NULL ? cipher : "",
               self->refused_for == 0 ? "trusted" : _("not trusted"));
}

static GIOStream *
probe_create_tls (Probe   *self,
                  GError **error)
{
  static const char *const protocols[] = { "http/1.1", NULL };
  g_autoptr (GSocketConnectable) identity = probe_make_identity (self);
  GIOStream *tls = g_tls_client_connection_new (self->stream, identity, error);

  if (tls == NULL)
    return NULL;
  if (self->database != NULL)
    g_tls_connection_set_database (G_TLS_CONNECTION (tls), self->database);
  g_tls_connection_set_require_close_notify (G_TLS_CONNECTION (tls), FALSE);
  g_tls_connection_set_advertised_protocols (G_TLS_CONNECTION (tls), protocols);
  g_signal_connect (tls, "accept-certificate", G_CALLBACK (on_accept_certificate), self);
  return tls;
}

Finding *
probe_tls (Probe *self)
{
  Finding *finding = finding_new (STEP_TLS);
  g_autoptr (GIOStream) tls = NULL;
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();

  if (!self->secure)
    {
      finding_set (finding, FINDING_SKIPPED, _("none, as the URL begins with ws://: others can read the token"));
      return finding;
    }
  tls = probe_create_tls (self, &error);
  if (tls != NULL)
    {
      probe_begin (self);
      g_tls_connection_handshake_async (G_TLS_CONNECTION (tls), G_PRIORITY_DEFAULT, self->cancellable, on_done, self);
      g_tls_connection_handshake_finish (G_TLS_CONNECTION (tls), probe_await (self), &error);
      g_signal_handlers_disconnect_by_data (tls, self);
      set_time (finding, g_get_monotonic_time () - begin);
    }
  if (error != NULL)
    {
      g_autofree char *reason = probe_describe_error (self, error);

      finding_set (finding, FINDING_FAILED, _("no handshake: %s"), reason);
    }
  else
    {
      probe_describe_tls (self, G_TLS_CONNECTION (tls), finding);
      g_io_stream_close (tls, NULL, NULL);
    }
  return finding;
}
