/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/dial.h"

#include "gateway/addresses.h"
#include "io/connect.h"
#include "io/reactor.h"

#define INNER "it is at an address of this machine or its link, which no pattern names"

struct _TcpDial
{
  TcpDialTicket *ticket;
  TcpDialLane *lane;
  TcpDialLaneCaller *caller;
  TcpDialPlace place;        /* in the lane */
  TcpTarget *target;
  guint16 port;
  TcpIoThread *thread;
  TcpTargetWait *wait;       /* for the addresses of the target */
  TcpConnect *connect;       /* to one of these addresses */
  TcpTargetRules *rules;     /* with which the address must comply; nullable */
  gboolean forbidden;        /* no address complies with the rules */
  gboolean unresolved;       /* the target has no addresses */
  TcpDialObstacle obstacle;  /* if there was no turn for it in time */
  TcpTimer *timer;           /* the deadline */
  guint timeout;             /* in ms, for messages */
  TcpDialFunc func;
  gpointer user_data;
};

static void
on_connected (GSocketConnection *connection,
              const GError      *error,
              gpointer           user_data)
{
  TcpDial *self = user_data;
  gboolean refused = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);

  /* The rules may have changed meanwhile. */
  if (connection != NULL && self->rules != NULL && !tcp_target_rules_allow_connection (self->rules, connection))
    {
      self->func (NULL, TCP_RESET_FORBIDDEN, INNER, self->user_data);
      return;
    }
  self->func (connection, refused ? TCP_RESET_REFUSED : TCP_RESET_UNREACHABLE, error != NULL ? error->message : NULL,
              self->user_data);
}

static gboolean
on_address (GInetAddress *address,
            guint16       port,
            gpointer      user_data)
{
  return tcp_target_rules_allow_address (user_data, address, port);
}

static void
dial_connect (TcpDial            *self,
              GSocketConnectable *addresses)
{
  g_autoptr (GSocketConnectable) where = self->rules != NULL ? tcp_addresses_filter (addresses, on_address, self->rules)
                                                             : g_object_ref (addresses);

  if (where == NULL)
    {
      self->forbidden = TRUE;
      tcp_timer_set (self->timer, 0);
      return;
    }
  self->connect = tcp_connect_new (where, on_connected, self);
}

static void
on_looked_up (GSocketConnectable *where,
              const GError       *error,
              gpointer            user_data)
{
  TcpDial *self = user_data;

  g_clear_pointer (&self->wait, tcp_target_wait_free);
  if (where != NULL)
    dial_connect (self, where);
  else
    {
      self->unresolved = TRUE;
      self->func (NULL, TCP_RESET_UNREACHABLE, error->message, self->user_data);
    }
}

/* It is the turn of this connection, also in the lane of this thread. */
static void
on_turn (gpointer user_data)
{
  TcpDial *self = user_data;
  g_autoptr (GSocketConnectable) where = tcp_target_get (self->target, self->port);

  if (where != NULL)
    dial_connect (self, where);
  else
    self->wait = tcp_target_wait (self->target, self->port, self->thread, on_looked_up, self);
}

static void
on_granted (gpointer user_data)
{
  TcpDial *self = user_data;

  tcp_dial_lane_enter (self->lane, self->caller, &self->place, on_turn, self);
}

static void
on_deadline (gpointer user_data)
{
  TcpDial *self = user_data;
  g_autofree char *why = NULL;
  TcpResetCode code = TCP_RESET_TIMED_OUT;

  if (self->forbidden)
    {
      self->func (NULL, TCP_RESET_FORBIDDEN, INNER, self->user_data);
      return;
    }
  self->unresolved = self->wait != NULL;
  if (self->unresolved)
    why = g_strdup_printf ("its name was not resolved within %u ms", self->timeout);
  else if (self->connect != NULL)
    why = g_strdup_printf ("no answer within %u ms", self->timeout);
  else
    {
      g_autofree char *obstacle = tcp_dial_ticket_dup_obstacle (self->ticket, &self->obstacle);

      code = TCP_RESET_LIMIT;
      why = g_strdup_printf ("it had no turn within %u ms among the connections that are being made: %s", self->timeout,
                             obstacle);
    }
  self->func (NULL, code, why, self->user_data);
}

/* All arguments but @target and @rules must stay valid until the dial is freed. @thread is the current one; @timeout is
 * in milliseconds, 0 for none. @func is not called before this function returns. */
TcpDial *
tcp_dial_new (TcpDialQueue   *queue,
              TcpDialLane    *lane,
              TcpDialClient  *client,
              TcpTarget      *target,
              guint16         port,
              TcpTargetRules *rules,
              TcpIoThread    *thread,
              guint           timeout,
              TcpDialFunc     func,
              gpointer        user_data)
{
  TcpDial *self = g_new0 (TcpDial, 1);
  gboolean granted;

  self->target = tcp_target_ref (target);
  self->port = port;
  self->rules = rules != NULL ? tcp_target_rules_ref (rules) : NULL;
  self->lane = lane;
  self->caller = &client->in_lane;
  self->thread = thread;
  self->timeout = timeout;
  self->func = func;
  self->user_data = user_data;
  self->timer = tcp_timer_new (on_deadline, self);
  if (timeout > 0)
    tcp_timer_set (self->timer, tcp_now () + timeout * G_TIME_SPAN_MILLISECOND);
  self->ticket = tcp_dial_queue_ask (queue, &client->in_queue, thread, on_granted, self, &granted);
  if (granted)
    on_turn (self);
  return self;
}

/* Whether it failed because its target has no addresses, or they were not resolved in time. */
gboolean
tcp_dial_is_unresolved (TcpDial *self)
{
  return self->unresolved;
}

/* Which limit it was, if it failed with TCP_RESET_LIMIT. */
TcpDialObstacle
tcp_dial_get_obstacle (TcpDial *self)
{
  return self->obstacle;
}

/* Replaces the rules; @rules may be NULL. */
void
tcp_dial_set_rules (TcpDial        *self,
                    TcpTargetRules *rules)
{
  TcpTargetRules *former = self->rules;

  self->rules = rules != NULL ? tcp_target_rules_ref (rules) : NULL;
  g_clear_pointer (&former, tcp_target_rules_unref);
}

/* Gives the connection up, if it is being opened. */
void
tcp_dial_free (TcpDial *self)
{
  g_clear_pointer (&self->connect, tcp_connect_free);
  g_clear_pointer (&self->wait, tcp_target_wait_free);
  tcp_timer_clear (&self->timer);
  tcp_dial_lane_leave (self->lane, &self->place);
  tcp_dial_ticket_return (self->ticket);
  tcp_target_unref (self->target);
  g_clear_pointer (&self->rules, tcp_target_rules_unref);
  g_free (self);
}
