// How upstreams are asked: the request, timeouts, retries, limits, the circuit breaker, second copies, redirects, and how long
// each part took. Connections as such are in feed_transport.test.mjs, faults in feed_faults.test.mjs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { makeCertificate } from './lib/certificate.mjs';
import { check, temporaryFolder } from './lib/command.mjs';
import { feedOf, figures, namespaces, numbered, refresh, startFeedHub, upstreamOf, upstreamWhen } from './lib/feed.mjs';
import { startGate } from './lib/gate.mjs';
import { slowDns } from './lib/slow_dns.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const LONG = '10m';
const NO_BREAKER = { failures: 0 };
const numbers = n => Array.from({ length: n }, (_, i) => ({ n: String(i) }));
const encoded = encodeURIComponent;

describe('a request', { concurrency: true }, () => {
  const hostile = ['plain', 'é ü 漢字 😀', '"\\', 'a&b=c;d', '#?/', '{n}', '${n}', ' two  blanks ', 'x","y":"z', '%41', '+', "';--"];
  const echoOf = (upstream, what) => numbered({ one: { url: `${upstream.url}/echo`, ...what } }, { params: { n: '[0-9]+', text: '.{1,60}' }, channel: 'live:feed' });
  const asked = async (hub, params) => (await refresh(hub, params)).data.one;

  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    test(`${method}, with headers and query parameters`, async t => {
      const upstream = await startUpstream(t);
      const hub = await startFeedHub(t, echoOf(upstream, {
        url: `${upstream.url}/echo?first=1`, method, query: { q: '{text}', 'a b': 'c&d{n}' }, headers: { 'X-Number': 'no. {n}', Authorization: 'Bearer k', 'X-Braces': '{ {}' },
      }));
      for (const text of hostile) {
        const one = await asked(hub, { n: '7', text });
        assert.deepEqual([one.method, one.query, one.body], [method, { first: '1', q: text, 'a b': 'c&d7' }, '']);
        const { 'x-number': number, authorization, 'x-braces': braces, accept, host } = one.headers;
        assert.deepEqual({ number, authorization, braces, accept, host }, { number: 'no. 7', authorization: 'Bearer k', braces: '{ {}', accept: 'application/json', host: `127.0.0.1:${upstream.port}` });
      }
    });
  }

  test('a JSON body says what the values are, whatever they are', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, echoOf(upstream, { method: 'POST', body: '{"text":"<{text}>","n":{n},"list":[{n},"{n}"]}' }));
    for (const text of hostile) {
      const one = await asked(hub, { n: '12', text });
      assert.equal(one.headers['content-type'], 'application/json');
      assert.deepEqual(JSON.parse(one.body), { text: `<${text}>`, n: 12, list: [12, '12'] });
    }
  });

  test('a value that is no number stands in no place of one: nothing is asked', async t => {
    const trap = await startGate(t, { open: true });
    const hub = await startFeedHub(t, echoOf(trap, { method: 'POST', body: '{"n":{text}}' }));
    for (const text of ['a', '1,"x":2', '"1"', '[1]', '01']) {
      const { upstreams: { one } } = await refresh(hub, { n: '1', text });
      assert.deepEqual([one.outcome, one.attempts], ['skipped', 0], text);
      assert.ok(one.error, text);
    }
    assert.equal(trap.n, 0);
  });

  test('a form body', async t => {
    const upstream = await startUpstream(t);
    const type = 'application/x-www-form-urlencoded';
    const hub = await startFeedHub(t, echoOf(upstream, { method: 'POST', headers: { 'Content-Type': type }, body: 'text={text}&n={n}' }));
    for (const text of hostile) {
      const one = await asked(hub, { n: '12', text });
      assert.equal(one.headers['content-type'], type);
      assert.deepEqual([...new URLSearchParams(one.body)], [['text', text], ['n', '12']]);
    }
  });

  test('another body stands as it is', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, echoOf(upstream, { method: 'PUT', headers: { 'content-type': 'text/plain' }, body: '{n}: {text} { }' }));
    for (const text of hostile) assert.equal((await asked(hub, { n: '12', text })).body, `12: ${text} { }`);
  });

  test('a value that makes no header: nothing is asked', async t => {
    const trap = await startGate(t, { open: true });
    const hub = await startFeedHub(t, numbered({ one: { url: trap.url, headers: { 'X-Text': '{text}' } } }, { params: { text: '(.|\n|\r)+' }, channel: 'live:feed' }));
    for (const text of ['a\nX-Evil: 1', 'a\r', '\u007f']) {
      const { status, json } = await hub.api('feed_refresh', { feed: 'feed', params: { text } });
      assert.ok(status === 200 && (json.error?.code === 107 || json.result.upstreams.one.outcome === 'skipped'), JSON.stringify(json));
    }
    assert.equal(trap.n, 0);
  });
});

describe('a timeout', { concurrency: true }, () => {
  test('of connecting is for each attempt', async t => {
    const upstream = await startUpstream(t, { blackHole: true });
    const one = { url: upstream.blackHoleUrl, connect_timeout: '100ms', retry: { attempts: 2, backoff: '1ms' } };
    const hub = await startFeedHub(t, feedOf({ one, good: `${upstream.url}/health` }));
    const { upstreams } = await refresh(hub);
    assert.deepEqual([upstreams.one.outcome, upstreams.one.attempts, upstreams.one.status], ['timeout', 3, 0]);
    assert.equal(upstreams.good.outcome, 'fresh');
  });

  test('of all is for all attempts: the request is given up', async t => {
    const [upstream, gate] = [await startUpstream(t), await startGate(t)];
    const hub = await startFeedHub(t, feedOf({ one: { url: gate.url, timeout: '300ms', retry: { attempts: 3, backoff: '1ms' } }, good: `${upstream.url}/health` }));
    const answer = refresh(hub);
    const held = await gate.next();
    const { upstreams } = await answer;
    await held.gone;
    assert.deepEqual([upstreams.one.outcome, upstreams.one.attempts, upstreams.good.outcome, gate.n], ['timeout', 1, 'fresh', 1]);
  });

  test('counts while a place is waited for', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, [feedOf({ one: gate.url }), { ...feedOf({ two: { url: gate.url, timeout: '300ms', breaker: { failures: 1 } } }), name: 'other', channel: 'live:other' }], { config: { upstreams: { max_concurrent_per_host: 1 } } });
    const answer = refresh(hub);
    const held = await gate.next();
    const { upstreams: { two } } = await refresh(hub, undefined, 'other');
    assert.deepEqual([two.outcome, two.attempts, two.connect_ms], ['timeout', 0, 0]);
    assert.ok(two.queue_ms > 0 && two.queue_ms <= two.duration_ms, JSON.stringify(two));
    held.answer({});
    const { upstreams: { one } } = await answer;
    assert.deepEqual([one.outcome, one.attempts, gate.n], ['fresh', 1, 1]);
    assert.equal((await upstreamOf(hub, 'two', 'other')).breaker, 'closed'); // the upstream was never asked
  });
});

describe('a retry', { concurrency: true }, () => {
  const quick = more => ({ attempts: 3, backoff: '1ms', ...more });

  for (const fault of ['fail_status=429', 'fail_status=502', 'fail_status=503', 'fail_status=504', 'fail_with=reset']) {
    test(`mends ${fault}`, async t => {
      const upstream = await startUpstream(t);
      const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/health?fail=2&${fault}`, retry: quick() } }));
      const { upstreams: { one }, completed } = await refresh(hub);
      assert.deepEqual([one.outcome, one.status, one.attempts, completed], ['fresh', 200, 3, true]);
      assert.equal((await upstream.stats()).by_path['/health'], 3);
      const { calls, attempts, retries, breaker } = await upstreamOf(hub, 'one');
      assert.deepEqual({ calls, attempts, retries, breaker }, { calls: 1, attempts: 3, retries: 2, breaker: 'closed' });
      const figure = await figures(hub, 'one');
      assert.deepEqual([figure('retries_total'), figure('attempts_total'), figure('calls_total', { outcome: 'ok' })], [2, 3, 1]);
    });
  }

  test('mends a refused connection, once somebody listens', async t => {
    const upstream = await startUpstream(t);
    await upstream.stop();
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/health`, retry: { attempts: 10, backoff: '200ms', max_backoff: '1s' }, breaker: NO_BREAKER } }));
    const answer = refresh(hub);
    await upstreamWhen(hub, 'one', one => one.attempts > 0);
    await startUpstream(t, { port: upstream.port });
    const { upstreams: { one } } = await answer;
    assert.equal(one.outcome, 'fresh');
    assert.ok(one.attempts > 1);
  });

  test('is not made after 500, 501, 404 or 400', async t => {
    const upstream = await startUpstream(t);
    const all = Object.fromEntries([500, 501, 404, 400].map(status => [`s${status}`, { url: `${upstream.url}/status/${status}`, retry: quick() }]));
    const hub = await startFeedHub(t, feedOf(all));
    const { upstreams } = await refresh(hub);
    for (const one of Object.values(upstreams)) assert.deepEqual([one.outcome, one.attempts], ['http_error', 1]);
    assert.equal((await upstream.stats()).requests, 4);
  });

  test('comes no sooner than Retry-After says', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ polite: { url: `${gate.url}/polite`, retry: quick() }, quick: { url: `${gate.url}/quick`, retry: quick() } }));
    const answer = refresh(hub);
    const first = [await gate.next(), await gate.next()];
    first.find(({ url }) => url === '/polite').answer({}, { status: 429, headers: { 'Retry-After': '2' } });
    await new Promise(resolve => setImmediate(resolve));
    first.find(({ url }) => url === '/quick').answer({}, { status: 503 });
    for (const url of ['/quick', '/polite']) {
      const held = await gate.next();
      assert.equal(held.url, url);
      held.answer({});
    }
    const { completed } = await answer;
    assert.equal(completed, true);
  });

  for (const after of ['3600', 'Wed, 21 Oct 2099 07:28:00 GMT', '99999999999999999999']) {
    test(`is not made when it would come after the deadline: Retry-After ${after}`, async t => {
      const gate = await startGate(t);
      const hub = await startFeedHub(t, feedOf({ one: { url: gate.url, retry: quick() } }));
      const answer = refresh(hub);
      (await gate.next()).answer({}, { status: 429, headers: { 'Retry-After': after } });
      const { upstreams: { one } } = await answer;
      assert.deepEqual([one.outcome, one.status, one.attempts, gate.n], ['http_error', 429, 1, 1]);
      assert.equal((await upstreamOf(hub, 'one')).retries, 0);
    });
  }

  test('of a POST is made only where the configuration says that it may be', async t => {
    const upstream = await startUpstream(t);
    const post = (fault, more) => ({ url: `${upstream.url}/echo?fail=1&${fault}`, method: 'POST', body: '{"n":{n}}', retry: quick(more) });
    const hub = await startFeedHub(t, numbered({
      once: post('fail_status=503&a'), broken: post('fail_with=reset&a'), again: post('fail_status=503&b', { idempotent: true }), mended: post('fail_with=reset&b', { idempotent: true }),
    }));
    const { upstreams, data } = await refresh(hub, { n: '5' });
    const told = Object.fromEntries(Object.entries(upstreams).map(([name, { outcome, attempts }]) => [name, [outcome, attempts]]));
    assert.deepEqual(told, { once: ['http_error', 1], broken: ['connect_error', 1], again: ['fresh', 2], mended: ['fresh', 2] });
    for (const name of ['again', 'mended']) assert.deepEqual([data[name].method, data[name].body], ['POST', '{"n":5}']);
    assert.equal((await upstream.stats()).requests, 6);
  });

  test('of a PUT or a DELETE is made', async t => {
    const upstream = await startUpstream(t);
    const all = Object.fromEntries(['PUT', 'DELETE'].map(method => [method, { url: `${upstream.url}/echo?fail=1&fail_with=reset&${method}`, method, body: '{}', retry: quick() }]));
    const hub = await startFeedHub(t, feedOf(all));
    const { data, upstreams } = await refresh(hub);
    for (const method of Object.keys(all)) assert.deepEqual([upstreams[method].attempts, data[method]?.method, data[method]?.body], [2, method, '{}'], JSON.stringify(upstreams[method]));
  });

  // Without a budget there are ten retries in a second, and these would be made within far less.
  test('is made within the budget only', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, numbered({ one: { url: `${upstream.url}/status/503?{n}`, retry: { attempts: 10, backoff: '1ms', max_backoff: '1ms', budget: 0 }, breaker: NO_BREAKER } }));
    const answers = await Promise.all(numbers(20).map(params => refresh(hub, params)));
    for (const { upstreams: { one } } of answers) assert.deepEqual([one.outcome, one.status], ['http_error', 503]);
    const figure = await figures(hub, 'one');
    const { retries, attempts } = await upstreamOf(hub, 'one');
    assert.ok(retries >= 10 && retries < 200, `${retries}`);
    assert.deepEqual([figure('retries_total'), figure('attempts_total'), attempts], [retries, 20 + retries, 20 + retries]);
    assert.ok(figure('budget_spent_total') > 0);
  });
});

describe('a limit', { concurrency: true }, () => {
  test('max_concurrent: so many requests at one time, the others in their order', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, numbered({ one: { url: `${gate.url}/{n}`, max_concurrent: 2 } }));
    const answers = [];
    for (const params of numbers(6)) {
      answers.push(refresh(hub, params));
      await upstreamWhen(hub, 'one', ({ calls }) => calls === answers.length);
    }
    const { active, waiting } = await upstreamOf(hub, 'one');
    const figure = await figures(hub, 'one');
    assert.deepEqual([active, waiting, figure('active'), figure('waiting'), gate.n], [2, 4, 2, 4, 2]);
    const held = [await gate.next(), await gate.next()];
    for (let i = 2; i < 6; i += 1) {
      held.shift().answer({});
      held.push(await gate.next());
      assert.deepEqual([held.at(-1).url, gate.n], [`/${i}`, i + 1]);
    }
    for (const one of held) one.answer({});
    const results = await Promise.all(answers);
    results.forEach(({ upstreams: { one } }, i) => {
      assert.equal(one.outcome, 'fresh');
      assert.ok(i < 2 || one.queue_ms > 0, JSON.stringify(one));
    });
  });

  test('max_waiting: one too many is overloaded', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, numbered({ one: { url: `${gate.url}/{n}`, max_concurrent: 1, max_waiting: 1 } }));
    const [first, second] = [refresh(hub, { n: '1' }), refresh(hub, { n: '2' })];
    await upstreamWhen(hub, 'one', ({ waiting, active }) => waiting === 1 && active === 1);
    const { upstreams: { one }, completed } = await refresh(hub, { n: '3' });
    assert.deepEqual([one.outcome, one.attempts, completed], ['overloaded', 0, false]);
    assert.equal(one.error, 'too many calls are waiting for this upstream');
    for (let i = 0; i < 2; i += 1) (await gate.next()).answer({});
    for (const answer of [first, second]) assert.equal((await answer).completed, true);
    assert.equal((await upstreamOf(hub, 'one')).outcomes.overloaded, 1);
    assert.equal(gate.n, 2);
  });

  test('rate_limit: waits within the deadline', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, numbered({ one: { url: `${upstream.url}/health?{n}`, rate_limit: { requests: 1, per: '1s' } } }));
    const results = await Promise.all(numbers(3).map(params => refresh(hub, params)));
    for (const { upstreams: { one } } of results) {
      assert.deepEqual([one.outcome, one.attempts], ['fresh', 1]);
      assert.ok(one.queue_ms <= one.duration_ms);
    }
    assert.ok(results.some(({ upstreams: { one } }) => one.queue_ms > 0));
    assert.equal((await upstreamOf(hub, 'one')).waiting, 0);
  });

  test('rate_limit: what would be too late fails at once', async t => {
    const trap = await startGate(t, { open: true });
    const hub = await startFeedHub(t, numbered({ one: { url: `${trap.url}/{n}`, rate_limit: { requests: 1, per: '1h', burst: 2 } } }));
    const outcomes = [];
    for (const params of numbers(4)) outcomes.push((await refresh(hub, params)).upstreams.one);
    assert.deepEqual(outcomes.map(({ outcome, attempts }) => [outcome, attempts]), [['fresh', 1], ['fresh', 1], ['rate_limited', 0], ['rate_limited', 0]]);
    assert.equal(trap.n, 2);
    const { breaker, outcomes: counted } = await upstreamOf(hub, 'one');
    assert.deepEqual([breaker, counted.rate_limited], ['closed', 2]);
  });

  test('rate_limit: retries count', async t => {
    const trap = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: trap.url, rate_limit: { requests: 2, per: '1h' }, retry: { attempts: 5, backoff: '1ms' } } }));
    const answer = refresh(hub);
    for (let i = 0; i < 2; i += 1) (await trap.next()).answer({}, { status: 503 });
    const { upstreams: { one } } = await answer;
    assert.deepEqual([one.outcome, one.status, one.attempts, trap.n], ['http_error', 503, 2, 2]); // that is what went wrong
  });

  test('max_concurrent_per_host: others pass those who wait for theirs', async t => {
    const [gate, upstream] = [await startGate(t), await startUpstream(t)];
    const many = Object.fromEntries(numbers(6).map(({ n }) => [`held${n}`, `${gate.url}/${n}`]));
    const hub = await startFeedHub(t, [feedOf(many), { ...feedOf({ x: `${upstream.url}/health?x`, y: `${upstream.url}/health?y` }), name: 'other', channel: 'live:other' }], { config: { upstreams: { max_concurrent_per_host: 2 } } });
    const answer = refresh(hub);
    const held = [await gate.next(), await gate.next()];
    assert.equal((await refresh(hub, undefined, 'other')).completed, true);
    assert.equal(gate.n, 2);
    while (held.length > 0) {
      held.shift().answer({});
      if (gate.n < 6) held.push(await gate.next());
    }
    assert.equal((await answer).completed, true);
  });

  test('max_concurrent_per_host: no more connections than that', async t => {
    const upstream = await startUpstream(t);
    const many = Object.fromEntries(numbers(20).map(({ n }) => [`u${n}`, `${upstream.url}/json?latency=20ms&${n}`]));
    const hub = await startFeedHub(t, feedOf(many), { config: { upstreams: { max_concurrent_per_host: 3 } } });
    assert.equal((await refresh(hub)).completed, true);
    const { requests, max_active: most } = await upstream.stats();
    assert.deepEqual([requests, most], [20, 3]);
  });

  test('upstreams.max_concurrent and max_waiting are for all', async t => {
    const [gate, upstream] = [await startGate(t), await startUpstream(t)];
    const hub = await startFeedHub(t, feedOf({ first: gate.url, second: `${upstream.url}/health`, third: { url: `${upstream.url}/health`, breaker: { failures: 1 } } }), { config: { upstreams: { max_concurrent: 1, max_waiting: 1 } } });
    const answer = refresh(hub);
    (await gate.next()).answer({});
    const { upstreams } = await answer;
    assert.deepEqual(['first', 'second', 'third'].map(name => upstreams[name].outcome), ['fresh', 'fresh', 'overloaded']);
    assert.equal((await upstreamOf(hub, 'third')).breaker, 'closed');
  });
});

describe('the circuit breaker', { concurrency: true }, () => {
  const STATES = { closed: 0, open: 1, half_open: 2 };
  async function assertBreaker(hub, state, nOpened) {
    const { breaker } = await upstreamOf(hub, 'one');
    const figure = await figures(hub, 'one');
    assert.deepEqual([breaker, figure('breaker_state'), figure('breaker_opened_total')], [state, STATES[state], nOpened]);
  }

  /** A refresh that the gate answers so. */
  async function answered(hub, gate, params, status) {
    const answer = refresh(hub, params);
    (await gate.next()).answer({}, { status });
    return (await answer).upstreams.one;
  }

  /** The one request that is let through once the breaker has been open for long enough. */
  async function probe(hub, gate) {
    const arrival = gate.next();
    for (;;) {
      const answer = refresh(hub, { n: '0' });
      const held = await Promise.race([arrival, answer.then(() => null)]);
      if (held) return { held, answer };
      assert.equal((await answer).upstreams.one.outcome, 'breaker_open');
    }
  }

  test('opens after so many failures in a row, and nothing is asked', async t => {
    const [gate, upstream] = [await startGate(t), await startUpstream(t)];
    const hub = await startFeedHub(t, numbered({ one: { url: `${gate.url}/{n}`, breaker: { failures: 3, open: LONG, max_open: LONG } }, good: `${upstream.url}/health` }));
    for (const status of [500, 503, 200, 500, 404, 429, 500, 502]) { // good ones, and the client's own mistakes, begin the row anew
      await assertBreaker(hub, 'closed', 0);
      await answered(hub, gate, { n: '1' }, status);
    }
    await assertBreaker(hub, 'open', 1);
    await hub.waitForLine(line => line.includes('breaker_opened') && line.includes('one'));
    const n_asked = gate.n;
    for (const n of ['1', '2']) {
      const { upstreams, data } = await refresh(hub, { n });
      assert.deepEqual([upstreams.one.failure, upstreams.one.attempts, upstreams.good.outcome], ['breaker_open', 0, 'fresh']);
      assert.deepEqual(data.one, n === '1' ? {} : null); // the last good value stays
    }
    assert.equal(gate.n, n_asked);
    assert.equal((await upstreamOf(hub, 'one')).outcomes.breaker_open, 2);
  });

  test('lets one request try: its failure opens again, its success closes', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, numbered({ one: { url: `${gate.url}/{n}`, breaker: { failures: 1, open: '1ms', max_open: '1ms' } } }));
    await answered(hub, gate, { n: '0' }, 500);
    await assertBreaker(hub, 'open', 1);
    let n = 1;
    for (const status of [500, 503, 200]) {
      const { held, answer } = await probe(hub, gate);
      n += 1;
      await assertBreaker(hub, 'half_open', n - 1);
      const others = await Promise.all(numbers(4).slice(1).map(params => refresh(hub, params)));
      for (const { upstreams: { one } } of others) assert.deepEqual([one.outcome, one.attempts], ['breaker_open', 0]);
      assert.equal(gate.n, n);
      held.answer({}, { status });
      await answer;
      await assertBreaker(hub, status === 200 ? 'closed' : 'open', status === 200 ? n - 1 : n);
    }
    assert.equal((await answered(hub, gate, { n: '1' }, 200)).outcome, 'fresh');
  });

  const failures = {
    'no answer in time': upstream => ({ url: `${upstream.url}/health?hang=1`, timeout: '100ms' }),
    'a reset': upstream => ({ url: `${upstream.url}/health?reset=1` }),
    'no TLS': upstream => ({ url: `${upstream.tlsUrl}/health` }),
    'a name that nobody knows': () => ({ url: 'http://no-such-host.invalid/' }),
  };
  test('counts whatever is the upstream\'s fault', async t => {
    const certificate = await makeCertificate(await temporaryFolder(t));
    const upstream = await startUpstream(t, { tls: certificate });
    const all = Object.fromEntries(Object.values(failures).map((make, i) => [`u${i}`, { ...make(upstream), breaker: { failures: 2, open: LONG, max_open: LONG } }]));
    const hub = await startFeedHub(t, feedOf({ ...all, refused: { url: await refusedUrl(t, upstream), breaker: { failures: 2, open: LONG, max_open: LONG } } }));
    for (let i = 0; i < 2; i += 1) await refresh(hub);
    const { upstreams } = await refresh(hub);
    for (const [name, one] of Object.entries(upstreams)) assert.equal(one.outcome, 'breaker_open', name);
  });

  test('stops retries when it opens', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/status/503`, retry: { attempts: 10, backoff: '1ms' }, breaker: { failures: 3, open: LONG, max_open: LONG } } }));
    const { upstreams: { one } } = await refresh(hub);
    assert.deepEqual([one.outcome, one.status, one.attempts], ['http_error', 503, 3]);
    assert.equal((await upstream.stats()).by_path['/status/503'], 3);
  });
});

describe('a second copy', { concurrency: true }, () => {
  const hedge = more => ({ percentile: 50, min_delay: '100ms', budget: 100, ...more });

  /** So many quick answers that the hub knows how long they take. */
  async function measure(hub, gates) {
    for (let i = 0; i < 20; i += 1) {
      const answer = refresh(hub);
      for (const gate of gates) (await gate.next()).answer({});
      await answer;
    }
  }

  test('of a request that takes long answers instead of it', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: gate.url, hedge: hedge() } }));
    await measure(hub, [gate]);
    assert.equal((await upstreamOf(hub, 'one')).hedges, 0);
    const answer = refresh(hub);
    const [first, second] = [await gate.next(), await gate.next()];
    second.answer({ second: true });
    const { upstreams: { one }, data } = await answer;
    await first.gone;
    assert.deepEqual([one.outcome, one.attempts, data.one], ['fresh', 2, { second: true }]);
    const { hedges, hedges_won: won, retries, active, breaker } = await upstreamOf(hub, 'one');
    assert.deepEqual({ hedges, won, retries, active, breaker }, { hedges: 1, won: 1, retries: 0, active: 0, breaker: 'closed' });
    const figure = await figures(hub, 'one');
    assert.deepEqual([figure('hedges_total'), figure('hedges_won_total')], [1, 1]);
  });

  test('is given up when the first is faster, or left when the first fails', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: gate.url, hedge: hedge() } }));
    await measure(hub, [gate]);
    for (const status of [200, 503]) {
      const answer = refresh(hub);
      const [first, second] = [await gate.next(), await gate.next()];
      first.answer({ first: true }, { status });
      if (status === 200) await second.gone;
      else second.answer({ second: true });
      const { upstreams: { one }, data } = await answer;
      assert.deepEqual([one.outcome, one.attempts, data.one], ['fresh', 2, status === 200 ? { first: true } : { second: true }]);
    }
    const { hedges, hedges_won: won } = await upstreamOf(hub, 'one');
    assert.deepEqual({ hedges, won }, { hedges: 2, won: 1 });
  });

  test('is sent within the budget only', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf({ one: { url: gate.url, hedge: hedge({ budget: 5 }) } })); // of 20 calls, one
    await measure(hub, [gate]);
    const overtaken = refresh(hub);
    await gate.next();
    (await gate.next()).answer({});
    await overtaken;
    const alone = refresh(hub);
    const held = await gate.next();
    while ((await figures(hub, 'one'))('budget_spent_total') === 0);
    held.answer({});
    assert.equal((await alone).upstreams.one.attempts, 1);
    assert.equal((await upstreamOf(hub, 'one')).hedges, 1);
  });

  test('is never of a POST', async t => {
    const [gate, posted] = [await startGate(t), await startGate(t)];
    const hub = await startFeedHub(t, feedOf({
      one: { url: gate.url, hedge: hedge({ min_delay: '300ms' }) }, two: { url: posted.url, method: 'POST', body: '{}', hedge: hedge({ min_delay: '1ms' }) },
    }));
    await measure(hub, [gate, posted]);
    const answer = refresh(hub);
    const held = [await posted.next(), await gate.next(), await gate.next()];
    assert.equal(posted.n, 21);
    for (const one of held) one.answer({});
    assert.equal((await answer).upstreams.two.attempts, 1);
  });
});

describe('a redirect', { concurrency: true }, () => {
  const secret = { 'X-API-Key': 'secret', Authorization: 'Bearer secret', Cookie: 'secret' };
  const secretsOf = ({ headers }) => Object.keys(headers).filter(name => headers[name].includes('secret'));
  const redirecting = (upstream, to, status) => `${upstream.url}/echo?redirect=${encoded(to)}${status ? `&status=${status}` : ''}`;

  test('within the host is followed, with all its headers', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({
      relative: { url: `${upstream.url}/redirect/3?to=${encoded('/echo?a=1')}`, headers: secret }, absolute: { url: redirecting(upstream, `${upstream.url}/echo?a=1`), headers: secret },
    }));
    const { data, upstreams } = await refresh(hub);
    for (const name of ['relative', 'absolute']) {
      assert.deepEqual([upstreams[name].outcome, upstreams[name].status, upstreams[name].attempts], ['fresh', 200, 1]);
      assert.deepEqual([data[name].query, secretsOf(data[name]).sort()], [{ a: '1' }, ['authorization', 'cookie', 'x-api-key']]);
    }
  });

  test('elsewhere is followed only where allow_hosts has it, and without the headers', async t => {
    const [upstream, allowed, forbidden] = [await startUpstream(t), await startUpstream(t), await startGate(t, { open: true })];
    const to = (place, more = {}) => ({ url: redirecting(upstream, `${place.url}/echo?a=1`), headers: secret, breaker: NO_BREAKER, ...more });
    const feed = feedOf({
      allowed: to(allowed), twice: { url: redirecting(upstream, redirecting(allowed, `${allowed.url}/echo?a=1`)), headers: secret },
      forbidden: to(forbidden), beyond: { url: redirecting(upstream, redirecting(allowed, `${forbidden.url}/`)), headers: secret },
    });
    const hub = await startFeedHub(t, feed, { config: { upstreams: { allow_hosts: [`127.0.0.1:${allowed.port}`] } } });
    for (let i = 0; i < 2; i += 1) { // also over connections that are there
      const { data, upstreams } = await refresh(hub);
      for (const name of ['allowed', 'twice']) {
        assert.equal(upstreams[name].outcome, 'fresh', JSON.stringify(upstreams[name]));
        assert.deepEqual([data[name].query, secretsOf(data[name])], [{ a: '1' }, []]);
        assert.equal(data[name].headers.accept, 'application/json');
      }
      for (const name of ['forbidden', 'beyond']) {
        assert.deepEqual([upstreams[name].outcome, data[name]], ['refused', null]);
        assert.ok(upstreams[name].error.includes(new URL(forbidden.url).port), upstreams[name].error);
      }
    }
    assert.equal(forbidden.n, 0);
    const { breaker } = await upstreamOf(hub, 'forbidden');
    assert.equal(breaker, 'closed');
  });

  test('to a name is looked at again once its address is known', async t => {
    const [upstream, inside] = [await startUpstream(t), await startUpstream(t)];
    const feed = feedOf({ listed: redirecting(upstream, `http://good.test:${inside.port}/echo`), rebound: redirecting(upstream, `http://bad.test:${inside.port}/echo`) });
    const config = { upstreams: { allow_hosts: ['good.test', 'bad.test', '127.0.0.2'] } };
    const hub = await startFeedHub(t, feed, { config, env: slowDns({ map: { 'good.test': '127.0.0.2', 'bad.test': '127.0.0.1' } }) });
    const { upstreams } = await refresh(hub);
    assert.equal(upstreams.rebound.outcome, 'refused');
    assert.equal(upstreams.listed.outcome, 'connect_error'); // allowed, but nobody listens there
    assert.equal((await inside.stats()).requests, 0);
  });

  test('303, and 301 and 302, make a GET of a POST; 307 and 308 do not', async t => {
    const upstream = await startUpstream(t);
    const post = status => ({ url: redirecting(upstream, '/echo?after', status), method: 'POST', body: '{"a":1}', headers: secret });
    const hub = await startFeedHub(t, feedOf(Object.fromEntries([301, 302, 303, 307, 308].map(status => [`s${status}`, post(status)]))));
    const { data } = await refresh(hub);
    for (const name of ['s301', 's302', 's303']) {
      assert.deepEqual([data[name].method, data[name].body, data[name].headers['content-type'], data[name].headers['content-length']], ['GET', '', undefined, undefined], name);
    }
    for (const name of ['s307', 's308']) assert.deepEqual([data[name].method, data[name].body, data[name].headers['content-type']], ['POST', '{"a":1}', 'application/json'], name);
    for (const one of Object.values(data)) assert.equal(secretsOf(one).length, 3);
  });

  test('in a loop, or one too many, is refused; with max_redirects 0 it is an answer like any other', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, feedOf({
      loop: `${upstream.url}/redirect/loop`, five: `${upstream.url}/redirect/5?a`, six: `${upstream.url}/redirect/6?a`, three: { url: `${upstream.url}/redirect/3?b`, max_redirects: 2 }, none: { url: `${upstream.url}/redirect/0?c&to=/health`, max_redirects: 0 },
    }));
    const { upstreams } = await refresh(hub);
    const told = Object.fromEntries(Object.entries(upstreams).map(([name, { outcome, status }]) => [name, [outcome, status]]));
    assert.deepEqual(told, { loop: ['refused', 302], five: ['fresh', 200], six: ['refused', 302], three: ['refused', 302], none: ['http_error', 302] });
    assert.match(upstreams.loop.error, /more than 5 redirects/);
    assert.equal((await upstream.stats()).by_path['/redirect/loop'], 6);
  });
});

describe('the times', { concurrency: true }, () => {
  const PARTS = ['queue_ms', 'dns_ms', 'connect_ms', 'first_byte_ms'];
  function assertConsistent(one) {
    const sum = PARTS.reduce((total, name) => total + one[name], 0);
    for (const name of PARTS) assert.ok(one[name] >= 0, JSON.stringify(one));
    assert.ok(sum <= one.duration_ms + 0.001, JSON.stringify(one)); // each part is told in whole microseconds
  }

  for (const [what, more] of Object.entries({ 'a GET': {}, 'a POST': { method: 'POST', body: '{}' }, 'a GET that may be sent twice': { retry: { attempts: 1 }, hedge: { percentile: 90 } } })) {
    test(`of ${what} make sense: a new connection, then the kept one`, async t => {
      const upstream = await startUpstream(t);
      const hub = await startFeedHub(t, feedOf({ one: { url: `http://mapped.test:${upstream.port}/echo?latency=30ms`, ...more } }), { env: slowDns({ map: { 'mapped.test': '127.0.0.1' } }) });
      const { upstreams: { one: anew } } = await refresh(hub);
      const { upstreams: { one: known } } = await refresh(hub); // once the name is known, who asks may be another part of the hub
      const { upstreams: { one: kept } } = await refresh(hub);
      for (const one of [anew, known, kept]) {
        assert.equal(one.outcome, 'fresh', JSON.stringify(one));
        assertConsistent(one);
        assert.ok(one.first_byte_ms >= 29, JSON.stringify(one));
      }
      assert.ok(anew.dns_ms > 0 && anew.connect_ms > 0, JSON.stringify(anew));
      assert.deepEqual([known.dns_ms, kept.dns_ms, kept.connect_ms], [0, 0, 0]);
      assert.equal((await upstream.stats()).requests, 3);
    });
  }

  test('of failures make sense, too', async t => {
    const upstream = await startUpstream(t, { blackHole: true });
    const hub = await startFeedHub(t, feedOf({
      hole: { url: upstream.blackHoleUrl, timeout: '200ms' }, late: { url: `${upstream.url}/health?hang=1`, timeout: '200ms' }, refused: await refusedUrl(t, upstream),
      slow: { url: 'http://late.slow.test/', timeout: '200ms' }, broken: `${upstream.url}/health?reset=1`, dripping: { url: `${upstream.url}/json?drip=1/50ms`, timeout: '200ms' },
      again: { url: `${upstream.url}/status/503`, retry: { attempts: 2, backoff: '1ms' } },
    }), { env: slowDns({ ms: 1000 }) });
    for (let i = 0; i < 2; i += 1) {
      const { upstreams } = await refresh(hub);
      for (const one of Object.values(upstreams)) assertConsistent(one);
      assert.ok(upstreams.dripping.first_byte_ms > 0);
    }
  });
});

describe('checkconfig', { concurrency: true }, () => {
  const wrong = {
    'method': [{ method: 'HEAD' }, /method: "HEAD" is not one of GET, POST, PUT, PATCH, DELETE/],
    'query': [{ query: ['a'] }, /query: .*is not /],
    'a name in the query': [{ query: { a: '{b}' } }, /query: .*\{b\}/],
    'headers of the connection': [{ headers: { Host: 'x' } }, /headers: .*names of headers/],
    'a header twice': [{ headers: { A: '1', a: '2' } }, /headers: .*each header once/],
    'a line break in a header': [{ headers: { A: '1\r\nB: 2' } }, /headers: .*without control characters/],
    'a body of a GET': [{ body: '{}' }, /body: .*a GET request has none/],
    'a body that is no JSON': [{ method: 'POST', body: '{' }, /body: .*JSON/],
    'timeout': [{ timeout: '2 s' }, /timeout: "2 s" is not /],
    'connect_timeout': [{ connect_timeout: '2h' }, /connect_timeout: "2h" is not .*1h/],
    'max_redirects': [{ max_redirects: 21 }, /max_redirects: 21 is not .*20/],
    'max_concurrent': [{ max_concurrent: -1 }, /max_concurrent: -1 is not /],
    'max_waiting': [{ max_waiting: 0 }, /max_waiting: 0 is not /],
    'rate_limit.requests': [{ rate_limit: { requests: -1 } }, /rate_limit\.requests: -1 is not /],
    'rate_limit.per': [{ rate_limit: { requests: 1, per: '0s' } }, /rate_limit\.per: "0s" is not /],
    'rate_limit.burst alone': [{ rate_limit: { burst: 5 } }, /rate_limit\.requests: .*at least 1 where there is a burst/],
    'retry.attempts': [{ retry: { attempts: 11 } }, /retry\.attempts: 11 is not .*10/],
    'retry.backoff': [{ retry: { backoff: '0s' } }, /retry\.backoff: "0s" is not /],
    'retry.max_backoff': [{ retry: { backoff: '2s', max_backoff: '1s' } }, /retry\.max_backoff: .*at least backoff/],
    'retry.idempotent': [{ retry: { idempotent: 1 } }, /retry\.idempotent: 1 is not true or false/],
    'retry.budget': [{ retry: { budget: 101 } }, /retry\.budget: 101 is not .*100/],
    'a key of retry': [{ retry: { attemps: 1 } }, /retry\.attemps: unknown key \(did you mean attempts\?\)/],
    'breaker.failures': [{ breaker: { failures: -1 } }, /breaker\.failures: -1 is not /],
    'breaker.open': [{ breaker: { open: '0s' } }, /breaker\.open: "0s" is not /],
    'breaker.max_open': [{ breaker: { open: '2s', max_open: '1s' } }, /breaker\.max_open: .*at least open/],
    'hedge.percentile': [{ hedge: { percentile: 49 } }, /hedge\.percentile: 49 is not 0 \(never\), or a percentile from 50 to 99/],
    'hedge.min_delay': [{ hedge: { min_delay: '-1s' } }, /hedge\.min_delay: "-1s" is not /],
    'hedge.budget': [{ hedge: { budget: 101 } }, /hedge\.budget: 101 is not .*100/],
    'http_version': [{ http_version: '3' }, /http_version: "3" is not one of auto, 1\.1, 2/],
    'proxy': [{ proxy: 'socks5://127.0.0.1:1080' }, /proxy: .*is not the URL of an HTTP proxy with its port/],
    'a proxy without its port': [{ proxy: 'http://127.0.0.1' }, /proxy: .*is not the URL of an HTTP proxy with its port/],
    'tls.server_ca_pem_file': [{ tls: { server_ca_pem_file: '/nowhere' } }, /tls\.server_ca_pem_file: "\/nowhere" is not a file that can be read/],
    'tls.server_ca_pem_file without certificates': [dir => ({ tls: { server_ca_pem_file: join(dir, 'one.key') } }), /tls\.server_ca_pem_file: .*is not certificates of authorities in PEM/],
    'tls.cert_pem_file alone': [dir => ({ tls: { cert_pem_file: join(dir, 'one.pem') } }), /tls\.key_pem_file: .*a private key, when there is a cert_pem_file/],
    'tls.key_pem_file alone': [dir => ({ tls: { key_pem_file: join(dir, 'one.key') } }), /tls\.cert_pem_file: .*a certificate, when there is a key_pem_file/],
    'the key of another certificate': [dir => ({ tls: { cert_pem_file: join(dir, 'one.pem'), key_pem_file: join(dir, 'two.key') } }), /tls\.key_pem_file: .*is not the private key of the certificate in cert_pem_file/],
    'tls.insecure_skip_verify': [{ tls: { insecure_skip_verify: 'yes' } }, /tls\.insecure_skip_verify: "yes" is not true or false/],
  };
  for (const [what, [upstream, expected]] of Object.entries(wrong)) {
    test(`says what is wrong: ${what}`, async t => {
      const dir = await temporaryFolder(t);
      for (const name of typeof upstream === 'function' ? ['one', 'two'] : []) await makeCertificate(dir, { name });
      const more = typeof upstream === 'function' ? upstream(dir) : upstream;
      const { code, text } = await check(t, { channel: { namespaces }, feeds: [feedOf({ good: 'http://127.0.0.1/', one: { url: 'http://127.0.0.1/', ...more } })] }, { dir });
      const lines = text.trim().split('\n');
      assert.deepEqual([code, lines.length], [1, 1], text);
      assert.ok(lines[0].startsWith('config.json: feeds[0].upstreams[1].'), text);
      assert.match(lines[0], expected);
    });
  }

  for (const [what, [upstreams, expected]] of Object.entries({
    'max_concurrent': [{ max_concurrent: 0 }, /upstreams\.max_concurrent: 0 is not /],
    'max_concurrent_per_host': [{ max_concurrent_per_host: -1 }, /upstreams\.max_concurrent_per_host: -1 is not /],
    'max_waiting': [{ max_waiting: -1 }, /upstreams\.max_waiting: -1 is not /],
    'allow_hosts': [{ allow_hosts: ['good.test', 'http://bad.test/'] }, /upstreams\.allow_hosts: .*"http:\/\/bad\.test\/" is not a host/],
  })) {
    test(`says what is wrong: upstreams.${what}`, async t => {
      const { code, text } = await check(t, { upstreams });
      assert.equal(code, 1, text);
      assert.match(text, expected);
    });
  }
});
