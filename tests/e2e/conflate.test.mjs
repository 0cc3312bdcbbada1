// conflate: at most one publication in an interval reaches a subscriber, and the newest always does.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, publicationsSoFar, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';

const history = { history_size: 1000, history_ttl: '1h' };

/** An interval that no test lives to see the end of is the only one without a race. */
function startConflatingHub(t) {
  const namespaces = [
    { name: 'hourly', conflate: '1h', ...history, force_recovery: true },
    { name: 'quick', conflate: '50ms' },
    { name: 'delta', conflate: '50ms', allowed_delta_types: ['fossil'], delta_publish: true },
    { name: 'all' },
  ];
  return startHub(t, { config: { client: { insecure: true }, channel: { namespaces } } });
}

async function subscribedTo(t, hub, channel, options) {
  const client = newClient(t, hub);
  const sub = newSubscription(client, channel, options);
  await connect(client);
  await subscribe(sub);
  return { client, sub };
}

async function publishNumbers(hub, channel, first, last) {
  for (let i = first; i <= last; i += 1) await hub.call('publish', { channel, data: i });
}

/** Up to the one with this data. */
async function publicationsUpTo(sub, isLast) {
  const seen = [];
  do seen.push((await nextPublication(sub)).data); while (!isLast(seen.at(-1)));
  return seen;
}

describe('conflate', { concurrency: true }, () => {
  test('the first comes at once, the newest when the interval is over', async t => {
    const hub = await startConflatingHub(t);
    const { sub } = await subscribedTo(t, hub, 'quick:a');
    await publishNumbers(hub, 'quick:a', 1, 200);
    const seen = await publicationsUpTo(sub, data => data === 200);
    assert.equal(seen[0], 1);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  });

  test('what is held back is not lost: it is recovered', async t => {
    const hub = await startConflatingHub(t);
    const { client, sub } = await subscribedTo(t, hub, 'hourly:a');
    await publishNumbers(hub, 'hourly:a', 1, 5);
    assert.equal((await nextPublication(sub)).offset, 1);
    client.disconnect();
    const subscribed = nextEvent(sub, 'subscribed');
    client.connect();
    assert.equal((await subscribed).recovered, true);
    for (let i = 2; i <= 5; i += 1) assert.equal((await nextPublication(sub)).offset, i);
  });

  test('other channels do not wait', async t => {
    const hub = await startConflatingHub(t);
    const { sub } = await subscribedTo(t, hub, 'hourly:a');
    const { sub: other } = await subscribedTo(t, hub, 'hourly:b');
    const { sub: all } = await subscribedTo(t, hub, 'all:a');
    await publishNumbers(hub, 'hourly:a', 1, 3);
    await publishNumbers(hub, 'hourly:b', 1, 3);
    await publishNumbers(hub, 'all:a', 1, 3);
    for (let i = 1; i <= 3; i += 1) assert.equal((await nextPublication(all)).data, i);
    assert.equal((await nextPublication(sub)).data, 1);
    assert.equal((await nextPublication(other)).data, 1);
    assert.deepEqual(publicationsSoFar(sub), []);
    assert.deepEqual(publicationsSoFar(other), []);
  });

  test('an ending hub delivers what it holds back', async t => {
    const hub = await startConflatingHub(t);
    const { sub } = await subscribedTo(t, hub, 'hourly:a');
    await publishNumbers(hub, 'hourly:a', 1, 5);
    assert.equal((await nextPublication(sub)).data, 1);
    await hub.stop();
    assert.equal((await nextPublication(sub)).data, 5);
  });

  test('a hub that holds something back for one who has left ends at once', async t => {
    const hub = await startConflatingHub(t);
    const { client, sub } = await subscribedTo(t, hub, 'hourly:a');
    await publishNumbers(hub, 'hourly:a', 1, 5);
    assert.equal((await nextPublication(sub)).data, 1);
    client.disconnect();
    await hub.stop();
  });

  test('deltas are made from what was delivered', async t => {
    const hub = await startConflatingHub(t);
    const { sub } = await subscribedTo(t, hub, 'delta:a', { delta: 'fossil' });
    const text = 'a text that is long enough for a delta to be smaller than it';
    for (let i = 1; i <= 200; i += 1) await hub.call('publish', { channel: 'delta:a', data: { i, text } });
    const seen = await publicationsUpTo(sub, data => data.i === 200);
    const { numFullPayloads, numDeltaPayloads } = sub.deltaStats();
    assert.equal(numFullPayloads, 1);
    assert.equal(numDeltaPayloads, seen.length - 1);
  });
});
