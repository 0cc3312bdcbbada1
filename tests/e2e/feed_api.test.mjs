// The API's words about feeds: what a refresh says of each upstream, runs, purging, the list, and errors that are an upstream's fault.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { openSession } from './lib/session.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const namespaces = [{ name: 'kept', history_size: 10, history_ttl: '1h' }];
const CITY = '[a-z-]{2,40}';

function startFeedHub(t, feeds, config = {}) {
  const list = [feeds].flat().map(feed => ({ timeout: '60s', ...feed }));
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces }, feeds: list, ...config } });
}

const feedOf = (upstreams, more = {}) => ({
  name: 'feed', channel: 'kept:feed', ...more,
  upstreams: Object.entries(upstreams).map(([name, what]) => ({ name, ...(typeof what === 'string' ? { url: what } : what) })),
});
const cityOf = (url, more = {}) => ({ name: 'city', channel: 'kept:{city}', params: { city: CITY }, upstreams: [{ name: 'one', url }], ...more });
const refresh = (hub, params, feed = 'feed') => hub.call('feed_refresh', { feed, params });

async function errorOf(hub, method, body, status = 200) {
  const answer = await hub.api(method, body);
  assert.equal(answer.status, status, answer.text);
  assert.deepEqual(Object.keys(answer.json), ['error'], answer.text);
  return answer.json.error;
}

describe('feed_refresh says of each upstream', { concurrency: true }, () => {
  test('what was asked and how long each part took', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '{"n":1.10}');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one?latency=20ms` }));
    const { upstreams: { one }, held } = await refresh(hub);
    assert.equal(held, false);
    const times = ['duration_ms', 'queue_ms', 'dns_ms', 'connect_ms', 'first_byte_ms'];
    const { outcome, status, bytes, attempts, age_ms: age, ...rest } = one;
    assert.deepEqual({ outcome, status, bytes, attempts, age }, { outcome: 'fresh', status: 200, bytes: 10, attempts: 1, age: 0 });
    assert.deepEqual(Object.keys(rest).sort(), [...times].sort());
    for (const name of times) assert.ok(rest[name] >= 0 && rest[name] <= rest.duration_ms, `${name}: ${rest[name]}`);
    assert.ok(rest.connect_ms > 0 && rest.first_byte_ms >= 19, JSON.stringify(rest));
  });

  test('how old a value is that stands in, and why it does', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '1');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one`, never: `${upstream.url}/status/404` }));
    const { upstreams: { never } } = await refresh(hub);
    assert.deepEqual([never.outcome, never.failure, never.age_ms, never.status], ['http_error', 'http_error', null, 404]);
    assert.equal(never.error, 'status 404, expected 200 to 299');
    await upstream.stop();
    const { upstreams: { one } } = await refresh(hub);
    assert.deepEqual([one.outcome, one.failure, one.status], ['stale', 'connect_error', 0]);
    assert.ok(one.age_ms >= 0 && one.error.length > 0);
  });

  test('each attempt of a retry', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/json?fail=2&fail_status=503`, retry: { attempts: 3, backoff: '1ms' } } }));
    const { upstreams: { one } } = await refresh(hub);
    assert.deepEqual([one.outcome, one.status, one.attempts], ['fresh', 200, 3]);
  });

  test('that it was not modified', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/json?etag=1` }));
    const first = await refresh(hub);
    const second = await refresh(hub);
    assert.deepEqual([first.upstreams.one.status, second.upstreams.one.status], [200, 304]);
    assert.deepEqual([second.upstreams.one.outcome, second.upstreams.one.bytes, second.upstreams.one.age_ms], ['fresh', 0, 0]);
    assert.deepEqual([second.changed, second.data], [false, first.data]);
  });

  test('feed_get has none of it', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/json` }));
    const { upstreams, changed, held, time, ...left } = await refresh(hub);
    const { time: got, ...rest } = await hub.call('feed_get', { feed: 'feed' });
    assert.deepEqual(rest, left);
    assert.equal(got, time);
  });

  test('held: the publication waits for min_interval, the document does not', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '1');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one` }, { min_interval: '10m' }));
    assert.equal((await refresh(hub)).held, false);
    await upstream.put('one', '2');
    const { held, changed, data, offset } = await refresh(hub);
    assert.deepEqual([held, changed, data, offset], [true, true, { one: 2 }, 1]);
    assert.deepEqual((await hub.call('feed_get', { feed: 'feed' })).data, { one: 2 });
    const { publications } = await hub.call('history', { channel: 'kept:feed', limit: -1 });
    assert.deepEqual(publications.map(publication => publication.data), [{ one: 1 }]);
  });
});

describe('a required upstream', { concurrency: true }, () => {
  const required = url => ({ url, on_failure: 'fail' });

  test('that fails: 502 with the usual error; nothing is stored or pushed', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('good', '1');
    const hub = await startFeedHub(t, feedOf({ good: `${upstream.url}/values/good`, bad: required(`${upstream.url}/status/500`) }));
    const { code, message } = await errorOf(hub, 'feed_refresh', { feed: 'feed' }, 502);
    assert.equal(code, 502);
    assert.match(message, /^upstream failed: .*bad/);
    assert.equal((await errorOf(hub, 'feed_get', { feed: 'feed' })).code, 108);
    assert.deepEqual((await hub.call('history', { channel: 'kept:feed', limit: -1 })).publications, []);
  });

  test('that is late: 504', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ late: required(`${upstream.url}/json?hang=1`) }, { timeout: '200ms' }));
    const { code, message } = await errorOf(hub, 'feed_refresh', { feed: 'feed' }, 504);
    assert.equal(code, 504);
    assert.match(message, /^upstream timeout: .*late/);
  });

  test('that has answered is as any other', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: required(`${upstream.url}/json`) }));
    assert.equal((await refresh(hub)).completed, true);
  });
});

describe('feed_purge', { concurrency: true }, () => {
  async function startFull(t) {
    const upstream = await startUpstream(t);
    const cities = ['bilbao', 'getxo', 'leioa'];
    for (const city of cities) await upstream.put(city, `"${city}"`);
    const hub = await startFeedHub(t, [cityOf(`${upstream.url}/values/{city}`), feedOf({ one: `${upstream.url}/values/bilbao` })]);
    for (const city of cities) await refresh(hub, { city }, 'city');
    await refresh(hub);
    return { upstream, hub, cities };
  }
  const has = async (hub, params, feed = 'city') => (await hub.api('feed_get', { feed, params })).json.result !== undefined;

  test('forgets one set of parameters', async t => {
    const { hub } = await startFull(t);
    assert.deepEqual(await hub.call('feed_purge', { feed: 'city', params: { city: 'getxo' } }), { removed: 1 });
    assert.deepEqual(await hub.call('feed_purge', { feed: 'city', params: { city: 'getxo' } }), { removed: 0 });
    assert.deepEqual([await has(hub, { city: 'getxo' }), await has(hub, { city: 'bilbao' }), await has(hub, {}, 'feed')], [false, true, true]);
  });

  test('forgets all of a feed, for good', async t => {
    const { hub, cities } = await startFull(t);
    assert.deepEqual(await hub.call('feed_purge', { feed: 'city' }), { removed: 3 });
    for (const city of cities) assert.equal(await has(hub, { city }), false);
    await hub.kill9();
    await hub.restart();
    for (const city of cities) assert.equal(await has(hub, { city }), false);
    assert.equal(await has(hub, {}, 'feed'), true);
  });

  test('forgets the last good values, too', async t => {
    const { upstream, hub } = await startFull(t);
    await hub.call('feed_purge', { feed: 'feed', params: {} });
    await upstream.stop();
    const { data, changed } = await refresh(hub);
    assert.deepEqual([data, changed], [{ one: null }, true]);
  });

  test('refuses what it does not know', async t => {
    const { hub } = await startFull(t);
    assert.equal((await errorOf(hub, 'feed_purge', { feed: 'nothing' })).code, 102);
    assert.equal((await errorOf(hub, 'feed_purge', {})).code, 107);
    assert.match((await errorOf(hub, 'feed_purge', { feed: 'city', params: { city: 'B' } })).message, /params\.city/);
    assert.match((await errorOf(hub, 'feed_purge', { feed: 'city', params: {} })).message, /params\.city is missing/);
    assert.match((await errorOf(hub, 'feed_purge', { feed: 'city', params: [] })).message, /params: expected an object/);
  });
});

describe('feed_runs', { concurrency: true }, () => {
  const runs = async (hub, request = {}) => (await hub.call('feed_runs', { feed: 'feed', ...request })).runs;

  test('how the last ones went, newest first', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '123');
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/values/one`, two: `${upstream.url}/json?fail=1&fail_status=503` }));
    const { time } = await refresh(hub);
    await refresh(hub);
    const [second, first] = await runs(hub);
    assert.deepEqual([first.outcome, second.outcome, first.trigger, first.params], ['incomplete', 'completed', 'api', {}]);
    assert.ok(first.duration_ms > 0 && second.time >= first.time && Math.abs(first.time - time) < 60_000);
    assert.deepEqual(first.upstreams.map(({ name }) => name), ['one', 'two']);
    const [{ duration_ms: duration, ...one }, { duration_ms: _, ...two }] = first.upstreams;
    assert.deepEqual(one, { name: 'one', outcome: 'fresh', status: 200, bytes: 3, attempts: 1 });
    assert.ok(duration > 0);
    assert.deepEqual([two.outcome, two.status, two.attempts], ['http_error', 503, 1]);
  });

  test('of one upstream, of some parameters, and no more than limit', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, { ...cityOf(''), upstreams: ['one', 'two'].map(name => ({ name, url: `${upstream.url}/air/{city}` })) });
    for (const city of ['bilbao', 'getxo', 'bilbao']) await refresh(hub, { city }, 'city');
    const ask = request => runs(hub, { feed: 'city', ...request });
    assert.deepEqual((await ask()).map(({ params }) => params.city), ['bilbao', 'getxo', 'bilbao']);
    assert.deepEqual((await ask({ limit: 2 })).map(({ params }) => params.city), ['bilbao', 'getxo']);
    assert.deepEqual((await ask({ params: { city: 'getxo' } })).map(({ params }) => params.city), ['getxo']);
    for (const { upstreams, trigger } of await ask({ upstream: 'two' })) {
      assert.deepEqual([upstreams.map(({ name }) => name), trigger], [['two'], 'api']);
    }
  });

  test('are kept across a restart, as many as runs_size', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, [feedOf({ one: `${upstream.url}/json` }, { runs_size: 3 }), feedOf({ one: `${upstream.url}/json` }, { name: 'none', runs_size: 0 })]);
    for (let i = 0; i < 5; i += 1) await refresh(hub);
    await refresh(hub, {}, 'none');
    const before = await runs(hub);
    assert.equal(before.length, 3);
    await hub.stop();
    await hub.restart();
    assert.deepEqual(await runs(hub), before);
    assert.deepEqual(await runs(hub, { feed: 'none' }), []);
  });

  test('a failed one is there, too', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/status/500`, on_failure: 'fail' } }));
    await errorOf(hub, 'feed_refresh', { feed: 'feed' }, 502);
    assert.deepEqual((await runs(hub)).map(({ outcome }) => outcome), ['failed']);
  });

  test('refuses what it does not know', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, [feedOf({ one: `${upstream.url}/json` }), cityOf(`${upstream.url}/`)]);
    const messageOf = async request => (await errorOf(hub, 'feed_runs', request)).message;
    assert.equal((await errorOf(hub, 'feed_runs', { feed: 'nothing' })).code, 102);
    for (const limit of [0, 1001, -1]) assert.match(await messageOf({ feed: 'feed', limit }), /limit: expected a number from 1 to 1000/);
    assert.match(await messageOf({ feed: 'feed', limit: 'x' }), /limit: expected a whole number/);
    assert.match(await messageOf({ feed: 'feed', upstream: 'two' }), /upstream: expected the name of an upstream of this feed/);
    assert.match(await messageOf({ feed: 'city', params: { city: 'B' } }), /params\.city/);
    assert.deepEqual(await runs(hub, { limit: 1000 }), []);
  });
});

describe('feeds', { concurrency: true }, () => {
  test('has the figures of each upstream', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({
      good: `${upstream.url}/json`,
      bad: { url: await refusedUrl(t, upstream), breaker: { failures: 2, open: '5m' } },
      again: { url: `${upstream.url}/json?fail=1&fail_status=503`, retry: { attempts: 1, backoff: '1ms' } },
      never: { url: `${upstream.url}/status/503`, retry: { attempts: 10, backoff: '1ms', max_backoff: '1ms', budget: 0 }, breaker: { failures: 0 } },
    }));
    for (let i = 0; i < 3; i += 1) await refresh(hub);
    const { feeds: [{ upstreams: [good, bad, again, never], state }] } = await hub.call('feeds');
    const { p50_ms: p50, p90_ms: p90, p99_ms: p99, outcomes, ...rest } = good;
    assert.deepEqual(rest, {
      name: 'good', breaker: 'closed', breaker_opened: 0, calls: 3, attempts: 3, retries: 0, hedges: 0, hedges_won: 0, budget_spent: 0, active: 0, waiting: 0,
    });
    assert.ok(p50 > 0 && p50 <= p90 && p90 <= p99);
    assert.deepEqual([outcomes.ok, outcomes.timeout, Object.keys(outcomes).length], [3, 0, 12]);
    assert.deepEqual([bad.breaker, bad.breaker_opened, bad.outcomes.connect_error, bad.outcomes.breaker_open, bad.calls], ['open', 1, 2, 1, 3]);
    assert.equal(bad.p50_ms, null);
    assert.deepEqual([again.calls, again.attempts, again.retries, again.outcomes.ok], [3, 4, 1, 3]);
    assert.ok(never.budget_spent > 0, JSON.stringify(never)); // ten a second are free
    assert.deepEqual([state.refreshes, state.incomplete, state.scheduled, state.watched], [3, 3, 0, 0]);
  });

  test('and the log has both that a breaker opened and that it closed, however soon', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/json?fail=1&fail_status=500`, breaker: { failures: 1, open: '10ms', max_open: '10ms' } } }));
    const untilFresh = async () => {
      while ((await refresh(hub)).upstreams.one.outcome !== 'fresh');
    };
    await within(untilFresh(), 'an upstream that is asked again');
    for (const event of ['breaker_opened', 'breaker_closed']) await hub.waitForLine(line => line.includes(event) && line.includes('one'));
  });

  test('counts what is under way, what is watched and what nobody asked for', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: `${gate.url}/`, max_concurrent: 1 } }, { refresh: { every: '100ms' } }));
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:feed' });
    const held = await gate.next();
    const listed = async () => (await hub.call('feeds')).feeds[0];
    const { state, upstreams: [one] } = await listed();
    assert.deepEqual([state.running, state.watched, one.active, one.waiting], [1, 1, 1, 0]);
    held.answer('1');
    (await gate.next()).answer('2');
    const scheduled = async () => {
      while ((await listed()).state.scheduled < 1);
    };
    await within(scheduled(), 'a refresh that nobody asked for');
  });

  test('counts answers that were 304', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: `${upstream.url}/json?etag=1` }));
    for (let i = 0; i < 3; i += 1) await refresh(hub);
    const { feeds: [{ state, upstreams: [one] }] } = await hub.call('feeds');
    assert.deepEqual([state.not_modified, one.outcomes.not_modified, one.outcomes.ok], [2, 2, 1]);
  });
});
