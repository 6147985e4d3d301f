/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "websocket/opening.h"

G_BEGIN_DECLS

/* What is known of an attempt that failed; its pointers are borrowed. */
typedef struct
{
  GUri *uri;
  const char *display; /* the URL as messages show it */
  const char *proxy;   /* URL of the proxy in between, or NULL */
  TcpOpeningStage stage;
  gboolean timed_out;
  guint timeout; /* ms */
  gboolean authorized; /* with another header than that of a token, */
  gboolean anonymous;  /* or with none */

  /* The answer. */
  guint status; /* 0 if there was none */
  const char *phrase;
  const char *server; /* its name, from its answer */
  const char *location;
  const char *challenge; /* WWW-Authenticate */
  gint64 retry_after; /* ms, -1 if there is none */

  /* Otherwise. */
  const GError *cause;
  GTlsCertificate *certificate; /* refused, or NULL */
  GTlsCertificateFlags certificate_errors;
  const char *received; /* the first bytes that came, if they are known */
  gsize n_received;
} TcpDialFailure;

gboolean tcp_dial_status_is_final (guint status);
GError *tcp_dial_error_new (const TcpDialFailure *failure);

G_END_DECLS
