# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configurations of the guide for nginx and HAProxy, in front of a gateway.

test_proxies.py PROXY, nginx or haproxy"""

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
from support import GENEROUS_S, TOKEN, Echo, connect, exchange, port_of, start_gateway, wait_until
from gi.repository import Gio, GLib, TcpTunnel

proxy = sys.argv[1]
PROXY = shutil.which(proxy, path=os.environ["PATH"] + ":/usr/sbin")
GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "guide" / "gateway.md"

# What it would write belongs to the system otherwise.
NGINX = """daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
access_log off;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
%s
}
"""


class Proxy:
    """The program, with what the guide says; only names, ports and the timeout are others."""

    def __init__(self, directory, gateway, timeout):
        self.directory = directory
        self.port = free_port()
        text = re.search(rf"^```{proxy}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
        for written, here in ((r"(listen |bind ):?443", rf"\g<1>127.0.0.1:{self.port}"), ("8080", str(gateway.address.port)),
                              (r"/etc/\S+\.pem", f"{directory}/cert.pem"), (r"/etc/\S+\.key", f"{directory}/key.pem"),
                              ("75s", timeout)):
            text = re.sub(written, here, text)
        assert "/etc" not in text and f"127.0.0.1:{gateway.address.port}" in text and timeout in text, text
        (directory / "proxy.conf").write_text(NGINX % text if proxy == "nginx" else text)
        self.uri = f"wss://127.0.0.1:{self.port}/instance"
        self.start()

    def start(self):
        command = {"nginx": [PROXY, "-e", "stderr", "-p", self.directory, "-c", "proxy.conf"],
                   "haproxy": [PROXY, "-db", "-q", "-f", "proxy.conf"]}[proxy]
        # Without a stdin HAProxy closes a socket instead of it.
        self.process = subprocess.Popen(command, cwd=self.directory, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + GENEROUS_S
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, "the proxy does not start"
            try:
                connect(self.port).close()
                return
            except OSError:
                time.sleep(0.01)

    def stop(self):
        """At once, with all its connections."""
        self.process.terminate()
        self.process.wait(GENEROUS_S)


class Behind(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", "key.pem", "-out", "cert.pem"], cwd=cls.directory, check=True, stderr=subprocess.DEVNULL)
        # HAProxy wants both in one file, and nobody else minds.
        with open(cls.directory / "cert.pem", "a") as file:
            file.write((cls.directory / "key.pem").read_text())
        # nginx gives up its privileges, and has to reach its directory.
        cls.directory.chmod(0o755)
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.server_close)
        cls.addClassCleanup(cls.echo.shutdown)

    def serve(self, timeout="75s", **properties):
        self.gateway = start_gateway(self.echo.address, **properties)
        self.addCleanup(self.gateway.close)
        self.proxy = Proxy(self.directory, self.gateway, timeout)
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
        """The proxy is stopped and started under a connection, which goes on."""
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
        """The proxy cuts a WebSocket that is idle for longer than the guide's timeout, which does no
        harm; pings keep it from that."""
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

        # A machine that stands still for a second may miss its pings once.
        self.assertTrue(any(is_kept() for attempt in range(5)))
        for client in clients:
            exchange(client)

    def test_addresses(self):
        """The proxy does not pass on what a client says about its address where that would count."""
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


if PROXY is None or shutil.which("openssl") is None:
    print(f"{proxy} or openssl is missing")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=["proxies"], verbosity=2)
