/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <tcptunnel/tcptunnel.h>

#include "certificate.h"
#include "client.h"
#include "endpoint.h"
#include "fault-proxy.h"
#include "http-stub.h"
#include "recorder.h"
#include "targets.h"
#include "test-util.h"
#include "ws-client.h"

G_BEGIN_DECLS

#define TEST_TOKEN "correct-horse-battery-staple"

/* A gateway, a fault proxy if wanted, and a tunnel. Between fixture_new () and fixture_start ()
 * any property of theirs may be set; reconnects are quick unless that says otherwise. They speak
 * raw or tagged, or, if that is asked for, resumable/1, and then the tunnel never gives up. */
typedef struct
{
  TcpGateway *gateway;
  FaultProxy *proxy;
  TcpTunnel *tunnel;
  Recorder *recorder;
} Fixture;

typedef enum
{
  FIXTURE_PLAIN = 0,
  FIXTURE_PROXY = 1 << 0,
  FIXTURE_TLS = 1 << 1,
  FIXTURE_RESUMABLE = 1 << 2,
} FixtureFlags;

/* The target stays the caller's and has to outlive the fixture. */
Fixture *fixture_new (Target *target,
                      TcpTunnelMode mode,
                      FixtureFlags flags);
void fixture_free (Fixture *fixture);

void fixture_start_gateway (Fixture *fixture);
void fixture_start (Fixture *fixture);
guint16 fixture_get_port (Fixture *fixture);
guint16 fixture_get_gateway_port (Fixture *fixture);

/* A client on a singleton tunnel whose WebSocket is open on return. */
int fixture_connect (Fixture *fixture);

/* A tunnel alone, as for the HTTP stub. */
TcpTunnel *test_tunnel_new (const char *uri,
                            TcpTunnelMode mode);
void test_tunnel_start (TcpTunnel *tunnel);
/* The same without waiting: @started becomes TRUE. */
void test_tunnel_begin_start (TcpTunnel *tunnel,
                              gboolean *started);
guint16 test_tunnel_get_port (TcpTunnel *tunnel);

/* The last strong reference must have gone; waits for engines that still hold one. */
#define test_assert_finalized(object) \
  G_STMT_START \
  { \
    gpointer watched_ = (object); \
    g_object_add_weak_pointer (G_OBJECT (object), &watched_); \
    g_object_unref (object); \
    WAIT_UNTIL (watched_ == NULL); \
  } \
  G_STMT_END

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Fixture, fixture_free)

G_END_DECLS
