// SPDX-License-Identifier: LGPL-2.1-or-later
// Helpers of the node tests: traffic with checksums, a relay that cuts connections, and our command.

import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { access } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

export const TOKEN = 'interop-0123456789';
export const MIB = 1024 * 1024;

const GENEROUS_MS = 30_000;

/** Rejects with a description of what did not happen, where a test would otherwise hang. */
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), GENEROUS_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const deferred = new WeakMap();

/**
 * Registers a function that undoes something after a test. The last one is called first, unlike those of t.after ().
 */
export function defer(t, undo) {
  if (!deferred.has(t)) {
    const all = [];
    deferred.set(t, all);
    t.after(async () => {
      while (all.length > 0) await all.pop()();
    });
  }
  deferred.get(t).push(undo);
}

export const sha256 = (data) => createHash('sha256').update(data).digest();

/** A list whose entries can be waited for. */
export class Log extends EventEmitter {
  entries = [];

  add(entry) {
    this.entries.push(entry);
    this.emit('added');
  }

  /** Waits for the first entry from `from` on that `matches`. */
  find(matches, what, from = 0) {
    const search = async () => {
      for (let i = from; ; i++) {
        while (i >= this.entries.length) await once(this, 'added');
        if (matches(this.entries[i])) return this.entries[i];
      }
    };
    return within(search(), what);
  }

  /** Waits until these entries have appeared in this order, with any others between them. */
  async sequence(wanted, from = 0) {
    let at = from;
    for (const entry of wanted) {
      await this.find((seen) => seen === entry, `"${entry}" of ${wanted.join(', ')}`, at);
      at = this.entries.indexOf(entry, at) + 1;
    }
  }
}

/** Reads exact amounts of data from a socket. */
export class Reader {
  #chunks;
  #rest = Buffer.alloc(0);

  constructor(socket) {
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** Reads `n` bytes, or returns null if the stream ended exactly before them. */
  async read(n) {
    const parts = [this.#rest];
    let have = this.#rest.length;
    while (have < n) {
      const { value, done } = await this.#chunks.next();
      if (done && have === 0) return null;
      if (done) throw new Error(`the stream ended after ${have} of ${n} bytes`);
      parts.push(value);
      have += value.length;
    }
    const all = Buffer.concat(parts);
    this.#rest = all.subarray(n);
    return all.subarray(0, n);
  }

  /** Reads the rest; throws if the stream breaks instead of ending. */
  async readToEnd() {
    const parts = [this.#rest];
    for (;;) {
      const { value, done } = await this.#chunks.next();
      if (done) return Buffer.concat(parts);
      parts.push(value);
    }
  }
}

export async function listen(t, server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  defer(t, () => server.close());
  return server.address().port;
}

/**
 * A TCP service of exchanges. Request: length of the data up, length of the data down, data up. Reply, which is sent
 * while the request is still being received: data down, its SHA-256, and the SHA-256 of the data up. If `last` is set
 * in the request, then the service ends the connection after its reply.
 */
export class Target {
  connections = new Log();
  ended = new Log();

  async start(t) {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
    this.port = await listen(t, server);
    defer(t, () => this.connections.entries.forEach((socket) => socket.destroy()));
    return this;
  }

  async #serve(socket) {
    this.connections.add(socket);
    socket.on('error', () => {});
    socket.setNoDelay();
    try {
      const reader = new Reader(socket);
      for (let header; (header = await reader.read(9)); ) {
        const down = randomBytes(header.readUInt32BE(4));
        socket.write(down);
        socket.write(sha256(down));
        const up = await reader.read(header.readUInt32BE(0));
        if (!up) throw new Error('the stream ended before the data up');
        socket.write(sha256(up));
        if (header[8]) break;
      }
      socket.end();
      this.ended.add('end');
    } catch (error) {
      this.ended.add(error.code ?? error.message);
    }
  }
}

/** A TCP service whose behaviour for connections can be set, and which can be down. */
export class FickleTarget {
  connections = new Log();
  #ends = new Log();
  #server;
  behave = (socket) => socket.pipe(socket);

  async start(t) {
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      let how = 'end';
      this.connections.add(socket);
      socket.on('error', (error) => (how = error.code));
      socket.on('close', () => this.#ends.add(how));
      this.behave(socket);
    });
    this.port = await listen(t, this.#server);
    defer(t, () => this.connections.entries.forEach((socket) => socket.destroy()));
    return this;
  }

  async goDown() {
    this.connections.entries.forEach((socket) => socket.destroy());
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Makes the service an echo from now on. */
  async goUp() {
    this.behave = (socket) => socket.pipe(socket);
    if (this.#server.listening) return;
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  /**
   * Waits until `index` + 1 connections have ended, and returns how that one did: 'end', or the code of its error.
   */
  ended(index) {
    return this.#ends.find(() => true, `the end of connection ${index} at the target`, index);
  }
}

/** A TCP client of a Target. */
export class Client {
  static async connect(t, port) {
    const socket = net.connect(port, '127.0.0.1');
    await within(once(socket, 'connect'), 'a TCP connection');
    defer(t, () => socket.destroy());
    // The Reader reports errors to the test.
    socket.on('error', () => {});
    socket.setNoDelay();
    return new Client(socket);
  }

  constructor(socket) {
    this.socket = socket;
    this.reader = new Reader(socket);
  }

  /** Sends data both ways at once. Both ends check it by checksums. */
  async exchange(up, down, { last = false } = {}) {
    const header = Buffer.alloc(9);
    header.writeUInt32BE(up, 0);
    header.writeUInt32BE(down, 4);
    header[8] = last ? 1 : 0;
    const data = randomBytes(up);
    this.socket.write(header);
    this.socket.write(data);

    const reply = await this.read(down + 64);
    if (!reply) throw new Error('the stream ended before the reply');
    if (!sha256(reply.subarray(0, down)).equals(reply.subarray(down, down + 32)))
      throw new Error('what came down is not what was sent');
    if (!sha256(data).equals(reply.subarray(down + 32)))
      throw new Error('what went up is not what arrived');
  }

  /** Reads `n` bytes. */
  read(n) {
    return within(this.reader.read(n), `${n} bytes`);
  }

  /** Reads up to the end of the stream, and returns how it ended. */
  outcome() {
    const outcome = this.reader.readToEnd().then(
      () => 'end',
      (error) => error.code,
    );
    return within(outcome, 'the end of a TCP connection');
  }

  async close() {
    this.socket.destroy();
    if (!this.socket.closed) await once(this.socket, 'close');
  }
}

export async function commandExists(name) {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(join(directory, name), constants.X_OK).then(() => true, () => false);
    if (found) return true;
  }
  return false;
}

/**
 * A port for a program that cannot choose one. It is outside the range from which the system assigns ports, so that it
 * is still free a moment later.
 */
export async function freePort() {
  for (;;) {
    const server = net.createServer().listen(randomInt(10_000, 30_000), '127.0.0.1');
    const listens = await once(server, 'listening').then(() => true, () => false);
    if (!listens) continue;

    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** A TCP relay that can cut its connections. */
export class Relay {
  /** One entry for every connection that was accepted, including those that are refused. */
  accepted = new Log();
  refusing = false;
  /** If set, then connections are accepted, but the relay neither sends nor reads. */
  silent = false;
  #pairs = new Set();
  #silenced = new Set();

  static async start(t, port) {
    const relay = new Relay();
    const server = net.createServer((inner) => relay.#accept(inner, port));
    relay.port = await listen(t, server);
    defer(t, () => relay.#pairs.forEach(([a, b]) => (a.destroy(), b.destroy())));
    defer(t, () => relay.#silenced.forEach((inner) => inner.destroy()));
    return relay;
  }

  #accept(inner, port) {
    inner.on('error', () => {});
    this.accepted.add(inner);
    if (this.refusing) {
      inner.resetAndDestroy();
      return;
    }
    if (this.silent) {
      this.#silenced.add(inner);
      return;
    }

    const outer = net.connect(port, '127.0.0.1');
    const pair = [inner, outer];
    this.#pairs.add(pair);
    inner.pipe(outer).pipe(inner);
    outer.on('error', () => {});
    outer.on('close', () => {
      inner.destroy();
      this.#pairs.delete(pair);
    });
    inner.on('close', () => {
      if (!pair.halfOpen) outer.destroy();
    });
  }

  /** Breaks all connections toward both ends. */
  cut() {
    this.#pairs.forEach(([inner, outer]) => (inner.resetAndDestroy(), outer.resetAndDestroy()));
  }

  /** Breaks all connections toward the client; the other end is not notified. */
  cutOneEnd() {
    for (const pair of this.#pairs) {
      pair.halfOpen = true;
      pair[0].unpipe();
      pair[1].unpipe();
      pair[0].resetAndDestroy();
    }
  }
}

/** A run of the command under test. */
export class Command {
  stdout = new Log();
  stderr = new Log();
  /** The states that --json reports. */
  states = new Log();

  static async start(t, args, env = {}) {
    const command = new Command(t, args, env);
    await command.stdout.find(() => true, `the first line of ${args[0]}; stderr: ${command.stderr.entries}`);
    return command;
  }

  constructor(t, args, env = {}) {
    const child = spawn(process.env.TCP_TUNNEL_BIN, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.child = child;
    // Both pipes are read to the end before, so that no line is lost.
    this.exited = once(child, 'close').then(([code, signal]) => signal ?? code);
    this.#lines(child.stdout, (line) => {
      this.stdout.add(line);
      if (!args.includes('--json')) return;
      const { event, state } = JSON.parse(line);
      if (event === 'state-changed') this.states.add(state);
    });
    this.#lines(child.stderr, (line) => {
      console.error(line);
      this.stderr.add(line);
    });
    defer(t, () => {
      child.kill('SIGKILL');
      return this.exited;
    });
  }

  #lines(stream, take) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach(take);
    });
    stream.on('end', () => rest && take(rest));
  }

  /** The exit status, or the name of the signal that ended the command. */
  status() {
    return within(this.exited, 'the command to exit');
  }

  /** Asks the command to end and returns its exit status. */
  stop() {
    this.child.kill('SIGTERM');
    return this.status();
  }
}

export function secretFile(t, text) {
  const directory = mkdtempSync(join(tmpdir(), 'tcp-tunnel-'));
  defer(t, () => rmSync(directory, { recursive: true }));
  const file = join(directory, 'token');
  writeFileSync(file, text + '\n', { mode: 0o600 });
  return file;
}

/** Our gateway in front of a target. */
export async function startGateway(t, targetPort, ...options) {
  const tokens = secretFile(t, `# who may come in\ninterop:${TOKEN}`);
  const gateway = await Command.start(t, [
    'gateway', '--target', `127.0.0.1:${targetPort}`, '--token-file', tokens, ...options,
  ]);
  const [, port] = /^listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(gateway.stdout.entries[0]);
  gateway.port = Number(port);
  return gateway;
}

/** Our tunnel to a server. */
export async function startTunnel(t, url, ...options) {
  const tunnel = await Command.start(t, tunnelArguments(t, url, ...options));
  tunnel.port = JSON.parse(tunnel.stdout.entries[0]).port;
  return tunnel;
}

export function tunnelArguments(t, url, ...options) {
  return ['connect', url, '--token-file', secretFile(t, TOKEN), '--json', '--reconnect-delay', '20ms', ...options];
}
