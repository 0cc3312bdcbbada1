// A subscriber's filter by tags: live, in what is recovered, and what is refused.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, publicationsSoFar, rawSocket, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';

const history = { history_size: 100, history_ttl: '1h' };

function startFilterHub(t) {
  const namespaces = [
    { name: 'open', allow_tags_filter: true },
    { name: 'kept', allow_tags_filter: true, ...history, force_recovery: true },
    { name: 'cache', allow_tags_filter: true, ...history, force_recovery: true, force_recovery_mode: 'cache' },
    { name: 'closed' },
  ];
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces } } });
}

async function subscribedTo(t, hub, channel, tagsFilter) {
  const client = newClient(t, hub);
  const sub = newSubscription(client, channel, { tagsFilter });
  await connect(client);
  await subscribe(sub);
  return { client, sub };
}

const publish = (hub, channel, data, tags) => hub.call('publish', { channel, data, tags });

describe('the npm client', { concurrency: true }, () => {
  test('gets what its filter lets through, and others get all', async t => {
    const hub = await startFilterHub(t);
    const filter = {
      op: 'and',
      nodes: [
        { op: '', key: 'price', cmp: 'gte', val: '9.5' },
        { op: 'or', nodes: [{ key: 'city', cmp: 'in', vals: ['Ulm', 'Bonn'] }, { op: 'not', nodes: [{ key: 'city', cmp: 'ex' }] }] },
      ],
    };
    const { sub } = await subscribedTo(t, hub, 'open:a', filter);
    const { sub: all } = await subscribedTo(t, hub, 'open:a');
    const tags = [{ price: '10', city: 'Ulm' }, { price: '9.49', city: 'Ulm' }, { price: '9.5' }, {}, { price: '10', city: 'Hof' }, { price: '100', city: 'Bonn' }];
    for (const [i, one] of tags.entries()) await publish(hub, 'open:a', i, one);
    for (const [i, one] of tags.entries()) {
      const publication = await nextPublication(all);
      assert.equal(publication.data, i);
      assert.deepEqual(publication.tags ?? {}, one);
    }
    for (const expected of [0, 2, 5]) assert.equal((await nextPublication(sub)).data, expected);
    assert.deepEqual(publicationsSoFar(sub), []);
  });

  test('recovers what its filter lets through, at the right position', async t => {
    const hub = await startFilterHub(t);
    const { client, sub } = await subscribedTo(t, hub, 'kept:a', { key: 'k', cmp: 'eq', val: 'yes' });
    await publish(hub, 'kept:a', 1, { k: 'yes' });
    assert.equal((await nextPublication(sub)).offset, 1);
    client.disconnect();
    for (const [data, k] of [[2, 'no'], [3, 'yes'], [4, 'no']]) await publish(hub, 'kept:a', data, { k });
    const subscribed = nextEvent(sub, 'subscribed');
    client.connect();
    assert.equal((await subscribed).recovered, true);
    assert.equal((await nextPublication(sub)).offset, 3);
    await publish(hub, 'kept:a', 5, { k: 'yes' });
    assert.equal((await nextPublication(sub)).offset, 5);
    assert.deepEqual(publicationsSoFar(sub), []);
  });
});

describe('on the wire', { concurrency: true }, () => {
  async function answerTo(t, hub, request) {
    const socket = await rawSocket(t, hub);
    socket.send({ id: 1, connect: {} });
    await socket.next();
    socket.send({ id: 2, subscribe: request });
    return socket.next();
  }

  const leaf = { key: 'k', cmp: 'eq', val: 'a' };
  const refused = [
    ['where the namespace does not allow it', { channel: 'closed:a', tf: leaf }],
    ['with an unknown comparison', { channel: 'open:a', tf: { key: 'k', cmp: 'like', val: 'a' } }],
    ['with an unknown operation', { channel: 'open:a', tf: { op: 'xor', nodes: [leaf] } }],
    ['without children', { channel: 'open:a', tf: { op: 'and' } }],
    ['with too many nodes', { channel: 'open:a', tf: { op: 'or', nodes: Array.from({ length: 64 }, () => leaf) } }],
  ];
  for (const [what, request] of refused) {
    test(`a filter ${what} is refused`, async t => {
      const hub = await startFilterHub(t);
      const { error } = await answerTo(t, hub, request);
      assert.equal(error?.code, 107);
    });
  }

  test('the newest of a cache is filtered, too', async t => {
    const hub = await startFilterHub(t);
    await publish(hub, 'cache:a', 1, { k: 'b' });
    const request = { channel: 'cache:a', recover: true };
    const { subscribe: without } = await answerTo(t, hub, { ...request, tf: leaf });
    assert.equal(without.publications, undefined);
    const { subscribe: all } = await answerTo(t, hub, request);
    assert.equal(all.publications.length, 1);
  });
});
