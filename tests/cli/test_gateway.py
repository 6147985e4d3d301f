# SPDX-License-Identifier: LGPL-2.1-or-later
"""The configuration file of a gateway: its content, the mistakes in it, and how it is reloaded."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from support import DEADLINE, TOKEN, Command, Service, certify, dial, exchange, listening, noise, receive, run

FAILED = 1
USAGE = 2
OTHER = 'another-token-nobody-may-see'


class Directory(unittest.TestCase):
    """Tests with a directory for the files of a gateway."""

    def setUp(self):
        self.directory = os.path.realpath(self.enterContext(tempfile.TemporaryDirectory()))
        self.conf = os.path.join(self.directory, 'gateway.conf')

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text, mode=0o600):
        """Writes to the existing file."""
        with open(self.path(name), 'wb', opener=lambda path, flags: os.open(path, flags, mode)) as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(self.path(name), mode)

    def replace(self, name, text):
        """Replaces the file by a new one with the same name, as an editor does."""
        self.write(f'.{name}.new', text)
        os.rename(self.path(f'.{name}.new'), self.path(name))

    def certify(self, name='gateway', *args):
        """Makes a certificate, NAME.pem, with its key, NAME.key."""
        certify(self, self.directory, name, *args)

    def expire(self, name):
        """Makes a certificate that has expired."""
        self.certify(name)
        subprocess.run(['openssl', 'req', '-new', '-key', f'{name}.key', '-subj', f'/CN={name}', '-out', f'{name}.csr'],
                       cwd=self.directory, check=True, capture_output=True)
        self.write('index', '')
        self.write('ca.conf', '[ca]\ndefault_ca=x\n[x]\ndatabase=index\nnew_certs_dir=.\npolicy=p\ndefault_md=sha256\n'
                              'rand_serial=yes\n[p]\ncommonName=supplied\n')
        subprocess.run(['openssl', 'ca', '-batch', '-notext', '-config', 'ca.conf', '-selfsign', '-keyfile', f'{name}.key', '-in',
                        f'{name}.csr', '-startdate', '20200101000000Z', '-enddate', '20210101000000Z', '-out', f'{name}.pem'],
                       cwd=self.directory, check=True, capture_output=True)


class Check(Directory):
    def check(self, *expected, status=FAILED, args=(), **extra):
        """Checks all lines of the output; {} stands for the directory."""
        found, out, err = run('gateway', '--check', '--config', self.conf, *args, **extra)
        lines = [line.replace(self.directory, '{}') for line in out.splitlines()]
        self.assertEqual((found, err), (status, ''), out)
        self.assertEqual(len(lines), len(expected), out)
        for line, pattern in zip(lines, expected):
            self.assertRegex(line, f'^{pattern}')
        self.assertNotIn(TOKEN, out)
        return lines

    def good(self, text, *args, warnings=(), **extra):
        self.write('gateway.conf', text)
        self.check(*(warnings or ['nothing is wrong$']), status=0, args=args, **extra)

    def test_good(self):
        self.certify()
        self.write('tokens', f'alice:{TOKEN}\n')
        self.good('# all of it\n[gateway]\ntarget=127.0.0.1:22\nlisten=0.0.0.0:8443\ntoken-file=tokens\ntls-cert=gateway.pem\n'
                  'tls-key=gateway.key\nallow=*.lab:5432;10.0.0.0/8:8000-8099\ntrusted-proxy=127.0.0.1;\nmax-dials=8\n'
                  'session-timeout=2min\nresumption=required\nwatch=no\nlog-level=warn\npath=*\nreverse-ports=57090-57099;\n'
                  '[principal alice]\nallow=\nmax-sessions=3\n[principal bob]\n'
                  f'token={OTHER};sha256:{"0" * 64} expires=2099-01-01T00:00:00Z;\nreverse-ports=57100\n')

    def test_all_is_found(self):
        """All mistakes are found: every bad line, in order, and those that only the library detects."""
        self.certify()
        self.certify('other')
        self.write('tokens', f'alice:{TOKEN}\nbob {TOKEN}\n# fine\ncarol:c expires=tomorrow\n')
        self.write('gateway.conf', f'target=early\n[gateway]\ntarget=127.0.0.1\nlisten=nowhere\ntokenfile=x\n{TOKEN}\n{TOKEN}9==\n'
                   'token-file=tokens\ntls-cert=gateway.pem\ntls-key=other.key\nallow=10.0.0.0/8:443;10.0.0.1/8:22;*:*;b\n'
                   'max-dials=0\ntrusted-proxy=proxy.example\nlog-level=loud\ndrain-timeout=long\nwatch=perhaps\nmax-dials=0\n'
                   '[gatewya]\n[other]\n[principal alice]\nallow=c\nmax-sessions=70000\nmax-session=1\n'
                   f'token=sha256:0\n[principal a:b]\n[principal bob]\nreverse-ports=1-0\n', mode=0o644)
        self.check(
            '{}/gateway.conf:1: the line stands before the first ',
            r'{}/gateway.conf:3: target: the target “127.0.0.1” is not of the form HOST:PORT',
            "{}/gateway.conf:4: listen must be .*, not 'nowhere'",
            r"{}/gateway.conf:5: \[gateway\] has an unknown key 'tokenfile'; did you mean 'token-file'\?",
            r'{}/gateway.conf:6: the line is not \[NAME\], KEY=VALUE or # comment',
            r'{}/gateway.conf:7: \[gateway\] has a key with characters other than a to z and -',
            '{}/gateway.conf:9: tls-cert {}/gateway.pem, tls-key {}/other.key: the certificate cannot be used',
            '{}/gateway.conf:11: allow: .*“10.0.0.1/8” is not a network',
            '{}/gateway.conf:11: allow: .*“b” is neither of the form HOST:PORT',
            "{}/gateway.conf:12: max-dials must be a whole number from 1 to 65535, not '0'",
            '{}/gateway.conf:13: trusted-proxy: .*“proxy.example”',
            '{}/gateway.conf:14: log-level must be one of',
            '{}/gateway.conf:15: drain-timeout must be a duration',
            "{}/gateway.conf:16: watch must be yes or no, not 'perhaps'",
            '{}/gateway.conf:17: the line repeats the KEY of line 12; a list has its values in one line, separated by ;',
            r"{}/gateway.conf:18: there is no group \[gatewya\]; did you mean 'gateway'\?",
            r'{}/gateway.conf:19: there is no group \[other\]; there are \[gateway\]',
            '{}/gateway.conf:21: allow: .*“c” is neither of the form HOST:PORT',
            '{}/gateway.conf:22: max-sessions must be a whole number from 0 to 65535',
            r"{}/gateway.conf:23: \[principal alice\] has an unknown key 'max-session'; did you mean 'max-sessions'\?",
            '{}/gateway.conf:24: token: .*sha256: and 64 hexadecimal digits',
            '{}/gateway.conf:25: “a:b” cannot be the name of a principal',
            '{}/gateway.conf:27: the ports for reverse tunnels: “bob@1-0” is not a port',
            '{}/tokens:2: not of the form NAME:TOKEN',
            '{}/tokens:4: the time after expires= is not of the form')


    def test_listen(self):
        """Each place is checked, and whether it is named twice."""
        self.good('[gateway]\ntarget=127.0.0.1:22\nlisten=127.0.0.1:0;127.0.0.1:0;[::1]:80;127.0.0.1:80;unix:a;unix:b;systemd:c\n',
                  '--token', 'x')
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\n'
                   f'listen=80;nowhere;127.0.0.1:80;unix:a;[::1]:80;[0::1]:80;unix:{"x" * 200};unix:b/../a;systemd:c;localhost:x;'
                   'systemd:c\n')
        self.check("{}/gateway.conf:3: listen must be .*, not 'nowhere'",
                   "{}/gateway.conf:3: listen: '80' and '127.0.0.1:80' are the same place, or one includes the other$",
                   r"{}/gateway.conf:3: listen: '\[::1\]:80' and '\[0::1\]:80' are the same place",
                   '{}/gateway.conf:3: listen: the path of the Unix socket to listen on is too long',
                   "{}/gateway.conf:3: listen: 'unix:{}/a' occurs twice$",
                   "{}/gateway.conf:3: listen must be .*, not 'localhost:x'",
                   "{}/gateway.conf:3: listen: 'systemd:c' occurs twice$", args=('--token', 'x'))
        self.good('[gateway]\ntarget=127.0.0.1:22\nlisten=0.0.0.0:80;[::1]:80;0.0.0.0:81;[::]:82\n', '--token', 'x')
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\nlisten=127.0.0.1:80;0.0.0.0:80;[::]:81;[::1]:81\n')
        self.check("{}/gateway.conf:3: listen: '127.0.0.1:80' and '0.0.0.0:80' are the same place",
                   r"{}/gateway.conf:3: listen: '\[::\]:81' and '\[::1\]:81' are the same place", args=('--token', 'x'))
        try:
            with open('/proc/sys/net/ipv6/bindv6only', encoding='ascii') as file:
                separate = int(file.read())
        except FileNotFoundError:
            separate = True
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\nlisten=0.0.0.0:80;[::]:80\n')
        self.check(*(['nothing is wrong'] if separate else [r"{}/gateway.conf:3: listen: '0.0.0.0:80' and '\[::\]:80' are the same"]),
                   status=0 if separate else FAILED, args=('--token', 'x'))
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\nlisten=80;80;unix:a;unix:a\n')
        self.check("{}/gateway.conf:3: listen: '80' occurs twice$", "{}/gateway.conf:3: listen: 'unix:{}/a' occurs twice$",
                   args=('--token', 'x'))
        self.good(f'[gateway]\ntarget=127.0.0.1:22\nlisten={"0;" * 65}\n', '--token', 'x')
        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:22\nlisten={"0;" * 66}\n')
        self.check('{}/gateway.conf:3: listen has 66 places, and 65 are possible$', args=('--token', 'x'))
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\nlisten=;\n')
        self.check('{}/gateway.conf:3: listen has no value$', args=('--token', 'x'))
        # The command line overrides the file.
        self.check('nothing is wrong$', status=0, args=('--token', 'x', '--listen', '0', '--listen', 'unix:/run/x'))

    def test_targets(self):
        """Targets have names, with which principals may be allowed to use them."""
        self.write('tokens', f'alice:{TOKEN}\n')
        self.good('[gateway]\ntoken-file=tokens\nallow=db\nnamed-target=web=10.0.0.6:80\n[targets]\ndb=10.0.0.5:5432\n'
                  '[principal alice]\nallow=db;web\n')
        self.write('gateway.conf', '[gateway]\ntoken-file=tokens\n[targets]\ndb=nowhere\n-x=10.0.0.5:5432\n'
                   '[principal alice]\nallow=*:80\n')
        self.check('{}/gateway.conf:4: .*db=nowhere', '{}/gateway.conf:5: “-x” cannot be')
        # A wrong target is not blamed on the lines that are checked with it.
        self.write('gateway.conf', '[gateway]\ntoken-file=tokens\nroute=a b\ntarget=127.0.0.1\nnamed-target=db\n')
        self.check('{}/gateway.conf:3: route: the route “a b”', '{}/gateway.conf:4: target: the target “127.0.0.1”',
                   '{}/gateway.conf:5: named-target: “db” is not of the form')
        # Nor is a name that is given twice, and each is reported only once.
        rest = 'target=db\nallow=db\nroute=a\nreverse-ports=8000\n[principal alice]\nallow=db\nreverse-ports=9000\n'
        self.write('gateway.conf', f'[gateway]\ntoken-file=tokens\nnamed-target=db=127.0.0.1:1;web=127.0.0.1:2;db=127.0.0.1:3\n{rest}')
        self.check('{}/gateway.conf:3: named-target: two targets have the name “db”$')
        self.write('gateway.conf', f'[targets]\ndb=127.0.0.1:1\n[gateway]\ntoken-file=tokens\nnamed-target=db=127.0.0.1:2\n{rest}')
        self.check('{}/gateway.conf:5: named-target: two targets have the name “db”$')
        self.write('gateway.conf', f'[targets]\ndb=127.0.0.1:1\ndb=127.0.0.1:2\n[gateway]\ntoken-file=tokens\n{rest}')
        self.check('{}/gateway.conf:3: the line repeats the KEY of line 2; a list has its values in one line, separated by ;$')

    def test_files(self):
        for key, name in (('token-file', 'none'), ('token-file', '.')):
            with self.subTest(key, name=name):
                self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:22\n{key}={name}\n')
                self.check('the token file cannot be read: .*')
        self.write('tokens', f'alice:{TOKEN}\n')
        for cert, key, said in (('none', 'none', 'No such file'), ('tokens', 'tokens', 'PEM')):
            with self.subTest(cert):
                self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\ntoken-file=tokens\n'
                           f'tls-cert={cert}\ntls-key={key}\n')
                self.check(f'{{}}/gateway.conf:4: tls-cert {{}}/{cert}, tls-key {{}}/{key}: .*{said}')
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\ntoken-file=tokens\ntls-key=a\n')
        self.check('{}/gateway.conf:4: tls-key needs tls-cert as well$')
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:1\ntoken-file=tokens\ntls-key=key.pem\ntls-cert=')
        self.check('{}/gateway.conf:4: tls-key needs tls-cert as well$')

    def test_conf_itself(self):
        self.check('the config file {}/gateway.conf cannot be read: .*')
        self.write('gateway.conf', b'[gateway]\ntarget=\xff\n')
        self.check('the config file {}/gateway.conf cannot be read: it is not text in UTF-8')
        self.write('gateway.conf', '')
        self.check('{}/gateway.conf: .*no target', 'a token is needed', status=FAILED)

    def test_warnings(self):
        """Warnings do not count as errors."""
        self.expire('gateway')
        self.write('tokens', f'alice:{TOKEN} expires=2020-01-01T00:00:00Z\nbob:{OTHER}\n', mode=0o644)
        self.good('[gateway]\ntarget=127.0.0.1:22\ntls-cert=gateway.pem\ntls-key=gateway.key\ntoken-file=tokens\n',
                  warnings=['{}/gateway.conf:3: warning: .*the certificate expired on 2021-01-01',
                            'warning: every user of this machine may read the tokens in {}/tokens',
                            'warning: expired tokens in {}/tokens: 1 of 2'])

    def test_names_of_nobody(self):
        """Principals that no client can be, and ports that are reserved for unknown principals."""
        self.certify()
        self.write('tokens', f'alice:{TOKEN}\n')
        text = ('[gateway]\ntarget=127.0.0.1:22\ntoken-file=tokens\nreverse-ports=alice@57090;carol@57091;carol@57092\n%s'
                '[principal alice]\nmax-sessions=3\n[principal dave]\n'
                '[principal erin]\nreverse-ports=57093\n'
                f'[principal bob]\ntoken={OTHER}\nreverse-ports=57094\n')
        ports = 'warning: ports for reverse tunnels are reserved for “carol”, but there is no such principal$'
        self.good(text % '', warnings=['warning: no client can be “dave”, “erin”: there is neither a token for that nor a client-ca$', ports])
        # With client certificates, these names are possible.
        self.good(text % 'tls-cert=gateway.pem\ntls-key=gateway.key\nclient-ca=gateway.pem\n', warnings=[ports])
        self.good('[gateway]\ntarget=127.0.0.1:22\ntoken-file=tokens\n' + ''.join(f'[principal p{i}]\n' for i in range(7)),
                  warnings=['warning: no client can be “p0”, “p1”, “p2”, “p3”, “p4” and 2 more: '])

    def test_together(self):
        """Values that are valid alone may contradict others."""
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', '[gateway]\ntarget=127.0.0.1:22\ntoken-file=tokens\nallow=b\n'
                   f'[principal bob]\ntoken={TOKEN}\n')
        self.check('{}/gateway.conf:4: allow: ', '.*“alice” and “bob” have the same token')

    def test_secrets(self):
        """A file that everybody may read must not contain tokens, except as hashes."""
        text = f'[gateway]\ntarget=127.0.0.1:22\ntoken={OTHER}\n[principal alice]\ntoken={TOKEN}\n'
        self.write('gateway.conf', text, mode=0o644)
        self.check("{}/gateway.conf:3: token: every user of this machine may read it; 'chmod o-r {}/gateway.conf'",
                   '{}/gateway.conf:5: token: every user')
        self.write('gateway.conf', text, mode=0o640)
        self.check('nothing is wrong', status=0)
        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:22\n[principal alice]\ntoken=sha256:{"0" * 64}\n', mode=0o644)
        self.check('nothing is wrong', status=0)

    def test_command_line(self):
        """The command line overrides the file, and is checked together with it, or alone."""
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', '[gateway]\ntarget=nowhere\nmax-dials=0\ntoken-file=none\nallow=b\n')
        target = ['--target', '127.0.0.1:22']
        self.check('nothing is wrong', status=0,
                   args=[*target, '--max-dials', '3', '--token-file', self.path('tokens'), '--allow', '*:*'])
        self.check('nothing is wrong', status=0, args=[*target, '--max-dials', '3', '--token', 'x', '--allow', '*:*'])
        self.check("--max-dials must be .*, not '0'", '--allow: .*“c”', 'the token file cannot be read',
                   '{}/gateway.conf:2: target: ', args=['--max-dials', '0', '--allow', 'c'])
        found, out, _ = run('gateway', '--check', '--target', 'nowhere', '--token', 'x')
        self.assertEqual((found, out.count('\n')), (FAILED, 1))
        self.assertIn('--target: ', out)
        self.assertEqual(run('gateway', '--check', '--targt', 'x')[0], USAGE)

    def test_places(self):
        """The places of the file, if the command line names no target."""
        os.mkdir(self.path('tcp-tunnel'))
        self.write('tcp-tunnel/tokens', f'alice:{TOKEN}\n')
        self.write('tcp-tunnel/gateway.conf', '[gateway]\ntarget=127.0.0.1:22\ntoken-file=tokens\nmax-dials=x\n')
        for variable in 'XDG_CONFIG_HOME', 'XDG_CONFIG_DIRS':
            found, out, _ = run('gateway', '--check', **{variable: self.directory})
            self.assertEqual((found, out), (FAILED, f'{self.directory}/tcp-tunnel/gateway.conf:4: max-dials must be a whole number '
                                                    "from 1 to 65535, not 'x'\n"))
            found, out, _ = run('gateway', '--check', '--target', '127.0.0.1:1', '--token', 'x', **{variable: self.directory})
            self.assertEqual((found, out), (0, 'nothing is wrong\n'))
        found, _, err = run('gateway', '--token', 'x', XDG_CONFIG_HOME='/none/a', XDG_CONFIG_DIRS='/none/b')
        self.assertEqual(found, USAGE)
        for part in '--target', '/none/a/tcp-tunnel/gateway.conf', '/none/b/tcp-tunnel/gateway.conf', '/etc/tcp-tunnel/gateway.conf':
            self.assertIn(part, err)


class Running(Directory):
    """A gateway with a file, and the effect of changes."""

    def setUp(self):
        super().setUp()
        self.service = self.enterContext(Service())

    def configure(self, more='', gateway=''):
        return (f'[gateway]\ntarget=127.0.0.1:{self.service.port}\ntoken-file=tokens\n{gateway}\n{more}')

    def start(self, *args, **extra):
        self.gateway = self.enterContext(Command('gateway', '--config', self.conf, *args, **extra))
        self.url = re.fullmatch(r'listening on (wss?://127\.0\.0\.1:\d+/\S*)', self.gateway.line())[1]
        return self.gateway

    def tunnel(self, token, *args):
        return self.enterContext(Command('connect', self.url, '--wait=no', '--mode=multiplexed', *args, TCP_TUNNEL_TOKEN=token))

    def served(self, token, *args):
        """Makes a connection through a tunnel, and checks that it works."""
        connection = self.enterContext(dial(listening(self.tunnel(token, *args))))
        self.assertTrue(exchange(connection, noise(1000, 1)))
        return connection

    def refused(self, token):
        self.assertEqual(self.tunnel(token).wait(), FAILED)

    def cut(self, connection):
        with self.assertRaises((ConnectionError, EOFError)):
            receive(connection, 1)

    def test_serves(self):
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure(f'[principal bob]\ntoken={OTHER}\nmax-connections=1\nallow=127.0.0.1:*\n',
                                                  'path=/v1'))
        self.start()
        self.assertTrue(self.url.endswith('/v1'))
        self.served(TOKEN)
        first = self.served(OTHER)
        with Service() as another:
            # alice may not use this target.
            first.close()
            self.served(OTHER, '--target', f'127.0.0.1:{another.port}')
        self.assertEqual(self.gateway.stop(), 0)

    def test_listeners(self):
        """It listens in each place, prints each, and removes its sockets. A Unix socket is relative to the file."""
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure(gateway='path=/v1\nlisten=127.0.0.1:0;unix:gateway.sock; localhost:0'))
        self.start()
        path = self.path('gateway.sock')
        self.assertEqual(self.gateway.line(), f'listening on unix:{path}')
        third = re.fullmatch(r'listening on (ws://(127\.0\.0\.1|\[::1\]):\d+/v1)', self.gateway.line())[1]
        self.served(TOKEN)
        self.url = third
        self.served(TOKEN)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
            self.assertIn(b'HTTP/1.1 4', client.recv(1000))
        # A change takes effect at the next start.
        self.replace('gateway.conf', self.configure(gateway='path=/v1\nlisten=127.0.0.1:0;unix:gateway.sock'))
        self.gateway.error_line('changed keys that take effect at the next start: listen$')
        self.served(TOKEN)
        self.gateway.process.send_signal(signal.SIGINT)
        self.gateway.process.send_signal(signal.SIGINT)
        self.assertEqual(self.gateway.wait(), 0)
        self.assertFalse(os.path.exists(path))

    def test_all_or_nothing(self):
        """If it cannot listen in one place, it does not start."""
        path = self.path('gateway.sock')
        with socket.create_server(('127.0.0.1', 0)) as other:
            taken = other.getsockname()[1]
            found, out, err = run('gateway', '--target', '127.0.0.1:1', '--token', 'x', '--listen', f'unix:{path}', '--listen',
                                  f'{taken}')
        self.assertEqual((found, out), (FAILED, ''))
        self.assertIn(f'cannot listen on 127.0.0.1 port {taken}: Address already in use', err)
        self.assertFalse(os.path.exists(path))

    def test_no_other_tokens(self):
        """The principals may have all the tokens."""
        self.write('gateway.conf', f'[gateway]\ntarget=127.0.0.1:{self.service.port}\n[principal alice]\ntoken={TOKEN}\n')
        self.start(TCP_TUNNEL_TOKEN='wrong')
        self.served(TOKEN)
        self.refused('wrong')

    def test_ports(self):
        """The reverse ports of a principal are for this principal only."""
        self.write('tokens', f'alice:{TOKEN}\nbob:{OTHER}\n')
        self.write('gateway.conf', self.configure('[principal alice]\nreverse-ports=20000-29999\n'))
        self.start()
        good = self.enterContext(Command('reverse', self.url, '--to', str(self.service.port), TCP_TUNNEL_TOKEN=TOKEN))
        port = re.search(r':(\d+) of the gateway', good.line())[1]
        with dial(('127.0.0.1', int(port))) as connection:
            self.assertTrue(exchange(connection, noise(1000, 1)))
        bad = self.enterContext(Command('reverse', self.url, '--to', str(self.service.port), '--wait=no', TCP_TUNNEL_TOKEN=OTHER))
        self.assertEqual(bad.wait(), FAILED)

    def test_bad(self):
        """A gateway with a bad file does not start, and reports all mistakes."""
        self.write('tokens', 'alice\n')
        self.write('gateway.conf', self.configure(gateway='max-dials=0\nallow=b'))
        status, out, err = run('gateway', '--config', self.conf)
        self.assertEqual((status, out), (USAGE, ''))
        for part in f'{self.conf}:4: max-dials ', f'{self.conf}:5: allow: ', f'{self.directory}/tokens:1: not of the form':
            self.assertIn(f'tcp-tunnel gateway: {part}', err)

    def reload_all(self, change, success):
        """Checks the effects of a reload: @change writes a file and causes a reload, and @success waits for that."""
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure())
        connection = self.served_by_start()

        # A principal is added with its token and its rules.
        change('gateway.conf', self.configure(f'[principal bob]\ntoken={OTHER}\nallow=127.0.0.1:*\n'))
        success(r'the configuration was reloaded \(tokens: 2, principals: 2\)$')
        with Service() as another:
            self.served(OTHER, '--target', f'127.0.0.1:{another.port}')
        of_bob = self.served(OTHER)

        # If a part is wrong, nothing of the file takes effect.
        change('gateway.conf', self.configure('[principal bob]\nallow=b\n', 'max-dials=0'))
        success(f'the configuration was not reloaded: {self.conf}:4: max-dials must be')
        success(f'the configuration was not reloaded: {self.conf}:6: allow: ')
        self.assertTrue(exchange(of_bob, noise(1000, 2)))
        change('tokens', 'alice\nbob\n')
        success(f'the configuration was not reloaded: {self.conf}:4: max-dials must be')
        change('gateway.conf', self.configure())
        success(f'the configuration was not reloaded: {self.directory}/tokens:1: ')
        success(f'the configuration was not reloaded: {self.directory}/tokens:2: ')

        # A principal that was removed loses its session, and no other does.
        change('tokens', f'alice:{TOKEN}\n')
        success(r'the configuration was reloaded \(tokens: 1, principals: 1\)$')
        self.cut(of_bob)
        self.refused(OTHER)
        self.assertTrue(exchange(connection, noise(1000, 2)))

    def served_by_start(self, *args):
        self.start(*args)
        return self.served(TOKEN)

    def test_hang_up(self):
        def change(name, text):
            self.write(name, text)
            self.gateway.process.send_signal(signal.SIGHUP)

        self.served_by_start = lambda: Running.served_by_start(self, '--watch=no')
        self.reload_all(change, lambda pattern: self.gateway.error_line(pattern))

    def test_watch(self):
        """A change of a file, of its content or by another file with its name, has the effect of the signal."""
        for change in self.write, self.replace:
            with self.subTest(change.__name__):
                self.reload_all(change, lambda pattern: self.gateway.error_line(pattern))
                self.assertEqual(self.gateway.stop(), 0)

    def test_watch_links(self):
        """In a Kubernetes mount, each file is a link into ..data, which is a link that is replaced."""
        def provide(version, **files):
            os.mkdir(self.path(f'..{version}'))
            for name, text in files.items():
                self.write(f'..{version}/{name}', text)
            os.symlink(f'..{version}', self.path('..data_tmp'))
            os.rename(self.path('..data_tmp'), self.path('..data'))

        os.symlink('..data/tokens', self.path('tokens'))
        self.write('gateway.conf', self.configure())
        provide(1, tokens=f'alice:{TOKEN}\n')
        connection = self.served_by_start()
        for version in 2, 3:
            provide(version, tokens=f'alice:{TOKEN}\n' + ''.join(f'bob{i}:{OTHER}{i}\n' for i in range(version)))
            self.gateway.error_line(rf'the configuration was reloaded \(tokens: {version + 1}, principals: {version + 1}\)$')
            shutil.rmtree(self.path(f'..{version - 1}'))
        self.served(f'{OTHER}2')
        self.assertTrue(exchange(connection, noise(1000, 2)))

    def test_certificate(self):
        """New handshakes use the new certificate once both of its files are there."""
        self.certify('old')
        self.certify('new')
        for name in 'pem', 'key':
            shutil.copy(self.path(f'old.{name}'), self.path(f'live.{name}'))
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure(gateway='tls-cert=live.pem\ntls-key=live.key'))
        self.start()
        connection = self.served(TOKEN, '--ca', self.path('old.pem'))
        shutil.copy(self.path('new.pem'), self.path('live.pem'))
        self.gateway.error_line('the configuration was not reloaded: .*gateway.conf:4: .*the private key does not match it')
        shutil.copy(self.path('new.key'), self.path('live.key'))
        self.gateway.error_line(r'the configuration was reloaded \(tokens: 1, principals: 1\)$')
        self.served(TOKEN, '--ca', self.path('new.pem'))
        self.assertTrue(exchange(connection, noise(1000, 2)))

    def test_changes_meanwhile(self):
        """A file that changes between two reads of a reload is detected as bad."""
        self.certify('live')
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure(gateway='tls-cert=live.pem\ntls-key=live.key'))
        self.start('--watch=no')
        with open(self.path('live.pem')) as file:
            certificate = file.read()
        os.mkfifo(self.path('pipe'))
        os.rename(self.path('pipe'), self.path('live.pem'))
        self.gateway.process.send_signal(signal.SIGHUP)
        with open(self.path('live.pem'), 'w') as pipe:
            self.replace('live.pem', 'none')
            pipe.write(certificate)
        self.gateway.error_line('the configuration was not reloaded: .*gateway.conf:4: tls-cert .*live.pem')

        self.replace('live.pem', certificate)
        self.gateway.process.send_signal(signal.SIGHUP)
        self.gateway.error_line(r'the configuration was reloaded \(tokens: 1, principals: 1\)$')
        self.served(TOKEN, '--ca', self.path('live.pem'))

    def test_waiting(self):
        """A change that a reload cannot apply is reported; settings of the command itself are applied."""
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure())
        connection = self.served_by_start()
        self.replace('gateway.conf', self.configure(gateway='listen=127.0.0.1:1\nmax-memory=64\nmax-connections=5\ndrain-timeout=600'))
        self.gateway.error_line('changed keys that take effect at the next start: listen, max-memory$')
        self.gateway.process.send_signal(signal.SIGTERM)
        self.gateway.error_line('1 may go on for 600000 ms$')
        connection.close()
        self.assertEqual(self.gateway.wait(), 0)

    def test_notifies(self):
        """The service manager is notified of each reload, good or bad."""
        path = self.path('notify')
        manager = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(path)
        manager.settimeout(DEADLINE)
        self.write('tokens', f'alice:{TOKEN}\n')
        self.write('gateway.conf', self.configure())
        self.start('--watch', 'no', NOTIFY_SOCKET=path)
        self.assertIn(b'READY=1', manager.recv(1000))
        for text in self.configure(), 'bad', self.configure(gateway='token=x'):
            self.write('gateway.conf', text)
            self.gateway.process.send_signal(signal.SIGHUP)
            self.assertRegex(manager.recv(1000), rb'^RELOADING=1\nMONOTONIC_USEC=\d+$')
            self.assertEqual(manager.recv(1000), b'READY=1')


if __name__ == '__main__':
    unittest.main(verbosity=2)
