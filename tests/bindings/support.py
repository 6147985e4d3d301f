# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shared parts of the Python tests."""

import hashlib
import os
import select
import signal
import socket
import socketserver
import sys
import threading

# Tests without the overrides of python/, wherever these are installed.
if "TCP_TUNNEL_RAW" in os.environ:
    sys.modules["gi.overrides.TcpTunnel"] = None

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel

TOKEN = "bindings-0123456789"
MIB = 1024 * 1024
GENEROUS_S = 30

# The tests may have been started with signals ignored, as nohup and the & of a shell do. The programs that the tests
# start do not inherit that.
for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


class Echo(socketserver.ThreadingTCPServer):
    """A TCP service that sends back what it gets."""

    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                while data := self.request.recv(65536):
                    self.request.sendall(data)
            except ConnectionError:
                pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server_address[1]


def start_gateway(target, **properties):
    gateway = TcpTunnel.Gateway(target=target, token=TOKEN, log_level=TcpTunnel.TunnelLogLevel.WARN, **properties)
    gateway.start(None)
    return gateway


def port_of(tunnel):
    return tunnel.get_local_address().get_port()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=GENEROUS_S)


def exchange(client, size=MIB):
    """Sends random bytes to an echo, and compares what comes back."""
    data = os.urandom(size)
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    back = bytearray()
    while len(back) < size:
        piece = client.recv(65536)
        assert piece, "the stream ended after %d of %d bytes" % (len(back), size)
        back += piece
    sender.join()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), "what came back is not what was sent"


def is_refused(port):
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def let_end_untold(tunnel):
    """Makes a tunnel with a wrong token end because of a client. No main loop runs that would report it; the log
    shows the end."""
    reader, writer = os.pipe()
    stderr = os.dup(2)
    os.dup2(writer, 2)
    os.close(writer)
    log = b""
    try:
        with connect(port_of(tunnel)):
            while b"the tunnel ended" not in log:
                assert select.select([reader], [], [], GENEROUS_S)[0], "the tunnel did not end: %r" % log
                log += os.read(reader, 4096)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(reader)


def wait_until(condition, what):
    """Runs the main context until the condition holds."""
    context = GLib.MainContext.default()
    expired = []
    deadline = GLib.timeout_add_seconds(GENEROUS_S, expired.append, True)
    while not condition():
        assert not expired, "waited in vain for " + what
        context.iteration(True)
    GLib.source_remove(deadline)


class Watch:
    """The signals of a tunnel, in the order in which they came."""

    def __init__(self, tunnel):
        self.states = []
        self.opened = []
        self.closed = []
        self.failures = []
        tunnel.connect("state-changed", lambda _, state: self.states.append(state.value_nick))
        tunnel.connect("connection-opened", lambda _, connection: self.opened.append((connection.props.id, connection.props.client_address)))
        tunnel.connect("connection-closed", lambda _, connection: self.closed.append((connection.props.id, connection.props.error)))
        tunnel.connect("failed", lambda _, error: self.failures.append(error))
