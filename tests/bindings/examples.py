# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs an example against a gateway: one round trip, an interrupt, a refused token."""

import os
import re
import signal
import subprocess
import sys
import unittest

from support import GENEROUS_S, TOKEN, Echo, connect, exchange, start_gateway

command = sys.argv[1:]


class Example(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.gateway = start_gateway(self.echo.address)
        self.addCleanup(self.echo.server_close)
        self.addCleanup(self.echo.shutdown)
        self.addCleanup(self.gateway.close)

    def start(self, token):
        process = subprocess.Popen(
            [*command, self.gateway.dup_uri()], env={**os.environ, "TCP_TUNNEL_TOKEN": token},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        self.assertTrue(match, line or process.stderr.read())
        return process, int(match[1])

    def test_round_trip(self):
        process, port = self.start(TOKEN)
        with connect(port) as client:
            exchange(client)
            states = [process.stdout.readline().strip().lower() for _ in range(2)]
        self.assertRegex(states[0], "connecting$")
        self.assertRegex(states[1], "connected$")
        self.assertRegex(process.stdout.readline().strip().lower(), "disconnected$")

        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(GENEROUS_S), 0)

    def test_refused(self):
        process, port = self.start("wrong")
        with connect(port):
            self.assertEqual(process.wait(GENEROUS_S), 1)
        errors = process.stderr.read()
        self.assertIn("401", errors)
        self.assertIn("Is TCP_TUNNEL_TOKEN right?", errors)
        self.assertNotIn("wrong", errors)

    def run_to_its_end(self, *arguments, **environment):
        result = subprocess.run([*command, *arguments], env={**os.environ, **environment}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, timeout=GENEROUS_S)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def test_bad_uri(self):
        self.assertIn("ws://", self.run_to_its_end("http://127.0.0.1/", TCP_TUNNEL_TOKEN=TOKEN))

    def test_usage(self):
        usage = r"usage: TCP_TUNNEL_TOKEN=TOKEN tunnel\S* URL\n"
        self.assertRegex(self.run_to_its_end(TCP_TUNNEL_TOKEN=TOKEN), "^%s$" % usage)
        self.assertRegex(self.run_to_its_end("--help", TCP_TUNNEL_TOKEN=TOKEN), "^%s$" % usage)
        self.assertRegex(self.run_to_its_end(self.gateway.dup_uri()), "^%s$" % usage)


unittest.main(argv=["examples"], verbosity=2)
