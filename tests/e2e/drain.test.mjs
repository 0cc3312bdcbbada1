// Clients are sent away spread over a time: by POST /api/drain, at the end of the hub, and after client.max_lifetime.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, connected, newClient, newSubscription, nextEvent, nextPublication, subscribe } from './lib/client.mjs';
import { openEvents } from './lib/events.mjs';
import { startHub } from './lib/hub.mjs';
import { infoWhen, openSession } from './lib/session.mjs';
import { openStream } from './lib/stream.mjs';
import { EVERY_TRANSPORT, newClientOver, openUni } from './lib/transports.mjs';
import { startUpstream } from './lib/upstream.mjs';

const log = { name: 'log', history_size: 1000, history_ttl: '1h', force_recovery: true, force_positioning: true };
const SHUTDOWN = { code: 3001, reason: 'shutdown' };
const ENDED_WELL = { code: 0, signal: null };
const start = (t, { client, ...config } = {}) => startHub(t, { config: { client: { insecure: true, ...client }, channel: { namespaces: [log] }, prometheus: { enabled: true }, ...config } });

const openMany = (t, hub, n) => Promise.all(Array.from({ length: n }, () => openSession(t, hub)));
const allClosed = sessions => Promise.all(sessions.map(({ closed }) => closed));
const anyClosed = sessions => Promise.race(sessions.map(({ closed }) => closed));
const said = event => line => line.includes(` ${event}`);

async function figure(hub, name) {
  const { text } = await hub.request('GET', '/metrics');
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)[1]);
}

async function ready(hub) {
  const { status, json } = await hub.request('GET', '/ready');
  return { status, reasons: json.reasons };
}

/** What a client that wants to come in is answered with. */
function handshake(hub) {
  const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'x3JJHMbDL1EzLkh9GBhXDw==' };
  return hub.request('GET', '/connection/websocket', { headers });
}

describe('POST /api/drain', { concurrency: true }, () => {
  test('npm clients are sent away, come back by themselves and miss nothing', async t => {
    const hub = await start(t);
    const clients = Array.from({ length: 20 }, () => newClient(t, hub));
    const subs = await Promise.all(clients.map(async client => {
      await connect(client);
      const sub = newSubscription(client, 'log:1');
      await subscribe(sub);
      return sub;
    }));
    const left = clients.map(client => nextEvent(client, 'connecting'));
    const again = clients.map(client => nextEvent(client, 'connected'));
    assert.deepEqual(await hub.call('drain', { duration: '2s' }), { num_clients: 20 });
    for (let i = 0; i < 10; i += 1) {
      await hub.call('publish', { channel: 'log:1', data: i });
      await Promise.race(left.slice(i));
    }
    for (const { code, reason } of await Promise.all(left)) assert.deepEqual({ code, reason }, SHUTDOWN);
    await Promise.all(again);
    for (const sub of subs) {
      for (let i = 0; i < 10; i += 1) assert.equal((await nextPublication(sub)).data, i);
    }
    assert.equal(await figure(hub, 'belfry_clients_to_drain'), 0);
    await infoWhen(hub, info => info.num_clients === 20);
    assert.ok(hub.lines.some(said('drained')), 'the log says so');
  });

  test('they do not all go at once', async t => {
    const hub = await start(t);
    const sessions = await openMany(t, hub, 100);
    assert.deepEqual(await hub.call('drain', { duration: '100s' }), { num_clients: 100 });
    await anyClosed(sessions);
    const nLeft = await figure(hub, 'belfry_clients_to_drain');
    assert.ok(nLeft > 0 && nLeft < 100, `${nLeft} are left`);
    const { num_clients: nRest } = await hub.call('drain', { duration: '0s' });
    assert.ok(nRest > 0 && nRest <= nLeft, `${nRest} of ${nLeft}`);
    assert.deepEqual(await allClosed(sessions), Array(100).fill(SHUTDOWN));
  });

  test('a share of them: the oldest connections', async t => {
    const hub = await start(t);
    const old = [await openSession(t, hub), await openSession(t, hub), await openSession(t, hub)];
    const young = await openMany(t, hub, 7);
    assert.deepEqual(await hub.call('drain', { duration: '50ms', percent: 30 }), { num_clients: 3 });
    assert.deepEqual(await allClosed(old), Array(3).fill(SHUTDOWN));
    for (const session of young) await session.ok('subscribe', { channel: 'log:1' });
    assert.deepEqual(await hub.call('drain', { percent: 0 }), { num_clients: 0 });
  });

  test('refuse: nobody new comes in until another call', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    assert.deepEqual(await ready(hub), { status: 200, reasons: undefined });
    await hub.call('drain', { refuse: true });
    assert.deepEqual(await session.closed, SHUTDOWN);
    assert.deepEqual(await ready(hub), { status: 503, reasons: ['draining'] });
    assert.equal((await handshake(hub)).status, 503);
    assert.equal((await hub.request('GET', '/health')).status, 200);
    await hub.call('publish', { channel: 'log:1', data: 1 });
    await hub.call('drain', { percent: 0 });
    assert.equal((await ready(hub)).status, 200);
    await openSession(t, hub);
  });

  test('without refuse a hub stays ready', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    await hub.call('drain', { duration: '1h' });
    assert.equal((await ready(hub)).status, 200);
    const late = await openSession(t, hub);
    assert.equal(await figure(hub, 'belfry_clients_to_drain'), 1);
    session.ws.close();
    await infoWhen(hub, info => info.num_clients === 1);
    assert.equal(await figure(hub, 'belfry_clients_to_drain'), 0);
    await late.ok('subscribe', { channel: 'log:1' });
  });

  test('clients over every transport', async t => {
    const hub = await start(t, EVERY_TRANSPORT);
    const clients = ['websocket', 'http_stream', 'sse'].map(transport => newClientOver(t, hub, [transport]));
    await Promise.all(clients.map(connect));
    const left = clients.map(client => nextEvent(client, 'connecting'));
    const again = clients.map(client => nextEvent(client, 'connected'));
    const uni = await openUni(t, hub, 'uni_websocket', {});
    const streams = [await openStream(t, hub, 'uni_sse', { connect: {} }), await openStream(t, hub, 'uni_http_stream', { connect: {} })];
    assert.deepEqual(await hub.call('drain', { duration: '100ms' }), { num_clients: 6 });
    for (const { code } of await Promise.all(left)) assert.equal(code, 3001);
    await Promise.all(again);
    assert.equal((await uni.ended).code, 3001);
    for (const stream of streams) {
      assert.match(JSON.stringify(await stream.next()), /"code":3001,"reason":"shutdown"/);
      await stream.ended;
    }
  });

  test('who reads a feed as events', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('a', '{"x":1}');
    const feeds = [{ name: 'feed', channel: 'log:feed', access: 'public', upstreams: [{ name: 'a', url: `${upstream.url}/values/a` }] }];
    const hub = await start(t, { feeds });
    await hub.call('feed_refresh', { feed: 'feed' });
    const events = await openEvents(t, hub, '/feeds/feed');
    await events.next();
    const { report } = await hub.call('publish', { channel: 'log:feed', data: 1, report: true });
    assert.deepEqual([report.subscribers, report.reached], [1, 1]);
    assert.deepEqual(await hub.call('drain', { duration: '50ms' }), { num_clients: 1 });
    await events.ended;
  });

  test('says what is wrong', async t => {
    const hub = await start(t);
    for (const [request, message] of [
      [{ duration: 'soon' }, /^duration: expected a duration like "30s"/],
      [{ duration: '25h' }, /^duration: .*at most "24h"/],
      [{ duration: '' }, /^duration: expected a duration/],
      [{ duration: 30 }, /^duration: expected/],
      [{ percent: 101 }, /^percent: expected a whole number from 0 to 100/],
      [{ percent: -1 }, /^percent: /],
      [{ percent: 1.5 }, /^percent: /],
      [{ refuse: 'yes' }, /^refuse: expected/],
    ]) {
      const { json: { error } } = await hub.api('drain', request);
      assert.equal(error?.code, 107, JSON.stringify(request));
      assert.match(error.message.replace(/^bad request: /, ''), message);
    }
    assert.equal((await hub.api('drain', {}, { key: 'wrong' })).status, 401);
  });
});

describe('shutdown.drain', { concurrency: true }, () => {
  test('while it lasts, those who are still there get publications, and nobody new comes in', async t => {
    const hub = await start(t, { shutdown: { drain: '100s' } });
    const sessions = await openMany(t, hub, 100);
    const last = sessions.at(-1);
    const ids = new Map(sessions.map(session => [session, session.closed.then(() => session)]));
    await last.ok('subscribe', { channel: 'log:1' });
    hub.signal('SIGTERM');
    const first = await Promise.race(ids.values());
    assert.deepEqual(await first.closed, SHUTDOWN);
    if (first === last) return; // as nearly never
    assert.deepEqual(await ready(hub), { status: 503, reasons: ['draining'] });
    assert.equal((await hub.request('GET', '/health')).status, 200);
    assert.equal((await handshake(hub)).status, 503);
    assert.equal((await hub.api('drain', { percent: 0 })).status, 503);
    const { report } = await hub.call('publish', { channel: 'log:1', data: 'still', report: true });
    assert.equal(report.reached, 1);
    assert.equal((await last.nextPush()).pub.data, 'still');
    for (const session of sessions) session.ws.close();
    assert.deepEqual(await hub.exited, ENDED_WELL, 'nobody is waited for any more');
    await hub.restart();
    assert.equal((await hub.call('history', { channel: 'log:1' })).offset, 1);
  });

  test('all are sent away, and the hub ends', async t => {
    const hub = await start(t, { shutdown: { drain: '300ms' } });
    const sessions = await openMany(t, hub, 20);
    const early = await openSession(t, hub, { connect: null });
    hub.signal('SIGTERM');
    assert.deepEqual(await allClosed([...sessions, early]), Array(21).fill(SHUTDOWN));
    assert.deepEqual(await hub.exited, ENDED_WELL);
  });

  test('without clients it is over at once', async t => {
    const hub = await start(t, { shutdown: { drain: '1h' } });
    await hub.stop();
  });

  test('a second signal ends it', async t => {
    const hub = await start(t, { shutdown: { drain: '1h' } });
    await openMany(t, hub, 3);
    hub.signal('SIGTERM');
    await hub.waitForLine(said('draining'));
    hub.signal('SIGTERM');
    assert.deepEqual(await hub.exited, { code: 143, signal: null });
  });

  test('it is the duration of a drain by the API that names none', async t => {
    const hub = await start(t, { shutdown: { drain: '100s' } });
    const sessions = await openMany(t, hub, 100);
    await hub.call('drain');
    await anyClosed(sessions);
    assert.ok(await figure(hub, 'belfry_clients_to_drain') > 0);
    await hub.call('drain', { duration: '0s' });
    await allClosed(sessions);
  });
});

describe('client.max_lifetime', { concurrency: true }, () => {
  const SHORT = { client: { max_lifetime: '500ms' } };

  test('npm clients come back, again and again, and miss nothing', async t => {
    const hub = await start(t, SHORT);
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'log:1');
    await subscribe(sub);
    for (let i = 0; i < 3; i += 1) {
      const { code, reason } = await nextEvent(client, 'connecting');
      assert.deepEqual({ code, reason }, { code: 3001, reason: 'max lifetime' });
      await hub.call('publish', { channel: 'log:1', data: i });
      assert.equal((await nextPublication(sub)).data, i);
      await connected(client);
    }
    assert.ok(await figure(hub, 'belfry_clients_rotated_total') >= 3);
  });

  test('clients over every transport', async t => {
    const hub = await start(t, { ...SHORT, ...EVERY_TRANSPORT });
    const clients = ['websocket', 'http_stream', 'sse'].map(transport => newClientOver(t, hub, [transport]));
    const left = clients.map(client => new Promise(resolve => client.on('connecting', ({ code }) => { if (code === 3001) resolve(); })));
    clients.forEach(client => client.connect());
    const uni = await openUni(t, hub, 'uni_websocket', {});
    const streams = [await openStream(t, hub, 'uni_sse', { connect: {} }), await openStream(t, hub, 'uni_http_stream', { connect: {} })];
    await Promise.all(left);
    assert.equal((await uni.ended).code, 3001);
    for (const stream of streams) {
      assert.match(JSON.stringify(await stream.next()), /"code":3001,"reason":"max lifetime"/);
      await stream.ended;
    }
  });

  test('who has not said connect is stale, not old', async t => {
    const hub = await start(t, { client: { max_lifetime: '100ms', stale_close_delay: '1s' } });
    const session = await openSession(t, hub, { connect: null });
    assert.equal((await session.closed).code, 3502);
  });
});
