# SPDX-License-Identifier: LGPL-2.1-or-later
"""`tcp-tunnel check` reports each typical mistake at the step to which it belongs, with the message of `connect`."""

import base64
import hashlib
import json
import re
import shlex
import signal
import socket
import subprocess
import threading
import unittest

from support import BINARY, DEADLINE, TOKEN, Command, Config, Service, Terminal, environment, run
from test_mistakes import FAILED, REACHING, TLS, TOKENS, URLS, USAGE, Places, head, row

STEPS = ['url', 'name', 'proxy', 'tcp', 'tls', 'http', 'token', 'protocol', 'round-trip']
LABELS = ['URL', 'Name', 'Proxy', 'TCP', 'TLS', 'HTTP', 'Token', 'Protocol', 'Round trip']

# The steps that fail for mistakes in reaching the gateway, except for those that the answer to the request shows.
PLACES = {
    'a gateway that does not run': 'tcp',
    'a typing error in the name': 'name',
    'a web server with a password': 'token',
    'a firewall of a website': 'token',
    'resumption with a gateway of another make': 'protocol',
    'a proxy that is gone': 'proxy',
    'a proxy that does not allow it': 'proxy',
    'a proxy that wants a password': 'proxy',
    'a proxy that wants another password': 'proxy',
    'a proxy that does not know the gateway': 'proxy',
    'a proxy that does not reach the gateway': 'proxy',
    'no TLS to a port with': 'http',
    'no TLS to a server that says so': 'http',
    'no TLS to a gateway with': 'http',
}

# Mistakes that are usage errors, as for `connect`.
AMBIGUOUS = {'two sources', 'a file of authorities that is not there', 'a key for an authority'}

# The JSON members of each step that was tried; those in brackets are not always present.
VALUES = {
    'url': set(),
    'name': {'host': str, '[addresses]': list, '[time_us]': int},
    'proxy': {'proxy': (str, type(None)), 'source': (str, type(None))},
    'tcp': {'[attempts]': list, '[time_us]': int},
    'tls': {'[version]': str, '[cipher]': str, '[trusted]': bool, '[certificate_errors]': list, '[chain]': list, '[time_us]': int},
    'http': {'status': (int, type(None))},
    'token': {'source': str},
    'protocol': {'protocol': str, 'resumable': bool},
    'round-trip': {'pings': int, '[min_us]': int, '[average_us]': int, '[max_us]': int},
}


class ConnectProxy(Service):
    """An HTTP proxy that connects to one address, whatever is requested, and records the requests."""

    def __init__(self, port):
        super().__init__(self.connect)
        self.place = ('127.0.0.1', port)
        self.asked = []

    def connect(self, connection):
        self.asked.append(head(connection).split(b'\r\n')[0].decode())
        with socket.create_connection(self.place) as far:
            connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
            threading.Thread(target=self.carry, args=(far, connection), daemon=True).start()
            self.carry(connection, far)

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def silent(connection):
    """A WebSocket that sends nothing."""
    key = re.search(rb'Sec-WebSocket-Key: (\S+)', head(connection))[1]
    accept = base64.b64encode(hashlib.sha1(key + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
    connection.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                       b'Sec-WebSocket-Accept: ' + accept + b'\r\n\r\n')
    while connection.recv(4096):
        pass


def mute(connection):
    while connection.recv(4096):
        pass


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.places = Places(cls)

    def environment(self, env):
        env = {'TCP_TUNNEL_TOKEN': TOKEN, **{name: value and value.format_map(self.places) for name, value in env.items()}}
        if any(name.endswith('_proxy') for name in env):
            env.update(GIO_USE_PROXY_RESOLVER=None, no_proxy=env.get('no_proxy'), NO_PROXY=None)
        return env

    def check(self, text, status, **env):
        """Runs `check --json`, and returns the steps by their names."""
        words = shlex.split(text.format_map(self.places))
        done, out, err = run('check', *words, '--json', **self.environment(env))
        self.assertEqual((done, err), (status, ''), out)
        self.assertNotIn(TOKEN, out)
        self.assertNotIn('key=secret', out)
        document = json.loads(out)
        self.assertEqual(set(document), {'url', 'ok', 'steps'})
        self.assertIs(document['ok'], status == 0)
        self.assertEqual([step['step'] for step in document['steps']], STEPS)
        for step in document['steps']:
            self.check_values(step)
        return {step['step']: step for step in document['steps']}

    def check_values(self, step):
        self.assertIn(step['result'], ('ok', 'failed', 'skipped'))
        self.assertIsInstance(step['detail'], str)
        self.assertIsInstance(step['advice'], (str, type(None)))
        values = {name: value for name, value in step.items() if name not in ('step', 'result', 'detail', 'advice')}
        if step['detail'] == 'not tried':
            self.assertEqual(values, {})
            return
        allowed = VALUES[step['step']] or {}
        self.assertLessEqual({name for name in allowed if name[0] != '['}, set(values))
        for name, value in values.items():
            self.assertIsInstance(value, allowed.get(name) or allowed[f'[{name}]'], name)
            if name.endswith('_us'):
                self.assertGreaterEqual(value, 0)

    def read(self, text, **env):
        """Runs `check` without --json, and returns the text of each step by its label."""
        words = shlex.split(text.format_map(self.places))
        _, out, err = run('check', *words, **self.environment(env))
        self.assertEqual(err, '')
        for line in out.splitlines():
            self.assertLess(len(line), 80, line)
        said = re.findall(r'^([✓✗–]) (\w[\w ]{9})  (.*(?:\n   .*)*)$', out, re.MULTILINE)
        self.assertEqual([label.strip() for _, label, _ in said], LABELS, out)
        return {label.strip(): (mark, ' '.join(rest.split())) for mark, label, rest in said}


class Mistakes(Case):
    def check_mistake(self, mistake, place):
        words = mistake.args.split(' ', 1)[1]
        if place == 'token':
            # The URL of these rows has no server.
            words = words.replace('ws://127.0.0.1:1/', '{gateway}')
        if mistake.did in AMBIGUOUS:
            status, out, err = run('check', *shlex.split(words.format_map(self.places)), **self.environment(mistake.env))
            self.assertEqual((status, out), (USAGE, ''), err)
            self.assertIn(mistake.says, err)
            return
        steps = self.check(words, FAILED, **mistake.env)
        said = mistake.says.removeprefix('re:') if mistake.says.startswith('re:') else re.escape(mistake.says.format_map(self.places))
        self.assertEqual(steps[place]['result'], 'failed')
        self.assertRegex(steps[place]['advice'], said)
        for step in STEPS[:STEPS.index(place)]:
            self.assertIn(steps[step]['result'], ('ok', 'skipped'), step)
        for step in STEPS[STEPS.index(place) + 1:]:
            self.assertEqual((steps[step]['result'], steps[step]['detail']), ('skipped', 'not tried'), step)

        said = self.read(words, **mistake.env)
        mark, text = said[LABELS[STEPS.index(place)]]
        self.assertEqual(mark, '✗')
        self.assertIn(steps[place]['advice'][:20], text)

    def check_rows(self, rows, default):
        for each in rows:
            with self.subTest(each.did, args=each.args):
                self.check_mistake(each, PLACES.get(each.did, default))

    def test_urls(self):
        self.check_rows(URLS, 'url')

    def test_tokens(self):
        self.check_rows(TOKENS, 'token')

    def test_reaching(self):
        self.check_rows(REACHING, 'http')

    def test_tls(self):
        self.check_rows(TLS, 'tls')

    def test_table(self):
        """PLACES contains only mistakes that the tables have."""
        self.assertLessEqual(set(PLACES), {each.did for each in [*REACHING, *TLS]})

    def test_refused(self):
        steps = self.check('{gateway} --token alice:other', FAILED)
        self.assertEqual((steps['http']['result'], steps['http']['status']), ('ok', 401))
        self.assertEqual(steps['token']['detail'], 'refused, from --token')

    def test_no_token(self):
        """A token is needed for the request, but not for the steps before it, and its lack is reported whatever their
        result."""
        steps = self.check('{gateway}', FAILED, TCP_TUNNEL_TOKEN=None)
        self.assertEqual([steps[step]['result'] for step in ('tcp', 'http', 'token')], ['ok', 'skipped', 'failed'])
        steps = self.check('ws://{refused}/', FAILED, TCP_TUNNEL_TOKEN=None)
        self.assertEqual([steps[step]['result'] for step in ('tcp', 'http', 'token')], ['failed', 'skipped', 'failed'])

    def test_no_answer(self):
        with Service(mute) as server:
            steps = self.check(f'ws://127.0.0.1:{server.port}/ --timeout 300ms', FAILED)
        self.assertEqual(steps['http']['result'], 'failed')
        self.assertIn('did not answer within 300 ms: it is connected, but did not answer the request', steps['http']['advice'])
        self.assertIsNone(steps['http']['status'])

    def test_no_handshake(self):
        with Service(mute) as server:
            steps = self.check(f'wss://127.0.0.1:{server.port}/ --timeout 300ms', FAILED)
        self.assertEqual((steps['tls']['result'], steps['tls']['detail']), ('failed', 'no handshake: no answer within 300 ms'))
        self.assertIn('TCP is connected, but no TLS handshake came', steps['tls']['advice'])

    def test_silent_proxy(self):
        with Service(mute) as proxy:
            steps = self.check('ws://gateway.test/ --timeout 300ms', FAILED, http_proxy=f'http://me:pw@127.0.0.1:{proxy.port}')
        self.assertEqual(steps['proxy']['detail'],
                         f'http://127.0.0.1:{proxy.port}, from the environment variable http_proxy: no answer within 300 ms')
        self.assertIn('the proxy has not connected to it', steps['proxy']['advice'])

    def test_no_pong(self):
        with Service(silent) as server:
            steps = self.check(f'ws://127.0.0.1:{server.port}/ --timeout 300ms', FAILED)
        self.assertEqual((steps['protocol']['result'], steps['protocol']['protocol']), ('ok', 'tagged'))
        self.assertEqual((steps['round-trip']['result'], steps['round-trip']['pings']), ('failed', 0))
        self.assertIn('does not forward its data', steps['round-trip']['advice'])

    def test_usage(self):
        rows = [
            row('no URL', '', 'the URL of the gateway is missing, such as wss://example.org/'),
            row('two URLs', 'ws://h/ ws://i/', "'ws://i/' is one too many"),
            row('a typing error in an option', 'ws://h/ --timeot 3s', "there is no option '--timeot'; did you mean '--timeout'?"),
            row('an option of connect', 'ws://h/ --stdio', "there is no option '--stdio'"),
            row('no duration', 'ws://h/ --timeout soon', '--timeout must be a duration such as 500ms'),
            row('a header of the tunnel', "ws://h/ --header 'Upgrade: h2c'", 'the request header Upgrade is set by the tunnel itself'),
            row('two credentials', "ws://h/ --no-token --header 'Authorization: Basic x'",
                '--no-token and --header with Authorization exclude each other'),
            row('a way that is none', 'ws://h/ --connect-to somewhere', 'connect-to “somewhere” is not of the form HOST:PORT'),
        ]
        for each in rows:
            with self.subTest(each.did):
                status, out, err = run('check', *shlex.split(each.args), TCP_TUNNEL_TOKEN=TOKEN)
                self.assertEqual((status, out), (USAGE, ''))
                self.assertIn(each.says, err)

    def test_names(self):
        with Config('[phone]\nremote-uri=ws://127.0.0.1:1/\ntoken-file=token\nlisten=70000\n') as config:
            status, _, err = run('check', 'phone', XDG_CONFIG_HOME=config.home)
            self.assertEqual(status, USAGE)
            self.assertIn('[phone] listen must be ', err)
            status, out, _ = run('check', 'phnoe', '--json', XDG_CONFIG_HOME=config.home)
        self.assertEqual(status, FAILED)
        self.assertIn("did you mean 'phone'?", json.loads(out)['steps'][0]['advice'])


class Good(Case):
    def start(self, *args, handler=None):
        connected = []

        def serve(connection):
            connected.append(connection)
        service = self.enterContext(Service(handler or serve))
        command = self.enterContext(Command('gateway', '--target', f'127.0.0.1:{service.port}', *args, TCP_TUNNEL_TOKEN=TOKEN))
        url = command.line().split()[-1]
        self.addCleanup(lambda: self.assertEqual(connected, [], 'the check has used the target'))
        return url

    def secure(self, name):
        certificate, key = self.places.certificate(name)
        return self.start('--tls-cert', certificate, '--tls-key', key)

    def good(self, text, **env):
        steps = self.check(text, 0, **env)
        self.assertEqual(steps['token']['source'], 'TCP_TUNNEL_TOKEN')
        self.assertEqual((steps['http']['result'], steps['http']['status']), ('ok', 101))
        self.assertEqual((steps['round-trip']['result'], steps['round-trip']['pings']), ('ok', 5))
        self.assertLessEqual(steps['round-trip']['min_us'], steps['round-trip']['average_us'])
        self.assertLessEqual(steps['round-trip']['average_us'], steps['round-trip']['max_us'])
        said = self.read(text, **env)
        self.assertEqual({mark for mark, _ in said.values()} - {'✓', '–'}, set())
        self.assertRegex(said['Round trip'][1], r'^\d+(\.\d+)? m?s on average, .* \(5 pings\)$')
        return steps, said

    def test_plain(self):
        url = self.start()
        steps, said = self.good(url)
        address = url.split('/')[2]
        self.assertEqual(said['URL'][1], url)
        self.assertEqual(said['Name'][1], '127.0.0.1 is an address')
        self.assertEqual(said['Proxy'][1], 'none')
        self.assertEqual([(each['address'], each['connected']) for each in steps['tcp']['attempts']], [(address, True)])
        self.assertEqual((steps['tls']['result'], said['TLS'][0]), ('skipped', '–'))
        self.assertEqual((steps['protocol']['protocol'], steps['protocol']['resumable']), ('resumable/1', True))

    def test_required(self):
        self.good(self.start() + ' --resumption required')

    def test_query_is_not_shown(self):
        url = self.start()
        status, out, err = run('check', url + '?mode=multiplexed&k=hidden', '--json', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, err, json.loads(out)['url']), (0, '', url))
        self.assertNotIn('hidden', out)

    def test_name(self):
        url = self.start().replace('127.0.0.1', 'localhost')
        steps, said = self.good(url)
        self.assertIn('127.0.0.1', steps['name']['addresses'])
        self.assertEqual(len(steps['tcp']['attempts']), len(steps['name']['addresses']))
        self.assertIn('127.0.0.1', said['Name'][1])

    def test_tagged(self):
        steps, said = self.good(self.start('--resumption', 'off'))
        self.assertEqual((steps['protocol']['protocol'], steps['protocol']['resumable']), ('tagged', False))
        self.assertIn('since the gateway does not offer resumable/1', said['Protocol'][1])
        _, said = self.good(self.start() + ' --resumption off')
        self.assertIn('as resumption is off', said['Protocol'][1])

    def test_tls(self):
        steps, said = self.good(self.secure('good') + ' --ca {ca}')
        self.assertIs(steps['tls']['trusted'], True)
        self.assertEqual(steps['tls']['certificate_errors'], [])
        self.assertRegex(steps['tls']['version'], r'^TLS 1\.[23]$')
        leaf = steps['tls']['chain'][0]
        self.assertEqual((leaf['subject'], leaf['issuer'], leaf['hosts']), ('CN=good', 'CN=An authority', ['127.0.0.1']))
        self.assertEqual((leaf['not_before'][:10], leaf['not_after'][:10]), ('2000-01-01', '2099-01-01'))
        self.assertRegex(said['TLS'][1], r'^TLS 1\.[23], \w+, trusted CN=good issued by CN=An authority '
                                         r'from 2000-01-01 to 2099-01-01, \d+ days left for 127\.0\.0\.1')

    def test_untrusted(self):
        """What is known of an untrusted certificate is reported as well."""
        steps = self.check('wss://{tls_worst}/', FAILED)
        self.assertEqual(set(steps['tls']['certificate_errors']) & {'unknown-ca', 'bad-identity', 'expired'} != set(), True)
        self.assertEqual(steps['tls']['chain'][0]['hosts'], ['example.org'])
        self.assertIs(steps['tls']['trusted'], False)
        self.assertIn('expired', self.read('wss://{tls_worst}/')['TLS'][1])

    def test_proxy(self):
        for secure in (False, True):
            with self.subTest(secure=secure):
                url = self.secure('named') if secure else self.start()
                proxy = self.enterContext(ConnectProxy(int(url.split(':')[-1].strip('/'))))
                variable = 'https_proxy' if secure else 'http_proxy'
                steps, said = self.good('%s://gateway.test:7001/ --ca {ca}' % ('wss' if secure else 'ws'),
                                        **{variable: f'http://me:pass@127.0.0.1:{proxy.port}'})
                self.assertEqual(set(proxy.asked), {'CONNECT gateway.test:7001 HTTP/1.0'})
                self.assertEqual((steps['proxy']['proxy'], steps['proxy']['source']),
                                 (f'http://127.0.0.1:{proxy.port}', f'the environment variable {variable}'))
                self.assertEqual((steps['name']['result'], steps['name']['detail']), ('skipped', 'left to the proxy'))
                self.assertIn('gateway.test:7001 connected through the proxy in ', said['TCP'][1])
                self.assertNotIn('pass', str(said))

    def test_no_proxy(self):
        _, said = self.good(self.start(), http_proxy='http://{refused}', no_proxy='127.0.0.1')
        self.assertEqual(said['Proxy'][1], 'none for this host, although http_proxy is set')

    def test_nothing_is_left(self):
        """A check leaves no session, which would take the place of the next one."""
        url = self.start('--max-connections', '1')
        for _ in range(3):
            self.check(url, 0)
        with Command('connect', url, '--mode', 'multiplexed', TCP_TUNNEL_TOKEN=TOKEN) as tunnel:
            tunnel.line()
            tunnel.stop(signal.SIGKILL)
        self.assertEqual(self.check(url, FAILED)['http']['status'], 503)

    def test_config(self):
        url = self.start()
        with Config(f'[phone]\nremote-uri={url}\ntoken-file=token\nlisten=unix:s\nmode=singleton\n') as config:
            status, out, err = run('check', 'phone', XDG_CONFIG_HOME=config.home)
        self.assertEqual((status, err), (0, ''), out)
        self.assertIn('tunnels.conf:1: [phone]', ' '.join(out.split()))

    def test_services(self):
        """The purpose of a tunnel in the file makes no difference."""
        url = self.start()
        for keys in ('to=127.0.0.1:9\nremote-port=9000\n', 'reverse=0=127.0.0.1:9\n', 'forwards=0=db:1\nsocks=0\nhttp-proxy=0\n'):
            with self.subTest(keys), Config(f'[phone]\nremote-uri={url}\ntoken-file=token\n{keys}') as config:
                status, out, err = run('check', 'phone', XDG_CONFIG_HOME=config.home)
                self.assertEqual((status, err), (0, ''), out)

    def test_token_command(self):
        status, out, _ = run('check', self.start(), '--token-command', f'echo {TOKEN}')
        self.assertEqual(status, 0, out)
        self.assertIn('accepted, from --token-command', out)
        self.assertNotIn(TOKEN, out)


class Output(Case):
    def test_ascii(self):
        status, out, _ = run('check', 'ws://localhost/#', LC_ALL='C', TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual(status, FAILED)
        self.assertEqual(out.splitlines()[0], 'x URL         not valid')
        self.assertTrue(out.isascii())

    def test_terminal(self):
        with Terminal('check', self.places['gateway'], TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            self.assertEqual(terminal.wait(), 0)
        lines = [line for line in terminal.screen() if line]
        self.assertEqual([line[2:12].strip() for line in lines], LABELS)
        self.assertIn('\x1b[32m✓', terminal.data)
        self.assertTrue(all(len(line) < 80 for line in terminal.drawn()))

    def test_no_colours(self):
        with Terminal('check', 'x:/', TCP_TUNNEL_TOKEN=TOKEN, NO_COLOR='1') as terminal:
            self.assertEqual(terminal.wait(), FAILED)
        self.assertNotIn('\x1b[3', terminal.data)

    def test_stdout_full(self):
        with open('/dev/full', 'w', encoding='utf-8') as full:
            done = subprocess.run([BINARY, 'check', 'ws://x'], stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE,
                                  env=environment(TCP_TUNNEL_TOKEN=TOKEN))
        self.assertEqual(done.returncode, FAILED)
        self.assertIn('cannot write to stdout: No space left on device', done.stderr)

    def test_signal(self):
        """A signal ends the command at once and properly."""
        asked = threading.Event()

        def wait(connection):
            head(connection)
            asked.set()
            mute(connection)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), Service(wait) as server:
                asked.clear()
                with Command('check', f'ws://127.0.0.1:{server.port}/', '--timeout', '1h', TCP_TUNNEL_TOKEN=TOKEN) as command:
                    self.assertTrue(asked.wait(DEADLINE))
                    self.assertEqual(command.stop(number), FAILED)
                self.assertNotIn('HTTP', ''.join(command.output))


if __name__ == '__main__':
    unittest.main(verbosity=2)
