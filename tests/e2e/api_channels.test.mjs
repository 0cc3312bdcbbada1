// The method `channels`, whole and in pages.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken, SECRET } from './lib/token.mjs';

const config = {
  client: { token: { hmac_secret_key: SECRET }, channel_limit: 20000 },
  http_server: { max_request_body_size: 16777216 },
  channel: { namespaces: [{ name: 'bb' }] },
};

async function batch(hub, commands) {
  for (let i = 0; i < commands.length; i += 5000) {
    const { json } = await hub.api('batch', { commands: commands.slice(i, i + 5000) });
    const failed = json.replies.find(reply => reply.error);
    assert.equal(failed, undefined, JSON.stringify(failed));
  }
}

const subscribeAll = (hub, names) => batch(hub, names.map(channel => ({ subscribe: { user: 'u', channel } })));
const unsubscribeAll = (hub, names) => batch(hub, names.map(channel => ({ unsubscribe: { user: 'u', channel } })));
const numbered = (n, prefix = 'channel-') => Array.from({ length: n }, (_, i) => `${prefix}${i}`);

/** A hub with one connection, which is in all these channels. */
async function startCrowded(t, names) {
  const hub = await startHub(t, { config });
  await openSession(t, hub, { connect: { token: makeToken({ sub: 'u' }) } });
  await subscribeAll(hub, names);
  return hub;
}

/** All pages, in order; between(n) is called after the n-th. */
async function pagesOf(hub, params, between = () => {}) {
  const pages = [];
  let cursor;
  do {
    const result = await hub.call('channels', { ...params, ...(cursor ? { cursor } : {}) });
    const names = Object.keys(result.channels);
    assert.ok(names.length <= params.limit, `${names.length} channels`);
    assert.ok(names.every(name => result.channels[name].num_clients === 1));
    pages.push(names);
    cursor = result.next_cursor;
    await between(pages.length);
  } while (cursor);
  return pages;
}

const sorted = names => [...names].sort();

describe('channels', { concurrency: true }, () => {
  test('without a limit come all at once', async t => {
    const hub = await startCrowded(t, ['a', 'bb:c', 'bb:d']);
    assert.deepEqual(sorted(Object.keys((await hub.call('channels')).channels)), ['a', 'bb:c', 'bb:d']);
    assert.deepEqual(sorted(Object.keys((await hub.call('channels', { pattern: 'bb:*' })).channels)), ['bb:c', 'bb:d']);
  });

  test('with a limit come in pages, each on one of them', async t => {
    const names = numbered(1000);
    const hub = await startCrowded(t, names);
    for (const limit of [1000, 999, 333, 7, 10000]) {
      const pages = await pagesOf(hub, { limit });
      assert.deepEqual(sorted(pages.flat()), sorted(names), `limit ${limit}`);
      assert.ok(pages.slice(0, -2).every(page => page.length === limit), `limit ${limit}`);
    }
    assert.deepEqual(await hub.call('channels', { limit: 2000 }).then(result => 'next_cursor' in result), false);
  });

  test('of a pattern come in pages, too, of which some may be short', async t => {
    const names = numbered(20, 'bb:');
    const hub = await startCrowded(t, [...numbered(15000), ...names]);
    const pages = await pagesOf(hub, { pattern: 'bb:*', limit: 15 });
    assert.deepEqual(sorted(pages.flat()), sorted(names));
    assert.ok(pages.length > 2, `${pages.length} pages: nobody looked at 15,020 channels at once`);
    assert.deepEqual((await pagesOf(hub, { pattern: 'nope*', limit: 15 })).flat(), []);
  });

  test('that are there all the time are on one page, whatever comes and goes meanwhile', async t => {
    const staying = numbered(2000, 'staying-');
    const leaving = numbered(1000, 'leaving-');
    const hub = await startCrowded(t, [...leaving, ...staying]);
    const pages = await pagesOf(hub, { limit: 100 }, async n => { // 5,000 more make the hub's table grow several times
      await unsubscribeAll(hub, leaving.slice((n - 1) * 50, n * 50));
      if (n <= 20) await subscribeAll(hub, numbered(250, `coming-${n}-`));
    });
    const counts = new Map();
    for (const name of pages.flat()) counts.set(name, (counts.get(name) ?? 0) + 1);
    assert.deepEqual(staying.filter(name => counts.get(name) !== 1), []);
    assert.deepEqual([...counts].filter(([name, n]) => n > 1 && !name.startsWith('leaving')), []);
  });

  test('nobody is in any more have a cursor that is still good', async t => {
    const names = numbered(100);
    const hub = await startCrowded(t, names);
    const { channels, next_cursor: cursor } = await hub.call('channels', { limit: 30 });
    const first = Object.keys(channels);
    await unsubscribeAll(hub, first);
    const rest = await hub.call('channels', { limit: 100, cursor });
    assert.deepEqual(sorted([...first, ...Object.keys(rest.channels)]), sorted(names));
  });

  test('that there are none of have one empty page', async t => {
    const hub = await startHub(t, { config });
    assert.deepEqual(await hub.call('channels', { limit: 10 }), { channels: {} });
    assert.deepEqual(await hub.call('channels', { limit: 10, cursor: 'ffffffffzzz' }), { channels: {} });
  });

  test('are not listed for what is no limit and no cursor', async t => {
    const hub = await startCrowded(t, ['a']);
    for (const [params, message] of [
      [{ limit: 0 }, /limit: expected a number from 1 to 10000/], [{ limit: -1 }, /limit/], [{ limit: 10001 }, /limit/], [{ limit: 'all' }, /limit/],
      [{ cursor: '00000000' }, /limit: expected/], [{ limit: 1, cursor: 'x' }, /cursor: expected the next_cursor of a page/],
      [{ limit: 1, cursor: '0000000' }, /cursor/], [{ limit: 1, cursor: '0000000G' }, /cursor/], [{ limit: 1, cursor: 5 }, /cursor/],
    ]) {
      const { status, json } = await hub.api('channels', params);
      assert.equal(status, 200);
      assert.equal(json.error?.code, 107, JSON.stringify(params));
      assert.match(json.error.message, message);
    }
  });
});
