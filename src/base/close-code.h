/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

/* The close codes of WebSockets, with our own from 4000 on (RFC 6455 leaves 4000 to 4999 to applications). */
#define TCP_CLOSE_NORMAL 1000
#define TCP_CLOSE_GOING_AWAY 1001
#define TCP_CLOSE_PROTOCOL_ERROR 1002
#define TCP_CLOSE_NO_CODE 1005 /* never sent: stands for a close frame without a code */
#define TCP_CLOSE_POLICY_VIOLATION 1008
#define TCP_CLOSE_SERVER_ERROR 1011
#define TCP_CLOSE_RESTARTING 1012
#define TCP_CLOSE_SUPERSEDED 4001
#define TCP_CLOSE_RESET 4002 /* the TCP connection of this end broke, or could not be opened */
