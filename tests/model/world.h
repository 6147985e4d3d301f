/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "doubles.h"
#include "protocol/plain-frame.h"
#include "session-check.h"
#include "session/session-private.h"

G_BEGIN_DECLS

/* Clients and a gateway: real sessions, on test doubles of all layers below. The parts of tunnel/link.c and
 * gateway/guest.c that concern sessions are reduced to a few lines here. */

/* What may happen in a run. */
typedef struct
{
  const char *name;
  gboolean breaks;    /* WebSockets break */
  gboolean resets;    /* TCP connections break, or are refused */
  gboolean losses;    /* the gateway loses sessions */
  gboolean ends;      /* sessions are closed and drained */
  gboolean reentrant; /* callbacks call other functions */
  gboolean budget;    /* several clients share little memory */
  gboolean switches;  /* the gateway changes between resumable and raw or tagged */
  gboolean stuck;     /* some TCP peers stop reading */
} Profile;

typedef struct _World World;
typedef struct _Client Client;
typedef struct _Guest Guest;

/* A TCP connection through the tunnel, and its state at each end. */
typedef struct
{
  Client *client;
  guint generation; /* of the client's session */
  guint32 id; /* 0 as long as there is no protocol */
  TcpStream *streams[2]; /* at each end, while there is one */
  Peer peers[2];
  TcpStream *dial; /* the gateway has yet to connect it */
  Guest *guest;    /* the session of the gateway that it belongs to */
  gboolean opened; /* at the gateway */
  gboolean early;  /* opened before the client knew the maximum number of streams */
  gboolean plain;  /* carried by raw or tagged, which guarantee nothing */
  gboolean stuck[2];
  guint64 appetite[2]; /* the number of bytes that a stuck peer reads before it stops */
  gboolean disturbed[2]; /* this TCP end has caused the end */
  gboolean left;         /* its OPEN has been sent by the client */
  gboolean excused;      /* need not be complete */
  gboolean lost;         /* must not end in order */
  gboolean closed[2];
  gboolean clean[2];
} Pair;

struct _Client
{
  World *world;
  gboolean single;
  guint generation; /* the number of the session, which is replaced at times */
  TcpSession *session;
  Guest *guest;     /* of this session, if there is one */
  gboolean gone;    /* there was one, and the gateway knows that it has ended */
  gboolean crowded; /* streams of this session were ending at the gateway, and so took places there */
  GPtrArray *pairs; /* of Pair, of all sessions */
  GPtrArray *owners; /* the user data of each session's callbacks */
  Link *dialling;
  gboolean closed;
  gboolean accepted;
  const TcpProtocolClass *protocol; /* once it was accepted */
};

struct _Guest
{
  World *world;
  Client *client;
  guint generation;
  TcpSession *session;
  gboolean begun; /* raw: the target was connected */
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
  gboolean plain;   /* new sessions of the gateway use raw or tagged */
  gboolean healing; /* no more errors are caused */
};

World *world_new (const Profile *profile,
                  guint32        seed);
void world_free (World *self);
/* Takes one random step. */
void world_step (World *self);
/* Runs without any more errors until nothing is left to do. */
void world_settle (World *self);
/* Takes as much as the TCP peer will read. */
gboolean pair_consume (Pair    *self,
                       Side     side,
                       guint64  n);
/* The TCP peers that did not read do so from now on. */
void world_unstick (World *self);
void world_check (World *self);
void world_check_end (World *self,
                      gboolean with_stuck);
/* Returns TRUE once in @n times. */
gboolean world_chance (World *self,
                       guint  n);
/* Small numbers are as likely as large ones. */
guint64 world_size (World  *self,
                    guint64 most);

Client *client_new (World    *world,
                    gboolean  single);
void client_free (Client *self);
void client_open (Client *self);
/* Continues with another session. */
void client_renew (Client *self);
/* Takes one step toward a WebSocket. Returns FALSE if the client wants none. */
gboolean client_dial (Client *self);
void client_dial_fails (Client *self);
Pair *client_find (Client *self,
                   guint   generation,
                   guint32 id);
Pair *client_find_stream (Client    *self,
                          guint      generation,
                          Side       side,
                          TcpStream *stream);
/* Returns the state that the tunnel's session has of it, or NULL. */
TcpProtocolStream *pair_get_stream (Pair *self);
/* All connections that have not ended may end in any way. */
void client_excuse (Client *self,
                    guint   generation);
gboolean pair_is_over (Pair *self);

Guest *guest_new (Client *client);
void guest_free (Guest *self);
void guest_attach (Guest      *self,
                   TcpChannel *channel);
gboolean guest_has_ended (Guest *self);
/* The gateway's application ends the session. */
void guest_close (Guest *self);
/* The gateway loses the session, as in a restart. */
void guest_lose (Guest *self);
void guest_drain (Guest *self);
void pair_connect (Pair *self);
void pair_refuse (Pair *self);

/* May do something that the application could do within a callback. */
void world_interfere (World *self,
                      Client *client,
                      Guest  *guest);

G_END_DECLS
