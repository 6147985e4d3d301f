/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A certificate for 127.0.0.1, made with the openssl command when first asked for and forgotten
 * with the process; and the database that trusts it and nothing else. */
GTlsCertificate *test_certificate (void);
GTlsDatabase *test_tls_database (void);
/* Another, issued by the first, for a subjectAltName as openssl writes it, or NULL for none; valid from
 * and to, as YYYYMMDDHHMMSSZ. Unref it. */
GTlsCertificate *test_certificate_issue (const char *names,
                                         const char *from,
                                         const char *to);
/* One of a client, likewise, for a subject as openssl writes it, with lines of its configuration for extensions, or NULL
 * for none. */
GTlsCertificate *test_certificate_issue_client (const char *subject,
                                                const char *extensions,
                                                const char *from,
                                                const char *to);

/* The same, with its key, as text: also one that GIO refuses. Free it. */
char *test_certificate_issue_pem (const char *subject,
                                  const char *extensions,
                                  const char *from,
                                  const char *to);

/* What a client certificate is valid from, and to, if that does not matter. */
#define TEST_CERTIFICATE_FROM "20200101000000Z"
#define TEST_CERTIFICATE_TO "20991231235959Z"

G_END_DECLS
