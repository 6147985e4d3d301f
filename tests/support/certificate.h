/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A certificate for 127.0.0.1, which the openssl command creates at the first call and which is deleted when the
 * process exits; and a database that trusts only this certificate. */
GTlsCertificate *test_certificate (void);
GTlsDatabase *test_tls_database (void);
/* Another certificate, issued by the first one. @names is a subjectAltName in the syntax of openssl, or NULL for
 * none; @from and @to have the form YYYYMMDDHHMMSSZ. The caller owns the result. */
GTlsCertificate *test_certificate_issue (const char *names,
                                         const char *from,
                                         const char *to);
/* The same for a client: @subject is in the syntax of openssl, @extensions are lines of its configuration, or NULL
 * for none. */
GTlsCertificate *test_certificate_issue_client (const char *subject,
                                                const char *extensions,
                                                const char *from,
                                                const char *to);

/* The same as PEM, with the key. It may be a certificate that GIO refuses. Free the result. */
char *test_certificate_issue_pem (const char *subject,
                                  const char *extensions,
                                  const char *from,
                                  const char *to);

/* The validity of a client certificate in tests that do not depend on it. */
#define TEST_CERTIFICATE_FROM "20200101000000Z"
#define TEST_CERTIFICATE_TO "20991231235959Z"

G_END_DECLS
