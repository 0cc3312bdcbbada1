// Who comes and goes: told to those who ask and may, or to all.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { makeToken, SECRET } from './lib/token.mjs';

function startJoinHub(t) {
  const open = { allow_subscribe_for_client: true, presence: true };
  const namespaces = [
    { name: 'asked', ...open, join_leave: true, allow_presence_for_subscriber: true, allow_presence_for_client: true },
    { name: 'denied', ...open, join_leave: true },
    { name: 'forced', ...open, join_leave: true, force_push_join_leave: true },
    { name: 'silent', ...open, allow_presence_for_client: true },
  ];
  return startHub(t, { config: { client: { token: { hmac_secret_key: SECRET } }, channel: { namespaces } } });
}

/** What the subscription is told, in order: ['join', user], ['leave', user], ['publication', data]. */
function listen(sub) {
  const seen = [];
  sub.on('join', ({ info }) => seen.push(['join', info.user]));
  sub.on('leave', ({ info }) => seen.push(['leave', info.user]));
  sub.on('publication', ({ data }) => seen.push(['publication', data]));
  return seen;
}

/** The next event of that name that is about this user. */
function nextOf(sub, name, user) {
  return within(new Promise(resolve => sub.on(name, ({ info }) => info.user === user && resolve(info))), `the ${name} of ${user}`);
}

async function come(t, hub, user, channel, options = {}) {
  const client = newClient(t, hub, { token: makeToken({ sub: user }) });
  const sub = newSubscription(client, channel, options);
  const seen = listen(sub);
  await connect(client);
  await subscribe(sub);
  return { client, sub, seen };
}

describe('join and leave', { concurrency: true }, () => {
  test('are told to who asked, with itself', async t => {
    const hub = await startJoinHub(t);
    const first = await come(t, hub, 'ann', 'asked:a', { joinLeave: true });
    const plain = await come(t, hub, 'bob', 'asked:a');
    const gone = nextOf(first.sub, 'leave', 'cid');
    const third = await come(t, hub, 'cid', 'asked:a', { joinLeave: true });
    third.client.disconnect();
    await gone;
    await hub.call('publish', { channel: 'asked:a', data: 1 });
    await nextPublication(first.sub);
    await nextPublication(plain.sub);
    assert.deepEqual(first.seen, [['join', 'ann'], ['join', 'bob'], ['join', 'cid'], ['leave', 'cid'], ['publication', 1]]);
    assert.deepEqual(plain.seen, [['publication', 1]]);
  });

  test('tell the client and what its token says', async t => {
    const hub = await startJoinHub(t);
    const { sub } = await come(t, hub, 'ann', 'asked:a', { joinLeave: true });
    const joined = nextOf(sub, 'join', 'bob');
    const client = newClient(t, hub, { token: makeToken({ sub: 'bob', info: { name: 'Bob' } }) });
    const { client: id } = await connect(client);
    await subscribe(newSubscription(client, 'asked:a'));
    const { client: told, connInfo } = await joined;
    assert.deepEqual([told, connInfo], [id, { name: 'Bob' }]);
  });

  test('come at an unsubscribe, and at the end of a connection', async t => {
    const hub = await startJoinHub(t);
    const { sub } = await come(t, hub, 'ann', 'asked:a', { joinLeave: true });
    for (const end of [({ sub: other }) => other.unsubscribe(), ({ client }) => client.disconnect()]) {
      const joined = nextOf(sub, 'join', 'bob');
      const other = await come(t, hub, 'bob', 'asked:a');
      await joined;
      const left = nextOf(sub, 'leave', 'bob');
      end(other);
      await left;
    }
  });

  test('are not told to who may not know who is there', async t => {
    const hub = await startJoinHub(t);
    const { sub, seen } = await come(t, hub, 'ann', 'denied:a', { joinLeave: true });
    await come(t, hub, 'bob', 'denied:a');
    await hub.call('publish', { channel: 'denied:a', data: 1 });
    await nextPublication(sub);
    assert.deepEqual(seen, [['publication', 1]]);
  });

  test('are told to all where the namespace says so', async t => {
    const hub = await startJoinHub(t);
    const { sub, seen } = await come(t, hub, 'ann', 'forced:a');
    await come(t, hub, 'bob', 'forced:a');
    await hub.call('publish', { channel: 'forced:a', data: 1 });
    await nextPublication(sub);
    assert.deepEqual(seen, [['join', 'ann'], ['join', 'bob'], ['publication', 1]]);
  });

  test('are told to nobody where the namespace has none', async t => {
    const hub = await startJoinHub(t);
    const { sub, seen } = await come(t, hub, 'ann', 'silent:a', { joinLeave: true });
    await come(t, hub, 'bob', 'silent:a');
    await hub.call('publish', { channel: 'silent:a', data: 1 });
    await nextPublication(sub);
    assert.deepEqual(seen, [['publication', 1]]);
  });
});
