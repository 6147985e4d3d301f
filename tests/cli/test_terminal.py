# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a person sees: the status line of a tunnel, and the demo."""

import os
import re
import signal
import unittest

from support import (Command, Config, Relay, Service, Terminal, TOKEN, dial, exchange, gateway, listening, noise,
                     receive, run)


class OnTerminal(unittest.TestCase):
    SGR = r'\x1b\[[0-9;]*m'
    ERASE = '\r\x1b[K'

    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)

    def watch(self, columns, rest='', **extra):
        """A connection on a terminal; gives the terminal after the end."""
        with Terminal('connect', self.url, columns=columns, TCP_TUNNEL_TOKEN=TOKEN,
                      **extra) as terminal:
            port = int(terminal.expect(r'listening on 127\.0\.0\.1:(\d+)\r')[1])
            with dial(('127.0.0.1', port)) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, 1)))
                terminal.expect(r'\bconnected  1 open')
            terminal.expect(r'(?s)1 open.*disconnected  0 open' + rest)
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)
        return terminal

    def test_status_line(self):
        terminal = self.watch(80, r'  up \S+ \S+ 1\.00 MiB  down \S+ \S+ 1\.00 MiB')
        self.assertLessEqual(max(map(len, terminal.drawn())), 80)
        self.assertIn(self.ERASE, terminal.data)
        self.assertRegex(terminal.data, self.SGR)
        status = re.compile(r'(connected|disconnected|connecting)  [01] open  '
                            r'up [\d.]+ [KM]?i?B/s [\d.]+ [KM]?i?B  '
                            r'down [\d.]+ [KM]?i?B/s [\d.]+ [KM]?i?B')
        self.assertTrue(any(status.match(piece) for piece in terminal.drawn()))

        # What remains is whole lines: the port, the log, and no status.
        for row in filter(None, terminal.screen()):
            self.assertRegex(row, r'^(listening on 127\.0\.0\.1:\d+$|\d\d:\d\d:\d\d (info |warn ) )')

    def test_resumption(self):
        """A wide terminal has room for it."""
        relay = self.enterContext(Relay(self.url))
        with Terminal('connect', relay.url, '--reconnect-delay', '10', columns=200,
                      TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            port = int(terminal.expect(r'listening on 127\.0\.0\.1:(\d+)\r')[1])
            with dial(('127.0.0.1', port)) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, 1)))
                terminal.expect(r'connected  1 open .*  retained [\d.]+ [KM]?i?B'
                                r'  windows [\d.]+ [KM]?i?B up, [\d.]+ [KM]?i?B down')
                relay.cut()
                relay.wait_accepted(2)
                self.assertTrue(exchange(connection, noise(1 << 20, 2)))
                terminal.expect(r'connected  1 open .*  resumed 1x, replayed [\d.]+ [KM]?i?B')
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)

    def test_narrow(self):
        terminal = self.watch(30)
        pieces = [piece for piece in terminal.drawn() if ' open' in piece]
        self.assertTrue(pieces)
        self.assertLess(max(map(len, pieces)), 30)

    def test_no_color(self):
        terminal = self.watch(80, NO_COLOR='1')
        self.assertNotRegex(terminal.data, self.SGR)
        self.assertIn(self.ERASE, terminal.data)

    def test_dumb(self):
        """Neither colours nor a status line."""
        with Terminal('connect', self.url, TERM='dumb', TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            port = int(terminal.expect(r'listening on 127\.0\.0\.1:(\d+)\r')[1])
            with dial(('127.0.0.1', port)) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)
        self.assertNotIn('\x1b', terminal.data)
        self.assertNotIn(' open', terminal.data)

    def test_token_command_asks(self):
        """No status line gets between the question and the answer."""
        command = f'printf "password? " >&2; read answer <&2; echo {TOKEN}'
        with Terminal('connect', self.url, '--token-command', command) as terminal:
            terminal.expect(r'password\? ')
            os.write(terminal.master, b'yes\n')
            terminal.expect('listening on')
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)
        self.assertRegex(terminal.data, r'(\A|\x1b\[K)password\? yes\r\n')

    def test_errors(self):
        """Red where that is wanted."""
        for extra, colored in (({}, True), ({'NO_COLOR': '1'}, False), ({'TERM': 'dumb'}, False)):
            for args in (['conect'], ['connect'], ['connect', '--frobnicate', self.url]):
                with self.subTest(args=args, **extra), Terminal(*args, **extra) as terminal:
                    self.assertEqual(terminal.wait(), 2)
                    self.assertIn('tcp-tunnel', terminal.plain())
                    self.assertEqual('\x1b[31m' in terminal.data, colored)
                    self.assertEqual('\x1b' in terminal.data, colored)


class Several(unittest.TestCase):
    STATUS = (r'(?:connected|disconnected|connecting)  \d+ open  up [\d.]+ [KM]?i?B/s [\d.]+ [KM]?i?B  '
              r'down [\d.]+ [KM]?i?B/s [\d.]+ [KM]?i?B')

    def setUp(self):
        service = self.enterContext(Service())
        server, url = gateway(service)
        self.enterContext(server)
        self.config = self.enterContext(Config(
            f'[defaults]\nremote-uri={url}\ntoken-file=token\nmode=multiplexed\n'
            '[one]\n[another]\n'))

    def up(self, *args, **extra):
        return self.enterContext(Terminal('up', *args, XDG_CONFIG_HOME=self.config.home, **extra))

    def shown(self, terminal, *patterns):
        """Waits until the last rows are these."""
        def fits():
            rows = terminal.screen()[-len(patterns):]
            return len(rows) == len(patterns) and all(map(re.match, patterns, rows))

        with terminal.condition:
            self.assertTrue(terminal.condition.wait_for(fits, 60), terminal.screen())

    def ports(self, terminal):
        return {name: int(terminal.expect(rf'{name}: listening on 127\.0\.0\.1:(\d+)\r')[1])
                for name in ('one', 'another')}

    def test_status_lines(self):
        """A line for each, in the order of the file, and whole lines above."""
        terminal = self.up('--log-level', 'error')
        ports = self.ports(terminal)
        self.shown(terminal, rf'one      {self.STATUS}', rf'another  {self.STATUS}')
        with dial(('127.0.0.1', ports['another'])) as connection:
            self.assertTrue(exchange(connection, noise(1 << 20, 1)))
            self.shown(terminal, r'one      connected  0 open  up 0 B/s 0 B ',
                       r'another  connected  1 open  up \S+ \S+ 1\.00 MiB  down \S+ \S+ 1\.00 MiB')
        self.shown(terminal, 'one ', 'another  connected  0 open')
        terminal.process.terminate()
        self.assertEqual(terminal.wait(), 0)

        self.assertLess(max(map(len, terminal.drawn())), 80)
        self.assertEqual(sorted(filter(None, terminal.screen())),
                         sorted(f'{name}: listening on 127.0.0.1:{port}' for name, port in ports.items()))

    def test_one_ends(self):
        """Its line goes, and what was wrong stays."""
        with open(self.config.path, 'a', encoding='utf-8') as file:
            file.write('[broken]\ntoken-command=echo wrong\n')
        terminal = self.up('--log-level', 'error', NO_COLOR='1')
        self.ports(terminal)
        terminal.expect('tcp-tunnel up: broken: .*401')
        self.shown(terminal, rf'one      {self.STATUS}', rf'another  {self.STATUS}')
        self.assertNotRegex(terminal.data, OnTerminal.SGR)
        terminal.process.terminate()
        self.assertEqual(terminal.wait(), 1)
        rows = list(filter(None, terminal.screen()))
        self.assertEqual(len(rows), 3, rows)

    def test_wide_names(self):
        """An ideograph takes two columns, and a terminal has a certain number of them."""
        with open(self.config.path, 'a', encoding='utf-8') as file:
            file.write('[\u96a7\u9053]\nmode=singleton\n')
        terminal = self.up('--log-level', 'error', columns=40)
        self.shown(terminal, 'one      connected  0 open', 'another  connected  0 open',
                   '\u96a7\u9053     disconnected  0 open')
        terminal.process.terminate()
        self.assertEqual(terminal.wait(), 0)
        pieces = [piece for piece in terminal.drawn() if piece.startswith('\u96a7') and 'open' in piece]
        self.assertTrue(pieces)
        self.assertLess(max(map(len, pieces)) + 2, 40)

    def test_whole_fields(self):
        """What there is no room for is left out, and not cut in the middle of a number."""
        size = r'[\d.]+ [KM]?i?B'
        field = re.compile(rf'\d+ open|(?:up|down) {size}/s {size}|rtt [\d.]+ \S+|retained {size}'
                           rf'|windows {size} up, {size} down')
        for columns in (34, 45, 52, 60, 72):
            with self.subTest(columns=columns):
                terminal = self.up('--log-level', 'error', columns=columns)
                self.shown(terminal, 'one      connected  0 open', 'another  connected  0 open')
                terminal.process.terminate()
                self.assertEqual(terminal.wait(), 0)
                for piece in terminal.drawn():
                    if ' open' in piece:
                        self.assertLess(len(piece), columns)
                        for part in re.split(' {2,}', piece)[2:]:
                            self.assertRegex(part, rf'^(?:{field.pattern})$')

    def test_more_than_there_is_room_for(self):
        with open(self.config.path, 'a', encoding='utf-8') as file:
            file.writelines(f'[tunnel{i}]\nmode=singleton\n' for i in range(30))
        terminal = self.up('--log-level', 'error')
        self.ports(terminal)
        with terminal.condition:
            full = terminal.condition.wait_for(lambda: '\x1b[A\x1b[K' * 22 in terminal.data, 60)
        self.assertTrue(full)
        self.assertNotIn('\x1b[A\x1b[K' * 23, terminal.data)
        terminal.process.terminate()
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(all('listening on' in row for row in filter(None, terminal.screen())))


class Demo(unittest.TestCase):
    ROWS = ['data up', 'data down', 'data both ways', 'a line now and then', 'same connection']

    def check_text(self, text):
        self.assertLessEqual(max(map(len, text)), 80)
        whole = '\n'.join(text)
        self.assertRegex(whole, r'(?m)^  cut 1 at \d+ %  disconnected, reconnecting, connecting, connected in ')
        self.assertRegex(whole, r'(?m)^  cut 1 at \d+ %  reconnecting, connecting, connected in ')
        counts = re.findall(r'(?m)^ +(\d+) cuts, resumed (\d+) times, .* sent again$', whole)
        self.assertEqual(len(counts), 3)
        for cuts, resumes in counts:
            self.assertGreater(int(cuts), 0)
            self.assertGreater(int(resumes), 0)
        self.assertRegex(whole, r'(?m)^  typing +\d+ lines, each came back: ')
        for row in self.ROWS:
            self.assertRegex('\n'.join(text), rf'(?m)^  {row}.* held$')
        self.assertIn('All held.', text)

    def test_piped(self):
        status, out, err = run('demo', '--size', '8')
        self.assertEqual((status, err), (0, ''), out)
        self.check_text(out.splitlines())
        self.assertNotIn('\x1b', out)
        self.assertNotIn('\r', out)
        self.assertRegex(out, r'(?s)cut.*disconnected.*reconnecting.*connecting.*connected')

    def test_terminal(self):
        with Terminal('demo', '--size', '64') as terminal:
            self.assertEqual(terminal.wait(), 0, terminal.data)
        self.assertLessEqual(max(map(len, terminal.drawn())), 80)
        self.check_text(terminal.screen())
        self.assertRegex(terminal.data, r'█.* \d+ %  ')
        self.assertNotIn('░', '\n'.join(terminal.screen()))

    def test_keep(self):
        with Command('demo', '--size', '1', '--keep') as demo:
            while not (match := re.match(r'  nc 127\.0\.0\.1 (\d+)', demo.line())):
                pass
            with dial(('127.0.0.1', int(match[1]))) as connection:
                connection.sendall(b'hello\n')
                self.assertRegex(receive(connection, 28).decode(), r'^connection \d+, line 1: hel')
            port = int(re.search(r'http://127\.0\.0\.1:(\d+)/', demo.line() + demo.line())[1])
            with dial(('127.0.0.1', port)) as connection:
                connection.sendall(b'GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n')
                head, body = b'', b''
                while b'\r\n\r\n' not in head:
                    head += receive(connection, 1)
                body = receive(connection, 2 << 20)
                self.assertTrue(head.startswith(b'HTTP/1.1 200 OK\r\n'))
                self.assertEqual(len(set(body)), 256)
            demo.line()
            url = re.search(r'TCP_TUNNEL_TOKEN=demo tcp-tunnel connect (\S+)$', demo.line())[1]
            with Command('connect', url, TCP_TUNNEL_TOKEN='demo') as tunnel:
                with dial(listening(tunnel)) as connection:
                    connection.sendall(b'hello\n')
                    self.assertRegex(receive(connection, 12), b'^connection')
            self.assertEqual(demo.stop(signal.SIGINT), 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
