/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>
#include "gateway/account.h"
#include "io/pool.h"

G_BEGIN_DECLS

/* The ports on which a gateway may listen for its clients, and the sessions that have them.
 *
 * Some are for one principal only, by its name. A claim may wait for a port that another session of the same owner has:
 * that session is notified, and may give it up.
 *
 * Safe on all threads. */
typedef struct _TcpReversePorts TcpReversePorts;

/* A port that a session has, or waits for. It belongs to one thread. */
typedef struct _TcpReverseClaim TcpReverseClaim;

typedef struct
{
  /* The claim has waited for the port, and has it now. */
  void (*granted) (TcpReverseClaim *claim,
                   gpointer         user_data);
  /* Another session waits for the port. */
  void (*wanted) (TcpReverseClaim *claim,
                  gpointer         user_data);
} TcpReverseClaimCallbacks;

/* The session that claims a port. */
typedef struct
{
  TcpAccount *owner;
  gconstpointer session; /* of the owner; only compared */
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
  TCP_REVERSE_SET_ASIDE, /* the free ports are reserved for other owners */
  TCP_REVERSE_OWN_FULL,  /* the owner has its maximum */
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
