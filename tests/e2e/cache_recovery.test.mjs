// Channels in which only the newest publication counts: force_recovery_mode "cache", and auto_cache_recover.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, publicationsSoFar, subscribe } from './lib/client.mjs';
import { check } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';

const cache = { history_size: 10, history_ttl: '1h', force_recovery: true, force_recovery_mode: 'cache' };
const namespaces = [
  { name: 'last', ...cache },
  { name: 'one', ...cache, history_size: 1 },
  { name: 'auto', ...cache, auto_cache_recover: true },
  { name: 'brief', ...cache, history_ttl: '1s', auto_cache_recover: true },
  { name: 'may', history_size: 10, history_ttl: '1h', allow_recovery: true, force_recovery_mode: 'cache' },
];

const start = t => startHub(t, { config: { client: { insecure: true }, channel: { namespaces } } });

async function publishUpTo(hub, channel, first, last) {
  let position;
  for (let data = first; data <= last; data += 1) position = await hub.call('publish', { channel, data });
  assert.equal(position.offset, last);
  return position;
}

describe('on the wire', { concurrency: true }, () => {
  const asker = (t, hub, channel) => async params => (await openSession(t, hub)).ok('subscribe', { channel, ...params });

  for (const [where, prepare] of [
    ['from the storage', () => {}],
    ['from memory', async (t, hub) => (await openSession(t, hub)).ok('subscribe', { channel: 'last:a' })],
    ['after a kill -9', async (t, hub) => { await hub.kill9(); await hub.restart(); }],
  ]) {
    test(`the newest publication and nothing else, ${where}`, async t => {
      const hub = await start(t);
      const { epoch } = await publishUpTo(hub, 'last:a', 1, 20);
      await prepare(t, hub);
      const ask = asker(t, hub, 'last:a');
      const base = { recoverable: true, positioned: true, epoch };
      const good = { ...base, publications: [{ data: 20, offset: 20 }], was_recovering: true, recovered: true };
      assert.deepEqual(await ask({}), { ...base, offset: 20 }, 'who does not ask');
      assert.deepEqual(await ask({ recover: true }), good);
      assert.deepEqual(await ask({ recover: true, offset: 3, epoch }), { ...good, offset: 3 }, 'long gone');
      assert.deepEqual(await ask({ recover: true, offset: 19, epoch }), { ...good, offset: 19 });
      assert.deepEqual(await ask({ recover: true, offset: 7, epoch: 'another' }), { ...good, offset: 7 });
      assert.deepEqual(await ask({ recover: true, offset: 500, epoch: 'another' }), { ...good, offset: 19 }, 'from beyond');
      assert.deepEqual(await ask({ recover: true, offset: 20, epoch }), { ...base, offset: 20, was_recovering: true, recovered: true }, 'has it');
    });
  }

  test('what comes next follows the recovered one', async t => {
    const hub = await start(t);
    await publishUpTo(hub, 'one:a', 1, 3);
    const session = await openSession(t, hub);
    const { publications } = await session.ok('subscribe', { channel: 'one:a', recover: true });
    assert.deepEqual(publications, [{ data: 3, offset: 3 }]);
    await publishUpTo(hub, 'one:a', 4, 5);
    assert.deepEqual([(await session.nextPush()).pub, (await session.nextPush()).pub], [{ data: 4, offset: 4 }, { data: 5, offset: 5 }]);
  });

  test('auto_cache_recover gives it also to who did not ask', async t => {
    const hub = await start(t);
    const ask = asker(t, hub, 'auto:a');
    const { epoch, ...empty } = await ask({});
    assert.deepEqual(empty, { recoverable: true, positioned: true, was_recovering: true }, 'there is nothing yet');
    await publishUpTo(hub, 'auto:a', 1, 2);
    const good = { recoverable: true, positioned: true, epoch, publications: [{ data: 2, offset: 2 }], was_recovering: true, recovered: true };
    assert.deepEqual(await ask({}), good);
    assert.deepEqual(await ask({ recover: true, offset: 1, epoch }), { ...good, offset: 1 });
  });

  test('where recovery is only allowed, who asks for it gets it', async t => {
    const hub = await start(t);
    await publishUpTo(hub, 'may:a', 1, 3);
    const ask = asker(t, hub, 'may:a');
    assert.deepEqual(await ask({ recover: true }), { was_recovering: true });
    assert.deepEqual((await ask({ recover: true, recoverable: true })).publications, [{ data: 3, offset: 3 }]);
  });

  test('a value whose time is over is not recovered; flag 2 makes an error of it', async t => {
    const hub = await start(t);
    const watcher = await openSession(t, hub); // keeps the channel in memory
    await watcher.ok('subscribe', { channel: 'brief:a' });
    const { epoch } = await publishUpTo(hub, 'brief:a', 1, 2);
    let read;
    do read = await hub.call('history', { channel: 'brief:a', limit: -1 }); while (read.publications.length > 0);
    const ask = asker(t, hub, 'brief:a');
    const lost = { recoverable: true, positioned: true, epoch, offset: 2, was_recovering: true };
    assert.deepEqual(await ask({ recover: true }), lost);
    assert.deepEqual(await ask({}), lost);
    assert.deepEqual(await ask({ recover: true, offset: 2, epoch }), { ...lost, recovered: true }, 'who has it has it');
    const session = await openSession(t, hub);
    assert.deepEqual(await session.error('subscribe', { channel: 'brief:a', recover: true, flag: 2 }), { code: 112, message: 'unrecoverable position' });
    assert.deepEqual(await session.ok('subscribe', { channel: 'brief:a', flag: 2 }), lost, 'who did not ask is not refused');
  });

  test('flag 2 lets pass who recovers', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    assert.equal((await session.error('subscribe', { channel: 'last:a', recover: true, flag: 2 })).code, 112, 'nothing is there');
    await publishUpTo(hub, 'last:a', 1, 2);
    assert.deepEqual((await session.ok('subscribe', { channel: 'last:a', recover: true, flag: 3 })).publications, [{ data: 2, offset: 2 }]);
  });

  test('history_remove empties it', async t => {
    const hub = await start(t);
    const ask = asker(t, hub, 'auto:a');
    await ask({});
    const { epoch } = await publishUpTo(hub, 'auto:a', 1, 2);
    await hub.call('history_remove', { channel: 'auto:a' });
    assert.deepEqual(await ask({}), { recoverable: true, positioned: true, epoch, offset: 2, was_recovering: true });
    await publishUpTo(hub, 'auto:a', 3, 3);
    assert.deepEqual((await ask({})).publications, [{ data: 3, offset: 3 }]);
  });
});

describe('the npm client', { concurrency: true }, () => {
  test('with since {} begins with the newest, and gets the newest when it comes back', async t => {
    const hub = await start(t);
    await publishUpTo(hub, 'last:a', 1, 15);
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'last:a', { since: {} });
    await connect(client);
    const { wasRecovering, recovered } = await subscribe(sub);
    assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: true });
    assert.deepEqual((await nextPublication(sub)).data, 15);
    await publishUpTo(hub, 'last:a', 16, 16);
    assert.deepEqual((await nextPublication(sub)).data, 16);

    const comeBack = async () => {
      const isSubscribed = nextEvent(sub, 'subscribed');
      client.connect();
      return (await isSubscribed).recovered;
    };
    client.disconnect();
    await publishUpTo(hub, 'last:a', 17, 40); // more than are kept
    assert.equal(await comeBack(), true);
    assert.deepEqual((await nextPublication(sub)).data, 40);

    client.disconnect();
    assert.equal(await comeBack(), true, 'nothing was missed');
    await publishUpTo(hub, 'last:a', 41, 41);
    const { data, offset } = await nextPublication(sub);
    assert.deepEqual({ data, offset }, { data: 41, offset: 41 }, 'and nothing came twice');
    assert.deepEqual(publicationsSoFar(sub), []);
  });

  test('gets the newest by itself with auto_cache_recover, also after a kill -9', async t => {
    const hub = await start(t);
    await publishUpTo(hub, 'auto:a', 1, 2);
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'auto:a');
    await connect(client);
    assert.equal((await subscribe(sub)).recovered, true);
    assert.equal((await nextPublication(sub)).data, 2);
    const isSubscribed = nextEvent(sub, 'subscribed');
    await hub.kill9();
    await hub.restart();
    assert.equal((await isSubscribed).recovered, true);
    await publishUpTo(hub, 'auto:a', 3, 3);
    assert.equal((await nextPublication(sub)).data, 3, 'which had 2 already');
  });
});

describe('the configuration', { concurrency: true }, () => {
  const wrong = [
    [{ auto_cache_recover: true }, 'auto_cache_recover'],
    [{ ...cache, force_recovery_mode: 'stream', auto_cache_recover: true }, 'auto_cache_recover'],
    [{ ...cache, force_recovery: false, auto_cache_recover: true }, 'auto_cache_recover'],
    [{ ...cache, force_recovery_mode: 'newest' }, 'force_recovery_mode'],
  ];
  for (const [options, key] of wrong) {
    test(`names ${key} of ${JSON.stringify(options)}`, async t => {
      const { code, text } = await check(t, { channel: { namespaces: [{ name: 'news', ...options }] } });
      assert.equal(code, 1, text);
      assert.match(text, new RegExp(`channel\\.namespaces\\[0\\]\\.${key}: .+ is not `), text);
    });
  }
});
