/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "base/secret-hash.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

static guint64
get_u64 (const guint8 *data)
{
  guint64 value;

  memcpy (&value, data, sizeof value);
  return GUINT64_FROM_LE (value);
}

static void
mix (guint64 *v,
     guint    rounds)
{
  while (rounds-- > 0)
    {
      v[0] += v[1];
      v[1] = ROTATE (v[1], 13) ^ v[0];
      v[0] = ROTATE (v[0], 32);
      v[2] += v[3];
      v[3] = ROTATE (v[3], 16) ^ v[2];
      v[0] += v[3];
      v[3] = ROTATE (v[3], 21) ^ v[0];
      v[2] += v[1];
      v[1] = ROTATE (v[1], 17) ^ v[2];
      v[2] = ROTATE (v[2], 32);
    }
}

static void
take_in (guint64 *v,
         guint64  word)
{
  v[3] ^= word;
  mix (v, 2);
  v[0] ^= word;
}

guint64
tcp_siphash (const guint8 *key,
             gconstpointer data,
             gsize         length)
{
  guint64 k0 = get_u64 (key);
  guint64 k1 = get_u64 (key + 8);
  guint64 v[] = {
    k0 ^ G_GUINT64_CONSTANT (0x736f6d6570736575), k1 ^ G_GUINT64_CONSTANT (0x646f72616e646f6d),
    k0 ^ G_GUINT64_CONSTANT (0x6c7967656e657261), k1 ^ G_GUINT64_CONSTANT (0x7465646279746573),
  };
  const guint8 *bytes = data;
  gsize left = length;
  guint8 last[8] = { 0 };

  for (; left >= 8; bytes += 8, left -= 8)
    take_in (v, get_u64 (bytes));
  memcpy (last, bytes, left);
  last[7] = length;
  take_in (v, get_u64 (last));
  v[2] ^= 0xff;
  mix (v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static guint8 secret[TCP_SIPHASH_KEY_SIZE];

static void
draw_secret (void)
{
  /* So few bytes are always returned at once. */
  if (getrandom (secret, sizeof secret, 0) != sizeof secret)
    g_error ("the kernel has no random numbers");
}

guint
tcp_secret_hash_bytes (gconstpointer data,
                       gsize         length)
{
  static pthread_once_t drawn = PTHREAD_ONCE_INIT;

  pthread_once (&drawn, draw_secret);
  return tcp_siphash (secret, data, length);
}

guint
tcp_secret_hash (gconstpointer text)
{
  return tcp_secret_hash_bytes (text, strlen (text));
}
