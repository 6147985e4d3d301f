# SPDX-License-Identifier: LGPL-2.1-or-later
"""The additions of python/gi/overrides, without asyncio."""

import datetime
import gc
import os
import pickle
import socket
import subprocess
import tempfile
import threading
import unittest
import unittest.mock
import weakref

from support import GENEROUS_S, TOKEN, Echo, connect, exchange, is_refused, let_end_untold, start_gateway, wait_until
from gi.repository import Gio, GLib, GObject, TcpTunnel

URI = "wss://example.org/instance"
REQUEST = (b"GET /path HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           b"Authorization: Bearer unknown\r\n\r\n")


class Construction(unittest.TestCase):
    def test_positional(self):
        tunnel = TcpTunnel.Tunnel(URI, TOKEN, "::1", 4321, mode="multiplexed")
        self.assertEqual(tunnel.remote_uri, URI)
        self.assertEqual(tunnel.hostname, "::1")
        self.assertEqual(tunnel.port, 4321)
        self.assertEqual(tunnel.mode, TcpTunnel.TunnelMode.MULTIPLEXED)

        gateway = TcpTunnel.Gateway("127.0.0.1:1", TOKEN, "::1", 4321, log_level="none")
        self.assertEqual(gateway.target, "127.0.0.1:1")
        self.assertEqual(gateway.hostname, "::1")
        self.assertEqual(gateway.port, 4321)
        self.assertEqual(gateway.log_level, TcpTunnel.TunnelLogLevel.NONE)

    def test_defaults(self):
        for given, new in (
            (TcpTunnel.Tunnel(), TcpTunnel.Tunnel.new()),
            (TcpTunnel.Gateway(), TcpTunnel.Gateway.new()),
        ):
            for spec in GObject.list_properties(type(given)):
                if spec.flags & GObject.ParamFlags.READABLE:
                    self.assertEqual(given.get_property(spec.name), new.get_property(spec.name), spec.name)

    def test_new_has_all(self):
        tunnel = TcpTunnel.Tunnel.new(URI, TOKEN)
        self.assertIsInstance(tunnel, TcpTunnel.Tunnel)
        tunnel.mode = "multiplexed"
        self.assertEqual(tunnel.mode, TcpTunnel.TunnelMode.MULTIPLEXED)

    def test_unknown(self):
        with self.assertRaises(TypeError):
            TcpTunnel.Tunnel(URI, TOKEN, colour="blue")


class Names(unittest.TestCase):
    def test_all(self):
        tunnel = TcpTunnel.Tunnel()
        for attribute, enum in (
            ("mode", TcpTunnel.TunnelMode),
            ("resumption", TcpTunnel.TunnelResumption),
            ("log_level", TcpTunnel.TunnelLogLevel),
        ):
            members = [getattr(enum, name) for name in dir(enum) if name.isupper()]
            self.assertGreaterEqual(len(members), 2)
            for member in members:
                setattr(tunnel, attribute, member.value_nick)
                self.assertEqual(getattr(tunnel, attribute), member)
                self.assertEqual(TcpTunnel.Tunnel(**{attribute: member.value_nick}).get_property(attribute), member)
                setattr(tunnel, attribute, member)
                self.assertEqual(getattr(tunnel, attribute), member)

    def test_set_property(self):
        gateway = TcpTunnel.Gateway()
        gateway.set_property("log-level", "debug")
        self.assertEqual(gateway.get_property("log-level"), TcpTunnel.TunnelLogLevel.DEBUG)
        gateway.set_property("log_level", TcpTunnel.TunnelLogLevel.WARN)
        self.assertEqual(gateway.props.log_level, TcpTunnel.TunnelLogLevel.WARN)

    def test_authorities(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "ca.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-subj", "/CN=an authority", "-keyout", os.devnull, "-out", path],
                           check=True, stderr=subprocess.DEVNULL)
            with open(path, encoding="ascii") as file:
                text = file.read()
            for given in {"ca_file": path}, {"ca_data": text}, {"ca_data": text.encode()}:
                tunnel = TcpTunnel.Tunnel("wss://example.com/", "token", **given)
                certificate = Gio.TlsCertificate.new_from_pem(text, -1)
                self.assertEqual(tunnel.tls_database.verify_chain(certificate, "1.3.6.1.5.5.7.3.1", None, None,
                                                                  Gio.TlsDatabaseVerifyFlags.NONE, None), 0)
            with self.assertRaisesRegex(ValueError, "one of ca_file and ca_data"):
                TcpTunnel.Tunnel(ca_file=path, ca_data=text)
            with self.assertRaises(GLib.Error):
                TcpTunnel.Tunnel(ca_file=path + ".none")

    def test_unknown(self):
        with self.assertRaisesRegex(ValueError, "no mode 'single'; there are auto, multiplexed, parallel, singleton"):
            TcpTunnel.Tunnel(mode="single")
        with self.assertRaisesRegex(ValueError, "no resumption 'maybe'"):
            TcpTunnel.Gateway().resumption = "maybe"
        for value in 7, None, []:
            with self.assertRaisesRegex(ValueError, "no mode .*; there are auto, multiplexed, parallel, singleton"):
                TcpTunnel.Tunnel(mode=value)
        self.assertEqual(TcpTunnel.Tunnel(mode=1).mode, TcpTunnel.TunnelMode.MULTIPLEXED)


class Numbers(unittest.TestCase):
    """PyGObject itself accepts numbers that are out of range."""

    def test_out_of_range(self):
        for type_, name, values in (
            (TcpTunnel.Tunnel, "port", (-1, 65536, 99999, 2**64)),
            (TcpTunnel.Tunnel, "keepalive_interval", (-1, 2**31)),
            (TcpTunnel.Gateway, "max_unacknowledged_bytes", (1, 2**32)),
            (TcpTunnel.Gateway, "max_connections", (0, 65536)),
        ):
            instance = type_()
            before = getattr(instance, name)
            for value in values:
                message = "%s is a number from .* not %d$" % (name.replace("_", "."), value)
                with self.assertRaisesRegex(ValueError, message):
                    type_(**{name: value})
                with self.assertRaisesRegex(ValueError, message):
                    setattr(instance, name, value)
                with self.assertRaisesRegex(ValueError, message):
                    instance.set_property(name, value)
            self.assertEqual(getattr(instance, name), before)

    def test_limits(self):
        for type_ in TcpTunnel.Tunnel, TcpTunnel.Gateway:
            for spec in GObject.list_properties(type_):
                if spec.flags & GObject.ParamFlags.WRITABLE and hasattr(spec, "minimum"):
                    for value in spec.minimum, spec.maximum:
                        name = spec.name.replace("-", "_")
                        self.assertEqual(getattr(type_(**{name: value}), name), value)

    def test_no_integer(self):
        tunnel, gateway = TcpTunnel.Tunnel(), TcpTunnel.Gateway()
        for value in 0.5, 30.0, "30", None:
            with self.assertRaisesRegex(TypeError, "^keepalive.interval is a whole number, not "):
                tunnel.keepalive_interval = value
            with self.assertRaisesRegex(TypeError, "^port is a whole number, not "):
                TcpTunnel.Tunnel(URI, TOKEN, "127.0.0.1", value)
            with self.assertRaisesRegex(TypeError, "^session.timeout is a whole number, not "):
                TcpTunnel.Gateway(session_timeout=value)
            with self.assertRaisesRegex(TypeError, "^timeout is a whole number, not "):
                gateway.drain(value)
        self.assertEqual(tunnel.keepalive_interval, TcpTunnel.Tunnel().keepalive_interval)
        with self.assertRaisesRegex(ValueError, "^timeout is a number from 0 to .* not -1$"):
            gateway.drain(-1)

    def test_no_list(self):
        with self.assertRaisesRegex(TypeError, "^tokens is a list of strings, not a single one$"):
            TcpTunnel.Principal("alice", TOKEN)
        with self.assertRaisesRegex(TypeError, "^allow is a list of strings, not a single one$"):
            TcpTunnel.Gateway().allow = "*:22"
        self.assertEqual(TcpTunnel.Gateway(allow=["*:22"]).allow, ["*:22"])

    def test_no_boolean(self):
        tunnel = TcpTunnel.Tunnel()
        for value in "no", 1, None:
            with self.assertRaisesRegex(TypeError, "^wait.for.gateway is True or False, not "):
                tunnel.wait_for_gateway = value
            with self.assertRaisesRegex(TypeError, "^reset.on.loss is True or False, not "):
                TcpTunnel.Gateway(reset_on_loss=value)
        self.assertFalse(tunnel.wait_for_gateway)
        tunnel.wait_for_gateway = True
        self.assertTrue(tunnel.wait_for_gateway)


class Attributes(unittest.TestCase):
    def test_every_property(self):
        for type_ in TcpTunnel.Tunnel, TcpTunnel.Gateway:
            specs = GObject.list_properties(type_)
            self.assertGreater(len(specs), 20)
            instance = type_()
            for spec in specs:
                name = spec.name.replace("-", "_")
                if spec.flags & GObject.ParamFlags.READABLE:
                    self.assertEqual(getattr(instance, name), instance.get_property(spec.name))
                else:
                    with self.assertRaises(AttributeError):
                        getattr(instance, name)

    def test_set(self):
        tunnel = TcpTunnel.Tunnel()
        tunnel.reconnect_delay = 10
        tunnel.request_headers = ["X-One: 1"]
        tunnel.token = TOKEN
        self.assertEqual(tunnel.reconnect_delay, 10)
        self.assertEqual(tunnel.request_headers, ["X-One: 1"])
        with self.assertRaises(AttributeError):
            tunnel.state = TcpTunnel.TunnelState.CONNECTED

    def test_unknown(self):
        for type_ in TcpTunnel.Tunnel, TcpTunnel.ReverseTunnel, TcpTunnel.Gateway, TcpTunnel.Forward, TcpTunnel.Principal:
            with self.assertRaisesRegex(AttributeError, "^'%s' object has no attribute 'tokn'$" % type_.__name__):
                type_().tokn = TOKEN

    def test_of_a_subclass(self):
        class Own(TcpTunnel.Tunnel):
            def __init__(self):
                super().__init__(URI, TOKEN)
                self.name = "mine"

        own = Own()
        own.colour = "blue"
        own.port = 4321
        self.assertEqual((own.name, own.colour, own.get_property("port")), ("mine", "blue", 4321))
        with self.assertRaises(ValueError):
            own.port = -1


class Principals(unittest.TestCase):
    def test_properties(self):
        alice = TcpTunnel.Principal("alice", [TOKEN], allow=["db.lab:5432"], max_connections=7)
        self.assertEqual((alice.name, alice.allow, alice.max_connections, alice.max_memory), ("alice", ["db.lab:5432"], 7, 0))
        with self.assertRaises(AttributeError):
            alice.tokens
        with self.assertRaises(ValueError):
            alice.max_sessions = 65536
        alice.max_memory = 1
        self.assertEqual(alice.max_memory, 4 * 2**20)
        self.assertEqual(TcpTunnel.Principal.new("bob").name, "bob")

    def test_lists(self):
        alice, bob = TcpTunnel.Principal("alice"), TcpTunnel.Principal("bob")
        store = Gio.ListStore.new(TcpTunnel.Principal)
        store.append(alice)
        gateway = TcpTunnel.Gateway(principals=store)
        self.assertIs(gateway.principals, store)
        gateway.principals = [alice, bob]
        self.assertEqual(list(gateway.principals), [alice, bob])
        gateway.principals = None
        self.assertIsNone(gateway.principals)
        with self.assertRaises(TypeError):
            gateway.principals = [alice, "bob"]

    def test_listeners(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(directory, "socket")
        store = Gio.ListStore.new(GObject.Object)
        gateway = TcpTunnel.Gateway("127.0.0.1:1", "token", log_level="none", listeners=store)
        self.assertIs(gateway.listeners, store)
        self.assertEqual(gateway.addresses, [])
        given = Gio.Socket.new(Gio.SocketFamily.IPV4, Gio.SocketType.STREAM, Gio.SocketProtocol.TCP)
        given.bind(Gio.InetSocketAddress.new_from_string("127.0.0.1", 0), False)
        given.listen()
        gateway.listeners = [("127.0.0.1", 0), path, given, Gio.NetworkAddress.new("localhost", 0)]
        with gateway:
            addresses = gateway.addresses
            self.assertEqual(addresses[0], gateway.address)
            self.assertEqual(addresses[2:4], [path, ("127.0.0.1", given.get_local_address().get_port())])
            for address in addresses[0], addresses[1], addresses[3], addresses[4]:
                socket.create_connection(address).close()
            self.assertEqual([type(address) for address in gateway.get_local_addresses()],
                             [Gio.InetSocketAddress] * 2 + [Gio.UnixSocketAddress] + [Gio.InetSocketAddress] * 2)
        self.assertFalse(os.path.exists(path))
        gateway.listeners = None
        self.assertIsNone(gateway.listeners)
        for wrong in ["socket"], ["127.0.0.1:80"], [80], [("127.0.0.1", "80")], [None]:
            with self.subTest(wrong), self.assertRaises(TypeError):
                gateway.listeners = wrong
        for wrong in [("127.0.0.1", 65536)], ["/" + "x" * 107]:
            with self.subTest(wrong), self.assertRaises(ValueError):
                gateway.listeners = wrong

    def test_changes(self):
        echo = Echo()
        self.addCleanup(echo.server_close)
        self.addCleanup(echo.shutdown)
        store = Gio.ListStore.new(TcpTunnel.Principal)
        store.append(TcpTunnel.Principal("alice", ["alices"]))
        with TcpTunnel.Gateway(echo.address, principals=store, log_level="none") as gateway:
            def reach(token):
                with TcpTunnel.Tunnel(gateway.uri, token, mode="multiplexed", log_level="none") as tunnel:
                    with connect(tunnel.address.port) as client:
                        exchange(client, 1000)

            reach("alices")
            with self.assertRaises(TcpTunnel.UnauthorizedError):
                reach("bobs")
            store.append(TcpTunnel.Principal("bob", ["bobs"]))
            store.append(TcpTunnel.Principal("bob"))
            with self.assertRaisesRegex(TcpTunnel.InvalidArgumentError, "two principals have the name “bob”"):
                gateway.reload()
            store.remove(2)
            gateway.reload()
            reach("bobs")
            # None is different from an empty list.
            store[1].allow = []
            gateway.reload()
            with TcpTunnel.Tunnel(gateway.uri, "bobs", mode="multiplexed", log_level="none") as tunnel:
                with self.assertRaises(ConnectionResetError), connect(tunnel.address.port) as client:
                    client.recv(1)
            store[1].allow = None
            gateway.reload()
            reach("bobs")


class Authentications(unittest.TestCase):
    def setUp(self):
        self.asked = []
        self.gateway = TcpTunnel.Gateway("127.0.0.1:9", path=None, log_level="none")
        self.gateway.connect("authenticate", lambda gateway, authentication: self.asked.append(authentication))
        self.enterContext(self.gateway)

    def ask(self):
        client = self.enterContext(socket.create_connection(self.gateway.address, timeout=GENEROUS_S))
        client.sendall(REQUEST)
        while not self.asked:
            GLib.MainContext.default().iteration(True)
        return client, self.asked.pop()

    def check(self, client, status):
        self.assertEqual(int(client.recv(1000).split()[1]), status)

    def test_accept(self):
        for expires in None, datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=5))) + datetime.timedelta(hours=1), \
                GLib.DateTime.new_now_utc().add_hours(1):
            client, authentication = self.ask()
            self.assertEqual((authentication.dup_token(), authentication.path), ("unknown", "/path"))
            self.assertEqual(authentication.client_address, client.getsockname())
            self.assertEqual(authentication.get_client_address().get_port(), client.getsockname()[1])
            self.assertIsNone(authentication.proxy_address)
            self.assertIsNone(authentication.certificate)
            self.assertTrue(authentication.accept("alice", expires))
            self.assertFalse(authentication.accept("bob"))
            self.check(client, 101)

    def test_times(self):
        client, authentication = self.ask()
        with self.assertRaisesRegex(ValueError, "without a zone"):
            authentication.accept("alice", datetime.datetime.now())
        now = datetime.datetime.now(datetime.timezone.utc)
        self.assertTrue(authentication.accept("alice", now - datetime.timedelta(microseconds=1)))
        self.check(client, 401)

    def test_reject(self):
        for reject in lambda authentication: authentication.reject(), lambda authentication: authentication.reject("no"), id:
            client, authentication = self.ask()
            thread = threading.Thread(target=reject, args=[authentication])
            thread.start()
            thread.join()
            del thread, authentication
            self.check(client, 401)


    def test_raises(self):
        """The client does not wait for an answer that cannot come; the traceback keeps the authentication."""
        def on_authenticate(gateway, authentication):
            raise RuntimeError("on purpose")

        async def on_authenticate_later(gateway, authentication):
            self.fail("it ran without a loop")

        for handler, error in (on_authenticate, "on purpose"), (on_authenticate_later, "an asyncio loop"):
            gateway = TcpTunnel.Gateway("127.0.0.1:9", log_level="none")
            gateway.connect("authenticate", handler)
            with gateway, unittest.mock.patch("sys.excepthook") as hook:
                client = self.enterContext(socket.create_connection(gateway.address, timeout=GENEROUS_S))
                client.sendall(REQUEST)
                wait_until(lambda: hook.called, "the exception")
                self.assertIn(error, str(hook.call_args.args[1]))
                self.check(client, 401)


class HandlersByFunction(unittest.TestCase):
    """A handler is found by the function that the program connected, and kept no longer than it is connected."""

    def connect_each(self):
        async def coroutine(*arguments):
            pass

        def function(*arguments):
            pass

        for type_, signal, handler in (
            (TcpTunnel.Gateway, "authenticate", function), (TcpTunnel.Gateway, "authenticate", coroutine),
            (TcpTunnel.Gateway, "authenticate", self.method), (TcpTunnel.Gateway, "notify::path", function),
            (TcpTunnel.Tunnel, "token-required", coroutine), (TcpTunnel.Tunnel, "notify::path", self.method),
        ):
            endpoint = type_()
            yield endpoint, endpoint.connect(signal, handler), handler

    def method(self, *arguments):
        pass

    def test_disconnect(self):
        for endpoint, handler, function in self.connect_each():
            with self.assertRaises(TypeError):
                endpoint.disconnect_by_func(print)
            endpoint.disconnect_by_func(function)
            self.assertFalse(endpoint.handler_is_connected(handler))
            with self.assertRaises(TypeError):
                endpoint.disconnect_by_func(function)

    def test_block(self):
        for endpoint, _, function in self.connect_each():
            self.assertEqual(endpoint.handler_block_by_func(function), 1)
            self.assertEqual(endpoint.handler_unblock_by_func(function), 1)

    def test_no_function(self):
        for gateway, signal in (TcpTunnel.Gateway(), "authenticate"), (TcpTunnel.Gateway(), "notify::path"):
            with self.assertRaises(TypeError):
                gateway.connect(signal, None)

    def connect_new(self):
        def function(*arguments):
            pass

        gateway = TcpTunnel.Gateway()
        gateway.connect("authenticate", function)
        return gateway, function, weakref.ref(function)

    def test_released(self):
        gateway, function, gone = self.connect_new()
        gateway.disconnect_by_func(function)
        del function
        self.assertIsNone(gone())
        gateway, function, gone = self.connect_new()
        del gateway, function
        gc.collect()
        self.assertIsNone(gone())


class Errors(unittest.TestCase):
    def test_classes(self):
        codes = {name: getattr(TcpTunnel.TunnelError, name) for name in dir(TcpTunnel.TunnelError) if name.isupper()}
        self.assertGreater(len(codes), 10)
        for name, code in codes.items():
            class_ = getattr(TcpTunnel, name.title().replace("_", "") + "Error")
            for error in class_("it broke"), GLib.Error.new_literal(TcpTunnel.tunnel_error_quark(), "it broke", code):
                for same in error, error.copy(), pickle.loads(pickle.dumps(error)):
                    self.assertIs(type(same), class_)
                    self.assertIsInstance(same, TcpTunnel.Error)
                    self.assertIsInstance(same, GLib.Error)
                    self.assertTrue(same.matches(TcpTunnel.TunnelError.quark(), code))
                    self.assertEqual((str(same), same.message, same.code), ("it broke", "it broke", code))
                    self.assertEqual(repr(same), "TcpTunnel.%s('it broke')" % class_.__name__)

    def test_unknown_code(self):
        error = GLib.Error.new_literal(TcpTunnel.tunnel_error_quark(), "it broke", 4711)
        self.assertIs(type(error), TcpTunnel.Error)
        self.assertEqual(error.code, 4711)

    def test_of_others(self):
        error = GLib.Error.new_literal(Gio.io_error_quark(), "it broke", Gio.IOErrorEnum.FAILED)
        self.assertIs(type(error), GLib.Error)
        self.assertEqual(str(error), "g-io-error-quark: it broke (0)")
        self.assertEqual(GLib.Error().message, "unknown error")

        class Own(GLib.Error):
            pass

        self.assertIs(type(Own("mine", TcpTunnel.Error.domain, 5)), Own)
        with self.assertRaises(GLib.Error) as caught:
            Gio.File.new_for_path("/nonexistent").read(None)
        self.assertIs(type(caught.exception), GLib.Error)


class Running(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.gateway = start_gateway(self.echo.address)
        self.addCleanup(self.echo.server_close)
        self.addCleanup(self.echo.shutdown)
        self.addCleanup(self.gateway.close)

    def create(self, **properties):
        return TcpTunnel.Tunnel(self.gateway.uri, TOKEN, log_level="warn", **properties)

    def test_with(self):
        with self.create() as tunnel:
            address = tunnel.address
            self.assertEqual(address.host, "127.0.0.1")
            self.assertEqual(address.port, tunnel.get_local_address().get_port())
            self.assertEqual(tunnel.local_address, address)
            self.assertEqual(str(address), "127.0.0.1:%d" % address.port)
            with socket.create_connection(tunnel.address, timeout=GENEROUS_S) as client:
                exchange(client)
        self.assertTrue(is_refused(address.port))

    def test_with_runs_already(self):
        tunnel = self.create()
        self.assertIs(tunnel.start(), True)
        with tunnel as same:
            self.assertIs(same, tunnel)
            port = tunnel.address.port
            with connect(port) as client:
                exchange(client)
        self.assertTrue(is_refused(port))

    def test_with_failed(self):
        """A tunnel that has ended while no loop ran, so that this was not reported."""
        tunnel = self.create()
        tunnel.token = "wrong"
        tunnel.start()
        let_end_untold(tunnel)
        self.assertIsNotNone(tunnel.local_address)
        tunnel.token = TOKEN
        with tunnel, connect(tunnel.address.port) as client:
            exchange(client)

    def test_with_unix_socket(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            tunnel = self.create(socket_path=path)
            self.assertEqual(tunnel.socket_path, path)
            tunnel.start()
            # The tunnel runs already.
            with tunnel:
                self.assertTrue(tunnel.active)
                self.assertEqual(tunnel.local_address, path)
                self.assertEqual(tunnel.props.local_address.get_path(), path)
                self.check_no_address(tunnel, "the tunnel listens on the Unix socket %s, and has no TCP address: use "
                                              "local_address, as for asyncio.open_unix_connection()" % path)
                clients = []
                tunnel.connect("connection-opened", lambda tunnel, connection: clients.append(connection.client_address))
                own = os.path.join(directory, "client")
                for name in "", own, "\0" + own:
                    with socket.socket(socket.AF_UNIX) as client:
                        client.settimeout(GENEROUS_S)
                        if name:
                            client.bind(name)
                        client.connect(path)
                        exchange(client)
                os.unlink(own)
                wait_until(lambda: len(clients) == 3, "the clients")
                self.assertEqual(clients, ["", own, "\0" + own])
            self.assertEqual(os.listdir(directory), [])

            with open(path, "w"), self.assertRaises(GLib.Error) as caught:
                with tunnel:
                    self.fail("it started")
            self.assertTrue(caught.exception.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.LISTEN))

    def test_with_raises(self):
        with self.assertRaisesRegex(RuntimeError, "on purpose"):
            with self.create() as tunnel:
                port = tunnel.address.port
                raise RuntimeError("on purpose")
        self.assertTrue(is_refused(port))

    def test_with_gateway(self):
        with TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn") as gateway:
            with TcpTunnel.Tunnel(gateway.uri, TOKEN, log_level="warn") as tunnel:
                with connect(tunnel.address.port) as client:
                    exchange(client)
            port = gateway.address.port
        self.assertTrue(is_refused(port))

    def test_drain(self):
        gateway = TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn")
        gateway.start()
        port = gateway.address.port
        self.assertIs(gateway.drain(GENEROUS_S * 1000), True)
        self.assertTrue(is_refused(port))

    def test_check(self):
        """check() reports whether the gateway could be started, and starts nothing."""
        with tempfile.NamedTemporaryFile("w") as tokens:
            tokens.write(f"alice:{TOKEN}\nbob:other expires=2020-01-01T00:00:00Z\n")
            tokens.flush()
            gateway = TcpTunnel.Gateway(self.echo.address, token_file=tokens.name)
            self.assertEqual(gateway.check(), [f"expired tokens in {tokens.name}: 1 of 2"])
            self.assertFalse(gateway.active)
            tokens.write("carol\ndave:d\nerin\n")
            tokens.flush()
            with self.assertRaises(GLib.Error) as caught:
                gateway.check()
        self.assertTrue(caught.exception.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.INVALID_ARGUMENT))
        self.assertEqual([line.partition(": ")[0] for line in caught.exception.message.splitlines()],
                         [f"{tokens.name}:3", f"{tokens.name}:5"])
        for wrong in {"target": "nowhere"}, {"allow": ["a"]}, {"trusted_proxies": ["a"]}, {"principals": [TcpTunnel.Principal(name="a:b")]}:
            with self.subTest(wrong), self.assertRaises(GLib.Error):
                TcpTunnel.Gateway(**{"target": self.echo.address, "token": TOKEN, **wrong}).check()

    def test_ipv6(self):
        tunnel = self.create(hostname="::1")
        try:
            tunnel.start()
        except GLib.Error:
            self.assertFalse(has_ipv6())
            return
        self.assertEqual(tunnel.address.host, "::1")
        self.assertEqual(str(tunnel.address), "[::1]:%d" % tunnel.address.port)
        tunnel.close()

    def check_no_address(self, endpoint, message):
        with self.assertRaises(GLib.Error) as caught:
            endpoint.address
        self.assertTrue(caught.exception.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.WRONG_STATE))
        self.assertEqual(caught.exception.message, message)

    def test_no_address(self):
        self.check_no_address(self.create(), "the tunnel does not run, and has no address")
        self.check_no_address(TcpTunnel.Gateway(), "the gateway does not run, and has no address")

    def test_cancellable(self):
        cancellable = Gio.Cancellable()
        cancellable.cancel()
        with self.assertRaises(GLib.Error) as caught:
            self.create().start(cancellable)
        self.assertTrue(caught.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))

    def test_not_what_is_asked_for(self):
        tunnel, gateway = self.create(), TcpTunnel.Gateway(self.echo.address, TOKEN, log_level="warn")
        for call in tunnel.start, gateway.start, lambda value: gateway.drain(0, value), tunnel.on_connection_state_change:
            with self.assertRaises(TypeError):
                call(5)
        self.assertIsNone(tunnel.local_address)

    def test_error(self):
        tunnel = self.create(mode="multiplexed")
        tunnel.token = "wrong"
        with self.assertRaises(GLib.Error) as caught:
            tunnel.start()
        error = caught.exception
        self.assertIs(type(error), TcpTunnel.UnauthorizedError)
        self.assertEqual(str(error), error.message)
        self.assertTrue(error.matches(TcpTunnel.TunnelError.quark(), TcpTunnel.TunnelError.UNAUTHORIZED))
        self.assertEqual(error.domain, GLib.quark_to_string(TcpTunnel.TunnelError.quark()))
        self.assertEqual(error.code, TcpTunnel.TunnelError.UNAUTHORIZED)
        self.assertNotIn("wrong", error.message)
        for same in tunnel.last_error, tunnel.props.last_error, tunnel.get_property("last-error"), tunnel.dup_last_error():
            self.assertIs(type(same), TcpTunnel.UnauthorizedError)
            self.assertEqual(str(same), str(error))

    def test_errors_of_calls(self):
        tunnel = self.create(mode="multiplexed")
        tunnel.start()
        self.addCleanup(tunnel.close)
        with self.assertRaises(TcpTunnel.WrongStateError):
            tunnel.start()
        with self.assertRaises(TcpTunnel.ListenError):
            tunnel.add_forward(TcpTunnel.Forward(tunnel.address.port, "127.0.0.1:1"))
        with tempfile.NamedTemporaryFile() as tokens:
            gateway = TcpTunnel.Gateway(self.echo.address, token_file=tokens.name, log_level="none")
            tokens.write(b"alice:%s\n" % TOKEN.encode())
            tokens.flush()
            gateway.start()
            self.addCleanup(gateway.close)
        with self.assertRaises(TcpTunnel.Error):
            gateway.reload()

    def test_errors_of_signals(self):
        tunnel = self.create()
        tunnel.token = "wrong"
        failures, closed = [], []
        tunnel.connect("failed", lambda tunnel, error: failures.append(error))
        tunnel.connect("connection-closed", lambda tunnel, connection: closed.append(connection))
        tunnel.start()
        self.addCleanup(tunnel.close)
        with connect(tunnel.address.port):
            wait_until(lambda: failures and closed, "failed")
        self.assertIs(type(failures[0]), TcpTunnel.UnauthorizedError)
        self.assertIsInstance(closed[0].error, TcpTunnel.Error)

        waiting = TcpTunnel.Tunnel("ws://127.0.0.1:1/", TOKEN, mode="multiplexed", wait_for_gateway=True, log_level="none")
        waiting.connect("retry-scheduled", lambda tunnel, error, *rest: failures.append(error))
        waiting.start_async(None, None)
        self.addCleanup(waiting.close)
        wait_until(lambda: len(failures) > 1, "it tries again")
        self.assertIs(type(failures[1]), TcpTunnel.UnreachableError)

    def test_state_change(self):
        tunnel = self.create(mode="multiplexed")
        first, second = [], []
        forget_first = tunnel.on_connection_state_change(first.append)
        tunnel.on_connection_state_change(second.append)
        tunnel.start()
        wait_until(lambda: len(first) == 2, "connected")
        forget_first()
        forget_first()
        tunnel.close()
        self.assertEqual(first, [TcpTunnel.TunnelState.CONNECTING, TcpTunnel.TunnelState.CONNECTED])
        self.assertEqual(second, [*first, TcpTunnel.TunnelState.DISCONNECTED])

    def adb(self, script):
        """Makes an adb program, which logs its arguments to a file."""
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(directory, "adb")
        with open(path, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\necho "$* $TCP_TUNNEL_TOKEN" >> "$0.log"\n%s\n' % script)
        os.chmod(path, 0o755)
        return path

    def test_adb(self):
        tunnel = self.create(hostname="0.0.0.0")
        with self.assertRaises(GLib.Error) as caught:
            tunnel.adb_connect()
        self.assertIn("does not run", caught.exception.message)
        tunnel.start()
        self.addCleanup(tunnel.close)
        device = "127.0.0.1:%d" % tunnel.address.port
        with unittest.mock.patch.dict(os.environ, TCP_TUNNEL_TOKEN=TOKEN):
            for said in "connected to", "already connected to":
                adb = self.adb('echo "* daemon started successfully"; echo "%s $2"' % said)
                self.assertEqual(tunnel.adb_connect(adb), device)
                with open(adb + ".log", encoding="utf-8") as file:
                    self.assertEqual(file.read(), "connect %s \n" % device)

    def test_adb_fails(self):
        tunnel = self.create()
        tunnel.start()
        self.addCleanup(tunnel.close)
        with self.assertRaisesRegex(ConnectionError, r"^adb could not connect to 127\.0\.0\.1:\d+: failed to connect: refused$"):
            tunnel.adb_connect(self.adb("echo; echo failed to connect: refused >&2"))
        with self.assertRaisesRegex(ConnectionError, "it does not say why"):
            tunnel.adb_connect(self.adb("exit 1"))
        with self.assertRaises(FileNotFoundError):
            tunnel.adb_connect("/nonexistent/adb")

    def test_dropped(self):
        tunnel = self.create()
        tunnel.on_connection_state_change(print)
        tunnel.start()
        port = tunnel.address.port
        gone = weakref.ref(tunnel)
        del tunnel
        gc.collect()
        self.assertIsNone(gone())
        self.assertTrue(is_refused(port))


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


unittest.main(verbosity=2)
