/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/reverse.h"

#include "io/acceptor.h"
#include "io/descriptors.h"
#include "io/listen.h"
#include "io/reactor.h"

struct _TcpReverse
{
  TcpReversePorts *ports;
  TcpQuotaShare *owner;
  TcpIoThread *thread;
  TcpLog *log;
  TcpReverseCallbacks callbacks;
  gpointer user_data;
  GPtrArray *listeners; /* of Listener */
};

typedef struct
{
  TcpReverse *reverse;
  guint32 id;
  guint16 port;
  TcpReverseClaim *claim;
  TcpTimer *patience;    /* set while it waits for the port */
  TcpAcceptor *acceptor; /* NULL until it listens */
} Listener;

static void
listener_free (gpointer data)
{
  Listener *self = data;

  g_clear_pointer (&self->acceptor, tcp_acceptor_free);
  tcp_timer_clear (&self->patience);
  g_clear_pointer (&self->claim, tcp_reverse_claim_free);
  g_free (self);
}

/* It is freed, and the port is free for others. */
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

/* The port is claimed. */
static gboolean
listener_open (Listener  *self,
               GError   **error)
{
  TcpReverse *reverse = self->reverse;
  g_autoptr (GPtrArray) addresses = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) sockets = NULL;

  if (!tcp_descriptors_are_left ())
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES, TCP_DESCRIPTORS_ADVICE);
      return FALSE;
    }
  g_ptr_array_add (addresses, tcp_reverse_ports_get_address (reverse->ports, self->port));
  sockets = tcp_listen (addresses, reverse->log, error);
  if (sockets != NULL)
    self->acceptor = tcp_acceptor_new (sockets, reverse->log, on_accepted, self);
  return sockets != NULL;
}

static void
listener_report (Listener *self)
{
  TcpReverse *reverse = self->reverse;
  g_autoptr (GSocketAddress) address = tcp_reverse_ports_get_address (reverse->ports, self->port);
  g_autofree char *host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));

  reverse->callbacks.listening (self->id, host, self->port, reverse->user_data);
}

static void
listener_begin (Listener *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;

  tcp_timer_set (self->patience, -1);
  if (listener_open (self, &error))
    {
      listener_report (self);
      return;
    }
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
    {
      listener_end_in_use (self);
      return;
    }
  why = g_strdup_printf ("cannot listen on port %u: %s", self->port, error->message);
  listener_end (self, TCP_RESET_BROKEN, why);
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

static TcpReverseResult
listener_claim (Listener *self,
                guint16   port,
                gboolean  waits)
{
  static const TcpReverseClaimCallbacks callbacks = { .granted = on_granted, .wanted = on_wanted };
  TcpReverse *reverse = self->reverse;
  TcpReverseResult result;

  self->port = port;
  self->claim = tcp_reverse_ports_claim (reverse->ports, port, reverse->owner, waits, reverse->thread, &callbacks, self,
                                         &result);
  return result;
}

static gboolean
reverse_has_port (TcpReverse *self,
                  Listener   *except,
                  guint16     port)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      Listener *listener = self->listeners->pdata[i];

      if (listener != except && listener->claim != NULL && listener->port == port)
        return TRUE;
    }
  return FALSE;
}

/* It got no port, for a reason that is the same for all that are free. */
static void
listener_end_full (Listener         *self,
                   TcpReverseResult  result)
{
  listener_end (self, TCP_RESET_LIMIT,
                result == TCP_REVERSE_OWN_FULL
                  ? "the client has as many ports for reverse tunnels already as one may have"
                  : "the ports for reverse tunnels that are free are set aside for other clients");
}

/* The first that is free or, if it waits, that another session of the same owner has, which may be dead. Counts those that
 * were tried, and sets @why if one was free nevertheless. */
static gboolean
listener_find_port (Listener         *self,
                    gboolean          waits,
                    guint            *tried,
                    TcpReverseResult *why)
{
  TcpReversePorts *ports = self->reverse->ports;

  for (guint16 port = tcp_reverse_ports_get_next (ports, 0); port != 0; port = tcp_reverse_ports_get_next (ports, port))
    {
      TcpReverseResult result = listener_claim (self, port, waits && !reverse_has_port (self->reverse, self, port));

      ++*tried;
      if (result == TCP_REVERSE_GRANTED && listener_open (self, NULL))
        {
          listener_report (self);
          return TRUE;
        }
      if (result == TCP_REVERSE_WAITING)
        {
          tcp_timer_set (self->patience, tcp_now () + TCP_REVERSE_PATIENCE);
          return TRUE;
        }
      g_clear_pointer (&self->claim, tcp_reverse_claim_free);
      if (result == TCP_REVERSE_OWN_FULL || result == TCP_REVERSE_SET_ASIDE)
        {
          *why = result;
          if (!waits)
            break;
        }
    }
  return FALSE;
}

/* Returns how many ports were tried. */
static guint
listener_begin_anywhere (Listener *self)
{
  TcpReverseResult why = TCP_REVERSE_IN_USE;
  guint tried = 0;

  if (listener_find_port (self, FALSE, &tried, &why) || listener_find_port (self, TRUE, &tried, &why))
    return tried;

  if (why != TCP_REVERSE_IN_USE)
    listener_end_full (self, why);
  else
    listener_end (self, TCP_RESET_IN_USE, "all ports for reverse tunnels are already in use");
  return tried;
}

static void
listener_begin_at (Listener *self,
                   guint16   port)
{
  TcpReverseResult result = listener_claim (self, port, TRUE);
  g_autofree char *why = NULL;

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
      why = g_strdup_printf ("port %u is not one of those for reverse tunnels (reverse-ports)", port);
      listener_end (self, TCP_RESET_FORBIDDEN, why);
      break;
    }
}

/* @port is 0 for any. Returns how many ports that took a try. */
guint
tcp_reverse_listen (TcpReverse *self,
                    guint32     id,
                    guint16     port)
{
  Listener *listener = g_new0 (Listener, 1);

  listener->reverse = self;
  listener->id = id;
  listener->patience = tcp_timer_new (on_patience, listener);
  g_ptr_array_add (self->listeners, listener);
  if (port == 0)
    return listener_begin_anywhere (listener);

  listener_begin_at (listener, port);
  return 1;
}

/* The client has no more use for it. */
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

/* One of those that others wait for; NULL if there is none. */
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

/* Gives up what other sessions of the same owner wait for. */
void
tcp_reverse_yield (TcpReverse *self)
{
  Listener *listener;

  while ((listener = reverse_find_wanted (self)) != NULL)
    listener_end (listener, TCP_RESET_CLOSED, "another session of the same client has taken the port over");
}

/* Takes no new connections. */
void
tcp_reverse_drain (TcpReverse *self)
{
  while (self->listeners->len > 0)
    listener_end (self->listeners->pdata[0], TCP_RESET_DRAINING, "the gateway takes no new connections");
}

gboolean
tcp_reverse_is_empty (TcpReverse *self)
{
  return self->listeners->len == 0;
}

/* @owner has to outlive it. @thread is the current one. */
TcpReverse *
tcp_reverse_new (TcpReversePorts           *ports,
                 TcpQuotaShare             *owner,
                 TcpIoThread               *thread,
                 TcpLog                    *log,
                 const TcpReverseCallbacks *callbacks,
                 gpointer                   user_data)
{
  TcpReverse *self = g_new0 (TcpReverse, 1);

  self->ports = ports;
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
