# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guide's table of jobs: each row is run, in Python and with the command, and the names of its C column exist."""

import asyncio
import inspect
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from ports import free_port
from support import Echo, TcpTunnel
from gi.repository import Gio

BINARY = os.environ["TCP_TUNNEL_BIN"]
ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "guide" / "jobs.md"
TOKEN = "your-token"
CELLS = "job", "c", "python", "command", "tests"


def read_rows():
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == len(CELLS) and cells[0] != "job":
            yield dict(zip(CELLS, cells))


def code(cell):
    return re.findall("`([^`]+)`", cell)


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = list(read_rows())
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.server_close)
        cls.addClassCleanup(cls.echo.shutdown)
        cls.gateway = TcpTunnel.Gateway(target=cls.echo.address, token=TOKEN, log_level="none", allow=["127.0.0.1:*"],
                                        reverse_ports=[str(free_port()) for _ in range(4)])
        cls.gateway.start()
        cls.addClassCleanup(cls.gateway.close)
        cls.directory = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.target = "%s:%d" % cls.echo.server_address[:2]

    def setUp(self):
        self.assertGreater(len(self.rows), 15)

    async def use(self, value):
        """Uses the value of an expression of the table."""
        if inspect.isawaitable(value):
            reader, writer = await value
            writer.write(b"hello")
            self.assertEqual(await reader.readexactly(5), b"hello")
            writer.close()
        elif isinstance(value, TcpTunnel.ReverseTunnel):
            async with value:
                self.assertIsNotNone(value.dup_remote_address())
        elif isinstance(value, TcpTunnel.Tunnel) and value.props.socket_path is not None:
            async with value:
                await self.echo_over(await asyncio.open_unix_connection(value.props.socket_path))
        elif isinstance(value, TcpTunnel.Endpoint):
            async with value:
                # Without credentials, the gateway opens no connection.
                if isinstance(value, TcpTunnel.Tunnel) and not value.props.anonymous:
                    await self.echo_over(await asyncio.open_connection(*value.address))

    async def echo_over(self, streams):
        reader, writer = streams
        writer.write(b"hello")
        self.assertEqual(await reader.readexactly(5), b"hello")
        writer.close()

    def test_python(self):
        for row in self.rows:
            with self.subTest(row["job"]):
                expression, = code(row["python"])
                names = {name: getattr(TcpTunnel, name) for name in ("Tunnel", "Gateway", "ReverseTunnel", "Forward")}
                names.update(URL=self.gateway.dup_uri(), TOKEN=TOKEN, TARGET=self.target,
                             PATH=os.path.join(self.directory, "python"),
                             SOCKET=Gio.Socket.new_from_fd(socket.create_server(("127.0.0.1", 0)).detach()))
                # A stream needs a running tunnel.
                match = re.fullmatch(r"(Tunnel\(.*?\))\.(open_connection\(\))", expression)

                async def run():
                    if match:
                        async with eval(match[1], names) as tunnel:
                            await self.use(eval("tunnel." + match[2], {"tunnel": tunnel}))
                    else:
                        await self.use(eval(expression, names))

                asyncio.run(run())

    def test_command(self):
        for row in self.rows:
            with self.subTest(row["job"]):
                line, = code(row["command"])
                line = line.replace("URL", self.gateway.dup_uri()).replace("unix:PATH", f"unix:{self.directory}/command")
                args = shlex.split(line.replace("TARGET", self.target).replace("TOKEN", TOKEN))
                env = {**os.environ, "XDG_RUNTIME_DIR": self.directory, "PATH": f"{self.directory}:{os.environ['PATH']}"}
                if not any("Authorization" in arg or arg == "--no-token" for arg in args):
                    env["TCP_TUNNEL_TOKEN"] = TOKEN
                adb = Path(self.directory, "adb")
                adb.write_text("#!/bin/sh\necho connected to x\n")
                adb.chmod(0o755)
                # The socket is passed as systemd does it.
                pass_on = None
                if "systemd" in args:
                    listener = self.enterContext(socket.create_server(("127.0.0.1", 0)))
                    pass_on = lambda: os.dup2(listener.fileno(), 3)
                    env["LISTEN_FDS"] = "1"
                command = ["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', BINARY, *args]
                process = subprocess.Popen(command, env=env, preexec_fn=pass_on, close_fds=pass_on is None, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                           stderr=subprocess.DEVNULL)
                with process:
                    if "--stdio" in args:
                        process.stdin.write("hello\n")
                        process.stdin.flush()
                        self.assertEqual(process.stdout.readline(), "hello\n")
                    elif args[0] == "status":
                        self.assertIn("of this user is running", process.stdout.readline())
                    elif args[0] == "check":
                        self.assertIn(self.gateway.dup_uri(), process.stdout.readline())
                    else:
                        self.assertIn("listening", process.stdout.readline())
                    process.send_signal(signal.SIGTERM)
                    process.stdin.close()

    def test_c(self):
        """Functions and constants are exported, and properties exist."""
        headers = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "include" / "tcptunnel").glob("*.h"))
        tunnel = {spec.name for kind in (TcpTunnel.Tunnel, TcpTunnel.ReverseTunnel) for spec in kind.list_properties()}
        gateway = {spec.name for spec in TcpTunnel.Gateway.list_properties()}
        for row in self.rows:
            properties = gateway if row["command"].startswith("`gateway ") else tunnel
            with self.subTest(row["job"]):
                for text in code(row["c"]):
                    for name in re.findall(r"tcp_\w+(?= \()|TCP_\w+", text):
                        self.assertRegex(headers, rf"\b{name}\b")
                    for name in re.findall(r'^"([a-z-]+)"', text):
                        self.assertIn(name, properties)

    def test_tests(self):
        for row in self.rows:
            with self.subTest(row["job"]):
                self.assertTrue(code(row["tests"]))
                for path in code(row["tests"]):
                    self.assertTrue((ROOT / path).is_file(), path)


unittest.main(verbosity=2)
