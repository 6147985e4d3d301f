# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shared parts of the command's tests: the command as a process whose output can be waited for, a TCP service behind
a gateway, and a terminal."""

import fcntl
import hashlib
import os
import pty
import queue
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

BINARY = os.environ['TCP_TUNNEL_BIN']
DEADLINE = 60
TOKEN = 'a-token-nobody-may-see'
# Not the user's own directory, where the commands of the user are listed.
RUNTIME = tempfile.TemporaryDirectory()

# The tests may have been started with signals ignored, as nohup and the & of a shell do. The programs that the tests
# start do not inherit that.
for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def environment(**extra):
    env = {k: v for k, v in os.environ.items()
           if k not in ('TCP_TUNNEL_TOKEN', 'NO_COLOR', 'NOTIFY_SOCKET')}
    env['LC_ALL'] = 'C.UTF-8'
    env['XDG_CONFIG_HOME'] = env['XDG_CONFIG_DIRS'] = '/nonexistent'
    env['XDG_RUNTIME_DIR'] = os.environ.get('XDG_RUNTIME_DIR_OF_TEST', RUNTIME.name)
    env['GIO_USE_PROXY_RESOLVER'] = 'dummy'
    env['G_DEBUG'] = 'fatal-warnings'
    env.update(extra)
    return {name: value for name, value in env.items() if value is not None}


def skip(test, reason):
    """Skips the test, but fails in CI, where everything has to be tested."""
    if os.environ.get('CI') == 'true':
        test.fail(reason)
    test.skipTest(reason)


def check_glib(output):
    """A warning of GLib is an error of the command, whatever its exit status is."""
    found = re.search(r'.*-(?:CRITICAL|WARNING|ERROR) \*\*.*', output)
    if found:
        raise AssertionError(f'the command printed {found[0]!r}')


def run(*args, cwd=None, **extra):
    """Runs the command to its end, and returns (status, stdout, stderr)."""
    done = subprocess.run([BINARY, *args], env=environment(**extra), cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=DEADLINE)
    check_glib(done.stderr)
    return done.returncode, done.stdout, done.stderr


class Command:
    """The command while it runs. Lines of stdout and stderr can be read as they are written; `output` keeps all of
    them."""

    def __init__(self, *args, cwd=None, binary=BINARY, **extra):
        self.process = self._spawn([binary, *args], env=environment(**extra), cwd=cwd,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.stdout = queue.Queue()
        self.stderr = queue.Queue()
        self.output = []
        self.readers = []
        for stream, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr)):
            reader = threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            reader.start()
            self.readers.append(reader)

    def _spawn(self, command, **how):
        return subprocess.Popen(command, **how)

    def _read(self, stream, lines):
        for line in stream:
            self.output.append(line)
            lines.put(line.rstrip('\n'))
        lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def line(self):
        """Returns the next line of stdout."""
        line = self.stdout.get(timeout=DEADLINE)
        if line is None:
            raise AssertionError(f'stdout ended; all there was: {self.output}')
        return line

    def error_line(self, pattern):
        """Returns the next line of stderr that matches."""
        end = time.monotonic() + DEADLINE
        while True:
            line = self.stderr.get(timeout=max(0, end - time.monotonic()))
            if line is None:
                raise AssertionError(f'no {pattern!r} in {self.output}')
            if re.search(pattern, line):
                return line

    def wait(self):
        """Waits for the end, and returns the status."""
        status = self.process.wait(timeout=DEADLINE)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        check_glib(''.join(self.output))
        return status

    def stop(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        return self.wait()


# Passes its descriptors from 3 on together with the process id that they are for, as a service manager does.
LAUNCHER = '''
import os, sys
os.environ['LISTEN_PID'] = os.environ.pop('PID', str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
'''


class Activated(Command):
    """The command with inherited sockets. `names` is None if they have no names."""

    def __init__(self, sockets, names, *args, **extra):
        self.sockets = sockets
        super().__init__(*args, **{'LISTEN_FDS': str(len(sockets)),
                                   **({} if names is None else {'LISTEN_FDNAMES': ':'.join(names)}), **extra})

    def _spawn(self, command, **how):
        # Numbers that none of the descriptors has, so that none overwrites another.
        high = [os.dup2(one.fileno(), 900 + i) for i, one in enumerate(self.sockets)]

        def place():
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)

        try:
            return super()._spawn([sys.executable, '-c', LAUNCHER, *command], preexec_fn=place, close_fds=False, **how)
        finally:
            for fd in high:
                os.close(fd)


def listening(command):
    """Returns the address in the first line of a `connect`, as (host, port)."""
    match = re.fullmatch(r'listening on (?:\[(::1)\]|(127\.0\.0\.1)):(\d+)', command.line())
    return match[1] or match[2], int(match[3])


def peak_memory(pid):
    """Returns the maximum memory that a process has used, in bytes."""
    with open(f'/proc/{pid}/status', encoding='utf-8') as file:
        return int(re.search(r'^VmHWM:\s+(\d+) kB', file.read(), re.M)[1]) * 1024


def wait_until(condition, what):
    """Polls a condition that no event reports, and returns its value; `what` makes the message for the case that it
    does not become true."""
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(what())
        time.sleep(0.01)
    return value


def certify(test, directory, name, *args):
    """Makes a certificate for 127.0.0.1, NAME.pem, with its key, NAME.key."""
    if shutil.which('openssl') is None:
        skip(test, 'there is no openssl to make a certificate with')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                    '-subj', f'/CN={name}', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2', *args,
                    '-keyout', f'{name}.key', '-out', f'{name}.pem'], cwd=directory, check=True, capture_output=True)


def listening_as(command, names):
    """Returns the addresses in the first lines of an `up`, by name."""
    addresses = {}
    for _ in names:
        match = re.fullmatch(r'(.*): listening on (127\.0\.0\.1):(\d+)', command.line())
        addresses[match[1]] = match[2], int(match[3])
    if sorted(addresses) != sorted(names):
        raise AssertionError(f'{names} were to listen, not {sorted(addresses)}')
    return addresses


def until_told(then=''):
    """Returns a command that prints a line when it runs and another one when it gets SIGTERM."""
    return (f"exec {sys.executable} -c '"
            'import signal; term = [signal.SIGTERM]; signal.pthread_sigmask(signal.SIG_BLOCK, term); '
            f'print("here", flush=True); signal.sigwait(term); print("bye", flush=True); {then}\'')


class Config:
    """A user's directory with a config file in it."""

    def __init__(self, text='', mode=0o600):
        self.directory = tempfile.TemporaryDirectory()
        self.home = self.directory.name
        self.path = os.path.join(self.home, 'tcp-tunnel', 'tunnels.conf')
        self.token = os.path.join(self.home, 'tcp-tunnel', 'token')
        os.mkdir(os.path.dirname(self.path))
        self.write(text, mode)
        with open(self.token, 'w', encoding='utf-8', opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(TOKEN + '\n')

    def write(self, text, mode=0o600):
        with open(self.path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(self.path, mode)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.directory.cleanup()


def gateway(service, *args, token=TOKEN):
    """Starts a gateway, and returns it with its URL."""
    command = Command('gateway', '--target', f'127.0.0.1:{service.port}', *args,
                      TCP_TUNNEL_TOKEN=token)
    return command, re.fullmatch(r'listening on (wss?://127\.0\.0\.1:\d+/)', command.line())[1]


class Away:
    """A gateway that does not run yet: its port is taken, and refuses connections."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.url = f'ws://127.0.0.1:{self.port}/'

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def arrive(self, service, *args):
        command, url = gateway(service, '--listen', str(self.port), *args)
        if url != self.url:
            raise AssertionError(f'the gateway is at {url}, not {self.url}')
        return command


class Service:
    """A TCP server on loopback that reads a length and that many bytes, and answers with their SHA-256 and then the
    bytes themselves."""

    backlog = None

    def __init__(self, handler=None):
        self.handler = handler or self.echo
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=self.backlog)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                self.handler(connection)
            except (OSError, EOFError):
                pass

    @staticmethod
    def echo(connection):
        while True:
            length, = struct.unpack('>I', receive(connection, 4))
            data = receive(connection, length)
            connection.sendall(hashlib.sha256(data).digest() + data)


class Relay:
    """The network between a tunnel and a gateway, which can be cut."""

    def __init__(self, url):
        self.target = ('127.0.0.1', int(re.search(r':(\d+)/', url)[1]))
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.url = 'ws://127.0.0.1:%d/' % self.listener.getsockname()[1]
        self.condition = threading.Condition()
        self.connections = []
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            with self.condition:
                self.connections += [near, far]
                self.accepted += 1
                self.condition.notify_all()
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    @staticmethod
    def _pass(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.condition:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.connections = []

    def wait_accepted(self, number):
        with self.condition:
            if not self.condition.wait_for(lambda: self.accepted >= number, DEADLINE):
                raise AssertionError(f'{self.accepted} connections, not {number}')


def free_port():
    """Returns a port outside the range from which the system assigns ports, so that it is still free a moment later.
    """
    while True:
        try:
            with socket.create_server(('127.0.0.1', random.randrange(10000, 30000))) as listener:
                return listener.getsockname()[1]
        except OSError:
            pass


def receive(connection, length):
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(min(length - len(data), 1 << 18))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def exchange(connection, data):
    """Sends the data through a tunnel to a Service and back; returns whether both the service and this end got what
    was sent."""
    writer = threading.Thread(target=connection.sendall,
                              args=(struct.pack('>I', len(data)) + data,))
    writer.start()
    digest = receive(connection, 32)
    back = receive(connection, len(data))
    writer.join()
    return digest == hashlib.sha256(data).digest() and back == data


def noise(length, seed):
    return random.Random(seed).randbytes(length)


def dial(address):
    return socket.create_connection(address, timeout=DEADLINE)


def knock(address):
    """Connects a TCP client that the tunnel closes, perhaps before the client's connect returns."""
    client = socket.socket()
    client.settimeout(DEADLINE)
    try:
        client.connect(address)
    except ConnectionResetError:
        pass
    return client


class Terminal:
    """The command on a terminal."""

    def __init__(self, *args, columns=80, **extra):
        self.data = ''
        self.condition = threading.Condition()
        self.ended = False
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
        self.process = subprocess.Popen([BINARY, *args], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment(**{'TERM': 'xterm', **extra}),
                                        start_new_session=True)
        os.close(slave)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        data = b''
        while True:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                piece = b''
            with self.condition:
                data += piece
                self.data = data.decode(errors='replace')
                self.ended = not piece
                self.condition.notify_all()
            if not piece:
                return

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        os.close(self.master)

    def plain(self):
        """Returns what was written, without the escape codes."""
        return re.sub(r'\x1b\[[0-9;]*[A-Za-z]', '', self.data)

    def expect(self, pattern):
        """Waits until the plain text contains the pattern."""
        with self.condition:
            self.condition.wait_for(lambda: re.search(pattern, self.plain()) or self.ended, DEADLINE)
            match = re.search(pattern, self.plain())
        if not match:
            raise AssertionError(f'no {pattern!r} in {self.data!r}')
        return match

    def wait(self):
        status = self.process.wait(timeout=DEADLINE)
        self.reader.join()
        check_glib(self.plain())
        return status

    def drawn(self):
        """Returns all pieces that were drawn on one row without a break."""
        return [piece for piece in re.split(r'[\r\n]', self.plain()) if piece]

    def screen(self):
        """Returns the rows that a user sees in the end, including those that have scrolled away."""
        rows = ['']
        row = column = 0
        for token in re.findall(r'\x1b\[[0-9;]*[A-Za-z]|.', self.data, re.DOTALL):
            if token == '\n':
                row += 1
                rows += [''] * (row == len(rows))
            elif token == '\r':
                column = 0
            elif token == '\x1b[A':
                row -= 1
            elif token == '\x1b[K':
                rows[row] = rows[row][:column]
            elif not token.startswith('\x1b'):
                rows[row] = rows[row][:column].ljust(column) + token + rows[row][column + 1:]
                column += 1
        return [row.rstrip() for row in rows]
