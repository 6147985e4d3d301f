// SPDX-License-Identifier: LGPL-2.1-or-later
// limrun's own client as a subject of the benchmark: limrun-client.mjs URL TOKEN MODE
import { startTcpTunnel } from '@limrun/api/tunnel';

const [url, token, mode] = process.argv.slice(2);
const tunnel = await startTcpTunnel(url, token, '127.0.0.1', 0, { mode, logLevel: 'error' });
console.log(`listening ${tunnel.address.port}`);
