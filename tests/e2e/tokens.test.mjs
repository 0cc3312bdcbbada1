// Connection and subscription tokens: whose signature counts, for whom, and for how long.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';

import { connect, connected, newClient, newSubscription, nextEvent, rawSocket, subscribe } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken, newKeys, SECRET, secondsFromNow } from './lib/token.mjs';

const OTHER_SECRET = 'another-secret-of-the-tests-also-long-enough';
const INVALID_TOKEN = { code: 3500, reason: 'invalid token' };
const channel = { without_namespace: { presence: true, allow_presence_for_client: true, allow_presence_for_anonymous: true } };

const start = (t, client, more = {}) => startHub(t, { config: { client, channel, ...more } });
const startWithSecret = (t, client = {}, more = {}) => start(t, { token: { hmac_secret_key: SECRET }, ...client }, more);

/** The npm client connects with that token. */
const admits = (t, hub, token) => connect(newClient(t, hub, { token }));
const refuses = (t, hub, token, what) => assert.rejects(admits(t, hub, token), INVALID_TOKEN, what);

/** Who the hub says that the session is. */
async function infoOf(session, name = 'who') {
  await session.ok('subscribe', { channel: name, token: makeToken({ sub: session.user ?? '42', channel: name }) });
  return (await session.ok('presence', { channel: name })).presence[session.id];
}

describe('signatures', { concurrency: true }, () => {
  const rsa = newKeys('RS256');
  const otherRsa = newKeys('RS256');

  test('HS256, HS384 and HS512 with the secret', async t => {
    const hub = await startWithSecret(t);
    for (const alg of ['HS256', 'HS384', 'HS512']) {
      await admits(t, hub, makeToken({ sub: '42' }, { alg }));
      await refuses(t, hub, makeToken({ sub: '42' }, { alg, secret: OTHER_SECRET }), alg);
    }
  });

  test('RS256, RS384 and RS512 with the RSA key', async t => {
    const hub = await start(t, { token: { rsa_public_key: rsa.pem } });
    for (const alg of ['RS256', 'RS384', 'RS512']) {
      await admits(t, hub, makeToken({ sub: '42' }, { alg, key: rsa.privateKey }));
      await refuses(t, hub, makeToken({ sub: '42' }, { alg, key: otherRsa.privateKey }), alg);
    }
  });

  for (const alg of ['ES256', 'ES384', 'ES512']) {
    test(`${alg} with a key on its curve, and no other ES`, async t => {
      const keys = newKeys(alg);
      const hub = await start(t, { token: { ecdsa_public_key: keys.pem } });
      await admits(t, hub, makeToken({ sub: '42' }, { alg, key: keys.privateKey }));
      await refuses(t, hub, makeToken({ sub: '42' }, { alg, key: newKeys(alg).privateKey }));
      for (const other of ['ES256', 'ES384', 'ES512'].filter(name => name !== alg)) {
        await refuses(t, hub, makeToken({ sub: '42' }, { alg: other, key: keys.privateKey }), other);
      }
    });
  }

  test('several kinds of keys at once', async t => {
    const ec = newKeys('ES256');
    const hub = await startWithSecret(t, { token: { hmac_secret_key: SECRET, rsa_public_key: rsa.pem, ecdsa_public_key: ec.pem } });
    await admits(t, hub, makeToken({ sub: '42' }));
    await admits(t, hub, makeToken({ sub: '42' }, { alg: 'RS256', key: rsa.privateKey }));
    await admits(t, hub, makeToken({ sub: '42' }, { alg: 'ES256', key: ec.privateKey }));
  });

  test('the token does not choose: no none, no public key as secret, no algorithm without a key, no key of its own', async t => {
    const hub = await start(t, { token: { rsa_public_key: rsa.pem } });
    const jwk = otherRsa.publicKey.export({ format: 'jwk' });
    const bad = {
      none: makeToken({ sub: '42' }, { alg: 'none' }),
      'None with a signature': makeToken({ sub: '42' }, { alg: 'HS256', header: { alg: 'None' } }),
      'HS256 with the PEM of the RSA key': makeToken({ sub: '42' }, { secret: rsa.pem }),
      'HS256 with that PEM without its last line end': makeToken({ sub: '42' }, { secret: rsa.pem.trimEnd() }),
      'HS256 with nothing': makeToken({ sub: '42' }, { secret: '' }),
      'ES256 of a key that nobody knows': makeToken({ sub: '42' }, { alg: 'ES256', key: newKeys('ES256').privateKey }),
      'RS256 with a key in its header': makeToken({ sub: '42' }, { alg: 'RS256', key: otherRsa.privateKey, header: { jwk } }),
      'RS256 that wants what the hub does not know': makeToken({ sub: '42' }, { alg: 'RS256', key: rsa.privateKey, header: { crit: ['x'], x: 1 } }),
      'HS256 under the name of RS256': makeToken({ sub: '42' }, { secret: rsa.pem, header: { alg: 'RS256' } }),
    };
    for (const [what, token] of Object.entries(bad)) await refuses(t, hub, token, what);
    await admits(t, hub, makeToken({ sub: '42' }, { alg: 'RS256', key: rsa.privateKey }));
  });

  test('the previous secret is good beside the new one, until its time is over', async t => {
    const previous = hmac_previous_secret_key_valid_until => startWithSecret(t, {
      token: { hmac_secret_key: SECRET, hmac_previous_secret_key: OTHER_SECRET, hmac_previous_secret_key_valid_until },
    });
    const old = makeToken({ sub: '42' }, { secret: OTHER_SECRET });
    const [endless, lasting, over] = [await previous(0), await previous(secondsFromNow(1000)), await previous(secondsFromNow(-10))];
    for (const hub of [endless, lasting]) {
      await admits(t, hub, old);
      await admits(t, hub, makeToken({ sub: '42' }));
      await refuses(t, hub, makeToken({ sub: '42' }, { secret: 'a-third-secret-that-nobody-has-configured' }));
    }
    await refuses(t, over, old);
    await admits(t, over, makeToken({ sub: '42' }));
  });

  test('insecure_skip_token_signature_verify believes every claim, but nothing that is no token', async t => {
    const hub = await start(t, { insecure_skip_token_signature_verify: true });
    const session = await openSession(t, hub, { connect: { token: makeToken({ sub: '42', info: 'i' }, { alg: 'none' }) } });
    assert.deepEqual(await infoOf(session), { user: '42', client: session.id, conn_info: 'i' });
    await admits(t, hub, makeToken({ sub: '42' }, { secret: 'whatever' }));
    await refuses(t, hub, 'no token');
    const late = await openSession(t, hub, { connect: null });
    assert.equal((await late.error('connect', { token: makeToken({ sub: '42', exp: secondsFromNow(-5) }, { alg: 'none' }) })).code, 109);
  });
});

describe('claims', { concurrency: true }, () => {
  const demands = {
    audience: [{ audience: 'belfry' }, ['belfry', ['x', 'belfry']], ['belfry2', 'bel', ['x'], [], undefined, 7, '']],
    audience_regex: [{ audience_regex: '^bel' }, ['belfry', ['x', 'bell']], ['a bel', ['x'], undefined]],
    issuer: [{ issuer: 'https://id.example' }, ['https://id.example'], ['https://id.example/', undefined, ['https://id.example'], '']],
    issuer_regex: [{ issuer_regex: '^https://(a|b)[.]example$' }, ['https://a.example'], ['https://c.example', 'https://a.example.evil', undefined]],
  };
  for (const [name, [options, good, bad]] of Object.entries(demands)) {
    test(`${name} is what a token must have`, async t => {
      const hub = await startWithSecret(t, { token: { hmac_secret_key: SECRET, ...options } });
      const claim = name.startsWith('aud') ? 'aud' : 'iss';
      for (const value of good) await admits(t, hub, makeToken({ sub: '42', [claim]: value }));
      for (const value of bad) await refuses(t, hub, makeToken({ sub: '42', [claim]: value }), JSON.stringify(value));
    });
  }

  test('user_id_claim names the user instead of sub', async t => {
    const hub = await startWithSecret(t, { token: { hmac_secret_key: SECRET, user_id_claim: 'uid' } });
    const watcher = await openSession(t, hub, { connect: { token: makeToken({ uid: 'ada', sub: 'somebody else' }) } });
    await watcher.ok('subscribe', { channel: 'who', token: makeToken({ uid: 'ada', channel: 'who' }) });
    assert.equal((await watcher.ok('presence', { channel: 'who' })).presence[watcher.id].user, 'ada');
    await refuses(t, hub, makeToken({ uid: 42 }));
  });

  test('nbf and exp have their time, and 109 asks for another token', async t => {
    const hub = await startWithSecret(t);
    await admits(t, hub, makeToken({ sub: '42', nbf: secondsFromNow(-5), exp: secondsFromNow(100) }));
    for (const claims of [{ nbf: secondsFromNow(100) }, { exp: secondsFromNow(-1) }, { exp: secondsFromNow(0) }, { exp: 1.5 }]) {
      const session = await openSession(t, hub, { connect: null });
      assert.deepEqual(await session.error('connect', { token: makeToken({ sub: '42', ...claims }) }), { code: 109, message: 'token expired' });
    }
  });

  test('expire_at is the end of the connection instead of exp; 0: none', async t => {
    const hub = await startWithSecret(t);
    const longer = await openSession(t, hub, { connect: { token: makeToken({ sub: '42', exp: secondsFromNow(10), expire_at: secondsFromNow(1000) }) } });
    assert.ok(longer.connected.expires && longer.connected.ttl > 900, JSON.stringify(longer.connected));
    const endless = await openSession(t, hub, { connect: { token: makeToken({ sub: '42', exp: secondsFromNow(10), expire_at: 0 }) } });
    assert.deepEqual([endless.connected.expires, endless.connected.ttl], [undefined, undefined]);
    const over = await openSession(t, hub, { connect: null });
    assert.deepEqual(await over.error('connect', { token: makeToken({ sub: '42', expire_at: secondsFromNow(-5) }) }), { code: 110, message: 'expired' });
  });

  test('b64info is info in base64', async t => {
    const hub = await startWithSecret(t);
    const info = '{"name":"Zoë"}';
    const session = await openSession(t, hub, { connect: { token: makeToken({ sub: '42', b64info: Buffer.from(info).toString('base64') }) } });
    assert.deepEqual((await infoOf(session)).conn_info, JSON.parse(info));
    await refuses(t, hub, makeToken({ sub: '42', b64info: '####' }));
  });

  test('disallow_anonymous_connection_tokens: 3507', async t => {
    const hub = await startWithSecret(t, { disallow_anonymous_connection_tokens: true });
    for (const claims of [{}, { sub: '' }, { sub: null }]) {
      await assert.rejects(admits(t, hub, makeToken(claims)), { code: 3507, reason: 'permission denied' });
    }
    await admits(t, hub, makeToken({ sub: '42' }));
  });
});

describe('jwks_public_endpoint', { concurrency: true }, () => {
  const jwk = (keys, kid, more = {}) => ({ ...keys.publicKey.export({ format: 'jwk' }), kid, use: 'sig', ...more });

  /** keys.list is what it answers; keys.n how often it was asked. */
  async function startKeyServer(t, list) {
    const keys = { list, n: 0, status: 200 };
    const server = http.createServer((incoming, outgoing) => {
      keys.n += 1;
      outgoing.writeHead(keys.status, { 'content-type': 'application/json' });
      outgoing.end(JSON.stringify({ keys: keys.list }));
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const end = () => { server.closeAllConnections(); server.close(); };
    t.after(end);
    keys.url = `http://127.0.0.1:${server.address().port}/jwks.json`;
    return keys;
  }

  const [rsa, ec, ed] = [newKeys('RS256'), newKeys('ES384'), newKeys('EdDSA')];
  const set = [jwk(rsa, 'r'), jwk(ec, 'e'), jwk(ed, 'd')];
  const signed = (kid, alg, keys) => makeToken({ sub: '42' }, { alg, kid, key: keys.privateKey });

  test('RSA, EC and Ed25519 keys are found by kid, and fetched once for all who come', async t => {
    const server = await startKeyServer(t, set);
    const hub = await start(t, { token: { jwks_public_endpoint: server.url } });
    await Promise.all([
      ...Array.from({ length: 10 }, () => admits(t, hub, signed('r', 'RS256', rsa))),
      admits(t, hub, signed('r', 'RS512', rsa)),
      admits(t, hub, signed('e', 'ES384', ec)),
      admits(t, hub, signed('d', 'EdDSA', ed)),
    ]);
    assert.equal(server.n, 1);
    await refuses(t, hub, signed('e', 'RS256', rsa), 'the key of that kid is another');
    await refuses(t, hub, signed('r', 'RS256', newKeys('RS256')), 'another key signed it');
    await refuses(t, hub, makeToken({ sub: '42' }), 'no kid, and a shared secret');
    await refuses(t, hub, makeToken({ sub: '42' }, { kid: 'r', secret: rsa.pem }), 'the public key as secret');
    await refuses(t, hub, makeToken({ sub: '42' }, { alg: 'none', kid: 'r' }), 'none');
    await refuses(t, hub, makeToken({ sub: '42' }, { alg: 'RS256', key: rsa.privateKey }), 'no kid');
  });

  test('with it the other keys do not count', async t => {
    const server = await startKeyServer(t, set);
    const hub = await start(t, { token: { jwks_public_endpoint: server.url, hmac_secret_key: SECRET } });
    await refuses(t, hub, makeToken({ sub: '42' }));
    await admits(t, hub, signed('r', 'RS256', rsa));
  });

  test('many unknown kids cause few fetches, and disturb nobody', async t => {
    const server = await startKeyServer(t, set);
    const hub = await start(t, { token: { jwks_public_endpoint: server.url } });
    await admits(t, hub, signed('r', 'RS256', rsa));
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const socket = await rawSocket(t, hub);
      socket.send({ id: 1, connect: { token: signed(`made-up-${i}`, 'RS256', rsa) } });
      assert.deepEqual(await socket.closed, INVALID_TOKEN);
    }));
    assert.ok(server.n <= 2, `${server.n} fetches`);
    await admits(t, hub, signed('r', 'RS256', rsa));
  });

  test('a key that has come since is fetched when it is asked for', async t => {
    const server = await startKeyServer(t, [jwk(rsa, 'r')]);
    const hub = await start(t, { token: { jwks_public_endpoint: server.url }, ping_interval: '2s', pong_timeout: '1900ms' });
    const clock = await openSession(t, hub, { connect: { token: signed('r', 'RS256', rsa) } });
    server.list = set;
    // The first unknown kid may fall into the interval in which no other set is fetched: then the client is told so, and comes again.
    const limit = Date.now() + 40_000;
    for (;;) {
      const socket = await rawSocket(t, hub);
      socket.send({ id: 1, connect: { token: signed('e', 'ES384', ec) } });
      const reply = await socket.next().catch(error => error);
      if (reply.connect) break;
      assert.ok(Date.now() < limit, String(reply));
      await clock.nextPing();
    }
    assert.equal(server.n, 2);
  });

  test('a hub that goes down while keys are fetched ends in good order', async t => {
    const gate = await startGate(t);
    const hub = await start(t, { token: { jwks_public_endpoint: gate.url } });
    const sockets = await Promise.all([1, 2, 3].map(() => rawSocket(t, hub)));
    for (const socket of sockets) socket.send({ id: 1, connect: { token: signed('r', 'RS256', rsa) } });
    await gate.next();
    await hub.stop();
    for (const socket of sockets) assert.deepEqual(await socket.closed, { code: 3001, reason: 'shutdown' });
  });

  test('while it is down clients are told to try again, and get in when it is up', async t => {
    const server = await startKeyServer(t, set);
    server.status = 503;
    const hub = await start(t, { token: { jwks_public_endpoint: server.url } });
    const session = await openSession(t, hub, { connect: null });
    assert.deepEqual(await session.error('connect', { token: signed('r', 'RS256', rsa) }), { code: 100, message: 'internal server error', temporary: true });
    const client = newClient(t, hub, { token: signed('r', 'RS256', rsa) });
    client.connect();
    await nextEvent(client, 'error');
    server.status = 200;
    await connected(client);
  });
});

describe('refresh', { concurrency: true }, () => {
  test('the npm client brings the tokens of getToken, and stays', async t => {
    const hub = await startWithSecret(t);
    const tokens = [1, 2, 1000].map(seconds => makeToken({ sub: '42', exp: secondsFromNow(seconds + 1) }));
    let n = 0;
    const client = newClient(t, hub, { token: tokens[0], getToken: async () => tokens[Math.min(++n, 2)] });
    const events = [];
    await connect(client);
    for (const name of ['connecting', 'disconnected']) client.on(name, context => events.push(context));
    const witness = await openSession(t, await startWithSecret(t, { expired_close_delay: '4s' }), { connect: { token: makeToken({ sub: '42', exp: secondsFromNow(2) }) } });
    assert.deepEqual(await witness.closed, { code: 3005, reason: 'connection expired' });
    assert.ok(n >= 2, `${n} refreshes`);
    assert.deepEqual(events, []);
  });

  test('without one the connection ends with 3005, and comes back with a new token', async t => {
    const hub = await startWithSecret(t, { expired_close_delay: '10ms' });
    let release;
    const held = new Promise(resolve => { release = resolve; });
    const client = newClient(t, hub, { token: makeToken({ sub: '42', exp: secondsFromNow(2) }), getToken: () => held });
    await connect(client);
    const connecting = nextEvent(client, 'connecting');
    assert.equal((await connecting).code, 3005);
    release(makeToken({ sub: '42', exp: secondsFromNow(1000) }));
    await connected(client);
  });

  test('a token with other server-side channels means to connect again: 3010', async t => {
    const hub = await startWithSecret(t);
    const token = channels => makeToken({ sub: '42', channels, exp: secondsFromNow(100) });
    for (const channels of [['a'], ['a', 'b', 'c'], [], ['a', 'c'], undefined]) {
      const session = await openSession(t, hub, { connect: { token: token(['a', 'b']) } });
      session.send({ id: 2, refresh: { token: token(channels) } });
      assert.deepEqual(await session.closed, { code: 3010, reason: 'insufficient state' }, JSON.stringify(channels));
    }
    const session = await openSession(t, hub, { connect: { token: token(['a', 'b']) } });
    await session.ok('refresh', { token: token(['b', 'a']) });
  });
});

describe('the log says why a connection token was refused', { concurrency: true }, () => {
  const cases = {
    'its exp is over': { exp: 5 },
    'its nbf is in the future': { nbf: secondsFromNow(600) },
    'its expire_at is over': { expire_at: 5 },
    'it names no user': { sub: '' },
    'subs.*.override.join_leave: expected': { subs: { a: { override: { join_leave: 1 } } } },
  };
  for (const [why, claims] of Object.entries(cases)) {
    test(why, async t => {
      const hub = await startWithSecret(t, { disallow_anonymous_connection_tokens: true });
      const session = await openSession(t, hub, { connect: null });
      session.send({ id: 1, connect: { token: makeToken({ sub: '42', ...claims }) } });
      await hub.waitForLine(line => / token_refused kind=connection /.test(line) && line.includes(`why="${why}`));
    });
  }

  test('also one of another user in a refresh', async t => {
    const hub = await startWithSecret(t);
    const session = await openSession(t, hub, { connect: { token: makeToken({ sub: '42', exp: secondsFromNow(600) }) } });
    session.send({ id: 2, refresh: { token: makeToken({ sub: '43', exp: secondsFromNow(600) }) } });
    assert.equal((await session.closed).code, 3500);
    await hub.waitForLine(line => /kind=connection why="it is for another user" user=42 /.test(line));
  });

  test('and what is wrong with the channels of a good one', async t => {
    const hub = await startWithSecret(t);
    const session = await openSession(t, hub, { connect: null });
    session.send({ id: 1, connect: { token: makeToken({ sub: '42', subs: { 'nowhere:1': {} } }) } });
    assert.equal((await session.replyTo(1)).error.code, 102);
    await hub.waitForLine(line => /info client server_subscription_refused why="its namespace is not configured" channel=nowhere:1 named_by=token user=42 /.test(line));
  });
});

describe('subscription tokens', { concurrency: true }, () => {
  const subToken = (claims, options) => makeToken({ sub: '42', channel: '$news', ...claims }, options);
  const session42 = (t, hub) => openSession(t, hub, { connect: { token: makeToken({ sub: '42' }) } });

  test('open a channel that nothing else opens, with info and data, and the npm client gets them', async t => {
    const hub = await startWithSecret(t);
    const client = newClient(t, hub, { token: makeToken({ sub: '42' }) });
    await connect(client);
    const asked = [];
    const sub = newSubscription(client, '$news', { getToken: async ({ channel: name }) => { asked.push(name); return subToken({ info: { role: 'x' }, data: { hello: [1.0] } }); } });
    assert.deepEqual((await subscribe(sub)).data, { hello: [1] });
    assert.deepEqual(asked, ['$news']);
    const [info] = Object.values((await sub.presence()).clients);
    assert.deepEqual(info.chanInfo, { role: 'x' });
    const session = await session42(t, hub);
    const denied = { code: 103, message: 'permission denied' };
    assert.deepEqual(await session.error('subscribe', { channel: '$news' }), denied, 'without a token');
    assert.deepEqual(await session.error('subscribe', { channel: 'news' }), denied, 'without a token');
    await session.ok('subscribe', { channel: 'news', token: subToken({ channel: 'news' }) });
  });

  test('are good for one user, one channel and, with client, one connection: 3500', async t => {
    const hub = await startWithSecret(t);
    const wrong = {
      'another user': { sub: '43' },
      'no user': { sub: undefined },
      'another channel': { channel: '$other' },
      'another connection': { client: '00000000-0000-4000-8000-000000000000' },
    };
    for (const [what, claims] of Object.entries(wrong)) {
      const session = await session42(t, hub);
      session.send({ id: 5, subscribe: { channel: '$news', token: subToken(claims) } });
      assert.deepEqual(await session.closed, INVALID_TOKEN, what);
    }
    const session = await session42(t, hub);
    await session.ok('subscribe', { channel: '$news', token: subToken({ client: session.id }) });
  });

  test('that are bad are denied with 103, and those whose time is over with 109', async t => {
    const hub = await startWithSecret(t);
    const session = await session42(t, hub);
    const denied = { 'another secret': subToken({}, { secret: OTHER_SECRET }), none: subToken({}, { alg: 'none' }), garbage: 'x.y.z', 'a connection token': makeToken({ sub: '42' }) };
    for (const [what, token] of Object.entries(denied)) {
      assert.deepEqual(await session.error('subscribe', { channel: '$news', token }), { code: 103, message: 'permission denied' }, what);
    }
    for (const claims of [{ exp: secondsFromNow(-1) }, { nbf: secondsFromNow(100) }]) {
      assert.deepEqual(await session.error('subscribe', { channel: '$news', token: subToken(claims) }), { code: 109, message: 'token expired' });
    }
    assert.equal((await session.error('subscribe', { channel: '$news', token: subToken({ expire_at: secondsFromNow(-1) }) })).code, 110);
    await session.ok('subscribe', { channel: '$news', token: subToken({}) });
  });

  test('whatever is wrong with one, the log says it, with channel and user', async t => {
    const later = secondsFromNow(600);
    const claims = { sub: '42', channel: 'a' };
    const cases = [
      [{ ...claims, channel: 'b' }, 'it is for another channel', { code: 3500 }],
      [{ ...claims, sub: '43' }, 'it is for another user', { code: 3500 }],
      [{ ...claims, client: 'x' }, 'it is for another client', { code: 3500 }],
      [{ ...claims, exp: 5 }, 'its exp is over', 109],
      [{ ...claims, nbf: later }, 'its nbf is in the future', 109],
      [{ ...claims, exp: later, expire_at: 5 }, 'its expire_at is over', 110],
      [{ ...claims, override: { presense: { value: true } } }, 'override: expected an object with none but presence', 103],
      [{ ...claims, override: { presence: true } }, 'override.presence: expected {', 103],
    ];
    await Promise.all(cases.map(async ([given, why, outcome]) => { // one hub each: there is at most a line a second
      const hub = await startWithSecret(t);
      const session = await openSession(t, hub, { connect: { token: makeToken({ sub: '42' }) } });
      const token = makeToken(given);
      session.send({ id: 9, subscribe: { channel: 'a', token } });
      if (outcome.code) assert.equal((await session.closed).code, outcome.code, why);
      else assert.equal((await session.replyTo(9)).error.code, outcome, why);
      const line = await hub.waitForLine(text => text.includes(' token_refused ') && text.includes(`why="${why}`));
      assert.match(line, / kind=subscription .* channel=a user=42 client=[-0-9a-f]{36} left_out=0$/);
      assert.ok(!hub.lines.some(text => text.includes(token)), 'never the token');
    }));
  });

  test('109: the npm client gets another one and is in', async t => {
    const hub = await startWithSecret(t);
    const client = newClient(t, hub, { token: makeToken({ sub: '42' }) });
    await connect(client);
    const sub = newSubscription(client, '$news', { token: subToken({ exp: secondsFromNow(-10) }), getToken: async () => subToken({}), minResubscribeDelay: 10, maxResubscribeDelay: 50 });
    await subscribe(sub);
  });

  test('that end are refreshed by the npm client, or the subscription ends with 2501', async t => {
    const hub = await startWithSecret(t, { expired_sub_close_delay: '3s' });
    const client = newClient(t, hub, { token: makeToken({ sub: '42' }) });
    await connect(client);
    let n = 0;
    const sub = newSubscription(client, '$news', { token: subToken({ exp: secondsFromNow(2) }), getToken: async () => { n += 1; return subToken({ exp: secondsFromNow(1000) }); } });
    await subscribe(sub);
    const lost = [];
    for (const name of ['subscribing', 'unsubscribed']) sub.on(name, context => lost.push(context));
    const witness = await session42(t, hub);
    const { expires, ttl } = await witness.ok('subscribe', { channel: '$news', token: subToken({ exp: secondsFromNow(2) }) });
    assert.equal(expires, true);
    assert.ok(ttl >= 1 && ttl <= 2, `ttl ${ttl}`);
    assert.deepEqual(await witness.nextPush(), { channel: '$news', unsubscribe: { code: 2501, reason: 'subscription expired' } });
    assert.equal(n, 1);
    assert.deepEqual(lost, []);
    await witness.ok('subscribe', { channel: '$news', token: subToken({}) }); // it can come again
  });

  test('sub_refresh answers with the new end, and with an error what is wrong', async t => {
    const hub = await startWithSecret(t);
    const session = await session42(t, hub);
    await session.ok('subscribe', { channel: '$news', token: subToken({ exp: secondsFromNow(100) }) });
    const result = await session.ok('sub_refresh', { channel: '$news', token: subToken({ exp: secondsFromNow(1000) }) });
    assert.equal(result.expires, true);
    assert.ok(result.ttl > 900 && result.ttl <= 1000, `ttl ${result.ttl}`);
    assert.deepEqual(await session.ok('sub_refresh', { channel: '$news', token: subToken({}) }), {});
    assert.equal((await session.error('sub_refresh', { channel: '$news', token: '' })).code, 107);
    assert.equal((await session.error('sub_refresh', { channel: '$news' })).code, 107);
    assert.equal((await session.error('sub_refresh', { channel: '$news', token: subToken({ exp: secondsFromNow(-1) }) })).code, 110);
    assert.equal((await session.error('sub_refresh', { channel: '$other', token: subToken({ channel: '$other' }) })).code, 103);
    for (const claims of [{ sub: '43' }, { channel: '$other' }]) {
      const other = await session42(t, hub);
      await other.ok('subscribe', { channel: '$news', token: subToken({}) });
      other.send({ id: 9, sub_refresh: { channel: '$news', token: subToken(claims) } });
      assert.deepEqual(await other.closed, INVALID_TOKEN);
    }
  });

  test('have keys of their own where client.subscription_token is enabled', async t => {
    const hub = await startWithSecret(t, { subscription_token: { enabled: true, hmac_secret_key: OTHER_SECRET, issuer: 'desk' } });
    const session = await session42(t, hub);
    await session.ok('subscribe', { channel: '$news', token: subToken({ iss: 'desk' }, { secret: OTHER_SECRET }) });
    await session.ok('unsubscribe', { channel: '$news' });
    for (const token of [subToken({ iss: 'desk' }), subToken({}, { secret: OTHER_SECRET })]) {
      assert.equal((await session.error('subscribe', { channel: '$news', token })).code, 103);
    }
    await refuses(t, hub, makeToken({ sub: '42' }, { secret: OTHER_SECRET }));
  });

  test('override says what this subscription can do', async t => {
    const hub = await startWithSecret(t, {}, { channel: { without_namespace: { ...channel.without_namespace, history_size: 10, history_ttl: '1h' } } });
    const session = await session42(t, hub);
    const on = value => ({ value });
    const result = await session.ok('subscribe', { channel: '$news', token: subToken({ override: { force_recovery: on(true), join_leave: on(true), force_push_join_leave: on(true), presence: on(false) } }) });
    assert.deepEqual([result.recoverable, result.positioned], [true, true]);
    assert.deepEqual((await session.nextPush()).join.info.user, '42', 'it hears its own join');
    assert.deepEqual((await session.ok('presence', { channel: '$news' })).presence, {}, 'it is not seen');
  });
});
