# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tunnels: the TCP tunnels of a desktop, on libtcptunnel, GTK 4 and libadwaita.

    store.py        what is known of a tunnel, whether that can work, and the key file it is kept in
    keyring.py      its token, in the keyring
    tunnel.py       a tunnel that can be started
    graph.py        its throughput
    connections.py  the connections that are open
    tunnel_row.py   one row of the list
    editor.py       the window that adds and edits
    window.py       the list
    application.py  all of it
"""

import os

import gi

gi.require_version("Gtk", "4.0")
gi.require_version("Adw", "1")
gi.require_version("TcpTunnel", "1")

APPLICATION_ID = "io.github.libtcptunnel.Tunnels"
DIRECTORY = os.path.dirname(os.path.realpath(__file__))


def path_to(name):
    """A file that lies beside the modules."""
    return os.path.join(DIRECTORY, name)
