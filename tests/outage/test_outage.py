# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs ssh and psql while the path between tunnel and gateway is down or is cut repeatedly. sshd and PostgreSQL are
real, if they are installed, and the test starts its own instances of them. The duration of the outages is what is
tested, so these tests take minutes."""

import contextlib
import getpass
import glob
import hashlib
import json
import os
import pty
import pwd
import queue
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'cli'))

from network_path import NetworkPath
from support import BINARY, DEADLINE, TOKEN, Command, environment, free_port, gateway, noise
from test_ssh import SSHD, Daemon

MIB = 1 << 20
HAS_SSH = None not in (SSHD, shutil.which('ssh'))
POSTGRES = sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'))
POSTGRES = Path(shutil.which('initdb') or (POSTGRES[-1] if POSTGRES else '/nonexistent')).parent
HAS_POSTGRES = POSTGRES.is_dir() and shutil.which('psql') is not None


def report(text):
    print(f'# {text}', flush=True)


class Postgres:
    """Runs a PostgreSQL server of the test on loopback. The server refuses to run as root."""

    def __init__(self, directory):
        self.directory = directory / 'postgres'
        self.directory.mkdir()
        self.options = {'env': environment(LC_ALL='C.UTF-8', TZ='UTC')}
        if os.getuid() == 0:
            user = pwd.getpwnam('postgres')
            os.chmod(directory, 0o711)
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self.options.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        subprocess.run([POSTGRES / 'initdb', '-D', self.directory / 'data', '-U', 'tester', '-A', 'trust', '-E', 'UTF8',
                        '--no-sync'], check=True, stdout=subprocess.DEVNULL, cwd='/', **self.options)
        while not self.start():
            pass

    def start(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            [POSTGRES / 'postgres', '-D', self.directory / 'data', '-c', 'listen_addresses=127.0.0.1', '-p',
             str(self.port), '-c', 'unix_socket_directories=', '-c', 'fsync=off'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd='/', **self.options)
        for line in self.process.stderr:
            if 'ready to accept connections' in line:
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return True
            if 'could not bind' in line:
                self.stop()
                return False
        raise AssertionError(f'postgres ended with status {self.process.wait()}')

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        self.process.stderr.close()


class Dialogue:
    """A program that answers each line with a line."""

    def __init__(self, name, *command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=environment(), text=True, bufsize=1)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip('\n'))
        self.lines.put(None)

    def say(self, text):
        try:
            self.process.stdin.write(text + '\n')
        except BrokenPipeError:
            self.fail_ended(list(iter(self.lines.get, None)))

    def hear(self):
        try:
            line = self.lines.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError(f'{self.name} does not answer') from None
        if line is None:
            self.fail_ended([])
        return line

    def fail_ended(self, lines):
        raise AssertionError(f'{self.name} ended with status {self.process.wait(DEADLINE)}: {lines}')

    def ask(self, text):
        self.say(text)
        return self.hear()

    def leave(self, text):
        """Ends the program with this text, and returns the rest of its output and its status."""
        self.say(text)
        rest = []
        while (line := self.lines.get(timeout=DEADLINE)) is not None:
            rest.append(line)
        return rest, self.process.wait(DEADLINE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


class Shell(Dialogue):
    """A shell behind ssh. A variable shows later that it is still the same shell."""

    def __init__(self, name, *ssh):
        super().__init__(name, *ssh, 'exec /bin/sh')
        self.pid = self.ask('mark=of-old; echo $$')
        if not self.pid.isdigit():
            raise AssertionError(f'{name} printed {self.pid!r}')

    def check(self, test):
        test.assertEqual(self.ask('echo $mark $$'), f'of-old {self.pid}', self.name)

    def start_slow_answer(self, seconds):
        self.say(f'sleep {seconds}; echo an answer')

    def check_end(self, test):
        test.assertEqual(self.leave('exit 7'), ([], 7), self.name)


class Psql(Dialogue):
    """A database session. A temporary table shows later that it is still the same session."""

    def __init__(self, name, *psql):
        super().__init__(name, *psql, '-qAtX')
        self.say('create temporary table marks (mark text); insert into marks values (\'of-old\');')
        self.pid = self.ask('select pg_backend_pid();')

    def check(self, test):
        test.assertEqual(self.ask('select mark, pg_backend_pid() from marks;'), f'of-old|{self.pid}', self.name)

    def start_slow_answer(self, seconds):
        self.say(f'select \'an answer\' from pg_sleep({seconds});')

    def check_end(self, test):
        test.assertEqual(self.leave('\\q'), ([], 0), self.name)


class Bulk:
    """Random data that goes through a program and comes back."""

    SIZE = 64 * MIB

    def __init__(self, name, *command):
        self.name = name
        self.data = noise(self.SIZE, 3)
        self.back = bytearray()
        self.condition = threading.Condition()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        self.threads = [threading.Thread(target=function, daemon=True) for function in (self._write, self._read)]
        for thread in self.threads:
            thread.start()

    def _write(self):
        try:
            self.process.stdin.write(self.data)
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def _read(self):
        while piece := os.read(self.process.stdout.fileno(), 1 << 16):
            with self.condition:
                self.back += piece
                self.condition.notify_all()

    def wait_for(self, size):
        with self.condition:
            if not self.condition.wait_for(lambda: len(self.back) >= size, DEADLINE):
                raise AssertionError(f'{self.name} passed {len(self.back)} bytes only')

    def check(self, test):
        self.wait_for(self.SIZE)
        test.assertEqual(self.process.wait(DEADLINE), 0, self.name)
        for thread in self.threads:
            thread.join()
        test.assertTrue(self.back == self.data, f'{self.name} got other bytes than were sent')

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)


class Rig(unittest.TestCase):
    gateway_options = ()

    def setUp(self):
        if not HAS_SSH and not HAS_POSTGRES:
            self.skipTest('there is neither OpenSSH nor PostgreSQL')
        directory = tempfile.TemporaryDirectory(prefix='outage')
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        (self.directory / 'token').write_text(TOKEN)
        os.chmod(self.directory / 'token', 0o600)
        self.paths = []
        self.gateways = []
        if HAS_SSH:
            self.sshd = Daemon(self.directory)
            self.addCleanup(self.sshd.stop)
            self.ssh_url = self.serve(self.sshd)
        if HAS_POSTGRES:
            self.postgres = Postgres(self.directory)
            self.addCleanup(self.postgres.stop)
            self.postgres_url = self.serve(self.postgres)

    def serve(self, service):
        """Starts a gateway and a path to it."""
        command, url = gateway(service, *self.gateway_options)
        self.addCleanup(command.__exit__)
        self.gateways.append(command)
        path = NetworkPath(url)
        self.addCleanup(path.close)
        self.paths.append(path)
        return path.url

    def connect(self, url, *options):
        """Starts a tunnel that reports its events, and returns it and its port."""
        tunnel = Command('connect', url, '--mode', 'multiplexed', '--token-file', str(self.directory / 'token'), '--json',
                         *options)
        self.addCleanup(tunnel.__exit__)
        while (event := json.loads(tunnel.line()))['event'] != 'listening':
            pass
        return tunnel, event['port']

    def events(self, tunnel, kind):
        found = [json.loads(line) for line in tunnel.output if line.startswith('{')]
        return [event for event in found if event['event'] == kind]

    def psql(self, port):
        return ['psql', f'host=127.0.0.1 port={port} user=tester dbname=postgres sslmode=disable gssencmode=disable']

    def ssh(self, *route):
        """Returns the command for ssh on this route, which is given as the options for its connection."""
        (self.directory / 'known_hosts').write_text('behind ' + (self.directory / 'host.pub').read_text())
        options = {
            'User': getpass.getuser(), 'HostKeyAlias': 'behind', 'UserKnownHostsFile': self.directory / 'known_hosts',
            'IdentityFile': self.directory / 'user', 'IdentitiesOnly': 'yes', 'IdentityAgent': 'none',
            'StrictHostKeyChecking': 'yes', 'BatchMode': 'yes', 'LogLevel': 'ERROR',
        }
        return ['ssh', '-F', 'none', *(f'-o{name}={value}' for name, value in options.items()), *route, '127.0.0.1']

    def ssh_through(self, port):
        return self.ssh('-p', str(port))

    def ssh_by_stdio(self, *options):
        words = [BINARY, 'connect', self.ssh_url, '--mode', 'multiplexed', '--token-file', f'{self.directory}/token', *options,
                 '--stdio']
        return self.ssh('-oProxyCommand=' + ' '.join(words))

    def start(self, kind, *arguments):
        program = kind(*arguments)
        self.addCleanup(program.close)
        return program

    def start_tunnels(self):
        """Starts the tunnels, and sets the commands of the clients by their name."""
        self.tunnels = []
        self.shells, self.psqls = {}, {}
        if HAS_SSH:
            tunnel, port = self.connect(self.ssh_url)
            self.tunnels.append(tunnel)
            self.shells = {'ssh through a port': self.ssh_through(port), 'ssh by --stdio': self.ssh_by_stdio()}
        if HAS_POSTGRES:
            tunnel, port = self.connect(self.postgres_url)
            self.tunnels.append(tunnel)
            self.psqls = {'psql': self.psql(port)}

    def start_dialogues(self, remark):
        return [
            *(self.start(Shell, f'{name}, {remark}', *command) for name, command in self.shells.items()),
            *(self.start(Psql, f'{name}, {remark}', *command) for name, command in self.psqls.items()),
        ]

    def check_tunnels(self):
        """Checks that the tunnels are up and that none of their connections was lost."""
        for tunnel in self.tunnels:
            self.assertIsNone(tunnel.process.poll(), tunnel.output)
            for event in self.events(tunnel, 'connection-closed'):
                self.assertIsNone(event.get('error'), tunnel.output)
            self.assertEqual(self.events(tunnel, 'failed'), [])


class Outage(Rig):
    """Everything that is open before the path goes down works when the path is back."""

    def check_outage(self, *parts):
        self.start_tunnels()
        idle = self.start_dialogues('idle')
        asking = self.start_dialogues('asked during the outage')
        waiting = self.start_dialogues('answered during the outage')
        bulks = [self.start(Bulk, f'{name}, bulk', *command, 'cat') for name, command in self.shells.items()]
        for bulk in bulks:
            bulk.wait_for(Bulk.SIZE // 8)
        for program in waiting:
            program.start_slow_answer(5)

        attempts = [path.attempts for path in self.paths]
        for number, (break_path, seconds) in enumerate(parts):
            for path in self.paths:
                break_path(path)
            if number == 0:
                for bulk in bulks:
                    self.assertLess(len(bulk.back), Bulk.SIZE, 'the outage came too late')
                for program in asking:
                    program.start_slow_answer(0)
            # The duration of the outage is what is tested.
            time.sleep(seconds)
        attempts = [path.attempts - before for path, before in zip(self.paths, attempts)]
        for path in self.paths:
            path.restore()
        restored = time.monotonic()

        for program in asking + waiting:
            self.assertEqual(program.hear(), 'an answer', program.name)
            report(f'{program.name}: the answer came {time.monotonic() - restored:.1f} s after the path was back')
        for program in idle + asking + waiting:
            program.check(self)
        for bulk in bulks:
            bulk.check(self)
            report(f'{bulk.name}: {Bulk.SIZE // MIB} MiB each way, whole')
        for program in idle + asking + waiting:
            program.check_end(self)
        self.check_tunnels()
        report(f'{sum(seconds for _, seconds in parts)} s without a path; attempts, for each gateway: {attempts}')


class Refused(Outage):
    def test_90_seconds(self):
        """The path resets open connections and refuses new ones."""
        self.check_outage((NetworkPath.refuse, 90))


class Silent(Outage):
    def test_90_seconds(self):
        """The path discards everything."""
        self.check_outage((NetworkPath.silence, 90))


class Long(Outage):
    gateway_options = ('--session-timeout', '15min')

    def test_10_minutes(self):
        """The path is silent for the first half, and refuses connections in the second half."""
        self.check_outage((NetworkPath.silence, 300), (NetworkPath.refuse, 300))


class Cuts(Rig):
    """The path is never down, but its connections are cut repeatedly."""

    def test_idle(self):
        """The path is cut every 2 s, while no data is transferred."""
        self.start_tunnels()
        programs = self.start_dialogues('idle')
        attempts = [path.attempts for path in self.paths]
        times = 65
        for _ in range(times):
            for path in self.paths:
                path.cut()
            # The pace of the cuts is what is tested.
            time.sleep(2)
        for path, before in zip(self.paths, attempts):
            self.assertGreaterEqual(path.attempts - before, times)
        for program in programs:
            program.check(self)
            program.check_end(self)
        self.check_tunnels()
        report(f'cut {times} times in {2 * times} s while idle')

    def test_keystroke(self):
        """A key that is typed right after a cut is echoed."""
        if not HAS_SSH:
            self.skipTest('there is no OpenSSH')
        self.start_tunnels()
        for name, command in self.shells.items():
            pid, terminal = pty.fork()
            if pid == 0:
                os.execvpe(command[0], [*command, '-tt', 'stty -icanon min 1; echo ready; exec cat'], environment(TERM='dumb'))
            self.addCleanup(os.waitpid, pid, 0)
            self.addCleanup(os.close, terminal)
            self.read_until(terminal, b'ready\r\n')
            uncut = [self.type(terminal, lambda: None) for _ in range(20)]
            cut = [self.type(terminal, self.paths[0].cut) for _ in range(20)]
            report(f'{name}: a keystroke returns in {statistics.median(uncut):.0f} ms, after a cut in '
                   f'{statistics.median(cut):.0f} ms (median; {max(cut):.0f} ms at most)')
            self.assertLess(statistics.median(cut), 500)

    def read_until(self, terminal, text):
        seen = b''
        while text not in seen:
            self.assertTrue(select.select([terminal], [], [], DEADLINE)[0], seen)
            seen += os.read(terminal, 65536)

    def type(self, terminal, cut):
        """Returns the time in milliseconds until a key is echoed by the terminal and then by cat."""
        cut()
        began = time.monotonic()
        os.write(terminal, b'x')
        self.read_until(terminal, b'x')
        took = time.monotonic() - began
        # The echo of cat.
        os.write(terminal, b'\n')
        self.read_until(terminal, b'\n')
        return took * 1000

    def test_copy(self):
        """200 MB are copied out of a table and into another one."""
        if not HAS_POSTGRES:
            self.skipTest('there is no PostgreSQL')
        self.start_tunnels()
        [psql] = self.psqls.values()
        [tunnel] = self.tunnels[-1:]
        path = self.paths[-1]
        file = self.directory / 'rows'
        sums = 'select count(*), sum(number), md5(string_agg(md5(noise), \'\' order by number)) from '

        def run(sql):
            done = subprocess.run([*psql, '-qAtX', '-v', 'ON_ERROR_STOP=1', '-c', sql], env=environment(), capture_output=True,
                                  text=True, stdin=subprocess.DEVNULL)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            return done.stdout

        def timed(sql):
            began = time.monotonic()
            run(sql)
            return time.monotonic() - began

        def digest():
            return hashlib.sha256(file.read_bytes()).hexdigest()

        run('create table rows (number int, noise text); create table back (number int, noise text);'
            ' insert into rows select n, repeat(md5(n::text), 6) from generate_series(1, 1010000) n;')
        uncut = timed(f'\\copy rows to {file}')
        self.assertGreater(file.stat().st_size, 200_000_000)
        expected = digest()
        uncut_back = timed(f'\\copy back from {file}')
        self.assertEqual(run(sums + 'back'), run(sums + 'rows'))
        run('truncate back')

        path.cut_every = 8 * MIB
        cut = timed(f'\\copy rows to {file}')
        cuts = path.cuts
        cut_back = timed(f'\\copy back from {file}')
        path.cut_every = None
        self.assertEqual(digest(), expected)
        self.assertEqual(run(sums + 'back'), run(sums + 'rows'))
        self.check_tunnels()
        delays = [event['delay_ms'] for event in self.events(tunnel, 'retry-scheduled')]
        self.assertTrue(delays)
        report(f'COPY of 200 MB out: {uncut:.1f} s, with {cuts} cuts {cut:.1f} s; in: {uncut_back:.1f} s, with '
               f'{path.cuts - cuts} cuts {cut_back:.1f} s; delays of {statistics.median(delays):.0f} ms, {max(delays)} ms at most')
        self.assertGreater(cuts, 20)
        self.assertGreater(path.cuts - cuts, 20)
        # Each attempt transferred data, so that the delay never grew.
        self.assertLess(statistics.median(delays), 500)
        self.assertLessEqual(max(delays), 1000)

    def test_gateway_is_away_at_the_start(self):
        """ssh prints once why it waits, and continues when the gateway is up."""
        if not HAS_SSH:
            self.skipTest('there is no OpenSSH')
        path = self.paths[0]
        path.refuse()
        waiting = subprocess.Popen([*self.ssh_by_stdio(), 'echo through'], env=environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiting.kill)
        line = waiting.stderr.readline()
        self.assertRegex(line, rf'^tcp-tunnel connect: .*:{path.port}/ .*refused')
        path.restore()
        output, errors = waiting.communicate(timeout=DEADLINE)
        self.assertEqual((waiting.returncode, output, errors), (0, 'through\n', ''))
        report(f'ssh showed: {line.rstrip()}')

        path.refuse()
        ended = subprocess.run([*self.ssh_by_stdio('--wait=no'), 'echo through'], env=environment(), stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual((ended.returncode, ended.stdout), (255, ''))
        self.assertRegex(ended.stderr, rf'^tcp-tunnel connect: .*:{path.port}/ .*refused')


class Quiet(Rig):
    """Connections that are ended normally by their programs cause no warning."""

    @unittest.skipUnless(HAS_POSTGRES and shutil.which('pgbench'), 'there is no PostgreSQL')
    def check(self, *options):
        tunnel, port = self.connect(self.postgres_url, '--log-level', 'info', *options)
        psql = self.psql(port)

        def run(*command):
            done = subprocess.run(command, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        run('pgbench', '-i', '-q', *psql[1:])
        # Each transaction has a connection of its own.
        self.assertIn('processed: 174/174', run('pgbench', '-n', '-C', '-t', '174', *psql[1:]))
        self.assertEqual(run(*psql, '-qAtX', '-c', 'select 6 * 7'), '42\n')
        self.assertGreater(len(self.events(tunnel, 'connection-closed')), 174)
        for command in (tunnel, self.gateways[-1]):
            said = [line for line in command.output if 'connection' in line and not line.startswith('{')]
            self.assertEqual(said, [])

    def test_resumable(self):
        self.check()

    def test_tagged(self):
        self.check('--resumption', 'off')


if __name__ == '__main__':
    unittest.main()
