# SPDX-License-Identifier: LGPL-2.1-or-later
"""Helpers for the tests of the installation: they run meson and other programs, and show the whole output if one
fails."""

import os
import signal
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
MESON = os.environ["TCP_TUNNEL_MESON"]
# The smallest configuration.
BARE = ["-Dtests=false", "-Ddocs=disabled", "-Dintrospection=disabled", "-Dtools=false"]

# The program that starts the tests may ignore signals, as nohup and a shell's & do. The programs that the tests start
# do not inherit that.
for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def run(*command, env=None, cwd=None):
    """Runs a command that has to succeed, and returns what it wrote to stdout."""
    done = subprocess.run([str(argument) for argument in command], env=env, cwd=cwd,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
