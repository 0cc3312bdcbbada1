// A life of the hub under valgrind: no invalid access, no leak.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { API_KEY, startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { head, openTcp } from './lib/raw.mjs';

const wrapper = [
  'valgrind', '--quiet', '--error-exitcode=9', '--leak-check=full', '--show-leak-kinds=definite,indirect,possible',
  '--errors-for-leak-kinds=definite,indirect,possible', '--num-callers=30',
];
const log = { name: 'log', history_size: 10, history_ttl: '1h', force_recovery: true, force_positioning: true, presence: true };

async function useClients(t, hub) {
  const client = newClient(t, hub);
  await connect(client);
  const sub = newSubscription(client, 'log:1');
  await subscribe(sub);
  await hub.call('publish', { channel: 'log:1', data: 1, tags: { a: 'b' } });
  await nextPublication(sub);
  client.disconnect();
  await hub.call('publish', { channel: 'log:1', data: { n: 2 } });
  await connect(client);
  assert.deepEqual((await nextPublication(sub)).data, { n: 2 });
  await client.publish('log:1', 3);
  await client.history('log:1', { limit: 10 });
  await client.presence('log:1');

  const session = await openSession(t, hub);
  await session.error('subscribe', { channel: 'nowhere:1' });
  await session.ok('subscribe', { channel: 'log:1' });
  await session.ok('unsubscribe', { channel: 'log:1' });
  const bad = await openSession(t, hub);
  bad.send('{"id":');
  await bad.closed;
  return session; // open until the end
}

async function useApi(t, hub) {
  await hub.call('broadcast', { channels: ['log:1', 'nowhere:1', 'x'], data: null });
  await hub.call('history', { channel: 'log:1', limit: -1 });
  await hub.call('presence', { channel: 'log:1' });
  await hub.call('channels', { pattern: 'l*' });
  await hub.call('info');
  assert.equal((await hub.api('info', 'no json')).status, 400);
  assert.equal((await hub.api('info', {}, { key: 'wrong' })).status, 401);
  assert.equal((await hub.api('publish', ' '.repeat(2_000_000))).status, 413);
  assert.equal((await hub.request('GET', '/nothing')).status, 404);
  assert.ok((await hub.api('publish', { data: 1 })).json.error);
  const tcp = await openTcp(hub);
  await tcp.write(head('POST', '/api/info', { 'X-API-Key': API_KEY, 'Content-Length': 100 }) + '{"half":');
  await hub.call('info');
  tcp.destroy();
}

async function useFeeds(hub, upstream, gate) {
  const refresh = () => hub.call('feed_refresh', { feed: 'city', params: { city: 'bilbao' } });
  const answer = refresh();
  (await gate.next()).answer({ n: 1 });
  const { upstreams } = await answer;
  assert.deepEqual(Object.values(upstreams).map(({ outcome }) => outcome), ['fresh', 'fresh', 'http_error', 'invalid_json', 'connect_error', 'too_large']);
  const again = refresh();
  (await gate.next()).answer({}, { status: 500 });
  assert.equal((await again).upstreams.gate.outcome, 'stale');
  assert.ok((await hub.api('feed_refresh', { feed: 'city', params: { city: '../x' } })).json.error);
  await hub.call('feed_get', { feed: 'city', params: { city: 'bilbao' } });
  await hub.call('feeds');
}

test('clients, recovery, the API, a feed with failing upstreams and a shutdown leave nothing behind', async t => {
  const [upstream, gate] = [await startUpstream(t), await startGate(t)];
  const feed = {
    name: 'city', channel: 'log:{city}', params: { city: '[a-z]+' }, timeout: '60s',
    upstreams: [
      { name: 'gate', url: `${gate.url}/{city}` },
      ...['', '&status=503', '&invalid=1', '&reset=1', '&size=9000'].map((query, i) => ({ name: `u${i}`, url: `${upstream.url}/weather?city={city}${query}` })),
    ],
  };
  const config = { client: { insecure: true }, channel: { namespaces: [log] }, upstreams: { max_body_size: 8192 }, feeds: [feed] };
  const hub = await startHub(t, { config, wrapper });

  const open = await useClients(t, hub);
  await useApi(t, hub);
  await useFeeds(hub, upstream, gate);

  const given = hub.api('feed_refresh', { feed: 'city', params: { city: 'getxo' } }).catch(() => {});
  const held = await gate.next();
  hub.signal('SIGTERM');
  await held.gone;
  assert.deepEqual(await open.closed, { code: 3001, reason: 'shutdown' });
  await given;
  const { code } = await hub.exited;
  assert.equal(code, 0, hub.lines.join('\n'));
  assert.deepEqual(hub.lines.filter(line => line.startsWith('==')), []);
});
