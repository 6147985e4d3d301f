// SPDX-License-Identifier: LGPL-2.1-or-later
// WebSocket servers that follow limrun's two protocols.

import http from 'node:http';
import net from 'node:net';
import { WebSocketServer } from 'ws';
import { Log, TOKEN, defer, listen, within } from './support.mjs';

/**
 * A WebSocket server: `serve` gets each WebSocket and the URL of its request. The first requests are answered with
 * the statuses in `answers`, or with promised ones, before any WebSocket is accepted.
 */
export class Peer {
  /** One entry for every request: its URL and headers. */
  requests = new Log();
  sockets = new Log();
  answers = [];

  static async start(t, serve) {
    const peer = new Peer();
    const server = http.createServer();
    // The server offers compression, which a tunnel must not accept.
    const websockets = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } });
    server.on('upgrade', async (request, socket, head) => {
      const url = new URL(request.url, 'ws://peer');
      peer.requests.add({ url, headers: request.headers });
      const authorised = request.headers.authorization === `Bearer ${TOKEN}`;
      const answer = (await peer.answers.shift()) ?? (authorised ? undefined : 401);
      if (answer !== undefined) {
        refuse(socket, answer);
        return;
      }
      websockets.handleUpgrade(request, socket, head, (websocket) => {
        websocket.on('error', () => {});
        peer.sockets.add(websocket);
        serve(websocket, url);
      });
    });
    peer.port = await listen(t, server);
    defer(t, () => peer.sockets.entries.forEach((websocket) => websocket.terminate()));
    return peer;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/device?zone=a%20b`;
  }

  /** Waits for the WebSocket that is accepted as number `index`. */
  socket(index = 0) {
    return this.sockets.find(() => true, `WebSocket ${index}`, index);
  }
}

function refuse(socket, answer) {
  const { status, headers = '' } = typeof answer === 'number' ? { status: answer } : answer;
  const body = `status ${status}`;
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\n${headers}` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** The raw protocol: each session keeps its target connection while WebSockets come and go. */
export function rawProtocol(targetPort) {
  const sessions = new Map();

  return (websocket, url) => {
    const id = url.searchParams.get('sessionId');
    let session = sessions.get(id);
    if (!session) {
      session = { target: net.connect(targetPort, '127.0.0.1'), websocket: undefined };
      sessions.set(id, session);
      session.target.on('error', () => {});
      session.target.on('data', (data) => session.websocket.send(data));
      session.target.on('end', () => session.websocket?.close(1000));
    }

    session.websocket = websocket;
    session.target.resume();
    websocket.on('message', (data) => session.target.write(data));
    websocket.on('close', (code) => {
      if (session.websocket !== websocket) return;
      session.websocket = undefined;
      session.target.pause();
      // An answer to our own close contains no information about the client.
      if (code === 1000 && !websocket.closing) session.target.end();
    });
  };
}

/** The tagged protocol: a connection id before each payload, and an empty payload closes the connection. */
export function taggedProtocol(targetPort) {
  return (websocket) => {
    const targets = new Map();

    const open = (id) => {
      const target = net.connect(targetPort, '127.0.0.1');
      targets.set(id, target);
      target.on('error', () => {});
      target.on('data', (data) => websocket.send(tagged(id, data)));
      target.on('close', () => {
        targets.delete(id);
        websocket.send(tagged(id));
      });
      return target;
    };

    websocket.on('message', (message) => {
      const id = message.readUInt32BE(0);
      const payload = message.subarray(4);
      if (payload.length > 0) (targets.get(id) ?? open(id)).write(payload);
      else targets.get(id)?.end();
    });
    websocket.on('close', () => targets.forEach((target) => target.destroy()));
  };
}

export function tagged(id, payload = Buffer.alloc(0)) {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(id);
  return Buffer.concat([header, payload]);
}

/** Records the messages of a WebSocket from now on. */
export function collect(websocket) {
  const messages = new Log();
  websocket.on('message', (data, isBinary) => messages.add({ data, isBinary }));
  return messages;
}

/** Waits for the answer to a ping. Unsolicited pongs may come before it. */
export function pong(websocket, text) {
  const answered = new Promise((resolve) => {
    websocket.on('pong', (payload) => payload.toString() === text && resolve());
  });
  return within(answered, `the pong "${text}"`);
}

/** Sends one message in several frames. */
export function sendFragmented(websocket, parts) {
  parts.forEach((part, i) => websocket.send(part, { binary: true, fin: i === parts.length - 1 }));
}
