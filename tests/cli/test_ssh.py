# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenSSH through a gateway, with `connect --stdio` as its ProxyCommand."""

import getpass
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from support import BINARY, DEADLINE, TOKEN, Away, Relay, environment, free_port, gateway, noise, skip

MIB = 1 << 20
SSHD = shutil.which('sshd', path=os.environ['PATH'] + ':/usr/sbin:/usr/local/sbin')


class Daemon:
    """An sshd on loopback, for the user that runs the tests."""

    def __init__(self, directory):
        self.directory = Path(directory)
        for name in ('host', 'user'):
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', self.directory / name], check=True)
        shutil.copy(self.directory / 'user.pub', self.directory / 'authorized_keys')
        if os.getuid() == 0:
            os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
        self.log = self.directory / 'log'
        # Another process may take the port meanwhile.
        while not self.start():
            pass

    def start(self):
        self.port = free_port()
        config = self.directory / 'sshd_config'
        config.write_text(
            f'ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.directory}/host\n'
            f'AuthorizedKeysFile {self.directory}/authorized_keys\nStrictModes no\nUsePAM no\n'
            'PidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n'
            'PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nPrintMotd no\n')
        self.process = subprocess.Popen([SSHD, '-D', '-e', '-f', config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if 'Server listening' in line:
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return True
            if 'Address already in use' in line:
                self.stop()
                return False
        raise AssertionError(f'sshd ended with status {self.process.wait()}')

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


class Ssh(unittest.TestCase):
    mode = 'singleton'

    def setUp(self):
        if SSHD is None or shutil.which('ssh') is None:
            skip(self, 'there is no OpenSSH')
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.daemon = Daemon(self.directory)
        self.addCleanup(self.daemon.stop)
        command, url = gateway(self.daemon)
        self.addCleanup(command.__exit__)
        self.relay = Relay(url)
        self.addCleanup(self.relay.__exit__)
        self.write_config()

    def write_config(self, url=None):
        (self.directory / 'token').write_text(TOKEN)
        os.chmod(self.directory / 'token', 0o600)
        (self.directory / 'known_hosts').write_text('behind ' + (self.directory / 'host.pub').read_text())
        self.config = self.directory / 'config'
        self.config.write_text(
            'Host behind\n'
            f'  User {getpass.getuser()}\n  IdentityFile {self.directory}/user\n  IdentitiesOnly yes\n'
            f'  IdentityAgent none\n  UserKnownHostsFile {self.directory}/known_hosts\n'
            '  StrictHostKeyChecking yes\n  LogLevel ERROR\n  BatchMode yes\n'
            f'  ProxyCommand {BINARY} connect {url or self.relay.url} --mode {self.mode} '
            f'--token-file {self.directory}/token --reconnect-delay 10ms --stdio\n')

    def client(self, *args, program='ssh', **options):
        return subprocess.run([program, '-F', self.config, *args], env=environment(), capture_output=True,
                              timeout=DEADLINE, **options)

    def test_command(self):
        done = self.client('behind', 'cat; echo to stderr >&2; exit 7', input=b'through stdin')
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, b'through stdin', b'to stderr\n'))

    def test_data(self):
        """Data in both directions at once, while the WebSocket is cut again and again."""
        data = noise(32 * MIB, 1)
        process = subprocess.Popen(['ssh', '-F', self.config, 'behind', 'cat'], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=environment())

        def write():
            for i in range(0, len(data), 8 * MIB):
                process.stdin.write(data[i:i + 8 * MIB])
                self.relay.cut()
            process.stdin.close()

        with process:
            writer = threading.Thread(target=write)
            writer.start()
            self.assertTrue(process.stdout.read() == data)
            writer.join()
            self.assertEqual(process.wait(DEADLINE), 0)
        self.assertGreater(self.relay.accepted, 1)

    def test_files(self):
        data = noise(24 * MIB, 2)
        (self.directory / 'there').write_bytes(data)
        done = self.client('-q', self.directory / 'there', f'behind:{self.directory}/on', program='scp')
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertTrue((self.directory / 'on').read_bytes() == data)

        done = self.client('-q', '-b', '-', 'behind', program='sftp',
                           input=f'get {self.directory}/on {self.directory}/back\n'.encode())
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertTrue((self.directory / 'back').read_bytes() == data)

    def test_terminal(self):
        """An interactive shell on a terminal survives the loss of its WebSocket."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe('ssh', ['ssh', '-F', self.config, '-tt', 'behind', 'exec /bin/sh'], environment(TERM='dumb'))
        seen = b''

        def expect(pattern):
            nonlocal seen
            while not re.search(pattern, seen):
                self.assertTrue(select.select([terminal], [], [], DEADLINE)[0], seen)
                seen += os.read(terminal, 65536)
            seen = b''

        os.write(terminal, b"PS1='prom''pt> '\n")
        expect(rb'prompt> ')
        accepted = self.relay.accepted
        self.relay.cut()
        os.write(terminal, b"test -t 0 && echo a te''rminal\n")
        expect(rb'\na terminal\r\nprompt> ')
        self.relay.wait_accepted(accepted + 1)
        # When the typed text has come back twice, the program runs that Ctrl-C has to end.
        os.write(terminal, b'cat\n')
        os.write(terminal, b'twice\n')
        expect(rb'twice\r\n(.*\n)?twice\r')
        os.write(terminal, b'\x03')
        expect(rb'prompt> ')
        os.write(terminal, b'exit 5\n')
        try:
            while select.select([terminal], [], [], DEADLINE)[0] and os.read(terminal, 65536):
                pass
        except OSError:
            pass
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 5)

    def test_away(self):
        """ssh shows that the gateway is waited for, and continues when it is there."""
        with Away() as away:
            self.write_config(away.url)
            with subprocess.Popen(['ssh', '-F', self.config, 'behind', 'exit 7'], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, env=environment()) as client:
                self.assertRegex(client.stderr.readline(), b'cannot be reached: .*; waiting for the gateway, ')
                with away.arrive(self.daemon):
                    self.assertEqual(client.stderr.read(), b'')
                    self.assertEqual(client.wait(DEADLINE), 7)

    def test_lost_session(self):
        """ssh shows why the connection ended, although it closes its ProxyCommand's pipes when it reads the end."""
        with Away() as away:
            self.write_config(away.url)
            with away.arrive(self.daemon) as before, \
                    subprocess.Popen(['ssh', '-F', self.config, 'behind', 'echo ready; cat'], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as client:
                self.assertEqual(client.stdout.readline(), b'ready\n')
                before.process.kill()
                before.process.wait(DEADLINE)
                with away.arrive(self.daemon):
                    self.assertIn(b'has lost the session', client.stderr.read())
                    self.assertEqual(client.wait(DEADLINE), 255)

    def test_refused(self):
        (self.directory / 'token').write_text('wrong')
        done = self.client('behind', 'true')
        self.assertEqual(done.returncode, 255)
        self.assertIn(b'refused the token (401', done.stderr)


class Multiplexed(Ssh):
    mode = 'multiplexed'


if __name__ == '__main__':
    unittest.main()
