/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A client that has a token, and does what it can to be in the way of those with another. */

typedef enum
{
  INSIDER_OPEN_RESET,  /* streams of resumable/1 that are gone as soon as they are there */
  INSIDER_IDS,         /* ids of tagged that are opened and closed, all of which are to be remembered */
  INSIDER_MANY_IDS,    /* the same in many sessions */
  INSIDER_SILENT,      /* sessions in which no HELLO is sent, each new and held */
  INSIDER_CONNECTIONS, /* one session that takes every connection to the target that it can get */
  INSIDER_INCOMPLETE,  /* WebSockets with a large message each whose last byte is never sent */
} InsiderKind;

typedef struct
{
  guint16 port;
  InsiderKind kind;
  const char *token;
} InsiderOptions;

/* Never returns. A line on stdout when the flood has done its worst for the first time, from when on it goes on:
 * how much it got, how much of that it holds, and how often it was refused. What is counted are frames, sessions,
 * connections or WebSockets, depending on the kind. The process ends if the gateway does anything but take what it
 * gets, refuse it in the way that it should, or close a session without a HELLO after a while. */
void insider_run (const InsiderOptions *options) G_GNUC_NORETURN;

G_END_DECLS
