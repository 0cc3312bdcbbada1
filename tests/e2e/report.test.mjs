// The delivery report: what became of a publication, for each of the subscribers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { openStream } from './lib/stream.mjs';
import { EVERY_TRANSPORT, newClientOver, openUni } from './lib/transports.mjs';

const NOTHING = { subscribers: 0, reached: 0, queued: 0, dropped: 0, filtered: 0, conflated: 0, left: 0 };
const namespaces = [
  { name: 'kept', history_size: 10, history_ttl: '1h' },
  { name: 'newest', conflate: '1h' },
  { name: 'tagged', allow_tags_filter: true },
  { name: 'delta', history_size: 10, history_ttl: '1h', allowed_delta_types: ['fossil'], delta_publish: true },
];
const start = (t, { client, ...config } = {}) => startHub(t, { config: { client: { insecure: true, ...client }, channel: { namespaces }, ...config } });

const reported = async (hub, channel, data = 1, more = {}) => (await hub.call('publish', { channel, data, report: true, ...more })).report;

async function subscriber(t, hub, channel, more = {}) {
  const session = await openSession(t, hub);
  await session.ok('subscribe', { channel, ...more });
  return session;
}

describe('publish with a report', { concurrency: true }, () => {
  test('counts who is there', async t => {
    const hub = await start(t);
    assert.deepEqual(await reported(hub, 'kept:1'), NOTHING);
    const [first, second] = [await subscriber(t, hub, 'kept:1'), await subscriber(t, hub, 'kept:1')];
    await subscriber(t, hub, 'kept:2');
    const { offset, epoch, report } = await hub.call('publish', { channel: 'kept:1', data: 'x', report: true });
    assert.deepEqual([offset, typeof epoch], [2, 'string']);
    assert.deepEqual(report, { ...NOTHING, subscribers: 2, reached: 2 });
    for (const session of [first, second]) assert.equal((await session.nextPush()).pub.data, 'x');
    await second.ok('unsubscribe', { channel: 'kept:1' });
    assert.deepEqual(await reported(hub, 'kept:1'), { ...NOTHING, subscribers: 1, reached: 1 });
  });

  test('counts clients over every transport, with deltas and without', async t => {
    const hub = await start(t, EVERY_TRANSPORT);
    for (const transport of ['websocket', 'http_stream', 'sse']) {
      const client = newClientOver(t, hub, [transport]);
      await connect(client);
      await subscribe(newSubscription(client, 'delta:1', transport === 'websocket' ? { delta: 'fossil' } : {}));
    }
    for (const transport of ['uni_websocket', 'uni_http_stream', 'uni_sse']) {
      const uni = await openUni(t, hub, transport, {});
      const { client } = uni.connected;
      assert.ok(client, transport);
    }
    for (const data of ['a'.repeat(100), `${'a'.repeat(100)}b`]) {
      assert.deepEqual(await reported(hub, 'delta:1', data), { ...NOTHING, subscribers: 3, reached: 3 });
    }
  });

  test('counts unidirectional clients', async t => {
    const hub = await start(t, { ...EVERY_TRANSPORT, client: { subscribe_to_user_personal_channel: { enabled: true }, user_id_http_header: 'x-user' } });
    const headers = { 'x-user': 'u' };
    const streams = [await openStream(t, hub, 'uni_sse', { connect: {}, headers }), await openStream(t, hub, 'uni_http_stream', { connect: {}, headers })];
    assert.deepEqual(await reported(hub, '#u', 'hello'), { ...NOTHING, subscribers: 2, reached: 2 });
    for (const stream of streams) assert.ok(JSON.stringify(await stream.next()).includes('"hello"'));
  });

  test('a client that does not read: reached, then queued, then dropped, then gone', async t => {
    const hub = await start(t, { client: { queue_max_size: 2_000_000 } });
    const deaf = await subscriber(t, hub, 'room');
    await subscriber(t, hub, 'room');
    deaf.ws._socket.pause();
    deaf.ws._socket.removeAllListeners('data');
    const data = 'x'.repeat(400_000);
    const seen = [];
    for (let last; last !== 'dropped';) {
      const report = await reported(hub, 'room', data);
      assert.equal(report.subscribers, 2);
      last = ['queued', 'dropped'].find(name => report[name] === 1) ?? 'reached';
      assert.deepEqual(report, { ...NOTHING, subscribers: 2, reached: 1, [last]: (last === 'reached') + 1 });
      if (seen.at(-1) !== last) seen.push(last);
    }
    assert.deepEqual(seen.filter(word => word !== 'reached'), ['queued', 'dropped']);
    assert.deepEqual(await reported(hub, 'room', data), { ...NOTHING, subscribers: 1, reached: 1 });
  });

  test('tags filters', async t => {
    const hub = await start(t);
    await subscriber(t, hub, 'tagged:1');
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'tagged:1', tf: { key: 'k', cmp: 'eq', val: 'yes' } });
    assert.deepEqual(await reported(hub, 'tagged:1', 1, { tags: { k: 'no' } }), { ...NOTHING, subscribers: 2, reached: 1, filtered: 1 });
    assert.deepEqual(await reported(hub, 'tagged:1', 1, { tags: { k: 'yes' } }), { ...NOTHING, subscribers: 2, reached: 2 });
  });

  test('what conflate holds back is not waited for', async t => {
    const hub = await start(t);
    await subscriber(t, hub, 'newest:1');
    assert.deepEqual(await reported(hub, 'newest:1'), { ...NOTHING, subscribers: 1, reached: 1 });
    assert.deepEqual(await reported(hub, 'newest:1', 2), { ...NOTHING, subscribers: 1, conflated: 1 });
  });

  test('a publication that changed nothing was sent to nobody', async t => {
    const hub = await start(t);
    await subscriber(t, hub, 'kept:1');
    assert.deepEqual(await reported(hub, 'kept:1', 1, { idempotency_key: 'k' }), { ...NOTHING, subscribers: 1, reached: 1 });
    assert.deepEqual(await reported(hub, 'kept:1', 1, { idempotency_key: 'k' }), NOTHING);
    assert.deepEqual(await reported(hub, 'kept:1', 1, { version: 5 }), { ...NOTHING, subscribers: 1, reached: 1 });
    assert.deepEqual(await reported(hub, 'kept:1', 1, { version: 5 }), NOTHING);
  });

  test('only who asks is told', async t => {
    const hub = await start(t);
    assert.deepEqual(await hub.call('publish', { channel: 'room', data: 1 }), {});
    assert.deepEqual(await hub.call('publish', { channel: 'room', data: 1, report: false }), {});
    assert.deepEqual(await hub.call('publish', { channel: 'room', data: 1, report: true }), { report: NOTHING });
    const { json: { error } } = await hub.api('publish', { channel: 'room', data: 1, report: 'yes' });
    assert.equal(error.code, 107);
    assert.match(error.message, /report: expected/);
  });

  test('the publisher may go before the answer', async t => {
    const hub = await start(t);
    const session = await subscriber(t, hub, 'kept:1');
    const gone = new AbortController();
    const answer = fetch(`${hub.url}/api/publish`, { method: 'POST', signal: gone.signal, headers: { 'x-api-key': hub.key }, body: JSON.stringify({ channel: 'kept:1', data: 1, report: true }) });
    await session.nextPush();
    gone.abort();
    await answer.catch(() => {});
    assert.deepEqual(await reported(hub, 'kept:1', 2), { ...NOTHING, subscribers: 1, reached: 1 });
  });

  test('hundreds of subscribers', async t => {
    const hub = await start(t);
    const client = newClient(t, hub);
    await connect(client);
    await subscribe(newSubscription(client, 'room'));
    await Promise.all(Array.from({ length: 300 }, () => subscriber(t, hub, 'room')));
    const reports = await Promise.all(Array.from({ length: 20 }, (_, i) => reported(hub, 'room', i)));
    for (const report of reports) assert.deepEqual(report, { ...NOTHING, subscribers: 301, reached: 301 });
  });
});

describe('others who publish', { concurrency: true }, () => {
  test('broadcast: each channel has a report', async t => {
    const hub = await start(t);
    await subscriber(t, hub, 'kept:1');
    await subscriber(t, hub, 'room');
    await subscriber(t, hub, 'room');
    const { responses } = await hub.call('broadcast', { channels: ['kept:1', 'nowhere:1', 'room', 'empty'], data: 1, report: true });
    assert.deepEqual(responses[0].result.report, { ...NOTHING, subscribers: 1, reached: 1 });
    assert.equal(responses[0].result.offset, 1);
    assert.equal(responses[1].error.code, 102);
    assert.deepEqual(responses[2].result, { report: { ...NOTHING, subscribers: 2, reached: 2 } });
    assert.deepEqual(responses[3].result, { report: NOTHING });
    const without = await hub.call('broadcast', { channels: ['kept:1', 'room'], data: 1 });
    assert.deepEqual(without.responses.map(({ result }) => 'report' in result), [false, false]);
  });

  test('broadcast to thousands of channels', async t => {
    const hub = await start(t);
    await subscriber(t, hub, 'room:7'.replace(':', '-'));
    const channels = Array.from({ length: 3000 }, (_, i) => `room-${i}`);
    const { responses } = await hub.call('broadcast', { channels, data: 1, report: true });
    assert.deepEqual(responses.map(({ result }) => result.report.reached), channels.map(name => Number(name === 'room-7')));
  });

  for (const parallel of [false, true]) {
    test(`a batch, ${parallel ? 'in parallel' : 'one after another'}`, async t => {
      const hub = await start(t);
      await subscriber(t, hub, 'room');
      const commands = [{ publish: { channel: 'room', data: 1, report: true } }, { publish: { channel: 'room', data: 2 } }, { publish: { channel: 'empty', data: 3, report: true } }];
      const { status, json, text } = await hub.api('batch', { commands, parallel });
      assert.equal(status, 200, text);
      assert.deepEqual((json.result ?? json).replies, [{ publish: { report: { ...NOTHING, subscribers: 1, reached: 1 } } }, { publish: {} }, { publish: { report: NOTHING } }]);
    });
  }
});
