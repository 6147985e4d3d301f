/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/principal-spec.h"

#include "base/bucket.h"
#include "base/ref-count.h"
#include "gateway/settings.h"

#define SETTING(kind_, field) .kind = TCP_SETTING_##kind_, .offset = G_STRUCT_OFFSET (TcpPrincipalSpec, field)

/* To add one: a field to the struct, a row here, and what tcp_policy_new() makes of it; and as endpoint/setting.h says. */
static const TcpSetting rows[] = {
  /**
   * TcpPrincipal:name:
   *
   * The name, as it stands before a colon in a [property@TcpTunnel.Gateway:token-file]: of printable
   * characters, without a colon, and without a space at its beginning or end. It can only be set when the
   * principal is created. A gateway does not start with a principal of another name, or of none (%NULL, the
   * default): see [property@TcpTunnel.Gateway:principals].
   *
   * Since: 1.0
   */
  { "name", SETTING (STRING, name), .is_construct_only = TRUE },

  /**
   * TcpPrincipal:allow:
   *
   * The targets that clients of this name may ask for, as patterns of the form that
   * [property@TcpTunnel.Gateway:allow] describes. %NULL, the default, is for what the gateway allows all:
   * its [property@TcpTunnel.Gateway:target], and what its [property@TcpTunnel.Gateway:allow] says.
   *
   * Otherwise these targets are allowed and no others, so that an empty list allows none. The target of the
   * gateway then has to be among them too, with its address if that is one of this machine; or it has a name
   * (see [property@TcpTunnel.Gateway:targets]), and this is among them.
   *
   * Since: 1.0
   */
  { "allow", SETTING (STRV, allow) },

  /**
   * TcpPrincipal:tokens:
   *
   * Tokens of this name, beside those that a [property@TcpTunnel.Gateway:token-file] has, each in the form in
   * which it stands there behind the name: a token, or `sha256:` and 64 hexadecimal digits, and behind a space
   * perhaps `expires=` and a time. They can be set but not read. %NULL, the default, is for none.
   *
   * Since: 1.0
   */
  { "tokens", SETTING (STRV, tokens), .is_secret = TRUE },

  /**
   * TcpPrincipal:max-sessions:
   *
   * How many sessions clients of this name may have at once, up to 65535. 0, the default, is for what
   * [property@TcpTunnel.Gateway:max-principal-sessions] says.
   *
   * Since: 1.0
   */
  { "max-sessions", SETTING (UINT, max_sessions), .maximum = 65535 },

  /**
   * TcpPrincipal:max-connections:
   *
   * How many connections clients of this name may have at once, up to 65535. 0, the default, is for what
   * [property@TcpTunnel.Gateway:max-principal-connections] says.
   *
   * Since: 1.0
   */
  { "max-connections", SETTING (UINT, max_connections), .maximum = 65535 },

  /**
   * TcpPrincipal:max-dials:
   *
   * How many connections to targets may be under way at once for clients of this name, up to 65535. 0, the
   * default, is for what [property@TcpTunnel.Gateway:max-principal-dials] says.
   *
   * Since: 1.0
   */
  { "max-dials", SETTING (UINT, max_dials), .maximum = 65535 },

  /**
   * TcpPrincipal:max-memory:
   *
   * How many bytes of [property@TcpTunnel.Gateway:max-memory] clients of this name may use, at least 4 MiB. 0,
   * the default, is for what [property@TcpTunnel.Gateway:max-principal-memory] says.
   *
   * Since: 1.0
   */
  { "max-memory", SETTING (UINT64, max_memory), .maximum = G_MAXINT64, .least = TCP_GATEWAY_LEAST_PRINCIPAL_MEMORY },

  /**
   * TcpPrincipal:dial-rate:
   *
   * How many connections to targets may begin in a second for clients of this name, up to 1000000. 0, the
   * default, is for what [property@TcpTunnel.Gateway:max-principal-dial-rate] says.
   *
   * Since: 1.0
   */
  { "dial-rate", SETTING (UINT, dial_rate), .maximum = 1000000 },

  /**
   * TcpPrincipal:upload-rate:
   *
   * How many bytes a second clients of this name may send, all together, at least 1 KiB and up to 10¹². 0, the
   * default, is for what [property@TcpTunnel.Gateway:max-principal-upload-rate] says.
   *
   * Since: 1.0
   */
  { "upload-rate", SETTING (UINT64, upload_rate), .maximum = TCP_BUCKET_MAX_RATE, .least = TCP_GATEWAY_LEAST_RATE },

  /**
   * TcpPrincipal:download-rate:
   *
   * How many bytes a second clients of this name may receive, all together, at least 1 KiB and up to 10¹². 0,
   * the default, is for what [property@TcpTunnel.Gateway:max-principal-download-rate] says.
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

/* Takes the reference, and gives one that nobody else has, so that it may be changed. */
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
