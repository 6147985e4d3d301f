# SPDX-License-Identifier: LGPL-2.1-or-later
"""Notifications of a tunnel: the command of --on-ready, and the service manager."""

import json
import os
import re
import signal
import socket
import sys
import tempfile
import unittest

from support import (Away, Command, Config, DEADLINE, Service, TOKEN, dial, exchange, gateway, knock,
                     listening, listening_as, noise, until_told)

FAILED = 1


class Tunnels(unittest.TestCase):
    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)
        self.server = server

    def connect(self, *args, **extra):
        return self.enterContext(Command('connect', self.url, '--log-level', 'none', *args,
                                         **{'TCP_TUNNEL_TOKEN': TOKEN, **extra}))


class OnReady(Tunnels):
    SHOW = 'echo "name=$TCP_TUNNEL_NAME host=$TCP_TUNNEL_HOST port=$TCP_TUNNEL_PORT socket=$TCP_TUNNEL_SOCKET"'

    def test_environment(self):
        with tempfile.TemporaryDirectory() as directory:
            tunnel = self.connect('--on-ready', f'{self.SHOW}; env', NOTIFY_SOCKET=directory + '/none')
            host, port = listening(tunnel)
            tunnel.error_line(f'^name= host={host} port={port} socket=$')
            self.assertEqual(tunnel.stop(), 0)
        output = ''.join(tunnel.output)
        for secret in (TOKEN, 'TCP_TUNNEL_TOKEN', 'NOTIFY_SOCKET'):
            self.assertNotIn(secret, output)

    def test_names(self):
        config = self.enterContext(Config(f'[defaults]\nremote-uri={self.url}\ntoken-file=token\n'
                                          f'on-ready={self.SHOW}\n[one]\n[two]\nmode=multiplexed\n'))
        tunnels = self.enterContext(Command('up', XDG_CONFIG_HOME=config.home))
        addresses = listening_as(tunnels, ['one', 'two'])
        said = {tunnels.error_line('^name=') for _ in addresses}
        self.assertEqual(said, {f'name={name} host=127.0.0.1 port={port} socket='
                                for name, (_, port) in addresses.items()})
        self.assertEqual(tunnels.stop(), 0)

    def test_failures(self):
        """A failure of the command is reported, and the tunnel continues."""
        for command, expected in (('exit 3', '--on-ready: the command ended with exit status 3'),
                                  ('kill -9 $$', '--on-ready: the command was ended by signal 9'),
                                  ('/nonexistent/command', '--on-ready: the command ended with exit status 127')):
            with self.subTest(command):
                tunnel = self.connect('--on-ready', command)
                address = listening(tunnel)
                tunnel.error_line('^tcp-tunnel connect: ' + re.escape(expected))
                with dial(address) as connection:
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                self.assertEqual(tunnel.stop(), 0)

    def test_output(self):
        """Output of the command does not mix with ours, even without a line end, and it has no input."""
        tunnel = self.connect('--json', '--on-ready',
                              'cat; echo out; echo err >&2; printf %9000d 0; printf "\\nlast"')
        for expected in ('^out$', '^err$', '^ {4096}$', '^ {4096}$', '^ {807}0$', '^last$'):
            tunnel.error_line(expected)
        self.assertEqual(tunnel.stop(), 0)
        for line in iter(tunnel.stdout.get, None):
            json.loads(line)

    def test_ends_before_the_tunnel(self):
        """The command may still use the tunnel after it was told to end."""
        script = ('import os, signal, socket, sys\n'
                  'signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n'
                  'print("waiting", flush=True)\n'
                  'signal.sigwait([signal.SIGTERM])\n'
                  'address = os.environ["TCP_TUNNEL_HOST"], int(os.environ["TCP_TUNNEL_PORT"])\n'
                  'with socket.create_connection(address) as connection:\n'
                  '    connection.sendall(bytes(3) + b"\\1x")\n'
                  '    print("got", len(connection.recv(33, socket.MSG_WAITALL)), flush=True)\n')
        with tempfile.NamedTemporaryFile('w', suffix='.py') as file:
            file.write(script)
            file.flush()
            # The shell between them exists as well, and ends with the command.
            tunnel = self.connect('--on-ready', f'{sys.executable} {file.name}; echo over')
            listening(tunnel)
            tunnel.error_line('^waiting$')
            self.assertEqual(tunnel.stop(signal.SIGINT), 0)
            tunnel.error_line('^got 33$')

    def test_ends_although_stopped(self):
        """A stopped command is ended, too, as it is when it has read from the terminal in the background."""
        tunnel = self.connect('--on-ready', "trap 'echo bye; exit' TERM; echo here; kill -STOP $$; wait")
        listening(tunnel)
        tunnel.error_line('^here$')
        self.assertEqual(tunnel.stop(), 0)
        tunnel.error_line('^bye$')

    def test_ends_by_force(self):
        tunnel = self.connect('--on-ready', "trap '' TERM; echo deaf; while :; do sleep 600; done")
        listening(tunnel)
        tunnel.error_line('^deaf$')
        self.assertEqual(tunnel.stop(), 0)

    def test_ends_at_the_second_signal(self):
        """No command is left behind, even if it ignores the signal."""
        with tempfile.TemporaryDirectory() as directory:
            alive = os.path.join(directory, 'alive')
            os.mkfifo(alive)
            tunnel = self.connect('--on-ready', f'exec 3>{alive}; ' + until_told('signal.pause()'))
            with open(alive, encoding='utf-8') as file:
                tunnel.error_line('^here$')
                tunnel.process.send_signal(signal.SIGINT)
                tunnel.error_line('^bye$')
                self.assertEqual(tunnel.stop(signal.SIGTERM), 0)
                self.assertEqual(file.read(), '')

    def test_breaks_meanwhile(self):
        """A tunnel that was told to end does not fail if it breaks meanwhile."""
        with tempfile.TemporaryDirectory() as directory:
            go_on = os.path.join(directory, 'go-on')
            os.mkfifo(go_on)
            tunnel = self.connect('--json', '--mode', 'multiplexed', '--max-reconnect-attempts', '0', '--on-ready',
                                  until_told(f'open("{go_on}").read()'))
            tunnel.error_line('^here$')
            tunnel.process.send_signal(signal.SIGTERM)
            tunnel.error_line('^bye$')
            self.server.process.kill()
            while '"disconnected"' not in tunnel.line():
                pass
            with open(go_on, 'w', encoding='utf-8'):
                pass
            self.assertEqual(tunnel.wait(), 0)
            self.assertNotIn('"failed"', ''.join(tunnel.output))

    def test_ends_with_a_failure(self):
        """A tunnel that ends by itself ends its command as well."""
        tunnel = self.connect('--on-ready', 'echo here; exec sleep 600', '--max-reconnect-attempts', '0',
                              TCP_TUNNEL_TOKEN='wrong')
        address = listening(tunnel)
        tunnel.error_line('^here$')
        with knock(address):
            self.assertEqual(tunnel.wait(), FAILED)
        tunnel.error_line('401')


class Notify(Tunnels):
    """A service manager of the test."""

    def setUp(self):
        super().setUp()
        directory = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(directory, 'notify')
        self.manager = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.settimeout(DEADLINE)
        self.manager.bind(self.path)

    def expect(self, wanted):
        """Receives until this line arrives, and returns the others."""
        told = []
        while wanted not in told:
            told += self.manager.recv(4096).decode().splitlines()
        told.remove(wanted)
        return told

    def test_connect(self):
        for mode, state in (('singleton', 'disconnected'), ('multiplexed', 'connected')):
            with self.subTest(mode):
                tunnel = self.connect('--mode', mode, NOTIFY_SOCKET=self.path)
                self.expect('READY=1')
                address = listening(tunnel)
                self.expect(f'STATUS={state}')
                with dial(address) as connection:
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                self.assertEqual(tunnel.stop(), 0)
                self.expect('STOPPING=1')

    def test_abstract(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self.manager:
            self.manager.settimeout(DEADLINE)
            self.manager.bind('')
            name = '@' + self.manager.getsockname()[1:].decode()
            tunnel = self.connect(NOTIFY_SOCKET=name)
            self.expect('READY=1')
            self.assertEqual(tunnel.stop(), 0)

    def test_up(self):
        """A tunnel that has failed does not keep the others from being ready."""
        config = self.enterContext(Config(
            f'[defaults]\nremote-uri={self.url}\ntoken-file=token\nmode=multiplexed\n'
            '[one]\n[two]\n[broken]\ntoken-command=echo wrong\n'))
        tunnels = self.enterContext(Command('up', XDG_CONFIG_HOME=config.home, NOTIFY_SOCKET=self.path))
        for status in self.expect('READY=1'):
            self.assertRegex(status, r'^STATUS=.*\d starting')
        self.expect('STATUS=2 connected, 1 ended')
        self.assertEqual(tunnels.stop(), FAILED)
        self.expect('STOPPING=1')

    def test_waiting(self):
        """A tunnel that waits for its gateway is ready: the service manager would end it after its own timeout."""
        with Service() as service, Away() as away:
            tunnel = self.enterContext(Command('connect', away.url, '--mode', 'multiplexed', '--reconnect-delay', '1ms',
                                               '--max-reconnect-delay', '20ms', TCP_TUNNEL_TOKEN=TOKEN,
                                               NOTIFY_SOCKET=self.path))
            self.expect('READY=1')
            self.expect('STATUS=waiting for the gateway')
            with away.arrive(service):
                self.expect('STATUS=connected')
                self.assertEqual(tunnel.stop(), 0)
                self.expect('STOPPING=1')

    def test_never_ready(self):
        tunnel = self.connect('--mode', 'multiplexed', TCP_TUNNEL_TOKEN='wrong', NOTIFY_SOCKET=self.path)
        self.assertEqual(tunnel.wait(), FAILED)
        self.assertNotIn('READY=1', self.expect('STATUS=1 ended'))

    def test_gateway(self):
        with Command('gateway', '--target', '127.0.0.1:1', '--listen', '0', '--listen', '0', TCP_TUNNEL_TOKEN=TOKEN,
                     NOTIFY_SOCKET=self.path) as server:
            urls = [server.line().split()[-1] for _ in range(2)]
            self.assertEqual(self.expect('READY=1'), [f'STATUS=listening on {", ".join(urls)}'])
            self.assertEqual(server.stop(), 0)
            self.expect('STOPPING=1')

    def test_watchdog(self):
        """The command notifies the watchdog several times within the interval; commands that it starts do not, and
        neither does it for another process."""
        environment = {'NOTIFY_SOCKET': self.path, 'WATCHDOG_USEC': '300000'}
        for start in (lambda **extra: self.connect('--on-ready', 'env | grep WATCHDOG_; echo ran', **environment, **extra),
                      lambda **extra: self.enterContext(Command('gateway', '--target', '127.0.0.1:1', TCP_TUNNEL_TOKEN=TOKEN,
                                                                **environment, **extra))):
            command = start()
            for _ in range(5):
                self.expect('WATCHDOG=1')
            command.stop()
            self.expect('STOPPING=1')
            self.assertFalse([line for line in command.output if 'WATCHDOG_' in line])
            # The gateway starts no command; that of a tunnel has ended before it.
            command = start(WATCHDOG_PID=str(os.getpid()))
            self.expect('READY=1')
            command.stop()
            self.assertNotIn('WATCHDOG=1', self.expect('STOPPING=1'))

    def test_nobody_there(self):
        tunnel = self.connect(NOTIFY_SOCKET='/nonexistent')
        with dial(listening(tunnel)) as connection:
            self.assertTrue(exchange(connection, noise(1000, 1)))
        self.assertEqual(tunnel.stop(), 0, tunnel.output)


if __name__ == '__main__':
    unittest.main(verbosity=2)
