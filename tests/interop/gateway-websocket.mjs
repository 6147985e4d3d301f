// SPDX-License-Identifier: LGPL-2.1-or-later
// Plain WebSocket clients of npm's ws against our gateway, some of which behave unusually.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import test from 'node:test';
import { WebSocket } from 'ws';
import { collect, pong, sendFragmented, tagged } from './peers.mjs';
import { Log, MIB, TOKEN, defer, listen, startGateway, within } from './support.mjs';

/** A gateway in front of a service that echoes. */
async function chain(t) {
  const accepted = new Log();
  const server = net.createServer((socket) => {
    accepted.add(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const gateway = await startGateway(t, await listen(t, server));
  defer(t, () => accepted.entries.forEach((socket) => socket.destroy()));
  return { accepted, gateway };
}

function request(t, gateway, path, token = TOKEN) {
  const websocket = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`, {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    perMessageDeflate: { threshold: 0 },
  });
  websocket.on('error', () => {});
  defer(t, () => websocket.terminate());
  return websocket;
}

async function connect(t, gateway, path) {
  const websocket = request(t, gateway, path);
  websocket.messages = collect(websocket);
  await within(once(websocket, 'open'), 'the WebSocket');
  return websocket;
}

/** Waits until `wanted` has come back, in any number of messages. */
async function echoed(websocket, wanted, payload = (data) => data) {
  let back = Buffer.alloc(0);
  await websocket.messages.find(({ data }) => {
    back = Buffer.concat([back, payload(data)]);
    return back.length >= wanted.length;
  }, `${wanted.length} bytes to come back`);
  assert.ok(back.equals(wanted));
}

const raw = () => `/?sessionId=${randomUUID()}`;

test('no compression, no protocol, whatever is offered', async (t) => {
  const { gateway } = await chain(t);
  const websocket = await connect(t, gateway, raw());
  assert.equal(websocket.extensions, '');
  assert.equal(websocket.protocol, '');
});

test('raw: large, fragmented, text and empty messages, a ping between', async (t) => {
  const { accepted, gateway } = await chain(t);
  const websocket = await connect(t, gateway, raw());
  const large = randomBytes(20 * MIB);
  const parts = [3, 0, 100_000].map((size) => randomBytes(size));

  const answered = pong(websocket, 'still there?');
  websocket.send(large);
  websocket.send(Buffer.alloc(0));
  websocket.send(parts[0], { fin: false });
  websocket.ping('still there?');
  sendFragmented(websocket, parts.slice(1));
  websocket.send('grüße');

  await echoed(websocket, Buffer.concat([large, ...parts, Buffer.from('grüße')]));
  await answered;
  assert.ok(websocket.messages.entries.every(({ data, isBinary }) => isBinary && data.length > 0));
  assert.equal(accepted.entries.length, 1);
});

test('raw: close code 1000 both ways', async (t) => {
  const { accepted, gateway } = await chain(t);

  const leaving = await connect(t, gateway, raw());
  leaving.send('hello');
  await echoed(leaving, Buffer.from('hello'));
  const ended = once(accepted.entries[0], 'close');
  leaving.close(1000);
  await within(ended, 'the target to be told');

  const left = await connect(t, gateway, raw());
  left.send('hello');
  await echoed(left, Buffer.from('hello'));
  const closed = once(left, 'close');
  accepted.entries[1].end('bye');
  assert.equal((await within(closed, 'the WebSocket to close'))[0], 1000);
  await echoed(left, Buffer.from('hellobye'));
});

for (const query of ['mode=multiplexed', 'port=5555']) {
  test(`tagged by ${query}`, async (t) => {
    const { accepted, gateway } = await chain(t);
    const websocket = await connect(t, gateway, `/?${query}`);
    const data = randomBytes(MIB);
    const payloads = (id) => (message) => (message.readUInt32BE(0) === id ? message.subarray(4) : Buffer.alloc(0));

    for (const id of [7, 0xffffffff]) {
      sendFragmented(websocket, [tagged(id).subarray(0, 2), Buffer.concat([tagged(id).subarray(2), data])]);
      await echoed(websocket, data, payloads(id));
    }
    accepted.entries[0].end();
    await websocket.messages.find(({ data }) => data.equals(tagged(7)), 'the close signal of 7');
    assert.equal(accepted.entries.length, 2);
  });
}

test('tagged: unexpected messages are ignored, and a closed id is not opened again', async (t) => {
  const { accepted, gateway } = await chain(t);
  const websocket = await connect(t, gateway, '/?mode=multiplexed');

  websocket.send(tagged(1, Buffer.from('one')));
  await websocket.messages.find(({ data }) => data.equals(tagged(1, Buffer.from('one'))), 'the echo of 1');
  const ended = once(accepted.entries[0], 'close');
  websocket.send(tagged(1));
  websocket.send(tagged(1));
  await within(ended, 'the end at the target');

  websocket.send(tagged(1, Buffer.from('one again')));
  websocket.send(tagged(99));
  websocket.send('txt');
  for (let size = 0; size < 4; size++) websocket.send(Buffer.alloc(size));

  websocket.send(tagged(2, Buffer.from('two')));
  await websocket.messages.find(({ data }) => data.equals(tagged(2, Buffer.from('two'))), 'the echo of 2');
  assert.equal(accepted.entries.length, 2);
});

for (const [name, path, token, status] of [
  ['no token', '/', '', 401],
  ['a wrong token', '/', 'wrong', 401],
  ['another path', '/elsewhere', TOKEN, 404],
]) {
  test(`${name} is answered ${status}, readably`, async (t) => {
    const { accepted, gateway } = await chain(t);
    const websocket = request(t, gateway, path, token);
    const [, response] = await within(once(websocket, 'unexpected-response'), 'an answer');
    assert.equal(response.statusCode, status);
    assert.ok((await response.setEncoding('utf8').toArray()).join('').trim().length > 0);
    assert.equal(accepted.entries.length, 0);
  });
}
