#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A local TCP port that leads through a gateway.

TCP_TUNNEL_TOKEN=… ./tunnel.py wss://example.org/
"""

import asyncio
import os
import sys

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel


async def main() -> None:
    tunnel = TcpTunnel.Tunnel(sys.argv[1], os.environ["TCP_TUNNEL_TOKEN"])
    failure = asyncio.get_running_loop().create_future()
    tunnel.connect("failed", lambda tunnel, error: failure.set_exception(error))
    tunnel.on_connection_state_change(lambda state: print(state.value_nick, flush=True))

    async with tunnel:
        print("listening on", tunnel.address, flush=True)
        await failure


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
except GLib.Error as error:
    if error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.UNAUTHORIZED):
        print("Is TCP_TUNNEL_TOKEN right?", file=sys.stderr)
    sys.exit(error.message)
