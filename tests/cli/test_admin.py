# SPDX-License-Identifier: LGPL-2.1-or-later
"""The admin interface of the command's gateway: health, readiness, metrics, and the status page."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import (DEADLINE, TOKEN, Command, Service, environment, exchange, free_port, listening, peak_memory, run, skip,
                     wait_until)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=DEADLINE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self.path)


class AdminTest(unittest.TestCase):
    def setUp(self):
        self.service = self.enterContext(Service())

    def serve(self, *args, target=None, admin='127.0.0.1:0', token=TOKEN):
        self.gateway = self.enterContext(Command('gateway', '--target', target or f'127.0.0.1:{self.service.port}', '--admin', admin,
                                                 *args, TCP_TUNNEL_TOKEN=token))
        line = self.gateway.error_line('status and metrics are at')
        self.admin = re.search(r'are at (?:http://(.*)/|unix:(.*))$', line)
        self.url = re.fullmatch(r'listening on (.*)', self.gateway.line())[1]

    def connect(self, *args, **extra):
        tunnel = self.enterContext(Command('connect', self.url, *args, **{'TCP_TUNNEL_TOKEN': TOKEN, **extra}))
        return listening(tunnel)

    def ask(self, path, method='GET', body=None, headers={}):
        connection = http.client.HTTPConnection(self.admin[1], timeout=DEADLINE) if self.admin[1] else UnixConnection(self.admin[2])
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text

    def get(self, path):
        response, text = self.ask(path)
        self.assertEqual(response.status, 200, text)
        return text

    def lose(self, address):
        """Opens a connection that the tunnel resets, perhaps before the client's connect returns."""
        try:
            with socket.create_connection(address, DEADLINE) as client:
                self.assertEqual(client.recv(1), b'')
        except ConnectionError:
            pass

    def until(self, path, condition):
        found = {}

        def is_so():
            found.update(json.loads(self.get(path)))
            return condition(found)

        wait_until(is_so, lambda: f'it never came to that: {found}')
        return found


class Health(AdminTest):
    def test_ready(self):
        self.serve()
        self.assertEqual(self.get('/healthz'), 'ok\n')
        self.assertEqual(self.get('/readyz'), 'ok\n')

    def test_draining(self):
        """A draining gateway is alive, but not ready for new connections."""
        self.serve()
        with socket.create_connection(self.connect(), DEADLINE) as client:
            self.assertTrue(exchange(client, b'here'))
            self.gateway.process.send_signal(signal.SIGTERM)
            self.gateway.error_line('no new connections are taken')
            response, text = self.ask('/readyz')
            self.assertEqual((response.status, text), (503, 'the gateway is draining\n'))
            self.assertEqual(self.get('/healthz'), 'ok\n')
            self.assertRegex(self.get('/metrics'), r'(?m)^tcptunnel_draining 1$')
        self.assertEqual(self.gateway.wait(), 0)

    def test_target(self):
        """The target is checked once, however often /readyz is requested, and not before the first request."""
        seen = []
        with Service(lambda connection: seen.append(connection)) as target:
            self.serve(target=f'127.0.0.1:{target.port}')
            self.assertEqual(seen, [])
            for _ in range(20):
                self.assertEqual(self.get('/readyz'), 'ok\n')
            self.get('/metrics')
        self.assertEqual(len(seen), 1)

    def test_no_target(self):
        self.serve(target=f'127.0.0.1:{free_port()}')
        response, text = self.ask('/readyz')
        self.assertEqual(response.status, 503)
        self.assertRegex(text, 'the target cannot be reached: .*Connection refused')
        self.assertEqual(self.get('/healthz'), 'ok\n')

    def test_named_target(self):
        """The gateway's target may be a named one."""
        self.serve('--named-target', f'db=127.0.0.1:{self.service.port}', target='db')
        self.assertEqual(self.get('/readyz'), 'ok\n')

    def test_no_check(self):
        self.serve('--ready-check', 'none', target=f'127.0.0.1:{free_port()}')
        self.assertEqual(self.get('/readyz'), 'ok\n')

    def test_reload(self):
        """SIGHUP does not affect the readiness."""
        self.serve()
        self.gateway.process.send_signal(signal.SIGHUP)
        self.gateway.error_line('the configuration was reloaded')
        self.assertEqual(self.get('/readyz'), 'ok\n')


class Metrics(AdminTest):
    def families(self):
        try:
            from prometheus_client.parser import text_string_to_metric_families
        except ImportError:
            skip(self, 'there is no prometheus_client')
        response, text = self.ask('/metrics')
        self.assertEqual(response.getheader('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8')
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertEqual(len(families), len(re.findall('(?m)^# TYPE ', text)), 'a name stands in several places')
        return families

    @staticmethod
    def value(families, name, **labels):
        found, = [s.value for f in families.values() for s in f.samples if s.name == name and s.labels == labels]
        return found

    def test_conventions(self):
        self.serve('--access-log', '/dev/null')
        families = self.families()
        for name, family in families.items():
            with self.subTest(name):
                self.assertRegex(name, '^(tcptunnel|process)_[a-z_]+$')
                self.assertRegex(family.documentation, r'\.$')
                self.assertIn(family.type, ('counter', 'gauge', 'histogram'))
                for sample in family.samples:
                    self.assertEqual(sample.name.endswith('_total'), family.type == 'counter')
                    self.assertGreaterEqual(sample.value, 0)
                samples = [(sample.name, tuple(sample.labels.items())) for sample in family.samples]
                self.assertEqual(len(samples), len(set(samples)))
                if family.type == 'histogram':
                    self.assertTrue(name.endswith('_seconds'))
                    counts = [s.value for s in family.samples if s.name == name + '_bucket']
                    self.assertEqual(counts, sorted(counts))
                    self.assertEqual(family.samples[len(counts) - 1].labels, {'le': '+Inf'})
                    self.assertEqual(self.value(families, name + '_count'), counts[-1])
        self.assertFalse([name for name in families if re.search('millisecond|_ms$|kib|mib', name)])

    def test_guide(self):
        """All metrics that the guide uses in Prometheus exist."""
        page = (Path(__file__).parent.parent.parent / 'docs' / 'guide' / 'watching.md').read_text()
        self.serve('--access-log', '/dev/null')
        families = self.families()
        samples = {sample.name for family in families.values() for sample in family.samples}
        labels = {key for family in families.values() for sample in family.samples for key in sample.labels}
        expressions = re.findall('(?m)^ +expr: (.*)$', page) + re.findall(r'(?m)^\| [^|]+\? \| (.*) \|$', page)
        self.assertGreater(len(expressions), 10)
        for expression in expressions:
            self.assertEqual(expression.count('('), expression.count(')'))
            for name in re.findall(r'\b(?:tcptunnel|process)_\w+', expression):
                self.assertIn(name, samples)
        for label in re.findall(r'\$labels\.(\w+)', page) + re.findall(r'by \((\w+)\)', page):
            self.assertIn(label, labels)
        self.check_rules(page)

    def check_rules(self, page):
        """Checks them with Prometheus' own program, if that is installed."""
        promtool = shutil.which('promtool')
        if promtool is None:
            return
        scrape, rules = re.findall('(?ms)^```yaml\n(.*?)^```$', page)
        with tempfile.TemporaryDirectory() as directory:
            for command, text in ('config', scrape), ('rules', rules):
                path = Path(directory, command + '.yml')
                path.write_text(text)
                done = subprocess.run([promtool, 'check', command, path], capture_output=True, text=True, timeout=DEADLINE)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_values(self):
        self.serve('--max-principal-connections', '1')
        served = time.time()
        address = self.connect('--mode', 'multiplexed')
        with socket.create_connection(address, DEADLINE) as client:
            self.assertTrue(exchange(client, b'x' * 100_000))
            self.lose(address)
            self.assertEqual(self.refuse(), 401)
            families = self.families()
            for expected, name, labels in [
                (1, 'tcptunnel_sessions', {}), (1, 'tcptunnel_websockets', {}), (1, 'tcptunnel_connections', {}),
                (2, 'tcptunnel_connections_opened_total', {}),
                (100_004, 'tcptunnel_transferred_bytes_total', {'direction': 'to_target'}),
                (100_032, 'tcptunnel_transferred_bytes_total', {'direction': 'to_client'}),
                (1, 'tcptunnel_dial_errors_total', {'reason': 'limit'}),
                (0, 'tcptunnel_dial_errors_total', {'reason': 'refused'}),
                (1, 'tcptunnel_limit_hits_total', {'limit': 'max-principal-connections'}),
                (1, 'tcptunnel_authentication_failures_total', {}), (1, 'tcptunnel_refused_requests_total', {}),
                (1, 'tcptunnel_dial_seconds_count', {}), (1, 'tcptunnel_websocket_open_seconds_count', {}),
                (1, 'tcptunnel_build_info', {'version': run('--version')[1].split()[-1]}),
            ]:
                self.assertEqual(self.value(families, name, **labels), expected, (name, labels))
        self.assertLess(abs(self.value(families, 'process_start_time_seconds') - time.time()), DEADLINE)
        self.assertLess(self.value(families, 'process_start_time_seconds'), served)
        descriptors = len(os.listdir(f'/proc/{self.gateway.process.pid}/fd'))
        self.assertLess(abs(self.value(families, 'process_open_fds') - descriptors), 5)
        self.assertGreater(self.value(families, 'process_resident_memory_bytes'), 1 << 20)

    def refuse(self):
        connection = http.client.HTTPConnection(re.search('//(.*)/', self.url)[1], timeout=DEADLINE)
        connection.request('GET', '/')
        return connection.getresponse().status


class Status(AdminTest):
    def test_status(self):
        self.serve('--allow', '*.invalid:*')
        address = self.connect('--mode', 'multiplexed')
        lost = self.connect('--mode', 'multiplexed', '--target', 'gone.invalid:1')
        with socket.create_connection(address, DEADLINE) as client:
            self.assertTrue(exchange(client, b'x' * 1000))
            self.lose(lost)
            status = self.until('/status.json', lambda status: status['failures'])
            failure, = status['failures']
            self.assertEqual((failure['target'], failure['principal'], failure['error']['code']),
                             ('gone.invalid:1', 'default', 'target'))
            shown, = status['connections']
            self.assertEqual((shown['bytes_to_target'], shown['bytes_to_client']), (1004, 1032))
            self.assertEqual((shown['principal'], shown['proxy'], shown['target']), ('default', None, f'127.0.0.1:{self.service.port}'))
            self.assertRegex(shown['client'], r'^127\.0\.0\.1:\d+$')
            self.assertEqual(status['principals'], [{'name': 'default', 'open_connections': 1, 'total_connections': 2,
                                                     'failed_connections': 1}])
            self.assertEqual(status['metrics']['dial_errors_total']['name'], 1)
            self.assertEqual((status['gateway']['address'], status['gateway']['state']), (self.url, 'listening'))
            self.assertEqual(status['gateway']['addresses'], [self.url])
            self.assertEqual(json.loads(self.get('/status.json?connections=0'))['connections'], [])
        self.until('/status.json', lambda status: status['connections'] == [] and status['principals'][0]['open_connections'] == 0)
        self.assertNotIn(TOKEN, self.get('/status.json') + self.get('/metrics'))
        for wrong in ('-1', 'x', '1001', ''):
            self.assertEqual(self.ask('/status.json?connections=' + wrong)[0].status, 400, wrong)


    def test_bounds(self):
        """However many clients there were, the status has a bounded number of rows, and the latest failures."""
        with tempfile.NamedTemporaryFile('w') as tokens:
            tokens.writelines(f'user-{i}:{TOKEN}-{i}\n' for i in range(300))
            tokens.flush()
            self.serve('--token-file', tokens.name, target=f'127.0.0.1:{free_port()}')
            for i in range(300):
                self.fail_as(f'{TOKEN}-{i}')
        status = self.until('/status.json', lambda status: sum(one['failed_connections'] for one in status['principals']) == 300)
        rows = {one['name']: one['total_connections'] for one in status['principals']}
        self.assertEqual((len(rows), rows.pop('(others)'), set(rows.values())), (257, 44, {1}))
        self.assertEqual(len(status['failures']), 20)
        self.assertEqual([failure['time'] for failure in status['failures']],
                         sorted((failure['time'] for failure in status['failures']), reverse=True))
        self.assertNotIn(TOKEN, json.dumps(status))

    def fail_as(self, token):
        """Makes a connection with a minimal client to a target that refuses it."""
        connection = http.client.HTTPConnection(re.search('//(.*)/', self.url)[1], timeout=DEADLINE)
        connection.request('GET', '/', headers={'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '13',
                                                'Sec-WebSocket-Key': base64.b64encode(bytes(16)).decode(),
                                                'Authorization': f'Bearer {token}'})
        # The answer, and the close frame.
        received = b''
        while b'\r\n\r\n\x88' not in received:
            received += (more := connection.sock.recv(65536))
            self.assertTrue(more, received)
        connection.close()


class Requests(AdminTest):
    def test_headers(self):
        self.serve()
        for path in ('/', '/status.css', '/status.js', '/status.json', '/metrics', '/healthz', '/readyz', '/nothing'):
            with self.subTest(path):
                response, _ = self.ask(path)
                self.assertEqual(response.status, 404 if path == '/nothing' else 200)
                self.assertEqual(response.getheader('Cache-Control'), 'no-store')
                self.assertEqual(response.getheader('X-Content-Type-Options'), 'nosniff')
                self.assertEqual(response.getheader('Cross-Origin-Resource-Policy'), 'same-origin')
                self.assertIn("default-src 'none'", response.getheader('Content-Security-Policy'))
                self.assertNotIn('unsafe', response.getheader('Content-Security-Policy'))

    def test_methods(self):
        self.serve()
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'):
            response, _ = self.ask('/metrics', method, 'x' * 1000)
            self.assertEqual((response.status, response.getheader('Allow')), (405, 'GET, HEAD'), method)
        response, text = self.ask('/metrics', 'HEAD')
        self.assertEqual((response.status, text), (200, ''))
        self.assertGreater(int(response.getheader('Content-Length')), 1000)

    def test_hosts(self):
        """A foreign page cannot read the interface by a name that resolves to this address."""
        self.serve('--admin-host', 'gateway.lab')
        port = self.admin[1].rsplit(':', 1)[1]
        for host, status in [('127.0.0.1', 200), (f'127.0.0.1:{port}', 200), ('localhost:1', 200), ('LOCALHOST', 200),
                             ('[::1]:9090', 200), ('10.1.2.3', 200), ('gateway.lab:9090', 200), ('Gateway.LAB', 200),
                             ('evil.example', 421), (f'evil.example:{port}', 421), ('localhost.evil.example', 421),
                             ('127.0.0.1.evil.example', 421), ('', 421)]:
            for path in ('/', '/metrics', '/status.json', '/healthz'):
                self.assertEqual(self.ask(path, headers={'Host': host})[0].status, status, (host, path))
        # The way in which HAProxy checks it.
        with socket.create_connection(('127.0.0.1', int(port)), DEADLINE) as client:
            client.sendall(b'GET /healthz HTTP/1.0\r\n\r\n')
            self.assertTrue(client.makefile('rb').readline().split()[1:2] == [b'200'])

    def test_body(self):
        """The body of a request that is refused is not kept in memory."""
        self.serve()
        before = peak_memory(self.gateway.process.pid)
        response, _ = self.ask('/status.json', 'POST', b'x' * (64 << 20))
        self.assertEqual(response.status, 405)
        self.assertLess(peak_memory(self.gateway.process.pid) - before, 16 << 20)

    def test_many(self):
        """A client that holds many connections does not lock out others, and uses only a few descriptors."""
        self.serve()
        host, port = self.admin[1].rsplit(':', 1)
        held = [socket.create_connection((host, port), DEADLINE) for _ in range(200)]
        self.assertEqual(self.get('/healthz'), 'ok\n')
        self.assertLess(len(os.listdir(f'/proc/{self.gateway.process.pid}/fd')), 120)
        held[0].settimeout(DEADLINE)
        self.assertEqual(held[0].recv(1), b'')
        for client in held:
            client.close()

    def test_close(self):
        """A connection is for a single request, which its client is told."""
        self.serve()
        connection = http.client.HTTPConnection(self.admin[1], timeout=DEADLINE)
        for _ in range(5):
            connection.request('GET', '/healthz')
            response = connection.getresponse()
            self.assertEqual((response.read(), response.getheader('Connection')), (b'ok\n', 'close'))
        connection.close()


class Listening(AdminTest):
    def test_unix(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'admin')
            for _ in range(2):
                self.serve(admin=f'unix:{path}')
                self.assertEqual(self.admin[2], path)
                self.assertEqual(self.get('/healthz'), 'ok\n')
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
                status, _, stderr = run('gateway', '--target', 'localhost:1', '--admin', f'unix:{path}', TCP_TUNNEL_TOKEN=TOKEN)
                self.assertEqual(status, 1)
                self.assertIn(f'--admin unix:{path}: the path cannot be bound, or another program listens there', stderr)
                self.assertEqual(self.get('/healthz'), 'ok\n')
                # A socket file that a killed gateway has left is replaced.
                self.gateway.process.kill()
                self.gateway.wait()
                self.assertTrue(os.path.exists(path))
            self.serve(admin=f'unix:{path}')
            self.assertEqual(self.gateway.stop(), 0)
            self.assertFalse(os.path.exists(path))
            Path(path).write_text('a file of somebody')
            self.assertEqual(run('gateway', '--target', 'localhost:1', '--admin', f'unix:{path}', TCP_TUNNEL_TOKEN=TOKEN)[0], 1)
            self.assertEqual(Path(path).read_text(), 'a file of somebody')

    def test_everybody(self):
        self.serve(admin='0.0.0.0:0')
        self.gateway.error_line(r'warn +everybody who can reach 0\.0\.0\.0:\d+ can see the status')

    def test_in_use(self):
        self.serve()
        status, stdout, stderr = run('gateway', '--target', 'localhost:1', '--admin', self.admin[1], TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, stdout), (1, ''))
        self.assertRegex(stderr, rf'--admin {self.admin[1]}: .*(in use|Address already)')

    def test_usage(self):
        for option, value, words in [('--admin', 'localhost', 'HOST:PORT'), ('--admin', '127.0.0.1:70000', 'PORT'),
                                     ('--admin', 'systemd', 'HOST:PORT'), ('--admin', 'systemd:admin', "not 'systemd:admin'"),
                                     ('--ready-check', 'always', 'target or none')]:
            status, _, stderr = run('gateway', '--target', 'localhost:1', option, value, TCP_TUNNEL_TOKEN=TOKEN)
            self.assertEqual(status, 2, stderr)
            self.assertIn(f'{option} ', stderr)
            self.assertIn(words, stderr)


class Chromium:
    """A browser without a window, controlled by its DevTools protocol over a pipe."""

    def __init__(self, program):
        self.directory = tempfile.TemporaryDirectory()
        to_read, self.to = os.pipe()
        self.from_, to_write = os.pipe()

        def use_pipes():
            # The descriptors have to be 3 and 4.
            read, write = os.dup(to_read), os.dup(to_write)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [program, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
             '--disable-background-networking', '--hide-scrollbars', f'--user-data-dir={self.directory.name}',
             '--remote-debugging-pipe', 'about:blank'],
            env=environment(HOME=self.directory.name, XDG_CONFIG_HOME=self.directory.name, XDG_RUNTIME_DIR=self.directory.name,
                            G_DEBUG=None),
            preexec_fn=use_pipes, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.buffer = b''
        self.number = 0
        self.complaints = []
        self.session = None
        page, = [t for t in self.call('Target.getTargets')['targetInfos'] if t['type'] == 'page']
        self.session = self.call('Target.attachToTarget', targetId=page['targetId'], flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Accessibility'):
            self.call(domain + '.enable')

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.from_)
        shutil.rmtree(self.directory.name, ignore_errors=True)
        self.directory.cleanup()

    def receive(self):
        while b'\0' not in self.buffer:
            piece = os.read(self.from_, 1 << 20)
            if not piece:
                raise EOFError('Chromium has ended')
            self.buffer += piece
        message, self.buffer = self.buffer.split(b'\0', 1)
        message = json.loads(message)
        if message.get('method') in ('Runtime.exceptionThrown', 'Log.entryAdded'):
            self.complaints.append(message['params'])
        return message

    def call(self, method, **params):
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        os.write(self.to, json.dumps(message).encode() + b'\0')
        while (answer := self.receive()).get('id') != self.number:
            pass
        if 'error' in answer:
            raise AssertionError(f'{method}: {answer["error"]}')
        return answer['result']

    def evaluate(self, expression):
        result = self.call('Runtime.evaluate', expression=expression, awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in result:
            raise AssertionError(result['exceptionDetails'])
        return result['result'].get('value')

    def until(self, expression):
        end = time.monotonic() + DEADLINE
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise AssertionError(f'never {expression}: ' + self.evaluate('document.body.innerText'))
            self.evaluate('new Promise(resolve => setTimeout(resolve, 50))')
        return value

    def press(self, key, code):
        for kind in ('keyDown', 'keyUp'):
            self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      text='\r' if key == 'Enter' and kind == 'keyDown' else '')

    def show(self, width, height, scheme):
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])

    def screenshot(self, path):
        data = self.call('Page.captureScreenshot', captureBeyondViewport=False)['data']
        Path(path).write_bytes(base64.b64decode(data))


class Page(AdminTest):
    def test_page(self):
        program = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
        if program is None:
            skip(self, 'there is no Chromium')
        directory = os.environ.get('TCP_TUNNEL_SCREENSHOTS') or self.enterContext(tempfile.TemporaryDirectory())
        with tempfile.NamedTemporaryFile('w') as tokens:
            tokens.write(f'alice:{TOKEN}\nbuild-farm:another\n')
            tokens.flush()
            self.serve('--token-file', tokens.name, '--allow', '*.invalid:*', '--listen', '0', '--listen', '127.0.0.1:0', token=None)
            further = self.gateway.line().removeprefix('listening on ')
        address = self.connect('--mode', 'multiplexed')
        farm = self.connect('--mode', 'multiplexed', TCP_TUNNEL_TOKEN='another')
        lost = self.connect('--mode', 'multiplexed', '--target', 'gone.invalid:5432')
        clients = [self.enterContext(socket.create_connection(where, DEADLINE)) for where in [address] * 3 + [farm] * 2]
        for client in clients:
            self.assertTrue(exchange(client, b'x' * 200_000))
        self.lose(lost)
        self.until('/status.json', lambda status: status['failures'])
        browser = self.enterContext(Chromium(program))
        browser.show(1200, 1000, 'light')
        browser.call('Page.navigate', url=f'http://{self.admin[1]}/')
        self.look(browser, clients, further, directory)
        self.use_keys(browser)
        self.lose_gateway(browser)

    def look(self, browser, clients, further, directory):
        browser.until("document.querySelector('#state')?.textContent === 'listening'")
        text = browser.evaluate('document.body.innerText')
        for words in ('alice', 'build-farm', 'gone.invalid:5432', f'{self.url}, {further} → 127.0.0.1:{self.service.port}', '195 KiB'):
            self.assertIn(words, text)
        self.assertEqual(browser.evaluate("document.querySelectorAll('#connection-rows tr').length"), len(clients))
        # The page is updated, and shows rates.
        self.assertTrue(exchange(clients[0], b'x' * 3_000_000))
        browser.until("document.querySelector('#to-target').textContent.match(/MiB.s|KiB.s/)")
        browser.screenshot(os.path.join(directory, 'status-light.png'))
        light = browser.evaluate('getComputedStyle(document.body).backgroundColor')
        browser.show(1200, 1000, 'dark')
        browser.screenshot(os.path.join(directory, 'status-dark.png'))
        dark = browser.evaluate('getComputedStyle(document.body).backgroundColor')
        self.assertEqual((light, dark), ('rgb(255, 255, 255)', 'rgb(22, 24, 28)'))
        # Wide tables scroll, but the page does not.
        browser.show(400, 1600, 'light')
        browser.screenshot(os.path.join(directory, 'status-narrow.png'))
        self.assertEqual(browser.evaluate('document.documentElement.scrollWidth'), 400)
        browser.show(1200, 1000, 'light')
        self.check_structure(browser)
        self.assertEqual(browser.complaints, [])

    def check_structure(self, browser):
        nodes = browser.call('Accessibility.getFullAXTree')['nodes']
        roles = [node['role']['value'] for node in nodes if not node['ignored']]
        self.assertEqual((roles.count('table'), roles.count('main'), roles.count('banner')), (4, 1, 1))
        names = {node['name']['value'] for node in nodes if not node['ignored'] and node['role']['value'] == 'region'}
        self.assertEqual(names, {'Connections', 'Connections by principal', 'Latest errors', 'Since the start'})
        self.assertEqual(browser.evaluate(
            "[...document.querySelectorAll('th')].filter(cell => !['row', 'col'].includes(cell.scope)).length"), 0)

    def use_keys(self, browser):
        """Everything can be reached by keyboard, and the button works."""
        reached = []
        for _ in range(7):
            browser.press('Tab', 9)
            reached.append(browser.evaluate('document.activeElement.id || document.activeElement.getAttribute("aria-labelledby") || '
                                            'document.activeElement.getAttribute("href")'))
            self.assertNotEqual(browser.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'none', reached)
        self.assertEqual(reached, ['pause', 'connections-title', 'principals-title', 'failures-title', 'counters-title', 'status.json',
                                   'metrics'])
        browser.evaluate("document.querySelector('#pause').focus()")
        browser.press('Enter', 13)
        browser.until("document.querySelector('#state').textContent === 'paused'")
        self.assertEqual(browser.evaluate("document.querySelector('#pause').getAttribute('aria-pressed')"), 'true')
        browser.press('Enter', 13)
        browser.until("document.querySelector('#state').textContent === 'listening'")

    def lose_gateway(self, browser):
        """When the gateway is gone, the page shows that its numbers are old."""
        self.gateway.process.kill()
        self.gateway.process.wait()
        browser.until("document.querySelector('#state').textContent === 'no answer' && !document.querySelector('#problem').hidden")
        self.assertIn('not of this moment', browser.evaluate("document.querySelector('#problem').textContent"))


if __name__ == '__main__':
    unittest.main(verbosity=2)
