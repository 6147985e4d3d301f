# SPDX-License-Identifier: LGPL-2.1-or-later
"""Listens on host names, on a machine with and without IPv6: the port is the same at every address that belongs to
both the name and the machine."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import rig

INSIDE = 'TCP_TUNNEL_TEST_INSIDE'
PORTS = '/proc/sys/net/ipv4/ip_local_port_range'
NO_IPV6 = '/proc/sys/net/ipv6/conf/all/disable_ipv6'


def enter():
    """Enters a network namespace of its own, and a mount namespace for /etc/hosts, which is replaced below."""
    if INSIDE in os.environ:
        return
    command = ['unshare', '--net', '--mount']
    if os.geteuid() != 0:
        command += ['--user', '--map-root-user']
    if shutil.which('unshare') and subprocess.run([*command, 'true'], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ[INSIDE] = '1'
        os.execvp(command[0], [*command, sys.executable, *sys.argv])


def write(path, value):
    with open(path, 'w', encoding='ascii') as file:
        file.write(value)


def accepts(address, port):
    try:
        socket.create_connection((address, port), timeout=rig.DEADLINE).close()
        return True
    except OSError:
        return False


class Process:
    """A tunnel or a gateway. A singleton tunnel needs no gateway for listening."""

    def __init__(self, listen, command='connect'):
        arguments = ['connect', 'ws://127.0.0.1:1/'] if command == 'connect' else ['gateway', '--target=127.0.0.1:1']
        environment = dict(os.environ, TCP_TUNNEL_TOKEN=rig.TOKEN, LC_ALL='C.UTF-8')
        self.process = subprocess.Popen([rig.BINARY, *arguments, f'--listen={listen}'], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.line = self.process.stdout.readline()
        match = re.search(r':(\d+)/?\s*$', self.line)
        self.port = int(match[1]) if match else None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.errors = self.process.communicate()[1]


class Listen(unittest.TestCase):
    def setUp(self):
        if INSIDE not in os.environ or not os.path.exists(NO_IPV6):
            rig.skip('namespaces are not permitted, or there is no IPv6 to be had')
        self.set_ipv6(True)
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)

    def set_ipv6(self, on):
        write(NO_IPV6, '0' if on else '1')

    def name(self, *addresses):
        """Gives these addresses to a name."""
        with tempfile.NamedTemporaryFile('w', encoding='ascii') as file:
            file.write(''.join(f'{address} several.test\n' for address in addresses))
            file.flush()
            os.chmod(file.name, 0o644)
            subprocess.run(['mount', '--bind', file.name, '/etc/hosts'], check=True)
        self.addCleanup(subprocess.run, ['umount', '/etc/hosts'], check=True)

    def test_both_families(self):
        for command in 'connect', 'gateway':
            with self.subTest(command), Process('localhost:0', command) as process:
                self.assertTrue(accepts('127.0.0.1', process.port), process.line)
                self.assertTrue(accepts('::1', process.port), process.line)

    def test_without_ipv6(self):
        self.set_ipv6(False)
        for command in 'connect', 'gateway':
            with self.subTest(command), Process('localhost:0', command) as process:
                self.assertIn('127.0.0.1', process.line)
                self.assertTrue(accepts('127.0.0.1', process.port), process.line)

    def test_without_ipv4(self):
        subprocess.run(['ip', 'addr', 'del', '127.0.0.1/8', 'dev', 'lo'], check=True)
        self.addCleanup(subprocess.run, ['ip', 'addr', 'add', '127.0.0.1/8', 'dev', 'lo'], check=True)
        with Process('localhost:0') as process:
            self.assertIn('[::1]', process.line)
            self.assertTrue(accepts('::1', process.port), process.line)

    def test_fixed_port(self):
        with Process('localhost:7001') as process:
            self.assertEqual(process.port, 7001)
            self.assertTrue(accepts('127.0.0.1', 7001))
            self.assertTrue(accepts('::1', 7001))

    def test_name_with_several_addresses(self):
        self.name('127.0.0.7', '::1', '127.0.0.8')
        with Process('several.test:0') as process:
            for address in '127.0.0.7', '::1', '127.0.0.8':
                self.assertTrue(accepts(address, process.port), address)
            self.assertFalse(accepts('127.0.0.1', process.port))

    def test_any_address_of_both_families(self):
        self.name('0.0.0.0', '::')
        with Process('several.test:0') as process:
            self.assertTrue(accepts('127.0.0.1', process.port))
            self.assertTrue(accepts('::1', process.port))

    def test_one_is_taken(self):
        with socket.create_server(('127.0.0.1', 7001)), Process('localhost:7001') as process:
            self.assertEqual(process.process.wait(rig.DEADLINE), 1, process.line)
        self.assertRegex(process.errors, r'localhost port 7001: 127\.0\.0\.1:7001: Address already in use')

    def test_one_is_not_there(self):
        self.name('192.0.2.1', '127.0.0.9')
        with Process('several.test:7001') as process:
            self.assertIn('127.0.0.9:7001', process.line)
            self.assertTrue(accepts('127.0.0.9', 7001))

    def test_any_port_that_is_free_at_both(self):
        """All possible ports but one are in use, some at one address and the others at the other."""
        with open(PORTS, encoding='ascii') as file:
            self.addCleanup(write, PORTS, file.read())
        write(PORTS, '40000 40019')
        for port in range(40000, 40020):
            if port != 40007:
                blocker = socket.create_server(('::1' if port % 2 else '127.0.0.1', port),
                                               family=socket.AF_INET6 if port % 2 else socket.AF_INET)
                self.addCleanup(blocker.close)
        with Process('localhost:0') as process:
            self.assertEqual(process.port, 40007, process.line)


if __name__ == '__main__':
    enter()
    unittest.main()
