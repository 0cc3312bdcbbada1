// GET /feeds/NAME: a feed's snapshot without a socket, and as a live stream of events.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { EventSource } from 'eventsource';

import { startBackend } from './lib/backend.mjs';
import { makeCertificate, tlsConfig } from './lib/certificate.mjs';
import { openEvents } from './lib/events.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { parseMetrics } from './lib/prometheus.mjs';
import { infoWhen, openSession } from './lib/session.mjs';
import { makeToken, SECRET, secondsFromNow } from './lib/token.mjs';
import { startUpstream } from './lib/upstream.mjs';

const kept = { name: 'kept', history_size: 10, history_ttl: '1h' };
const live = { name: 'live' };
const CITY = '[a-z-]{2,40}';
const EVENTS = { accept: 'text/event-stream' };

function startFeedHub(t, feeds, { client = {}, ...config } = {}, options = {}) {
  const list = [feeds].flat().map(feed => ({ timeout: '60s', access: 'public', ...feed }));
  return startHub(t, { config: { client, channel: { namespaces: [kept, live] }, feeds: list, ...config }, ...options });
}

const feedOf = (url, more = {}) => ({ name: 'feed', channel: 'kept:feed', upstreams: [{ name: 'one', url }], ...more });
const cityOf = (url, more = {}) => ({ name: 'city', channel: 'kept:{city}', params: { city: CITY }, upstreams: [{ name: 'one', url }], ...more });
const get = (hub, path, headers = {}) => hub.request('GET', path, { headers });

async function assertError(hub, path, status, code, message, headers) {
  const answer = await get(hub, path, headers);
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.deepEqual(Object.keys(answer.json), ['error']);
  assert.equal(answer.json.error.code, code, answer.text);
  assert.match(answer.json.error.message, message);
  return answer;
}

/** A hub with a feed over a value that the test changes. */
async function startValue(t, more = {}, config = {}) {
  const upstream = await startUpstream(t);
  const hub = await startFeedHub(t, feedOf(`${upstream.url}/values/one`, more), config);
  const set = async text => {
    await upstream.put('one', text);
    return hub.call('feed_refresh', { feed: 'feed' });
  };
  return { upstream, hub, set };
}

/** Fails when the loop has more turns than requests give it a reason for: it runs hot. */
async function assertIdle(hub) {
  const n = 100;
  const turns = async () => parseMetrics((await hub.request('GET', '/metrics')).text).histogram('belfry_loop_lag_seconds').count;
  const before = await turns();
  for (let i = 0; i < n; i += 1) await hub.request('GET', '/health');
  const count = await turns() - before;
  assert.ok(count < 20 * n, `${count} turns of the loop for ${n} requests`);
}

describe('a snapshot', { concurrency: true }, () => {
  test('is the body, byte for byte, and the rest is in the head', async t => {
    const { hub, set } = await startValue(t, { max_age: '90s', stale_while_revalidate: '30s' });
    await set('{"n":1.10,"big":12345678901234567890}');
    const { status, text, headers } = await get(hub, '/feeds/feed');
    assert.deepEqual([status, text], [200, '{"one":{"n":1.10,"big":12345678901234567890}}']);
    assert.equal(headers['content-type'], 'application/json');
    assert.match(headers.etag, /^"[^"]+"$/);
    assert.match(headers.age, /^\d$/);
    assert.equal(headers['cache-control'], 'public, max-age=90, stale-while-revalidate=30');
    assert.equal(headers['x-belfry-completed'], 'true');
    assert.match(headers.vary, /Accept/);
  });

  test('how long it is good: max_age, else refresh.every, else not at all; private unless all may read', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('one', '1');
    const url = `${upstream.url}/values/one`;
    const hub = await startFeedHub(t, [
      feedOf(url, { name: 'both', refresh: { every: '60s' }, max_age: '5s' }),
      feedOf(url, { name: 'every', refresh: { every: '60s' } }),
      feedOf(url, { name: 'none' }),
      feedOf(url, { name: 'keyed', max_age: '5s', access: 'key' }),
    ]);
    const expected = { both: 'public, max-age=5', every: 'public, max-age=60', none: 'public, max-age=0', keyed: 'private, max-age=5' };
    for (const [name, value] of Object.entries(expected)) {
      assert.equal((await get(hub, `/feeds/${name}`, { 'x-api-key': hub.key })).headers['cache-control'], value, name);
    }
  });

  test('is incomplete when an upstream has failed', async t => {
    const { upstream, hub, set } = await startValue(t, { max_age: '90s', stale_while_revalidate: '30s' });
    await set('1');
    await upstream.stop();
    await hub.call('feed_refresh', { feed: 'feed' });
    const { status, text, headers } = await get(hub, '/feeds/feed');
    assert.deepEqual([status, text, headers['x-belfry-completed']], [200, '{"one":1}', 'false']);
    assert.equal(headers['cache-control'], 'public, no-cache', 'caches ask again each time');
  });

  test('If-None-Match: 304 as long as it is the same', async t => {
    const { hub, set } = await startValue(t);
    await set('1');
    const { headers: { etag } } = await get(hub, '/feeds/feed');
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const { status, text, headers } = await get(hub, '/feeds/feed', { 'if-none-match': known });
      assert.deepEqual([status, text, headers.etag], [304, '', etag], known);
      assert.ok(headers['cache-control']);
    }
    assert.equal((await get(hub, '/feeds/feed', { 'if-none-match': '"x"' })).status, 200);
    await set('2');
    const changed = await get(hub, '/feeds/feed', { 'if-none-match': etag });
    assert.deepEqual([changed.status, changed.text], [200, '{"one":2}']);
    assert.notEqual(changed.headers.etag, etag);
    await set('1');
    assert.equal((await get(hub, '/feeds/feed', { 'if-none-match': etag })).status, 304, 'the same text has the same one');
  });

  test('HEAD: the head alone', async t => {
    const { hub, set } = await startValue(t);
    await set('1');
    const { status, text, headers } = await hub.request('HEAD', '/feeds/feed');
    assert.deepEqual([status, text, headers['content-length']], [200, '', '9']);
    assert.ok(headers.etag);
    assert.equal((await hub.request('HEAD', '/feeds/feed', { headers: EVENTS })).headers['content-type'], 'application/json');
  });

  test('other methods: 405', async t => {
    const { hub } = await startValue(t);
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status, headers } = await hub.request(method, '/feeds/feed', { body: '{}' });
      assert.deepEqual([status, headers.allow], [405, 'GET, HEAD, OPTIONS'], method);
    }
  });

  test('many on one connection, one after the other', async t => {
    const { hub, set } = await startValue(t);
    await set('1');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const ports = new Set();
    for (let i = 0; i < 20; i += 1) {
      const path = i % 3 === 0 ? '/feeds/nothing' : '/feeds/feed';
      const status = await within(new Promise((resolve, reject) => {
        const outgoing = http.get({ host: '127.0.0.1', port: hub.port, path, agent }, incoming => {
          ports.add(incoming.socket.localPort);
          incoming.resume().once('end', () => resolve(incoming.statusCode));
        });
        outgoing.once('error', reject);
      }), 'an answer');
      assert.equal(status, i % 3 === 0 ? 404 : 200);
    }
    assert.equal(ports.size, 1);
  });
});

describe('a new one', { concurrency: true }, () => {
  test('fresh=1 waits for it; without, the last one comes at once and nothing is asked', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf(`${gate.url}/`));
    const first = get(hub, '/feeds/feed'); // there is no last one yet
    (await gate.next()).answer('1');
    assert.equal((await first).text, '{"one":1}');
    assert.equal((await get(hub, '/feeds/feed')).text, '{"one":1}');
    assert.equal((await get(hub, '/feeds/feed?fresh=0')).text, '{"one":1}');
    assert.equal(gate.n, 1);
    const fresh = get(hub, '/feeds/feed?fresh=1');
    const held = await gate.next();
    assert.equal((await get(hub, '/feeds/feed')).text, '{"one":1}');
    held.answer('2');
    assert.equal((await fresh).text, '{"one":2}');
    assert.equal(gate.n, 2);
  });

  test('those who wait share one run, which goes on when they have gone', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf(`${gate.url}/`));
    const sockets = Array.from({ length: 3 }, () => net.connect(hub.port, '127.0.0.1', function () { this.write('GET /feeds/feed?fresh HTTP/1.1\r\nHost: x\r\n\r\n'); }));
    const held = await gate.next();
    const sharing = async n => {
      while ((await hub.call('feeds')).feeds[0].state.shared !== n);
    };
    await within(sharing(2), 'the callers who join');
    for (const socket of sockets) socket.destroy();
    const stays = get(hub, '/feeds/feed?fresh');
    await within(sharing(3), 'one more');
    held.answer('1');
    assert.equal((await stays).text, '{"one":1}');
    assert.equal(gate.n, 1);
  });

  test('who goes while it is waited for costs nothing', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf(`${gate.url}/`), { prometheus: { enabled: true } });
    const socket = net.connect(hub.port, '127.0.0.1', () => socket.write('GET /feeds/feed HTTP/1.1\r\nHost: x\r\n\r\n'));
    const held = await gate.next();
    socket.destroy();
    await assertIdle(hub);
    held.answer('1');
  });

  test('an upstream with on_failure fail: 502, or 504 when it was late', async t => {
    const gate = await startGate(t);
    const fails = url => ({ name: 'one', url, on_failure: 'fail' });
    const hub = await startFeedHub(t, [
      feedOf('', { name: 'bad', upstreams: [fails(`${gate.url}/bad`)] }),
      feedOf('', { name: 'late', upstreams: [fails(`${gate.url}/late`)], timeout: '300ms' }),
    ]);
    const bad = assertError(hub, '/feeds/bad', 502, 502, /^upstream failed: .*one/);
    (await gate.next()).answer('{}', { status: 404 });
    await bad;
    await assertError(hub, '/feeds/late', 504, 504, /^upstream timeout: .*one/);
  });

  test('more than max_refreshes: 503', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, cityOf(`${gate.url}/{city}`), { upstreams: { max_refreshes: 1 } });
    const first = get(hub, '/feeds/city?city=bilbao');
    const held = await gate.next();
    await assertError(hub, '/feeds/city?city=getxo', 503, 111, /^too many requests/);
    held.answer('1');
    assert.equal((await first).status, 200);
  });

  test('is given up when the hub goes down: 503', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf(`${gate.url}/`));
    const answer = get(hub, '/feeds/feed');
    await gate.next();
    hub.signal('SIGTERM');
    const { status, headers } = await answer;
    assert.deepEqual([status, headers['retry-after']], [503, '1']);
    assert.equal((await hub.exited).code, 0);
  });
});

describe('parameters in the query', { concurrency: true }, () => {
  const texts = ['a', ' within blanks ', 'a+b', 'a&b=c;d', 'k=v', '100%', 'é 漢字 😀', '"\\', '../x', 'a/b?c#d', '{v}', '[::1]', '&', '=', '%2B'];
  test('arrive as they were meant', async t => {
    const upstream = await startUpstream(t);
    const feed = { name: 'any', channel: 'kept:any', params: { v: '.{1,60}' }, upstreams: [{ name: 'one', url: `${upstream.url}/echo?v={v}`, select: '/query/v' }] };
    const hub = await startFeedHub(t, feed);
    for (const text of texts) {
      for (const query of [`v=${encodeURIComponent(text)}&fresh`, new URLSearchParams({ fresh: '1', v: text })]) {
        const { status, json, text: body } = await get(hub, `/feeds/any?${query}`);
        assert.deepEqual([status, json.one], [200, text], `${query}: ${body}`);
      }
    }
  });

  test('that are wrong are refused in words, and nothing is asked', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startFeedHub(t, cityOf(`${gate.url}/{city}`));
    const wrong = {
      '': /params\.city is missing/,
      '?': /params\.city is missing/,
      '?city': /params\.city/,
      '?city=': /params\.city/,
      '?city=B': /params\.city: .* does not match \[a-z-\]\{2,40\}$/,
      '?city=bilbao&town=x': /params\.town is not a parameter of the feed city/,
      '?city=bilbao&city=bilbao': /"city" is there twice/,
      '?city=bilbao&fresh=yes': /"fresh" is 1 or 0/,
      '?city=%ff': /"city" is not UTF-8/,
      '?City=bilbao': /params\.City is not a parameter|params\.city is missing/,
    };
    for (const [query, message] of Object.entries(wrong)) {
      await assertError(hub, `/feeds/city${query}`, 400, 107, message);
      await assertError(hub, `/feeds/city${query}`, 400, 107, message, EVENTS);
    }
    assert.equal(gate.n, 0);
  });

  test('a feed nobody knows: 404', async t => {
    const hub = await startFeedHub(t, []);
    for (const path of ['/feeds/nothing', '/feeds/', '/feeds/a/b?x=1', '/feeds/nothing?fresh=1']) await assertError(hub, path, 404, 102, /no feed is called/);
    assert.equal((await get(hub, '/feeds')).status, 404);
  });
});

describe('access', { concurrency: true }, () => {
  const client = { token: { hmac_secret_key: SECRET } };
  const claims = { sub: '42', exp: secondsFromNow(3600) };
  const bearer = token => ({ authorization: `Bearer ${token}` });

  async function startProtected(t, access) {
    const upstream = await startUpstream(t);
    const hub = await startFeedHub(t, cityOf(`${upstream.url}/air/{city}`, { access }), { client });
    const statusOf = async (headers, query = '') => {
      const { status } = await get(hub, `/feeds/city?city=bilbao${query}`, headers);
      const stream = await within(new Promise((resolve, reject) => {
        const outgoing = http.get({ host: '127.0.0.1', port: hub.port, path: `/feeds/city?city=bilbao${query}`, headers: { ...EVENTS, ...headers }, agent: false }, incoming => {
          resolve(incoming.statusCode);
          incoming.on('error', () => {});
          outgoing.destroy();
        });
        outgoing.once('error', reject);
      }), 'the head of a stream');
      assert.equal(stream, status, 'a stream is admitted as a snapshot is');
      return status;
    };
    return { hub, statusOf };
  }

  test('key: who has the API key', async t => {
    const { hub, statusOf } = await startProtected(t, 'key');
    assert.equal(await statusOf({}), 401);
    assert.equal(await statusOf({ 'x-api-key': 'wrong' }), 401);
    assert.equal(await statusOf(bearer(makeToken(claims))), 401);
    assert.equal(await statusOf({ 'x-api-key': hub.key }), 200);
    assert.equal(await statusOf({ authorization: `apikey ${hub.key}` }), 200);
  });

  test('token: who has a connection token, or a subscription token of the channel', async t => {
    const { hub, statusOf } = await startProtected(t, 'token');
    assert.equal(await statusOf({}), 401);
    assert.equal(await statusOf({ 'x-api-key': hub.key }), 401);
    assert.equal(await statusOf(bearer('x.y.z')), 401);
    assert.equal(await statusOf(bearer(makeToken(claims, { secret: 'another-secret-that-is-long-enough' }))), 401);
    assert.equal(await statusOf(bearer(makeToken({ ...claims, exp: secondsFromNow(-10) }))), 401);
    assert.equal(await statusOf(bearer(makeToken({ ...claims, channel: 'kept:getxo' }))), 403);
    assert.equal(await statusOf(bearer(makeToken(claims))), 200);
    assert.equal(await statusOf(bearer(makeToken({ ...claims, channel: 'kept:bilbao' }))), 200);
    assert.equal(await statusOf({}, `&token=${makeToken(claims)}`), 200);
    assert.equal(await statusOf({}, '&token=x.y.z'), 401);
    const path = '/feeds/city?city=bilbao&token=';
    await assertError(hub, `${path}x.y.z`, 401, 101, /^unauthorized: expected a token .* Bearer TOKEN$/);
    await assertError(hub, `${path}${makeToken({ ...claims, channel: 'kept:getxo' })}`, 403, 103, /the token is for another channel/);
    await assertError(hub, `${path}${makeToken({ ...claims, exp: secondsFromNow(-10) })}`, 401, 109, /^token expired$/);
  });

  test('a stream ends with its token, and no backend is asked about it', async t => {
    const backend = await startBackend(t, { '/refresh': { result: { expire_at: secondsFromNow(3600) } } });
    const upstream = await startUpstream(t);
    const proxy = { refresh: { enabled: true, endpoint: `${backend.url}/refresh` } };
    const hub = await startFeedHub(t, cityOf(`${upstream.url}/air/{city}`, { access: 'token' }), { client: { ...client, expired_close_delay: '0s', proxy } });
    await hub.call('feed_refresh', { feed: 'city', params: { city: 'bilbao' } });
    const tokens = [{}, { channel: 'kept:bilbao' }].map(more => makeToken({ ...claims, exp: secondsFromNow(3), ...more }));
    const readers = await Promise.all(tokens.map(token => openEvents(t, hub, '/feeds/city?city=bilbao', { headers: bearer(token) })));
    for (const reader of readers) {
      await reader.next();
      assert.equal(await reader.nextComment(), ' 3005');
      await reader.ended;
    }
    assert.equal(backend.requests.length, 0);
  });

  test('public: everybody', async t => {
    const { statusOf } = await startProtected(t, 'public');
    assert.equal(await statusOf({}), 200);
    assert.equal(await statusOf({ 'x-api-key': 'wrong', ...bearer('x') }), 200);
  });

  test('key is the default', async t => {
    const upstream = await startUpstream(t);
    const hub = await startHub(t, { config: { channel: { namespaces: [kept] }, feeds: [feedOf(`${upstream.url}/air/x`)] } });
    await assertError(hub, '/feeds/feed', 401, 101, /^unauthorized: expected the API key, as X-API-Key/);
  });
});

describe('pages of other origins', { concurrency: true }, () => {
  test('may read where client.allowed_origins has them', async t => {
    const { hub, set } = await startValue(t, {}, { client: { allowed_origins: ['https://good.example'] } });
    await set('1');
    const good = { origin: 'https://good.example' };
    for (const path of ['/feeds/feed', '/feeds/nothing', '/feeds/feed?x=1']) {
      const { headers } = await get(hub, path, good);
      assert.equal(headers['access-control-allow-origin'], 'https://good.example', path);
    }
    assert.match((await get(hub, '/feeds/feed', good)).headers['access-control-expose-headers'], /X-Belfry-Completed/);
    const { headers, status } = await get(hub, '/feeds/feed', { origin: 'https://bad.example' });
    assert.deepEqual([status, headers['access-control-allow-origin']], [200, undefined]);
    const events = await openEvents(t, hub, '/feeds/feed', { headers: good });
    assert.equal(events.headers['access-control-allow-origin'], 'https://good.example');
  });

  test('ask first', async t => {
    const { hub } = await startValue(t);
    const { status, headers } = await hub.request('OPTIONS', '/feeds/feed', { headers: { origin: 'https://x.example', 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' } });
    assert.equal(status, 204);
    assert.equal(headers['access-control-allow-methods'], 'GET, HEAD, OPTIONS');
    assert.equal(headers['access-control-allow-headers'], 'authorization');
  });
});

describe('a stream of events', { concurrency: true }, () => {
  test('the last snapshot at once, then each that is published, byte for byte', async t => {
    const { hub, set } = await startValue(t);
    const { epoch } = await set('{"n":1.10}');
    const events = await openEvents(t, hub, '/feeds/feed');
    assert.equal(events.headers['content-type'], 'text/event-stream');
    assert.match(events.headers['cache-control'], /no-store/);
    assert.deepEqual(await events.next(), { id: undefined, text: '{"one":{"n":1.10}}', data: { one: { n: 1.1 } } });
    await set('"line\\nline"');
    assert.deepEqual(await events.next(), { id: `${epoch}_2`, text: '{"one":"line\\nline"}', data: { one: 'line\nline' } });
    await set('"line\\nline"');
    await set('3');
    const { id, data } = await events.next();
    assert.deepEqual([id, data], [`${epoch}_3`, { one: 3 }], 'what is the same is not sent again');
  });

  test('many readers', async t => {
    const { hub, set } = await startValue(t);
    await set('0');
    const readers = await Promise.all(Array.from({ length: 20 }, () => openEvents(t, hub, '/feeds/feed')));
    for (const reader of readers) assert.deepEqual((await reader.next()).data, { one: 0 });
    for (let i = 1; i <= 10; i += 1) await set(String(i));
    for (const reader of readers) {
      for (let i = 1; i <= 10; i += 1) assert.deepEqual((await reader.next()).data, { one: i });
    }
  });

  test('in a channel without history, without ids', async t => {
    const { hub, set } = await startValue(t, { channel: 'live:feed' });
    await set('1');
    const events = await openEvents(t, hub, '/feeds/feed');
    assert.deepEqual(await events.next(), { id: undefined, text: '{"one":1}', data: { one: 1 } });
    await set('2');
    assert.deepEqual(await events.next(), { id: undefined, text: '{"one":2}', data: { one: 2 } });
  });

  test('before there is a snapshot: a comment, so that the head is not alone, and the first one when it comes', async t => {
    const { hub, set } = await startValue(t);
    const events = await openEvents(t, hub, '/feeds/feed');
    assert.equal(await events.nextComment(), '');
    await set('1');
    assert.deepEqual((await events.next()).data, { one: 1 });
  });

  for (const namespace of [{ force_recovery: true, force_positioning: true }, { force_recovery: true, force_recovery_mode: 'cache' }, { force_push_join_leave: true, join_leave: true, presence: true }, { delta_publish: true, allowed_delta_types: ['fossil'] }]) {
    test(`whatever its namespace says: ${JSON.stringify(namespace)}`, async t => {
      const { hub, set } = await startValue(t, {}, { client: { insecure: true }, channel: { namespaces: [{ ...kept, ...namespace }] } });
      await set('{"a":"some text that is long enough for a delta to be worth it","n":1}');
      const events = await openEvents(t, hub, '/feeds/feed');
      assert.equal((await events.next()).data.one.n, 1);
      const session = await openSession(t, hub);
      await session.ok('subscribe', { channel: 'kept:feed' });
      await set('{"a":"some text that is long enough for a delta to be worth it","n":2}');
      assert.equal((await events.next()).data.one.n, 2);
      assert.equal(events.nComments, 0);
    });
  }

  test('nobody may subscribe to the channel, but the feed is public', async t => {
    const { hub, set } = await startValue(t, {}, { client: { allow_anonymous_connect_without_token: true } });
    await set('1');
    const session = await openSession(t, hub);
    assert.equal((await session.error('subscribe', { channel: 'kept:feed' })).code, 103);
    assert.deepEqual((await (await openEvents(t, hub, '/feeds/feed')).next()).data, { one: 1 });
  });

  test('is a subscriber and a connection until it goes', async t => {
    const { hub, set } = await startValue(t, {}, { prometheus: { enabled: true } });
    await set('1');
    const events = await openEvents(t, hub, '/feeds/feed');
    await events.next();
    assert.deepEqual(await hub.call('channels'), { channels: { 'kept:feed': { num_clients: 1 } } });
    assert.equal((await infoWhen(hub, () => true)).num_clients, 1);
    events.destroy();
    await infoWhen(hub, info => info.num_clients === 0 && info.num_subs === 0);
    await assertIdle(hub);
  });

  test('keeps the feed going while somebody reads', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf(`${gate.url}/`, { refresh: { every: '100ms', grace: '0s' } }));
    const events = await openEvents(t, hub, '/feeds/feed');
    for (let i = 1; i <= 3; i += 1) {
      (await gate.next()).answer(String(i));
      assert.deepEqual((await events.next()).data, { one: i });
    }
  });

  test('connection_limit: 503', async t => {
    const { hub, set } = await startValue(t, {}, { client: { connection_limit: 1 } });
    await set('1');
    await (await openEvents(t, hub, '/feeds/feed')).next();
    await assertError(hub, '/feeds/feed', 503, 111, /^too many requests: no more connections/, EVENTS);
    assert.equal((await get(hub, '/feeds/feed')).status, 200, 'a snapshot is no connection');
  });

  test('fresh is not for it', async t => {
    const { hub } = await startValue(t);
    await assertError(hub, '/feeds/feed?fresh=1', 400, 107, /"fresh" is not for a stream of events/, EVENTS);
  });

  test('pings', async t => {
    const { hub, set } = await startValue(t, {}, { client: { ping_interval: '1s', pong_timeout: '500ms' } });
    await set('1');
    const events = await openEvents(t, hub, '/feeds/feed');
    await events.next();
    for (let i = 0; i < 2; i += 1) assert.equal(await events.nextComment(), '');
    await set('2');
    assert.deepEqual((await events.next()).data, { one: 2 });
  });

  test('ends well when the hub goes down, and says why in a comment', async t => {
    const { hub, set } = await startValue(t);
    await set('1');
    const events = await openEvents(t, hub, '/feeds/feed');
    await events.next();
    hub.signal('SIGTERM');
    assert.equal(await events.nextComment(), ' 3001');
    await events.ended;
    assert.equal((await hub.exited).code, 0);
  });

  test('a reader that does not read is sent away', async t => {
    const { hub, set } = await startValue(t, { channel: 'live:feed' }, { client: { queue_max_size: 65536 }, http_server: { max_request_body_size: 8_000_000 } });
    await set('1');
    const socket = net.connect(hub.port, '127.0.0.1', () => socket.write('GET /feeds/feed HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n'));
    t.after(() => socket.destroy());
    socket.pause();
    await infoWhen(hub, info => info.num_subs === 1);
    const data = 'x'.repeat(4_000_000);
    let n = 0;
    do {
      await hub.call('publish', { channel: 'live:feed', data });
      n += 1;
    } while ((await infoWhen(hub, () => true)).num_subs === 1 && n < 100);
    assert.ok(n < 100);
    socket.destroy(); // else the hub waits for it at its end
  });

  test("a browser's EventSource, which comes again by itself", async t => {
    const { hub, set } = await startValue(t);
    await set('1');
    const source = new EventSource(`${hub.url}/feeds/feed`);
    t.after(() => source.close());
    const messages = [];
    const takers = [];
    source.addEventListener('message', event => (takers.length > 0 ? takers.shift()(event) : messages.push(event)));
    const next = () => within(messages.length > 0 ? Promise.resolve(messages.shift()) : new Promise(resolve => takers.push(resolve)), 'a message');
    assert.equal((await next()).data, '{"one":1}');
    await hub.kill9();
    await hub.restart();
    assert.equal((await next()).data, '{"one":1}');
    await set('2');
    const { data, lastEventId } = await next();
    assert.equal(data, '{"one":2}');
    assert.match(lastEventId, /^\w+_2$/);
  });

  test('over TLS, as a snapshot too', async t => {
    const dir = await mkdtemp(join(tmpdir(), 'belfry-test-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const certificate = await makeCertificate(dir);
    const upstream = await startUpstream(t);
    await upstream.put('one', '1');
    const hub = await startFeedHub(t, feedOf(`${upstream.url}/values/one`), tlsConfig(certificate), { ca: certificate.ca });
    assert.equal((await get(hub, '/feeds/feed')).text, '{"one":1}');
    const events = await openEvents(t, hub, '/feeds/feed');
    assert.deepEqual((await events.next()).data, { one: 1 });
    await upstream.put('one', '2');
    await hub.call('feed_refresh', { feed: 'feed' });
    assert.deepEqual((await events.next()).data, { one: 2 });
  });
});
