// SPDX-License-Identifier: LGPL-2.1-or-later
// limrun's client in its singleton mode against our gateway.

import assert from 'node:assert/strict';
import test from 'node:test';
import { startLimrunTunnel } from './limrun.mjs';
import { Client, MIB, Relay, Target, startGateway } from './support.mjs';

const startTunnel = (t, port, options) => startLimrunTunnel(t, port, 'singleton', options);

/** Gateway, relay and tunnel in front of a target. */
async function chain(t) {
  const target = await new Target().start(t);
  const gateway = await startGateway(t, target.port);
  const relay = await Relay.start(t, gateway.port);
  const tunnel = await startTunnel(t, relay.port);
  return { target, gateway, relay, tunnel };
}

test('data goes both ways, one client after the other', async (t) => {
  const { target, gateway, tunnel } = await chain(t);

  for (let i = 0; i < 3; i++) {
    const client = await Client.connect(t, tunnel.address.port);
    await client.exchange(8 * MIB, 8 * MIB);
    await client.exchange(1, 0);
    await client.close();
    // The next one is refused until limrun's client has noticed the end of the one before.
    await tunnel.states.find((state) => state === 'disconnected', 'disconnected', tunnel.states.entries.length - 1);
    await target.ended.find((how) => how === 'end', 'the end at the target', i);
  }
  assert.equal(target.connections.entries.length, 3);
  assert.equal(await gateway.stop(), 0);
});

test('several tunnels at once', async (t) => {
  const { target, gateway } = await chain(t);

  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const tunnel = await startTunnel(t, gateway.port);
      const client = await Client.connect(t, tunnel.address.port);
      await client.exchange(MIB, MIB);
    }),
  );
  assert.equal(target.connections.entries.length, 8);
});

test('a second client is turned away, the first goes on', async (t) => {
  const { target, tunnel } = await chain(t);
  const first = await Client.connect(t, tunnel.address.port);
  await first.exchange(100, 100);

  const second = await Client.connect(t, tunnel.address.port);
  await second.outcome();

  await first.exchange(MIB, MIB);
  assert.equal(target.connections.entries.length, 1);
});

test('the target connection outlives breaks', async (t) => {
  const { target, relay, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.address.port);

  for (let i = 1; i <= 4; i++) {
    await client.exchange(MIB, MIB);
    const seen = tunnel.states.entries.length;
    relay.cut();
    await tunnel.states.sequence(['disconnected', 'reconnecting', 'connecting', 'connected'], seen);
    assert.equal(relay.accepted.entries.length, 1 + i);
  }
  await client.exchange(MIB, MIB);
  assert.equal(target.connections.entries.length, 1);
});

test('a new WebSocket of a session replaces a half-open one', async (t) => {
  const { target, relay, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.address.port);
  await client.exchange(MIB, MIB);

  relay.cutOneEnd();
  await tunnel.states.sequence(['disconnected', 'reconnecting', 'connecting', 'connected']);

  await client.exchange(MIB, MIB);
  assert.equal(target.connections.entries.length, 1);
});

test('what the target sends during a break arrives after it', async (t) => {
  const { target, relay, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.address.port);
  await client.exchange(100, 100);

  relay.refusing = true;
  relay.cut();
  await tunnel.states.sequence(['disconnected', 'reconnecting']);
  const news = Buffer.alloc(MIB, 'news');
  target.connections.entries[0].write(news);
  relay.refusing = false;

  assert.ok((await client.read(news.length)).equals(news));
  await client.exchange(MIB, MIB);
  assert.equal(target.connections.entries.length, 1);
});

test('all data arrives before the end of the target', async (t) => {
  const { target, tunnel } = await chain(t);
  const client = await Client.connect(t, tunnel.address.port);

  // limrun's client never ends its TCP client in this case: see limrun-ends.mjs.
  await client.exchange(MIB, MIB, { last: true });
  assert.equal(target.connections.entries.length, 1);
});

for (const [served, path] of [['*', '/v1/org/x/android/adb'], ['/v1/org/x/android/adb', '/v1/org/x/android/adb'], ['/', '']])
  test(`a gateway that serves ${served}`, async (t) => {
    const target = await new Target().start(t);
    const gateway = await startGateway(t, target.port, '--path', served);
    const tunnel = await startTunnel(t, gateway.port, { path });
    const client = await Client.connect(t, tunnel.address.port);
    await client.exchange(MIB, MIB);
  });

test('another path than that of the gateway is final', async (t) => {
  const target = await new Target().start(t);
  const gateway = await startGateway(t, target.port, '--path', '/v1/adb');
  const tunnel = await startTunnel(t, gateway.port, { path: '/v1/adb/more' });
  const client = await Client.connect(t, tunnel.address.port);
  await client.outcome();
  assert.equal(target.connections.entries.length, 0);
});

test('a wrong token is final', async (t) => {
  const { target, gateway } = await chain(t);
  const tunnel = await startTunnel(t, gateway.port, { token: 'wrong' });
  const client = await Client.connect(t, tunnel.address.port);
  await client.outcome();
  assert.equal(tunnel.getConnectionState(), 'disconnected');
  assert.equal(target.connections.entries.length, 0);
});
