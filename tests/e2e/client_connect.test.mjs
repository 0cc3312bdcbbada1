// From the handshake to the end of a token: who may connect, as whom, and for how long.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, nextEvent, rawSocket } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { assertServes, openSession, textOf } from './lib/session.mjs';
import { makeToken, SECRET, secondsFromNow } from './lib/token.mjs';

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const withTokens = { token: { hmac_secret_key: SECRET } };
const room = {
  name: 'room',
  presence: true,
  allow_subscribe_for_client: true,
  allow_subscribe_for_anonymous: true,
  allow_presence_for_client: true,
  allow_presence_for_anonymous: true,
  allow_publish_for_client: true,
  allow_publish_for_anonymous: true,
};

function startTokenHub(t, client = {}) {
  return startHub(t, { config: { client: { ...withTokens, ...client }, channel: { namespaces: [room] } } });
}

/** Sends one text on a new socket and returns how the hub closes it. */
async function closeAfter(t, hub, ...texts) {
  const socket = await rawSocket(t, hub);
  for (const text of texts) socket.send(text);
  return socket.closed;
}

const connectWith = token => ({ id: 1, connect: { token } });
const BAD_REQUEST = { code: 3501, reason: 'bad request' };
const INVALID_TOKEN = { code: 3500, reason: 'invalid token' };

describe('without a token', { concurrency: true }, () => {
  test('an insecure hub takes everybody and says what a client needs to know', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const [one, other] = [await openSession(t, hub), await openSession(t, hub)];
    const { client, version, ...rest } = one.connected;
    assert.match(client, UUID_V4);
    assert.match(version, /^Belfry \d+\.\d+\.\d+/);
    assert.deepEqual(rest, { ping: 25, pong: true });
    assert.notEqual(other.id, client);
  });

  test('nobody connects when no option allows it', async t => {
    const hub = await startTokenHub(t);
    assert.deepEqual(await closeAfter(t, hub, { id: 1, connect: {} }), BAD_REQUEST);
    assert.deepEqual(await closeAfter(t, hub, connectWith('')), BAD_REQUEST);
  });

  test('the anonymous user connects where that is allowed', async t => {
    const hub = await startTokenHub(t, { allow_anonymous_connect_without_token: true });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'room:1' });
    const { presence } = await session.ok('presence', { channel: 'room:1' });
    assert.deepEqual(presence, { [session.id]: { user: '', client: session.id } });
  });

  test('a bad token is refused also where none is needed', async t => {
    const hub = await startTokenHub(t, { allow_anonymous_connect_without_token: true });
    assert.deepEqual(await closeAfter(t, hub, connectWith('garbage')), INVALID_TOKEN);
  });
});

describe('with a token', { concurrency: true }, () => {
  test('its user and its info, byte for byte, stand in presence and in publications', async t => {
    const hub = await startTokenHub(t);
    const info = '{"price":1.10,"big":1234567890123456789,"text":"\\u00e9\\/\\n\\"ü","list":[1e3, null]}';
    const session = await openSession(t, hub, { connect: { token: makeToken(`{"sub":"4\\u0032","info":${info}}`) } });
    await session.ok('subscribe', { channel: 'room:1' });
    const expected = `{"user":"42","client":"${session.id}","conn_info":${info}}`;

    const reply = await session.call('presence', { channel: 'room:1' });
    assert.equal(textOf(reply), `{"id":${reply.id},"presence":{"presence":{"${session.id}":${expected}}}}`);

    await session.ok('publish', { channel: 'room:1', data: 1 });
    assert.equal(textOf(await session.nextPush()), `{"push":{"channel":"room:1","pub":{"data":1,"info":${expected}}}}`);
  });

  test('its info may hold numbers beyond 64 bits', async t => {
    const hub = await startTokenHub(t);
    const session = await openSession(t, hub, { connect: { token: makeToken('{"sub":"42","info":[12345678901234567890,1e999]}') } });
    await session.ok('subscribe', { channel: 'room:1' });
    assert.match(textOf(await session.call('presence', { channel: 'room:1' })), /"conn_info":\[12345678901234567890,1e999\]/);
  });

  test('info with line ends stays on one line', async t => {
    const hub = await startTokenHub(t);
    const session = await openSession(t, hub, { connect: { token: makeToken('{"sub":"42","info":{\n"a":\r\n1.10}}') } });
    await session.ok('subscribe', { channel: 'room:1' });
    const reply = await session.call('presence', { channel: 'room:1' });
    assert.match(textOf(reply), /"conn_info":\{"a":1\.10\}/);
  });

  test('a token without a user is the anonymous one', async t => {
    const hub = await startTokenHub(t);
    const session = await openSession(t, hub, { connect: { token: makeToken({ info: 'x' }) } });
    await session.ok('subscribe', { channel: 'room:1' });
    const { presence } = await session.ok('presence', { channel: 'room:1' });
    assert.deepEqual(presence[session.id], { user: '', client: session.id, conn_info: 'x' });
  });

  const good = { sub: '42' };
  const [header, payload, signature] = makeToken(good).split('.');
  const forged = Buffer.from(JSON.stringify({ sub: 'admin' })).toString('base64url');
  const invalid = {
    'signed with another secret': makeToken(good, { secret: 'another-secret-that-is-long-enough-too' }),
    'with other claims than were signed': `${header}.${forged}.${signature}`,
    'of alg none': makeToken(good, { alg: 'none' }),
    'of alg none with a signature': `${makeToken(good, { alg: 'none' })}${signature}`,
    'without its signature': `${header}.${payload}.`,
    'with a short signature': `${header}.${payload}.${signature.slice(0, -4)}`,
    'of two parts': `${header}.${payload}`,
    'of four parts': `${header}.${payload}.${signature}.${signature}`,
    'that is garbage': 'garbage',
    'that is dots': '..',
    'of 60 KB': `${header}.${'A'.repeat(60_000)}.${signature}`,
    'whose claims are a list': makeToken('[1]'),
    'whose claims are no JSON': makeToken('{"sub":"42"'),
    'whose user is a number': makeToken({ sub: 42 }),
    'whose user has a NUL': makeToken('{"sub":"a\\u0000b"}'),
    'whose exp is a text': makeToken({ sub: '42', exp: 'tomorrow' }),
    'for a subscription': makeToken({ sub: '42', channel: 'room:1' }),
  };
  test('an invalid one ends with 3500', async t => {
    const hub = await startTokenHub(t);
    for (const [what, token] of Object.entries(invalid)) {
      await t.test(`a token ${what}`, async tt => {
        assert.deepEqual(await closeAfter(tt, hub, connectWith(token)), INVALID_TOKEN);
      });
    }
    await openSession(t, hub, { connect: { token: makeToken(good) } });
  });

  test('a hub without a secret trusts none, not even one signed with the empty secret', async t => {
    const hub = await startHub(t, { config: { client: { allow_anonymous_connect_without_token: true } } });
    assert.deepEqual(await closeAfter(t, hub, connectWith(makeToken(good))), INVALID_TOKEN);
    assert.deepEqual(await closeAfter(t, hub, connectWith(makeToken(good, { secret: '' }))), INVALID_TOKEN);
  });

  test('one whose time is over, or has not come, is answered with error 109', async t => {
    const hub = await startTokenHub(t);
    const early = { sub: '42', nbf: secondsFromNow(1000) };
    const late = { sub: '42', exp: secondsFromNow(-1) };
    for (const claims of [early, late]) {
      const session = await openSession(t, hub, { connect: null });
      assert.deepEqual(await session.error('connect', { token: makeToken(claims) }), { code: 109, message: 'token expired' });
      session.send({ id: 2, connect: { token: makeToken(good) } });
      assert.deepEqual(await session.closed, BAD_REQUEST, 'the connection cannot be used after the error');
    }
    await openSession(t, hub, { connect: { token: makeToken({ sub: '42', nbf: secondsFromNow(-1) }) } });
  });

  test('the npm client gets a new one from getToken when its own has expired', async t => {
    const hub = await startTokenHub(t);
    let asked = 0;
    const client = newClient(t, hub, {
      token: makeToken({ sub: '42', exp: secondsFromNow(-10) }),
      getToken: async () => {
        asked += 1;
        return makeToken({ sub: '42', exp: secondsFromNow(1000) });
      },
    });
    await connect(client);
    assert.equal(asked, 1);
  });

  test('the npm client ends with the codes of invalid tokens', async t => {
    const hub = await startTokenHub(t);
    const client = newClient(t, hub, { token: makeToken(good, { alg: 'none' }) });
    await assert.rejects(connect(client), { code: 3500, reason: 'invalid token' });
  });
});

describe('a connection whose token ends', { concurrency: true }, () => {
  const lasting = (seconds, sub = '42') => makeToken({ sub, exp: secondsFromNow(seconds) });

  test('says when', async t => {
    const hub = await startTokenHub(t);
    const { connected: { expires, ttl } } = await openSession(t, hub, { connect: { token: lasting(100) } });
    assert.equal(expires, true);
    assert.ok(Number.isInteger(ttl) && ttl > 0 && ttl <= 100, `ttl ${ttl}`);
  });

  test('is kept by a refresh, and otherwise ends with 3005', async t => {
    const hub = await startTokenHub(t, { expired_close_delay: '4s' });
    const client = newClient(t, hub, { token: lasting(2), getToken: async () => lasting(1000) });
    const ended = [];
    client.on('disconnected', context => ended.push(context));
    client.on('connecting', context => ended.push(context));
    await connect(client);
    ended.length = 0;
    const witness = await openSession(t, hub, { connect: { token: lasting(2) } });
    assert.deepEqual(await witness.closed, { code: 3005, reason: 'connection expired' });
    await client.presence('room:1');
    assert.deepEqual(ended, []);
  });

  test('ends with 3005 when nobody refreshes it', async t => {
    const hub = await startTokenHub(t, { expired_close_delay: '50ms' });
    const session = await openSession(t, hub, { connect: { token: lasting(2) } });
    assert.deepEqual(await session.closed, { code: 3005, reason: 'connection expired' });
    await openSession(t, hub, { connect: { token: lasting(100) } });
  });

  test('a refresh answers with the new end', async t => {
    const hub = await startTokenHub(t);
    const session = await openSession(t, hub, { connect: { token: lasting(10) } });
    const { expires, ttl } = await session.ok('refresh', { token: lasting(1000) });
    assert.equal(expires, true);
    assert.ok(ttl > 900 && ttl <= 1000, `ttl ${ttl}`);
  });

  test('a refresh with an endless token ends the expiry', async t => {
    const hub = await startTokenHub(t, { expired_close_delay: '50ms' });
    const session = await openSession(t, hub, { connect: { token: lasting(2) } });
    const result = await session.ok('refresh', { token: makeToken({ sub: '42' }) });
    assert.equal(result.expires, undefined);
    assert.equal(result.ttl, undefined);
    const witness = await openSession(t, hub, { connect: { token: lasting(2) } });
    await witness.closed;
    await session.ok('presence', { channel: 'room:1' });
  });

  const refused = {
    'of another user': [lasting(100, '43'), INVALID_TOKEN],
    'of the anonymous user': [makeToken({ exp: secondsFromNow(100) }), INVALID_TOKEN],
    'that is invalid': ['garbage', INVALID_TOKEN],
    'that has expired': [lasting(-1), { code: 3005, reason: 'connection expired' }],
    'that is missing': ['', BAD_REQUEST],
  };
  test('a refresh with a wrong token ends it', async t => {
    const hub = await startTokenHub(t);
    for (const [what, [token, expected]] of Object.entries(refused)) {
      await t.test(`a token ${what}`, async tt => {
        const session = await openSession(tt, hub, { connect: { token: lasting(100) } });
        session.send({ id: 2, refresh: { token } });
        assert.deepEqual(await session.closed, expected);
      });
    }
  });
});

describe('the order of commands', { concurrency: true }, () => {
  test('connect comes first, and once', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const first = { id: 1, connect: {} };
    const wrong = {
      'subscribe first': [{ id: 1, subscribe: { channel: 'a' } }],
      'publish first': [{ id: 1, publish: { channel: 'a', data: 1 } }],
      'refresh first': [{ id: 1, refresh: { token: 'a' } }],
      'send first': [{ send: { data: 1 } }],
      'a pong first': ['{}'],
      'connect twice': [first, { id: 2, connect: {} }],
      'connect twice in one message': ['{"id":1,"connect":{}}\n{"id":2,"connect":{}}'],
      'a subscribe in front of connect in one message': ['{"id":1,"subscribe":{"channel":"a"}}\n{"id":2,"connect":{}}'],
    };
    for (const [what, messages] of Object.entries(wrong)) {
      await t.test(what, async tt => assert.deepEqual(await closeAfter(tt, hub, ...messages), BAD_REQUEST));
    }
    await assertServes(t, hub);
  });

  test('what is no command ends with 3501', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const wrong = {
      'no JSON': 'hello',
      'half a command': '{"id":2,"presence":{"channel":"a"}',
      'something behind the command': '{"id":2,"rpc":{}}}',
      'an empty message': '',
      'a line end only': '\n',
      'blanks only': '  ',
      'an empty line between commands': '{"id":2,"rpc":{}}\n\n{"id":3,"rpc":{}}',
      'a list': '[]',
      'a number': '7',
      'an unknown method': '{"id":2,"dance":{}}',
      'the method ping': '{"id":2,"ping":{}}',
      'two methods': '{"id":2,"rpc":{},"presence":{"channel":"a"}}',
      'no id': '{"rpc":{}}',
      'the id 0': '{"id":0,"rpc":{}}',
      'a negative id': '{"id":-1,"rpc":{}}',
      'an id beyond 32 bits': '{"id":4294967296,"rpc":{}}',
      'a text as id': '{"id":"2","rpc":{}}',
      'an id alone': '{"id":2}',
      'parameters that are no object': '{"id":2,"subscribe":"a"}',
      'a channel that is no text': '{"id":2,"subscribe":{"channel":7}}',
      'no channel': '{"id":2,"subscribe":{}}',
      'an empty channel': '{"id":2,"subscribe":{"channel":""}}',
      'to unsubscribe from nothing': '{"id":2,"unsubscribe":{}}',
      'to publish nothing': '{"id":2,"publish":{"channel":"a"}}',
      'to publish nowhere': '{"id":2,"publish":{"data":1}}',
      'a negative offset': '{"id":2,"subscribe":{"channel":"a","offset":-1}}',
      'a lone surrogate': '{"id":2,"publish":{"channel":"a","data":"\\ud800"}}',
      'a thousand nested lists': `{"id":2,"publish":{"channel":"a","data":${'['.repeat(1000)}${']'.repeat(1000)}}}`,
    };
    for (const [what, text] of Object.entries(wrong)) {
      await t.test(what, async tt => {
        const session = await openSession(tt, hub);
        session.send(text);
        assert.deepEqual(await session.closed, BAD_REQUEST);
      });
    }
    await assertServes(t, hub);
  });

  test('what is unusual, but a command, is done', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const unusual = {
      'the id last': '{"rpc":{},"id":2}',
      'unknown members': '{"flag":[1],"rpc":{"method":"x"},"id":2,"frame":null}',
      'blanks': ' { "id" : 2 , "rpc" : { } } ',
      'a line end behind it': '{"id":2,"rpc":{}}\n',
      'the greatest id': '{"id":4294967295,"rpc":{}}',
      'an escaped method': '{"id":2,"\\u0072pc":{}}',
    };
    for (const [what, text] of Object.entries(unusual)) {
      await t.test(what, async tt => {
        const session = await openSession(tt, hub);
        session.send(text);
        const reply = await session.replyTo(JSON.parse(text).id);
        assert.deepEqual(reply.error, { code: 108, message: 'not available' });
      });
    }
  });

  test('what nothing handles: rpc 108, sub_refresh 103, send 3508', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const session = await openSession(t, hub);
    assert.deepEqual(await session.error('rpc', { method: 'x', data: 1 }), { code: 108, message: 'not available' });
    assert.deepEqual(await session.error('sub_refresh', { channel: 'a', token: 'x' }), { code: 103, message: 'permission denied' });
    session.send({ send: { data: 1 } });
    assert.deepEqual(await session.closed, { code: 3508, reason: 'not available' });
  });

  test('who says nothing, or was refused, is stale', async t => {
    const hub = await startTokenHub(t, { stale_close_delay: '200ms' });
    const stale = { code: 3502, reason: 'stale' };
    const silent = await openSession(t, hub, { connect: null });
    const connected = await openSession(t, hub, { connect: { token: makeToken({ sub: '42' }) } });
    const refused = await openSession(t, hub, { connect: null });
    await refused.error('connect', { token: makeToken({ sub: '42', exp: secondsFromNow(-1) }) });
    assert.deepEqual(await silent.closed, stale);
    assert.deepEqual(await refused.closed, stale);
    await connected.ok('presence', { channel: 'room:1' });
  });

  test('a shutdown ends every connection with 3001', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    const connected = await openSession(t, hub);
    const silent = await openSession(t, hub, { connect: null });
    const client = newClient(t, hub);
    await connect(client);
    const reconnecting = nextEvent(client, 'connecting');
    await hub.stop();
    const shutdown = { code: 3001, reason: 'shutdown' };
    assert.deepEqual(await connected.closed, shutdown);
    assert.deepEqual(await silent.closed, shutdown);
    assert.equal((await reconnecting).code, 3001);
  });
});
