#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rooms of src/: each includes only from those below it, and no two headers include each other."""

import pathlib
import re
import unittest

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"

# From the lowest up, with all that each may include.
ROOMS = {
    "base": (),
    "protocol": ("base",),
    "io": ("base",),
    "websocket": ("base", "io"),
    "session": ("base", "io", "protocol", "websocket"),
    "tunnel": ("base", "io", "protocol", "websocket", "session"),
    "gateway": ("base", "io", "protocol", "websocket", "session"),
    "cli": (),
}

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def files():
    return sorted(path for path in SOURCES.rglob("*.[ch]"))


def included(path):
    """The files of src/ that it includes."""
    for name in INCLUDE.findall(path.read_text()):
        for directory in (SOURCES, path.parent):
            if (directory / name).is_file():
                yield directory / name


def room(path):
    return path.relative_to(SOURCES).parts[0]


def find_circle(graph):
    """A list of files each of which includes the next, and the last the first; or None."""
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

    def test_a_circle_is_found(self):
        self.assertEqual(find_circle({"a": ["b"], "b": ["c"], "c": ["b"]}), ["b", "c"])
        self.assertIsNone(find_circle({"a": ["b", "c"], "b": ["c"], "c": []}))


if __name__ == "__main__":
    unittest.main()
