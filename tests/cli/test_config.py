# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tunnels with names: the config file, `connect NAME` and `up`."""

import json
import os
import re
import signal
import socket
import unittest

from support import (Command, Config, Service, TOKEN, dial, exchange, gateway, knock, listening, listening_as,
                     noise, receive, run)

FAILED = 1
USAGE = 2


class Mistakes(unittest.TestCase):
    """Each mistake is found before anything starts, and is reported with its place."""

    URI = 'remote-uri=ws://127.0.0.1:1/\n'

    def setUp(self):
        self.config = self.enterContext(Config())

    def check(self, text, *expected, args=('connect', 'phone'), mode=0o600):
        self.config.write(text, mode)
        status, out, err = run(*args, XDG_CONFIG_HOME=self.config.home, TCP_TUNNEL_TOKEN=TOKEN)
        self.assertEqual((status, out), (USAGE, ''), err)
        for part in expected:
            self.assertIn(part, err)
        self.assertNotIn(TOKEN, err)
        self.assertNotIn('\x1b', err)
        return err

    def test_no_file(self):
        for args in (['connect', 'phone'], ['up']):
            status, out, err = run(*args, XDG_CONFIG_HOME='/none/a', XDG_CONFIG_DIRS='/none/b:/none/c')
            self.assertEqual((status, out), (USAGE, ''))
            for directory in 'abc':
                self.assertIn(f'/none/{directory}/tcp-tunnel/tunnels.conf', err)
        status, out, err = run('up', '--config', '/none/my.conf')
        self.assertEqual((status, out), (USAGE, ''))
        self.assertIn('/none/my.conf', err)
        status, out, err = run('up', '--config', '/')
        self.assertEqual((status, out), (USAGE, ''))
        status, out, err = run('up', '--config', 'none.conf', cwd='/')
        self.assertEqual((status, out), (USAGE, ''))
        self.assertIn(' /none.conf ', err)

    def test_names(self):
        self.check(f'[phone]\n{self.URI}', self.config.path, "'phnoe'", "did you mean 'phone'?",
                   args=('connect', 'phnoe'))
        self.check(f'[phone]\n{self.URI}[database]\n{self.URI}', "'x'", 'only phone, database',
                   args=('up', 'x'))
        self.check('', self.config.path, 'no tunnels', args=('up',))
        self.check('[defaults]\nmode=singleton\n', 'no tunnels', args=('up',))
        self.check('[defaults]\nmode=singleton\n', "no tunnel 'defaults'", args=('up', 'defaults'))
        self.check(f'[phone]\n{self.URI}', "'phone' is given twice", args=('up', 'phone', 'phone'))

    def test_keys(self):
        where = '[phone] '
        self.check(f'[phone]\n{self.URI}tokenfile=x\n', f'{self.config.path}:3: [phone] ', "unknown key 'tokenfile'",
                   "did you mean 'token-file'?")
        self.check(f'[phone]\n{self.URI}frobnicate=x\n', where, "'frobnicate'")
        self.check(f'[phone]\n{self.URI}[defaults]\nheader=x\n', '[defaults]', "mean 'headers'?")
        self.check(f'[phone]\n{self.URI}{TOKEN}9==\n', '[phone] has a key with characters other')
        self.check('[phone]\nmode=singleton\n', where, 'no remote-uri')

    def test_values(self):
        def check(line, *expected):
            self.check(f'[phone]\n{self.URI}{line}\n', f'{self.config.path}:3: [phone] ', *expected)

        check('mode=multi', 'mode must be one of singleton, multiplexed, parallel, auto', "did you mean 'multiplexed'?")
        check('log-level=loud', "log-level must be one of", "'loud'")
        check('max-connections=0', 'max-connections must be a whole number from 1 to 65535', "'0'")
        check('reconnect-delay=-1', "reconnect-delay must be a duration", "'-1'")
        check('listen=nowhere', 'listen must be', "'nowhere'")
        check('ca=none.pem', 'ca ', os.path.join(self.config.home, 'tcp-tunnel', 'none.pem'))
        check('token-file=none', 'token-file', os.path.join(self.config.home, 'tcp-tunnel', 'none'))
        check(r'on-ready=echo \x', 'on-ready', 'in a value')
        check(r'headers=A: \x', 'headers', 'in a value')
        check(f'headers=A: 1;{TOKEN}', 'headers', 'Name: value')
        self.check(f'[phone]\n{self.URI}[defaults]\non-ready=true\n', '--stdio and', '[defaults] on-ready exclude each other',
                   args=('connect', 'phone', '--stdio'))
        check('token-file=a\ntoken-command=b', 'token-file and', 'token-command exclude each other')
        # An address may contain a secret.
        err = self.check(f'[phone]\nremote-uri="wss://{TOKEN}@example.org/"\n',
                         '[phone] remote-uri must begin with ws:// or wss://')
        self.assertNotIn('example', err)

    def test_value_that_the_tunnel_refuses(self):
        """Some values are only refused by the tunnel, when it starts."""
        for args in (['connect', 'phone'], ['up']):
            self.check('[phone]\nremote-uri=ws://\n', f'{self.config.path}:1: [phone]: ', args=args)

    def test_harmless(self):
        """A byte order mark and empty values are accepted; the reported mistake is the one behind them."""
        self.check(b'\xef\xbb\xbf[phone]\nca=\ntoken-file=\nmode=singleton\n', '[phone] has no remote-uri')

    def test_lines(self):
        """A bad line is not repeated in the message: it may be a token."""
        self.check(f'# a comment\n\n[phone]\n{self.URI}{TOKEN}\nmode=singleton\n',
                   f'{self.config.path}:5: the line is not [NAME]')
        self.check(f'[phone\n{self.URI}', ':1: ')
        self.check(f'{self.URI}[phone]\n', ':1: the line stands before the first [NAME]')
        self.check('[phone]\n' + '# one\n' * 1000 + TOKEN, ':1002: ')
        self.check(f'[phone]\n{self.URI}[pad]\n{self.URI}\n [phone] \n', ':6: the line repeats the [NAME] of line 1')
        self.check(f'[phone]\ntoken=a\n# token=b\n{self.URI}token = c\n',
                   ':5: the line repeats the KEY of line 2; a list has its values in one line, separated by ;')
        self.check(b'[phone]\nmode=\xff\n', self.config.path, 'UTF-8')
        self.check('#' * (64 << 20) + '\n', self.config.path, 'more than 67108864 bytes')

    def test_credentials_others_may_read(self):
        self.config.write(f'[phone]\n{self.URI}headers=Authorization: Basic {TOKEN}\n', 0o644)
        status, _, err = run('connect', 'phone', XDG_CONFIG_HOME=self.config.home)
        self.assertEqual(status, USAGE)
        self.assertIn('headers: others may read the file', err)
        self.assertNotIn(TOKEN, err)

    def test_token_others_may_read(self):
        for mode in (0o644, 0o640, 0o604):
            self.check(f'[phone]\n{self.URI}token={TOKEN}\n', '[phone] token: others may read the file',
                       f'chmod 600 {self.config.path}', mode=mode)

    def test_no_token(self):
        self.config.write(f'[phone]\n{self.URI}')
        for args in (['connect', 'phone'], ['up']):
            status, _, err = run(*args, XDG_CONFIG_HOME=self.config.home)
            self.assertEqual(status, USAGE)
            for part in ('phone', 'token-file', 'token-command', 'TCP_TUNNEL_TOKEN'):
                self.assertIn(part, err)


class Named(unittest.TestCase):
    """`connect NAME`, and the sources of its settings."""

    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)
        self.config = self.enterContext(Config())

    def check(self, text, *args, **extra):
        self.config.write(text)
        extra = {'XDG_CONFIG_HOME': self.config.home, **extra}
        with Command('connect', *(args or ['phone']), **extra) as tunnel:
            with dial(listening(tunnel)) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
            self.assertEqual(tunnel.stop(), 0)
            self.assertNotIn(TOKEN, ''.join(tunnel.output))

    def test_tokens(self):
        phone = f'[phone]\nremote-uri={self.url}\n'
        self.check(phone, TCP_TUNNEL_TOKEN=TOKEN)
        self.check(f'{phone}token={TOKEN}\n', TCP_TUNNEL_TOKEN='wrong')
        self.check(f'{phone}token-file=token\n')
        self.check(f'{phone}token-file={self.config.token}\n')
        self.check(f'{phone}token-file=~/tcp-tunnel/token\n', HOME=self.config.home)
        self.check(f'{phone}token-command=cat {self.config.token}\n')
        self.check(f'{phone}token-command=printenv PHONE\n', PHONE=TOKEN)
        # The nearest source of the token is used, whatever its kind.
        self.check(f'{phone}token-file=token\n[defaults]\ntoken=wrong\ntoken-command=false\n')
        self.check(f'{phone}token-file=/none\n', 'phone', '--token', TOKEN)

    def test_places(self):
        phone = f'[phone]\nremote-uri={self.url}\ntoken-file=token\n'
        other = self.enterContext(Config('[phone]\nremote-uri=ws://127.0.0.1:1/\n'))
        # The user's file is used before the system's.
        self.check(phone, XDG_CONFIG_DIRS=other.home)
        self.check(phone, XDG_CONFIG_HOME='/none', XDG_CONFIG_DIRS=f'/none:{self.config.home}')
        self.check(phone, 'phone', '--config', self.config.path, XDG_CONFIG_HOME=other.home)

    def test_relative(self):
        """File names in the config file are relative to its directory, however its path is given."""
        self.config.write(f'[phone]\nremote-uri={self.url}\ntoken-file=token\n')
        directory, name = os.path.split(self.config.path)
        for cwd, path in ((directory, name), (directory, f'./{name}'), (self.config.home, f'tcp-tunnel/{name}')):
            for args in (['connect', 'phone', '--json'], ['up', '--json']):
                with self.subTest(cwd=cwd, path=path, args=args):
                    with Command(*args, '--config', path, cwd=cwd) as tunnel:
                        event = json.loads(tunnel.line())
                        self.assertEqual((event['event'], event['name']), ('listening', 'phone'))
                        self.assertEqual(tunnel.stop(), 0)

    def test_layers(self):
        text = (f'[defaults]\nmode=multiplexed\nremote-uri=ws://127.0.0.1:1/\ntoken-file=token\n'
                f'[phone]\nremote-uri={self.url}\nlog-level=debug\n')
        for args, mode in (((), 'multiplexed'), (('--mode', 'singleton'), 'singleton')):
            self.config.write(text)
            with Command('connect', 'phone', *args, XDG_CONFIG_HOME=self.config.home) as tunnel:
                address = listening(tunnel)
                with dial(address) as one, dial(address) as two:
                    self.assertTrue(exchange(one, noise(1000, 1)))
                    if mode == 'multiplexed':
                        self.assertTrue(exchange(two, noise(1000, 2)))
                    else:
                        with self.assertRaises((ConnectionError, EOFError)):
                            receive(two, 1)
                self.assertEqual(tunnel.stop(), 0)
                # The log level is that of the group.
                tunnel.error_line(' debug ')

    def test_headers(self):
        requests = []

        def refuse(connection):
            data = b''
            while b'\r\n\r\n' not in data:
                data += receive(connection, 1)
            requests.append(data.decode().lower().split('\r\n'))
            connection.sendall(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')

        web = self.enterContext(Service(refuse))
        self.config.write(f'[phone]\nremote-uri=ws://127.0.0.1:{web.port}/\ntoken-file=token\n'
                          'mode=multiplexed\nheaders=X-One: 1;X-Two: a\\;b;\n')
        status, _, err = run('connect', 'phone', XDG_CONFIG_HOME=self.config.home)
        self.assertEqual(status, FAILED, err)
        self.assertIn('x-one: 1', requests[0])
        self.assertIn('x-two: a;b', requests[0])

    def test_credentials(self):
        """The credentials of a group are used, whatever kind [defaults] has, and no others are sent."""
        requests = []

        def answer(connection):
            data = b''
            while b'\r\n\r\n' not in data:
                data += receive(connection, 1)
            requests.append(data.decode().lower().split('\r\n'))
            connection.sendall(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')

        def sent(text, *args, **environment):
            self.config.write(f'[defaults]\ntoken-file=token\n[phone]\nremote-uri=ws://gateway.example:81/\n'
                              f'connect-to=127.0.0.1:{web.port}\nmode=multiplexed\n{text}')
            status, out, err = run('connect', 'phone', *args, XDG_CONFIG_HOME=self.config.home, **environment)
            self.assertEqual(status, FAILED, err)
            self.assertNotIn('s3cret', out + err)
            self.assertIn('host: gateway.example:81', requests[-1])
            return [line for line in requests[-1] if line.startswith(('authorization', 'origin', 'sec-websocket-protocol'))]

        web = self.enterContext(Service(answer))
        self.assertEqual(sent(''), [f'authorization: bearer {TOKEN}'.lower()])
        self.assertEqual(sent('no-token=yes\n', TCP_TUNNEL_TOKEN='s3cret'), [])
        self.assertEqual(sent('headers=Authorization: token s3cret\n'), ['authorization: token s3cret'])
        self.assertEqual(sent('no-token=yes\n', '--header', 'authorization:Basic s3cret'), ['authorization: basic s3cret'])
        self.assertEqual(sent('no-token=yes\norigin=https://h\nsubprotocol=binary, base64\n'),
                         ['origin: https://h', 'sec-websocket-protocol: binary, base64'])

    def test_json(self):
        self.config.write(f'[phone]\nremote-uri={self.url}\ntoken-file=token\n')
        with Command('connect', 'phone', '--json', XDG_CONFIG_HOME=self.config.home) as tunnel:
            self.assertEqual(json.loads(tunnel.line())['name'], 'phone')
            self.assertEqual(tunnel.stop(), 0)


class TokenCommand(unittest.TestCase):
    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)
        self.config = self.enterContext(Config())

    def connect(self, command, *args):
        return self.enterContext(Command('connect', self.url, '--log-level', 'none', '--token-command',
                                         command, *args))

    def test_failures(self):
        for command, expected in (('exit 3', 'exit status 3'), ('kill -9 $$', 'signal 9'),
                                  ('true', 'no token'), ('echo a b', 'one line'),
                                  ('printf "a\\nb"', 'one line'), ('printf "a\\0b"', 'no text'),
                                  ('while :; do echo token; done', 'more than a token')):
            with self.subTest(command):
                tunnel = self.connect(command)
                self.assertIn(expected, tunnel.error_line('--token-command'))
                self.assertEqual(tunnel.wait(), FAILED)
                self.assertEqual(tunnel.stdout.get(), None)

    def test_stopped_meanwhile(self):
        tunnel = self.connect('echo asking >&2; exec sleep 600')
        tunnel.error_line('asking')
        self.assertEqual(tunnel.stop(), 0)

    def test_asked_again(self):
        """The token command runs again when its first token is refused."""
        tunnel = self.connect(f'cat {self.config.token}; echo asked >&2')
        address = listening(tunnel)
        tunnel.error_line('asked')
        with dial(address) as connection:
            self.assertTrue(exchange(connection, noise(1000, 1)))

        with open(self.config.token, 'w', encoding='utf-8') as file:
            file.write('expired')
        for mode in ('singleton', 'multiplexed'):
            with self.subTest(mode):
                first = os.path.join(self.config.home, mode)
                tunnel = self.connect(f'mkdir {first} 2>/dev/null && echo expired || echo {TOKEN}', '--mode', mode)
                with dial(listening(tunnel)) as connection:
                    self.assertTrue(exchange(connection, noise(1000, 1)))
                self.assertEqual(tunnel.stop(), 0)

    def test_asked_once_at_a_time(self):
        """While the command runs for one connection, a second connection is refused."""
        answer = os.path.join(self.config.home, 'answer')
        os.mkfifo(answer)
        command = (f'cd {self.config.home}; echo asked >&2; mkdir busy 2>/dev/null || echo at once >&2; '
                   'if mkdir first 2>/dev/null; then echo expired; elif mkdir second 2>/dev/null; then cat answer; '
                   f'else echo {TOKEN}; fi; rmdir busy')
        tunnel = self.enterContext(Command('connect', self.url, '--mode', 'singleton', '--log-level', 'debug',
                                            '--token-command', command))
        address = listening(tunnel)
        tunnel.error_line('^asked')
        with dial(address):
            tunnel.error_line('^asked')
        with dial(address) as connection:
            tunnel.error_line('is there another')
            with open(answer, 'w', encoding='utf-8') as file:
                file.write(TOKEN)
            self.assertTrue(exchange(connection, noise(1000, 1)))
        self.assertEqual(tunnel.stop(), 0)
        self.assertNotIn('at once\n', tunnel.output)

    def test_no_other(self):
        tunnel = self.connect('echo expired', '--mode', 'multiplexed')
        self.assertIn('401', tunnel.error_line('^tcp-tunnel connect'))
        self.assertEqual(tunnel.wait(), FAILED)


class Up(unittest.TestCase):
    def setUp(self):
        service = self.enterContext(Service())
        server, self.url = gateway(service)
        self.enterContext(server)
        self.config = self.enterContext(Config(
            f'[defaults]\ntoken-file=token\nremote-uri={self.url}\n'
            '[zebra]\n[phone]\nmode=multiplexed\n[data base]\n'))

    def up(self, *args):
        return self.enterContext(Command('up', *args, XDG_CONFIG_HOME=self.config.home))

    def break_one(self):
        with open(self.config.path, 'a', encoding='utf-8') as file:
            file.write('[broken]\nmode=multiplexed\ntoken-command=echo wrong\nlog-level=none\n')

    def test_all(self):
        tunnels = self.up()
        for seed, address in enumerate(listening_as(tunnels, ['zebra', 'phone', 'data base']).values()):
            with dial(address) as connection:
                self.assertTrue(exchange(connection, noise(1 << 20, seed)))
        self.assertEqual(tunnels.stop(signal.SIGINT), 0)

    def test_log(self):
        """Each log line names its tunnel."""
        tunnels = self.up()
        addresses = listening_as(tunnels, ['zebra', 'phone', 'data base'])
        tunnels.error_line(r'^\d\d:\d\d:\d\d info  phone: connected to ')
        for name in ('zebra', 'data base'):
            with dial(addresses[name]) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
                tunnels.error_line(rf'^\d\d:\d\d:\d\d info  {name}: connected to ')
        self.assertEqual(tunnels.stop(), 0)
        lines = [line for line in tunnels.output if re.match(r'\d\d:', line)]
        self.assertFalse([line for line in lines if not re.match('[^ ]+ [^ ]+ +(zebra|phone|data base): ', line)])

    def test_some(self):
        tunnels = self.up('phone', 'data base')
        listening_as(tunnels, ['phone', 'data base'])
        self.assertEqual(tunnels.stop(), 0)
        self.assertEqual(tunnels.stdout.get(), None)

    def test_unix(self):
        """A Unix socket is also reported to the command of --on-ready."""
        with open(self.config.path, 'a', encoding='utf-8') as file:
            file.write('[unix]\nlisten=unix:socket\n'
                       'on-ready=echo "at=$TCP_TUNNEL_SOCKET host=$TCP_TUNNEL_HOST port=$TCP_TUNNEL_PORT"\n')
        tunnels = self.up('unix')
        path = os.path.join(self.config.home, 'tcp-tunnel', 'socket')
        self.assertEqual(tunnels.line(), f'unix: listening on unix:{path}')
        tunnels.error_line(f'^at={path} host= port=$')
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            self.assertTrue(exchange(connection, noise(1000, 1)))
        self.assertEqual(tunnels.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_quiet(self):
        tunnels = self.up('--quiet', 'phone')
        with dial(listening_as(tunnels, ['phone'])['phone']) as connection:
            self.assertTrue(exchange(connection, noise(1000, 1)))
        self.assertEqual(tunnels.stop(), 0)
        self.assertEqual(len(tunnels.output), 1)

    def test_json(self):
        """Every event has the name of its tunnel; the last events are the ends, in order."""
        tunnels = self.up('--json')
        events = []
        while sum(event['event'] == 'listening' for event in events) < 3:
            events.append(json.loads(tunnels.line()))
        self.assertEqual(tunnels.stop(), 0)
        events += map(json.loads, iter(tunnels.stdout.get, None))
        self.assertEqual([e['name'] for e in events if e['event'] == 'closed'],
                         ['zebra', 'phone', 'data base'])
        self.assertTrue(all('name' in event for event in events))

    def test_one_fails(self):
        """When one tunnel fails, the others continue; the exit status shows the failure."""
        self.break_one()
        tunnels = self.up()
        addresses = listening_as(tunnels, ['zebra', 'phone', 'data base'])
        self.assertIn('401', tunnels.error_line('^tcp-tunnel up: broken: '))
        for address in addresses.values():
            with dial(address) as connection:
                self.assertTrue(exchange(connection, noise(1000, 1)))
        self.assertEqual(tunnels.stop(), FAILED)

    def test_one_fails_later(self):
        with socket.create_server(('127.0.0.1', 0)) as web:
            with open(self.config.path, 'a', encoding='utf-8') as file:
                file.write(f'[broken]\nremote-uri=ws://127.0.0.1:{web.getsockname()[1]}/\n'
                           'max-reconnect-attempts=0\n')
            tunnels = self.up('--json', 'broken', 'zebra')
            events = [json.loads(tunnels.line())]
            while sum(event['event'] == 'listening' for event in events) < 2:
                events.append(json.loads(tunnels.line()))
        ports = {e['name']: e['port'] for e in events if e['event'] == 'listening'}
        with knock(('127.0.0.1', ports['broken'])):
            while events[-1]['event'] != 'failed':
                events.append(json.loads(tunnels.line()))
        self.assertEqual(events[-1]['name'], 'broken')
        with dial(('127.0.0.1', ports['zebra'])) as connection:
            self.assertTrue(exchange(connection, noise(1000, 1)))
        self.assertEqual(tunnels.stop(), FAILED)

    def test_all_fail(self):
        self.break_one()
        tunnels = self.up('broken')
        self.assertEqual(tunnels.wait(), FAILED)

    def test_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as taken:
            port = taken.getsockname()[1]
            with open(self.config.path, 'a', encoding='utf-8') as file:
                file.write(f'[broken]\nlisten={port}\n')
            tunnels = self.up('broken', 'zebra')
            self.assertIn(str(port), tunnels.error_line('^tcp-tunnel up: broken: '))
            listening_as(tunnels, ['zebra'])
            self.assertEqual(tunnels.stop(), FAILED)


if __name__ == '__main__':
    unittest.main(verbosity=2)
