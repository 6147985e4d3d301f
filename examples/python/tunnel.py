#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opens a local TCP port whose connections go through a gateway.

TCP_TUNNEL_TOKEN=… ./tunnel.py wss://example.org/
"""

import asyncio
import os
import sys

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel


async def main(uri: str, token: str) -> None:
    tunnel = TcpTunnel.Tunnel(uri, token)
    failure = asyncio.get_running_loop().create_future()
    tunnel.connect("failed", lambda tunnel, error: failure.set_exception(error))
    tunnel.on_connection_state_change(lambda state: print(state.value_nick, flush=True))

    async with tunnel:
        print("listening on", tunnel.address, flush=True)
        await failure


if len(sys.argv) != 2 or sys.argv[1].startswith("-") or "TCP_TUNNEL_TOKEN" not in os.environ:
    sys.exit("usage: TCP_TUNNEL_TOKEN=TOKEN tunnel.py URL")
try:
    asyncio.run(main(sys.argv[1], os.environ["TCP_TUNNEL_TOKEN"]))
except KeyboardInterrupt:
    pass
except GLib.Error as error:
    if error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.UNAUTHORIZED):
        print("Is TCP_TUNNEL_TOKEN right?", file=sys.stderr)
    sys.exit(error.message)
