// Webhooks of the real hub: which events come, in which order, signed how; and that none is lost while the backend is away or when
// the hub is killed.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { answer, HANG, startBackend } from './lib/backend.mjs';
import { connect, newClient, newSubscription, subscribe } from './lib/client.mjs';
import { belfry, check } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { parseMetrics } from './lib/prometheus.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken, SECRET } from './lib/token.mjs';

const ALL = ['disconnect', 'unsubscribe', 'channel_occupied', 'channel_vacated'];
const quick = { batch_max_delay: '0s', retry_min_delay: '5ms', retry_max_delay: '20ms', timeout: '30s' };

function configFor(backend, options = {}) {
  return {
    client: { insecure: true, token: { hmac_secret_key: SECRET } },
    channel: { namespaces: [{ name: 'news' }] },
    prometheus: { enabled: true },
    webhooks: [{ name: 'crm', endpoint: `${backend.url}/events`, events: ALL, ...quick, ...options }],
  };
}

/** Takes requests until there are n events; each event once, in the order of their ids. */
async function takeEvents(backend, n, path = '/events') {
  const events = [];
  while (events.length < n) {
    const { json } = await backend.next(path);
    for (const event of json.events) if (event.id > (events.at(-1)?.id ?? 0)) events.push(event);
  }
  assert.equal(events.length, n, JSON.stringify(events));
  return events;
}

const withoutStamp = ({ id, time, ...event }) => {
  assert.ok(Number.isSafeInteger(id) && id > 0);
  assert.ok(Math.abs(time - Date.now()) < 60_000);
  return event;
};

/** Subscribes to each channel and unsubscribes again: three events per channel. */
async function visit(t, hub, ...channels) {
  const session = await openSession(t, hub);
  for (const channel of channels) await session.ok('subscribe', { channel });
  for (const channel of channels) await session.ok('unsubscribe', { channel });
}

async function figure(hub, name) {
  return parseMetrics((await hub.request('GET', '/metrics')).text).get(`belfry_webhook_${name}`);
}

async function untilFigure(hub, name, least) {
  while ((await figure(hub, name)) < least);
}

describe('what is told', { concurrency: true }, () => {
  test('a client comes, subscribes, unsubscribes and goes', async t => {
    const backend = await startBackend(t, { '/events': {} });
    const hub = await startHub(t, { config: configFor(backend) });
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    const sub = newSubscription(client, 'news:1');
    await subscribe(sub);
    assert.deepEqual((await takeEvents(backend, 1)).map(withoutStamp), [{ event: 'channel_occupied', channel: 'news:1' }]);
    sub.unsubscribe();
    const who = { client: id, user: '', transport: 'websocket' };
    const [first, second] = (await takeEvents(backend, 2)).map(withoutStamp).sort((a, b) => (a.event < b.event ? -1 : 1));
    assert.deepEqual(first, { event: 'channel_vacated', channel: 'news:1' });
    assert.equal(typeof second.code, 'number');
    assert.equal(typeof second.reason, 'string');
    assert.deepEqual(second, { event: 'unsubscribe', ...who, channel: 'news:1', code: second.code, reason: second.reason });
    client.disconnect();
    const [gone] = (await takeEvents(backend, 1)).map(withoutStamp);
    assert.deepEqual(gone, { event: 'disconnect', ...who, code: gone.code, reason: gone.reason });
    assert.ok(gone.code >= 3000, `${gone.code}`);
  });

  test('only the first subscriber occupies a channel, and only the last one vacates it', async t => {
    const backend = await startBackend(t, { '/events': {} });
    const hub = await startHub(t, { config: configFor(backend, { events: ['channel_occupied', 'channel_vacated'] }) });
    const sessions = [await openSession(t, hub), await openSession(t, hub)];
    for (const session of sessions) await session.ok('subscribe', { channel: 'a' });
    for (const session of sessions) await session.ok('unsubscribe', { channel: 'a' });
    await sessions[0].ok('subscribe', { channel: 'b' });
    assert.deepEqual((await takeEvents(backend, 3)).map(withoutStamp), [
      { event: 'channel_occupied', channel: 'a' },
      { event: 'channel_vacated', channel: 'a' },
      { event: 'channel_occupied', channel: 'b' },
    ]);
  });

  test('a disconnect by the API, with its code and reason', async t => {
    const backend = await startBackend(t, { '/events': {} });
    const hub = await startHub(t, { config: configFor(backend, { events: ['disconnect'] }) });
    const session = await openSession(t, hub, { connect: { token: makeToken({ sub: '42' }) } });
    await hub.call('disconnect', { user: '42', disconnect: { code: 4321, reason: 'enough' } });
    const events = (await takeEvents(backend, 1)).map(withoutStamp);
    assert.deepEqual(events, [{
      event: 'disconnect', client: session.connected.client, user: '42', transport: 'websocket', code: 4321, reason: 'enough',
    }]);
  });

  test('the signature is that of the documentation', async t => {
    const backend = await startBackend(t, { '/events': {} });
    const hub = await startHub(t, { config: configFor(backend, { hmac_secret_key: 'a secret', events: ['channel_occupied'] }) });
    await visit(t, hub, 'a');
    const { method, headers, text, json } = await backend.next('/events');
    const [, time, given] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['x-belfry-signature']);
    assert.equal(given, createHmac('sha256', 'a secret').update(`${time}.${text}`).digest('hex'));
    assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 60);
    assert.equal(method, 'POST');
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(headers['x-belfry-webhook'], 'crm');
    assert.equal(headers['x-belfry-delivery'], `${json.events[0].id}-${json.events.at(-1).id}`);
  });

  test('figures, and checkdb counts what waits', async t => {
    const backend = await startBackend(t, { '/events': answer(500) });
    const hub = await startHub(t, { config: configFor(backend, { queue_limit: 3, events: ['channel_occupied'] }) });
    await visit(t, hub, 'a', 'b', 'c', 'd');
    await backend.next('/events');
    await untilFigure(hub, 'events_waiting', 3);
    assert.equal(await figure(hub, 'events_total'), 3);
    assert.equal(await figure(hub, 'dropped_total'), 1);
    assert.equal(await figure(hub, 'delivered_total'), 0);
    const checked = await belfry(['checkdb', '--config', join(hub.dir, 'belfry.json')]);
    assert.match(checked.out, /: ok, .* 3 waiting events$/m);
    await hub.waitForLine(line => / webhooks failed webhook=crm /.test(line));
    await hub.waitForLine(line => / webhooks dropped webhook=crm why=queue_limit /.test(line));
  });
});

describe('nothing is lost', { concurrency: true }, () => {
  test('while the backend is away', async t => {
    const backend = await startBackend(t, { '/events': {} });
    const hub = await startHub(t, { config: configFor(backend) });
    await backend.stop();
    const names = Array.from({ length: 50 }, (_, i) => `news:${i}`);
    await visit(t, hub, ...names);
    await hub.waitForLine(line => / webhooks failed webhook=crm /.test(line));
    await backend.start();
    const events = await takeEvents(backend, 150);
    for (const event of ['channel_occupied', 'channel_vacated', 'unsubscribe']) {
      assert.deepEqual(events.filter(one => one.event === event).map(one => one.channel), names, event);
    }
    await hub.waitForLine(line => / webhooks delivers_again webhook=crm /.test(line));
  });

  test('when the hub is killed before the backend has answered', async t => {
    const backend = await startBackend(t, { '/events': HANG });
    const hub = await startHub(t, { config: configFor(backend) });
    await visit(t, hub, 'a', 'b');
    await backend.next('/events');
    await untilFigure(hub, 'events_total', 6);
    await hub.kill9();
    backend.handlers['/events'] = {};
    await hub.restart();
    const told = [];
    while (told.length < 6) for (const event of (await backend.next('/events')).json.events) told.push(event);
    assert.deepEqual(told.map(one => one.event).sort(), [
      'channel_occupied', 'channel_occupied', 'channel_vacated', 'channel_vacated', 'unsubscribe', 'unsubscribe',
    ]);
    assert.deepEqual(told.map(one => one.id), told.map(one => one.id).sort((a, b) => a - b));
  });

  test('when the hub ends in an orderly way: also those of its own end', async t => {
    const backend = await startBackend(t, { '/events': answer(503) });
    const hub = await startHub(t, { config: configFor(backend, { events: ['disconnect'] }) });
    const sessions = [await openSession(t, hub), await openSession(t, hub)];
    await hub.stop();
    backend.handlers['/events'] = {};
    await hub.restart();
    const events = await takeEvents(backend, 2);
    assert.deepEqual(events.map(one => one.code), [3001, 3001]);
    assert.deepEqual(new Set(events.map(one => one.client)), new Set(sessions.map(one => one.connected.client)));
  });

  test('but what is meant for a webhook that is no longer configured goes', async t => {
    const backend = await startBackend(t, { '/events': answer(503), '/other': {} });
    const hub = await startHub(t, { config: configFor(backend) });
    await visit(t, hub, 'a');
    await backend.next('/events');
    await hub.stop();
    await hub.restart({ config: { webhooks: [{ name: 'other', endpoint: `${backend.url}/other`, events: ALL, ...quick }] } });
    await hub.waitForLine(line => / webhooks events_removed events=\d+ /.test(line));
    await visit(t, hub, 'z');
    const events = await takeEvents(backend, 3, '/other');
    assert.deepEqual(events.map(event => event.channel), ['z', 'z', 'z']);
  });
});

test('a wrong configuration is said in words', async t => {
  const crm = { name: 'crm', endpoint: 'http://127.0.0.1:1/', events: ALL };
  for (const [webhooks, words] of [
    [[crm, crm], /webhooks\[1\]\.name: .*a name that no other webhook has/],
    [[{ ...crm, events: ['connect'] }], /webhooks\[0\]\.events: .*"connect" is none of these/],
    [[{ ...crm, endpoint: 'crm' }], /webhooks\[0\]\.endpoint: .*a URL such as/],
  ]) {
    const { code, text } = await check(t, { webhooks });
    assert.notEqual(code, 0);
    assert.match(text, words);
  }
});
