# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that the C code follows .clang-format, as far as that file can express its style.

The columns in which parameters and declarations are aligned are not compared, and neither are the lines that continue
a statement: clang-format supports neither the alignment of GLib's headers nor one parameter per line.
"""

import difflib
import os
import re
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
FOLDERS = ("include", "src", "examples", "tests")
CLANG_FORMAT = sys.argv.pop(1)


def words(text):
    """Returns the words of the code, without line breaks and alignment. Messages are written as in GLib, _("…"), and
    clang-format 14 takes `f[i] (x)` for a cast."""
    text = re.sub(r"\\\n", "\n", text).replace("](", "] (")
    return re.sub(r"\b(N?_) \(", r"\1(", text).split()


def statements(text):
    """Yields number, indentation and text of each line that begins a statement."""
    before = ";"
    for number, line in enumerate(text.splitlines(), 1):
        code = line.strip()
        if code and before.endswith((";", "{", "}", "*/")) and not line.endswith("\\") and not code.startswith("#"):
            yield number, len(line) - len(line.lstrip()), " ".join(words(code))
        before = code or before


def differences(path):
    found = []
    text = path.read_text()
    formatted = subprocess.run([CLANG_FORMAT, "--style=file", str(path)], check=True, stdout=subprocess.PIPE, text=True).stdout
    is_now, should_be = words(text), words(formatted)
    if is_now != should_be:
        for kind, a, b, c, d in difflib.SequenceMatcher(None, is_now, should_be, False).get_opcodes():
            if kind != "equal":
                found.append(f"{' '.join(is_now[max(a - 2, 0):b + 1])!r} should be {' '.join(should_be[max(c - 2, 0):d + 1])!r}")
    is_now, should_be = list(statements(text)), list(statements(formatted))
    matcher = difflib.SequenceMatcher(None, [line[2] for line in is_now], [line[2] for line in should_be], False)
    for a, b, length in matcher.get_matching_blocks():
        for (number, indent, code), (_, right, _) in zip(is_now[a:a + length], should_be[b:b + length]):
            if indent != right:
                found.append(f"line {number}: {code!r} is indented by {indent}, not by {right}")
    return [f"{path.relative_to(SOURCE)}: {difference}" for difference in found]


class Format(unittest.TestCase):
    def test_clang_format(self):
        files = sorted(path for folder in FOLDERS for path in (SOURCE / folder).rglob("*.[ch]"))
        self.assertGreater(len(files), 100)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = [difference for several in threads.map(differences, files) for difference in several]
        self.assertEqual(found, [], "\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main(verbosity=2)
