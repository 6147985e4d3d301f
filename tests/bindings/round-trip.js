// SPDX-License-Identifier: LGPL-2.1-or-later
// The library in JavaScript programs.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import TcpTunnel from 'gi://TcpTunnel?version=1';
import System from 'system';

const TOKEN = 'bindings-0123456789';
const MIB = 1024 * 1024;
const GENEROUS_S = 30;

Gio._promisify(TcpTunnel.Endpoint.prototype, 'start_async', 'start_finish');
Gio._promisify(TcpTunnel.Endpoint.prototype, 'close_async', 'close_finish');
Gio._promisify(Gio.SocketClient.prototype, 'connect_to_host_async', 'connect_to_host_finish');
Gio._promisify(Gio.InputStream.prototype, 'read_bytes_async', 'read_bytes_finish');
Gio._promisify(Gio.OutputStream.prototype, 'splice_async', 'splice_finish');

const { CONNECTED, CONNECTING, DISCONNECTED } = TcpTunnel.TunnelState;
const { MULTIPLEXED } = TcpTunnel.TunnelMode;

function assert(condition, what) {
    if (!condition)
        throw new Error(what);
}

function assertSame(seen, wanted) {
    const [a, b] = [seen, wanted].map(value => JSON.stringify(value));
    assert(a === b, `${a} is not ${b}`);
}

/** Waits until the condition holds, which is checked after each of these signals. */
function waitFor(object, signal, condition) {
    if (condition())
        return Promise.resolve();
    return new Promise((resolve, reject) => {
        const end = settle => {
            object.disconnect(handler);
            GLib.source_remove(deadline);
            settle();
        };
        const handler = object.connect(signal, () => condition() && end(resolve));
        const deadline = GLib.timeout_add_seconds(GLib.PRIORITY_DEFAULT, GENEROUS_S, () => {
            end(() => reject(new Error(`waited in vain for ${signal}`)));
            return GLib.SOURCE_REMOVE;
        });
    });
}

/** A TCP service that sends back what it receives. */
function startEcho() {
    const service = new Gio.SocketService();
    service.connect('incoming', (_service, connection) => {
        connection.output_stream
            .splice_async(connection.input_stream, Gio.OutputStreamSpliceFlags.NONE, GLib.PRIORITY_DEFAULT, null)
            .catch(() => {})
            .then(() => connection.close(null));
        return true;
    });
    return [service, service.add_any_inet_port(null)];
}

function randomBytes(size) {
    const [, file] = GLib.file_get_contents('/proc/sys/kernel/random/uuid');
    const seed = GLib.compute_checksum_for_bytes(GLib.ChecksumType.SHA256, new GLib.Bytes(file));
    const data = new Uint8Array(size);
    let state = parseInt(seed.slice(0, 8), 16) | 1;
    for (let i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        data[i] = state;
    }
    return new GLib.Bytes(data);
}

async function exchange(connection, size = MIB) {
    const sent = randomBytes(size);
    const source = Gio.MemoryInputStream.new_from_bytes(sent);
    const sending = connection.output_stream.splice_async(
        source, Gio.OutputStreamSpliceFlags.NONE, GLib.PRIORITY_DEFAULT, null);

    const checksum = new GLib.Checksum(GLib.ChecksumType.SHA256);
    for (let left = size; left > 0;) {
        const piece = await connection.input_stream.read_bytes_async(
            Math.min(left, 65536), GLib.PRIORITY_DEFAULT, null);
        assert(piece.get_size() > 0, `the stream ended ${left} bytes early`);
        checksum.update(piece.toArray());
        left -= piece.get_size();
    }
    await sending;
    assertSame(checksum.get_string(), GLib.compute_checksum_for_bytes(GLib.ChecksumType.SHA256, sent));
}

const connect = tunnel =>
    new Gio.SocketClient().connect_to_host_async('127.0.0.1', tunnel.local_address.port, null);

/** A tunnel with a record of its signals. */
function createTunnel(properties) {
    const tunnel = new TcpTunnel.Tunnel({
        token: TOKEN,
        log_level: TcpTunnel.TunnelLogLevel.NONE,
        ...properties,
    });
    const seen = { states: [], opened: [], closed: [] };
    tunnel.connect('state-changed', (_tunnel, state) => seen.states.push(state));
    tunnel.connect('connection-opened', (_tunnel, connection) => seen.opened.push(connection.id));
    tunnel.connect('connection-closed', (_tunnel, connection) => seen.closed.push([connection.id, connection.error]));
    return [tunnel, seen];
}

const [echo, echoPort] = startEcho();
const gateway = new TcpTunnel.Gateway({ target: `127.0.0.1:${echoPort}`, token: TOKEN });

const tests = {
    async 'properties by keyword'() {
        const tunnel = new TcpTunnel.Tunnel({
            remote_uri: 'wss://example.org/',
            token: TOKEN,
            mode: MULTIPLEXED,
            reconnect_delay: 10,
            request_headers: ['X-One: 1'],
        });
        assertSame(tunnel.remote_uri, 'wss://example.org/');
        assertSame(tunnel.mode, MULTIPLEXED);
        assertSame(tunnel.reconnect_delay, 10);
        assertSame(tunnel.request_headers, ['X-One: 1']);
        assertSame(tunnel.max_reconnect_attempts, 6);
        assertSame(tunnel.state, DISCONNECTED);
        assertSame(tunnel.local_address, null);
    },

    // GJS would convert the string to 0.
    async 'a string for an enum'() {
        const tunnel = new TcpTunnel.Tunnel({ mode: MULTIPLEXED });
        for (const [use, message] of [
            [() => new TcpTunnel.Tunnel({ mode: 'multiplexed' }), "the property mode is an enum: 'multiplexed' is no number"],
            [() => new TcpTunnel.Gateway({ proxyProtocol: 'v2' }), 'proxyProtocol'],
            [() => new TcpTunnel.Forward({ kind: 'socks' }), 'kind'],
            [() => new TcpTunnel.ReverseTunnel({ resumption: 'off' }), 'resumption'],
            [() => { tunnel.mode = 'auto'; }, 'mode'],
            [() => { tunnel.log_level = 'debug'; }, 'log_level'],
            [() => { tunnel.logLevel = 'debug'; }, 'logLevel'],
            [() => { tunnel.mode = 77; }, '77 is not a valid value'],
        ]) {
            let caught;
            try {
                use();
            } catch (error) {
                caught = error;
            }
            assert(caught?.message.includes(message), `${use}: ${caught}`);
        }
        assertSame(tunnel.mode, MULTIPLEXED);
        tunnel.mode = TcpTunnel.TunnelMode.AUTO;
        assertSame(tunnel.mode, TcpTunnel.TunnelMode.AUTO);
    },

    async 'a bad URI'() {
        const [tunnel] = createTunnel({ remote_uri: 'http://127.0.0.1/' });
        let caught;
        try {
            await tunnel.start_async(null);
        } catch (error) {
            caught = error;
        }
        assert(caught?.matches(TcpTunnel.TunnelError, TcpTunnel.TunnelError.INVALID_ARGUMENT), `${caught}`);
        assert(!caught.message.includes(TOKEN), 'the message holds the token');
    },

    async 'singleton'() {
        const [tunnel, seen] = createTunnel({ remote_uri: gateway.uri });
        await tunnel.start_async(null);
        for (let i = 1; i <= 2; i++) {
            const connection = await connect(tunnel);
            await exchange(connection);
            connection.close(null);
            await waitFor(tunnel, 'connection-closed', () => seen.closed.length === i);
            await waitFor(tunnel, 'state-changed', () => seen.states.at(-1) === DISCONNECTED);
        }
        const states = [CONNECTING, CONNECTED, DISCONNECTED];
        assertSame(seen.states, [...states, ...states]);
        assertSame(seen.closed, seen.opened.map(id => [id, null]));
        assertSame(tunnel.get_statistics().bytes_received, 2 * MIB);
        assertSame(tunnel.get_statistics().protocol, 'resumable/1');
        const metrics = gateway.get_metrics();
        assertSame(metrics.get_dial_buckets().reduce((sum, n) => sum + Number(n), 0), metrics.dials_connected);
        assertSame(metrics.get_dial_buckets().length, metrics.get_bounds().length + 1);
        tunnel.close();
    },

    async 'multiplexed'() {
        const [tunnel, seen] = createTunnel({ remote_uri: gateway.uri, mode: MULTIPLEXED });
        await tunnel.start_async(null);
        assertSame(tunnel.state, CONNECTED);
        const connections = await Promise.all(Array.from({ length: 8 }, () => connect(tunnel)));
        await Promise.all(connections.map(connection => exchange(connection)));
        await waitFor(tunnel, 'connection-opened', () => seen.opened.length === 8);
        const open = tunnel.get_connections();
        assertSame(open.get_n_items(), 8);
        assertSame(open.get_item(0).bytes_sent, MIB);
        connections.forEach(connection => connection.close(null));
        await waitFor(tunnel, 'connection-closed', () => seen.closed.length === 8);
        assertSame(open.get_n_items(), 0);
        assertSame(seen.closed.map(([id]) => id).sort(), seen.opened.sort());
        assert(tunnel.active, 'it runs');
        await tunnel.close_async(null);
        assert(!tunnel.active, 'it does not run any more');
        await waitFor(tunnel, 'state-changed', () => seen.states.at(-1) === DISCONNECTED);
        assertSame(seen.states, [CONNECTING, CONNECTED, DISCONNECTED]);
    },

    async 'several listeners'() {
        const listeners = new Gio.ListStore({ item_type: Gio.SocketAddress });
        const other = new TcpTunnel.Gateway({ target: `127.0.0.1:${echoPort}`, token: TOKEN, listeners });
        listeners.append(Gio.InetSocketAddress.new_from_string('127.0.0.1', 0));
        await other.start_async(null);
        const ports = other.get_local_addresses().map(address => address.get_port());
        assertSame(ports.length, 2);
        for (const port of ports) {
            const [tunnel] = createTunnel({ remote_uri: `ws://127.0.0.1:${port}/` });
            await tunnel.start_async(null);
            const connection = await connect(tunnel);
            await exchange(connection);
            connection.close(null);
            tunnel.close();
        }
        other.close();
        assertSame(other.get_local_addresses(), []);
    },

    async 'a handler that throws'() {
        // GJS reports the exception as a critical message.
        GLib.log_set_always_fatal(GLib.LogLevelFlags.LEVEL_ERROR);
        const [tunnel, seen] = createTunnel({ remote_uri: gateway.uri });
        tunnel.connect('state-changed', () => {
            throw new Error('on purpose');
        });
        await tunnel.start_async(null);
        const connection = await connect(tunnel);
        await exchange(connection);
        connection.close(null);
        await waitFor(tunnel, 'state-changed', () => seen.states.at(-1) === DISCONNECTED);
        tunnel.close();
    },
};

async function run() {
    let status = 0;
    let number = 0;
    await gateway.start_async(null);
    print(`1..${Object.keys(tests).length}`);
    for (const [name, test] of Object.entries(tests)) {
        number++;
        try {
            await test();
            print(`ok ${number} ${name}`);
        } catch (error) {
            status = 1;
            print(`not ok ${number} ${name}\n# ${error}\n# ${error.stack}`);
        }
    }
    gateway.close();
    echo.stop();
    return status;
}

// This is not awaited at the top level, where GJS 1.74 would poll for it.
const loop = new GLib.MainLoop(null, false);
let status = 1;
run().then(result => {
    status = result;
}).finally(() => loop.quit());
loop.run();
System.exit(status);
