// GET /proxy: what is passed on and what stays behind, back-pressure, broken answers, who may ask what.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { describe, test } from 'node:test';
import zlib from 'node:zlib';

import { makeCertificate, tlsConfig } from './lib/certificate.mjs';
import { check, temporaryFolder } from './lib/command.mjs';
import { startGate } from './lib/gate.mjs';
import { API_KEY, startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { parseMetrics } from './lib/prometheus.mjs';
import { head, openTcp } from './lib/raw.mjs';
import { slowDns } from './lib/slow_dns.mjs';
import { makeToken, secondsFromNow, SECRET } from './lib/token.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const MB = 1 << 20;
const proxied = url => `/proxy?url=${encodeURIComponent(url)}`;

function startProxyHub(t, allow, { url_proxy = {}, env, ca, ...config } = {}) {
  return startHub(t, {
    env,
    ca,
    config: {
      url_proxy: { enabled: true, access: 'public', ...url_proxy },
      upstreams: { allow_hosts: allow },
      prometheus: { enabled: true },
      ...config,
    },
  });
}

const hostOf = url => new URL(url).host;

/** An upstream whose answers are the test's own. */
async function startServer(t, handler) {
  const server = http.createServer(handler);
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** An upstream that answers every connection with these bytes, then ends it. */
async function startRawServer(t, bytes) {
  const sockets = new Set();
  const server = net.createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.end(bytes));
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** Polls until the condition holds. */
async function until(condition, what) {
  await within((async () => {
    while (!await condition()) await new Promise(resolve => setTimeout(resolve, 5));
  })(), what);
}

/** A response whose body the test reads when it likes. */
function open(hub, url, headers = {}) {
  const asked = new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: hub.port, path: proxied(url), agent: false, headers: { Connection: 'keep-alive', ...headers } }, resolve);
    request.once('error', reject);
    hub.atEnd(() => request.destroy());
  });
  return within(asked, `the head of ${url}`);
}

const metricsOf = async hub => parseMetrics((await hub.request('GET', '/metrics')).text);
const outcomeOf = async (hub, outcome) => (await metricsOf(hub)).get('belfry_url_proxy_requests_total', { outcome });
const activeOf = async hub => (await metricsOf(hub)).get('belfry_url_proxy_active');
const residentMb = async pid => Number(/^Rss: +(\d+) kB/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;

describe('an answer', { concurrency: true }, () => {
  test('comes with its status, body and some headers', async t => {
    const url = await startServer(t, (request, response) => {
      response.writeHead(201, {
        'Content-Type': 'text/html; charset=utf-8', ETag: '"e1"', 'Last-Modified': 'Mon, 05 Oct 2015 09:00:00 GMT',
        'Cache-Control': ['max-age=60', 'private'], Age: '7', 'Set-Cookie': 'a=b', 'X-Other': '1', 'Content-Security-Policy': 'none',
      });
      response.end('<p>hello</p>');
    });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const { status, headers, text } = await hub.request('GET', proxied(`${url}/page`));
    assert.deepEqual([status, text], [201, '<p>hello</p>']);
    const { date, 'x-request-id': id, ...others } = headers;
    assert.ok(date);
    assert.deepEqual(others, {
      'content-type': 'text/html; charset=utf-8', etag: '"e1"', 'last-modified': 'Mon, 05 Oct 2015 09:00:00 GMT',
      'cache-control': 'max-age=60, private', age: '7', 'transfer-encoding': 'chunked', vary: 'Origin',
      'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox',
    });
    assert.equal(await outcomeOf(hub, 'ok'), 1);
    assert.equal((await metricsOf(hub)).get('belfry_url_proxy_bytes_total'), 12);
  });

  test('has its length where it is known', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const { headers, text } = await hub.request('GET', proxied(`${upstream.url}/json?size=5000`));
    assert.equal(headers['content-length'], '5000');
    assert.equal(headers['transfer-encoding'], undefined);
    assert.equal(text.length, 5000);
  });

  for (const status of [200, 203, 404, 418, 500, 503]) {
    test(`may have status ${status}`, async t => {
      const upstream = await startUpstream(t);
      const hub = await startProxyHub(t, [hostOf(upstream.url)]);
      const answer = await hub.request('GET', proxied(`${upstream.url}/json?status=${status}`));
      assert.equal(answer.status, status);
      assert.ok(answer.json);
      assert.equal(await outcomeOf(hub, 'ok'), 1);
    });
  }

  test('may have no body', async t => {
    const url = await startServer(t, (request, response) => { response.writeHead(204); response.end(); });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const tcp = await openTcp(hub);
    for (let i = 0; i < 2; i += 1) {
      tcp.write(head('GET', proxied(url)));
      const { status, headers } = await tcp.response();
      assert.equal(status, 204);
      assert.equal(headers['content-length'], undefined);
      assert.equal(headers['transfer-encoding'], undefined);
    }
  });

  test('may be empty', async t => {
    const url = await startServer(t, (request, response) => { response.writeHead(200, { 'Content-Length': 0 }); response.end(); });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const { status, headers, text } = await hub.request('GET', proxied(url));
    assert.deepEqual([status, headers['content-length'], text], [200, '0', '']);
  });

  test('to HEAD has no body', async t => {
    const url = await startServer(t, (request, response) => {
      response.writeHead(200, { 'Content-Length': 1234, 'X-Method': request.method, ETag: `"${request.method}"` });
      response.end();
    });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const tcp = await openTcp(hub);
    for (let i = 0; i < 2; i += 1) {
      tcp.write(head('HEAD', proxied(url)));
      const { status, headers } = await tcp.response({ hasBody: false });
      assert.deepEqual([status, headers['content-length'], headers.etag], [200, '1234', '"HEAD"']);
    }
  });

  test('that the client has is not sent again', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const url = proxied(`${upstream.url}/json?etag=1`);
    const { headers: { etag } } = await hub.request('GET', url);
    const again = await hub.request('GET', url, { headers: { 'If-None-Match': etag } });
    assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', etag]);
    assert.equal((await upstream.stats()).not_modified, 1);
  });

  test('that was compressed comes as it is, with a weak tag', async t => {
    const text = 'abcdefgh'.repeat(100_000);
    const url = await startServer(t, (request, response) => {
      const body = zlib.gzipSync(text);
      response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': body.length, ETag: '"strong"' });
      response.end(body);
    });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const answer = await hub.request('GET', proxied(url));
    assert.equal(answer.text, text);
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.equal(answer.headers['content-length'], undefined);
    assert.equal(answer.headers.etag, 'W/"strong"');
  });

  test('is followed by the next request of the connection', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const tcp = await openTcp(hub);
    for (let i = 0; i < 5; i += 1) {
      tcp.write(head('GET', proxied(`${upstream.url}/json?size=${100_000 + i}`)));
      assert.equal((await tcp.response()).text.length, 100_000 + i);
      tcp.write(head('GET', '/health'));
      assert.deepEqual((await tcp.response()).json, {});
    }
    assert.ok(tcp.isOpen);
  });

  test('in chunks is followed by the next request, too', async t => {
    const url = await startServer(t, (request, response) => { response.write('one'); response.end('two'); });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const ports = new Set();
    for (let i = 0; i < 3; i += 1) {
      const text = await within(new Promise((resolve, reject) => {
        http.get({ host: '127.0.0.1', port: hub.port, path: proxied(url), agent }, async response => {
          ports.add(response.socket.localPort);
          resolve(Buffer.concat(await response.toArray()).toString());
        }).once('error', reject);
      }), 'an answer');
      assert.equal(text, 'onetwo');
    }
    assert.equal(ports.size, 1);
  });

  test('ends with the connection for HTTP/1.0', async t => {
    const url = await startServer(t, (request, response) => { response.write('one'); response.end('two'); });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const tcp = await openTcp(hub);
    tcp.write(head('GET', proxied(url), {}, ' HTTP/1.0'));
    const { headers } = await tcp.response();
    assert.equal(headers['transfer-encoding'], undefined);
    assert.equal(headers.connection, 'close');
    await tcp.closed;
    assert.equal(tcp.rest().toString(), 'onetwo');
  });

  test('comes over TLS, whole', async t => {
    const dir = await temporaryFolder(t);
    const certificate = await makeCertificate(dir);
    const url = await startServer(t, (request, response) => response.end(Buffer.alloc(5 * MB, 'x')));
    const hub = await startProxyHub(t, [hostOf(url)], { ca: certificate.ca, ...tlsConfig(certificate) });
    const { text } = await hub.request('GET', proxied(url));
    assert.equal(text.length, 5 * MB);
  });

  test('may be redirected within the list', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const { status, text } = await hub.request('GET', proxied(`${upstream.url}/redirect/3?to=${encodeURIComponent(`${upstream.url}/json?size=77`)}`));
    assert.equal(status, 200);
    assert.equal(text.length, 77);
  });

  test('goes to pages of allowed origins', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const { headers } = await hub.request('GET', proxied(`${upstream.url}/json`), { headers: { Origin: 'https://page.example' } });
    assert.equal(headers['access-control-allow-origin'], 'https://page.example');
    const preflight = await hub.request('OPTIONS', proxied(`${upstream.url}/json`), { headers: { Origin: 'https://page.example', 'Access-Control-Request-Headers': 'authorization' } });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers['access-control-allow-methods'], 'GET, HEAD, OPTIONS');
    assert.equal(preflight.headers['access-control-allow-headers'], 'authorization');
    assert.equal((await upstream.stats()).requests, 1);
  });
});

/** Sends n MB of what never repeats, as fast as it is taken; its hash at the end. */
function bigAnswer(n, { length } = {}) {
  const hash = createHash('sha256');
  const state = { sent: 0, isOver: false };
  const handler = async (request, response) => {
    response.writeHead(200, length ? { 'Content-Length': n * MB } : {});
    for (let i = 0; i < n; i += 1) {
      const piece = Buffer.alloc(MB, createHash('sha256').update(String(i)).digest());
      hash.update(piece);
      if (!response.write(piece)) await new Promise(resolve => response.once('drain', resolve).once('close', resolve));
      if (response.destroyed) return;
      state.sent += piece.length;
    }
    response.end();
    state.isOver = true;
  };
  return { handler, state, digest: () => hash.digest('hex') };
}

describe('back-pressure', { concurrency: true }, () => {
  for (const length of [false, true]) {
    test(`200 MB ${length ? 'with a length' : 'in chunks'} to a slow reader take no memory`, async t => {
      const big = bigAnswer(200, { length });
      const url = await startServer(t, big.handler);
      // The sanitizer keeps what was freed.
      const env = { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'quarantine_size_mb=1'].filter(Boolean).join(':') };
      const hub = await startProxyHub(t, [hostOf(url)], { env, url_proxy: { max_size: 0 } });
      await hub.request('GET', proxied('http://nowhere.example/')); // what is made once
      const before = await residentMb(hub.pid);
      const response = await open(hub, url);
      response.pause();
      // It stands still once the buffers of kernel and hub are full.
      let last = -1;
      await until(() => {
        const stands = big.state.sent > 0 && big.state.sent === last;
        last = big.state.sent;
        return new Promise(resolve => setTimeout(() => resolve(stands), 100));
      }, 'the upstream to be held');
      assert.ok(big.state.sent < 60 * MB, `${big.state.sent / MB} MB were sent to nobody`);
      const hash = createHash('sha256');
      let most = 0;
      let n = 0;
      for await (const piece of response) {
        hash.update(piece);
        n += piece.length;
        if (n % (8 * MB) < piece.length) most = Math.max(most, await residentMb(hub.pid));
      }
      assert.ok(response.complete);
      assert.equal(n, 200 * MB);
      assert.equal(hash.digest('hex'), big.digest());
      assert.ok(most - before < 8, `the hub grew by ${most - before} MB`);
    });
  }

  test('a slow upstream is waited for', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const { text } = await hub.request('GET', proxied(`${upstream.url}/json?size=100&drip=1/1ms`));
    assert.equal(text.length, 100);
  });

  test('pieces come as they are sent', async t => {
    let send;
    const url = await startServer(t, (request, response) => {
      response.flushHeaders();
      send = text => (text ? response.write(text) : response.end());
    });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const response = await open(hub, url); // the head comes before any byte of the body
    const pieces = response[Symbol.asyncIterator]();
    for (const text of ['one', 'two', 'three']) {
      send(text);
      assert.equal((await within(pieces.next(), text)).value.toString(), text);
    }
    send('');
    assert.ok((await within(pieces.next(), 'the end')).done);
  });
});

describe('a client that goes', { concurrency: true }, () => {
  test('in the middle of an answer lets the upstream go at once', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)], { url_proxy: { max_size: 0 } });
    const response = await open(hub, `${upstream.url}/json?endless=1`);
    await within(new Promise(resolve => response.once('readable', resolve)), 'a byte');
    assert.equal((await upstream.stats()).active, 1);
    response.destroy();
    await until(async () => (await upstream.stats()).active === 0, 'the end at the upstream');
    assert.equal(await outcomeOf(hub, 'client_gone'), 1);
    assert.equal(await activeOf(hub), 0);
  });

  test('while its answer rests lets the upstream go at once', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)], { url_proxy: { max_size: 0 } });
    const tcp = await openTcp(hub);
    tcp.pause();
    await tcp.write(head('GET', proxied(`${upstream.url}/json?endless=1`)));
    await until(async () => (await upstream.stats()).active === 1, 'the request');
    tcp.destroy();
    await until(async () => (await upstream.stats()).active === 0, 'the end at the upstream');
    assert.equal(await outcomeOf(hub, 'client_gone'), 1);
  });

  test('before the head lets the upstream go at once', async t => {
    const gate = await startGate(t);
    const hub = await startProxyHub(t, [hostOf(gate.url)]);
    const tcp = await openTcp(hub);
    tcp.write(head('GET', proxied(gate.url)));
    const held = await gate.next();
    tcp.destroy();
    await held.gone;
    await until(async () => await outcomeOf(hub, 'client_gone') === 1, 'the outcome');
  });

  test('at its own side only has gone, too', async t => {
    const gate = await startGate(t);
    const hub = await startProxyHub(t, [hostOf(gate.url)]);
    const tcp = await openTcp(hub);
    tcp.write(head('GET', proxied(gate.url)));
    const held = await gate.next();
    tcp.end();
    await held.gone;
    await tcp.closed;
  });

  test('on with a further request before the answer is complete has gone', async t => {
    const gate = await startGate(t);
    const hub = await startProxyHub(t, [hostOf(gate.url)]);
    const tcp = await openTcp(hub);
    tcp.write(head('GET', proxied(gate.url)));
    const held = await gate.next();
    tcp.write(head('GET', '/health'));
    await held.gone;
    await tcp.closed;
  });
});

/** An upstream that answers with these bytes, and ends the connection when cut() is called. */
async function startCutServer(t, bytes) {
  const upstream = {};
  const server = net.createServer(socket => {
    socket.on('error', () => {});
    socket.once('data', () => socket.write(bytes));
    upstream.cut = () => socket.destroySoon();
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    upstream.cut?.();
    server.close();
  });
  upstream.url = `http://127.0.0.1:${server.address().port}`;
  return upstream;
}

/** The body begins, and does not come to its end. cut() is called in between. */
async function assertBreaksOff(hub, url, { status = 200, cut = () => {} } = {}) {
  const response = await open(hub, url);
  assert.equal(response.statusCode, status);
  await within(assert.rejects((async () => { for await (const piece of response) if (piece.length > 0) cut(); })(), { code: 'ECONNRESET' }), 'the end');
  assert.equal(response.complete, false);
  await until(async () => await activeOf(hub) === 0, 'the end of the request');
  assert.equal(await outcomeOf(hub, 'broken'), 1);
}

describe('an answer that breaks off', { concurrency: true }, () => {
  const CUTS = {
    'with a length': ['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this', 200],
    'in chunks': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npiece\r\n', 200],
    'in the middle of a chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\npiece', 200],
    'as an error page': ['HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nonly this', 404],
  };
  for (const [name, [bytes, status]] of Object.entries(CUTS)) {
    test(`${name} is not complete for the client`, async t => {
      const upstream = await startCutServer(t, bytes);
      const hub = await startProxyHub(t, [hostOf(upstream.url)]);
      await assertBreaksOff(hub, upstream.url, { status, cut: () => upstream.cut() });
    });
  }

  test('is a reset for HTTP/1.0', async t => {
    const upstream = await startCutServer(t, CUTS['in chunks'][0]);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    const reset = new Promise(resolve => {
      const socket = net.connect(hub.port, '127.0.0.1', () => socket.write(head('GET', proxied(upstream.url), {}, ' HTTP/1.0')));
      socket.on('data', bytes => { if (bytes.includes('piece')) upstream.cut(); });
      socket.once('error', resolve);
      socket.once('end', () => resolve(new Error('an orderly end')));
    });
    assert.equal((await within(reset, 'the end')).code, 'ECONNRESET');
  });

  test('at once is 502, or not complete', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    for (let i = 0; i < 20; i += 1) {
      const response = await open(hub, `${upstream.url}/json?size=5000&truncate=1`);
      const isWhole = await response.toArray().then(() => response.complete, () => false);
      assert.equal(isWhole, response.statusCode === 502);
    }
  });

  test('is one that becomes larger than max_size', async t => {
    const url = await startServer(t, (request, response) => { response.write('x'.repeat(1000)); response.end('x'.repeat(1000)); });
    const hub = await startProxyHub(t, [hostOf(url)], { url_proxy: { max_size: 1999 } });
    const response = await open(hub, url);
    await assert.rejects(response.toArray(), { code: 'ECONNRESET' });
    await hub.waitForLine(line => line.includes('url_proxy broken_off') && line.includes('url_proxy.max_size'));
    assert.equal(await outcomeOf(hub, 'broken'), 1);
    const fits = await startProxyHub(t, [hostOf(url)], { url_proxy: { max_size: 2000 } });
    assert.equal((await fits.request('GET', proxied(url))).text.length, 2000);
  });

  test('is one of which nothing moves', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)], { url_proxy: { idle_timeout: '50ms' } });
    await assertBreaksOff(hub, `${upstream.url}/json?size=5000&drip=1/10s`);
    await hub.waitForLine(line => line.includes('url_proxy broken_off') && line.includes('url_proxy.idle_timeout'));
    await until(async () => (await upstream.stats()).active === 0, 'the end at the upstream');
  });

  test('is one that nobody reads', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)], { url_proxy: { idle_timeout: '200ms', max_size: 0 } });
    const tcp = await openTcp(hub);
    tcp.pause();
    tcp.write(head('GET', proxied(`${upstream.url}/json?endless=1`)));
    await hub.waitForLine(line => line.includes('url_proxy broken_off') && line.includes('url_proxy.idle_timeout'));
    await until(async () => (await upstream.stats()).active === 0, 'the end at the upstream');
    assert.equal(await outcomeOf(hub, 'broken'), 1);
  });

  test('is one that takes longer than max_duration', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, [hostOf(upstream.url)], { url_proxy: { max_duration: '1s' } });
    await assertBreaksOff(hub, `${upstream.url}/json?endless=1&drip=10/10ms`);
  });
});

/** {"error":{"code","message"}} with that status. */
function assertRefused({ status, json, headers }, wantedStatus, code, message) {
  assert.equal(status, wantedStatus, JSON.stringify(json));
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(json.error.code, code);
  assert.match(json.error.message, message);
}

describe('before the head', { concurrency: true }, () => {
  const failures = [
    ['a refused connection', async (t, upstream) => refusedUrl(t, upstream), 502, /connect_error/, 'failed'],
    ['a reset', async (t, upstream) => `${upstream.url}/json?reset=1`, 502, /connect_error/, 'failed'],
    ['no HTTP', async t => startRawServer(t, 'hello\r\n\r\n'), 502, /connect_error/, 'failed'],
    ['no head in time', async (t, upstream) => `${upstream.url}/json?hang=1`, 504, /url_proxy\.timeout/, 'timeout'],
    ['a head that drips', async (t, upstream) => `${upstream.url}/json?drip=1/10s&drip_head=1`, 504, /url_proxy\.timeout/, 'timeout'],
    ['no connection in time', async t => (await startUpstream(t, { blackHole: true })).blackHoleUrl, 504, /upstream timeout/, 'timeout'],
    ['too much that is announced', async (t, upstream) => `${upstream.url}/json?size=200001`, 502, /url_proxy\.max_size/, 'failed'],
    ['redirects without an end', async (t, upstream) => `${upstream.url}/redirect/loop`, 403, /redirect/, 'refused'],
  ];
  for (const [name, urlOf, status, message, outcome] of failures) {
    test(`${name} is ${status}`, async t => {
      const upstream = await startUpstream(t);
      const limits = status === 504 ? { timeout: '300ms', connect_timeout: '100ms' } : {}; // the others shall not run into them
      const hub = await startProxyHub(t, ['127.0.0.1'], { url_proxy: { ...limits, max_size: 200_000 } });
      const answer = await hub.request('GET', proxied(await urlOf(t, upstream)));
      assertRefused(answer, status, status === 403 ? 103 : status, message);
      assert.equal(await outcomeOf(hub, outcome), 1);
      assert.equal(await activeOf(hub), 0);
      assert.equal((await hub.request('GET', '/health')).status, 200);
    });
  }

  test('a name that does not exist is 502', async t => {
    const hub = await startProxyHub(t, ['*.slow.test'], { env: slowDns({ ms: 1 }) });
    assertRefused(await hub.request('GET', proxied('http://none.slow.test/')), 502, 502, /dns_error/);
  });

  test('a bad certificate is 502', async t => {
    const certificate = await makeCertificate(await temporaryFolder(t));
    const upstream = await startUpstream(t, { tls: certificate });
    const hub = await startProxyHub(t, ['127.0.0.1']);
    assertRefused(await hub.request('GET', proxied(`${upstream.tlsUrl}/json`)), 502, 502, /tls_error/);
  });

  const BAD = [
    ['/proxy', /^bad request: url: expected an absolute http or https URL/],
    ['/proxy?url=', /absolute http or https URL/],
    ['/proxy?url', /one argument/],
    ['/proxy?URL=http://127.0.0.1/', /one argument/],
    ['/proxy?url=http://127.0.0.1/?a=1&b=2', /one argument: url, percent-encoded/],
    ['/proxy?a=1&url=http%3A%2F%2F127.0.0.1%2F', /one argument/],
    [proxied('127.0.0.1/'), /absolute http or https URL/],
    [proxied('//127.0.0.1/'), /absolute http or https URL/],
    [proxied('ftp://127.0.0.1/'), /absolute http or https URL/],
    [proxied('file:///etc/passwd'), /absolute http or https URL/],
    [proxied('http://'), /expected a host/],
    [proxied('http:///x'), /expected a host/],
    [proxied('http://:80/'), /expected a host/],
    [proxied('http://a@127.0.0.1/'), /without user information/],
    [proxied('http://a:b@127.0.0.1/'), /without user information/],
    [proxied('http://127.0.0.1/a b'), /without blanks/],
    [proxied('http://127.0.0.1/\tx'), /without blanks, control characters/],
    [proxied('http://127.0.0.1\\@evil.example/'), /backslashes/],
    [proxied('http://bücher.example/'), /ASCII/],
  ];
  for (const [path, message] of BAD) {
    test(`${path} is 400`, async t => {
      const hub = await startProxyHub(t, ['0.0.0.0/0']);
      assertRefused(await hub.request('GET', path), 400, 107, message);
      assert.equal(await outcomeOf(hub, 'bad_request'), 1);
    });
  }

  test('URLs are passed on byte for byte', async t => {
    const seen = [];
    const url = await startServer(t, (request, response) => { seen.push(request.url); response.end(); });
    const hub = await startProxyHub(t, [hostOf(url)]);
    const paths = ['/a%20b?c=%26&d=1;e=2&f=+g%2Bh', '/%2e%2e/x', '/a/?', '/?q=%00', '/a;b', '/caf%C3%A9'];
    for (const path of paths) assert.equal((await hub.request('GET', proxied(url + path))).status, 200, path);
    assert.deepEqual(seen, paths);
  });

  test('another method is 405', async t => {
    const hub = await startProxyHub(t, ['127.0.0.1']);
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const { status, headers } = await hub.request(method, proxied('http://127.0.0.1/'), { headers: { 'content-length': 0 } });
      assert.deepEqual([status, headers.allow], [405, 'GET, HEAD, OPTIONS'], method);
    }
  });

  test('is off unless the configuration says otherwise', async t => {
    const hub = await startProxyHub(t, ['127.0.0.1'], { url_proxy: { enabled: false } });
    assert.equal((await hub.request('GET', proxied('http://127.0.0.1/'))).status, 404);
  });

  test('is at the configured path and only there', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, ['127.0.0.1'], { url_proxy: { handler_prefix: '/through' } });
    assert.equal((await hub.request('GET', proxied(`${upstream.url}/json`))).status, 404);
    assert.equal((await hub.request('GET', proxied(`${upstream.url}/json`).replace('/proxy', '/through'))).status, 200);
    const { code, text } = await check(t, { url_proxy: { enabled: true, handler_prefix: '/connection/websocket' } });
    assert.equal(code, 1);
    assert.match(text, /url_proxy\.handler_prefix: .*a path that websocket\.handler_prefix has not/);
  });

  test('more than max_concurrent are 503', async t => {
    const gate = await startGate(t);
    const hub = await startProxyHub(t, [hostOf(gate.url)], { url_proxy: { max_concurrent: 2 } });
    const first = [0, 1].map(() => hub.request('GET', proxied(gate.url)));
    const held = [await gate.next(), await gate.next()];
    assert.equal(await activeOf(hub), 2);
    assertRefused(await hub.request('GET', proxied(gate.url)), 503, 111, /url_proxy\.max_concurrent/);
    for (const one of held) one.answer({});
    for (const one of first) assert.equal((await one).status, 200);
    const next = hub.request('GET', proxied(gate.url));
    (await gate.next()).answer({});
    assert.equal((await next).status, 200);
    assert.equal(await outcomeOf(hub, 'overloaded'), 1);
  });
});

describe('only what is listed is asked', { concurrency: true }, () => {
  async function assertNotAsked(t, allow, urlOf, message, env) {
    const trap = await startGate(t, { open: true });
    const hub = await startProxyHub(t, typeof allow === 'function' ? allow(trap) : allow, { env });
    const answer = await hub.request('GET', proxied(urlOf(trap)));
    assertRefused(answer, 403, 103, message);
    assert.match(answer.json.error.message, /^permission denied: /);
    assert.equal(trap.n, 0);
    assert.equal(await outcomeOf(hub, 'refused'), 1);
  }
  const portOf = trap => new URL(trap.url).port;

  test('without a list nothing is', t => assertNotAsked(t, [], trap => trap.url, /the host 127\.0\.0\.1, port \d+, is not allowed by upstreams\.allow_hosts/));
  test('an address on another port is not', t => assertNotAsked(t, ['127.0.0.1:1'], trap => trap.url, /the host 127\.0\.0\.1/));
  test('another host is not', t => assertNotAsked(t, ['api.example.com', '127.0.0.2'], trap => trap.url, /the host 127\.0\.0\.1/));
  for (const host of ['2130706433', '0x7f.1', '0x7f000001', '017700000001', '127.1', '127.0.0.1.', '[::ffff:127.0.0.1]', '[::1]', '0', '0.0.0.0']) {
    test(`${host} is not, however it is written`, t => assertNotAsked(t, ['api.example.com', '*.example.com'], trap => `http://${host}:${portOf(trap)}/`, /is not allowed/));
  }
  test('localhost, listed as a name, is not: its address is not listed', t =>
    assertNotAsked(t, ['localhost'], trap => `http://localhost:${portOf(trap)}/`, /(127\.0\.0\.1|::1).* is not allowed|not allowed.*(127\.0\.0\.1|::1)/));
  test('a listed name that resolves to the inside is not', t =>
    assertNotAsked(t, ['api.example.test'], trap => `http://api.example.test:${portOf(trap)}/`, /127\.0\.0\.1/, slowDns({ map: { 'api.example.test': '127.0.0.1' } })));
  test('a name below a listed domain that resolves to the inside is not', t =>
    assertNotAsked(t, ['*.example.test'], trap => `http://A.Example.TEST:${portOf(trap)}/`, /127\.0\.0\.1/, slowDns({ map: { 'a.example.test': '127.0.0.1' } })));
  for (const address of ['169.254.169.254', 'fd00:ec2::254', '100.100.100.200', '10.0.0.1', '64:ff9b::7f00:1', '::ffff:10.0.0.1']) {
    test(`a listed name that resolves to ${address} is not`, t =>
      assertNotAsked(t, ['api.example.test'], () => 'http://api.example.test/latest/meta-data/', /is not allowed|not allowed/, slowDns({ map: { 'api.example.test': address } })));
  }

  test('a name that changes its mind is not asked then', async t => {
    const upstream = await startUpstream(t);
    const trap = await startGate(t, { open: true });
    const env = slowDns({ map: { 'one.example.test': '127.0.0.1', 'two.example.test': '127.0.0.1' } });
    const hub = await startProxyHub(t, ['*.example.test', `127.0.0.1:${upstream.port}`], { env });
    assert.equal((await hub.request('GET', proxied(`http://one.example.test:${upstream.port}/json`))).status, 200);
    assertRefused(await hub.request('GET', proxied(`http://one.example.test:${portOf(trap)}/`)), 403, 103, /127\.0\.0\.1/);
    assert.equal(trap.n, 0);
  });

  test('a redirect to elsewhere is not followed', async t => {
    const upstream = await startUpstream(t);
    const trap = await startGate(t, { open: true });
    const hub = await startProxyHub(t, [hostOf(upstream.url)]);
    for (const to of [trap.url, trap.url.replace('127.0.0.1', 'localhost'), 'http://169.254.169.254/', 'file:///etc/passwd']) {
      const answer = await hub.request('GET', proxied(`${upstream.url}/redirect/1?to=${encodeURIComponent(to)}`));
      assertRefused(answer, 403, 103, /not allowed|no URL of http or https/);
    }
    assert.equal(trap.n, 0);
  });

  test('an address with its port, a network and a listed name with a listed address are', async t => {
    const upstream = await startUpstream(t);
    const env = slowDns({ map: { 'api.example.test': '127.0.0.1' } });
    for (const allow of [[`127.0.0.1:${upstream.port}`], ['127.0.0.0/8'], ['::ffff:127.0.0.1']]) {
      const hub = await startProxyHub(t, [...allow, `API.example.test:${upstream.port}`], { env });
      for (const url of [upstream.url, `http://api.example.test:${upstream.port}`, `http://[::ffff:127.0.0.1]:${upstream.port}`]) {
        const { status, json } = await hub.request('GET', proxied(`${url}/health`));
        assert.deepEqual([status, json], [200, {}], `${allow} ${url}`);
      }
    }
  });

  for (const entry of ['', 'https://api.example.com', 'api.example.com/x', '10.0.0.1/8', '10.0.0.0/33', 'api.example.com:0', '*', '[fe80::1%eth0]', '2130706433']) {
    test(`the entry ${JSON.stringify(entry)} is refused`, async t => {
      const { code, text } = await check(t, { upstreams: { allow_hosts: ['api.example.com', entry] } });
      assert.equal(code, 1);
      assert.match(text, /upstreams\.allow_hosts: /);
      assert.ok(text.includes(`${JSON.stringify(entry)} is not `), text);
    });
  }
});

describe('who may ask', { concurrency: true }, () => {
  const url = upstream => proxied(`${upstream.url}/json`);
  const bearer = token => ({ Authorization: `Bearer ${token}` });

  test('by default who has the key', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, ['127.0.0.1'], { url_proxy: { access: 'key' } });
    for (const headers of [{ 'X-API-Key': API_KEY }, { Authorization: `apikey ${API_KEY}` }, { Authorization: `ApiKey  ${API_KEY}` }]) {
      assert.equal((await hub.request('GET', url(upstream), { headers })).status, 200);
    }
    for (const headers of [{}, { 'X-API-Key': 'wrong' }, { 'X-API-Key': '' }, { Authorization: `Bearer ${API_KEY}` }, { Authorization: API_KEY }]) {
      assertRefused(await hub.request('GET', url(upstream), { headers }), 401, 101, /^unauthorized: expected the API key, as X-API-Key: KEY or /);
    }
    assert.equal((await upstream.stats()).requests, 3);
    assert.equal(await outcomeOf(hub, 'unauthorized'), 5);
  });

  test('nobody, where no key is configured', async t => {
    const hub = await startProxyHub(t, ['127.0.0.1'], { url_proxy: { access: 'key' }, http_api: { key: '' } });
    for (const headers of [{}, { 'X-API-Key': '' }]) {
      assertRefused(await hub.request('GET', proxied('http://127.0.0.1/'), { headers }), 401, 101, /^unauthorized: expected the API key, as X-API-Key: KEY or /);
    }
  });

  test('who has a connection token', async t => {
    const upstream = await startUpstream(t);
    const hub = await startProxyHub(t, ['127.0.0.1'], { url_proxy: { access: 'token' }, client: { token: { hmac_secret_key: SECRET } } });
    assert.equal((await hub.request('GET', url(upstream), { headers: bearer(makeToken({ sub: '42', exp: secondsFromNow(60) })) })).status, 200);
    const BAD = [
      [{}, 101],
      [{ 'X-API-Key': API_KEY }, 101],
      [bearer('nonsense'), 101],
      [bearer(makeToken({ sub: '42' }, { secret: 'another-secret-that-is-long-enough-too' })), 101],
      [bearer(makeToken({ sub: '42' }, { alg: 'none' })), 101],
      [bearer(makeToken({ sub: '42', channel: 'news' })), 101],
      [bearer(makeToken({ sub: '42', exp: secondsFromNow(-60) })), 109],
      [bearer(makeToken({ sub: '42', expire_at: secondsFromNow(-60) })), 109],
    ];
    for (const [headers, code] of BAD) assertRefused(await hub.request('GET', url(upstream), { headers }), 401, code, /^(unauthorized: expected a token .* Bearer TOKEN|token expired)$/);
    assert.equal((await upstream.stats()).requests, 1);
    assert.equal(await outcomeOf(hub, 'unauthorized'), BAD.length);
    assert.ok(hub.lines.some(line => line.includes('token_refused') && line.includes('kind=connection')));
  });
});

test('a hub that ends lets answers under way come to their end', async t => {
  let finish;
  const url = await startServer(t, (request, response) => {
    response.write('one');
    finish = () => response.end('two');
  });
  const hub = await startProxyHub(t, [hostOf(url)], { shutdown: { timeout: '60s' } });
  const response = await open(hub, url);
  const stopped = hub.stop();
  await hub.waitForLine(line => line.includes('main shutting_down'));
  finish();
  assert.equal(Buffer.concat(await response.toArray()).toString(), 'onetwo');
  await stopped;
});

test('a hub that may not wait cuts them', async t => {
  const upstream = await startUpstream(t);
  const hub = await startProxyHub(t, ['127.0.0.1'], { shutdown: { timeout: '1s' }, url_proxy: { max_size: 0 } });
  const response = await open(hub, `${upstream.url}/json?endless=1`);
  const broken = assert.rejects((async () => { for await (const piece of response) assert.ok(piece); })(), { code: 'ECONNRESET' });
  await hub.stop();
  await within(broken, 'the end');
});
