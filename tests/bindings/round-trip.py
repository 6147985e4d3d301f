# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library in Python programs."""

import unittest

from support import MIB, TOKEN, Echo, Watch, connect, exchange, is_refused, port_of, start_gateway, wait_until
from gi.repository import Gio, GLib, TcpTunnel


class Properties(unittest.TestCase):
    def test_keywords(self):
        tunnel = TcpTunnel.Tunnel(
            remote_uri="wss://example.org/", token=TOKEN, hostname="::1", port=4321,
            mode=TcpTunnel.TunnelMode.MULTIPLEXED, max_reconnect_attempts=3, reconnect_delay=10,
            max_reconnect_delay=100, log_level=TcpTunnel.TunnelLogLevel.NONE, reset_on_loss=True,
            request_headers=["X-One: 1", "X-Two: 2"])
        self.assertEqual(tunnel.props.remote_uri, "wss://example.org/")
        self.assertEqual(tunnel.props.hostname, "::1")
        self.assertEqual(tunnel.props.port, 4321)
        self.assertEqual(tunnel.props.mode, TcpTunnel.TunnelMode.MULTIPLEXED)
        self.assertEqual(tunnel.props.max_reconnect_attempts, 3)
        self.assertEqual(tunnel.props.reconnect_delay, 10)
        self.assertEqual(tunnel.props.max_reconnect_delay, 100)
        self.assertEqual(tunnel.props.log_level, TcpTunnel.TunnelLogLevel.NONE)
        self.assertTrue(tunnel.props.reset_on_loss)
        self.assertEqual(tunnel.props.request_headers, ["X-One: 1", "X-Two: 2"])

    def test_defaults(self):
        tunnel = TcpTunnel.Tunnel.new("ws://example.org/", TOKEN)
        self.assertEqual(tunnel.props.hostname, "127.0.0.1")
        self.assertEqual(tunnel.props.port, 0)
        self.assertEqual(tunnel.props.mode, TcpTunnel.TunnelMode.SINGLETON)
        self.assertEqual(tunnel.props.max_reconnect_attempts, 6)
        self.assertEqual(tunnel.props.reconnect_delay, 1000)
        self.assertEqual(tunnel.props.max_reconnect_delay, 30000)
        self.assertEqual(tunnel.props.keepalive_interval, 30000)
        self.assertEqual(tunnel.props.keepalive_timeout, 10000)
        self.assertEqual(tunnel.props.log_level, TcpTunnel.TunnelLogLevel.INFO)
        self.assertEqual(tunnel.props.state, TcpTunnel.TunnelState.DISCONNECTED)
        self.assertEqual(tunnel.get_statistics().round_trip, -1)
        self.assertIsNone(tunnel.get_statistics().protocol)
        self.assertFalse(tunnel.props.active)
        self.assertIsNone(tunnel.props.local_address)
        self.assertIsNone(tunnel.props.last_error)

    def test_token_is_write_only(self):
        tunnel = TcpTunnel.Tunnel(token=TOKEN)
        with self.assertRaises(TypeError):
            tunnel.get_property("token")
        tunnel.props.token = "another"

    def test_read_only(self):
        tunnel = TcpTunnel.Tunnel()
        with self.assertRaises(TypeError):
            tunnel.props.state = TcpTunnel.TunnelState.CONNECTED


class Errors(unittest.TestCase):
    def check(self, code, **properties):
        tunnel = TcpTunnel.Tunnel(token=TOKEN, log_level=TcpTunnel.TunnelLogLevel.NONE, **properties)
        with self.assertRaises(GLib.Error) as caught:
            tunnel.start(None)
        self.assertTrue(caught.exception.matches(TcpTunnel.tunnel_error_quark(), code), caught.exception)
        self.assertNotIn(TOKEN, caught.exception.message)
        self.assertEqual(tunnel.props.state, TcpTunnel.TunnelState.DISCONNECTED)

    def test_bad_uri(self):
        for uri in ("http://127.0.0.1/", "not a uri", "ws://"):
            self.check(TcpTunnel.TunnelError.INVALID_ARGUMENT, remote_uri=uri)

    def test_no_gateway(self):
        self.check(TcpTunnel.TunnelError.UNREACHABLE, remote_uri="ws://127.0.0.1:1/",
                   mode=TcpTunnel.TunnelMode.MULTIPLEXED)

    def test_started_twice(self):
        tunnel = TcpTunnel.Tunnel(remote_uri="ws://127.0.0.1:1/", token=TOKEN)
        tunnel.start(None)
        with self.assertRaises(GLib.Error) as caught:
            tunnel.start(None)
        self.assertTrue(
            caught.exception.matches(TcpTunnel.tunnel_error_quark(), TcpTunnel.TunnelError.WRONG_STATE))
        tunnel.close()

    def test_cancelled(self):
        cancellable = Gio.Cancellable()
        cancellable.cancel()
        with self.assertRaises(GLib.Error) as caught:
            TcpTunnel.Tunnel(remote_uri="ws://127.0.0.1:1/", token=TOKEN).start(cancellable)
        self.assertTrue(caught.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))


class RoundTrip(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.gateway = start_gateway(self.echo.address)
        self.addCleanup(self.echo.server_close)
        self.addCleanup(self.echo.shutdown)
        self.addCleanup(self.gateway.close)

    def create(self, **properties):
        tunnel = TcpTunnel.Tunnel(remote_uri=self.gateway.props.uri, token=TOKEN,
                                  log_level=TcpTunnel.TunnelLogLevel.WARN, **properties)
        self.addCleanup(tunnel.close)
        return tunnel

    def test_singleton(self):
        tunnel = self.create()
        watch = Watch(tunnel)
        tunnel.start(None)

        with connect(port_of(tunnel)) as client:
            exchange(client, 4 * MIB)
            local = client.getsockname()
        wait_until(lambda: watch.closed, "connection-closed")
        wait_until(lambda: watch.states[-1] == "disconnected", "disconnected")

        self.assertEqual(watch.states, ["connecting", "connected", "disconnected"])
        [(id, peer)] = watch.opened
        self.assertEqual((peer.get_address().to_string(), peer.get_port()), local)
        self.assertEqual(watch.closed, [(id, None)])
        statistics = tunnel.get_statistics()
        self.assertEqual(statistics.bytes_sent, 4 * MIB)
        self.assertEqual(statistics.bytes_received, 4 * MIB)
        self.assertEqual(statistics.total_connections, 1)
        self.assertEqual(statistics.open_connections, 0)
        self.assertEqual(statistics.protocol, "resumable/1")

        port = port_of(tunnel)
        tunnel.close()
        self.assertTrue(is_refused(port))
        self.assertEqual(watch.failures, [])

    def test_multiplexed(self):
        tunnel = self.create(mode=TcpTunnel.TunnelMode.MULTIPLEXED)
        watch = Watch(tunnel)
        tunnel.start(None)
        self.assertEqual(tunnel.props.state, TcpTunnel.TunnelState.CONNECTED)

        clients = [connect(port_of(tunnel)) for _ in range(8)]
        for client in clients:
            exchange(client)
        for client in clients:
            client.close()
        wait_until(lambda: len(watch.closed) == 8, "connection-closed")

        self.assertEqual(len({id for id, _ in watch.opened}), 8)
        self.assertEqual({id for id, _ in watch.closed}, {id for id, _ in watch.opened})
        self.assertEqual([error for _, error in watch.closed], [None] * 8)
        tunnel.close()
        wait_until(lambda: watch.states[-1] == "disconnected", "disconnected")
        self.assertEqual(watch.states, ["connecting", "connected", "disconnected"])

    def test_connections(self):
        tunnel = self.create(mode=TcpTunnel.TunnelMode.MULTIPLEXED)
        watch = Watch(tunnel)
        connections = tunnel.get_connections()
        tunnel.start(None)
        with connect(port_of(tunnel)) as first, connect(port_of(tunnel)) as second:
            exchange(first, MIB)
            exchange(second, 5)
            wait_until(lambda: len(connections) == 2, "the connections")
            self.assertEqual([connection.props.id for connection in connections], [1, 2])
            self.assertEqual(connections[0].props.bytes_sent, MIB)
            self.assertEqual(connections[1].get_client_address().get_port(), second.getsockname()[1])
            kept = connections[0]
            kept.close()
            wait_until(lambda: watch.closed, "the end of the first")
            self.assertTrue(kept.props.closed)
            self.assertTrue(kept.dup_error().matches(TcpTunnel.tunnel_error_quark(), TcpTunnel.TunnelError.CLOSED))
            exchange(second, 5)
            self.assertEqual(len(connections), 1)
            tunnel.close()
        self.assertEqual(len(connections), 0)
        self.assertEqual(len(watch.closed), 2)

    def test_start_async(self):
        tunnel = self.create(mode=TcpTunnel.TunnelMode.MULTIPLEXED)
        results = []
        tunnel.start_async(None, lambda source, result: results.append(source.start_finish(result)))
        wait_until(lambda: results, "the start")
        self.assertEqual(results, [True])
        with connect(port_of(tunnel)) as client:
            exchange(client)

    def test_close_async(self):
        tunnel = self.create()
        changes, results = [], []
        tunnel.connect("notify::active", lambda tunnel, _: changes.append(tunnel.props.active))
        tunnel.start(None)
        port = port_of(tunnel)
        tunnel.close_async(None, lambda source, result: results.append((source.close_finish(result), list(changes))))
        wait_until(lambda: results, "the close")
        self.assertEqual(results, [(True, [True, False])])
        self.assertTrue(is_refused(port))

    def test_start_again(self):
        tunnel = self.create()
        for _ in range(3):
            tunnel.start(None)
            with connect(port_of(tunnel)) as client:
                exchange(client)
            tunnel.close()

    def test_gateway_signals(self):
        opened, closed = [], []
        self.gateway.connect("connection-opened", lambda _, connection: opened.append((connection.props.id, connection.props.principal)))
        self.gateway.connect("connection-closed", lambda _, connection: closed.append((connection.props.id, connection.props.error)))
        tunnel = self.create()
        tunnel.start(None)
        with connect(port_of(tunnel)) as client:
            exchange(client)
        wait_until(lambda: closed, "connection-closed of the gateway")
        self.assertEqual(closed, [(opened[0][0], None)])
        self.assertIsInstance(opened[0][1], str)

    def test_gateway_metrics(self):
        tunnel = self.create()
        tunnel.start(None)
        closed = []
        self.gateway.connect("connection-closed", lambda _, connection: closed.append(connection))
        with connect(port_of(tunnel)) as client:
            exchange(client)
        metrics = self.gateway.get_metrics()
        self.assertEqual((metrics.total_sessions, metrics.total_websockets, metrics.dials_connected), (1, 1, 1))
        self.assertGreater(metrics.dial_time, 0)
        self.assertEqual(sum(metrics.get_dial_buckets()), 1)
        self.assertEqual(sum(metrics.get_websocket_buckets()), 1)
        self.assertEqual(len(metrics.get_dial_buckets()), len(metrics.get_bounds()) + 1)
        self.assertEqual(metrics.get_bounds()[:2], [1, 2.5])

        wait_until(lambda: closed, "connection-closed of the gateway")
        [connection] = closed
        self.assertGreater(connection.props.duration, -1)
        self.assertEqual(connection.props.resumes, 0)
        self.assertIsNone(connection.props.proxy_address)

    def test_token_required(self):
        tunnel = self.create(mode=TcpTunnel.TunnelMode.SINGLETON)
        tunnel.props.token = "stale"
        watch = Watch(tunnel)
        tunnel.connect("token-required", lambda tunnel: tunnel.set_token(TOKEN))
        tunnel.start(None)
        with connect(port_of(tunnel)) as client:
            client.sendall(b"hello")
            wait_until(lambda: "connected" in watch.states, "connected")
            self.assertEqual(client.recv(5), b"hello")

    def test_failed(self):
        tunnel = self.create()
        tunnel.props.token = "wrong"
        watch = Watch(tunnel)
        tunnel.start(None)
        client = connect(port_of(tunnel))
        wait_until(lambda: watch.failures, "failed")
        client.close()
        [error] = watch.failures
        self.assertTrue(error.matches(TcpTunnel.tunnel_error_quark(), TcpTunnel.TunnelError.UNAUTHORIZED))
        self.assertNotIn("wrong", error.message)
        self.assertEqual(watch.states[-1], "disconnected")


unittest.main(verbosity=2)
