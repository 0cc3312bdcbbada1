// One scenario for each behaviour of the protocol, and each of them over every transport: with the npm client over websocket,
// http_stream and sse, and over the three unidirectional ones. The corners of a behaviour are in the file that is named after it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import WebSocket from 'ws';

import { startBackend } from './lib/backend.mjs';
import { connect, connected, newSubscription, nextEvent, nextPublication, publicationsSoFar, serverSubscription, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { runSql } from './lib/sql.mjs';
import { makeToken, secondsFromNow, SECRET } from './lib/token.mjs';
import { EVERY_TRANSPORT, newClientOver, openUni, startRelay } from './lib/transports.mjs';

const open = { allow_subscribe_for_client: true };
const history = { history_size: 100, history_ttl: '1h' };
const kept = { ...open, ...history, force_recovery: true };

const talk = { name: 'open', ...open, allow_publish_for_client: true, presence: true, allow_presence_for_client: true };

const namespaces = [
  talk,
  { name: 'closed' },
  { name: 'kept', ...kept, allow_history_for_client: true },
  { name: 'cache', ...kept, force_recovery_mode: 'cache' },
  { name: 'placed', ...open, ...history, allow_positioning: true },
  { name: 'asked', ...open, join_leave: true, presence: true, allow_presence_for_client: true },
  { name: 'forced', ...open, join_leave: true, force_push_join_leave: true },
  { name: 'delta', ...kept, allowed_delta_types: ['fossil'], delta_publish: true },
  { name: 'tagged', ...open, allow_tags_filter: true },
  { name: 'hourly', ...kept, conflate: '1h' }, // an interval that no test lives to see the end of is the only one without a race
  { name: 'proxied', subscribe_proxy_enabled: true, publish_proxy_enabled: true },
];

/** A hub that takes every transport, and the backend that it asks. */
async function startAsking(t) {
  const backend = await startBackend(t, {
    '/subscribe': { result: { info: { role: 'guest' }, data: { welcome: 1 } } },
    '/publish': { result: { data: { text: 'cleaned' } } },
    '/rpc': ({ json }) => (json.method === 'sum' ? { result: { data: json.data.a + json.data.b } } : { error: { code: 1000, message: 'not that' } }),
  });
  const proxy = name => ({ enabled: true, endpoint: `${backend.url}/${name}`, timeout: '20s' });
  const hub = await startHub(t, {
    config: {
      ...EVERY_TRANSPORT,
      client: {
        token: { hmac_secret_key: SECRET },
        subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: 'kept' },
        channel_position_check_delay: '100ms',
        expired_close_delay: '3s',
        expired_sub_close_delay: '3s',
      },
      channel: { proxy: { subscribe: proxy('subscribe'), publish: proxy('publish') }, namespaces },
      rpc: { proxy: proxy('rpc'), without_namespace: { proxy_enabled: true } },
    },
  });
  return { hub, backend };
}

/** One of which everybody may have only one thing. */
function startLimited(t) {
  const client = { token: { hmac_secret_key: SECRET }, channel_limit: 1, user_connection_limit: 1 };
  return startHub(t, { config: { ...EVERY_TRANSPORT, client, channel: { namespaces: [talk] } } });
}

const tokenOf = (sub, claims = {}) => makeToken({ sub, ...claims });
const quickly = { minResubscribeDelay: 10, maxResubscribeDelay: 50 };
const positionsOf = publications => publications.map(({ offset }) => offset);

/** getToken that never answers at first: who waits for it expires; the next question gets the token. */
function tooLate(token) {
  let n = 0;
  return () => (++n === 1 ? new Promise(() => {}) : Promise.resolve(token));
}

/** The next event of that name that is about this user. */
function nextOf(sub, name, user) {
  return within(new Promise(resolve => sub.on(name, ({ info }) => info.user === user && resolve(info))), `the ${name} of ${user}`);
}

async function publishAll(hub, channel, list) {
  for (const data of list) await hub.call('publish', { channel, data });
}

async function expectAll(sub, list) {
  for (const data of list) assert.deepEqual((await nextPublication(sub)).data, data);
}

/** { sent, options }: the frames or emulation requests that a client with these options has sent. */
function countingSends() {
  const sent = [];
  class Counting extends WebSocket {
    send(data, ...rest) {
      sent.push(data);
      super.send(data, ...rest);
    }
  }
  const countingFetch = (url, options) => {
    if (String(url).endsWith('/emulation')) sent.push(JSON.parse(options.body).data);
    return fetch(url, options);
  };
  return { sent, options: { websocket: Counting, fetch: countingFetch } };
}

/** A text of some kilobytes, most of it the same for every n. */
const document = n => ({ n, rows: Array.from({ length: 40 }, (_, i) => ({ id: i, name: `Zürich 東京 Москва 😀 ${i * i}`, value: i % 10 === n % 10 ? `é${n}` : '' })) });

/* What a scenario gets: hub and backend of its transport, limited, and
     user(name, { claims, ...options })   a connected client of that user, with its token
     newUser(...)                         the same, not connected yet
     relay()                              something to cut: { port, down(), up() } */
const scenarios = {
  async 'publish and receive'({ hub, user }) {
    const [writer, reader] = [await user('ann', { claims: { info: { name: 'Ann' } } }), await user('bob')];
    const sub = newSubscription(reader, 'open:talk');
    await subscribe(sub);
    await writer.publish('open:talk', { text: 'line\nline "quoted"' });
    const { data, info } = await nextPublication(sub);
    assert.deepEqual(data, { text: 'line\nline "quoted"' });
    assert.deepEqual([info.user, info.connInfo], ['ann', { name: 'Ann' }]);
    await hub.call('publish', { channel: 'open:talk', data: [1, null], tags: { k: 'v' } });
    const second = await nextPublication(sub);
    assert.deepEqual([second.data, second.tags, second.info], [[1, null], { k: 'v' }, undefined]);
    sub.unsubscribe();
    const other = newSubscription(reader, 'open:more');
    await subscribe(other);
    await hub.call('broadcast', { channels: ['open:talk', 'open:more'], data: 3 });
    await expectAll(other, [3]);
    assert.deepEqual(publicationsSoFar(sub), []);
  },

  async 'batching'({ user }) {
    const { sent, options } = countingSends();
    const client = await user('ann', options);
    const sub = newSubscription(client, 'open:batch');
    await subscribe(sub);
    const before = sent.length;
    client.startBatching();
    const published = [1, 2, 3].map(data => client.publish('open:batch', data));
    client.stopBatching();
    await Promise.all(published);
    await expectAll(sub, [1, 2, 3]);
    assert.equal(sent.length, before + 1);
    assert.equal(sent.at(-1).trim().split('\n').length, 3);
  },

  async 'presence and presence_stats'({ user }) {
    const seats = [];
    for (const [name, seat] of [['ann', 1], ['bob', 2], ['bob', 3]]) {
      const client = await user(name, { claims: { info: { name } } });
      const sub = newSubscription(client, 'open:seats', { token: tokenOf(name, { channel: 'open:seats', info: [seat] }) });
      await subscribe(sub);
      seats.push({ name, seat, sub });
    }
    const { clients } = await seats[0].sub.presence();
    const seen = Object.entries(clients).map(([id, { client, user: name, connInfo, chanInfo }]) => [id === client, name, connInfo, chanInfo]);
    assert.deepEqual(seen.sort((a, b) => a[3][0] - b[3][0]), seats.map(({ name, seat }) => [true, name, { name }, [seat]]));
    assert.deepEqual(await seats[0].sub.presenceStats(), { numClients: 3, numUsers: 2 });
  },

  async 'join and leave for who asks'({ hub, user }) {
    const sub = newSubscription(await user('ann'), 'asked:door', { joinLeave: true });
    const deaf = newSubscription(await user('eve'), 'asked:door');
    const unasked = [];
    for (const name of ['join', 'leave']) deaf.on(name, context => unasked.push(context));
    const own = nextOf(sub, 'join', 'ann');
    await subscribe(sub);
    await own;
    await subscribe(deaf);
    const [joined, left] = [nextOf(sub, 'join', 'bob'), nextOf(sub, 'leave', 'bob')];
    const bob = await user('bob', { claims: { info: 'B' } });
    await subscribe(newSubscription(bob, 'asked:door'));
    assert.equal((await joined).connInfo, 'B');
    bob.disconnect();
    await left;
    await publishAll(hub, 'asked:door', ['last']);
    await expectAll(deaf, ['last']);
    assert.deepEqual(unasked, []);
  },

  async 'join and leave for all'({ user }) {
    const sub = newSubscription(await user('ann'), 'forced:door');
    const own = nextOf(sub, 'join', 'ann');
    await subscribe(sub);
    await own;
    const [joined, left] = [nextOf(sub, 'join', 'bob'), nextOf(sub, 'leave', 'bob')];
    const other = newSubscription(await user('bob'), 'forced:door');
    await subscribe(other);
    await joined;
    other.unsubscribe();
    await left;
  },

  async 'deltas, live and after a recovery'({ hub, user, relay }) {
    const between = await relay();
    const sub = newSubscription(await user('ann', { port: between.port }), 'delta:a', { delta: 'fossil' });
    await subscribe(sub);
    const live = [1, 2, 3].map(document);
    await publishAll(hub, 'delta:a', live);
    await expectAll(sub, live);
    assert.deepEqual([sub.deltaStats().numFullPayloads, sub.deltaStats().numDeltaPayloads], [1, 2]);
    const again = nextEvent(sub, 'subscribed');
    between.down();
    const missed = [4, 5].map(document);
    await publishAll(hub, 'delta:a', missed);
    between.up();
    assert.equal((await again).recovered, true);
    await expectAll(sub, missed);
    const before = sub.deltaStats();
    await publishAll(hub, 'delta:a', [document(6)]);
    await expectAll(sub, [document(6)]);
    const after = sub.deltaStats();
    assert.equal(after.numDeltaPayloads, before.numDeltaPayloads + 1);
    assert.ok(after.bytesReceived < after.bytesDecoded * 0.7, JSON.stringify(after));
  },

  async 'a filter by tags'({ hub, user }) {
    const sub = newSubscription(await user('ann'), 'tagged:a', { tagsFilter: { key: 'city', cmp: 'in', vals: ['Ulm', 'Köln'] } });
    await subscribe(sub);
    for (const [data, city] of [[1, 'Ulm'], [2, 'Bonn'], [3, 'Köln'], [4, ''], [5, 'Ulm']]) await hub.call('publish', { channel: 'tagged:a', data, tags: { city } });
    await expectAll(sub, [1, 3, 5]);
  },

  async 'conflate'({ hub, user }) {
    const client = await user('ann');
    const [sub, marker] = [newSubscription(client, 'hourly:a'), newSubscription(client, 'open:marker')];
    await Promise.all([subscribe(sub), subscribe(marker)]);
    await publishAll(hub, 'hourly:a', [1, 2, 3]);
    await publishAll(hub, 'open:marker', ['after']);
    await expectAll(marker, ['after']);
    assert.deepEqual(positionsOf(publicationsSoFar(sub)), [1]);
    await expectAll(sub, [1]);
    sub.unsubscribe();
    assert.equal((await subscribe(sub)).recovered, true, 'what was held back is not lost');
    await expectAll(sub, [2, 3]);
  },

  async 'recovery of a stream after a cut'({ hub, user, relay }) {
    const between = await relay();
    const sub = newSubscription(await user('ann', { port: between.port }), 'kept:a');
    const { recoverable, wasRecovering } = await subscribe(sub);
    assert.deepEqual([recoverable, wasRecovering], [true, false]);
    await publishAll(hub, 'kept:a', [1]);
    await expectAll(sub, [1]);
    const again = nextEvent(sub, 'subscribed');
    between.down();
    await publishAll(hub, 'kept:a', [2, 3]);
    between.up();
    const context = await again;
    assert.deepEqual([context.wasRecovering, context.recovered, context.hasRecoveredPublications], [true, true, true]);
    await publishAll(hub, 'kept:a', [4]);
    await expectAll(sub, [2, 3, 4]);
  },

  async 'recovery of a cache after a cut'({ hub, user, relay }) {
    const between = await relay();
    await publishAll(hub, 'cache:a', [1, 2]);
    const sub = newSubscription(await user('ann', { port: between.port }), 'cache:a', { since: {} });
    assert.equal((await subscribe(sub)).recovered, true);
    await expectAll(sub, [2]);
    const again = nextEvent(sub, 'subscribed');
    between.down();
    await publishAll(hub, 'cache:a', [3, 4, 5]);
    between.up();
    assert.equal((await again).recovered, true);
    await publishAll(hub, 'cache:a', [6]);
    await expectAll(sub, [5, 6]);
  },

  async 'a position, and 2500 when it is lost'({ t, hub, user }) {
    const sub = newSubscription(await user('ann'), 'placed:a', { positioned: true, ...quickly });
    const { positioned, recoverable, streamPosition } = await subscribe(sub);
    assert.deepEqual([positioned, recoverable, streamPosition.offset, streamPosition.epoch.length], [true, false, 0, 8]);
    await publishAll(hub, 'placed:a', ['x']);
    assert.equal((await nextPublication(sub)).offset, 1);
    const [lost, again] = [nextEvent(sub, 'subscribing'), nextEvent(sub, 'subscribed')];
    await runSql(t, `${hub.dir}/belfry.sqlite`, "UPDATE streams SET epoch='REPLACED' WHERE channel='placed:a'"); // as an older copy of the file
    assert.equal((await lost).code, 2500);
    assert.deepEqual((await again).streamPosition, { offset: 1, epoch: 'REPLACED' });
  },

  async 'history by pages, forward and reverse'({ hub, user }) {
    const sub = newSubscription(await user('ann'), 'kept:pages');
    await subscribe(sub);
    await publishAll(hub, 'kept:pages', [1, 2, 3, 4, 5]);
    const { publications, offset, epoch } = await sub.history({ limit: 2 });
    assert.deepEqual([publications.map(({ data }) => data), positionsOf(publications), offset], [[1, 2], [1, 2], 5]);
    const page = async (since, more = {}) => positionsOf((await sub.history({ limit: 2, since: { offset: since, epoch }, ...more })).publications);
    assert.deepEqual([await page(2), await page(4), await page(5)], [[3, 4], [5], []]);
    assert.deepEqual(positionsOf((await sub.history({ limit: 2, reverse: true })).publications), [5, 4]);
    assert.deepEqual([await page(4, { reverse: true }), await page(2, { reverse: true })], [[3, 2], [1]]);
    assert.deepEqual(await sub.history({ limit: 0 }), { publications: [], epoch, offset: 5 });
    await assert.rejects(sub.history({ limit: 1, since: { offset: 1, epoch: 'elsewher' } }), { code: 112 });
  },

  async 'a subscription token: getToken prolongs it, 2501 without'({ hub, user }) {
    const client = await user('ann');
    const grant = (channel, seconds) => tokenOf('ann', { channel, exp: secondsFromNow(seconds), data: { hello: channel } });
    let n = 0;
    const prolonged = newSubscription(client, 'closed:long', { token: grant('closed:long', 3), getToken: async () => { n += 1; return grant('closed:long', 1000); } });
    const expiring = newSubscription(client, 'closed:brief', { token: grant('closed:brief', 3), getToken: tooLate(grant('closed:brief', 1000)), ...quickly });
    const [{ data }] = await Promise.all([subscribe(prolonged), subscribe(expiring)]);
    assert.deepEqual(data, { hello: 'closed:long' });
    const lost = [];
    for (const name of ['subscribing', 'unsubscribed']) prolonged.on(name, context => lost.push(context));
    const [expired, again] = [nextEvent(expiring, 'subscribing'), nextEvent(expiring, 'subscribed')];
    assert.equal((await expired).code, 2501);
    await again;
    assert.deepEqual([n, lost], [1, []]);
    await publishAll(hub, 'closed:long', ['still here']);
    await expectAll(prolonged, ['still here']);
  },

  async 'a connection token: getToken prolongs it, 3005 without'({ newUser }) {
    const grant = seconds => ({ exp: secondsFromNow(seconds) });
    let n = 0;
    const prolonged = newUser('ann', { claims: grant(3), getToken: async () => { n += 1; return tokenOf('ann', grant(1000)); } });
    const expiring = newUser('bob', { claims: grant(3), getToken: tooLate(tokenOf('bob', grant(1000))) });
    await Promise.all([connect(prolonged), connect(expiring)]);
    const lost = [];
    for (const name of ['connecting', 'disconnected']) prolonged.on(name, context => lost.push(context));
    assert.equal((await nextEvent(expiring, 'connecting')).code, 3005);
    await connected(expiring);
    assert.deepEqual([n, lost], [1, []]);
    await prolonged.presenceStats('open:nobody');
  },

  async 'subscriptions of a token, and their recovery'({ hub, newUser, relay }) {
    const between = await relay();
    const client = newUser('ann', { port: between.port, claims: { channels: ['kept:mine'], subs: { 'closed:data': { data: { hello: 1 } } } } });
    const [sub, plain] = [serverSubscription(client, 'kept:mine'), serverSubscription(client, 'closed:data')];
    const added = [nextEvent(sub, 'subscribed'), nextEvent(plain, 'subscribed')];
    await connect(client);
    const [first, second] = await Promise.all(added);
    assert.deepEqual([first.recoverable, second.recoverable, second.data], [true, false, { hello: 1 }]);
    await hub.call('broadcast', { channels: ['kept:mine', 'closed:data'], data: 1 });
    await expectAll(sub, [1]);
    await expectAll(plain, [1]);
    const again = nextEvent(sub, 'subscribed');
    between.down();
    await publishAll(hub, 'kept:mine', [2, 3]);
    between.up();
    const { wasRecovering, recovered } = await again;
    assert.deepEqual([wasRecovering, recovered], [true, true]);
    await publishAll(hub, 'kept:mine', [4]);
    await expectAll(sub, [2, 3, 4]);
  },

  async 'the personal channel'({ hub, newUser }) {
    const client = newUser('paul');
    const sub = serverSubscription(client, 'kept:#paul');
    const added = nextEvent(sub, 'subscribed');
    await connect(client);
    assert.equal((await added).recoverable, true);
    await publishAll(hub, 'kept:#paul', ['you']);
    await expectAll(sub, ['you']);
  },

  async 'a backend subscribes and unsubscribes'({ hub, user }) {
    const client = await user('sue');
    const [added, own] = [serverSubscription(client, 'kept:added'), newSubscription(client, 'open:own')];
    await subscribe(own);
    const subscribed = nextEvent(added, 'subscribed');
    await hub.call('subscribe', { user: 'sue', channel: 'kept:added', data: { hi: 1 } });
    const { data, recoverable } = await subscribed;
    assert.deepEqual([data, recoverable], [{ hi: 1 }, true]);
    await publishAll(hub, 'kept:added', [1]);
    await expectAll(added, [1]);
    const gone = [nextEvent(added, 'unsubscribed'), nextEvent(own, 'unsubscribed')];
    await hub.call('unsubscribe', { user: 'sue', channel: 'kept:added' });
    await hub.call('unsubscribe', { user: 'sue', channel: 'open:own' });
    const [, { code, reason }] = await Promise.all(gone);
    assert.deepEqual([code, reason], [2000, 'server unsubscribe']);
  },

  async 'a backend refreshes'({ hub, user }) {
    const client = await user('rita', { claims: { info: 'old' } });
    const sub = newSubscription(client, 'open:rita');
    await hub.call('refresh', { user: 'rita', info: { is: 'new' }, expire_at: secondsFromNow(1000) });
    await subscribe(sub);
    assert.deepEqual(Object.values((await sub.presence()).clients).map(({ connInfo }) => connInfo), [{ is: 'new' }]);
    const connecting = nextEvent(client, 'connecting');
    await hub.call('refresh', { user: 'rita', expired: true });
    assert.equal((await connecting).code, 3005);
    await connected(client);
  },

  async 'a backend disconnects, but for the whitelist'({ hub, newUser }) {
    const [gone, spared] = [newUser('dan'), newUser('dan')];
    await connect(gone);
    const { client: id } = await connect(spared);
    const left = nextEvent(gone, 'disconnected');
    await hub.call('disconnect', { user: 'dan', whitelist: [id], disconnect: { code: 4501, reason: 'not \\ "you"' } });
    const { code, reason } = await left;
    assert.deepEqual([code, reason], [4501, 'not \\ "you"']);
    await spared.presenceStats('open:nobody');
    const forced = nextEvent(spared, 'disconnected');
    await hub.call('disconnect', { user: 'dan' });
    assert.equal((await forced).code, 3503);
  },

  async 'rpc'({ transport, backend, user }) {
    const client = await user('ann');
    assert.equal((await client.rpc('sum', { a: 2, b: 3 })).data, 5);
    const { json } = await backend.next('/rpc');
    assert.deepEqual([json.user, json.transport], ['ann', transport]);
    await assert.rejects(client.rpc('other', {}), { code: 1000, message: 'not that' });
    await assert.rejects(client.rpc('nowhere:sum', {}), { code: 104 });
  },

  async 'a backend lets subscribe and publish'({ transport, backend, user }) {
    const client = await user('ann');
    const sub = newSubscription(client, 'proxied:a', { data: { why: 'fun' } });
    assert.deepEqual((await subscribe(sub)).data, { welcome: 1 });
    const { json } = await backend.next('/subscribe');
    assert.deepEqual([json.user, json.transport, json.channel, json.data], ['ann', transport, 'proxied:a', { why: 'fun' }]);
    await sub.publish({ text: 'dirty' });
    assert.deepEqual((await backend.next('/publish')).json.data, { text: 'dirty' });
    const { data, info } = await nextPublication(sub);
    assert.deepEqual([data, info.user, info.chanInfo], [{ text: 'cleaned' }, 'ann', { role: 'guest' }]);
  },

  async 'errors'({ user }) {
    const client = await user('ann', { claims: { channels: ['kept:mine'] } });
    const refused = (channel, code, options) => assert.rejects(subscribe(newSubscription(client, channel, options)), { code }, channel);
    await refused('nowhere:a', 102);
    await refused('closed:a', 103);
    await assert.rejects(client.publish('kept:mine', 1), { code: 103 });
    await refused('kept:mine', 105);
    await refused(`open:${'x'.repeat(300)}`, 107);
    await refused('open:filter', 107, { tagsFilter: { key: 'k', cmp: 'ex' } });
    await assert.rejects(client.history('kept:mine', { reverse: true, since: { offset: 0, epoch: '' } }), { code: 107 });
    await assert.rejects(client.history('open:a', { limit: 1 }), { code: 108 });
    await assert.rejects(client.presence('kept:a'), { code: 108 });
  },

  async 'more channels than channel_limit: 106; more connections of a user: 3504'({ transport, limited, newUser }) {
    const client = newUser(transport, { port: limited.port });
    await connect(client);
    await subscribe(newSubscription(client, 'open:a'));
    await assert.rejects(subscribe(newSubscription(client, 'open:b')), { code: 106 });
    await assert.rejects(client.rpc('sum', {}), { code: 108 });
    await assert.rejects(connect(newUser(transport, { port: limited.port })), { code: 3504, reason: 'connection limit' });
    await client.presenceStats('open:a');
  },

  async 'a message that nobody takes: 3508'({ user }) {
    const client = await user('ann');
    const left = nextEvent(client, 'disconnected');
    await client.send({ hello: 1 });
    assert.equal((await left).code, 3508);
  },
};

/* What a scenario gets here: hub, and user(name, claims, request): a connected client. */
const uniScenarios = {
  async 'publications'({ hub, user }) {
    const uni = await user('ann', { channels: ['kept:feed'] });
    const { recoverable, positioned, epoch } = uni.connected.subs['kept:feed'];
    assert.deepEqual([recoverable, positioned, epoch.length], [true, true, 8]);
    await hub.call('publish', { channel: 'kept:feed', data: { text: 'line\nline' }, tags: { k: 'v' } });
    assert.deepEqual(await uni.next(), { channel: 'kept:feed', pub: { data: { text: 'line\nline' }, offset: 1, tags: { k: 'v' } } });
  },

  async 'joins and leaves'({ hub, user }) {
    const uni = await user('ann', { channels: ['forced:uni'] });
    const infoOf = ({ connected: { client } }, name) => ({ info: { user: name, client } });
    assert.deepEqual(await uni.next(), { channel: 'forced:uni', join: infoOf(uni, 'ann') });
    const other = await user('leo', { channels: ['forced:uni'] });
    assert.deepEqual(await uni.next(), { channel: 'forced:uni', join: infoOf(other, 'leo') });
    await hub.call('disconnect', { user: 'leo' });
    assert.deepEqual(await uni.next(), { channel: 'forced:uni', leave: infoOf(other, 'leo') });
  },

  async 'subscribe and unsubscribe'({ hub, user }) {
    const uni = await user('sid');
    await hub.call('subscribe', { user: 'sid', channel: 'closed:later', data: { hi: 1 } });
    assert.deepEqual(await uni.next(), { channel: 'closed:later', subscribe: { data: { hi: 1 } } });
    await publishAll(hub, 'closed:later', [1]);
    assert.deepEqual(await uni.next(), { channel: 'closed:later', pub: { data: 1 } });
    await hub.call('unsubscribe', { user: 'sid', channel: 'closed:later' });
    assert.deepEqual(await uni.next(), { channel: 'closed:later', unsubscribe: { code: 2000, reason: 'server unsubscribe' } });
    await publishAll(hub, 'closed:later', [2]);
    await publishAll(hub, 'kept:#sid', ['personal']);
    assert.equal((await uni.next()).pub.data, 'personal');
  },

  async 'refresh'({ hub, user }) {
    const uni = await user('ria', { exp: secondsFromNow(100) });
    assert.equal(uni.connected.expires, true);
    await hub.call('refresh', { user: 'ria', expire_at: secondsFromNow(1000) });
    const { refresh: { expires, ttl } } = await uni.next();
    assert.equal(expires, true);
    assert.ok(ttl > 900 && ttl <= 1000, `${ttl}`);
  },

  async 'the end of a token: 3005'({ user }) {
    const uni = await user('tim', { exp: secondsFromNow(3) });
    assert.deepEqual(await uni.next(), { disconnect: { code: 3005, reason: 'connection expired' } });
    await uni.ended;
  },

  async 'disconnect'({ hub, user }) {
    const uni = await user('dee');
    await hub.call('disconnect', { user: 'dee', disconnect: { code: 4502, reason: 'not \\ "you"' } });
    assert.deepEqual(await uni.next(), { disconnect: { code: 4502, reason: 'not \\ "you"' } });
    await uni.ended;
  },

  async 'recovery by the positions of the connect request'({ hub, user }) {
    const claims = { channels: ['kept:uni'] };
    const { offset = 0, epoch } = (await user('rob', claims)).connected.subs['kept:uni'];
    await publishAll(hub, 'kept:uni', [1, 2]);
    const again = await user('rob', claims, { subs: { 'kept:uni': { recover: true, offset, epoch } } });
    const { recovered, was_recovering, publications } = again.connected.subs['kept:uni'];
    assert.deepEqual([recovered, was_recovering, publications], [true, true, [{ data: 1, offset: 1 }, { data: 2, offset: 2 }]]);
    await publishAll(hub, 'kept:uni', [3]);
    assert.deepEqual(await again.next(), { channel: 'kept:uni', pub: { data: 3, offset: 3 } });
    const elsewhere = await user('rob', claims, { subs: { 'kept:uni': { recover: true, offset: 1, epoch: 'elsewher' } } });
    const lost = elsewhere.connected.subs['kept:uni'];
    assert.deepEqual([lost.recovered, lost.was_recovering, lost.publications, lost.offset], [undefined, true, undefined, 3]);
  },
};

describe('every behaviour', { concurrency: true }, () => {
  for (const transport of ['websocket', 'http_stream', 'sse']) {
    test(`over ${transport}`, { concurrency: true }, async t => {
      const asking = await startAsking(t);
      const limited = await startLimited(t);
      await Promise.all(Object.entries(scenarios).map(([name, run]) => t.test(name, scenario => {
        const newUser = (sub, { claims, ...options } = {}) => newClientOver(scenario, asking.hub, [transport], { token: tokenOf(sub, claims), ...options });
        const user = async (...given) => {
          const client = newUser(...given);
          await connect(client);
          return client;
        };
        return run({ t: scenario, transport, limited, newUser, user, relay: () => startRelay(scenario, asking.hub), ...asking });
      })));
    });
  }

  for (const transport of ['uni_websocket', 'uni_http_stream', 'uni_sse']) {
    test(`over ${transport}`, { concurrency: true }, async t => {
      const { hub } = await startAsking(t);
      await Promise.all(Object.entries(uniScenarios).map(([name, run]) => t.test(name, scenario => {
        const user = (sub, claims, request = {}) => openUni(scenario, hub, transport, { token: tokenOf(sub, claims), ...request });
        return run({ hub, user });
      })));
    });
  }
});
