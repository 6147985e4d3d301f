// SPDX-License-Identifier: LGPL-2.1-or-later
// Peers that carry a stream over a WebSocket and end it without a code: createWebSocketStream () of npm's ws, and
// websocat if it is installed. They are clients of our gateway and servers of our tunnel.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import test from 'node:test';
import { WebSocket, createWebSocketStream } from 'ws';
import { Peer } from './peers.mjs';
import {
  Client, FickleTarget, Log, MIB, Reader, TOKEN, commandExists, defer, freePort, startGateway, startTunnel, within,
} from './support.mjs';

const MUCH = 1_000_000;
const echo = (socket) => socket.pipe(socket);

// Clients of our gateway

/** A stream through a WebSocket. If `named`, then it has a session id by which it could be resumed. */
async function connectStream(t, gateway, named) {
  const websocket = new WebSocket(`ws://127.0.0.1:${gateway.port}/${named ? `?sessionId=${randomUUID()}` : ''}`, {
    headers: { Authorization: `Bearer ${TOKEN}` },
  });
  const stream = createWebSocketStream(websocket);
  const closed = once(websocket, 'close');
  stream.on('error', () => {});
  defer(t, () => websocket.terminate());
  await within(once(websocket, 'open'), 'the WebSocket');
  return { websocket, stream, code: () => within(closed.then(([code]) => code), 'the WebSocket to close') };
}

async function chain(t, behave) {
  const target = await new FickleTarget().start(t);
  target.behave = behave;
  return { target, gateway: await startGateway(t, target.port) };
}

/** Checks that the next client is served and that the gateway has logged no lost client. */
async function checkNext(t, target, gateway) {
  await target.goUp();
  const { stream } = await connectStream(t, gateway, true);
  stream.write('hello');
  assert.equal((await within(new Reader(stream).read(5), 'an echo')).toString(), 'hello');
  assert.ok(!gateway.stderr.entries.some((line) => line.includes('did not come back')), gateway.stderr.entries.join('\n'));
}

/** What a target received up to the end of the stream, or the error that ended it instead. */
function received(target) {
  return new Promise((resolve) => {
    target.behave = (socket) => resolve(new Reader(socket).readToEnd().catch((error) => error.code));
  });
}

for (const named of [true, false]) {
  const how = named ? 'with' : 'without';

  test(`ws, ${how} a sessionId: all that it sent before its end reaches the target`, async (t) => {
    const { target, gateway } = await chain(t);
    const all = received(target);
    const data = randomBytes(MUCH);
    const { stream, code } = await connectStream(t, gateway, named);
    stream.end(data);
    assert.ok(data.equals(await within(all, 'the end at the target')));
    assert.equal(await code(), 1000);
    await checkNext(t, target, gateway);
  });

  test(`ws, ${how} a sessionId: a target that ends`, async (t) => {
    const data = randomBytes(MUCH);
    const { target, gateway } = await chain(t, (socket) => socket.end(data));
    const { stream, code } = await connectStream(t, gateway, named);
    assert.ok(data.equals(await within(new Reader(stream).readToEnd(), 'the end')));
    assert.equal(await code(), 1000);
    await checkNext(t, target, gateway);
  });

  test(`ws, ${how} a sessionId: a target that resets, or is down, is no orderly end`, async (t) => {
    const { target, gateway } = await chain(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
    const broken = await connectStream(t, gateway, named);
    broken.stream.write('hello');
    broken.stream.resume();
    assert.equal(await broken.code(), 1011);
    await target.goDown();
    const refused = await connectStream(t, gateway, named);
    refused.stream.resume();
    assert.equal(await refused.code(), 1011);
    await checkNext(t, target, gateway);
  });
}

test('ws, without a sessionId: a break resets the target at once', async (t) => {
  const { target, gateway } = await chain(t, echo);
  const { websocket, stream } = await connectStream(t, gateway, false);
  stream.write('hello');
  assert.equal((await within(new Reader(stream).read(5), 'an echo')).toString(), 'hello');
  websocket.terminate();
  assert.equal(await within(target.ended(0), 'the end at the target'), 'ECONNRESET');
  await gateway.stderr.find((line) => line.includes('sessionId'), 'a message that says why');
  await checkNext(t, target, gateway);
});

// Servers of our tunnel

/** Pipes each WebSocket into a connection to the target, and back. */
function pipes(targetPort) {
  return (websocket) => {
    const stream = createWebSocketStream(websocket);
    const target = net.connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    stream.on('error', () => target.destroy());
    // A break of the connection is passed on as a break.
    target.on('error', () => websocket.close(1000));
    stream.pipe(target).pipe(stream);
  };
}

test('ws as a server: its end without a code is the end of the stream', async (t) => {
  const data = randomBytes(MUCH);
  const target = await new FickleTarget().start(t);
  const peer = await Peer.start(t, pipes(target.port));
  const tunnel = await startTunnel(t, peer.url);

  for (let i = 0; i < 3; i++) {
    target.behave = (socket) => socket.end(data);
    const seen = tunnel.states.entries.length;
    const client = await Client.connect(t, tunnel.port);
    assert.ok(data.equals(await within(client.reader.readToEnd(), 'the end')));
    await client.close();
    await tunnel.states.sequence(['connected', 'disconnected'], seen);
    assert.equal(peer.requests.entries.length, i + 1);
  }
  await target.goUp();
  const next = await Client.connect(t, tunnel.port);
  next.socket.write('hello');
  assert.equal((await next.read(5)).toString(), 'hello');
});

test('ws as a server: the end of the TCP client reaches it, after all data', async (t) => {
  const target = await new FickleTarget().start(t);
  const peer = await Peer.start(t, pipes(target.port));
  const tunnel = await startTunnel(t, peer.url);
  const all = received(target);
  const data = randomBytes(MUCH);

  const client = await Client.connect(t, tunnel.port);
  client.socket.end(data);
  assert.ok(data.equals(await within(all, 'the end at the target')));
});

test('ws as a server: a TCP client that resets is told as limrun\'s client tells it', async (t) => {
  const peer = await Peer.start(t, () => {});
  const tunnel = await startTunnel(t, peer.url);

  for (let i = 0; i < 3; i++) {
    const client = await Client.connect(t, tunnel.port);
    const websocket = await peer.socket(i);
    await tunnel.states.find((state) => state === 'connected', 'connected', tunnel.states.entries.length - 1);
    const closed = once(websocket, 'close');
    client.socket.resetAndDestroy();
    const [code] = await within(closed, 'the WebSocket to close');
    assert.equal(code, 1000);
  }
});

test('ws as a server: one that breaks is dialled again', async (t) => {
  const peer = await Peer.start(t, (websocket) => {
    const stream = createWebSocketStream(websocket);
    stream.on('error', () => {});
    stream.pipe(stream);
  });
  const tunnel = await startTunnel(t, peer.url);
  const client = await Client.connect(t, tunnel.port);

  for (let i = 0; i < 3; i++) {
    client.socket.write('hello');
    assert.equal((await client.read(5)).toString(), 'hello');
    const seen = tunnel.states.entries.length;
    (await peer.socket(i)).terminate();
    await tunnel.states.sequence(['disconnected', 'reconnecting', 'connecting', 'connected'], seen);
  }
});

// websocat

const WEBSOCAT = { skip: !(await commandExists('websocat')) && 'websocat is not installed' };

/** A run of websocat. Its `output` reads what it writes. */
function websocat(t, ...args) {
  const child = spawn('websocat', ['-q', '-b', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {});
  defer(t, () => child.kill('SIGKILL'));
  child.output = new Reader(child.stdout);
  return child;
}

const client = (t, gateway) =>
  websocat(t, '-E', `ws://127.0.0.1:${gateway.port}/`, '-', '-H', `Authorization: Bearer ${TOKEN}`);

test('websocat: all that it sent before its end reaches the target', WEBSOCAT, async (t) => {
  const { target, gateway } = await chain(t);
  const all = received(target);
  const data = randomBytes(MUCH);
  client(t, gateway).stdin.end(data);
  assert.ok(data.equals(await within(all, 'the end at the target')));
  await checkNext(t, target, gateway);
});

test('websocat: a target that ends', WEBSOCAT, async (t) => {
  const data = randomBytes(MUCH);
  const { target, gateway } = await chain(t, (socket) => socket.end(data));
  assert.ok(data.equals(await within(client(t, gateway).output.readToEnd(), 'the end')));
  await checkNext(t, target, gateway);
});

test('websocat: a target that resets, or is down, ends it', WEBSOCAT, async (t) => {
  const { target, gateway } = await chain(t, (socket) => socket.resetAndDestroy());
  await within(client(t, gateway).output.readToEnd(), 'the end');
  await target.goDown();
  await within(client(t, gateway).output.readToEnd(), 'the end');
  await checkNext(t, target, gateway);
});

test('websocat as a server: its end is the end of the stream, and the next client is served', WEBSOCAT, async (t) => {
  const data = randomBytes(MUCH);
  const target = await new FickleTarget().start(t);
  const port = await freePort();
  websocat(t, `ws-l:127.0.0.1:${port}`, `tcp:127.0.0.1:${target.port}`);
  const tunnel = await startTunnel(t, `ws://127.0.0.1:${port}/`, '--max-reconnect-attempts', '100');

  for (let i = 0; i < 3; i++) {
    target.behave = (socket) => socket.end(data);
    const client = await Client.connect(t, tunnel.port);
    assert.ok(data.equals(await within(client.reader.readToEnd(), 'the end')));
    await client.close();
  }
  assert.equal(target.connections.entries.length, 3);
  await target.goUp();
  const next = await Client.connect(t, tunnel.port);
  next.socket.write('hello');
  assert.equal((await next.read(5)).toString(), 'hello');
  const all = received(target);
  await next.close();

  const last = await Client.connect(t, tunnel.port);
  last.socket.end(data);
  assert.ok(data.equals(await within(all, 'the end at the target')));
});
