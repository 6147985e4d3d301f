#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests our tunnel in parallel mode against bridges of other projects, which connect each WebSocket to a TCP
connection of its own: there are 200 connections at once, each with its own data, and each ends as its target does.
Also tests the recipes of the guide, against servers that accept only the requests that the recipes produce."""

import asyncio
import os
import random
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

import websockets

COMMAND = os.environ["TCP_TUNNEL_BIN"]
GUIDE = os.environ["TCP_TUNNEL_RECIPES"]
COUNT = 200
SIZE = 64 * 1024
TIMEOUT = 60


def cannot(why):
    if os.environ.get("CI") == "true":
        raise AssertionError(why)
    raise unittest.SkipTest(why)


def reset(writer):
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def target(reader, writer):
    """Sends back what comes, and then ends the connection as the first byte of the request says."""
    try:
        how = await reader.readexactly(1)
        left = int.from_bytes(await reader.readexactly(4), "big")
        while left > 0:
            data = await reader.read(min(left, 16384))
            if not data:
                return reset(writer)
            left -= len(data)
            writer.write(data)
            await writer.drain()
        if how == b"r":
            return reset(writer)
        writer.close()
    except (ConnectionError, asyncio.IncompleteReadError):
        reset(writer)


async def bridge(websocket, port, path=None):
    """A typical bridge that is written with the websockets package."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def up():
        try:
            async for message in websocket:
                writer.write(message)
                await writer.drain()
            writer.close()
        except (ConnectionError, websockets.ConnectionClosed):
            reset(writer)

    task = asyncio.ensure_future(up())
    try:
        while data := await reader.read(65536):
            await websocket.send(data)
        await websocket.close()
    except ConnectionError:
        websocket.transport.abort()
    except websockets.ConnectionClosed:
        pass
    await task


async def talk(port, number, sees_resets=True):
    """Tests one connection. Returns whether it behaved correctly."""
    data = random.Random(number).randbytes(SIZE)
    how = b"r" if number % 10 == 9 else b"e"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(how + len(data).to_bytes(4, "big") + data)
    received = b""
    try:
        while piece := await asyncio.wait_for(reader.read(SIZE), TIMEOUT):
            received += piece
        ended = b"e"
    except ConnectionResetError:
        ended = b"r"
    writer.close()
    # A reset may overtake the data that was sent before it.
    right = received == data if how == b"e" else data.startswith(received)
    # Node sometimes reports an end although its socket was reset after the last byte.
    return right and (ended == how or (not sees_resets and received == data)), number


class Process:
    """A process that prints its port in its first line. It ends with the block."""

    def __init__(self, *command, **environment):
        self.command = command
        self.environment = environment

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(*self.command, stdout=subprocess.PIPE,
                                                            env={**os.environ, **self.environment})
        line = (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode()
        self.port = int(re.search(r"(\d+)\n", line)[1])
        return self

    async def __aexit__(self, *exception):
        self.process.terminate()
        await self.process.wait()


def tunnel(url, *options, **environment):
    return Process(COMMAND, "connect", url, "--log-level", "warn", *options, **environment)


async def check(url, *options, count=COUNT, sees_resets=True):
    async with tunnel(url, "--mode", "parallel", *options) as process:
        results = await asyncio.gather(*(talk(process.port, number, sees_resets) for number in range(count)))
    return sorted(number for right, number in results if not right)


async def with_target(use):
    server = await asyncio.start_server(target, "127.0.0.1", 0, backlog=2 * COUNT)
    async with server:
        return await use(server.sockets[0].getsockname()[1])


class Bridges(unittest.TestCase):
    def run_bridge(self, *command, **options):
        async def use(port):
            async with Process(*command, str(port)) as process:
                return await check(f"ws://127.0.0.1:{process.port}/", "--no-token", **options)

        self.assertEqual(asyncio.run(with_target(use)), [])

    def test_node_ws(self):
        if shutil.which("node") is None or not os.path.isdir("node_modules/ws"):
            cannot("node, or its package ws, is missing")
        self.run_bridge("node", "bridge.mjs", sees_resets=False)

    def test_python_websockets(self):
        async def use(port):
            async with websockets.serve(lambda websocket, path=None: bridge(websocket, port), "127.0.0.1", 0,
                                        max_size=None, compression=None, backlog=2 * COUNT) as server:
                return await check(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "--no-token")

        self.assertEqual(asyncio.run(with_target(use)), [])

    def test_go_gorilla(self):
        if shutil.which("go") is None:
            cannot("go is missing")
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy("bridge.go", directory)
            with open(f"{directory}/go.mod", "w", encoding="utf-8") as file:
                file.write("module bridge\n\ngo 1.20\n\nrequire github.com/gorilla/websocket v1.5.3\n")
            built = subprocess.run(["go", "build", "-mod=mod", "-o", "bridge", "bridge.go"], cwd=directory, check=False,
                                   stdout=sys.stderr.fileno())
            if built.returncode != 0:
                cannot("go does not build a bridge with gorilla, see above")
            self.run_bridge(f"{directory}/bridge")

    def test_websockify(self):
        program = os.environ.get("WEBSOCKIFY") or shutil.which("websockify")
        if program is None:
            cannot("websockify is missing (Debian: websockify)")

        async def use(port):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                own = probe.getsockname()[1]
            process = await asyncio.create_subprocess_exec(program, f"127.0.0.1:{own}", f"127.0.0.1:{port}",
                                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                for _ in range(600):
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", own)
                        writer.close()
                        break
                    except ConnectionError:
                        await asyncio.sleep(0.05)
                return await check(f"ws://127.0.0.1:{own}/", *recipe("websockify"))
            finally:
                process.kill()
                await process.wait()

        self.assertEqual(asyncio.run(with_target(use)), [])


def recipe(name):
    """Returns the options of the command in the section of the guide that has this name in its heading."""
    with open(GUIDE, encoding="utf-8") as file:
        sections = re.split("^## ", file.read(), flags=re.MULTILINE)
    section = next(section for section in sections if name in section.split("\n")[0])
    lines = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1].replace("\\\n", "").strip().split("\n")
    words = shlex.split(lines[-1])
    assert words[:2] == ["tcp-tunnel", "connect"], words
    options = words[3:]
    for option in ("--listen", "--mode"):
        if option in options:
            index = options.index(option)
            del options[index:index + 2]
    return options


class Recipes(unittest.TestCase):
    """The server accepts only the headers of the recipe."""

    def check(self, name, wanted, unwanted=(), subprotocols=None, **environment):
        seen = []

        async def handle(websocket, port):
            seen.append(websocket.request_headers)
            headers = websocket.request_headers
            if any(headers.get(key) != value for key, value in wanted.items()) or any(key in headers for key in unwanted):
                return await websocket.close(4000, "other headers")
            return await bridge(websocket, port)

        async def use(port):
            async with websockets.serve(lambda websocket, path=None: handle(websocket, port), "127.0.0.1", 0,
                                        max_size=None, compression=None, subprotocols=subprotocols) as server:
                url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                options = [os.path.expandvars(option) for option in recipe(name)]
                return await check(url, *options, count=20)

        os.environ.update(environment)
        self.assertEqual(asyncio.run(with_target(use)), [])
        for headers in seen:
            for key, value in wanted.items():
                self.assertEqual(headers.get(key), value)

    def test_cloudflare(self):
        self.check("Cloudflare", {"CF-Access-Client-Id": "id.access", "CF-Access-Client-Secret": "s3cret"},
                   unwanted=["Authorization"], CF_ID="id.access", CF_SECRET="s3cret")

    def test_jupyter(self):
        self.check("Jupyter", {"Authorization": "token s3cret"}, JUPYTER_TOKEN="s3cret")

    def test_websockify(self):
        self.check("websockify", {"Sec-WebSocket-Protocol": "binary"}, unwanted=["Authorization"], subprotocols=["binary"])

    def test_bridge(self):
        self.check("bridge", {}, unwanted=["Authorization", "Origin", "Sec-WebSocket-Protocol"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
