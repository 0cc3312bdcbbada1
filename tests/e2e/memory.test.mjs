// What the hub holds in memory, as the system sees it. Release build only: the sanitizers keep what was freed.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { joinCrowd } from './lib/crowd.mjs';
import { startHub } from './lib/hub.mjs';

const CLIENTS = 3000;

async function residentKb(pid) {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Rss: +(\d+) kB/m.exec(text)[1]);
}

test('goes back to the system when a crowd has left', async t => {
  const hub = await startHub(t, { config: { client: { insecure: true } } });
  await joinCrowd(hub, 'stays').grow(10);
  const before = await residentKb(hub.pid);
  const crowd = joinCrowd(hub, 'crowded');
  await crowd.grow(CLIENTS);
  const grownKb = await residentKb(hub.pid) - before;
  assert.ok(grownKb > CLIENTS, `${CLIENTS} clients are ${grownKb} KB`);
  crowd.leave();
  await hub.waitForLine(line => line.includes(' memory given_back clients=10 most=3010 '));
  const leftKb = await residentKb(hub.pid) - before;
  assert.ok(leftKb < grownKb / 3, `${leftKb} of ${grownKb} KB are left`);
});
