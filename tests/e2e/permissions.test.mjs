// Who may subscribe and publish, by the channel's name and by who it is. Options by user, subscriber and anonymous: client_subscribe.test.mjs.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { check } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken, SECRET } from './lib/token.mjs';
import { startUpstream } from './lib/upstream.mjs';

const DENIED = { code: 103, message: 'permission denied' };
const BAD = { code: 107, message: 'bad request' };
const open = { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, allow_publish_for_client: true, allow_publish_for_anonymous: true };

function start(t, channel, client = {}) {
  return startHub(t, { config: { client: { token: { hmac_secret_key: SECRET }, allow_anonymous_connect_without_token: true, ...client }, channel } });
}

const openUser = (t, hub, sub, claims) => openSession(t, hub, { connect: { token: makeToken({ sub, ...claims }) } });

/** What subscribing to each of these channels is answered with: null or the error. */
async function assertAnswers(session, expected) {
  for (const [channel, error] of Object.entries(expected)) {
    const reply = await session.call('subscribe', { channel });
    assert.deepEqual(reply.error ?? null, error, channel);
  }
}

describe('user-limited channels', { concurrency: true }, () => {
  const limited = { name: 'dialog', allow_user_limited_channels: true };

  test('let in those whose ids stand in the name, with the npm client too', async t => {
    const hub = await start(t, { namespaces: [limited] });
    const [ada, bob] = await Promise.all(['ada', 'bob'].map(async sub => {
      const client = newClient(t, hub, { token: makeToken({ sub }) });
      await connect(client);
      return newSubscription(client, 'dialog:x#ada,bob');
    }));
    await subscribe(ada);
    await subscribe(bob);
    await hub.call('publish', { channel: 'dialog:x#ada,bob', data: 'hi' });
    assert.deepEqual([(await nextPublication(ada)).data, (await nextPublication(bob)).data], ['hi', 'hi']);
    const eve = newClient(t, hub, { token: makeToken({ sub: 'eve' }) });
    await connect(eve);
    await assert.rejects(subscribe(newSubscription(eve, 'dialog:x#ada,bob')), { code: 103 });
  });

  test('know whole ids only, and the last boundary counts', async t => {
    const hub = await start(t, { namespaces: [limited] });
    await assertAnswers(await openUser(t, hub, '42'), {
      'dialog:#42': null, 'dialog:a#42': null, 'dialog:a#4,42,7': null, 'dialog:a#7#42': null,
      'dialog:a#420': DENIED, 'dialog:a#4,2': DENIED, 'dialog:a#4': DENIED, 'dialog:a#42#7': DENIED, 'dialog:a#': DENIED, 'dialog:a# 42': DENIED,
      'dialog:a': DENIED, 'dialog:42': DENIED, '$dialog:a#42': DENIED,
    });
    await assertAnswers(await openSession(t, hub), { 'dialog:a#': DENIED, 'dialog:a#42': DENIED, 'dialog:a#,': DENIED });
  });

  test('are for nobody else, whatever the options allow', async t => {
    const hub = await start(t, { namespaces: [{ ...limited, ...open }, { name: 'plain', ...open }] });
    await assertAnswers(await openUser(t, hub, '42'), { 'dialog:a': null, 'dialog:a#43': DENIED, 'plain:a#43': null });
  });

  test('are open for a subscription token', async t => {
    const hub = await start(t, { namespaces: [limited] });
    const session = await openUser(t, hub, '42');
    await session.ok('subscribe', { channel: 'dialog:a#43', token: makeToken({ sub: '42', channel: 'dialog:a#43' }) });
  });
});

describe('names', { concurrency: true }, () => {
  test('a private one needs a token, whatever the options allow', async t => {
    const hub = await start(t, { without_namespace: open, namespaces: [{ name: 'news', ...open }] });
    await assertAnswers(await openUser(t, hub, '42'), { $a: DENIED, '$news:a': DENIED, a: null, 'news:$a': null, 'a$': null });
    const session = await openUser(t, hub, '42');
    for (const channel of ['$a', '$news:a']) await session.ok('subscribe', { channel, token: makeToken({ sub: '42', channel }) });
  });

  test('boundaries and prefix are the configured ones', async t => {
    const hub = await start(t, {
      private_prefix: 'priv-', namespace_boundary: '::', user_boundary: '@', user_separator: '+',
      without_namespace: open, namespaces: [{ name: 'news', allow_user_limited_channels: true }],
    });
    await assertAnswers(await openUser(t, hub, '42'), {
      'news:a': null, 'news::a': DENIED, 'news::a@42': null, 'news::a@7+42': null, 'news::a@7,42': DENIED, 'news::a#42': DENIED,
      'priv-a': DENIED, $a: null, 'nowhere::a': { code: 102, message: 'unknown channel' },
    });
    assert.equal((await hub.api('publish', { channel: 'nowhere::a', data: 1 })).json.error.code, 102);
  });

  test('channel_regex is for what stands behind the namespace, and allows what is not ASCII', async t => {
    const hub = await start(t, { without_namespace: open, namespaces: [{ name: 'city', channel_regex: '^[\\p{L}]+$', ...open }, { name: 'part', channel_regex: 'b', ...open }] });
    await assertAnswers(await openUser(t, hub, '42'), {
      'city:Zürich': null, 'city:東京': null, 'city:a1': BAD, 'city:': BAD, 'city:a\u0007': BAD, Zürich: BAD, 'part:abc': null, 'part:ac': BAD,
    });
    assert.equal((await hub.api('publish', { channel: 'city:a1', data: 1 })).json.error.code, 107);
    await hub.call('publish', { channel: 'city:Zürich', data: 1 });
    const { code, text } = await check(t, { channel: { namespaces: [{ name: 'city', channel_regex: '[' }] } });
    assert.equal(code, 1);
    assert.match(text, /channel\.namespaces\[0\]\.channel_regex/);
  });

  test('channel_regex keeps a feed\'s channel to its parameters', async t => {
    const upstream = await startUpstream(t);
    const feed = { name: 'city', channel: 'city:{city}', params: { city: '[a-z]{2,9}' }, max_age: '60s', upstreams: [{ name: 'air', url: `${upstream.url}/air/{city}` }] };
    const hub = await startHub(t, {
      config: { client: { token: { hmac_secret_key: SECRET } }, channel: { namespaces: [{ name: 'city', channel_regex: '^[a-z]{2,8}$', ...open }] }, feeds: [feed] },
    });
    const session = await openUser(t, hub, '42');
    await assertAnswers(session, { 'city:X': BAD, 'city:bilbao': null });
    assert.equal((await session.nextPush()).pub.data.air.city, 'bilbao');
    const { json } = await hub.api('feed_refresh', { feed: 'city', params: { city: 'ninechars' } });
    assert.match(json.error.message, /"city:ninechars", expected a channel of a namespace/);
  });

  test('of namespaces are two or more of the known characters', async t => {
    for (const name of ['a', '', 'a:b', 'ü2', 'a b', '$ab']) {
      const { code, text } = await check(t, { channel: { namespaces: [{ name }] } });
      assert.equal(code, 1, name);
      assert.match(text, /channel\.namespaces\[0\]\.name/);
    }
    assert.equal((await check(t, { channel: { namespaces: [{ name: 'a-B_9.x' }] } })).code, 0);
  });
});

describe('publications', { concurrency: true }, () => {
  const namespaces = ['', 'json', 'json_object'].map((publication_data_format, i) => ({ name: `f${i}`, publication_data_format, ...open }));

  test('have the form that publication_data_format wants', async t => {
    const hub = await start(t, { namespaces });
    const session = await openSession(t, hub);
    for (const [name, data, isGood] of [
      ['f0', 7, true], ['f0', null, true], ['f1', 'text', true], ['f1', [1], true], ['f2', {}, true], ['f2', { a: 1 }, true],
      ['f2', 7, false], ['f2', [{}], false], ['f2', '{}', false], ['f2', null, false],
    ]) {
      const channel = `${name}:a`;
      const reply = await session.call('publish', { channel, data });
      assert.deepEqual(reply.error ?? null, isGood ? null : BAD, `${channel} ${JSON.stringify(data)}`);
      const { json } = await hub.api('publish', { channel, data });
      assert.equal(json.error?.code, isGood ? undefined : 107, `${channel} ${JSON.stringify(data)}`);
    }
  });

  test('binary is none of the forms', async t => {
    const { code, text } = await check(t, { channel: { without_namespace: { publication_data_format: 'binary' } } });
    assert.equal(code, 1);
    assert.match(text, /publication_data_format.*json_object/s);
  });

  test('are for subscribers only with allow_publish_for_subscriber, with the npm client', async t => {
    const hub = await start(t, { namespaces: [{ name: 'chat', allow_subscribe_for_client: true, allow_publish_for_subscriber: true }] });
    const client = newClient(t, hub, { token: makeToken({ sub: '42' }) });
    await connect(client);
    await assert.rejects(client.publish('chat:a', 1), { code: 103 });
    const sub = newSubscription(client, 'chat:a');
    await subscribe(sub);
    await sub.publish({ hello: 1 });
    const { data, info } = await nextPublication(sub);
    assert.deepEqual([data, info.user], [{ hello: 1 }, '42']);
    sub.unsubscribe();
    await assert.rejects(client.publish('chat:a', 1), { code: 103 });
  });

  test('for a subscriber also where the server has subscribed it', async t => {
    const hub = await start(t, { namespaces: [{ name: 'chat', allow_publish_for_subscriber: true }] });
    const session = await openUser(t, hub, '42', { channels: ['chat:a'] });
    await session.ok('publish', { channel: 'chat:a', data: 1 });
    assert.deepEqual(await session.error('publish', { channel: 'chat:b', data: 1 }), DENIED);
  });
});

describe('who it is', { concurrency: true }, () => {
  test('insecure: everybody may do everything, but open no private channel; a token still counts', async t => {
    const hub = await start(t, { without_namespace: { presence: true, history_size: 1, history_ttl: '1h' } }, { insecure: true });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    await session.ok('publish', { channel: 'a', data: 1 });
    await session.ok('presence', { channel: 'a' });
    await session.ok('history', { channel: 'a' });
    const user = await openUser(t, hub, '42');
    await user.ok('subscribe', { channel: 'a' });
    assert.equal((await user.ok('presence', { channel: 'a' })).presence[user.id].user, '42');
    await assert.rejects(openSession(t, hub, { connect: { token: 'garbage' } }), /3500/);
  });

  test('user_id_http_header names the user; a token wins over it; without it nobody gets in', async t => {
    const hub = await start(t, { without_namespace: { presence: true, allow_subscribe_for_client: true, allow_presence_for_client: true } }, { allow_anonymous_connect_without_token: false, user_id_http_header: 'X-User-Id' });
    const userOf = async options => {
      const session = await openSession(t, hub, options);
      await session.ok('subscribe', { channel: 'a' });
      return (await session.ok('presence', { channel: 'a' })).presence[session.id].user;
    };
    assert.equal(await userOf({ headers: { 'x-user-ID': '42' } }), '42');
    assert.equal(await userOf({ headers: { 'X-User-Id': 'from the header' }, connect: { token: makeToken({ sub: 'from the token' }) } }), 'from the token');
    for (const headers of [{}, { 'X-User-Id': '' }, { 'X-User': '42' }]) {
      await assert.rejects(openSession(t, hub, { headers }), /3501/);
    }
    await assert.rejects(openSession(t, hub, { connect: { headers: { 'X-User-Id': '42' } } }), /3501/, 'only a real header is trusted');
  });

  test('presence has conn_info and chan_info, and counts users once, with the npm client', async t => {
    const hub = await start(t, { without_namespace: { presence: true, allow_presence_for_subscriber: true } });
    const clients = await Promise.all(['42', '42', ''].map(async sub => {
      const client = newClient(t, hub, { token: makeToken({ sub, info: { name: `n${sub}` } }) });
      const { client: id } = await connect(client);
      const room = newSubscription(client, 'a', { token: makeToken({ sub, channel: 'a', info: ['seat', 7] }) });
      await subscribe(room);
      return { id, sub, room };
    }));
    const { clients: seen } = await clients[0].room.presence();
    const plain = Object.fromEntries(Object.entries(seen).map(([id, { client, user, connInfo, chanInfo }]) => [id, { client, user, connInfo, chanInfo }]));
    assert.deepEqual(plain, Object.fromEntries(clients.map(({ id, sub }) => [id, { client: id, user: sub, connInfo: { name: `n${sub}` }, chanInfo: ['seat', 7] }])));
    const { numClients, numUsers } = await clients[0].room.presenceStats();
    assert.deepEqual([numClients, numUsers], [3, 2]);
    const { presence } = await hub.call('presence', { channel: 'a' });
    assert.deepEqual(presence[clients[1].id], { user: '42', client: clients[1].id, conn_info: { name: 'n42' }, chan_info: ['seat', 7] });
  });
});
