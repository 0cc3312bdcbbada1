// What operators read: the log as text and as JSON, the access log, request ids, and traces on their way to upstreams.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';

import { connect, newClient } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { openTcp } from './lib/raw.mjs';

const ACCESS = { http_server: { access_log: { enabled: true } } };
const JSON_LOG = { log: { format: 'json' } };
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

const accessLine = async (hub, satisfies) => JSON.parse(await hub.waitForLine(line => line.includes('"module":"access"') && satisfies(JSON.parse(line))));
const both = { ...ACCESS, ...JSON_LOG };

test('log.format json: every line is an object with its time, level, module and event first', async t => {
  const hub = await startHub(t, { config: JSON_LOG });
  await hub.stop();
  assert.ok(hub.lines.length > 1);
  for (const line of hub.lines) assert.deepEqual(Object.keys(JSON.parse(line)).slice(0, 4), ['time', 'level', 'module', 'event'], line);
  const listening = hub.lines.map(line => JSON.parse(line)).find(({ event }) => event === 'listening');
  assert.equal(listening.port, hub.port);
  assert.match(listening.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('what libwebsockets says about requests that are none has one line a second at most', async t => {
  const hub = await startHub(t);
  const begin = Date.now();
  for (let i = 0; i < 20; i++) {
    const tcp = await openTcp(hub);
    await tcp.write(Buffer.from('\n\n'));
    tcp.end();
    await tcp.closed;
  }
  await hub.waitForLine(line => / libwebsockets message .*left_out=/.test(line));
  const seconds = Math.ceil((Date.now() - begin) / 1000);
  const lines = hub.lines.filter(line => line.includes(' libwebsockets message '));
  assert.ok(lines.length <= seconds + 1, lines.join('\n'));
});

describe('the access log', { concurrency: true }, () => {
  test('has a line per answer, with nothing of the query', async t => {
    const hub = await startHub(t, { config: both });
    await hub.call('publish', { channel: 'a', data: {} });
    const { method, status, bytes, from, path, duration_us: duration } = await accessLine(hub, ({ path: of }) => of === '/api/publish');
    assert.deepEqual({ method, status, bytes, from, path }, { method: 'POST', status: 200, bytes: '{"result":{}}'.length, from: '127.0.0.1', path: '/api/publish' });
    assert.ok(Number.isInteger(duration) && duration >= 0);
    await hub.request('GET', '/nothing?secret=tell', { headers: { 'x-forwarded-for': '192.0.2.1, 10.0.0.1' } });
    const nothing = await accessLine(hub, ({ path: of }) => of === '/nothing');
    assert.equal(nothing.status, 404);
    assert.equal(nothing.forwarded_for, '192.0.2.1, 10.0.0.1');
    await hub.request('POST', '/api/info', { headers: { 'content-length': 'x' }, body: '' }).catch(() => {});
    await accessLine(hub, ({ status: of }) => of === 400);
    assert.ok(!hub.lines.some(line => line.includes('secret') || line.includes(hub.key)));
  });

  test('names the key that a request was permitted or refused with, wherever keys are asked for', async t => {
    const keyed = { name: 'publisher', key: 'the-key-of-the-publisher', methods: ['publish'] };
    const feeds = [{ name: 'f', channel: 'f', access: 'key', upstreams: [{ name: 'a', url: 'http://127.0.0.1:1/' }] }];
    const hub = await startHub(t, { config: { ...both, http_api: { keys: [keyed] }, feeds, url_proxy: { enabled: true } } });
    const ask = (method, path, key) => hub.request(method, path, { headers: { 'x-api-key': key }, body: method === 'POST' ? '{}' : undefined });
    for (const [method, path] of [['POST', '/api/info'], ['GET', '/feeds/f'], ['GET', '/proxy?url=http://127.0.0.1:1/']]) {
      for (const [key, name] of [[keyed.key, 'publisher'], [hub.key, 'http_api.key'], ['wrong', undefined]]) {
        const { headers } = await ask(method, path, key);
        const line = await accessLine(hub, ({ id }) => id === headers['x-request-id']);
        assert.equal(line.key, name, `${path} ${line.status}`);
      }
    }
  });

  test('has WebSockets, taken and refused, and streams', async t => {
    const hub = await startHub(t, { config: { ...both, client: { insecure: true, allowed_origins: ['https://a.example'] }, uni_sse: { enabled: true } } });
    await connect(newClient(t, hub));
    await accessLine(hub, ({ path, status }) => path === '/connection/websocket' && status === 101);
    await hub.request('GET', '/connection/websocket', {
      headers: { connection: 'Upgrade', upgrade: 'websocket', origin: 'https://b.example', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
    });
    await accessLine(hub, ({ path, status }) => path === '/connection/websocket' && status === 403);
    const stream = http.get(`${hub.url}/connection/uni_sse`);
    t.after(() => stream.destroy());
    stream.on('error', () => {});
    const { bytes } = await accessLine(hub, ({ path, status }) => path === '/connection/uni_sse' && status === 200);
    assert.equal(bytes, -1);
  });

  test('says 499 when the client has not waited', async t => {
    const gate = await startGate(t);
    const hub = await startHub(t, { config: { ...both, channel: { without_namespace: {} }, feeds: [{ name: 'f', channel: 'f', upstreams: [{ name: 'a', url: gate.url }] }] } });
    const asking = http.request(`${hub.url}/api/feed_refresh`, { method: 'POST', headers: { 'x-api-key': hub.key } });
    asking.on('error', () => {});
    asking.end('{"feed":"f"}');
    const held = await gate.next();
    asking.destroy();
    await hub.request('GET', '/health'); // the hub has seen its going by then, or sees it before the answer below
    held.answer({});
    const { status } = await accessLine(hub, ({ path }) => path === '/api/feed_refresh');
    assert.equal(status, 499);
  });

  test('one_of leaves lines out, but not those of failures', async t => {
    const hub = await startHub(t, { config: { http_server: { access_log: { enabled: true, one_of: 10 } }, ...JSON_LOG, feeds: [{ name: 'f', channel: 'f', upstreams: [{ name: 'a', url: 'http://127.0.0.1:1/', on_failure: 'fail' }] }] } });
    for (let i = 0; i < 30; i++) await hub.request('GET', '/nothing');
    assert.equal((await hub.api('feed_refresh', { feed: 'f' })).status, 502);
    await accessLine(hub, ({ status }) => status === 502);
    const lines = hub.lines.filter(line => line.includes('"path":"/nothing"'));
    assert.equal(lines.length, 3);
  });

  test('is off by default', async t => {
    const hub = await startHub(t);
    await hub.request('GET', '/nothing');
    await hub.stop();
    assert.ok(!hub.lines.some(line => line.includes(' access ')));
  });
});

describe('X-Request-Id', { concurrency: true }, () => {
  test('comes back, and is in the access log', async t => {
    const hub = await startHub(t, { config: both });
    const { headers } = await hub.request('GET', '/health', { headers: { 'x-request-id': 'order-7/a' } });
    assert.equal(headers['x-request-id'], 'order-7/a');
    await accessLine(hub, ({ id }) => id === 'order-7/a');
  });

  test('is made where there is none, or none that is good', async t => {
    const hub = await startHub(t);
    const seen = new Set();
    for (const id of [undefined, 'with blanks', 'a"b', 'x'.repeat(129)]) {
      const { headers } = await hub.request('GET', '/health', { headers: id ? { 'x-request-id': id } : {} });
      assert.match(headers['x-request-id'], /^[0-9a-f]{16}$/);
      seen.add(headers['x-request-id']);
    }
    assert.equal(seen.size, 4);
    const refused = await hub.request('POST', '/api/info', { headers: { 'content-length': 'x', 'x-request-id': 'mine' }, body: '' }).catch(() => null);
    if (refused) assert.equal(refused.headers['x-request-id'], 'mine');
  });
});

describe('traceparent', { concurrency: true }, () => {
  const start = async t => {
    const gate = await startGate(t);
    const feeds = [{ name: 'f', channel: 'f', access: 'public', upstreams: [{ name: 'a', url: `${gate.url}/a` }, { name: 'b', url: `${gate.url}/b` }] }];
    return { gate, hub: await startHub(t, { config: { feeds, upstreams: { allow_hosts: ['127.0.0.1'] }, url_proxy: { enabled: true, access: 'public' } } }) };
  };
  const traced = { traceparent: TRACEPARENT, tracestate: 'congo=t61rcWkgMzE' };

  function assertTraced({ headers }) {
    assert.match(headers.traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
    assert.equal(headers.tracestate, 'congo=t61rcWkgMzE');
    assert.notEqual(headers.traceparent, TRACEPARENT);
  }

  test('of who asks for a refresh goes on to its upstreams, each with a parent of its own', async t => {
    const { gate, hub } = await start(t);
    const asked = hub.request('POST', '/api/feed_refresh', { headers: { ...traced, 'x-api-key': hub.key }, body: { feed: 'f' } });
    const both = [await gate.next(), await gate.next()];
    both.forEach(assertTraced);
    assert.notEqual(both[0].headers.traceparent, both[1].headers.traceparent);
    both.forEach(held => held.answer({}));
    assert.equal((await asked).status, 200);
    const untraced = hub.call('feed_refresh', { feed: 'f' });
    for (const held of [await gate.next(), await gate.next()]) {
      assert.equal(held.headers.traceparent, undefined);
      held.answer({});
    }
    await untraced;
  });

  test('of a batch goes on with each of its commands, also with those that begin later', async t => {
    const { gate, hub } = await start(t);
    const ask = (path, body) => hub.request('POST', path, { headers: { ...traced, 'x-api-key': hub.key }, body });
    const line = '{"method":"feed_refresh","params":{"feed":"f"}}';
    for (const [path, body] of [['/api/batch', { commands: Array(2).fill({ feed_refresh: { feed: 'f' } }) }], ['/api', `${line}${line}`]]) {
      const asked = ask(path, body);
      for (let i = 0; i < 2; i++) {
        const both = [await gate.next(), await gate.next()];
        both.forEach(assertTraced);
        both.forEach(held => held.answer({ i }));
      }
      assert.equal((await asked).status, 200);
    }
  });

  test('of a page, of a fan-out of the caller, and of a streamed URL too', async t => {
    const { gate, hub } = await start(t);
    const ways = [
      [() => hub.request('GET', '/feeds/f?fresh=1', { headers: traced }), 2],
      [() => hub.request('POST', '/api/fanout', { headers: { ...traced, 'x-api-key': hub.key }, body: { upstreams: [{ name: 'a', url: `${gate.url}/x` }] } }), 1],
      [() => hub.request('GET', `/proxy?url=${encodeURIComponent(`${gate.url}/y`)}`, { headers: traced }), 1],
    ];
    for (const [ask, n] of ways) {
      const asked = ask();
      for (let i = 0; i < n; i++) {
        const held = await gate.next();
        assertTraced(held);
        held.answer({});
      }
      assert.equal((await asked).status, 200);
    }
  });

  test('that is none is not passed on', async t => {
    const { gate, hub } = await start(t);
    const asked = hub.request('POST', '/api/feed_refresh', { headers: { traceparent: '00-0-0-0', tracestate: 'a=b', 'x-api-key': hub.key }, body: { feed: 'f' } });
    for (const held of [await gate.next(), await gate.next()]) {
      assert.equal(held.headers.traceparent, undefined);
      assert.equal(held.headers.tracestate, undefined);
      held.answer({});
    }
    await asked;
  });
});
