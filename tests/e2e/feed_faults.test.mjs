// Feeds with one bad upstream between two good ones, for every way to be bad that there is: the good values come, the
// answer says what was wrong with the other, the run ends as soon as that is known, and the loop never stands still.
//
// One test after the other, as each reads how long the turns of the loop were while its feed was refreshed. A machine
// that takes the processor away from the hub makes a turn long, too, now and then; so one run of several without a
// long turn is enough: what blocks the loop does so in every one. ctest runs the file alone.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { makeCertificate } from './lib/certificate.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { difference, parseMetrics } from './lib/prometheus.mjs';
import { slowDns } from './lib/slow_dns.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const LONG_TURN_S = 0.005;
const RUNS = 6;
const NEVER = '10m'; // what waits for this fails the test
const SHORT = '300ms';

// Name; the bad upstream; what the answer says of it; more of the feed. p: the places, see startPlaces().
const faults = [
  ['a refused connection', { url: p => p.refused }, { failure: 'connect_error' }],
  ['a reset before the answer', { url: p => `${p.bad}/health?reset=1` }, { failure: 'connect_error' }],
  ['an answer that breaks off', { url: p => `${p.bad}/json?truncate=1` }, { failure: 'connect_error', status: 200 }],
  ['compressed, an answer that breaks off', { url: p => `${p.bad}/json?truncate=1&gzip=1` }, { failure: 'connect_error', status: 200 }],
  ['a black hole', { url: p => p.blackHole, connect_timeout: SHORT }, { failure: 'timeout' }],
  ['a black hole, without a timeout for the connection', { url: p => p.blackHole, timeout: SHORT }, { failure: 'timeout' }],
  ['no answer', { url: p => `${p.bad}/health?hang=1`, timeout: SHORT }, { failure: 'timeout' }],
  ['no answer before the deadline of all', { url: p => `${p.bad}/health?hang=1`, retry: { attempts: 3, backoff: '1ms' } }, { failure: 'timeout', attempts: 1 }, { timeout: SHORT }],
  ['a slow drip', { url: p => `${p.bad}/json?drip=1/20ms`, timeout: SHORT }, { failure: 'timeout', status: 200 }],
  ['a slow drip of the head', { url: p => `${p.bad}/json?drip=1/20ms&drip_head=1`, timeout: SHORT }, { failure: 'timeout' }],
  ['an endless body', { url: p => `${p.bad}/health?endless=1` }, { failure: 'too_large', status: 200 }],
  ['an endless body that comes slowly', { url: p => `${p.bad}/health?endless=1&drip=100/10ms`, timeout: SHORT }, { failure: 'timeout', status: 200 }],
  ['a body that is too large', { url: p => `${p.bad}/json?size=2000000` }, { failure: 'too_large', status: 200 }],
  ['a gzip bomb', { url: p => `${p.bad}/json?bomb=2000` }, { failure: 'too_large', status: 200 }],
  ['invalid JSON', { url: p => `${p.bad}/json?size=100000&invalid=1` }, { failure: 'invalid_json', status: 200 }],
  ['nothing at all', { url: p => `${p.bad}/status/204` }, { failure: 'invalid_json', status: 204 }],
  ['a page of HTML', { url: p => `${p.bad}/values/page?content_type=text/html` }, { failure: 'invalid_json', status: 200 }],
  ['nothing where the pointer points', { url: p => `${p.bad}/json`, select: '/nowhere' }, { failure: 'invalid_json', status: 200 }],
  ['404', { url: p => `${p.bad}/status/404` }, { failure: 'http_error', status: 404, attempts: 1 }],
  ['404, which no retry mends', { url: p => `${p.bad}/status/404`, retry: { attempts: 3, backoff: '1ms' } }, { failure: 'http_error', status: 404, attempts: 1 }],
  ['500, which may have done something', { url: p => `${p.bad}/status/500`, retry: { attempts: 2, backoff: '1ms' } }, { failure: 'http_error', status: 500, attempts: 1 }],
  ['503, again and again', { url: p => `${p.bad}/status/503`, retry: { attempts: 2, backoff: '1ms' } }, { failure: 'http_error', status: 503, attempts: 3 }],
  ['500 with an endless page', { url: p => `${p.bad}/health?status=500&endless=1` }, { failure: 'http_error', status: 500 }],
  ['429 with a Retry-After beyond the deadline', { url: p => `${p.bad}/status/429?retry_after=3600`, timeout: '10s', retry: { attempts: 3 } }, { failure: 'http_error', status: 429, attempts: 1 }],
  ['a certificate that nobody knows', { url: p => `${p.badTls}/health` }, { failure: 'tls_error' }],
  ['a certificate of another host', { url: p => `${p.badTls.replace('127.0.0.1', 'mapped.test')}/health`, tls: p => ({ server_ca_pem_file: p.caFile }) }, { failure: 'tls_error' }],
  ['a certificate that the client does not have', { url: p => `${p.mutualTls}/health`, tls: p => ({ server_ca_pem_file: p.caFile }) }, { failure: 'tls_error' }],
  ['no TLS where it is expected', { url: p => `${p.bad.replace('http:', 'https:')}/health`, connect_timeout: SHORT }, { failure: 'timeout' }],
  ['a redirect loop', { url: p => `${p.bad}/redirect/loop` }, { failure: 'refused', status: 302 }],
  ['more redirects than allowed', { url: p => `${p.bad}/redirect/3`, max_redirects: 2 }, { failure: 'refused', status: 302 }],
  ['a redirect to 127.0.0.1', { url: p => `${p.mapped}/redirect/0?to=${encodeURIComponent(p.trap)}` }, { failure: 'refused', status: 302 }],
  ['a redirect to another port', { url: p => `${p.bad}/redirect/1?to=${encodeURIComponent(p.trap)}` }, { failure: 'refused', status: 302 }],
  ['a redirect to the metadata of a cloud', { url: p => `${p.bad}/health?redirect=http://169.254.169.254/latest` }, { failure: 'refused', status: 302 }],
  ['a redirect to a file', { url: p => `${p.bad}/health?redirect=file:///etc/passwd` }, { failure: 'refused', status: 302 }],
  ['a name that does not exist', { url: () => 'http://nowhere.slow.test/' }, { failure: 'dns_error' }],
  ['a name that is not resolved now', { url: () => 'http://nowhere.again.slow.test/' }, { failure: 'dns_error' }],
  ['a name that takes too long', { url: () => 'http://late.slow.test/', timeout: SHORT }, { failure: 'timeout' }],
];

// What looks like a fault and is none.
const survivals = [
  ['502 once, then fine', { url: p => `${p.bad}/values/x?fail=1&fail_status=502`, retry: { attempts: 2, backoff: '1ms' } }, { status: 200, attempts: 2 }],
  ['a reset twice, then fine', { url: p => `${p.bad}/values/x?fail=2&fail_with=reset`, retry: { attempts: 2, backoff: '1ms' } }, { status: 200 }],
  ['429 with a Retry-After that is short, then fine', { url: p => `${p.bad}/values/x?fail=1&fail_status=429&retry_after=1`, retry: { attempts: 1, backoff: '1ms' } }, { status: 200, attempts: 2 }],
  ['503 at first, with three tries', { url: p => `${p.bad}/values/x?fail=3&fail_status=503`, retry: { attempts: 3, backoff: '1ms' } }, { status: 200, attempts: 4 }],
  ['a known certificate', { url: p => `${p.badTls}/values/x`, tls: p => ({ server_ca_pem_file: p.caFile }) }, { status: 200 }],
  ['a certificate that the client has', { url: p => `${p.mutualTls}/values/x`, tls: p => ({ server_ca_pem_file: p.caFile, cert_pem_file: p.clientCert, key_pem_file: p.clientKey }) }, { status: 200 }],
  ['a name that the resolver knows', { url: p => `${p.mapped}/values/x` }, { status: 200 }],
  ['redirects within the host', { url: p => `${p.bad}/redirect/2?to=/values/x` }, { status: 200 }],
  ['a drip that ends in time', { url: p => `${p.bad}/values/x?drip=1/1ms&drip_head=1` }, { status: 200 }],
  ['a compressed answer', { url: p => `${p.bad}/values/x?gzip=1` }, { status: 200 }],
];

const X = { x: 1.5 };
let places, hub, bad, others, trap, dir;
const endings = [];

async function startPlaces(t) {
  const certificate = await makeCertificate(dir);
  const client = await makeCertificate(dir, { name: 'client' });
  bad = await startUpstream(t, { tls: certificate, blackHole: true });
  const mutual = await startUpstream(t, { tls: { ...certificate, clientCaFile: client.certFile } });
  const good = await startUpstream(t);
  trap = await startGate(t, { open: true });
  await good.put('a', '{"a":1}');
  await good.put('b', '{"b":2}');
  for (const upstream of [bad, mutual]) await upstream.put('x', JSON.stringify(X));
  await bad.put('page', '<html>down</html>');
  others = [bad, mutual];
  return {
    a: `${good.url}/values/a`, b: `${good.url}/values/b`, refused: await refusedUrl(t, good), trap: `${trap.url}/`,
    bad: bad.url, badTls: bad.tlsUrl, mutualTls: mutual.tlsUrl, blackHole: bad.blackHoleUrl, mapped: `http://mapped.test:${bad.port}`,
    caFile: certificate.certFile, clientCert: client.certFile, clientKey: client.keyFile,
  };
}

function feedOf([, what, , feed], name) {
  const { url, tls, ...more } = what;
  const middle = { name: 'middle', url: url(places), ...(tls ? { tls: tls(places) } : {}), breaker: { failures: 0 }, ...more };
  return { name, channel: `live:${name}`, timeout: NEVER, upstreams: [{ name: 'a', url: places.a }, middle, { name: 'b', url: places.b }], ...feed };
}

const metrics = async () => parseMetrics((await hub.request('GET', '/metrics')).text);

/** Calls run() until no turn of the loop was long meanwhile; fails when one was each time. */
async function withoutLongTurns(run) {
  const failures = [];
  for (let i = 0; i < RUNS; i++) {
    const earlier = await metrics();
    await run();
    const later = await metrics();
    const turns = difference(later.histogram('belfry_loop_lag_seconds'), earlier.histogram('belfry_loop_lag_seconds'));
    assert.ok(turns.count > 0);
    const long = turns.buckets.filter(([bound, n]) => bound > LONG_TURN_S && n > 0);
    if (long.length === 0) return;
    const cpu = later.get('process_cpu_seconds_total') - earlier.get('process_cpu_seconds_total');
    failures.push(`${long.map(([bound, n]) => `${n} of up to ${bound} s`)}, with ${cpu.toFixed(3)} s of the processor`);
  }
  assert.fail(`long turns in every run: ${failures.join('; ')}`);
}

async function refresh(feed, { params, isReset = true } = {}) {
  if (isReset) for (const upstream of others) await upstream.reset();
  const { status, json, text } = await hub.api('feed_refresh', { feed, params });
  assert.equal(status, 200, text);
  assert.ok(json.result, text);
  return { ...json.result, text };
}

function assertSaid(said, expected) {
  for (const [key, value] of Object.entries(expected)) assert.equal(said[key], value, `${key}: ${JSON.stringify(said)}`);
}

function assertGood({ upstreams, text }) {
  for (const name of ['a', 'b']) {
    assertSaid(upstreams[name], { outcome: 'fresh', attempts: 1 });
    assert.ok([200, 304].includes(upstreams[name].status), text); // 304: not the first run
  }
  assert.deepEqual(Object.keys(upstreams), ['a', 'middle', 'b'], text);
}

describe('a feed with', { concurrency: false }, () => {
  before(async () => {
    const context = { after: fn => endings.push(fn) };
    dir = await mkdtemp(join(tmpdir(), 'belfry-test-'));
    context.after(() => rm(dir, { recursive: true, force: true }));
    places = await startPlaces(context);
    const again = feedOf(['', { url: p => `${p.bad}/values/x?fail=1&n={n}` }, {}, { channel: 'live:again-{n}', params: { n: '[0-9]+' } }], 'again');
    const config = {
      client: { insecure: true }, prometheus: { enabled: true }, channel: { namespaces: [{ name: 'live' }] },
      feeds: [...faults.map((one, i) => feedOf(one, `fault${i}`)), ...survivals.map(([, what], i) => feedOf(['', { conditional: false, ...what }], `good${i}`)), again],
    };
    hub = await startHub(context, { config, env: slowDns({ ms: 1000, map: { 'mapped.test': '127.0.0.1' } }) });
  });
  after(async () => {
    for (const end of endings.reverse()) await end();
  });

  for (const [i, [name, , expected]] of faults.entries()) {
    test(name, () => withoutLongTurns(async () => {
      const result = await refresh(`fault${i}`);
      assertGood(result);
      assertSaid(result.upstreams.middle, { outcome: expected.failure, status: 0, ...expected });
      assert.ok(result.upstreams.middle.error, result.text);
      assert.equal(result.completed, false);
      assert.ok(result.text.includes('"data":{"a":{"a":1},"middle":null,"b":{"b":2}}'), result.text);
    }));
  }

  for (const [i, [name, , expected]] of survivals.entries()) {
    test(name, () => withoutLongTurns(async () => {
      const result = await refresh(`good${i}`);
      assertGood(result);
      assertSaid(result.upstreams.middle, { outcome: 'fresh', ...expected });
      assert.equal(result.completed, true);
      assert.ok(result.text.includes('"data":{"a":{"a":1},"middle":{"x":1.5},"b":{"b":2}}'), result.text);
    }));
  }

  test('500, then fine: the last good value stays meanwhile', () => {
    let n = 0; // each attempt has an instance of the feed to itself
    return withoutLongTurns(async () => {
      const params = { n: String(++n) };
      const runs = [];
      for (const isReset of [true, false, true, false]) runs.push(await refresh('again', { params, isReset })); // the first one after it fails
      for (const run of runs) assertGood(run);
      assert.deepEqual(runs.map(({ upstreams: { middle: { outcome, failure, status } }, data }) => [outcome, failure, status, data.middle]), [
        ['http_error', 'http_error', 500, null], ['fresh', undefined, 200, X],
        ['stale', 'http_error', 500, X], ['fresh', undefined, 304, X],
      ]);
    });
  });

  test('nothing asked where redirects must not lead', () => assert.equal(trap.n, 0));
});
