# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the speed of one stream through the tunnel with that of plain TCP on a long path. Both run alternately
within the same minute, with the same socket buffers and congestion control."""

import statistics
import time
import unittest

import rig
from rig import Path, Service, end, gateway, measure, start, tunnel

SHARE = 0.8
PAIRS = 3


def available(machine, name):
    return name in machine.run('cat', '/proc/sys/net/ipv4/tcp_available_congestion_control').split()


class Speed(unittest.TestCase):
    def compare(self, what, plain, tunnelled, path, average=statistics.median):
        share = average(tunnelled) / average(plain)
        figures = ', '.join(f'{p:.1f}/{t:.1f}' for p, t in zip(plain, tunnelled))
        print(f'\n{what}: {share:.2f} of plain TCP; Mbit/s plain/tunnel: {figures}; {path.statistics()}')
        return share

    def alternate(self, what, path, service, client, upload, begin, end_):
        plain, tunnelled = [], []
        for _ in range(PAIRS):
            plain.append(measure(service, lambda: path.near.connect(service.address), upload, begin, end_))
            tunnelled.append(measure(service, client.connect, upload, begin, end_))
        return self.compare(what, plain, tunnelled, path)

    def both_ways(self, what, algorithm, begin, end_, buffers=None, **options):
        with Path(delay=50, **options) as path:
            for machine in path.near, path.far:
                if not available(machine, algorithm):
                    rig.skip(f'this kernel has no {algorithm}')
                machine.use_congestion_control(algorithm)
                for name in ('tcp_rmem', 'tcp_wmem') if buffers else ():
                    machine.write(name, f'4096 {buffers} 134217728')
            with Service(path) as service, gateway(path, service) as far_end:
                for mode, upload in (('singleton', True), ('multiplexed', False)):
                    with tunnel(path, far_end, f'--mode={mode}') as client, \
                            self.subTest(mode=mode, upload=upload):
                        share = self.alternate(f'{what}, {mode}, {"up" if upload else "down"}', path, service,
                                               client, upload, begin, end_)
                        self.assertGreaterEqual(share, SHARE)

    def test_long(self):
        self.both_ways('1 Gbit/s, 100 ms', 'cubic', 3, 6)

    def test_loss(self):
        """BBR uses the whole path in spite of the loss. It does so from the beginning if the buffers are large from
        the start; if they have to grow, then it may take half a minute or never happen."""
        self.both_ways('1 Gbit/s, 100 ms, 1 % loss', 'bbr', 4, 8, buffers=1 << 20, loss=1)

    def test_loss_cubic(self):
        """CUBIC transfers very little here, and the amount depends on chance. Many connections at the same time,
        which are too slow to affect each other, give a better mean than one."""
        count = 12
        with Path(delay=50, loss=1) as path:
            for machine in path.near, path.far:
                machine.use_congestion_control('cubic')
            with Service(path) as service, gateway(path, service) as far_end:
                clients = [tunnel(path, far_end) for _ in range(count)]
                try:
                    plain = self.upload(service, [lambda: path.near.connect(service.address)] * count)
                    tunnelled = self.upload(service, [client.connect for client in clients])
                    time.sleep(30)
                    now = time.monotonic()
                    rates = [[meter.rate(now - 25, now) for meter, _ in some] for some in (plain, tunnelled)]
                    for _, connection in plain + tunnelled:
                        end(connection)
                finally:
                    for client in clients:
                        client.__exit__(None, None, None)
                self.assertGreaterEqual(self.compare('1 % loss, CUBIC', *rates, path, statistics.mean), SHARE)

    @staticmethod
    def upload(service, connects):
        streams = []
        for connect in connects:
            connection = connect()
            connection.sendall(b'S')
            start(rig.blast, connection)
            streams.append((service.meters.get(timeout=rig.DEADLINE), connection))
        return streams


if __name__ == '__main__':
    rig.main()
