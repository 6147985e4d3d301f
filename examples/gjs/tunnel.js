#!/usr/bin/env -S gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later
// Opens a local TCP port whose connections go through a gateway.
//
//   TCP_TUNNEL_TOKEN=… ./tunnel.js wss://example.org/

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import TcpTunnel from 'gi://TcpTunnel?version=1';
import System from 'system';

Gio._promisify(TcpTunnel.Tunnel.prototype, 'start_async', 'start_finish');

const SIGINT = 2;
const stateNames = Object.keys(TcpTunnel.TunnelState);

/** Waits for Ctrl-C, or until the tunnel has ended by itself. */
function interrupted(tunnel) {
    return new Promise((resolve, reject) => {
        tunnel.connect('failed', (_tunnel, error) => reject(error));
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, SIGINT, () => {
            resolve();
            return GLib.SOURCE_REMOVE;
        });
    });
}

async function run(remoteUri, token) {
    const tunnel = new TcpTunnel.Tunnel({remoteUri, token});
    tunnel.connect('state-changed', (_tunnel, state) => {
        print(stateNames.find(name => TcpTunnel.TunnelState[name] === state));
    });

    try {
        await tunnel.start_async(null);
        print(`listening on ${tunnel.local_address.to_string()}`);
        await interrupted(tunnel);
        return 0;
    } catch (error) {
        printerr(error.message);
        if (error.matches?.(TcpTunnel.TunnelError, TcpTunnel.TunnelError.UNAUTHORIZED))
            printerr('Is TCP_TUNNEL_TOKEN right?');
        return 1;
    } finally {
        tunnel.close();
    }
}

const token = GLib.getenv('TCP_TUNNEL_TOKEN');
if (ARGV.length !== 1 || ARGV[0].startsWith('-') || token === null) {
    printerr('usage: TCP_TUNNEL_TOKEN=TOKEN tunnel.js URL');
    System.exit(1);
}

const loop = new GLib.MainLoop(null, false);
let status = 1;
run(ARGV[0], token).then(result => {
    status = result;
}).finally(() => loop.quit());
loop.run();
System.exit(status);
