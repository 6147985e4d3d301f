#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs ssh to a machine behind a gateway whose target is port 22 of the machine. The arguments after
the gateway's URL are those of ssh.

TCP_TUNNEL_TOKEN=… ./ssh.py wss://example.org/ user@machine uname -a
"""

import os
import subprocess
import sys
from urllib.parse import urlsplit

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel

token = os.environ.get("TCP_TUNNEL_TOKEN")
uri, *arguments = sys.argv[1:] or [""]
if not uri or uri.startswith("-") or not arguments or token is None:
    sys.exit("usage: TCP_TUNNEL_TOKEN=TOKEN ssh.py URL [USER@]MACHINE [SSH-ARGUMENT...]")
try:
    # The tunnel works while this program waits for ssh.
    with TcpTunnel.Tunnel(uri, token) as tunnel:
        address, port = tunnel.address
        # ssh identifies the machine's key by the gateway's name, because the port changes.
        options = [f"-oHostName={address}", f"-oPort={port}", f"-oHostKeyAlias={urlsplit(uri).hostname}"]
        status = subprocess.run(["ssh", *options, *arguments]).returncode
except GLib.Error as error:
    sys.exit(error.message)
except KeyboardInterrupt:
    status = 130  # as in shells
sys.exit(status)
