# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ports for programs that cannot say which one they were given."""

import random
import socket


def free_port():
    """One that the system does not give away by itself, so that it is still free a moment later."""
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.randrange(10000, 30000))) as listener:
                return listener.getsockname()[1]
        except OSError:
            pass
