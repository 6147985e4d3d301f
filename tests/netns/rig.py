# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two machines, which are network namespaces without a name, connected by a path with a given speed, delay and loss;
and the programs that run on them. Everything disappears with the processes, however they end, so that nothing is ever
left behind. No packet leaves these namespaces."""

import contextlib
import ctypes
import json
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

BINARY = os.environ['TCP_TUNNEL_BIN']
PATH = os.environ['NETNS_PATH']
DEADLINE = 60
TOKEN = 'netns'
NEAR, FAR = '10.77.0.1', '10.77.0.2'

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def become_root():
    """Enters a user namespace if the caller is not root and user namespaces are allowed."""
    command = ['unshare', '--user', '--map-root-user', '--net']
    if os.geteuid() != 0 and shutil.which(command[0]) and \
            subprocess.run([*command, 'true'], stderr=subprocess.DEVNULL).returncode == 0:
        os.execvp(command[0], [*command, sys.executable, *sys.argv])


def skip(reason):
    """In CI everything has to be tested, so that a missing program is a failure."""
    if os.environ.get('CI') == 'true':
        raise AssertionError(reason)
    raise unittest.SkipTest(reason)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


class Machine:
    """One of the two machines."""

    def __init__(self, namespace, address):
        self.namespace = namespace
        self.address = address
        self.ip('link', 'set', 'lo', 'up')
        self.ip('link', 'set', 'path0', 'txqueuelen', '10000', 'up')
        self.ip('addr', 'add', f'{address}/24', 'dev', 'path0')
        for name in ('tcp_rmem', 'tcp_wmem'):
            self.write(name, '4096 131072 134217728')

    def prefix(self):
        return ['nsenter', f'--net={self.namespace}', 'setpriv', '--pdeathsig', 'KILL']

    def run(self, *args):
        return subprocess.run([*self.prefix(), *args], check=True, capture_output=True, text=True).stdout

    def ip(self, *args):
        return self.run('ip', *args)

    def write(self, name, value):
        """Sets a value in /proc/sys/net/ipv4, which each network namespace has for itself."""
        self.run('sh', '-c', f'echo {value} >/proc/sys/net/ipv4/{name}')

    def use_congestion_control(self, name):
        """Applies to all later connections from this machine to the other one."""
        self.ip('route', 'replace', '10.77.0.0/24', 'dev', 'path0', 'src', self.address, 'congctl', name)

    @contextlib.contextmanager
    def here(self):
        """This thread opens its sockets on this machine within the block."""
        home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
        there = os.open(self.namespace, os.O_RDONLY)
        try:
            enter(there)
            yield
        finally:
            enter(home)
            os.close(home)
            os.close(there)

    def connect(self, address):
        with self.here():
            connection = socket.create_connection(address, timeout=DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Path:
    """The path, and the two machines at its ends."""

    def __init__(self, **options):
        for tool in 'ip', 'nsenter', 'setpriv':
            if not shutil.which(tool):
                skip(f'there is no {tool}')
        arguments = [f'--{name}={value}' for name, value in options.items()]
        self.process = subprocess.Popen([PATH, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        namespaces = self.process.stdout.readline().split()
        if not namespaces:
            error = self.process.communicate()[1].strip()
            if self.process.returncode == 77:
                skip(f'this is not permitted or not there: {error}')
            raise AssertionError(error)
        self.near = Machine(namespaces[0], NEAR)
        self.far = Machine(namespaces[1], FAR)

    def statistics(self):
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        # Packets that the kernel dropped before they entered the path would be additional loss.
        dropped = [json.loads(machine.ip('-json', '-stats', 'link', 'show', 'path0'))[0]['stats64']['tx']['dropped']
                   for machine in (self.near, self.far)]
        self.process.communicate()
        if exception[0] is None and any(dropped):
            raise AssertionError(f'the path was too slow: {dropped} packets did not get into it')


class Command:
    """A tcp-tunnel command on one of the machines."""

    def __init__(self, machine, *args):
        environment = dict(os.environ, TCP_TUNNEL_TOKEN=TOKEN, GIO_USE_PROXY_RESOLVER='dummy', LC_ALL='C.UTF-8')
        self.process = subprocess.Popen([*machine.prefix(), BINARY, *args, '--log-level=debug'], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.machine = machine
        self.log = queue.Queue()
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        line = self.process.stdout.readline()
        match = re.search(r'(\d+\.\d+\.\d+\.\d+):(\d+)', line)
        if not match:
            raise AssertionError(f'{args[0]} did not start: {line!r} {self.lines}')
        self.address = match[1], int(match[2])

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(f'{time.monotonic():.3f} {line.rstrip()}')
            self.log.put(line)

    def expect(self, pattern):
        """Waits for a line of the log."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                line = self.log.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f'no {pattern!r} in {self.lines}') from None
            if re.search(pattern, line):
                return line

    def count(self, pattern):
        return sum(bool(re.search(pattern, line)) for line in self.lines)

    def connect(self):
        """Opens a TCP connection through the tunnel."""
        return self.machine.connect(self.address)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        if exception[0] is not None:
            print('\n'.join(self.lines[-50:]), file=sys.stderr)


def gateway(path, service, *args):
    return Command(path.far, 'gateway', f'--listen={FAR}:0', f'--target=127.0.0.1:{service.port}', *args)


def tunnel(path, to, *args):
    return Command(path.near, 'connect', *args, f'ws://{to.address[0]}:{to.address[1]}/')


class Service:
    """A TCP server on the far machine. The first byte of a connection chooses what it does with the rest: S counts
    the bytes, B sends without end, and E sends them back."""

    def __init__(self, path):
        with path.far.here():
            self.listener = socket.create_server(('0.0.0.0', 0))
        self.port = self.listener.getsockname()[1]
        self.meters = queue.Queue()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return FAR, self.port

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
                what = connection.recv(1)
                if what == b'S':
                    meter = Meter()
                    self.meters.put(meter)
                    meter.take(connection)
                elif what == b'B':
                    blast(connection)
                elif what == b'E':
                    echo(connection)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Meter:
    """Records how many bytes have arrived at which time."""

    def __init__(self):
        self.readings = [(time.monotonic(), 0)]

    def take(self, connection):
        data = bytearray(1 << 20)
        total = 0
        while n := connection.recv_into(data):
            total += n
            now = time.monotonic()
            if now - self.readings[-1][0] < 0.02:
                self.readings.pop()
            self.readings.append((now, total))

    def wait(self, total):
        """Waits until this many bytes have arrived."""
        deadline = time.monotonic() + DEADLINE
        while self.readings[-1][1] < total and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.readings[-1][1] >= total

    def at(self, when):
        """Returns how many bytes had arrived at this time."""
        before = (self.readings[0][0], 0)
        for reading in self.readings:
            if reading[0] >= when:
                share = (when - before[0]) / max(reading[0] - before[0], 1e-9)
                return before[1] + share * (reading[1] - before[1])
            before = reading
        return before[1]

    def rate(self, begin, end):
        """Returns the rate between two times, in Mbit/s."""
        return (self.at(end) - self.at(begin)) * 8e-6 / (end - begin)


def blast(connection):
    data = bytes(1 << 18)
    while True:
        connection.sendall(data)


def echo(connection):
    data = bytearray(1 << 16)
    while n := connection.recv_into(data):
        connection.sendall(memoryview(data)[:n])


def end(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def start(function, *args):
    """Runs the function in a thread, until the sockets that it uses are closed."""
    def body():
        try:
            function(*args)
        except OSError:
            pass

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def measure(service, connect, upload, begin, end_):
    """Returns the rate of one stream, in Mbit/s between two times after it was opened."""
    connection = connect()
    opened = time.monotonic()
    connection.sendall(b'S' if upload else b'B')
    if upload:
        thread = start(blast, connection)
        meter = service.meters.get(timeout=DEADLINE)
    else:
        meter = Meter()
        thread = start(meter.take, connection)
    time.sleep(max(0, opened + end_ + 0.1 - time.monotonic()))
    end(connection)
    thread.join()
    return meter.rate(opened + begin, opened + end_)


def main():
    """If all tests of a program were skipped, then the program reports that it was skipped itself."""
    become_root()
    result = unittest.main(exit=False, verbosity=2).result
    if result.wasSuccessful() and result.testsRun > 0 and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
