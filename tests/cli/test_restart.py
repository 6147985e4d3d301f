# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gateway's program is replaced by SIGUSR2, and no connection ends."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import (BINARY, DEADLINE, RUNTIME, TOKEN, Activated, Command, Service, certify, dial, environment, free_port,
                     listening, peak_memory, receive, run, wait_until)

RESTARTS = int(os.environ.get('RESTARTS', 20))
PATTERN = random.Random(7).randbytes(1 << 20)

# Replacements of the gateway's program: scripts that get the command's arguments.
BROKEN = '#!/bin/sh\necho "no such library" >&2\nexit 127\n'
CHATS = '#!/bin/sh\nexec yes no such library >&2\n'
HANGS = '#!/bin/sh\nexec sleep 600\n'
FAILS_LATER = '#!/bin/sh\ncase "$*" in *--dry-run*) exec "$REAL" "$@";; esac\nexit 1\n'
KILLED_LATER = '#!/bin/sh\ncase "$*" in *--dry-run*) exec "$REAL" "$@";; esac\nkill -9 $$\n'
# It gets a signal to end before it can handle it.
ENDS_LATER = f'''#!{sys.executable}
import os, signal, sys
if "--dry-run" not in sys.argv:
    os.kill(os.getpid(), signal.SIGTERM)
os.execv(os.environ["REAL"], sys.argv)
'''
# A later version, for which this one wrote the state.
OTHER_VERSION = f'''#!{sys.executable}
import fcntl, os, sys
at = sys.argv.index("--adopt") + 1
data = bytearray(os.pread(int(sys.argv[at]), 1 << 20, 0))
data[12] += 1
fd = os.memfd_create("other", os.MFD_ALLOW_SEALING)
os.write(fd, data)
fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 15)
os.set_inheritable(fd, True)
sys.argv[at] = str(fd)
os.execv(os.environ["REAL"], sys.argv)
'''


class Target(Service):
    """Sends back what it gets, and records how each connection ended."""

    backlog = 500

    def __init__(self):
        self.condition = threading.Condition()
        self.accepted = 0
        self.ends = []
        super().__init__()

    def _serve(self, connection):
        with self.condition:
            self.accepted += 1
            self.condition.notify_all()
        end = 'in order'
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                end = 'reset'
        with self.condition:
            self.ends.append(end)
            self.condition.notify_all()

    def wait_for(self, condition):
        with self.condition:
            if not self.condition.wait_for(condition, DEADLINE):
                raise AssertionError(f'{self.accepted} connections, of which these ended: {self.ends}')

    def wait_ends(self, ends):
        self.wait_for(lambda: len(self.ends) >= len(ends))
        if self.ends != ends:
            raise AssertionError(f'the connections ended so: {self.ends}')


class Program:
    """The command in a file that can be replaced."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, 'tcp-tunnel')
        self.restore()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.directory.cleanup()

    def _rename(self, path):
        os.rename(path, self.path)

    def restore(self):
        os.symlink(BINARY, self.path + '.new')
        self._rename(self.path + '.new')

    def replace(self, script):
        with open(self.path + '.new', 'w', encoding='utf-8') as file:
            file.write(script)
            os.fchmod(file.fileno(), 0o755)
        self._rename(self.path + '.new')


class Gateway(Command):
    def __init__(self, target, *args, program=BINARY, **extra):
        extra = {'TCP_TUNNEL_TOKEN': TOKEN, 'REAL': BINARY, **extra}
        super().__init__('gateway', '--target', f'127.0.0.1:{target.port}', *args, binary=program, **extra)
        self.url = re.fullmatch(r'listening on (wss?://127\.0\.0\.1:\d+/.*|unix:.*)', self.line())[1]

    def restart(self):
        """Restarts the gateway, and waits until the next program serves its clients."""
        self.process.send_signal(signal.SIGUSR2)
        return self.error_line('go on after the restart')


class Load(threading.Thread):
    """A connection that sends data, and checks what comes back, until it is stopped. `pieces` is the number of pieces
    under way."""

    def __init__(self, address, seed, pieces=1):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.pieces = pieces
        self.stopping = False
        self.problem = None
        self.bytes = 0
        self.stall = 0
        self.connection = dial(address)
        self.start()

    def run(self):
        try:
            self._run()
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = problem

    def _run(self):
        waiting = []
        last = time.monotonic()
        while not self.stopping or waiting:
            while not self.stopping and len(waiting) < self.pieces:
                length = self.random.randrange(1, 8192)
                at = self.random.randrange(len(PATTERN) - length)
                piece = PATTERN[at:at + length]
                self.connection.sendall(piece)
                waiting.append(piece)
            piece = waiting.pop(0)
            if receive(self.connection, len(piece)) != piece:
                raise AssertionError('other bytes came back')
            self.bytes += len(piece)
            now = time.monotonic()
            self.stall = max(self.stall, now - last)
            last = now
        self.connection.shutdown(socket.SHUT_WR)
        if self.connection.recv(1) != b'':
            raise AssertionError('something came behind the end')
        self.connection.close()

    def wait_begun(self):
        """Waits until data flows: at a restart, connections that are still being opened would be opened again."""
        wait_until(lambda: self.bytes > 0, lambda: 'a connection does not begin')

    def stop(self):
        self.stopping = True
        self.join(DEADLINE)
        if self.is_alive():
            raise AssertionError('a connection does not go on')
        if self.problem is not None:
            raise self.problem


class Restart(unittest.TestCase):
    def setUp(self):
        self.target = self.enterContext(Target())

    def gateway(self, *args, **extra):
        return self.enterContext(Gateway(self.target, *args, **extra))

    def tunnel(self, url, *args, command='connect', **extra):
        return self.enterContext(Command(command, url, *args, TCP_TUNNEL_TOKEN=TOKEN, **extra))

    def connect(self, url, *args):
        """Makes a connection through a tunnel, over which bytes have passed in both directions."""
        tunnel = self.tunnel(url, *args)
        connection = self.enterContext(dial(listening(tunnel)))
        self.check(connection)
        return tunnel, connection

    def check(self, connection, data=b'something'):
        connection.sendall(data)
        self.assertEqual(receive(connection, len(data)), data)

    def check_end(self, connection):
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(1), b'')

    def assert_reset(self, connection):
        with self.assertRaises(ConnectionError):
            while connection.recv(1 << 16):
                pass
            raise AssertionError('it ended in order')


class Load64(Restart):
    def wait_progress(self, loads, before):
        """Waits until each load has made progress."""
        wait_until(lambda: all(load.bytes >= least + 20000 or not load.is_alive() for load, least in zip(loads, before)),
                   lambda: 'a connection does not go on')

    def test_many(self):
        """All bytes arrive, and no connection ends, however often the gateway is replaced."""
        gateway = self.gateway()
        addresses = [listening(self.tunnel(gateway.url)) for _ in range(2)] * 13
        addresses += [listening(self.tunnel(gateway.url, '--mode', 'multiplexed')) for _ in range(2)] * 13
        addresses += [listening(self.tunnel(gateway.url, '--mode', 'singleton')) for _ in range(12)]
        loads = [Load(address, seed, 1 + seed % 8) for seed, address in enumerate(addresses)]
        self.assertEqual(len(loads), 64)
        pid = gateway.process.pid
        # At a restart, connections that are still being opened would be opened again.
        self.target.wait_for(lambda: self.target.accepted == len(loads))
        self.wait_progress(loads, [0] * len(loads))
        for _ in range(RESTARTS):
            before = [load.bytes for load in loads]
            gateway.restart()
            # Its client may return at once again then.
            time.sleep(1.2)
            self.wait_progress(loads, before)
        for load in loads:
            load.stop()
        self.assertEqual(gateway.process.pid, pid)
        self.assertEqual(self.target.accepted, len(loads))
        self.target.wait_ends(['in order'] * len(loads))
        stall = max(load.stall for load in loads)
        print(f'# {RESTARTS} restarts, {sum(load.bytes for load in loads) >> 20} MiB, longest stall {stall:.3f} s',
              file=sys.stderr)
        self.assertLess(stall, 20)
        self.assertEqual(gateway.stop(), 0)


class Kinds(Restart):
    """The effect of a restart on each kind of connection."""

    def test_idle(self):
        gateway = self.gateway()
        _, idle = self.connect(gateway.url)
        _, other = self.connect(gateway.url)
        for _ in range(3):
            gateway.restart()
        self.check(idle)
        self.check_end(other)
        self.check_end(idle)
        self.target.wait_ends(['in order'] * 2)

    def test_half_closed(self):
        """One direction has ended before the restart, and the other continues."""
        ended, restarted = threading.Event(), threading.Event()

        def answer(connection):
            question = b''
            while data := connection.recv(1 << 16):
                question += data
            ended.set()
            restarted.wait(DEADLINE)
            connection.sendall(question.upper())

        gateway = self.enterContext(Gateway(self.enterContext(Service(answer))))
        half = self.enterContext(dial(listening(self.tunnel(gateway.url))))
        half.sendall(b'question')
        half.shutdown(socket.SHUT_WR)
        self.assertTrue(ended.wait(DEADLINE))
        for _ in range(3):
            gateway.restart()
        restarted.set()
        self.assertEqual(receive(half, 8), b'QUESTION')
        self.assertEqual(half.recv(1), b'')

    def test_raw(self):
        """The target connection is kept. As bytes that were under way may be lost, none are under way here."""
        gateway = self.gateway('--resumption', 'off')
        _, connection = self.connect(gateway.url, '--mode', 'singleton')
        gateway.restart()
        gateway.error_line('is connected from')
        self.check(connection)
        self.assertEqual(self.target.accepted, 1)

    def test_tagged(self):
        gateway = self.gateway('--resumption', 'off')
        tunnel, connection = self.connect(gateway.url, '--mode', 'multiplexed')
        gateway.restart()
        self.assert_reset(connection)
        self.target.wait_ends(['reset'])
        tunnel.error_line('connected|reconnect')
        self.assertEqual(gateway.stop(), 0)

    def test_tls(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        certify(self, directory, 'gateway')
        cert, key = (os.path.join(directory, name) for name in ('gateway.pem', 'gateway.key'))
        gateway = self.gateway('--tls-cert', cert, '--tls-key', key)
        load = Load(listening(self.tunnel(gateway.url, '--ca', cert)), 1, 8)
        load.wait_begun()
        for _ in range(3):
            gateway.restart()
            gateway.error_line('is connected from')
        load.stop()
        self.target.wait_ends(['in order'])

    def test_unix(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(directory, 'gateway')
        gateway = self.gateway('--listen', f'unix:{path}')
        gateway.restart()
        gateway.restart()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
            self.assertIn(b'HTTP/1.1 4', client.recv(1000))
        self.assertEqual(gateway.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_listeners(self):
        """Each listener continues, under connections, and its clients are trusted as before."""
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(directory, 'gateway')
        gateway = self.gateway('--listen', '127.0.0.1:0', '--listen', f'unix:{path}', '--listen', 'localhost:0', '--log-level', 'debug')
        self.assertEqual(gateway.line(), f'listening on unix:{path}')
        third = gateway.line().removeprefix('listening on ').replace('[::1]', '127.0.0.1')
        loads = [Load(listening(self.tunnel(url)), seed, 4) for seed, url in enumerate((gateway.url, third))]
        for load in loads:
            load.wait_begun()
        for _ in range(3):
            gateway.restart()
            for url in gateway.url, third:
                _, connection = self.connect(url)
                self.check_end(connection)
            self.assertEqual(self.get_client(gateway, path), '192.0.2.7')
            host, port = re.search(r'//(.*):(\d+)/', third).groups()
            self.assertEqual(self.get_client(gateway, (host, int(port))), '127.0.0.1')
        for load in loads:
            load.stop()
        self.assertEqual(gateway.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def get_client(self, gateway, address):
        """Sends a request with a wrong token, and returns the address that the gateway logs for its client."""
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
            client.connect(address)
            client.sendall(b'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                           b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 192.0.2.7\r\n'
                           b'Authorization: Bearer wrong\r\n\r\n')
            self.assertIn(b'HTTP/1.1 401', client.recv(1000))
        return re.search('a request from (.*) was answered 401', gateway.error_line('was answered 401'))[1]

    def test_dial(self):
        """The target does not answer before the restart, but after it."""
        full = self.enterContext(socket.create_server(('127.0.0.1', 0), backlog=0))
        address = full.getsockname()
        fillers = []
        while True:
            filler = self.enterContext(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(address)
            except TimeoutError:
                break
            fillers.append(filler)
        gateway = self.gateway('--allow', f'127.0.0.1:{address[1]}', '--log-level', 'debug')
        tunnel = self.tunnel(gateway.url, '--target', f'127.0.0.1:{address[1]}')
        connection = self.enterContext(dial(listening(tunnel)))
        connection.sendall(b'hello')
        gateway.error_line('was opened')
        gateway.restart()
        full.settimeout(DEADLINE)
        while True:
            accepted = self.enterContext(full.accept()[0])
            accepted.settimeout(0.5)
            try:
                data = accepted.recv(5)
            except TimeoutError:
                continue
            if data:
                break
        self.assertEqual(data, b'hello')
        accepted.sendall(b'world')
        self.assertEqual(receive(connection, 5), b'world')

    def test_reverse(self):
        port = free_port()
        gateway = self.gateway('--reverse-ports', f'{port}')
        tunnel = self.tunnel(gateway.url, '--to', str(self.target.port), '--remote-port', str(port), command='reverse')
        self.assertIn(str(port), tunnel.line())
        load = Load(('127.0.0.1', port), 2, 4)
        load.wait_begun()
        for _ in range(3):
            gateway.process.send_signal(signal.SIGUSR2)
            # The connection waits in the backlog, whatever the gateway does meanwhile.
            with dial(('127.0.0.1', port)) as connection:
                self.check(connection)
                self.check_end(connection)
            gateway.error_line('go on after the restart')
        load.stop()
        self.assertEqual(self.target.accepted, 4)
        self.target.wait_ends(['in order'] * 4)

    def test_reverse_after_revocation(self):
        """A listener of a client whose token is not valid any more is closed, however often the gateway is restarted.
        """
        tokens = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'tokens')
        write_file(tokens, f'ann:{TOKEN}\n')
        port = free_port()
        gateway = self.gateway('--reverse-ports', f'{port}', '--token-file', tokens, TCP_TUNNEL_TOKEN=None)
        tunnel = self.tunnel(gateway.url, '--to', str(self.target.port), '--remote-port', str(port), command='reverse')
        tunnel.line()
        tunnel.process.send_signal(signal.SIGSTOP)
        self.addCleanup(tunnel.process.send_signal, signal.SIGCONT)
        write_file(tokens, 'ann:other\n')
        gateway.process.send_signal(signal.SIGHUP)
        gateway.error_line('was asked for another credential')
        gateway.restart()
        end = time.monotonic() + DEADLINE
        with contextlib.suppress(ConnectionRefusedError):
            while time.monotonic() < end:
                socket.create_connection(('127.0.0.1', port)).close()
                time.sleep(0.5)
            raise AssertionError('it still listens')

    def test_client_that_is_away(self):
        """The client's WebSocket breaks at the same moment."""
        gateway = self.gateway()
        tunnel, connection = self.connect(gateway.url)
        tunnel.process.send_signal(signal.SIGSTOP)
        gateway.restart()
        gateway.restart()
        tunnel.process.send_signal(signal.SIGCONT)
        self.check(connection)
        self.check_end(connection)

    def test_newcomers(self):
        """Clients that connect during restarts are served by one program or the other."""
        gateway = self.gateway()
        address = '127.0.0.1', int(re.search(r':(\d+)/', gateway.url)[1])
        request = ('GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                   'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
                   f'Authorization: Bearer {TOKEN}\r\n\r\n').encode()
        stopping = threading.Event()
        answers = []

        def come():
            while not stopping.is_set():
                try:
                    with dial(address) as client:
                        client.sendall(request)
                        answers.append(client.recv(1000)[:12])
                except OSError as problem:
                    answers.append(problem)

        threads = [threading.Thread(target=come) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(6):
            gateway.restart()
        stopping.set()
        for thread in threads:
            thread.join()
        self.assertGreater(len(answers), 6)
        self.assertEqual(set(answers), {b'HTTP/1.1 101'})

    def test_target_that_is_forbidden(self):
        """The next program has other rules."""
        allow = f'127.0.0.1:{self.target.port}'
        program = self.enterContext(Program())
        other = self.enterContext(Target())
        gateway = self.enterContext(Gateway(other, '--allow', allow, program=program.path))
        _, connection = self.connect(gateway.url, '--target', allow)
        _, own = self.connect(gateway.url)
        program.replace(f'#!{sys.executable}\nimport os, sys\nat = sys.argv.index("--allow")\n'
                        'del sys.argv[at:at + 2]\nos.execv(os.environ["REAL"], sys.argv)\n')
        gateway.restart()
        self.check(own)
        self.assert_reset(connection)
        self.target.wait_ends(['reset'])

    def test_tokens_from_a_pipe(self):
        """The next program could not read the tokens again."""
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'tokens')
        os.mkfifo(path)
        writer = threading.Thread(target=write_file, args=(path, f'ann:{TOKEN}\n'))
        writer.start()
        gateway = self.gateway('--token-file', path, TCP_TUNNEL_TOKEN=None)
        writer.join()
        _, connection = self.connect(gateway.url)
        gateway.process.send_signal(signal.SIGUSR2)
        gateway.error_line('was not restarted: .* cannot be read again')
        self.check(connection)

    def test_principal_that_is_gone(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        tokens = os.path.join(directory, 'tokens')
        write_file(tokens, f'ann:{TOKEN}\nbob:other\n')
        gateway = self.gateway('--token-file', tokens, TCP_TUNNEL_TOKEN=None)
        _, connection = self.connect(gateway.url)
        write_file(tokens, 'bob:other\n')
        gateway.process.send_signal(signal.SIGUSR2)
        gateway.error_line('a session of ann did not survive')
        self.target.wait_ends(['reset'])

    def test_principal_of_the_config_file(self):
        """The only token is in the config file."""
        directory = self.enterContext(tempfile.TemporaryDirectory())
        config = os.path.join(directory, 'gateway.conf')
        with open(config, 'w', encoding='utf-8') as file:
            os.chmod(config, 0o600)
            file.write(f'[gateway]\n[principal ann]\ntoken={TOKEN}\n')
        gateway = self.gateway('--config', config, TCP_TUNNEL_TOKEN=None)
        _, connection = self.connect(gateway.url)
        gateway.restart()
        self.check(connection)


class Program_(Restart):
    """Which program takes over, and whether it does."""

    def setUp(self):
        super().setUp()
        self.program = self.enterContext(Program())
        self.running = self.gateway(program=self.program.path)

    def check_stays(self, message):
        tunnel, connection = self.connect(self.running.url)
        self.running.process.send_signal(signal.SIGUSR2)
        self.running.error_line(f'was not restarted: .*{message}')
        self.check(connection)
        self.program.restore()
        self.running.restart()
        self.check(connection)
        self.check_end(connection)
        self.assertEqual(self.target.accepted, 1)
        self.assertEqual(tunnel.stop(), 0)

    def test_broken(self):
        self.program.replace(BROKEN)
        self.check_stays('cannot take over: no such library')

    def test_chats(self):
        """A program that prints endlessly does not use up memory."""
        self.program.replace(CHATS)
        before = peak_memory(self.running.process.pid)
        self.check_stays('cannot take over: no such library')
        self.assertLess(peak_memory(self.running.process.pid) - before, 50000 * 1024)

    def test_missing(self):
        os.unlink(self.program.path)
        self.check_stays('No such file')

    def test_other_version(self):
        self.program.replace(OTHER_VERSION)
        self.check_stays('has version 2, but this program reads version 1')

    def test_runs_the_file(self):
        """The program that is started is the current content of the file."""
        marker = os.path.join(self.program.directory.name, 'marker')
        self.program.replace(f'#!/bin/sh\necho "$@" >>{marker}\nexec "$REAL" "$@"\n')
        _, connection = self.connect(self.running.url)
        self.running.restart()
        self.check(connection)
        with open(marker, encoding='utf-8') as file:
            lines = file.read().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r'^gateway --adopt \d+ --dry-run --target')
        self.assertRegex(lines[1], r'^gateway --adopt \d+ --target')

    def test_fails_later(self):
        """If the next program fails, the connections are reset, and do not look as if they had ended in order."""
        for script in FAILS_LATER, KILLED_LATER:
            with self.subTest(script=script):
                self.program.restore()
                target = self.enterContext(Target())
                gateway = self.enterContext(Gateway(target, program=self.program.path))
                self.connect(gateway.url)
                self.program.replace(script)
                gateway.process.send_signal(signal.SIGUSR2)
                self.assertNotEqual(gateway.wait(), 0)
                target.wait_ends(['reset'])

    def test_ends_meanwhile(self):
        """A signal to end arrives before the next program has reported whether it can take over."""
        self.program.replace(HANGS)
        _, connection = self.connect(self.running.url)
        self.running.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: children(self.running.process.pid), lambda: 'no other program is tried')
        self.running.process.send_signal(signal.SIGTERM)
        self.running.error_line('no new connections are taken')
        self.check(connection)
        self.check_end(connection)
        self.assertEqual(self.running.wait(), 0)

    def test_ends_behind(self):
        """If the next program gets a signal to end, it drains, and connections continue."""
        _, connection = self.connect(self.running.url)
        self.program.replace(ENDS_LATER)
        self.running.process.send_signal(signal.SIGUSR2)
        self.running.error_line('no new connections are taken')
        self.check(connection)
        self.check_end(connection)
        self.assertEqual(self.running.wait(), 0)
        self.target.wait_ends(['in order'])

    def test_twice(self):
        _, connection = self.connect(self.running.url)
        for _ in range(3):
            for _ in range(5):
                self.running.process.send_signal(signal.SIGUSR2)
            self.running.error_line('go on after the restart')
            self.check(connection)
        self.check_end(connection)

    def test_ends_at_once_behind(self):
        """The next program gets a signal that arrived while it was being started."""
        for delay in range(0, 100, 5):
            with self.subTest(delay=delay), Gateway(self.target) as gateway:
                gateway.process.send_signal(signal.SIGUSR2)
                time.sleep(delay / 1000)
                self.assertEqual(gateway.stop(), 0)


class Manager(Restart):
    def test_activation(self):
        """The next program also gets the sockets that the service manager has passed."""
        with socket.create_server(('127.0.0.1', 0)) as one, socket.create_server(('127.0.0.1', 0)) as two:
            gateway = self.enterContext(Activated([one, two], ['web', 'web'], 'gateway', '--target', f'127.0.0.1:{self.target.port}',
                                                  '--listen', 'systemd:web', '--drain-timeout', '0', TCP_TUNNEL_TOKEN=TOKEN))
            urls = ['ws://127.0.0.1:%d/' % listener.getsockname()[1] for listener in (one, two)]
        connections = [self.connect(url)[1] for url in urls]
        for _ in range(2):
            gateway.process.send_signal(signal.SIGUSR2)
            gateway.error_line('go on after the restart: 2')
            for connection in connections:
                self.check(connection)
        for url in urls:
            self.connect(url)
        self.assertEqual(gateway.stop(), 0)

    def test_notifications(self):
        """systemd sees a single process that reloads."""
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'notify')
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(DEADLINE)
            gateway = self.gateway(NOTIFY_SOCKET=path)
            self.assertIn(b'READY=1', manager.recv(1000))
            for _ in range(2):
                gateway.restart()
                self.assertRegex(manager.recv(1000), rb'^RELOADING=1\nMONOTONIC_USEC=\d+$')
                self.assertIn(b'READY=1', manager.recv(1000))
            self.assertEqual(gateway.stop(), 0)
            self.assertEqual(manager.recv(1000), b'STOPPING=1')

    def test_status(self):
        gateway = self.gateway()
        _, connection = self.connect(gateway.url)
        gateway.restart()
        self.check(connection)
        while True:
            status, output, _ = run('status')
            if 'gateway' in output:
                break
        self.assertEqual(status, 0)
        sockets = [name for name in os.listdir(os.path.join(RUNTIME.name, 'tcp-tunnel'))
                   if name.startswith(f'{gateway.process.pid}-')]
        self.assertEqual(len(sockets), 1)

    def test_by_hand(self):
        """The internal options report wrong use."""
        for args in (['--adopt'], ['--adopt', 'x'], ['--adopt', '1']):
            status, _, output = run('gateway', *args, TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual(status, 2, output)
        with tempfile.TemporaryFile() as file:
            done = subprocess.run([BINARY, 'gateway', '--adopt', str(file.fileno()), '--target', '127.0.0.1:1'],
                                  env=environment(TCP_TUNNEL_TOKEN=TOKEN), pass_fds=[file.fileno()], capture_output=True,
                                  text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('does not hold the state of a gateway', done.stderr)

    def test_descriptors(self):
        """No descriptor is left over, however often the gateway is restarted."""
        gateway = self.gateway()
        _, connection = self.connect(gateway.url)
        counts = set()
        for _ in range(6):
            gateway.restart()
            self.check(connection)
            counts.add(len(os.listdir(f'/proc/{gateway.process.pid}/fd')))
        self.assertLessEqual(max(counts) - min(counts), 3)
        self.check_end(connection)


def write_file(path, text):
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='utf-8') as file:
        return file.read().split()


if __name__ == '__main__':
    unittest.main(verbosity=2)
