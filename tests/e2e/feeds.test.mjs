// Feeds: what a refresh fetches, merges, stores, pushes and answers, with good upstreams, bad ones and none.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, publicationsSoFar, subscribe } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { request } from './lib/http.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { openSession, textOf } from './lib/session.mjs';
import { startUpstream } from './lib/upstream.mjs';

const city = { name: 'city', history_size: 10, history_ttl: '1h', force_recovery: true, force_positioning: true };
const live = { name: 'live' };
const CITY = '[a-z-]{2,40}';

/** A hub with these feeds; deadlines are long unless the test is about them. */
function startFeedHub(t, feeds, { config = {}, ...options } = {}) {
  const withDefaults = [feeds].flat().map(feed => ({ timeout: '60s', ...feed }));
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces: [city, live] }, feeds: withDefaults, ...config }, ...options });
}

/** A feed without parameters over upstreams { name: url }. */
function feedOf(upstreams, more = {}) {
  const list = Object.entries(upstreams).map(([name, what]) => ({ name, ...(typeof what === 'string' ? { url: what } : what) }));
  return { name: 'feed', channel: 'city:feed', upstreams: list, ...more };
}

async function put(upstream, name, text) {
  const { status } = await request(upstream.port, 'PUT', `/values/${name}`, { body: text, headers: { 'content-type': 'application/json' } });
  assert.ok(status === 201 || status === 204);
}

const refresh = (hub, feed = 'feed', params) => hub.call('feed_refresh', { feed, params });
const outcomes = ({ upstreams }) => Object.fromEntries(Object.entries(upstreams).map(([name, { outcome }]) => [name, outcome]));
const statsOf = async upstream => (await request(upstream.port, 'GET', '/stats')).json;
const stateOf = async (hub, name = 'feed') => (await hub.call('feeds')).feeds.find(feed => feed.name === name).state;

/** The feed's state as soon as it satisfies. */
function stateWhen(hub, satisfies) {
  const ask = async () => {
    for (;;) {
      const state = await stateOf(hub);
      if (satisfies(state)) return state;
    }
  };
  return within(ask(), "the awaited state of the hub's feed");
}

async function errorOf(hub, method, body) {
  const { status, json, text } = await hub.api(method, body);
  assert.equal(status, 200, text);
  assert.deepEqual(Object.keys(json), ['error'], text);
  return json.error;
}

async function subscriberOf(t, hub, channel = 'city:feed', params = {}) {
  const session = await openSession(t, hub);
  session.result = await session.ok('subscribe', { channel, ...params });
  return session;
}

/** Fails when the session was sent anything in the channel before this call. */
async function assertNothingPushed(hub, session, channel = 'city:feed') {
  await hub.call('publish', { channel, data: 'mark', skip_history: true });
  assert.equal((await session.nextPush()).pub.data, 'mark');
}

describe('a refresh', { concurrency: true }, () => {
  test("three upstreams: all at once, merged, stored, pushed and answered", async t => {
    const upstream = await startUpstream(t);
    const late = 'latency=300ms';
    const hub = await startFeedHub(t, {
      name: 'city', channel: 'city:{city}', params: { city: CITY }, timeout: '30s',
      upstreams: [
        { name: 'weather', url: `${upstream.url}/weather?city={city}&${late}`, timeout: '20s' },
        { name: 'air', url: `${upstream.url}/air/{city}?${late}` },
        { name: 'events', url: `${upstream.url}/events?near={city}&${late}`, select: '/items' },
      ],
    });
    const subscriber = await subscriberOf(t, hub, 'city:bilbao');
    const { status, text, json: { result } } = await hub.api('feed_refresh', { feed: 'city', params: { city: 'bilbao' } });
    assert.equal(status, 200);

    const { max_active: together, requests } = await statsOf(upstream);
    assert.deepEqual({ together, requests }, { together: 3, requests: 3 });

    const { data, upstreams, epoch, time, ...rest } = result;
    assert.deepEqual(rest, { feed: 'city', params: { city: 'bilbao' }, channel: 'city:bilbao', offset: 1, completed: true, changed: true, held: false });
    assert.ok(Math.abs(time - Date.now()) < 3600_000);
    assert.deepEqual(Object.keys(upstreams), ['weather', 'air', 'events']);
    for (const { duration_ms: ms, status: code, outcome } of Object.values(upstreams)) {
      assert.deepEqual([code, outcome], [200, 'fresh']);
      assert.ok(ms >= 299, `${ms} ms`);
    }
    assert.deepEqual(Object.keys(data), ['weather', 'air', 'events']);
    assert.equal(data.weather.city, 'bilbao');
    assert.equal(data.air.city, 'bilbao');
    assert.match(data.events[0].price, /^\d+\.\d\d$/);

    const [, snapshot] = /"data":(\{.*\}),"changed":true/.exec(text);
    assert.equal(textOf(await subscriber.nextPush()), `{"push":{"channel":"city:bilbao","pub":{"data":${snapshot},"offset":1}}}`);
    const history = await hub.api('history', { channel: 'city:bilbao', limit: -1 });
    assert.equal(history.text, `{"result":{"publications":[{"data":${snapshot},"offset":1}],"epoch":"${epoch}","offset":1}}`);
  });

  test('sends every request before the first is answered', async t => {
    const gate = await startGate(t);
    const names = Array.from({ length: 20 }, (_, i) => `u${i}`);
    const hub = await startFeedHub(t, feedOf(Object.fromEntries(names.map(name => [name, `${gate.url}/${name}`]))));
    const answer = refresh(hub);
    const held = [];
    for (const _ of names) held.push(await gate.next());
    for (const one of held.reverse()) one.answer({ path: one.url });
    const { data } = await answer;
    assert.deepEqual(Object.entries(data), names.map(name => [name, { path: `/${name}` }]), 'in the order of the configuration');
  });

  const exact = [
    '{"a":1.10,"b":12345678901234567890,"c":"\\u00e9 é"}',
    '1.10', '-0.0', '1E+400', '"\\/\\u0000\\ud83d\\ude00"', 'null', '[]', '{"":{"":[[]]}}', '{"a":1,"a":2}', '  {"a" :\t1}  ',
  ];
  test('keeps every value byte for byte', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf(Object.fromEntries(exact.map((_, i) => [`u${i}`, `${upstream.url}/values/u${i}`]))));
    const subscriber = await subscriberOf(t, hub);
    for (const [i, text] of exact.entries()) await put(upstream, `u${i}`, text);
    const snapshot = `{${exact.map((text, i) => `"u${i}":${text.trim()}`).join(',')}}`;
    const { text } = await hub.api('feed_refresh', { feed: 'feed' });
    assert.ok(text.includes(`"data":${snapshot},"changed":true`), text);
    assert.ok(textOf(await subscriber.nextPush()).includes(`"data":${snapshot},"offset":1`));
    assert.ok((await hub.api('feed_get', { feed: 'feed' })).text.includes(`"data":${snapshot}}`));
  });

  test('puts a value of several lines on one, and leaves all else of it', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one`, part: { url: `${upstream.url}/values/one`, select: '/list' } }));
    const subscriber = await subscriberOf(t, hub);
    await put(upstream, 'one', '{\r\n  "n": 1.10,\n  "list": [\n    "a\\nb",\n    2\n  ]\n}\n');
    const { text } = await hub.api('feed_refresh', { feed: 'feed' });
    const snapshot = '{"one":{  "n": 1.10,  "list": [    "a\\nb",    2  ]},"part":[    "a\\nb",    2  ]}';
    assert.ok(text.includes(`"data":${snapshot},`), text);
    assert.ok(textOf(await subscriber.nextPush()).includes(`"data":${snapshot},`));
    assert.equal((await refresh(hub)).changed, false, 'the value that was kept is the value that came');
  });

  test('select takes what lies at its JSON Pointer', async t => {
    const upstream = await startUpstream(t);
    const document = '{"a":{"b":[10,{"c/d~":1.10}],"":"empty"},"n":null,"0":"zero"}';
    await put(upstream, 'one', document);
    const selects = { all: '', list: '/a/b', first: '/a/b/0', deep: '/a/b/1/c~1d~0', empty: '/a/', nul: '/n', zero: '/0' };
    const hub = await startFeedHub(t, feedOf(Object.fromEntries(Object.entries(selects).map(([name, select]) => [name, { url: `${upstream.url}/values/one`, select }]))));
    const { text } = await hub.api('feed_refresh', { feed: 'feed' });
    const snapshot = `{"all":${document},"list":[10,{"c/d~":1.10}],"first":10,"deep":1.10,"empty":"empty","nul":null,"zero":"zero"}`;
    assert.ok(text.includes(`"data":${snapshot},`), text);
    assert.ok(text.includes('"completed":true'), text);
  });

  test('publishes only what has changed', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one` }));
    const subscriber = await subscriberOf(t, hub);
    await put(upstream, 'one', '{"n":1.10}');
    const first = await refresh(hub);
    assert.deepEqual([first.changed, first.offset], [true, 1]);
    assert.equal((await subscriber.nextPush()).pub.offset, 1);

    const second = await refresh(hub);
    assert.deepEqual([second.changed, second.offset, second.epoch, second.data], [false, 1, first.epoch, first.data]);
    await assertNothingPushed(hub, subscriber);

    await put(upstream, 'one', '{"n":1.1}');
    const third = await refresh(hub);
    assert.deepEqual([third.changed, third.offset, third.epoch], [true, 2, first.epoch], 'also when only a digit is another');
    assert.equal((await subscriber.nextPush()).pub.offset, 2);
    const { publications } = await hub.call('history', { channel: 'city:feed', limit: -1 });
    assert.deepEqual(publications.map(({ offset }) => offset), [1, 2]);
  });

  test('still knows after a kill -9 what it has published', async t => {
    const upstream = await startUpstream(t);
    await put(upstream, 'one', '{"n":1.10}');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one` }));
    const { epoch } = await refresh(hub);
    await hub.kill9();
    await hub.restart();
    const again = await refresh(hub);
    assert.deepEqual([again.changed, again.offset, again.epoch], [false, 1, epoch]);
  });

  test('in a channel without history is pushed, without an offset', async t => {
    const upstream = await startUpstream(t);
    await put(upstream, 'one', '1');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one` }, { channel: 'live:feed' }));
    const subscriber = await subscriberOf(t, hub, 'live:feed');
    const first = await refresh(hub);
    assert.deepEqual([first.changed, first.offset], [true, 0]);
    assert.deepEqual((await subscriber.nextPush()).pub, { data: { one: 1 } });
    assert.equal((await refresh(hub)).changed, false);
    await assertNothingPushed(hub, subscriber, 'live:feed');
    await put(upstream, 'one', '2');
    assert.equal((await refresh(hub)).changed, true);
    assert.deepEqual((await subscriber.nextPush()).pub, { data: { one: 2 } });
  });

  test('reaches npm clients, and one that was away recovers it', async t => {
    const upstream = await startUpstream(t);
    await put(upstream, 'one', '1');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one` }));
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'city:feed');
    await subscribe(sub);
    await refresh(hub);
    assert.deepEqual((({ data, offset }) => ({ data, offset }))(await nextPublication(sub)), { data: { one: 1 }, offset: 1 });

    client.disconnect();
    for (const value of ['2', '3']) {
      await put(upstream, 'one', value);
      await refresh(hub);
    }
    await hub.kill9();
    await hub.restart();
    await connect(client);
    const context = await subscribe(sub);
    assert.deepEqual([context.wasRecovering, context.recovered], [true, true]);
    assert.deepEqual([await nextPublication(sub), await nextPublication(sub)].map(({ data, offset }) => [data.one, offset]), [[2, 2], [3, 3]]);
    assert.deepEqual(publicationsSoFar(sub), []);
  });

  test('asks directly, whatever http_proxy says', async t => {
    const [upstream, proxy] = [await startUpstream(t), await startGate(t, { open: true })];
    const env = { http_proxy: proxy.url, HTTP_PROXY: proxy.url, all_proxy: proxy.url, ALL_PROXY: proxy.url, no_proxy: '' };
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/echo` }), { env });
    assert.equal((await refresh(hub)).completed, true);
    assert.equal(proxy.n, 0);
  });

  test('says who asks, and accepts JSON', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/echo` }));
    const { data: { one: { method, headers } } } = await refresh(hub);
    assert.equal(method, 'GET');
    assert.match(headers['user-agent'], /^Belfry\/\d/);
    assert.equal(headers.host, new URL(upstream.url).host);
  });
});

describe('those who ask at the same time', { concurrency: true }, () => {
  const feed = gate => ({ name: 'feed', channel: 'city:{city}', params: { city: CITY }, upstreams: [{ name: 'one', url: `${gate.url}/1?{city}` }, { name: 'two', url: `${gate.url}/2?{city}` }] });

  test('share one run and one answer', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feed(gate));
    const first = hub.api('feed_refresh', { feed: 'feed', params: { city: 'bilbao' } });
    const held = [await gate.next(), await gate.next()];
    const others = Array.from({ length: 9 }, () => hub.api('feed_refresh', { feed: 'feed', params: { city: 'bilbao' } }));
    await stateWhen(hub, ({ shared }) => shared === 9);
    for (const one of held) one.answer({ asked: one.url });
    const texts = (await Promise.all([first, ...others])).map(({ text }) => text);
    assert.equal(new Set(texts).size, 1);
    assert.equal(JSON.parse(texts[0]).result.offset, 1);
    assert.equal(gate.n, 2);

    const next = refresh(hub, 'feed', { city: 'bilbao' }); // a new run once the old one is over
    for (let i = 0; i < 2; i++) (await gate.next()).answer('1');
    assert.equal((await next).offset, 2);
    const { refreshes, shared, running } = await stateOf(hub);
    assert.deepEqual({ refreshes, shared, running }, { refreshes: 2, shared: 9, running: 0 });
  });

  test('with other parameters have runs of their own', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feed(gate));
    const answers = ['bilbao', 'getxo', 'bilbao'].map(name => refresh(hub, 'feed', { city: name }));
    const held = [];
    for (let i = 0; i < 4; i++) held.push(await gate.next());
    await stateWhen(hub, ({ shared, running }) => shared === 1 && running === 2);
    for (const one of held) one.answer(JSON.stringify(one.url));
    const [bilbao, getxo, again] = await Promise.all(answers);
    assert.deepEqual(bilbao.data, { one: '/1?bilbao', two: '/2?bilbao' });
    assert.deepEqual(getxo.data, { one: '/1?getxo', two: '/2?getxo' });
    assert.deepEqual(again, bilbao);
    assert.deepEqual([bilbao.channel, getxo.channel, gate.n], ['city:bilbao', 'city:getxo', 4]);
  });

  test('max_refreshes: one run too many is refused for now, one that shares is not', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feed(gate), { config: { upstreams: { max_refreshes: 1 } } });
    const ask = name => refresh(hub, 'feed', { city: name });
    const first = ask('bilbao');
    const held = [await gate.next(), await gate.next()];
    const shares = ask('bilbao');
    const { code } = await errorOf(hub, 'feed_refresh', { feed: 'feed', params: { city: 'getxo' } });
    assert.equal(code, 111);
    for (const one of held) one.answer('1');
    await Promise.all([first, shares]);
    const later = ask('getxo');
    for (let i = 0; i < 2; i++) (await gate.next()).answer('1');
    assert.equal((await later).completed, true);
  });

  test('max_concurrent and max_waiting: what finds no place fails by itself', async t => {
    const gate = await startGate(t);
    const names = ['a', 'b', 'c', 'd'];
    const hub = await startFeedHub(t, feedOf(Object.fromEntries(names.map(name => [name, `${gate.url}/${name}`]))), { config: { upstreams: { max_concurrent: 1, max_waiting: 2 } } });
    const answer = refresh(hub);
    for (let i = 0; i < 3; i++) {
      const held = await gate.next();
      assert.equal(gate.n, i + 1, 'one at a time');
      held.answer(JSON.stringify(held.url));
    }
    const { data, completed, upstreams: { d } } = await answer;
    assert.deepEqual([data, completed], [{ a: '/a', b: '/b', c: '/c', d: null }, false]);
    assert.equal(d.outcome, 'overloaded');
    assert.notEqual(d.error, '');
  });
});

describe('an upstream that fails', { concurrency: true }, () => {
  const failures = {
    'answers 503': { query: 'status=503', outcome: 'http_error', status: 503 },
    'answers 404': { query: 'status=404', outcome: 'http_error', status: 404 },
    'sends broken JSON': { query: 'invalid=1', outcome: 'invalid_json', status: 200, error: /^byte \d+: expected / },
    'resets the connection': { query: 'reset=1', outcome: 'connect_error', status: 0 },
    'breaks off': { query: 'truncate=1', outcome: 'connect_error', status: 200 },
    'sends more than max_body_size': { query: 'size=5000', outcome: 'too_large', status: 200 },
    'never stops': { query: 'endless=1', outcome: 'too_large', status: 200 },
    'never answers': { query: 'hang=1', outcome: 'timeout', status: 0 },
    'answers too late': { query: 'latency=60s', outcome: 'timeout', status: 0 },
    'answers too slowly': { query: 'drip=1/1s', outcome: 'timeout', status: undefined },
  };
  for (const [what, { query, outcome, status, error = /./ }] of Object.entries(failures)) {
    test(`${what}: ${outcome}; the others arrive`, async t => {
      const upstream = await startUpstream(t);
      await put(upstream, 'bad', '{"n":1.10}');
      await put(upstream, 'other', '{"n":2}');
      const bad = { url: `${upstream.url}/values/bad?${query}`, timeout: outcome === 'timeout' ? '300ms' : '0s' };
      const hub = await startFeedHub(t, feedOf({ first: `${upstream.url}/values/other`, bad, last: `${upstream.url}/values/other` }), { config: { upstreams: { max_body_size: 4096 } } });
      const { data, completed, changed, offset, upstreams } = await refresh(hub);
      assert.deepEqual({ data, completed, changed, offset }, { data: { first: { n: 2 }, bad: null, last: { n: 2 } }, completed: false, changed: true, offset: 1 });
      const { outcome: how, failure, error: words, status: got } = upstreams.bad;
      assert.deepEqual({ how, failure }, { how: outcome, failure: outcome });
      assert.equal(got, status ?? got);
      if (outcome !== 'http_error') assert.match(words, error);
      assert.deepEqual([upstreams.first.outcome, upstreams.last.outcome], ['fresh', 'fresh']);
    });
  }

  test('is not there: connect_error, or dns_error', async t => {
    const [gone, upstream] = [await startUpstream(t), await startUpstream(t)];
    await gone.stop();
    const hub = await startFeedHub(t, feedOf({ bad: `${gone.url}/values/bad`, nowhere: 'http://no-such-host.invalid/', good: `${upstream.url}/weather?city=x` }));
    const result = await refresh(hub);
    assert.deepEqual(outcomes(result), { bad: 'connect_error', nowhere: 'dns_error', good: 'fresh' });
    assert.deepEqual([result.completed, result.data.bad, result.data.nowhere, result.data.good.city], [false, null, null, 'x']);
    assert.equal(result.upstreams.bad.status, 0);
  });

  test('has nothing at select: invalid_json, and says where', async t => {
    const upstream = await startUpstream(t);
    await put(upstream, 'one', '{"items":[1]}');
    const at = select => ({ url: `${upstream.url}/values/one`, select });
    const hub = await startFeedHub(t, feedOf({ nowhere: at('/nothing'), beyond: at('/items/1'), below: at('/items/0/x'), good: at('/items') }));
    const result = await refresh(hub);
    assert.deepEqual(outcomes(result), { nowhere: 'invalid_json', beyond: 'invalid_json', below: 'invalid_json', good: 'fresh' });
    assert.match(result.upstreams.beyond.error, /\/items\/1/);
    assert.deepEqual(result.data, { nowhere: null, beyond: null, below: null, good: [1] });
  });

  for (const [what, text] of Object.entries({ 'nothing': '', 'two values': '{} {}', 'no UTF-8': Buffer.from('"\xff"', 'latin1'), 'a lone surrogate': '"\\ud800"', 'a tower of brackets': '['.repeat(2000) })) {
    test(`sends ${what} for JSON: invalid_json`, async t => {
      const upstream = await startUpstream(t);
      await put(upstream, 'bad', text);
      const hub = await startFeedHub(t, feedOf({ bad: `${upstream.url}/values/bad` }));
      const { data, upstreams: { bad } } = await refresh(hub);
      assert.deepEqual([data.bad, bad.outcome], [null, 'invalid_json']);
      assert.match(bad.error, /^byte \d+: expected /);
    });
  }

  test("misses the feed's deadline: what has come is used, the rest is given up", async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ quick: `${gate.url}/quick`, slow: `${gate.url}/slow` }, { timeout: '4s' }));
    const answer = refresh(hub);
    const held = Object.fromEntries([await gate.next(), await gate.next()].map(one => [one.url, one]));
    held['/quick'].answer('1');
    const result = await answer;
    await held['/slow'].gone;
    assert.deepEqual([result.data, result.completed, outcomes(result)], [{ quick: 1, slow: null }, false, { quick: 'fresh', slow: 'timeout' }]);
  });

  test('is not followed elsewhere', async t => {
    const [upstream, elsewhere] = [await startUpstream(t), await startGate(t, { open: true })];
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/json?redirect=${encodeURIComponent(elsewhere.url)}` }));
    assert.equal((await refresh(hub)).upstreams.one.outcome, 'refused');
    assert.equal(elsewhere.n, 0);
  });

  test('is replaced by its last good value, also after a kill -9, until it recovers', async t => {
    const upstream = await startUpstream(t);
    const other = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one`, other: `${other.url}/values/other` }));
    const subscriber = await subscriberOf(t, hub);
    await put(upstream, 'one', '{"n":1.10}');
    await put(other, 'other', '1');
    const good = await refresh(hub);
    assert.deepEqual([good.completed, good.offset], [true, 1]);
    await subscriber.nextPush();

    await upstream.stop();
    const stale = await refresh(hub);
    assert.deepEqual(outcomes(stale), { one: 'stale', other: 'fresh' });
    assert.deepEqual([stale.upstreams.one.failure, stale.completed, stale.changed, stale.offset, stale.data], ['connect_error', false, false, 1, good.data]);
    assert.equal((await hub.call('feed_get', { feed: 'feed' })).completed, false);
    await assertNothingPushed(hub, subscriber);

    await hub.kill9();
    await hub.restart();
    await put(other, 'other', '2');
    const { text } = await hub.api('feed_refresh', { feed: 'feed' });
    assert.ok(text.includes('"data":{"one":{"n":1.10},"other":2},"changed":true'), text);
    assert.deepEqual(outcomes(JSON.parse(text).result), { one: 'stale', other: 'fresh' });

    const back = await startUpstream(t, { port: upstream.port });
    await put(back, 'one', '{"n":1.10}');
    const recovered = await refresh(hub);
    assert.deepEqual([outcomes(recovered), recovered.completed, recovered.changed], [{ one: 'fresh', other: 'fresh' }, true, false]);
    assert.equal((await hub.call('feed_get', { feed: 'feed' })).completed, true);
  });

  test('is null while it was never good, and never becomes the last good value', async t => {
    const upstream = await startUpstream(t);
    await put(upstream, 'one', '{"error":true}');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one?status=500` }));
    for (const changed of [true, false]) {
      const result = await refresh(hub);
      assert.deepEqual([result.data, result.completed, result.changed, outcomes(result)], [{ one: null }, false, changed, { one: 'http_error' }]);
    }
  });

  test('fails for some parameters: the others keep their own last good values', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, { name: 'feed', channel: 'city:{city}', params: { city: CITY }, upstreams: [{ name: 'one', url: `${upstream.url}/values/{city}` }] });
    await put(upstream, 'bilbao', '1');
    await refresh(hub, 'feed', { city: 'bilbao' });
    const getxo = await refresh(hub, 'feed', { city: 'getxo' });
    assert.deepEqual([getxo.data, getxo.upstreams.one.status], [{ one: null }, 404]);
    await upstream.stop();
    assert.deepEqual((await refresh(hub, 'feed', { city: 'bilbao' })).data, { one: 1 });
    assert.deepEqual((await refresh(hub, 'feed', { city: 'getxo' })).data, { one: null });
  });

  test('speaks no TLS where the URL says https: tls_error', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, feedOf({ one: gate.url.replace('http:', 'https:') }));
    assert.equal((await refresh(hub)).upstreams.one.outcome, 'tls_error');
    assert.equal(gate.n, 0);
  });
});

describe('parameters', { concurrency: true }, () => {
  const byCity = upstream => ({ name: 'city', channel: 'city:{city}', params: { city: CITY }, upstreams: [{ name: 'one', url: `${upstream.url}/air/{city}` }] });

  test('that do not match are refused, by name and pattern, and nothing is asked', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, byCity(gate));
    const bad = ['bilbao/../x', 'Bilbao', '', 'b', 'a'.repeat(41), 'bilbao\n', '\nbilbao', 'bil\nbao', 'bilbao ', 'bilbao\0', 'bilbaö', '%62ilbao', 'a|b', 7, null, true, ['bilbao'], {}];
    for (const method of ['feed_refresh', 'feed_get']) {
      for (const value of bad) {
        const { code, message } = await errorOf(hub, method, { feed: 'city', params: { city: value } });
        assert.equal(code, 107, message);
        assert.match(message, /^bad request: params\.city: /);
        assert.ok(message.endsWith(` does not match ${CITY}`), message);
      }
    }
    assert.equal(gate.n, 0);
  });

  test('that are missing, unknown or there twice are refused', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, byCity(gate));
    const messageOf = async params => {
      const { code, message } = await errorOf(hub, 'feed_refresh', `{"feed":"city"${params}}`);
      assert.equal(code, 107, message);
      return message;
    };
    for (const params of ['', ',"params":{}']) assert.match(await messageOf(params), /params\.city is missing, expected text that matches \[a-z-\]\{2,40\}$/);
    assert.match(await messageOf(',"params":{"city":"bilbao","town":"getxo"}'), /params\.town is not a parameter of the feed city/);
    assert.match(await messageOf(',"params":{"city":"bilbao","city":"getxo"}'), /params/);
    assert.match(await messageOf(',"params":["bilbao"]'), /params: expected an object/);
    assert.equal(gate.n, 0);
  });

  test('a pattern is for the whole value, alternatives too', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, { ...byCity(upstream), params: { city: 'aa|bb' } });
    for (const value of ['aa', 'bb']) assert.equal((await refresh(hub, 'city', { city: value })).data.one.city, value);
    for (const value of ['aax', 'xbb', 'aabb', 'a']) assert.equal((await errorOf(hub, 'feed_refresh', { feed: 'city', params: { city: value } })).code, 107);
  });

  test('escapes in the request are the characters they mean', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, byCity(upstream));
    const result = await hub.call('feed_refresh', '{"f\\u0065ed":"c\\u0069ty","params":{"c\\u0069ty":"bilb\\u0061o"}}');
    assert.deepEqual([result.channel, result.params, result.data.one.city], ['city:bilbao', { city: 'bilbao' }, 'bilbao']);
  });

  const hostile = ['a/b?c=d#e', '/', '//evil.example', '@evil.example', 'x@evil.example:80', '%2e%2e', '%2F', ' spaces  within ', 'a&b=c;d', 'k=v', '+', 'é ü 漢字 😀', '"\\', '[::1]', '{city}', '...', '.a', "';--", '\\..\\x', ':80/', 'a:b'];
  const anyFeed = (gate, upstream) => ({
    name: 'any', channel: 'city:any', params: { v: '.{1,60}' },
    upstreams: [{ name: 'path', url: `${gate.url}/before/{v}/after?q` }, { name: 'query', url: `${upstream.url}/echo?v={v}&last=1` }],
  });
  test('hostile values never leave their place, and arrive as they were', async t => {
    const [gate, upstream] = [await startGate(t), await startUpstream(t)];
    const hub = await startFeedHub(t, anyFeed(gate, upstream));
    for (const value of hostile) {
      const answer = refresh(hub, 'any', { v: value });
      const held = await gate.next();
      held.answer('1');
      const { data: { query }, params, completed } = await answer;
      assert.deepEqual([completed, params], [true, { v: value }], value);
      assert.deepEqual([held.headers.host, query.headers.host], [gate.url, upstream.url].map(url => new URL(url).host), value);
      assert.match(held.url, /^\/before\/[\w.~%-]+\/after\?q$/, value);
      assert.match(query.raw_query, /^v=[\w.~%-]+&last=1$/, value);
      assert.deepEqual([decodeURIComponent(held.url), query.query], [`/before/${value}/after?q`, { v: value, last: '1' }]);
    }
  });

  test('values that would change the path fail that upstream alone', async t => {
    const [gate, upstream] = [await startGate(t), await startUpstream(t)];
    const hub = await startFeedHub(t, anyFeed(gate, upstream));
    for (const value of ['.', '..', '\u0001', 'a\tb']) {
      const { data, upstreams: { path }, completed } = await refresh(hub, 'any', { v: value });
      assert.deepEqual([completed, path.outcome, path.status, data.path], [false, 'skipped', 0, null], value);
      if (value.startsWith('.')) assert.equal(data.query.query.v, value);
    }
    assert.equal(gate.n, 0);
  });

  test('that make no channel are refused', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, { name: 'any', channel: 'city:{v}', params: { v: '.{1,300}' }, upstreams: [{ name: 'one', url: `${gate.url}/?{v}` }] });
    for (const v of ['é', 'a'.repeat(254), '\u007f']) assert.equal((await errorOf(hub, 'feed_refresh', { feed: 'any', params: { v } })).code, 107, v);
    assert.equal(gate.n, 0);
  });
});

describe('feed_get and feeds', { concurrency: true }, () => {
  test('feed_get: 108 before the first refresh, then what it left, also after a restart', async t => {
    const upstream = await startUpstream(t);
    const feed = { name: 'feed', channel: 'city:{city}', params: { city: CITY }, upstreams: [{ name: 'one', url: `${upstream.url}/values/{city}` }] };
    const hub = await startFeedHub(t, feed);
    await put(upstream, 'bilbao', '{"n":1.10}');
    const params = { city: 'bilbao' };
    const { code, message } = await errorOf(hub, 'feed_get', { feed: 'feed', params });
    assert.equal(code, 108);
    assert.match(message, /^not available: /);

    const { changed: _, held: __, upstreams: ___, ...left } = await refresh(hub, 'feed', params);
    assert.deepEqual(await hub.call('feed_get', { feed: 'feed', params }), left);
    assert.equal((await errorOf(hub, 'feed_get', { feed: 'feed', params: { city: 'getxo' } })).code, 108);
    await upstream.stop();
    await hub.stop();
    await hub.restart();
    const { text, json } = await hub.api('feed_get', { feed: 'feed', params });
    assert.deepEqual(json.result, left);
    assert.ok(text.includes('"data":{"one":{"n":1.10}}'), text);
  });

  test('a feed nobody knows: 102', async t => {
    const hub = await startFeedHub(t, []);
    for (const method of ['feed_refresh', 'feed_get']) {
      const { code, message } = await errorOf(hub, method, { feed: 'nothing' });
      assert.deepEqual([code, message], [102, 'unknown channel: no feed is called "nothing"']);
    }
    assert.deepEqual(await hub.call('feeds'), { feeds: [] });
  });

  test('feeds lists what is configured and counts what happened', async t => {
    const upstream = await startUpstream(t);
    await put(upstream, 'one', '1');
    const hub = await startFeedHub(t, [feedOf({ one: `${upstream.url}/values/one`, two: `${upstream.url}/status/500` }), { ...feedOf({ x: `${upstream.url}/` }), name: 'idle', channel: 'city:{city}', params: { city: CITY } }]);
    await refresh(hub);
    await refresh(hub);
    const { feeds: [feed, idle] } = await hub.call('feeds');
    const none = { running: 0, refreshes: 0, shared: 0, changed: 0, incomplete: 0, failed: 0, scheduled: 0, not_modified: 0, watched: 0 };
    const { state: { last_time: time, last_duration_ms: duration, ...counts }, upstreams, ...about } = feed;
    assert.deepEqual(about, { name: 'feed', channel: 'city:feed', params: {} });
    assert.deepEqual(upstreams.map(({ name, calls }) => [name, calls]), [['one', 2], ['two', 2]]);
    assert.deepEqual(counts, { ...none, refreshes: 2, changed: 1, incomplete: 2, not_modified: 1 });
    assert.ok(time > 1e12 && duration > 0);
    const { upstreams: [x], ...rest } = idle;
    assert.deepEqual([x.name, x.calls], ['x', 0]);
    assert.deepEqual(rest, { name: 'idle', channel: 'city:{city}', params: { city: CITY }, state: { ...none, last_time: 0, last_duration_ms: 0 } });
  });
});
