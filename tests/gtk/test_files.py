# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests the files that come with the application: its launcher, desktop file, metainfo, icons and Flatpak manifest.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from needs import need

need(["meson", "desktop-file-validate", "appstreamcli"], Gtk="4.0", Adw="1", TcpTunnel="1")

ID = "io.github.libtcptunnel.Tunnels"
SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../examples/gtk"))


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.prefix = os.path.join(cls.directory.name, "prefix")
        build = os.path.join(cls.directory.name, "build")
        run("meson", "setup", build, SOURCE, "--prefix", cls.prefix)
        run("meson", "install", "-C", build)

    def path(self, *names):
        return os.path.join(self.prefix, *names)

    def test_installed(self):
        """The installed application starts: the modules, the files that they load, and the library are found."""
        self.assertIn("GApplication", run(sys.executable, self.path("bin", "tcp-tunnels"), "--help-gapplication"))
        shared = os.path.join(SOURCE, "tunnels")
        self.assertEqual(sorted(os.listdir(self.path("share", "tcp-tunnels", "tunnels"))),
                         sorted(set(os.listdir(shared)) - {"__pycache__"}))

    def test_desktop_file(self):
        run("desktop-file-validate", self.path("share", "applications", ID + ".desktop"))

    def test_metainfo(self):
        # The project has no homepage that could be named, and AppStream 1.0 warns about that.
        done = subprocess.run(["appstreamcli", "validate", "--no-net", "--no-color",
                               self.path("share", "metainfo", ID + ".metainfo.xml")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        problems = [line for line in done.stdout.splitlines()
                    if re.match("[EW]:", line) and "url-homepage-missing" not in line]
        self.assertEqual(problems, [])
        self.assertIn("Validation ", done.stdout)

    def test_icons(self):
        for name in f"scalable/apps/{ID}.svg", f"symbolic/apps/{ID}-symbolic.svg":
            xml.etree.ElementTree.parse(self.path("share", "icons", "hicolor", name))

    def test_manifest(self):
        with open(os.path.join(SOURCE, ID + ".json")) as file:
            manifest = json.load(file)
        self.assertEqual(manifest["app-id"], ID)
        self.assertTrue(os.path.exists(self.path("bin", manifest["command"])))
        with open(os.path.join(SOURCE, "../../meson_options.txt")) as file:
            options = file.read()
        library, application = manifest["modules"]
        for option in library["config-opts"]:
            self.assertIn("option('%s'" % re.fullmatch(r"-D(\w+)=\w+", option)[1], options)
        for module in library, application:
            [source] = module["sources"]
            self.assertTrue(os.path.exists(os.path.join(SOURCE, source["path"], "meson.build")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
