/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Messages that are a protocol error in either direction, in a session whose stream 1 is open and in which the other
 * end has sent one frame. */
typedef struct
{
  const char *what;
  const char *bytes;
  gsize length;
} BadFrame;

extern const BadFrame bad_frames[];
extern const guint n_bad_frames;

G_END_DECLS
