// SPDX-License-Identifier: LGPL-2.1-or-later
// A typical bridge that is written with `ws`: it connects WebSockets to the TCP port given as its argument, and
// prints its own port.

import { createConnection } from 'node:net';
import { WebSocketServer, createWebSocketStream } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 1 << 28, perMessageDeflate: false });

server.on('listening', () => console.log(server.address().port));
server.on('connection', (websocket) => {
  const target = createConnection(Number(process.argv[2]), '127.0.0.1');
  const stream = createWebSocketStream(websocket);

  stream.on('error', () => target.destroy());
  target.on('error', () => websocket.terminate());
  target.pipe(stream).pipe(target);
});
