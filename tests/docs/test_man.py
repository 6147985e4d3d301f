# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks that the manual page of the command documents all that its help lists, and no more."""

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

BINARY = os.environ["TCP_TUNNEL_BIN"]
ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((ROOT / "docs" / "man").glob("*.rst"))
pages = sys.argv[1:]


def help_of(*command):
    return subprocess.run([BINARY, *command, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout


def sections(text):
    """Returns the sections of the page by their headings."""
    parts = re.split(r"^([A-Z][A-Z ]+)\n=+\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def options(text):
    return {option for entry in re.findall(r"^\*\*-.*", text, re.MULTILINE)
            for option in re.findall(r"\*\*(--[a-z-]+)\*\*", entry)}


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = SOURCES[0].read_text(encoding="utf-8")
        cls.sections = sections(cls.text)
        listed = re.search("^Commands:\n(.*?)^$", help_of(), re.MULTILINE | re.DOTALL)[1]
        cls.commands = re.findall("^  ([a-z]+)", listed, re.MULTILINE)

    def test_commands(self):
        self.assertIn("connect", self.commands)
        for command in self.commands:
            self.assertIn(f"**tcp-tunnel {command}**", self.sections["SYNOPSIS"])
            self.assertIn(command.upper(), self.sections)

    def test_options(self):
        for command in self.commands:
            with self.subTest(command):
                told = set(re.findall(r"^  (--[a-z-]+)", help_of(command), re.MULTILINE))
                self.assertGreater(len(told), 1)
                self.assertEqual(options(self.sections[command.upper()]), told)

    def test_keys(self):
        """The keys of the config file."""
        source = (ROOT / "src" / "cli" / "settings.c").read_text(encoding="utf-8")
        table = re.search(r"keys\[.*?\] = \{(.*?)\};", source, re.DOTALL)[1]
        keys = set(re.findall('"([a-z-]+)"', table))
        entries = re.findall(r"^\*\*[a-z].*", self.sections["CONFIGURATION FILE"], re.MULTILINE)
        self.assertGreater(len(keys), 10)
        self.assertEqual({key for entry in entries for key in re.findall(r"\*\*([a-z-]+)\*\*", entry)}, keys)

    def test_keys_of_principals(self):
        """The keys of a principal in a gateway's file; the others are options."""
        source = (ROOT / "src" / "cli" / "gateway-options.c").read_text(encoding="utf-8")
        table = re.search(r"principal_rows\[\] = \{(.*?)\};", source, re.DOTALL)[1]
        keys = set(re.findall(r'\.name = "([a-z-]+)"', table))
        entries = re.findall(r"^\*\*[a-z].*", self.sections["GATEWAY CONFIGURATION FILE"], re.MULTILINE)
        self.assertGreater(len(keys), 5)
        self.assertEqual({key for entry in entries for key in re.findall(r"\*\*([a-z-]+)\*\*", entry)}, keys)

    def test_events(self):
        """The events of --json, and their members."""
        sources = "".join((ROOT / "src" / "cli" / name).read_text(encoding="utf-8") for name in ("json.c", "report.c"))
        names = re.findall(r'(?:begin|event_add_\w+) \(\w+, "([a-z_-]+)"', sources)
        self.assertGreater(len(names), 20)
        self.assertEqual([name for name in names if f"**{name}**" not in self.sections["EVENTS"]], [])

    def test_findings(self):
        """The members of the steps of a check."""
        sources = "".join((ROOT / "src" / "cli" / name).read_text(encoding="utf-8")
                          for name in ("check.c", "check-probe.c", "check-report.c"))
        names = set(re.findall(r'(?:json_object_set_\w+_member|set_date) \([\w>-]+, "([a-z_]+)"', sources))
        nicks = set(re.findall(r'\[STEP_\w+\] = \{ (?:N_\()?"[\w ]+"\)?, "([a-z-]+)" \}', sources))
        self.assertGreater(len(names), 20)
        self.assertGreater(len(nicks), 8)
        self.assertEqual([name for name in sorted(names | nicks) if f"**{name}**" not in self.sections["CHECK"]], [])

    def test_common_options(self):
        self.assertEqual(options(self.sections["DESCRIPTION"]), {"--help", "--version"})

    def test_pages_are_well_formed(self):
        self.assertEqual(len(pages), len(SOURCES))
        for page in pages:
            done = subprocess.run(["groff", "-man", "-Tutf8", "-k", "-t", "-ww", "-z", page], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual((done.returncode, done.stdout), (0, ""))


if not pages or shutil.which("groff") is None:
    print("rst2man or groff is missing")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=["man"], verbosity=2)
