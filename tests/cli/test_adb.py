# SPDX-License-Identifier: LGPL-2.1-or-later
"""`--adb`, with a script as adb: it logs its arguments, and keeps a connection like adb's server."""

import json
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import unittest

from support import Command, DEADLINE, Service, TOKEN, gateway, listening, run

ADB = r'''#!%s
import os, signal, socket, struct, subprocess, sys
home = os.path.dirname(os.path.abspath(__file__))
command, device, *rest = sys.argv[1:]
host, _, port = device.rpartition(':')

def log(line):
    with open(home + '/log', 'a') as file:
        file.write(line + '\n')

def wanted(name):
    return os.path.exists(f'{home}/{name}')

if command == 'hold':
    connection = socket.create_connection((host.strip('[]'), int(port)))
    connection.sendall(struct.pack('>I', 4) + b'CNXN')
    answer = connection.recv(36, socket.MSG_WAITALL)
    os.write(int(rest[0]), answer[32:])
    os.close(int(rest[0]))
    connection.recv(1)
    sys.exit()
log(f'{command} {device}')
log('secret' if 'TCP_TUNNEL_TOKEN' in os.environ else 'no secret')
if wanted(command + '-hangs'):
    print('waiting', flush=True)
    if command == 'disconnect' or wanted('stubborn'):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(home + '/fifo', 'w') as file:
        file.write('x')
    signal.pause()
if command == 'connect' and wanted('refuse'):
    # Old versions fail with a success status.
    with open(home + '/refuse') as file:
        print(f"failed to connect to '{device}': {file.read() or 'Connection refused'}")
elif command == 'connect':
    print('* daemon started successfully', flush=True)
    reader, writer = os.pipe()
    # The server keeps the output open.
    holder = subprocess.Popen([sys.executable, __file__, 'hold', device, str(writer)], pass_fds=[writer],
                              start_new_session=True)
    os.close(writer)
    with open(reader, 'rb') as file:
        assert file.read() == b'CNXN'
    with open(home + '/pid', 'w') as file:
        file.write(str(holder.pid))
    print('connected to', device)
elif command == 'disconnect':
    if wanted('pid'):
        with open(home + '/pid') as file:
            os.kill(int(file.read()), signal.SIGKILL)
    print('disconnected', device)
''' % sys.executable


class Adb(unittest.TestCase):
    def setUp(self):
        self.connections = []
        self.changed = threading.Condition()
        service = self.enterContext(Service(self.serve))
        server, self.url = gateway(service)
        self.enterContext(server)
        self.home = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.home, 'adb')
        with open(self.path, 'w', encoding='utf-8') as file:
            file.write(ADB)
        os.chmod(self.path, 0o755)
        os.mkfifo(self.file('fifo'))
        self.extra = {'TCP_TUNNEL_TOKEN': TOKEN, 'PATH': self.home + ':' + os.environ['PATH']}

    def file(self, name):
        return os.path.join(self.home, name)

    def touch(self, name):
        with open(self.file(name), 'w', encoding='utf-8'):
            pass

    def serve(self, connection):
        """The device."""
        with self.changed:
            self.connections.append(connection)
            self.changed.notify_all()
        Service.echo(connection)

    def connect(self, *args):
        return self.enterContext(Command('connect', self.url, '--adb', '--log-level', 'none', *args, **self.extra))

    def log(self):
        with open(self.file('log'), encoding='utf-8') as file:
            return [line for line in file.read().splitlines() if line != 'no secret']

    def start(self, *args):
        tunnel = self.connect(*args)
        host, port = listening(tunnel)
        device = f'{host}:{port}'
        tunnel.error_line(f'^adb: connected to {device}$')
        return tunnel, device

    def test_connects_and_disconnects(self):
        for mode in ('singleton', 'multiplexed'):
            with self.subTest(mode):
                tunnel, device = self.start('--mode', mode)
                self.assertEqual(tunnel.stop(), 0)
                self.assertEqual(self.log(), [f'connect {device}', f'disconnect {device}'])
                os.unlink(self.file('log'))

    def test_every_address(self):
        """An address that means all interfaces is replaced by one that can be connected to."""
        tunnel = self.connect('--listen', '0.0.0.0:0')
        port = tunnel.line().split(':')[-1]
        tunnel.error_line(f'^adb: connected to 127.0.0.1:{port}$')
        self.assertEqual(tunnel.stop(), 0)

    def test_connects_again(self):
        tunnel, device = self.start()
        with self.changed:
            self.connections[0].shutdown(socket.SHUT_RDWR)
        tunnel.error_line(f'^adb: connected to {device}$')
        with self.changed:
            self.assertEqual(len(self.connections), 2)
        self.assertEqual(tunnel.stop(), 0)
        self.assertEqual(self.log(), [f'connect {device}'] * 2 + [f'disconnect {device}'])

    def test_tries_again(self):
        self.touch('refuse')
        tunnel = self.connect('--json')
        device = json.loads(tunnel.line())['address']
        tunnel.error_line(re.escape(f"tcp-tunnel connect: --adb: adb could not connect to {device}: failed to connect to "
                                    f"'{device}': Connection refused; next attempt in 1 s"))
        os.unlink(self.file('refuse'))
        tunnel.error_line(f'^adb: connected to {device}$')
        self.assertEqual(tunnel.stop(), 0)
        for line in iter(tunnel.stdout.get, None):
            json.loads(line)

    def test_strange_reason(self):
        """Output of adb stays on one line."""
        with open(self.file('refuse'), 'w', encoding='utf-8') as file:
            file.write('a\u2028b\u2029c\x85d\x1b[1me\u202ef')
        self.connect().error_line('failed to connect to \'.*\': a\ufffdb\ufffdc\ufffdd\ufffd\\[1me\ufffdf; next attempt in 1 s$')

    def test_quiet(self):
        tunnel = self.connect('--quiet')
        listening(tunnel)
        with self.changed:
            self.assertTrue(self.changed.wait_for(lambda: self.connections, DEADLINE))
        self.assertEqual(tunnel.stop(), 0)
        self.assertNotIn('adb: ', ''.join(tunnel.output))

    def wait_hanging(self):
        with open(self.file('fifo'), encoding='utf-8') as file:
            self.assertEqual(file.read(), 'x')

    def test_ends_while_it_connects(self):
        self.touch('connect-hangs')
        tunnel = self.connect()
        listening(tunnel)
        self.wait_hanging()
        self.assertEqual(tunnel.stop(), 0)
        self.assertEqual([line.split()[0] for line in self.log()], ['connect', 'disconnect'])

    def test_ends_at_the_second_signal(self):
        tunnel, _ = self.start()
        self.touch('disconnect-hangs')
        tunnel.process.send_signal(signal.SIGTERM)
        self.wait_hanging()
        self.assertEqual(tunnel.stop(), 0)

    def test_ends_at_once_while_it_connects(self):
        """When the tunnel ends while adb connects, no further command is run."""
        self.touch('connect-hangs')
        self.touch('stubborn')
        tunnel = self.connect()
        listening(tunnel)
        self.wait_hanging()
        tunnel.process.send_signal(signal.SIGINT)
        self.assertEqual(tunnel.stop(), 0)
        self.assertEqual([line.split()[0] for line in self.log()], ['connect'])

    def test_missing(self):
        status, out, err = run('connect', self.url, '--adb', **{**self.extra, 'PATH': '/nonexistent'})
        self.assertEqual((status, out), (1, ''))
        self.assertIn('--adb: there is no program adb in PATH; it is part of the Android platform tools', err)

    def test_usage(self):
        for args, says in ((['--stdio'], '--stdio and --adb exclude each other'),
                           (['--listen', 'unix:s'], '--adb needs a TCP port, which --listen does not open')):
            status, out, err = run('connect', self.url, '--adb', *args, **self.extra)
            self.assertEqual((status, out), (2, ''))
            self.assertIn(says, err)


if __name__ == '__main__':
    unittest.main(verbosity=2)
