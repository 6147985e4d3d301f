// SPDX-License-Identifier: LGPL-2.1-or-later
// Our reverse tunnel against a server that behaves as limrun's does: it listens, and opens connections over one
// WebSocket.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import test from 'node:test';
import { Peer, collect, tagged } from './peers.mjs';
import { Command, Log, MIB, TOKEN, defer, listen, secretFile, within } from './support.mjs';

const READY = JSON.stringify({ type: 'ready', remoteHost: '10.1.2.3', remotePort: 57090 });
const REFUSED = JSON.stringify({ type: 'error', message: 'port 57090 is already in use' });

const reverseArguments = (t, url, to, ...options) => [
  'reverse', url, '--to', `127.0.0.1:${to}`, '--token-file', secretFile(t, TOKEN), '--json', '--reconnect-delay', '20ms',
  '--wait=no', ...options,
];

/** A TCP service that passes each connection to `serve`. */
async function startService(t, serve) {
  const sockets = new Log();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    sockets.add(socket);
    serve?.(socket);
  });
  const port = await listen(t, server);
  defer(t, () => sockets.entries.forEach((socket) => socket.destroy()));
  return { port, sockets };
}

/** A service that sends back what it receives. */
const startEcho = (t) => startService(t, (socket) => socket.pipe(socket));

/** A server whose first message on each WebSocket is what `words` returns, and a tunnel to it. */
async function chain(t, servicePort, { words = () => READY, query = '&remotePort=57090', options = [] } = {}) {
  const peer = await Peer.start(t, (websocket) => {
    websocket.messages = collect(websocket);
    websocket.closed = once(websocket, 'close');
    const said = words(peer.sockets.entries.length);
    if (said !== undefined) websocket.send(said);
  });
  const tunnel = await Command.start(t, reverseArguments(t, peer.url + query, servicePort, ...options));
  return { peer, tunnel, websocket: await peer.socket() };
}

/** Waits until `bytes` bytes have come for an id, and returns what came. */
async function received(websocket, id, bytes) {
  let have = 0;
  const of = ({ data }) => data.length >= 4 && data.readUInt32BE(0) === id;
  await websocket.messages.find((message) => {
    if (of(message)) have += message.data.length - 4;
    return have >= bytes;
  }, `${bytes} bytes of connection ${id}`);
  return Buffer.concat(websocket.messages.entries.filter(of).map(({ data }) => data.subarray(4)));
}

const isEnd = (id) => ({ data }) => data.equals(tagged(id));
const ends = (websocket, id) => websocket.messages.entries.filter(isEnd(id)).length;

async function expectEnd(websocket, id) {
  await websocket.messages.find(isEnd(id), `the end of connection ${id}`);
}

test('the request, and where the server listens', async (t) => {
  const service = await startEcho(t);
  const { peer, tunnel, websocket } = await chain(t, service.port);

  const [{ url, headers }] = peer.requests.entries;
  assert.equal(url.pathname, '/device');
  assert.equal(url.searchParams.get('zone'), 'a b');
  assert.equal(url.searchParams.get('remotePort'), '57090');
  assert.equal(url.searchParams.get('mode'), null);
  assert.equal(headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(headers['sec-websocket-extensions'], undefined);
  const { event, address, host, port } = JSON.parse(tunnel.stdout.entries[0]);
  assert.deepEqual([event, address, host, port], ['listening', '10.1.2.3:57090', '10.1.2.3', 57090]);

  // The tunnel sends nothing before it is asked to.
  assert.equal(websocket.messages.entries.length, 0);
  tunnel.child.kill('SIGTERM');
  assert.equal((await within(websocket.closed, 'the close'))[0], 1000);
  assert.equal(await tunnel.status(), 0);
});

test('--remote-port sets the port', async (t) => {
  const { peer } = await chain(t, 1, { query: '&remotePort=1', options: ['--remote-port', '57091'] });
  assert.deepEqual(peer.requests.entries[0].url.searchParams.getAll('remotePort'), ['57091']);
});

test('the server chooses the ids', async (t) => {
  const service = await startEcho(t);
  const { websocket } = await chain(t, service.port);

  for (const id of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const data = randomBytes(100_000);
    websocket.send(tagged(id, data));
    assert.deepEqual(await received(websocket, id, data.length), data);
  }
  assert.equal(service.sockets.entries.length, 5);
});

test('an empty payload opens nothing, nor does what is too short or text', async (t) => {
  const service = await startEcho(t);
  const { tunnel, websocket } = await chain(t, service.port);

  websocket.send(tagged(7));
  websocket.send(Buffer.from([0, 0, 0]));
  websocket.send(READY);
  websocket.send('hello');
  websocket.send(tagged(8, Buffer.from('x')));
  await received(websocket, 8, 1);
  assert.equal(service.sockets.entries.length, 1);
  assert.equal(ends(websocket, 7), 0);
  await tunnel.stderr.find((line) => /sent a text message, which was ignored: hello/.test(line), 'a warning');
});

test('an answer of 64 KiB before the service closes', async (t) => {
  const answer = randomBytes(64 * 1024);
  const service = await startService(t, (socket) => socket.once('data', () => socket.end(answer)));
  const { websocket } = await chain(t, service.port);

  for (let id = 1; id <= 30; id++) {
    websocket.send(tagged(id, Buffer.from('GET')));
    await expectEnd(websocket, id);
    assert.deepEqual(await received(websocket, id, answer.length), answer);
    assert.equal(ends(websocket, id), 1);
  }
});

test('a service that resets', async (t) => {
  const service = await startService(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  const { websocket } = await chain(t, service.port);

  websocket.send(tagged(1, Buffer.from('GET')));
  await expectEnd(websocket, 1);
});

test('a close of the server comes behind all that it sent', async (t) => {
  const data = randomBytes(3 * MIB);
  const service = await startService(t, (socket) => socket.pause());
  const { websocket } = await chain(t, service.port);

  websocket.send(tagged(1, data));
  websocket.send(tagged(1));
  const socket = await service.sockets.find(() => true, 'the connection');
  const parts = [];
  for await (const part of socket) parts.push(part);
  assert.deepEqual(Buffer.concat(parts), data);
  // The server has closed the connection, so that the tunnel does not send an end for it.
  assert.equal(ends(websocket, 1), 0);
});

test('8 MiB and more against a server that does not read', async (t) => {
  const size = 12 * MIB;
  const service = await startService(t);
  const { websocket } = await chain(t, service.port);

  websocket.send(tagged(1, Buffer.from('GET')));
  const socket = await service.sockets.find(() => true, 'the connection');
  websocket.pause();
  for (let i = 0; i < size / MIB; i++) socket.write(Buffer.alloc(MIB, 'x'));
  // The buffers on the way hold far less than that.
  assert.ok(socket.writableLength > 0);
  websocket.resume();
  assert.equal((await received(websocket, 1, size)).length, size);
});

test('8 MiB and more against a service that does not read', async (t) => {
  const data = randomBytes(12 * MIB);
  const service = await startService(t, (socket) => socket.pause());
  const { websocket } = await chain(t, service.port);

  for (let at = 0; at < data.length; at += 65536) websocket.send(tagged(1, data.subarray(at, at + 65536)));
  const socket = await service.sockets.find(() => true, 'the connection');
  const parts = [];
  let have = 0;
  socket.on('data', (part) => {
    parts.push(part);
    have += part.length;
    if (have === data.length) socket.emit('complete');
  });
  socket.resume();
  await within(once(socket, 'complete'), 'all data');
  assert.deepEqual(Buffer.concat(parts), data);
});

test('a service that refuses ends the connection, not the tunnel', async (t) => {
  const { tunnel, websocket } = await chain(t, 1);

  for (let id = 1; id <= 3; id++) {
    websocket.send(tagged(id, Buffer.from('is anyone there?')));
    await expectEnd(websocket, id);
  }
  // For a while, such an id is not answered again.
  websocket.send(tagged(1, Buffer.from('and now?')));
  websocket.send(tagged(4, Buffer.from('and here?')));
  await expectEnd(websocket, 4);
  assert.equal(ends(websocket, 1), 1);
  assert.equal(tunnel.child.exitCode, null);
});

/** A port that neither accepts nor refuses connections, because its queue is full. */
async function startSilence(t) {
  const program = [
    'import socket, sys', 'server = socket.socket()', 'server.bind(("127.0.0.1", 0))', 'server.listen(0)',
    'waiting = [socket.socket() for _ in range(4)]',
    'for client in waiting:', '    client.setblocking(False)', '    client.connect_ex(server.getsockname())',
    'print(server.getsockname()[1], flush=True)', 'sys.stdin.read()',
  ];
  const child = spawn('python3', ['-c', program.join('\n')], { stdio: ['pipe', 'pipe', 'inherit'] });
  defer(t, () => child.kill());
  return Number(await within(once(child.stdout, 'data'), 'the port'));
}

test('what waits for a service that takes long is bounded', async (t) => {
  const { tunnel, websocket } = await chain(t, await startSilence(t));

  for (let i = 0; i < 15; i++) websocket.send(tagged(1, Buffer.alloc(MIB)));
  websocket.send(tagged(2, Buffer.alloc(MIB)));
  for (let i = 0; i < 2; i++) websocket.send(tagged(1, Buffer.alloc(MIB)));
  await expectEnd(websocket, 1);
  await tunnel.stderr.find((line) => /more than 16777216 bytes came before the target was connected/.test(line), 'why');
  // The other connections continue to wait.
  assert.equal(ends(websocket, 2), 0);
});

test('what waits for all connections together is bounded', async (t) => {
  const { tunnel, websocket } = await chain(t, await startSilence(t));

  for (const id of [1, 2, 3, 4]) for (let i = 0; i < 60; i++) websocket.send(tagged(id, Buffer.alloc(MIB / 4)));
  websocket.send(tagged(3, Buffer.alloc(MIB / 4)));
  for (let i = 0; i < 5; i++) websocket.send(tagged(5, Buffer.alloc(MIB)));
  await expectEnd(websocket, 3);
  await tunnel.stderr.find((line) => /more than 67108864 bytes came for connections whose target was not connected/.test(line), 'why');
  for (const id of [1, 2, 4, 5]) assert.equal(ends(websocket, id), 0);
});

test('the 65th connection of 65', async (t) => {
  const service = await startEcho(t);
  const { websocket } = await chain(t, service.port);

  for (let id = 0; id < 64; id++) websocket.send(tagged(id, Buffer.from('x')));
  for (let id = 0; id < 64; id++) await received(websocket, id, 1);
  websocket.send(tagged(64, Buffer.from('x')));
  await expectEnd(websocket, 64);
  websocket.send(tagged(0, Buffer.from('y')));
  await received(websocket, 0, 2);
  // There is room again when another connection has ended.
  websocket.send(tagged(5));
  await once(service.sockets.entries[5], 'end');
  service.sockets.entries[5].destroy();
  let id = 100;
  for (;; id++) {
    websocket.send(tagged(id, Buffer.from('x')));
    const { data } = await websocket.messages.find(({ data }) => data.readUInt32BE(0) === id, `an answer to ${id}`);
    if (data.length > 4) break;
  }
});

test('a break resets the connections, and the tunnel asks again', async (t) => {
  const service = await startEcho(t);
  const { peer, tunnel, websocket } = await chain(t, service.port, {
    // At first the server takes the port for used, because it has not noticed the end yet.
    words: (n) => (n === 2 || n === 3 ? REFUSED : READY),
  });

  websocket.send(tagged(1, Buffer.from('before')));
  await received(websocket, 1, 6);
  const [socket] = service.sockets.entries;
  const broken = new Promise((resolve) => socket.on('close', resolve));
  websocket.terminate();
  await within(broken, 'the end of the connection');
  const fourth = await peer.socket(3);
  fourth.send(tagged(1, Buffer.from('after')));
  await received(fourth, 1, 5);
  await tunnel.stderr.find((line) => /may still be held by the connection before/.test(line), 'why it asks again');
  assert.equal(tunnel.child.exitCode, null);
});

const failures = [
  ['an error', REFUSED, /does not listen: port 57090 is already in use/],
  ['another type', '{"type":"start"}', /unknown type/],
  ['no type', '{"remoteHost":"a","remotePort":1}', /without a type/],
  ['bad JSON', '{"type":"ready"', /no JSON object/],
  ['a host that is no string', '{"type":"ready","remoteHost":1,"remotePort":1}', /without a valid remoteHost/],
  ['a port that is no number', '{"type":"ready","remoteHost":"a","remotePort":"1"}', /without a valid remoteHost/],
  ['an error without a message', '{"type":"error"}', /does not say what is wrong/],
  ['a message that is too long', READY.padStart(MIB), /no JSON object/],
  ['a message that is longer by one byte', READY.padStart(65536 + 1), /no JSON object/],
  ['a binary message', tagged(1, Buffer.from('x')), /data before it said where it listens/],
];

for (const [what, words, message] of failures) {
  test(`the start fails at ${what}`, async (t) => {
    const peer = await Peer.start(t, (websocket) => {
      websocket.closed = once(websocket, 'close');
      websocket.send(words);
    });
    const tunnel = new Command(t, reverseArguments(t, `${peer.url}&remotePort=57090`, 1));
    assert.equal(await tunnel.status(), 1);
    assert.match(tunnel.stderr.entries.join('\n'), message);
    assert.equal(peer.requests.entries.length, 1);
    const [code] = await (await peer.socket()).closed;
    assert.equal(code, 1000);
  });
}

test('the first message may be as long as 64 KiB', async (t) => {
  const service = await startEcho(t);
  const { websocket } = await chain(t, service.port, { words: () => READY.padStart(65536) });
  websocket.send(tagged(1, Buffer.from('served')));
  assert.equal((await received(websocket, 1, 6)).toString(), 'served');
});

test('the start fails when the server closes first', async (t) => {
  const peer = await Peer.start(t, (websocket) => websocket.close(1008, 'no'));
  const tunnel = new Command(t, reverseArguments(t, `${peer.url}&remotePort=57090`, 1));
  assert.equal(await tunnel.status(), 1);
  assert.match(tunnel.stderr.entries.join('\n'), /did not report where it listens before the WebSocket ended.*1008: no/);
});

test('the start fails when the server says nothing', async (t) => {
  const peer = await Peer.start(t, () => {});
  const tunnel = new Command(t, reverseArguments(t, `${peer.url}&remotePort=57090`, 1));
  assert.equal(await tunnel.status(), 1);
  assert.match(tunnel.stderr.entries.join('\n'), /did not report within 10000 ms where it listens/);
});
