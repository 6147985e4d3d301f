// SPDX-License-Identifier: LGPL-2.1-or-later
// Our tunnel in multiplexed mode against a server that behaves as limrun's does.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { Peer, collect, pong, sendFragmented, tagged, taggedProtocol } from './peers.mjs';
import { Client, Command, MIB, TOKEN, Target, startTunnel, tunnelArguments } from './support.mjs';

const MULTIPLEXED = ['--mode', 'multiplexed'];

/** A target, a server of the tagged protocol in front of it, and a tunnel to that server. */
async function chain(t) {
  const target = await new Target().start(t);
  const peer = await Peer.start(t, taggedProtocol(target.port));
  const tunnel = await startTunnel(t, peer.url, ...MULTIPLEXED);
  return { target, peer, tunnel };
}

/** A tunnel whose WebSocket is handled by the test itself. */
async function bare(t) {
  const peer = await Peer.start(t, (websocket) => (websocket.messages = collect(websocket)));
  const tunnel = await startTunnel(t, peer.url, ...MULTIPLEXED);
  const websocket = await peer.socket();

  /** A client that has sent its name, and the id that the tunnel gave it. */
  const open = async (name) => {
    const client = await Client.connect(t, tunnel.port);
    client.socket.write(name);
    const { data } = await websocket.messages.find(({ data }) => data.subarray(4).equals(Buffer.from(name)), name);
    return { client, id: data.readUInt32BE(0) };
  };
  const closeSignal = (id) =>
    websocket.messages.find(({ data }) => data.equals(tagged(id)), `the close signal of ${id}`);

  return { peer, tunnel, websocket, open, closeSignal };
}

test('the request is what limrun expects', async (t) => {
  const { peer } = await bare(t);

  const [{ url, headers }] = peer.requests.entries;
  assert.equal(url.pathname, '/device');
  assert.equal(url.searchParams.get('zone'), 'a b');
  assert.equal(url.searchParams.get('mode'), 'multiplexed');
  assert.equal(headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(headers['sec-websocket-extensions'], undefined);
  assert.equal(headers['sec-websocket-protocol'], undefined);
});

test('many connections at once', async (t) => {
  const { target, peer, tunnel } = await chain(t);

  await Promise.all(
    Array.from({ length: 48 }, async () => {
      const client = await Client.connect(t, tunnel.port);
      await client.exchange(MIB, MIB);
      await client.exchange(70_000, 3);
      await client.exchange(3, 70_000, { last: true });
      assert.equal(await client.outcome(), 'end');
    }),
  );
  assert.equal(target.connections.entries.length, 48);
  assert.equal(peer.requests.entries.length, 1);
  assert.equal(await tunnel.stop(), 0);
});

test('many connections one after the other', async (t) => {
  const { target, tunnel } = await chain(t);

  for (let i = 0; i < 300; i++) {
    const client = await Client.connect(t, tunnel.port);
    await client.exchange(1000, 1000);
    await client.close();
    await target.ended.find((how) => how === 'end', 'the end at the target', i);
  }
});

test('ids count from 1, nothing is sent before data, a close has no payload', async (t) => {
  const { tunnel, websocket, open, closeSignal } = await bare(t);

  const silent = await Client.connect(t, tunnel.port);
  const first = await open('first');
  const second = await open('second');
  assert.equal(second.id, first.id + 1);
  assert.ok(first.id >= 1);
  await first.client.close();
  await closeSignal(first.id);
  await second.client.close();
  await closeSignal(second.id);

  await silent.close();
  assert.equal(await tunnel.stop(), 0);
  const toKnown = websocket.messages.entries.filter(({ data }) => [first.id, second.id].includes(data.readUInt32BE(0)));
  assert.deepEqual(
    toKnown.map(({ data }) => data.subarray(4).toString()),
    ['first', 'second', '', ''],
  );
  assert.ok(websocket.messages.entries.every(({ data, isBinary }) => isBinary && data.length >= 4));
});

test('a close lets what came before it through, to a slow reader too', async (t) => {
  const { websocket, open } = await bare(t);
  const { client, id } = await open('slow');
  const data = randomBytes(8 * MIB);

  for (let i = 0; i < data.length; i += 65536) websocket.send(tagged(id, data.subarray(i, i + 65536)));
  websocket.send(tagged(id));

  assert.ok((await client.read(data.length)).equals(data));
  assert.equal(await client.outcome(), 'end');
});

test('unexpected messages and closes are ignored', async (t) => {
  const { websocket, open, closeSignal } = await bare(t);
  const steady = await open('steady');
  const gone = await open('gone');
  const crossing = await open('crossing');

  websocket.send(tagged(gone.id));
  assert.equal(await gone.client.outcome(), 'end');
  websocket.send(tagged(gone.id));
  websocket.send(tagged(gone.id, Buffer.from('too late')));

  // Both sides close at about the same time.
  websocket.send(tagged(crossing.id));
  await crossing.client.close();
  websocket.send(tagged(crossing.id));

  websocket.send(tagged(4_000_000_000, Buffer.from('who is that?')));
  websocket.send(tagged(4_000_000_000));
  websocket.send(tagged(0, Buffer.from('nobody')));
  for (let size = 0; size < 4; size++) websocket.send(Buffer.alloc(size));
  websocket.send('some text, which no id leads');

  websocket.send(tagged(steady.id, Buffer.from('go on')));
  assert.equal((await steady.client.read(5)).toString(), 'go on');
  const next = await open('next');
  assert.equal(next.id, crossing.id + 1);
  await steady.client.close();
  await closeSignal(steady.id);
});

test('large messages', async (t) => {
  const { websocket, open } = await bare(t);
  const { client, id } = await open('large');

  for (const size of [MIB, 20 * MIB]) {
    const data = randomBytes(size);
    websocket.send(tagged(id, data));
    assert.ok((await client.read(size)).equals(data));
  }
});

test('fragmented messages, with a ping between the fragments', async (t) => {
  const { websocket, open } = await bare(t);
  const { client, id } = await open('fragments');
  const data = randomBytes(300_000);
  const message = tagged(id, data);

  // The id itself is split between frames.
  const answered = pong(websocket, 'still there?');
  websocket.send(message.subarray(0, 2), { fin: false });
  websocket.ping('still there?');
  sendFragmented(websocket, [message.subarray(2, 3), message.subarray(3, 200_000), message.subarray(200_000)]);

  assert.ok((await client.read(data.length)).equals(data));
  await answered;
});

const BREAKS = {
  'a dropped connection': (websocket) => websocket.terminate(),
  'close code 1000': (websocket) => websocket.close(1000),
  'close code 1001': (websocket) => websocket.close(1001, 'going away'),
  'close code 1011': (websocket) => websocket.close(1011, 'internal error'),
};

for (const [name, interrupt] of Object.entries(BREAKS)) {
  test(`${name} resets the connections, the next ones work`, async (t) => {
    const { target, peer, tunnel } = await chain(t);
    const clients = await Promise.all(Array.from({ length: 4 }, () => Client.connect(t, tunnel.port)));
    await Promise.all(clients.map((client) => client.exchange(MIB, MIB)));

    peer.answers = [503, 500];
    const seen = tunnel.states.entries.length;
    interrupt(await peer.socket());
    for (const client of clients) assert.equal(await client.outcome(), 'ECONNRESET');
    await tunnel.states.sequence(['reconnecting', 'connecting', 'connected'], seen);

    const client = await Client.connect(t, tunnel.port);
    await client.exchange(MIB, MIB);
    assert.equal(target.connections.entries.length, 5);
    assert.equal(peer.requests.entries.length, 4);
  });
}

test('clients are refused while there is no WebSocket', async (t) => {
  const { peer, tunnel } = await chain(t);
  const held = await Client.connect(t, tunnel.port);
  await held.exchange(100, 100);

  const seen = tunnel.states.entries.length;
  let answer;
  peer.answers = [new Promise((resolve) => (answer = resolve))];
  (await peer.socket()).terminate();
  await tunnel.states.sequence(['reconnecting', 'connecting'], seen);
  const early = await Client.connect(t, tunnel.port);
  await early.outcome();

  answer(503);
  await tunnel.states.sequence(['reconnecting', 'connecting', 'connected'], seen + 2);
  const client = await Client.connect(t, tunnel.port);
  await client.exchange(MIB, MIB);
});

for (const status of [401, 404, 503]) {
  test(`status ${status} at the start fails the start`, async (t) => {
    const peer = await Peer.start(t, () => {});
    peer.answers = [status];
    // Without --wait=no a tunnel waits if the gateway may come back, as after 503.
    const wait = status === 503 ? ['--wait=no'] : [];
    const tunnel = new Command(t, tunnelArguments(t, peer.url, ...MULTIPLEXED, ...wait));
    assert.equal(await tunnel.status(), 1);
    assert.ok(tunnel.stderr.entries.some((line) => line.includes(`${status}`)));
    assert.equal(peer.requests.entries.length, 1);
  });
}

test('status 4xx on a reconnect is final', async (t) => {
  const { peer, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.port);
  await client.exchange(100, 100);
  peer.answers = [403];
  (await peer.socket()).terminate();
  assert.equal(await tunnel.status(), 1);
  assert.equal(peer.requests.entries.length, 2);
});
