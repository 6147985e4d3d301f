// SPDX-License-Identifier: LGPL-2.1-or-later
// The first program for limrun's client in docs/guide/limrun.md.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import test from 'node:test';
import { promisify } from 'node:util';
import { TOKEN, Target, startGateway } from './support.mjs';

test('the program of the guide works', async (t) => {
  const target = await new Target().start(t);
  const gateway = await startGateway(t, target.port);
  const page = await readFile(process.env.TCP_TUNNEL_LIMRUN_GUIDE, 'utf8');
  const program = /^```\n(import .*?)^```$/ms.exec(page)[1]
    .replace('wss://example.com/instance', `ws://127.0.0.1:${gateway.port}/`)
    .replace('your-token', TOKEN);

  await writeFile('guide-program.mjs', program);
  const { stdout } = await promisify(execFile)(process.execPath, ['guide-program.mjs']);
  assert.match(stdout, /^127\.0\.0\.1 \d+ connecting\n$/);
});
