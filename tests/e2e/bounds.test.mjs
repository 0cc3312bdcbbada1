// What one request, one client or one stranger can make the hub do, and where it ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { closeFrame, CLOSE, frame, openTcp, openWebSocket, handshake } from './lib/raw.mjs';
import { openSession } from './lib/session.mjs';
import { startUpstream } from './lib/upstream.mjs';

const kept = { name: 'kept', history_size: 100, history_ttl: '1h', force_recovery: true };
const text = bytes => 'x'.repeat(bytes);

test('a broadcast of much to many neither overruns the queue of the storage nor loses a channel', async t => {
  const hub = await startHub(t, {
    config: { channel: { namespaces: [kept] }, storage: { queue_max_size: 4 * 1024 * 1024 } },
  });
  const channels = Array.from({ length: 300 }, (_, i) => `kept:${i}`);
  const { responses } = await hub.call('broadcast', { channels, data: text(50_000) }); // 15 MB in all
  assert.equal(responses.length, channels.length);
  for (const { result } of responses) assert.equal(result.offset, 1);
  const last = await hub.call('history', { channel: 'kept:299', limit: -1 });
  assert.equal(last.publications[0].data, text(50_000));
});

test('history ends at client.history_max_size, and a recovery beyond it is refused, not cut', async t => {
  const hub = await startHub(t, {
    config: {
      client: { insecure: true, history_max_size: 65536 },
      channel: { namespaces: [kept], tail_max_size: 0 },
    },
  });
  for (let i = 1; i <= 10; i++) await hub.call('publish', { channel: 'kept:a', data: [i, text(20_000)] });
  const { epoch } = await hub.call('history', { channel: 'kept:a' });
  const session = await openSession(t, hub);
  const { publications } = await session.ok('history', { channel: 'kept:a', limit: -1 });
  assert.deepEqual(publications.map(({ data }) => data[0]), [1, 2, 3, 4]); // the fourth reaches it
  const far = await session.ok('subscribe', { channel: 'kept:a', recover: true, epoch, offset: 1 });
  assert.equal(far.recovered, undefined);
  assert.equal(far.was_recovering, true);
  assert.equal(far.offset, 10);
  await session.ok('unsubscribe', { channel: 'kept:a' });
  const near = await session.ok('subscribe', { channel: 'kept:a', recover: true, epoch, offset: 7 });
  assert.equal(near.recovered, true);
  assert.deepEqual(near.publications.map(({ offset }) => offset), [8, 9, 10]);
});

test('a pattern holds for the whole value, whatever it contains', async t => {
  const upstream = await startUpstream(t);
  const hub = await startHub(t, {
    config: {
      channel: { namespaces: [{ name: 'city' }] },
      feeds: [
        {
          name: 'feed',
          channel: 'city:x',
          params: { p: 'a|bc|(d)' },
          upstreams: [{ name: 'one', url: `${upstream.url}/echo?p={p}` }],
        },
      ],
    },
  });
  for (const p of ['a', 'bc', 'd']) await hub.call('feed_refresh', { feed: 'feed', params: { p } });
  for (const p of ['ax', 'xa', 'abc', 'b', 'bcd', 'a\n', '']) {
    const { json } = await hub.api('feed_refresh', { feed: 'feed', params: { p } });
    assert.equal(json.error?.code, 107, JSON.stringify(p));
  }
});

test('a feed that is refreshed and never changes is not forgotten', async t => {
  const gate = await startGate(t);
  const hub = await startHub(t, {
    config: {
      channel: { namespaces: [{ name: 'city', history_size: 10, history_ttl: '1s', history_meta_ttl: '1s' }] },
      feeds: [{ name: 'feed', channel: 'city:x', upstreams: [{ name: 'one', url: gate.url }] }],
    },
  });
  const refresh = async () => {
    const [result] = await Promise.all([hub.call('feed_refresh', { feed: 'feed' }), gate.next().then(one => one.answer('{"v":1}'))]);
    return result;
  };
  assert.equal((await refresh()).changed, true);
  const end = Date.now() + 2500; // longer than everything is kept
  while (Date.now() < end) assert.equal((await refresh()).changed, false);
});

test('a broken Close is answered with what is wrong', async t => {
  const hub = await startHub(t, { config: { client: { insecure: true } } });
  for (const [bytes, code] of [
    [closeFrame(5000), 1002],
    [closeFrame(65535), 1002],
    [closeFrame(1005), 1002],
    [closeFrame(0), 1002],
    [frame('x', { opcode: CLOSE }), 1002],
    [frame(Buffer.from([0x03, 0xe8, 0xff]), { opcode: CLOSE }), 1007],
    [closeFrame(1000, 'bye'), 1000],
    [closeFrame(4000), 4000],
  ]) {
    const ws = await openWebSocket(hub);
    ws.write(bytes);
    assert.equal((await ws.close()).code, code);
    await ws.closed;
  }
});

test('an Origin too long to look at is refused', async t => {
  const hub = await startHub(t, { config: { client: { insecure: true, allowed_origins: ['https://good.example'] } } });
  const tcp = await openTcp(hub);
  tcp.write(handshake({ headers: { Origin: `https://${text(6000)}.example` } }));
  const { status } = await tcp.response();
  assert.ok(status === 403 || status === 431, `${status}`);
});

test('an upgrade to HTTP/2 is told what is spoken here', async t => {
  const hub = await startHub(t, { config: {} });
  const tcp = await openTcp(hub);
  tcp.write('GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n');
  const { status, text: body } = await tcp.response();
  assert.equal(status, 400);
  assert.match(body, /HTTP\/1\.1/);
});

test('the API says which member is missing', async t => {
  const hub = await startHub(t, { config: { channel: { namespaces: [kept] } } });
  for (const [method, body] of [['publish', { chanel: 'kept:a', data: 1 }], ['history', {}], ['presence', { channel: '' }]]) {
    const { json } = await hub.api(method, body);
    assert.deepEqual([json.error.code, json.error.message], [107, 'bad request: channel: expected the name of a channel']);
  }
  await hub.api('info', {}, { key: 'wrong' });
  await hub.waitForLine(line => line.includes('key_refused'));
});

test('what strangers can cause is logged once in a while', async t => {
  const hub = await startHub(t, { config: { client: { insecure: true, allowed_origins: [] } } });
  for (let i = 0; i < 50; i++) {
    const tcp = await openTcp(hub);
    tcp.write(handshake({ headers: { Origin: 'https://evil.example' } }));
    assert.equal((await tcp.response()).status, 403);
  }
  const lines = hub.lines.filter(line => line.includes('origin_refused'));
  assert.ok(lines.length >= 1 && lines.length < 50, `${lines.length} lines`);
});
