# SPDX-License-Identifier: LGPL-2.1-or-later
"""Services of this machine that are reachable at a gateway: `reverse`, `connect --reverse`, and the keys of the
config file."""

import json
import unittest

from support import Command, Config, Service, TOKEN, dial, exchange, free_port, gateway, listening, noise, run

USAGE = 2


class Reverse(unittest.TestCase):
    def setUp(self):
        self.service = self.enterContext(Service())
        self.port = free_port()
        command, self.url = gateway(self.service, '--reverse-ports', f'{self.port}-{self.port}')
        self.enterContext(command)

    def start(self, *args, **extra):
        return self.enterContext(Command(*args, TCP_TUNNEL_TOKEN=TOKEN, **extra))

    def check_exchange(self, address):
        with dial(address) as connection:
            self.assertTrue(exchange(connection, noise(200000, 1)))

    def check_line(self, command, prefix=''):
        self.assertEqual(command.line(), f'{prefix}listening on 127.0.0.1:{self.port} of the gateway')
        self.check_exchange(('127.0.0.1', self.port))

    def test_service(self):
        command = self.start('reverse', self.url, '--to', f'127.0.0.1:{self.service.port}', '--remote-port', str(self.port))
        self.check_line(command)
        self.assertEqual(command.stop(), 0)

    def test_port_alone(self):
        command = self.start('reverse', self.url, '--to', str(self.service.port), '--on-ready',
                             'echo "at $TCP_TUNNEL_HOST $TCP_TUNNEL_PORT"')
        self.check_line(command)
        command.error_line(f'at 127.0.0.1 {self.port}')
        self.assertEqual(command.stop(), 0)

    def test_json(self):
        command = self.start('reverse', self.url, '--to', str(self.service.port), '--json')
        event = json.loads(command.line())
        self.assertEqual((event['event'], event['address'], event['host'], event['port']),
                         ('listening', f'127.0.0.1:{self.port}', '127.0.0.1', self.port))
        self.check_exchange(('127.0.0.1', self.port))
        while event['event'] != 'connection-opened':
            event = json.loads(command.line())
        self.assertRegex(event['peer'], r'127\.0\.0\.1:\d+')

    def test_beside_others(self):
        command = self.start('connect', self.url, '--reverse', f'{self.port}={self.service.port}')
        address = listening(command)
        for _ in range(3):
            self.check_exchange(address)
            self.check_exchange(('127.0.0.1', self.port))
        self.assertEqual(command.stop(), 0)

    def test_config(self):
        config = self.enterContext(Config())
        config.write(f'[preview]\nremote-uri={self.url}\nto={self.service.port}\nremote-port={self.port}\n'
                     f'[both]\nremote-uri={self.url}\nreverse={self.port}=127.0.0.1:{self.service.port}\n')
        for args, prefix in ((('reverse', 'preview'), ''), (('up', 'preview'), 'preview: ')):
            command = self.start(*args, XDG_CONFIG_HOME=config.home)
            self.check_line(command, prefix)
            self.assertEqual(command.stop(), 0)
        command = self.start('connect', 'both', XDG_CONFIG_HOME=config.home)
        self.check_exchange(listening(command))
        self.check_exchange(('127.0.0.1', self.port))
        self.assertEqual(command.stop(), 0)

    def test_refused(self):
        status, out, err = run('reverse', self.url, '--to', '1', '--remote-port', '1', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, out), (1, ''))
        self.assertIn('port 1 is not one of those for reverse tunnels', err)
        status, out, err = run('connect', self.url, '--reverse', '1=127.0.0.1:1', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, out), (1, ''))
        self.assertIn('port 1 is not one of those for reverse tunnels', err)

    def test_no_ports(self):
        """A gateway without --reverse-ports."""
        command, url = gateway(self.service)
        self.enterContext(command)
        for args, message in ((('reverse', url, '--to', '1'), 'does not offer ports for reverse tunnels'),
                              (('connect', url, '--reverse', '0=127.0.0.1:1'), 'does not listen for its clients')):
            status, out, err = run(*args, TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual((status, out), (1, ''))
            self.assertIn(message, err)
            self.assertIn('reverse-ports', err)

    def test_wrong_usage(self):
        def check(*args):
            status, out, err = run(*args, TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual((status, out), (USAGE, ''), err)
            return err

        self.assertIn('--to HOST:PORT', check('reverse', self.url))
        self.assertIn('--remote-port must be', check('reverse', self.url, '--to', '1', '--remote-port', 'x'))
        self.assertIn('--remote-port must be', check('reverse', self.url, '--to', '1', '--remote-port', '65536'))
        self.assertIn('HOST:PORT', check('reverse', self.url, '--to', 'nowhere'))
        self.assertIn('HOST:PORT', check('reverse', self.url, '--to', '0'))
        for value in '8080', 'x=1', '8080=nowhere':
            self.assertIn('HOST:PORT', check('connect', self.url, '--reverse', value))

    def test_wrong_ports(self):
        for value in 'x', '0', '2-1', 'localhost:1', '1-70000':
            status, out, err = run('gateway', '--target', '127.0.0.1:1', '--reverse-ports', value, TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual((status, out), (USAGE, ''))
            self.assertIn('the ports for reverse tunnels: ', err)


unittest.main(verbosity=2)
