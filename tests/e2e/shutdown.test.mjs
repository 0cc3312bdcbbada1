// The end: who is told, what is kept, and who cannot hold it up.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, subscribe } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { API_KEY, startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { head, openTcp } from './lib/raw.mjs';

const log = { name: 'log', history_size: 1000, history_ttl: '1h', force_recovery: true, force_positioning: true };
const config = { client: { insecure: true }, channel: { namespaces: [log] } };
const SHUTDOWN = { code: 3001, reason: 'shutdown' };
const ENDED_WELL = { code: 0, signal: null };

const startShutdownHub = (t, more = {}) => startHub(t, { config: { ...config, ...more } });
const feedOver = (gate, more = {}) => ({ feeds: [{ name: 'slow', channel: 'log:feed', timeout: '60s', upstreams: [{ name: 'one', url: gate.url }], ...more }] });

/** A client that has said it hears the channel, and then reads nothing any more. */
async function deafClient(t, hub, channel) {
  const session = await openSession(t, hub);
  await session.ok('subscribe', { channel });
  session.ws._socket.pause();
  session.ws._socket.removeAllListeners('data');
  return session;
}

const said = event => line => line.includes(` ${event}`);

describe('SIGTERM and SIGINT', { concurrency: true }, () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal}: 200 clients are sent away with 3001, what was accepted is kept`, async t => {
      const hub = await startShutdownHub(t);
      const clients = await Promise.all(Array.from({ length: 200 }, () => openSession(t, hub)));
      await Promise.all(clients.map(client => client.ok('subscribe', { channel: 'log:1' })));
      let accepted = 0;
      const publisher = (async () => {
        for (;;) {
          const reply = await hub.api('publish', { channel: 'log:1', data: accepted + 1 }).catch(() => ({}));
          if (!reply.json?.result) return;
          accepted = reply.json.result.offset;
        }
      })();
      await clients[0].nextPush();
      hub.signal(signal);
      const closes = await Promise.all(clients.map(({ closed }) => closed));
      assert.deepEqual(closes, Array(200).fill(SHUTDOWN));
      assert.deepEqual(await hub.exited, ENDED_WELL);
      await publisher;
      assert.ok(said('stopped')(hub.lines.at(-1)), hub.lines.at(-1));

      await hub.restart();
      const { publications, offset } = await hub.call('history', { channel: 'log:1', limit: -1 });
      assert.ok(accepted >= 1 && offset >= accepted, `${offset} kept, ${accepted} accepted`);
      assert.deepEqual(publications.map(({ data }) => data), Array.from({ length: offset }, (_, i) => i + 1));
    });
  }

  test('what was published before the signal reaches clients before the close', async t => {
    const hub = await startShutdownHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'log:1' });
    const data = 'x'.repeat(100_000);
    for (let i = 0; i < 5; i++) await hub.call('publish', { channel: 'log:1', data });
    hub.signal('SIGTERM');
    assert.deepEqual(await session.closed, SHUTDOWN);
    const offsets = session.log.filter(({ push }) => push).map(({ push }) => push.pub.offset);
    assert.deepEqual(offsets, [1, 2, 3, 4, 5]);
  });

  test('an npm client comes back to the next hub and misses nothing', async t => {
    const hub = await startShutdownHub(t);
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'log:1');
    await subscribe(sub);
    await hub.call('publish', { channel: 'log:1', data: 'before' });
    await nextPublication(sub);
    const reconnecting = nextEvent(client, 'connecting');
    const again = nextEvent(client, 'connected');
    await hub.stop();
    const { code, reason } = await reconnecting;
    assert.deepEqual({ code, reason }, SHUTDOWN);
    await hub.restart();
    await hub.call('publish', { channel: 'log:1', data: 'after' });
    await again;
    assert.equal((await nextPublication(sub)).data, 'after');
  });

  test('nobody new is let in meanwhile', async t => {
    const hub = await startShutdownHub(t, { shutdown: { timeout: '60s' } });
    const deaf = await deafClient(t, hub, 'log:1'); // holds the hub for a while
    const session = await openSession(t, hub);
    hub.signal('SIGTERM');
    await session.closed;
    const refused = new Promise(resolve => net.connect(hub.port, '127.0.0.1').once('error', resolve).once('connect', () => resolve('connected')));
    assert.equal((await refused).code, 'ECONNREFUSED');
    deaf.ws.terminate();
    assert.deepEqual(await hub.exited, ENDED_WELL);
  });

  test('a hub to which nobody ever came ends too', async t => {
    const hub = await startShutdownHub(t);
    await hub.stop();
  });
});

describe('what cannot hold it up', { concurrency: true }, () => {
  test('a refresh that hangs is given up', async t => {
    const gate = await startGate(t);
    const hub = await startShutdownHub(t, feedOver(gate));
    const answer = hub.api('feed_refresh', { feed: 'slow' }).catch(error => error);
    const held = await gate.next();
    hub.signal('SIGTERM');
    await held.gone;
    assert.deepEqual(await hub.exited, ENDED_WELL);
    const { json } = await answer;
    assert.equal(json?.result, undefined);
    await hub.restart();
    const { json: { error } } = await hub.api('feed_get', { feed: 'slow' });
    assert.equal(error.code, 108, 'nothing of it was stored');
  });

  test('an idle keep-alive connection, a silent one, half a request', async t => {
    const hub = await startShutdownHub(t, { shutdown: { timeout: '3600s' } });
    const [idle, silent, half] = [await openTcp(hub), await openTcp(hub), await openTcp(hub)];
    await idle.write(head('GET', '/health'));
    await idle.response();
    await half.write(head('POST', '/api/info', { 'X-API-Key': API_KEY, 'Content-Length': 100 }));
    await hub.request('GET', '/health');
    hub.signal('SIGTERM');
    await Promise.all([idle.closed, silent.closed, half.closed]);
    assert.deepEqual(await hub.exited, ENDED_WELL);
  });

  test('a client that has not said connect', async t => {
    const hub = await startShutdownHub(t);
    const session = await openSession(t, hub, { connect: null });
    hub.signal('SIGTERM');
    assert.deepEqual(await session.closed, SHUTDOWN);
    assert.deepEqual(await hub.exited, ENDED_WELL);
  });

  test('a client that does not read, beyond shutdown.timeout', async t => {
    const hub = await startShutdownHub(t, { shutdown: { timeout: '500ms' }, client: { insecure: true, queue_max_size: 100_000_000 } });
    await deafClient(t, hub, 'log:1');
    const data = 'x'.repeat(900_000);
    for (let i = 0; i < 20; i++) await hub.call('publish', { channel: 'log:1', data }); // more than sockets buffer
    hub.signal('SIGTERM');
    assert.deepEqual(await hub.exited, ENDED_WELL);
    assert.ok(hub.lines.some(said('shutdown_timeout')), hub.lines.join('\n'));
    await hub.restart();
    assert.equal((await hub.call('history', { channel: 'log:1' })).offset, 20);
  });
});

describe('a second signal', { concurrency: true }, () => {
  for (const [first, second, code] of [['SIGTERM', 'SIGTERM', 143], ['SIGTERM', 'SIGINT', 130], ['SIGINT', 'SIGTERM', 143]]) {
    test(`${second} after ${first} ends it at once with ${code}`, async t => {
      const hub = await startShutdownHub(t, { shutdown: { timeout: '3600s' }, client: { insecure: true, queue_max_size: 100_000_000 } });
      await deafClient(t, hub, 'log:1');
      const data = 'x'.repeat(900_000);
      for (let i = 0; i < 20; i++) await hub.call('publish', { channel: 'log:1', data });
      hub.signal(first);
      await hub.waitForLine(said('shutting_down'));
      hub.signal(second);
      assert.deepEqual(await hub.exited, { code, signal: null });
      await hub.restart();
      assert.equal((await hub.call('history', { channel: 'log:1' })).offset, 20, 'what was accepted is there all the same');
    });
  }
});

// By itself: the moment between the last line and the end is short.
test('SIGHUP does not change how it ends, to the last moment', async t => {
  const hub = await startShutdownHub(t);
  hub.signal('SIGTERM');
  const timer = setInterval(() => {
    try { hub.signal('SIGHUP'); } catch { clearInterval(timer); } // it is no more
  }, 0);
  t.after(() => clearInterval(timer));
  const ended = await hub.exited;
  clearInterval(timer);
  assert.deepEqual(ended, ENDED_WELL);
});
