# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals that arrive during a blocking call. Each scenario is a program of its own that interrupts itself, and
prints a line for each event. The gateway that it waits for never answers, so that a call which ignores the signal
hangs, and the test with it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import unittest

from support import GENEROUS_S, TOKEN, Echo, connect, exchange, is_refused
from gi.repository import Gio, GLib, TcpTunnel

FOR_EVER_MS = 3_600_000


def tell(event):
    # In a single write, so that lines of several threads do not mix.
    os.write(1, (event + "\n").encode())


class SilentServer:
    """Accepts a connection, calls a function then, and sends nothing. It reports when the other end has closed."""

    def __init__(self, on_accepted):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = "ws://127.0.0.1:%d/" % self.listener.getsockname()[1]
        self.on_accepted = on_accepted
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            request = connection.recv(65536)
            assert b"\r\n\r\n" in request, request
            self.on_accepted()
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
            tell("the peer sees the end")

    def wait_for_the_end(self):
        self.thread.join(GENEROUS_S)
        self.listener.close()


class Relay:
    """Connects to a gateway, but lets the first connection wait until it is released."""

    def __init__(self, gateway, on_accepted):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = "ws://127.0.0.1:%d/" % self.listener.getsockname()[1]
        self.target = gateway.address
        self.on_accepted = on_accepted
        self.released = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        near, _ = self.listener.accept()
        self.on_accepted()
        self.released.wait()
        far = socket.create_connection(self.target)
        threading.Thread(target=self.copy, args=(far, near), daemon=True).start()
        self.copy(near, far)

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def interrupt(number=signal.SIGINT):
    tell("interrupt")
    os.kill(os.getpid(), number)


def create(uri, **properties):
    return TcpTunnel.Tunnel(uri, TOKEN, mode="multiplexed", connect_timeout=FOR_EVER_MS, log_level="none", **properties)


@contextlib.contextmanager
def running_gateway():
    echo = Echo()
    gateway = TcpTunnel.Gateway(echo.address, TOKEN, log_level="none")
    gateway.start()
    yield gateway
    gateway.close()
    echo.shutdown()
    echo.server_close()


def check_usable(tunnel):
    """Checks that the tunnel is closed, and can be started again."""
    assert tunnel.state == TcpTunnel.TunnelState.DISCONNECTED, tunnel.state
    assert tunnel.local_address is None
    with running_gateway() as gateway:
        tunnel.remote_uri = gateway.uri
        with tunnel, connect(tunnel.address.port) as client:
            exchange(client)
    tell("works again")


def check_interrupted(call, tunnel, server):
    try:
        call()
    except KeyboardInterrupt as error:
        assert type(error) is KeyboardInterrupt
        tell("KeyboardInterrupt")
    else:
        tell("no exception")
    server.wait_for_the_end()
    check_usable(tunnel)


def scenario_start():
    server = SilentServer(interrupt)
    tunnel = create(server.uri)
    check_interrupted(tunnel.start, tunnel, server)


def scenario_start_twice():
    """The first call leaves no trace, even if it had a cancellable."""
    server = SilentServer(interrupt)
    tunnel = create(server.uri)
    cancellable = Gio.Cancellable()
    check_interrupted(lambda: tunnel.start(cancellable), tunnel, server)
    assert not cancellable.is_cancelled()
    server = SilentServer(interrupt)
    tunnel.remote_uri = server.uri
    check_interrupted(lambda: tunnel.start(cancellable), tunnel, server)


def scenario_with():
    server = SilentServer(interrupt)
    tunnel = create(server.uri)

    def enter():
        with tunnel:
            tell("entered")

    check_interrupted(enter, tunnel, server)


def scenario_uncaught():
    with create(SilentServer(interrupt).uri):
        tell("entered")


def scenario_freed():
    """The tunnel is freed when nothing refers to it any more."""
    import gc
    import weakref

    server = SilentServer(interrupt)
    tunnel = create(server.uri)
    gone = weakref.ref(tunnel)
    try:
        tunnel.start()
    except KeyboardInterrupt:
        tell("KeyboardInterrupt")
    server.wait_for_the_end()
    del tunnel
    gc.collect()
    assert gone() is None
    tell("gone")


def scenario_handler():
    """After a handler that does not raise an exception, the start continues."""
    with running_gateway() as gateway:
        relay = Relay(gateway, interrupt)

        def handle(number, frame):
            tell("handled")
            relay.released.set()

        signal.signal(signal.SIGINT, handle)
        tunnel = create(relay.uri)
        tunnel.start()
        tell("started")
        with connect(tunnel.address.port) as client:
            exchange(client)
        tunnel.close()
    tell("exchanged")


def scenario_handler_raises():
    class Stop(Exception):
        pass

    def handle(number, frame):
        raise Stop

    signal.signal(signal.SIGALRM, handle)
    server = SilentServer(lambda: interrupt(signal.SIGALRM))
    tunnel = create(server.uri)
    try:
        with tunnel:
            tell("entered")
    except Stop:
        tell("Stop")
    server.wait_for_the_end()
    check_usable(tunnel)


def scenario_handler_closes():
    server = SilentServer(lambda: interrupt(signal.SIGTERM))
    tunnel = create(server.uri)
    signal.signal(signal.SIGTERM, lambda number, frame: tunnel.close())
    try:
        tunnel.start()
    except GLib.Error as error:
        assert error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.CLOSED), error
        tell("CLOSED")
    server.wait_for_the_end()
    check_usable(tunnel)


def scenario_thread():
    """Another thread does not handle the signal, and its start continues."""
    with running_gateway() as gateway:
        relay = Relay(gateway, interrupt)
        tunnel = create(relay.uri)

        def start():
            tunnel.start()
            tell("started")

        thread = threading.Thread(target=start)
        thread.start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            tell("KeyboardInterrupt")
        relay.released.set()
        thread.join()
        tunnel.close()


def scenario_loop_elsewhere():
    """Another thread runs the main loop meanwhile, and emits the signals."""
    places = set()
    loop = GLib.MainLoop()
    thread = threading.Thread(target=loop.run)
    thread.start()
    server = SilentServer(interrupt)
    tunnel = create(server.uri)
    tunnel.connect("notify::local-address", lambda *_: places.add(threading.current_thread()))
    check_interrupted(tunnel.start, tunnel, server)
    loop.quit()
    thread.join()
    assert places <= {thread}, places


def scenario_in_the_loop():
    """A call within a callback of a main loop, which ends too."""
    server = SilentServer(interrupt)
    tunnel = create(server.uri)

    def callback():
        try:
            tunnel.start()
        except KeyboardInterrupt:
            tell("KeyboardInterrupt in the callback")
        return GLib.SOURCE_REMOVE

    GLib.idle_add(callback)
    try:
        GLib.MainLoop().run()
    except KeyboardInterrupt:
        tell("KeyboardInterrupt of the loop")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    server.wait_for_the_end()
    check_usable(tunnel)


def scenario_loop_goes_on():
    """A blocking call does not dispatch other sources of the main context."""
    server = SilentServer(interrupt)
    tunnel = create(server.uri)
    GLib.idle_add(tell, "dispatched")
    check_interrupted(tunnel.start, tunnel, server)


def scenario_asyncio():
    server = SilentServer(interrupt)
    tunnel = create(server.uri)

    async def main():
        with tunnel:
            tell("entered")

    check_interrupted(lambda: asyncio.run(main()), tunnel, server)


def scenario_await():
    server = SilentServer(interrupt)
    tunnel = create(server.uri)

    async def main():
        async with tunnel:
            tell("entered")

    check_interrupted(lambda: asyncio.run(main()), tunnel, server)


@contextlib.contextmanager
def connected():
    """A gateway with a connection through it that stays open."""
    echo = Echo()
    with TcpTunnel.Gateway(echo.address, TOKEN, log_level="none") as gateway:
        with create(gateway.uri) as tunnel, connect(tunnel.address.port) as client:
            exchange(client)
            yield gateway, tunnel, client
    echo.shutdown()
    echo.server_close()


def when_draining(gateway, function):
    """Calls the function when a drain has begun: new clients are refused from then on."""

    def wait():
        address = gateway.address
        while True:
            with socket.create_connection(address) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                               b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                               b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n")
                if client.recv(65536).startswith(b"HTTP/1.1 503"):
                    break
        function()

    threading.Thread(target=wait, daemon=True).start()


def scenario_drain():
    with connected() as (gateway, tunnel, client):
        port = gateway.address.port
        when_draining(gateway, interrupt)
        try:
            gateway.drain(FOR_EVER_MS)
        except KeyboardInterrupt:
            tell("KeyboardInterrupt")
        # The same state as after a drain that was cancelled.
        exchange(client)
        tell("the connection goes on")
        assert gateway.address.port == port
        client.close()
        assert gateway.drain(FOR_EVER_MS) is True
        assert is_refused(port)
        tell("drained")


def scenario_drain_in_with():
    echo = Echo()
    ports = []
    try:
        with TcpTunnel.Gateway(echo.address, TOKEN, log_level="none") as gateway:
            ports.append(gateway.address.port)
            with create(gateway.uri) as tunnel, connect(tunnel.address.port) as client:
                exchange(client)
                when_draining(gateway, interrupt)
                gateway.drain(FOR_EVER_MS)
                tell("drained")
    except KeyboardInterrupt:
        tell("KeyboardInterrupt")
    assert is_refused(ports[0])
    tell("closed")
    gateway.start()
    gateway.close()


def scenario_drain_again():
    """A handler that drains as well: both calls end."""
    with connected() as (gateway, tunnel, client):
        def handle(number, frame):
            assert gateway.drain(0) is True
            tell("drained at once")

        signal.signal(signal.SIGINT, handle)
        when_draining(gateway, interrupt)
        assert gateway.drain(FOR_EVER_MS) is True
        tell("drained")


def scenario_drain_cancelled():
    """The drain is cancelled by another thread."""
    with connected() as (gateway, tunnel, client):
        cancellable = Gio.Cancellable()
        when_draining(gateway, cancellable.cancel)
        try:
            gateway.drain(FOR_EVER_MS, cancellable)
        except GLib.Error as error:
            assert error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED), error
            tell("CANCELLED")
        exchange(client)


INTERRUPTED = ["interrupt", "KeyboardInterrupt", "the peer sees the end", "works again"]


class Interrupts(unittest.TestCase):
    def run_scenario(self, name):
        process = subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        try:
            output, errors = process.communicate(timeout=GENEROUS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            self.fail("it hangs after %r: %s" % (output.splitlines(), errors))
        return process.returncode, output.splitlines(), errors

    def check(self, name, *events):
        status, output, errors = self.run_scenario(name)
        self.assertEqual((status, errors), (0, ""), output)
        # This line may come at any position.
        self.assertEqual([line for line in output if line != "the peer sees the end"],
                         [line for line in events if line != "the peer sees the end"])
        self.assertEqual(output.count("the peer sees the end"), events.count("the peer sees the end"))

    def test_start(self):
        self.check("start", *INTERRUPTED)

    def test_start_twice(self):
        self.check("start_twice", *INTERRUPTED, *INTERRUPTED)

    def test_with(self):
        self.check("with", *INTERRUPTED)

    def test_uncaught(self):
        status, output, errors = self.run_scenario("uncaught")
        self.assertEqual(status, -signal.SIGINT, errors)
        self.assertNotIn("entered", output)
        self.assertEqual(errors.splitlines()[-1], "KeyboardInterrupt")
        self.assertNotIn("RuntimeError", errors)

    def test_freed(self):
        self.check("freed", *INTERRUPTED[:-1], "gone")

    def test_handler(self):
        self.check("handler", "interrupt", "handled", "started", "exchanged")

    def test_handler_raises(self):
        self.check("handler_raises", "interrupt", "Stop", *INTERRUPTED[2:])

    def test_handler_closes(self):
        self.check("handler_closes", "interrupt", "CLOSED", *INTERRUPTED[2:])

    def test_thread(self):
        self.check("thread", "interrupt", "KeyboardInterrupt", "started")

    def test_loop_elsewhere(self):
        self.check("loop_elsewhere", *INTERRUPTED)

    def test_in_the_loop(self):
        self.check("in_the_loop", "interrupt", "KeyboardInterrupt in the callback", "KeyboardInterrupt of the loop",
                   *INTERRUPTED[2:])

    def test_loop_goes_on(self):
        self.check("loop_goes_on", *INTERRUPTED)

    def test_asyncio(self):
        self.check("asyncio", *INTERRUPTED)

    def test_await(self):
        self.check("await", *INTERRUPTED)

    def test_drain(self):
        self.check("drain", "interrupt", "KeyboardInterrupt", "the connection goes on", "drained")

    def test_drain_in_with(self):
        self.check("drain_in_with", "interrupt", "KeyboardInterrupt", "closed")

    def test_drain_again(self):
        self.check("drain_again", "interrupt", "drained at once", "drained")

    def test_drain_cancelled(self):
        self.check("drain_cancelled", "CANCELLED")


if len(sys.argv) > 1 and "scenario_" + sys.argv[1] in globals():
    globals()["scenario_" + sys.argv[1]]()
else:
    unittest.main(verbosity=2)
