# SPDX-License-Identifier: LGPL-2.1-or-later
"""A script of blocking calls in a single thread that never runs a main loop."""

import socket

from support import GENEROUS_S, TOKEN, connect, is_refused, port_of, start_gateway
from gi.repository import TcpTunnel


def read(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the stream ended"
        data += piece
    return data


service = socket.create_server(("127.0.0.1", 0))
service.settimeout(GENEROUS_S)
gateway = start_gateway("127.0.0.1:%d" % service.getsockname()[1])

for mode in TcpTunnel.TunnelMode.SINGLETON, TcpTunnel.TunnelMode.MULTIPLEXED:
    tunnel = TcpTunnel.Tunnel(remote_uri=gateway.dup_uri(), token=TOKEN, mode=mode)
    tunnel.start(None)

    client = connect(port_of(tunnel))
    client.sendall(b"hello")
    served, _ = service.accept()
    served.settimeout(GENEROUS_S)
    assert read(served, 5) == b"hello"
    for size in 1, 1000, 100_000:
        served.sendall(b"x" * size)
        assert read(client, size) == b"x" * size
        client.sendall(b"y" * size)
        assert read(served, size) == b"y" * size

    client.close()
    assert served.recv(1) == b"", "the service was not told of the end"
    served.close()
    port = port_of(tunnel)
    tunnel.close()
    assert is_refused(port), "the port is still open"
    print(mode.value_nick, "ok")

gateway.close()
