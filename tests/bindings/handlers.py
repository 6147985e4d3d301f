# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signal handlers may make any calls."""

import unittest
import weakref

from support import TOKEN, Echo, Watch, connect, exchange, is_refused, port_of, start_gateway, wait_until
from gi.repository import GLib, TcpTunnel


class Handlers(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.gateway = start_gateway(self.echo.address)
        self.addCleanup(self.echo.server_close)
        self.addCleanup(self.echo.shutdown)
        self.addCleanup(self.gateway.close)

    def create(self, **properties):
        return TcpTunnel.Tunnel(remote_uri=self.gateway.props.uri, token=TOKEN,
                                log_level=TcpTunnel.TunnelLogLevel.WARN, **properties)

    def test_raise(self):
        calls = []

        def raising(*arguments):
            calls.append(arguments)
            raise RuntimeError("on purpose")

        tunnel = self.create()
        for signal in "state-changed", "connection-opened", "connection-closed", "notify::state":
            tunnel.connect(signal, raising)
        watch = Watch(tunnel)
        tunnel.start(None)
        for count in 1, 2:
            with connect(port_of(tunnel)) as client:
                exchange(client)
            wait_until(lambda: len(watch.closed) == count, "connection-closed")
            wait_until(lambda: watch.states[-1] == "disconnected", "disconnected")
        tunnel.close()
        self.assertEqual(watch.states, ["connecting", "connected", "disconnected"] * 2)
        self.assertGreaterEqual(len(calls), 10)

    def test_close(self):
        for mode, signal in (
            (TcpTunnel.TunnelMode.SINGLETON, "state-changed"),
            (TcpTunnel.TunnelMode.SINGLETON, "notify::state"),
            (TcpTunnel.TunnelMode.SINGLETON, "connection-opened"),
            (TcpTunnel.TunnelMode.MULTIPLEXED, "connection-opened"),
        ):
            with self.subTest(mode=mode.value_nick, signal=signal):
                self.check_close(mode, signal)

    def check_close(self, mode, signal):
        tunnel = self.create(mode=mode)
        watch = Watch(tunnel)
        refused = []

        def close(tunnel, *arguments):
            port = port_of(tunnel)
            tunnel.close()
            refused.append(is_refused(port))

        tunnel.start(None)
        wait_until(lambda: not GLib.MainContext.default().pending(), "the start to be told")
        handler = tunnel.connect(signal, close)
        with connect(port_of(tunnel)):
            wait_until(lambda: refused, "the handler")
            tunnel.disconnect(handler)
            wait_until(lambda: watch.states[-1:] in ([], ["disconnected"]), "disconnected")
        self.assertEqual(refused, [True])
        self.assertEqual(watch.failures, [])

    def test_drop_last_reference(self):
        for signal in "state-changed", "connection-opened":
            with self.subTest(signal=signal):
                held = [self.create()]
                gone = []
                weakref.finalize(held[0], gone.append, True)
                held[0].connect(signal, lambda *arguments: held.clear())
                held[0].start(None)
                port = port_of(held[0])
                with connect(port) as client:
                    wait_until(lambda: gone, "the tunnel to go")
                    with self.assertRaises((ConnectionError, AssertionError)):
                        exchange(client)
                self.assertTrue(is_refused(port))

    def test_start_another(self):
        first = self.create()
        others = []

        def start(*arguments):
            if others:
                return
            others.append(self.create(mode=TcpTunnel.TunnelMode.MULTIPLEXED))
            others[0].start(None)

        first.connect("state-changed", start)
        first.start(None)
        with connect(port_of(first)) as client:
            wait_until(lambda: others, "the other tunnel")
            exchange(client)
            with connect(port_of(others[0])) as another:
                exchange(another)
        others[0].close()
        first.close()

    def test_restart_after_failure(self):
        tunnel = self.create()
        tunnel.props.token = "wrong"
        restarts = []

        def restart(tunnel, error):
            tunnel.props.token = TOKEN
            restarts.append(tunnel.start(None))

        tunnel.connect("failed", restart)
        tunnel.start(None)
        with connect(port_of(tunnel)):
            wait_until(lambda: restarts, "the restart")
        with connect(port_of(tunnel)) as client:
            exchange(client)
        tunnel.close()

    def test_close_gateway(self):
        tunnel = self.create(mode=TcpTunnel.TunnelMode.MULTIPLEXED, max_reconnect_attempts=1, reconnect_delay=10)
        watch = Watch(tunnel)
        self.gateway.connect("connection-opened", lambda gateway, *arguments: gateway.close())
        tunnel.start(None)
        with connect(port_of(tunnel)) as client:
            client.sendall(b"hello")
            wait_until(lambda: watch.failures, "failed")
        self.assertEqual(watch.states[-1], "disconnected")


unittest.main(verbosity=2)
