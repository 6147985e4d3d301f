/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The request of a proxy's client: parses its bytes, and generates the answer. Without I/O and without a clock. Each
 * proxy protocol is a class. */
typedef struct _TcpProxyRequest TcpProxyRequest;
typedef struct _TcpProxyClass TcpProxyClass;

typedef enum
{
  TCP_PROXY_MORE,  /* more data is needed */
  TCP_PROXY_ASKED, /* the target is known: an answer must follow */
  TCP_PROXY_BAD,   /* the problem is set, and the output contains the answer */
} TcpProxyStep;

/* The result of the request. */
typedef enum
{
  TCP_PROXY_CONNECTED,
  TCP_PROXY_FORBIDDEN,   /* by the gateway */
  TCP_PROXY_REFUSED,     /* by the target */
  TCP_PROXY_UNREACHABLE, /* the target */
  TCP_PROXY_TIMED_OUT,   /* the target */
  TCP_PROXY_UNAVAILABLE, /* the tunnel, or the gateway */
} TcpProxyOutcome;

struct _TcpProxyClass
{
  const char *name;
  TcpProxyStep (*receive) (TcpProxyRequest *self,
                           const guint8    *data,
                           gsize            length,
                           gsize           *used);
  /* Appends the answer to the output. */
  void (*answer) (TcpProxyRequest *self,
                  TcpProxyOutcome  outcome,
                  const char      *message);
  /* The same for a client that has not sent a complete request. */
  void (*time_out) (TcpProxyRequest *self);
};

struct _TcpProxyRequest
{
  const TcpProxyClass *class;
  guint state;        /* of the class */
  GByteArray *input;  /* data that is not complete yet */
  GByteArray *output; /* the caller sends it, and empties it */
  char *target;       /* `host:port`, once it is known */
  char *problem;      /* a clause about a client that sent invalid data */
};

void tcp_proxy_request_init (TcpProxyRequest     *self,
                             const TcpProxyClass *class);
void tcp_proxy_request_clear (TcpProxyRequest *self);
TcpProxyStep tcp_proxy_request_receive (TcpProxyRequest *self,
                                        const guint8    *data,
                                        gsize            length,
                                        gsize           *used);
gboolean tcp_proxy_request_take (TcpProxyRequest *self,
                                 gsize            wanted,
                                 const guint8    *data,
                                 gsize            length,
                                 gsize           *used);
void tcp_proxy_request_complain (TcpProxyRequest *self,
                                 const char      *format,
                                 ...) G_GNUC_PRINTF (2, 3);
gboolean tcp_proxy_request_set_address (TcpProxyRequest *self,
                                        int              family,
                                        gconstpointer    address,
                                        guint            port);
gboolean tcp_proxy_request_set_name (TcpProxyRequest *self,
                                     const char      *name,
                                     gsize            length,
                                     guint            port);

extern const TcpProxyClass tcp_proxy_socks;
extern const TcpProxyClass tcp_proxy_http;

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpProxyRequest, tcp_proxy_request_clear)

G_END_DECLS
