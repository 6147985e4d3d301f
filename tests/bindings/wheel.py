# SPDX-License-Identifier: LGPL-2.1-or-later
"""The wheel, in environments with PyGObject from PyPI, from the system, or without it."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ["GI_TYPELIB_PATH"].split(os.pathsep)[0])

USE = """
from tcptunnel import TcpTunnel
from gi.repository import TcpTunnel as same
assert TcpTunnel is same
version = TcpTunnel.TUNNEL_MAJOR_VERSION, TcpTunnel.TUNNEL_MINOR_VERSION, TcpTunnel.TUNNEL_MICRO_VERSION
with TcpTunnel.Tunnel("ws://127.0.0.1:9/", "token") as tunnel:
    assert tunnel.address.port > 0
print(*version, sep=".")
"""


class Wheel(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        # Hatchling leaves out files that git ignores, and looks for ignore rules above the project.
        source = Path(cls.directory.name, "python")
        shutil.copytree(ROOT / "python", source, ignore=shutil.ignore_patterns("__pycache__"))
        cls.pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", cls.directory.name, source)
        cls.wheel, = Path(cls.directory.name).glob("*.whl")
        # Installed separately, so that the packages of requirements.txt are left unchanged.
        cls.beside = Path(cls.directory.name, "beside")
        cls.pip(sys.executable, "install", "--no-deps", "--target", cls.beside, cls.wheel)

    @staticmethod
    def pip(python, *args):
        subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, args)], check=True,
                       env={**os.environ, "PYTHONPATH": ""})

    def environment(self, *, system):
        path = Path(self.directory.name, "system" if system else "bare")
        if not path.exists():
            # The Python of the distribution, not that of an environment in which this test runs.
            python = os.path.realpath(sys.executable)
            subprocess.run([python, "-m", "venv", *(["--system-site-packages"] if system else []), path], check=True)
            self.pip(path / "bin" / "python", "install", "--no-deps", self.wheel)
        return path

    def run_python(self, python, program, **extra):
        env = {name: value for name, value in {**os.environ, "PYTHONPATH": "", **extra}.items() if value is not None}
        return subprocess.run([python, "-W", "error", "-W", "ignore::ImportWarning", "-c", program], cwd=self.directory.name, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def check(self, done):
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"-{done.stdout.strip()}-", self.wheel.name)

    def test_pygobject_from_pypi(self):
        self.check(self.run_python(sys.executable, USE, PYTHONPATH=str(self.beside)))

    def test_pygobject_of_the_system(self):
        python = self.environment(system=True) / "bin" / "python"
        self.check(self.run_python(python, USE))

    def test_library_in_the_prefix(self):
        """As after `meson install` with the prefix of the environment, which is not in any other search path."""
        prefix = self.environment(system=True)
        place = prefix / "lib" / "girepository-1.0"
        place.mkdir()
        self.addCleanup(shutil.rmtree, place)
        shutil.copy(BUILD / "TcpTunnel-1.typelib", place)
        shutil.copy(BUILD / "libtcptunnel-1.so.0", prefix / "lib")
        self.check(self.run_python(prefix / "bin" / "python", USE, GI_TYPELIB_PATH=None, LD_LIBRARY_PATH=None))

    def test_no_library(self):
        prefix = self.environment(system=True)
        done = self.run_python(prefix / "bin" / "python", "import tcptunnel", GI_TYPELIB_PATH=None, LD_LIBRARY_PATH=None)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\nImportError: TcpTunnel-1\.typelib, .* is missing\. .*gir1\.2-tcptunnel-1.*GI_TYPELIB_PATH")

    def test_no_shared_library(self):
        python = self.environment(system=True) / "bin" / "python"
        for program in "import tcptunnel", "from gi.repository import TcpTunnel":
            done = self.run_python(python, program, LD_LIBRARY_PATH=None)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\nImportError: libtcptunnel, .* cannot be loaded: .*LD_LIBRARY_PATH")

    def test_no_pygobject(self):
        done = self.run_python(self.environment(system=False) / "bin" / "python", "import tcptunnel")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"\nImportError: PyGObject is missing\. .*--system-site-packages.*pip install PyGObject")

    def test_types(self):
        """A type checker finds the types, and reports a missing attribute."""
        program = Path(self.directory.name, "program.py")
        program.write_text('from tcptunnel import TcpTunnel\n\nTcpTunnel.Tunnel("ws://x", "y").start(None)\nTcpTunnel.Tunnel.missing\n')
        done = subprocess.run([sys.executable, "-m", "mypy", "--strict", program.name], cwd=self.directory.name, text=True,
                              env={**os.environ, "PYTHONPATH": "", "MYPYPATH": str(self.beside)}, stdout=subprocess.PIPE)
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith("program.py:")],
                         ['program.py:4: error: "type[Tunnel]" has no attribute "missing"  [attr-defined]'], done.stdout)


unittest.main(verbosity=2)
