// history_remove: the publications are gone, the position stays.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';

const history = { history_size: 100, history_ttl: '1h' };
const namespaces = [{ name: 'rec', ...history, force_recovery: true }, { name: 'plain' }];

const start = t => startHub(t, { config: { client: { insecure: true }, channel: { namespaces } } });

async function publishUpTo(hub, first, last) {
  let position;
  for (let data = first; data <= last; data += 1) position = await hub.call('publish', { channel: 'rec:a', data });
  assert.equal(position.offset, last);
  return position;
}

const read = hub => hub.call('history', { channel: 'rec:a', limit: -1 });

describe('history_remove', { concurrency: true }, () => {
  test('empties the history and keeps epoch and offset', async t => {
    const hub = await start(t);
    const position = await publishUpTo(hub, 1, 3);
    assert.deepEqual(await hub.call('history_remove', { channel: 'rec:a' }), {});
    assert.deepEqual(await read(hub), { publications: [], ...position });
    assert.deepEqual(await hub.call('history_remove', { channel: 'rec:a' }), {}, 'once more');
    assert.deepEqual(await hub.call('publish', { channel: 'rec:a', data: 4 }), { offset: 4, epoch: position.epoch });
    assert.deepEqual((await read(hub)).publications, [{ data: 4, offset: 4 }]);
  });

  test('survives a kill -9', async t => {
    const hub = await start(t);
    const position = await publishUpTo(hub, 1, 3);
    await hub.call('history_remove', { channel: 'rec:a' });
    await hub.kill9();
    await hub.restart();
    assert.deepEqual(await read(hub), { publications: [], ...position });
  });

  test('of one channel leaves the others alone', async t => {
    const hub = await start(t);
    await publishUpTo(hub, 1, 1);
    await hub.call('publish', { channel: 'rec:ab', data: 1 });
    await hub.call('history_remove', { channel: 'rec:a' });
    assert.equal((await hub.call('history', { channel: 'rec:ab', limit: -1 })).publications.length, 1);
  });

  test('of a channel in which nothing was published', async t => {
    const hub = await start(t);
    assert.deepEqual(await hub.call('history_remove', { channel: 'rec:a' }), {});
    const { offset } = await read(hub);
    assert.equal(offset, 0);
  });

  test('leaves subscribers where they are', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    const { epoch } = await session.ok('subscribe', { channel: 'rec:a' });
    await publishUpTo(hub, 1, 2);
    await hub.call('history_remove', { channel: 'rec:a' });
    await publishUpTo(hub, 3, 3);
    const pushes = [await session.nextPush(), await session.nextPush(), await session.nextPush()];
    assert.deepEqual(pushes.map(({ pub }) => pub), [1, 2, 3].map(n => ({ data: n, offset: n })));
    assert.equal((await hub.call('history', { channel: 'rec:a' })).epoch, epoch);
  });

  for (const isWatched of [false, true]) {
    test(`recovery after it, ${isWatched ? 'from memory' : 'from the storage'}`, async t => {
      const hub = await start(t);
      if (isWatched) await (await openSession(t, hub)).ok('subscribe', { channel: 'rec:a' });
      const { epoch } = await publishUpTo(hub, 1, 5);
      await hub.call('history_remove', { channel: 'rec:a' });
      const recover = async (offset, more = {}) => (await openSession(t, hub)).call('subscribe', { channel: 'rec:a', recover: true, epoch, offset, ...more });
      const lost = { recoverable: true, positioned: true, epoch, offset: 5, was_recovering: true };
      assert.deepEqual((await recover(3)).subscribe, lost, 'an older position');
      assert.deepEqual((await recover(5)).subscribe, { ...lost, recovered: true }, 'the top');
      assert.equal((await recover(3, { flag: 2 })).error.code, 112);
      await publishUpTo(hub, 6, 7);
      assert.deepEqual((await recover(5)).subscribe.publications, [6, 7].map(n => ({ data: n, offset: n })));
      assert.deepEqual((await recover(4)).subscribe, { ...lost, offset: 7 });
    });
  }

  test('the npm client that was away is told, and goes on', async t => {
    const hub = await start(t);
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'rec:a');
    await connect(client);
    await subscribe(sub);
    await publishUpTo(hub, 1, 1);
    await nextPublication(sub);
    client.disconnect();
    await publishUpTo(hub, 2, 3);
    await hub.call('history_remove', { channel: 'rec:a' });
    const isSubscribed = nextEvent(sub, 'subscribed');
    client.connect();
    const { wasRecovering, recovered, streamPosition } = await isSubscribed;
    assert.deepEqual([wasRecovering, recovered, streamPosition.offset], [true, false, 3]);
    await publishUpTo(hub, 4, 4);
    assert.equal((await nextPublication(sub)).data, 4);
  });

  test('in the middle of a flood takes what came before it and nothing else', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    const { epoch } = await session.ok('subscribe', { channel: 'rec:a' });
    const flood = n => Promise.all(Array.from({ length: n }, () => hub.call('publish', { channel: 'rec:a', data: 'x' })));
    const before = flood(40);
    const removal = hub.call('history_remove', { channel: 'rec:a' });
    const after = flood(40);
    await Promise.all([before, removal]);
    const top = Math.max(...(await after).map(({ offset }) => offset));
    assert.equal(top, 80);
    const { publications, offset } = await read(hub);
    assert.equal(offset, 80);
    assert.deepEqual(publications.map(item => item.offset), Array.from({ length: publications.length }, (_, i) => 81 - publications.length + i), 'the last ones, without a gap');
    const since = 80 - publications.length; // memory says the same
    const positions = [[since, true], [since - 1, undefined]].filter(([position]) => position >= 0); // it may have come first
    for (const [position, isRecovered] of positions) {
      const other = await openSession(t, hub);
      assert.equal((await other.ok('subscribe', { channel: 'rec:a', recover: true, epoch, offset: position })).recovered, isRecovered);
    }
  });

  test('102, 107 and 108', async t => {
    const hub = await start(t);
    for (const [channel, code] of [['nowhere:a', 102], ['', 107], [undefined, 107], [1, 107], ['rec:ä', 107], ['plain:a', 108]]) {
      const { json } = await hub.api('history_remove', { channel });
      assert.equal(json.error?.code, code, `${channel}`);
    }
  });
});
