# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds the site again: test_site.py GIR COMMAND... Checks that this prints no warning, and follows each link of
each page."""

import html.parser
import json
import os
import re
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
            self.assertIn('href="index.html"' if name == "overview.html" else f'href="{name}"', index)
            self.assertNotIn("Unknown document", (self.root / name).read_text(encoding="utf-8"))

    def test_front_page(self):
        """The guide is the front page, which links to the reference. The search finds both."""
        index = (self.root / "index.html").read_text(encoding="utf-8")
        self.assertIn("<title>libtcptunnel</title>", index)
        self.assertIn('href="reference.html"', index)
        self.assertIn('id="classes"', (self.root / "reference.html").read_text(encoding="utf-8"))
        found = {symbol["href"] for symbol in json.loads((self.root / "index.json").read_text())["symbols"] if "href" in symbol}
        self.assertLessEqual({name.replace(".md", ".html") for name in PAGES}, found)

    def test_symbols_lead_to_the_guide(self):
        guide = {name.replace(".md", ".html") for name in PAGES} - {"overview.html"} | {"index.html"}
        symbols = [name for name in self.pages if re.match(r"(class|ctor|method|property|signal|enum|error|struct|func)\.", name)]
        self.assertGreater(len(symbols), 100)
        for name in symbols:
            text = (self.root / name).read_text(encoding="utf-8")
            part = re.search('<h4 id="guide">.*?</section>', text, re.DOTALL)[0]
            self.assertTrue(set(re.findall('href="([^"]+)"', part)) & guide, name)

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
        """The generator leaves a link as it is written if it does not know its target."""
        for name in PAGES:
            text = (self.root / name.replace(".md", ".html")).read_text(encoding="utf-8")
            self.assertNotRegex(text, r"\[\w+@")
            self.assertNotIn("\n|", text, "a table that is none")


unittest.main(argv=["site"], verbosity=2)
