# SPDX-License-Identifier: LGPL-2.1-or-later
"""`tcp-tunnel status`: the state of a user's running commands, for people and for programs."""

import json
import os
import re
import signal
import socket
import stat
import struct
import tempfile
import threading
import time
import unittest

from support import DEADLINE, TOKEN, Away, Command, Config, Service, Terminal, exchange, gateway, listening, listening_as, run


class Status(unittest.TestCase):
    def setUp(self):
        self.runtime = tempfile.TemporaryDirectory()
        self.addCleanup(self.runtime.cleanup)
        self.sockets = os.path.join(self.runtime.name, 'tcp-tunnel')
        os.environ['XDG_RUNTIME_DIR_OF_TEST'] = self.runtime.name
        self.addCleanup(os.environ.pop, 'XDG_RUNTIME_DIR_OF_TEST')
        self.service = self.enterContext(Service())

    def gateway(self, *args):
        command, url = gateway(self.service, *args)
        self.enterContext(command)
        return command, url

    def processes(self):
        status, stdout, _ = run('status', '--json')
        shown = json.loads(stdout)
        self.assertEqual(shown['event'], 'status')
        self.assertEqual(status, 0 if shown['processes'] else 1)
        return shown['processes']

    def until(self, condition):
        """Waits until the condition holds for the processes, and returns them."""
        end = time.monotonic() + DEADLINE
        while True:
            processes = self.processes()
            if condition(processes):
                return processes
            if time.monotonic() > end:
                self.fail(f'it never came to that: {processes}')

    def test_nothing(self):
        status, stdout, stderr = run('status')
        self.assertEqual((status, stdout, stderr), (1, 'No tunnel or gateway of this user is running.\n', ''))
        self.assertEqual(self.processes(), [])

    def test_usage(self):
        status, _, stderr = run('status', 'phone')
        self.assertEqual(status, 2)
        self.assertIn("'phone'", stderr)

    def test_all(self):
        """A gateway, a single tunnel, and two tunnels of the file, one of which has no gateway."""
        far, url = self.gateway()
        with Away() as away, Config() as config, \
                Command('connect', url + '?key=secret', TCP_TUNNEL_TOKEN=TOKEN) as near:
            config.write(f'[defaults]\ntoken-file=token\nreconnect-delay=1h\n[db]\nremote-uri={url}\nmode=multiplexed\n'
                         f'[phone]\nremote-uri={away.url}\nmode=multiplexed\n')
            with Command('up', XDG_CONFIG_HOME=config.home) as several:
                address = '%s:%d' % listening(near)
                db = '%s:%d' % listening_as(several, ['db'])['db']
                several.error_line('waiting for the gateway')
                with socket.create_connection(address.rsplit(':', 1), DEADLINE) as client:
                    self.assertTrue(exchange(client, b'x' * 100_000))
                    processes = self.until(lambda processes: sum(len(p.get('tunnels', [])) for p in processes) == 3 and
                                           processes[0]['gateways'][0]['bytes_sent'] >= 100_000)
                    text = run('status')[1]
                far_shown, near_shown, several_shown = processes
                self.assertEqual([p['command'] for p in processes], ['gateway', 'connect', 'up'])
                self.assertEqual([p['pid'] for p in processes], [far.process.pid, near.process.pid, several.process.pid])
                served, = far_shown['gateways']
                self.assertEqual((served['address'], served['state'], served['open_connections']), (url, 'listening', 1))
                carried, = near_shown['tunnels']
                self.assertEqual((carried['address'], carried['state'], carried['name']), (address, 'connected', url))
                self.assertEqual((carried['open_connections'], carried['protocol']), (1, 'resumable/1'))
                self.assertGreaterEqual(carried['bytes_sent'], 100_000)
                self.assertGreaterEqual(carried['bytes_received'], 100_000)
                tunnels = {tunnel['name']: tunnel for tunnel in several_shown['tunnels']}
                self.assertEqual((tunnels['db']['address'], tunnels['db']['state']), (db, 'connected'))
                self.assertNotIn('error', tunnels['db'])
                self.assertEqual(tunnels['phone']['error']['code'], 'unreachable')
                self.assertTrue(0 < tunnels['phone']['retry_in_ms'] <= 3_600_000)
                self.assertNotIn('secret', json.dumps(processes) + text)
                self.assertNotIn(TOKEN, json.dumps(processes) + text)

                self.assertRegex(text, rf'(?m)^gateway, process {far.process.pid}, for \d+ s$')
                self.assertRegex(text, rf'(?m)^  {re.escape(url[5:])} +{address} +connected +1 open  up 97\.7 KiB  down 97\.7 KiB')
                self.assertRegex(text, r'(?m)^    next attempt in \d+ s: .*refused')
                self.assertEqual(several.stop(), 0)
            self.assertEqual(near.stop(), 0)
        self.assertEqual(len(self.until(lambda processes: len(processes) == 1)), 1)
        far.stop()
        self.assertEqual(os.listdir(self.sockets), [])

    def test_left_behind(self):
        """A process that is killed leaves its socket, which the next status removes."""
        far, _ = self.gateway()
        self.assertEqual(len(self.processes()), 1)
        path, = (os.path.join(self.sockets, name) for name in os.listdir(self.sockets))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.sockets).st_mode), 0o700)
        far.process.kill()
        far.wait()
        self.assertEqual(os.listdir(self.sockets), [os.path.basename(path)])
        self.assertEqual(self.processes(), [])
        self.assertEqual(os.listdir(self.sockets), [])

    def test_left_behind_by_another(self):
        """The process id may be that of another process by now."""
        path = os.path.join(self.runtime.name, 'tcp-tunnel', '1-00000000.sock')
        os.mkdir(self.sockets)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        self.assertEqual(self.processes(), [])
        self.assertFalse(os.path.exists(path))

    def test_many_left_behind(self):
        """However many sockets are left behind, the running processes are found."""
        os.mkdir(self.sockets)
        for number in range(1, 1001):
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(os.path.join(self.sockets, f'{number}-00000000.sock'))
        self.gateway()
        self.assertEqual(len(self.processes()), 1)
        self.assertEqual(len(os.listdir(self.sockets)), 1)

    def test_no_directory(self):
        """Parent directories that are missing are made as well."""
        os.rmdir(self.runtime.name)
        self.gateway()
        self.assertEqual(len(self.processes()), 1)

    def test_idle(self):
        """A tunnel whose client has left is idle until the next one comes, and shows no problem."""
        with Away() as away, Command('connect', away.url, '--mode', 'singleton', '--reconnect-delay', '1h',
                                     TCP_TUNNEL_TOKEN=TOKEN) as command:
            client = socket.create_connection(listening(command), DEADLINE)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            shown, = self.until(lambda processes: 'error' in processes[0]['tunnels'][0])
            self.assertEqual(shown['tunnels'][0]['state'], 'reconnecting')
            client.close()
            shown, = self.until(lambda processes: processes[0]['tunnels'][0]['state'] == 'disconnected')
            self.assertNotIn('retry_in_ms', shown['tunnels'][0])
            self.assertNotIn('error', shown['tunnels'][0])

    def answering(self, answer, pause=0):
        """A socket of another process, which sends any answer, piece by piece."""
        os.mkdir(self.sockets)
        listener = self.enterContext(socket.socket(socket.AF_UNIX))
        listener.bind(os.path.join(self.sockets, f'{os.getpid()}-00000000.sock'))
        listener.listen()
        over = threading.Event()
        self.addCleanup(over.set)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        for i in range(0, len(answer), 1 if pause else len(answer)):
                            connection.sendall(answer[i:] if not pause else answer[i:i + 1])
                            if pause and over.wait(pause):
                                break
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()

    def test_nested_answer(self):
        """The answer is refused, as the parser would use up its stack."""
        self.answering(b'{"a":' + b'[' * 100_000)
        self.assertIn('problem', self.processes()[0])

    def test_answer_with_escapes(self):
        self.answering(json.dumps({'command': 'x\x1b[31m', 'pid': 1, 'problem': '\x1b]0;title\x07\nline'}).encode())
        _, stdout, _ = run('status')
        self.assertEqual(len(stdout.splitlines()), 2)
        self.assertNotIn('\x1b', stdout)

    def test_answer_with_addresses(self):
        gateways = [{'address': 'one', 'addresses': ['one', '\x1b[31m', 3, {}]}, {'address': 'two', 'addresses': {}}]
        self.answering(json.dumps({'command': 'gateway', 'pid': 1, 'gateways': gateways}).encode())
        status, stdout, stderr = run('status')
        self.assertEqual((status, stderr), (0, ''))
        self.assertEqual(len(stdout.splitlines()), 6)
        self.assertNotIn('\x1b', stdout)

    def test_slow_answer(self):
        self.answering(b' ' * 100, pause=0.5)
        self.assertIn('problem', self.processes()[0])

    def test_unix_socket(self):
        path = os.path.join(self.runtime.name, 'gateway')
        with Command('gateway', '--target', f'127.0.0.1:{self.service.port}', '--listen', f'unix:{path}',
                     TCP_TUNNEL_TOKEN=TOKEN) as command:
            command.line()
            shown, = self.processes()
            self.assertEqual(shown['gateways'][0]['address'], f'unix:{path}')
            self.assertEqual(shown['gateways'][0]['addresses'], [f'unix:{path}'])

    def test_several_addresses(self):
        path = os.path.join(self.runtime.name, 'gateway')
        with Command('gateway', '--target', f'127.0.0.1:{self.service.port}', '--listen', '0', '--listen', '127.0.0.1:0',
                     '--listen', f'unix:{path}', TCP_TUNNEL_TOKEN=TOKEN) as command:
            addresses = [command.line().removeprefix('listening on ') for _ in range(3)]
            shown, = self.processes()
            self.assertEqual(shown['gateways'][0]['address'], addresses[0])
            self.assertEqual(shown['gateways'][0]['addresses'], addresses)
            lines = run('status')[1].splitlines()
            self.assertIn(f'  {addresses[0]}  listening  ', lines[1])
            self.assertEqual(lines[2:], [f'    also on {address}' for address in addresses[1:]])
            self.assertEqual(command.stop(), 0)

    def test_changed_path(self):
        """Until its next start, a gateway is shown with the path that it serves."""
        config = os.path.join(self.runtime.name, 'gateway.conf')

        def write(path):
            with open(config, 'w') as file:
                file.write(f'[gateway]\ntarget=127.0.0.1:{self.service.port}\nlisten=127.0.0.1:0;127.0.0.1:0\npath={path}\n')

        write('/a')
        with Command('gateway', '--config', config, '--watch=no', TCP_TUNNEL_TOKEN=TOKEN) as command:
            addresses = [command.line().removeprefix('listening on ') for _ in range(2)]
            write('/b')
            command.process.send_signal(signal.SIGHUP)
            command.error_line('changed keys that take effect at the next start: path$')
            shown, = self.processes()
            self.assertEqual(shown['gateways'][0]['addresses'], addresses)
            self.assertEqual(command.stop(), 0)

    def test_stopped(self):
        """A process that does not answer is shown as such, and delays the output only briefly."""
        far, _ = self.gateway()
        self.gateway()
        far.process.send_signal(signal.SIGSTOP)
        try:
            processes = self.processes()
            self.assertIn('does not answer', run('status')[1])
        finally:
            far.process.send_signal(signal.SIGCONT)
        self.assertEqual(sorted('problem' in process for process in processes), [False, True])

    def test_silent_readers(self):
        """Clients that connect and do not read do not disturb the command, nor lock out others for good."""
        self.gateway()
        path, = (os.path.join(self.sockets, name) for name in os.listdir(self.sockets))
        silent = [socket.socket(socket.AF_UNIX) for _ in range(64)]
        for reader in silent:
            reader.connect(path)
        self.assertEqual(len(self.until(lambda processes: 'problem' not in processes[0])), 1)
        for reader in silent:
            reader.close()

    def test_no_place(self):
        """A directory that others can write to, or a missing one, does not keep the command from running."""
        os.mkdir(self.sockets)
        os.chmod(self.sockets, 0o777)
        command, _ = self.gateway()
        self.assertEqual(os.listdir(self.sockets), [])
        self.assertEqual(command.stop(), 0)
        os.environ['XDG_RUNTIME_DIR_OF_TEST'] = '/dev/null/runtime'
        command, _ = self.gateway()
        self.assertEqual(self.processes(), [])
        self.assertEqual(command.stop(), 0)

    def test_service(self):
        """A unit has a runtime directory of its own."""
        with tempfile.TemporaryDirectory() as directory:
            command, _ = gateway(self.service)
            command.stop()
            with Command('gateway', '--target', f'127.0.0.1:{self.service.port}', TCP_TUNNEL_TOKEN=TOKEN,
                         RUNTIME_DIRECTORY=directory) as command:
                command.line()
                self.assertEqual(len(os.listdir(directory)), 1)
                self.assertEqual(command.stop(), 0)
            self.assertEqual(os.listdir(directory), [])

    def test_watch(self):
        with Terminal('status', '--watch') as terminal:
            terminal.expect('No tunnel or gateway')
            far, _ = self.gateway()
            terminal.expect(f'gateway, process {far.process.pid}')
            terminal.expect('listening +0 open  up 0 B  down 0 B')
            self.assertLessEqual(max(map(len, terminal.drawn())), 80)
            far.stop()
            terminal.expect('No tunnel or gateway')
            terminal.process.send_signal(signal.SIGINT)
            self.assertEqual(terminal.wait(), 0)

    def test_watch_json(self):
        with Command('status', '--watch', '--json') as watch:
            self.assertEqual(json.loads(watch.line())['processes'], [])
            far, url = self.gateway()
            while not (processes := json.loads(watch.line())['processes']):
                pass
            self.assertEqual(processes[0]['gateways'][0]['address'], url)
            self.assertEqual(watch.stop(), 0)


if __name__ == '__main__':
    unittest.main()
