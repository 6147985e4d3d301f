/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "gateway/question.h"
#include "gateway/request.h"
#include "gateway/shared.h"
#include "gateway/upgrade.h"

G_BEGIN_DECLS

TcpRequest *tcp_handshake_examine (TcpShared            *shared,
                                   const TcpUpgrade     *upgrade,
                                   TcpClientCertificate *certificate,
                                   const TcpAnswer      *answer,
                                   TcpRefusal           *refusal);

G_END_DECLS
