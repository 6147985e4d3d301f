# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures a small exchange beside a stream that takes the whole bandwidth, in the same tunnel."""

import statistics
import threading
import time
import unittest

import rig
from rig import Meter, Path, Service, end, gateway, start, tunnel

BOUND_MS = 60
ROUNDS = 3
MOST_ROUNDS = 12
# A measurement during which this process itself had to wait longer than this for a processor is not used.
LATE_MS = 5
SECONDS = 4
CONNECTIONS = 4


def exchange(connection, until, times):
    data = bytes(range(64))
    while time.monotonic() < until:
        begin = time.monotonic()
        connection.sendall(data)
        back = b''
        while len(back) < len(data):
            piece = connection.recv(len(data) - len(back))
            if not piece:
                return
            back += piece
        times.append((time.monotonic() - begin) * 1000)


def percentile_99(connections):
    times = []
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=exchange, args=(connection, until, times)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(times)[len(times) * 99 // 100]


class Latency(unittest.TestCase):
    def beside(self, upload):
        # The buffer of the line holds the data of one round trip, as the buffers of routers should: data in it cannot
        # be overtaken.
        with Path(delay=10, buffer=2560) as path:
            for machine in path.near, path.far:
                machine.use_congestion_control('cubic')
            with Service(path) as service, gateway(path, service) as far_end, \
                    tunnel(path, far_end, '--mode=multiplexed') as client:
                connections = [client.connect() for _ in range(CONNECTIONS)]
                for connection in connections:
                    connection.sendall(b'E')
                bulk = client.connect()
                bulk.sendall(b'S' if upload else b'B')
                meter = service.meters.get(timeout=rig.DEADLINE) if upload else Meter()
                start(rig.blast, bulk) if upload else start(meter.take, bulk)
                time.sleep(2)

                begin = time.monotonic()
                rounds = []
                for _ in range(MOST_ROUNDS):
                    path.statistics()
                    milliseconds = percentile_99(connections)
                    late = max(way['late_us'] for way in path.statistics().values()) / 1000
                    if late < LATE_MS:
                        rounds.append(milliseconds)
                    if len(rounds) == ROUNDS:
                        break
                rate = meter.rate(begin, time.monotonic())
                for connection in [bulk, *connections]:
                    end(connection)
                print(f'\n{"up" if upload else "down"} at {rate:.0f} Mbit/s, 99th percentile: '
                      f'{", ".join(f"{p:.1f} ms" for p in rounds)}; {path.statistics()}')
                if len(rounds) < ROUNDS:
                    rig.skip('this machine is too busy for a path that is never late')
                self.assertGreater(rate, 100, 'there was nothing to be beside')
                self.assertLess(statistics.median(rounds), BOUND_MS)

    def test_beside_upload(self):
        self.beside(True)

    def test_beside_download(self):
        self.beside(False)


if __name__ == '__main__':
    rig.main()
