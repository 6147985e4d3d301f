# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the site anew: test_site.py GIR COMMAND... Says whether that went without a warning,
and follows every link of every page."""

import html.parser
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
from pathlib import Path

gir, *command = sys.argv[1:]
PAGES = os.environ["TCP_TUNNEL_PAGES"].split()


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links = []
        self.anchors = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.anchors.update(attributes[name] for name in ("id", "name") if name in attributes)


class Site(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.root = Path(cls.directory.name)
        cls.done = subprocess.run([*command, "--quiet", "--output-dir", cls.root, gir], text=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        cls.pages = {path.name: Page(path) for path in cls.root.glob("*.html")}

    def test_no_warning(self):
        self.assertEqual((self.done.returncode, self.done.stdout), (0, ""))

    def test_the_guide_is_there(self):
        index = (self.root / "index.html").read_text(encoding="utf-8")
        self.assertGreater(len(PAGES), 5)
        for name in PAGES:
            name = name.replace(".md", ".html")
            self.assertIn(f'href="{name}"', index)
            self.assertNotIn("Unknown document", (self.root / name).read_text(encoding="utf-8"))

    def test_links(self):
        broken = []
        for name, page in self.pages.items():
            for link in page.links:
                url = urllib.parse.urlsplit(link)
                if url.scheme:
                    continue
                target = urllib.parse.unquote(url.path) or name
                if not (self.root / target).exists():
                    broken.append(f"{name}: {link} is not there")
                elif url.fragment and target in self.pages and url.fragment not in self.pages[target].anchors:
                    broken.append(f"{name}: {link} has no such place")
        self.assertEqual(broken, [])

    def test_nothing_is_left_of_the_notation(self):
        """A link that the generator does not know stays as it was written."""
        for name in PAGES:
            text = (self.root / name.replace(".md", ".html")).read_text(encoding="utf-8")
            self.assertNotRegex(text, r"\[\w+@")
            self.assertNotIn("\n|", text, "a table that is none")


unittest.main(argv=["site"], verbosity=2)
