# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests the parts that need no screen: the key file, the checks of the fields, and the numbers of the graph."""

import os
import sys
import tempfile
import unittest

from needs import need

need(Gtk="4.0", Adw="1", TcpTunnel="1")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../examples/gtk"))

from gi.repository import GLib
from tunnels.graph import format_rate, nice_scale, slopes
from tunnels.store import Config, Store, check_gateway, check_hostname, check_name, check_port, check_token


class KeyFile(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "new", "tunnels.ini")
        self.store = Store(self.path)

    def write(self, text):
        os.makedirs(os.path.dirname(self.path))
        with open(self.path, "w") as file:
            file.write(text)

    def test_round_trip(self):
        self.assertEqual(self.store.load(), [])
        configs = [Config(name="One", gateway="wss://example.com/"),
                   Config(name="Zwei [=;\n", gateway="ws://[::1]:8080/a?b=c", hostname="::1", port=5432, mode="multiplexed")]
        self.store.save(configs)
        self.assertEqual(Store(self.path).load(), configs)
        self.store.save(configs[1:])
        self.assertEqual(Store(self.path).load(), configs[1:])

    def test_by_hand(self):
        """A file that was written by hand, with mistakes, a comment and a key of another version."""
        self.write("# Mine\n[db]\nGateway=wss://example.com/\nPort=many\nMode=twofold\nColor=blue\n[x]\nPort=70000\n")
        self.assertEqual(self.store.load(), [
            Config(id="db", name="wss://example.com/", gateway="wss://example.com/"),
            Config(id="x", name="", gateway="")])
        self.store.save(self.store.load())
        with open(self.path) as file:
            text = file.read()
        self.assertIn("# Mine", text)
        self.assertIn("Color=blue", text)

    def test_unreadable(self):
        self.write("none\n")
        with self.assertRaises(GLib.Error):
            self.store.load()
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["tunnels.ini.unreadable"])


class Checks(unittest.TestCase):
    OTHERS = [Config(name="Other", gateway="ws://a", port=5432)]

    def test_good(self):
        self.assertEqual(check_name("Another", self.OTHERS), "")
        for text in "ws://127.0.0.1:8080/", "wss://example.com/instance?x=1", "WSS://[::1]", "wss://bücher.example/":
            self.assertEqual(check_gateway(text), "", text)
        for text in "127.0.0.1", "0.0.0.0", "::1", "localhost":
            self.assertEqual(check_hostname(text), "", text)
        for text in "", "0", "1", "65535":
            self.assertEqual(check_port(text, "127.0.0.1", self.OTHERS), "", text)
        self.assertEqual(check_port("5432", "127.0.0.2", self.OTHERS), "")
        for text in "", "abc", "!~":
            self.assertEqual(check_token(text), "", text)

    def test_bad(self):
        for text in "", "Other", "OTHER":
            self.assertTrue(check_name(text, self.OTHERS), text)
        for text in "", "example.com", "http://example.com/", "ws://", "ws://a:b@c/", "ws://c:99999/", "two words":
            self.assertTrue(check_gateway(text), text)
        for text in "", "host", "127.0.0.256", "1::2::3":
            self.assertTrue(check_hostname(text), text)
        for text in "65536", "-1", "1.5", "x", "5432", "٣":
            self.assertTrue(check_port(text, "127.0.0.1", self.OTHERS), text)
        for text in "a b", "ä", "a\n":
            self.assertTrue(check_token(text), text)


class Numbers(unittest.TestCase):
    def test_scale(self):
        for rate, scale in (0, 10_000), (10_000, 10_000), (10_001, 20_000), (4e6, 5e6), (5.1e6, 1e7), (9.99e8, 1e9):
            self.assertEqual(nice_scale(rate), scale)

    def test_rate(self):
        for rate, text in (0, "0 B/s"), (999, "999 B/s"), (1000, "1 kB/s"), (1540, "1.5 kB/s"), (20_400, "20 kB/s"), \
                          (999_700, "1 MB/s"), (2.5e9, "2.5 GB/s"), (3e15, "3000 TB/s"):
            self.assertEqual(format_rate(rate).replace("\N{NO-BREAK SPACE}", " "), text)

    def test_line(self):
        """The curve between two points stays between their values, so that it never shows a rate that did not occur.
        """
        points = [(0, 0), (1, 0), (2, 10), (3, 10), (5, 4), (6, 0), (7, 0)]
        tangents = slopes(points)
        self.assertEqual(len(tangents), len(points))
        for (a, b), (m, n) in zip(zip(points, points[1:]), zip(tangents, tangents[1:])):
            third = (b[0] - a[0]) / 3
            low, high = sorted((a[1], b[1]))
            # A Bézier curve lies within the convex hull of its points.
            self.assertTrue(low <= a[1] + m * third <= high and low <= b[1] - n * third <= high, (a, b))


if __name__ == "__main__":
    unittest.main(verbosity=2)
