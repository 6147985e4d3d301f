/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "session/session-state.h"

G_BEGIN_DECLS

/* The saved state of a client of the gateway. Without I/O. */

/* A port on which the gateway listens for the client: the id, the port, and the descriptor with its inode, or -1. */
#define TCP_LISTENER_STATE_TYPE "(uqit)"
#define TCP_CLIENT_STATE_TYPE "(msmssuusxm(sq)m(sq)m(sq)a" TCP_LISTENER_STATE_TYPE TCP_SESSION_STATE_TYPE ")"

typedef enum
{
  TCP_CLIENT_MULTIPLEXED = 1 << 0,
  TCP_CLIENT_FOREIGN = 1 << 1,
  TCP_CLIENT_BEGUN = 1 << 2,
  TCP_CLIENT_GRANTED = 1 << 3, /* the application has admitted it */
  TCP_CLIENT_LAPSED = 1 << 4,  /* its proof is no longer valid */
  TCP_CLIENT_ALL_FLAGS = (1 << 5) - 1,
} TcpClientFlags;

typedef struct
{
  char *session_id; /* nullable */
  char *target;     /* the name that its URL selects; nullable */
  char *principal;  /* the name */
  guint32 flags;
  guint32 timeout;  /* the time in ms for which its session is kept without a WebSocket */
  const TcpProtocolClass *protocol;
  gint64 expires;   /* when its proof expires; microseconds since 1970, G_MAXINT64 for never */
  GSocketAddress *address; /* nullable, as are the next two */
  GSocketAddress *proxy;
  GSocketAddress *local;
  GVariant *listeners;
  GVariant *session;
} TcpClientState;

/* Called for each socket in a state. */
typedef void (*TcpStateSocketFunc) (int      fd,
                                    guint64  inode,
                                    gboolean listens,
                                    gpointer user_data);

void tcp_client_state_clear (TcpClientState *self);
GVariant *tcp_client_state_write (const TcpClientState *self);
void tcp_client_state_get (TcpClientState *self,
                           GVariant       *state);
gboolean tcp_client_state_read (TcpClientState  *self,
                                GVariant        *state,
                                GError         **error);
void tcp_client_state_foreach_socket (GVariant           *state,
                                      TcpStateSocketFunc  func,
                                      gpointer            user_data);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TcpClientState, tcp_client_state_clear)

G_END_DECLS
