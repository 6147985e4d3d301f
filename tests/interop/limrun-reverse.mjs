// SPDX-License-Identifier: LGPL-2.1-or-later
// limrun's client of reverse tunnels against our gateway.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { once } from 'node:events';
import test from 'node:test';
import { startReverseTcpTunnel } from '@limrun/api/tunnel';
import './limrun.mjs';
import { Client, Log, MIB, Relay, TOKEN, Target, defer, freePort, startGateway } from './support.mjs';

/** Our gateway, which may listen on one port. */
async function startServer(t, ...options) {
  const reversePort = await freePort();
  const gateway = await startGateway(t, 1, '--reverse-ports', `${reversePort}-${reversePort}`, ...options);
  gateway.reversePort = reversePort;
  return gateway;
}

/** limrun's client in front of a service. */
async function startReverse(t, gateway, localPort, { remotePort = gateway.reversePort, path = '/', ...options } = {}) {
  const tunnel = await startReverseTcpTunnel(
    `ws://127.0.0.1:${gateway.port}${path}reverse-tunnel?remotePort=${remotePort}`, TOKEN,
    { localPort, logLevel: 'none', ...options });
  tunnel.states = new Log();
  tunnel.onConnectionStateChange((state) => tunnel.states.add(state));
  defer(t, () => tunnel.close());
  return tunnel;
}

test('it reports its address, and connections reach the service', async (t) => {
  const service = await new Target().start(t);
  const gateway = await startServer(t);
  const tunnel = await startReverse(t, gateway, service.port);

  assert.deepEqual(tunnel.remoteAddress, { address: '127.0.0.1', port: gateway.reversePort });
  assert.equal(tunnel.getConnectionState(), 'connected');
  const clients = await Promise.all(
    Array.from({ length: 32 }, async () => {
      const client = await Client.connect(t, gateway.reversePort);
      await client.exchange(MIB, MIB);
      await client.exchange(3, 70_000);
      return client;
    }),
  );
  assert.equal(service.connections.entries.length, 32);
  await Promise.all(clients.map((client) => client.close()));
  assert.equal(await gateway.stop(), 0);
});

test('below the path of the gateway', async (t) => {
  const service = await new Target().start(t);
  const gateway = await startServer(t, '--path', '/v1/instance');
  await startReverse(t, gateway, service.port, { path: '/v1/instance/' });

  const client = await Client.connect(t, gateway.reversePort);
  await client.exchange(1000, 1000);
  await assert.rejects(startReverse(t, gateway, service.port, { path: '/' }), /404/);
});

test('an answer of 64 KiB before the service closes', async (t) => {
  const answer = randomBytes(64 * 1024);
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(t, () => server.close());
  const gateway = await startServer(t);
  await startReverse(t, gateway, server.address().port);

  for (let i = 0; i < 20; i++) {
    const client = await Client.connect(t, gateway.reversePort);
    client.socket.write('GET');
    assert.deepEqual(await client.read(answer.length), answer);
    await client.outcome();
  }
});

test('many megabytes both ways', async (t) => {
  const service = await new Target().start(t);
  const gateway = await startServer(t);
  await startReverse(t, gateway, service.port);

  const client = await Client.connect(t, gateway.reversePort);
  await client.exchange(8 * MIB, 8 * MIB);
});

test('a service that refuses ends the connection, not the tunnel', async (t) => {
  const gateway = await startServer(t);
  const tunnel = await startReverse(t, gateway, 1);

  for (let i = 0; i < 3; i++) {
    const client = await Client.connect(t, gateway.reversePort);
    client.socket.write('is anyone there?');
    await client.outcome();
  }
  assert.equal(tunnel.getConnectionState(), 'connected');
});

test('more connections than it takes', async (t) => {
  const service = await new Target().start(t);
  const gateway = await startServer(t);
  await startReverse(t, gateway, service.port, { maxConnections: 2 });

  const clients = [];
  for (let i = 0; i < 2; i++) {
    clients.push(await Client.connect(t, gateway.reversePort));
    await clients[i].exchange(10, 10);
  }
  const third = await Client.connect(t, gateway.reversePort);
  third.socket.write('one too many');
  await third.outcome();
  await clients[0].exchange(1000, 1000);
});

test('a port that is in use, and ports that are not allowed', async (t) => {
  const gateway = await startServer(t);
  await startReverse(t, gateway, 1);

  await assert.rejects(startReverse(t, gateway, 1), /already in use/);
  await assert.rejects(startReverse(t, gateway, 1, { remotePort: 1 }), /not one of those for reverse tunnels/);
  await assert.rejects(startReverse(t, gateway, 1, { remotePort: 'x' }), /400/);
});

test('a gateway without such ports', async (t) => {
  const gateway = await startGateway(t, 1);
  await assert.rejects(startReverse(t, gateway, 1, { remotePort: 57090 }), /400/);
});

test('the port is free when the tunnel is closed, or has lost its WebSocket', async (t) => {
  const service = await new Target().start(t);
  const gateway = await startServer(t);
  const relay = await Relay.start(t, gateway.port);
  const through = { port: relay.port, reversePort: gateway.reversePort };
  const first = await startReverse(t, through, service.port);
  const client = await Client.connect(t, gateway.reversePort);
  await client.exchange(1000, 1000);

  relay.cut();
  await first.states.find((state) => state === 'disconnected', 'the end of the tunnel');
  await client.outcome();
  const second = await startReverse(t, through, service.port);
  second.close();
  await startReverse(t, through, service.port);
  const last = await Client.connect(t, gateway.reversePort);
  await last.exchange(1000, 1000);
});

test('the port of a client that no longer answers is given to the next one', async (t) => {
  const service = await new Target().start(t);
  const gateway = await startServer(t);
  const relay = await Relay.start(t, gateway.port);
  await startReverse(t, { port: relay.port, reversePort: gateway.reversePort }, service.port);

  relay.cutOneEnd();
  // The gateway has not noticed the end yet: it sends a ping, which is not answered.
  await startReverse(t, gateway, service.port);
  const client = await Client.connect(t, gateway.reversePort);
  await client.exchange(1000, 1000);
});
