# SPDX-License-Identifier: LGPL-2.1-or-later
"""Completions of the command in a shell: test_completions.py SHELL, one of bash, zsh and fish."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

shell = sys.argv[1]
BINARY = os.environ["TCP_TUNNEL_BIN"]
COMPLETIONS = Path(__file__).resolve().parent.parent.parent / "data" / "completions"
DEADLINE_S = 60

BASH = """
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_tcp_tunnel
printf '%s\\n' "${COMPREPLY[@]}"
"""

# zsh completes only where it edits a line. The offers are taken from the function through which all of them pass.
ZSH = """
PS1= ; unsetopt prompt_cr prompt_sp; stty -echo
fpath=("$COMPLETIONS" $fpath)
autoload -Uz compinit && compinit -D -u
compadd () { builtin compadd -O offered "$@"; print -rl -- '<' $offered '>' >> "$OFFERED"; builtin compadd "$@" }
finish () { print -r -- done >> "$OFFERED"; zle kill-whole-line }
zle -N finish
bindkey '^I' complete-word
bindkey '^B' finish
LISTMAX=10000
print ready
"""


def help_of(command):
    return subprocess.run([BINARY, *command, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout


COMMANDS = re.findall("^  ([a-z]+)", re.search("^Commands:\n(.*?)^$", help_of([]), re.MULTILINE | re.DOTALL)[1], re.MULTILINE)


def options_of(command):
    return set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_of([command]), re.MULTILINE))


class Zsh:
    """A zsh on a terminal."""

    def __init__(self, directory, environment):
        self.offered = directory / "offered"
        self.offered.touch()
        (directory / ".zshrc").write_text(ZSH)
        self.output = b""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(directory)
            os.execvpe("zsh", ["zsh", "-o", "no_global_rcs", "-i"],
                       {**environment, "COMPLETIONS": str(COMPLETIONS), "OFFERED": str(self.offered)})
        self.wait(lambda: b"ready" in self.output)

    def wait(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, self.output
            if select.select([self.terminal], [], [], 0.02)[0]:
                self.output += os.read(self.terminal, 65536)

    def complete(self, line):
        """Types the line and Tab, and returns the offers."""
        self.offered.write_text("")
        os.write(self.terminal, line.encode() + b"\t\x02")
        self.wait(lambda: "done\n" in self.offered.read_text())
        return [line for line in self.offered.read_text().splitlines() if line not in ("<", ">", "done", "")]

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.process, 0)


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        (cls.directory / "certificate with space.pem").touch()
        (cls.directory / "config" / "tcp-tunnel").mkdir(parents=True)
        (cls.directory / "config" / "tcp-tunnel" / "tunnels.conf").write_text(
            "# comment\n[defaults]\n[database]\nremote-uri=wss://example.com/\n[adb]\nremote-uri=wss://example.com/\n")
        cls.environment = {**os.environ, "PATH": os.path.dirname(BINARY) + ":" + os.environ["PATH"],
                           "HOME": str(cls.directory), "XDG_CONFIG_HOME": str(cls.directory / "config"),
                           "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        (cls.directory / "other.conf").write_text("[printer]\nremote-uri=wss://example.com/\n")
        if shell == "zsh":
            cls.zsh = Zsh(cls.directory, cls.environment)
            cls.addClassCleanup(cls.zsh.close)

    def run_shell(self, *command):
        done = subprocess.run(command, cwd=self.directory, env=self.environment, text=True, timeout=DEADLINE_S,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.stderr, "")
        return [line for line in done.stdout.splitlines() if line]

    def offered_by_bash(self, line):
        words = re.findall(r"=|[^\s=]+", line) + [""] * line.endswith(" ")
        return self.run_shell("bash", "--norc", "-c", BASH, "bash", COMPLETIONS / "tcp-tunnel.bash", *words)

    def offered_by_fish(self, line):
        lines = self.run_shell("fish", "--no-config", "-c", f"source {COMPLETIONS}/tcp-tunnel.fish; complete -C '{line}'")
        return [re.sub("^--[a-z-]+=", "", line.split("\t")[0]) for line in lines]

    def offered_by_zsh(self, line):
        return self.zsh.complete(line)

    def offered(self, line):
        """Returns the words for a line; file names without the quoting of the shell."""
        words = {"bash": self.offered_by_bash, "fish": self.offered_by_fish, "zsh": self.offered_by_zsh}[shell](line)
        return {word.replace("\\", "").rstrip("=") for word in words}

    def test_commands(self):
        self.assertLessEqual(set(COMMANDS), self.offered("tcp-tunnel "))
        self.assertEqual(self.offered("tcp-tunnel conn"), {"connect"})
        self.assertIn("--version", self.offered("tcp-tunnel --"))

    def test_options(self):
        """All options of the help are offered, and no others."""
        self.assertIn("connect", COMMANDS)
        for command in COMMANDS:
            options = options_of(command)
            self.assertGreater(len(options), 2)
            self.assertEqual({word for word in self.offered(f"tcp-tunnel {command} --") if word.startswith("--")}, options)

    def test_values(self):
        self.assertEqual(self.offered("tcp-tunnel connect --mode "), {"auto", "singleton", "parallel", "multiplexed"})
        self.assertEqual(self.offered("tcp-tunnel connect --mode=m"), {"multiplexed"})
        self.assertEqual(self.offered("tcp-tunnel up --wait "), {"yes", "no"})
        self.assertEqual(self.offered("tcp-tunnel gateway --watch "), {"yes", "no"})
        self.assertEqual(self.offered("tcp-tunnel connect --max-reconnect-attempts "), {"unlimited"})
        self.assertEqual(self.offered("tcp-tunnel gateway --resumption r"), {"required"})
        self.assertEqual(self.offered("tcp-tunnel demo --log-level "), {"none", "error", "warn", "info", "debug"})

    def test_files(self):
        self.assertEqual(self.offered("tcp-tunnel connect --ca certif"), {"certificate with space.pem"})
        self.assertIn("certificate with space.pem", self.offered("tcp-tunnel gateway --tls-cert "))

    def test_nothing(self):
        self.assertEqual(self.offered("tcp-tunnel connect --reconnect-delay "), set())

    def test_names(self):
        self.assertEqual(self.offered("tcp-tunnel connect "), {"database", "adb"})
        self.assertEqual(self.offered("tcp-tunnel connect da"), {"database"})
        self.assertEqual(self.offered("tcp-tunnel check da"), {"database"})
        self.assertEqual(self.offered("tcp-tunnel up database a"), {"adb"})
        self.assertEqual(self.offered("tcp-tunnel up --config other.conf "), {"printer"})
        self.assertEqual(self.offered("tcp-tunnel up --config=other.conf "), {"printer"})

    def test_programs(self):
        self.assertIn("printenv", self.offered("tcp-tunnel connect --token-command printe"))


if shutil.which(shell) is None:
    print(f"{shell} is missing")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)
unittest.main(argv=["completions"], verbosity=2)
