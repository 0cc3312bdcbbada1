// The wire of the HTTP transports: heads, ends, refusals, and what no client library sends.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { makeCertificate, tlsConfig } from './lib/certificate.mjs';
import { temporaryFolder } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { head, openTcp } from './lib/raw.mjs';
import { assertServes, infoWhen } from './lib/session.mjs';
import { openStream } from './lib/stream.mjs';

const ALL = { http_stream: { enabled: true }, sse: { enabled: true }, uni_http_stream: { enabled: true }, uni_sse: { enabled: true } };
const start = (t, { client, ...config } = {}) => startHub(t, { config: { client: { insecure: true, ...client }, ...ALL, ...config } });
const CONNECT = '{"id":1,"connect":{}}';
const post = (path, body, headers = {}, version) => head('POST', path, { 'Content-Length': Buffer.byteLength(body), ...headers }, version) + body;

/** A connected http_stream client over a hand-made connection. */
async function openRawStream(hub, options = {}) {
  const tcp = await openTcp(hub);
  tcp.write(post('/connection/http_stream', CONNECT, options.headers, options.version));
  const { status, headers } = await tcp.response();
  assert.equal(status, 200);
  const { connect } = JSON.parse(await tcp.line());
  return { tcp, headers, connect };
}

function emulate(hub, { session, node }, ...commands) {
  const data = commands.map(command => JSON.stringify(command)).join('\n');
  return hub.request('POST', '/emulation', { body: { session, node, data } });
}

describe('the head', { concurrency: true }, () => {
  const NOT_STORED = {
    'x-accel-buffering': 'no',
    'cache-control': 'private, no-cache, no-store, must-revalidate, max-age=0',
    pragma: 'no-cache',
    expire: '0',
    vary: 'Origin',
    connection: 'close',
  };

  for (const [transport, type] of Object.entries({ http_stream: 'application/x-ndjson', sse: 'text/event-stream', uni_http_stream: 'application/x-ndjson', uni_sse: 'text/event-stream' })) {
    test(`of ${transport} forbids buffering and has no length`, async t => {
      const hub = await start(t);
      const { headers } = await openStream(t, hub, transport);
      for (const [name, value] of Object.entries({ ...NOT_STORED, 'content-type': type })) assert.equal(headers[name], value, name);
      assert.equal(headers['content-length'], undefined);
      assert.equal(headers['transfer-encoding'], undefined);
    });
  }

  test('comes at once, before a command has been answered', async t => {
    const hub = await start(t, { client: { stale_close_delay: '60s' } });
    const tcp = await openTcp(hub);
    tcp.write(post('/connection/sse', '\n')); // not even a command
    assert.equal((await tcp.response()).status, 200);
  });

  test('of an event stream is followed by an empty line', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    tcp.write(head('GET', `/connection/sse?cf_connect=${encodeURIComponent(CONNECT)}`));
    await tcp.response();
    assert.equal((await tcp.bytes(2)).toString(), '\r\n');
    assert.match(await tcp.line(), /^data: \{"id":1,"connect":\{/);
    assert.equal(await tcp.line(), '');
  });

  test('of the request may come byte by byte', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    for (const byte of post('/connection/http_stream', CONNECT)) await tcp.write(byte);
    assert.equal((await tcp.response()).status, 200);
    assert.ok(JSON.parse(await tcp.line()).connect.session);
  });

  test('of HTTP/1.0 is enough', async t => {
    const hub = await start(t);
    const { tcp } = await openRawStream(hub, { version: ' HTTP/1.0' });
    tcp.destroy();
    await infoWhen(hub, info => info.num_clients === 0);
  });

  test('may have blanks as + and plus signs as %2B in its arguments', async t => {
    const hub = await start(t);
    const commands = '{"id":1,"connect":{"name":"a b+c&d=e;f%"}}';
    const query = new URLSearchParams({ x: '1', cf_connect: commands, y: '&' });
    const stream = await openStream(t, hub, 'sse', { path: `/connection/sse?${query}` });
    assert.ok(stream.connected.session);
  });
});

describe('what is refused', { concurrency: true }, () => {
  const json = { 'content-type': 'application/json' };
  const cases = {
    'protobuf by its content type': [415, 'POST', '/connection/http_stream', CONNECT, { 'content-type': 'application/octet-stream' }],
    'protobuf by format': [400, 'POST', '/connection/http_stream?format=protobuf', CONNECT],
    'protobuf by cf_protocol': [400, 'GET', `/connection/sse?cf_connect=${encodeURIComponent(CONNECT)}&cf_protocol=protobuf`],
    'a stream without commands': [400, 'POST', '/connection/http_stream', '', json],
    'an event stream without commands': [400, 'GET', '/connection/sse'],
    'commands that are not UTF-8': [400, 'POST', '/connection/http_stream', Buffer.from([0x22, 0xff, 0x22])],
    'arguments that are not UTF-8': [400, 'GET', '/connection/sse?cf_connect=%FF'],
    'GET of http_stream': [405, 'GET', '/connection/http_stream'],
    'PUT of an event stream': [405, 'PUT', '/connection/sse', CONNECT],
    'HEAD of an event stream': [405, 'HEAD', '/connection/sse'],
    'a body that is too large': [413, 'POST', '/connection/http_stream', 'x'.repeat(65537)],
    'emulation by GET': [405, 'GET', '/emulation'],
    'emulation without JSON': [400, 'POST', '/emulation', 'no json'],
    'emulation without an object': [400, 'POST', '/emulation', '[]'],
    'emulation without data': [400, 'POST', '/emulation', { session: 'a', node: 'b' }],
    'emulation whose session is no text': [400, 'POST', '/emulation', { session: 1, node: 'b', data: '' }],
    'emulation for another node': [404, 'POST', '/emulation', { session: 'a', node: 'b', data: '{}' }],
    'emulation that is too large': [413, 'POST', '/emulation', 'x'.repeat(65537)],
  };
  test('is refused with a status and words', async t => {
    const hub = await start(t);
    for (const [what, [expected, method, path, body, headers]] of Object.entries(cases)) {
      const { status, text } = await hub.request(method, path, { body, headers });
      assert.equal(status, expected, what);
      if (expected !== 405) assert.match(text, /^[a-zA-Z].*\n$/, what);
    }
    assert.equal((await infoWhen(hub, () => true)).num_clients, 0);
    await assertServes(t, hub);
  });

  test('is what exceeds the limit of its own section', async t => {
    const hub = await start(t, { sse: { enabled: true, max_request_body_size: 256 }, http_server: { max_request_body_size: 1024 } });
    const { status, text } = await hub.request('POST', '/connection/sse', { body: 'x'.repeat(257) });
    assert.equal(status, 413);
    assert.match(text, /sse\.max_request_body_size/);
    const whole = `{"id":1,"connect":{"name":"${'x'.repeat(2000)}"}}`; // more than others may send
    assert.ok((await openStream(t, hub, 'http_stream', { body: whole })).connected);
  });

  test('is a connection over client.connection_limit, on every transport', async t => {
    const hub = await start(t, { client: { connection_limit: 1 } });
    await openStream(t, hub, 'http_stream');
    for (const transport of ['http_stream', 'sse', 'uni_http_stream', 'uni_sse']) {
      const { status, headers } = await hub.request('POST', `/connection/${transport}`, { body: CONNECT });
      assert.equal(status, 503, transport);
      assert.equal(headers['retry-after'], '1');
    }
  });

  test('is a transport that is not enabled', async t => {
    const hub = await startHub(t, { config: { client: { insecure: true } } });
    for (const path of ['/connection/http_stream', '/connection/sse', '/connection/uni_sse', '/connection/uni_http_stream', '/emulation']) {
      assert.equal((await hub.request('POST', path, { body: CONNECT })).status, 404, path);
    }
  });
});

describe('commands', { concurrency: true }, () => {
  test('for an unknown session are accepted, and go nowhere', async t => {
    const hub = await start(t);
    const { connected } = await openStream(t, hub, 'http_stream');
    assert.equal((await emulate(hub, { ...connected, session: '9b2d7b54-1f5c-4a58-9a3e-2f1f5f0c7a11' }, {})).status, 204);
    assert.equal((await emulate(hub, { ...connected, session: '' }, {})).status, 204);
  });

  test('for a session that has ended are accepted too', async t => {
    const hub = await start(t);
    const stream = await openStream(t, hub, 'http_stream');
    stream.destroy();
    await infoWhen(hub, info => info.num_clients === 0);
    assert.equal((await emulate(hub, stream.connected, { id: 2, subscribe: { channel: 'a' } })).status, 204);
    await assertServes(t, hub);
  });

  test('of one session are answered in the order in which they came', async t => {
    const hub = await start(t);
    const stream = await openStream(t, hub, 'sse');
    for (let id = 2; id < 40; id += 2) {
      assert.equal((await emulate(hub, stream.connected, { id, subscribe: { channel: `c${id}` } }, { id: id + 1, publish: { channel: 'a', data: '"\\\u2028' } })).status, 204);
    }
    for (let id = 2; id < 40; id += 1) assert.equal((await stream.next()).id, id);
  });

  test('that are none end the stream with 3501', async t => {
    const hub = await start(t);
    for (const body of ['no json', '{}', '{"id":2,"subscribe":{"channel":"a"}}']) {
      const stream = await openStream(t, hub, 'http_stream', { body, connect: null });
      assert.deepEqual(await stream.next(), { push: { disconnect: { code: 3501, reason: 'bad request' } } });
      await stream.ended;
    }
    const stream = await openStream(t, hub, 'sse');
    assert.equal(await stream.send('no json'), 204);
    assert.deepEqual(await stream.next(), { push: { disconnect: { code: 3501, reason: 'bad request' } } });
    await stream.ended;
  });
});

describe('a peer', { concurrency: true }, () => {
  const byPost = async hub => (await openRawStream(hub)).tcp;
  const byGet = async hub => {
    const tcp = await openTcp(hub);
    tcp.write(head('GET', `/connection/sse?cf_connect=${encodeURIComponent(CONNECT)}`));
    assert.equal((await tcp.response()).status, 200);
    await tcp.line();
    assert.match(await tcp.line(), /connect/);
    return tcp;
  };

  for (const [method, open] of Object.entries({ POST: byPost, GET: byGet })) {
    test(`by ${method} that is gone is forgotten`, async t => {
      const hub = await start(t);
      const tcp = await open(hub);
      await infoWhen(hub, info => info.num_clients === 1);
      tcp.destroy();
      await infoWhen(hub, info => info.num_clients === 0);
    });

    test(`by ${method} that ends its side is taken for gone`, async t => {
      const hub = await start(t);
      const tcp = await open(hub);
      tcp.end();
      await tcp.closed;
      await infoWhen(hub, info => info.num_clients === 0);
    });
  }

  for (const [what, request] of Object.entries({ 'another request': head('GET', '/health'), 'a part of one': 'GET /he', 'a body': 'x'.repeat(100) })) {
    test(`that sends ${what} behind a stream is cut, and no loop runs hot`, async t => {
      const hub = await start(t);
      const { tcp } = await openRawStream(hub);
      tcp.write(request);
      await tcp.closed;
      await infoWhen(hub, info => info.num_clients === 0);
      await assertServes(t, hub);
    });
  }

  test('that sends another request behind an event stream by GET is cut', async t => {
    const hub = await start(t);
    const tcp = await byGet(hub);
    tcp.write(head('GET', '/health'));
    await tcp.closed;
    await infoWhen(hub, info => info.num_clients === 0);
  });

  test('that is gone before its request was whole leaves nothing behind', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    await tcp.write(head('POST', '/connection/http_stream', { 'Content-Length': 100 }) + '{"id"');
    tcp.destroy();
    await assertServes(t, hub);
  });
});

describe('a slow reader', { concurrency: true }, () => {
  const data = 'x'.repeat(64_000);

  async function startWithSlowOne(t) {
    const hub = await start(t, { client: { queue_max_size: 300_000 } });
    const { tcp, connect } = await openRawStream(hub);
    assert.equal((await emulate(hub, connect, { id: 2, subscribe: { channel: 'a' } })).status, 204);
    assert.ok(JSON.parse(await tcp.line()).subscribe);
    tcp.pause();
    return { hub, tcp };
  }

  async function floodUntil(hub, isEnough) {
    for (let i = 0; i < 1000; i += 1) {
      await hub.call('publish', { channel: 'a', data: `${i} ${data}` });
      if (isEnough((await hub.call('info')).nodes[0])) return;
    }
    assert.fail('64 MB were published, and the hub took it all');
  }

  test('is disconnected as slow, and told so when it reads again', async t => {
    const { hub, tcp } = await startWithSlowOne(t);
    await floodUntil(hub, info => info.num_subs === 0);
    tcp.resume();
    let message;
    let n = 0;
    for (;;) {
      message = JSON.parse(await tcp.line());
      if (!message.push?.pub) break;
      assert.equal(message.push.pub.data, `${n++} ${data}`);
    }
    assert.deepEqual(message, { push: { disconnect: { code: 3008, reason: 'slow' } } });
    await tcp.closed;
    assert.ok(n > 0);
  });

  test('that never reads again is cut', async t => {
    const { hub } = await startWithSlowOne(t);
    await floodUntil(hub, info => info.num_subs === 0);
    await infoWhen(hub, info => info.num_clients === 0);
    await assertServes(t, hub);
  });

  test('that reads on in time gets everything', async t => {
    const hub = await start(t, { client: { queue_max_size: 100_000_000 } });
    const { tcp, connect } = await openRawStream(hub);
    await emulate(hub, connect, { id: 2, subscribe: { channel: 'a' } });
    await tcp.line();
    tcp.pause();
    for (let i = 0; i < 300; i += 1) await hub.call('publish', { channel: 'a', data: `${i} ${data}` });
    tcp.resume();
    for (let i = 0; i < 300; i += 1) assert.equal(JSON.parse(await tcp.line()).push.pub.data, `${i} ${data}`);
  });
});

describe('over TLS', { concurrency: true }, () => {
  async function startTls(t, client = {}) {
    const certificate = await makeCertificate(await temporaryFolder(t));
    const config = { client: { insecure: true, ...client }, ...ALL, ...tlsConfig(certificate) };
    return startHub(t, { config, ca: certificate.ca });
  }
  const data = 'x'.repeat(500_000);

  for (const transport of ['http_stream', 'sse']) {
    test(`${transport} carries much, and its end`, async t => {
      const hub = await startTls(t, { queue_max_size: 100_000_000 });
      const stream = await openStream(t, hub, transport);
      assert.ok((await stream.call('subscribe', { channel: 'a' })).subscribe);
      for (let i = 0; i < 20; i += 1) await hub.call('publish', { channel: 'a', data: `${i} ${data}` });
      for (let i = 0; i < 20; i += 1) assert.equal((await stream.next()).push.pub.data, `${i} ${data}`);
      hub.signal('SIGTERM');
      assert.deepEqual(await stream.next(), { push: { disconnect: { code: 3001, reason: 'shutdown' } } });
      await stream.ended;
      assert.equal((await hub.exited).code, 0);
    });

    test(`${transport} notices who is gone`, async t => {
      const hub = await startTls(t);
      const stream = await openStream(t, hub, transport);
      await infoWhen(hub, info => info.num_clients === 1);
      stream.destroy();
      await infoWhen(hub, info => info.num_clients === 0);
    });
  }
});

describe('the end of the hub', { concurrency: true }, () => {
  test('is told to a hundred streams with 3001, and they end in an orderly way', async t => {
    const hub = await start(t);
    const streams = [];
    for (let i = 0; i < 25; i += 1) {
      for (const transport of ['http_stream', 'sse', 'uni_http_stream', 'uni_sse']) streams.push([transport, await openStream(t, hub, transport)]);
    }
    hub.signal('SIGTERM');
    for (const [transport, stream] of streams) {
      const message = await stream.next();
      const { disconnect } = transport.startsWith('uni_') ? message : message.push;
      assert.deepEqual(disconnect, { code: 3001, reason: 'shutdown' });
      await stream.ended;
    }
    assert.equal((await hub.exited).code, 0);
  });
});
