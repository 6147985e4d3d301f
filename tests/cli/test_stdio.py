# SPDX-License-Identifier: LGPL-2.1-or-later
"""`connect --stdio`: stdin and stdout as one connection, with a separate end for each direction."""

import hashlib
import os
import queue
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import unittest

from support import (BINARY, DEADLINE, TOKEN, Away, Command, Relay, Service, Terminal, check_glib, dial, environment, gateway,
                     listening, noise, receive, run, until_told)

MIB = 1 << 20


def echo(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def digest(connection):
    """Answers after the end of the input."""
    sha = hashlib.sha256()
    while data := connection.recv(1 << 16):
        sha.update(data)
    connection.sendall(sha.digest())


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')


class Stdio(subprocess.Popen):
    """The command, with pipes unless stdin and stdout are given."""

    def __init__(self, url, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, token=TOKEN, **extra):
        super().__init__([BINARY, 'connect', url, '--stdio', *args], stdin=stdin, stdout=stdout,
                         stderr=subprocess.PIPE, env=environment(TCP_TUNNEL_TOKEN=token, **extra))

    def __exit__(self, *exception):
        if self.poll() is None:
            self.kill()
        super().__exit__(*exception)

    def finish(self, data=None):
        """Writes all data and reads all output; returns (status, stdout, stderr)."""
        out, err = self.communicate(data, timeout=DEADLINE)
        check_glib(err.decode())
        return self.returncode, out, err.decode()

    def expect(self, data):
        """Reads the given data, and fails if the output differs."""
        seen = self.stdout.read(len(data))
        if seen != data:
            raise AssertionError(f'{seen[:80]!r} in place of {data[:80]!r}')


class StdioTest(unittest.TestCase):
    def serve(self, handler, *args):
        """Starts a service behind a gateway, and returns the URL."""
        service = self.enter(Service(handler))
        command, url = gateway(service, *args)
        self.enter(command)
        self.gateway = command
        return url

    def enter(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def check(self, command, status, out=None, message=None, data=None):
        with command:
            result = command.finish(data)
        self.assertEqual(result[0], status, result[2])
        if out is not None:
            self.assertEqual(result[1] == out, True, result[1][:80])
        if message is None:
            self.assertEqual(result[2], '')
        else:
            self.assertRegex(result[2], message)


class Ends(StdioTest):
    def test_question_and_answer(self):
        url = self.serve(digest)
        for args in ((), ('--mode', 'multiplexed'), ('--resumption', 'required')):
            self.check(Stdio(url, *args), 0, hashlib.sha256(b'question').digest(), data=b'question')

    def test_nothing(self):
        self.check(Stdio(self.serve(echo), stdin=subprocess.DEVNULL), 0, b'')

    def test_remote_end(self):
        """The command ends although stdin stays open."""
        def handler(connection):
            connection.sendall(connection.recv(5))

        with Stdio(self.serve(handler)) as command:
            command.stdin.write(b'hello')
            command.stdin.flush()
            self.assertEqual(command.stdout.read(), b'hello')
            self.assertEqual(command.wait(DEADLINE), 0)

    def test_remote_end_first(self):
        """Data that is in stdin at that time is still sent."""
        seen = queue.Queue()

        def handler(connection):
            connection.shutdown(socket.SHUT_WR)
            seen.put(len(b''.join(iter(lambda: connection.recv(1 << 16), b''))))

        url = self.serve(handler)
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        os.write(writing, bytes(50000))
        self.check(Stdio(url, stdin=reading), 0, b'')
        os.close(reading)
        self.assertEqual(seen.get(timeout=DEADLINE), 50000)

    def test_break(self):
        """Part of a stream is not mistaken for the whole."""
        def handler(connection):
            connection.sendall(b'half of ')
            connection.recv(1)
            reset(connection)

        with Stdio(self.serve(handler)) as command:
            command.expect(b'half of ')
            self.check(command, 1, b'', r'^tcp-tunnel connect: .*broke the connection', b'.')

    def test_gateway_dies(self):
        def handler(connection):
            connection.sendall(b'x' * MIB)
            connection.recv(1)

        url = self.serve(handler, '--session-timeout', '1s')
        with Stdio(url, '--max-reconnect-attempts', '1', '--reconnect-delay', '10ms') as command:
            command.expect(b'x' * MIB)
            self.gateway.process.kill()
            self.assertEqual(command.stdout.read(), b'')
            self.assertEqual(command.wait(DEADLINE), 1)
            self.assertRegex(command.stderr.read().decode(), 'cannot be reached|could not be reached|gave up|failed')

    def test_stdin_is_left_over(self):
        """The service closes the connection while the command still writes to it."""
        def handler(connection):
            connection.recv(1000)
            reset(connection)

        url = self.serve(handler)
        with open('/dev/zero', 'rb') as zeros:
            self.check(Stdio(url, stdin=zeros), 1, b'', r'^tcp-tunnel connect: ')

    def test_reader_goes(self):
        def handler(connection):
            while True:
                connection.sendall(b'y\n' * 4096)

        with Stdio(self.serve(handler)) as command:
            command.expect(b'y\n' * 10)
            command.stdout.close()
            self.assertEqual(command.wait(DEADLINE), 1)
            self.assertRegex(command.stderr.read().decode(), '^tcp-tunnel connect: cannot write to stdout: Broken pipe')

    def leave(self, command):
        """The program that started the command ends: it closes its ends of stdin and stdout."""
        command.stdin.close()
        command.stdout.close()
        self.assertEqual(command.wait(DEADLINE), 1)
        error = command.stderr.read().decode()
        check_glib(error)
        self.assertRegex(error, r'(^|\n)tcp-tunnel connect: cannot write to stdout: Broken pipe\n$')

    def test_reader_goes_before_gateway_comes(self):
        """Without a reader the command does not wait for the gateway. The end of stdin alone does not make it give
        up: see test_gateway_comes."""
        away = self.enter(Away())
        for args in ((), ('--mode', 'multiplexed')):
            with self.subTest(args), Stdio(away.url, '--reconnect-delay', '1h', '--max-reconnect-delay', '1h',
                                           *args) as command:
                command.stdin.write(b'data')
                command.stdin.flush()
                self.assertIn(b'waiting for the gateway', command.stderr.readline())
                self.leave(command)

    def test_no_reader_from_the_start(self):
        """If the gateway is there, data from stdin is still sent."""
        seen = queue.Queue()

        def handler(connection):
            seen.put(b''.join(iter(lambda: connection.recv(1 << 16), b'')))

        away = self.enter(Away())
        for args in ((), ('--mode', 'multiplexed')):
            reading, writing = os.pipe()
            os.close(reading)
            with self.subTest(args):
                self.check(Stdio(self.serve(handler), *args, stdout=writing), 0, data=b'data')
                self.assertEqual(seen.get(timeout=DEADLINE), b'data')
                self.check(Stdio(away.url, '--reconnect-delay', '1h', *args, stdout=writing), 1,
                           message='cannot write to stdout: Broken pipe', data=b'data')
            os.close(writing)

    def test_reader_goes_in_outage(self):
        server = self.enter(Away())
        service = self.enter(Service(echo))
        for args in ((), ('--mode', 'multiplexed')):
            first = self.enter(server.arrive(service))
            with self.subTest(args), Stdio(server.url, '--reconnect-delay', '1ms', *args) as command:
                command.stdin.write(b'data')
                command.stdin.flush()
                command.expect(b'data')
                first.process.kill()
                self.assertIn(b'waiting for the gateway', command.stderr.readline())
                self.leave(command)
            first.wait()

    def test_socket_goes(self):
        """A socket is one descriptor for both directions, of which the peer may close one."""
        away = self.enter(Away())
        near, far = socket.socketpair()
        with near, Stdio(away.url, '--reconnect-delay', '1ms', '--max-reconnect-delay', '10ms', stdin=far,
                         stdout=far) as command:
            far.close()
            near.sendall(b'data')
            near.shutdown(socket.SHUT_WR)
            self.assertIn(b'waiting for the gateway', command.stderr.readline())
            arrived = self.enter(away.arrive(self.enter(Service(echo))))
            self.assertEqual(receive(near, 4), b'data')
            self.assertEqual(near.recv(1), b'')
            self.assertEqual(command.wait(DEADLINE), 0)
            arrived.stop()
        near, far = socket.socketpair()
        with Stdio(away.url, '--reconnect-delay', '1h', stdin=far, stdout=far) as command:
            far.close()
            self.assertIn(b'waiting for the gateway', command.stderr.readline())
            near.close()
            self.assertEqual(command.wait(DEADLINE), 1)

    def test_full_disk(self):
        url = self.serve(echo)
        with open('/dev/full', 'wb') as full:
            self.check(Stdio(url, stdout=full), 1, None, 'cannot write to stdout: No space left', b'data')

    def test_no_half_close(self):
        """A gateway that cannot pass on the end of stdin may cut the answer."""
        url = self.serve(digest)
        for mode in ('singleton', 'multiplexed'):
            self.check(Stdio(url, '--mode', mode, '--resumption', 'off'), 1, None, 'half-close', b'question')

        def handler(connection):
            connection.sendall(connection.recv(1))

        # If the service ends first, nothing is lost.
        for mode in ('singleton', 'multiplexed'):
            with Stdio(self.serve(handler), '--mode', mode, '--resumption', 'off') as command:
                command.stdin.write(b'.')
                command.stdin.flush()
                self.assertEqual(command.stdout.read(), b'.')
                self.assertEqual(command.wait(DEADLINE), 0)

    def test_signals(self):
        """A command that is ended by a signal has not succeeded."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            ended = threading.Event()

            def handler(connection):
                try:
                    connection.sendall(b'go')
                    connection.recv(1)
                except OSError:
                    ended.set()

            with Stdio(self.serve(handler)) as command:
                command.expect(b'go')
                command.send_signal(number)
                self.assertEqual(command.wait(DEADLINE), 1)
            self.assertTrue(ended.wait(DEADLINE))


    def test_closed_from_the_start(self):
        """No other file is used as stdin or stdout."""
        url = self.serve(echo)
        for shell, status, message in (('exec "$@" <&-', 0, '^$'),
                                       ('exec "$@" >&-', 1, 'cannot write to stdout: Bad file descriptor'),
                                       ('exec "$@" <&- >&- 2>&-', 0, '^$')):
            done = subprocess.run(['sh', '-c', shell, 'sh', BINARY, 'connect', url, '--stdio'], input='data',
                                  env=environment(TCP_TUNNEL_TOKEN=TOKEN), capture_output=True, text=True,
                                  timeout=DEADLINE)
            self.assertEqual((done.returncode, done.stdout), (status, ''), done.stderr)
            self.assertRegex(done.stderr, message)


class Refused(StdioTest):
    def test_target(self):
        service = Service(echo)
        command, url = gateway(service)
        self.enter(command)
        with service:
            pass
        for args in ((), ('--mode', 'multiplexed')):
            self.check(Stdio(url, *args, stdin=subprocess.DEVNULL), 1, b'', r'(?i)^tcp-tunnel connect: .*refused')

    def test_token(self):
        url = self.serve(echo)
        for args in ((), ('--mode', 'multiplexed')):
            self.check(Stdio(url, *args, token='wrong', stdin=subprocess.DEVNULL), 1, b'', r'^tcp-tunnel connect: .* refused the token \(401.*\n$')

    def test_gateway(self):
        url = self.serve(echo)
        self.gateway.stop()
        self.check(Stdio(url, '--max-reconnect-attempts', '0', stdin=subprocess.DEVNULL), 1, b'', 'onnect')

    def test_gateway_comes(self):
        """A single line reports that the command waits for the gateway."""
        service = self.enter(Service(echo))
        for args in ((), ('--mode', 'multiplexed')):
            away = self.enter(Away())
            with self.subTest(args), Stdio(away.url, '--reconnect-delay', '1ms', '--max-reconnect-delay', '20ms',
                                           *args) as command:
                line = command.stderr.readline().decode()
                self.assertRegex(line, rf'^tcp-tunnel connect: the gateway {away.url} cannot be reached: .*refused.*; '
                                 r'waiting for the gateway, the next attempt is in \d+ s\n$')
                self.enter(away.arrive(service))
                self.assertEqual(command.finish(b'data'), (0, b'data', ''))

    def test_gateway_does_not_come(self):
        away = self.enter(Away())
        for args in ((), ('--mode', 'multiplexed')):
            self.check(Stdio(away.url, '--wait=no', *args, stdin=subprocess.DEVNULL), 1, b'',
                       r'^tcp-tunnel connect: the gateway .* cannot be reached: .*refused.*\n$')
            self.check(Stdio(away.url, '--max-reconnect-attempts', '1', '--reconnect-delay', '1ms', *args,
                             stdin=subprocess.DEVNULL), 1, b'',
                       r'^tcp-tunnel connect: .*; waiting for the gateway, .*\n'
                       r'tcp-tunnel connect: gave up after 1 attempt: .*refused.*\n$')

    def test_gateway_goes(self):
        """A short outage is not reported in the middle of a session, a longer one is."""
        server = self.enter(Away())
        service = self.enter(Service(echo))
        first = self.enter(server.arrive(service))
        relay = self.enter(Relay(server.url))
        with Stdio(relay.url, '--reconnect-delay', '1ms') as command:
            command.stdin.write(b'one')
            command.stdin.flush()
            command.expect(b'one')
            relay.cut()
            relay.wait_accepted(2)
            command.stdin.write(b'two')
            command.stdin.flush()
            command.expect(b'two')
            first.process.kill()
            self.assertRegex(command.stderr.readline().decode(),
                             '^tcp-tunnel connect: .*; waiting for the gateway, the next attempt is in ')
            command.kill()

    def test_usage(self):
        for args in (('--listen', '0'), ('--json',), ('--on-ready', 'true')):
            status, out, err = run('connect', 'ws://127.0.0.1:1/', '--stdio', *args, TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual((status, out), (2, ''))
            self.assertIn(args[0], err)
            self.assertIn('--stdio', err)


class Data(StdioTest):
    def test_pipes(self):
        """Data in both directions at once, while the connection is cut."""
        data = noise(24 * MIB, 1)
        relay = self.enter(Relay(self.serve(echo)))
        with Stdio(relay.url, '--reconnect-delay', '10ms') as command:
            def write():
                for i in range(0, len(data), 4 * MIB):
                    relay.cut()
                    command.stdin.write(data[i:i + 4 * MIB])
                command.stdin.close()

            writer = threading.Thread(target=write)
            writer.start()
            self.assertTrue(command.stdout.read() == data)
            writer.join()
            self.assertEqual(command.wait(DEADLINE), 0)
            self.assertEqual(command.stderr.read(), b'')
        self.assertGreater(relay.accepted, 1)

    def test_files(self):
        data = noise(16 * MIB, 2)
        url = self.serve(echo)
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
            source.write(data)
            source.seek(0)
            self.check(Stdio(url, stdin=source, stdout=sink), 0)
            sink.seek(0)
            self.assertTrue(sink.read() == data)

    def test_sockets(self):
        """A single non-blocking socket for both directions, as with inetd."""
        data = noise(8 * MIB, 3)
        near, far = socket.socketpair()
        far.setblocking(False)
        with near, Stdio(self.serve(echo), stdin=far, stdout=far) as command:
            far.close()
            writer = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
            writer.start()
            back = bytearray()
            while piece := near.recv(1 << 18):
                back += piece
            writer.join()
            self.assertTrue(back == data)
            self.assertEqual(command.wait(DEADLINE), 0)

    def test_terminal(self):
        url = self.serve(echo)
        with Terminal('connect', url, '--stdio', TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            # Switches off the terminal's own echo.
            settings = termios.tcgetattr(terminal.master)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(terminal.master, termios.TCSANOW, settings)
            os.write(terminal.master, b'hello\n')
            terminal.expect('hello')
            os.write(terminal.master, b'\x04')
            self.assertEqual(terminal.wait(), 0)
            self.assertEqual(terminal.data, 'hello\r\n')

    def test_only_data(self):
        self.check(Stdio(self.serve(echo), '--log-level', 'debug'), 0, b'data', 'debug', b'data')

    def test_back_pressure(self):
        """Data that is not read from stdout is not read from the service without a limit, and none of it is lost."""
        block = noise(MIB, 4)
        progress = threading.Condition()
        sent = [0]

        def handler(connection):
            for _ in range(384):
                connection.sendall(block)
                with progress:
                    sent[0] += 1
                    progress.notify_all()

        with Stdio(self.serve(handler)) as command:
            with progress:
                self.assertTrue(progress.wait_for(lambda: sent[0] > 0, DEADLINE))
                while progress.wait(1):
                    pass
                self.assertLess(sent[0], 256)
            for _ in range(384):
                command.expect(block)
            self.assertEqual(command.stdout.read(), b'')
            self.assertEqual(command.wait(DEADLINE), 0)

    def test_slow_sides_apart(self):
        """A stdout that is not read does not delay stdin."""
        got = threading.Event()

        def handler(connection):
            writer = threading.Thread(target=connection.sendall, args=(bytes(MIB),))
            writer.start()
            left = 8 * MIB
            while left > 0:
                left -= len(connection.recv(1 << 16))
            got.set()
            writer.join()

        with Stdio(self.serve(handler)) as command:
            command.stdin.write(bytes(8 * MIB))
            command.stdin.flush()
            self.assertTrue(got.wait(DEADLINE))
            self.assertEqual(command.stdout.read(), bytes(MIB))
            self.assertEqual(command.wait(DEADLINE), 0)


class Traces(StdioTest):
    def test_no_file_is_left(self):
        url = self.serve(echo)
        with tempfile.TemporaryDirectory() as directory:
            with Stdio(url, TMPDIR=directory) as command:
                command.stdin.write(b'hello')
                command.stdin.flush()
                command.expect(b'hello')
                self.assertEqual(os.listdir(directory), [])
                self.assertEqual(command.finish()[0], 0)
            self.check(Stdio(url, token='wrong', TMPDIR=directory), 1, b'', '401', b'')
            self.assertEqual(os.listdir(directory), [])

    def test_hang_up_while_it_starts(self):
        """SIGHUP ends a command whose gateway does not answer, as when ssh is interrupted."""
        with socket.create_server(('127.0.0.1', 0)) as silent, tempfile.TemporaryDirectory() as directory:
            url = 'ws://127.0.0.1:%d/' % silent.getsockname()[1]
            with Stdio(url, '--mode', 'multiplexed', TMPDIR=directory) as command:
                connection, _ = silent.accept()
                with connection:
                    self.assertEqual(os.listdir(directory), [])
                    command.send_signal(signal.SIGHUP)
                    self.assertEqual(command.finish()[0], 1)
            self.assertEqual(os.listdir(directory), [])


class Listen(StdioTest):
    def test_unix(self):
        url = self.serve(echo)
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'socket')
            with Command('connect', url, '--listen', f'unix:{path}', TCP_TUNNEL_TOKEN=TOKEN) as command:
                self.assertEqual(command.line(), f'listening on unix:{path}')
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(DEADLINE)
                    client.connect(path)
                    client.sendall(b'hello')
                    self.assertEqual(client.recv(5), b'hello')
                status, out, err = run('connect', url, '--listen', f'unix:{path}', TCP_TUNNEL_TOKEN=TOKEN)
                self.assertEqual((status, out), (1, ''))
                self.assertIn(f'cannot listen on the Unix socket {path}: a running program listens there', err)
                self.assertEqual(command.stop(), 0)
            self.assertEqual(os.listdir(directory), [])

    def test_hang_up(self):
        """When the terminal is closed, the command of the tunnel ends as well, and nothing is left."""
        url = self.serve(echo)
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'socket')
            with Command('connect', url, '--listen', f'unix:{path}', '--on-ready', until_told(),
                         TCP_TUNNEL_TOKEN=TOKEN) as command:
                command.error_line('^here$')
                self.assertEqual(command.stop(signal.SIGHUP), 0)
                command.error_line('^bye$')
            self.assertEqual(os.listdir(directory), [])

    def test_ignored_signals(self):
        """Ignored signals stay ignored: nohup ignores SIGHUP, and the shell of a script ignores SIGINT for commands
        that it starts with &."""
        url = self.serve(echo)
        for ignored, other in ((signal.SIGHUP, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                               (signal.SIGTERM, signal.SIGINT)):
            before = signal.signal(ignored, signal.SIG_IGN)
            with self.subTest(ignored), Command('connect', url, TCP_TUNNEL_TOKEN=TOKEN) as command:
                signal.signal(ignored, before)
                address = listening(command)
                command.process.send_signal(ignored)
                with dial(address) as client:
                    client.sendall(b'hello')
                    self.assertEqual(client.recv(5), b'hello')
                self.assertEqual(command.stop(other), 0)

    def test_relative(self):
        url = self.serve(echo)
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            self.addCleanup(os.chdir, before)
            with Command('connect', url, '--listen', 'unix:here', '--json', TCP_TUNNEL_TOKEN=TOKEN) as command:
                self.assertIn('"unix:here"', command.line())
                self.assertEqual(os.listdir(directory), ['here'])
                command.stop()
            os.chdir(before)

    def test_bad(self):
        for path in ('', 'x' * 108):
            status, out, err = run('connect', 'ws://127.0.0.1:1/', '--listen', f'unix:{path}', TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual((status, out), (2, ''))
            self.assertIn('Unix socket', err)


if __name__ == '__main__':
    unittest.main()
