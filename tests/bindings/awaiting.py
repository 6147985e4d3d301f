# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tunnels in asyncio: with its own loop, and with that of PyGObject 3.50 and later."""

import asyncio
import contextlib
import functools
import gc
import os
import socket
import threading
import unittest
import unittest.mock
import weakref

from support import GENEROUS_S, MIB, TOKEN, Echo, connect, exchange, is_refused, let_end_untold, start_gateway
from gi.repository import Gio, GLib, GObject, TcpTunnel
from gi.overrides import TcpTunnel as overrides

try:
    from gi.events import GLibEventLoop, GLibEventLoopPolicy
except ImportError:
    GLibEventLoop = None

CONNECTED = TcpTunnel.TunnelState.CONNECTED
CONNECTING = TcpTunnel.TunnelState.CONNECTING
DISCONNECTED = TcpTunnel.TunnelState.DISCONNECTED


class SilentServer:
    """Accepts TCP connections and sends nothing."""

    async def __aenter__(self):
        self.pending = asyncio.Queue()
        self.writers = []
        self.server = await asyncio.start_server(self.on_connection, "127.0.0.1", 0)
        self.uri = "ws://127.0.0.1:%d/" % self.server.sockets[0].getsockname()[1]
        return self

    def on_connection(self, reader, writer):
        self.pending.put_nowait(reader)
        self.writers.append(writer)

    async def __aexit__(self, *exception):
        self.server.close()
        for writer in self.writers:
            writer.close()


class Watch:
    """The states of a tunnel, and the threads and loops in which they were reported."""

    def __init__(self, tunnel):
        self.states = []
        self.places = set()
        self.changed = asyncio.Event()
        tunnel.on_connection_state_change(self.on_change)

    def on_change(self, state):
        self.states.append(state)
        self.places.add((threading.get_ident(), asyncio.get_running_loop()))
        self.changed.set()

    async def until(self, state):
        while state not in self.states:
            self.changed.clear()
            await self.changed.wait()


async def exchange_by_streams(address, size=MIB):
    data = os.urandom(size)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    assert await reader.readexactly(size) == data
    writer.close()
    await writer.wait_closed()


async def come_to_rest():
    """Lets the loop do everything that needs no waiting."""
    for _ in range(1000):
        await asyncio.sleep(0)


class Awaiting:
    """The tests, for any loop."""

    def setUp(self):
        self.echo = Echo()
        self.gateway = start_gateway(self.echo.address)
        self.addCleanup(self.echo.server_close)
        self.addCleanup(self.echo.shutdown)
        self.addCleanup(self.gateway.close)

    def create(self, **properties):
        tunnel = TcpTunnel.Tunnel(self.gateway.uri, TOKEN, log_level="warn", **properties)
        self.addCleanup(tunnel.close)
        return tunnel

    async def check_error(self, code, *arguments, **properties):
        with self.assertRaises(GLib.Error) as caught:
            await TcpTunnel.start_tcp_tunnel(*arguments, **properties)
        self.assertTrue(caught.exception.matches(TcpTunnel.TunnelError.quark(), code), caught.exception)
        self.assertIsNot(type(caught.exception), TcpTunnel.Error)
        self.assertIsInstance(caught.exception, TcpTunnel.Error)

    def test_reverse(self):
        async def check():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            gateway = TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn", reverse_ports=[str(port)])
            self.addCleanup(gateway.close)
            await gateway.start()
            service = int(self.echo.address.rpartition(":")[2])
            tunnel = await TcpTunnel.start_reverse_tcp_tunnel(gateway.uri, TOKEN, service, log_level="warn")
            self.assertIsInstance(tunnel, TcpTunnel.Tunnel)
            self.assertEqual(tunnel.target, self.echo.address)
            self.assertEqual(tunnel.address, ("127.0.0.1", port))
            self.assertEqual(tunnel.remote_address, ("127.0.0.1", port))
            self.assertEqual(str(tunnel.remote_address), "127.0.0.1:%d" % port)
            self.assertEqual(tunnel.props.remote_address, "127.0.0.1:%d" % port)
            self.assertIsNone(tunnel.get_local_address())
            await exchange_by_streams(tunnel.address)
            tunnel.close()
            self.assertIsNone(tunnel.remote_address)
            with self.assertRaises(GLib.Error):
                tunnel.address

        self.run_on_loop(check())

    def test_one_call(self):
        async def check():
            tunnel = await TcpTunnel.start_tcp_tunnel(self.gateway.uri, TOKEN, "127.0.0.1", 0, mode="singleton")
            self.assertEqual(tunnel.mode, TcpTunnel.TunnelMode.SINGLETON)
            watch = Watch(tunnel)
            await exchange_by_streams(tunnel.address)
            await watch.until(DISCONNECTED)
            self.assertEqual(watch.states, [CONNECTING, CONNECTED, DISCONNECTED])
            port = tunnel.address.port
            tunnel.close()
            self.assertTrue(is_refused(port))

        self.run_on_loop(check())

    def test_open_connection(self):
        async def check():
            data = os.urandom(MIB)
            async with self.create(mode="multiplexed", listen=False) as tunnel:
                self.assertIsNone(tunnel.local_address)
                reader, writer = await tunnel.open_connection()
                writer.write(data)
                writer.write_eof()
                self.assertEqual(await reader.read(), data)
                writer.close()
                await writer.wait_closed()

        self.run_on_loop(check())

    def test_open_connection_fails(self):
        async def check():
            tunnel = self.create(mode="multiplexed")
            with self.assertRaises(TcpTunnel.WrongStateError):
                await tunnel.open_connection()
            with self.assertRaises(TcpTunnel.InvalidArgumentError):
                await tunnel.open_connection("db.lab:")
            await tunnel.start()
            with self.assertRaises(TcpTunnel.ForbiddenError):
                await tunnel.open_connection("db.lab:5432")

        self.run_on_loop(check())

    def test_open_connection_breaks(self):
        """The reason of a break is raised where a socket would have an end."""
        async def check():
            tunnel = self.create(mode="multiplexed", listen=False)
            await tunnel.start()
            reader, writer = await tunnel.open_connection()
            writer.write(b"hello")
            self.assertEqual(await reader.readexactly(5), b"hello")
            tunnel.close()
            with self.assertRaises(TcpTunnel.ClosedError):
                await reader.read()
            writer.close()
            with contextlib.suppress(GLib.Error):
                await writer.wait_closed()

        self.run_on_loop(check())

    def test_without_loop(self):
        for call in self.create().open_connection, self.create().probe:
            with self.assertRaisesRegex(RuntimeError, "no asyncio loop runs in this thread: call it in a coroutine"):
                call()

    def test_probe(self):
        async def check():
            for endpoint in self.create(), self.gateway:
                self.assertIs(await endpoint.probe(), True)

        self.run_on_loop(check())

    def test_open_connection_cancelled(self):
        async def check():
            async with SilentServer() as server:
                tunnel = TcpTunnel.Tunnel(server.uri, TOKEN, log_level="none", listen=False)
                self.addCleanup(tunnel.close)
                await tunnel.start()
                task = asyncio.ensure_future(tunnel.open_connection())
                await server.pending.get()
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                tunnel.close()

        self.run_on_loop(check())

    def test_forwards(self):
        async def check():
            async with self.create(mode="multiplexed") as tunnel:
                forward = TcpTunnel.Forward(target=self.echo.address)
                with self.assertRaises(GLib.Error):
                    forward.address
                self.assertTrue(tunnel.add_forward(forward))
                self.assertEqual(tunnel.get_forwards(), [forward])
                await exchange_by_streams(forward.address)
                proxy = TcpTunnel.Forward(kind="socks")
                self.assertEqual(proxy.kind, TcpTunnel.ForwardKind.SOCKS)
                tunnel.add_forward(proxy)
                tunnel.remove_forward(forward)
                self.assertEqual(tunnel.get_forwards(), [proxy])
            with self.assertRaises(ValueError):
                TcpTunnel.Forward(port=70000)
            with self.assertRaises(ValueError):
                TcpTunnel.Forward(kind="gopher")

        self.run_on_loop(check())

    def test_signals_on_the_loop(self):
        async def check():
            tunnel = self.create(mode="multiplexed")
            watch = Watch(tunnel)
            opened = asyncio.get_running_loop().create_future()
            tunnel.connect("connection-opened", lambda tunnel, connection: opened.set_result(connection.id))
            async with tunnel:
                await exchange_by_streams(tunnel.address)
                self.assertEqual(await opened, 1)
                await watch.until(CONNECTED)
            self.assertEqual(watch.states, [CONNECTING, CONNECTED, DISCONNECTED])
            self.assertEqual(watch.places, {(threading.get_ident(), asyncio.get_running_loop())})

        self.run_on_loop(check())

    def test_async_with(self):
        async def check():
            async with TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn") as gateway:
                async with TcpTunnel.Tunnel(gateway.uri, TOKEN, log_level="warn") as tunnel:
                    await exchange_by_streams(tunnel.address)
                    async with tunnel as same:
                        self.assertIs(same, tunnel)
                    ports = [gateway.address.port]
            return ports

        for port in self.run_on_loop(check()):
            self.assertTrue(is_refused(port))

    def test_with(self):
        async def check():
            tunnel = self.create()
            watch = Watch(tunnel)
            with tunnel:
                await exchange_by_streams(tunnel.address)
                await watch.until(DISCONNECTED)
            self.assertEqual(watch.states, [CONNECTING, CONNECTED, DISCONNECTED])

        self.run_on_loop(check())

    def test_several(self):
        async def check():
            tunnels = [self.create(mode=mode) for mode in ("singleton", "multiplexed") * 4]
            await asyncio.gather(*(tunnel.start() for tunnel in tunnels))
            await asyncio.gather(*(exchange_by_streams(tunnel.address) for tunnel in tunnels))
            self.assertEqual(len({tunnel.address.port for tunnel in tunnels}), 8)
            for tunnel in tunnels:
                tunnel.close()

        self.run_on_loop(check())

    def test_drain(self):
        async def check():
            gateway = TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn")
            await gateway.start()
            port = gateway.address.port
            await gateway.drain(GENEROUS_S * 1000)
            self.assertTrue(is_refused(port))

        self.run_on_loop(check())

    def start_gateway(self):
        gateway = TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn")
        self.addCleanup(gateway.close)
        gateway.start()
        return gateway

    def test_drain_units(self):
        async def check():
            with self.assertRaisesRegex(TypeError, "timeout is a whole number, not 0.5"):
                await self.gateway.drain(0.5)

        self.run_on_loop(check())

    def test_reload(self):
        """A gateway can be reloaded while the loop runs, however it was started."""

        async def check():
            for gateway in self.gateway, TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn"):
                if not gateway.active:
                    await gateway.start()
                self.assertIs(await gateway.reload(), True)
            gateway.close()

        self.run_on_loop(check())

    def test_reload_fails(self):
        async def check():
            gateway = TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="none")
            with self.assertRaises(TcpTunnel.WrongStateError):
                await gateway.reload()
            await gateway.start()
            gateway.allow = ["a"]
            with self.assertRaises(TcpTunnel.InvalidArgumentError):
                await gateway.reload()
            gateway.allow = ["db.lab:5432"]
            cancellable = Gio.Cancellable()
            cancellable.cancel()
            with self.assertRaises(GLib.Error) as caught:
                await gateway.reload(cancellable)
            self.assertTrue(caught.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
            await asyncio.gather(gateway.reload(), gateway.reload())
            gateway.close()

        self.run_on_loop(check())

    def test_authenticate(self):
        """A handler may be a coroutine; one that raises, or is cancelled, rejects."""
        raised = []

        async def on_authenticate(gateway, authentication, data):
            self.assertEqual(data, "data")
            token = authentication.dup_token()
            await asyncio.sleep(0)
            if token == "raises":
                raise RuntimeError("on purpose")
            if token == "is-cancelled":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            if token == TOKEN:
                authentication.accept("alice")

        async def check():
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: raised.append(context["exception"]))
            gateway = TcpTunnel.Gateway(self.echo.address, log_level="none")
            gateway.connect("authenticate", on_authenticate, "data")
            async with gateway:
                async with TcpTunnel.Tunnel(gateway.uri, TOKEN, mode="multiplexed", log_level="warn") as tunnel:
                    await exchange_by_streams(tunnel.address)
                for token in "unknown", "raises", "is-cancelled":
                    await self.check_error(TcpTunnel.TunnelError.UNAUTHORIZED, gateway.uri, token, mode="multiplexed")
            gc.collect()

        self.run_on_loop(check())
        self.assertEqual([str(error) for error in raised], ["on purpose"])

    def test_authenticate_connected_otherwise(self):
        async def on_authenticate(instance, authentication, *user_data):
            await asyncio.sleep(0)
            instances.append(instance)
            authentication.accept("alice")

        async def check(connect, instance):
            gateway = TcpTunnel.Gateway(self.echo.address, log_level="none")
            connect(gateway)
            async with gateway:
                await TcpTunnel.start_tcp_tunnel(gateway.uri, TOKEN, mode="multiplexed", log_level="warn")
            self.assertEqual(instances, [instance or gateway])

        other = TcpTunnel.Tunnel()
        for connect, instance in (
            (lambda gateway: gateway.connect_after("authenticate", on_authenticate, "data"), None),
            (lambda gateway: gateway.connect_object("authenticate", on_authenticate, other, "data"), other),
            (lambda gateway: gateway.connect_object_after("authenticate", on_authenticate, other), other),
            (lambda gateway: gateway.connect_data("authenticate", on_authenticate, "data"), None),
            (lambda gateway: gateway.connect_data("authenticate", on_authenticate, other,
                                                  connect_flags=GObject.ConnectFlags.SWAPPED), other),
        ):
            instances = []
            self.run_on_loop(check(connect, instance))

    def test_drain_with(self):
        """A gateway that a blocking call has started can be drained in the loop."""

        async def check():
            with TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn") as gateway:
                port = gateway.address.port
                self.assertIs(await gateway.drain(GENEROUS_S * 1000), True)
                self.assertTrue(is_refused(port))

        self.run_on_loop(check())

    def test_drain_not_running(self):
        async def check():
            self.assertIs(await TcpTunnel.Gateway().drain(GENEROUS_S * 1000), True)

        self.run_on_loop(check())

    def test_with_failed(self):
        """A tunnel that has ended while no loop ran, so that this was not reported."""
        tunnel = self.create()
        tunnel.token = "wrong"
        tunnel.start()
        let_end_untold(tunnel)
        self.assertIsNotNone(tunnel.local_address)
        tunnel.token = TOKEN

        async def check():
            async with tunnel:
                await exchange_by_streams(tunnel.address)

        self.run_on_loop(check())

    def test_with_being_started(self):
        async def check():
            async with SilentServer() as server:
                tunnel = TcpTunnel.Tunnel(server.uri, TOKEN, mode="multiplexed", log_level="none")
                start = asyncio.create_task(tunnel.start())
                await server.pending.get()
                with self.assertRaises(GLib.Error) as caught:
                    async with tunnel:
                        self.fail("it runs")
                error = caught.exception
                self.assertTrue(error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.WRONG_STATE))
                tunnel.close()
                with self.assertRaises(GLib.Error):
                    await start

        self.run_on_loop(check())

    def test_never_answered(self):
        """A task that waits can be cancelled even if no answer comes."""

        async def check():
            begun = asyncio.Event()
            call = asyncio.create_task(overrides._call(lambda *rest: begun.set(), None, None))
            await begun.wait()
            call.cancel()
            await asyncio.wait([call])
            self.assertTrue(call.cancelled())

        with unittest.mock.patch.object(overrides, "_PATIENCE_S", 0):
            self.run_on_loop(check())

    def test_names(self):
        async def check():
            for call, name in (
                (self.create().start(), "Tunnel.start"),
                (self.gateway.start(), "Gateway.start"),
                (self.gateway.drain(0), "Gateway.drain"),
                (self.gateway.reload(), "Gateway.reload"),
                (self.create().open_connection(), "Tunnel.open_connection"),
            ):
                self.assertEqual(call.__qualname__, name)
                call.close()

        self.run_on_loop(check())

    def test_errors(self):
        async def check():
            code = TcpTunnel.TunnelError
            await self.check_error(code.INVALID_ARGUMENT, "http://127.0.0.1/", TOKEN)
            await self.check_error(code.UNREACHABLE, "ws://127.0.0.1:1/", TOKEN, mode="multiplexed")
            await self.check_error(code.UNAUTHORIZED, self.gateway.uri, "wrong", mode="multiplexed")
            await self.check_error(code.LISTEN, self.gateway.uri, TOKEN, "127.0.0.1", self.gateway.address.port)
            async with self.create() as tunnel:
                with self.assertRaises(GLib.Error) as caught:
                    await tunnel.start()
                self.assertTrue(caught.exception.matches(code.quark(), code.WRONG_STATE))
                await exchange_by_streams(tunnel.address)

        self.run_on_loop(check())

    def test_closed_meanwhile(self):
        async def check():
            async with SilentServer() as server:
                tunnel = TcpTunnel.Tunnel(server.uri, TOKEN, mode="multiplexed", log_level="none")
                start = asyncio.create_task(tunnel.start())
                await server.pending.get()
                tunnel.close()
                with self.assertRaises(GLib.Error) as caught:
                    await start
                self.assertTrue(caught.exception.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.CLOSED))

        self.run_on_loop(check())

    def test_cancelled_task(self):
        async def check():
            async with SilentServer() as server:
                tunnel = TcpTunnel.Tunnel(server.uri, TOKEN, mode="multiplexed", log_level="none")
                pending = []
                for _ in range(2):
                    start = asyncio.create_task(tunnel.start())
                    pending.append(await server.pending.get())
                    start.cancel()
                    await asyncio.wait([start])
                    self.assertTrue(start.cancelled())
                    self.assertIsNone(tunnel.local_address)
                # The connection is closed at once, not when the tunnel is freed.
                for connection in pending:
                    await connection.read()

        self.run_on_loop(check())

    def test_cancelled_too_late(self):
        async def check():
            tunnel = self.create()
            ports = []

            def on_address(tunnel, spec):
                if tunnel.local_address is not None:
                    ports.append(tunnel.address.port)
                    start.cancel()

            tunnel.connect("notify::local-address", on_address)
            start = asyncio.create_task(tunnel.start())
            await asyncio.wait([start])
            self.assertTrue(start.cancelled())
            self.assertEqual(len(ports), 1)
            self.assertIsNone(tunnel.local_address)
            self.assertTrue(is_refused(ports[0]))

        self.run_on_loop(check())

    def test_cancellable(self):
        async def check():
            async with SilentServer() as server:
                tunnel = TcpTunnel.Tunnel(server.uri, TOKEN, mode="multiplexed", log_level="none")
                cancellable = Gio.Cancellable()
                start = asyncio.create_task(tunnel.start(cancellable))
                await server.pending.get()
                cancellable.cancel()
                with self.assertRaises(GLib.Error) as caught:
                    await start
                self.assertTrue(caught.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))

        self.run_on_loop(check())

    def test_token_later(self):
        async def check():
            tunnel = self.create(mode="multiplexed")
            tunnel.token = "stale"

            async def renew(tunnel):
                tunnel.token = TOKEN

            tasks = []
            tunnel.connect("token-required", lambda tunnel: tasks.append(asyncio.create_task(renew(tunnel))))
            async with tunnel:
                await exchange_by_streams(tunnel.address)
            self.assertEqual(len(tasks), 1)

        self.run_on_loop(check())

    def test_coroutine_handlers(self):
        async def renew(tunnel, data):
            await asyncio.sleep(0)
            renewed.append(data)
            tunnel.token = TOKEN

        async def on_state(state):
            await asyncio.sleep(0)
            states.append(state)

        async def check():
            tunnel = self.create(mode="multiplexed")
            tunnel.token = "stale"
            tunnel.connect("token-required", renew, "data")
            unregister = tunnel.on_connection_state_change(on_state)
            async with tunnel:
                await exchange_by_streams(tunnel.address)
                while CONNECTED not in states:
                    await asyncio.sleep(0)
                unregister()

        renewed, states = [], []
        self.run_on_loop(check())
        self.assertEqual(renewed, ["data"])
        self.assertEqual(states[-1], CONNECTED)

    def test_handlers_that_return_coroutines(self):
        async def renew(tunnel, *user_data):
            await asyncio.sleep(0)
            tunnel.token = TOKEN

        class Renewal:
            async def __call__(self, tunnel, *user_data):
                await renew(tunnel)

        async def check(connect):
            tunnel = self.create(mode="multiplexed")
            tunnel.token = "stale"
            connect(tunnel)
            async with tunnel:
                await exchange_by_streams(tunnel.address)

        for connect in (
            lambda tunnel: tunnel.connect("token-required", Renewal()),
            lambda tunnel: tunnel.connect("token-required", lambda tunnel: renew(tunnel)),
            lambda tunnel: tunnel.connect("token-required", functools.partial(renew, tunnel)),
            lambda tunnel: tunnel.connect_after("token-required", renew, "data"),
            lambda tunnel: tunnel.connect_object("token-required", renew, tunnel),
        ):
            self.run_on_loop(check(connect))

    def test_state_callback_that_returns_a_coroutine(self):
        async def on_state(state):
            await asyncio.sleep(0)
            states.append(state)

        async def check():
            tunnel = self.create(mode="multiplexed")
            tunnel.on_connection_state_change(lambda state: on_state(state))
            async with tunnel:
                await exchange_by_streams(tunnel.address)
                while CONNECTED not in states:
                    await asyncio.sleep(0)

        states = []
        self.run_on_loop(check())

    def test_failed(self):
        async def check():
            tunnel = self.create(mode="singleton")
            tunnel.token = "wrong"
            failure = asyncio.get_running_loop().create_future()
            tunnel.connect("failed", lambda tunnel, error: failure.set_result(error))
            async with tunnel:
                # The reset may come before the client notices that its connection was accepted.
                with contextlib.suppress(ConnectionError):
                    _, writer = await asyncio.open_connection(*tunnel.address)
                    writer.close()
                error = await failure
            self.assertEqual(error.code, TcpTunnel.TunnelError.UNAUTHORIZED)

        self.run_on_loop(check())

    def test_outlives_its_loop(self):
        async def start():
            tunnel = self.create(mode="multiplexed")
            await tunnel.start()
            return tunnel

        tunnel = self.run_on_loop(start())
        gc.collect()
        for _ in range(3):
            with connect(tunnel.address.port) as client:
                exchange(client)
        tunnel.close()

        async def again():
            async with tunnel:
                await exchange_by_streams(tunnel.address)

        self.run_on_loop(again())

    def test_dropped(self):
        async def check():
            tunnel = self.create_uncleaned()
            await tunnel.start()
            port = tunnel.address.port
            gone = weakref.ref(tunnel)
            del tunnel
            gc.collect()
            self.assertIsNone(gone())
            self.assertTrue(is_refused(port))

        self.run_on_loop(check())

    def create_uncleaned(self):
        return TcpTunnel.Tunnel(self.gateway.uri, TOKEN, log_level="warn")


class OnAsyncio(Awaiting, unittest.TestCase):
    def run_on_loop(self, coroutine):
        return asyncio.run(asyncio.wait_for(coroutine, GENEROUS_S))

    def test_drain_elsewhere(self):
        async def start():
            gateway = TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn")
            await gateway.start()
            return gateway

        async def check():
            with self.assertRaises(GLib.Error) as caught:
                await gateway.drain(GENEROUS_S * 1000)
            error = caught.exception
            self.assertTrue(error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.WRONG_STATE), error)
            self.assertFalse(is_refused(gateway.address.port))

        # Where no loop runs, and in another loop.
        for gateway in self.start_gateway(), self.run_on_loop(start()):
            self.run_on_loop(check())
            port = gateway.address.port
            # A blocking call is possible in both cases.
            self.assertIs(gateway.drain(GENEROUS_S * 1000), True)
            self.assertTrue(is_refused(port))

    def test_another_thread(self):
        async def check():
            tunnel = self.create()
            watch = Watch(tunnel)
            async with tunnel:
                await exchange_by_streams(tunnel.address)
                await watch.until(DISCONNECTED)
            self.assertEqual(watch.places, {(threading.get_ident(), asyncio.get_running_loop())})
            ended.append(threading.get_ident())

        ended = []
        threads = [threading.Thread(target=self.run_on_loop, args=(check(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(ended), 3)

    @contextlib.contextmanager
    def counted_turns(self):
        """Counts the iterations of the loop for GLib."""
        turns = []

        class Counting(overrides._Pump):
            def _turn(self):
                turns.append(1)
                super()._turn()

        with unittest.mock.patch.object(overrides, "_Pump", Counting):
            yield turns

    async def check_idle(self, turns):
        # There may be one or two events that were not waited for.
        turns.clear()
        await come_to_rest()
        self.assertLess(len(turns), 10)

    def test_idle(self):
        async def check():
            async with self.create() as tunnel:
                watch = Watch(tunnel)
                await exchange_by_streams(tunnel.address)
                await watch.until(DISCONNECTED)
                await self.check_idle(turns)

        with self.counted_turns() as turns:
            self.run_on_loop(check())

    def test_sources(self):
        """The context within handlers supports timeouts and file descriptors as well."""

        class Watcher(GLib.Source):
            def __init__(self, fd, condition, done):
                super().__init__()
                self.tag = self.add_unix_fd(fd, condition)
                self.done = done

            def prepare(self):
                return False, -1

            def check(self):
                return bool(self.query_unix_fd(self.tag))

            def dispatch(self, callback, arguments):
                self.done.set()
                return GLib.SOURCE_REMOVE

        async def check():
            near, far = socket.socketpair()
            near.setblocking(False)
            far.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    far.send(bytes(MIB))
            events = {name: asyncio.Event() for name in ("timeout", "idle", "read", "write")}
            sources = [
                # Late enough, so that nothing else wakes the loop.
                GLib.timeout_source_new(200),
                GLib.idle_source_new(),
                Watcher(far.fileno(), GLib.IOCondition.IN, events["read"]),
                Watcher(far.fileno(), GLib.IOCondition.OUT, events["write"]),
            ]
            sources[0].set_callback(lambda data: events["timeout"].set())
            sources[1].set_callback(lambda data: events["idle"].set())

            def attach(state):
                for source in sources:
                    source.attach(GLib.MainContext.get_thread_default())
                forget()

            tunnel = self.create(mode="multiplexed")
            forget = tunnel.on_connection_state_change(attach)
            with near, far:
                async with tunnel:
                    for name in "idle", "timeout":
                        await events[name].wait()
                    await self.check_idle(turns)
                    self.assertFalse(events["write"].is_set())
                    with contextlib.suppress(BlockingIOError):
                        while near.recv(MIB):
                            pass
                    await events["write"].wait()
                    await self.check_idle(turns)
                    self.assertFalse(events["read"].is_set())
                    near.send(b"x")
                    await events["read"].wait()

        with self.counted_turns() as turns:
            self.run_on_loop(check())


if GLibEventLoop is not None:

    class OnGLib(Awaiting, unittest.TestCase):
        def setUp(self):
            super().setUp()
            asyncio.set_event_loop_policy(GLibEventLoopPolicy())
            self.addCleanup(asyncio.set_event_loop_policy, None)

        def run_on_loop(self, coroutine):
            loop = asyncio.get_event_loop_policy().get_event_loop()
            self.assertIsInstance(loop, GLibEventLoop)
            with contextlib.closing(loop), unittest.mock.patch.object(overrides, "_Pump", None):
                return loop.run_until_complete(asyncio.wait_for(coroutine, GENEROUS_S))

        def test_drain_started_before(self):
            """The loop is that of the thread, whether it runs or not."""
            gateway = self.start_gateway()
            port = gateway.address.port

            async def check():
                self.assertIs(await gateway.drain(GENEROUS_S * 1000), True)
                self.assertTrue(is_refused(port))

            self.run_on_loop(check())

        def test_raw(self):
            async def check():
                tunnel = self.create(mode="multiplexed")
                self.assertTrue(await tunnel.start_async(None))
                await exchange_by_streams(tunnel.address)
                tunnel.close()

            self.run_on_loop(check())


unittest.main(verbosity=2)
