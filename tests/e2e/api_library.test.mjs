// An unmodified library for backends, cent.js, which was written for Centrifugo.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { CentClient, CentException } from 'cent.js';

import { connect, newClient, newSubscription, nextEvent, nextPublication, subscribe } from './lib/client.mjs';
import { parsed } from './lib/http.mjs';
import { startHub } from './lib/hub.mjs';
import { checkExchange } from './lib/openapi.mjs';
import { makeToken, SECRET, secondsFromNow } from './lib/token.mjs';

const log = { name: 'log', history_size: 10, history_ttl: '1h', presence: true, allow_subscribe_for_client: true };

const unwatched = globalThis.fetch;

/** What the library asks with; what it asks and gets is held to docs/openapi.json. */
globalThis.fetch = async (url, options) => {
  const response = await unwatched(url, options);
  const text = await response.clone().text();
  const { status, headers } = response;
  checkExchange({ method: options.method, path: new URL(url).pathname, body: options.body }, { status, headers: Object.fromEntries(headers), text, json: parsed(text) });
  return response;
};

async function startCent(t) {
  const hub = await startHub(t, { config: { client: { token: { hmac_secret_key: SECRET } }, channel: { namespaces: [log] } } });
  return { hub, cent: new CentClient({ url: `${hub.url}/api`, apiKey: hub.key }) };
}

async function connectUser(t, hub, claims = {}) {
  const client = newClient(t, hub, { token: makeToken({ sub: '42', ...claims }) });
  const { client: id } = await connect(client);
  return { client, id };
}

describe('cent.js', { concurrency: true }, () => {
  test('publishes, broadcasts and reads history', async t => {
    const { hub, cent } = await startCent(t);
    const { client } = await connectUser(t, hub);
    const subscription = newSubscription(client, 'log:a');
    await subscribe(subscription);
    const { offset, epoch } = await cent.publish({ channel: 'log:a', data: { text: 'é' } });
    assert.equal(offset, 1);
    assert.deepEqual((await nextPublication(subscription)).data, { text: 'é' });
    const { responses } = await cent.broadcast({ channels: ['log:a', 'log:b'], data: 2 });
    assert.deepEqual(responses.map(one => one.result.offset), [2, 1]);
    assert.equal((await nextPublication(subscription)).data, 2);
    const history = await cent.getHistory({ channel: 'log:a', limit: 10 });
    assert.deepEqual(history, { publications: [{ data: { text: 'é' }, offset: 1 }, { data: 2, offset: 2 }], epoch, offset: 2 });
    assert.deepEqual(await cent.removeHistory({ channel: 'log:a' }), {});
    assert.deepEqual((await cent.getHistory({ channel: 'log:a', limit: 10 })).publications, []);
  });

  test('sees who is there', async t => {
    const { hub, cent } = await startCent(t);
    const { client, id } = await connectUser(t, hub, { info: { name: 'Ada' } });
    await subscribe(newSubscription(client, 'log:a'));
    assert.deepEqual(await cent.getPresence({ channel: 'log:a' }), { presence: { [id]: { user: '42', client: id, conn_info: { name: 'Ada' } } } });
    assert.deepEqual(await cent.getPresenceStats({ channel: 'log:a' }), { num_clients: 1, num_users: 1 });
    assert.deepEqual(await cent.getChannels({ pattern: 'log:*' }), { channels: { 'log:a': { num_clients: 1 } } });
    const [node] = (await cent.getInfo()).nodes;
    assert.equal(node.num_clients, 1);
    assert.equal(node.num_channels, 1);
  });

  test('subscribes, unsubscribes, refreshes and disconnects users', async t => {
    const { hub, cent } = await startCent(t);
    const { client } = await connectUser(t, hub, { exp: secondsFromNow(3600) });
    const subscribed = nextEvent(client, 'subscribed');
    assert.deepEqual(await cent.subscribe({ user: '42', channel: 'log:a' }), {});
    assert.equal((await subscribed).channel, 'log:a');
    const publication = nextEvent(client, 'publication');
    await cent.publish({ channel: 'log:a', data: 1 });
    assert.equal((await publication).data, 1);
    const unsubscribed = nextEvent(client, 'unsubscribed');
    assert.deepEqual(await cent.unsubscribe({ user: '42', channel: 'log:a' }), {});
    assert.equal((await unsubscribed).channel, 'log:a');
    assert.deepEqual(await cent.refresh({ user: '42', expire_at: secondsFromNow(7200) }), {});
    const disconnected = nextEvent(client, 'disconnected');
    assert.deepEqual(await cent.disconnect({ user: '42' }), {});
    assert.equal((await disconnected).code, 3503);
  });

  test('sends several commands in one request', async t => {
    const { cent } = await startCent(t);
    const results = await cent.pipeline([
      { method: 'publish', params: { channel: 'log:a', data: 'one\ntwo' } }, { method: 'publish', params: { channel: 'log:a', data: 2 } },
      { method: 'history', params: { channel: 'log:a', limit: 10 } }, { method: 'publish', params: { channel: 'nope:a', data: 2 } },
    ]);
    assert.deepEqual(results.slice(0, 2).map(result => result.offset), [1, 2]);
    assert.deepEqual(results[2].publications.map(one => one.data), ['one\ntwo', 2]);
    assert.equal(results[3], undefined); // the library drops errors here
  });

  test('throws what the hub calls an error', async t => {
    const { hub, cent } = await startCent(t);
    await assert.rejects(cent.publish({ channel: 'nope:a', data: 1 }), CentException); // it does not keep which one it was
    await assert.rejects(cent.publish({ channel: 'log:a' }), CentException);
    await assert.rejects(cent.getHistory({ channel: 'a' }), CentException);
    await assert.rejects(new CentClient({ url: `${hub.url}/api`, apiKey: 'wrong' }).getInfo()); // 401 without a body
  });
});
