# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests our tunnel against servers written with Python's websockets, which offer compression."""

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import urllib.parse

import websockets

TOKEN = "interop-0123456789"
MIB = 1024 * 1024
GENEROUS_S = 30


class Server:
    """Echoes all data. Computes the hash of the data of a session, over all its WebSockets."""

    def __init__(self, multiplexed):
        self.multiplexed = multiplexed
        self.digests = {}
        self.requests = []
        self.websocket = None

    async def __aenter__(self):
        self.server = await websockets.serve(self.serve, "127.0.0.1", 0, compression="deflate", max_size=None)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, websocket):
        # The attribute for the request differs between versions of websockets.
        request = getattr(websocket, "request", None)
        path = request.path if request else websocket.path
        headers = request.headers if request else websocket.request_headers
        self.requests.append((urllib.parse.parse_qs(urllib.parse.urlsplit(path).query), headers))
        self.websocket = websocket
        try:
            async for message in websocket:
                await self.take(websocket, message)
        except websockets.ConnectionClosedError:
            pass

    async def take(self, websocket, message):
        key = self.requests[-1][0].get("sessionId", [""])[0]
        if self.multiplexed:
            key = int.from_bytes(message[:4], "big")
        payload = message[4:] if self.multiplexed else message
        self.digests.setdefault(key, hashlib.sha256()).update(payload)
        if payload:
            await websocket.send(message)


class Tunnel:
    """A run of our command."""

    def __init__(self, url, *options):
        self.url = url
        self.options = options
        self.states = []
        self.news = asyncio.Condition()

    async def __aenter__(self):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(TOKEN + "\n")
        self.token_file = file.name
        self.process = await asyncio.create_subprocess_exec(
            os.environ["TCP_TUNNEL_BIN"], "connect", self.url, "--token-file", self.token_file,
            "--json", "--reconnect-delay", "20ms", *self.options, stdout=asyncio.subprocess.PIPE)
        self.port = json.loads(await self.process.stdout.readline())["port"]
        self.reading = asyncio.create_task(self.read_events())
        return self

    async def __aexit__(self, *exc):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reading
        os.unlink(self.token_file)

    async def read_events(self):
        async for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "state-changed":
                async with self.news:
                    self.states.append(event["state"])
                    self.news.notify_all()

    async def wait_for_state(self, state, since):
        async with self.news:
            await self.news.wait_for(lambda: state in self.states[since:])

    async def stop(self):
        self.process.terminate()
        status = await self.process.wait()
        assert status == 0, f"the command ended with {status}"


async def echo(reader, writer, size):
    """Sends random bytes and checks what comes back; returns what was sent."""
    data = os.urandom(size)
    writer.write(data)
    back = await reader.readexactly(size)
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest(), "what came back is not what was sent"
    return data


def check_request(server):
    query, headers = server.requests[0]
    assert query["zone"] == ["a b"], query
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Sec-WebSocket-Extensions" not in headers
    # Compression would show here.
    assert not getattr(server.websocket, "extensions", None)


async def test_singleton():
    async with Server(False) as server, Tunnel(f"ws://127.0.0.1:{server.port}/x?zone=a%20b") as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        sent = hashlib.sha256(await echo(reader, writer, 8 * MIB))
        check_request(server)
        # The command may report this later than the data arrives.
        await tunnel.wait_for_state("connected", 0)
        for _ in range(3):
            since = len(tunnel.states)
            server.websocket.transport.abort()
            await tunnel.wait_for_state("connected", since)
            assert tunnel.states[since:] == ["disconnected", "reconnecting", "connecting", "connected"]
            sent.update(await echo(reader, writer, MIB))
        writer.close()

        assert len(server.requests) == 4
        assert [digest.digest() for digest in server.digests.values()] == [sent.digest()], "a session was lost"
        await tunnel.stop()


async def test_end_of_stream():
    async with Server(False) as server, Tunnel(f"ws://127.0.0.1:{server.port}/") as tunnel:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
            await echo(reader, writer, MIB)
            since = len(tunnel.states)
            await server.websocket.send(b"last words")
            await server.websocket.close(1000)
            assert await reader.read() == b"last words"
            writer.close()
            await tunnel.wait_for_state("disconnected", since)
        await tunnel.stop()


async def test_multiplexed():
    url = "ws://127.0.0.1:{}/x?zone=a%20b"
    async with Server(True) as server, Tunnel(url.format(server.port), "--mode", "multiplexed") as tunnel:

        async def client(size):
            reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
            await echo(reader, writer, size)
            writer.close()

        await asyncio.gather(*(client(MIB + i) for i in range(24)))
        check_request(server)
        assert server.requests[0][0]["mode"] == ["multiplexed"]

        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
        await echo(reader, writer, 1000)
        await tunnel.wait_for_state("connected", 0)
        since = len(tunnel.states)
        server.websocket.transport.abort()
        try:
            await reader.read()
        except ConnectionResetError:
            pass
        else:
            raise AssertionError("the break looked like an end")
        writer.close()
        await tunnel.wait_for_state("connected", since)
        await client(MIB)
        await tunnel.stop()


async def main():
    tests = [test_singleton, test_end_of_stream, test_multiplexed]
    print(f"1..{len(tests)}")
    failures = 0
    for number, test in enumerate(tests, 1):
        try:
            await asyncio.wait_for(test(), GENEROUS_S)
            print(f"ok {number} {test.__name__}", flush=True)
        except Exception as error:
            failures += 1
            print(f"not ok {number} {test.__name__}: {error!r}", flush=True)
    sys.exit(1 if failures else 0)


asyncio.run(main())
