// The wire under the protocol: handshakes and frames that no client library sends. After each the hub
// must still serve the next client.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { openSession, assertServes, infoWhen } from './lib/session.mjs';
import { startHub } from './lib/hub.mjs';
import { ACCEPT, BINARY, CLOSE, KEY, PING, PONG, TEXT, closeFrame, frame, handshake, head, openRawClient, openTcp, openWebSocket } from './lib/raw.mjs';

const start = (t, config = {}) => startHub(t, { config: { client: { insecure: true }, ...config } });
const BAD_REQUEST = { code: 3501, reason: 'bad request' };
const rpc = id => `{"id":${id},"rpc":{}}`;

/** One subtest for each; then the hub must serve. */
async function each(t, hub, cases, check) {
  for (const [what, value] of Object.entries(cases)) {
    await t.test(what, async tt => {
      await check(tt, value);
      await assertServes(tt, hub);
    });
  }
}

describe('handshake', { concurrency: true }, () => {
  const refused = {
    'without a key': [400, { headers: { 'Sec-WebSocket-Key': null } }],
    'with an empty key': [400, { headers: { 'Sec-WebSocket-Key': '' } }],
    'with a short key': [400, { headers: { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZQ==' } }],
    'with a long key': [400, { headers: { 'Sec-WebSocket-Key': `AAAA${KEY}` } }],
    'with a key that is no base64': [400, { headers: { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j!!==' } }],
    'with two keys': [400, { headers: { 'Sec-WebSocket-Key': [KEY, KEY] } }],
    'without a Host': [400, { headers: { Host: null } }],
    'without a version': [426, { headers: { 'Sec-WebSocket-Version': null } }],
    'of version 8': [426, { headers: { 'Sec-WebSocket-Version': '8' } }],
    'of version 130': [426, { headers: { 'Sec-WebSocket-Version': '130' } }],
    'of two versions': [426, { headers: { 'Sec-WebSocket-Version': ['13', '13'] } }],
    'by POST': [405, { method: 'POST', headers: { 'Content-Length': '0' } }],
    'by PUT': [405, { method: 'PUT', headers: { 'Content-Length': '0' } }],
    'by HEAD': [405, { method: 'HEAD' }],
    'by HTTP/1.0': [400, { version: ' HTTP/1.0' }],
    'without the version of HTTP': [400, { version: '' }],
    'whose Connection does not say Upgrade': ['error', { headers: { Connection: 'keep-alive' } }],
    'without a Connection header': ['error', { headers: { Connection: null } }],
    'whose Connection says Upgrades': ['error', { headers: { Connection: 'Upgrades' } }],
    'to h2c': ['error', { headers: { Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' } }],
    'to h2c and websocket': ['error', { headers: { Upgrade: 'h2c, websocket' } }],
    'to something else': ['error', { headers: { Upgrade: 'foo' } }],
    'to a longer word': ['error', { headers: { Upgrade: 'websockets' } }],
    'to a shorter word': ['error', { headers: { Upgrade: 'web' } }],
    'with an unknown subprotocol': [400, { headers: { 'Sec-WebSocket-Protocol': 'chat' } }],
    'with the protobuf subprotocol': [400, { headers: { 'Sec-WebSocket-Protocol': 'centrifuge-protobuf' } }],
    'with a subprotocol of another case': [400, { headers: { 'Sec-WebSocket-Protocol': 'centrifuge-jsonx' } }],
    'at an unknown path': [404, { path: '/connection/websockets' }],
    'at the path of something else': [404, { path: '/health' }],
    'at the root': [404, { path: '/' }],
    'at a path behind it': [404, { path: '/connection/websocket/more' }],
  };
  test('a wrong one gets an HTTP error', async t => {
    const hub = await start(t);
    await each(t, hub, refused, async (tt, [expected, options]) => {
      const tcp = await openTcp(hub);
      tcp.write(handshake(options));
      const { status, headers, text } = await tcp.response({ hasBody: options.method !== 'HEAD' });
      if (expected === 'error') assert.ok(status >= 400 && status < 500, `status ${status}`);
      else assert.equal(status, expected, text);
      if (status === 426) assert.equal(headers['sec-websocket-version'], '13');
      if (status === 405) assert.equal(headers.allow, 'GET');
    });
  });

  const accepted = {
    'the usual one': [{}],
    'with a query': [{ path: '/connection/websocket?format=json' }],
    'of other case': [{ headers: { Upgrade: 'WebSocket', Connection: 'upgrade' } }],
    'with a list in Connection': [{ headers: { Connection: 'keep-alive, Upgrade' } }],
    'with an extension that is not spoken here': [{ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' } }],
    'with the subprotocol of JSON': [{ headers: { 'Sec-WebSocket-Protocol': 'centrifuge-json' } }, 'centrifuge-json'],
    'with JSON among the subprotocols': [{ headers: { 'Sec-WebSocket-Protocol': 'centrifuge-protobuf, centrifuge-json' } }, 'centrifuge-json'],
    'with 6 KB of headers': [{ headers: { Cookie: `a=${'x'.repeat(6000)}` } }],
  };
  test('a good one is accepted', async t => {
    const hub = await start(t);
    await each(t, hub, accepted, async (tt, [options, subprotocol]) => {
      const tcp = await openTcp(hub);
      tcp.write(handshake(options));
      const { status, headers } = await tcp.response();
      assert.equal(status, 101);
      assert.equal(headers['sec-websocket-accept'], ACCEPT);
      assert.equal(headers.upgrade.toLowerCase(), 'websocket');
      assert.equal(headers['sec-websocket-protocol'], subprotocol);
      assert.equal(headers['sec-websocket-extensions'], undefined);
      assert.ok((await tcp.say({ id: 1, connect: {} })).connect);
    });
  });

  test('a client of the subprotocol is served like the others', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub, { protocols: ['centrifuge-json'] });
    assert.equal(session.ws.protocol, 'centrifuge-json');
    await session.ok('subscribe', { channel: 'a' });
    await hub.call('publish', { channel: 'a', data: 1 });
    assert.deepEqual(await session.nextPush(), { channel: 'a', pub: { data: 1 } });
  });

  test('one that comes byte by byte is accepted', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    for (const byte of handshake()) {
      tcp.write(byte);
      await new Promise(setImmediate);
    }
    assert.equal((await tcp.response()).status, 101);
  });

  test('the path is the configured one', async t => {
    const hub = await start(t, { websocket: { handler_prefix: '/ws' } });
    assert.equal((await (await openWebSocket(hub, { path: '/ws' })).say({ id: 1, connect: {} })).id, 1);
    const tcp = await openTcp(hub);
    tcp.write(handshake());
    assert.equal((await tcp.response()).status, 404);
  });

  test('commands in the same segment as the handshake are heard', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    tcp.write(Buffer.concat([Buffer.from(handshake()), frame('{"id":1,"connect":{}}'), frame(rpc(2))]));
    assert.equal((await tcp.response()).status, 101);
    assert.ok(JSON.parse(await tcp.text()).connect);
    assert.equal(JSON.parse(await tcp.text()).id, 2);
  });
});

describe('no handshake', { concurrency: true }, () => {
  test('an upgrade to something else behind a request on the same connection (CVE-2025-11677)', async t => {
    const hub = await start(t);
    for (const upgrade of ['foo', 'h2c', 'websocket2', 'web']) {
      const tcp = await openTcp(hub);
      tcp.write(head('GET', '/health', { Host: 'a', Connection: 'keep-alive' }));
      assert.equal((await tcp.response()).status, 200);
      tcp.write(head('GET', '/health', { Host: 'a', Connection: 'Upgrade', Upgrade: upgrade }));
      tcp.write(head('GET', '/health', { Host: 'a' }));
      tcp.end();
      await tcp.closed;
      assert.doesNotMatch(tcp.rest().toString(), /^HTTP\/1\.1 101/);
      await assertServes(t, hub);
    }
  });

  test('a handshake behind a request on the same connection', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    tcp.write(head('GET', '/health', { Host: 'a', Connection: 'keep-alive' }));
    assert.equal((await tcp.response()).status, 200);
    tcp.write(handshake());
    assert.equal((await tcp.response()).status, 101);
    assert.ok((await tcp.say({ id: 1, connect: {} })).connect);
  });

  test('a wrong handshake, then a good one on the same connection or its end', async t => {
    const hub = await start(t);
    const tcp = await openTcp(hub);
    tcp.write(handshake({ headers: { 'Sec-WebSocket-Version': '8' } }));
    assert.equal((await tcp.response()).status, 426);
    tcp.write(handshake());
    const answer = await Promise.race([tcp.response().catch(() => 'ended'), tcp.closed.then(() => 'ended')]);
    if (answer !== 'ended') assert.equal(answer.status, 101);
    await assertServes(t, hub);
  });

  const nonsense = {
    'CONNECT': head('CONNECT', 'example.com:443', { Host: 'example.com' }),
    'CONNECT with a handshake': handshake({ method: 'CONNECT' }),
    'an unknown method': head('DANCE', '/', { Host: 'a' }),
    'zeros': Buffer.alloc(2000),
    'all bytes': Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256)),
    'a TLS hello': Buffer.from('160301020001000000fc0303'.padEnd(400, '5a'), 'hex'),
    'a preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00',
    'a frame without a handshake': frame('{"id":1,"connect":{}}'),
    'line ends': '\r\n'.repeat(100),
    'a head without an end': 'GET / HTTP/1.1\r\nHost: a\r\nX',
    'an endless head': `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(100_000)}`,
  };
  test('nonsense does no harm', async t => {
    const hub = await start(t);
    await each(t, hub, nonsense, async (tt, bytes) => {
      const tcp = await openTcp(hub);
      tcp.write(bytes);
      tcp.end();
      await tcp.closed;
      assert.doesNotMatch(tcp.rest().toString('latin1'), /^HTTP\/1\.1 [12]/);
    });
  });
});

describe('frames', { concurrency: true }, () => {
  test('one that comes byte by byte is one message', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    for (const byte of frame(rpc(2))) {
      ws.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.equal(JSON.parse(await ws.text()).id, 2);
  });

  test('many in one segment are many messages', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    const ids = Array.from({ length: 50 }, (_, i) => i + 2);
    ws.write(Buffer.concat(ids.map(id => frame(rpc(id)))));
    const seen = [];
    while (seen.length < ids.length) seen.push(...(await ws.text()).split('\n').map(line => JSON.parse(line).id));
    assert.deepEqual(seen, ids);
  });

  test('many in one segment, some of which take time, are answered in order', async t => {
    const hub = await start(t, { channel: { without_namespace: { history_size: 100, history_ttl: '1h' } } });
    const ws = await openRawClient(hub);
    const ids = Array.from({ length: 50 }, (_, i) => i + 2);
    ws.write(Buffer.concat(ids.map(id => frame(id % 2 ? rpc(id) : `{"id":${id},"publish":{"channel":"a","data":${id}}}`))));
    const seen = [];
    while (seen.length < ids.length) seen.push(...(await ws.text()).split('\n').map(line => JSON.parse(line).id));
    assert.deepEqual(seen, ids);
  });

  test('fragments are one message, also with a ping in between', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    const text = Buffer.from(`{"id":2,"rpc":{"method":"ü${'x'.repeat(2000)}"}}`);
    const inTheMiddleOfUe = text.indexOf('ü') + 1;
    ws.write(frame(text.subarray(0, inTheMiddleOfUe), { isFinal: false }));
    ws.write(frame('are you there?', { opcode: PING }));
    const pong = await ws.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [PONG, 'are you there?']);
    ws.write(frame(text.subarray(inTheMiddleOfUe, 1500), { opcode: 0, isFinal: false }));
    ws.write(frame('', { opcode: 0, isFinal: false }));
    ws.write(frame(text.subarray(1500), { opcode: 0, isFinal: false }));
    ws.write(frame('', { opcode: 0 }));
    assert.equal(JSON.parse(await ws.text()).id, 2);
  });

  test('pings are answered with their bytes, whatever they are', async t => {
    const hub = await start(t);
    const ws = await openWebSocket(hub);
    for (const payload of [Buffer.alloc(0), Buffer.from([0xff, 0x00, 0xc0]), Buffer.alloc(125, 0xfe)]) {
      ws.write(frame(payload, { opcode: PING }));
      const pong = await ws.frame();
      assert.equal(pong.opcode, PONG);
      assert.deepEqual(pong.payload, payload);
    }
  });

  test('a pong that nobody asked for is ignored, whatever it is', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    ws.write(frame(Buffer.from([0xff, 0xfe]), { opcode: PONG }));
    assert.equal((await ws.say({ id: 2, rpc: {} })).id, 2);
  });

  test('a command in a binary message is a command', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    ws.write(frame(rpc(2), { opcode: BINARY }));
    const reply = await ws.frame();
    assert.deepEqual([reply.opcode, JSON.parse(reply.payload).id], [TEXT, 2]);
  });

  test('lengths of every form are understood', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    for (const size of [125, 126, 127, 255, 256, 257, 1000, 4096, 65535, 65536]) {
      ws.write(frame(rpc(2).padEnd(size)));
      assert.equal(JSON.parse(await ws.text()).id, 2, `${size} bytes`);
    }
  });

  const utf8 = text => Buffer.concat([Buffer.from('{"id":2,"rpc":{"method":"'), Buffer.from(text, 'latin1'), Buffer.from('"}}')]);
  const ended = {
    'an empty message': [frame(''), BAD_REQUEST],
    'an empty message in fragments': [Buffer.concat([frame('', { isFinal: false }), frame('', { opcode: 0 })]), BAD_REQUEST],
    'an empty binary message': [frame('', { opcode: BINARY }), BAD_REQUEST],
    'what is no JSON': [frame('hello'), BAD_REQUEST],
    'half a JSON': [frame('{"id":2'), BAD_REQUEST],
    'JSON with a NUL': [frame('{"id":2,"rpc":{}}\0'), BAD_REQUEST],
    'an invalid byte': [frame(utf8('\xff')), 1007],
    'an overlong encoding': [frame(utf8('\xc0\xaf')), 1007],
    'a surrogate': [frame(utf8('\xed\xa0\x80')), 1007],
    'a code point beyond the last': [frame(utf8('\xf4\x90\x80\x80')), 1007],
    'half a code point': [frame(utf8('\xc3')), 1007],
    'half a code point at the end': [frame(Buffer.from([0x7b, 0xc3])), 1007],
    'half a code point before an empty last fragment': [Buffer.concat([frame(Buffer.from([0x7b, 0xc3]), { isFinal: false }), frame('', { opcode: 0 })]), 1007],
    'a reserved bit': [Buffer.concat([Buffer.from([0x80 | 0x40 | TEXT]), frame(rpc(2)).subarray(1)]), 1002],
    'a reserved opcode': [frame(rpc(2), { opcode: 3 }), 1002],
    'a reserved control opcode': [frame('', { opcode: 11 }), 1002],
    'a continuation of nothing': [frame(rpc(2), { opcode: 0 }), 1002],
    'a new message inside another': [Buffer.concat([frame('{', { isFinal: false }), frame(rpc(2))]), 1002],
    'a ping in fragments': [frame('x', { opcode: PING, isFinal: false }), 1002],
  };
  test('what cannot be answered ends with a Close, and nothing comes behind it', async t => {
    const hub = await start(t);
    await each(t, hub, ended, async (tt, [bytes, expected]) => {
      const ws = await openRawClient(hub);
      assert.ok((await ws.say({ id: 3, subscribe: { channel: 'noise' } })).subscribe);
      ws.write(bytes);
      const close = await ws.close();
      if (typeof expected === 'number') assert.equal(close.code, expected);
      else assert.deepEqual(close, expected);
      await hub.call('publish', { channel: 'noise', data: 'not for the closed one' });
      ws.write(closeFrame(close.code));
      await ws.closed;
      assert.equal(ws.rest().length, 0, `behind the Close: ${ws.rest().toString('latin1')}`);
    });
  });

  test('what was answered before the mistake still arrives', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    ws.write(Buffer.concat([frame(rpc(2)), frame(`${rpc(3)}\nhello\n${rpc(4)}`), frame(rpc(5))]));
    assert.equal(JSON.parse(await ws.text()).id, 2);
    assert.equal(JSON.parse(await ws.text()).id, 3);
    assert.deepEqual(await ws.close(), BAD_REQUEST);
    ws.write(closeFrame(3501));
    await ws.closed;
    assert.equal(ws.rest().length, 0);
  });

  test('a client that does not answer a Close is cut off', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    ws.write(frame('hello'));
    assert.deepEqual(await ws.close(), BAD_REQUEST);
    await ws.closed;
    await infoWhen(hub, info => info.num_clients === 0);
  });

  test('a control frame of more than 125 bytes ends the connection', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    ws.write(frame(Buffer.alloc(126), { opcode: PING }));
    await ws.closed;
    await assertServes(t, hub);
  });
});

describe('the end', { concurrency: true }, () => {
  test('a Close is answered with its code, and the connection ends', async t => {
    const hub = await start(t);
    for (const [code, reason] of [[1000, ''], [1001, 'going'], [3000, 'own'], [4999, 'own']]) {
      const ws = await openRawClient(hub);
      ws.write(closeFrame(code, reason));
      assert.equal((await ws.close()).code, code);
      await ws.closed;
      assert.equal(ws.rest().length, 0);
    }
    const ws = await openRawClient(hub);
    ws.write(frame('', { opcode: CLOSE }));
    await ws.close();
    await ws.closed;
    await infoWhen(hub, info => info.num_clients === 0);
  });

  test('a command and a Close in one segment: first the reply, then the Close', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    ws.write(Buffer.concat([frame('{"id":2,"unsubscribe":{"channel":"a"}}'), closeFrame(1000)]));
    assert.equal(JSON.parse(await ws.text()).id, 2);
    assert.equal((await ws.close()).code, 1000);
    await ws.closed;
  });

  test('commands behind a Close are not heard', async t => {
    const hub = await start(t);
    const watcher = await openSession(t, hub);
    await watcher.ok('subscribe', { channel: 'a' });
    const ws = await openRawClient(hub);
    ws.write(Buffer.concat([closeFrame(1000), frame('{"id":2,"publish":{"channel":"a","data":"late"}}')]));
    assert.equal((await ws.close()).code, 1000);
    await ws.closed;
    await hub.call('publish', { channel: 'a', data: 'marker' });
    assert.equal((await watcher.nextPush()).pub.data, 'marker');
  });

  test('a client that ends its side only is gone', async t => {
    const hub = await start(t);
    const ws = await openRawClient(hub);
    assert.ok((await ws.say({ id: 2, subscribe: { channel: 'a' } })).subscribe);
    ws.end();
    await ws.closed;
    await infoWhen(hub, info => info.num_clients === 0 && info.num_channels === 0);
    await assertServes(t, hub);
  });

  test('a client that vanishes in the middle of a message is gone', async t => {
    const hub = await start(t);
    for (const bytes of [frame(rpc(2)).subarray(0, 3), frame(rpc(2)).subarray(0, 12), frame(rpc(2), { isFinal: false })]) {
      const ws = await openRawClient(hub);
      ws.write(bytes);
      ws.write(frame('', { opcode: PING })); // is part of the message, or answered: either way it has been read
      ws.destroy();
    }
    await infoWhen(hub, info => info.num_clients === 0);
    await assertServes(t, hub);
  });
});
