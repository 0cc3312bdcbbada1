// What the server API says when it refuses: what was wrong, and what was expected.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { makeToken, SECRET } from './lib/token.mjs';

async function startWithClient(t) {
  const hub = await startHub(t, { config: { client: { token: { hmac_secret_key: SECRET } }, channel: { namespaces: [{ name: 'log' }] } } });
  const client = newClient(t, hub, { token: makeToken({ sub: 'ann' }) });
  await connect(client);
  return hub;
}

const transport = { headers: { 'X-Belfry-Error-Mode': 'transport' } };

describe('a refusal', { concurrency: true }, () => {
  test('of a subscription whose end is over names expire_at', async t => {
    const hub = await startWithClient(t);
    const late = { user: 'ann', channel: 'log:a', expire_at: 5 };
    const { json, text } = await hub.api('subscribe', late);
    assert.deepEqual(json, { error: { code: 110, message: 'expired: expire_at: expected a time to come' } }, text);
    const bare = await hub.api('subscribe', late, transport);
    assert.equal(bare.status, 400, bare.text);
    assert.deepEqual(bare.json, json.error);
  });

  test('of a channel without a namespace names it', async t => {
    const hub = await startWithClient(t);
    for (const method of ['subscribe', 'unsubscribe']) {
      const { json, text } = await hub.api(method, { user: 'ann', channel: 'nope:a' });
      assert.equal(json.error.code, 102, text);
      assert.match(json.error.message, /the namespace of "nope:a" is not configured/, method);
    }
  });

  test('of history or presence that is off says so', async t => {
    const hub = await startHub(t, { config: { channel: { namespaces: [{ name: 'log' }] } } });
    for (const [method, what] of Object.entries({ history: 'history', history_remove: 'history', presence: 'presence', presence_stats: 'presence' })) {
      const { json, text } = await hub.api(method, { channel: 'log:a' });
      assert.deepEqual(json, { error: { code: 108, message: `not available: the channel's namespace has no ${what}` } }, text);
    }
  });

  test('of a whitelist that is none disconnects nobody', async t => {
    const hub = await startWithClient(t);
    for (const whitelist of ['x', [1], [['x']], [null]]) {
      const { json, text } = await hub.api('disconnect', { user: 'ann', whitelist });
      assert.equal(json.error?.code, 107, text);
      assert.match(json.error.message, /whitelist: expected a list of client ids/);
    }
    assert.equal((await hub.call('info')).nodes[0].num_clients, 1);
  });

  test('of a call without a feed says that it is missing', async t => {
    const hub = await startHub(t);
    for (const method of ['feed_get', 'feed_refresh', 'feed_purge', 'feed_runs']) {
      for (const body of [{}, { feed: '' }]) {
        const { json, text } = await hub.api(method, body);
        assert.deepEqual(json, { error: { code: 107, message: 'bad request: feed: expected the name of a feed' } }, `${method}: ${text}`);
      }
    }
  });
});
