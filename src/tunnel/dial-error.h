/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* How far an attempt to open a WebSocket has come. */
typedef enum
{
  TCP_DIAL_STAGE_RESOLVE,
  TCP_DIAL_STAGE_CONNECT,
  TCP_DIAL_STAGE_PROXY, /* waits for a proxy to connect */
  TCP_DIAL_STAGE_TLS,
  TCP_DIAL_STAGE_HTTP,
} TcpDialStage;

/* What is known of an attempt that failed; its pointers are borrowed. */
typedef struct
{
  GUri *uri;
  const char *display; /* the URL as messages show it */
  const char *proxy;   /* URL of the proxy in between, or NULL */
  TcpDialStage stage;
  gboolean timed_out;
  guint timeout; /* ms */

  /* The answer. */
  guint status; /* 0 if there was none */
  const char *phrase;
  const char *location;
  const char *challenge; /* WWW-Authenticate */
  gint64 retry_after; /* ms, -1 if it does not say */

  /* Otherwise. */
  gboolean not_http; /* or that the cause tells, by a SoupSessionError */
  const GError *cause;
  GTlsCertificate *certificate; /* refused, or NULL */
  GTlsCertificateFlags certificate_errors;
  const char *received; /* the first bytes that came, if they are known */
  gsize n_received;
} TcpDialFailure;

gboolean tcp_dial_status_is_final (guint status);
GError *tcp_dial_error_new (const TcpDialFailure *failure);

G_END_DECLS
