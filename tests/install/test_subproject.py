# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds a program with the library as a subproject, linked statically or dynamically."""

import shutil
import tempfile
import unittest
from pathlib import Path

from support import MESON, SOURCE, run


class Subproject(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tcp-tunnel-subproject-")
        self.addCleanup(place.cleanup)
        self.consumer = Path(place.name) / "consumer"
        shutil.copytree(Path(__file__).parent / "consumer", self.consumer)
        (self.consumer / "subprojects").mkdir()
        (self.consumer / "subprojects/libtcptunnel").symlink_to(SOURCE)

    def build(self, kind):
        """Builds and runs the consumer, and returns the libraries that it needs."""
        build = self.consumer / kind
        run(MESON, "setup", build, self.consumer, f"-Ddefault_library={kind}", "--force-fallback-for=libtcptunnel-1",
            "-Dlibtcptunnel:introspection=disabled", "-Dlibtcptunnel:tools=false", "-Doptimization=0")
        run(MESON, "compile", "-C", build, "consumer")
        self.assertRegex(run(build / "consumer"), r"^\d+\.\d+\.\d+: port [1-9]\d*\n$")
        return run("ldd", build / "consumer")

    def test_shared(self):
        self.assertRegex(self.build("shared"), rf"libtcptunnel-1\.so\.0 => {self.consumer}/")

    def test_static(self):
        self.assertNotIn("libtcptunnel", self.build("static"))


unittest.main(verbosity=2)
