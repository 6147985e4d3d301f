# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results of mypy and pyright for the examples, and for wrong uses."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLES = sorted((ROOT / "examples" / "python").glob("*.py"))
# Type checkers search for the stub beside PyGObject-stubs.
STUB = Path(sysconfig.get_path("purelib"), "gi-stubs", "repository", "TcpTunnel.pyi")


class Checkers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.copy(ROOT / "python" / "gi-stubs" / "repository" / STUB.name, STUB)
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.environment = {**os.environ, "PYTHONPATH": "", "PYRIGHT_PYTHON_CACHE_DIR": os.path.join(sys.prefix, "pyright")}

    def run_checker(self, *command):
        return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=self.directory.name,
                              env=self.environment, stdout=subprocess.PIPE, text=True)

    def mypy(self, path):
        """Returns the line numbers of errors, and the output."""
        result = self.run_checker("mypy", "--strict", path)
        self.assertIn(result.returncode, (0, 1), result.stdout)
        lines = {int(line) for line in re.findall(r"^.*?:(\d+): error:", result.stdout, re.MULTILINE)}
        self.assertEqual(bool(lines), result.returncode == 1, result.stdout)
        return lines, result.stdout

    def pyright(self, path):
        result = self.run_checker("pyright", "--outputjson", "--pythonpath", sys.executable, path)
        self.assertIn(result.returncode, (0, 1), result.stdout)
        report = json.loads(result.stdout)
        self.assertEqual(report["summary"]["filesAnalyzed"], 1)
        errors = [found for found in report["generalDiagnostics"] if found["severity"] == "error"]
        return {found["range"]["start"]["line"] + 1 for found in errors}, result.stdout

    def check(self, checker):
        self.assertGreater(len(EXAMPLES), 3)
        for path in EXAMPLES:
            with self.subTest(path=path.name):
                lines, said = checker(path)
                self.assertEqual(lines, set(), said)

        path = HERE / "typed.py"
        wrong = {n for n, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# error")}
        self.assertGreater(len(wrong), 10)
        lines, said = checker(path)
        self.assertEqual(lines, wrong, said)

    def test_mypy(self):
        self.check(self.mypy)

    def test_pyright(self):
        self.check(self.pyright)


unittest.main(verbosity=2)
