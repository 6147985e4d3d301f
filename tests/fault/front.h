/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What a tunnel may have to come to terms with before it reaches its gateway: TLS that ends before
 * it, a proxy. It listens on 127.0.0.1, on threads of its own, and whatever it is asked for, it
 * leads to one port. */
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
  GTlsCertificate *certificate;        /* if its clients have to come with TLS */
  GTlsCertificate *client_certificate; /* the one that they have to present */
  guint refusal;                       /* an HTTP status or a SOCKS5 reply; 0 = none */
  const char *credentials;             /* USER:PASSWORD that HTTP clients have to give; nullable */
} FrontOptions;

/* The certificates stay the caller's. */
Front *front_new (const FrontOptions *options,
                  guint16 onward_port);
/* Its clients have to be gone: it waits until it has taken leave of them. */
void front_free (Front *front);
guint16 front_get_port (Front *front);
/* What it does from here on, in place of what its options say. */
void front_set_refusal (Front *front,
                        guint refusal);
/* How many connections were led on. */
guint front_get_led (Front *front);
/* What was asked for last: the method and its argument, or HOST:PORT; NULL if nothing was. */
char *front_get_asked (Front *front);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Front, front_free)

G_END_DECLS
