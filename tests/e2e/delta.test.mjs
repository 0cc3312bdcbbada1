// Deltas, as the npm client takes them: what it hands on is what was published, and fewer bytes come.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, rawSocket, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';

const history = { history_size: 100, history_ttl: '1h' };
const delta = { allowed_delta_types: ['fossil'], delta_publish: true };

function startDeltaHub(t) {
  const namespaces = [
    { name: 'delta', ...delta },
    { name: 'kept', ...delta, ...history, force_recovery: true },
    { name: 'asked', allowed_delta_types: ['fossil'] },
    { name: 'tagged', ...delta, allow_tags_filter: true },
    { name: 'plain' },
  ];
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces } } });
}

async function subscribedTo(t, hub, channel, options = { delta: 'fossil' }) {
  const client = newClient(t, hub);
  const sub = newSubscription(client, channel, options);
  await connect(client);
  await subscribe(sub);
  return { client, sub };
}

/** A document of a few kilobytes; nth: which of its rows have another value than at first. */
const document = (nth, word = 'city') => ({
  rows: Array.from({ length: 60 }, (_, i) => ({ id: i, name: `${word} ${i * i}`, value: i % 10 === nth ? 1000.5 + i : i })),
});

/** Publishes and expects each document at the subscription. */
async function publishAll(hub, channel, sub, documents) {
  for (const data of documents) {
    await hub.call('publish', { channel, data });
    assert.deepEqual((await nextPublication(sub)).data, data);
  }
}

describe('the npm client', { concurrency: true }, () => {
  test('gets deltas after the first publication', async t => {
    const hub = await startDeltaHub(t);
    const { sub } = await subscribedTo(t, hub, 'delta:a');
    await publishAll(hub, 'delta:a', sub, [document(0), document(1), document(2), document(2), document(3)]);
    const stats = sub.deltaStats();
    assert.equal(stats.numFullPayloads, 1);
    assert.equal(stats.numDeltaPayloads, 4);
    assert.ok(stats.bytesReceived < stats.bytesDecoded / 3, JSON.stringify(stats));
  });

  test('gets deltas of texts in any script', async t => {
    const hub = await startDeltaHub(t);
    const { sub } = await subscribedTo(t, hub, 'delta:a');
    const words = ['Zürich', 'Zürïch', 'Москва', 'Москвы', '東京', '東亰', '😀😁', '😀😂', 'a"\\\n\t', 'İ'];
    await publishAll(hub, 'delta:a', sub, words.flatMap(word => [document(1, word), document(2, word)]));
    const { numDeltaPayloads } = sub.deltaStats();
    assert.ok(numDeltaPayloads >= words.length, `${numDeltaPayloads}`);
  });

  test('gets a text whole that has little of the one before', async t => {
    const hub = await startDeltaHub(t);
    const { sub } = await subscribedTo(t, hub, 'delta:a');
    await publishAll(hub, 'delta:a', sub, [document(0), 1, 'x', document(1)]);
    assert.equal(sub.deltaStats().numDeltaPayloads, 0);
  });

  test('gets many at once, and comes in between', async t => {
    const hub = await startDeltaHub(t);
    const { sub } = await subscribedTo(t, hub, 'delta:a');
    const numbers = Array.from({ length: 50 }, (_, i) => i);
    await Promise.all(numbers.slice(0, 25).map(i => hub.call('publish', { channel: 'delta:a', data: { i, ...document(1) } })));
    const { sub: later } = await subscribedTo(t, hub, 'delta:a');
    await Promise.all(numbers.slice(25).map(i => hub.call('publish', { channel: 'delta:a', data: { i, ...document(2) } })));
    const seen = [];
    for (const _ of numbers) seen.push((await nextPublication(sub)).data.i);
    assert.deepEqual(seen.sort((a, b) => a - b), numbers);
    for (let i = 0; i < 25; i += 1) assert.ok((await nextPublication(later)).data.i >= 25);
    assert.equal(later.deltaStats().numFullPayloads, 1);
  });

  test('goes on with deltas after a recovery', async t => {
    const hub = await startDeltaHub(t);
    const { client, sub } = await subscribedTo(t, hub, 'kept:a');
    await publishAll(hub, 'kept:a', sub, [document(0), document(1)]);
    client.disconnect();
    const missed = [document(2), document(3), document(4)];
    for (const data of missed) await hub.call('publish', { channel: 'kept:a', data });
    const subscribed = nextEvent(sub, 'subscribed');
    client.connect();
    assert.equal((await subscribed).recovered, true);
    for (const data of missed) assert.deepEqual((await nextPublication(sub)).data, data);
    const before = sub.deltaStats();
    await publishAll(hub, 'kept:a', sub, [document(5), document(6)]);
    const after = sub.deltaStats();
    assert.equal(after.numDeltaPayloads - before.numDeltaPayloads, 2);
    assert.equal(after.numFullPayloads, before.numFullPayloads);
  });

  test('misses nothing where it comes back to nothing new', async t => {
    const hub = await startDeltaHub(t);
    const { client, sub } = await subscribedTo(t, hub, 'kept:a');
    await publishAll(hub, 'kept:a', sub, [document(0), document(1)]);
    client.disconnect();
    const subscribed = nextEvent(sub, 'subscribed');
    client.connect();
    assert.equal((await subscribed).recovered, true);
    await publishAll(hub, 'kept:a', sub, [document(2), document(3)]);
  });

  test('gets deltas only of what was published for it', async t => {
    const hub = await startDeltaHub(t);
    const { sub } = await subscribedTo(t, hub, 'asked:a');
    await publishAll(hub, 'asked:a', sub, [document(0), document(1)]);
    assert.equal(sub.deltaStats().numDeltaPayloads, 0);
    await hub.call('publish', { channel: 'asked:a', data: document(2), delta: true });
    assert.deepEqual((await nextPublication(sub)).data, document(2));
    assert.equal(sub.deltaStats().numDeltaPayloads, 1);
  });
});

describe('on the wire', { concurrency: true }, () => {
  async function connectedSocket(t, hub) {
    const socket = await rawSocket(t, hub);
    socket.send({ id: 1, connect: {} });
    await socket.next();
    return socket;
  }

  async function resultOf(socket, request) {
    socket.send({ id: 2, subscribe: request });
    return (await socket.next()).subscribe;
  }

  test('a delta is a text beside one who asked for none', async t => {
    const hub = await startDeltaHub(t);
    const asked = await connectedSocket(t, hub);
    const plain = await connectedSocket(t, hub);
    assert.equal((await resultOf(asked, { channel: 'kept:a', delta: 'fossil' })).delta, true);
    assert.equal((await resultOf(plain, { channel: 'kept:a' })).delta, undefined);
    const text = n => ({ text: 'hello world hello world hello world', n });
    for (const n of [1, 2]) await hub.call('publish', { channel: 'kept:a', data: text(n) });
    const pushes = [await asked.next(), await asked.next()].map(({ push }) => push.pub);
    assert.deepEqual(pushes, [
      { data: JSON.stringify(text(1)), offset: 1 },
      { data: 'p\nn@0,2:2}jrh9V;', offset: 2, delta: true },
    ]);
    for (const n of [1, 2]) assert.deepEqual((await plain.next()).push.pub, { data: text(n), offset: n });
  });

  test('a kind that is not known ends the connection', async t => {
    const hub = await startDeltaHub(t);
    const socket = await connectedSocket(t, hub);
    socket.send({ id: 2, subscribe: { channel: 'delta:a', delta: 'xdelta' } });
    assert.equal((await socket.closed).code, 3501);
  });

  test('where the namespace has none, nothing is agreed', async t => {
    const hub = await startDeltaHub(t);
    const socket = await connectedSocket(t, hub);
    assert.deepEqual(await resultOf(socket, { channel: 'plain:a', delta: 'fossil' }), {});
    await hub.call('publish', { channel: 'plain:a', data: { a: 1 }, delta: true });
    assert.deepEqual((await socket.next()).push.pub, { data: { a: 1 } });
  });

  test('a filter excludes deltas', async t => {
    const hub = await startDeltaHub(t);
    const socket = await connectedSocket(t, hub);
    const tf = { key: 'k', cmp: 'ex' };
    assert.equal((await resultOf(socket, { channel: 'tagged:a', delta: 'fossil', tf })).delta, undefined);
    for (const tags of [{ k: '1' }, {}, { k: '2' }]) {
      await hub.call('publish', { channel: 'tagged:a', data: document(1), tags });
    }
    for (const tags of [{ k: '1' }, { k: '2' }]) assert.deepEqual((await socket.next()).push.pub, { data: document(1), tags });
  });
});
