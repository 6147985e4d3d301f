/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A client with a token that tries to harm clients with another one. */

typedef enum
{
  INSIDER_OPEN_RESET,  /* streams of resumable/1 that are reset as soon as they are open */
  INSIDER_IDS,         /* ids of tagged that are opened and closed, each of which the gateway has to keep */
  INSIDER_MANY_IDS,    /* the same in many sessions */
  INSIDER_SILENT,      /* sessions in which no HELLO is sent; each is new, and held */
  INSIDER_CONNECTIONS, /* one session that takes all connections to the target that it can get */
  INSIDER_INCOMPLETE,  /* WebSockets that each have a large message whose last byte is never sent */
} InsiderKind;

typedef struct
{
  guint16 port;
  InsiderKind kind;
  const char *token;
} InsiderOptions;

/* Never returns. Writes a line to stdout when the flood has reached its full effect for the first time; the flood
 * continues from then on. The line has the amount that it got, how much of that it holds, and how often it was refused,
 * in frames, sessions, connections or WebSockets, depending on the kind. The process fails if the gateway does anything
 * but take what it gets, refuse it properly, or close a session without a HELLO after a while. */
void insider_run (const InsiderOptions *options) G_GNUC_NORETURN;

G_END_DECLS
