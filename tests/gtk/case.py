# SPDX-License-Identifier: LGPL-2.1-or-later
"""The common base of the application's tests: a desktop, a gateway in front of an echo service, and helpers for the
window."""

import atexit
import os
import re
import shutil
import socket
import socketserver
import threading
import unittest

from desktop import GENEROUS_S, Desktop

from gi.repository import Atspi, GLib, TcpTunnel

Role = Atspi.Role
TOKEN = "only-the-keyring-may-keep-this"
# No other program listens on this address, even if other tests run at the same time.
ADDRESS = "127.77.%d.%d" % (os.getpid() // 250 % 250 + 1, os.getpid() % 250 + 1)
MIB = 1024 * 1024
BLOCK = os.urandom(MIB)

desktop = Desktop()
atexit.register(desktop.close)


class Echo(socketserver.ThreadingTCPServer):
    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                while data := self.request.recv(MIB):
                    self.request.sendall(data)
            except ConnectionError:
                pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def connect(port):
    return socket.create_connection((ADDRESS, port), timeout=GENEROUS_S)


def exchange(port, enough):
    """Sends blocks to an echo service until enough(sent) is true, and returns how many bytes came back, which is all
    of them."""
    with connect(port) as client:
        sent = 0
        finished = threading.Event()

        def send():
            nonlocal sent
            while not finished.is_set():
                # This is decided before the block is sent: when the last block has come back, it is known.
                sent += MIB
                if enough(sent):
                    finished.set()
                client.sendall(BLOCK)

        sender = threading.Thread(target=send)
        sender.start()
        received = 0
        block = bytearray(MIB)
        while not (finished.is_set() and received == sent):
            view = memoryview(block)
            while view:
                size = client.recv_into(view)
                assert size, f"the connection ended after {received} of {sent} bytes"
                view = view[size:]
            assert block == BLOCK, "what came back is not what was sent"
            received += MIB
        sender.join()
        return received


def is_refused(port):
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


class Case(unittest.TestCase):
    def setUp(self):
        self.config = desktop.path("CONFIG_HOME", "tcp-tunnels", "tunnels.ini")
        self.echo = Echo()
        self.addCleanup(self.echo.server_close)
        self.addCleanup(self.echo.shutdown)
        self.gateway = TcpTunnel.Gateway(target="127.0.0.1:%d" % self.echo.server_address[1], token=TOKEN,
                                         log_level=TcpTunnel.TunnelLogLevel.NONE)
        self.gateway.start(None)
        self.addCleanup(self.gateway.close)
        self.addCleanup(shutil.rmtree, os.path.dirname(self.config), ignore_errors=True)

    def start(self, **tunnels):
        """Starts the application with these tunnels in its key file."""
        os.makedirs(os.path.dirname(self.config), exist_ok=True)
        with open(self.config, "a") as file:
            for name, keys in tunnels.items():
                file.write(f"[{name}]\nName={name}\nGateway={self.gateway.dup_uri()}\nHostname={ADDRESS}\n{keys}\n")
        desktop.start_application()
        self.addCleanup(self.give_up)

    def give_up(self):
        if desktop.application in desktop.processes:
            print(desktop.forget_application())

    def end(self):
        self.assertEqual(desktop.end_application(), "")
        self.assertTokenIsNowhere()

    def assertTokenIsNowhere(self):
        for directory, _, names in os.walk(desktop.directory):
            for path in (os.path.join(directory, name) for name in names):
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        self.assertNotIn(TOKEN.encode(), file.read(), path)

    def read(self):
        key_file = GLib.KeyFile()
        key_file.load_from_file(self.config, GLib.KeyFileFlags.NONE)
        return [{key: key_file.get_string(group, key) for key in key_file.get_keys(group)[0]}
                for group in key_file.get_groups()[0]]

    def switch(self, name):
        desktop.press(name, Role.CHECK_BOX)

    def answer(self, token):
        field = desktop.enter("Token", token)
        desktop.press("Start")
        desktop.wait_until_gone(field)

    def wait_for_port(self):
        return int(desktop.wait_for_text(rf"^(?:Ready|Connected) · {re.escape(ADDRESS)}:(\d+)")[1])
