// SIGHUP: another configuration for a hub that runs, all of it or nothing, and who is connected stays.
import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';

import { makeCertificate, tlsConfig } from './lib/certificate.mjs';
import { connect, newClient, newSubscription, nextEvent, nextPublication, subscribe } from './lib/client.mjs';
import { belfry, temporaryFolder } from './lib/command.mjs';
import { startGate } from './lib/gate.mjs';
import { API_KEY, merged, startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken, newKeys } from './lib/token.mjs';

const SECRETS = ['the-first-secret-of-the-tests-0123456789', 'the-second-secret-of-the-tests-0123456789'];
const kept = { name: 'kept', history_size: 10, history_ttl: '1h' };
const open = { client: { insecure: true } };
const withNamespaces = (...namespaces) => ({ channel: { namespaces } });
const token = (secret, sub = 'u') => makeToken({ sub }, { secret });

/** What the log says, without time and level: "changed key=http_api.key". */
const words = lines => lines.map(line => line.replace(/^.* reload /, ''));
const keys = (lines, event) => words(lines).filter(line => line.startsWith(`${event} key=`)).map(line => line.slice(event.length + 5).replaceAll('"', '')).sort();
const isTaken = lines => words(lines).at(-1).startsWith('reloaded');

async function reloaded(hub, config) {
  const lines = await hub.reload(config);
  assert.ok(isTaken(lines), lines.join('\n'));
  return lines;
}

async function refused(hub, config) {
  const lines = await hub.reload(config);
  assert.ok(!isTaken(lines), lines.join('\n'));
  return lines;
}

/** A client that must not notice anything. */
async function bystander(t, hub, channel, options) {
  const client = newClient(t, hub, options);
  const sub = newSubscription(client, channel);
  let n = 0;
  client.on('disconnected', () => { n += 1; });
  client.on('connecting', () => { n += 1; });
  sub.on('unsubscribed', () => { n += 1; });
  sub.on('subscribing', () => { n += 1; });
  const up = connect(client);
  await Promise.all([up, subscribe(sub)]);
  n = 0;
  const receives = async data => {
    await hub.call('publish', { channel, data });
    assert.deepEqual((await nextPublication(sub)).data, data);
    assert.equal(n, 0, 'it was disturbed');
  };
  return { client, sub, receives };
}

describe('a reload', { concurrency: true }, () => {
  test('without a change changes nothing, and says so', async t => {
    const hub = await startHub(t, { config: merged(open, withNamespaces(kept)) });
    const watcher = await bystander(t, hub, 'kept:a');
    const lines = await reloaded(hub, {});
    assert.deepEqual(words(lines).slice(1), ['reloaded changed=0 restart_needed=0']);
    await watcher.receives({ n: 1 });
  });

  test('exchanges the key of tokens: for new connections', async t => {
    const hub = await startHub(t, { config: merged({ client: { token: { hmac_secret_key: SECRETS[0] } } }, withNamespaces({ ...kept, allow_subscribe_for_client: true })) });
    const watcher = await bystander(t, hub, 'kept:a', { token: token(SECRETS[0]) });
    const lines = await reloaded(hub, { client: { token: { hmac_secret_key: SECRETS[1] } } });
    assert.deepEqual(keys(lines, 'changed'), ['client.token.hmac_secret_key']);
    assert.ok(!hub.lines.join('\n').includes(SECRETS[1]), 'the log has the secret');
    await watcher.receives({ n: 1 });
    await connect(newClient(t, hub, { token: token(SECRETS[1]) }));
    await assert.rejects(connect(newClient(t, hub, { token: token(SECRETS[0]) })), { code: 3500 });
  });

  test('exchanges a key set that clients wait for: they are judged by the new keys', async t => {
    const { privateKey, publicKey } = newKeys('ES256');
    const set = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a', alg: 'ES256', use: 'sig' }] };
    const [first, second] = [await startGate(t), await startGate(t)];
    const hub = await startHub(t, { config: { client: { token: { jwks_public_endpoint: `${first.url}/keys` } } } });
    const client = newClient(t, hub, { token: makeToken({ sub: 'u' }, { alg: 'ES256', key: privateKey, kid: 'a' }) });
    const done = connect(client);
    const held = await first.next();
    await reloaded(hub, { client: { token: { jwks_public_endpoint: `${second.url}/keys` } } });
    await held.gone;
    (await second.next()).answer(set);
    await done;
    await reloaded(hub, { client: { channel_limit: 5 } });
    await connect(newClient(t, hub, { token: makeToken({ sub: 'v' }, { alg: 'ES256', key: privateKey, kid: 'a' }) }));
    assert.equal(second.n, 1, 'the set goes on');
  });

  test('brings namespaces and takes them away', async t => {
    const hub = await startHub(t, { config: merged(open, withNamespaces(kept, { name: 'old' })) });
    const watcher = await bystander(t, hub, 'kept:a');
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'old:a');
    await Promise.all([connect(client), subscribe(sub)]);
    const end = nextEvent(sub, 'unsubscribed');
    const lines = await reloaded(hub, withNamespaces(kept, { name: 'new' }));
    assert.deepEqual([keys(lines, 'added'), keys(lines, 'removed')], [['channel.namespaces[new]'], ['channel.namespaces[old]']]);
    assert.equal((await end).code, 102);
    assert.equal(client.state, 'connected');
    await subscribe(newSubscription(client, 'new:a'));
    await watcher.receives({ n: 1 });
    assert.equal((await hub.api('publish', { channel: 'old:a', data: 1 })).json.error.code, 102);
  });

  test('changes how much is kept', async t => {
    const hub = await startHub(t, { config: merged(open, withNamespaces({ ...kept, force_recovery: true })) });
    const watcher = await bystander(t, hub, 'kept:a');
    const publish = async n => { for (let i = 0; i < n; i++) await watcher.receives({ i }); };
    const size = async () => (await hub.call('history', { channel: 'kept:a', limit: 100 })).publications.length;
    await publish(12);
    assert.equal(await size(), 10);
    assert.deepEqual(keys(await reloaded(hub, withNamespaces({ ...kept, history_size: 3, force_recovery: true })), 'changed'), ['channel.namespaces[kept].history_size']);
    assert.equal(await size(), 3);
    await publish(5);
    assert.equal(await size(), 3);
    await reloaded(hub, withNamespaces({ ...kept, history_size: 20, force_recovery: true }));
    await publish(12);
    assert.ok(await size() >= 15);
    await publish(20);
    assert.equal(await size(), 20);
  });

  test('that ends a history sends back who counts positions', async t => {
    const hub = await startHub(t, { config: merged(open, withNamespaces({ ...kept, force_recovery: true })) });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:a' });
    await reloaded(hub, withNamespaces({ name: 'kept' }));
    assert.deepEqual((await session.nextPush()).unsubscribe, { code: 2500, reason: 'insufficient state' });
    assert.equal((await session.ok('subscribe', { channel: 'kept:a' })).recoverable, undefined);
  });

  test('exchanges the keys of the API', async t => {
    const hub = await startHub(t, { config: open });
    const status = async key => (await hub.api('info', {}, { key })).status;
    const lines = await reloaded(hub, { http_api: { key: 'another-key' } });
    assert.deepEqual(keys(lines, 'changed'), ['http_api.key']);
    assert.deepEqual([await status(API_KEY), await status('another-key')], [401, 200]);
  });

  test('changes the limits of clients and the level of the log', async t => {
    const hub = await startHub(t, { config: open });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    const lines = await reloaded(hub, { client: { channel_limit: 1 }, log: { level: 'debug' } });
    assert.deepEqual(keys(lines, 'changed'), ['client.channel_limit', 'log.level']);
    assert.equal((await session.error('subscribe', { channel: 'b' })).code, 106);
  });

  test('names what only a restart changes, and does the rest', async t => {
    const hub = await startHub(t, { config: open });
    const other = { http_server: { address: '127.0.0.2' }, storage: { path: join(hub.dir, 'other.sqlite') }, client: { ping_interval: '30s', channel_limit: 2 }, websocket: { handler_prefix: '/ws' } };
    for (let i = 0; i < 2; i++) {
      const lines = await reloaded(hub, other);
      assert.deepEqual(keys(lines, 'restart_needed'), ['client.ping_interval', 'http_server.address', 'storage.path', 'websocket.handler_prefix']);
      assert.deepEqual(keys(lines, 'changed'), i === 0 ? ['client.channel_limit'] : []);
    }
    const session = await openSession(t, hub);
    assert.equal(session.connected.ping, 25);
    await hub.call('info');
  });

  test('asks other backends, while questions to the former ones end as they began', async t => {
    const [first, second] = [await startGate(t), await startGate(t)];
    const rpc = gate => ({ rpc: { proxy: { endpoint: `${gate.url}/rpc`, enabled: true }, without_namespace: { proxy_enabled: true } } });
    const hub = await startHub(t, { config: merged(open, rpc(first)) });
    const session = await openSession(t, hub);
    const early = session.ok('rpc', { method: 'm', data: {} });
    const held = await first.next();
    await reloaded(hub, rpc(second));
    const late = session.ok('rpc', { method: 'm', data: {} });
    held.answer({ result: { data: 1 } });
    assert.deepEqual((await early).data, 1);
    (await second.next()).answer({ result: { data: 2 } });
    assert.deepEqual((await late).data, 2);
    assert.deepEqual([first.n, second.n], [1, 1]);
  });
});

describe('feeds', { concurrency: true }, () => {
  const feedOf = (url, more = {}) => ({ name: 'feed', channel: 'kept:feed', upstreams: [{ name: 'one', url }], ...more });
  const startFeedHub = (t, ...feeds) => startHub(t, { config: { ...open, ...withNamespaces(kept), feeds } });

  /** Answers {"from": name, "n": the count}. */
  async function startSource(t, name) {
    let n = 0;
    const server = http.createServer((request, response) => {
      n += 1;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ from: name }));
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => { server.closeAllConnections(); server.close(); });
    return { url: `http://127.0.0.1:${server.address().port}/`, get n() { return n; } };
  }

  test('come, change and go under those who watch', async t => {
    const [a, b] = [await startSource(t, 'a'), await startSource(t, 'b')];
    const hub = await startFeedHub(t);
    const watcher = await bystander(t, hub, 'kept:feed');
    const refresh = { every: '1h' };
    assert.deepEqual(keys(await reloaded(hub, { feeds: [feedOf(a.url, { refresh })] }), 'added'), ['feeds[feed]']);
    assert.deepEqual((await nextPublication(watcher.sub)).data, { one: { from: 'a' } });
    assert.deepEqual(keys(await reloaded(hub, { feeds: [feedOf(b.url, { refresh })] }), 'changed'), ['feeds[feed].upstreams[one].url']);
    assert.deepEqual((await nextPublication(watcher.sub)).data, { one: { from: 'b' } });
    assert.deepEqual((await hub.call('feed_get', { feed: 'feed' })).data, { one: { from: 'b' } });
    assert.deepEqual(keys(await reloaded(hub, { feeds: [] }), 'removed'), ['feeds[feed]']);
    assert.equal((await hub.api('feed_get', { feed: 'feed' })).json.error.message, 'unknown channel: no feed is called "feed"');
    await watcher.receives({ n: 1 });
  });

  test('that are as they were keep what they know, and are not asked again', async t => {
    const a = await startSource(t, 'a');
    const hub = await startFeedHub(t, feedOf(a.url));
    await hub.call('feed_refresh', { feed: 'feed' });
    await reloaded(hub, { feeds: [feedOf(a.url, { name: 'other', channel: 'kept:other' }), feedOf(a.url)] });
    assert.deepEqual((await hub.call('feed_get', { feed: 'feed' })).data, { one: { from: 'a' } });
    const { feeds } = await hub.call('feeds');
    const feed = feeds.find(({ name }) => name === 'feed');
    assert.deepEqual([feed.state.refreshes, feed.upstreams[0].calls], [1, 1]);
    assert.equal(a.n, 1);
  });

  test('that changed keep their snapshot until it is refreshed', async t => {
    const a = await startSource(t, 'a');
    const city = more => feedOf(`${a.url}?{city}`, { channel: 'kept:{city}', params: { city: '[a-z]+' }, ...more });
    const hub = await startFeedHub(t, city());
    await hub.call('feed_refresh', { feed: 'feed', params: { city: 'bilbao' } });
    await reloaded(hub, { feeds: [city({ timeout: '3s' })] });
    assert.equal((await hub.call('feeds')).feeds[0].state.refreshes, 1);
    assert.deepEqual((await hub.call('feed_get', { feed: 'feed', params: { city: 'bilbao' } })).data, { one: { from: 'a' } });
    await reloaded(hub, { feeds: [city({ params: { city: '[a-c]+' } })] });
    assert.equal((await hub.api('feed_get', { feed: 'feed', params: { city: 'bilbao' } })).json.error.code, 107);
  });

  for (const [what, feeds] of [['changed', url => [feedOf(url, { merge: 'flat' })]], ['removed', () => []]]) {
    test(`whose run is under way when they are ${what} answer as it began`, async t => {
      const gate = await startGate(t);
      const hub = await startFeedHub(t, feedOf(gate.url));
      const watcher = await bystander(t, hub, 'kept:feed');
      const [first, joined] = [hub.call('feed_refresh', { feed: 'feed' }), hub.call('feed_refresh', { feed: 'feed' })];
      const held = await gate.next();
      await reloaded(hub, { feeds: feeds(gate.url) });
      held.answer({ n: 1 });
      assert.deepEqual([(await first).data, (await joined).data], [{ one: { n: 1 } }, { one: { n: 1 } }]);
      assert.deepEqual((await nextPublication(watcher.sub)).data, { one: { n: 1 } });
      if (what === 'changed') {
        (await gate.next()).answer({ n: 2 });
        assert.deepEqual((await nextPublication(watcher.sub)).data, { n: 2 });
      }
      await watcher.receives({ last: true });
    });
  }

  test('of callers may go to the hosts of the new list, and to no others', async t => {
    const a = await startSource(t, 'a');
    const hub = await startFeedHub(t);
    const outcome = async () => (await hub.call('fanout', { upstreams: [{ name: 'one', url: a.url }] })).upstreams.one.outcome;
    assert.equal(await outcome(), 'refused');
    assert.deepEqual(keys(await reloaded(hub, { upstreams: { allow_hosts: ['127.0.0.1'] } }), 'changed'), ['upstreams.allow_hosts']);
    assert.equal(await outcome(), 'fresh');
    await reloaded(hub, { upstreams: { allow_hosts: ['192.0.2.1'] } });
    assert.equal(await outcome(), 'refused');
  });

  test('under way at many reloads, and at the end', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, feedOf(gate.url));
    const early = hub.api('feed_refresh', { feed: 'feed' }).catch(() => null);
    await gate.next();
    for (let i = 1; i <= 5; i++) await reloaded(hub, { feeds: [feedOf(gate.url, { timeout: `${10 + i}s` })] });
    process.kill(hub.pid, 'SIGHUP');
    await hub.stop();
    await early;
  });
});

describe('certificates', () => {
  const fingerprint = (t, hub, ca) => within(new Promise((resolve, reject) => {
    const socket = tls.connect({ port: hub.port, host: '127.0.0.1', ca });
    socket.once('secureConnect', () => { resolve(socket.getPeerCertificate().fingerprint256); socket.destroy(); });
    socket.once('error', reject);
  }), 'a TLS handshake');

  test('are replaced under a hundred connections', async t => {
    const dir = await temporaryFolder(t);
    const [old, fresh] = [await makeCertificate(dir, { name: 'old' }), await makeCertificate(dir, { name: 'fresh' })];
    const hub = await startHub(t, { config: merged(merged(tlsConfig(old), open), withNamespaces(kept)), ca: old.ca });
    const watchers = await Promise.all(Array.from({ length: 100 }, (_, i) => bystander(t, hub, `kept:${i}`)));
    const before = await fingerprint(t, hub, old.ca);
    await Promise.all([rename(fresh.certFile, old.certFile), rename(fresh.keyFile, old.keyFile)]);
    await reloaded(hub, {});
    assert.notEqual(await fingerprint(t, hub, fresh.ca), before);
    await assert.rejects(fingerprint(t, hub, old.ca));
    for (const [i, watcher] of watchers.entries()) await watcher.client.publish(`kept:${i}`, { i });
    for (const [i, watcher] of watchers.entries()) assert.deepEqual((await nextPublication(watcher.sub)).data, { i });
    assert.ok(watchers.every(watcher => watcher.client.state === 'connected' && watcher.sub.state === 'subscribed'));
  });

  test('that cannot be read change nothing, nor does what is beside them', async t => {
    const dir = await temporaryFolder(t);
    const [old, fresh] = [await makeCertificate(dir, { name: 'old' }), await makeCertificate(dir, { name: 'fresh' })];
    const hub = await startHub(t, { config: merged(tlsConfig(old), open), ca: old.ca });
    const before = await fingerprint(t, hub, old.ca);
    const missing = merged(tlsConfig({ ...old, certFile: join(dir, 'none.pem') }), { client: { channel_limit: 1 } });
    const lines = await refused(hub, missing);
    assert.match(lines.join('\n'), /config_error .*http_server\.tls\.cert_pem_file/);
    const mixed = tlsConfig({ certFile: old.certFile, keyFile: fresh.keyFile });
    assert.match((await refused(hub, mixed)).join('\n'), /config_error .*http_server\.tls\./);
    assert.equal(await fingerprint(t, hub, old.ca), before);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    await session.ok('subscribe', { channel: 'b' });
    await reloaded(hub, tlsConfig(fresh));
    assert.notEqual(await fingerprint(t, hub, fresh.ca), before);
  });
});

describe('a broken file', { concurrency: true }, () => {
  const broken = {
    syntax: ['{ "client": ', /config_error/],
    'an unknown key': [{ client: { nonsense: 1 } }, /client\.nonsense/],
    'a wrong value': [{ client: { channel_limit: 'many' } }, /client\.channel_limit/],
    'two wrong values': [{ client: { channel_limit: 0 }, http_server: { port: 70000 } }, /client\.channel_limit[\s\S]*http_server\.port|http_server\.port[\s\S]*client\.channel_limit/],
    'a feed of no namespace': [{ feeds: [{ name: 'f', channel: 'none:f', upstreams: [{ name: 'u', url: 'http://127.0.0.1:1/' }] }] }, /feeds\[0\]\.channel/],
  };
  for (const [what, [change, pattern]] of Object.entries(broken)) {
    test(`(${what}) changes nothing; the log says why; the next good one is taken`, async t => {
      const hub = await startHub(t, { config: merged({ ...open, prometheus: { enabled: true } }, withNamespaces(kept)) });
      const watcher = await bystander(t, hub, 'kept:a');
      const more = typeof change === 'string' ? change : merged(change, { http_api: { key: 'another' }, channel: { namespaces: [] } });
      assert.match((await refused(hub, more)).join('\n'), pattern);
      await watcher.receives({ n: 1 });
      await reloaded(hub, { client: { channel_limit: 7 } });
      await watcher.receives({ n: 2 });
      const figures = (await hub.request('GET', '/metrics')).text;
      assert.match(figures, /belfry_config_reloads_total\{outcome="ok"\} 1\n/);
      assert.match(figures, /belfry_config_reloads_total\{outcome="error"\} 1\n/);
      assert.match(figures, /belfry_config_last_reload_successful 1\n/);
    });
  }

  test('(it is gone) changes nothing', async t => {
    const hub = await startHub(t, { config: open });
    const before = hub.lines.length;
    await rename(join(hub.dir, 'belfry.json'), join(hub.dir, 'away.json'));
    process.kill(hub.pid, 'SIGHUP');
    await hub.waitForLine(line => / reload not_reloaded /.test(line), { from: before });
    assert.match(hub.lines.slice(before).join('\n'), /config_error .*No such file/);
    await writeFile(join(hub.dir, 'belfry.json'), '');
    process.kill(hub.pid, 'SIGHUP');
    await reloaded(hub, {});
  });
});

test('fifty reloads in a row, each with other feeds, namespaces and keys', async t => {
  const gate = await startGate(t, { open: true });
  const config = i => ({
    ...withNamespaces({ ...kept, history_size: 10 + (i % 3) }, ...(i % 2 ? [{ name: 'odd' }] : [])),
    client: { insecure: true, token: { hmac_secret_key: `${SECRETS[0]}${i}` } },
    feeds: Array.from({ length: 1 + (i % 4) }, (_, k) => ({
      name: `feed${k}`, channel: `kept:feed${k}`, timeout: `${1 + (i % 5)}s`, refresh: { every: '1h', while: k % 2 ? 'always' : 'watched' },
      upstreams: [{ name: 'one', url: `${gate.url}/${k}` }, ...(i % 3 ? [{ name: 'two', url: `${gate.url}/two` }] : [])],
    })),
  });
  const hub = await startHub(t, { config: config(0) });
  const watcher = await bystander(t, hub, 'kept:a');
  await bystander(t, hub, 'kept:feed0');
  await bystander(t, hub, 'kept:feed1');
  for (let i = 1; i <= 50; i++) {
    const refresh = hub.api('feed_refresh', { feed: 'feed0' });
    await reloaded(hub, config(i));
    assert.equal((await refresh).status, 200);
  }
  await watcher.receives({ last: true });
});

/** The keys that only a start changes, as the schema says: a comment is for all below it. */
function fixedKeys(schema, node, path = '', isLive = false, found = new Map()) {
  if (node.$ref) fixedKeys(schema, schema.$defs[node.$ref.slice('#/$defs/'.length)], path, isLive, found);
  for (const [key, below] of Object.entries(node.properties ?? {})) {
    const place = path ? `${path}.${key}` : key;
    const live = below.$comment ? below.$comment === 'changes on SIGHUP' : isLive;
    const inside = below.properties || below.$ref ? below : below.items?.properties || below.items?.$ref ? below.items : null;
    if (inside) fixedKeys(schema, inside, below.type === 'array' ? `${place}[]` : place, live, found);
    else found.set(place, !live);
  }
  return found;
}

test('docs/configuration.md lists the keys that need a restart, and no other', async () => {
  const { out } = await belfry(['configschema']);
  const schema = JSON.parse(out);
  const text = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const listed = /These are:\n\n([^]*?)\.\n\n/.exec(text)[1].match(/`[^`]+`/g).map(key => key.slice(1, -1));
  const covers = (entry, key) => (entry.endsWith('.*') ? key.startsWith(entry.slice(0, -1)) : entry === key);
  const found = fixedKeys(schema, schema);
  assert.ok(found.size > 200, `${found.size}`);
  for (const [key, isFixed] of found) assert.equal(listed.some(entry => covers(entry, key)), isFixed, key);
  for (const entry of listed) assert.ok([...found.keys()].some(key => covers(entry, key)), entry);
});
