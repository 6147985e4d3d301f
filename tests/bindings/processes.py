# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that fork, and programs that end while their tunnel runs."""

import os
import signal
import subprocess
import sys
import textwrap
import unittest

GENEROUS_S = 30

SCRIPT = """
    import os, sys
    sys.path.insert(0, {support!r})
    from support import *

    echo = Echo()
    gateway = start_gateway(echo.address)
    tunnel = TcpTunnel.Tunnel(remote_uri=gateway.dup_uri(), token=TOKEN, mode=TcpTunnel.TunnelMode.MULTIPLEXED)
    tunnel.connect("connection-closed", lambda *arguments: None)
    tunnel.start(None)
    client = connect(port_of(tunnel))
    exchange(client)
"""

BUSY = """
    threading.Thread(target=client.sendall, args=(b"x" * 8 * MIB,), daemon=True).start()
"""

# A child that ends in the way of Python programs must not run the code behind this.
FORK = """
    child = os.fork()
    if child == 0:
        signal.alarm(GENEROUS_S)
        {child}
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    exchange(client)
    tunnel.close()
    gateway.close()
"""

USE = """
        for one in tunnel, gateway:
            try:
                one.start(None)
            except GLib.Error as error:
                assert "fork" in error.message, error
            else:
                raise AssertionError("it started")
        tunnel.close()
        gateway.close()
"""


class Processes(unittest.TestCase):
    def check(self, *parts, status=0):
        script = "".join(textwrap.dedent(part) for part in (SCRIPT.format(support=os.path.dirname(os.path.abspath(__file__))),
                                                            *parts))
        done = subprocess.run([sys.executable, "-c", script], timeout=2 * GENEROUS_S, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertNotIn("Fatal Python error", done.stderr)

    def test_end(self):
        self.check(BUSY)

    def test_exit(self):
        self.check(BUSY, "sys.exit(3)\n", status=3)

    def test_interrupt(self):
        self.check(BUSY, "raise KeyboardInterrupt\n", status=-signal.SIGINT)

    def test_fork_and_use(self):
        self.check(FORK.format(child=USE.strip()))

    def test_fork_and_drop(self):
        self.check(FORK.format(child="del tunnel, gateway"))

    def test_fork_and_end(self):
        self.check(FORK.format(child="pass"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
