#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs an adb command on an Android device behind a gateway, by default its shell.

TCP_TUNNEL_TOKEN=… ./adb.py wss://example.org/ shell getprop ro.product.model
"""

import os
import subprocess
import sys

import gi

gi.require_version("TcpTunnel", "1")
from gi.repository import GLib, TcpTunnel


def adb(*arguments: str) -> int:
    return subprocess.run(["adb", *arguments]).returncode


token = os.environ.get("TCP_TUNNEL_TOKEN")
uri, *command = sys.argv[1:] or [""]
if not uri or uri.startswith("-") or token is None:
    sys.exit("usage: TCP_TUNNEL_TOKEN=TOKEN adb.py URL [ADB-COMMAND [ARGUMENT...]]")
try:
    # The tunnel works while this program waits for adb.
    with TcpTunnel.Tunnel(uri, token) as tunnel:
        device = str(tunnel.address)
        status = adb("connect", device) or adb("-s", device, *(command or ["shell"]))
        adb("disconnect", device)
except GLib.Error as error:
    sys.exit(error.message)
except KeyboardInterrupt:
    status = 130  # as in shells
sys.exit(status)
