# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that the guide is correct: its links, the commands in it, and the messages that it explains."""

import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *(page for room in ("docs", "examples", "tests")
                               for page in sorted((ROOT / room).rglob("*.md")))]
LIBRARY = [path for room in ("base", "protocol", "io", "websocket", "session", "endpoint", "tunnel", "gateway")
           for path in sorted((ROOT / "src" / room).glob("*.c"))
           if path.name != "control-stream.c"]  # its messages are for libsoup only
COMMAND = sorted((ROOT / "src" / "cli").glob("*.c"))

SAYS = re.compile(r"\b(?:g_(?:set_error|error_new|prefix_error|printerr)(?:_literal)?|tcp_invalid|tcp_log_(?:warn|error|info|limit_write)"
                  r"|bad_value|view_print|pending_refuse)\s*\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
STATEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^;"])*')
FORMAT = re.compile(r"%[-0-9.]*[lz]*[a-z]")


def outside_code(text):
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    headings = re.findall("^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def messages(path):
    """Returns the messages in a C source, with … for inserted values."""
    text = re.sub(r'"\s*G_G(?:U?INT64|SIZE)_FORMAT\s*(")?', lambda match: "u" if match[1] else 'u"', path.read_text(encoding="utf-8"))
    for call in SAYS.finditer(text):
        end = STATEMENT.match(text, call.end()).end()
        message = ""
        last = None
        for literal in LITERAL.finditer(text, call.end(), end):
            if last is not None and text[last:literal.start()].strip():
                break
            message += literal[1]
            last = literal.end()
        message = FORMAT.sub("…", message).replace("%%", "%").replace(r"\"", '"').replace("\\n", "")
        if re.search(r"\w\w+ \w", message):
            yield message


def pattern(message):
    return re.compile(re.escape(message).replace("…", ".*"))


def same(explained, said):
    """Returns whether a message that the guide explains exists, or is the beginning of one that exists."""
    return pattern(explained).match(said) or pattern(said).fullmatch(explained)


class Links(unittest.TestCase):
    def test_relative_links(self):
        broken = []
        for page in PAGES:
            text = outside_code(page.read_text(encoding="utf-8"))
            for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text):
                if re.match("[a-z]+:", link):
                    continue
                name, _, anchor = link.partition("#")
                target = (page.parent / name) if name else page
                if not target.exists() or (anchor and anchor not in anchors(target)):
                    broken.append(f"{page.relative_to(ROOT)}: {link}")
        self.assertEqual(broken, [])

    def test_paths_that_are_named(self):
        """Paths such as `src/…` and `tests/…`, and the scripts."""
        missing = []
        for page in PAGES:
            for path in re.findall(r"`(?:\./)?((?:docs|examples|include|python|scripts|src|tests)/[\w./*-]+)`",
                                   page.read_text(encoding="utf-8")):
                if not list(ROOT.glob(path.rstrip("/"))):
                    missing.append(f"{page.relative_to(ROOT)}: {path}")
        self.assertEqual(missing, [])


class Messages(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        page = ROOT / "docs" / "guide" / "troubleshooting.md"
        cells = re.findall(r"^\| (.*?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
        cls.explained = [message for cell in cells for message in re.findall("`([^`]*)`", cell)]
        cls.said = {message: path for path in LIBRARY for message in messages(path)}
        cls.usage = {message: path for path in COMMAND for message in messages(path)}

    def test_each_one_is_explained(self):
        self.assertGreater(len(self.said), 50)
        self.assertEqual([f"{path.relative_to(ROOT)}: {said}" for said, path in self.said.items()
                          if not any(same(explained, said) for explained in self.explained)], [])

    def test_each_explained_is_said(self):
        literals = "\n".join(literal for path in [*LIBRARY, *COMMAND]
                             for literal in LITERAL.findall(path.read_text(encoding="utf-8")))

        def is_said(explained):
            # Messages that are composed of pieces are only searched for in pieces.
            return (any(same(explained, said) for said in [*self.said, *self.usage])
                    or all(piece.strip() in literals for piece in explained.split("…")))

        self.assertEqual([explained for explained in self.explained if not is_said(explained)], [])


class Commands(unittest.TestCase):
    def test_options(self):
        """Every command in the pages has options that exist."""
        help = {}
        unknown = []
        count = 0
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            for command, rest in re.findall(r"(?:^|[ '$])tcp-tunnel (connect|check|gateway|demo|up)\b([^'\n`|]*)", text, re.MULTILINE):
                if command not in help:
                    help[command] = subprocess.run([os.environ["TCP_TUNNEL_BIN"], command, "--help"], check=True,
                                                   stdout=subprocess.PIPE, text=True).stdout
                for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
                    count += 1
                    if not re.search(rf"(?<![\w-]){option}(?![\w-])", help[command]):
                        unknown.append(f"{page.relative_to(ROOT)}: {command} {option}")
        self.assertEqual(unknown, [])
        self.assertGreater(count, 10)


unittest.main(verbosity=2)
