# SPDX-License-Identifier: LGPL-2.1-or-later
"""Output on a terminal: the status line of a tunnel, and the demo."""

import os
import pty
import re
import signal
import unittest

from support import (BINARY, Away, Command, Config, Relay, Service, Terminal, TOKEN, dial, environment, exchange, gateway, listening,
                     noise, receive, run)


class OnTerminal(unittest.TestCase):
    SGR = r'\x1b\[[0-9;]*m'
    ERASE = '\r\x1b[K'

    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)

    def watch(self, columns, rest='', **extra):
        """Makes a connection while the command runs on a terminal; returns the terminal after the end."""
        with Terminal('connect', self.url, columns=columns, TCP_TUNNEL_TOKEN=TOKEN,
                      **extra) as terminal:
            port = int(terminal.expect(r'listening on 127\.0\.0\.1:(\d+)\r')[1])
            with dial(('127.0.0.1', port)) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, 1)))
                terminal.expect(r'\bconnected  1 open')
            terminal.expect(r'(?s)1 open.*connected  0 open' + rest)
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

        # Complete lines remain: the port and the log, but no status.
        for row in filter(None, terminal.screen()):
            self.assertRegex(row, r'^(listening on 127\.0\.0\.1:\d+$|\d\d:\d\d:\d\d (info |warn ) )')

    def test_closed_terminal(self):
        """A gateway ends when its terminal is closed, although SIGHUP otherwise makes it reload its files."""
        pid, master = pty.fork()
        if pid == 0:
            os.execve(BINARY, [BINARY, 'gateway', '--target', '127.0.0.1:9', '--drain-timeout', '0'],
                      environment(TCP_TUNNEL_TOKEN=TOKEN))
        data = b''
        while b'listening on' not in data:
            data += os.read(master, 4096)
        os.kill(pid, signal.SIGHUP)
        while b'was reloaded' not in data:
            data += os.read(master, 4096)
        os.close(master)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_resumption(self):
        """A wide terminal also shows the resumption."""
        relay = self.enterContext(Relay(self.url))
        with Terminal('connect', relay.url, '--reconnect-delay', '10ms', columns=200,
                      TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            port = int(terminal.expect(r'listening on 127\.0\.0\.1:(\d+)\r')[1])
            with dial(('127.0.0.1', port)) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, 1)))
                terminal.expect(r'connected  1 open .*  unacknowledged [\d.]+ [KM]?i?B'
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

    def test_less_narrow(self):
        """Rates are left out before totals, and both directions together."""
        terminal = self.watch(52, r'  up 1\.00 MiB  down 1\.00 MiB')
        self.assertFalse([piece for piece in terminal.drawn() if 'MiB' in piece and '/s' in piece])

    def test_countdown(self):
        with Away() as away, Terminal('connect', away.url, '--mode', 'multiplexed', '--log-level', 'error',
                                      TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            terminal.expect(r'retrying in 1 s: (…|cannot |the ).*Connection refused')
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)

    def test_no_color(self):
        terminal = self.watch(80, NO_COLOR='1')
        self.assertNotRegex(terminal.data, self.SGR)
        self.assertIn(self.ERASE, terminal.data)

    def test_dumb(self):
        """A dumb terminal gets neither colours nor a status line."""
        with Terminal('connect', self.url, TERM='dumb', TCP_TUNNEL_TOKEN=TOKEN) as terminal:
            port = int(terminal.expect(r'listening on 127\.0\.0\.1:(\d+)\r')[1])
            with dial(('127.0.0.1', port)) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)
        self.assertNotIn('\x1b', terminal.data)
        self.assertNotIn(' open', terminal.data)

    def test_token_command_asks(self):
        """No status line is drawn between the question and the answer."""
        command = f'printf "password? " >&2; read answer <&2; echo {TOKEN}'
        with Terminal('connect', self.url, '--token-command', command) as terminal:
            terminal.expect(r'password\? ')
            os.write(terminal.master, b'yes\n')
            terminal.expect('listening on')
            terminal.process.terminate()
            self.assertEqual(terminal.wait(), 0)
        self.assertRegex(terminal.data, r'(\A|\x1b\[K)password\? yes\r\n')

    def test_errors(self):
        """Errors are red if colours are wanted."""
        for extra, colored in (({}, True), ({'NO_COLOR': '1'}, False), ({'TERM': 'dumb'}, False)):
            for args in (['conect'], ['connect'], ['connect', '--frobnicate', self.url]):
                with self.subTest(args=args, **extra), Terminal(*args, **extra) as terminal:
                    self.assertEqual(terminal.wait(), 2)
                    self.assertIn('tcp-tunnel', terminal.plain())
                    self.assertEqual('\x1b[31m' in terminal.data, colored)
                    self.assertEqual('\x1b' in terminal.data, colored)


class Several(unittest.TestCase):
    TITLES = r'NAME +STATE +OPEN +UP +DOWN'

    def setUp(self):
        service = self.enterContext(Service())
        server, url = gateway(service)
        self.enterContext(server)
        self.config = self.enterContext(Config(
            f'[defaults]\nremote-uri={url}\ntoken-file=token\nmode=multiplexed\n'
            '[one]\n[another]\n'))

    def add(self, text):
        with open(self.config.path, 'a', encoding='utf-8') as file:
            file.write(text)

    def up(self, *args, **extra):
        return self.enterContext(Terminal('up', *args, XDG_CONFIG_HOME=self.config.home, **extra))

    def shown(self, terminal, *patterns):
        """Waits until the last rows match the patterns."""
        def fits():
            rows = terminal.screen()[-len(patterns):]
            return len(rows) == len(patterns) and all(map(re.match, patterns, rows))

        with terminal.condition:
            self.assertTrue(terminal.condition.wait_for(fits, 60), terminal.screen())

    def end(self, terminal, status=0):
        terminal.process.terminate()
        self.assertEqual(terminal.wait(), status)

    def ports(self, terminal):
        return {name: int(terminal.expect(rf'{name}: listening on 127\.0\.0\.1:(\d+)\r')[1])
                for name in ('one', 'another')}

    def test_status_lines(self):
        """Each tunnel has a line, in the order of the file, below titles; complete lines are printed above."""
        terminal = self.up('--log-level', 'error')
        ports = self.ports(terminal)
        self.shown(terminal, r'NAME     STATE          OPEN        UP      DOWN      UP/s    DOWN/s     RTT$',
                   r'one      connected         0       0 B       0 B       0 B       0 B +[\d.]+ ms$',
                   r'another  connected         0       0 B       0 B       0 B       0 B +[\d.]+ ms$')
        with dial(('127.0.0.1', ports['another'])) as connection:
            self.assertTrue(exchange(connection, noise(1 << 20, 1)))
            self.shown(terminal, r'one      connected         0       0 B       0 B ',
                       r'another  connected         1  1\.00 MiB  1\.00 MiB ')
        self.shown(terminal, 'one ', r'another  connected         0  1\.00 MiB  1\.00 MiB ')
        self.end(terminal)

        self.assertLess(max(map(len, terminal.drawn())), 80)
        self.assertEqual(sorted(filter(None, terminal.screen())),
                         sorted(f'{name}: listening on 127.0.0.1:{port}' for name, port in ports.items()))

    def test_one_ends(self):
        """The line of a tunnel that has ended stays, and shows the error, as does the message above the lines."""
        self.add('[broken]\ntoken-command=echo wrong\n')
        terminal = self.up('--log-level', 'error', NO_COLOR='1')
        self.ports(terminal)
        terminal.expect('tcp-tunnel up: broken: .*401')
        self.shown(terminal, self.TITLES, 'one      connected ', 'another  connected ',
                   r'broken   ended: (…|the gateway )?.*refused the token( \(401 Unauthorized from \S+\))?$')
        self.assertNotRegex(terminal.data, OnTerminal.SGR)
        self.end(terminal, 1)
        self.assertLess(max(len(piece) for piece in terminal.drawn() if 'ended: ' in piece), 80)
        rows = list(filter(None, terminal.screen()))
        self.assertEqual(len(rows), 3, rows)

    def test_countdown(self):
        """A countdown to the next attempt, with the reason of the last failure, until the gateway is there."""
        with Service() as service, Away() as away:
            self.add(f'[away]\nremote-uri={away.url}\nreconnect-delay=5s\nmax-reconnect-delay=5s\n')
            terminal = self.up('--log-level', 'error')
            self.shown(terminal, self.TITLES, 'one      connected ', 'another  connected ',
                       r'away     retrying in [45] s: (…|cannot |the ).*Connection refused$')
            with away.arrive(service):
                terminal.expect(r'away +retrying in 1 s: ')
                self.shown(terminal, self.TITLES, 'one ', 'another ', 'away     connected         0 ')
                self.end(terminal)

    def test_wide_names(self):
        """An ideograph takes two columns of the terminal."""
        self.add('[\u96a7\u9053]\nmode=singleton\n')
        terminal = self.up('--log-level', 'error', columns=40)
        self.shown(terminal, 'one      connected         0$', 'another  connected         0$',
                   '\u96a7\u9053     disconnected      0$')
        self.end(terminal)
        pieces = [piece for piece in terminal.drawn() if piece.startswith('\u96a7') and 'listening' not in piece]
        self.assertTrue(pieces)
        self.assertLess(max(map(len, pieces)) + 2, 40)

    def test_long_names(self):
        """A long name keeps both its ends, and the numbers of all tunnels are aligned."""
        for i in (1, 2):
            self.add(f'[a-long-name-of-a-tunnel-in-the-north-{i}]\n')
        self.add('[' + '\u96a7' * 30 + ']\n')
        terminal = self.up('--log-level', 'error')
        self.shown(terminal, rf'NAME {{22}}  STATE          OPEN        UP      DOWN$', r'one {23}  connected         0 ',
                   r'another {19}  connected         0 ', r'a-long-name-o…-the-north-1  connected         0 ',
                   r'a-long-name-o…-the-north-2  connected         0 ', '\u96a7{6}…\u96a7{6}   connected         0 ')
        self.end(terminal)

    def test_whole_columns(self):
        """Both directions are shown or none, and no number is cut."""
        for columns, titles in ((34, ['OPEN']), (48, ['OPEN']), (49, ['OPEN', 'UP', 'DOWN']),
                                (68, ['OPEN', 'UP', 'DOWN']), (69, ['OPEN', 'UP', 'DOWN', 'UP/s', 'DOWN/s']),
                                (76, ['OPEN', 'UP', 'DOWN', 'UP/s', 'DOWN/s']),
                                (77, ['OPEN', 'UP', 'DOWN', 'UP/s', 'DOWN/s', 'RTT']),
                                (200, ['OPEN', 'UP', 'DOWN', 'UP/s', 'DOWN/s', 'RTT', 'RESUMED', 'HELD'])):
            with self.subTest(columns=columns):
                terminal = self.up('--log-level', 'error', columns=columns)
                self.shown(terminal, 'NAME     STATE ', 'one      connected ', 'another  connected ')
                self.end(terminal)
                seen = set()
                for piece in terminal.drawn():
                    if piece.startswith('NAME'):
                        self.assertEqual(piece.split(), ['NAME', 'STATE', *titles])
                        seen.add(len(piece))
                    elif ' connected ' in piece:
                        self.assertEqual(len(re.findall(r' {2,}(\d+(?: [KM]?i?B| s)?|[\d.]+ ms|-)(?= {2}|$)', piece)),
                                         len(titles), piece)
                        seen.add(len(piece))
                self.assertEqual(len(seen), 1)
                self.assertLess(max(seen), columns)

    def test_more_than_there_is_room_for(self):
        self.add(''.join(f'[tunnel{i}]\nmode=singleton\n' for i in range(30)))
        terminal = self.up('--log-level', 'error')
        self.ports(terminal)
        with terminal.condition:
            full = terminal.condition.wait_for(lambda: '\x1b[A\x1b[K' * 22 in terminal.data, 60)
        self.assertTrue(full)
        self.assertNotIn('\x1b[A\x1b[K' * 23, terminal.data)
        self.end(terminal)
        self.assertTrue(all('listening on' in row for row in filter(None, terminal.screen())))


class Demo(unittest.TestCase):
    ROWS = ['data up', 'data down', 'data up, [1-8] cuts', 'data down, [1-8] cuts', 'data both ways, [1-8] cuts',
            'lines typed beside it', 'same connection after a break']

    def check_text(self, text):
        self.check_width(text)
        whole = '\n'.join(text)
        self.assertRegex(whole, r'(?m)^  cut 1 at \d+ %  disconnected, reconnecting, connecting, connected in ')
        self.assertRegex(whole, r'(?m)^  cut 1 at \d+ %  reconnecting, connecting, connected in ')
        counts = re.findall(r'(?m)^ +cuts: (\d+), resumptions: (\d+), sent again: ', whole)
        self.assertEqual(len(counts), 3)
        for cuts, resumes in counts:
            self.assertGreater(int(cuts), 0)
            self.assertGreater(int(resumes), 0)
        self.assertRegex(whole, r'(?m)^  typing +\d+ lines, each came back: ')
        for row in self.ROWS:
            self.assertRegex('\n'.join(text), rf'(?m)^  {row}  .* held$')
        self.assertEqual(len(re.findall(r'/s   every byte arrived, in order$', whole, re.MULTILINE)), 5)
        self.assertIn('All held.', text)
        self.assertIn('Next', text)
        self.assertIn(f'  {BINARY} demo --keep', text)

    def check_width(self, text):
        """The lines for pasting begin with a path of any length."""
        self.assertLessEqual(max(len(line.replace(BINARY, 'tcp-tunnel')) for line in text), 80)

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
        self.check_width(terminal.drawn())
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
            url = re.search(rf'TCP_TUNNEL_TOKEN=demo {re.escape(BINARY)} connect (\S+)$', demo.line())[1]
            with Command('connect', url, TCP_TUNNEL_TOKEN='demo') as tunnel:
                with dial(listening(tunnel)) as connection:
                    connection.sendall(b'hello\n')
                    self.assertRegex(receive(connection, 12), b'^connection')
            self.assertEqual(demo.stop(signal.SIGINT), 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
