/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/principal-spec.h"

#include "base/bucket.h"
#include "base/ref-count.h"
#include "gateway/settings.h"

#define SETTING(kind_, field) .kind = TCP_SETTING_##kind_, .offset = G_STRUCT_OFFSET (TcpPrincipalSpec, field)

/* To add a property: add a field to the struct, a row here, and its use in tcp_policy_new (); see also
 * endpoint/setting.h. */
static const TcpSetting rows[] = {
  /**
   * TcpPrincipal:name:
   *
   * The name, as before the colon in a [property@TcpTunnel.Gateway:token-file]: printable characters, without a colon,
   * and without a space at its beginning or end. It can only be set when the principal is created. A gateway does not
   * start with a principal that has an invalid name, or none (%NULL, the default): see
   * [property@TcpTunnel.Gateway:principals].
   *
   * Since: 1.0
   */
  { "name", SETTING (STRING, name), .is_construct_only = TRUE },

  /**
   * TcpPrincipal:allow:
   *
   * The targets that clients of this name may request, as patterns of the form that [property@TcpTunnel.Gateway:allow]
   * describes. With %NULL, the default, these clients may request the same targets as all others: the gateway's
   * [property@TcpTunnel.Gateway:target], and those that its [property@TcpTunnel.Gateway:allow] allows.
   *
   * Otherwise only these targets are allowed, so that an empty list allows none. They must include the target of the
   * gateway as well, with its address if that is an address of this machine; or that target has a name (see
   * [property@TcpTunnel.Gateway:targets]), and the list includes the name.
   *
   * Since: 1.0
   */
  { "allow", SETTING (STRV, allow) },

  /**
   * TcpPrincipal:tokens:
   *
   * Tokens of this name, in addition to those in a [property@TcpTunnel.Gateway:token-file]. Each has the form that it
   * has there after the name: a token, or `sha256:` and 64 hexadecimal digits, optionally followed by a space,
   * `expires=` and a time. They can be set but not read. %NULL, the default, is for none.
   *
   * Since: 1.0
   */
  { "tokens", SETTING (STRV, tokens), .is_secret = TRUE },

  /**
   * TcpPrincipal:max-sessions:
   *
   * The number of sessions that clients of this name may have at once, up to 65535. With 0, the default,
   * [property@TcpTunnel.Gateway:max-principal-sessions] applies.
   *
   * Since: 1.0
   */
  { "max-sessions", SETTING (UINT, max_sessions), .maximum = 65535 },

  /**
   * TcpPrincipal:max-connections:
   *
   * The number of connections that clients of this name may have at once, up to 65535. With 0, the default,
   * [property@TcpTunnel.Gateway:max-principal-connections] applies.
   *
   * Since: 1.0
   */
  { "max-connections", SETTING (UINT, max_connections), .maximum = 65535 },

  /**
   * TcpPrincipal:max-dials:
   *
   * The number of connections to targets that may be in the process of being opened at once for clients of this name,
   * up to 65535. With 0, the default, [property@TcpTunnel.Gateway:max-principal-dials] applies.
   *
   * Since: 1.0
   */
  { "max-dials", SETTING (UINT, max_dials), .maximum = 65535 },

  /**
   * TcpPrincipal:max-memory:
   *
   * The number of bytes of [property@TcpTunnel.Gateway:max-memory] that clients of this name may use, at least 4 MiB.
   * With 0, the default, [property@TcpTunnel.Gateway:max-principal-memory] applies.
   *
   * Since: 1.0
   */
  { "max-memory", SETTING (UINT64, max_memory), .maximum = G_MAXINT64, .least = TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY },

  /**
   * TcpPrincipal:dial-rate:
   *
   * The number of connections to targets that may begin per second for clients of this name, up to 1000000. With 0, the
   * default, [property@TcpTunnel.Gateway:max-principal-dial-rate] applies.
   *
   * Since: 1.0
   */
  { "dial-rate", SETTING (UINT, dial_rate), .maximum = 1000000 },

  /**
   * TcpPrincipal:upload-rate:
   *
   * The number of bytes per second that clients of this name may send in total, at least 1 KiB and up to 10¹². With 0,
   * the default, [property@TcpTunnel.Gateway:max-principal-upload-rate] applies.
   *
   * Since: 1.0
   */
  { "upload-rate", SETTING (UINT64, upload_rate), .maximum = TCP_BUCKET_MAX_RATE, .least = TCP_GATEWAY_LEAST_RATE },

  /**
   * TcpPrincipal:download-rate:
   *
   * The number of bytes per second that clients of this name may receive in total, at least 1 KiB and up to 10¹². With
   * 0, the default, [property@TcpTunnel.Gateway:max-principal-download-rate] applies.
   *
   * Since: 1.0
   */
  { "download-rate", SETTING (UINT64, download_rate), .maximum = TCP_BUCKET_MAX_RATE, .least = TCP_GATEWAY_LEAST_RATE },
};

const TcpSettings tcp_principal_spec_settings = {
  .size = sizeof (TcpPrincipalSpec),
  .rows = rows,
  .n_rows = G_N_ELEMENTS (rows),
};

TcpPrincipalSpec *
tcp_principal_spec_new (void)
{
  TcpPrincipalSpec *self = tcp_settings_new (&tcp_principal_spec_settings);

  g_atomic_ref_count_init (&self->refs);
  return self;
}

TcpPrincipalSpec *
tcp_principal_spec_ref (TcpPrincipalSpec *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
tcp_principal_spec_unref (TcpPrincipalSpec *self)
{
  if (tcp_ref_count_dec (&self->refs))
    tcp_settings_free (&tcp_principal_spec_settings, self);
}

/* Takes ownership of the reference, and returns one that is not shared, so that the caller may change it. */
TcpPrincipalSpec *
tcp_principal_spec_make_own (TcpPrincipalSpec *self)
{
  TcpPrincipalSpec *copy;

  if (g_atomic_ref_count_compare (&self->refs, 1))
    {
      tcp_tsan_acquire (&self->refs);
      return self;
    }
  copy = tcp_settings_copy (&tcp_principal_spec_settings, self);
  g_atomic_ref_count_init (&copy->refs);
  tcp_principal_spec_unref (self);
  return copy;
}
