// SPDX-License-Identifier: LGPL-2.1-or-later
// A program that exits while its tunnel and its gateway run, either at the end of the script or before.

import TcpTunnel from 'gi://TcpTunnel?version=1';
import System from 'system';

const TOKEN = 'bindings-0123456789';

const gateway = new TcpTunnel.Gateway({ target: '127.0.0.1:9', token: TOKEN });
gateway.start(null);
const tunnel = new TcpTunnel.Tunnel({
    remoteUri: gateway.uri,
    token: TOKEN,
    mode: TcpTunnel.TunnelMode.MULTIPLEXED,
});
tunnel.connect('state-changed', () => {});
tunnel.start(null);
if (ARGV.includes('exit'))
    System.exit(0);
