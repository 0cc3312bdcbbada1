// The doors of the hub: the public port, the internal one, a Unix socket; what is behind each, and what becomes of them.
import assert from 'node:assert/strict';
import { lstat, mkdir, readdir, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { makeCertificate, tlsConfig } from './lib/certificate.mjs';
import { serveToEnd, temporaryFolder } from './lib/command.mjs';
import { API_KEY, merged, startHub } from './lib/hub.mjs';
import { request } from './lib/http.mjs';
import { frame, handshake, head, openTcp, openWebSocket } from './lib/raw.mjs';
import { openSession } from './lib/session.mjs';

const INNER = '127.0.0.9'; // where nobody else takes ports
const KEY = { 'x-api-key': API_KEY };

/** Of no use to anybody else on that address for now. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, INNER, () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

const everything = {
  client: { insecure: true },
  prometheus: { enabled: true },
  openapi: { enabled: true },
  demo: { enabled: true },
  uni_sse: { enabled: true },
  http_stream: { enabled: true },
};

/** hub.inner: what stands for the hub at its internal port. */
async function startInnerHub(t, config = {}, options = {}) {
  const port = await freePort();
  const http_server = { internal_port: port, internal_address: INNER };
  const hub = await startHub(t, { config: merged(merged(everything, { http_server }), config), ...options });
  hub.inner = { port, host: INNER, atEnd: fn => hub.atEnd(fn) };
  return hub;
}

async function startSocketHub(t, config = {}, { dir, ...options } = {}) {
  const folder = dir ?? (await temporaryFolder(t));
  const socketPath = join(folder, 'hub.sock');
  const hub = await startHub(t, { config: merged(merged(everything, { http_server: { unix_socket: socketPath } }), config), ...options });
  hub.socket = { socketPath, atEnd: fn => hub.atEnd(fn) };
  return hub;
}

const ask = (door, method, path, options = {}) => request(door.port, method, path, { host: door.host, socketPath: door.socketPath, ca: door.ca, ...options });
const statusOf = async (...args) => (await ask(...args)).status;
const publish = (door, body) => ask(door, 'POST', '/api/publish', { headers: KEY, body });

const internal = [['POST', '/api/info'], ['POST', '/api/publish'], ['GET', '/metrics'], ['GET', '/health'], ['GET', '/ready'], ['GET', '/openapi.json'], ['GET', '/docs/api']];
const open = [
  ['GET', '/', 200], ['GET', '/connection/websocket', 426], ['POST', '/demo/notify', 400], ['POST', '/emulation', 400], ['GET', '/connection/uni_http_stream', 404],
  ['POST', '/connection/http_stream', 200], ['GET', '/none', 404],
];

async function assertHasInternal(door) {
  for (const [method, path] of internal) {
    const status = await statusOf(door, method, path, { headers: KEY, body: method === 'POST' ? {} : undefined });
    assert.notEqual(status, 404, path);
  }
  assert.equal((await ask(door, 'POST', '/api/info', { headers: KEY, body: {} })).json.result.nodes.length, 1);
  assert.equal(await statusOf(door, 'POST', '/api/info', { body: {} }), 401, 'the key is wanted here, too');
}

async function assertHasNoInternal(door) {
  for (const [method, path] of internal) {
    const { status, text } = await ask(door, method, path, { headers: KEY, body: method === 'POST' ? {} : undefined });
    assert.deepEqual([status, text], [404, 'nothing here\n'], path);
  }
}

async function assertHasPublic(door) {
  for (const [method, path, status] of open) {
    assert.equal(await statusOf(door, method, path, { body: method === 'POST' ? 'x' : undefined }), status, path);
  }
}

async function assertHasNoPublic(door) {
  for (const [method, path] of open) {
    assert.equal(await statusOf(door, method, path, { body: method === 'POST' ? 'x' : undefined }), 404, path);
  }
}

describe('the internal port', { concurrency: true }, () => {
  test('alone has what is for operators and backends, and nothing else', async t => {
    const hub = await startInnerHub(t);
    await assertHasPublic(hub);
    await assertHasNoInternal(hub);
    await assertHasInternal(hub.inner);
    await assertHasNoPublic(hub.inner);
  });

  test('without one, and by default, there is one port for all', async t => {
    const hub = await startHub(t, { config: everything });
    await assertHasPublic(hub);
    await assertHasInternal(hub);
    assert.ok(!hub.lines.some(line => / internal_port /.test(line)));
  });

  test('no WebSocket there, and no API behind the other by way of a kept connection or a name', async t => {
    const hub = await startInnerHub(t);
    const inner = await openTcp(hub.inner);
    inner.write(handshake());
    assert.equal((await inner.response()).status, 404);
    const outer = await openTcp(hub);
    for (const Host of ['127.0.0.1', 'belfry', `${INNER}:${hub.inner.port}`]) {
      outer.write(head('GET', '/', { Host }));
      assert.equal((await outer.response()).status, 200);
      outer.write(`${head('POST', '/api/info', { Host, 'X-API-Key': API_KEY, 'Content-Length': 2 })}{}`);
      assert.equal((await outer.response()).status, 404, Host);
      outer.write(head('GET', '/health', { Host }));
      assert.equal((await outer.response()).status, 404, Host);
    }
  });

  test('paths that look like one of them are not', async t => {
    const hub = await startInnerHub(t);
    for (const path of ['/x/../api/info', '//api/info', '/API/info', '/api%2finfo', '/%61pi/info', '/./health', '/health/']) {
      assert.equal(await statusOf(hub, 'POST', path, { headers: KEY, body: {} }), 404, path);
    }
  });

  test('what is published there reaches who is subscribed here', async t => {
    const hub = await startInnerHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    assert.equal((await publish(hub.inner, { channel: 'a', data: 1 })).status, 200);
    assert.equal((await session.nextPush()).pub.data, 1);
  });

  test('speaks no TLS where the other does', async t => {
    const certificate = await makeCertificate(await temporaryFolder(t));
    const hub = await startInnerHub(t, tlsConfig(certificate), { ca: certificate.ca });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    await assertHasNoInternal(hub);
    await assertHasInternal(hub.inner);
    await publish(hub.inner, { channel: 'a', data: 'x'.repeat(500_000) });
    assert.equal((await session.nextPush()).pub.data.length, 500_000);
    await assert.rejects(statusOf({ ...hub.inner, ca: certificate.ca }, 'GET', '/health'));
    await hub.waitForLine(line => line.includes(` server internal_port address=${INNER} port=${hub.inner.port}`));
  });

  test('is at the address of the other by default', async t => {
    const port = await freePort();
    const hub = await startHub(t, { config: { http_server: { address: INNER, internal_port: port } } });
    assert.equal(await statusOf({ port, host: INNER }, 'GET', '/health'), 200);
    await assert.rejects(statusOf({ port, host: '127.0.0.1' }, 'GET', '/health'), /ECONNREFUSED/);
    assert.equal(await statusOf({ port: hub.port, host: INNER }, 'GET', '/health'), 404);
  });

  test('one that is taken is named, and the hub does not start', async t => {
    const hub = await startInnerHub(t);
    const { code, text } = await serveToEnd(t, { http_server: { port: 0, internal_port: hub.inner.port, internal_address: INNER }, storage: { durability: 'memory' } });
    assert.equal(code, 1, text);
    assert.match(text, new RegExp(`error listener cannot_listen action=bind address=${INNER} port=${hub.inner.port} error="Address already in use"`));
    assert.match(text, / error main not_started /);
  });

  test('has places left when clients have taken all others', async t => {
    const hub = await startInnerHub(t, {}, { wrapper: ['prlimit', '--nofile=200:200'] });
    const held = [];
    for (let i = 0; i < 110; i += 1) held.push(await openTcp(hub));
    await hub.waitForLine(line => / server connection_refused .*why="the descriptor limit"/.test(line));
    assert.deepEqual(await Promise.all(Array.from({ length: 20 }, () => statusOf(hub.inner, 'GET', '/health'))), Array(20).fill(200));
    await assert.rejects(statusOf(hub, 'GET', '/'), /ECONNRESET|socket hang up/);
    for (const tcp of held) tcp.destroy();
  });

  test('1,000 connections there and here, at the same time', async t => {
    const hub = await startInnerHub(t);
    const statuses = await Promise.all(Array.from({ length: 1000 }, (_, i) => statusOf(i % 2 ? hub : hub.inner, 'GET', '/health')));
    assert.deepEqual(statuses, statuses.map((_, i) => (i % 2 ? 404 : 200)));
  });
});

describe('the Unix socket', { concurrency: true }, () => {
  test('has everything, beside a port that has everything', async t => {
    const hub = await startSocketHub(t);
    for (const door of [hub, hub.socket]) {
      await assertHasPublic(door);
      await assertHasInternal(door);
    }
  });

  test('has everything, without TLS, beside an internal port', async t => {
    const dir = await temporaryFolder(t);
    const certificate = await makeCertificate(dir);
    const hub = await startInnerHub(t, merged(tlsConfig(certificate), { http_server: { unix_socket: join(dir, 'hub.sock') } }), { ca: certificate.ca });
    const socket = { socketPath: join(dir, 'hub.sock') };
    await assertHasPublic(socket);
    await assertHasInternal(socket);
    await assertHasNoInternal(hub);
  });

  test('a WebSocket client gets what a backend publishes there, large and small, however slowly it reads', async t => {
    const hub = await startSocketHub(t, { client: { queue_max_size: 100_000_000 } });
    const ws = await openWebSocket(hub.socket);
    assert.ok((await ws.say({ id: 1, connect: {} })).connect);
    assert.deepEqual((await ws.say({ id: 2, subscribe: { channel: 'a' } })).id, 2);
    ws.pause();
    const texts = Array.from({ length: 60 }, (_, i) => `${i} ${'x'.repeat(i % 3 === 0 ? i : 10_000 * i)}`);
    for (const data of texts) assert.equal((await publish(hub.socket, { channel: 'a', data })).status, 200);
    ws.resume();
    for (const data of texts) assert.ok(JSON.parse(await ws.text()).push.pub.data === data, `message ${data.slice(0, 3)}`);
    assert.deepEqual((await ws.say({ id: 3, rpc: {} })).id, 3);
  });

  test('connections are kept, and cut when they say nothing good', async t => {
    const hub = await startSocketHub(t);
    const kept = await openTcp(hub.socket);
    for (let i = 0; i < 20; i += 1) {
      kept.write(`${head('POST', '/api/info', { 'X-API-Key': API_KEY, 'Content-Length': 2 })}{}`);
      assert.equal((await kept.response()).status, 200);
    }
    kept.write('\0\0\0\0\r\n\r\n');
    await kept.closed;
    assert.equal(await statusOf(hub.socket, 'GET', '/health'), 200);
  });

  test('the end says 3001 to its clients, too, and removes the file', async t => {
    const hub = await startSocketHub(t, { shutdown: { drain: '0s' } });
    const ws = await openWebSocket(hub.socket);
    assert.ok((await ws.say({ id: 1, connect: {} })).connect);
    hub.signal('SIGTERM');
    const { code } = await ws.close();
    assert.equal(code, 3001);
    ws.write(frame(Buffer.from([0x0b, 0xb9]), { opcode: 8 }));
    assert.deepEqual(await hub.exited, { code: 0, signal: null });
    await assert.rejects(lstat(hub.socket.socketPath), { code: 'ENOENT' });
  });

  for (const [mode, expected] of [[undefined, 0o660], ['0600', 0o600], ['0666', 0o666]]) {
    test(`has the mode ${mode ?? 'of the default'}`, async t => {
      const hub = await startSocketHub(t, { http_server: mode ? { unix_socket_mode: mode } : {} });
      assert.equal((await lstat(hub.socket.socketPath)).mode & 0o7777, expected);
    });
  }

  test('a killed hub leaves the file behind, which is no obstacle', async t => {
    const hub = await startSocketHub(t);
    await hub.kill9();
    assert.ok((await lstat(hub.socket.socketPath)).isSocket());
    await hub.restart();
    await hub.waitForLine(line => line.includes(` listener left_behind_removed path=${hub.socket.socketPath}`));
    assert.equal(await statusOf(hub.socket, 'GET', '/health'), 200);
  });

  const memory = unix_socket => ({ http_server: { port: 0, unix_socket }, storage: { durability: 'memory' } });

  test('one on which somebody listens is an error, and stays his', async t => {
    const hub = await startSocketHub(t);
    const { code, text } = await serveToEnd(t, memory(hub.socket.socketPath));
    assert.equal(code, 1, text);
    assert.match(text, / error listener cannot_listen action=bind path=\S+ error="another program listens there"/);
    assert.equal(await statusOf(hub.socket, 'GET', '/health'), 200);
  });

  test('other files, and folders that are not there, are errors', async t => {
    const dir = await temporaryFolder(t);
    await writeFile(join(dir, 'file'), 'precious');
    await mkdir(join(dir, 'folder'));
    for (const [name, error] of [['file', '"there is a file that is no socket"'], ['folder', '"there is a file that is no socket"'], ['none/hub.sock', '"No such file or directory"']]) {
      const { code, text } = await serveToEnd(t, memory(join(dir, name)));
      assert.equal(code, 1, text);
      assert.ok(text.includes(` error listener cannot_listen action=bind path=${join(dir, name)} error=${error}`), text);
    }
    assert.deepEqual((await readdir(dir)).sort(), ['file', 'folder']);
  });
});

describe('while the hub ends', { concurrency: true }, () => {
  test('the internal port answers to the last, the others refuse', async t => {
    const dir = await temporaryFolder(t);
    const socketPath = join(dir, 'hub.sock');
    const hub = await startInnerHub(t, { http_server: { unix_socket: socketPath }, shutdown: { drain: '0s' } });
    const ws = await openWebSocket(hub); // which does not answer the Close for a while
    assert.ok((await ws.say({ id: 1, connect: {} })).connect);
    hub.signal('SIGTERM');
    assert.equal((await ws.close()).code, 3001);
    const { status, json } = await ask(hub.inner, 'GET', '/ready');
    assert.deepEqual([status, json.ready], [503, false]);
    assert.ok(json.reasons.includes('shutting_down'));
    assert.equal(await statusOf(hub.inner, 'GET', '/health'), 200);
    assert.match((await ask(hub.inner, 'GET', '/metrics')).text, /^belfry_/m);
    const refused = await publish(hub.inner, { channel: 'a', data: 1 });
    assert.deepEqual([refused.status, refused.text], [503, 'shutting down\n']);
    await assert.rejects(statusOf(hub, 'GET', '/'), /ECONNREFUSED/);
    await assert.rejects(statusOf({ socketPath }, 'GET', '/'), /ENOENT/);
    ws.destroy();
    assert.deepEqual(await hub.exited, { code: 0, signal: null });
    await assert.rejects(statusOf(hub.inner, 'GET', '/health'), /ECONNREFUSED/);
  });
});
