#!/usr/bin/env -S gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later
// A local TCP port that leads through a gateway.
//
//   TCP_TUNNEL_TOKEN=… ./tunnel.js wss://example.org/

import GLib from 'gi://GLib';
import TcpTunnel from 'gi://TcpTunnel?version=1';
import System from 'system';

const SIGINT = 2;
const stateNames = Object.keys(TcpTunnel.TunnelState);

const loop = new GLib.MainLoop(null, false);
let status = 0;

const tunnel = new TcpTunnel.Tunnel({
    remote_uri: ARGV[0],
    token: GLib.getenv('TCP_TUNNEL_TOKEN'),
});
tunnel.connect('state-changed', (_tunnel, state) => {
    print(stateNames.find(name => TcpTunnel.TunnelState[name] === state));
});
tunnel.connect('failed', (_tunnel, error) => {
    printerr(error.message);
    status = 1;
    loop.quit();
});
tunnel.start(null);
print(`listening on ${tunnel.local_address.to_string()}`);

GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, SIGINT, () => {
    loop.quit();
    return GLib.SOURCE_REMOVE;
});
loop.run();
tunnel.close();
System.exit(status);
