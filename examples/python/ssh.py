#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ssh to a machine behind a gateway, which leads to the machine's port 22. What follows the
gateway's URL is for ssh.

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
        # ssh knows the machine's key by the gateway's name, since the port changes.
        options = [f"-oHostName={address}", f"-oPort={port}", f"-oHostKeyAlias={urlsplit(uri).hostname}"]
        status = subprocess.run(["ssh", *options, *arguments]).returncode
except GLib.Error as error:
    sys.exit(error.message)
except KeyboardInterrupt:
    status = 130  # as shells have it
sys.exit(status)
