/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "gateway/account.h"
#include "io/pool.h"

G_BEGIN_DECLS

/* The ports on which a gateway may listen for its clients, and which sessions have them.
 *
 * Some are for one principal only, by its name. A port that another session of the same owner has may be waited for:
 * that session is told, and keeps it or not.
 *
 * Safe on all threads. */
typedef struct _TcpReversePorts TcpReversePorts;

/* A port that a session has, or waits for. Belongs to one thread. */
typedef struct _TcpReverseClaim TcpReverseClaim;

typedef struct
{
  /* It has the port now, for which it has waited. */
  void (*granted) (TcpReverseClaim *claim,
                   gpointer         user_data);
  /* Another session waits for it. */
  void (*wanted) (TcpReverseClaim *claim,
                  gpointer         user_data);
} TcpReverseClaimCallbacks;

/* Who asks for a port. */
typedef struct
{
  TcpAccount *owner;
  gconstpointer session; /* of the owner; compared only */
  TcpIoThread *thread;   /* the current one */
  const TcpReverseClaimCallbacks *callbacks;
  gpointer user_data;
} TcpReverseClaimant;

typedef enum
{
  TCP_REVERSE_GRANTED,
  TCP_REVERSE_WAITING,
  TCP_REVERSE_IN_USE,
  TCP_REVERSE_FORBIDDEN,
  TCP_REVERSE_SET_ASIDE, /* what is free is for other owners */
  TCP_REVERSE_OWN_FULL,  /* the owner has as many as one may */
} TcpReverseResult;

TcpReversePorts *tcp_reverse_ports_new (const char *const *patterns,
                                        GError           **error);
void tcp_reverse_ports_free (TcpReversePorts *self);
void tcp_reverse_ports_replace (TcpReversePorts *self,
                                TcpReversePorts *other);
gboolean tcp_reverse_ports_is_empty (TcpReversePorts *self);
TcpQuota *tcp_reverse_ports_get_quota (TcpReversePorts *self);
TcpReverseClaim *tcp_reverse_ports_claim (TcpReversePorts          *self,
                                          guint16                   port,
                                          const TcpReverseClaimant *claimant,
                                          TcpReverseResult         *result);
TcpReverseClaim *tcp_reverse_ports_claim_any (TcpReversePorts          *self,
                                              const TcpReverseClaimant *claimant,
                                              TcpReverseResult         *result);
TcpReverseClaim *tcp_reverse_ports_await_any (TcpReversePorts          *self,
                                              const TcpReverseClaimant *claimant);
guint16 tcp_reverse_claim_get_port (TcpReverseClaim *self);
GSocketAddress *tcp_reverse_claim_get_address (TcpReverseClaim *self);
gboolean tcp_reverse_claim_is_revoked (TcpReverseClaim *self);
gboolean tcp_reverse_claim_is_wanted (TcpReverseClaim *self);
gboolean tcp_reverse_claim_is_missed (TcpReverseClaim *self,
                                      gint64           since);
void tcp_reverse_claim_free (TcpReverseClaim *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TcpReversePorts, tcp_reverse_ports_free)

G_END_DECLS
