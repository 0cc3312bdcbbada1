// The limits of a connection as SDKs meet them. On the wire: client_limits.test.mjs; of the HTTP transports: streams_raw.test.mjs.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, connected, newClient, newSubscription, nextEvent, nextPublication, rawSocket, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { parseMetrics } from './lib/prometheus.mjs';
import { infoWhen, openSession } from './lib/session.mjs';
import { makeToken, SECRET } from './lib/token.mjs';

const start = (t, client = {}, config = {}) => startHub(t, { config: { prometheus: { enabled: true }, client: { insecure: true, token: { hmac_secret_key: SECRET }, ...client }, ...config } });
const user = sub => ({ connect: { token: makeToken({ sub }) } });

describe('sizes', { concurrency: true }, () => {
  test('websocket.message_size_limit ends the npm client for good', async t => {
    const hub = await start(t, {}, { websocket: { message_size_limit: 1000 } });
    const client = newClient(t, hub);
    await connect(client);
    await client.publish('a', 'x'.repeat(900));
    const ended = nextEvent(client, 'disconnected');
    client.publish('a', 'x'.repeat(1000)).catch(() => {});
    const { code, reason } = await ended;
    assert.deepEqual([code, reason], [3, 'message size limit exceeded']);
  });

  test('channel.max_length counts bytes: 107', async t => {
    const hub = await start(t, {}, { channel: { max_length: 10, without_namespace: { channel_regex: '.' } } });
    const client = newClient(t, hub);
    await connect(client);
    await subscribe(newSubscription(client, 'x'.repeat(10)));
    await subscribe(newSubscription(client, 'ü'.repeat(5)));
    await assert.rejects(subscribe(newSubscription(client, 'x'.repeat(11))), { code: 107 });
    await assert.rejects(subscribe(newSubscription(client, 'ü'.repeat(6))), { code: 107 });
    for (const method of ['publish', 'history', 'presence', 'presenceStats']) {
      await assert.rejects(client[method]('x'.repeat(11), 1), { code: 107 }, method);
    }
  });

  test('client.queue_max_size: a client that does not read comes back after 3008 and recovers', async t => {
    const hub = await start(t, { queue_max_size: 100_000, recovery_max_publication_limit: 1000 }, {
      channel: { without_namespace: { history_size: 1000, history_ttl: '1h', force_recovery: true } },
    });
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'a');
    await subscribe(sub);
    const connecting = nextEvent(client, 'connecting');
    const socket = client._transport._transport; // of the npm package ws: its stream stands still
    socket.pause();
    let n = 0;
    while ((await hub.call('info')).nodes[0].num_subs > 0) {
      assert.ok(n < 600, 'the hub keeps more than it should');
      await hub.call('publish', { channel: 'a', data: `${n} ${'x'.repeat(50_000)}` });
      n += 1;
    }
    socket.resume();
    assert.equal((await connecting).code, 3008);
    for (let i = 0; i < n; i += 1) assert.equal((await nextPublication(sub)).data.split(' ')[0], String(i));
  });
});

describe('numbers', { concurrency: true }, () => {
  test('client.channel_limit: 106 ends the subscription of the npm client, and nothing else', async t => {
    const hub = await start(t, { channel_limit: 1 });
    const client = newClient(t, hub);
    await connect(client);
    const first = newSubscription(client, 'a');
    await subscribe(first);
    await assert.rejects(subscribe(newSubscription(client, 'b')), { code: 106, reason: 'limit exceeded' });
    await first.publish(1);
    assert.equal((await nextPublication(first)).data, 1);
  });

  test('client.user_connection_limit: 3504 for the one too many, and anonymous users are not counted', async t => {
    const hub = await start(t, { user_connection_limit: 2 });
    const [first] = [await openSession(t, hub, user('42')), await openSession(t, hub, user('42'))];
    await assert.rejects(connect(newClient(t, hub, { token: makeToken({ sub: '42' }) })), { code: 3504, reason: 'connection limit' });
    await openSession(t, hub, user('43'));
    for (let i = 0; i < 3; i += 1) await openSession(t, hub);
    first.ws.close();
    await infoWhen(hub, info => info.num_clients === 5);
    await openSession(t, hub, user('42'));
    const metrics = parseMetrics((await hub.request('GET', '/metrics')).text);
    assert.equal(metrics.get('belfry_client_user_connection_limit_total'), 1);
  });

  test('client.connection_rate_limit: 503 for the ones too many in a second; the npm client tries again', async t => {
    const hub = await start(t, { connection_rate_limit: 3 });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => rawSocket(t, hub)));
    const refused = outcomes.filter(({ status }) => status === 'rejected');
    assert.ok(outcomes.length - refused.length >= 3 && refused.length >= 10, `${refused.length} refused`);
    for (const { reason } of refused) assert.equal(reason.status, 503);
    const client = newClient(t, hub);
    client.connect();
    await connected(client);
    const metrics = parseMetrics((await hub.request('GET', '/metrics')).text);
    assert.ok(metrics.get('belfry_client_connection_rate_limit_total') >= refused.length);
  });

  test('client.connection_limit: the npm client gets in when there is room', async t => {
    const hub = await start(t, { connection_limit: 1 });
    const first = await openSession(t, hub);
    const client = newClient(t, hub);
    client.connect();
    await nextEvent(client, 'error');
    assert.equal(client.state, 'connecting');
    first.ws.close();
    await connected(client);
  });
});

describe('times', { concurrency: true }, () => {
  test('client.stale_close_delay: 3502 for who does not connect in time', async t => {
    const hub = await start(t, { stale_close_delay: '100ms' });
    const silent = await openSession(t, hub, { connect: null });
    assert.deepEqual(await silent.closed, { code: 3502, reason: 'stale' });
  });

  test('client.connect_include_server_time', async t => {
    const hub = await start(t, { connect_include_server_time: true });
    const before = Date.now();
    const { connected: { time } } = await openSession(t, hub);
    assert.ok(time >= before - 1 && time <= Date.now() + 1, `${time}`);
  });
});
