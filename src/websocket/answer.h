/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

/* The head of a server's answer to the request for a WebSocket, as a client parses it. Without I/O. Data behind the
 * head, a body or frames, is ignored. */

/* of all heads together, including those of informational answers */
#define TCP_ANSWER_MAX_SIZE (64 * 1024)
#define TCP_ANSWER_MAX_INFORMATIONAL 10

typedef struct
{
  GByteArray *data; /* received data, without complete heads */
  gsize searched;   /* no blank line ends before this offset */
  gsize size;       /* of the complete heads */
  guint n_informational;

  /* valid once it is complete */
  guint status; /* 0 before */
  char *phrase;
  SoupMessageHeaders *headers;
} TcpAnswer;

void tcp_answer_init (TcpAnswer *self);
void tcp_answer_clear (TcpAnswer *self);
gboolean tcp_answer_add (TcpAnswer    *self,
                         const guint8 *data,
                         gsize         length,
                         GError      **error);
void tcp_answer_end (TcpAnswer  *self,
                     GError    **error);
char *tcp_answer_make_accept (const char *key);
gboolean tcp_answer_check (TcpAnswer          *self,
                           const char         *key,
                           const char *const  *subprotocols,
                           GError            **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpAnswer, tcp_answer_clear)

G_END_DECLS
