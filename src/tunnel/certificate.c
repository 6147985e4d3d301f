/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Explains to the user why the certificate of a gateway was refused. */

#include "tunnel/certificate.h"

#include <string.h>

#include "base/i18n.h"
#include "base/text.h"

#define MAX_NAMES 5 /* in a message */

static char *
clean (const char *text)
{
  return text != NULL ? tcp_text_from_peer (text, strlen (text)) : g_strdup ("");
}

/* Returns when @certificate begins or ends to be valid, if it is not valid at @now for that reason. */
static GDateTime *
get_missed_date (GTlsCertificate *certificate,
                 GDateTime       *now,
                 gboolean         expired)
{
  g_autoptr (GDateTime) date = expired ? g_tls_certificate_get_not_valid_after (certificate)
                                       : g_tls_certificate_get_not_valid_before (certificate);

  if (date == NULL || (expired ? g_date_time_compare (now, date) <= 0 : g_date_time_compare (now, date) >= 0))
    return NULL;
  return g_steal_pointer (&date);
}

/* The certificate that is not valid may be that of an authority in the chain. */
static char *
explain_date (GTlsCertificate *leaf,
              gboolean         expired)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *clock = tcp_text_from_date (now);

  for (GTlsCertificate *next = leaf; next != NULL; next = g_tls_certificate_get_issuer (next))
    {
      g_autoptr (GDateTime) date = get_missed_date (next, now, expired);
      g_autofree char *subject = g_tls_certificate_get_subject_name (next);
      g_autofree char *name = clean (subject);
      g_autofree char *when = NULL;

      if (date == NULL)
        continue;
      when = tcp_text_from_date (date);
      if (next == leaf)
        return g_strdup_printf (expired ? _("the certificate expired on %s (the clock here says %s)")
                                        : _("the certificate is not valid before %s (the clock here says %s)"),
                                when, clock);
      return g_strdup_printf (expired ? _("the certificate of the authority “%s” expired on %s (the clock here says %s)")
                                      : _("the certificate of the authority “%s” is not valid before %s (the clock "
                                          "here says %s)"),
                              name, when, clock);
    }
  return g_strdup_printf (expired ? _("the certificate has expired (the clock here says %s)")
                                  : _("the certificate is not valid yet (the clock here says %s)"),
                          clock);
}

/* Lists the hosts that @certificate names; NULL if there are none. */
static char *
list_hosts (GTlsCertificate *certificate)
{
  g_autoptr (GPtrArray) names = g_tls_certificate_get_dns_names (certificate);
  g_autoptr (GPtrArray) addresses = g_tls_certificate_get_ip_addresses (certificate);
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (g_free);
  guint more;

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      gsize length;
      const char *data = g_bytes_get_data (names->pdata[i], &length);
      g_autofree char *name = tcp_text_from_peer (data, length);

      /* An address among the DNS names is a name, and does not match that address. */
      g_ptr_array_add (all, g_hostname_is_ip_address (name) ? g_strdup_printf (_("the name %s"), name) : g_strdup (name));
    }
  for (guint i = 0; addresses != NULL && i < addresses->len; i++)
    g_ptr_array_add (all, g_inet_address_to_string (addresses->pdata[i]));
  if (all->len == 0)
    return NULL;

  more = all->len > MAX_NAMES ? all->len - MAX_NAMES : 0;
  g_ptr_array_set_size (all, all->len - more);
  if (more > 0)
    g_ptr_array_add (all, g_strdup_printf (_("%u more"), more));
  g_ptr_array_add (all, NULL);
  return g_strjoinv (", ", (char **) all->pdata);
}

static char *
explain_identity (GTlsCertificate *certificate,
                  const char      *host)
{
  g_autofree char *hosts = list_hosts (certificate);
  g_autofree char *subject = g_tls_certificate_get_subject_name (certificate);
  g_autofree char *name = clean (subject);

  if (hosts != NULL)
    return g_strdup_printf (g_hostname_is_ip_address (host) ? _("the certificate is for %s, not for the address %s")
                                                            : _("the certificate is for %s, not for %s"),
                            hosts, host);
  return g_strdup_printf (_("the certificate of “%s” has no subjectAltName that names a host, such as %s"), name, host);
}

static char *
explain_authority (GTlsCertificate *certificate)
{
  GTlsCertificate *last = certificate;
  g_autofree char *subject = NULL;
  g_autofree char *issuer = NULL;
  g_autofree char *name = NULL;

  while (g_tls_certificate_get_issuer (last) != NULL)
    last = g_tls_certificate_get_issuer (last);
  subject = g_tls_certificate_get_subject_name (last);
  issuer = g_tls_certificate_get_issuer_name (last);
  if (last == certificate && g_strcmp0 (subject, issuer) == 0)
    return g_strdup (_("the certificate is self-signed, and not trusted here; to trust it, give it with --ca FILE, or "
                       "set the property tls-database"));
  name = clean (issuer);
  return g_strdup_printf (_("the certificate was issued by “%s”, an authority that is not trusted here; to trust it, "
                            "give its certificate with --ca FILE, or set the property tls-database"),
                          name);
}

/* @errors need not be complete: GIO guarantees only one of those that apply. */
char *
tcp_certificate_explain (GTlsCertificate      *certificate,
                         GTlsCertificateFlags  errors,
                         const char           *host)
{
  g_autoptr (GSocketConnectable) identity = g_network_address_new (host, 443);
  g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);

  errors |= g_tls_certificate_verify (certificate, identity, NULL);
  if (errors & G_TLS_CERTIFICATE_EXPIRED)
    g_ptr_array_add (reasons, explain_date (certificate, TRUE));
  if (errors & G_TLS_CERTIFICATE_NOT_ACTIVATED)
    g_ptr_array_add (reasons, explain_date (certificate, FALSE));
  if (errors & G_TLS_CERTIFICATE_BAD_IDENTITY)
    g_ptr_array_add (reasons, explain_identity (certificate, host));
  if (errors & G_TLS_CERTIFICATE_UNKNOWN_CA)
    g_ptr_array_add (reasons, explain_authority (certificate));
  if (errors & G_TLS_CERTIFICATE_REVOKED)
    g_ptr_array_add (reasons, g_strdup (_("the certificate was revoked by its authority")));
  if (errors & G_TLS_CERTIFICATE_INSECURE)
    g_ptr_array_add (reasons, g_strdup (_("the certificate has a signature or a key that is no longer secure")));
  if (reasons->len == 0)
    g_ptr_array_add (reasons, g_strdup (_("the certificate cannot be verified")));
  g_ptr_array_add (reasons, NULL);
  return g_strjoinv ("; ", (char **) reasons->pdata);
}
