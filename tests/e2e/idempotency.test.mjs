// What is published twice by mistake, or too late, reaches nobody: idempotency keys and versions; and what comes with a publication.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, publicationsSoFar, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';

const history = { history_size: 100, history_ttl: '1h' };
const namespaces = [{ name: 'log', ...history, force_recovery: true }, { name: 'plain' }];

const start = (t, more = {}) => startHub(t, { config: { client: { insecure: true }, channel: { namespaces }, ...more } });

/** A raw client in the channel, and what it got of it so far: until a marker of the test's own. */
async function listener(t, hub, channel) {
  const session = await openSession(t, hub);
  await session.ok('subscribe', { channel });
  await session.ok('subscribe', { channel: 'plain:marker' });
  return async () => {
    await hub.call('publish', { channel: 'plain:marker', data: 'now' });
    const received = [];
    for (;;) {
      const push = await session.nextPush();
      if (push.channel === 'plain:marker') return received;
      received.push(push.pub.data);
    }
  };
}

const publisher = (hub, channel) => (data, more = {}) => hub.call('publish', { channel, data, ...more });

describe('an idempotency key', { concurrency: true }, () => {
  test('publishes once; the second answer is the first one, and nobody is told again', async t => {
    const hub = await start(t);
    const received = await listener(t, hub, 'log:a');
    const publish = publisher(hub, 'log:a');
    const first = await publish(1, { idempotency_key: 'k' });
    await publish(2);
    assert.deepEqual(await publish(3, { idempotency_key: 'k' }), first);
    assert.equal((await publish(4, { idempotency_key: 'K' })).offset, 3, 'another key');
    assert.deepEqual(await received(), [1, 2, 4]);
    const { publications } = await hub.call('history', { channel: 'log:a', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), [1, 2, 4]);
  });

  test('counts in its own channel only', async t => {
    const hub = await start(t);
    assert.equal((await publisher(hub, 'log:a')(1, { idempotency_key: 'k' })).offset, 1);
    assert.equal((await publisher(hub, 'log:b')(1, { idempotency_key: 'k' })).offset, 1);
    assert.equal((await publisher(hub, 'log:b')(2)).offset, 2, 'it was published there');
  });

  for (const [what, end] of [['ended', hub => hub.stop()], ['killed with -9', hub => hub.kill9()]]) {
    test(`is remembered when the hub was ${what}`, async t => {
      const hub = await start(t);
      const first = await publisher(hub, 'log:a')(1, { idempotency_key: 'k' });
      await publisher(hub, 'plain:a')(1, { idempotency_key: 'k' });
      await end(hub);
      await hub.restart();
      const received = await listener(t, hub, 'log:a');
      const receivedPlain = await listener(t, hub, 'plain:a');
      assert.deepEqual(await publisher(hub, 'log:a')(2, { idempotency_key: 'k' }), first);
      assert.deepEqual(await publisher(hub, 'plain:a')(2, { idempotency_key: 'k' }), {});
      assert.equal((await publisher(hub, 'log:a')(3)).offset, 2);
      assert.deepEqual([await received(), await receivedPlain()], [[3], []]);
    });
  }

  test('works without history, and where history is skipped', async t => {
    const hub = await start(t);
    for (const [channel, more] of [['plain:a', {}], ['log:a', { skip_history: true }]]) {
      const received = await listener(t, hub, channel);
      for (const data of [1, 2]) assert.deepEqual(await publisher(hub, channel)(data, { idempotency_key: 'k', ...more }), {}, channel);
      assert.deepEqual(await received(), [1], channel);
    }
  });

  test('works for many who come with it at once', async t => {
    const hub = await start(t);
    const received = await listener(t, hub, 'log:a');
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => publisher(hub, 'log:a')(i, { idempotency_key: 'k' })));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.equal((await received()).length, 1);
    assert.equal((await hub.call('history', { channel: 'log:a' })).offset, 1);
  });

  test('of a broadcast counts in each channel', async t => {
    const hub = await start(t);
    const first = await publisher(hub, 'log:b')(0, { idempotency_key: 'k' });
    const broadcast = data => hub.call('broadcast', { channels: ['log:a', 'log:b', 'log:c'], data, idempotency_key: 'k' });
    const { responses } = await broadcast(1);
    assert.deepEqual(responses.map(({ result }) => result.offset), [1, 1, 1]);
    assert.deepEqual(responses[1].result, first);
    assert.deepEqual((await broadcast(2)).responses, responses);
    const values = await Promise.all(['a', 'b', 'c'].map(async name => (await hub.call('history', { channel: `log:${name}`, limit: -1 })).publications.map(({ data }) => data)));
    assert.deepEqual(values, [[1], [0], [1]]);
  });

  test('is refused with 111 when too many are remembered; known ones still count', async t => {
    const hub = await start(t, { storage: { idempotency_key_limit: 3 } });
    const received = await listener(t, hub, 'log:a');
    const publish = publisher(hub, 'log:a');
    const first = await publish(1, { idempotency_key: 'a' });
    for (const key of ['b', 'c']) await publish(key, { idempotency_key: key });
    const { json } = await hub.api('publish', { channel: 'log:a', data: 'd', idempotency_key: 'd' });
    assert.equal(json.error?.code, 111);
    assert.deepEqual(await publish('again', { idempotency_key: 'a' }), first);
    await publish('without');
    assert.deepEqual(await received(), [1, 'b', 'c', 'without']);
  });

  test('may be 255 bytes of any text', async t => {
    const hub = await start(t);
    const keys = ['k'.repeat(255), `${'ü'.repeat(127)}k`, 'a\u0000b', 'a\u0000c', '"\\'];
    for (const [i, key] of keys.entries()) {
      const first = await publisher(hub, 'log:a')(i, { idempotency_key: key });
      assert.equal(first.offset, i + 1);
      assert.deepEqual(await publisher(hub, 'log:a')('again', { idempotency_key: key }), first);
    }
    assert.deepEqual(await publisher(hub, 'log:a')(9, { idempotency_key: '' }), await hub.call('history', { channel: 'log:a' }).then(({ offset, epoch }) => ({ offset, epoch })), 'an empty one is none');
  });
});

describe('a version', { concurrency: true }, () => {
  test('is published when it is newer than the last one of its epoch', async t => {
    const hub = await start(t);
    const received = await listener(t, hub, 'log:a');
    const publish = publisher(hub, 'log:a');
    const { epoch } = await publish('v5', { version: 5 });
    assert.deepEqual(await publish('v4', { version: 4 }), { offset: 1, epoch }, 'an older one gets the top');
    assert.deepEqual(await publish('v5 again', { version: 5 }), { offset: 1, epoch });
    assert.equal((await publish('v6', { version: 6 })).offset, 2);
    assert.equal((await publish('e1', { version: 1, version_epoch: 'e' })).offset, 3, 'another epoch begins anew');
    assert.equal((await publish('e1 again', { version: 1, version_epoch: 'e' })).offset, 3);
    assert.equal((await publish('none')).offset, 4, 'without a version it is published');
    assert.equal((await publish('e2', { version: 2, version_epoch: 'e' })).offset, 5);
    assert.deepEqual(await received(), ['v5', 'v6', 'e1', 'none', 'e2']);
  });

  test('is compared also after kill -9, and up to 2^63-1', async t => {
    const hub = await start(t);
    const body = { channel: 'log:a', data: 1 };
    const text = version => JSON.stringify(body).replace('}', `,"version":${version}}`);
    await hub.call('publish', text('9223372036854775806'));
    await hub.kill9();
    await hub.restart();
    assert.equal((await hub.call('publish', text('9223372036854775806'))).offset, 1);
    assert.equal((await hub.call('publish', text('9223372036854775807'))).offset, 2);
    assert.equal((await hub.call('publish', text('9223372036854775807'))).offset, 2);
  });

  test('has no effect where nothing is kept', async t => {
    const hub = await start(t);
    for (const [channel, more] of [['plain:a', {}], ['log:a', { skip_history: true }]]) {
      const received = await listener(t, hub, channel);
      for (const version of [2, 1]) assert.deepEqual(await publisher(hub, channel)(version, { version, ...more }), {});
      assert.deepEqual(await received(), [2, 1], channel);
    }
  });
});

describe('the npm client', { concurrency: true }, () => {
  test('gets what is not suppressed, and goes on counting', async t => {
    const hub = await start(t);
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'log:a');
    await connect(client);
    await subscribe(sub);
    const publish = publisher(hub, 'log:a');
    for (const data of ['a', 'b']) await publish(data, { idempotency_key: 'k' });
    for (const data of ['c', 'd']) await publish(data, { version: 1 });
    await publish('e', { tags: { t: '1' }, delta: true });
    const received = [await nextPublication(sub), await nextPublication(sub), await nextPublication(sub)];
    assert.deepEqual(received.map(({ data, offset, tags }) => [data, offset, tags]), [['a', 1, undefined], ['c', 2, undefined], ['e', 3, { t: '1' }]]);
    assert.deepEqual(publicationsSoFar(sub), []);
  });

  test('recovers data and tags from before a kill -9, of a publication with the delta flag, too', async t => {
    const hub = await start(t);
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'log:a');
    await connect(client);
    await subscribe(sub);
    client.disconnect();
    await publisher(hub, 'log:a')({ n: 1 }, { tags: { lang: 'eu' }, delta: true });
    await hub.kill9();
    await hub.restart();
    client.connect();
    const { data, tags, offset } = await nextPublication(sub);
    assert.deepEqual({ data, tags, offset }, { data: { n: 1 }, tags: { lang: 'eu' }, offset: 1 });
  });
});
