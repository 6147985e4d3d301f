# SPDX-License-Identifier: LGPL-2.1-or-later
"""Follows the guide's page about a gateway for others from top to bottom, with each command in its order. Parts of
the system are replaced: its packages, /etc and systemd, for which the test does what the units specify."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BINARY, DEADLINE, Command, Service, dial, environment, exchange, free_port, listening, noise, skip

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / 'docs/guide/production.md').read_text(encoding='utf-8')
UNITS = Path(os.environ['TCP_TUNNEL_UNITS']) / 'system'
# Programs of the system, which are not tested here.
FOREIGN = 'apt', 'journalctl', 'systemd-sysusers'


class Page(unittest.TestCase):
    def setUp(self):
        for program in 'openssl', 'curl':
            if shutil.which(program) is None:
                skip(self, f'there is no {program}')
        self.home = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.etc = self.home / 'etc'
        (self.home / 'bin').mkdir()
        (self.home / 'bin/tcp-tunnel').symlink_to(BINARY)
        self.service = self.enterContext(Service())
        self.ports = {'5432': self.service.port, **{port: free_port() for port in ('8000', '8443', '9090')}}
        self.gateway = self.connection = None
        self.done = []

    def localize(self, text):
        """Adapts a command so that any user can run it here."""
        text = re.sub(r'\b(?:5432|8000|8443|9090)\b', lambda match: str(self.ports[match[0]]), text)
        return text.replace(' -g tcp-tunnel', '').replace('/etc/tcp-tunnel', str(self.etc))

    def shell(self, line, **extra):
        path = f'{self.home}/bin:{os.environ["PATH"]}'
        done = subprocess.run(['bash', '-c', self.localize(line)], cwd=self.home, env=environment(PATH=path, **extra), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, f'{line}\n{done.stdout}{done.stderr}')
        return done.stdout

    def serve(self, *args):
        gateway = self.enterContext(Command(*args, cwd=self.home))
        self.assertRegex(gateway.line(), rf'^listening on wss://[\w.-]+:{self.ports["8443"]}/$')
        return gateway

    def connect(self):
        """Connects as alice does; the connection has to outlast all later steps."""
        tunnel = self.enterContext(Command('connect', f'wss://localhost:{self.ports["8443"]}/db', '--ca', 'cert.pem', '--mode',
                                           'multiplexed', '--token-file', 'alice.token', cwd=self.home))
        return self.enterContext(dial(listening(tunnel)))

    # What systemd does

    def get_setting(self, unit, key):
        return re.search(rf'(?m)^{key}=(.*)$', (UNITS / unit).read_text(encoding='utf-8'))[1]

    def systemctl(self, verb, *args):
        options = [arg for arg in args if arg.startswith('-')]
        for unit in (arg for arg in args if not arg.startswith('-')):
            unit += '' if '.' in unit else '.service'
            self.assertTrue((UNITS / unit).exists(), unit)
            if unit.endswith('.service'):
                self.control(verb, unit, options)

    def control(self, verb, unit, options):
        if verb in ('enable', 'start'):
            self.assertEqual(options, ['--now'] if verb == 'enable' else [])
            self.gateway = self.serve(*shlex.split(self.localize(self.get_setting(unit, 'ExecStart')))[1:])
        elif verb == 'stop':
            self.assertEqual(self.gateway.stop(), 0)
        elif verb == 'reload':
            self.shell(self.get_setting(unit, 'ExecReload'), MAINPID=str(self.gateway.process.pid))
            self.gateway.error_line('the configuration was reloaded')
        elif verb == 'kill':
            self.assertEqual(options, ['--kill-whom=main', '--signal=SIGUSR2'])
            self.gateway.process.send_signal(signal.SIGUSR2)
            self.gateway.error_line('sessions that go on after the restart: 1$')
        else:
            self.assertIn(verb, ('edit', 'status'))
        self.done.append(verb)

    # The content of the page

    def follow_system(self, line):
        # Changes from here on must not end the connection.
        if self.gateway is not None and self.connection is None and 'readyz' in line:
            self.connection = self.connect()
        self.assertNotIn('sudo', line[5:])
        line = re.sub('^sudo (-u tcp-tunnel )?', '', line)
        program, *args = shlex.split(line)
        if program == 'systemctl':
            self.systemctl(*args)
        elif program.startswith('./'):
            self.assertTrue((ROOT / program).exists())
        elif program not in FOREIGN:
            self.shell(line)
        if program == 'install' and self.gateway is not None:
            self.gateway.error_line('the configuration was reloaded')

    def follow_user(self, text):
        """Runs the commands; the last gateway among them keeps running for the commands behind it."""
        gateway = None
        for line in text.splitlines():
            words = shlex.split(self.localize(line))
            if words[:2] == ['tcp-tunnel', 'gateway'] and '--check' not in words:
                gateway = self.serve(*words[1:])
            else:
                self.shell(line)
        if gateway is not None:
            self.assertEqual(gateway.stop(), 0)

    def renew(self, script):
        """Runs the script for certbot, with a directory of its own for the certificates."""
        lineage = self.home / 'lineage'
        lineage.mkdir()
        for name, copy in ('cert.pem', 'fullchain.pem'), ('key.pem', 'privkey.pem'):
            shutil.copy(self.home / name, lineage / copy)
            (self.etc / name).unlink()
        self.shell(script, RENEWED_LINEAGE=str(lineage))
        for name in 'cert.pem', 'key.pem':
            self.assertEqual((self.etc / name).read_bytes(), (self.home / name).read_bytes())
            self.assertEqual((self.etc / name).stat().st_mode & 0o777, 0o640)

    def test_page(self):
        scripts = []
        for kind, text in re.findall(r'^ *```(\w*)\n(.*?)^ *```$', PAGE, re.MULTILINE | re.DOTALL):
            with self.subTest(text):
                if kind == 'conf':
                    (self.home / 'gateway.conf').write_text(self.localize(text), encoding='utf-8')
                elif kind == 'sh':
                    self.follow_user(text)
                elif text.startswith('#!'):
                    scripts.append(text)
                elif not re.match(r'\[|\w[\w-]*=', text):
                    for line in text.splitlines():
                        self.follow_system(line)
                if self.connection is not None:
                    self.assertTrue(exchange(self.connection, noise(100000, 1)))
        self.assertEqual([verb for verb in self.done if verb in ('reload', 'kill')], ['reload', 'kill'])

        # Only the new token of alice is valid.
        lines = [line for line in (self.etc / 'tokens').read_text(encoding='utf-8').splitlines() if line.startswith('alice:')]
        token = (self.home / 'alice.token').read_bytes().strip()
        self.assertEqual(lines, [f'alice:sha256:{hashlib.sha256(token).hexdigest()}'])
        self.assertEqual(len(scripts), 1)
        self.renew(scripts[0])
        self.assertTrue(exchange(self.connection, noise(1000, 2)))


if __name__ == '__main__':
    unittest.main(verbosity=2)
