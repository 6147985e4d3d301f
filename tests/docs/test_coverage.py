# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks with the GIR that everything public is documented."""

import copy
import os
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

GIR = os.environ["TCP_TUNNEL_GIR"]
SYMBOLS = os.environ["TCP_TUNNEL_SYMBOLS"]

CORE = "{http://www.gtk.org/introspection/core/1.0}"
C = "{http://www.gtk.org/introspection/c/1.0}"
GLIB = "{http://www.gtk.org/introspection/glib/1.0}"

# Elements with a description of their own, and those of them with the version that added them.
DESCRIBED = {CORE + name for name in (
    "alias", "bitfield", "callback", "class", "constant", "constructor", "enumeration", "field", "function",
    "function-macro", "instance-parameter", "interface", "member", "method", "parameter", "property", "record",
    "return-value", "union", "virtual-method")} | {GLIB + "signal"}
DATED = DESCRIBED - {CORE + name for name in ("field", "instance-parameter", "member", "parameter", "return-value")}


def returns_nothing(node):
    kind = node.find(CORE + "type")
    return node.tag == CORE + "return-value" and kind is not None and kind.get("name") == "none"


def name_of(node):
    return node.get("name") or node.tag.rpartition("}")[2]


def gaps(node, path=()):
    """Yields elements without a description, or without the version that added them."""
    if node.get(GLIB + "is-gtype-struct-for") or node.get("disguised") == "1":
        return
    path += name_of(node),
    if node.tag in DESCRIBED and not returns_nothing(node):
        doc = node.find(CORE + "doc")
        if doc is None or not (doc.text or "").strip():
            yield ".".join(path) + ": not described"
        if node.tag in DATED and not node.get("version"):
            yield ".".join(path) + ": no Since:"
    for child in node:
        yield from gaps(child, path)


class Coverage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.namespace = ElementTree.parse(GIR).getroot().find(CORE + "namespace")

    def test_everything_is_described(self):
        self.assertEqual(list(gaps(self.namespace)), [])

    def test_every_gap_would_be_found(self):
        namespace = copy.deepcopy(self.namespace)
        described = [node for node in namespace.iter() if node.find(CORE + "doc") is not None]
        self.assertGreater(len(described), 200)
        for node in described:
            node.remove(node.find(CORE + "doc"))
        self.assertEqual(len(list(gaps(namespace))), len(described))

    def test_every_symbol_is_there(self):
        described = {node.get(attribute) for node in self.namespace.iter()
                     for attribute in (C + "identifier", GLIB + "get-type")}
        self.assertEqual(set(Path(SYMBOLS).read_text().split()) - described, set())


unittest.main(verbosity=2)
