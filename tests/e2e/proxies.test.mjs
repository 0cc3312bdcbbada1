// The backend is asked: who may connect, subscribe and publish, what a procedure answers, what goes on after its time. With the
// npm client on one side and a backend of the test's own on the other.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import WebSocket from 'ws';

import { answer, HANG, RESET, startBackend } from './lib/backend.mjs';
import { connect, newClient, newSubscription, nextEvent, nextPublication, rawSocket, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken, SECRET, secondsFromNow } from './lib/token.mjs';

const asked = (backend, path, more = {}) => ({ enabled: true, endpoint: `${backend.url}${path}?key=1`, timeout: '20s', ...more });
const path = name => `/${name}?key=1`;
const ANYBODY = { allow_anonymous_connect_without_token: true };

const room = { name: 'room', presence: true, allow_presence_for_subscriber: true, allow_presence_for_anonymous: true };
const all = { ...room, subscribe_proxy_enabled: true, publish_proxy_enabled: true, sub_refresh_proxy_enabled: true };

/** A hub whose connections are the backend's to admit. */
async function startConnectHub(t, handler, more = {}) {
  const backend = await startBackend(t, { [path('connect')]: handler });
  const hub = await startHub(t, {
    config: { client: { proxy: { connect: asked(backend, '/connect', more) } }, channel: { namespaces: [room] } },
  });
  return { backend, hub };
}

/** A hub that takes everybody and asks about all the rest. */
async function startAskingHub(t, handlers, { client = {}, ...config } = {}) {
  const backend = await startBackend(t, handlers);
  const channel = {
    proxy: {
      subscribe: asked(backend, '/subscribe'),
      publish: asked(backend, '/publish'),
      sub_refresh: asked(backend, '/sub_refresh'),
    },
    namespaces: [all],
  };
  const rpc = { proxy: asked(backend, '/rpc'), without_namespace: { proxy_enabled: true } };
  const hub = await startHub(t, { config: { client: { ...ANYBODY, ...client }, channel, rpc, ...config } });
  return { backend, hub };
}

const refusalOf = promise => promise.then(() => assert.fail('was not refused'), ({ code, message, temporary }) => ({ code, message, temporary }));
const INTERNAL = { code: 100, message: 'internal server error', temporary: true };

/** `ws` that sends these headers with its handshake. */
function sending(headers) {
  return class extends WebSocket {
    constructor(url, protocols) { super(url, protocols, { headers }); }
  };
}

describe('connect', { concurrency: true }, () => {
  test('the backend says who it is, what it is told and where it is subscribed', async t => {
    const { backend, hub } = await startConnectHub(t, {
      result: { user: '42', info: { name: 'Ada' }, data: { hello: 1 }, channels: ['room:1'], subs: { 'room:2': { info: { role: 'owner' } } } },
    });
    const client = newClient(t, hub, { name: 'test', version: '1.2', data: { from: 'here' } });
    const subscribedTo = [];
    client.on('subscribed', ({ channel }) => subscribedTo.push(channel));
    const { client: id, data } = await connect(client);
    const { method, headers, json } = await backend.next(path('connect'));
    assert.equal(method, 'POST');
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual(json, {
      client: id, transport: 'websocket', protocol: 'json', encoding: 'json', name: 'test', version: '1.2', data: { from: 'here' },
    });
    assert.deepEqual(data, { hello: 1 });
    assert.deepEqual(subscribedTo.sort(), ['room:1', 'room:2']);
    const { presence } = await hub.call('presence', { channel: 'room:2' });
    assert.deepEqual(presence, { [id]: { user: '42', client: id, conn_info: { name: 'Ada' }, chan_info: { role: 'owner' } } });
  });

  test('a result without a user is the anonymous one; no result at all admits nobody', async t => {
    const { backend, hub } = await startConnectHub(t, { result: {} });
    await connect(newClient(t, hub));
    backend.handlers[path('connect')] = {};
    const socket = await rawSocket(t, hub);
    socket.send({ id: 1, connect: {} });
    assert.deepEqual(await socket.closed, { code: 3501, reason: 'bad request' });
  });

  test('who brings a token is not asked about', async t => {
    const { backend, hub } = await startConnectHub(t, { error: { code: 1000, message: 'no' } });
    await hub.stop();
    await hub.restart({ config: { client: { token: { hmac_secret_key: SECRET } } } });
    await connect(newClient(t, hub, { token: makeToken({ sub: '7', exp: secondsFromNow(600) }) }));
    assert.deepEqual(backend.requests, []);
    await hub.stop();
  });

  test('an error is final, unless it is temporary', async t => {
    const { backend, hub } = await startConnectHub(t, { error: { code: 1000, message: 'not today' } });
    await assert.rejects(connect(newClient(t, hub)), { code: 1000, reason: 'not today' });
    backend.handlers[path('connect')] = { error: { code: 1001, message: 'soon', temporary: true } };
    const client = newClient(t, hub);
    const failed = nextEvent(client, 'error');
    const connected = connect(client);
    assert.equal((await failed).error.code, 1001);
    backend.handlers[path('connect')] = { result: { user: '1' } };
    await connected;
  });

  test('a disconnect comes with its code and its reason', async t => {
    const { hub } = await startConnectHub(t, { disconnect: { code: 4501, reason: 'banned' } });
    await assert.rejects(connect(newClient(t, hub)), { code: 4501, reason: 'banned' });
  });

  test('a client whose backend is down gets in when it is up again', async t => {
    const { backend, hub } = await startConnectHub(t, { result: { user: '42' } });
    await backend.stop();
    const client = newClient(t, hub);
    const failed = nextEvent(client, 'error');
    const connected = connect(client);
    assert.equal((await failed).error.code, 100);
    await hub.waitForLine(line => / proxy failed /.test(line) && /event=connect/.test(line) && !line.includes('key=1'));
    await backend.start();
    await connected;
  });

  test('nonsense, a cut connection and silence are failures', async t => {
    const { backend, hub } = await startConnectHub(t, { result: { user: 42 } }, { timeout: '300ms' });
    for (const given of [{ result: { user: 42 } }, answer(200, '<html>'), answer(500, { result: {} }), RESET, HANG]) {
      backend.handlers[path('connect')] = given;
      const socket = await rawSocket(t, hub);
      socket.send({ id: 1, connect: {} });
      assert.deepEqual(await socket.next(), { id: 1, error: INTERNAL });
      socket.ws.terminate();
    }
    await hub.waitForLine(line => line.includes('problem=result.user'));
  });

  test('other statuses mean what the configuration says', async t => {
    const { backend, hub } = await startConnectHub(t, answer(404), {
      http: {
        status_to_code_transforms: [
          { status_code: 404, to_error: { code: 404, message: 'nobody here' } },
          { status_code: 403, to_disconnect: { code: 4503, reason: 'forbidden' } },
        ],
      },
    });
    await assert.rejects(connect(newClient(t, hub)), { code: 404, reason: 'nobody here' });
    backend.handlers[path('connect')] = answer(403, 'go away');
    await assert.rejects(connect(newClient(t, hub)), { code: 4503, reason: 'forbidden' });
  });

  test('headers that are listed are passed on, and no others', async t => {
    const { backend, hub } = await startConnectHub(t, { result: { user: '1' } }, {
      http_headers: ['cookie', 'X-Both'],
      emulated_headers: ['Authorization', 'X-Both'],
      http: { static_headers: { 'X-Static': 'ours' } },
    });
    const websocket = sending({ Cookie: 'session=1', 'X-Both': 'real', 'X-Other': 'secret' });
    const headers = { Authorization: 'Bearer 1', 'X-Both': 'emulated', 'X-More': 'secret', Host: 'evil' };
    await connect(newClient(t, hub, { websocket, headers }));
    const got = (await backend.next(path('connect'))).headers;
    assert.equal(got.cookie, 'session=1');
    assert.equal(got['x-both'], 'real');
    assert.equal(got.authorization, 'Bearer 1');
    assert.equal(got['x-static'], 'ours');
    assert.equal(`http://${got.host}`, backend.url);
    assert.equal(got['x-other'], undefined);
    assert.equal(got['x-more'], undefined);
  });

  test('commands that come with the connect command wait for the backend, other clients do not', async t => {
    let admit;
    const { backend, hub } = await startConnectHub(t, ({ json }) => (json.data === 'slow'
      ? new Promise(resolve => { admit = () => resolve({ result: { user: 'slow', channels: ['room:1'] } }); })
      : { result: { user: 'quick' } }));
    const slow = await rawSocket(t, hub);
    slow.send(`${JSON.stringify({ id: 1, connect: { data: 'slow' } })}\n${JSON.stringify({ id: 2, presence: { channel: 'room:1' } })}`);
    await backend.next(path('connect'));
    await connect(newClient(t, hub));
    admit();
    assert.equal((await slow.next()).id, 1);
    const { id, presence } = await slow.next();
    assert.equal(id, 2);
    assert.equal(Object.values(presence.presence)[0].user, 'slow');
  });

  test('a hub that goes down waits for no backend', async t => {
    const { backend, hub } = await startConnectHub(t, HANG, { timeout: '1h' });
    const socket = await rawSocket(t, hub);
    socket.send({ id: 1, connect: {} });
    await backend.next(path('connect'));
    await hub.stop();
    assert.equal((await socket.closed).code, 3001);
  });

  test('a client that has gone is forgotten, whatever the backend says then', async t => {
    let admit;
    const { backend, hub } = await startConnectHub(t, () => new Promise(resolve => { admit = resolve; }));
    const socket = await rawSocket(t, hub);
    socket.send({ id: 1, connect: {} });
    await backend.next(path('connect'));
    socket.ws.terminate();
    await socket.closed;
    admit({ result: { user: '42', channels: ['room:1'] } });
    backend.handlers[path('connect')] = { result: { user: '1' } };
    const client = newClient(t, hub);
    await connect(client);
    const { nodes } = await hub.call('info');
    assert.equal(nodes[0].num_clients, 1);
  });
});

describe('refresh', { concurrency: true }, () => {
  async function startRefreshHub(t, handler) {
    const backend = await startBackend(t, {
      [path('connect')]: () => ({ result: { user: '42', expire_at: secondsFromNow(2), meta: { m: 1 } } }),
      [path('refresh')]: handler,
    });
    const proxy = { connect: asked(backend, '/connect'), refresh: asked(backend, '/refresh', { include_connection_meta: true }) };
    const hub = await startHub(t, { config: { client: { proxy }, channel: { namespaces: [room] } } });
    return { backend, hub };
  }

  test('the backend prolongs a connection, and ends it', async t => {
    const answers = [{ result: { expire_at: secondsFromNow(4) } }, { result: { expired: true } }];
    const { backend, hub } = await startRefreshHub(t, () => answers.shift() ?? { result: {} });
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    const left = nextEvent(client, 'connecting');
    const expected = { client: id, transport: 'websocket', protocol: 'json', encoding: 'json', user: '42', meta: { m: 1 } };
    assert.deepEqual((await backend.next(path('refresh'))).json, expected);
    assert.deepEqual((await backend.next(path('refresh'))).json, expected);
    assert.equal((await left).code, 3005);
  });

  test('a disconnect sends it away', async t => {
    const { hub } = await startRefreshHub(t, { disconnect: { code: 4502, reason: 'over' } });
    const client = newClient(t, hub);
    await connect(client);
    const { code, reason } = await nextEvent(client, 'disconnected');
    assert.deepEqual({ code, reason }, { code: 4502, reason: 'over' });
  });

  test('a backend that is down ends no connection', async t => {
    const { backend, hub } = await startRefreshHub(t, RESET);
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    await backend.next(path('refresh'));
    await hub.waitForLine(line => / proxy failed /.test(line) && /event=refresh/.test(line));
    await hub.call('refresh', { user: '42', client: id, expire_at: secondsFromNow(2) }); // sooner than in a minute
    backend.handlers[path('refresh')] = { result: { expired: true } };
    const left = nextEvent(client, 'connecting');
    assert.equal((await left).code, 3005);
    assert.equal(backend.requestsTo(path('refresh')).length, 2);
  });
});

describe('subscribe', { concurrency: true }, () => {
  test('the backend lets a client in, with info, data and options of its own', async t => {
    const { backend, hub } = await startAskingHub(t, {
      [path('subscribe')]: { result: { info: { role: 'guest' }, data: { welcome: 1 } } },
    });
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    const { data } = await subscribe(newSubscription(client, 'room:1', { data: { why: 'fun' } }));
    assert.deepEqual(data, { welcome: 1 });
    assert.deepEqual((await backend.next(path('subscribe'))).json, {
      client: id, transport: 'websocket', protocol: 'json', encoding: 'json', user: '', channel: 'room:1', data: { why: 'fun' },
    });
    const { presence } = await hub.call('presence', { channel: 'room:1' });
    assert.deepEqual(presence, { [id]: { user: '', client: id, chan_info: { role: 'guest' } } });
    backend.handlers[path('subscribe')] = { result: { override: { presence: { value: false } } } };
    await subscribe(newSubscription(client, 'room:2'));
    assert.deepEqual((await hub.call('presence', { channel: 'room:2' })).presence, {});
  });

  test('an error is final, unless it is temporary; a disconnect ends the connection', async t => {
    const { backend, hub } = await startAskingHub(t, { [path('subscribe')]: { error: { code: 1002, message: 'full' } } });
    const client = newClient(t, hub);
    await connect(client);
    await assert.rejects(subscribe(newSubscription(client, 'room:1')), { code: 1002, reason: 'full' });

    backend.handlers[path('subscribe')] = RESET;
    const sub = newSubscription(client, 'room:2', { minResubscribeDelay: 10, maxResubscribeDelay: 50 });
    const failed = nextEvent(sub, 'error');
    const done = subscribe(sub);
    assert.equal((await failed).error.code, 100);
    backend.handlers[path('subscribe')] = {};
    await done;

    backend.handlers[path('subscribe')] = { disconnect: { code: 4500, reason: 'enough' } };
    const left = nextEvent(client, 'disconnected');
    newSubscription(client, 'room:3').subscribe();
    const { code, reason } = await left;
    assert.deepEqual({ code, reason }, { code: 4500, reason: 'enough' });
  });

  test('the log says which member of an answer is wrong, and what was expected', async t => {
    const cases = [
      [{ result: { override: { presence: true } } }, /problem=result\.override\.presence expected="\{\\"value\\": true or false\}/],
      [{ result: { override: { presense: { value: false } } } }, /problem=result\.override expected="an object with none but presence, /],
      [{ error: { code: 99, message: 'too small' } }, /problem=error\.code expected="a whole number from 100 to/],
    ];
    await Promise.all(cases.map(async ([answer, line]) => {
      const { hub } = await startAskingHub(t, { [path('subscribe')]: answer });
      const session = await openSession(t, hub);
      assert.equal((await session.error('subscribe', { channel: 'room:1' })).code, 100);
      await hub.waitForLine(text => / proxy failed /.test(text) && line.test(text));
    }));
  });

  test('a code of the protocol itself is passed on', async t => {
    const { hub } = await startAskingHub(t, { [path('subscribe')]: { error: { code: 103, message: 'permission denied' } } });
    const session = await openSession(t, hub);
    assert.equal((await session.error('subscribe', { channel: 'room:1' })).code, 103);
  });

  test('a namespace names its backend; others ask nobody', async t => {
    const backend = await startBackend(t, { '/special': { result: {} } });
    const hub = await startHub(t, {
      config: {
        client: ANYBODY,
        channel: { namespaces: [{ ...room, subscribe_proxy_enabled: true, subscribe_proxy_name: 'special' }, { ...room, name: 'closed' }] },
        proxies: [{ name: 'special', endpoint: `${backend.url}/special`, binary_encoding: true }],
      },
    });
    const client = newClient(t, hub);
    await connect(client);
    await subscribe(newSubscription(client, 'room:1', { data: { a: 1 } }));
    const { json } = await backend.next('/special');
    assert.equal(json.encoding, 'binary');
    assert.equal(json.data, undefined);
    assert.deepEqual(JSON.parse(Buffer.from(json.b64data, 'base64')), { a: 1 });
    await assert.rejects(subscribe(newSubscription(client, 'closed:1')), { code: 103 });
    assert.equal(backend.requests.length, 1);
  });
});

describe('sub_refresh', { concurrency: true }, () => {
  test('the backend prolongs a subscription, and ends it', async t => {
    const answers = [{ result: { expire_at: secondsFromNow(4) } }, { result: { expired: true } }];
    const { backend, hub } = await startAskingHub(t, {
      [path('subscribe')]: () => ({ result: { expire_at: secondsFromNow(2) } }),
      [path('sub_refresh')]: () => answers.shift() ?? { result: {} },
    });
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    const sub = newSubscription(client, 'room:1');
    await subscribe(sub);
    const ended = nextEvent(sub, 'subscribing');
    const expected = { client: id, transport: 'websocket', protocol: 'json', encoding: 'json', user: '', channel: 'room:1' };
    assert.deepEqual((await backend.next(path('sub_refresh'))).json, expected);
    assert.deepEqual((await backend.next(path('sub_refresh'))).json, expected);
    assert.equal((await ended).code, 2501);
  });

  test('a backend that is down ends no subscription', async t => {
    const { backend, hub } = await startAskingHub(t, {
      [path('subscribe')]: () => ({ result: { expire_at: secondsFromNow(2) } }),
      [path('sub_refresh')]: RESET,
    });
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'room:1');
    await subscribe(sub);
    await backend.next(path('sub_refresh'));
    await hub.waitForLine(line => / proxy failed /.test(line) && /event=sub_refresh/.test(line));
    assert.equal(sub.state, 'subscribed');
  });
});

describe('publish', { concurrency: true }, () => {
  test('the backend lets it through, or puts something else in its place', async t => {
    const { backend, hub } = await startAskingHub(t, { [path('subscribe')]: {}, [path('publish')]: {} });
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    const sub = newSubscription(client, 'room:1');
    await subscribe(sub);
    await sub.publish({ text: 'as it is' });
    assert.deepEqual((await backend.next(path('publish'))).json, {
      client: id, transport: 'websocket', protocol: 'json', encoding: 'json', user: '', channel: 'room:1', data: { text: 'as it is' },
    });
    assert.deepEqual((await nextPublication(sub)).data, { text: 'as it is' });
    backend.handlers[path('publish')] = { result: { data: { text: 'cleaned' }, tags: { by: 'backend' } } };
    await sub.publish({ text: 'dirty' });
    const { data, tags, info } = await nextPublication(sub);
    assert.deepEqual({ data, tags }, { data: { text: 'cleaned' }, tags: { by: 'backend' } });
    assert.equal(info.client, id);
  });

  test('nothing is published by an error, a failure or a disconnect', async t => {
    const { backend, hub } = await startAskingHub(t, {
      [path('subscribe')]: {},
      [path('publish')]: { error: { code: 1003, message: 'rude' } },
    });
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'room:1');
    await subscribe(sub);
    assert.deepEqual(await refusalOf(sub.publish(1)), { code: 1003, message: 'rude', temporary: false });
    backend.handlers[path('publish')] = RESET;
    assert.deepEqual(await refusalOf(sub.publish(2)), INTERNAL);
    await backend.stop();
    assert.deepEqual(await refusalOf(sub.publish(3)), INTERNAL);
    await backend.start();
    backend.handlers[path('publish')] = { disconnect: { code: 4500, reason: 'rude' } };
    const left = nextEvent(client, 'disconnected');
    sub.publish(4).catch(() => {});
    assert.equal((await left).code, 4500);

    backend.handlers[path('publish')] = {};
    const other = newClient(t, hub);
    await connect(other);
    const otherSub = newSubscription(other, 'room:1');
    await subscribe(otherSub);
    await otherSub.publish(5);
    assert.equal((await nextPublication(otherSub)).data, 5);
    assert.equal(backend.requestsTo(path('publish')).length, 4); // 1, 2, 4 and 5, each once
  });
});

describe('rpc', { concurrency: true }, () => {
  test('the backend answers, and what it says comes byte for byte', async t => {
    const { backend, hub } = await startAskingHub(t, { [path('rpc')]: answer(200, '{"result":{"data":{"n":1.10,\n"big":12345678901234567890}}}') });
    const socket = await rawSocket(t, hub);
    socket.send({ id: 1, connect: {} });
    await socket.next();
    const text = new Promise(resolve => socket.ws.once('message', data => resolve(data.toString())));
    socket.send('{"id":2,"rpc":{"method":"sum","data":{"n":1.10}}}');
    assert.equal(await text, '{"id":2,"rpc":{"data":{"n":1.10,"big":12345678901234567890}}}');
    const { text: sent } = await backend.next(path('rpc'));
    assert.ok(sent.endsWith('"user":"","method":"sum","data":{"n":1.10}}'), sent);
  });

  test('errors, failures and disconnects', async t => {
    const { backend, hub } = await startAskingHub(t, { [path('rpc')]: { error: { code: 1999, message: 'no', temporary: true } } });
    const client = newClient(t, hub);
    await connect(client);
    assert.deepEqual(await refusalOf(client.rpc('x', null)), { code: 1999, message: 'no', temporary: true });
    backend.handlers[path('rpc')] = answer(502, 'bad gateway');
    assert.deepEqual(await refusalOf(client.rpc('x', null)), INTERNAL);
    backend.handlers[path('rpc')] = { disconnect: { code: 4999, reason: 'bye' } };
    const left = nextEvent(client, 'disconnected');
    client.rpc('x', null).catch(() => {});
    assert.equal((await left).code, 4999);
  });

  test('a method of no known namespace is not found; without a backend there are no methods', async t => {
    const { backend, hub } = await startAskingHub(t, { [path('rpc')]: { result: { data: 1 } } });
    const client = newClient(t, hub);
    await connect(client);
    assert.deepEqual((await client.rpc('plain', {})).data, 1);
    assert.equal((await refusalOf(client.rpc('other:method', {}))).code, 104);
    assert.equal(backend.requests.length, 1);
    const bare = await startHub(t, { config: { client: ANYBODY } });
    const other = newClient(t, bare);
    await connect(other);
    assert.equal((await refusalOf(other.rpc('plain', {}))).code, 108);
  });

  test('beyond max_concurrent a question fails at once', async t => {
    const backend = await startBackend(t, { '/rpc': HANG });
    const hub = await startHub(t, {
      config: {
        client: ANYBODY,
        rpc: { proxy: { enabled: true, endpoint: `${backend.url}/rpc`, timeout: '1h', max_concurrent: 1 }, without_namespace: { proxy_enabled: true } },
      },
    });
    const [one, other] = [newClient(t, hub), newClient(t, hub)];
    await connect(one);
    await connect(other);
    one.rpc('x', null).catch(() => {});
    await backend.next('/rpc');
    assert.deepEqual(await refusalOf(other.rpc('x', null)), INTERNAL);
    assert.equal(backend.requests.length, 1);
  });
});
