/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>
#include "gateway/question.h"

G_BEGIN_DECLS

/* What a client has sent. The object keeps copies. */
typedef struct
{
  const char *token; /* nullable */
  const char *path;
  const char *address; /* of the client; nullable */
  guint16 port;        /* 0 if it is not known */
  GSocketAddress *proxy; /* nullable */
  GTlsCertificate *certificate; /* nullable */
} TcpAuthenticationFacts;

TcpAuthentication *tcp_authentication_new (TcpQuestion                  *question,
                                           const TcpAuthenticationFacts *facts);
gboolean tcp_authentication_put (TcpAuthentication *self);

G_END_DECLS
