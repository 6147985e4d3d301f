/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#define TCP_TUNNEL_INSIDE
#include <tcptunnel/tcp-authentication.h>
#include <tcptunnel/tcp-connection.h>
#include <tcptunnel/tcp-endpoint.h>
#include <tcptunnel/tcp-enums.h>
#include <tcptunnel/tcp-error.h>
#include <tcptunnel/tcp-forward.h>
#include <tcptunnel/tcp-gateway-metrics.h>
#include <tcptunnel/tcp-gateway.h>
#include <tcptunnel/tcp-principal.h>
#include <tcptunnel/tcp-reverse-tunnel.h>
#include <tcptunnel/tcp-statistics.h>
#include <tcptunnel/tcp-tunnel.h>
#include <tcptunnel/tcp-version.h>
#undef TCP_TUNNEL_INSIDE
