# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the code of the guide: the programs, against a gateway whose service sends back what it receives, and the
commands of the first pages.

test_snippets.py LANGUAGE, where LANGUAGE is python, js, vala, c or sh, or frameworks for the Python programs that
need packages of PyPI
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from ports import free_port
from support import GENEROUS_S, Echo, TcpTunnel

language = sys.argv[1]
ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
DEADLINE_S = GENEROUS_S * 4
# The programs that are needed, apart from Python.
PROGRAMS = {"python": ["openssl"], "frameworks": [], "js": ["gjs"], "vala": ["valac"], "c": ["pkg-config"], "sh": ["bash", "curl", "openssl"]}[language]
# Snippets that import one of these need packages from PyPI.
FRAMEWORKS = re.compile("^(?:import pytest|from fastapi import)", re.MULTILINE)


def snippets(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def make_certificate(key, certificate, directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
                   cwd=directory, check=True, stderr=subprocess.DEVNULL)


class WithGateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.echo = Echo()
        cls.addClassCleanup(cls.echo.server_close)
        cls.addClassCleanup(cls.echo.shutdown)
        cls.gateway = TcpTunnel.Gateway(target=cls.echo.address, token="your-token", log_level="none",
                                        reverse_ports=[str(free_port())])
        cls.gateway.start()
        cls.addClassCleanup(cls.gateway.close)
        cls.directory = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)

    def write(self, text, name):
        """Writes a program to a file."""
        source = self.directory / name
        source.write_text(text.replace("wss://example.com/instance", self.gateway.dup_uri()))
        return source


class Programs(WithGateway):
    def prepare(self, text):
        """Returns the command that runs a program, which is compiled first if necessary."""
        source = self.write(text, f"program.{'py' if language == 'python' else language}")
        if language == "python":
            return [sys.executable, source]
        if language == "js":
            return ["gjs", "-m", source]
        if language == "vala":
            line = f"valac {os.environ['TCP_TUNNEL_VALAFLAGS']} --pkg libtcptunnel-1 --output program program.vala"
        else:
            line = f"{os.environ['TCP_TUNNEL_CC']} program.c -o program $(pkg-config --cflags --libs libtcptunnel-1)"
        done = subprocess.run(line, shell=True, cwd=self.directory, timeout=DEADLINE_S, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        return [self.directory / "program"]

    def test_programs(self):
        # In the README, only the snippet in Python is a whole program.
        pages = [*GUIDE, ROOT / "README.md"] if language == "python" else GUIDE
        programs = [(page, text) for page in pages for text in snippets(page, language) if not FRAMEWORKS.search(text)]
        self.assertTrue(programs)
        if language == "python":
            make_certificate("key.pem", "ca.pem", self.directory)
        for page, text in programs:
            with self.subTest(page.name, text=text):
                done = subprocess.run(self.prepare(text), cwd=self.directory, text=True, timeout=DEADLINE_S,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual((done.returncode, self.complaints(done.stderr)), (0, []), done.stdout)
                self.assertNotEqual(done.stdout, "")
                if "hello" in text:
                    self.assertIn("hello", done.stdout)

    @staticmethod
    def complaints(errors):
        """Returns the lines of stderr that are not the log."""
        return [line for line in errors.splitlines() if line and "TcpTunnel-Message: " not in line]


class Frameworks(WithGateway):
    def provide(self, line, name):
        """Writes the program of the guide that contains this line to a file."""
        [text] = [text for page in GUIDE for text in snippets(page, "python") if line in text]
        return self.write(text, name)

    def test_fastapi(self):
        self.provide("from fastapi import", "app.py")
        port = free_port()
        server = subprocess.Popen([sys.executable, "-m", "uvicorn", "--port", str(port), "app:app"], cwd=self.directory,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.addCleanup(server.stderr.close)
        self.assertTrue(any("Uvicorn running on" in line for line in server.stderr))
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        self.addCleanup(client.close)
        client.request("GET", "/ask/hello", headers={"Connection": "close"})
        self.assertEqual(json.load(client.getresponse()), {"answer": "hello\n"})
        server.terminate()
        self.assertIn("Application shutdown complete", server.stderr.read())

    def test_pytest(self):
        tests = self.provide("import pytest", "test_service.py")
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tests], cwd=self.directory, text=True,
                              timeout=DEADLINE_S, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("1 passed", done.stdout)


class Running:
    """A command that reports in its first line that it listens, and that then continues to run."""

    def __init__(self, line, directory, environment):
        self.process = subprocess.Popen(["bash", "-c", line], cwd=directory, env=environment, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = ""
        self.settled = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.output += line
            if re.search("listening on|Serving HTTP on", line):
                self.settled.set()
        self.settled.set()


class Commands(unittest.TestCase):
    def test_commands(self):
        """Runs the commands of each page, one after the other, in a directory of their own."""
        lines = 0
        for page in GUIDE:
            with self.subTest(page.name):
                lines += self.run_page("".join(snippets(page, "sh")), "".join(snippets(page, "ini")), "".join(snippets(page, "conf")))
        self.assertGreater(lines, 5)

    def run_page(self, commands, settings, configuration):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "GIO_USE_PROXY_RESOLVER": "dummy",
                       "G_DEBUG": "fatal-warnings", "XDG_CONFIG_HOME": directory,
                       "CF_ID": "id.access", "CF_SECRET": "a-secret", "JUPYTER_TOKEN": "another"}
        environment["PATH"] = os.path.dirname(os.environ["TCP_TUNNEL_BIN"]) + ":" + environment["PATH"]
        lines = commands.splitlines()
        if "remote-uri" in settings:
            # The gateway that the tunnels of the page connect to.
            lines.insert(0, "tcp-tunnel gateway --target 127.0.0.1:8000 --listen 8080 --token-file tokens")
        # One megabyte is enough to show that it works.
        text = "\n".join(lines).replace("tcp-tunnel demo", "tcp-tunnel demo --size 1")
        for port in "8000", "8080", "8443", "9000", "9090":
            free = str(free_port())
            text = re.sub(rf"\b{port}\b", free, text)
            settings = re.sub(rf"\b{port}\b", free, settings)
            configuration = re.sub(rf"\b{port}\b", free, configuration)
        self.provide(directory, settings, configuration)
        listening = {}
        for line in text.splitlines():
            # A command for a port that an earlier one listens on shows another option: the earlier one is stopped
            # first.
            port = re.search(r"--listen (\S+)", line)
            if port and port[1] in listening:
                self.stop(listening[port[1]])
            running = Running(line, directory, environment)
            if port:
                listening[port[1]] = running
            self.addCleanup(self.stop, running)
            self.assertTrue(running.settled.wait(DEADLINE_S), line)
            if not re.search("listening on|Serving HTTP on", running.output):
                self.assertEqual(running.process.wait(DEADLINE_S), 0, f"{line}\n{running.output}")
        return len(lines)

    @staticmethod
    def provide(directory, settings, configuration):
        """Writes the files that the pages assume: tokens, tunnels, the configuration of a gateway, and a certificate.
        """
        Path(directory, "gateway.conf").write_text(configuration)
        Path(directory, "tcp-tunnel").mkdir()
        Path(directory, "tcp-tunnel", "tunnels.conf").write_text(settings)
        for name in "token", "tcp-tunnel/token":
            Path(directory, name).write_text("0cd1a58f3bd2a3ac3db4a0eb5a2bb8ba\n")
        Path(directory, "tokens").write_text("alice:0cd1a58f3bd2a3ac3db4a0eb5a2bb8ba\n")
        make_certificate("key.pem", "cert.pem", directory)

    @staticmethod
    def stop(running):
        # bash has replaced itself by the command, because nothing follows it.
        running.process.kill()
        running.process.wait(DEADLINE_S)
        running.reader.join(DEADLINE_S)
        running.process.stdout.close()


missing = [program for program in PROGRAMS if shutil.which(program) is None]
if missing:
    # In CI everything has to be tested, so that a missing program is a failure.
    print("cannot run the snippets for want of", *missing)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=["snippets", {"sh": "Commands", "frameworks": "Frameworks"}.get(language, "Programs")], verbosity=2)
