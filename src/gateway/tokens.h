/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "base/log.h"

G_BEGIN_DECLS

/* The tokens that clients may use, and the names that they belong to. The object does not change once it is complete,
 * and may then be used on all threads. */
typedef struct _TcpTokens TcpTokens;

#define TCP_TOKEN_DIGEST_SIZE 32 /* bytes, of SHA-256 */

/* What is kept of a token that a client has sent. Two tokens are equal if their digests are. */
typedef struct
{
  guint8 digest[TCP_TOKEN_DIGEST_SIZE];
  gint64 expires; /* microseconds since 1970, G_MAXINT64 for never */
} TcpCredential;

typedef struct
{
  TcpCredential credential;
  const char *name; /* valid as long as the tokens */
} TcpToken;

gboolean tcp_tokens_is_name (const char *name);
const char *tcp_tokens_parse_header (const char *authorization);
TcpTokens *tcp_tokens_new (void);
void tcp_tokens_free (TcpTokens *self);
TcpTokens *tcp_tokens_load (const char  *token,
                            const char  *file,
                            TcpLog      *log,
                            GError     **error);
gboolean tcp_tokens_add (TcpTokens   *self,
                         const char  *name,
                         const char  *token,
                         GError     **error);
gboolean tcp_tokens_add_name (TcpTokens   *self,
                              const char  *name,
                              GError     **error);
gboolean tcp_tokens_add_text (TcpTokens   *self,
                              const char  *name,
                              const char  *text,
                              GError     **error);
gboolean tcp_tokens_add_lines (TcpTokens   *self,
                               const char  *text,
                               gsize        length,
                               const char  *origin,
                               GError     **error);
guint tcp_tokens_count (TcpTokens *self);
guint tcp_tokens_count_names (TcpTokens *self);
gboolean tcp_tokens_have_name (TcpTokens  *self,
                               const char *name);
const TcpToken *tcp_tokens_find (TcpTokens  *self,
                                 const char *token);
const TcpToken *tcp_tokens_find_header (TcpTokens  *self,
                                        const char *authorization);
const TcpToken *tcp_tokens_find_credential (TcpTokens           *self,
                                            const TcpCredential *credential,
                                            const char          *name);
gboolean tcp_credential_has_expired (const TcpCredential *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpTokens, tcp_tokens_free)

G_END_DECLS
