// Server-side subscriptions, and what backends do to connected clients, as the npm client sees it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, connected, newClient, newSubscription, nextEvent, nextPublication, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { infoWhen, openSession, textOf } from './lib/session.mjs';
import { runSql } from './lib/sql.mjs';
import { openStream } from './lib/stream.mjs';
import { makeToken, SECRET, secondsFromNow } from './lib/token.mjs';

const history = { history_size: 100, history_ttl: '1h' };
const room = { name: 'room', presence: true, allow_presence_for_client: true, allow_subscribe_for_client: true, ...history };
const kept = { name: 'kept', force_recovery: true, ...history };

function start(t, client = {}) {
  return startHub(t, {
    config: {
      client: { token: { hmac_secret_key: SECRET }, ...client },
      channel: { without_namespace: { presence: true }, namespaces: [room, kept] },
    },
  });
}

const tokenOf = (sub, claims = {}) => makeToken({ sub, ...claims });
const openUser = (t, hub, sub, claims) => openSession(t, hub, { connect: { token: tokenOf(sub, claims) } });

/** A npm client of a user, not connected yet, and the events of its server-side subscriptions in order. */
function newUser(t, hub, sub, claims = {}, options = {}) {
  const client = newClient(t, hub, { token: tokenOf(sub, claims), ...options });
  const waiting = [];
  const takers = [];
  const events = {
    log: [],
    next(name) {
      const place = waiting.findIndex(event => event.name === name);
      if (place >= 0) return Promise.resolve(waiting.splice(place, 1)[0]);
      return within(new Promise(resolve => takers.push({ name, resolve })), `the event ${name}`);
    },
  };
  for (const name of ['subscribed', 'subscribing', 'unsubscribed', 'publication', 'join', 'leave', 'connecting', 'disconnected']) {
    client.on(name, context => {
      const event = { name, ...context };
      events.log.push(event);
      const place = takers.findIndex(taker => taker.name === name);
      if (place >= 0) takers.splice(place, 1)[0].resolve(event);
      else waiting.push(event);
    });
  }
  return { client, events };
}

describe('subscriptions of a token', { concurrency: true }, () => {
  test('channels: the npm client gets events and publications without asking', async t => {
    const hub = await start(t);
    const { client, events } = newUser(t, hub, '42', { channels: ['a', 'kept:b'] });
    await connect(client);
    const subscribed = [await events.next('subscribed'), await events.next('subscribed')];
    assert.deepEqual(subscribed.map(({ channel, recoverable, positioned }) => [channel, recoverable, positioned]).sort(), [['a', false, false], ['kept:b', true, true]]);
    await hub.call('publish', { channel: 'a', data: { n: 1 } });
    await hub.call('publish', { channel: 'kept:b', data: 2 });
    const first = await events.next('publication');
    const second = await events.next('publication');
    assert.deepEqual([first.channel, first.data, second.channel, second.data, second.offset], ['a', { n: 1 }, 'kept:b', 2, 1]);
  });

  test('subs: info, data and options of each', async t => {
    const hub = await start(t);
    const { client, events } = newUser(t, hub, '42', {
      channels: ['a', 'b'],
      subs: {
        b: { info: { role: 'x' }, data: { hello: 1 } },
        c: { b64info: Buffer.from('[7]').toString('base64'), b64data: Buffer.from('"d"').toString('base64') },
        'room:1': { override: { force_recovery: { value: true }, presence: { value: false }, join_leave: { value: true }, force_push_join_leave: { value: true } } },
      },
    });
    await connect(client);
    const subscribed = {};
    for (let i = 0; i < 4; i += 1) {
      const { channel, ...rest } = await events.next('subscribed');
      subscribed[channel] = rest;
    }
    assert.deepEqual(subscribed.b.data, { hello: 1 });
    assert.equal(subscribed.c.data, 'd');
    assert.equal(subscribed.a.data, undefined);
    assert.equal(subscribed['room:1'].recoverable, true);
    const join = await events.next('join');
    assert.deepEqual([join.channel, join.info.user], ['room:1', '42']);
    const chanInfo = async channel => Object.values((await hub.call('presence', { channel })).presence).map(info => info.chan_info);
    assert.deepEqual([await chanInfo('a'), await chanInfo('b'), await chanInfo('c'), await chanInfo('room:1')], [[undefined], [{ role: 'x' }], [[7]], []]);
  });

  test('the reply has them, and nothing comes before it', async t => {
    const hub = await start(t);
    let goesOn = true;
    const publishing = (async () => {
      for (let i = 0; goesOn; i += 1) await hub.call('publish', { channel: 'kept:a', data: i });
    })();
    for (let i = 0; i < 10; i += 1) {
      const session = await openUser(t, hub, `${i}`, { channels: ['kept:a'] });
      const { offset = 0, epoch, recoverable } = session.connected.subs['kept:a'];
      assert.equal(recoverable, true);
      assert.match(epoch, /^[a-zA-Z]{8}$/);
      assert.ok(session.log[0].connect, textOf(session.log[0]));
      assert.equal((await session.nextPush()).pub.offset, offset + 1, 'without a gap');
    }
    goesOn = false;
    await publishing;
  });

  test('what was missed is recovered when the npm client comes back', async t => {
    const hub = await start(t);
    const { client, events } = newUser(t, hub, '42', { channels: ['kept:a'] });
    await connect(client);
    await hub.call('publish', { channel: 'kept:a', data: 1 });
    assert.equal((await events.next('publication')).data, 1);
    await events.next('subscribed');
    client.disconnect();
    await infoWhen(hub, info => info.num_clients === 0);
    await hub.call('publish', { channel: 'kept:a', data: 2 });
    await hub.call('publish', { channel: 'kept:a', data: 3 });
    await connect(client);
    const { recovered, wasRecovering } = await events.next('subscribed');
    assert.deepEqual([wasRecovering, recovered], [true, true]);
    assert.deepEqual([(await events.next('publication')).data, (await events.next('publication')).data], [2, 3]);
    await hub.call('publish', { channel: 'kept:a', data: 4 });
    assert.equal((await events.next('publication')).data, 4);
  });

  test('what cannot be recovered is said so, and the name may come with escapes', async t => {
    const hub = await start(t);
    for (const name of ['kept:a', 'k\\u0065pt:a']) {
      const session = await openSession(t, hub, { connect: null });
      session.send(`{"id":1,"connect":{"token":"${tokenOf('42', { channels: ['kept:a'] })}","subs":{"${name}":{"recover":true,"offset":7,"epoch":"elsewher"}}}}`);
      const { connect: { subs } } = await session.replyTo(1);
      const { was_recovering, recovered, offset } = subs['kept:a'];
      assert.deepEqual([was_recovering, recovered, offset], [true, undefined, undefined], name);
    }
  });

  test('positions for channels that the token does not have are nothing', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub, { connect: { token: tokenOf('42', { channels: ['kept:a'] }), subs: { 'kept:b': { recover: true } } } });
    assert.deepEqual(Object.keys(session.connected.subs), ['kept:a']);
  });

  test('the client cannot subscribe there again: 105; but it can leave', async t => {
    const hub = await start(t);
    const session = await openUser(t, hub, '42', { channels: ['room:1'] });
    assert.deepEqual(await session.error('subscribe', { channel: 'room:1' }), { code: 105, message: 'already subscribed' });
    await session.ok('unsubscribe', { channel: 'room:1' });
    await session.ok('subscribe', { channel: 'room:1' });
  });

  test('an unknown namespace is error 102, more than channel_limit 3505', async t => {
    const hub = await start(t, { channel_limit: 2 });
    const session = await openSession(t, hub, { connect: null });
    assert.deepEqual(await session.error('connect', { token: tokenOf('42', { channels: ['nowhere:a'] }) }), { code: 102, message: 'unknown channel' });
    await assert.rejects(openUser(t, hub, '42', { channels: ['a', 'b', 'c'] }), /3505 channel limit/);
    const full = await openUser(t, hub, '42', { channels: ['a', 'b'] });
    assert.equal((await full.error('subscribe', { channel: 'room:1' })).code, 106);
  });
});

describe('a position that is not the storage’s any more', { concurrency: true }, () => {
  // Another epoch in the file: as after its replacement by an older copy.
  const startWithChecks = async t => {
    const hub = await start(t, { channel_position_check_delay: '100ms' });
    await hub.call('publish', { channel: 'kept:a', data: 1 });
    return hub;
  };
  const replaceEpoch = (t, hub) => runSql(t, `${hub.dir}/belfry.sqlite`, "UPDATE streams SET epoch='REPLACED'");

  test('2500: the npm client subscribes again, and learns that it cannot recover', async t => {
    const hub = await startWithChecks(t);
    const client = newClient(t, hub, { token: tokenOf('42') });
    await connect(client);
    const sub = newSubscription(client, 'kept:a', { token: makeToken({ sub: '42', channel: 'kept:a' }), minResubscribeDelay: 10, maxResubscribeDelay: 50 });
    await subscribe(sub);
    const [left, again] = [nextEvent(sub, 'subscribing'), nextEvent(sub, 'subscribed')];
    await replaceEpoch(t, hub);
    const { code, reason } = await left;
    assert.deepEqual([code, reason], [2500, 'insufficient state']);
    const { wasRecovering, recovered, streamPosition } = await again;
    assert.deepEqual([wasRecovering, recovered, streamPosition], [true, false, { epoch: 'REPLACED', offset: 1 }]);
  });

  test('3010 where the server has subscribed it: it connects again', async t => {
    const hub = await startWithChecks(t);
    const { client, events } = newUser(t, hub, '42', { channels: ['kept:a'] });
    await connect(client);
    await events.next('connecting');
    await events.next('subscribed');
    await replaceEpoch(t, hub);
    const { code, reason } = await events.next('connecting');
    assert.deepEqual([code, reason], [3010, 'insufficient state']);
    const { wasRecovering, recovered } = await events.next('subscribed');
    assert.deepEqual([wasRecovering, recovered], [true, false]);
  });
});

describe('the personal channel', { concurrency: true }, () => {
  const personal = (more = {}) => ({ subscribe_to_user_personal_channel: { enabled: true, ...more } });

  test('of every user is there by itself; the anonymous one has none', async t => {
    const hub = await start(t, { ...personal(), allow_anonymous_connect_without_token: true });
    const { client, events } = newUser(t, hub, '42');
    await connect(client);
    assert.equal((await events.next('subscribed')).channel, '#42');
    await hub.call('publish', { channel: '#42', data: 'you' });
    const { channel, data } = await events.next('publication');
    assert.deepEqual([channel, data], ['#42', 'you']);
    const anonymous = await openSession(t, hub);
    assert.equal(anonymous.connected.subs, undefined);
  });

  test('may have a namespace, and is recovered there', async t => {
    const hub = await start(t, personal({ personal_channel_namespace: 'kept' }));
    const session = await openUser(t, hub, '42', { channels: ['a'] });
    assert.deepEqual(Object.keys(session.connected.subs).sort(), ['a', 'kept:#42']);
    assert.equal(session.connected.subs['kept:#42'].recoverable, true);
  });

  test('single_connection: the newest connection of a user ends the others', async t => {
    const hub = await start(t, personal({ single_connection: true }));
    const other = await openUser(t, hub, '43');
    const { client, events } = newUser(t, hub, '42');
    await connect(client);
    const newest = await openUser(t, hub, '42');
    const { code, reason } = await events.next('disconnected');
    assert.deepEqual([code, reason], [3504, 'connection limit']);
    await hub.call('publish', { channel: '#42', data: 1 });
    await hub.call('publish', { channel: '#43', data: 2 });
    assert.equal((await newest.nextPush()).pub.data, 1);
    assert.equal((await other.nextPush()).pub.data, 2);
  });
});

describe('subscribe by a backend', { concurrency: true }, () => {
  test('is told to all connections of the user, with data, and to nobody else', async t => {
    const hub = await start(t);
    const { client, events } = newUser(t, hub, '42');
    await connect(client);
    const [second, stranger] = [await openUser(t, hub, '42'), await openUser(t, hub, '43')];
    assert.deepEqual(await hub.call('subscribe', { user: '42', channel: 'kept:a', data: { hi: 1 }, info: { role: 'x' } }), {});
    const { channel, data, recoverable, streamPosition } = await events.next('subscribed');
    assert.deepEqual([channel, data, recoverable, typeof streamPosition.epoch], ['kept:a', { hi: 1 }, true, 'string']);
    const push = await second.nextPush();
    assert.deepEqual(Object.keys(push.subscribe).sort(), ['data', 'epoch', 'positioned', 'recoverable']);
    await hub.call('publish', { channel: 'kept:a', data: 7 });
    assert.equal((await events.next('publication')).data, 7);
    assert.equal((await second.nextPush()).pub.data, 7);
    await hub.call('disconnect', { user: '43' });
    await assert.rejects(stranger.nextPush(), /3503/, 'it heard nothing before');
  });

  test('client and session choose one connection', async t => {
    const hub = await start(t);
    const [one, other] = [await openUser(t, hub, '42'), await openUser(t, hub, '42')];
    await hub.call('subscribe', { user: '42', channel: 'a', client: one.id });
    await hub.call('subscribe', { user: '42', channel: 'b', client: '00000000-0000-4000-8000-000000000000' });
    await hub.call('subscribe', { user: '42', channel: 'b', session: 'no such session' });
    await hub.call('subscribe', { user: '43', channel: 'b', client: other.id });
    await hub.call('broadcast', { channels: ['a', 'b'], data: 1 });
    await hub.call('unsubscribe', { user: '42', channel: 'a' });
    assert.ok((await one.nextPush()).subscribe);
    assert.equal((await one.nextPush()).pub.data, 1);
    assert.deepEqual((await one.nextPush()).unsubscribe, { code: 2000, reason: 'server unsubscribe' });
    await other.ok('unsubscribe', { channel: 'z' });
    assert.equal(other.log.length, 2, JSON.stringify(other.log));
  });

  test('session is how connections over HTTP are told apart', async t => {
    const hub = await startHub(t, { config: { client: { token: { hmac_secret_key: SECRET } }, http_stream: { enabled: true }, uni_sse: { enabled: true } } });
    const token = tokenOf('42');
    const [stream, uni, other] = [await openStream(t, hub, 'http_stream', { connect: { token } }), await openStream(t, hub, 'uni_sse', { connect: { token } }), await openUser(t, hub, '42')];
    assert.match(stream.connected.session, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    await hub.call('subscribe', { user: '42', session: stream.connected.session, channel: 'a' });
    await hub.call('subscribe', { user: '42', session: uni.connected.session, channel: 'b' });
    await hub.call('broadcast', { channels: ['a', 'b'], data: 1 });
    assert.deepEqual([await stream.next(), await stream.next()].map(({ push }) => push), [{ channel: 'a', subscribe: {} }, { channel: 'a', pub: { data: 1 } }]);
    assert.deepEqual([await uni.next(), await uni.next()], [{ channel: 'b', subscribe: {} }, { channel: 'b', pub: { data: 1 } }]);
    await hub.call('disconnect', { user: '42', session: uni.connected.session });
    assert.deepEqual(await uni.next(), { disconnect: { code: 3503, reason: 'force disconnect' } });
    assert.equal((await stream.call('unsubscribe', { channel: 'a' })).id, 2);
    assert.equal(other.connected.session, undefined);
    await other.ok('unsubscribe', { channel: 'a' });
  });

  test('once more does no harm, and the client may be subscribed already', async t => {
    const hub = await start(t);
    const session = await openUser(t, hub, '42');
    await session.ok('subscribe', { channel: 'room:1' });
    await hub.call('subscribe', { user: '42', channel: 'room:1' });
    await hub.call('subscribe', { user: '42', channel: 'a' });
    await hub.call('subscribe', { user: '42', channel: 'a' });
    await hub.call('broadcast', { channels: ['room:1', 'a'], data: 1 });
    const pushes = [await session.nextPush(), await session.nextPush(), await session.nextPush()];
    assert.deepEqual([pushes[0].channel, Boolean(pushes[0].subscribe)], ['a', true]);
    assert.deepEqual(pushes.slice(1).map(push => [push.channel, push.pub.data]).sort(), [['a', 1], ['room:1', 1]]);
    await session.ok('unsubscribe', { channel: 'a' });
    assert.equal(session.log.filter(({ push }) => push).length, 3, 'and no more');
  });

  test('recover_since brings what came since', async t => {
    const hub = await start(t);
    const session = await openUser(t, hub, '42');
    let epoch;
    for (const data of [1, 2, 3]) ({ epoch } = await hub.call('publish', { channel: 'kept:a', data }));
    await hub.call('subscribe', { user: '42', channel: 'kept:a', recover_since: { offset: 1, epoch } });
    const { subscribe: { offset, epoch: told } } = await session.nextPush();
    assert.deepEqual([told, [await session.nextPush(), await session.nextPush()].map(push => push.pub.data)], [epoch, [2, 3]]);
    assert.equal(offset, 1, 'from where it counts on');
  });

  test('expire_at and override', async t => {
    const hub = await start(t, { expired_sub_close_delay: '10ms' });
    const session = await openUser(t, hub, '42');
    await hub.call('subscribe', { user: '42', channel: 'room:1', override: { join_leave: { value: true }, force_push_join_leave: { value: true } }, expire_at: secondsFromNow(2) });
    assert.ok((await session.nextPush()).subscribe);
    assert.equal((await session.nextPush()).join.info.user, '42');
    assert.deepEqual(await session.closed, { code: 3006, reason: 'subscription expired' });
  });

  test('says what is wrong', async t => {
    const hub = await start(t);
    const error = async (method, body) => (await hub.api(method, body)).json.error.code;
    assert.equal(await error('subscribe', { channel: 'a' }), 107);
    assert.equal(await error('subscribe', { user: '', channel: 'a' }), 107);
    assert.equal(await error('subscribe', { user: '42' }), 107);
    assert.equal(await error('subscribe', { user: '42', channel: 'nowhere:a' }), 102);
    assert.equal(await error('subscribe', { user: '42', channel: 'a', override: 7 }), 107);
    for (const [override, expected] of [
      [{ presence: true }, /^bad request: override\.presence: expected \{"value": true or false\}/],
      [{ presense: { value: true } }, /^bad request: override: expected an object with none but presence, .*force_recovery$/],
    ]) {
      const { error: { code, message } } = (await hub.api('subscribe', { user: '42', channel: 'a', override })).json;
      assert.equal(code, 107);
      assert.match(message, expected);
    }
    assert.equal(await error('subscribe', { user: '42', channel: 'a', b64data: '###' }), 107);
    assert.equal(await error('unsubscribe', { channel: 'a' }), 107);
    assert.equal(await error('unsubscribe', { user: '42', channel: 'nowhere:a' }), 102);
    assert.equal(await error('disconnect', {}), 107);
    assert.equal(await error('disconnect', { user: '42', disconnect: { code: 12, reason: 'x' } }), 107);
    assert.equal(await error('disconnect', { user: '42', whitelist: 'x' }), 107);
    assert.equal(await error('refresh', {}), 107);
    assert.equal(await error('refresh', { user: '42', expire_at: -1 }), 107);
    for (const method of ['subscribe', 'unsubscribe', 'disconnect', 'refresh']) {
      assert.deepEqual(await hub.call(method, { user: 'nobody', channel: 'a' }, { odd: 'one body for all methods' }), {}, method);
    }
  });
});

describe('unsubscribe by a backend', { concurrency: true }, () => {
  test('ends a subscription of the npm client, for good', async t => {
    const hub = await start(t);
    const client = newClient(t, hub, { token: tokenOf('42') });
    await connect(client);
    const [one, other] = [newSubscription(client, 'room:1'), newSubscription(client, 'room:2')];
    await Promise.all([subscribe(one), subscribe(other)]);
    const ended = nextEvent(one, 'unsubscribed');
    await hub.call('unsubscribe', { user: '42', channel: 'room:1' });
    const { code, reason } = await ended;
    assert.deepEqual([code, reason, one.state], [2000, 'server unsubscribe', 'unsubscribed']);
    await hub.call('broadcast', { channels: ['room:1', 'room:2'], data: 1 });
    assert.equal((await nextPublication(other)).data, 1);
    assert.deepEqual((await hub.call('presence_stats', { channel: 'room:1' })), { num_clients: 0, num_users: 0 });
  });

  test('without a channel ends all, server-side ones too', async t => {
    const hub = await start(t);
    const { client, events } = newUser(t, hub, '42', { channels: ['a'] });
    await connect(client);
    const sub = newSubscription(client, 'room:1');
    await subscribe(sub);
    const ended = nextEvent(sub, 'unsubscribed');
    await hub.call('unsubscribe', { user: '42', channel: '' });
    assert.equal((await ended).code, 2000);
    assert.equal((await events.next('unsubscribed')).channel, 'a');
    const [{ num_subs, num_clients }] = (await hub.call('info')).nodes;
    assert.deepEqual([num_subs, num_clients], [0, 1]);
  });
});

describe('disconnect by a backend', { concurrency: true }, () => {
  test('is final, with 3503 or a code and reason of its own', async t => {
    const hub = await start(t);
    const goodbyes = [
      [{}, { code: 3503, reason: 'force disconnect' }],
      [{ disconnect: { code: 4501, reason: 'b\u00e4nned' } }, { code: 4501, reason: 'bänned' }],
      [{ disconnect: { code: 4502 } }, { code: 4502, reason: 'force disconnect' }], // without a reason it would come again
      [{ disconnect: { code: 4999, reason: 'x'.repeat(123) } }, { code: 4999, reason: 'x'.repeat(123) }],
    ];
    for (const [body, expected] of goodbyes) {
      const { client, events } = newUser(t, hub, '42');
      await connect(client);
      await hub.call('disconnect', { user: '42', ...body });
      const { code, reason } = await events.next('disconnected');
      assert.deepEqual({ code, reason }, expected);
    }
  });

  test('with a code of the others makes the npm client come again', async t => {
    const hub = await start(t);
    const { client, events } = newUser(t, hub, '42');
    await connect(client);
    await events.next('connecting');
    await hub.call('disconnect', { user: '42', disconnect: { code: 4000, reason: 'again' } });
    assert.equal((await events.next('connecting')).code, 4000);
    await connected(client);
  });

  test('spares the whitelist, other users, and those of another id', async t => {
    const hub = await start(t);
    const [gone, spared, stranger] = [await openUser(t, hub, '42'), await openUser(t, hub, '42'), await openUser(t, hub, '43')];
    await hub.call('disconnect', { user: '42', client: '00000000-0000-4000-8000-000000000000' });
    await hub.call('disconnect', { user: '42', session: 'no such session' });
    await hub.call('disconnect', { user: '42', whitelist: [spared.id, 'x'] });
    assert.deepEqual(await gone.closed, { code: 3503, reason: 'force disconnect' });
    for (const session of [spared, stranger]) await session.ok('unsubscribe', { channel: 'a' });
    await hub.call('disconnect', { user: '42', client: spared.id });
    assert.equal((await spared.closed).code, 3503);
  });
});

describe('refresh by a backend', { concurrency: true }, () => {
  test('gives a connection another end, and the client is told', async t => {
    const hub = await start(t);
    const session = await openUser(t, hub, '42', { exp: secondsFromNow(100) });
    await hub.call('refresh', { user: '42', expire_at: secondsFromNow(1000) });
    const { refresh } = await session.nextPush();
    assert.equal(refresh.expires, true);
    assert.ok(refresh.ttl > 900 && refresh.ttl <= 1000, `ttl ${refresh.ttl}`);
    await hub.call('refresh', { user: '42' });
    assert.deepEqual((await session.nextPush()).refresh, {}, 'no end');
  });

  test('with a time that is over, or expired, ends it with 3005', async t => {
    const hub = await start(t);
    for (const body of [{ expired: true }, { expire_at: secondsFromNow(-1) }]) {
      const session = await openUser(t, hub, '42');
      await hub.call('refresh', { user: '42', ...body });
      assert.deepEqual(await session.closed, { code: 3005, reason: 'connection expired' });
    }
  });

  test('info is what others see from then on', async t => {
    const hub = await start(t);
    const session = await openUser(t, hub, '42', { info: 'old' });
    await hub.call('refresh', { user: '42', info: { new: 1.0 } });
    await session.nextPush();
    await session.ok('subscribe', { channel: 'room:1' });
    assert.deepEqual((await session.ok('presence', { channel: 'room:1' })).presence[session.id].conn_info, { new: 1 });
  });
});
