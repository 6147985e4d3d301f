/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A certificate for 127.0.0.1, made with the openssl command when first asked for and forgotten
 * with the process; and the database that trusts it and nothing else. */
GTlsCertificate *test_certificate (void);
GTlsDatabase *test_tls_database (void);

G_END_DECLS
