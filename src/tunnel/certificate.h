/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

char *tcp_certificate_explain (GTlsCertificate      *certificate,
                               GTlsCertificateFlags  errors,
                               const char           *host);

G_END_DECLS
