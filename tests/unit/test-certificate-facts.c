/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gateway/certificate-facts.h"

#include <string.h>
#include "certificate.h"

static GByteArray *
issue (const char *subject,
       const char *extensions)
{
  g_autofree char *pem = test_certificate_issue_pem (subject, extensions, TEST_CERTIFICATE_FROM, TEST_CERTIFICATE_TO);
  const char *begin = strchr (pem, '\n');
  g_autofree char *text = g_strndup (begin, strstr (begin, "-----END") - begin);
  gsize length;
  guchar *der = g_base64_decode (text, &length);

  return g_byte_array_new_take (der, length);
}

static void
check (const char *subject,
       const char *extensions,
       const char *names,
       gboolean    is_for_clients)
{
  g_autoptr (GByteArray) der = issue (subject, extensions);
  TcpCertificateFacts facts;
  g_autofree char *joined = NULL;

  g_assert_true (tcp_certificate_read_facts (der->data, der->len, &facts));
  joined = g_strjoinv ("|", facts.names);
  g_assert_cmpstr (joined, ==, names);
  g_assert_cmpint (facts.is_for_clients, ==, is_for_clients);
  g_strfreev (facts.names);
}

static void
test_names (void)
{
  check ("/CN=alice", NULL, "alice", TRUE);
  check ("/O=Example/CN=Jörg M.", NULL, "Jörg M.", TRUE);
  check ("/O=Example", NULL, "", TRUE);
  /* It is ambiguous which of the two counts. */
  check ("/CN=alice/CN=root", NULL, "", TRUE);
  check ("/CN=alice+CN=root", NULL, "", TRUE);

  check ("/CN=root", "subjectAltName = DNS:laptop.example.com", "laptop.example.com", TRUE);
  check ("/CN=root", "subjectAltName = email:alice@example.com, URI:https://e/, DNS:b, IP:10.0.0.1", "alice@example.com|b", TRUE);
  /* Names of other kinds name nobody, and do not hide the subject. */
  check ("/CN=alice", "subjectAltName = IP:10.0.0.1, URI:https://e/", "alice", TRUE);
  /* The subject counts only if there is no such name at all, even if that name is one that nobody can have. */
  check ("/CN=root", "subjectAltName = DER:30:05:82:03:61:00:62", "", TRUE);
  check ("/CN=root", "subjectAltName = DER:30:02:82:00", "", TRUE);
  check ("/CN=root", "subjectAltName = DER:30:03:82:01:ff", "", TRUE);
}

static void
test_usage (void)
{
  check ("/CN=alice", "extendedKeyUsage = clientAuth", "alice", TRUE);
  check ("/CN=alice", "extendedKeyUsage = serverAuth, clientAuth", "alice", TRUE);
  check ("/CN=alice", "extendedKeyUsage = anyExtendedKeyUsage", "alice", TRUE);
  check ("/CN=alice", "extendedKeyUsage = serverAuth", "alice", FALSE);
  check ("/CN=alice", "extendedKeyUsage = critical, emailProtection", "alice", FALSE);
}

/* A certificate that cannot be read names nobody: each truncated one, and several with wrong lengths. One with a
 * flipped bit does no harm. */
static void
test_malformed (void)
{
  g_autoptr (GByteArray) der = issue ("/CN=alice", "subjectAltName = DNS:alice");
  TcpCertificateFacts facts;

  for (guint length = 0; length < der->len; length++)
    {
      g_autofree guint8 *copy = g_memdup2 (der->data, length);

      g_assert_false (tcp_certificate_read_facts (copy, length, &facts));
    }
  for (guint i = 0; i < der->len; i++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autofree guint8 *copy = g_memdup2 (der->data, der->len);

        copy[i] ^= 1 << bit;
        if (tcp_certificate_read_facts (copy, der->len, &facts))
          g_strfreev (facts.names);
      }

  {
    g_autoptr (GByteArray) broken = issue ("/CN=alice", "subjectAltName = DER:30:04:82:7f:61:62");
    g_autoptr (GByteArray) endless = issue ("/CN=alice", "subjectAltName = DER:30:80:82:01:61:00:00");
    g_autoptr (GByteArray) long_tag = issue ("/CN=alice", "subjectAltName = DER:30:04:9f:7f:01:61");

    g_assert_false (tcp_certificate_read_facts (broken->data, broken->len, &facts));
    g_assert_false (tcp_certificate_read_facts (endless->data, endless->len, &facts));
    g_assert_false (tcp_certificate_read_facts (long_tag->data, long_tag->len, &facts));
  }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/certificate-facts/names", test_names);
  g_test_add_func ("/certificate-facts/usage", test_usage);
  g_test_add_func ("/certificate-facts/malformed", test_malformed);

  return g_test_run ();
}
