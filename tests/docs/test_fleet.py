# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several gateways behind a load balancer: test_fleet.py CONFIGURATION: nginx or haproxy, as in the guide, or
kubernetes, the HAProxy of the example.

A gateway is added, one is drained, one is killed, and the proxy is reloaded; after each step every WebSocket is cut.
Only the sessions of the killed gateway are affected.
"""

import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from ports import free_port
from proxies import Proxy, find_proxy, guide_block
from support import GENEROUS_S, TOKEN, connect, exchange, port_of, wait_until
from gi.repository import TcpTunnel

configuration = sys.argv[1]
in_kubernetes = configuration == "kubernetes"
proxy = "haproxy" if in_kubernetes else configuration
EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "kubernetes" / "fleet.yaml"
FIRST = 0 if in_kubernetes else 1  # number of the first gateway
BINARY = os.environ["TCP_TUNNEL_BIN"]
SESSIONS = 3  # of each gateway, at least


class Target(socketserver.ThreadingTCPServer):
    """Sends the name of its gateway, and then sends back what it gets."""

    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                self.request.sendall(self.server.name.encode() + b"\n")
                while data := self.request.recv(65536):
                    self.request.sendall(data)
            except OSError:
                pass

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.name = name
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Gateway:
    def __init__(self, name, port, admin):
        self.name = name
        self.target = Target(name)
        self.process = subprocess.Popen(
            [BINARY, "gateway", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--route", self.name, "--target",
             "127.0.0.1:%d" % self.target.server_address[1], "--trusted-proxy", "127.0.0.1", "--drain-timeout", "1h",
             "--log-level", "warn"],
            env={**os.environ, "TCP_TUNNEL_TOKEN": TOKEN}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("listening on ")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.target.shutdown()
        self.target.server_close()


class Network:
    """The network between the tunnels and the proxy, which can be cut."""

    def __init__(self, port):
        self.port_of_proxy = port
        self.lock = threading.Lock()
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.port_of_proxy))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.connections.append((near, far))
            back = threading.Thread(target=self.carry, args=(far, near), daemon=True)
            back.start()
            threading.Thread(target=self.serve, args=(near, far, back), daemon=True).start()

    def serve(self, near, far, back):
        self.carry(near, far)
        back.join()
        with self.lock:
            if (near, far) in self.connections:
                self.connections.remove((near, far))
            near.close()
            far.close()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in source, sink:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            for pair in self.connections:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.connections = []

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


class Session:
    """A tunnel with one client, whose connection stays open all the time."""

    def __init__(self, network):
        self.tunnel = TcpTunnel.Tunnel(f"ws://127.0.0.1:{network.port}/", TOKEN, mode="multiplexed", resumption="required",
                                       reconnect_delay=10, max_reconnect_delay=100, log_level="error")
        self.errors = []
        self.tunnel.connect("connection-closed", lambda _, connection: self.errors.append(connection.props.error))
        self.tunnel.start()
        self.client, self.gateway = self.open()

    def open(self):
        client = connect(port_of(self.tunnel))
        name = b""
        while not name.endswith(b"\n"):
            piece = client.recv(1)
            assert piece, "no gateway"
            name += piece
        return client, name.decode().strip()

    def close(self):
        self.client.close()
        self.tunnel.close()


class Fleet(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        # nginx drops its privileges, and still needs access to its directory.
        self.directory.chmod(0o755)
        self.gateways = {}
        self.ports = {}
        self.sessions = []
        for number in range(3):
            self.add_gateway(FIRST + number)
        self.port = free_port()
        self.configure()
        self.proxy = Proxy(proxy, self.directory, self.port)
        self.addCleanup(self.proxy.stop)
        self.network = Network(self.port)
        self.addCleanup(self.network.close)

    def add_gateway(self, number):
        name = f"gateway-{number}"
        self.gateways[name] = Gateway(name, *self.get_ports(number))
        self.addCleanup(self.gateways[name].close)

    def get_ports(self, number):
        """Returns the port of a gateway, and that of its admin listener."""
        if number not in self.ports:
            self.ports[number] = free_port(), free_port()
        return self.ports[number]

    def configure(self):
        Proxy.write(proxy, self.directory, self.read_example() if in_kubernetes else self.read_guide())

    def read_example(self):
        """The example names all possible gateways. In a cluster, the names of existing ones would be resolved."""
        text = EXAMPLE.read_text(encoding="utf-8")
        text = re.search(r"(?ms)^  haproxy.cfg: \|\n(.*?)^---$", text)[1]
        text = re.sub("(?m)^    ", "", text).replace("bind :8080", f"bind 127.0.0.1:{self.port}").replace(" port 9090", "")

        def place(match):
            port, admin = self.get_ports(int(match[1]))
            return f" 127.0.0.1:{port} port {admin}" + ("" if f"gateway-{match[1]}" in self.gateways else " disabled")

        text, count = re.subn(r" gateway-(\d)\.gateways\.tunnels\.svc\.cluster\.local:8080", place, text)
        self.assertGreater(count, 3)
        return text

    def read_guide(self):
        """The configuration for three gateways, adapted to their current number."""
        text = guide_block("fleet.md", proxy)
        if proxy == "haproxy":
            text = re.sub(r"bind .*", f"bind 127.0.0.1:{self.port}", text)
        else:
            text = re.sub(r"(?m)^ *(ssl_.*|server_name .*)\n", "", text).replace("listen 443 ssl;", f"listen 127.0.0.1:{self.port};")
        for number in range(4, len(self.gateways) + 1):
            text = self.write_one_more(text, number)
        for number in range(1, len(self.gateways) + 1):
            address = f"10.0.0.{number}:8080"
            self.assertIn(address, text)
            text = text.replace(address, f"127.0.0.1:{self.get_ports(number)[0]}")
        self.assertNotIn("10.0.0", text)
        self.assertNotIn("/etc/", text)
        return text

    @staticmethod
    def write_one_more(text, number):
        """Adds a gateway, as an administrator would."""
        if proxy == "haproxy":
            return text.rstrip() + f"\n    server gateway-{number} 10.0.0.{number}:8080\n"
        text = text.replace("    default gateways;", f"    gateway-{number} gateway-{number};\n    default gateways;")
        groups = re.findall(r"(?ms)^upstream gateway.*?^\}\n", text)
        for group in groups:
            kind = "" if group.startswith("upstream gateways ") else " backup"
            text = text.replace(group, group[:-2] + f"    server 10.0.0.{number}:8080{kind};\n}}\n")
        others = "".join(f"    server 10.0.0.{other}:8080 backup;\n" for other in range(1, number))
        return text.replace("\nserver {", f"\nupstream gateway-{number} {{\n    server 10.0.0.{number}:8080 max_fails=0;\n"
                            f"{others}}}\n\nserver {{", 1)

    def begin_sessions(self, names):
        """Begins sessions until each of these gateways has some."""
        for _ in range(300):
            if all(sum(session.gateway == name for session in self.sessions) >= SESSIONS for name in names):
                return
            session = Session(self.network)
            self.addCleanup(session.close)
            self.sessions.append(session)
        self.fail(f"no session reaches some of {names}")

    def cut(self):
        """Breaks every WebSocket. Each session is resumed with all its connections."""
        resumes = [session.tunnel.get_statistics().resumes for session in self.sessions]
        self.network.cut()
        for session, before in zip(self.sessions, resumes):
            exchange(session.client, 100000)
            wait_until(lambda: session.tunnel.get_statistics().resumes > before, "a session that comes back")
            self.assertEqual(session.errors, [])

    def of(self, name):
        return [session for session in self.sessions if session.gateway == name]

    def test_fleet(self):
        names = [f"gateway-{FIRST + number}" for number in range(4)]
        self.begin_sessions(names[:3])
        self.cut()

        with self.subTest("one is added"):
            self.add_gateway(FIRST + 3)
            self.configure()
            self.proxy.reload()
            self.cut()
            self.begin_sessions(names[3:])
            self.cut()

        with self.subTest("one is drained"):
            drained = self.gateways[names[0]]
            sessions = self.of(drained.name)
            drained.process.send_signal(signal.SIGTERM)
            self.cut()
            # New connections go to other gateways, also those of its own sessions, whose old connections continue
            # meanwhile.
            for _ in range(20):
                session = Session(self.network)
                self.addCleanup(session.close)
                self.sessions.append(session)
                self.assertNotEqual(session.gateway, drained.name)
            for session in sessions:
                wait_until(lambda: session.tunnel.get_statistics().resumes > 0, "a resume")
                client, name = session.open()
                self.addCleanup(client.close)
                exchange(client, 1000)
                self.assertNotEqual(name, drained.name)
                exchange(session.client, 1000)
            self.cut_and_exchange()
            # The gateway ends with the last of them.
            for session in sessions:
                session.client.shutdown(socket.SHUT_WR)
                self.assertEqual(session.client.recv(1), b"")
                self.sessions.remove(session)
            self.assertEqual(drained.process.wait(GENEROUS_S), 0)
            for session in sessions:
                wait_until(lambda: session.errors, "the end")
                self.assertEqual(session.errors, [None])

        with self.subTest("one is killed"):
            killed = self.gateways[names[1]]
            sessions = self.of(killed.name)
            self.sessions = [session for session in self.sessions if session not in sessions]
            killed.process.kill()
            self.cut()
            for session in sessions:
                with self.assertRaises(ConnectionResetError):
                    session.client.recv(1)
                wait_until(lambda: session.errors, "the reset")
                self.assertIsInstance(session.errors[0], TcpTunnel.Error)
                # The tunnel continues with another gateway.
                client, name = session.open()
                self.addCleanup(client.close)
                self.assertNotEqual(name, killed.name)
                exchange(client, 1000)

        with self.subTest("the proxy is reloaded"):
            self.proxy.reload()
            self.cut()

        with self.subTest("the proxy is restarted"):
            self.proxy.stop()
            self.proxy.start()
            self.cut()

    def cut_and_exchange(self):
        """Like cut(), for tunnels that have two sessions by now."""
        self.network.cut()
        for session in self.sessions:
            exchange(session.client, 1000)
            self.assertEqual(session.errors, [])


if find_proxy(proxy) is None:
    print(f"{proxy} is missing")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=["fleet"], verbosity=2)
