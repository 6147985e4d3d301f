# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command as a user sees it: its arguments, output, exit status and ports."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from support import (BINARY, DEADLINE, Away, Command, Config, Relay, Service, TOKEN, dial, environment, exchange, gateway,
                     knock, listening, listening_as, noise, receive, run, skip)

FAILED = 1
USAGE = 2


class Help(unittest.TestCase):
    def test_help_fits_and_names_all_options(self):
        options = {
            '': ['connect', 'up', 'gateway', 'demo', '--version'],
            'connect': ['--token-file', '--token-command', '--token', 'TCP_TUNNEL_TOKEN', '--listen', '--target', '--mode',
                        '--on-ready', '--config',
                        '--resumption', '--wait', '--max-connections', '--max-reconnect-attempts', 'unlimited', '--reconnect-delay',
                        '--max-reconnect-delay', '500ms',
                        '--ca', '--header', '--log-level', '--json', '--quiet'],
            'up': ['--config', '--wait', '--max-connections', '--log-level', '--json', '--quiet', 'tunnels.conf', 'defaults', 'on-ready'],
            'gateway': ['--target', '--allow', '--listen', '--path', '--route', '--token-file', '--token', 'TCP_TUNNEL_TOKEN',
                        '--tls-cert', '--tls-key', '--client-ca', '--resumption', '--session-timeout',
                        '--drain-timeout', '500ms', '--trusted-proxy', '--max-connections', '--max-memory', '--max-dials',
                        '--max-principal-sessions', '--max-principal-connections', '--max-principal-dials',
                        '--max-principal-memory', '--max-principal-dial-rate', '--max-principal-upload-rate',
                        '--max-principal-download-rate', '--log-level'],
            'demo': ['--keep', '--size'],
        }
        for command, expected in options.items():
            status, out, err = run(*command.split(), '--help')
            self.assertEqual((status, err), (0, ''))
            self.assertLessEqual(max(map(len, out.splitlines())), 80)
            for option in expected:
                self.assertIn(option, out)

    def test_version(self):
        status, out, err = run('--version')
        self.assertEqual((status, err), (0, ''))
        self.assertRegex(out, r'^tcp-tunnel \d+\.\d+\.\d+\n$')


class Usage(unittest.TestCase):
    """The message for each mistake names the mistake and the allowed values."""

    URL = 'ws://127.0.0.1:1/'

    def check(self, args, *expected, **extra):
        status, out, err = run(*args, **extra)
        self.assertEqual((status, out), (USAGE, ''), err)
        for text in expected:
            self.assertIn(text, err)
        self.assertIn('--help', err)
        self.assertNotIn(TOKEN, err)

    def connect(self, *args):
        return ['connect', self.URL, '--token', TOKEN, *args]

    def test_commands(self):
        self.check([], 'connect', 'gateway', 'demo')
        self.check(['dial'], "'dial'", 'connect', 'up', 'gateway', 'demo')
        self.check(['demo', 'now'], "'now'")

    def test_url(self):
        self.check(['connect', '--token', TOKEN], 'URL')
        self.check(['connect', self.URL, 'another'], "'another'")
        self.check(['connect', 'http://127.0.0.1:1/', '--token', TOKEN], 'http', 'ws')
        self.check(['connect', 'ws://not a url', '--token', TOKEN], 'URL', 'not valid')
        self.check(['connect', 'example.org', '--token', TOKEN], "'example.org' is neither a URL", 'nor a NAME',
                   '/nonexistent/tcp-tunnel/tunnels.conf')
        self.check(['connect', 'localhost', '--token', TOKEN], "'localhost' is neither a URL", 'nor a NAME')
        self.check(['connect', '127.0.0.1:7001', '--token', TOKEN], 'did you mean ws://127.0.0.1:7001/?')
        self.check(['up'], 'there is no config file', '/nonexistent/tcp-tunnel/tunnels.conf')
        for address, url in (('localhost:8080', 'ws://localhost:8080/'), ('[::1]:80', 'ws://[::1]:80/'),
                             ('example.org:443', 'wss://example.org:443/'), ('127.0.0.1:1/t', 'ws://127.0.0.1:1/t')):
            self.check(['connect', address, '--token', TOKEN], f"'{address}' is not a URL; did you mean {url}?",
                       '/nonexistent/tcp-tunnel/tunnels.conf')

    def test_values(self):
        self.check(self.connect('--mode', 'tripled'), "'tripled'", 'singleton', 'multiplexed')
        self.check(self.connect('--resumption', 'maybe'), "'maybe'", 'auto', 'required', 'off')
        self.check(self.connect('--log-level', 'loud'), "'loud'", 'none', 'debug')
        for value in ('-1', '', 's', '1m', '1.5s', '1min30s', '1s ', '4294967296', '1194h', '99999999999999999999s'):
            self.check(self.connect('--reconnect-delay', value), '--reconnect-delay must be a duration such as 500ms, ',
                       f"a number alone is in seconds), not '{value}'")
        for value in ('many', '', '-1', '1s', '2147483648', 'Unlimited'):
            self.check(self.connect('--max-reconnect-attempts', value), '--max-reconnect-attempts must be a whole number',
                       f"or unlimited, not '{value}'")
        for value in ('0', '65536', 'many', ''):
            self.check(self.connect('--max-connections', value), '--max-connections must be a whole number from 1 to 65535',
                       f"not '{value}'")
        self.check(self.connect('--wait', 'maybe'), "--wait must be yes or no, not 'maybe'")
        self.check(self.connect('--max-reconnect-delay', '1 day'), '--max-reconnect-delay', "'1 day'")
        self.check(self.connect('--frobnicate'), '--frobnicate')
        # A secret whose colon is missing is not repeated.
        for wrong in (TOKEN, f'Authorization {TOKEN}', f'Key {TOKEN}: 1', f': {TOKEN}', ''):
            self.check(self.connect('--header', 'X-One: 1', '--header', wrong),
                       "--header must be 'NAME: VALUE', but number 2 is not")
        self.check(self.connect('--ca', '/nonexistent/ca.pem'), '/nonexistent/ca.pem')
        self.check(['demo', '--size', '0'], '--size', "'0'")

    def test_nearest(self):
        self.check(['conect'], "did you mean 'connect'?")
        self.check(['gatewya'], "did you mean 'gateway'?")
        self.check(['frobnicate'], "'frobnicate'\n")
        # The part behind the option may be a secret.
        self.check(self.connect(f'--tokn-file={TOKEN}'), "'--tokn-file'", "did you mean '--token-file'?")
        self.check(self.connect('-quiet'), "did you mean '--quiet'?")
        self.check(self.connect('--max-attempts', '3'), "no option '--max-attempts'\n")
        self.check(self.connect('--mode', 'multi'), "did you mean 'multiplexed'?")
        self.check(self.connect('--log-level', 'wrn'), "did you mean 'warn'?")
        self.check(self.connect('--resumption', 'x' * 1000), "'" + 'x' * 1000 + "'\n")
        self.check(['gateway', '--targt', 'a:1'], "did you mean '--target'?")
        self.check(['up', '--jsn'], "did you mean '--json'?")
        self.check(['demo', '--kep'], "did you mean '--keep'?")
        # What follows -- is not an option.
        self.check(['connect', '--', '--frobnicate'], "'--frobnicate' is neither a URL")
        self.check(['connect', '--token', TOKEN, '--', 'http://127.0.0.1/'], 'http', 'ws')

    def test_listen(self):
        for value in ('', 'localhost', '127.0.0.1:', '127.0.0.1:65536', ':80', '::1', '::1:80',
                      '[::1]', '[]:80', '-1'):
            self.check(self.connect('--listen', value), '--listen', f"'{value}'", 'HOST:PORT')

    def test_token(self):
        with tempfile.TemporaryDirectory() as directory:
            def file(text):
                path = os.path.join(directory, 'token')
                with open(path, 'w', encoding='utf-8') as stream:
                    stream.write(text)
                return ['connect', self.URL, '--token-file', path]

            self.check(['connect', self.URL], '--token-file', '--token-command', '--token ', 'TCP_TUNNEL_TOKEN')
            self.check([*file(TOKEN), '--token', TOKEN], '--token', '--token-file', 'exclude')
            self.check(file(''), 'no token')
            self.check(file('\n'), 'no token')
            self.check(file(f'{TOKEN}\r\n{TOKEN}\n'), 'one line of printable ASCII without spaces\n')
            self.check(file(f'# names\nalice:{TOKEN}\n'), 'one line', 'the token file of a gateway?')
            self.check(file(f'{TOKEN}\n\0'), 'is not a text file')
            self.check(['connect', self.URL], 'TCP_TUNNEL_TOKEN', TCP_TUNNEL_TOKEN='')
            self.check(['connect', self.URL, '--token-file', directory + '/none'], '/none')

    def test_gateway(self):
        target = ['gateway', '--target', '127.0.0.1:1']
        self.check(['gateway', '--token', TOKEN], '--target')
        self.check([*target], '--token-file FILE or --token TOKEN')
        self.check([*target, '--token', TOKEN, '--tls-cert', 'a'], '--tls-key')
        self.check([*target, '--token', TOKEN, '--tls-cert', '/none', '--tls-key', '/none'], '/none')
        for path in ('', 'v1', '/v1/*', '/v1?mode=multiplexed', '/a b'):
            self.check([*target, '--token', TOKEN, '--path', path], '--path', "'*'", f"'{path}'")
        self.check([*target, '--token', TOKEN, '--allow', 'a:1', '--allow', '0x7f.1:22'], '“0x7f.1”')
        self.check([*target, '--token', TOKEN, '--session-timeout', 'x'], '--session-timeout', "'x'")
        self.check([*target, '--token', TOKEN, '--drain-timeout', '-1'], '--drain-timeout', "'-1'",
                   'a number alone is in seconds')
        self.check([*target, '--token', TOKEN, '--max-connections', '0'], '--max-connections', 'from 1 to 65535')
        self.check([*target, '--token', TOKEN, '--trusted-proxy', '127.0.0.1', '--trusted-proxy', 'proxy.example'], '“proxy.example”')
        self.check([*target, '--token', TOKEN, '--max-memory', '7'], '--max-memory', 'from 8')
        for rate in ('100', '10MB', 'fast', '-1', '2000G', 'K'):
            self.check([*target, '--token', TOKEN, '--max-principal-upload-rate', rate], '--max-principal-upload-rate',
                       '500K, 10M or 1G, from 1024 to 1000G', f"'{rate}'")
        self.check([*target, '--token', TOKEN, '--max-principal-dial-rate', '-1'], '--max-principal-dial-rate', 'to 1000000')
        self.check([*target, '--token', TOKEN, '--resumption', 'yes'], '--resumption', 'required')
        self.check(['gateway', '--target', 'nowhere', '--token', TOKEN], 'nowhere')
        self.check([*target, '--token', TOKEN, 'more'], "'more'")


class Token(unittest.TestCase):
    """Wherever the token comes from, it works, and is not shown anywhere."""

    def check(self, args, **extra):
        with Service() as service:
            server, url = gateway(service)
            with server, Command('connect', url, '--log-level', 'debug', *args, **extra) as tunnel:
                with dial(listening(tunnel)) as connection:
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                with open(f'/proc/{tunnel.process.pid}/cmdline', encoding='utf-8') as file:
                    self.assertNotIn(TOKEN, file.read())
                self.assertEqual(tunnel.stop(), 0)
                self.assertNotIn(TOKEN, ''.join(tunnel.output))

    def test_argument(self):
        self.check(['--token', TOKEN])
        self.check([f'--token={TOKEN}'])

    def test_environment(self):
        self.check([], TCP_TUNNEL_TOKEN=TOKEN)

    def test_file(self):
        for begin, end in (('', ''), ('', '\n'), ('', '\r\n'), ('\ufeff', '\n')):
            with tempfile.NamedTemporaryFile('w', newline='', encoding='utf-8') as file:
                file.write(begin + TOKEN + end)
                file.flush()
                # The option overrides the environment.
                self.check(['--token-file', file.name], TCP_TUNNEL_TOKEN='another')

    def test_file_for_everybody(self):
        with Service() as service, tempfile.NamedTemporaryFile('w') as file:
            server, url = gateway(service)
            file.write(TOKEN)
            file.flush()
            with server:
                for mode in (0o640, 0o644):
                    os.chmod(file.name, mode)
                    with Command('connect', url, '--token-file', file.name, '--log-level', 'warn') as tunnel:
                        listening(tunnel)
                        self.assertEqual(tunnel.stop(), 0)
                        warned = [line for line in tunnel.output if f'chmod o-r {file.name}' in line]
                        self.assertEqual(len(warned), 1 if mode & 4 else 0, tunnel.output)

    def test_gateway(self):
        with Service() as service, tempfile.NamedTemporaryFile('w') as file:
            file.write(f'# who may come in\nalice:{TOKEN}\n')
            file.flush()
            target = f'127.0.0.1:{service.port}'
            for args in (['--token-file', file.name], ['--token', TOKEN]):
                with Command('gateway', '--target', target, '--log-level', 'debug', *args) as server:
                    url = server.line().split()[-1]
                    with Command('connect', url, TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
                        with dial(listening(tunnel)) as connection:
                            self.assertTrue(exchange(connection, noise(1000, 1)))
                        self.assertEqual(tunnel.stop(), 0)
                    with open(f'/proc/{server.process.pid}/cmdline', encoding='utf-8') as text:
                        self.assertNotIn(TOKEN, text.read())
                    self.assertEqual(server.stop(), 0)
                    self.assertNotIn(TOKEN, ''.join(server.output))


class RoundTrip(unittest.TestCase):
    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)
        self.server = server

    def connect(self, *args):
        return Command('connect', self.url, *args, TCP_TUNNEL_TOKEN=TOKEN)

    def test_singleton(self):
        with self.connect() as tunnel:
            with dial(listening(tunnel)) as connection:
                self.assertTrue(exchange(connection, noise(16 << 20, 1)))
            self.assertEqual(tunnel.stop(signal.SIGINT), 0)
        self.assertEqual(self.server.stop(), 0)

    def check_limit(self, tunnel, address=None):
        """Two clients may be connected at a time, a third one is closed."""
        address = address or listening(tunnel)
        first, second = self.enterContext(dial(address)), self.enterContext(dial(address))
        self.assertTrue(exchange(first, b'one') and exchange(second, b'two'))
        with dial(address) as third:
            third.sendall(b'three')
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(third.recv(1), b'')
        self.assertTrue(exchange(first, b'still'))

    def test_max_connections(self):
        with self.connect('--mode', 'multiplexed', '--max-connections', '2') as tunnel:
            self.check_limit(tunnel)
        config = self.enterContext(Config())
        config.write(f'[few]\nremote-uri={self.url}\nmode=multiplexed\nlisten=0\nmax-connections=2\n')
        with Command('connect', 'few', XDG_CONFIG_HOME=config.home, TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
            self.check_limit(tunnel)
        config.write(f'[many]\nremote-uri={self.url}\nmode=multiplexed\nlisten=0\n')
        with Command('up', '--max-connections', '2', XDG_CONFIG_HOME=config.home, TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
            self.check_limit(tunnel, listening_as(tunnel, ['many'])['many'])
        server, self.url = gateway(self.enterContext(Service()), '--max-connections', '2')
        with server, self.connect('--mode', 'multiplexed') as tunnel:
            self.check_limit(tunnel)

    def test_rates(self):
        """The transfer takes at least the time that the rate implies, minus the initial second."""
        for option in ('--max-principal-upload-rate', '--max-principal-download-rate'):
            server, self.url = gateway(self.enterContext(Service()), option, '1M')
            with server, self.connect('--mode', 'multiplexed') as tunnel:
                began = time.monotonic()
                with dial(listening(tunnel)) as connection:
                    self.assertTrue(exchange(connection, noise(1_200_000, 3)))
                self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_multiplexed(self):
        with self.connect('--mode', 'multiplexed') as tunnel:
            address = listening(tunnel)
            results = []

            def client(seed):
                with dial(address) as connection:
                    results.append(exchange(connection, noise(2 << 20, seed)))

            clients = [threading.Thread(target=client, args=(i,)) for i in range(8)]
            for thread in clients:
                thread.start()
            for thread in clients:
                thread.join()
            self.assertEqual(results, [True] * 8)
            self.assertEqual(tunnel.stop(), 0)

    def test_target(self):
        """Another service than the gateway's own, if the gateway allows it; also from the config file."""
        def hello(connection):
            connection.sendall(b'other')

        def ask(tunnel):
            with tunnel, dial(listening(tunnel)) as connection:
                answer = connection.recv(5)
                self.assertEqual(tunnel.stop(), 0)
                return answer

        with Service(hello) as other, Service() as own:
            there = f'127.0.0.1:{other.port}'
            command, url = gateway(own, '--allow', '*.lab:5432', '--allow', f'127.0.0.1:{other.port}-{other.port}')
            with command, Config(f'[other]\nremote-uri={url}\ntoken-file=token\ntarget={there}\n') as config:
                self.assertEqual(ask(Command('connect', url, '--target', there, TCP_TUNNEL_TOKEN=TOKEN)), b'other')
                self.assertEqual(ask(Command('connect', 'other', XDG_CONFIG_HOME=config.home)), b'other')
                with Command('connect', url, '--target', 'localhost:5432', TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
                    with dial(listening(tunnel)) as connection, self.assertRaises(ConnectionResetError):
                        receive(connection, 1)
                    tunnel.error_line('does not allow the target localhost:5432')
                    self.assertEqual(tunnel.stop(), 0)
                self.assertEqual(command.stop(), 0)

    def test_listen(self):
        with socket.create_server(('127.0.0.1', 0)) as taken:
            port = taken.getsockname()[1]
        for listen, host in ((f'127.0.0.1:{port}', '127.0.0.1'), (f'{port}', '127.0.0.1')):
            with self.connect('--listen', listen) as tunnel:
                self.assertEqual(listening(tunnel), (host, port))
                self.assertEqual(tunnel.stop(), 0)

    def test_ipv6(self):
        try:
            socket.create_server(('::1', 0), family=socket.AF_INET6).close()
        except OSError as error:
            skip(self, f'no IPv6 loopback here: {error}')
        with self.connect('--listen', '[::1]:0') as tunnel:
            address = listening(tunnel)
            self.assertEqual(address[0], '::1')
            with dial(address) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, 1)))

    def test_quiet(self):
        with self.connect('--quiet') as tunnel:
            with dial(listening(tunnel)) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
            self.assertEqual(tunnel.stop(), 0)
            self.assertEqual(len(tunnel.output), 1)

    def test_log_level(self):
        with self.connect('--log-level', 'debug') as tunnel:
            with dial(listening(tunnel)) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
            tunnel.error_line(r'^\d\d:\d\d:\d\d (info |debug) ')
            self.assertEqual(tunnel.stop(), 0)
            self.assertNotIn('\x1b', ''.join(tunnel.output))

    def test_nobody_reads_the_log(self):
        """Log output fills a pipe that nothing reads; data continues to flow."""
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        with subprocess.Popen([BINARY, 'connect', self.url, '--mode', 'multiplexed', '--log-level', 'debug'],
                              env=environment(TCP_TUNNEL_TOKEN=TOKEN), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=writer, text=True) as tunnel:
            os.close(writer)
            address = re.search(r'([\d.]+):(\d+)', tunnel.stdout.readline()).groups()
            for seed in range(500):
                with dial((address[0], int(address[1]))) as connection:
                    self.assertTrue(exchange(connection, noise(1000, seed)))
            tunnel.send_signal(signal.SIGTERM)
            self.assertEqual(tunnel.wait(DEADLINE), 0)
        with open(reader) as log:
            self.assertLessEqual(len(log.read()), 4096)

    def test_wss(self):
        openssl = shutil.which('openssl')
        if openssl is None:
            skip(self, 'there is no openssl to make a certificate with')
        directory = self.enterContext(tempfile.TemporaryDirectory())
        key, cert = os.path.join(directory, 'key.pem'), os.path.join(directory, 'cert.pem')
        subprocess.run([openssl, 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
                        '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1',
                        '-keyout', key, '-out', cert], check=True, capture_output=True)
        service = self.enterContext(Service())
        server, url = gateway(service, '--tls-cert', cert, '--tls-key', key)
        self.enterContext(server)
        self.assertTrue(url.startswith('wss://'))

        trusting = self.enterContext(Command('connect', url, '--ca', cert, TCP_TUNNEL_TOKEN=TOKEN))
        with dial(listening(trusting)) as connection:
            self.assertTrue(exchange(connection, noise(1 << 20, 1)))

        status, _, err = run('connect', url, '--mode', 'multiplexed', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual(status, FAILED)
        self.assertIn('certificate', err)
        self.assertNotIn('waiting', err)

    def test_client_certificates(self):
        openssl = shutil.which('openssl')
        if openssl is None:
            skip(self, 'there is no openssl to make a certificate with')
        directory = self.enterContext(tempfile.TemporaryDirectory())

        def path(name):
            return os.path.join(directory, name)

        def make(name, subject, *args):
            subprocess.run([openssl, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                            '-days', '2', '-subj', subject, '-keyout', path(name + '.key'), '-out', path(name + '.pem'), *args],
                           check=True, capture_output=True)

        # A self-signed certificate is its own authority.
        make('server', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1')
        make('known', '/CN=default')
        make('unknown', '/CN=mallory')
        shutil.copy(path('known.pem'), path('ca.pem'))
        service = self.enterContext(Service())
        server, url = gateway(service, '--tls-cert', path('server.pem'), '--tls-key', path('server.key'),
                              '--client-ca', path('ca.pem'))
        self.enterContext(server)

        def way(name):
            return (url, '--no-token', '--ca', path('server.pem'),
                    '--client-cert', path(name + '.pem'), '--client-key', path(name + '.key'))

        def connect(name):
            return ('connect', *way(name), '--mode', 'multiplexed')

        tunnel = self.enterContext(Command(*connect('known')))
        with dial(listening(tunnel)) as connection:
            self.assertTrue(exchange(connection, noise(1 << 20, 1)))
        status, out, _ = run('check', *way('known'))
        self.assertEqual(status, 0)
        self.assertRegex(out, '(?m)Token +accepted, from --client-cert$')
        status, _, err = run(*connect('unknown'))
        self.assertEqual(status, FAILED)
        self.assertIn('401', err)
        server.error_line('The client certificate is not accepted: its issuer is none of those of client-ca.')

        # A client that resumes a TLS session does not send its certificate again, and is not accepted for the
        # certificate of the earlier session.
        context = ssl.create_default_context(cafile=path('server.pem'))
        context.load_cert_chain(path('known.pem'), path('known.key'))
        address = ('127.0.0.1', int(url.rsplit(':', 1)[1].strip('/')))

        def ask(session):
            with socket.create_connection(address, timeout=DEADLINE) as connection:
                with context.wrap_socket(connection, server_hostname='127.0.0.1', session=session) as tls:
                    tls.sendall(b'GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                                b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
                    return int(tls.recv(1000).split()[1]), tls.session

        status, session = ask(None)
        self.assertEqual(status, 101)
        self.assertEqual(ask(session)[0], 101)
        shutil.copy(path('unknown.pem'), path('ca.pem'))
        server.process.send_signal(signal.SIGHUP)
        server.error_line('the configuration was reloaded')
        self.assertEqual(ask(session)[0], 401)
        server.error_line('was asked for another credential: the client certificate is not accepted any more')
        self.assertEqual(tunnel.wait(), FAILED)

        # A bad file changes nothing.
        with open(path('ca.pem'), 'w'):
            pass
        server.process.send_signal(signal.SIGHUP)
        server.error_line('the configuration was not reloaded: --client-ca .*ca.pem: ')
        self.assertEqual(server.stop(), 0)


class Waiting(unittest.TestCase):
    """A gateway that does not run yet."""

    SOON = ('--mode', 'multiplexed', '--reconnect-delay', '1ms', '--max-reconnect-delay', '20ms')

    def setUp(self):
        self.service = self.enterContext(Service())
        self.away = self.enterContext(Away())
        self.config = self.enterContext(Config())

    def connect(self, *args, **extra):
        return self.enterContext(Command('connect', self.away.url, *self.SOON, *args, TCP_TUNNEL_TOKEN=TOKEN, **extra))

    def arrive(self):
        self.enterContext(self.away.arrive(self.service))

    def check(self, address):
        with dial(address) as connection:
            self.assertTrue(exchange(connection, noise(1000, 1)))

    def test_connect(self):
        for args in ((), ('--max-reconnect-attempts', 'unlimited'), ('--wait', 'yes')):
            with self.subTest(args), Away() as self.away:
                tunnel = self.connect(*args)
                tunnel.error_line(r'^[\d:]+ warn  tunnel: .* cannot be reached: .*refused.*; attempt 1 follows in \d+ ms$')
                tunnel.error_line('^tcp-tunnel connect: waiting for the gateway$')
                # This is more than the library's own default.
                tunnel.error_line('; attempt 8 follows')
                self.assertTrue(tunnel.stdout.empty())
                self.arrive()
                self.check(listening(tunnel))
                self.assertEqual(tunnel.stop(), 0)
                self.assertEqual(''.join(tunnel.output).count('waiting for the gateway'), 1)

    def test_few_warnings(self):
        """A gateway that is away for hours does not fill the log."""
        tunnel = self.connect('--log-level', 'warn')
        tunnel.error_line('; attempt 64 follows')
        self.assertEqual(tunnel.stop(), 0)
        attempts = [re.search(r' warn  tunnel: .*; attempt (\d+) follows|waiting for the gateway$', line)[1]
                    for line in tunnel.output]
        self.assertEqual(attempts.count(None), 1, tunnel.output)
        attempts.remove(None)
        wanted = ['1', '2', '3', '4', '5', '6', '8', '16', '32', '64', '128', '256']
        self.assertEqual(attempts, wanted[:len(attempts)])

    def test_one_line(self):
        """The line contains the reason if the log does not have it."""
        for args in (('--quiet',), ('--log-level', 'error'), ('--log-level', 'none')):
            with self.subTest(args), Away() as self.away:
                tunnel = self.connect(*args)
                self.assertRegex(tunnel.stderr.get(timeout=DEADLINE),
                                 rf'^tcp-tunnel connect: the gateway {self.away.url} cannot be reached: .*refused.*; '
                                 r'waiting for the gateway, the next attempt is in \d+ s$')
                self.arrive()
                self.check(listening(tunnel))
                self.assertEqual(tunnel.stop(), 0)
                self.assertEqual(len(tunnel.output), 2, tunnel.output)

    def test_on_ready(self):
        """The command runs when the gateway is there."""
        tunnel = self.connect('--on-ready', 'echo ready')
        tunnel.error_line('waiting for the gateway')
        self.assertNotIn('ready\n', tunnel.output)
        self.arrive()
        tunnel.error_line('^ready$')
        self.assertEqual(tunnel.stop(), 0)

    def test_stopped_meanwhile(self):
        for args in ((), ('--json',)):
            tunnel = self.connect(*args)
            tunnel.error_line('waiting for the gateway')
            self.assertEqual(tunnel.stop(), 0)

    def test_not_wanted(self):
        self.config.write(f'[defaults]\nremote-uri={self.away.url}\ntoken-file=token\nmode=multiplexed\n'
                          '[patient]\n[hasty]\nwait=no\n')
        for args in (('connect', self.away.url, '--mode', 'multiplexed', '--wait=no', '--token', TOKEN),
                     ('connect', 'hasty'), ('connect', 'patient', '--wait', 'no'), ('up', 'hasty'),
                     ('up', '--wait', 'no')):
            with self.subTest(args):
                status, out, err = run(*args, XDG_CONFIG_HOME=self.config.home)
                self.assertEqual((status, out), (FAILED, ''))
                self.assertRegex(err, r'(?m)^tcp-tunnel (connect|up): (hasty: |patient: )?the gateway .* cannot be reached: ')
                self.assertNotIn('waiting', err)
                self.assertNotIn('follows', err)

    def test_bounded(self):
        self.config.write(f'[defaults]\nremote-uri={self.away.url}\ntoken-file=token\nmode=multiplexed\n'
                          'reconnect-delay=1ms\nmax-reconnect-attempts=unlimited\n'
                          '[bounded]\nmax-reconnect-attempts=2\n[unbounded]\n')
        for args in (('connect', self.away.url, *self.SOON, '--max-reconnect-attempts', '2', '--token', TOKEN),
                     ('connect', 'bounded'), ('up', 'bounded'),
                     ('connect', 'unbounded', '--max-reconnect-attempts=2')):
            with self.subTest(args):
                status, out, err = run(*args, XDG_CONFIG_HOME=self.config.home)
                self.assertEqual((status, out), (FAILED, ''))
                self.assertRegex(err, r'(?m)^tcp-tunnel \w+: (bounded: )?gave up after 2 attempts: .*refused')
                self.assertIn('waiting for the gateway', err)
        with Command('connect', 'unbounded', XDG_CONFIG_HOME=self.config.home) as tunnel:
            tunnel.error_line('; attempt 8 follows')
            self.assertEqual(tunnel.stop(), 0)

    def test_up(self):
        """Each tunnel waits for its own gateway, and does not delay those whose gateways are there."""
        server, url = gateway(self.service)
        self.enterContext(server)
        self.config.write(f'[defaults]\ntoken-file=token\nmode=multiplexed\nreconnect-delay=1ms\n'
                          f'max-reconnect-delay=20ms\n[here]\nremote-uri={url}\n'
                          f'[away]\nremote-uri={self.away.url}\n')
        tunnels = self.enterContext(Command('up', XDG_CONFIG_HOME=self.config.home))
        tunnels.error_line(r'^[\d:]+ warn  away: .*; attempt \d+ follows in \d+ ms$')
        tunnels.error_line('^tcp-tunnel up: away: waiting for the gateway$')
        addresses = listening_as(tunnels, ['here'])
        self.check(addresses['here'])
        self.arrive()
        self.check(listening_as(tunnels, ['away'])['away'])
        self.assertEqual(tunnels.stop(), 0)

    def test_final_answers(self):
        """A failure that is final is not waited for."""
        def answer(status):
            def handler(connection):
                data = b''
                while b'\r\n\r\n' not in data:
                    data += receive(connection, 1)
                connection.sendall(f'HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n'.encode())
            return self.enterContext(Service(handler)).port

        for status in ('401 Unauthorized', '403 Forbidden', '404 Not Found', '200 OK'):
            with self.subTest(status):
                code, out, err = run('connect', f'ws://127.0.0.1:{answer(status)}/', *self.SOON, TCP_TUNNEL_TOKEN=TOKEN)
                self.assertEqual((code, out), (FAILED, ''))
                self.assertIn(status.split()[0], err)
                self.assertNotIn('waiting', err)
                self.assertNotIn('follows', err)

    def test_answers_that_pass(self):
        """A proxy whose gateway does not run."""
        answers = iter(['502 Bad Gateway', '503 Service Unavailable', '403 Forbidden'])

        def handler(connection):
            data = b''
            while b'\r\n\r\n' not in data:
                data += receive(connection, 1)
            connection.sendall(f'HTTP/1.1 {next(answers)}\r\nContent-Length: 0\r\n\r\n'.encode())

        proxy = self.enterContext(Service(handler))
        code, out, err = run('connect', f'ws://127.0.0.1:{proxy.port}/', *self.SOON, TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((code, out), (FAILED, ''))
        for text in ('502', '; attempt 1 follows', 'waiting for the gateway', '503', '; attempt 2 follows', '403'):
            self.assertIn(text, err)

    def test_tls_session_resumed(self):
        """A tunnel that connects again resumes the TLS session."""
        directory = self.enterContext(tempfile.TemporaryDirectory())
        certificate, key = os.path.join(directory, 'certificate.pem'), os.path.join(directory, 'key.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=gateway',
                        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        answers = iter(['502 Bad Gateway', '503 Service Unavailable', '403 Forbidden'])
        reused = []

        def handler(connection):
            with context.wrap_socket(connection, server_side=True) as secure:
                reused.append(secure.session_reused)
                data = b''
                while b'\r\n\r\n' not in data:
                    data += secure.recv(1)
                secure.sendall(f'HTTP/1.1 {next(answers)}\r\nContent-Length: 0\r\n\r\n'.encode())

        service = self.enterContext(Service(handler))
        code, out, err = run('connect', f'wss://127.0.0.1:{service.port}/', *self.SOON, '--ca', certificate,
                             TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((code, out), (FAILED, ''))
        self.assertIn('403', err)
        self.assertEqual(reused, [False, True, True])

    def test_json(self):
        for delay in '2min', '120':
            with self.subTest(delay):
                tunnel = self.connect('--json', '--reconnect-delay', delay, '--max-reconnect-delay', '1h')
                event = json.loads(tunnel.line())
                self.assertEqual((event['event'], event['attempt'], event['error']['code']), ('retry-scheduled', 1, 'unreachable'))
                self.assertLessEqual(event['delay_ms'], 120000)
                self.assertGreaterEqual(event['delay_ms'], 96000)
                self.assertEqual(tunnel.stop(), 0)

    def test_json_until_it_listens(self):
        tunnel = self.connect('--json')
        attempts = [json.loads(tunnel.line()) for _ in range(3)]
        self.assertEqual([(event['event'], event['attempt']) for event in attempts],
                         [('retry-scheduled', i) for i in (1, 2, 3)])
        self.arrive()
        event = json.loads(tunnel.line())
        while event['event'] == 'retry-scheduled':
            event = json.loads(tunnel.line())
        self.assertEqual(event['event'], 'listening')
        self.assertEqual(json.loads(tunnel.line())['state'], 'connected')
        self.assertEqual(tunnel.stop(), 0)


class Json(unittest.TestCase):
    def events(self, tunnel):
        """Returns all remaining events."""
        lines = iter(tunnel.stdout.get, None)
        return [json.loads(line) for line in lines]

    def test_events(self):
        with Service() as service:
            server, url = gateway(service)
            with server, Command('connect', url, '--json', '--mode', 'multiplexed',
                                 TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
                first = json.loads(tunnel.line())
                self.assertEqual((first['event'], first['host']), ('listening', '127.0.0.1'))
                self.assertEqual(first['address'], f'127.0.0.1:{first["port"]}')
                second = json.loads(tunnel.line())
                self.assertEqual((second['event'], second['state']), ('state-changed', 'connected'))
                with dial(('127.0.0.1', first['port'])) as connection:
                    peer = '127.0.0.1:%d' % connection.getsockname()[1]
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                events = [json.loads(tunnel.line())]
                while events[-1]['event'] != 'connection-closed':
                    events.append(json.loads(tunnel.line()))
                self.assertEqual(tunnel.stop(), 0)
                events += self.events(tunnel)

        opened = next(e for e in events if e['event'] == 'connection-opened')
        closed = next(e for e in events if e['event'] == 'connection-closed')
        self.assertEqual(opened['peer'], peer)
        self.assertEqual((closed['id'], closed['error']), (opened['id'], None))
        self.assertEqual(events[-1]['event'], 'closed')
        self.assertEqual(events[-1]['bytes_sent'], 1004)
        self.assertEqual(events[-1]['bytes_received'], 1032)
        self.assertEqual(events[-1]['total_connections'], 1)
        self.assertEqual((events[-1]['resumes'], events[-1]['bytes_replayed']), (0, 0))
        for event in events:
            self.assertRegex(event['time'], r'^\d{4}-\d\d-\d\dT.*Z$')

    def test_statistics_of_resumption(self):
        data = noise(1 << 20, 1)
        with Service() as service:
            server, url = gateway(service)
            with server, Relay(url) as relay, \
                 Command('connect', relay.url, '--json', '--reconnect-delay', '10ms',
                         TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
                def next_statistics(condition):
                    while True:
                        event = json.loads(tunnel.line())
                        if event['event'] == 'statistics' and condition(event):
                            return event

                first = json.loads(tunnel.line())
                with dial(('127.0.0.1', first['port'])) as connection:
                    self.assertTrue(exchange(connection, data))
                    before = next_statistics(lambda e: e['bytes_received'] == 32 + len(data))
                    relay.cut()
                    self.assertTrue(exchange(connection, data))
                    after = next_statistics(lambda e: e['bytes_received'] == 2 * (32 + len(data)))
                self.assertEqual(tunnel.stop(), 0)
                closed = self.events(tunnel)[-1]

        self.assertEqual(before['resumes'], 0)
        self.assertEqual((after['reconnects'], after['resumes']), (1, 1))
        self.assertGreater(after['receive_window'], 0)
        self.assertGreater(after['send_window'], 0)
        self.assertGreaterEqual(after['unacknowledged_bytes'], 0)
        self.assertGreaterEqual(after['bytes_replayed'], 0)
        self.assertIn('round_trip_ms', after)
        self.assertEqual((closed['event'], closed['resumes']), ('closed', 1))

    def test_failure(self):
        with Service() as service:
            server, url = gateway(service)
            with server, Command('connect', url, '--json', '--mode', 'multiplexed',
                                 TCP_TUNNEL_TOKEN='wrong-' + TOKEN) as tunnel:
                self.assertEqual(tunnel.wait(), FAILED)
                events = self.events(tunnel)
        self.assertEqual([e['event'] for e in events], ['failed'])
        self.assertEqual(events[0]['error']['code'], 'unauthorized')
        self.assertIn('401', events[0]['error']['message'])


class Failure(unittest.TestCase):
    """A tunnel that ends by itself prints the reason and exits with 1."""

    def setUp(self):
        self.service = self.enterContext(Service())
        self.server, self.url = gateway(self.service)
        self.enterContext(self.server)

    def connect(self, *args, token=TOKEN):
        return self.enterContext(Command('connect', self.url, '--max-reconnect-attempts', '2',
                                         '--reconnect-delay', '10ms', '--log-level', 'none', *args,
                                         TCP_TUNNEL_TOKEN=token))

    def check(self, tunnel, *expected):
        reason = tunnel.error_line('^tcp-tunnel connect: ')
        self.assertEqual(tunnel.wait(), FAILED)
        for text in expected:
            self.assertIn(text, reason)
        self.assertNotIn(TOKEN, ''.join(tunnel.output))

    def test_gateway_gone(self):
        for mode in ('singleton', 'multiplexed'):
            with self.subTest(mode):
                server, self.url = gateway(self.service, '--session-timeout', '1s')
                tunnel = self.connect('--mode', mode)
                with server, dial(listening(tunnel)) as connection:
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                    server.process.kill()
                    server.wait()
                    self.check(tunnel, self.url)

    def test_unauthorized(self):
        self.check(self.connect('--mode', 'multiplexed', token='wrong-' + TOKEN), '401', self.url)
        tunnel = self.connect(token='wrong-' + TOKEN)
        with knock(listening(tunnel)):
            self.check(tunnel, '401', self.url)

    def test_tls_to_a_gateway_without(self):
        self.url = self.url.replace('ws:', 'wss:')
        self.check(self.connect('--mode', 'multiplexed'), self.url, 'try ws://')
        self.server.error_line('began with TLS.* begins with ws://$')

    def test_said_once(self):
        tunnel = self.connect('--log-level', 'error', token='wrong-' + TOKEN)
        with knock(listening(tunnel)):
            self.assertEqual(tunnel.wait(), FAILED)
        self.assertEqual(len(tunnel.output), 2, tunnel.output)
        self.assertRegex(tunnel.output[1], r'^\d\d:\d\d:\d\d error .*401')

    def test_new_token_in_file(self):
        """A token that has expired may have been replaced in its file meanwhile."""
        with tempfile.NamedTemporaryFile('w+') as file:
            def write(token):
                file.seek(0)
                file.truncate()
                file.write(token)
                file.flush()

            write('expired')
            tunnel = self.connect('--token-file', file.name)
            address = listening(tunnel)
            write(TOKEN)
            with dial(address) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
            self.assertEqual(tunnel.stop(), 0)

            write('wrong-' + TOKEN)
            tunnel = self.connect('--token-file', file.name)
            with knock(listening(tunnel)):
                self.check(tunnel, '401', self.url)
            self.assertNotIn('colon', ''.join(tunnel.output))

            # A line of a gateway's token file.
            write('alice:' + TOKEN)
            tunnel = self.connect('--token-file', file.name)
            with knock(listening(tunnel)):
                self.check(tunnel, '401', self.url)
            self.assertRegex(''.join(tunnel.output), '(?m)^tcp-tunnel connect: there is a colon in the token: ')

    def test_token_from_a_pipe(self):
        """A pipe is read once, as it would not provide another token."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'token')
            os.mkfifo(path)
            tunnel = self.connect('--token-file', path)
            with open(path, 'w', encoding='utf-8') as file:
                file.write('expired')
            with knock(listening(tunnel)):
                tunnel.error_line(f'--token-file: {path} is not read again')
                self.check(tunnel, '401', self.url)

    def test_stdout_is_broken(self):
        """The first line of stdout has to be written, and so do the events."""
        def start(*args, **kwargs):
            process = subprocess.Popen([BINARY, *args], env=environment(TCP_TUNNEL_TOKEN=TOKEN),
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **kwargs)
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            return process

        def check(process, reason):
            _, said = process.communicate(timeout=DEADLINE)
            self.assertEqual(process.returncode, FAILED, said)
            self.assertIn(f'cannot write to stdout: {reason}', said)

        for args in (('connect', self.url), ('connect', self.url, '--json'), ('gateway', '--target', '127.0.0.1:1')):
            with open('/dev/full', 'wb') as full:
                check(start(*args, stdout=full), 'No space left on device')

        reader, writer = os.pipe()
        tunnel = start('connect', self.url, '--json', stdout=writer)
        os.close(writer)
        with open(reader, encoding='utf-8') as file:
            port = json.loads(file.readline())['port']
        try:
            knock(('127.0.0.1', port)).close()
        except ConnectionRefusedError:
            pass  # the failure to write the second line was noticed already
        check(tunnel, 'Broken pipe')

    def test_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as taken:
            address = '127.0.0.1:%d' % taken.getsockname()[1]
            reason = 'cannot listen on 127.0.0.1 port %d: Address already in use' % taken.getsockname()[1]
            self.check(self.connect('--listen', address), reason)
            status, out, err = run('gateway', '--target', '127.0.0.1:1', '--listen', address,
                                   TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual((status, out), (FAILED, ''))
            self.assertIn(reason, err)

    def test_rejected_with_headers(self):
        requests = []

        def refuse(connection):
            data = b''
            while b'\r\n\r\n' not in data:
                data += receive(connection, 1)
            requests.append(data.decode())
            connection.sendall(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n'
                               b'Connection: close\r\n\r\nno way')

        with Service(refuse) as web:
            self.url = f'ws://127.0.0.1:{web.port}/t?a=1'
            tunnel = self.connect('--mode', 'multiplexed', '--header', 'X-One: 1',
                                  '--header', 'X-Two: two words')
            self.check(tunnel, '403')
        lines = requests[0].lower().split('\r\n')
        self.assertIn('x-one: 1', lines)
        self.assertIn('x-two: two words', lines)
        self.assertRegex(lines[0], r'^get /t\?a=1&')

    def test_signal_while_starting(self):
        """While the gateway does not answer, a signal still ends the command."""
        asked = threading.Event()
        done = threading.Event()

        def silent(connection):
            receive(connection, 1)
            asked.set()
            done.wait()

        with Service(silent) as web:
            self.url = f'ws://127.0.0.1:{web.port}/'
            tunnel = self.connect('--mode', 'multiplexed')
            self.assertTrue(asked.wait(30))
            self.assertEqual(tunnel.stop(), 0)
            done.set()


class Resumption(unittest.TestCase):
    """An end that requires resumption refuses ends without it."""

    def start(self, *args):
        server, url = gateway(self.enterContext(Service()), *args)
        self.enterContext(server)
        return url

    def check_refused(self, url, resumption, expected):
        for mode in ('singleton', 'multiplexed'):
            with self.subTest(mode), \
                 Command('connect', url, '--mode', mode, '--resumption', resumption,
                         '--log-level', 'none', TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
                if mode == 'singleton':
                    with knock(listening(tunnel)):
                        reason = tunnel.error_line('^tcp-tunnel connect: ')
                else:
                    reason = tunnel.error_line('^tcp-tunnel connect: ')
                self.assertIn(expected, reason)
                self.assertEqual(tunnel.wait(), FAILED)

    def test_tunnel_insists(self):
        self.check_refused(self.start('--resumption', 'off'), 'required', 'resum')

    def test_gateway_insists(self):
        self.check_refused(self.start('--resumption', 'required'), 'off', '426')

    def check_served(self, gateway_says, tunnel_says):
        url = self.start('--resumption', gateway_says)
        with Command('connect', url, '--resumption', tunnel_says,
                     TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
            with dial(listening(tunnel)) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, 1)))
            self.assertEqual(tunnel.stop(), 0)

    def test_others(self):
        for pair in (('required', 'required'), ('required', 'auto'), ('off', 'auto'),
                     ('off', 'off'), ('auto', 'off'), ('auto', 'required')):
            with self.subTest(pair):
                self.check_served(*pair)


class Drain(unittest.TestCase):
    """A gateway that is told to end lets its connections finish, for some time."""

    def start(self, *args):
        server, url = gateway(self.enterContext(Service()), *args)
        self.enterContext(server)
        tunnel = self.enterContext(Command('connect', url, '--max-reconnect-attempts', '0',
                                           '--log-level', 'none', TCP_TUNNEL_TOKEN=TOKEN))
        connection = self.enterContext(dial(listening(tunnel)))
        self.assertTrue(exchange(connection, noise(1000, 1)))
        return server, connection

    def check_cut(self, connection):
        with self.assertRaises((ConnectionError, EOFError)):
            receive(connection, 1)

    def test_finishes(self):
        server, connection = self.start('--drain-timeout', '600')
        server.process.send_signal(signal.SIGTERM)
        server.error_line('no new connections are taken; 1 may go on for 600000 ms$')
        self.assertTrue(exchange(connection, noise(1 << 20, 2)))
        self.assertIsNone(server.process.poll())
        connection.close()
        self.assertEqual(server.wait(), 0)

    def test_units(self):
        for value, milliseconds in (('60', 60000), ('60000ms', 60000), ('90s', 90000), ('2min', 120000),
                                    ('1 h', 3600000)):
            with self.subTest(value):
                server, connection = self.start('--drain-timeout', value)
                server.process.send_signal(signal.SIGTERM)
                server.error_line(f' may go on for {milliseconds} ms$')
                connection.close()
                self.assertEqual(server.wait(), 0)

    def test_reloads(self):
        """SIGHUP: a bad file changes nothing and is reported; a good one takes effect."""
        with Service() as service, tempfile.NamedTemporaryFile('w') as file:
            def write(text):
                file.seek(0)
                file.truncate()
                file.write(text)
                file.flush()

            write(f'alice:{TOKEN}\n')
            with Command('gateway', '--target', f'127.0.0.1:{service.port}', '--token-file', file.name) as server:
                url = server.line().split()[-1]
                with Command('connect', url, TCP_TUNNEL_TOKEN=TOKEN) as tunnel, dial(listening(tunnel)) as connection:
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                    write(f'bob:other\nalice:{TOKEN} expires=tomorrow\n')
                    server.process.send_signal(signal.SIGHUP)
                    server.error_line(f'the configuration was not reloaded: {file.name}:2: the time after expires= ')
                    write(f'bob:other\nalice:{TOKEN}\n')
                    server.process.send_signal(signal.SIGHUP)
                    server.error_line(r'the configuration was reloaded \(tokens: 2, principals: 2\)$')
                    self.assertTrue(exchange(connection, noise(1000, 2)))
                    with Command('connect', url, '--wait=no', TCP_TUNNEL_TOKEN='other') as other:
                        with dial(listening(other)) as another:
                            self.assertTrue(exchange(another, noise(1000, 3)))
                        self.assertEqual(other.stop(), 0)
                    self.assertEqual(tunnel.stop(), 0)
                self.assertEqual(server.stop(), 0)

    def test_while_it_starts(self):
        """A signal ends a gateway that waits for its tokens from a pipe without a writer."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'tokens')
            os.mkfifo(path)
            server = self.enterContext(Command('gateway', '--target', '127.0.0.1:1', '--token-file', path))
            # This returns when the gateway has opened the pipe, and so waits.
            writer = os.open(path, os.O_WRONLY)
            self.addCleanup(os.close, writer)
            self.assertEqual(server.stop(), 0)
            self.assertEqual(server.output, [])

    def test_as_it_starts(self):
        """A signal may come at any moment of the start."""
        with tempfile.TemporaryDirectory() as directory:
            for i in range(60):
                path = os.path.join(directory, f'tokens-{i}')
                os.mkfifo(path)
                with Command('gateway', '--target', '127.0.0.1:1', '--token-file', path,
                             '--drain-timeout', '0') as server:
                    with open(path, 'w', encoding='utf-8') as file:
                        file.write(f'alice:{TOKEN}\n')
                    end = time.perf_counter() + i % 30 * 1e-5
                    while time.perf_counter() < end:
                        pass
                    self.assertEqual(server.stop(), 0)

    def test_second_signal(self):
        server, connection = self.start('--drain-timeout', '600')
        server.process.send_signal(signal.SIGINT)
        server.error_line('no new connections')
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        self.check_cut(connection)

    def test_time_is_up(self):
        server, connection = self.start('--drain-timeout', '1')
        self.assertEqual(server.stop(), 0)
        self.check_cut(connection)
        server.error_line(' 1 connection did not end in time$')

    def test_nobody_there(self):
        server, _ = gateway(self.enterContext(Service()))
        self.enterContext(server)
        self.assertEqual(server.stop(), 0)
        server.error_line('no new connections are taken$')

    def test_not_at_all(self):
        server, connection = self.start('--drain-timeout', '0')
        self.assertEqual(server.stop(), 0)
        self.check_cut(connection)
        self.assertNotIn('no new connections', ''.join(server.output))


if __name__ == '__main__':
    unittest.main(verbosity=2)
