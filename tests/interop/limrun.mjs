// SPDX-License-Identifier: LGPL-2.1-or-later
// Starts limrun's client for the tests.

import { startTcpTunnel } from '@limrun/api/tunnel';
import { WebSocket } from 'ws';
import { Log, TOKEN, defer } from './support.mjs';

// limrun's client removes all listeners from a WebSocket before it closes it. If this happens during the dial,
// because the client is closed or its TCP client leaves, then ws emits an error that nothing handles, and the
// process ends.
const { close } = WebSocket.prototype;
WebSocket.prototype.close = function (...args) {
  if (this.readyState === WebSocket.CONNECTING) this.on('error', () => {});
  close.apply(this, args);
};

/** A tunnel to a port. Its `states` are the states that it entered after its start. */
export async function startLimrunTunnel(t, port, mode, { token = TOKEN, path = '/', ...options } = {}) {
  const tunnel = await startTcpTunnel(`ws://127.0.0.1:${port}${path}`, token, '127.0.0.1', 0, {
    mode,
    logLevel: 'none',
    reconnectDelay: 20,
    ...options,
  });
  tunnel.states = new Log();
  tunnel.onConnectionStateChange((state) => tunnel.states.add(state));
  defer(t, () => tunnel.close());
  return tunnel;
}
