# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tunnels: an application for TCP tunnels, with libtcptunnel, GTK 4 and libadwaita.

    store.py        the configuration of a tunnel, its checks, and the key file
    keyring.py      the token of a tunnel, in the keyring
    tunnel.py       a tunnel that can be started and stopped
    graph.py        the throughput of a tunnel
    connections.py  the open connections of a tunnel
    tunnel_row.py   one row of the list
    editor.py       the window that adds or edits a tunnel
    window.py       the window with the list
    application.py  the application
"""

import os

import gi

gi.require_version("Gtk", "4.0")
gi.require_version("Adw", "1")
gi.require_version("TcpTunnel", "1")

APPLICATION_ID = "io.github.libtcptunnel.Tunnels"
DIRECTORY = os.path.dirname(os.path.realpath(__file__))


def path_to(name):
    """Returns the path of a file in the directory of the modules."""
    return os.path.join(DIRECTORY, name)
