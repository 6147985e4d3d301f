/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first message of the gateway of a reverse tunnel is parsed as one of two kinds, or there is an error; a message
 * that this library formats is parsed to the same values. */

#include "fuzz.h"

#include <string.h>
#include "protocol/reverse-message.h"

/* The host is passed to programs of the user. */
static void
check_host (const char *host)
{
  g_assert_cmpint (*host, !=, '-');
  g_assert_cmpint (*host, !=, '\0');
  for (; *host != '\0'; host++)
    g_assert_true (g_ascii_isalnum (*host) || strchr (".-:%", *host) != NULL);
}

static void
check_again (const TcpReverseMessage *message)
{
  g_autofree char *text = message->host != NULL ? tcp_reverse_message_format_ready (message->host, message->port)
                                                : tcp_reverse_message_format_error (message->refusal);
  g_auto (TcpReverseMessage) again = { 0 };

  g_assert_true (tcp_reverse_message_parse (text, strlen (text), &again, NULL));
  g_assert_cmpstr (again.host, ==, message->host);
  g_assert_cmpstr (again.refusal, ==, message->refusal);
  g_assert_cmpuint (again.port, ==, message->port);
}

int
LLVMFuzzerTestOneInput (const guint8 *data,
                        gsize         size)
{
  g_auto (TcpReverseMessage) message = { 0 };
  g_autoptr (GError) error = NULL;

  if (!tcp_reverse_message_parse (size > 0 ? (const char *) data : "", size, &message, &error))
    {
      g_assert_nonnull (error);
      return 0;
    }
  g_assert_no_error (error);
  g_assert_true ((message.host != NULL) != (message.refusal != NULL));
  if (message.host != NULL)
    check_host (message.host);
  /* A text that was cut has an additional character at its end. */
  if (size < 200)
    check_again (&message);
  return 0;
}
