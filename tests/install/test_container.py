# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests the Containerfile without a program that builds images: runs its steps in new systems, each stage in one of its
own, and then runs the result as the Containerfile says, without privileges and on a read-only file system.

    test_container.py DIRECTORY

This needs root. The systems stay in DIRECTORY, and are used again if they exist."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BARE = ROOT / "scripts" / "bare-system"
BINARY = os.environ["TCP_TUNNEL_BIN"]
DIRECTORY = Path(sys.argv[1]).resolve()
TOKEN = "container-0123456789"
GENEROUS_S = 60
ROUNDS = 10


def read_steps():
    """Returns the steps of each stage, as (instruction, text)."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    stages = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            stages.append([])
        stages[-1].append((instruction, rest))
    return stages


class Echo(socketserver.ThreadingTCPServer):
    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(65536):
                self.request.sendall(data)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Image:
    """The result of the steps, and the settings for running it."""

    def __init__(self):
        self.stages = {}
        self.user = self.signal = None
        self.entry_point = self.command = ()
        for number, stage in enumerate(read_steps()):
            self.build(number, stage)

    def build(self, number, steps):
        (_, base), *steps = steps
        release, name = re.fullmatch(r"debian:(\w+)-slim(?: AS (\w+))?", base).groups()
        directory = DIRECTORY / f"stage-{number}"
        # The files of a previous run are not part of a new image.
        script = "set -ex; rm -rf /source /build /image /etc/tcp-tunnel; sed -i /^tcp-tunnel:/d /etc/passwd /etc/group\n"
        copies = []
        for instruction, text in steps:
            if instruction == "RUN":
                script += text + "\n"
            elif instruction == "COPY" and text.startswith("--from="):
                copies.append(text[len("--from="):].split())
            elif instruction == "COPY":
                source, target = text.split()
                script += f"cp -a {source} {target}\n"
            else:
                self.configure(instruction, text)
        subprocess.run([BARE, "--suite", release, directory, "sh", "-c", script], check=True)
        for origin, source, target in copies:
            subprocess.run(["cp", "-a", f"{self.stages[origin]}{source}.", f"{directory}{target}"], check=True)
        self.stages[name] = self.directory = directory

    def configure(self, instruction, text):
        if instruction == "USER":
            self.user = text.split(":")
        elif instruction == "STOPSIGNAL":
            self.signal = signal.Signals[text]
        elif instruction == "ENTRYPOINT":
            self.entry_point = json.loads(text)
        elif instruction == "CMD":
            self.command = json.loads(text)
        else:
            assert instruction == "EXPOSE", instruction

    def start(self, *command, **how):
        """Runs a command as `podman run --read-only --cap-drop=all` does."""
        uid, gid = self.user
        inside = shlex.join(["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--bounding-set=-all", "--no-new-privs",
                             "env", "-i", "PATH=/usr/bin:/bin", *command])
        return subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec chroot "$0" sh -c "$1"',
                                 self.directory, "exec " + inside], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


class Container(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = Image()
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.server_close)
        cls.addClassCleanup(cls.echo.shutdown)

    def test_is_small(self):
        """The image does not contain what only the build needs."""
        self.assertFalse(list(self.image.directory.glob("usr/bin/*gcc*")))
        self.assertTrue((self.image.directory / "usr/share/doc/tcp-tunnel/copyright").exists())

    def test_cannot_write(self):
        with self.image.start("sh", "-c", "id -u; touch /tmp/x || touch /etc/tcp-tunnel/x || touch /x") as process:
            out, err = process.communicate(timeout=GENEROUS_S)
        self.assertEqual((out, err.count("Read-only file system")), ("65532\n", 3), err)

    def test_gateway(self):
        """The gateway runs with the arguments of the image, and with the files that are mounted into it."""
        etc = self.image.directory / "etc/tcp-tunnel"
        (etc / "gateway.conf").write_text(f"[gateway]\ntarget=127.0.0.1:{self.echo.server_address[1]}\ntoken-file=tokens\n")
        (etc / "tokens").write_text(f"alice:{TOKEN}\n")
        gateway = self.image.start(*self.image.entry_point, *self.image.command)
        self.addCleanup(gateway.wait)
        self.addCleanup(gateway.kill)
        line = gateway.stdout.readline()
        self.assertTrue(line.startswith("listening on ws://"), line or gateway.stderr.read())
        tunnel = subprocess.Popen([BINARY, "connect", line.split()[-1]], env={**os.environ, "TCP_TUNNEL_TOKEN": TOKEN},
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(tunnel.wait)
        self.addCleanup(tunnel.kill)
        port = int(tunnel.stdout.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), GENEROUS_S) as client, client.makefile("rb") as back:
            for _ in range(ROUNDS):
                data = os.urandom(65536)
                client.sendall(data)
                self.assertEqual(back.read(len(data)), data)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(back.read(), b"")
        gateway.send_signal(self.image.signal)
        self.assertEqual(gateway.wait(GENEROUS_S), 0)


if os.getuid() != 0 or shutil.which("debootstrap") is None:
    print("root and debootstrap are needed")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
DIRECTORY.mkdir(parents=True, exist_ok=True)
unittest.main(argv=[sys.argv[0]], verbosity=2)
