# SPDX-License-Identifier: LGPL-2.1-or-later
"""The part of adb's protocol that is needed to run a command on a device, and a device for it.

A message has a header of six little-endian numbers: command, two arguments, length and sum of the data, and the
inverted command. The data follows.
"""

import socketserver
import struct
import subprocess

VERSION = 0x01000000
MAX_DATA = 4096


def send(connection, command, first, second, data=b""):
    number = int.from_bytes(command, "little")
    header = struct.pack("<6I", number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
    connection.sendall(header + data)


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the other end has left")
        data += piece
    return data


def receive(connection):
    number, first, second, size, _, _ = struct.unpack("<6I", read_exactly(connection, 24))
    return number.to_bytes(4, "little"), first, second, read_exactly(connection, size)


class Device(socketserver.BaseRequestHandler):
    """A device whose shell is that of this machine."""

    def handle(self):
        try:
            while True:
                self.answer(*receive(self.request))
        except ConnectionError:
            pass

    def answer(self, command, first, second, data):
        if command == b"CNXN":
            send(self.request, b"CNXN", VERSION, MAX_DATA, b"device::ro.product.model=stand-in;\0")
        elif command == b"OPEN" and data.startswith(b"shell:"):
            send(self.request, b"OKAY", 1, first)
            output = subprocess.run(data[6:].rstrip(b"\0"), shell=True, stdout=subprocess.PIPE).stdout
            send(self.request, b"WRTE", 1, first, output)
            send(self.request, b"CLSE", 1, first)
        elif command == b"OPEN":
            send(self.request, b"CLSE", 0, first)
