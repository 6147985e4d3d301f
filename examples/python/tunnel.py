#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A local TCP port that leads through a gateway.

TCP_TUNNEL_TOKEN=… ./tunnel.py wss://example.org/
"""

import os
import sys

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel


def on_state_changed(tunnel, state):
    print(state.value_nick, flush=True)


def on_failed(tunnel, error):
    print(error.message, file=sys.stderr)
    global status
    status = 1
    loop.quit()


loop = GLib.MainLoop()
status = 0
tunnel = TcpTunnel.Tunnel(remote_uri=sys.argv[1], token=os.environ["TCP_TUNNEL_TOKEN"])
tunnel.connect("state-changed", on_state_changed)
tunnel.connect("failed", on_failed)
tunnel.start(None)
print("listening on", tunnel.get_local_address().to_string(), flush=True)

try:
    loop.run()
except KeyboardInterrupt:
    pass
tunnel.close()
sys.exit(status)
