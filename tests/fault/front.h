/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A server in front of the gateway: a TLS terminator or a proxy. It listens on 127.0.0.1 with threads of its own, and
 * connects to one port, whatever is requested of it. */
typedef struct _Front Front;

typedef enum
{
  FRONT_DIRECT, /* no proxy */
  FRONT_HTTP,   /* CONNECT */
  FRONT_SOCKS5,
} FrontKind;

typedef struct
{
  FrontKind kind;
  GTlsCertificate *certificate;        /* if set, clients have to use TLS */
  GTlsCertificate *client_certificate; /* if set, the one that they have to present */
  guint refusal;                       /* an HTTP status or a SOCKS5 reply; 0 for none */
  const char *credentials;             /* USER:PASSWORD that HTTP clients have to send; nullable */
} FrontOptions;

/* The caller keeps the certificates. */
Front *front_new (const FrontOptions *options,
                  guint16 onward_port);
/* All clients must have disconnected: this waits for the threads that serve them. */
void front_free (Front *front);
guint16 front_get_port (Front *front);
/* Replaces the refusal of the options. */
void front_set_refusal (Front *front,
                        guint refusal);
/* Returns the number of connections that were passed on. */
guint front_get_led (Front *front);
/* Returns the last request: the method and its argument, or HOST:PORT; NULL if there was none. */
char *front_get_asked (Front *front);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Front, front_free)

G_END_DECLS
