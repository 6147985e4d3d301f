# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ports for programs that cannot report which port they were given."""

import random
import socket


def free_port():
    """Returns a port outside the range from which the system assigns ports, so that it is still free a moment later.
    """
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.randrange(10000, 30000))) as listener:
                return listener.getsockname()[1]
        except OSError:
            pass
