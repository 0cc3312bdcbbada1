// The server's pings, and what becomes of those who do not answer.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { infoWhen, openSession, textOf } from './lib/session.mjs';

function startPingHub(t, ping_interval = '400ms', pong_timeout = '200ms') {
  return startHub(t, { config: { client: { insecure: true, ping_interval, pong_timeout } } });
}

const NO_PONG = { code: 3012, reason: 'no pong' };
const BAD_REQUEST = { code: 3501, reason: 'bad request' };

describe('pings', { concurrency: true }, () => {
  test('come again and again while they are answered', async t => {
    const hub = await startPingHub(t, '900ms', '850ms');
    const session = await openSession(t, hub);
    assert.deepEqual([session.connected.ping, session.connected.pong], [1, true]);
    for (let i = 0; i < 4; i += 1) assert.equal(textOf(await session.nextPing()), '{}');
    assert.equal((await session.error('rpc', {})).code, 108, 'the connection still works');
  });

  test('that are not answered end the connection with 3012', async t => {
    const hub = await startPingHub(t);
    const session = await openSession(t, hub, { pongs: false });
    await session.nextPing();
    assert.deepEqual(await session.closed, NO_PONG);
    await infoWhen(hub, info => info.num_clients === 0);
  });

  test('are not answered by other commands', async t => {
    const hub = await startPingHub(t);
    const session = await openSession(t, hub, { pongs: false });
    await session.nextPing();
    await session.ok('subscribe', { channel: 'a' });
    assert.deepEqual(await session.closed, NO_PONG);
  });

  test('that stop being answered end the connection too', async t => {
    const hub = await startPingHub(t, '900ms', '850ms');
    const session = await openSession(t, hub, { pongs: false });
    await session.nextPing();
    session.send('{}');
    await session.nextPing();
    assert.deepEqual(await session.closed, NO_PONG);
    assert.equal(session.log.filter(message => textOf(message) === '{}').length, 2);
  });

  test('a pong that nobody asked for ends the connection with 3501', async t => {
    const hub = await startPingHub(t, '25s', '8s');
    const session = await openSession(t, hub);
    session.send('{}');
    assert.deepEqual(await session.closed, BAD_REQUEST);
  });

  test('a second pong to one ping ends the connection with 3501', async t => {
    const hub = await startPingHub(t, '1s', '900ms');
    const session = await openSession(t, hub, { pongs: false });
    await session.nextPing();
    session.send('{}\n{}');
    assert.deepEqual(await session.closed, BAD_REQUEST);
  });

  test('a pong may come with commands in one message', async t => {
    const hub = await startPingHub(t, '1s', '900ms');
    const session = await openSession(t, hub, { pongs: false });
    await session.nextPing();
    session.send('{"id":7,"rpc":{}}\n{}\n{"id":8,"rpc":{}}');
    assert.equal((await session.replyTo(8)).error.code, 108);
    await session.nextPing();
  });

  test('keep the npm client connected', async t => {
    const hub = await startPingHub(t, '900ms', '850ms');
    const client = newClient(t, hub);
    const ended = [];
    await connect(client);
    client.on('connecting', context => ended.push(context));
    const witness = await openSession(t, hub, { pongs: false });
    assert.deepEqual(await witness.closed, NO_PONG);
    const patient = await openSession(t, hub);
    for (let i = 0; i < 2; i += 1) await patient.nextPing();
    await assert.rejects(client.rpc('x', {}), { code: 108 });
    assert.deepEqual(ended, []);
  });
});
