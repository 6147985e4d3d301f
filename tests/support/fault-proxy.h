/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A TCP proxy between a tunnel and its gateway which does to their connections what bad networks do. It has a thread
 * of its own. All functions may be called from any thread, and have taken effect when they return. */
typedef struct _FaultProxy FaultProxy;

/* FAULT_UP is from the tunnel to the gateway. */
typedef enum
{
  FAULT_UP,
  FAULT_DOWN,
} FaultDirection;

typedef enum
{
  FAULT_TUNNEL_SIDE,
  FAULT_GATEWAY_SIDE,
} FaultSide;

typedef struct
{
  guint64 links_accepted;
  guint links_open;
  guint64 bytes[2];
} FaultCounters;

FaultProxy *fault_proxy_new (void);
void fault_proxy_free (FaultProxy *proxy);
guint16 fault_proxy_get_port (FaultProxy *proxy);
/* Sets the port to which new connections lead. A gateway may thus restart or move while the port of the proxy stays
 * the same. */
void fault_proxy_set_gateway (FaultProxy *proxy,
                              guint16 port);

/* End all current connections, in order or with a reset. */
void fault_proxy_cut (FaultProxy *proxy);
void fault_proxy_reset (FaultProxy *proxy);

/* A stalled direction is not read any more, so that its sender is blocked by back-pressure. */
void fault_proxy_stall (FaultProxy *proxy,
                        FaultDirection direction,
                        gboolean stall);
void fault_proxy_throttle (FaultProxy *proxy,
                           FaultDirection direction,
                           guint bytes_per_second);
void fault_proxy_delay (FaultProxy *proxy,
                        FaultDirection direction,
                        guint milliseconds);

/* Discards all input, including the end of a connection, without a notice to either side. When the black hole ends,
 * the connections that lost bytes in it are reset. */
void fault_proxy_black_hole (FaultProxy *proxy,
                             gboolean black_hole);

/* TRUE stops listening, so that new connections are refused; FALSE listens on the same port again. */
void fault_proxy_refuse (FaultProxy *proxy,
                         gboolean refuse);
void fault_proxy_accept_then_close (FaultProxy *proxy,
                                    gboolean close_at_once);

/* Closes one side of all current connections. The other side stays open, and receives nothing more. */
void fault_proxy_half_open (FaultProxy *proxy,
                            FaultSide closed_side);

/* Cuts a connection right after the last of the next @bytes in a direction. */
void fault_proxy_cut_after (FaultProxy *proxy,
                            FaultDirection direction,
                            guint64 bytes);

FaultCounters fault_proxy_get_counters (FaultProxy *proxy);
gboolean fault_proxy_wait_links (FaultProxy *proxy,
                                 guint links_open,
                                 guint timeout_ms);
gboolean fault_proxy_wait_accepted (FaultProxy *proxy,
                                    guint64 links_accepted,
                                    guint timeout_ms);
gboolean fault_proxy_wait_bytes (FaultProxy *proxy,
                                 FaultDirection direction,
                                 guint64 bytes,
                                 guint timeout_ms);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (FaultProxy, fault_proxy_free)

G_END_DECLS
