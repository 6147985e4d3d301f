# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a service manager provides: sockets, and the protocol for services that it watches."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import (BINARY, DEADLINE, TOKEN, Activated, Command, Config, Service, check_glib, dial, environment, exchange,
                     free_port, gateway, noise, skip)

USAGE = 2

def tcp():
    return socket.create_server(('127.0.0.1', 0))


class Sockets(unittest.TestCase):
    def setUp(self):
        self.service = Service()
        self.addCleanup(self.service.__exit__)

    def serve(self, sockets, names, *args, **extra):
        command = Activated(sockets, names, 'gateway', '--target', f'127.0.0.1:{self.service.port}', '--drain-timeout', '0',
                            *args, TCP_TUNNEL_TOKEN=TOKEN, **extra)
        self.addCleanup(command.__exit__)
        return command

    def check_tunnel(self, address):
        with Command('connect', 'ws://%s:%d/' % address, TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
            port = int(tunnel.line().rpartition(':')[2])
            with dial(('127.0.0.1', port)) as client:
                self.assertTrue(exchange(client, noise(1000, 1)))
            self.assertEqual(tunnel.stop(), 0)

    def check_usage(self, command, pattern):
        command.error_line(pattern)
        self.assertEqual(command.wait(), USAGE)

    def test_gateway(self):
        """With a single socket no option is needed. The port belongs to the process that passed the socket, and stays
        open."""
        for args in ((), ('--listen', 'systemd'), ('--listen', 'systemd:web')):
            with self.subTest(args), tcp() as listener:
                command = self.serve([listener], ['web'], *args)
                host, port = listener.getsockname()
                self.assertEqual(command.line(), f'listening on ws://{host}:{port}/')
                self.check_tunnel((host, port))
                self.assertEqual(command.stop(), 0)
                dial((host, port)).close()

    def test_first_client(self):
        """A client may connect before there is a gateway, as it does when the service is started on demand."""
        with tcp() as listener, Command('connect', 'ws://%s:%d/' % listener.getsockname(), TCP_TUNNEL_TOKEN=TOKEN,
                                        G_DEBUG=None) as tunnel:
            with dial(('127.0.0.1', int(tunnel.line().rpartition(':')[2]))) as client:
                client.sendall(b'\0\0\0\1x')
                self.serve([listener], None)
                client.settimeout(DEADLINE)
                self.assertEqual(len(client.recv(33, socket.MSG_WAITALL)), 33)

    def test_unix(self):
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(directory, 'socket')
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen()
            command = self.serve([listener], ['local'], '--listen', 'systemd:local')
            self.assertEqual(command.line(), f'listening on unix:{path}')
            command.stop()
            self.assertTrue(os.path.exists(path))

    def test_names(self):
        """One of several sockets is chosen, and the others are reported as unused."""
        with tcp() as one, tcp() as two, tcp() as three:
            command = self.serve([one, two, three], ['one', 'two', 'three'], '--listen', 'systemd:two')
            self.assertEqual(command.line(), 'listening on ws://%s:%d/' % two.getsockname())
            command.error_line('sockets that nothing uses: one, three')
            command.stop()
            self.check_usage(self.serve([one], ['one'], '--listen', 'systemd:other'), 'no socket of the name “other”.*but: one')
            # Some sockets have no name.
            command = self.serve([one, two], ['', 'two'], '--listen', 'systemd:unknown')
            self.assertEqual(command.line(), 'listening on ws://%s:%d/' % one.getsockname())

    def test_several(self):
        """A gateway listens on all sockets of a name, or on all that are left; the order is that of the options."""
        with contextlib.ExitStack() as stack:
            one, two, three = sockets = [stack.enter_context(tcp()) for _ in range(3)]
            names = ['web', 'other', 'web']
            for args, expected in (
                    ((), [one, two, three]),
                    (('--listen', 'systemd'), [one, two, three]),
                    (('--listen', 'systemd:web'), [one, three]),
                    (('--listen', 'systemd', '--listen', 'systemd:other'), [one, three, two]),
                    (('--listen', 'systemd:other', '--listen', 'systemd:web'), [two, one, three])):
                with self.subTest(args):
                    command = self.serve(sockets, names, *args)
                    for listener in expected:
                        self.assertEqual(command.line(), 'listening on ws://%s:%d/' % listener.getsockname())
                    if len(expected) == 2:
                        command.error_line('sockets that nothing uses: other')
                    for listener in expected:
                        self.check_tunnel(listener.getsockname())
                    self.assertEqual(command.stop(), 0)
            command = self.serve(sockets, None, '--listen', '127.0.0.1:0', '--listen', 'systemd')
            first = command.line()
            self.assertEqual([command.line() for _ in sockets], ['listening on ws://%s:%d/' % s.getsockname() for s in sockets])
            self.assertNotIn(first.rpartition(':')[2], [f'{s.getsockname()[1]}/' for s in sockets])
            self.assertEqual(command.stop(), 0)
            # The sockets of a name may all be used by another item.
            self.check_usage(self.serve(sockets, None, '--listen', 'systemd', '--listen', 'systemd:unknown'), 'is used elsewhere')

    def test_one_for_a_tunnel(self):
        """A tunnel listens on one socket only."""
        with tcp() as one, tcp() as two:
            def connect(names, *args):
                command = Activated([one, two], names, 'connect', 'ws://127.0.0.1:1/', *args, TCP_TUNNEL_TOKEN=TOKEN)
                self.addCleanup(command.__exit__)
                return command

            self.check_usage(connect(['one', 'two'], '--listen', 'systemd'),
                             'several sockets; name one of them, as in systemd:two: one, two')
            self.check_usage(connect(['same', 'same'], '--listen', 'systemd:same'), 'several sockets of the name “same”')

    def test_for_others(self):
        """Sockets for another process are ignored."""
        with tcp() as listener:
            self.check_usage(self.serve([listener], None, '--listen', 'systemd', PID='1'), 'has passed no socket')
            for extra in {'LISTEN_FDS': 'many'}, {'LISTEN_FDS': '0'}, {'LISTEN_FDS': '-1'}, {'PID': ''}, {'PID': '0'}:
                with self.subTest(extra):
                    self.check_usage(self.serve([listener], None, '--listen', 'systemd', **extra), 'has passed no socket')

    def test_other_kinds(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as silent, tcp() as listener, \
                dial(listener.getsockname()) as connection:
            for other, pattern in (datagram, 'datagram socket'), (silent, 'does not listen'), (connection, 'is a connection'):
                command = self.serve([other], ['it'])
                command.error_line(pattern)
                self.assertEqual(command.wait(), USAGE)
            reader, writer = os.pipe()
            with open(reader, 'rb') as pipe, open(writer, 'wb'):
                self.check_usage(self.serve([pipe], ['pipe']), 'the socket “pipe” that the service manager has passed')

    def test_tunnels(self):
        """Several sockets in one process, one of them for a forward; commands that it starts inherit neither the
        variables nor the descriptors."""
        with contextlib.ExitStack() as stack:
            command, url = gateway(self.service)
            stack.enter_context(command)
            config = stack.enter_context(Config())
            one, two, three = (stack.enter_context(tcp()) for _ in range(3))
            seen = os.path.join(config.home, 'seen')
            config.write(f'[defaults]\nremote-uri={url}\ntoken-file=token\n'
                         f'[a]\nlisten=systemd:one\n'
                         f'on-ready=(env | grep ^LISTEN_; ls -l /proc/self/fd | grep -c socket:) > {seen}; echo seen\n'
                         f'[b]\nlisten=systemd:two\nforwards=systemd:three=127.0.0.1:{self.service.port}\n')
            up = stack.enter_context(Activated([one, two, three], ['one', 'two', 'three'], 'up', XDG_CONFIG_HOME=config.home))
            up.error_line('^seen$')
            with open(seen, encoding='utf-8') as file:
                self.assertEqual(file.read(), '0\n')
            for listener in one, two, three:
                with stack.enter_context(dial(listener.getsockname())) as client:
                    self.assertTrue(exchange(client, noise(1000, 2)))
            self.assertEqual(up.stop(), 0)
            # Each socket may be used only once.
            config.write(f'[defaults]\nremote-uri={url}\ntoken-file=token\nlisten=systemd:one\n[a]\n[b]\n')
            self.check_usage(stack.enter_context(Activated([one], ['one'], 'up', XDG_CONFIG_HOME=config.home)),
                             r'\[defaults\] listen: each socket that the service manager has passed is used elsewhere')

    def test_check(self):
        """`check` examines the path to the gateway, and needs no sockets."""
        with contextlib.ExitStack() as stack:
            command, url = gateway(self.service)
            stack.enter_context(command)
            config = stack.enter_context(Config(f'[a]\nremote-uri={url}\ntoken-file=token\nlisten=systemd:one\n'))
            done = subprocess.run([BINARY, 'check', 'a'], env=environment(XDG_CONFIG_HOME=config.home), stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)

    def test_systemd(self):
        """systemd's own tool starts the command when the first client connects."""
        program = shutil.which('systemd-socket-activate')
        if program is None:
            skip(self, 'there is no systemd-socket-activate')
        port = free_port()
        manager = subprocess.Popen([program, '-l', f'127.0.0.1:{port}', '--fdname=web', '-E', 'TCP_TUNNEL_TOKEN', '-E', 'XDG_RUNTIME_DIR',
                                    BINARY, 'gateway', '--target', f'127.0.0.1:{self.service.port}', '--listen', 'systemd:web'],
                                   env=environment(TCP_TUNNEL_TOKEN=TOKEN), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            end = time.monotonic() + DEADLINE
            while True:
                try:
                    dial(('127.0.0.1', port)).close()
                    break
                except ConnectionRefusedError:
                    self.assertLess(time.monotonic(), end)
            self.check_tunnel(('127.0.0.1', port))
            manager.send_signal(signal.SIGTERM)
            out, err = manager.communicate(timeout=DEADLINE)
            self.assertEqual((manager.returncode, out), (0, f'listening on ws://127.0.0.1:{port}/\n'), err)
            check_glib(err)
        finally:
            manager.kill()
            manager.wait()


if __name__ == '__main__':
    unittest.main(verbosity=2)
