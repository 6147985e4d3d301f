/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The first message of the gateway of a limrun reverse tunnel, a text message of JSON: the address on which it listens,
 * or the reason why it does not. Without I/O. */

#define TCP_REVERSE_MAX_MESSAGE (64 * 1024)

/* The reason phrase of the 400 with which a gateway without reverse-ports answers a request with a remotePort. */
#define TCP_REVERSE_NO_PORTS "No Ports for Reverse Tunnels"

typedef struct
{
  char *host; /* of the address, NULL if it does not listen */
  guint16 port;
  char *refusal; /* the reason why it does not listen */
} TcpReverseMessage;

gboolean tcp_reverse_message_parse (const char         *text,
                                    gsize               length,
                                    TcpReverseMessage  *message,
                                    GError            **error);
void tcp_reverse_message_clear (TcpReverseMessage *self);
char *tcp_reverse_message_format_ready (const char *host,
                                        guint16     port);
char *tcp_reverse_message_format_error (const char *reason);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpReverseMessage, tcp_reverse_message_clear)

G_END_DECLS
