// SPDX-License-Identifier: LGPL-2.1-or-later
// All ways in which a target can end, with limrun's client in both modes and our gateway: the tunnel continues to
// run, and the next TCP client is served.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { startLimrunTunnel } from './limrun.mjs';
import { Client, FickleTarget, MIB, Relay, Target, startGateway, within } from './support.mjs';

// How long TCP clients stay after the end of their target, in the long version of this test.
const STAY_MS = Number(process.env.TCP_TUNNEL_STAY_MS ?? 0);

const ENDS = {
  'ends at once': (socket) => socket.end(),
  'ends after a request': (socket) => socket.once('data', () => socket.end('the end')),
  'ends, and sends much before': (socket) => socket.once('data', () => socket.end(Buffer.alloc(8 * MIB, 'x'))),
  'closes its side and reads on': (socket) => socket.once('data', () => socket.end('half').resume()),
  'resets at once': (socket) => socket.resetAndDestroy(),
  'resets after a request': (socket) => socket.once('data', () => socket.resetAndDestroy()),
  'resets in the middle of its answer': (socket) =>
    socket.once('data', () => socket.write(Buffer.alloc(MIB), () => socket.resetAndDestroy())),
  'is down': undefined,
};

/**
 * A target with this behaviour, a gateway in front of it, and a tunnel through a relay that counts connections.
 * Without `end` the target is down.
 */
async function chain(t, end, mode) {
  const target = await new FickleTarget().start(t);
  const gateway = await startGateway(t, target.port);
  const relay = await Relay.start(t, gateway.port);
  const tunnel = await startLimrunTunnel(t, relay.port, mode);
  if (end) target.behave = end;
  else await target.goDown();
  return { target, gateway, relay, tunnel };
}

/** Takes longer than several reconnection attempts of limrun's client. */
async function meanwhile(t) {
  const target = await new Target().start(t);
  const other = await startGateway(t, target.port);
  const tunnel = await startLimrunTunnel(t, other.port, 'singleton');
  const client = await Client.connect(t, tunnel.address.port);
  for (let i = 0; i < 10; i++) await client.exchange(MIB, MIB);
  await sleep(STAY_MS);
  await client.close();
}

for (const [name, end] of Object.entries(ENDS)) {
  test(`singleton: a target that ${name}`, async (t) => {
    const { target, gateway, relay, tunnel } = await chain(t, end, 'singleton');
    const client = await Client.connect(t, tunnel.address.port);
    client.socket.write('request');

    // The WebSocket is served once and then held: the first 'connected' is for the original one, the second for that
    // after the break.
    await tunnel.states.sequence(['connected', 'disconnected', 'reconnecting', 'connected']);
    const accepted = target.connections.entries.length;
    assert.ok(accepted <= 1);
    await meanwhile(t);
    assert.equal(tunnel.getConnectionState(), 'connected');
    // The first dial, and no more than two after the end.
    assert.ok(relay.accepted.entries.length <= 3, `${relay.accepted.entries.length} dials`);
    assert.equal(target.connections.entries.length, accepted);

    // limrun's client cannot end its TCP client. What the TCP client sends now is lost, which is logged.
    client.socket.write('is anyone there?');
    await client.close();
    if (name === 'ends after a request')
      await gateway.stderr.find((line) => /\d+ bytes that the client interop sent/.test(line), 'a warning of the loss');

    await target.goUp();
    const dials = relay.accepted.entries.length;
    await tunnel.states.find((state) => state === 'disconnected', 'the end of the client', tunnel.states.entries.length - 1);
    const next = await Client.connect(t, tunnel.address.port);
    next.socket.write('hello');
    assert.equal((await next.read(5)).toString(), 'hello');
    assert.equal(relay.accepted.entries.length, dials + 1);
    const left = tunnel.states.entries.length;
    await next.close();
    await tunnel.states.sequence(['disconnected'], left);
    assert.ok(!gateway.stderr.entries.some((line) => line.includes('did not come back')));
    assert.equal(await gateway.stop(), 0);
  });

  test(`multiplexed: a target that ${name}`, async (t) => {
    const { target, relay, tunnel } = await chain(t, end, 'multiplexed');

    for (let i = 0; i < 3; i++) {
      const client = await Client.connect(t, tunnel.address.port);
      client.socket.write('request');
      await client.outcome();
      await client.close();
    }
    await target.goUp();
    const next = await Client.connect(t, tunnel.address.port);
    next.socket.write('hello');
    assert.equal((await next.read(5)).toString(), 'hello');
    assert.equal(tunnel.getConnectionState(), 'connected');
    assert.equal(relay.accepted.entries.length, 1);
  });
}

test('singleton: one client after the other, each of a target that ends', async (t) => {
  const { target, gateway, relay, tunnel } = await chain(t, ENDS['ends after a request'], 'singleton');

  for (let i = 1; i <= 5; i++) {
    const seen = tunnel.states.entries.length;
    const client = await Client.connect(t, tunnel.address.port);
    client.socket.write('request');
    assert.equal((await client.read(7)).toString(), 'the end');
    await tunnel.states.sequence(['connected', 'disconnected', 'reconnecting', 'connected'], seen);
    const held = tunnel.states.entries.length;
    await client.close();
    await tunnel.states.sequence(['disconnected'], held);
    assert.equal(target.connections.entries.length, i);
  }
  assert.ok(relay.accepted.entries.length <= 15);
  assert.equal(await gateway.stop(), 0);
});

test('singleton: a held client that is cut off is held again', async (t) => {
  const { target, relay, tunnel } = await chain(t, ENDS['ends at once'], 'singleton');
  const client = await Client.connect(t, tunnel.address.port);
  await tunnel.states.sequence(['connected', 'disconnected', 'reconnecting', 'connected']);

  for (let i = 0; i < 3; i++) {
    const seen = tunnel.states.entries.length;
    relay.cut();
    await tunnel.states.sequence(['disconnected', 'reconnecting', 'connected'], seen);
  }
  assert.equal(target.connections.entries.length, 1);
  await client.close();
});

test('singleton: the TCP client resets, and the next is served', async (t) => {
  const { target, relay, tunnel } = await chain(t, (socket) => socket.pipe(socket), 'singleton');

  for (let i = 1; i <= 3; i++) {
    const client = await Client.connect(t, tunnel.address.port);
    client.socket.write('hello');
    assert.equal((await client.read(5)).toString(), 'hello');
    const seen = tunnel.states.entries.length;
    client.socket.resetAndDestroy();
    await tunnel.states.sequence(['disconnected'], seen);
    await within(target.ended(i - 1), 'the end at the target');
  }
  assert.equal(relay.accepted.entries.length, 3);
});

test('singleton: a gateway that is drained or closed does not wait for a held client', async (t) => {
  const { gateway, tunnel } = await chain(t, ENDS['ends at once'], 'singleton');
  await Client.connect(t, tunnel.address.port);
  await tunnel.states.sequence(['connected', 'disconnected', 'reconnecting', 'connected']);
  assert.equal(await gateway.stop(), 0);
});
