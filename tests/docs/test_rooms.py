#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks the directories of src/: each includes only files from those listed before it, and the files neither include
nor call each other in a cycle."""

import collections
import pathlib
import re
import unittest

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"

# From the lowest up, each with all the directories that it may include from.
ROOMS = {
    "base": (),
    "protocol": ("base",),
    "io": ("base",),
    "websocket": ("base", "io"),
    "session": ("base", "io", "protocol", "websocket"),
    "endpoint": ("base", "io"),
    "tunnel": ("base", "io", "protocol", "websocket", "session", "endpoint"),
    "gateway": ("base", "io", "protocol", "websocket", "session", "endpoint"),
    "cli": (),
}

# Functions that nothing in src/ calls and that are to be removed. This script does not count as a use of them.
UNUSED = {"tcp_budget_get_used", "tcp_event_queue_get_length", "tcp_origins_get_size"}

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def files():
    return sorted(path for path in SOURCES.rglob("*.[ch]"))


def included(path):
    """Yields the files of src/ that a file includes."""
    for name in INCLUDE.findall(path.read_text()):
        for directory in (SOURCES, path.parent):
            if (directory / name).is_file():
                yield directory / name


def room(path):
    return path.relative_to(SOURCES).parts[0]


def code_of(path):
    """Returns the text of a file without its comments and string literals."""
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', "", path.read_text(), flags=re.DOTALL)


def defined(code):
    """Yields the names that a file defines for others."""
    for match in re.finditer(r"^(?P<before>.*)\n(?P<name>tcp_\w+) \([^;{]*\)\n\{", code, re.MULTILINE):
        if not match["before"].startswith("static"):
            yield match["name"]
    yield from re.findall(r"^const \w+ (tcp_\w+) =", code, re.MULTILINE)


def read_calls(sources):
    """Returns the files that each file uses something of, and the file in which each name is defined."""
    home = {name: path for path, code in sources.items() for name in defined(code)}
    used = {path: {home[name] for name in set(re.findall(r"\btcp_\w+", code)) & set(home)} - {path}
            for path, code in sources.items()}
    return used, home


def find_circle(graph):
    """Returns a list of files each of which includes the next, and the last the first; or None."""
    done = set()

    def visit(path, trail):
        if path in trail:
            return trail[trail.index(path):]
        if path in done:
            return None
        for other in graph.get(path, ()):
            circle = visit(other, trail + [path])
            if circle:
                return circle
        done.add(path)
        return None

    for start in graph:
        circle = visit(start, [])
        if circle:
            return circle
    return None


class Rooms(unittest.TestCase):
    def test_all_are_known(self):
        self.assertEqual({room(path) for path in files()}, set(ROOMS))

    def test_imports_go_down(self):
        upward = [f"{path.relative_to(SOURCES)} includes {other.relative_to(SOURCES)}"
                  for path in files() for other in included(path)
                  if room(other) != room(path) and room(other) not in ROOMS[room(path)]]
        self.assertEqual(upward, [])

    def test_headers_make_no_circle(self):
        graph = {path: list(included(path)) for path in files() if path.suffix == ".h"}
        self.assertIsNone(find_circle(graph))

    def test_calls_make_no_circle(self):
        """A call through a table of functions does not count: the file that calls does not need to know the other
        one."""
        graph, _home = read_calls({path: code_of(path) for path in files() if path.suffix == ".c"})
        graph = {str(path.relative_to(SOURCES)): {str(other.relative_to(SOURCES)) for other in others}
                 for path, others in graph.items()}
        self.assertIsNone(find_circle(graph))

    def test_all_functions_have_a_use(self):
        """Each function is used within src/ and not only by the tests. The functions of the public API are for other
        programs."""
        code = {path: code_of(path) for path in files()}
        public = "".join(path.read_text() for path in (SOURCES.parent / "include").rglob("*.h"))
        _used, home = read_calls({path: text for path, text in code.items() if path.suffix == ".c"})
        count = collections.Counter(name for path, text in code.items()
                                    for line in text.splitlines()
                                    # A declaration in a header starts at the beginning of its line.
                                    for name in re.findall(r"\btcp_\w+\b(?! \()" if path.suffix == ".h" and line[:1] != " "
                                                           else r"\btcp_\w+", line))
        unused = {name for name in home if count[name] < 2 and not re.search(rf"\b{name}\b", public)}
        self.assertEqual(sorted(unused - UNUSED), [])
        self.assertEqual(sorted(UNUSED - unused), [], "they have a use, or are gone: remove them from the list")

    def test_what_others_choose_is_hashed_with_a_secret(self):
        """Otherwise clients could choose ids that all have the same hash."""
        plain = [str(path.relative_to(SOURCES)) for path in (SOURCES / "gateway").glob("*.c")
                 if re.search(r"\bg_str_hash\b", path.read_text())]
        self.assertEqual(plain, [])

    def test_calls_are_found(self):
        sources = {
            "a": "static void\ntcp_own (void)\n{\n}\n\nvoid\ntcp_a (int x,\n       int y)\n{\n  tcp_b ();\n}\n",
            "b": "void\ntcp_b (void)\n{\n  tcp_own ();\n  call (&tcp_table);\n}\n",
            "c": "const Table tcp_table = {\n  .a = tcp_a,\n};\n",
        }
        self.assertEqual(read_calls(sources)[0], {"a": {"b"}, "b": {"c"}, "c": {"a"}})

    def test_a_circle_is_found(self):
        self.assertEqual(find_circle({"a": ["b"], "b": ["c"], "c": ["b"]}), ["b", "c"])
        self.assertIsNone(find_circle({"a": ["b", "c"], "b": ["c"], "c": []}))


if __name__ == "__main__":
    unittest.main()
