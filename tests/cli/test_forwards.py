# SPDX-License-Identifier: LGPL-2.1-or-later
"""Further ports of `connect`, including proxies, with common programs as clients."""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import DEADLINE, TOKEN, Command, Config, Relay, Service, environment, exchange, gateway, noise, receive, run, skip
from test_ssh import SSHD, Daemon

CUT_S = 0.3


class Pages(http.server.ThreadingHTTPServer):
    """Pages for a browser: one that loads many others, and those."""

    daemon_threads = True
    SIZE = 20000

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def do_GET(self):
            hosts = re.sub('.*hosts=', '', self.path).split(',') if 'hosts=' in self.path else None
            body = self.server.index(hosts) if hosts else b'x' * Pages.SIZE
            self.send_response(200)
            self.send_header('Content-Type', 'text/html')
            self.send_header('Content-Length', str(len(body)))
            self.send_header('Access-Control-Allow-Origin', '*')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    def __init__(self):
        super().__init__(('127.0.0.1', 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()

    @property
    def port(self):
        return self.server_address[1]

    def index(self, hosts):
        """Makes a page that loads others from each host, and shows how much was loaded."""
        return ("""<body>loading<script>
            const urls = [];
            for (const host of %s)
                for (let i = 0; i < 20; i++)
                    urls.push(`http://${host}:%d/${i}`);
            Promise.all(urls.map(url => fetch(url).then(answer => answer.text())))
                .then(texts => { document.body.textContent =
                    `loaded ${texts.length}: ${texts.reduce((sum, text) => sum + text.length, 0)}`; })
                .catch(error => { document.body.textContent = `failed: ${error}`; });
            </script></body>""" % (json.dumps(hosts), self.port)).encode()


class ForwardsTest(unittest.TestCase):
    def enter(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def serve(self, *allowed):
        """Starts a gateway with a target of its own, and returns its URL."""
        self.own = self.enter(Service())
        command, url = gateway(self.own, *[option for pattern in allowed for option in ('--allow', pattern)])
        self.enter(command)
        return url

    def connect(self, url, *args, mode='multiplexed', **extra):
        return self.enter(Command('connect', url, '--mode', mode, *args, TCP_TUNNEL_TOKEN=TOKEN, **extra))

    def proxies(self, url, *args):
        """Starts a SOCKS5 and an HTTP proxy, and returns their ports."""
        command = self.connect(url, '--socks', '0', '--http-proxy', '0', *args)
        socks = re.fullmatch(r'listening on 127\.0\.0\.1:(\d+) as a SOCKS5 proxy', command.line())
        web = re.fullmatch(r'listening on 127\.0\.0\.1:(\d+) as an HTTP proxy', command.line())
        return int(socks[1]), int(web[1])


class Cutter:
    """Cuts a WebSocket again and again."""

    def __init__(self, relay):
        self.relay = relay
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(CUT_S):
            self.relay.cut()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.thread.join()


class Ports(ForwardsTest):
    def check(self, address, data=b'data'):
        with socket.create_connection(address, DEADLINE) as client:
            exchange(client, data)

    def test_lines(self):
        other = self.enter(Service(lambda connection: connection.sendall(b'other')))
        target = f'127.0.0.1:{other.port}'
        command = self.connect(self.serve(target), '--forward', f'0={target}', '--forward', f'127.0.0.1:0={target}',
                               '--listen', '0')
        own = re.fullmatch(r'listening on 127\.0\.0\.1:(\d+)', command.line())
        self.check(('127.0.0.1', int(own[1])))
        for _ in range(2):
            port = int(re.fullmatch(rf'listening on 127\.0\.0\.1:(\d+) for {target}', command.line())[1])
            with socket.create_connection(('127.0.0.1', port), DEADLINE) as client:
                self.assertEqual(receive(client, 5), b'other')
        self.assertEqual(command.stop(), 0)

    def test_no_other_port(self):
        """Without --listen there are no other ports."""
        other = self.enter(Service())
        target = f'127.0.0.1:{other.port}'
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'a=b')
            command = self.connect(self.serve(target), '--forward', f'unix:{path}={target}')
            self.assertEqual(command.line(), f'listening on unix:{path} for {target}')
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE)
                client.connect(path)
                exchange(client, b'data')
            self.assertEqual(command.stop(), 0)
            self.assertEqual([line for line in command.output if 'listening' in line],
                             [f'listening on unix:{path} for {target}\n'])

    def test_events(self):
        other = self.enter(Service())
        target = f'127.0.0.1:{other.port}'
        command = self.connect(self.serve(target), '--json', '--forward', f'0={target}', '--socks', '0', '--http-proxy', '0')
        events = [json.loads(command.line()) for _ in range(3)]
        self.assertEqual([event['event'] for event in events], ['listening'] * 3)
        self.assertEqual([event.get('target') for event in events], [target, None, None])
        self.assertEqual([event.get('proxy') for event in events], [None, 'socks', 'http-proxy'])
        self.check((events[0]['host'], events[0]['port']))

    def test_forbidden(self):
        command = self.connect(self.serve(), '--forward', '0=127.0.0.1:1')
        port = int(re.search(r':(\d+) for', command.line())[1])
        with socket.create_connection(('127.0.0.1', port), DEADLINE) as client:
            with self.assertRaises(ConnectionResetError):
                client.recv(1)
        command.error_line('does not allow the target 127.0.0.1:1')

    def test_config(self):
        other = self.enter(Service())
        target = f'127.0.0.1:{other.port}'
        url = self.serve(target)
        with Config(f'[lab]\nremote-uri={url}\nmode=multiplexed\nforwards=0={target}; unix:socket={target};\n'
                    'socks=0\nhttp-proxy=unix:proxy\n') as config:
            with Command('up', '--config', config.path, TCP_TUNNEL_TOKEN=TOKEN) as command:
                directory = os.path.dirname(config.path)
                lines = [command.line() for _ in range(4)]
                self.assertRegex(lines[0], rf'^lab: listening on 127\.0\.0\.1:\d+ for {target}$')
                self.assertEqual(lines[1], f'lab: listening on unix:{directory}/socket for {target}')
                self.assertRegex(lines[2], r'^lab: listening on 127\.0\.0\.1:\d+ as a SOCKS5 proxy$')
                self.assertEqual(lines[3], f'lab: listening on unix:{directory}/proxy as an HTTP proxy')
                self.assertEqual(command.stop(), 0)

    def test_hook(self):
        other = self.enter(Service())
        target = f'127.0.0.1:{other.port}'
        command = self.connect(self.serve(target), '--forward', f'0={target}', '--socks', '0', '--on-ready',
                               'echo "[$TCP_TUNNEL_PORT] $TCP_TUNNEL_FORWARDS"')
        port = re.search(r':(\d+) for', command.line())[1]
        socks = re.search(r':(\d+) as', command.line())[1]
        command.error_line(re.escape(f'[] 127.0.0.1:{port}={target} 127.0.0.1:{socks}=socks'))

    def test_usage(self):
        for args, message in (
            (['--forward', '5432'], "--forward must be LISTEN=HOST:PORT, such as 5432=db.lab:5432, not '5432'"),
            (['--forward', '=db:1'], "not '=db:1'"),
            (['--forward', '5432='], "not '5432='"),
            (['--forward', '70000=db:1'], '--forward'),
            (['--forward', '5432=db:x'], 'is not of the form HOST:PORT'),
            (['--socks', 'db'], '--socks'),
            (['--http-proxy', '-1'], '--http-proxy'),
            (['--socks', '1080', '--stdio'], '--stdio and --socks exclude each other'),
            (['--forward', '1=db:1', '--stdio'], '--stdio and --forward exclude each other'),
            (['--http-proxy', '1', '--adb'], "--adb needs a port of the tunnel's own"),
        ):
            with self.subTest(args=args):
                status, out, err = run('connect', 'ws://127.0.0.1:1/', *args, TCP_TUNNEL_TOKEN=TOKEN)
                self.assertEqual((status, out), (2, ''), err)
                self.assertIn(message, err)

    def test_in_use(self):
        url = self.serve()
        status, out, err = run('connect', url, '--socks', str(self.own.port), TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, out), (1, ''))
        self.assertIn(f'cannot listen on 127.0.0.1 port {self.own.port}', err)


class Curl(ForwardsTest):
    def setUp(self):
        if shutil.which('curl') is None:
            skip(self, 'there is no curl')
        self.pages = self.enter(Pages())

    def fetch(self, *args, host='localhost'):
        return subprocess.run(['curl', '-sS', '-w', '%{http_code} %{http_connect}', '-o', '/dev/null', *args,
                               f'http://{host}:{self.pages.port}/'], env=environment(), capture_output=True, text=True,
                              timeout=DEADLINE)

    def test_curl(self):
        """The gateway resolves the name; both the name and the address have to be allowed."""
        socks, web = self.proxies(self.serve(f'localhost:{self.pages.port}', f'127.0.0.1:{self.pages.port}'))
        socks, web = f'127.0.0.1:{socks}', f'http://127.0.0.1:{web}'
        for done in self.fetch('--socks5-hostname', socks), self.fetch('--proxytunnel', '-x', web):
            self.assertRegex(done.stdout, '^200', done.stderr)
        refused = self.fetch('--socks5', socks, host='127.0.0.2')
        self.assertEqual(refused.returncode, 97, refused.stderr)
        self.assertIn('(2)', refused.stderr)
        refused = self.fetch('--proxytunnel', '-x', web, host='127.0.0.2')
        self.assertEqual((refused.returncode, refused.stdout), (56, '000 403'), refused.stderr)
        self.assertEqual(self.fetch('-x', web).stdout, '405 000')

    def test_cuts(self):
        """A hundred pages over a WebSocket that is cut every 300 ms: none fails."""
        relay = self.enter(Relay(self.serve('*:*', '127.0.0.0/8:*')))
        socks, web = self.proxies(relay.url, '--reconnect-delay', '10ms')
        ways = [('--socks5-hostname', f'127.0.0.1:{socks}'), ('--proxytunnel', '-x', f'http://127.0.0.1:{web}')]
        with Cutter(relay), ThreadPoolExecutor(8) as pool:
            fetched = list(pool.map(lambda i: self.fetch(*ways[i % 2]), range(100)))
            # There are several cuts, however fast that was.
            while relay.accepted < 4:
                fetched.append(self.fetch(*ways[0]))
        self.assertEqual([done.stderr for done in fetched if done.returncode != 0 or not done.stdout.startswith('200')], [])


class Browser(ForwardsTest):
    """A page that loads others from several hosts, in Chromium, while the WebSocket is cut."""

    def test_chromium(self):
        chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
        if chromium is None:
            skip(self, 'there is no Chromium')
        pages = self.enter(Pages())
        relay = self.enter(Relay(self.serve('*:*', '127.0.0.0/8:*')))
        socks, _ = self.proxies(relay.url, '--reconnect-delay', '10ms')
        hosts = [host for host in ('localhost', '127.0.0.1', socket.gethostname()) if self.resolves(host)]
        url = f'http://localhost:{pages.port}/?hosts={",".join(hosts)}'
        with Cutter(relay), tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(
                [chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
                 '--disable-background-networking', f'--user-data-dir={directory}',
                 f'--proxy-server=socks5://127.0.0.1:{socks}', '--proxy-bypass-list=<-loopback>',
                 '--virtual-time-budget=20000', '--dump-dom', url],
                env=environment(HOME=directory, XDG_CONFIG_HOME=directory, XDG_RUNTIME_DIR=directory, G_DEBUG=None), capture_output=True, text=True, timeout=3 * DEADLINE)
        self.assertIn(f'loaded {20 * len(hosts)}: {20 * len(hosts) * Pages.SIZE}', done.stdout, done.stderr[-2000:])

    @staticmethod
    def resolves(host):
        try:
            return socket.gethostbyname(host).startswith('127.')
        except OSError:
            return False


class Ssh(ForwardsTest):
    """ssh over the SOCKS5 proxy, with OpenBSD's nc as the client."""

    def test_ssh(self):
        if SSHD is None or shutil.which('ssh') is None:
            skip(self, 'there is no OpenSSH')
        if shutil.which('nc') is None or 'OpenBSD' not in subprocess.run(['nc', '-h'], capture_output=True, text=True).stderr:
            skip(self, "there is no OpenBSD's nc")
        data = noise(4 << 20, 3)
        with tempfile.TemporaryDirectory() as directory:
            daemon = Daemon(directory)
            self.addCleanup(daemon.stop)
            known = Path(directory) / 'known_hosts'
            known.write_text('behind ' + (Path(directory) / 'host.pub').read_text())
            relay = self.enter(Relay(self.serve(f'127.0.0.1:{daemon.port}')))
            socks, _ = self.proxies(relay.url, '--reconnect-delay', '10ms')
            with Cutter(relay):
                done = subprocess.run(
                    ['ssh', '-F', 'none', '-i', f'{directory}/user', '-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none',
                     '-o', f'UserKnownHostsFile={known}', '-o', 'HostKeyAlias=behind', '-o', 'BatchMode=yes',
                     '-o', f'ProxyCommand=nc -X 5 -x 127.0.0.1:{socks} %h %p', '-p', str(daemon.port), '127.0.0.1', 'cat'],
                    env=environment(), input=data, capture_output=True, timeout=DEADLINE)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertTrue(done.stdout == data)


if __name__ == '__main__':
    unittest.main(verbosity=2)
