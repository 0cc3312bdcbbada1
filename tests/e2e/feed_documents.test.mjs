// What becomes of the answers: how they are cut, joined and kept, what stands in for one that failed, what is asked after another, and
// what is published when. The upstreams are gates or belfry-upstream's values.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { openSession, textOf } from './lib/session.mjs';
import { startUpstream } from './lib/upstream.mjs';

const namespaces = [
  { name: 'live' },
  { name: 'kept', history_size: 50, history_ttl: '1h', force_positioning: true, force_recovery: true },
  { name: 'small', history_size: 50, history_ttl: '1h', allowed_delta_types: ['fossil'], force_positioning: true },
];

function startFeedHub(t, feed, config = {}) {
  const feeds = [feed].flat().map(one => ({ name: 'feed', channel: 'live:feed', timeout: '60s', ...one }));
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces }, feeds, prometheus: { enabled: true }, ...config } });
}

const refresh = (hub, params) => hub.call('feed_refresh', { feed: 'feed', params });
const outcomes = ({ upstreams }) => Object.fromEntries(Object.entries(upstreams).map(([name, { outcome }]) => [name, outcome]));

/** The document's text, byte for byte. */
async function documentText(hub, params) {
  const { text, json } = await hub.api('feed_refresh', { feed: 'feed', params });
  assert.ok(json.result, text);
  return /"data":(.*),"changed":/.exec(text)[1];
}

async function metric(hub, name) {
  const { text } = await hub.request('GET', '/metrics');
  const [, value] = new RegExp(`^${name} (\\S+)$`, 'm').exec(text) ?? assert.fail(`no ${name}`);
  return Number(value);
}

/** A feed over documents that are there to be changed: { name: text } or { name: [text, options] }. */
async function startOver(t, documents, more = {}, config) {
  const upstream = await startUpstream(t);
  const upstreams = [];
  for (const [name, what] of Object.entries(documents)) {
    const [text, options] = [what].flat();
    await upstream.put(name, text);
    upstreams.push({ name, url: `${upstream.url}/values/${name}`, ...options });
  }
  return { upstream, hub: await startFeedHub(t, { upstreams, ...more }, config) };
}

describe('a document', { concurrency: true }, () => {
  test('object: a member for each upstream, cut and renamed as configured, numbers as they were', async t => {
    const { hub } = await startOver(t, {
      weather: ['{"main":{"temp":1.10,"secret":1},"wind":{"kmh":12345678901234567890},"name":"Bilbao"}', { allow: ['/main', '/wind/kmh'], deny: ['/main/secret'], rename: { main: 'now' }, as: 'sky' }],
      events: ['{"items":[{"id":1,"x":0},{"id":2,"x":0}]}', { select: '/items', allow: ['/*/id'], group: 'list' }],
      plain: '[1,2.50]',
    });
    assert.equal(await documentText(hub), '{"sky":{"now":{"temp":1.10},"wind":{"kmh":12345678901234567890}},"events":{"list":[{"id":1},{"id":2}]},"plain":[1,2.50]}');
  });

  test('flat: the members of all, the later one of equal names', async t => {
    const { hub } = await startOver(t, { a: '{"x":1,"y":1.0}', b: '{"y":2,"z":3}', c: ['7', { as: 'number' }] }, { merge: 'flat' });
    assert.equal(await documentText(hub), '{"x":1,"y":2,"z":3,"number":7}');
  });

  test('array: the elements of all, one after the other', async t => {
    const { hub } = await startOver(t, { a: '[1,2]', b: '{"c":3}', c: '[]', d: '[4.0]' }, { merge: 'array' });
    assert.equal(await documentText(hub), '[1,2,{"c":3},4.0]');
  });

  test('is joined in the order of the configuration, never of arrival', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { merge: 'flat', upstreams: ['a', 'b', 'c'].map(name => ({ name, url: `${gate.url}/${name}` })) });
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 2, 0]]) {
      const asked = refresh(hub);
      const held = [await gate.next(), await gate.next(), await gate.next()].sort((a, b) => (a.url < b.url ? -1 : 1));
      for (const i of order) held[i].answer({ last: held[i].url, [held[i].url]: true });
      assert.deepEqual(Object.entries((await asked).data), [['last', '/c'], ['/a', true], ['/b', true], ['/c', true]]);
    }
  });

  test('meta: outcomes and ages; no reason to publish by themselves', async t => {
    const { hub, upstream } = await startOver(t, { a: '{"n":1}', b: '{"n":1}' }, { meta: true, channel: 'kept:feed' });
    const { data } = await refresh(hub);
    assert.deepEqual(Object.keys(data), ['a', 'b', '_meta']);
    assert.equal(data._meta.completed, true);
    assert.deepEqual(Object.keys(data._meta.upstreams), ['a', 'b']);
    assert.equal(data._meta.upstreams.a.outcome, 'fresh');
    assert.ok(data._meta.upstreams.a.age_ms >= 0);
    assert.equal((await refresh(hub)).changed, false);
    await upstream.put('b', '{"n":2}');
    assert.equal((await refresh(hub)).changed, true);
    await hub.stop();
    await hub.restart();
    assert.equal((await refresh(hub)).changed, false, 'also compared with what the storage kept');
  });
});

describe('an upstream without an answer', { concurrency: true }, () => {
  const broken = on_failure => ({ a: '{"n":1}', bad: ['{"n":2}', { on_failure }] });

  for (const [policy, expected] of [['null', { a: { n: 1 }, bad: null }], ['omit', { a: { n: 1 } }], ['stale', { a: { n: 1 }, bad: { n: 2 } }]]) {
    test(`${policy}: ${JSON.stringify(expected)}`, async t => {
      const { hub, upstream } = await startOver(t, broken(policy));
      await refresh(hub);
      await upstream.put('bad', 'no JSON');
      const result = await refresh(hub);
      assert.deepEqual(result.data, expected);
      assert.equal(result.completed, false);
      assert.equal(outcomes(result).a, 'fresh');
    });
  }

  test('fail: 502 and nothing is published; 504 when it was too slow', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { channel: 'kept:feed', upstreams: [{ name: 'must', url: `${gate.url}/must`, on_failure: 'fail', timeout: '200ms' }] });
    const first = hub.api('feed_refresh', { feed: 'feed' });
    (await gate.next()).answer('{}', { status: 500 });
    const { status, json } = await first;
    assert.equal(status, 502);
    assert.match(json.error.message ?? json.error.detail, /must/);
    const second = hub.api('feed_refresh', { feed: 'feed' });
    await (await gate.next()).gone;
    assert.equal((await second).status, 504);
    assert.deepEqual((await hub.call('history', { channel: 'kept:feed', limit: -1 })).publications, []);
    const third = refresh(hub);
    (await gate.next()).answer({ n: 1 });
    assert.equal((await third).offset, 1);
  });

  test('stale_ttl: a value that is too old is null', async t => {
    const { hub, upstream } = await startOver(t, { a: ['1', { stale_ttl: '1ms' }], b: ['2', { stale_ttl: '1h' }] });
    await refresh(hub);
    for (const name of ['a', 'b']) await upstream.put(name, 'no JSON');
    const whenOld = async () => {
      for (;;) {
        const { data } = await refresh(hub);
        if (data.a === null) return data;
      }
    };
    assert.deepEqual(await within(whenOld(), 'the value to be too old'), { a: null, b: 2 });
  });
});

describe('needs', { concurrency: true }, () => {
  const chain = url => [
    { name: 'posts', url: `${url}/posts/{user.id}?city={user.address.city}`, needs: ['user'] },
    { name: 'user', url: `${url}/user/{who}` },
    { name: 'free', url: `${url}/free` },
    { name: 'last', url: `${url}/last/{posts.0}`, needs: ['posts'], method: 'POST', body: '{"name":"{user.name}","id":{user.id}}', headers: { 'X-User': '{user.name}' } },
  ];

  test('values of an earlier answer are in the request of a later one; the rest goes at the same time', async t => {
    const gate = await startGate(t);
    const upstreams = chain(gate.url);
    upstreams[3].needs = ['posts', 'user'];
    const hub = await startFeedHub(t, { params: { who: '[a-z]+' }, channel: 'live:{who}', upstreams });
    const asked = refresh(hub, { who: 'ada' });
    const [one, two] = [await gate.next(), await gate.next()].sort((a, b) => (a.url < b.url ? -1 : 1));
    assert.deepEqual([one.url, two.url], ['/free', '/user/ada']);
    two.answer('{"id":12345678901234567890,"name":"Ada \\"L\\"","address":{"city":"São Paulo"}}');
    const posts = await gate.next();
    assert.equal(posts.url, '/posts/12345678901234567890?city=S%C3%A3o%20Paulo');
    posts.answer('["first"]');
    const last = await gate.next();
    assert.equal(last.url, '/last/first');
    assert.equal(last.method, 'POST');
    assert.equal(last.headers['x-user'], 'Ada "L"');
    last.answer('"done"');
    one.answer('1');
    const { data } = await asked;
    assert.deepEqual(Object.keys(data), ['posts', 'user', 'free', 'last']);
    assert.equal(data.last, 'done');
  });

  test('without that value the later one is skipped, and its own last value stays', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { upstreams: [{ name: 'a', url: `${gate.url}/a`, on_failure: 'null' }, { name: 'b', url: `${gate.url}/b/{a.id}`, needs: ['a'] }] });
    const first = refresh(hub);
    (await gate.next()).answer({ id: 1 });
    (await gate.next()).answer('"b"');
    await first;
    for (const answer of [{ status: 500 }, {}]) {
      const again = refresh(hub);
      (await gate.next()).answer({ other: 1 }, answer);
      const result = await again;
      assert.equal(result.data.b, 'b');
      assert.deepEqual([result.upstreams.b.outcome, result.upstreams.b.failure, result.upstreams.b.attempts], ['stale', 'skipped', 0]);
      assert.match(result.upstreams.b.error, answer.status ? /^a, which it needs, has no value/ : /^a\.id is no text/);
    }
    assert.equal(gate.n, 4);
  });
});

describe('conditions', { concurrency: true }, () => {
  test('304: no parsing, no writing, no publication; the value stays, also over a restart', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { channel: 'kept:feed', upstreams: [{ name: 'a', url: `${gate.url}/a` }] });
    const first = refresh(hub);
    const plain = await gate.next();
    assert.equal(plain.headers['if-none-match'], undefined);
    plain.answer('{"n":1.10}', { headers: { etag: '"v1"', 'last-modified': 'Sun, 22 Nov 2026 10:00:00 GMT' } });
    assert.equal((await first).changed, true);
    for (const round of ['at once', 'after a restart']) {
      const groups = await metric(hub, 'belfry_storage_groups_total');
      const second = hub.api('feed_refresh', { feed: 'feed' });
      const asked = await gate.next();
      assert.equal(asked.headers['if-none-match'], '"v1"', round);
      assert.equal(asked.headers['if-modified-since'], 'Sun, 22 Nov 2026 10:00:00 GMT');
      asked.answer('', { status: 304 });
      const { text, json: { result } } = await second;
      assert.match(text, /"data":\{"a":\{"n":1\.10\}\},"changed":false/);
      assert.deepEqual([result.upstreams.a.outcome, result.upstreams.a.status], ['fresh', 304]);
      assert.equal(await metric(hub, 'belfry_storage_groups_total'), groups, 'nothing was written');
      const [feed] = (await hub.call('feeds')).feeds;
      assert.equal(feed.state.not_modified, 1);
      await hub.stop();
      await hub.restart();
    }
  });

  test('are those of the same request only', async t => {
    const gate = await startGate(t);
    const feed = path => ({ channel: 'kept:feed', upstreams: [{ name: 'a', url: `${gate.url}/${path}` }] });
    const hub = await startFeedHub(t, feed('one'));
    const first = refresh(hub);
    (await gate.next()).answer('1', { headers: { etag: '"v1"' } });
    await first;
    await hub.stop();
    await hub.restart({ config: { feeds: [{ name: 'feed', timeout: '60s', ...feed('two') }] } });
    const second = refresh(hub);
    const asked = await gate.next();
    assert.equal(asked.headers['if-none-match'], undefined, 'the tag is of another URL');
    asked.answer('2');
    await second;
  });

  test('conditional: false asks without', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { upstreams: [{ name: 'a', url: `${gate.url}/a`, conditional: false }] });
    for (let i = 0; i < 2; i++) {
      const asked = refresh(hub);
      const held = await gate.next();
      assert.equal(held.headers['if-none-match'], undefined);
      held.answer('1', { headers: { etag: '"v1"' } });
      await asked;
    }
  });
});

describe('publications', { concurrency: true }, () => {
  test('min_interval: of a burst the first goes at once, then the newest', async t => {
    const { hub, upstream } = await startOver(t, { a: '0' }, { channel: 'kept:feed', min_interval: '500ms' });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:feed' });
    assert.equal((await refresh(hub)).held, false);
    for (let n = 1; n <= 5; n++) {
      await upstream.put('a', String(n));
      const { held, changed, data, offset } = await refresh(hub);
      assert.deepEqual({ held, changed, data, offset }, { held: true, changed: true, data: { a: n }, offset: 1 });
    }
    assert.deepEqual((await hub.call('feed_get', { feed: 'feed' })).data, { a: 5 }, 'who asks gets the newest');
    assert.deepEqual([(await session.nextPush()).pub, (await session.nextPush()).pub], [{ data: { a: 0 }, offset: 1 }, { data: { a: 5 }, offset: 2 }]);
    assert.equal((await hub.call('history', { channel: 'kept:feed', limit: -1 })).publications.length, 2);
  });

  test('what is held is published when the hub goes down', async t => {
    const { hub, upstream } = await startOver(t, { a: '0' }, { channel: 'kept:feed', min_interval: '1h' });
    await refresh(hub);
    await upstream.put('a', '1');
    assert.equal((await refresh(hub)).held, true);
    await hub.stop();
    await hub.restart();
    const { publications } = await hub.call('history', { channel: 'kept:feed', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), [{ a: 0 }, { a: 1 }]);
  });

  test('what was held when the hub was killed is found and published by the next refresh', async t => {
    const { hub, upstream } = await startOver(t, { a: '0' }, { channel: 'kept:feed', min_interval: '1h' });
    await refresh(hub);
    await upstream.put('a', '1');
    assert.equal((await refresh(hub)).held, true);
    await hub.kill9();
    await hub.restart();
    const { changed, held, offset } = await refresh(hub);
    assert.deepEqual({ changed, held, offset }, { changed: true, held: false, offset: 2 });
  });

  test('a value that came back meanwhile is nothing new', async t => {
    const { hub, upstream } = await startOver(t, { a: '0' }, { channel: 'kept:feed', min_interval: '300ms' });
    await refresh(hub);
    for (const [value, held] of [['1', true], ['0', false]]) {
      await upstream.put('a', value);
      assert.equal((await refresh(hub)).held, held);
    }
    await upstream.put('a', '2');
    const whenOver = async () => {
      for (;;) if ((await hub.call('history', { channel: 'kept:feed', limit: -1 })).offset > 1 || (await refresh(hub)).offset > 1) return;
    };
    await within(whenOver(), 'the next publication');
    const { publications } = await hub.call('history', { channel: 'kept:feed', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data.a), [0, 2]);
  });

  test('push always: after each refresh', async t => {
    const { hub } = await startOver(t, { a: '0' }, { channel: 'kept:feed', push: 'always' });
    for (const [offset, changed] of [[1, true], [2, false], [3, false]]) {
      const result = await refresh(hub);
      assert.deepEqual([result.offset, result.changed], [offset, changed]);
    }
  });

  test('a fossil delta goes to who negotiated one, the document to the others', async t => {
    const big = n => JSON.stringify({ n, text: 'x'.repeat(4000) });
    const { hub, upstream } = await startOver(t, { a: big(1) }, { channel: 'small:feed' });
    const plain = await openSession(t, hub);
    const delta = await openSession(t, hub);
    await refresh(hub);
    const first = await plain.ok('subscribe', { channel: 'small:feed' });
    assert.deepEqual(first.publications[0].data.a.n, 1);
    const negotiated = await delta.ok('subscribe', { channel: 'small:feed', delta: 'fossil' });
    assert.equal(negotiated.delta, true);
    assert.equal(JSON.parse(negotiated.publications[0].data).a.n, 1, 'the last snapshot, whole');
    await upstream.put('a', big(2));
    await refresh(hub);
    const [whole, patch] = [await plain.nextPush(), await delta.nextPush()];
    assert.equal(whole.pub.data.a.n, 2);
    assert.equal(patch.pub.delta, true, 'from the snapshot that came with the reply');
    assert.ok(textOf(patch).length < 300, textOf(patch));
  });

  test('npm client with deltas: the documents as they are', async t => {
    const big = n => JSON.stringify({ n, text: 'x'.repeat(4000) });
    const { hub, upstream } = await startOver(t, { a: big(1) }, { channel: 'small:feed' });
    await refresh(hub);
    const client = newClient(t, hub);
    await connect(client);
    const subscription = newSubscription(client, 'small:feed', { delta: 'fossil' });
    const shown = nextPublication(subscription);
    await subscribe(subscription);
    assert.equal((await shown).data.a.n, 1);
    for (let n = 2; n < 5; n++) {
      const next = nextPublication(subscription);
      await upstream.put('a', big(n));
      await refresh(hub);
      assert.deepEqual((await next).data, { a: JSON.parse(big(n)) });
    }
  });
});

describe('what is remembered', { concurrency: true }, () => {
  const feed = url => ({ params: { k: '[0-9]+' }, channel: 'kept:{k}', upstreams: [{ name: 'a', url: `${url}/json?size=4000&k={k}` }] });

  test('memory_max_size: instances that nobody needs leave the memory, and are read again', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feed(upstream.url), { upstreams: { memory_max_size: 65536 } });
    for (let k = 0; k < 30; k++) await refresh(hub, { k: String(k) });
    assert.ok(await metric(hub, 'belfry_feed_memory_bytes') <= 65536);
    assert.ok(await metric(hub, 'belfry_feed_evicted_total') >= 15);
    for (let k = 0; k < 30; k++) {
      assert.equal((await hub.call('feed_get', { feed: 'feed', params: { k: String(k) } })).offset, 1);
      assert.equal((await refresh(hub, { k: String(k) })).changed, false);
    }
  });

  test('snapshot_limit: the oldest are forgotten', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, { ...feed(upstream.url), snapshot_limit: 3 });
    for (let k = 0; k < 5; k++) await refresh(hub, { k: String(k) });
    await hub.stop();
    await hub.restart();
    const there = [];
    for (let k = 0; k < 5; k++) there.push((await hub.api('feed_get', { feed: 'feed', params: { k: String(k) } })).json.error?.code ?? 'there');
    assert.deepEqual(there, [108, 108, 'there', 'there', 'there']);
  });
});
