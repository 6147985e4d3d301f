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

G_END_DECLS
