# SPDX-License-Identifier: LGPL-2.1-or-later
"""Installs the library in a prefix, removes the build directory, and uses only the prefix in each language: the
headers, pkg-config, the typelib, the overrides and the VAPI."""

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

from support import MESON, SOURCE, run

TOKEN = "install-0123456789"
GENEROUS_S = 60
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
PLACES = """
bin/tcp-tunnel
include/libtcptunnel-1/tcptunnel/tcptunnel.h
lib/girepository-1.0/TcpTunnel-1.typelib
lib/libtcptunnel-1.so
lib/libtcptunnel-1.so.0
lib/pkgconfig/libtcptunnel-1.pc
lib/systemd/system/tcp-tunnel-gateway.service
lib/systemd/system/tcp-tunnel-gateway.socket
lib/systemd/system/tcp-tunnel@.service
lib/systemd/user/tcp-tunnel-gateway.service
lib/systemd/user/tcp-tunnel.service
lib/systemd/user/tcp-tunnel@.service
lib/sysusers.d/tcp-tunnel.conf
share/bash-completion/completions/tcp-tunnel
share/fish/vendor_completions.d/tcp-tunnel.fish
share/gir-1.0/TcpTunnel-1.gir
share/libtcptunnel-1/gi-stubs/repository/TcpTunnel.pyi
share/man/man1/tcp-tunnel.1
share/vala/vapi/libtcptunnel-1.deps
share/vala/vapi/libtcptunnel-1.vapi
share/zsh/site-functions/_tcp-tunnel
"""


class Echo(socketserver.ThreadingTCPServer):
    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while data := self.rfile.read1():
                self.wfile.write(data)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def setUpModule():
    global place, prefix, work, env
    place = tempfile.TemporaryDirectory(prefix="tcp-tunnel-prefix-")
    unittest.addModuleCleanup(place.cleanup)
    prefix = Path(place.name) / "prefix"
    work = Path(place.name) / "work"
    build = Path(place.name) / "build"

    run(MESON, "setup", build, SOURCE, f"--prefix={prefix}", "-Dlibdir=lib", "-Dintrospection=enabled",
        "-Dman=enabled", "-Ddocs=disabled", "-Dtests=false", "-Ddebug=false", "-Doptimization=0")
    run(MESON, "compile", "-C", build)
    run(MESON, "install", "-C", build)
    shutil.rmtree(build)

    # The environment of the caller must not lead to files of the sources or of a build directory.
    work.mkdir()
    env = {
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "G_DEBUG": "fatal-criticals",
        "GIO_USE_PROXY_RESOLVER": "dummy",
        "TCP_TUNNEL_TOKEN": TOKEN,
        "PATH": f"{prefix}/bin:{os.environ['PATH']}",
        "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig",
        "LD_LIBRARY_PATH": f"{prefix}/lib",
        "GI_TYPELIB_PATH": f"{prefix}/lib/girepository-1.0",
        "XDG_DATA_DIRS": f"{prefix}/share:/usr/local/share:/usr/share",
        "PYTHONPATH": str(overrides().parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def overrides():
    [found] = prefix.glob("lib*/python3*/*-packages/gi/overrides/TcpTunnel.py")
    return found


def use(*command):
    """Runs a command that can find only the prefix."""
    return run(*command, env=env, cwd=work)


def pkg_config(*arguments):
    return use("pkg-config", *arguments, "libtcptunnel-1").split()


def example(path):
    return shutil.copy(SOURCE / "examples" / path, work)


class Installed(unittest.TestCase):
    def start(self, *command):
        """Starts a process that listens, and returns it and its address."""
        process = subprocess.Popen([str(argument) for argument in command], env=env, cwd=work,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on (\S+)\n", line)
        self.assertTrue(match, f"{command} wrote {line!r}")
        return process, match[1]

    def check_mapped(self, process, *names):
        """Checks that the process has exactly these of our libraries in its memory, and loaded them from the prefix.
        """
        lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        mapped = {line.split(maxsplit=5)[5] for line in lines if "/" in line}
        self.assertEqual({path for path in mapped if "tcptunnel" in Path(path).name.lower()},
                         {f"{prefix}/lib/{name}" for name in names})
        self.assertFalse({path for path in mapped if path.startswith(f"{SOURCE}/")})

    def check(self, *command, typelib=False):
        """Runs an example: data goes through a gateway and back, and then the example is interrupted."""
        echo = Echo()
        self.addCleanup(echo.server_close)
        self.addCleanup(echo.shutdown)
        gateway, uri = self.start("tcp-tunnel", "gateway", "--target", "127.0.0.1:%d" % echo.server_address[1])
        self.check_mapped(gateway, "libtcptunnel-1.so.0")

        process, address = self.start(*command, uri)
        host, port = address.split(":")
        data = os.urandom(65536)
        with socket.create_connection((host, int(port)), GENEROUS_S) as client:
            client.sendall(data)
            self.assertEqual(client.makefile("rb").read(len(data)), data)
        self.check_mapped(process, "libtcptunnel-1.so.0", *["girepository-1.0/TcpTunnel-1.typelib"] * typelib)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(GENEROUS_S), 0)

    def test_places(self):
        self.assertEqual([path for path in PLACES.split() if not (prefix / path).is_file()], [])

    def test_c(self):
        use("cc", *WARNINGS, "-Wno-unused-parameter", example("c/tunnel.c"), "-o", "c", *pkg_config("--cflags", "--libs"))
        self.check(work / "c")

    def test_vala(self):
        use("valac", "--pkg", "libtcptunnel-1", example("vala/tunnel.vala"), "-o", "vala")
        self.check(work / "vala")

    def test_gjs(self):
        self.check("gjs", "-m", example("gjs/tunnel.js"), typelib=True)

    def test_python(self):
        used = use(sys.executable, "-c", "import gi; gi.require_version('TcpTunnel', '1')\n"
                   "from gi.repository import TcpTunnel\n"
                   "print(gi.overrides.TcpTunnel.__file__)")
        self.assertEqual(used.strip(), str(overrides()))
        self.check(sys.executable, example("python/tunnel.py"), typelib=True)

    def test_pkg_config(self):
        pkg_config("--validate")
        self.assertEqual(pkg_config("--modversion"), use("tcp-tunnel", "--version").split()[-1:])
        self.assertEqual(pkg_config("--cflags-only-I")[0], f"-I{prefix}/include/libtcptunnel-1")
        self.assertNotIn("soup", " ".join(pkg_config("--libs")))
        for variable, name in (("girdir", "TcpTunnel-1.gir"), ("typelibdir", "TcpTunnel-1.typelib")):
            [directory] = pkg_config(f"--variable={variable}")
            self.assertTrue((Path(directory) / name).is_relative_to(prefix))
            self.assertTrue((Path(directory) / name).is_file())

    def test_dependency(self):
        shutil.copytree(Path(__file__).parent / "consumer", work / "consumer")
        use(MESON, "setup", "--wrap-mode=nofallback", "build", "consumer")
        use(MESON, "compile", "-C", "build")
        use("build/consumer")
        self.assertIn(f"libtcptunnel-1.so.0 => {prefix}/lib/", use("ldd", "build/consumer"))

    def test_headers(self):
        source = work / "header"
        source.write_text("#include <tcptunnel/tcptunnel.h>\n")
        for compiler, language, standard in (("cc", "c", "c99"), ("c++", "c++", "c++11")):
            use(compiler, "-x", language, f"-std={standard}", *WARNINGS, "-fsyntax-only", source, *pkg_config("--cflags"))

    def test_translation(self):
        """The command and the library look for translations in the prefix."""
        catalogue = prefix / "share/locale/de/LC_MESSAGES/libtcptunnel-1.po"
        catalogue.parent.mkdir(parents=True)
        catalogue.write_text('msgid ""\n'
                             'msgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
                             'msgid "Open the tunnels of the config file."\n'
                             'msgstr "Öffnet die Tunnel der Datei."\n'
                             'msgid "the URL of the gateway is not valid: it has no host"\n'
                             'msgstr "Der URL nennt keinen Rechner"\n')
        run("msgfmt", catalogue, "-o", catalogue.with_suffix(".mo"))
        self.addCleanup(shutil.rmtree, catalogue.parents[1])
        german = {**env, "LANGUAGE": "de"}
        self.assertIn("Öffnet die Tunnel der Datei.", run("tcp-tunnel", "up", "--help", env=german))
        done = subprocess.run(["tcp-tunnel", "connect", "ws://:80/"], env=german, stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        self.assertIn("Der URL nennt keinen Rechner", done.stderr)
        self.assertIn("Open the tunnels", run("tcp-tunnel", "up", "--help", env=env))

    def test_exports(self):
        """Each symbol that the library exports is declared, also in C++, and can be linked to."""
        symbols = (SOURCE / "tests/exports/libtcptunnel-1.symbols").read_text().split()
        source = work / "exports.cc"
        source.write_text("#include <tcptunnel/tcptunnel.h>\n"
                          "void *symbols[] = {\n%s};\n"
                          "int main () { return symbols[0] == nullptr; }\n"
                          % "".join(f"  (void *) {symbol},\n" for symbol in symbols))
        use("c++", *WARNINGS, source, "-o", "exports", *pkg_config("--cflags", "--libs"))
        use(work / "exports")


unittest.main(verbosity=2)
