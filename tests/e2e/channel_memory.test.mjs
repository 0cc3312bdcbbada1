// What stays in memory: many who come back at once cost the storage one read at the most, a channel waits for
// its last subscriber to come back, and the budget of all recent publications holds.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startHub } from './lib/hub.mjs';
import { parseMetrics } from './lib/prometheus.mjs';
import { openSession } from './lib/session.mjs';

const kept = { name: 'kept', history_size: 100, history_ttl: '1h', force_recovery: true };

function startMemoryHub(t, channel = {}) {
  return startHub(t, {
    config: { client: { insecure: true }, prometheus: { enabled: true }, channel: { namespaces: [kept], ...channel } },
  });
}

async function figures(hub) {
  const metrics = parseMetrics((await hub.request('GET', '/metrics')).text);
  const of = name => metrics.get(`belfry_${name}`);
  return {
    reads: of('storage_reads_total'),
    idle: of('idle_channels'),
    bytes: of('tail_bytes'),
    maxBytes: of('tail_max_bytes'),
    hits: of('tail_hits_total'),
    misses: of('tail_misses_total'),
    evicted: of('tail_evicted_total'),
  };
}

async function figuresWhen(hub, satisfies) {
  const limit = Date.now() + 30_000;
  for (;;) {
    const found = await figures(hub);
    if (satisfies(found)) return found;
    assert.ok(Date.now() < limit, `the figures stay ${JSON.stringify(found)}`);
  }
}

async function publish(hub, channel, n, data = i => i) {
  let position;
  for (let i = 0; i < n; i += 1) position = await hub.call('publish', { channel, data: data(i) });
  return position;
}

const openSessions = (t, hub, n) => Promise.all(Array.from({ length: n }, () => openSession(t, hub)));

const recoverFrom = (session, channel, { epoch, offset }) => session.ok('subscribe', { channel, recover: true, epoch, offset });

function assertRecovered({ recovered, publications = [] }, first, last) {
  assert.equal(recovered, true);
  assert.deepEqual(publications.map(({ offset }) => offset), Array.from({ length: last - first + 1 }, (_, i) => first + i));
}

describe('memory', { concurrency: true }, () => {
  for (const tail_max_size of [65536, 0]) {
    test(`all who come back at once share one read, with ${tail_max_size} bytes of tail`, async t => {
      const hub = await startMemoryHub(t, { tail_max_size, idle_timeout: '0s' });
      const { epoch } = await publish(hub, 'kept:a', 40);
      await hub.stop();
      await hub.restart();
      const sessions = await openSessions(t, hub, 100);
      const before = await figures(hub);
      const replies = await Promise.all(sessions.map((session, i) => recoverFrom(session, 'kept:a', { epoch, offset: 20 + (i % 4) })));
      replies.forEach((reply, i) => assertRecovered(reply, 21 + (i % 4), 40));
      const after = await figures(hub);
      // Not all commands need come in the same turn of the loop: with a tail the later ones find it in memory.
      if (tail_max_size > 0) assert.equal(after.reads, before.reads + 1);
      assert.equal(after.hits + after.misses, before.hits + before.misses + 100);
      const { offset } = await publish(hub, 'kept:a', 1, () => 'live');
      for (const session of sessions) assert.deepEqual((await session.nextPush()).pub, { data: 'live', offset });
    });
  }

  test('who comes back soon finds the channel in memory', async t => {
    const hub = await startMemoryHub(t);
    const first = await openSession(t, hub);
    const { epoch } = await first.ok('subscribe', { channel: 'kept:a' });
    await publish(hub, 'kept:a', 3);
    first.ws.close();
    const before = await figuresWhen(hub, ({ idle }) => idle === 1);
    const [info] = (await hub.call('info')).nodes;
    assert.equal(info.num_channels, 0);
    assert.deepEqual(await hub.call('channels'), { channels: {} });
    await publish(hub, 'kept:a', 2);
    assert.equal((await hub.call('history', { channel: 'kept:a', limit: 10 })).publications.length, 5);
    const second = await openSession(t, hub);
    assertRecovered(await recoverFrom(second, 'kept:a', { epoch, offset: 1 }), 2, 5);
    const after = await figures(hub);
    assert.equal(after.reads, before.reads);
    assert.equal(after.hits, before.hits + 2);
    assert.equal(after.idle, 0);
  });

  test('who comes back late finds the same epoch', async t => {
    const hub = await startMemoryHub(t, { idle_timeout: '50ms' });
    const first = await openSession(t, hub);
    const { epoch } = await first.ok('subscribe', { channel: 'kept:a' });
    await publish(hub, 'kept:a', 3);
    first.ws.close();
    await figuresWhen(hub, ({ idle, bytes }) => idle === 0 && bytes === 0);
    const second = await openSession(t, hub);
    assertRecovered(await recoverFrom(second, 'kept:a', { epoch, offset: 1 }), 2, 3);
  });

  test('the budget of all tails holds, and what is dropped is read again', async t => {
    const budget = 100_000;
    const hub = await startMemoryHub(t, { tail_total_max_size: budget });
    const session = await openSession(t, hub);
    const channels = Array.from({ length: 10 }, (_, i) => `kept:${i}`);
    const epochs = new Map();
    for (const channel of channels) epochs.set(channel, (await session.ok('subscribe', { channel })).epoch);
    for (const channel of channels) {
      await publish(hub, channel, 20, i => `${i} ${'x'.repeat(1000)}`);
      const { bytes, maxBytes } = await figures(hub);
      assert.equal(maxBytes, budget);
      assert.ok(bytes > 0 && bytes <= budget, `${bytes} bytes`);
    }
    assert.ok((await figures(hub)).evicted >= 5);
    const other = await openSession(t, hub);
    for (const channel of channels) {
      assertRecovered(await recoverFrom(other, channel, { epoch: epochs.get(channel), offset: 5 }), 6, 20);
      assert.ok((await figures(hub)).bytes <= budget);
    }
    assert.ok((await figures(hub)).misses >= 5);
  });

  test('a channel that is only read from memory is checked against the storage', async t => {
    const hub = await startHub(t, {
      config: {
        client: { insecure: true, channel_position_check_delay: '100ms' },
        prometheus: { enabled: true },
        channel: { namespaces: [kept] },
      },
    });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:a' });
    const metric = async name => parseMetrics((await hub.request('GET', '/metrics')).text).get(name);
    const limit = Date.now() + 30_000;
    while (await metric('belfry_position_checks_total') < 3) assert.ok(Date.now() < limit);
    assert.equal(await metric('belfry_insufficient_state_total'), 0);
    await publish(hub, 'kept:a', 1);
    assert.equal((await session.nextPush()).pub.offset, 1);
  });
});
