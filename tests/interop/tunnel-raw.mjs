// SPDX-License-Identifier: LGPL-2.1-or-later
// Our tunnel in singleton mode against a server that behaves as limrun's does.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import test from 'node:test';
import { Peer, collect, pong, rawProtocol, sendFragmented } from './peers.mjs';
import { Client, MIB, TOKEN, Target, startTunnel, within } from './support.mjs';

const SINGLETON = ['--mode', 'singleton'];
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A target, a server of the raw protocol in front of it, and a tunnel to that server. */
async function chain(t, ...options) {
  const target = await new Target().start(t);
  const peer = await Peer.start(t, rawProtocol(target.port));
  const tunnel = await startTunnel(t, peer.url, ...SINGLETON, ...options);
  return { target, peer, tunnel };
}

/** A client whose WebSocket is handled by the test itself. */
async function bare(t, ...options) {
  const peer = await Peer.start(t, (websocket) => (websocket.messages = collect(websocket)));
  const tunnel = await startTunnel(t, peer.url, ...SINGLETON, ...options);
  const client = await Client.connect(t, tunnel.port);
  return { peer, tunnel, client, websocket: await peer.socket() };
}

test('the request is what limrun expects', async (t) => {
  const { peer, tunnel, client } = await bare(t);

  const [{ url, headers }] = peer.requests.entries;
  assert.equal(url.pathname, '/device');
  assert.equal(url.searchParams.get('zone'), 'a b');
  assert.match(url.searchParams.get('sessionId'), UUID_V4);
  assert.equal(url.searchParams.get('mode'), null);
  assert.equal(headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(headers['sec-websocket-extensions'], undefined);
  assert.equal(headers['sec-websocket-protocol'], undefined);

  await client.close();
  await tunnel.states.sequence(['connecting', 'connected', 'disconnected']);
});

test('data goes both ways, one client after the other', async (t) => {
  const { target, peer, tunnel } = await chain(t);

  for (let i = 0; i < 3; i++) {
    const client = await Client.connect(t, tunnel.port);
    await client.exchange(8 * MIB, 8 * MIB);
    await client.exchange(1, 0);
    const seen = tunnel.states.entries.length;
    const closed = once(await peer.socket(i), 'close');
    await client.close();
    const [code] = await within(closed, 'the WebSocket to close');
    assert.equal(code, 1000);
    await tunnel.states.sequence(['disconnected'], seen);
  }
  assert.equal(target.connections.entries.length, 3);
  const sessions = peer.requests.entries.map(({ url }) => url.searchParams.get('sessionId'));
  assert.equal(new Set(sessions).size, 3);
  assert.equal(await tunnel.stop(), 0);
});

test('a second client is turned away, the first goes on', async (t) => {
  const { target, tunnel } = await chain(t);
  const first = await Client.connect(t, tunnel.port);
  await first.exchange(100, 100);

  const second = await Client.connect(t, tunnel.port);
  await second.outcome();

  await first.exchange(MIB, MIB);
  assert.equal(target.connections.entries.length, 1);
});

const BREAKS = {
  'a dropped connection': (websocket) => websocket.terminate(),
  'close code 1001': (websocket) => websocket.close(1001, 'going away'),
  'close code 1011': (websocket) => websocket.close(1011, 'internal error'),
};

for (const [name, interrupt] of Object.entries(BREAKS)) {
  test(`the TCP connection outlives ${name}`, async (t) => {
    const { target, peer, tunnel } = await chain(t);
    const client = await Client.connect(t, tunnel.port);

    for (let i = 0; i < 3; i++) {
      await client.exchange(MIB, MIB);
      const seen = tunnel.states.entries.length;
      interrupt(await peer.socket(i));
      await tunnel.states.sequence(['disconnected', 'reconnecting', 'connecting', 'connected'], seen);
    }
    await client.exchange(MIB, MIB);

    assert.equal(target.connections.entries.length, 1);
    const sessions = peer.requests.entries.map(({ url }) => url.searchParams.get('sessionId'));
    assert.equal(sessions.length, 4);
    assert.equal(new Set(sessions).size, 1);
  });
}

test('what is written during a break arrives after it', async (t) => {
  const { peer, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.port);
  await client.exchange(100, 100);

  peer.answers = [503, 503, 503];
  (await peer.socket()).terminate();
  await tunnel.states.sequence(['disconnected', 'reconnecting']);
  await client.exchange(8 * MIB, 8 * MIB);
});

test('close code 1000 is the end of the stream, after all data', async (t) => {
  const { target, tunnel } = await chain(t);

  for (let i = 0; i < 3; i++) {
    const seen = tunnel.states.entries.length;
    const client = await Client.connect(t, tunnel.port);
    await client.exchange(MIB, 8 * MIB, { last: true });
    assert.equal(await client.outcome(), 'end');
    await client.close();
    await tunnel.states.sequence(['connected', 'disconnected'], seen);
  }
  assert.equal(target.connections.entries.length, 3);
});

test('large messages', async (t) => {
  const { client, websocket } = await bare(t);

  for (const size of [MIB, 20 * MIB]) {
    const data = randomBytes(size);
    websocket.send(data);
    assert.ok((await client.read(size)).equals(data));
  }
});

test('fragmented messages, with a ping between the fragments', async (t) => {
  const { client, websocket } = await bare(t);
  const parts = [1, 200_000, 0, 70_000, 5].map((size) => randomBytes(size));

  const answered = pong(websocket, 'still there?');
  websocket.send(parts[0], { fin: false });
  websocket.ping('still there?');
  sendFragmented(websocket, parts.slice(1));

  const wanted = Buffer.concat(parts);
  assert.ok((await client.read(wanted.length)).equals(wanted));
  await answered;
});

test('text messages are data too, as in limrun\'s client', async (t) => {
  const { client, websocket } = await bare(t);
  const text = 'grüße '.repeat(1000);

  websocket.send(text);
  websocket.send(Buffer.from('!'));
  const wanted = Buffer.from(text + '!');
  assert.ok((await client.read(wanted.length)).equals(wanted));
});

test('empty messages mean nothing and are never sent', async (t) => {
  const { tunnel, client, websocket } = await bare(t);

  websocket.send(Buffer.alloc(0));
  websocket.send('one');
  websocket.send(Buffer.alloc(0));
  websocket.send('two');
  assert.equal((await client.read(6)).toString(), 'onetwo');

  client.socket.write('three');
  await websocket.messages.find(({ data }) => data.toString() === 'three', 'what the client wrote');
  const closed = once(websocket, 'close');
  await client.close();
  await within(closed, 'the WebSocket to close');
  assert.equal(await tunnel.stop(), 0);
  assert.ok(websocket.messages.entries.every(({ data, isBinary }) => data.length > 0 && isBinary));
});

test('stopping closes the WebSocket in order', async (t) => {
  const { tunnel, websocket } = await bare(t);
  await tunnel.states.sequence(['connected']);
  const closed = once(websocket, 'close');
  assert.equal(await tunnel.stop(), 0);
  const [code] = await within(closed, 'the WebSocket to close');
  assert.equal(code, 1000);
});

for (const status of [400, 401, 403, 404, 410]) {
  test(`status ${status} is final`, async (t) => {
    const { target, peer, tunnel } = await chain(t);
    peer.answers = [status];
    const client = await Client.connect(t, tunnel.port);
    await client.outcome();
    assert.equal(await tunnel.status(), 1);
    assert.ok(tunnel.stderr.entries.some((line) => line.includes(`${status}`)));
    assert.equal(peer.requests.entries.length, 1);
    assert.equal(target.connections.entries.length, 0);
  });
}

test('status 403 on a reconnect is final too', async (t) => {
  const { peer, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.port);
  await client.exchange(100, 100);
  peer.answers = [403];
  (await peer.socket()).terminate();
  assert.equal(await client.outcome(), 'ECONNRESET');
  assert.equal(await tunnel.status(), 1);
});

test('status 410 on a reconnect is the end of the session alone', async (t) => {
  const { peer, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.port);
  await client.exchange(100, 100);
  const seen = tunnel.states.entries.length;
  peer.answers = [410];
  (await peer.socket()).terminate();
  assert.equal(await client.outcome(), 'ECONNRESET');
  await client.close();
  await tunnel.states.sequence(['reconnecting', 'connecting', 'disconnected'], seen);

  const next = await Client.connect(t, tunnel.port);
  await next.exchange(MIB, MIB);
});

test('other failures pass', async (t) => {
  const { peer, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.port);
  peer.answers = [500, 502, 503, 408, 425, { status: 429, headers: 'Retry-After: 0\r\n' }];
  await client.exchange(MIB, MIB);
  assert.equal(peer.requests.entries.length, 7);
});

test('too many failures end the tunnel', async (t) => {
  const { peer, tunnel } = await chain(t, '--max-reconnect-attempts', '2');
  peer.answers = [503, 503, 503, 503];
  const client = await Client.connect(t, tunnel.port);
  await client.outcome();
  assert.equal(await tunnel.status(), 1);
  assert.equal(peer.requests.entries.length, 3);
});
