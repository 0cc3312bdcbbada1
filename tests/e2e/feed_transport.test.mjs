// What lies between a feed and its upstreams: compression, HTTP/2, TLS, proxies.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { deflateSync, brotliCompressSync, gzipSync } from 'node:zlib';

import { makeCertificate, makeExpired } from './lib/certificate.mjs';
import { temporaryFolder } from './lib/command.mjs';
import { feedOf, numbered, refresh, startFeedHub, upstreamOf } from './lib/feed.mjs';
import { startForwardProxy } from './lib/forward_proxy.mjs';
import { startGate } from './lib/gate.mjs';
import { startHttp2 } from './lib/http2.mjs';
import { within } from './lib/process.mjs';
import { slowDns } from './lib/slow_dns.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const NO_BREAKER = { failures: 0 };
const numbers = n => Array.from({ length: n }, (_, i) => i);
const outcomes = ({ upstreams }) => Object.fromEntries(Object.entries(upstreams).map(([name, { outcome }]) => [name, outcome]));

async function ownCertificate(t) {
  const dir = await temporaryFolder(t);
  const certificate = await makeCertificate(dir);
  return { certificate, tls: { server_ca_pem_file: certificate.certFile } };
}

describe('compression', { concurrency: true }, () => {
  const coders = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };
  const text = JSON.stringify({ list: numbers(2000).map(i => `${i}.10`), number: 0 }).replace('"number":0', '"number":1.10');

  /** Answers in the coding that the path names, whatever is asked for. */
  async function startCoder(t) {
    const server = http.createServer((incoming, outgoing) => {
      const name = incoming.url.slice(1);
      const bytes = (coders[name] ?? (plain => plain))(Buffer.from(text));
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-encoding': name, 'content-length': bytes.length });
      outgoing.end(bytes);
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://127.0.0.1:${server.address().port}`;
  }

  for (const [what, how] of Object.entries({ 'a GET': {}, 'a POST': { method: 'POST', body: '{}' }, 'TLS': { isTls: true } })) {
    test(`of an answer is asked for, and undone: ${what}`, async t => {
      const { certificate, tls } = await ownCertificate(t);
      const upstream = await startUpstream(t, { tls: certificate });
      await upstream.put('big', text);
      const { isTls, ...more } = how;
      const base = isTls ? upstream.tlsUrl : upstream.url;
      const hub = await startFeedHub(t, feedOf({ echo: { url: `${base}/echo`, ...more, tls }, big: { url: `${base}/json?size=20000&gzip=1`, ...more, tls, conditional: false } }));
      for (let i = 0; i < 2; i += 1) {
        const { data, upstreams } = await refresh(hub);
        assert.deepEqual(outcomes({ upstreams }), { echo: 'fresh', big: 'fresh' });
        assert.match(data.echo.headers['accept-encoding'], /\bgzip\b/);
        assert.ok(JSON.stringify(data.big).length >= 20000);
        assert.ok(upstreams.big.bytes > 0 && upstreams.big.bytes < 20000, `${upstreams.big.bytes}`); // what was on the wire
      }
    });
  }

  test('in each coding that is asked for', async t => {
    const [coder, upstream] = [await startCoder(t), await startUpstream(t)];
    const post = { method: 'POST', body: '{}' };
    const first = await startFeedHub(t, feedOf({ get: `${upstream.url}/echo`, post: { url: `${upstream.url}/echo`, ...post } }));
    const { data } = await refresh(first);
    for (const [method, more] of Object.entries({ get: {}, post })) {
      const codings = data[method].headers['accept-encoding'].split(/, */).filter(name => name in coders);
      assert.ok(codings.includes('gzip') && codings.includes('deflate'), `${codings}`);
      const hub = await startFeedHub(t, feedOf(Object.fromEntries(codings.map(name => [name, { url: `${coder}/${name}`, ...more }]))));
      const { json, text: answer } = await hub.api('feed_refresh', { feed: 'feed' });
      assert.equal(json.result.completed, true, answer.slice(-1000));
      assert.equal(answer.split(text).length - 1, codings.length);
    }
  });

  test('in one that was not asked for is a failure of that upstream', async t => {
    const coder = await startCoder(t);
    const url = `${coder}/rot13`;
    const hub = await startFeedHub(t, feedOf({ get: url, post: { url, method: 'POST', body: '{}' }, good: `${coder}/gzip` }));
    const { data, upstreams } = await refresh(hub);
    for (const name of ['get', 'post']) assert.deepEqual([data[name], upstreams[name].outcome], [null, 'connect_error'], JSON.stringify(upstreams[name]));
    assert.equal(upstreams.good.outcome, 'fresh');
  });

  test('is not asked for where the configuration says so', async t => {
    const upstream = await startUpstream(t);
    const plain = { headers: { 'accept-encoding': 'identity' } };
    const hub = await startFeedHub(t, feedOf({ echo: { url: `${upstream.url}/echo`, ...plain }, big: { url: `${upstream.url}/json?size=20000&gzip=1`, ...plain } }));
    const { data, upstreams } = await refresh(hub);
    assert.equal(data.echo.headers['accept-encoding'], 'identity');
    assert.deepEqual([upstreams.big.outcome, upstreams.big.bytes], ['fresh', 20000]);
  });
});

describe('HTTP/2', { concurrency: true }, () => {
  const many = (upstream, more) => feedOf(Object.fromEntries(numbers(20).map(i => [`u${i}`, { url: `${upstream.url}/${i}`, ...more }])));

  /** Nobody is answered before all are there. */
  function answerTogether(upstream, n) {
    let open;
    const all = new Promise(resolve => { open = resolve; });
    let n_here = 0;
    for (const i of numbers(n)) {
      upstream.handlers[`/${i}`] = () => {
        n_here += 1;
        if (n_here === n) open();
        return within(all.then(() => ({ i })), `${n} requests at one time`);
      };
    }
  }

  test('20 requests at one time share one connection', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate });
    answerTogether(upstream, 20);
    const hub = await startFeedHub(t, many(upstream, { tls, http_version: '2' }));
    for (let i = 0; i < 2; i += 1) {
      const { data, completed } = await refresh(hub);
      assert.equal(completed, true);
      assert.deepEqual(Object.values(data), numbers(20).map(i => ({ i })));
    }
    assert.deepEqual([upstream.sessions, upstream.streams, upstream.together], [1, 40, 20]);
    assert.ok(upstream.requests.every(({ version }) => version === '2.0'));
  });

  test('auto: where the server offers it, and no new connections once there is one', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate });
    answerTogether(upstream, 20);
    const hub = await startFeedHub(t, many(upstream, { tls }));
    assert.equal((await refresh(hub)).completed, true);
    const { sessions } = upstream;
    assert.equal((await refresh(hub)).completed, true);
    assert.equal(upstream.sessions, sessions);
    assert.ok(upstream.requests.every(({ version }) => version === '2.0'));
  });

  test('1.1 does not speak it', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate, handlers: { '/a': { a: 1 } } });
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/a`, tls, http_version: '1.1' } }));
    assert.deepEqual((await refresh(hub)).data, { one: { a: 1 } });
    assert.deepEqual([upstream.requests.map(({ version }) => version), upstream.sessions], [['1.1'], 0]);
  });

  for (const version of ['2', 'auto']) {
    test(`${version}: a server that does not offer it is asked as ever`, async t => {
      const { certificate, tls } = await ownCertificate(t);
      const upstream = await startUpstream(t, { tls: certificate });
      const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.tlsUrl}/health`, tls, http_version: version }, two: { url: `${upstream.tlsUrl}/health?2`, tls, http_version: version } }));
      assert.deepEqual(outcomes(await refresh(hub)), { one: 'fresh', two: 'fresh' });
    });
  }

  test('without TLS, where the configuration says so', async t => {
    const upstream = await startHttp2(t);
    answerTogether(upstream, 20);
    const hub = await startFeedHub(t, many(upstream, { http_version: '2' }));
    for (let i = 0; i < 3; i += 1) assert.equal((await refresh(hub)).completed, true);
    assert.ok(upstream.requests.length === 60 && upstream.requests.every(({ version }) => version === '2.0'));
  });

  test('headers and bodies go over it', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate, handlers: { '/a?q=%C3%A9': ({ method, headers }) => ({ method, key: headers['x-api-key'], type: headers['content-type'], length: headers['content-length'] }) } });
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/a`, tls, http_version: '2', method: 'PUT', query: { q: 'é' }, headers: { 'X-API-Key': 'k' }, body: '{"a":1}' } }));
    assert.deepEqual((await refresh(hub)).data.one, { method: 'PUT', key: 'k', type: 'application/json', length: '7' });
  });

  test('a request that hangs holds up no other, nor the next ones', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate, handlers: { '/slow': () => new Promise(() => {}), '/quick': { a: 1 } } });
    const how = { tls, http_version: '2' };
    const hub = await startFeedHub(t, feedOf({ slow: { url: `${upstream.url}/slow`, timeout: '300ms', breaker: NO_BREAKER, ...how }, quick: { url: `${upstream.url}/quick`, ...how } }));
    for (let i = 0; i < 3; i += 1) assert.deepEqual(outcomes(await refresh(hub)), { slow: 'timeout', quick: 'fresh' });
    assert.equal(upstream.sessions, 1);
  });

  test('a server that says goodbye is connected to again', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate, handlers: { '/a': { a: 1 } } });
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.url}/a`, tls, http_version: '2' } }));
    for (const how of [{}, { at: 'once' }, {}]) {
      assert.deepEqual(outcomes(await refresh(hub)), { one: 'fresh' });
      upstream.leave(how);
    }
    assert.deepEqual(outcomes(await refresh(hub)), { one: 'fresh' });
    assert.equal(upstream.sessions, 4);
  });

  test('a connection that breaks breaks all requests on it; retries mend them', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startHttp2(t, { certificate });
    let n_here = 0;
    for (const i of numbers(5)) {
      upstream.handlers[`/${i}`] = () => {
        n_here += 1;
        if (n_here === 5) upstream.leave({ at: 'once' });
        return n_here > 5 ? { i } : new Promise(() => {});
      };
    }
    const feed = feedOf(Object.fromEntries(numbers(5).map(i => [`u${i}`, { url: `${upstream.url}/${i}`, tls, http_version: '2', retry: { attempts: 3, backoff: '20ms' } }])));
    const hub = await startFeedHub(t, feed);
    const { completed, upstreams } = await refresh(hub);
    assert.equal(completed, true, JSON.stringify(upstreams));
    // Mostly 2; the first to come back may find the connection before libcurl has given it up.
    assert.ok(Object.values(upstreams).every(({ attempts }) => attempts >= 2), JSON.stringify(upstreams));
  });
});

describe('TLS', { concurrency: true }, () => {
  let files, plain, mutual, elsewhere, expired;
  const endings = [];

  before(async () => {
    const context = { after: fn => endings.push(fn) };
    const dir = await temporaryFolder(context);
    const authority = await makeCertificate(dir, { name: 'authority' });
    const other = await makeCertificate(dir, { name: 'other' });
    const server = await makeCertificate(dir, { name: 'server', issuer: authority });
    const client = await makeCertificate(dir, { name: 'client', issuer: authority });
    const stranger = await makeCertificate(dir, { name: 'stranger', issuer: other });
    const site = await makeCertificate(dir, { name: 'site', issuer: authority, host: 'DNS:site.test' });
    const old = await makeExpired(dir, { name: 'old', issuer: authority });
    files = { ca: authority.certFile, otherCa: other.certFile, client, stranger };
    plain = await startUpstream(context, { tls: server });
    mutual = await startUpstream(context, { tls: { ...server, clientCaFile: authority.certFile } });
    elsewhere = await startUpstream(context, { tls: site });
    expired = await startUpstream(context, { tls: old });
  });
  after(async () => {
    for (const end of endings.reverse()) await end();
  });

  const trusting = more => ({ server_ca_pem_file: files.ca, ...more });
  const showing = ({ certFile, keyFile }) => trusting({ cert_pem_file: certFile, key_pem_file: keyFile });
  const to = (upstream, tls, more = {}) => ({ url: `${upstream.tlsUrl}/health`, tls, breaker: NO_BREAKER, ...more });

  const good = {
    'an authority of its own': () => to(plain, trusting()),
    'a client certificate that is asked for': () => to(mutual, showing(files.client)),
    'a client certificate that is not asked for': () => to(plain, showing(files.client)),
    'the name that the certificate has': () => ({ ...to(elsewhere, trusting()), url: `https://site.test:${elsewhere.tlsPort}/health` }),
    'no verification, of an unknown authority': () => to(plain, { insecure_skip_verify: true }),
    'no verification, of another name': () => to(elsewhere, { insecure_skip_verify: true }),
    'no verification, of an expired certificate': () => to(expired, trusting({ insecure_skip_verify: true })),
  };
  for (const [what, make] of Object.entries(good)) {
    test(`with ${what}`, async t => {
      const hub = await startFeedHub(t, feedOf({ one: make(), post: { ...make(), method: 'POST', body: '{}' } }), { env: slowDns({ map: { 'site.test': '127.0.0.1' } }) });
      const { upstreams } = await refresh(hub);
      for (const one of Object.values(upstreams)) assert.deepEqual([one.outcome, one.status], ['fresh', 200], JSON.stringify(one));
    });
  }

  const bad = {
    'an unknown authority': [() => to(plain), /certificate/],
    'another authority than the configured one': [() => to(plain, { server_ca_pem_file: files.otherCa }), /certificate/],
    'a certificate for another name': [() => to(elsewhere, trusting()), /127\.0\.0\.1/],
    'an expired certificate': [() => to(expired, trusting()), /expired/],
    'a client certificate that is missing': [() => to(mutual, trusting()), /./],
    'a client certificate of a stranger': [() => to(mutual, showing(files.stranger)), /./],
  };
  for (const [what, [make, words]] of Object.entries(bad)) {
    test(`refuses ${what}: tls_error, and nothing is sent`, async t => {
      const { url, ...how } = make();
      const hub = await startFeedHub(t, feedOf({ one: { url: url.replace('health', 'never'), retry: { attempts: 2, backoff: '1ms' }, ...how }, good: to(plain, trusting()) }));
      const { upstreams, data } = await refresh(hub);
      assert.deepEqual([upstreams.one.outcome, upstreams.one.status, upstreams.one.attempts, data.one], ['tls_error', 0, 1, null], JSON.stringify(upstreams.one));
      assert.match(upstreams.one.error, words);
      assert.equal(upstreams.good.outcome, 'fresh');
      for (const upstream of [plain, mutual, elsewhere, expired]) assert.equal((await upstream.stats()).by_path['/never'], undefined);
    });
  }

  test('a connection is not for those who would not have made it', async t => {
    const feed = feedOf({
      careless: to(plain, { insecure_skip_verify: true }), careful: to(plain), own: to(plain, trusting()), other: to(plain, { server_ca_pem_file: files.otherCa }),
      client: to(mutual, showing(files.client)), nobody: to(mutual, trusting()), stranger: to(mutual, showing(files.stranger)),
    });
    for (const upstreams of [feed.upstreams, [...feed.upstreams].reverse()]) {
      for (const version of ['auto', '2', '1.1']) {
        const hub = await startFeedHub(t, { ...feed, upstreams: upstreams.map(one => ({ ...one, http_version: version })) });
        for (let i = 0; i < 3; i += 1) {
          const told = outcomes(await refresh(hub));
          assert.deepEqual(told, { careless: 'fresh', careful: 'tls_error', own: 'fresh', other: 'tls_error', client: 'fresh', nobody: 'tls_error', stranger: 'tls_error' });
        }
      }
    }
  });

  test('a connection is kept', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const upstream = await startUpstream(t, { tls: certificate });
    const hub = await startFeedHub(t, feedOf({ one: { url: `${upstream.tlsUrl}/echo`, tls, method: 'POST', body: '{}' }, two: { url: `${upstream.tlsUrl}/echo`, tls, needs: ['one'] } }));
    for (let i = 0; i < 3; i += 1) {
      const { upstreams: { one, two } } = await refresh(hub);
      assert.deepEqual([one.outcome, two.outcome, two.connect_ms], ['fresh', 'fresh', 0]);
      assert.equal(one.connect_ms > 0, i === 0, JSON.stringify(one));
    }
    const { tls_handshakes: handshakes, by_path: paths } = await upstream.stats();
    assert.deepEqual([handshakes, paths['/echo']], [1, 6]);
  });

  test('files are read at the start: what becomes of them later does not matter', async t => {
    const dir = await temporaryFolder(t);
    const certificate = await makeCertificate(dir);
    const upstream = await startUpstream(t, { tls: certificate });
    const hub = await startFeedHub(t, numbered({ one: { url: `${upstream.tlsUrl}/health?{n}`, tls: { server_ca_pem_file: certificate.certFile } } }));
    await makeCertificate(dir); // another one, of the same name
    assert.equal((await refresh(hub, { n: '1' })).completed, true);
  });
});

describe('a proxy', { concurrency: true }, () => {
  test('is asked for what goes over it, and for nothing else', async t => {
    const [proxy, upstream] = [await startForwardProxy(t), await startUpstream(t)];
    const headers = { 'X-API-Key': 'k' };
    const hub = await startFeedHub(t, feedOf({
      get: { url: `${upstream.url}/echo?get`, proxy: proxy.url, headers }, post: { url: `${upstream.url}/echo?post`, proxy: proxy.url, method: 'POST', body: '{"a":1}', headers }, direct: `${upstream.url}/echo?direct`,
    }));
    for (let i = 0; i < 2; i += 1) {
      const { data, upstreams } = await refresh(hub);
      assert.deepEqual(outcomes({ upstreams }), { get: 'fresh', post: 'fresh', direct: 'fresh' });
      for (const name of ['get', 'post']) assert.equal(data[name].headers['x-api-key'], 'k');
      assert.deepEqual([data.post.body, data.get.raw_query], ['{"a":1}', 'get']);
    }
    const asked = proxy.requests.map(({ method, url }) => `${method} ${url}`).sort();
    const [get, post] = [`GET ${upstream.url}/echo?get`, `POST ${upstream.url}/echo?post`];
    assert.deepEqual([asked, proxy.tunnels], [[get, get, post, post], []]);
  });

  for (const version of ['auto', '2', '1.1']) {
    test(`makes a tunnel for https, and sees nothing of it: ${version}`, async t => {
      const { certificate, tls } = await ownCertificate(t);
      const [proxy, upstream] = [await startForwardProxy(t), await startHttp2(t, { certificate, handlers: { '/a': ({ headers }) => ({ key: headers['x-api-key'] }) } })];
      const one = { url: `${upstream.url}/a`, proxy: proxy.url, tls, http_version: version, headers: { 'X-API-Key': 'k' } };
      const hub = await startFeedHub(t, feedOf({ one, wrong: { ...one, tls: {} } }));
      for (let i = 0; i < 2; i += 1) {
        const { data, upstreams } = await refresh(hub);
        assert.deepEqual([outcomes({ upstreams }), data.one], [{ one: 'fresh', wrong: 'tls_error' }, { key: 'k' }], JSON.stringify(upstreams));
      }
      assert.deepEqual([proxy.requests, new Set(proxy.tunnels)], [[], new Set([new URL(upstream.url).host])]);
      assert.ok(upstream.requests.every(request => request.version === (version === '1.1' ? '1.1' : '2.0')));
    });
  }

  test('resolves the names', async t => {
    const proxy = await startForwardProxy(t);
    proxy.refuses = true;
    const hub = await startFeedHub(t, feedOf({ plain: { url: 'http://only.the.proxy.invalid/a', proxy: proxy.url }, tunnel: { url: 'https://only.the.proxy.invalid/b', proxy: proxy.url } }));
    await refresh(hub);
    assert.deepEqual([proxy.requests.map(({ url }) => url), proxy.tunnels], [['http://only.the.proxy.invalid/a'], ['only.the.proxy.invalid:443']]);
  });

  test('that refuses, or is not there, is a failure of these upstreams', async t => {
    const { certificate, tls } = await ownCertificate(t);
    const [proxy, upstream] = [await startForwardProxy(t), await startUpstream(t, { tls: certificate })];
    proxy.refuses = true;
    const gone = await refusedUrl(t, upstream);
    const hub = await startFeedHub(t, feedOf({
      plain: { url: `${upstream.url}/health`, proxy: proxy.url }, tunnel: { url: `${upstream.tlsUrl}/health`, proxy: proxy.url, tls },
      gone: { url: `${upstream.url}/health`, proxy: gone }, nowhere: { url: `${upstream.tlsUrl}/health`, proxy: gone, tls }, direct: { url: `${upstream.tlsUrl}/health`, tls },
    }));
    const { upstreams } = await refresh(hub);
    const told = Object.fromEntries(Object.entries(upstreams).map(([name, { outcome, status }]) => [name, [outcome, status]]));
    assert.deepEqual(told, { plain: ['http_error', 403], tunnel: ['connect_error', 0], gone: ['connect_error', 0], nowhere: ['connect_error', 0], direct: ['fresh', 200] });
    assert.match(upstreams.tunnel.error, /403/);
    assert.equal((await upstream.stats()).requests, 1);
  });

  test('is not followed to another host, whose address nobody would see', async t => {
    const [proxy, upstream, other] = [await startForwardProxy(t), await startUpstream(t), await startGate(t, { open: true })];
    const hub = await startFeedHub(t, feedOf({ away: { url: `${upstream.url}/health?redirect=${encodeURIComponent(other.url)}`, proxy: proxy.url }, home: { url: `${upstream.url}/redirect/1?to=/health`, proxy: proxy.url } }), { config: { upstreams: { allow_hosts: ['127.0.0.1'] } } });
    const { upstreams } = await refresh(hub);
    assert.deepEqual(outcomes({ upstreams }), { away: 'refused', home: 'fresh' });
    assert.match(upstreams.away.error, /proxy/);
    assert.equal(other.n, 0);
    assert.equal((await upstreamOf(hub, 'away')).outcomes.refused, 1);
  });
});
