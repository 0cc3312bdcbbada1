// What a client may not do, or not more of: sizes, numbers, slowness, origins.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { rawSocket } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { CLOSE, TEXT, closeFrame, frame, openRawClient } from './lib/raw.mjs';
import { assertServes, infoWhen, openSession } from './lib/session.mjs';

const start = (t, { client, ...config } = {}) => startHub(t, { config: { client: { insecure: true, ...client }, ...config } });
const rpc = id => `{"id":${id},"rpc":{}}`;

describe('the size of a message', { concurrency: true }, () => {
  const TOO_LARGE = { code: 1009, reason: 'message size limit' };
  const startSmall = t => start(t, { websocket: { message_size_limit: 1000 } });

  test('up to websocket.message_size_limit is served, beyond it ends with 1009', async t => {
    const hub = await startSmall(t);
    const session = await openSession(t, hub);
    session.send(rpc(7).padEnd(1000));
    assert.equal((await session.replyTo(7)).error.code, 108);
    session.send(rpc(8).padEnd(1001));
    assert.deepEqual(await session.closed, TOO_LARGE);
    await assertServes(t, hub);
  });

  test('the default is 64 KB', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    session.send(rpc(7).padEnd(65536));
    assert.equal((await session.replyTo(7)).error.code, 108);
    session.send(rpc(8).padEnd(65537));
    assert.deepEqual(await session.closed, TOO_LARGE);
  });

  test('fragments count together, and a message need not be complete to be too large', async t => {
    const hub = await startSmall(t);
    const good = await openRawClient(hub);
    good.write(frame(rpc(2).padEnd(500), { isFinal: false }));
    good.write(frame(' '.repeat(500), { opcode: 0 }));
    assert.equal(JSON.parse(await good.text()).id, 2);

    const bad = await openRawClient(hub);
    bad.write(frame(rpc(2).padEnd(500), { isFinal: false }));
    bad.write(frame(' '.repeat(400), { opcode: 0, isFinal: false }));
    bad.write(frame(' '.repeat(101), { opcode: 0, isFinal: false }));
    assert.deepEqual(await bad.close(), TOO_LARGE);

    const endless = await openRawClient(hub);
    endless.write(frame('{', { isFinal: false }));
    for (let i = 0; i < 1000; i += 1) endless.write(frame(' ', { opcode: 0, isFinal: false }));
    assert.deepEqual(await endless.close(), TOO_LARGE);
    await assertServes(t, hub);
  });

  test('a length alone is enough, long before the bytes come', async t => {
    const hub = await startSmall(t);
    for (const announced of [1001, 65536, 2 ** 31, 2 ** 32, 2 ** 40]) {
      const ws = await openRawClient(hub);
      ws.write(frame('{"id":2', { announced, lengthBytes: announced < 65536 ? 3 : 9 }));
      assert.deepEqual(await ws.close(), TOO_LARGE, `${announced} bytes`);
    }
    await assertServes(t, hub);
  });

  test('what is left of a message that was too large is not heard', async t => {
    const hub = await startSmall(t);
    const watcher = await openSession(t, hub);
    await watcher.ok('subscribe', { channel: 'a' });
    const ws = await openRawClient(hub);
    ws.write(Buffer.concat([frame(' '.repeat(5000)), frame('{"id":2,"publish":{"channel":"a","data":"late"}}')]));
    assert.deepEqual(await ws.close(), TOO_LARGE);
    await hub.call('publish', { channel: 'a', data: 'marker' });
    assert.equal((await watcher.nextPush()).pub.data, 'marker');
  });
});

describe('a client that does not read', { concurrency: true }, () => {
  const data = 'x'.repeat(64_000);

  /** More than the kernel's buffers of an unread connection take. */
  const MUCH = 200;

  /** A hub with one reader and one client that subscribed and reads no more. */
  async function startWithSlowOne(t, client = {}) {
    const hub = await start(t, { client: { queue_max_size: 300_000, ...client } });
    const reader = await openSession(t, hub);
    await reader.ok('subscribe', { channel: 'a' });
    const slow = await openRawClient(hub);
    assert.ok((await slow.say({ id: 2, subscribe: { channel: 'a' } })).subscribe);
    slow.pause();
    return { hub, reader, slow };
  }

  /** Publishes until isEnough(), which is asked after each; the reader gets all of it. */
  async function flood(hub, reader, isEnough) {
    for (let i = 0; i < 1000; i += 1) {
      await hub.call('publish', { channel: 'a', data: `${i} ${data}` });
      const push = await reader.nextPush();
      assert.equal(push.pub.data.split(' ')[0], String(i));
      if (await isEnough()) return;
    }
    assert.fail('64 MB were published, and the hub took it all');
  }

  function floodMuch(hub, reader) {
    let n = 0;
    return flood(hub, reader, () => (n += 1) === MUCH);
  }

  const figures = async hub => (await hub.call('info')).nodes[0];

  test('is disconnected, the others get everything', async t => {
    const { hub, reader, slow } = await startWithSlowOne(t);
    await flood(hub, reader, async () => (await figures(hub)).num_subs === 1);
    await infoWhen(hub, info => info.num_clients === 1 && info.num_channels === 1);
    slow.resume();
    await slow.closed;
    await assertServes(t, hub);
  });

  test('is told so, with 3008, when it reads again at once', async t => {
    const { hub, reader, slow } = await startWithSlowOne(t);
    await flood(hub, reader, async () => (await figures(hub)).num_subs === 1);
    slow.resume();
    let last;
    do last = await slow.frame(); while (last.opcode === TEXT);
    assert.deepEqual([last.opcode, last.payload.readUInt16BE(), last.payload.toString('utf8', 2)], [CLOSE, 3008, 'slow']);
    slow.write(closeFrame(3008));
    await slow.closed;
  });

  test('is gone also when it answers no ping', async t => {
    const { hub, reader } = await startWithSlowOne(t, { queue_max_size: 100_000_000, ping_interval: '1500ms', pong_timeout: '1400ms' });
    await floodMuch(hub, reader);
    await infoWhen(hub, info => info.num_clients === 1);
    await assertServes(t, hub);
  });

  test('may say goodbye while much waits for it', async t => {
    const { hub, reader, slow } = await startWithSlowOne(t, { queue_max_size: 100_000_000 });
    await floodMuch(hub, reader);
    slow.write(closeFrame(1000));
    await infoWhen(hub, info => info.num_subs === 1);
    await assertServes(t, hub);
  });

  test('gets everything, in order, when it reads again in time', async t => {
    const { hub, reader, slow } = await startWithSlowOne(t, { queue_max_size: 100_000_000 });
    await floodMuch(hub, reader);
    slow.resume();
    const seen = [];
    while (seen.length < MUCH) {
      for (const line of (await slow.text()).split('\n')) seen.push(Number(JSON.parse(line).push.pub.data.split(' ')[0]));
    }
    assert.deepEqual(seen, Array.from({ length: MUCH }, (_, i) => i));
    assert.equal((await slow.say({ id: 3, rpc: {} })).id, 3);
  });

  test('cannot make the hub keep its replies without end', async t => {
    const hub = await start(t, { client: { queue_max_size: 300_000 }, channel: { without_namespace: { history_size: 10, history_ttl: '1h' } } });
    for (let i = 0; i < 5; i += 1) await hub.call('publish', { channel: 'a', data });
    const slow = await openRawClient(hub);
    slow.pause();
    const ask = Buffer.concat(Array.from({ length: 100 }, (_, i) => frame(`{"id":${i + 2},"history":{"channel":"a","limit":-1}}`)));
    for (let i = 0; i < 3; i += 1) slow.write(ask); // 90 MB of replies
    await infoWhen(hub, info => info.num_clients === 0);
    await assertServes(t, hub);
  });

  test('is sent away by a shutdown', async t => {
    const { hub, reader } = await startWithSlowOne(t, { queue_max_size: 100_000_000 });
    await floodMuch(hub, reader);
    await hub.stop();
    assert.deepEqual(await reader.closed, { code: 3001, reason: 'shutdown' });
  });
});

describe('numbers', { concurrency: true }, () => {
  test('no more subscriptions than client.channel_limit', async t => {
    const hub = await start(t, { client: { channel_limit: 2 } });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    await session.ok('subscribe', { channel: 'b' });
    assert.deepEqual(await session.error('subscribe', { channel: 'c' }), { code: 106, message: 'limit exceeded' });
    assert.equal((await session.error('subscribe', { channel: 'a' })).code, 105);
    await session.ok('unsubscribe', { channel: 'a' });
    await session.ok('subscribe', { channel: 'c' });
    const other = await openSession(t, hub);
    await other.ok('subscribe', { channel: 'a' });
  });

  test('128 subscriptions are the default, and all of them work', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    const channels = Array.from({ length: 128 }, (_, i) => `channel-${i}`);
    session.send(channels.map((channel, i) => JSON.stringify({ id: 1000 + i, subscribe: { channel } })).join('\n'));
    for (let i = 0; i < 128; i += 1) assert.ok((await session.replyTo(1000 + i)).subscribe);
    assert.equal((await session.error('subscribe', { channel: 'one-more' })).code, 106);
    await hub.call('broadcast', { channels: [...channels].reverse(), data: 1 });
    const seen = new Set();
    for (let i = 0; i < 128; i += 1) seen.add((await session.nextPush()).channel);
    assert.deepEqual([...seen].sort(), [...channels].sort());
    session.ws.close();
    await infoWhen(hub, info => info.num_clients === 0 && info.num_channels === 0 && info.num_subs === 0);
  });

  test('no more connections than client.connection_limit: 503', async t => {
    const hub = await start(t, { client: { connection_limit: 2 } });
    const [first] = [await openSession(t, hub), await openSession(t, hub, { connect: null })];
    await assert.rejects(rawSocket(t, hub), { status: 503 });
    assert.equal((await hub.request('GET', '/health')).status, 200, 'the API is not a client');
    first.ws.close();
    await infoWhen(hub, info => info.num_clients === 1);
    await openSession(t, hub);
    await assert.rejects(rawSocket(t, hub), { status: 503 });
  });

  test('5,000 publishes in few messages are all stored and answered, in order', async t => {
    const hub = await start(t, { channel: { without_namespace: { history_size: 10_000, history_ttl: '1h' } }, client: { history_max_publication_limit: 10_000 } });
    const session = await openSession(t, hub);
    const n = 5000;
    const commands = Array.from({ length: n }, (_, i) => `{"id":${i + 2},"publish":{"channel":"a","data":${i + 1}}}`);
    for (let i = 0; i < n; i += 1000) session.send(commands.slice(i, i + 1000).join('\n'));
    await session.replyTo(n + 1);
    const replies = session.log.slice(1);
    assert.deepEqual(replies, Array.from({ length: n }, (_, i) => ({ id: i + 2, publish: {} })));
    const { publications, offset } = await hub.call('history', { channel: 'a', limit: -1 });
    assert.equal(offset, n);
    assert.ok(publications.every(({ data, offset: at }, i) => data === i + 1 && at === i + 1), 'in order');
  });

  test('5,000 publishes in one burst of small messages too', async t => {
    const hub = await start(t, { channel: { without_namespace: { history_size: 10_000, history_ttl: '1h' } } });
    const ws = await openRawClient(hub);
    const n = 5000;
    ws.write(Buffer.concat(Array.from({ length: n }, (_, i) => frame(`{"id":${i + 2},"publish":{"channel":"a","data":${i + 1}}}`))));
    const ids = [];
    while (ids.length < n) ids.push(...(await ws.text()).split('\n').map(line => JSON.parse(line).id));
    assert.deepEqual(ids, Array.from({ length: n }, (_, i) => i + 2));
    const { publications } = await hub.call('history', { channel: 'a', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), Array.from({ length: n }, (_, i) => i + 1));
  });

  test('a client that vanishes behind a burst of commands leaves nothing', async t => {
    const hub = await start(t, { channel: { without_namespace: { history_size: 10, history_ttl: '1h' } } });
    const session = await openSession(t, hub);
    const commands = Array.from({ length: 1000 }, (_, i) => `{"id":${i + 2},"publish":{"channel":"a","data":${i + 1}}}`);
    for (let i = 0; i < 5; i += 1) session.send(commands.join('\n'));
    await session.replyTo(2);
    session.ws.terminate();
    await infoWhen(hub, info => info.num_clients === 0);
    await assertServes(t, hub);
  });
});

describe('client.allowed_origins', { concurrency: true }, () => {
  const cases = [
    [['https://app.example.com'], { 'https://app.example.com': true, 'HTTPS://App.Example.COM': true, 'http://app.example.com': false, 'https://app.example.com:8443': false, 'https://example.com': false, 'https://app.example.com.evil.org': false, null: false }],
    [['https://*.example.com', 'http://localhost:*'], { 'https://a.example.com': true, 'https://a.b.example.com': true, 'http://localhost:3000': true, 'https://example.com': false, 'https://example.org': false, 'http://localhost': false }],
    [['*'], { 'https://anything.example': true, null: true }],
    [[], { 'https://app.example.com': false, null: false }],
  ];
  for (const [allowed_origins, expected] of cases) {
    test(`of ${JSON.stringify(allowed_origins)}`, async t => {
      const hub = await start(t, { client: { allowed_origins } });
      for (const [origin, isAllowed] of Object.entries(expected)) {
        const opened = openSession(t, hub, { headers: { origin } });
        if (isAllowed) assert.ok((await opened).id);
        else await assert.rejects(opened, { status: 403 }, `${origin} is refused`);
      }
      assert.ok((await openSession(t, hub)).id, 'without an Origin: no browser');
    });
  }
});
