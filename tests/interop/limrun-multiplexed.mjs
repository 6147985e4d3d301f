// SPDX-License-Identifier: LGPL-2.1-or-later
// limrun's client in its multiplexed mode against our gateway.

import assert from 'node:assert/strict';
import test from 'node:test';
import { startLimrunTunnel } from './limrun.mjs';
import { Client, MIB, Relay, Target, startGateway } from './support.mjs';

const startTunnel = (t, port, options) => startLimrunTunnel(t, port, 'multiplexed', options);

/** Gateway, relay and tunnel in front of a target. */
async function chain(t) {
  const target = await new Target().start(t);
  const gateway = await startGateway(t, target.port);
  const relay = await Relay.start(t, gateway.port);
  const tunnel = await startTunnel(t, relay.port);
  return { target, gateway, relay, tunnel };
}

test('many connections at once', async (t) => {
  const { target, gateway, relay, tunnel } = await chain(t);

  const clients = await Promise.all(
    Array.from({ length: 48 }, async () => {
      const client = await Client.connect(t, tunnel.address.port);
      await client.exchange(MIB, MIB);
      await client.exchange(70_000, 3);
      await client.exchange(3, 70_000);
      return client;
    }),
  );
  assert.equal(target.connections.entries.length, 48);
  assert.equal(relay.accepted.entries.length, 1);
  await Promise.all(clients.map((client) => client.close()));
  assert.equal(await gateway.stop(), 0);
});

test('many connections one after the other', async (t) => {
  const { target, tunnel } = await chain(t);

  for (let i = 0; i < 100; i++) {
    const client = await Client.connect(t, tunnel.address.port);
    await client.exchange(1000, 1000);
    await client.close();
    await target.ended.find((how) => how === 'end', 'the end at the target', i);
  }
  assert.equal(target.connections.entries.length, 100);
});

test('the end of a target connection ends its client alone', async (t) => {
  const { tunnel } = await chain(t);
  const other = await Client.connect(t, tunnel.address.port);
  await other.exchange(100, 100);

  for (let i = 0; i < 20; i++) {
    const client = await Client.connect(t, tunnel.address.port);
    // Only a little data: limrun's client discards what it could not write at once.
    await client.exchange(1000, 1000, { last: true });
    assert.equal(await client.outcome(), 'end');
  }
  await other.exchange(MIB, MIB);
});

test('a break resets the connections, the next ones work', async (t) => {
  const { target, relay, tunnel } = await chain(t);

  for (let i = 0; i < 3; i++) {
    const clients = await Promise.all(Array.from({ length: 4 }, () => Client.connect(t, tunnel.address.port)));
    await Promise.all(clients.map((client) => client.exchange(MIB, MIB)));

    const seen = tunnel.states.entries.length;
    relay.cut();
    await Promise.all(clients.map((client) => client.outcome()));
    await tunnel.states.sequence(['reconnecting', 'connecting', 'connected'], seen);
    await target.ended.find(() => true, 'the end of all target connections', 4 * i + 3);
  }
  const client = await Client.connect(t, tunnel.address.port);
  await client.exchange(MIB, MIB);
  assert.equal(target.connections.entries.length, 13);
});

test('a target that is not there ends the client, not the tunnel', async (t) => {
  const gateway = await startGateway(t, 1);
  const tunnel = await startTunnel(t, gateway.port);
  for (let i = 0; i < 3; i++) {
    const client = await Client.connect(t, tunnel.address.port);
    client.socket.write('is anyone there?');
    await client.outcome();
  }
  assert.equal(tunnel.getConnectionState(), 'connected');
});

test('a wrong token fails the start', async (t) => {
  const { gateway } = await chain(t);
  await assert.rejects(startTunnel(t, gateway.port, { token: 'wrong' }), /401/);
});

test('it is closed while it dials', async (t) => {
  const { relay, tunnel } = await chain(t);

  relay.silent = true;
  relay.cut();
  await tunnel.states.sequence(['reconnecting', 'connecting']);
  await relay.accepted.find(() => true, 'the second dial', 1);
  tunnel.close();
  assert.equal(tunnel.getConnectionState(), 'disconnected');
});
