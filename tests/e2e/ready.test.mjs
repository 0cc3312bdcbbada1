// GET /health and GET /ready: what restarts the hub asks the one, what sends it clients and requests asks the other.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';

const kept = { channel: { namespaces: [{ name: 'log', history_size: 10, history_ttl: '1h' }] } };
const READY = [200, { ready: true }];
const notReady = (...reasons) => [503, { ready: false, reasons }];
const NOT_WRITABLE = notReady('storage_not_writable');

async function ready(hub) {
  const { status, json } = await hub.request('GET', '/ready');
  return [status, json];
}

const limit = (hub, bytes) => promisify(execFile)('prlimit', ['--pid', String(hub.pid), `--fsize=${bytes}:`]);

/** Its disk is full from here on, which it has noticed. */
async function fill(hub) {
  await limit(hub, 0);
  const { json } = await hub.api('publish', { channel: 'log:a', data: 'lost' });
  assert.equal(json.error.code, 100);
}

describe('GET /ready', { concurrency: true }, () => {
  test('says yes when there is nothing against it', async t => {
    const hub = await startHub(t, { config: kept });
    assert.deepEqual(await ready(hub), READY);
    const { headers, text } = await hub.request('GET', '/ready');
    assert.deepEqual([headers['content-type'], headers['cache-control'], text], ['application/json', 'no-store', '{"ready":true}']);
    const head = await hub.request('HEAD', '/ready');
    assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '14', '']);
    const { status, headers: { allow } } = await hub.request('POST', '/ready', { body: {} });
    assert.deepEqual([status, allow], [405, 'GET, HEAD']);
  });

  test('is not there unless health.enabled says so', async t => {
    const hub = await startHub(t, { config: { health: { enabled: false } } });
    assert.deepEqual([(await hub.request('GET', '/ready')).status, (await hub.request('GET', '/health')).status], [404, 404]);
  });

  test('says no when the disk is full, and yes when there is room, without anybody writing', async t => {
    const hub = await startHub(t, { config: kept });
    await hub.call('publish', { channel: 'log:a', data: 1 });
    await fill(hub);
    assert.deepEqual(await ready(hub), NOT_WRITABLE);
    const head = await hub.request('HEAD', '/ready');
    assert.deepEqual([head.status, head.text], [503, '']);
    const health = await hub.request('GET', '/health');
    assert.deepEqual([health.status, health.text], [200, '{}'], 'it lives');
    await hub.call('publish', { channel: 'live', data: 'needs no disk' });
    await hub.call('history', { channel: 'log:a', limit: 10 });
    assert.deepEqual(await ready(hub), NOT_WRITABLE, 'what does not write proves nothing');
    await limit(hub, 'unlimited');
    await hub.waitForLine(line => / info storage writes_again failed_groups=1$/.test(line));
    assert.deepEqual(await ready(hub), READY);
    const { publications } = await hub.call('history', { channel: 'log:a', limit: 10 });
    assert.deepEqual(publications.map(({ data }) => data), [1]);
  });

  test('the next publication that is written makes it ready as well', async t => {
    const hub = await startHub(t, { config: kept });
    await fill(hub);
    await limit(hub, 'unlimited');
    await hub.call('publish', { channel: 'log:a', data: 2 });
    assert.deepEqual(await ready(hub), READY);
  });

  test('says no while new clients are refused by a drain', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const session = await openSession(t, hub);
    await hub.call('drain', { duration: '0s', refuse: true });
    assert.equal((await session.closed).code, 3001);
    assert.deepEqual(await ready(hub), notReady('draining'));
    assert.equal((await hub.request('GET', '/health')).status, 200);
    await hub.call('drain', { percent: 0 });
    assert.deepEqual(await ready(hub), READY);
    await hub.call('drain', { duration: '1h', percent: 100 });
    assert.deepEqual(await ready(hub), READY, 'who comes is still taken');
  });

  test('says no, with all its reasons, in the first part of the end', async t => {
    const hub = await startHub(t, { config: { ...kept, client: { insecure: true }, shutdown: { drain: '1h' } } });
    await fill(hub);
    const session = await openSession(t, hub);
    hub.signal('SIGTERM');
    await hub.waitForLine(line => / info main shutting_down$/.test(line));
    assert.deepEqual(await ready(hub), notReady('draining', 'storage_not_writable'));
    assert.equal((await hub.request('GET', '/health')).status, 200);
    session.ws.close();
    assert.deepEqual(await hub.exited, { code: 0, signal: null });
  });
});
