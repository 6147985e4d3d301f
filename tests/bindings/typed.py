# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program for type checkers, which is not run. They must find an error in each line that is marked, and in no
other."""

import asyncio
from typing import assert_type

from gi.repository import Gio, GLib, TcpTunnel


def check_tunnel() -> None:
    tunnel = TcpTunnel.Tunnel("wss://example.org/", "token", "127.0.0.1", 0, mode="singleton", reconnect_delay=10)
    TcpTunnel.Tunnel(remote_uri="wss://example.org/", mode=TcpTunnel.TunnelMode.SINGLETON, log_level="debug")
    TcpTunnel.Tunnel(mode="single")  # error
    TcpTunnel.Tunnel(colour="blue")  # error
    TcpTunnel.Tunnel(session_timeout=1)  # error

    assert_type(tunnel.mode, TcpTunnel.TunnelMode)
    tunnel.mode = "multiplexed"
    tunnel.resumption = TcpTunnel.TunnelResumption.OFF
    tunnel.mode = "required"  # error
    tunnel.resumption = TcpTunnel.TunnelMode.SINGLETON  # error
    tunnel.token = "another"
    tunnel.state = TcpTunnel.TunnelState.CONNECTED  # error
    tunnel.props.reconnect_delay = 10
    tunnel.props.reconnect_delay = "10"  # error
    assert_type(tunnel.props.state, TcpTunnel.TunnelState)
    assert_type(tunnel.get_local_address(), Gio.SocketAddress | None)
    assert_type(tunnel.last_error, GLib.Error | None)
    assert_type(tunnel.local_address, TcpTunnel.Address | str | None)
    assert_type(tunnel.props.local_address, Gio.SocketAddress | None)
    assert_type(tunnel.address.host, str)
    assert_type(tunnel.address.port, int)

    tunnel.start()
    tunnel.start(Gio.Cancellable())
    tunnel.start("now")  # error
    try:
        with tunnel as same:
            assert_type(same, TcpTunnel.Tunnel)
    except TcpTunnel.UnauthorizedError as error:
        assert_type(error.message, str)
    except TcpTunnel.UnknownError:  # error
        pass


def on_state(state: TcpTunnel.TunnelState) -> None:
    print(state.value_nick)


def on_closed(tunnel: TcpTunnel.Endpoint, connection: TcpTunnel.Connection) -> None:
    assert_type(connection.id, int)
    assert_type(connection.error, GLib.Error | None)
    assert_type(connection.client_address, TcpTunnel.Address | str | None)
    assert_type(connection.props.client_address, Gio.SocketAddress | None)
    connection.id = 1  # error


def on_failed(tunnel: TcpTunnel.Tunnel, error: GLib.Error) -> None:
    print(error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.LOST))


def check_signals(tunnel: TcpTunnel.Tunnel, gateway: TcpTunnel.Gateway) -> None:
    forget = tunnel.on_connection_state_change(on_state)
    forget()
    forget(1)  # error
    assert_type(tunnel.adb_connect(), str)
    tunnel.adb_connect(5037)  # error
    assert_type(tunnel.connect("connection-closed", on_closed), int)
    tunnel.connect("failed", on_failed)
    tunnel.connect("notify::state", print)
    assert_type(tunnel.connect_after("notify::state", print), int)
    assert_type(tunnel.connect_object("notify::state", print, gateway), int)
    tunnel.connect_object("notify::state", print)  # error
    tunnel.disconnect(tunnel.connect("state-changed", lambda tunnel, state: on_state(state)))
    assert_type([connection.id for connection in gateway.get_connections()], list[int])
    model: Gio.ListModel = gateway.get_connections()
    gateway.principals = model
    principals = gateway.principals
    if principals is not None:
        assert_type(principals[0], TcpTunnel.Principal)
    gateway.listeners = [("::1", 8080), "/run/x.sock", Gio.NetworkAddress.new("localhost", 0)]
    gateway.listeners = [80]  # error
    assert_type(gateway.addresses, list[TcpTunnel.Address | str])
    gateway.connect("connection-opened", lambda gateway, connection: print(connection.bytes_sent + 1))


async def on_authenticate(gateway: TcpTunnel.Gateway, authentication: TcpTunnel.Authentication) -> None:
    print(authentication.client_address)
    assert_type(authentication.accept("alice"), bool)


async def check_asyncio() -> None:
    tunnel = await TcpTunnel.start_tcp_tunnel("wss://example.org/", "token", "127.0.0.1", 0, mode="singleton")
    assert_type(tunnel, TcpTunnel.Tunnel)
    await TcpTunnel.start_tcp_tunnel("wss://example.org/")  # error
    assert_type(await tunnel.start(), bool)
    await asyncio.wait_for(asyncio.create_task(tunnel.start()), 1)
    async with TcpTunnel.Gateway("127.0.0.1:22", "token", path="/ssh") as gateway:
        assert_type(gateway, TcpTunnel.Gateway)
        assert_type(gateway.uri, str | None)
        gateway.connect("authenticate", on_authenticate)
        await gateway.reload()
        await gateway.drain(1000)
        await gateway.drain()  # error
