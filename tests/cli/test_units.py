# SPDX-License-Identifier: LGPL-2.1-or-later
"""The systemd units, as far as they can be tested without systemd: their content, and the command when it is started
as they specify."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BINARY, DEADLINE, TOKEN, Command, Service, environment, free_port, skip

UNITS = Path(os.environ['TCP_TUNNEL_UNITS'])
USER = ['tcp-tunnel-gateway.service', 'tcp-tunnel.service', 'tcp-tunnel@.service']
SYSTEM = ['tcp-tunnel-gateway.service', 'tcp-tunnel-gateway.socket', 'tcp-tunnel@.service']


def find(test, program):
    path = shutil.which(program, path=os.environ['PATH'] + ':/usr/bin:/bin')
    if path is None:
        skip(test, f'there is no {program}')
    return path


def settings(unit):
    """Returns the settings of a unit as (key, value), in their order."""
    return re.findall(r'(?m)^([A-Za-z]+)=(.*)$', (UNITS / unit).read_text(encoding='utf-8'))


class Files(unittest.TestCase):
    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def copy(self, folder, name):
        """Copies a unit, with the command that was built and the name of an instance."""
        text = (UNITS / folder / name).read_text(encoding='utf-8')
        text, n = re.subn(r'(?m)^(ExecStart=)\S+/tcp-tunnel ', rf'\1{BINARY} ', text)
        self.assertEqual(n, name.endswith('.service'))
        path = self.directory / name.replace('@', '@phone')
        path.write_text(text, encoding='utf-8')
        return path

    def verify(self, folder, names, *args):
        self.assertEqual(sorted(path.name for path in (UNITS / folder).iterdir() if path.suffix in ('.service', '.socket')), names)
        paths = [self.copy(folder, name) for name in names]
        done = subprocess.run([find(self, 'systemd-analyze'), *args, '--man=no', 'verify', *paths],
                              env={**os.environ, 'XDG_RUNTIME_DIR': self.directory},
                              capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Other units may have problems of their own.
        self.assertNotIn('tcp-tunnel', done.stdout + done.stderr)

    def test_user(self):
        self.verify('', USER, '--user')

    def test_system(self):
        self.verify('system', SYSTEM)

    def test_credential(self):
        """The drop-in file that the unit describes."""
        path = self.copy('system', 'tcp-tunnel-gateway.service')
        text = path.read_text(encoding='utf-8')
        drop_in, = re.findall(r'#   (\[Service\])\n#   (LoadCredential=.*)\n', text)
        path.write_text(text + '\n'.join(drop_in) + '\n', encoding='utf-8')
        done = subprocess.run([find(self, 'systemd-analyze'), '--man=no', 'verify', path], capture_output=True, text=True,
                              timeout=DEADLINE)
        self.assertEqual((done.returncode, 'tcp-tunnel' in done.stderr), (0, False), done.stderr)

    def test_exposure(self):
        """systemd rates the exposure below 2.0 of 10."""
        for name in SYSTEM:
            if name.endswith('.service'):
                done = subprocess.run([find(self, 'systemd-analyze'), 'security', '--no-pager', '--offline=true', '--threshold=19',
                                       self.copy('system', name)], capture_output=True, text=True, timeout=DEADLINE)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertRegex(done.stdout, r'Overall exposure level for \S+: [01]\.\d ')

    def test_user_of_the_system(self):
        """systemd-sysusers creates the user that the units name."""
        (self.directory / 'etc').mkdir()
        program = find(self, 'systemd-sysusers')
        done = subprocess.run([program, f'--root={self.directory}', UNITS / 'system/tcp-tunnel.conf'], capture_output=True, text=True,
                              timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        name, _, _, _, _, home, shell = (self.directory / 'etc/passwd').read_text(encoding='utf-8').strip().split(':')
        self.assertEqual((name, home), ('tcp-tunnel', '/'))
        self.assertIn('nologin', shell)
        for unit in SYSTEM:
            users = {value for key, value in settings(f'system/{unit}') if key in ('User', 'Group', 'SocketUser')}
            self.assertEqual(users, {'tcp-tunnel'})


class Services(unittest.TestCase):
    """A service manager of the test that does what the unit specifies."""

    def setUp(self):
        self.etc = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.runtime = self.enterContext(tempfile.TemporaryDirectory())
        self.manager = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.settimeout(DEADLINE)
        self.manager.bind(os.path.join(self.runtime, 'notify'))
        self.service = self.enterContext(Service())
        self.write('token', TOKEN)
        self.write('tokens', f'alice:{TOKEN}')

    def write(self, name, text):
        (self.etc / name).write_text(text + '\n', encoding='utf-8')
        (self.etc / name).chmod(0o640)

    def start(self, unit, instance=''):
        of_unit = settings(f'system/{unit}')
        line, = (value for key, value in of_unit if key == 'ExecStart')
        watchdog, = (value for key, value in of_unit if key == 'WatchdogSec')
        self.reload = [value for key, value in of_unit if key == 'ExecReload']
        _, *args = shlex.split(line.replace('%i', instance).replace('/etc/tcp-tunnel', str(self.etc)))
        self.assertIn(('Type', 'notify'), of_unit)
        self.assertIn(('RuntimeDirectory', 'tcp-tunnel'), of_unit)
        return self.enterContext(Command(*args, NOTIFY_SOCKET=os.path.join(self.runtime, 'notify'), RUNTIME_DIRECTORY=self.runtime,
                                         WATCHDOG_USEC=str(int(watchdog) * 1000000)))

    def expect(self, wanted):
        told = []
        while wanted not in told:
            told += self.manager.recv(4096).decode().splitlines()
        return told

    def test_gateway(self):
        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:{self.service.port}\ntoken-file=tokens')
        gateway = self.start('tcp-tunnel-gateway.service')
        self.expect('READY=1')
        command, = self.reload
        subprocess.run(['sh', '-c', command], env={**os.environ, 'MAINPID': str(gateway.process.pid)}, check=True)
        self.expect('RELOADING=1')
        self.expect('READY=1')
        self.assertEqual(gateway.stop(), 0)

    def test_journal(self):
        """Lines for the journal have a priority, and no time; those for another stream do not."""
        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:{self.service.port}\ntoken-file=missing')
        args = BINARY, 'gateway', '--config', str(self.etc / 'gateway.conf')
        for own, priority in ((True, '<3>'), (False, '')):
            with self.subTest(own=own):
                read, write = os.pipe()
                info = os.fstat(write if own else self.manager.fileno())
                with open(read, encoding='utf-8') as stderr:
                    done = subprocess.run(args, env=environment(JOURNAL_STREAM=f'{info.st_dev}:{info.st_ino}'), stdin=subprocess.DEVNULL,
                                          stderr=write, timeout=DEADLINE)
                    os.close(write)
                    self.assertRegex(stderr.read(), f'^{priority}tcp-tunnel gateway: .*missing')
                self.assertEqual(done.returncode, 2)

        # Waiting for a gateway is a warning.
        read, write = os.pipe()
        info = os.fstat(write)
        with open(read, encoding='utf-8') as stderr, \
                subprocess.Popen([BINARY, 'connect', f'ws://127.0.0.1:{free_port()}/', '--mode', 'multiplexed'],
                                 env=environment(JOURNAL_STREAM=f'{info.st_dev}:{info.st_ino}', TCP_TUNNEL_TOKEN=TOKEN),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write) as tunnel:
            os.close(write)
            self.assertRegex(stderr.readline(), '^<4>')
            self.assertRegex(stderr.readline(), '^<4>tcp-tunnel connect: .*waiting for the gateway')
            tunnel.terminate()
            tunnel.wait(DEADLINE)

        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:{self.service.port}\ntoken-file=tokens\nadmin=127.0.0.1:0')
        read, write = os.pipe()
        info = os.fstat(write)
        with open(read, encoding='utf-8') as stderr, \
                subprocess.Popen(args, env=environment(JOURNAL_STREAM=f'{info.st_dev}:{info.st_ino}'), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=write) as gateway:
            os.close(write)
            self.assertRegex(stderr.readline(), '^<6>status and metrics are at http:')
            gateway.terminate()
            self.assertEqual(gateway.wait(DEADLINE), 0)

    def test_tunnel(self):
        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:{self.service.port}\ntoken-file=tokens')
        url = self.start('tcp-tunnel-gateway.service').line().split()[-1]
        self.expect('READY=1')
        self.write('tunnels.conf', f'[phone]\nremote-uri={url}\ntoken-file=token\nmode=multiplexed')
        tunnel = self.start('tcp-tunnel@.service', 'phone')
        self.expect('STATUS=connected')
        self.assertEqual(tunnel.stop(signal.SIGTERM), 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
