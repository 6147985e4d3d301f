/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/reverse.h"

#include <tcptunnel/tcptunnel.h>
#include "gateway/client-state.h"
#include "io/acceptor.h"
#include "io/descriptors.h"
#include "io/heritage.h"
#include "io/listen.h"
#include "io/reactor.h"

/* The number of ports that are tried if any will do, since other programs may use some. */
#define MAX_TRIED 16

struct _TcpReverse
{
  TcpReversePorts *ports;
  TcpQuota *quota; /* of listeners */
  TcpAccount *owner;
  TcpIoThread *thread;
  TcpLog *log;
  TcpReverseCallbacks callbacks;
  gpointer user_data;
  gboolean resting; /* accepts no connections */
  GPtrArray *listeners; /* of Listener */
};

typedef struct
{
  TcpReverse *reverse;
  guint32 id;
  guint16 port;
  TcpReverseClaim *claim;
  gboolean counted;      /* by the quota */
  TcpTimer *patience;    /* limits the wait for the port */
  TcpAcceptor *acceptor; /* NULL until it listens */
} Listener;

static void
listener_free (gpointer data)
{
  Listener *self = data;

  g_clear_pointer (&self->acceptor, tcp_acceptor_free);
  tcp_timer_clear (&self->patience);
  g_clear_pointer (&self->claim, tcp_reverse_claim_free);
  if (self->counted)
    tcp_quota_leave (self->reverse->quota, &self->reverse->owner->listeners);
  g_free (self);
}

/* Frees the listener, and its port. */
static void
listener_end (Listener     *self,
              TcpResetCode  code,
              const char   *why)
{
  TcpReverse *reverse = self->reverse;
  guint32 id = self->id;

  g_ptr_array_remove_fast (reverse->listeners, self);
  reverse->callbacks.unlistened (id, code, why, reverse->user_data);
}

static void
listener_end_in_use (Listener *self)
{
  g_autofree char *why = g_strdup_printf ("port %u is already in use", self->port);

  listener_end (self, TCP_RESET_IN_USE, why);
}

static void
on_accepted (GSocketConnection *connection,
             GSocketAddress    *peer,
             gpointer           user_data)
{
  Listener *self = user_data;

  self->reverse->callbacks.accepted (self->id, connection, peer, self->reverse->user_data);
}

/* FALSE if there are too many. */
static gboolean
listener_enter (Listener  *self,
                GError   **error)
{
  TcpReverse *reverse = self->reverse;
  TcpQuotaShare *own = &reverse->owner->listeners;

  if (self->counted)
    return TRUE;

  switch (tcp_quota_enter (reverse->quota, own))
    {
    case TCP_QUOTA_ENTERED:
      self->counted = TRUE;
      return TRUE;
    case TCP_QUOTA_OWN_FULL:
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   "%s has as many listeners as it may: %u (ulimit -n: %u)", reverse->owner->name, own->max,
                   tcp_descriptors_get_limit ());
      return FALSE;
    default:
      g_set_error (error, TCP_TUNNEL_ERROR, TCP_TUNNEL_ERROR_LIMIT,
                   "the gateway has as many listeners as it may: %u (ulimit -n: %u)",
                   reverse->quota->max, tcp_descriptors_get_limit ());
      return FALSE;
    }
}

/* The port has been claimed. */
static gboolean
listener_open (Listener  *self,
               GError   **error)
{
  TcpReverse *reverse = self->reverse;
  g_autoptr (GPtrArray) addresses = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) sockets = NULL;

  reverse->callbacks.opening (reverse->user_data);
  if (!listener_enter (self, error))
    return FALSE;
  if (!tcp_descriptors_are_left ())
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES, tcp_descriptors_get_advice ());
      return FALSE;
    }
  g_ptr_array_add (addresses, tcp_reverse_claim_get_address (self->claim));
  sockets = tcp_listen (addresses, reverse->log, error);
  if (sockets == NULL)
    return FALSE;

  self->acceptor = tcp_acceptor_new (sockets, reverse->log, on_accepted, self);
  tcp_acceptor_set_resting (self->acceptor, reverse->resting);
  return TRUE;
}

static void
listener_report (Listener *self)
{
  TcpReverse *reverse = self->reverse;
  g_autoptr (GSocketAddress) address = tcp_reverse_claim_get_address (self->claim);
  g_autofree char *host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));

  reverse->callbacks.listening (self->id, host, self->port, reverse->user_data);
}

/* The port could not be opened. */
static void
listener_end_failed (Listener     *self,
                     const GError *error)
{
  g_autofree char *why = NULL;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
    {
      listener_end_in_use (self);
      return;
    }
  why = g_strdup_printf ("cannot listen on port %u: %s", self->port, error->message);
  listener_end (self, error->domain == TCP_TUNNEL_ERROR ? TCP_RESET_LIMIT : TCP_RESET_BROKEN, why);
}

static void
listener_begin (Listener *self)
{
  g_autoptr (GError) error = NULL;

  tcp_timer_set (self->patience, -1);
  if (listener_open (self, &error))
    listener_report (self);
  else
    listener_end_failed (self, error);
}

static void
on_granted (TcpReverseClaim *claim,
            gpointer         user_data)
{
  listener_begin (user_data);
}

static void
on_wanted (TcpReverseClaim *claim,
           gpointer         user_data)
{
  TcpReverse *reverse = ((Listener *) user_data)->reverse;

  reverse->callbacks.wanted (reverse->user_data);
}

static void
on_patience (gpointer user_data)
{
  listener_end_in_use (user_data);
}

static const TcpReverseClaimCallbacks claim_callbacks = { .granted = on_granted, .wanted = on_wanted };

static TcpReverseClaimant
listener_get_claimant (Listener *self)
{
  TcpReverse *reverse = self->reverse;

  return (TcpReverseClaimant) {
    .owner = reverse->owner,
    .session = reverse,
    .thread = reverse->thread,
    .callbacks = &claim_callbacks,
    .user_data = self,
  };
}

/* It got no port, for a reason that applies to all free ports. */
static void
listener_end_full (Listener         *self,
                   TcpReverseResult  result)
{
  g_autofree char *why = NULL;

  if (result == TCP_REVERSE_OWN_FULL)
    why = g_strdup_printf ("the client has as many ports for reverse tunnels as it may: %u (reverse-ports)",
                           self->reverse->owner->reverse_ports.max);
  else
    why = g_strdup_printf ("the free ports for reverse tunnels, of %u in all, are reserved for other clients (reverse-ports)",
                           tcp_reverse_ports_get_quota (self->reverse->ports)->max);
  listener_end (self, TCP_RESET_LIMIT, why);
}

/* Claims a port that is not taken, or one that another session of the same owner has, whose client may be gone. Claims
 * to ports that other programs use are kept until the end, so that each port is tried once. */
static void
listener_begin_anywhere (Listener *self)
{
  TcpReversePorts *ports = self->reverse->ports;
  TcpReverseClaimant claimant = listener_get_claimant (self);
  TcpReverseResult result = TCP_REVERSE_IN_USE;
  g_autoptr (GPtrArray) taken = g_ptr_array_new_with_free_func ((GDestroyNotify) tcp_reverse_claim_free);

  for (;;)
    {
      g_autoptr (GError) error = NULL;

      self->claim = taken->len < MAX_TRIED ? tcp_reverse_ports_claim_any (ports, &claimant, &result) : NULL;
      if (self->claim == NULL)
        break;
      self->port = tcp_reverse_claim_get_port (self->claim);
      if (listener_open (self, &error))
        {
          listener_report (self);
          return;
        }
      if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
        {
          listener_end_failed (self, error);
          return;
        }
      g_ptr_array_add (taken, g_steal_pointer (&self->claim));
    }

  if (taken->len < MAX_TRIED)
    self->claim = tcp_reverse_ports_await_any (ports, &claimant);
  if (self->claim != NULL)
    {
      self->port = tcp_reverse_claim_get_port (self->claim);
      tcp_timer_set (self->patience, tcp_now () + TCP_REVERSE_PATIENCE);
    }
  else if (taken->len == 0 && result != TCP_REVERSE_IN_USE)
    listener_end_full (self, result);
  else if (taken->len == 0)
    listener_end (self, TCP_RESET_IN_USE, "all ports for reverse tunnels are already in use");
  else
    listener_end (self, TCP_RESET_IN_USE, "the ports for reverse tunnels that were tried are in use by other programs");
}

static void
listener_begin_at (Listener *self,
                   guint16   port)
{
  TcpReverseClaimant claimant = listener_get_claimant (self);
  TcpReverseResult result;
  g_autofree char *why = NULL;

  self->port = port;
  self->claim = tcp_reverse_ports_claim (self->reverse->ports, port, &claimant, &result);
  switch (result)
    {
    case TCP_REVERSE_GRANTED:
      listener_begin (self);
      break;
    case TCP_REVERSE_WAITING:
      tcp_timer_set (self->patience, tcp_now () + TCP_REVERSE_PATIENCE);
      break;
    case TCP_REVERSE_IN_USE:
      listener_end_in_use (self);
      break;
    case TCP_REVERSE_SET_ASIDE:
    case TCP_REVERSE_OWN_FULL:
      listener_end_full (self, result);
      break;
    case TCP_REVERSE_FORBIDDEN:
      why = g_strdup_printf ("port %u is not one of those for reverse tunnels of this client (reverse-ports)", port);
      listener_end (self, TCP_RESET_FORBIDDEN, why);
      break;
    }
}

static Listener *
reverse_add_listener (TcpReverse *self,
                      guint32     id)
{
  Listener *listener = g_new0 (Listener, 1);

  listener->reverse = self;
  listener->id = id;
  listener->patience = tcp_timer_new (on_patience, listener);
  g_ptr_array_add (self->listeners, listener);
  return listener;
}

/* @port is 0 for any. */
void
tcp_reverse_listen (TcpReverse *self,
                    guint32     id,
                    guint16     port)
{
  Listener *listener = reverse_add_listener (self, id);

  if (port != 0)
    listener_begin_at (listener, port);
  else
    listener_begin_anywhere (listener);
}

/* The client does not need the listener any more. */
void
tcp_reverse_unlisten (TcpReverse *self,
                      guint32     id)
{
  for (guint i = 0; i < self->listeners->len; i++)
    if (((Listener *) self->listeners->pdata[i])->id == id)
      {
        g_ptr_array_remove_index_fast (self->listeners, i);
        return;
      }
}

/* Returns a listener whose port another session waits for; NULL if there is none. */
static Listener *
reverse_find_wanted (TcpReverse *self)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (listener->acceptor != NULL && tcp_reverse_claim_is_wanted (listener->claim))
        return listener;
    }
  return NULL;
}

/* Gives up the ports that other sessions of the same owner wait for. */
void
tcp_reverse_yield (TcpReverse *self)
{
  Listener *listener;

  while ((listener = reverse_find_wanted (self)) != NULL)
    listener_end (listener, TCP_RESET_CLOSED, "another session of the same client has taken the port over");
}

static Listener *
reverse_find_missed (TcpReverse *self,
                     gint64      since)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (listener->acceptor != NULL && tcp_reverse_claim_is_missed (listener->claim, since))
        return listener;
    }
  return NULL;
}

/* Gives up the ports that were requested by others since then. The client may claim them again. */
void
tcp_reverse_give_way (TcpReverse *self,
                      gint64      since)
{
  Listener *listener;

  while ((listener = reverse_find_missed (self, since)) != NULL)
    listener_end (listener, TCP_RESET_IN_USE, "another client needed the port while this one was away");
}

static Listener *
reverse_find_revoked (TcpReverse *self)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (listener->claim != NULL && tcp_reverse_claim_is_revoked (listener->claim))
        return listener;
    }
  return NULL;
}

/* The allowed ports may have changed: gives up one port that is no longer allowed. FALSE if there is none. */
gboolean
tcp_reverse_end_revoked (TcpReverse *self)
{
  Listener *listener = reverse_find_revoked (self);
  g_autofree char *why = NULL;

  if (listener == NULL)
    return FALSE;

  why = g_strdup_printf ("port %u is not one of those for reverse tunnels of this client any more (reverse-ports)",
                         listener->port);
  listener_end (listener, TCP_RESET_FORBIDDEN, why);
  return TRUE;
}

/* While it rests, new connections wait in the backlog. */
void
tcp_reverse_set_resting (TcpReverse *self,
                         gboolean    resting)
{
  self->resting = resting;
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (listener->acceptor != NULL)
        tcp_acceptor_set_resting (listener->acceptor, resting);
    }
}

/* Ends all listeners. */
void
tcp_reverse_give_up (TcpReverse   *self,
                     TcpResetCode  code,
                     const char   *why)
{
  while (self->listeners->len > 0)
    listener_end (self->listeners->pdata[0], code, why);
}

/* For another process, which inherits the sockets. */
GVariant *
tcp_reverse_save (TcpReverse *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a" TCP_LISTENER_STATE_TYPE));
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];
      int fd = listener->acceptor != NULL ? tcp_acceptor_get_descriptor (listener->acceptor, 0) : -1;

      g_variant_builder_add (&builder, TCP_LISTENER_STATE_TYPE, listener->id, listener->port, fd,
                             fd >= 0 ? tcp_socket_get_inode (fd) : 0);
    }
  return g_variant_builder_end (&builder);
}

/* Restores a listener whose socket already listens, if its client may still use the port. */
static void
reverse_restore_listener (TcpReverse *self,
                          guint32     id,
                          guint16     port,
                          GSocket    *socket)
{
  Listener *listener = reverse_add_listener (self, id);
  TcpReverseClaimant claimant = listener_get_claimant (listener);
  g_autoptr (GPtrArray) sockets = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  TcpReverseResult result;

  listener->port = port;
  listener->claim = tcp_reverse_ports_claim (self->ports, port, &claimant, &result);
  if (result != TCP_REVERSE_GRANTED)
    {
      g_socket_close (socket, NULL);
      listener_end (listener, TCP_RESET_FORBIDDEN, "the client may not have the port any more");
      return;
    }
  if (!listener_enter (listener, &error))
    {
      g_socket_close (socket, NULL);
      listener_end_failed (listener, error);
      return;
    }
  g_ptr_array_add (sockets, socket);
  listener->acceptor = tcp_acceptor_new (sockets, self->log, on_accepted, listener);
}

/* Restores the listeners of another process. */
void
tcp_reverse_restore (TcpReverse *self,
                     GVariant   *listeners)
{
  for (gsize i = 0; i < g_variant_n_children (listeners); i++)
    {
      g_autoptr (GSocket) socket = NULL;
      guint32 id;
      guint16 port;
      guint64 inode;
      int fd;

      g_variant_get_child (listeners, i, TCP_LISTENER_STATE_TYPE, &id, &port, &fd, &inode);
      socket = tcp_socket_inherit (fd, inode);
      if (socket != NULL)
        reverse_restore_listener (self, id, port, socket);
      else
        tcp_reverse_listen (self, id, port);
    }
}

gboolean
tcp_reverse_is_empty (TcpReverse *self)
{
  return self->listeners->len == 0;
}

/* @thread is the current one. The other arguments must outlive the object. */
TcpReverse *
tcp_reverse_new (TcpReversePorts           *ports,
                 TcpQuota                  *quota,
                 TcpAccount                *owner,
                 TcpIoThread               *thread,
                 TcpLog                    *log,
                 const TcpReverseCallbacks *callbacks,
                 gpointer                   user_data)
{
  TcpReverse *self = g_new0 (TcpReverse, 1);

  self->ports = ports;
  self->quota = quota;
  self->owner = owner;
  self->thread = thread;
  self->log = tcp_log_ref (log);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->listeners = g_ptr_array_new_with_free_func (listener_free);
  return self;
}

void
tcp_reverse_free (TcpReverse *self)
{
  g_ptr_array_unref (self->listeners);
  tcp_log_unref (self->log);
  g_free (self);
}
