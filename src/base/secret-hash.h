/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TCP_SIPHASH_KEY_SIZE 16

/* SipHash-2-4 */
guint64 tcp_siphash (const guint8 *key,
                     gconstpointer data,
                     gsize         length);

/* A hash function for GHashTable, instead of g_str_hash (), if peers choose the strings: they cannot choose many with
 * the same hash, as it depends on a secret of the process. */
guint tcp_secret_hash (gconstpointer text);

/* The same for any bytes. */
guint tcp_secret_hash_bytes (gconstpointer data,
                             gsize         length);

G_END_DECLS
