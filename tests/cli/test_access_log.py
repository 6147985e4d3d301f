# SPDX-License-Identifier: LGPL-2.1-or-later
"""The access log of a gateway: one line for each connection, whatever the log is written to and however slow that is.
"""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from support import BINARY, DEADLINE, TOKEN, Command, Relay, Service, environment, exchange, listening, run, skip, wait_until


class AccessLogTest(unittest.TestCase):
    def setUp(self):
        self.service = self.enterContext(Service())
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.directory, 'access.log')

    def serve(self, log, *args):
        self.gateway = self.enterContext(Command('gateway', '--target', f'127.0.0.1:{self.service.port}', '--access-log', log,
                                                 '--admin', '127.0.0.1:0', *args, TCP_TUNNEL_TOKEN=TOKEN))
        self.admin = re.search(r'http://.*/$', self.gateway.error_line('status and metrics are at'))[0]
        self.url = re.fullmatch(r'listening on (.*)', self.gateway.line())[1]

    def connect(self, *args, url=None):
        tunnel = self.enterContext(Command('connect', url or self.url, '--mode', 'multiplexed', *args, TCP_TUNNEL_TOKEN=TOKEN))
        return listening(tunnel)

    def use(self, address, size=1000):
        with socket.create_connection(address, DEADLINE) as client:
            self.assertTrue(exchange(client, b'x' * size))

    def metric(self, name):
        with urllib.request.urlopen(self.admin + 'metrics', timeout=DEADLINE) as response:
            return int(float(re.search(rf'(?m)^tcptunnel_access_log_{re.escape(name)} (.*)$', response.read().decode())[1]))

    def wait_for(self, name, value):
        wait_until(lambda: self.metric(name) >= value, lambda: f'{name} is {self.metric(name)}, not {value}')

    @staticmethod
    def read(path):
        with open(path, encoding='utf-8') as file:
            return [json.loads(line) for line in file]


class File(AccessLogTest):
    def test_line(self):
        before = datetime.now(timezone.utc)
        self.serve(self.path)
        self.use(self.connect(), 5000)
        self.wait_for('lines_total', 1)
        line, = self.read(self.path)
        opened = datetime.fromisoformat(line.pop('time'))
        self.assertTrue(before <= opened <= datetime.now(timezone.utc))
        self.assertRegex(line.pop('client'), r'^127\.0\.0\.1:\d+$')
        self.assertLess(line.pop('duration_ms'), DEADLINE * 1000)
        self.assertEqual(line, {'id': 1, 'principal': 'default', 'proxy': None, 'target': f'127.0.0.1:{self.service.port}',
                                'bytes_to_target': 5004, 'bytes_to_client': 5032, 'resumes': 0, 'end': 'closed', 'error': None})
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode) & 0o027, 0)

    def test_resumes(self):
        self.serve(self.path)
        relay = self.enterContext(Relay(self.url))
        with socket.create_connection(self.connect('--reconnect-delay', '10ms', url=relay.url), DEADLINE) as client:
            for i in range(3):
                self.assertTrue(exchange(client, b'x' * 1000))
                relay.cut()
                relay.wait_accepted(i + 2)
            self.assertTrue(exchange(client, b'x' * 1000))
        self.wait_for('lines_total', 1)
        line, = self.read(self.path)
        self.assertEqual((line['resumes'], line['bytes_to_target'], line['end']), (3, 4016, 'closed'))

    def test_errors(self):
        """Connections that are not allowed, or fail, have a line as well."""
        self.serve(self.path, '--allow', '*.invalid:*')
        for target in ('gone.invalid:1', '192.0.2.1:1'):
            address = self.connect('--target', target)
            try:
                with socket.create_connection(address, DEADLINE) as client:
                    self.assertEqual(client.recv(1), b'')
            except ConnectionError:
                pass
        self.wait_for('lines_total', 2)
        lines = self.read(self.path)
        self.assertEqual([line['end'] for line in lines], ['target', 'forbidden'])
        self.assertIn('cannot be reached', lines[0]['error'])
        self.assertEqual(lines[1]['target'], '192.0.2.1:1')

    def test_end(self):
        """The lines of connections that end together with the gateway are written before it exits."""
        self.serve(self.path, '--drain-timeout', '0')
        address = self.connect()
        clients = [self.enterContext(socket.create_connection(address, DEADLINE)) for _ in range(20)]
        for client in clients:
            self.assertTrue(exchange(client, b'x'))
        self.assertEqual(self.gateway.stop(), 0)
        self.assertEqual([line['end'] for line in self.read(self.path)], ['closed'] * 20)

    def test_append_and_rotate(self):
        Path(self.path).write_text('{"old": true}\n')
        self.serve(self.path)
        address = self.connect()
        self.use(address)
        self.wait_for('lines_total', 1)
        self.assertEqual(len(self.read(self.path)), 2)

        moved = self.path + '.1'
        os.rename(self.path, moved)
        self.use(address)
        self.wait_for('lines_total', 2)
        self.assertEqual(len(self.read(moved)), 3)
        self.gateway.process.send_signal(signal.SIGUSR1)
        self.use(address)
        self.wait_for('lines_total', 3)
        self.use(address)
        self.wait_for('lines_total', 4)
        self.assertEqual(len(self.read(moved)) + len(self.read(self.path)), 5)
        self.assertGreaterEqual(len(self.read(self.path)), 1)
        self.assertEqual(self.gateway.stop(), 0)

    def test_reopen_fails(self):
        """If the file cannot be opened again, the gateway continues to write the old one."""
        self.serve(self.path)
        address = self.connect()
        os.rename(self.path, self.path + '.1')
        os.mkdir(self.path)
        self.gateway.process.send_signal(signal.SIGUSR1)
        self.gateway.error_line('cannot be opened again, and is written where it was')
        self.use(address)
        self.wait_for('lines_total', 1)
        self.assertEqual(len(self.read(self.path + '.1')), 1)

    def test_signal_without_log(self):
        with Command('gateway', '--target', '127.0.0.1:1', TCP_TUNNEL_TOKEN=TOKEN) as gateway:
            gateway.line()
            gateway.process.send_signal(signal.SIGUSR1)
            self.assertEqual(gateway.stop(), 0)

    def test_full(self):
        """A disk without room is reported once and counted, and no connection waits for it."""
        self.serve('/dev/full')
        address = self.connect()
        for _ in range(5):
            self.use(address)
        self.wait_for('lost_total{reason="error"}', 5)
        self.assertEqual(self.gateway.stop(), 0)
        said = [line for line in self.gateway.output if 'No space left' in line]
        self.assertEqual(len(said), 1, self.gateway.output)

    def test_cannot_open(self):
        status, stdout, stderr = run('gateway', '--target', 'localhost:1', '--access-log', '/nonexistent/log', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, stdout), (1, ''))
        self.assertIn('the access log /nonexistent/log cannot be opened: No such file or directory', stderr)

    def test_stdout(self):
        self.serve('-')
        address = self.connect()
        for i in range(3):
            self.use(address)
            self.assertEqual(json.loads(self.gateway.line())['id'], i + 1)


class Slow(AccessLogTest):
    def test_slow(self):
        """A pipe that nothing reads: connections continue, lines without room are dropped and counted, and the exit
        does not wait."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.serve(self.path)
        address = self.connect()
        with ThreadPoolExecutor(8) as pool:
            def use_many(_):
                for _ in range(650):
                    self.use(address, 1)
            list(pool.map(use_many, range(8)))
        self.wait_for('lost_total{reason="slow"}', 1)
        self.gateway.error_line('written too slowly')
        # The pipe contains complete lines, except for the last one.
        data = b''
        while data.count(b'\n') < 1000:
            try:
                data += os.read(reader, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
        for line in data.split(b'\n')[:-1]:
            json.loads(line)
        self.assertEqual(self.gateway.stop(), 0)
        self.assertTrue([line for line in self.gateway.output if 'lines are lost' in line])


JOURNAL = r'''
import os, signal, socket, subprocess, sys
os.makedirs('/run/systemd/journal')
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind('/run/systemd/journal/socket')
journal.settimeout(60)
gateway = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(gateway.stdout.readline(), end='', flush=True)
entry = journal.recv(1 << 16)
sys.stdout.buffer.write(entry)
gateway.terminate()
sys.exit(gateway.wait())
'''


class Journal(AccessLogTest):
    def test_journal(self):
        """The entries of the journal have fields. Its socket has a fixed path, which the test replaces within a mount
        namespace."""
        namespace = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs none /run && exec "$@"', 'sh']
        if shutil.which('unshare') is None or subprocess.run([*namespace, 'true'], capture_output=True).returncode != 0:
            skip(self, 'there are no mount namespaces')
        process = subprocess.Popen([*namespace, sys.executable, '-c', JOURNAL, BINARY, 'gateway', '--target',
                                    f'127.0.0.1:{self.service.port}', '--access-log', 'journal'],
                                   env=environment(TCP_TUNNEL_TOKEN=TOKEN), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        self.url = process.stdout.readline().decode().removeprefix('listening on ').rstrip()
        self.use(self.connect(), 5000)
        stdout, stderr = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 0, stderr)
        fields = dict(line.split('=', 1) for line in stdout.decode().splitlines() if '=' in line)
        self.assertEqual((fields['PRIORITY'], fields['TCP_TUNNEL_PRINCIPAL'], fields['TCP_TUNNEL_BYTES_TO_TARGET']),
                         ('6', 'default', '5004'))
        self.assertEqual(fields['TCP_TUNNEL_TARGET'], f'127.0.0.1:{self.service.port}')
        self.assertEqual(fields['TCP_TUNNEL_END'], 'closed')
        self.assertRegex(fields['MESSAGE'], r'^connection 1 of default from 127\.0\.0\.1:\d+ to .*: closed, 5004 bytes')
        self.assertNotIn('TCP_TUNNEL_PROXY', fields)

    def test_no_journal(self):
        if os.path.exists('/run/systemd/journal/socket'):
            skip(self, 'there is a journal')
        status, _, stderr = run('gateway', '--target', 'localhost:1', '--access-log', 'journal', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual(status, 1)
        self.assertIn('the access log cannot be written to the journal', stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
