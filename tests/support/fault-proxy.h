/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A TCP proxy between a tunnel and its gateway that does to their links what bad networks do.
 * It runs on a thread of its own. Every control may be called from any thread and has taken
 * effect when it returns. */
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
/* Where new links lead; whoever keeps the port may restart behind the proxy or move. */
void fault_proxy_set_gateway (FaultProxy *proxy,
                              guint16 port);

/* Ends all current links: in order, or with a reset. */
void fault_proxy_cut (FaultProxy *proxy);
void fault_proxy_reset (FaultProxy *proxy);

/* A stalled direction is no longer read, so that its sender feels the back-pressure. */
void fault_proxy_stall (FaultProxy *proxy,
                        FaultDirection direction,
                        gboolean stall);
void fault_proxy_throttle (FaultProxy *proxy,
                           FaultDirection direction,
                           guint bytes_per_second);
void fault_proxy_delay (FaultProxy *proxy,
                        FaultDirection direction,
                        guint milliseconds);

/* Swallows whatever comes, even the end of a link, and tells nobody. Links that lost bytes this
 * way are reset when it ends. */
void fault_proxy_black_hole (FaultProxy *proxy,
                             gboolean black_hole);

/* Stops listening, so that connects are refused; FALSE listens on the same port again. */
void fault_proxy_refuse (FaultProxy *proxy,
                         gboolean refuse);
void fault_proxy_accept_then_close (FaultProxy *proxy,
                                    gboolean close_at_once);

/* Closes one side of all current links. The other stays open, and nothing comes from it. */
void fault_proxy_half_open (FaultProxy *proxy,
                            FaultSide closed_side);

/* Cuts the link that carries the last of the next @bytes in a direction, right behind it. */
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
