/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#if !defined(TCP_TUNNEL_INSIDE) && !defined(TCP_TUNNEL_COMPILATION)
#error "Only <tcptunnel/tcptunnel.h> can be included directly."
#endif

#include <glib.h>

#ifndef _TCP_TUNNEL_EXTERN
#define _TCP_TUNNEL_EXTERN extern
#endif

/**
 * TCP_TUNNEL_AVAILABLE_IN_1_0: (skip)
 *
 * Marks a symbol that exists since version 1.0.
 *
 * Since: 1.0
 */
#define TCP_TUNNEL_AVAILABLE_IN_1_0 _TCP_TUNNEL_EXTERN
