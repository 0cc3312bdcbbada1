// What the hub holds in memory, as the system sees it. Release build only: the sanitizers keep what was freed.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { joinCrowd } from './lib/crowd.mjs';
import { startHub } from './lib/hub.mjs';
import { openStream } from './lib/stream.mjs';

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

/** KB that each further connection takes, of many. */
async function costOf(hub, open) {
  const many = async n => { for (let i = 0; i < n; i += 1) await open(); };
  await many(200); // what is made once, or in advance
  const before = await residentKb(hub.pid);
  await many(1500);
  return (await residentKb(hub.pid) - before) / 1500;
}

test('a client over an HTTP stream takes no more than one over a WebSocket', async t => {
  const config = { client: { insecure: true, ping_interval: '10m' }, http_stream: { enabled: true }, sse: { enabled: true } };
  const start = () => startHub(t, { config });
  const withSockets = await start();
  const crowd = joinCrowd(withSockets, 'news');
  const socketKb = await costOf(withSockets, () => crowd.grow(1));
  for (const transport of ['http_stream', 'sse']) {
    const hub = await start();
    const streamKb = await costOf(hub, () => openStream(t, hub, transport));
    assert.ok(streamKb < 1.1 * socketKb, `${transport}: ${streamKb} KB, a WebSocket: ${socketKb} KB`);
  }
});
