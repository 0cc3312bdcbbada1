// When feeds are fetched without being asked: while somebody watches, always, for the first subscriber, after an upstream's word;
// and when they are left in peace. The upstreams are gates: a test sees every request, and answers it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { openSession } from './lib/session.mjs';

const namespaces = [
  { name: 'live' },
  { name: 'kept', history_size: 5, history_ttl: '1h', force_positioning: true },
  { name: 'cache', history_size: 1, history_ttl: '1h', force_recovery: true, force_recovery_mode: 'cache', auto_cache_recover: true },
];

function startFeedHub(t, feeds, config = {}) {
  const withDefaults = [feeds].flat().map(feed => ({ name: 'feed', channel: 'live:feed', timeout: '60s', ...feed }));
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces }, feeds: withDefaults, ...config } });
}

const one = (gate, more = {}) => [{ name: 'a', url: `${gate.url}/a`, ...more }];
const stateOf = async hub => (await hub.call('feeds')).feeds[0].state;

function stateWhen(hub, satisfies) {
  const ask = async () => {
    for (;;) {
      const state = await stateOf(hub);
      if (satisfies(state)) return state;
    }
  };
  return within(ask(), "the awaited state of the hub's feed");
}

async function subscriberOf(t, hub, channel = 'live:feed') {
  const session = await openSession(t, hub);
  session.result = await session.ok('subscribe', { channel });
  return session;
}

const pushed = async session => (await session.nextPush()).pub.data;

describe('a watched feed', { concurrency: true }, () => {
  test('is fetched for its first subscriber, and again and again', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { refresh: { every: '100ms' }, upstreams: one(gate) });
    assert.equal((await stateOf(hub)).watched, 0);
    assert.equal(gate.n, 0, 'nobody watches: nothing is fetched');
    const session = await subscriberOf(t, hub);
    assert.equal(session.result.publications, undefined, 'there is no snapshot yet');
    for (const n of [1, 2, 3]) {
      (await gate.next()).answer({ n });
      assert.deepEqual(await pushed(session), { a: { n } });
    }
    const { watched, scheduled, refreshes } = await stateOf(hub);
    assert.equal(watched, 1);
    assert.ok(scheduled >= 3 && refreshes >= 3);
  });

  test('is not fetched twice at a time, however slow it is', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, [
      { name: 'feed', refresh: { every: '100ms' }, upstreams: one(gate) },
      { name: 'fast', channel: 'live:fast', refresh: { every: '100ms' }, upstreams: [{ name: 'b', url: `${(await startGate(t, { open: true })).url}/b` }] },
    ]);
    await subscriberOf(t, hub);
    const fast = await subscriberOf(t, hub, 'live:fast');
    const held = await gate.next();
    await pushed(fast);
    // The other feed's time passes five times meanwhile.
    await within((async () => {
      while ((await hub.call('feeds')).feeds[1].state.refreshes < 5);
    })(), 'five runs of the other feed');
    assert.equal(gate.n, 1);
    held.answer({});
    await gate.next();
  });

  test('stops after the grace, and not before', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, [
      { refresh: { every: '100ms', grace: '300ms' }, upstreams: one(gate) },
      { name: 'other', channel: 'live:other', refresh: { every: '100ms' }, push: 'always', upstreams: one(await startGate(t, { open: true })) },
    ]);
    const session = await subscriberOf(t, hub);
    await pushed(session);
    await session.ok('unsubscribe', { channel: 'live:feed' });
    assert.equal((await stateOf(hub)).watched, 1, 'it goes on for the grace');
    await stateWhen(hub, state => state.watched === 0 && state.running === 0);
    const before = gate.n;
    assert.ok(before > 1, 'it did go on');
    const other = await subscriberOf(t, hub, 'live:other');
    for (let n = 0; n < 5; n++) await pushed(other); // the time of five more runs
    assert.equal(gate.n, before, 'nobody watches it');
  });

  test('who comes back within the grace finds it running: no request of his own', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { refresh: { every: '60s', grace: '60s' }, upstreams: one(gate) });
    const first = await subscriberOf(t, hub);
    (await gate.next()).answer({ n: 1 });
    assert.deepEqual(await pushed(first), { a: { n: 1 } });
    await first.ok('unsubscribe', { channel: 'live:feed' });
    const second = await subscriberOf(t, hub);
    assert.deepEqual(second.result.publications, [{ data: { a: { n: 1 } } }]);
    assert.equal(gate.n, 1);
    assert.equal((await stateOf(hub)).watched, 1);
  });

  test('has a schedule for each of its parameters', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, {
      channel: 'live:city-{city}', params: { city: '[a-z]+' }, refresh: { every: '60s' },
      upstreams: [{ name: 'a', url: `${gate.url}/{city}` }],
    });
    await subscriberOf(t, hub, 'live:city-bilbao');
    const bilbao = await gate.next();
    await subscriberOf(t, hub, 'live:city-bonn');
    const bonn = await gate.next();
    assert.deepEqual([bilbao.url, bonn.url], ['/bilbao', '/bonn']);
    await subscriberOf(t, hub, 'live:city-BONN'); // no such value: nothing is fetched for it
    await subscriberOf(t, hub, 'live:town-bonn');
    assert.equal((await stateOf(hub)).watched, 2);
    assert.equal(gate.n, 2);
  });

  test('upstreams.max_watched: one too many is not refreshed by itself, and is counted', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, {
      channel: 'live:{city}', params: { city: '[a-z]+' }, refresh: { every: '100ms', grace: '0s' },
      upstreams: [{ name: 'a', url: `${gate.url}/{city}` }],
    }, { upstreams: { max_watched: 1 }, prometheus: { enabled: true } });
    await subscriberOf(t, hub, 'live:a');
    const session = await subscriberOf(t, hub, 'live:b');
    assert.equal((await stateOf(hub)).watched, 1);
    const { text } = await hub.request('GET', '/metrics');
    assert.match(text, /^belfry_feed_watch_refused_total 1$/m);
    assert.deepEqual(await pushed(session), { a: {} }, 'its first snapshot comes all the same: it was too old');
  });

  test('an upstream that always fails is asked less and less', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, {
      refresh: { every: '100ms', jitter: 0 }, upstreams: one(gate, { breaker: { failures: 2, open: '60s' } }),
    });
    await subscriberOf(t, hub);
    for (let i = 0; i < 2; i++) (await gate.next()).answer({}, { status: 500 });
    const { upstreams: [{ breaker }] } = await within((async () => {
      for (;;) {
        const [feed] = (await hub.call('feeds')).feeds;
        if (feed.upstreams[0].outcomes.breaker_open > 0) return feed;
      }
    })(), 'a run that finds the breaker open');
    assert.equal(breaker, 'open');
    assert.equal(gate.n, 2);
  });
});

describe('a feed that is refreshed always', { concurrency: true }, () => {
  test('needs nobody, and has its snapshot ready', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { refresh: { every: '100ms', while: 'always' }, upstreams: one(gate) });
    for (const n of [1, 2]) (await gate.next()).answer({ n });
    await gate.next(); // the second has been dealt with
    assert.deepEqual((await hub.call('feed_get', { feed: 'feed' })).data, { a: { n: 2 } });
  });
});

describe('a new subscriber', { concurrency: true }, () => {
  for (const [what, channel] of [['without history', 'live:feed'], ['with history', 'kept:feed'], ['with a cache', 'cache:feed']]) {
    test(`gets the last snapshot at once, in a channel ${what}`, async t => {
      const gate = await startGate(t);
      const hub = await startFeedHub(t, { channel, upstreams: one(gate) });
      const refresh = hub.call('feed_refresh', { feed: 'feed' });
      (await gate.next()).answer('{"n":1.10}');
      await refresh;
      const { result } = await subscriberOf(t, hub, channel);
      assert.deepEqual(result.publications.map(({ data }) => data), [{ a: { n: 1.1 } }]);
      assert.equal(gate.n, 1, 'nothing says how old it may be');
      await hub.stop();
      await hub.restart();
      const again = await subscriberOf(t, hub, channel);
      assert.deepEqual(again.result.publications.map(({ data }) => data), [{ a: { n: 1.1 } }], 'it is read from the storage');
    });
  }

  test('gets what he missed, and not the snapshot as well, when he recovers', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, { channel: 'rec:feed', upstreams: one(gate) }, { channel: { namespaces: [...namespaces, { name: 'rec', history_size: 5, history_ttl: '1h', force_recovery: true }] } });
    const { epoch, offset } = await hub.call('feed_refresh', { feed: 'feed' });
    const session = await openSession(t, hub);
    const result = await session.ok('subscribe', { channel: 'rec:feed', recover: true, epoch, offset });
    assert.equal(result.recovered, true);
    assert.equal(result.publications, undefined);
  });

  test('makes the feed fresh when the snapshot is older than max_age', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { max_age: '1ms', upstreams: one(gate) });
    const first = await subscriberOf(t, hub);
    (await gate.next()).answer({ n: 1 });
    assert.deepEqual(await pushed(first), { a: { n: 1 } });
    const second = await subscriberOf(t, hub);
    assert.deepEqual(second.result.publications, [{ data: { a: { n: 1 } } }], 'the old one at once');
    (await gate.next()).answer({ n: 2 });
    for (const session of [first, second]) assert.deepEqual(await pushed(session), { a: { n: 2 } });
  });

  test('leaves it alone when it is young enough', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { max_age: '60s', upstreams: one(gate) });
    await subscriberOf(t, hub);
    (await gate.next()).answer({ n: 1 });
    await stateWhen(hub, state => state.refreshes === 1);
    const { result } = await subscriberOf(t, hub);
    assert.equal(result.publications.length, 1);
    assert.deepEqual(await stateOf(hub).then(({ running, refreshes }) => ({ running, refreshes })), { running: 0, refreshes: 1 });
    assert.equal(gate.n, 1);
  });
});

describe('respect_cache', { concurrency: true }, () => {
  const refresh = { every: '100ms', respect_cache: true, jitter: 0 };

  test('an answer that is good for a minute is not asked for again; the others are', async t => {
    const [slow, quick] = [await startGate(t), await startGate(t)];
    const hub = await startFeedHub(t, { refresh, upstreams: [...one(slow), { name: 'b', url: `${quick.url}/b` }] });
    const session = await subscriberOf(t, hub);
    (await slow.next()).answer({ n: 1 }, { headers: { 'cache-control': 'public, max-age=60' } });
    for (let n = 1; n <= 4; n++) {
      (await quick.next()).answer({ n });
      assert.deepEqual(await pushed(session), { a: { n: 1 }, b: { n } });
    }
    assert.equal(slow.n, 1);
    const run = (await hub.call('feed_runs', { feed: 'feed', limit: 1 })).runs[0];
    assert.deepEqual(run.upstreams.map(({ outcome }) => outcome), ['cached', 'fresh']);
    assert.equal(run.outcome, 'completed');
  });

  test('who asks for a refresh gets one', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { refresh, upstreams: one(gate) });
    const session = await subscriberOf(t, hub);
    (await gate.next()).answer({ n: 1 }, { headers: { 'cache-control': 'max-age=60' } });
    await pushed(session); // who asked before would share that run
    const asked = hub.call('feed_refresh', { feed: 'feed' });
    (await gate.next()).answer({ n: 2 });
    assert.deepEqual((await asked).data, { a: { n: 2 } });
  });

  test('Retry-After: the upstream has its rest, its last good value stays', async t => {
    const [tired, quick] = [await startGate(t), await startGate(t)];
    const hub = await startFeedHub(t, { refresh, upstreams: [...one(tired), { name: 'b', url: `${quick.url}/b` }] });
    const session = await subscriberOf(t, hub);
    (await tired.next()).answer({ n: 1 });
    (await quick.next()).answer({ n: 1 });
    await pushed(session);
    (await tired.next()).answer({}, { status: 429, headers: { 'retry-after': '60' } });
    for (let n = 2; n <= 5; n++) {
      (await quick.next()).answer({ n });
      assert.deepEqual(await pushed(session), { a: { n: 1 }, b: { n } });
    }
    assert.equal(tired.n, 2);
    const { upstreams: [a] } = (await hub.call('feed_runs', { feed: 'feed', limit: 1 })).runs[0];
    assert.deepEqual([a.outcome, a.failure], ['stale', 'rate_limited']);
  });

  test('without it the schedule is all that counts', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, { refresh: { every: '100ms' }, upstreams: one(gate) });
    await subscriberOf(t, hub);
    for (let n = 0; n < 3; n++) (await gate.next()).answer({ n }, { headers: { 'cache-control': 'max-age=60' } });
    await gate.next();
  });
});
