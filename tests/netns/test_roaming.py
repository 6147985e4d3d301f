# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tunnel's machine gets another address while connections are open. Neither end is notified: packets for the old
address are lost. The keep-alive would detect this after 30 to 40 seconds at the earliest."""

import os
import time
import unittest

import rig
from rig import Path, Service, gateway, start, tunnel

# The probe takes 2 seconds, and a new WebSocket some round trips. This is less than the keep-alive's timeout of 10
# seconds, even on a busy machine.
AT_ONCE = 8


def move(machine, old, new):
    """Changes the address, as when a machine leaves one network and joins another."""
    machine.ip('addr', 'del', f'{old}/24', 'dev', 'path0')
    machine.ip('addr', 'add', f'{new}/24', 'dev', 'path0')


def exchange(connection, data):
    connection.sendall(data)
    back = bytearray()
    while len(back) < len(data):
        piece = connection.recv(len(data) - len(back))
        if not piece:
            raise AssertionError('the connection ended')
        back += piece
    if back != data:
        raise AssertionError('the data that came back is not what was sent')


class Roaming(unittest.TestCase):
    def connect(self, *args, **path):
        """Starts a tunnel to an echo service, and returns a connection through it."""
        self.path = self.enterContext(Path(**path))
        self.service = self.enterContext(Service(self.path))
        self.gateway = self.enterContext(gateway(self.path, self.service))
        self.tunnel = self.enterContext(tunnel(self.path, self.gateway, *args))
        connection = self.open()
        exchange(connection, b'here')
        return connection

    def open(self, what=b'E'):
        connection = self.tunnel.connect()
        self.addCleanup(connection.close)
        connection.sendall(what)
        return connection

    def enterContext(self, context):
        # unittest has this method since Python 3.11.
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def idle(self, *args):
        connections = [self.connect(*args, delay=20)]
        if '--mode=multiplexed' in args:
            connections += [self.open() for _ in range(9)]
        for old, new in (('10.77.0.1', '10.77.0.3'), ('10.77.0.3', '10.77.0.1')):
            move(self.path.near, old, new)
            moved = time.monotonic()
            for connection in connections:
                exchange(connection, os.urandom(64))
            self.assertLess(time.monotonic() - moved, AT_ONCE)

    def test_idle_singleton(self):
        self.idle()

    def test_idle_multiplexed(self):
        self.idle('--mode=multiplexed')

    def busy(self, *args):
        """All data comes back, through three changes of the address, and it never stops for long."""
        connection = self.connect(*args, delay=20, megabits=100)
        data = os.urandom(1 << 20) * 48
        back = bytearray()
        moves = [('10.77.0.1', '10.77.0.3'), ('10.77.0.3', '10.77.0.4'), ('10.77.0.4', '10.77.0.1')]
        stop = 0
        last = time.monotonic()
        start(connection.sendall, data)
        while len(back) < len(data):
            piece = connection.recv(1 << 18)
            self.assertTrue(piece, 'the connection ended')
            back += piece
            stop = max(stop, time.monotonic() - last)
            last = time.monotonic()
            if moves and len(back) > len(data) * (4 - len(moves)) // 5:
                move(self.path.near, *moves.pop(0))
        self.assertEqual(back, data)
        self.assertGreater(stop, 1, 'no move was felt')
        self.assertLess(stop, AT_ONCE)

    def test_busy_singleton(self):
        self.busy()

    def test_busy_multiplexed(self):
        self.busy('--mode=multiplexed')

    def test_waiting(self):
        """A tunnel that waits for its next attempt makes it at once when a network appears."""
        connection = self.connect('--reconnect-delay=60s', '--max-reconnect-delay=60s', delay=20)
        self.path.near.ip('addr', 'del', '10.77.0.1/24', 'dev', 'path0')
        self.tunnel.expect(r'the WebSocket is dead.*follows in 0 ms')
        self.tunnel.expect(r'follows in \d{4} ms')
        self.path.near.ip('addr', 'add', '10.77.0.3/24', 'dev', 'path0')
        back = time.monotonic()
        exchange(connection, os.urandom(64))
        self.assertLess(time.monotonic() - back, AT_ONCE)

    def test_raw(self):
        """Without resumption a false alarm may lose data. The tunnel therefore waits longer until it is sure: for the
        keep-alive's timeout of 10 seconds, but not for its interval."""
        connection = self.connect('--resumption=off', delay=20)
        self.tunnel.expect('connected to')
        move(self.path.near, '10.77.0.1', '10.77.0.3')
        moved = time.monotonic()
        self.tunnel.expect('the WebSocket is dead')
        self.tunnel.expect('connected to')
        exchange(connection, os.urandom(64))
        self.assertLess(time.monotonic() - moved, 10 + AT_ONCE)

    def test_false_alarm(self):
        """The network changes, but not the route to the gateway, which is so slow that no answer can arrive within 10
        seconds: only the acknowledgements of TCP come back."""
        self.connect('--resumption=off', delay=100, megabits=0.1, buffer=64).close()
        self.tunnel.expect('connected to')
        self.tunnel.expect('connection 1 was closed')
        connection = self.open(b'S')
        self.tunnel.expect('connected to')
        start(connection.sendall, bytes(1 << 18))
        meter = self.service.meters.get(timeout=rig.DEADLINE)
        self.assertTrue(meter.wait(1 << 14))
        self.path.near.ip('addr', 'add', '10.99.0.1/32', 'dev', 'lo')
        self.tunnel.expect('the network changed')
        self.assertTrue(meter.wait(1 << 18))
        self.assertEqual(self.tunnel.count('the WebSocket is dead'), 0)
        self.assertEqual(self.tunnel.count('connected to'), 2)


if __name__ == '__main__':
    rig.main()
