// What the service manager is told: the start, reloads, the end, and that the loop turns.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startHub } from './lib/hub.mjs';
import { startServiceManager } from './lib/service_manager.mjs';
import { openSession } from './lib/session.mjs';

const config = { client: { insecure: true } };

test('ready when it listens, and nothing before', async t => {
  const manager = await startServiceManager(t);
  const hub = await startHub(t, { config, env: manager.env });
  await manager.hears(/^READY=1 \| STATUS=0 connections$/);
  assert.equal(manager.lines.length, 1);
  assert.equal((await hub.request('GET', '/health')).status, 200);
});

test('a reload has a beginning and an end, also one that changes nothing', async t => {
  const manager = await startServiceManager(t);
  const hub = await startHub(t, { config, env: manager.env });
  await manager.hears(/^READY=1/);
  for (const change of [{ log: { level: 'debug' } }, '{ "no": json }']) {
    const from = manager.lines.length;
    await hub.reload(change);
    await manager.hears(/^READY=1/, { from });
    const [reloading, ready] = manager.lines.slice(from);
    assert.match(reloading, /^RELOADING=1 \| MONOTONIC_USEC=\d+$/);
    assert.match(ready, /^READY=1 \| STATUS=\d+ connections$/);
  }
});

test('the end: how long it may take', async t => {
  const manager = await startServiceManager(t);
  const hub = await startHub(t, { config: { ...config, shutdown: { drain: '2m', timeout: '10s' } }, env: manager.env });
  hub.signal('SIGTERM');
  await manager.hears(/^STOPPING=1 \| EXTEND_TIMEOUT_USEC=190000000 \| STATUS=/); // both, and a minute for the disk
  assert.deepEqual(await hub.exited, { code: 0, signal: null });
});

test('the watchdog hears of the loop until the end, with a line for people', async t => {
  const manager = await startServiceManager(t);
  const hub = await startHub(t, { config, env: { ...manager.env, WATCHDOG_USEC: '20000' } });
  await manager.hears(/^WATCHDOG=1 \| STATUS=0 connections$/);
  await openSession(t, hub);
  await manager.hears(/^WATCHDOG=1 \| STATUS=1 connections$/);
  // An end that waits for a client is no stuck loop.
  const deaf = await openSession(t, hub);
  deaf.ws._socket.pause();
  hub.signal('SIGTERM');
  await manager.hears(/^STOPPING=1/);
  await manager.hears(/^WATCHDOG=1 .* ending$/);
  deaf.ws.terminate();
  assert.deepEqual(await hub.exited, { code: 0, signal: null });
});

test('a watchdog of another process is none', async t => {
  const manager = await startServiceManager(t);
  const hub = await startHub(t, { config, env: { ...manager.env, WATCHDOG_USEC: '2000', WATCHDOG_PID: '1' } });
  await manager.hears(/^READY=1/);
  for (let i = 0; i < 20; i += 1) await hub.request('GET', '/health');
  await hub.stop();
  await manager.hears(/^STOPPING=1/);
  assert.equal(manager.lines.length, 2);
});

test('an address where nobody listens is no reason not to run', async t => {
  const hub = await startHub(t, { config, env: { NOTIFY_SOCKET: '/nonexistent/notify', WATCHDOG_USEC: '2000' } });
  assert.ok(await hub.waitForLine(line => / warn notify not_told why=/.test(line)));
  assert.equal((await hub.request('GET', '/health')).status, 200);
  await hub.stop();
});
