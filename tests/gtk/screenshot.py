# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the pictures of the application for the README: screenshot.py DIRECTORY

What the pictures show is real: there is a gateway, and a client moves data through the tunnel for a minute.
"""

import contextlib
import math
import os
import random
import socket
import socketserver
import struct
import sys
import threading
import time

import cairo
from desktop import GENEROUS_S, Desktop, wait_until

from gi.repository import Atspi, GLib, TcpTunnel

TOKEN = "screenshot"
SCALE = 2
WIDTH, HEIGHT = 640, 720
RADIUS = 12
MARGIN = 36
MB = 1_000_000
STEP_S = 0.1

KEY_FILE = """
[database]
Name=Staging database
Gateway={uri}
Port=15432
Mode=multiplexed

[phone]
Name=Phone in the lab
Gateway={uri}
Port=15555

[metrics]
Name=Metrics
Gateway=wss://gateway.example.com/metrics
Port=19090
"""

SETTINGS = """
[Settings]
gtk-font-name=Cantarell 11
gtk-xft-antialias=1
gtk-xft-hinting=0
gtk-xft-rgba=none
"""


class Service(socketserver.ThreadingTCPServer):
    """Receives two sizes in each request: that of its answer, and that of the data that follows, which it reads."""

    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                while header := self.request.recv(8, socket.MSG_WAITALL):
                    answer, size = struct.unpack("!II", header)
                    self.request.recv(size, socket.MSG_WAITALL)
                    self.request.sendall(bytes(answer))

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def work(client, stop):
    """Produces a load that varies, in steps at a fixed pace."""
    numbers = random.Random(7)
    received, sent, step = 0.0, 0.0, 0
    begin = time.monotonic()
    while not stop.is_set():
        seconds = step * STEP_S
        if step % 25 == 0:
            goal_received = numbers.uniform(3, 42) * (1.2 + math.sin(seconds / 9)) / 2
            goal_sent = numbers.uniform(3, 30) * (1.2 - math.sin(seconds / 7)) / 2
        received += (goal_received - received) * 0.15
        sent += (goal_sent - sent) * 0.15
        answer, size = int(received * MB * STEP_S), int(sent * MB * STEP_S)
        client.sendall(struct.pack("!II", answer, size) + bytes(size))
        client.recv(answer, socket.MSG_WAITALL)
        step += 1
        time.sleep(max(0, begin + step * STEP_S - time.monotonic()))


def framed(screen):
    """Returns the window as a compositor shows it: with round corners and a shadow, in the middle of its own picture.
    """
    size = (WIDTH + 2 * MARGIN) * SCALE, (HEIGHT + 2 * MARGIN) * SCALE
    picture = cairo.ImageSurface(cairo.FORMAT_ARGB32, *size)
    context = cairo.Context(picture)
    context.scale(SCALE, SCALE)

    def outline(grow, down):
        context.new_sub_path()
        for x, y, angle in ((WIDTH - RADIUS, RADIUS, -90), (WIDTH - RADIUS, HEIGHT - RADIUS, 0),
                            (RADIUS, HEIGHT - RADIUS, 90), (RADIUS, RADIUS, 180)):
            context.arc(MARGIN + x, MARGIN + y + down, RADIUS + grow, math.radians(angle), math.radians(angle + 90))
        context.close_path()

    for grow in range(28, 0, -1):
        outline(grow, 6)
        context.set_source_rgba(0, 0, 0, 0.008)
        context.fill()
    outline(0, 0)
    context.clip()
    # The window manager has put the window in the middle of the screen.
    left = (screen.get_width() / SCALE - WIDTH) / 2
    top = (screen.get_height() / SCALE - HEIGHT) / 2
    context.scale(1 / SCALE, 1 / SCALE)
    context.set_source_surface(screen, (MARGIN - left) * SCALE, (MARGIN - top) * SCALE)
    context.paint()
    return picture


def main(directory):
    service = Service()
    gateway = TcpTunnel.Gateway(target="127.0.0.1:%d" % service.server_address[1], token=TOKEN, path="/lab", port=8080,
                                log_level=TcpTunnel.TunnelLogLevel.NONE)
    gateway.start(None)
    desktop = Desktop(scale=SCALE, screen="1640x1640x24")
    clients = []
    stop = threading.Event()
    try:
        for name, text in ("tcp-tunnels/tunnels.ini", KEY_FILE.format(uri=gateway.dup_uri())), \
                          ("gtk-4.0/settings.ini", SETTINGS):
            path = desktop.path("CONFIG_HOME", name)
            os.makedirs(os.path.dirname(path))
            with open(path, "w") as file:
                file.write(text)
        desktop.start_application()
        desktop.activate("bare")
        # Otherwise the pointer would be in the middle of the picture.
        Atspi.generate_mouse_event(0, 0, "abs")
        for name in "Staging database", "Phone in the lab":
            desktop.press(name, Atspi.Role.CHECK_BOX)
            field = desktop.enter("Token", TOKEN)
            desktop.press("Start")
            desktop.wait_until_gone(field)
        desktop.wait_for_text("^Connected")
        clients += [socket.create_connection(("127.0.0.1", 15432), timeout=GENEROUS_S) for _ in range(3)]
        desktop.activate("unfold", GLib.Variant("i", 0))
        worker = threading.Thread(target=work, args=(clients[0], stop))
        worker.start()
        desktop.wait_for_text("3 connections")

        end = time.monotonic() + 65
        wait_until(lambda: time.monotonic() > end, "a minute's work", 2 * GENEROUS_S)
        for name, dark in ("gtk.png", False), ("gtk-dark.png", True):
            desktop.activate("dark", GLib.Variant("b", dark))
            # The change of the colors is animated.
            end = time.monotonic() + 2
            wait_until(lambda: time.monotonic() > end, "the colors")
            framed(desktop.picture()).write_to_png(os.path.join(directory, name))
        stop.set()
        worker.join()
    finally:
        stop.set()
        desktop.close()
        gateway.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
