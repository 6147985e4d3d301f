# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of installing share: running meson and other programs, with all they said if
they fail."""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
MESON = os.environ["TCP_TUNNEL_MESON"]
# The least that can be configured.
BARE = ["-Dtests=false", "-Ddocs=disabled", "-Dintrospection=disabled", "-Dtools=false"]


def run(*command, env=None, cwd=None):
    """Runs a command that has to succeed, and gives what it wrote to stdout."""
    done = subprocess.run([str(argument) for argument in command], env=env, cwd=cwd,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
