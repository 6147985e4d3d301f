# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configurations of the guide for nginx and HAProxy, in front of a gateway.

test_proxies.py PROXY, nginx or haproxy
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from ports import free_port
from proxies import Proxy, find_proxy, guide_block, wait_for_port
from support import GENEROUS_S, TOKEN, Echo, connect, exchange, port_of, start_gateway, wait_until
from gi.repository import Gio, GLib, TcpTunnel

proxy = sys.argv[1]
PROXY = find_proxy(proxy)


class Guided(Proxy):
    """The configuration of the guide, with other names and ports and another timeout."""

    def __init__(self, directory, gateway, timeout):
        port = free_port()
        text = guide_block("gateway.md", proxy)
        for written, here in ((r"(listen |bind ):?443", rf"\g<1>127.0.0.1:{port}"), ("8080", str(gateway.address.port)),
                              (r"/etc/\S+\.pem", f"{directory}/cert.pem"), (r"/etc/\S+\.key", f"{directory}/key.pem"),
                              ("75s", timeout)):
            text = re.sub(written, here, text)
        assert "/etc" not in text and f"127.0.0.1:{gateway.address.port}" in text and timeout in text, text
        self.write(proxy, directory, text)
        self.uri = f"wss://127.0.0.1:{port}/instance"
        super().__init__(proxy, directory, port)


class Behind(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", "key.pem", "-out", "cert.pem"], cwd=cls.directory, check=True, stderr=subprocess.DEVNULL)
        # HAProxy needs both in one file; the others accept that.
        with open(cls.directory / "cert.pem", "a") as file:
            file.write((cls.directory / "key.pem").read_text())
        # nginx drops its privileges, and still needs access to its directory.
        cls.directory.chmod(0o755)
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.server_close)
        cls.addClassCleanup(cls.echo.shutdown)

    def serve(self, timeout="75s", **properties):
        self.gateway = start_gateway(self.echo.address, **properties)
        self.addCleanup(self.gateway.close)
        self.proxy = Guided(self.directory, self.gateway, timeout)
        self.addCleanup(self.proxy.stop)

    def tunnel(self, token=TOKEN, **properties):
        tunnel = TcpTunnel.Tunnel(self.proxy.uri, token, log_level="error", reconnect_delay=10,
                                  max_reconnect_attempts=1000, max_reconnect_delay=100,
                                  tls_database=Gio.TlsFileDatabase.new(str(self.directory / "cert.pem")), **properties)
        self.addCleanup(tunnel.close)
        return tunnel

    def connect(self, tunnel):
        client = connect(port_of(tunnel))
        self.addCleanup(client.close)
        return client

    def test_round_trips(self):
        self.serve()
        for mode in "singleton", "multiplexed":
            tunnel = self.tunnel(mode=mode, resumption="required")
            tunnel.start()
            exchange(self.connect(tunnel))

    def test_limruns_protocol(self):
        self.serve(resumption=TcpTunnel.TunnelResumption.OFF)
        for mode in "singleton", "multiplexed":
            tunnel = self.tunnel(mode=mode)
            tunnel.start()
            exchange(self.connect(tunnel))

    def test_resumption(self):
        """The proxy is stopped and started while there is a connection, which continues."""
        self.serve()
        tunnel = self.tunnel(mode="multiplexed")
        tunnel.start()
        client = self.connect(tunnel)
        exchange(client)
        self.proxy.stop()
        client.sendall(b"meanwhile")
        self.proxy.start()
        self.assertEqual(client.recv(9, socket.MSG_WAITALL), b"meanwhile")
        exchange(client)
        self.assertGreaterEqual(tunnel.get_statistics().resumes, 1)

    def test_idle(self):
        """The proxy cuts a WebSocket that is idle for longer than the guide's timeout, which does no harm; pings
        prevent it."""
        self.serve(timeout="1s", keepalive_interval=0)
        silent = self.tunnel(keepalive_interval=0)
        pinging = self.tunnel(keepalive_interval=100)
        clients = []
        for tunnel in silent, pinging:
            tunnel.start()
            clients.append(self.connect(tunnel))
            exchange(clients[-1])

        def is_kept():
            cuts, others = silent.get_statistics().reconnects, pinging.get_statistics().reconnects
            wait_until(lambda: silent.get_statistics().reconnects > cuts, "a cut")
            return pinging.get_statistics().reconnects == others

        # A machine that stalls for a second may delay the pings once.
        self.assertTrue(any(is_kept() for attempt in range(5)))
        for client in clients:
            exchange(client)

    def test_addresses(self):
        """The proxy does not pass on addresses that a client claims in its headers."""
        self.serve(trusted_proxies=["127.0.0.1"])
        tunnel = self.tunnel(mode="multiplexed", request_headers=["Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.2"])
        tunnel.start()
        exchange(self.connect(tunnel))

    def test_refusals(self):
        self.serve()
        with self.assertRaisesRegex(GLib.Error, r"refused the token \(401"):
            self.tunnel("a-wrong-token", mode="multiplexed").start()
        tunnel = self.tunnel(mode="multiplexed")
        tunnel.remote_uri = self.proxy.uri + "/elsewhere"
        with self.assertRaisesRegex(GLib.Error, r"nothing at this path \(404|not available now \(503"):
            tunnel.start()
        self.gateway.close()
        with self.assertRaisesRegex(GLib.Error, r"failed \(502|not available now \(503"):
            self.tunnel(mode="multiplexed").start()


@unittest.skipUnless(proxy == "haproxy", "nginx speaks version 1 only")
class ProxyProtocol(unittest.TestCase):
    """HAProxy names the client in a header before the data that it passes on; and as a target it gets the client's
    address from the gateway."""

    def test_names_the_client(self):
        echo = Echo()
        self.addCleanup(echo.server_close)
        self.addCleanup(echo.shutdown)
        target = free_port()
        gateway = start_gateway(f"127.0.0.1:{target}", trusted_proxies=["127.0.0.1"], proxy_protocol="v2")
        self.addCleanup(gateway.close)
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        port = free_port()
        text = guide_block("gateway.md", "haproxy", 1)
        self.assertIn("send-proxy-v2", text)
        text = text.replace(":443", f"127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{gateway.address.port}")
        text += f"""
listen target
    bind 127.0.0.1:{target} accept-proxy
    tcp-request session reject if !{{ src 127.0.0.3 }}
    server echo {echo.address}
"""
        Path(directory, "proxy.conf").write_text(text)
        process = subprocess.Popen([PROXY, "-db", "-q", "-f", "proxy.conf"], cwd=directory, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait, GENEROUS_S)
        self.addCleanup(process.terminate)

        wait_for_port(process, port)
        # Not HAProxy's own address.
        with socket.create_connection(("127.0.0.1", port), GENEROUS_S, ("127.0.0.3", 0)) as client:
            client.sendall((f"GET / HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                            f"Authorization: Bearer {TOKEN}\r\n\r\n").encode())
            self.assertTrue(client.recv(4096).startswith(b"HTTP/1.1 101 "))
            deadline = time.monotonic() + GENEROUS_S
            while gateway.get_connections().get_n_items() == 0:
                self.assertLess(time.monotonic(), deadline)
                GLib.MainContext.default().iteration(False)
            connection = gateway.get_connections().get_item(0)
            self.assertEqual(connection.get_client_address().get_address().to_string(), "127.0.0.3")
            client.sendall(b"\x82\x84\0\0\0\0ping")
            self.assertEqual(client.recv(6, socket.MSG_WAITALL), b"\x82\x04ping")


if PROXY is None or shutil.which("openssl") is None:
    print(f"{proxy} or openssl is missing")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=["proxies"], verbosity=2)
