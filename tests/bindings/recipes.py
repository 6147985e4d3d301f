# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the examples that use other programs, with stand-ins for programs that are missing."""

import getpass
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from adb_device import Device
from support import GENEROUS_S, TOKEN, Echo, connect, exchange, start_gateway
from gi.repository import TcpTunnel

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples" / "python"
SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Recipe(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = {**os.environ, "TCP_TUNNEL_TOKEN": TOKEN}

    def serve(self, handler):
        server = Server(handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        gateway = start_gateway("127.0.0.1:%d" % server.server_address[1])
        self.addCleanup(gateway.close)
        return gateway

    def use_stand_ins(self):
        self.environment["PATH"] = "%s:%s" % (HERE / "stand-ins", os.environ["PATH"])

    def run_example(self, name, *arguments):
        return subprocess.run([sys.executable, EXAMPLES / name, *arguments], env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=GENEROUS_S * 4)


class Usage(Recipe):
    def check(self, usage, name, *arguments):
        result = self.run_example(name, *arguments)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (1, "", "usage: %s\n" % usage))

    def test_usage(self):
        for name, usage in (
            ("adb.py", "TCP_TUNNEL_TOKEN=TOKEN adb.py URL [ADB-COMMAND [ARGUMENT...]]"),
            ("ssh.py", "TCP_TUNNEL_TOKEN=TOKEN ssh.py URL [USER@]MACHINE [SSH-ARGUMENT...]"),
            ("service.py", "service.py FILE"),
            ("tunnel.py", "TCP_TUNNEL_TOKEN=TOKEN tunnel.py URL"),
        ):
            with self.subTest(name):
                self.check(usage, name)
                self.check(usage, name, "--help")
        # These are all examples.
        self.assertEqual(len(list(EXAMPLES.glob("*.py"))), 4)

    def test_no_token(self):
        del self.environment["TCP_TUNNEL_TOKEN"]
        self.check("TCP_TUNNEL_TOKEN=TOKEN adb.py URL [ADB-COMMAND [ARGUMENT...]]", "adb.py", "ws://127.0.0.1:9/")

    def test_no_file(self):
        result = self.run_example("service.py", "/nonexistent")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, "^[^\n]*No such file[^\n]*/nonexistent[^\n]*\n$")


class Adb(Recipe):
    def setUp(self):
        super().setUp()
        if shutil.which("adb") is None:
            self.use_stand_ins()
            return

        # An adb server of the test, which keeps its keys in the test's directory.
        with socketserver.TCPServer(("127.0.0.1", 0), None) as probe:
            self.environment["ANDROID_ADB_SERVER_PORT"] = str(probe.server_address[1])
        self.environment["HOME"] = str(self.directory)
        self.addCleanup(subprocess.run, ["adb", "kill-server"], env=self.environment, stderr=subprocess.DEVNULL)

    def test_shell(self):
        gateway = self.serve(Device)
        result = self.run_example("adb.py", gateway.uri, "shell", "echo one; echo two")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"connected to 127\.0\.0\.1:\d+")
        self.assertIn("one\ntwo\n", result.stdout)

    def test_no_gateway(self):
        result = self.run_example("adb.py", "http://127.0.0.1/", "shell", "true")
        self.assertEqual(result.returncode, 1)
        self.assertIn("ws://", result.stderr)


class LineShell(socketserver.StreamRequestHandler):
    """The server for the stand-in of ssh."""

    def handle(self):
        result = subprocess.run(self.rfile.readline(), shell=True, stdout=subprocess.PIPE)
        self.wfile.write(result.stdout + b"%d\n" % result.returncode)


class Ssh(Recipe):
    def setUp(self):
        super().setUp()
        if None in (SSHD, shutil.which("ssh"), shutil.which("ssh-keygen")):
            self.use_stand_ins()
            self.gateway = self.serve(LineShell)
            self.arguments = ["user@machine"]
        else:
            self.gateway = self.serve(self.make_sshd())

    def make_key(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name], check=True)
        return (self.directory / (name + ".pub")).read_text()

    def make_sshd(self):
        if os.geteuid() == 0:
            # sshd needs this directory, which does not exist where sshd was never started.
            os.makedirs("/run/sshd", exist_ok=True)
        known_hosts = self.directory / "known_hosts"
        known_hosts.write_text("127.0.0.1 " + self.make_key("host"))
        authorized = self.directory / "authorized"
        authorized.write_text(self.make_key("user"))
        self.arguments = ["-F", "none", "-i", str(self.directory / "user"), "-oBatchMode=yes", "-oIdentitiesOnly=yes",
                          "-oUserKnownHostsFile=%s" % known_hosts, "-oStrictHostKeyChecking=yes",
                          getpass.getuser() + "@machine"]
        command = [SSHD, "-i", "-e", "-f", "/dev/null", "-h", self.directory / "host",
                   "-oAuthorizedKeysFile=%s" % authorized, "-oStrictModes=no", "-oPermitRootLogin=yes",
                   "-oPidFile=none"]

        class Sshd(socketserver.BaseRequestHandler):
            def handle(self):
                subprocess.run(command, stdin=self.request, stdout=self.request, stderr=subprocess.DEVNULL)

        return Sshd

    def test_command(self):
        result = self.run_example("ssh.py", self.gateway.uri, *self.arguments, "echo one; echo two; exit 3")
        self.assertEqual(result.stdout, "one\ntwo\n", result.stderr)
        self.assertEqual(result.returncode, 3)


class Service(Recipe):
    def write_tunnels(self, **tunnels):
        with open(self.directory / "tunnels.ini", "w") as file:
            for name, settings in tunnels.items():
                file.write("[%s]\n%s\n" % (name, "\n".join("%s = %s" % item for item in settings.items())))

    def start(self):
        process = subprocess.Popen([sys.executable, "-u", EXAMPLES / "service.py", self.directory / "tunnels.ini"],
                                   env=self.environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def read_until(self, process, *words):
        """Returns the lines up to the one that contains the last of these words."""
        lines = []
        wanted = set(words)
        while wanted:
            line = process.stdout.readline()
            self.assertTrue(line, "it ended without %s: %s" % (wanted, lines))
            lines.append(line)
            wanted = {word for word in wanted if word not in line}
        return lines

    def test_several(self):
        gateway = self.serve(Echo.Handler)
        token, stale = self.directory / "token", self.directory / "stale"
        token.write_text(TOKEN + "\n")
        stale.write_text("stale\n")
        self.write_tunnels(
            one={"remote-uri": gateway.uri, "token-file": token, "mode": "multiplexed"},
            two={"remote-uri": gateway.uri, "token-file": stale, "mode": "singleton"},
            bad={"remote-uri": "ws://127.0.0.1:1/", "token-file": token, "mode": "multiplexed"},
        )
        process = self.start()
        lines = self.read_until(process, "one: listening", "two: listening", "bad: the gateway ws://127.0.0.1:1/ cannot be reached")
        ports = [int(line.rpartition(":")[2]) for line in lines if "listening on 127.0.0.1:" in line]
        self.assertEqual(len(ports), 2)

        stale.write_text(TOKEN + "\n")
        for port in ports:
            with connect(port) as client:
                exchange(client)
        self.read_until(process, "two: the token was refused", "two: connected")

        process.send_signal(signal.SIGTERM)
        self.read_until(process, "root: stopped")
        self.assertEqual(process.wait(GENEROUS_S), 0)


unittest.main(verbosity=2)
