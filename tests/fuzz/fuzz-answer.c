/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fuzz.h"
#include "websocket/answer.h"

#include <string.h>

/* An answer of a server is parsed in pieces, whose size depends on the first byte: the size makes no difference. */

static gboolean
add_all (TcpAnswer    *answer,
         const guint8 *data,
         gsize         size,
         gsize         step,
         GError      **error)
{
  gboolean complete = FALSE;

  tcp_answer_init (answer);
  for (gsize at = 0; at < size && !complete && *error == NULL; at += step)
    {
      complete = tcp_answer_add (answer, data + at, MIN (step, size - at), error);
      g_assert_false (complete && *error != NULL);
      if (!complete && *error == NULL)
        g_assert_cmpuint (answer->size + answer->data->len, <=, TCP_ANSWER_MAX_SIZE);
      if (complete && at + step < size)
        g_byte_array_append (answer->data, data + at + step, size - at - step);
    }
  return complete;
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  g_auto (TcpAnswer) whole = { 0 };
  g_auto (TcpAnswer) cut = { 0 };
  g_autoptr (GError) whole_error = NULL;
  g_autoptr (GError) cut_error = NULL;
  g_autoptr (GError) error = NULL;
  gboolean complete;

  if (size < 2)
    return 0;
  complete = add_all (&whole, data + 1, size - 1, size, &whole_error);
  g_assert_cmpint (add_all (&cut, data + 1, size - 1, data[0] + 1, &cut_error), ==, complete);
  g_assert_cmpint (whole_error == NULL, ==, cut_error == NULL);
  if (!complete)
    return 0;

  g_assert_cmpuint (whole.status, ==, cut.status);
  g_assert_cmpuint (whole.status, >=, 101);
  g_assert_cmpmem (whole.data->data, whole.data->len, cut.data->data, cut.data->len);
  if (!tcp_answer_check (&whole, "dGhlIHNhbXBsZSBub25jZQ==", NULL, &error))
    g_assert_nonnull (error);
  return 0;
}
