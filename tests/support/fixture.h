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

/* A gateway, a tunnel, and with FIXTURE_PROXY a fault proxy between them. Any property may be set between fixture_new
 * () and fixture_start (). The delays between reconnects are short by default. The protocol is raw or tagged. With
 * FIXTURE_RESUMABLE, it is resumable/1, and the tunnel does not give up reconnecting. */
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

/* The caller keeps the target, which has to outlive the fixture. */
Fixture *fixture_new (Target *target,
                      TcpTunnelMode mode,
                      FixtureFlags flags);
void fixture_free (Fixture *fixture);

void fixture_start_gateway (Fixture *fixture);
void fixture_start (Fixture *fixture);
guint16 fixture_get_port (Fixture *fixture);
guint16 fixture_get_gateway_port (Fixture *fixture);

/* Connects a client to a singleton tunnel, and returns when the WebSocket is open. */
int fixture_connect (Fixture *fixture);

/* A tunnel without a gateway, for example for the HTTP stub. */
TcpTunnel *test_tunnel_new (const char *uri,
                            TcpTunnelMode mode);
void test_tunnel_start (TcpTunnel *tunnel);
/* The same without waiting: @started becomes TRUE later. */
void test_tunnel_begin_start (TcpTunnel *tunnel,
                              gboolean *started);
guint16 test_tunnel_get_port (TcpTunnel *tunnel);

/* Drops a reference that has to be the last one, and waits for I/O threads that still hold the object. */
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
