/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "websocket/opening.h"

G_BEGIN_DECLS

/* The facts about a failed attempt; its pointers are borrowed. */
typedef struct
{
  GUri *uri;
  const char *display; /* the URL for messages */
  const char *proxy;   /* the URL of the proxy that was used, or NULL */
  TcpOpeningStage stage;
  gboolean timed_out;
  guint timeout; /* in ms */
  gboolean authorized; /* with an Authorization header that is not a token */
  gboolean anonymous;  /* without an Authorization header */

  /* the answer */
  guint status; /* 0 if there was none */
  const char *phrase;
  const char *server; /* the name of the server in its answer */
  const char *location;
  const char *challenge; /* WWW-Authenticate */
  gint64 retry_after; /* in ms, -1 if there is none */

  /* otherwise */
  const GError *cause;
  GTlsCertificate *certificate; /* the one that was refused, or NULL */
  GTlsCertificateFlags certificate_errors;
  const char *received; /* the first bytes received, if they are known */
  gsize n_received;
} TcpDialFailure;

gboolean tcp_dial_status_is_final (guint status);
GError *tcp_dial_error_new (const TcpDialFailure *failure);

G_END_DECLS
