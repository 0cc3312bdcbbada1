// The test upstream itself and what stands beside it, where a fault of it would look like one of the hub.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { createGunzip, gunzipSync } from 'node:zlib';

import { makeCertificate } from './lib/certificate.mjs';
import { startForwardProxy } from './lib/forward_proxy.mjs';
import { request } from './lib/http.mjs';
import { startHttp2 } from './lib/http2.mjs';
import { LIMIT_MS, startProcess, within } from './lib/process.mjs';
import { slowDns } from './lib/slow_dns.mjs';
import { refusedUrl, startUpstream, UPSTREAM_BIN } from './lib/upstream.mjs';

const MIB = 1024 * 1024;
const run = promisify(execFile);

async function certificateOf(t, options) {
  const dir = await mkdtemp(join(tmpdir(), 'belfry-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return makeCertificate(dir, options);
}

const get = (upstream, path, headers) => request(upstream.port, 'GET', path, { headers, unchecked: 'it is no hub' });

/** An answer's head, and its body as a stream of bytes. */
function open(url, options = {}) {
  return within(new Promise((resolve, reject) => {
    (url.startsWith('https:') ? https : http).get(url, { agent: false, ...options }, resolve).once('error', reject);
  }), `the head of ${url}`);
}

async function bytesOf(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

/** The code of the error that the request ends with. */
function failureOf(url, options) {
  const failed = new Promise((resolve, reject) => {
    const outgoing = (url.startsWith('https:') ? https : http).get(url, { agent: false, ...options }, () => reject(new Error(`${url} was answered`)));
    outgoing.once('error', error => resolve(error.code));
  });
  return within(failed, `the failure of ${url}`);
}

test('large answers to pipelined requests all reach a client that reads slowly', async t => {
  const upstream = await startUpstream(t);
  const [n, size] = [100, 300_000];
  const socket = net.connect(upstream.port, '127.0.0.1');
  t.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', part => {
    text += part;
    socket.pause(); // the next part is the next turn's
    setImmediate(() => socket.resume());
  });
  const request = `GET /json?size=${size} HTTP/1.1\r\nHost: upstream\r\n`;
  socket.write(`${request}\r\n`.repeat(n - 1) + `${request}Connection: close\r\n\r\n`);
  await within(new Promise(resolve => socket.once('end', resolve)), () => `the end of the answers; ${text.length} bytes have come`);
  assert.equal(text.match(/HTTP\/1\.1 200 OK\r\n/g).length, n);
  assert.ok(text.length > n * size);
});

describe('options', { concurrency: true }, () => {
  test('gzip=1 compresses for who can read it, and for nobody else', async t => {
    const upstream = await startUpstream(t);
    const path = '/json?size=50000';
    const plain = (await get(upstream, path)).text;
    const answer = await open(`${upstream.url}${path}&gzip=1`, { headers: { 'accept-encoding': 'br, gzip' } });
    const bytes = await bytesOf(answer);
    assert.equal(answer.headers['content-encoding'], 'gzip');
    assert.equal(Number(answer.headers['content-length']), bytes.length);
    assert.ok(bytes.length < plain.length / 3);
    assert.equal(gunzipSync(bytes).toString(), plain);

    const { headers, text } = await get(upstream, `${path}&gzip=1`);
    assert.equal(headers['content-encoding'], undefined);
    assert.equal(text, plain);
  });

  test('bomb=N is small, and is a JSON string of N MiB', async t => {
    const upstream = await startUpstream(t);
    const n = 5;
    const bytes = await bytesOf(await open(`${upstream.url}/json?bomb=${n}`));
    assert.ok(bytes.length < n * 2048, `${bytes.length} bytes`);
    assert.equal(gunzipSync(bytes).toString(), JSON.stringify(' '.repeat(n * MIB))); // zlib checks the sum and the length, too
    const large = await open(`${upstream.url}/json?bomb=5000`);
    assert.ok(Number(large.headers['content-length']) < 5000 * 2048);
    let inflated = 0;
    for await (const part of large.pipe(createGunzip())) {
      inflated += part.length;
      if (inflated > 20 * MIB) break;
    }
    assert.ok(inflated > 20 * MIB);
  });

  test('fail=N fails so many times for each target, then never until the reset', async t => {
    const upstream = await startUpstream(t);
    const statuses = async (path, n) => {
      const all = [];
      for (let i = 0; i < n; i++) all.push((await get(upstream, path)).status);
      return all;
    };
    const limited = '/weather?city=a&fail=1&fail_status=429&retry_after=7';
    assert.deepEqual(await statuses('/weather?city=a&fail=2', 4), [500, 500, 200, 200]);
    assert.deepEqual(await statuses('/weather?city=b&fail=2', 3), [500, 500, 200]);
    const { status, headers } = await get(upstream, limited);
    assert.deepEqual([status, headers['retry-after']], [429, '7']);
    const fine = await get(upstream, limited);
    assert.deepEqual([fine.status, fine.headers['retry-after'], fine.json.city], [200, undefined, 'a']);
    assert.equal(await failureOf(`${upstream.url}/health?fail=1&fail_with=reset`), 'ECONNRESET');
    assert.deepEqual(await statuses('/health?fail=1&fail_with=reset', 1), [200]);
    await upstream.reset();
    assert.deepEqual(await statuses('/weather?city=a&fail=2', 3), [500, 500, 200]);
  });

  test('fail_with=hang answers nothing at first', async t => {
    const upstream = await startUpstream(t);
    const path = '/health?fail=1&fail_with=hang';
    const hanging = http.get(`${upstream.url}${path}`, { agent: false });
    t.after(() => hanging.destroy());
    hanging.on('error', () => {});
    const isThere = async () => { while ((await upstream.stats()).active === 0); };
    await within(isThere(), 'the hanging request');
    assert.equal((await get(upstream, path)).status, 200);
    assert.equal((await upstream.stats()).active, 1);
  });

  test('there is room for so many targets; beyond that is an error', async t => {
    const upstream = await startUpstream(t);
    const socket = net.connect(upstream.port, '127.0.0.1');
    t.after(() => socket.destroy());
    const requests = Array.from({ length: 1001 }, (_, i) => `GET /health?fail=1&n=${i} HTTP/1.1\r\nHost: upstream\r\n${i === 1000 ? 'Connection: close\r\n' : ''}\r\n`);
    socket.write(requests.join(''));
    const text = (await within(bytesOf(socket), 'the answers')).toString();
    assert.equal(text.match(/HTTP\/1\.1 500 /g).length, 1000);
    assert.equal(text.match(/HTTP\/1\.1 507 /g).length, 1);
    await upstream.reset();
    assert.equal((await get(upstream, '/health?fail=1&n=1000')).status, 500);
  });

  test('last_modified=1: a date that each change makes newer, and 304 for who has it', async t => {
    const upstream = await startUpstream(t);
    const path = '/values/one?last_modified=1';
    await upstream.put('one', '{"n":1}');
    const first = await get(upstream, path);
    const date = first.headers['last-modified'];
    assert.equal(new Date(date).toUTCString(), date);
    const again = await get(upstream, path, { 'if-modified-since': date });
    assert.deepEqual([again.status, again.text, again.headers['last-modified']], [304, '', date]);
    await upstream.put('one', '{"n":2}');
    const changed = await get(upstream, path, { 'if-modified-since': date });
    assert.deepEqual([changed.status, changed.json], [200, { n: 2 }]);
    assert.ok(new Date(changed.headers['last-modified']) > new Date(date), 'also within one second');
    const tagged = { 'if-none-match': '"another"', 'if-modified-since': changed.headers['last-modified'] };
    assert.equal((await get(upstream, path, tagged)).status, 200, 'If-None-Match counts before it');
    await upstream.reset();
    await upstream.put('one', '{"n":3}');
    assert.equal((await get(upstream, path, { 'if-modified-since': changed.headers['last-modified'] })).status, 200);
    assert.equal((await upstream.stats()).not_modified, 0);
    await get(upstream, path, { 'if-none-match': '*' });
    assert.equal((await upstream.stats()).not_modified, 1);
  });

  test('headers: cache, retry_after, header, and a head of some size', async t => {
    const upstream = await startUpstream(t);
    const { headers, status } = await get(upstream, '/health?cache=60&retry_after=5&status=503&header=X-A:%20b&header=Retry-After:1');
    assert.deepEqual([status, headers['cache-control'], headers['retry-after'], headers['x-a']], [503, 'max-age=60', '5', 'b']);
    assert.equal((await get(upstream, '/status/429?header=Retry-After:1')).headers['retry-after'], '1');
    assert.equal((await get(upstream, '/health?retry_after=5')).headers['retry-after'], undefined);
    const { rawHeaders } = await open(`${upstream.url}/health?head_size=100000`, { maxHeaderSize: 200000 });
    const length = rawHeaders.join('').length;
    assert.ok(length > 90000 && length < 100000, `${length}`);
  });

  test('drip_head=1: the head comes in pieces, too', async t => {
    const upstream = await startUpstream(t);
    const ask = interval => {
      const socket = net.connect(upstream.port, '127.0.0.1');
      t.after(() => socket.destroy());
      socket.write(`GET /health?drip=5/${interval}&drip_head=1 HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n`);
      return socket;
    };
    const first = await within(new Promise(resolve => ask('600s').once('data', resolve)), 'the first bytes');
    assert.equal(first.toString(), 'HTTP/');
    const all = await within(bytesOf(ask('1ms')), 'the answer');
    assert.match(all.toString(), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n\{\}$/);
  });

  test('redirects: a chain, to another place, and a loop', async t => {
    const upstream = await startUpstream(t);
    const first = await get(upstream, '/redirect/2?to=/health%3Fa=1');
    assert.deepEqual([first.status, first.headers.location], [302, '/redirect/1?to=/health%3Fa=1']);
    const second = await get(upstream, first.headers.location);
    assert.equal(second.headers.location, '/redirect/0?to=/health%3Fa=1');
    const last = await get(upstream, second.headers.location);
    assert.deepEqual([last.status, last.headers.location], [302, '/health?a=1']);
    assert.deepEqual([(await get(upstream, '/redirect/0')).status, (await get(upstream, '/redirect/0')).json], [200, {}]);
    const loop = await get(upstream, '/redirect/loop?status=307');
    assert.deepEqual([loop.status, loop.headers.location], [307, '/redirect/loop?status=307']);
    for (const bad of ['x', '-1', '0?to=a%0d%0ab']) assert.equal((await get(upstream, `/redirect/${bad}`)).status, 400, bad);
  });

  const malformed = ['bomb=0', 'bomb=16385', 'fail=-1', 'fail=1000001', 'fail_status=199', 'fail_with=stop', 'gzip=yes', 'retry_after=x', 'cache=', 'cache=2147483648', 'head_size=1048577', 'last_modified=2', 'drip_head=x'];
  test('malformed ones are refused by name', async t => {
    const upstream = await startUpstream(t);
    for (const option of malformed) {
      const { status, json } = await get(upstream, `/health?${option}`);
      assert.equal(status, 400, option);
      assert.ok(json.error.startsWith(`${option.split('=')[0]}: expected `), json.error);
    }
  });

  test('/stats counts by method and by path, and POST /stats/reset forgets it', async t => {
    const upstream = await startUpstream(t);
    await upstream.put('a', '{}');
    await get(upstream, '/values/a?x=1');
    await get(upstream, '/values/a');
    await request(upstream.port, 'BREW', '/health', { unchecked: 'it is no hub' });
    const { connections, ...rest } = await upstream.stats();
    assert.ok(connections >= 4);
    assert.deepEqual(rest, {
      requests: 4, tls_handshakes: 0, active: 0, max_active: 1, not_modified: 0,
      by_method: { GET: 2, PUT: 1, '(other)': 1 }, by_path: { '/values/a': 3, '/health': 1, '(other)': 0 },
    });
    await upstream.reset();
    const { requests, by_method: byMethod } = await upstream.stats();
    assert.deepEqual([requests, byMethod], [0, {}]);
  });
});

describe('TLS', { concurrency: true }, () => {
  test('answers as without it, large ones, late ones and bad ones', async t => {
    const certificate = await certificateOf(t);
    const upstream = await startUpstream(t, { tls: certificate });
    const tlsGet = path => request(upstream.tlsPort, 'GET', path, { ca: certificate.ca });
    for (const path of ['/json?size=3000000', '/json?size=200000&latency=5ms', '/json?size=2000&drip=100/1ms', '/json?etag=1&close=1']) {
      const [plain, secret] = [await get(upstream, path), await tlsGet(path)];
      assert.equal(secret.status, 200);
      assert.equal(secret.text, plain.text);
      assert.equal(secret.headers.etag, plain.headers.etag);
    }
    assert.equal(await failureOf(`${upstream.tlsUrl}/health?reset=1`, { ca: certificate.ca }), 'ECONNRESET');
    const { tls_handshakes: n, connections } = await upstream.stats();
    assert.equal(n, 5);
    assert.ok(connections >= 9);
  });

  test('keeps a connection, and takes requests of many sizes', async t => {
    const certificate = await certificateOf(t);
    const upstream = await startUpstream(t, { tls: certificate });
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: certificate.ca });
    t.after(() => agent.destroy());
    for (const size of [0, 1, 16383, 16384, 16385, 5_000_000]) {
      const answer = new Promise((resolve, reject) => {
        const outgoing = https.request(`${upstream.tlsUrl}/echo`, { method: 'POST', agent }, resolve).once('error', reject);
        outgoing.end('x'.repeat(size));
      });
      // Node sends a length with a body that end() gets whole.
      const { body } = JSON.parse(await bytesOf(await within(answer, `the answer to ${size} bytes`)));
      assert.equal(body.length, size);
    }
    assert.equal((await upstream.stats()).tls_handshakes, 1);
  });

  test('an endless body goes on until the client is gone', async t => {
    const certificate = await certificateOf(t);
    const upstream = await startUpstream(t, { tls: certificate });
    const answer = await open(`${upstream.tlsUrl}/health?endless=1`, { ca: certificate.ca });
    let n = 0;
    for await (const part of answer) {
      n += part.length;
      if (n > 3 * MIB) break;
    }
    assert.ok(n > 3 * MIB);
    const isOver = async () => { while ((await upstream.stats()).active > 0); };
    await within(isOver(), 'the end of the request');
  });

  test('who does not trust it gets nothing, and no handshake is counted', async t => {
    const upstream = await startUpstream(t, { tls: await certificateOf(t) });
    assert.equal(await failureOf(`${upstream.tlsUrl}/health`), 'DEPTH_ZERO_SELF_SIGNED_CERT');
    const say = bytes => {
      const socket = net.connect(upstream.tlsPort, '127.0.0.1');
      socket.write(bytes);
      return within(bytesOf(socket), 'the end of the connection');
    };
    assert.equal((await say('GET / HTTP/1.1\r\n\r\n')).length, 0);
    const emptyHello = Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0]); // RFC 8446, 5.1
    assert.equal((await say(emptyHello))[0], 21, 'an alert');
    const { tls_handshakes: n, requests } = await upstream.stats();
    assert.deepEqual([n, requests], [0, 0]);
  });

  test('demands the certificate of a client, if told so', async t => {
    const certificate = await certificateOf(t);
    const client = await certificateOf(t, { name: 'client' });
    const other = await certificateOf(t, { name: 'other' });
    const upstream = await startUpstream(t, { tls: { ...certificate, clientCaFile: client.certFile } });
    const own = async ({ certFile, keyFile }) => ({ ca: certificate.ca, cert: await readFile(certFile), key: await readFile(keyFile) });
    const answer = await open(`${upstream.tlsUrl}/health`, await own(client));
    assert.equal(answer.statusCode, 200);
    assert.match(await failureOf(`${upstream.tlsUrl}/health`, { ca: certificate.ca }), /CERTIFICATE_REQUIRED|ECONNRESET/);
    assert.match(await failureOf(`${upstream.tlsUrl}/health`, await own(other)), /UNKNOWN_CA|ECONNRESET/);
    assert.equal((await upstream.stats()).tls_handshakes, 1);
  });

  test('bad options are refused', async t => {
    const { certFile, keyFile } = await certificateOf(t);
    const refusals = [
      [2, 'go together', ['--tls-port', '0', '--tls-cert', certFile]],
      [2, 'go together', ['--tls-cert', certFile, '--tls-key', keyFile]],
      [2, '65536', ['--tls-port', '65536']],
      [2, '-1', ['--black-hole-port', '-1']],
      [1, '--tls-cert', ['--tls-port', '0', '--tls-cert', '/nowhere', '--tls-key', keyFile]],
      [1, '--tls-key', ['--tls-port', '0', '--tls-cert', certFile, '--tls-key', certFile]],
      [1, '--tls-client-ca', ['--tls-port', '0', '--tls-cert', certFile, '--tls-key', keyFile, '--tls-client-ca', keyFile]],
    ];
    for (const [code, text, args] of refusals) {
      const child = startProcess(UPSTREAM_BIN, args, { label: 'upstream' });
      assert.equal((await within(child.exited, 'the end')).code, code, args.join(' '));
      assert.ok(child.lines.join('\n').includes(text), child.lines.join('\n'));
    }
  });
});

describe('places', { concurrency: true }, () => {
  test('a black hole neither takes nor refuses a connection', async t => {
    const upstream = await startUpstream(t, { blackHole: true });
    const { port } = new URL(upstream.blackHoleUrl);
    const socket = net.connect(Number(port), '127.0.0.1');
    t.after(() => socket.destroy());
    const states = [];
    for (const event of ['connect', 'error', 'close']) socket.once(event, () => states.push(event));
    // In this time a connection that is possible comes about many times over.
    for (let i = 0; i < 100; i++) await get(upstream, '/health');
    assert.deepEqual(states, []);
    assert.equal(socket.connecting, true);
  });

  test('the place that refuses does so', async t => {
    const upstream = await startUpstream(t);
    const url = await refusedUrl(t, upstream);
    for (let i = 0; i < 20; i++) assert.equal(await failureOf(url), 'ECONNREFUSED');
  });
});

describe('the resolver', { concurrency: true }, () => {
  /** What getent says of a name: '' when it does not exist. */
  const look = (name, options) => run('getent', ['ahosts', name], { env: { ...process.env, ...slowDns(options) }, timeout: LIMIT_MS }).then(({ stdout }) => stdout.split(' ')[0], ({ code }) => {
    assert.equal(code, 2, 'not found');
    return '';
  });

  test('knows the names that it is given, in turn where there are several', async () => {
    const map = { 'api.test': '192.0.2.7', 'six.test': '::1', 'turn.test': ['192.0.2.1', '192.0.2.2'] };
    assert.equal(await look('api.test', { map }), '192.0.2.7');
    assert.equal(await look('API.test.', { map }), '192.0.2.7');
    assert.equal(await look('six.test', { map }), '::1');
    assert.equal(await look('127.0.0.1', { map }), '127.0.0.1');
    const { stdout } = await run(process.execPath, ['-e', `
      const look = () => require('dns').promises.lookup('turn.test').then(({ address }) => console.log(address));
      look().then(look).then(look);`], { env: { ...process.env, ...slowDns({ map }) } });
    assert.equal(stdout, '192.0.2.1\n192.0.2.2\n192.0.2.2\n');
  });

  test('says slowly that there is no such name', async () => {
    const began = process.hrtime.bigint();
    assert.equal(await look('a.slow.test', { ms: 300 }), '');
    assert.ok(process.hrtime.bigint() - began >= 300_000_000n);
    const script = "require('dns').lookup('a.again.slow.test', error => console.log(error.code))";
    const { stdout } = await run(process.execPath, ['-e', script], { env: { ...process.env, ...slowDns({ ms: 1 }) } });
    assert.equal(stdout.trim(), 'EAI_AGAIN');
  });
});

describe('HTTP/2', { concurrency: true }, () => {
  async function twice(t, certificate) {
    const upstream = await startHttp2(t, { certificate, handlers: { '/a': { a: 1 } } });
    const session = http2.connect(upstream.url, { ca: certificate?.ca });
    t.after(() => session.destroy());
    const ask = path => {
      const stream = session.request({ ':path': path });
      return within(bytesOf(stream), path).then(bytes => JSON.parse(bytes));
    };
    assert.deepEqual(await Promise.all([ask('/a'), ask('/b')]), [{ a: 1 }, { error: 'no handler' }]);
    assert.deepEqual([upstream.sessions, upstream.streams, upstream.together], [1, 2, 2]);
    assert.deepEqual(upstream.requests.map(({ method, path, version }) => [method, path, version]), [['GET', '/a', '2.0'], ['GET', '/b', '2.0']]);
    return upstream;
  }

  test('in clear text', t => twice(t));

  test('over TLS, where HTTP/1.1 is good, too', async t => {
    const certificate = await certificateOf(t);
    const upstream = await twice(t, certificate);
    const { port } = new URL(upstream.url);
    assert.deepEqual((await request(Number(port), 'GET', '/a', { ca: certificate.ca })).json, { a: 1 });
    assert.equal(upstream.requests[2].version, '1.1');
    assert.equal(upstream.sessions, 1);
  });
});

describe('the proxy', { concurrency: true }, () => {
  test('passes requests on', async t => {
    const [upstream, proxy] = [await startUpstream(t), await startForwardProxy(t)];
    const { port } = new URL(proxy.url);
    const { json } = await request(Number(port), 'GET', `${upstream.url}/echo?a=1`, { headers: { 'x-a': 'b' } });
    assert.deepEqual([json.query, json.headers['x-a']], [{ a: '1' }, 'b']);
    assert.deepEqual(proxy.requests.map(({ method, url }) => [method, url]), [['GET', `${upstream.url}/echo?a=1`]]);
    proxy.refuses = true;
    assert.equal((await request(Number(port), 'GET', `${upstream.url}/echo`)).status, 403);
  });

  test('makes tunnels', async t => {
    const certificate = await certificateOf(t);
    const [upstream, proxy] = [await startUpstream(t, { tls: certificate }), await startForwardProxy(t)];
    const { port } = new URL(proxy.url);
    const connect = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: `127.0.0.1:${upstream.tlsPort}`, agent: false });
    connect.end();
    const [, socket] = await within(new Promise(resolve => connect.once('connect', (...args) => resolve(args))), 'the tunnel');
    const secret = tls.connect({ socket, host: '127.0.0.1', ca: certificate.ca });
    secret.write('GET /health HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n');
    assert.match((await within(bytesOf(secret), 'the answer')).toString(), /^HTTP\/1\.1 200 OK\r\n/);
    assert.deepEqual(proxy.tunnels, [`127.0.0.1:${upstream.tlsPort}`]);
  });
});
