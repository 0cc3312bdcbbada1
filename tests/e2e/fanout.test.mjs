// POST /api/fanout: a list of upstreams that the caller names is fetched at once, only where upstreams.allow_hosts has them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession, textOf } from './lib/session.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const namespaces = [{ name: 'kept', history_size: 10, history_ttl: '1h' }, { name: 'live' }];

function startFanoutHub(t, { upstreams = {}, ...config } = {}) {
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces }, upstreams: { allow_hosts: ['127.0.0.1'], ...upstreams }, ...config } });
}

const list = urls => Object.entries(urls).map(([name, what]) => ({ name, ...(typeof what === 'string' ? { url: what } : what) }));
const outcomes = ({ upstreams }) => Object.fromEntries(Object.entries(upstreams).map(([name, { outcome }]) => [name, outcome]));

async function errorOf(hub, request, status = 200) {
  const answer = await hub.api('fanout', request);
  assert.equal(answer.status, status, answer.text);
  assert.deepEqual(Object.keys(answer.json), ['error'], answer.text);
  return answer.json.error;
}

describe('a fan-out', { concurrency: true }, () => {
  test('asks all at once and answers in the order of the request, byte for byte', async t => {
    const gate = await startGate(t);
    const hub = await startFanoutHub(t);
    const names = Array.from({ length: 10 }, (_, i) => `u${i}`);
    const answer = hub.api('fanout', { upstreams: list(Object.fromEntries(names.map(name => [name, `${gate.url}/${name}`]))), timeout: '50s' });
    const held = [];
    for (const _ of names) held.push(await gate.next());
    for (const one of held.reverse()) one.answer(`{"path":"${one.url}","n":1.10}`);
    const { text, json: { result } } = await answer;
    const document = `{${names.map(name => `"${name}":{"path":"/${name}","n":1.10}`).join(',')}}`;
    assert.ok(text.startsWith(`{"result":{"data":${document},"completed":true,"upstreams":{"u0":{`), text);
    assert.deepEqual(Object.keys(result.upstreams), names);
    assert.deepEqual([result.upstreams.u3.outcome, result.upstreams.u3.status, result.upstreams.u3.attempts], ['fresh', 200, 1]);
  });

  test('merges as it is told', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('a', '{"x":1,"y":2,"secret":3}');
    await upstream.put('b', '{"y":4,"items":[{"id":1,"more":2}]}');
    const hub = await startFanoutHub(t);
    const [a, b] = ['a', 'b'].map(name => `${upstream.url}/values/${name}`);
    const ask = async request => (await hub.call('fanout', request)).data;
    assert.deepEqual(await ask({ merge: 'flat', upstreams: list({ a: { url: a, deny: ['/secret'] }, b }) }), { x: 1, y: 4, items: [{ id: 1, more: 2 }] });
    assert.deepEqual(await ask({ merge: 'array', upstreams: list({ b: { url: b, select: '/items', allow: ['/*/id'] }, n: { url: a, select: '/x' } }) }), [{ id: 1 }, 1]);
    assert.deepEqual(await ask({ meta: true, upstreams: list({ a: { url: a, select: '/x', as: 'first', group: 'value' } }) }), { first: { value: 1 }, _meta: { completed: true, upstreams: { a: { outcome: 'fresh', age_ms: 0 } } } });
    assert.deepEqual(await ask({ upstreams: list({ a: { url: a, rename: { x: 'z' }, allow: ['/x'] } }) }), { a: { z: 1 } });
  });

  test('with method, query, headers and body', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFanoutHub(t);
    const { data: { one } } = await hub.call('fanout', {
      upstreams: [{ name: 'one', url: `${upstream.url}/echo?a=1`, method: 'POST', query: { b: 'x y' }, headers: { 'X-Test': 'yes', 'Content-Type': 'application/json' }, body: '{"c":3}' }],
    });
    assert.deepEqual([one.method, one.query, one.body, one.headers['x-test']], ['POST', { a: '1', b: 'x y' }, '{"c":3}', 'yes']);
  });

  test('in the right order where one needs another', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('user', '{"id":7,"plan":"gold & silver"}');
    const hub = await startFanoutHub(t);
    const { data, completed } = await hub.call('fanout', {
      upstreams: [{ name: 'plan', needs: ['user'], url: `${upstream.url}/echo?plan={user.plan}&id={user.id}`, select: '/query' }, { name: 'user', url: `${upstream.url}/values/user` }],
    });
    assert.deepEqual([data.plan, completed], [{ plan: 'gold & silver', id: '7' }, true]);
    const failed = await hub.call('fanout', {
      upstreams: [{ name: 'plan', needs: ['user'], url: `${upstream.url}/echo?{user.plan}` }, { name: 'user', url: `${upstream.url}/status/404` }],
    });
    assert.deepEqual([outcomes(failed), failed.data], [{ plan: 'skipped', user: 'http_error' }, { plan: null, user: null }]);
  });

  test('publishes where a channel is named', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '1.10');
    const hub = await startFanoutHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:a' });
    await session.ok('subscribe', { channel: 'live:a' });
    const request = channel => ({ channel, upstreams: list({ one: `${upstream.url}/values/one` }) });
    const kept = await hub.call('fanout', request('kept:a'));
    assert.deepEqual([kept.channel, kept.offset], ['kept:a', 1]);
    assert.match(kept.epoch, /./);
    assert.equal(textOf(await session.nextPush()), '{"push":{"channel":"kept:a","pub":{"data":{"one":1.10},"offset":1}}}');
    assert.equal((await hub.call('fanout', request('kept:a'))).offset, 2, 'each one is published');
    assert.equal((await session.nextPush()).pub.offset, 2);
    const live = await hub.call('fanout', request('live:a'));
    assert.deepEqual([live.channel, live.offset, live.epoch], ['live:a', 0, '']);
    assert.deepEqual((await session.nextPush()).pub, { data: { one: 1.1 } });
    const nowhere = await hub.call('fanout', { upstreams: request('').upstreams });
    assert.deepEqual(Object.keys(nowhere), ['data', 'completed', 'upstreams']);
  });

  test('keeps nothing', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '1');
    const hub = await startFanoutHub(t);
    const request = { upstreams: list({ one: `${upstream.url}/values/one` }) };
    assert.deepEqual((await hub.call('fanout', request)).data, { one: 1 });
    await upstream.stop();
    const { data, completed, upstreams } = await hub.call('fanout', request);
    assert.deepEqual([data, completed, upstreams.one.outcome], [{ one: null }, false, 'connect_error']);
    assert.deepEqual(await hub.call('feeds'), { feeds: [] });
  });

  test('one fails: null, nothing, or 502 and 504', async t => {
    const upstream = await startUpstream(t);
    const hub = await startFanoutHub(t);
    const good = `${upstream.url}/json`;
    const ask = (url, on_failure) => ({ timeout: '500ms', upstreams: list({ good, bad: { url, on_failure } }) });
    const refused = await refusedUrl(t, upstream);
    assert.equal((await hub.call('fanout', ask(refused))).data.bad, null);
    assert.deepEqual(Object.keys((await hub.call('fanout', ask(refused, 'omit'))).data), ['good']);
    const { code, message } = await errorOf(hub, ask(refused, 'fail'), 502);
    assert.equal(code, 502);
    assert.match(message, /^upstream failed: .*bad/);
    assert.equal((await errorOf(hub, ask(`${upstream.url}/json?hang=1`, 'fail'), 504)).code, 504);
  });

  test('max_refreshes holds for it, too', async t => {
    const gate = await startGate(t);
    const hub = await startFanoutHub(t, { upstreams: { max_refreshes: 1 } });
    const request = { timeout: '50s', upstreams: list({ one: `${gate.url}/` }) };
    const first = hub.call('fanout', request);
    const held = await gate.next();
    assert.equal((await errorOf(hub, request)).code, 111);
    held.answer('1');
    assert.deepEqual((await first).data, { one: 1 });
  });
});

describe('what it may ask', { concurrency: true }, () => {
  test('nothing, unless allow_hosts says so', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFanoutHub(t, { upstreams: { allow_hosts: [] } });
    const { data, completed, upstreams } = await hub.call('fanout', { upstreams: list({ one: `${gate.url}/` }) });
    assert.deepEqual([data, completed, upstreams.one.outcome], [{ one: null }, false, 'refused']);
    assert.equal(gate.n, 0);
  });

  test('not where a redirect or a name leads, unless that is allowed itself', async t => {
    const upstream = await startUpstream(t);
    const gate = await startGate(t, { open: true });
    const hub = await startFanoutHub(t, { upstreams: { allow_hosts: [`127.0.0.1:${upstream.port}`, 'localhost'] } });
    const result = await hub.call('fanout', {
      upstreams: list({
        redirected: `${upstream.url}/json?redirect=${encodeURIComponent(gate.url)}`,
        named: gate.url.replace('127.0.0.1', 'localhost'),
        good: `${upstream.url}/json`,
        within: `${upstream.url}/json?redirect=${encodeURIComponent(`${upstream.url}/json`)}`,
      }),
    });
    assert.deepEqual(outcomes(result), { redirected: 'refused', named: 'refused', good: 'fresh', within: 'fresh' });
    assert.equal(gate.n, 0);
  });
});

describe('a request that is wrong', { concurrency: true }, () => {
  test('is refused in words, and nothing is asked', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFanoutHub(t);
    const url = `${gate.url}/`;
    const wrong = [
      [{}, /upstreams/],
      [{ upstreams: [] }, /upstreams: .*a list of 1 to 100 upstreams/],
      [{ upstreams: {} }, /upstreams/],
      [{ upstreams: [{}] }, /upstreams\[0\]\.name/],
      [{ upstreams: [{ name: 'one' }] }, /upstreams\[0\]\.url/],
      [{ upstreams: [{ name: 'one', url: 'ftp://x/' }] }, /upstreams\[0\]\.url/],
      [{ upstreams: [{ name: 'one', url: `${url}{city}` }] }, /city/],
      [{ upstreams: list({ one: url }), merge: 'deep' }, /merge: .*object, flat, array/],
      [{ upstreams: list({ one: url }), timeout: '1h' }, /timeout/],
      [{ upstreams: list({ one: url }), channel: 'a channel\n' }, /channel/],
      [{ upstreams: list({ one: url }), colour: 'red' }, /colour/],
      [{ upstreams: list({ one: { url, proxy: 'http://127.0.0.1:1' } }) }, /upstreams\[0\]\.proxy/],
      [{ upstreams: list({ one: { url, on_failure: 'stale' } }) }, /upstreams\[0\]\.on_failure/],
      [{ upstreams: list({ one: { url, needs: ['two'] } }) }, /two/],
      [{ upstreams: list({ one: { url, needs: ['two'] }, two: { url, needs: ['one'] } }) }, /cycle/],
      [{ upstreams: [{ name: 'one', url }, { name: 'one', url }] }, /upstreams\[1\]\.name/],
      [{ upstreams: list({ one: { url, body: 'x' } }) }, /upstreams\[0\]\.body/],
      [{ upstreams: list({ one: { url, headers: { 'X-Bad': 'a\r\nb' } } }) }, /upstreams\[0\]\.headers/],
      [{ upstreams: Array.from({ length: 101 }, (_, i) => ({ name: `u${i}`, url })) }, /a list of 1 to 100 upstreams/],
    ];
    for (const [request, message] of wrong) {
      const error = await errorOf(hub, request);
      assert.equal(error.code, 107, error.message);
      assert.match(error.message, message);
    }
    const { code, message } = await errorOf(hub, { upstreams: list({ one: url }), channel: 'unknown:x' });
    assert.equal(code, 102);
    assert.match(message, /^unknown channel: channel: "unknown:x"/);
    assert.equal(gate.n, 0);
  });

  test('needs the key', async t => {
    const hub = await startFanoutHub(t);
    assert.equal((await hub.api('fanout', {}, { key: null })).status, 401);
  });
});
