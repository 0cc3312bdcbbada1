// The unmodified npm client over each of its transports, unidirectional clients, and pages of other origins.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, connected, newSubscription, nextEvent, nextPublication, rawSocket, subscribe } from './lib/client.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { PING, frame, openWebSocket } from './lib/raw.mjs';
import { infoWhen, openSession } from './lib/session.mjs';
import { openStream } from './lib/stream.mjs';
import { makeToken, secondsFromNow, SECRET } from './lib/token.mjs';
import { EVERY_TRANSPORT, newClientOver, openUni, startRelay } from './lib/transports.mjs';

const ALL = {
  ...EVERY_TRANSPORT,
  channel: { without_namespace: { history_size: 100, history_ttl: '1h', force_recovery: true, presence: true, allow_presence_for_subscriber: true } },
};
const start = (t, { client, ...config } = {}) => startHub(t, { config: { client: { insecure: true, ...client }, ...ALL, ...config } });

const upgrades = head => /upgrade: websocket/i.test(head);

for (const transport of ['websocket', 'http_stream', 'sse']) {
  describe(`the npm client over ${transport}`, { concurrency: true }, () => {
    test('connects, subscribes, publishes, asks and leaves', async t => {
      const hub = await start(t);
      const client = newClientOver(t, hub, [transport]);
      const context = await connect(client);
      assert.equal(context.transport, transport);
      const sub = newSubscription(client, 'news');
      await subscribe(sub);
      await sub.publish({ text: 'line\nline \u2028 "quoted"' });
      assert.deepEqual((await nextPublication(sub)).data, { text: 'line\nline \u2028 "quoted"' });
      await hub.call('publish', { channel: 'news', data: [1, 2] });
      assert.deepEqual((await nextPublication(sub)).data, [1, 2]);
      assert.equal((await sub.presenceStats()).numClients, 1);
      sub.unsubscribe();
      await infoWhen(hub, info => info.num_subs === 0);
      client.disconnect();
      await infoWhen(hub, info => info.num_clients === 0);
    });

    test('gets many publications in order', async t => {
      const hub = await start(t);
      const client = newClientOver(t, hub, [transport]);
      await connect(client);
      const sub = newSubscription(client, 'news');
      await subscribe(sub);
      for (let i = 0; i < 200; i += 1) await hub.call('publish', { channel: 'news', data: { i, text: 'x'.repeat(i * 50) } });
      for (let i = 0; i < 200; i += 1) assert.equal((await nextPublication(sub)).data.i, i);
    });

    test('recovers what it missed while it was cut', async t => {
      const hub = await start(t);
      const relay = await startRelay(t, hub);
      const client = newClientOver(t, hub, [transport], { port: relay.port });
      await connect(client);
      const sub = newSubscription(client, 'news');
      await subscribe(sub);
      await hub.call('publish', { channel: 'news', data: 'before' });
      assert.equal((await nextPublication(sub)).data, 'before');
      const again = nextEvent(sub, 'subscribed');
      relay.cut();
      await hub.call('publish', { channel: 'news', data: 'meanwhile' });
      const context = await again;
      assert.equal((await nextPublication(sub)).data, 'meanwhile');
      assert.equal(context.recovered, true);
    });

    test('answers pings, and stays', async t => {
      const hub = await start(t, { client: { ping_interval: '1s', pong_timeout: '900ms' } });
      const client = newClientOver(t, hub, [transport]);
      await connect(client);
      let nEnds = 0;
      client.on('connecting', () => { nEnds += 1; });
      const { connected: watcher } = await openStream(t, hub, 'http_stream'); // does not answer: when it is gone, the other has
      assert.ok(watcher.session);
      await infoWhen(hub, info => info.num_clients === 1);
      assert.equal(nEnds, 0);
      assert.equal(client.state, 'connected');
    });

    test('is told the code and reason of a disconnect', async t => {
      const hub = await start(t, { client: { token: { hmac_secret_key: SECRET } } });
      const client = newClientOver(t, hub, [transport], { token: makeToken({ sub: '42' }) });
      await connect(client);
      const disconnected = nextEvent(client, 'disconnected');
      await hub.call('disconnect', { user: '42', disconnect: { code: 4510, reason: 'not \\ "you"' } });
      const { code, reason } = await disconnected;
      assert.deepEqual([code, reason], [4510, 'not \\ "you"']);
    });

    test('comes back after a restart of the hub', async t => {
      const hub = await start(t);
      const client = newClientOver(t, hub, [transport]);
      await connect(client);
      const connecting = nextEvent(client, 'connecting');
      await hub.stop();
      const { code, reason } = await connecting;
      assert.deepEqual([code, reason], [3001, 'shutdown']);
      await hub.restart();
      await connected(client);
    });

    test('is refused with a wrong token, and refreshes an old one', async t => {
      const hub = await start(t, { client: { insecure: false, token: { hmac_secret_key: SECRET } } });
      const wrong = newClientOver(t, hub, [transport], { token: makeToken({ sub: '1' }, { secret: 'another' }) });
      const disconnected = nextEvent(wrong, 'disconnected');
      wrong.connect();
      assert.equal((await disconnected).code, 3500);
      const old = newClientOver(t, hub, [transport], {
        token: makeToken({ sub: '1', exp: secondsFromNow(-10) }),
        getToken: async () => makeToken({ sub: '1', exp: secondsFromNow(3600) }),
      });
      assert.ok((await connect(old)).client);
    });
  });
}

describe('a client that may choose', { concurrency: true }, () => {
  test('falls back to http_stream where WebSockets are cut', async t => {
    const hub = await start(t);
    const relay = await startRelay(t, hub, { refuses: upgrades });
    const client = newClientOver(t, hub, ['websocket', 'http_stream', 'sse'], { port: relay.port });
    assert.equal((await connect(client)).transport, 'http_stream');
    const sub = newSubscription(client, 'news');
    await subscribe(sub);
    await sub.publish('hello');
    assert.equal((await nextPublication(sub)).data, 'hello');
  });

  test('falls back to sse where http_stream is closed too', async t => {
    const hub = await start(t, { http_stream: { enabled: false }, websocket: { disabled: true } });
    const client = newClientOver(t, hub, ['websocket', 'http_stream', 'sse']);
    assert.equal((await connect(client)).transport, 'sse');
  });

  test('takes the WebSocket where it can', async t => {
    const hub = await start(t);
    assert.equal((await connect(newClientOver(t, hub, ['websocket', 'http_stream', 'sse']))).transport, 'websocket');
  });
});

for (const transport of ['uni_websocket', 'uni_http_stream', 'uni_sse']) {
  describe(`a client over ${transport}`, { concurrency: true }, () => {
    const token = claims => ({ token: makeToken(claims) });
    const startStrict = (t, client = {}) => start(t, { client: { insecure: false, token: { hmac_secret_key: SECRET }, ...client } });

    test('gets bare pushes of the subscriptions that its token names', async t => {
      const hub = await startStrict(t);
      const uni = await openUni(t, hub, transport, token({ sub: '7', channels: ['news'] }));
      assert.ok(uni.connected.client);
      assert.ok(uni.connected.session);
      assert.ok(uni.connected.subs.news);
      assert.equal(uni.connected.pong, undefined);
      await hub.call('publish', { channel: 'news', data: { a: 1 } });
      assert.deepEqual(await uni.next(), { channel: 'news', pub: { data: { a: 1 }, offset: 1 } });
      await hub.call('unsubscribe', { user: '7', channel: 'news' });
      assert.deepEqual(await uni.next(), { channel: 'news', unsubscribe: { code: 2000, reason: 'server unsubscribe' } });
      await hub.call('subscribe', { user: '7', channel: 'more', session: uni.connected.session });
      const { channel, subscribe: added } = await uni.next();
      assert.equal(channel, 'more');
      assert.ok(added);
    });

    test('gets pings, and need not answer', async t => {
      const hub = await start(t, { client: { ping_interval: '300ms', pong_timeout: '100ms' } });
      const uni = await openUni(t, hub, transport);
      assert.equal(uni.connected.ping, 1);
      for (let i = 0; i < 3; i += 1) assert.deepEqual(await uni.nextPing(), {});
    });

    test('is told the reason of a disconnect', async t => {
      const hub = await startStrict(t);
      const uni = await openUni(t, hub, transport, token({ sub: '7' }));
      await hub.call('disconnect', { user: '7' });
      const { disconnect } = await uni.next();
      assert.deepEqual(disconnect, { code: 3503, reason: 'force disconnect' });
      const close = await uni.ended;
      if (transport === 'uni_websocket') assert.deepEqual(close, { code: 3503, reason: 'force disconnect' });
    });

    test('is told by a disconnect what others get as an error', async t => {
      const hub = await startStrict(t);
      const first = request => (transport === 'uni_websocket'
        ? rawSocket(t, hub, { path: '/connection/uni_websocket' }).then(socket => { socket.send(request); return socket.next(); })
        : openStream(t, hub, transport, { connect: null, body: typeof request === 'string' ? request : JSON.stringify(request) }).then(stream => stream.next()));
      assert.deepEqual(await first(token({ sub: '7', exp: secondsFromNow(-10) })), { disconnect: { code: 3005, reason: 'connection expired' } });
      assert.deepEqual(await first({ token: 'none' }), { disconnect: { code: 3500, reason: 'invalid token' } });
      assert.deepEqual(await first({}), { disconnect: { code: 3501, reason: 'bad request' } });
      assert.deepEqual(await first('[]'), { disconnect: { code: 3501, reason: 'bad request' } });
      assert.deepEqual(await first('{"token":1}'), { disconnect: { code: 3501, reason: 'bad request' } });
    });

    test('is told what the configuration says instead', async t => {
      const transforms = [{ code: 109, to: { code: 4777, reason: 'log in again' } }];
      const hub = await startStrict(t, { connect_code_to_unidirectional_disconnect: { enabled: true, transforms } });
      const expired = token({ sub: '7', exp: secondsFromNow(-10) });
      let message;
      if (transport === 'uni_websocket') {
        const socket = await rawSocket(t, hub, { path: '/connection/uni_websocket' });
        socket.send(expired);
        message = await socket.next();
      } else {
        message = await (await openStream(t, hub, transport, { connect: null, body: JSON.stringify(expired) })).next();
      }
      assert.deepEqual(message, { disconnect: { code: 4777, reason: 'log in again' } });
    });
  });
}

describe('the unidirectional WebSocket', { concurrency: true }, () => {
  test('takes its request from the query, too', async t => {
    const hub = await start(t);
    const socket = await rawSocket(t, hub, { path: `/connection/uni_websocket?cf_connect=${encodeURIComponent('{"name":"a+b"}')}` });
    assert.ok((await socket.next()).connect.client);
  });

  test('hears nothing after its request', async t => {
    const hub = await start(t);
    const socket = await rawSocket(t, hub, { path: '/connection/uni_websocket' });
    socket.send({});
    assert.ok((await socket.next()).connect);
    for (const text of ['no json', '{}', '{"id":1,"subscribe":{"channel":"a"}}', 'x'.repeat(200_000)]) socket.send(text);
    const { client } = (await openSession(t, hub)).connected;
    assert.ok(client);
    assert.equal((await infoWhen(hub, () => true)).num_clients, 2);
  });

  test('does not push the reason of a disconnect where that is disabled', async t => {
    const hub = await start(t, { uni_websocket: { enabled: true, disable_disconnect_push: true } });
    const socket = await rawSocket(t, hub, { path: '/connection/uni_websocket' });
    socket.send('[]');
    await assert.rejects(socket.next());
    assert.deepEqual(await socket.closed, { code: 3501, reason: 'bad request' });
  });

  test('closes without a Close frame where the handshake is disabled', async t => {
    const hub = await start(t, { uni_websocket: { enabled: true, disable_closing_handshake: true } });
    const socket = await rawSocket(t, hub, { path: '/connection/uni_websocket' });
    socket.send('[]');
    assert.equal((await socket.next()).disconnect.code, 3501);
    assert.equal((await socket.closed).code, 1006);
  });
});

describe('pings of WebSocket itself', { concurrency: true }, () => {
  const client = { ping_interval: '300ms', pong_timeout: '200ms' };
  const path = '/connection/websocket?cf_ws_frame_ping_pong=true';

  test('take the place of the protocol’s where the client asks for them', async t => {
    const hub = await start(t, { client });
    const session = await openSession(t, hub, { path });
    assert.equal(session.connected.ping, undefined);
    assert.equal(session.connected.pong, undefined);
    for (let i = 0; i < 3; i += 1) await nextEvent(session.ws, 'ping'); // `ws` answers by itself
    assert.deepEqual(session.log.slice(1), []);
  });

  test('must be answered', async t => {
    const hub = await start(t, { client });
    const ws = await openWebSocket(hub, { path });
    assert.ok((await ws.say({ id: 1, connect: {} })).connect);
    assert.equal((await ws.frame()).opcode, PING);
    assert.deepEqual(await ws.close(), { code: 3012, reason: 'no pong' });
    ws.write(frame(Buffer.from([0x0b, 0xc4]), { opcode: 8 }));
    await ws.closed;
  });
});

test('the protobuf framing is refused on WebSockets by its arguments', async t => {
  const hub = await start(t);
  for (const query of ['format=protobuf', 'cf_protocol=protobuf']) {
    await assert.rejects(rawSocket(t, hub, { path: `/connection/websocket?${query}` }), { status: 400 });
  }
});

test('a WebSocket endpoint that is disabled is not there', async t => {
  const hub = await start(t, { websocket: { disabled: true } });
  await assert.rejects(rawSocket(t, hub), { status: 404 });
  assert.equal((await hub.request('GET', '/connection/websocket')).status, 404);
});

describe('pages of other origins', { concurrency: true }, () => {
  const page = 'https://app.example';
  const startFor = t => startHub(t, { config: { client: { insecure: true, allowed_origins: ['https://*.example'] }, ...ALL } });
  const paths = ['/connection/http_stream', '/connection/sse', '/connection/uni_http_stream', '/connection/uni_sse', '/emulation'];

  test('may ask beforehand, and are told so where they are allowed', async t => {
    const hub = await startFor(t);
    for (const path of paths) {
      const { status, headers } = await hub.request('OPTIONS', path, {
        headers: { origin: page, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type, x-more' },
      });
      assert.equal(status, 204, path);
      assert.equal(headers['access-control-allow-origin'], page);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      assert.equal(headers['access-control-allow-headers'], 'content-type, x-more');
      assert.match(headers['access-control-allow-methods'], /POST, OPTIONS$/);
      assert.equal(headers['access-control-max-age'], '300');
      assert.equal(headers.vary, 'Origin');
    }
  });

  test('get the answer with their origin, also a refusal', async t => {
    const hub = await startFor(t);
    for (const [path, body] of [['/emulation', 'no json'], ['/emulation', 'x'.repeat(70_000)], ['/connection/http_stream', '']]) {
      const { status, headers } = await hub.request('POST', path, { body, headers: { origin: page } });
      assert.ok(status >= 400);
      assert.equal(headers['access-control-allow-origin'], page);
    }
    const stream = await openStream(t, hub, 'sse', { headers: { origin: page } });
    assert.equal(stream.headers['access-control-allow-origin'], page);
  });

  test('that are not allowed are served without it', async t => {
    const hub = await startFor(t);
    for (const origin of ['https://app.other', 'null', 'https://app.example.other']) {
      const stream = await openStream(t, hub, 'http_stream', { headers: { origin } });
      assert.ok(stream.connected.client);
      assert.deepEqual(Object.keys(stream.headers).filter(name => name.startsWith('access-control')), []);
      assert.equal(stream.headers.vary, 'Origin');
    }
    await hub.waitForLine(line => / origin_refused /.test(line) && line.includes('https://app.other'));
  });
});

describe('headers of the connection', { concurrency: true }, () => {
  const http_headers = ['Cookie', 'X-Tenant', 'User-Agent'];

  async function startAsking(t) {
    const gate = await startGate(t);
    const connectProxy = { enabled: true, endpoint: gate.url, http_headers, timeout: '20s' };
    const hub = await start(t, { client: { insecure: false, proxy: { connect: connectProxy } } });
    return { gate, hub };
  }
  const headers = { cookie: 'a=1; b=2', 'x-tenant': 'blue', 'user-agent': 'test', 'x-other': 'no' };

  for (const transport of ['websocket', 'http_stream', 'sse', 'uni_sse']) {
    test(`over ${transport} reach the backend that is asked`, async t => {
      const { gate, hub } = await startAsking(t);
      const opened = transport === 'websocket' ? openSession(t, hub, { headers }) : openStream(t, hub, transport, { headers });
      const asked = await gate.next();
      assert.equal(asked.headers.cookie, 'a=1; b=2');
      assert.equal(asked.headers['x-tenant'], 'blue');
      assert.equal(asked.headers['user-agent'], 'test');
      assert.equal(asked.headers['x-other'], undefined);
      asked.answer({ result: { user: '42' } });
      assert.ok((await opened).connected.client);
    });
  }
});

test('a client that is gone before its connection was allowed leaves nothing behind', async t => {
  const gate = await startGate(t);
  const hub = await start(t, { client: { insecure: false, proxy: { connect: { enabled: true, endpoint: gate.url, timeout: '20s' } } } });
  for (const transport of ['http_stream', 'uni_http_stream', 'uni_sse']) {
    const stream = await openStream(t, hub, transport, { connect: null, body: transport === 'http_stream' ? '{"id":1,"connect":{}}' : '{}' });
    const asked = await gate.next();
    stream.destroy();
    await infoWhen(hub, info => info.num_clients === 0);
    asked.answer({ result: { user: '42' } });
  }
});

test('a client that commands more than can wait is sent away', async t => {
  const gate = await startGate(t);
  const hub = await start(t, {
    emulation: { max_request_body_size: 1024 },
    rpc: { proxy: { enabled: true, endpoint: gate.url, timeout: '20s' }, without_namespace: { proxy_enabled: true } },
  });
  const stream = await openStream(t, hub, 'http_stream');
  assert.equal(await stream.send(JSON.stringify({ id: 2, rpc: { method: 'slow', data: 1 } })), 204);
  const asked = await gate.next();
  for (let id = 3; id < 25; id += 1) {
    assert.equal(await stream.send(JSON.stringify({ id, rpc: { method: 'x', data: 'y'.repeat(800) } })), 204);
  }
  assert.deepEqual(await stream.next(), { push: { disconnect: { code: 3013, reason: 'too many requests' } } });
  await stream.ended;
  asked.answer({ result: { data: 1 } });
  await infoWhen(hub, info => info.num_clients === 0);
});
