#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""adb with an Android device behind a gateway, by default its shell.

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


uri, *command = sys.argv[1:]
try:
    # The tunnel works while this program waits for adb.
    with TcpTunnel.Tunnel(uri, os.environ["TCP_TUNNEL_TOKEN"]) as tunnel:
        device = str(tunnel.address)
        status = adb("connect", device) or adb("-s", device, *(command or ["shell"]))
        adb("disconnect", device)
except GLib.Error as error:
    sys.exit(error.message)
sys.exit(status)
