/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "doubles.h"
#include "protocol/plain-frame.h"
#include "session-check.h"
#include "session/session-private.h"

G_BEGIN_DECLS

/* Clients and a gateway: real sessions, on doubles of all that is beneath them. What
 * tunnel/link.c and gateway/guest.c do about sessions is here in a few lines. */

/* What may happen in a run. */
typedef struct
{
  const char *name;
  gboolean breaks;    /* of WebSockets */
  gboolean resets;    /* TCP connections break, or are refused */
  gboolean losses;    /* the gateway forgets sessions */
  gboolean ends;      /* sessions are closed and drained */
  gboolean reentrant; /* callbacks do anything */
  gboolean budget;    /* several clients share little memory */
  gboolean switches;  /* the gateway speaks raw and tagged at times */
  gboolean stuck;     /* some TCP peers stop reading */
} Profile;

typedef struct _World World;
typedef struct _Client Client;
typedef struct _Guest Guest;

/* A TCP connection through the tunnel, and what became of it at each end. */
typedef struct
{
  Client *client;
  guint generation; /* of the client's session */
  guint32 id; /* 0 as long as there is no protocol */
  TcpStream *streams[2]; /* at each end, while there is one */
  Peer peers[2];
  TcpStream *dial; /* the gateway is to connect it, */
  Guest *guest;    /* this session of it */
  gboolean opened; /* at the gateway */
  gboolean early;  /* the client did not know how many may be */
  gboolean plain;  /* it got into raw or tagged, where nothing is certain */
  gboolean stuck[2];
  guint64 appetite[2]; /* how much one that is stuck reads before */
  gboolean disturbed[2]; /* its end came from this TCP end */
  gboolean left;         /* its OPEN has left the client */
  gboolean excused;      /* need not be complete, */
  gboolean lost;         /* and must not look so */
  gboolean closed[2];
  gboolean clean[2];
} Pair;

struct _Client
{
  World *world;
  gboolean single;
  guint generation; /* of the session, which may have begun anew meanwhile */
  TcpSession *session;
  Guest *guest;     /* of this session, if there is one */
  gboolean gone;    /* there was, and the gateway knows that it ended */
  gboolean crowded; /* a guest of this generation had to write what it is through with */
  GPtrArray *pairs; /* of Pair, of all generations */
  GPtrArray *owners; /* what the callbacks of each session get */
  Link *dialling;
  gboolean closed;
  gboolean accepted;
  const TcpProtocolClass *protocol; /* if it was */
};

struct _Guest
{
  World *world;
  Client *client;
  guint generation;
  TcpSession *session;
  gboolean begun; /* raw: the target was asked for */
  gboolean closed;
  gboolean ended;
};

struct _World
{
  const Profile *profile;
  GRand *rand;
  TcpLog *log;
  TcpStatus *status[2];
  TcpBudget *budget;
  gsize max_budget;
  guint max_retained[2];
  guint max_window[2];
  guint max_streams[2];
  guint most_pairs;
  guint hello_timeout;
  GPtrArray *clients;
  GPtrArray *guests;
  GPtrArray *links;
  gboolean plain;   /* what the gateway makes of new sessions */
  gboolean healing; /* nothing bad happens any more */
};

World *world_new (const Profile *profile,
                  guint32        seed);
void world_free (World *self);
/* One thing, at random. */
void world_step (World *self);
/* All goes well from now on, until there is nothing left to do. */
void world_settle (World *self);
/* As much of it as its TCP peer will read. */
gboolean pair_consume (Pair    *self,
                       Side     side,
                       guint64  n);
/* The TCP peers that did not read do so now. */
void world_unstick (World *self);
void world_check (World *self);
void world_check_end (World *self,
                      gboolean with_stuck);
/* TRUE once in @n times. */
gboolean world_chance (World *self,
                       guint  n);
/* Small ones are as likely as large ones. */
guint64 world_size (World  *self,
                    guint64 most);

Client *client_new (World    *world,
                    gboolean  single);
void client_free (Client *self);
void client_open (Client *self);
/* Goes on with another session. */
void client_renew (Client *self);
/* One step toward a WebSocket; FALSE if it wants none. */
gboolean client_dial (Client *self);
void client_dial_fails (Client *self);
Pair *client_find (Client *self,
                   guint   generation,
                   guint32 id);
Pair *client_find_stream (Client    *self,
                          guint      generation,
                          Side       side,
                          TcpStream *stream);
/* What the session of the tunnel still knows of it, or NULL. */
TcpProtocolStream *pair_get_stream (Pair *self);
/* All that is not through may end as it likes. */
void client_excuse (Client *self,
                    guint   generation);
gboolean pair_is_over (Pair *self);

Guest *guest_new (Client *client);
void guest_free (Guest *self);
void guest_attach (Guest      *self,
                   TcpChannel *channel);
gboolean guest_has_ended (Guest *self);
/* The gateway's application ends it. */
void guest_close (Guest *self);
/* The gateway is not what it was. */
void guest_lose (Guest *self);
void guest_drain (Guest *self);
void pair_connect (Pair *self);
void pair_refuse (Pair *self);

/* Something that a callback may do. */
void world_interfere (World *self,
                      Client *client,
                      Guest  *guest);

G_END_DECLS
